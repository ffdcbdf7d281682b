/* The daemon's side: a session, S9 to S22, S43 to S48. */
#include <stdlib.h>
#include <string.h>

#include "filter_judge_priv.h"
#include "regex.h"

#define LINES	(ON_REPORT | ON_REQUEST)

/* What a client says for a phase; NULL: nothing, or no response for it. */
static const char *const commands[PH_COUNT] = {
	[PH_HELO] = "HELO", [PH_EHLO] = "EHLO", [PH_STARTTLS] = "STARTTLS",
	[PH_AUTH] = "AUTH", [PH_MAIL_FROM] = "MAIL FROM:",
	[PH_RCPT_TO] = "RCPT TO:", [PH_DATA] = "DATA", [PH_RSET] = "RSET",
	[PH_QUIT] = "QUIT", [PH_NOOP] = "NOOP", [PH_COMMIT] = "."
};

/* A command ends at a blank, but for those that end in a colon. */
static int
command_is(const char *line, const char *command)
{
	size_t n = strlen(command);

	return line != NULL && strncasecmp(line, command, n) == 0 &&
	    (line[n] == '\0' || line[n] == ' ' || command[n - 1] == ':');
}

int
client_said(const struct fsession *s, int phase)
{
	return commands[phase] != NULL &&
	    command_is(s->client, commands[phase]);
}

/* The phase of the client's last line, -1: of none. */
static int
client_phase(const struct fsession *s)
{
	int i;

	for (i = 0; i < PH_COUNT; i++)
		if (client_said(s, i))
			return i;
	return -1;
}

int
server_said(const struct fsession *s, const char *code)
{
	return s->server != NULL && strncmp(s->server, code, strlen(code)) == 0;
}

static void
s9(struct judging *g)
{
	if (IS_EVENT(g, EV_LINK_CONNECT)) {
		if (g->s->nlines > 0)
			object(g, "link-connect after other lines");
	} else if (hears(g, EV_LINK_CONNECT) && g->s->nlines == 0)
		object(g, "it begins with %s", g->fl->name);
}

static void
s10(struct judging *g)
{
	if (g->s->gone)
		object(g, "%s after link-disconnect", g->fl->name);
}

static void
s11(struct judging *g)
{
	struct fsession *s = g->s;
	int talked = s->count[EV_PROTOCOL_CLIENT] > 0 ||
	    s->count[EV_PROTOCOL_SERVER] > 0;

	if (IS_PHASE(g, PH_CONNECT) &&
	    ((s->phases & 1u << PH_CONNECT) || talked))
		object(g, s->phases & 1u << PH_CONNECT ? "asked twice" :
		    "asked after the session began");
	if (asks(g, PH_CONNECT) && !(g->j->facts.others & OTHERS_BEFORE) &&
	    !(s->phases & 1u << PH_CONNECT) && !talked &&
	    (IS_EVENT(g, EV_PROTOCOL_CLIENT) ||
	    IS_EVENT(g, EV_PROTOCOL_SERVER)))
		object(g, "%s before it was asked", g->fl->name);
}

static void
s12(struct judging *g)
{
	struct fsession *s = g->s;
	int banner = s->last == EV_PROTOCOL_SERVER && server_said(s, "220") &&
	    s->count[EV_PROTOCOL_SERVER] == 1;

	if (!hears(g, EV_PROTOCOL_SERVER) || !hears(g, EV_LINK_GREETING))
		return;
	if (IS_EVENT(g, EV_LINK_GREETING) && !banner)
		object(g, "link-greeting %s", s->count[EV_LINK_GREETING] > 0 ?
		    "twice" : "without a 220 before it");
	else if (g->on == ON_REPORT && banner &&
	    g->fl->point != EV_LINK_GREETING)
		object(g, "%s after the 220", g->fl->name);
}

