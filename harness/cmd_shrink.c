/*
 * shrink: from a finding to a kill script.  The run is written down as a plain
 * scenario; then whatever can be left out or made smaller is, as long as the
 * same crash still occurs.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
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
#include "plain.h"
#include "pool.h"
#include "rate.h"
#include "report.h"
#include "script.h"
#include "shift.h"
#include "target.h"

#define DEFAULT_TIME	600		/* s */
#define WATCHDOG	60		/* s */
#define TRIALS		10		/* of a candidate: a race does not always show */
#define STRAIGHT	5		/* hits and no miss: as telling as 9 of 10 */
#define FINAL		20		/* to measure the rate of a script */
#define SURE		18		/* of FINAL: no surer one is looked for */
#define PATIENCE	2		/* so much longer than the slowest crash, */
#define LEAST_US	1500000		/* or this long, a run may take, */
#define FIRST_US	10000000	/* before a run of the script has crashed */
#define SEARCH_SHARE	3		/* a third of the time for a surer one */
#define LINES_MAX	4000
#define ERRORS_MAX	5		/* in a row: it will not get better */
#define HEAD_FROM	"# shrunk from a finding on "
#define HEAD_SYMPTOM	"# symptom  "
#define HEAD_RATE	"# rate     "

struct shrink {
	const char	*finding;
	uint64_t	 seconds, parallel, t0;
	int		 resume, tty;
	struct target	*target;
	struct catalogue *catalogue;
	json_t		*j;		/* finding.json */
	char		*spec;
	char		*path;		/* the script so far */
	char		*line[LINES_MAX];
	size_t		 n;
	uint64_t	 tried, kept, seed;
	int		 signo;
	/* the trials of one candidate */
	struct job	 job[64];
	const struct scenario *sc;
	uint64_t	 want, started, ended, hits;
	uint64_t	 enough;	/* so many hits decide; 0: all are counted */
	uint64_t	 need;		/* of TRIALS, for a candidate to be kept */
	uint64_t	 refused[4096];	/* hashes of those that were not */
	size_t		 nrefused;
	json_t		*found;		/* the end of another run of the kind */
	json_t		*steps;		/* lines of a run that crashed, in order */
	struct steps_made made;		/* the same for the script so far */
	uint64_t	 errors;	/* runs that could not be made, in a row */
	char		*reason;
	uint64_t	 slow;		/* us until the crash, at most, */
	uint64_t	 slowest;	/* and for the script so far */
	uint64_t	 played, took;	/* runs so far, and us for all of them */
	int		 hurry;		/* no longer than that makes likely */
};

/* How long a run with a crash took, in us; of an end or a finding. */
static uint64_t
crash_time(const json_t *end)
{
	return (uint64_t)(1e6 * json_number_value(json_object_get(end,
	    "seconds")));
}

/* --- trials ------------------------------------------------------------------- */

static struct job *
make_job(struct shrink *s)
{
	struct job	*job = &s->job[s->started % nitems(s->job)];

	memset(job, 0, sizeof(*job));
	job->sc = s->sc;
	job->target = s->target->name;
	job->version = s->target->version;
	job->opts.target = s->target;
	job->opts.seed = choice_mix(&s->seed);
	job->opts.certs = cli_certs();
	job->opts.filters = cli_filters();
	job->opts.catalogue = s->catalogue->path;
	job->opts.repeat = "";
	job->opts.steps = 1;
	job->opts.id = (int)(s->started++ % nitems(s->job));
	return job;
}

/* There are enough hits, or so many cannot be had any more. */
static int
decided(const struct shrink *s)
{
	return s->enough != 0 && (s->hits >= s->enough ||
	    s->hits + s->want - s->ended < s->enough);
}

static const struct job *
next(void *arg)
{
	struct shrink	*s = arg;

	if (s->started == s->want || s->errors >= ERRORS_MAX)
		return NULL;
	/* nor more at first than may decide */
	if (s->enough != 0 && s->hits == s->ended && s->started >= STRAIGHT)
		return NULL;
	return decided(s) ? NULL : make_job(s);
}

