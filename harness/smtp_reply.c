#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "regex.h"
#include "smtp.h"

static int
reply_digits(const char *s, size_t len)
{
	if (len < 3 || !isdigit((unsigned char)s[0]) ||
	    !isdigit((unsigned char)s[1]) || !isdigit((unsigned char)s[2]))
		return 0;
	return (s[0] - '0') * 100 + (s[1] - '0') * 10 + s[2] - '0';
}

size_t
reply_parse(const char *in, size_t len, struct reply *r)
{
	const char *s = in, *nl;
	struct buf b = { 0 };
	size_t n;
	int code;

	memset(r, 0, sizeof(*r));
	for (;;) {
		if ((nl = memchr(s, '\n', len - (size_t)(s - in))) == NULL) {
			buf_free(&b);
			return 0;
		}
		n = (size_t)(nl - s);
		code = reply_digits(s, n);
		if (r->nlines == 0)
			r->code = code;
		else
			buf_add(&b, "\n", 1);
		r->nlines++;
		buf_add(&b, s, n > 0 && s[n - 1] == '\r' ? n - 1 : n);
		s = nl + 1;
		if (code == 0 || n < 4 || in[(size_t)(nl - in) - n + 3] != '-')
			break;
	}
	r->raw = in;
	r->rawlen = (size_t)(s - in);
	r->len = b.len;
	r->text = b.data == NULL ? xstrdup("") : b.data;
	return r->rawlen;
}

void
reply_free(struct reply *r)
{
	free(r->text);
	r->text = NULL;
}

static const char *
reply_line(const struct reply *r, int n, size_t *len)
{
	const char *s = r->text, *e;

	while (n-- > 0 && s != NULL)
		if ((s = strchr(s, '\n')) != NULL)
			s++;
	if (s == NULL)
		return NULL;
	e = memchr(s, '\n', r->len - (size_t)(s - r->text));
	*len = e == NULL ? r->len - (size_t)(s - r->text) : (size_t)(e - s);
	return s;
}

void
reply_ecode(const struct reply *r, int n, char *out, size_t outlen)
{
	const char *s;
	size_t len, i;
	int dots = 0;

	out[0] = '\0';
	if ((s = reply_line(r, n, &len)) == NULL || len < 9)
		return;
	s += 4;
	len -= 4;
	for (i = 0; i < len && s[i] != ' '; i++) {
		if (s[i] == '.')
			dots++;
		else if (!isdigit((unsigned char)s[i]))
			return;
	}
	if (dots == 2 && i < outlen)
		snprintf(out, outlen, "%.*s", (int)i, s);
}

const char *
end_name(const struct channel *ch)
{
	static const char *const names[] = { NULL, "<fin>", "<rst>" };

	return names[ch->end];
}

/* A condition on a reply. */
enum cond_type { COND_HAS, COND_LACKS, COND_OFFERS, COND_REGEX, COND_TEXT };

struct cond {
	STAILQ_ENTRY(cond) entry;
	enum cond_type	 type;
	const char	*text;
};

struct want {
	struct want	*alt;		/* or this */
	const char	*code;		/* "250", "5xx", "any", or NULL */
	const char	*ecode;		/* "5.1.x" or NULL */
	const char	*end;		/* "<fin>", "<rst>", "<close>" or NULL */
	uint64_t	 silence;
	const char	*text;		/* as written */
	STAILQ_HEAD(, cond) conds;
};

static int
is_code(const char *s)
{
	return strcmp(s, "any") == 0 || (strlen(s) == 3 && s[0] >= '1' &&
	    s[0] <= '5' && (isdigit((unsigned char)s[1]) || s[1] == 'x') &&
	    (isdigit((unsigned char)s[2]) || s[2] == 'x'));
}

static int
is_ecode(const char *s)
{
	int dots = 0;

	for (; *s != '\0'; s++) {
		if (*s == '.')
			dots++;
		else if (!isdigit((unsigned char)*s) && *s != 'x')
			return 0;
	}
	return dots == 2;
}

