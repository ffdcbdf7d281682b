#ifndef SMTPDTEST_CHOICE_H
#define SMTPDTEST_CHOICE_H

#include <stdint.h>
#include <stdio.h>

#include "script.h"

/*
 * Every random decision is one draw from one recorded stream.  The stream is
 * kept as sub-streams named after who draws ("c/17": session 17 of client c),
 * so that what one session draws does not depend on when others run.
 */
struct choices;
struct stream;

struct choices	*choices_new(uint64_t seed, const char *scenario);
void		 choices_free(struct choices *);

/*
 * Draw from a recording instead, as long as it fits.  -1 after "path:line:col:
 * what was expected" was written to err (at most errlen bytes).
 */
int		 choices_replay(struct choices *, FILE *, const char *path,
		    char *err, size_t errlen);
/* Write what was drawn: a line "stream label lo hi value" each. */
int		 choices_save(const struct choices *, FILE *);

/* The sub-stream of that name; owned by choices. */
struct stream	*choice_stream(struct choices *, const char *name);

/* One draw, both ends included, all values alike; the label is kept, not copied. */
uint64_t	 choice_draw(struct stream *, const char *label, struct range);
/* The same with every order of magnitude alike, for sizes and counts. */
uint64_t	 choice_scale(struct stream *, const char *label, struct range);

/* Cheap pseudo-random bytes from a drawn seed, for contents that need no record. */
uint64_t	 choice_mix(uint64_t *);

#endif
