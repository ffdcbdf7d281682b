/* What a scenario expects of the whole run, judged when it is over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "regex.h"
#include "run.h"

#define LOG_TIME	500000		/* us, for a line of the log to come */

static const char *
arg(const struct expect *ex, int n)
{
	const struct word *w;

	STAILQ_FOREACH(w, &ex->args, entry)
		if (n-- == 0)
			return w->text;
	return "";
}

int
text_found(const char *pattern, const char *text, size_t len)
{
	size_t n = strlen(pattern);
	char *re;
	int hit;

	if (n < 2 || pattern[0] != '/' || pattern[n - 1] != '/')
		return memmem(text, len, pattern, n) != NULL;
	re = xasprintf("%.*s", (int)n - 2, pattern + 1);
	hit = regex_match(re, text, len, NULL, NULL);
	free(re);
	return hit;
}

static void
judge(struct run *run, const struct expect *ex, int ok, const char *expected,
    const char *got)
{
	char *text;

	if (ok) {
		run_conforms(run, &ex->pos, NULL, &ex->knowns);
		return;
	}
	text = xasprintf("%s %s", ex->kind->word, expected);
	run_judge(run, &ex->pos, NULL, NULL, &ex->knowns, text, got);
	free(text);
}

/* delivered all | delivered N */
static void
delivered_check(struct run *run, const struct expect *ex)
{
	const char *want = arg(ex, 0);
	unsigned long n = account_arrived(run->account);
	char got[64];

	snprintf(got, sizeof(got), "%lu", n);
	if (strcmp(want, "all") == 0) {
		snprintf(got, sizeof(got), "%lu promised, %lu arrived",
		    account_promised(run->account), n);
		judge(run, ex, account_promised(run->account) > 0 && n > 0,
		    want, got);
	} else
		judge(run, ex, strcmp(want, got) == 0, want, got);
}

static const struct expect_kind expect_delivered = {
	"delivered", "all | NUMBER", 1, 1, 0, NULL, delivered_check
};

/* copies RCPT NUMBER: an alias or list; each promise to it is due so many */
static void
copies_claim(struct run *run, const struct expect *ex)
{
	account_fate(run->account, arg(ex, 0), atoi(arg(ex, 1)));
}

static const struct expect_kind expect_copies = {
	"copies", "RCPT NUMBER", 2, 2, 0, copies_claim, NULL
};

/* forwarded RCPT to ADDRESS: it arrives there under that name */
static void
forwarded_claim(struct run *run, const struct expect *ex)
{
	account_forward(run->account, arg(ex, 0), arg(ex, 2));
}

static void
forwarded_check(struct run *run, const struct expect *ex)
{
	const struct arrival *v;
	int n = 0;

	TAILQ_FOREACH(v, account_arrivals(run->account), entry)
		n += same_rcpt(v->rcpt, arg(ex, 2));
	judge(run, ex, n > 0, arg(ex, 2), "nothing arrived for it");
}

static const struct expect_kind expect_forwarded = {
	"forwarded", "RCPT to ADDRESS", 3, 3, 0, forwarded_claim,
	forwarded_check
};

/* lost RCPT: accepted, and rightly never delivered nor bounced */
static void
lost_claim(struct run *run, const struct expect *ex)
{
	account_fate(run->account, arg(ex, 0), 0);
}

static const struct expect_kind expect_lost = {
	"lost", "RCPT", 1, 1, 0, lost_claim, NULL
};

struct queued {
	const char	*rcpt;
	int		 n;
};

static void
queued_count(void *p, const char *rcpt)
{
	struct queued *q = p;

	q->n += same_rcpt(q->rcpt, rcpt);
}

/* queued RCPT: it stays in the queue */
static void
queued_check(struct run *run, const struct expect *ex)
{
	struct queued q = { arg(ex, 0), 0 };

	collect_queue(run, queued_count, &q);
	judge(run, ex, q.n > 0, q.rcpt, "not in the queue");
}

static const struct expect_kind expect_queued = {
	"queued", "RCPT", 1, 1, 0, lost_claim, queued_check
};

