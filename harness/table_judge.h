#ifndef SMTPDTEST_TABLE_JUDGE_H
#define SMTPDTEST_TABLE_JUDGE_H

#include "filter_judge.h"

/*
 * Judges what goes between smtpd(8) and one table, smtpd-tables(7): T1 to T11.
 * Used as the judge of filters is, with the same objections.
 */
struct table_judge;

/*
 * sides: JUDGE_DAEMON, JUDGE_FILTER (the table's own).  owed: us in which an
 * answer is due, 0: ever.
 */
struct table_judge *table_judge_new(unsigned sides, uint64_t owed,
	    filter_object_fn, void *arg);
void	 table_judge_free(struct table_judge *);
/* A line without its LF; dir is 'D' or 'F' (the table). */
void	 table_judge_line(struct table_judge *, char dir, uint64_t usec,
	    const char *, size_t);
void	 table_judge_time(struct table_judge *, uint64_t usec);
/* The table is gone, while the daemon goes on. */
void	 table_judge_exit(struct table_judge *, uint64_t usec);
/* The run is over. */
void	 table_judge_end(struct table_judge *, uint64_t usec);

#endif
