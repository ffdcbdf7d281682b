/* Lines of the filter protocol. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter_line.h"

const struct filter_point filter_events[EV_COUNT] = {
	[EV_LINK_CONNECT] = { "link-connect", 4, 4 },
	[EV_LINK_DISCONNECT] = { "link-disconnect", 0, 0 },
	[EV_LINK_GREETING] = { "link-greeting", 1, 1 },
	[EV_LINK_IDENTIFY] = { "link-identify", 2, 2 },
	[EV_LINK_TLS] = { "link-tls", 1, 1 },
	[EV_LINK_AUTH] = { "link-auth", 2, 2 },
	[EV_TX_RESET] = { "tx-reset", 0, 1 },
	[EV_TX_BEGIN] = { "tx-begin", 1, 1 },
	[EV_TX_MAIL] = { "tx-mail", 3, 3 },
	[EV_TX_RCPT] = { "tx-rcpt", 3, 3 },
	[EV_TX_ENVELOPE] = { "tx-envelope", 2, 2 },
	[EV_TX_DATA] = { "tx-data", 2, 2 },
	[EV_TX_COMMIT] = { "tx-commit", 2, 2 },
	[EV_TX_ROLLBACK] = { "tx-rollback", 1, 1 },
	[EV_PROTOCOL_CLIENT] = { "protocol-client", 1, 1 },
	[EV_PROTOCOL_SERVER] = { "protocol-server", 1, 1 },
	[EV_FILTER_REPORT] = { "filter-report", 3, 3 },
	[EV_FILTER_RESPONSE] = { "filter-response", 2, 3 },
	[EV_TIMED_OUT] = { "timeout", 0, 0 },
};

const struct filter_point filter_phases[PH_COUNT] = {
	[PH_CONNECT] = { "connect", 2, 2 },
	[PH_HELO] = { "helo", 1, 1 },
	[PH_EHLO] = { "ehlo", 1, 1 },
	[PH_STARTTLS] = { "starttls", 1, 1 },
	[PH_AUTH] = { "auth", 1, 1 },
	[PH_MAIL_FROM] = { "mail-from", 1, 1 },
	[PH_RCPT_TO] = { "rcpt-to", 1, 1 },
	[PH_DATA] = { "data", 1, 1 },
	[PH_DATA_LINE] = { "data-line", 1, 1 },
	[PH_RSET] = { "rset", 1, 1 },
	[PH_QUIT] = { "quit", 1, 1 },
	[PH_NOOP] = { "noop", 1, 1 },
	[PH_HELP] = { "help", 1, 1 },
	[PH_COMMIT] = { "commit", 1, 1 },
};

static const struct {
	const char	*name;
	int		 param;
} decisions[] = {
	{ "proceed",	0 },
	{ "junk",	0 },
	{ "reject",	1 },
	{ "disconnect",	1 },
	{ "rewrite",	1 },
	{ "report",	1 },	/* smtpd 7.6, which still calls itself 0.7 */
};

static int
point_find(const struct filter_point *p, int n, const char *name)
{
	int i;

	for (i = 0; i < n; i++)
		if (strcmp(p[i].name, name) == 0)
			return i;
	return -1;
}

int
filter_event(const char *name)
{
	return point_find(filter_events, EV_COUNT, name);
}

int
filter_phase(const char *name)
{
	return point_find(filter_phases, PH_COUNT, name);
}

int
filter_decision(const char *name, int version)
{
	size_t i;

	for (i = 0; i < nitems(decisions); i++)
		if (strcmp(decisions[i].name, name) == 0)
			return version != 0 && version < 7 &&
			    strcmp(name, "report") == 0 ? -1 :
			    decisions[i].param;
	return -1;
}

int
filter_version(const char *s)
{
	char *end;
	long n;

	if (strncmp(s, "0.", 2) != 0 || s[2] < '0' || s[2] > '9')
		return -1;
	n = strtol(s + 2, &end, 10);
	return *end != '\0' || n > 1000 ? -1 : (int)n;
}

/* --- taking apart --------------------------------------------------------- */

/* What is left of the line while it is taken apart. */
struct rest {
	struct filter_line *fl;
	char		*p;		/* NULL: nothing is left */
	char		*end;
	int		 version;
};

static int
wrong(struct filter_line *fl, enum filter_bad bad, const char *what,
    const char *got)
{
	struct buf b = { 0 };

	if (got != NULL)
		buf_addvis(&b, got, strlen(got));
	snprintf(fl->error, sizeof(fl->error), "%s%s%s", what,
	    b.len > 0 ? ": " : "", b.len > 0 ? b.data : "");
	fl->bad = bad;
	buf_free(&b);
	return -1;
}

/* The next word up to a '|', or NULL when there is none. */
static char *
word(struct rest *r)
{
	char *p = r->p, *bar;

	if (p == NULL)
		return NULL;
	if ((bar = memchr(p, '|', (size_t)(r->end - p))) == NULL) {
		r->p = NULL;
		return p;
	}
	*bar = '\0';
	r->p = bar + 1;
	return p;
}

