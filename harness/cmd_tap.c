/* tap: between smtpd and a real filter. */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "choice.h"
#include "cli.h"
#include "cmd.h"
#include "event.h"
#include "filter_judge.h"
#include "filter_log.h"
#include "filter_start.h"
#include "tap.h"
#include "util.h"

#define OWED		30000000	/* us: smtpd gives its client 300 s */
#define MAX_CHAINS	16
#define EX_NOEXEC	126		/* as a shell has it */
#define EX_NOTFOUND	127
#define LOOK		20000		/* us, as long as it is not ready */

struct tap_cmd {
	const char	*logname, *jsonname, *daemon;
	struct filter_log *log;
	FILE		*json;
	struct tap_faults *faults;
	struct choices	*choices;
	uint64_t	 seed, owed;
	int		 identity, chain;
	char		**argv;
	pid_t		 pid;
	int		 status, ended;
	struct event_base *base;
	struct event	*look, *overdue;
	struct tap	*tap;
	struct filter_judge *judge;
	struct filter_start start;
	struct buf	 early;		/* objections of before it was ready */
	int		 told;		/* that it is not going to be */
	uint64_t	 t0;
};

/* What is wrong with a filter that does not start is one line, told once. */
static void
say_early(struct tap_cmd *tc)
{
	fwrite(tc->early.data, 1, tc->early.len, stderr);
	buf_reset(&tc->early);
}

static void
look_at_start(struct tap_cmd *tc)
{
	char *broken;

	tap_look(tc->tap, &tc->start);
	if (tc->told || (broken = filter_start_broken(&tc->start)) == NULL)
		return;
	fprintf(stderr, "tap: %s %s\n", tc->argv[0], broken);
	free(broken);
	buf_reset(&tc->early);
	tc->told = 1;
}

static void
on_look(int fd, short what, void *arg)
{
	struct tap_cmd *tc = arg;

	(void)fd;
	(void)what;
	look_at_start(tc);
	if (tc->told || tc->start.ready) {
		say_early(tc);
		event_del(tc->look);
	}
}

static void
on_line(void *arg, char dir, const char *text, size_t len)
{
	struct tap_cmd *tc = arg;

	if (!tc->start.ready)
		filter_start_line(&tc->start, dir, text, len);
}

static void
on_objection(void *arg, const struct filter_objection *o)
{
	struct tap_cmd *tc = arg;
	char session[20];
	json_t *j;

	if (!tc->told || tc->start.ready)
		buf_addf(&tc->early, "tap: %s (%s): %s\n", o->id, o->text,
		    o->got);
	if (tc->start.ready)
		say_early(tc);
	if (tc->log != NULL)
		filter_log_note(tc->log, o->usec, "%s %s", o->id, o->got);
	if (tc->json == NULL)
		return;
	snprintf(session, sizeof(session), "%016llx",
	    (unsigned long long)o->session);
	j = json_pack("{s:s, s:I, s:s, s:s, s:s, s:s}", "event", "objection",
	    "t", (json_int_t)o->usec, "id", o->id, "expected", o->text,
	    "got", o->got, "session", session);
	if (j != NULL && json_dumpf(j, tc->json, 0) == 0) {
		fputc('\n', tc->json);
		fflush(tc->json);
	}
	json_decref(j);
}

static void __attribute__((noreturn))
filter_main(struct tap_cmd *tc, int io, int er, int news)
{
	int error;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(io, 0) != -1 && dup2(io, 1) != -1 && dup2(er, 2) != -1)
		execvp(tc->argv[0], tc->argv);
	error = errno;
	_exit(write(news, &error, sizeof(error)) == -1 ? EX_NOEXEC :
	    EX_NOTFOUND);
}

/* It is executed, or we end as a shell does that cannot. */
static void
await_exec(struct tap_cmd *tc, int news)
{
	int error;

	if (read(news, &error, sizeof(error)) == sizeof(error)) {
		errno = error;
		err(error == ENOENT ? EX_NOTFOUND : EX_NOEXEC, "%s",
		    tc->argv[0]);
	}
	close(news);
}

/* The filter stands as smtpd would start it: one socket is its 0 and 1. */
static void
start_filter(struct tap_cmd *tc, struct tap_ends *e)
{
	int io[2], er[2], news[2];

	if (pipe2(news, O_CLOEXEC) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, io) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, er) == -1)
		err(EX_SETUP, "socketpair");
	if ((tc->pid = fork()) == -1)
		err(EX_SETUP, "fork");
	if (tc->pid == 0)
		filter_main(tc, io[1], er[1], news[1]);
	close(io[1]);
	close(er[1]);
	close(news[1]);
	await_exec(tc, news[0]);
	e->filter_io = io[0];
	e->filter_err = er[0];
}

