/* load: a fleet made from numbers on the command line. */
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "cmd.h"
#include "util.h"

#define MAX_ARGS	32

/* Options that are handed on to "run" as they are. */
static const char *const passed_on[] = {
	"--seed", "--json", "--junit", "--tap", "--target", "--connect",
	"--results", NULL
};

struct load {
	const char	*sessions, *parallel, *transactions, *rcpts, *size, *rate;
	const char	*connect, *results;
	const char	*argv[MAX_ARGS];
	int		 argc;
};

static const struct {
	const char	*name;
	size_t		 off;
} values[] = {
	{ "sessions",	offsetof(struct load, sessions) },
	{ "parallel",	offsetof(struct load, parallel) },
	{ "transactions", offsetof(struct load, transactions) },
	{ "rcpts",	offsetof(struct load, rcpts) },
	{ "size",	offsetof(struct load, size) },
	{ "rate",	offsetof(struct load, rate) },
	{ "connect",	offsetof(struct load, connect) },
	{ "results",	offsetof(struct load, results) },
};

/* What the daemon is, unless there is one already: it passes all on to a sink. */
static const char daemon_text[] =
    "smtpd d {\n"
    "    listen on 127.0.0.1 port 25\n"
    "    action \"out\" relay host smtp://127.0.0.1:2525\n"
    "    match from any for any action \"out\"\n"
    "}\n"
    "\n"
    "server sink listen=127.0.0.1:2525 {\n"
    "    sink smtp\n"
    "}\n"
    "\n"
    "expect delivered all\n"
    "\n";

static void
load_text(const struct load *l, struct buf *b)
{
	buf_addstr(b, "scenario \"load\"\n\n");
	if (l->connect == NULL)
		buf_addstr(b, daemon_text);
	buf_addf(b, "client load sessions=%s parallel=%s%s%s {\n",
	    l->sessions, l->parallel, l->rate == NULL ? "" : " rate=",
	    l->rate == NULL ? "" : l->rate);
	buf_addf(b, "    S: 220\n"
	    "    C: EHLO c${session}.example\n"
	    "    S: 250\n"
	    "    repeat %s {\n"
	    "        C: MAIL FROM:<s${session}@example.net>\n"
	    "        S: 250\n"
	    "        repeat %s {\n"
	    "            C: RCPT TO:<u${i}@example.org>\n"
	    "            S: 250\n"
	    "        }\n"
	    "        C: DATA\n"
	    "        S: 354\n"
	    "        message size=%s\n"
	    "        S: 250\n"
	    "    }\n"
	    "    C: QUIT\n"
	    "    S: 221\n"
	    "}\n", l->transactions, l->rcpts, l->size);
}

/* The scenario is left there, to be read, edited and run again. */
static char *
load_file(const struct load *l)
{
	struct buf b = { 0 };
	char *dir, *path;
	FILE *fp;

	dir = l->results != NULL ? xstrdup(l->results) : cli_results();
	if (mkdir(dir, 0777) == -1 && errno != EEXIST)
		err(EX_SETUP, "%s", dir);
	path = xasprintf("%s/load.smtp", dir);
	load_text(l, &b);
	if ((fp = fopen(path, "w")) == NULL ||
	    fwrite(b.data, 1, b.len, fp) != b.len || fclose(fp) == EOF)
		err(EX_SETUP, "%s", path);
	buf_free(&b);
	free(dir);
	return path;
}

static void
load_option(struct load *l, const char *name, const char *value)
{
	size_t i;

	for (i = 0; i < nitems(values); i++)
		if (strcmp(values[i].name, name) == 0)
			*(const char **)(void *)((char *)l + values[i].off) =
			    value;
	for (i = 0; passed_on[i] != NULL; i++)
		if (strcmp(passed_on[i] + 2, name) == 0) {
			if (l->argc + 3 > MAX_ARGS)
				errx(EX_SETUP, "too many options");
			l->argv[l->argc++] = passed_on[i];
			l->argv[l->argc++] = value;
		}
}

static int
load_main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "sessions",	required_argument, NULL, 0 },
		{ "parallel",	required_argument, NULL, 0 },
		{ "transactions", required_argument, NULL, 0 },
		{ "rcpts",	required_argument, NULL, 0 },
		{ "size",	required_argument, NULL, 0 },
		{ "rate",	required_argument, NULL, 0 },
		{ "seed",	required_argument, NULL, 0 },
		{ "json",	required_argument, NULL, 0 },
		{ "junit",	required_argument, NULL, 0 },
		{ "tap",	required_argument, NULL, 0 },
		{ "target",	required_argument, NULL, 0 },
		{ "connect",	required_argument, NULL, 0 },
		{ "results",	required_argument, NULL, 0 },
		{ NULL, 0, NULL, 0 }
	};
	struct load l = { .sessions = "100", .parallel = "1..10",
	    .transactions = "1", .rcpts = "1", .size = "1K..10K", .argc = 1 };
	char *path;
	int ch, i;

	l.argv[0] = "load";
	while ((ch = getopt_long(argc, argv, "", longopts, &i)) != -1) {
		if (ch != 0)
			return cmd_usage(&cmd_load);
		load_option(&l, longopts[i].name, optarg);
	}
	if (optind != argc)
		return cmd_usage(&cmd_load);
	l.argv[l.argc++] = path = load_file(&l);
	l.argv[l.argc] = NULL;
	optind = 0;
	ch = cmd_run.main(l.argc, (char **)(uintptr_t)l.argv);
	free(path);
	return ch;
}

const struct cmd cmd_load = {
	"load",
	"[--sessions N] [--parallel A..B] [--transactions A..B] [--rcpts A..B]"
	"\n            [--size A..B] [--rate R] [--connect HOST:PORT | "
	"--target T]\n            [--seed N] [--json F] [--junit F] [--tap F] "
	"[--results DIR]",
	"send a fleet of sessions made from these numbers",
	load_main,
	"  --sessions N      so many sessions in all (default: 100)\n"
	"  --parallel A..B   at once (default: 1..10)\n"
	"  --transactions A..B in a session (default: 1)\n"
	"  --rcpts A..B      recipients of a message (default: 1)\n"
	"  --size A..B       octets of a message, K and M may follow (default: "
	"1K..10K)\n"
	"  --rate R          start at most R sessions a second\n"
	"  --connect H:P     to what listens there; else to a daemon of our "
	"own, which\n"
	"                    passes everything on to a sink of ours\n"
	"Other options are those of \"smtpdtest run\".  The scenario is left as "
	"load.smtp\n"
	"among the results.\n"
};
