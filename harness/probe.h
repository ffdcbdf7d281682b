#ifndef SMTPDTEST_PROBE_H
#define SMTPDTEST_PROBE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Is there an SMTP server that serves us at this numeric address ("[::1]:25")?
 * It is greeted, and each of its two replies may take so many microseconds.
 * 0, or -1 with one sentence in err.
 */
int	 probe_server(const char *address, uint64_t us, char *err,
	    size_t errlen);

#endif
