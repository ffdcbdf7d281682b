/* The daemon's side: handshake and form of its lines, S1 to S8. */
#include <stdlib.h>
#include <string.h>

#include "filter_judge_priv.h"
#include "target.h"

/* The order of config lines; those of 6.8 are without protocol. */
static const char *const keys[] = {
	"smtpd-version", "protocol", "smtp-session-timeout", "subsystem",
	"admd", "ready"
};

int
key_number(const char *key)
{
	size_t i;

	for (i = 0; i < nitems(keys); i++)
		if (strcmp(keys[i], key) == 0)
			return (int)i + 1;
	return 0;
}

static void
s1(struct judging *g)
{
	struct filter_judge *j = g->j;
	int n = key_number(g->fl->name);

	if (j->config_ready)
		object(g, "config|%s after config|ready", g->fl->name);
	else if (n == 0)
		object(g, "config|%s is nothing smtpd sends", g->fl->name);
	else if (n < j->config || (n == j->config &&
	    strcmp(g->fl->name, "subsystem") != 0))
		object(g, "config|%s after config|%s", g->fl->name,
		    keys[j->config - 1]);
	else if (strcmp(g->fl->name, "admd") == 0 && j->facts.admd != NULL &&
	    (g->fl->nfields == 0 ||
	    strcmp(g->fl->field[0], j->facts.admd) != 0))
		object(g, "config|admd is not %s", j->facts.admd);
	if (n > j->config)
		j->config = n;
}

static void
s2(struct judging *g)
{
	if (!g->j->seen.ready)
		object(g, "%s before register|ready", g->fl->name);
}

static void
s3(struct judging *g)
{
	struct filter_judge *j = g->j;
	int modern = j->daemon != NULL && version_cmp(j->daemon, "7.6") >= 0;

	if (g->on == ON_CONFIG && strcmp(g->fl->name, "protocol") == 0)
		j->said_protocol = 1;
	if (g->on == ON_CONFIG && j->daemon != NULL &&
	    strcmp(g->fl->name, "ready") == 0 && modern != j->said_protocol)
		object(g, "smtpd %s and %s config|protocol", j->daemon,
		    modern ? "no" : "a");
	if (g->on != ON_CONFIG && j->first_version == 0 && j->said_protocol &&
	    g->fl->version != j->version)
		object(g, "config|protocol|0.%d and a line of 0.%d", j->version,
		    g->fl->version);
}

static void
s4(struct judging *g)
{
	static const char *const names[] = { "smtp-in", "smtp-out" };
	struct filter_judge *j = g->j;
	const char *value;
	unsigned i;

	if (g->fl->bad == BAD_SUBSYSTEM) {
		object(g, "%s", g->fl->error);
		return;
	}
	if (g->on != ON_CONFIG)
		return;
	value = g->fl->nfields > 0 ? g->fl->field[0] : "";
	if (strcmp(g->fl->name, "subsystem") == 0) {
		for (i = 0; i < nitems(names); i++)
			if (strcmp(names[i], value) == 0)
				break;
		if (i == nitems(names) || (j->subsystems & 1u << i))
			object(g, "config|subsystem|%s", value);
		else
			j->subsystems |= 1u << i;
	}
	if (strcmp(g->fl->name, "ready") == 0 && j->facts.subsystems != 0 &&
	    j->subsystems != j->facts.subsystems)
		object(g, "the configuration uses it otherwise than for%s%s",
		    j->subsystems & 1 ? " smtp-in" : "",
		    j->subsystems & 2 ? " smtp-out" : "");
}

static void
s5(struct judging *g)
{
	if (g->fl->bad == BAD_VERSION)
		object(g, "%s", g->fl->error);
	else if (g->fl->bad == BAD_NOTHING && g->j->first_version != 0 &&
	    g->fl->version != g->j->first_version)
		object(g, "a line of 0.%d, they were of 0.%d", g->fl->version,
		    g->j->first_version);
}

