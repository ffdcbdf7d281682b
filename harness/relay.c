/* What smtpd starts as a filter or table, tied to the run: both ends of it. */
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay.h"
#include "run.h"
#include "sandbox.h"

/*
 * The program, which is linked into this one: ld -r -b binary.  The fuzz targets
 * of our parsers start nothing and come without.
 */
extern const char _binary_relay_start[] __attribute__((weak));
extern const char _binary_relay_end[] __attribute__((weak));

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

int
relay_install(const char *root)
{
	char *path, *slash, *inside = xasprintf("%s" RELAY_PATH, root);
	int fd, rv;

	path = strncmp(inside, "/usr/", 5) == 0 ? sandbox_usr_file(inside) :
	    xstrdup(inside);
	free(inside);
	for (slash = strchr(path + 1, '/'); slash != NULL;
	    slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	free(path);
	if (fd == -1)
		return -1;
	rv = write_all(fd, _binary_relay_start, (size_t)(
	    (uintptr_t)_binary_relay_end - (uintptr_t)_binary_relay_start));
	/* whatever the umask is */
	if (rv == 0)
		rv = fchmod(fd, 0755);
	close(fd);
	return rv;
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
	char text[RELAY_NAME + 64];
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

int
relay_open(struct run *run)
{
	struct relay_hub *hub;
	struct sockaddr_un sun;
	socklen_t len = relay_addr(&sun);
	int fd;

	if (run->relay_hub != NULL)
		return 0;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || bind(fd, (struct sockaddr *)&sun, len) == -1 ||
	    listen(fd, 64) == -1) {
		run_error(run, "no socket for relays: %s", strerror(errno));
		if (fd != -1)
			close(fd);
		return -1;
	}
	hub = run->relay_hub = xcalloc(1, sizeof(*hub));
	hub->run = run;
	hub->fd = fd;
	TAILQ_INIT(&hub->relays);
	STAILQ_INIT(&hub->expected);
	hub->ev = event_new(run->base, fd, EV_READ | EV_PERSIST, hub_accept,
	    hub);
	event_add(hub->ev, NULL);
	return 0;
}

int
relay_expect(struct run *run, const char *name, const struct relay_user *user)
{
	struct expected *e;

	if (relay_open(run) == -1)
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
