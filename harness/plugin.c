/* A process that smtpd starts and that we are: lines to dialogues and back. */
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "oracle_filter.h"
#include "parser.h"
#include "pattern.h"
#include "perturb.h"
#include "plugin.h"
#include "procs.h"
#include "regex.h"

#define MAX_TRACE	400	/* lines that no dialogue heard */

/* A block being held: the state of its session. */
struct inst {
	struct inst	*next;		/* of the same thread */
	struct session	*s;		/* NULL when it is over */
	struct plugin_seat *seat;
	struct plugin_thread *thread;
	struct plugin_lines queue;	/* heard, not looked at yet */
	struct plugin_lines kept;	/* answers held back */
	int		 hold;
	char		 token[32];	/* of the request heard last */
	char		*last;		/* what came instead of what is awaited */
};

const struct opt_kind plugin_opts[] = {
	{ "manual",	OPT_WORD },
	{ "each",	OPT_WORD },
	{ "unused",	OPT_WORD },
	{ NULL,		OPT_WORD }
};

const char *
plugin_field(const char *line, int n, size_t *len)
{
	for (; n > 0; n--) {
		if ((line = strchr(line, '|')) == NULL)
			return NULL;
		line++;
	}
	*len = strcspn(line, "|");
	return line;
}

void
plugin_copy(char *to, size_t size, const char *from, size_t len)
{
	if (len >= size)
		len = size - 1;
	memcpy(to, from, len);
	to[len] = '\0';
}

/* --- saying --------------------------------------------------------------- */

static void
trace(struct plugin *pl, struct session *s, const char *dir, const char *text,
    size_t len)
{
	if (s != NULL)
		run_trace(pl->run, s, s->label, dir, text, len);
	else if (++pl->ntrace <= MAX_TRACE)
		run_trace(pl->run, NULL, pl->name, dir, text, len);
}

/* For whoever waits until it is ready, and for the judge. */
static void
look_at(struct plugin *pl, const char *text, size_t len)
{
	static const char ready[] = "register|ready\n";

	if (pl->watch != NULL)
		filter_watch_said(pl->watch, text, len);
	if (!pl->ready && memmem(text, len, ready, sizeof(ready) - 1) != NULL)
		pl->ready = 1;
}

void
plugin_said(struct session *s, const char *text, size_t len)
{
	const struct inst *in = s->state;

	look_at(in->seat->plugin, text, len);
}

/* What goes by itself; a line, or several at once. */
static void
say(struct plugin *pl, struct session *s, const char *text, size_t len)
{
	if (len == 0 || pl->quit)
		return;
	look_at(pl, text, len);
	trace(pl, s, "F", text, len);
	channel_write(pl->ch, text, len);
}

static struct plugin_line *
line_new(const char *text, size_t len)
{
	struct plugin_line *l = xcalloc(1, sizeof(*l));

	l->text = xcalloc(1, len + 1);
	memcpy(l->text, text, len);
	l->len = len;
	return l;
}

static void
line_free(struct plugin_line *l)
{
	free(l->text);
	free(l);
}

static void
lines_free(struct plugin_lines *list)
{
	struct plugin_line *l;

	while ((l = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, l, entry);
		line_free(l);
	}
}

/* Nobody has anything to say about it. */
static void
answer(struct plugin *pl, struct inst *in, const struct plugin_line *l)
{
	struct plugin_line *kept;
	struct buf b = { 0 };

	if (!l->request || pl->manual)
		return;
	pl->kind->answer(l, &b);
	if (in != NULL && in->hold) {
		kept = line_new(b.data, b.len);
		TAILQ_INSERT_TAIL(&in->kept, kept, entry);
	} else
		say(pl, in == NULL ? NULL : in->s, b.data, b.len);
	buf_free(&b);
}

/* --- hearing -------------------------------------------------------------- */

static void
line_vars(struct plugin *pl, struct session *s, const struct plugin_line *l)
{
	if (pl->kind->sid != NULL && l->sid[0] != '\0')
		session_set(s, pl->kind->sid, l->sid, strlen(l->sid));
	if (l->request)
		session_set(s, pl->kind->token, l->token, strlen(l->token));
}

