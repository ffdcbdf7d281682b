#ifndef SMTPDTEST_DAEMON_H
#define SMTPDTEST_DAEMON_H

#include <sys/types.h>
#include <stddef.h>

struct sandbox;
struct target;

/* What a process built with a sanitizer exits with after a report. */
#define DAEMON_SANITIZER_EXIT	86

/*
 * Start the target's smtpd inside, traced, in the foreground, with
 * /etc/smtpd.conf, its words to fd.  extra are more arguments, or NULL.  Its
 * pid inside, or -1 with one sentence in err.  For the process that has entered
 * the sandbox.
 */
pid_t	 daemon_start(struct sandbox *, const struct target *,
	    const char *const *extra, int fd, char *err, size_t errlen);

/* Does anybody listen on this TCP port, or, for 0, on any? */
int	 daemon_listening(int port);

#endif
