#ifndef SMTPDTEST_FILTER_JUDGE_PRIV_H
#define SMTPDTEST_FILTER_JUDGE_PRIV_H

#include <sys/queue.h>
#include <sys/tree.h>

#include "filter_judge.h"
#include "filter_line.h"
#include "util.h"

/*
 * Between filter_judge.c, which keeps the model of what went by, and the
 * invariants, each a function that looks at one line before it is part of the
 * model.
 */

/* When an invariant is asked. */
#define ON_CONFIG	0x0001
#define ON_REPORT	0x0002
#define ON_REQUEST	0x0004
#define ON_REGISTER	0x0008
#define ON_RESULT	0x0010
#define ON_DATALINE	0x0020
#define ON_STRAY	0x0040	/* a line of no kind */
#define ON_MALFORMED	0x0080	/* also when the line is malformed */
#define ON_STDERR	0x0100
#define ON_TIME		0x0200	/* without a line */
#define ON_EOF		0x0400
#define ON_EXIT		0x0800
#define ON_END		0x1000
#define ON_RESOURCE	0x2000
#define ON_STORED	0x4000
#define ON_WIRE		0x8000
#define IN_ONLY		0x10000	/* with the others: not for smtp-out */
#define ON_DAEMON	(ON_CONFIG | ON_REPORT | ON_REQUEST)
#define ON_FILTER	(ON_REGISTER | ON_RESULT | ON_DATALINE)

struct data_line {
	STAILQ_ENTRY(data_line) entry;
	size_t		 len;
	char		 text[];
};
STAILQ_HEAD(data_lines, data_line);

/* A request that is not a data line, and what became of it. */
struct asked {
	int		 phase;		/* -1: none yet */
	int		 open;		/* no answer yet */
	int		 responded;	/* its filter-response came */
	int		 told;		/* that it is late */
	uint64_t	 token, since;
	char		*param;		/* its last field */
	char		*decision;	/* NULL: none */
	char		*answer;	/* its parameter, or NULL */
};

/* A transaction, as the reports have it. */
struct tx {
	int		 open;		/* tx-begin, neither commit nor rollback */
	int		 ended;		/* one of them came: tx-reset is next */
	uint32_t	 msgid;
	unsigned	 mails, rcpts, datas; /* tx-mail, tx-rcpt, tx-data "ok" */
	unsigned	 envelopes;	/* since the last tx-rcpt */
	int		 junk;
};

/* The lines of one message. */
struct data {
	int		 in, in_end;	/* lines have come; the dot has */
	int		 out, out_end;
	uint64_t	 token, since;	/* of its last line in */
	unsigned long	 nin, nout;
	int		 told;
	int		 spam;		/* it began with X-Spam */
	int		 cr, unstuffed;	/* a line in had a CR, .x */
	int		 in_body, out_body; /* the header is over */
	int		 in_odd;	/* and was none to begin with */
	struct data_lines lines;	/* not come back yet, for an identity */
	struct data_lines sent;		/* not come to the next in the chain yet */
};

enum { OUT_NONE, OUT_IN, OUT_OUT };	/* which subsystem */

struct fsession {
	RB_ENTRY(fsession) entry;
	TAILQ_ENTRY(fsession) age;
	uint64_t	 id;
	int		 out;		/* smtp-out */
	int		 spared;
	int		 gone;		/* link-disconnect came */
	uint64_t	 since;		/* of its first line */
	unsigned long	 nlines, nreports;
	unsigned	 count[EV_COUNT]; /* reports so far */
	int		 last;		/* event of the last report, -1: none */
	int		 before;	/* of the one before */
	uint64_t	 stamp;		/* of the last report */
	unsigned	 phases;	/* asked so far, by bit */
	int		 connects;	/* asked connect */
	char		*client;	/* the last protocol-client */
	char		*server;	/* the last protocol-server */
	int		 answered;	/* a protocol-server came since the client's */
	int		 responded;	/* a filter-response came since: its phase + 1 */
	int		 rejected;	/* and it was a reject or disconnect */
	int		 commits;	/* commit was asked since */
	int		 rcpted;	/* tx-rcpt came since the client's line */
	char		*identity;	/* what the EHLO asked is about */
	int		 identified;	/* link-identify since the last TLS */
	int		 starttls;	/* 220 to STARTTLS: 1, until link-tls */
	int		 auth;		/* link-auth: its result 'p' 'f' 'e', until the reply */
	int		 asking_auth;	/* the last reply was 334 */
	int		 junk;		/* from now on all its mail */
	struct asked	 asked;
	struct tx	 tx;
	struct data	 data;
};
RB_HEAD(fsessions, fsession);
TAILQ_HEAD(fsession_list, fsession);
RB_PROTOTYPE(fsessions, fsession, entry, fsession_cmp)

