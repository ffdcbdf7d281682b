/* The filter's side, F1 to F34. */
#include <sys/wait.h>

#include <stdlib.h>
#include <string.h>

#include "filter_judge_priv.h"
#include "regex.h"

#define MAX_LINE	65536		/* what smtpd takes at once */
#define MAX_LINE_OLD	2048
#define MAX_STDERR	65536
#define MAX_STDERR_LINES 1000		/* and as many for each session */
#define READY_TIME	10000000	/* us */

#define ANSWERS		(ON_RESULT | ON_DATALINE)
#define ANY_LINE	(ON_FILTER | ON_STRAY | ON_MALFORMED)

/* --- registration --------------------------------------------------------- */

static void
f1(struct judging *g)
{
	if (!g->j->seen.ready && g->fl->kind != FILTER_REGISTER &&
	    g->fl->bad != BAD_EMPTY)
		object(g, "before register|ready: %.80s", g->raw);
}

static void
f2(struct judging *g)
{
	struct filter_judge *j = g->j;
	uint64_t limit = j->facts.owed != 0 ? j->facts.owed : READY_TIME;

	if (g->on == ON_REGISTER && j->seen.ready)
		object(g, "after register|ready: %.80s", g->raw);
	if ((g->on == ON_TIME || g->on == ON_END) && j->config_ready &&
	    !j->seen.ready && !j->told_ready &&
	    (g->on == ON_END || j->now - j->config_time > limit)) {
		j->told_ready = 1;
		object(g, "no register|ready");
	}
}

static void
f3(struct judging *g)
{
	const struct filter_line *fl = g->fl;
	const struct filter_seen *seen = &g->j->seen;
	unsigned had, bits;

	if (fl->kind != FILTER_REGISTER)
		return;
	if (fl->bad != BAD_NOTHING) {
		object(g, "%s: %.80s", fl->error, g->raw);
		return;
	}
	if (fl->name == NULL)
		return;
	had = strcmp(fl->what, "filter") == 0 ? seen->phases :
	    strcmp(fl->subsystem, "smtp-in") == 0 ? seen->events_in :
	    seen->events_out;
	bits = *fl->name == '*' ? ~0u : 1u << fl->point;
	if (had & bits)
		object(g, "registered twice: %.80s", g->raw);
}

/* --- lines ---------------------------------------------------------------- */

/* A message may hold bare CRs, and they come back. */
static void
f4(struct judging *g)
{
	if (memchr(g->raw, '\r', g->len) != NULL &&
	    (g->on != ON_DATALINE || g->s == NULL || !g->s->data.cr))
		object(g, "%.120s", g->raw);
}

static void
f5(struct judging *g)
{
	if (!g->terminated)
		object(g, "the last line has no end: %.80s", g->raw);
	else if (g->len + 1 >= MAX_LINE)
		object(g, "a line of %zu bytes: %.60s...", g->len, g->raw);
}

static void
f6(struct judging *g)
{
	if (g->len + 1 >= MAX_LINE_OLD && g->len + 1 < MAX_LINE)
		object(g, "a line of %zu bytes: %.60s...", g->len, g->raw);
}

static void
f7(struct judging *g)
{
	if (g->j->seen.ready && g->fl->bad == BAD_KIND &&
	    strncmp(g->raw, "report|", 7) != 0)
		object(g, "%.120s", g->raw);
}

static void
f8(struct judging *g)
{
	if (g->fl->bad == BAD_EMPTY)
		object(g, "an empty line");
}

/* --- whom an answer is for ------------------------------------------------ */

/* The phase this token stands for, or -1. */
static int
token_phase(const struct filter_judge *j, uint64_t token)
{
	int p, i;

	for (p = 0; p < PH_COUNT; p++)
		for (i = 0; i < j->ntokens[p]; i++)
			if (j->tokens[p][i] == token)
				return p;
	return -1;
}

static int
session_known(struct filter_judge *j, uint64_t id)
{
	struct fsession key;

	key.id = id;
	return RB_FIND(fsessions, &j->sessions, &key) != NULL;
}

