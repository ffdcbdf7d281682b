#include <sys/types.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox_init.h"

/*
 * Backtraces.  A process can have one tracer, so ours steps back while gdb
 * looks, and the process stays stopped meanwhile.
 */

#define GDB	"/usr/bin/gdb"
#define CUT	"\n[cut here: too long]\n"

static const char *const gdb_argv[] = {
	"gdb", "-nx", "-batch",
	"-iex", "set debuginfod enabled off",
	"-iex", "set auto-load python-scripts off",
	"-iex", "set print thread-events off",
	"-iex", "set width 0",
	"-iex", "set print elements 64",
	"-iex", "set print repeats 16",
	"-iex", "set print frame-arguments scalars",
	"-ex", "thread apply all bt full 30",
	"-p", NULL, NULL
};

static const struct {
	int		 signo;
	const char	*name;
} names[] = {
	{ SIGSEGV, "SIGSEGV" }, { SIGBUS, "SIGBUS" }, { SIGILL, "SIGILL" },
	{ SIGFPE, "SIGFPE" }, { SIGABRT, "SIGABRT" }, { SIGSYS, "SIGSYS" },
	{ SIGTRAP, "SIGTRAP" },
};

struct job *
job_find(struct init *in, pid_t pid)
{
	struct job	*j;

	for (j = in->jobs; j < in->jobs + JOBS_MAX; j++)
		if (j->pid == pid)
			return j;
	return NULL;
}

static struct job *
job_new(struct init *in, pid_t pid)
{
	struct job	*j;

	if ((j = job_find(in, 0)) == NULL)
		return NULL;
	memset(j, 0, sizeof(*j));
	j->pid = pid;
	j->fd = -1;
	j->deadline = now_us() + SB_GDB_SECONDS * 1000000ULL;
	return j;
}

/* "SIGSEGV at address 0x10", or who sent it. */
static void
describe(struct buf *b, const struct proc *p, int signo)
{
	siginfo_t	 si;
	size_t		 i;

	for (i = 0; i < nitems(names); i++)
		if (names[i].signo == signo)
			buf_addstr(b, names[i].name);
	if (ptrace(PTRACE_GETSIGINFO, p->pid, NULL, &si) == 0) {
		if (si.si_code <= 0 && si.si_pid <= 1)
			buf_addstr(b, " sent from outside");
		else if (si.si_code <= 0 && si.si_pid != p->tgid)
			buf_addf(b, " sent by process %d", si.si_pid);
		else if (si.si_code > 0 && signo != SIGTRAP)
			buf_addf(b, " at address %p", si.si_addr);
	}
	buf_addstr(b, "\n");
}

static void
crash_event(struct init *in, const struct proc *p, int signo, const char *text)
{
	struct sb_event	 ev = { .what = SANDBOX_CRASH, .signo = signo };

	ev.pid = p->pid;
	ev.child = p->child;
	memcpy(ev.title, p->title, sizeof(ev.title));
	init_event(in, &ev, text);
}

/*
 * A thread p is stopped at a fatal signal.  0: it is to be released for gdb;
 * -1: there is no gdb, its crash has been told, let it die.
 */
int
job_crash(struct init *in, struct proc *leader, const struct proc *p,
    int signo)
{
	const char	*reason = NULL;
	struct buf	 b = { 0 };
	struct job	*j = NULL;

	describe(&b, p, signo);
	if (access(GDB, X_OK) == -1)
		reason = "gdb is not installed: apt-get install gdb";
	else if ((j = job_new(in, leader->tgid)) == NULL)
		reason = "too many processes crashed at the same time";
	if (reason != NULL) {
		buf_addf(&b, "no backtrace: %s\n", reason);
		leader->crashed = 1;
		crash_event(in, leader, signo, b.data);
		buf_free(&b);
		return -1;
	}
	j->signo = signo;
	j->retrace = 1;
	j->text = b;
	return 0;
}

/* On request, of a process that hangs.  It need not be one that we trace. */
void
job_request(struct init *in, const struct sb_request *rq)
{
	struct procstat	 ps;
	struct proc	*p;
	struct job	*j = NULL;
	int		 error = 0;

	if (rq->pid <= 1 || procfs_stat(rq->pid, &ps) == -1 ||
	    ps.tgid != rq->pid)
		error = ESRCH;
	else if (access(GDB, X_OK) == -1)
		error = ENOENT;
	else if (job_find(in, rq->pid) != NULL ||
	    (j = job_new(in, rq->pid)) == NULL)
		error = EBUSY;
	if (j == NULL) {
		init_reply(in, rq->id, error, rq->pid, NULL);
		return;
	}
	j->id = rq->id;
	p = proc_find(in, rq->pid);
	if (p == NULL || !p->traced) {
		j->stopped = ps.state == 'T';
		job_try(in, j);
		return;
	}
	j->retrace = 1;
	j->stopped = p->stopping || p->listening;
	if (p->listening)
		trace_interrupt(in, p->tgid);
	else {
		p->our_stop = 1;
		(void)tgkill(p->tgid, p->pid, SIGSTOP);
	}
}

static void __attribute__((noreturn))
gdb_main(pid_t pid, int out)
{
	const char	*argv[nitems(gdb_argv)];
	sigset_t	 none;
	char		 number[16];

	memcpy(argv, gdb_argv, sizeof(argv));
	snprintf(number, sizeof(number), "%d", pid);
	argv[nitems(argv) - 2] = number;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	close_range(3, ~0U, 0);
	clearenv();
	setenv("HOME", "/root", 1);
	setenv("PATH", "/usr/bin:/bin", 1);
	setenv("LANG", "C.UTF-8", 1);
	execv(GDB, (char *const *)(uintptr_t)argv);
	warn("%s", GDB);
	_exit(127);
}