static struct buf *
expand(void *arg, const char *text)
{
	return session_expand(arg, text);
}

static int
line_matches(struct session *s, const struct plugin_heard *h,
    const struct plugin_line *l)
{
	if (h->regex != NULL)
		return regex_match(h->regex, l->text, l->len, session_group,
		    s);
	return h->pattern != NULL && pattern_match(h->pattern, l->text,
	    l->len, expand, session_group, s);
}

/* A line that does not match leaves the variables as they were. */
static int
try_line(struct inst *in, const struct plugin_heard *h,
    const struct plugin_line *l)
{
	const struct plugin_kind *kind = in->seat->plugin->kind;

	line_vars(in->seat->plugin, in->s, l);
	if (!line_matches(in->s, h, l)) {
		session_set(in->s, kind->token, in->token, strlen(in->token));
		return 0;
	}
	if (l->request)
		memcpy(in->token, l->token, sizeof(in->token));
	return 1;
}

static int
listens(const struct words *points, const struct plugin_line *l)
{
	const struct word *w;

	STAILQ_FOREACH(w, points, entry)
		if (strcmp(w->text, l->point) == 0 ||
		    (strcmp(w->text, "*") == 0 && !l->request &&
		    strncmp(l->point, "smtp-out|", 9) != 0) ||
		    (strcmp(w->text, "smtp-out|*") == 0 &&
		    strncmp(l->point, "smtp-out|", 9) == 0))
			return 1;
	return 0;
}

static void
inst_hear(struct inst *in, const struct plugin_line *l)
{
	struct plugin_line *copy = line_new(l->text, l->len);
	char *text = copy->text;

	*copy = *l;
	copy->text = text;
	TAILQ_INSERT_TAIL(&in->queue, copy, entry);
	session_run(in->s);
}

static struct inst *
inst_new(struct plugin_seat *seat, struct plugin_thread *th)
{
	struct plugin *pl = seat->plugin;
	struct inst *in = xcalloc(1, sizeof(*in));
	struct session *s;

	in->seat = seat;
	in->thread = th;
	in->next = th->insts;
	th->insts = in;
	TAILQ_INIT(&in->queue);
	TAILQ_INIT(&in->kept);
	seat->begun++;
	if (!seat->block->manual)
		seat->actor->left++;
	s = in->s = session_new(seat->actor, ++pl->ninsts,
	    (struct steps *)&seat->actor->role->steps);
	if (pl->ninsts > 1)
		snprintf(s->label, sizeof(s->label), "%s[%u]", pl->name,
		    pl->ninsts);
	s->state = in;
	s->ch = pl->ch;
	perturb_session(s);
	return in;
}

static void
inst_free(struct inst *in)
{
	lines_free(&in->queue);
	lines_free(&in->kept);
	free(in->last);
	free(in);
}

/* Does the block begin with this line? */
static int
begins(struct plugin_seat *seat, const struct plugin_line *l)
{
	const struct plugin_block *b = seat->block;

	if (!STAILQ_EMPTY(&b->on))
		return listens(&b->on, l);
	if (!listens(&b->points, l) || b->first == NULL)
		return 0;
	line_vars(seat->plugin, seat->plugin->probe, l);
	return line_matches(seat->plugin->probe, b->first, l);
}

/* The one that is being held, or begins now; NULL: this block does not listen. */
static struct inst *
inst_for(struct plugin_seat *seat, struct plugin_thread *th,
    const struct plugin_line *l)
{
	struct inst **pp, *in;

	for (pp = &th->insts; (in = *pp) != NULL; pp = &in->next)
		if (in->seat == seat)
			break;
	if (in != NULL && in->s != NULL)
		return seat->block->manual ||
		    listens(&seat->block->points, l) ? in : NULL;
	if (seat->plugin->run->judging || (in != NULL && !seat->block->each) ||
	    seat->block->manual || !begins(seat, l))
		return NULL;
	if (in != NULL) {
		*pp = in->next;
		inst_free(in);
	}
	return inst_new(seat, th);
}

