/* The daemon's side: transactions and messages, S23 to S42. */
#include <stdlib.h>
#include <string.h>

#include "filter_judge_priv.h"

#define LINES	(ON_REPORT | ON_REQUEST)

static int
is_ok(const struct judging *g)
{
	return strcmp(g->fl->field[1], "ok") == 0;
}

/* The last report was this reply. */
static int
replied(const struct fsession *s, const char *code)
{
	return s->last == EV_PROTOCOL_SERVER && server_said(s, code);
}

static int
refused(const struct fsession *s)
{
	return replied(s, "4") || replied(s, "5");
}

/* The client's dot, and not a line with nothing but a dot. */
static int
message_ended(const struct fsession *s)
{
	return client_said(s, PH_COMMIT) && s->tx.datas > 0;
}

static int
talk(const struct judging *g)
{
	return hears(g, EV_PROTOCOL_CLIENT) && hears(g, EV_PROTOCOL_SERVER);
}

/* After what came last only this event may come. */
static void
must_follow(struct judging *g, int now, int event)
{
	if (now && hears(g, event) && g->fl->point != event)
		object(g, "%s, where %s should come", g->fl->name,
		    filter_events[event].name);
}

static void
s23(struct judging *g)
{
	struct fsession *s = g->s;
	int ok = talk(g) && replied(s, "2") && client_said(s, PH_MAIL_FROM);

	if (IS_EVENT(g, EV_TX_BEGIN) && talk(g) && !ok)
		object(g, "tx-begin without a 250 to MAIL");
	else
		must_follow(g, ok, EV_TX_BEGIN);
	if (IS_EVENT(g, EV_TX_MAIL) && is_ok(g) && s->tx.open &&
	    s->tx.mails == 0 && s->last != EV_TX_BEGIN)
		object(g, "tx-mail, and %s between it and tx-begin",
		    filter_events[s->last].name);
	else
		must_follow(g, s->last == EV_TX_BEGIN, EV_TX_MAIL);
}

/* Inside a transaction a second MAIL is told as refused. */
static void
s24(struct judging *g)
{
	if (IS_EVENT(g, EV_TX_MAIL) && !is_ok(g) && !g->s->tx.open)
		object(g, "tx-mail %s of message %s, which never began",
		    g->fl->field[1], g->fl->field[0]);
}

static void
s25(struct judging *g)
{
	if (IS_EVENT(g, EV_TX_BEGIN) && g->s->tx.open)
		object(g, "tx-begin inside a transaction");
}

static void
s26(struct judging *g)
{
	if (IS_EVENT(g, EV_TX_MAIL) && is_ok(g) &&
	    hears(g, EV_TX_BEGIN) && (!g->s->tx.open || g->s->tx.mails > 0))
		object(g, "tx-mail ok %s", g->s->tx.open ? "twice" :
		    "without tx-begin");
}

static void
s27(struct judging *g)
{
	struct fsession *s = g->s;

	if (!hears(g, EV_TX_BEGIN) || !hears(g, EV_TX_ENVELOPE) || !talk(g))
		return;
	if (IS_EVENT(g, EV_TX_RCPT) && is_ok(g)) {
		if (s->tx.envelopes == 0)
			object(g, "tx-rcpt ok without an envelope");
		else if (!replied(s, "2"))
			object(g, "tx-rcpt ok before its 250");
	} else
		must_follow(g, replied(s, "2") &&
		    client_said(s, PH_RCPT_TO), EV_TX_RCPT);
}

static int
has_address(const struct fsession *s)
{
	const char *p = strchr(s->client, '<');

	return p != NULL && strchr(p, '>') != NULL;
}

static void
s28(struct judging *g)
{
	struct fsession *s = g->s;

	if (!hears(g, EV_TX_BEGIN) || !hears(g, EV_TX_ENVELOPE) || !talk(g))
		return;
	if (IS_EVENT(g, EV_TX_RCPT) && !is_ok(g)) {
		if (!refused(s))
			object(g, "tx-rcpt %s before its reply",
			    g->fl->field[1]);
		else if (s->tx.envelopes > 0)
			object(g, "tx-rcpt %s, and it has an envelope",
			    g->fl->field[1]);
		else if (s->rcpted)
			object(g, "tx-rcpt %s of <%s>, which was answered "
			    "before", g->fl->field[1], g->fl->field[2]);
	} else
		must_follow(g, refused(s) && s->tx.open && !s->rcpted &&
		    client_said(s, PH_RCPT_TO) && has_address(s), EV_TX_RCPT);
}

