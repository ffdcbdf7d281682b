#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "theil_sen.h"
#include "util.h"

#define Z95	1.959964
#define NEAR	1e-6

static void
check(const double *x, const double *y, size_t n, double slope, double low,
    double high)
{
	struct theil_sen ts;

	assert_int_equal(theil_sen(x, y, n, Z95, &ts), 0);
	assert_float_equal(ts.slope, slope, NEAR);
	assert_float_equal(ts.low, low, NEAR);
	assert_float_equal(ts.high, high, NEAR);
}

static void
test_line(void **state)
{
	static const double x[] = { 0, 1, 2, 3, 4 }, y[] = { 2, 5, 8, 11, 14 };
	struct theil_sen ts;

	(void)state;
	check(x, y, nitems(x), 3, 3, 3);
	theil_sen(x, y, nitems(x), Z95, &ts);
	assert_float_equal(ts.intercept, 2, NEAR);
}

/*
 * The ten slopes are 1 six times, 25, 33, 49 and 97; the variance is
 * 5 * 4 * 15 / 18, so that the interval is 8.0017 wide and takes them all.
 */
static void
test_wild_point(void **state)
{
	static const double x[] = { 0, 1, 2, 3, 4 }, y[] = { 0, 1, 2, 3, 100 };

	(void)state;
	check(x, y, nitems(x), 1, 1, 97);
}

/*
 * The example of ci.theil in R's package statpsych, which says 0.5 with 0.3243
 * and 0.75.  Of the 101 slopes these are the 31st and 71st; the ranks are 30.8
 * and 71.2, of which we take the outer ones, 7/23 and 29/38.
 */
static void
test_ties_in_x(void **state)
{
	static const double x[] = { 67, 28, 30, 28, 52, 40, 25, 37, 44, 10, 14,
	    20, 28, 40, 51 };
	static const double y[] = { 21, 4, 9, 12, 35, 18, 10, 22, 24, 1, 6, 8,
	    13, 16, 19 };

	(void)state;
	check(x, y, nitems(x), 0.5, 7.0 / 23, 29.0 / 38);
}

/*
 * One step is no trend: 100 of the 190 slopes are above zero, yet the 95 %
 * reach down to the 69th.
 */
static void
test_step(void **state)
{
	double x[20], y[20];
	struct theil_sen ts;
	size_t i;

	(void)state;
	for (i = 0; i < 20; i++) {
		x[i] = (double)i;
		y[i] = i < 10 ? 0 : 1;
	}
	assert_int_equal(theil_sen(x, y, 20, Z95, &ts), 0);
	assert_true(ts.slope > 0);
	assert_float_equal(ts.low, 0, 0);
}

static void
test_constant(void **state)
{
	static const double x[] = { 1, 2, 3, 4 }, y[] = { 7, 7, 7, 7 };

	(void)state;
	check(x, y, nitems(x), 0, 0, 0);
}

/* What a leak of 7 a unit adds: hence the smallest that would have been seen. */
static void
test_equivariant(void **state)
{
	static const double x[] = { 1, 2, 4, 5, 9, 12, 13, 20 };
	double y[] = { 3, -1, 4, 1, 5, -9, 2, 6 };
	struct theil_sen a, b;
	size_t i;

	(void)state;
	theil_sen(x, y, nitems(x), Z95, &a);
	for (i = 0; i < nitems(x); i++)
		y[i] += 7 * x[i];
	theil_sen(x, y, nitems(x), Z95, &b);
	assert_float_equal(b.slope, a.slope + 7, NEAR);
	assert_float_equal(b.low, a.low + 7, NEAR);
	assert_float_equal(b.high, a.high + 7, NEAR);
}

static void
test_no_slope(void **state)
{
	static const double x[] = { 5, 5, 5 }, y[] = { 1, 2, 3 };
	struct theil_sen ts;

	(void)state;
	assert_int_equal(theil_sen(x, y, 3, Z95, &ts), -1);
	assert_int_equal(theil_sen(x, y, 1, Z95, &ts), -1);
	assert_int_equal(theil_sen(x, y, 0, Z95, &ts), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_wild_point),
		cmocka_unit_test(test_ties_in_x),
		cmocka_unit_test(test_step),
		cmocka_unit_test(test_constant),
		cmocka_unit_test(test_equivariant),
		cmocka_unit_test(test_no_slope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
