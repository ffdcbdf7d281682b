#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "cli.h"
#include "cmd.h"
#include "regex.h"
#include "util.h"

#define CATALOGUE_MAX	(16 * 1024 * 1024)

static const size_t	columns[] = {
	offsetof(struct requirement, id),
	offsetof(struct requirement, level),
	offsetof(struct requirement, section),
	offsetof(struct requirement, needs),
	offsetof(struct requirement, source),
	offsetof(struct requirement, text),
	offsetof(struct requirement, untestable),
};

/* What a column has to look like. */
static const struct {
	size_t		 off;
	const char	*regex;
	const char	*what;
} forms[] = {
	{ offsetof(struct requirement, id), "^\\d{4}-\\d{3}$",
	    "expected an id: the number of an RFC and three digits" },
	{ offsetof(struct requirement, level),
	    "^((MUST|SHOULD)( NOT)?|MAY|DEF|INFO)$",
	    "expected a level: MUST, MUST NOT, SHOULD, SHOULD NOT, MAY, DEF or "
	    "INFO" },
	{ offsetof(struct requirement, section),
	    "^(-|([1-9][0-9]*|[A-Z])(\\.[0-9]+)*(, ([1-9][0-9]*|[A-Z])"
	    "(\\.[0-9]+)*)*)$",
	    "expected sections such as 4.1.1, F.2 or -" },
	{ offsetof(struct requirement, needs), "^[CDXNTFLA]( [CDXNTFLA])*$",
	    "expected what it needs, letters of C D X N T F L A" },
	{ offsetof(struct requirement, source), "^[VPM-]$",
	    "expected where it was read: V, P, M or -" },
	{ offsetof(struct requirement, text), "^\\S.*\\S$",
	    "expected the requirement" },
	{ offsetof(struct requirement, untestable), "^(|\\S.*\\S)$",
	    "expected why it is not testable here" },
};

static int
fail(const struct catalogue *c, int lineno, size_t col, const char *what,
    char *err, size_t errlen)
{
	snprintf(err, errlen, "%s:%d:%zu: %s", c->path, lineno, col, what);
	return -1;
}

static const char *
column(const struct requirement *r, size_t off)
{
	return *(const char *const *)(const void *)((const char *)r + off);
}

static int
check(const struct catalogue *c, const struct requirement *r, int lineno,
    size_t end, char *err, size_t errlen)
{
	const char	*s;
	size_t		 i, col = 1;

	for (i = 0; i < nitems(forms); i++) {
		s = column(r, forms[i].off);
		if (!regex_match(forms[i].regex, s, strlen(s), NULL, NULL))
			return fail(c, lineno, col < end ? col : end,
			    forms[i].what, err, errlen);
		col += strlen(s) + 1;
	}
	if (catalogue_find(c, r->id) != NULL)
		return fail(c, lineno, 1, "this id is there twice", err,
		    errlen);
	return 0;
}

static int
add(struct catalogue *c, char *line, int lineno, char *err, size_t errlen)
{
	struct requirement	*r;
	const char		*s;
	size_t			 end = strlen(line) + 1, i;

	c->req = xreallocarray(c->req, c->n + 1, sizeof(*c->req));
	r = &c->req[c->n];
	for (i = 0; i < nitems(columns); i++) {
		s = strsep(&line, "\t");
		*(const char **)(void *)((char *)r + columns[i]) =
		    arena_strdup(c->arena, s == NULL ? "" : s);
	}
	if (line != NULL)
		return fail(c, lineno, 1, "more columns than seven", err,
		    errlen);
	if (check(c, r, lineno, end, err, errlen) == -1)
		return -1;
	c->n++;
	return 0;
}

struct catalogue *
catalogue_parse(const char *path, const char *text, size_t len, char *err,
    size_t errlen)
{
	struct catalogue	*c = xcalloc(1, sizeof(*c));
	char			*start, *p, *line;
	int			 lineno, rc = 0;

	c->arena = arena_new();
	c->path = arena_strdup(c->arena, path);
	p = start = arena_strndup(c->arena, text, len);
	for (lineno = 1; rc == 0 && (line = strsep(&p, "\n")) != NULL;
	    lineno++) {
		if (p == NULL && (size_t)(line - start) + strlen(line) != len)
			rc = fail(c, lineno, strlen(line) + 1,
			    "a NUL, this is no text", err, errlen);
		else if (*line != '\0' && *line != '#')
			rc = add(c, line, lineno, err, errlen);
	}
	if (rc == 0)
		return c;
	catalogue_free(c);
	return NULL;
}

struct catalogue *
catalogue_load(void)
{
	struct catalogue	*c;
	char			*path, *text, msg[512];
	size_t			 len;

	path = cli_share_env("SMTPDTEST_CATALOGUE",
	    "scenarios/requirements.tsv");
	if (path == NULL)
		errx(EX_SETUP, "scenarios/requirements.tsv is nowhere around "
		    "the executable: name one in SMTPDTEST_CATALOGUE");
	if ((text = read_file(path, &len, CATALOGUE_MAX)) == NULL)
		err(EX_SETUP, "%s", path);
	c = catalogue_parse(path, text, len, msg, sizeof(msg));
	if (c == NULL)
		errx(EX_SETUP, "%s", msg);
	free(text);
	free(path);
	return c;
}

void
catalogue_free(struct catalogue *c)
{
	if (c == NULL)
		return;
	arena_free(c->arena);
	free(c->req);
	free(c);
}

const struct requirement *
catalogue_find(const struct catalogue *c, const char *id)
{
	size_t	 i;

	for (i = 0; i < c->n; i++)
		if (strcmp(c->req[i].id, id) == 0)
			return &c->req[i];
	return NULL;
}
