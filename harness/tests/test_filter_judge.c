/*
 * The judge of filters: silent on good logs of each version, and for each
 * invariant one that is broken raises its id and no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter_judge.h"
#include "filter_line.h"
#include "util.h"

#define MAX_LINES	256
#define MAX_OPS		6

/*
 * R (9: of version 0.9) and Q begin a report and a request of smtp-in, O a report of smtp-out, A an
 * answer; @xx is an id; AUTH(x) a result and a user in the order of the version.
 */
static const char *const good[] = {
	"D config|smtpd-version|VERSION",
	"D config|protocol|0.7",
	"D config|smtp-session-timeout|300",
	"D config|subsystem|smtp-in",
	"D config|subsystem|smtp-out",
	"D config|admd|mx.example.org",
	"D config|ready",
	"F register|report|smtp-in|*",
	"F register|report|smtp-out|*",
	"F register|filter|smtp-in|connect",
	"F register|filter|smtp-in|helo",
	"F register|filter|smtp-in|ehlo",
	"F register|filter|smtp-in|starttls",
	"F register|filter|smtp-in|auth",
	"F register|filter|smtp-in|mail-from",
	"F register|filter|smtp-in|rcpt-to",
	"F register|filter|smtp-in|data",
	"F register|filter|smtp-in|data-line",
	"F register|filter|smtp-in|rset",
	"F register|filter|smtp-in|quit",
	"F register|filter|smtp-in|noop",
	"F register|filter|smtp-in|commit",
	"F register|ready",

	"D R link-connect|@a1|c.example|pass|127.0.0.1:999|127.0.0.1:25",
	"D Q connect|@a1|@c0|c.example|127.0.0.1",
	"F A @a1|@c0|proceed",
	"D R filter-response|@a1|connected|proceed",
	"D R protocol-server|@a1|220 mx.example.org ESMTP OpenSMTPD",
	"D R link-greeting|@a1|mx.example.org",
	"D R protocol-client|@a1|EHLO c.example",
	"D Q ehlo|@a1|@c2|c.example",
	"F A @a1|@c2|proceed",
	"D R filter-response|@a1|ehlo|proceed",
	"D R link-identify|@a1|EHLO|c.example",
	"D R protocol-server|@a1|250-mx.example.org Hello c.example",
	"D R protocol-server|@a1|250 HELP",
	"D R protocol-client|@a1|STARTTLS",
	"D Q starttls|@a1|@c3|",
	"F A @a1|@c3|proceed",
	"D R filter-response|@a1|tls|proceed",
	"D R protocol-server|@a1|220 2.0.0 Ready to start TLS",
	"D R link-tls|@a1|TLSv1.3:TLS_AES_256_GCM_SHA384:256",
	"D R protocol-client|@a1|EHLO tls.example",
	"D Q ehlo|@a1|@c2|tls.example",
	"F A @a1|@c2|proceed",
	"D R filter-response|@a1|ehlo|proceed",
	"D R link-identify|@a1|EHLO|tls.example",
	"D R protocol-server|@a1|250-mx.example.org Hello tls.example",
	"D R protocol-server|@a1|250 HELP",
	"D R protocol-client|@a1|AUTH PLAIN ********",
	"D Q auth|@a1|@c4|PLAIN AGFsaWNlAHNlY3JldA==",
	"F A @a1|@c4|proceed",
	"D R filter-response|@a1|auth|proceed",
	"D R link-auth|@a1|AUTH(pass)",
	"D R protocol-server|@a1|235 2.0.0 Authentication succeeded",
	"D R protocol-client|@a1|NOOP",
	"D Q noop|@a1|@cb|",
	"F A @a1|@cb|proceed",
	"D R filter-response|@a1|noop|proceed",
	"D R protocol-server|@a1|250 2.0.0 Ok",

	/* a message with a recipient and one refused */
	"D R protocol-client|@a1|MAIL FROM:<s@example.org> SIZE=100",
	"D Q mail-from|@a1|@c5|s@example.org",
	"F A @a1|@c5|proceed",
	"D R filter-response|@a1|mail-from|proceed",
	"D R protocol-server|@a1|250 2.0.0 Ok",
	"D R tx-begin|@a1|0000beef",
	"D R tx-mail|@a1|0000beef|ok|s@example.org",
	"D R protocol-client|@a1|RCPT TO:<r@example.org>",
	"D Q rcpt-to|@a1|@c6|r@example.org",
	"F A @a1|@c6|proceed",
	"D R filter-response|@a1|rcpt-to|proceed",
	"D R tx-envelope|@a1|0000beef|0000beef00000001",
	"D R protocol-server|@a1|250 2.1.5 Destination address valid",
	"D R tx-rcpt|@a1|0000beef|ok|r@example.org",
	"D R protocol-client|@a1|RCPT TO:<bad@example.org>",
	"D Q rcpt-to|@a1|@c6|bad@example.org",
	"F A @a1|@c6|proceed",
	"D R filter-response|@a1|rcpt-to|proceed",
	"D R protocol-server|@a1|550 Invalid recipient: <bad@example.org>",
	"D R tx-rcpt|@a1|0000beef|permfail|bad@example.org",
	"D R protocol-client|@a1|DATA",
	"D Q data|@a1|@c7|",
	"F A @a1|@c7|proceed",
	"D R filter-response|@a1|data|proceed",
	"D R protocol-server|@a1|354 Enter mail",
	"D R tx-data|@a1|0000beef|ok",
	"D Q data-line|@a1|@c8|Received: from c.example",
	"D Q data-line|@a1|@c8|\tby mx.example.org",
	"D Q data-line|@a1|@c8|Subject: one",
	"F L @a1|@c8|Received: from c.example",
	"F L @a1|@c8|\tby mx.example.org",
	"D Q data-line|@a1|@c8|",
	"D Q data-line|@a1|@c8|the body",
	"F L @a1|@c8|Subject: one",
	"F L @a1|@c8|",
	"D Q data-line|@a1|@c8|..dotted",
	"D Q data-line|@a1|@c8|.",
	"F L @a1|@c8|the body",
	"F L @a1|@c8|..dotted",
	"F L @a1|@c8|.",
	"D R protocol-client|@a1|.",
	"D Q commit|@a1|@cd|",
	"F A @a1|@cd|proceed",
	"D R filter-response|@a1|commit|proceed",
	"D R protocol-server|@a1|250 2.0.0 0000beef Message accepted",
	"D R tx-commit|@a1|0000beef|120",
	"D R tx-reset|@a1|0000beef",

	/* a transaction that is reset */
	"D R protocol-client|@a1|MAIL FROM:<s2@example.org>",
	"D Q mail-from|@a1|@c5|s2@example.org",
	"F A @a1|@c5|rewrite|<other@example.org>",
	"D R filter-response|@a1|mail-from|rewrite|<other@example.org>",
	"D R protocol-server|@a1|250 2.0.0 Ok",
	"D R tx-begin|@a1|0000beee",
	"D R tx-mail|@a1|0000beee|ok|s2@example.org",
	"D R protocol-client|@a1|RSET",
	"D Q rset|@a1|@c9|",
	"F A @a1|@c9|proceed",
	"D R filter-response|@a1|rset|proceed",
	"D R protocol-server|@a1|250 2.0.0 Reset state",
	"D R tx-rollback|@a1|0000beee",
	"D R tx-reset|@a1|0000beee",

	/* a message that is refused */
	"D R protocol-client|@a1|MAIL FROM:<s3@example.org>",
	"D Q mail-from|@a1|@c5|s3@example.org",
	"F A @a1|@c5|proceed",
	"D R filter-response|@a1|mail-from|proceed",
	"D R protocol-server|@a1|250 2.0.0 Ok",
	"D R tx-begin|@a1|0000beed",
	"D R tx-mail|@a1|0000beed|ok|s3@example.org",
	"D R protocol-client|@a1|RCPT TO:<r3@example.org>",
	"D Q rcpt-to|@a1|@c6|r3@example.org",
	"F A @a1|@c6|proceed",
	"D R filter-response|@a1|rcpt-to|proceed",
	"D R tx-envelope|@a1|0000beed|0000beed00000001",
	"D R protocol-server|@a1|250 2.1.5 Destination address valid",
	"D R tx-rcpt|@a1|0000beed|ok|r3@example.org",
	"D R protocol-client|@a1|DATA",
	"D Q data|@a1|@c7|",
	"F A @a1|@c7|proceed",
	"D R filter-response|@a1|data|proceed",
	"D R protocol-server|@a1|354 Enter mail",
	"D R tx-data|@a1|0000beed|ok",
	"D Q data-line|@a1|@c8|Received: from refused.example",
	"D Q data-line|@a1|@c8|.",
	"F L @a1|@c8|Received: from refused.example",
	"F L @a1|@c8|.",
	"D R protocol-client|@a1|.",
	"D Q commit|@a1|@cd|",
	"F A @a1|@cd|reject|550 no",
	"D R filter-response|@a1|commit|reject|550 no",
	"D R protocol-server|@a1|550 no",
	"D R tx-data|@a1|0000beed|permfail",
	"D R tx-rollback|@a1|0000beed",
	"D R tx-reset|@a1|0000beed",
	"D R protocol-client|@a1|QUIT",
	"D Q quit|@a1|@ca|",
	"F A @a1|@ca|proceed",
	"D R filter-response|@a1|quit|proceed",
	"D R protocol-server|@a1|221 2.0.0 Bye",
	"D R link-disconnect|@a1",

	/* one that is junk, is refused its name, and falls silent */
	"D R link-connect|@a2|<unknown>|fail|[::1]:999|[::1]:25",
	"D Q connect|@a2|@c0|<unknown>|::1",
	"F A @a2|@c0|junk",
	"D R filter-response|@a2|connected|junk",
	"D R protocol-server|@a2|220 mx.example.org ESMTP OpenSMTPD",
	"D R link-greeting|@a2|mx.example.org",
	"D R protocol-client|@a2|HELO bad.example",
	"D Q helo|@a2|@c1|bad.example",
	"F A @a2|@c1|reject|550 not you",
	"D R filter-response|@a2|helo|reject|550 not you",
	"D R protocol-server|@a2|550 not you",
	"D R timeout|@a2",
	"D R link-disconnect|@a2",

	"D O link-connect|@a3|mx1.example|pass|127.0.0.1:999|127.0.0.2:25",
	"D O link-disconnect|@a3",
};

