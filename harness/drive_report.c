/* What "drive" tells of a filter. */
#include <sys/wait.h>

#include <stdlib.h>
#include <string.h>

#include "drive_report.h"
#include "report.h"

#define SAID_LINES	5		/* of stderr, in text */
#define BACKTRACE_LINES	40
#define WIDTH		78

char *
drive_pass_name(const struct drive_conf *c)
{
	if (c->replay != NULL)
		return xasprintf("replay %s", c->replay);
	return c->hostile == NULL ? xstrdup("plain") :
	    xasprintf("hostile %s", c->hostile->name);
}

int
drive_conforms(const struct drive_result *r)
{
	return r->error == NULL && r->nbroken == 0 && r->crash == NULL;
}

/* --- text ----------------------------------------------------------------- */

/* Words under a heading, broken into lines. */
struct column {
	FILE		*f;
	size_t		 at;
};

static void
column_start(struct column *c, FILE *f, const char *heading)
{
	c->f = f;
	fprintf(f, "  %-11s", heading);
	c->at = 13;
}

static void
column_word(struct column *c, const char *word)
{
	size_t len = strlen(word) + 1;

	if (c->at + len > WIDTH) {
		fprintf(c->f, "\n%13s", "");
		c->at = 13;
	}
	fprintf(c->f, " %s", word);
	c->at += len;
}

static void
print_points(FILE *f, const char *heading, const unsigned char *set,
    const struct filter_point *points, int n)
{
	struct column c;
	int i, count = 0;

	for (i = 0; i < n; i++)
		count += set[i];
	if (count == 0)
		return;
	column_start(&c, f, heading);
	if (count == n)
		column_word(&c, "all");
	else
		for (i = 0; i < n; i++)
			if (set[i])
				column_word(&c, points[i].name);
	putc('\n', f);
}

static void
print_answers(FILE *f, const struct drive_result *r)
{
	struct column c;
	char text[64];
	int ph, i;

	for (ph = 0; ph < PH_COUNT; ph++) {
		if (r->asked[ph] == 0)
			continue;
		column_start(&c, f, filter_phases[ph].name);
		snprintf(text, sizeof(text), "%lu asked:", r->asked[ph]);
		column_word(&c, text);
		for (i = 0; i < DRIVE_DECISIONS; i++) {
			if (r->answered[ph][i] == 0)
				continue;
			snprintf(text, sizeof(text), "%lu %s",
			    r->answered[ph][i], drive_decisions[i]);
			column_word(&c, text);
		}
		putc('\n', f);
	}
	if (r->lines_in > 0)
		fprintf(f, "  %-11s %lu lines to it, %lu from it\n",
		    "data-line", r->lines_in, r->lines_out);
}

/* The last lines of a text, each indented. */
static void
print_tail(FILE *f, const char *text, int most, const char *indent)
{
	struct buf clean = { 0 };
	const char *s, *nl;
	int n = 0;

	text_clean(&clean, text, strlen(text));
	for (s = clean.data + clean.len; s > clean.data; s--)
		if (s[-1] == '\n' && s < clean.data + clean.len &&
		    ++n == most)
			break;
	for (; *s != '\0'; s = *nl == '\0' ? nl : nl + 1) {
		nl = s + strcspn(s, "\n");
		fprintf(f, "%s%.*s\n", indent, (int)(nl - s), s);
	}
	buf_free(&clean);
}

static void
print_head(FILE *f, const char *text, int most, const char *indent)
{
	const char *s = text, *nl;

	for (; *s != '\0' && most-- > 0; s = *nl == '\0' ? nl : nl + 1) {
		nl = s + strcspn(s, "\n");
		fprintf(f, "%s%.*s\n", indent, (int)(nl - s), s);
	}
}

static void
print_broken(FILE *f, const struct drive_broken *b)
{
	size_t i;

	fprintf(f, "  broken %s: %s", b->id, b->text);
	if (b->n > 1)
		fprintf(f, " (%lu times)", b->n);
	putc('\n', f);
	for (i = 0; i < DRIVE_EXAMPLES && b->example[i].got != NULL; i++) {
		print_head(f, b->example[i].got, 10, "    ");
		/* one example with its lines is mostly enough */
		if (i == 0)
			print_head(f, b->example[i].lines, DRIVE_CONTEXT,
			    "      ");
	}
}