static void
parse_end(struct parser *p, struct want *w)
{
	struct pos pos = lex_pos(p);
	const char *word;

	lex_expect(p, "<", "here");
	if (lex_accept(p, "silence")) {
		lex_skip(p, 0);
		pos = lex_pos(p);
		word = lex_word(p, "a time");
		if (word[strlen(word) - 1] != '>')
			parse_fail(p, &pos, "expected <silence TIME>");
		w->silence = parse_time(p, &pos, arena_strndup(p->arena, word,
		    strlen(word) - 1));
		return;
	}
	word = lex_word(p, "fin>, rst>, close> or silence TIME>");
	if (strcmp(word, "fin>") != 0 && strcmp(word, "rst>") != 0 &&
	    strcmp(word, "close>") != 0)
		parse_fail(p, &pos, "expected <fin>, <rst>, <close> (either) "
		    "or <silence TIME>, not <%s", word);
	w->end = arena_printf(p->arena, "<%s", word);
}

static void
cond_add(struct parser *p, struct want *w, enum cond_type type,
    const char *text)
{
	struct cond *c = arena_alloc(p->arena, sizeof(*c));

	c->type = type;
	c->text = text;
	STAILQ_INSERT_TAIL(&w->conds, c, entry);
}

static const char *
lex_keyword(struct parser *p)
{
	const char *text;
	struct pos pos;

	lex_skip(p, 0);
	pos = lex_pos(p);
	text = lex_value(p, "a keyword");
	vars_note(p, text, &pos);
	return text;
}

static void
parse_conds(struct parser *p, struct want *w)
{
	struct pos pos;
	const char *word;

	while (!lex_eol(p)) {
		pos = lex_pos(p);
		if (*p->p == '/') {
			word = lex_regex(p);
			groups_note(p, word, &pos);
			cond_add(p, w, COND_REGEX, word);
		} else if (*p->p == '"') {
			word = lex_string(p, "the text", NULL);
			vars_note(p, word, &pos);
			cond_add(p, w, COND_TEXT, word);
		} else if (lex_accept(p, "has")) {
			cond_add(p, w, COND_HAS, lex_keyword(p));
		} else if (lex_accept(p, "lacks")) {
			cond_add(p, w, COND_LACKS, lex_keyword(p));
		} else if (lex_accept(p, "offers")) {
			cond_add(p, w, COND_OFFERS, lex_keyword(p));
		} else if (lex_accept(p, "or")) {
			w->alt = want_parse(p);
			return;
		} else {
			word = lex_word(p, "a condition");
			if (!is_ecode(word) || w->ecode != NULL)
				parse_fail(p, &pos, "unexpected \"%s\": "
				    "expected an enhanced code like 5.1.x, "
				    "\"text\", /regex/, has KEYWORD, lacks "
				    "KEYWORD, offers KEYWORD or or", word);
			w->ecode = word;
		}
	}
}

struct want *
want_parse(struct parser *p)
{
	struct want *w = arena_alloc(p->arena, sizeof(*w));
	const char *start;
	struct pos pos;

	STAILQ_INIT(&w->conds);
	lex_skip(p, 0);
	start = p->p;
	pos = lex_pos(p);
	if (p->p < p->end && *p->p == '<') {
		parse_end(p, w);
		lex_skip(p, 0);
		if (lex_accept(p, "or"))
			w->alt = want_parse(p);
	} else {
		w->code = lex_word(p, "a reply code");
		if (!is_code(w->code))
			parse_fail(p, &pos, "\"%s\" is no reply: expected a "
			    "code (250), a class (5xx), any, <fin>, <rst>, "
			    "<close> or <silence TIME>", w->code);
		parse_conds(p, w);
	}
	while (p->p > start && (p->p[-1] == ' ' || p->p[-1] == '\t'))
		p->p--;
	w->text = arena_strndup(p->arena, start, (size_t)(p->p - start));
	if (strchr(w->text, '#') != NULL && strstr(w->text, " #") != NULL) {
		char *c = strstr((char *)w->text, " #");

		while (c > w->text && (c[-1] == ' ' || c[-1] == '\t'))
			c--;
		*c = '\0';
	}
	return w;
}

const char *
want_text(const struct want *w)
{
	return w->text;
}

/* x stands for a digit, and in an enhanced code like "5.x.x" for a number. */
static int
pattern_match(const char *pat, const char *s)
{
	for (; *pat != '\0'; pat++) {
		if (*pat == 'x') {
			if (!isdigit((unsigned char)*s))
				return 0;
			s++;
			while ((pat[1] == '\0' || pat[1] == '.') &&
			    isdigit((unsigned char)*s))
				s++;
		} else if (*pat != *s++)
			return 0;
	}
	return *s == '\0';
}

