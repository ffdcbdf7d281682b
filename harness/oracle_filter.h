#ifndef SMTPDTEST_ORACLE_FILTER_H
#define SMTPDTEST_ORACLE_FILTER_H

#include <stddef.h>

#include "filter_judge.h"

/*
 * Has what goes between smtpd and one filter of a run judged; whoever sees it,
 * the actor or the tap, hands it over.  The run owns it.
 */
struct filter_watch;
struct run;

/* facts NULL: what smtpd.conf says of the filter; smtpd alone is judged. */
struct filter_watch *filter_watch_new(struct run *, const char *name,
	    const struct filter_facts *);
/* The same for a table. */
struct filter_watch *table_watch_new(struct run *, const char *name,
	    unsigned sides);
/* A line from smtpd, without its LF. */
void	 filter_watch_heard(struct filter_watch *, const char *, size_t);
/* Octets from the filter. */
void	 filter_watch_said(struct filter_watch *, const char *, size_t);
void	 filter_watch_free(struct run *);
/*
 * An objection of the oracle: "ID: GOT", pinned like that.  Until the daemon has
 * started it is kept: one that does not start is an error of the set-up.
 */
void	 filter_object(struct run *, const char *name, const char *id,
	    const char *demand, const char *got);
/* It has started. */
void	 filter_objections_due(struct run *);

#endif
