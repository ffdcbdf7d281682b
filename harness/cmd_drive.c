/* drive: a filter, tested by an smtpd that we play. */
#include <sys/types.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "cmd.h"
#include "drive.h"
#include "drive_report.h"
#include "event.h"
#include "report.h"
#include "sandbox.h"

#define SESSIONS	200
#define PARALLEL	10
#define TIMEOUT		10		/* s */
#define HOSTILES_MAX	32
#define VERSIONS_MAX	4

struct options {
	const char	*tap, *junit, *json;
	const char	*log, *script, *choices, *record;
	const char	*protocol, *hostile;
	uint64_t	 seed, sessions, parallel, timeout;
	int		 identity, no_sandbox, host_net, quiet;
	int		 versions[VERSIONS_MAX];
	size_t		 nversions;
	int		 plain;		/* sessions of ordinary clients */
	const struct drive_hostile *kinds[HOSTILES_MAX];
	size_t		 nkinds;
	char		*command;
	char		*repeat;
};

struct sink {
	const struct reporter *reporter;
	void		*arg;
};

struct work {
	const struct options *o;
	struct sandbox	*sb;
	struct choices	*choices;
	struct sink	 sink[3];
	size_t		 nsinks;
	FILE		*out;		/* for people */
	int		 id;
	size_t		 nerrors, nbroken;
	int		 unready;	/* it never was */
	const char	*useless;	/* why not to go on with it */
	struct buf	 ids;		/* invariants broken */
};

static volatile sig_atomic_t caught;

/* --- options -------------------------------------------------------------- */

enum {
	OPT_SEED = 256, OPT_SESSIONS, OPT_PARALLEL, OPT_TIMEOUT, OPT_PROTOCOL,
	OPT_HOSTILE, OPT_TAP, OPT_JUNIT, OPT_JSON, OPT_LOG, OPT_SCRIPT,
	OPT_CHOICES, OPT_RECORD
};

static const struct cli_option kept[] = {
	CLI_TEXT(OPT_TAP, struct options, tap),
	CLI_TEXT(OPT_JUNIT, struct options, junit),
	CLI_TEXT(OPT_JSON, struct options, json),
	CLI_TEXT(OPT_LOG, struct options, log),
	CLI_TEXT(OPT_SCRIPT, struct options, script),
	CLI_TEXT(OPT_CHOICES, struct options, choices),
	CLI_TEXT(OPT_RECORD, struct options, record),
	CLI_TEXT(OPT_PROTOCOL, struct options, protocol),
	CLI_TEXT(OPT_HOSTILE, struct options, hostile),
	CLI_NUMBER(OPT_SEED, struct options, seed,
	    "--seed", 0, UINT64_MAX),
	CLI_NUMBER(OPT_SESSIONS, struct options, sessions,
	    "--sessions", 1, 100000000),
	CLI_NUMBER(OPT_PARALLEL, struct options, parallel,
	    "--parallel", 1, 10000),
	CLI_NUMBER(OPT_TIMEOUT, struct options, timeout,
	    "--timeout", 1, 3600),
	CLI_END
};

static const struct drive_hostile *
hostile_find(const char *name)
{
	const struct drive_hostile *h;

	for (h = drive_hostiles; h->name != NULL; h++)
		if (strcmp(h->name, name) == 0)
			return h;
	return NULL;
}

static int
list_hostile(void)
{
	const struct drive_hostile *h;

	for (h = drive_hostiles; h->name != NULL; h++)
		printf("%-16s %s%s\n", h->name, h->text,
		    h->extra ? " [only on request]" : "");
	return EX_PASS;
}

/* Which kinds, of "all", "none", or their names with commas between. */
static void
parse_hostile(struct options *o)
{
	const struct drive_hostile *h;
	char *copy, *rest, *word;

	o->plain = 1;
	if (o->script != NULL && o->hostile != NULL)
		errx(EX_SETUP, "--script and --hostile exclude each other");
	if (o->script != NULL ||
	    (o->hostile != NULL && strcmp(o->hostile, "none") == 0))
		return;
	if (o->hostile == NULL || strcmp(o->hostile, "all") == 0) {
		for (h = drive_hostiles; h->name != NULL; h++)
			if (!h->extra)
				o->kinds[o->nkinds++] = h;
		return;
	}
	o->plain = 0;
	copy = rest = xstrdup(o->hostile);
	while ((word = strsep(&rest, ",")) != NULL) {
		if (strcmp(word, "plain") == 0) {
			o->plain = 1;
			continue;
		}
		if ((h = hostile_find(word)) == NULL)
			errx(EX_SETUP, "--hostile: there is no \"%s\": "
			    "\"--hostile list\" shows what there is", word);
		if (o->nkinds == HOSTILES_MAX)
			errx(EX_SETUP, "--hostile: too many");
		o->kinds[o->nkinds++] = h;
	}
	free(copy);
}