static void
print_trouble(FILE *f, const struct drive_result *r)
{
	size_t i;

	for (i = 0; i < r->nbroken; i++)
		print_broken(f, &r->broken[i]);
	if (r->crash != NULL) {
		fprintf(f, "  it crashed: ");
		print_head(f, r->crash, 1, "");
		if (strchr(r->crash, '\n') != NULL)
			print_head(f, strchr(r->crash, '\n') + 1,
			    BACKTRACE_LINES, "      ");
	}
	if (r->hang != NULL) {
		fprintf(f, "  where it was when it did not answer:\n");
		print_head(f, r->hang, BACKTRACE_LINES, "      ");
	}
	if (r->said != NULL && r->error == NULL && !drive_conforms(r)) {
		fprintf(f, "  it said on stderr:\n");
		print_tail(f, r->said, SAID_LINES, "      ");
	}
}

static void
print_summary(FILE *f, const struct drive_result *r)
{
	const struct drive_usage *u;
	double s = (double)r->usec / 1e6;

	fprintf(f, "  %-11s %lu sessions, %lu transactions, %lu reports in "
	    "%.2f s", "smtpd", r->sessions, r->transactions, r->reports, s);
	if (s > 0)
		fprintf(f, ": %.0f sessions a second", (double)r->sessions / s);
	putc('\n', f);
	if (r->nusage == 0)
		return;
	u = &r->usage[r->nusage - 1];
	fprintf(f, "  %-11s %lu kB, %lu descriptors, %lu thread%s, "
	    "%lu process%s\n", "holds", u->rss, u->fds, u->threads,
	    u->threads == 1 ? "" : "s", u->procs, u->procs == 1 ? "" : "es");
}

static void
print_plain(FILE *f, const struct drive_result *r)
{
	print_points(f, "filter", r->phases, filter_phases, PH_COUNT);
	print_points(f, "smtp-in", r->events[0], filter_events, EV_COUNT);
	print_points(f, "smtp-out", r->events[1], filter_events, EV_COUNT);
	print_answers(f, r);
	print_summary(f, r);
	if (r->said != NULL && drive_conforms(r)) {
		fprintf(f, "  stderr\n");
		print_tail(f, r->said, SAID_LINES, "      ");
	}
}

void
drive_print(FILE *f, const struct drive_conf *c, const struct drive_result *r)
{
	char *name = drive_pass_name(c);
	size_t i;

	fprintf(f, "protocol 0.%d, %s:", c->version, name);
	free(name);
	if (drive_conforms(r))
		fprintf(f, " ok");
	for (i = 0; i < r->nbroken; i++)
		fprintf(f, "%s %s", i > 0 ? "," : " breaks", r->broken[i].id);
	if (r->crash != NULL)
		fprintf(f, "%s crashes", r->nbroken > 0 ? ", and" : "");
	if (r->ready && c->hostile == NULL)
		fprintf(f, ", ready after %.1f ms",
		    (double)r->ready_us / 1e3);
	putc('\n', f);
	if (c->hostile == NULL && r->ready)
		print_plain(f, r);
	print_trouble(f, r);
	fflush(f);
}

/* --- events --------------------------------------------------------------- */

json_t *
drive_run_start(uint64_t seed, const int *versions, size_t n, size_t passes)
{
	json_t *targets = json_array();
	char text[32], v[8];
	size_t i;

	snprintf(text, sizeof(text), "0x%016llx", (unsigned long long)seed);
	for (i = 0; i < n; i++) {
		snprintf(v, sizeof(v), "0.%d", versions[i]);
		json_array_append_new(targets, json_pack("{s:s, s:s, s:s}",
		    "name", v, "version", v, "features", "filter"));
	}
	return json_pack("{s:s, s:s, s:i, s:I, s:I, s:o}", "event",
	    "run-start", "seed", text, "jobs", 1, "scenarios",
	    (json_int_t)passes, "total", (json_int_t)passes, "targets",
	    targets);
}

json_t *
drive_run_end(double seconds, int interrupted)
{
	return json_pack("{s:s, s:f, s:b, s:[]}", "event", "run-end",
	    "seconds", seconds, "interrupted", interrupted, "summary");
}

static json_t *
names(const unsigned char *set, const struct filter_point *points, int n)
{
	json_t *a = json_array();
	int i;

	for (i = 0; i < n; i++)
		if (set[i])
			json_array_append_new(a, json_string(points[i].name));
	return a;
}

static json_t *
answers(const struct drive_result *r)
{
	json_t *o = json_object(), *p;
	int ph, i;

	for (ph = 0; ph < PH_COUNT; ph++) {
		if (r->asked[ph] == 0)
			continue;
		p = json_pack("{s:I}", "asked", (json_int_t)r->asked[ph]);
		for (i = 0; i < DRIVE_DECISIONS; i++)
			if (r->answered[ph][i] > 0)
				json_object_set_new(p, drive_decisions[i],
				    json_integer((json_int_t)
				    r->answered[ph][i]));
		json_object_set_new(o, filter_phases[ph].name, p);
	}
	return o;
}

