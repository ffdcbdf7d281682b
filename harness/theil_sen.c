/*
 * A slope that a few wild points do not move, and how sure it is.  There is no
 * library for it in C: GSL has least squares with weights only.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "theil_sen.h"
#include "util.h"

static int
by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double
median(const double *sorted, size_t n)
{
	return n % 2 == 1 ? sorted[n / 2] :
	    (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* t (t - 1) (2 t + 5), summed up over groups of t that are alike. */
static double
ties(const double *sorted, size_t n)
{
	double sum = 0, t;
	size_t i, j;

	for (i = 0; i < n; i = j) {
		for (j = i + 1; j < n && sorted[j] == sorted[i]; j++)
			;
		t = (double)(j - i);
		sum += t * (t - 1) * (2 * t + 5);
	}
	return sum;
}

/* The variance of Kendall's S; of a tie in x and y only the greater counts. */
static double
variance(const double *xs, const double *ys, size_t n)
{
	double m = (double)n;

	return fmax(0, (m * (m - 1) * (2 * m + 5) - ties(xs, n) -
	    ties(ys, n)) / 18);
}

static size_t
slopes_of(const double *x, const double *y, size_t n, double *slopes)
{
	size_t i, j, k = 0;

	for (i = 0; i < n; i++)
		for (j = i + 1; j < n; j++)
			if (x[i] != x[j])
				slopes[k++] = (y[j] - y[i]) / (x[j] - x[i]);
	qsort(slopes, k, sizeof(*slopes), by_value);
	return k;
}

static double *
sorted_copy(const double *v, size_t n)
{
	double *copy = xcalloc(n, sizeof(*copy));

	memcpy(copy, v, n * sizeof(*copy));
	qsort(copy, n, sizeof(*copy), by_value);
	return copy;
}

/* Of ranks (k - c) / 2 and (k + c) / 2 + 1, counted from 1, the outer slopes. */
static void
interval(struct theil_sen *ts, const double *slopes, size_t k, double c)
{
	double low = floor(((double)k - c) / 2) - 1;
	double high = ceil(((double)k + c) / 2);

	ts->low = slopes[low < 0 ? 0 : (size_t)low];
	ts->high = slopes[high > (double)(k - 1) ? k - 1 : (size_t)high];
}

int
theil_sen(const double *x, const double *y, size_t n, double z,
    struct theil_sen *ts)
{
	double *slopes, *xs, *ys;
	size_t k;

	if (n < 2)
		return -1;
	slopes = xcalloc(n * (n - 1) / 2, sizeof(*slopes));
	if ((k = slopes_of(x, y, n, slopes)) == 0) {
		free(slopes);
		return -1;
	}
	xs = sorted_copy(x, n);
	ys = sorted_copy(y, n);
	ts->slope = median(slopes, k);
	ts->intercept = median(ys, n) - ts->slope * median(xs, n);
	interval(ts, slopes, k, z * sqrt(variance(xs, ys, n)));
	free(slopes);
	free(xs);
	free(ys);
	return 0;
}
