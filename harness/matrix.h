#ifndef SMTPDTEST_MATRIX_H
#define SMTPDTEST_MATRIX_H

#include <jansson.h>
#include <stdio.h>

/* The verdicts of stored runs, as a table for people. */

/*
 * The "requirements" of the runs that run --json has written to these files,
 * NULL-terminated; a later one takes the place of an earlier one of the same
 * target.  Exits 2, after a sentence, when a file is none of a run that ended.
 * The caller owns it.
 */
json_t	*matrix_load(char *const *files);

/* A line for each requirement, under it what deviates. */
void	 matrix_put(FILE *, const json_t *);

/* So many of each verdict, a line for each target. */
void	 matrix_counts(FILE *, const json_t *);

#endif
