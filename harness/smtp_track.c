#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "filter_run.h"
#include "channel.h"
#include "latency.h"
#include "smtp.h"

struct pending {
	STAILQ_ENTRY(pending) entry;
	enum cmd_kind	 kind;
	uint64_t	 said;		/* when */
	char		*line;		/* of a command, for messages and paths */
};

struct smtp_track {
	struct session	*s;
	struct buf	 sent;		/* said, not yet understood */
	enum {
		BLOCK_NOT,
		BLOCK_REPLY,	/* what it means depends on the next reply */
		BLOCK_AUTH	/* the next line belongs to AUTH */
	}		 blocked;
	int		 data;		/* 354 was heard: this is a message */
	struct buf	 body;
	uint64_t	 chunk;		/* octets of a BDAT still to come */
	int		 last;		/* it is the last one */
	STAILQ_HEAD(, pending) pending;
	size_t		 npending;
	int		 enhanced;	/* ENHANCEDSTATUSCODES was advertised */
	int		 closing;	/* 221 or 421 was heard */
	char		*sender;
	char		**rcpts;
	size_t		 nrcpts;
};

/* Commands by what follows from their reply. */
static const struct {
	const char	*verb;
	enum cmd_kind	 kind;
	int		 blocks;
} verbs[] = {
	{ "EHLO",	CMD_EHLO,	0 },
	{ "HELO",	CMD_HELO,	0 },
	{ "MAIL",	CMD_MAIL,	0 },
	{ "RCPT",	CMD_RCPT,	0 },
	{ "DATA",	CMD_DATA,	1 },
	{ "BDAT",	CMD_BDAT,	0 },
	{ "RSET",	CMD_RSET,	0 },
	{ "QUIT",	CMD_QUIT,	0 },
	{ "STARTTLS",	CMD_STARTTLS,	1 },
	{ "AUTH",	CMD_AUTH,	1 },
};

char *
smtp_path(const char *line, size_t len)
{
	const char *s, *e;
	int quoted = 0;
	char *path;

	if ((s = memchr(line, '<', len)) == NULL)
		return NULL;
	for (e = ++s; e < line + len && (quoted || *e != '>'); e++) {
		if (*e == '\\' && quoted && e + 1 < line + len)
			e++;
		else if (*e == '"')
			quoted = !quoted;
	}
	/* a source route is not part of the mailbox */
	if (s < e && *s == '@' && memchr(s, ':', (size_t)(e - s)) != NULL)
		s = (const char *)memchr(s, ':', (size_t)(e - s)) + 1;
	path = xcalloc(1, (size_t)(e - s) + 1);
	memcpy(path, s, (size_t)(e - s));
	return path;
}

static void
track_forget(struct smtp_track *t)
{
	size_t i;

	free(t->sender);
	t->sender = NULL;
	for (i = 0; i < t->nrcpts; i++)
		free(t->rcpts[i]);
	free(t->rcpts);
	t->rcpts = NULL;
	t->nrcpts = 0;
	buf_reset(&t->body);
}

static void
pending_add(struct smtp_track *t, enum cmd_kind kind, const char *line,
    size_t len)
{
	struct pending *p = xcalloc(1, sizeof(*p));

	p->kind = kind;
	p->said = now_us();
	p->line = xcalloc(1, len + 1);
	memcpy(p->line, line, len);
	STAILQ_INSERT_TAIL(&t->pending, p, entry);
	t->npending++;
	t->s->run->ncommands++;
}

static void
pending_free(struct pending *p)
{
	free(p->line);
	free(p);
}

struct smtp_track *
track_new(struct session *s)
{
	struct smtp_track *t = xcalloc(1, sizeof(*t));

	t->s = s;
	STAILQ_INIT(&t->pending);
	pending_add(t, CMD_GREETING, "", 0);
	return t;
}

void
track_free(struct smtp_track *t)
{
	struct pending *p;

	while ((p = STAILQ_FIRST(&t->pending)) != NULL) {
		STAILQ_REMOVE_HEAD(&t->pending, entry);
		pending_free(p);
	}
	track_forget(t);
	buf_free(&t->sent);
	buf_free(&t->body);
	free(t);
}

/*
 * RFC 3030 2: BDAT, the number of octets that follow, and LAST or nothing.  No
 * octets follow one that is not like that.
 */
static void
track_bdat(struct smtp_track *t, const char *line)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(line + 4, &end, 10);
	if (errno != 0 || line[4] == '\0' || !isdigit((unsigned char)line[5]) ||
	    (*end != '\0' && strcasecmp(end, " LAST") != 0))
		return;
	t->chunk = n;
	t->last = *end != '\0';
	if (t->last && n == 0)
		t->blocked = BLOCK_REPLY;
}

