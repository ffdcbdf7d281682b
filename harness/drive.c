/* The engine of "drive": one filter process from its start to its end. */
#include <sys/types.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drive_priv.h"
#include "sandbox.h"

#define TICK		20000		/* us */
#define BURST		200		/* steps before we listen again */
#define QUEUED_MAX	(512 * 1024)	/* octets it has not read yet */
#define LINGER		50000		/* us, for an answer too many */
#define REST		5000		/* us, between rounds */
#define DEAF_TIME	2000000
#define HUNG_MAX	5
#define KILLED_TIME	1000000
#define LEFT_TIME	500000
#define RING_TEXT	400		/* of a line that is remembered */
#define SAID_MAX	8192

const char *const drive_decisions[DRIVE_DECISIONS] = {
	[DRIVE_PROCEED] = "proceed", [DRIVE_JUNK] = "junk",
	[DRIVE_REWRITE] = "rewrite", [DRIVE_REJECT] = "reject",
	[DRIVE_DISCONNECT] = "disconnect", [DRIVE_REPORT] = "report",
	[DRIVE_NONE] = "unknown",
};

uint64_t
drive_now(const struct drive *d)
{
	return now_us() - d->t0;
}

/* --- what was seen, for those who want to know why ------------------------ */

static void
remember(struct drive *d, char dir, const char *text, size_t len)
{
	struct ring_line *r = &d->ring[d->nring % RING];

	r->usec = drive_now(d);
	r->dir = dir;
	r->seq = d->nring++;
	r->len = len;
	if (r->text == NULL)
		r->text = xcalloc(1, RING_TEXT + 1);
	if (len > RING_TEXT)
		len = RING_TEXT;
	memcpy(r->text, text, len);
	r->text[len] = '\0';
}

static void
line_text(struct buf *b, const struct ring_line *r)
{
	size_t kept = r->len > RING_TEXT ? RING_TEXT : r->len;

	buf_addf(b, "%3llu.%06llu %c ", (unsigned long long)r->usec / 1000000,
	    (unsigned long long)r->usec % 1000000, r->dir);
	buf_addvis(b, r->text, kept);
	if (kept < r->len)
		buf_addf(b, "... (%zu octets)", r->len);
	buf_addstr(b, "\n");
}

/* The last lines, of that session if there is one. */
static char *
context(const struct drive *d, uint64_t session)
{
	const struct ring_line *found[DRIVE_CONTEXT], *r;
	struct buf b = { 0 };
	uint64_t i;
	char id[20];
	int n = 0;

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)session);
	for (i = d->nring; i > 0 && d->nring - i < RING &&
	    n < DRIVE_CONTEXT; i--) {
		r = &d->ring[(i - 1) % RING];
		if (session == 0 || strstr(r->text, id) != NULL)
			found[n++] = r;
	}
	while (n > 0)
		line_text(&b, found[--n]);
	return b.data == NULL ? xstrdup("") : b.data;
}

static struct drive_broken *
broken_find(struct drive_result *res, const char *id, const char *text)
{
	struct drive_broken *b;
	size_t i;

	for (i = 0; i < res->nbroken; i++)
		if (strcmp(res->broken[i].id, id) == 0)
			return &res->broken[i];
	res->broken = xreallocarray(res->broken, res->nbroken + 1,
	    sizeof(*res->broken));
	b = &res->broken[res->nbroken++];
	memset(b, 0, sizeof(*b));
	b->id = xstrdup(id);
	b->text = xstrdup(text);
	return b;
}

static void
on_objection(void *arg, const struct filter_objection *o)
{
	struct drive *d = arg;
	struct drive_broken *b = broken_find(d->res, o->id, o->text);

	if (b->n < DRIVE_EXAMPLES) {
		b->example[b->n].got = xstrdup(o->got);
		/* before it is ready the lines are always the same */
		b->example[b->n].lines = d->ready == 0 ? xstrdup("") :
		    context(d, o->session);
	}
	b->n++;
}

