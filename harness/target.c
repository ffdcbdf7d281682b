#include <sys/types.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "target.h"
#include "util.h"

#define TARGET_MAX	(64 * 1024)	/* of a target file */

/* The keys of a target file.  Others are for people. */
static const struct key {
	const char	*name;
	size_t		 off;
	int		 optional;
} keys[] = {
	{ "name",	offsetof(struct target, name),		0 },
	{ "version",	offsetof(struct target, version),	0 },
	{ "root",	offsetof(struct target, root),		0 },
	{ "smtpd",	offsetof(struct target, smtpd),		0 },
	{ "smtpctl",	offsetof(struct target, smtpctl),	0 },
	{ "user",	offsetof(struct target, user),		0 },
	{ "queueuser",	offsetof(struct target, queueuser),	0 },
	{ "chroot",	offsetof(struct target, chroot),	0 },
	{ "socket",	offsetof(struct target, socket),	0 },
	{ "spool",	offsetof(struct target, spool),		0 },
	{ "libexec",	offsetof(struct target, libexec),	1 },
	{ "setid",	offsetof(struct target, setid),		1 },
	{ "features",	offsetof(struct target, features),	1 },
};

static const char **
field(struct target *t, const struct key *k)
{
	return (const char **)(void *)((char *)t + k->off);
}

/* -1 when it is set already. */
static int
set_key(struct target *t, const char *name, const char *value)
{
	size_t	 i;

	for (i = 0; i < nitems(keys); i++) {
		if (strcmp(keys[i].name, name) != 0)
			continue;
		if (*field(t, &keys[i]) != NULL)
			return -1;
		*field(t, &keys[i]) = xstrdup(value);
	}
	return 0;
}

static char *
trim(char *s)
{
	size_t	 n;

	s += strspn(s, " \t");
	for (n = strlen(s); n > 0 && isspace((unsigned char)s[n - 1]); n--)
		s[n - 1] = '\0';
	return s;
}

static int
parse(struct target *t, const char *path, char *text)
{
	char	*line, *eq;
	size_t	 i;
	int	 n;

	for (n = 1; (line = strsep(&text, "\n")) != NULL; n++) {
		line = trim(line);
		if (*line == '\0' || *line == '#')
			continue;
		if ((eq = strchr(line, '=')) == NULL) {
			warnx("%s:%d:1: not KEY=VALUE: %s", path, n, line);
			return -1;
		}
		*eq = '\0';
		if (set_key(t, trim(line), trim(eq + 1)) == -1) {
			warnx("%s:%d:1: %s= is there twice", path, n, line);
			return -1;
		}
	}
	for (i = 0; i < nitems(keys); i++) {
		if (*field(t, &keys[i]) == NULL && keys[i].optional)
			*field(t, &keys[i]) = xstrdup("");
		if (*field(t, &keys[i]) == NULL) {
			warnx("%s: no %s= line", path, keys[i].name);
			return -1;
		}
	}
	return 0;
}

/* A relative root counts from the directory of the target file. */
static int
resolve_root(struct target *t, const char *dir)
{
	char	*path, *real;

	path = *t->root == '/' ? xstrdup(t->root) :
	    xasprintf("%s/%s", dir, t->root);
	if ((real = realpath(path, NULL)) == NULL)
		warn("%s/target: root %s", dir, path);
	free(path);
	free((char *)(uintptr_t)t->root);
	t->root = real;
	return real == NULL ? -1 : 0;
}

/* Targets live as long as we do; the list is what says so. */
static struct target *
target_keep(struct target *t)
{
	static struct target	**all;
	static size_t		  n;

	all = xreallocarray(all, n + 1, sizeof(*all));
	all[n++] = t;
	return t;
}

static struct target *
target_load(const char *spec, const char *dir)
{
	struct target	*t;
	char		*path, *text;
	int		 rc = -1;

	path = xasprintf("%s/target", dir);
	if ((text = read_file(path, NULL, TARGET_MAX)) == NULL) {
		warn("%s", path);
		free(path);
		return NULL;
	}
	t = target_keep(xcalloc(1, sizeof(*t)));
	t->spec = xstrdup(spec);
	if (parse(t, path, text) == 0)
		rc = resolve_root(t, dir);
	free(text);
	free(path);
	return rc == -1 ? NULL : t;
}

static int
is_target_dir(const char *dir)
{
	struct stat	 st;
	char		*path;
	int		 rc;

	if (*dir == '\0')
		return 0;
	path = xasprintf("%s/target", dir);
	rc = stat(path, &st) == 0 && S_ISREG(st.st_mode);
	free(path);
	return rc;
}

