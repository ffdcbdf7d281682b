/*
 * What smtpd reports to its filters: events as its sessions tell them, through
 * report_smtp.c, a message to lka, lka.c and lka_filter.c, to the line that the
 * filter reads, which must be the one smtpd-filters(7) describes: one line, the
 * fields of the event, and a '|' at most in the last.
 *
 * Each line of the input is an event: a letter of events[] below, a digit for
 * what varies, then up to two texts with a TAB between.  Texts are what they can
 * be in the daemon: no line ends; a host name is one.
 *
 * fuzz-without: lka.c
 * fuzz-about: report_smtp.c:report_smtp_link_connect,report_smtp_link_greeting
 * fuzz-about: report_smtp.c:report_smtp_link_identify,report_smtp_link_tls
 * fuzz-about: report_smtp.c:report_smtp_link_disconnect,report_smtp_link_auth
 * fuzz-about: report_smtp.c:report_smtp_tx_reset,report_smtp_tx_begin
 * fuzz-about: report_smtp.c:report_smtp_tx_mail,report_smtp_tx_rcpt
 * fuzz-about: report_smtp.c:report_smtp_tx_envelope,report_smtp_tx_data
 * fuzz-about: report_smtp.c:report_smtp_tx_commit,report_smtp_tx_rollback
 * fuzz-about: report_smtp.c:report_smtp_protocol_client
 * fuzz-about: report_smtp.c:report_smtp_protocol_server
 * fuzz-about: report_smtp.c:report_smtp_filter_response,report_smtp_timeout
 * fuzz-about: lka_filter.c:lka_report_smtp_link_connect
 * fuzz-about: lka_filter.c:lka_report_smtp_link_auth
 * fuzz-about: lka_filter.c:lka_report_smtp_filter_response
 * fuzz-about: lka_filter.c:lka_report_smtp_tx_mail,lka_report_smtp_tx_rcpt
 * fuzz-about: lka_filter.c:lka_report_smtp_tx_data,report_smtp_broadcast
 */
#include "includes.h"

#include <sys/socket.h>

#include <netinet/in.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <event.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "lka.c"

#include "warm.h"

#if FUZZ_VERSION < 700
#define VERSION	"0.6"
#else
#define VERSION	"0.7"
#endif
#define IDLE	3	/* rounds in which nothing may happen before all is done */
#define EVENTS	32	/* of an input */

struct event_in {
	int		 vary;
	char		*a, *b;		/* texts; "" if they are not given */
};

static struct smtpd	 conf;
static struct dict	 filters;
static struct mproc	 to_lka, lka_end;
static int		 filter = -1, has_user;
static uint64_t		 reqid;
static char		 want[16384];
static const char	*dir;		/* smtp-in or smtp-out */

static const char *const results[] = { "tempfail", "permfail", "ok" };

/* --- what the filter is to read ------------------------------------------------------ */

static void expect(const char *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static void
expect(const char *event, const char *fmt, ...)
{
	va_list ap;
	int n;

	n = snprintf(want, sizeof(want), "|%s|%s|%016" PRIx64 "%s", dir, event,
	    reqid, *fmt == '\0' ? "" : "|");
	va_start(ap, fmt);
	vsnprintf(want + n, sizeof(want) - n, fmt, ap);
	va_end(ap);
	strlcat(want, "\n", sizeof(want));
}

/* --- the events ----------------------------------------------------------------------- */

static void
address(int how, struct sockaddr_storage *ss, char *text, size_t len)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (how % 3 == 0) {
		sin->sin_family = AF_INET;
		sin->sin_addr.s_addr = htonl(0xc0000200 + how);
		sin->sin_port = htons(1000 + how);
		snprintf(text, len, "192.0.2.%d:%d", how, 1000 + how);
	} else if (how % 3 == 1) {
		sin6->sin6_family = AF_INET6;
		inet_pton(AF_INET6, "2001:db8::1", &sin6->sin6_addr);
		sin6->sin6_port = htons(how);
		snprintf(text, len, "[2001:db8::1]:%d", how);
	} else {
		ss->ss_family = AF_LOCAL;
		snprintf(text, len, "unix:%s", SMTPD_SOCKET);
	}
}

/* What the resolver lets through, or what smtpd puts for nothing. */
static const char *
host_name(char *s)
{
	char *p;

	for (p = s; *p != '\0'; p++)
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789.-_", *p) ==
		    NULL)
			*p = '-';
	return (*s == '\0' ? "<unknown>" : s);
}

static void
on_connect(struct event_in *e)
{
	static const char *const fcrdns[] = { "error", "fail", "pass" };
	struct sockaddr_storage src, dest;
	char srctext[256], desttext[256];
	const char *rdns = host_name(e->a);

	/* a session begins, and the filter has to know it */
	lka_filter_end(reqid);
	lka_filter_begin(++reqid, "f");
	has_user = 0;
	address(e->vary, &src, srctext, sizeof(srctext));
	address(e->vary % 3 == 2 ? 2 : e->vary / 3 % 2, &dest, desttext,
	    sizeof(desttext));
	report_smtp_link_connect(dir, reqid, rdns, e->vary % 3 - 1, &src,
	    &dest);
	expect("link-connect", "%s|%s|%s|%s", rdns, fcrdns[e->vary % 3],
	    srctext, desttext);
}

