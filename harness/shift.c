/* When a stop comes once a part of the steps before it is left out. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "shift.h"
#include "util.h"

/*
 * Of the first n steps so many stay, those of each line evenly.  Steps that no
 * run has shown do.
 */
static uint64_t
staying(const struct steps_made *made, const struct part *part, uint64_t n)
{
	uint64_t	*turn = xcalloc(part->last + 1, sizeof(*turn));
	uint64_t	 stay = 0, c;
	size_t		 i, line;

	for (i = 0; i < made->n && i < n; i++) {
		line = made->line[i];
		if (line < part->first || line > part->last) {
			stay++;
			continue;
		}
		c = turn[line]++;
		stay += (c + 1) * part->stay / part->of >
		    c * part->stay / part->of;
	}
	free(turn);
	return stay + (n - i);
}

char *
shift_stop(const char *text, const struct steps_made *made,
    const struct part *part)
{
	char		 who[32];
	uint64_t	 after, count = 0, from, to;

	if (sscanf(text, "stop %31s after %" SCNu64 " for %" SCNu64, who,
	    &after, &count) < 2 || after == 0)
		return NULL;
	/* it comes before the step of that number */
	from = staying(made, part, after - 1) + 1;
	if (count == 0)
		return xasprintf("stop %s after %" PRIu64, who, from);
	to = staying(made, part, after + count - 1) + 1;
	return xasprintf("stop %s after %" PRIu64 " for %" PRIu64, who, from,
	    to > from ? to - from : 1);
}
