/* client: SMTP clients, one or a fleet of them. */
#include <sys/socket.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addr.h"
#include "channel.h"
#include "filter_run.h"
#include "perturb.h"
#include "profile.h"
#include "sandbox.h"
#include "smtp.h"

#define BACKLOG_WAIT	500		/* us */
#define AFTER_WAIT	2000		/* us, between looks at the point */

struct fleet {
	struct actor	*actor;
	uint64_t	 sessions;
	uint64_t	 rate;		/* sessions a second, 0: no limit */
	struct range	 parallel;
	struct stream	*choices;
	uint64_t	 limit;		/* at once, drawn anew for each start */
	uint64_t	 started;
	uint64_t	 active;
	uint64_t	 t0;
	int		 room;		/* so many may wait to be accepted */
	struct event	*timer;
	struct sockaddr_storage to, from;
	socklen_t	 tolen, fromlen;
	int		 smtps;
	const char	*after;		/* the point to begin at, or NULL */
};

static const char *
opt_value(const struct role *r, const char *name, const char *fallback)
{
	const struct opt *o = opt_find(&r->opts, name);

	return o == NULL ? fallback : o->value;
}

static struct range
opt_range(const struct role *r, const char *name, uint64_t lo)
{
	const struct opt *o = opt_find(&r->opts, name);
	struct range range = { lo, lo };
	struct parser none = { 0 };

	/* it was parsed once already, so it cannot fail */
	return o == NULL ? range : parse_range(&none, &o->pos, o->value, name);
}

static void
client_check(struct parser *p, struct role *r)
{
	static const char *const addrs[] = { "to", "from", NULL };
	struct sockaddr_storage ss;
	const struct opt *o;
	socklen_t len;
	size_t i;

	for (i = 0; addrs[i] != NULL; i++) {
		o = opt_find(&r->opts, addrs[i]);
		if (o != NULL && addr_parse(o->value, 25, &ss, &len) == -1)
			parse_fail(p, &o->pos, "\"%s\": expected a numeric "
			    "address like 127.0.0.1:25 or [::1]:25", o->value);
	}
	if ((o = opt_find(&r->opts, "after")) != NULL && o->value != NULL)
		name_note(p, POINT_AWAIT, o->value, &o->pos);
	if ((o = opt_find(&r->opts, "sessions")) != NULL &&
	    opt_range(r, "sessions", 1).lo == 0)
		parse_fail(p, &o->pos, "expected at least one session");
	if ((o = opt_find(&r->opts, "parallel")) != NULL &&
	    opt_range(r, "parallel", 1).lo == 0)
		parse_fail(p, &o->pos, "expected at least one at a time");
}

static void
client_hear_parse(struct parser *p, struct step *st)
{
	struct want *w = want_parse(p);

	st->arg = w;
	st->text = want_text(w);
}

/*
 * RFC 5321 3.8: a server may say that at any time, to a client that makes too
 * many mistakes for instance.  The rest cannot be judged.
 */
static void
gave_up(struct session *s, const struct reply *r)
{
	if (s->run->reason == NULL)
		s->run->reason = xasprintf("the server gave %s up: %s",
		    s->label, r->text);
}

static enum did
heard_reply(struct session *s, struct step *st, const struct reply *r)
{
	const struct want *w = st->arg;
	const char *keyword;
	enum did did;

	if (want_reply(w, r, s)) {
		run_conforms(s->run, &st->pos, s->label, &st->knowns);
		return DID_STEP;
	}
	if (s->run->foreign && (keyword = want_keyword(w, r, s)) != NULL) {
		run_not_offered(s->run, keyword);
		return DID_FAIL;
	}
	if (s->run->foreign && r->code == 421 && !want_class(w, r)) {
		gave_up(s, r);
		return DID_FAIL;
	}
	did = session_judge(s, st, want_text(w), r->text);
	/* a refusal with another code is a refusal: there is more to be seen */
	return did == DID_FAIL && s->run->foreign && want_class(w, r) ?
	    DID_STEP : did;
}

static enum did
heard_end(struct session *s, struct step *st)
{
	const struct want *w = st->arg;
	const char *end = end_name(s->ch);
	char got[256];

	run_trace(s->run, s, s->label, "S", end, strlen(end));
	if (want_end(w, end)) {
		run_conforms(s->run, &st->pos, s->label, &st->knowns);
		return DID_STEP;
	}
	daemon_read_log(s->run);
	if (filters_blame(s->run, 1))
		return DID_FAIL;
	snprintf(got, sizeof(got), "%s%s%s", end,
	    s->ch->why[0] == '\0' ? "" : ": ", s->ch->why);
	return session_judge(s, st, want_text(w), got);
}

