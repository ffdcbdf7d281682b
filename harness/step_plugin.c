/* Steps of a process that smtpd starts: what it keeps back, and its end. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "parser.h"
#include "plugin.h"
#include "steps.h"

static void
only_plugins(struct parser *p, const struct step *st)
{
	if (p->kind->plugin == NULL)
		parse_fail(p, &st->pos, "\"%s\" in a %s block: expected only in "
		    "filter and table", st->kind->word, p->kind->word);
}

static void
hold_parse(struct parser *p, struct step *st)
{
	only_plugins(p, st);
}

static enum did
hold_run(struct session *s, struct step *st)
{
	(void)st;
	plugin_hold(s);
	return DID_STEP;
}

const struct step_kind step_hold = {
	.word = "hold",
	.parse = hold_parse,
	.run = hold_run,
};

/* release [N] */
static void
release_parse(struct parser *p, struct step *st)
{
	only_plugins(p, st);
	st->range.lo = st->range.hi = UINT64_MAX;
	if (!lex_eol(p))
		st->range = lex_range(p, "how many");
}

static enum did
release_run(struct session *s, struct step *st)
{
	plugin_release(s, st->range.lo == UINT64_MAX ? UINT64_MAX :
	    choice_draw(s->choices, "release", st->range));
	return DID_STEP;
}

const struct step_kind step_release = {
	.word = "release",
	.parse = release_parse,
	.run = release_run,
};

/* <exit N> */
static void
exit_parse(struct parser *p, struct step *st)
{
	only_plugins(p, st);
	st->range = lex_range(p, "an exit status");
}

static enum did
exit_run(struct session *s, struct step *st)
{
	run_trace(s->run, s, s->label, "F", "<exit>", 6);
	plugin_quit(s, (int)choice_draw(s->choices, "exit", st->range));
	return DID_STEP;
}

const struct step_kind step_exit = {
	.word = "exit",
	.parse = exit_parse,
	.run = exit_run,
};

static const struct sig {
	const char	*name;
	int		 signo;
} sigs[] = {
	{ "KILL",	SIGKILL },
	{ "TERM",	SIGTERM },
	{ "HUP",	SIGHUP },
	{ "PIPE",	SIGPIPE },
	{ "ABRT",	SIGABRT },
	{ "SEGV",	SIGSEGV },
};

/* <kill NAME> */
static void
kill_parse(struct parser *p, struct step *st)
{
	const char *word, *list = "";
	struct pos pos;
	size_t i;

	only_plugins(p, st);
	lex_skip(p, 0);
	pos = lex_pos(p);
	word = lex_word(p, "the name of a signal");
	for (i = 0; i < nitems(sigs); i++) {
		if (strcmp(sigs[i].name, word) == 0) {
			st->arg = (void *)(uintptr_t)&sigs[i];
			return;
		}
		list = list_add(p, list, sigs[i].name);
	}
	parse_fail(p, &pos, "unknown signal \"%s\": expected one of %s", word,
	    list);
}

static enum did
kill_run(struct session *s, struct step *st)
{
	const struct sig *sig = st->arg;

	run_trace(s->run, s, s->label, "F", sig->name, strlen(sig->name));
	plugin_quit(s, -sig->signo);
	return DID_STEP;
}

const struct step_kind step_kill = {
	.word = "kill",
	.parse = kill_parse,
	.run = kill_run,
};

/* <close stdin|stdout|stderr> */
static void
close_parse(struct parser *p, struct step *st)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	struct pos pos;
	size_t i;

	only_plugins(p, st);
	lex_skip(p, 0);
	pos = lex_pos(p);
	st->arg = (void *)(uintptr_t)lex_word(p, "stdin, stdout or stderr");
	for (i = 0; i < nitems(names); i++)
		if (strcmp(names[i], st->arg) == 0)
			return;
	parse_fail(p, &pos, "expected stdin, stdout or stderr, not \"%s\"",
	    (const char *)st->arg);
}

static enum did
close_run(struct session *s, struct step *st)
{
	run_trace(s->run, s, s->label, "F", st->arg, strlen(st->arg));
	plugin_close(s, st->arg);
	return DID_STEP;
}

const struct step_kind step_close = {
	.word = "close",
	.parse = close_parse,
	.run = close_run,
};

/* <deaf> and <deaf off> */
static void
deaf_parse(struct parser *p, struct step *st)
{
	only_plugins(p, st);
	lex_skip(p, 0);
	st->range.lo = !lex_accept(p, "off");
}

static enum did
deaf_run(struct session *s, struct step *st)
{
	plugin_deaf(s, (int)st->range.lo);
	return DID_STEP;
}

const struct step_kind step_deaf = {
	.word = "deaf",
	.parse = deaf_parse,
	.run = deaf_run,
};
