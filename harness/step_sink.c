/* receive, sink, connection: the steps of a server that takes mail. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "channel.h"
#include "parser.h"
#include "sink.h"
#include "smtp.h"
#include "steps.h"

struct sink {
	struct session	*s;
	char		 place[96];
	int		 lmtp;
	char		*asked;		/* RCPT not answered yet */
	char		**rcpts;
	size_t		 nrcpts;
	size_t		 answered;	/* LMTP: replies after the message */
	struct buf	 text;
	int		 held;		/* a whole message, not answered yet */
	int		 data;		/* 354 was said */
};

struct sink *
sink_new(struct session *s)
{
	struct sink *k = xcalloc(1, sizeof(*k));

	k->s = s;
	snprintf(k->place, sizeof(k->place), "server %s",
	    s->actor->role->name);
	return k;
}

static void
sink_forget(struct sink *k)
{
	size_t i;

	for (i = 0; i < k->nrcpts; i++)
		free(k->rcpts[i]);
	free(k->rcpts);
	k->rcpts = NULL;
	k->nrcpts = k->answered = 0;
	free(k->asked);
	k->asked = NULL;
	k->held = k->data = 0;
	buf_reset(&k->text);
}

void
sink_free(struct sink *k)
{
	sink_forget(k);
	buf_free(&k->text);
	free(k);
}

static int
is_verb(const char *line, size_t len, const char *verb)
{
	size_t n = strlen(verb);

	return len >= n && strncasecmp(line, verb, n) == 0 &&
	    (len == n || line[n] == ' ');
}

void
sink_heard(struct sink *k, const char *line, size_t len)
{
	if (is_verb(line, len, "RCPT")) {
		free(k->asked);
		k->asked = smtp_path(line, len);
	} else if (is_verb(line, len, "LHLO"))
		k->lmtp = 1;
	else if (is_verb(line, len, "MAIL") || is_verb(line, len, "RSET") ||
	    is_verb(line, len, "EHLO") || is_verb(line, len, "HELO"))
		sink_forget(k);
}

/* LMTP answers once for each recipient, SMTP once for all. */
static void
sink_answered(struct sink *k, int ok)
{
	size_t from, to;

	from = k->lmtp ? k->answered : 0;
	to = k->lmtp && k->answered < k->nrcpts ? k->answered + 1 : k->nrcpts;
	if (ok)
		account_arrive_all(k->s->run->account, k->place,
		    k->rcpts + from, to - from,
		    k->text.data == NULL ? "" : k->text.data, k->text.len);
	k->answered = to;
	if (k->answered >= k->nrcpts)
		sink_forget(k);
}

static void
line_said(struct sink *k, const char *data, size_t len)
{
	if (len < 4 || data[3] == '-')
		return;
	if (k->held)
		sink_answered(k, data[0] == '2');
	else if (k->asked != NULL) {
		if (data[0] == '2') {
			k->rcpts = xreallocarray(k->rcpts, k->nrcpts + 1,
			    sizeof(char *));
			k->rcpts[k->nrcpts++] = k->asked;
			k->asked = NULL;
		}
		free(k->asked);
		k->asked = NULL;
	}
}

/* In a batch several lines are said at once. */
void
sink_said(struct sink *k, const char *data, size_t len)
{
	const char *nl;
	size_t n;

	while (len > 0) {
		nl = memchr(data, '\n', len);
		n = nl == NULL ? len : (size_t)(nl - data) + 1;
		line_said(k, data, n);
		data += n;
		len -= n;
	}
}

/* The message off the input, dots unstuffed: 1 when all of it is there. */
static int
take_message(struct sink *k, struct buf *in)
{
	const char *s = in->data, *nl;
	size_t left = in->len, n;
	int whole = 0;

	while (!whole && left > 0 && (nl = memchr(s, '\n', left)) != NULL) {
		n = (size_t)(nl - s) + 1;
		if ((n == 3 && memcmp(s, ".\r\n", 3) == 0) ||
		    (n == 2 && *s == '.'))
			whole = 1;
		else if (*s == '.')
			buf_add(&k->text, s + 1, n - 1);
		else
			buf_add(&k->text, s, n);
		s += n;
		left -= n;
	}
	buf_drain(in, in->len - left);
	return whole;
}

static enum did
receive_run(struct session *s, struct step *st)
{
	struct sink *k = s->state;
	char note[64];

	if (s->ch->in.len > 0 && take_message(k, &s->ch->in)) {
		snprintf(note, sizeof(note), "<message of %zu octets>",
		    k->text.len);
		run_trace(s->run, s, s->label, "C", note, strlen(note));
		session_set(s, "message", k->text.data == NULL ? "" :
		    k->text.data, k->text.len);
		k->held = 1;
		return DID_STEP;
	}
	if (s->ch->end != END_NONE)
		return session_judge(s, st, "a message and its final dot",
		    end_name(s->ch));
	return DID_WAIT;
}

static enum did
receive_timeout(struct session *s, struct step *st)
{
	return session_judge(s, st, "a message and its final dot",
	    "<timeout>");
}

static void
receive_parse(struct parser *p, struct step *st)
{
	name_note(p, VAR_SET, "message", &st->pos);
}

const struct step_kind step_receive = {
	.word = "receive",
	.parse = receive_parse,
	.run = receive_run,
	.timeout = receive_timeout,
};

