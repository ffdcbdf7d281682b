/*
 * Judges smtpd and a filter by what goes between them.  Here is the model of
 * what went by; the invariants are in filter_rules_*.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter_judge_priv.h"
#include "target.h"

/* An objection of one kind is not told more often. */
#define MAX_TOLD	10
/* Sessions that are remembered; without link-disconnect none would ever go. */
#define MAX_GONE	4096
#define MAX_COMMITS	4096
#define MAX_ALIVE	65536
#define NEWEST		7	/* 0.7 */

static const struct rule *const tables[] = {
	rules_daemon, rules_session, rules_tx, rules_filter
};

static int
fsession_cmp(const struct fsession *a, const struct fsession *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE(fsessions, fsession, entry, fsession_cmp)

/* The nth of all rules, or NULL. */
static const struct rule *
rule_at(size_t n)
{
	const struct rule *r;
	size_t i;

	for (i = 0; i < nitems(tables); i++)
		for (r = tables[i]; r->pub.id != NULL; r++)
			if (n-- == 0)
				return r;
	return NULL;
}

static size_t
rule_count(void)
{
	size_t n = 0;

	while (rule_at(n) != NULL)
		n++;
	return n;
}

const struct filter_rule *
filter_judge_rule(size_t n)
{
	const struct rule *r = rule_at(n);

	return r == NULL ? NULL : &r->pub;
}

/* "*", ">=7.6" or "<7.9" of the daemon's version. */
static int
version_applies(const char *daemon, const char *pattern)
{
	if (*pattern == '*')
		return 1;
	if (daemon == NULL)
		return 0;
	if (*pattern == '<')
		return version_cmp(daemon, pattern + 1) < 0;
	return version_cmp(daemon, pattern + 2) >= 0;
}

static void
set_daemon(struct filter_judge *j, const char *daemon)
{
	const struct rule *r;
	size_t i;

	free(j->daemon);
	j->daemon = daemon == NULL ? NULL : xstrdup(daemon);
	for (i = 0; (r = rule_at(i)) != NULL; i++)
		j->applies[i] = (unsigned char)version_applies(j->daemon,
		    r->pub.versions);
}

struct filter_judge *
filter_judge_new(const char *name, const struct filter_facts *facts,
    filter_object_fn fn, void *arg)
{
	struct filter_judge *j = xcalloc(1, sizeof(*j));

	j->name = xstrdup(name);
	j->facts = *facts;
	if (facts->admd != NULL)
		j->facts.admd = xstrdup(facts->admd);
	j->object = fn;
	j->arg = arg;
	RB_INIT(&j->sessions);
	TAILQ_INIT(&j->alive);
	TAILQ_INIT(&j->gone);
	TAILQ_INIT(&j->commits);
	j->told = xcalloc(rule_count(), 1);
	j->applies = xcalloc(rule_count(), 1);
	set_daemon(j, facts->daemon);
	return j;
}

static void
lines_free(struct data_lines *lines)
{
	struct data_line *l;

	while ((l = STAILQ_FIRST(lines)) != NULL) {
		STAILQ_REMOVE_HEAD(lines, entry);
		free(l);
	}
}

/* What the next in the chain has not had yet outlives the message. */
static void
data_reset(struct data *d)
{
	struct data_lines sent = d->sent;

	lines_free(&d->lines);
	memset(d, 0, sizeof(*d));
	STAILQ_INIT(&d->lines);
	STAILQ_INIT(&d->sent);
	STAILQ_CONCAT(&d->sent, &sent);
}

static void
asked_reset(struct asked *a)
{
	free(a->param);
	free(a->decision);
	free(a->answer);
	memset(a, 0, sizeof(*a));
	a->phase = -1;
}

static void
fsession_free(struct filter_judge *j, struct fsession *s)
{
	if (s->gone) {
		TAILQ_REMOVE(&j->gone, s, age);
		j->ngone--;
	} else {
		TAILQ_REMOVE(&j->alive, s, age);
		j->nalive--;
	}
	RB_REMOVE(fsessions, &j->sessions, s);
	data_reset(&s->data);
	lines_free(&s->data.sent);
	asked_reset(&s->asked);
	free(s->client);
	free(s->server);
	free(s->identity);
	free(s);
}

void
filter_judge_free(struct filter_judge *j)
{
	struct fsession *s;
	struct commit *c;

	if (j == NULL)
		return;
	while ((s = RB_MIN(fsessions, &j->sessions)) != NULL)
		fsession_free(j, s);
	while ((c = TAILQ_FIRST(&j->commits)) != NULL) {
		TAILQ_REMOVE(&j->commits, c, entry);
		free(c);
	}
	filter_line_free(&j->line);
	buf_free(&j->raw);
	free((char *)(uintptr_t)j->facts.admd);
	free(j->daemon);
	free(j->told);
	free(j->applies);
	free(j->name);
	free(j);
}

const struct filter_seen *
filter_judge_seen(const struct filter_judge *j)
{
	return &j->seen;
}

/* --- asking the rules ----------------------------------------------------- */

static size_t
rule_number(const struct rule *rule)
{
	size_t i = 0;

	while (rule_at(i) != rule)
		i++;
	return i;
}

void
object(struct judging *g, const char *fmt, ...)
{
	struct filter_judge *j = g->j;
	struct filter_objection o;
	size_t n = rule_number(g->rule);
	struct buf vis = { 0 };
	va_list ap;
	char *text;

	j->seen.objections++;
	if (j->told[n] == MAX_TOLD)
		return;
	j->told[n]++;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) == -1)
		text = NULL;
	va_end(ap);
	if (text != NULL)
		buf_addvis(&vis, text, strlen(text));
	o.id = g->rule->pub.id;
	o.text = g->rule->pub.text;
	o.got = vis.data == NULL ? "" : vis.data;
	o.usec = j->now;
	o.session = g->s == NULL ? 0 : g->s->id;
	j->object(j->arg, &o);
	buf_free(&vis);
	free(text);
}

