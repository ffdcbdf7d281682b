/* Steps that decide what comes next: barriers, turns, alternatives. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "parser.h"
#include "steps.h"

static void
reach_parse(struct parser *p, struct step *st)
{
	struct pos pos = st->pos;

	st->text = lex_word(p, "the name of a point");
	name_note(p, POINT_REACH, st->text, &pos);
}

static enum did
reach_run(struct session *s, struct step *st)
{
	run_trace(s->run, s, s->label, "--", st->text, strlen(st->text));
	run_reach(s->run, st->text);
	return DID_STEP;
}

const struct step_kind step_reach = {
	.word = "reach",
	.parse = reach_parse,
	.run = reach_run,
	.says = 1,
};

static void
await_parse(struct parser *p, struct step *st)
{
	struct pos pos = st->pos;

	st->text = lex_word(p, "the name of a point");
	name_note(p, POINT_AWAIT, st->text, &pos);
}

static enum did
await_run(struct session *s, struct step *st)
{
	if (s->phase == 0) {
		s->phase = 1;
		s->moves = s->run->moves;
	}
	return run_reached(s->run, st->text) ? DID_STEP : DID_WAIT;
}

/*
 * As long as anybody makes a step, the point may be reached.  Where everybody
 * stands is what one wants to know when nobody moves.
 */
static enum did
await_timeout(struct session *s, struct step *st)
{
	struct buf b = { 0 };
	const struct session *o;
	const struct step *at;
	enum did did;

	if (s->moves != s->run->moves) {
		s->moves = s->run->moves;
		return DID_WAIT;
	}
	buf_addf(&b, "nobody reached it;");
	TAILQ_FOREACH(o, &s->run->sessions, entry) {
		if (o == s || o->over || o->depth == 0 || b.len > 400)
			continue;
		at = o->frames[o->depth - 1].cur;
		if (at != NULL)
			buf_addf(&b, " %s waits at line %d (%s%s%s)", o->label,
			    at->pos.line, at->kind->word,
			    at->text == NULL ? "" : " ",
			    at->text == NULL ? "" : at->text);
	}
	if (b.data[b.len - 1] == ';')
		buf_addstr(&b, " everybody else is done");
	did = run_judge(s->run, &st->pos, s->label, NULL, NULL, st->text,
	    b.data) ? DID_STEP : DID_FAIL;
	buf_free(&b);
	return did;
}

const struct step_kind step_await = {
	.word = "await",
	.parse = await_parse,
	.run = await_run,
	.timeout = await_timeout,
};

static void
pause_parse(struct parser *p, struct step *st)
{
	st->range = lex_range(p, "a time");
}

static enum did
pause_run(struct session *s, struct step *st)
{
	if (s->phase == 0) {
		s->phase = 1;
		session_timer(s, choice_draw(s->choices, "pause", st->range));
		return DID_WAIT;
	}
	return evtimer_pending(s->timer, NULL) ? DID_WAIT : DID_STEP;
}

const struct step_kind step_pause = {
	.word = "pause",
	.parse = pause_parse,
	.run = pause_run,
};

static void
repeat_parse(struct parser *p, struct step *st)
{
	st->range = lex_range(p, "the number of turns");
	lex_skip(p, 0);
	if (lex_accept(p, "as")) {
		struct pos pos;

		lex_skip(p, 0);
		pos = lex_pos(p);
		st->text = lex_word(p, "the name of a variable");
		name_note(p, VAR_SET, st->text, &pos);
	}
	lex_skip(p, 0);
	parse_steps(p, &st->body);
}

static enum did
repeat_run(struct session *s, struct step *st)
{
	uint64_t n;

	if (s->phase == 1)
		return DID_STEP;
	n = choice_scale(s->choices, "repeat", st->range);
	if (n == 0 || STAILQ_EMPTY(&st->body))
		return DID_STEP;
	return session_enter(s, &st->body, st, n) == -1 ? DID_FAIL : DID_ENTER;
}

const struct step_kind step_repeat = {
	.word = "repeat",
	.parse = repeat_parse,
	.run = repeat_run,
	.says = 1,
};

static void
choose_parse(struct parser *p, struct step *st)
{
	struct step *alt = st;

	for (;;) {
		lex_skip(p, 0);
		parse_steps(p, &alt->body);
		st->range.hi++;
		lex_skip(p, 1);
		if (!lex_accept(p, "or"))
			break;
		alt->next_alt = arena_alloc(p->arena, sizeof(*alt));
		alt = alt->next_alt;
		STAILQ_INIT(&alt->body);
	}
	st->range.lo = 1;
}

static enum did
choose_run(struct session *s, struct step *st)
{
	struct step *alt = st;
	uint64_t n;

	if (s->phase == 1)
		return DID_STEP;
	for (n = choice_draw(s->choices, "choose", st->range); n > 1; n--)
		alt = alt->next_alt;
	if (STAILQ_EMPTY(&alt->body))
		return DID_STEP;
	return session_enter(s, &alt->body, st, 1) == -1 ? DID_FAIL : DID_ENTER;
}

const struct step_kind step_choose = {
	.word = "choose",
	.parse = choose_parse,
	.run = choose_run,
	.says = 1,
};

static void
batch_parse(struct parser *p, struct step *st)
{
	lex_skip(p, 0);
	p->batch++;
	parse_steps(p, &st->body);
	p->batch--;
}

/* One write for all of it, so that it leaves in one segment if it fits. */
static enum did
batch_run(struct session *s, struct step *st)
{
	struct buf held;

	if (s->phase == 0) {
		s->batching++;
		return session_enter(s, &st->body, st, 1) == -1 ? DID_FAIL :
		    DID_ENTER;
	}
	if (s->batching > 0 && --s->batching == 0 && s->held.len > 0) {
		held = s->held;
		memset(&s->held, 0, sizeof(s->held));
		session_say(s, held.data, held.len);
		buf_free(&held);
	}
	return DID_STEP;
}

const struct step_kind step_batch = {
	.word = "batch",
	.parse = batch_parse,
	.run = batch_run,
	.says = 1,
};

static void
set_parse(struct parser *p, struct step *st)
{
	struct pos pos;

	lex_skip(p, 0);
	pos = lex_pos(p);
	st->arg = (void *)lex_word(p, "the name of a variable");
	st->text = lex_value(p, "its value");
	vars_note(p, st->text, &pos);
	name_note(p, VAR_SET, st->arg, &pos);
}

static enum did
set_run(struct session *s, struct step *st)
{
	const struct buf *b = session_expand(s, st->text);

	session_set(s, st->arg, b->data, b->len);
	return DID_STEP;
}

const struct step_kind step_set = {
	.word = "set",
	.parse = set_parse,
	.run = set_run,
	.says = 1,
};
