/* Whatever can be left out or made smaller is, as long as it still crashes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shrink.h"
#include "util.h"

/* This is the script from now on. */
static void
keep(struct shrink *s, const char *what)
{
	s->kept++;
	take_steps(s);
	save(s);
	tell(s, what);
}

/* --- a candidate ------------------------------------------------------------- */

/* What becomes of the steps made, when lines a and following were as saved. */
static struct part
part_left(const struct draft *d, char **saved, size_t a, size_t n)
{
	struct part	 part = { .first = 1, .stay = 1, .of = 1 };

	if (d->line[a] == NULL)
		part = (struct part){ a, a + n - 1, 0, 1 };
	else if (sscanf(saved[0], " repeat %" SCNu64, &part.of) == 1 &&
	    sscanf(d->line[a], " repeat %" SCNu64, &part.stay) == 1) {
		part.first = a + 1;
		part.last = draft_unit(d, a);
	}
	return part;
}

/* Does it still crash?  If not, lines a and following are as they were saved. */
static int
try(struct shrink *s, char **saved, size_t a, size_t n, const char *what)
{
	struct draft	*d = &s->now;
	struct part	 part = part_left(d, saved, a, n);
	char		*stops[LINES_MAX];
	size_t		 i;
	int		 kept;

	draft_shift(d, &part, stops);
	kept = good(s);
	for (i = 0; i < d->n; i++)
		if (stops[i] != NULL && kept)
			free(stops[i]);
		else if (stops[i] != NULL)
			draft_put(d, i, stops[i]);
	for (i = 0; i < n; i++)
		if (!kept)
			draft_put(d, a + i, saved[i]);
		else if (saved[i] != d->line[a + i])
			free(saved[i]);
	if (!kept)
		return 0;
	keep(s, what);
	return 1;
}

/* --- leaving out ------------------------------------------------------------- */

/* Can this be left out at all, in the round that looks at clients or lines? */
static int
is_unit(const struct draft *d, size_t i, int clients)
{
	const char	*l = d->line[i];
	int		 in = draft_indent(l);

	if (in < 0 || l[in] == '}' || l[in] == '#')
		return 0;
	if (in == 0 && clients)
		return strncmp(l, "client ", 7) == 0;
	if (in == 0)
		return strncmp(l, "stop ", 5) == 0 ||
		    strncmp(l, "rest ", 5) == 0;
	return !clients;
}

/* The end of so many neighbours of a kind, at most. */
static size_t
neighbours(const struct draft *d, size_t begin, int clients, size_t most)
{
	size_t	 end = begin, taken;

	for (taken = 0; taken < most; taken++) {
		while (end < d->n && (d->line[end] == NULL ||
		    *d->line[end] == '\0'))
			end++;
		if (end == d->n || !is_unit(d, end, clients) ||
		    draft_indent(d->line[end]) != draft_indent(d->line[begin]))
			break;
		end = draft_unit(d, end) + 1;
	}
	return end;
}

/* One round over everything that can be left out; how much was. */
static size_t
leave_out(struct shrink *s, int clients, size_t most)
{
	struct draft	*d = &s->now;
	char		*saved[LINES_MAX];
	size_t		 i, k, end, done = 0;

	for (i = 0; i < d->n && !over(s); i++) {
		if (d->line[i] == NULL || !is_unit(d, i, clients) ||
		    !draft_plays(d, i))
			continue;
		end = neighbours(d, i, clients, most);
		for (k = i; k < end; k++) {
			saved[k - i] = d->line[k];
			d->line[k] = NULL;
		}
		if (try(s, saved, i, end - i, "leaving out"))
			done++;
		else if (most == 1)
			continue;
		i = end - 1;
	}
	return done;
}

/* --- making smaller ---------------------------------------------------------- */

/* Numbers that say how much of something there is. */
static const char	*const amounts[] = {
	"repeat ", "${x*", "message size=", " for ", NULL
};

static char *
smaller(const char *line, uint64_t by)
{
	const char	*p = NULL;
	char		*end;
	uint64_t	 n;
	size_t		 i;

	for (i = 0; amounts[i] != NULL; i++)
		if ((p = strstr(line, amounts[i])) != NULL)
			break;
	if (p == NULL)
		return NULL;
	p += strlen(amounts[i]);
	n = strtoull(p, &end, 10);
	if (end == p || n < 2)
		return NULL;
	return xasprintf("%.*s%llu%s", (int)(p - line), line,
	    (unsigned long long)(n / by > 0 ? n / by : 1), end);
}

static size_t
make_smaller(struct shrink *s)
{
	static const uint64_t	 by[] = { 1000, 8, 2 };
	struct draft		*d = &s->now;
	size_t			 i, k, done = 0;
	char			*new, *old;

	for (i = 0; i < d->n && !over(s); i++)
		for (k = 0; k < nitems(by) && !over(s); k++) {
			if (d->line[i] == NULL || !draft_plays(d, i) ||
			    (new = smaller(d->line[i], by[k])) == NULL)
				continue;
			old = d->line[i];
			d->line[i] = new;
			done += (size_t)try(s, &old, i, 1, "making smaller");
		}
	return done;
}

/* --- stops ------------------------------------------------------------------- */

/*
 * After how many steps of all clients somebody stops is a matter of who was how
 * fast.  At rest, or from the beginning, it is always the same.
 */
static int
settle(struct shrink *s, size_t i)
{
	static const char *const forms[] = {
		"rest stop %s", "stop %s after 1"
	};
	char		 who[32], *old = s->now.line[i];
	size_t		 k;

	if (old == NULL || sscanf(old, "stop %31s after", who) != 1)
		return 0;
	for (k = 0; k < nitems(forms) && !over(s); k++) {
		s->now.line[i] = xasprintf(forms[k], who);
		if (strcmp(s->now.line[i], old) != 0 && good(s)) {
			free(old);
			keep(s, "a sure stop");
			return 1;
		}
		draft_put(&s->now, i, old);
	}
	return 0;
}

size_t
settle_all(struct shrink *s)
{
	size_t	 i, done = 0;

	for (i = 0; i < s->now.n; i++)
		done += (size_t)settle(s, i);
	return done;
}

/* --- all of it --------------------------------------------------------------- */

/* How much could be done? */
static size_t
once(struct shrink *s)
{
	size_t	 most, done = 0;

	for (most = 8; most > 0; most /= 2)
		done += leave_out(s, 1, most);
	for (most = 4; most > 0; most /= 2)
		done += leave_out(s, 0, most);
	done += settle_all(s);
	done += make_smaller(s);
	draft_tidy(&s->now);
	save(s);
	return done;
}

void
reduce(struct shrink *s)
{
	hold(s);
	s->nrefused = 0;
	while (!over(s) && once(s) > 0)
		;
}
