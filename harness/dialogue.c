#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "perturb.h"
#include "profile.h"
#include "run.h"

static void
session_timed_out(int fd, short what, void *arg)
{
	struct session *s = arg;
	struct step *st;
	enum did did = DID_STEP;

	(void)fd;
	(void)what;
	if (s->over || s->depth == 0)
		return;
	if (perturb_waits(s)) {
		if (perturb_late(s) == -1)
			session_end(s);
		else
			session_run(s);
		return;
	}
	st = s->frames[s->depth - 1].cur;
	if (st == NULL || st->kind->timeout == NULL) {
		session_run(s);
		return;
	}
	did = st->kind->timeout(s, st);
	if (did == DID_FAIL) {
		session_end(s);
		return;
	}
	if (did == DID_STEP) {
		s->frames[s->depth - 1].cur = STAILQ_NEXT(st, entry);
		s->phase = s->contacted = 0;
	}
	session_run(s);
}

struct session *
session_new(struct actor *a, unsigned int n, struct steps *steps)
{
	struct session *s = xcalloc(1, sizeof(*s));
	const struct opt *o = NULL;
	char name[96];

	s->run = a->run;
	s->actor = a;
	s->n = n;
	STAILQ_INIT(&s->vars);
	STAILQ_FOREACH(o, &a->role->opts, entry)
		if (strcmp(o->name, "sessions") == 0)
			break;
	if (n == 1 && o == NULL)
		snprintf(s->label, sizeof(s->label), "%s", a->role->name);
	else
		snprintf(s->label, sizeof(s->label), "%s[%u]", a->role->name,
		    n);
	snprintf(name, sizeof(name), "%s/%u", a->role->name, n);
	s->choices = choice_stream(s->run->choices, name);
	s->timer = evtimer_new(s->run->base, session_timed_out, s);
	session_enter(s, steps, NULL, 1);
	TAILQ_INSERT_TAIL(&s->run->sessions, s, entry);
	s->run->nsessions++;
	return s;
}

void
vars_free(struct vars *vars)
{
	struct var *v;

	while ((v = STAILQ_FIRST(vars)) != NULL) {
		STAILQ_REMOVE_HEAD(vars, entry);
		free(v->name);
		free(v->value);
		free(v);
	}
}

void
session_free(struct session *s)
{
	TAILQ_REMOVE(&s->run->sessions, s, entry);
	if (s->ch != NULL)
		channel_free(s->ch);
	event_free(s->timer);
	vars_free(&s->vars);
	buf_free(&s->held);
	buf_free(&s->scratch);
	buf_free(&s->trace);
	perturb_session_free(s);
	free(s);
}

int
session_enter(struct session *s, struct steps *list, struct step *owner,
    uint64_t n)
{
	struct frame *f;

	if (s->depth == MAX_FRAMES) {
		run_error(s->run, "%s: blocks nested deeper than %d", s->label,
		    MAX_FRAMES);
		return -1;
	}
	f = &s->frames[s->depth++];
	f->list = list;
	f->cur = STAILQ_FIRST(list);
	f->owner = owner;
	f->i = 1;
	f->n = n;
	return 0;
}

/* The innermost list is done: another turn, or back to the one around it. */
static void
session_leave(struct session *s)
{
	struct frame *f = &s->frames[s->depth - 1];

	if (f->i < f->n && STAILQ_FIRST(f->list) != NULL) {
		f->i++;
		f->cur = STAILQ_FIRST(f->list);
		return;
	}
	s->depth--;
	/* the owner runs once more, in its next phase, to close what it opened */
}

/* A step is about to be made for the first time; 1 if it has to wait. */
static int
announce(struct session *s)
{
	s->contacted = 1;
	return s->disturbance == NULL ? 0 : perturb_contact(s);
}

void
session_run(struct session *s)
{
	struct frame *f;
	struct step *st;
	enum did did;

	if (s->running || perturb_waits(s))
		return;
	s->running = 1;
	while (!s->over && s->depth > 0) {
		f = &s->frames[s->depth - 1];
		if ((st = f->cur) == NULL) {
			struct step *owner = f->owner;

			session_leave(s);
			if (owner != NULL &&
			    s->frames[s->depth - 1].cur == owner)
				s->phase = 1;
			continue;
		}
		if (!s->contacted && announce(s)) {
			s->running = 0;
			return;
		}
		did = st->kind->run(s, st);
		if (did == DID_WAIT) {
			if (!evtimer_pending(s->timer, NULL))
				session_timer(s, s->run->timeout *
				    run_slow(s->run));
			s->running = 0;
			return;
		}
		evtimer_del(s->timer);
		if (did == DID_FAIL) {
			s->running = 0;
			session_end(s);
			return;
		}
		s->phase = s->contacted = 0;
		s->run->moves++;
		if (did == DID_STEP)
			f->cur = STAILQ_NEXT(st, entry);
	}
	s->running = 0;
	if (!s->over)
		session_end(s);
}

void
session_wake(void *arg)
{
	session_run(arg);
}

void
session_end(struct session *s)
{
	if (s->over)
		return;
	s->over = 1;
	evtimer_del(s->timer);
	s->run->nsessions_done++;
	s->actor->role->kind->done(s);
}

void
session_timer(struct session *s, uint64_t us)
{
	struct timeval tv;

	tv.tv_sec = (time_t)(us / 1000000);
	tv.tv_usec = (suseconds_t)(us % 1000000);
	evtimer_add(s->timer, &tv);
}

void
session_say(struct session *s, const char *data, size_t len)
{
	if (s->batching) {
		buf_add(&s->held, data, len);
		return;
	}
	if (s->actor->role->kind->said != NULL)
		s->actor->role->kind->said(s, data, len);
	if (s->ch != NULL)
		channel_write(s->ch, data, len);
}

