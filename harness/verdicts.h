#ifndef SMTPDTEST_VERDICTS_H
#define SMTPDTEST_VERDICTS_H

#include <jansson.h>
#include <stddef.h>

/* What a run shows about each requirement of the catalogue, target by target. */

struct catalogue;
struct requirement;
struct scenario;
struct suite;
struct verdicts;

/* All the verdicts a requirement can have, in the order of a table. */
extern const char *const	verdict_names[];	/* NULL-terminated */

/* "failure", "warning" or "note": what a deviation from it is. */
const char	*verdict_severity(const struct requirement *);

/*
 * Of an "end" event with failures: if all of them are deviations from
 * requirements whose severity is less than "failure", a sentence that says from
 * which, to be freed; otherwise NULL.
 */
char		*verdict_warning(const struct catalogue *,
		    const struct scenario *, const json_t *end);

/* The catalogue and the suite have to outlive it. */
struct verdicts	*verdicts_new(const struct catalogue *, const struct suite *,
		    size_t ntargets);
void		 verdicts_free(struct verdicts *);

/* What an "end" event says of scenario s on target t; both count from 0. */
void		 verdicts_add(struct verdicts *, size_t s, size_t t,
		    const json_t *end);

/*
 * The "requirements" of a "run-end" event, see smtpdtest(5); names are of the
 * targets.  The caller owns it.
 */
json_t		*verdicts_json(const struct verdicts *,
		    const char *const *names);

#endif