void
drive_object(struct drive *d, const char *id, uint64_t session,
    const char *fmt, ...)
{
	struct filter_objection o = { .id = id, .text = "", .session = session };
	const struct filter_rule *rule;
	va_list ap;
	char *text;
	size_t i;

	for (i = 0; (rule = filter_judge_rule(i)) != NULL; i++)
		if (strcmp(rule->id, id) == 0)
			o.text = rule->text;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) == -1)
		abort();
	va_end(ap);
	o.got = text;
	on_objection(d, &o);
	free(text);
}

/* --- what is said --------------------------------------------------------- */

void
drive_send(struct drive *d, const char *line, size_t len)
{
	uint64_t now = drive_now(d);

	if (d->eof || d->exited)
		return;
	remember(d, 'D', line, len - 1);
	filter_start_line(&d->start, 'D', line, len - 1);
	filter_judge_line(d->judge, 'D', now, line, len - 1, 1);
	if (d->log != NULL)
		filter_log_line(d->log, now, 'D', line, len - 1, 1);
	drive_proc_write(d->proc, line, len);
}

static void __attribute__((format(printf, 2, 3)))
config(struct drive *d, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	if ((n = vasprintf(&text, fmt, ap)) == -1)
		abort();
	va_end(ap);
	drive_send(d, text, (size_t)n);
	free(text);
}

/* The release that spoke this version, and how it introduces itself. */
static void
handshake(struct drive *d)
{
	static const char *const releases[] = {
		[4] = "6.6.4p1", [5] = "6.7.0", [6] = "6.8.0p2",
		[7] = "7.9.0-portable"
	};
	int v = d->conf->version;

	config(d, "config|smtpd-version|%s\n", releases[v]);
	if (d->hostile & (HOSTILE_VERSION_8 | HOSTILE_VERSION_10))
		config(d, "config|protocol|0.%d\n",
		    d->hostile & HOSTILE_VERSION_8 ? 8 : 10);
	else if (v >= 7)
		config(d, "config|protocol|0.%d\n", v);
	config(d, "config|smtp-session-timeout|300\n");
	config(d, "config|subsystem|smtp-in\n");
	config(d, "config|subsystem|smtp-out\n");
	if (d->hostile & HOSTILE_CONFIG) {
		config(d, "config|unknown-key|value\n");
		config(d, "config|unknown-key|several|values||\n");
		config(d, "config|empty|\n");
	}
	if (v >= 6)
		config(d, "config|admd|mx.example.org\n");
	if (!(d->hostile & HOSTILE_EOF_EARLY))
		config(d, "config|ready\n");
}

/* --- ends ----------------------------------------------------------------- */

static void
stop(struct drive *d)
{
	d->stop = 1;
	event_base_loopbreak(d->base);
}

/* Nothing more will be said. */
static void
finish(struct drive *d)
{
	if (d->eof)
		return;
	d->finishing = d->eof = 1;
	d->eof_at = drive_now(d);
	filter_judge_eof(d->judge, 'D', d->eof_at);
	if (d->log != NULL)
		filter_log_note(d->log, d->eof_at, "eof D");
	drive_proc_eof(d->proc);
}

/* Processes that it has started and not ended; in a sandbox only. */
static int
left_behind(const struct drive *d, int signo)
{
	struct dirent *de;
	pid_t pid;
	DIR *dir;
	int n = 0;

	if (d->conf->sb == NULL || (dir = opendir("/proc")) == NULL)
		return 0;
	while ((de = readdir(dir)) != NULL) {
		if ((pid = (pid_t)strtol(de->d_name, NULL, 10)) <= 1 ||
		    pid == drive_proc_pid(d->proc))
			continue;
		n++;
		if (signo != 0)
			sandbox_kill(d->conf->sb, pid, signo);
	}
	closedir(dir);
	return n;
}

