/* daemon: we are smtpd, and hold a dialogue with a real filter over its pipes. */
#include <sys/socket.h>
#include <sys/time.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "filter_line.h"
#include "filter_start.h"
#include "oracle_filter.h"
#include "parser.h"
#include "pattern.h"
#include "plugin.h"
#include "regex.h"
#include "sandbox.h"

#define PROTOCOL	7
#define EXIT_TIME	10		/* s, for it to end after its stdin */
#define LOOK		20000		/* us */

/* Where filters lie, as smtpd looks there for those without a path. */
static const char *const env[] = {
	"PATH=/usr/libexec/opensmtpd:/usr/lib/x86_64-linux-gnu/opensmtpd:"
	"/usr/local/bin:/usr/bin:/bin", NULL
};

extern char	**environ;

struct pipes {
	struct actor	*actor;
	struct session	*s;		/* NULL: it is over */
	struct filter_watch *watch;
	struct event	*errev;
	int		 errfd;
	pid_t		 pid;
	int		 exited;
	struct event	*late;
	int		 shaking;	/* register|ready has not come */
	struct filter_start start;
	struct event	*look;		/* as long as it has not */
	int		 version;
	struct buf	 said;		/* by us, no whole line yet */
};

static void
daemon_check(struct parser *p, struct role *r)
{
	static const char *const vars[] = { "sid", "token", "stamp", "msgid",
	    NULL };
	const struct opt *o = opt_find(&r->opts, "exec");
	int i, v;

	if (o == NULL)
		parse_fail(p, &r->pos, "expected exec=\"COMMAND\"");
	o = opt_find(&r->opts, "protocol");
	if (o != NULL && ((v = filter_version(o->value)) < 4 || v > PROTOCOL))
		parse_fail(p, &o->pos, "protocol %s: expected 0.4, 0.5, 0.6 "
		    "or 0.7", o->value);
	for (i = 0; vars[i] != NULL; i++)
		name_note(p, VAR_SET, vars[i], &r->pos);
}

/* --- what goes by --------------------------------------------------------- */

static void
daemon_said(struct session *s, const char *data, size_t len)
{
	struct pipes *pp = s->state;
	const char *nl;

	buf_add(&pp->said, data, len);
	while (pp->said.len > 0 &&
	    (nl = memchr(pp->said.data, '\n', pp->said.len)) != NULL) {
		len = (size_t)(nl - pp->said.data);
		filter_watch_heard(pp->watch, pp->said.data, len);
		buf_drain(&pp->said, len + 1);
	}
}

/* The next whole line of the filter, without its LF, to be freed; or NULL. */
static char *
next_line(struct session *s, size_t *len)
{
	struct pipes *pp = s->state;
	struct buf *in = &s->ch->in;
	const char *nl;
	char *line;

	if (in->len == 0 || (nl = memchr(in->data, '\n', in->len)) == NULL)
		return NULL;
	*len = (size_t)(nl - in->data);
	line = xcalloc(1, *len + 1);
	memcpy(line, in->data, *len);
	filter_watch_said(pp->watch, in->data, *len + 1);
	buf_drain(in, *len + 1);
	run_trace(s->run, s, s->label, "F", line, *len);
	return line;
}

static struct buf *
expand(void *arg, const char *text)
{
	return session_expand(arg, text);
}

static int
line_matches(struct session *s, const struct plugin_heard *h,
    const char *line, size_t len)
{
	if (h->regex != NULL)
		return regex_match(h->regex, line, len, session_group, s);
	return h->pattern != NULL && pattern_match(h->pattern, line, len,
	    expand, session_group, s);
}

static enum did
conforms(struct session *s, struct step *st)
{
	run_conforms(s->run, &st->pos, s->label, &st->knowns);
	return DID_STEP;
}

static enum did
daemon_hear(struct session *s, struct step *st)
{
	const struct plugin_heard *h = st->arg;
	enum did did;
	size_t len;
	char *line;

	if (s->phase == 0 && h->silence != 0)
		session_timer(s, h->silence);
	s->phase = 1;
	if ((line = next_line(s, &len)) != NULL) {
		did = line_matches(s, h, line, len) ? conforms(s, st) :
		    session_judge(s, st, st->text, line);
		free(line);
		return did;
	}
	if (s->ch->end == END_NONE)
		return DID_WAIT;
	return h->end != NULL ? conforms(s, st) :
	    session_judge(s, st, st->text, "<fin>");
}

static enum did
daemon_hear_timeout(struct session *s, struct step *st)
{
	const struct plugin_heard *h = st->arg;

	return h->silence != 0 ? conforms(s, st) :
	    session_judge(s, st, st->text, "<timeout>");
}

/* --- the start ------------------------------------------------------------ */

