#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "report.h"
#include "script.h"
#include "suite.h"
#include "verdicts.h"

enum { R_CONFORMS, R_DEVIATES, R_NOT_OFFERED, R_NOT_TESTABLE, R_NOT_JUDGED };

const char *const	verdict_names[] = {
	[R_CONFORMS]	 = "conforms",
	[R_DEVIATES]	 = "deviates",
	[R_NOT_OFFERED]	 = "not-offered",
	[R_NOT_TESTABLE] = "not-testable",
	[R_NOT_JUDGED]	 = "not-judged",
	NULL
};

struct verdicts {
	const struct catalogue *catalogue;
	const struct suite *suite;
	size_t		 nt;
	json_t		**end;		/* scenarios by targets, or NULL */
};

/* What the scenarios that prove a requirement come to on one target. */
struct sum {
	const char	*id;
	const char	*needs;
	json_t		*scenarios;
	json_t		*deviations;
	int		 conforms;
	int		 unpinned;
	char		*not_offered;
	char		*why;		/* there is no verdict */
};

/* DEF is fixed by a grammar or a table of replies: there is no other way. */
static const struct {
	const char	*level, *severity;
} severities[] = {
	{ "MUST",	"failure" },
	{ "MUST NOT",	"failure" },
	{ "DEF",	"failure" },
	{ "SHOULD",	"warning" },
	{ "SHOULD NOT",	"warning" },
};

const char *
verdict_severity(const struct requirement *q)
{
	size_t	 i;

	for (i = 0; i < nitems(severities); i++)
		if (strcmp(severities[i].level, q->level) == 0)
			return severities[i].severity;
	return "note";
}

/*
 * Does this failure tell of a deviation, and nothing more?  That a connection
 * ends or falls silent may have any reason, unless the step says what it is of.
 */
static int
tells(const json_t *f)
{
	if (json_is_true(json_object_get(f, "unexpected-pass")) ||
	    json_is_true(json_object_get(f, "vague")))
		return 0;
	if (json_is_array(json_object_get(f, "breaks")))
		return 1;
	return *jstr(f, "oracle") == '\0' && *jstr(f, "got") != '<';
}

/* The ids it is about: those it names, otherwise all that are proven. */
static json_t *
blamed(const struct scenario *sc, const json_t *f)
{
	json_t		*about = json_object_get(f, "breaks");
	struct word	*w;

	if (json_is_array(about))
		return json_incref(about);
	about = json_array();
	STAILQ_FOREACH(w, &sc->proves, entry)
		json_array_append_new(about, json_string(w->text));
	return about;
}

/* Add them to the sentence, or return 0 when one is more than a warning. */
static int
forgive(struct buf *b, const struct catalogue *c, const json_t *ids)
{
	const struct requirement *q;
	const json_t	*id;
	size_t		 i;

	json_array_foreach(ids, i, id) {
		q = catalogue_find(c, json_string_value(id));
		if (q == NULL || strcmp(verdict_severity(q), "failure") == 0)
			return 0;
		if (b->len > 0 && strstr(b->data, q->id) != NULL)
			continue;
		buf_addf(b, "%s %s (%s)", b->len > 0 ? "," :
		    "deviates from no more than", q->id, q->level);
	}
	return json_array_size(ids) > 0;
}

char *
verdict_warning(const struct catalogue *c, const struct scenario *sc,
    const json_t *end)
{
	const json_t	*f;
	struct buf	 b = { 0 };
	json_t		*ids;
	size_t		 i;
	int		 ok = 1;

	json_array_foreach(json_object_get(end, "failures"), i, f) {
		ids = blamed(sc, f);
		ok = ok && tells(f) && forgive(&b, c, ids);
		json_decref(ids);
	}
	if (ok && b.len > 0)
		return b.data;
	buf_free(&b);
	return NULL;
}

struct verdicts *
verdicts_new(const struct catalogue *c, const struct suite *s, size_t ntargets)
{
	struct verdicts	*v = xcalloc(1, sizeof(*v));

	v->catalogue = c;
	v->suite = s;
	v->nt = ntargets;
	v->end = xcalloc(s->n * ntargets + 1, sizeof(*v->end));
	return v;
}

