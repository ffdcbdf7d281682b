/*
 * The valgrind engine of "leak": the real daemon under memcheck.
 *
 * Between the batches vgdb(1) asks each process for what has grown since the
 * last time, so that memory still reachable is seen as well, and no report at
 * exit is needed, which none of the processes that are killed would make.  Two
 * things make that work with processes that are chrooted and have given up
 * root.  Valgrind opens its pipes anew for each question, by name: their
 * directory is mounted into both chroots, under the same name, with pipes that
 * anybody may open.  And it takes a vgdb for dead that it may not signal: hence
 * vgdb runs with the real user id of the process.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "cmd.h"
#include "daemon.h"
#include "leak.h"
#include "memcheck.h"
#include "procs.h"
#include "report.h"
#include "run.h"
#include "target.h"

#define SESSIONS	20
#define SLOW		20		/* times, on a busy machine */
#define DIR_VG		"/run/valgrind"
#define SUPPRESSIONS	DIR_VG "/suppressions"
#define VGDB_TIME	60000000	/* us */
#define BATCHES		3		/* warm-up, N, 2N */
#define INDEXES		64		/* in place of "[*]" */

/*
 * Without LOGNAME and USER: the pipes' names have them in, and smtpd's processes
 * overwrite their environment with their titles.
 */
static const char *const valgrind_argv[] = {
	"/usr/bin/env", "-u", "LOGNAME", "-u", "USER", "valgrind",
	"--trace-children=yes",
	/* what delivers, and filters with the shells that start them */
	"--trace-children-skip=*/mail.*,*/sh,*/smtpctl,*/sendmail,*/relay",
	"--leak-check=no", "--num-callers=30", "--error-limit=no",
	"--vgdb-prefix=" DIR_VG "/vgdb", "--log-file=" DIR_VG "/log.%p",
	"--suppressions=" SUPPRESSIONS, "--fullpath-after=", NULL
};

static const struct daemon_wrap wrap = {
	.argv = valgrind_argv, .traces = 1, .slow = SLOW
};

struct engine {
	struct buf	 suppressions;
};

/* --- in the run's process ---------------------------------------------------------- */

/* The directory of the pipes, in a chroot as well. */
static int
show_in(const char *root)
{
	char	*up = xasprintf("%s/run", root);
	char	*dir = xasprintf("%s" DIR_VG, root);
	int	 rv = 0;

	if ((mkdir(up, 0755) == -1 && errno != EEXIST) ||
	    mkdir(dir, 0755) == -1 ||
	    mount(DIR_VG, dir, NULL, MS_BIND, NULL) == -1)
		rv = -1;
	free(up);
	free(dir);
	return rv;
}

static int
start(struct run *run, void *arg)
{
	const struct engine	*e = arg;
	int			 fd, rv = -1;

	if (access("/usr/bin/valgrind", X_OK) == -1 ||
	    access("/usr/bin/vgdb", X_OK) == -1) {
		run_error(run, "there is no valgrind: \"ci/deps check\" "
		    "installs it");
		return -1;
	}
	/* mail is delivered by others, who fork from a process under valgrind */
	if (mkdir(DIR_VG, 01777) == -1 || chmod(DIR_VG, 01777) == -1 ||
	    daemon_dirs(run->target) == -1 ||
	    show_in(run->target->spool) == -1 ||
	    show_in(run->target->chroot) == -1 ||
	    (fd = open(SUPPRESSIONS, O_WRONLY | O_CREAT | O_CLOEXEC,
	    0644)) == -1) {
		run_error(run, DIR_VG ": %s", strerror(errno));
		return -1;
	}
	if ((rv = write_all(fd, e->suppressions.data,
	    e->suppressions.len)) == -1)
		run_error(run, SUPPRESSIONS ": %s", strerror(errno));
	close(fd);
	return rv;
}

/* Pipes of root's that processes without root will have to open again. */
static void
share_pipes(void)
{
	struct dirent	*e;
	char		*path;
	DIR		*d;

	if ((d = opendir(DIR_VG)) == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, "vgdb", 4) != 0)
			continue;
		path = xasprintf(DIR_VG "/%s", e->d_name);
		(void)chmod(path, 0666);
		free(path);
	}
	closedir(d);
}

static unsigned int
real_uid(pid_t pid)
{
	unsigned int	 uid = 0;
	char		*path = xasprintf("/proc/%d/status", (int)pid), *text;
	const char	*s;

	if ((text = read_file(path, NULL, 65536)) != NULL &&
	    (s = strstr(text, "\nUid:")) != NULL)
		uid = (unsigned int)strtoul(s + 5, NULL, 10);
	free(text);
	free(path);
	return uid;
}

