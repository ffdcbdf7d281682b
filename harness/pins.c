/* Pinned deviations that did not come up, which is news as well. */
#include <stdio.h>
#include <string.h>

#include "run.h"
#include "steps.h"

/* What was pinned for an oracle and did not happen. */
static void
oracle_pins(struct run *run)
{
	const struct known *k;
	struct knowns one;
	struct known copy;

	STAILQ_FOREACH(k, &run->sc->knowns, entry) {
		if (k->used)
			continue;
		copy = *k;
		STAILQ_INIT(&one);
		STAILQ_INSERT_TAIL(&one, &copy, entry);
		run_conforms(run, &k->pos, NULL, &one);
	}
}

static void
unreached(struct run *run, const struct knowns *knowns)
{
	const struct known *k;
	char want[320];

	STAILQ_FOREACH(k, knowns, entry) {
		if (k->seen || !known_applies(run, k))
			continue;
		snprintf(want, sizeof(want), "the known deviation \"%.256s\"",
		    k->got);
		run_stale(run, &k->pos, want, "nothing: what it belongs to was "
		    "never reached; take the known line out, or narrow its "
		    "targets");
	}
}

/* Of alternatives, and of no turns at all, nobody knows beforehand. */
static void
unreached_steps(struct run *run, const struct steps *list)
{
	const struct step *st;

	STAILQ_FOREACH(st, list, entry) {
		unreached(run, &st->knowns);
		if (st->kind == &step_choose || (st->kind == &step_repeat &&
		    st->range.lo == 0))
			continue;
		unreached_steps(run, &st->body);
	}
}

void
pins_judge(struct run *run)
{
	const struct expect *ex;
	const struct role *r;

	oracle_pins(run);
	/* what is disturbed, or somebody else's, may end early */
	if (run->opts->perturb != 0 || run->foreign || run->failed)
		return;
	STAILQ_FOREACH(r, &run->sc->roles, entry)
		unreached_steps(run, &r->steps);
	STAILQ_FOREACH(ex, &run->sc->expects, entry)
		unreached(run, &ex->knowns);
}

/* The first one that names this target itself, and not others with it. */
static const struct known *
pinned_here(const struct run *run, const struct knowns *knowns)
{
	const struct known *k;
	const struct word *w;

	STAILQ_FOREACH(k, knowns, entry)
		STAILQ_FOREACH(w, &k->targets, entry)
			if (strcmp(w->text, "*") != 0 &&
			    strchr("<>=!", w->text[0]) == NULL &&
			    target_matches(run->target, w->text))
				return k;
	return NULL;
}

static const struct known *
pinned_step(const struct run *run, const struct steps *list)
{
	const struct known *k = NULL;
	const struct step *st;

	STAILQ_FOREACH(st, list, entry) {
		if (k == NULL)
			k = pinned_here(run, &st->knowns);
		if (k == NULL)
			k = pinned_step(run, &st->body);
	}
	return k;
}

const struct known *
pins_skipped(const struct run *run)
{
	const struct known *k;
	const struct expect *ex;
	const struct role *r;

	if (run->target == NULL)
		return NULL;
	k = pinned_here(run, &run->sc->knowns);
	STAILQ_FOREACH(r, &run->sc->roles, entry)
		if (k == NULL)
			k = pinned_step(run, &r->steps);
	STAILQ_FOREACH(ex, &run->sc->expects, entry)
		if (k == NULL)
			k = pinned_here(run, &ex->knowns);
	return k;
}
