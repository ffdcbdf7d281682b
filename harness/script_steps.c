/* Dialogues: lines that begin with who says them, acts, and steps by a word. */
#include <ctype.h>
#include <string.h>

#include "parser.h"
#include "run.h"

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
	if (!raw && p->end - q > 1 && *q == '<' &&
	    isalpha((unsigned char)q[1])) {
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
		if (who == 'E' && p->kind->plugin != NULL) {
			st = step_new(p, list, how == '~' ? &step_err_raw :
			    &step_err, &pos);
			st->kind->parse(p, st);
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