int
hears(const struct judging *g, int event)
{
	unsigned events = g->s != NULL && g->s->out ?
	    g->j->seen.events_out : g->j->seen.events_in;

	return (events & 1u << event) != 0;
}

int
asks(const struct judging *g, int phase)
{
	return (g->j->seen.phases & 1u << phase) != 0;
}

void
each_session(struct judging *g, void (*fn)(struct judging *))
{
	struct fsession *next;

	for (g->s = TAILQ_FIRST(&g->j->alive); g->s != NULL; g->s = next) {
		next = TAILQ_NEXT(g->s, age);
		if (!g->s->spared)
			fn(g);
	}
}

/* sides: whose rules are asked. */
static void
ask(struct judging *g, unsigned sides, int malformed)
{
	struct filter_judge *j = g->j;
	struct fsession *s = g->s;
	const struct rule *r;
	size_t n = 0, i;

	sides &= j->facts.sides;
	if (j->spared || (s != NULL && s->spared))
		return;
	for (i = 0; i < nitems(tables); i++)
		for (r = tables[i]; r->pub.id != NULL; r++, n++) {
			if (!(r->on & (unsigned)g->on) ||
			    ((r->on & IN_ONLY) && s != NULL && s->out) || !j->applies[n] ||
			    (malformed && !(r->on & ON_MALFORMED)) ||
			    !(sides & (tables[i] == rules_filter ?
			    JUDGE_FILTER : JUDGE_DAEMON)))
				continue;
			g->rule = r;
			g->s = s;
			r->judge(g);
		}
	g->s = s;
}

/* --- sessions ------------------------------------------------------------- */

struct fsession *
judge_session(struct filter_judge *j, uint64_t id)
{
	struct fsession key;

	key.id = id;
	return RB_FIND(fsessions, &j->sessions, &key);
}

static struct fsession *
fsession_new(struct filter_judge *j, const struct filter_line *fl)
{
	struct fsession *s = xcalloc(1, sizeof(*s));

	s->id = fl->id;
	s->out = strcmp(fl->subsystem, "smtp-out") == 0;
	s->since = j->now;
	s->last = s->before = -1;
	s->asked.phase = -1;
	STAILQ_INIT(&s->data.lines);
	STAILQ_INIT(&s->data.sent);
	RB_INSERT(fsessions, &j->sessions, s);
	TAILQ_INSERT_TAIL(&j->alive, s, age);
	if (++j->nalive > MAX_ALIVE)
		fsession_free(j, TAILQ_FIRST(&j->alive));
	j->seen.sessions++;
	return s;
}

static void
fsession_gone(struct filter_judge *j, struct fsession *s)
{
	if (s->gone)
		return;
	TAILQ_REMOVE(&j->alive, s, age);
	j->nalive--;
	s->gone = 1;
	data_reset(&s->data);
	TAILQ_INSERT_TAIL(&j->gone, s, age);
	if (++j->ngone > MAX_GONE)
		fsession_free(j, TAILQ_FIRST(&j->gone));
}

