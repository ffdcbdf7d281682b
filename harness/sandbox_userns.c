#include <sys/types.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox_priv.h"
#include "util.h"

/*
 * Without root the namespaces hang off a user namespace.  The daemon changes
 * to users of its own, so one id is not enough: the rest comes from
 * /etc/subuid and /etc/subgid, through the setuid helpers that guard these.
 */

#define NIDS	65535		/* ids beside root's: 1..65535 */

struct idmap {
	const char	*what;		/* "user", "group" */
	const char	*helper;
	const char	*file;		/* who may use which ids */
	const char	*map;		/* in /proc/PID */
};

static const struct idmap idmaps[] = {
	{ "user",	"newuidmap",	"/etc/subuid",	"uid_map" },
	{ "group",	"newgidmap",	"/etc/subgid",	"gid_map" },
};

/* The user's name for messages and as a key; a bare number when it has none. */
static const char *
user_name(void)
{
	static char	 number[16];
	struct passwd	*pw;

	if ((pw = getpwuid(getuid())) != NULL)
		return pw->pw_name;
	snprintf(number, sizeof(number), "%u", (unsigned int)getuid());
	return number;
}

/* Does "NAME:START:COUNT" give this user enough?  Sets start. */
static int
sub_line(char *line, const char *user, unsigned long *start)
{
	char		 number[16];
	const char	*name, *from, *count;

	snprintf(number, sizeof(number), "%u", (unsigned int)getuid());
	name = strsep(&line, ":");
	from = strsep(&line, ":");
	count = strsep(&line, ":\n");
	if (from == NULL || count == NULL ||
	    (strcmp(name, user) != 0 && strcmp(name, number) != 0))
		return 0;
	*start = strtoul(from, NULL, 10);
	return strtoul(count, NULL, 10) >= NIDS;
}

static int
sub_range(const struct idmap *m, unsigned long *start, const struct why *w)
{
	const char	*user = user_name();
	char		*text, *p, *line;
	int		 found = 0;

	if ((text = read_file(m->file, NULL, 1024 * 1024)) == NULL &&
	    errno != ENOENT)
		return sb_fail(w, "cannot read %s: %s", m->file,
		    strerror(errno));
	for (p = text; !found && (line = strsep(&p, "\n")) != NULL;)
		found = sub_line(line, user, start);
	free(text);
	if (found)
		return 0;
	return sb_fail(w, "%s gives %s no range of %d %s ids for a sandbox "
	    "without root: as root, usermod --add-subuids 100000-165535 "
	    "--add-subgids 100000-165535 %s", m->file, user, NIDS, m->what,
	    user);
}

