#include <sys/types.h>
#include <sys/stat.h>

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "script.h"
#include "suite.h"
#include "util.h"

#define SUFFIX		".smtp"
#define SLUG_MAX	120

/* Files found, each once, whatever ways lead to it. */
struct found {
	struct item {
		char	*path;
		dev_t	 dev;
		ino_t	 ino;
	}		*item;
	size_t		 n;
	size_t		 errors;
};

static int
is_scenario(const char *name)
{
	size_t	 n = strlen(name);

	return n > strlen(SUFFIX) &&
	    strcmp(name + n - strlen(SUFFIX), SUFFIX) == 0;
}

static void
found_add(struct found *f, const char *path, const struct stat *st)
{
	size_t	 i;

	for (i = 0; i < f->n; i++)
		if (f->item[i].dev == st->st_dev &&
		    f->item[i].ino == st->st_ino)
			return;
	f->item = xreallocarray(f->item, f->n + 1, sizeof(*f->item));
	f->item[f->n].path = xstrdup(path);
	f->item[f->n].dev = st->st_dev;
	f->item[f->n].ino = st->st_ino;
	f->n++;
}

static int
by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void
visit_file(struct found *f, const FTSENT *e)
{
	if (is_scenario(e->fts_path))
		found_add(f, e->fts_path, e->fts_statp);
	else if (e->fts_level == FTS_ROOTLEVEL) {
		warnx("%s: not a scenario: its name does not end in "
		    SUFFIX, e->fts_path);
		f->errors++;
	}
}

static void
visit_error(struct found *f, const FTSENT *e)
{
	warnx("%s: %s", e->fts_path, strerror(e->fts_errno ? e->fts_errno :
	    ENOENT));
	f->errors++;
}

static void
visit_cycle(struct found *f, const FTSENT *e)
{
	(void)f;
	warnx("%s: a link to a directory above it, left out", e->fts_path);
}

static const struct {
	int	 info;
	void	(*visit)(struct found *, const FTSENT *);
} visits[] = {
	{ FTS_F,	visit_file },
	{ FTS_DEFAULT,	visit_file },
	{ FTS_SLNONE,	visit_error },
	{ FTS_DNR,	visit_error },
	{ FTS_NS,	visit_error },
	{ FTS_ERR,	visit_error },
	{ FTS_DC,	visit_cycle },
};

static void
walk(struct found *f, char *path)
{
	char	*argv[] = { path, NULL };
	FTS	*fts;
	FTSENT	*e;
	size_t	 i;

	if ((fts = fts_open(argv, FTS_LOGICAL | FTS_NOCHDIR, by_name)) == NULL)
		err(2, "%s", path);
	while ((e = fts_read(fts)) != NULL) {
		if (e->fts_level > FTS_ROOTLEVEL && e->fts_name[0] == '.') {
			fts_set(fts, e, FTS_SKIP);
			continue;
		}
		for (i = 0; i < nitems(visits); i++)
			if (visits[i].info == e->fts_info)
				visits[i].visit(f, e);
	}
	fts_close(fts);
}

static void
load_all(struct suite *s, struct found *f)
{
	struct scenario	*sc;
	char		 msg[2048];
	size_t		 i;

	s->sc = xcalloc(f->n + 1, sizeof(*s->sc));
	for (i = 0; i < f->n; i++) {
		if ((sc = script_load(f->item[i].path, msg, sizeof(msg))) ==
		    NULL) {
			fprintf(stderr, "%s\n", msg);
			f->errors++;
		} else
			s->sc[s->n++] = sc;
		free(f->item[i].path);
	}
	free(f->item);
}

/* Where a file says its scenario's name: script.h keeps only the name. */
static struct pos
name_pos(const struct scenario *sc)
{
	struct pos	 pos = { sc->path, 1, 1 };
	char		*text, *p, *line, *s;
	int		 n;

	if ((text = p = read_file(sc->path, NULL, SIZE_MAX / 2)) == NULL)
		return pos;
	for (n = 1; (line = strsep(&p, "\n")) != NULL; n++) {
		s = line + strspn(line, " \t");
		if (strncmp(s, "scenario", 8) != 0 || !isspace(
		    (unsigned char)s[8]))
			continue;
		s += 8;
		s += strspn(s, " \t");
		pos.line = n;
		pos.col = (int)(s - line) + 1;
		break;
	}
	free(text);
	return pos;
}

/*
 * Files of results are called after the scenario, so names that only differ
 * in punctuation are one name.
 */
static size_t
check_names(const struct suite *s)
{
	struct pos	 pos;
	size_t		 i, j, errors = 0;
	char		**slug;

	slug = xcalloc(s->n + 1, sizeof(*slug));
	for (i = 0; i < s->n; i++) {
		slug[i] = suite_slug(s->sc[i]->name);
		for (j = 0; j < i && strcmp(slug[i], slug[j]) != 0; j++)
			;
		if (j == i)
			continue;
		pos = name_pos(s->sc[i]);
		fprintf(stderr, "%s:%d:%d: scenario \"%s\" is called like the "
		    "one in %s, expected a name of its own\n", pos.file,
		    pos.line, pos.col, s->sc[i]->name, s->sc[j]->path);
		errors++;
	}
	for (i = 0; i < s->n; i++)
		free(slug[i]);
	free(slug);
	return errors;
}

