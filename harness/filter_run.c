/* The filters of a run: judged, and under a tap if they are real. */
#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "account.h"
#include "filter_conf.h"
#include "filter_judge.h"
#include "filter_line.h"
#include "filter_run.h"
#include "filter_start.h"
#include "oracle_filter.h"
#include "parser.h"
#include "real_filter.h"
#include "regex.h"
#include "relay.h"
#include "run.h"
#include "sandbox.h"
#include "tap.h"
#include "target.h"

#define OWED		30000000	/* us for an answer of a real filter, at least */
#define MAX_TRACE	400	/* lines of each filter in the transcript */

struct seat {
	TAILQ_ENTRY(seat) entry;
	struct filters	*filters;
	char		*name;
	char		*relay_name;	/* the relay's name for its tap */
	struct relay_user user;
	struct filter_judge *judge;
	struct tap	*tap;
	struct tap_faults *faults;	/* or NULL */
	struct relay	*relay;
	unsigned	 others;
	int		 gone;
	unsigned long	 ntrace;
	struct filter_start start;
};

struct filters {
	struct run	*run;
	struct filter_conf *conf;
	TAILQ_HEAD(, seat) seats;
	char		**bare;		/* names of those without a tap */
	size_t		 nbare;
};

static void
on_objection(void *arg, const struct filter_objection *o)
{
	struct seat *seat = arg;

	filter_object(seat->filters->run, seat->name, o->id, o->text, o->got);
}

/* Where a scenario is patient with its filters, so are their judges. */
static uint64_t
owed_within(const struct scenario *sc)
{
	return sc->timeout < OWED ? OWED : sc->timeout + 1000000;
}

/* What comes after another filter is no more what the client said. */
static void
on_line(void *arg, const struct filter_line *fl)
{
	struct seat *seat = arg;

	if (seat->filters->run->wires != NULL && (fl->kind == FILTER_REPORT ||
	    !(seat->others & OTHERS_BEFORE)))
		wires_line(seat->filters->run->wires, seat->name, fl);
}

static struct seat *
seat_find(const struct filters *f, const char *name)
{
	struct seat *seat;

	TAILQ_FOREACH(seat, &f->seats, entry)
		if (strcmp(seat->name, name) == 0)
			return seat;
	return NULL;
}

static struct seat *
seat_new(struct filters *f, const char *name, unsigned sides)
{
	const struct conf_proc *p = filter_conf_find(f->conf, name);
	static const char *const nowhere = NULL;
	struct filter_facts facts = { .sides = sides,
	    .owed = owed_within(f->run->sc) };
	struct seat *seat = xcalloc(1, sizeof(*seat)), *before;

	facts.daemon = f->run->target->version;
	if (p != NULL) {
		facts.subsystems = p->subsystems;
		facts.others = p->others;
		facts.entries = p->entries;
		if (!filter_conf_includes(f->conf)) {
			facts.listeners = p->nlisteners == 0 ? &nowhere :
			    (const char *const *)p->listener;
			facts.nlisteners = p->nlisteners;
		}
		seat->others = p->others;
	}
	seat->filters = f;
	seat->name = xstrdup(name);
	seat->start.limit = f->run->sc->timeout;
	seat->judge = filter_judge_new(name, &facts, on_objection, seat);
	filter_judge_watch(seat->judge, on_line, seat);
	TAILQ_INSERT_TAIL(&f->seats, seat, entry);
	before = p == NULL || p->before == NULL ? NULL :
	    seat_find(f, p->before);
	if (before != NULL)
		filter_judge_after(seat->judge, before->judge);
	return seat;
}

/* --- taps ----------------------------------------------------------------- */

static void
tap_line(void *arg, char dir, const char *text, size_t len)
{
	struct seat *seat = arg;
	char d[2] = { dir, '\0' };

	filter_start_line(&seat->start, dir, text, len);
	if (seat->ntrace++ < MAX_TRACE)
		run_trace(seat->filters->run, NULL, seat->name, d, text, len);
}

static void
daemon_closed(void *arg)
{
	struct seat *seat = arg;

	filter_start_over(&seat->start);
}

static void
kill_filter(void *arg, int signo)
{
	struct seat *seat = arg;

	if (seat->relay != NULL && !seat->gone)
		sandbox_kill(seat->filters->run->sb, seat->relay->command,
		    signo);
}