static struct var *
var_find(const struct vars *vars, const char *name, size_t len)
{
	struct var *v;

	STAILQ_FOREACH(v, vars, entry)
		if (strlen(v->name) == len && memcmp(v->name, name, len) == 0)
			return v;
	return NULL;
}

static void
var_set(struct vars *vars, const char *name, const char *value, size_t len)
{
	struct var *v;

	if ((v = var_find(vars, name, strlen(name))) == NULL) {
		v = xcalloc(1, sizeof(*v));
		v->name = xstrdup(name);
		STAILQ_INSERT_TAIL(vars, v, entry);
	}
	free(v->value);
	v->value = xcalloc(1, len + 1);
	memcpy(v->value, value, len);
	v->len = len;
}

void
session_set(struct session *s, const char *name, const char *value,
    size_t len)
{
	var_set(&s->vars, name, value, len);
	var_set(&s->run->vars, name, value, len);
}

void
session_group(void *arg, const char *name, const char *value, size_t len)
{
	session_set(arg, name, value, len);
}

/* The turn of the repeat of that name, or of the innermost for "i". */
static uint64_t
turn(struct session *s, const char *name, size_t len)
{
	const struct step *o;
	int d;

	for (d = s->depth - 1; d >= 0; d--) {
		o = s->frames[d].owner;
		if (o == NULL || strcmp(o->kind->word, "repeat") != 0)
			continue;
		if ((len == 1 && *name == 'i') || (o->text != NULL &&
		    strlen(o->text) == len && memcmp(o->text, name, len) == 0))
			return s->frames[d].i;
	}
	return 0;
}

static void
expand_var(struct session *s, struct buf *out, const char *name, size_t len)
{
	const struct run *run = s->run;
	const struct var *v;
	const char *value;
	uint64_t t;

	if ((v = var_find(&s->vars, name, len)) != NULL ||
	    (v = var_find(&run->vars, name, len)) != NULL)
		buf_add(out, v->value, v->len);
	else if ((t = turn(s, name, len)) != 0)
		buf_addf(out, "%llu", (unsigned long long)t);
	else if (len == 7 && memcmp(name, "session", 7) == 0)
		buf_addf(out, "%u", s->n);
	else if (len == 6 && memcmp(name, "target", 6) == 0)
		buf_addstr(out, run->target == NULL ? "" : run->target->name);
	else if (len == 7 && memcmp(name, "version", 7) == 0)
		buf_addstr(out, run->target == NULL ? "" :
		    run->target->version);
	else if (len == 4 && memcmp(name, "seed", 4) == 0)
		buf_addf(out, "%llx", (unsigned long long)run->opts->seed);
	else if ((value = profile_var(run->profile, name, len)) != NULL)
		buf_addstr(out, value);
}

static void expand_text(struct session *, struct buf *, const char *, size_t,
    int);

/* The inside of ${...}. */
static void
expand_braces(struct session *s, struct buf *out, const char *in, size_t len)
{
	struct buf b = { 0 };
	const char *star;
	unsigned long n, k;

	star = memchr(in, '*', len);
	if (len > 4 && memcmp(in, "b64:", 4) == 0) {
		expand_text(s, &b, in + 4, len - 4, 1);
		base64_encode(out, b.data, b.len);
	} else if (star != NULL) {
		n = strtoul(star + 1, NULL, 10);
		for (k = 0; k < n; k++)
			buf_add(out, in, (size_t)(star - in));
	} else
		expand_var(s, out, in, len);
	buf_free(&b);
}

static size_t
braces_end(const char *in, size_t i, size_t len)
{
	int depth = 1;

	for (; i < len; i++) {
		if (in[i] == '$' && i + 1 < len && in[i + 1] == '{')
			depth++;
		if (in[i] == '}' && --depth == 0)
			break;
	}
	return i;
}

/* zero: \0 is a NUL, for ${b64:\0user\0password} */
static void
expand_text(struct session *s, struct buf *out, const char *in, size_t len,
    int zero)
{
	size_t i, e;

	for (i = 0; i < len; ) {
		if (zero && in[i] == '\\' && i + 1 < len &&
		    in[i + 1] == '0') {
			buf_add(out, "", 1);
			i += 2;
		} else if (in[i] != '$' || i + 1 == len) {
			for (e = i + 1; e < len && in[e] != '$' &&
			    (!zero || in[e] != '\\'); e++)
				;
			buf_add(out, &in[i], e - i);
			i = e;
		} else if (in[i + 1] == '$') {
			buf_add(out, "$", 1);
			i += 2;
		} else if (in[i + 1] == '{') {
			e = braces_end(in, i + 2, len);
			expand_braces(s, out, in + i + 2, e - i - 2);
			i = e + 1;
		} else {
			for (e = i + 1; e < len && (in[e] == '_' ||
			    isalnum((unsigned char)in[e])); e++)
				;
			if (e == i + 1 || !isalpha((unsigned char)in[i + 1]))
				buf_add(out, "$", 1), e = i + 1;
			else
				expand_var(s, out, in + i + 1, e - i - 1);
			i = e;
		}
	}
}

struct buf *
session_expand(struct session *s, const char *in)
{
	buf_reset(&s->scratch);
	buf_add(&s->scratch, "", 0);
	expand_text(s, &s->scratch, in, strlen(in), 0);
	return &s->scratch;
}

enum did
session_judge(struct session *s, struct step *st, const char *expected,
    const char *got)
{
	return run_judge(s->run, &st->pos, s->label, NULL, &st->knowns,
	    expected, got) ? DID_STEP : DID_FAIL;
}