struct op {
	char		 what;	/* d(elete) r(eplace) i(nsert after) e(nd here) */
	const char	*at;	/* the first line with this in it */
	const char	*text;
};

/* What is done to the good log, and what is to come of it. */
struct broken {
	const char	*id, *version;
	struct op	 ops[MAX_OPS];
	unsigned	 facts;		/* FACT_* */
};

#define FACT_OWED	0x1		/* an answer is due in a second */
#define FACT_CHILD	0x2
#define FACT_NO_EOF	0x4		/* the daemon does not end */
#define FACT_KILLED	0x8		/* the filter ends by a signal */
#define FACT_EARLY	0x10		/* the filter exits before the daemon */
#define FACT_STUCK	0x20		/* a filter that does not exit */
#define FACT_ADDS	0x40		/* it may add to the header */
#define FACT_STATUS	0x80		/* the filter exits with a status */

struct log {
	char		*line[MAX_LINES];
	size_t		 n;
};

struct heard {
	char		 ids[256];
	struct buf	 all;
};

static uint64_t clock_us;

/* R, Q, O, A, L at the beginning, and ids. */
static char *
expand(const char *line, const char *version)
{
	int old = strcmp(version, "6.8.0p2") == 0;
	struct buf b = { 0 };
	const char *p = line + 2;

	buf_add(&b, line, 2);
	if (*p != '\0' && strchr("RQO9", *p) != NULL && p[1] == ' ') {
		buf_addf(&b, "%s|0.%d|1700000000.%06llu|smtp-%s|", *p == 'Q' ?
		    "filter" : "report", *p == '9' ? 9 : old ? 6 : 7,
		    (unsigned long long)clock_us++, *p == 'O' ? "out" : "in");
		p += 2;
	} else if (*p != '\0' && strchr("AL", *p) != NULL && p[1] == ' ') {
		buf_addstr(&b, *p == 'A' ? "filter-result|" :
		    "filter-dataline|");
		p += 2;
	}
	for (; *p != '\0'; p++) {
		if (strlen(p) >= 3 && *p == '@' &&
		    strchr("ac", p[1]) != NULL &&
		    strchr("0123456789abcdef", p[2]) != NULL &&
		    (p[3] == '|' || p[3] == '\0')) {
			buf_addf(&b, "00000000000000%.2s", p + 1);
			p += 2;
		} else if (strncmp(p, "AUTH(", 5) == 0) {
			buf_addf(&b, old ? "alice|%.4s" : "%.4s|alice", p + 5);
			p += 9;
		} else if (strcmp(p, "VERSION") == 0) {
			buf_addstr(&b, version);
			break;
		} else
			buf_add(&b, p, 1);
	}
	return b.data;
}

