/* kill: does the daemon survive a kill script?  Fit for git bisect run. */
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "choice.h"
#include "cli.h"
#include "cmd.h"
#include "event.h"
#include "finding.h"
#include "outside.h"
#include "pool.h"
#include "rate.h"
#include "report.h"
#include "run.h"
#include "sandbox.h"
#include "suite.h"
#include "target.h"

#define DEFAULT_TARGET	"7.9.0p0"
#define DEFAULT_RUNS	10
#define WATCHDOG	120		/* s */
#define EX_CANNOT	125		/* git-bisect(1): this one cannot be tested */

struct kill {
	const char	*spec, *connect, *json, *path;
	char		*address;
	uint64_t	 n, seed, parallel;
	int		 any_host, quiet;
	struct target	*target;
	struct suite	 suite;
	struct catalogue *catalogue;
	struct job	*jobs;
	struct outside	 outside;	/* with --connect */
	uint64_t	 started, died, survived, failed;
	struct buf	 symptom;	/* of the first that died */
	double		*seconds;	/* until it died */
	char		*reason;
	int		 skipped;
};

static void
tick(void *arg)
{
	(void)arg;
}

/* What a client waited for in vain, which is how a daemon that hangs looks. */
static const json_t *
waited(const struct kill *k, const json_t *end)
{
	const struct role	*r;
	const json_t		*f;
	size_t			 i, len;

	json_array_foreach(json_object_get(end, "failures"), i, f) {
		if (*jstr(f, "oracle") != '\0' ||
		    strstr(jstr(f, "got"), "timeout>") == NULL)
			continue;
		len = strcspn(jstr(f, "actor"), "[");
		STAILQ_FOREACH(r, &k->suite.sc[0]->roles, entry)
			if (r->kind == &actor_client &&
			    strlen(r->name) == len &&
			    strncmp(r->name, jstr(f, "actor"), len) == 0)
				return f;
	}
	return NULL;
}

/* What the crash oracle objected to, out of all failures. */
static json_t *
crashes(const json_t *end)
{
	json_t	*all = json_array(), *f;
	size_t	 i;

	json_array_foreach(json_object_get(end, "failures"), i, f)
		if (strcmp(jstr(f, "oracle"), "crash") == 0)
			json_array_append(all, f);
	return json_pack("{s:o}", "failures", all);
}

/* A crash or a hang; whatever else the script expects does not matter. */
static int
has_died(struct kill *k, const json_t *end, struct buf *symptom, double *t)
{
	const json_t	*hang = waited(k, end), *first;
	json_t		*crash;

	*t = json_number_value(json_object_get(end, "seconds"));
	if (k->connect != NULL && !outside_lives(&k->outside, symptom))
		return 1;
	crash = crashes(end);
	first = json_array_get(json_object_get(crash, "failures"), 0);
	if (first != NULL)
		finding_signature(crash, symptom);
	else if (hang != NULL)
		buf_addf(symptom, "hang: %s waits for %s", jstr(hang, "actor"),
		    jstr(hang, "expected"));
	if (first != NULL || hang != NULL)
		*t = (double)jint(first != NULL ? first : hang, "t") / 1e6;
	json_decref(crash);
	return symptom->len > 0;
}

static void
on_event(void *arg, json_t *ev)
{
	struct kill	*k = arg;
	enum verdict	 v = verdict_of(ev);
	struct buf	 symptom = { 0 };
	double		 t;

	if (strcmp(jstr(ev, "event"), "end") != 0)
		return;
	if (v == V_ERROR || v == V_SKIP) {
		k->failed++;
		k->skipped = v == V_SKIP;
		free(k->reason);
		k->reason = xstrdup(jstr(ev, "reason"));
		return;
	}
	if (!has_died(k, ev, &symptom, &t)) {
		k->survived++;
		return;
	}
	k->seconds[k->died++] = t;
	if (k->symptom.len == 0)
		buf_addstr(&k->symptom, symptom.data);
	buf_free(&symptom);
}

/* Of a daemon that is not ours, and is dead, no more can be learnt. */
static const struct job *
next(void *arg)
{
	struct kill	*k = arg;

	if (k->started == k->n || (k->connect != NULL && k->died > 0))
		return NULL;
	return &k->jobs[k->started++];
}

