#include <err.h>
#include <string.h>

#include "cmd.h"
#include "matrix.h"
#include "report.h"
#include "verdicts.h"

#define CELL	12		/* columns, "not-testable" */

/* A deviation is worth as much as its level says, so that is what is shown. */
static const char *
cell(const json_t *one)
{
	const char	*severity = jstr(one, "severity");

	if (one == NULL)
		return "-";
	return *severity != '\0' ? severity : jstr(one, "verdict");
}

static void
put_json(FILE *f, const json_t *v)
{
	struct buf	 b = { 0 };

	text_value(&b, v);
	if (b.len > 0)
		fwrite(b.data, 1, b.len, f);
	buf_free(&b);
}

/* All targets, in the order in which they turn up. */
static json_t *
targets(const json_t *requirements)
{
	const char	*id, *name;
	json_t		*a = json_array(), *q, *one, *seen = json_object();

	json_object_foreach((json_t *)(uintptr_t)requirements, id, q)
		json_object_foreach(json_object_get(q, "targets"), name, one)
			if (json_object_get(seen, name) == NULL) {
				json_object_set_new(seen, name, json_true());
				json_array_append_new(a, json_string(name));
			}
	json_decref(seen);
	return a;
}

/* The event a run ends with; NULL when the file has none, -1 in *bad: no JSON */
static json_t *
run_end(FILE *f, int *bad)
{
	json_error_t	 error;
	json_t		*ev, *end = NULL;

	*bad = 0;
	while ((ev = json_loadf(f, JSON_DISABLE_EOF_CHECK, &error)) != NULL) {
		if (strcmp(jstr(ev, "event"), "run-end") == 0) {
			json_decref(end);
			end = json_incref(ev);
		}
		json_decref(ev);
	}
	*bad = json_error_code(&error) != json_error_premature_end_of_input;
	return end;
}

static void
merge(json_t *all, const json_t *more)
{
	const char	*id;
	json_t		*q, *have;

	json_object_foreach((json_t *)(uintptr_t)more, id, q) {
		have = json_object_get(all, id);
		if (have == NULL)
			json_object_set_new(all, id, json_deep_copy(q));
		else
			json_object_update(json_object_get(have, "targets"),
			    json_object_get(q, "targets"));
	}
}

json_t *
matrix_load(char *const *files)
{
	json_t	*all = json_object(), *end;
	FILE	*f;
	int	 bad;

	for (; *files != NULL; files++) {
		if ((f = fopen(*files, "re")) == NULL)
			err(EX_SETUP, "%s", *files);
		end = run_end(f, &bad);
		fclose(f);
		if (bad || !json_is_object(json_object_get(end,
		    "requirements")))
			errx(EX_SETUP, "%s: %s, expected what run --json has "
			    "written", *files, bad ? "not JSON" :
			    "no run that has ended");
		merge(all, json_object_get(end, "requirements"));
		json_decref(end);
	}
	return all;
}

/* Where, what was got instead, and why if anybody knows. */
static void
put_deviations(FILE *f, const char *target, const json_t *one)
{
	const json_t	*d;
	size_t		 i;

	json_array_foreach(json_object_get(one, "deviations"), i, d) {
		fputs("    ", f);
		put_json(f, json_object_get(d, *jstr(d, "where") != '\0' ?
		    "where" : "scenario"));
		fprintf(f, " %s: ", target);
		put_json(f, json_object_get(d, "got"));
		if (*jstr(d, "why") != '\0') {
			fputs(" (", f);
			put_json(f, json_object_get(d, "why"));
			putc(')', f);
		}
		putc('\n', f);
	}
	if (*jstr(one, "reason") == '\0')
		return;
	fprintf(f, "    %s: ", target);
	put_json(f, json_object_get(one, "reason"));
	putc('\n', f);
}

static void
put_row(FILE *f, const char *id, json_t *q, const json_t *names)
{
	json_t		*on = json_object_get(q, "targets"), *name, *one;
	const char	*target;
	size_t		 t;

	fprintf(f, "%-8s  %-10s", id, jstr(q, "level"));
	json_array_foreach(names, t, name)
		fprintf(f, "  %-*s", CELL,
		    cell(json_object_get(on, json_string_value(name))));
	fputs("  ", f);
	put_json(f, json_object_get(q, "text"));
	putc('\n', f);
	json_object_foreach(on, target, one)
		put_deviations(f, target, one);
}

void
matrix_put(FILE *f, const json_t *requirements)
{
	const char	*id;
	json_t		*names = targets(requirements), *q, *name;
	size_t		 t;

	fprintf(f, "%-8s  %-10s", "id", "level");
	json_array_foreach(names, t, name)
		fprintf(f, "  %-*s", CELL, json_string_value(name));
	fprintf(f, "  requirement\n");
	json_object_foreach((json_t *)(uintptr_t)requirements, id, q)
		put_row(f, id, q, names);
	json_decref(names);
}

static size_t
count(const json_t *requirements, const char *target, const char *what)
{
	const char	*id;
	json_t		*q, *one;
	size_t		 n = 0;

	json_object_foreach((json_t *)(uintptr_t)requirements, id, q) {
		one = json_object_get(json_object_get(q, "targets"), target);
		n += one != NULL && strcmp(cell(one), what) == 0;
	}
	return n;
}

void
matrix_counts(FILE *f, const json_t *requirements)
{
	static const char *const columns[] = {
		"conforms", "failure", "warning", "note", "not-offered",
		"not-testable", "not-judged"
	};
	json_t		*names = targets(requirements), *name;
	size_t		 t, i, len, width = strlen("requirements");

	json_array_foreach(names, t, name)
		if ((len = json_string_length(name)) > width)
			width = len;
	fprintf(f, "%-*s", (int)width, "requirements");
	for (i = 0; i < nitems(columns); i++)
		fprintf(f, " %*s", (int)strlen(columns[i]) + 1, columns[i]);
	putc('\n', f);
	json_array_foreach(names, t, name) {
		fprintf(f, "%-*s", (int)width, json_string_value(name));
		for (i = 0; i < nitems(columns); i++)
			fprintf(f, " %*zu", (int)strlen(columns[i]) + 1,
			    count(requirements, json_string_value(name),
			    columns[i]));
		putc('\n', f);
	}
	json_decref(names);
}
