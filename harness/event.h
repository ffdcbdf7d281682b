#ifndef SMTPDTEST_EVENT_H
#define SMTPDTEST_EVENT_H

#include <jansson.h>

/*
 * The one event stream.  A runner (one forked process per scenario) writes
 * JSON objects, one a line, to its pipe; the parent adds its own and hands
 * every object to each reporter.  --json is this very stream.
 *
 * kinds ("event" member):
 *  run-start   {seed:"0x..", time (of day, s), host:{system,release,machine,cpus}, jobs,
 *               scenarios, targets:[{name,version,features}]}
 *  start       {id, path, name, target, seed}          a scenario begins
 *  progress    {id, done, total, what}                 inside a fleet, at most 5 a second
 *  end         {id, path, name, target, version, verdict, reason, seconds, startup_ms,
 *               proves:[..], failures:[{t,where,actor,oracle,expected,got}],
 *               known:[{t,where,got,why}], transcript:[{t,actor,dir,text}],
 *               log:[..], stats:{..}, repeat:"smtpdtest run ..."}
 *  run-end     {seconds, interrupted, summary:[{target,version,passed,failed,known,skipped,
 *               errors,requirements}], differ:[{path,name,outcomes:[{verdict,got:[..]}]}],
 *               skipped-by-some}          differ: where the targets do not do the same, in
 *               the order of summary (differ.h)
 * verdict: pass, fail, known, skip, error (set-up: the daemon did not start, ...).
 * t is in microseconds since the scenario's start.  "transcript", "log" and
 * "choices" (the recorded stream as text) are present when the verdict is fail
 * or error, or with --keep; else, with --json, "gist":[[t,actor,dir,text]].
 * With --json, "source" is the text of the scenario, on the first target.
 * stats.latency is in latency.h.
 */
struct reporter {
	const char	 *name;			/* as in --NAME FILE */
	void		*(*open)(const char *);	/* file, NULL is stdout; exits 2 on error */
	void		 (*event)(void *, const json_t *);
	void		 (*close)(void *);	/* also after Ctrl-C: files stay valid */
};

extern const struct reporter	report_human;
extern const struct reporter	report_tap;
extern const struct reporter	report_junit;
extern const struct reporter	report_json;

/* Write one object as a line to fd; takes the reference.  Ignores EPIPE. */
void	event_emit(int, json_t *);

#endif