struct sink_arg {
	int	 lmtp;
	char	*ehlo;			/* the keyword lines */
};

/* sink smtp|lmtp [KEYWORD...] */
static void
sink_parse(struct parser *p, struct step *st)
{
	struct sink_arg *a = arena_alloc(p->arena, sizeof(*a));
	const char *ehlo = "250-sink.example\r\n";
	struct pos pos;

	lex_skip(p, 0);
	pos = lex_pos(p);
	st->arg = a;
	a->lmtp = lex_accept(p, "lmtp");
	if (!a->lmtp && !lex_accept(p, "smtp"))
		parse_fail(p, &pos, "expected sink smtp or sink lmtp");
	if (lex_eol(p))
		ehlo = "250-sink.example\r\n250-8BITMIME\r\n"
		    "250-ENHANCEDSTATUSCODES\r\n";
	/* in the arena all along: a bad word does not come back here */
	while (!lex_eol(p))
		ehlo = arena_printf(p->arena, "%s250-%s\r\n", ehlo,
		    lex_value(p, "an EHLO keyword"));
	a->ehlo = arena_printf(p->arena, "%s250 HELP\r\n", ehlo);
}

static void
sink_reply(struct session *s, const char *text)
{
	run_trace(s->run, s, s->label, "S", text, strlen(text));
	session_say(s, text, strlen(text));
}

static void
sink_message_done(struct session *s)
{
	struct sink *k = s->state;
	size_t i, n;

	k->data = 0;
	k->held = 1;
	n = k->lmtp ? k->nrcpts : 1;
	for (i = 0; i < n; i++)
		sink_reply(s, "250 2.0.0 taken\r\n");
}

/* One command; 0 when the session is over. */
static int
sink_command(struct session *s, const struct sink_arg *a, const char *line,
    size_t len)
{
	struct sink *k = s->state;

	run_trace(s->run, s, s->label, "C", line, len);
	sink_heard(k, line, len);
	if (is_verb(line, len, "EHLO") || is_verb(line, len, "LHLO"))
		sink_reply(s, a->ehlo);
	else if (is_verb(line, len, "HELO"))
		sink_reply(s, "250 sink.example\r\n");
	else if (is_verb(line, len, "DATA")) {
		sink_reply(s, "354 go ahead\r\n");
		k->data = 1;
	} else if (is_verb(line, len, "QUIT")) {
		sink_reply(s, "221 2.0.0 bye\r\n");
		return 0;
	} else if (is_verb(line, len, "MAIL") || is_verb(line, len, "RCPT") ||
	    is_verb(line, len, "RSET") || is_verb(line, len, "NOOP"))
		sink_reply(s, "250 2.0.0 ok\r\n");
	else
		sink_reply(s, "500 5.5.1 what?\r\n");
	return 1;
}

static enum did
sink_run(struct session *s, struct step *st)
{
	const struct sink_arg *a = st->arg;
	struct sink *k = s->state;
	struct buf *in = &s->ch->in;
	const char *nl;
	char line[2048];
	size_t len;

	if (s->phase == 0 && st == STAILQ_FIRST(s->frames[s->depth - 1].list))
		sink_reply(s, a->lmtp ? "220 sink.example LMTP\r\n" :
		    "220 sink.example ESMTP\r\n");
	s->phase = 1;
	while (in->len > 0) {
		if (k->data) {
			if (!take_message(k, in))
				break;
			sink_message_done(s);
			continue;
		}
		if ((nl = memchr(in->data, '\n', in->len)) == NULL)
			break;
		len = (size_t)(nl - in->data);
		if (len > 0 && in->data[len - 1] == '\r')
			len--;
		if (len >= sizeof(line))
			len = sizeof(line) - 1;
		memcpy(line, in->data, len);
		line[len] = '\0';
		buf_drain(in, (size_t)(nl - in->data) + 1);
		if (!sink_command(s, a, line, len))
			return DID_STEP;
	}
	return s->ch->end == END_NONE ? DID_WAIT : DID_STEP;
}

/* An idle client is its own business: smtpd keeps connections for a while. */
static enum did
sink_timeout(struct session *s, struct step *st)
{
	(void)s;
	(void)st;
	return DID_WAIT;
}

const struct step_kind step_sink = {
	.word = "sink",
	.parse = sink_parse,
	.run = sink_run,
	.timeout = sink_timeout,
};

/* connection N..M { }: what the N-th to M-th connection meets. */
static void
connection_parse(struct parser *p, struct step *st)
{
	struct pos pos;

	lex_skip(p, 0);
	pos = lex_pos(p);
	if (p->kind != &actor_server)
		parse_fail(p, &pos, "connection stands in a server block");
	if (lex_accept(p, "any")) {
		st->range.lo = 1;
		st->range.hi = UINT64_MAX;
	} else
		st->range = lex_range(p, "the number of a connection, or any");
	lex_skip(p, 0);
	parse_steps(p, &st->body);
}

static enum did
connection_run(struct session *s, struct step *st)
{
	if (s->phase == 1 || s->n < st->range.lo || s->n > st->range.hi)
		return DID_STEP;
	return session_enter(s, &st->body, st, 1) == -1 ? DID_FAIL : DID_ENTER;
}

const struct step_kind step_connection = {
	.word = "connection",
	.parse = connection_parse,
	.run = connection_run,
};