static struct plugin_thread *
thread_find(struct plugin *pl, const char *sid)
{
	struct plugin_thread *th;

	TAILQ_FOREACH(th, &pl->threads, entry)
		if (strcmp(th->sid, sid) == 0)
			return th;
	th = xcalloc(1, sizeof(*th));
	plugin_copy(th->sid, sizeof(th->sid), sid, strlen(sid));
	TAILQ_INSERT_HEAD(&pl->threads, th, entry);
	return th;
}

/* All its dialogues are over, and none will begin any more. */
static void
thread_free(struct plugin *pl, struct plugin_thread *th)
{
	struct inst *in;

	while ((in = th->insts) != NULL) {
		th->insts = in->next;
		inst_free(in);
	}
	TAILQ_REMOVE(&pl->threads, th, entry);
	free(th);
}

static void
threads_sweep(struct plugin *pl)
{
	struct plugin_thread *th, *next;
	const struct inst *in;

	TAILQ_FOREACH_SAFE(th, &pl->threads, entry, next) {
		for (in = th->insts; in != NULL && in->s == NULL; in = in->next)
			;
		if (in == NULL && th->ended)
			thread_free(pl, th);
	}
}

/* A request is one dialogue's, a report is for all that listen. */
static void
thread_line(struct plugin *pl, struct plugin_thread *th,
    const struct plugin_line *l)
{
	struct plugin_seat *seat;
	struct inst *in;
	int heard = 0;

	TAILQ_FOREACH(seat, &pl->seats, entry) {
		if ((in = inst_for(seat, th, l)) == NULL)
			continue;
		trace(pl, in->s, "D", l->text, l->len);
		inst_hear(in, l);
		heard = 1;
		if (l->request)
			return;
	}
	if (!heard)
		trace(pl, NULL, "D", l->text, l->len);
	answer(pl, NULL, l);
}

static void
plugin_heard_line(struct plugin *pl, const char *text, size_t len)
{
	struct plugin_line *l = line_new(text, len);
	struct plugin_thread *th;
	struct buf b = { 0 };

	if (pl->watch != NULL)
		filter_watch_heard(pl->watch, text, len);
	if (!pl->enlisted && strcmp(l->text, "config|ready") == 0) {
		pl->enlisted = 1;
		trace(pl, NULL, "D", l->text, l->len);
		pl->kind->enlist(pl, &b);
		say(pl, NULL, b.data, b.len);
		buf_free(&b);
	} else if (pl->kind->read(l) || pl->manual) {
		th = thread_find(pl, pl->manual ? "" : l->sid);
		thread_line(pl, th, l);
		if (pl->kind->ends(l))
			th->ended = 1;
	} else
		trace(pl, NULL, "D", l->text, l->len);
	line_free(l);
}

static void
plugin_run_all(struct plugin *pl)
{
	struct plugin_thread *th;
	struct inst *in;

	TAILQ_FOREACH(th, &pl->threads, entry)
		for (in = th->insts; in != NULL; in = in->next)
			if (in->s != NULL)
				session_run(in->s);
	threads_sweep(pl);
}

/* Something has come, gone, or ended. */
static void
plugin_wake(void *arg)
{
	struct plugin *pl = arg;
	struct buf *in = &pl->ch->in;
	size_t done = 0;
	char *nl;

	if (perturb_holds(pl->run, pl->probe->actor->role->kind)) {
		/* what more there is waits in the socket, as for one stopped */
		if (pl->ch->end == END_NONE)
			event_del(pl->ch->rev);
		return;
	}
	while (done < in->len && (nl = memchr(in->data + done, '\n',
	    in->len - done)) != NULL) {
		plugin_heard_line(pl, in->data + done,
		    (size_t)(nl - in->data) - done);
		done = (size_t)(nl - in->data) + 1;
	}
	buf_drain(in, done);
	if (pl->ch->end != END_NONE && !pl->deaf && pl->relay != NULL) {
		/* as any filter does that finds its input at its end */
		trace(pl, NULL, "--", "<smtpd closed it>", 17);
		relay_exit(pl->relay, 0);
	}
	plugin_run_all(pl);
}

