#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "shift.h"
#include "util.h"

/* Line 2 is said ten times by one client while another says 7 and 8 in between. */
static size_t	lines[] = { 1, 2, 2, 7, 2, 2, 2, 8, 2, 2, 2, 2, 2, 3 };
static const struct steps_made made = { lines, nitems(lines) };

static void
check(const char *text, struct part part, const char *want)
{
	char	*got = shift_stop(text, &made, &part);

	if (want == NULL)
		assert_null(got);
	else
		assert_string_equal(got, want);
	free(got);
}

static void
test_what_is_left_out_before_it(void **state)
{
	(void)state;
	check("stop lookup after 8", (struct part){ 1, 3, 0, 1 },
	    "stop lookup after 2");
	check("stop lookup after 8", (struct part){ 7, 8, 0, 1 },
	    "stop lookup after 7");
}

/* It comes before the step of its number, which may be left out or not. */
static void
test_the_step_it_comes_before(void **state)
{
	(void)state;
	check("stop dns after 4", (struct part){ 7, 7, 0, 1 },
	    "stop dns after 4");
	check("stop dns after 5", (struct part){ 7, 7, 0, 1 },
	    "stop dns after 4");
	check("stop dns after 1", (struct part){ 1, 8, 0, 1 },
	    "stop dns after 1");
}

static void
test_fewer_turns(void **state)
{
	(void)state;
	check("stop queue after 13", (struct part){ 2, 2, 5, 10 },
	    "stop queue after 8");
	check("stop queue after 14", (struct part){ 2, 2, 1, 10 },
	    "stop queue after 5");
}

static void
test_window(void **state)
{
	(void)state;
	check("stop lookup after 4 for 5", (struct part){ 2, 2, 0, 1 },
	    "stop lookup after 2 for 2");
	check("stop lookup after 2 for 2", (struct part){ 2, 2, 0, 1 },
	    "stop lookup after 2 for 1");
}

/* No run has come as far. */
static void
test_later_than_all(void **state)
{
	(void)state;
	check("stop lookup after 100", (struct part){ 1, 3, 0, 1 },
	    "stop lookup after 88");
}

static void
test_other_lines(void **state)
{
	(void)state;
	check("rest stop lookup", (struct part){ 1, 3, 0, 1 }, NULL);
	check("client c1 {", (struct part){ 1, 3, 0, 1 }, NULL);
	check("stop lookup after 0", (struct part){ 1, 3, 0, 1 }, NULL);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(test_what_is_left_out_before_it),
		cmocka_unit_test(test_the_step_it_comes_before),
		cmocka_unit_test(test_fewer_turns),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_later_than_all),
		cmocka_unit_test(test_other_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
