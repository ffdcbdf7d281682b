#include <sys/types.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "pool.h"
#include "report.h"
#include "script.h"
#include "util.h"

#define SECOND		1000000ULL
#define TICK_NS		(200 * 1000 * 1000)
#define GRACE_US	(SECOND / 2)		/* from SIGTERM to SIGKILL */
#define LEAVE_US	(120 * SECOND)		/* from "end" to exit */
#define LINE_MAX_BYTES	(256UL * 1024 * 1024)

/* A runner at work. */
struct child {
	const struct job *job;		/* NULL: free */
	pid_t		 pid;
	int		 fd;
	struct buf	 in;
	uint64_t	 began;
	uint64_t	 alive;		/* the last sign of life */
	uint64_t	 kill_at;	/* SIGKILL is due; 0 is never */
	char		*doom;		/* what it did wrong */
	int		 started;
	int		 useless;	/* and ended because of that */
	json_int_t	 done;		/* as its last progress said */
	json_t		*end;		/* held until it has left */
};

struct state {
	const struct pool *pool;
	struct child	*child;
	size_t		 next;		/* job to start */
	size_t		 active;
	sigset_t	 mask;		/* as we found it */
	int		 stopping;
};

static volatile sig_atomic_t	caught;

static void
on_signal(int signo)
{
	if (signo != SIGCHLD)
		caught = signo;
}

/* Signals are blocked but while we wait, so none is missed. */
static const int	signals[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP };

static void
signals_setup(struct state *st)
{
	struct sigaction	 sa = { .sa_handler = on_signal }, old;
	sigset_t		 block;
	size_t			 i;

	sigemptyset(&block);
	for (i = 0; i < nitems(signals); i++) {
		/* nohup(1) asked for it. */
		if (sigaction(signals[i], NULL, &old) == 0 &&
		    signals[i] != SIGCHLD && old.sa_handler == SIG_IGN)
			continue;
		sigaction(signals[i], &sa, NULL);
		sigaddset(&block, signals[i]);
	}
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &block, &st->mask);
	/* an earlier run has left them blocked */
	for (i = 0; i < nitems(signals); i++)
		sigdelset(&st->mask, signals[i]);
	caught = 0;
}

static void
signals_reset(const struct state *st)
{
	size_t	 i;

	for (i = 0; i < nitems(signals); i++)
		signal(signals[i], SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &st->mask, NULL);
}

/*
 * The runner.  A process group of its own, so that Ctrl-C reaches only us and
 * we end it in order; what it prints by accident must not end up in a report.
 */
static void
child_main(const struct state *st, const struct job *job, int fd, pid_t parent)
{
	size_t	 i;
	int	 null;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EX_SETUP);
	setpgid(0, 0);
	signals_reset(st);
	for (i = 0; i < st->pool->parallel; i++)
		if (st->child[i].job != NULL && st->child[i].fd != -1)
			close(st->child[i].fd);
	if ((null = open("/dev/null", O_RDWR | O_CLOEXEC)) != -1) {
		dup2(null, STDIN_FILENO);
		close(null);
	}
	dup2(STDERR_FILENO, STDOUT_FILENO);
	_exit(runner_main(job->sc, &job->opts, fd));
}

static int
child_fork(const struct state *st, struct child *c, const struct job *job)
{
	pid_t	 parent = getpid();
	int	 p[2];

	if (pipe2(p, O_CLOEXEC) == -1)
		return -1;
	if ((c->pid = fork()) == -1) {
		close(p[0]);
		close(p[1]);
		return -1;
	}
	if (c->pid == 0) {
		close(p[0]);
		child_main(st, job, p[1], parent);
	}
	close(p[1]);
	c->fd = p[0];
	set_nonblock(c->fd);
	return 0;
}

static json_t *
new_event(const char *kind)
{
	json_t	*ev = json_object();

	json_object_set_new(ev, "event", json_string(kind));
	return ev;
}

static void
set_text(json_t *ev, const char *key, const char *s)
{
	json_object_set_new(ev, key, text_json(s));
}

static void
set_default(json_t *ev, const char *key, const char *s)
{
	if (json_object_get(ev, key) == NULL)
		set_text(ev, key, s);
}

/* We know what we started: a runner cannot mistake itself for another. */
static void
send_event(const struct state *st, const struct job *job, json_t *ev)
{
	struct buf	 seed = { 0 };

	json_object_set_new(ev, "id", json_integer(job->opts.id));
	if (strcmp(jstr(ev, "event"), "progress") != 0) {
		buf_addf(&seed, "0x%016llx",
		    (unsigned long long)job->opts.seed);
		set_text(ev, "path", job->sc->path);
		set_text(ev, "name", job->sc->name);
		set_text(ev, "target", job->target);
		set_default(ev, "version", job->version);
		set_default(ev, "seed", seed.data);
		set_default(ev, "repeat", job->opts.repeat);
		buf_free(&seed);
	}
	st->pool->event(st->pool->arg, ev);
	json_decref(ev);
}