static void
keep(char **to, const char *s)
{
	free(*to);
	*to = s == NULL ? NULL : xstrdup(s);
}

/* --- the model: reports --------------------------------------------------- */

static void
saw_client(struct judging *g)
{
	struct fsession *s = g->s;

	keep(&s->client, g->fl->field[0]);
	s->answered = s->responded = s->rejected = s->rcpted = 0;
	s->commits = 0;
}

static void
saw_server(struct judging *g)
{
	struct fsession *s = g->s;

	keep(&s->server, g->fl->field[0]);
	s->answered = 1;
	s->auth = 0;
	s->asking_auth = strncmp(s->server, "334", 3) == 0;
	if (s->client != NULL && strcasecmp(s->client, "STARTTLS") == 0 &&
	    strncmp(s->server, "220", 3) == 0)
		s->starttls = 1;
}

static void
saw_identify(struct judging *g)
{
	g->s->identified = 1;
}

static void
saw_tls(struct judging *g)
{
	g->s->starttls = 0;
	g->s->identified = 0;
}

static void
saw_auth(struct judging *g)
{
	g->s->auth = g->fl->field[0][0];
}

static void
saw_begin(struct judging *g)
{
	int junk = g->s->tx.junk;

	memset(&g->s->tx, 0, sizeof(g->s->tx));
	g->s->tx.open = 1;
	g->s->tx.junk = junk;
	g->s->tx.msgid = (uint32_t)strtoul(g->fl->field[0], NULL, 16);
	g->j->seen.transactions++;
}

static void
saw_mail(struct judging *g)
{
	g->s->tx.mails += strcmp(g->fl->field[1], "ok") == 0;
}

static void
saw_envelope(struct judging *g)
{
	g->s->tx.envelopes++;
}

static void
saw_rcpt(struct judging *g)
{
	g->s->rcpted = 1;
	g->s->tx.envelopes = 0;
	g->s->tx.rcpts += strcmp(g->fl->field[1], "ok") == 0;
}

static void
saw_data(struct judging *g)
{
	g->s->tx.datas += strcmp(g->fl->field[1], "ok") == 0;
}

static void
saw_end(struct judging *g)
{
	g->s->tx.open = 0;
	g->s->tx.ended = 1;
}

static void
saw_commit(struct judging *g)
{
	struct filter_judge *j = g->j;
	struct commit *c;

	saw_end(g);
	if (j->ncommits < MAX_COMMITS) {
		c = xcalloc(1, sizeof(*c));
		j->ncommits++;
	} else {
		c = TAILQ_FIRST(&j->commits);
		TAILQ_REMOVE(&j->commits, c, entry);
	}
	c->msgid = (uint32_t)strtoul(g->fl->field[0], NULL, 16);
	c->size = strtoul(g->fl->field[1], NULL, 10);
	TAILQ_INSERT_TAIL(&j->commits, c, entry);
}

static void
saw_reset(struct judging *g)
{
	memset(&g->s->tx, 0, sizeof(g->s->tx));
}

static void
saw_response(struct judging *g)
{
	static const char *const names[] = { [PH_CONNECT] = "connected",
	    [PH_STARTTLS] = "tls" };
	const char *phase = g->fl->field[0], *decision = g->fl->field[1];
	size_t i;

	g->s->responded = filter_phase(phase) + 1;
	for (i = 0; i < nitems(names); i++)
		if (names[i] != NULL && strcmp(names[i], phase) == 0)
			g->s->responded = (int)i + 1;
	g->s->asked.responded = 1;
	g->s->rejected = strcmp(decision, "reject") == 0 ||
	    strcmp(decision, "disconnect") == 0;
}

static void
saw_disconnect(struct judging *g)
{
	fsession_gone(g->j, g->s);
}

static void (*const saw[EV_COUNT])(struct judging *) = {
	[EV_LINK_DISCONNECT] = saw_disconnect,
	[EV_LINK_IDENTIFY] = saw_identify,
	[EV_LINK_TLS] = saw_tls,
	[EV_LINK_AUTH] = saw_auth,
	[EV_TX_RESET] = saw_reset,
	[EV_TX_BEGIN] = saw_begin,
	[EV_TX_MAIL] = saw_mail,
	[EV_TX_RCPT] = saw_rcpt,
	[EV_TX_ENVELOPE] = saw_envelope,
	[EV_TX_DATA] = saw_data,
	[EV_TX_COMMIT] = saw_commit,
	[EV_TX_ROLLBACK] = saw_end,
	[EV_PROTOCOL_CLIENT] = saw_client,
	[EV_PROTOCOL_SERVER] = saw_server,
	[EV_FILTER_RESPONSE] = saw_response,
};