static void
err_wake(void *arg)
{
	(void)arg;
}

static void
hear_waited(struct session *s, struct step *st, struct inst *in)
{
	const struct plugin_heard *h = st->arg;

	if (s->phase != 0)
		return;
	s->phase = 1;
	free(in->last);
	in->last = NULL;
	if (h->silence != 0)
		session_timer(s, h->silence);
}

static enum did
conforms(struct session *s, struct step *st)
{
	run_conforms(s->run, &st->pos, s->label, &st->knowns);
	return DID_STEP;
}

/* No line will come any more: of this session, or at all. */
static enum did
hear_end(struct session *s, struct step *st, const struct inst *in)
{
	const struct plugin_heard *h = st->arg;
	const struct channel *ch = in->seat->plugin->ch;
	int closed = ch->end != END_NONE;

	if (h->end != NULL && closed)
		return conforms(s, st);
	if (h->silence != 0 || (!closed && !in->thread->ended) ||
	    (h->end != NULL && !closed))
		return DID_WAIT;
	return session_judge(s, st, st->text, in->last != NULL ? in->last :
	    closed ? "<fin>" : "the end of the session");
}

enum did
plugin_hear(struct session *s, struct step *st)
{
	const struct plugin_heard *h = st->arg;
	struct inst *in = s->state;
	struct plugin_line *l;
	enum did did = DID_WAIT;

	hear_waited(s, st, in);
	while (did == DID_WAIT && (l = TAILQ_FIRST(&in->queue)) != NULL) {
		TAILQ_REMOVE(&in->queue, l, entry);
		if (h->silence != 0) {
			line_vars(in->seat->plugin, s, l);
			did = session_judge(s, st, st->text, l->text);
		} else if (try_line(in, h, l))
			did = conforms(s, st);
		else {
			answer(in->seat->plugin, in, l);
			if (h->point == NULL || strcmp(h->point, l->point) == 0) {
				free(in->last);
				in->last = xstrdup(l->text);
			}
		}
		line_free(l);
	}
	return did == DID_WAIT ? hear_end(s, st, in) : did;
}

enum did
plugin_hear_timeout(struct session *s, struct step *st)
{
	const struct plugin_heard *h = st->arg;
	const struct inst *in = s->state;

	if (h->silence != 0)
		return conforms(s, st);
	return session_judge(s, st, st->text, in->last != NULL ? in->last :
	    "<timeout>");
}

void
plugin_done(struct session *s)
{
	struct inst *in = s->state;
	struct plugin *pl = in->seat->plugin;
	struct plugin_line *l;

	procs_forget(s);
	if (in->seat->block->manual)
		pl->manual = 0;
	plugin_release(s, UINT64_MAX);
	while ((l = TAILQ_FIRST(&in->queue)) != NULL) {
		TAILQ_REMOVE(&in->queue, l, entry);
		answer(pl, in, l);
		line_free(l);
	}
	s->ch = NULL;			/* the plugin's */
	in->s = NULL;
	in->seat->actor->left--;
}

/* --- acts ----------------------------------------------------------------- */

static struct plugin *
plugin_of(const struct session *s)
{
	const struct inst *in = s->state;

	return in->seat->plugin;
}

void
plugin_stderr(struct session *s, const char *text, size_t len)
{
	struct plugin *pl = plugin_of(s);

	trace(pl, s, "E", text, len);
	if (pl->err != NULL)
		channel_write(pl->err, text, len);
	else if (pl->errfd != -1)
		(void)write_all(pl->errfd, text, len);
}

void
plugin_hold(struct session *s)
{
	struct inst *in = s->state;

	in->hold = 1;
}

