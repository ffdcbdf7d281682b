#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "table_judge.h"
#include "util.h"

/* Lines with who says each; a right conversation breaks no rule. */
#define HELLO	"Dconfig|smtpd-version|7.9.0-portable\n" \
		"Dconfig|protocol|0.1\nDconfig|tablename|t\nDconfig|ready\n" \
		"Fregister|alias\nFregister|source\nFregister|ready\n"
#define ASK	"Dtable|0.1|1713795091.202157|t|"
#define LOOKUP	ASK "lookup|alias|0123abcd|alice\n"

static const struct {
	const char	*rules;		/* broken, in their order */
	const char	*text;
} cases[] = {
	{ "", HELLO LOOKUP "Flookup-result|0123abcd|found|bob\n"
	    ASK "check|alias|0123abce|a|b\nFcheck-result|0123abce|not-found\n"
	    ASK "check|alias|0123abc0|a\nFcheck-result|0123abc0|found\n"
	    ASK "fetch|source|0123abcf\nFfetch-result|0123abcf|error|no\n"
	    ASK "update|0123abc0\nFupdate-result|0123abc0|ok\n" },
	{ "T1", "Dconfig|protocol|0.1\n" },
	{ "T1", HELLO "Dconfig|ready\n" },
	{ "T1", "Dconfig|smtpd-version|\n" },
	{ "T1 T8", "Dconfig|smtpd-version|7\n" LOOKUP
	    "Flookup-result|0123abcd|not-found\n" },
	{ "T2", HELLO "Dhello\n" },
	{ "T2", HELLO "Dtable|0.1|17.2|t|update|0123abcd\n"
	    "Fupdate-result|0123abcd|ok\n" },
	{ "T2", HELLO "Dtable|0.1|1713795091.202157|u|update|0123abcd\n"
	    "Fupdate-result|0123abcd|ok\n" },
	{ "T2", HELLO "Dtable|0.2|1713795091.202157|t|update|0123abcd\n"
	    "Fupdate-result|0123abcd|ok\n" },
	{ "T2", HELLO ASK "update|0123ABCD\nFupdate-result|0123ABCD|ok\n" },
	{ "T2", HELLO ASK "lookup|aliases|0123abcd|a\n"
	    "Flookup-result|0123abcd|not-found\n" },
	{ "T2", HELLO ASK "lookup|alias|0123abcd\n"
	    "Flookup-result|0123abcd|not-found\n" },
	{ "T2", HELLO ASK "ask|alias|0123abcd|x\nFask-result|0123abcd|ok\n" },
	{ "T3", HELLO LOOKUP LOOKUP "Flookup-result|0123abcd|not-found\n" },
	{ "T4 T7", HELLO LOOKUP "Flookup-result|0123abce|not-found\n" },
	{ "T4", HELLO "Flookup-result|0123abce|not-found\n" },
	{ "T5", HELLO LOOKUP "Fcheck-result|0123abcd|found\n" },
	{ "T6", HELLO LOOKUP "Flookup-result|0123abcd|found|\n" },
	{ "T6", HELLO LOOKUP "Flookup-result|0123abcd|found\n" },
	{ "T7", HELLO ASK "update|0123abcd\n" },
	{ "T8", HELLO ASK "lookup|domain|0123abcd|x\n"
	    "Flookup-result|0123abcd|not-found\n" },
	{ "T9", HELLO ASK "lookup|alias|0123abcd|x\r\n"
	    "Flookup-result|0123abcd|not-found\n" },
};

static void
note(void *arg, const struct filter_objection *o)
{
	struct buf *b = arg;

	buf_addf(b, "%s%s", b->len == 0 ? "" : " ", o->id);
}

static void
test_each_rule(void **state)
{
	struct table_judge *j;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		struct buf got = { 0 };
		const char *s = cases[i].text, *e;

		j = table_judge_new(JUDGE_DAEMON | JUDGE_FILTER, 0, note,
		    &got);
		for (; *s != '\0'; s = e + 1) {
			e = strchr(s, '\n');
			table_judge_line(j, *s, 0, s + 1,
			    (size_t)(e - s) - 1);
		}
		table_judge_end(j, 0);
		if (strcmp(got.data == NULL ? "" : got.data,
		    cases[i].rules) != 0)
			fail_msg("case %zu: wanted %s, got %s", i,
			    cases[i].rules, got.data);
		table_judge_free(j);
		buf_free(&got);
	}
}

static void
test_time_and_exit(void **state)
{
	struct buf got = { 0 };
	struct table_judge *j = table_judge_new(JUDGE_FILTER, 1000, note, &got);
	static const char ask[] = "table|0.1|1.000000|t|update|0123abcd";
	static const char ok[] = "update-result|0123abcd|ok";

	(void)state;
	table_judge_line(j, 'D', 5000, ask, strlen(ask));
	table_judge_time(j, 6000);
	assert_null(got.data);
	table_judge_time(j, 6001);
	table_judge_time(j, 9000);
	table_judge_line(j, 'F', 9001, ok, strlen(ok));
	assert_string_equal(got.data, "T10");
	table_judge_line(j, 'D', 10000, ask, strlen(ask));
	table_judge_line(j, 'F', 12000, ok, strlen(ok));
	table_judge_exit(j, 12000);
	assert_string_equal(got.data, "T10 T10 T11");
	table_judge_free(j);
	buf_free(&got);
}

static void
test_sides(void **state)
{
	struct buf got = { 0 };
	struct table_judge *j = table_judge_new(JUDGE_DAEMON, 0, note, &got);

	(void)state;
	table_judge_line(j, 'F', 0, "nonsense", 8);
	assert_null(got.data);
	table_judge_line(j, 'D', 0, "table|\0", 7);
	assert_string_equal(got.data, "T1 T9 T2");
	table_judge_free(j);
	buf_free(&got);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_rule),
		cmocka_unit_test(test_time_and_exit),
		cmocka_unit_test(test_sides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
