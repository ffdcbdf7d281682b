#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "perturb.h"
#include "plain.h"
#include "report.h"
#include "run.h"

#define CONTACTS_FAR	(1ULL << 40)	/* in no run there are as many */
#define MESSAGE_LINE	72	/* octets of a line where a message is cut */

/* What was drawn by one stream, read from the front. */
struct drawn {
	char		*stream, *label;
	uint64_t	 value;
	int		 used;
};

struct plain {
	const struct scenario *sc;
	char		**lines;	/* of the scenario, 0-based */
	size_t		 nlines;
	struct drawn	*drawn;
	size_t		 ndrawn;
	const json_t	*plan;
	struct buf	*out;
	/* the session that is being written */
	char		 stream[96];
	char		 label[96];
	unsigned int	 n;
	uint64_t	 steps, cut;	/* made; before this one it ends, 0: never */
	uint64_t	 pause;		/* or waits */
	uint64_t	 silent;	/* or waits for its end */
	char		 how[16];
	uint64_t	 part;		/* of its message it says so much, 0: all */
	int		 is_part;
	int		 over;
	int		 depth;
};

static uint64_t
take(struct plain *p, const char *label, struct range r)
{
	size_t	 i;

	if (r.lo == r.hi)
		return r.lo;
	for (i = 0; i < p->ndrawn; i++)
		if (!p->drawn[i].used && strcmp(p->drawn[i].stream,
		    p->stream) == 0) {
			if (strcmp(p->drawn[i].label, label) != 0)
				break;
			p->drawn[i].used = 1;
			return p->drawn[i].value;
		}
	return r.lo;
}

static void
put(struct plain *p, const char *text, size_t len)
{
	int	 i;

	for (i = 0; i <= p->depth; i++)
		buf_addstr(p->out, "    ");
	buf_add(p->out, text, len);
	buf_addstr(p->out, "\n");
}

static void
puts_in(struct plain *p, const char *text)
{
	put(p, text, strlen(text));
}

/* ${session} becomes its number. */
static void
put_session(struct plain *p, const char *text, size_t len)
{
	static const char	*const names[] = { "${session}", "$session" };
	struct buf		 b = { 0 };
	size_t			 i, k, n;

	for (i = 0; i < len; i += n) {
		n = 1;
		for (k = 0; k < nitems(names); k++)
			if (len - i >= strlen(names[k]) && n == 1 &&
			    strncmp(text + i, names[k], strlen(names[k])) == 0) {
				n = strlen(names[k]);
				buf_addf(&b, "%u", p->n);
			}
		if (n == 1)
			buf_add(&b, text + i, 1);
	}
	put(p, b.data, b.len);
	buf_free(&b);
}

/* A step as it was written, without the braces of what is around it. */
static const char *
source(const struct plain *p, const struct step *st, size_t *len)
{
	const char	*line = p->lines[st->pos.line - 1], *s, *e, *q;
	int		 open = 0;

	s = line + st->pos.col - 1;
	e = s + strlen(s);
	for (q = s; q < e; q++)
		open += (*q == '{') - (*q == '}');
	while (e > s && (e[-1] == ' ' || (e[-1] == '}' && open < 0))) {
		open += e[-1] == '}';
		e--;
	}
	*len = (size_t)(e - s);
	return s;
}

static int
draws(const struct steps *list)
{
	const struct step	*st;

	STAILQ_FOREACH(st, list, entry)
		if (st->next_alt != NULL || strcmp(st->kind->word, "message") == 0 ||
		    st->range.lo != st->range.hi || draws(&st->body))
			return 1;
	return 0;
}

static void	 put_steps(struct plain *, const struct steps *);

/* c[3], a client of a fleet, is called c3 once it stands for itself. */
static void
put_label(struct buf *b, const char *label)
{
	for (; *label != '\0'; label++)
		if (*label != '[' && *label != ']')
			buf_add(b, label, 1);
}

