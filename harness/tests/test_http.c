#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "http.h"

#define HEAD	"POST /checkv2 HTTP/1.1\r\n"
#define WHOLE	HEAD "From: a@b\r\nRcpt: c@d\r\nrcpt:  e@f\r\n" \
		"Content-Length: 7\r\n\r\nhello\r\n"
#define CHUNKS	HEAD "Transfer-Encoding: chunked\r\n\r\n" \
		"4\r\nhell\r\nA;x=y\r\no\r\n1234567\r\n0\r\n\r\n"

static int
take(struct http_request *r, struct buf *in, const char *text, size_t len)
{
	const char *why = NULL;

	buf_reset(in);
	buf_add(in, text, len);
	return http_request_take(in, r, &why);
}

static void
check_field(const struct http_request *r, const char *name, const char *want)
{
	char *got = http_field(r, name);

	if (want == NULL)
		assert_null(got);
	else
		assert_string_equal(got, want);
	free(got);
}

static void
test_whole(void **state)
{
	struct http_request r = { 0 };
	struct buf in = { 0 };

	(void)state;
	assert_int_equal(take(&r, &in, WHOLE "GET ", sizeof(WHOLE) + 3), 1);
	assert_string_equal(r.method, "POST");
	assert_string_equal(r.path, "/checkv2");
	assert_int_equal(r.body.len, 7);
	assert_memory_equal(r.body.data, "hello\r\n", 7);
	check_field(&r, "from", "a@b");
	check_field(&r, "Rcpt", "c@d\ne@f");
	check_field(&r, "Rcp", NULL);
	check_field(&r, "To", NULL);
	/* what follows is the next request */
	assert_int_equal(in.len, 4);
	http_request_free(&r);
	buf_free(&in);
}

static void
test_chunks(void **state)
{
	struct http_request r = { 0 };
	struct buf in = { 0 };

	(void)state;
	assert_int_equal(take(&r, &in, CHUNKS, strlen(CHUNKS)), 1);
	assert_int_equal(r.body.len, 14);
	assert_memory_equal(r.body.data, "hello\r\n1234567", 14);
	assert_int_equal(in.len, 0);
	http_request_free(&r);
	buf_free(&in);
}

/* However it is cut, nothing is taken before all of it is there. */
static void
test_pieces(void **state)
{
	static const char *const texts[] = { WHOLE, CHUNKS };
	struct http_request r = { 0 };
	struct buf in = { 0 };
	size_t i, n;

	(void)state;
	for (i = 0; i < nitems(texts); i++)
		for (n = 0; n < strlen(texts[i]); n++) {
			assert_int_equal(take(&r, &in, texts[i], n), 0);
			assert_int_equal(in.len, n);
		}
	http_request_free(&r);
	buf_free(&in);
}

static void
test_nonsense(void **state)
{
	static const char *const texts[] = {
		"hello\r\n\r\n",
		"POST /\r\n\r\n",
		"POST / FTP/1.1\r\n\r\n",
		" / HTTP/1.1\r\n\r\n",
		"\r\n\r\n",
		HEAD "Transfer-Encoding: gzip\r\n\r\nxx",
		HEAD "Transfer-Encoding: chunked\r\n\r\nxx\r\n",
		HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n",
	};
	struct http_request r = { 0 };
	struct buf in = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < nitems(texts); i++)
		assert_int_equal(take(&r, &in, texts[i], strlen(texts[i])),
		    -1);
	http_request_free(&r);
	buf_free(&in);
}

static void
test_no_fields(void **state)
{
	struct http_request r = { 0 };
	struct buf in = { 0 };

	(void)state;
	assert_int_equal(take(&r, &in, "GET / HTTP/1.0\r\n\r\n", 18), 1);
	assert_int_equal(r.body.len, 0);
	check_field(&r, "Host", NULL);
	http_request_free(&r);
	buf_free(&in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_no_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