static int
swapped(struct judging *g)
{
	return g->fl->bad == BAD_NOTHING && g->s == NULL &&
	    session_known(g->j, g->fl->tok);
}

static void
f9(struct judging *g)
{
	if (g->j->version >= 5 && swapped(g))
		object(g, "the token stands before the session: %.80s",
		    g->raw);
}

static int
ever_asked(const struct filter_judge *j)
{
	return j->seen.requests + j->seen.datalines > 0;
}

static void
f10(struct judging *g)
{
	if (g->fl->bad == BAD_ID)
		object(g, "%s", g->fl->error);
	else if (g->fl->bad != BAD_NOTHING || swapped(g))
		return;
	else if (g->s == NULL)
		object(g, "session %s was never heard of", g->fl->reqid);
	else if (ever_asked(g->j) && token_phase(g->j, g->fl->tok) == -1)
		object(g, "token %s was never heard of", g->fl->token);
}

static int
is_asked(const struct judging *g)
{
	return g->s->asked.open && g->s->asked.token == g->fl->tok;
}

static void
f11(struct judging *g)
{
	const struct asked *a = &g->s->asked;

	if (!a->open && a->phase != -1 && a->token == g->fl->tok)
		object(g, "a second answer to %s: %.80s",
		    filter_phases[a->phase].name, g->raw);
}

static void
f12(struct judging *g)
{
	int phase = token_phase(g->j, g->fl->tok);

	if (g->s->asked.phase == -1 && phase != PH_DATA_LINE &&
	    (phase != -1 || !ever_asked(g->j)))
		object(g, "an answer, and only reports came: %.80s", g->raw);
}

static void
f13(struct judging *g)
{
	int phase = token_phase(g->j, g->fl->tok);

	if (g->on == ON_DATALINE) {
		/* lines may be on their way when the client goes */
		if (phase != -1 && (phase != PH_DATA_LINE ||
		    (!g->s->data.in && !g->s->gone)))
			object(g, "no message is being filtered: %.80s",
			    g->raw);
		return;
	}
	if (phase != -1 && phase != PH_DATA_LINE && !is_asked(g) &&
	    g->s->asked.phase != -1 && g->s->asked.token != g->fl->tok)
		object(g, "an answer to %s, which was not asked: %.80s",
		    filter_phases[phase].name, g->raw);
}

/* For those that need a session that is known. */
#define WITH_SESSION(name)						\
static void								\
name##_s(struct judging *g)						\
{									\
	if (g->s != NULL)						\
		name(g);						\
}

WITH_SESSION(f11)
WITH_SESSION(f12)
WITH_SESSION(f13)

/* --- what it says --------------------------------------------------------- */

static void
f14(struct judging *g)
{
	if (g->fl->bad == BAD_DECISION && g->fl->kind == FILTER_RESULT)
		object(g, "%s", g->fl->error);
}

static void
f15(struct judging *g)
{
	if (g->fl->bad == BAD_PARAM && g->fl->nfields > 0)
		object(g, "%s: %.80s", g->fl->error, g->raw);
}

static int
decides(const struct judging *g, const char *decision)
{
	return g->fl->kind == FILTER_RESULT && g->fl->name != NULL &&
	    strcmp(g->fl->name, decision) == 0;
}

static const char *
parameter(const struct judging *g)
{
	return g->fl->nfields > 0 ? g->fl->field[0] : "";
}

static void
f16(struct judging *g)
{
	const char *p = parameter(g);

	if ((decides(g, "reject") || decides(g, "disconnect")) &&
	    !regex_match("\\A[45][0-9][0-9] .+\\z", p, strlen(p), NULL, NULL))
		object(g, "%s with \"%s\"", g->fl->name, p);
}