static int
proven(const struct scenario *sc, const char *id)
{
	const struct word	*w;

	STAILQ_FOREACH(w, &sc->proves, entry)
		if (strcmp(w->text, id) == 0)
			return 1;
	return 0;
}

/* Which requirement a deviation is from has to be clear. */
static size_t
check_known(const struct scenario *sc, const struct known *k)
{
	const struct word	*w, *first = STAILQ_FIRST(&sc->proves);
	size_t			 errors = 0;

	if (!k->told && k->oracle == NULL && first != NULL &&
	    STAILQ_NEXT(first, entry) != NULL) {
		fprintf(stderr, "%s:%d:%d: several requirements are proven "
		    "here, expected which of them is not fulfilled: "
		    "breaks ID..., or breaks none\n", k->pos.file, k->pos.line,
		    k->pos.col);
		return 1;
	}
	STAILQ_FOREACH(w, &k->breaks, entry) {
		if (proven(sc, w->text))
			continue;
		fprintf(stderr, "%s:%d:%d: \"%s\" is not what this scenario "
		    "proves, expected one of its ids, or none\n", w->pos.file,
		    w->pos.line, w->pos.col, w->text);
		errors++;
	}
	return errors;
}

static size_t
check_knowns(const struct scenario *sc, const struct knowns *list)
{
	const struct known	*k;
	size_t			 errors = 0;

	STAILQ_FOREACH(k, list, entry)
		errors += check_known(sc, k);
	return errors;
}

static size_t
check_steps(const struct scenario *sc, const struct steps *list)
{
	const struct step	*st, *alt;
	size_t			 errors = 0;

	STAILQ_FOREACH(st, list, entry) {
		errors += check_knowns(sc, &st->knowns);
		for (alt = st; alt != NULL; alt = alt->next_alt)
			errors += check_steps(sc, &alt->body);
	}
	return errors;
}

static size_t
check_breaks(const struct suite *s)
{
	const struct expect	*ex;
	const struct role	*r;
	size_t			 i, errors = 0;

	for (i = 0; i < s->n; i++) {
		errors += check_knowns(s->sc[i], &s->sc[i]->knowns);
		STAILQ_FOREACH(ex, &s->sc[i]->expects, entry)
			errors += check_knowns(s->sc[i], &ex->knowns);
		STAILQ_FOREACH(r, &s->sc[i]->roles, entry)
			errors += check_steps(s->sc[i], &r->steps);
	}
	return errors;
}

static size_t
check_proves(const struct suite *s, const struct catalogue *c)
{
	struct word	*w;
	size_t		 i, errors = 0;

	for (i = 0; i < s->n; i++) {
		STAILQ_FOREACH(w, &s->sc[i]->proves, entry) {
			if (catalogue_find(c, w->text) != NULL)
				continue;
			fprintf(stderr, "%s:%d:%d: \"%s\" is not in the "
			    "catalogue, expected an id of %s\n", w->pos.file,
			    w->pos.line, w->pos.col, w->text, c->path);
			errors++;
		}
	}
	return errors;
}

size_t
suite_load(struct suite *s, char *const *paths, const struct catalogue *c)
{
	struct found	 f = { 0 };
	size_t		 n;

	memset(s, 0, sizeof(*s));
	for (; *paths != NULL; paths++)
		walk(&f, *paths);
	n = f.n;
	load_all(s, &f);
	if (n == 0 && f.errors == 0) {
		warnx("no scenario (*" SUFFIX ") matches the paths given");
		f.errors++;
	}
	return f.errors + check_names(s) + check_proves(s, c) +
	    check_breaks(s);
}

void
suite_free(struct suite *s)
{
	size_t	 i;

	for (i = 0; i < s->n; i++)
		script_free(s->sc[i]);
	free(s->sc);
	memset(s, 0, sizeof(*s));
}

char *
suite_slug(const char *name)
{
	struct buf	 b = { 0 };

	buf_add(&b, NULL, 0);
	for (; *name != '\0' && b.len < SLUG_MAX; name++) {
		if (isalnum((unsigned char)*name) ||
		    (strchr("._+", *name) != NULL && b.len > 0))
			buf_add(&b, name, 1);
		else if (b.len > 0 && b.data[b.len - 1] != '-')
			buf_addstr(&b, "-");
	}
	while (b.len > 0 && b.data[b.len - 1] == '-')
		b.data[--b.len] = '\0';
	if (b.len == 0)
		buf_addstr(&b, "unnamed");
	return b.data;
}
