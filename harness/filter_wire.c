/*
 * What filters are told about a session against what a client of ours said and
 * heard in it.  Sessions are matched by the client's address and port.
 */
#include <sys/queue.h>
#include <sys/tree.h>

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "filter_line.h"
#include "filter_run.h"
#include "run.h"

#define MAX_KEPT	65536	/* bytes of a session's lines, either way */

/* Lines joined by LF. */
struct lines {
	struct buf	 text;
	int		 cut;		/* there were more */
};

/* Digests of messages. */
struct digests {
	uint64_t	*d;
	size_t		 n;
};

/* A session as one side has it. */
struct wire {
	RB_ENTRY(wire)	 entry;		/* of a filter's, by id */
	TAILQ_ENTRY(wire) next;		/* all, in order */
	char		 filter[64];
	uint64_t	 id;
	char		 peer[80];	/* "127.0.0.1:999" */
	struct lines	 client, server;
	struct digests	 messages;
	uint64_t	 hash;		/* of the message so far */
	int		 header;	/* 1: in smtpd's own, 2: after it */
	int		 tls;
	int		 ntexts;	/* data-lines of so many messages */
	const struct wire *claimed;	/* the client's side of it */
};
RB_HEAD(told, wire);
TAILQ_HEAD(wire_list, wire);

struct wires {
	struct told	 told;		/* by filters */
	struct wire_list told_all;
	struct wire_list seen;		/* by clients */
};

static int
wire_cmp(const struct wire *a, const struct wire *b)
{
	int n;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	n = strcmp(a->filter, b->filter);
	return n < 0 ? -1 : n > 0;
}

RB_GENERATE_STATIC(told, wire, entry, wire_cmp)

struct wires *
wires_new(void)
{
	struct wires *w = xcalloc(1, sizeof(*w));

	RB_INIT(&w->told);
	TAILQ_INIT(&w->told_all);
	TAILQ_INIT(&w->seen);
	return w;
}

static void
list_free(struct wire_list *list)
{
	struct wire *w;

	while ((w = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, w, next);
		buf_free(&w->client.text);
		buf_free(&w->server.text);
		free(w->messages.d);
		free(w);
	}
}

void
wires_free(struct wires *w)
{
	if (w == NULL)
		return;
	list_free(&w->told_all);
	list_free(&w->seen);
	free(w);
}

static void
line_add(struct lines *l, const char *text, size_t len)
{
	if (l->cut || l->text.len + len >= MAX_KEPT) {
		l->cut = 1;
		return;
	}
	buf_add(&l->text, text, len);
	buf_add(&l->text, "\n", 1);
}

static void
digest_add(struct digests *d, uint64_t hash)
{
	d->d = xreallocarray(d->d, d->n + 1, sizeof(*d->d));
	d->d[d->n++] = hash;
}

static uint64_t
hash_line(uint64_t hash, const char *line, size_t len)
{
	return hash * 1099511628211u ^ fnv64(line, len);
}

/* --- what filters are told ------------------------------------------------ */

/* smtpd's own lines come first: X-Spam, Received and what continues it. */
static void
told_dataline(struct wire *w, const struct filter_line *fl)
{
	const char *line = fl->field[0];

	if (w->header == 0 && strcmp(line, "X-Spam: Yes") != 0) {
		w->header = 1;
		w->hash = 0;
		return;
	}
	if (w->header == 0 || (w->header == 1 && *line == '\t'))
		return;
	w->header = 2;
	if (strcmp(line, ".") == 0) {
		w->header = 0;
		w->ntexts++;
	} else
		w->hash = hash_line(w->hash, line, fl->lastlen);
}

static void
told_report(struct wire *w, const struct filter_line *fl)
{
	const char *text = fl->nfields > 0 ? fl->field[fl->nfields - 1] : "";

	switch (fl->point) {
	case EV_LINK_CONNECT:
		snprintf(w->peer, sizeof(w->peer), "%s", fl->field[2]);
		break;
	case EV_LINK_TLS:
		w->tls = 1;
		break;
	case EV_PROTOCOL_SERVER:
		line_add(&w->server, text, strlen(text));
		break;
	case EV_PROTOCOL_CLIENT:
		line_add(&w->client, text, strlen(text));
		break;
	case EV_TX_COMMIT:
		digest_add(&w->messages, w->hash);
		break;
	}
}