static void
log_insert(struct log *l, size_t at, const char *text)
{
	assert_true(l->n < MAX_LINES && at <= l->n);
	memmove(&l->line[at + 1], &l->line[at],
	    (l->n - at) * sizeof(l->line[0]));
	l->line[at] = xstrdup(text);
	l->n++;
}

static void
log_delete(struct log *l, size_t at)
{
	free(l->line[at]);
	l->n--;
	memmove(&l->line[at], &l->line[at + 1],
	    (l->n - at) * sizeof(l->line[0]));
}

static size_t
log_find(const struct log *l, const char *text)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strstr(l->line[i], text) != NULL)
			return i;
	fail_msg("no line has \"%s\"", text);
	return 0;
}

static void
log_edit(struct log *l, const struct op *op)
{
	size_t at = log_find(l, op->at);

	switch (op->what) {
	case 'd':
		log_delete(l, at);
		break;
	case 'r':
		log_delete(l, at);
		log_insert(l, at, op->text);
		break;
	case 'i':
		log_insert(l, at + 1, op->text);
		break;
	case 'e':
		while (l->n > at + 1)
			log_delete(l, l->n - 1);
		break;
	}
}

static void
on_objection(void *arg, const struct filter_objection *o)
{
	struct heard *h = arg;
	char id[16];

	buf_addf(&h->all, "  %s: %s\n", o->id, o->got);
	snprintf(id, sizeof(id), "%s ", o->id);
	if (strstr(h->ids, id) == NULL)
		strncat(h->ids, id, sizeof(h->ids) - strlen(h->ids) - 1);
}

static struct filter_judge *
judge(const char *version, unsigned flags, struct heard *h)
{
	static const char *const listeners[] = { "127.0.0.1:25", "*:587",
	    "[::1]:25", "unix:" };
	struct filter_facts facts = { .sides = JUDGE_DAEMON | JUDGE_FILTER,
	    .daemon = version, .admd = "mx.example.org", .subsystems = 3,
	    .listeners = listeners, .nlisteners = nitems(listeners),
	    .identity = flags & FACT_ADDS ? IDENTITY_ADDS : IDENTITY_ALL };

	facts.owed = flags & FACT_OWED ? 1000000 : 0;
	facts.child = (flags & FACT_CHILD) != 0;
	memset(h, 0, sizeof(*h));
	return filter_judge_new("f", &facts, on_objection, h);
}

/* "~" at the end of a line: no LF; "%N" instead of one: N bytes. */
static void
judge_text(struct filter_judge *j, uint64_t usec, const char *line)
{
	struct buf b = { 0 };
	size_t len = strlen(line), n;
	int terminated = line[len - 1] != '~';
	const char *p = strchr(line, '%');

	buf_add(&b, line + 2, len - 2 - !terminated);
	if (p != NULL && (n = strtoul(p + 1, NULL, 10)) > 0) {
		b.len = (size_t)(p - line) - 2;
		while (b.len < n)
			buf_add(&b, "x", 1);
	}
	for (n = 0; n < b.len; n++)
		if (b.data[n] == '^')	/* a NUL */
			b.data[n] = '\0';
	filter_judge_line(j, line[0], usec, b.data, b.len, terminated);
	buf_free(&b);
}

static void
judge_log(const char *version, unsigned flags, const struct op *ops,
    struct heard *h)
{
	struct filter_judge *j = judge(version, flags, h);
	struct log l = { .n = 0 };
	uint64_t usec = 0;
	char *text;
	size_t i;

	clock_us = 1;
	for (i = 0; i < nitems(good); i++)
		if (strcmp(version, "6.8.0p2") != 0 ||
		    strstr(good[i], "config|protocol") == NULL)
			log_insert(&l, l.n, good[i]);
	for (i = 0; i < MAX_OPS && ops != NULL && ops[i].what != 0; i++)
		log_edit(&l, &ops[i]);
	for (i = 0; i < l.n; i++) {
		text = expand(l.line[i], version);
		if (strstr(text, "D wait") != NULL)
			filter_judge_time(j, usec += 2000000);
		else
			judge_text(j, usec += 100, text);
		free(text);
		free(l.line[i]);
	}
	if (flags & FACT_EARLY)
		filter_judge_exit(j, usec, 0);
	if (!(flags & FACT_NO_EOF))
		filter_judge_eof(j, 'D', usec);
	if (!(flags & FACT_STUCK))
		filter_judge_eof(j, 'F', usec);
	if (!(flags & (FACT_STUCK | FACT_EARLY)))
		filter_judge_exit(j, usec, flags & FACT_KILLED ? SIGSEGV :
		    flags & FACT_STATUS ? 9 << 8 : 0);
	filter_judge_end(j, usec);
	filter_judge_free(j);
}