static void
not_gone(struct drive *d, uint64_t now)
{
	struct drive_usage u;
	uint64_t cpu = 0;

	if (drive_usage(drive_proc_pid(d->proc), &u) == 0)
		cpu = u.cpu;
	usleep(100000);
	if (drive_usage(drive_proc_pid(d->proc), &u) == 0)
		cpu = u.cpu - cpu;
	drive_object(d, "F29", 0, "it still runs %llu ms after the end of its "
	    "stdin%s", (unsigned long long)(now - d->eof_at) / 1000,
	    cpu > 50000 ? ", and spins" : "");
	drive_proc_kill(d->proc, SIGKILL);
	d->eof_at = now;
	d->cutoff = 1;
	d->res->status = -1;
}

/* After the end of its stdin, or its own. */
static void
ending(struct drive *d, uint64_t now)
{
	int n;

	if (!d->exited) {
		if (d->cutoff && now - d->eof_at > KILLED_TIME)
			stop(d);
		else if (!d->cutoff && now - d->eof_at > d->owed)
			not_gone(d, now);
		return;
	}
	if (left_behind(d, 0) == 0 || now - d->eof_at > LEFT_TIME) {
		if ((n = left_behind(d, SIGKILL)) > 0 && !d->cutoff)
			drive_object(d, "F29", 0, "it is gone and leaves %d "
			    "process%s behind", n, n == 1 ? "" : "es");
		stop(d);
	}
}

/* --- time ----------------------------------------------------------------- */

static void
hung(struct drive *d, struct dsession *s)
{
	if (d->res->hung++ == 0 && drive_proc_pid(d->proc) != 0)
		d->res->hang = drive_proc_backtrace(d->proc);
	dsession_timeout(s);
	if (d->res->hung < HUNG_MAX)
		return;
	d->cutoff = 1;
	drive_proc_kill(d->proc, SIGKILL);
	finish(d);
}

static void
look_for_hung(struct drive *d, uint64_t now)
{
	struct dsession *s, *next;

	/* it has crashed, and is going to end */
	if (drive_stopped(drive_proc_pid(d->proc)))
		return;
	filter_judge_time(d->judge, now);
	TAILQ_FOREACH_SAFE(s, &d->sessions, entry, next) {
		if (d->eof)
			return;
		if (!s->over && s->next == NULL && now - s->since >
		    d->owed + TICK)
			hung(d, s);
	}
}

/* A filter that bears no more than ordinary input does not come this far. */
static void
look_at_start(struct drive *d, uint64_t now)
{
	const char *text;
	char *broken;
	size_t len;

	if ((text = drive_proc_partial(d->proc, &len)) != NULL)
		filter_start_partial(&d->start, text, len);
	if (d->hostile == 0) {
		if ((broken = filter_start_broken(&d->start)) == NULL)
			return;
		free(broken);
		d->unready = 1;
	} else if (now <= d->begun + d->owed + TICK)
		return;
	filter_judge_time(d->judge, now);
	d->cutoff = 1;
	drive_proc_kill(d->proc, SIGKILL);
	finish(d);
}

static void	work_in(struct drive *, uint64_t us);

static void
on_tick(int fd, short what, void *arg)
{
	struct drive *d = arg;
	uint64_t now = drive_now(d);

	(void)fd;
	(void)what;
	if (d->conf->progress != NULL && !d->finishing &&
	    d->conf->progress(d->conf->arg, d->ndone, d->total)) {
		d->res->gaveup = d->cutoff = 1;
		stop(d);
		return;
	}
	if (d->deaf != 0 && now >= d->deaf) {
		d->deaf = 0;
		drive_proc_deaf(d->proc, 0);
	}
	if (d->eof || d->exited)
		ending(d, now);
	else if (d->ready == 0)
		look_at_start(d, now);
	else if (d->ready != 0 && d->deaf == 0)
		look_for_hung(d, now);
	work_in(d, 0);
}

/* --- sessions ------------------------------------------------------------- */