void
wires_line(struct wires *ws, const char *filter, const struct filter_line *fl)
{
	struct wire key, *w;

	if ((fl->kind != FILTER_REPORT && (fl->kind != FILTER_REQUEST ||
	    fl->point != PH_DATA_LINE)) ||
	    strcmp(fl->subsystem, "smtp-in") != 0)
		return;
	snprintf(key.filter, sizeof(key.filter), "%s", filter);
	key.id = fl->id;
	if ((w = RB_FIND(told, &ws->told, &key)) == NULL) {
		/* without link-connect nobody could find it */
		if (fl->kind != FILTER_REPORT || fl->point != EV_LINK_CONNECT)
			return;
		w = xcalloc(1, sizeof(*w));
		memcpy(w->filter, key.filter, sizeof(w->filter));
		w->id = fl->id;
		RB_INSERT(told, &ws->told, w);
		TAILQ_INSERT_TAIL(&ws->told_all, w, next);
	}
	if (fl->kind == FILTER_REPORT)
		told_report(w, fl);
	else
		told_dataline(w, fl);
}

/* --- what clients see ----------------------------------------------------- */

/* As link-connect has it. */
static void
peer_text(const struct sockaddr_storage *ss, char *text, size_t size)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getnameinfo((const struct sockaddr *)ss, sizeof(*ss), host,
	    sizeof(host), port, sizeof(port), NI_NUMERICHOST |
	    NI_NUMERICSERV) != 0)
		return;
	snprintf(text, size, ss->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
	    host, port);
}

/* NULL when nobody is going to compare it. */
static struct wire *
seen_by(struct session *s)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct wires *ws = s->run->wires;
	struct wire *w;

	if (s->wire != NULL || ws == NULL || s->ch == NULL || s->ch->fd == -1)
		return s->wire;
	if (getsockname(s->ch->fd, (struct sockaddr *)&ss, &len) == -1)
		return NULL;
	w = s->wire = xcalloc(1, sizeof(*w));
	peer_text(&ss, w->peer, sizeof(w->peer));
	snprintf(w->filter, sizeof(w->filter), "%s", s->label);
	TAILQ_INSERT_TAIL(&ws->seen, w, next);
	return w;
}

void
wire_said(struct session *s, const char *line, size_t len)
{
	struct wire *w = seen_by(s);

	if (w != NULL)
		line_add(&w->client, line, len);
}

void
wire_heard(struct session *s, const char *text)
{
	struct wire *w = seen_by(s);

	if (w == NULL)
		return;
	line_add(&w->server, text, strlen(text));
	w->tls |= s->ch != NULL && s->ch->ssl != NULL &&
	    s->ch->handshake == 2;
}

/* As smtpd takes lines apart: at LF, less a CR, and a NUL ends what is read. */
void
wire_accepted(struct session *s, const char *text, size_t len)
{
	struct wire *w = seen_by(s);
	const char *nl;
	uint64_t hash = 0;
	size_t n, cut;

	if (w == NULL)
		return;
	for (; len > 0; text += n, len -= n) {
		nl = memchr(text, '\n', len);
		n = nl == NULL ? len : (size_t)(nl - text) + 1;
		cut = n - (nl != NULL);
		if (cut > 0 && text[cut - 1] == '\r')
			cut--;
		hash = hash_line(hash, text, strnlen(text, cut));
	}
	digest_add(&w->messages, hash);
}

/* --- the two against each other ------------------------------------------- */

struct judging_wires {
	void		(*object)(void *, const char *, const char *,
			    const char *, const char *);
	void		*arg;
};

static void
differs(const struct judging_wires *j, const struct wire *told,
    const struct wire *seen, const char *id, const char *demand,
    const char *fmt, const char *what)
{
	char *tail = xasprintf(fmt, what);
	char *got = xasprintf("%s: %s", seen->filter, tail);

	j->object(j->arg, told->filter, id, demand, got);
	free(tail);
	free(got);
}

