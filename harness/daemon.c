#include <sys/types.h>
#include <sys/stat.h>

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "sandbox.h"
#include "target.h"
#include "util.h"

#define CONF		"/etc/smtpd.conf"
#define MAX_ARGS	48
#define STR(x)		#x
#define XSTR(x)		STR(x)
/*
 * A report goes to the log, and SIGABRT makes the sandbox look where it
 * happened.  No process of the daemon could find its symbols: they are chrooted.
 */
#define SAN_OPTIONS	"abort_on_error=1:exitcode=" \
			XSTR(DAEMON_SANITIZER_EXIT) ":symbolize=0"

/* Means nothing to a daemon that was built without. */
static const char *const sanitizers[] = {
	"ASAN_OPTIONS=" SAN_OPTIONS ":detect_leaks=0:print_legend=0"
	    ":detect_stack_use_after_return=1",
	"UBSAN_OPTIONS=" SAN_OPTIONS ":halt_on_error=1:print_stacktrace=1",
	NULL
};

/* mkdir -p; only the last gets the mode. */
static int
make_dir(const char *path, mode_t mode)
{
	char	*part = xstrdup(path), *p;
	int	 rv = 0;

	for (p = part + 1; rv == 0 && (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		if (mkdir(part, 0755) == -1 && errno != EEXIST)
			rv = -1;
		*p = '/';
	}
	if (rv == 0 && mkdir(part, mode) == -1 && errno != EEXIST)
		rv = -1;
	free(part);
	return rv;
}

static int
make_dir_above(const char *path)
{
	char	*up = xstrdup(path), *slash = strrchr(up, '/');
	int	 rv = 0;

	if (slash != NULL && slash != up) {
		*slash = '\0';
		rv = make_dir(up, 0755);
	}
	free(up);
	return rv;
}

/*
 * smtpd makes the rest of its spool, but one process looks into this directory
 * while another makes it, and warns now and then.
 */
static int
make_purge(const struct target *t)
{
	const struct passwd	*pw = getpwnam(t->queueuser);
	char			*path = xasprintf("%s/purge", t->spool);
	int			 rv;

	rv = make_dir(path, 0700);
	if (rv == 0 && pw != NULL)
		rv = chown(path, pw->pw_uid, 0);
	free(path);
	return rv;
}

/* What a package would have made. */
int
daemon_dirs(const struct target *t)
{
	if (make_dir_above(t->socket) == -1 ||
	    make_dir(t->chroot, 0755) == -1 ||
	    make_dir(t->spool, 0711) == -1)
		return -1;
	/* On a disk it may have been there, not as smtpd insists. */
	if (chown(t->spool, 0, 0) == -1 || chmod(t->spool, 0711) == -1)
		return -1;
	return make_purge(t);
}

/* Add to a vector of MAX_ARGS, which stays NULL-terminated; its length. */
static size_t
append(const char **v, size_t n, const char *const *more)
{
	while (more != NULL && *more != NULL && n + 2 < MAX_ARGS)
		v[n++] = *more++;
	v[n] = NULL;
	return n;
}

pid_t
daemon_start(struct sandbox *sb, const struct target *t,
    const char *const *extra, const struct daemon_wrap *wrap, int fd,
    char *err, size_t errlen)
{
	static const char *const smtpd_args[] = { "-d", "-f", CONF, NULL };
	const char		*argv[MAX_ARGS], *env[MAX_ARGS];
	struct sandbox_cmd	 cmd = { .argv = argv, .fd = { -1, fd, fd },
				    .env = env };
	size_t			 n = 0;
	pid_t			 pid;

	cmd.trace = wrap == NULL || !wrap->traces;
	cmd.patient = wrap != NULL && wrap->slow > 1;
	if (wrap != NULL)
		n = append(argv, n, wrap->argv);
	argv[n++] = t->smtpd;
	n = append(argv, n, smtpd_args);
	append(argv, n, extra);
	n = append(env, 0, sanitizers);
	append(env, n, wrap == NULL ? NULL : wrap->env);
	if (daemon_dirs(t) == -1) {
		snprintf(err, errlen, "cannot make the daemon's directories: "
		    "%s", strerror(errno));
		return -1;
	}
	if ((pid = sandbox_spawn(sb, &cmd)) == -1)
		snprintf(err, errlen, "cannot start %s in the sandbox: %s",
		    t->smtpd, strerror(errno));
	return pid;
}

int
daemon_listening(int port)
{
	int	 ports[256], n, i;

	n = sandbox_ports(ports, (int)nitems(ports));
	if (port == 0)
		return n > 0;
	for (i = 0; i < n; i++)
		if (ports[i] == port)
			return 1;
	return 0;
}