/* The rest in at most max fields, the last with all its bars. */
static void
fields(struct rest *r, int max)
{
	struct filter_line *fl = r->fl;

	while (r->p != NULL && fl->nfields < max) {
		if (fl->nfields + 1 == max) {
			fl->field[fl->nfields++] = r->p;
			fl->lastlen = (size_t)(r->end - r->p);
			r->p = NULL;
		} else {
			fl->field[fl->nfields++] = word(r);
			fl->lastlen = strlen(fl->field[fl->nfields - 1]);
		}
	}
}

static int
hex16(const char *s, uint64_t *n)
{
	int i;

	*n = 0;
	for (i = 0; s[i] != '\0'; i++) {
		if (i == 16 || strchr("0123456789abcdef", s[i]) == NULL)
			return -1;
		*n = *n << 4 | (uint64_t)(s[i] <= '9' ? s[i] - '0' :
		    s[i] - 'a' + 10);
	}
	return i == 16 ? 0 : -1;
}

static int
request_id(struct rest *r, const char **text, uint64_t *n, const char *what)
{
	char msg[64];

	snprintf(msg, sizeof(msg), "the %s is not 16 hexadecimal digits", what);
	if ((*text = word(r)) == NULL || hex16(*text, n) == -1)
		return wrong(r->fl, BAD_ID, msg, *text);
	return 0;
}

/* SECONDS.MICROSECONDS, six digits of these. */
static int
stamp(struct rest *r)
{
	const char *s = word(r);
	size_t sec, frac;
	char *end;

	if (s == NULL)
		return wrong(r->fl, BAD_TIME, "there is no time", NULL);
	sec = strspn(s, "0123456789");
	frac = s[sec] == '.' ? strspn(s + sec + 1, "0123456789") : 0;
	r->fl->usec = strtoull(s, &end, 10) * 1000000;
	if (*end == '.')
		r->fl->usec += strtoull(end + 1, NULL, 10);
	if (sec == 0 || frac != 6 || s[sec + 1 + frac] != '\0')
		return wrong(r->fl, BAD_TIME, "the time is not seconds and six "
		    "digits of a second", s);
	return 0;
}

static int
subsystem(struct rest *r)
{
	const char *s = r->fl->subsystem = word(r);

	if (s == NULL || (strcmp(s, "smtp-in") != 0 &&
	    strcmp(s, "smtp-out") != 0))
		return wrong(r->fl, BAD_SUBSYSTEM,
		    "neither smtp-in nor smtp-out", s);
	return 0;
}

/* What reports and requests begin with. */
static int
head(struct rest *r)
{
	const char *s = word(r);

	if (s == NULL || (r->fl->version = filter_version(s)) == -1) {
		r->fl->version = 0;
		return wrong(r->fl, BAD_VERSION, "no version of the protocol",
		    s);
	}
	return stamp(r) == -1 || subsystem(r) == -1 ? -1 : 0;
}

/* The name of an event, or of a phase. */
static const struct filter_point *
point(struct rest *r, int event)
{
	struct filter_line *fl = r->fl;

	if ((fl->name = word(r)) != NULL)
		fl->point = event ? filter_event(fl->name) :
		    filter_phase(fl->name);
	if (fl->point == -1) {
		wrong(fl, BAD_POINT, event ? "no event" : "no phase", fl->name);
		return NULL;
	}
	return event ? &filter_events[fl->point] : &filter_phases[fl->point];
}

static int
enough(struct rest *r, const struct filter_point *p)
{
	if (r->fl->nfields < p->min)
		return wrong(r->fl, BAD_FIELDS, "too few fields", p->name);
	return 0;
}

static void
swap_fields(struct filter_line *fl, int a, int b)
{
	const char *t = fl->field[a];

	fl->field[a] = fl->field[b];
	fl->field[b] = t;
	fl->lastlen = strlen(fl->field[fl->nfields - 1]);
}

/* What was last and could hold bars is not last in older versions. */
static void
old_order(struct rest *r)
{
	struct filter_line *fl = r->fl;
	int auth = fl->version < 7 && fl->point == EV_LINK_AUTH;
	int addr = fl->version < 6 && (fl->point == EV_TX_MAIL ||
	    fl->point == EV_TX_RCPT);
	char *s, *bar;

	if (r->p == NULL || (!auth && !addr))
		return;
	if (addr)
		fl->field[fl->nfields++] = word(r);
	if ((s = r->p) == NULL || (bar = strrchr(s, '|')) == NULL)
		return;
	*bar = '\0';
	fl->field[fl->nfields++] = s;
	fl->field[fl->nfields++] = bar + 1;
	swap_fields(fl, fl->nfields - 2, fl->nfields - 1);
	r->p = NULL;
}

static int
parse_config(struct rest *r)
{
	if ((r->fl->name = word(r)) == NULL)
		return wrong(r->fl, BAD_FIELDS, "config has no key", NULL);
	fields(r, 1);
	return 0;
}

