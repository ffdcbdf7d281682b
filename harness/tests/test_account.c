#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"

#define SENT	"Subject: x\r\nFrom: <a@b>\r\n\r\nhello\r\n..dot\r\n"
#define GOT	"Subject: x\nFrom: <a@b>\n\nhello\n.dot\n"
#define TOP	"Return-Path: <s@x>\nDelivered-To: r@y\n" \
		"Received: from c\n\tby d;\n\tsome day\n"

struct objections {
	int	 n;
	char	 first[512];
};

static void
object(void *arg, const char *text)
{
	struct objections *o = arg;

	if (o->n++ == 0)
		snprintf(o->first, sizeof(o->first), "%s", text);
}

static char *rcpt[] = { (char *)"r@y" };
static char *two[] = { (char *)"r@y", (char *)"q@y" };

static void
promise(struct account *a, enum promise kind, char *const *rcpts, size_t n,
    const char *text)
{
	account_promise(a, kind, "c", "s@x", rcpts, n, text, strlen(text));
}

static void
arrive(struct account *a, const char *to, const char *text)
{
	account_arrive(a, "maildir r", to, text, strlen(text));
}

/* Judge, free, and compare: 0 objections, or one with this text in it. */
static void
judged(struct account *a, const char *text)
{
	struct objections o = { 0, "" };

	account_judge(a, object, &o);
	account_free(a);
	if (text == NULL && o.n > 0)
		fail_msg("objected: %s", o.first);
	if (text != NULL && (o.n == 0 || strstr(o.first, text) == NULL))
		fail_msg("wanted %s, got %s", text, o.first);
}

static void
test_one_for_one(void **state)
{
	struct account *a = account_new();

	(void)state;
	promise(a, PROMISE_MADE, two, 2, SENT);
	arrive(a, "r@y", TOP GOT);
	arrive(a, "Q@Y", TOP GOT);
	assert_int_equal(account_due(a), 2);
	assert_int_equal(account_arrived(a), 2);
	judged(a, NULL);
}

static void
test_lost_doubled_misdirected(void **state)
{
	struct account *a = account_new();

	(void)state;
	promise(a, PROMISE_MADE, two, 2, SENT);
	arrive(a, "r@y", TOP GOT);
	judged(a, "<q@y> arrived 0 times");
	a = account_new();
	promise(a, PROMISE_MADE, rcpt, 1, SENT);
	arrive(a, "r@y", TOP GOT);
	arrive(a, "r@y", TOP GOT);
	judged(a, "arrived 2 times");
	a = account_new();
	promise(a, PROMISE_MADE, rcpt, 1, SENT);
	arrive(a, "r@y", TOP GOT);
	arrive(a, "z@y", TOP GOT);
	judged(a, "nobody sent");
}

/* Two alike are told apart by their number only. */
static void
test_twins(void **state)
{
	struct account *a = account_new();

	(void)state;
	promise(a, PROMISE_MADE, rcpt, 1, SENT);
	promise(a, PROMISE_MADE, rcpt, 1, SENT);
	arrive(a, "r@y", TOP GOT);
	arrive(a, "r@y", TOP GOT);
	judged(a, NULL);
}

static void
test_refused_and_open(void **state)
{
	struct account *a = account_new();

	(void)state;
	promise(a, PROMISE_REFUSED, rcpt, 1, SENT);
	judged(a, NULL);
	a = account_new();
	promise(a, PROMISE_REFUSED, rcpt, 1, SENT);
	arrive(a, "r@y", TOP GOT);
	judged(a, "was refused");
	a = account_new();
	promise(a, PROMISE_OPEN, rcpt, 1, SENT);
	judged(a, NULL);
	a = account_new();
	promise(a, PROMISE_OPEN, rcpt, 1, SENT);
	arrive(a, "r@y", TOP GOT);
	judged(a, NULL);
	a = account_new();
	promise(a, PROMISE_OPEN, rcpt, 1, SENT);
	arrive(a, "r@y", TOP GOT);
	arrive(a, "r@y", TOP GOT);
	judged(a, "arrived 2 times");
}

static void
test_changes(void **state)
{
	static const struct {
		const char	*got;
		const char	*says;
	} cases[] = {
		{ TOP GOT, NULL },
		{ GOT, NULL },
		{ TOP "Subject: x\nFrom: <a@b>\nDate: now\n\nhello\n.dot\n",
		    NULL },
		{ TOP "Subject: y\nFrom: <a@b>\n\nhello\n.dot\n",
		    "got: Subject: y" },
		{ TOP "From: <a@b>\n\nhello\n.dot\n", "sent: Subject: x" },
		{ TOP "Subject: x\n\nhello\n.dot\n", "From: <a@b>" },
		{ TOP "Subject: x\nFrom: <a@b>\nX-New: 1\n\nhello\n.dot\n",
		    "X-New" },
		{ TOP "Subject: x\nFrom: <a@b>\n\nhello\n..dot\n",
		    "nobody sent" },
		{ TOP "Subject: x\nFrom: <a@b>\n\nhello\n", "nobody sent" },
	};
	struct account *a;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		a = account_new();
		promise(a, PROMISE_MADE, rcpt, 1, SENT);
		arrive(a, "r@y", cases[i].got);
		judged(a, cases[i].says);
	}
}