static void
parse_protocol(struct options *o)
{
	char *copy, *rest, *word;
	int v;

	copy = rest = xstrdup(o->protocol == NULL ? "0.7" :
	    strcmp(o->protocol, "all") == 0 ? "0.4,0.5,0.6,0.7" : o->protocol);
	while ((word = strsep(&rest, ",")) != NULL) {
		if ((v = filter_version(word)) < 4 || v > 7)
			errx(EX_SETUP, "--protocol: \"%s\" is none of 0.4, "
			    "0.5, 0.6, 0.7, all", word);
		if (o->nversions == VERSIONS_MAX)
			errx(EX_SETUP, "--protocol: too many");
		o->versions[o->nversions++] = v;
	}
	free(copy);
}

/* "--hostile" at the end or before another option asks for the list. */
static int
asks_for_list(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--hostile=list") == 0 ||
		    (strcmp(argv[i], "--hostile") == 0 && (i + 1 == argc ||
		    argv[i + 1][0] == '-' ||
		    strcmp(argv[i + 1], "list") == 0)))
			return 1;
	return 0;
}

static int
parse_options(struct options *o, int argc, char **argv)
{
	const struct option longopts[] = {
		{ "seed",	required_argument, NULL, OPT_SEED },
		{ "sessions",	required_argument, NULL, OPT_SESSIONS },
		{ "parallel",	required_argument, NULL, OPT_PARALLEL },
		{ "timeout",	required_argument, NULL, OPT_TIMEOUT },
		{ "protocol",	required_argument, NULL, OPT_PROTOCOL },
		{ "hostile",	required_argument, NULL, OPT_HOSTILE },
		{ "tap",	required_argument, NULL, OPT_TAP },
		{ "junit",	required_argument, NULL, OPT_JUNIT },
		{ "json",	required_argument, NULL, OPT_JSON },
		{ "log",	required_argument, NULL, OPT_LOG },
		{ "script",	required_argument, NULL, OPT_SCRIPT },
		{ "choices",	required_argument, NULL, OPT_CHOICES },
		{ "record",	required_argument, NULL, OPT_RECORD },
		{ "identity",	no_argument, &o->identity, 1 },
		{ "no-sandbox",	no_argument, &o->no_sandbox, 1 },
		{ "host-net",	no_argument, &o->host_net, 1 },
		{ "quiet",	no_argument, &o->quiet, 1 },
		{ NULL, 0, NULL, 0 }
	};
	static char name[] = "smtpdtest drive";
	int ch;

	memset(o, 0, sizeof(*o));
	o->seed = cli_random_seed();
	o->sessions = SESSIONS;
	o->parallel = PARALLEL;
	o->timeout = TIMEOUT;
	argv[0] = name;
	/* what follows the filter's name is the filter's */
	while ((ch = getopt_long(argc, argv, "+q", longopts, NULL)) != -1) {
		if (ch == '?')
			return -1;
		if (ch == 'q')
			o->quiet = 1;
		cli_option_set(kept, o, ch, optarg);
	}
	return optind == argc ? -1 : 0;
}

/* As one would write it after proc-exec, and to a shell. */
static void
make_command(struct options *o, int argc, char **argv)
{
	struct buf b = { 0 };
	int i;

	for (i = optind; i < argc; i++) {
		if (i > optind)
			buf_addstr(&b, " ");
		cli_quote(&b, argv[i]);
	}
	o->command = b.data;
}