static const char *const versions[] = { "6.8.0p2", "7.6.0p1", "7.9.0p0" };

static void
test_good_logs_are_silent(void **state)
{
	struct heard h;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(versions); i++) {
		judge_log(versions[i], FACT_OWED | FACT_CHILD, NULL, &h);
		if (h.ids[0] != '\0')
			fail_msg("%s: %s", versions[i], h.all.data);
		buf_free(&h.all);
	}
}

#define A1_RCPT "rcpt-to|@a1|@c6|r@"

static const struct broken broken[] = {
	{ "S1", NULL, { { 'i', "config|ready", "D config|admd|late" } }, 0 },
	{ "S1", NULL, { { 'd', "config|admd", NULL },
	    { 'i', "config|smtp-session", "D config|admd|mx.example.org" } },
	    0 },
	{ "S1", NULL, { { 'i', "config|ready", "D config|ready" } }, 0 },
	{ "S1", NULL, { { 'r', "config|admd", "D config|admd|other" } }, 0 },
	{ "S2", NULL, { { 'i', "config|ready",
	    "D R link-connect|@a9|x|pass|127.0.0.1:1|127.0.0.1:25" } }, 0 },
	{ "S3", "7.9.0p0", { { 'd', "config|protocol", NULL } }, 0 },
	{ "S3", "6.8.0p2", { { 'i', "config|smtpd-version",
	    "D config|protocol|0.6" } }, 0 },
	{ "S3", "7.6.0p1", { { 'r', "config|protocol",
	    "D config|protocol|0.6" } }, 0 },
	{ "S4", NULL, { { 'd', "config|subsystem|smtp-out", NULL } }, 0 },
	{ "S4", NULL, { { 'i', "config|subsystem|smtp-out",
	    "D config|subsystem|smtp-out" } }, 0 },
	{ "S5", NULL, { { 'i', "link-greeting|@a1",
	    "D 9 filter-report|@a1|proc|f|x" } }, 0 },
	{ "S6", NULL, { { 'i', "link-greeting|@a1",
	    "D R filter-report|a1|proc|f|x" } }, 0 },
	{ "S6", NULL, { { 'r', "tx-envelope|@a1|0000beef",
	    "D R tx-envelope|@a1|0000beef|0000bee000000001" } }, 0 },
	{ "S6", NULL, { { 'r', "link-greeting|@a1",
	    "D R link-greeting|@a1|x" }, { 'i', "link-greeting|@a1",
	    "D R link-identify|@a1|EHLO" } }, 0 },
	{ "S7", NULL, { { 'i', "link-greeting|@a1",
	    "D report|0.7|1700000000.0001|smtp-in|filter-report|"
	    "00000000000000a1|proc|f|x" } }, 0 },
	{ "S8", NULL, { { 'i', "link-greeting|@a1",
	    "D R link-strange|@a1|x" } }, 0 },
	{ "S8", NULL, { { 'd', "register|filter|smtp-in|noop", NULL } }, 0 },
	{ "S8", NULL, { { 'r', "link-connect|@a2",
	    "D R link-connect|@a2|<unknown>|fail|[::1]:999|[::1]:26" } }, 0 },
	{ "S8", NULL, { { 'r', "link-connect|@a1",
	    "D R link-connect|@a1|c.example|pass|127.0.0.1:999|127.0.0.2:25" } },
	    0 },
	{ "S9", NULL, { { 'd', "link-connect|@a2", NULL } }, 0 },
	{ "S10", NULL, { { 'i', "link-disconnect|@a1",
	    "D R filter-report|@a1|proc|f|x" } }, 0 },
	{ "S10", NULL, { { 'i', "link-disconnect|@a1",
	    "D R link-disconnect|@a1" } }, 0 },
	{ "S11", NULL, { { 'i', "link-connect|@a1", "F A @a1|@c0|proceed" },
	    { 'i', "link-connect|@a1",
	    "D Q connect|@a1|@c0|c.example|127.0.0.1" } }, 0 },
	{ "S12", NULL, { { 'd', "link-greeting|@a1", NULL } }, 0 },
	{ "S12", NULL, { { 'i', "link-greeting|@a1",
	    "D R link-greeting|@a1|mx.example.org" } }, 0 },
	{ "S13", NULL, { { 'i', "link-tls|@a1", "D R link-tls|@a1|x" } }, 0 },
	{ "S14", NULL, { { 'd', "filter-response|@a1|noop", NULL } }, 0 },
	{ "S14", NULL, { { 'r', "filter-response|@a1|noop",
	    "D R filter-response|@a1|quit|proceed" } }, 0 },
	{ "S15", NULL, { { 'r', "filter-response|@a1|noop",
	    "D R filter-response|@a1|noop|junk" } }, 0 },
	{ "S15", NULL, { { 'r', "filter-response|@a1|commit|reject",
	    "D R filter-response|@a1|commit|reject|550 yes" } }, 0 },
	{ "S16", NULL, { { 'r', "filter-response|@a1|noop",
	    "D R filter-response|@a1|noop|proceed|x" } }, 0 },
	{ "S17", NULL, { { 'd', "F A @a2|@c1|reject", NULL },
	    { 'e', "D Q helo|@a2|@c1", NULL },
	    { 'i', "D Q helo|@a2", "D R protocol-client|@a2|QUIT" },
	    { 'i', "D R protocol-client|@a2|QUIT", "D R link-disconnect|@a2" } },
	    0 },
	{ "S18", NULL, { { 'r', "D Q connect|@a2",
	    "D Q connect|@a2|@cf|<unknown>|::1" },
	    { 'r', "F A @a2|@c0", "F A @a2|@cf|junk" } }, 0 },
	{ "S19", NULL, { { 'd', "link-identify|@a1|EHLO|tls", NULL },
	    { 'i', "D R protocol-server|@a1|250-mx.example.org Hello tls",
	    "D R link-identify|@a1|EHLO|tls.example" } }, 0 },
	{ "S19", NULL, { { 'r', "link-identify|@a1|EHLO|tls",
	    "D R link-identify|@a1|EHLO|c.example" } }, 0 },
	{ "S20", NULL, { { 'i', "filter-response|@a2|helo",
	    "D R link-identify|@a2|HELO|bad.example" } }, 0 },
	{ "S21", NULL, { { 'd', "link-auth|@a1", NULL } }, 0 },
	{ "S21", NULL, { { 'r', "link-auth|@a1",
	    "D R link-auth|@a1|AUTH(fail)" } }, 0 },
	{ "S22", NULL, { { 'r', "protocol-client|@a1|AUTH",
	    "D R protocol-client|@a1|AUTH PLAIN AGFsaWNlAHNlY3JldA==" } }, 0 },
	{ "S23", NULL, { { 'd', "tx-mail|@a1|0000beee", NULL } }, 0 },
	{ "S23", NULL, { { 'd', "tx-begin|@a1|0000beee", NULL },
	    { 'i', "filter-response|@a1|mail-from|rewrite",
	    "D R tx-begin|@a1|0000beee" } }, 0 },
	{ "S24", NULL, { { 'i', "link-greeting|@a2",
	    "D R tx-mail|@a2|0000beec|permfail|s@example.org" } }, 0 },
	{ "S25", NULL, { { 'i', "tx-mail|@a1|0000beee",
	    "D R tx-begin|@a1|0000beee" } }, 0 },
	{ "S26", NULL, { { 'i', "tx-mail|@a1|0000beee",
	    "D R tx-mail|@a1|0000beee|ok|s2@example.org" } }, 0 },
	{ "S27", NULL, { { 'd', "tx-envelope|@a1|0000beef", NULL } }, 0 },
	{ "S27", NULL, { { 'd', "tx-rcpt|@a1|0000beef|ok", NULL } }, 0 },
	{ "S28", NULL, { { 'd', "tx-rcpt|@a1|0000beef|perm", NULL } }, 0 },
	{ "S28", NULL, { { 'i', "tx-rcpt|@a1|0000beef|perm",
	    "D R protocol-server|@a1|500 Line too long" },
	    { 'i', "500 Line too long",
	    "D R tx-rcpt|@a1|0000beef|permfail|bad@example.org" } }, 0 },
	{ "S29", NULL, { { 'r', "tx-rcpt|@a1|0000beef|ok",
	    "D R tx-rcpt|@a1|0000beee|ok|r@example.org" } }, 0 },
	{ "S30", NULL, { { 'd', "tx-data|@a1|0000beef|ok", NULL },
	    { 'i', "filter-response|@a1|data",
	    "D R tx-data|@a1|0000beef|ok" },
	    { 'i', "354 Enter mail", "D R tx-data|@a1|0000beef|ok" } }, 0 },
	{ "S31", NULL, { { 'd', "D Q data-line|@a1|@c8|Received: from refused",
	    NULL }, { 'd', "F L @a1|@c8|Received: from refused", NULL },
	    { 'i', "tx-data|@a1|0000beed|ok",
	    "D Q data-line|@a1|@c8|Subject: two" },
	    { 'i', "D Q data-line|@a1|@c8|Subject: two",
	    "F L @a1|@c8|Subject: two" } }, 0 },
	{ "S31", NULL, { { 'i', "tx-data|@a1|0000beed|ok",
	    "D Q data-line|@a1|@c8|X-Spam: Yes" },
	    { 'i', "D Q data-line|@a1|@c8|X-Spam",
	    "F L @a1|@c8|X-Spam: Yes" } }, 0 },
	{ "S32", NULL, { { 'i', "link-greeting|@a1",
	    "D report|0.7|1600000000.000001|smtp-in|filter-report|"
	    "00000000000000a1|proc|f|x" } }, 0 },
	{ "S34", NULL, { { 'd', "D Q data-line|@a1|@c8|..", NULL },
	    { 'd', "D Q data-line|@a1|@c8|.", NULL },
	    { 'd', "F L @a1|@c8|..", NULL },
	    { 'd', "F L @a1|@c8|.", NULL } }, 0 },
	{ "S35", NULL, { { 'd', "protocol-client|@a1|.", NULL },
	    { 'i', "F L @a1|@c8|the body", "D R protocol-client|@a1|." } }, 0 },
	{ "S36", NULL, { { 'd', "D Q commit|@a1", NULL },
	    { 'd', "F A @a1|@cd|proceed", NULL } }, 0 },
	{ "S37", NULL, { { 'd', "tx-commit|@a1", NULL },
	    { 'i', "250 2.0.0 0000beef", "D R tx-rollback|@a1|0000beef" } },
	    0 },
	{ "S38", NULL, { { 'd', "tx-data|@a1|0000beed|perm", NULL } }, 0 },
	{ "S40", NULL, { { 'd', "D R tx-reset|@a1|0000beee", NULL } }, 0 },
	{ "S40", NULL, { { 'i', "tx-reset|@a1|0000beef",
	    "D R tx-reset|@a1|0000beef" } }, 0 },
	{ "S41", NULL, { { 'd', "tx-rollback|@a1|0000beee", NULL },
	    { 'd', "tx-reset|@a1|0000beee", NULL },
	    { 'i', "250 2.0.0 Reset", "D R tx-commit|@a1|0000beee|9" },
	    { 'i', "tx-commit|@a1|0000beee", "D R tx-reset|@a1|0000beee" } },
	    0 },
	{ "S42", "7.9.0p0", { { 'r', "protocol-client|@a1|RSET",
	    "D R protocol-client|@a1|EHLO again.example" },
	    { 'r', "D Q rset|@a1", "D Q ehlo|@a1|@c2|again.example" },
	    { 'r', "F A @a1|@c9", "F A @a1|@c2|proceed" },
	    { 'r', "filter-response|@a1|rset",
	    "D R filter-response|@a1|ehlo|proceed" },
	    { 'r', "250 2.0.0 Reset",
	    "D R link-identify|@a1|EHLO|again.example" } }, 0 },
	{ "S42", "7.6.0p1", { { 'i', "250 2.0.0 Ok",
	    "D R protocol-client|@a1|EHLO again.example" },
	    { 'i', "EHLO again", "D Q ehlo|@a1|@c2|again.example" },
	    { 'i', "D Q ehlo|@a1|@c2|again", "F A @a1|@c2|reject|550 no" },
	    { 'i', "F A @a1|@c2|reject",
	    "D R filter-response|@a1|ehlo|reject|550 no" },
	    { 'i', "ehlo|reject|550 no", "D R protocol-server|@a1|550 no" } },
	    0 },
	{ "S43", NULL, { { 'd', "timeout|@a2", NULL },
	    { 'i', "filter-response|@a2|helo", "D R timeout|@a2" } }, 0 },
	{ "S44", NULL, { { 'r', "D Q noop", "D Q noop|@a1|@cb|x" } }, 0 },
	{ "S45", NULL, { { 'r', "D Q " A1_RCPT,
	    "D Q rcpt-to|@a1|@c6|<r@example.org>" } }, 0 },
	{ "S45", NULL, { { 'r', "tx-mail|@a1|0000beee",
	    "D R tx-mail|@a1|0000beee|ok|other@example.org" } }, 0 },
	{ "S46", NULL, { { 'r', "D Q connect|@a2",
	    "D Q connect|@a2|@c0|bar|bar.example|::1" } }, 0 },
	{ "S46", "7.9.0p0", { { 'r', "D R protocol-client|@a1|RCPT TO:<r@",
	    "D R protocol-client|@a1|RCPT TO:<a|r@example.org>" },
	    { 'r', "D Q " A1_RCPT, "D Q rcpt-to|@a1|@c6|a|r@example.org" },
	    { 'r', "tx-rcpt|@a1|0000beef|ok",
	    "D R tx-rcpt|@a1|0000beef|ok|a|r@example.org" } }, 0 },
	{ "S48", NULL, { { 'r', "D O link-connect",
	    "D O link-connect|@a3|x|fail|127.0.0.1:9|127.0.0.2:25" } }, 0 },

	{ "F1", NULL, { { 'i', "F register|filter|smtp-in|commit",
	    "F hello" } }, 0 },
	{ "F2", NULL, { { 'i', "F register|ready", "F register|ready" } }, 0 },
	{ "F2", NULL, { { 'e', "register|filter|smtp-in|commit", NULL } }, 0 },
	{ "F2", NULL, { { 'e', "register|filter|smtp-in|commit", NULL },
	    { 'i', "register|filter|smtp-in|commit", "D wait" } }, FACT_OWED },
	{ "F3", NULL, { { 'i', "F register|filter|smtp-in|commit",
	    "F register|filter|smtp-in|commit" } }, 0 },
	{ "F3", NULL, { { 'i', "F register|filter|smtp-in|commit",
	    "F register|filter|smtp-in|strange" } }, 0 },
	{ "F3", NULL, { { 'i', "F register|filter|smtp-in|commit",
	    "F register|filter|smtp-out|commit" } }, 0 },
	{ "F4", NULL, { { 'r', "F A @a1|@ca", "F A @a1|@ca|reject|550 no\r" },
	    { 'r', "filter-response|@a1|quit",
	    "D R filter-response|@a1|quit|reject|550 no\r" } }, 0 },
	{ "F5", NULL, { { 'e', "D Q connect|@a2", NULL },
	    { 'i', "D Q connect|@a2", "F A @a2|@c0|junk~" } }, 0 },
	{ "F5", NULL, { { 'r', "F A @a1|@ca|proceed",
	    "F A @a1|@ca|reject|550 %66000" },
	    { 'd', "filter-response|@a1|quit", NULL },
	    { 'd', "221 2.0.0", NULL } }, 0 },
	{ "F6", "6.8.0p2", { { 'r', "F A @a1|@ca|proceed",
	    "F A @a1|@ca|reject|550 %2100" },
	    { 'd', "filter-response|@a1|quit", NULL },
	    { 'd', "221 2.0.0", NULL } }, 0 },
	{ "F7", NULL, { { 'i', "link-greeting|@a1", "F hello|x" } }, 0 },
	{ "F8", NULL, { { 'i', "link-greeting|@a1", "F " } }, 0 },
	{ "F9", NULL, { { 'r', "F A @a1|@ca|proceed",
	    "F A @ca|@a1|proceed" }, { 'e', "F A @ca|@a1", NULL },
	    { 'i', "F A @ca|@a1", "D R link-disconnect|@a1" } },
	    FACT_OWED },
	{ "F10", NULL, { { 'i', "F A @a1|@ca|proceed",
	    "F A @a7|@ca|proceed" } }, 0 },
	{ "F10", NULL, { { 'i', "F A @a1|@ca|proceed",
	    "F A a1|ca|proceed" } }, 0 },
	{ "F11", NULL, { { 'i', "F A @a1|@ca|proceed",
	    "F A @a1|@ca|proceed" } }, 0 },
	{ "F12", NULL, { { 'i', "link-connect|@a2",
	    "F A @a2|@c0|proceed" } }, 0 },
	{ "F13", NULL, { { 'i', "F A @a1|@ca|proceed",
	    "F A @a1|@cb|proceed" } }, 0 },
	{ "F14", NULL, { { 'i', "F A @a1|@ca|proceed",
	    "F A @a1|@ca|accept" } }, 0 },
	{ "F15", NULL, { { 'i', "F A @a1|@ca|proceed",
	    "F A @a1|@ca|proceed|x" } }, 0 },
	{ "F16", NULL, { { 'r', "F A @a1|@ca|proceed",
	    "F A @a1|@ca|reject|go away" },
	    { 'r', "filter-response|@a1|quit",
	    "D R filter-response|@a1|quit|disconnect|421 Internal" } }, 0 },
	{ "F17", NULL, { { 'r', "F A @a1|@c5|rewrite",
	    "F A @a1|@c5|rewrite|other@example.org" },
	    { 'r', "filter-response|@a1|mail-from|rewrite",
	    "D R filter-response|@a1|mail-from|rewrite|other@example.org" } },
	    0 },
	{ "F18", NULL, { { 'r', "F A @a1|@cd|proceed",
	    "F A @a1|@cd|junk" }, { 'e', "F A @a1|@cd|junk", NULL } }, 0 },
	{ "F18", NULL, { { 'i', "F L @a1|@c8|the body",
	    "F A @a1|@c8|proceed" } }, 0 },
	{ "F19", NULL, { { 'i', "link-greeting|@a1",
	    "F report|1700000000.000001|smtp-in|@a1|x" } }, 0 },
	{ "F20", NULL, { { 'i', "F L @a1|@c8|.", "F L @a1|@c8|." } }, 0 },
	{ "F21", NULL, { { 'i', "F L @a1|@c8|Subject: one",
	    "F L @a1|@c8|." }, { 'e', "F L @a1|@c8|.", NULL },
	    { 'i', "F L @a1|@c8|.", "D R link-disconnect|@a1" },
	    { 'i', "F L @a1|@c8|.", "D R tx-reset|@a1|0000beef" },
	    { 'i', "F L @a1|@c8|.", "D R tx-rollback|@a1|0000beef" } }, 0 },
	{ "F22", NULL, { { 'r', "F L @a1|@c8|..dotted",
	    "F L @a1|@c8|.dotted" } }, 0 },
	{ "F23", NULL, { { 'r', "F A @a1|@ca",
	    "F A @a1|@ca|reject|550 n^o" },
	    { 'r', "filter-response|@a1|quit",
	    "D R filter-response|@a1|quit|reject|550 n" } }, 0 },
	{ "F24", NULL, { { 'r', "F L @a1|@c8|the body",
	    "F L @a1|@c8|thebody" } }, 0 },
	{ "F24", NULL, { { 'r', "F L @a1|@c8|the body",
	    "F L @a1|@c8|thebody" } }, FACT_ADDS },
	{ "F25", NULL, { { 'i', "F L @a1|@c8|\tby", "F L @a1|@c8|no field" } },
	    FACT_ADDS },
	{ "F26", NULL, { { 'i', "link-greeting|@a2",
	    "D Q data-line|@a2|@c8|X-Spam: Yes" },
	    { 'i', "D Q data-line|@a2|@c8|X", "D Q data-line|@a2|@c8|Received: a" },
	    { 'i', "D Q data-line|@a2|@c8|R", "D R link-connect|@a5|x|pass|"
	    "127.0.0.1:1|127.0.0.1:25" },
	    { 'i', "link-connect|@a5", "D Q data-line|@a5|@c8|Received: b" },
	    { 'i', "D Q data-line|@a5", "F L @a5|@c8|X-Spam: Yes" } }, 0 },
	{ "F27", NULL, { { 'e', "D Q helo|@a2", NULL } }, FACT_STUCK },
	{ "F27", NULL, { { 'i', "D Q helo|@a2", "D wait" } }, FACT_OWED },
	{ "F28", NULL, { { 'e', "D Q helo|@a2", NULL },
	    { 'i', "D Q helo|@a2",
	    "D R link-connect|@a5|x|pass|127.0.0.1:1|127.0.0.1:25" },
	    { 'i', "link-connect|@a5", "D Q connect|@a5|@c0|x|127.0.0.1" },
	    { 'i', "D Q connect|@a5", "D wait" } }, FACT_OWED },
	{ "F29", NULL, { { 'd', "D R timeout", NULL } }, FACT_EARLY },
	{ "F29", NULL, { { 'd', "D R timeout", NULL } }, FACT_KILLED },
	{ "F29", NULL, { { 'd', "D R timeout", NULL } }, FACT_STATUS },
	{ "F29", NULL, { { 'd', "D R timeout", NULL } },
	    FACT_CHILD | FACT_STUCK },
	{ "F30", NULL, { { 'e', "D O link-disconnect", NULL },
	    { 'i', "D O link-disconnect",
	    "D report|0.10|1700000000.000009|smtp-in|timeout|"
	    "00000000000000a7" } }, FACT_EARLY },
	{ "F32", NULL, { { 'i', "link-greeting|@a1", "E %70000" } }, 0 },
	{ "F33", NULL, { { 'i', "D O link-disconnect",
	    "D R timeout|@a1" } }, FACT_EARLY },
	{ "F34", NULL, { { 'i', "D O link-disconnect",
	    "D R link-connect|@a6|x|pass|127.0.0.1:1|127.0.0.1:25" },
	    { 'i', "link-connect|@a6",
	    "D R tx-mail|@a6|0000beef|ok|s@example.org" } }, FACT_EARLY },
};

