/* The baselines of "leak": what is known to grow, and by how much. */
#include <dirent.h>
#include <err.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cmd.h"
#include "leak_baseline.h"
#include "script.h"
#include "target.h"

#define PINS	"fixtures/baselines"

/* A line of the file. */
struct pin {
	char	*scenario, *process, *what, *most, *why;
	double	 limit;
};

/* What goes on to the next tab, NUL-terminated, or NULL at the end. */
static char *
next_word(char **p)
{
	char	*word = *p + strspn(*p, "\t");

	if (*word == '\0')
		return NULL;
	*p = word + strcspn(word, "\t");
	if (**p != '\0')
		*(*p)++ = '\0';
	return word;
}

/* What is wrong with it, and where in *at; NULL: nothing. */
static const char *
pin_parse(char *line, struct pin *pin, char **at)
{
	char	*p = line, *end;

	pin->scenario = next_word(&p);
	pin->process = next_word(&p);
	pin->what = next_word(&p);
	pin->most = next_word(&p);
	*at = p;
	if (pin->most == NULL)
		return "expected a scenario, a process, what it is, the most a "
		    "session, and why";
	pin->limit = strtod(pin->most, &end);
	if (*end != '\0' || !isfinite(pin->limit) || pin->limit <= 0) {
		*at = pin->most;
		return "expected a number above 0, the most a session";
	}
	pin->why = p + strspn(p, "\t");
	return *pin->why == '\0' ? "expected a reason" : NULL;
}

/* "tls" of scenarios/leak/tls.smtp. */
static int
same_scenario(const char *name, const char *path)
{
	const char	*base = strrchr(path, '/');
	size_t		 n = strlen(name);

	base = base == NULL ? path : base + 1;
	return strcmp(name, "*") == 0 || (strncmp(base, name, n) == 0 &&
	    strcmp(base + n, ".smtp") == 0);
}

static int
applies(const struct pin *pin, const struct leak_job *job,
    const struct leak_row *row)
{
	return same_scenario(pin->scenario, job->sc->path) &&
	    strcmp(pin->process, row->process) == 0 &&
	    strcmp(pin->what, row->what) == 0 && row->low <= pin->limit;
}

/* The last version up to this one that has a file, to be freed; or NULL. */
static char *
last_version(const char *dir, const char *version)
{
	struct dirent	*e;
	char		*best = NULL;
	DIR		*d = opendir(dir);

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' ||
		    version_cmp(e->d_name, version) > 0 ||
		    (best != NULL && version_cmp(e->d_name, best) < 0))
			continue;
		free(best);
		best = xstrdup(e->d_name);
	}
	if (d != NULL)
		closedir(d);
	return best;
}

/* What is known of the target, and the path of it; NULL: nothing. */
static char *
load(const struct leak_job *job, char **path)
{
	char	*dir = cli_share(PINS), *name, *text = NULL;

	*path = NULL;
	if (dir == NULL || job->sc == NULL || job->target == NULL ||
	    (name = last_version(dir, job->target->version)) == NULL)
		return NULL;
	*path = xasprintf("%s/%s", dir, name);
	text = read_file(*path, NULL, 1 << 20);
	free(name);
	return text;
}

/* All lines are read, whichever the row is within. */
static int
look_up(const struct leak_job *job, struct leak_row *row)
{
	char		*path, *text = load(job, &path), *rest, *line, *at;
	const char	*wrong;
	struct pin	 pin;
	int		 n = 0, hit = 0;

	for (rest = text; (line = strsep(&rest, "\n")) != NULL;) {
		n++;
		at = line + strspn(line, " \t");
		if (*at == '\0' || *at == '#')
			continue;
		if ((wrong = pin_parse(line, &pin, &at)) != NULL)
			errx(EX_SETUP, "%s:%d:%d: %s", path, n,
			    (int)(at - line) + 1, wrong);
		if (row == NULL || hit || !applies(&pin, job, row))
			continue;
		row->why = xstrdup(pin.why);
		hit = 1;
	}
	free(text);
	free(path);
	return hit;
}

int
leak_baseline(const struct leak_job *job, struct leak_row *row)
{
	return look_up(job, row);
}

void
leak_baseline_check(const struct leak_job *job)
{
	look_up(job, NULL);
}
