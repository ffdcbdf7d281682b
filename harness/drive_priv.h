#ifndef SMTPDTEST_DRIVE_PRIV_H
#define SMTPDTEST_DRIVE_PRIV_H

#include <sys/queue.h>

#include <event2/event.h>

#include "drive.h"
#include "drive_proc.h"
#include "filter_judge.h"
#include "filter_log.h"
#include "filter_start.h"

/* What the engine's files share. */

/* Flags of hostile kinds: what drive_smtp.c and drive.c do otherwise. */
#define HOSTILE_CONFIG		0x0001	/* config keys nobody knows */
#define HOSTILE_VERSION_8	0x0002
#define HOSTILE_VERSION_10	0x0004
#define HOSTILE_FIELDS		0x0008	/* fields behind the last one */
#define HOSTILE_LATE		0x0010	/* events after link-disconnect */
#define HOSTILE_NO_BEGIN	0x0020	/* transactions without tx-begin */
#define HOSTILE_MIDDLE		0x0040	/* sessions without link-connect */
#define HOSTILE_HUGE		0x0080	/* lines as long as smtpd has them */
#define HOSTILE_EIGHT_BIT	0x0100	/* in names, addresses and mail */
#define HOSTILE_NUL		0x0200
#define HOSTILE_BARS		0x0400	/* '|' where it may be */
#define HOSTILE_PIECES		0x0800	/* lines in pieces */
#define HOSTILE_DEAF		0x1000	/* its answers are not read for a while */
#define HOSTILE_EOF		0x2000	/* the end in the midst of sessions */
#define HOSTILE_EOF_EARLY	0x4000	/* the end before the handshake's */
#define HOSTILE_LOCAL	0x10000	/* clients of smtpd's own socket */
#define HOSTILE_DEAD		0x8000	/* clients gone while an answer is owed */

struct drive;
struct drive_script;

struct drive_answer {
	enum drive_decision decision;
	const char	*param;		/* NULL: none */
};

/* A session with a client, as smtpd has it. */
struct dsession {
	TAILQ_ENTRY(dsession) entry;
	struct drive	*d;
	struct stream	*stream;
	uint64_t	 mix;		/* for what needs no record */
	uint64_t	 id;
	int		 out;		/* of smtp-out */
	/* one of them: what to do next, or when answered */
	void		(*next)(struct dsession *);
	void		(*after)(struct dsession *);
	int		 phase;		/* asked for, -1: none */
	uint64_t	 since;		/* when */
	struct drive_answer answer;
	char		*param;		/* owns answer.param */
	int		 over;
	/* the client and where it stands */
	int		 identified, tls, authed, junk, txjunk;
	unsigned	 left;		/* commands until it has enough */
	unsigned	 mails;		/* transactions until then */
	int		 last;		/* command, for tx-* in replies */
	struct buf	 helo, user, rcpt, from;
	uint32_t	 tx;		/* msgid, or 0 */
	unsigned	 nrcpt, maxrcpt;
	int		 toobig;
	struct buf	 mail;		/* lines with LF, the final dot last */
	size_t		 mailpos;
	size_t		 stored;	/* octets that came back */
	enum { DOT_NONE, DOT_SENT, DOT_BACK } dot;
};
TAILQ_HEAD(dsessions, dsession);

struct ring_line {
	uint64_t	 usec;
	char		 dir;
	uint64_t	 seq;
	char		*text;
	size_t		 len;
};

#define RING		2048

struct drive {
	const struct drive_conf *conf;
	struct drive_result *res;
	unsigned	 hostile;	/* flags */
	struct event_base *base;
	struct drive_proc *proc;
	struct event	*sbev, *tick, *work;
	struct filter_judge *judge;
	struct filter_log *log;
	struct drive_script *script;
	unsigned long	 nheard;	/* lines of the filter that count */
	struct stream	*stream;
	uint64_t	 t0;		/* of the start */
	uint64_t	 begun;		/* when config|ready was said */
	uint64_t	 ready;		/* when it was, 0: not yet */
	uint64_t	 deaf;		/* until then */
	uint64_t	 owed;		/* us in which an answer is due */
	uint64_t	 round_began;
	uint64_t	 quiet_since;	/* all said, waiting for the last answer */
	struct dsessions sessions;
	unsigned long	 nopen, nbegun, ndone;
	unsigned long	 total, parallel;
	unsigned long	 round;		/* sessions of one, for the usage */
	unsigned int	 nrounds;	/* over, of those that conf gives */
	uint64_t	 token[PH_COUNT];
	struct ring_line ring[RING];
	uint64_t	 nring;
	struct filter_line fl;
	struct buf	 line, said;
	struct filter_start start;
	int		 finishing;	/* nothing new is begun */
	int		 eof;		/* of its stdin */
	uint64_t	 eof_at;
	int		 exited, stop;
	int		 cutoff;	/* sessions were cut off by us */
	int		 unready;	/* it is not going to be ready */
};

/* drive.c */
/* A whole line, LF and all, to the filter. */
void	 drive_send(struct drive *, const char *, size_t);
/* An objection of our own, by the invariant's id. */
void	 drive_object(struct drive *, const char *id, uint64_t session,
	    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
uint64_t drive_now(const struct drive *);

/* drive_smtp.c */
struct dsession *dsession_new(struct drive *, unsigned long n);
void	 dsession_free(struct dsession *);
/* One step of one that waits for nothing. */
void	 dsession_step(struct dsession *);
/* The filter has answered, or returned a line of mail. */
void	 dsession_answer(struct dsession *, const struct filter_line *);
/* Its time is up: smtpd's timeout. */
void	 dsession_timeout(struct dsession *);
struct dsession *dsession_find(struct drive *, uint64_t id);

/* drive_message.c */
/* A message of a client, dots stuffed, final dot and all, into s->mail. */
void	 drive_message(struct dsession *);
/* An address, a name; into the buffer, which is reset. */
void	 drive_address(struct dsession *, struct buf *, int sender);
void	 drive_name(struct dsession *, struct buf *);

/* drive_replay.c */
/* NULL with "file:line:column: ..." in err. */
struct drive_script *drive_script_load(const char *, char *err, size_t errlen);
void	 drive_script_free(struct drive_script *);
/* Is this line of the filter one to wait for? */
int	 drive_script_counts(const char *, size_t);
/* Send what may be sent now; 1 when all has been sent. */
int	 drive_script_step(struct drive *, struct drive_script *);

#endif