/* The handshake goes by itself: the dialogue begins when the filter is ready. */
static void
daemon_wake(void *arg)
{
	struct session *s = arg;
	struct pipes *pp = s->state;
	size_t len;
	char *line;

	while (pp->shaking && (line = next_line(s, &len)) != NULL) {
		filter_start_line(&pp->start, 'F', line, len);
		free(line);
		if (!pp->start.ready)
			continue;
		pp->shaking = 0;
		if (--s->run->shaking == 0)
			filter_objections_due(s->run);
	}
	if (!pp->shaking)
		session_run(s);
}

static void
err_readable(int fd, short what, void *arg)
{
	struct pipes *pp = arg;
	char data[4096];
	ssize_t n;

	(void)what;
	if ((n = read(fd, data, sizeof(data))) > 0) {
		run_trace(pp->actor->run, pp->s, pp->actor->role->name, "E",
		    data, (size_t)n);
		filter_start_said(&pp->start, data, (size_t)n);
	} else if (n == 0 || errno != EAGAIN)
		event_del(pp->errev);
}

static void
look_at_start(int fd, short what, void *arg)
{
	struct pipes *pp = arg;
	struct session *s = pp->s;
	const struct pos *pos = &s->actor->role->pos;
	char *broken;

	(void)fd;
	(void)what;
	if (!pp->shaking) {
		event_del(pp->look);
		return;
	}
	if (s->ch->end != END_NONE)
		filter_start_closed(&pp->start);
	filter_start_partial(&pp->start, s->ch->in.data, s->ch->in.len);
	if ((broken = filter_start_broken(&pp->start)) == NULL)
		return;
	run_error(s->run, "%s:%d:%d: the filter of %s %s", pos->file,
	    pos->line, pos->col, s->label, broken);
	free(broken);
	event_del(pp->look);
	session_end(s);
}

static void
set_variables(struct session *s, int version)
{
	struct range r = { 1, UINT32_MAX };
	struct timeval tv;
	char text[64];
	int n;

	n = snprintf(text, sizeof(text), "%08llx%08llx",
	    (unsigned long long)choice_draw(s->choices, "sid", r),
	    (unsigned long long)choice_draw(s->choices, "sid", r));
	session_set(s, "sid", text, (size_t)n);
	n = snprintf(text, sizeof(text), "%08llx%08llx",
	    (unsigned long long)choice_draw(s->choices, "token", r),
	    (unsigned long long)choice_draw(s->choices, "token", r));
	session_set(s, "token", text, (size_t)n);
	n = snprintf(text, sizeof(text), "%08llx",
	    (unsigned long long)choice_draw(s->choices, "msgid", r));
	session_set(s, "msgid", text, (size_t)n);
	gettimeofday(&tv, NULL);
	n = snprintf(text, sizeof(text), "0.%d|%lld.%06ld", version,
	    (long long)tv.tv_sec, (long)tv.tv_usec);
	session_set(s, "stamp", text, (size_t)n);
}

static void
handshake(struct session *s, int version)
{
	static const char *const releases[] = {
		[4] = "6.6.4p1", [5] = "6.7.0", [6] = "6.8.0p2",
		[7] = "7.9.0-portable"
	};
	static const struct timeval often = { 0, LOOK };
	struct pipes *pp = s->state;
	struct buf b = { 0 };

	pp->shaking = 1;
	s->run->shaking++;
	pp->start.limit = s->run->sc->timeout;
	buf_addf(&b, "config|smtpd-version|%s\n", releases[version]);
	if (version >= 7)
		buf_addf(&b, "config|protocol|0.%d\n", version);
	buf_addstr(&b, "config|smtp-session-timeout|300\n"
	    "config|subsystem|smtp-in\nconfig|subsystem|smtp-out\n");
	if (version >= 6)
		buf_addstr(&b, "config|admd|mx.example.org\n");
	buf_addstr(&b, "config|ready\n");
	run_trace(s->run, s, s->label, "D", b.data, b.len);
	session_say(s, b.data, b.len);
	buf_free(&b);
	filter_start_line(&pp->start, 'D', "config|ready", 12);
	pp->look = event_new(s->run->base, -1, EV_PERSIST, look_at_start, pp);
	event_add(pp->look, &often);
}

/* As smtpd does: sh -c "exec COMMAND", one pair for 0 and 1, one for 2. */
static int
spawn(struct actor *a, const char *command, int *io)
{
	struct pipes *pp = a->state;
	const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
	struct sandbox_cmd cmd = { .argv = argv, .trace = 1, .env = env };
	int own = a->run->opts->filter != NULL;
	char *text = xasprintf("exec %s", command);
	int p[2] = { -1, -1 }, e[2] = { -1, -1 };

	pp->pid = -1;
	argv[2] = text;
	if (own) {			/* the user's, as drive starts it */
		cmd.env = (const char *const *)environ;
		cmd.uid = geteuid();
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) == 0 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, e) == 0) {
		cmd.fd[0] = cmd.fd[1] = p[1];
		cmd.fd[2] = e[1];
		pp->pid = sandbox_spawn(a->run->sb, &cmd);
	}
	free(text);
	close(p[1]);
	close(e[1]);
	*io = p[0];
	pp->errfd = e[0];
	if (pp->pid == -1)
		run_error(a->run, "%s: cannot start %s: %s", a->role->name,
		    command, strerror(errno));
	return pp->pid == -1 ? -1 : 0;
}

