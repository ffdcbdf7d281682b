/* How often a script still shows the crash. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "choice.h"
#include "cli.h"
#include "cmd.h"
#include "finding.h"
#include "report.h"
#include "script.h"
#include "shrink.h"
#include "target.h"

#define TRIALS		40		/* of a candidate, at most */
#define ALIKE		0.7		/* of the rate is not the same rate */
#define ALIKE_ERROR	0.05
#define PATIENCE	2		/* so much longer than the slowest crash, */
#define LEAST_US	1500000		/* or this long, a run may take, */
#define FIRST_US	10000000	/* before a run of the script has crashed */
#define ERRORS_MAX	5		/* in a row: it will not get better */

uint64_t
crash_time(const json_t *end)
{
	return (uint64_t)(1e6 * json_number_value(json_object_get(end,
	    "seconds")));
}

struct job *
trial_job(struct shrink *s)
{
	struct job	*job = &s->job[s->started % nitems(s->job)];

	if (s->errors >= ERRORS_MAX)
		return NULL;
	memset(job, 0, sizeof(*job));
	job->sc = s->sc;
	job->target = s->target->name;
	job->version = s->target->version;
	job->opts.target = s->target;
	job->opts.seed = choice_mix(&s->seed);
	job->opts.certs = cli_certs();
	job->opts.filters = cli_filters();
	job->opts.catalogue = s->catalogue->path;
	job->opts.repeat = "";
	job->opts.steps = 1;
	job->opts.id = (int)(s->started++ % nitems(s->job));
	return job;
}

/* What those that have ended tell, with so many more hits. */
static double
evidence(const struct shrink *s, uint64_t more)
{
	return rate_evidence(s->test, s->hits + more, s->misses);
}

static int
decided(const struct shrink *s)
{
	return s->test != NULL && (evidence(s, 0) >= s->test->enough ||
	    evidence(s, 0) <= -s->test->enough);
}

static const struct job *
next(void *arg)
{
	struct shrink	*s = arg;
	uint64_t	 playing = s->started - s->ended;

	if (s->started == s->want || decided(s))
		return NULL;
	/* nor more than may decide */
	if (s->test != NULL && evidence(s, playing) >= s->test->enough)
		return NULL;
	return trial_job(s);
}

/* So long a run may take, us: some wait for what never comes. */
static uint64_t
patience(const struct shrink *s)
{
	uint64_t	 us = s->now.slowest * PATIENCE;

	return us > LEAST_US ? us : LEAST_US;
}

void
expect_crash(struct shrink *s, const json_t *run)
{
	uint64_t	 us = crash_time(run);

	s->now.slowest = us > FIRST_US / PATIENCE ? us : FIRST_US / PATIENCE;
}

static int
useless(void *arg, uint64_t age)
{
	const struct shrink	*s = arg;

	return decided(s) || (!s->patient && age > patience(s));
}

static int
take_hit(struct shrink *s, const json_t *ev)
{
	s->hits++;
	json_decref(s->steps);
	s->steps = json_incref(json_object_get(json_object_get(ev, "stats"),
	    "steps"));
	if (crash_time(ev) > s->slow)
		s->slow = crash_time(ev);
	return 1;
}

int
trial_end(struct shrink *s, json_t *ev)
{
	struct buf	 sig = { 0 };
	int		 hit;

	s->ended++;
	/* the others were ended because of that */
	if (decided(s))
		return 0;
	if (json_is_true(json_object_get(ev, "ended"))) {
		s->misses++;
		return 0;
	}
	/* one that could not be made is no answer: another in its place */
	if (verdict_of(ev) == V_ERROR || verdict_of(ev) == V_SKIP) {
		s->want++;
		s->errors++;
		free(s->reason);
		s->reason = xstrdup(jstr(ev, "reason"));
		return 0;
	}
	s->errors = 0;
	hit = finding_signature(ev, &sig) &&
	    strcmp(sig.data, jstr(s->j, "signature")) == 0;
	buf_free(&sig);
	if (hit)
		return take_hit(s, ev);
	s->misses++;
	return 0;
}

void
trial_errors(const struct shrink *s)
{
	if (s->errors >= ERRORS_MAX)
		errx(EX_SETUP, "%llu runs in a row could not be made, the "
		    "last: %s\n\"--resume\" goes on from %s",
		    (unsigned long long)s->errors, s->reason, s->path);
}

