/* leak: what grows with the sessions, in the daemon or in a filter? */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalogue.h"
#include "cli.h"
#include "cmd.h"
#include "leak.h"
#include "report.h"
#include "sandbox.h"
#include "script.h"
#include "suite.h"
#include "target.h"

#define DEFAULT_TARGET	"7.9.0p0"
#define SESSIONS_MAX	1000000
#define FRAMES		8		/* of a stack, unless all are wanted */

static const struct leak_engine *const engines[] = { &leak_valgrind,
    &leak_growth };

/* By enum leak_verdict. */
static const char *const verdict_names[] = { "none", "known", "leak" };

struct leak {
	const char	*spec, *base, *json, *path;
	const struct leak_engine *engine;
	struct leak_job	 job;
	struct suite	 suite;
	char		*repeat;
};

static const struct leak_engine *
engine_find(const char *name)
{
	size_t	 i;

	for (i = 0; i < nitems(engines); i++)
		if (strcmp(engines[i]->name, name) == 0)
			return engines[i];
	errx(EX_SETUP, "--engine: \"%s\" is none of valgrind, growth", name);
}

/* --- what was found ------------------------------------------------------------ */

/* Hundreds of bytes need no fraction, a hundredth of one does. */
static void
add_number(struct buf *b, double v)
{
	buf_addf(b, "%.*f", v != 0 && v < 10 && v > -10 ? 2 :
	    v < 100 && v > -100 ? 1 : 0, v);
}

static void
print_stack(FILE *out, const char *stack)
{
	const char	*nl;
	int		 n = 0;

	for (; *stack != '\0'; stack = nl + (*nl == '\n')) {
		nl = stack + strcspn(stack, "\n");
		if (++n <= FRAMES)
			fprintf(out, "      %.*s\n", (int)(nl - stack), stack);
	}
	if (n > FRAMES)
		fprintf(out, "      ... %d more, with --json\n", n - FRAMES);
}

static void
print_row(FILE *out, const struct leak_row *r)
{
	struct buf	 b = { 0 };

	if (r->bytes != 0 || r->verdict == LEAK_NONE)
		add_number(&b, r->bytes);
	if (r->blocks != 0) {
		buf_addstr(&b, " bytes in ");
		add_number(&b, r->blocks);
		buf_addstr(&b, " blocks");
	}
	if (r->low != 0 || r->high != 0) {
		buf_addstr(&b, " (");
		add_number(&b, r->low);
		buf_addstr(&b, " to ");
		add_number(&b, r->high);
		buf_addstr(&b, ")");
	}
	fprintf(out, "%-5s %s: %s", verdict_names[r->verdict], r->process,
	    r->what);
	if (b.len > 0)
		fprintf(out, ", %s a session", b.data);
	if (r->function != NULL)
		fprintf(out, ", from %s", r->function);
	if (r->smallest != 0)
		fprintf(out, "; %.1f would have been seen", r->smallest);
	fprintf(out, "%s%s\n", r->why != NULL ? ": " : "",
	    r->why != NULL ? r->why : "");
	if (r->stack != NULL && r->verdict != LEAK_NONE)
		print_stack(out, r->stack);
	buf_free(&b);
}

static json_t *
row_json(const struct leak_row *r)
{
	json_t	*j = json_pack("{s:o, s:o, s:f, s:f, s:s}",
	    "process", text_json(r->process), "what", text_json(r->what),
	    "bytes", r->bytes, "blocks", r->blocks,
	    "verdict", verdict_names[r->verdict]);

	if (r->low != 0 || r->high != 0)
		json_object_set_new(j, "interval", json_pack("[f, f]", r->low,
		    r->high));
	if (r->smallest != 0)
		json_object_set_new(j, "smallest", json_real(r->smallest));
	if (r->function != NULL)
		json_object_set_new(j, "function", text_json(r->function));
	if (r->stack != NULL)
		json_object_set_new(j, "stack", json_string(r->stack));
	if (r->why != NULL)
		json_object_set_new(j, "why", text_json(r->why));
	return j;
}

static void
write_json(const struct leak *l, const struct leak_result *res, double seconds)
{
	json_t	*j, *rows = json_array();
	char	*text;
	size_t	 i;

	for (i = 0; i < res->n; i++)
		json_array_append_new(rows, row_json(&res->row[i]));
	j = json_pack("{s:s, s:o, s:s, s:I, s:f, s:o, s:o}", "engine",
	    l->engine->name, l->job.sc != NULL ? "scenario" : "filter",
	    text_json(l->job.sc != NULL ? l->path : l->job.filter),
	    "target", l->job.target == NULL ? "" : l->job.target->name,
	    "sessions", (json_int_t)res->sessions, "seconds", seconds,
	    "rows", rows, "repeat", text_json(l->repeat));
	if (res->more != NULL)
		json_object_update(j, res->more);
	text = json_dumps(j, JSON_INDENT(1));
	if (strcmp(l->json, "-") == 0)
		puts(text);
	else if (file_replace(l->json, text, strlen(text)) == -1)
		err(EX_SETUP, "--json %s", l->json);
	free(text);
	json_decref(j);
}

static int
verdict(const struct leak *l, const struct leak_result *res, double seconds)
{
	FILE	*out = l->json != NULL && strcmp(l->json, "-") == 0 ?
		    stderr : stdout;
	size_t	 i, found = 0;

	for (i = 0; i < res->n; i++) {
		found += res->row[i].verdict == LEAK_FOUND;
		print_row(out, &res->row[i]);
	}
	fprintf(out, "%s: %s on %s, %llu sessions, %.1f s: ", l->engine->name,
	    l->job.sc != NULL ? l->path : l->job.filter,
	    l->job.target == NULL ? "a filter" : l->job.target->name,
	    (unsigned long long)res->sessions, seconds);
	if (found == 0)
		fprintf(out, "no leak\n");
	else
		fprintf(out, "%zu leak%s\nrepeat with: %s\n", found,
		    found == 1 ? "" : "s", l->repeat);
	return found > 0 ? EX_FAIL : EX_PASS;
}

