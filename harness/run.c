#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "event.h"
#include "regex.h"
#include "run.h"

#define MAX_TRACE	600	/* lines a session keeps */
#define MAX_TEXT	1200	/* octets of a line */

const struct actor_kind *const actor_kinds[] = {
	&actor_client, &actor_server, &actor_smtpd, &actor_dns, &actor_process,
	&actor_http, &actor_daemon, &actor_filter, &actor_table, NULL
};

const struct oracle *const oracles[] = {
	&oracle_crash, &oracle_grammar, &oracle_replies, &oracle_accounting,
	&oracle_clean, &oracle_secret, &oracle_filter, NULL
};

int
known_applies(const struct run *run, const struct known *k)
{
	const struct word *w;

	STAILQ_FOREACH(w, &k->targets, entry)
		if (run->target != NULL && target_matches(run->target, w->text))
			return 1;
	return 0;
}

static int
known_text(const struct known *k, const char *got)
{
	size_t n = strlen(k->got);
	char *re;
	int hit;

	if (n < 2 || k->got[0] != '/' || k->got[n - 1] != '/')
		return strcmp(k->got, got) == 0;
	re = xasprintf("%.*s", (int)n - 2, k->got + 1);
	hit = regex_match(re, got, strlen(got), NULL, NULL);
	free(re);
	return hit;
}

static char *
pos_text(const struct pos *pos)
{
	return pos == NULL || pos->file == NULL ? xstrdup("") :
	    xasprintf("%s:%d:%d", pos->file, pos->line, pos->col);
}

static json_t *
string(const char *s)
{
	return json_string_nocheck(s == NULL ? "" : s);
}

/* Text of any bytes as JSON: what is not plain ASCII is escaped. */
static json_t *
printable(const char *s, size_t len)
{
	struct buf b = { 0 };
	json_t *j;

	buf_addvis(&b, s, len > MAX_TEXT ? MAX_TEXT : len);
	if (len > MAX_TEXT)
		buf_addf(&b, "... (%zu octets)", len);
	j = string(b.data);
	buf_free(&b);
	return j;
}

static void
add_words(json_t *a, const struct words *ws)
{
	const struct word *w;

	STAILQ_FOREACH(w, ws, entry)
		json_array_append_new(a, string(w->text));
}

/*
 * The requirements a deviation is from: those it names, otherwise all that the
 * scenario proves.  An oracle objects to more than the scenario is about, so of
 * its objections only those named count.
 */
static json_t *
breaks(const struct run *run, const struct known *k)
{
	json_t *a = json_array();

	if (k->told)
		add_words(a, &k->breaks);
	else if (k->oracle == NULL)
		add_words(a, &run->sc->proves);
	return a;
}

static void
note_known(struct run *run, const struct pos *pos, const struct known *k,
    const char *got)
{
	json_t *j = json_object();
	char *where = pos_text(pos);

	json_object_set_new(j, "t",
	    json_integer((json_int_t)(now_us() - run->t0)));
	json_object_set_new(j, "where", string(where));
	json_object_set_new(j, "got", printable(got, strlen(got)));
	json_object_set_new(j, "why", string(k->why));
	json_object_set_new(j, "breaks", breaks(run, k));
	json_array_append_new(run->known, j);
	free(where);
}

/* What a step that failed is about, if it is told for any target; or NULL. */
static json_t *
about(const struct knowns *knowns)
{
	const struct known *k;
	json_t *a = NULL;

	if (knowns == NULL)
		return NULL;
	STAILQ_FOREACH(k, knowns, entry)
		if (k->oracle == NULL && !STAILQ_EMPTY(&k->breaks)) {
			a = a == NULL ? json_array() : a;
			add_words(a, &k->breaks);
		}
	return a;
}

/* What an objection of an oracle is about, if it is told for any target. */
static json_t *
about_oracle(const struct run *run, const char *oracle)
{
	const struct known *k;
	json_t *a = json_array();

	STAILQ_FOREACH(k, &run->sc->knowns, entry)
		if (k->oracle != NULL && strcmp(k->oracle, oracle) == 0)
			add_words(a, &k->breaks);
	return a;
}