static void
f17(struct judging *g)
{
	const char *p = parameter(g);

	if (!decides(g, "rewrite"))
		return;
	if (g->fl->nfields == 0)
		object(g, "rewrite into nothing");
	else if (g->s != NULL && is_asked(g) &&
	    (g->s->asked.phase == PH_MAIL_FROM ||
	    g->s->asked.phase == PH_RCPT_TO) &&
	    !regex_match("\\A<[^>]*>", p, strlen(p), NULL, NULL))
		object(g, "rewrite of %s into \"%s\"",
		    filter_phases[g->s->asked.phase].name, p);
}

static void
f18(struct judging *g)
{
	int phase = token_phase(g->j, g->fl->tok);

	if (phase == PH_COMMIT && decides(g, "junk"))
		object(g, "junk at commit");
	if (phase == PH_DATA_LINE)
		object(g, "%s to a data-line", g->fl->name);
}

static void
f19(struct judging *g)
{
	if (strncmp(g->raw, "report|", 7) == 0 || decides(g, "report"))
		object(g, "%.120s", g->raw);
}

/* --- messages ------------------------------------------------------------- */

static void
f20(struct judging *g)
{
	if (g->s != NULL && g->s->data.out_end)
		object(g, "after the dot: %.80s", parameter(g));
}

static void
f21(struct judging *g)
{
	if (g->s != NULL && g->s->data.in && !g->s->data.in_end &&
	    strcmp(parameter(g), ".") == 0)
		object(g, "a dot, and the daemon has not said it");
}

/* What a client sent so comes back so. */
static void
f22(struct judging *g)
{
	const char *p = parameter(g);

	if (p[0] == '.' && p[1] != '\0' && p[1] != '.' &&
	    (g->s == NULL || !g->s->data.unstuffed))
		object(g, "%.80s", p);
}

static void
f23(struct judging *g)
{
	if (memchr(g->raw, '\0', g->len) != NULL)
		object(g, "a NUL after \"%.80s\"", g->raw);
}

/* Its line is another's: 1; NULL or its own: 0. */
static int
line_of_other(const struct judging *g)
{
	const struct fsession *s;
	const struct data_line *l;

	TAILQ_FOREACH(s, &g->j->alive, age)
		if (s != g->s && (l = STAILQ_FIRST(&s->data.lines)) != NULL &&
		    l->len > 1 && line_is(l, parameter(g), g->fl->lastlen))
			return 1;
	return 0;
}

static int
line_differs(const struct judging *g)
{
	const struct data_line *l;

	if (g->s == NULL || g->s->gone || g->j->facts.identity == 0 ||
	    g->s->data.out_end ||
	    token_phase(g->j, g->fl->tok) != PH_DATA_LINE)
		return 0;
	if (g->j->facts.identity == IDENTITY_ADDS && !g->s->data.out_body)
		return 0;
	l = STAILQ_FIRST(&g->s->data.lines);
	return l == NULL || !line_is(l, parameter(g), g->fl->lastlen);
}

static void
f24(struct judging *g)
{
	const struct data_line *l;

	if (!line_differs(g) || line_of_other(g) ||
	    strcmp(parameter(g), ".") == 0)
		return;
	l = STAILQ_FIRST(&g->s->data.lines);
	object(g, "\"%.60s\" of \"%.60s\"", parameter(g),
	    l == NULL ? "nothing" : l->text);
}

static void
f25(struct judging *g)
{
	const struct data *d;
	size_t len = g->fl->lastlen;

	if (g->s == NULL || token_phase(g->j, g->fl->tok) != PH_DATA_LINE)
		return;
	d = &g->s->data;
	if (d->in && !d->out_body && !d->in_odd && len > 0 &&
	    strcmp(parameter(g), ".") != 0 &&
	    !header_line(parameter(g), len, d->nout == 0))
		object(g, "in the header: %.80s", parameter(g));
}

static void
f26(struct judging *g)
{
	if (line_differs(g) && line_of_other(g))
		object(g, "another session's line: %.80s", parameter(g));
}

/* --- time ----------------------------------------------------------------- */

