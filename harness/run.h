#ifndef SMTPDTEST_RUN_H
#define SMTPDTEST_RUN_H

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <event2/event.h>
#include <jansson.h>

#include "choice.h"
#include "runner.h"
#include "script.h"
#include "target.h"

struct account;
struct channel;
struct disturbance;
struct filters;
struct parser;
struct plugin_kind;
struct perturb;
struct profile;
struct reply;
struct relay_hub;
struct reports;
struct run;
struct sandbox;
struct sandbox_event;
struct session;
struct smtp_track;
struct ssl_ctx_st;

/* What a step did. */
enum did {
	DID_STEP,		/* on to the next */
	DID_WAIT,		/* call again when something happens */
	DID_ENTER,		/* a frame was pushed */
	DID_FAIL		/* judged already; the session is over */
};

struct step_kind {
	const char	*word;
	void		(*parse)(struct parser *, struct step *);
	enum did	(*run)(struct session *, struct step *);
	/* the time is up: what was awaited, and what was got instead; NULL: none */
	enum did	(*timeout)(struct session *, struct step *);
	int		 says;		/* may stand inside batch */
};

/* An option an actor takes. */
struct opt_kind {
	const char	*name;
	enum { OPT_WORD, OPT_TEXT, OPT_RANGE, OPT_TIME, OPT_ADDR } type;
};

/* An actor in a run. */
struct actor {
	TAILQ_ENTRY(actor) entry;
	struct run	*run;
	const struct role *role;
	struct choices	*choices;
	void		*state;		/* of the kind */
	int		 left;		/* sessions not over; the run waits for them */
};
TAILQ_HEAD(actors, actor);

struct actor_kind {
	const char	*word;
	char		 says, hears;	/* "C", "S"; 0: no dialogue */
	int		 lf;		/* its lines end so, without a CR */
	const struct opt_kind *opts;	/* ends with a NULL name */
	int		 raw;		/* the block is text, not a dialogue */
	/* look at what was parsed; may call parse_fail() */
	void		(*check)(struct parser *, struct role *);
	/* what is heard */
	void		(*hear_parse)(struct parser *, struct step *);
	enum did	(*hear)(struct session *, struct step *);
	enum did	(*hear_timeout)(struct session *, struct step *);
	/* before the daemon starts: listen; -1 after run_error() */
	int		(*prepare)(struct actor *);
	/* the daemon is ready */
	int		(*start)(struct actor *);
	/* bytes said on a channel, for whoever watches the protocol */
	void		(*said)(struct session *, const char *, size_t);
	/* in blocks: so many sessions more */
	void		(*more)(struct actor *, uint64_t sessions);
	/* a session of it is over */
	void		(*done)(struct session *);
	/* news of a process in the sandbox */
	void		(*event)(struct actor *, const struct sandbox_event *);
	/* all is over: was it needed? */
	void		(*judge)(const struct actor *);
	void		(*stop)(struct actor *);
	/* what perturb_holds() has kept it from saying may be said */
	void		(*go_on)(struct actor *);
	/* of what smtpd starts: several blocks may have one name */
	const struct plugin_kind *plugin;
};

extern const struct actor_kind actor_client, actor_server, actor_smtpd,
    actor_dns, actor_process, actor_http, actor_daemon, actor_filter,
    actor_table;
extern const struct actor_kind *const actor_kinds[];	/* NULL-terminated */

struct var {
	STAILQ_ENTRY(var) entry;
	char		*name;
	char		*value;
	size_t		 len;
};
STAILQ_HEAD(vars, var);

struct frame {
	struct steps	*list;
	struct step	*cur;
	struct step	*owner;		/* repeat, batch, ... or NULL */
	uint64_t	 i, n;		/* 1-based turn, number of turns */
};

#define MAX_FRAMES	16

/* One dialogue being held. */
struct session {
	TAILQ_ENTRY(session) entry;
	struct run	*run;
	struct actor	*actor;
	struct stream	*choices;
	struct channel	*ch;		/* NULL before connecting */
	struct smtp_track *track;	/* of a client */
	struct vars	 vars;
	unsigned int	 n;		/* 1-based */
	char		 label[64];	/* "c" or "c[17]" */
	struct frame	 frames[MAX_FRAMES];
	int		 depth;
	int		 phase;		/* of the current step, 0 at its start */
	int		 batching;	/* hold what is said */
	int		 running;	/* guards against re-entry */
	int		 over;
	int		 ended;		/* it ended the connection itself */
	struct event	*timer;
	struct buf	 held;		/* inside batch */
	struct buf	 scratch;
	size_t		 scan;		/* input looked at already */
	void		*state;		/* of the kind */
	int		 heard;		/* it was answered, so it was accepted */
	unsigned long	 moves;		/* of the run, when it began to wait */
	int		 contacted;	/* the current step was announced */
	struct disturbance *disturbance; /* perturb.c */
	struct wire	*wire;		/* filter_wire.c, or NULL */
	struct buf	 trace;		/* lines, of run.c */
	size_t		 ntrace;
};
TAILQ_HEAD(sessions, session);