static void
on_greeting(struct event_in *e)
{
	report_smtp_link_greeting(dir, reqid, e->a);
	expect("link-greeting", "%s", e->a);
}

static void
on_identify(struct event_in *e)
{
	const char *how = e->vary % 2 ? "EHLO" : "HELO";

	report_smtp_link_identify(dir, reqid, how, e->a);
	expect("link-identify", "%s|%s", how, e->a);
}

static void
on_tls(struct event_in *e)
{
	report_smtp_link_tls(dir, reqid, e->a);
	expect("link-tls", "%s", e->a);
}

static void
on_disconnect(struct event_in *e)
{
	report_smtp_link_disconnect(dir, reqid);
	expect("link-disconnect", "%s", "");
	want[strlen(want) - 2] = '\n';
	want[strlen(want) - 1] = '\0';
}

static void
on_auth(struct event_in *e)
{
	static const char *const all[] = { "error", "fail", "pass" };
	const char *result = all[e->vary % 3];

	/* once */
	if (e->vary % 3 == 2 && has_user++)
		return;
	report_smtp_link_auth(dir, reqid, e->a, result);
#if FUZZ_VERSION < 700
	expect("link-auth", "%s|%s", e->a, result);
#else
	expect("link-auth", "%s|%s", result, e->a);
#endif
}

#define MSGID	0x0000beefu

static void
on_reset(struct event_in *e)
{
	report_smtp_tx_reset(dir, reqid, MSGID);
	expect("tx-reset", "%08x", MSGID);
}

static void
on_begin(struct event_in *e)
{
	report_smtp_tx_begin(dir, reqid, MSGID);
	expect("tx-begin", "%08x", MSGID);
}

static void
on_mail(struct event_in *e)
{
	report_smtp_tx_mail(dir, reqid, MSGID, e->a, e->vary % 3 - 1);
	expect("tx-mail", "%08x|%s|%s", MSGID, results[e->vary % 3], e->a);
}

static void
on_rcpt(struct event_in *e)
{
	report_smtp_tx_rcpt(dir, reqid, MSGID, e->a, e->vary % 3 - 1);
	expect("tx-rcpt", "%08x|%s|%s", MSGID, results[e->vary % 3], e->a);
}

static void
on_envelope(struct event_in *e)
{
	uint64_t evpid = (uint64_t)MSGID << 32 | e->vary;

	report_smtp_tx_envelope(dir, reqid, MSGID, evpid);
	expect("tx-envelope", "%08x|%016" PRIx64, MSGID, evpid);
}

static void
on_data(struct event_in *e)
{
	report_smtp_tx_data(dir, reqid, MSGID, e->vary % 3 - 1);
	expect("tx-data", "%08x|%s", MSGID, results[e->vary % 3]);
}

static void
on_commit(struct event_in *e)
{
	size_t size = (size_t)e->vary << (e->vary * 5);

	report_smtp_tx_commit(dir, reqid, MSGID, size);
	expect("tx-commit", "%08x|%zu", MSGID, size);
}

static void
on_rollback(struct event_in *e)
{
	report_smtp_tx_rollback(dir, reqid, MSGID);
	expect("tx-rollback", "%08x", MSGID);
}

static void
on_client(struct event_in *e)
{
	report_smtp_protocol_client(dir, reqid, e->a);
	expect("protocol-client", "%s", e->a);
}

static void
on_server(struct event_in *e)
{
	report_smtp_protocol_server(dir, reqid, e->a);
	expect("protocol-server", "%s", e->a);
}

static void
on_response(struct event_in *e)
{
	static const struct {
		int		 n;
		const char	*name;
	} phases[] = {
		{ FILTER_CONNECT, "connected" }, { FILTER_HELO, "helo" },
		{ FILTER_EHLO, "ehlo" }, { FILTER_STARTTLS, "tls" },
		{ FILTER_AUTH, "auth" }, { FILTER_MAIL_FROM, "mail-from" },
		{ FILTER_RCPT_TO, "rcpt-to" }, { FILTER_DATA, "data" },
		{ FILTER_RSET, "rset" }, { FILTER_QUIT, "quit" },
		{ FILTER_NOOP, "noop" }, { FILTER_COMMIT, "commit" },
	}, responses[] = {
		{ FILTER_REJECT, "reject" }, { FILTER_DISCONNECT, "disconnect" },
		{ FILTER_REWRITE, "rewrite" }, { FILTER_PROCEED, "proceed" },
		{ FILTER_JUNK, "junk" },
	};
	size_t p = strlen(e->b) % nitems(phases);
	size_t r = e->vary % nitems(responses);
	const char *param = r < 3 ? e->a : NULL;

	report_smtp_filter_response(dir, reqid, phases[p].n, responses[r].n,
	    param);
	expect("filter-response", "%s|%s%s%s", phases[p].name,
	    responses[r].name, param == NULL ? "" : "|",
	    param == NULL ? "" : param);
}

