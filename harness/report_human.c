#include <sys/ioctl.h>

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "differ.h"
#include "event.h"
#include "matrix.h"
#include "report.h"

/*
 * For people.  On a terminal a live line says what runs; elsewhere each
 * finished scenario is a plain line.
 */

#define REDRAW_US	(100 * 1000)
/* Of transcript and log; all of it is in the log file. */
#define MOST_LINES	60
/* Of a line in the table of differences; all of it is in the JSON. */
#define DIFFER_COLUMNS	100

/* A scenario that runs. */
struct running {
	json_int_t	 id;
	char		*what;
	json_int_t	 done;
	json_int_t	 total;
};

struct human {
	FILE		*f;
	int		 live;		/* draw a live line */
	int		 colour;
	int		 quiet;
	int		 drawn;
	uint64_t	 start;
	uint64_t	 last;
	size_t		 total;
	size_t		 n[VERDICTS];
	size_t		 targets;
	struct running	*run;		/* the oldest first */
	size_t		 nrun;
};

static int
is_terminal(FILE *f)
{
	const char	*term = getenv("TERM");

	return isatty(fileno(f)) && term != NULL && strcmp(term, "dumb") != 0;
}

void *
report_human_new(FILE *f, int quiet)
{
	const char	*no = getenv("NO_COLOR");
	struct human	*h;

	h = xcalloc(1, sizeof(*h));
	h->f = f;
	h->live = is_terminal(f);
	h->colour = h->live && (no == NULL || *no == '\0');
	h->quiet = quiet;
	h->start = now_us();
	return h;
}

static void *
human_open(const char *path)
{
	FILE	*f = stdout;

	if (path != NULL && (f = fopen(path, "we")) == NULL)
		err(EX_SETUP, "%s", path);
	return report_human_new(f, 0);
}

static void
put_clean(FILE *f, const char *s)
{
	struct buf	 b = { 0 };

	text_line(&b, s, strlen(s));
	fputs(b.data, f);
	buf_free(&b);
}

static void
put_colour(const struct human *h, const char *colour, const char *s)
{
	if (h->colour)
		fprintf(h->f, "\033[%sm%s\033[m", colour, s);
	else
		fputs(s, h->f);
}

/* The live line. */

static size_t
done(const struct human *h)
{
	size_t	 i, n = 0;

	for (i = 0; i < VERDICTS; i++)
		n += h->n[i];
	return n;
}

