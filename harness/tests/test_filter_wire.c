/* What filters are told against what clients saw, and what smtpd.conf says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "filter_conf.h"
#include "filter_judge.h"
#include "filter_line.h"
#include "filter_run.h"
#include "run.h"

static struct run	run;
static struct session	session;
static struct channel	channel;
static int		port;
static char		heard[512];

static void
on_difference(void *arg, const char *filter, const char *id,
    const char *demand, const char *got)
{
	(void)arg;
	(void)demand;
	snprintf(heard + strlen(heard), sizeof(heard) - strlen(heard),
	    "%s %s %s\n", filter, id, got);
}

/* A client with an address of its own. */
static void
begin(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);

	memset(&session, 0, sizeof(session));
	memset(&channel, 0, sizeof(channel));
	heard[0] = '\0';
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	channel.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(channel.fd, (struct sockaddr *)&sin, len), 0);
	getsockname(channel.fd, (struct sockaddr *)&sin, &len);
	port = ntohs(sin.sin_port);
	run.wires = wires_new();
	session.run = &run;
	session.ch = &channel;
	snprintf(session.label, sizeof(session.label), "c");
}

static void
told(const char *fmt, const char *kind, const char *point, const char *rest)
{
	struct filter_line fl = { 0 };
	char *line = xasprintf(fmt, kind, point, rest);

	assert_int_equal(filter_line_parse(&fl, 'D', line, strlen(line), 7),
	    0);
	wires_line(run.wires, "f", &fl);
	filter_line_free(&fl);
	free(line);
}

static void
report(const char *event, const char *rest)
{
	told("%s|0.7|1.000000|smtp-in|%s|00000000000000a1|%s", "report", event,
	    rest);
}

static void
data_line(const char *line)
{
	told("%s|0.7|1.000000|smtp-in|%s|00000000000000a1|00000000000000c8|%s",
	    "filter", "data-line", line);
}

/* A session as it should be, but for what is given. */
static const char *
differ(const char *reply, const char *command, const char *text, int tls)
{
	char *connect;

	begin();
	wire_heard(&session, "220 hello");
	wire_said(&session, "AUTH PLAIN AGEAYg==", 19);
	wire_heard(&session, "235 fine");
	wire_said(&session, "NOOP", 4);
	wire_heard(&session, "250-one\n250 two");
	wire_accepted(&session, "a\r\n..b\r\n", 8);

	connect = xasprintf("x|pass|127.0.0.1:%d|127.0.0.1:25", port);
	report("link-connect", connect);
	free(connect);
	report("protocol-server", "220 hello");
	if (tls)
		report("link-tls", "TLSv1.3");
	report("protocol-client", "AUTH PLAIN ********");
	report("protocol-server", "235 fine");
	report("protocol-client", command);
	report("protocol-server", "250-one");
	report("protocol-server", reply);
	data_line("Received: x");
	data_line("\tby y");
	data_line("a");
	data_line(text);
	data_line(".");
	report("tx-commit", "0000beef|10");
	/* what the client was gone for */
	report("protocol-server", "221 bye");
	wires_judge(run.wires, on_difference, NULL);
	wires_free(run.wires);
	close(channel.fd);
	return heard;
}

static void
test_differences(void **state)
{
	(void)state;
	assert_string_equal(differ("250 two", "NOOP", "..b", 0), "");
	assert_string_equal(differ("250 too", "NOOP", "..b", 0),
	    "f wire c: \"250 two\" was not reported\n");
	assert_string_equal(differ("250 two", "RSET", "..b", 0),
	    "f wire c: it never said \"RSET\"\n");
	assert_string_equal(differ("250 two", "NOOP", ".b", 0),
	    "f S33 c: a message is told otherwise than it was said\n");
	assert_string_equal(differ("250 two", "NOOP", "..b", 1),
	    "f wire c: link-tls, and no TLS\n");
}

static const char conf[] =
    "filter \"one\" proc-exec \"/bin/one -x \\\"y z\\\"\" user nobody\n"
    "# filter \"no\" proc-exec \"no\"\n"
    "proc p \"/bin/two\"\n"
    "filter two proc p\n"
    "filter three phase connect match rdns disconnect \"550 no\"\n"
    "filter four proc-exec \"four\" \\\n    chroot \"/var/empty\"\n"
    "filter all chain { one, two,\n    three }\n"
    "listen on lo port 25 filter all\n"
    "action \"out\" relay filter \"four\"\n"
    "listen on socket filter { \"four\" }\n";

static void
test_conf(void **state)
{
	struct filter_conf *c = filter_conf_parse(conf);
	const struct conf_proc *p;

	(void)state;
	p = filter_conf_find(c, "one");
	assert_string_equal(p->command, "/bin/one -x \"y z\"");
	assert_memory_equal(conf + p->off, "\"/bin/one -x \\\"y z\\\"\"", p->len);
	assert_int_equal(p->subsystems, 1);
	assert_int_equal(p->entries, 1);
	assert_int_equal(p->others, OTHERS_AFTER);
	assert_null(p->before);
	p = filter_conf_find(c, "p");
	assert_string_equal(p->command, "/bin/two");
	assert_int_equal(p->others, OTHERS_BEFORE | OTHERS_AFTER);
	assert_string_equal(p->before, "one");
	p = filter_conf_find(c, "four");
	assert_int_equal(p->subsystems, 3);
	assert_int_equal(p->entries, 2);
	assert_string_equal(p->chroot, "/var/empty");
	assert_int_equal(p->others, 0);
	assert_null(filter_conf_find(c, "no"));
	assert_null(filter_conf_proc(c, 3));
	filter_conf_free(c);
}

/* Macros, and where the filters listen. */
static const char conf_macros[] =
    "cmd = \"\\\"/bin/one -v\\\"\"\n"
    "both = \"one two\"\n"
    "whole=\"proc-exec /bin/three\"\n"
    "filter one proc-exec $cmd\n"
    "filter two proc-exec \"two\"\n"
    "filter three $whole\n"
    "listen on 127.0.0.1 filter { $both }\n"
    "listen on ::1 port 587 tls filter one\n"
    "listen on lo smtps pki x filter two\n"
    "listen on socket filter two\n";

static void
test_conf_macros(void **state)
{
	struct filter_conf *c = filter_conf_parse(conf_macros);
	const struct conf_proc *p = filter_conf_find(c, "one");

	(void)state;
	assert_string_equal(p->command, "/bin/one -v");
	assert_memory_equal(conf_macros + p->off, "$cmd\n", p->len + 1);
	assert_int_equal(p->nlisteners, 2);
	assert_string_equal(p->listener[0], "127.0.0.1:25");
	assert_string_equal(p->listener[1], "[::1]:587");
	p = filter_conf_find(c, "two");
	assert_int_equal(p->nlisteners, 3);
	assert_string_equal(p->listener[1], "*:465");
	assert_string_equal(p->listener[2], "unix:");
	p = filter_conf_find(c, "three");
	assert_string_equal(p->command, "/bin/three");
	assert_int_equal(p->len, 0);
	assert_int_equal(p->nlisteners, 0);
	assert_int_equal(filter_conf_includes(c), 0);
	filter_conf_free(c);
	c = filter_conf_parse("include \"x\"\n");
	assert_int_equal(filter_conf_includes(c), 1);
	filter_conf_free(c);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_differences),
		cmocka_unit_test(test_conf),
		cmocka_unit_test(test_conf_macros),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("filter_wire", tests, NULL, NULL);
}