static void
s29(struct judging *g)
{
	const struct filter_line *fl = g->fl;
	const struct tx *tx = &g->s->tx;
	uint32_t msgid;

	if (!hears(g, EV_TX_BEGIN) || fl->nfields == 0 ||
	    fl->point < EV_TX_RESET || fl->point > EV_TX_ROLLBACK ||
	    fl->point == EV_TX_BEGIN)
		return;
	msgid = (uint32_t)strtoul(fl->field[0], NULL, 16);
	if ((tx->open || tx->ended) && msgid != tx->msgid)
		object(g, "%s of message %08x in that of %08x", fl->name,
		    msgid, tx->msgid);
	if (!tx->open && (fl->point == EV_TX_RCPT ||
	    fl->point == EV_TX_ENVELOPE || fl->point == EV_TX_DATA))
		object(g, "%s outside a transaction", fl->name);
}

static void
s30(struct judging *g)
{
	struct fsession *s = g->s;

	if (IS_EVENT(g, EV_TX_DATA)) {
		if (is_ok(g) && talk(g) && !replied(s, "354"))
			object(g, "tx-data ok without a 354");
		else if (is_ok(g) && hears(g, EV_TX_RCPT) && s->tx.rcpts == 0)
			object(g, "tx-data ok without a recipient");
		else if (!is_ok(g) && talk(g) && !refused(s))
			object(g, "tx-data %s before its reply",
			    g->fl->field[1]);
	} else
		must_follow(g, talk(g) && replied(s, "354"), EV_TX_DATA);
}

/* Whose header begins with X-Spam: its, anybody's, or nobody's. */
static int
may_be_junk(const struct judging *g)
{
	return g->s->junk || g->s->tx.junk || g->j->facts.others != 0 ||
	    !hears(g, EV_TX_RESET);
}

static void
s31(struct judging *g)
{
	const struct data *d = &g->s->data;
	const char *line = g->fl->field[0];
	int first = !d->in || d->in_end, spam;

	if (g->fl->point != PH_DATA_LINE)
		return;
	if (d->in_end && !d->out_end) {
		object(g, "after the dot: %.80s", line);
		return;
	}
	if (g->j->facts.others & OTHERS_BEFORE)
		return;
	spam = strcmp(line, "X-Spam: Yes") == 0;
	if (first && g->j->facts.others == 0 && hears(g, EV_TX_RESET) &&
	    spam != (g->s->junk || g->s->tx.junk))
		object(g, "%s: %.80s", spam ? "it is no junk" : "it is junk",
		    line);
	else if (first && !(spam && may_be_junk(g)) &&
	    strncmp(line, "Received: ", 10) != 0)
		object(g, "a message begins with: %.80s", line);
	else if (!first && d->nin == 1 && d->spam &&
	    strncmp(line, "Received: ", 10) != 0)
		object(g, "after X-Spam comes: %.80s", line);
}

static void
s32(struct judging *g)
{
	if (g->fl->usec < g->s->stamp)
		object(g, "%s is %llu us older than what came before",
		    g->fl->name, (unsigned long long)(g->s->stamp -
		    g->fl->usec));
}

static void
s34(struct judging *g)
{
	const struct data *d = &g->s->data;

	if (!asks(g, PH_DATA_LINE) || !d->in || d->in_end)
		return;
	if (IS_PHASE(g, PH_COMMIT) || (IS_EVENT(g, EV_PROTOCOL_CLIENT) &&
	    strcmp(g->fl->field[0], ".") == 0))
		object(g, "%s, and the message's dot has not come",
		    g->fl->name);
}

static void
s35(struct judging *g)
{
	const struct data *d = &g->s->data;

	if (IS_EVENT(g, EV_PROTOCOL_CLIENT) && asks(g, PH_DATA_LINE) &&
	    strcmp(g->fl->field[0], ".") == 0 && d->in_end && !d->out_end)
		object(g, "the client's dot before the filter's");
}

static void
s36(struct judging *g)
{
	struct fsession *s = g->s;

	if (!hears(g, EV_PROTOCOL_CLIENT))
		return;
	if (IS_PHASE(g, PH_COMMIT) && s->commits > 0)
		object(g, "commit is asked twice");
	if (IS_EVENT(g, EV_PROTOCOL_SERVER) && asks(g, PH_COMMIT) &&
	    !(g->j->facts.others & OTHERS_BEFORE) && hears(g, EV_TX_DATA) &&
	    message_ended(s) && !s->answered && s->commits == 0)
		object(g, "\"%s\" to a message, and commit was not asked",
		    g->fl->field[0]);
}

static void
s37(struct judging *g)
{
	struct fsession *s = g->s;
	int ok = talk(g) && hears(g, EV_TX_DATA) && replied(s, "2") &&
	    message_ended(s);

	if (IS_EVENT(g, EV_TX_COMMIT) && talk(g) && hears(g, EV_TX_DATA) &&
	    !ok && s->tx.open)
		object(g, "tx-commit without a 250 to the message");
	else
		must_follow(g, ok && s->tx.open, EV_TX_COMMIT);
	must_follow(g, s->last == EV_TX_COMMIT, EV_TX_RESET);
}

static void
s38(struct judging *g)
{
	struct fsession *s = g->s;

	if (!talk(g) || !hears(g, EV_TX_DATA) || !message_ended(s) ||
	    !s->tx.open)
		return;
	must_follow(g, refused(s), EV_TX_DATA);
	must_follow(g, s->last == EV_TX_DATA, EV_TX_ROLLBACK);
}

