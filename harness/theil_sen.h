#ifndef SMTPDTEST_THEIL_SEN_H
#define SMTPDTEST_THEIL_SEN_H

#include <stddef.h>

struct theil_sen {
	double	 slope;
	double	 low, high;	/* its confidence interval */
	double	 intercept;	/* median(y) - slope * median(x) */
};

/*
 * The median of the slopes between all pairs of points (Theil, 1950), and its
 * distribution-free confidence interval (Sen, J. Am. Stat. Assoc. 63, 1968),
 * which takes ties into account.  z is the two-sided quantile of the normal
 * distribution, 1.96 for 95 %.  Both bounds are slopes of pairs, the outer ones
 * where the rank is no whole number.  What is added to the slope of all points
 * is added to all three: neither is more than that approximate.
 *
 * 0, or -1 when no two points differ in x.  Takes n^2 / 2 doubles of memory.
 */
int	theil_sen(const double *x, const double *y, size_t n, double z,
	    struct theil_sen *);

#endif