/* Where it would be cut, or silent, it ends. */
static int
counted(struct plain *p)
{
	struct buf	 b = { 0 };

	if (p->over)
		return 0;
	p->steps++;
	if (p->steps == p->pause) {
		buf_addstr(&b, "<await ");
		put_label(&b, p->label);
		buf_addstr(&b, "-goes-on>");
		put(p, b.data, b.len);
		buf_free(&b);
	}
	if (p->steps != p->cut && p->steps != p->silent)
		return 1;
	if (p->steps == p->cut)
		buf_addf(p->out, "    C: <%s>\n", p->how);
	else
		puts_in(p, "S: <close>");
	p->over = 1;
	return 0;
}

/* The next step at which something happens that does not happen in each turn. */
static uint64_t
next_event(const struct plain *p)
{
	const uint64_t	 at[] = { p->cut, p->pause, p->silent };
	uint64_t	 next = UINT64_MAX;
	size_t		 i;

	for (i = 0; i < nitems(at); i++)
		if (at[i] > p->steps && at[i] < next)
			next = at[i];
	return next;
}

/* How many steps are a turn that draws nothing? */
static uint64_t
turn_steps(struct plain *p, const struct step *st)
{
	struct buf	 scratch = { 0 }, *out = p->out;
	uint64_t	 steps = p->steps, n;

	/* nothing happens from here on */
	p->out = &scratch;
	p->steps = CONTACTS_FAR;
	put_steps(p, &st->body);
	n = p->steps - CONTACTS_FAR;
	p->steps = steps;
	p->out = out;
	buf_free(&scratch);
	return n;
}

/* So many turns that are all alike. */
static void
put_turns(struct plain *p, const struct step *st, uint64_t n, uint64_t each)
{
	char		 text[64];
	uint64_t	 steps = p->steps;

	if (n > 1) {
		snprintf(text, sizeof(text), "repeat %" PRIu64 " {", n);
		puts_in(p, text);
		p->depth++;
	}
	if (n > 0)
		put_steps(p, &st->body);
	if (n > 1) {
		p->depth--;
		puts_in(p, "}");
	}
	p->steps = steps + n * each;
}

static void
put_repeat(struct plain *p, const struct step *st)
{
	uint64_t	 i, n = take(p, "repeat", st->range), each = 0, same;

	if (!draws(&st->body))
		each = turn_steps(p, st);
	for (i = 0; i < n && !p->over; ) {
		same = each == 0 ? 0 :
		    (next_event(p) - p->steps - 1) / each;
		if (same > n - i)
			same = n - i;
		if (same > 1)
			put_turns(p, st, same, each);
		else {
			put_steps(p, &st->body);
			same = 1;
		}
		i += same;
	}
	if (n > 0)
		counted(p);
}

static void
put_choose(struct plain *p, const struct step *st)
{
	uint64_t	 n = take(p, "choose", st->range);

	for (; n > 1 && st->next_alt != NULL; n--)
		st = st->next_alt;
	put_steps(p, &st->body);
	counted(p);
}

/* Of each range what it begins with. */
static void
put_least(struct plain *p, const char *s, size_t len)
{
	struct buf	 b = { 0 };
	size_t		 i;

	for (i = 0; i < len; i++) {
		if (strncmp(s + i, "..", 2) == 0)
			while (i < len && s[i] != ' ')
				i++;
		if (i < len)
			buf_add(&b, s + i, 1);
	}
	put(p, b.data, b.len);
	buf_free(&b);
}

static void
put_message(struct plain *p, const struct step *st)
{
	const struct range any = { 0, UINT64_MAX };
	char		 text[64];
	const char	*s;
	size_t		 len;
	uint64_t	 size;

	s = source(p, st, &len);
	if (len > 0 && s[len - 1] == '{') {
		put(p, s, len);
		for (s = p->lines[st->pos.line]; strchr(s, '}') == NULL;
		    s += strlen(s) + 1)
			put(p, s, strlen(s));
		puts_in(p, "}");
		return;
	}
	size = take(p, "size", any);
	take(p, "body", any);
	if (!p->is_part && size == 0) {
		put_least(p, s, len);	/* it was not drawn */
		return;
	}
	if (!p->is_part) {
		snprintf(text, sizeof(text), "message size=%" PRIu64, size);
		puts_in(p, text);
		return;
	}
	snprintf(text, sizeof(text), "repeat %" PRIu64 " {",
	    1 + p->part / MESSAGE_LINE);
	puts_in(p, text);
	snprintf(text, sizeof(text), "    C: ${x*%d}", MESSAGE_LINE - 2);
	puts_in(p, text);
	puts_in(p, "}");
	puts_in(p, "S: <close>");
	p->over = 1;
}

