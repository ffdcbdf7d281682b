/* What a tap has logged, said again. */
#include <stdlib.h>
#include <string.h>

#include "drive_priv.h"

struct said {
	char		*text;		/* with its LF */
	size_t		 len;
	unsigned long	 after;		/* so many lines of the filter */
};

struct drive_script {
	struct said	*said;
	size_t		 n, next;
	unsigned long	 heard;		/* lines of the filter, in the log */
	unsigned long	 fewer;		/* than in the log */
	uint64_t	 since;		/* waiting for one of them */
};

/* How much it registers is up to the filter. */
int
drive_script_counts(const char *line, size_t len)
{
	static const char any[] = "register|", last[] = "register|ready";

	return len < strlen(any) || memcmp(line, any, strlen(any)) != 0 ||
	    (len == strlen(last) && memcmp(line, last, len) == 0);
}

static int
on_entry(void *arg, const struct filter_entry *e)
{
	struct drive_script *s = arg;
	struct said *l;

	s->heard += e->dir == 'F' && drive_script_counts(e->text, e->len);
	/* what smtpd had not ended, it did not mean */
	if (e->dir != 'D' || !e->terminated)
		return 0;
	s->said = xreallocarray(s->said, s->n + 1, sizeof(*s->said));
	l = &s->said[s->n++];
	l->len = e->len + 1;
	l->text = xcalloc(1, l->len + 1);
	memcpy(l->text, e->text, e->len);
	l->text[e->len] = '\n';
	l->after = s->heard;
	return 0;
}

struct drive_script *
drive_script_load(const char *path, char *err, size_t errlen)
{
	struct drive_script *s = xcalloc(1, sizeof(*s));

	if (filter_log_read(path, on_entry, s, err, errlen) == 0)
		return s;
	drive_script_free(s);
	return NULL;
}

void
drive_script_free(struct drive_script *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		free(s->said[i].text);
	free(s->said);
	free(s);
}

/*
 * A line is said when the filter has said as much as it had in the log.  When
 * it does not, that is the judge's business, and we go on from there.
 */
int
drive_script_step(struct drive *d, struct drive_script *s)
{
	uint64_t now = drive_now(d);
	const struct said *l;

	for (; s->next < s->n; s->next++) {
		l = &s->said[s->next];
		if (l->after > d->nheard + s->fewer) {
			if (s->since == 0)
				s->since = now;
			if (now - s->since < d->owed)
				return 0;
			s->fewer = l->after - d->nheard;
		}
		s->since = 0;
		drive_send(d, l->text, l->len);
	}
	return 1;
}
