/* The filters of an smtpd.conf(5). */
#include <arpa/inet.h>

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
	char		*listener;	/* as struct conf_proc has it, or NULL */
};

struct macro {
	char		*name, *value;
};

struct filter_conf {
	struct conf_proc *proc;
	struct chain	*chain;
	struct use	*use;
	struct macro	*macro;
	size_t		 nprocs, nchains, nuses, nmacros;
	int		 includes;
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

/* The word at p, which has one, without quotes; its length as it stands. */
static size_t
next_word(const char *p, struct buf *b)
{
	size_t len;

	memset(b, 0, sizeof(*b));
	buf_add(b, NULL, 0);
	if (*p == '"' || *p == '\'')
		return quoted(p, b);
	len = strcspn(p, " \t,\n{}=\"'#");
	if (len == 0)
		len = 1;		/* a brace, or a '=' */
	buf_add(b, p, len);
	return len;
}

static const char *
macro_find(const struct filter_conf *c, const char *name)
{
	size_t i;

	for (i = c->nmacros; i > 0; i--)
		if (strcmp(c->macro[i - 1].name, name) == 0)
			return c->macro[i - 1].value;
	return "";
}

/*
 * What a macro stands for, in its place; there is no macro in a macro.  Only
 * one word can be told where it stands.
 */
static size_t
expand(const char *value, size_t off, size_t len, struct cword *w, size_t max)
{
	const char *p = value;
	struct buf b;
	size_t n = 0, i;

	for (p += skip(p, 1); *p != '\0' && n < max; p += skip(p, 1)) {
		p += next_word(p, &b);
		w[n].text = b.data;
		w[n].off = off;
		w[n++].len = len;
	}
	for (i = 0; n > 1 && i < n; i++)
		w[i].len = 0;
	return n;
}

/* The words of the statement at *pp, which moves to the next one. */
static size_t
statement(const struct filter_conf *c, const char *text, const char **pp,
    struct cword *w)
{
	const char *p = *pp, *from;
	struct buf b;
	size_t n = 0;
	int depth = 0;

	for (;;) {
		p += skip(p, depth);
		if (*p == '\0' || *p == '\n' || n == MAX_WORDS)
			break;
		from = p;
		p += next_word(p, &b);
		if (*from == '$') {
			n += expand(macro_find(c, b.data + 1),
			    (size_t)(from - text), (size_t)(p - from), w + n,
			    MAX_WORDS - n);
			buf_free(&b);
			continue;
		}
		depth += *from == '{';
		depth -= *from == '}';
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
	for (i = 1; i + 1 < n && p->chroot == NULL; i++)
		if (strcmp(w[i].text, "chroot") == 0)
			p->chroot = xstrdup(w[i + 1].text);
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

/* "listen on ADDRESS [port PORT]", as link-connect has its end. */
static char *
listener(const struct cword *w, size_t n)
{
	static const struct {
		const char	*name, *port;
	} services[] = {
		{ "smtp", "25" }, { "submission", "587" }, { "smtps", "465" },
		{ "submissions", "465" },
	};
	unsigned char addr[16];
	const char *port = "25", *on = n > 2 ? w[2].text : "";
	size_t i;

	if (strcmp(on, "socket") == 0)
		return xstrdup("unix:");
	for (i = 3; i < n; i++)
		if (strcmp(w[i].text, "smtps") == 0)
			port = "465";
	for (i = 3; i + 1 < n; i++)
		if (strcmp(w[i].text, "port") == 0)
			port = w[i + 1].text;
	for (i = 0; i < nitems(services); i++)
		if (strcmp(services[i].name, port) == 0)
			port = services[i].port;
	if (strcmp(on, "0.0.0.0") != 0 && inet_pton(AF_INET, on, addr) == 1)
		return xasprintf("%s:%s", on, port);
	if (strcmp(on, "::") != 0 && inet_pton(AF_INET6, on, addr) == 1)
		return xasprintf("[%s]:%s", on, port);
	return xasprintf("*:%s", port);
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
	c->use[i].listener = subsystem == 1 ? listener(w, n) : NULL;
}

static void
say_macro(struct filter_conf *c, const struct cword *w, size_t n)
{
	struct macro *m = GROW(c->macro, c->nmacros);
	struct buf b = { 0 };
	size_t i;

	for (i = 2; i < n; i++)
		buf_addf(&b, "%s%s", i > 2 ? " " : "", w[i].text);
	m->name = xstrdup(w[0].text);
	m->value = b.data;
}

static void
say(struct filter_conf *c, const struct cword *w, size_t n)
{
	if (n < 2)
		return;
	if (strcmp(w[0].text, "include") == 0)
		c->includes = 1;
	else if (n >= 3 && strcmp(w[1].text, "=") == 0)
		say_macro(c, w, n);
	else if (strcmp(w[0].text, "filter") == 0)
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

/* By whom this filter or chain is used, which the process is of. */
static unsigned
used_for(const struct filter_conf *c, const char *name, struct conf_proc *p)
{
	const struct use *u;
	unsigned bits = 0;
	size_t i;

	for (i = 0; i < c->nuses; i++) {
		u = &c->use[i];
		if (strcmp(u->name, name) != 0)
			continue;
		bits |= u->subsystem;
		if (u->listener != NULL)
			*GROW(p->listener, p->nlisteners) =
			    xstrdup(u->listener);
	}
	p->subsystems |= bits;
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
		used_for(c, ch->name, p);
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
		if (ch->proc != NULL && strcmp(ch->proc, p->name) == 0 &&
		    used_for(c, ch->name, p) != 0)
			p->entries++;
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
		n = statement(c, text, &p, w);
		say(c, w, n);
		words_free(w, n);
	}
	for (i = 0; i < c->nprocs; i++)
		look(c, &c->proc[i]);
	return c;
}

int
filter_conf_includes(const struct filter_conf *c)
{
	return c->includes;
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
		free(c->proc[i].chroot);
		for (k = 0; k < c->proc[i].nlisteners; k++)
			free(c->proc[i].listener[k]);
		free(c->proc[i].listener);
	}
	for (i = 0; i < c->nchains; i++) {
		for (k = 0; k < c->chain[i].nmembers; k++)
			free(c->chain[i].member[k]);
		free(c->chain[i].member);
		free(c->chain[i].name);
		free(c->chain[i].proc);
	}
	for (i = 0; i < c->nuses; i++) {
		free(c->use[i].name);
		free(c->use[i].listener);
	}
	for (i = 0; i < c->nmacros; i++) {
		free(c->macro[i].name);
		free(c->macro[i].value);
	}
	free(c->macro);
	free(c->proc);
	free(c->chain);
	free(c->use);
	free(c);
}
