/* A run that was found is written down as what has happened in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plain.h"
#include "script.h"

static const char	*scenario =
	"scenario \"x\"\n"
	"client c sessions=1 {\n"
	"    S: 220\n"
	"    C: EHLO c${session}.example\n"
	"    S: 250\n"
	"    repeat 1..9 {\n"
	"        C: NOOP\n"
	"        S: 250\n"
	"    }\n"
	"    choose { C: QUIT }\n"
	"    or     { C: <rst> }\n"
	"}\n";

/* The client's block, made from these draws and this plan. */
static void
written(const char *draws, const json_t *plan, const char *want)
{
	char		 msg[256], *copy = xstrdup(draws);
	struct scenario	*sc;
	struct buf	 out = { 0 };
	const char	*got;
	FILE		*fp;

	sc = script_parse("x.smtp", scenario, strlen(scenario), msg,
	    sizeof(msg));
	assert_non_null(sc);
	assert_non_null(fp = fmemopen(copy, strlen(copy), "r"));
	plain_write(sc, scenario, fp, plan, &out);
	fclose(fp);
	assert_non_null(got = strstr(out.data, "client "));
	assert_string_equal(got, want);
	script_free(sc);
	/* and can be read again */
	sc = script_parse("y.smtp", out.data, out.len, msg, sizeof(msg));
	if (sc == NULL)
		fail_msg("%s in %s", msg, out.data);
	script_free(sc);
	buf_free(&out);
	free(copy);
}

#define HEAD	"client c1 {\n    S: 220\n    C: EHLO c1.example\n    S: 250\n"
#define REPEAT(n) "    repeat " #n " {\n        C: NOOP\n        S: 250\n    }\n"
#define TURN	"    C: NOOP\n    S: 250\n"

static void
draws(void **state)
{
	json_t	*plan = json_array();

	(void)state;
	written("c/1 repeat 1 9 3\nc/1 choose 1 2 2\n", plan,
	    HEAD REPEAT(3) "    C: <rst>\n}\n");
	written("c/1 repeat 1 9 1\nc/1 choose 1 2 1\n", plan,
	    HEAD TURN "    C: QUIT\n}\n");
	json_decref(plan);
}

static void
cuts(void **state)
{
	json_t	*plan = json_pack("[s]", "cut c[1] 2 rst");

	(void)state;
	written("c/1 repeat 1 9 3\nc/1 choose 1 2 1\n", plan,
	    "client c1 {\n    S: 220\n    C: <rst>\n}\n");
	json_decref(plan);
	/* steps 5 and 6 are the first turn, 11 is the third's S: */
	plan = json_pack("[s]", "cut c[1] 10 fin");
	written("c/1 repeat 1 9 9\nc/1 choose 1 2 1\n", plan,
	    HEAD REPEAT(2) "    C: NOOP\n    C: <fin>\n}\n");
	json_decref(plan);
}

/* What was cut before it was drawn is drawn no more. */
static void
messages(void **state)
{
	json_t	*plan = json_array();

	(void)state;
	scenario = "scenario \"x\"\n"
	    "client c sessions=1 {\n"
	    "    message size=1K..4K line=1..998 8bit\n"
	    "}\n";
	written("c/1 x 1 9 3\n", plan,
	    "client c1 {\n    message size=1K line=1 8bit\n}\n");
	written("c/1 size 1024 4096 1500\n", plan,
	    "client c1 {\n    message size=1500\n}\n");
	json_decref(plan);
}

static void
pauses(void **state)
{
	json_t	*plan = json_pack("[s,s]", "pause c[1] 9", "rest go-on c[1]");

	(void)state;
	written("c/1 repeat 1 9 9\nc/1 choose 1 2 1\n", plan,
	    HEAD REPEAT(2) "    <await c1-goes-on>\n" TURN REPEAT(6)
	    "    C: QUIT\n}\n");
	json_decref(plan);
	plan = json_pack("[s]", "silent c[1] 4");
	written("c/1 repeat 1 9 9\nc/1 choose 1 2 1\n", plan,
	    HEAD "    S: <close>\n}\n");
	json_decref(plan);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(draws),
		cmocka_unit_test(cuts),
		cmocka_unit_test(pauses),
		cmocka_unit_test(messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
