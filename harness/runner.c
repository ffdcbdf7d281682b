/* One scenario against one target, from the sandbox to the verdict. */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "channel.h"
#include "cmd.h"
#include "daemon.h"
#include "event.h"
#include "filter_run.h"
#include "latency.h"
#include "oracle_filter.h"
#include "parser.h"
#include "perturb.h"
#include "procs.h"
#include "profile.h"
#include "real_filter.h"
#include "relay.h"
#include "report.h"
#include "run.h"
#include "sandbox.h"
#include "sanitizer.h"

#define WHOLE_TIME	600000000ULL	/* us, of all dialogues together */
#define CRASH_TIME	400000		/* us, for news of a crash to come in */
#define STOP_TIME	3000000		/* us, for the daemon to end */
#define REPORT_TIME	20000000	/* us, for the process of a report to be told */
#define PROGRESS	200000		/* us */
#define STILL_TIME	500000		/* us, nothing moves in the queue */
#define LOOK_SHARE	20		/* times as long as it took */
#define CTL_TIME	5000000		/* us, for smtpctl to answer */
#define MAP_TIME	60000000	/* us, for makemap on a starved machine */
#define WAITS_MAX	1000		/* envelopes, not to list a long queue */
#define MAX_FILTERS	8	/* real ones in a scenario */
#define GIST_LINES	300		/* of a transcript */
#define KEEP_TRACES	3		/* sessions of a fleet */

static void
run_init(struct run *run, const struct scenario *sc,
    const struct run_opts *opts, int fd)
{
	memset(run, 0, sizeof(*run));
	run->sc = sc;
	run->opts = opts;
	run->target = opts->target;
	run->evfd = fd;
	run->t0 = now_us();
	run->foreign = opts->connect != NULL;
	run->profile = opts->profile != NULL ? opts->profile :
	    profile_sandbox();
	run->timeout = sc->timeout;
	if (run->foreign && profile_timeout(run->profile) > run->timeout)
		run->timeout = profile_timeout(run->profile);
	run->daemon.logfd = -1;
	TAILQ_INIT(&run->actors);
	TAILQ_INIT(&run->plugins);
	TAILQ_INIT(&run->watches);
	TAILQ_INIT(&run->sessions);
	STAILQ_INIT(&run->points);
	STAILQ_INIT(&run->vars);
	run->failures = json_array();
	run->known = json_array();
	run->stats = json_object();
	run->trace = json_array();
	run->account = account_new();
	run->latency = latency_new();
	run->choices = choices_new(opts->seed, sc->name);
}

static const char *
target_name(const struct run *run)
{
	return run->target != NULL ? run->target->name :
	    run->opts->filter != NULL ? run->opts->filter : run->opts->connect;
}

static void
emit_start(struct run *run)
{
	json_t *j = json_object();

	json_object_set_new(j, "event", json_string("start"));
	json_object_set_new(j, "id", json_integer(run->opts->id));
	json_object_set_new(j, "path", json_string(run->sc->path));
	json_object_set_new(j, "name", json_string(run->sc->name));
	json_object_set_new(j, "target", text_json(target_name(run)));
	event_emit(run->evfd, j);
}

static void
emit_progress(struct run *run, unsigned long done, unsigned long total)
{
	json_t *j = json_object();

	json_object_set_new(j, "event", json_string("progress"));
	json_object_set_new(j, "id", json_integer(run->opts->id));
	json_object_set_new(j, "done", json_integer((json_int_t)done));
	json_object_set_new(j, "total", json_integer((json_int_t)total));
	json_object_set_new(j, "what", json_string("sessions"));
	event_emit(run->evfd, j);
}

/* Scenarios that take long are run by those who ask for them. */
static int
slow_wanted(void)
{
	const char *slow = getenv("SMTPDTEST_SLOW");

	return slow != NULL && *slow != '\0';
}

/* A real filter that is not here, in a sentence, or NULL. */
static char *
filter_missing(struct run *run, const char *name)
{
	struct real_filter rf;
	char why[512];
	int found;

	found = real_filter_find(run->opts->filters, name, &rf, why,
	    sizeof(why));
	real_filter_free(&rf);
	if (found == -1)
		run_error(run, "%s", why);
	return found == 0 ? xstrdup(why) : NULL;
}