void
verdicts_free(struct verdicts *v)
{
	size_t	 i;

	for (i = 0; i < v->suite->n * v->nt; i++)
		json_decref(v->end[i]);
	free(v->end);
	free(v);
}

/* Transcripts and logs are not needed again. */
void
verdicts_add(struct verdicts *v, size_t s, size_t t, const json_t *end)
{
	static const char *const	 keys[] = {
		"verdict", "reason", "not-offered", "failures", "known",
		"foreign"
	};
	json_t	**o = &v->end[s * v->nt + t];
	size_t	 i;

	json_decref(*o);
	*o = json_object();
	for (i = 0; i < nitems(keys); i++)
		if (json_object_get(end, keys[i]) != NULL)
			json_object_set(*o, keys[i],
			    json_object_get(end, keys[i]));
}

/* Is the requirement among those that the deviation is from? */
static int
names(const json_t *list, const char *id)
{
	const json_t	*w;
	size_t		 i;

	json_array_foreach(list, i, w)
		if (json_is_string(w) && strcmp(json_string_value(w), id) == 0)
			return 1;
	return 0;
}

/* Numbers of upstream's tracker that a reason cites: "... (#1234)". */
static json_t *
issues(const char *why)
{
	json_t	*a = json_array();
	char	*end;

	while ((why = strchr(why, '#')) != NULL)
		if (isdigit((unsigned char)*++why)) {
			json_array_append_new(a,
			    json_integer(strtoll(why, &end, 10)));
			why = end;
		}
	return a;
}

static void
deviates(struct sum *sum, const struct scenario *sc, const json_t *d,
    int pinned)
{
	json_t	*o, *other;
	size_t	 i;

	o = json_pack("{s:o, s:O*, s:O*, s:O*, s:O*, s:b, s:o}",
	    "scenario", text_json(sc->path),
	    "where", json_object_get(d, "where"),
	    "expected", json_object_get(d, "expected"),
	    "got", json_object_get(d, "got"),
	    "why", json_object_get(d, "why"), "pinned", pinned,
	    "issues", issues(jstr(d, "why")));
	sum->unpinned |= !pinned;
	/* in a loop or a fleet it is the same one over and over */
	json_array_foreach(sum->deviations, i, other)
		if (json_equal(o, other)) {
			json_decref(o);
			return;
		}
	json_array_append_new(sum->deviations, o);
}

static void
no_verdict(struct sum *sum, const struct scenario *sc, const char *what)
{
	if (sum->why == NULL)
		sum->why = xasprintf("%s: %s", sc->path, what);
}

static void
add_known(struct sum *sum, const struct scenario *sc, const json_t *end)
{
	const json_t	*k;
	size_t		 i, n = json_array_size(sum->deviations);

	json_array_foreach(json_object_get(end, "known"), i, k)
		if (names(json_object_get(k, "breaks"), sum->id))
			deviates(sum, sc, k, 1);
	if (json_array_size(sum->deviations) > n)
		return;
	/* of a server that is not ours only the replies are seen */
	if (json_is_true(json_object_get(end, "foreign")) &&
	    strpbrk(sum->needs, "DXNF") != NULL)
		no_verdict(sum, sc, "more than the replies would have to be "
		    "seen");
	else
		sum->conforms = 1;
}

/*
 * Whatever fails ends the run, so what was not reached is not proven.  A step
 * that says which requirement it is about speaks for that one alone.
 */
static void
add_failures(struct sum *sum, const struct scenario *sc, const json_t *end)
{
	const json_t	*f, *about;
	size_t		 i, n = json_array_size(sum->deviations);

	json_array_foreach(json_object_get(end, "failures"), i, f) {
		if (json_is_true(json_object_get(f, "unexpected-pass"))) {
			no_verdict(sum, sc, "an unexpected pass");
			continue;
		}
		about = json_object_get(f, "breaks");
		if (!json_is_array(about) || names(about, sum->id))
			deviates(sum, sc, f, 0);
	}
	if (json_array_size(sum->deviations) == n)
		no_verdict(sum, sc, "something else has failed");
}

