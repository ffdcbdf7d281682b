#include <sys/types.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <netinet/in.h>

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "cmd.h"
#include "perturb.h"

#ifndef PREFIX
#define PREFIX	"/usr/local"
#endif

/* How far above the executable the source tree may be: build/asan/smtpdtest. */
#define UP_MAX	3

/* Cut the last component off, in place; 0 when there is none left. */
static int
parent_dir(char *path)
{
	char	*slash;

	if ((slash = strrchr(path, '/')) == NULL || slash == path)
		return 0;
	*slash = '\0';
	return 1;
}

static int
exe_dir(char *path, size_t size)
{
	ssize_t	 n;

	if ((n = readlink("/proc/self/exe", path, size - 1)) == -1)
		return 0;
	path[n] = '\0';
	return parent_dir(path);
}

static char *
try(const char *dir, const char *rel)
{
	char	*path;

	path = xasprintf("%s/%s", dir, rel);
	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return NULL;
}

char *
cli_share(const char *rel)
{
	char	 dir[PATH_MAX], *path, *share;
	int	 up;

	if (exe_dir(dir, sizeof(dir))) {
		for (up = 0; up <= UP_MAX; up++) {
			if ((path = try(dir, rel)) != NULL)
				return path;
			share = xasprintf("%s/share/smtpdtest", dir);
			path = try(share, rel);
			free(share);
			if (path != NULL)
				return path;
			if (!parent_dir(dir))
				break;
		}
	}
	return try(PREFIX "/share/smtpdtest", rel);
}

char *
cli_share_env(const char *var, const char *rel)
{
	const char	*s;

	if ((s = getenv(var)) != NULL && *s != '\0')
		return xstrdup(s);
	return cli_share(rel);
}

char *
cli_certs(void)
{
	return cli_share_env("SMTPDTEST_CERTS", "certs");
}

char *
cli_filters(void)
{
	return cli_share_env("SMTPDTEST_FILTERS", "filters");
}

/* build/results, where we were built there or beside it. */
char *
cli_results(void)
{
	char	 dir[PATH_MAX], *path;
	int	 up;

	if (!exe_dir(dir, sizeof(dir)))
		return xstrdup("smtpdtest-results");
	if ((path = try(dir, "build")) != NULL) {
		free(path);
		return xasprintf("%s/build/results", dir);
	}
	for (up = 0; up <= UP_MAX; up++) {
		if ((path = strrchr(dir, '/')) == NULL)
			break;
		if (strcmp(path, "/build") == 0)
			return xasprintf("%s/results", dir);
		if (!parent_dir(dir))
			break;
	}
	return xstrdup("smtpdtest-results");
}

const char *
cli_program(void)
{
	return program_invocation_name;
}

int
cli_u64(const char *s, uint64_t *v)
{
	char	*end;

	/* strtoull() would take a sign and blanks. */
	if (!isdigit((unsigned char)*s))
		return -1;
	errno = 0;
	*v = strtoull(s, &end, strncasecmp(s, "0x", 2) == 0 ? 16 : 10);
	return errno != 0 || *end != '\0' ? -1 : 0;
}

uint64_t
cli_number(const char *what, const char *s, uint64_t lo, uint64_t hi)
{
	uint64_t	 v;

	if (cli_u64(s, &v) == -1 || v < lo || v > hi) {
		warnx("%s: \"%s\" is not a number from %llu to %llu", what, s,
		    (unsigned long long)lo, (unsigned long long)hi);
		exit(EX_SETUP);
	}
	return v;
}

int
cli_option_set(const struct cli_option *o, void *base, int ch, const char *arg)
{
	while (o->ch != 0 && o->ch != ch)
		o++;
	if (o->ch == 0)
		return 0;
	if (o->hi == 0)
		memcpy((char *)base + o->off, &arg, sizeof(arg));
	else
		*(uint64_t *)(void *)((char *)base + o->off) = cli_number(
		    o->what, arg, o->lo, o->hi);
	return 1;
}