static void
make_repeat(struct options *o)
{
	struct buf b = { 0 };

	cli_quote(&b, cli_program());
	buf_addf(&b, " drive --seed 0x%016llx", (unsigned long long)o->seed);
	if (o->protocol != NULL)
		buf_addf(&b, " --protocol %s", o->protocol);
	if (o->hostile != NULL)
		buf_addf(&b, " --hostile %s", o->hostile);
	if (o->sessions != SESSIONS)
		buf_addf(&b, " --sessions %llu",
		    (unsigned long long)o->sessions);
	if (o->parallel != PARALLEL)
		buf_addf(&b, " --parallel %llu",
		    (unsigned long long)o->parallel);
	if (o->timeout != TIMEOUT)
		buf_addf(&b, " --timeout %llu", (unsigned long long)o->timeout);
	if (o->choices != NULL) {
		buf_addstr(&b, " --choices ");
		cli_quote(&b, o->choices);
	}
	if (o->script != NULL) {
		buf_addstr(&b, " --script ");
		cli_quote(&b, o->script);
	}
	buf_addf(&b, "%s%s%s -- %s", o->identity ? " --identity" : "",
	    o->no_sandbox ? " --no-sandbox" : "",
	    o->host_net ? " --host-net" : "", o->command);
	o->repeat = b.data;
}

/*
 * A scenario is what "run" plays, with this filter in its daemon blocks.  What
 * is said is all in there, and how often.
 */
static int
run_scenario(const struct options *o)
{
	const struct {
		const char	*name, *value;
	} with[] = {
		{ "--filter", o->command }, { "--tap", o->tap },
		{ "--junit", o->junit }, { "--json", o->json },
		{ "--choices", o->choices },
	};
	char *argv[16], seed[32];
	int argc = 0;
	size_t i;

	if (o->protocol != NULL || o->record != NULL || o->log != NULL ||
	    o->identity || o->no_sandbox || o->host_net)
		errx(EX_SETUP, "--script %s: a scenario goes with --tap, "
		    "--junit, --json, --seed, --choices and -q only",
		    o->script);
	argv[argc++] = xstrdup("run");
	for (i = 0; i < nitems(with); i++)
		if (with[i].value != NULL)
			argv[argc++] = xasprintf("%s=%s", with[i].name,
			    with[i].value);
	snprintf(seed, sizeof(seed), "--seed=0x%llx",
	    (unsigned long long)o->seed);
	argv[argc++] = xstrdup(seed);
	if (o->quiet)
		argv[argc++] = xstrdup("-q");
	argv[argc++] = xstrdup("--");
	argv[argc++] = xstrdup(o->script);
	argv[argc] = NULL;
	optind = 1;
	return cmd_run.main(argc, argv);
}

static int
is_scenario(const char *path)
{
	size_t len = path == NULL ? 0 : strlen(path);

	return len > 5 && strcmp(path + len - 5, ".smtp") == 0;
}

/* --- reports -------------------------------------------------------------- */

static void
add_sink(struct work *w, const struct reporter *rep, const char *file)
{
	int std;

	if (file == NULL)
		return;
	std = strcmp(file, "-") == 0;
	if (std && w->out == stderr)
		errx(EX_SETUP, "only one report can go to stdout");
	if (std)
		w->out = stderr;
	w->sink[w->nsinks].reporter = rep;
	w->sink[w->nsinks++].arg = rep->open(std ? NULL : file);
}

/* Takes the reference. */
static void
report(struct work *w, json_t *ev)
{
	size_t i;

	for (i = 0; i < w->nsinks; i++)
		w->sink[i].reporter->event(w->sink[i].arg, ev);
	json_decref(ev);
}

static size_t
count_passes(const struct options *o)
{
	size_t v, k, n = o->nversions * (size_t)o->plain;

	for (v = 0; v < o->nversions; v++)
		for (k = 0; k < o->nkinds; k++)
			n += o->versions[v] >= o->kinds[k]->since;
	return n;
}

static void
start_reports(struct work *w)
{
	const struct options *o = w->o;

	w->out = stdout;
	add_sink(w, &report_tap, o->tap);
	add_sink(w, &report_junit, o->junit);
	add_sink(w, &report_json, o->json);
	report(w, drive_run_start(o->seed, o->versions, o->nversions,
	    count_passes(o)));
}

static void
end_reports(struct work *w, uint64_t began)
{
	size_t i;

	report(w, drive_run_end((double)(now_us() - began) / 1e6,
	    caught != 0));
	for (i = 0; i < w->nsinks; i++)
		w->sink[i].reporter->close(w->sink[i].arg);
}