static pid_t
start(const char *prog, const char *spec, int *fd)
{
	pid_t	 pid;
	int	 p[2];

	if (pipe2(p, O_CLOEXEC) == -1 || (pid = fork()) == -1) {
		warn("%s", prog);
		return -1;
	}
	if (pid == 0) {
		if (dup2(p[1], STDOUT_FILENO) == -1)
			_exit(127);
		execl(prog, prog, spec, (char *)NULL);
		warn("%s", prog);
		_exit(127);
	}
	close(p[1]);
	*fd = p[0];
	return pid;
}

/* Its words on stderr pass through: a build takes a while and says so. */
static int
run(const char *prog, const char *spec, struct buf *out)
{
	char	 tmp[4096];
	ssize_t	 n;
	pid_t	 pid;
	int	 fd, status;

	if ((pid = start(prog, spec, &fd)) == -1)
		return -1;
	while ((n = read(fd, tmp, sizeof(tmp))) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			break;
		buf_add(out, tmp, (size_t)n);
	}
	close(fd);
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		warnx("%s %s: signal %d", prog, spec, WTERMSIG(status));
	else
		warnx("%s %s: exit %d", prog, spec, WEXITSTATUS(status));
	return -1;
}

static char *
last_line(struct buf *out)
{
	char	*nl;

	buf_add(out, NULL, 0);
	trim(out->data);
	nl = strrchr(out->data, '\n');
	return trim(nl == NULL ? out->data : nl + 1);
}

static struct target *
target_build(const char *spec)
{
	struct target	*t = NULL;
	struct buf	 out = { 0 };
	char		*prog, *dir;

	if ((prog = cli_share_env("SMTPDTEST_CI_TARGET", "ci/target")) ==
	    NULL) {
		warnx("no ci/target beside the executable to make target %s "
		    "with", spec);
		return NULL;
	}
	if (run(prog, spec, &out) == 0) {
		dir = last_line(&out);
		if (is_target_dir(dir))
			t = target_load(spec, dir);
		else
			warnx("%s %s: \"%s\" is no directory with a target "
			    "file", prog, spec, dir);
	}
	buf_free(&out);
	free(prog);
	return t;
}

struct target *
target_find(const char *spec)
{
	struct stat	 st;

	if (is_target_dir(spec))
		return target_load(spec, spec);
	if (strchr(spec, '/') != NULL && stat(spec, &st) == 0) {
		warnx("%s: no target file in it (src:DIR builds a source "
		    "tree)", spec);
		return NULL;
	}
	return target_build(spec);
}

int
target_has(const struct target *t, const char *word)
{
	const char	*p = t->features;
	size_t		 len = strlen(word), n;

	while (*(p += strspn(p, " \t,")) != '\0') {
		n = strcspn(p, " \t,");
		if (n == len && strncmp(p, word, n) == 0)
			return 1;
		p += n;
	}
	return 0;
}

/*
 * The next number of a version and past its separator; 0 when there is none
 * left, so that 7.6 is 7.6.0p0.  What follows a dash ("-portable") is a name.
 */
static unsigned long
next_number(const char **p)
{
	unsigned long	 v;
	char		*end;

	if (!isdigit((unsigned char)**p))
		return 0;
	v = strtoul(*p, &end, 10);
	if (*end == '.' || (*end == 'p' && isdigit((unsigned char)end[1])))
		end++;
	*p = end;
	return v;
}

int
version_cmp(const char *a, const char *b)
{
	unsigned long	 x, y;

	while (isdigit((unsigned char)*a) || isdigit((unsigned char)*b)) {
		x = next_number(&a);
		y = next_number(&b);
		if (x != y)
			return x < y ? -1 : 1;
	}
	return 0;
}

/* The longer operators first. */
static const struct {
	const char	*op;
	int		 lt, eq, gt;
} compares[] = {
	{ ">=",	0, 1, 1 },
	{ "<=",	1, 1, 0 },
	{ ">",	0, 0, 1 },
	{ "<",	1, 0, 0 },
};

int
target_matches(const struct target *t, const char *pattern)
{
	size_t	 i, n;
	int	 c;

	if (strcmp(pattern, "*") == 0 || strcmp(pattern, t->name) == 0)
		return 1;
	for (i = 0; i < nitems(compares); i++) {
		n = strlen(compares[i].op);
		if (strncmp(pattern, compares[i].op, n) != 0)
			continue;
		pattern += n + strspn(pattern + n, " \t");
		c = version_cmp(t->version, pattern);
		return c < 0 ? compares[i].lt : c > 0 ? compares[i].gt :
		    compares[i].eq;
	}
	return pattern[strspn(pattern, "0123456789.p")] == '\0' &&
	    version_cmp(t->version, pattern) == 0;
}
