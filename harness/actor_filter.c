/* filter: we are a filter of smtpd's, smtpd-filters(7). */
#include <stdio.h>
#include <string.h>

#include "filter_line.h"
#include "oracle_filter.h"
#include "parser.h"
#include "plugin.h"

/* Where the fields stand in lines of reports and requests. */
enum { F_KIND, F_VERSION, F_TIME, F_SUBSYSTEM, F_POINT, F_SID, F_TOKEN,
    F_PARAM };

#define OUT	"smtp-out|"

/* "*" is every event. */
static int
is_event(const char *word)
{
	return strcmp(word, "*") == 0 || filter_event(word) != -1;
}

static int
is_out(const char *point)
{
	return strncmp(point, OUT, strlen(OUT)) == 0;
}

/* All names, for an error message. */
static const char *
names(struct parser *p, const struct filter_point *list, int n)
{
	const char *all = "";

	for (; n > 0; n--, list++)
		all = list_add(p, all, list->name);
	return all;
}

#define PHASES(p)	names(p, filter_phases, PH_COUNT)
#define EVENTS(p)	names(p, filter_events, EV_COUNT)

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

static int
wants(const struct plugin *pl, const char *point)
{
	const struct plugin_seat *seat;
	const struct word *w;

	TAILQ_FOREACH(seat, &pl->seats, entry)
		STAILQ_FOREACH(w, &seat->block->points, entry)
			if (strcmp(w->text, point) == 0)
				return 1;
	return 0;
}

/*
 * Events that some block listens to; registered twice they come twice.  The
 * end of a session is always heard.
 */
static void
enlist_events(const struct plugin *pl, struct buf *b, const char *prefix)
{
	char point[64];
	int i, all, any = 0;

	snprintf(point, sizeof(point), "%s*", prefix);
	if ((all = wants(pl, point)))
		buf_addf(b, "register|report|%s*\n", is_out(prefix) ? prefix :
		    "smtp-in|");
	for (i = 0; i < EV_COUNT && !all; i++) {
		snprintf(point, sizeof(point), "%s%s", prefix,
		    filter_events[i].name);
		if (i == EV_LINK_DISCONNECT || !wants(pl, point))
			continue;
		any = 1;
		buf_addf(b, "register|report|%s%s\n", is_out(prefix) ? "" :
		    "smtp-in|", point);
	}
	snprintf(point, sizeof(point), "%slink-disconnect", prefix);
	if (!all && (any || !is_out(prefix) || wants(pl, point)))
		buf_addf(b, "register|report|%s%s\n", is_out(prefix) ? "" :
		    "smtp-in|", point);
}

static void
filter_enlist(const struct plugin *pl, struct buf *b)
{
	int i;

	enlist_events(pl, b, "");
	enlist_events(pl, b, OUT);
	for (i = 0; i < PH_COUNT; i++)
		if (wants(pl, filter_phases[i].name))
			buf_addf(b, "register|filter|smtp-in|%s\n",
			    filter_phases[i].name);
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
		if (filter_phase(in) != -1)
			return in;
		parse_fail(p, pos, "expected filter|*|smtp-in|PHASE, PHASE "
		    "one of %s", PHASES(p));
	}
	if (strncmp(text, "report|", 7) == 0) {
		if (is_event(in))
			return in;
		if (is_event(out))
			return arena_printf(p->arena, OUT "%s", out);
		parse_fail(p, pos, "expected report|*|smtp-in|EVENT or "
		    "report|*|smtp-out|EVENT, EVENT one of %s",
		    EVENTS(p));
	}
	parse_fail(p, pos, "expected filter|... or report|...: other lines are "
	    "heard in a manual block");
}

static const char *
filter_on(struct parser *p, const struct pos *pos, const char *word)
{
	const char *event = word;

	if (is_out(word))
		event += strlen(OUT);
	if (is_event(event) || filter_phase(word) != -1)
		return word;
	parse_fail(p, pos, "unknown point \"%s\": expected one of %s %s, or "
	    "one of the latter as smtp-out|EVENT", word, PHASES(p),
	    EVENTS(p));
}

static void
filter_declare(const struct actor *a, struct buf *b)
{
	buf_addf(b, "filter \"%s\" proc-exec \"" RELAY_PATH " %s\"\n",
	    a->role->name, a->role->name);
}

static struct filter_watch *
filter_watched(const struct actor *a)
{
	return filter_watch_new(a->run, a->role->name, NULL);
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
	.watch = filter_watched,
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
	.said = plugin_said,
	.done = plugin_done,
	.judge = plugin_judge,
	.stop = plugin_stop,
	.go_on = plugin_go_on,
};