unsigned int
cli_perturb(const char *list)
{
	unsigned int	 mask;
	char		*bad;

	if (perturb_mask(list, &mask, &bad) == -1)
		errx(EX_SETUP, "--perturb: \"%s\" is none of %s", bad,
		    perturb_names(PERTURB_ALL));
	return mask;
}

uint64_t
cli_random_seed(void)
{
	uint64_t	 v;

	if (getrandom(&v, sizeof(v), 0) != sizeof(v))
		err(EX_SETUP, "getrandom");
	return v;
}

void
cli_quote(struct buf *b, const char *s)
{
	static const char	 plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "@%_+=:,./-";

	if (*s != '\0' && s[strspn(s, plain)] == '\0') {
		buf_addstr(b, s);
		return;
	}
	buf_addstr(b, "'");
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			buf_addstr(b, "'\\''");
		else
			buf_add(b, s, 1);
	}
	buf_addstr(b, "'");
}

static int
is_loopback(const struct sockaddr *sa)
{
	const struct sockaddr_in	*in4;
	const struct sockaddr_in6	*in6;

	if (sa->sa_family == AF_INET) {
		in4 = (const struct sockaddr_in *)(const void *)sa;
		return ntohl(in4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	}
	if (sa->sa_family != AF_INET6)
		return 0;
	in6 = (const struct sockaddr_in6 *)(const void *)sa;
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		return in6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/* Split HOST:PORT or [HOST]:PORT in place. */
static int
split_hostport(char *s, char **host, char **port)
{
	char		*colon;
	uint64_t	 v;

	if ((colon = strrchr(s, ':')) == NULL || colon == s ||
	    cli_u64(colon + 1, &v) == -1 || v == 0 || v > 65535)
		return -1;
	*colon = '\0';
	*port = colon + 1;
	*host = s;
	if (*s == '[') {
		if (colon[-1] != ']')
			return -1;
		colon[-1] = '\0';
		*host = s + 1;
		return 0;
	}
	/* ::1:25 could be anything. */
	return strchr(s, ':') != NULL ? -1 : 0;
}

/* An address, IPv4 rather than IPv6 as most daemons listen there. */
static char *
numeric(const struct addrinfo *res, int any)
{
	const struct addrinfo	*ai, *best = res;
	char			 host[NI_MAXHOST], port[NI_MAXSERV];

	for (ai = res; ai != NULL; ai = ai->ai_next) {
		if (!any && !is_loopback(ai->ai_addr))
			return NULL;
		if (ai->ai_family == AF_INET && best->ai_family != AF_INET)
			best = ai;
	}
	if (getnameinfo(best->ai_addr, best->ai_addrlen, host, sizeof(host),
	    port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return NULL;
	return xasprintf(best->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
	    host, port);
}

char *
cli_connect(const char *hostport, int any, char *errstr, size_t errlen)
{
	struct addrinfo	 hints = { .ai_socktype = SOCK_STREAM }, *res;
	char		*copy, *host, *port, *ret = NULL;
	int		 rc;

	copy = xstrdup(hostport);
	if (split_hostport(copy, &host, &port) == -1)
		snprintf(errstr, errlen, "%s: not HOST:PORT or [HOST]:PORT",
		    hostport);
	else if ((rc = getaddrinfo(host, port, &hints, &res)) != 0)
		snprintf(errstr, errlen, "%s: %s", host, gai_strerror(rc));
	else {
		if ((ret = numeric(res, any)) == NULL)
			snprintf(errstr, errlen, "%s is not this host's "
			    "loopback: say --i-run-this-host if you may test "
			    "it", host);
		freeaddrinfo(res);
	}
	free(copy);
	return ret;
}

uint64_t
cli_cpus(void)
{
	cpu_set_t	 set;

	if (sched_getaffinity(0, sizeof(set), &set) == -1)
		return 1;
	return (uint64_t)CPU_COUNT(&set);
}

uint64_t
cli_parallel(uint64_t each)
{
	uint64_t	 n = each * cli_cpus();

	return n < 64 ? n : 64;
}

void
cli_reraise(int signo)
{
	sigset_t	 none;

	signal(signo, SIG_DFL);
	sigemptyset(&none);
	raise(signo);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
