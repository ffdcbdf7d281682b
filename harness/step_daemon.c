/* crash and restart: the daemon ends as if the power had gone, and comes back. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "parser.h"
#include "perturb.h"
#include "sandbox.h"
#include "steps.h"

#define LOOK_TIME	2000		/* us, between looks */

static void
needs_daemon(struct parser *p, const struct step *st)
{
	if (p->kind != &actor_process)
		parse_fail(p, &st->pos, "%s is a step of process",
		    st->kind->word);
}

/* crash [WHO]: that process of the daemon, or all at once */
static void
crash_parse(struct parser *p, struct step *st)
{
	needs_daemon(p, st);
	lex_skip(p, 0);
	st->text = lex_eol(p) ? NULL : perturb_parse_who(p);
}

static int
crash_now(struct session *s, const char *who)
{
	struct daemon *d = &s->run->daemon;
	struct proc procs[MAX_PROCS];
	int i, n, killed = 0;

	n = daemon_procs(procs, MAX_PROCS);
	for (i = 0; i < n; i++)
		if (who == NULL || perturb_is(&procs[i], who))
			killed += sandbox_kill(s->run->sb, procs[i].pid,
			    SIGKILL) == 0;
	if (who == NULL && d->pid > 0)
		sandbox_kill(s->run->sb, d->pid, SIGKILL);
	return killed;
}

/* Who is left ends by itself, since somebody is missing. */
static enum did
crash_run(struct session *s, struct step *st)
{
	struct daemon *d = &s->run->daemon;
	struct proc procs[MAX_PROCS];

	if (s->phase == 0) {
		clean_log(s->run);
		d->down = d->crashed = 1;
		run_trace(s->run, s, s->label, "--", "<crash>", 7);
		if (crash_now(s, st->text) == 0)
			return session_judge(s, st, "a process to crash",
			    "<none>");
		d->since = now_us();
		s->phase = 1;
	}
	if (d->exited && daemon_procs(procs, MAX_PROCS) == 0)
		return DID_STEP;
	if (now_us() - d->since > s->run->sc->timeout * run_slow(s->run))
		return session_judge(s, st, "that the daemon ends",
		    "<timeout>");
	session_timer(s, LOOK_TIME);
	return DID_WAIT;
}

const struct step_kind step_crash = {
	.word = "crash",
	.parse = crash_parse,
	.run = crash_run,
};

static void
restart_parse(struct parser *p, struct step *st)
{
	needs_daemon(p, st);
}

/* With the configuration, the spool and all else as it has left them. */
static enum did
restart_run(struct session *s, struct step *st)
{
	struct run *run = s->run;
	struct daemon *d = &run->daemon;

	if (s->phase == 0) {
		if (!d->exited || !TAILQ_EMPTY(&run->plugins)) {
			run_error(run, "%s: restart comes after a crash, and "
			    "not with filters or tables of ours", s->label);
			return DID_FAIL;
		}
		run_trace(run, s, s->label, "--", "<restart>", 9);
		if (daemon_launch(run) == -1)
			return DID_FAIL;
		d->since = now_us();
		s->phase = 1;
	}
	if (d->exited || now_us() - d->since > run->sc->timeout * run_slow(run))
		return session_judge(s, st, "that the daemon starts again",
		    d->exited ? "it has exited" : "<timeout>");
	if (!daemon_ready(run)) {
		session_timer(s, LOOK_TIME);
		return DID_WAIT;
	}
	/* what it said while it fell is no news */
	daemon_read_log(run);
	d->judged = json_array_size(d->log);
	d->ready = 1;
	d->down = 0;
	return DID_STEP;
}

const struct step_kind step_restart = {
	.word = "restart",
	.parse = restart_parse,
	.run = restart_run,
};