/* smtpd gives one socket for both; by hand it may be pipes. */
static void
daemon_ends(struct tap_ends *e)
{
	struct stat in, out;

	if (fstat(0, &in) == -1 || fstat(1, &out) == -1)
		err(EX_SETUP, "standard input and output");
	e->daemon_io = 0;
	e->daemon_out = in.st_dev == out.st_dev && in.st_ino == out.st_ino ?
	    -1 : 1;
	/* ours as well, for what we have to say */
	if ((e->daemon_err = dup(2)) == -1)
		err(EX_SETUP, "dup");
}

static void
on_kill(void *arg, int signo)
{
	struct tap_cmd *tc = arg;

	if (!tc->ended)
		kill(tc->pid, signo);
}

static void
on_over(void *arg)
{
	struct tap_cmd *tc = arg;

	if (tc->ended)
		event_base_loopbreak(tc->base);
}

/* Nobody listens to it any more, and yet it stays. */
static void
on_overdue(int fd, short what, void *arg)
{
	struct tap_cmd *tc = arg;

	(void)fd;
	(void)what;
	filter_judge_end(tc->judge, now_us() - tc->t0);
	on_kill(tc, SIGKILL);
}

static void
on_eof(void *arg)
{
	struct tap_cmd *tc = arg;
	struct timeval tv = { (time_t)(tc->owed / 1000000), 0 };

	event_add(tc->overdue, &tv);
}

static void
on_child(int signo, short what, void *arg)
{
	struct tap_cmd *tc = arg;

	(void)signo;
	(void)what;
	if (tc->ended || waitpid(tc->pid, &tc->status, WNOHANG) != tc->pid)
		return;
	tc->ended = 1;
	tap_ended(tc->tap, tc->status);
	if (!tc->start.ready) {
		filter_start_ended(&tc->start, tc->status);
		look_at_start(tc);
	}
	event_base_loopbreak(tc->base);
}

