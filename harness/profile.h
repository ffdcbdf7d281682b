#ifndef SMTPDTEST_PROFILE_H
#define SMTPDTEST_PROFILE_H

#include <stddef.h>
#include <stdint.h>

/*
 * What a scenario may ask of any server: a recipient that is accepted, one that
 * is refused, ...  Read from a file of "key = value" lines, smtpdtest-profile(5);
 * each value is a variable of scenarios.
 */
struct profile;

/*
 * Read one.  NULL after "file:line:col: what was expected" was written to err
 * (at most errlen bytes).  Unless any is set all its addresses must be of this
 * host's loopback.
 */
struct profile	*profile_load(const char *path, int any, char *err,
		    size_t errlen);
void		 profile_free(struct profile *);	/* NULL will do */

/* That of the daemons in our sandbox; never freed. */
const struct profile *profile_sandbox(void);

/* Is this, of len bytes, a variable that profiles give? */
int		 profile_has_var(const char *, size_t len);
/* Its value, or NULL when the profile has none. */
const char	*profile_var(const struct profile *, const char *, size_t len);
/* The value of a key, which need not be a variable; or NULL. */
const char	*profile_key(const struct profile *, const char *);
/* The key that gives the variable, for messages. */
const char	*profile_key_of(const char *var);
/* How long an answer may take, in microseconds. */
uint64_t	 profile_timeout(const struct profile *);

#endif