static void
model_report(struct judging *g)
{
	struct fsession *s = g->s;

	g->j->seen.reports++;
	s->nreports++;
	s->count[g->fl->point]++;
	s->before = s->last;
	s->last = g->fl->point;
	s->stamp = g->fl->usec;
	if (saw[g->fl->point] != NULL)
		saw[g->fl->point](g);
}

/* --- the model: requests and answers -------------------------------------- */

static void
token_remember(struct filter_judge *j, int phase, uint64_t token)
{
	int i, n = j->ntokens[phase];

	for (i = 0; i < n; i++)
		if (j->tokens[phase][i] == token)
			return;
	if (n < MAX_TOKENS)
		j->tokens[phase][j->ntokens[phase]++] = token;
}

/* A field, or what follows one. */
int
header_line(const char *text, size_t len, int first)
{
	size_t n;

	if (len > 0 && (*text == ' ' || *text == '\t'))
		return !first;
	for (n = 0; n < len && text[n] > ' ' && text[n] <= '~'; n++)
		if (text[n] == ':')
			return n > 0;
	return 0;
}

static void
line_add(struct data_lines *lines, const char *text, size_t len)
{
	struct data_line *l = xcalloc(1, sizeof(*l) + len + 1);

	l->len = len;
	memcpy(l->text, text, len);
	STAILQ_INSERT_TAIL(lines, l, entry);
}

static void
line_drop(struct data_lines *lines)
{
	struct data_line *l = STAILQ_FIRST(lines);

	if (l == NULL)
		return;
	STAILQ_REMOVE_HEAD(lines, entry);
	free(l);
}

static void
data_in(struct judging *g)
{
	struct data *d = &g->s->data;
	struct fsession *before;
	const char *text = g->fl->field[0];
	size_t len = g->fl->lastlen;

	if (d->in_end)
		data_reset(d);
	d->in = 1;
	d->nin++;
	d->in_end = len == 1 && *text == '.';
	d->token = g->fl->tok;
	d->since = g->j->now;
	d->cr |= memchr(text, '\r', len) != NULL;
	d->unstuffed |= len > 1 && text[0] == '.' && text[1] != '.';
	d->in_body |= len == 0;
	d->in_odd |= !d->in_body && !d->in_end &&
	    !header_line(text, len, d->nin == 1);
	g->j->seen.datalines++;
	if (d->nin == 1)
		d->spam = strcmp(text, "X-Spam: Yes") == 0;
	if (d->in_end)
		g->s->tx.junk = 0;
	if (g->j->facts.identity)
		line_add(&d->lines, text, len);
	if (g->j->before != NULL &&
	    (before = judge_session(g->j->before, g->s->id)) != NULL)
		line_drop(&before->data.sent);
}

static void
model_request(struct judging *g)
{
	struct fsession *s = g->s;
	struct asked *a = &s->asked;
	int phase = g->fl->point;

	s->phases |= 1u << phase;
	token_remember(g->j, phase, g->fl->tok);
	if (phase == PH_DATA_LINE) {
		data_in(g);
		return;
	}
	g->j->seen.requests++;
	s->commits += phase == PH_COMMIT;
	asked_reset(a);
	a->phase = phase;
	a->open = 1;
	a->token = g->fl->tok;
	a->since = g->j->now;
	keep(&a->param, g->fl->field[g->fl->nfields - 1]);
	if (phase == PH_EHLO || phase == PH_HELO)
		keep(&s->identity, a->param);
}

/* What smtpd does with "junk" depends on whether MAIL was accepted. */
static void
junk(struct fsession *s)
{
	if (s->tx.open || s->asked.phase == PH_RCPT_TO ||
	    s->asked.phase == PH_DATA)
		s->tx.junk = 1;
	else
		s->junk = 1;
}

static void
model_result(struct judging *g)
{
	struct fsession *s = g->s;

	g->j->seen.answers++;
	g->j->last_answer = g->j->now;
	g->j->cause = 0;
	if (s == NULL || !s->asked.open || s->asked.token != g->fl->tok)
		return;
	s->asked.open = 0;
	keep(&s->asked.decision, g->fl->name);
	keep(&s->asked.answer, g->fl->nfields > 0 ? g->fl->field[0] : NULL);
	if (strcmp(g->fl->name, "junk") == 0)
		junk(s);
	if (strcmp(g->fl->name, "rewrite") == 0 && s->identity != NULL &&
	    (s->asked.phase == PH_EHLO || s->asked.phase == PH_HELO))
		keep(&s->identity, s->asked.answer);
}