/* What grew in a process since it was last asked, valgrind's words; or NULL. */
static char *
ask(struct run *run, const struct proc *p)
{
	char		*pid = xasprintf("--pid=%d", (int)p->pid);
	char		*uid = xasprintf("--ruid=%u", real_uid(p->pid));
	const char	*argv[] = { "/usr/bin/env", "-u", "LOGNAME", "-u",
			    "USER", "setpriv", uid, "vgdb",
			    "--vgdb-prefix=" DIR_VG "/vgdb", pid, "leak_check",
			    "full", "kinds", "all", "increased", NULL };
	struct buf	 out = { 0 };

	if (procs_command(run, argv, &out, VGDB_TIME) != 0) {
		run_error(run, "%s: vgdb got no answer%s%s", p->title,
		    out.len > 0 ? ": " : "", out.len > 0 ? out.data : "");
		buf_free(&out);
	}
	free(pid);
	free(uid);
	return out.data;
}

/* The daemon's processes, the parent first. */
static int
processes(struct run *run, struct proc *procs)
{
	memset(procs, 0, sizeof(*procs));
	procs[0].pid = run->daemon.pid;
	snprintf(procs[0].title, sizeof(procs[0].title), "parent");
	return 1 + daemon_procs(procs + 1, MAX_PROCS - 1);
}

static json_t *
stats_list(struct run *run, const char *name)
{
	json_t	*j = json_object_get(run->stats, name);

	if (j == NULL) {
		j = json_array();
		json_object_set_new(run->stats, name, j);
	}
	return j;
}

static void
after(struct run *run, unsigned int batch, void *arg)
{
	struct proc	 procs[MAX_PROCS];
	json_t		*list = stats_list(run, "leaks");
	char		*text;
	int		 i, n;

	(void)arg;
	share_pipes();
	n = processes(run, procs);
	for (i = 0; i < n && !run->stop; i++) {
		if ((text = ask(run, &procs[i])) == NULL)
			continue;
		/* all there is at first; nothing has been lost by sessions yet */
		if (batch > 0)
			memcheck_leaks(text, procs[i].title, batch, list);
		free(text);
	}
}

/* Errors are in the logs, which are named by process. */
static void
end(struct run *run, void *arg)
{
	const struct daemon	*d = &run->daemon;
	json_t			*list = stats_list(run, "errors");
	char			*path, *text;
	int			 i;

	(void)arg;
	for (i = -1; i < d->nprocs; i++) {
		path = xasprintf(DIR_VG "/log.%d", i == -1 ? (int)d->pid :
		    (int)d->procs[i].pid);
		if ((text = read_file(path, NULL, 16 << 20)) != NULL)
			memcheck_errors(text, i == -1 ? "parent" :
			    d->procs[i].title, list);
		free(text);
		free(path);
	}
}

/* --- in the command's process ------------------------------------------------------- */

/* Valgrind has no pattern for a number: an entry each. */
static void
add_entry(struct buf *b, const char *entry, size_t len)
{
	const char	*star = memmem(entry, len, "[*]", 3);
	int		 i;

	for (i = 0; star != NULL && i < INDEXES; i++)
		buf_addf(b, "%.*s[%d]%.*s", (int)(star - entry), entry, i,
		    (int)(entry + len - star - 3), star + 3);
	if (star == NULL)
		buf_add(b, entry, len);
}

static int
load_suppressions(struct engine *e)
{
	char	*path = cli_share("fixtures/valgrind.supp"), *text = NULL;
	char	*s, *end;

	if (path == NULL || (text = read_file(path, NULL, 1 << 20)) == NULL) {
		warn("%s", path == NULL ? "fixtures/valgrind.supp" : path);
		free(path);
		return -1;
	}
	for (s = text; (s = strstr(s, "\n{\n")) != NULL; s = end) {
		if ((end = strstr(s, "\n}\n")) == NULL)
			break;
		end += 2;
		add_entry(&e->suppressions, s, (size_t)(end - s));
	}
	buf_addstr(&e->suppressions, "\n");
	free(text);
	free(path);
	return 0;
}

/* A daemon that dies has often said why to valgrind. */
static void
tell_errors(const json_t *errors)
{
	const json_t	*j;
	char		*stack;
	size_t		 i;

	json_array_foreach(errors, i, j) {
		stack = memcheck_stack(jstr(j, "stack"));
		warnx("%s: %s\n%s", jstr(j, "process"), jstr(j, "what"),
		    stack);
		free(stack);
	}
}