static void
reap(struct drive *d)
{
	struct dsession *s, *next;

	TAILQ_FOREACH_SAFE(s, &d->sessions, entry, next)
		if (s->over) {
			dsession_free(s);
			d->nopen--;
			d->ndone++;
		}
}

static void
measure(struct drive *d)
{
	struct drive_result *res = d->res;

	if (d->conf->rounds != NULL)
		d->conf->after(d->conf->arg, d->nrounds++,
		    drive_proc_pid(d->proc));
	else if (d->conf->usage && res->nusage < nitems(res->usage) &&
	    drive_usage(drive_proc_pid(d->proc),
	    &res->usage[res->nusage]) == 0)
		res->nusage++;
}

/*
 * What grew to the end may be a heap that is not collected yet, as Go's are at
 * first: more rounds tell it from a leak.
 */
static void
go_on(struct drive *d)
{
	size_t n = d->res->nusage;

	if (d->conf->usage && d->round > 0 && d->nbegun == d->total &&
	    n >= DRIVE_ROUNDS && n < DRIVE_LOOKS &&
	    drive_heap_grows(d->res->usage, n))
		d->total += d->round;
}

/* So many may have begun: a round at a time where usage is looked at. */
static unsigned long
limit(struct drive *d)
{
	unsigned long rounds, n = 0;
	unsigned int i;

	if (d->conf->rounds != NULL) {
		for (i = 0; i <= d->nrounds && i < d->conf->nrounds; i++)
			n += d->conf->rounds[i];
		return n;
	}
	if (!d->conf->usage || d->round == 0)
		return d->total;
	rounds = d->res->nusage + 1;
	return rounds >= DRIVE_ROUNDS ? d->total : rounds * d->round;
}

static void
begin(struct drive *d)
{
	while (!d->finishing && d->nopen < d->parallel &&
	    d->nbegun < limit(d)) {
		dsession_new(d, ++d->nbegun);
		d->nopen++;
		d->res->sessions++;
	}
}

/* Each that waits for nothing takes a few steps. */
static int
turn(struct drive *d)
{
	struct dsession *s;
	int n, steps = 0;

	TAILQ_FOREACH(s, &d->sessions, entry) {
		if (s->over || s->next == NULL)
			continue;
		n = (int)choice_draw(s->stream, "steps", (struct range){ 1, 4 });
		for (; n > 0 && !s->over && s->next != NULL; n--, steps++)
			dsession_step(s);
		if (steps > BURST || drive_proc_queued(d->proc) > QUEUED_MAX)
			break;
	}
	return steps;
}

/* Everything is said and answered: a round is over, or all is. */
static void
quiet(struct drive *d)
{
	uint64_t now = drive_now(d);
	uint64_t rest = d->nbegun == d->total ? LINGER : REST;

	if (d->quiet_since == 0)
		d->quiet_since = now;
	if (drive_proc_queued(d->proc) > 0)
		return;
	if (now - d->quiet_since < rest) {
		work_in(d, d->quiet_since + rest - now);
		return;
	}
	d->res->usec += d->quiet_since - d->round_began;
	d->round_began = now;
	d->quiet_since = 0;
	measure(d);
	go_on(d);
	if (d->nbegun == d->total)
		finish(d);
	else
		work_in(d, 0);
}

static void
on_work(int fd, short what, void *arg)
{
	struct drive *d = arg;
	int steps;

	(void)fd;
	(void)what;
	if (d->finishing || d->exited)
		return;
	if (d->script != NULL) {
		if (drive_script_step(d, d->script))
			quiet(d);
		return;
	}
	if (d->ready == 0)
		return;
	begin(d);
	steps = drive_proc_queued(d->proc) > QUEUED_MAX ? 0 : turn(d);
	reap(d);
	if ((d->hostile & HOSTILE_EOF) && d->ndone >= d->total / 2) {
		finish(d);
		return;
	}
	if (d->nopen == 0 && d->nbegun >= limit(d))
		quiet(d);
	else if (steps > 0)
		work_in(d, 0);
}

