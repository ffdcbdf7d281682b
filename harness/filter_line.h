#ifndef SMTPDTEST_FILTER_LINE_H
#define SMTPDTEST_FILTER_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "util.h"

/*
 * Lines of the filter protocol, smtpd-filters(7), versions 0.4 to 0.7.  What
 * older versions order differently has the order of 0.7 here.
 */
enum filter_kind {
	FILTER_UNKNOWN,
	/* from the daemon */
	FILTER_CONFIG,		/* name: the key; field 0: its value, if any */
	FILTER_REPORT,		/* name: the event */
	FILTER_REQUEST,		/* name: the phase; data-line is one */
	/* from the filter */
	FILTER_REGISTER,	/* what: report, filter, ready; name: *, event, phase */
	FILTER_RESULT,		/* name: the decision; field 0: its parameter, if any */
	FILTER_DATALINE		/* field 0: the line */
};

/* Events of reports. */
enum filter_event {
	EV_LINK_CONNECT, EV_LINK_DISCONNECT, EV_LINK_GREETING,
	EV_LINK_IDENTIFY, EV_LINK_TLS, EV_LINK_AUTH, EV_TX_RESET, EV_TX_BEGIN,
	EV_TX_MAIL, EV_TX_RCPT, EV_TX_ENVELOPE, EV_TX_DATA, EV_TX_COMMIT,
	EV_TX_ROLLBACK, EV_PROTOCOL_CLIENT, EV_PROTOCOL_SERVER,
	EV_FILTER_REPORT, EV_FILTER_RESPONSE, EV_TIMED_OUT, EV_COUNT
};

/* Phases of requests; there are none on smtp-out. */
enum filter_phase {
	PH_CONNECT, PH_HELO, PH_EHLO, PH_STARTTLS, PH_AUTH, PH_MAIL_FROM,
	PH_RCPT_TO, PH_DATA, PH_DATA_LINE, PH_RSET, PH_QUIT, PH_NOOP, PH_HELP,
	PH_COMMIT, PH_COUNT
};

/* What of a malformed line is wrong; the first thing that is. */
enum filter_bad {
	BAD_NOTHING, BAD_KIND, BAD_EMPTY, BAD_VERSION, BAD_TIME, BAD_SUBSYSTEM,
	BAD_POINT, BAD_ID, BAD_FIELDS, BAD_REGISTER, BAD_DECISION, BAD_PARAM
};

#define FILTER_FIELDS	8

struct filter_line {
	enum filter_kind kind;
	int		 version;	/* 7 for "0.7"; 0 where a line has none */
	uint64_t	 usec;		/* its time, since the epoch */
	const char	*what;		/* of a register line */
	const char	*subsystem;	/* smtp-in or smtp-out, or NULL */
	const char	*name;
	int		 point;		/* of the name: enum above; -1: neither */
	const char	*reqid, *token;	/* as they stand there, or NULL */
	uint64_t	 id, tok;	/* their values */
	const char	*field[FILTER_FIELDS];	/* each ends with a NUL */
	int		 nfields;
	size_t		 lastlen;	/* of the last field; it may hold a NUL */
	enum filter_bad	 bad;
	char		 error[160];	/* what is wrong with it, "" if nothing */
	struct buf	 text;		/* owns what the others point into */
};

/*
 * Take a line without its LF apart.  dir is 'D' (from the daemon) or 'F'.
 * version is that of the process (7 for 0.7; 0: unknown, taken for the newest),
 * which an answer does not say: before 0.5 the token comes first.  0, or -1
 * with the reason in error; kind and the fields found so far are set then, too.
 * Of the form alone: that a point exists, not that it may come now.
 */
int	 filter_line_parse(struct filter_line *, char dir, const char *, size_t,
	    int version);
void	 filter_line_free(struct filter_line *);	/* not the struct itself */

/* Indexed by the enums above. */
struct filter_point {
	const char	*name;
	int		 min, max;	/* fields; the last one may hold '|' */
};
extern const struct filter_point filter_events[EV_COUNT],
    filter_phases[PH_COUNT];

int	 filter_event(const char *);	/* its number, or -1 */
int	 filter_phase(const char *);

/* "proceed", ...: its parameter is 0 forbidden, 1 required; -1: no decision. */
int	 filter_decision(const char *, int version);

/* "0.7" is 7; -1: not a version. */
int	 filter_version(const char *);

#endif