static int
late(const struct judging *g, uint64_t since)
{
	return g->on == ON_END || (g->j->facts.owed != 0 &&
	    g->j->now - since > g->j->facts.owed);
}

static void
f27_session(struct judging *g)
{
	struct asked *a = &g->s->asked;
	struct data *d = &g->s->data;
	unsigned long long ms;

	if (a->open && !a->told && late(g, a->since)) {
		a->told = 1;
		ms = (g->j->now - a->since) / 1000;
		object(g, "no answer to %s after %llu ms",
		    filter_phases[a->phase].name, ms);
	}
	if (d->in_end && !d->out_end && !d->told && late(g, d->since)) {
		d->told = 1;
		ms = (g->j->now - d->since) / 1000;
		object(g, "the message has not come back after %llu ms: "
		    "%lu lines of %lu", ms, d->nout, d->nin);
	}
}

static void
f27(struct judging *g)
{
	if (!g->j->exited && !g->j->eof_f)
		each_session(g, f27_session);
}

/* Two wait, and since the second was asked nobody was answered. */
static void
f28(struct judging *g)
{
	const struct fsession *s, *first = NULL;
	uint64_t half = g->j->facts.owed / 2;

	if (half == 0 || g->j->told_blocked || g->j->exited)
		return;
	TAILQ_FOREACH(s, &g->j->alive, age) {
		if (!s->asked.open || s->spared ||
		    g->j->now - s->asked.since < half ||
		    g->j->last_answer > s->asked.since)
			continue;
		if (first == NULL) {
			first = s;
			continue;
		}
		g->j->told_blocked = 1;
		object(g, "sessions %016llx and %016llx both wait",
		    (unsigned long long)first->id, (unsigned long long)s->id);
		return;
	}
}

/* --- the process ---------------------------------------------------------- */

/* How it ended, if it should not have. */
static int
ended_badly(const struct judging *g)
{
	return g->on == ON_EXIT && (!g->j->eof_d || WIFSIGNALED(g->status));
}

static void
say_exit(struct judging *g, const char *after)
{
	if (WIFSIGNALED(g->status))
		object(g, "SIG%s%s", sigabbrev_np(WTERMSIG(g->status)), after);
	else
		object(g, "exited with status %d%s", WEXITSTATUS(g->status),
		    after);
}

/*
 * A sanitizer or valgrind that has found something, or a panic; a shell's loop
 * may well end with 1.
 */
static int
ended_odd(const struct judging *g)
{
	return g->on == ON_EXIT && g->j->eof_d && g->j->seen.ready &&
	    WIFEXITED(g->status) && WEXITSTATUS(g->status) > 1;
}

static void
f29(struct judging *g)
{
	if (ended_badly(g) && g->j->cause == 0)
		say_exit(g, "");
	else if (ended_odd(g))
		say_exit(g, " after the end of its input");
	if (g->on == ON_END && !g->j->exited) {
		if (g->j->eof_f && !g->j->eof_d)
			object(g, "closed its output");
		else if (g->j->eof_d && g->j->facts.child)
			object(g, "still there after the end of its input");
	}
}

static void
f30(struct judging *g)
{
	if (ended_badly(g) && g->j->cause == 30)
		say_exit(g, " after what it does not know");
}

static void
f31(struct judging *g)
{
	object(g, "%lu %s, it began with %lu", g->grown, g->raw, g->base);
}

static void
f32(struct judging *g)
{
	unsigned long most = MAX_STDERR_LINES * (1 + g->j->seen.sessions);

	if (g->len >= MAX_STDERR)
		object(g, "a line of %zu bytes: %.60s...", g->len, g->raw);
	if (g->j->nstderr == most + 1)
		object(g, "more than %lu lines: %.80s", most, g->raw);
}

static void
f33(struct judging *g)
{
	if (ended_badly(g) && g->j->cause == 33)
		say_exit(g, " after an event of a session that was over, "
		    "or that it did not see begin");
}

static void
f34(struct judging *g)
{
	if (ended_badly(g) && g->j->cause == 34)
		say_exit(g, " after a transaction that never began");
}

