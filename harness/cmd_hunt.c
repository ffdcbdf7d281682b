/* hunt: the same scenario over and over, until an oracle objects. */
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalogue.h"
#include "choice.h"
#include "cli.h"
#include "cmd.h"
#include "event.h"
#include "finding.h"
#include "perturb.h"
#include "pool.h"
#include "portfolio.h"
#include "report.h"
#include "sandbox.h"
#include "script.h"
#include "suite.h"
#include "target.h"

#define DEFAULT_TARGET	"7.9.0p0"
#define DEFAULT_TIME	60		/* s */
#define WATCHDOG	180		/* s without a sign of life, */
#define SILENT		(PERTURB_SILENCE / 1000000)	/* and where it is meant */
#define SAVE_US		2000000
#define TELL_US		10000000	/* between lines where it is no terminal */
#define DRAW_US		200000
#define ERRORS_MAX	5		/* one after the other: it will not get better */
#define PARALLEL_MAX	64

/* A run under way. */
struct attempt {
	struct job	 job;
	char		*repeat;
	int		 busy;
};

struct hunt {
	const char	*spec, *path, *json;
	uint64_t	 seed, seconds, parallel;
	unsigned int	 allowed;
	int		 all, resume;
	char		*dir, *slug, *state_path;
	struct target	*target;
	struct scenario	*sc;
	struct catalogue *catalogue;
	struct suite	 suite;
	struct portfolio *portfolio;
	struct attempt	 attempt[PARALLEL_MAX];
	uint64_t	 t0, before;	/* us; spent by earlier sessions */
	uint64_t	 saved, told;
	uint64_t	 started, runs, missed, errors, row;
	char		*last_error;
	json_t		*found;		/* directory, count */
	int		 enough;
	int		 unsaved;	/* and the user knows */
	int		 tty;
};

static uint64_t
spent(const struct hunt *h)
{
	return h->before + now_us() - h->t0;
}

/* --- state, to go on after a kill -------------------------------------------- */

static void
save(struct hunt *h)
{
	char	*text, seed[32];
	json_t	*j;

	snprintf(seed, sizeof(seed), "0x%016llx", (unsigned long long)h->seed);
	j = json_pack("{s:o, s:s, s:s, s:f, s:I, s:I, s:I, s:O, s:o}",
	    "scenario", text_json(h->path), "target", h->spec, "seed", seed,
	    "seconds", (double)spent(h) / 1e6, "started",
	    (json_int_t)h->started, "runs", (json_int_t)h->runs,
	    "missed", (json_int_t)h->missed, "findings", h->found,
	    "portfolio", portfolio_save(h->portfolio));
	text = json_dumps(j, JSON_INDENT(1));
	/* once is enough: it is tried every other second */
	if (file_replace(h->state_path, text, strlen(text)) == -1 ||
	    (h->json != NULL &&
	    file_replace(h->json, text, strlen(text)) == -1)) {
		if (!h->unsaved)
			warn("%s", h->state_path);
		h->unsaved = 1;
	}
	free(text);
	json_decref(j);
	h->saved = now_us();
}

static void
restore(struct hunt *h)
{
	json_error_t	 e;
	json_t		*j;

	/* killed before it had written anything: nothing is lost */
	if (access(h->state_path, F_OK) == -1 && errno == ENOENT) {
		warnx("--resume: %s is not there: from the beginning",
		    h->state_path);
		return;
	}
	if ((j = json_load_file(h->state_path, 0, &e)) == NULL)
		errx(EX_SETUP, "--resume: %s: %s", h->state_path, e.text);
	if (cli_u64(jstr(j, "seed"), &h->seed) == -1)
		errx(EX_SETUP, "--resume: %s: no seed", h->state_path);
	h->before = (uint64_t)(1e6 * json_number_value(
	    json_object_get(j, "seconds")));
	/* what was under way when it ended is done again */
	h->started = h->runs = (uint64_t)jint(j, "runs");
	h->missed = (uint64_t)jint(j, "missed");
	json_array_extend(h->found, json_object_get(j, "findings"));
	portfolio_restore(h->portfolio, json_object_get(j, "portfolio"));
	json_decref(j);
}

