/* http: an HTTP server whose answers are scripted, such as rspamd's. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "http.h"
#include "listener.h"
#include "parser.h"
#include "regex.h"
#include "smtp.h"
#include "steps.h"

/*
 * What is heard: METHOD PATH, a whole request; of that request then NAME: VALUE
 * (a field, alone or one of several), "lacks NAME" and "body PATTERN"; or an end.
 */
enum what { REQUEST, FIELD, LACKS, BODY, END };

struct heard {
	enum what	 what;
	const char	*name;		/* of a field, or the method */
	const char	*value;		/* or the path */
	const char	*regex;		/* instead of a value */
	int		 prefix;	/* the path goes on */
};

/* The rest of the line is a /regex/ or a text. */
static void
value_parse(struct parser *p, struct heard *h)
{
	struct pos pos;

	lex_skip(p, 0);
	pos = lex_pos(p);
	if (p->p < p->end && *p->p == '/' && h->what != REQUEST) {
		h->regex = lex_regex(p);
		groups_note(p, h->regex, &pos);
		return;
	}
	h->value = lex_rest(p);
	if (h->value[0] == '\0')
		parse_fail(p, &pos, "expected what %s is", h->name);
	vars_note(p, h->value, &pos);
}

static void
request_parse(struct parser *p, struct heard *h, const struct pos *pos)
{
	char *dots;

	if (h->name[strspn(h->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0')
		parse_fail(p, pos, "expected METHOD PATH, NAME: VALUE, "
		    "lacks NAME, body PATTERN, <fin>, <rst> or <close>");
	value_parse(p, h);
	dots = strstr((char *)h->value, "...");
	if (dots != NULL && dots[3] == '\0') {
		*dots = '\0';
		h->prefix = 1;
	}
}

static void
http_hear_parse(struct parser *p, struct step *st)
{
	struct heard *h = arena_alloc(p->arena, sizeof(*h));
	const char *start;
	struct pos pos;
	char *name;
	size_t n;

	lex_skip(p, 0);
	pos = lex_pos(p);
	start = p->p;
	st->arg = h;
	h->name = name = (char *)lex_word(p, "a request, or what is in it");
	n = strlen(name);
	if (strcmp(name, "<fin>") == 0 || strcmp(name, "<rst>") == 0 ||
	    strcmp(name, "<close>") == 0)
		h->what = END;
	else if (strcmp(name, "lacks") == 0) {
		h->what = LACKS;
		h->value = lex_word(p, "the name of a field");
	} else if (strcmp(name, "body") == 0) {
		h->what = BODY;
		value_parse(p, h);
	} else if (n > 1 && name[n - 1] == ':') {
		h->what = FIELD;
		name[n - 1] = '\0';
		value_parse(p, h);
	} else
		request_parse(p, h, &pos);
	st->text = arena_strndup(p->arena, start, (size_t)(p->p - start));
}

/* A request is traced as lines, its body as a line of its own. */
static void
trace_request(struct session *s, const struct http_request *r)
{
	char *text = xasprintf("%s %s\n%s\n<%zu octets>", r->method, r->path,
	    r->head, r->body.len);

	run_trace(s->run, s, s->label, "C", text, strlen(text));
	free(text);
}

/*
 * Before a request the other side may leave: some connect ahead of need and do
 * not use all they have.
 */
static int
between(const struct session *s)
{
	return s->depth == 1 && s->ch->in.len == 0 &&
	    s->frames[0].cur == STAILQ_FIRST(s->frames[0].list);
}

static enum did
ended(struct session *s, struct step *st)
{
	const struct heard *h = st->arg;
	const char *end = end_name(s->ch);

	run_trace(s->run, s, s->label, "C", end, strlen(end));
	if (h->what == END && (strcmp(h->name, end) == 0 ||
	    strcmp(h->name, "<close>") == 0)) {
		run_conforms(s->run, &st->pos, s->label, &st->knowns);
		return DID_STEP;
	}
	if (between(s))
		return DID_FAIL;
	return session_judge(s, st, st->text, end);
}

static int
same(struct session *s, const char *want, const char *got, int prefix)
{
	const struct buf *b = session_expand(s, want);
	size_t len = strlen(got);

	return (prefix ? len >= b->len : len == b->len) &&
	    memcmp(got, b->data, b->len) == 0;
}

static enum did
judge(struct session *s, struct step *st, int ok, const char *got)
{
	if (!ok)
		return session_judge(s, st, st->text, got);
	run_conforms(s->run, &st->pos, s->label, &st->knowns);
	return DID_STEP;
}

static enum did
hear_request(struct session *s, struct step *st)
{
	const struct heard *h = st->arg;
	struct http_request *r = s->state;
	const char *why = "";
	enum did did;
	char *got;
	int taken;

	/* we have closed it: no more will be asked there */
	if (s->ended)
		return DID_FAIL;
	taken = http_request_take(&s->ch->in, r, &why);
	if (taken == 0)
		return s->ch->end == END_NONE ? DID_WAIT : ended(s, st);
	if (taken == -1)
		return session_judge(s, st, st->text, why);
	trace_request(s, r);
	s->heard = 1;
	got = xasprintf("%s %s", r->method, r->path);
	did = judge(s, st, strcmp(h->name, r->method) == 0 &&
	    same(s, h->value, r->path, h->prefix), got);
	free(got);
	return did;
}

static enum did
hear_end(struct session *s, struct step *st)
{
	if (s->ch->in.len > 0)
		return session_judge(s, st, st->text, "more octets");
	return s->ch->end == END_NONE ? DID_WAIT : ended(s, st);
}

/* One of the field's lines is the value, or all of them match the regex. */
static int
field_matches(struct session *s, const struct heard *h, const char *lines)
{
	char *copy, *p, *one;
	int ok = 0;

	if (h->regex != NULL)
		return regex_match(h->regex, lines, strlen(lines),
		    session_group, s);
	copy = p = xstrdup(lines);
	while (!ok && (one = strsep(&p, "\n")) != NULL)
		ok = same(s, h->value, one, 0);
	free(copy);
	return ok;
}

static enum did
hear_field(struct session *s, struct step *st)
{
	const struct heard *h = st->arg;
	enum did did;
	char *got;

	got = http_field(s->state, h->what == LACKS ? h->value : h->name);
	if (h->what == LACKS)
		did = judge(s, st, got == NULL, got == NULL ? "" : got);
	else if (got == NULL)
		did = judge(s, st, 0, "no such field");
	else
		did = judge(s, st, field_matches(s, h, got), got);
	free(got);
	return did;
}

static enum did
hear_body(struct session *s, struct step *st)
{
	const struct heard *h = st->arg;
	const struct http_request *r = s->state;
	const char *body = r->body.data == NULL ? "" : r->body.data;
	const struct buf *want;

	if (h->regex != NULL)
		return judge(s, st, regex_match(h->regex, body, r->body.len,
		    session_group, s), body);
	want = session_expand(s, h->value);
	return judge(s, st, memmem(body, r->body.len, want->data,
	    want->len) != NULL, body);
}

static enum did
http_hear(struct session *s, struct step *st)
{
	static enum did (*const hears[])(struct session *, struct step *) = {
		[REQUEST] = hear_request,
		[FIELD] = hear_field,
		[LACKS] = hear_field,
		[BODY] = hear_body,
		[END] = hear_end,
	};
	const struct heard *h = st->arg;
	const struct http_request *r = s->state;

	if (r->method == NULL && (h->what == FIELD || h->what == LACKS ||
	    h->what == BODY))
		return session_judge(s, st, st->text, "no request yet");
	return hears[h->what](s, st);
}

/* A connection that is kept and not used any more is no fault. */
static enum did
http_hear_timeout(struct session *s, struct step *st)
{
	if (between(s))
		return DID_FAIL;
	return session_judge(s, st, st->text, "<timeout>");
}

/* The dialogue is one of a request: it begins anew on the same connection. */
static void
http_accepted(struct session *s)
{
	s->state = xcalloc(1, sizeof(struct http_request));
	s->frames[0].n = UINT64_MAX;
}

static int
http_prepare(struct actor *a)
{
	return listener_prepare(a, http_accepted);
}

/* An empty dialogue would begin anew for ever. */
static void
http_check(struct parser *p, struct role *r)
{
	const struct step *st = STAILQ_FIRST(&r->steps);

	listener_check(p, r);
	if (st == NULL || st->kind != &step_hear)
		parse_fail(p, st == NULL ? &r->pos : &st->pos, "expected the "
		    "dialogue to begin with what is heard: C: METHOD PATH");
}

static void
http_done(struct session *s)
{
	if (!s->heard)
		listener_idle(s->actor);
	if (s->ch != NULL)
		channel_fin(s->ch);
	http_request_free(s->state);
	free(s->state);
	s->state = NULL;
	s->actor->left--;
}

static const struct opt_kind http_opts[] = {
	LISTENER_OPTS,
	{ NULL,		OPT_WORD }
};

const struct actor_kind actor_http = {
	.word = "http",
	.says = 'S',
	.hears = 'C',
	.opts = http_opts,
	.check = http_check,
	.hear_parse = http_hear_parse,
	.hear = http_hear,
	.hear_timeout = http_hear_timeout,
	.prepare = http_prepare,
	.start = listener_start,
	.done = http_done,
	.judge = listener_judge,
	.stop = listener_stop,
};

/*
 * when NAME: VALUE { steps }: what only requests with this field meet; the
 * dialogue is over with its end.
 */
static void
when_parse(struct parser *p, struct step *st)
{
	struct heard *h = arena_alloc(p->arena, sizeof(*h));
	struct pos pos;
	char *name;
	size_t n;

	if (p->kind != &actor_http)
		parse_fail(p, &st->pos, "when is a step of http");
	lex_skip(p, 0);
	pos = lex_pos(p);
	h->what = FIELD;
	h->name = name = (char *)lex_word(p, "NAME: VALUE");
	n = strlen(name);
	if (n < 2 || name[n - 1] != ':')
		parse_fail(p, &pos, "expected NAME: VALUE");
	name[n - 1] = '\0';
	lex_skip(p, 0);
	if (p->p < p->end && *p->p == '/')
		h->regex = lex_regex(p);
	else {
		h->value = lex_value(p, "what it is");
		vars_note(p, h->value, &pos);
	}
	st->arg = h;
	lex_skip(p, 0);
	parse_steps(p, &st->body);
}

static enum did
when_run(struct session *s, struct step *st)
{
	const struct heard *h = st->arg;
	const struct http_request *r = s->state;
	char *got = r->method == NULL ? NULL : http_field(r, h->name);
	int ok = s->phase == 0 && got != NULL && field_matches(s, h, got);

	free(got);
	if (s->phase == 1) {
		s->frames[s->depth - 1].cur = NULL;
		return DID_ENTER;
	}
	if (!ok)
		return DID_STEP;
	return session_enter(s, &st->body, st, 1) == -1 ? DID_FAIL : DID_ENTER;
}

const struct step_kind step_when = {
	.word = "when",
	.parse = when_parse,
	.run = when_run,
};
