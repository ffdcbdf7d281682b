#ifndef SMTPDTEST_RUNNER_H
#define SMTPDTEST_RUNNER_H

#include <stdint.h>

struct scenario;
struct target;

/* What the command line says to every run of a scenario. */
struct run_opts {
	const struct target *target;	/* NULL with --connect */
	const char	*connect;	/* "127.0.0.1:2525", no sandbox; or NULL */
	uint64_t	 seed;
	const char	*choices;	/* replay this recorded choice stream; or NULL */
	const char	*certs;		/* directory of certificates, or NULL */
	const char	*filters;	/* directory of real filters, or NULL */
	const char	*catalogue;	/* scenarios/requirements.tsv */
	const char	*repeat;	/* the line that repeats this run */
	unsigned int	 perturb;	/* bits of perturb.h */
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
