#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "catalogue.h"
#include "choice.h"
#include "finding.h"
#include "shrink.h"
#include "target.h"
#include "util.h"

/*
 * What shrink makes of a script whose rate is known, with a race that does not
 * always show.  No daemon tells how likely its races are, so coins are tossed:
 * what is __wrap_ here takes the place of the function (see the Makefile).
 */
#define UNITS		100	/* lines with an answer */
#define NEEDED		3	/* of them, without which it never crashes */
#define HELPING		7	/* of them, each of which makes it likelier */
#define RUNS		2000	/* are what ten minutes have time for */
#define SEEDS		20
#define AT_ONCE		8

static double	first;		/* the rate of the whole script */
static double	settled = 1;	/* what is left of it where a stop is sure */
static double	help;		/* what is left of it without one that helps */
static uint64_t	dice, runs;

int	 __wrap_pool_run(const struct pool *);
int	 __wrap_over(const struct shrink *);
void	 __wrap_tell(const struct shrink *, const char *);

void
__wrap_tell(const struct shrink *s, const char *what)
{
	(void)s;
	(void)what;
}

int
__wrap_over(const struct shrink *s)
{
	(void)s;
	return runs > RUNS;
}

static size_t
count(const struct draft *d, const char *what)
{
	size_t	 i, n = 0;

	for (i = 0; i < d->n; i++)
		n += d->line[i] != NULL && strstr(d->line[i], what) != NULL;
	return n;
}

static double
true_rate(const struct draft *d)
{
	size_t	 lost = HELPING - count(d, "HELPING");
	double	 p = first;

	while (lost-- > 0)
		p *= help;
	if (count(d, "rest stop") + count(d, "after 1") > 0)
		p *= settled;
	return count(d, "NEEDED") == NEEDED ? p : 0;
}

/* The end of a run: its verdict, and that is a crash if it failed. */
static json_t *
end(const char *verdict)
{
	json_t	*ev;

	ev = json_pack("{s:s, s:s, s:s, s:f, s:[], s:{s:[]}}", "event", "end",
	    "verdict", verdict, "reason", "chance", "seconds", 0.2,
	    "failures", "stats", "steps");
	if (strcmp(verdict, "fail") == 0)
		json_array_append_new(json_object_get(ev, "failures"),
		    json_pack("{s:s, s:s, s:s, s:s}", "oracle", "crash", "who",
		    "smtpd: lookup", "where", "", "got",
		    "signal 11 (Segmentation fault)\n"));
	return ev;
}

static int
chance(double p)
{
	return (double)(choice_mix(&dice) >> 11) / 0x1p53 < p;
}

/* As many at once as there may be; each third cannot be made. */
int
__wrap_pool_run(const struct pool *pool)
{
	const struct shrink	*s = pool->arg;
	double			 p = true_rate(&s->now);
	int			 playing = 0;
	json_t			*ev;

	for (;;) {
		while (playing < AT_ONCE && pool->next(pool->arg) != NULL)
			playing++;
		if (playing-- == 0)
			return 0;
		ev = end(runs++ % 3 == 0 ? "error" : chance(p) ? "fail" :
		    "pass");
		if (pool->useless(pool->arg, 0))
			json_object_set_new(ev, "ended", json_true());
		pool->event(pool->arg, ev);
		json_decref(ev);
	}
}

static void
take_script(struct shrink *s)
{
	struct buf	 b = { 0 };
	int		 i;

	buf_addstr(&b, "scenario \"x\"\nsmtpd d {\n}\n\nclient c {\n");
	for (i = 0; i < UNITS; i++)
		buf_addf(&b, "    C: %s %d\n    S: 250\n", i % 33 == 11 ?
		    "NEEDED" : i % 16 == 0 ? "HELPING" : "NOOP", i);
	buf_addstr(&b, "}\nstop lookup after 57\n");
	draft_take(&s->now, b.data);
	buf_free(&b);
	assert_int_equal(count(&s->now, "NEEDED"), NEEDED);
	assert_int_equal(count(&s->now, "HELPING"), HELPING);
}

