/* A filter as a process, and its pipes. */
#include <sys/types.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drive_proc.h"
#include "sandbox.h"
#include "util.h"

#define PIECE_PAUSE	100		/* us */
#define REAP_PAUSE	20000

extern char	**environ;

struct drive_proc {
	struct sandbox	*sb;
	pid_t		 pid;		/* 0: it has ended */
	pid_t		 group;		/* outside of a sandbox */
	struct bufferevent *io, *err;
	struct event	*reaper;	/* outside of a sandbox */
	struct event	*pauser;
	struct evbuffer	*pieces;	/* waits to be cut up */
	struct stream	*stream;
	struct range	 piece;
	int		 eof;		/* our side is shut, or is to be */
	const struct drive_proc_calls *calls;
	void		*arg;
};

/* Hand over every whole line; what is left when there will be no more, too. */
static void
take_lines(struct drive_proc *p, struct bufferevent *b, int end)
{
	struct evbuffer *in = bufferevent_get_input(b);
	char dir = b == p->io ? 'F' : 'E', *line;
	size_t len;

	while ((line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF)) != NULL) {
		p->calls->line(p->arg, dir, line, len, 1);
		free(line);
	}
	if (!end || (len = evbuffer_get_length(in)) == 0)
		return;
	line = xcalloc(1, len + 1);
	evbuffer_remove(in, line, len);
	p->calls->line(p->arg, dir, line, len, 0);
	free(line);
}

static void
on_read(struct bufferevent *b, void *arg)
{
	take_lines(arg, b, 0);
}

static void
on_write(struct bufferevent *b, void *arg)
{
	struct drive_proc *p = arg;

	if (b != p->io || drive_proc_queued(p) > 0)
		return;
	if (p->eof)
		shutdown(bufferevent_getfd(b), SHUT_WR);
	p->calls->drained(p->arg);
}

static void
on_end(struct bufferevent *b, short what, void *arg)
{
	struct drive_proc *p = arg;

	/* it has closed its side, which does not keep the rest from us */
	if (what & BEV_EVENT_WRITING) {
		evbuffer_drain(bufferevent_get_output(b),
		    evbuffer_get_length(bufferevent_get_output(b)));
		bufferevent_disable(b, EV_WRITE);
		return;
	}
	bufferevent_disable(b, EV_READ);
	take_lines(p, b, 1);
	p->calls->eof(p->arg, b == p->io ? 'F' : 'E');
}

static struct bufferevent *
channel(struct drive_proc *p, struct event_base *base, int fd)
{
	struct bufferevent *b;

	set_nonblock(fd);
	b = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(b, on_read, on_write, on_end, p);
	bufferevent_enable(b, EV_READ | EV_WRITE);
	return b;
}

static void
next_piece(int fd, short what, void *arg)
{
	static const struct timeval pause = { 0, PIECE_PAUSE };
	struct drive_proc *p = arg;
	size_t n, len = evbuffer_get_length(p->pieces);

	(void)fd;
	(void)what;
	if (len == 0) {
		on_write(p->io, p);
		return;
	}
	n = (size_t)choice_draw(p->stream, "piece", p->piece);
	evbuffer_remove_buffer(p->pieces, bufferevent_get_output(p->io),
	    n < len ? n : len);
	evtimer_add(p->pauser, &pause);
}

/* Outside of a sandbox nobody tells us. */
static void
reap(int fd, short what, void *arg)
{
	struct drive_proc *p = arg;
	int status;

	(void)fd;
	(void)what;
	if (p->pid == 0 || waitpid(p->pid, &status, WNOHANG) != p->pid)
		return;
	p->pid = 0;
	event_del(p->reaper);
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL &&
	    WTERMSIG(status) != SIGTERM)
		p->calls->crashed(p->arg, WTERMSIG(status),
		    "no backtrace outside of the sandbox");
	p->calls->exited(p->arg, status);
}

