#include <stdlib.h>
#include <string.h>

#include "differ.h"
#include "report.h"
#include "util.h"

struct differ {
	size_t	 ns, nt;
	json_t	**end;		/* ns by nt: what to compare, or NULL */
	json_t	**head;		/* ns: path and name */
};

struct differ *
differ_new(size_t nscenarios, size_t ntargets)
{
	struct differ	*d;

	d = xcalloc(1, sizeof(*d));
	d->ns = nscenarios;
	d->nt = ntargets;
	d->end = xcalloc(d->ns * d->nt + 1, sizeof(*d->end));
	d->head = xcalloc(d->ns + 1, sizeof(*d->head));
	return d;
}

void
differ_free(struct differ *d)
{
	size_t	 i;

	for (i = 0; i < d->ns * d->nt; i++)
		json_decref(d->end[i]);
	for (i = 0; i < d->ns; i++)
		json_decref(d->head[i]);
	free(d->end);
	free(d->head);
	free(d);
}

static json_t *
deviations(const json_t *end, json_t *got)
{
	static const char *const lists[] = { "failures", "known" };
	const json_t	*f;
	json_t		*a = json_array();
	size_t		 i, k;

	for (k = 0; k < nitems(lists); k++)
		json_array_foreach(json_object_get(end, lists[k]), i, f) {
			json_array_append_new(a, json_pack("{s:O*, s:O*, s:O*}",
			    "where", json_object_get(f, "where"),
			    "oracle", json_object_get(f, "oracle"),
			    "why", json_object_get(f, "why")));
			json_array_append(got, json_object_get(f, "got"));
		}
	return a;
}

void
differ_add(struct differ *d, size_t s, size_t t, const json_t *end)
{
	json_t	*a, *got = json_array();

	a = deviations(end, got);
	d->end[s * d->nt + t] = json_pack("{s:s, s:o, s:o}",
	    "verdict", verdicts[verdict_of(end)].name, "got", got, "where", a);
	if (d->head[s] == NULL)
		d->head[s] = json_pack("{s:O*, s:O*}",
		    "path", json_object_get(end, "path"),
		    "name", json_object_get(end, "name"));
}

int
differ_judged(const json_t *o)
{
	return o != NULL && !json_is_null(o) && strcmp(jstr(o, "verdict"), "skip") != 0;
}

/*
 * Deviations are the same ones where the texts are, or else the lines and the
 * reasons: a text may carry an id or a time that is another in each run.
 */
static int
same(const json_t *a, const json_t *b)
{
	return strcmp(jstr(a, "verdict"), jstr(b, "verdict")) == 0 &&
	    (json_equal(json_object_get(a, "got"), json_object_get(b, "got")) ||
	    json_equal(json_object_get(a, "where"), json_object_get(b, "where")));
}

static int
differs(const struct differ *d, size_t s)
{
	json_t	*const *o = &d->end[s * d->nt], *first = NULL;
	size_t	 t;

	for (t = 0; t < d->nt; t++) {
		if (!differ_judged(o[t]))
			continue;
		if (first != NULL && !same(first, o[t]))
			return 1;
		first = o[t];
	}
	return 0;
}

static json_t *
row(const struct differ *d, size_t s)
{
	json_t	*const *o = &d->end[s * d->nt];
	json_t	*a = json_array(), *r;
	size_t	 t;

	for (t = 0; t < d->nt; t++)
		json_array_append_new(a, o[t] == NULL ? json_null() :
		    json_pack("{s:O, s:O}", "verdict",
		    json_object_get(o[t], "verdict"),
		    "got", json_object_get(o[t], "got")));
	r = json_copy(d->head[s]);
	json_object_set_new(r, "outcomes", a);
	return r;
}

json_t *
differ_rows(const struct differ *d)
{
	json_t	*rows = json_array();
	size_t	 s;

	for (s = 0; s < d->ns; s++)
		if (differs(d, s))
			json_array_append_new(rows, row(d, s));
	return rows;
}

size_t
differ_skipped(const struct differ *d)
{
	size_t	 s, t, n = 0, yes, no;

	for (s = 0; s < d->ns; s++) {
		for (t = yes = no = 0; t < d->nt; t++)
			if (d->end[s * d->nt + t] != NULL)
				*(differ_judged(d->end[s * d->nt + t]) ? &no : &yes) += 1;
		n += yes > 0 && no > 0;
	}
	return n;
}
