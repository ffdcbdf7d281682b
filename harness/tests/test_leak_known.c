#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "leak.h"
#include "target.h"
#include "util.h"

#define LOST	"xstrdup (util.c:79)\nmda_envelope (mda.c:824)\n"

static const struct {
	const char	*version, *process, *function, *stack;
	enum leak_verdict verdict;
} cases[] = {
	{ "7.6.0p1", "dispatcher", "mda_envelope",
	    LOST "mda_imsg.isra.0 (mda.c:193)\nmain (x.c:1)\n", LEAK_KNOWN },
	{ "7.6.0p1", "dispatcher", "mda_envelope",
	    "mda_envelope (mda.c:824)\nmda_imsg (mda.c:193)\n", LEAK_KNOWN },
	/* another caller, or none, is another leak */
	{ "7.6.0p1", "dispatcher", "mda_envelope",
	    LOST "mda_imsg2 (mda.c:193)\nmda_imsg (mda.c:1)\n", LEAK_FOUND },
	{ "7.6.0p1", "dispatcher", "mda_envelope", LOST, LEAK_FOUND },
	{ "7.6.0p1", "dispatcher", "mda_envelope2",
	    "mda_envelope2 (mda.c:824)\nmda_imsg (mda.c:193)\n", LEAK_FOUND },
	{ "7.6.0p1", "dispatcher", "mda_envelope", "", LEAK_FOUND },
	/* and so is another process, or a version that has it mended */
	{ "7.6.0p1", "queue", "mda_envelope",
	    LOST "mda_imsg (mda.c:193)\n", LEAK_FOUND },
	{ "7.9.0p0", "dispatcher", "mda_envelope",
	    LOST "mda_imsg (mda.c:193)\n", LEAK_FOUND },
	{ "7.9.0p0", "control", "control_accept",
	    "strdup (strdup.c:42)\ncontrol_accept (control.c:348)\n",
	    LEAK_KNOWN },
};

static void
test_known(void **state)
{
	struct leak_result	 res = { 0 };
	struct target		 t = { 0 };
	struct leak_row		*r;
	size_t			 i;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		t.name = t.version = (char *)(uintptr_t)cases[i].version;
		r = leak_add(&res, cases[i].process, "definitely lost");
		r->function = xstrdup(cases[i].function);
		r->stack = xstrdup(cases[i].stack);
		r->verdict = LEAK_FOUND;
		assert_int_equal(leak_known(&t, &res), 0);
		if (r->verdict != cases[i].verdict)
			fail_msg("case %zu is %d", i, r->verdict);
		assert_int_equal(r->why != NULL, r->verdict == LEAK_KNOWN);
		leak_free(&res);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
