#include <sys/types.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "catalogue.h"
#include "cli.h"
#include "cmd.h"
#include "differ.h"
#include "event.h"
#include "perturb.h"
#include "pool.h"
#include "probe.h"
#include "profile.h"
#include "report.h"
#include "runner.h"
#include "sandbox.h"
#include "script.h"
#include "suite.h"
#include "target.h"
#include "verdicts.h"

#define DEFAULT_TARGET	"7.9.0p0"
#define SOURCE_MAX	(64 * 1024)	/* octets of a scenario in --json */
#define WATCHDOG	(15 * 60)
#define TARGETS_MAX	64
#define UNANSWERED_MAX	3	/* scenarios in a row, then the server is gone */

/* What the command line says. */
struct options {
	const char	*specs[TARGETS_MAX];
	size_t		 nspecs;
	const char	*tap;
	const char	*junit;
	const char	*json;
	const char	*connect;
	const char	*filter;
	char		*address;	/* the same, resolved */
	const char	*profile;
	const char	*choices;
	const char	*results;
	uint64_t	 seed;
	uint64_t	 parallel;
	uint64_t	 watchdog;
	unsigned int	 perturb;
	int		 keep;
	int		 check;
	int		 any_host;
	int		 quiet;
	int		 strict;	/* no warnings, all fail */
	char		**paths;
};

/* One target of this run: a daemon of ours, or an address. */
struct tally {
	const struct target *target;	/* NULL with --connect or --filter */
	const char	*spec;
	const char	*name;
	const char	*version;
	size_t		 n[VERDICTS];
	unsigned char	*proved;	/* by place in the catalogue */
};

struct sink {
	const struct reporter *reporter;
	void		*arg;
};

struct run {
	struct options	 opt;
	struct catalogue *catalogue;
	struct suite	 suite;
	struct tally	*tally;
	size_t		 ntally;
	struct job	*jobs;
	size_t		 njobs;
	struct differ	*differ;
	struct verdicts	*verdicts;
	struct sink	 sink[4];
	size_t		 nsinks;
	void		*human;		/* one of them */
	struct profile	*profile;	/* of the server, with --connect */
	size_t		 given;		/* so many jobs were begun */
	size_t		 unanswered;	/* the last ones */
	char		*results;
	int		 wrote;		/* something to results */
	uint64_t	 start;
};

enum {
	OPT_SEED = 256, OPT_TARGET, OPT_TAP, OPT_JUNIT, OPT_JSON, OPT_CONNECT,
	OPT_CHOICES, OPT_RESULTS, OPT_WATCHDOG, OPT_PERTURB, OPT_FILTER,
	OPT_PROFILE
};

static void
add_spec(struct options *o, const char *spec)
{
	size_t	 i;

	for (i = 0; i < o->nspecs; i++)
		if (strcmp(o->specs[i], spec) == 0)
			return;
	if (o->nspecs == TARGETS_MAX)
		errx(EX_SETUP, "more than %d targets", TARGETS_MAX);
	o->specs[o->nspecs++] = spec;
}

static const struct cli_option kept[] = {
	CLI_TEXT(OPT_TAP, struct options, tap),
	CLI_TEXT(OPT_JUNIT, struct options, junit),
	CLI_TEXT(OPT_JSON, struct options, json),
	CLI_TEXT(OPT_CONNECT, struct options, connect),
	CLI_TEXT(OPT_FILTER, struct options, filter),
	CLI_TEXT(OPT_PROFILE, struct options, profile),
	CLI_TEXT(OPT_CHOICES, struct options, choices),
	CLI_TEXT(OPT_RESULTS, struct options, results),
	CLI_NUMBER('j', struct options, parallel,
	    "-j", 1, 1024),
	CLI_NUMBER(OPT_SEED, struct options, seed,
	    "--seed", 0, UINT64_MAX),
	CLI_NUMBER(OPT_WATCHDOG, struct options, watchdog,
	    "--watchdog", 1, 1000000),
	CLI_END
};

