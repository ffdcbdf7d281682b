#ifndef SMTPDTEST_REAL_FILTER_H
#define SMTPDTEST_REAL_FILTER_H

/* Where smtpd looks for a filter that has no slash at its beginning. */
#define FILTER_LIBEXEC	"/usr/libexec/opensmtpd"

#include <stddef.h>

/*
 * A filter that is not ours to play but to test, or a program that it talks to:
 * what ci/filters has made ready, or a program that the user names in the
 * environment (FILTER_GREYLIST for filter-greylist).
 */
struct real_filter {
	char	*root;		/* its usr/ is laid over the sandbox's, or NULL */
	char	*program;	/* the user's own, or NULL */
};

/* Is this word of "needs" the name of one? */
int	 real_filter_name(const char *);

/*
 * Where is it?  dir is what ci/filters fills, or NULL.  1 when found; 0 when
 * not, with the reason in err; -1 when what the user named is no program, with
 * that in err.  The strings are the caller's to free.
 */
int	 real_filter_find(const char *dir, const char *name,
	    struct real_filter *, char *err, size_t errlen);
void	 real_filter_free(struct real_filter *);

/* Inside the sandbox: put the user's own where smtpd looks for it; -1: errno. */
int	 real_filter_install(const char *name, const char *data, size_t len);

#endif
