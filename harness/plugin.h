#ifndef SMTPDTEST_PLUGIN_H
#define SMTPDTEST_PLUGIN_H

#include "relay.h"
#include "run.h"

/*
 * What the filter and the table actor share: a process that smtpd starts and
 * that we are.  Every block of the scenario with its name is a dialogue with
 * smtpd about one SMTP session (of a table: about one question); whatever no
 * block asks for gets the answer of somebody who has nothing to say.
 */

/* A line from smtpd. */
struct plugin_line {
	TAILQ_ENTRY(plugin_line) entry;
	char		*text;		/* without its LF, NUL-terminated */
	size_t		 len;
	char		 point[48];	/* "commit", "tx-mail", "smtp-out|tx-mail" */
	char		 sid[32];
	char		 token[32];
	size_t		 param;		/* offset of the last field */
	int		 request;	/* an answer is owed */
};
TAILQ_HEAD(plugin_lines, plugin_line);

struct plugin;

/* The protocol: one of filters, one of tables. */
struct plugin_kind {
	const char	*sid;		/* variables set for each line heard; */
	const char	*token;		/* sid NULL: there are no sessions */
	/* Fill in what the line is; 0: it belongs to no session. */
	int		(*read)(struct plugin_line *);
	/* The line is the last one of its session. */
	int		(*ends)(const struct plugin_line *);
	/* Append what somebody says to a request who has nothing to say. */
	void		(*answer)(const struct plugin_line *, struct buf *);
	/* Append the lines that register what the blocks ask for, and ready. */
	void		(*enlist)(const struct plugin *, struct buf *);
	/* The point a D: line is about; does not return if there is none. */
	const char	*(*point)(struct parser *, const struct pos *,
			    const char *);
	/* A word of "on": the same. */
	const char	*(*on)(struct parser *, const struct pos *,
			    const char *);
	/* Have the protocol judged, if there is a judge for it. */
	struct filter_watch *(*watch)(const struct actor *);
	/* Append what smtpd.conf(5) must say for smtpd to start it. */
	void		(*declare)(const struct actor *, struct buf *);
};

/* Each line of a block that is expected: the argument of its step. */
struct plugin_heard {
	const struct pattern *pattern;
	const char	*regex;
	const char	*end;		/* <fin>: smtpd closed it */
	const char	*point;
	uint64_t	 silence;	/* us */
};

/* A block as declared: the role's argument. */
struct plugin_block {
	struct words	 points;	/* what it listens to */
	struct words	 on;		/* what begins it, or empty: */
	const struct plugin_heard *first;
	int		 each;		/* again and again */
	int		 manual;	/* nothing goes by itself */
};

/* A block in a run: the actor's state. */
struct plugin_seat {
	TAILQ_ENTRY(plugin_seat) entry;
	struct actor	*actor;
	struct plugin	*plugin;
	const struct plugin_block *block;
	unsigned int	 begun;
};

/* One SMTP session of smtpd's, as one filter sees it. */
struct plugin_thread {
	TAILQ_ENTRY(plugin_thread) entry;
	char		 sid[32];
	int		 ended;
	struct inst	*insts;
};

struct plugin {
	TAILQ_ENTRY(plugin) entry;
	struct run	*run;
	const struct plugin_kind *kind;
	const char	*name;
	struct relay_user user;
	struct relay	*relay;		/* NULL: not started, or gone */
	struct channel	*ch;		/* NULL before it was started */
	struct channel	*err;		/* or NULL: */
	int		 errfd;		/* what a table has is the daemon's own log */
	TAILQ_HEAD(, plugin_seat) seats;
	TAILQ_HEAD(, plugin_thread) threads;
	struct filter_watch *watch;	/* of a filter */
	struct session	*probe;		/* to see whether a block begins */
	unsigned int	 ninsts;
	size_t		 ntrace;
	int		 manual;	/* as long as that block is held */
	int		 enlisted;	/* or will by itself */
	int		 ready;		/* it has registered */
	int		 deaf;
	int		 quit;		/* we have ended it */
};

/* --- for the actors ------------------------------------------------------- */
void	 plugin_check(struct parser *, struct role *);
void	 plugin_hear_parse(struct parser *, struct step *);
enum did plugin_hear(struct session *, struct step *);
enum did plugin_hear_timeout(struct session *, struct step *);
int	 plugin_prepare(struct actor *);
void	 plugin_said(struct session *, const char *, size_t);
void	 plugin_done(struct session *);
void	 plugin_stop(struct actor *);
void	 plugin_go_on(struct actor *);
extern const struct opt_kind plugin_opts[];
/* One point, unless it is in there already. */
void	 plugin_point(struct parser *, struct words *, const char *,
	    const struct pos *);
/* The n-th field of a line, counted from 0; NULL when it has fewer. */
const char *plugin_field(const char *line, int n, size_t *len);
void	 plugin_copy(char *to, size_t size, const char *from, size_t len);

/* --- for steps of such a dialogue ----------------------------------------- */
/* Say octets on standard error. */
void	 plugin_stderr(struct session *, const char *, size_t);
void	 plugin_hold(struct session *);
/* Say so many of the answers held back in one piece, all for UINT64_MAX. */
void	 plugin_release(struct session *, uint64_t);
/* End the process: an exit status, or the negative number of a signal. */
void	 plugin_quit(struct session *, int how);
/* What is closed: "stdin", "stdout", "stderr". */
void	 plugin_close(struct session *, const char *what);
void	 plugin_deaf(struct session *, int on);

/* --- for the run ---------------------------------------------------------- */
/* Those that have not registered yet, as a sentence's end; "" if none. */
char	*plugin_unready(const struct run *);
/* Judge whether each block was begun, unless nobody was to. */
void	 plugin_judge(const struct actor *);

#endif
