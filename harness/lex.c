#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser.h"
#include "regex.h"

void
parse_fail(struct parser *p, const struct pos *pos, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	n = snprintf(p->err, p->errlen, "%s:%d:%d: ", pos->file, pos->line,
	    pos->col);
	if (n > 0 && (size_t)n < p->errlen) {
		va_start(ap, fmt);
		vsnprintf(p->err + n, p->errlen - (size_t)n, fmt, ap);
		va_end(ap);
	}
	/* it quotes the file, where a CR may stand anywhere */
	for (s = p->err; *s != '\0'; s++)
		if (iscntrl((unsigned char)*s))
			*s = '?';
	longjmp(p->fail, 1);
}

struct pos
lex_pos(const struct parser *p)
{
	struct pos pos;

	pos.file = p->path;
	pos.line = p->line;
	pos.col = (int)(p->p - p->bol) + 1 + p->col0;
	return pos;
}

static void
lex_newline(struct parser *p)
{
	p->p++;
	p->bol = p->p;
	p->line++;
}

void
lex_skip(struct parser *p, int nl)
{
	while (p->p < p->end) {
		if (*p->p == ' ' || *p->p == '\t' || *p->p == '\r')
			p->p++;
		else if (*p->p == '#')
			while (p->p < p->end && *p->p != '\n')
				p->p++;
		else if (*p->p == '\n' && nl)
			lex_newline(p);
		else
			break;
	}
}

int
lex_eol(struct parser *p)
{
	lex_skip(p, 0);
	return p->p == p->end || *p->p == '\n' || *p->p == '}';
}

int
lex_accept(struct parser *p, const char *text)
{
	size_t len = strlen(text);
	const char *after = p->p + len;

	if ((size_t)(p->end - p->p) < len || memcmp(p->p, text, len) != 0)
		return 0;
	/* "or" must not match the beginning of "order" */
	if (isalnum((unsigned char)text[len - 1]) && after < p->end &&
	    (isalnum((unsigned char)*after) || *after == '-' || *after == '_'))
		return 0;
	p->p = after;
	return 1;
}

const char *
list_add(struct parser *p, const char *list, const char *word)
{
	return arena_printf(p->arena, "%s%s%s", list, *list == '\0' ? "" : " ",
	    word);
}

/* What stands here, for an error message. */
static const char *
lex_here(struct parser *p)
{
	const char *q = p->p;

	if (q == p->end)
		return "the end of the file";
	if (*q == '\n')
		return "the end of the line";
	while (q < p->end && !isspace((unsigned char)*q) && q - p->p < 40)
		q++;
	return arena_printf(p->arena, "\"%.*s\"", (int)(q - p->p), p->p);
}

void
lex_expect(struct parser *p, const char *text, const char *where)
{
	struct pos pos;

	lex_skip(p, 0);
	pos = lex_pos(p);
	if (!lex_accept(p, text))
		parse_fail(p, &pos, "expected \"%s\" %s, not %s", text, where,
		    lex_here(p));
}

const char *
lex_word(struct parser *p, const char *what)
{
	struct pos pos;
	const char *q;

	lex_skip(p, 0);
	pos = lex_pos(p);
	q = p->p;
	while (p->p < p->end && !isspace((unsigned char)*p->p) &&
	    *p->p != '{' && *p->p != '}')
		p->p++;
	if (p->p == q)
		parse_fail(p, &pos, "expected %s, not %s", what, lex_here(p));
	return arena_strndup(p->arena, q, (size_t)(p->p - q));
}

static int
lex_hex(struct parser *p, const struct pos *pos)
{
	char digits[3];

	if (p->end - p->p < 2 || !isxdigit((unsigned char)p->p[0]) ||
	    !isxdigit((unsigned char)p->p[1]))
		parse_fail(p, pos, "expected two hex digits after \\x");
	memcpy(digits, p->p, 2);
	digits[2] = '\0';
	p->p += 2;
	return (int)strtol(digits, NULL, 16);
}

