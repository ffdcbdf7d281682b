#ifndef SMTPDTEST_LEAK_H
#define SMTPDTEST_LEAK_H

#include <sys/types.h>

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "runner.h"

struct scenario;
struct target;

/*
 * What "leak" asks of an engine: play a scenario in blocks of sessions against
 * one daemon, or sessions of drive.h with one filter, and say for each process
 * what grows with the sessions.
 */
struct leak_job {
	const struct scenario *sc;	/* NULL with a filter */
	const struct target *target;	/* NULL with a filter */
	const struct target *base;	/* to compare with, or NULL */
	const char	*filter;	/* as after proc-exec, or NULL */
	const char	*catalogue;	/* scenarios/requirements.tsv */
	const char	*repeat;	/* the line that repeats this */
	uint64_t	 sessions;	/* N */
	uint64_t	 seed;
	int		 quiet;		/* no progress */
};

enum leak_verdict { LEAK_NONE, LEAK_KNOWN, LEAK_FOUND };

/* What was found in a process.  Strings belong to the result. */
struct leak_row {
	char		*process;	/* its title: "lookup", "queue", ... */
	char		*what;		/* "heap", "descriptors", "definitely lost", ... */
	double		 bytes;		/* a session, or what is counted */
	double		 blocks;	/* a session */
	double		 low, high;	/* interval of bytes; both 0: none */
	double		 smallest;	/* the least that would have been seen, or 0 */
	char		*function;	/* where, or NULL */
	char		*stack;		/* a line each, or NULL */
	char		*why;		/* of what is known, or NULL */
	enum leak_verdict verdict;
};

struct leak_result {
	struct leak_row	*row;
	size_t		 n;
	uint64_t	 sessions;	/* that were looked at */
	json_t		*more;		/* the engine's own, into --json; or NULL */
};

/* One leak_NAME.c each, listed in cmd_leak.c. */
struct leak_engine {
	const char	*name;
	const char	*summary;
	uint64_t	 sessions;	/* N, unless the user says so */
	/*
	 * Fill in the result, zeroed.  EX_PASS when it could be measured,
	 * whatever came of it; otherwise it has said why.
	 */
	int		(*run)(const struct leak_job *, struct leak_result *);
};

extern const struct leak_engine leak_valgrind, leak_growth;

/* A zeroed row more, valid until the next call; strings are copied. */
struct leak_row *leak_add(struct leak_result *, const char *process,
		    const char *what);
void	 leak_free(struct leak_result *);

/*
 * Mark what is known of this target, by process and function.  -1 when it was
 * said what is wrong with fixtures/known-leaks.
 */
int	 leak_known(const struct target *, struct leak_result *);

/*
 * Play the job's scenario on a target in these blocks, each in a process of its
 * own and all at once.  EX_PASS with the "end" events, one a run, in end; else
 * it was said why on stderr: EX_FAIL when the scenario fell short, EX_SETUP,
 * EX_SKIP.
 */
struct leak_run {
	const struct target *target;
	struct run_blocks blocks;
	const struct daemon_wrap *wrap;	/* or NULL */
	json_t		*end;		/* json_decref() */
};
int	 leak_play(const struct leak_job *, struct leak_run *, size_t n);

/*
 * Hold sessions as drive does with the job's filter, in these rounds, in a
 * process of its own where the functions are called.  Returns as leak_play().
 */
struct leak_drive {
	const char	*command;	/* the filter's, with what runs it */
	const uint64_t	*rounds;	/* sessions in each */
	unsigned int	 n;
	int		 untraced;	/* what runs it traces it */
	unsigned int	 slow;		/* times of ours are multiplied by that */
	const char	*dir;		/* set: empty, for what runs it */
	/* before it starts, may set the command; -1 when it said why not */
	int		(*start)(struct leak_drive *);
	/* round i, from 0, is over; the filter is that process */
	void		(*after)(json_t *stats, unsigned int i, pid_t,
			    struct leak_drive *);
	void		(*end)(json_t *stats, struct leak_drive *);
	void		*arg;
	json_t		*stats;		/* what they put there; json_decref() */
};
int	 leak_drive(const struct leak_job *, struct leak_drive *);

#endif
