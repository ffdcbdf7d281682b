/* Steps that say, hear, or do something to the connection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "parser.h"
#include "plugin.h"
#include "steps.h"

static void
say_parse(struct parser *p, struct step *st)
{
	struct pos pos = lex_pos(p);

	/* the first blank is none of it */
	pos.col += p->p < p->end && *p->p == ' ';
	st->text = lex_rest(p);
	vars_note(p, st->text, &pos);
}

/* A filter has a second channel, its standard error. */
static void
say_bytes(struct session *s, const struct step *st, const char *data,
    size_t len)
{
	char who[2] = { s->actor->role->kind->says, '\0' };

	if (st->kind == &step_err || st->kind == &step_err_raw) {
		plugin_stderr(s, data, len);
		return;
	}
	run_trace(s->run, s, s->label, who, data, len);
	session_say(s, data, len);
}

/* Said, and gone as far as the kernel takes it. */
static enum did
said(struct session *s)
{
	s->phase = 1;
	return s->ch == NULL || s->batching || channel_flushed(s->ch) ?
	    DID_STEP : DID_WAIT;
}

static enum did
say_run(struct session *s, struct step *st)
{
	struct buf *b;

	if (s->phase == 0) {
		b = session_expand(s, st->text);
		if (s->actor->role->kind->plugin == NULL &&
		    !s->actor->role->kind->lf)
			buf_addstr(b, "\r");
		buf_addstr(b, "\n");
		say_bytes(s, st, b->data, b->len);
	}
	return said(s);
}

/* Nothing is read on the other side any more: as good as said. */
static enum did
say_timeout(struct session *s, struct step *st)
{
	return session_judge(s, st, "that what is said is taken",
	    "<not read>");
}

const struct step_kind step_say = {
	.word = "said",
	.parse = say_parse,
	.run = say_run,
	.timeout = say_timeout,
	.says = 1,
};

struct raw {
	const char	*data;
	size_t		 len;
};

static void
raw_parse(struct parser *p, struct step *st)
{
	struct raw *r = arena_alloc(p->arena, sizeof(*r));
	struct pos pos;

	lex_skip(p, 0);
	pos = lex_pos(p);
	r->data = lex_string(p, "bytes", &r->len);
	st->arg = r;
	/* with a NUL inside it is taken as it is, without variables */
	if (strlen(r->data) == r->len)
		vars_note(p, r->data, &pos);
}

static enum did
raw_run(struct session *s, struct step *st)
{
	const struct raw *r = st->arg;
	struct buf *b;

	if (s->phase == 0) {
		if (strlen(r->data) != r->len)
			say_bytes(s, st, r->data, r->len);
		else {
			b = session_expand(s, r->data);
			say_bytes(s, st, b->data, b->len);
		}
	}
	return said(s);
}

const struct step_kind step_raw = {
	.word = "raw",
	.parse = raw_parse,
	.run = raw_run,
	.timeout = say_timeout,
	.says = 1,
};

const struct step_kind step_err = {
	.word = "said on standard error",
	.parse = say_parse,
	.run = say_run,
	.timeout = say_timeout,
};

const struct step_kind step_err_raw = {
	.word = "raw on standard error",
	.parse = raw_parse,
	.run = raw_run,
	.timeout = say_timeout,
};

static enum did
hear_run(struct session *s, struct step *st)
{
	return s->actor->role->kind->hear(s, st);
}

static enum did
hear_timeout(struct session *s, struct step *st)
{
	return s->actor->role->kind->hear_timeout(s, st);
}

const struct step_kind step_hear = {
	.word = "heard",
	.run = hear_run,
	.timeout = hear_timeout,
};

static void
trace_act(struct session *s, const struct step *st)
{
	char who[2] = { s->actor->role->kind->says, '\0' };
	char text[32];

	snprintf(text, sizeof(text), "<%s>", st->kind->word);
	run_trace(s->run, s, s->label, who, text, strlen(text));
}

/*
 * The connection ends here, by us; what came and was not asked for is still
 * there for the oracles.
 */
static enum did
fin_run(struct session *s, struct step *st)
{
	trace_act(s, st);
	s->ended = 1;
	channel_fin(s->ch);
	return DID_STEP;
}

const struct step_kind step_fin = { .word = "fin", .run = fin_run };

static enum did
rst_run(struct session *s, struct step *st)
{
	trace_act(s, st);
	s->ended = 1;
	channel_rst(s->ch);
	return DID_STEP;
}

const struct step_kind step_rst = { .word = "rst", .run = rst_run };

static enum did
half_close_run(struct session *s, struct step *st)
{
	trace_act(s, st);
	s->ended = 1;
	channel_half_close(s->ch);
	return DID_STEP;
}

const struct step_kind step_half_close = {
	.word = "half-close",
	.run = half_close_run,
};

struct tls_arg {
	int		 fail;		/* it is expected to fail */
	int		 may;		/* either will do */
	const char	*name;		/* verify against the CA and this name */
};

static void
tls_parse(struct parser *p, struct step *st)
{
	struct tls_arg *t = arena_alloc(p->arena, sizeof(*t));
	struct pos pos;

	st->arg = t;
	while (!lex_eol(p) && *p->p != '>') {
		pos = lex_pos(p);
		if (lex_accept(p, "fail"))
			t->fail = 1;
		else if (lex_accept(p, "may"))
			t->may = 1;
		else if (lex_accept(p, "verify")) {
			t->name = lex_word(p, "the name to verify");
			vars_note(p, t->name, &pos);
		} else
			parse_fail(p, &pos, "expected tls, tls fail, tls may "
			    "fail or tls verify NAME, not \"%s\"", lex_word(p, "a word"));
	}
}

