#ifndef SMTPDTEST_PATTERN_H
#define SMTPDTEST_PATTERN_H

#include <stddef.h>

/*
 * A line of fields with bars between them, as filters and tables hear them:
 * "*" is anything, "*{name}" is anything within a field (at the end of the
 * pattern: all that is left) and called name from then on, all else is itself.
 * Fields that a pattern does not name at its end may be anything.
 */
struct arena;
struct buf;
struct pattern;
struct session;

/* NULL with what was expected in err, where in *off. */
struct pattern	*pattern_parse(struct arena *, const char *, const char **err,
		    size_t *off);
/* Names of what it captures: one call each. */
void		 pattern_names(const struct pattern *,
		    void (*)(void *, const char *), void *);
/*
 * 1 or 0.  expand(arg, text) gives the text with its variables' values, valid
 * until the next call; set(arg, name, value, len) is told of what was captured
 * when all of it matches.
 */
int		 pattern_match(const struct pattern *, const char *, size_t,
		    struct buf *(*expand)(void *, const char *),
		    void (*set)(void *, const char *, const char *, size_t),
		    void *arg);

#endif
