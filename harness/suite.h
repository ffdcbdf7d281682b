#ifndef SMTPDTEST_SUITE_H
#define SMTPDTEST_SUITE_H

#include <stddef.h>

struct catalogue;
struct scenario;

/* The scenarios that the PATHs of a command line name. */
struct suite {
	struct scenario	**sc;		/* in the order of PATHs, then sorted */
	size_t		 n;
};

/*
 * Parse every *.smtp file that is named or lies under a named directory, each
 * once.  Two of one name, and what a scenario proves but the catalogue does not
 * know, are errors too.  Returns the number of errors, all told on stderr;
 * nothing found is one.
 */
size_t	 suite_load(struct suite *, char *const *paths,
	    const struct catalogue *);
void	 suite_free(struct suite *);

/* A name fit for a file: letters, digits and "._+-" only.  For the caller. */
char	*suite_slug(const char *);

#endif
