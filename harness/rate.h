#ifndef SMTPDTEST_RATE_H
#define SMTPDTEST_RATE_H

#include <stdint.h>

/* Wilson's interval of a rate, 95 %; of no trials it is all there is. */
void	 rate_interval(uint64_t hits, uint64_t n, double *lo, double *hi);

#endif
