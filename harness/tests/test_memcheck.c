#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "leak.h"
#include "memcheck.h"

#define OWN	"a_function (/src/smtpd/a.c:1)\n" \
		"its_caller (/src/smtpd/b.c:2)\n"

/* As vgdb shows it: a record that is new, one inside of it, one that grew. */
static const char	report[] =
    "sending command leak_check full kinds all increased to pid 7\n"
    "==7== 1,040 (+520) (16 (+8) direct, 1,024 (+512) indirect) bytes in 2 (+1)"
    " blocks are definitely lost in loss record 2 of 3\n"
    "==7==    at 0x48407B4: malloc (in /usr/lib/vgpreload.so)\n"
    "==7==    by 0x5113D09: xstrdup (/src/smtpd/util.c:79)\n"
    "==7==    by 0x11D0B2: a_function (/src/smtpd/a.c:1)\n"
    "==7==    by 0x11D0B2: its_caller (/src/smtpd/b.c:2)\n"
    "==7==    by 0x5003249: (below main) (csu/libc_start_call_main.h:58)\n"
    "==7== \n"
    "==7== 1,024 (+512) bytes in 2 (+1) blocks are indirectly lost in loss "
    "record 1 of 3\n"
    "==7==    at 0x48407B4: malloc (in /usr/lib/vgpreload.so)\n"
    "==7==    by 0x11D0B2: a_function (/src/smtpd/a.c:9)\n"
    "==7==    by 0x11D0B2: its_caller (/src/smtpd/b.c:2)\n"
    "==7==    by 0x5003249: (below main) (csu/libc_start_call_main.h:58)\n"
    "==7== \n"
    "==7== 4,096 (+1,024) bytes in 1 (+0) blocks are still reachable in loss "
    "record 3 of 3\n"
    "==7==    at 0x48407B4: realloc (in /usr/lib/vgpreload.so)\n"
    "==7==    by 0x11D0B2: grow (/src/smtpd/a.c:3)\n"
    "==7== \n"
    "==7== LEAK SUMMARY:\n"
    "==7==    definitely lost: 16 (+8) bytes in 2 (+1) blocks\n";

static json_int_t
num(const json_t *list, size_t i, const char *key)
{
	return json_integer_value(json_object_get(json_array_get(list, i),
	    key));
}

static const char *
str(const json_t *list, size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(list, i), key));
}

static void
loss_records(void **state)
{
	json_t	*list = json_array();

	(void)state;
	memcheck_leaks(report, "lookup", 1, list);
	assert_int_equal(json_array_size(list), 3);
	assert_int_equal(num(list, 0, "bytes"), 8);
	assert_int_equal(num(list, 0, "blocks"), 1);
	assert_string_equal(str(list, 0, "kind"), "definitely lost");
	assert_string_equal(str(list, 0, "process"), "lookup");
	assert_int_equal(num(list, 1, "bytes"), 512);
	assert_int_equal(num(list, 2, "bytes"), 1024);
	assert_int_equal(num(list, 2, "blocks"), 0);
	json_decref(list);
}

static void
blame(void **state)
{
	static const struct {
		const char	*stack, *function;
	} cases[] = {
		{ "malloc (in /usr/lib/v.so)\n" OWN, "a_function" },
		{ "malloc (in /usr/lib/v.so)\nxstrdup (/src/smtpd/util.c:7)\n"
		    OWN, "a_function" },
		{ "malloc (in /usr/lib/v.so)\nregcomp (posix/./posix/r.c:4)\n"
		    "??? (in /usr/lib/x.so)\n" OWN, "a_function" },
		{ "smtp_free.constprop.0 (/src/smtpd/s.c:1)\n", "smtp_free" },
		{ "malloc (in /usr/lib/v.so)\nonly_a (in /usr/lib/x.so)\n",
		    "only_a" },
	};
	char	*s;
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s = memcheck_function(cases[i].stack);
		assert_string_equal(s, cases[i].function);
		free(s);
	}
	s = memcheck_stack("malloc (in /usr/lib/v.so)\nregcomp (posix/r.c:4)\n"
	    OWN "(below main) (csu/l.h:58)\n");
	assert_string_equal(s, "regcomp (r.c:4)\na_function (a.c:1)\n"
	    "its_caller (b.c:2)\n");
	free(s);
}