/*
 * So long nothing must come.  Where it is pinned that something does, there is
 * as much time for it as for any reply, or a slow machine would pass for one
 * that conforms.
 */
static uint64_t
silence(const struct session *s, const struct step *st)
{
	const struct run *run = s->run;
	uint64_t us = want_silence(st->arg);
	const struct known *k;

	STAILQ_FOREACH(k, &st->knowns, entry)
		if (known_applies(run, k) && us < run->timeout)
			return run->timeout;
	return us;
}

static enum did
client_hear(struct session *s, struct step *st)
{
	struct reply r;
	enum did did;
	size_t n;

	if (s->phase == 0 && want_silence(st->arg) != 0)
		session_timer(s, silence(s, st));
	s->phase = 1;
	n = s->ch->in.len == 0 ? 0 :
	    reply_parse(s->ch->in.data, s->ch->in.len, &r);
	if (n > 0) {
		if (!s->heard)
			s->run->nunheard--;
		s->heard = s->run->heard = 1;
		run_trace(s->run, s, s->label, "S", r.text, r.len);
		track_reply(s->track, &r);
		buf_drain(&s->ch->in, n);
		did = heard_reply(s, st, &r);
		reply_free(&r);
		return did;
	}
	return s->ch->end == END_NONE ? DID_WAIT : heard_end(s, st);
}

static enum did
client_hear_timeout(struct session *s, struct step *st)
{
	const struct want *w = st->arg;

	if (want_silence(w) != 0) {
		run_conforms(s->run, &st->pos, s->label, &st->knowns);
		return DID_STEP;
	}
	daemon_read_log(s->run);
	if (filters_blame(s->run, 0))
		return DID_FAIL;
	return session_judge(s, st, want_text(w),
	    s->ch->in.len > 0 ? "<half a line, then timeout>" : "<timeout>");
}

static int
client_socket(struct fleet *f, struct session *s)
{
	int fd, connecting = 0;

	fd = socket(f->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0);
	if (fd == -1) {
		run_error(s->run, "%s: socket: %s", s->label, strerror(errno));
		return -1;
	}
	if ((f->fromlen != 0 &&
	    bind(fd, (struct sockaddr *)&f->from, f->fromlen) == -1)) {
		run_error(s->run, "%s: bind: %s", s->label, strerror(errno));
		close(fd);
		return -1;
	}
	if (connect(fd, (struct sockaddr *)&f->to, f->tolen) == -1)
		connecting = 1;		/* or failed: learnt when writable */
	s->ch = channel_new(s->run->base, fd, connecting, session_wake, s);
	if (f->smtps)
		channel_tls(s->ch, s->run->tls_client, 0, NULL);
	return 0;
}

static void
fleet_session(struct fleet *f)
{
	struct session *s;

	f->started++;
	f->active++;
	f->actor->run->nunheard++;
	s = session_new(f->actor, (unsigned int)f->started,
	    (struct steps *)&f->actor->role->steps);
	s->track = track_new(s);
	if (client_socket(f, s) == -1)
		session_end(s);
	else {
		perturb_session(s);
		session_run(s);
	}
}

/*
 * smtpd listens with a backlog of 5 (SMTPD_BACKLOG).  A connect beyond it is
 * not refused but retried by TCP after 1 s, 3 s, ..., which looks like a hang.
 * One place is left for those we do not know of.
 */
static int
backlog_room(int port)
{
	int max = sandbox_backlog_max(port);

	return max == -1 ? INT_MAX : max > 2 ? max - 1 : 1;
}

/*
 * Whoever was answered once does not wait any more: while the others are few the
 * kernel need not be asked.
 */
static int
backlog_full(const struct fleet *f)
{
	return f->actor->run->nunheard >= (unsigned long)f->room &&
	    sandbox_backlog(addr_port(&f->to)) >= f->room;
}

/* May one more start now?  Otherwise, when to look again in us, or 0: later. */
static int
fleet_may(struct fleet *f, uint64_t *wait)
{
	uint64_t due, passed;

	*wait = 0;
	if (f->started == f->sessions || f->active >= f->limit ||
	    f->actor->run->stop)
		return 0;
	if (f->after != NULL && !run_reached(f->actor->run, f->after)) {
		*wait = AFTER_WAIT;
		return 0;
	}
	passed = now_us() - f->t0;
	if (f->rate > 0 && (due = f->started * 1000000 / f->rate) > passed) {
		*wait = due - passed;
		return 0;
	}
	if (backlog_full(f)) {
		*wait = BACKLOG_WAIT;
		return 0;
	}
	return 1;
}

