/* filter: we are a filter of smtpd's, smtpd-filters(7). */
#include <stdio.h>
#include <string.h>

#include "parser.h"
#include "plugin.h"

/* Where the fields stand in lines of reports and requests. */
enum { F_KIND, F_VERSION, F_TIME, F_SUBSYSTEM, F_POINT, F_SID, F_TOKEN,
    F_PARAM };

static const char *const phases[] = {
	"connect", "helo", "ehlo", "starttls", "auth", "mail-from", "rcpt-to",
	"data", "data-line", "rset", "quit", "noop", "help", "commit", NULL
};

static const char *const events[] = {
	"link-connect", "link-disconnect", "link-greeting", "link-identify",
	"link-tls", "link-auth", "tx-reset", "tx-begin", "tx-mail", "tx-rcpt",
	"tx-envelope", "tx-data", "tx-commit", "tx-rollback",
	"protocol-client", "protocol-server", "filter-report",
	"filter-response", "timeout", "*", NULL
};

#define OUT	"smtp-out|"

static int
listed(const char *const *list, const char *word)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, word) == 0)
			return 1;
	return 0;
}

static const char *
join(struct parser *p, const char *const *list)
{
	const char *all = "";

	for (; *list != NULL; list++)
		all = list_add(p, all, *list);
	return all;
}

static int
filter_read(struct plugin_line *l)
{
	const char *sub, *point, *sid, *token, *param;
	size_t nsub, npoint, nsid, ntoken, nparam;
	int in;

	l->request = strncmp(l->text, "filter|", 7) == 0;
	if (!l->request && strncmp(l->text, "report|", 7) != 0)
		return 0;
	sub = plugin_field(l->text, F_SUBSYSTEM, &nsub);
	point = plugin_field(l->text, F_POINT, &npoint);
	sid = plugin_field(l->text, F_SID, &nsid);
	token = plugin_field(l->text, F_TOKEN, &ntoken);
	param = plugin_field(l->text, F_PARAM, &nparam);
	if (sid == NULL || (l->request && token == NULL))
		return 0;
	in = nsub == 7 && memcmp(sub, "smtp-in", 7) == 0;
	snprintf(l->point, sizeof(l->point), "%s%.*s", in ? "" : OUT,
	    (int)npoint, point);
	plugin_copy(l->sid, sizeof(l->sid), sid, nsid);
	if (l->request)
		plugin_copy(l->token, sizeof(l->token), token, ntoken);
	l->param = param == NULL ? l->len : (size_t)(param - l->text);
	return 1;
}

static int
filter_ends(const struct plugin_line *l)
{
	return !l->request && (strcmp(l->point, "link-disconnect") == 0 ||
	    strcmp(l->point, OUT "link-disconnect") == 0);
}

static void
filter_answer(const struct plugin_line *l, struct buf *b)
{
	if (strcmp(l->point, "data-line") == 0)
		buf_addf(b, "filter-dataline|%s|%s|%s\n", l->sid, l->token,
		    l->text + l->param);
	else
		buf_addf(b, "filter-result|%s|%s|proceed\n", l->sid, l->token);
}

/* What the blocks listen to, each once, and the end of every session. */
static void
filter_enlist(const struct plugin *pl, struct buf *b)
{
	const struct plugin_seat *seat, *o;
	const struct word *w, *v;
	int out = 0, twice;

	buf_addstr(b, "register|report|smtp-in|link-disconnect\n");
	TAILQ_FOREACH(seat, &pl->seats, entry)
		STAILQ_FOREACH(w, &seat->block->points, entry) {
			twice = strcmp(w->text, "link-disconnect") == 0 ||
			    strcmp(w->text, OUT "link-disconnect") == 0;
			for (o = TAILQ_FIRST(&pl->seats); o != seat;
			    o = TAILQ_NEXT(o, entry))
				STAILQ_FOREACH(v, &o->block->points, entry)
					twice |= strcmp(v->text, w->text) == 0;
			out |= strncmp(w->text, OUT, strlen(OUT)) == 0;
			if (twice)
				continue;
			if (listed(phases, w->text))
				buf_addf(b, "register|filter|smtp-in|%s\n",
				    w->text);
			else
				buf_addf(b, "register|report|%s%s\n",
				    strncmp(w->text, OUT, strlen(OUT)) == 0 ?
				    "" : "smtp-in|", w->text);
		}
	if (out)
		buf_addstr(b, "register|report|" OUT "link-disconnect\n");
	buf_addstr(b, "register|ready\n");
}

/* What a pattern says behind this: up to the next bar, "" if nothing. */
static const char *
pattern_after(struct parser *p, const char *text, const char *what)
{
	const char *s = strstr(text, what);

	if (s == NULL)
		return "";
	s += strlen(what);
	return arena_strndup(p->arena, s, strcspn(s, "|"));
}

static const char *
filter_point(struct parser *p, const struct pos *pos, const char *text)
{
	const char *in = pattern_after(p, text, "|smtp-in|");
	const char *out = pattern_after(p, text, "|" OUT);

	if (strncmp(text, "filter|", 7) == 0) {
		if (listed(phases, in))
			return in;
		parse_fail(p, pos, "expected filter|*|smtp-in|PHASE, PHASE "
		    "one of %s", join(p, phases));
	}
	if (strncmp(text, "report|", 7) == 0) {
		if (listed(events, in))
			return in;
		if (listed(events, out))
			return arena_printf(p->arena, OUT "%s", out);
		parse_fail(p, pos, "expected report|*|smtp-in|EVENT or "
		    "report|*|smtp-out|EVENT, EVENT one of %s",
		    join(p, events));
	}
	parse_fail(p, pos, "expected filter|... or report|...: other lines are "
	    "heard in a manual block");
}

static const char *
filter_on(struct parser *p, const struct pos *pos, const char *word)
{
	const char *event = word;

	if (strncmp(word, OUT, strlen(OUT)) == 0)
		event += strlen(OUT);
	if (listed(events, event) || listed(phases, word))
		return word;
	parse_fail(p, pos, "unknown point \"%s\": expected one of %s %s, or "
	    "one of the latter as smtp-out|EVENT", word, join(p, phases),
	    join(p, events));
}

static void
filter_declare(const struct actor *a, struct buf *b)
{
	buf_addf(b, "filter \"%s\" proc-exec \"" RELAY_PATH " %s\"\n",
	    a->role->name, a->role->name);
}

static const struct plugin_kind filter_kind = {
	.sid = "sid",
	.token = "token",
	.read = filter_read,
	.ends = filter_ends,
	.answer = filter_answer,
	.enlist = filter_enlist,
	.point = filter_point,
	.on = filter_on,
	.declare = filter_declare,
};

const struct actor_kind actor_filter = {
	.word = "filter",
	.says = 'F',
	.hears = 'D',
	.opts = plugin_opts,
	.plugin = &filter_kind,
	.check = plugin_check,
	.hear_parse = plugin_hear_parse,
	.hear = plugin_hear,
	.hear_timeout = plugin_hear_timeout,
	.prepare = plugin_prepare,
	.start = plugin_started,
	.done = plugin_done,
	.judge = plugin_judge,
	.stop = plugin_stop,
};
