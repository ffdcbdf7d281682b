#ifndef SMTPDTEST_SANITIZER_H
#define SMTPDTEST_SANITIZER_H

#include <sys/types.h>

struct run;

/*
 * Reports of AddressSanitizer and UBSan.  A process writes one to the daemon's
 * log, line by line, and aborts.
 */

/* A line of the log: 1 if it is part of a report. */
int	 sanitizer_line(struct run *, const char *);

/*
 * The report of a process, with functions and lines in its backtraces, for the
 * caller to free; or NULL.  For pid 0 any that nobody has asked for.
 */
char	*sanitizer_take(struct run *, pid_t);

/* Is there one that nobody has asked for?  Its process is about to be told. */
int	 sanitizer_waits(const struct run *);

void	 sanitizer_free(struct run *);

#endif
