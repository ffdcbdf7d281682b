#ifndef SMTPDTEST_SANDBOX_INIT_H
#define SMTPDTEST_SANDBOX_INIT_H

#include <sys/queue.h>

#include <poll.h>

#include "sandbox_priv.h"
#include "util.h"

/* What the parts of the sandbox's init share. */

#define JOBS_MAX	8
#define ZOMBIES_MAX	256
#define WAITS_MAX	16

/* A message that waits until the runner reads. */
struct out {
	STAILQ_ENTRY(out) entry;
	size_t		 len;
	char		 data[];
};
STAILQ_HEAD(outs, out);

/* A process we started, or a thread that we trace. */
struct proc {
	TAILQ_ENTRY(proc) entry;
	pid_t		 pid;
	pid_t		 tgid;
	int		 child;		/* started by a request */
	int		 watch;		/* crashes are asked for */
	int		 traced;
	int		 crashed;	/* reported; now let it die */
	int		 quiet;		/* its exec failed: no event */
	int		 stopping;	/* a SIGSTOP was passed on ... */
	int		 listening;	/* ... and has stopped it */
	int		 our_stop;	/* a SIGSTOP of ours is under way */
	char		 title[64];
};
TAILQ_HEAD(procs, proc);

/* A backtrace being made: gdb runs while init goes on. */
struct job {
	pid_t		 pid;		/* 0: the slot is free */
	int		 signo;		/* the fatal signal, or 0: on request */
	uint32_t	 id;		/* of the request */
	pid_t		 gdb;		/* 0: not all threads stopped yet */
	int		 fd;		/* gdb's output */
	struct buf	 text;
	uint64_t	 deadline;
	int		 retrace;	/* was traced, will be again */
	int		 stopped;	/* was stopped before, will be again */
	int		 ended;		/* it died meanwhile */
	int		 status;
};

/*
 * A process whose exit was reported while its parent had not seen it yet.
 * Should the parent go first it comes to us a second time.
 */
struct zombie {
	pid_t		 pid;
	uint64_t	 start;
};

/* A poll(2) that is held back until its descriptor is readable. */
struct wait {
	uint64_t	 id;		/* of the notification; 0: free */
	int		 fd;
};

struct waits {
	int		 listener;	/* of seccomp(2); <= 0: none */
	struct wait	 wait[WAITS_MAX];
};

struct init {
	int		 ctl;
	int		 ev;
	int		 sig;
	struct outs	 replies;
	struct outs	 events;
	struct procs	 procs;
	struct job	 jobs[JOBS_MAX];
	struct zombie	 zombies[ZOMBIES_MAX];
	size_t		 nzombies;
	struct waits	 waits;
	int		 untraceable;	/* errno of PTRACE_SEIZE */
};

/* sandbox_init.c */
void	 init_reply(struct init *, uint32_t id, int error, pid_t,
	    const char *text);
void	 init_event(struct init *, const struct sb_event *, const char *text);
void	 init_ended(struct init *, struct proc *, pid_t, int status,
	    const char *title);

/* sandbox_spawn.c */
void	 init_spawn(struct init *, const struct sb_request *, char *strings,
	    size_t len, const int *fds);

/* sandbox_trace.c */
struct proc *proc_find(struct init *, pid_t);
struct proc *proc_add(struct init *, pid_t);
void	 proc_remove(struct init *, struct proc *);
int	 trace_seize(struct init *, pid_t);
int	 trace_attach(struct init *, pid_t tgid);
void	 trace_interrupt(struct init *, pid_t tgid);
void	 trace_stopped(struct init *, pid_t, int status);
int	 is_fatal(int signo);

/* sandbox_gdb.c */
struct job *job_find(struct init *, pid_t);
int	 job_crash(struct init *, struct proc *leader, const struct proc *,
	    int signo);
void	 job_request(struct init *, const struct sb_request *);
void	 job_try(struct init *, struct job *);
int	 job_reaped(struct init *, pid_t);
void	 job_ended(struct init *, struct job *, int status);
size_t	 job_pollfds(struct init *, struct pollfd *);
void	 job_poll(struct init *);

/* sandbox_wait.c: in the child, the filter's listener or -1 ... */
int	 wait_filter(void);
/* ... which goes to init through a socket */
int	 wait_send(int sock, int fd);
void	 wait_receive(struct init *, int sock);
size_t	 wait_pollfds(struct init *, struct pollfd *);
void	 wait_poll(struct init *, const struct pollfd *, size_t);

/* sandbox_procfs.c: -1 when there is no such process. */
struct procstat {
	pid_t		 tgid;
	pid_t		 ppid;
	char		 state;
	uint64_t	 start;		/* with the pid it is unique */
	uint64_t	 ignored;	/* signals, bit 0 is signal 1 */
	uint64_t	 caught;
};

int	 procfs_stat(pid_t, struct procstat *);
int	 procfs_title(pid_t, char *, size_t);

#endif