struct point {
	STAILQ_ENTRY(point) entry;
	const char	*name;
	int		 reached;
};
STAILQ_HEAD(points, point);

struct oracle {
	const char	*name;
	const char	*text;		/* what it demands */
	void		(*ready)(struct run *);
	void		(*log)(struct run *, const char *line);
	void		(*event)(struct run *, const struct sandbox_event *);
	void		(*finish)(struct run *);
	int		 always;	/* finish also after a failure */
	int		 daemon;	/* needs a daemon of our own */
	int		 once;		/* not of what is played in blocks */
};

extern const struct oracle oracle_crash, oracle_grammar, oracle_replies,
    oracle_accounting, oracle_clean, oracle_secret, oracle_filter;
extern const struct oracle *const oracles[];		/* NULL-terminated */

/* A daemon process and its descriptors when it was ready. */
struct proc {
	pid_t		 pid;
	char		 title[64];
	int		 nfds;
};

#define MAX_PROCS	16

struct daemon {
	struct actor	*actor;
	pid_t		 pid;
	struct event	*logev;
	int		 logfd;
	struct buf	 logbuf;
	json_t		*log;		/* lines with times */
	size_t		 judged;	/* so many of them, by oracle_clean.c */
	int		 exited, status;
	int		 stopping;	/* we asked it to end */
	int		 down;		/* killed, and not back yet */
	int		 crashed;	/* it was killed once */
	uint64_t	 since;		/* when, or when it was started again */
	int		 ready;
	struct proc	 procs[MAX_PROCS];
	int		 nprocs;
	uint64_t	 looked;	/* at them, last */
	struct sockaddr_storage addr;	/* of a plain listener, family 0: none */
	socklen_t	 addrlen;
};

TAILQ_HEAD(plugins, plugin);
TAILQ_HEAD(filter_watches, filter_watch);

/* The one run context: a scenario against a target. */
struct run {
	const struct scenario *sc;
	const struct run_opts *opts;
	const struct target *target;
	int		 evfd;
	struct event_base *base;
	struct sandbox	*sb;
	struct event	*sbev;
	uint64_t	 t0;
	uint64_t	 timeout;	/* of a step, microseconds */
	const struct profile *profile;
	int		 foreign;	/* not our daemon: we see what it says, no more */
	struct choices	*choices;
	struct actors	 actors;
	struct sessions	 sessions;
	struct points	 points;
	struct vars	 vars;		/* captured by single sessions, seen by all */
	struct daemon	 daemon;
	struct account	*account;
	struct latency	*latency;
	struct ssl_ctx_st *tls_client, *tls_server;
	json_t		*failures, *known, *stats;
	json_t		*trace;
	struct words	 secrets;
	struct proc_waits *waits;
	struct plugins	 plugins;	/* what smtpd starts and we play */
	struct filter_watches watches;	/* of oracle_filter.c */
	json_t		*early;		/* its objections so far, or NULL */
	struct filters	*filters;	/* of smtpd.conf, once it is written */
	struct wires	*wires;		/* NULL: there is no filter */
	struct relay_hub *relay_hub;	/* of relay.c, NULL: none is expected */
	struct perturb	*perturb;
	struct reports	*reports;	/* of sanitizers, not judged yet */
	const char	*verdict;	/* set when there is one before the end */
	const char	*not_offered;	/* the EHLO keyword it was over for */
	char		*reason;
	char		*note;		/* said with any verdict, or NULL */
	int		 failed;
	int		 stop;		/* SIGTERM, or a failure: end the dialogues */
	int		 judging;	/* they are over */
	int		 shaking;	/* filters of daemon blocks, not ready yet */
	uint64_t	 ready_us;	/* sandbox and daemon, wall time */
	unsigned long	 nsessions, nsessions_done, ncommands, nreplies;
	unsigned long	 moves;		/* steps made by anybody */
	unsigned long	 nunheard;	/* clients that were never answered */
	int		 heard;		/* and one that may have been */
	uint64_t	 progress;	/* when told last */
	uint64_t	 look_again;	/* at what takes long, not before */
};

/*
 * actor_client.c: the key of a profile that says where this client goes with
 * --connect; NULL: where that says.
 */
const char *client_service(const struct role *);

/* oracle_crash.c: does the scenario say that the daemon ends by itself? */
int	 exit_expected(const struct run *);

/*
 * oracle_clean.c: give the daemon time to come to rest, all sessions being over.
 * Whether it does is judged at the end.
 */
