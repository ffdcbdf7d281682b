/* No process of the daemon ends by itself, and it still answers at the end. */
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addr.h"
#include "daemon.h"
#include "filter_run.h"
#include "relay.h"
#include "run.h"
#include "sandbox.h"
#include "sanitizer.h"
#include "smtp.h"

#define ANSWER_TIME	10000000	/* us */
#define LAST_LINES	5		/* of the log, told when it exits */

/* Log lines by which the daemon says that one of its processes is gone. */
static const char *const last_words[] = {
	"fatal:", "fatal ", "fatalx", "lost child", "lost processor", NULL
};

int
exit_expected(const struct run *run)
{
	const struct expect *ex;

	STAILQ_FOREACH(ex, &run->sc->expects, entry)
		if (strcmp(ex->kind->word, "exit") == 0)
			return 1;
	return 0;
}

static void
crash_log(struct run *run, const char *line)
{
	size_t i;

	/* told with its process, when that has ended */
	if (sanitizer_line(run, line))
		return;
	if (run->daemon.stopping || run->daemon.down || !run->daemon.ready ||
	    exit_expected(run))
		return;
	for (i = 0; last_words[i] != NULL; i++)
		if (strstr(line, last_words[i]) != NULL) {
			if (!filters_blame(run, 1))
				oracle_object(run, &oracle_crash, "smtpd", "%s",
				    line);
			return;
		}
}

/* What it said last, unless that is a report, which is told by itself. */
static char *
last_lines(const struct run *run)
{
	struct buf b = { 0 };
	size_t n = json_array_size(run->daemon.log), i;

	if (n == 0 || run->reports != NULL)
		return xstrdup("");
	buf_addstr(&b, ", its last words:");
	for (i = n > LAST_LINES ? n - LAST_LINES : 0; i < n; i++)
		buf_addf(&b, "\n  %s", json_string_value(json_array_get(
		    run->daemon.log, i)));
	return b.data;
}

static void
object_exit(struct run *run, int status)
{
	char *lines = last_lines(run);

	if (WIFSIGNALED(status))
		oracle_object(run, &oracle_crash, "smtpd",
		    "the daemon was ended by signal %d%s", WTERMSIG(status),
		    lines);
	else
		oracle_object(run, &oracle_crash, "smtpd",
		    "the daemon has exited with status %d%s",
		    WEXITSTATUS(status), lines);
	free(lines);
}

/*
 * The parent keeps the title that it was started with, and so do the others
 * until they are ready.
 */
static char *
title(const struct run *run, const struct sandbox_event *ev)
{
	const char *x = strstr(ev->title, " -x ");

	if (ev->pid == run->daemon.pid)
		return xstrdup("smtpd: parent");
	return x == NULL ? xstrdup(ev->title) : xasprintf("smtpd: %s", x + 4);
}

/* A sanitizer's report says more than the signal it ends with. */
static void
object_crash(struct run *run, const struct sandbox_event *ev)
{
	char *report = sanitizer_take(run, ev->pid);
	char *who = title(run, ev);

	oracle_object(run, &oracle_crash, who,
	    "%s%ssignal %d (%s)\n%s", report == NULL ? "" : report,
	    report == NULL ? "" : "\n", ev->signo, strsignal(ev->signo),
	    ev->backtrace == NULL ? "" : ev->backtrace);
	free(report);
	free(who);
}

static int
is_sanitizer_exit(const struct sandbox_event *ev)
{
	return ev->what == SANDBOX_EXIT && WIFEXITED(ev->status) &&
	    WEXITSTATUS(ev->status) == DAEMON_SANITIZER_EXIT;
}

static void
crash_event(struct run *run, const struct sandbox_event *ev)
{
	char *report, *who;

	daemon_read_log(run);
	if (relay_is(run, ev->pid))
		return;			/* it was told to */
	if (ev->what == SANDBOX_CRASH)
		object_crash(run, ev);
	else if (is_sanitizer_exit(ev) &&
	    (report = sanitizer_take(run, ev->pid)) != NULL) {
		who = title(run, ev);
		oracle_object(run, &oracle_crash, who, "%s", report);
		free(report);
		free(who);
	} else if (ev->what == SANDBOX_EXIT && ev->pid == run->daemon.pid &&
	    run->daemon.ready && !run->daemon.stopping && !run->daemon.down &&
	    !exit_expected(run) && !filters_blame(run, 1))
		object_exit(run, ev->status);
}

/* Does the daemon greet and take leave?  NULL, or what it did instead. */
static const char *
probe(struct run *run)
{
	const struct daemon *d = &run->daemon;
	struct pollfd pfd;
	uint64_t end = now_us() + ANSWER_TIME * run_slow(run);
	char c;
	int fd, lines = 0;

	fd = socket(d->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (const struct sockaddr *)&d->addr, d->addrlen) == -1) {
		close(fd);
		return "connection refused";
	}
	pfd.fd = fd;
	pfd.events = POLLIN;
	while (lines < 2 && now_us() < end) {
		/* it may need our DNS to greet */
		event_base_loop(run->base, EVLOOP_NONBLOCK);
		if (poll(&pfd, 1, 1) <= 0)
			continue;
		if (recv(fd, &c, 1, MSG_DONTWAIT) <= 0)
			break;
		if (c == '\n' && ++lines == 1 && send(fd, "QUIT\r\n", 6,
		    MSG_NOSIGNAL) == -1)
			break;
	}
	close(fd);
	return lines == 2 ? NULL : lines == 0 ? "no greeting" :
	    "no reply to QUIT";
}

static void
object_hang(struct run *run, const char *how)
{
	struct proc procs[MAX_PROCS];
	struct buf b = { 0 };
	char *bt;
	int i, n;

	n = daemon_procs(procs, MAX_PROCS);
	for (i = 0; i < n && b.len < 60000; i++) {
		if ((bt = sandbox_backtrace(run->sb, procs[i].pid)) == NULL)
			continue;
		buf_addf(&b, "\n--- %s\n%s", procs[i].title, bt);
		free(bt);
	}
	oracle_object(run, &oracle_crash, "smtpd",
	    "a new session on port %d, %d s long: %s%s",
	    addr_port(&run->daemon.addr), ANSWER_TIME / 1000000, how, b.len == 0 ? "" : b.data);
	buf_free(&b);
}

static void
crash_finish(struct run *run)
{
	const char *how;

	if (run->daemon.down && !run->failed)
		oracle_object(run, &oracle_crash, "smtpd",
		    "crashed by the scenario, and not started again");
	if (!run->daemon.ready || run->daemon.exited || run->daemon.addrlen == 0)
		return;
	if ((how = probe(run)) != NULL &&
	    !run->daemon.exited)
		object_hang(run, how);
}

const struct oracle oracle_crash = {
	.name = "crash",
	.text = "no process of the daemon crashes, exits or hangs",
	.log = crash_log,
	.event = crash_event,
	.finish = crash_finish,
	.always = 1,
	.daemon = 1,
};
