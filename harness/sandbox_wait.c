#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox_init.h"

/*
 * A daemon that gives its children ten seconds to start does not start under a
 * program that makes it fifty times slower.  So its poll(2) with just that
 * timeout is held in the kernel, by seccomp(2)'s user notification, until there
 * is something to read, and then goes on as if nothing had been: nothing in the
 * daemon is changed.
 */

#define WAIT_MS		10000		/* as smtpd's imsg_wait() is called */

#if defined(__x86_64__)
#define WAIT_ARCH	AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define WAIT_ARCH	AUDIT_ARCH_I386
#endif

#if defined(WAIT_ARCH) && defined(__NR_poll)

/* The low half of an argument, where the byte order is little endian. */
#define LOAD(field)	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
			    offsetof(struct seccomp_data, field))
#define UNLESS(k, n)	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 0, (n))
#define DO(action)	BPF_STMT(BPF_RET | BPF_K, (action))

int
wait_filter(void)
{
	struct sock_filter	 code[] = {
		LOAD(arch),	UNLESS(WAIT_ARCH, 5),
		LOAD(nr),	UNLESS(__NR_poll, 3),
		LOAD(args[2]),	UNLESS(WAIT_MS, 1),
		DO(SECCOMP_RET_USER_NOTIF),
		DO(SECCOMP_RET_ALLOW)
	};
	struct sock_fprog	 prog = { nitems(code), code };

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
	    SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
}

#else

/* poll(2) is ppoll(2) here, whose timeout a filter cannot see. */
int
wait_filter(void)
{
	errno = ENOSYS;
	return -1;
}

#endif

int
wait_send(int sock, int fd)
{
	union {
		struct cmsghdr	 hdr;
		char		 data[CMSG_SPACE(sizeof(int))];
	}		 cm = { 0 };
	char		 byte = 'w';
	struct iovec	 iov = { &byte, 1 };
	struct msghdr	 msg = { .msg_iov = &iov, .msg_iovlen = 1,
			     .msg_control = &cm,
			     .msg_controllen = sizeof(cm) };

	cm.hdr.cmsg_level = SOL_SOCKET;
	cm.hdr.cmsg_type = SCM_RIGHTS;
	cm.hdr.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&cm.hdr), &fd, sizeof(int));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == -1 ? -1 : 0;
}

void
wait_receive(struct init *in, int sock)
{
	union {
		struct cmsghdr	 hdr;
		char		 data[CMSG_SPACE(sizeof(int))];
	}		 cm = { 0 };
	char		 byte;
	struct iovec	 iov = { &byte, 1 };
	struct msghdr	 msg = { .msg_iov = &iov, .msg_iovlen = 1,
			     .msg_control = &cm,
			     .msg_controllen = sizeof(cm) };

	if (in->waits.listener > 0 ||
	    recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0 ||
	    CMSG_FIRSTHDR(&msg) == NULL)
		return;
	memcpy(&in->waits.listener, CMSG_DATA(CMSG_FIRSTHDR(&msg)),
	    sizeof(int));
	set_nonblock(in->waits.listener);
}

/* What it polls, as a descriptor of ours; -1 when that is more than one. */
static int
polled(const struct seccomp_notif *n)
{
	struct pollfd	 pfd;
	char		 path[64];
	ssize_t		 len;
	int		 fd, pidfd;

	if (n->data.args[1] != 1)
		return -1;
	snprintf(path, sizeof(path), "/proc/%u/mem", n->pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	len = pread(fd, &pfd, sizeof(pfd), (off_t)n->data.args[0]);
	close(fd);
	if (len != sizeof(pfd) ||
	    (pidfd = (int)syscall(SYS_pidfd_open, n->pid, 0)) == -1)
		return -1;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, pfd.fd, 0);
	close(pidfd);
	return fd;
}

/* Fails when it has died, which is as well. */
static void
go_on(const struct init *in, uint64_t id)
{
	struct seccomp_notif_resp	 r = { .id = id,
					     .flags =
					     SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	(void)ioctl(in->waits.listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

static void
hold(struct init *in)
{
	struct seccomp_notif	 n;
	struct wait		*w = in->waits.wait;

	memset(&n, 0, sizeof(n));
	if (ioctl(in->waits.listener, SECCOMP_IOCTL_NOTIF_RECV, &n) == -1)
		return;
	while (w < in->waits.wait + WAITS_MAX && w->id != 0)
		w++;
	if (w == in->waits.wait + WAITS_MAX || (w->fd = polled(&n)) == -1)
		go_on(in, n.id);
	else
		w->id = n.id;
}

size_t
wait_pollfds(struct init *in, struct pollfd *pfd)
{
	const struct wait	*w;
	size_t			 n = 0;

	if (in->waits.listener <= 0)
		return 0;
	pfd[n].fd = in->waits.listener;
	pfd[n++].events = POLLIN;
	for (w = in->waits.wait; w < in->waits.wait + WAITS_MAX; w++)
		if (w->id != 0) {
			pfd[n].fd = w->fd;
			pfd[n++].events = POLLIN;
		}
	return n;
}

void
wait_poll(struct init *in, const struct pollfd *pfd, size_t n)
{
	struct wait	*w;
	size_t		 i;

	for (i = 1; i < n; i++) {
		for (w = in->waits.wait; w < in->waits.wait + WAITS_MAX; w++)
			if (pfd[i].revents != 0 && w->id != 0 &&
			    w->fd == pfd[i].fd) {
				go_on(in, w->id);
				close(w->fd);
				w->id = 0;
			}
	}
	if (n > 0 && (pfd[0].revents & POLLIN))
		hold(in);
	else if (n > 0 && pfd[0].revents != 0) {
		close(in->waits.listener);	/* all of them have ended */
		in->waits.listener = -1;
	}
}