static int
set_option(struct options *o, int ch, const char *arg)
{
	if (ch == OPT_TARGET)
		add_spec(o, arg);
	else if (ch == OPT_PERTURB)
		o->perturb = cli_perturb(arg);
	else
		(void)cli_option_set(kept, o, ch, arg);
	return ch == '?' ? -1 : 0;
}

static int
parse_options(struct options *o, int argc, char **argv)
{
	const struct option	 longopts[] = {
		{ "seed",	required_argument, NULL, OPT_SEED },
		{ "target",	required_argument, NULL, OPT_TARGET },
		{ "tap",	required_argument, NULL, OPT_TAP },
		{ "junit",	required_argument, NULL, OPT_JUNIT },
		{ "json",	required_argument, NULL, OPT_JSON },
		{ "connect",	required_argument, NULL, OPT_CONNECT },
		{ "filter",	required_argument, NULL, OPT_FILTER },
		{ "profile",	required_argument, NULL, OPT_PROFILE },
		{ "choices",	required_argument, NULL, OPT_CHOICES },
		{ "results",	required_argument, NULL, OPT_RESULTS },
		{ "watchdog",	required_argument, NULL, OPT_WATCHDOG },
		{ "perturb",	required_argument, NULL, OPT_PERTURB },
		{ "quiet",	no_argument, &o->quiet, 1 },
		{ "keep",	no_argument, &o->keep, 1 },
		{ "check",	no_argument, &o->check, 1 },
		{ "strict",	no_argument, &o->strict, 1 },
		{ "i-run-this-host", no_argument, &o->any_host, 1 },
		{ NULL, 0, NULL, 0 }
	};
	static char		 name[] = "smtpdtest run";
	int			 ch;

	memset(o, 0, sizeof(*o));
	o->seed = cli_random_seed();
	o->watchdog = WATCHDOG;
	argv[0] = name;		/* in getopt's messages */
	while ((ch = getopt_long(argc, argv, "j:q", longopts, NULL)) != -1) {
		if (ch == 'q')
			o->quiet = 1;
		else if (set_option(o, ch, optarg) == -1)
			return -1;
	}
	/* a sandbox waits most of its time; a server of others may be slow */
	if (o->parallel == 0)
		o->parallel = cli_parallel(o->connect == NULL ? 4 : 1);
	o->paths = argv + optind;
	return *o->paths == NULL ? -1 : 0;
}

static int
is_stdout(const char *file)
{
	return file != NULL && strcmp(file, "-") == 0;
}

static int
stdout_reports(const struct options *o)
{
	return is_stdout(o->tap) + is_stdout(o->junit) + is_stdout(o->json);
}

static void
check_options(struct options *o)
{
	char	 msg[512];

	if (stdout_reports(o) > 1)
		errx(EX_SETUP, "only one report can go to stdout");
	if (o->choices != NULL && access(o->choices, R_OK) == -1)
		err(EX_SETUP, "--choices %s", o->choices);
	if ((o->connect != NULL) + (o->filter != NULL) + (o->nspecs > 0) > 1)
		errx(EX_SETUP, "--connect, --filter and --target exclude each "
		    "other");
	if (o->profile != NULL && o->connect == NULL)
		errx(EX_SETUP, "--profile is of a server, expected --connect "
		    "as well");
	if (o->connect == NULL)
		return;
	o->address = cli_connect(o->connect, o->any_host, msg, sizeof(msg));
	if (o->address == NULL)
		errx(EX_SETUP, "--connect %s", msg);
}

static void
check_sandbox(const struct options *o)
{
	static const struct sandbox_spec bare = { .bare = 1 };
	char	 msg[512];

	if ((o->filter != NULL ? sandbox_try(&bare, msg, sizeof(msg)) :
	    sandbox_probe(msg, sizeof(msg))) == -1)
		errx(EX_SETUP, "%s", msg);
}

