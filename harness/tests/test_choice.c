#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "choice.h"

#define DRAWS	1000

static void
test_same_seed_same_draws(void **state)
{
	struct choices *a = choices_new(7, "x"), *b = choices_new(7, "x");
	struct range r = { 1, 1000000 };
	int i;

	(void)state;
	for (i = 0; i < DRAWS; i++)
		assert_int_equal(choice_draw(choice_stream(a, "c/1"), "n", r),
		    choice_draw(choice_stream(b, "c/1"), "n", r));
	choices_free(a);
	choices_free(b);
}

/* What one stream draws must not depend on the others. */
static void
test_streams_are_independent(void **state)
{
	struct choices *a = choices_new(7, "x"), *b = choices_new(7, "x");
	struct range r = { 1, 1000000 };
	int i;

	(void)state;
	for (i = 0; i < DRAWS; i++) {
		choice_draw(choice_stream(b, "c/2"), "n", r);
		assert_int_equal(choice_draw(choice_stream(a, "c/1"), "n", r),
		    choice_draw(choice_stream(b, "c/1"), "n", r));
	}
	choices_free(a);
	choices_free(b);
}

static void
test_seed_and_scenario_matter(void **state)
{
	struct choices *a = choices_new(7, "x"), *b = choices_new(8, "x"),
	    *c = choices_new(7, "y");
	struct range r = { 0, UINT64_MAX };
	uint64_t x = choice_draw(choice_stream(a, "c/1"), "n", r);

	(void)state;
	assert_int_not_equal(x, choice_draw(choice_stream(b, "c/1"), "n", r));
	assert_int_not_equal(x, choice_draw(choice_stream(c, "c/1"), "n", r));
	choices_free(a);
	choices_free(b);
	choices_free(c);
}

static void
test_draws_stay_in_range(void **state)
{
	static const struct range ranges[] = {
		{ 0, 1 }, { 5, 5 }, { 1, 3 }, { 1024, 1048576 }, { 0, 100 },
		{ UINT64_MAX - 1, UINT64_MAX },
	};
	struct choices *c = choices_new(1, "x");
	struct stream *s = choice_stream(c, "c/1");
	uint64_t v, lo, hi;
	size_t i;
	int k;

	(void)state;
	for (i = 0; i < nitems(ranges); i++) {
		lo = UINT64_MAX;
		hi = 0;
		for (k = 0; k < 5000; k++) {
			v = choice_draw(s, "n", ranges[i]);
			assert_in_range(v, ranges[i].lo, ranges[i].hi);
			lo = v < lo ? v : lo;
			hi = v > hi ? v : hi;
			v = choice_scale(s, "n", ranges[i]);
			assert_in_range(v, ranges[i].lo, ranges[i].hi);
		}
		/* small ranges are used to their ends */
		if (ranges[i].hi - ranges[i].lo <= 100) {
			assert_int_equal(lo, ranges[i].lo);
			assert_int_equal(hi, ranges[i].hi);
		}
	}
	choices_free(c);
}

/* Sizes by orders of magnitude: about as many below 32K as above, of 1K..1M. */
static void
test_scale_favours_no_magnitude(void **state)
{
	struct choices *c = choices_new(3, "x");
	struct stream *s = choice_stream(c, "c/1");
	struct range r = { 1024, 1048576 };
	int i, small = 0;

	(void)state;
	for (i = 0; i < 4000; i++)
		small += choice_scale(s, "size", r) < 32768;
	assert_in_range(small, 1800, 2200);
	choices_free(c);
}

static void
test_replay_repeats_a_recording(void **state)
{
	struct choices *a = choices_new(7, "x"), *b = choices_new(99, "x");
	struct range r = { 1, 1000 };
	uint64_t drawn[DRAWS];
	FILE *fp = tmpfile();
	char err[64];
	int i;

	(void)state;
	for (i = 0; i < DRAWS; i++)
		drawn[i] = choice_draw(choice_stream(a, i % 2 ? "c/1" : "c/2"),
		    "n", r);
	assert_int_equal(choices_save(a, fp), 0);
	rewind(fp);
	assert_int_equal(choices_replay(b, fp, "c", err, sizeof(err)), 0);
	for (i = 0; i < DRAWS; i++)
		assert_int_equal(drawn[i], choice_draw(choice_stream(b,
		    i % 2 ? "c/1" : "c/2"), "n", r));
	/* past its end it draws afresh, in range */
	assert_in_range(choice_draw(choice_stream(b, "c/1"), "n", r), 1, 1000);
	fclose(fp);
	choices_free(a);
	choices_free(b);
}

static void
test_replay_refuses_other_files(void **state)
{
	static const struct {
		const char *text, *err;
	} bad[] = {
		{ "this is no recording\n", "f:1:21: expected STREAM LABEL" },
		{ "c/1 n 1 9 4\nc/1  1 9 4\n", "f:2:5: expected STREAM" },
		{ "c/1 n 1 x 4\n", "f:1:9: expected a number" },
		{ "c/1 n 1 9 -4\n", "f:1:11: expected a number" },
		{ "c/1 n 1 9 99999999999999999999\n", "f:1:11: expected a num" },
		{ "c/1 n 1 9 4 5\n", "f:1:13: expected the end of the line" },
		{ "c/1 n 1 9 4", "f:1:12: expected a line end" },
	};
	struct choices *c = choices_new(7, "x");
	char err[128];
	size_t i;
	FILE *fp;

	(void)state;
	for (i = 0; i < nitems(bad); i++) {
		fp = fmemopen((char *)(uintptr_t)bad[i].text,
		    strlen(bad[i].text), "r");
		assert_int_equal(choices_replay(c, fp, "f", err, sizeof(err)),
		    -1);
		assert_int_equal(strncmp(err, bad[i].err,
		    strlen(bad[i].err)), 0);
		fclose(fp);
	}
	choices_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_seed_same_draws),
		cmocka_unit_test(test_streams_are_independent),
		cmocka_unit_test(test_seed_and_scenario_matter),
		cmocka_unit_test(test_draws_stay_in_range),
		cmocka_unit_test(test_scale_favours_no_magnitude),
		cmocka_unit_test(test_replay_repeats_a_recording),
		cmocka_unit_test(test_replay_refuses_other_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
