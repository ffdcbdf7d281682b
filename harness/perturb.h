#ifndef SMTPDTEST_PERTURB_H
#define SMTPDTEST_PERTURB_H

#include <sys/queue.h>

#include <stddef.h>
#include <stdint.h>

struct actor_kind;
struct parser;
struct pos;
struct proc;
struct run;
struct session;

/*
 * What can be done to the order of things without a word of the dialogues
 * being changed.  Every decision is drawn from the choice stream, from streams
 * of their own ("perturb", "perturb/c/17"), so that what a scenario draws stays
 * the same.  Time is counted in contacts: the steps of all clients so far.
 */
enum {
	PERTURB_DELAY	= 1 << 0,	/* an actor's step comes later */
	PERTURB_SEGMENT	= 1 << 1,	/* what it says goes in small segments */
	PERTURB_CUT	= 1 << 2,	/* it ends anywhere: FIN, RST, half-close */
	PERTURB_STOP	= 1 << 3,	/* processes of the daemon stand still */
	PERTURB_HOLD	= 1 << 4,	/* so do its filters, and DNS answers */
	PERTURB_PCT	= 1 << 5,	/* random priorities with change points */
	PERTURB_PAUSE	= 1 << 6,	/* a client says nothing for a while */
	PERTURB_TIMEOUT	= 1 << 7,	/* nor anything ever again */
	PERTURB_CLIENTS	= PERTURB_DELAY | PERTURB_SEGMENT | PERTURB_CUT |
			    PERTURB_PAUSE | PERTURB_TIMEOUT,
	PERTURB_ALL	= (1 << 8) - 1,
	/* smtpd waits five minutes, as long as a hunt may take */
	PERTURB_DEFAULT	= PERTURB_ALL & ~PERTURB_TIMEOUT
};

/* So long a client waits for the daemon to lose its patience. */
#define PERTURB_SILENCE	330000000	/* us */

/* "stop,cut" to bits; -1 with the word that is none in *bad (to be freed). */
int	 perturb_mask(const char *, unsigned int *, char **bad);
/* And back; static storage. */
const char *perturb_names(unsigned int);

/*
 * A process that stands still from a contact on, for so many contacts or until
 * nothing moves any more, whichever comes first; smtpdtest(5), stop.
 */
struct window {
	STAILQ_ENTRY(window) entry;
	const char	*who;
	uint64_t	 after;
	uint64_t	 count;
};
STAILQ_HEAD(windows, window);

/* What happens once nothing moves any more, one after the other; rest. */
struct rest {
	STAILQ_ENTRY(rest) entry;
	const char	*what;		/* of smtpdtest(5) */
	const char	*who;
};
STAILQ_HEAD(rests, rest);

/* The items "stop WHO after N [for M]" and "rest WHAT WHO" of a scenario. */
void	 perturb_parse_stop(struct parser *);
void	 perturb_parse_rest(struct parser *);

/* One of these, named as in "stop WHO"; a mistake in the file otherwise. */
const char *perturb_parse_who(struct parser *);
/* Is this one of the daemon's the one of that name? */
int	 perturb_is(const struct proc *, const char *who);

/* The daemon is ready, no dialogue has begun; a no-op when none is asked for. */
void	 perturb_start(struct run *);
/* Does what an actor of ours would answer have to wait? */
int	 perturb_holds(const struct run *, const struct actor_kind *);
/* Is there something left to happen once nothing moves? */
int	 perturb_busy(const struct run *);
/* All goes on again; to be called when the dialogues are over, in any way. */
void	 perturb_end(struct run *);
void	 perturb_free(struct run *);

/* A new session, whose channel is there, draws what will happen to it. */
void	 perturb_session(struct session *);
void	 perturb_session_free(struct session *);

/*
 * An actor is about to make a step.  1 if it has to wait (its timer is set; its
 * connection may have been ended), 0 to go on.
 */
int	 perturb_contact(struct session *);
/*
 * A message of len octets is about to be said: how many of them now.  If not
 * all, it stops in the middle and is cut there later.
 */
size_t	 perturb_part(struct session *, size_t len);
/* Does it wait because of that?  Nothing else may wake it then. */
int	 perturb_waits(struct session *);
/* The time is up: 0 to go on, -1 if that was its end. */
int	 perturb_late(struct session *);

#endif