static int
is_bounce(const struct arrival *v)
{
	return text_found("/^Content-Type: multipart\\/report/", v->text, v->len) ||
	    text_found("/^Subject: Delivery status notification/", v->text, v->len);
}

/*
 * bounced RCPT to SENDER [PATTERN...]: it is not delivered, and one report
 * about it, in which all patterns are found, comes to the sender
 */
static void
bounced_claim(struct run *run, const struct expect *ex)
{
	struct arrival *v;
	int n;

	account_fate(run->account, arg(ex, 0), 0);
	TAILQ_FOREACH(v, account_arrivals(run->account), entry) {
		if (v->claimed || !is_bounce(v) ||
		    !same_rcpt(v->rcpt, arg(ex, 2)) ||
		    !text_found(arg(ex, 0), v->text, v->len))
			continue;
		for (n = 3; *arg(ex, n) != '\0'; n++)
			if (!text_found(arg(ex, n), v->text, v->len))
				break;
		if (*arg(ex, n) != '\0')
			continue;
		v->claimed = 1;
		return;
	}
}

static void
bounced_check(struct run *run, const struct expect *ex)
{
	const struct arrival *v;

	TAILQ_FOREACH(v, account_arrivals(run->account), entry)
		if (v->claimed && is_bounce(v) &&
		    same_rcpt(v->rcpt, arg(ex, 2)) &&
		    text_found(arg(ex, 0), v->text, v->len)) {
			judge(run, ex, 1, "", "");
			return;
		}
	judge(run, ex, 0, arg(ex, 0), "no such report");
}

static const struct expect_kind expect_bounced = {
	"bounced", "RCPT to SENDER [PATTERN...]", 3, 12, 0, bounced_claim,
	bounced_check
};

/* dsn to SENDER [PATTERN...]: a report that is no failure of the recipient */
static void
dsn_claim(struct run *run, const struct expect *ex)
{
	struct arrival *v;
	int n;

	TAILQ_FOREACH(v, account_arrivals(run->account), entry) {
		if (v->claimed || !is_bounce(v) ||
		    !same_rcpt(v->rcpt, arg(ex, 1)))
			continue;
		for (n = 2; *arg(ex, n) != '\0'; n++)
			if (!text_found(arg(ex, n), v->text, v->len))
				break;
		if (*arg(ex, n) == '\0') {
			v->claimed = 1;
			return;
		}
	}
}

static void
dsn_check(struct run *run, const struct expect *ex)
{
	const struct arrival *v;
	int n = 0;

	TAILQ_FOREACH(v, account_arrivals(run->account), entry)
		n += v->claimed && is_bounce(v) &&
		    same_rcpt(v->rcpt, arg(ex, 1));
	judge(run, ex, n > 0, arg(ex, 1), "no such report");
}

static const struct expect_kind expect_dsn = {
	"dsn", "to SENDER [PATTERN...]", 2, 12, 0, dsn_claim, dsn_check
};

/* mail RCPT has|lacks PATTERN | mail RCPT count N | mail RCPT at PLACE */
static void
mail_check(struct run *run, const struct expect *ex)
{
	const char *how = arg(ex, 1), *what = arg(ex, 2);
	const struct arrival *v;
	char *want = xasprintf("%s %s %s", arg(ex, 0), how, what), got[64];
	int n = 0, hits = 0, at = 0;

	TAILQ_FOREACH(v, account_arrivals(run->account), entry) {
		if (!same_rcpt(v->rcpt, arg(ex, 0)))
			continue;
		n++;
		hits += text_found(what, v->text, v->len);
		at += strcmp(v->place, what) == 0;
	}
	snprintf(got, sizeof(got), "%d of %d", strcmp(how, "at") == 0 ? at :
	    hits, n);
	if (strcmp(how, "count") == 0) {
		snprintf(got, sizeof(got), "%d", n);
		judge(run, ex, strcmp(got, what) == 0, want, got);
	} else if (strcmp(how, "has") == 0)
		judge(run, ex, n > 0 && hits == n, want, got);
	else if (strcmp(how, "lacks") == 0)
		judge(run, ex, n > 0 && hits == 0, want, got);
	else
		judge(run, ex, at > 0, want, got);
	free(want);
}