static void
s13(struct judging *g)
{
	struct fsession *s = g->s;
	int heard = hears(g, EV_PROTOCOL_CLIENT) &&
	    hears(g, EV_PROTOCOL_SERVER) && hears(g, EV_LINK_TLS);

	if (!heard)
		return;
	if (IS_EVENT(g, EV_LINK_TLS)) {
		if (s->count[EV_PROTOCOL_SERVER] > 0 && !s->starttls)
			object(g, "link-tls, and no STARTTLS was answered 220");
	} else if (s->starttls && g->fl->point != EV_LINK_DISCONNECT &&
	    g->fl->point != EV_TIMED_OUT)
		object(g, "%s between STARTTLS and link-tls", g->fl->name);
	else if (IS_EVENT(g, EV_TX_BEGIN) && hears(g, EV_LINK_IDENTIFY) &&
	    s->count[EV_LINK_TLS] > 0 && !s->identified)
		object(g, "tx-begin without link-identify since link-tls");
}

static int
response_phase(const struct filter_line *fl)
{
	const char *name = fl->field[0];

	if (strcmp(name, "connected") == 0)
		return PH_CONNECT;
	if (strcmp(name, "tls") == 0)
		return PH_STARTTLS;
	return strcmp(name, "connect") == 0 || strcmp(name, "starttls") == 0 ?
	    -1 : filter_phase(name);
}

/* Is this what the session is at? */
static int
phase_fits(const struct fsession *s, int phase)
{
	if (phase == PH_CONNECT)
		return s->client == NULL;
	return client_said(s, phase) && !s->answered;
}

static void
s14_reply(struct judging *g)
{
	struct fsession *s = g->s;
	const char *reply = g->fl->field[0];
	int phase = s->client == NULL ? PH_CONNECT : client_phase(s);

	if ((s->client == NULL ? s->server != NULL : s->answered) ||
	    phase == -1 || (*reply != '2' && *reply != '3'))
		return;
	if (phase == PH_COMMIT && hears(g, EV_TX_DATA) && s->tx.datas == 0)
		return;
	if (s->responded != phase + 1)
		object(g, "\"%s\" to %s without a filter-response", reply,
		    s->client == NULL ? "connecting" : s->client);
}

static void
s14(struct judging *g)
{
	int phase = -1;

	if (!hears(g, EV_PROTOCOL_CLIENT) || !hears(g, EV_PROTOCOL_SERVER) ||
	    !hears(g, EV_FILTER_RESPONSE))
		return;
	if (IS_EVENT(g, EV_PROTOCOL_SERVER)) {
		s14_reply(g);
		return;
	}
	if (IS_EVENT(g, EV_FILTER_RESPONSE))
		phase = response_phase(g->fl);
	else if (g->on == ON_REQUEST && g->fl->point != PH_DATA_LINE)
		phase = g->fl->point;
	else
		return;
	if (phase == -1 || !phase_fits(g->s, phase) || g->s->responded != 0)
		object(g, "%s %s after %s", g->on == ON_REPORT ?
		    "filter-response" : "filter", g->on == ON_REPORT ?
		    g->fl->field[0] : g->fl->name, g->s->client == NULL ?
		    "connecting" : g->s->client);
}

/* What smtpd makes of a text it does not like is its own affair. */
static int
reply_is_good(const char *s)
{
	return regex_match("\\A[45][0-9][0-9] .+\\z", s, strlen(s), NULL, NULL);
}

static void
s15_own(struct judging *g)
{
	const struct asked *a = &g->s->asked;
	const char *decision = g->fl->field[1], *wanted = a->decision;
	const char *param = g->fl->nfields > 2 ? g->fl->field[2] : "";

	if (a->open) {
		object(g, "%s %s while the filter is still asked",
		    g->fl->field[0], decision);
		return;
	}
	if (strcmp(wanted, "proceed") == 0 && g->j->facts.others != 0)
		return;
	if (strcmp(wanted, "reject") == 0 || strcmp(wanted, "disconnect") == 0) {
		if (!reply_is_good(a->answer))
			return;
		if (strncmp(a->answer, "421", 3) == 0)
			wanted = "disconnect";
	}
	if (strcmp(decision, wanted) != 0)
		object(g, "%s %s, the filter said %s", g->fl->field[0],
		    decision, a->decision);
	else if (a->answer != NULL && strcmp(param, a->answer) != 0)
		object(g, "%s %s with \"%s\", the filter said \"%s\"",
		    g->fl->field[0], decision, param, a->answer);
}