static void
work_in(struct drive *d, uint64_t us)
{
	struct timeval tv = { 0, (suseconds_t)us };

	if (us == 0 || !evtimer_pending(d->work, NULL))
		evtimer_add(d->work, &tv);
}

/* --- what the filter says ------------------------------------------------- */

static void
set_token(struct drive *d, int phase)
{
	uint64_t mix;

	if (d->token[phase] == 0) {
		mix = choice_draw(d->stream, filter_phases[phase].name,
		    (struct range){ 1, UINT32_MAX });
		d->token[phase] = choice_mix(&mix) | 1;
	}
}

static void
registered(struct drive *d, const struct filter_line *fl)
{
	int out = fl->subsystem != NULL && strcmp(fl->subsystem,
	    "smtp-out") == 0, i;

	if (strcmp(fl->what, "ready") == 0) {
		d->ready = d->round_began = drive_now(d);
		d->res->ready = 1;
		d->res->ready_us = d->ready;
		if (d->hostile & HOSTILE_DEAF) {
			drive_proc_deaf(d->proc, 1);
			d->deaf = d->ready + DEAF_TIME;
		}
		work_in(d, 0);
	} else if (strcmp(fl->what, "report") == 0) {
		for (i = 0; i < EV_COUNT; i++)
			if (fl->point == i || fl->point == -1)
				d->res->events[out][i] = 1;
	} else if (fl->point != -1) {
		d->res->phases[fl->point] = 1;
		set_token(d, fl->point);
	}
}

static void
heard(struct drive *d, const char *line, size_t len)
{
	struct filter_line *fl = &d->fl;
	struct dsession *s;

	if (filter_line_parse(fl, 'F', line, len, d->conf->version) == -1 &&
	    (fl->kind != FILTER_RESULT || fl->name == NULL))
		return;
	if (fl->kind == FILTER_REGISTER) {
		if (d->ready == 0)
			registered(d, fl);
		return;
	}
	if ((s = dsession_find(d, fl->id)) == NULL || s->over)
		return;
	dsession_answer(s, fl);
	if (s->next != NULL)
		work_in(d, 0);
}

static void
on_line(void *arg, char dir, const char *line, size_t len, int terminated)
{
	struct drive *d = arg;
	uint64_t now = drive_now(d);

	remember(d, dir, line, len);
	filter_start_line(&d->start, dir, line, len);
	d->quiet_since = 0;
	if (d->log != NULL)
		filter_log_line(d->log, now, dir, line, len, terminated);
	filter_judge_line(d->judge, dir, now, line, len, terminated);
	if (dir == 'F' && terminated) {
		d->nheard += drive_script_counts(line, len);
		if (d->script != NULL)
			work_in(d, 0);
		heard(d, line, len);
		return;
	}
	if (d->said.len > SAID_MAX)
		buf_drain(&d->said, d->said.len - SAID_MAX);
	buf_add(&d->said, line, len);
	buf_add(&d->said, "\n", 1);
}

static void
on_eof(void *arg, char dir)
{
	struct drive *d = arg;
	uint64_t now = drive_now(d);

	filter_judge_eof(d->judge, dir, now);
	if (d->log != NULL)
		filter_log_note(d->log, now, "eof %c", dir);
	if (dir == 'F')
		filter_start_closed(&d->start);
}

static void
on_exited(void *arg, int status)
{
	struct drive *d = arg;
	const struct drive_hostile *h = d->conf->hostile;
	uint64_t now = drive_now(d);

	d->exited = 1;
	if (!d->cutoff) {
		filter_start_ended(&d->start, status);
		d->res->died = !d->eof && d->res->ready;
		d->res->status = status;
		/* most likely it did not bear what this pass is made for */
		if (h != NULL && h->rule != 0)
			filter_judge_cause(d->judge, h->rule);
		filter_judge_exit(d->judge, now, status);
	}
	if (d->log != NULL)
		filter_log_note(d->log, now, WIFSIGNALED(status) ? "kill %d" :
		    "exit %d", WIFSIGNALED(status) ? WTERMSIG(status) :
		    WEXITSTATUS(status));
	d->eof_at = now;
}