int
line_is(const struct data_line *l, const char *text, size_t len)
{
	return l->len == len && memcmp(l->text, text, len) == 0;
}

static void
model_dataline(struct judging *g)
{
	struct data *d;
	struct data_line *l;
	const char *text = g->fl->field[0];
	size_t len = g->fl->lastlen;

	g->j->last_answer = g->j->now;
	g->j->cause = 0;
	if (g->s == NULL)
		return;
	d = &g->s->data;
	d->out = 1;
	d->nout++;
	d->since = g->j->now;
	d->told = 0;
	d->out_end = len == 1 && *text == '.';
	d->out_body |= len == 0;
	l = STAILQ_FIRST(&d->lines);
	if (l != NULL && (g->j->facts.identity == IDENTITY_ALL ||
	    d->out_body || line_is(l, text, len)))
		line_drop(&d->lines);
	if (g->j->keeps)
		line_add(&d->sent, text, len);
}

/* --- the model: handshake ------------------------------------------------- */

static void
model_config(struct judging *g)
{
	struct filter_judge *j = g->j;
	const char *key = g->fl->name;
	const char *value = g->fl->nfields > 0 ? g->fl->field[0] : "";

	if (strcmp(key, "ready") == 0) {
		j->config_ready = 1;
		j->config_time = j->now;
	}
	if (strcmp(key, "smtpd-version") == 0 && j->daemon == NULL)
		set_daemon(j, value);
	if (strcmp(key, "protocol") == 0 && filter_version(value) != -1)
		j->version = filter_version(value);
}

static void
model_register(struct judging *g)
{
	struct filter_seen *seen = &g->j->seen;
	const struct filter_line *fl = g->fl;
	unsigned *events, bits;

	if (strcmp(fl->what, "ready") == 0) {
		seen->ready = 1;
		return;
	}
	if (strcmp(fl->what, "filter") == 0) {
		if (!seen->ready)	/* too late otherwise */
			seen->phases |= 1u << fl->point;
		return;
	}
	events = strcmp(fl->subsystem, "smtp-out") == 0 ? &seen->events_out :
	    &seen->events_in;
	bits = *fl->name == '*' ? (1u << EV_COUNT) - 1 : 1u << fl->point;
	*events |= bits;
}

/*
 * What a filter must bear: if it ends before it answers anything else, this is
 * why.
 */
static void
model_cause(struct judging *g)
{
	const struct filter_line *fl = g->fl;

	if (g->on == ON_CONFIG ? key_number(fl->name) == 0 :
	    fl->version > NEWEST || (g->on == ON_REPORT &&
	    fl->nfields > filter_events[fl->point].max))
		g->j->cause = 30;
	else if (g->s != NULL && g->s->gone)
		g->j->cause = 33;
	else if (g->on == ON_REPORT && !g->s->tx.open &&
	    (fl->point == EV_TX_MAIL || fl->point == EV_TX_RCPT))
		g->j->cause = 34;
}

static const struct {
	int	 on;
	char	 dir;
	void	(*model)(struct judging *);
} kinds[] = {
	[FILTER_UNKNOWN] =	{ ON_STRAY,	0,	NULL },
	[FILTER_CONFIG] =	{ ON_CONFIG,	'D',	model_config },
	[FILTER_REPORT] =	{ ON_REPORT,	'D',	model_report },
	[FILTER_REQUEST] =	{ ON_REQUEST,	'D',	model_request },
	[FILTER_REGISTER] =	{ ON_REGISTER,	'F',	model_register },
	[FILTER_RESULT] =	{ ON_RESULT,	'F',	model_result },
	[FILTER_DATALINE] =	{ ON_DATALINE,	'F',	model_dataline },
};

/* --- what is handed over -------------------------------------------------- */

static void
moment(struct judging *g, struct filter_judge *j, int on, uint64_t usec)
{
	memset(g, 0, sizeof(*g));
	g->j = j;
	g->on = on;
	g->raw = "";
	if (usec > j->now)
		j->now = usec;
}

/* With a NUL at its end. */
static const char *
raw_copy(struct filter_judge *j, const char *text, size_t len)
{
	buf_reset(&j->raw);
	buf_add(&j->raw, text, len);
	return j->raw.data;
}

