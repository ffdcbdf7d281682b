#ifndef SMTPDTEST_RUNNER_H
#define SMTPDTEST_RUNNER_H

#include <stdint.h>

struct daemon_wrap;
struct run;
struct profile;
struct scenario;
struct target;

/*
 * A scenario played in blocks of sessions against one daemon, with a look at
 * it after each.  The functions are called in the run's process, inside the
 * sandbox; what they find goes into run->stats and so into the "end" event.
 */
struct run_blocks {
	const uint64_t	*sessions;	/* of each client, in each block */
	unsigned int	 n;
	/* the daemon is about to start; -1 after run_error() */
	int		(*start)(struct run *, void *);
	/* block i, from 0, is over and the daemon has come to rest */
	void		(*after)(struct run *, unsigned int i, void *);
	int		 waits;		/* after() itself waits for the rest */
	int		 descriptors;	/* after() looks at them, no oracle has to */
	/* the daemon has ended, or was never there */
	void		(*end)(struct run *, void *);
	void		*arg;
};

/* What the command line says to every run of a scenario. */
struct run_opts {
	const struct target *target;	/* NULL with --connect or --filter */
	const char	*connect;	/* "127.0.0.1:2525", no sandbox; or NULL */
	const char	*filter;	/* the command daemon blocks start, or NULL */
	const struct profile *profile;	/* of that server; NULL: as ours is */
	uint64_t	 seed;
	const char	*choices;	/* replay this recorded choice stream; or NULL */
	const char	*certs;		/* directory of certificates, or NULL */
	const char	*filters;	/* directory of real filters, or NULL */
	const char	*catalogue;	/* scenarios/requirements.tsv */
	const char	*repeat;	/* the line that repeats this run */
	unsigned int	 perturb;	/* bits of perturb.h */
	const struct run_blocks *blocks; /* NULL: once, as it is written */
	const struct daemon_wrap *wrap;	/* what the daemon is started with, or NULL */
	int		 steps;		/* also the line of each client's step */
	int		 told;		/* also the gist of what passes */
	int		 keep;		/* transcript and log also when it passes */
	int		 id;		/* of the scenario in this run */
};

/*
 * Run one scenario in the calling process, which was forked for it, and write
 * its events to fd.  Returns the exit code (cmd.h); the last event is "end".
 * SIGTERM ends it early, everything taken down.
 */
int	runner_main(const struct scenario *, const struct run_opts *, int fd);

#endif