/* An EHLO keyword with, if given, one of its parameters: "AUTH PLAIN". */
static int
has_keyword(const struct reply *r, const char *want)
{
	size_t kwlen = strcspn(want, " "), len, plen;
	const char *line, *param = want[kwlen] == ' ' ? want + kwlen + 1 : NULL;
	int n;

	for (n = 1; n < r->nlines; n++) {
		if ((line = reply_line(r, n, &len)) == NULL || len < 4)
			continue;
		line += 4;
		len -= 4;
		if (len < kwlen || strncasecmp(line, want, kwlen) != 0 ||
		    (len > kwlen && line[kwlen] != ' '))
			continue;
		if (param == NULL)
			return 1;
		plen = strlen(param);
		for (line += kwlen, len -= kwlen; len > plen; line++, len--)
			if (*line == ' ' && strncasecmp(line + 1, param,
			    plen) == 0 && (len == plen + 1 ||
			    line[plen + 1] == ' '))
				return 1;
	}
	return 0;
}

static int
cond_has(const struct cond *c, const struct reply *r, struct session *s)
{
	return has_keyword(r, s == NULL ? c->text :
	    session_expand(s, c->text)->data);
}

static int
cond_lacks(const struct cond *c, const struct reply *r, struct session *s)
{
	return !cond_has(c, r, s);
}

/* Without it there is nothing to be judged. */
static int
cond_offers(const struct cond *c, const struct reply *r, struct session *s)
{
	if (cond_has(c, r, s))
		return 1;
	if (s != NULL)
		run_not_offered(s->run, c->text);
	return 0;
}

static int
cond_regex(const struct cond *c, const struct reply *r, struct session *s)
{
	return regex_match(c->text, r->text, r->len,
	    s == NULL ? NULL : session_group, s);
}

static int
cond_text(const struct cond *c, const struct reply *r, struct session *s)
{
	const char *want = s == NULL ? c->text :
	    session_expand(s, c->text)->data;

	return r->len >= 4 && strcmp(r->text + 4, want) == 0;
}

static int (*const conds[])(const struct cond *, const struct reply *,
    struct session *) = {
	[COND_HAS] = cond_has,
	[COND_LACKS] = cond_lacks,
	[COND_OFFERS] = cond_offers,
	[COND_REGEX] = cond_regex,
	[COND_TEXT] = cond_text,
};

int
want_reply(const struct want *w, const struct reply *r, struct session *s)
{
	char code[8], ecode[16];
	const struct cond *c;

	for (; w != NULL; w = w->alt) {
		if (w->code == NULL)
			continue;
		snprintf(code, sizeof(code), "%03d", r->code);
		if (strcmp(w->code, "any") != 0 &&
		    !pattern_match(w->code, code))
			continue;
		reply_ecode(r, 0, ecode, sizeof(ecode));
		if (w->ecode != NULL && !pattern_match(w->ecode, ecode) &&
		    (s == NULL || !s->run->foreign))
			continue;
		STAILQ_FOREACH(c, &w->conds, entry)
			if (!conds[c->type](c, r, s))
				break;
		if (c == NULL)
			return 1;
	}
	return 0;
}

static int
cond_fails(const struct want *w, enum cond_type type, const struct reply *r,
    struct session *s, const char **text)
{
	const struct cond *c;

	STAILQ_FOREACH(c, &w->conds, entry)
		if (c->type == type && !conds[type](c, r, s)) {
			*text = c->text;
			return 1;
		}
	return 0;
}

const char *
want_keyword(const struct want *w, const struct reply *r, struct session *s)
{
	const char *text, *other;
	char code[8];

	snprintf(code, sizeof(code), "%03d", r->code);
	for (; w != NULL; w = w->alt)
		if (w->code != NULL && pattern_match(w->code, code) &&
		    cond_fails(w, COND_HAS, r, s, &text) &&
		    !cond_fails(w, COND_LACKS, r, s, &other))
			return text;
	return NULL;
}

int
want_class(const struct want *w, const struct reply *r)
{
	for (; w != NULL; w = w->alt)
		if (w->code != NULL && w->code[0] - '0' == r->code / 100)
			return 1;
	return 0;
}

int
want_end(const struct want *w, const char *end)
{
	for (; w != NULL; w = w->alt)
		if (w->end != NULL && (strcmp(w->end, "<close>") == 0 ||
		    strcmp(w->end, end) == 0))
			return 1;
	return 0;
}

uint64_t
want_silence(const struct want *w)
{
	for (; w != NULL; w = w->alt)
		if (w->silence != 0)
			return w->silence;
	return 0;
}
