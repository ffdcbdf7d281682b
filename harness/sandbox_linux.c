#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox_priv.h"
#include "util.h"

/* The runner's side of a sandbox. */

#define NAMESPACES	(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | \
			    CLONE_NEWUTS | CLONE_NEWPID)
#define BARE_NAMESPACES	(CLONE_NEWNS | CLONE_NEWPID)

struct sandbox {
	pid_t		 init;		/* in our own pid namespace */
	int		 ctl;
	int		 ev;
	uint32_t	 id;		/* of the last request */
	int		 gone;
	struct sb_event	*in;		/* room for the biggest, text and all */
	struct sb_reply	*reply;
};

int
sb_fail(const struct why *w, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(w->text, w->len, fmt, ap);
	va_end(ap);
	return -1;
}

/*
 * Thousands of short connections between two addresses need ports, soon again.
 * Below 16384 are the ports that actors listen on: a connection that happened
 * to be given one of these would be in their way.
 */
static const struct {
	const char	*path;
	const char	*value;
} sysctls[] = {
	{ "/proc/sys/net/ipv4/ip_local_port_range",	"16384 65535" },
	{ "/proc/sys/net/ipv4/tcp_tw_reuse",		"1" },
	{ "/proc/sys/net/ipv4/tcp_fin_timeout",		"5" },
	{ "/proc/sys/net/ipv6/conf/all/disable_ipv6",	"0" },
	{ "/proc/sys/net/ipv6/conf/lo/disable_ipv6",	"0" },
};

/* Without one of these there is still a network, so failing is no error. */
static void
sysctl_set(const char *path, const char *value)
{
	int	 fd;

	if ((fd = open(path, O_WRONLY | O_CLOEXEC)) == -1)
		return;
	(void)write_all(fd, value, strlen(value));
	close(fd);
}

/*
 * getaddrinfo(3) with AI_ADDRCONFIG, as smtpd calls it, asks for no addresses
 * of a family of which the host has only 127.0.0.1 or ::1.
 */
