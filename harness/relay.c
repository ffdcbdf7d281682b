/* What smtpd starts as a filter or table, tied to the run: both ends of it. */
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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay.h"
#include "run.h"

#define NAME_MAX_LEN	128
#define EX_NORELAY	127

struct expected {
	STAILQ_ENTRY(expected) entry;
	const char	*name;
	const struct relay_user *user;
};

/* The run's side. */
struct relay_hub {
	struct run	*run;
	int		 fd;
	struct event	*ev;
	struct relays	 relays;
	STAILQ_HEAD(, expected) expected;
	pid_t		*pids;		/* of all there ever were */
	size_t		 npids;
};

/*
 * Abstract, and so private to the network namespace: no file, no permissions,
 * reached from a chroot as well.
 */
static socklen_t
relay_addr(struct sockaddr_un *sun)
{
	static const char name[] = "smtpdtest-relay";

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path + 1, name, sizeof(name));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    sizeof(name));
}

/* --- inside --------------------------------------------------------------- */

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
	char text[NAME_MAX_LEN + 64];
	struct iovec iov = { .iov_base = text };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = &u, .msg_controllen = CMSG_SPACE(n * sizeof(int)) };

	iov.iov_len = (size_t)snprintf(text, sizeof(text), "%d %d %.*s",
	    (int)getpid(), (int)c->pid, NAME_MAX_LEN, name);
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
relay_main(int argc, char **argv)
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

/* --- the run's side ------------------------------------------------------- */

int
relay_self(char *path, size_t size)
{
	ssize_t n;

	if ((n = readlink("/proc/self/exe", path, size - 1)) == -1)
		return -1;
	path[n] = '\0';
	return 0;
}

static void
relay_free(struct relay_hub *hub, struct relay *r)
{
	int i;

	TAILQ_REMOVE(&hub->relays, r, entry);
	for (i = 0; i < RELAY_FDS; i++)
		if (r->fd[i] != -1)
			close(r->fd[i]);
	event_free(r->ev);
	close(r->ctl);
	free(r->name);
	free(r);
}

static const struct relay_user *
user_find(const struct relay_hub *hub, const char *name)
{
	const struct expected *e;

	STAILQ_FOREACH(e, &hub->expected, entry)
		if (strcmp(e->name, name) == 0)
			return e->user;
	return NULL;
}

static void
relay_note(struct relay_hub *hub, pid_t pid)
{
	hub->pids = xreallocarray(hub->pids, hub->npids + 1,
	    sizeof(*hub->pids));
	hub->pids[hub->npids++] = pid;
}

/* What came first; -1 if that was not a relay's greeting. */
static int
relay_hello(struct relay *r)
{
	union {
		struct cmsghdr	 hdr;
		char		 space[CMSG_SPACE(sizeof(r->fd))];
	} u;
	char text[NAME_MAX_LEN + 64];
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = &u, .msg_controllen = sizeof(u) };
	int pid, command, off = 0;
	ssize_t n;

	if ((n = recvmsg(r->ctl, &msg, MSG_CMSG_CLOEXEC)) <= 0)
		return -1;
	text[n] = '\0';
	if (msg.msg_controllen == 0 || u.hdr.cmsg_type != SCM_RIGHTS ||
	    u.hdr.cmsg_len > CMSG_LEN(sizeof(r->fd)))
		return -1;
	memcpy(r->fd, CMSG_DATA(&u.hdr), u.hdr.cmsg_len - CMSG_LEN(0));
	if (sscanf(text, "%d %d %n", &pid, &command, &off) != 2 || off == 0)
		return -1;
	r->pid = pid;
	r->command = command;
	r->name = xstrdup(text + off);
	relay_note(r->run->relay_hub, pid);
	return 0;
}

static void
relay_gone(struct relay *r)
{
	if (r->user != NULL)
		r->user->ended(r, 1, r->user->arg);
	relay_free(r->run->relay_hub, r);
}