/* With a filter alone there is no daemon, and the files are the machine's. */
static void
filter_only(struct run *run)
{
	const struct file *f = STAILQ_FIRST(&run->sc->files);
	const struct role *r;
	int n = 0;

	STAILQ_FOREACH(r, &run->sc->roles, entry) {
		n += r->kind == &actor_daemon;
		if (r->kind != &actor_daemon && r->kind != &actor_dns &&
		    r->kind != &actor_http)
			run_error(run, "%s:%d:%d: a %s has no part where only "
			    "a filter is run", r->pos.file, r->pos.line,
			    r->pos.col, r->kind->word);
	}
	if (f != NULL)
		run_error(run, "%s:%d:%d: a file would be the machine's where "
		    "only a filter is run", f->pos.file, f->pos.line,
		    f->pos.col);
	if (n == 0)
		run_error(run, "%s: there is no daemon block", run->sc->path);
}

/* What the server's profile would have to say for this, or NULL. */
static char *
profile_lacks(const struct run *run)
{
	const struct scenario *sc = run->sc;
	const struct word *w;
	const struct role *r;
	const char *key;

	STAILQ_FOREACH(w, &sc->values, entry)
		if (profile_var(run->profile, w->text,
		    strlen(w->text)) == NULL)
			return xasprintf("the profile has no %s for $%s",
			    profile_key_of(w->text), w->text);
	STAILQ_FOREACH(r, &sc->roles, entry)
		if ((key = client_service(r)) != NULL &&
		    profile_key(run->profile, key) == NULL)
			return xasprintf("the profile has no %s", key);
	return NULL;
}

/* Why a server that is not ours has no part in this, or NULL. */
static char *
foreign_needs(const struct run *run)
{
	const struct role *r;

	STAILQ_FOREACH(r, &run->sc->roles, entry)
		if (r->kind != &actor_client && r->kind != &actor_smtpd &&
		    r->kind != &actor_dns)
			return xasprintf("needs a daemon of our own (%s %s)",
			    r->kind->word, r->name);
	/* a kill script is for whatever daemon it is said to */
	if (run->opts->profile == NULL)
		return NULL;
	STAILQ_FOREACH(r, &run->sc->roles, entry)
		if (r->kind == &actor_smtpd && !run->sc->anywhere)
			return xstrdup("needs a daemon of our own, with the "
			    "configuration that stands here");
	return profile_lacks(run);
}

/* A sentence why this scenario cannot run here, or NULL. */
static char *
run_needs(struct run *run)
{
	const struct word *w;
	char *why;

	STAILQ_FOREACH(w, &run->sc->needs, entry) {
		if (run->target == NULL || strcmp(w->text, "smtp") == 0)
			continue;
		if (real_filter_name(w->text)) {
			if ((why = filter_missing(run, w->text)) != NULL)
				return why;
		} else if (strcmp(w->text, "slow") == 0) {
			if (!slow_wanted())
				return xstrdup("slow: SMTPDTEST_SLOW=1 in the "
				    "environment runs it");
		} else if (strcmp(w->text, "ipv6") == 0) {
			if (access("/proc/net/if_inet6", F_OK) == -1)
				return xstrdup("this machine has no IPv6");
		} else if (w->text[0] == '<' || w->text[0] == '>') {
			if (!target_matches(run->target, w->text))
				return xasprintf("needs version %s, this is %s",
				    w->text, run->target->version);
		} else if (!target_has(run->target, w->text)) {
			if (strcmp(w->text, "tls") == 0)
				run->not_offered = "STARTTLS";
			return xasprintf("needs %s, which %s does not have",
			    w->text, run->target->name);
		}
	}
	if (run->opts->filter != NULL)
		filter_only(run);
	return run->foreign ? foreign_needs(run) : NULL;
}

/* Whatever else the machine has, this target will not get any further? */
static int
skipped_always(const struct run *run)
{
	const struct word *w;

	STAILQ_FOREACH(w, &run->sc->needs, entry)
		if (run->target != NULL &&
		    (w->text[0] == '<' || w->text[0] == '>') &&
		    !target_matches(run->target, w->text))
			return 1;
	return run->not_offered != NULL;
}

