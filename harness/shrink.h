#ifndef SMTPDTEST_SHRINK_H
#define SMTPDTEST_SHRINK_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "pool.h"
#include "rate.h"
#include "shift.h"

/*
 * What the parts of shrink share: the command is cmd_shrink.c, a script on its
 * way shrink_draft.c, runs of it shrink_trials.c, what becomes of it
 * shrink_reduce.c, and a better one to begin with shrink_search.c.
 */
#define FINAL		20	/* runs to measure the rate of a script */
#define SURE		18	/* of FINAL: no surer one is looked for */
#define LINES_MAX	4000
#define WATCHDOG	60	/* s, and the scenario's own timeout */

/* A script line by line; what is left out is NULL.  All of it is its own. */
struct draft {
	char		*line[LINES_MAX];
	size_t		 n;
	struct steps_made made;		/* by a run that crashed, until then */
	uint64_t	 slowest;	/* us until a crash, at most */
	uint64_t	 hits;		/* of FINAL, the last time */
};

struct shrink {
	const char	*finding;
	uint64_t	 seconds, parallel, t0;
	int		 resume, tty;
	struct target	*target;
	struct catalogue *catalogue;
	json_t		*j;		/* finding.json */
	char		*spec;
	char		*path;		/* of the script so far */
	struct draft	 now;
	struct draft	 best;		/* of those that are done */
	int		 second;	/* the file holds that one, for now */
	uint64_t	 tried, kept, seed;
	int		 signo;
	/* how often it has to crash */
	struct rate_test alike;		/* for a candidate to be kept */
	/* the trials of one candidate */
	struct job	 job[64];
	const struct scenario *sc;
	uint64_t	 want, started, ended, hits, misses;
	const struct rate_test *test;	/* decides; NULL: all are counted */
	uint64_t	 refused[4096];	/* hashes of those that were not kept */
	size_t		 nrefused;
	json_t		*found;		/* the end of another run of the kind */
	uint64_t	 until;		/* when to look for it no longer */
	json_t		*steps;		/* lines of a run that crashed, in order */
	uint64_t	 errors;	/* runs that could not be made, in a row */
	char		*reason;
	uint64_t	 slow;		/* us until the crash, at most */
	uint64_t	 played, took;	/* runs so far, and us for all of them */
	int		 patient;	/* also with runs that last too long */
};

/* --- shrink_draft.c */

void	 draft_copy(struct draft *, const struct draft *);
void	 draft_free(struct draft *);
/* Text, which is taken apart, but not what an earlier shrink has said in it. */
void	 draft_take(struct draft *, char *);
/* Allocated. */
char	*draft_text(const struct draft *);
/* Lines of what is played: neither smtpd.conf and files nor a brace alone. */
size_t	 draft_size(const struct draft *);
/* How far in, or -1 of an empty line and of none. */
int	 draft_indent(const char *);
/* A line of the plan, or of a client. */
int	 draft_plays(const struct draft *, size_t);
/*
 * The last line of what begins here: a block up to its brace, a line that is
 * said with the answers to it, or the line alone.
 */
size_t	 draft_unit(const struct draft *, size_t);
/* This line from now on, NULL for none. */
void	 draft_put(struct draft *, size_t, char *);
/* Let stops come as late as a part of the steps leaves them; the old lines. */
void	 draft_shift(struct draft *, const struct part *, char **);
/* Without what only a script with more in it needed. */
void	 draft_tidy(struct draft *);
/* How the lines begin that shrink puts above a script, see draft_take(). */
#define HEAD_FROM	"# shrunk from a finding on "
#define HEAD_SYMPTOM	"# symptom  "
#define HEAD_RATE	"# rate     "

/* --- shrink_trials.c */

/*
 * Does it pass the test, in as many runs as that takes, or n at most?  Without
 * one they are counted only, in s->hits.
 */
int	 trials(struct shrink *, uint64_t n, const struct rate_test *);
/* The next of them, NULL if they cannot be made. */
struct job *trial_job(struct shrink *);
/* 1: it was a hit. */
int	 trial_end(struct shrink *, json_t *);
/* If they could not be made, say so, and exit. */
void	 trial_errors(const struct shrink *);
/* How long a run with a crash took, in us; of an end or a finding. */
uint64_t crash_time(const json_t *);
/* A script made of this run has not been played yet. */
void	 expect_crash(struct shrink *, const json_t *);
/* The script crashes: remember how late, and which steps came before. */
void	 take_steps(struct shrink *);
/* How often in FINAL runs? */
uint64_t measure(struct shrink *);
/* What comes of it has to crash about as often as it was measured to. */
void	 hold(struct shrink *);
/* Does the script as it is now? */
int	 good(struct shrink *);
/* What is left of the time has to do for measuring what there is. */
int	 over(const struct shrink *);
/* Into the file, unless it holds another for now. */
void	 save(const struct shrink *);
void	 tell(const struct shrink *, const char *what);

/* --- shrink_reduce.c */

/* Make stops sure, see there; how many. */
size_t	 settle_all(struct shrink *);
/* Leave out and make smaller whatever can be. */
void	 reduce(struct shrink *);

/* --- shrink_search.c */

/* The run that was found, as a script. */
void	 finding_script(struct shrink *);
/*
 * Measure it, and if it crashes more often than that, also once its stops are as
 * sure as they get.
 */
void	 steady(struct shrink *, uint64_t hits);
/*
 * Look for a run that shows the same crash, but more often than in so many of
 * FINAL, for a share of the time that is left.  1: now it is that one.
 */
int	 surer(struct shrink *, uint64_t hits, double share);

#endif