static void
s15(struct judging *g)
{
	const struct asked *a = &g->s->asked;
	int phase;

	if (!IS_EVENT(g, EV_FILTER_RESPONSE))
		return;
	phase = response_phase(g->fl);
	if (phase != -1 && a->phase == phase && !a->responded)
		s15_own(g);
	else if (phase != -1 && !asks(g, phase) && g->j->facts.others == 0 &&
	    strcmp(g->fl->field[1], "proceed") != 0)
		object(g, "%s %s, and no filter was asked", g->fl->field[0],
		    g->fl->field[1]);
}

static void
s16(struct judging *g)
{
	const char *decision;

	if (!IS_EVENT(g, EV_FILTER_RESPONSE) || g->fl->nfields < 3)
		return;
	decision = g->fl->field[1];
	if (strcmp(decision, "proceed") == 0 || strcmp(decision, "junk") == 0)
		object(g, "%s with \"%s\"", decision, g->fl->field[2]);
}

static void
s17(struct judging *g)
{
	if (g->s->asked.open && (IS_EVENT(g, EV_PROTOCOL_CLIENT) ||
	    (g->on == ON_REQUEST && g->fl->point != PH_DATA_LINE)))
		object(g, "%s while %s is not answered", g->fl->name,
		    filter_phases[g->s->asked.phase].name);
}

static void
s18(struct judging *g)
{
	const struct filter_judge *j = g->j;
	int most = j->facts.entries == 0 ? 1 : (int)j->facts.entries;
	int phase = g->fl->point, p, i;

	for (p = 0; p < PH_COUNT; p++)
		for (i = 0; i < j->ntokens[p]; i++)
			if (j->tokens[p][i] == g->fl->tok) {
				if (p != phase)
					object(g, "the token of %s at %s",
					    filter_phases[p].name,
					    g->fl->name);
				return;
			}
	if (j->ntokens[phase] >= most)
		object(g, "another token at %s than before: %s", g->fl->name,
		    g->fl->token);
}

static void
s19(struct judging *g)
{
	struct fsession *s = g->s;
	int phase, heard = hears(g, EV_PROTOCOL_CLIENT) &&
	    hears(g, EV_PROTOCOL_SERVER) && hears(g, EV_LINK_IDENTIFY) &&
	    hears(g, EV_FILTER_RESPONSE);

	if (IS_EVENT(g, EV_PROTOCOL_SERVER) && heard) {
		if ((client_said(s, PH_EHLO) || client_said(s, PH_HELO)) &&
		    !s->answered && g->fl->field[0][0] == '2' &&
		    s->last != EV_LINK_IDENTIFY)
			object(g, "\"%s\" without link-identify",
			    g->fl->field[0]);
	}
	if (!IS_EVENT(g, EV_LINK_IDENTIFY))
		return;
	phase = strcmp(g->fl->field[0], "EHLO") == 0 ? PH_EHLO : PH_HELO;
	if (heard && (s->responded != phase + 1 || s->answered))
		object(g, "link-identify %s after %s", g->fl->field[0],
		    s->answered ? "the reply" : "no response");
	else if (asks(g, phase) && g->j->facts.others == 0 &&
	    s->identity != NULL && strcmp(s->identity, g->fl->field[1]) != 0)
		object(g, "link-identify is \"%s\", the filter had \"%s\"",
		    g->fl->field[1], s->identity);
}

static void
s20(struct judging *g)
{
	if (IS_EVENT(g, EV_LINK_IDENTIFY) && g->s->rejected)
		object(g, "link-identify, and it was rejected");
}

static void
s21(struct judging *g)
{
	struct fsession *s = g->s;
	const char *reply = g->fl->field[0];
	const char *want = s->auth == 'p' ? "235" : s->auth == 'f' ? "535" :
	    "4";

	if (!hears(g, EV_LINK_AUTH) || !hears(g, EV_PROTOCOL_SERVER))
		return;
	if (s->auth == 0) {
		if (IS_EVENT(g, EV_PROTOCOL_SERVER) &&
		    (strncmp(reply, "235", 3) == 0 ||
		    (strncmp(reply, "535", 3) == 0 && !s->rejected)))
			object(g, "\"%s\" without link-auth", reply);
	} else if (IS_EVENT(g, EV_PROTOCOL_SERVER)) {
		if (strncmp(reply, want, strlen(want)) != 0)
			object(g, "\"%s\" after link-auth %s", reply,
			    s->auth == 'p' ? "pass" :
			    s->auth == 'f' ? "fail" : "error");
	} else if (g->fl->point != EV_LINK_DISCONNECT &&
	    g->fl->point != EV_TIMED_OUT)
		object(g, "%s between link-auth and the reply", g->fl->name);
}

