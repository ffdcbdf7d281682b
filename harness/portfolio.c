#include <math.h>
#include <stdlib.h>

#include "perturb.h"
#include "portfolio.h"
#include "report.h"
#include "util.h"

/* Alone each shows what it does; together they reach what none does alone. */
static const unsigned int	sets[] = {
	0,
	PERTURB_CUT,
	PERTURB_STOP | PERTURB_CUT,
	PERTURB_HOLD | PERTURB_CUT,
	PERTURB_STOP | PERTURB_HOLD | PERTURB_CUT,
	PERTURB_DELAY | PERTURB_SEGMENT,
	PERTURB_PCT | PERTURB_CUT,
	PERTURB_PCT | PERTURB_HOLD | PERTURB_CUT,
	PERTURB_PAUSE | PERTURB_CUT,
	/* pauses take time, which a race seldom repays */
	PERTURB_DEFAULT & ~(PERTURB_PCT | PERTURB_PAUSE),
	PERTURB_TIMEOUT | PERTURB_CUT,
	PERTURB_TIMEOUT | PERTURB_STOP | PERTURB_HOLD | PERTURB_CUT,
};

#define EXPLORE	0.3		/* the smaller, the sooner the best gets the time */

struct arm {
	unsigned int	 set;
	double		 tries, seconds, gain;
	double		 pending;	/* asked for, not tried yet */
};

struct portfolio {
	struct arm	 arm[nitems(sets)];
	size_t		 n;
	json_t		*seen;
};

struct portfolio *
portfolio_new(unsigned int allowed)
{
	struct portfolio	*p = xcalloc(1, sizeof(*p));
	size_t			 i, k;

	p->seen = json_object();
	for (i = 0; i < nitems(sets); i++) {
		for (k = 0; k < p->n; k++)
			if (p->arm[k].set == (sets[i] & allowed))
				break;
		p->arm[k].set = sets[i] & allowed;
		p->n += k == p->n;
	}
	return p;
}

void
portfolio_free(struct portfolio *p)
{
	json_decref(p->seen);
	free(p);
}

static double
bound(const struct portfolio *p, const struct arm *a)
{
	double	 all = 1, n = a->tries + a->pending;
	size_t	 i;

	if (n == 0)
		return HUGE_VAL;
	for (i = 0; i < p->n; i++)
		all += p->arm[i].tries + p->arm[i].pending;
	return a->gain / n + EXPLORE * sqrt(log(all) / n);
}

unsigned int
portfolio_next(struct portfolio *p)
{
	struct arm	*best = &p->arm[0];
	size_t		 i;

	for (i = 1; i < p->n; i++)
		if (bound(p, &p->arm[i]) > bound(p, best))
			best = &p->arm[i];
	best->pending++;
	return best->set;
}

/* A try is worth the share of what it saw that nobody had seen, a quick one more. */
size_t
portfolio_tried(struct portfolio *p, unsigned int set, const json_t *states,
    double seconds)
{
	const char	*key;
	json_t		*v, *s = (json_t *)(uintptr_t)states;
	size_t		 i, fresh = 0, n = json_object_size(states);

	json_object_foreach(s, key, v)
		if (json_object_get(p->seen, key) == NULL) {
			json_object_set(p->seen, key, v);
			fresh++;
		}
	for (i = 0; i < p->n; i++) {
		if (p->arm[i].set != set)
			continue;
		p->arm[i].tries++;
		p->arm[i].pending -= p->arm[i].pending > 0;
		p->arm[i].seconds += seconds;
		p->arm[i].gain += n == 0 ? 0 :
		    (double)fresh / (double)n / (1 + seconds);
	}
	return fresh;
}

size_t
portfolio_states(const struct portfolio *p)
{
	return json_object_size(p->seen);
}

json_t *
portfolio_save(const struct portfolio *p)
{
	json_t	*a = json_array();
	size_t	 i;

	for (i = 0; i < p->n; i++)
		json_array_append_new(a, json_pack("{s:s, s:i, s:f, s:f, s:f}",
		    "strategy", perturb_names(p->arm[i].set),
		    "set", (int)p->arm[i].set, "tries", p->arm[i].tries,
		    "seconds", p->arm[i].seconds, "gain", p->arm[i].gain));
	return json_pack("{s:o, s:O}", "strategies", a, "states", p->seen);
}

void
portfolio_restore(struct portfolio *p, const json_t *j)
{
	const json_t	*a = json_object_get(j, "strategies"), *v;
	size_t		 i, k;

	json_object_update(p->seen, json_object_get(j, "states"));
	json_array_foreach(a, i, v)
		for (k = 0; k < p->n; k++)
			if ((json_int_t)p->arm[k].set == jint(v, "set")) {
				p->arm[k].tries = json_number_value(
				    json_object_get(v, "tries"));
				p->arm[k].seconds = json_number_value(
				    json_object_get(v, "seconds"));
				p->arm[k].gain = json_number_value(
				    json_object_get(v, "gain"));
			}
}
