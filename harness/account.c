#include <sys/tree.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"

/* Fields smtpd may put on top or add where they are missing. */
static const char *const added_fields[] = {
	"Return-Path:", "Delivered-To:", "Received:", "X-Spam:", "Date:",
	"Message-ID:", NULL
};

struct promised {
	TAILQ_ENTRY(promised) entry;
	enum promise	 kind;
	char		*who;		/* the session, for messages */
	char		*sender;
	char		**rcpts;
	int		*got;		/* arrivals of each */
	size_t		 nrcpts;
	char		*header;	/* LF, with the empty line if there is one */
	uint64_t	 digest;	/* of the body */
	size_t		 bodylen;
	struct promised	*same;		/* an older one with the same digest */
};

struct fate {
	STAILQ_ENTRY(fate) entry;
	char		*rcpt;
	int		 copies;
};

struct forward {
	STAILQ_ENTRY(forward) entry;
	char		*rcpt;
	char		*to;
};

/* Messages by digest of their body. */
struct shelf {
	RB_ENTRY(shelf)	 entry;
	uint64_t	 digest;
	struct promised	*first;
};
RB_HEAD(shelves, shelf);

/* A field of headers that is a filter's affair. */
struct field {
	STAILQ_ENTRY(field) entry;
	const char	*name;
};

struct account {
	STAILQ_HEAD(, field) fields;
	TAILQ_HEAD(, promised) promised;
	struct arrivals	 arrivals;
	STAILQ_HEAD(, fate) fates;
	STAILQ_HEAD(, forward) forwards;
	struct shelves	 shelves;
	unsigned long	 npromised, narrived;
	int		 headers_only;
	int		 may_repeat;
};

struct text {
	unsigned int	 refs;
	char		*text;
	size_t		 len;
	size_t		 size;		/* when it arrived */
};

static int
shelf_cmp(const struct shelf *a, const struct shelf *b)
{
	return a->digest < b->digest ? -1 : a->digest > b->digest;
}

RB_GENERATE_STATIC(shelves, shelf, entry, shelf_cmp)

struct account *
account_new(void)
{
	struct account *a = xcalloc(1, sizeof(*a));

	TAILQ_INIT(&a->promised);
	TAILQ_INIT(&a->arrivals);
	STAILQ_INIT(&a->fates);
	STAILQ_INIT(&a->forwards);
	STAILQ_INIT(&a->fields);
	RB_INIT(&a->shelves);
	return a;
}

void
account_free(struct account *a)
{
	struct promised *p;
	struct arrival *v;
	struct shelf *s, *next;
	struct fate *f;
	struct forward *w;
	struct field *fd;
	size_t i;

	while ((p = TAILQ_FIRST(&a->promised)) != NULL) {
		TAILQ_REMOVE(&a->promised, p, entry);
		for (i = 0; i < p->nrcpts; i++)
			free(p->rcpts[i]);
		free(p->rcpts);
		free(p->got);
		free(p->who);
		free(p->sender);
		free(p->header);
		free(p);
	}
	while ((v = TAILQ_FIRST(&a->arrivals)) != NULL) {
		TAILQ_REMOVE(&a->arrivals, v, entry);
		free(v->rcpt);
		if (--v->shared->refs == 0) {
			free(v->shared->text);
			free(v->shared);
		}
		free((char *)v->place);
		free(v);
	}
	while ((f = STAILQ_FIRST(&a->fates)) != NULL) {
		STAILQ_REMOVE_HEAD(&a->fates, entry);
		free(f->rcpt);
		free(f);
	}
	while ((w = STAILQ_FIRST(&a->forwards)) != NULL) {
		STAILQ_REMOVE_HEAD(&a->forwards, entry);
		free(w->rcpt);
		free(w->to);
		free(w);
	}
	while ((fd = STAILQ_FIRST(&a->fields)) != NULL) {
		STAILQ_REMOVE_HEAD(&a->fields, entry);
		free(fd);
	}
	RB_FOREACH_SAFE(s, shelves, &a->shelves, next) {
		RB_REMOVE(shelves, &a->shelves, s);
		free(s);
	}
	free(a);
}

