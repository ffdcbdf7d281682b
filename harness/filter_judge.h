#ifndef SMTPDTEST_FILTER_JUDGE_H
#define SMTPDTEST_FILTER_JUDGE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Judges what goes between smtpd(8) and one filter, smtpd-filters(7): the
 * daemon's lines by the invariants S1 to S48, the filter's by F1 to F34.
 * Who sees the lines (the scripted filter, "drive", "tap") hands them over in
 * the order in which they went by.
 */
struct filter_judge;

#define JUDGE_DAEMON	0x1
#define JUDGE_FILTER	0x2

/* What is known beforehand; all zero is fine but for sides. */
struct filter_facts {
	unsigned	 sides;		/* whom to judge: JUDGE_DAEMON, ... */
	const char	*daemon;	/* its version, "7.9.0p0"; NULL: as it says */
	const char	*admd;		/* S1; NULL: any */
	unsigned	 subsystems;	/* S4: 1 smtp-in, 2 smtp-out; 0: unknown */
	uint64_t	 owed;		/* us in which an answer is due; 0: ever */
	int		 identity;	/* F24: IDENTITY_ALL, ... */
	unsigned	 others;	/* in a chain: OTHERS_BEFORE, ... */
	unsigned	 entries;	/* S18: in so many chains; 0: one */
	/* S8: it filters those listeners ("127.0.0.1:25", "*:25", "unix:"), which
	   stay the caller's; NULL: not known */
	const char *const *listeners;
	size_t		 nlisteners;
	int		 child;		/* filter_judge_exit() is going to be called */
};

/* Data lines come back unchanged; header fields may come in addition. */
#define IDENTITY_ALL	1
#define IDENTITY_ADDS	2

/* Other filters may decide, and change lines, before this one or after. */
#define OTHERS_BEFORE	0x1
#define OTHERS_AFTER	0x2


/* An objection; all of it is valid during the callback only. */
struct filter_objection {
	const char	*id;		/* "S23" */
	const char	*text;		/* what it demands */
	const char	*got;		/* what was got instead, one line */
	uint64_t	 usec;		/* when: of the line */
	uint64_t	 session;	/* its REQID, or 0 */
};

typedef void (*filter_object_fn)(void *, const struct filter_objection *);

/* Strings of facts are copied.  name is the filter's, for the objections. */
struct filter_judge *filter_judge_new(const char *name,
	    const struct filter_facts *, filter_object_fn, void *arg);
void	 filter_judge_free(struct filter_judge *);

/*
 * A line without its LF.  dir is 'D', 'F', or 'E' for the filter's stderr; usec
 * counts from any start.  terminated is 0 for what came last, without LF.
 */
void	 filter_judge_line(struct filter_judge *, char dir, uint64_t usec,
	    const char *, size_t, int terminated);
/* Time went by: what is owed for too long is told, once. */
void	 filter_judge_time(struct filter_judge *, uint64_t usec);
/* dir closed its side. */
void	 filter_judge_eof(struct filter_judge *, char dir, uint64_t usec);
/*
 * If it ends badly before it says more, that breaks this rule, 30, 33 or 34,
 * instead of F29.  Else what the daemon said last decides.
 */
void	 filter_judge_cause(struct filter_judge *, int rule);
/* The filter is gone, with this wait(2) status. */
void	 filter_judge_exit(struct filter_judge *, uint64_t usec, int status);
/* Hand each well-formed line of the daemon's to fn as well. */
struct filter_line;
void	 filter_judge_watch(struct filter_judge *,
	    void (*fn)(void *, const struct filter_line *), void *arg);
/* S47: in a chain it stands right after the other; not NULL. */
void	 filter_judge_after(struct filter_judge *, struct filter_judge *other);
/* S39: of this message so many bytes lie in the queue, or arrived. */
void	 filter_judge_stored(struct filter_judge *, uint64_t usec,
	    uint32_t msgid, size_t);
/*
 * It has more of something ("descriptors", "threads", "kB") than it had before
 * so many sessions: F31 when that is more than allowed.
 */
void	 filter_judge_resource(struct filter_judge *, uint64_t usec,
	    const char *what, unsigned long base, unsigned long now,
	    unsigned long allowed);
/*
 * A fault was injected on purpose: what this session (0: all) does from here
 * on is nobody's fault and not judged.
 */
void	 filter_judge_spare(struct filter_judge *, uint64_t session);
/* The run is over; what is owed still is told.  Not in a cut-off run. */
void	 filter_judge_end(struct filter_judge *, uint64_t usec);

/* What was seen, for a summary. */
struct filter_seen {
	unsigned long	 sessions, transactions, requests, answers, reports,
			 datalines, objections;
	unsigned	 events_in, events_out, phases;	/* registered, by bit */
	int		 ready, version;	/* 7 for 0.7 */
};
const struct filter_seen *filter_judge_seen(const struct filter_judge *);

/* The invariants, for lists and tests. */
struct filter_rule {
	const char	*id, *text;
	const char	*versions;	/* of the daemon: "*", ">=7.6", "<7.9" */
};
/* The nth, or NULL after the last. */
const struct filter_rule *filter_judge_rule(size_t n);

#endif
