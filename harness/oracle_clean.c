/* After the last session everything is back where it was. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "addr.h"
#include "parser.h"
#include "procs.h"
#include "regex.h"
#include "run.h"
#include "sandbox.h"

#define SETTLE		5000000		/* us */
#define STATS_TIME	10000000

/*
 * Gauges that count what is going on: 0 when nothing is, but for the last, in
 * which idle sessions stay.
 */
static const char *const gauges[] = {
	"smtp.session=", "smtp.smtps=", "smtp.tls=", "mda.running=",
	"mda.pending=", "bounce.session=", "mta.session=", NULL
};

/*
 * Lines that smtpd writes with log_info(), all versions.  In the foreground it
 * does not say how serious a line is, so any other is taken for a warning.
 */
static const char usual[] = "^(?:[0-9a-f]{16} (?:smtp|mta|mda) |smtp-out: |"
    "info: |debug: |version: |queue: queue |proxy |Exiting$)";

static const struct proc *
proc_before(const struct run *run, const struct proc *now)
{
	int i;

	for (i = 0; i < run->daemon.nprocs; i++)
		if (run->daemon.procs[i].pid == now->pid)
			return &run->daemon.procs[i];
	return NULL;
}

/*
 * smtpd keeps an idle session with a mail exchanger for session-keepalive (10 s)
 * and notices only then that we have closed it.
 */
static int
idle_mta_sessions(const struct run *run)
{
	struct sockaddr_storage ss;
	const struct actor *a;
	socklen_t len;
	int n = 0;

	TAILQ_FOREACH(a, &run->actors, entry)
		if (a->role->kind == &actor_server && addr_parse(
		    opt_find(&a->role->opts, "listen")->value, 25, &ss,
		    &len) == 0)
			n += sandbox_close_wait(addr_port(&ss));
	return n;
}

/* A process that has more descriptors than when it was ready, or NULL. */
static const struct proc *
proc_grown(struct run *run, struct proc *now, int n)
{
	const struct proc *was;
	int i, idle = idle_mta_sessions(run);

	for (i = 0; i < n; i++) {
		if ((was = proc_before(run, &now[i])) == NULL ||
		    now[i].nfds <= was->nfds)
			continue;
		/* those of the process that has the sessions are explained */
		if ((strcmp(now[i].title, "dispatcher") != 0 &&
		    strcmp(now[i].title, "pony express") != 0) ||
		    now[i].nfds > was->nfds + idle)
			return &now[i];
	}
	return NULL;
}

static int
descriptors_back(struct run *run)
{
	struct proc now[MAX_PROCS];

	return proc_grown(run, now, daemon_procs(now, MAX_PROCS)) == NULL;
}

/* What its descriptors are, to be freed. */
static char *
descriptors(pid_t pid)
{
	char *dir = xasprintf("/proc/%d/fd", (int)pid), *path, link[256];
	struct dirent *e;
	struct buf b = { 0 };
	DIR *d = opendir(dir);
	ssize_t n;

	while (d != NULL && (e = readdir(d)) != NULL) {
		path = xasprintf("%s/%s", dir, e->d_name);
		if ((n = readlink(path, link, sizeof(link))) > 0)
			buf_addf(&b, " %s=%.*s", e->d_name, (int)n, link);
		free(path);
	}
	if (d != NULL)
		closedir(d);
	free(dir);
	return b.data == NULL ? xstrdup("") : b.data;
}

static void
clean_descriptors(struct run *run)
{
	struct proc now[MAX_PROCS];
	const struct proc *p;
	char *list;

	if ((run->opts->blocks != NULL && run->opts->blocks->descriptors) ||
	    run_until(run, descriptors_back, SETTLE * run_slow(run)))
		return;
	p = proc_grown(run, now, daemon_procs(now, MAX_PROCS));
	if (p == NULL)
		return;
	list = descriptors(p->pid);
	oracle_object(run, &oracle_clean, p->title,
	    "%s has %d descriptors, at the start it had %d:%s", p->title,
	    p->nfds, proc_before(run, p)->nfds, list);
	free(list);
}

