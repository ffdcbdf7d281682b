#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "script.h"

#define HEAD	"scenario \"x\"\n"
#define CLIENT(steps) HEAD "client c {\n" steps "\n}\n"
#define FILTER(steps) HEAD "filter f {\n" steps "\n}\n"
#define ASKED "  D: filter|*|smtp-in|quit|$sid|$token\n"

/* A mistake, where it is, and a part of what is said about it. */
static const struct {
	const char	*text;
	const char	*where;
	const char	*says;
} mistakes[] = {
	{ "", "f:1:1", "expected a line: scenario" },
	{ "scenario x\n", "f:1:10", "in quotes" },
	{ "scenario \"x\n", "f:1:10", "closing quote" },
	{ HEAD, "f:2:1", "nobody acts" },
	{ HEAD HEAD, "f:2:9", "a second scenario line" },
	{ HEAD "clinet c {\n}\n", "f:2:1", "unknown word \"clinet\"" },
	{ HEAD "client {\n}\n", "f:2:8", "expected a name" },
	{ HEAD "client c {\n", "f:2:10", "no closing" },
	{ HEAD "client c {\n}\n}\n", "f:4:1", "closes nothing" },
	{ HEAD "client c {\n}\nclient c {\n}\n", "f:4:8", "stands twice" },
	{ HEAD "client c wrong=1 {\n}\n", "f:2:10", "unknown option" },
	{ HEAD "client c sessions {\n}\n", "f:2:10", "sessions=VALUE" },
	{ HEAD "client c sessions=0 {\n}\n", "f:2:10", "at least one" },
	{ HEAD "client c parallel=9..1 {\n}\n", "f:2:10", "reversed" },
	{ HEAD "client c to=localhost {\n}\n", "f:2:10", "numeric" },
	{ HEAD "client c to=[::1 {\n}\n", "f:2:10", "numeric" },
	{ HEAD "client c smtps=1 {\n}\n", "f:2:10", "takes no value" },
	{ HEAD "server s {\n}\n", "f:2:8", "expected listen=" },
	{ HEAD "needs wings\nclient c {\n}\n", "f:2:7", "unknown need" },
	{ HEAD "needs version > 7\nclient c {\n}\n", "f:2:7", "version >=" },
	{ HEAD "expect miracles\nclient c {\n}\n", "f:2:8",
	    "unknown expectation" },
	{ HEAD "expect delivered\nclient c {\n}\n", "f:2:8",
	    "expected: expect delivered" },
	{ HEAD "waive nothing \"x\"\nclient c {\n}\n", "f:2:7",
	    "unknown oracle" },
	{ HEAD "waive crash\nclient c {\n}\n", "f:2:12", "the reason" },
	{ HEAD "known * \"x\" \"y\"\nclient c {\n}\n", "f:2:6",
	    "follows an expect" },
	{ HEAD "timeout 5\nclient c {\n}\n", "f:2:9", "with its unit" },
	{ HEAD "file etc/x {\n}\nclient c {\n}\n", "f:2:6", "absolute" },
	{ HEAD "file /etc/x makemap=hash {\n}\nclient c {\n}\n", "f:2:13",
	    "expected one of aliases set map" },
	{ HEAD "file /etc/x {\n  {\n}\nclient c {\n}\n", "f:3:1",
	    "no closing" },
	{ HEAD "smtpd a {\n}\nsmtpd b {\n}\n", "f:4:7", "a second smtpd" },
	{ HEAD "dns d {\n  x.example B 1\n}\n", "f:3:13",
	    "unknown record type" },
	{ HEAD "dns d {\n  x.example A 1.2.3\n}\n", "f:3:15", "no address" },
	{ HEAD "dns d {\n  x.example A 1.2.3.4 slow\n}\n", "f:3:23",
	    "delay=TIME" },
	{ HEAD "dns d {\n  x.example A 1.2.3.4 after=\n}\n", "f:3:23",
	    "after=POINT" },
	{ HEAD "dns d {\n  x.example A 1.2.3.4 after=p\n}\n", "f:3:23",
	    "nobody reaches \"p\"" },
	{ CLIENT("X: hello"), "f:3:1", "\"X:\" in a client block" },
	{ CLIENT("  S:"), "f:3:5", "expected a reply code" },
	{ CLIENT("  S: 25"), "f:3:6", "is no reply" },
	{ CLIENT("  S: 650"), "f:3:6", "is no reply" },
	{ CLIENT("  S: 250 what"), "f:3:10", "unexpected \"what\"" },
	{ CLIENT("  S: 250 /a(/"), "f:3:10", "regular expression" },
	{ CLIENT("  S: 250 /abc"), "f:3:10", "closing /" },
	{ CLIENT("  S: <fim>"), "f:3:6", "expected <fin>" },
	{ CLIENT("  S: <silence 3>"), "f:3:15", "unit" },
	{ CLIENT("  C~ hello"), "f:3:6", "in quotes" },
	{ CLIENT("  C~ \"\\q\""), "f:3:7", "\\xHH" },
	{ CLIENT("  C~ \"\\x4\""), "f:3:7", "hex" },
	{ CLIENT("  C: ${nobody}"), "f:3:6", "undefined variable \"nobody\"" },
	{ CLIENT("  C: ${b64:$nobody}"), "f:3:6", "undefined variable" },
	{ CLIENT("  C: ${session"), "f:3:6", "expected a \"}\"" },
	{ CLIENT("  C: ${${a*2}b*3}"), "f:3:6", "inside" },
	{ CLIENT("  C: $late\n  set late x"), "f:3:6", "undefined variable" },
	{ CLIENT("  C: <jump>"), "f:3:7", "unknown act" },
	{ CLIENT("  <reach x"), "f:3:3", "closing \">\"" },
	{ CLIENT("  <await x>"), "f:3:3", "nobody reaches \"x\"" },
	{ CLIENT("  known * \"x\" \"y\""), "f:3:3", "follows what is heard" },
	{ CLIENT("  S: 250\n  known \"x\" \"y\""), "f:4:9",
	    "expected a target" },
	{ CLIENT("  S: 250\n  known * \"x\" \"\""), "f:4:11", "a reason" },
	{ CLIENT("  repeat 3..1 {\n  }"), "f:3:10", "reversed" },
	{ CLIENT("  repeat x {\n  }"), "f:3:10", "a number or a range" },
	{ CLIENT("  repeat 3\n"), "f:3:11", "expected \"{\"" },
	{ CLIENT("  repeat 99999999999999999 {\n  }"), "f:3:10",
	    "too large" },
	{ CLIENT("  batch {\n    S: 250\n  }"), "f:4:5", "inside batch" },
	{ CLIENT("  segments 0"), "f:3:12", "at least one octet" },
	{ CLIENT("  message colour=red"), "f:3:11", "unknown option" },
	{ CLIENT("  auth digest a b"), "f:3:8", "auth plain" },
	{ CLIENT("  pause 2"), "", "" },
	{ CLIENT("  connection 1 {\n  }"), "f:3:14", "in a server block" },
	{ CLIENT("  run"), "f:3:6", "expected a command" },
	{ CLIENT("  sink web"), "f:3:8", "sink smtp" },
	{ CLIENT("  hold"), "f:3:3", "only in filter and table" },
	{ CLIENT("  E: x"), "f:3:3", "\"E:\" in a client block" },
	{ FILTER(""), "f:2:8", "what it listens to" },
	{ FILTER("  D: filter|*|smtp-in|comit|$sid"), "f:3:3", "PHASE one of" },
	{ FILTER("  D: filter|*|smtp-out|commit|$sid"), "f:3:3",
	    "PHASE one of" },
	{ FILTER("  D: report|*|smtp-in|tx-commmit|$sid"), "f:3:3",
	    "EVENT one of" },
	{ FILTER("  D: config|ready"), "f:3:3", "manual block" },
	{ FILTER("  D: filter|*|smtp-in|quit|*{}"), "f:3:28", "*{NAME}" },
	{ FILTER("  D: filter|*|smtp-in|quit|$late"), "f:3:6", "undefined" },
	{ FILTER(ASKED "  F: <exit x>"), "f:4:12", "a number or a range" },
	{ FILTER(ASKED "  F: <kill BILL>"), "f:4:12", "unknown signal" },
	{ FILTER(ASKED "  F: <close door>"), "f:4:13", "stdin, stdout" },
	{ FILTER(ASKED "  S: 220"), "f:4:3", "\"S:\" in a filter block" },
	{ HEAD "filter f on dinner {\n}\n", "f:2:13", "unknown point" },
	{ HEAD "filter f on quit manual {\n}\n", "f:2:8", "no \"on\"" },
	{ HEAD "filter f manual {\n}\nfilter f on quit {\n}\n", "f:4:8",
	    "stands alone" },
	{ HEAD "filter f on quit {\n}\nclient f {\n}\n", "f:4:8",
	    "stands twice" },
};