static void
add_tally(struct run *r, const char *spec, const struct target *t)
{
	struct tally	*ta = &r->tally[r->ntally];
	size_t		 i;

	ta->spec = spec;
	ta->target = t;
	ta->name = t == NULL ? spec : t->name;
	ta->version = t == NULL ? "" : t->version;
	ta->proved = xcalloc(r->catalogue->n + 1, 1);
	for (i = 0; i < r->ntally; i++)
		if (strcmp(r->tally[i].name, ta->name) == 0)
			errx(EX_SETUP, "targets %s and %s are both %s",
			    r->tally[i].spec, spec, ta->name);
	r->ntally++;
}

static int
find_targets(struct run *r)
{
	struct target	*t;
	size_t		 i;

	r->tally = xcalloc(r->opt.nspecs + 1, sizeof(*r->tally));
	if (r->opt.connect != NULL || r->opt.filter != NULL) {
		add_tally(r, r->opt.connect != NULL ? r->opt.connect :
		    r->opt.filter, NULL);
		return 0;
	}
	if (r->opt.nspecs == 0)
		add_spec(&r->opt, DEFAULT_TARGET);
	for (i = 0; i < r->opt.nspecs; i++) {
		if ((t = target_find(r->opt.specs[i])) == NULL)
			return -1;
		add_tally(r, r->opt.specs[i], t);
	}
	return 0;
}

static void
add_arg(struct buf *b, const char *opt, const char *arg)
{
	buf_addf(b, " %s ", opt);
	cli_quote(b, arg);
}

/* The one line that repeats this very run, from where the user stands. */
static char *
repeat_line(const struct run *r, const struct tally *ta,
    const struct scenario *sc)
{
	const struct options	*o = &r->opt;
	struct buf		 b = { 0 };

	cli_quote(&b, cli_program());
	buf_addstr(&b, " run");
	add_arg(&b, ta->target != NULL ? "--target" : o->filter != NULL ?
	    "--filter" : "--connect", ta->spec);
	if (o->profile != NULL)
		add_arg(&b, "--profile", o->profile);
	if (o->any_host)
		buf_addstr(&b, " --i-run-this-host");
	if (o->strict)
		buf_addstr(&b, " --strict");
	if (o->perturb != 0)
		buf_addf(&b, " --perturb %s", perturb_names(o->perturb));
	if (o->choices != NULL)
		add_arg(&b, "--choices", o->choices);
	buf_addf(&b, " --seed 0x%016llx ", (unsigned long long)o->seed);
	if (sc->path[0] == '-')
		buf_addstr(&b, "-- ");
	cli_quote(&b, sc->path);
	return b.data;
}

/* Without a word about it, it is one like ours. */
static const struct profile *
server_profile(const struct run *r)
{
	return r->profile != NULL ? r->profile : profile_sandbox();
}

static void
make_jobs(struct run *r)
{
	const char	*certs = cli_certs(), *filters = cli_filters();
	struct job	*j;
	size_t		 i, k;

	r->jobs = xcalloc(r->ntally * r->suite.n, sizeof(*r->jobs));
	for (i = 0; i < r->ntally; i++) {
		for (k = 0; k < r->suite.n; k++) {
			j = &r->jobs[r->njobs];
			j->sc = r->suite.sc[k];
			j->target = r->tally[i].name;
			j->version = r->tally[i].version;
			j->opts.target = r->tally[i].target;
			j->opts.connect = r->opt.address;
			j->opts.filter = r->opt.filter;
			if (r->opt.connect != NULL)
				j->opts.profile = server_profile(r);
			j->opts.seed = r->opt.seed;
			j->opts.choices = r->opt.choices;
			j->opts.certs = certs;
			j->opts.filters = filters;
			j->opts.catalogue = r->catalogue->path;
			j->opts.repeat = repeat_line(r, &r->tally[i], j->sc);
			j->opts.keep = r->opt.keep;
			j->opts.told = r->opt.json != NULL;
			j->opts.perturb = r->opt.perturb;
			j->opts.id = (int)r->njobs++;
		}
	}
}