static void
add_skip(struct sum *sum, const struct scenario *sc, const json_t *end)
{
	const char	*what = jstr(end, "not-offered");

	if (*what == '\0')
		no_verdict(sum, sc, jstr(end, "reason"));
	else if (sum->not_offered == NULL)
		sum->not_offered = xstrdup(what);
}

static void
add_error(struct sum *sum, const struct scenario *sc, const json_t *end)
{
	no_verdict(sum, sc, jstr(end, "reason"));
}

static void (*const adds[VERDICTS])(struct sum *, const struct scenario *,
    const json_t *) = {
	[V_PASS]  = add_known,
	[V_FAIL]  = add_failures,
	[V_WARN]  = add_failures,
	[V_KNOWN] = add_known,
	[V_SKIP]  = add_skip,
	[V_ERROR] = add_error,
};

static void
add_scenario(struct sum *sum, const struct scenario *sc, const json_t *end)
{
	struct word	*w;

	STAILQ_FOREACH(w, &sc->proves, entry)
		if (strcmp(w->text, sum->id) == 0)
			break;
	if (w == NULL)
		return;
	json_array_append_new(sum->scenarios, text_json(sc->path));
	if (end == NULL)
		no_verdict(sum, sc, "was not run to its end");
	else
		adds[verdict_of(end)](sum, sc, end);
}

/* One deviation is enough, and so is one scenario that could tell. */
static int
verdict(const struct sum *sum, const struct requirement *q)
{
	if (json_array_size(sum->deviations) > 0)
		return R_DEVIATES;
	if (sum->conforms)
		return R_CONFORMS;
	if (sum->not_offered != NULL)
		return R_NOT_OFFERED;
	return *q->untestable != '\0' ? R_NOT_TESTABLE : R_NOT_JUDGED;
}

static const char *
reason(const struct sum *sum, const struct requirement *q, int v)
{
	if (v == R_NOT_TESTABLE)
		return q->untestable;
	if (v == R_NOT_OFFERED)
		return sum->not_offered;
	return v == R_NOT_JUDGED && sum->why != NULL ? sum->why : "";
}

/* NULL when nothing in this run is about it. */
static json_t *
on_target(const struct verdicts *v, const struct requirement *q, size_t t)
{
	struct sum	 sum = { .id = q->id, .needs = q->needs };
	json_t		*o = NULL;
	size_t		 s;
	int		 n;

	sum.scenarios = json_array();
	sum.deviations = json_array();
	for (s = 0; s < v->suite->n; s++)
		add_scenario(&sum, v->suite->sc[s], v->end[s * v->nt + t]);
	if (json_array_size(sum.scenarios) > 0 || *q->untestable != '\0') {
		n = verdict(&sum, q);
		o = json_pack("{s:s, s:O, s:O, s:o}",
		    "verdict", verdict_names[n], "scenarios", sum.scenarios,
		    "deviations", sum.deviations,
		    "reason", text_json(reason(&sum, q, n)));
		if (n == R_DEVIATES) {
			json_object_set_new(o, "severity",
			    json_string(verdict_severity(q)));
			json_object_set_new(o, "pinned",
			    json_boolean(!sum.unpinned));
		}
	}
	json_decref(sum.scenarios);
	json_decref(sum.deviations);
	free(sum.not_offered);
	free(sum.why);
	return o;
}

static json_t *
row(const struct verdicts *v, const struct requirement *q,
    const char *const *targets)
{
	json_t	*o = json_object(), *one;
	size_t	 t;

	for (t = 0; t < v->nt; t++)
		if ((one = on_target(v, q, t)) != NULL)
			json_object_set_new(o, targets[t], one);
	if (json_object_size(o) == 0) {
		json_decref(o);
		return NULL;
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o}",
	    "level", text_json(q->level), "section", text_json(q->section),
	    "needs", text_json(q->needs), "text", text_json(q->text),
	    "targets", o);
}

json_t *
verdicts_json(const struct verdicts *v, const char *const *targets)
{
	json_t	*o = json_object(), *r;
	size_t	 i;

	for (i = 0; i < v->catalogue->n; i++)
		if ((r = row(v, &v->catalogue->req[i], targets)) != NULL)
			json_object_set_new(o, v->catalogue->req[i].id, r);
	return o;
}
