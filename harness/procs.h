#ifndef SMTPDTEST_PROCS_H
#define SMTPDTEST_PROCS_H

#include "run.h"

/* Commands that sessions started in the sandbox and wait for. */

/* The session is called again when pid has ended and fd is at its end. */
void	procs_wait(struct session *, pid_t, int fd);
/* 1 when it has; status and output (the caller's to free). */
int	procs_done(struct session *, int *status, struct buf *);
/* The session is over: end its command. */
void	procs_forget(struct session *);
/* An exit the sandbox tells of: 1 if it was one of ours. */
int	procs_exit(struct run *, pid_t, int status);

/* Run a command and wait for it, handling events meanwhile; its wait status. */
int	procs_command(struct run *, const char *const *argv, struct buf *out,
	    uint64_t us);

#endif