/*
 * The length of the header with its empty line; all of it when there is no
 * empty line and everything looks like fields, 0 when the text starts with a
 * body.
 */
static size_t
header_len(const char *text, size_t len)
{
	const char *s = text, *e = text + len, *nl, *colon;
	size_t n;

	while (s < e) {
		if ((nl = memchr(s, '\n', (size_t)(e - s))) == NULL)
			nl = e - 1;
		n = (size_t)(nl - s) + 1;
		if (n == 1)
			return (size_t)(s - text) + 1;
		colon = memchr(s, ':', n);
		if (*s != ' ' && *s != '\t' && (colon == NULL || colon == s))
			return (size_t)(s - text);
		s = nl + 1;
	}
	return len;
}

static uint64_t
digest_word(uint64_t h, uint64_t w)
{
	h = (h ^ w) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 32;
}

/* What bodies are told apart by: fnv64() would multiply for each octet. */
static uint64_t
digest(const char *s, size_t len)
{
	uint64_t h = len, w;

	for (; len >= sizeof(w); s += sizeof(w), len -= sizeof(w)) {
		memcpy(&w, s, sizeof(w));
		h = digest_word(h, w);
	}
	w = 0;
	memcpy(&w, s, len);
	return digest_word(h, w);
}

/*
 * CRLF to LF; also takes the doubled dots off if the text was stuffed.  Only
 * CRLF ends a line of what was sent: after a bare LF a dot is a dot.
 */
static void
to_lf(const char *text, size_t len, int stuffed, struct buf *out)
{
	const char *e = text + len, *nl;
	size_t n;
	int crlf = 1;

	while (text < e) {
		nl = memchr(text, '\n', (size_t)(e - text));
		n = nl == NULL ? (size_t)(e - text) : (size_t)(nl - text);
		if (stuffed && crlf && *text == '.')
			text++, n--;
		crlf = nl != NULL && n > 0 && text[n - 1] == '\r';
		if (nl == NULL) {
			buf_add(out, text, n);
			break;
		}
		buf_add(out, text, crlf ? n : n + 1);
		out->data[out->len - 1] = '\n';
		text += n + 1;
	}
}

/* Does the first line end in CRLF?  In a maildir a CR is the line's own. */
static int
ends_lines_crlf(const char *text, size_t len)
{
	const char *nl = memchr(text, '\n', len);

	return nl != NULL && nl > text && nl[-1] == '\r';
}

void
account_promise(struct account *a, enum promise kind, const char *who,
    const char *sender, char *const *rcpts, size_t nrcpts, const char *text,
    size_t len)
{
	struct promised *p = xcalloc(1, sizeof(*p));
	struct shelf key, *s;
	struct buf b = { 0 };
	size_t h, i;

	to_lf(text, len, 1, &b);
	h = b.len == 0 ? 0 : header_len(b.data, b.len);
	p->kind = kind;
	p->who = xstrdup(who);
	p->sender = xstrdup(sender);
	p->nrcpts = nrcpts;
	p->rcpts = xcalloc(nrcpts + 1, sizeof(char *));
	p->got = xcalloc(nrcpts + 1, sizeof(int));
	for (i = 0; i < nrcpts; i++)
		p->rcpts[i] = xstrdup(rcpts[i]);
	p->header = xcalloc(1, h + 1);
	if (h > 0)
		memcpy(p->header, b.data, h);
	p->bodylen = b.len - h;
	p->digest = digest(b.len == 0 ? "" : b.data + h, p->bodylen);
	buf_free(&b);
	key.digest = p->digest;
	if ((s = RB_FIND(shelves, &a->shelves, &key)) == NULL) {
		s = xcalloc(1, sizeof(*s));
		s->digest = p->digest;
		RB_INSERT(shelves, &a->shelves, s);
	}
	p->same = s->first;
	s->first = p;
	TAILQ_INSERT_TAIL(&a->promised, p, entry);
	if (kind == PROMISE_MADE)
		a->npromised++;
}