static void
relay_greeted(struct relay *r)
{
	if (relay_hello(r) == -1) {
		relay_gone(r);
		return;
	}
	if ((r->user = user_find(r->run->relay_hub, r->name)) == NULL) {
		run_error(r->run, "smtpd.conf starts %s %s: nobody plays "
		    "\"%s\"", RELAY_PATH, r->name, r->name);
		relay_gone(r);
		return;
	}
	r->user->attach(r, r->user->arg);
}

static void
relay_readable(int fd, short what, void *arg)
{
	struct relay *r = arg;
	char text[64];
	ssize_t n;

	(void)what;
	if (r->name == NULL) {
		relay_greeted(r);
		return;
	}
	n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		relay_gone(r);
		return;
	}
	text[n] = '\0';
	if (sscanf(text, "ended %d", &r->status) == 1)
		r->user->ended(r, 0, r->user->arg);
}

static void
hub_accept(int fd, short what, void *arg)
{
	struct relay_hub *hub = arg;
	struct relay *r;
	int conn, i;

	(void)what;
	if ((conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) == -1)
		return;
	r = xcalloc(1, sizeof(*r));
	r->run = hub->run;
	r->ctl = conn;
	for (i = 0; i < RELAY_FDS; i++)
		r->fd[i] = -1;
	TAILQ_INSERT_TAIL(&hub->relays, r, entry);
	r->ev = event_new(hub->run->base, conn, EV_READ | EV_PERSIST,
	    relay_readable, r);
	event_add(r->ev, NULL);
}

static struct relay_hub *
hub_new(struct run *run)
{
	struct relay_hub *hub;
	struct sockaddr_un sun;
	socklen_t len = relay_addr(&sun);
	int fd;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || bind(fd, (struct sockaddr *)&sun, len) == -1 ||
	    listen(fd, 64) == -1) {
		run_error(run, "no socket for relays: %s", strerror(errno));
		if (fd != -1)
			close(fd);
		return NULL;
	}
	hub = xcalloc(1, sizeof(*hub));
	hub->run = run;
	hub->fd = fd;
	TAILQ_INIT(&hub->relays);
	STAILQ_INIT(&hub->expected);
	hub->ev = event_new(run->base, fd, EV_READ | EV_PERSIST, hub_accept,
	    hub);
	event_add(hub->ev, NULL);
	return hub;
}

int
relay_expect(struct run *run, const char *name, const struct relay_user *user)
{
	struct expected *e;

	if (run->relay_hub == NULL && (run->relay_hub = hub_new(run)) == NULL)
		return -1;
	e = xcalloc(1, sizeof(*e));
	e->name = name;
	e->user = user;
	STAILQ_INSERT_TAIL(&run->relay_hub->expected, e, entry);
	return 0;
}

static void
relay_tell(struct relay *r, const char *what, int n)
{
	char text[32];

	snprintf(text, sizeof(text), "%s %d", what, n);
	(void)send(r->ctl, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void
relay_exit(struct relay *r, int status)
{
	relay_tell(r, "exit", status);
}

void
relay_kill(struct relay *r, int signo)
{
	relay_tell(r, "kill", signo);
}

int
relay_is(const struct run *run, pid_t pid)
{
	const struct relay_hub *hub = run->relay_hub;
	size_t i;

	for (i = 0; hub != NULL && i < hub->npids; i++)
		if (hub->pids[i] == pid)
			return 1;
	return 0;
}

void
relay_close(struct run *run)
{
	struct relay_hub *hub = run->relay_hub;
	struct expected *e;
	struct relay *r;

	if (hub == NULL)
		return;
	while ((r = TAILQ_FIRST(&hub->relays)) != NULL)
		relay_free(hub, r);
	while ((e = STAILQ_FIRST(&hub->expected)) != NULL) {
		STAILQ_REMOVE_HEAD(&hub->expected, entry);
		free(e);
	}
	event_free(hub->ev);
	close(hub->fd);
	free(hub->pids);
	free(hub);
	run->relay_hub = NULL;
}
