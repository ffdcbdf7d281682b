#ifndef SMTPDTEST_OUTSIDE_H
#define SMTPDTEST_OUTSIDE_H

#include <sys/types.h>

#include "util.h"

/*
 * A daemon that is somebody else's, of which we see what everybody on this host
 * does: does it answer, and is its process still there?
 */
struct outside {
	const char	*address;	/* of the caller, "127.0.0.1:25" */
	pid_t		 pid;		/* who listens there, 0: may not be known */
	uint64_t	 started;	/* when, to tell it from another of its number */
};

/* Who listens there?  0, or -1 if nobody accepts a connection. */
int	 outside_find(struct outside *, const char *address);

/*
 * Does it still greet and take leave, and is it the same process?  1 if so; else
 * 0, and what is to be seen is appended, "connection refused, process 17 gone".
 * Waits up to 10 s for an answer.
 */
int	 outside_lives(const struct outside *, struct buf *);

#endif
