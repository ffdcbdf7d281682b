#ifndef SMTPDTEST_LEAK_BASELINE_H
#define SMTPDTEST_LEAK_BASELINE_H

#include "leak.h"

/*
 * What a clean daemon is known to grow by: fixtures/baselines/VERSION, or that of
 * the last version before; a line each of scenario, process, what, the most a
 * session, and why, with tabs between.  The scenario is its file's name without
 * the ".smtp", or "*"; "#" begins a comment.
 *
 * 1 when the row is within that, which sets its why; 0 when it is not.  Exits 2
 * with file, line and column on a line that is none.
 */
int	 leak_baseline(const struct leak_job *, struct leak_row *);
/* Exits so before anything is measured. */
void	 leak_baseline_check(const struct leak_job *);

#endif
