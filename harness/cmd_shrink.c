/*
 * shrink: from a finding to a kill script.  The run is written down as a plain
 * scenario; then whatever can be left out or made smaller is, as long as the
 * same crash still occurs.
 */
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
#include "finding.h"
#include "rate.h"
#include "report.h"
#include "shrink.h"
#include "target.h"
#include "util.h"

#define DEFAULT_TIME	600		/* s */
#define FAIR		(FINAL / 2)	/* hits: worth shrinking */
/* No better script is looked for. */
#define GOOD		(FINAL * 3 / 4)	/* hits */
#define SHORT		25		/* lines */

static void
prepare(struct shrink *s)
{
	char	 msg[512], *text;
	size_t	 len;
	int	 none;

	if ((s->j = finding_load(s->finding, msg, sizeof(msg))) == NULL)
		errx(EX_SETUP, "%s", msg);
	s->catalogue = catalogue_load();
	s->spec = xstrdup(jstr(s->j, "target"));
	if ((s->target = target_find(s->spec)) == NULL)
		exit(EX_SETUP);
	s->path = xasprintf("%s/kill.smtp", s->finding);
	s->seed = cli_random_seed();
	s->t0 = now_us();
	expect_crash(s, s->j);
	none = access(s->path, F_OK) == -1 && errno == ENOENT;
	if (!s->resume || none) {
		s->resume = 0;
		finding_script(s);
		/* an earlier one stays until this one has crashed */
		if (none)
			save(s);
		return;
	}
	if ((text = read_file(s->path, &len, 1 << 24)) == NULL)
		err(EX_SETUP, "--resume: %s", s->path);
	draft_take(&s->now, text);
	free(text);
}

/* --- the result ---------------------------------------------------------------- */

/* What a reader of the script wants to know first. */
static void
head(struct shrink *s, uint64_t hits, double lo, double hi)
{
	struct buf	 b = { 0 };
	char		*text;

	text = draft_text(&s->now);
	buf_addf(&b, HEAD_FROM "%s\n" HEAD_SYMPTOM "%s\n"
	    HEAD_RATE "%llu of %d runs (95 %%: %.0f to %.0f %%)\n", s->spec,
	    jstr(s->j, "signature"), (unsigned long long)hits, FINAL, 100 * lo,
	    100 * hi);
	buf_addstr(&b, text);
	if (file_replace(s->path, b.data, b.len) == -1)
		err(EX_SETUP, "%s", s->path);
	free(text);
	buf_free(&b);
}

/* The same for programs. */
static void
put_result(const struct shrink *s, uint64_t hits, double lo, double hi)
{
	char	*path = xasprintf("%s/shrink.json", s->finding), *text;
	json_t	*j;

	j = json_pack("{s:o, s:I, s:f, s:I, s:I, s:I, s:f, s:f}", "script",
	    text_json(s->path), "lines", (json_int_t)draft_size(&s->now),
	    "seconds", (double)(now_us() - s->t0) / 1e6, "candidates",
	    (json_int_t)s->tried, "hits", (json_int_t)hits, "runs",
	    (json_int_t)FINAL, "low", lo, "high", hi);
	text = json_dumps(j, JSON_INDENT(1));
	if (file_replace(path, text, strlen(text)) == -1)
		err(EX_SETUP, "%s", path);
	free(text);
	free(path);
	json_decref(j);
}

/* "--resume" goes on from the script, which is whole at any time. */
static void
interrupted(const struct shrink *s)
{
	if (s->signo == 0)
		return;
	if (s->tty)
		putchar('\n');
	printf("interrupted; \"--resume\" goes on from %s\n", s->path);
	fflush(stdout);
	cli_reraise(s->signo);
}

static int
finish(struct shrink *s)
{
	uint64_t	 hits = measure(s);
	double		 lo, hi;

	interrupted(s);
	rate_interval(hits, FINAL, &lo, &hi);
	head(s, hits, lo, hi);
	put_result(s, hits, lo, hi);
	printf("%s: %zu lines, %.0f s, %llu candidates; it dies in %llu of %d "
	    "runs, %.0f %% (95 %%: %.0f to %.0f %%)\n", s->path,
	    draft_size(&s->now), (double)(now_us() - s->t0) / 1e6,
	    (unsigned long long)s->tried, (unsigned long long)hits, FINAL,
	    100.0 * (double)hits / FINAL, 100 * lo, 100 * hi);
	return hits > 0 ? EX_PASS : EX_FAIL;
}