static void
s22(struct judging *g)
{
	const char *line = g->fl->field[0];

	if (!IS_EVENT(g, EV_PROTOCOL_CLIENT))
		return;
	if (g->s->asking_auth ? strcmp(line, "********") != 0 :
	    regex_match("(?i)\\Aauth\\s+plain\\s+(?!\\*{8}\\z)\\S", line,
	    strlen(line), NULL, NULL))
		object(g, "a credential is shown: %.30s...", line);
}

/* --- S43 to S48 ----------------------------------------------------------- */

static void
s43(struct judging *g)
{
	int ev = g->fl->point;

	if (g->s->count[EV_TIMED_OUT] > 0 && (g->on == ON_REQUEST ?
	    ev != PH_DATA_LINE : ev != EV_TX_ROLLBACK && ev != EV_TX_RESET &&
	    ev != EV_LINK_DISCONNECT))
		object(g, "%s after timeout", g->fl->name);
}

static void
s44(struct judging *g)
{
	static const unsigned empty = 1u << PH_STARTTLS | 1u << PH_DATA |
	    1u << PH_RSET | 1u << PH_QUIT | 1u << PH_NOOP | 1u << PH_COMMIT;

	if ((empty & 1u << g->fl->point) && *g->fl->field[0] != '\0')
		object(g, "%s with \"%s\"", g->fl->name, g->fl->field[0]);
}

/* Between the brackets of the client's line; NULL: there are none. */
static const char *
client_address(const struct fsession *s, size_t *len)
{
	const char *p, *end;

	if (s->client == NULL || (p = strchr(s->client, '<')) == NULL ||
	    (end = strchr(p, '>')) == NULL)
		return NULL;
	*len = (size_t)(end - p - 1);
	return p + 1;
}

static void
s45(struct judging *g)
{
	const struct filter_line *fl = g->fl;
	const char *addr, *said;
	size_t len;
	int report = IS_EVENT(g, EV_TX_MAIL) || IS_EVENT(g, EV_TX_RCPT);

	if (!report && !IS_PHASE(g, PH_MAIL_FROM) && !IS_PHASE(g, PH_RCPT_TO))
		return;
	addr = fl->field[fl->nfields - 1];
	if (*addr == '<' || strchr(addr, '>') != NULL)
		object(g, "%s of %s", fl->name, addr);
	else if (hears(g, EV_PROTOCOL_CLIENT) &&
	    (client_said(g->s, PH_MAIL_FROM) || client_said(g->s, PH_RCPT_TO)) &&
	    (said = client_address(g->s, &len)) != NULL &&
	    (strlen(addr) != len || memcmp(said, addr, len) != 0))
		object(g, "%s of \"%s\", the client said \"%.*s\"", fl->name,
		    addr, (int)len, said);
}

/* Nobody splits a line otherwise than it was put together. */
static void
s46(struct judging *g)
{
	const struct filter_line *fl = g->fl;
	const char *name = fl->nfields == 0 ? "" : fl->field[fl->nfields - 1];

	if (IS_EVENT(g, EV_LINK_CONNECT)) {
		if (strcmp(fl->field[1], "pass") != 0 &&
		    strcmp(fl->field[1], "fail") != 0 &&
		    strcmp(fl->field[1], "error") != 0)
			object(g, "%s after \"%s\"", fl->field[1],
			    fl->field[0]);
	} else if ((IS_PHASE(g, PH_CONNECT) || IS_PHASE(g, PH_HELO) ||
	    IS_PHASE(g, PH_EHLO) || IS_EVENT(g, EV_LINK_IDENTIFY)) &&
	    strchr(name, '|') != NULL)
		object(g, "%s of %s", fl->name, name);
}

