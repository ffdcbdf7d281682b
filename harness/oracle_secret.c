/* No credential in the log, nor in what filters are told. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "profile.h"
#include "run.h"

/* Where scenarios let a filter write its report stream. */
#define REPORTS		"/tmp/report*"

static int
base64_of(const char *text, const char *secret)
{
	struct buf b = { 0 };
	int hit;

	base64_encode(&b, secret, strlen(secret));
	hit = strstr(text, b.data) != NULL;
	buf_free(&b);
	return hit;
}

/* A password may be one of the profile's. */
static const char *
secret_text(const struct run *run, const struct word *w)
{
	const char *value = NULL;

	if (w->text[0] == '$')
		value = profile_var(run->profile, w->text + 1,
		    strlen(w->text + 1));
	return value == NULL ? w->text : value;
}

static void
secret_look(struct run *run, const char *text, const char *where)
{
	const struct word *w;
	const char *secret;

	STAILQ_FOREACH(w, &run->sc->secrets, entry) {
		secret = secret_text(run, w);
		if (strstr(text, secret) != NULL || base64_of(text, secret))
			oracle_object(run, &oracle_secret, "smtpd",
			    "the secret of line %d stands in the %s: %s",
			    w->pos.line, where, text);
	}
}

static void
secret_log(struct run *run, const char *line)
{
	secret_look(run, line, "log");
}

static void
secret_finish(struct run *run)
{
	char *text, *line, *rest;
	glob_t g;
	size_t i, len;

	if (glob(REPORTS, 0, NULL, &g) != 0)
		return;
	for (i = 0; i < g.gl_pathc; i++) {
		text = rest = read_file(g.gl_pathv[i], &len, 64 << 20);
		while ((line = strsep(&rest, "\n")) != NULL)
			secret_look(run, line, "report stream");
		free(text);
	}
	globfree(&g);
}

const struct oracle oracle_secret = {
	.name = "secret",
	.text = "no credential is logged or reported",
	.log = secret_log,
	.finish = secret_finish,
	.daemon = 1,
};