/* One text, held by all arrivals of the message. */
static struct text *
text_new(struct account *a, const char *text, size_t len, uint64_t *dig)
{
	struct text *t = xcalloc(1, sizeof(*t));
	struct buf b = { 0 };
	struct shelf key;
	size_t h;

	if (ends_lines_crlf(text, len))
		to_lf(text, len, 0, &b);
	else
		buf_add(&b, text, len);
	buf_add(&b, "", 0);
	h = header_len(b.data, b.len);
	*dig = key.digest = digest(b.data + h, b.len - h);
	t->size = b.len;
	/* a body that is known already need not be kept */
	if (a->headers_only && RB_FIND(shelves, &a->shelves, &key) != NULL) {
		t->len = h;
		t->text = xcalloc(1, h + 1);
		memcpy(t->text, b.data, h);
		buf_free(&b);
	} else {
		t->len = b.len;
		t->text = b.data;
	}
	return t;
}

void
account_arrive_all(struct account *a, const char *place, char *const *rcpts,
    size_t nrcpts, const char *text, size_t len)
{
	struct arrival *v;
	struct text *t;
	uint64_t dig;
	size_t i;

	if (nrcpts == 0)
		return;
	t = text_new(a, text, len, &dig);
	for (i = 0; i < nrcpts; i++) {
		v = xcalloc(1, sizeof(*v));
		v->place = xstrdup(place);
		v->rcpt = xstrdup(rcpts[i]);
		v->digest = dig;
		v->shared = t;
		v->text = t->text;
		v->len = t->len;
		v->size = t->size;
		t->refs++;
		TAILQ_INSERT_TAIL(&a->arrivals, v, entry);
		a->narrived++;
	}
}

void
account_arrive(struct account *a, const char *place, const char *rcpt,
    const char *text, size_t len)
{
	char *rcpts[] = { (char *)rcpt };

	account_arrive_all(a, place, rcpts, 1, text, len);
}

void
account_headers_only(struct account *a)
{
	a->headers_only = 1;
}

const struct arrivals *
account_arrivals(const struct account *a)
{
	return &a->arrivals;
}

unsigned long
account_arrived(const struct account *a)
{
	return a->narrived;
}

unsigned long
account_promised(const struct account *a)
{
	return a->npromised;
}

void
account_fate(struct account *a, const char *rcpt, int copies)
{
	struct fate *f = xcalloc(1, sizeof(*f));

	f->rcpt = xstrdup(rcpt);
	f->copies = copies;
	STAILQ_INSERT_TAIL(&a->fates, f, entry);
}

void
account_forward(struct account *a, const char *rcpt, const char *to)
{
	struct forward *w = xcalloc(1, sizeof(*w));

	w->rcpt = xstrdup(rcpt);
	w->to = xstrdup(to);
	STAILQ_INSERT_TAIL(&a->forwards, w, entry);
}

void
account_field(struct account *a, const char *name)
{
	struct field *f = xcalloc(1, sizeof(*f));

	f->name = name;
	STAILQ_INSERT_TAIL(&a->fields, f, entry);
}

