#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "cli.h"
#include "cmd.h"
#include "util.h"

#define CATALOGUE_MAX	(16 * 1024 * 1024)

static const size_t	columns[] = {
	offsetof(struct requirement, id),
	offsetof(struct requirement, level),
	offsetof(struct requirement, section),
	offsetof(struct requirement, needs),
	offsetof(struct requirement, source),
	offsetof(struct requirement, text),
};

static int
fail(const struct catalogue *c, int lineno, size_t col, const char *what,
    char *err, size_t errlen)
{
	snprintf(err, errlen, "%s:%d:%zu: %s", c->path, lineno, col, what);
	return -1;
}

static int
add(struct catalogue *c, char *line, int lineno, char *err, size_t errlen)
{
	struct requirement	*r;
	const char		*s;
	size_t			 i;

	c->req = xreallocarray(c->req, c->n + 1, sizeof(*c->req));
	r = &c->req[c->n];
	for (i = 0; i < nitems(columns); i++) {
		s = strsep(&line, "\t");
		*(const char **)(void *)((char *)r + columns[i]) =
		    arena_strdup(c->arena, s == NULL ? "" : s);
	}
	if (*r->id == '\0' || *r->level == '\0')
		return fail(c, lineno, strlen(r->id) + 1,
		    "not ID TAB LEVEL TAB ...", err, errlen);
	if (catalogue_find(c, r->id) != NULL)
		return fail(c, lineno, 1, "this id is there twice", err,
		    errlen);
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