static void
on_crashed(void *arg, int signo, const char *backtrace)
{
	struct drive *d = arg;

	if (d->res->crash == NULL)
		d->res->crash = strncmp(backtrace, "SIG", 3) == 0 ?
		    xstrdup(backtrace) : xasprintf("signal %d (%s)\n%s", signo,
		    strsignal(signo), backtrace);
}

static void
on_drained(void *arg)
{
	work_in(arg, 0);
}

static const struct drive_proc_calls calls = {
	on_line, on_eof, on_exited, on_crashed, on_drained
};

static void
on_sandbox(int fd, short what, void *arg)
{
	struct drive *d = arg;
	struct sandbox_event ev;

	(void)fd;
	(void)what;
	while (sandbox_event(d->conf->sb, &ev)) {
		/* a process that the filter has started may crash, too */
		if (!drive_proc_event(d->proc, &ev) &&
		    ev.what == SANDBOX_CRASH)
			on_crashed(d, ev.signo, ev.backtrace == NULL ? "" :
			    ev.backtrace);
		if (ev.what == SANDBOX_GONE) {
			if (d->res->error == NULL)
				d->res->error = xstrdup("the sandbox is gone");
			stop(d);
		}
		sandbox_event_free(&ev);
	}
}

/* --- the whole ------------------------------------------------------------ */

static void
start_judge(struct drive *d)
{
	struct filter_facts facts = { .sides = JUDGE_FILTER, .subsystems = 3 };

	/* our own side, too, unless it is meant to be wrong */
	if (d->hostile == 0 && d->conf->replay == NULL)
		facts.sides |= JUDGE_DAEMON;
	facts.owed = d->owed;
	facts.identity = d->conf->identity;
	d->judge = filter_judge_new(d->conf->command, &facts, on_objection, d);
}

static void
start_events(struct drive *d)
{
	static const struct timeval tick = { 0, TICK };

	d->base = event_base_new();
	d->tick = event_new(d->base, -1, EV_PERSIST, on_tick, d);
	event_add(d->tick, &tick);
	d->work = evtimer_new(d->base, on_work, d);
	if (d->conf->sb != NULL) {
		d->sbev = event_new(d->base, sandbox_fd(d->conf->sb),
		    EV_READ | EV_PERSIST, on_sandbox, d);
		event_add(d->sbev, NULL);
	}
}

static int
start(struct drive *d)
{
	const struct drive_conf *c = d->conf;
	const struct drive_hostile *h = c->hostile;
	char err[512];
	unsigned int i;

	d->hostile = h == NULL ? 0 : h->flags;
	d->total = h == NULL ? c->sessions : h->sessions;
	for (i = 0; i < c->nrounds; i++)
		d->total = (i == 0 ? 0 : d->total) + c->rounds[i];
	d->parallel = h == NULL ? c->parallel : h->parallel;
	if (c->replay != NULL)
		d->total = 0;
	d->round = d->total / DRIVE_ROUNDS;
	d->owed = d->start.limit = c->owed;
	/* that we do not listen, or speak slowly, is not its fault */
	if (d->hostile & (HOSTILE_DEAF | HOSTILE_PIECES))
		d->owed += 3 * DEAF_TIME;
	d->stream = choice_stream(c->choices, c->name);
	TAILQ_INIT(&d->sessions);
	start_events(d);
	start_judge(d);
	if (c->log != NULL && (d->log = filter_log_open(c->log)) == NULL) {
		d->res->error = xasprintf("%s: %s", c->log, strerror(errno));
		return -1;
	}
	if (c->replay != NULL && (d->script = drive_script_load(c->replay,
	    err, sizeof(err))) == NULL) {
		d->res->error = xstrdup(err);
		return -1;
	}
	d->proc = drive_proc_start(d->base, c->sb, c->command, c->untraced,
	    &calls, d, err, sizeof(err));
	if (d->proc == NULL) {
		d->res->error = xstrdup(err);
		return -1;
	}
	if (d->hostile & HOSTILE_PIECES)
		drive_proc_pieces(d->proc, d->stream, (struct range){ 1, 300 });
	if (d->script == NULL)
		handshake(d);
	d->begun = drive_now(d);
	if (d->hostile & HOSTILE_EOF_EARLY)
		finish(d);
	return 0;
}

