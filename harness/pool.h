#ifndef SMTPDTEST_POOL_H
#define SMTPDTEST_POOL_H

#include <jansson.h>
#include <stddef.h>

#include "runner.h"

struct scenario;

/* One scenario to be run against one target. */
struct job {
	const struct scenario *sc;
	struct run_opts	 opts;
	const char	*target;	/* its name, or HOST:PORT */
	const char	*version;
};

struct pool {
	const struct job *jobs;
	size_t		 n;
	/* Instead of jobs: the next one, to live until its "end"; NULL: no more. */
	const struct job *(*next)(void *);
	unsigned int	 parallel;
	unsigned int	 watchdog;	/* seconds without a sign of life */
	/* Every event in turn; of an "end" the caller may add members. */
	void		(*event)(void *, json_t *);
	void		(*tick)(void *);	/* a few times a second */
	/*
	 * Is what a run, so many us old, will say of no use any more?  Then it
	 * is ended, and its "end" has "ended": true.  May be NULL.
	 */
	int		(*useless)(void *, uint64_t);
	void		*arg;
};

/*
 * Run all jobs, each in a process of its own.  Each that is run to its end has
 * one "start" and one "end" event, however its process ended.  Returns 0, or
 * the signal that interrupted us after everything was taken down: the caller
 * puts its things in order and raises it again.
 */
int	 pool_run(const struct pool *);

#endif
