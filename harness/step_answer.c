/* answer: what an HTTP server says to a request. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "http.h"
#include "parser.h"
#include "steps.h"

struct answer {
	int		 status;
	struct words	 fields;
	int		 chunked;
	const char	*body;
};

/* The text of a block without the blanks around it. */
static const char *
trimmed(struct parser *p, const char *text)
{
	size_t len = strlen(text);

	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	return arena_strndup(p->arena, text, len);
}

/* answer STATUS ["Field: value"...] [chunked] [{ body }] */
static void
answer_parse(struct parser *p, struct step *st)
{
	struct answer *a = arena_alloc(p->arena, sizeof(*a));
	struct word *w;
	struct pos pos;

	if (p->kind != &actor_http)
		parse_fail(p, &st->pos, "answer is a step of http");
	st->arg = a;
	STAILQ_INIT(&a->fields);
	a->body = "";
	lex_skip(p, 0);
	pos = lex_pos(p);
	st->text = lex_word(p, "a status such as 200");
	if (strlen(st->text) != 3 || (a->status = atoi(st->text)) < 100)
		parse_fail(p, &pos, "\"%s\": expected a status such as 200",
		    st->text);
	for (;;) {
		lex_skip(p, 0);
		if (lex_accept(p, "chunked"))
			a->chunked = 1;
		else if (p->p < p->end && *p->p == '"') {
			w = arena_alloc(p->arena, sizeof(*w));
			w->pos = lex_pos(p);
			w->text = lex_string(p, "a field", NULL);
			vars_note(p, w->text, &w->pos);
			STAILQ_INSERT_TAIL(&a->fields, w, entry);
		} else
			break;
	}
	if (p->p < p->end && *p->p == '{') {
		a->body = trimmed(p, lex_block(p, &pos));
		vars_note(p, a->body, &pos);
	} else if (!lex_eol(p)) {
		pos = lex_pos(p);
		parse_fail(p, &pos, "expected \"Field: value\", chunked or "
		    "{ the body }");
	}
}

static int
has_field(const struct answer *a, const char *name)
{
	const struct word *w;
	size_t len = strlen(name);

	STAILQ_FOREACH(w, &a->fields, entry)
		if (strncasecmp(w->text, name, len) == 0 &&
		    w->text[len] == ':')
			return 1;
	return 0;
}

/* Chunks small enough for there to be several. */
static void
add_chunks(struct buf *b, const char *s, size_t len)
{
	size_t n;

	for (; len > 0; s += n, len -= n) {
		n = len > 16 ? 16 : len;
		buf_addf(b, "%zx\r\n", n);
		buf_add(b, s, n);
		buf_addstr(b, "\r\n");
	}
	buf_addstr(b, "0\r\n\r\n");
}

static void
answer_say(struct session *s, const struct answer *a)
{
	struct buf b = { 0 }, body = { 0 };
	const struct buf *x = session_expand(s, a->body);
	const struct word *w;

	buf_add(&body, x->data, x->len);
	buf_addf(&b, "HTTP/1.1 %d %s\r\n", a->status, http_reason(a->status));
	STAILQ_FOREACH(w, &a->fields, entry)
		buf_addf(&b, "%s\r\n", session_expand(s, w->text)->data);
	if (!has_field(a, "Content-Type"))
		buf_addstr(&b, "Content-Type: application/json\r\n");
	if (a->chunked)
		buf_addstr(&b, "Transfer-Encoding: chunked\r\n");
	else if (!has_field(a, "Content-Length"))
		buf_addf(&b, "Content-Length: %zu\r\n", body.len);
	buf_addstr(&b, "\r\n");
	if (a->chunked)
		add_chunks(&b, body.data, body.len);
	else
		buf_add(&b, body.data, body.len);
	run_trace(s->run, s, s->label, "S", b.data, b.len);
	session_say(s, b.data, b.len);
	buf_free(&b);
	buf_free(&body);
}

static enum did
answer_run(struct session *s, struct step *st)
{
	if (s->phase == 0) {
		answer_say(s, st->arg);
		s->phase = 1;
	}
	return s->batching || channel_flushed(s->ch) ? DID_STEP : DID_WAIT;
}

static enum did
answer_timeout(struct session *s, struct step *st)
{
	return session_judge(s, st, "that the answer is taken", "<not read>");
}

const struct step_kind step_answer = {
	.word = "answer",
	.parse = answer_parse,
	.run = answer_run,
	.timeout = answer_timeout,
	.says = 1,
};