static void
put_pause(struct plain *p, const struct step *st)
{
	char	 text[64];

	snprintf(text, sizeof(text), "pause %" PRIu64 "us",
	    take(p, "pause", st->range));
	puts_in(p, text);
}

static const struct {
	const char	*word;
	void		(*put)(struct plain *, const struct step *);
} printers[] = {
	{ "repeat",	put_repeat },
	{ "choose",	put_choose },
	{ "message",	put_message },
	{ "pause",	put_pause },
};

static void
put_step(struct plain *p, const struct step *st)
{
	const char	*s;
	size_t		 i, len;

	for (i = 0; i < nitems(printers); i++)
		if (strcmp(printers[i].word, st->kind->word) == 0) {
			printers[i].put(p, st);
			return;
		}
	s = source(p, st, &len);
	put_session(p, s, len);
}

static void
put_steps(struct plain *p, const struct steps *list)
{
	const struct step	*st;

	STAILQ_FOREACH(st, list, entry) {
		if (!counted(p))
			return;
		put_step(p, st);
	}
}

/* What befell this session. */
static void
look_up(struct plain *p)
{
	const json_t	*v;
	char		 label[96], how[16];
	uint64_t	 n;
	size_t		 i;

	json_array_foreach(p->plan, i, v) {
		if (sscanf(json_string_value(v), "cut %95s %" SCNu64 " %15s",
		    label, &n, how) == 3 && strcmp(label, p->label) == 0) {
			p->cut = n;
			memcpy(p->how, how, sizeof(p->how));
		}
		if (sscanf(json_string_value(v), "pause %95s %" SCNu64, label,
		    &n) == 2 && strcmp(label, p->label) == 0)
			p->pause = n;
		if (sscanf(json_string_value(v), "silent %95s %" SCNu64, label,
		    &n) == 2 && strcmp(label, p->label) == 0)
			p->silent = n;
		if (sscanf(json_string_value(v), "part %95s %" SCNu64, label,
		    &n) == 2 && strcmp(label, p->label) == 0) {
			p->is_part = 1;
			p->part = n;
		}
	}
}

static void
put_client(struct plain *p, const struct role *r, unsigned int n, int fleet)
{
	const struct opt	*o;

	snprintf(p->stream, sizeof(p->stream), "%s/%u", r->name, n);
	snprintf(p->label, sizeof(p->label), fleet ? "%s[%u]" : "%s", r->name,
	    n);
	p->n = n;
	p->steps = p->cut = p->part = p->pause = p->silent = 0;
	p->is_part = p->over = p->depth = 0;
	look_up(p);
	buf_addstr(p->out, "\nclient ");
	put_label(p->out, p->label);
	STAILQ_FOREACH(o, &r->opts, entry)
		if (strcmp(o->name, "sessions") != 0 &&
		    strcmp(o->name, "parallel") != 0 &&
		    strcmp(o->name, "rate") != 0)
			buf_addf(p->out, o->value == NULL ? " %s" : " %s=%s",
			    o->name, o->value);
	buf_addstr(p->out, " {\n");
	put_steps(p, &r->steps);
	buf_addstr(p->out, "}\n");
}