static int
by_value(const void *a, const void *b)
{
	const double	*x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static const char *
name_of(const struct kill *k)
{
	return k->connect != NULL ? k->connect : k->target->name;
}

static void
save(const struct kill *k, uint64_t n, double lo, double hi, double median)
{
	json_t	*j;
	char	*text;

	j = json_pack("{s:o, s:o, s:I, s:I, s:I, s:b, s:f, s:f, s:f, s:o}",
	    "script", text_json(k->path), "target", text_json(name_of(k)),
	    "runs", (json_int_t)n, "died", (json_int_t)k->died,
	    "errors", (json_int_t)k->failed, "skipped", k->skipped,
	    "low", lo, "high", hi, "median_seconds", median, "symptom",
	    text_json(k->symptom.len == 0 ? "" : k->symptom.data));
	text = json_dumps(j, JSON_INDENT(1));
	if (file_replace(k->json, text, strlen(text)) == -1)
		err(EX_SETUP, "--json %s", k->json);
	free(text);
	json_decref(j);
}

static void
tell(struct kill *k)
{
	uint64_t	 n = k->died + k->survived;
	double		 lo, hi, median = 0;

	rate_interval(k->died, n, &lo, &hi);
	qsort(k->seconds, k->died, sizeof(*k->seconds), by_value);
	if (k->died > 0)
		median = k->seconds[k->died / 2];
	if (n > 0)
		printf("%s on %s: died in %llu of %llu runs, %.0f %% "
		    "(95 %%: %.0f to %.0f %%)", k->path, name_of(k),
		    (unsigned long long)k->died, (unsigned long long)n,
		    100.0 * (double)k->died / (double)n, 100 * lo, 100 * hi);
	if (k->died > 0)
		printf(", median %.2f s: %s", median, k->symptom.data);
	if (n > 0)
		putchar('\n');
	fflush(stdout);
	if (k->json != NULL)
		save(k, n, lo, hi, median);
}

static void
make_jobs(struct kill *k)
{
	uint64_t	 i, mix = k->seed;

	k->jobs = xcalloc(k->n, sizeof(*k->jobs));
	k->seconds = xcalloc(k->n, sizeof(*k->seconds));
	for (i = 0; i < k->n; i++) {
		k->jobs[i].sc = k->suite.sc[0];
		k->jobs[i].target = k->connect != NULL ? k->connect :
		    k->target->name;
		k->jobs[i].version = k->target == NULL ? "" :
		    k->target->version;
		k->jobs[i].opts.target = k->target;
		k->jobs[i].opts.connect = k->address;
		k->jobs[i].opts.seed = choice_mix(&mix);
		k->jobs[i].opts.certs = cli_certs();
		k->jobs[i].opts.filters = cli_filters();
		k->jobs[i].opts.catalogue = k->catalogue->path;
		k->jobs[i].opts.repeat = "";
		k->jobs[i].opts.id = (int)i;
	}
}

static void
prepare(struct kill *k)
{
	char	*paths[] = { (char *)(uintptr_t)k->path, NULL };
	char	 msg[512];

	k->catalogue = catalogue_load();
	if (suite_load(&k->suite, paths, k->catalogue) > 0)
		exit(EX_SETUP);
	if (k->suite.n != 1)
		errx(EX_SETUP, "%s: kill takes one script", k->path);
	if (k->connect != NULL) {
		if ((k->address = cli_connect(k->connect, k->any_host, msg,
		    sizeof(msg))) == NULL)
			errx(EX_SETUP, "--connect %s", msg);
		if (outside_find(&k->outside, k->address) == -1)
			errx(EX_SETUP, "--connect %s: nobody accepts there",
			    k->connect);
		/* one daemon: one run after the other */
		k->parallel = 1;
	} else {
		if (sandbox_probe(msg, sizeof(msg)) == -1)
			errx(EX_CANNOT, "%s", msg);
		if ((k->target = target_find(k->spec)) == NULL)
			exit(EX_CANNOT);
	}
	make_jobs(k);
}

static int
kill_run(struct kill *k)
{
	struct pool	 pool = { .next = next, .event = on_event, .tick = tick,
			     .arg = k, .watchdog = WATCHDOG };
	int		 signo;

	prepare(k);
	pool.parallel = (unsigned int)k->parallel;
	signo = pool_run(&pool);
	tell(k);
	if (k->failed > 0)
		warnx("%llu runs %s, the last: %s",
		    (unsigned long long)k->failed, k->skipped ? "skipped" :
		    "could not be made", k->reason);
	if (signo != 0) {
		cli_reraise(signo);
	}
	if (k->died > 0)
		return EX_FAIL;
	return k->failed == 0 ? EX_PASS : EX_CANNOT;
}

static int
kill_main(int argc, char **argv)
{
	enum { SEED = 256, TARGET, JSON, CONNECT };
	struct kill	 k = { .spec = DEFAULT_TARGET, .n = DEFAULT_RUNS,
			     .parallel = 1 };
	const struct option longopts[] = {
		{ "seed",	required_argument, NULL, SEED },
		{ "target",	required_argument, NULL, TARGET },
		{ "json",	required_argument, NULL, JSON },
		{ "connect",	required_argument, NULL, CONNECT },
		{ "i-run-this-host", no_argument, &k.any_host, 1 },
		{ NULL, 0, NULL, 0 }
	};
	int		 ch;

	k.seed = cli_random_seed();
	while ((ch = getopt_long(argc, argv, "j:n:", longopts, NULL)) != -1) {
		if (ch == '?')
			return cmd_usage(&cmd_kill);
		if (ch == 'n')
			k.n = cli_number("-n", optarg, 1, 1000000);
		if (ch == 'j')
			k.parallel = cli_number("-j", optarg, 1, 64);
		if (ch == SEED)
			k.seed = cli_number("--seed", optarg, 0, UINT64_MAX);
		k.spec = ch == TARGET ? optarg : k.spec;
		k.json = ch == JSON ? optarg : k.json;
		k.connect = ch == CONNECT ? optarg : k.connect;
	}
	if (argc - optind != 1)
		return cmd_usage(&cmd_kill);
	k.path = argv[optind];
	return kill_run(&k);
}

const struct cmd	cmd_kill = {
	"kill",
	"[-j N] [-n N] [--target T | --connect HOST:PORT] [--seed N] [--json F]"
	"\n            SCRIPT",
	"run a kill script N times: does the daemon survive?",
	kill_main,
	"  -n N              so many times (default: 10)\n"
	"  -j N              N at once (default: 1)\n"
	"  --target T        against this daemon (default: " DEFAULT_TARGET ")\n"
	"  --connect H:P     against what listens there, a loopback address; it "
	"died\n"
	"                    when it does not answer any more, or its process is "
	"gone\n"
	"  --i-run-this-host it may be any address\n"
	"  --seed N          of every random decision (default: random)\n"
	"  --json F          rate, interval, time and symptom\n"
	"exit: 0 it survived all, 1 it crashed or hung, 2 usage,\n"
	"      125 it could not be built, started, or lacks what the script "
	"needs\n"
};
