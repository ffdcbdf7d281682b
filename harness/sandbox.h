#ifndef SMTPDTEST_SANDBOX_H
#define SMTPDTEST_SANDBOX_H

#include <sys/types.h>
#include <stddef.h>

/*
 * A private world for one scenario: Linux namespaces (mount, net, pid, ipc,
 * uts, and user where we are not root).  All of it dies with the process that
 * called sandbox_enter(), however that process dies.
 */
struct sandbox;
struct sockaddr_storage;

struct sandbox_user {
	const char	*name;
	unsigned int	 uid;		/* gid is the same; home is /home/NAME */
	const char	*home;		/* NULL: /home/NAME */
	const char	*password;	/* crypt(3) hash for /etc/shadow, or NULL */
};

/* A file or directory of the host to be seen inside, read-only unless rw. */
struct sandbox_bind {
	const char	*host;		/* absolute */
	const char	*inside;
	int		 rw;
};

struct sandbox_spec {
	const char	*const *lower;	/* roots whose usr/ is laid over the host's /usr,
					 * first wins, NULL-terminated; absolute */
	const char	*certs;		/* directory of certificates, becomes /etc/smtpd/certs; or NULL */
	const struct sandbox_user *users;
	size_t		 nusers;
	const char	*spool;		/* a directory on disk for /var/spool/smtpd, or NULL: tmpfs */
	const char	*chroot;	/* the daemon's empty directory, created root:root 0755 */
	const char	*hostname;	/* of the uts namespace, e.g. mx.example.org */
	const struct sandbox_bind *binds;
	size_t		 nbinds;
	const char	*setid;		/* words PATH:OWNER:GROUP:MODE, files below /usr that
					 * get these inside, as "setid" of a target; or NULL */
	int		 userns;	/* in a user namespace even for root */
	int		 bare;		/* the host's files as they are, in the current
					 * directory; only processes and, unless
					 * hostnet, the network are apart */
	int		 hostnet;
};

enum sandbox_what {
	SANDBOX_EXIT,		/* a child of ours, or an orphan, has ended */
	SANDBOX_CRASH,		/* a traced process took a fatal signal */
	SANDBOX_GONE		/* the sandbox itself died: an error of ours */
};

struct sandbox_event {
	enum sandbox_what what;
	pid_t	 pid;		/* as seen inside */
	int	 status;	/* EXIT: wait status */
	int	 signo;		/* CRASH */
	int	 child;		/* EXIT: it was started by sandbox_spawn() */
	char	 title[64];	/* process title, e.g. "smtpd: lookup" */
	char	*backtrace;	/* CRASH: gdb's words, or why there are none; event owns it */
};

struct sandbox_cmd {
	const char	*const *argv;	/* argv[0] is a path inside, or looked up in PATH */
	int	 fd[3];		/* stdin, stdout, stderr; -1 is /dev/null */
	unsigned int uid;	/* also the gid */
	int	 trace;		/* watch it and its descendants for fatal signals */
	int	 patient;	/* its wait for children that start, poll(2) for
				 * 10 s, takes as long as it takes, where
				 * the kernel can do that */
	int	 tty;		/* own session, fd[0] becomes the controlling terminal */
	const char	*const *env;	/* NAME=VALUE on top of the usual few, or NULL */
};

/*
 * Can a sandbox be had here?  0, or -1 with one sentence in err saying what is
 * missing and what to do.
 */
int	 sandbox_probe(char *err, size_t errlen);
/* The same for one of that kind. */
int	 sandbox_try(const struct sandbox_spec *, char *err, size_t errlen);

/*
 * Move the calling (single-threaded, forked for the purpose) process into a new
 * sandbox.  On return its root is the sandbox's; the pid namespace's init is a
 * child that ends when the caller ends.  NULL with one sentence in err.
 */
struct sandbox *sandbox_enter(const struct sandbox_spec *, char *err, size_t errlen);

/* Start a command inside; its pid there, or -1 with errno.  The fds are dup'ed. */
pid_t	 sandbox_spawn(struct sandbox *, const struct sandbox_cmd *);

/* Readable when an event waits. */
int	 sandbox_fd(const struct sandbox *);

/* 1 and fills in the event; 0 when none waits.  Never blocks. */
int	 sandbox_event(struct sandbox *, struct sandbox_event *);
void	 sandbox_event_free(struct sandbox_event *);

/* Signal a process inside, by its pid there. */
int	 sandbox_kill(struct sandbox *, pid_t, int);

/*
 * Backtraces of a process (gdb, all threads) as text for the caller to free,
 * e.g. of a daemon that hangs.  Blocks for up to 20 s.
 */
char	*sandbox_backtrace(struct sandbox *, pid_t);

/* TCP ports that somebody listens on inside, each once: their number, <= max. */
int	 sandbox_ports(int *ports, int max);
/* Does anybody listen at this address and port, or at its port of any address? */
int	 sandbox_listens(const struct sockaddr_storage *);
/* Connections to a port that wait to be accepted, or -1: nobody listens. */
int	 sandbox_backlog(int port);
/* So many of them the listener lets wait, or -1. */
int	 sandbox_backlog_max(int port);
/* Connections to that remote port that only the remote side has closed. */
int	 sandbox_close_wait(int port);

/*
 * The users of every sandbox: alice bob carol dave eve frank vmail, whose
 * password is NAME-secret, and the daemon's own opensmtpd and opensmtpq.
 */
const struct sandbox_user *sandbox_users(size_t *);

/* Inside: where to write what is to be a file below /usr, to be freed. */
char	*sandbox_usr_file(const char *path);

/* Ends every process inside and waits for that. */
void	 sandbox_close(struct sandbox *);

#endif