static enum did
tls_begin(struct session *s, const struct tls_arg *t)
{
	SSL_CTX *ctx;
	int server = s->track == NULL;

	ctx = server ? s->run->tls_server : s->run->tls_client;
	if (ctx == NULL) {
		run_error(s->run, "%s: no TLS: no certificates were found",
		    s->label);
		return DID_FAIL;
	}
	channel_tls(s->ch, ctx, server, t->name == NULL ? NULL :
	    session_expand(s, t->name)->data);
	if (t->name != NULL)
		SSL_set_verify(s->ch->ssl, SSL_VERIFY_PEER, NULL);
	s->phase = 1;
	return DID_WAIT;
}

static enum did
tls_run(struct session *s, struct step *st)
{
	const struct tls_arg *t = st->arg;
	char got[256];

	if (s->phase == 0) {
		trace_act(s, st);
		if (tls_begin(s, t) == DID_FAIL)
			return DID_FAIL;
	}
	if (s->ch->handshake == 1)
		return DID_WAIT;
	if (s->ch->handshake == 2)
		snprintf(got, sizeof(got), "<tls %s>",
		    SSL_get_version(s->ch->ssl));
	else
		snprintf(got, sizeof(got), "<tls fail: %s>", s->ch->why);
	run_trace(s->run, s, s->label, "--", got, strlen(got));
	if (t->may || (s->ch->handshake == 2) == !t->fail) {
		run_conforms(s->run, &st->pos, s->label, &st->knowns);
		return DID_STEP;
	}
	return session_judge(s, st, t->fail ? "a failing TLS handshake" :
	    "a TLS handshake", got);
}

static enum did
tls_timeout(struct session *s, struct step *st)
{
	return session_judge(s, st, "a TLS handshake", "<timeout>");
}

const struct step_kind step_tls = {
	.word = "tls",
	.parse = tls_parse,
	.run = tls_run,
	.timeout = tls_timeout,
};

struct segments {
	struct range	 size;		/* lo 0: as it comes */
	uint64_t	 gap;
};

/* segments off | segments SIZE [every TIME] */
static void
segments_parse(struct parser *p, struct step *st)
{
	struct segments *g = arena_alloc(p->arena, sizeof(*g));
	struct pos pos;

	st->arg = g;
	lex_skip(p, 0);
	if (lex_accept(p, "off"))
		return;
	pos = lex_pos(p);
	g->size = lex_range(p, "the octets in a segment, or off");
	if (g->size.lo == 0)
		parse_fail(p, &pos, "a segment has at least one octet");
	lex_skip(p, 0);
	if (lex_accept(p, "every")) {
		lex_skip(p, 0);
		pos = lex_pos(p);
		g->gap = parse_time(p, &pos, lex_word(p, "a time"));
	}
}

static enum did
segments_run(struct session *s, struct step *st)
{
	const struct segments *g = st->arg;

	s->ch->segment = g->size;
	s->ch->gap = g->gap;
	s->ch->stream = s->choices;
	return DID_STEP;
}

const struct step_kind step_segments = {
	.word = "segments",
	.parse = segments_parse,
	.run = segments_run,
};

/* auth plain USER PASSWORD | auth login USER PASSWORD: the usual dialogue. */
static void
auth_parse(struct parser *p, struct step *st)
{
	const char *user, *pass, *text;
	struct word *w;
	struct pos pos;
	int login;

	lex_skip(p, 0);
	pos = lex_pos(p);
	login = lex_accept(p, "login");
	if (!login && !lex_accept(p, "plain"))
		parse_fail(p, &pos, "expected auth plain USER PASSWORD or "
		    "auth login USER PASSWORD");
	user = lex_value(p, "the user");
	pass = lex_value(p, "the password");
	w = arena_alloc(p->arena, sizeof(*w));
	w->text = pass;
	w->pos = pos;
	STAILQ_INSERT_TAIL(&p->sc->secrets, w, entry);
	if (login)
		text = arena_printf(p->arena, "C: AUTH LOGIN\nS: 334\n"
		    "C: ${b64:%s}\nS: 334\nC: ${b64:%s}\n", user, pass);
	else
		text = arena_printf(p->arena,
		    "C: AUTH PLAIN ${b64:\\0%s\\0%s}\n", user, pass);
	parse_text(p, &st->body, &pos, text);
}

static enum did
auth_run(struct session *s, struct step *st)
{
	if (s->phase == 1)
		return DID_STEP;
	return session_enter(s, &st->body, st, 1) == -1 ? DID_FAIL : DID_ENTER;
}

const struct step_kind step_auth = {
	.word = "auth",
	.parse = auth_parse,
	.run = auth_run,
	.says = 1,
};

const struct step_kind *const step_kinds[] = {
	&step_reach, &step_await, &step_pause, &step_fin, &step_rst,
	&step_half_close, &step_tls, &step_segments, &step_auth,
	&step_message, &step_receive, &step_sink, &step_repeat, &step_choose, &step_batch,
	&step_set, &step_run_cmd, &step_output, &step_connection,
	&step_answer, &step_when,
	&step_hold, &step_release, &step_exit, &step_kill, &step_close,
	&step_deaf, &step_crash, &step_restart, NULL
};