/* --- the command --------------------------------------------------------------- */

static void
make_repeat(struct leak *l)
{
	struct buf	 b = { 0 };

	cli_quote(&b, cli_program());
	buf_addf(&b, " leak --engine %s --sessions %llu --seed 0x%016llx",
	    l->engine->name, (unsigned long long)l->job.sessions,
	    (unsigned long long)l->job.seed);
	if (l->job.filter != NULL) {
		buf_addstr(&b, " --drive ");
		cli_quote(&b, l->job.filter);
	} else {
		buf_addstr(&b, " --target ");
		cli_quote(&b, l->spec);
		if (l->base != NULL) {
			buf_addstr(&b, " --base ");
			cli_quote(&b, l->base);
		}
		buf_addstr(&b, " ");
		cli_quote(&b, l->path);
	}
	l->job.repeat = l->repeat = b.data;
}

static void
find_scenario(struct leak *l)
{
	char			*paths[] = { (char *)(uintptr_t)l->path, NULL };
	struct catalogue	*catalogue = catalogue_load();

	if (suite_load(&l->suite, paths, catalogue) > 0)
		exit(EX_SETUP);
	if (l->suite.n != 1)
		errx(EX_SETUP, "%s: leak takes one scenario", l->path);
	l->job.sc = l->suite.sc[0];
	l->job.catalogue = catalogue->path;
	if ((l->job.target = target_find(l->spec)) == NULL ||
	    (l->base != NULL && (l->job.base = target_find(l->base)) == NULL))
		exit(EX_SETUP);
}

static int
leak(struct leak *l, const char *path)
{
	struct leak_result	 res = { 0 };
	uint64_t		 t0;
	double			 seconds;
	char			 msg[512];
	int			 code;

	l->path = path;
	if (sandbox_probe(msg, sizeof(msg)) == -1)
		errx(EX_SETUP, "%s", msg);
	if (l->job.filter == NULL)
		find_scenario(l);
	if (l->job.sessions == 0)
		l->job.sessions = l->engine->sessions;
	make_repeat(l);
	t0 = now_us();
	code = l->engine->run(&l->job, &res);
	seconds = (double)(now_us() - t0) / 1e6;
	if (code == EX_PASS) {
		if (l->json != NULL)
			write_json(l, &res, seconds);
		code = verdict(l, &res, seconds);
	}
	leak_free(&res);
	suite_free(&l->suite);
	free(l->repeat);
	return code;
}

enum { ENGINE = 256, TARGET, BASE, SESSIONS, SEED, JSON, DRIVE };

static const struct cli_option kept[] = {
	CLI_TEXT(TARGET, struct leak, spec),
	CLI_TEXT(BASE, struct leak, base),
	CLI_TEXT(JSON, struct leak, json),
	CLI_TEXT(DRIVE, struct leak, job.filter),
	CLI_NUMBER(SESSIONS, struct leak, job.sessions, "--sessions", 1,
	    SESSIONS_MAX),
	CLI_NUMBER(SEED, struct leak, job.seed, "--seed", 0, UINT64_MAX),
	CLI_END
};

static int
leak_main(int argc, char **argv)
{
	struct leak	 l = { .spec = DEFAULT_TARGET,
			     .engine = &leak_valgrind };
	const struct option longopts[] = {
		{ "engine",	required_argument, NULL, ENGINE },
		{ "target",	required_argument, NULL, TARGET },
		{ "base",	required_argument, NULL, BASE },
		{ "sessions",	required_argument, NULL, SESSIONS },
		{ "seed",	required_argument, NULL, SEED },
		{ "json",	required_argument, NULL, JSON },
		{ "drive",	required_argument, NULL, DRIVE },
		{ "quiet",	no_argument, NULL, 'q' },
		{ NULL, 0, NULL, 0 }
	};
	int		 ch;

	l.job.seed = cli_random_seed();
	while ((ch = getopt_long(argc, argv, "q", longopts, NULL)) != -1) {
		if (ch == '?')
			return cmd_usage(&cmd_leak);
		l.job.quiet |= ch == 'q';
		if (ch == ENGINE)
			l.engine = engine_find(optarg);
		cli_option_set(kept, &l, ch, optarg);
	}
	return argc - optind != (l.job.filter == NULL) ?
	    cmd_usage(&cmd_leak) : leak(&l, argv[optind]);
}

const struct cmd	cmd_leak = {
	"leak",
	"[--engine E] [--target T] [--base T] [--sessions N] [--seed N]\n"
	"            [--json F] [-q] SCENARIO | --drive COMMAND",
	"what grows with the sessions, in the daemon or in a filter",
	leak_main,
	"  --engine E        valgrind (default): the daemon under memcheck, "
	"with stacks;\n"
	"                    growth: the daemon as it is, at full speed\n"
	"  --target T        this daemon (default: " DEFAULT_TARGET ")\n"
	"  --base T          growth: compare with this one, run beside it\n"
	"  --sessions N      of each client in a batch (default: the engine's)\n"
	"  --seed N          of every random decision (default: random)\n"
	"  --drive COMMAND   this filter, driven by sessions of \"smtpdtest "
	"drive\"\n"
	"  --json F          the result, \"-\" for stdout\n"
	"  -q, --quiet       no progress\n"
	"exit: 0 no leak, 1 a leak or an error of memory, 2 usage or set-up, "
	"77 skipped\n"
};
