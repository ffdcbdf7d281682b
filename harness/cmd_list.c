#include <err.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "cli.h"
#include "cmd.h"
#include "matrix.h"
#include "script.h"
#include "suite.h"
#include "util.h"

struct list {
	struct catalogue *catalogue;
	struct suite	 suite;
	int		 json;
	int		 missing;
	int		 verdicts;
};

static int
proves(const struct scenario *sc, const char *id)
{
	struct word	*w;

	STAILQ_FOREACH(w, &sc->proves, entry)
		if (strcmp(w->text, id) == 0)
			return 1;
	return 0;
}

static size_t
count(const struct list *l, const struct requirement *q)
{
	size_t	 i, n = 0;

	for (i = 0; i < l->suite.n; i++)
		n += (size_t)proves(l->suite.sc[i], q->id);
	return n;
}

static int
missing(const struct list *l, const struct requirement *q)
{
	return *q->untestable == '\0' && count(l, q) == 0;
}

static size_t
count_missing(const struct list *l)
{
	size_t	 i, n = 0;

	for (i = 0; i < l->catalogue->n; i++)
		n += (size_t)missing(l, &l->catalogue->req[i]);
	return n;
}

static void
put_missing(const struct list *l)
{
	const struct requirement	*q;
	size_t				 i;

	for (i = 0; i < l->catalogue->n; i++) {
		q = &l->catalogue->req[i];
		if (missing(l, q))
			printf("%s\t%s\t%s\n", q->id, q->level, q->text);
	}
}

static void
put_row(const char *id, const char *level, const struct scenario *sc)
{
	printf("%s\t%s\t%s\t%s\n", id, level, sc->path, sc->name);
}

static void
put_table(const struct list *l)
{
	const struct requirement	*q;
	size_t				 i, k;

	for (i = 0; i < l->catalogue->n; i++) {
		q = &l->catalogue->req[i];
		for (k = 0; k < l->suite.n; k++)
			if (proves(l->suite.sc[k], q->id))
				put_row(q->id, q->level, l->suite.sc[k]);
		if (*q->untestable != '\0')
			printf("%s\t%s\t-\tnot testable here: %s\n", q->id,
			    q->level, q->untestable);
	}
	/* Not every scenario is about a requirement: "-" keeps the columns. */
	for (k = 0; k < l->suite.n; k++)
		if (STAILQ_EMPTY(&l->suite.sc[k]->proves))
			put_row("-", "-", l->suite.sc[k]);
	fflush(stdout);
	fprintf(stderr, "%zu scenarios; %zu of %zu requirements have none\n",
	    l->suite.n, count_missing(l), l->catalogue->n);
}

static json_t *
words(const struct words *ws)
{
	struct word	*w;
	json_t		*a = json_array();

	STAILQ_FOREACH(w, ws, entry)
		json_array_append_new(a, json_string(w->text));
	return a;
}

static json_t *
json_scenarios(const struct list *l)
{
	json_t	*a = json_array();
	size_t	 i;

	for (i = 0; i < l->suite.n; i++)
		json_array_append_new(a, json_pack("{s:s, s:s, s:o, s:o}",
		    "path", l->suite.sc[i]->path,
		    "name", l->suite.sc[i]->name,
		    "proves", words(&l->suite.sc[i]->proves),
		    "needs", words(&l->suite.sc[i]->needs)));
	return a;
}

static json_t *
json_requirements(const struct list *l)
{
	const struct requirement	*q;
	json_t				*a = json_array(), *paths;
	size_t				 i, k;

	for (i = 0; i < l->catalogue->n; i++) {
		q = &l->catalogue->req[i];
		paths = json_array();
		for (k = 0; k < l->suite.n; k++)
			if (proves(l->suite.sc[k], q->id))
				json_array_append_new(paths,
				    json_string(l->suite.sc[k]->path));
		json_array_append_new(a, json_pack(
		    "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "id", q->id,
		    "level", q->level, "section", q->section,
		    "needs", q->needs, "source", q->source, "text", q->text,
		    "untestable", q->untestable, "scenarios", paths));
	}
	return a;
}

static int
put_json(const struct list *l)
{
	json_t	*o;
	int	 rc;

	o = json_pack("{s:o, s:o, s:I}", "scenarios", json_scenarios(l),
	    "requirements", json_requirements(l),
	    "missing", (json_int_t)count_missing(l));
	if (o == NULL)
		errx(EX_SETUP, "a name or path is not UTF-8");
	rc = json_dumpf(o, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(o);
	return rc == 0 ? EX_PASS : EX_SETUP;
}

static int
parse_options(struct list *l, int argc, char **argv)
{
	const struct option	 longopts[] = {
		{ "json",	no_argument, &l->json, 1 },
		{ "missing",	no_argument, &l->missing, 1 },
		{ "verdicts",	no_argument, &l->verdicts, 1 },
		{ NULL, 0, NULL, 0 }
	};
	static char		 name[] = "smtpdtest list";
	int			 ch;

	argv[0] = name;		/* in getopt's messages */
	while ((ch = getopt_long(argc, argv, "", longopts, NULL)) != -1)
		if (ch != 0)
			return -1;
	return l->json + l->missing + l->verdicts > 1 ? -1 : 0;
}

static int
put_verdicts(char *const *files)
{
	json_t	*requirements;

	if (*files == NULL)
		return cmd_usage(&cmd_list);
	requirements = matrix_load(files);
	matrix_put(stdout, requirements);
	putchar('\n');
	matrix_counts(stdout, requirements);
	json_decref(requirements);
	return EX_PASS;
}

static int
list_main(int argc, char **argv)
{
	struct list	 l = { 0 };
	char		*all[] = { NULL, NULL };
	int		 code = EX_PASS;

	if (parse_options(&l, argc, argv) == -1)
		return cmd_usage(&cmd_list);
	if (l.verdicts)
		return put_verdicts(argv + optind);
	if (argv[optind] == NULL && (all[0] = cli_share("scenarios")) == NULL)
		errx(EX_SETUP, "no scenarios beside the executable: name a "
		    "PATH");
	l.catalogue = catalogue_load();
	if (suite_load(&l.suite, all[0] == NULL ? argv + optind : all,
	    l.catalogue) > 0)
		code = EX_SETUP;
	else if (l.json)
		code = put_json(&l);
	else if (l.missing)
		put_missing(&l);
	else
		put_table(&l);
	suite_free(&l.suite);
	catalogue_free(l.catalogue);
	free(all[0]);
	return code;
}

const struct cmd	cmd_list = {
	"list",
	"[--json | --missing] [PATH...]\n"
	"       smtpdtest list --verdicts FILE...",
	"requirements and the scenarios that prove them",
	list_main,
	"A line each: id, level, path and name, with tabs between; \"-\" where "
	"a\nscenario proves no requirement.  PATH defaults to all scenarios.\n"
	"\n"
	"  --json            a JSON object: scenarios, requirements, missing\n"
	"  --missing         the requirements without a scenario that are not "
	"declared\n"
	"                    untestable\n"
	"  --verdicts F...   what stored runs (run --json F) say of each "
	"requirement\n"
};
