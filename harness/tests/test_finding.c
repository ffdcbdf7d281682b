/* What is the same crash, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "finding.h"

static void
same(const char *oracle, const char *got, const char *want)
{
	json_t		*end = json_pack("{s:[{s:s, s:s}]}", "failures",
			    "oracle", oracle, "got", got);
	struct buf	 b = { 0 };

	assert_int_equal(finding_signature(end, &b), want != NULL);
	if (want != NULL)
		assert_string_equal(b.data, want);
	buf_free(&b);
	json_decref(end);
}

static void
stacks(void **state)
{
	(void)state;
	same("crash", "signal 11 (Segmentation fault)\n"
	    "Thread 1 (LWP 5):\n"
	    "#0  __strcmp_evex () at ../strcmp-evex.S:291\n"
	    "No locals.\n"
	    "#1  0x000055d0 in io_printf (io=0x0) at x.c:3\n"
	    "        in = 0x3\n"
	    "#2  lka_filter (x=2) at y.c:4\n"
	    "#3  0x00007f11 in ?? () from /lib/libevent.so\n",
	    "crash: signal 11 (Segmentation fault): io_printf < lka_filter");
	same("crash", "==6==ERROR: AddressSanitizer: heap-use-after-free on "
	    "address 0x61d at pc 0x55\n"
	    "    #0 0x55aa7b241248  in mta_io mta_session.c:1330:10 (/usr/x)\n"
	    "    #1 0x7f8335c744a1  (/lib/libevent-2.1.so.7+0x214a1)\n"
	    "    #2 0x55aa7b2b1169  in io_dispatch ioev.c:0:0 (/usr/x)\n"
	    "    #3 0x55aa7b2b1170  in main smtpd.c:0:0 (/usr/x)\n"
	    "freed by thread T0 here:\n"
	    "    #0 0x55aa7b2b1171  in mta_free mta.c:0:0 (/usr/x)\n",
	    "crash: AddressSanitizer: heap-use-after-free: mta_io < "
	    "io_dispatch");
}

static void
exits(void **state)
{
	(void)state;
	same("crash", "the daemon has exited with status 1, its last words:\n"
	    "  8f3a90b1c2d3e4f5 smtp connected address=127.0.0.1\n"
	    "  queue: exiting: Connection reset by peer\n"
	    "  lookup: msg too short 17\n"
	    "  smtpd: process lka socket closed",
	    "crash: lookup: msg too short #");
	same("crash", "the daemon has exited with status 1, its last words:\n"
	    "  warn: control -> client: imsgbuf_read: Numerical result\n"
	    "  control: exiting: Numerical result out of range",
	    "crash: control: exiting: Numerical result out of range");
	same("crash", "the daemon has exited with status 1",
	    "crash: the daemon has exited with status #");
}

static void
words(void **state)
{
	(void)state;
	same("accounting", "message 12 of face0123beef is lost, a bad dad",
	    "accounting: message # of # is lost, a bad dad");
	same("", "250 what the scenario itself expects", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stacks),
		cmocka_unit_test(exits),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
