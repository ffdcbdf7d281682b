#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser.h"
#include "regex.h"
#include "run.h"

#define MAX_SCRIPT	(1024 * 1024)
#define MAX_LINE	(64 * 1024)
#define STEP_TIMEOUT	10000000

struct name_ref {
	STAILQ_ENTRY(name_ref) entry;
	enum name_use	 use;
	const char	*name;
	const char	*role;
	struct pos	 pos;
};

/* Variables that are always there. */
static const char *const builtins[] = {
	"session", "i", "target", "version", "seed", NULL
};

void
name_note(struct parser *p, enum name_use use, const char *name,
    const struct pos *pos)
{
	struct name_ref *r = arena_alloc(p->arena, sizeof(*r));

	r->use = use;
	r->name = name;
	r->role = p->role;
	r->pos = *pos;
	STAILQ_INSERT_TAIL(&p->refs, r, entry);
}

struct group_arg {
	struct parser	*p;
	const struct pos *pos;
};

static void
group_note(void *arg, const char *name)
{
	struct group_arg *g = arg;

	name_note(g->p, VAR_SET, arena_strdup(g->p->arena, name), g->pos);
}

void
groups_note(struct parser *p, const char *re, const struct pos *pos)
{
	struct group_arg g = { p, pos };

	regex_groups(re, group_note, &g);
}

/* One ${...}: a variable, b64:text, or text*count. */
static const char *
var_note(struct parser *p, const char *s, const struct pos *pos)
{
	const char *e = s;
	int depth = 1;

	for (; *e != '\0'; e++) {
		if (e[0] == '$' && e[1] == '{')
			depth++;
		if (*e == '}' && --depth == 0)
			break;
	}
	if (*e == '\0')
		parse_fail(p, pos, "expected a \"}\" after \"${\"");
	if (strncmp(s, "b64:", 4) == 0)
		vars_note(p, arena_strndup(p->arena, s + 4,
		    (size_t)(e - s - 4)), pos);
	else if (memchr(s, '*', (size_t)(e - s)) == NULL)
		name_note(p, VAR_USE, arena_strndup(p->arena, s,
		    (size_t)(e - s)), pos);
	return e + 1;
}

void
vars_note(struct parser *p, const char *s, const struct pos *pos)
{
	const char *e;

	while ((s = strchr(s, '$')) != NULL) {
		s++;
		if (*s == '$')
			s++;
		else if (*s == '{')
			s = var_note(p, s + 1, pos);
		else if (isalpha((unsigned char)*s)) {
			for (e = s; isalnum((unsigned char)*e) || *e == '_'; )
				e++;
			name_note(p, VAR_USE, arena_strndup(p->arena, s,
			    (size_t)(e - s)), pos);
			s = e;
		}
	}
}

static int
is_builtin(const char *name)
{
	size_t i;

	for (i = 0; builtins[i] != NULL; i++)
		if (strcmp(builtins[i], name) == 0)
			return 1;
	return 0;
}

/* Set before in the same dialogue, or anywhere in another one. */
static int
name_defined(struct parser *p, const struct name_ref *use, enum name_use def)
{
	struct name_ref *r;
	int before = 1;

	STAILQ_FOREACH(r, &p->refs, entry) {
		if (r == use)
			before = 0;
		if (r->use == def && strcmp(r->name, use->name) == 0 &&
		    (before || def == POINT_REACH ||
		    strcmp(r->role, use->role) != 0))
			return 1;
	}
	return 0;
}

static void
names_check(struct parser *p)
{
	struct name_ref *r;

	STAILQ_FOREACH(r, &p->refs, entry) {
		if (r->use == VAR_USE && !is_builtin(r->name) &&
		    !name_defined(p, r, VAR_SET))
			parse_fail(p, &r->pos, "undefined variable \"%s\": "
			    "expected one that is set, captured by a named "
			    "group, or session, i, target, version, seed",
			    r->name);
		if (r->use == POINT_AWAIT && !name_defined(p, r, POINT_REACH))
			parse_fail(p, &r->pos, "nobody reaches \"%s\": "
			    "expected a <reach %s> in some dialogue", r->name,
			    r->name);
	}
}

