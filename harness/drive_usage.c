/* What a process holds, and whether that grows. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drive.h"

#define GROWTH_ROUNDS	5		/* one after the other */
#define GROWTH_COUNT	5		/* descriptors, threads */
#define GROWTH_RSS	1024		/* kB */

static char *
proc_file(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return read_file(path, NULL, 1024 * 1024);
}

static unsigned long
number(const char *text, const char *key)
{
	const char *s = strstr(text, key);

	return s == NULL ? 0 : strtoul(s + strlen(key), NULL, 10);
}

static unsigned long
count_fds(pid_t pid)
{
	unsigned long n = 0;
	struct dirent *de;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	if ((dir = opendir(path)) == NULL)
		return 0;
	while ((de = readdir(dir)) != NULL)
		n += de->d_name[0] != '.';
	closedir(dir);
	return n;
}

static uint64_t
cpu_time(pid_t pid)
{
	unsigned long user, sys;
	char *text, *s;
	uint64_t us = 0;

	if ((text = proc_file(pid, "stat")) == NULL)
		return 0;
	/* fields 14 and 15; the name, 2, may hold blanks and brackets */
	if ((s = strrchr(text, ')')) != NULL && sscanf(s + 1, " %*c %*d %*d "
	    "%*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) == 2)
		us = (uint64_t)(user + sys) * 1000000 /
		    (uint64_t)sysconf(_SC_CLK_TCK);
	free(text);
	return us;
}

/* Of the descendants, by asking every process for its parent. */
static unsigned long
count_procs(pid_t pid)
{
	unsigned long n = 1;
	struct dirent *de;
	char *text;
	pid_t child;
	DIR *dir;

	if ((dir = opendir("/proc")) == NULL)
		return n;
	while ((de = readdir(dir)) != NULL) {
		if ((child = (pid_t)strtol(de->d_name, NULL, 10)) <= 1 ||
		    (text = proc_file(child, "status")) == NULL)
			continue;
		if ((pid_t)number(text, "\nPPid:") == pid &&
		    strstr(text, "\nState:\tZ") == NULL)
			n += count_procs(child);
		free(text);
	}
	closedir(dir);
	return n;
}

int
drive_usage(pid_t pid, struct drive_usage *u)
{
	char *text;

	memset(u, 0, sizeof(*u));
	if (pid == 0 || (text = proc_file(pid, "status")) == NULL)
		return -1;
	u->rss = number(text, "\nRssAnon:");
	u->threads = number(text, "\nThreads:");
	free(text);
	u->fds = count_fds(pid);
	u->procs = count_procs(pid);
	u->cpu = cpu_time(pid);
	return 0;
}

int
drive_stopped(pid_t pid)
{
	char *text;
	int hit;

	if (pid == 0 || (text = proc_file(pid, "status")) == NULL)
		return 0;
	hit = strstr(text, "\nState:\tt") != NULL;
	free(text);
	return hit;
}

static const struct {
	const char	*what, *unit;
	size_t		 off;
	unsigned long	 least;
} growths[] = {
	{ "memory", " kB", offsetof(struct drive_usage, rss), GROWTH_RSS },
	{ "descriptors", "", offsetof(struct drive_usage, fds), GROWTH_COUNT },
	{ "threads", "", offsetof(struct drive_usage, threads), GROWTH_COUNT },
	{ "processes", "", offsetof(struct drive_usage, procs), GROWTH_COUNT },
};

static unsigned long
value(const struct drive_usage *u, size_t off)
{
	unsigned long v;

	memcpy(&v, (const char *)u + off, sizeof(v));
	return v;
}

/* More with every one of the last rounds?  What comes and goes is no leak. */
static int
grows(const struct drive_usage *u, size_t n, size_t off, unsigned long least)
{
	size_t i;

	if (n < GROWTH_ROUNDS + 1)
		return 0;
	for (i = n - GROWTH_ROUNDS; i < n; i++)
		if (value(&u[i], off) <= value(&u[i - 1], off))
			return 0;
	return value(&u[n - 1], off) -
	    value(&u[n - 1 - GROWTH_ROUNDS], off) >= least;
}

int
drive_heap_grows(const struct drive_usage *u, size_t n)
{
	return grows(u, n, offsetof(struct drive_usage, rss), GROWTH_RSS);
}

char *
drive_growth(const struct drive_usage *u, size_t n, unsigned long sessions)
{
	struct buf b = { 0 };
	unsigned long from, to;
	size_t i;

	for (i = 0; i < nitems(growths); i++) {
		if (!grows(u, n, growths[i].off, growths[i].least))
			continue;
		from = value(&u[n - 1 - GROWTH_ROUNDS], growths[i].off);
		to = value(&u[n - 1], growths[i].off);
		buf_addf(&b, "%s%s from %lu%s to %lu%s within %lu sessions",
		    b.len > 0 ? ", " : "", growths[i].what, from,
		    growths[i].unit, to, growths[i].unit,
		    sessions * GROWTH_ROUNDS);
	}
	return b.data;
}
