#ifndef SMTPDTEST_REPORT_H
#define SMTPDTEST_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "util.h"

/* What reporters share: how an event reads as text. */

enum verdict { V_PASS, V_FAIL, V_WARN, V_KNOWN, V_SKIP, V_ERROR, VERDICTS };

struct verdict_info {
	const char	*name;		/* as in an "end" event */
	const char	*label;
	const char	*count;		/* in the summary of a "run-end" */
	const char	*colour;
};

extern const struct verdict_info	verdicts[VERDICTS];

/* Of an "end" event; what we do not know is an error. */
enum verdict	 verdict_of(const json_t *);

/* A member as text or number; "" or 0 when it is not there. */
const char	*jstr(const json_t *, const char *);
json_int_t	 jint(const json_t *, const char *);

/*
 * Append what may be shown anywhere: valid UTF-8 in which bytes that are not,
 * and characters that control a terminal, read \xNN.  Tabs and line ends stay.
 */
void	 text_clean(struct buf *, const char *, size_t);
/* The same on one line: a line end reads \n. */
void	 text_line(struct buf *, const char *, size_t);
/* Any value on one line. */
void	 text_value(struct buf *, const json_t *);

/* Text as a JSON string that is UTF-8 whatever the text is. */
json_t	*text_json(const char *);

/* Why it was skipped, is known, or could not be run; "" when nobody said. */
const char *report_why(const json_t *);
/* The first failure or else the why, for where there is one line only. */
void	 report_headline(struct buf *, const json_t *);
/*
 * Everything an "end" event tells: failures, the last "most" lines each of
 * transcript and log, how to repeat.
 */
void	 report_details(struct buf *, const json_t *, size_t most);

/* Replace a file in one step, never to be seen half written; 0, or -1. */
int	 file_replace(const char *, const void *, size_t);

/* For a terminal or a log; with quiet only what fell short. */
void	*report_human_new(FILE *, int quiet);
/* Time passes: move the live line on. */
void	 report_human_tick(void *);

#endif