/* End as the filter has ended. */
static int
leave(int status)
{
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

static int
tap_run(struct tap_cmd *tc)
{
	struct filter_facts facts = { .sides = JUDGE_DAEMON | JUDGE_FILTER,
	    .daemon = tc->daemon, .owed = tc->owed, .identity = tc->identity,
	    .others = tc->chain ? OTHERS_BEFORE | OTHERS_AFTER : 0,
	    .entries = tc->chain ? MAX_CHAINS : 1, .child = 1 };
	struct tap_spec spec = { .log = tc->log, .faults = tc->faults,
	    .line = on_line, .kill = on_kill, .eof = on_eof, .over = on_over,
	    .arg = tc };
	const struct timeval often = { 0, LOOK };
	struct tap_ends ends;
	struct event *child;

	tc->start.limit = tc->owed;
	signal(SIGPIPE, SIG_IGN);
	tc->t0 = spec.t0 = now_us();
	if ((tc->base = spec.base = event_base_new()) == NULL)
		errx(EX_SETUP, "event_base_new");
	daemon_ends(&ends);
	child = evsignal_new(tc->base, SIGCHLD, on_child, tc);
	event_add(child, NULL);
	start_filter(tc, &ends);
	spec.judge = tc->judge = filter_judge_new(tc->argv[0], &facts,
	    on_objection, tc);
	tc->look = event_new(tc->base, -1, EV_PERSIST, on_look, tc);
	event_add(tc->look, &often);
	tc->overdue = evtimer_new(tc->base, on_overdue, tc);
	tc->tap = tap_new(&spec, &ends);
	event_base_dispatch(tc->base);
	filter_judge_end(spec.judge, now_us() - tc->t0);
	say_early(tc);
	tap_free(tc->tap);
	filter_judge_free(spec.judge);
	filter_start_free(&tc->start);
	buf_free(&tc->early);
	event_free(tc->look);
	event_free(tc->overdue);
	event_free(child);
	event_base_free(tc->base);
	if (tc->log != NULL && filter_log_close(tc->log) == -1)
		warn("%s", tc->logname);
	if (tc->json != NULL && fclose(tc->json) == EOF)
		warn("%s", tc->jsonname);
	return leave(tc->status);
}

static void
add_fault(struct tap_faults *faults, const char *spec)
{
	char msg[256];

	if (tap_faults_add(faults, spec, msg, sizeof(msg)) == -1)
		errx(EX_SETUP, "--fault %s: %s", spec, msg);
}

enum { OPT_LOG, OPT_JSON, OPT_FAULT, OPT_SEED, OPT_TARGET, OPT_OWED,
    OPT_SAME, OPT_CHAIN };

static const struct option options[] = {
	{ "log",	required_argument,	NULL, OPT_LOG },
	{ "json",	required_argument,	NULL, OPT_JSON },
	{ "fault",	required_argument,	NULL, OPT_FAULT },
	{ "seed",	required_argument,	NULL, OPT_SEED },
	{ "smtpd",	required_argument,	NULL, OPT_TARGET },
	{ "timeout",	required_argument,	NULL, OPT_OWED },
	{ "identity",	no_argument,		NULL, OPT_SAME },
	{ "chain",	no_argument,		NULL, OPT_CHAIN },
	{ NULL,		0,			NULL, 0 }
};

struct words_of {
	const char	*word[64];
	size_t		 n;
};

static int
tap_option(struct tap_cmd *tc, int c, struct words_of *faults)
{
	switch (c) {
	case OPT_LOG:
		tc->logname = optarg;
		return 0;
	case OPT_JSON:
		tc->jsonname = optarg;
		return 0;
	case OPT_FAULT:
		if (faults->n == nitems(faults->word))
			errx(EX_SETUP, "too many faults");
		faults->word[faults->n++] = optarg;
		return 0;
	case OPT_SEED:
		if (cli_u64(optarg, &tc->seed) == -1)
			errx(EX_SETUP, "--seed %s: expected a number", optarg);
		return 0;
	case OPT_TARGET:
		tc->daemon = optarg;
		return 0;
	case OPT_OWED:
		tc->owed = 1000000 * cli_number("--timeout", optarg, 1, 3600);
		return 0;
	case OPT_SAME:
		tc->identity = IDENTITY_ALL;
		return 0;
	case OPT_CHAIN:
		tc->chain = 1;
		return 0;
	}
	return -1;
}

static int
tap_main(int argc, char **argv)
{
	struct tap_cmd tc = { .owed = OWED };
	struct words_of faults = { .n = 0 };
	size_t i;
	int c;

	tc.seed = cli_random_seed();
	optind = 1;
	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1)
		if (tap_option(&tc, c, &faults) == -1)
			return cmd_usage(&cmd_tap);
	if (optind >= argc)
		return cmd_usage(&cmd_tap);
	tc.argv = argv + optind;
	tc.choices = choices_new(tc.seed, "tap");
	if (faults.n > 0)
		tc.faults = tap_faults_new(choice_stream(tc.choices, "tap"));
	for (i = 0; i < faults.n; i++)
		add_fault(tc.faults, faults.word[i]);
	if (tc.logname != NULL &&
	    (tc.log = filter_log_open(tc.logname)) == NULL)
		err(EX_SETUP, "%s", tc.logname);
	if (tc.jsonname != NULL &&
	    (tc.json = fopen(tc.jsonname, "we")) == NULL)
		err(EX_SETUP, "%s", tc.jsonname);
	if (tc.log != NULL && faults.n > 0)
		filter_log_note(tc.log, 0, "seed 0x%llx",
		    (unsigned long long)tc.seed);
	c = tap_run(&tc);
	tap_faults_free(tc.faults);
	choices_free(tc.choices);
	return c;
}

const struct cmd cmd_tap = {
	.name = "tap",
	.args = "[--log FILE] [--json FILE] [--fault SPEC] [--seed N] "
	    "[--smtpd VERSION] [--timeout SECONDS] [--identity] [--chain] "
	    "[--] FILTER [ARG...]",
	.summary = "between smtpd and a filter: writes down, judges, does harm",
	.main = tap_main,
	.help =
	    "  --log FILE   all that goes by, with times, for drive --script\n"
	    "  --json FILE  every objection as a JSON object, a line each\n"
	    "  --fault S    KIND[,KEY=VALUE]..., KIND being delay, drop, "
	    "duplicate,\n"
	    "               reorder, truncate or kill; KEY from (daemon, "
	    "filter), nth,\n"
	    "               every, percent, times, delay, bytes, signal, "
	    "match (a regex,\n"
	    "               last); may be repeated\n"
	    "  --seed N     of percent\n"
	    "  --smtpd V    the daemon's version, unless it says so itself\n"
	    "  --timeout S  in which an answer is due (30)\n"
	    "  --identity   the filter must give messages back unchanged\n"
	    "  --chain      other filters decide as well, or it is in several "
	    "chains\n"
	    "Use it in smtpd.conf(5): filter f proc-exec \"smtpdtest tap "
	    "--log F -- FILTER\".\n"
	    "Objections go to the standard error; it ends as the filter "
	    "does.\n",
};