const struct rule rules_filter[] = {
	{ { "F1", "only register lines before register|ready", "*" },
	    ANY_LINE, f1 },
	{ { "F2", "register|ready once, soon after config|ready, and nothing "
	    "registered after it", "*" }, ON_REGISTER | ON_TIME | ON_END, f2 },
	{ { "F3", "each registered once, and it exists", "*" },
	    ON_REGISTER | ON_MALFORMED, f3 },
	{ { "F4", "no CR that the message does not have", "*" },
	    ANY_LINE, f4 },
	{ { "F5", "a line ends with LF and has less than 65536 bytes", "*" },
	    ANY_LINE, f5 },
	{ { "F6", "a line has less than 2048 bytes, smtpd cuts it", "<7.4" },
	    ANY_LINE, f6 },
	{ { "F7", "a line is a filter-result or a filter-dataline", "*" },
	    ON_STRAY | ON_MALFORMED, f7 },
	{ { "F8", "no empty line", "*" }, ON_STRAY | ON_MALFORMED, f8 },
	{ { "F9", "the session comes before the token", "*" }, ANSWERS, f9 },
	{ { "F10", "session and token are those of the request", "*" },
	    ANSWERS | ON_MALFORMED, f10 },
	{ { "F11", "one answer to a request", "*" }, ON_RESULT, f11_s },
	{ { "F12", "no answer to a report", "*" }, ON_RESULT, f12_s },
	{ { "F13", "no answer that was not asked for", "*" },
	    ANSWERS, f13_s },
	{ { "F14", "a decision that exists", "*" },
	    ON_RESULT | ON_MALFORMED, f14 },
	{ { "F15", "proceed and junk take no parameter", "*" },
	    ON_RESULT | ON_MALFORMED, f15 },
	{ { "F16", "reject and disconnect say 4yz or 5yz and a text", "*" },
	    ON_RESULT | ON_MALFORMED, f16 },
	{ { "F17", "an address is rewritten into one in angle brackets", "*" },
	    ON_RESULT | ON_MALFORMED, f17 },
	{ { "F18", "no junk at commit, no result for a data-line", "*" },
	    ON_RESULT, f18 },
	{ { "F19", "nothing reported to the daemon", "*" },
	    ON_RESULT | ON_STRAY | ON_MALFORMED, f19 },
	{ { "F20", "one dot ends a message, and nothing follows", "*" },
	    ON_DATALINE, f20 },
	{ { "F21", "no dot before the daemon's", "*" }, ON_DATALINE, f21 },
	{ { "F22", "leading dots stay doubled", "*" }, ON_DATALINE, f22 },
	{ { "F23", "no NUL", "*" }, ANY_LINE, f23 },
	{ { "F24", "what is not to be changed comes back as it was", "*" },
	    ON_DATALINE, f24 },
	{ { "F25", "the header comes first, its folded lines kept", "*" },
	    ON_DATALINE, f25 },
	{ { "F26", "nothing of one session in another", "*" },
	    ON_DATALINE, f26 },
	{ { "F27", "every answer that is owed comes in time", "*" },
	    ON_TIME | ON_END, f27 },
	{ { "F28", "while one session waits others are answered", "*" },
	    ON_TIME, f28 },
	{ { "F29", "it ends when its input does, and not before", "*" },
	    ON_EXIT | ON_END, f29 },
	{ { "F30", "what it does not know it bears", "*" }, ON_EXIT, f30 },
	{ { "F31", "after many sessions it has no more of anything", "*" },
	    ON_RESOURCE, f31 },
	{ { "F32", "what it says on stderr has bounds", "*" }, ON_STDERR, f32 },
	{ { "F33", "it bears events of a session that is over, or that it "
	    "did not see begin", "*" }, ON_EXIT, f33 },
	{ { "F34", "it bears a transaction that never began", "*" },
	    ON_EXIT, f34 },
	{ { NULL, NULL, NULL }, 0, NULL }
};