/* Reports. */

static void
add_sink(struct run *r, const struct reporter *rep, const char *file)
{
	if (file == NULL)
		return;
	r->sink[r->nsinks].reporter = rep;
	r->sink[r->nsinks++].arg = rep->open(is_stdout(file) ? NULL : file);
}

/* Whoever reads a report from our stdout does not want it mixed with talk. */
static void
open_sinks(struct run *r)
{
	const struct options	*o = &r->opt;
	FILE			*f = stdout_reports(o) > 0 ? stderr : stdout;

	add_sink(r, &report_tap, o->tap);
	add_sink(r, &report_junit, o->junit);
	add_sink(r, &report_json, o->json);
	r->human = report_human_new(f, o->quiet);
	r->sink[r->nsinks].reporter = &report_human;
	r->sink[r->nsinks++].arg = r->human;
}

static void
report(const struct run *r, const json_t *ev)
{
	size_t	 i;

	for (i = 0; i < r->nsinks; i++)
		r->sink[i].reporter->event(r->sink[i].arg, ev);
}

static void
close_sinks(struct run *r)
{
	size_t	 i;

	for (i = 0; i < r->nsinks; i++)
		r->sink[i].reporter->close(r->sink[i].arg);
}

static void
report_start(const struct run *r)
{
	const struct target	*t;
	char			 seed[32];
	struct utsname		 host;
	json_t			*ev, *a;
	size_t			 i;

	if (uname(&host) == -1)
		memset(&host, 0, sizeof(host));
	snprintf(seed, sizeof(seed), "0x%016llx",
	    (unsigned long long)r->opt.seed);
	a = json_array();
	for (i = 0; i < r->ntally; i++) {
		t = r->tally[i].target;
		json_array_append_new(a, json_pack("{s:o, s:o, s:o}",
		    "name", text_json(r->tally[i].name),
		    "version", text_json(r->tally[i].version),
		    "features", text_json(t == NULL ? "" : t->features)));
	}
	ev = json_pack("{s:s, s:s, s:I, s:{s:s, s:s, s:s, s:I}, s:I, s:I, s:I, "
	    "s:o}", "event", "run-start", "seed", seed,
	    "time", (json_int_t)time(NULL),
	    "host", "system", host.sysname, "release", host.release,
	    "machine", host.machine, "cpus", (json_int_t)cli_cpus(), "jobs", (json_int_t)r->opt.parallel,
	    "scenarios", (json_int_t)r->suite.n,
	    "total", (json_int_t)r->njobs, "targets", a);
	report(r, ev);
	json_decref(ev);
}

static json_t *
summary_row(const struct run *r, const struct tally *ta)
{
	json_t		*row;
	json_int_t	 n = 0;
	size_t		 i;

	for (i = 0; i < r->catalogue->n; i++)
		n += ta->proved[i];
	row = json_pack("{s:o, s:o}", "target", text_json(ta->name),
	    "version", text_json(ta->version));
	for (i = 0; i < VERDICTS; i++)
		json_object_set_new(row, verdicts[i].count,
		    json_integer((json_int_t)ta->n[i]));
	json_object_set_new(row, "requirements", json_integer(n));
	return row;
}

static json_t *
requirements(const struct run *r)
{
	const char	*names[TARGETS_MAX];
	size_t		 i;

	for (i = 0; i < r->ntally; i++)
		names[i] = r->tally[i].name;
	return verdicts_json(r->verdicts, names);
}

static void
report_end(const struct run *r, int interrupted)
{
	json_t	*ev, *a;
	size_t	 i;

	a = json_array();
	for (i = 0; i < r->ntally; i++)
		json_array_append_new(a, summary_row(r, &r->tally[i]));
	ev = json_pack("{s:s, s:f, s:b, s:I, s:o, s:o, s:o, s:o, s:I}",
	    "event", "run-end",
	    "seconds", (double)(now_us() - r->start) / 1e6,
	    "interrupted", interrupted,
	    "catalogue", (json_int_t)r->catalogue->n,
	    "results", text_json(r->wrote ? r->results : ""), "summary", a,
	    "requirements", requirements(r),
	    "differ", differ_rows(r->differ),
	    "skipped-by-some", (json_int_t)differ_skipped(r->differ));
	report(r, ev);
	json_decref(ev);
}