static void
s46_address(struct judging *g)
{
	const struct filter_line *fl = g->fl;
	int report = IS_EVENT(g, EV_TX_MAIL) || IS_EVENT(g, EV_TX_RCPT);

	if (report ? strcmp(fl->field[1], "ok") != 0 :
	    !IS_PHASE(g, PH_MAIL_FROM) && !IS_PHASE(g, PH_RCPT_TO))
		return;
	if (strchr(fl->field[fl->nfields - 1], '|') != NULL)
		object(g, "%s of %s", fl->name, fl->field[fl->nfields - 1]);
}

static void
s47(struct judging *g)
{
	const struct fsession *s;
	const struct data_line *l;

	if (g->j->before == NULL || !IS_PHASE(g, PH_DATA_LINE))
		return;
	s = judge_session(g->j->before, g->fl->id);
	l = s == NULL ? NULL : STAILQ_FIRST(&s->data.sent);
	if (l == NULL || !line_is(l, g->fl->field[0], g->fl->lastlen))
		object(g, "\"%.60s\", %s said \"%.60s\"", g->fl->field[0],
		    g->j->before->name, l == NULL ? "nothing" : l->text);
}

static void
s48(struct judging *g)
{
	if (!g->s->out)
		return;
	if (g->on == ON_REQUEST)
		object(g, "filter %s on smtp-out", g->fl->name);
	else if (IS_EVENT(g, EV_LINK_CONNECT) &&
	    strcmp(g->fl->field[1], "pass") != 0)
		object(g, "link-connect with %s", g->fl->field[1]);
}

const struct rule rules_session[] = {
	{ { "S9", "a session begins with link-connect", "*" },
	    LINES | IN_ONLY, s9 },
	{ { "S10", "link-disconnect comes once and last, and no session has "
	    "its id again", "*" }, LINES, s10 },
	{ { "S11", "connect is asked once, before anybody speaks", "*" },
	    LINES | IN_ONLY, s11 },
	{ { "S12", "link-greeting once, right after the 220", "*" },
	    ON_REPORT | IN_ONLY, s12 },
	{ { "S13", "link-tls before the greeting or after STARTTLS and its "
	    "220, then link-identify anew", "*" }, ON_REPORT | IN_ONLY, s13 },
	{ { "S14", "each accepted command has its request, its "
	    "filter-response, then its effects", "*" }, LINES | IN_ONLY, s14 },
	{ { "S15", "filter-response is what the filter said", "*" },
	    ON_REPORT | IN_ONLY, s15 },
	{ { "S16", "filter-response proceed or junk has no parameter", "*" },
	    ON_REPORT | IN_ONLY, s16 },
	{ { "S17", "no next command before the answer", "*" },
	    LINES | IN_ONLY, s17 },
	{ { "S18", "one token for each phase, in all sessions", "*" },
	    ON_REQUEST | IN_ONLY, s18 },
	{ { "S19", "link-identify between filter-response and reply, of the "
	    "name that was asked about", "*" }, ON_REPORT | IN_ONLY, s19 },
	{ { "S20", "no link-identify for what was rejected", "*" },
	    ON_REPORT | IN_ONLY, s20 },
	{ { "S21", "link-auth before 235, and before 535", "*" },
	    ON_REPORT | IN_ONLY, s21 },
	{ { "S22", "no credential in protocol-client", "*" },
	    ON_REPORT | IN_ONLY, s22 },
	{ { "S43", "after timeout the session only ends", "*" },
	    LINES | IN_ONLY, s43 },
	{ { "S44", "phases without a parameter have an empty one", "*" },
	    ON_REQUEST | IN_ONLY, s44 },
	{ { "S45", "addresses are the client's, without brackets and options",
	    "*" }, LINES | IN_ONLY, s45 },
	{ { "S46", "no bar in host names", "*" }, LINES | IN_ONLY, s46 },
	{ { "S46", "no bar in addresses", ">=7.9" }, LINES | IN_ONLY,
	    s46_address },
	{ { "S47", "in a chain a filter gets the lines of the one before it",
	    "*" }, ON_REQUEST | IN_ONLY, s47 },
	{ { "S48", "only reports on smtp-out, with fcrdns pass", "*" },
	    LINES, s48 },
	{ { NULL, NULL, NULL }, 0, NULL }
};