static void
s39(struct judging *g)
{
	const struct commit *c;

	TAILQ_FOREACH(c, &g->j->commits, entry)
		if (c->msgid == g->msgid && c->size != g->grown)
			object(g, "tx-commit says %zu bytes, %lu are stored",
			    c->size, g->grown);
}

static void
s40(struct judging *g)
{
	struct fsession *s = g->s;
	int ev = g->fl->point;

	must_follow(g, s->last == EV_TX_ROLLBACK, EV_TX_RESET);
	if (!hears(g, EV_TX_BEGIN) || !hears(g, EV_TX_COMMIT) ||
	    !hears(g, EV_TX_ROLLBACK))
		return;
	if (ev == EV_LINK_DISCONNECT && s->tx.open)
		object(g, "link-disconnect inside a transaction");
	else if ((ev == EV_TX_COMMIT || ev == EV_TX_ROLLBACK) && !s->tx.open)
		object(g, "%s outside a transaction", g->fl->name);
	else if (ev == EV_TX_RESET && !s->tx.ended)
		object(g, "tx-reset before tx-commit or tx-rollback");
}

static void
s41(struct judging *g)
{
	must_follow(g, talk(g) && replied(g->s, "2") && g->s->tx.open &&
	    hears(g, EV_TX_BEGIN) && client_said(g->s, PH_RSET),
	    EV_TX_ROLLBACK);
}

static void
s42_new(struct judging *g)
{
	if (IS_EVENT(g, EV_LINK_IDENTIFY) && g->s->tx.open &&
	    hears(g, EV_TX_ROLLBACK))
		object(g, "link-identify inside a transaction");
}

static void
s42_old(struct judging *g)
{
	if ((IS_PHASE(g, PH_EHLO) || IS_PHASE(g, PH_HELO)) &&
	    hears(g, EV_LINK_TLS) && g->s->identified)
		object(g, "%s is asked again", g->fl->name);
}

const struct rule rules_tx[] = {
	{ { "S23", "MAIL: 250, tx-begin, tx-mail, in this order", "*" },
	    ON_REPORT | IN_ONLY, s23 },
	{ { "S24", "neither tx-begin nor tx-mail for a MAIL that is refused",
	    "*" }, ON_REPORT | IN_ONLY, s24 },
	{ { "S25", "no transaction inside another", "*" },
	    ON_REPORT | IN_ONLY, s25 },
	{ { "S26", "tx-mail ok once in each transaction", "*" },
	    ON_REPORT | IN_ONLY, s26 },
	{ { "S27", "RCPT: tx-envelope, 250, tx-rcpt ok, in this order", "*" },
	    ON_REPORT | IN_ONLY, s27 },
	{ { "S28", "a RCPT that is refused: its reply, tx-rcpt, no envelope",
	    "*" }, ON_REPORT | IN_ONLY, s28 },
	{ { "S29", "all of a transaction has one message id", "*" },
	    ON_REPORT | IN_ONLY, s29 },
	{ { "S30", "tx-data ok after the 354, with a recipient", "*" },
	    ON_REPORT | IN_ONLY, s30 },
	{ { "S31", "a message begins with smtpd's Received, after X-Spam if "
	    "it is junk, and ends with one dot", "*" },
	    ON_REQUEST | IN_ONLY, s31 },
	{ { "S32", "time does not go back in the reports of a session", "*" },
	    ON_REPORT, s32 },
	{ { "S34", "a message's dot comes, whatever is wrong with it", "*" },
	    LINES | IN_ONLY, s34 },
	{ { "S35", "the client's dot is told after the filter's", "*" },
	    ON_REPORT | IN_ONLY, s35 },
	{ { "S36", "commit is asked once for each message", "*" },
	    LINES | IN_ONLY, s36 },
	{ { "S37", "a message that is accepted: 250, tx-commit, tx-reset",
	    "*" }, ON_REPORT | IN_ONLY, s37 },
	{ { "S38", "a message that is refused: its reply, tx-data, "
	    "tx-rollback", "*" }, ON_REPORT | IN_ONLY, s38 },
	{ { "S39", "tx-commit says how many bytes are stored", "*" },
	    ON_STORED, s39 },
	{ { "S40", "tx-commit or tx-rollback, and tx-reset, end each "
	    "transaction", "*" }, ON_REPORT | IN_ONLY, s40 },
	{ { "S41", "RSET: 250, then tx-rollback", "*" },
	    ON_REPORT | IN_ONLY, s41 },
	{ { "S42", "EHLO ends a transaction first", ">=7.9" },
	    ON_REPORT | IN_ONLY, s42_new },
	{ { "S42", "a second EHLO is refused unasked", "<7.9" },
	    ON_REQUEST | IN_ONLY, s42_old },
	{ { NULL, NULL, NULL }, 0, NULL }
};