static const struct expect_kind expect_mail = {
	"mail", "RCPT has|lacks|count|at WHAT", 3, 3, 0, NULL, mail_check
};

/* filtered FIELD...: a filter adds, changes or drops it */
static void
filtered_claim(struct run *run, const struct expect *ex)
{
	const struct word *w;

	STAILQ_FOREACH(w, &ex->args, entry)
		account_field(run->account, w->text);
}

static void
filtered_check(struct run *run, const struct expect *ex)
{
	const struct word *w;
	const char *untouched = NULL;

	STAILQ_FOREACH(w, &ex->args, entry)
		if (account_field_used(run->account, w->text) == 0)
			untouched = w->text;
	judge(run, ex, untouched == NULL, untouched == NULL ? "" : untouched,
	    "no mail in which it is not as it was sent");
}

static const struct expect_kind expect_filtered = {
	"filtered", "FIELD...", 1, 12, 0, filtered_claim, filtered_check
};

static const char *
log_line(const struct run *run, const char *pattern)
{
	const char *s, *hit = NULL;
	const json_t *line;
	size_t i;

	json_array_foreach(run->daemon.log, i, line) {
		s = json_string_value(line);
		if (text_found(pattern, s, strlen(s)))
			hit = s;
	}
	return hit;
}

/*
 * log has|lacks PATTERN: any line of the daemon's log.  It may come a little
 * after what it tells of.
 */
static void
log_check(struct run *run, const struct expect *ex)
{
	const char *how = arg(ex, 0), *what = arg(ex, 1), *hit;
	char *want = xasprintf("%s %s", how, what);
	uint64_t end = now_us() + LOG_TIME;

	while ((hit = log_line(run, what)) == NULL &&
	    strcmp(how, "has") == 0 && now_us() < end)
		run_until(run, NULL, 10000);
	judge(run, ex, (hit != NULL) == (strcmp(how, "has") == 0), want,
	    hit == NULL ? "no such line" : hit);
	free(want);
}

static const struct expect_kind expect_log = {
	"log", "has|lacks PATTERN", 2, 2, 0, NULL, log_check
};

/* file PATH has|lacks PATTERN | file PATH missing */
static void
file_check(struct run *run, const struct expect *ex)
{
	const char *path = arg(ex, 0), *how = arg(ex, 1), *what = arg(ex, 2);
	char *want = xasprintf("%s %s %s", path, how, what), *text;
	size_t len;
	int hit;

	text = read_file(path, &len, 16 * 1024 * 1024);
	if (strcmp(how, "missing") == 0)
		judge(run, ex, text == NULL, want, "it is there");
	else if (text == NULL)
		judge(run, ex, 0, want, "no such file");
	else {
		hit = text_found(what, text, len);
		judge(run, ex, hit == (strcmp(how, "has") == 0), want,
		    hit ? "it does" : "it does not");
	}
	free(text);
	free(want);
}

static const struct expect_kind expect_file = {
	"file", "PATH has|lacks PATTERN, or PATH missing", 2, 3, 1, NULL,
	file_check
};

/* exit: the daemon ends in the course of this, and that is right */
static int
exited(struct run *run)
{
	return run->daemon.exited;
}

static void
exit_check(struct run *run, const struct expect *ex)
{
	run_until(run, exited, run->sc->timeout);
	judge(run, ex, run->daemon.exited, "", "it still runs");
}

static const struct expect_kind expect_exit = {
	"exit", "", 0, 0, 0, NULL, exit_check
};

const struct expect_kind *const expect_kinds[] = {
	&expect_delivered, &expect_copies, &expect_forwarded, &expect_lost,
	&expect_queued, &expect_bounced, &expect_dsn, &expect_mail,
	&expect_filtered, &expect_log, &expect_file, &expect_exit, NULL
};