static int
is_traced(struct init *in, pid_t tgid)
{
	struct proc	*p;

	TAILQ_FOREACH(p, &in->procs, entry)
		if (p->tgid == tgid && p->traced)
			return 1;
	return 0;
}

/* Start gdb once the last thread has been released. */
void
job_try(struct init *in, struct job *j)
{
	int	 fd[2];

	if (j->gdb != 0 || is_traced(in, j->pid))
		return;
	if (pipe2(fd, O_CLOEXEC) == -1)
		err(1, "pipe");
	if ((j->gdb = fork()) == -1)
		err(1, "fork");
	if (j->gdb == 0)
		gdb_main(j->pid, fd[1]);
	close(fd[1]);
	set_nonblock(fd[0]);
	j->fd = fd[0];
}

static void
gdb_read(struct job *j)
{
	char	 tmp[8192];
	size_t	 room;
	ssize_t	 n;

	if (j->fd == -1)
		return;
	while ((n = read(j->fd, tmp, sizeof(tmp))) > 0) {
		room = SB_TEXT_MAX - strlen(CUT) - 256;
		room = j->text.len < room ? room - j->text.len : 0;
		buf_add(&j->text, tmp, (size_t)n < room ? (size_t)n : room);
		if (room > 0 && (size_t)n > room)
			buf_addstr(&j->text, CUT);
	}
	if (n == 0) {
		close(j->fd);
		j->fd = -1;
	}
}

/* Leave out what gdb says before and after the threads. */
static void
tidy(struct buf *b)
{
	struct buf	 out = { 0 };
	const char	*first, *end;

	if (b->data == NULL || (first = strstr(b->data, "\nThread ")) == NULL)
		return;
	if (strncmp(b->data, "SIG", 3) == 0)
		buf_add(&out, b->data, strcspn(b->data, "\n"));
	if ((end = strstr(first, "\n[Inferior ")) == NULL)
		end = b->data + b->len;
	first += out.len == 0;
	buf_add(&out, first, (size_t)(end - first));
	buf_addstr(&out, "\n");
	buf_free(b);
	*b = out;
}

/* The process goes on to die of what it would have died of. */
static void
crash_done(struct init *in, struct job *j, struct proc *p)
{
	pid_t	 pid = j->pid;

	crash_event(in, p, j->signo, j->text.data);
	p->crashed = 1;
	if (j->ended)
		init_ended(in, p, pid, j->status, "");
	else if (trace_attach(in, pid) == 0) {
		kill(pid, j->signo);
		kill(pid, SIGCONT);
	} else if (p->child) {
		/* Untraced it may be, but waitpid tells of its end. */
		kill(pid, j->signo);
		kill(pid, SIGCONT);
	} else
		init_ended(in, p, pid, W_EXITCODE(0, j->signo), "");
}

static void
request_done(struct init *in, struct job *j, struct proc *p)
{
	init_reply(in, j->id, 0, j->pid, j->text.data);
	if (j->ended)
		init_ended(in, p, j->pid, j->status, "?");
	else {
		if (j->retrace && p != NULL && trace_attach(in, j->pid) == -1 &&
		    !p->child)
			init_ended(in, p, j->pid, W_EXITCODE(0, SIGKILL), "");
		if (!j->stopped)
			kill(j->pid, SIGCONT);
	}
}

static void
job_done(struct init *in, struct job *j)
{
	struct proc	*p = proc_find(in, j->pid);
	struct job	 done;

	gdb_read(j);
	if (j->fd != -1)
		close(j->fd);
	tidy(&j->text);
	/* From here on it is a process like any other. */
	done = *j;
	j->pid = 0;
	if (done.signo != 0)
		crash_done(in, &done, p);
	else
		request_done(in, &done, p);
	buf_free(&done.text);
}

/* The process itself died, which is to be told after its crash. */
void
job_ended(struct init *in, struct job *j, int status)
{
	j->ended = 1;
	j->status = status;
	if (j->gdb == 0) {
		buf_addstr(&j->text, "no backtrace: it was killed before\n");
		job_done(in, j);
	}
}

/* Was it a gdb of ours? */
int
job_reaped(struct init *in, pid_t pid)
{
	struct job	*j;

	for (j = in->jobs; j < in->jobs + JOBS_MAX; j++)
		if (j->pid != 0 && j->gdb == pid) {
			job_done(in, j);
			return 1;
		}
	return 0;
}

size_t
job_pollfds(struct init *in, struct pollfd *pfd)
{
	struct job	*j;
	size_t		 n = 0;

	for (j = in->jobs; j < in->jobs + JOBS_MAX; j++)
		if (j->pid != 0) {
			pfd[n].fd = j->fd;
			pfd[n++].events = POLLIN;
		}
	return n;
}

/* Read what gdbs say, and put an end to those that take too long. */
void
job_poll(struct init *in)
{
	struct job	*j;

	for (j = in->jobs; j < in->jobs + JOBS_MAX; j++) {
		if (j->pid == 0)
			continue;
		gdb_read(j);
		if (now_us() < j->deadline)
			continue;
		buf_addf(&j->text, "[gave up after %d s]\n", SB_GDB_SECONDS);
		j->deadline = UINT64_MAX;
		if (j->gdb != 0)
			kill(j->gdb, SIGKILL);
		else
			job_done(in, j);
	}
}