static char
lex_escape(struct parser *p)
{
	static const char from[] = "rnt0\\\"", to[] = "\r\n\t\0\\\"";
	struct pos pos = lex_pos(p);
	const char *hit;

	p->p++;
	if (p->p < p->end && *p->p == 'x') {
		p->p++;
		return (char)lex_hex(p, &pos);
	}
	if (p->p < p->end && *p->p != '\0' &&
	    (hit = strchr(from, *p->p)) != NULL) {
		p->p++;
		return to[hit - from];
	}
	parse_fail(p, &pos, "expected one of \\r \\n \\t \\0 \\xHH \\\\ \\\" in "
	    "a string");
}

/* Room for anything made of the rest of this line. */
static char *
line_room(struct parser *p)
{
	const char *nl = memchr(p->p, '\n', (size_t)(p->end - p->p));

	return arena_alloc(p->arena, (size_t)((nl == NULL ? p->end : nl) -
	    p->p) + 1);
}

const char *
lex_string(struct parser *p, const char *what, size_t *len)
{
	struct pos pos;
	char *s, *out;

	lex_skip(p, 0);
	pos = lex_pos(p);
	if (!lex_accept(p, "\""))
		parse_fail(p, &pos, "expected %s in quotes, not %s", what,
		    lex_here(p));
	s = out = line_room(p);
	while (p->p < p->end && *p->p != '"' && *p->p != '\n')
		*out++ = *p->p == '\\' ? lex_escape(p) : *p->p++;
	if (p->p == p->end || *p->p != '"')
		parse_fail(p, &pos, "expected a closing quote on this line");
	p->p++;
	if (len != NULL)
		*len = (size_t)(out - s);
	return s;
}

const char *
lex_regex(struct parser *p)
{
	struct pos pos = lex_pos(p);
	char err[128], *s, *out;

	lex_expect(p, "/", "before a regular expression");
	s = out = line_room(p);
	while (p->p < p->end && *p->p != '/' && *p->p != '\n') {
		if (*p->p == '\\' && p->end - p->p > 1 && p->p[1] == '/')
			p->p++;
		else if (*p->p == '\\' && p->end - p->p > 1 && p->p[1] != '\n')
			*out++ = *p->p++;
		*out++ = *p->p++;
	}
	if (!lex_accept(p, "/"))
		parse_fail(p, &pos,
		    "expected a closing / of the regular expression on this line");
	if (regex_check(s, err, sizeof(err)) == -1)
		parse_fail(p, &pos, "regular expression: %s", err);
	return s;
}

const char *
lex_value(struct parser *p, const char *what)
{
	lex_skip(p, 0);
	if (p->p < p->end && *p->p == '"')
		return lex_string(p, what, NULL);
	return lex_word(p, what);
}

const char *
lex_rest(struct parser *p)
{
	const char *q, *e;

	if (p->p < p->end && *p->p == ' ')
		p->p++;
	q = p->p;
	while (p->p < p->end && *p->p != '\n')
		p->p++;
	e = p->p;
	if (e > q && e[-1] == '\r')
		e--;
	if (e - q >= 1 && e[-1] == '}' && (e - q == 1 || e[-2] == ' ')) {
		/* the brace closes the block: leave it */
		e--;
		p->p = e;
		while (e > q && e[-1] == ' ')
			e--;
	}
	return arena_strndup(p->arena, q, (size_t)(e - q));
}

/* Take the indentation all lines share off each of them; *col grows by it. */
static const char *
dedent(struct arena *a, const char *text, size_t len, int *col)
{
	size_t common = (size_t)-1, i, n;
	char *out, *o;

	for (i = 0; i < len; i += n + 1) {
		size_t ws;

		for (n = 0; i + n < len && text[i + n] != '\n'; n++)
			;
		ws = strspn(text + i, " \t");
		if (ws < n && ws < common)
			common = ws;
	}
	if (common != (size_t)-1)
		*col += (int)common;
	o = out = arena_alloc(a, len + 2);
	for (i = 0; i < len; i += n + 1) {
		for (n = 0; i + n < len && text[i + n] != '\n'; n++)
			;
		if (n > common) {
			memcpy(o, text + i + common, n - common);
			o += n - common;
		}
		*o++ = '\n';
	}
	*o = '\0';
	return out;
}

