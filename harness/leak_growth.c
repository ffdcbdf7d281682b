/*
 * The growth engine of "leak": the production binary at full speed, looked at
 * after each block of sessions.
 *
 * A leak of so many bytes a session adds exactly that to all slopes between two
 * samples, and so to the bounds of the Theil-Sen interval: how far the lower
 * one is from where we object is the smallest leak that this run would have
 * seen.  What steps up now and then (a table that doubles, a cache that fills)
 * is no leak; hence the second half of the samples has to show it by itself, too.
 */
#include <err.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "daemon.h"
#include "heap.h"
#include "leak.h"
#include "leak_baseline.h"
#include "leak_sample.h"
#include "report.h"
#include "run.h"
#include "target.h"
#include "theil_sen.h"

#define SESSIONS	40		/* of each client in a block */
#define WARM_UP		3		/* blocks, of which nothing is known */
#define BLOCKS		24
#define SAMPLES		(BLOCKS + 1)
#define Z		3.2905		/* two-sided 99.9 % */

/* What is followed, and how much of it a session may take unseen. */
static const struct quantity {
	const char	*what;
	const char	*key;		/* in a sample */
	double		 least;
	double		 unit;		/* of the key */
	int		 always;	/* tell even if it does not grow */
} quantities[] = {
	{ "heap",		"bytes",	1,	1,	1 },
	{ "rss",		"rss",		64,	1024,	1 },
	{ "descriptors",	"fds",		0.01,	1,	0 },
	{ "sockets",		"sockets",	0.01,	1,	0 },
};

struct series {
	double		 x[SAMPLES], y[SAMPLES];
	size_t		 n;
};

struct growth {
	struct heap	*heap;
	const uint64_t	*sessions;	/* of each client, in each block */
	uint64_t	 done;		/* of all clients */
};

static int
start(struct run *run, void *arg)
{
	struct growth	*g = arg;

	if ((g->heap = heap_open(HEAP_DIR)) == NULL) {
		run_error(run, "cannot count the heap: %s", strerror(errno));
		return -1;
	}
	return 0;
}

static void
after(struct run *run, unsigned int i, void *arg)
{
	const struct actor *a;
	struct growth	*g = arg;

	TAILQ_FOREACH(a, &run->actors, entry)
		if (a->role->kind == &actor_client)
			g->done += g->sessions[i];
	leak_sample_run(run, g->heap, g->done);
}

static void
end(struct run *run, void *arg)
{
	struct growth	*g = arg;

	(void)run;
	heap_close(g->heap);
}

/* What a process of that number has in a sample, or NULL. */
static const json_t *
proc_of(const json_t *sample, json_int_t pid)
{
	const json_t	*p;
	size_t		 i;

	json_array_foreach(json_object_get(sample, "procs"), i, p)
		if (jint(p, "pid") == pid)
			return p;
	return NULL;
}

/* 0, or -1: it was not there all the time, or that was not counted. */
static int
series_of(const json_t *samples, json_int_t pid, const struct quantity *q,
    struct series *s)
{
	const json_t	*sample, *p, *v;
	size_t		 i;

	s->n = 0;
	json_array_foreach(samples, i, sample) {
		if ((p = proc_of(sample, pid)) == NULL ||
		    (v = json_object_get(p, q->key)) == NULL ||
		    s->n == SAMPLES)
			return -1;
		s->x[s->n] = (double)jint(sample, "sessions");
		s->y[s->n++] = q->unit * (double)json_integer_value(v);
	}
	return s->n < 3 ? -1 : 0;
}

/* Slope and interval of all, and of what must be above least for a leak. */
static int
fit(const struct series *s, struct theil_sen *all, double *lowest)
{
	struct theil_sen late;
	size_t		 half = s->n / 2;

	if (theil_sen(s->x, s->y, s->n, Z, all) == -1 ||
	    theil_sen(s->x + half, s->y + half, s->n - half, Z, &late) == -1)
		return -1;
	*lowest = fmin(all->low, late.low);
	return 0;
}