/* So long a run may take, us: some wait for what never comes. */
static uint64_t
patience(const struct shrink *s)
{
	return s->slowest * PATIENCE > LEAST_US ? s->slowest * PATIENCE :
	    LEAST_US;
}

/* A script made of this run has not been played yet. */
static void
expect_crash(struct shrink *s, const json_t *run)
{
	s->slowest = crash_time(run) > FIRST_US / PATIENCE ? crash_time(run) :
	    FIRST_US / PATIENCE;
}

static int
useless(void *arg, uint64_t age)
{
	const struct shrink	*s = arg;

	return decided(s) || (s->hurry && age > patience(s));
}

static void
on_event(void *arg, json_t *ev)
{
	struct shrink	*s = arg;
	struct buf	 sig = { 0 };

	if (strcmp(jstr(ev, "event"), "end") != 0)
		return;
	s->ended++;
	if (json_is_true(json_object_get(ev, "ended")))
		return;
	/* one that could not be made is no answer: another in its place */
	if (verdict_of(ev) == V_ERROR || verdict_of(ev) == V_SKIP) {
		s->want++;
		s->errors++;
		free(s->reason);
		s->reason = xstrdup(jstr(ev, "reason"));
		return;
	}
	s->errors = 0;
	if (finding_signature(ev, &sig) &&
	    strcmp(sig.data, jstr(s->j, "signature")) == 0) {
		s->hits++;
		if (s->hits == STRAIGHT && s->ended == STRAIGHT &&
		    s->enough > STRAIGHT)
			s->enough = STRAIGHT;
		json_decref(s->steps);
		s->steps = json_incref(json_object_get(json_object_get(ev,
		    "stats"), "steps"));
		if (crash_time(ev) > s->slow)
			s->slow = crash_time(ev);
	}
	buf_free(&sig);
}

static void
tick(void *arg)
{
	(void)arg;
}

static char *
text_of(const struct shrink *s)
{
	struct buf	 b = { 0 };
	size_t		 i;

	for (i = 0; i < s->n; i++)
		if (s->line[i] != NULL)
			buf_addf(&b, "%s\n", s->line[i]);
	return b.data;
}

/* Another round looks again at what is still as it was. */
static int
was_refused(const struct shrink *s, uint64_t hash)
{
	size_t	 i;

	for (i = 0; i < s->nrefused && i < nitems(s->refused); i++)
		if (s->refused[i] == hash)
			return 1;
	return 0;
}

/* How often in so many runs; what does not parse does not crash. */
static uint64_t
trials(struct shrink *s, uint64_t n, uint64_t enough)
{
	struct pool	 pool = { .next = next, .event = on_event, .tick = tick,
			     .useless = useless, .arg = s,
			     .parallel = (unsigned int)s->parallel,
			     .watchdog = WATCHDOG };
	struct scenario	*sc;
	char		 msg[512], *text = text_of(s);
	uint64_t	 began, hash = fnv64(text, strlen(text));

	s->want = n;
	s->enough = enough;
	s->started = s->ended = s->hits = s->slow = 0;
	json_decref(s->steps);
	s->steps = NULL;
	if (s->signo != 0 || (enough != 0 && was_refused(s, hash))) {
		free(text);
		return 0;
	}
	s->tried++;
	sc = script_parse(s->path, text, strlen(text), msg, sizeof(msg));
	free(text);
	if (sc == NULL)
		return 0;
	s->sc = sc;
	pool.watchdog += (unsigned int)(sc->timeout / 1000000);
	began = now_us();
	s->signo = pool_run(&pool);
	s->took += now_us() - began;
	s->played += s->ended;
	script_free(sc);
	if (s->errors >= ERRORS_MAX)
		errx(EX_SETUP, "%llu runs in a row could not be made, the "
		    "last: %s\n\"--resume\" goes on from %s",
		    (unsigned long long)s->errors, s->reason, s->path);
	if (s->hits < s->enough)
		s->refused[s->nrefused++ % nitems(s->refused)] = hash;
	return s->hits;
}

/* Is the script as it is now as good as what it was made of? */
static int
good(struct shrink *s)
{
	trials(s, TRIALS, s->need);
	return s->hits >= s->enough;
}

