#ifndef SMTPDTEST_TAP_H
#define SMTPDTEST_TAP_H

#include <event2/event.h>
#include <stdint.h>

struct filter_judge;
struct filter_log;
struct tap;
struct tap_faults;

/* A filter's ends; -1 for a stderr that is not ours. */
struct tap_ends {
	int		 daemon_io, daemon_err;	/* what smtpd gave the filter */
	int		 daemon_out;		/* -1: daemon_io goes both ways */
	int		 filter_io, filter_err;	/* where the filter is */
};

/* Who stands between; all but base may be NULL and stay the caller's. */
struct tap_spec {
	struct event_base *base;
	struct filter_judge *judge;
	struct filter_log *log;
	struct tap_faults *faults;
	uint64_t	 t0;			/* now_us() of the log's 0 */
	/* a line went by: 'D', 'F', 'E', or '-', a fault; NUL-terminated */
	void		(*line)(void *, char dir, const char *, size_t);
	/* send the filter this signal (a fault) */
	void		(*kill)(void *, int signo);
	/* smtpd has closed its side */
	void		(*eof)(void *);
	/* neither side has anything to say any more, and all is passed on */
	void		(*over)(void *);
	void		*arg;
};

/*
 * Between the two from now on: whole lines are passed on as they come, and what
 * one closes is closed for the other.  Takes the descriptors; SIGPIPE must be
 * ignored.
 */
struct tap	*tap_new(const struct tap_spec *, const struct tap_ends *);
void		 tap_free(struct tap *);
/* The filter has ended, with this wait(2) status. */
void		 tap_ended(struct tap *, int status);

/* Has the filter closed its side? */
int		 tap_closed(const struct tap *);
/* What no line tells: that it has, and what it has not ended with a LF. */
struct filter_start;
void		 tap_look(const struct tap *, struct filter_start *);

/*
 * Faults on request.  "KIND[,KEY=VALUE]..." is one, KIND being delay, drop,
 * duplicate, reorder, truncate or kill; -1 with a sentence in err.
 */
struct stream;
struct tap_faults *tap_faults_new(struct stream *);
int		 tap_faults_add(struct tap_faults *, const char *, char *err,
		    size_t errlen);
void		 tap_faults_free(struct tap_faults *);

enum fault_kind {
	FAULT_DELAY, FAULT_DROP, FAULT_DUPLICATE, FAULT_REORDER,
	FAULT_TRUNCATE, FAULT_KILL
};

struct tap_fault {
	enum fault_kind	 kind;
	char		 dir;		/* 'D', 'F'; 0: both */
	char		*match;		/* a regex, or NULL */
	uint64_t	 nth, every, percent, times;
	uint64_t	 delay;		/* us */
	uint64_t	 bytes;
	uint64_t	 signal;
	uint64_t	 seen, done;
	struct tap_fault *next;
};
/* What is to happen to this line, or NULL. */
const struct tap_fault *tap_fault_for(struct tap_faults *, char dir,
		    const char *, size_t);
const char	*tap_fault_name(const struct tap_fault *);

#endif