int
same_rcpt(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

/* Is user the local part of rcpt? */
static int
is_local_part(const char *user, const char *rcpt)
{
	const char *at = strrchr(rcpt, '@');

	return strchr(user, '@') == NULL && at != NULL &&
	    strlen(user) == (size_t)(at - rcpt) &&
	    strncasecmp(user, rcpt, strlen(user)) == 0;
}

/*
 * An LMTP server may be told the user alone, and the domain may be left to
 * the daemon (<postmaster>).
 */
static int
rcpt_matches(const struct account *a, const struct arrival *v,
    const char *rcpt)
{
	const struct forward *w;

	STAILQ_FOREACH(w, &a->forwards, entry)
		if (same_rcpt(w->rcpt, rcpt) && same_rcpt(w->to, v->rcpt))
			return 1;
	return same_rcpt(v->rcpt, rcpt) || is_local_part(v->rcpt, rcpt) ||
	    is_local_part(rcpt, v->rcpt);
}

/* How many copies one promise to this recipient is due. */
static int
copies_due(const struct account *a, const char *rcpt)
{
	const struct fate *f;

	STAILQ_FOREACH(f, &a->fates, entry)
		if (same_rcpt(f->rcpt, rcpt))
			return f->copies;
	return 1;
}

unsigned long
account_due(const struct account *a)
{
	const struct promised *p;
	unsigned long n = 0;
	size_t i;

	TAILQ_FOREACH(p, &a->promised, entry)
		for (i = 0; p->kind == PROMISE_MADE && i < p->nrcpts; i++)
			n += (unsigned long)copies_due(a, p->rcpts[i]);
	return n;
}

static int
is_added(const char *line)
{
	size_t i;

	for (i = 0; added_fields[i] != NULL; i++)
		if (strncasecmp(line, added_fields[i],
		    strlen(added_fields[i])) == 0)
			return 1;
	return 0;
}

static size_t
line_len(const char *s, const char *e)
{
	const char *nl = memchr(s, '\n', (size_t)(e - s));

	return nl == NULL ? (size_t)(e - s) : (size_t)(nl - s) + 1;
}

static int
has_name(const char *line, const char *name)
{
	size_t len = strlen(name);

	return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

/* Is this line the beginning of a field that is a filter's affair? */
static int
is_filtered(const struct account *a, const char *line)
{
	const struct field *f;

	STAILQ_FOREACH(f, &a->fields, entry)
		if (has_name(line, f->name))
			return 1;
	return 0;
}

/* The length of a field with the lines it is folded into. */
static size_t
field_len(const char *s, const char *e)
{
	size_t n = line_len(s, e);

	while (s + n < e && (s[n] == ' ' || s[n] == '\t'))
		n += line_len(s + n, e);
	return n;
}

/* The first field of a name; its length, 0 when there is none. */
static size_t
field_find(const char *s, const char *e, const char *name, const char **field)
{
	for (; s < e; s += field_len(s, e))
		if (has_name(s, name)) {
			*field = s;
			return field_len(s, e);
		}
	return 0;
}

/* Is the field not as it was sent? */
static int
field_differs(const struct promised *p, const struct arrival *v,
    const char *name)
{
	const char *got = v->text, *sf = NULL, *gf = NULL;
	size_t sn, gn;

	sn = field_find(p->header, p->header + strlen(p->header), name, &sf);
	gn = field_find(got, got + header_len(got, v->len), name, &gf);
	return sn != gn || (sn > 0 && memcmp(sf, gf, sn) != 0);
}

/*
 * Is the header that arrived the one that was sent, apart from added fields
 * and from those that are a filter's affair?  NULL, or the first line that
 * differs, to be freed.
 */
static char *
header_differs(const struct account *a, const char *sent, const char *got,
    size_t gotlen)
{
	const char *e = got + gotlen, *se = sent + strlen(sent);
	size_t n, sn;
	int added = 0;

	while (got < e) {
		while (sent < se && is_filtered(a, sent))
			sent += field_len(sent, se);
		if (is_filtered(a, got)) {
			got += field_len(got, e);
			continue;
		}
		n = line_len(got, e);
		sn = line_len(sent, se);
		if (n == sn && memcmp(got, sent, n) == 0) {
			sent += sn;
			added = 0;
		} else if (is_added(got) ||
		    (added && (*got == ' ' || *got == '\t')))
			added = 1;
		else if (n == 1 && sent == se)
			/* the empty line after fields put before a body */
			added = 0;
		else
			return xasprintf("got: %.*s, sent: %.*s",
			    (int)strcspn(got, "\n"), got,
			    (int)strcspn(sent, "\n"), sent);
		got += n;
	}
	while (sent < se && is_filtered(a, sent))
		sent += field_len(sent, se);
	if (sent == se || strcmp(sent, "\n") == 0)
		return NULL;
	return xasprintf("missing: %.*s", (int)strcspn(sent, "\n"), sent);
}

static int
same_header(const struct account *a, const struct promised *p,
    const struct arrival *v)
{
	char *diff = header_differs(a, p->header, v->text,
	    header_len(v->text, v->len));
	int same = diff == NULL;

	free(diff);
	return same;
}

/*
 * Give the arrival to the promise it keeps.  Short bodies are alike: then the
 * header tells; and of the same message sent twice, the one still due is meant.
 */
static struct promised *
arrival_owner(struct account *a, const struct arrival *v, size_t *which)
{
	struct shelf key, *s;
	struct promised *p, *owner = NULL;
	int score, best = -1;
	size_t i;

	key.digest = v->digest;
	if ((s = RB_FIND(shelves, &a->shelves, &key)) == NULL)
		return NULL;
	for (p = s->first; p != NULL && best < 3; p = p->same)
		for (i = 0; i < p->nrcpts; i++) {
			if (!rcpt_matches(a, v, p->rcpts[i]))
				continue;
			score = 2 * same_header(a, p, v) +
			    (p->kind != PROMISE_REFUSED &&
			    p->got[i] < copies_due(a, p->rcpts[i]));
			if (score <= best)
				continue;
			best = score;
			owner = p;
			*which = i;
		}
	return owner;
}

unsigned long
account_field_used(struct account *a, const char *name)
{
	const struct promised *p;
	const struct arrival *v;
	unsigned long n = 0;
	size_t i;

	TAILQ_FOREACH(v, &a->arrivals, entry)
		if ((p = arrival_owner(a, v, &i)) != NULL)
			n += (unsigned long)field_differs(p, v, name);
	return n;
}

/*
 * The first part of a message, which somebody was handing over when it died:
 * who takes it over sees only the end.  The whole of it is due all the same.
 */
static int
torn(const struct account *a, const struct arrival *v)
{
	const struct promised *p;
	size_t i;

	if (!a->may_repeat)
		return 0;
	/* not even the header came through: nobody can tell whose it is */
	if (memmem(v->text, v->len, "\n\n", 2) == NULL)
		return 1;
	TAILQ_FOREACH(p, &a->promised, entry)
		for (i = 0; i < p->nrcpts; i++)
			if (rcpt_matches(a, v, p->rcpts[i]) &&
			    same_header(a, p, v))
				return 1;
	return 0;
}

static void
judge_arrival(struct account *a, struct arrival *v,
    void (*object)(void *, const char *), void *arg)
{
	struct promised *p;
	char *why = NULL, *diff;
	size_t i;

	p = arrival_owner(a, v, &i);
	if (p == NULL && torn(a, v))
		return;
	if (p == NULL)
		why = xasprintf("%s: a message for <%s> that nobody sent like "
		    "this, %zu octets, first line: %.*s", v->place, v->rcpt,
		    v->shared->size, (int)strcspn(v->text, "\n"), v->text);
	else if (p->kind == PROMISE_REFUSED)
		why = xasprintf("%s: a message for <%s> that was refused to "
		    "%s arrived all the same", v->place, v->rcpt, p->who);
	else if (++p->got[i] <= copies_due(a, p->rcpts[i]) && (diff =
	    header_differs(a, p->header, v->text,
	    header_len(v->text, v->len))) != NULL) {
		why = xasprintf("%s: the header for <%s> from %s differs: %s",
		    v->place, v->rcpt, p->who, diff);
		free(diff);
	}
	if (why != NULL)
		object(arg, why);
	free(why);
}

void
account_may_repeat(struct account *a)
{
	a->may_repeat = 1;
}

static void
judge_promise(struct account *a, const struct promised *p,
    void (*object)(void *, const char *), void *arg)
{
	size_t i;
	char *why;
	int due;

	for (i = 0; i < p->nrcpts; i++) {
		due = copies_due(a, p->rcpts[i]);
		if (p->kind == PROMISE_REFUSED || p->got[i] == due ||
		    (p->kind == PROMISE_OPEN && p->got[i] < due) ||
		    (a->may_repeat && due > 0 && p->got[i] > due))
			continue;
		why = xasprintf("a message of %zu octets from <%s> (%s) to <%s> "
		    "arrived %d times, due: %d", p->bodylen, p->sender, p->who,
		    p->rcpts[i], p->got[i], due);
		object(arg, why);
		free(why);
	}
}

void
account_judge(struct account *a, void (*object)(void *, const char *),
    void *arg)
{
	struct promised *p;
	struct arrival *v;

	TAILQ_FOREACH(v, &a->arrivals, entry)
		if (!v->claimed)
			judge_arrival(a, v, object, arg);
	TAILQ_FOREACH(p, &a->promised, entry)
		judge_promise(a, p, object, arg);
}
