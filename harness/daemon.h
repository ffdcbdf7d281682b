#ifndef SMTPDTEST_DAEMON_H
#define SMTPDTEST_DAEMON_H

#include <sys/types.h>
#include <stddef.h>

struct sandbox;
struct target;

/* What a process built with a sanitizer exits with after a report. */
#define DAEMON_SANITIZER_EXIT	86

/* A program that runs the daemon, such as a debugger. */
struct daemon_wrap {
	const char	*const *argv;	/* goes before smtpd; NULL-terminated */
	const char	*const *env;	/* more NAME=VALUE, or NULL */
	int		 traces;	/* so the sandbox does not */
	unsigned int	 slow;		/* times of ours are multiplied by that */
};

/*
 * Inside: make the directories a package would have made, as the start does.
 * -1 with errno.
 */
int	 daemon_dirs(const struct target *);

/*
 * Start the target's smtpd inside, traced, in the foreground, with
 * /etc/smtpd.conf, its words to fd.  extra are more arguments, or NULL, and
 * so may wrap be.  Its pid inside, or -1 with one sentence in err.  For the process that has entered
 * the sandbox.
 */
pid_t	 daemon_start(struct sandbox *, const struct target *,
	    const char *const *extra, const struct daemon_wrap *, int fd, char *err, size_t errlen);

/* Does anybody listen on this TCP port, or, for 0, on any? */
int	 daemon_listening(int port);

#endif