static void
forget_broken(struct drive_result *res)
{
	size_t i, k;

	for (i = 0; i < res->nbroken; i++) {
		free(res->broken[i].id);
		free(res->broken[i].text);
		for (k = 0; k < DRIVE_EXAMPLES; k++) {
			free(res->broken[i].example[k].got);
			free(res->broken[i].example[k].lines);
		}
	}
	free(res->broken);
	res->broken = NULL;
	res->nbroken = 0;
}

/*
 * It never was ready, and that is all there is to tell: it lacks something, as
 * it says itself, or is no filter at all.
 */
static void
not_started(struct drive *d)
{
	struct drive_result *res = d->res;
	int status = d->start.status;
	char *broken;

	if (res->ready || res->error != NULL)
		return;
	/* 126 and 127 are the shell's, which has not found it */
	if (!d->unready && (!d->start.gone ||
	    !WIFEXITED(status) || (d->hostile != 0 &&
	    WEXITSTATUS(status) != 126 && WEXITSTATUS(status) != 127)))
		return;
	if ((broken = filter_start_broken(&d->start)) == NULL)
		return;
	forget_broken(res);
	res->error = xasprintf("it %s", broken);
	free(broken);
}

static void
judge_whole(struct drive *d)
{
	char *growth;

	if (!d->cutoff && !(d->hostile & HOSTILE_EOF) && d->res->ready)
		filter_judge_end(d->judge, drive_now(d));
	growth = drive_growth(d->res->usage, d->res->nusage, d->round);
	if (growth != NULL)
		drive_object(d, "F31", 0, "%s", growth);
	free(growth);
}

static void
cleanup(struct drive *d)
{
	struct dsession *s;
	size_t i;

	while ((s = TAILQ_FIRST(&d->sessions)) != NULL)
		dsession_free(s);
	if (d->proc != NULL)
		drive_proc_free(d->proc);
	if (d->script != NULL)
		drive_script_free(d->script);
	if (d->sbev != NULL)
		event_free(d->sbev);
	event_free(d->tick);
	event_free(d->work);
	event_base_free(d->base);
	filter_judge_free(d->judge);
	filter_line_free(&d->fl);
	filter_start_free(&d->start);
	for (i = 0; i < RING; i++)
		free(d->ring[i].text);
	buf_free(&d->line);
}

void
drive_run(const struct drive_conf *conf, struct drive_result *res)
{
	struct drive *d = xcalloc(1, sizeof(*d));

	memset(res, 0, sizeof(*res));
	res->status = -1;
	d->conf = conf;
	d->res = res;
	d->t0 = now_us();
	if (start(d) == 0) {
		event_base_dispatch(d->base);
		left_behind(d, SIGKILL);
		not_started(d);
		judge_whole(d);
	}
	res->said = d->said.data;
	if (d->log != NULL && filter_log_close(d->log) == -1 &&
	    res->error == NULL)
		res->error = xasprintf("%s: %s", conf->log, strerror(errno));
	cleanup(d);
	free(d);
}

void
drive_free(struct drive_result *res)
{
	forget_broken(res);
	free(res->error);
	free(res->said);
	free(res->crash);
	free(res->hang);
	memset(res, 0, sizeof(*res));
}