static int
is_hex(const char *s, size_t n)
{
	return strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

/* The first field of all tx events; of tx-reset it may be missing in theory. */
static void
s6_msgid(struct judging *g)
{
	const struct filter_line *fl = g->fl;
	uint64_t evpid;
	unsigned long msgid;

	if (!is_hex(fl->field[0], 8) || strcmp(fl->field[0], "00000000") == 0) {
		object(g, "%s of message %s", fl->name, fl->field[0]);
		return;
	}
	if (fl->point != EV_TX_ENVELOPE)
		return;
	msgid = strtoul(fl->field[0], NULL, 16);
	evpid = strtoull(fl->field[1], NULL, 16);
	if (!is_hex(fl->field[1], 16) || evpid >> 32 != msgid)
		object(g, "envelope %s of message %s", fl->field[1],
		    fl->field[0]);
}

static void
s6(struct judging *g)
{
	const struct filter_line *fl = g->fl;

	if (fl->bad == BAD_ID || fl->bad == BAD_FIELDS)
		object(g, "%s", fl->error);
	else if (fl->bad != BAD_NOTHING)
		return;
	else if (fl->id == 0 || (g->on == ON_REQUEST && fl->tok == 0))
		object(g, "%s with a zero for an id", fl->name);
	else if (g->on == ON_REPORT && fl->point >= EV_TX_RESET &&
	    fl->point <= EV_TX_ROLLBACK) {
		if (fl->nfields == 0)
			object(g, "%s without a message", fl->name);
		else
			s6_msgid(g);
	}
}

static void
s7(struct judging *g)
{
	if (g->fl->bad == BAD_TIME)
		object(g, "%s", g->fl->error);
}

static int
listens(const char *listener, const char *dest)
{
	const char *port = strrchr(dest, ':');

	if (strcmp(listener, "unix:") == 0)
		return strncmp(dest, "unix:", 5) == 0;
	if (listener[0] == '*')
		return port != NULL && strcmp(port, listener + 1) == 0;
	return strcmp(listener, dest) == 0;
}

/* A session of a listener that has another filter, or none. */
static void
s8_listener(struct judging *g)
{
	const struct filter_facts *f = &g->j->facts;
	const char *dest;
	size_t i;

	if (!IS_EVENT(g, EV_LINK_CONNECT) || f->listeners == NULL ||
	    (g->s != NULL && g->s->out))
		return;
	dest = g->fl->field[3];
	for (i = 0; i < f->nlisteners; i++)
		if (listens(f->listeners[i], dest))
			return;
	object(g, "a session of %s, where it does not filter", dest);
}

static void
s8(struct judging *g)
{
	const struct filter_line *fl = g->fl;

	if (fl->bad == BAD_KIND || fl->bad == BAD_EMPTY ||
	    fl->bad == BAD_POINT)
		object(g, "%s", fl->error);
	else if (fl->bad != BAD_NOTHING || !g->j->seen.ready)
		return;
	else if (g->on == ON_REPORT && !hears(g, fl->point))
		object(g, "the event %s, which is not registered", fl->name);
	else if (g->on == ON_REQUEST && !asks(g, fl->point))
		object(g, "the phase %s, which is not registered", fl->name);
	else
		s8_listener(g);
}

#define LINES	(ON_REPORT | ON_REQUEST)

const struct rule rules_daemon[] = {
	{ { "S1", "config lines come in their order, before one config|ready",
	    "*" }, ON_CONFIG, s1 },
	{ { "S2", "no report and no request before register|ready", "*" },
	    LINES, s2 },
	{ { "S3", "config|protocol from 7.6 on, the version of the lines",
	    "*" }, ON_CONFIG | LINES, s3 },
	{ { "S4", "config|subsystem for each use in the configuration", "*" },
	    ON_DAEMON | ON_MALFORMED, s4 },
	{ { "S5", "all lines have the same version", "*" },
	    LINES | ON_MALFORMED, s5 },
	{ { "S6", "ids have 8 or 16 digits and are not zero, an envelope's "
	    "begins with its message's", "*" }, LINES | ON_MALFORMED, s6 },
	{ { "S7", "times have six digits of a second", "*" },
	    LINES | ON_MALFORMED, s7 },
	{ { "S8", "only what was registered comes, of sessions that are "
	    "filtered", "*" },
	    LINES | ON_STRAY | ON_MALFORMED, s8 },
	{ { NULL, NULL, NULL }, 0, NULL }
};
