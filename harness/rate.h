#ifndef SMTPDTEST_RATE_H
#define SMTPDTEST_RATE_H

#include <stdint.h>

/* Wilson's interval of a rate, 95 %; of no trials it is all there is. */
void	 rate_interval(uint64_t hits, uint64_t n, double *lo, double *hi);

/*
 * Wald's sequential test: is a rate as high as good, or rather as low as bad?
 * As many trials as it takes, with such a chance of error.
 */
struct rate_test {
	double	 hit, miss;	/* what each of them tells, log odds */
	double	 enough;	/* to decide, for good or against it */
};

/* 0 < bad < good < 1, 0 < error < 0.5. */
void	 rate_test(struct rate_test *, double good, double bad, double error);
/* What they tell together: above 0 for good. */
double	 rate_evidence(const struct rate_test *, uint64_t hits,
	    uint64_t misses);

#endif