static void
on_timeout(struct event_in *e)
{
	report_smtp_timeout(dir, reqid);
	expect("timeout", "%s", "");
	want[strlen(want) - 2] = '\n';
	want[strlen(want) - 1] = '\0';
}

static const struct {
	char		 letter;
	void		(*happen)(struct event_in *);
} events[] = {
	{ 'c', on_connect },	{ 'g', on_greeting },	{ 'i', on_identify },
	{ 't', on_tls },	{ 'D', on_disconnect },	{ 'a', on_auth },
	{ 'R', on_reset },	{ 'b', on_begin },	{ 'm', on_mail },
	{ 'r', on_rcpt },	{ 'e', on_envelope },	{ 'd', on_data },
	{ 'C', on_commit },	{ 'o', on_rollback },	{ '>', on_client },
	{ '<', on_server },	{ 'f', on_response },	{ 'T', on_timeout },
};

/* --- running them ----------------------------------------------------------------------- */

/* All that the filter has to read by now. */
static size_t
heard(char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int idle;

	for (idle = 0; idle < IDLE; idle++) {
		event_loop(EVLOOP_NONBLOCK);
		while ((n = read(filter, buf + len, size - len - 1)) > 0) {
			len += n;
			idle = -1;
		}
	}
	buf[len] = '\0';
	return (len);
}

static void
check_line(void)
{
	static const char head[] = "report|" VERSION "|";
	char got[sizeof(want) * 2];
	const char *p = got + sizeof(head) - 1;
	size_t n;

	if (heard(got, sizeof(got)) != strlen(got))
		fuzz_fail("a NUL in %s", got);
	if (strncmp(got, head, sizeof(head) - 1) != 0)
		fuzz_fail("no report: %s", got);
	n = strspn(p, "0123456789");
	if (n == 0 || p[n] != '.' || strspn(p + n + 1, "0123456789") != 6)
		fuzz_fail("no time: %s", got);
	if (strcmp(p + n + 7, want) != 0)
		fuzz_fail("%sand not ...%s", got, want);
}

static void
run_event(char *line)
{
	struct event_in e = { .a = line, .b = line };
	size_t i;

	for (i = 0; i < nitems(events) && events[i].letter != *line; i++)
		;
	if (i == nitems(events) || line[1] == '\0')
		return;
	e.vary = (unsigned char)line[1] % 10;
	dir = line[1] >= 'A' ? "smtp-out" : "smtp-in";
	e.a = line + 2;
	e.b = strchr(e.a, '\t');
	if (e.b == NULL)
		e.b = e.a + strlen(e.a);
	else
		*e.b++ = '\0';
	want[0] = '\0';
	events[i].happen(&e);
	if (want[0] != '\0')
		check_line();
}

static void
peer(struct mproc *p, struct mproc *other)
{
	static char name[] = "peer";
	int sp[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sp) == -1)
		err(1, "socketpair");
	p->name = other->name = name;
	mproc_init(p, sp[0]);
	mproc_init(other, sp[1]);
	mproc_enable(p);
	mproc_enable(other);
	warm_mproc(p);
	warm_mproc(other);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char hello[] = "register|report|smtp-in|*\n"
	    "register|report|smtp-out|*\nregister|ready\n";
	static struct filter_config fc;
	static char name[] = "f", config[4096];
	int sp[2], errsp[2];

	env = &conf;
	strlcpy(conf.sc_hostname, "mx.example.org", sizeof(conf.sc_hostname));
	dict_init(&filters);
	conf.sc_filters_dict = &filters;
	fc.filter_type = FILTER_TYPE_PROC;
	fc.name = fc.proc = name;
	dict_xset(&filters, "f", &fc);
	event_init();
	lka_end.handler = lka_imsg;
	p_lka = &to_lka;
	peer(&to_lka, &lka_end);
	lka_report_init();
	lka_filter_init();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sp) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, errsp) == -1)
		err(1, "socketpair");
	lka_proc_forked("f", FILTER_SUBSYSTEM_SMTP_IN |
	    FILTER_SUBSYSTEM_SMTP_OUT, sp[0]);
	lka_proc_errfd("f", errsp[0]);
	filter = sp[1];
	if (write(filter, hello, sizeof(hello) - 1) != sizeof(hello) - 1)
		err(1, "write");
	heard(config, sizeof(config));
	if (strstr(config, "config|ready\n") == NULL)
		errx(1, "the filter was told: %s", config);
	fuzz_warm_up("");
	return (0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[LINE_MAX];
	struct fuzz_in in;
	int n;

	fuzz_in(&in, data, size);
	reqid = 0x1000;
	has_user = 0;
	lka_filter_begin(reqid, "f");
	for (n = 0; n < EVENTS && fuzz_line(&in, line, sizeof(line)); n++)
		run_event(line);
	lka_filter_end(reqid);
	return (0);
}