static void
add_row(const struct leak_job *job, struct leak_result *res,
    const char *process, const struct quantity *q, const struct series *s,
    const struct series *blocks)
{
	struct theil_sen ts, tb = { 0 };
	struct leak_row	*row;
	double		 lowest;
	int		 grows;

	if (fit(s, &ts, &lowest) == -1)
		return;
	grows = lowest > q->least;
	if (!grows && !q->always)
		return;
	if (blocks != NULL)
		theil_sen(blocks->x, blocks->y, blocks->n, Z, &tb);
	row = leak_add(res, process, q->what);
	row->bytes = ts.slope;
	row->blocks = tb.slope;
	row->low = ts.low;
	row->high = ts.high;
	row->smallest = fmax(q->least - lowest, 0);
	row->verdict = !grows ? LEAK_NONE :
	    job->base == NULL && leak_baseline(job, row) ? LEAK_KNOWN :
	    LEAK_FOUND;
}

/* Block by block what the target has more than the base. */
static int
subtract(struct series *s, const json_t *samples, const json_t *p,
    const struct quantity *q)
{
	const json_t	*o;
	struct series	 base;
	size_t		 i, k;

	json_array_foreach(json_object_get(json_array_get(samples, 0),
	    "procs"), i, o) {
		if (strcmp(jstr(o, "process"), jstr(p, "process")) != 0 ||
		    series_of(samples, jint(o, "pid"), q, &base) == -1 ||
		    base.n != s->n)
			continue;
		for (k = 0; k < s->n; k++)
			s->y[k] -= base.y[k];
		return 0;
	}
	return -1;
}

static void
judge_process(const struct leak_job *job, struct leak_result *res,
    const json_t *samples, const json_t *base, const json_t *p)
{
	static const struct quantity blocks = { "blocks", "blocks", 0, 1, 0 };
	const struct quantity	*q;
	struct series		 s, b;
	int			 counted;

	counted = json_object_get(p, "bytes") != NULL;
	for (q = quantities; q < quantities + nitems(quantities); q++) {
		/* pages tell nothing that the heap does not tell better */
		if (strcmp(q->key, "rss") == 0 && counted)
			continue;
		if (series_of(samples, jint(p, "pid"), q, &s) == -1 ||
		    (base != NULL && subtract(&s, base, p, q) == -1))
			continue;
		if (strcmp(q->key, "bytes") == 0 && series_of(samples,
		    jint(p, "pid"), &blocks, &b) == 0 &&
		    (base == NULL || subtract(&b, base, p, &blocks) == 0))
			add_row(job, res, jstr(p, "process"), q, &s, &b);
		else
			add_row(job, res, jstr(p, "process"), q, &s, NULL);
	}
}

/* A run of which something is missing is none. */
static int
complete(const struct leak_job *job, const json_t *samples, const json_t *base)
{
	const json_t	*last, *p;
	struct series	 s;
	size_t		 i;

	last = json_array_get(samples, SAMPLES - 1);
	if (json_array_size(json_object_get(last, "procs")) == 0) {
		warnx("only %zu of %d samples were taken",
		    json_array_size(samples), SAMPLES);
		return 0;
	}
	json_array_foreach(json_object_get(last, "procs"), i, p)
		if (base != NULL && (series_of(samples, jint(p, "pid"),
		    &quantities[0], &s) == -1 ||
		    subtract(&s, base, p, &quantities[0]) == -1)) {
			warnx("%s cannot be compared: %s has none such",
			    jstr(p, "process"), job->base->name);
			return 0;
		}
	return 1;
}

static int
judge(const struct leak_job *job, struct leak_result *res, json_t *samples,
    json_t *base)
{
	const json_t	*last, *first, *p;
	size_t		 i;

	if (!complete(job, samples, base))
		return EX_SETUP;
	last = json_array_get(samples, json_array_size(samples) - 1);
	first = json_array_get(samples, 0);
	json_array_foreach(json_object_get(last, "procs"), i, p)
		judge_process(job, res, samples, base, p);
	res->sessions = (uint64_t)(jint(last, "sessions") -
	    jint(first, "sessions"));
	res->more = json_object();
	json_object_set(res->more, "samples", samples);
	if (base != NULL) {
		json_object_set_new(res->more, "base",
		    text_json(job->base->name));
		json_object_set(res->more, "base_samples", base);
	}
	return EX_PASS;
}