/* What is left of the time has to do for the rate of the result. */
static int
over(const struct shrink *s)
{
	uint64_t	 rest = s->played == 0 ? 0 : FINAL * s->took / s->played;

	return s->signo != 0 || now_us() - s->t0 + rest > s->seconds * 1000000;
}

static int
indent(const char *line)
{
	return line == NULL || *line == '\0' ? -1 : (int)strspn(line, " ");
}

/* A line of the plan, or of a client. */
static int
is_played(const struct shrink *s, size_t i)
{
	static const char	*const words[] = { "client ", "stop ", "rest " };
	size_t			 k;

	for (; indent(s->line[i]) != 0; i--)
		if (i == 0)
			return 0;
	for (k = 0; s->line[i] != NULL && k < nitems(words); k++)
		if (strncmp(s->line[i], words[k], strlen(words[k])) == 0)
			return 1;
	return 0;
}

static void
save(struct shrink *s)
{
	char	*text = text_of(s);

	if (file_replace(s->path, text, strlen(text)) == -1)
		err(EX_SETUP, "%s", s->path);
	free(text);
}

/* Of what is played: neither smtpd.conf and files nor lines with a brace only. */
static size_t
size(const struct shrink *s)
{
	size_t	 i, n = 0;

	for (i = 0; i < s->n; i++)
		n += s->line[i] != NULL && is_played(s, i) &&
		    s->line[i][strspn(s->line[i], " }")] != '\0';
	return n;
}

static void
tell(const struct shrink *s, const char *what)
{
	uint64_t	 us = now_us() - s->t0;

	printf("%s%zu lines, %llu tried, %llu kept, %s, %llu s left%s",
	    s->tty ? "\r\033[K" : "", size(s), (unsigned long long)s->tried,
	    (unsigned long long)s->kept, what, (unsigned long long)
	    (us > s->seconds * 1000000 ? 0 : s->seconds - us / 1000000),
	    s->tty ? "" : "\n");
	fflush(stdout);
}

/* --- leaving out ----------------------------------------------------------------- */

/*
 * The last line of what begins here: a block up to its brace, a line that is
 * said with the answers to it, or the line alone.
 */
static size_t
unit_end(const struct shrink *s, size_t i)
{
	const char	*l = s->line[i];
	int		 in = indent(l);
	size_t		 k, end;

	if (l[strlen(l) - 1] == '{') {
		for (k = i + 1; k < s->n && (s->line[k] == NULL ||
		    indent(s->line[k]) != in || s->line[k][in] != '}'); k++)
			;
		return k < s->n ? k : i;
	}
	end = i;
	for (k = i + 1; strncmp(l + in, "C: ", 3) == 0 && k < s->n; k++) {
		if (s->line[k] == NULL)
			continue;
		if (indent(s->line[k]) != in ||
		    strncmp(s->line[k] + in, "S: ", 3) != 0)
			break;
		end = k;
	}
	return end;
}

/* Can this be left out at all, in the round that looks at clients or lines? */
static int
is_unit(const struct shrink *s, size_t i, int clients)
{
	const char	*l = s->line[i];
	int		 in = indent(l);

	if (in < 0 || l[in] == '}' || l[in] == '#')
		return 0;
	if (in == 0 && clients)
		return strncmp(l, "client ", 7) == 0;
	if (in == 0)
		return strncmp(l, "stop ", 5) == 0 ||
		    strncmp(l, "rest ", 5) == 0;
	return !clients;
}

/*
 * The script crashes: remember how late, and which steps were made until then.
 * Those that decided were the first to crash, so not at once.
 */
static void
take_steps(struct shrink *s)
{
	size_t	 at[LINES_MAX], i, n = 0;
	json_t	*line;

	s->made.n = 0;
	if (s->hits == 0)
		return;
	s->slowest = s->slow > s->slowest / 2 ? s->slow : s->slowest / 2;
	for (i = 0; i < s->n; i++)
		if (s->line[i] != NULL)
			at[n++] = i;
	s->made.line = xreallocarray(s->made.line,
	    json_array_size(s->steps) + 1, sizeof(*s->made.line));
	json_array_foreach(s->steps, i, line)
		s->made.line[s->made.n++] = at[json_integer_value(line) - 1];
}