static void
measure_and_reduce(struct shrink *s)
{
	measure(s);
	reduce(s);
}

static void
only_settle(struct shrink *s)
{
	steady(s, 0);
}

/* Do that with this seed: what the script is then, until the next time. */
static const struct draft *
shrunk_by(void (*how)(struct shrink *), uint64_t seed)
{
	static struct shrink	 s;
	static struct target	 target;
	static struct catalogue	 catalogue;
	static char		 path[] = "x.smtp";
	struct buf		 sig = { 0 };
	json_t			*ev = end("fail");

	assert_true(finding_signature(ev, &sig));
	s = (struct shrink){ .target = &target, .catalogue = &catalogue,
	    .path = path, .second = 1, .now = s.now };
	s.j = json_pack("{s:s}", "signature", sig.data);
	take_script(&s);
	dice = seed;
	runs = 0;
	how(&s);
	json_decref(s.j);
	json_decref(ev);
	buf_free(&sig);
	return &s.now;
}

static const struct draft *
shrunk(uint64_t seed)
{
	return shrunk_by(measure_and_reduce, seed);
}

static void
test_what_does_nothing_is_left_out(void **state)
{
	const struct draft	*d;
	uint64_t		 seed;

	(void)state;
	first = 0.95;
	help = 1;
	for (seed = 0; seed < SEEDS; seed++) {
		d = shrunk(seed);
		assert_int_equal(count(d, "NEEDED"), NEEDED);
		assert_int_equal(count(d, "C: "), NEEDED);
		assert_true(runs < RUNS / 2);
	}
}

/* Each is nearly as good as the one before, and the last is not good at all. */
static void
test_a_rate_does_not_drift_away(void **state)
{
	uint64_t	 seed;

	(void)state;
	first = 0.95;
	for (help = 0.8; help < 0.99; help += 0.05)
		for (seed = 0; seed < SEEDS; seed++)
			assert_true(true_rate(shrunk(seed)) > first / 3);
}

static void
test_a_weak_one_does_not_become_nothing(void **state)
{
	uint64_t	 seed, lost = 0;

	(void)state;
	first = 0.3;
	help = 0.8;
	for (seed = 0; seed < SEEDS; seed++)
		lost += true_rate(shrunk(seed)) < first / 4;
	assert_true(lost <= 1);
}

/* Some that are worse pass for as good, but then they are measured. */
static void
test_a_stop_that_is_worse_when_it_is_sure_stays(void **state)
{
	uint64_t	 seed, kept = 0;

	(void)state;
	first = 0.95;
	help = 1;
	settled = 0.75;
	for (seed = 0; seed < 5 * SEEDS; seed++)
		kept += true_rate(shrunk_by(only_settle, seed)) < first;
	settled = 1;
	/* 14 of 100; 32 of them would without being measured */
	assert_true(kept <= SEEDS);
}

static void
test_a_test_takes_as_many_as_it_needs(void **state)
{
	struct rate_test	 t;

	(void)state;
	rate_test(&t, 0.95, 0.57, 0.1);
	assert_true(rate_evidence(&t, 4, 0) < t.enough);
	assert_true(rate_evidence(&t, 5, 0) >= t.enough);
	assert_true(rate_evidence(&t, 5, 1) < t.enough);
	assert_true(rate_evidence(&t, 9, 1) >= t.enough);
	assert_true(rate_evidence(&t, 0, 1) > -t.enough);
	assert_true(rate_evidence(&t, 0, 2) <= -t.enough);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_does_nothing_is_left_out),
		cmocka_unit_test(test_a_rate_does_not_drift_away),
		cmocka_unit_test(test_a_weak_one_does_not_become_nothing),
		cmocka_unit_test(test_a_stop_that_is_worse_when_it_is_sure_stays),
		cmocka_unit_test(test_a_test_takes_as_many_as_it_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