static void
on_event(void *arg, json_t *ev)
{
	if (strcmp(jstr(ev, "event"), "end") == 0)
		trial_end(arg, ev);
}

static void
tick(void *arg)
{
	(void)arg;
}

/* Another round looks again at what is still as it was. */
static int
was_refused(const struct shrink *s, uint64_t hash)
{
	size_t	 i;

	for (i = 0; i < s->nrefused && i < nitems(s->refused); i++)
		if (s->refused[i] == hash)
			return 1;
	return 0;
}

/* What does not parse does not crash. */
static void
play(struct shrink *s, const char *text)
{
	struct pool	 pool = { .next = next, .event = on_event, .tick = tick,
			     .useless = useless, .arg = s,
			     .parallel = (unsigned int)s->parallel,
			     .watchdog = WATCHDOG };
	struct scenario	*sc;
	char		 msg[512];
	uint64_t	 began;

	s->tried++;
	sc = script_parse(s->path, text, strlen(text), msg, sizeof(msg));
	if (sc == NULL)
		return;
	s->sc = sc;
	pool.watchdog += (unsigned int)(sc->timeout / 1000000);
	began = now_us();
	s->signo = pool_run(&pool);
	s->took += now_us() - began;
	s->played += s->ended;
	script_free(sc);
	trial_errors(s);
}

int
trials(struct shrink *s, uint64_t n, const struct rate_test *test)
{
	char		*text = draft_text(&s->now);
	uint64_t	 hash = fnv64(text, strlen(text));
	int		 known = test != NULL && was_refused(s, hash), passed;

	s->want = n;
	s->test = test;
	s->started = s->ended = s->hits = s->misses = s->slow = 0;
	json_decref(s->steps);
	s->steps = NULL;
	if (s->signo == 0 && !known)
		play(s, text);
	free(text);
	if (s->signo != 0 || known)
		return 0;
	passed = test == NULL || evidence(s, 0) > 0;
	if (!passed)
		s->refused[s->nrefused++ % nitems(s->refused)] = hash;
	return passed;
}

/* The runs that decided were the first to crash, so not at once. */
void
take_steps(struct shrink *s)
{
	struct draft	*d = &s->now;
	size_t		 at[LINES_MAX], i, n = 0;
	json_t		*line;

	d->made.n = 0;
	if (s->hits == 0)
		return;
	d->slowest = s->slow > d->slowest / 2 ? s->slow : d->slowest / 2;
	for (i = 0; i < d->n; i++)
		if (d->line[i] != NULL)
			at[n++] = i;
	d->made.line = xreallocarray(d->made.line,
	    json_array_size(s->steps) + 1, sizeof(*d->made.line));
	json_array_foreach(s->steps, i, line)
		d->made.line[d->made.n++] = at[json_integer_value(line) - 1];
}

uint64_t
measure(struct shrink *s)
{
	trials(s, FINAL, NULL);
	take_steps(s);
	return s->now.hits = s->hits;
}

void
hold(struct shrink *s)
{
	double	 p = (double)s->now.hits / FINAL;

	/* no rate is certain, nor is none */
	p = p > 0.95 ? 0.95 : p < 0.05 ? 0.05 : p;
	rate_test(&s->alike, p, ALIKE * p, ALIKE_ERROR);
}

int
good(struct shrink *s)
{
	return trials(s, TRIALS, &s->alike);
}

int
over(const struct shrink *s)
{
	uint64_t	 rest = s->played == 0 ? 0 :
			     2 * FINAL * s->took / s->played;

	return s->signo != 0 || now_us() - s->t0 + rest > s->seconds * 1000000;
}

void
save(const struct shrink *s)
{
	char	*text = draft_text(&s->now);

	if (!s->second && file_replace(s->path, text, strlen(text)) == -1)
		err(EX_SETUP, "%s", s->path);
	free(text);
}

void
tell(const struct shrink *s, const char *what)
{
	uint64_t	 us = now_us() - s->t0;

	printf("%s%zu lines, %llu of %d, %llu tried, %llu kept, %s, %llu s "
	    "left%s", s->tty ? "\r\033[K" : "", draft_size(&s->now),
	    (unsigned long long)s->now.hits, FINAL,
	    (unsigned long long)s->tried, (unsigned long long)s->kept, what,
	    (unsigned long long)(us > s->seconds * 1000000 ? 0 :
	    s->seconds - us / 1000000), s->tty ? "" : "\n");
	fflush(stdout);
}
