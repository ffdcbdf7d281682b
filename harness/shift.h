#ifndef SMTPDTEST_SHIFT_H
#define SMTPDTEST_SHIFT_H

#include <stddef.h>
#include <stdint.h>

/*
 * "stop WHO after N" counts the steps of all clients.  Whoever leaves some of
 * them out has to let it come so much earlier, or it comes later than what it
 * was to stop.
 */

/* The lines whose steps were made, in that order; indices, as in struct part. */
struct steps_made {
	size_t		*line;
	size_t		 n;
};

/* Of the steps made at the lines first to last only so many stay. */
struct part {
	size_t		 first, last;
	uint64_t	 stay, of;	/* stay <= of, and of > 0 */
};

/*
 * What "stop WHO after N [for M]" becomes; allocated.  NULL if the line says
 * nothing of the kind.
 */
char	*shift_stop(const char *, const struct steps_made *, const struct part *);

#endif
