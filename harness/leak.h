#ifndef SMTPDTEST_LEAK_H
#define SMTPDTEST_LEAK_H

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

#endif
