/* server: a scripted MX or LMTP server, or a sink that takes everything. */
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "listener.h"
#include "parser.h"
#include "regex.h"
#include "sink.h"
#include "smtp.h"

/*
 * What a server hears: a line, its beginning (...), a /regex/, an end, or
 * nothing for some time.
 */
struct heard {
	const char	*line;
	const char	*regex;
	const char	*end;
	int		 prefix;
	uint64_t	 silence;	/* us */
};

/* <silence TIME> */
static int
silence_parse(struct parser *p, struct heard *h, const struct pos *pos)
{
	static const char word[] = "<silence ";
	size_t len = strlen(h->line);

	if (strncmp(h->line, word, sizeof(word) - 1) != 0 ||
	    h->line[len - 1] != '>')
		return 0;
	h->silence = parse_time(p, pos, arena_strndup(p->arena,
	    h->line + sizeof(word) - 1, len - sizeof(word)));
	return 1;
}

static void
server_hear_parse(struct parser *p, struct step *st)
{
	struct heard *h = arena_alloc(p->arena, sizeof(*h));
	struct pos pos;
	char *dots;

	lex_skip(p, 0);
	pos = lex_pos(p);
	st->arg = h;
	if (p->p < p->end && *p->p == '/') {
		st->text = h->regex = lex_regex(p);
		groups_note(p, h->regex, &pos);
		return;
	}
	st->text = lex_rest(p);
	if (strcmp(st->text, "<fin>") == 0 || strcmp(st->text, "<rst>") == 0 ||
	    strcmp(st->text, "<close>") == 0) {
		h->end = st->text;
		return;
	}
	vars_note(p, st->text, &pos);
	h->line = arena_strdup(p->arena, st->text);
	if (silence_parse(p, h, &pos))
		return;
	dots = strstr((char *)h->line, "...");
	if (dots != NULL && dots[3] == '\0') {
		*dots = '\0';
		h->prefix = 1;
	}
}

static int
line_matches(struct session *s, const struct heard *h, const char *line,
    size_t len)
{
	const struct buf *want;

	if (h->regex != NULL)
		return regex_match(h->regex, line, len, session_group, s);
	if (h->line == NULL || h->silence != 0)
		return 0;
	want = session_expand(s, h->line);
	return (h->prefix ? len >= want->len : len == want->len) &&
	    memcmp(want->data, line, want->len) == 0;
}

static enum did
server_hear_end(struct session *s, struct step *st)
{
	const struct heard *h = st->arg;
	const char *end = end_name(s->ch);

	run_trace(s->run, s, s->label, "C", end, strlen(end));
	if (h->end != NULL && (strcmp(h->end, end) == 0 ||
	    strcmp(h->end, "<close>") == 0)) {
		run_conforms(s->run, &st->pos, s->label, &st->knowns);
		return DID_STEP;
	}
	return session_judge(s, st, st->text, end);
}

static enum did
server_hear(struct session *s, struct step *st)
{
	const struct heard *h = st->arg;
	struct buf *in = &s->ch->in;
	const char *nl;
	char *line;
	size_t len;
	int ok;

	if (s->phase == 0 && h->silence != 0)
		session_timer(s, h->silence);
	s->phase = 1;
	if (in->len == 0 || (nl = memchr(in->data, '\n', in->len)) == NULL)
		return s->ch->end == END_NONE ? DID_WAIT :
		    server_hear_end(s, st);
	len = (size_t)(nl - in->data);
	line = xcalloc(1, len + 1);
	memcpy(line, in->data, len);
	buf_drain(in, len + 1);
	if (len > 0 && line[len - 1] == '\r')
		line[--len] = '\0';
	run_trace(s->run, s, s->label, "C", line, len);
	sink_heard(s->state, line, len);
	ok = line_matches(s, h, line, len);
	if (ok)
		run_conforms(s->run, &st->pos, s->label, &st->knowns);
	else
		ok = session_judge(s, st, st->text, line) == DID_STEP;
	free(line);
	return ok ? DID_STEP : DID_FAIL;
}

static enum did
server_hear_timeout(struct session *s, struct step *st)
{
	const struct heard *h = st->arg;

	if (h->silence != 0) {
		run_conforms(s->run, &st->pos, s->label, &st->knowns);
		return DID_STEP;
	}
	return session_judge(s, st, st->text, "<timeout>");
}

static void
server_accepted(struct session *s)
{
	s->state = sink_new(s);
	if (opt_find(&s->actor->role->opts, "smtps") != NULL)
		channel_tls(s->ch, s->run->tls_server, 1, NULL);
}

static int
server_prepare(struct actor *a)
{
	return listener_prepare(a, server_accepted);
}

static void
server_said(struct session *s, const char *data, size_t len)
{
	/* into a closed connection nothing is said */
	if (s->ch->dead || s->ch->half)
		return;
	sink_said(s->state, data, len);
}

static void
server_done(struct session *s)
{
	if (s->ch != NULL)
		channel_fin(s->ch);
	sink_free(s->state);
	s->state = NULL;
	s->actor->left--;
}

static const struct opt_kind server_opts[] = {
	LISTENER_OPTS,
	{ "smtps",	OPT_WORD },
	{ NULL,		OPT_WORD }
};

const struct actor_kind actor_server = {
	.word = "server",
	.says = 'S',
	.hears = 'C',
	.opts = server_opts,
	.check = listener_check,
	.hear_parse = server_hear_parse,
	.hear = server_hear,
	.hear_timeout = server_hear_timeout,
	.prepare = server_prepare,
	.start = listener_start,
	.said = server_said,
	.done = server_done,
	.judge = listener_judge,
	.stop = listener_stop,
};
