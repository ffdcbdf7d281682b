#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "event.h"
#include "report.h"

/*
 * TAP 14.  A known deviation is a failing TODO test, which is what TAP calls a
 * failure that is expected.
 */

struct tap {
	FILE		*f;
	size_t		 n;
};

static void *
tap_open(const char *path)
{
	struct tap	*t;

	t = xcalloc(1, sizeof(*t));
	t->f = stdout;
	if (path != NULL && (t->f = fopen(path, "we")) == NULL)
		err(EX_SETUP, "--tap %s", path);
	fputs("TAP version 14\n", t->f);
	fflush(t->f);
	return t;
}

/* A backslash and a # mean something in a description. */
static void
put_escaped(FILE *f, const char *s)
{
	struct buf	 b = { 0 };
	const char	*p;

	text_line(&b, s, strlen(s));
	for (p = b.data; *p != '\0'; p++) {
		if (*p == '\\' || *p == '#')
			putc('\\', f);
		putc(*p, f);
	}
	buf_free(&b);
}

/* JSON's strings are YAML's double-quoted ones, once the text is clean. */
static void
put_yaml(FILE *f, const char *s, size_t n)
{
	struct buf	 b = { 0 };
	json_t		*v;
	char		*q;

	text_clean(&b, s, n);
	v = json_stringn(b.data, b.len);
	if ((q = json_dumps(v, JSON_ENCODE_ANY)) != NULL)
		fputs(q, f);
	free(q);
	json_decref(v);
	buf_free(&b);
}

static void
put_pair(FILE *f, const json_t *o, const char *key)
{
	const char	*s = jstr(o, key);

	if (*s == '\0')
		return;
	fprintf(f, "  %s: ", key);
	put_yaml(f, s, strlen(s));
	putc('\n', f);
}

/* A literal block: even Perl's small part of YAML knows that. */
static void
put_details(FILE *f, const json_t *end)
{
	struct buf	 b = { 0 };
	char		*p, *line;

	report_details(&b, end, SIZE_MAX);
	fputs("  details: |\n", f);
	p = b.data;
	while ((line = strsep(&p, "\n")) != NULL && p != NULL)
		fprintf(f, "    %s\n", line);
	buf_free(&b);
}

static void
put_diagnostics(FILE *f, const json_t *end)
{
	struct buf	 b = { 0 };

	report_headline(&b, end);
	fputs("  ---\n  message: ", f);
	put_yaml(f, b.data, b.len);
	putc('\n', f);
	buf_free(&b);
	put_pair(f, end, "verdict");
	put_pair(f, end, "path");
	put_pair(f, end, "target");
	put_pair(f, end, "version");
	put_pair(f, end, "seed");
	put_pair(f, end, "repeat");
	put_details(f, end);
	fputs("  ...\n", f);
}

/* How each verdict reads. */
static const struct {
	const char	*status;
	const char	*directive;
	int		 diagnostics;
} forms[VERDICTS] = {
	[V_PASS]  = { "ok",	NULL,	0 },
	[V_FAIL]  = { "not ok",	NULL,	1 },
	[V_WARN]  = { "not ok",	"TODO",	1 },
	[V_KNOWN] = { "not ok",	"TODO",	1 },
	[V_SKIP]  = { "ok",	"SKIP",	0 },
	[V_ERROR] = { "not ok",	NULL,	1 },
};

static void
tap_start(struct tap *t, const json_t *ev)
{
	fprintf(t->f, "1..%lld\n", (long long)jint(ev, "total"));
}

static void
tap_end(struct tap *t, const json_t *ev)
{
	enum verdict	 v = verdict_of(ev);

	fprintf(t->f, "%s %zu - ", forms[v].status, ++t->n);
	put_escaped(t->f, jstr(ev, "target"));
	fputs(": ", t->f);
	put_escaped(t->f, jstr(ev, "path"));
	fputs(": ", t->f);
	put_escaped(t->f, jstr(ev, "name"));
	if (forms[v].directive != NULL) {
		fprintf(t->f, " # %s ", forms[v].directive);
		put_escaped(t->f, report_why(ev));
	}
	putc('\n', t->f);
	if (forms[v].diagnostics || json_object_get(ev, "transcript") != NULL)
		put_diagnostics(t->f, ev);
}

static void
tap_run_end(struct tap *t, const json_t *ev)
{
	if (json_is_true(json_object_get(ev, "interrupted")))
		fputs("Bail out! interrupted\n", t->f);
}

static const struct {
	const char	*name;
	void		(*put)(struct tap *, const json_t *);
} kinds[] = {
	{ "run-start",	tap_start },
	{ "end",	tap_end },
	{ "run-end",	tap_run_end },
};

static void
tap_event(void *arg, const json_t *ev)
{
	struct tap	*t = arg;
	size_t		 i;

	for (i = 0; i < nitems(kinds); i++) {
		if (strcmp(kinds[i].name, jstr(ev, "event")) == 0) {
			kinds[i].put(t, ev);
			fflush(t->f);
		}
	}
}

static void
tap_close(void *arg)
{
	struct tap	*t = arg;

	if (ferror(t->f))
		warnx("--tap: not all could be written");
	if (t->f != stdout)
		fclose(t->f);
	free(t);
}

const struct reporter	report_tap = {
	"tap", tap_open, tap_event, tap_close
};