static void
test_mistakes_are_placed(void **state)
{
	struct scenario *sc;
	char err[1024], *colon;
	size_t i;
	int wrong = 0;

	(void)state;
	for (i = 0; i < nitems(mistakes); i++) {
		err[0] = '\0';
		sc = script_parse("f", mistakes[i].text,
		    strlen(mistakes[i].text), err, sizeof(err));
		if (mistakes[i].where[0] == '\0') {
			assert_non_null(sc);
			script_free(sc);
			continue;
		}
		if (sc != NULL)
			fail_msg("no mistake found in:\n%s", mistakes[i].text);
		assert_null(sc);
		colon = strstr(err, ": ");
		assert_non_null(colon);
		if (strncmp(err, mistakes[i].where, (size_t)(colon - err)) !=
		    0 || strstr(err, mistakes[i].says) == NULL)
			wrong++, print_error("in:\n%s\nwanted %s: %s, got: "
			    "%s\n", mistakes[i].text, mistakes[i].where,
			    mistakes[i].says, err);
	}
	assert_int_equal(wrong, 0);
}

static void
test_binary_and_endless(void **state)
{
	size_t len = 10 * 1024 * 1024;
	char err[256], *big = malloc(len);

	(void)state;
	assert_null(script_parse("f", "scenario \"\0\"\n", 13, err,
	    sizeof(err)));
	assert_non_null(strstr(err, "f:1:11: byte 0x00"));
	memset(big, 'x', len);
	assert_null(script_parse("f", big, len, err, sizeof(err)));
	assert_non_null(strstr(err, "expected at most"));
	assert_null(script_parse("f", big, 100000, err, sizeof(err)));
	assert_non_null(strstr(err, "the line is longer"));
	free(big);
}