/* --- runs ------------------------------------------------------------------------ */

static char *
repeat_line(const struct hunt *h, const struct job *j)
{
	struct buf	 b = { 0 };

	cli_quote(&b, cli_program());
	buf_addf(&b, " run --target ");
	cli_quote(&b, h->spec);
	if (j->opts.perturb != 0)
		buf_addf(&b, " --perturb %s", perturb_names(j->opts.perturb));
	buf_addf(&b, " --seed 0x%016llx ", (unsigned long long)j->opts.seed);
	cli_quote(&b, h->path);
	return b.data;
}

static const struct job *
next(void *arg)
{
	struct hunt	*h = arg;
	struct attempt	*a = h->attempt;
	uint64_t	 mix;

	if (h->enough || spent(h) >= h->seconds * 1000000)
		return NULL;
	while (a->busy)
		a++;
	a->busy = 1;
	free(a->repeat);
	memset(&a->job, 0, sizeof(a->job));
	/* neighbouring seeds have nothing in common */
	mix = h->seed;
	mix = choice_mix(&mix) + ++h->started;
	a->job.sc = h->sc;
	a->job.target = h->target->name;
	a->job.version = h->target->version;
	a->job.opts.target = h->target;
	a->job.opts.seed = choice_mix(&mix);
	a->job.opts.certs = cli_certs();
	a->job.opts.filters = cli_filters();
	a->job.opts.catalogue = h->catalogue->path;
	a->job.opts.perturb = portfolio_next(h->portfolio);
	a->job.opts.id = (int)(a - h->attempt);
	a->job.opts.repeat = a->repeat = repeat_line(h, &a->job);
	return &a->job;
}

