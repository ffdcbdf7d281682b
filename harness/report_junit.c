#include <sys/types.h>
#include <sys/stat.h>

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "event.h"
#include "report.h"

/*
 * JUnit's XML, a testsuite for each target.  The counts stand before the cases,
 * so the whole file is written anew: now and then, so that a kill leaves what
 * was known a few seconds ago, and at the end.  A known deviation is "skipped"
 * of type "known", as other runners write an expected failure.
 */
#define REWRITE_US	(5 * 1000000ULL)

struct suite_xml {
	char		*target;
	char		*version;
	struct buf	 cases;
	size_t		 n[VERDICTS];
	double		 seconds;
};

struct junit {
	char		*path;		/* NULL is stdout */
	struct suite_xml *suite;
	size_t		 nsuites;
	char		*seed;
	int		 interrupted;
	uint64_t	 written;
};

static const struct {
	char		 c;
	const char	*entity;
} entities[] = {
	{ '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" },
	{ '"', "&quot;" }, { '\n', "&#10;" }, { '\t', "&#9;" },
};

/* Line ends and tabs survive in text; in an attribute they need an entity. */
static void
add_xml(struct buf *b, const char *s, size_t n, int attr)
{
	struct buf	 t = { 0 };
	size_t		 i, j;

	text_clean(&t, s, n);
	for (i = 0; i < t.len; i++) {
		for (j = 0; j < nitems(entities); j++)
			if (entities[j].c == t.data[i] &&
			    (attr || (unsigned char)t.data[i] >= ' '))
				break;
		if (j < nitems(entities))
			buf_addstr(b, entities[j].entity);
		else
			buf_add(b, t.data + i, 1);
	}
	buf_free(&t);
}

static void
add_attr(struct buf *b, const char *name, const char *value)
{
	buf_addf(b, " %s=\"", name);
	add_xml(b, value, strlen(value), 1);
	buf_addstr(b, "\"");
}

static void
add_property(struct buf *b, const char *name, const char *value)
{
	buf_addstr(b, "      <property");
	add_attr(b, "name", name);
	add_attr(b, "value", value);
	buf_addstr(b, "/>\n");
}

static void *
junit_open(const char *path)
{
	struct junit	*j;

	j = xcalloc(1, sizeof(*j));
	j->path = path == NULL ? NULL : xstrdup(path);
	return j;
}

/* How a verdict reads inside its testcase. */
static const struct {
	const char	*element;
	const char	*type;
	int		 body;
} forms[VERDICTS] = {
	[V_FAIL]  = { "failure",	"fail",		1 },
	[V_WARN]  = { "skipped",	"warning",	0 },
	[V_KNOWN] = { "skipped",	"known",	0 },
	[V_SKIP]  = { "skipped",	"skip",		0 },
	[V_ERROR] = { "error",		"error",	1 },
};

static void
add_message(struct buf *b, const json_t *end)
{
	struct buf	 t = { 0 };

	report_headline(&t, end);
	add_attr(b, "message", t.data);
	buf_free(&t);
}

static void
add_verdict(struct buf *b, const json_t *end, enum verdict v)
{
	struct buf	 d = { 0 };

	report_details(&d, end, SIZE_MAX);
	if (forms[v].element != NULL) {
		buf_addf(b, "      <%s", forms[v].element);
		add_message(b, end);
		add_attr(b, "type", forms[v].type);
		buf_addstr(b, ">");
		if (forms[v].body)
			add_xml(b, d.data, d.len, 0);
		buf_addf(b, "</%s>\n", forms[v].element);
	}
	if ((forms[v].element == NULL || !forms[v].body) &&
	    json_object_get(end, "transcript") != NULL) {
		buf_addstr(b, "      <system-out>");
		add_xml(b, d.data, d.len, 0);
		buf_addstr(b, "</system-out>\n");
	}
	buf_free(&d);
}

static void
add_case(struct suite_xml *s, const json_t *end)
{
	enum verdict	 v = verdict_of(end);
	double		 seconds;

	seconds = json_number_value(json_object_get(end, "seconds"));
	s->n[v]++;
	s->seconds += seconds;
	buf_addstr(&s->cases, "    <testcase");
	add_attr(&s->cases, "classname", jstr(end, "path"));
	add_attr(&s->cases, "name", jstr(end, "name"));
	add_attr(&s->cases, "file", jstr(end, "path"));
	buf_addf(&s->cases, " time=\"%.3f\">\n", seconds);
	add_verdict(&s->cases, end, v);
	buf_addstr(&s->cases, "    </testcase>\n");
}

static struct suite_xml *
suite_of(struct junit *j, const char *target, const char *version)
{
	struct suite_xml	*s;
	size_t			 i;

	for (i = 0; i < j->nsuites; i++)
		if (strcmp(j->suite[i].target, target) == 0)
			return &j->suite[i];
	j->suite = xreallocarray(j->suite, j->nsuites + 1, sizeof(*s));
	s = &j->suite[j->nsuites++];
	memset(s, 0, sizeof(*s));
	s->target = xstrdup(target);
	s->version = xstrdup(version);
	buf_add(&s->cases, NULL, 0);
	return s;
}

static void
add_counts(struct buf *b, const struct suite_xml *s)
{
	buf_addf(b, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" "
	    "skipped=\"%zu\" time=\"%.3f\"", s->n[V_PASS] + s->n[V_FAIL] +
	    s->n[V_KNOWN] + s->n[V_SKIP] + s->n[V_ERROR], s->n[V_FAIL],
	    s->n[V_ERROR], s->n[V_SKIP] + s->n[V_KNOWN], s->seconds);
}

static void
add_suite(struct buf *b, const struct junit *j, const struct suite_xml *s)
{
	buf_addstr(b, "  <testsuite");
	add_attr(b, "name", s->target);
	add_counts(b, s);
	buf_addstr(b, ">\n    <properties>\n");
	add_property(b, "target", s->target);
	add_property(b, "version", s->version);
	add_property(b, "seed", j->seed == NULL ? "" : j->seed);
	if (j->interrupted)
		add_property(b, "interrupted", "true");
	buf_addstr(b, "    </properties>\n");
	buf_add(b, s->cases.data, s->cases.len);
	buf_addstr(b, "  </testsuite>\n");
}

/* A pipe, say, cannot be renamed over and gets one version only. */
static int
replaceable(const struct junit *j)
{
	struct stat	 st;

	return j->path != NULL &&
	    (lstat(j->path, &st) == -1 || S_ISREG(st.st_mode));
}

static int
put(const struct junit *j, const struct buf *b)
{
	FILE	*f;
	int	 rc;

	if (replaceable(j))
		return file_replace(j->path, b->data, b->len);
	if (j->path == NULL)
		return write_all(STDOUT_FILENO, b->data, b->len);
	if ((f = fopen(j->path, "we")) == NULL)
		return -1;
	rc = fwrite(b->data, 1, b->len, f) == b->len ? 0 : -1;
	return fclose(f) == 0 ? rc : -1;
}

static int
rewrite(struct junit *j)
{
	struct suite_xml	 total = { 0 };
	struct buf		 b = { 0 };
	size_t			 i, v;
	int			 rc;

	for (i = 0; i < j->nsuites; i++) {
		for (v = 0; v < VERDICTS; v++)
			total.n[v] += j->suite[i].n[v];
		total.seconds += j->suite[i].seconds;
	}
	buf_addstr(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	    "<testsuites name=\"smtpdtest\"");
	add_counts(&b, &total);
	buf_addstr(&b, ">\n");
	for (i = 0; i < j->nsuites; i++)
		add_suite(&b, j, &j->suite[i]);
	buf_addstr(&b, "</testsuites>\n");
	rc = put(j, &b);
	buf_free(&b);
	j->written = now_us();
	return rc;
}

/*
 * A file of an earlier run must not pass for one of this run, and one that
 * cannot be written had better be known now.
 */
static void
junit_start(struct junit *j, const json_t *ev)
{
	const json_t	*t;
	size_t		 i;

	j->seed = xstrdup(jstr(ev, "seed"));
	json_array_foreach(json_object_get(ev, "targets"), i, t)
		suite_of(j, jstr(t, "name"), jstr(t, "version"));
	if (replaceable(j) && rewrite(j) == -1)
		err(EX_SETUP, "--junit %s", j->path);
}

static void
junit_end(struct junit *j, const json_t *ev)
{
	add_case(suite_of(j, jstr(ev, "target"), jstr(ev, "version")), ev);
	if (replaceable(j) && now_us() - j->written > REWRITE_US)
		rewrite(j);
}

static void
junit_run_end(struct junit *j, const json_t *ev)
{
	j->interrupted = json_is_true(json_object_get(ev, "interrupted"));
}

static const struct {
	const char	*name;
	void		(*put)(struct junit *, const json_t *);
} kinds[] = {
	{ "run-start",	junit_start },
	{ "end",	junit_end },
	{ "run-end",	junit_run_end },
};

static void
junit_event(void *arg, const json_t *ev)
{
	size_t	 i;

	for (i = 0; i < nitems(kinds); i++)
		if (strcmp(kinds[i].name, jstr(ev, "event")) == 0)
			kinds[i].put(arg, ev);
}

static void
junit_close(void *arg)
{
	struct junit	*j = arg;
	size_t		 i;

	if (rewrite(j) == -1)
		warn("--junit %s", j->path == NULL ? "-" : j->path);
	for (i = 0; i < j->nsuites; i++) {
		free(j->suite[i].target);
		free(j->suite[i].version);
		buf_free(&j->suite[i].cases);
	}
	free(j->suite);
	free(j->seed);
	free(j->path);
	free(j);
}

const struct reporter	report_junit = {
	"junit", junit_open, junit_event, junit_close
};