struct step *
step_new(struct parser *p, struct steps *list, const struct step_kind *kind,
    const struct pos *pos)
{
	struct step *st = arena_alloc(p->arena, sizeof(*st));

	st->kind = kind;
	st->pos = *pos;
	STAILQ_INIT(&st->body);
	STAILQ_INIT(&st->knowns);
	STAILQ_INSERT_TAIL(list, st, entry);
	if (p->batch && !kind->says)
		parse_fail(p, pos, "\"%s\" cannot stand inside batch, which "
		    "only says", kind->word);
	return st;
}

/* "a b" and "c" to "a b c", for what was expected instead. */
static const char *
list_add(struct parser *p, const char *list, const char *word)
{
	return arena_printf(p->arena, "%s%s%s", list, *list == '\0' ? "" : " ",
	    word);
}

static const struct step_kind *
step_find(const char *word)
{
	size_t i;

	for (i = 0; step_kinds[i] != NULL; i++)
		if (strcmp(step_kinds[i]->word, word) == 0)
			return step_kinds[i];
	return NULL;
}

static const char *
step_words(struct parser *p)
{
	const char *list = "";
	size_t i;

	for (i = 0; step_kinds[i] != NULL; i++)
		list = list_add(p, list, step_kinds[i]->word);
	return list;
}

/* <word argument>: an act that is not a line. */
static void
parse_angle(struct parser *p, struct steps *list, const struct pos *pos)
{
	const struct step_kind *kind;
	struct pos wpos;
	struct step *st;
	const char *word, *e, *start;
	char *body;

	lex_expect(p, "<", "here");
	start = p->p;
	wpos = lex_pos(p);
	for (e = p->p; e < p->end && *e != '>' && *e != '\n'; e++)
		;
	if (e == p->end || *e != '>')
		parse_fail(p, pos, "expected a closing \">\"");
	body = arena_strndup(p->arena, p->p, (size_t)(e - p->p));
	p->p = e + 1;
	word = strsep(&body, " ");
	if ((kind = step_find(word)) == NULL)
		parse_fail(p, &wpos, "unknown act \"%s\": expected one of %s",
		    word, step_words(p));
	st = step_new(p, list, kind, pos);
	st->text = body == NULL ? "" : body;
	if (kind->parse != NULL) {
		struct parser sub = *p;

		/* the argument is parsed where it stands */
		sub.p = start + strlen(word);
		sub.end = e;
		memcpy(&sub.fail, &p->fail, sizeof(sub.fail));
		STAILQ_INIT(&sub.refs);
		kind->parse(&sub, st);
		STAILQ_CONCAT(&p->refs, &sub.refs);
	}
}

static void
parse_say(struct parser *p, struct steps *list, const struct pos *pos, int raw)
{
	const char *q = p->p;
	struct step *st;

	/* further blanks are said */
	if (q < p->end && *q == ' ')
		q++;
	if (!raw && q < p->end && *q == '<' && isalpha((unsigned char)q[1])) {
		p->p = q;
		parse_angle(p, list, pos);
		return;
	}
	st = step_new(p, list, raw ? &step_raw : &step_say, pos);
	st->kind->parse(p, st);
}

static void
parse_hear(struct parser *p, struct steps *list, const struct pos *pos)
{
	struct step *st;

	st = step_new(p, list, &step_hear, pos);
	p->kind->hear_parse(p, st);
	if (!lex_eol(p)) {
		struct pos here = lex_pos(p);

		parse_fail(p, &here, "unexpected \"%s\" after what is to be "
		    "heard", lex_word(p, "the end of the line"));
	}
}