static int
parse_report(struct rest *r)
{
	const struct filter_point *p;

	if (head(r) == -1 || (p = point(r, 1)) == NULL ||
	    request_id(r, &r->fl->reqid, &r->fl->id, "session") == -1)
		return -1;
	old_order(r);
	/* what must not be there at all is still read */
	fields(r, p->max > 0 ? p->max : 1);
	return enough(r, p);
}

static int
parse_request(struct rest *r)
{
	const struct filter_point *p;

	if (head(r) == -1 || (p = point(r, 0)) == NULL ||
	    request_id(r, &r->fl->reqid, &r->fl->id, "session") == -1 ||
	    request_id(r, &r->fl->token, &r->fl->tok, "token") == -1)
		return -1;
	fields(r, p->max);
	return enough(r, p);
}

static int
parse_register(struct rest *r)
{
	struct filter_line *fl = r->fl;
	int report;

	fl->what = word(r);
	if (fl->what != NULL && strcmp(fl->what, "ready") == 0)
		return r->p == NULL ? 0 : wrong(fl, BAD_REGISTER,
		    "register|ready with more", r->p);
	report = fl->what != NULL && strcmp(fl->what, "report") == 0;
	if (!report && (fl->what == NULL || strcmp(fl->what, "filter") != 0))
		return wrong(fl, BAD_REGISTER,
		    "register knows report, filter and ready", fl->what);
	if (subsystem(r) == -1)
		return -1;
	if (r->p != NULL && report && strcmp(r->p, "*") == 0) {
		fl->name = word(r);
		return 0;
	}
	if (point(r, report) == NULL)
		return -1;
	if (!report && strcmp(fl->subsystem, "smtp-in") != 0)
		return wrong(fl, BAD_SUBSYSTEM, "never asked on smtp-out",
		    fl->name);
	return r->p == NULL ? 0 : wrong(fl, BAD_REGISTER,
	    "more than an event or phase", r->p);
}

static int
answer_ids(struct rest *r)
{
	struct filter_line *fl = r->fl;

	if (r->version != 0 && r->version < 5)
		return request_id(r, &fl->token, &fl->tok, "token") == -1 ||
		    request_id(r, &fl->reqid, &fl->id, "session") == -1 ? -1 : 0;
	return request_id(r, &fl->reqid, &fl->id, "session") == -1 ||
	    request_id(r, &fl->token, &fl->tok, "token") == -1 ? -1 : 0;
}

static int
parse_result(struct rest *r)
{
	struct filter_line *fl = r->fl;
	int param;

	if (answer_ids(r) == -1)
		return -1;
	if ((fl->name = word(r)) == NULL)
		return wrong(fl, BAD_DECISION, "no decision", NULL);
	fields(r, 1);
	if ((param = filter_decision(fl->name, r->version)) == -1)
		return wrong(fl, BAD_DECISION, "no decision", fl->name);
	if (param == 0 && fl->nfields > 0)
		return wrong(fl, BAD_PARAM, "takes no parameter", fl->name);
	if (param == 1 && fl->nfields == 0)
		return wrong(fl, BAD_PARAM, "needs a parameter", fl->name);
	return 0;
}

static int
parse_dataline(struct rest *r)
{
	if (answer_ids(r) == -1)
		return -1;
	fields(r, 1);
	return r->fl->nfields == 1 ? 0 : wrong(r->fl, BAD_FIELDS,
	    "filter-dataline without a line", NULL);
}

static const struct {
	char		 dir;
	const char	*word;
	enum filter_kind kind;
	int		(*parse)(struct rest *);
} kinds[] = {
	{ 'D', "filter",		FILTER_REQUEST,	parse_request },
	{ 'D', "report",		FILTER_REPORT,	parse_report },
	{ 'D', "config",		FILTER_CONFIG,	parse_config },
	{ 'F', "filter-dataline",	FILTER_DATALINE, parse_dataline },
	{ 'F', "filter-result",		FILTER_RESULT,	parse_result },
	{ 'F', "register",		FILTER_REGISTER, parse_register },
};

int
filter_line_parse(struct filter_line *fl, char dir, const char *line,
    size_t len, int version)
{
	struct buf text = fl->text;
	struct rest r = { .fl = fl, .version = version };
	const char *s;
	size_t i;

	memset(fl, 0, sizeof(*fl));
	fl->point = -1;
	buf_reset(&text);
	buf_add(&text, line, len);
	fl->text = text;
	r.p = fl->text.data;
	r.end = r.p + len;
	s = word(&r);
	for (i = 0; i < nitems(kinds); i++)
		if (kinds[i].dir == dir && strcmp(kinds[i].word, s) == 0) {
			fl->kind = kinds[i].kind;
			return kinds[i].parse(&r);
		}
	return *s == '\0' && len == 0 ?
	    wrong(fl, BAD_EMPTY, "an empty line", NULL) :
	    wrong(fl, BAD_KIND, "no kind of line", s);
}

void
filter_line_free(struct filter_line *fl)
{
	buf_free(&fl->text);
}