/* What becomes of the steps made, when lines a and following were as saved. */
static struct part
part_left(const struct shrink *s, char **saved, size_t a, size_t n)
{
	struct part	 part = { .first = 1, .stay = 1, .of = 1 };

	if (s->line[a] == NULL)
		part = (struct part){ a, a + n - 1, 0, 1 };
	else if (sscanf(saved[0], " repeat %" SCNu64, &part.of) == 1 &&
	    sscanf(s->line[a], " repeat %" SCNu64, &part.stay) == 1) {
		part.first = a + 1;
		part.last = unit_end(s, a);
	}
	return part;
}

static void
shift_stops(struct shrink *s, const struct part *part, char **old)
{
	size_t	 i;
	char	*new;

	for (i = 0; i < s->n; i++) {
		old[i] = NULL;
		if (part->first > part->last || s->line[i] == NULL ||
		    (new = shift_stop(s->line[i], &s->made, part)) == NULL)
			continue;
		old[i] = s->line[i];
		s->line[i] = new;
	}
}

static void
put_back(struct shrink *s, size_t i, char *line)
{
	if (s->line[i] != line)
		free(s->line[i]);
	s->line[i] = line;
}

/* This is the script from now on. */
static void
keep(struct shrink *s, const char *what)
{
	s->kept++;
	take_steps(s);
	save(s);
	tell(s, what);
}

/* Does it still crash?  If not, lines a and following are as they were saved. */
static int
try(struct shrink *s, char **saved, size_t a, size_t n, const char *what)
{
	struct part	 part = part_left(s, saved, a, n);
	char		*stops[LINES_MAX];
	size_t		 i;
	int		 kept;

	shift_stops(s, &part, stops);
	kept = good(s);
	for (i = 0; i < s->n; i++)
		if (stops[i] != NULL && kept)
			free(stops[i]);
		else if (stops[i] != NULL)
			put_back(s, i, stops[i]);
	for (i = 0; i < n; i++)
		if (!kept)
			put_back(s, a + i, saved[i]);
		else if (saved[i] != s->line[a + i])
			free(saved[i]);
	if (kept)
		keep(s, what);
	return kept;
}

/* One round over everything that can be left out; how much was. */
static size_t
leave_out(struct shrink *s, int clients, size_t most)
{
	char	*saved[LINES_MAX];
	size_t	 i, k, end, begin, taken, done = 0;

	for (i = 0; i < s->n && !over(s); i++) {
		if (s->line[i] == NULL || !is_unit(s, i, clients) ||
		    !is_played(s, i))
			continue;
		/* several neighbours at once, where there are many */
		begin = end = i;
		for (taken = 0; taken < most && end < s->n; taken++) {
			while (end < s->n && (s->line[end] == NULL ||
			    *s->line[end] == '\0'))
				end++;
			if (end == s->n || !is_unit(s, end, clients) ||
			    indent(s->line[end]) != indent(s->line[begin]))
				break;
			end = unit_end(s, end) + 1;
		}
		for (k = begin; k < end; k++) {
			saved[k - begin] = s->line[k];
			s->line[k] = NULL;
		}
		if (try(s, saved, begin, end - begin, "leaving out"))
			done++;
		else
			end = most > 1 ? end : begin + 1;
		i = end - 1;
	}
	return done;
}

/* --- making smaller ---------------------------------------------------------------- */

/* Numbers that say how much of something there is. */
static const char	*const amounts[] = {
	"repeat ", "${x*", "message size=", " for ", NULL
};

static char *
smaller(const char *line, uint64_t by)
{
	const char	*p = NULL;
	char		*end;
	uint64_t	 n;
	size_t		 i;

	for (i = 0; amounts[i] != NULL; i++)
		if ((p = strstr(line, amounts[i])) != NULL)
			break;
	if (p == NULL)
		return NULL;
	p += strlen(amounts[i]);
	n = strtoull(p, &end, 10);
	if (end == p || n < 2)
		return NULL;
	return xasprintf("%.*s%llu%s", (int)(p - line), line,
	    (unsigned long long)(n / by > 0 ? n / by : 1), end);
}

