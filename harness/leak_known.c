/* What releases are known to leak: fixtures/known-leaks. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "leak.h"
#include "target.h"
#include "util.h"

enum { TARGET, PROCESS, FUNCTION, WHY, FIELDS };

/* The frame's function is that of n bytes: no ".constprop.0" of the compiler's. */
static int
names(const char *frame, const char *function, size_t n)
{
	return strncmp(frame, function, n) == 0 &&
	    strchr(" (.@\n", frame[n]) != NULL;
}

static const char *
next_frame(const char *s)
{
	s += strcspn(s, "\n");
	return s + (*s == '\n');
}

/* Is "f < its caller < ..." how the row came to lose it? */
static int
same_way(const char *want, const struct leak_row *r)
{
	const char	*s = r->stack;
	size_t		 n;

	/* what the function has called comes before it */
	while (*s != '\0' && !names(s, r->function, strlen(r->function)))
		s = next_frame(s);
	for (; *s != '\0'; s = next_frame(s)) {
		n = strcspn(want, " ");
		if (!names(s, want, n))
			return 0;
		want += n;
		if (*want == '\0')
			return 1;
		want += strspn(want, " <");
	}
	return 0;
}

static void
mark(char *const *field, const struct target *target, struct leak_result *res)
{
	struct leak_row	*r;
	size_t		 i;

	if (!target_matches(target, field[TARGET]))
		return;
	for (i = 0; i < res->n; i++) {
		r = &res->row[i];
		if (r->verdict != LEAK_FOUND || r->function == NULL ||
		    strcmp(r->process, field[PROCESS]) != 0 ||
		    !same_way(field[FUNCTION], r))
			continue;
		r->verdict = LEAK_KNOWN;
		r->why = xstrdup(field[WHY]);
	}
}

int
leak_known(const struct target *target, struct leak_result *res)
{
	char	*path = cli_share("fixtures/known-leaks"), *text = NULL;
	char	*line, *rest, *field[FIELDS];
	int	 n = 0, i, rv = 0;

	if (path == NULL || (text = read_file(path, NULL, 1 << 20)) == NULL) {
		warn("%s", path == NULL ? "fixtures/known-leaks" : path);
		rv = -1;
	}
	for (rest = text; rv == 0 && (line = strsep(&rest, "\n")) != NULL;) {
		n++;
		if (*line == '\0' || *line == '#')
			continue;
		for (i = 0; i < FIELDS && line != NULL; i++)
			field[i] = strsep(&line, i < WHY ? "\t" : "");
		if (i < FIELDS || *field[WHY] == '\0') {
			warnx("%s:%d:1: not TARGET, PROCESS, FUNCTION and why",
			    path, n);
			rv = -1;
		} else
			mark(field, target, res);
	}
	free(text);
	free(path);
	return rv;
}
