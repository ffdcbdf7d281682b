#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser.h"
#include "real_filter.h"
#include "run.h"
#include "tap.h"

#define MAX_SCRIPT	(1024 * 1024)
#define MAX_LINE	(64 * 1024)
#define STEP_TIMEOUT	10000000

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

/* [breaks ID...], or breaks none */
static void
parse_breaks(struct parser *p, struct known *k)
{
	STAILQ_INIT(&k->breaks);
	lex_skip(p, 0);
	if (!lex_accept(p, "breaks"))
		return;
	k->told = 1;
	lex_skip(p, 0);
	if (!lex_accept(p, "none"))
		parse_words(p, &k->breaks, "an id of the catalogue, or none");
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
		if (p->p < p->end && (*p->p == '"' || *p->p == '/'))
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
	parse_breaks(p, k);
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

/* on POINT,POINT... */
static void
parse_on(struct parser *p, struct words *list)
{
	struct pos pos;
	char *words, *one;

	lex_skip(p, 0);
	pos = lex_pos(p);
	words = (char *)lex_word(p, "what begins the dialogue");
	while ((one = strsep(&words, ",")) != NULL)
		words_add(p, list, one, &pos);
}

static void
parse_role(struct parser *p, const struct actor_kind *kind)
{
	struct role *role = arena_alloc(p->arena, sizeof(*role)), *other;

	role->kind = kind;
	STAILQ_INIT(&role->on);
	STAILQ_INIT(&role->opts);
	STAILQ_INIT(&role->steps);
	lex_skip(p, 0);
	role->pos = lex_pos(p);
	role->name = lex_word(p, "a name");
	STAILQ_FOREACH(other, &p->sc->roles, entry)
		if (strcmp(other->name, role->name) == 0 &&
		    (kind->plugin == NULL || other->kind != kind))
			parse_fail(p, &role->pos, "the name %s stands twice: "
			    "first on line %d", role->name, other->pos.line);
	lex_skip(p, 0);
	if (kind->plugin != NULL && lex_accept(p, "on"))
		parse_on(p, &role->on);
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
	    "db", "ipv6", "slow", NULL };
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
			if (known[i] == NULL && !real_filter_name(word))
				parse_fail(p, &pos, "unknown need \"%s\": "
				    "expected smtp tls filters tables db ipv6 "
				    "slow, version >= NUMBER, or a real filter "
				    "like filter-rspamd", word);
		}
		words_add(p, &p->sc->needs, word, &pos);
	} while (!lex_eol(p));
}

static void
parse_anywhere(struct parser *p)
{
	p->sc->anywhere = 1;
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
parse_fault(struct parser *p)
{
	struct fault *f = arena_alloc(p->arena, sizeof(*f));
	struct tap_faults *try;
	struct pos pos;
	char msg[256];
	int rv;

	lex_skip(p, 0);
	f->pos = lex_pos(p);
	f->filter = lex_word(p, "the name of a filter");
	lex_skip(p, 0);
	pos = lex_pos(p);
	f->spec = lex_rest(p);
	try = tap_faults_new(NULL);
	rv = tap_faults_add(try, f->spec, msg, sizeof(msg));
	tap_faults_free(try);
	if (rv == -1)
		parse_fail(p, &pos, "%s", msg);
	STAILQ_INSERT_TAIL(&p->sc->faults, f, entry);
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

static const char *
parse_makemap(struct parser *p, const struct opt *o)
{
	if (strcmp(o->value, "aliases") != 0 && strcmp(o->value, "set") != 0 &&
	    strcmp(o->value, "map") != 0)
		parse_fail(p, &o->pos, "makemap=%s: expected one of aliases "
		    "set map", o->value);
	return o->value;
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
		else if (strcmp(o->name, "makemap") == 0 && o->value != NULL)
			f->makemap = parse_makemap(p, o);
		else
			parse_fail(p, &o->pos, "unknown option \"%s\" of "
			    "file: expected mode= owner= makemap=", o->name);
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
	{ "anywhere",	parse_anywhere },
	{ "secret",	parse_secret },
	{ "timeout",	parse_timeout },
	{ "waive",	parse_waive },
	{ "fault",	parse_fault },
	{ "stop",	perturb_parse_stop },
	{ "rest",	perturb_parse_rest },
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
	STAILQ_INIT(&dns->on);
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
	STAILQ_INIT(&sc->values);
	STAILQ_INIT(&sc->roles);
	STAILQ_INIT(&sc->files);
	STAILQ_INIT(&sc->expects);
	STAILQ_INIT(&sc->knowns);
	STAILQ_INIT(&sc->waives);
	STAILQ_INIT(&sc->faults);
	STAILQ_INIT(&sc->windows);
	STAILQ_INIT(&sc->rests);
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
