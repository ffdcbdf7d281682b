#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "pattern.h"
#include "util.h"

struct seen {
	struct buf	 text;		/* of expand */
	struct buf	 set;		/* "name=value;" each */
};

static struct buf *
expand(void *arg, const char *text)
{
	struct seen *s = arg;

	buf_reset(&s->text);
	buf_addstr(&s->text, strcmp(text, "$v") == 0 ? "value" : text);
	return &s->text;
}

static void
set(void *arg, const char *name, const char *value, size_t len)
{
	struct seen *s = arg;

	buf_addf(&s->set, "%s=%.*s;", name, (int)len, value);
}

static const struct {
	const char	*pattern, *line;
	const char	*set;		/* NULL: no match */
} cases[] = {
	{ "a|b|c", "a|b|c", "" },
	{ "a|b", "a|b|c", "" },
	{ "a|b", "a|bc", NULL },
	{ "a|b|", "a|b|", "" },
	{ "a|b|", "a|b", NULL },
	{ "a|b|c", "a|b", NULL },
	{ "", "", "" },
	{ "*", "a|b", "" },
	{ "a|*|c", "a||c", "" },
	{ "a|*|d", "a|b|c|d", "" },
	{ "a|*|d", "a|b|c", NULL },
	{ "a|*{x}|c", "a|b|c", "x=b;" },
	{ "a|*{x}|d", "a|b|c|d", NULL },
	{ "a|*{x}", "a|b|c", "x=b|c;" },
	{ "*{x}@*{y}|*{z}", "u@h|", "x=u;y=h;z=;" },
	{ "*|*{x}y", "a|b|xy", "x=x;" },
	{ "$v", "value|x", "" },
	{ "$v", "other", NULL },
	{ "Subject: *red*", "Subject: a red hat", "" },
};

static void
test_cases(void **state)
{
	struct arena *a = arena_new();
	size_t i, off;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		struct seen s = { .set = { 0 } };
		const char *err = NULL;
		struct pattern *p = pattern_parse(a, cases[i].pattern, &err,
		    &off);
		int hit;

		assert_non_null(p);
		hit = pattern_match(p, cases[i].line, strlen(cases[i].line),
		    expand, set, &s);
		if (hit != (cases[i].set != NULL) || (hit && strcmp(
		    s.set.data == NULL ? "" : s.set.data, cases[i].set) != 0))
			fail_msg("%s on %s: %d, %s", cases[i].pattern,
			    cases[i].line, hit, s.set.data);
		buf_free(&s.set);
		buf_free(&s.text);
	}
	arena_free(a);
}

static void
test_mistakes(void **state)
{
	struct arena *a = arena_new();
	char many[256];
	const char *err;
	size_t off;

	(void)state;
	assert_null(pattern_parse(a, "a|*{", &err, &off));
	assert_int_equal(off, 2);
	assert_null(pattern_parse(a, "*{}", &err, &off));
	memset(many, '*', sizeof(many));
	many[sizeof(many) - 1] = '\0';
	assert_null(pattern_parse(a, many, &err, &off));
	assert_string_equal(err, "a pattern with fewer stars");
	arena_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
