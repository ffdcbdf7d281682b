#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtp.h"

static void
test_replies_are_taken_whole(void **state)
{
	static const struct {
		const char	*in;
		size_t		 taken;
		int		 code, lines;
		const char	*text;
	} cases[] = {
		{ "250 ok\r\n", 8, 250, 1, "250 ok" },
		{ "250 ok\r\n250 more\r\n", 8, 250, 1, "250 ok" },
		{ "250-a\r\n250-b\r\n250 c\r\n221", 21, 250, 3,
		    "250-a\n250-b\n250 c" },
		{ "250\r\n", 5, 250, 1, "250" },
		{ "250-a\r\n", 0, 0, 0, "" },
		{ "250 o", 0, 0, 0, "" },
		{ "", 0, 0, 0, "" },
		{ "250 bare\n", 9, 250, 1, "250 bare" },
		{ "what?\r\n", 7, 0, 1, "what?" },
		{ "\r\n", 2, 0, 1, "" },
		{ "25\r\n", 4, 0, 1, "25" },
		{ "250-a\r\nwhat?\r\n", 14, 250, 2, "250-a\nwhat?" },
	};
	struct reply r;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		assert_int_equal(reply_parse(cases[i].in, strlen(cases[i].in),
		    &r), cases[i].taken);
		if (cases[i].taken == 0)
			continue;
		assert_int_equal(r.code, cases[i].code);
		assert_int_equal(r.nlines, cases[i].lines);
		assert_string_equal(r.text, cases[i].text);
		reply_free(&r);
	}
}

static void
test_enhanced_codes(void **state)
{
	static const struct {
		const char	*in;
		int		 line;
		const char	*code;
	} cases[] = {
		{ "250 2.1.5 ok\r\n", 0, "2.1.5" },
		{ "250 2.1.555 ok\r\n", 0, "2.1.555" },
		{ "250 ok\r\n", 0, "" },
		{ "250 2.1 ok\r\n", 0, "" },
		{ "250 2.1.5.6 ok\r\n", 0, "" },
		{ "250 2.a.5 ok\r\n", 0, "" },
		{ "250-2.1.5 a\r\n250 2.1.6 b\r\n", 1, "2.1.6" },
		{ "250 2.1.5\r\n", 0, "2.1.5" },
	};
	char code[16];
	struct reply r;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		reply_parse(cases[i].in, strlen(cases[i].in), &r);
		reply_ecode(&r, cases[i].line, code, sizeof(code));
		assert_string_equal(code, cases[i].code);
		reply_free(&r);
	}
}

static void
test_paths(void **state)
{
	static const struct {
		const char	*line;
		const char	*path;
	} cases[] = {
		{ "MAIL FROM:<a@b>", "a@b" },
		{ "MAIL FROM:<>", "" },
		{ "MAIL FROM:<a@b> SIZE=5", "a@b" },
		{ "RCPT TO:<@x,@y:a@b>", "a@b" },
		{ "RCPT TO:<\"a>b\"@c>", "\"a>b\"@c" },
		{ "RCPT TO:<\"a\\\"b\"@c>", "\"a\\\"b\"@c" },
		{ "RCPT TO:<a@[IPv6:::1]>", "a@[IPv6:::1]" },
		{ "RCPT TO:a@b", NULL },
	};
	char *path;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		path = smtp_path(cases[i].line, strlen(cases[i].line));
		if (cases[i].path == NULL)
			assert_null(path);
		else
			assert_string_equal(path, cases[i].path);
		free(path);
	}
}

