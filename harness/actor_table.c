/* table: we are a table of smtpd's, smtpd-tables(7); since 7.6. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle_filter.h"
#include "parser.h"
#include "plugin.h"
#include "real_filter.h"

/* Where the fields stand; an update has its id where others have a service. */
enum { T_KIND, T_VERSION, T_TIME, T_NAME, T_OP, T_SERVICE, T_ID, T_KEY };

static const char *const services[] = {
	"alias", "auth", "domain", "credentials", "netaddr", "userinfo",
	"source", "mailaddr", "addrname", "mailaddrmap", "relayhost",
	"string", "regex", NULL
};

static const char *const ops[] = { "update", "check", "lookup", "fetch", NULL };

#define UPDATE	"update"

static int
listed(const char *const *list, const char *word, size_t len)
{
	for (; *list != NULL; list++)
		if (strlen(*list) == len && memcmp(*list, word, len) == 0)
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
table_read(struct plugin_line *l)
{
	const char *op, *service, *id, *key;
	size_t nop, nservice, nid, nkey;

	if (strncmp(l->text, "table|", 6) != 0)
		return 0;
	op = plugin_field(l->text, T_OP, &nop);
	service = plugin_field(l->text, T_SERVICE, &nservice);
	id = plugin_field(l->text, T_ID, &nid);
	key = plugin_field(l->text, T_KEY, &nkey);
	if (service == NULL)
		return 0;
	if (nop == strlen(UPDATE) && memcmp(op, UPDATE, nop) == 0) {
		snprintf(l->point, sizeof(l->point), UPDATE);
		plugin_copy(l->token, sizeof(l->token), service, nservice);
	} else if (id != NULL) {
		snprintf(l->point, sizeof(l->point), "%.*s|%.*s", (int)nop, op,
		    (int)nservice, service);
		plugin_copy(l->token, sizeof(l->token), id, nid);
	} else
		return 0;
	l->param = key == NULL ? l->len : (size_t)(key - l->text);
	l->request = 1;
	return 1;
}

/* One conversation, as long as the daemon lives. */
static int
table_ends(const struct plugin_line *l)
{
	(void)l;
	return 0;
}

/* It knows nothing. */
static void
table_answer(const struct plugin_line *l, struct buf *b)
{
	int update = strcmp(l->point, UPDATE) == 0;

	buf_addf(b, "%.*s-result|%s|%s\n", (int)strcspn(l->point, "|"),
	    l->point, l->token, update ? "ok" : "not-found");
}

static void
table_enlist(const struct plugin *pl, struct buf *b)
{
	const struct plugin_seat *seat;
	const struct word *w;
	const char *bar;
	size_t i;

	for (i = 0; services[i] != NULL; i++)
		TAILQ_FOREACH(seat, &pl->seats, entry) {
			STAILQ_FOREACH(w, &seat->block->points, entry)
				if ((bar = strchr(w->text, '|')) != NULL &&
				    strcmp(bar + 1, services[i]) == 0)
					break;
			if (w == NULL)
				continue;
			buf_addf(b, "register|%s\n", services[i]);
			break;
		}
	buf_addstr(b, "register|ready\n");
}

/* "OP|SERVICE..." or "update..."; where is that in a text?  NULL: nowhere. */
static const char *
table_op(struct parser *p, const char *s)
{
	size_t n = strcspn(s, "|"), m;

	if (n == strlen(UPDATE) && memcmp(s, UPDATE, n) == 0)
		return UPDATE;
	if (s[n] != '|' || !listed(ops, s, n))
		return NULL;
	m = strcspn(s + n + 1, "|");
	return listed(services, s + n + 1, m) ?
	    arena_strndup(p->arena, s, n + 1 + m) : NULL;
}

static const char *
table_point(struct parser *p, const struct pos *pos, const char *text)
{
	const char *bar, *point;

	if (strncmp(text, "table|", 6) != 0)
		parse_fail(p, pos, "expected table|...: other lines are heard "
		    "in a manual block");
	for (bar = strchr(text, '|'); bar != NULL; bar = strchr(bar + 1, '|'))
		if ((point = table_op(p, bar + 1)) != NULL)
			return point;
	parse_fail(p, pos, "expected table|*|OP|SERVICE or table|*|update, OP "
	    "check, lookup or fetch, SERVICE one of %s", join(p, services));
}

static const char *
table_on(struct parser *p, const struct pos *pos, const char *word)
{
	const char *point = table_op(p, word);

	if (point == NULL)
		parse_fail(p, pos, "unknown point \"%s\": expected update, or "
		    "check, lookup or fetch as OP|SERVICE, SERVICE one of %s",
		    word, join(p, services));
	return point;
}

static void
table_declare(const struct actor *a, struct buf *b)
{
	buf_addf(b, "table %s %s\n", a->role->name, a->role->name);
}

/* smtpd starts tables by their name alone. */
static int
table_prepare(struct actor *a)
{
	char *text, *name;
	int rv;

	if (plugin_prepare(a) == -1)
		return -1;
	name = xasprintf("table-%s", a->role->name);
	text = xasprintf("#!/bin/sh\nexec " RELAY_PATH " %s\n", a->role->name);
	rv = real_filter_install(name, text, strlen(text));
	if (rv == -1)
		run_error(a->run, "%s: cannot install %s", a->role->name, name);
	free(text);
	free(name);
	return rv;
}

static struct filter_watch *
table_watched(const struct actor *a)
{
	return table_watch_new(a->run, a->role->name, JUDGE_DAEMON);
}

static const struct plugin_kind table_kind = {
	.token = "id",
	.read = table_read,
	.ends = table_ends,
	.answer = table_answer,
	.enlist = table_enlist,
	.point = table_point,
	.on = table_on,
	.watch = table_watched,
	.declare = table_declare,
};

const struct actor_kind actor_table = {
	.word = "table",
	.says = 'F',
	.hears = 'D',
	.opts = plugin_opts,
	.plugin = &table_kind,
	.check = plugin_check,
	.hear_parse = plugin_hear_parse,
	.hear = plugin_hear,
	.hear_timeout = plugin_hear_timeout,
	.prepare = table_prepare,
	.said = plugin_said,
	.done = plugin_done,
	.judge = plugin_judge,
	.stop = plugin_stop,
};