static void __attribute__((noreturn))
child(const char *const *argv, int io, int errfd)
{
	sigset_t none;

	/* should we be killed, it is too; what it has started is not */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid();
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(io, STDIN_FILENO) != -1 && dup2(io, STDOUT_FILENO) != -1 &&
	    dup2(errfd, STDERR_FILENO) != -1 && close_range(3, ~0U, 0) != -1)
		execv(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static pid_t
spawn(struct drive_proc *p, const char *command, int untraced, int io,
    int errfd)
{
	const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
	struct sandbox_cmd cmd = { .argv = argv, .fd = { io, io, errfd },
	    .uid = geteuid(), .trace = !untraced,
	    .env = (const char *const *)environ };
	char *text = xasprintf("exec %s", command);
	pid_t pid;

	argv[2] = text;
	if (p->sb != NULL)
		pid = sandbox_spawn(p->sb, &cmd);
	else if ((pid = fork()) == 0)
		child(argv, io, errfd);
	else
		p->group = pid;
	free(text);
	return pid;
}

struct drive_proc *
drive_proc_start(struct event_base *base, struct sandbox *sb,
    const char *command, int untraced, const struct drive_proc_calls *calls,
    void *arg,
    char *err, size_t errlen)
{
	static const struct timeval often = { 0, REAP_PAUSE };
	struct drive_proc *p = xcalloc(1, sizeof(*p));
	int io[2] = { -1, -1 }, errs[2] = { -1, -1 };

	p->sb = sb;
	p->calls = calls;
	p->arg = arg;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, io) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, errs) == -1 ||
	    (p->pid = spawn(p, command, untraced, io[1],
	    errs[1])) == -1) {
		snprintf(err, errlen, "cannot start %s: %s", command,
		    strerror(errno));
		free(p);
		return NULL;
	}
	close(io[1]);
	close(errs[1]);
	p->io = channel(p, base, io[0]);
	p->err = channel(p, base, errs[0]);
	p->pieces = evbuffer_new();
	p->pauser = evtimer_new(base, next_piece, p);
	if (sb == NULL) {
		p->reaper = event_new(base, -1, EV_PERSIST, reap, p);
		event_add(p->reaper, &often);
	}
	return p;
}

void
drive_proc_free(struct drive_proc *p)
{
	if (p->pid != 0)
		drive_proc_kill(p, SIGKILL);
	if (p->group > 0) {
		kill(-p->group, SIGKILL);
		if (p->pid != 0)
			while (waitpid(p->pid, NULL, 0) == -1 &&
			    errno == EINTR)
				;
	}
	bufferevent_free(p->io);
	bufferevent_free(p->err);
	evbuffer_free(p->pieces);
	event_free(p->pauser);
	if (p->reaper != NULL)
		event_free(p->reaper);
	free(p);
}

void
drive_proc_write(struct drive_proc *p, const void *data, size_t len)
{
	if (p->eof)
		return;
	if (p->piece.lo == 0) {
		bufferevent_write(p->io, data, len);
		return;
	}
	evbuffer_add(p->pieces, data, len);
	if (!evtimer_pending(p->pauser, NULL))
		next_piece(-1, 0, p);
}

size_t
drive_proc_queued(const struct drive_proc *p)
{
	return evbuffer_get_length(p->pieces) +
	    evbuffer_get_length(bufferevent_get_output(p->io));
}

void
drive_proc_pieces(struct drive_proc *p, struct stream *st, struct range r)
{
	p->stream = st;
	p->piece = r;
}

void
drive_proc_deaf(struct drive_proc *p, int deaf)
{
	if (deaf)
		bufferevent_disable(p->io, EV_READ);
	else
		bufferevent_enable(p->io, EV_READ);
}

const char *
drive_proc_partial(struct drive_proc *p, size_t *len)
{
	struct evbuffer *in = bufferevent_get_input(p->io);

	if ((*len = evbuffer_get_length(in)) == 0)
		return NULL;
	return (const char *)evbuffer_pullup(in, -1);
}

void
drive_proc_eof(struct drive_proc *p)
{
	if (p->eof)
		return;
	p->eof = 1;
	if (drive_proc_queued(p) == 0)
		shutdown(bufferevent_getfd(p->io), SHUT_WR);
}

void
drive_proc_kill(struct drive_proc *p, int signo)
{
	if (p->pid == 0)
		return;
	if (p->sb != NULL)
		sandbox_kill(p->sb, p->pid, signo);
	else
		kill(p->pid, signo);
}

pid_t
drive_proc_pid(const struct drive_proc *p)
{
	return p->pid;
}

char *
drive_proc_backtrace(struct drive_proc *p)
{
	if (p->sb == NULL)
		return xstrdup("no backtrace outside of the sandbox");
	return sandbox_backtrace(p->sb, p->pid);
}

int
drive_proc_event(struct drive_proc *p, const struct sandbox_event *ev)
{
	if (p->pid == 0 || ev->pid != p->pid)
		return 0;
	if (ev->what == SANDBOX_CRASH)
		p->calls->crashed(p->arg, ev->signo, ev->backtrace == NULL ?
		    "no backtrace" : ev->backtrace);
	else if (ev->what == SANDBOX_EXIT) {
		p->pid = 0;
		p->calls->exited(p->arg, ev->status);
	}
	return 1;
}