/* Cut anywhere, it is a mistake or a scenario, never a crash. */
static void
test_cut_anywhere(void **state)
{
	static const char text[] = HEAD "proves 5321-001\nneeds tls, version >= "
	    "7.6\nfile /etc/x mode=0600 owner=alice makemap=set {\n  a {"
	    "\n  }\n}\n"
	    "dns d {\n  127.0.0.2 PTR a.example delay=2s\n}\n"
	    "client c sessions=3 parallel=1..2 {\n  S: 250 2.0.0 has SIZE "
	    "/id=(?<id>.*)/ or 5xx \"x\"\n  known <7.6 \"q\" \"r\"\n"
	    "  C: NOOP ${id} ${b64:\\0$id} ${a*3}\n  C~ \"\\x41\\r\\n\"\n"
	    "  repeat 1..3 as n { C: $n }\n  choose { C: <fin> } or { C: <rst> "
	    "}\n  message size=1K..2K\n  message { a\n b\n }\n"
	    "  auth login a b\n  S: 235\n  <reach p>\n}\n"
	    "server s listen=127.0.0.2:25 {\n  connection 1..2 { C: EHLO ...\n"
	    "  S: 250 x\n receive\n <await p>\n }\n sink lmtp SIZE\n}\n"
	    "expect bounced a to b /x/ y\nknown * \"z\" \"w\"\n";
	struct scenario *sc;
	char err[256], *copy;
	size_t n;

	(void)state;
	sc = script_parse("f", text, sizeof(text) - 1, err, sizeof(err));
	if (sc == NULL)
		fail_msg("%s", err);
	script_free(sc);
	for (n = 0; n < sizeof(text) - 1; n++) {
		/* exactly so long, so that a sanitizer sees a read beyond */
		copy = malloc(n + 1);
		memcpy(copy, text, n);
		copy[n] = '\0';
		sc = script_parse("f", copy, n, err, sizeof(err));
		if (sc == NULL)
			assert_true(strncmp(err, "f:", 2) == 0);
		script_free(sc);
		free(copy);
	}
}

static void
test_parsed_as_written(void **state)
{
	static const char text[] = HEAD "proves 5321-001 5321-002\n"
	    "client c sessions=20 {\n  S: 220\n  C: NOOP # no comment\n"
	    "  C: QUIT }\n";
	const struct step *st;
	struct scenario *sc;
	const struct role *r;
	char err[256];

	(void)state;
	sc = script_parse("f", text, sizeof(text) - 1, err, sizeof(err));
	assert_non_null(sc);
	assert_string_equal(STAILQ_FIRST(&sc->proves)->text, "5321-001");
	r = STAILQ_FIRST(&sc->roles);
	assert_string_equal(r->name, "c");
	assert_string_equal(STAILQ_FIRST(&r->opts)->value, "20");
	st = STAILQ_FIRST(&r->steps);
	assert_string_equal(st->text, "220");
	assert_int_equal(st->pos.line, 4);
	assert_int_equal(st->pos.col, 3);
	st = STAILQ_NEXT(st, entry);
	assert_string_equal(st->text, "NOOP # no comment");
	st = STAILQ_NEXT(st, entry);
	assert_string_equal(st->text, "QUIT");
	assert_null(STAILQ_NEXT(st, entry));
	script_free(sc);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes_are_placed),
		cmocka_unit_test(test_binary_and_endless),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_parsed_as_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