/* No header, no body, nothing at all: RFC 5322 3.5 and smaller. */
static void
test_odd_shapes(void **state)
{
	static const struct {
		const char	*sent, *got;
	} cases[] = {
		{ "", TOP },
		{ "", TOP "\n" },
		{ "\r\nbody\r\n", TOP "\nbody\n" },
		{ "body only\r\n", TOP "\nbody only\n" },
		{ "Subject: x\r\n", TOP "Subject: x\n" },
		{ "Subject: x\r\n", TOP "Subject: x\n\n" },
		{ "Subject: x\r\n folded\r\n\r\n", TOP
		    "Subject: x\n folded\n\n" },
		{ "Received: old\r\n\r\nx\r\n", TOP "Received: old\n\nx\n" },
	};
	struct account *a;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		a = account_new();
		promise(a, PROMISE_MADE, rcpt, 1, cases[i].sent);
		arrive(a, "r@y", cases[i].got);
		judged(a, NULL);
	}
}

static void
test_fates(void **state)
{
	struct account *a = account_new();

	(void)state;
	promise(a, PROMISE_MADE, two, 2, SENT);
	account_fate(a, "r@y", 3);
	account_fate(a, "q@y", 0);
	arrive(a, "r@y", TOP GOT);
	arrive(a, "r@y", TOP GOT);
	arrive(a, "r@y", TOP GOT);
	judged(a, NULL);
}

static void
test_lmtp_knows_the_user_only(void **state)
{
	struct account *a = account_new();

	(void)state;
	promise(a, PROMISE_MADE, rcpt, 1, SENT);
	arrive(a, "r", TOP GOT);
	judged(a, NULL);
}

static void
test_domain_left_to_the_daemon(void **state)
{
	static char *bare[] = { (char *)"postmaster" };
	struct account *a = account_new();

	(void)state;
	promise(a, PROMISE_MADE, bare, 1, SENT);
	arrive(a, "Postmaster@y", TOP GOT);
	judged(a, NULL);
}

/* Only CRLF ends a line of what is sent; in a maildir a CR stays a CR. */
static void
test_bare_cr_and_lf(void **state)
{
	static const char *const pairs[][3] = {
		{ "S: x\r\n\r\na\n.b\r\n", "S: x\n\na\n.b\n", NULL },
		{ "S: x\r\n\r\na\n.b\r\n", "S: x\n\na\nb\n",
		    "nobody sent" },
		{ "S: x\r\n\r\na\r\r\nb\r\n", "S: x\n\na\r\nb\n", NULL },
		{ "S: x\r\n\r\na\r\r\nb\r\n", "S: x\n\na\nb\n",
		    "nobody sent" },
		{ "S: x\r\n\r\na\r\n", "S: x\r\n\r\na\r\n", NULL },
	};
	struct account *a;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(pairs); i++) {
		a = account_new();
		promise(a, PROMISE_MADE, rcpt, 1, pairs[i][0]);
		arrive(a, "r@y", pairs[i][1]);
		judged(a, pairs[i][2]);
	}
}

/* Bodies that are alike, such as empty ones: the header tells whose it is. */
static void
test_same_body(void **state)
{
	struct account *a = account_new();

	(void)state;
	promise(a, PROMISE_MADE, rcpt, 1, "Subject: x\r\n\r\n");
	promise(a, PROMISE_MADE, rcpt, 1, "Subject: y\r\n\r\n");
	arrive(a, "r@y", TOP "Subject: x\n\n");
	arrive(a, "r@y", TOP "Subject: y\n\n");
	judged(a, NULL);
	a = account_new();
	promise(a, PROMISE_MADE, rcpt, 1, "Subject: x\r\n\r\n");
	promise(a, PROMISE_MADE, rcpt, 1, "Subject: y\r\n\r\n");
	arrive(a, "r@y", TOP "Subject: x\n\n");
	arrive(a, "r@y", TOP "Subject: x\n\n");
	judged(a, "arrived 2 times");
}

/* A field that is a filter's: added, changed, dropped, folded or not. */
static void
test_filtered_fields(void **state)
{
	static const char *const got[] = {
		TOP "Subject: [spam]\n y\nX-Score: 3\nFrom: <a@b>\n\nhello\n.dot\n",
		"X-Score: 3\n\tfolded\n" TOP "From: <a@b>\n\nhello\n.dot\n",
	};
	struct account *a;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(got); i++) {
		a = account_new();
		account_field(a, "subject");
		account_field(a, "X-Score");
		promise(a, PROMISE_MADE, rcpt, 1, SENT);
		arrive(a, "r@y", got[i]);
		assert_int_equal(account_field_used(a, "Subject"), 1);
		assert_int_equal(account_field_used(a, "X-Score"), 1);
		assert_int_equal(account_field_used(a, "From"), 0);
		judged(a, NULL);
	}
	a = account_new();
	account_field(a, "X-Score");
	promise(a, PROMISE_MADE, rcpt, 1, SENT);
	arrive(a, "r@y", TOP GOT);
	assert_int_equal(account_field_used(a, "X-Score"), 0);
	judged(a, NULL);
	a = account_new();
	account_field(a, "X-Score");
	promise(a, PROMISE_MADE, rcpt, 1, SENT);
	arrive(a, "r@y", TOP "X-Scores: 3\n" GOT);
	judged(a, "got: X-Scores: 3, sent: Subject: x");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_for_one),
		cmocka_unit_test(test_lost_doubled_misdirected),
		cmocka_unit_test(test_twins),
		cmocka_unit_test(test_same_body),
		cmocka_unit_test(test_refused_and_open),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_odd_shapes),
		cmocka_unit_test(test_fates),
		cmocka_unit_test(test_lmtp_knows_the_user_only),
		cmocka_unit_test(test_domain_left_to_the_daemon),
		cmocka_unit_test(test_bare_cr_and_lf),
		cmocka_unit_test(test_filtered_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
