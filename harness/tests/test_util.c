#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

static void
test_arena(void **state)
{
	struct arena	*a = arena_new();
	char		*p[2000], *big;
	int		 i;

	(void)state;
	for (i = 0; i < 2000; i++) {
		p[i] = arena_printf(a, "string number %d", i);
		assert_int_equal((uintptr_t)p[i] % _Alignof(max_align_t), 0);
		if (i % 500 == 0) {
			big = arena_alloc(a, 100000);
			assert_int_equal(big[0] | big[99999], 0);
			memset(big, 0xff, 100000);
		}
	}
	for (i = 0; i < 2000; i++)
		assert_int_equal(atoi(p[i] + strlen("string number ")), i);
	assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(a, "ab", 30), "ab");
	assert_string_equal(arena_strdup(a, ""), "");
	assert_non_null(arena_alloc(a, 0));
	arena_free(a);
	arena_free(NULL);
}

static void
test_buf(void **state)
{
	struct buf	 b = { 0 };
	char		*data;

	(void)state;
	buf_addf(&b, "%s-%d", "x", 42);
	buf_addstr(&b, "!");
	assert_string_equal(b.data, "x-42!");
	assert_int_equal(b.len, 5);
	buf_drain(&b, 2);
	assert_string_equal(b.data, "42!");
	data = b.data;
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.data, "");
	assert_ptr_equal(b.data, data);
	buf_add(&b, "a\0b", 3);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.data, "a\0b", 4);
	buf_drain(&b, 100);
	assert_int_equal(b.len, 0);
	buf_free(&b);
	assert_null(b.data);
	buf_free(&b);
	buf_reset(&b);
	buf_add(&b, NULL, 0);
	assert_string_equal(b.data, "");
	buf_free(&b);
}

static void
test_buf_grows(void **state)
{
	struct buf	 b = { 0 };
	size_t		 i;

	(void)state;
	for (i = 0; i < 100000; i++)
		buf_add(&b, "xy", i % 3);
	for (i = 0; i < 1000; i++)
		buf_drain(&b, 7);
	assert_int_equal(b.data[b.len], '\0');
	assert_true(b.len < b.cap);
	buf_free(&b);
}

static void
test_vis(void **state)
{
	struct buf	 b = { 0 };

	(void)state;
	buf_addvis(&b, NULL, 0);
	assert_string_equal(b.data, "");
	buf_addvis(&b, "a\r\n\t\\ ~\0\x7f\xff", 10);
	assert_string_equal(b.data, "a\\r\\n\\t\\\\ ~\\x00\\x7f\\xff");
	buf_free(&b);
}

/* RFC 4648, section 10. */
static void
test_base64(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
		{ "\xff\xff\xfe", "///+" },
	};
	struct buf	 b = { 0 };
	size_t		 i;
	int		 n;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		buf_reset(&b);
		n = base64_encode(&b, cases[i][0], strlen(cases[i][0]));
		assert_string_equal(b.data, cases[i][1]);
		assert_int_equal(n, strlen(cases[i][1]));
	}
	n = base64_encode(&b, "\0", 1);
	assert_int_equal(n, 4);
	assert_string_equal(b.data, "///+AA==");
	buf_free(&b);
}

/* From the FNV-1a reference vectors. */
static void
test_fnv(void **state)
{
	(void)state;
	assert_true(fnv64("", 0) == 0xcbf29ce484222325ULL);
	assert_true(fnv64("a", 1) == 0xaf63dc4c8601ec8cULL);
	assert_true(fnv64("foobar", 6) == 0x85944171f73967e8ULL);
}

static void
test_files(void **state)
{
	char	 path[] = "/tmp/test_util.XXXXXX", *text;
	char	 big[50000];
	size_t	 len;
	int	 fd;

	(void)state;
	memset(big, 'x', sizeof(big));
	big[7] = '\0';
	fd = mkstemp(path);
	assert_true(fd != -1);
	assert_int_equal(write_all(fd, big, sizeof(big)), 0);
	close(fd);
	text = read_file(path, &len, sizeof(big));
	assert_non_null(text);
	assert_int_equal(len, sizeof(big));
	assert_memory_equal(text, big, len);
	assert_int_equal(text[len], '\0');
	free(text);
	assert_null(read_file(path, NULL, sizeof(big) - 1));
	assert_int_equal(errno, EFBIG);
	unlink(path);
	assert_null(read_file(path, NULL, 1));
	assert_int_equal(errno, ENOENT);
	text = read_file("/dev/null", &len, 0);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(write_all(-1, "x", 1), -1);
	assert_int_equal(errno, EBADF);
}

static void
test_rest(void **state)
{
	uint64_t	 t = now_us();
	char		*s;
	int		 fd[2];

	(void)state;
	assert_true(now_us() >= t);
	s = xasprintf("%d-%s", 1, "x");
	assert_string_equal(s, "1-x");
	free(s);
	s = xstrdup("abc");
	s = xreallocarray(s, 10, 10);
	assert_string_equal(s, "abc");
	free(s);
	assert_int_equal(pipe(fd), 0);
	set_cloexec(fd[0]);
	set_nonblock(fd[0]);
	assert_true(fcntl(fd[0], F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd[0], F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(fd[1], F_GETFL) & O_NONBLOCK);
	close(fd[0]);
	close(fd[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_buf_grows),
		cmocka_unit_test(test_vis),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_fnv),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_rest),
	};

	return cmocka_run_group_tests_name("util", tests, NULL, NULL);
}