/* Octets of a chunk, as DATA would have them. */
static size_t
track_chunk(struct smtp_track *t, const char *s, size_t len)
{
	size_t n = t->chunk < len ? (size_t)t->chunk : len, i;
	struct buf *b = &t->body;

	for (i = 0; i < n; i++) {
		if (s[i] == '.' && (b->len == 0 || b->data[b->len - 1] == '\n'))
			buf_addstr(b, ".");
		buf_add(b, s + i, 1);
	}
	t->chunk -= n;
	if (t->chunk == 0 && t->last)
		t->blocked = BLOCK_REPLY;
	return n;
}

static void
track_command(struct smtp_track *t, const char *line, size_t len)
{
	size_t i, n;

	wire_said(t->s, line, len);
	for (i = 0; i < nitems(verbs); i++) {
		n = strlen(verbs[i].verb);
		if (len >= n && strncasecmp(line, verbs[i].verb, n) == 0 &&
		    (len == n || line[n] == ' ')) {
			pending_add(t, verbs[i].kind, line, len);
			if (verbs[i].blocks)
				t->blocked = BLOCK_REPLY;
			if (verbs[i].kind == CMD_BDAT)
				track_bdat(t, STAILQ_LAST(&t->pending, pending,
				    entry)->line);
			return;
		}
	}
	pending_add(t, CMD_OTHER, line, len);
}

static const char *
find_crlf(const char *s, size_t len)
{
	const char *p = s, *e = s + len;

	for (; (p = memchr(p, '\n', (size_t)(e - p))) != NULL; p++)
		if (p > s && p[-1] == '\r')
			return p - 1;
	return NULL;
}

/* Lines of the message; the final dot ends it.  So much of s was that. */
static size_t
track_text(struct smtp_track *t, const char *s, size_t len)
{
	const char *line = s, *e;
	size_t left = len, n;
	int dot = 0;

	while (!dot && left > 0 && (e = find_crlf(line, left)) != NULL) {
		n = (size_t)(e - line) + 2;
		dot = n == 3 && *line == '.';
		line += n;
		left -= n;
	}
	n = (size_t)(line - s);
	buf_add(&t->body, s, dot ? n - 3 : n);
	if (dot) {
		t->data = 0;
		t->blocked = BLOCK_REPLY;
		pending_add(t, CMD_EOD, ".", 1);
	}
	return n;
}

/* A whole line, or a message as far as it is there; 0 when there is neither. */
static size_t
track_next(struct smtp_track *t, const char *s, size_t len)
{
	const char *e;

	if (t->data)
		return track_text(t, s, len);
	if (t->chunk > 0)
		return track_chunk(t, s, len);
	if ((e = find_crlf(s, len)) == NULL)
		return 0;
	track_command(t, s, (size_t)(e - s));
	return (size_t)(e - s) + 2;
}

static void
track_scan(struct smtp_track *t)
{
	size_t done = 0, n;

	while (!t->blocked && done < t->sent.len && (n = track_next(t,
	    t->sent.data + done, t->sent.len - done)) > 0)
		done += n;
	buf_drain(&t->sent, done);
}

/* After 334 the next line belongs to the exchange of RFC 4954, whatever it is. */
static void
track_auth_line(struct smtp_track *t)
{
	const char *e;

	if (t->sent.len == 0 || (e = find_crlf(t->sent.data, t->sent.len)) ==
	    NULL)
		return;
	wire_said(t->s, t->sent.data, (size_t)(e - t->sent.data));
	pending_add(t, CMD_AUTHLINE, "", 0);
	t->blocked = BLOCK_REPLY;
	buf_drain(&t->sent, (size_t)(e - t->sent.data) + 2);
}

void
track_said(struct smtp_track *t, const char *data, size_t len)
{
	buf_add(&t->sent, data, len);
	if (t->blocked == BLOCK_AUTH)
		track_auth_line(t);
	track_scan(t);
}

static void
track_promise(struct smtp_track *t, enum promise promise)
{
	account_promise(t->s->run->account, promise, t->s->label,
	    t->sender == NULL ? "" : t->sender, t->rcpts, t->nrcpts,
	    t->body.data == NULL ? "" : t->body.data, t->body.len);
	track_forget(t);
}

static void
answered_hello(struct smtp_track *t, const struct pending *p,
    const struct reply *r)
{
	(void)p;
	if (r->code / 100 != 2)
		return;
	track_forget(t);
	t->enhanced = strcasestr(r->text, "ENHANCEDSTATUSCODES") != NULL;
}

static void
answered_mail(struct smtp_track *t, const struct pending *p,
    const struct reply *r)
{
	if (r->code / 100 != 2)
		return;
	track_forget(t);
	t->sender = smtp_path(p->line, strlen(p->line));
}