static void
note_ids(struct work *w, const struct drive_result *r)
{
	struct buf one = { 0 };
	size_t i;

	for (i = 0; i < r->nbroken; i++) {
		buf_reset(&one);
		buf_addf(&one, " %s ", r->broken[i].id);
		if (w->ids.len == 0 || strstr(w->ids.data, one.data) == NULL)
			buf_add(&w->ids, one.data, one.len);
	}
	buf_free(&one);
}

/* --- work ----------------------------------------------------------------- */

static void
on_signal(int signo)
{
	caught = signo;
}

static int
interrupted(void *arg, unsigned long done, unsigned long total)
{
	const struct work *w = arg;

	if (!w->o->quiet && isatty(STDERR_FILENO) && total > 0)
		fprintf(stderr, "\r%lu of %lu sessions\r", done, total);
	return caught != 0;
}

static void
one_pass(struct work *w, int version, const struct drive_hostile *h)
{
	const struct options *o = w->o;
	struct drive_conf c = { .command = o->command, .version = version,
	    .sb = w->sb, .choices = w->choices, .sessions = o->sessions,
	    .parallel = o->parallel, .owed = o->timeout * 1000000,
	    .identity = o->identity, .usage = h == NULL, .hostile = h,
	    .replay = o->script, .progress = interrupted, .arg = w };
	struct drive_result r;
	uint64_t began = now_us();
	char *name;

	name = xasprintf("0.%d/%s", version, h == NULL ? "plain" : h->name);
	c.name = name;
	/* one file can hold one process's lines */
	c.log = w->id == 0 ? o->log : NULL;
	drive_run(&c, &r);
	if (!r.gaveup) {
		w->nerrors += r.error != NULL;
		w->unready |= h == NULL && !r.ready;
		if (h == NULL)
			w->useless = r.hung > 0 ? "does not answer" :
			    r.died ? "does not live" : NULL;
		w->nbroken += r.nbroken + (r.crash != NULL);
		note_ids(w, &r);
		if (r.error != NULL)
			warnx("%s: %s", o->command, r.error);
		else if (!o->quiet || !drive_conforms(&r))
			drive_print(w->out, &c, &r);
		report(w, drive_end(w->id, &c, &r, o->seed,
		    (double)(now_us() - began) / 1e6, o->repeat));
	}
	w->id++;
	drive_free(&r);
	free(name);
}

/* A filter that cannot be started will not be, however nasty we are. */
static int
is_over(const struct work *w)
{
	return caught != 0 || w->nerrors > 0 || w->unready;
}

static void
all_passes(struct work *w)
{
	const struct options *o = w->o;
	size_t v, k;

	for (v = 0; v < o->nversions; v++) {
		if (o->plain)
			one_pass(w, o->versions[v], NULL);
		if (w->useless != NULL && o->nkinds > 0 && !is_over(w)) {
			fprintf(w->out, "protocol 0.%d: no hostile input to "
			    "what %s\n", o->versions[v], w->useless);
			w->useless = NULL;
			continue;
		}
		for (k = 0; k < o->nkinds && !is_over(w); k++)
			if (o->versions[v] >= o->kinds[k]->since)
				one_pass(w, o->versions[v], o->kinds[k]);
		if (is_over(w))
			break;
	}
}

static void
verdict(const struct work *w)
{
	const struct options *o = w->o;

	if (caught != 0)
		fprintf(w->out, "interrupted\n");
	else if (w->nerrors > 0)
		return;			/* said already */
	else if (w->nbroken == 0)
		fprintf(w->out, "%s: conformant\n", o->command);
	else
		fprintf(w->out, "%s: not conformant:%s\nrepeat with: %s\n",
		    o->command, w->ids.len > 0 ? w->ids.data : " it crashes",
		    o->repeat);
}

static void
load_choices(struct work *w)
{
	const char *path = w->o->choices;
	char msg[512];
	FILE *fp;

	w->choices = choices_new(w->o->seed, "drive");
	if (path == NULL)
		return;
	if ((fp = fopen(path, "r")) == NULL)
		err(EX_SETUP, "--choices %s", path);
	if (choices_replay(w->choices, fp, path, msg, sizeof(msg)) == -1)
		errx(EX_SETUP, "%s", msg);
	fclose(fp);
}