static void
attach(struct relay *r, void *arg)
{
	struct seat *seat = arg;
	struct tap_spec spec = { .base = seat->filters->run->base,
	    .judge = seat->judge, .t0 = seat->filters->run->t0,
	    .line = tap_line, .faults = seat->faults, .kill = kill_filter,
	    .eof = daemon_closed, .arg = seat };
	struct tap_ends e = { r->fd[RELAY_IO], r->fd[RELAY_ERR], -1,
	    r->fd[RELAY_CMD_IO], r->fd[RELAY_CMD_ERR] };
	int i;

	if (seat->tap != NULL) {
		run_error(seat->filters->run, "smtpd has started %s twice",
		    seat->name);
		return;
	}
	for (i = 0; i < RELAY_FDS; i++)
		r->fd[i] = -1;
	seat->relay = r;
	seat->tap = tap_new(&spec, &e);
}

/* The relay ends as its command has. */
static void
ended(struct relay *r, int gone, void *arg)
{
	struct seat *seat = arg;

	if (gone) {
		seat->relay = NULL;
		return;
	}
	seat->gone = 1;
	filter_start_ended(&seat->start, r->status);
	tap_ended(seat->tap, r->status);
	/* smtpd sees its end of the socket closed, as without us */
	tap_free(seat->tap);
	seat->tap = NULL;
	if (WIFSIGNALED(r->status))
		relay_kill(r, WTERMSIG(r->status));
	else
		relay_exit(r, WEXITSTATUS(r->status));
}

/*
 * The command as a word of the shell's, inside a quoted string of smtpd.conf,
 * where a backslash takes a quote or blank for what it is.
 */
static void
add_command(struct buf *b, const char *command)
{
	const char *p;

	buf_addf(b, "'exec %s", *command == '/' ? "" : FILTER_LIBEXEC "/");
	for (p = command; *p != '\0'; p++) {
		if (*p == '\'')
			buf_addstr(b, "'\\'");
		if (*p == '"' || (p > command && p[-1] == '\\' &&
		    (*p == ' ' || *p == '\t')))
			buf_addstr(b, "\\");
		buf_add(b, p, 1);
	}
	buf_addstr(b, "'");
}

static int
is_ours(const struct conf_proc *p)
{
	return strncmp(p->command, RELAY_PATH, strlen(RELAY_PATH)) == 0;
}

/* They were looked at when the scenario was read. */
static void
add_faults(struct seat *seat)
{
	const struct run *run = seat->filters->run;
	const struct fault *fa;
	char msg[256];

	STAILQ_FOREACH(fa, &run->sc->faults, entry) {
		if (strcmp(fa->filter, seat->name) != 0)
			continue;
		if (seat->faults == NULL)
			seat->faults = tap_faults_new(choice_stream(
			    run->choices, seat->name));
		tap_faults_add(seat->faults, fa->spec, msg, sizeof(msg));
	}
}

/* A fault needs a tap to do it. */
static int
check_faults(struct filters *f)
{
	const struct fault *fa;
	const struct seat *seat;

	STAILQ_FOREACH(fa, &f->run->sc->faults, entry) {
		seat = seat_find(f, fa->filter);
		if (seat != NULL && seat->relay_name != NULL)
			continue;
		run_error(f->run, "%s:%d:%d: smtpd.conf runs no command as "
		    "filter %s, behind a tap", fa->pos.file, fa->pos.line,
		    fa->pos.col, fa->filter);
		return -1;
	}
	return 0;
}

static void
add_bare(struct filters *f, const char *name)
{
	f->bare = xreallocarray(f->bare, f->nbare + 1, sizeof(*f->bare));
	f->bare[f->nbare++] = xstrdup(name);
}

/* What is run as it is although nobody asked for it is said. */
static void
note_untapped(struct run *run, const char *name, const char *why)
{
	char *before = run->note;

	run->note = xasprintf("%s%s%s is not watched: %s",
	    before == NULL ? "" : before, before == NULL ? "" : "; ", name,
	    why);
	free(before);
}

/*
 * smtpd starts it in there, and so the relay has to be there as well.  That
 * there is no such directory is for smtpd to say.
 */
static int
enter_chroot(const struct conf_proc *p)
{
	return p->chroot == NULL || access(p->chroot, F_OK) == -1 ||
	    relay_install(strcmp(p->chroot, "/") == 0 ? "" : p->chroot) == 0;
}

