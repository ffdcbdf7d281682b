#include <err.h>
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

static void
add(struct catalogue *c, char *line, int lineno)
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
		errx(EX_SETUP, "%s:%d:1: not ID TAB LEVEL TAB ...", c->path,
		    lineno);
	if (catalogue_find(c, r->id) != NULL)
		errx(EX_SETUP, "%s:%d:1: %s is there twice", c->path, lineno,
		    r->id);
	c->n++;
}

struct catalogue *
catalogue_load(void)
{
	struct catalogue	*c;
	char			*path, *text, *p, *line;
	int			 lineno;

	path = cli_share_env("SMTPDTEST_CATALOGUE",
	    "scenarios/requirements.tsv");
	if (path == NULL)
		errx(EX_SETUP, "scenarios/requirements.tsv is nowhere around "
		    "the executable: name one in SMTPDTEST_CATALOGUE");
	if ((text = read_file(path, NULL, CATALOGUE_MAX)) == NULL)
		err(EX_SETUP, "%s", path);
	c = xcalloc(1, sizeof(*c));
	c->arena = arena_new();
	c->path = arena_strdup(c->arena, path);
	p = text;
	for (lineno = 1; (line = strsep(&p, "\n")) != NULL; lineno++)
		if (*line != '\0' && *line != '#')
			add(c, line, lineno);
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