static void
net_more(int s)
{
	struct ifreq	 ifr = { .ifr_name = "lo:1" };
	struct in6_ifreq ifr6 = { .ifr6_prefixlen = 128 };
	struct sockaddr_in *sin = (struct sockaddr_in *)&ifr.ifr_addr;
	int		 s6;

	sin->sin_family = AF_INET;
	sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	ioctl(s, SIOCSIFADDR, &ifr);
	if ((s6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		return;
	ifr6.ifr6_ifindex = (int)if_nametoindex("lo");
	inet_pton(AF_INET6, "2001:db8::1", &ifr6.ifr6_addr);
	ioctl(s6, SIOCSIFADDR, &ifr6);
	close(s6);
}

/* The kernel gives lo its addresses, 127.0.0.1/8 and ::1, as it comes up. */
static int
net_up(const struct why *w)
{
	struct ifreq	 ifr = { .ifr_name = "lo" };
	size_t		 i;
	int		 s;

	for (i = 0; i < nitems(sysctls); i++)
		sysctl_set(sysctls[i].path, sysctls[i].value);
	if ((s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		return sb_fail(w, "socket: %s", strerror(errno));
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(s, SIOCSIFFLAGS, &ifr) == -1) {
		close(s);
		return sb_fail(w, "cannot bring up the loopback interface: %s",
		    strerror(errno));
	}
	net_more(s);
	close(s);
	return 0;
}

static int
namespaces(const struct sandbox_spec *spec, const struct why *w)
{
	pid_t	 parent = getppid();
	int	 flags = NAMESPACES;

	if (spec->bare)
		flags = BARE_NAMESPACES | (spec->hostnet ? 0 : CLONE_NEWNET);
	if (geteuid() != 0 || spec->userns) {
		if ((spec->bare ? userns_enter_self(flags, w) :
		    userns_enter(flags, w)) == -1)
			return -1;
	} else if (unshare(flags) == -1) {
		if (errno == EPERM)
			return sb_fail(w, "this root may not make namespaces: "
			    "start the container with --privileged, or with "
			    "--cap-add SYS_ADMIN --security-opt "
			    "seccomp=unconfined --security-opt "
			    "apparmor=unconfined");
		return sb_fail(w, "cannot make namespaces: %s",
		    strerror(errno));
	}
	/* Had the parent gone before this, nobody would send the signal. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent)
		_exit(1);
	if (spec->hostname != NULL &&
	    sethostname(spec->hostname, strlen(spec->hostname)) == -1)
		return sb_fail(w, "cannot set the host name: %s",
		    strerror(errno));
	return 0;
}

/* Pid 1: /proc can be mounted only from within the pid namespace. */
static void __attribute__((noreturn))
init_start(const struct sandbox_spec *spec, int ctl, int ev)
{
	struct {
		struct sb_reply	 reply;
		char		 text[512];
	}		 m = { { 0 }, "" };
	struct why	 w = { m.text, sizeof(m.text) };

	/* When the runner died before this, ctl says so soon enough. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "sandbox-init");
	setsid();
	m.reply.error = spec->bare ? root_bare(&w) == -1 :
	    root_proc(&w) == -1 || root_pivot(&w) == -1;
	if (send(ctl, &m, sizeof(m), MSG_NOSIGNAL) == -1 || m.reply.error)
		_exit(1);
	init_main(ctl, ev);
}

/* Start init and follow it into the new root. */
static int
init_fork(struct sandbox *sb, const struct sandbox_spec *spec,
    const struct why *w)
{
	struct {
		struct sb_reply	 reply;
		char		 text[512];
	}	 m;
	ssize_t	 n;
	int	 ctl[2], ev[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl) == -1 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ev) == -1)
		return sb_fail(w, "socketpair: %s", strerror(errno));
	if ((sb->init = fork()) == -1)
		return sb_fail(w, "cannot fork: %s", strerror(errno));
	if (sb->init == 0) {
		close(ctl[0]);
		close(ev[0]);
		init_start(spec, ctl[1], ev[1]);
	}
	close(ctl[1]);
	close(ev[1]);
	sb->ctl = ctl[0];
	sb->ev = ev[0];
	while ((n = recv(sb->ctl, &m, sizeof(m), 0)) == -1 && errno == EINTR)
		;
	if (n != sizeof(m))
		return sb_fail(w, "the sandbox's init died");
	if (m.reply.error)
		return sb_fail(w, "%s", m.text);
	if (!spec->bare && chdir("/") == -1)
		return sb_fail(w, "chdir: %s", strerror(errno));
	return 0;
}

struct sandbox *
sandbox_enter(const struct sandbox_spec *spec, char *err, size_t errlen)
{
	struct why	 w = { err, errlen };
	struct sandbox	*sb;

	sb = xcalloc(1, sizeof(*sb));
	sb->ctl = sb->ev = sb->init = -1;
	sb->in = xcalloc(1, sizeof(*sb->in) + SB_TEXT_MAX);
	sb->reply = xcalloc(1, sizeof(*sb->reply) + SB_TEXT_MAX + 1);
	if (namespaces(spec, &w) == 0 &&
	    (spec->hostnet || net_up(&w) == 0) &&
	    (spec->bare || root_build(spec, &w) == 0) &&
	    init_fork(sb, spec, &w) == 0)
		return sb;
	sandbox_close(sb);
	return NULL;
}

int
sandbox_probe(char *err, size_t errlen)
{
	static const struct sandbox_spec spec = { 0 };

	return sandbox_try(&spec, err, errlen);
}

int
sandbox_try(const struct sandbox_spec *spec, char *err, size_t errlen)
{
	struct sandbox	*sb;
	ssize_t		 n;
	size_t		 len = 0;
	pid_t		 pid;
	int		 fd[2], status;

	if (pipe2(fd, O_CLOEXEC) == -1 || (pid = fork()) == -1) {
		snprintf(err, errlen, "cannot fork: %s", strerror(errno));
		return -1;
	}
	if (pid == 0) {
		if ((sb = sandbox_enter(spec, err, errlen)) != NULL) {
			sandbox_close(sb);
			_exit(0);
		}
		(void)write_all(fd[1], err, strlen(err));
		_exit(1);
	}
	close(fd[1]);
	while (len + 1 < errlen &&
	    (n = read(fd[0], err + len, errlen - len - 1)) > 0)
		len += (size_t)n;
	close(fd[0]);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (status == 0)
		return 0;
	if (len == 0)
		snprintf(err, errlen, "the probe of the sandbox died");
	else
		err[len] = '\0';
	return -1;
}

/* Send a request with its descriptors; -1 with errno. */
static int
request(struct sandbox *sb, struct sb_request *rq, const struct buf *strings,
    const int *fds, int nfds)
{
	union {
		struct cmsghdr	 hdr;
		char		 data[CMSG_SPACE(3 * sizeof(int))];
	}		 cm = { 0 };
	struct iovec	 iov[2] = { { rq, sizeof(*rq) }, { NULL, 0 } };
	struct msghdr	 msg = { .msg_iov = iov, .msg_iovlen = 1 };

	rq->id = ++sb->id;
	if (strings != NULL) {
		if (strings->len > SB_REQUEST_MAX - sizeof(*rq)) {
			errno = E2BIG;
			return -1;
		}
		iov[1].iov_base = strings->data;
		iov[1].iov_len = strings->len;
		msg.msg_iovlen = 2;
	}
	if (nfds > 0) {
		msg.msg_control = &cm;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cm.hdr.cmsg_level = SOL_SOCKET;
		cm.hdr.cmsg_type = SCM_RIGHTS;
		cm.hdr.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&cm.hdr), fds, nfds * sizeof(int));
	}
	while (sendmsg(sb->ctl, &msg, MSG_NOSIGNAL) == -1)
		if (errno != EINTR)
			return -1;
	return 0;
}

/* The next message on ctl; -1 with errno when none came in time. */
static ssize_t
ctl_recv(struct sandbox *sb, uint64_t end)
{
	struct pollfd	 pfd = { .fd = sb->ctl, .events = POLLIN };
	uint64_t	 t;
	ssize_t		 n;

	for (;;) {
		if ((t = now_us()) >= end) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (poll(&pfd, 1, (int)((end - t) / 1000) + 1) != 1)
			continue;
		n = recv(sb->ctl, sb->reply, sizeof(*sb->reply) + SB_TEXT_MAX,
		    MSG_DONTWAIT);
		if (n == 0)
			errno = EPIPE;
		if (n > 0 || (errno != EINTR && errno != EAGAIN))
			return n > 0 ? n : -1;
	}
}

/*
 * Wait for the reply to the last request, and leave it in sb->reply with a NUL
 * behind.  One to an earlier request, that we gave up waiting for, is dropped.
 */
static int
reply(struct sandbox *sb, int seconds)
{
	uint64_t	 end = now_us() + (uint64_t)seconds * 1000000;
	ssize_t		 n;

	do {
		if ((n = ctl_recv(sb, end)) == -1)
			return -1;
	} while (sb->reply->id != sb->id);
	((char *)sb->reply)[n] = '\0';
	if (sb->reply->error != 0) {
		errno = sb->reply->error;
		return -1;
	}
	return 0;
}

static int
add_strings(struct buf *b, const char *const *v)
{
	int	 n;

	for (n = 0; v != NULL && v[n] != NULL; n++)
		buf_add(b, v[n], strlen(v[n]) + 1);
	return n;
}

pid_t
sandbox_spawn(struct sandbox *sb, const struct sandbox_cmd *cmd)
{
	struct sb_request	 rq = { .op = SB_SPAWN };
	struct buf		 strings = { 0 };
	int			 fds[3], i, n = 0, rv;

	rq.uid = cmd->uid;
	rq.trace = cmd->trace;
	rq.patient = cmd->patient;
	rq.tty = cmd->tty;
	for (i = 0; i < 3; i++) {
		rq.fd[i] = cmd->fd[i] == -1 ? -1 : n;
		if (cmd->fd[i] != -1)
			fds[n++] = cmd->fd[i];
	}
	rq.argc = add_strings(&strings, cmd->argv);
	rq.envc = add_strings(&strings, cmd->env);
	rv = request(sb, &rq, &strings, fds, n);
	buf_free(&strings);
	if (rv == -1 || reply(sb, SB_GDB_SECONDS) == -1)
		return -1;
	return sb->reply->pid;
}

int
sandbox_kill(struct sandbox *sb, pid_t pid, int signo)
{
	struct sb_request	 rq = { .op = SB_KILL, .pid = pid,
				     .signo = signo };

	if (request(sb, &rq, NULL, NULL, 0) == -1)
		return -1;
	return reply(sb, SB_GDB_SECONDS);
}

char *
sandbox_backtrace(struct sandbox *sb, pid_t pid)
{
	struct sb_request	 rq = { .op = SB_BACKTRACE, .pid = pid };

	if (request(sb, &rq, NULL, NULL, 0) == -1 ||
	    reply(sb, SB_GDB_SECONDS + 2) == -1)
		return xasprintf("no backtrace of process %d: %s", pid,
		    strerror(errno));
	return xstrdup((char *)(sb->reply + 1));
}

int
sandbox_fd(const struct sandbox *sb)
{
	return sb->ev;
}

int
sandbox_event(struct sandbox *sb, struct sandbox_event *ev)
{
	ssize_t	 n;
	size_t	 len;

	if (sb->gone)
		return 0;
	memset(ev, 0, sizeof(*ev));
	while ((n = recv(sb->ev, sb->in, sizeof(*sb->in) + SB_TEXT_MAX,
	    MSG_DONTWAIT)) == -1 && errno == EINTR)
		;
	if (n == -1 && errno == EAGAIN)
		return 0;
	if (n < (ssize_t)sizeof(*sb->in)) {
		sb->gone = 1;
		ev->what = SANDBOX_GONE;
		return 1;
	}
	ev->what = sb->in->what;
	ev->pid = sb->in->pid;
	ev->status = sb->in->status;
	ev->signo = sb->in->signo;
	ev->child = sb->in->child;
	memcpy(ev->title, sb->in->title, sizeof(ev->title));
	if ((len = (size_t)n - sizeof(*sb->in)) > 0) {
		ev->backtrace = xcalloc(1, len + 1);
		memcpy(ev->backtrace, sb->in + 1, len);
	}
	return 1;
}

void
sandbox_event_free(struct sandbox_event *ev)
{
	free(ev->backtrace);
	ev->backtrace = NULL;
}

/* Init is reaped only after every process of its namespace has ended. */
void
sandbox_close(struct sandbox *sb)
{
	if (sb == NULL)
		return;
	if (sb->init > 0) {
		kill(sb->init, SIGKILL);
		while (waitpid(sb->init, NULL, 0) == -1 && errno == EINTR)
			;
	}
	if (sb->ctl != -1)
		close(sb->ctl);
	if (sb->ev != -1)
		close(sb->ev);
	free(sb->in);
	free(sb->reply);
	free(sb);
}