static size_t
make_smaller(struct shrink *s)
{
	static const uint64_t	 by[] = { 1000, 8, 2 };
	size_t			 i, k, done = 0;
	char			*new, *old;

	for (i = 0; i < s->n && !over(s); i++)
		for (k = 0; k < nitems(by) && !over(s); k++) {
			if (s->line[i] == NULL || !is_played(s, i) ||
			    (new = smaller(s->line[i], by[k])) == NULL)
				continue;
			old = s->line[i];
			s->line[i] = new;
			done += (size_t)try(s, &old, i, 1, "making smaller");
		}
	return done;
}

/* One turn needs no repeat; whose own two steps are gone then. */
static void
unwrap(struct shrink *s, size_t i)
{
	const struct part	 part = { i, i, 0, 1 };
	char			*old[LINES_MAX];
	size_t			 k, n = 0, end = unit_end(s, i);

	shift_stops(s, &part, old);
	for (k = 0; k < s->n; k++)
		free(old[k]);
	for (k = 0; k < s->made.n; k++)
		if (s->made.line[k] != i)
			s->made.line[n++] = s->made.line[k];
	s->made.n = n;
	for (k = i + 1; k < end; k++)
		if (indent(s->line[k]) >= 4)
			memmove(s->line[k], s->line[k] + 4,
			    strlen(s->line[k]) - 3);
	put_back(s, i, NULL);
	put_back(s, end, NULL);
}

/* What is gone needs no empty lines either. */
static void
tidy(struct shrink *s)
{
	const char	*last = "";
	size_t		 i;

	for (i = 0; i < s->n; i++)
		if (s->line[i] != NULL && is_played(s, i) &&
		    strcmp(s->line[i] + strspn(s->line[i], " "),
		    "repeat 1 {") == 0)
			unwrap(s, i);
	for (i = 0; i < s->n; i++) {
		if (s->line[i] == NULL)
			continue;
		if (*s->line[i] == '\0' && *last == '\0')
			put_back(s, i, NULL);
		else
			last = s->line[i];
	}
}

/* --- stops ------------------------------------------------------------------------- */

/*
 * After how many steps of all clients somebody stops is a matter of who was how
 * fast.  At rest, or from the beginning, it is always the same.
 */
static int
settle(struct shrink *s, size_t i)
{
	static const char *const forms[] = {
		"rest stop %s", "stop %s after 1"
	};
	char		 who[32], *old = s->line[i];
	size_t		 k;

	if (old == NULL || sscanf(old, "stop %31s after", who) != 1)
		return 0;
	for (k = 0; k < nitems(forms) && !over(s); k++) {
		s->line[i] = xasprintf(forms[k], who);
		if (strcmp(s->line[i], old) != 0 && good(s)) {
			free(old);
			s->kept++;
			take_steps(s);
			return 1;
		}
		put_back(s, i, old);
	}
	return 0;
}

static size_t
settle_all(struct shrink *s)
{
	size_t	 i, done = 0;

	for (i = 0; i < s->n; i++)
		done += (size_t)settle(s, i);
	return done;
}

/*
 * How often in FINAL runs.  What is kept has to crash about as often in TRIALS:
 * one hit less, or chance would refuse half of those that are as good.
 */
static uint64_t
measure(struct shrink *s)
{
	uint64_t	 hits = trials(s, FINAL, 0);

	take_steps(s);
	s->need = hits > FINAL / TRIALS ? (hits - 1) * TRIALS / FINAL : 1;
	return hits;
}

/* The same once its stops are as sure as they get, if it is worth that. */
static uint64_t
steady(struct shrink *s, uint64_t least)
{
	uint64_t	 hits = measure(s);

	return hits > least && settle_all(s) > 0 ? measure(s) : hits;
}

static void
reduce(struct shrink *s)
{
	size_t	 most, done;

	do {
		done = 0;
		for (most = 8; most > 0; most /= 2)
			done += leave_out(s, 1, most);
		for (most = 4; most > 0; most /= 2)
			done += leave_out(s, 0, most);
		done += settle_all(s);
		done += make_smaller(s);
		tidy(s);
		save(s);
	} while (done > 0 && !over(s));
}

/* --- the command -------------------------------------------------------------------- */