/* Can a tap, or a filter of ours, stand there?  0 after a note why not. */
static int
may_watch(struct run *run, const struct conf_proc *p)
{
	char *why;

	if (p->len == 0) {
		note_untapped(run, p->name, "its command is part of a macro");
		return 0;
	}
	if (enter_chroot(p))
		return 1;
	why = xasprintf("chroot %s: %s", p->chroot, strerror(errno));
	note_untapped(run, p->name, why);
	free(why);
	return 0;
}

/* -1 after run_error(). */
static int
tap_command(struct filters *f, const struct conf_proc *p, size_t n,
    struct buf *b)
{
	struct seat *seat = seat_new(f, p->name, JUDGE_DAEMON | JUDGE_FILTER);

	add_faults(seat);
	seat->relay_name = xasprintf("tap-%zu", n);
	seat->user.attach = attach;
	seat->user.ended = ended;
	seat->user.arg = seat;
	buf_addf(b, "\"" RELAY_PATH " -x %s /bin/sh -c ", seat->relay_name);
	add_command(b, p->command);
	buf_addstr(b, "\"");
	return relay_expect(f->run, seat->relay_name, &seat->user);
}

char *
filters_conf(struct run *run, const char *text, const char *actors)
{
	struct filters *f = xcalloc(1, sizeof(*f));
	const struct role *r = run->daemon.actor->role;
	const struct conf_proc *p;
	char *all = xasprintf("%s\n%s", text, actors);
	size_t i, done = 0, len = strlen(text);
	struct buf b = { 0 };

	run->filters = f;
	f->run = run;
	TAILQ_INIT(&f->seats);
	f->conf = filter_conf_parse(all);
	if (filter_conf_proc(f->conf, 0) != NULL)
		run->wires = wires_new();
	free(all);
	for (i = 0; (p = filter_conf_proc(f->conf, i)) != NULL; i++) {
		if (p->off >= len)
			continue;
		if ((!is_ours(p) && opt_find(&r->opts, "untapped") != NULL) ||
		    !may_watch(run, p)) {
			add_bare(f, p->name);
			continue;
		}
		if (is_ours(p))
			continue;
		buf_add(&b, text + done, p->off - done);
		done = p->off + p->len;
		if (tap_command(f, p, i, &b) == -1) {
			buf_free(&b);
			return NULL;
		}
	}
	buf_addstr(&b, text + done);
	if (filter_conf_includes(f->conf))
		note_untapped(run, "a filter in an included file",
		    "smtpd.conf itself is looked at");
	if (check_faults(f) == -1) {
		buf_free(&b);
		return NULL;
	}
	return b.data;
}

int
filters_tapped(const struct run *run)
{
	const struct seat *seat;

	if (run->filters != NULL)
		TAILQ_FOREACH(seat, &run->filters->seats, entry)
			if (seat->relay_name != NULL)
				return 1;
	return 0;
}

/* --- are they ready? ------------------------------------------------------ */

static int
seat_lives(const struct seat *seat)
{
	return seat->start.ready && !seat->gone && seat->tap != NULL &&
	    !tap_closed(seat->tap);
}

int
filters_ready(const struct run *run)
{
	const struct seat *seat;

	if (run->filters != NULL)
		TAILQ_FOREACH(seat, &run->filters->seats, entry)
			if (seat->relay_name != NULL && !seat_lives(seat))
				return 0;
	return 1;
}

char *
filters_broken(struct run *run)
{
	struct seat *seat;
	char *what, *text;

	if (run->filters == NULL)
		return NULL;
	TAILQ_FOREACH(seat, &run->filters->seats, entry) {
		if (seat->relay_name == NULL)
			continue;
		if (seat->tap != NULL)
			tap_look(seat->tap, &seat->start);
		if ((what = filter_start_broken(&seat->start)) == NULL)
			continue;
		text = xasprintf("%s %s", seat->name, what);
		free(what);
		return text;
	}
	return NULL;
}

/* Its stderr is in the daemon's log, and so is its end. */
static char *
bare_words(const struct run *run, const char *name, int *lost)
{
	char *before = xasprintf("%s: ", name), *text;
	char *end = xasprintf("lost processor: %s ", name);
	const char *line, *last = "";
	const json_t *j;
	size_t i;

	*lost = 0;
	json_array_foreach(run->daemon.log, i, j) {
		line = json_string_value(j);
		*lost |= strstr(line, end) != NULL;
		if (strncmp(line, before, strlen(before)) == 0)
			last = line + strlen(name);
	}
	text = xasprintf("%s, which has no tap, %s%s", name, *lost ?
	    "has ended" : "may not be ready", last);
	free(before);
	free(end);
	return text;
}