static void
say(struct hunt *h, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
say(struct hunt *h, const char *fmt, ...)
{
	va_list	 ap;

	if (h->tty)
		fputs("\r\033[K", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static void
keep(struct hunt *h, const struct attempt *a, const json_t *end)
{
	struct buf	 sig = { 0 };
	char		 seed[32], *dir;
	json_int_t	 count;
	json_t		*repeat;

	snprintf(seed, sizeof(seed), "0x%016llx",
	    (unsigned long long)a->job.opts.seed);
	repeat = json_pack("{s:o, s:s, s:s, s:s, s:o, s:f, s:I}", "scenario",
	    text_json(h->path), "target", h->spec, "seed", seed, "perturb",
	    perturb_names(a->job.opts.perturb), "repeat", text_json(a->repeat),
	    "found_after_seconds", (double)spent(h) / 1e6,
	    "found_after_runs", (json_int_t)h->runs);
	finding_signature(end, &sig);
	if ((dir = finding_keep(h->dir, h->slug, end, repeat, &count)) == NULL)
		err(EX_SETUP, "%s: the finding could not be kept", h->dir);
	say(h, "FOUND %s, %.1f s, run %llu, strategy %s, met %lld time%s\n"
	    "      in %s\n      repeat with: %s --choices %s/choices",
	    sig.data, (double)spent(h) / 1e6, (unsigned long long)h->runs,
	    perturb_names(a->job.opts.perturb), (long long)count,
	    count == 1 ? "" : "s", dir, a->repeat, dir);
	json_array_append_new(h->found, json_pack("{s:o, s:o, s:f, s:s}",
	    "directory", text_json(dir), "signature", text_json(sig.data),
	    "after_seconds", (double)spent(h) / 1e6,
	    "strategy", perturb_names(a->job.opts.perturb)));
	h->enough |= !h->all;
	free(dir);
	buf_free(&sig);
	json_decref(repeat);
}

static void
end(struct hunt *h, struct attempt *a, const json_t *ev)
{
	enum verdict	 v = verdict_of(ev);
	struct buf	 sig = { 0 };

	a->busy = 0;
	if (v == V_SKIP)
		errx(EX_SKIP, "skipped: %s", jstr(ev, "reason"));
	if (v == V_ERROR) {
		h->errors++;
		free(h->last_error);
		h->last_error = xstrdup(jstr(ev, "reason"));
		if (++h->row >= ERRORS_MAX)
			h->enough = 1;
		return;
	}
	h->row = 0;
	h->runs++;
	portfolio_tried(h->portfolio, a->job.opts.perturb, json_object_get(
	    json_object_get(ev, "stats"), "states"), json_number_value(
	    json_object_get(ev, "seconds")));
	if (v == V_FAIL && finding_signature(ev, &sig))
		keep(h, a, ev);
	else if (v == V_FAIL)
		h->missed++;
	buf_free(&sig);
}

static void
on_event(void *arg, json_t *ev)
{
	struct hunt	*h = arg;

	if (strcmp(jstr(ev, "event"), "end") == 0)
		end(h, &h->attempt[jint(ev, "id")], ev);
}

static void
progress(struct hunt *h)
{
	uint64_t	 us = spent(h);
	double		 s = (double)us / 1e6;

	printf("%s%llu runs, %.1f a second, %zu states, %zu findings, now %s, "
	    "%llu s left%s", h->tty ? "\r\033[K" : "",
	    (unsigned long long)h->runs, s > 0 ? (double)h->runs / s : 0,
	    portfolio_states(h->portfolio), json_array_size(h->found),
	    perturb_names(h->attempt[0].job.opts.perturb),
	    (unsigned long long)(us / 1000000 > h->seconds ? 0 :
	    h->seconds - us / 1000000), h->tty ? "" : "\n");
	fflush(stdout);
	h->told = now_us();
}

static void
on_tick(void *arg)
{
	struct hunt	*h = arg;

	if (now_us() - h->saved > SAVE_US)
		save(h);
	if (now_us() - h->told > (h->tty ? DRAW_US : TELL_US))
		progress(h);
}

/* --- the command ------------------------------------------------------------------ */

static void
prepare(struct hunt *h)
{
	char	*paths[] = { (char *)(uintptr_t)h->path, NULL };
	char	 msg[512];

	h->catalogue = catalogue_load();
	if (suite_load(&h->suite, paths, h->catalogue) > 0)
		exit(EX_SETUP);
	if (h->suite.n != 1)
		errx(EX_SETUP, "%s: hunt takes one scenario", h->path);
	h->sc = h->suite.sc[0];
	h->path = h->sc->path;
	if (sandbox_probe(msg, sizeof(msg)) == -1)
		errx(EX_SETUP, "%s", msg);
	if ((h->target = target_find(h->spec)) == NULL)
		exit(EX_SETUP);
	if (h->dir == NULL)
		h->dir = xstrdup(findings_dir());
	if (mkdir(h->dir, 0777) == -1 && errno != EEXIST)
		err(EX_SETUP, "%s", h->dir);
	h->slug = suite_slug(h->target->name);
	h->state_path = xasprintf("%s/hunt-%08llx.json", h->dir,
	    (unsigned long long)(fnv64(h->path, strlen(h->path)) ^
	    fnv64(h->spec, strlen(h->spec))) & 0xffffffff);
	h->found = json_array();
	h->portfolio = portfolio_new(h->allowed);
	h->t0 = now_us();
	if (h->resume)
		restore(h);
}

static int
verdict(struct hunt *h)
{
	if (h->tty)
		fputs("\r\033[K", stdout);
	progress(h);
	if (h->tty)
		putchar('\n');
	if (h->missed > 0)
		printf("%llu runs fell short of what the scenario itself "
		    "expects; that is not looked at here\n",
		    (unsigned long long)h->missed);
	if (h->errors > 0)
		warnx("%llu runs could not be made, the last: %s",
		    (unsigned long long)h->errors, h->last_error);
	if (json_array_size(h->found) > 0)
		return EX_FAIL;
	return h->row >= ERRORS_MAX || h->runs == 0 ? EX_SETUP : EX_PASS;
}

static int
hunt(struct hunt *h)
{
	struct pool	 pool = {
		.next = next, .event = on_event, .tick = on_tick, .arg = h,
		.parallel = (unsigned int)h->parallel, .watchdog = WATCHDOG
	};
	int		 signo, code;

	prepare(h);
	if (h->allowed & PERTURB_TIMEOUT)
		pool.watchdog += SILENT;
	printf("hunting on %s for %llu s, %llu at once, seed 0x%016llx\n",
	    h->target->name, (unsigned long long)h->seconds,
	    (unsigned long long)h->parallel, (unsigned long long)h->seed);
	save(h);
	signo = pool_run(&pool);
	save(h);
	code = verdict(h);
	if (h->unsaved && code == EX_PASS)
		code = EX_SETUP;
	if (signo != 0) {
		printf("interrupted; \"--resume\" goes on\n");
		fflush(stdout);
		cli_reraise(signo);
	}
	return code;
}

static int
hunt_main(int argc, char **argv)
{
	enum { TIME = 256, SEED, TARGET, JSON, STRATEGY, FINDINGS };
	struct hunt	 h = { .spec = DEFAULT_TARGET, .seconds = DEFAULT_TIME,
			     .allowed = PERTURB_DEFAULT };
	const struct option longopts[] = {
		{ "time",	required_argument, NULL, TIME },
		{ "seed",	required_argument, NULL, SEED },
		{ "target",	required_argument, NULL, TARGET },
		{ "json",	required_argument, NULL, JSON },
		{ "strategy",	required_argument, NULL, STRATEGY },
		{ "findings",	required_argument, NULL, FINDINGS },
		{ "all",	no_argument, &h.all, 1 },
		{ "resume",	no_argument, &h.resume, 1 },
		{ NULL, 0, NULL, 0 }
	};
	int		 ch;

	h.seed = cli_random_seed();
	h.parallel = cli_parallel(2);
	while ((ch = getopt_long(argc, argv, "j:", longopts, NULL)) != -1) {
		if (ch == '?')
			return cmd_usage(&cmd_hunt);
		if (ch == 'j')
			h.parallel = cli_number("-j", optarg, 1, PARALLEL_MAX);
		if (ch == TIME)
			h.seconds = cli_number("--time", optarg, 1, 10000000);
		if (ch == SEED)
			h.seed = cli_number("--seed", optarg, 0, UINT64_MAX);
		if (ch == STRATEGY)
			h.allowed = cli_perturb(optarg);
		h.spec = ch == TARGET ? optarg : h.spec;
		h.json = ch == JSON ? optarg : h.json;
		if (ch == FINDINGS)
			h.dir = xstrdup(optarg);
	}
	if (argc - optind != 1)
		return cmd_usage(&cmd_hunt);
	h.path = argv[optind];
	h.tty = isatty(STDOUT_FILENO);
	return hunt(&h);
}

const struct cmd	cmd_hunt = {
	"hunt",
	"[-j N] [--time S] [--seed N] [--target T] [--strategy LIST] [--json F]"
	"\n            [--findings DIR] [--all] [--resume] SCENARIO",
	"run a scenario over and over, disturbed, until an oracle objects",
	hunt_main,
	"  -j N              N runs at once (default: two for each processor)\n"
	"  --time S          for so many seconds (default: 60)\n"
	"  --seed N          of every random decision (default: random, "
	"printed)\n"
	"  --target T        this daemon (default: " DEFAULT_TARGET ")\n"
	"  --strategy LIST   disturb only so: none, or of delay, segment, cut, "
	"stop,\n"
	"                    hold, pct, pause; or timeout, which takes minutes\n"
	"  --findings DIR    keep findings there (default: build/findings)\n"
	"  --json F          the result, and what each strategy came to\n"
	"  --all             do not end with the first finding\n"
	"  --resume          go on where a hunt of this scenario and target "
	"ended\n"
	"exit: 0 nothing found, 1 found, 2 usage or set-up, 77 skipped\n"
};
