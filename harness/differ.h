#ifndef SMTPDTEST_DIFFER_H
#define SMTPDTEST_DIFFER_H

#include <jansson.h>
#include <stddef.h>

/* Where several targets did not do the same: a table of scenario by target. */
struct differ;

struct differ	*differ_new(size_t nscenarios, size_t ntargets);
void		 differ_free(struct differ *);

/* What an "end" event says of scenario s on target t; both count from 0. */
void		 differ_add(struct differ *, size_t s, size_t t,
		    const json_t *end);

/*
 * For the "run-end" event: [{path, name, outcomes:[{verdict, got:[..]}]}], the
 * outcomes in the order of the targets, null where there is none.  Only
 * scenarios are in it for which two targets that were judged (not skipped)
 * differ: in the verdict, or in which deviations they have.  The caller owns it.
 */
json_t		*differ_rows(const struct differ *);

/* Was there a verdict at all: is the outcome neither null nor a skip? */
int		 differ_judged(const json_t *);

/* Scenarios that some targets skip and others do not. */
size_t		 differ_skipped(const struct differ *);

#endif
