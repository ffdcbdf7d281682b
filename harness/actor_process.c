/* process: commands run inside the sandbox, such as smtpctl. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel.h"
#include "parser.h"
#include "procs.h"
#include "regex.h"
#include "sandbox.h"
#include "steps.h"

struct run_arg {
	int	 status;		/* expected, -1: any */
};

/* run [exit=N|exit=any] COMMAND */
static void
run_cmd_parse(struct parser *p, struct step *st)
{
	struct run_arg *a = arena_alloc(p->arena, sizeof(*a));
	struct pos pos;
	const char *word;

	st->arg = a;
	lex_skip(p, 0);
	pos = lex_pos(p);
	if (p->end - p->p >= 5 && memcmp(p->p, "exit=", 5) == 0) {
		word = lex_word(p, "exit=N");
		a->status = strcmp(word + 5, "any") == 0 ? -1 :
		    (int)parse_range(p, &pos, word + 5, "the exit status").lo;
	}
	pos = lex_pos(p);
	st->text = lex_rest(p);
	if (st->text[0] == '\0')
		parse_fail(p, &pos, "expected a command");
	vars_note(p, st->text, &pos);
	name_note(p, VAR_SET, "output", &pos);
}

static enum did
run_cmd_begin(struct session *s, struct step *st)
{
	const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
	struct sandbox_cmd cmd = { .argv = argv, .fd = { -1, -1, -1 } };
	struct buf *b = session_expand(s, st->text);
	int fds[2];
	pid_t pid;

	if (s->run->sb == NULL) {
		run_error(s->run, "%s: run needs a sandbox", s->label);
		return DID_FAIL;
	}
	if (pipe2(fds, O_CLOEXEC) == -1)
		return DID_FAIL;
	argv[2] = b->data;
	run_trace(s->run, s, s->label, "$", b->data, b->len);
	cmd.fd[1] = cmd.fd[2] = fds[1];
	pid = sandbox_spawn(s->run->sb, &cmd);
	close(fds[1]);
	if (pid == -1) {
		close(fds[0]);
		run_error(s->run, "%s: cannot run %s", s->label, b->data);
		return DID_FAIL;
	}
	s->run->heard = 1;		/* by somebody that is not ours */
	procs_wait(s, pid, fds[0]);
	s->phase = 1;
	return DID_WAIT;
}

static enum did
run_cmd_run(struct session *s, struct step *st)
{
	const struct run_arg *a = st->arg;
	struct buf out = { 0 };
	char expected[64], got[128];
	enum did did = DID_STEP;
	int status;

	if (s->phase == 0)
		return run_cmd_begin(s, st);
	if (!procs_done(s, &status, &out))
		return DID_WAIT;
	session_set(s, "output", out.data == NULL ? "" : out.data, out.len);
	run_trace(s->run, s, s->label, ">", out.data == NULL ? "" : out.data,
	    out.len);
	if (WIFSIGNALED(status))
		snprintf(got, sizeof(got), "<signal %d>", WTERMSIG(status));
	else
		snprintf(got, sizeof(got), "<exit %d>", WEXITSTATUS(status));
	snprintf(expected, sizeof(expected), "<exit %d>", a->status);
	if (a->status != -1 && strcmp(expected, got) != 0)
		did = session_judge(s, st, expected, got);
	buf_free(&out);
	return did;
}

static enum did
run_cmd_timeout(struct session *s, struct step *st)
{
	return session_judge(s, st, "that the command ends", "<timeout>");
}

const struct step_kind step_run_cmd = {
	.word = "run",
	.parse = run_cmd_parse,
	.run = run_cmd_run,
	.timeout = run_cmd_timeout,
};

struct output_arg {
	const char	*regex;
	int		 lacks;
};

/* output [lacks] /regex/: what the last run printed */
static void
output_parse(struct parser *p, struct step *st)
{
	struct output_arg *a = arena_alloc(p->arena, sizeof(*a));
	struct pos pos;

	lex_skip(p, 0);
	a->lacks = lex_accept(p, "lacks");
	lex_skip(p, 0);
	pos = lex_pos(p);
	a->regex = lex_regex(p);
	if (!a->lacks)
		groups_note(p, a->regex, &pos);
	st->arg = a;
	st->text = arena_printf(p->arena, "%s/%s/", a->lacks ? "lacks " : "",
	    a->regex);
}

static enum did
output_run(struct session *s, struct step *st)
{
	const struct output_arg *a = st->arg;
	struct buf *b = session_expand(s, "$output");
	char *text = xstrdup(b->data);
	enum did did = DID_STEP;

	if (regex_match(a->regex, text, strlen(text), a->lacks ? NULL :
	    session_group, s) == !a->lacks)
		run_conforms(s->run, &st->pos, s->label, &st->knowns);
	else
		did = session_judge(s, st, st->text, text);
	free(text);
	return did;
}

static enum did
output_timeout(struct session *s, struct step *st)
{
	(void)s;
	(void)st;
	return DID_WAIT;
}

const struct step_kind step_output = {
	.word = "output",
	.parse = output_parse,
	.run = output_run,
	.timeout = output_timeout,
};

static void
process_hear_parse(struct parser *p, struct step *st)
{
	parse_fail(p, &st->pos, "a process block has steps like run and "
	    "output, no lines");
}

static int
process_start(struct actor *a)
{
	struct session *s;

	a->left = 1;
	s = session_new(a, 1, (struct steps *)&a->role->steps);
	session_run(s);
	return 0;
}

static void
process_done(struct session *s)
{
	procs_forget(s);
	s->actor->left--;
}

static const struct opt_kind process_opts[] = { { NULL, OPT_WORD } };

const struct actor_kind actor_process = {
	.word = "process",
	.says = 'I',
	.hears = 'O',
	.opts = process_opts,
	.hear_parse = process_hear_parse,
	.start = process_start,
	.done = process_done,
};
