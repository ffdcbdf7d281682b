#include <sys/types.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
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
 * Pid 1 of a sandbox.  It must never wait for the runner, which may be waiting
 * for it: what the runner does not take at once is queued.
 */

#define REAP_MAX	64		/* then look at the requests again */

static void
enqueue(struct outs *q, const void *head, size_t headlen, const char *text)
{
	size_t		 len = text != NULL ? strnlen(text, SB_TEXT_MAX) : 0;
	struct out	*o;

	o = xcalloc(1, sizeof(*o) + headlen + len);
	o->len = headlen + len;
	memcpy(o->data, head, headlen);
	if (len > 0)
		memcpy(o->data + headlen, text, len);
	STAILQ_INSERT_TAIL(q, o, entry);
}

static void
flush(struct outs *q, int fd)
{
	struct out	*o;

	while ((o = STAILQ_FIRST(q)) != NULL) {
		if (send(fd, o->data, o->len, MSG_DONTWAIT | MSG_NOSIGNAL) ==
		    -1) {
			if (errno == EAGAIN || errno == EINTR)
				return;
			_exit(1);
		}
		STAILQ_REMOVE_HEAD(q, entry);
		free(o);
	}
}

void
init_reply(struct init *in, uint32_t id, int error, pid_t pid,
    const char *text)
{
	struct sb_reply	 r = { .id = id, .error = error, .pid = pid };

	enqueue(&in->replies, &r, sizeof(r), text);
}

void
init_event(struct init *in, const struct sb_event *ev, const char *text)
{
	enqueue(&in->events, ev, sizeof(*ev), text);
}

/* Killed outright, by seccomp or before anybody could trace it. */
static void
crash_unseen(struct init *in, const struct proc *p, const struct sb_event *exit)
{
	struct sb_event	 ev = *exit;
	char		 text[160];

	ev.what = SANDBOX_CRASH;
	ev.signo = WTERMSIG(exit->status);
	if (p->traced)
		snprintf(text, sizeof(text), "no backtrace: the kernel killed "
		    "it without asking the tracer");
	else
		snprintf(text, sizeof(text), "no backtrace: the process could "
		    "not be traced (%s); in a container, start it with "
		    "--cap-add SYS_PTRACE", strerror(in->untraceable));
	init_event(in, &ev, text);
}

/* Report the end of a process, once; p may be NULL and is gone afterwards. */
void
init_ended(struct init *in, struct proc *p, pid_t pid, int status,
    const char *title)
{
	static const struct proc stranger = { .pid = 0 };
	const struct proc	*q = p != NULL ? p : &stranger;
	struct sb_event		 ev = { .what = SANDBOX_EXIT, .pid = pid,
				     .status = status, .child = q->child };

	snprintf(ev.title, sizeof(ev.title), "%s",
	    q->title[0] != '\0' ? q->title : title);
	if (!q->quiet) {
		if (WIFSIGNALED(status) && is_fatal(WTERMSIG(status)) &&
		    !q->crashed && (q->watch || (p == NULL && in->untraceable)))
			crash_unseen(in, q, &ev);
		init_event(in, &ev, NULL);
	}
	if (p != NULL)
		proc_remove(in, p);
}

/* Was this one reported before, when it still had a parent? */
static int
zombie_seen(struct init *in, pid_t pid, const struct procstat *ps)
{
	struct zombie	*z;

	for (z = in->zombies; z < in->zombies + ZOMBIES_MAX; z++)
		if (z->pid == pid && z->start == ps->start) {
			z->pid = 0;
			return 1;
		}
	return 0;
}

static void
zombie_remember(struct init *in, pid_t pid, const struct procstat *ps)
{
	struct zombie	*z = &in->zombies[in->nzombies++ % ZOMBIES_MAX];

	z->pid = pid;
	z->start = ps->start;
}

/* A zombie: ours to reap, or traced and then its parent's. */
static void
ended(struct init *in, pid_t pid)
{
	struct procstat	 ps;
	struct proc	*p;
	struct job	*j;
	char		 title[64] = "?";
	int		 status;

	procfs_stat(pid, &ps);
	procfs_title(pid, title, sizeof(title));
	if (waitpid(pid, &status, __WALL | WNOHANG) != pid)
		return;
	if (job_reaped(in, pid))
		return;
	p = proc_find(in, pid);
	if (p != NULL && p->tgid != pid) {
		proc_remove(in, p);		/* a thread: no news */
		return;
	}
	if (p == NULL && zombie_seen(in, pid, &ps))
		return;
	if (p != NULL && p->traced && ps.ppid != 1)
		zombie_remember(in, pid, &ps);
	if ((j = job_find(in, pid)) != NULL) {
		job_ended(in, j, status);
		return;
	}
	init_ended(in, p, pid, status, title);
}