/* A pin for who does not come to it, in the reason of the skip. */
static void
tell_pins(struct run *run)
{
	const struct known *k;
	char *why = run->reason;

	if (run->failed || run->verdict == NULL || why == NULL ||
	    strcmp(run->verdict, "skip") != 0 || !skipped_always(run) ||
	    (k = pins_skipped(run)) == NULL)
		return;
	run->reason = xasprintf("%s; what is pinned for it at %s:%d:%d is "
	    "never reached", why, k->pos.file, k->pos.line, k->pos.col);
	free(why);
}

static int
write_file(struct run *run, const struct file *f)
{
	struct passwd *pw;
	char *path, *slash;
	int fd;

	path = strncmp(f->path, "/usr/", 5) == 0 ?
	    sandbox_usr_file(f->path) : xstrdup(f->path);
	for (slash = strchr(path + 1, '/'); slash != NULL;
	    slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	free(path);
	if (fd == -1 || write_all(fd, f->text, f->len) == -1 ||
	    fchmod(fd, f->mode) == -1) {
		run_error(run, "%s:%d:%d: %s: %s", f->pos.file, f->pos.line,
		    f->pos.col, f->path, strerror(errno));
		if (fd != -1)
			close(fd);
		return -1;
	}
	if (f->owner != NULL) {
		if ((pw = getpwnam(f->owner)) == NULL ||
		    fchown(fd, pw->pw_uid, pw->pw_gid) == -1)
			run_error(run, "%s:%d:%d: no user %s in the sandbox",
			    f->pos.file, f->pos.line, f->pos.col, f->owner);
	}
	close(fd);
	return 0;
}

static void
sandbox_readable(int fd, short what, void *arg)
{
	struct run *run = arg;
	struct sandbox_event ev;
	struct actor *a;
	size_t i;

	(void)fd;
	(void)what;
	while (sandbox_event(run->sb, &ev)) {
		if (ev.what == SANDBOX_GONE)
			run_error(run, "the sandbox is gone");
		for (i = 0; oracles[i] != NULL; i++)
			if (oracles[i]->event != NULL)
				oracles[i]->event(run, &ev);
		TAILQ_FOREACH(a, &run->actors, entry)
			if (a->role->kind->event != NULL)
				a->role->kind->event(a, &ev);
		if (ev.what == SANDBOX_EXIT && ev.pid == run->daemon.pid) {
			run->daemon.exited = 1;
			run->daemon.status = ev.status;
		} else if (ev.what == SANDBOX_EXIT)
			procs_exit(run, ev.pid, ev.status);
		sandbox_event_free(&ev);
	}
}

/* May the daemon start anything that is to be tied to us? */
static int
has_relays(const struct run *run)
{
	const struct role *r;

	STAILQ_FOREACH(r, &run->sc->roles, entry)
		if (r->kind->plugin != NULL || (r->kind == &actor_smtpd &&
		    strstr(r->text, "proc") != NULL))
			return 1;
	return 0;
}

/* The real filters a scenario needs; nothing of the host is seen later. */
struct wanted {
	const char	*name;
	struct real_filter rf;
	char		*data;		/* of the user's own program */
	size_t		 len;
};

static size_t
filters_find(struct run *run, struct wanted *list, size_t max)
{
	const struct word *w;
	struct wanted *f;
	char why[512];
	size_t n = 0;

	STAILQ_FOREACH(w, &run->sc->needs, entry) {
		f = &list[n];
		if (n == max || !real_filter_name(w->text) ||
		    real_filter_find(run->opts->filters, w->text, &f->rf, why,
		    sizeof(why)) != 1)
			continue;
		f->name = w->text;
		f->data = NULL;
		n++;
		if (f->rf.program != NULL && (f->data = read_file(
		    f->rf.program, &f->len, 256 << 20)) == NULL)
			run_error(run, "%s: %s", f->rf.program,
			    strerror(errno));
	}
	return n;
}

/* The user's own go where smtpd looks for filters. */
static void
filters_install(struct run *run, struct wanted *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (run->sb != NULL && list[i].data != NULL &&
		    real_filter_install(list[i].name, list[i].data,
		    list[i].len) == -1)
			run_error(run, "%s: %s", list[i].name,
			    strerror(errno));
		real_filter_free(&list[i].rf);
		free(list[i].data);
	}
}

