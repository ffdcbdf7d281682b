#ifndef SMTPDTEST_RELAY_H
#define SMTPDTEST_RELAY_H

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <stddef.h>
#include <string.h>

/*
 * What smtpd starts inside the sandbox, as a filter or a table, is the relay: a
 * small program that this one carries (inside/relay.c).  It passes the
 * descriptors smtpd gave it to the run and from then on only lives, until the
 * run tells it how to end.  So the run holds the filter's end of smtpd's own
 * sockets: what is written, and in which pieces, is what smtpd reads.
 *
 *	/run/smtpdtest/relay NAME
 *	/run/smtpdtest/relay -x NAME COMMAND [ARG...]
 *
 * The second form starts a command on sockets of its own, for the run to stand
 * in between; it ends as the command has ended, once the run has let it go.
 */
#define RELAY_PATH	"/run/smtpdtest/relay"
#define RELAY_NAME	128	/* the longest NAME */

struct run;

enum relay_fd {
	RELAY_IO,		/* standard input and output, smtpd's socket */
	RELAY_ERR,		/* standard error, the same */
	RELAY_CMD_IO,		/* the other end of the command's, -1 without */
	RELAY_CMD_ERR,
	RELAY_FDS
};

/*
 * Abstract, and so private to the network namespace: no file, no permissions,
 * reached from a chroot as well.
 */
static inline socklen_t
relay_addr(struct sockaddr_un *sun)
{
	static const char name[] = "smtpdtest-relay";

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path + 1, name, sizeof(name));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    sizeof(name));
}

struct relay {
	TAILQ_ENTRY(relay) entry;
	struct run	*run;
	char		*name;
	pid_t		 pid;		/* inside */
	pid_t		 command;	/* inside; 0: none */
	int		 fd[RELAY_FDS];	/* set to -1 what is taken over */
	int		 status;	/* of the command when it has ended */
	int		 ctl;
	struct event	*ev;
	const struct relay_user *user;
};
TAILQ_HEAD(relays, relay);

struct relay_user {
	/* smtpd has started it */
	void		(*attach)(struct relay *, void *);
	/*
	 * The command has ended (relay_exit() or relay_kill() lets the relay go),
	 * or, gone being set, the relay itself; it is freed on return then.
	 */
	void		(*ended)(struct relay *, int gone, void *);
	void		*arg;
};

/*
 * Inside the sandbox: put the program at RELAY_PATH below this directory, "" or
 * one that smtpd will chroot(2) to.  -1 with errno.
 */
int	 relay_install(const char *root);
/*
 * Hear relays, also those that nobody expects: that is then an error of the
 * script, whenever smtpd starts them.  Call inside the sandbox.  -1 after
 * run_error().
 */
int	 relay_open(struct run *);
/*
 * Relays of that name belong to this user, which stays the caller's.  Call
 * inside the sandbox and before the daemon starts.  -1 after run_error().
 */
int	 relay_expect(struct run *, const char *name, const struct relay_user *);
/* Have the relay exit, or end by a signal. */
void	 relay_exit(struct relay *, int status);
void	 relay_kill(struct relay *, int signo);
/* Is this process, by its pid inside, a relay, or was it one? */
int	 relay_is(const struct run *, pid_t);
void	 relay_close(struct run *);

#endif