/* Those whose breaking on purpose breaks others as well, and which. */
static const struct {
	const char	*id, *also;
} also[] = {
	{ "S25", "S23 " },	/* tx-begin where none may be */
	{ "S27", "S28 " },	/* what is missing is missed later, too */
	{ "S27", "S30 " },
	{ "S37", "S40 " },	/* the wrong end of a transaction */
	{ "S41", "S37 " },
	{ "F22", "F24 " },
	{ "F28", "F27 " },	/* both of them wait */
	{ "F30", "S5 " },	/* what only a driver sends */
	{ "F30", "S9 " },
	{ "F33", "S10 " },
	{ "F34", "S26 " },
};

static void
allow(const char *id, char *ids)
{
	size_t i, n;
	char *p;

	for (i = 0; i < nitems(also); i++) {
		n = strlen(also[i].also);
		if (strcmp(also[i].id, id) == 0 &&
		    (p = strstr(ids, also[i].also)) != NULL)
			memmove(p, p + n, strlen(p + n) + 1);
	}
}

static void
test_each_invariant_is_caught(void **state)
{
	struct heard h;
	const struct broken *b;
	char want[16];
	size_t i, v;
	int bad = 0;

	(void)state;
	for (i = 0; i < nitems(broken); i++)
		for (v = 0; v < nitems(versions); v++) {
			b = &broken[i];
			if (b->version == NULL ? strcmp(versions[v],
			    "7.9.0p0") != 0 && v != i % nitems(versions) :
			    strcmp(b->version, versions[v]) != 0)
				continue;
			judge_log(versions[v], b->facts, b->ops, &h);
			snprintf(want, sizeof(want), "%s ", b->id);
			allow(b->id, h.ids);
			if (strcmp(h.ids, want) != 0) {
				print_error("%zu: %s on %s, got \"%s\":\n%s",
				    i, b->id, versions[v], h.ids,
				    h.all.data == NULL ? "" : h.all.data);
				bad++;
			}
			buf_free(&h.all);
		}
	assert_int_equal(bad, 0);
}