static int
enter(struct run *run)
{
	struct wanted filters[MAX_FILTERS];
	const char *lower[MAX_FILTERS + 2] = { run->target->root };
	size_t i, nlower = 1, nfilters;
	struct sandbox_spec spec = { .lower = lower,
	    .certs = run->opts->certs, .chroot = run->target->chroot,
	    .hostname = "mx.example.org" };
	const struct file *f;
	char err[512];

	spec.users = sandbox_users(&spec.nusers);
	spec.setid = run->target->setid;
	nfilters = filters_find(run, filters, nitems(filters));
	for (i = 0; i < nfilters; i++)
		if (filters[i].rf.root != NULL)
			lower[nlower++] = filters[i].rf.root;
	run->sb = sandbox_enter(&spec, err, sizeof(err));
	filters_install(run, filters, nfilters);
	if (run->sb == NULL) {
		run_error(run, "%s", err);
		return -1;
	}
	if (has_relays(run) && relay_install("") == -1) {
		run_error(run, "%s: %s", RELAY_PATH, strerror(errno));
		return -1;
	}
	STAILQ_FOREACH(f, &run->sc->files, entry)
		if (write_file(run, f) == -1)
			return -1;
	return 0;
}

/* With the machine's files, as drive has it. */
static int
enter_bare(struct run *run)
{
	static const struct sandbox_spec spec = { .bare = 1 };
	char err[512];

	if ((run->sb = sandbox_enter(&spec, err, sizeof(err))) == NULL)
		run_error(run, "%s", err);
	return run->sb == NULL ? -1 : 0;
}

static void
terminated(int sig, short what, void *arg)
{
	struct run *run = arg;

	(void)what;
	run_error(run, "interrupted by signal %d", sig);
}

static void
make_actors(struct run *run)
{
	const struct role *r;
	struct actor *a;

	STAILQ_FOREACH(r, &run->sc->roles, entry) {
		/* with --connect the daemon and its resolver are the user's */
		if (run->sb == NULL &&
		    (r->kind == &actor_smtpd || r->kind == &actor_dns))
			continue;
		a = xcalloc(1, sizeof(*a));
		a->run = run;
		a->role = r;
		a->choices = run->choices;
		TAILQ_INSERT_TAIL(&run->actors, a, entry);
	}
}

/* PATH.db of a file, by the target's own makemap(8). */
static int
make_map(struct run *run, const struct file *f)
{
	const char *argv[] = { "/usr/sbin/makemap", "-t", f->makemap, f->path,
	    NULL };
	struct buf out = { 0 };
	int status;

	if (strcmp(f->makemap, "map") == 0) {
		argv[1] = f->path;
		argv[2] = NULL;
	}
	if ((status = procs_command(run, argv, &out, MAP_TIME)) != 0)
		run_error(run, "%s:%d:%d: makemap of %s failed: %s",
		    f->pos.file, f->pos.line, f->pos.col, f->path,
		    out.len == 0 ? "it said nothing" : out.data);
	buf_free(&out);
	return status == 0 ? 0 : -1;
}

static int
make_maps(struct run *run)
{
	const struct file *f;

	STAILQ_FOREACH(f, &run->sc->files, entry)
		if (f->makemap != NULL && make_map(run, f) == -1)
			return -1;
	return 0;
}

/* The daemon comes between those it talks to and those who talk to it. */
static int
start_actors(struct run *run)
{
	struct actor *a;

	TAILQ_FOREACH(a, &run->actors, entry)
		if (a->role->kind->prepare != NULL &&
		    a->role->kind->prepare(a) == -1)
			return -1;
	if (make_maps(run) == -1)
		return -1;
	TAILQ_FOREACH(a, &run->actors, entry)
		if (a->role->kind == &actor_smtpd &&
		    a->role->kind->start(a) == -1)
			return -1;
	run->ready_us = now_us() - run->t0;
	perturb_start(run);
	TAILQ_FOREACH(a, &run->actors, entry)
		if (a->role->kind != &actor_smtpd &&
		    a->role->kind->start != NULL &&
		    a->role->kind->start(a) == -1)
			return -1;
	return 0;
}

