#ifndef SMTPDTEST_LATENCY_H
#define SMTPDTEST_LATENCY_H

#include <jansson.h>
#include <stdint.h>

/*
 * How long replies took, by what they answered: from the moment a client said
 * the end of its line, or the final dot, to the moment it took the whole reply, which
 * a client that waits for nothing else does at once.
 * All samples are kept, four octets each.
 */
struct latency;

struct latency	*latency_new(void);
void		 latency_free(struct latency *);
/* kind is an enum cmd_kind, us are microseconds. */
void		 latency_add(struct latency *, int kind, uint64_t us);
/*
 * {"MAIL":{"n":, "p50":, "p90":, "p99":, "max":}, ...} in microseconds, by the
 * nearest rank; kinds without a sample are left out.  For the caller.
 */
json_t		*latency_json(struct latency *);

#endif