/* The first line of a that b does not have there, to be freed; or NULL. */
static char *
first_other(const struct buf *a, const struct buf *b)
{
	size_t i = 0, line = 0;

	while (i < a->len && i < b->len && a->data[i] == b->data[i])
		if (a->data[i++] == '\n')
			line = i;
	if (i == a->len)
		return NULL;
	return xasprintf("%.*s", (int)strcspn(a->data + line, "\n"),
	    a->data + line);
}

/* A report of a command, which hides what is secret. */
static int
is_command(const char *told, size_t ntold, const char *said, size_t nsaid)
{
	static const char plain[] = "AUTH PLAIN ";

	if (ntold == nsaid && memcmp(told, said, ntold) == 0)
		return 1;
	if (ntold == 19 && memcmp(told, "AUTH PLAIN ********", 19) == 0)
		return nsaid > 11 && strncasecmp(said, plain, 11) == 0;
	return ntold == 8 && memcmp(told, "********", 8) == 0;
}

/* Each told line was said, in this order; the first that was not, or NULL. */
static char *
never_said(const struct buf *told, const struct buf *said)
{
	size_t i, k = 0, n, m;

	for (i = 0; i < told->len; i += n + 1) {
		n = strcspn(told->data + i, "\n");
		if (n == 1 && told->data[i] == '.')
			continue;	/* the message's */
		for (;; k += m + 1) {
			if (k >= said->len)
				return xasprintf("%.*s", (int)n,
				    told->data + i);
			m = strcspn(said->data + k, "\n");
			if (is_command(told->data + i, n, said->data + k, m))
				break;
		}
		k += m + 1;
	}
	return NULL;
}

static void
compare(const struct judging_wires *j, const struct wire *told,
    const struct wire *seen, int lines, int texts)
{
	size_t i, n;
	char *other;

	if (lines && !told->server.cut && !seen->server.cut &&
	    (other = first_other(&seen->server.text, &told->server.text)) !=
	    NULL) {
		differs(j, told, seen, "wire", "protocol-server is what the "
		    "client hears", "\"%s\" was not reported", other);
		free(other);
	}
	if (lines && !told->client.cut && !seen->client.cut &&
	    (other = never_said(&told->client.text, &seen->client.text)) !=
	    NULL) {
		differs(j, told, seen, "wire", "protocol-client is what the "
		    "client says", "it never said \"%s\"", other);
		free(other);
	}
	if (lines && told->tls != seen->tls && seen->server.text.len > 0)
		differs(j, told, seen, "wire", "link-tls for sessions under "
		    "TLS", "%s", seen->tls ? "TLS, and no link-tls" :
		    "link-tls, and no TLS");
	if (!texts)
		return;
	n = told->messages.n < seen->messages.n ? told->messages.n :
	    seen->messages.n;
	for (i = 0; i < n; i++)
		if (told->messages.d[i] != seen->messages.d[i]) {
			differs(j, told, seen, "S33", "data-lines are what the "
			    "client said, dots and all", "%s",
			    "a message is told otherwise than it was said");
			break;
		}
}

/* A port may come again; each filter tells of a session once. */
static int
is_other(const struct wires *ws, const struct wire *seen,
    const struct wire *told)
{
	const struct wire *w;

	if (told->claimed != NULL || strcmp(told->peer, seen->peer) != 0)
		return 1;
	TAILQ_FOREACH(w, &ws->told_all, next)
		if (w->claimed == seen && strcmp(w->filter, told->filter) == 0)
			return 1;
	return 0;
}

void
wires_judge(struct wires *ws, void (*object)(void *, const char *,
    const char *, const char *, const char *), void *arg)
{
	struct judging_wires j = { object, arg };
	struct wire *seen, *told;

	TAILQ_FOREACH(seen, &ws->seen, next)
		TAILQ_FOREACH(told, &ws->told_all, next) {
			if (is_other(ws, seen, told))
				continue;
			told->claimed = seen;
			compare(&j, told, seen, told->server.text.len > 0 &&
			    told->client.text.len > 0, told->ntexts > 0);
		}
}