static void
answered_rcpt(struct smtp_track *t, const struct pending *p,
    const struct reply *r)
{
	char *path;

	if (r->code / 100 != 2 ||
	    (path = smtp_path(p->line, strlen(p->line))) == NULL)
		return;
	t->rcpts = xreallocarray(t->rcpts, t->nrcpts + 1, sizeof(char *));
	t->rcpts[t->nrcpts++] = path;
}

static void
answered_data(struct smtp_track *t, const struct pending *p,
    const struct reply *r)
{
	(void)p;
	if (r->code == 354)
		t->data = 1;
}

static void
answered_eod(struct smtp_track *t, const struct pending *p,
    const struct reply *r)
{
	(void)p;
	if (r->code / 100 == 2)
		wire_accepted(t->s, t->body.data == NULL ? "" : t->body.data,
		    t->body.len);
	track_promise(t, r->code / 100 == 2 ? PROMISE_MADE : PROMISE_REFUSED);
}

/* A chunk that is refused ends the transaction, whether it is the last or not. */
static void
answered_bdat(struct smtp_track *t, const struct pending *p,
    const struct reply *r)
{
	size_t len = strlen(p->line);

	if (r->code / 100 != 2)
		track_promise(t, PROMISE_REFUSED);
	else if (len > 5 && strcasecmp(p->line + len - 5, " LAST") == 0)
		track_promise(t, PROMISE_MADE);
}

static void
answered_rset(struct smtp_track *t, const struct pending *p,
    const struct reply *r)
{
	(void)p;
	if (r->code / 100 == 2)
		track_forget(t);
}

/* RFC 3207 4.2: the rest of the plain text is nobody's command. */
static void
answered_starttls(struct smtp_track *t, const struct pending *p,
    const struct reply *r)
{
	(void)p;
	if (r->code / 100 != 2)
		return;
	buf_reset(&t->sent);
	t->enhanced = 0;
	track_forget(t);
}

static void (*const answered[])(struct smtp_track *, const struct pending *,
    const struct reply *) = {
	[CMD_EHLO] = answered_hello,
	[CMD_HELO] = answered_hello,
	[CMD_MAIL] = answered_mail,
	[CMD_RCPT] = answered_rcpt,
	[CMD_DATA] = answered_data,
	[CMD_EOD] = answered_eod,
	[CMD_BDAT] = answered_bdat,
	[CMD_RSET] = answered_rset,
	[CMD_STARTTLS] = answered_starttls,
	[CMD_OTHER] = NULL,
};

void
track_reply(struct smtp_track *t, const struct reply *r)
{
	struct pending *p = STAILQ_FIRST(&t->pending);
	struct run *run = t->s->run;
	int auth;

	run->nreplies++;
	wire_heard(t->s, r->text);
	grammar_reply(run, t->s, r, p == NULL ? CMD_OTHER : p->kind,
	    t->enhanced);
	if (r->code == 421 || (p != NULL && p->kind == CMD_QUIT))
		t->closing = 1;
	if (p == NULL) {
		/* RFC 5321 3.8 lets a server announce that it closes */
		if (r->code != 421)
			oracle_object(run, &oracle_replies, t->s->label,
			    "a reply that no command asked for: %s", r->text);
		return;
	}
	STAILQ_REMOVE_HEAD(&t->pending, entry);
	t->npending--;
	latency_add(run->latency, p->kind, now_us() - p->said);
	if (answered[p->kind] != NULL)
		answered[p->kind](t, p, r);
	auth = r->code == 334 &&
	    (p->kind == CMD_AUTH || p->kind == CMD_AUTHLINE);
	pending_free(p);
	if (STAILQ_EMPTY(&t->pending))
		t->blocked = BLOCK_NOT;
	if (auth) {
		t->blocked = BLOCK_AUTH;
		track_auth_line(t);
	}
	track_scan(t);
}

/* Commands that were never answered although the daemon ended the session. */
static void
track_unanswered(struct smtp_track *t)
{
	struct pending *p = STAILQ_FIRST(&t->pending);
	const struct channel *ch = t->s->ch;

	if (p == NULL || t->closing || t->s->ended || ch == NULL ||
	    ch->end == END_NONE || t->s->run->failed ||
	    exit_expected(t->s->run))
		return;
	oracle_object(t->s->run, &oracle_replies, t->s->label,
	    "%zu without a reply when the daemon closed, first: %s",
	    t->npending, p->kind == CMD_GREETING ? "the greeting" : p->line);
}

void
track_end(struct smtp_track *t, const char *unread, size_t len)
{
	struct pending *p;
	struct reply r;
	size_t n;

	while (len > 0 && (n = reply_parse(unread, len, &r)) > 0) {
		track_reply(t, &r);
		reply_free(&r);
		unread += n;
		len -= n;
	}
	track_unanswered(t);
	STAILQ_FOREACH(p, &t->pending, entry)
		if (p->kind == CMD_EOD) {
			track_promise(t, PROMISE_OPEN);
			break;
		}
}
