#ifndef SMTPDTEST_DRIVE_H
#define SMTPDTEST_DRIVE_H

#include <sys/types.h>

#include "choice.h"
#include "filter_line.h"

/*
 * The engine of "drive": we are smtpd(8) and hold sessions drawn from the
 * choice stream with a real filter, which filter_judge.h judges meanwhile.
 * One call is one process of the filter from its start to its end.
 */
struct sandbox;
struct drive_hostile;

struct drive_conf {
	const char	*command;	/* as after proc-exec */
	int		 version;	/* of the protocol, 7 for 0.7 */
	struct sandbox	*sb;		/* NULL: a child of ours */
	struct choices	*choices;
	const char	*name;		/* of this pass, for its streams */
	unsigned long	 sessions;
	unsigned long	 parallel;	/* so many at once */
	uint64_t	 owed;		/* us in which an answer is due */
	int		 identity;	/* data lines must come back unchanged */
	int		 usage;		/* look at memory and descriptors */
	const struct drive_hostile *hostile;	/* or NULL */
	int		 untraced;	/* its command traces it */
	/*
	 * Instead of sessions: so many in each round, after which after() may
	 * look at the filter, which rests.
	 */
	const uint64_t	*rounds;
	unsigned int	 nrounds;
	void		(*after)(void *, unsigned int round, pid_t);
	const char	*log;		/* a tap log to write, or NULL */
	const char	*replay;	/* a tap log instead of sessions, or NULL */
	/* a sign of life; may be NULL.  Returns 1 to give up */
	int		(*progress)(void *, unsigned long done,
			    unsigned long total);
	void		*arg;
};

#define DRIVE_EXAMPLES	3
#define DRIVE_CONTEXT	12		/* lines of an example */

struct drive_example {
	char		*got;
	char		*lines;		/* the last ones of that session */
};

/* An invariant that was broken. */
struct drive_broken {
	char		*id, *text;
	unsigned long	 n;
	struct drive_example example[DRIVE_EXAMPLES];
};

enum drive_decision {
	DRIVE_PROCEED, DRIVE_JUNK, DRIVE_REWRITE, DRIVE_REJECT,
	DRIVE_DISCONNECT, DRIVE_REPORT, DRIVE_NONE, DRIVE_DECISIONS
};
extern const char *const drive_decisions[DRIVE_DECISIONS];

/* What a process holds, from /proc. */
struct drive_usage {
	unsigned long	 rss;		/* kB, not shared with a file */
	unsigned long	 fds, threads;
	unsigned long	 procs;		/* it and those it has started */
	uint64_t	 cpu;		/* us, user and system */
};

#define DRIVE_ROUNDS	10
#define DRIVE_LOOKS	(4 * DRIVE_ROUNDS)	/* as long as something grows */

struct drive_result {
	char		*error;		/* it could not be started; or NULL */
	int		 ready;
	uint64_t	 ready_us;	/* from its start */
	unsigned char	 events[2][EV_COUNT];	/* registered: smtp-in, -out */
	unsigned char	 phases[PH_COUNT];
	unsigned long	 asked[PH_COUNT];
	unsigned long	 answered[PH_COUNT][DRIVE_DECISIONS];
	unsigned long	 lines_in, lines_out;	/* data lines to and from it */
	unsigned long	 reports;
	unsigned long	 sessions, transactions, committed;
	unsigned long	 hung;		/* sessions given up */
	int		 died;		/* by itself, while it was asked */
	uint64_t	 usec;		/* from ready to the last answer */
	struct drive_broken *broken;
	size_t		 nbroken;
	char		*said;		/* the end of its stderr */
	char		*crash;		/* "SIGSEGV ..." and the backtrace */
	char		*hang;		/* backtrace of what did not answer */
	struct drive_usage usage[DRIVE_LOOKS];
	size_t		 nusage;
	int		 status;	/* wait status; -1: we ended it */
	int		 gaveup;	/* progress() said so */
};

/* Every field of the result is owned by the caller: drive_free(). */
void	 drive_run(const struct drive_conf *, struct drive_result *);
void	 drive_free(struct drive_result *);

/* Ways to be nasty; name NULL ends the table. */
struct drive_hostile {
	const char	*name;
	const char	*text;
	unsigned	 flags;
	unsigned long	 sessions, parallel;	/* instead of those of the conf */
	int		 extra;		/* smtpd would never: only on request */
	int		 rule;		/* 30: to die of it breaks F30 */
	int		 since;		/* protocol, 7 for 0.7; 0: any */
};
extern const struct drive_hostile drive_hostiles[];

/* 0, or -1 when there is no such process any more. */
int	 drive_usage(pid_t, struct drive_usage *);
/* Does who traces it hold it, for a backtrace of its crash? */
int	 drive_stopped(pid_t);
/* Does its memory, in every one of the last looks? */
int	 drive_heap_grows(const struct drive_usage *, size_t n);
/* What grows round by round, in words for the caller to free, or NULL. */
char	*drive_growth(const struct drive_usage *, size_t n,
	    unsigned long sessions);

#endif