char *
filters_bare(const struct run *run, int ended)
{
	const struct filters *f = run->filters;
	char *text = NULL;
	int lost = 0;
	size_t i;

	for (i = 0; f != NULL && i < f->nbare && !lost; i++) {
		free(text);
		text = bare_words(run, f->bare[i], &lost);
	}
	if (!ended || lost)
		return text;
	free(text);
	return NULL;
}

int
filters_blame(struct run *run, int ended)
{
	char *text;

	if (run->heard || (text = filters_bare(run, ended)) == NULL)
		return 0;
	run_error(run, "the daemon greets nobody: %s", text);
	free(text);
	return 1;
}

struct filter_judge *
filters_judge(struct run *run, const char *name)
{
	struct seat *seat;

	if (run->filters == NULL || run->target == NULL)
		return NULL;
	if ((seat = seat_find(run->filters, name)) == NULL)
		seat = seat_new(run->filters, name, JUDGE_DAEMON);
	return seat->judge;
}

/* --- the end -------------------------------------------------------------- */

/* The header smtpd has put before what it stored. */
static size_t
added_header(const char *text)
{
	static const char *const names[] = { "Return-Path: ", "Delivered-To: " };
	const char *p = text, *nl;
	size_t i;

	for (i = 0; i < nitems(names); i++)
		if (strncasecmp(p, names[i], strlen(names[i])) == 0 &&
		    (nl = strchr(p, '\n')) != NULL)
			p = nl + 1;
	return (size_t)(p - text);
}

static void
msgid_group(void *arg, const char *name, const char *value, size_t len)
{
	char hex[16];

	(void)name;
	snprintf(hex, sizeof(hex), "%.*s", (int)len, value);
	*(uint32_t *)arg = (uint32_t)strtoul(hex, NULL, 16);
}

/* What arrived in a maildir is what was stored and two fields. */
static void
judge_stored(struct filters *f)
{
	static const char id[] = "\\A(?:X-Spam: Yes\\n)?Received: "
	    "(?:.*\\n\\s)?.* with \\w+ id (?<id>[0-9a-f]{8})\\b";
	const struct arrival *a;
	struct seat *seat;
	uint32_t msgid;
	size_t skip;

	TAILQ_FOREACH(a, account_arrivals(f->run->account), entry) {
		if (strncmp(a->place, "maildir ", 8) != 0)
			continue;
		skip = added_header(a->text);
		if (!regex_match(id, a->text + skip, a->len - skip,
		    msgid_group, &msgid))
			continue;
		TAILQ_FOREACH(seat, &f->seats, entry)
			filter_judge_stored(seat->judge,
			    now_us() - f->run->t0, msgid, a->size - skip);
	}
}

static void
on_wire(void *arg, const char *filter, const char *id, const char *demand,
    const char *got)
{
	filter_object(arg, filter, id, demand, got);
}

void
filters_finish(struct run *run)
{
	struct filters *f = run->filters;
	struct seat *seat;

	if (f == NULL || TAILQ_EMPTY(&f->seats))
		return;
	judge_stored(f);
	if (run->wires != NULL)
		wires_judge(run->wires, on_wire, run);
	TAILQ_FOREACH(seat, &f->seats, entry)
		filter_judge_end(seat->judge, now_us() - run->t0);
}

void
filters_free(struct run *run)
{
	struct filters *f = run->filters;
	struct seat *seat;

	if (f == NULL)
		return;
	while ((seat = TAILQ_FIRST(&f->seats)) != NULL) {
		TAILQ_REMOVE(&f->seats, seat, entry);
		tap_free(seat->tap);
		tap_faults_free(seat->faults);
		filter_judge_free(seat->judge);
		filter_start_free(&seat->start);
		free(seat->relay_name);
		free(seat->name);
		free(seat);
	}
	while (f->nbare > 0)
		free(f->bare[--f->nbare]);
	free(f->bare);
	wires_free(run->wires);
	run->wires = NULL;
	filter_conf_free(f->conf);
	free(f);
	run->filters = NULL;
}
