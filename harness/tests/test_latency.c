#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "latency.h"
#include "smtp.h"

static json_int_t
get(const json_t *j, const char *kind, const char *what)
{
	return json_integer_value(json_object_get(json_object_get(j, kind),
	    what));
}

/* 1000, 999, ..., 1: the nearest rank of 99 % is the 990th of them. */
static void
percentiles(void **state)
{
	struct latency	*l = latency_new();
	json_t		*j;
	uint64_t	 us;

	(void)state;
	for (us = 1000; us > 0; us--)
		latency_add(l, CMD_MAIL, us);
	j = latency_json(l);
	assert_int_equal(json_object_size(j), 1);
	assert_int_equal(get(j, "MAIL", "n"), 1000);
	assert_int_equal(get(j, "MAIL", "p50"), 500);
	assert_int_equal(get(j, "MAIL", "p90"), 900);
	assert_int_equal(get(j, "MAIL", "p99"), 990);
	assert_int_equal(get(j, "MAIL", "max"), 1000);
	json_decref(j);
	latency_free(l);
}

static void
one_and_none(void **state)
{
	struct latency	*l = latency_new();
	json_t		*j;

	(void)state;
	j = latency_json(l);
	assert_int_equal(json_object_size(j), 0);
	json_decref(j);
	latency_add(l, CMD_EOD, (uint64_t)1 << 40);	/* days: the most there is */
	latency_add(l, CMD_AUTHLINE, 5);		/* not told */
	j = latency_json(l);
	assert_int_equal(json_object_size(j), 1);
	assert_int_equal(get(j, "message", "p50"), UINT32_MAX);
	json_decref(j);
	latency_free(l);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(percentiles),
		cmocka_unit_test(one_and_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
