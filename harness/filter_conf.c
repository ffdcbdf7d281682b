/* The filters of an smtpd.conf(5). */
#include <stdlib.h>
#include <string.h>

#include "filter_conf.h"
#include "filter_judge.h"
#include "util.h"

#define MAX_WORDS	128

struct cword {
	char		*text;
	size_t		 off, len;
};

/* A filter or a chain, or what a listener or an action has in braces. */
struct chain {
	char		*name;
	char		*proc;		/* NULL: builtin, or a chain */
	char		**member;
	size_t		 nmembers;
};

/* A listener or an action uses this one. */
struct use {
	char		*name;
	unsigned	 subsystem;
};

struct filter_conf {
	struct conf_proc *proc;
	struct chain	*chain;
	struct use	*use;
	size_t		 nprocs, nchains, nuses;
};

#define GROW(array, n)							\
	((array) = xreallocarray((array), (n) + 1, sizeof(*(array))),	\
	    memset(&(array)[(n)], 0, sizeof(*(array))), &(array)[(n)++])

/* --- words ---------------------------------------------------------------- */

/* A quoted word; the backslash is for the quote and blanks. */
static size_t
quoted(const char *p, struct buf *b)
{
	size_t i;

	for (i = 1; p[i] != '\0' && p[i] != *p; i++) {
		if (p[i] == '\\' && (p[i + 1] == *p || p[i + 1] == ' ' ||
		    p[i + 1] == '\t'))
			i++;
		buf_add(b, &p[i], 1);
	}
	return p[i] == '\0' ? i : i + 1;
}

/* Blanks, commas, comments and lines that go on. */
static size_t
skip(const char *p, int depth)
{
	size_t i = 0;

	for (;;) {
		i += strspn(p + i, " \t,");
		if (p[i] == '#')
			i += strcspn(p + i, "\n");
		if (p[i] == '\\' && p[i + 1] == '\n')
			i += 2;
		else if (depth > 0 && p[i] == '\n')
			i++;
		else
			return i;
	}
}

/* The words of the statement at *pp, which moves to the next one. */
static size_t
statement(const char *text, const char **pp, struct cword *w)
{
	const char *p = *pp, *from;
	struct buf b;
	size_t n = 0;
	int depth = 0;

	for (;;) {
		p += skip(p, depth);
		if (*p == '\0' || *p == '\n' || n == MAX_WORDS)
			break;
		memset(&b, 0, sizeof(b));
		buf_add(&b, NULL, 0);
		from = p;
		if (*p == '"' || *p == '\'')
			p += quoted(p, &b);
		else if (*p == '{' || *p == '}') {
			depth += *p == '{' ? 1 : -1;
			buf_add(&b, p++, 1);
		} else {
			p += strcspn(p, " \t,\n{}\"'#");
			buf_add(&b, from, (size_t)(p - from));
			if (p == from)
				p++;
		}
		w[n].text = b.data;
		w[n].off = (size_t)(from - text);
		w[n++].len = (size_t)(p - from);
	}
	*pp = *p == '\0' ? p : p + 1;
	return n;
}

static void
words_free(struct cword *w, size_t n)
{
	while (n > 0)
		free(w[--n].text);
}

/* --- statements ----------------------------------------------------------- */

static struct chain *
chain_add(struct filter_conf *c, const char *name)
{
	struct chain *ch = GROW(c->chain, c->nchains);

	ch->name = xstrdup(name);
	return ch;
}

static void
members(struct chain *ch, const struct cword *w, size_t n)
{
	size_t i;

	for (i = 0; i < n && strcmp(w[i].text, "}") != 0; i++)
		if (strcmp(w[i].text, "{") != 0)
			*GROW(ch->member, ch->nmembers) = xstrdup(w[i].text);
}

static void
proc_add(struct filter_conf *c, const char *name, const struct cword *w,
    size_t n)
{
	struct conf_proc *p = GROW(c->proc, c->nprocs);
	size_t i;

	p->name = xstrdup(name);
	p->command = xstrdup(w[0].text);
	p->off = w[0].off;
	p->len = w[0].len;
	for (i = 1; i < n; i++)
		p->chroot |= strcmp(w[i].text, "chroot") == 0;
}

static void
say_filter(struct filter_conf *c, const struct cword *w, size_t n)
{
	struct chain *ch;

	if (n < 4)
		return;
	ch = chain_add(c, w[1].text);
	if (strcmp(w[2].text, "proc-exec") == 0) {
		ch->proc = xstrdup(w[1].text);
		proc_add(c, w[1].text, w + 3, n - 3);
	} else if (strcmp(w[2].text, "proc") == 0)
		ch->proc = xstrdup(w[3].text);
	else if (strcmp(w[2].text, "chain") == 0)
		members(ch, w + 3, n - 3);
}

