#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <linux/capability.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox_init.h"

/* Starting a command inside. */

#define SPARE_FD	64		/* out of the way of 0, 1 and 2 */
#define EXEC_MS		10000
#define CAP(c)		(1ULL << (c))

struct child {
	const struct sb_request *rq;
	char		**argv;
	char		**env;
	const int	 *fds;		/* those that came along */
	int		  go[2];	/* init says: you are being traced */
	int		  failed[2];	/* errno of exec */
	int		  wait[2];	/* the listener of sandbox_wait.c */
};

/*
 * Root inside may be root of the machine, which is no reason to let a daemon
 * under fuzzing mount things, load modules or set the clock.
 */
static const uint64_t	caps =
	CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER) |
	CAP(CAP_FSETID) | CAP(CAP_KILL) | CAP(CAP_SETGID) | CAP(CAP_SETUID) |
	CAP(CAP_SETPCAP) | CAP(CAP_NET_BIND_SERVICE) | CAP(CAP_NET_ADMIN) |
	CAP(CAP_NET_RAW) | CAP(CAP_IPC_LOCK) | CAP(CAP_SYS_CHROOT) |
	CAP(CAP_SYS_PTRACE) | CAP(CAP_SYS_NICE) | CAP(CAP_SYS_RESOURCE) |
	CAP(CAP_AUDIT_WRITE);

static void
drop_caps(void)
{
	int	 c;

	for (c = 0; c < 64; c++)
		if ((caps & CAP(c)) == 0 && prctl(PR_CAPBSET_DROP, c) == -1)
			break;
}

static void
set_env(const struct child *ch)
{
	const struct passwd	*pw;
	char			**e;

	clearenv();
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:"
	    "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("SHELL", "/bin/sh", 1);
	setenv("LANG", "C.UTF-8", 1);
	if ((pw = getpwuid(ch->rq->uid)) != NULL) {
		setenv("HOME", pw->pw_dir, 1);
		setenv("USER", pw->pw_name, 1);
		setenv("LOGNAME", pw->pw_name, 1);
	}
	for (e = ch->env; *e != NULL; e++)
		putenv(*e);
}

static int
set_user(unsigned int uid)
{
	drop_caps();
	if (uid == 0 || uid == geteuid())
		return 0;
	if (setgroups(0, NULL) == -1 || setresgid(uid, uid, uid) == -1)
		return -1;
	return setresuid(uid, uid, uid);
}

/* Leaves 0, 1, 2 and the returned descriptor, where exec's failure goes. */
static int
set_fds(const struct child *ch)
{
	int	 fd[3], failed, i;

	if ((failed = fcntl(ch->failed[1], F_DUPFD_CLOEXEC, SPARE_FD)) == -1)
		return -1;
	for (i = 0; i < 3; i++) {
		fd[i] = ch->rq->fd[i] != -1 ? ch->fds[ch->rq->fd[i]] :
		    open("/dev/null", O_RDWR | O_CLOEXEC);
		if ((fd[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, SPARE_FD)) == -1)
			return -1;
	}
	for (i = 0; i < 3; i++)
		if (dup2(fd[i], i) == -1)
			return -1;
	if ((failed = dup3(failed, 3, O_CLOEXEC)) == -1 ||
	    close_range(4, ~0U, 0) == -1)
		return -1;
	return failed;
}

/* Before the descriptors are moved.  Where it cannot be had there is no patience. */
static void
set_patient(const struct child *ch)
{
	int	 fd;

	if ((fd = wait_filter()) == -1)
		return;
	(void)wait_send(ch->wait[1], fd);
	close(fd);
}

static void
set_signals(void)
{
	sigset_t	 none;
	int		 s;

	for (s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn))