static void
fleet_more(struct fleet *f)
{
	struct timeval tv;
	uint64_t wait;

	while (fleet_may(f, &wait)) {
		f->limit = choice_draw(f->choices, "parallel", f->parallel);
		fleet_session(f);
	}
	if (wait > 0) {
		tv.tv_sec = (time_t)(wait / 1000000);
		tv.tv_usec = (suseconds_t)(wait % 1000000);
		evtimer_add(f->timer, &tv);
	}
}

static void
fleet_timer(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	fleet_more(arg);
}

const char *
client_service(const struct role *r)
{
	static const struct {
		int		 port;
		const char	*key;
	} services[] = { { 465, "smtps" }, { 587, "submission" } };
	int smtps = opt_find(&r->opts, "smtps") != NULL;
	struct sockaddr_storage ss;
	socklen_t len;
	size_t i;

	if (r->kind != &actor_client || addr_parse(opt_value(r, "to",
	    "127.0.0.1"), smtps ? 465 : 25, &ss, &len) == -1)
		return NULL;
	for (i = 0; i < nitems(services); i++)
		if (addr_port(&ss) == services[i].port)
			return services[i].key;
	return NULL;
}

/* Where it connects to; with --connect the profile may know better places. */
static const char *
client_to(const struct actor *a)
{
	const struct run *run = a->run;
	const char *key, *to = NULL;

	if (!run->foreign)
		return opt_value(a->role, "to", "127.0.0.1");
	if ((key = client_service(a->role)) != NULL)
		to = profile_key(run->profile, key);
	return to != NULL ? to : run->opts->connect;
}

static int
client_start(struct actor *a)
{
	struct fleet *f = xcalloc(1, sizeof(*f));
	const struct role *r = a->role;

	a->state = f;
	f->actor = a;
	f->sessions = a->run->opts->blocks != NULL ?
	    a->run->opts->blocks->sessions[0] :
	    opt_range(r, "sessions", 1).hi;
	f->rate = opt_range(r, "rate", 0).hi;
	f->parallel = opt_range(r, "parallel", 1);
	f->after = opt_value(r, "after", NULL);
	f->smtps = opt_find(&r->opts, "smtps") != NULL;
	f->choices = choice_stream(a->run->choices, r->name);
	f->timer = evtimer_new(a->run->base, fleet_timer, f);
	addr_parse(client_to(a), f->smtps ? 465 : 25, &f->to, &f->tolen);
	if (opt_find(&r->opts, "from") != NULL) {
		addr_parse(opt_value(r, "from", NULL), 0, &f->from,
		    &f->fromlen);
	}
	if (f->smtps && a->run->tls_client == NULL) {
		run_error(a->run, "%s: no TLS", r->name);
		return -1;
	}
	f->room = backlog_room(addr_port(&f->to));
	a->left = (int)f->sessions;
	f->t0 = now_us();
	f->limit = choice_draw(f->choices, "parallel", f->parallel);
	fleet_more(f);
	return 0;
}

static void
client_more(struct actor *a, uint64_t sessions)
{
	struct fleet *f = a->state;

	f->sessions += sessions;
	a->left += (int)sessions;
	fleet_more(f);
}

static void
client_said(struct session *s, const char *data, size_t len)
{
	track_said(s->track, data, len);
}

static void
client_done(struct session *s)
{
	static const struct timeval now = { 0, 0 };
	struct fleet *f = s->actor->state;

	if (s->ch != NULL) {
		channel_look(s->ch);
		track_end(s->track, s->ch->in.data, s->ch->in.len);
		channel_fin(s->ch);
	}
	track_free(s->track);
	s->track = NULL;
	s->actor->left--;
	f->active--;
	/* not from here: this session may be the one being started */
	evtimer_add(f->timer, &now);
}

static void
client_stop(struct actor *a)
{
	struct fleet *f = a->state;

	if (f == NULL)
		return;
	event_free(f->timer);
	free(f);
}

static const struct opt_kind client_opts[] = {
	{ "to",		OPT_ADDR },
	{ "from",	OPT_ADDR },
	{ "smtps",	OPT_WORD },
	{ "sessions",	OPT_RANGE },
	{ "parallel",	OPT_RANGE },
	{ "rate",	OPT_RANGE },
	{ "after",	OPT_TEXT },
	{ NULL,		OPT_WORD }
};

const struct actor_kind actor_client = {
	.word = "client",
	.says = 'C',
	.hears = 'S',
	.opts = client_opts,
	.check = client_check,
	.hear_parse = client_hear_parse,
	.hear = client_hear,
	.hear_timeout = client_hear_timeout,
	.start = client_start,
	.more = client_more,
	.said = client_said,
	.done = client_done,
	.stop = client_stop,
};