void
plugin_release(struct session *s, uint64_t n)
{
	struct inst *in = s->state;
	struct plugin_line *l;
	struct buf b = { 0 };

	if (n == UINT64_MAX)
		in->hold = 0;
	for (; n > 0 && (l = TAILQ_FIRST(&in->kept)) != NULL; n--) {
		TAILQ_REMOVE(&in->kept, l, entry);
		buf_add(&b, l->text, l->len);
		line_free(l);
	}
	say(in->seat->plugin, s, b.data, b.len);
	buf_free(&b);
}

void
plugin_quit(struct session *s, int how)
{
	struct plugin *pl = plugin_of(s);

	if (pl->quit)
		return;
	pl->quit = 1;
	/* a process that ends does not shut anything down */
	channel_rst(pl->ch);
	if (pl->err != NULL)
		channel_rst(pl->err);
	if (pl->relay == NULL)
		return;
	if (how < 0)
		relay_kill(pl->relay, -how);
	else
		relay_exit(pl->relay, how);
}

void
plugin_deaf(struct session *s, int on)
{
	struct plugin *pl = plugin_of(s);

	if (pl->ch->fd == -1)
		return;
	pl->deaf = on;
	if (on)
		event_del(pl->ch->rev);
	else
		event_add(pl->ch->rev, NULL);
}

void
plugin_close(struct session *s, const char *what)
{
	struct plugin *pl = plugin_of(s);

	if (strcmp(what, "stdin") == 0) {
		plugin_deaf(s, 1);
		shutdown(pl->ch->fd, SHUT_RD);
	} else if (strcmp(what, "stdout") == 0)
		channel_half_close(pl->ch);
	else if (pl->err != NULL)
		channel_half_close(pl->err);
}

/* --- the process ---------------------------------------------------------- */

static void
plugin_attach(struct relay *r, void *arg)
{
	struct plugin *pl = arg;
	struct plugin_seat *seat;
	struct inst *in;

	if (pl->ch != NULL) {
		run_error(pl->run, "smtpd has started %s twice", pl->name);
		return;
	}
	pl->relay = r;
	pl->ch = channel_new(pl->run->base, r->fd[RELAY_IO], 0, plugin_wake,
	    pl);
	if (pl->kind->sid != NULL)
		pl->err = channel_new(pl->run->base, r->fd[RELAY_ERR], 0,
		    err_wake, pl);
	else
		pl->errfd = r->fd[RELAY_ERR];
	r->fd[RELAY_IO] = r->fd[RELAY_ERR] = -1;
	TAILQ_FOREACH(seat, &pl->seats, entry)
		if (seat->block->manual) {
			pl->manual = pl->enlisted = 1;
			in = inst_new(seat, thread_find(pl, ""));
			session_run(in->s);
		}
}

static void
plugin_ended(struct relay *r, int gone, void *arg)
{
	struct plugin *pl = arg;

	if (gone && pl->relay == r)
		pl->relay = NULL;
}

static struct plugin *
plugin_find(struct run *run, const struct plugin_kind *kind, const char *name)
{
	struct plugin *pl;

	TAILQ_FOREACH(pl, &run->plugins, entry)
		if (pl->kind == kind && strcmp(pl->name, name) == 0)
			return pl;
	return NULL;
}

static struct plugin *
plugin_new(struct actor *a)
{
	struct plugin *pl = xcalloc(1, sizeof(*pl));

	pl->run = a->run;
	pl->kind = a->role->kind->plugin;
	pl->name = a->role->name;
	pl->errfd = -1;
	pl->user.attach = plugin_attach;
	pl->user.ended = plugin_ended;
	pl->user.arg = pl;
	TAILQ_INIT(&pl->seats);
	TAILQ_INIT(&pl->threads);
	pl->probe = xcalloc(1, sizeof(*pl->probe));
	pl->probe->run = a->run;
	pl->probe->actor = a;
	STAILQ_INIT(&pl->probe->vars);
	if (pl->kind->watch != NULL)
		pl->watch = pl->kind->watch(a);
	TAILQ_INSERT_TAIL(&a->run->plugins, pl, entry);
	return pl;
}