static size_t
columns(FILE *f)
{
	struct winsize	 ws;

	if (ioctl(fileno(f), TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		return ws.ws_col;
	return 80;
}

static void
add_clock(struct buf *b, uint64_t seconds)
{
	if (seconds >= 3600)
		buf_addf(b, "%llu:%02llu:%02llu",
		    (unsigned long long)(seconds / 3600),
		    (unsigned long long)(seconds / 60 % 60),
		    (unsigned long long)(seconds % 60));
	else
		buf_addf(b, "%llu:%02llu", (unsigned long long)(seconds / 60),
		    (unsigned long long)(seconds % 60));
}

static void
add_running(struct buf *b, const struct human *h)
{
	const struct running	*r;
	size_t			 i;

	for (i = 0; i < h->nrun; i++) {
		r = &h->run[i];
		buf_addstr(b, i == 0 ? "  " : ", ");
		text_line(b, r->what, strlen(r->what));
		if (r->total > 0)
			buf_addf(b, " %lld/%lld", (long long)r->done,
			    (long long)r->total);
	}
}

/* What is left takes as long as what was done, half done ones by halves. */
static void
add_left(struct buf *b, const struct human *h, uint64_t now)
{
	double	 elapsed = (double)(now - h->start) / 1e6, n;
	size_t	 i;

	add_clock(b, (uint64_t)elapsed);
	n = (double)done(h);
	for (i = 0; i < h->nrun; i++)
		if (h->run[i].total > 0)
			n += (double)h->run[i].done / (double)h->run[i].total;
	if (n <= 0 || n >= (double)h->total)
		return;
	buf_addstr(b, ", ");
	add_clock(b, (uint64_t)(elapsed / n * ((double)h->total - n) + 0.5));
	buf_addstr(b, " left");
}

/* To the width of the terminal, not through a character. */
static size_t
fit(const struct buf *b, size_t width)
{
	size_t	 i, n = 0;

	for (i = 0; i < b->len; i++)
		if (((unsigned char)b->data[i] & 0xc0) != 0x80 && ++n > width)
			break;
	return i;
}

static void
erase(struct human *h)
{
	if (h->drawn)
		fputs("\r\033[K", h->f);
	h->drawn = 0;
}

static void
draw(struct human *h)
{
	struct buf	 b = { 0 };
	uint64_t	 now = now_us();

	if (!h->live || now - h->last < REDRAW_US)
		return;
	h->last = now;
	buf_addf(&b, "[%zu/%zu] ", done(h), h->total);
	if (h->n[V_FAIL] + h->n[V_ERROR] > 0)
		buf_addf(&b, "%zu failed, ", h->n[V_FAIL] + h->n[V_ERROR]);
	add_left(&b, h, now);
	add_running(&b, h);
	erase(h);
	fwrite(b.data, 1, fit(&b, columns(h->f) - 1), h->f);
	fflush(h->f);
	h->drawn = 1;
	buf_free(&b);
}

void
report_human_tick(void *arg)
{
	draw(arg);
}

/* Events. */

static void
human_run_start(struct human *h, const json_t *ev)
{
	h->total = (size_t)jint(ev, "total");
	h->targets = json_array_size(json_object_get(ev, "targets"));
	if (h->quiet)
		return;
	fprintf(h->f, "%lld scenario%s, %zu target%s, %lld at once, seed %s\n",
	    (long long)jint(ev, "scenarios"),
	    jint(ev, "scenarios") == 1 ? "" : "s", h->targets,
	    h->targets == 1 ? "" : "s", (long long)jint(ev, "jobs"),
	    jstr(ev, "seed"));
}

static struct running *
find_running(struct human *h, const json_t *ev)
{
	size_t	 i;

	for (i = 0; i < h->nrun; i++)
		if (h->run[i].id == jint(ev, "id"))
			return &h->run[i];
	return NULL;
}

static void
human_start(struct human *h, const json_t *ev)
{
	struct running	*r;
	const char	*slash, *path = jstr(ev, "path");

	h->run = xreallocarray(h->run, h->nrun + 1, sizeof(*h->run));
	r = &h->run[h->nrun++];
	memset(r, 0, sizeof(*r));
	r->id = jint(ev, "id");
	slash = strrchr(path, '/');
	r->what = xstrdup(slash == NULL ? path : slash + 1);
}

static void
human_progress(struct human *h, const json_t *ev)
{
	struct running	*r;

	if ((r = find_running(h, ev)) == NULL)
		return;
	r->done = jint(ev, "done");
	r->total = jint(ev, "total");
}

static void
forget(struct human *h, const json_t *ev)
{
	struct running	*r;
	size_t		 i;

	if ((r = find_running(h, ev)) == NULL)
		return;
	free(r->what);
	i = (size_t)(r - h->run);
	h->nrun--;
	memmove(r, r + 1, (h->nrun - i) * sizeof(*r));
}

static void
put_verdict(struct human *h, const json_t *ev, enum verdict v)
{
	put_colour(h, verdicts[v].colour, verdicts[v].label);
	fprintf(h->f, "%*s", 6 - (int)strlen(verdicts[v].label), "");
	if (h->targets > 1) {
		put_clean(h->f, jstr(ev, "target"));
		putc(' ', h->f);
	}
	put_clean(h->f, jstr(ev, "path"));
	fputs(": ", h->f);
	put_clean(h->f, jstr(ev, "name"));
	fprintf(h->f, " (%.2f s)",
	    json_number_value(json_object_get(ev, "seconds")));
	/* With the details of a failure comes its reason. */
	if (v != V_FAIL && v != V_WARN && v != V_ERROR && *report_why(ev) != '\0') {
		fputs(": ", h->f);
		put_clean(h->f, report_why(ev));
	}
	putc('\n', h->f);
}

static void
put_details(struct human *h, const json_t *ev)
{
	struct buf	 b = { 0 };

	report_details(&b, ev, MOST_LINES);
	fwrite(b.data, 1, b.len, h->f);
	buf_free(&b);
	if (*jstr(ev, "logfile") != '\0') {
		fputs("also in: ", h->f);
		put_clean(h->f, jstr(ev, "logfile"));
		putc('\n', h->f);
	}
	putc('\n', h->f);
}

/* On a terminal a pass is the live line moving on. */
static int
is_news(const struct human *h, enum verdict v)
{
	if (v == V_FAIL || v == V_WARN || v == V_ERROR)
		return 1;
	return !h->quiet && (!h->live || v != V_PASS || h->total == 1);
}

static void
human_end(struct human *h, const json_t *ev)
{
	enum verdict	 v = verdict_of(ev);

	h->n[v]++;
	forget(h, ev);
	if (!is_news(h, v))
		return;
	put_verdict(h, ev, v);
	if (v == V_FAIL || v == V_WARN || v == V_ERROR)
		put_details(h, ev);
}

static void
put_row(struct human *h, const json_t *row, json_int_t catalogue, int width)
{
	struct buf	 name = { 0 };
	size_t		 v;

	text_line(&name, jstr(row, "target"), strlen(jstr(row, "target")));
	fprintf(h->f, "%-*s  %-9s", width, name.data, jstr(row, "version"));
	buf_free(&name);
	for (v = 0; v < VERDICTS; v++)
		fprintf(h->f, " %7lld",
		    (long long)jint(row, verdicts[v].count));
	fprintf(h->f, "  %lld of %lld\n", (long long)jint(row, "requirements"),
	    (long long)catalogue);
}

static void
put_table(struct human *h, const json_t *ev)
{
	const json_t	*a = json_object_get(ev, "summary"), *row;
	size_t		 i, len, v, width = strlen("target");

	json_array_foreach(a, i, row)
		if ((len = strlen(jstr(row, "target"))) > width)
			width = len;
	fprintf(h->f, "%-*s  %-9s", (int)width, "target", "version");
	for (v = 0; v < VERDICTS; v++)
		fprintf(h->f, " %7s", verdicts[v].count);
	fprintf(h->f, "  requirements\n");
	json_array_foreach(a, i, row)
		put_row(h, row, jint(ev, "catalogue"), (int)width);
}

/* Is it among the first n? */
static int
among(const json_t *list, size_t n, const json_t *got)
{
	size_t	 i;

	for (i = 0; i < n; i++)
		if (json_equal(json_array_get(list, i), got))
			return 1;
	return 0;
}

static int
all_have(const json_t *outcomes, const json_t *got)
{
	const json_t	*o, *list;
	size_t		 i;

	json_array_foreach(outcomes, i, o) {
		list = json_object_get(o, "got");
		if (differ_judged(o) && !among(list, json_array_size(list), got))
			return 0;
	}
	return 1;
}

/* What one target did that not all did. */
static void
put_own(struct human *h, const char *target, const json_t *o,
    const json_t *outcomes)
{
	const json_t	*list = json_object_get(o, "got"), *got;
	struct buf	 b = { 0 };
	size_t		 i;

	json_array_foreach(list, i, got) {
		if (among(list, i, got) || all_have(outcomes, got))
			continue;
		buf_reset(&b);
		buf_addf(&b, "    %s: ", target);
		text_value(&b, got);
		fprintf(h->f, "%.*s\n", (int)fit(&b, DIFFER_COLUMNS), b.data);
	}
	buf_free(&b);
}

/* A scenario on which the targets differ: its verdict on each. */
static void
put_differ_row(struct human *h, const json_t *row, const json_t *targets,
    int width)
{
	const json_t	*o;
	size_t		 i;
	int		 w;

	fprintf(h->f, "%-*s", width, jstr(row, "path"));
	json_array_foreach(json_object_get(row, "outcomes"), i, o) {
		w = (int)strlen(jstr(json_array_get(targets, i), "target"));
		fprintf(h->f, "  %-*s", w < 5 ? 5 : w, json_is_null(o) ? "-" :
		    verdicts[verdict_of(o)].label);
	}
	putc('\n', h->f);
	json_array_foreach(json_object_get(row, "outcomes"), i, o)
		put_own(h, jstr(json_array_get(targets, i), "target"), o,
		    json_object_get(row, "outcomes"));
}

static void
put_differ(struct human *h, const json_t *ev)
{
	static const char	 head[] = "where the targets differ";
	const json_t		*a = json_object_get(ev, "differ"), *row;
	const json_t		*targets = json_object_get(ev, "summary");
	size_t			 i, len, width = sizeof(head) - 1;

	if (h->quiet || json_array_size(targets) < 2)
		return;
	json_array_foreach(a, i, row)
		if ((len = strlen(jstr(row, "path"))) > width)
			width = len;
	fprintf(h->f, "%-*s", (int)width, head);
	json_array_foreach(targets, i, row)
		fprintf(h->f, "  %-5s", jstr(row, "target"));
	putc('\n', h->f);
	json_array_foreach(a, i, row)
		put_differ_row(h, row, targets, (int)width);
	fprintf(h->f, "%zu of %zu differ in verdict or deviations; %lld more are "
	    "skipped on some\n\n", json_array_size(a), h->total / h->targets,
	    (long long)jint(ev, "skipped-by-some"));
}

static void
human_run_end(struct human *h, const json_t *ev)
{
	if (json_is_true(json_object_get(ev, "interrupted")))
		fprintf(h->f, "interrupted: %zu of %zu done\n", done(h),
		    h->total);
	put_differ(h, ev);
	if (!h->quiet && json_object_size(json_object_get(ev,
	    "requirements")) > 0) {
		matrix_counts(h->f, json_object_get(ev, "requirements"));
		putc('\n', h->f);
	}
	put_table(h, ev);
	fprintf(h->f, "%.1f s",
	    json_number_value(json_object_get(ev, "seconds")));
	if (*jstr(ev, "results") != '\0') {
		fputs(", results in ", h->f);
		put_clean(h->f, jstr(ev, "results"));
	}
	putc('\n', h->f);
}

static const struct {
	const char	*name;
	void		(*put)(struct human *, const json_t *);
	int		 silent;	/* leave the live line */
} kinds[] = {
	{ "run-start",	human_run_start,	0 },
	{ "start",	human_start,		1 },
	{ "progress",	human_progress,		1 },
	{ "end",	human_end,		0 },
	{ "run-end",	human_run_end,		0 },
};

static void
human_event(void *arg, const json_t *ev)
{
	struct human	*h = arg;
	size_t		 i;

	for (i = 0; i < nitems(kinds); i++) {
		if (strcmp(kinds[i].name, jstr(ev, "event")) != 0)
			continue;
		if (!kinds[i].silent)
			erase(h);
		kinds[i].put(h, ev);
		if (!kinds[i].silent)
			fflush(h->f);
	}
}

static void
human_close(void *arg)
{
	struct human	*h = arg;
	size_t		 i;

	erase(h);
	fflush(h->f);
	if (h->f != stdout && h->f != stderr)
		fclose(h->f);
	for (i = 0; i < h->nrun; i++)
		free(h->run[i].what);
	free(h->run);
	free(h);
}

const struct reporter	report_human = {
	"human", human_open, human_event, human_close
};