child_main(const struct child *ch)
{
	int	 failed, error;
	char	 go;

	set_signals();
	close(ch->go[1]);
	if (read(ch->go[0], &go, 1) != 1)
		_exit(127);
	if (ch->rq->patient)
		set_patient(ch);
	if ((failed = set_fds(ch)) != -1) {
		setsid();
		umask(022);
		set_env(ch);
		if ((!ch->rq->tty || ioctl(STDIN_FILENO, TIOCSCTTY, 0) == 0) &&
		    set_user(ch->rq->uid) == 0)
			execvp(ch->argv[0], ch->argv);
	}
	error = errno;
	(void)write_all(failed != -1 ? failed : ch->failed[1], &error,
	    sizeof(error));
	_exit(127);
}

/*
 * 0 when exec has closed the other side.  A traced child that is killed before
 * that stops once more to tell us, its descriptors still open: hence the limit.
 */
static int
exec_error(int fd)
{
	struct pollfd	 pfd = { .fd = fd, .events = POLLIN };
	int		 error = 0;

	if (poll(&pfd, 1, EXEC_MS) != 1)
		return ETIMEDOUT;
	if (read(fd, &error, sizeof(error)) == -1)
		return errno;
	return error;
}

/* As /proc would have it, which may be too late to ask. */
static void
set_title(struct proc *p, char **argv)
{
	size_t	 len;
	char	*c;

	for (p->title[0] = '\0'; *argv != NULL; argv++) {
		len = strlen(p->title);
		snprintf(p->title + len, sizeof(p->title) - len, "%s%s",
		    len > 0 ? " " : "", *argv);
	}
	for (c = p->title; *c != '\0'; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
}

/* Parent's half; errno of what failed in the child. */
static int
child_start(struct init *in, struct proc *p, struct child *ch)
{
	int	 error = 0;

	p->child = 1;
	p->watch = ch->rq->trace;
	if (p->watch)
		p->traced = trace_seize(in, p->pid) == 0;
	if (write_all(ch->go[1], "g", 1) == -1)
		error = errno;
	close(ch->failed[1]);
	ch->failed[1] = -1;
	if (error == 0)
		error = exec_error(ch->failed[0]);
	if (error != 0)
		p->quiet = 1;
	else
		set_title(p, ch->argv);
	return error;
}

static pid_t
child_fork(struct init *in, struct child *ch, int *error)
{
	pid_t	 pid;

	if ((pid = fork()) == 0)
		child_main(ch);
	if (pid == -1)
		*error = errno;
	else
		*error = child_start(in, proc_add(in, pid), ch);
	return pid;
}

/* NUL-terminated strings to a vector. */
static char **
vector(char **strings, const char *end, int n)
{
	char	**v = xcalloc((size_t)n + 1, sizeof(*v));
	int	  i;

	for (i = 0; i < n && *strings < end; i++) {
		v[i] = *strings;
		*strings += strlen(*strings) + 1;
	}
	return v;
}

void
init_spawn(struct init *in, const struct sb_request *rq, char *strings,
    size_t len, const int *fds)
{
	struct child	 ch = { .rq = rq, .fds = fds, .go = { -1, -1 },
			     .failed = { -1, -1 }, .wait = { -1, -1 } };
	int		 error = EINVAL, i;
	pid_t		 pid = -1;

	ch.argv = vector(&strings, strings + len, rq->argc);
	ch.env = vector(&strings, strings + len, rq->envc);
	if (pipe2(ch.go, O_CLOEXEC) == -1 ||
	    pipe2(ch.failed, O_CLOEXEC) == -1 || (rq->patient &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ch.wait) == -1))
		error = errno;
	else if (ch.argv[0] != NULL)
		pid = child_fork(in, &ch, &error);
	if (pid != -1 && rq->patient)
		wait_receive(in, ch.wait[0]);
	for (i = 0; i < 2; i++) {
		if (ch.go[i] != -1)
			close(ch.go[i]);
		if (ch.failed[i] != -1)
			close(ch.failed[i]);
		if (ch.wait[i] != -1)
			close(ch.wait[i]);
	}
	free(ch.argv);
	free(ch.env);
	init_reply(in, rq->id, error, pid, NULL);
}
