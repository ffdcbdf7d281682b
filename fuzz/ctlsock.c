/*
 * The control socket, which any local user may open: what a client that is not
 * root can send, in any portions, with and without descriptors.  First octet of
 * the input: its bit 0 sends a descriptor with every portion, bit 1 closes before
 * smtpd answers.  Then portions, each after its length in an octet; 0 is 4096.
 *
 * No client can end the daemon (before 7.9 it can: CVE-2025-62875); what it gets
 * back are messages, and nothing but asking for a session reaches another process.
 *
 * fuzz-without: control.c
 * fuzz-about: control.c:control_close
 * fuzz-about: imsg.c:imsgbuf_get,imsg_parse_hdr
 */
#include "includes.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <err.h>
#include <errno.h>
#include <event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

int	 our_getpeereid(int, uid_t *, gid_t *);
int	 our_getdtablecount(void);
char	*our_strdup(const char *);

#define getpeereid	our_getpeereid
#define getdtablecount	our_getdtablecount
#define strdup		our_strdup
#define m_compose	our_m_compose
#define m_forward	our_m_forward
#include "control.c"
#undef strdup
#undef m_compose
#undef m_forward

void	 m_compose(struct mproc *, uint32_t, uint32_t, pid_t, int, void *,
    size_t);

#define NOBODY	65534

static struct smtpd	 conf;
static struct mproc	 others;	/* all the other processes */
static struct sockaddr_un sun;
static socklen_t	 sunlen;
static char		*name;

/* --- what it would do to others --------------------------------------------------- */

int
our_getpeereid(int s, uid_t *uid, gid_t *gid)
{
	*uid = NOBODY;
	*gid = NOBODY;
	return (0);
}

int
our_getdtablecount(void)
{
	return (0);
}

/* What a connection is given lives in memory of ours, so that it goes with the input. */
char *
our_strdup(const char *s)
{
	return (name = strdup(s));
}

/* To another process goes the wish for a session, which is granted. */
void
our_m_compose(struct mproc *p, uint32_t type, uint32_t peerid, pid_t pid,
    int fd, void *data, size_t len)
{
	struct ctl_conn *c;

	if (p != &others) {
		m_compose(p, type, peerid, pid, fd, data, len);
		return;
	}
	if (type != IMSG_CTL_SMTP_SESSION || len != sizeof(uid_t))
		fuzz_fail("it tells the others: %s", imsg_to_str(type));
	if ((c = tree_get(&ctl_conns, peerid)) != NULL)
		m_compose(&c->mproc, IMSG_CTL_OK, 0, 0,
		    open("/dev/null", O_WRONLY), NULL, 0);
}

void
our_m_forward(struct mproc *p, struct imsg *imsg)
{
	fuzz_fail("it forwards %s", imsg_to_str(imsg->hdr.type));
}

/* --- the client --------------------------------------------------------------------- */

static int
send_portion(int fd, const uint8_t *data, size_t len, int with_fd)
{
	union {
		struct cmsghdr	 hdr;
		char		 buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	memset(&control, 0, sizeof(control));
	if (with_fd) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	return (sendmsg(fd, &msg, MSG_DONTWAIT) == (ssize_t)len ? 0 : -1);
}

static struct ctl_conn *
connection(void)
{
	struct ctl_conn *c = NULL;

	return (tree_root(&ctl_conns, NULL, (void **)&c) ? c : NULL);
}

struct turn {
	struct ctl_conn	*c;
	short		 event;
};

static void
dispatch(void *arg)
{
	struct turn *t = arg;
	struct event *ev = &t->c->mproc.ev;

	/* as the event loop does: it is not a persistent one */
	event_del(ev);
	event_get_callback(ev)(event_get_fd(ev), t->event,
	    event_get_callback_arg(ev));
}

/* 1 if the daemon would have ended. */
static int
turn(short event)
{
	struct turn t = { connection(), event };

	if (t.c == NULL || !(t.c->mproc.events & event))
		return (0);
	if (fuzz_guard(dispatch, &t) == 0)
		return (0);
#if FUZZ_VERSION >= 790
	fuzz_fail("a client ends the daemon: %s", fuzz_fatal());
#endif
	return (1);
}

/* Whole messages that a client may get. */
static void
check_answer(int fd)
{
	struct imsg_hdr hdr;
	char buf[16384], *p;
	ssize_t n;

	if ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) <= 0)
		return;
	for (p = buf; n > 0; p += hdr.len & 0xffff, n -= hdr.len & 0xffff) {
		memcpy(&hdr, p, sizeof(hdr));
		if (n < (ssize_t)sizeof(hdr) ||
		    (ssize_t)(hdr.len & 0xffff) > n ||
		    (hdr.len & 0xffff) < sizeof(hdr))
			fuzz_fail("no message of %zd octets", n);
		if (hdr.type != IMSG_CTL_OK && hdr.type != IMSG_CTL_FAIL)
			fuzz_fail("a client gets %s", imsg_to_str(hdr.type));
	}
}

static void
converse(int fd, struct fuzz_in *in, int how)
{
	size_t len;

	while (in->left > 0 && connection() != NULL) {
		if ((len = fuzz_u8(in)) == 0)
			len = 4096;
		if (len > in->left)
			len = in->left;
		if (len == 0 || send_portion(fd, in->p, len, how & 1) == -1)
			return;
		in->p += len;
		in->left -= len;
		if (turn(EV_READ))
			return;
		if (!(how & 2) && turn(EV_WRITE))
			return;
		check_answer(fd);
	}
}

static void
no_count(const char *name, size_t n)
{
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct stat_backend none;
	int fd;

	env = &conf;
	/* what it counts would be in the way of the next input */
	none = *stat_backend_lookup("ram");
	none.increment = none.decrement = no_count;
	stat_backend = &none;
	stat_backend->init();
	smtpd_process = PROC_CONTROL;
	event_init();
	tree_init(&ctl_conns);
	tree_init(&ctl_count);
	p_lka = p_queue = p_scheduler = p_parent = p_ca = &others;
#if FUZZ_VERSION < 700
	p_pony = &others;
#else
	p_dispatcher = &others;
#endif
	/* a name that no file has: the kernel picks one */
	sun.sun_family = AF_UNIX;
	sunlen = sizeof(sun);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) == -1 ||
	    bind(fd, (struct sockaddr *)&sun, sizeof(sa_family_t)) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sun, &sunlen) == -1)
		err(1, "socket");
	control_state.fd = fd;
	control_listen();
	return (0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;
	struct ctl_conn *c;
	int fd, how;

	fuzz_in(&in, data, size);
	how = fuzz_u8(&in);
	if ((fd = socket(AF_UNIX, SOCK_STREAM, 0)) == -1 ||
	    connect(fd, (struct sockaddr *)&sun, sunlen) == -1)
		fuzz_fail("connect: %s", strerror(errno));
	control_accept(control_state.fd, EV_READ, NULL);
	if (connection() == NULL)
		fuzz_fail("it does not take a client");
	converse(fd, &in, how);
	close(fd);
	if (connection() != NULL)
		(void)turn(EV_READ);
	/* what smtpd has not read yet, and where it gave up */
	if ((c = connection()) != NULL)
		control_close(c);
	free(name);
	name = NULL;
	return (0);
}