/* Records of one place, with these bytes and blocks after each batch. */
static size_t
leaks_of(json_int_t bytes1, json_int_t blocks1, json_int_t bytes2,
    json_int_t blocks2)
{
	struct leak_result	 res = { 0 };
	json_t			*list = json_array(), *none = json_array();
	const json_int_t	 bytes[] = { bytes1, bytes2 };
	const json_int_t	 blocks[] = { blocks1, blocks2 };
	size_t			 i, n;

	for (i = 0; i < 2; i++)
		if (bytes[i] > 0)
			json_array_append_new(list, json_pack(
			    "{s:s, s:I, s:s, s:I, s:I, s:s, s:i}", "process",
			    "queue", "batch", (json_int_t)i + 1, "kind",
			    "still reachable", "bytes", bytes[i], "blocks",
			    blocks[i], "stack", OWN, "blamed", 0));
	memcheck_judge(list, none, 20, &res);
	n = res.n;
	if (n == 1) {
		assert_string_equal(res.row[0].function, "a_function");
		assert_int_equal(res.row[0].verdict, LEAK_FOUND);
	}
	leak_free(&res);
	json_decref(list);
	json_decref(none);
	return n;
}

static void
verdicts(void **state)
{
	(void)state;
	/* 20 and 40 sessions: so much with each, or with each second one */
	assert_int_equal(leaks_of(320, 20, 640, 40), 1);
	assert_int_equal(leaks_of(160, 10, 320, 20), 1);
	/* as much after the one as after the other, or only once */
	assert_int_equal(leaks_of(640, 40, 640, 40), 0);
	assert_int_equal(leaks_of(640, 40, 0, 0), 0);
	assert_int_equal(leaks_of(0, 0, 640, 40), 0);
	/* too few to tell */
	assert_int_equal(leaks_of(32, 2, 64, 4), 0);
	/* some more connections at once than before */
	assert_int_equal(leaks_of(48, 1, 96, 2), 0);
	/* a block that grows */
	assert_int_equal(leaks_of(320, 0, 640, 0), 1);
	assert_int_equal(leaks_of(20, 0, 40, 0), 0);
}

/* What one function loses is one leak, however many blocks of what kind. */
static void
one_leak(void **state)
{
	struct leak_result	 res = { 0 };
	json_t			*list = json_array(), *none = json_array();
	unsigned int		 i;

	(void)state;
	for (i = 0; i < 6; i++)
		memcheck_leaks(report, "lookup", i < 2 ? 1 : 2, list);
	memcheck_judge(list, none, 1, &res);
	assert_int_equal(res.n, 2);
	assert_string_equal(res.row[1].function, "a_function");
	assert_string_equal(res.row[1].what, "definitely lost");
	assert_int_equal((int)res.row[1].bytes, 1040);
	assert_int_equal((int)res.row[1].blocks, 4);
	leak_free(&res);
	json_decref(list);
	json_decref(none);
}

static void
errors(void **state)
{
	static const char	 log[] =
	    "==9== Memcheck, a memory error detector\n"
	    "==9== Command: smtpd -x lka\n"
	    "==9== \n"
	    "==9== Warning: noted but unhandled ioctl 0x5401\n"
	    "==9==    at 0x48407B4: ioctl (in /usr/lib/libc.so.6)\n"
	    "==9== Invalid read of size 4\n"
	    "==9==    at 0x11D0B2: a_function (/src/smtpd/a.c:1)\n"
	    "==9==  Address 0x53c23aa is 0 bytes after a block of size 4 "
	    "alloc'd\n"
	    "==9==    at 0x48407B4: malloc (in /usr/lib/vgpreload.so)\n"
	    "==9== \n"
	    "==9== ERROR SUMMARY: 1 errors from 1 contexts\n";
	struct leak_result	 res = { 0 };
	json_t			*list = json_array(), *none = json_array();

	(void)state;
	memcheck_errors(log, "lookup", list);
	memcheck_judge(none, list, 20, &res);
	assert_int_equal(res.n, 1);
	assert_string_equal(res.row[0].what, "Invalid read of size 4");
	assert_string_equal(res.row[0].function, "a_function");
	leak_free(&res);
	json_decref(list);
	json_decref(none);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(loss_records),
		cmocka_unit_test(blame),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(one_leak),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
