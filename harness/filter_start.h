#ifndef SMTPDTEST_FILTER_START_H
#define SMTPDTEST_FILTER_START_H

#include <stdint.h>

#include "util.h"

/*
 * Does a filter come up?  Whoever stands on its other side hands over what goes
 * by until it is ready, and asks why it is not.  All zero is the beginning;
 * times are now_us().
 */
struct filter_start {
	uint64_t	 limit;		/* us from config|ready to ready */
	int		 ready;		/* register|ready has come */
	/* the rest is its own */
	uint64_t	 asked, closed;
	int		 gone, status, over;
	struct buf	 said;		/* the end of its stderr */
	char		*odd;		/* it said this, which is no text */
};

/* A line without its LF; 'D', 'F', 'E' for stderr. */
void	 filter_start_line(struct filter_start *, char dir, const char *,
	    size_t);
/* Octets of its stderr, where they are no lines. */
void	 filter_start_said(struct filter_start *, const char *, size_t);
/* What the filter has said and not ended with a LF so far. */
void	 filter_start_partial(struct filter_start *, const char *, size_t);
void	 filter_start_closed(struct filter_start *);	/* its output */
void	 filter_start_ended(struct filter_start *, int status);	/* of wait(2) */
/* smtpd has closed its side: what the filter does from here on is no fault. */
void	 filter_start_over(struct filter_start *);
/*
 * Why it is not going to be ready, or has ended at once: a sentence without its
 * subject, with the last line of its stderr, to be freed.  NULL while it may be.
 */
char	*filter_start_broken(const struct filter_start *);
void	 filter_start_free(struct filter_start *);	/* not the struct itself */

#endif