/* Results: a file for each scenario that has something to tell. */

static int
make_dirs(char *path)
{
	char	*p;

	for (p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(path, 0777) == -1 && errno != EEXIST) {
			*p = '/';
			return -1;
		}
		*p = '/';
	}
	return 0;
}

static char *
log_path(const struct run *r, const struct job *j)
{
	char	*dir, *name, *path;

	dir = suite_slug(j->target);
	name = suite_slug(j->sc->name);
	path = xasprintf("%s/%s/%s.log", r->results, dir, name);
	free(dir);
	free(name);
	return path;
}

static int
write_log(const char *path, const json_t *ev)
{
	struct buf	 b = { 0 };
	int		 rc;

	buf_addf(&b, "%s ", verdicts[verdict_of(ev)].label);
	text_value(&b, json_object_get(ev, "target"));
	buf_addstr(&b, " ");
	text_value(&b, json_object_get(ev, "path"));
	buf_addstr(&b, ": ");
	text_value(&b, json_object_get(ev, "name"));
	buf_addf(&b, " (%.3f s)\n",
	    json_number_value(json_object_get(ev, "seconds")));
	report_details(&b, ev, SIZE_MAX);
	rc = file_replace(path, b.data, b.len);
	buf_free(&b);
	return rc;
}

static int
write_choices(const char *path, const json_t *ev)
{
	const json_t	*v = json_object_get(ev, "choices");

	return file_replace(path, json_string_value(v), json_string_length(v));
}

/* The log of an earlier run would speak against a scenario that passes now. */
static void
keep_log(struct run *r, json_t *ev, const struct job *j)
{
	enum verdict	 v = verdict_of(ev);
	char		*path, *choices;

	path = log_path(r, j);
	choices = xasprintf("%.*s.choices", (int)strlen(path) - 4, path);
	if (v != V_FAIL && v != V_WARN && v != V_ERROR && !r->opt.keep) {
		unlink(path);
		unlink(choices);
	} else if (make_dirs(path) == -1 || write_log(path, ev) == -1 ||
	    (json_is_string(json_object_get(ev, "choices")) &&
	    write_choices(choices, ev) == -1))
		warn("%s", path);
	else {
		r->wrote = 1;
		json_object_set_new(ev, "logfile", text_json(path));
	}
	free(choices);
	free(path);
}

/* What a passed or known scenario proves counts as covered. */
static void
count(struct run *r, const json_t *ev, const struct job *j)
{
	const struct requirement	*q;
	struct tally			*ta;
	struct word			*w;
	enum verdict			 v = verdict_of(ev);

	ta = &r->tally[(size_t)j->opts.id / r->suite.n];
	ta->n[v]++;
	if (v != V_PASS && v != V_KNOWN)
		return;
	STAILQ_FOREACH(w, &j->sc->proves, entry)
		if ((q = catalogue_find(r->catalogue, w->text)) != NULL)
			ta->proved[q - r->catalogue->req] = 1;
}

/* Does this end tell of a server that does not answer any more? */
static void
watch_server(struct run *r, const json_t *ev)
{
	if (verdict_of(ev) == V_SKIP)
		return;
	if (json_is_true(json_object_get(ev, "unanswered")))
		r->unanswered++;
	else
		r->unanswered = 0;
}

/* A report shows what was run, which by then may have been edited. */
static void
add_source(const struct run *r, json_t *ev, const struct job *j)
{
	char	*text;
	size_t	 len;

	if (r->opt.json == NULL || (size_t)j->opts.id >= r->suite.n ||
	    (text = read_file(j->sc->path, &len, SOURCE_MAX)) == NULL)
		return;
	json_object_set_new(ev, "source", json_stringn(text, len));
	free(text);
}