/* Run newuidmap or newgidmap; its complaint goes to the caller. */
static int
run_helper(const struct idmap *m, pid_t target, const struct why *w)
{
	char		 pid[16], self[16], first[24], said[256] = "";
	unsigned long	 start = 0;
	ssize_t		 n;
	pid_t		 child;
	int		 fd[2], status;

	if (sub_range(m, &start, w) == -1)
		return -1;
	snprintf(pid, sizeof(pid), "%d", target);
	snprintf(self, sizeof(self), "%u", (unsigned int)
	    (m == &idmaps[0] ? getuid() : getgid()));
	snprintf(first, sizeof(first), "%lu", start);
	if (pipe2(fd, O_CLOEXEC) == -1 || (child = fork()) == -1)
		return sb_fail(w, "cannot fork: %s", strerror(errno));
	if (child == 0) {
		dup2(fd[1], STDERR_FILENO);
		execlp(m->helper, m->helper, pid, "0", self, "1", "1", first,
		    "65535", (char *)NULL);
		_exit(errno == ENOENT ? 126 : 127);
	}
	close(fd[1]);
	if ((n = read(fd[0], said, sizeof(said) - 1)) > 0)
		said[n] = '\0';
	close(fd[0]);
	said[strcspn(said, "\n")] = '\0';
	if (waitpid(child, &status, 0) == -1)
		return sb_fail(w, "waitpid: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 126)
		return sb_fail(w, "%s is missing, a sandbox without root "
		    "needs it: apt-get install uidmap", m->helper);
	if (status != 0)
		return sb_fail(w, "%s failed: %s", m->helper,
		    said[0] ? said : "it does not say why");
	return 0;
}

/* Root needs no helper and keeps its ids. */
static int
write_map(const struct idmap *m, pid_t target, const struct why *w)
{
	static const char	 same[] = "0 0 65536\n";
	char			 path[64];
	int			 fd, rv;

	snprintf(path, sizeof(path), "/proc/%d/%s", target, m->map);
	if ((fd = open(path, O_WRONLY | O_CLOEXEC)) == -1)
		return sb_fail(w, "cannot open %s: %s", path, strerror(errno));
	rv = write_all(fd, same, strlen(same));
	close(fd);
	if (rv == -1)
		return sb_fail(w, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

/*
 * The helpers must run outside of the new namespace, hence from a child made
 * before it.  What the child writes is its complaint; nothing means success.
 */
static void __attribute__((noreturn))
mapper(int sock, pid_t target)
{
	char		 text[512] = "", go;
	struct why	 w = { text, sizeof(text) };
	size_t		 i;
	int		 rv = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_DFL);
	if (read(sock, &go, 1) != 1)
		_exit(1);
	for (i = 0; i < nitems(idmaps) && rv == 0; i++)
		rv = geteuid() == 0 ? write_map(&idmaps[i], target, &w) :
		    run_helper(&idmaps[i], target, &w);
	if (write_all(sock, text, strlen(text)) == -1)
		_exit(1);
	_exit(rv == 0 ? 0 : 1);
}

static int
unshare_failed(const struct why *w)
{
	switch (errno) {
	case ENOSPC:
		return sb_fail(w, "user namespaces are switched off here: as "
		    "root, sysctl user.max_user_namespaces=10000, or run "
		    "this as root");
	case EPERM:
		return sb_fail(w, "this user may not make user namespaces: as "
		    "root, sysctl kernel.unprivileged_userns_clone=1; in a "
		    "container, start it with --security-opt "
		    "seccomp=unconfined; or run this as root");
	}
	return sb_fail(w, "cannot make namespaces: %s", strerror(errno));
}

int
userns_enter(int nsflags, const struct why *w)
{
	char	 text[512];
	ssize_t	 n = 0;
	pid_t	 child, self = getpid();
	int	 sv[2], status = 0, failed;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == -1 ||
	    (child = fork()) == -1)
		return sb_fail(w, "cannot fork: %s", strerror(errno));
	if (child == 0) {
		close(sv[0]);
		mapper(sv[1], self);
	}
	close(sv[1]);
	failed = unshare(CLONE_NEWUSER | nsflags) == -1 ? errno : 0;
	if (!failed && write_all(sv[0], "g", 1) == 0 &&
	    (n = read(sv[0], text, sizeof(text) - 1)) < 0)
		n = 0;
	close(sv[0]);
	while (waitpid(child, &status, 0) == -1 && errno == EINTR)
		;
	errno = failed;
	if (failed)
		return unshare_failed(w);
	text[n] = '\0';
	if (status != 0)
		return sb_fail(w, "%s", n > 0 ? text : "the ids of the user "
		    "namespace could not be set");
	if (setgroups(0, NULL) == -1 || setresgid(0, 0, 0) == -1 ||
	    setresuid(0, 0, 0) == -1)
		return sb_fail(w, "root of a user namespace has no power here "
		    "(%s), a security module sees to it: as root, sysctl "
		    "kernel.apparmor_restrict_unprivileged_userns=0, or run "
		    "this as root", strerror(errno));
	/* Changing ids cost us /proc/self and the death signal. */
	prctl(PR_SET_DUMPABLE, 1);
	return 0;
}

static int
write_self(const char *path, const char *text, const struct why *w)
{
	int	 fd, rv;

	if ((fd = open(path, O_WRONLY | O_CLOEXEC)) == -1)
		return sb_fail(w, "cannot open %s: %s", path, strerror(errno));
	rv = write_all(fd, text, strlen(text));
	close(fd);
	if (rv == -1)
		return sb_fail(w, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

int
userns_enter_self(int nsflags, const struct why *w)
{
	unsigned int	 uid = geteuid(), gid = getegid();
	char		 map[32];

	if (unshare(CLONE_NEWUSER | nsflags) == -1)
		return unshare_failed(w);
	if (write_self("/proc/self/setgroups", "deny", w) == -1)
		return -1;
	snprintf(map, sizeof(map), "%u %u 1\n", uid, uid);
	if (write_self("/proc/self/uid_map", map, w) == -1)
		return -1;
	snprintf(map, sizeof(map), "%u %u 1\n", gid, gid);
	return write_self("/proc/self/gid_map", map, w);
}