static int
daemon_start(struct actor *a)
{
	const struct opts *opts = &a->role->opts;
	const struct opt *o = opt_find(opts, "protocol");
	struct filter_facts facts = { .sides = JUDGE_FILTER };
	struct pipes *pp;
	struct session *s;
	int io;

	if (a->run->sb == NULL) {
		run_error(a->run, "%s: a daemon block needs a sandbox",
		    a->role->name);
		return -1;
	}
	pp = a->state = xcalloc(1, sizeof(*pp));
	pp->actor = a;
	pp->version = o == NULL ? PROTOCOL : filter_version(o->value);
	if (spawn(a, a->run->opts->filter != NULL ? a->run->opts->filter :
	    opt_find(opts, "exec")->value, &io) == -1)
		return -1;
	a->left = 1;
	s = pp->s = session_new(a, 1, (struct steps *)&a->role->steps);
	s->state = pp;
	s->ch = channel_new(a->run->base, io, 0, daemon_wake, s);
	pp->watch = filter_watch_new(a->run, a->role->name, &facts);
	set_nonblock(pp->errfd);
	pp->errev = event_new(a->run->base, pp->errfd, EV_READ | EV_PERSIST,
	    err_readable, pp);
	event_add(pp->errev, NULL);
	set_variables(s, pp->version);
	if (opt_find(opts, "manual") == NULL)
		handshake(s, pp->version);
	else
		session_run(s);
	return 0;
}

static void
is_late(int fd, short what, void *arg)
{
	struct actor *a = arg;
	struct pipes *pp = a->state;

	(void)fd;
	(void)what;
	run_judge(a->run, &a->role->pos, a->role->name, NULL, NULL,
	    "that it ends when its stdin does (F29)", "<timeout>");
	sandbox_kill(a->run->sb, pp->pid, SIGKILL);
	a->left--;
}

/*
 * Its stdin ends; what it still says is judged, too.  How it ends is news that
 * comes after the end of its stdout: that of a crash, with its backtrace.
 */
static void
daemon_done(struct session *s)
{
	static const struct timeval tv = { .tv_sec = EXIT_TIME };
	struct actor *a = s->actor;
	struct pipes *pp = a->state;
	size_t len;

	pp->s = NULL;
	if (pp->look != NULL)
		event_del(pp->look);
	if (s->ch != NULL) {
		free(next_line(s, &len));
		channel_fin(s->ch);
	}
	if (pp->exited) {
		a->left--;
		return;
	}
	pp->late = evtimer_new(a->run->base, is_late, a);
	evtimer_add(pp->late, &tv);
}

static void
daemon_event(struct actor *a, const struct sandbox_event *ev)
{
	struct pipes *pp = a->state;

	if (pp == NULL || pp->exited || ev->what != SANDBOX_EXIT ||
	    ev->pid != pp->pid)
		return;
	pp->exited = 1;
	err_readable(pp->errfd, EV_READ, pp);
	filter_start_ended(&pp->start, ev->status);
	if (pp->late == NULL)
		return;			/* the dialogue goes on */
	if (evtimer_pending(pp->late, NULL))
		a->left--;
	evtimer_del(pp->late);
}

static void
daemon_stop(struct actor *a)
{
	struct pipes *pp = a->state;

	if (pp == NULL)
		return;
	if (pp->errev != NULL)
		event_free(pp->errev);
	if (pp->late != NULL)
		event_free(pp->late);
	if (pp->look != NULL)
		event_free(pp->look);
	filter_start_free(&pp->start);
	if (pp->errfd > 0)
		close(pp->errfd);
	buf_free(&pp->said);
	free(pp);
}

static const struct opt_kind daemon_opts[] = {
	{ "exec",	OPT_TEXT },
	{ "protocol",	OPT_TEXT },
	{ "manual",	OPT_WORD },
	{ NULL,		OPT_WORD }
};

const struct actor_kind actor_daemon = {
	.word = "daemon",
	.says = 'D',
	.hears = 'F',
	.lf = 1,
	.opts = daemon_opts,
	.check = daemon_check,
	.hear_parse = plugin_hear_parse,
	.hear = daemon_hear,
	.hear_timeout = daemon_hear_timeout,
	.start = daemon_start,
	.said = daemon_said,
	.done = daemon_done,
	.event = daemon_event,
	.stop = daemon_stop,
};