/* What only deviates from a SHOULD, or from less, does not fail. */
static void
weigh(const struct run *r, json_t *ev, const struct job *j)
{
	char	*why;

	if (r->opt.strict || verdict_of(ev) != V_FAIL ||
	    (why = verdict_warning(r->catalogue, j->sc, ev)) == NULL)
		return;
	json_object_set_new(ev, "verdict", json_string(verdicts[V_WARN].name));
	json_object_set_new(ev, "reason", text_json(why));
	free(why);
}

static void
on_event(void *arg, json_t *ev)
{
	struct run		*r = arg;
	const struct job	*j = &r->jobs[jint(ev, "id")];

	if (strcmp(jstr(ev, "event"), "end") == 0) {
		weigh(r, ev, j);
		count(r, ev, j);
		keep_log(r, ev, j);
		add_source(r, ev, j);
		watch_server(r, ev);
		differ_add(r->differ, (size_t)j->opts.id % r->suite.n,
		    (size_t)j->opts.id / r->suite.n, ev);
		verdicts_add(r->verdicts, (size_t)j->opts.id % r->suite.n,
		    (size_t)j->opts.id / r->suite.n, ev);
	}
	report(r, ev);
}

static int
server_gone(const struct run *r)
{
	return r->opt.connect != NULL && r->unanswered >= UNANSWERED_MAX;
}

static const struct job *
next_job(void *arg)
{
	struct run	*r = arg;

	return r->given == r->njobs || server_gone(r) ? NULL :
	    &r->jobs[r->given++];
}

static void
on_tick(void *arg)
{
	struct run	*r = arg;

	report_human_tick(r->human);
}

static int
exit_code(const struct run *r)
{
	size_t	 i, n[VERDICTS] = { 0 };
	int	 v;

	for (i = 0; i < r->ntally; i++)
		for (v = 0; v < VERDICTS; v++)
			n[v] += r->tally[i].n[v];
	if (server_gone(r))
		return EX_SETUP;
	if (n[V_FAIL] > 0)
		return EX_FAIL;
	if (n[V_ERROR] > 0)
		return EX_SETUP;
	return r->njobs == 1 && n[V_SKIP] == 1 ? EX_SKIP : EX_PASS;
}

static void
run_free(struct run *r)
{
	size_t	 i;

	for (i = 0; i < r->njobs; i++)
		free((char *)(uintptr_t)r->jobs[i].opts.repeat);
	if (r->njobs > 0) {
		free((char *)(uintptr_t)r->jobs[0].opts.certs);
		free((char *)(uintptr_t)r->jobs[0].opts.filters);
	}
	for (i = 0; i < r->ntally; i++)
		free(r->tally[i].proved);
	free(r->jobs);
	free(r->tally);
	free(r->results);
	free(r->opt.address);
	profile_free(r->profile);
	suite_free(&r->suite);
	catalogue_free(r->catalogue);
}

static int
run_all(struct run *r)
{
	struct pool	 pool = {
		.event = on_event, .tick = on_tick, .next = next_job,
		.arg = r
	};
	int		 signo;

	if (r->njobs < r->opt.parallel)
		r->opt.parallel = r->njobs;
	pool.parallel = (unsigned int)r->opt.parallel;
	pool.watchdog = (unsigned int)r->opt.watchdog;
	r->differ = differ_new(r->suite.n, r->ntally);
	r->verdicts = verdicts_new(r->catalogue, &r->suite, r->ntally);
	open_sinks(r);
	report_start(r);
	signo = pool_run(&pool);
	report_end(r, signo != 0 || r->given < r->njobs);
	close_sinks(r);
	if (server_gone(r))
		warnx("%s has not answered the last %zu scenarios: given up, "
		    "%zu of %zu were not begun", r->opt.connect,
		    r->unanswered, r->njobs - r->given, r->njobs);
	differ_free(r->differ);
	verdicts_free(r->verdicts);
	return signo;
}