int
plugin_prepare(struct actor *a)
{
	struct plugin_seat *seat = xcalloc(1, sizeof(*seat));
	struct plugin *pl;

	a->state = seat;
	seat->actor = a;
	seat->block = a->role->arg;
	if (seat->block->manual)
		a->left = 1;
	pl = plugin_find(a->run, a->role->kind->plugin, a->role->name);
	if (pl == NULL) {
		pl = plugin_new(a);
		if (relay_expect(a->run, pl->name, &pl->user) == -1)
			return -1;
	}
	seat->plugin = pl;
	TAILQ_INSERT_TAIL(&pl->seats, seat, entry);
	return 0;
}

static void
plugin_free(struct plugin *pl)
{
	struct plugin_thread *th;

	while ((th = TAILQ_FIRST(&pl->threads)) != NULL)
		thread_free(pl, th);
	if (pl->ch != NULL)
		channel_free(pl->ch);
	if (pl->err != NULL)
		channel_free(pl->err);
	if (pl->errfd != -1)
		close(pl->errfd);
	vars_free(&pl->probe->vars);
	buf_free(&pl->probe->scratch);
	free(pl->probe);
	TAILQ_REMOVE(&pl->run->plugins, pl, entry);
	free(pl);
}

/* It may hear again. */
void
plugin_go_on(struct actor *a)
{
	const struct plugin_seat *seat = a->state;
	struct plugin *pl = seat == NULL ? NULL : seat->plugin;

	if (pl == NULL || pl->ch == NULL || pl->ch->fd == -1)
		return;
	if (pl->ch->end == END_NONE && !pl->deaf)
		event_add(pl->ch->rev, NULL);
	plugin_wake(pl);
}

/* With the last of its blocks the process is over. */
void
plugin_stop(struct actor *a)
{
	struct plugin_seat *seat = a->state;

	if (seat == NULL)
		return;
	if (seat->plugin != NULL) {
		TAILQ_REMOVE(&seat->plugin->seats, seat, entry);
		if (TAILQ_EMPTY(&seat->plugin->seats))
			plugin_free(seat->plugin);
	}
	free(seat);
}

char *
plugin_unready(const struct run *run)
{
	const struct plugin *pl;
	struct buf b = { 0 };

	TAILQ_FOREACH(pl, &run->plugins, entry)
		if (!pl->ready)
			buf_addf(&b, "; %s has not %s", pl->name,
			    pl->ch == NULL ? "been started" : "registered");
	return b.data == NULL ? xstrdup("") : b.data;
}

void
plugin_judge(const struct actor *a)
{
	const struct plugin_seat *seat = a->state;
	int unused = opt_find(&a->role->opts, "unused") != NULL;

	if (seat->block->manual || unused == (seat->begun == 0))
		return;
	run_judge(a->run, &a->role->pos, a->role->name, NULL, NULL,
	    unused ? "that no line begins this dialogue" :
	    "that a line begins this dialogue", unused ? "one did" :
	    "none did");
}

/* --- the scenario's text -------------------------------------------------- */

void
plugin_point(struct parser *p, struct words *list, const char *point,
    const struct pos *pos)
{
	struct word *w;

	STAILQ_FOREACH(w, list, entry)
		if (strcmp(w->text, point) == 0)
			return;
	w = arena_alloc(p->arena, sizeof(*w));
	w->text = point;
	w->pos = *pos;
	STAILQ_INSERT_TAIL(list, w, entry);
}

struct names_arg {
	struct parser	*p;
	const struct pos *pos;
};

static void
name_captured(void *arg, const char *name)
{
	struct names_arg *n = arg;

	name_note(n->p, VAR_SET, name, n->pos);
}

static void
pattern_read(struct parser *p, struct plugin_heard *h, struct step *st,
    struct pos *pos)
{
	struct names_arg n = { p, pos };
	const char *err;
	size_t off;