/* Does no expectation look at what is in the mail? */
static int
texts_unread(const struct run *run)
{
	static const char *const readers[] = { "mail", "bounced", "dsn", NULL };
	const struct expect *ex;
	size_t i;

	STAILQ_FOREACH(ex, &run->sc->expects, entry)
		for (i = 0; readers[i] != NULL; i++)
			if (strcmp(ex->kind->word, readers[i]) == 0)
				return 0;
	return 1;
}

/* Put aside what a session has seen, if anybody may want to see it. */
static void
keep_trace(struct run *run, struct session *s)
{
	if (run->failed || run->verdict != NULL || s->n <= KEEP_TRACES)
		run_keep_trace(run, s);
}

static void
reap_sessions(struct run *run)
{
	struct session *s, *next;

	TAILQ_FOREACH_SAFE(s, &run->sessions, entry, next)
		if (s->over) {
			keep_trace(run, s);
			session_free(s);
		}
}

static void
tell_progress(struct run *run)
{
	const struct actor *a;
	unsigned long left = 0;

	TAILQ_FOREACH(a, &run->actors, entry)
		if (a->left > 0)
			left += (unsigned long)a->left;
	if (now_us() - run->progress < PROGRESS)
		return;
	run->progress = now_us();
	emit_progress(run, run->nsessions_done, run->nsessions_done + left);
}

static int
dialogues_done(struct run *run)
{
	const struct actor *a;

	reap_sessions(run);
	if (run->stop)
		return 1;
	TAILQ_FOREACH(a, &run->actors, entry)
		if (a->left > 0) {
			tell_progress(run);
			return 0;
		}
	if (perturb_busy(run))
		return 0;
	/* a daemon may stay connected to a server for long, a client does not */
	return run->daemon.actor != NULL || TAILQ_EMPTY(&run->sessions);
}

static int
count_queued(const struct run *run)
{
	const struct expect *ex;
	int n = 0;

	STAILQ_FOREACH(ex, &run->sc->expects, entry)
		n += strcmp(ex->kind->word, "queued") == 0;
	return n;
}

/* A long queue takes a while to look through: not all of the time, then. */
static int
queue_settled(struct run *run)
{
	uint64_t t0 = now_us();
	int n;

	if (t0 < run->look_again)
		return 0;
	n = collect_queue(run, NULL, NULL);
	run->look_again = now_us() + LOOK_SHARE * (now_us() - t0);
	return n <= count_queued(run);
}

/*
 * Nothing on its way any more, as far as the queue shows.  Looked at twice: a
 * report may come into a directory already read while the envelope it is made
 * from goes from one not yet read.
 */
static int
settled(struct run *run)
{
	return run->stop || run->daemon.exited || (queue_settled(run) &&
	    collect_queue(run, NULL, NULL) <= count_queued(run));
}

/*
 * Has everything in the queue been tried and put off for a while?  As long as
 * the daemon does not say so the answer is no.
 */
static int
queue_waits(struct run *run)
{
	const char *argv[] = { run->target->smtpctl, "show", "queue", NULL };
	struct buf out = { 0 };
	char *line, *rest, *s;
	int waits, n = 0;

	waits = procs_command(run, argv, &out, CTL_TIME *
	    run_slow(run)) == 0;
	rest = out.data;
	while (waits && (line = strsep(&rest, "\n")) != NULL) {
		if (*line == '\0')
			continue;
		/* ...|number of tries|pending|seconds to the next|why */
		s = strstr(line, "|pending|");
		waits = s != NULL && s - line > 1 &&
		    strncmp(s - 2, "|0|", 3) != 0 &&
		    strtol(s + 9, NULL, 10) > 1;
		n++;
	}
	buf_free(&out);
	return waits && n > 0;
}

/*
 * Wait until it has settled, as long as something still moves and the daemon
 * is not content with what is left.  Nobody asks it who looks at what each
 * connection of smtpctl costs it: how often that were is a matter of the load.
 */