/* What a client may expect, and which replies fulfil it. */
static const struct {
	const char	*want;
	const char	*reply;
	int		 matches;
} wants[] = {
	{ "250", "250 ok\r\n", 1 },
	{ "250", "251 ok\r\n", 0 },
	{ "2xx", "251 ok\r\n", 1 },
	{ "2xx", "451 ok\r\n", 0 },
	{ "25x", "259 ok\r\n", 1 },
	{ "any", "599 ok\r\n", 1 },
	{ "550 5.1.1", "550 5.1.1 no\r\n", 1 },
	{ "550 5.1.1", "550 5.1.2 no\r\n", 0 },
	{ "550 5.1.1", "550 no\r\n", 0 },
	{ "550 5.1.x", "550 5.1.10 no\r\n", 1 },
	{ "550 5.x.x", "550 5.7.26 no\r\n", 1 },
	{ "550 5.x.1", "550 5.17.1 no\r\n", 1 },
	{ "550 5.x.1", "550 5.17.2 no\r\n", 0 },
	{ "250 \"ok\"", "250 ok\r\n", 1 },
	{ "250 \"ok\"", "250 okay\r\n", 0 },
	{ "250 /^250-.*ID/", "250-x\r\n250 ID\r\n", 0 },
	{ "250 /^250 ID/", "250-x\r\n250 ID\r\n", 1 },
	{ "250 has SIZE", "250-h\r\n250-SIZE 5\r\n250 HELP\r\n", 1 },
	{ "250 has SIZE", "250-SIZE\r\n250 HELP\r\n", 0 },
	{ "250 has SIZ", "250-h\r\n250 SIZE 5\r\n", 0 },
	{ "250 has size", "250-h\r\n250 SIZE 5\r\n", 1 },
	{ "250 lacks SIZE", "250-h\r\n250 SIZE\r\n", 0 },
	{ "250 has \"AUTH PLAIN\"", "250-h\r\n250 AUTH LOGIN PLAIN\r\n", 1 },
	{ "250 has \"AUTH PLAIN\"", "250-h\r\n250 AUTH XPLAIN PLAINX\r\n", 0 },
	{ "501 or 555", "555 no\r\n", 1 },
	{ "501 or 555 5.5.4", "555 no\r\n", 0 },
	{ "<fin>", "250 ok\r\n", 0 },
	{ "<fin> or 421", "421 bye\r\n", 1 },
	{ "250 has SIZE  # why", "250-h\r\n250 SIZE\r\n", 1 },
};

static struct want *
parse(struct parser *p, struct scenario *sc, const char *text)
{
	static char err[256];

	memset(p, 0, sizeof(*p));
	memset(sc, 0, sizeof(*sc));
	sc->arena = p->arena = arena_new();
	p->sc = sc;
	p->path = "f";
	p->p = p->bol = text;
	p->end = text + strlen(text);
	p->line = 1;
	p->role = "";
	p->err = err;
	p->errlen = sizeof(err);
	STAILQ_INIT(&p->refs);
	if (setjmp(p->fail) != 0)
		fail_msg("%s: %s", text, err);
	return want_parse(p);
}

static void
test_wants(void **state)
{
	struct scenario sc;
	struct parser p;
	struct reply r;
	struct want *w;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(wants); i++) {
		w = parse(&p, &sc, wants[i].want);
		reply_parse(wants[i].reply, strlen(wants[i].reply), &r);
		if (want_reply(w, &r, NULL) != wants[i].matches)
			fail_msg("%s against %s", wants[i].want,
			    wants[i].reply);
		reply_free(&r);
		arena_free(sc.arena);
	}
}

static void
test_wanted_ends(void **state)
{
	struct scenario sc;
	struct parser p;
	struct want *w;

	(void)state;
	w = parse(&p, &sc, "421 or <fin>");
	assert_true(want_end(w, "<fin>"));
	assert_false(want_end(w, "<rst>"));
	assert_string_equal(want_text(w), "421 or <fin>");
	arena_free(sc.arena);
	w = parse(&p, &sc, "<close>");
	assert_true(want_end(w, "<fin>"));
	assert_true(want_end(w, "<rst>"));
	arena_free(sc.arena);
	w = parse(&p, &sc, "<silence 300ms>");
	assert_int_equal(want_silence(w), 300000);
	assert_false(want_end(w, "<fin>"));
	arena_free(sc.arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies_are_taken_whole),
		cmocka_unit_test(test_enhanced_codes),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_wants),
		cmocka_unit_test(test_wanted_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