/* Whoever listens there: as it is told, and as it is. */
static void
look_at_server(struct run *r)
{
	char	 msg[512];

	if (r->opt.profile != NULL && (r->profile = profile_load(
	    r->opt.profile, r->opt.any_host, msg, sizeof(msg))) == NULL)
		errx(EX_SETUP, "%s", msg);
	if (probe_server(r->opt.address, profile_timeout(server_profile(r)),
	    msg, sizeof(msg)) == -1)
		errx(EX_SETUP, "--connect %s", msg);
}

/* All that can be wrong is found before anything is started. */
static int
prepare(struct run *r)
{
	r->catalogue = catalogue_load();
	if (suite_load(&r->suite, r->opt.paths, r->catalogue) > 0)
		return -1;
	if (r->opt.check)
		return 0;
	if (r->opt.connect == NULL)
		check_sandbox(&r->opt);
	else
		look_at_server(r);
	if (find_targets(r) == -1)
		return -1;
	if (r->opt.choices != NULL && r->ntally * r->suite.n != 1) {
		warnx("--choices is a recording of one scenario on one target");
		return -1;
	}
	r->results = r->opt.results != NULL ? xstrdup(r->opt.results) :
	    cli_results();
	make_jobs(r);
	return 0;
}

static int
run_main(int argc, char **argv)
{
	struct run	 r = { .start = now_us() };
	int		 signo = 0, code = EX_SETUP;

	if (parse_options(&r.opt, argc, argv) == -1)
		return cmd_usage(&cmd_run);
	check_options(&r.opt);
	if (prepare(&r) == 0) {
		if (r.opt.check)
			printf("%zu scenario%s\n", r.suite.n,
			    r.suite.n == 1 ? " parses" : "s parse");
		else
			signo = run_all(&r);
		code = exit_code(&r);
	}
	run_free(&r);
	if (signo != 0)
		cli_reraise(signo);
	return code;
}

const struct cmd	cmd_run = {
	"run",
	"[-j N] [-q] [--seed N] [--target T]... [--tap F] [--junit F] "
	"[--json F]\n"
	"           [--keep] [--check] [--strict] [--connect HOST:PORT | --filter COMMAND]\n"
	"           [--profile F] [--choices F] [--results DIR] [--watchdog S]\n"
	"           [--perturb LIST] PATH...",
	"run scenarios, each against a daemon of its own",
	run_main,
	"  PATH              a *.smtp file, or a directory of them\n"
	"  -j N              run N at once (default: four for each processor)\n"
	"  -q                say only what falls short\n"
	"  --target T        test this daemon (default: " DEFAULT_TARGET "); "
	"may be repeated\n"
	"  --connect H:P     test what listens there instead, a loopback "
	"address\n"
	"  --profile F       what it accepts and refuses, see "
	"smtpdtest-profile(5)\n"
	"  --filter COMMAND  daemon blocks start this filter, and no daemon is "
	"needed\n"
	"  --i-run-this-host it may be any address\n"
	"  --seed N          of every random decision (default: random, "
	"printed)\n"
	"  --choices F       make the decisions recorded in F\n"
	"  --tap F           write TAP 14 to F; \"-\" is stdout, as below\n"
	"  --junit F         write JUnit XML to F\n"
	"  --json F          write every event to F, one JSON object a line\n"
	"  --perturb LIST    disturb the order of things: delay, segment, cut, "
	"stop, hold,\n"
	"                    pct or all, see hunt\n"
	"  --strict          what deviates only from a SHOULD fails as well\n"
	"  --keep            keep transcript and log of what passes, too\n"
	"  --results DIR     where they go (default: build/results)\n"
	"  --watchdog S      give a scenario up after S seconds without a sign "
	"of life\n"
	"  --check           parse the scenarios and stop\n"
	"exit: 0 as expected, or with warnings, 1 something fell short, 2 usage or\n"
	"      set-up, 77 skipped\n"
};
