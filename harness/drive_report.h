#ifndef SMTPDTEST_DRIVE_REPORT_H
#define SMTPDTEST_DRIVE_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "drive.h"

/* What "drive" tells: text for people, events (event.h) for reporters. */

/* As "plain" or "hostile eof"; for the caller to free. */
char	*drive_pass_name(const struct drive_conf *);
/* Neither an invariant broken nor an error. */
int	 drive_conforms(const struct drive_result *);

/* The text of one pass. */
void	 drive_print(FILE *, const struct drive_conf *,
	    const struct drive_result *);

json_t	*drive_run_start(uint64_t seed, const int *versions, size_t n,
	    size_t passes);
json_t	*drive_end(int id, const struct drive_conf *,
	    const struct drive_result *, uint64_t seed, double seconds,
	    const char *repeat);
json_t	*drive_run_end(double seconds, int interrupted);

#endif