/* What no log shows: S39, S47, F31. */
static void
test_what_is_told_besides(void **state)
{
	static const char answer[] = "filter-dataline|00000000000000a1|"
	    "00000000000000c8|Received: x";
	struct heard h, h2;
	struct filter_judge *j = judge("7.9.0p0", 0, &h), *j2;
	char *line;

	(void)state;
	line = expand("D R tx-commit|@a1|0000beef|120", "7.9.0p0");
	filter_judge_line(j, 'D', 1, line + 2, strlen(line) - 2, 1);
	free(line);
	h.ids[0] = '\0';
	filter_judge_stored(j, 1, 0xbeef, 120);
	filter_judge_stored(j, 1, 0xbeee, 7);
	filter_judge_resource(j, 2, "descriptors", 4, 4, 0);
	assert_string_equal(h.ids, "");
	filter_judge_stored(j, 1, 0xbeef, 121);
	assert_string_equal(h.ids, "S39 ");
	filter_judge_resource(j, 2, "descriptors", 4, 5, 0);
	assert_string_equal(h.ids, "S39 F31 ");
	filter_judge_free(j);
	buf_free(&h.all);

	j = judge("7.9.0p0", 0, &h);
	j2 = judge("7.9.0p0", 0, &h2);
	filter_judge_after(j2, j);
	line = expand("D Q data-line|@a1|@c8|Received: x", "7.9.0p0");
	filter_judge_line(j, 'D', 1, line + 2, strlen(line) - 2, 1);
	filter_judge_line(j, 'F', 1, answer, strlen(answer), 1);
	filter_judge_line(j2, 'D', 1, line + 2, strlen(line) - 2, 1);
	assert_null(strstr(h2.ids, "S47"));
	filter_judge_line(j2, 'D', 1, line + 2, strlen(line) - 2, 1);
	assert_non_null(strstr(h2.ids, "S47"));
	free(line);
	filter_judge_free(j2);
	filter_judge_free(j);
	buf_free(&h.all);
	buf_free(&h2.all);
}

