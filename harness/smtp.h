#ifndef SMTPDTEST_SMTP_H
#define SMTPDTEST_SMTP_H

#include "parser.h"
#include "run.h"

/* One reply of RFC 5321 4.2, all its lines. */
struct reply {
	int		 code;		/* 0: no three digits */
	const char	*raw;		/* with its line ends */
	size_t		 rawlen;
	char		*text;		/* lines joined by \n, without CR */
	size_t		 len;
	int		 nlines;
};

/*
 * Take one reply off the beginning of in: the octets it has, or 0 when it is
 * not complete.  A line that is no reply at all counts as one, with code 0.
 * The text is to be freed with reply_free().
 */
size_t	 reply_parse(const char *in, size_t len, struct reply *);
void	 reply_free(struct reply *);
/* The enhanced status code of line n (0-based) of RFC 2034, as "5.1.0", or "". */
void	 reply_ecode(const struct reply *, int n, char *, size_t);

/*
 * What a client expects to hear: alternatives, each a code pattern with
 * conditions, or an end of the connection, or silence.
 */
struct want;

struct want *want_parse(struct parser *);
/* Does the reply match any alternative?  Captures go to the session. */
int	 want_reply(const struct want *, const struct reply *,
	    struct session *);
/* All would be well but for this keyword of EHLO, which is not there; or NULL. */
const char *want_keyword(const struct want *, const struct reply *,
	    struct session *);
/* Is a reply of this class wanted, be it another one? */
int	 want_class(const struct want *, const struct reply *);
/* Does this end ("<fin>", "<rst>")? */
int	 want_end(const struct want *, const char *);
/* The silence it wants in microseconds, or 0. */
uint64_t want_silence(const struct want *);
/* As the scenario says it, for messages. */
const char *want_text(const struct want *);

/* "<fin>", "<rst>" or NULL while the connection stands. */
const char *end_name(const struct channel *);

/*
 * A client's own idea of where the protocol stands, made from what was said
 * and heard: which command each reply answers, and which messages the daemon
 * has taken responsibility for.
 */
enum cmd_kind {
	CMD_GREETING, CMD_EHLO, CMD_HELO, CMD_MAIL, CMD_RCPT, CMD_DATA,
	CMD_EOD, CMD_BDAT, CMD_RSET, CMD_QUIT, CMD_STARTTLS, CMD_AUTH, CMD_AUTHLINE,
	CMD_OTHER
};

struct smtp_track *track_new(struct session *);
void	 track_free(struct smtp_track *);
void	 track_said(struct smtp_track *, const char *, size_t);
/* Judged by the grammar and replies oracles on the way. */
void	 track_reply(struct smtp_track *, const struct reply *);
/* The session is over; unread is what came and was not asked for. */
void	 track_end(struct smtp_track *, const char *unread, size_t len);
/* The path of "MAIL FROM:<path> ..." or NULL; to be freed. */
char	*smtp_path(const char *line, size_t len);

/* Called by the tracker. */
void	 grammar_reply(struct run *, struct session *, const struct reply *,
	    enum cmd_kind, int enhanced);

#endif