static void
settle(struct run *run)
{
	const struct run_blocks *b = run->opts->blocks;
	int asks = b == NULL || !b->waits;
	unsigned long arrived;
	uint64_t still = now_us();
	int left, now;

	left = collect_queue(run, NULL, NULL);
	for (;;) {
		arrived = account_arrived(run->account);
		if (run_until(run, settled, STILL_TIME * run_slow(run)))
			return;
		now = collect_queue(run, NULL, NULL);
		if (account_arrived(run->account) > arrived || now < left)
			still = now_us();
		else if (now_us() - still >= run->sc->timeout *
		    run_slow(run) ||
		    (asks && now <= WAITS_MAX && queue_waits(run)))
			return;
		left = now;
	}
}

static void
end_sessions(struct run *run)
{
	struct session *s;

	TAILQ_FOREACH(s, &run->sessions, entry)
		session_end(s);
	reap_sessions(run);
}

static void
finish_oracles(struct run *run)
{
	int failed = run->failed;
	size_t i;

	for (i = 0; oracles[i] != NULL; i++)
		if (oracles[i]->finish != NULL &&
		    (!oracles[i]->daemon || run->daemon.actor != NULL) &&
		    (!oracles[i]->once || run->opts->blocks == NULL) &&
		    (!failed || oracles[i]->always))
			oracles[i]->finish(run);
}

static void
judge_actors(struct run *run)
{
	const struct actor *a;

	TAILQ_FOREACH(a, &run->actors, entry)
		if (a->role->kind->judge != NULL)
			a->role->kind->judge(a);
}

static void
judge_whole(struct run *run)
{
	const struct expect *ex;

	if (run->daemon.actor != NULL && run->sb != NULL) {
		settle(run);
		run->judging = 1;
		end_sessions(run);
		collect_mail(run);
	}
	if (run->failed || run->opts->blocks != NULL) {
		/* more would be said than is known, or is meant of one play */
		finish_oracles(run);
		return;
	}
	/* with --connect its mail, log and files are out of sight */
	STAILQ_FOREACH(ex, &run->sc->expects, entry)
		if (ex->kind->claim != NULL && run->sb != NULL)
			ex->kind->claim(run, ex);
	STAILQ_FOREACH(ex, &run->sc->expects, entry)
		if (ex->kind->check != NULL && run->sb != NULL)
			ex->kind->check(run, ex);
	judge_actors(run);
	finish_oracles(run);
	pins_judge(run);
}

static int
daemon_gone(struct run *run)
{
	return run->daemon.exited;
}

static void
stop_daemon(struct run *run)
{
	struct daemon *d = &run->daemon;

	if (d->pid <= 0 || d->exited || run->sb == NULL)
		return;
	d->stopping = 1;
	sandbox_kill(run->sb, d->pid, SIGTERM);
	run_until(run, daemon_gone, STOP_TIME * run_slow(run));
}

static int
reports_told(struct run *run)
{
	return !sanitizer_waits(run);
}

/* Whoever has written a report is being looked at with gdb, or gone unseen. */
static void
tell_reports(struct run *run)
{
	char *report;

	if (run->sb == NULL)
		return;
	daemon_read_log(run);
	run_until(run, reports_told, REPORT_TIME);
	while ((report = sanitizer_take(run, 0)) != NULL) {
		oracle_object(run, &oracle_crash, "smtpd", "%s", report);
		free(report);
	}
}

static void
play_dialogues(struct run *run)
{
	if (!run_until(run, dialogues_done, WHOLE_TIME) && !run->stop)
		run_error(run, "the dialogues are not over after %llu s",
		    WHOLE_TIME / 1000000);
}

/* The first block is over already. */
static void
play_blocks(struct run *run, const struct run_blocks *b)
{
	struct actor *a;
	unsigned int i;

	for (i = 0; !run->stop; i++) {
		settle(run);
		if (!b->waits)
			clean_rest(run);
		if (run->stop)
			return;
		b->after(run, i, b->arg);
		if (i + 1 == b->n)
			return;
		TAILQ_FOREACH(a, &run->actors, entry)
			if (a->role->kind->more != NULL)
				a->role->kind->more(a, b->sessions[i + 1]);
		play_dialogues(run);
	}
}