static int
run_daemon(const struct leak_job *job, struct leak_result *res)
{
	const uint64_t	 sessions[BATCHES] = { job->sessions, job->sessions,
			     2 * job->sessions };
	struct engine	 e = { 0 };
	struct leak_run	 r = { .target = job->target, .wrap = &wrap,
			     .blocks = { .sessions = sessions, .n = BATCHES,
			     .start = start, .after = after, .end = end,
			     .arg = &e } };
	const json_t	*stats;
	int		 code;

	if (strstr(job->target->spec, "+asan") != NULL) {
		warnx("%s: valgrind cannot run what has a sanitizer",
		    job->target->spec);
		return EX_SETUP;
	}
	/* nothing is known yet, but that file is looked at */
	if (load_suppressions(&e) == -1 || leak_known(job->target, res) == -1)
		return EX_SETUP;
	code = leak_play(job, &r, 1);
	stats = json_object_get(r.end, "stats");
	if (code == EX_FAIL)
		tell_errors(json_object_get(stats, "errors"));
	if (code == EX_PASS) {
		memcheck_judge(json_object_get(stats, "leaks"),
		    json_object_get(stats, "errors"), job->sessions, res);
		res->sessions = 3 * job->sessions;
		if (leak_known(job->target, res) == -1)
			code = EX_SETUP;
	}
	json_decref(r.end);
	buf_free(&e.suppressions);
	return code;
}

/* --- a filter ------------------------------------------------------------------------ */

static int
filter_start(struct leak_drive *d)
{
	const struct leak_job	*job = d->arg;

	if (access("/usr/bin/valgrind", X_OK) == -1) {
		warnx("there is no valgrind: \"ci/deps check\" installs it");
		return -1;
	}
	d->command = xasprintf("env -u LOGNAME -u USER valgrind "
	    "--leak-check=no --num-callers=30 --error-limit=no "
	    "--vgdb-prefix=%s/vgdb --log-file=%s/log --fullpath-after= %s",
	    d->dir, d->dir, job->filter);
	return 0;
}

/* As a row names its process: the program's name. */
static char *
filter_title(const char *command)
{
	char	*word = xasprintf("%.*s", (int)strcspn(command, " "), command);
	char	*slash = strrchr(word, '/'), *title;

	title = xstrdup(slash == NULL ? word : slash + 1);
	free(word);
	return title;
}

static void
filter_after(json_t *stats, unsigned int round, pid_t pid,
    struct leak_drive *d)
{
	const struct leak_job	*job = d->arg;
	char			*title = filter_title(job->filter), *text = NULL;
	char			*command;
	FILE			*fp;

	command = xasprintf("exec env -u LOGNAME -u USER setpriv --ruid=%u "
	    "vgdb --vgdb-prefix=%s/vgdb --pid=%d leak_check full kinds all "
	    "increased 2>&1", real_uid(pid), d->dir, (int)pid);
	if (json_object_get(stats, "leaks") == NULL)
		json_object_set_new(stats, "leaks", json_array());
	if ((fp = popen(command, "re")) != NULL) {
		text = read_fd(fileno(fp), NULL, 64 << 20);
		if (pclose(fp) == 0 && text != NULL) {
			json_object_set_new(stats, "asked",
			    json_integer((json_int_t)round + 1));
			if (round > 0)
				memcheck_leaks(text, title, round,
				    json_object_get(stats, "leaks"));
		} else
			warnx("%s: vgdb got no answer: %s", title,
			    text == NULL ? "" : text);
	}
	free(text);
	free(command);
	free(title);
}

static void
filter_end(json_t *stats, struct leak_drive *d)
{
	const struct leak_job	*job = d->arg;
	char			*title = filter_title(job->filter);
	char			*path = xasprintf("%s/log", d->dir), *text;
	json_t			*list = json_array();

	if ((text = read_file(path, NULL, 16 << 20)) != NULL)
		memcheck_errors(text, title, list);
	json_object_set_new(stats, "errors", list);
	free(text);
	free(path);
	free(title);
}

static int
run_filter(const struct leak_job *job, struct leak_result *res)
{
	const uint64_t		 rounds[BATCHES] = { job->sessions,
				     job->sessions, 2 * job->sessions };
	struct leak_drive	 d = { .rounds = rounds, .n = BATCHES,
				     .untraced = 1, .slow = SLOW,
				     .start = filter_start,
				     .after = filter_after, .end = filter_end,
				     .arg = (void *)(uintptr_t)job };
	int			 code = leak_drive(job, &d);

	if (code == EX_PASS && jint(d.stats, "asked") != BATCHES)
		code = EX_SETUP;	/* it was said why */
	if (code == EX_PASS)
		memcheck_judge(json_object_get(d.stats, "leaks"),
		    json_object_get(d.stats, "errors"), job->sessions, res);
	res->sessions = 3 * job->sessions;
	json_decref(d.stats);
	return code;
}

static int
valgrind_run(const struct leak_job *job, struct leak_result *res)
{
	return job->filter != NULL ? run_filter(job, res) :
	    run_daemon(job, res);
}

const struct leak_engine leak_valgrind = {
	.name = "valgrind",
	.summary = "the daemon under memcheck, with stacks",
	.sessions = SESSIONS,
	.run = valgrind_run,
};