static void
put_clients(struct plain *p, const struct role *r)
{
	const struct opt	*o, *fleet = NULL;
	unsigned int		 i, n = 1;

	STAILQ_FOREACH(o, &r->opts, entry)
		if (strcmp(o->name, "sessions") == 0)
			fleet = o;
	if (fleet != NULL)
		n = (unsigned int)strtoul(fleet->value, NULL, 10);
	for (i = 1; i <= n; i++)
		put_client(p, r, i, fleet != NULL);
}

static int
is_silent(const struct plain *p)
{
	const json_t	*v;
	size_t		 i;

	json_array_foreach(p->plan, i, v)
		if (strncmp(json_string_value(v), "silent ", 7) == 0)
			return 1;
	return 0;
}

/* What happens to the run, in the words of a scenario. */
static void
put_plan(struct plain *p)
{
	const json_t	*v;
	const char	*text;
	size_t		 i;

	if (is_silent(p))
		buf_addf(p->out, "timeout %ds\n", PERTURB_SILENCE / 1000000);
	json_array_foreach(p->plan, i, v) {
		text = json_string_value(v);
		if (strncmp(text, "rest go-on ", 11) == 0) {
			buf_addstr(p->out, "rest reach ");
			put_label(p->out, text + 11);
			buf_addstr(p->out, "-goes-on\n");
		} else if (strncmp(text, "stop ", 5) == 0 ||
		    strncmp(text, "rest ", 5) == 0) {
			put_label(p->out, text);
			buf_addstr(p->out, "\n");
		}
	}
}

static int
is_client(const struct role *r)
{
	return strcmp(r->kind->word, "client") == 0;
}

static const struct role *
client_at(const struct plain *p, size_t line)
{
	const struct role	*r;

	STAILQ_FOREACH(r, &p->sc->roles, entry)
		if (is_client(r) && (size_t)r->pos.line == line)
			return r;
	return NULL;
}

/* Everything that is no client, as it was; the plan behind the first line. */
static void
put_rest(struct plain *p)
{
	size_t	 i;
	int	 in = 0;

	for (i = 0; i < p->nlines; i++) {
		if (client_at(p, i + 1) != NULL)
			in = 1;
		if (!in && (strncmp(p->lines[i], "timeout ", 8) != 0 ||
		    !is_silent(p)))
			buf_addf(p->out, "%s\n", p->lines[i]);
		if (in && p->lines[i][0] == '}')
			in = 0;
		if (strncmp(p->lines[i], "scenario ", 9) == 0)
			put_plan(p);
	}
}

static void
read_choices(struct plain *p, FILE *fp)
{
	char		 stream[128], label[128];
	uint64_t	 lo, hi, value;

	while (fp != NULL && fscanf(fp, "%127s %127s %" SCNu64 " %" SCNu64 " %"
	    SCNu64, stream, label, &lo, &hi, &value) == 5) {
		p->drawn = xreallocarray(p->drawn, p->ndrawn + 1,
		    sizeof(*p->drawn));
		p->drawn[p->ndrawn].stream = xstrdup(stream);
		p->drawn[p->ndrawn].label = xstrdup(label);
		p->drawn[p->ndrawn].value = value;
		p->drawn[p->ndrawn++].used = 0;
	}
}

static void
split(struct plain *p, char *text)
{
	char	*line;

	while ((line = strsep(&text, "\n")) != NULL) {
		p->lines = xreallocarray(p->lines, p->nlines + 1,
		    sizeof(*p->lines));
		p->lines[p->nlines++] = line;
	}
}

void
plain_write(const struct scenario *sc, const char *text, FILE *choices,
    const json_t *plan, struct buf *out)
{
	struct plain		 p = { .sc = sc, .plan = plan, .out = out };
	const struct role	*r;
	char			*copy = xstrdup(text);
	size_t			 i;

	split(&p, copy);
	read_choices(&p, choices);
	put_rest(&p);
	STAILQ_FOREACH(r, &sc->roles, entry)
		if (is_client(r))
			put_clients(&p, r);
	for (i = 0; i < p.ndrawn; i++) {
		free(p.drawn[i].stream);
		free(p.drawn[i].label);
	}
	free(p.drawn);
	free(p.lines);
	free(copy);
}