static void
say_use(struct filter_conf *c, const struct cword *w, size_t n,
    unsigned subsystem)
{
	char *name = NULL;
	size_t i;

	for (i = 1; i + 1 < n; i++) {
		if (strcmp(w[i].text, "filter") != 0)
			continue;
		if (strcmp(w[i + 1].text, "{") == 0) {
			name = xasprintf("{%zu}", c->nchains);
			members(chain_add(c, name), w + i + 1, n - i - 1);
		} else
			name = xstrdup(w[i + 1].text);
		break;
	}
	if (name == NULL)
		return;
	i = c->nuses;
	(void)GROW(c->use, c->nuses);
	c->use[i].name = name;
	c->use[i].subsystem = subsystem;
}

static void
say(struct filter_conf *c, const struct cword *w, size_t n)
{
	if (n < 2)
		return;
	if (strcmp(w[0].text, "filter") == 0)
		say_filter(c, w, n);
	else if (strcmp(w[0].text, "proc") == 0 && n >= 3)
		proc_add(c, w[1].text, w + 2, n - 2);
	else if (strcmp(w[0].text, "listen") == 0)
		say_use(c, w, n, 1);
	else if (strcmp(w[0].text, "action") == 0)
		say_use(c, w, n, 2);
}

/* --- what it comes to ----------------------------------------------------- */

static const struct chain *
chain_find(const struct filter_conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nchains; i++)
		if (strcmp(c->chain[i].name, name) == 0)
			return &c->chain[i];
	return NULL;
}

static unsigned
used_for(const struct filter_conf *c, const char *name)
{
	unsigned bits = 0;
	size_t i;

	for (i = 0; i < c->nuses; i++)
		if (strcmp(c->use[i].name, name) == 0)
			bits |= c->use[i].subsystem;
	return bits;
}

static int
is_of(const struct filter_conf *c, const char *filter,
    const struct conf_proc *p)
{
	const struct chain *ch = chain_find(c, filter);

	return ch != NULL && ch->proc != NULL && strcmp(ch->proc, p->name) == 0;
}

/* The place of the process in this chain. */
static void
place(const struct filter_conf *c, const struct chain *ch,
    struct conf_proc *p)
{
	const struct chain *prev;
	size_t i;

	for (i = 0; i < ch->nmembers; i++) {
		if (!is_of(c, ch->member[i], p))
			continue;
		p->entries++;
		p->subsystems |= used_for(c, ch->name);
		p->others |= i > 0 ? OTHERS_BEFORE : 0;
		p->others |= i + 1 < ch->nmembers ? OTHERS_AFTER : 0;
		prev = i == 0 ? NULL : chain_find(c, ch->member[i - 1]);
		if (p->entries == 1 && prev != NULL && prev->proc != NULL)
			p->before = xstrdup(prev->proc);
	}
}

static void
look(const struct filter_conf *c, struct conf_proc *p)
{
	const struct chain *ch;
	size_t i;

	for (i = 0; i < c->nchains; i++)
		place(c, &c->chain[i], p);
	for (i = 0; i < c->nchains; i++) {
		ch = &c->chain[i];
		if (ch->proc == NULL || strcmp(ch->proc, p->name) != 0 ||
		    used_for(c, ch->name) == 0)
			continue;
		p->entries++;
		p->subsystems |= used_for(c, ch->name);
	}
	if (p->entries > 1) {
		free(p->before);
		p->before = NULL;
	}
}

struct filter_conf *
filter_conf_parse(const char *text)
{
	struct filter_conf *c = xcalloc(1, sizeof(*c));
	struct cword w[MAX_WORDS];
	const char *p = text;
	size_t n, i;

	while (*p != '\0') {
		n = statement(text, &p, w);
		say(c, w, n);
		words_free(w, n);
	}
	for (i = 0; i < c->nprocs; i++)
		look(c, &c->proc[i]);
	return c;
}

const struct conf_proc *
filter_conf_proc(const struct filter_conf *c, size_t n)
{
	return n < c->nprocs ? &c->proc[n] : NULL;
}

const struct conf_proc *
filter_conf_find(const struct filter_conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nprocs; i++)
		if (strcmp(c->proc[i].name, name) == 0)
			return &c->proc[i];
	return NULL;
}

void
filter_conf_free(struct filter_conf *c)
{
	size_t i, k;

	if (c == NULL)
		return;
	for (i = 0; i < c->nprocs; i++) {
		free(c->proc[i].name);
		free(c->proc[i].command);
		free(c->proc[i].before);
	}
	for (i = 0; i < c->nchains; i++) {
		for (k = 0; k < c->chain[i].nmembers; k++)
			free(c->chain[i].member[k]);
		free(c->chain[i].member);
		free(c->chain[i].name);
		free(c->chain[i].proc);
	}
	for (i = 0; i < c->nuses; i++)
		free(c->use[i].name);
	free(c->proc);
	free(c->chain);
	free(c->use);
	free(c);
}
