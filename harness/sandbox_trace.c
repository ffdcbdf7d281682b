#include <sys/types.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox_init.h"

/*
 * Init traces the daemon and all that it forks.  It passes everything on as if
 * it were not there, but for two things: the first fatal signal, and the last
 * look at a process's title before that is gone.
 */

#define OPTIONS	(PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | \
		    PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | \
		    PTRACE_O_TRACEEXIT)

int
is_fatal(int signo)
{
	static const int	 fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE,
				     SIGABRT, SIGSYS, SIGTRAP };
	size_t			 i;

	for (i = 0; i < nitems(fatal); i++)
		if (fatal[i] == signo)
			return 1;
	return 0;
}

struct proc *
proc_find(struct init *in, pid_t pid)
{
	struct proc	*p;

	TAILQ_FOREACH(p, &in->procs, entry)
		if (p->pid == pid)
			return p;
	return NULL;
}

/* New ones go first: those that come and go are found soonest. */
struct proc *
proc_add(struct init *in, pid_t pid)
{
	struct procstat	 ps;
	struct proc	*p;

	p = xcalloc(1, sizeof(*p));
	p->pid = p->tgid = pid;
	if (procfs_stat(pid, &ps) == 0)
		p->tgid = ps.tgid;
	procfs_title(pid, p->title, sizeof(p->title));
	TAILQ_INSERT_HEAD(&in->procs, p, entry);
	return p;
}

void
proc_remove(struct init *in, struct proc *p)
{
	TAILQ_REMOVE(&in->procs, p, entry);
	free(p);
}

int
trace_seize(struct init *in, pid_t pid)
{
	if (ptrace(PTRACE_SEIZE, pid, NULL, OPTIONS) == 0)
		return 0;
	in->untraceable = errno;
	return -1;
}

/* Trace all threads of a process (again). */
int
trace_attach(struct init *in, pid_t tgid)
{
	char		 path[64];
	struct dirent	*de;
	struct proc	*p;
	DIR		*d;
	pid_t		 tid;
	int		 rv = -1;

	snprintf(path, sizeof(path), "/proc/%d/task", tgid);
	if ((d = opendir(path)) == NULL)
		return -1;
	while ((de = readdir(d)) != NULL) {
		if (!isdigit((unsigned char)de->d_name[0]))
			continue;
		tid = (pid_t)atoi(de->d_name);
		if (ptrace(PTRACE_SEIZE, tid, NULL, OPTIONS) == -1)
			continue;
		if ((p = proc_find(in, tid)) == NULL)
			p = proc_add(in, tid);
		p->traced = p->watch = 1;
		if (tid == tgid)
			rv = 0;
	}
	closedir(d);
	return rv;
}

static void
resume(const struct proc *p, int signo)
{
	/* ESRCH: killed meanwhile, its end will be seen. */
	(void)ptrace(PTRACE_CONT, p->pid, NULL, (long)signo);
}

/* Would the signal end the process, or has it a handler? */
static int
is_deadly(const struct proc *p, int signo)
{
	struct procstat	 ps;
	uint64_t	 bit = 1ULL << (signo - 1);

	if (!is_fatal(signo) || procfs_stat(p->pid, &ps) == -1)
		return 0;
	return ((ps.ignored | ps.caught) & bit) == 0;
}

/* Have the threads that are stopped anyway come to event_stop() once more. */
void
trace_interrupt(struct init *in, pid_t tgid)
{
	struct proc	*p;

	TAILQ_FOREACH(p, &in->procs, entry)
		if (p->tgid == tgid && p->traced && p->listening)
			(void)ptrace(PTRACE_INTERRUPT, p->pid, NULL, NULL);
}

/* Stop tracing a thread and leave it stopped. */
static void
release(struct init *in, struct proc *p, struct job *j, int signo)
{
	/* When it just left its stop there will be another. */
	if (ptrace(PTRACE_DETACH, p->pid, NULL, (long)signo) == -1)
		return;
	p->traced = p->listening = p->our_stop = 0;
	trace_interrupt(in, p->tgid);
	if (p->pid != p->tgid)
		proc_remove(in, p);
	job_try(in, j);
}

/* Signal-delivery-stop: pass it on, or take it for ourselves. */
static void
signal_stop(struct init *in, struct proc *p, int signo)
{
	struct proc	*leader = proc_find(in, p->tgid);
	struct job	*j = job_find(in, p->tgid);

	if (leader == NULL)
		leader = proc_add(in, p->tgid);
	if (signo == SIGSTOP && p->our_stop) {
		p->our_stop = 0;
		if (j == NULL)
			resume(p, 0);		/* came too late */
		else
			release(in, p, j, SIGSTOP);
	} else if (leader->crashed || !is_deadly(p, signo)) {
		if (signo == SIGSTOP)
			leader->stopping = 1;
		resume(p, signo);
	} else if (j != NULL) {
		release(in, p, j, SIGSTOP);	/* a second thread crashes */
	} else {
		procfs_title(p->pid, leader->title, sizeof(leader->title));
		if (job_crash(in, leader, p, signo) == -1)
			resume(p, signo);
		else
			release(in, p, job_find(in, p->tgid), SIGSTOP);
	}
}

/*
 * PTRACE_EVENT_STOP: a new child's first stop, the end of a group stop, or a
 * group stop itself, in which the process stays until its SIGCONT.
 */
static void
event_stop(struct init *in, struct proc *p, int signo)
{
	struct job	*j = job_find(in, p->tgid);
	int		 group;

	group = signo == SIGSTOP || signo == SIGTSTP || signo == SIGTTIN ||
	    signo == SIGTTOU;
	p->listening = group;
	if (!group)
		p->stopping = 0;
	if (group && j != NULL && j->gdb == 0)
		release(in, p, j, 0);
	else if (group)
		(void)ptrace(PTRACE_LISTEN, p->pid, NULL, NULL);
	else
		resume(p, 0);
}

/* Of a process with threads only the one that called exec is left, renamed. */
static void
exec_stop(struct init *in, struct proc *p)
{
	unsigned long	 former = 0;
	struct proc	*q;

	(void)ptrace(PTRACE_GETEVENTMSG, p->pid, NULL, &former);
	if ((pid_t)former != p->pid &&
	    (q = proc_find(in, (pid_t)former)) != NULL)
		proc_remove(in, q);
	procfs_title(p->pid, p->title, sizeof(p->title));
	resume(p, 0);
}

void
trace_stopped(struct init *in, pid_t pid, int status)
{
	struct proc	*p;

	/* A child's first stop may come before its parent's fork event. */
	if ((p = proc_find(in, pid)) == NULL)
		p = proc_add(in, pid);
	p->traced = p->watch = 1;
	switch (status >> 16) {
	case 0:
		signal_stop(in, p, WSTOPSIG(status));
		break;
	case PTRACE_EVENT_STOP:
		event_stop(in, p, WSTOPSIG(status));
		break;
	case PTRACE_EVENT_EXEC:
		exec_stop(in, p);
		break;
	case PTRACE_EVENT_EXIT:
		if (p->pid == p->tgid)
			procfs_title(pid, p->title, sizeof(p->title));
		/* FALLTHROUGH */
	default:
		resume(p, 0);
	}
}
