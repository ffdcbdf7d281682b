/* The baselines of "leak": what is known to grow, and by how much. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cmd.h"
#include "leak_baseline.h"
#include "script.h"
#include "target.h"

#define DIR	"fixtures/baselines/"

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
	if (*end != '\0' || !(pin->limit > 0)) {
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

int
leak_baseline(const struct leak_job *job, struct leak_row *row)
{
	char		*name, *path, *text, *rest, *line, *at;
	const char	*wrong;
	struct pin	 pin;
	int		 n, hit = 0;

	if (job->sc == NULL || job->target == NULL)
		return 0;
	name = xasprintf(DIR "%s", job->target->version);
	path = cli_share(name);
	free(name);
	if (path == NULL || (text = read_file(path, NULL, 1 << 20)) == NULL)
		return 0;
	rest = text;
	for (n = 1; !hit && (line = strsep(&rest, "\n")) != NULL; n++) {
		at = line + strspn(line, " \t");
		if (*at == '\0' || *at == '#')
			continue;
		if ((wrong = pin_parse(line, &pin, &at)) != NULL)
			errx(EX_SETUP, "%s:%d:%d: %s", path, n,
			    (int)(at - line) + 1, wrong);
		hit = applies(&pin, job, row);
		if (hit)
			row->why = xstrdup(pin.why);
	}
	free(text);
	return hit;
}
