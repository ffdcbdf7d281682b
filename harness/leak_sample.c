/* What processes hold while nothing is on its way. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "leak_sample.h"
#include "run.h"
#include "util.h"

#define QUIET_LOOK	5000		/* us, between two looks */
#define QUIET_LOOKS	4		/* without a difference */
#define QUIET_TIME	2000000		/* us; then it is taken as it is */

static long
anon_kb(pid_t pid)
{
	char path[64], *text, *s;
	long kb = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if ((text = read_file(path, NULL, 65536)) == NULL)
		return -1;
	if ((s = strstr(text, "\nRssAnon:")) != NULL)
		kb = strtol(s + 9, NULL, 10);
	free(text);
	return kb;
}

static void
count_fds(pid_t pid, struct leak_sample *s)
{
	struct dirent *e;
	char path[300], link[16];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	if ((dir = opendir(path)) == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		s->fds++;
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid,
		    e->d_name);
		if (readlink(path, link, sizeof(link)) > 7 &&
		    strncmp(link, "socket:", 7) == 0)
			s->sockets++;
	}
	closedir(dir);
}

int
leak_sample(const struct heap *h, pid_t pid, struct leak_sample *s)
{
	const struct heap_slot *slot = heap_find(h, pid);

	memset(s, 0, sizeof(*s));
	if ((s->rss = anon_kb(pid)) == -1)
		return -1;
	count_fds(pid, s);
	if (slot != NULL) {
		s->counted = 1;
		s->bytes = slot->bytes;
		s->blocks = slot->blocks;
	}
	return 0;
}

static void
look_again(struct run *run)
{
	if (run != NULL)
		run_until(run, NULL, QUIET_LOOK);
	else
		usleep(QUIET_LOOK);
}

/* The run goes on meanwhile, if there is one. */
static void
wait_quiet(struct run *run, const struct heap *h)
{
	uint64_t calls = heap_calls(h), now, end = now_us() + QUIET_TIME;
	int same = 0;

	while (same < QUIET_LOOKS && now_us() < end) {
		look_again(run);
		now = heap_calls(h);
		same = now == calls ? same + 1 : 0;
		calls = now;
	}
}

void
leak_sample_wait(const struct heap *h)
{
	wait_quiet(NULL, h);
}

json_t *
leak_sample_json(const struct heap *h, pid_t pid, const char *title)
{
	struct leak_sample s;
	json_t *j;

	if (leak_sample(h, pid, &s) == -1)
		return NULL;
	j = json_pack("{s:s, s:i, s:I, s:i, s:i}", "process", title, "pid",
	    (int)pid, "rss", (json_int_t)s.rss, "fds", s.fds, "sockets",
	    s.sockets);
	if (s.counted) {
		json_object_set_new(j, "bytes", json_integer(s.bytes));
		json_object_set_new(j, "blocks", json_integer(s.blocks));
	}
	return j;
}

void
leak_sample_add(json_t *stats, uint64_t sessions, json_t *procs)
{
	json_t *all = json_object_get(stats, "samples");

	if (all == NULL) {
		all = json_array();
		json_object_set_new(stats, "samples", all);
	}
	json_array_append_new(all, json_pack("{s:I, s:o}", "sessions",
	    (json_int_t)sessions, "procs", procs));
}

void
leak_sample_run(struct run *run, const struct heap *h, uint64_t sessions)
{
	struct proc now[MAX_PROCS];
	json_t *procs = json_array(), *j;
	int i, n;

	wait_quiet(run, h);
	n = daemon_procs(now, MAX_PROCS - 1);
	now[n].pid = run->daemon.pid;
	snprintf(now[n].title, sizeof(now[n].title), "parent");
	n++;
	for (i = 0; i < n; i++)
		if ((j = leak_sample_json(h, now[i].pid, now[i].title)) != NULL)
			json_array_append_new(procs, j);
	leak_sample_add(run->stats, sessions, procs);
}
