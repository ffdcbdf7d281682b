#ifndef SMTPDTEST_CATALOGUE_H
#define SMTPDTEST_CATALOGUE_H

#include <stddef.h>

/*
 * scenarios/requirements.tsv: what a scenario can prove.  Its columns are the
 * members of struct requirement, the last one may be missing.
 */

struct requirement {
	const char	*id;
	const char	*level;		/* MUST, SHOULD NOT, DEF, INFO, ... */
	const char	*section;
	const char	*needs;
	const char	*source;
	const char	*text;
	const char	*untestable;	/* why it cannot be tested here, or "" */
};

struct catalogue {
	struct arena	*arena;
	const char	*path;
	struct requirement *req;	/* in the order of the file */
	size_t		 n;
};

/*
 * From memory; path is for messages.  NULL after "path:line:col: what" was
 * written to err (at most errlen bytes).
 */
struct catalogue *catalogue_parse(const char *path, const char *text,
	    size_t len, char *err, size_t errlen);
/* $SMTPDTEST_CATALOGUE, or beside the executable; exits 2 on any error. */
struct catalogue *catalogue_load(void);
void	 catalogue_free(struct catalogue *);
/* NULL when it is not one. */
const struct requirement *catalogue_find(const struct catalogue *,
	    const char *id);

#endif