static json_t *
error_event(const char *reason)
{
	json_t	*ev = new_event("end");

	json_object_set_new(ev, "verdict", json_string("error"));
	set_text(ev, "reason", reason);
	json_object_set_new(ev, "seconds", json_real(0));
	json_object_set_new(ev, "failures", json_array());
	return ev;
}

/* Only the first reason counts. */
static void
doom(struct child *c, char *why)
{
	if (c->doom == NULL)
		c->doom = why;
	else
		free(why);
}

static void
child_term(struct child *c, uint64_t grace)
{
	kill(c->pid, SIGTERM);
	c->kill_at = now_us() + grace;
}

static void
take_start(struct state *st, struct child *c, json_t *ev)
{
	c->started = 1;
	c->alive = now_us();
	send_event(st, c->job, ev);
}

/* Only that something got done shows that it does not hang. */
static void
take_progress(struct state *st, struct child *c, json_t *ev)
{
	if (jint(ev, "done") != c->done)
		c->alive = now_us();
	c->done = jint(ev, "done");
	send_event(st, c->job, ev);
}

static void
take_end(struct state *st, struct child *c, json_t *ev)
{
	(void)st;
	json_decref(c->end);
	c->end = ev;
	if (c->kill_at == 0)
		c->kill_at = now_us() + LEAVE_US;
}

static const struct {
	const char	*name;
	void		(*take)(struct state *, struct child *, json_t *);
} kinds[] = {
	{ "start",	take_start },
	{ "progress",	take_progress },
	{ "end",	take_end },
};

static void
take_line(struct state *st, struct child *c, const char *line, size_t len)
{
	json_error_t	 e;
	json_t		*ev;
	size_t		 i;

	if ((ev = json_loadb(line, len, JSON_ALLOW_NUL, &e)) == NULL) {
		doom(c, xasprintf("the runner wrote what is not JSON: %s",
		    e.text));
		return;
	}
	/* What comes after we ended it is not what the scenario would say. */
	if (st->stopping) {
		json_decref(ev);
		return;
	}
	for (i = 0; i < nitems(kinds); i++)
		if (strcmp(kinds[i].name, jstr(ev, "event")) == 0)
			break;
	if (i < nitems(kinds))
		kinds[i].take(st, c, ev);
	else
		json_decref(ev);
}

static void
take_lines(struct state *st, struct child *c, size_t from)
{
	size_t	 start = 0;
	char	*nl;

	/* What was looked at before holds no line end. */
	while ((nl = memchr(c->in.data + from, '\n', c->in.len - from)) !=
	    NULL) {
		take_line(st, c, c->in.data + start,
		    (size_t)(nl - c->in.data) - start);
		start = from = (size_t)(nl - c->in.data) + 1;
	}
	buf_drain(&c->in, start);
	if (c->in.len > LINE_MAX_BYTES && c->kill_at == 0) {
		doom(c, xstrdup("the runner wrote a line without end"));
		child_term(c, GRACE_US);
	}
}

/* Read what is there; the pipe may outlive the runner in a process it left. */
static void
child_read(struct state *st, struct child *c)
{
	char	 tmp[65536];
	ssize_t	 n;
	size_t	 from;
	int	 i;

	/* A limit, so that no chatterbox keeps us from the others. */
	for (i = 0; c->fd != -1 && i < 256; i++) {
		n = read(c->fd, tmp, sizeof(tmp));
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			close(c->fd);
			c->fd = -1;
			return;
		}
		from = c->in.len;
		buf_add(&c->in, tmp, (size_t)n);
		take_lines(st, c, from);
	}
}