static void
save_choices(struct work *w)
{
	char *text = NULL;
	size_t len = 0;
	FILE *fp;

	if (w->o->record == NULL)
		return;
	if ((fp = open_memstream(&text, &len)) == NULL)
		err(EX_SETUP, "--record");
	choices_save(w->choices, fp);
	fclose(fp);
	if (file_replace(w->o->record, text, len) == -1)
		err(EX_SETUP, "--record %s", w->o->record);
	free(text);
}

static void
enter(struct work *w, const char *why)
{
	struct sandbox_spec spec = { .bare = 1, .hostnet = w->o->host_net };
	char msg[512];

	if (why == NULL && !w->o->no_sandbox) {
		w->sb = sandbox_enter(&spec, msg, sizeof(msg));
		if (w->sb == NULL)
			errx(EX_SETUP, "%s", msg);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (why != NULL)
		warnx("no sandbox: %s; what the filter starts may outlive it",
		    why);
}

/* In a process of its own: entering a sandbox is for good. */
static int
work(const struct options *o, const char *why)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct work w = { .o = o };
	uint64_t began = now_us();

	load_choices(&w);
	start_reports(&w);
	enter(&w, why);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	all_passes(&w);
	save_choices(&w);
	end_reports(&w, began);
	verdict(&w);
	sandbox_close(w.sb);
	choices_free(w.choices);
	buf_free(&w.ids);
	if (w.nbroken > 0)
		return EX_FAIL;
	return w.nerrors > 0 || caught != 0 ? EX_SETUP : EX_PASS;
}

static pid_t	worker;

/* A terminal's Ctrl-C reaches the worker by itself, a kill does not. */
static void
pass_on(int signo)
{
	caught = signo;
	if (worker > 0)
		kill(worker, SIGTERM);
}

static int
drive_main(int argc, char **argv)
{
	static const struct sandbox_spec bare = { .bare = 1 };
	struct sigaction sa = { .sa_handler = pass_on };
	struct options o;
	char msg[512];
	const char *why = NULL;
	int status;

	if (asks_for_list(argc, argv))
		return list_hostile();
	if (parse_options(&o, argc, argv) == -1)
		return cmd_usage(&cmd_drive);
	parse_protocol(&o);
	parse_hostile(&o);
	make_command(&o, argc, argv);
	make_repeat(&o);
	if (is_scenario(o.script))
		return run_scenario(&o);
	if (!o.no_sandbox && sandbox_try(&bare, msg, sizeof(msg)) == -1)
		why = msg;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	fflush(stdout);
	if ((worker = fork()) == -1)
		err(EX_SETUP, "fork");
	if (worker == 0) {
		/* no exit handlers: LeakSanitizer's cannot work in there */
		status = work(&o, why);
		fflush(NULL);
		_exit(status);
	}
	while (waitpid(worker, &status, 0) == -1)
		if (errno != EINTR)
			err(EX_SETUP, "waitpid");
	free(o.command);
	free(o.repeat);
	if (caught != 0) {
		signal(caught, SIG_DFL);
		raise(caught);
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	errx(EX_SETUP, "the worker was ended by signal %d", WTERMSIG(status));
}

const struct cmd cmd_drive = {
	"drive",
	"[OPTION...] [--] FILTER [ARG...]",
	"test a filter by playing smtpd",
	drive_main,
	"  --protocol V,V     0.4, 0.5, 0.6, 0.7 (default), or all\n"
	"  --sessions N       so many sessions (200)\n"
	"  --parallel N       so many at once (10)\n"
	"  --timeout S        an answer is due within S seconds (10)\n"
	"  --hostile K,K      only these hostile passes; all (default), none, list\n"
	"  --identity         the filter promises not to change mail\n"
	"  --script F         a tap log instead of sessions of our own, or a "
	"scenario\n"
	"                     (*.smtp) with daemon blocks\n"
	"  --seed N           of every decision\n"
	"  --choices F        make the decisions recorded there\n"
	"  --record F         record them\n"
	"  --log F            log what goes by in the first pass\n"
	"  --tap F, --junit F, --json F\n"
	"  --no-sandbox       as a plain child process\n"
	"  --host-net         with the machine's network\n"
	"  -q                 say only what falls short\n"
};