/* met: it is a deviation that was wanted, and the requirement is fulfilled. */
static void
note_failure(struct run *run, const struct pos *pos, const char *actor,
    const char *oracle, const struct knowns *knowns, const char *expected,
    const char *got, int met)
{
	json_t *j;
	char *where;

	/* what comes of a set-up that went wrong is nobody's fault */
	if (run->verdict != NULL)
		return;
	j = json_object();
	where = pos_text(pos);
	json_object_set_new(j, "t",
	    json_integer((json_int_t)(now_us() - run->t0)));
	json_object_set_new(j, "where", string(where));
	json_object_set_new(j, "actor", string(actor));
	json_object_set_new(j, "oracle", string(oracle));
	json_object_set_new(j, "expected", string(expected));
	if (met)
		json_object_set_new(j, "unexpected-pass", json_true());
	else if (oracle == NULL)
		json_object_set_new(j, "breaks", about(knowns));
	else if (run->foreign)
		json_object_set_new(j, "breaks", about_oracle(run, oracle));
	/* that nobody came, say, can have many reasons */
	if (oracle == NULL && knowns == NULL)
		json_object_set_new(j, "vague", json_true());
	/* a backtrace is worth its length */
	json_object_set_new(j, "got", oracle != NULL ?
	    string(got) : printable(got, strlen(got)));
	/* a fleet that falls silent must not hide what an oracle knows */
	if (json_array_size(run->failures) < (oracle == NULL ? 50 : 100))
		json_array_append_new(run->failures, j);
	else
		json_decref(j);
	run->failed = 1;
	/* of a server that is not ours, all deviations are wanted */
	run->stop |= !run->foreign;
	free(where);
}

static void
pins_seen(const struct knowns *knowns)
{
	struct known *k;

	STAILQ_FOREACH(k, knowns, entry)
		k->seen = 1;
}

int
run_judge(struct run *run, const struct pos *pos, const char *actor,
    const char *oracle, const struct knowns *knowns, const char *expected,
    const char *got)
{
	struct known *k;

	if (knowns != NULL) {
		pins_seen(knowns);
		STAILQ_FOREACH(k, knowns, entry) {
			if (k->oracle != NULL && (oracle == NULL ||
			    strcmp(k->oracle, oracle) != 0))
				continue;
			if (known_applies(run, k) && known_text(k, got)) {
				k->used++;
				note_known(run, pos == NULL ? &k->pos : pos, k,
				    got);
				return 1;
			}
		}
	}
	note_failure(run, pos, actor, oracle, knowns, expected, got, 0);
	return 0;
}

void
run_conforms(struct run *run, const struct pos *pos, const char *actor,
    const struct knowns *knowns)
{
	const struct known *k;
	char *text;

	pins_seen(knowns);
	STAILQ_FOREACH(k, knowns, entry) {
		if (!known_applies(run, k))
			continue;
		text = xasprintf("the known deviation \"%s\"", k->got);
		note_failure(run, pos, actor, NULL, NULL, text,
		    "an unexpected pass: it conforms now; take the known line "
		    "out, or narrow its targets", 1);
		free(text);
		return;
	}
}

void
run_stale(struct run *run, const struct pos *pos, const char *expected,
    const char *got)
{
	note_failure(run, pos, NULL, NULL, NULL, expected, got, 1);
}

static int
oracle_waived(const struct run *run, const struct oracle *o)
{
	const struct waive *w;

	STAILQ_FOREACH(w, &run->sc->waives, entry)
		if (strcmp(w->oracle, o->name) == 0)
			return 1;
	return 0;
}

int
oracle_object(struct run *run, const struct oracle *o, const char *actor,
    const char *fmt, ...)
{
	struct buf b = { 0 };
	char *text;
	va_list ap;
	int known, n;

	if (oracle_waived(run, o))
		return 1;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n == -1)
		abort();
	buf_addvis(&b, text, (size_t)n);
	known = run_judge(run, NULL, actor, o->name, &run->sc->knowns, o->text,
	    strchr(text, '\n') != NULL ? text : b.data);
	buf_free(&b);
	free(text);
	return known;
}

int
oracle_object_to(struct run *run, const struct oracle *o, const char *actor,
    const char *expected, const char *got)
{
	return oracle_waived(run, o) ? 1 : run_judge(run, NULL, actor, o->name,
	    &run->sc->knowns, expected, got);
}

