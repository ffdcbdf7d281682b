/* message: mail made to size, or given as text, with the final dot. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "channel.h"
#include "parser.h"
#include "perturb.h"
#include "profile.h"
#include "steps.h"

struct message {
	struct range	 size;		/* octets of the body, before stuffing */
	struct range	 line;		/* octets in a line, without its end */
	int		 over;		/* larger than the profile allows */
	int		 eight;		/* octets of 128 and above too */
	const char	*subject;
	const char	*text;		/* given: header, empty line, body */
};

static void
message_opt(struct parser *p, struct message *m, const struct opt *o)
{
	if (strcmp(o->name, "size") == 0 && o->value != NULL &&
	    strcmp(o->value, "$overlimit") == 0) {
		vars_note(p, o->value, &o->pos);
		m->over = 1;
	} else if (strcmp(o->name, "size") == 0 && o->value != NULL)
		m->size = parse_range(p, &o->pos, o->value, "the size");
	else if (strcmp(o->name, "line") == 0 && o->value != NULL)
		m->line = parse_range(p, &o->pos, o->value, "the line length");
	else if (strcmp(o->name, "subject") == 0 && o->value != NULL)
		m->subject = o->value;
	else if (strcmp(o->name, "8bit") == 0 && o->value == NULL)
		m->eight = 1;
	else
		parse_fail(p, &o->pos, "unknown option \"%s\" of message: "
		    "expected size=A..B line=A..B subject=TEXT 8bit, or a "
		    "block of text", o->name);
}

static void
message_parse(struct parser *p, struct step *st)
{
	struct message *m = arena_alloc(p->arena, sizeof(*m));
	struct opts opts = STAILQ_HEAD_INITIALIZER(opts);
	const struct opt *o;
	struct pos pos;

	m->size.lo = m->size.hi = 1024;
	m->line.lo = 1;
	m->line.hi = 78;
	m->subject = "smtpdtest";
	parse_opts(p, &opts);
	STAILQ_FOREACH(o, &opts, entry)
		message_opt(p, m, o);
	if (m->line.lo == 0)
		m->line.lo = 1;
	if (p->p < p->end && *p->p == '{') {
		m->text = lex_block(p, &pos);
		vars_note(p, m->text, &pos);
	}
	st->arg = m;
}

/* Text for lines to be cut from: as good as drawing each, and much faster. */
static void
pool_fill(char *pool, size_t len, uint64_t *mix, int eight)
{
	static const char chars[64 + 1] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMN0123456789 .,;:-+=/<>()!";
	uint64_t x = 0;
	size_t i;

	for (i = 0; i < len; i++, x >>= 8) {
		if (i % 8 == 0)
			x = choice_mix(mix);
		pool[i] = chars[x & 63];
		if (eight && (x & 7) == 0)
			pool[i] = (char)(x & 0xff) | (char)0x80;
	}
}

/*
 * So many octets of the pool, from there on.  Now and then a line begins with a
 * dot, to be doubled (RFC 5321 4.5.2); "From " is mangled in an mbox by design.
 */
static void
body_line(struct buf *b, const char *pool, size_t poollen, size_t from,
    size_t len)
{
	size_t n;

	if (pool[from] == '.' || pool[from] == 'F') {
		buf_add(b, "..", 2);
		from = (from + 1) % poollen;
		len--;
	}
	for (; len > 0; len -= n, from = 0) {
		n = len < poollen - from ? len : poollen - from;
		buf_add(b, pool + from, n);
	}
	buf_add(b, "\r\n", 2);
}

static void
message_body(struct buf *b, const struct message *m, uint64_t size,
    uint64_t mix)
{
	char pool[4096];
	size_t poollen = size < sizeof(pool) ? size : sizeof(pool);
	uint64_t left, n, x;

	pool_fill(pool, poollen, &mix, m->eight);
	for (left = size; left > 0; left -= n < left ? n : left) {
		x = choice_mix(&mix);
		n = m->line.lo + (x >> 32) % (m->line.hi - m->line.lo + 1);
		if (n + 2 > left)
			n = left > 2 ? left - 2 : 1;
		body_line(b, pool, poollen, (x & 0xffff) % poollen, n);
		n += 2;
	}
}

/* As it is said: CRLF, dots doubled, and the end of data. */
static void
message_make(struct session *s, const struct message *m, struct buf *b)
{
	static const char date[] = "Sat, 21 Nov 2026 12:00:00 +0000";
	struct range any = { 1, UINT64_MAX - 1 };
	uint64_t size, id;

	/* twice: it is to be too large however its lines are counted */
	size = m->over ? 2 * strtoull(session_expand(s, "$overlimit")->data,
	    NULL, 10) : choice_scale(s->choices, "size", m->size);
	id = choice_draw(s->choices, "body", any);
	buf_addf(b, "From: <sender@example.net>\r\n"
	    "To: <rcpt@example.org>\r\nSubject: %s\r\nDate: %s\r\n"
	    "Message-ID: <%s.%016llx@smtpdtest.invalid>\r\n"
	    "X-Session: %s\r\n\r\n", m->subject, date, s->actor->role->name,
	    (unsigned long long)id, s->label);
	message_body(b, m, size, id);
	buf_add(b, ".\r\n", 3);
}

/* LF to CRLF, leading dots doubled (RFC 5321 4.5.2), and the end of data. */
static void
message_stuff(const char *in, size_t len, struct buf *out)
{
	const char *e = in + len, *nl;

	while (in < e) {
		nl = memchr(in, '\n', (size_t)(e - in));
		if (nl == NULL)
			nl = e;
		if (*in == '.')
			buf_add(out, ".", 1);
		buf_add(out, in, (size_t)(nl - in));
		buf_add(out, "\r\n", 2);
		in = nl + 1;
	}
	buf_add(out, ".\r\n", 3);
}

static enum did
message_run(struct session *s, struct step *st)
{
	const struct message *m = st->arg;
	struct buf wire = { 0 };
	char note[64];
	size_t said;

	if (s->phase == 1)
		return channel_flushed(s->ch) || s->ch->dead ? DID_STEP :
		    DID_WAIT;
	s->phase = 1;
	if (m->text != NULL) {
		struct buf *b = session_expand(s, m->text);

		message_stuff(b->data, b->len, &wire);
	} else
		message_make(s, m, &wire);
	said = perturb_part(s, wire.len);
	snprintf(note, sizeof(note), "<%zu octets of a message of %zu>", said,
	    wire.len);
	if (said == wire.len)
		snprintf(note, sizeof(note), "<message of %zu octets>", said);
	run_trace(s->run, s, s->label, "C", note, strlen(note));
	session_say(s, wire.data, said);
	buf_free(&wire);
	if (said < wire.len)
		return DID_WAIT;
	return s->batching || channel_flushed(s->ch) ? DID_STEP : DID_WAIT;
}

static enum did
message_timeout(struct session *s, struct step *st)
{
	return session_judge(s, st, "that the message is taken",
	    "<not read>");
}

const struct step_kind step_message = {
	.word = "message",
	.parse = message_parse,
	.run = message_run,
	.timeout = message_timeout,
	.says = 1,
};