/* --- from which finding ------------------------------------------------------ */

static uint64_t
at_most(uint64_t n, uint64_t max)
{
	return n < max ? n : max;
}

/*
 * Far surer, or else shorter; of two that are short enough the surer one.  What
 * is a hit more or less of so few runs may be chance.
 */
static int
is_better(const struct draft *a, const struct draft *b)
{
	uint64_t	 ha = at_most(a->hits, SURE), hb = at_most(b->hits, SURE);
	size_t		 na = draft_size(a), nb = draft_size(b);

	if (ha > hb * 2 || hb > ha * 2)
		return ha > hb;
	if ((na > SHORT || nb > SHORT || ha == hb) && na != nb)
		return na < nb;
	return ha > hb;
}

/* Another finding may shrink to a better script than this one. */
static void
attempts(struct shrink *s)
{
	draft_copy(&s->best, &s->now);
	do {
		reduce(s);
		measure(s);
		if (s->signo != 0)
			return;
		if (is_better(&s->now, &s->best))
			draft_copy(&s->best, &s->now);
		draft_copy(&s->now, &s->best);
		s->second = 0;
		save(s);
		s->second = 1;
		if (s->tty)
			putchar('\n');
	} while ((s->best.hits < GOOD || draft_size(&s->best) > SHORT) &&
	    !over(s) && surer(s, at_most(s->best.hits, SURE - 1), 0.5));
}

static int
shrink(struct shrink *s)
{
	prepare(s);
	printf("shrinking %s, %zu lines, seen as\n  %s\n", s->finding,
	    draft_size(&s->now), jstr(s->j, "signature"));
	fflush(stdout);
	steady(s, 0);
	tell(s, "to begin with");
	if (s->now.hits > 0)
		save(s);
	if (!s->resume || s->now.hits == 0) {
		surer(s, s->now.hits, 1.0 / 3);
		if (s->now.hits < FAIR)
			surer(s, s->now.hits, 1.0 / 3);
	}
	interrupted(s);
	if (s->now.hits == 0) {
		warnx("%s: the crash does not show again, nor in other runs; "
		    "give it more time on a quieter machine", s->path);
		return EX_FAIL;
	}
	attempts(s);
	s->patient = 1;
	interrupted(s);
	return finish(s);
}

static int
shrink_main(int argc, char **argv)
{
	enum { TIME = 256 };
	struct shrink	 s = { .seconds = DEFAULT_TIME };
	const struct option longopts[] = {
		{ "time",	required_argument, NULL, TIME },
		{ "resume",	no_argument, &s.resume, 1 },
		{ NULL, 0, NULL, 0 }
	};
	int		 ch;

	s.parallel = cli_parallel(4);
	while ((ch = getopt_long(argc, argv, "j:", longopts, NULL)) != -1) {
		if (ch == '?')
			return cmd_usage(&cmd_shrink);
		if (ch == 'j')
			s.parallel = cli_number("-j", optarg, 1, 64);
		if (ch == TIME)
			s.seconds = cli_number("--time", optarg, 1, 10000000);
	}
	if (argc - optind != 1)
		return cmd_usage(&cmd_shrink);
	s.finding = argv[optind];
	s.tty = isatty(STDOUT_FILENO);
	return shrink(&s);
}

const struct cmd	cmd_shrink = {
	"shrink",
	"[-j N] [--time S] [--resume] FINDING",
	"make a kill script of a finding, as small as it gets",
	shrink_main,
	"  FINDING           a directory that hunt left\n"
	"  -j N              N runs at once (default: four for each processor)\n"
	"  --time S          for so many seconds at most (default: 600)\n"
	"  --resume          go on where it was interrupted\n"
	"The script is left as kill.smtp in it, whole at any time.\n"
	"exit: 0 done, 1 the crash does not show again, 2 usage or set-up\n"
};
