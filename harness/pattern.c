#include <string.h>

#include "pattern.h"
#include "util.h"

#define MAX_PIECES	64

struct piece {
	const char	*text;		/* as written, or NULL for a star */
	const char	*name;		/* of a star, or NULL */
};

struct pattern {
	struct piece	 piece[MAX_PIECES];
	size_t		 n;
};

/* What a star has matched, and what a text has become. */
struct match {
	const struct pattern *pattern;
	struct buf	 text[MAX_PIECES];
	const char	*star[MAX_PIECES];
	size_t		 len[MAX_PIECES];
	const char	*end;
};

/* "{name}" after a star; how long it is, 0 if there is none. */
static size_t
star_name(struct arena *a, const char *s, const char **name)
{
	const char *e;

	if (*s != '{' || (e = strchr(s, '}')) == NULL || e == s + 1)
		return 0;
	*name = arena_strndup(a, s + 1, (size_t)(e - s - 1));
	return (size_t)(e - s) + 1;
}

struct pattern *
pattern_parse(struct arena *a, const char *text, const char **err, size_t *off)
{
	struct pattern *p = arena_alloc(a, sizeof(*p));
	const char *s = text;
	size_t n;

	while (*s != '\0') {
		*off = (size_t)(s - text);
		if (p->n == MAX_PIECES) {
			*err = "a pattern with fewer stars";
			return NULL;
		}
		if (*s != '*') {
			n = strcspn(s, "*");
			p->piece[p->n++].text = arena_strndup(a, s, n);
			s += n;
			continue;
		}
		n = star_name(a, ++s, &p->piece[p->n].name);
		if (*s == '{' && n == 0) {
			*err = "*{NAME}";
			return NULL;
		}
		p->n++;
		s += n;
	}
	return p;
}

void
pattern_names(const struct pattern *p, void (*cb)(void *, const char *),
    void *arg)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (p->piece[i].name != NULL)
			cb(arg, p->piece[i].name);
}

/* The pieces from i on against the text from s on. */
static int
match_from(struct match *m, size_t i, const char *s)
{
	const struct pattern *p = m->pattern;
	const char *e;

	if (i == p->n)
		return s == m->end || *s == '|';
	if (p->piece[i].text != NULL) {
		const struct buf *b = &m->text[i];

		return (size_t)(m->end - s) >= b->len && (b->len == 0 ||
		    memcmp(s, b->data, b->len) == 0) &&
		    match_from(m, i + 1, s + b->len);
	}
	m->star[i] = s;
	if (i + 1 == p->n) {
		m->len[i] = (size_t)(m->end - s);
		return 1;
	}
	for (e = s; ; e++) {
		m->len[i] = (size_t)(e - s);
		if (match_from(m, i + 1, e))
			return 1;
		if (e == m->end || (*e == '|' && p->piece[i].name != NULL))
			return 0;
	}
}

int
pattern_match(const struct pattern *p, const char *text, size_t len,
    struct buf *(*expand)(void *, const char *),
    void (*set)(void *, const char *, const char *, size_t), void *arg)
{
	struct match m = { .pattern = p, .end = text + len };
	const struct buf *b;
	size_t i;
	int hit;

	for (i = 0; i < p->n; i++)
		if (p->piece[i].text != NULL) {
			b = expand(arg, p->piece[i].text);
			buf_add(&m.text[i], b->data, b->len);
		}
	hit = match_from(&m, 0, text);
	for (i = 0; i < p->n; i++) {
		buf_free(&m.text[i]);
		if (hit && p->piece[i].name != NULL)
			set(arg, p->piece[i].name, m.star[i], m.len[i]);
	}
	return hit;
}