static void
parse_step(struct parser *p, struct steps *list)
{
	const struct step_kind *kind;
	struct pos pos = lex_pos(p);
	struct step *st;
	const char *word;

	if (*p->p == '<') {
		parse_angle(p, list, &pos);
		return;
	}
	if (isupper((unsigned char)p->p[0]) && p->end - p->p > 1 &&
	    (p->p[1] == ':' || p->p[1] == '~')) {
		char who = p->p[0], how = p->p[1];

		p->p += 2;
		if (who == p->kind->says) {
			parse_say(p, list, &pos, how == '~');
			return;
		}
		if (who == p->kind->hears && how == ':') {
			parse_hear(p, list, &pos);
			return;
		}
		parse_fail(p, &pos, "\"%c%c\" in a %s block: expected \"%c:\" "
		    "(said) or \"%c:\" (heard)", who, how, p->kind->word,
		    p->kind->says, p->kind->hears);
	}
	word = lex_word(p, "a step");
	if (strcmp(word, "known") == 0) {
		if ((st = STAILQ_LAST(list, step, entry)) == NULL ||
		    st->kind->timeout == NULL)
			parse_fail(p, &pos, "known follows what is heard");
		parse_known(p, &st->knowns, 0);
		return;
	}
	if ((kind = step_find(word)) == NULL)
		parse_fail(p, &pos, "unknown word \"%s\": expected \"%c:\", "
		    "\"%c:\" or one of %s known", word, p->kind->says,
		    p->kind->hears, step_words(p));
	st = step_new(p, list, kind, &pos);
	if (kind->parse != NULL)
		kind->parse(p, st);
}

void
parse_steps(struct parser *p, struct steps *list)
{
	struct pos start = lex_pos(p);

	lex_expect(p, "{", "before the steps");
	for (;;) {
		lex_skip(p, 1);
		if (p->p == p->end)
			parse_fail(p, &start, "the block that starts here has "
			    "no closing \"}\"");
		if (lex_accept(p, "}"))
			return;
		parse_step(p, list);
	}
}

void
parse_text(struct parser *p, struct steps *list, const struct pos *pos,
    const char *text)
{
	struct parser sub = *p;

	sub.p = sub.bol = text;
	sub.end = text + strlen(text);
	sub.line = pos->line;
	memcpy(&sub.fail, &p->fail, sizeof(sub.fail));
	STAILQ_INIT(&sub.refs);
	for (;;) {
		lex_skip(&sub, 1);
		if (sub.p == sub.end)
			break;
		sub.line = pos->line;
		parse_step(&sub, list);
	}
	STAILQ_CONCAT(&p->refs, &sub.refs);
}

static void
words_add(struct parser *p, struct words *list, const char *text,
    const struct pos *pos)
{
	struct word *w = arena_alloc(p->arena, sizeof(*w));

	w->text = text;
	w->pos = *pos;
	STAILQ_INSERT_TAIL(list, w, entry);
}

/* Words up to the end of the line, commas between them or not. */
static void
parse_words(struct parser *p, struct words *list, const char *what)
{
	struct pos pos;
	char *word, *one;

	do {
		lex_skip(p, 0);
		pos = lex_pos(p);
		word = (char *)lex_value(p, what);
		while ((one = strsep(&word, ",")) != NULL)
			if (*one != '\0')
				words_add(p, list, one, &pos);
	} while (!lex_eol(p));
}

void
parse_known(struct parser *p, struct knowns *list, int toplevel)
{
	struct known *k = arena_alloc(p->arena, sizeof(*k));
	struct pos pos;

	k->pos = lex_pos(p);
	STAILQ_INIT(&k->targets);
	if (toplevel && (lex_skip(p, 0), lex_accept(p, "oracle")))
		k->oracle = lex_word(p, "the name of an oracle");
	for (;;) {
		lex_skip(p, 0);
		pos = lex_pos(p);
		if (*p->p == '"' || *p->p == '/')
			break;
		words_add(p, &k->targets, lex_word(p,
		    "targets, then the deviating text in quotes"), &pos);
	}
	if (STAILQ_EMPTY(&k->targets))
		parse_fail(p, &pos, "expected a target (7.9.0p0, distro, <7.6, "
		    "*) after known");
	if (*p->p == '/')
		k->got = arena_printf(p->arena, "/%s/", lex_regex(p));
	else
		k->got = lex_string(p, "what is got instead", NULL);
	k->why = lex_string(p, "the reason", NULL);
	if (k->why[0] == '\0')
		parse_fail(p, &pos, "expected a reason for the deviation");
	STAILQ_INSERT_TAIL(list, k, entry);
}