static json_t *
samples_of(const struct leak_run *r)
{
	return json_object_get(json_object_get(r->end, "stats"), "samples");
}

/* What is loaded to count would come before the sanitizer's own allocator. */
static int
sanitized(const struct target *t)
{
	if (t == NULL || strstr(t->spec, "+asan") == NULL)
		return 0;
	warnx("%s: growth measures the daemon's own allocator, not that of a "
	    "sanitizer", t->spec);
	return 1;
}

/* Sessions of each client in each block; static. */
static const uint64_t *
blocks_of(const struct leak_job *job)
{
	static uint64_t	 sessions[SAMPLES];
	size_t		 i;

	for (i = 0; i < SAMPLES; i++)
		sessions[i] = i == 0 ? WARM_UP * job->sessions : job->sessions;
	return sessions;
}

static int
growth_daemon(const struct leak_job *job, struct leak_result *res)
{
	const uint64_t	*sessions = blocks_of(job);
	struct daemon_wrap wrap = { .env = heap_env() };
	struct growth	 g = { .sessions = sessions };
	struct leak_run	 r[2];
	size_t		 i, n = job->base == NULL ? 1 : 2;
	int		 code;

	if (sanitized(job->target) || sanitized(job->base))
		return EX_SETUP;
	leak_baseline_check(job);
	for (i = 0; i < 2; i++) {
		memset(&r[i], 0, sizeof(r[i]));
		r[i].target = i == 0 ? job->target : job->base;
		r[i].blocks.sessions = sessions;
		r[i].blocks.n = SAMPLES;
		r[i].blocks.start = start;
		r[i].blocks.after = after;
		r[i].blocks.end = end;
		/* not with smtpctl, for each time costs control some bytes */
		r[i].blocks.waits = 1;
		r[i].blocks.descriptors = 1;
		r[i].blocks.arg = &g;	/* each run has its copy, being forked */
		r[i].wrap = &wrap;
	}
	if ((code = leak_play(job, r, n)) == EX_PASS)
		code = judge(job, res, samples_of(&r[0]), n == 1 ? NULL :
		    samples_of(&r[1]));
	for (i = 0; i < n; i++)
		json_decref(r[i].end);
	return code;
}

static int
filter_start(struct leak_drive *d)
{
	struct growth	*g = d->arg;

	if ((g->heap = heap_open(d->dir)) == NULL) {
		warn("cannot count the heap");
		return -1;
	}
	heap_setenv(d->dir);
	return 0;
}

static void
filter_after(json_t *stats, unsigned int i, pid_t pid, struct leak_drive *d)
{
	struct growth	*g = d->arg;
	json_t		*p;

	g->done += g->sessions[i];
	leak_sample_wait(g->heap);
	if ((p = leak_sample_json(g->heap, pid, "filter")) != NULL)
		leak_sample_add(stats, g->done, json_pack("[o]", p));
}

static void
filter_end(json_t *stats, struct leak_drive *d)
{
	struct growth	*g = d->arg;

	(void)stats;
	heap_close(g->heap);
}

static int
growth_filter(const struct leak_job *job, struct leak_result *res)
{
	struct growth	 g = { .sessions = blocks_of(job) };
	struct leak_drive d = { .command = job->filter, .rounds = g.sessions,
			     .n = SAMPLES, .start = filter_start,
			     .after = filter_after, .end = filter_end,
			     .arg = &g };
	int		 code;

	if ((code = leak_drive(job, &d)) == EX_PASS)
		code = judge(job, res, json_object_get(d.stats, "samples"),
		    NULL);
	json_decref(d.stats);
	return code;
}

static int
growth_run(const struct leak_job *job, struct leak_result *res)
{
	if (job->filter != NULL)
		return growth_filter(job, res);
	return growth_daemon(job, res);
}

const struct leak_engine leak_growth = {
	.name = "growth",
	.summary = "the daemon as it is, at full speed",
	.sessions = SESSIONS,
	.run = growth_run,
};
