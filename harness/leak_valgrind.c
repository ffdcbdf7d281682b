/* The valgrind engine of "leak": the real daemon under memcheck. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "leak.h"
#include "run.h"

#define SESSIONS	20

static void
after(struct run *run, unsigned int i, void *arg)
{
	(void)run;
	(void)arg;
	warnx("block %u", i);
}

static int
valgrind_run(const struct leak_job *job, struct leak_result *res)
{
	const uint64_t	 sessions[] = { job->sessions, job->sessions,
			     2 * job->sessions };
	struct leak_run	 r = { .target = job->target, .blocks = {
			     .sessions = sessions, .n = nitems(sessions),
			     .after = after } };
	int		 code;

	code = leak_play(job, &r, 1);
	json_decref(r.end);
	res->sessions = 4 * job->sessions;
	return code;
}

const struct leak_engine leak_valgrind = {
	.name = "valgrind",
	.summary = "the daemon under memcheck, with stacks",
	.sessions = SESSIONS,
	.run = valgrind_run,
};