/* What an earlier shrink has said of it. */
static int
is_head(const char *line)
{
	return strncmp(line, HEAD_FROM, strlen(HEAD_FROM)) == 0 ||
	    strncmp(line, HEAD_SYMPTOM, strlen(HEAD_SYMPTOM)) == 0 ||
	    strncmp(line, HEAD_RATE, strlen(HEAD_RATE)) == 0;
}

static void
drop_lines(struct shrink *s)
{
	while (s->n > 0)
		free(s->line[--s->n]);
}

static void
take_lines(struct shrink *s, char *text)
{
	char	*line;

	while ((line = strsep(&text, "\n")) != NULL) {
		if (is_head(line))
			continue;
		if (s->n == LINES_MAX)
			errx(EX_SETUP, "%s: more than %d lines", s->finding,
			    LINES_MAX);
		s->line[s->n++] = xstrdup(line);
	}
	while (s->n > 0 && *s->line[s->n - 1] == '\0')
		free(s->line[--s->n]);
}

/* The scenario it was found with. */
static struct scenario *
original(const struct shrink *s, char **text)
{
	char		*path = xasprintf("%s/scenario.smtp", s->finding);
	char		 msg[512];
	struct scenario	*sc;
	size_t		 len;

	if ((*text = read_file(path, &len, 1 << 24)) == NULL)
		err(EX_SETUP, "%s", path);
	if ((sc = script_parse(path, *text, len, msg, sizeof(msg))) == NULL)
		errx(EX_SETUP, "%s", msg);
	free(path);
	return sc;
}

/* A run of it, as a plain scenario. */
static void
make_plain(struct shrink *s, FILE *choices, const json_t *plan)
{
	struct buf	 b = { 0 };
	struct scenario	*sc;
	char		*text;

	sc = original(s, &text);
	plain_write(sc, text, choices, plan, &b);
	drop_lines(s);
	take_lines(s, b.data);
	script_free(sc);
	buf_free(&b);
	free(text);
}

/* The run that was found. */
static void
begin(struct shrink *s)
{
	char	*path = xasprintf("%s/choices", s->finding);
	FILE	*fp;

	if ((fp = fopen(path, "r")) == NULL)
		err(EX_SETUP, "%s", path);
	make_plain(s, fp, json_object_get(s->j, "plan"));
	fclose(fp);
	free(path);
	save(s);
}

/* --- a surer one ------------------------------------------------------------------- */

/*
 * Some findings are luck, and hardly show again.  The same crash is then looked
 * for in the scenario it was found with, as hunt does, until a run shows it
 * whenever it is played.
 */
static const struct job *
search_next(void *arg)
{
	static const unsigned int sets[] = {
		PERTURB_STOP | PERTURB_HOLD | PERTURB_CUT,
		PERTURB_HOLD | PERTURB_CUT,
		PERTURB_STOP | PERTURB_CUT,
		PERTURB_DEFAULT & ~PERTURB_PCT,
	};
	struct shrink	*s = arg;
	struct job	*job;

	if (s->found != NULL || s->errors >= ERRORS_MAX ||
	    now_us() - s->t0 > s->seconds * 1000000 / SEARCH_SHARE)
		return NULL;
	job = make_job(s);
	job->opts.perturb = sets[s->started % nitems(sets)];
	return job;
}

static void
search_event(void *arg, json_t *ev)
{
	struct shrink	*s = arg;

	s->hits = 0;
	on_event(s, ev);
	if (s->hits > 0 && s->found == NULL)
		s->found = json_incref(ev);
}

static int
search_useless(void *arg, uint64_t age)
{
	const struct shrink	*s = arg;

	(void)age;
	return s->found != NULL;
}