/* Nothing in the table without its proof. */
static void
test_none_is_forgotten(void **state)
{
	static const char besides[] = " S39 S47 F31 S33 ";
	const struct filter_rule *r;
	char id[16];
	size_t i, n;
	int bad = 0;

	(void)state;
	for (n = 0; (r = filter_judge_rule(n)) != NULL; n++) {
		for (i = 0; i < nitems(broken); i++)
			if (strcmp(broken[i].id, r->id) == 0)
				break;
		snprintf(id, sizeof(id), " %s ", r->id);
		if (i == nitems(broken) && strstr(besides, id) == NULL) {
			print_error("%s is not shown to be caught\n", r->id);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

static void
test_lines_of_older_versions(void **state)
{
	static const struct {
		const char	*line;
		const char	*fields[3];
	} cases[] = {
		{ "report|0.7|1.000000|smtp-in|link-auth|00000000000000a1|"
		    "pass|a|b", { "pass", "a|b" } },
		{ "report|0.6|1.000000|smtp-in|link-auth|00000000000000a1|"
		    "a|b|pass", { "pass", "a|b" } },
		{ "report|0.6|1.000000|smtp-in|tx-mail|00000000000000a1|"
		    "0000beef|ok|a|b", { "0000beef", "ok", "a|b" } },
		{ "report|0.5|1.000000|smtp-in|tx-rcpt|00000000000000a1|"
		    "0000beef|a|b|ok", { "0000beef", "ok", "a|b" } },
	};
	struct filter_line fl = { 0 };
	size_t i;
	int f;

	(void)state;
	for (i = 0; i < nitems(cases); i++) {
		assert_int_equal(filter_line_parse(&fl, 'D', cases[i].line,
		    strlen(cases[i].line), 0), 0);
		for (f = 0; f < 3 && cases[i].fields[f] != NULL; f++)
			assert_string_equal(fl.field[f], cases[i].fields[f]);
		assert_int_equal(fl.nfields, f);
		assert_int_equal(fl.lastlen, strlen(fl.field[f - 1]));
	}
	assert_int_equal(filter_line_parse(&fl, 'F', "filter-result|"
	    "00000000000000c0|00000000000000a1|proceed", 55, 4), 0);
	assert_string_equal(fl.reqid, "00000000000000a1");
	filter_line_free(&fl);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_logs_are_silent),
		cmocka_unit_test(test_each_invariant_is_caught),
		cmocka_unit_test(test_what_is_told_besides),
		cmocka_unit_test(test_none_is_forgotten),
		cmocka_unit_test(test_lines_of_older_versions),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("filter_judge", tests, NULL, NULL);
}