static json_t *
usages(const struct drive_result *r)
{
	const struct drive_usage *u;
	json_t *a = json_array();

	for (u = r->usage; u < r->usage + r->nusage; u++)
		json_array_append_new(a, json_pack("{s:I, s:I, s:I, s:I, s:f}",
		    "rss_kb", (json_int_t)u->rss, "fds", (json_int_t)u->fds,
		    "threads", (json_int_t)u->threads, "processes",
		    (json_int_t)u->procs, "cpu", (double)u->cpu / 1e6));
	return a;
}

static json_t *
stats(const struct drive_result *r)
{
	json_t *o = json_object();

	json_object_set_new(o, "smtp-in", names(r->events[0], filter_events,
	    EV_COUNT));
	json_object_set_new(o, "smtp-out", names(r->events[1], filter_events,
	    EV_COUNT));
	json_object_set_new(o, "filter", names(r->phases, filter_phases,
	    PH_COUNT));
	json_object_set_new(o, "answers", answers(r));
	json_object_set_new(o, "usage", usages(r));
	json_object_update(o, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
	    "s:f, s:f}",
	    "sessions", (json_int_t)r->sessions,
	    "transactions", (json_int_t)r->transactions,
	    "committed", (json_int_t)r->committed,
	    "reports", (json_int_t)r->reports,
	    "lines_in", (json_int_t)r->lines_in,
	    "lines_out", (json_int_t)r->lines_out,
	    "hung", (json_int_t)r->hung,
	    "ready_ms", (double)r->ready_us / 1e3,
	    "busy", (double)r->usec / 1e6));
	return o;
}

static void
add_failure(json_t *a, const char *oracle, const char *expected,
    const char *got)
{
	json_array_append_new(a, json_pack("{s:s, s:s, s:s, s:o, s:o}",
	    "where", "", "actor", "filter", "oracle", oracle, "expected",
	    text_json(expected), "got", text_json(got)));
}

static json_t *
failures(const struct drive_result *r)
{
	const struct drive_example *e;
	json_t *a = json_array();
	size_t i, k;
	char *got;

	for (i = 0; i < r->nbroken; i++)
		for (k = 0; k < DRIVE_EXAMPLES; k++) {
			e = &r->broken[i].example[k];
			if (e->got == NULL)
				continue;
			got = xasprintf("%s\n%s", e->got, e->lines);
			add_failure(a, r->broken[i].id, r->broken[i].text,
			    got);
			free(got);
		}
	if (r->crash != NULL)
		add_failure(a, "crash", "that it does not crash", r->crash);
	return a;
}

static json_t *
lines(const char *text)
{
	json_t *a = json_array();
	char *copy = xstrdup(text == NULL ? "" : text), *rest = copy, *s;

	while ((s = strsep(&rest, "\n")) != NULL)
		if (*s != '\0')
			json_array_append_new(a, text_json(s));
	free(copy);
	return a;
}

json_t *
drive_end(int id, const struct drive_conf *c, const struct drive_result *r,
    uint64_t seed, double seconds, const char *repeat)
{
	const char *verdict = r->error != NULL ? "error" :
	    drive_conforms(r) ? "pass" : "fail";
	char *name = drive_pass_name(c), version[8], number[32];
	json_t *ev;

	snprintf(version, sizeof(version), "0.%d", c->version);
	snprintf(number, sizeof(number), "0x%016llx", (unsigned long long)seed);
	ev = json_pack("{s:s, s:i, s:o, s:s, s:s, s:s, s:s, s:o, s:s, s:f, "
	    "s:f, s:[], s:o, s:[], s:o, s:s}", "event", "end", "id", id,
	    "path", text_json(c->command), "name", name, "target", version,
	    "version", version, "verdict", verdict, "reason",
	    text_json(r->error == NULL ? "" : r->error), "seed", number,
	    "seconds", seconds, "startup_ms", (double)r->ready_us / 1e3,
	    "proves", "failures", failures(r), "known", "stats", stats(r),
	    "repeat", repeat);
	if (strcmp(verdict, "pass") != 0)
		json_object_set_new(ev, "log", lines(r->said));
	if (r->hang != NULL)
		json_object_set_new(ev, "hang", text_json(r->hang));
	free(name);
	return ev;
}
