/*
 * What shrink begins with: the run that was found, or a surer one.  Some findings
 * are luck, and hardly show again.  The same crash is then looked for in the
 * scenario it was found with, as hunt does, until a run shows it whenever it is
 * played.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "perturb.h"
#include "plain.h"
#include "report.h"
#include "script.h"
#include "shrink.h"
#include "util.h"

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
	draft_take(&s->now, b.data);
	script_free(sc);
	buf_free(&b);
	free(text);
}

void
finding_script(struct shrink *s)
{
	char	*path = xasprintf("%s/choices", s->finding);
	FILE	*fp;

	if ((fp = fopen(path, "r")) == NULL)
		err(EX_SETUP, "%s", path);
	make_plain(s, fp, json_object_get(s->j, "plan"));
	fclose(fp);
	free(path);
}

/* --- another run ------------------------------------------------------------- */

static const struct job *
next(void *arg)
{
	static const unsigned int sets[] = {
		PERTURB_STOP | PERTURB_HOLD | PERTURB_CUT,
		PERTURB_HOLD | PERTURB_CUT,
		PERTURB_STOP | PERTURB_CUT,
		PERTURB_DEFAULT & ~PERTURB_PCT,
	};
	struct shrink	*s = arg;
	struct job	*job;

	if (s->found != NULL || now_us() > s->until ||
	    (job = trial_job(s)) == NULL)
		return NULL;
	job->opts.perturb = sets[s->started % nitems(sets)];
	return job;
}

static void
on_event(void *arg, json_t *ev)
{
	struct shrink	*s = arg;

	if (strcmp(jstr(ev, "event"), "end") != 0)
		return;
	if (trial_end(s, ev) && s->found == NULL)
		s->found = json_incref(ev);
}

static void
tick(void *arg)
{
	(void)arg;
}

static int
useless(void *arg, uint64_t age)
{
	const struct shrink	*s = arg;

	(void)age;
	return s->found != NULL || now_us() > s->until;
}

/* The next run that shows it, as a script; 0 if there is none in time. */
static int
find_run(struct shrink *s, const struct scenario *sc)
{
	struct pool	 pool = { .next = next, .event = on_event,
			     .tick = tick, .useless = useless, .arg = s,
			     .watchdog = WATCHDOG + (unsigned int)(sc->timeout /
			     1000000),
			     .parallel = (unsigned int)s->parallel };
	const char	*choices;
	FILE		*fp;

	s->sc = sc;
	s->started = 0;
	s->test = NULL;
	s->signo = pool_run(&pool);
	trial_errors(s);
	if (s->found == NULL || s->signo != 0)
		return 0;
	choices = jstr(s->found, "choices");
	if ((fp = fmemopen((void *)(uintptr_t)choices, strlen(choices),
	    "r")) == NULL)
		err(EX_SETUP, "fmemopen");
	make_plain(s, fp, json_object_get(json_object_get(s->found, "stats"),
	    "plan"));
	fclose(fp);
	expect_crash(s, s->found);
	json_decref(s->found);
	s->found = NULL;
	return 1;
}

void
steady(struct shrink *s, uint64_t hits)
{
	struct draft	 was = { 0 };
	int		 second = s->second;

	if (measure(s) <= hits)
		return;
	hold(s);
	draft_copy(&was, &s->now);
	s->second = 1;
	/* chance may have made them seem as good */
	if (settle_all(s) > 0 && (measure(s) * 5 < was.hits * 4 ||
	    s->now.hits <= hits))
		draft_copy(&s->now, &was);
	s->second = second;
	draft_free(&was);
}

/* A few runs tell whether it is worth the time of more. */
static int
is_surer(struct shrink *s, uint64_t hits)
{
	double			 bad = ((double)hits + 1) / FINAL;
	struct rate_test	 t;

	rate_test(&t, bad < 0.6 ? bad + 0.3 : 0.95, bad, 0.2);
	if (!trials(s, FINAL / 2, &t) || over(s))
		return 0;
	steady(s, hits);
	return s->now.hits > hits;
}

int
surer(struct shrink *s, uint64_t hits, double share)
{
	struct draft	 was = { 0 };
	struct scenario	*sc;
	uint64_t	 now = now_us(), end = s->t0 + s->seconds * 1000000;
	char		*text;
	int		 better = 0;

	sc = original(s, &text);
	draft_copy(&was, &s->now);
	s->until = end < now ? 0 :
	    now + (uint64_t)(share * (double)(end - now));
	while (hits < SURE && s->signo == 0 && find_run(s, sc)) {
		if (is_surer(s, hits)) {
			hits = s->now.hits;
			better = 1;
			draft_copy(&was, &s->now);
			save(s);
			tell(s, "a surer one");
		}
	}
	draft_copy(&s->now, &was);
	draft_free(&was);
	/* the highest of several numbers is higher than the rate */
	if (better)
		measure(s);
	free(text);
	script_free(sc);
	return better;
}