/* One that shows as often as that?  Of several, and in time, the best. */
static uint64_t
surer(struct shrink *s, uint64_t hits)
{
	struct pool	 pool = { .next = search_next, .event = search_event,
			     .tick = tick, .useless = search_useless,
			     .arg = s, .watchdog = WATCHDOG,
			     .parallel = (unsigned int)s->parallel };
	struct scenario	*sc;
	char		*best = text_of(s), *text;
	const char	*choices;
	uint64_t	 now, slowest = s->slowest;
	FILE		*fp;

	sc = original(s, &text);
	while (hits < SURE && s->signo == 0) {
		s->sc = sc;
		s->started = 0;
		s->signo = pool_run(&pool);
		if (s->found == NULL || s->signo != 0)
			break;
		choices = jstr(s->found, "choices");
		if ((fp = fmemopen((void *)(uintptr_t)choices,
		    strlen(choices), "r")) == NULL)
			err(EX_SETUP, "fmemopen");
		make_plain(s, fp, json_object_get(json_object_get(s->found,
		    "stats"), "plan"));
		fclose(fp);
		expect_crash(s, s->found);
		json_decref(s->found);
		s->found = NULL;
		/* not worth the time of more runs? */
		if (trials(s, TRIALS, 0) * FINAL / TRIALS < hits)
			continue;
		if ((now = steady(s, hits)) > hits) {
			hits = now;
			slowest = s->slowest;
			free(best);
			best = text_of(s);
			save(s);
			tell(s, "a surer one");
		}
	}
	drop_lines(s);
	take_lines(s, best);
	s->slowest = slowest;
	if (hits > 0)
		measure(s);
	save(s);
	free(best);
	free(text);
	script_free(sc);
	return hits;
}

/* --- the result ---------------------------------------------------------------------- */

static void
prepare(struct shrink *s)
{
	char	 msg[512], *text;
	size_t	 len;

	if ((s->j = finding_load(s->finding, msg, sizeof(msg))) == NULL)
		errx(EX_SETUP, "%s", msg);
	s->catalogue = catalogue_load();
	s->spec = xstrdup(jstr(s->j, "target"));
	if ((s->target = target_find(s->spec)) == NULL)
		exit(EX_SETUP);
	s->path = xasprintf("%s/kill.smtp", s->finding);
	s->seed = cli_random_seed();
	s->t0 = now_us();
	s->hurry = 1;
	expect_crash(s, s->j);
	/* ended before it was written: there is nothing to go on from */
	if (!s->resume || (access(s->path, F_OK) == -1 && errno == ENOENT)) {
		begin(s);
		return;
	}
	if ((text = read_file(s->path, &len, 1 << 24)) == NULL)
		err(EX_SETUP, "--resume: %s", s->path);
	take_lines(s, text);
	free(text);
}

/* What a reader of the script wants to know first. */
static void
head(struct shrink *s, uint64_t hits, double lo, double hi)
{
	struct buf	 b = { 0 };
	char		*text;

	text = text_of(s);
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
	    text_json(s->path), "lines", (json_int_t)size(s), "seconds",
	    (double)(now_us() - s->t0) / 1e6, "candidates",
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
	printf("interrupted; \"--resume\" goes on from %s\n", s->path);
	fflush(stdout);
	cli_reraise(s->signo);
}

static void
finish(struct shrink *s)
{
	uint64_t	 hits = trials(s, FINAL, 0);
	double		 lo, hi;

	interrupted(s);
	rate_interval(hits, FINAL, &lo, &hi);
	head(s, hits, lo, hi);
	put_result(s, hits, lo, hi);
	printf("%s: %zu lines, %.0f s, %llu candidates; it dies in %llu of %d "
	    "runs, %.0f %% (95 %%: %.0f to %.0f %%)\n", s->path, size(s),
	    (double)(now_us() - s->t0) / 1e6, (unsigned long long)s->tried,
	    (unsigned long long)hits, FINAL, 100.0 * (double)hits / FINAL,
	    100 * lo, 100 * hi);
}

static int
shrink(struct shrink *s)
{
	uint64_t	 hits;

	prepare(s);
	printf("shrinking %s, %zu lines, seen as\n  %s\n", s->finding, size(s),
	    jstr(s->j, "signature"));
	fflush(stdout);
	if ((hits = steady(s, 0)) < SURE)
		hits = surer(s, hits);
	interrupted(s);
	if (hits == 0) {
		warnx("%s: the crash does not show again, nor in other runs; "
		    "give it more time on a quieter machine", s->path);
		return EX_FAIL;
	}
	reduce(s);
	s->hurry = 0;
	if (s->tty)
		putchar('\n');
	interrupted(s);
	finish(s);
	return EX_PASS;
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