const struct opt *
opt_find(const struct opts *opts, const char *name)
{
	const struct opt *o;

	STAILQ_FOREACH(o, opts, entry)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

void
parse_opts(struct parser *p, struct opts *opts)
{
	struct opt *o;
	char *text, *eq;

	for (;;) {
		lex_skip(p, 0);
		if (p->p == p->end || *p->p == '{' || *p->p == '}' ||
		    *p->p == '\n')
			return;
		o = arena_alloc(p->arena, sizeof(*o));
		o->pos = lex_pos(p);
		text = (char *)lex_word(p, "an option");
		if ((eq = strchr(text, '=')) != NULL) {
			*eq++ = '\0';
			o->value = eq;
			/* size="quoted text" */
			if (eq[0] == '"') {
				p->p = p->p - strlen(eq);
				o->value = lex_string(p, "a value", NULL);
			}
		}
		o->name = text;
		if (opt_find(opts, o->name) != NULL)
			parse_fail(p, &o->pos, "option %s stands twice",
			    o->name);
		STAILQ_INSERT_TAIL(opts, o, entry);
	}
}

static void
opts_check(struct parser *p, const struct role *role)
{
	const struct opt_kind *k;
	const struct opt *o;
	const char *list = "";

	STAILQ_FOREACH(o, &role->opts, entry) {
		for (k = role->kind->opts; k->name != NULL; k++)
			if (strcmp(k->name, o->name) == 0)
				break;
		if (k->name == NULL) {
			for (k = role->kind->opts; k->name != NULL; k++)
				list = list_add(p, list, k->name);
			parse_fail(p, &o->pos, "unknown option \"%s\" of %s: "
			    "expected %s", o->name, role->kind->word,
			    *list == '\0' ? "none" : list);
		}
		if ((k->type == OPT_WORD) != (o->value == NULL))
			parse_fail(p, &o->pos, k->type == OPT_WORD ?
			    "option %s takes no value" :
			    "expected %s=VALUE", o->name);
		if (k->type == OPT_RANGE)
			parse_range(p, &o->pos, o->value, o->name);
		if (k->type == OPT_TIME)
			parse_time(p, &o->pos, o->value);
	}
}

static void
parse_role(struct parser *p, const struct actor_kind *kind)
{
	struct role *role = arena_alloc(p->arena, sizeof(*role)), *other;

	role->kind = kind;
	STAILQ_INIT(&role->opts);
	STAILQ_INIT(&role->steps);
	lex_skip(p, 0);
	role->pos = lex_pos(p);
	role->name = lex_word(p, "a name");
	STAILQ_FOREACH(other, &p->sc->roles, entry)
		if (strcmp(other->name, role->name) == 0)
			parse_fail(p, &role->pos, "the name %s stands twice: "
			    "first on line %d", role->name, other->pos.line);
	parse_opts(p, &role->opts);
	opts_check(p, role);
	if (kind->raw)
		role->text = lex_block(p, &role->textpos);
	else {
		p->kind = kind;
		p->role = role->name;
		lex_skip(p, 1);
		parse_steps(p, &role->steps);
		p->role = "";
		p->kind = NULL;
	}
	if (kind->check != NULL)
		kind->check(p, role);
	STAILQ_INSERT_TAIL(&p->sc->roles, role, entry);
}

static void
parse_scenario(struct parser *p)
{
	if (p->sc->name != NULL) {
		struct pos pos = lex_pos(p);

		parse_fail(p, &pos, "a second scenario line: expected one a "
		    "file");
	}
	p->sc->name = lex_string(p, "what the scenario shows", NULL);
}

static void
parse_proves(struct parser *p)
{
	parse_words(p, &p->sc->proves, "an id of the catalogue");
}

static void
parse_needs(struct parser *p)
{
	static const char *const known[] = { "smtp", "tls", "filters", "tables",
	    "db", "ipv6", NULL };
	struct pos pos;
	const char *word, *op;
	size_t i;

	do {
		lex_skip(p, 0);
		pos = lex_pos(p);
		word = lex_word(p, "smtp tls filters tables db ipv6 or version");
		if (word[strlen(word) - 1] == ',')
			((char *)word)[strlen(word) - 1] = '\0';
		if (strcmp(word, "version") == 0) {
			op = lex_word(p, ">= or <");
			if (strcmp(op, ">=") != 0 && strcmp(op, "<") != 0)
				parse_fail(p, &pos, "expected version >= "
				    "NUMBER or version < NUMBER");
			word = arena_printf(p->arena, "%s%s", op,
			    lex_word(p, "a version"));
		} else {
			for (i = 0; known[i] != NULL; i++)
				if (strcmp(known[i], word) == 0)
					break;
			if (known[i] == NULL)
				parse_fail(p, &pos, "unknown need \"%s\": "
				    "expected smtp tls filters tables db ipv6 "
				    "or version >= NUMBER", word);
		}
		words_add(p, &p->sc->needs, word, &pos);
	} while (!lex_eol(p));
}

static void
parse_secret(struct parser *p)
{
	parse_words(p, &p->sc->secrets, "a text that must not be logged");
}

static void
parse_timeout(struct parser *p)
{
	struct pos pos;

	lex_skip(p, 0);
	pos = lex_pos(p);
	p->sc->timeout = parse_time(p, &pos, lex_word(p, "a time"));
}

static void
oracle_check(struct parser *p, const struct pos *pos, const char *name)
{
	const char *list = "";
	size_t i;

	for (i = 0; oracles[i] != NULL; i++) {
		if (strcmp(oracles[i]->name, name) == 0)
			return;
		list = list_add(p, list, oracles[i]->name);
	}
	parse_fail(p, pos, "unknown oracle \"%s\": expected one of %s", name,
	    list);
}

static void
parse_waive(struct parser *p)
{
	struct waive *w = arena_alloc(p->arena, sizeof(*w));

	lex_skip(p, 0);
	w->pos = lex_pos(p);
	w->oracle = lex_word(p, "the name of an oracle");
	oracle_check(p, &w->pos, w->oracle);
	w->why = lex_string(p, "the reason", NULL);
	STAILQ_INSERT_TAIL(&p->sc->waives, w, entry);
}

static void
parse_toplevel_known(struct parser *p)
{
	struct expect *ex = STAILQ_LAST(&p->sc->expects, expect, entry);
	struct pos pos = lex_pos(p);
	struct knowns list = STAILQ_HEAD_INITIALIZER(list);
	struct known *k;

	parse_known(p, &list, 1);
	k = STAILQ_FIRST(&list);
	if (k->oracle != NULL) {
		oracle_check(p, &k->pos, k->oracle);
		STAILQ_CONCAT(&p->sc->knowns, &list);
	} else if (ex == NULL)
		parse_fail(p, &pos, "known follows an expect, or names its "
		    "oracle: known oracle NAME ...");
	else
		STAILQ_CONCAT(&ex->knowns, &list);
}

static void
parse_file(struct parser *p)
{
	struct file *f = arena_alloc(p->arena, sizeof(*f));
	const struct opt *o;
	struct opts opts = STAILQ_HEAD_INITIALIZER(opts);
	struct pos pos;

	lex_skip(p, 0);
	f->pos = lex_pos(p);
	f->path = lex_value(p, "a path");
	if (f->path[0] != '/')
		parse_fail(p, &f->pos, "expected an absolute path, not %s",
		    f->path);
	f->mode = 0644;
	parse_opts(p, &opts);
	STAILQ_FOREACH(o, &opts, entry) {
		if (strcmp(o->name, "mode") == 0 && o->value != NULL)
			f->mode = (unsigned int)strtoul(o->value, NULL, 8);
		else if (strcmp(o->name, "owner") == 0 && o->value != NULL)
			f->owner = o->value;
		else
			parse_fail(p, &o->pos, "unknown option \"%s\" of "
			    "file: expected mode= owner=", o->name);
	}
	f->text = lex_block(p, &pos);
	f->len = strlen(f->text);
	STAILQ_INSERT_TAIL(&p->sc->files, f, entry);
}

static const struct expect_kind *
expect_find(struct parser *p, const struct pos *pos, const char *word)
{
	const char *list = "";
	size_t i;

	for (i = 0; expect_kinds[i] != NULL; i++) {
		if (strcmp(expect_kinds[i]->word, word) == 0)
			return expect_kinds[i];
		list = list_add(p, list, expect_kinds[i]->word);
	}
	parse_fail(p, pos, "unknown expectation \"%s\": expected one of %s",
	    word, list);
}

static void
parse_expect(struct parser *p)
{
	struct expect *ex = arena_alloc(p->arena, sizeof(*ex));
	const char *word;
	struct pos pos;
	int n = 0;

	lex_skip(p, 0);
	ex->pos = lex_pos(p);
	ex->kind = expect_find(p, &ex->pos, lex_word(p, "an expectation"));
	STAILQ_INIT(&ex->args);
	STAILQ_INIT(&ex->knowns);
	while (!lex_eol(p)) {
		pos = lex_pos(p);
		if (*p->p == '/' && n >= ex->kind->words)
			word = arena_printf(p->arena, "/%s/", lex_regex(p));
		else
			word = lex_value(p, ex->kind->args);
		words_add(p, &ex->args, word, &pos);
		n++;
	}
	if (n < ex->kind->min || n > ex->kind->max)
		parse_fail(p, &ex->pos, "expected: expect %s %s",
		    ex->kind->word, ex->kind->args);
	STAILQ_INSERT_TAIL(&p->sc->expects, ex, entry);
}

static const struct item {
	const char	*word;
	void		(*parse)(struct parser *);
} items[] = {
	{ "scenario",	parse_scenario },
	{ "proves",	parse_proves },
	{ "needs",	parse_needs },
	{ "secret",	parse_secret },
	{ "timeout",	parse_timeout },
	{ "waive",	parse_waive },
	{ "known",	parse_toplevel_known },
	{ "file",	parse_file },
	{ "expect",	parse_expect },
};

static void
parse_item(struct parser *p)
{
	struct pos pos = lex_pos(p);
	const char *word, *list = "";
	size_t i;

	word = lex_word(p, "a word that begins an item");
	for (i = 0; i < nitems(items); i++) {
		if (strcmp(items[i].word, word) == 0) {
			items[i].parse(p);
			return;
		}
		list = list_add(p, list, items[i].word);
	}
	for (i = 0; actor_kinds[i] != NULL; i++) {
		if (strcmp(actor_kinds[i]->word, word) == 0) {
			parse_role(p, actor_kinds[i]);
			return;
		}
		list = list_add(p, list, actor_kinds[i]->word);
	}
	parse_fail(p, &pos, "unknown word \"%s\": expected one of %s", word,
	    list);
}

/* Before any word is read: this is text, in lines of a sane length. */
static void
check_text(struct parser *p)
{
	struct pos pos = { p->path, 1, 1 };
	const char *s, *bol = p->p;

	if (p->end - p->p > MAX_SCRIPT)
		parse_fail(p, &pos, "the file has %zu bytes: expected at most "
		    "%d", (size_t)(p->end - p->p), MAX_SCRIPT);
	for (s = p->p; s < p->end; s++) {
		pos.col = (int)(s - bol) + 1;
		if (*s == '\n') {
			pos.line++;
			bol = s + 1;
		} else if (iscntrl((unsigned char)*s) && *s != '\t' &&
		    *s != '\r')
			parse_fail(p, &pos, "byte 0x%02x: expected text, this "
			    "looks like a binary file",
			    (unsigned int)(unsigned char)*s);
		else if (s - bol > MAX_LINE)
			parse_fail(p, &pos, "the line is longer than %d bytes",
			    MAX_LINE);
	}
}

/* A daemon always finds somebody to ask: without a dns block, our own zone. */
static void
default_dns(struct parser *p)
{
	struct role *r, *dns;
	int smtpd = 0;

	STAILQ_FOREACH(r, &p->sc->roles, entry) {
		if (r->kind == &actor_dns)
			return;
		smtpd |= r->kind == &actor_smtpd;
	}
	if (!smtpd)
		return;
	dns = arena_alloc(p->arena, sizeof(*dns));
	dns->kind = &actor_dns;
	dns->name = "dns";
	dns->pos.file = dns->textpos.file = p->path;
	dns->text = "";
	STAILQ_INIT(&dns->opts);
	STAILQ_INIT(&dns->steps);
	actor_dns.check(p, dns);
	STAILQ_INSERT_TAIL(&p->sc->roles, dns, entry);
}

static void
parse_all(struct parser *p)
{
	struct pos pos;

	check_text(p);
	for (;;) {
		lex_skip(p, 1);
		if (p->p == p->end)
			break;
		pos = lex_pos(p);
		if (*p->p == '}')
			parse_fail(p, &pos, "a \"}\" that closes nothing");
		parse_item(p);
		if (!lex_eol(p) || (p->p < p->end && *p->p == '}')) {
			pos = lex_pos(p);
			parse_fail(p, &pos, "unexpected \"%s\": expected the "
			    "end of the line", lex_word(p, "nothing"));
		}
	}
	pos = lex_pos(p);
	if (p->sc->name == NULL)
		parse_fail(p, &pos, "expected a line: scenario \"what it "
		    "shows\"");
	if (STAILQ_EMPTY(&p->sc->roles))
		parse_fail(p, &pos, "nobody acts: expected a client, server "
		    "or smtpd block");
	default_dns(p);
	names_check(p);
}

struct scenario *
script_parse(const char *path, const char *text, size_t len, char *err,
    size_t errlen)
{
	struct arena *arena = arena_new();
	struct scenario *volatile sc;
	struct parser p;

	memset(&p, 0, sizeof(p));
	sc = arena_alloc(arena, sizeof(*sc));
	sc->arena = p.arena = arena;
	sc->path = p.path = arena_strdup(arena, path);
	sc->timeout = STEP_TIMEOUT;
	STAILQ_INIT(&sc->proves);
	STAILQ_INIT(&sc->needs);
	STAILQ_INIT(&sc->secrets);
	STAILQ_INIT(&sc->roles);
	STAILQ_INIT(&sc->files);
	STAILQ_INIT(&sc->expects);
	STAILQ_INIT(&sc->knowns);
	STAILQ_INIT(&sc->waives);
	STAILQ_INIT(&p.refs);
	p.sc = sc;
	p.role = "";
	p.p = p.bol = text;
	p.end = text + len;
	p.line = 1;
	p.err = err;
	p.errlen = errlen;
	if (setjmp(p.fail) != 0) {
		arena_free(arena);
		return NULL;
	}
	parse_all(&p);
	return sc;
}

struct scenario *
script_load(const char *path, char *err, size_t errlen)
{
	struct scenario *sc;
	char *text;
	size_t len;

	if ((text = read_file(path, &len, 64 * 1024 * 1024)) == NULL) {
		snprintf(err, errlen, "%s: %s", path, strerror(errno));
		return NULL;
	}
	sc = script_parse(path, text, len, err, errlen);
	free(text);
	return sc;
}

void
script_free(struct scenario *sc)
{
	if (sc != NULL)
		arena_free(sc->arena);
}
