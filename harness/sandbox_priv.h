#ifndef SMTPDTEST_SANDBOX_PRIV_H
#define SMTPDTEST_SANDBOX_PRIV_H

#include <stdint.h>

#include "sandbox.h"

/*
 * What the sandbox_*.c files share.  Two SOCK_SEQPACKET pairs join the runner
 * and init: requests with their replies on one, events on the other, so that
 * waiting for a reply never swallows the readability of an event.
 */

#define SB_TEXT_MAX	(64 * 1024)	/* of a backtrace */
#define SB_REQUEST_MAX	(128 * 1024)	/* of a command line and environment */
#define SB_GDB_SECONDS	20

enum sb_op {
	SB_SPAWN,
	SB_KILL,
	SB_BACKTRACE
};

/* Followed by argc + envc strings, each with its NUL. */
struct sb_request {
	uint32_t	 id;
	enum sb_op	 op;
	pid_t		 pid;
	int		 signo;
	unsigned int	 uid;
	int		 trace;
	int		 patient;
	int		 tty;
	int		 fd[3];		/* index into those sent along, or -1 */
	int		 argc;
	int		 envc;
};

/* Followed by text. */
struct sb_reply {
	uint32_t	 id;
	int		 error;		/* errno, or 0 */
	pid_t		 pid;
};

/* Followed by text. */
struct sb_event {
	enum sandbox_what what;
	pid_t		 pid;
	int		 status;
	int		 signo;
	int		 child;
	char		 title[64];
};

/* Why something failed: one sentence for the user, and -1 to return. */
struct why {
	char		*text;
	size_t		 len;
};

int	 sb_fail(const struct why *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));

/* sandbox_root.c: build the new root, now the current directory ... */
int	 root_build(const struct sandbox_spec *, const struct why *);
/* ... and, as pid 1, mount its /proc and move there. */
int	 root_proc(const struct why *);
int	 root_pivot(const struct why *);
/* Instead of all that: the host's files, and a /proc of what is inside. */
int	 root_bare(const struct why *);

/* sandbox_userns.c */
int	 userns_enter(int nsflags, const struct why *);
/* The same with the caller's own ids alone, which needs no helpers. */
int	 userns_enter_self(int nsflags, const struct why *);

/* sandbox_init.c: pid 1.  Never returns. */
void	 init_main(int ctl, int ev) __attribute__((noreturn));

#endif