void	 clean_rest(struct run *);

/* oracle_clean.c: judge what the daemon has said so far. */
void	 clean_log(struct run *);

/* actor_smtpd.c: the daemon's processes now, at most max; how many */
int	 daemon_procs(struct proc *, int max);
/*
 * Start it with the configuration that is there; -1 after run_error().  What
 * it says is added to its log.
 */
int	 daemon_launch(struct run *);
/* Does it listen, with all its processes in their loops?  Ask repeatedly. */
int	 daemon_ready(struct run *);
/* Read what it has said so far. */
void	 daemon_read_log(struct run *);

/* run.c: the context */

/*
 * Something differs from what was wanted.  A known deviation of this target
 * with this very text is noted and 1 returned; otherwise the run has failed
 * and the return is 0.  actor may be NULL, oracle is NULL for a scenario's own
 * expectation; strings are copied.
 */
int	 run_judge(struct run *, const struct pos *, const char *actor,
	    const char *oracle, const struct knowns *, const char *expected,
	    const char *got);
/* It conforms: a deviation pinned for this target is then a failure. */
void	 run_conforms(struct run *, const struct pos *, const char *actor,
	    const struct knowns *);
/* Is the deviation pinned for this target? */
int	 known_applies(const struct run *, const struct known *);
/* A pin that cannot come true any more: a failure of the scenario's own. */
void	 run_stale(struct run *, const struct pos *, const char *expected,
	    const char *got);
/*
 * pins.c, at the end of a run that came to it: pins that did not come up are
 * failures.
 */
void	 pins_judge(struct run *);
/* The scenario is skipped: a pin for this very target, or NULL. */
const struct known *pins_skipped(const struct run *);
/* Shorthand for an oracle's objection. */
int	 oracle_object(struct run *, const struct oracle *, const char *actor,
	    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same with what was demanded instead of the oracle's text. */
int	 oracle_object_to(struct run *, const struct oracle *,
	    const char *actor, const char *expected, const char *got);
/* Set-up went wrong: the verdict is error. */
void	 run_error(struct run *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));
/*
 * The keyword of EHLO that all the rest is about is not there: the verdict is
 * skip.  It is a text of the scenario.
 */
void	 run_not_offered(struct run *, const char *keyword);
/* A line of the transcript; dir is "C", "S", "--", ...; text may hold any byte. */
void	 run_trace(struct run *, struct session *, const char *who,
	    const char *dir, const char *text, size_t len);
/* What the session has seen becomes part of the run's transcript. */
void	 run_keep_trace(struct run *, const struct session *);
/* How often times of ours are taken: more than once under a slow wrapper. */
unsigned int run_slow(const struct run *);
/* Handle events until done() or the time is up; 1 if done. */
int	 run_until(struct run *, int (*done)(struct run *), uint64_t us);
/* The point is reached: whoever waits goes on. */
void	 run_reach(struct run *, const char *);
int	 run_reached(struct run *, const char *);

/* dialogue.c: sessions */
struct session *session_new(struct actor *, unsigned int n, struct steps *);
void	 session_run(struct session *);		/* until it has to wait */
void	 session_wake(void *);			/* for a channel: the same */
void	 session_end(struct session *);
void	 session_free(struct session *);
void	 vars_free(struct vars *);
int	 session_enter(struct session *, struct steps *, struct step *,
	    uint64_t n);
void	 session_say(struct session *, const char *, size_t);
/* Ask to be called again after us microseconds, once a step. */
void	 session_timer(struct session *, uint64_t us);
/* ${} expanded into s->scratch, valid until the next call. */
struct buf *session_expand(struct session *, const char *);
void	 session_set(struct session *, const char *, const char *, size_t);
/* Judge a step: DID_STEP when it is known, else DID_FAIL. */
enum did session_judge(struct session *, struct step *, const char *expected,
	    const char *got);
/* Regex groups become variables of the session (arg). */
void	 session_group(void *, const char *, const char *, size_t);

/* What the steps are, by their first word; NULL-terminated. */
extern const struct step_kind *const step_kinds[];
extern const struct step_kind step_say, step_raw, step_hear, step_err,
    step_err_raw;

/* Expectations of the whole run. */
struct expect_kind {
	const char	*word;
	const char	*args;		/* for the error message */
	int		 min, max;	/* number of arguments */
	int		 words;		/* so many come first and are no /regex/ */
	/* before the account is closed; may mark arrivals as explained */
	void		(*claim)(struct run *, const struct expect *);
	void		(*check)(struct run *, const struct expect *);
};
extern const struct expect_kind *const expect_kinds[];

/* Is the pattern, a /regex/ or plain text, in there? */
int	 text_found(const char *, const char *, size_t);

#endif