void
run_error(struct run *run, const char *fmt, ...)
{
	va_list ap;

	run->stop = 1;
	if (run->verdict != NULL)
		return;
	run->verdict = "error";
	va_start(ap, fmt);
	if (vasprintf(&run->reason, fmt, ap) == -1)
		abort();
	va_end(ap);
}

void
run_not_offered(struct run *run, const char *keyword)
{
	run->stop = 1;
	if (run->verdict != NULL)
		return;
	run->verdict = "skip";
	run->not_offered = keyword;
	run->reason = xasprintf("%s is not offered", keyword);
}

/*
 * A line of a transcript.  Most are thrown away with the session that passed, so
 * it stays as it is until somebody wants to see it.
 */
struct line {
	uint64_t	 t;
	size_t		 len;		/* MAX_TEXT octets at most follow */
	char		 dir[4];
};

static size_t
line_kept(const struct line *l)
{
	return l->len > MAX_TEXT ? MAX_TEXT : l->len;
}

static void
line_keep(struct run *run, const char *who, const struct line *l,
    const char *text)
{
	json_t *j = json_object();

	json_object_set_new(j, "t", json_integer((json_int_t)l->t));
	json_object_set_new(j, "actor", string(who));
	json_object_set_new(j, "dir", string(l->dir));
	json_object_set_new(j, "text", printable(text, l->len));
	json_array_append_new(run->trace, j);
}

void
run_trace(struct run *run, struct session *s, const char *who,
    const char *dir, const char *text, size_t len)
{
	struct line l;

	if (s != NULL && ++s->ntrace > MAX_TRACE)
		return;
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r') &&
	    strchr("CSDFE", dir[0]) != NULL && len > 1)
		len--;
	l.t = now_us() - run->t0;
	l.len = len;
	snprintf(l.dir, sizeof(l.dir), "%s", dir);
	if (s == NULL) {
		line_keep(run, who, &l, text);
		return;
	}
	buf_add(&s->trace, &l, sizeof(l));
	buf_add(&s->trace, text, line_kept(&l));
}

void
run_keep_trace(struct run *run, const struct session *s)
{
	size_t done = 0;
	struct line l;

	while (done < s->trace.len) {
		memcpy(&l, s->trace.data + done, sizeof(l));
		done += sizeof(l);
		line_keep(run, s->label, &l, s->trace.data + done);
		done += line_kept(&l);
	}
}

unsigned int
run_slow(const struct run *run)
{
	const struct daemon_wrap *wrap = run->opts->wrap;

	return wrap == NULL || wrap->slow == 0 ? 1 : wrap->slow;
}

static void
until_timer(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

int
run_until(struct run *run, int (*done)(struct run *), uint64_t us)
{
	/* looked at again at least every so often, without an event too */
	struct timeval tick = { 0, 2000 };
	struct event *ev = event_new(run->base, -1, EV_PERSIST, until_timer,
	    NULL);
	uint64_t end = now_us() + us;
	int ok;

	event_add(ev, &tick);
	while (!(ok = done != NULL && done(run)) && now_us() < end)
		event_base_loop(run->base, EVLOOP_ONCE);
	event_free(ev);
	return ok;
}

int
run_reached(struct run *run, const char *name)
{
	const struct point *p;

	STAILQ_FOREACH(p, &run->points, entry)
		if (strcmp(p->name, name) == 0)
			return 1;
	return 0;
}

static void
points_wake(int fd, short what, void *arg)
{
	struct run *run = arg;
	struct session *s, *next;

	(void)fd;
	(void)what;
	TAILQ_FOREACH_SAFE(s, &run->sessions, entry, next)
		if (!s->over)
			session_run(s);
}

void
run_reach(struct run *run, const char *name)
{
	struct timeval now = { 0, 0 };
	struct point *p;

	if (run_reached(run, name))
		return;
	p = xcalloc(1, sizeof(*p));
	p->name = name;
	STAILQ_INSERT_TAIL(&run->points, p, entry);
	event_base_once(run->base, -1, EV_TIMEOUT, points_wake, run, &now);
}
