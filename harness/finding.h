#ifndef SMTPDTEST_FINDING_H
#define SMTPDTEST_FINDING_H

#include <jansson.h>

#include "util.h"

/*
 * A finding: a directory below build/findings/ named after the scenario and
 * what was seen, with
 *
 *	finding.json	how to repeat it, what was got, how often it was met
 *	choices		what was drawn, for run --choices
 *	log		transcripts, the daemon's log, the backtrace
 *	scenario.smtp	the scenario as it was
 *
 * What is the same crash is kept once: by the functions on top of its stack; or
 * by the oracle and its words without numbers.
 */

/*
 * What an oracle objected to in an "end" event, in a line without addresses and
 * numbers, so that the same thing always reads the same.  0 if none did: what a
 * scenario itself expected does not count.
 */
int	 finding_signature(const json_t *end, struct buf *);

/* build/findings, or what $SMTPDTEST_FINDINGS says; never freed. */
const char *findings_dir(void);

/*
 * Keep it, or count it if it is there: "repeat" members are those of the run,
 * as an object that becomes part of finding.json.  The directory, for the
 * caller to free; NULL with errno when it could not be written.  *count is how
 * often it was met with this time.
 */
char	*finding_keep(const char *dir, const char *slug, const json_t *end,
	    json_t *repeat, json_int_t *count);

/* finding.json of a directory; NULL with one sentence in err. */
json_t	*finding_load(const char *path, char *err, size_t errlen);

#endif
