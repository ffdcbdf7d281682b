/*
 * What smtpd starts inside the sandbox, see relay.h.  Linked statically, and of
 * the C library alone, for it also has to start in a chroot with nothing else in
 * it, and without the objects that a target preloads.
 */
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "relay.h"

#define EX_NORELAY	127

struct relay_child {
	pid_t	 pid;
	int	 pidfd;
	int	 io, err;		/* our ends */
};

static void __attribute__((noreturn))
relay_fail(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	_exit(EX_NORELAY);
}

static void __attribute__((noreturn))
command_main(int io, int err, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(io, 0) == -1 || dup2(io, 1) == -1 || dup2(err, 2) == -1)
		_exit(EX_NORELAY);
	/* the others are closed by exec */
	execvp(argv[0], argv);
	relay_fail(argv[0]);
}

static void
command_start(struct relay_child *c, char **argv)
{
	int io[2], err[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, io) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, err) == -1)
		relay_fail("socketpair");
	if ((c->pid = fork()) == -1)
		relay_fail("fork");
	if (c->pid == 0)
		command_main(io[1], err[1], argv);
	close(io[1]);
	close(err[1]);
	c->io = io[0];
	c->err = err[0];
	if ((c->pidfd = pidfd_open(c->pid, 0)) == -1)
		relay_fail("pidfd_open");
}

/* Say who we are, and hand over what smtpd gave us. */
static void
relay_attach(int ctl, const char *name, const struct relay_child *c)
{
	int fds[RELAY_FDS] = { 0, 2, c->io, c->err };
	size_t n = c->pid == 0 ? RELAY_CMD_IO : RELAY_FDS;
	union {
		struct cmsghdr	 hdr;
		char		 space[CMSG_SPACE(sizeof(fds))];
	} u;
	char text[RELAY_NAME + 64];
	struct iovec iov = { .iov_base = text };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = &u, .msg_controllen = CMSG_SPACE(n * sizeof(int)) };

	iov.iov_len = (size_t)snprintf(text, sizeof(text), "%d %d %.*s",
	    (int)getpid(), (int)c->pid, RELAY_NAME, name);
	memset(&u, 0, sizeof(u));
	u.hdr.cmsg_level = SOL_SOCKET;
	u.hdr.cmsg_type = SCM_RIGHTS;
	u.hdr.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&u.hdr), fds, n * sizeof(int));
	if (sendmsg(ctl, &msg, MSG_NOSIGNAL) == -1)
		relay_fail("the run does not listen");
}

/* From here on only the run has them, and what it closes is closed. */
static void
relay_let_go(const struct relay_child *c)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), i;

	for (i = 0; i < 3; i++)
		if (null == -1 || dup2(null, i) == -1)
			close(i);
	if (c->pid != 0) {
		close(c->io);
		close(c->err);
	}
}

static void __attribute__((noreturn))
relay_die(int signo)
{
	sigset_t set;

	signal(signo, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signo);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	kill(getpid(), signo);
	_exit(128 + signo);
}

/* "exit 3", "kill 9"; anything else is the end of the run. */
static void __attribute__((noreturn))
relay_obey(const char *text)
{
	int n;

	if (sscanf(text, "kill %d", &n) == 1)
		relay_die(n);
	_exit(sscanf(text, "exit %d", &n) == 1 ? n : 0);
}

static void __attribute__((noreturn))
relay_live(int ctl, struct relay_child *c)
{
	struct pollfd pfd[2] = { { .fd = ctl, .events = POLLIN },
	    { .fd = c->pidfd, .events = POLLIN } };
	char text[64];
	ssize_t n;
	int status;

	for (;;) {
		if (poll(pfd, 2, -1) == -1)
			continue;
		if (pfd[1].revents != 0 &&
		    waitpid(c->pid, &status, 0) == c->pid) {
			n = snprintf(text, sizeof(text), "ended %d", status);
			(void)send(ctl, text, (size_t)n, MSG_NOSIGNAL);
			pfd[1].fd = -1;
		}
		if (pfd[0].revents != 0) {
			n = recv(ctl, text, sizeof(text) - 1, 0);
			text[n > 0 ? n : 0] = '\0';
			relay_obey(text);
		}
	}
}

int
main(int argc, char **argv)
{
	struct relay_child c = { .pid = 0, .pidfd = -1, .io = -1, .err = -1 };
	struct sockaddr_un sun;
	socklen_t len = relay_addr(&sun);
	int ctl, x = argc > 1 && strcmp(argv[1], "-x") == 0;

	if (argc < (x ? 4 : 2)) {
		fprintf(stderr, "usage: relay NAME | -x NAME COMMAND [ARG...]\n");
		_exit(EX_NORELAY);
	}
	ctl = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (ctl == -1 || connect(ctl, (struct sockaddr *)&sun, len) == -1)
		relay_fail("nobody plays a filter or table here");
	if (x)
		command_start(&c, argv + 3);
	relay_attach(ctl, argv[1 + x], &c);
	relay_let_go(&c);
	relay_live(ctl, &c);
}
