#ifndef SMTPDTEST_LEAK_SAMPLE_H
#define SMTPDTEST_LEAK_SAMPLE_H

#include <sys/types.h>

#include <jansson.h>

struct heap;
struct run;

/* What a process has, for a number of sessions. */
struct leak_sample {
	int	 counted;	/* bytes and blocks are known */
	int64_t	 bytes, blocks;	/* live on its heap; heap.h */
	long	 rss;		/* kB, anonymous */
	int	 fds, sockets;
};

/* 0, or -1 when it is gone. */
int	 leak_sample(const struct heap *, pid_t, struct leak_sample *);

/* Wait for a while that it neither allocates nor frees; blocks. */
void	 leak_sample_wait(const struct heap *);

/* The same as JSON, or NULL; the title is what the process is for. */
json_t	*leak_sample_json(const struct heap *, pid_t, const char *title);
/* Put this after that many sessions among the samples of stats; steals procs. */
void	 leak_sample_add(json_t *stats, uint64_t sessions, json_t *procs);

/*
 * Wait until no process allocates or frees anything, which is what daemons in
 * their event loops do, and add to run->stats, "samples", what all of them have
 * after that many sessions of clients:
 * {sessions, procs: [{process, pid, bytes, blocks, rss, fds, sockets}]}.
 */
void	 leak_sample_run(struct run *, const struct heap *, uint64_t sessions);

#endif