static void
play(struct run *run)
{
	const struct run_blocks *b = run->opts->blocks;

	if (texts_unread(run))
		account_headers_only(run->account);
	if (b != NULL && b->start != NULL && b->start(run, b->arg) == -1)
		return;
	if (start_actors(run) == -1)
		return;
	play_dialogues(run);
	if (b != NULL)
		play_blocks(run, b);
	perturb_end(run);
	if (run->verdict != NULL)
		return;
	if (run->failed) {
		run->judging = 1;
		/* often a crash is the reason: give it time to be told */
		if (!run->foreign)
			run_until(run, daemon_gone, CRASH_TIME);
		end_sessions(run);
		finish_oracles(run);
	} else
		judge_whole(run);
}

static void
emit_stats(struct run *run)
{
	json_t *st = run->stats;

	json_object_set_new(st, "sessions",
	    json_integer((json_int_t)run->nsessions));
	json_object_set_new(st, "commands",
	    json_integer((json_int_t)run->ncommands));
	json_object_set_new(st, "replies",
	    json_integer((json_int_t)run->nreplies));
	json_object_set_new(st, "promised",
	    json_integer((json_int_t)account_promised(run->account)));
	json_object_set_new(st, "arrived",
	    json_integer((json_int_t)account_arrived(run->account)));
	json_object_set_new(st, "latency", latency_json(run->latency));
}

static const char *
run_verdict(const struct run *run)
{
	if (run->failed)
		return "fail";
	if (run->verdict != NULL)
		return run->verdict;
	if (run->reason != NULL)
		return "skip";
	return json_array_size(run->known) > 0 ? "known" : "pass";
}

static json_t *
proves(const struct run *run)
{
	const struct word *w;
	json_t *j = json_array();

	STAILQ_FOREACH(w, &run->sc->proves, entry)
		json_array_append_new(j, json_string(w->text));
	return j;
}

/* What was drawn, for --choices; to go into a file beside the log. */
static json_t *
drawn(const struct run *run)
{
	char *text = NULL;
	size_t len = 0;
	FILE *fp = open_memstream(&text, &len);
	json_t *j;

	if (fp == NULL)
		return json_null();
	choices_save(run->choices, fp);
	fclose(fp);
	j = json_stringn_nocheck(text, len);
	free(text);
	return j;
}

/* Enough for a report: the beginning, a line an array without names. */
static json_t *
gist(const struct run *run)
{
	json_t *a = json_array(), *v;
	size_t i;

	json_array_foreach(run->trace, i, v) {
		if (i == GIST_LINES)
			break;
		json_array_append_new(a, json_pack("[O,O,O,O]",
		    json_object_get(v, "t"), json_object_get(v, "actor"),
		    json_object_get(v, "dir"), json_object_get(v, "text")));
	}
	return a;
}

static void
emit_end(struct run *run)
{
	const char *verdict = run_verdict(run);
	json_t *j = json_object();
	char seed[32];

	snprintf(seed, sizeof(seed), "0x%016llx",
	    (unsigned long long)run->opts->seed);
	emit_stats(run);
	json_object_set_new(j, "event", json_string("end"));
	json_object_set_new(j, "id", json_integer(run->opts->id));
	json_object_set_new(j, "path", json_string(run->sc->path));
	json_object_set_new(j, "name", json_string(run->sc->name));
	json_object_set_new(j, "target", text_json(target_name(run)));
	json_object_set_new(j, "version", json_string(run->target == NULL ?
	    "" : run->target->version));
	json_object_set_new(j, "verdict", json_string(verdict));
	json_object_set_new(j, "reason", json_string_nocheck(
	    run->reason != NULL ? run->reason : run->note != NULL ?
	    run->note : ""));
	if (run->not_offered != NULL)
		json_object_set_new(j, "not-offered",
		    json_string(run->not_offered));
	json_object_set_new(j, "seed", json_string(seed));
	json_object_set_new(j, "seconds",
	    json_real((double)(now_us() - run->t0) / 1e6));
	json_object_set_new(j, "startup_ms",
	    json_real((double)run->ready_us / 1e3));
	json_object_set_new(j, "proves", proves(run));
	if (run->foreign)
		json_object_set_new(j, "foreign", json_true());
	if (run->nsessions > 0 && run->nunheard == run->nsessions)
		json_object_set_new(j, "unanswered", json_true());
	json_object_set(j, "failures", run->failures);
	json_object_set(j, "known", run->known);
	json_object_set(j, "stats", run->stats);
	json_object_set_new(j, "repeat", json_string_nocheck(
	    run->opts->repeat == NULL ? "" : run->opts->repeat));
	if (run->opts->keep || strcmp(verdict, "fail") == 0 ||
	    strcmp(verdict, "error") == 0) {
		json_object_set(j, "transcript", run->trace);
		json_object_set_new(j, "choices", drawn(run));
		if (run->daemon.log != NULL)
			json_object_set(j, "log", run->daemon.log);
	} else if (run->opts->told)
		json_object_set_new(j, "gist", gist(run));
	event_emit(run->evfd, j);
}