/* Returns 1 when there may be more. */
static int
reap(struct init *in)
{
	siginfo_t	 si;
	int		 i, status;

	for (i = 0; i < REAP_MAX; i++) {
		memset(&si, 0, sizeof(si));
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT |
		    __WALL) == -1 || si.si_pid == 0)
			return 0;
		if (si.si_code == CLD_EXITED || si.si_code == CLD_KILLED ||
		    si.si_code == CLD_DUMPED)
			ended(in, si.si_pid);
		else if (waitpid(si.si_pid, &status, __WALL | WNOHANG) ==
		    si.si_pid)
			trace_stopped(in, si.si_pid, status);
	}
	return 1;
}

/* Signalling pid 0 or 1 would mean ourselves. */
static void
do_kill(struct init *in, const struct sb_request *rq)
{
	int	 error = 0;

	if (rq->pid == 0 || rq->pid == 1)
		error = EPERM;
	else if (kill(rq->pid, rq->signo) == -1)
		error = errno;
	init_reply(in, rq->id, error, rq->pid, NULL);
}

static int
take_fds(struct msghdr *msg, int *fds)
{
	struct cmsghdr	*c;
	int		 n = 0;

	if ((c = CMSG_FIRSTHDR(msg)) != NULL &&
	    c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), (size_t)n * sizeof(int));
	}
	return n;
}

/* One request.  When the runner is gone, so are we, and all inside with us. */
static void
serve(struct init *in)
{
	static char	 strings[SB_REQUEST_MAX];
	union {
		struct cmsghdr	 hdr;
		char		 data[CMSG_SPACE(3 * sizeof(int))];
	}		 cm;
	struct sb_request rq;
	struct iovec	 iov[2] = { { &rq, sizeof(rq) },
			     { strings, sizeof(strings) } };
	struct msghdr	 msg = { .msg_iov = iov, .msg_iovlen = 2,
			     .msg_control = &cm,
			     .msg_controllen = sizeof(cm) };
	ssize_t		 n;
	int		 fds[3], nfds;

	if ((n = recvmsg(in->ctl, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) ==
	    -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < (ssize_t)sizeof(rq))
		_exit(0);
	nfds = take_fds(&msg, fds);
	switch (rq.op) {
	case SB_SPAWN:
		init_spawn(in, &rq, strings, (size_t)n - sizeof(rq), fds);
		break;
	case SB_KILL:
		do_kill(in, &rq);
		break;
	case SB_BACKTRACE:
		job_request(in, &rq);
		break;
	}
	while (nfds > 0)
		close(fds[--nfds]);
}

static void
loop(struct init *in)
{
	struct pollfd		 pfd[4 + JOBS_MAX + WAITS_MAX];
	struct signalfd_siginfo	 si;
	size_t			 n, nwaits;
	int			 more = 0, timeout;

	for (;;) {
		memset(pfd, 0, sizeof(pfd));
		flush(&in->replies, in->ctl);
		flush(&in->events, in->ev);
		pfd[0].fd = in->ctl;
		pfd[0].events = STAILQ_EMPTY(&in->replies) ? POLLIN :
		    POLLIN | POLLOUT;
		pfd[1].fd = in->ev;
		pfd[1].events = STAILQ_EMPTY(&in->events) ? 0 : POLLOUT;
		pfd[2].fd = in->sig;
		pfd[2].events = POLLIN;
		n = job_pollfds(in, pfd + 3);
		timeout = more ? 0 : n > 0 ? 100 : -1;
		nwaits = wait_pollfds(in, pfd + 3 + n);
		if (poll(pfd, 3 + n + nwaits, timeout) == -1 && errno != EINTR)
			err(1, "poll");
		if (pfd[1].revents & (POLLERR | POLLHUP))
			_exit(0);
		while (read(in->sig, &si, sizeof(si)) > 0)
			;
		more = reap(in);
		job_poll(in);
		wait_poll(in, pfd + 3 + n, nwaits);
		if (pfd[0].revents)
			serve(in);
	}
}

static int
sigchld_fd(void)
{
	sigset_t	 set;
	int		 s, fd;

	for (s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &set, NULL) == -1 ||
	    (fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) == -1)
		err(1, "signalfd");
	return fd;
}

/* Keep our two sockets and stderr, nothing that the runner had open. */
static void
close_others(struct init *in)
{
	in->ctl = fcntl(in->ctl, F_DUPFD_CLOEXEC, 16);
	in->ev = fcntl(in->ev, F_DUPFD_CLOEXEC, 16);
	in->ctl = dup3(in->ctl, 3, O_CLOEXEC);
	in->ev = dup3(in->ev, 4, O_CLOEXEC);
	close_range(5, ~0U, 0);
}

void
init_main(int ctl, int ev)
{
	static const struct rlimit no_core = { 0, 0 };
	struct init	 in = { .ctl = ctl, .ev = ev };

	STAILQ_INIT(&in.replies);
	STAILQ_INIT(&in.events);
	TAILQ_INIT(&in.procs);
	close_others(&in);
	in.sig = sigchld_fd();
	/* Dumps would fill the tmpfs; the backtrace is made while it lives. */
	setrlimit(RLIMIT_CORE, &no_core);
	loop(&in);
	_exit(0);
}
