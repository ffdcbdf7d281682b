#include <math.h>

#include "rate.h"

void
rate_interval(uint64_t hits, uint64_t n, double *lo, double *hi)
{
	const double	 z = 1.96, m = (double)n;
	double		 p, mid, half;

	*lo = 0;
	*hi = 1;
	if (n == 0)
		return;
	p = (double)hits / m;
	mid = (p + z * z / (2 * m)) / (1 + z * z / m);
	half = z * sqrt(p * (1 - p) / m + z * z / (4 * m * m)) /
	    (1 + z * z / m);
	*lo = mid - half < 0 ? 0 : mid - half;
	*hi = mid + half > 1 ? 1 : mid + half;
}

void
rate_test(struct rate_test *t, double good, double bad, double error)
{
	t->hit = log(good / bad);
	t->miss = log((1 - good) / (1 - bad));
	t->enough = log((1 - error) / error);
}

double
rate_evidence(const struct rate_test *t, uint64_t hits, uint64_t misses)
{
	return (double)hits * t->hit + (double)misses * t->miss;
}
