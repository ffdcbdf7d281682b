#ifndef SMTPDTEST_PLAIN_H
#define SMTPDTEST_PLAIN_H

#include <jansson.h>
#include <stdio.h>

#include "script.h"

/*
 * A run as a scenario without randomness: each client of a fleet stands for
 * itself, every choice is made as the recording has it, and what disturbed the
 * run ("plan" in the stats of its end event) is said by stop, rest and the ends
 * of connections.  The rest of the file, text, stays as it is.  The caller frees
 * the buffer.
 */
void	 plain_write(const struct scenario *, const char *text, FILE *choices,
	    const json_t *plan, struct buf *);

#endif