const char *
lex_block(struct parser *p, struct pos *pos)
{
	const char *start, *text;
	int depth = 1, quoted = 0, comment = 0;

	lex_expect(p, "{", "before the block");
	lex_skip(p, 0);
	if (p->p < p->end && *p->p == '\n')
		lex_newline(p);
	*pos = lex_pos(p);
	start = p->p;
	for (; p->p < p->end; ) {
		if (*p->p == '\n') {
			quoted = comment = 0;
			lex_newline(p);
			continue;
		}
		if (*p->p == '"' && !comment)
			quoted = !quoted;
		else if (*p->p == '#' && !quoted && (p->p == start ||
		    isspace((unsigned char)p->p[-1])))
			comment = 1;
		else if (!quoted && !comment && *p->p == '{')
			depth++;
		else if (!quoted && !comment && *p->p == '}' && --depth == 0)
			break;
		p->p++;
	}
	if (p->p == p->end)
		parse_fail(p, pos,
		    "the block that starts here has no closing \"}\"");
	text = arena_strndup(p->arena, start, (size_t)(p->p - start));
	p->p++;
	if (strchr(text, '\n') == NULL)
		return dedent(p->arena, text, strlen(text), &pos->col);
	/* the last line holds only the blanks before the brace */
	return dedent(p->arena, text,
	    (size_t)(strrchr(text, '\n') + 1 - text), &pos->col);
}

static const struct unit {
	const char	*name;
	uint64_t	 factor;
} units[] = {
	{ "K",	1024 },
	{ "M",	1024 * 1024 },
	{ "us",	1 },
	{ "ms",	1000 },
	{ "s",	1000000 },
	{ "m",	60000000 },
};

static uint64_t
parse_number(struct parser *p, const struct pos *pos, const char **s,
    const char *what)
{
	const char *e = *s;
	uint64_t n = 0;
	size_t i, len;

	for (; isdigit((unsigned char)*e); e++) {
		if (n > UINT64_MAX / 1000 / 60000000)
			parse_fail(p, pos, "%s: the number is too large", what);
		n = n * 10 + (uint64_t)(*e - '0');
	}
	if (e == *s)
		parse_fail(p, pos, "expected %s as a number or a range like "
		    "1..50, not \"%s\"", what, *s);
	for (i = 0; i < nitems(units); i++) {
		len = strlen(units[i].name);
		if (strncmp(e, units[i].name, len) == 0 &&
		    !isalpha((unsigned char)e[len])) {
			n *= units[i].factor;
			e += len;
			break;
		}
	}
	*s = e;
	return n;
}

struct range
parse_range(struct parser *p, const struct pos *pos, const char *s,
    const char *what)
{
	struct range r;
	const char *q = s;

	r.lo = r.hi = parse_number(p, pos, &q, what);
	if (strncmp(q, "..", 2) == 0) {
		q += 2;
		r.hi = parse_number(p, pos, &q, what);
	}
	if (*q != '\0')
		parse_fail(p, pos, "expected %s as a number or a range like "
		    "1..50, not \"%s\"", what, s);
	if (r.lo > r.hi)
		parse_fail(p, pos, "the range %s is reversed: expected the "
		    "smaller end first", s);
	return r;
}

struct range
lex_range(struct parser *p, const char *what)
{
	struct pos pos;

	lex_skip(p, 0);
	pos = lex_pos(p);
	return parse_range(p, &pos, lex_word(p, what), what);
}

uint64_t
parse_time(struct parser *p, const struct pos *pos, const char *s)
{
	struct range r = parse_range(p, pos, s, "a time");

	if (s[0] != '\0' && isdigit((unsigned char)s[strlen(s) - 1]))
		parse_fail(p, pos, "expected a time with its unit, like 500ms "
		    "or 2s, not \"%s\"", s);
	return r.lo;
}
