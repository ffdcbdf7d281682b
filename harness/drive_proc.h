#ifndef SMTPDTEST_DRIVE_PROC_H
#define SMTPDTEST_DRIVE_PROC_H

#include <sys/types.h>

#include <event2/event.h>

#include "choice.h"

struct sandbox;
struct sandbox_event;

/*
 * A filter as a process, started as smtpd(8) does: "sh -c 'exec COMMAND'", one
 * socket pair as its descriptors 0 and 1, a second as 2.
 */
struct drive_proc;

struct drive_proc_calls {
	/* dir is 'F', or 'E' for stderr; no LF; terminated 0: the last bytes */
	void	(*line)(void *, char dir, const char *, size_t, int terminated);
	void	(*eof)(void *, char dir);
	void	(*exited)(void *, int status);	/* of wait(2) */
	void	(*crashed)(void *, int signo, const char *backtrace);
	void	(*drained)(void *);		/* all that was written is gone */
};

/*
 * In the sandbox, or as a child of ours where sb is NULL.  It keeps the
 * environment and the current directory, and is watched for crashes unless
 * untraced.  NULL with one sentence in err.
 */
struct drive_proc *drive_proc_start(struct event_base *, struct sandbox *sb,
	    const char *command, int untraced,
	    const struct drive_proc_calls *, void *arg,
	    char *err, size_t errlen);
/* Ends it and, outside of a sandbox, its process group. */
void	 drive_proc_free(struct drive_proc *);

void	 drive_proc_write(struct drive_proc *, const void *, size_t);
size_t	 drive_proc_queued(const struct drive_proc *);	/* bytes not gone yet */
/* Write so many bytes at a time, with a pause between; lo 0: as it comes. */
void	 drive_proc_pieces(struct drive_proc *, struct stream *, struct range);
/* Read no more of what it says, or again. */
void	 drive_proc_deaf(struct drive_proc *, int);
/* What it has said and not ended with a LF; NULL: nothing. */
const char *drive_proc_partial(struct drive_proc *, size_t *len);
/* Its stdin ends. */
void	 drive_proc_eof(struct drive_proc *);
void	 drive_proc_kill(struct drive_proc *, int signo);
pid_t	 drive_proc_pid(const struct drive_proc *);	/* 0: it has ended */
/* For the caller to free. */
char	*drive_proc_backtrace(struct drive_proc *);

/* An event of the sandbox: 1 if it was this process's. */
int	 drive_proc_event(struct drive_proc *, const struct sandbox_event *);

#endif