/* What its exit says against it, or NULL. */
static char *
exit_reason(const struct child *c, int status)
{
	const char	*after = c->end == NULL ? "" : " after its result";
	int		 code;

	if (WIFSIGNALED(status))
		return xasprintf("the runner died%s: signal %d (%s)", after,
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	code = WEXITSTATUS(status);
	if (c->end == NULL)
		return xasprintf("the runner left without a result: exit %d",
		    code);
	/* A sanitizer's last word: the result is good, the exit is not. */
	if (verdict_of(c->end) == V_FAIL || verdict_of(c->end) == V_ERROR ||
	    code == EX_PASS || code == EX_SKIP)
		return NULL;
	return xasprintf("the runner left with exit %d after the result "
	    "\"%s\"", code, jstr(c->end, "verdict"));
}

/* The one "end" of a job, with what the runner's own end adds to it. */
static json_t *
settle(struct child *c, int status)
{
	json_t	*end = c->end;
	char	*reason;

	if ((reason = exit_reason(c, status)) != NULL)
		doom(c, reason);
	if (end == NULL)
		end = error_event(c->doom);
	else if (c->doom != NULL) {
		json_object_set_new(end, "verdict", json_string("error"));
		set_text(end, "reason", c->doom);
	}
	if (c->useless)
		json_object_set_new(end, "ended", json_true());
	return end;
}

static void
child_finish(struct state *st, struct child *c, int status)
{
	child_read(st, c);
	if (c->fd != -1)
		close(c->fd);
	/* Once we end them ourselves, only a result from before counts. */
	if (!st->stopping)
		c->end = settle(c, status);
	if (c->end != NULL) {
		if (!c->started)
			send_event(st, c->job, new_event("start"));
		send_event(st, c->job, c->end);
	}
	buf_free(&c->in);
	free(c->doom);
	memset(c, 0, sizeof(*c));
	st->active--;
}

static void
reap(struct state *st)
{
	struct child	*c;
	size_t		 i;
	int		 status;

	for (i = 0; i < st->pool->parallel; i++) {
		c = &st->child[i];
		if (c->job == NULL ||
		    waitpid(c->pid, &status, WNOHANG) != c->pid)
			continue;
		child_finish(st, c, status);
	}
}

static const struct job *
next_job(struct state *st)
{
	const struct pool	*p = st->pool;

	if (st->active >= p->parallel)
		return NULL;
	if (p->next != NULL)
		return p->next(p->arg);
	return st->next < p->n ? &p->jobs[st->next++] : NULL;
}

static void
launch(struct state *st)
{
	const struct job	*job;
	struct child		*c;
	const char		*why;

	while ((job = next_job(st)) != NULL) {
		for (c = st->child; c->job != NULL; c++)
			;
		if (child_fork(st, c, job) == -1) {
			why = strerror(errno);
			send_event(st, job, new_event("start"));
			send_event(st, job, error_event(why));
			continue;
		}
		c->job = job;
		c->began = c->alive = now_us();
		st->active++;
	}
}

static void
watch(struct state *st)
{
	struct child	*c;
	uint64_t	 now = now_us();
	size_t		 i;

	for (i = 0; i < st->pool->parallel; i++) {
		c = &st->child[i];
		if (c->job == NULL)
			continue;
		if (c->kill_at != 0 && now >= c->kill_at) {
			if (c->end != NULL)
				doom(c, xstrdup("the runner did not leave "
				    "after its result"));
			kill(c->pid, SIGKILL);
			c->kill_at = 0;
			c->alive = now;		/* and ask again, if need be */
		} else if (c->kill_at == 0 && now - c->alive >
		    st->pool->watchdog * SECOND) {
			doom(c, xasprintf("no sign of life for %u seconds",
			    st->pool->watchdog));
			/* Time for a last word: it knows where it hangs. */
			child_term(c, 30 * SECOND);
		}
	}
}

static void
end_useless(struct state *st)
{
	const struct pool	*p = st->pool;
	struct child		*c;

	for (c = st->child; p->useless != NULL &&
	    c < st->child + p->parallel; c++) {
		if (c->job == NULL || c->kill_at != 0 ||
		    !p->useless(p->arg, now_us() - c->began))
			continue;
		c->useless = 1;
		child_term(c, GRACE_US);
	}
}

static void
wait_event(struct state *st)
{
	const struct timespec	 tick = { 0, TICK_NS };
	struct pollfd		*pfd;
	size_t			 i;

	pfd = xcalloc(st->pool->parallel, sizeof(*pfd));
	for (i = 0; i < st->pool->parallel; i++) {
		pfd[i].fd = st->child[i].job == NULL ? -1 : st->child[i].fd;
		pfd[i].events = POLLIN;
	}
	if (ppoll(pfd, st->pool->parallel, &tick, &st->mask) == -1 &&
	    errno != EINTR)
		err(EX_SETUP, "ppoll");
	for (i = 0; i < st->pool->parallel; i++)
		if (pfd[i].fd != -1)
			child_read(st, &st->child[i]);
	free(pfd);
}

/* The second time nothing is left to wait for. */
static void
stop(struct state *st)
{
	size_t	 i;

	for (i = 0; i < st->pool->parallel; i++)
		if (st->child[i].job != NULL)
			child_term(&st->child[i], st->stopping ? 0 : GRACE_US);
	st->stopping = caught;
	caught = 0;
}

int
pool_run(const struct pool *p)
{
	struct state	 st = { .pool = p };

	st.child = xcalloc(p->parallel, sizeof(*st.child));
	signals_setup(&st);
	for (;;) {
		if (!st.stopping)
			launch(&st);
		if (st.active == 0)
			break;
		wait_event(&st);
		reap(&st);
		if (caught)
			stop(&st);
		watch(&st);
		end_useless(&st);
		p->tick(p->arg);
	}
	free(st.child);
	return st.stopping;
}
