/* Sessions with a filter, in rounds, for the engines of "leak". */
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "choice.h"
#include "cmd.h"
#include "drive.h"
#include "leak.h"
#include "sandbox.h"
#include "util.h"

#define PARALLEL	5
#define OWED		10000000	/* us, as drive's --timeout */
#define PROTOCOL	7		/* 0.7 */
#define RESULT_MAX	(64 << 20)

struct work {
	const struct leak_job *job;
	struct leak_drive *d;
	json_t		*stats;
};

/* Directories that most machines have and nobody uses. */
static const char *const corners[] = { "/mnt", "/media", "/srv", "/opt" };

static void
after(void *arg, unsigned int round, pid_t pid)
{
	struct work	*w = arg;

	w->d->after(w->stats, round, pid, w->d);
}

/*
 * A directory of our own, gone with us: mounted over one that the filter, as far
 * as its command says, does not need.
 */
static int
make_dir(struct work *w)
{
	char	*cwd = getcwd(NULL, 0);
	size_t	 i;

	for (i = 0; i < nitems(corners) && w->d->dir == NULL; i++) {
		if (strstr(w->job->filter, corners[i]) != NULL ||
		    (cwd != NULL && strncmp(cwd, corners[i],
		    strlen(corners[i])) == 0))
			continue;
		if (mount("leak", corners[i], "tmpfs", MS_NOSUID | MS_NODEV,
		    "mode=01777") == 0)
			w->d->dir = corners[i];
	}
	free(cwd);
	if (w->d->dir == NULL)
		warnx("there is no directory to work in, such as /mnt");
	return w->d->dir == NULL ? -1 : 0;
}

static void
tell(const struct leak_job *job, const struct drive_result *r)
{
	if (r->error != NULL)
		warnx("%s: %s", job->filter, r->error);
	else if (r->crash != NULL)
		warnx("%s crashes: %s", job->filter, r->crash);
	else if (r->hung > 0 || !r->ready)
		warnx("%s does not answer", job->filter);
}

static int
drive(struct work *w, struct sandbox *sb)
{
	struct drive_conf	 c = { .command = w->d->command,
				     .version = PROTOCOL, .sb = sb,
				     .name = "leak", .parallel = PARALLEL,
				     .untraced = w->d->untraced,
				     .rounds = w->d->rounds,
				     .nrounds = w->d->n, .after = after,
				     .arg = w };
	struct drive_result	 r;
	int			 code;

	c.owed = OWED * (w->d->slow > 1 ? w->d->slow : 1);
	c.choices = choices_new(w->job->seed, "leak");
	drive_run(&c, &r);
	if (w->d->end != NULL)
		w->d->end(w->stats, w->d);
	tell(w->job, &r);
	code = r.error != NULL || !r.ready ? EX_SETUP :
	    r.crash != NULL || r.hung > 0 ? EX_FAIL : EX_PASS;
	drive_free(&r);
	choices_free(c.choices);
	return code;
}

/* In a process of its own: entering a sandbox is for good. */
static int
work(struct work *w, int fd)
{
	static const struct sandbox_spec spec = { .bare = 1 };
	struct sandbox	*sb;
	char		 msg[512], *text;
	int		 code = EX_SETUP;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	w->stats = json_object();
	if ((sb = sandbox_enter(&spec, msg, sizeof(msg))) == NULL)
		warnx("%s", msg);
	else if (make_dir(w) == 0 &&
	    (w->d->start == NULL || w->d->start(w->d) == 0))
		code = drive(w, sb);
	text = json_dumps(w->stats, 0);
	if (code == EX_PASS && write_all(fd, text, strlen(text)) == -1)
		code = EX_SETUP;
	free(text);
	json_decref(w->stats);
	sandbox_close(sb);
	return code;
}

int
leak_drive(const struct leak_job *job, struct leak_drive *d)
{
	struct work	 w = { .job = job, .d = d };
	char		*text;
	pid_t		 pid;
	int		 fd[2], status;

	if (pipe2(fd, O_CLOEXEC) == -1 || (pid = fork()) == -1)
		err(EX_SETUP, "fork");
	if (pid == 0) {
		close(fd[0]);
		_exit(work(&w, fd[1]));
	}
	close(fd[1]);
	text = read_fd(fd[0], NULL, RESULT_MAX);
	close(fd[0]);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	d->stats = text == NULL ? NULL : json_loads(text, 0, NULL);
	free(text);
	if (!WIFEXITED(status))
		warnx("%s: the worker died of signal %d", job->filter,
		    WTERMSIG(status));
	status = WIFEXITED(status) ? WEXITSTATUS(status) : EX_SETUP;
	if (status == EX_PASS && d->stats == NULL) {
		warnx("%s: no result", job->filter);
		status = EX_SETUP;
	}
	return status;
}
