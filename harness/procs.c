#include <sys/queue.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "procs.h"
#include "sandbox.h"

struct proc_wait {
	TAILQ_ENTRY(proc_wait) entry;
	struct run	*run;
	struct session	*s;		/* NULL: procs_command() */
	pid_t		 pid;
	int		 fd;		/* -1 at its end */
	struct event	*ev;
	struct buf	 out;
	int		 exited, status;
};

TAILQ_HEAD(proc_waits, proc_wait);

static struct proc_waits *
waits(struct run *run)
{
	if (run->waits == NULL) {
		run->waits = xcalloc(1, sizeof(*run->waits));
		TAILQ_INIT(run->waits);
	}
	return run->waits;
}

static int
wait_over(const struct proc_wait *w)
{
	return w->exited && w->fd == -1;
}

static void
wait_readable(int fd, short what, void *arg)
{
	struct proc_wait *w = arg;
	char data[8192];
	ssize_t n;

	(void)what;
	n = read(fd, data, sizeof(data));
	if (n > 0) {
		buf_add(&w->out, data, (size_t)n);
		return;
	}
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	event_del(w->ev);
	close(w->fd);
	w->fd = -1;
	if (wait_over(w) && w->s != NULL)
		session_run(w->s);
}

static struct proc_wait *
wait_new(struct run *run, struct session *s, pid_t pid, int fd)
{
	struct proc_wait *w = xcalloc(1, sizeof(*w));

	set_nonblock(fd);
	w->run = run;
	w->s = s;
	w->pid = pid;
	w->fd = fd;
	w->ev = event_new(run->base, fd, EV_READ | EV_PERSIST, wait_readable,
	    w);
	event_add(w->ev, NULL);
	TAILQ_INSERT_TAIL(waits(run), w, entry);
	return w;
}

static void
wait_free(struct proc_wait *w)
{
	TAILQ_REMOVE(w->run->waits, w, entry);
	event_free(w->ev);
	if (w->fd != -1)
		close(w->fd);
	buf_free(&w->out);
	free(w);
}

static struct proc_wait *
wait_find(struct session *s)
{
	struct proc_wait *w;

	TAILQ_FOREACH(w, waits(s->run), entry)
		if (w->s == s)
			return w;
	return NULL;
}

void
procs_wait(struct session *s, pid_t pid, int fd)
{
	wait_new(s->run, s, pid, fd);
}

int
procs_done(struct session *s, int *status, struct buf *out)
{
	struct proc_wait *w = wait_find(s);

	if (w == NULL || !wait_over(w))
		return 0;
	*status = w->status;
	buf_add(out, w->out.data, w->out.len);
	wait_free(w);
	return 1;
}

void
procs_forget(struct session *s)
{
	struct proc_wait *w = wait_find(s);

	if (w == NULL)
		return;
	if (!w->exited)
		sandbox_kill(w->run->sb, w->pid, SIGKILL);
	wait_free(w);
}

int
procs_exit(struct run *run, pid_t pid, int status)
{
	struct proc_wait *w;

	TAILQ_FOREACH(w, waits(run), entry)
		if (w->pid == pid && !w->exited) {
			w->exited = 1;
			w->status = status;
			if (wait_over(w) && w->s != NULL)
				session_run(w->s);
			return 1;
		}
	return 0;
}

static int
command_over(struct run *run)
{
	struct proc_wait *w;

	TAILQ_FOREACH(w, waits(run), entry)
		if (w->s == NULL)
			return wait_over(w);
	return 1;
}

int
procs_command(struct run *run, const char *const *argv, struct buf *out,
    uint64_t us)
{
	struct sandbox_cmd cmd = { .argv = argv, .fd = { -1, -1, -1 } };
	struct proc_wait *w;
	int fds[2], status = -1;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return -1;
	cmd.fd[1] = cmd.fd[2] = fds[1];
	pid = sandbox_spawn(run->sb, &cmd);
	close(fds[1]);
	if (pid == -1) {
		close(fds[0]);
		return -1;
	}
	w = wait_new(run, NULL, pid, fds[0]);
	if (run_until(run, command_over, us))
		status = w->status;
	buf_add(out, w->out.data == NULL ? "" : w->out.data, w->out.len);
	wait_free(w);
	return status;
}