#define MAX_TOKENS	16

/* A tx-commit, until somebody knows what was stored. */
struct commit {
	TAILQ_ENTRY(commit) entry;
	uint32_t	 msgid;
	size_t		 size;
};
TAILQ_HEAD(commits, commit);

struct filter_judge {
	char		*name;
	struct filter_facts facts;
	filter_object_fn object;
	void		(*watch)(void *, const struct filter_line *);
	void		*watch_arg;
	void		*arg;
	struct filter_line line;	/* the one that is judged */
	struct buf	 raw;		/* the same as it came */
	struct filter_seen seen;
	struct fsessions sessions;
	struct fsession_list alive, gone; /* the oldest first */
	unsigned long	 nalive, ngone;
	int		 config;	/* how far its order is, rules_daemon.c */
	int		 config_ready;
	uint64_t	 config_time;
	int		 said_protocol;	/* config|protocol came */
	unsigned	 subsystems;	/* config|subsystem came: 1 in, 2 out */
	int		 told_ready, told_blocked;
	int		 version;	/* 7 for 0.7; 0: not said yet */
	int		 first_version;	/* of the first line that has one */
	uint64_t	 last_answer;
	int		 cause;		/* what it was made to bear last: F30 ... */
	char		*daemon;	/* its version, NULL: not known */
	uint64_t	 tokens[PH_COUNT][MAX_TOKENS];
	int		 ntokens[PH_COUNT];
	unsigned char	*told;		/* how often, by rule */
	unsigned char	*applies;	/* to this version of the daemon, by rule */
	unsigned long	 nstderr;
	struct commits	 commits;
	unsigned long	 ncommits;
	struct filter_judge *before;	/* in a chain, or NULL */
	int		 keeps;		/* somebody is after it: keep sent lines */
	uint64_t	 now;
	int		 eof_d, eof_f, exited, spared, over;
};

/* What an invariant looks at. */
struct judging {
	struct filter_judge *j;
	struct fsession	*s;		/* NULL: no session, or an unknown one */
	const struct filter_line *fl;
	const char	*raw;		/* the line as it came */
	size_t		 len;
	int		 terminated;
	int		 on;		/* the one ON_* bit */
	int		 status;	/* ON_EXIT */
	unsigned long	 base, grown;	/* ON_RESOURCE; ON_STORED: bytes */
	uint32_t	 msgid;		/* ON_STORED */
	char		 dir;
	const struct rule *rule;
};

struct rule {
	struct filter_rule pub;
	unsigned	 on;
	void		(*judge)(struct judging *);
};
extern const struct rule rules_daemon[], rules_session[], rules_tx[],
    rules_filter[];			/* each ends with a NULL id */

/* The invariant does not hold; the text is one sentence. */
void	 object(struct judging *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));
/* Is this event registered, for the session's subsystem; is this phase? */
int	 hears(const struct judging *, int event);
int	 asks(const struct judging *, int phase);
/* Every session that is not spared. */
void	 each_session(struct judging *, void (*)(struct judging *));

struct fsession *judge_session(struct filter_judge *, uint64_t id);
/* The client's last line is the command of this phase; "." for commit. */
int	 client_said(const struct fsession *, int phase);
/* smtpd's last reply begins so. */
int	 server_said(const struct fsession *, const char *code);
/* Is it one of a message's header, the first of it? */
int	 header_line(const char *, size_t, int first);
/* A key of config lines: its place, from 1; 0: smtpd has no such. */
int	 key_number(const char *);
int	 line_is(const struct data_line *, const char *, size_t);

/* A report of this event / a request of this phase. */
#define IS_EVENT(g, ev)	((g)->on == ON_REPORT && (g)->fl->point == (ev))
#define IS_PHASE(g, ph)	((g)->on == ON_REQUEST && (g)->fl->point == (ph))

#endif