	vars_note(p, st->text, pos);
	h->pattern = pattern_parse(p->arena, st->text, &err, &off);
	if (h->pattern == NULL) {
		pos->col += (int)off;
		parse_fail(p, pos, "expected %s here", err);
	}
	pattern_names(h->pattern, name_captured, &n);
}

void
plugin_hear_parse(struct parser *p, struct step *st)
{
	static const char silence[] = "<silence ";
	struct plugin_heard *h = arena_alloc(p->arena, sizeof(*h));
	struct pos pos;
	size_t len;

	lex_skip(p, 0);
	pos = lex_pos(p);
	st->arg = h;
	if (p->p < p->end && *p->p == '/') {
		st->text = h->regex = lex_regex(p);
		groups_note(p, h->regex, &pos);
		return;
	}
	st->text = lex_rest(p);
	len = strlen(st->text);
	if (strcmp(st->text, "<fin>") == 0)
		h->end = st->text;
	else if (strncmp(st->text, silence, sizeof(silence) - 1) == 0 &&
	    st->text[len - 1] == '>')
		h->silence = parse_time(p, &pos, arena_strndup(p->arena,
		    st->text + sizeof(silence) - 1, len - sizeof(silence)));
	else
		pattern_read(p, h, st, &pos);
}

static void
find_points(struct parser *p, struct plugin_block *b,
    const struct plugin_kind *kind, const struct steps *steps)
{
	struct plugin_heard *h;
	struct step *st, *alt;

	STAILQ_FOREACH(st, steps, entry) {
		for (alt = st; alt != NULL; alt = alt->next_alt)
			find_points(p, b, kind, &alt->body);
		if (st->kind != &step_hear)
			continue;
		h = st->arg;
		if (h->pattern != NULL && !b->manual) {
			h->point = kind->point(p, &st->pos, st->text);
			plugin_point(p, &b->points, h->point, &st->pos);
		}
		if (b->first == NULL && (h->pattern != NULL ||
		    h->regex != NULL))
			b->first = h;
	}
}

static void
on_points(struct parser *p, struct plugin_block *b,
    const struct plugin_kind *kind, const struct words *on)
{
	const struct word *w;
	const char *point;

	STAILQ_FOREACH(w, on, entry) {
		point = kind->on(p, &w->pos, w->text);
		plugin_point(p, &b->on, point, &w->pos);
		plugin_point(p, &b->points, point, &w->pos);
	}
}

static void
check_manual(struct parser *p, const struct role *r,
    const struct plugin_block *b)
{
	const struct role *o;

	if (b->manual && !STAILQ_EMPTY(&b->on))
		parse_fail(p, &r->pos, "a manual block begins with the "
		    "process: expected no \"on\"");
	STAILQ_FOREACH(o, &p->sc->roles, entry)
		if (o->kind == r->kind && strcmp(o->name, r->name) == 0 &&
		    (b->manual || ((const struct plugin_block *)o->arg)->manual))
			parse_fail(p, &r->pos, "a manual block stands alone: "
			    "expected one block of %s (first on line %d)",
			    r->name, o->pos.line);
}

void
plugin_check(struct parser *p, struct role *r)
{
	const struct plugin_kind *kind = r->kind->plugin;
	struct plugin_block *b = arena_alloc(p->arena, sizeof(*b));

	STAILQ_INIT(&b->points);
	STAILQ_INIT(&b->on);
	b->manual = opt_find(&r->opts, "manual") != NULL;
	b->each = kind->sid == NULL || opt_find(&r->opts, "each") != NULL;
	on_points(p, b, kind, &r->on);
	find_points(p, b, kind, &r->steps);
	check_manual(p, r, b);
	if (!b->manual && STAILQ_EMPTY(&b->points))
		parse_fail(p, &r->pos, "nothing says what it listens to: "
		    "expected a D: line, or \"on POINT\" before the {");
	if (kind->sid != NULL)
		name_note(p, VAR_SET, kind->sid, &r->pos);
	name_note(p, VAR_SET, kind->token, &r->pos);
	r->arg = b;
}
