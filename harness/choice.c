#include <sys/queue.h>
#include <sys/tree.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"

struct draw {
	const char	*label;
	struct range	 range;
	uint64_t	 value;
};

struct stream {
	RB_ENTRY(stream) entry;
	char		*name;
	uint64_t	 state;
	struct arena	*arena;
	struct draw	*drawn;
	size_t		 ndrawn;
	struct draw	*replay;
	size_t		 nreplay;
};
RB_HEAD(stream_tree, stream);

struct choices {
	uint64_t	 seed;
	struct arena	*arena;
	struct stream_tree streams;
};

static int
stream_cmp(const struct stream *a, const struct stream *b)
{
	return strcmp(a->name, b->name);
}

RB_GENERATE_STATIC(stream_tree, stream, entry, stream_cmp)

/* SplitMix64: one multiplication chain a draw, and any seed will do. */
uint64_t
choice_mix(uint64_t *state)
{
	uint64_t z;

	z = (*state += 0x9e3779b97f4a7c15ULL);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

struct choices *
choices_new(uint64_t seed, const char *scenario)
{
	struct choices *c;

	c = xcalloc(1, sizeof(*c));
	c->seed = seed ^ fnv64(scenario, strlen(scenario));
	c->arena = arena_new();
	RB_INIT(&c->streams);
	return c;
}

void
choices_free(struct choices *c)
{
	struct stream *s, *next;

	RB_FOREACH_SAFE(s, stream_tree, &c->streams, next) {
		RB_REMOVE(stream_tree, &c->streams, s);
		free(s->drawn);
		free(s->replay);
		free(s->name);
		free(s);
	}
	arena_free(c->arena);
	free(c);
}

struct stream *
choice_stream(struct choices *c, const char *name)
{
	struct stream key, *s;

	key.name = (char *)name;
	if ((s = RB_FIND(stream_tree, &c->streams, &key)) != NULL)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->name = xstrdup(name);
	s->arena = c->arena;
	s->state = c->seed ^ fnv64(name, strlen(name));
	RB_INSERT(stream_tree, &c->streams, s);
	return s;
}

static void
draw_add(struct draw **list, size_t *n, const struct draw *d)
{
	if ((*n & (*n - 1)) == 0)
		*list = xreallocarray(*list, *n == 0 ? 1 : *n * 2,
		    sizeof(**list));
	(*list)[(*n)++] = *d;
}

/*
 * The draw of that number in the recording, if it asks for the same thing: a
 * shrunk stream may have lost draws, and what is missing is drawn afresh.
 */
static int
draw_recorded(const struct stream *s, const struct draw *d, uint64_t *value)
{
	const struct draw *r;

	if (s->ndrawn >= s->nreplay)
		return 0;
	r = &s->replay[s->ndrawn];
	if (strcmp(r->label, d->label) != 0 ||
	    r->value < d->range.lo || r->value > d->range.hi)
		return 0;
	*value = r->value;
	return 1;
}

static uint64_t
draw(struct stream *s, const char *label, struct range r, uint64_t fresh)
{
	struct draw d;

	d.label = label;
	d.range = r;
	if (!draw_recorded(s, &d, &d.value))
		d.value = fresh;
	draw_add(&s->drawn, &s->ndrawn, &d);
	return d.value;
}

uint64_t
choice_draw(struct stream *s, const char *label, struct range r)
{
	uint64_t span, x;

	if (r.lo == r.hi)
		return r.lo;
	span = r.hi - r.lo + 1;
	x = choice_mix(&s->state);
	return draw(s, label, r, span == 0 ? x : r.lo + x % span);
}

uint64_t
choice_scale(struct stream *s, const char *label, struct range r)
{
	double lo, hi, x;
	uint64_t v;

	if (r.lo == r.hi)
		return r.lo;
	lo = log((double)r.lo + 1);
	hi = log((double)r.hi + 2);
	x = (double)(choice_mix(&s->state) >> 11) / 9007199254740992.0;
	v = (uint64_t)(exp(lo + x * (hi - lo)) - 1);
	if (v < r.lo)
		v = r.lo;
	if (v > r.hi)
		v = r.hi;
	return draw(s, label, r, v);
}

static int
bad_word(const char *path, int line, size_t col, const char *want, char *err,
    size_t errlen)
{
	snprintf(err, errlen, "%s:%d:%zu: expected %s", path, line, col, want);
	return -1;
}

static int
parse_number(const char *s, uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(s, &end, 10);
	/* it would take blanks and signs */
	return isdigit((unsigned char)*s) && *end == '\0' && errno == 0 ? 0 : -1;
}

/* "stream label lo hi value" */
static int
replay_line(struct choices *c, char *line, const char *path, int lineno,
    char *err, size_t errlen)
{
	char *start = line, *end = line + strlen(line), *words[5];
	struct stream *s;
	struct draw d = { 0 };
	uint64_t *const n[] = { &d.range.lo, &d.range.hi, &d.value };
	size_t i;

	for (i = 0; i < nitems(words); i++)
		if ((words[i] = strsep(&line, " ")) == NULL ||
		    *words[i] == '\0')
			return bad_word(path, lineno, (size_t)((words[i] ==
			    NULL ? end : words[i]) - start) + 1,
			    "STREAM LABEL LOW HIGH VALUE", err, errlen);
	for (i = 0; i < nitems(n); i++)
		if (parse_number(words[i + 2], n[i]) == -1)
			return bad_word(path, lineno, (size_t)(words[i + 2] -
			    start) + 1, "a number", err, errlen);
	if (line != NULL)
		return bad_word(path, lineno, (size_t)(line - start) + 1,
		    "the end of the line", err, errlen);
	s = choice_stream(c, words[0]);
	d.label = arena_strdup(c->arena, words[1]);
	draw_add(&s->replay, &s->nreplay, &d);
	return 0;
}

int
choices_replay(struct choices *c, FILE *fp, const char *path, char *err,
    size_t errlen)
{
	char *line = NULL;
	size_t size = 0, end;
	ssize_t len;
	int lineno, rc = 0;

	for (lineno = 1; rc == 0 && (len = getline(&line, &size, fp)) != -1;
	    lineno++) {
		end = strcspn(line, "\n");
		rc = end == (size_t)len ? bad_word(path, lineno, end + 1,
		    "a line end", err, errlen) : 0;
		line[end] = '\0';
		if (rc == 0 && end + 1 != (size_t)len)
			rc = bad_word(path, lineno, end + 1, "text, not a NUL",
			    err, errlen);
		if (rc == 0)
			rc = replay_line(c, line, path, lineno, err, errlen);
	}
	if (rc == 0 && ferror(fp)) {
		snprintf(err, errlen, "%s: %s", path, strerror(errno));
		rc = -1;
	}
	free(line);
	return rc;
}

int
choices_save(const struct choices *c, FILE *fp)
{
	struct stream_tree *streams = (struct stream_tree *)&c->streams;
	struct stream *s;
	const struct draw *d;
	size_t i;

	RB_FOREACH(s, stream_tree, streams)
		for (i = 0; i < s->ndrawn; i++) {
			d = &s->drawn[i];
			fprintf(fp, "%s %s %" PRIu64 " %" PRIu64 " %" PRIu64
			    "\n", s->name, d->label, d->range.lo, d->range.hi,
			    d->value);
		}
	return ferror(fp) ? -1 : 0;
}
