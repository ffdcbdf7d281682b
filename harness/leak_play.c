/* Playing a scenario in blocks for "leak", and the result's memory. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "cmd.h"
#include "leak.h"
#include "pool.h"
#include "report.h"
#include "script.h"
#include "target.h"

#define WATCHDOG	(10 * 60)	/* s */
#define DETAILS		20		/* lines of a transcript */

struct play {
	const struct leak_job *job;
	struct leak_run	*run;
	size_t		 n;
	int		 tty;
};

struct leak_row *
leak_add(struct leak_result *res, const char *process, const char *what)
{
	struct leak_row	*row;

	res->row = xreallocarray(res->row, res->n + 1, sizeof(*res->row));
	row = &res->row[res->n++];
	memset(row, 0, sizeof(*row));
	row->process = xstrdup(process);
	row->what = xstrdup(what);
	return row;
}

void
leak_free(struct leak_result *res)
{
	size_t	 i;

	for (i = 0; i < res->n; i++) {
		free(res->row[i].process);
		free(res->row[i].what);
		free(res->row[i].function);
		free(res->row[i].stack);
		free(res->row[i].why);
	}
	free(res->row);
	json_decref(res->more);
	memset(res, 0, sizeof(*res));
}

/* Sessions of all blocks; a progress event knows only those of this one. */
static uint64_t
total(const struct leak_run *r)
{
	uint64_t	 n = 0;
	unsigned int	 i;

	for (i = 0; i < r->blocks.n; i++)
		n += r->blocks.sessions[i];
	return n;
}

static void
on_event(void *arg, json_t *ev)
{
	struct play	*p = arg;
	const char	*kind = jstr(ev, "event");
	struct leak_run	*r = &p->run[jint(ev, "id")];

	if (strcmp(kind, "end") == 0) {
		json_decref(r->end);
		r->end = json_incref(ev);
	} else if (p->tty && strcmp(kind, "progress") == 0)
		fprintf(stderr, "\r\033[K%s: %lld of %llu sessions\r",
		    r->target->name, (long long)jint(ev, "done"),
		    (unsigned long long)total(r));
}

static void
on_tick(void *arg)
{
	(void)arg;
}

/* Said once, for what could not be measured; the exit code. */
static int
fell_short(const struct leak_job *job, const struct leak_run *r)
{
	enum verdict	 v = r->end == NULL ? V_ERROR : verdict_of(r->end);
	struct buf	 b = { 0 };

	if (v == V_PASS || v == V_KNOWN)
		return EX_PASS;
	if (v == V_FAIL) {
		/* of so many sessions what is known would hide the rest */
		json_object_del(r->end, "known");
		report_details(&b, r->end, DETAILS);
		warnx("%s on %s falls short, so nothing is measured:\n%s",
		    job->sc->path, r->target->name, b.data);
		buf_free(&b);
		return EX_FAIL;
	}
	warnx("%s on %s: %s%s", job->sc->path, r->target->name,
	    v == V_SKIP ? "skipped: " : "",
	    r->end == NULL ? "no result" : jstr(r->end, "reason"));
	return v == V_SKIP ? EX_SKIP : EX_SETUP;
}

static struct job *
make_jobs(const struct leak_job *job, const struct leak_run *r, size_t n)
{
	struct job	*jobs = xcalloc(n, sizeof(*jobs));
	size_t		 i;

	for (i = 0; i < n; i++) {
		jobs[i].sc = job->sc;
		jobs[i].target = r[i].target->name;
		jobs[i].version = r[i].target->version;
		jobs[i].opts.target = r[i].target;
		jobs[i].opts.seed = job->seed;
		jobs[i].opts.certs = cli_certs();
		jobs[i].opts.filters = cli_filters();
		jobs[i].opts.catalogue = job->catalogue;
		jobs[i].opts.repeat = job->repeat;
		jobs[i].opts.blocks = &r[i].blocks;
		jobs[i].opts.wrap = r[i].wrap;
		jobs[i].opts.id = (int)i;
	}
	return jobs;
}

int
leak_play(const struct leak_job *job, struct leak_run *r, size_t n)
{
	struct play	 p = { .job = job, .run = r, .n = n };
	struct pool	 pool = {
		.n = n, .event = on_event, .tick = on_tick, .arg = &p,
		.parallel = (unsigned int)n, .watchdog = WATCHDOG
	};
	struct job	*jobs = make_jobs(job, r, n);
	size_t		 i;
	int		 signo, code = EX_PASS;

	p.tty = !job->quiet && isatty(STDERR_FILENO);
	pool.jobs = jobs;
	signo = pool_run(&pool);
	free(jobs);
	if (p.tty)
		fprintf(stderr, "\r\033[K");
	if (signo != 0)
		cli_reraise(signo);
	for (i = 0; i < n && code == EX_PASS; i++)
		code = fell_short(job, &r[i]);
	return code;
}