static void
judge_stderr(struct filter_judge *j, uint64_t usec, const char *text,
    size_t len, int terminated)
{
	struct judging g;

	moment(&g, j, ON_STDERR, usec);
	g.dir = 'E';
	g.raw = raw_copy(j, text, len);
	g.len = len;
	g.terminated = terminated;
	j->nstderr++;
	ask(&g, JUDGE_FILTER, 0);
}

void
filter_judge_line(struct filter_judge *j, char dir, uint64_t usec,
    const char *text, size_t len, int terminated)
{
	struct filter_line *fl = &j->line;
	struct judging g;
	int bad;

	if (j->over)
		return;
	if (dir == 'E') {
		judge_stderr(j, usec, text, len, terminated);
		return;
	}
	bad = filter_line_parse(fl, dir, text, len, j->version) == -1;
	moment(&g, j, kinds[fl->kind].on, usec);
	g.dir = dir;
	g.fl = fl;
	g.raw = raw_copy(j, text, len);
	g.len = len;
	g.terminated = terminated;
	if (fl->reqid != NULL)
		g.s = judge_session(j, fl->id);
	if (!bad && g.s == NULL &&
	    (fl->kind == FILTER_REPORT || fl->kind == FILTER_REQUEST))
		g.s = fsession_new(j, fl);
	ask(&g, dir == 'D' ? JUDGE_DAEMON : JUDGE_FILTER, bad);
	if (bad)
		return;
	if (j->version == 0 && fl->version > 0)
		j->version = fl->version;
	if (j->first_version == 0)
		j->first_version = fl->version;
	j->seen.version = j->version;
	if (g.s != NULL && dir == 'D')
		g.s->nlines++;
	if (dir == 'D') {
		model_cause(&g);
		if (j->watch != NULL)
			j->watch(j->watch_arg, fl);
	}
	kinds[fl->kind].model(&g);
}

void
filter_judge_time(struct filter_judge *j, uint64_t usec)
{
	struct judging g;

	if (j->over)
		return;
	moment(&g, j, ON_TIME, usec);
	ask(&g, JUDGE_DAEMON | JUDGE_FILTER, 0);
}

void
filter_judge_eof(struct filter_judge *j, char dir, uint64_t usec)
{
	struct judging g;

	if (j->over)
		return;
	moment(&g, j, ON_EOF, usec);
	g.dir = dir;
	ask(&g, dir == 'D' ? JUDGE_DAEMON : JUDGE_FILTER, 0);
	if (dir == 'D')
		j->eof_d = 1;
	else
		j->eof_f = 1;
}

void
filter_judge_cause(struct filter_judge *j, int rule)
{
	j->cause = rule;
}

void
filter_judge_exit(struct filter_judge *j, uint64_t usec, int status)
{
	struct judging g;

	if (j->over)
		return;
	moment(&g, j, ON_EXIT, usec);
	g.status = status;
	ask(&g, JUDGE_FILTER, 0);
	j->exited = 1;
}

void
filter_judge_watch(struct filter_judge *j,
    void (*fn)(void *, const struct filter_line *), void *arg)
{
	j->watch = fn;
	j->watch_arg = arg;
}

void
filter_judge_after(struct filter_judge *j, struct filter_judge *other)
{
	j->before = other;
	other->keeps = 1;
}

void
filter_judge_stored(struct filter_judge *j, uint64_t usec, uint32_t msgid,
    size_t len)
{
	struct judging g;

	moment(&g, j, ON_STORED, usec);
	g.msgid = msgid;
	g.grown = len;
	ask(&g, JUDGE_DAEMON, 0);
}

void
filter_judge_resource(struct filter_judge *j, uint64_t usec, const char *what,
    unsigned long base, unsigned long now, unsigned long allowed)
{
	struct judging g;

	if (j->over || now <= base + allowed)
		return;
	moment(&g, j, ON_RESOURCE, usec);
	g.raw = what;
	g.base = base;
	g.grown = now;
	ask(&g, JUDGE_FILTER, 0);
}

void
filter_judge_spare(struct filter_judge *j, uint64_t session)
{
	struct fsession *s;

	if (session == 0)
		j->spared = 1;
	else if ((s = judge_session(j, session)) != NULL)
		s->spared = 1;
}

void
filter_judge_end(struct filter_judge *j, uint64_t usec)
{
	struct judging g;

	if (j->over)
		return;
	moment(&g, j, ON_END, usec);
	ask(&g, JUDGE_DAEMON | JUDGE_FILTER, 0);
	j->over = 1;
}
