#ifndef SMTPDTEST_REGEX_H
#define SMTPDTEST_REGEX_H

#include <stddef.h>

/* PCRE2, multi-line, caseless only by (?i). */

/* 0, or -1 with the reason in err. */
int	regex_check(const char *, char *err, size_t errlen);

/*
 * Does the text match?  1 or 0.  Each named group that took part is handed to
 * group(arg, name, value, len); group may be NULL.
 */
int	regex_match(const char *, const char *text, size_t len,
	    void (*group)(void *, const char *, const char *, size_t),
	    void *arg);

/* Names of the named groups, one call each. */
void	regex_groups(const char *, void (*)(void *, const char *), void *);

#endif
