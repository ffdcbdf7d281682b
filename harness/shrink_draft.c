/* A script on its way to a shorter one. */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "shrink.h"
#include "util.h"

static void
clear(struct draft *d)
{
	while (d->n > 0)
		free(d->line[--d->n]);
	d->made.n = 0;
}

void
draft_free(struct draft *d)
{
	clear(d);
	free(d->made.line);
	memset(d, 0, sizeof(*d));
}

void
draft_copy(struct draft *to, const struct draft *from)
{
	size_t	 i;

	clear(to);
	for (i = 0; i < from->n; i++)
		to->line[i] = from->line[i] == NULL ? NULL :
		    xstrdup(from->line[i]);
	to->n = from->n;
	to->made.line = xreallocarray(to->made.line, from->made.n + 1,
	    sizeof(*to->made.line));
	if (from->made.n > 0)
		memcpy(to->made.line, from->made.line, from->made.n *
		    sizeof(*to->made.line));
	to->made.n = from->made.n;
	to->slowest = from->slowest;
	to->hits = from->hits;
}

/* What an earlier shrink has said of it. */
static int
is_head(const char *line)
{
	return strncmp(line, HEAD_FROM, strlen(HEAD_FROM)) == 0 ||
	    strncmp(line, HEAD_SYMPTOM, strlen(HEAD_SYMPTOM)) == 0 ||
	    strncmp(line, HEAD_RATE, strlen(HEAD_RATE)) == 0;
}

void
draft_take(struct draft *d, char *text)
{
	char	*line;

	clear(d);
	while ((line = strsep(&text, "\n")) != NULL) {
		if (is_head(line))
			continue;
		if (d->n == LINES_MAX)
			errx(EX_SETUP, "a script of more than %d lines",
			    LINES_MAX);
		d->line[d->n++] = xstrdup(line);
	}
	while (d->n > 0 && *d->line[d->n - 1] == '\0')
		free(d->line[--d->n]);
}

char *
draft_text(const struct draft *d)
{
	struct buf	 b = { 0 };
	size_t		 i;

	for (i = 0; i < d->n; i++)
		if (d->line[i] != NULL)
			buf_addf(&b, "%s\n", d->line[i]);
	return b.data == NULL ? xstrdup("") : b.data;
}

int
draft_indent(const char *line)
{
	return line == NULL || *line == '\0' ? -1 : (int)strspn(line, " ");
}

int
draft_plays(const struct draft *d, size_t i)
{
	static const char	*const words[] = { "client ", "stop ", "rest " };
	size_t			 k;

	for (; draft_indent(d->line[i]) != 0; i--)
		if (i == 0)
			return 0;
	for (k = 0; k < nitems(words); k++)
		if (strncmp(d->line[i], words[k], strlen(words[k])) == 0)
			return 1;
	return 0;
}

size_t
draft_size(const struct draft *d)
{
	size_t	 i, n = 0;

	for (i = 0; i < d->n; i++)
		n += d->line[i] != NULL && draft_plays(d, i) &&
		    d->line[i][strspn(d->line[i], " }")] != '\0';
	return n;
}

size_t
draft_unit(const struct draft *d, size_t i)
{
	const char	*l = d->line[i];
	int		 in = draft_indent(l);
	size_t		 k, end;

	if (l[strlen(l) - 1] == '{') {
		for (k = i + 1; k < d->n && (d->line[k] == NULL ||
		    draft_indent(d->line[k]) != in ||
		    d->line[k][in] != '}'); k++)
			;
		return k < d->n ? k : i;
	}
	end = i;
	for (k = i + 1; strncmp(l + in, "C: ", 3) == 0 && k < d->n; k++) {
		if (d->line[k] == NULL)
			continue;
		if (draft_indent(d->line[k]) != in ||
		    strncmp(d->line[k] + in, "S: ", 3) != 0)
			break;
		end = k;
	}
	return end;
}

void
draft_put(struct draft *d, size_t i, char *line)
{
	if (d->line[i] != line)
		free(d->line[i]);
	d->line[i] = line;
}

void
draft_shift(struct draft *d, const struct part *part, char **old)
{
	size_t	 i;
	char	*new;

	for (i = 0; i < d->n; i++) {
		old[i] = NULL;
		if (part->first > part->last || d->line[i] == NULL ||
		    (new = shift_stop(d->line[i], &d->made, part)) == NULL)
			continue;
		old[i] = d->line[i];
		d->line[i] = new;
	}
}

/* One turn needs no repeat; whose own two steps are gone then. */
static void
unwrap(struct draft *d, size_t i)
{
	const struct part	 part = { i, i, 0, 1 };
	char			*old[LINES_MAX];
	size_t			 k, n = 0, end = draft_unit(d, i);

	draft_shift(d, &part, old);
	for (k = 0; k < d->n; k++)
		free(old[k]);
	for (k = 0; k < d->made.n; k++)
		if (d->made.line[k] != i)
			d->made.line[n++] = d->made.line[k];
	d->made.n = n;
	for (k = i + 1; k < end; k++)
		if (draft_indent(d->line[k]) >= 4)
			memmove(d->line[k], d->line[k] + 4,
			    strlen(d->line[k]) - 3);
	draft_put(d, i, NULL);
	draft_put(d, end, NULL);
}

void
draft_tidy(struct draft *d)
{
	const char	*last = "";
	size_t		 i;

	for (i = 0; i < d->n; i++)
		if (d->line[i] != NULL && draft_plays(d, i) &&
		    strcmp(d->line[i] + strspn(d->line[i], " "),
		    "repeat 1 {") == 0)
			unwrap(d, i);
	for (i = 0; i < d->n; i++) {
		if (d->line[i] == NULL)
			continue;
		if (*d->line[i] == '\0' && *last == '\0')
			draft_put(d, i, NULL);
		else
			last = d->line[i];
	}
}