static void
run_free(struct run *run)
{
	struct actor *a;
	struct point *p;

	end_sessions(run);
	while ((a = TAILQ_FIRST(&run->actors)) != NULL) {
		TAILQ_REMOVE(&run->actors, a, entry);
		if (a->role->kind->stop != NULL)
			a->role->kind->stop(a);
		free(a);
	}
	while ((p = STAILQ_FIRST(&run->points)) != NULL) {
		STAILQ_REMOVE_HEAD(&run->points, entry);
		free(p);
	}
	vars_free(&run->vars);
	filter_watch_free(run);
	filters_free(run);
	relay_close(run);
	perturb_free(run);
	sanitizer_free(run);
	account_free(run->account);
	latency_free(run->latency);
	choices_free(run->choices);
	SSL_CTX_free(run->tls_client);
	SSL_CTX_free(run->tls_server);
	json_decref(run->failures);
	json_decref(run->known);
	json_decref(run->stats);
	json_decref(run->trace);
	free(run->reason);
	free(run->note);
	free(run->waits);
}

/* Everything that has to be read from the machine before it is out of sight. */
static int
prepare(struct run *run)
{
	char err[256];
	FILE *fp;
	int rc;

	run->tls_client = tls_client_ctx(run->opts->certs, err, sizeof(err));
	run->tls_server = tls_server_ctx(run->opts->certs, err, sizeof(err));
	if (run->tls_client == NULL || run->tls_server == NULL) {
		run_error(run, "%s", err);
		return -1;
	}
	if (profile_key(run->profile, "ca") != NULL)
		SSL_CTX_load_verify_locations(run->tls_client,
		    profile_key(run->profile, "ca"), NULL);
	if (run->opts->choices == NULL)
		return 0;
	if ((fp = fopen(run->opts->choices, "r")) == NULL) {
		run_error(run, "%s: %s", run->opts->choices, strerror(errno));
		return -1;
	}
	rc = choices_replay(run->choices, fp, run->opts->choices, err,
	    sizeof(err));
	if (rc == -1)
		run_error(run, "%s", err);
	fclose(fp);
	return rc;
}

int
runner_main(const struct scenario *sc, const struct run_opts *opts, int fd)
{
	struct event *term;
	struct run run;
	char *why;

	signal(SIGPIPE, SIG_IGN);
#ifdef M_TRIM_THRESHOLD
	/* what one session gives back the next one takes: keep it mapped */
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	mallopt(M_MMAP_THRESHOLD, 16 << 20);
#endif
	run_init(&run, sc, opts, fd);
	emit_start(&run);
	if ((why = run_needs(&run)) != NULL) {
		run.reason = why;
		run.verdict = "skip";
	} else if (run.verdict == NULL && prepare(&run) == 0 &&
	    (opts->connect != NULL || (opts->filter != NULL ?
	    enter_bare(&run) : enter(&run)) == 0)) {
		run.base = event_base_new();
		term = evsignal_new(run.base, SIGTERM, terminated, &run);
		event_add(term, NULL);
		if (run.sb != NULL) {
			run.sbev = event_new(run.base, sandbox_fd(run.sb),
			    EV_READ | EV_PERSIST, sandbox_readable, &run);
			event_add(run.sbev, NULL);
		}
		make_actors(&run);
		play(&run);
		stop_daemon(&run);
		if (opts->blocks != NULL && opts->blocks->end != NULL)
			opts->blocks->end(&run, opts->blocks->arg);
		tell_reports(&run);
		end_sessions(&run);
		event_free(term);
	}
	tell_pins(&run);
	emit_end(&run);
	if (run.sb != NULL)
		sandbox_close(run.sb);
	run_free(&run);
	return EX_PASS;
}