/* The first gauge that is not 0, or what came instead, to be freed; or NULL. */
static char *
gauge_up(struct run *run)
{
	const char *argv[] = { run->target->smtpctl, "show", "stats", NULL };
	struct buf out = { 0 };
	char *line, *rest, *hit = NULL;
	size_t i, n;

	procs_command(run, argv, &out, STATS_TIME * run_slow(run));
	if (out.data == NULL || strstr(out.data, "uptime=") == NULL)
		hit = xasprintf("smtpctl show stats says: %s", out.data == NULL
		    ? "nothing" : out.data);
	rest = out.data;
	while (hit == NULL && (line = strsep(&rest, "\n")) != NULL)
		for (i = 0; gauges[i] != NULL; i++) {
			n = strlen(gauges[i]);
			if (strncmp(line, gauges[i], n) == 0 &&
			    atoi(line + n) > (gauges[i + 1] == NULL ?
			    idle_mta_sessions(run) : 0))
				hit = xstrdup(line);
		}
	buf_free(&out);
	return hit;
}

/* The same once it has had time to come down. */
static char *
gauge_stuck(struct run *run)
{
	uint64_t end = now_us() + SETTLE * run_slow(run);
	char *hit;

	while ((hit = gauge_up(run)) != NULL && now_us() < end &&
	    !run->daemon.exited) {
		free(hit);
		run_until(run, NULL, 50000);
	}
	return hit;
}

void
clean_rest(struct run *run)
{
	run_until(run, descriptors_back, SETTLE * run_slow(run));
	free(gauge_stuck(run));
}

static void
clean_gauges(struct run *run)
{
	char *hit = gauge_stuck(run);

	if (hit != NULL && !run->daemon.exited)
		oracle_object(run, &oracle_clean, "control",
		    "nothing goes on, but %s", hit);
	free(hit);
}

static int
queue_expected(struct run *run, const char *rcpt)
{
	const struct expect *ex;

	STAILQ_FOREACH(ex, &run->sc->expects, entry)
		if (strcmp(ex->kind->word, "queued") == 0 &&
		    same_rcpt(STAILQ_FIRST(&ex->args)->text, rcpt))
			return 1;
	return 0;
}

static void
queue_left(void *arg, const char *rcpt)
{
	struct run *run = arg;

	if (!queue_expected(run, rcpt))
		oracle_object(run, &oracle_clean, "queue",
		    "an envelope for <%s> is left in the queue", rcpt);
}

/* Messages that were begun and not committed lie here. */
static int
incoming_left(struct run *run)
{
	char *path = xasprintf("%s/incoming", run->target->spool);
	struct dirent *d;
	DIR *dir = opendir(path);
	int n = 0;

	while (dir != NULL && (d = readdir(dir)) != NULL)
		n += d->d_name[0] != '.';
	if (dir != NULL)
		closedir(dir);
	free(path);
	return n;
}

static int
incoming_empty(struct run *run)
{
	return incoming_left(run) == 0;
}

static int
log_expected(const struct run *run, const char *line)
{
	const struct expect *ex;
	const struct word *w;

	if (regex_match(usual, line, strlen(line), NULL, NULL))
		return 1;
	STAILQ_FOREACH(ex, &run->sc->expects, entry) {
		w = STAILQ_FIRST(&ex->args);
		if (strcmp(ex->kind->word, "log") == 0 &&
		    strcmp(w->text, "has") == 0 &&
		    text_found(STAILQ_NEXT(w, entry)->text, line,
		    strlen(line)))
			return 1;
	}
	return 0;
}

void
clean_log(struct run *run)
{
	struct daemon *d = &run->daemon;
	const char *line;

	daemon_read_log(run);
	for (; d->judged < json_array_size(d->log); d->judged++) {
		line = json_string_value(json_array_get(d->log, d->judged));
		if (!log_expected(run, line))
			oracle_object(run, &oracle_clean, "smtpd",
			    "a warning nobody expected: %s", line);
	}
}

static void
clean_queue(struct run *run)
{
	collect_queue(run, queue_left, run);
	if (!run_until(run, incoming_empty, SETTLE * run_slow(run)))
		oracle_object(run, &oracle_clean, "queue",
		    "%d messages are left in incoming", incoming_left(run));
}

/* A daemon that is gone, or goes meanwhile, answers nothing: that was its crash. */
static void
clean_finish(struct run *run)
{
	static void (*const looks[])(struct run *) = {
		clean_descriptors, clean_gauges, clean_queue, clean_log
	};
	size_t i;

	for (i = 0; i < nitems(looks) && !run->daemon.exited; i++)
		looks[i](run);
}

const struct oracle oracle_clean = {
	.name = "clean",
	.text = "after the last session all is back where it was",
	.finish = clean_finish,
	.daemon = 1,
};
