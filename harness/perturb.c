/* Perturbations: the same dialogues in another order (smtpdtest hunt). */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "parser.h"
#include "perturb.h"
#include "procs.h"
#include "run.h"
#include "sandbox.h"

#define MOST_WINDOWS	2
#define MOST_PIDS	16
#define MOST_CHANGES	5
#define MOST_STATES	512
#define CONTACTS	500		/* as far as windows and changes are drawn */
#define STEPS		120		/* of one session, as far as it is cut */
#define TICK		5000		/* us, to see whether anything moves */
#define QUIET		3		/* ticks without a contact: at rest, */
#define BUSY_REST	200		/* or so many when somebody never is */
#define STARVED		40		/* the same, and priorities are to blame */
#define DELAY_MAX	50000		/* us */
#define HALF_CLOSED	100000		/* us, until the other half is */
#define CONTACTS_MAX	(1ULL << 40)	/* in no run there are as many */
#define CHRT_TIME	5000000		/* us */

static const struct {
	const char	*name;
	unsigned int	 bit;
} names[] = {
	{ "delay",	PERTURB_DELAY },
	{ "segment",	PERTURB_SEGMENT },
	{ "cut",	PERTURB_CUT },
	{ "stop",	PERTURB_STOP },
	{ "hold",	PERTURB_HOLD },
	{ "pct",	PERTURB_PCT },
	{ "pause",	PERTURB_PAUSE },
	{ "timeout",	PERTURB_TIMEOUT },
};

/*
 * Who can be stopped, those that talk to most others first; 6.8 calls two of
 * them otherwise.
 */
#define BUSY	3
#define OWN	6
static const struct {
	const char	*name;
	const char	*title, *old;	/* after "smtpd: "; NULL: not the daemon's */
	const struct actor_kind *ours;	/* an actor that does the same */
} whos[] = {
	{ "lookup",	"lookup",	NULL,		NULL },
	{ "dispatcher",	"dispatcher",	"pony express",	NULL },
	{ "queue",	"queue",	NULL,		NULL },
	{ "scheduler",	"scheduler",	NULL,		NULL },
	{ "control",	"control",	NULL,		NULL },
	{ "crypto",	"crypto",	"klondike",	NULL },
	{ "filters",	NULL,		NULL,		&actor_filter },
	{ "dns",	NULL,		NULL,		&actor_dns },
};

/* A window in a run. */
struct standstill {
	size_t		 who;
	uint64_t	 after, until;
	enum { COMING, OPEN, PAST } state;
	pid_t		 pids[MOST_PIDS];
	int		 npids;
};

struct perturb {
	struct run	*run;
	unsigned int	 mask;
	struct standstill w[MOST_WINDOWS + 32];
	int		 nw;
	uint64_t	 contacts, seen;
	int		 still;		/* ticks without a contact, */
	int		 quiet;		/* and nobody had anything to do */
	const struct rest *rest;	/* of the scenario, the next to happen */
	struct stream	*choices;
	struct event	*tick;
	/* PCT */
	uint64_t	 change[MOST_CHANGES];
	pid_t		 changed[MOST_CHANGES];
	int		 nchange;
	int		 pct;		/* priorities are set */
	json_t		*states;
	json_t		*plan;		/* what was done, as a scenario says it */
	json_t		*steps;		/* the line of each contact, or NULL */
};

/* What happens to one session; to those that are no client's, only a delay. */
struct disturbance {
	int		 client;
	uint64_t	 step;		/* so many were made */
	uint64_t	 cut;		/* before this one, 0: never */
	int		 at_rest;	/* cut when nothing moves any more, instead */
	uint64_t	 part;		/* permille of its message it says then */
	uint64_t	 how;		/* index into cuts */
	uint64_t	 late;		/* this one is delayed, 0: none */
	uint64_t	 delay;		/* us */
	uint64_t	 pause;		/* before this one it waits for rest */
	int		 pauses;	/* it does */
	uint64_t	 silent;	/* and before this one for its end */
	int		 is_silent;	/* it does */
	int		 waits;		/* for its timer, or as above */
	int		 closed;	/* half of it, and then all of it */
};

static const struct {
	const char	*name;
	void		(*end)(struct channel *);
} cuts[] = {
	{ "fin",	channel_fin },
	{ "rst",	channel_rst },
	{ "half-close",	channel_half_close },
};

int
perturb_mask(const char *list, unsigned int *mask, char **bad)
{
	char *copy = xstrdup(list), *rest = copy, *word;
	size_t i;

	*mask = 0;
	while ((word = strsep(&rest, ",")) != NULL) {
		for (i = 0; i < nitems(names); i++)
			if (strcmp(names[i].name, word) == 0)
				break;
		if (strcmp(word, "all") == 0)
			*mask |= PERTURB_ALL;
		else if (i < nitems(names))
			*mask |= names[i].bit;
		else if (strcmp(word, "none") != 0) {
			*bad = xstrdup(word);
			free(copy);
			return -1;
		}
	}
	free(copy);
	return 0;
}

const char *
perturb_names(unsigned int mask)
{
	static char text[64];
	size_t i, n = 0;

	text[0] = '\0';
	for (i = 0; i < nitems(names); i++)
		if (mask & names[i].bit)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    "%s%s", n == 0 ? "" : ",", names[i].name);
	return mask == 0 ? "none" : text;
}

static size_t
who_find(const char *name)
{
	size_t i;

	for (i = 0; i < nitems(whos); i++)
		if (strcmp(whos[i].name, name) == 0)
			break;
	return i;
}

const char *
perturb_parse_who(struct parser *p)
{
	const char *who, *list = "";
	struct pos pos;
	size_t i;

	lex_skip(p, 0);
	pos = lex_pos(p);
	who = lex_word(p, "who is stopped");
	if (who_find(who) < nitems(whos))
		return who;
	for (i = 0; i < nitems(whos); i++)
		list = list_add(p, list, whos[i].name);
	parse_fail(p, &pos, "\"%s\" cannot be stopped: expected %s", who, list);
}

/* stop WHO after N [for M] */
void
perturb_parse_stop(struct parser *p)
{
	struct window *w = arena_alloc(p->arena, sizeof(*w));

	w->who = perturb_parse_who(p);
	lex_skip(p, 0);
	lex_expect(p, "after", "stop WHO after N [for M]");
	lex_skip(p, 0);
	w->after = lex_range(p, "so many steps of the clients").lo;
	w->count = CONTACTS_MAX;
	lex_skip(p, 0);
	if (lex_accept(p, "for")) {
		lex_skip(p, 0);
		w->count = lex_range(p, "so many steps of the clients").lo;
	}
	STAILQ_INSERT_TAIL(&p->sc->windows, w, entry);
}

/* --- who stands still ------------------------------------------------------ */

static int
titled(const struct proc *proc, size_t who)
{
	const char *title = whos[who].title, *old = whos[who].old;

	return (title != NULL && strcmp(proc->title, title) == 0) ||
	    (old != NULL && strcmp(proc->title, old) == 0);
}

int
perturb_is(const struct proc *proc, const char *who)
{
	size_t i = who_find(who);

	return i < nitems(whos) && titled(proc, i);
}

static pid_t
parent_of(pid_t pid)
{
	char path[64], *text, *p;
	size_t len;
	pid_t ppid = -1;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if ((text = read_file(path, &len, 4096)) == NULL)
		return -1;
	/* pid (name) state ppid; a name may hold anything */
	if ((p = strrchr(text, ')')) != NULL && strlen(p) > 4)
		ppid = (pid_t)atoi(p + 4);
	free(text);
	return ppid;
}

/*
 * What the daemon's first process started and is none of the daemon's: a filter
 * is the child of a shell that is the child of one that waits for it.
 */
static int
is_filter(const struct run *run, pid_t pid)
{
	const struct daemon *d = &run->daemon;
	int i;

	for (; pid > 1; pid = parent_of(pid)) {
		if (parent_of(pid) == d->pid)
			break;
	}
	for (i = 0; i < d->nprocs; i++)
		if (d->procs[i].pid == pid)
			return 0;
	return pid > 1;
}

/*
 * Is there a process of the sandbox that would do something if it were given a
 * processor?  On a busy machine that may take a while.
 */
static int
somebody_runs(const struct run *run)
{
	const struct dirent *e;
	char path[300], *text, *p;
	DIR *dir;
	int runs = 0;

	if (run->sb == NULL || (dir = opendir("/proc")) == NULL)
		return 0;
	while (!runs && (e = readdir(dir)) != NULL) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		if ((text = read_file(path, NULL, 4096)) == NULL)
			continue;
		p = strrchr(text, ')');
		runs = p != NULL && (strncmp(p, ") R", 3) == 0 ||
		    strncmp(p, ") D", 3) == 0);
		free(text);
	}
	closedir(dir);
	return runs;
}

static int
filter_pids(const struct run *run, pid_t *pids)
{
	const struct dirent *e;
	DIR *dir;
	int n = 0;

	if ((dir = opendir("/proc")) == NULL)
		return 0;
	while (n < MOST_PIDS && (e = readdir(dir)) != NULL) {
		pids[n] = (pid_t)atoi(e->d_name);
		n += is_filter(run, pids[n]);
	}
	closedir(dir);
	return n;
}

static int
pids_of(const struct run *run, size_t who, pid_t *pids)
{
	const struct daemon *d = &run->daemon;
	int i, n = 0;

	if (run->sb == NULL)
		return 0;		/* of another's daemon we stop nothing */
	if (whos[who].ours == &actor_filter)
		return filter_pids(run, pids);
	for (i = 0; i < d->nprocs; i++)
		if (titled(&d->procs[i], who))
			pids[n++] = d->procs[i].pid;
	return n;
}

static void
tell(struct run *run, const char *what, const char *who)
{
	char text[64];

	snprintf(text, sizeof(text), "<%s>", what);
	run_trace(run, NULL, who, "--", text, strlen(text));
}

/*
 * A coarse picture of where everybody is: how many clients (one, few, many)
 * stand at which step, and who stands still.  Its hash is "a state seen".
 */
static void
note_state(struct perturb *p)
{
	uint64_t h = 0, at[64] = { 0 };
	const struct session *s;
	const struct frame *f;
	char key[32];
	size_t i;

	if (json_object_size(p->states) >= MOST_STATES)
		return;
	TAILQ_FOREACH(s, &p->run->sessions, entry) {
		if (s->over || s->depth == 0)
			continue;
		f = &s->frames[s->depth - 1];
		if (f->cur != NULL)
			at[f->cur->pos.line % nitems(at)]++;
	}
	for (i = 0; i < nitems(at); i++) {
		at[i] = at[i] > 3 ? 3 : at[i] > 1 ? 2 : at[i];
		h = h * 31 + at[i];
	}
	for (i = 0; i < (size_t)p->nw; i++)
		if (p->w[i].state == OPEN)
			h ^= fnv64(whos[p->w[i].who].name, 4);
	snprintf(key, sizeof(key), "%llx", (unsigned long long)h);
	json_object_set_new(p->states, key, json_true());
}

static void	 pct_end(struct perturb *);
static void	 plan(struct perturb *, const char *, ...)
		    __attribute__((format(printf, 2, 3)));

/* Remember it in the words of a scenario, for shrink. */
static void
plan(struct perturb *p, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(p->plan, json_string(text));
}

static void
window_open(struct perturb *p, struct standstill *w)
{
	int i;

	w->state = OPEN;
	w->npids = pids_of(p->run, w->who, w->pids);
	for (i = 0; i < w->npids; i++)
		sandbox_kill(p->run->sb, w->pids[i], SIGSTOP);
	tell(p->run, "stopped", whos[w->who].name);
	if (w->until >= CONTACTS_MAX)
		plan(p, "stop %s after %llu", whos[w->who].name,
		    (unsigned long long)w->after);
	else
		plan(p, "stop %s after %llu for %llu", whos[w->who].name,
		    (unsigned long long)w->after,
		    (unsigned long long)(w->until - w->after));
	note_state(p);
}

/* An actor of ours says at once what it has held back. */
static void
go_on(struct perturb *p, const struct actor_kind *kind)
{
	struct actor *a;

	TAILQ_FOREACH(a, &p->run->actors, entry)
		if (a->role->kind == kind && kind->go_on != NULL)
			kind->go_on(a);
}

static void
window_close(struct perturb *p, struct standstill *w)
{
	const struct standstill *o;
	int i;

	note_state(p);
	w->state = PAST;
	tell(p->run, "continued", whos[w->who].name);
	/* another window may still want it to stand */
	for (o = p->w; o < p->w + p->nw; o++)
		if (o->state == OPEN && o->who == w->who)
			return;
	for (i = 0; i < w->npids; i++)
		sandbox_kill(p->run->sb, w->pids[i], SIGCONT);
	go_on(p, whos[w->who].ours);
}

static void
windows_add(struct perturb *p, size_t who, uint64_t after, uint64_t count)
{
	struct standstill *w;

	if (p->nw == (int)nitems(p->w))
		return;
	w = &p->w[p->nw++];
	memset(w, 0, sizeof(*w));
	w->who = who;
	w->after = after;
	w->until = after + count;
}

static void
windows_move(struct perturb *p)
{
	struct standstill *w;

	for (w = p->w; w < p->w + p->nw; w++) {
		if (w->state == OPEN && p->contacts >= w->until)
			window_close(p, w);
		if (w->state == COMING && p->contacts >= w->after)
			window_open(p, w);
	}
}

static const char *
parse_point(struct parser *p)
{
	struct pos pos = lex_pos(p);
	const char *point = lex_word(p, "the name of a point");

	name_note(p, POINT_REACH, point, &pos);
	return point;
}

static const char *
parse_client(struct parser *p)
{
	return lex_word(p, "the client, NAME or NAME[N]");
}

static void	 cut(struct session *, uint64_t);

static void
rest_stop(struct perturb *p, const struct rest *r)
{
	windows_add(p, who_find(r->who), p->contacts, CONTACTS_MAX);
	windows_move(p);
}

static void
rest_continue(struct perturb *p, const struct rest *r)
{
	int i;

	for (i = 0; i < p->nw; i++)
		if (p->w[i].state == OPEN &&
		    strcmp(whos[p->w[i].who].name, r->who) == 0)
			window_close(p, &p->w[i]);
}

static void
rest_cut(struct perturb *p, const struct rest *r)
{
	struct session *s;
	uint64_t how;

	for (how = 0; strcmp(cuts[how].name, r->what) != 0; how++)
		;
	TAILQ_FOREACH(s, &p->run->sessions, entry)
		if (!s->over && s->disturbance != NULL &&
		    strcmp(s->label, r->who) == 0) {
			cut(s, how);
			return;
		}
}

static void
rest_reach(struct perturb *p, const struct rest *r)
{
	run_reach(p->run, r->who);
}

/* What a scenario may say is to happen. */
static const struct {
	const char	*what;
	const char	*(*parse)(struct parser *);
	void		(*happen)(struct perturb *, const struct rest *);
} rests[] = {
	{ "stop",	perturb_parse_who,	rest_stop },
	{ "continue",	perturb_parse_who,	rest_continue },
	{ "fin",	parse_client,	rest_cut },
	{ "rst",	parse_client,	rest_cut },
	{ "half-close",	parse_client,	rest_cut },
	{ "reach",	parse_point,	rest_reach },
};

/* rest stop|continue WHO, rest fin|rst|half-close CLIENT, rest reach POINT */
void
perturb_parse_rest(struct parser *p)
{
	struct rest *r = arena_alloc(p->arena, sizeof(*r));
	const char *list = "";
	struct pos pos;
	size_t i;

	lex_skip(p, 0);
	pos = lex_pos(p);
	r->what = lex_word(p, "what happens");
	lex_skip(p, 0);
	for (i = 0; i < nitems(rests); i++) {
		if (strcmp(rests[i].what, r->what) == 0) {
			r->who = rests[i].parse(p);
			STAILQ_INSERT_TAIL(&p->sc->rests, r, entry);
			return;
		}
		list = list_add(p, list, rests[i].what);
	}
	parse_fail(p, &pos, "\"%s\": expected %s", r->what, list);
}

/* The next thing the scenario says: 0 if there is none left. */
static int
rest_said(struct perturb *p)
{
	const struct rest *r = p->rest;
	size_t i;

	if (r == NULL)
		return 0;
	p->rest = STAILQ_NEXT(r, entry);
	for (i = 0; strcmp(rests[i].what, r->what) != 0; i++)
		;
	rests[i].happen(p, r);
	return 1;
}

/* It waited for this: it ends, or goes on. */
static void
rest_session(struct perturb *p, struct session *s)
{
	struct disturbance *d = s->disturbance;

	if (d->at_rest) {
		d->at_rest = 0;
		plan(p, "rest %s %s", cuts[d->how].name, s->label);
		cut(s, d->how);
		return;
	}
	plan(p, "rest go-on %s", s->label);
	run_trace(p->run, s, s->label, "--", "<goes on>", 9);
	d->pauses = d->waits = 0;
	session_run(s);
}

/* One of those that wait for it, whichever is drawn. */
static void
rest_drawn(struct perturb *p)
{
	struct range any = { 0, 0 };
	struct session *s, *ready[64];
	uint64_t n = 0, open = 0;
	int i;

	for (i = 0; i < p->nw; i++)
		open += p->w[i].state == OPEN;
	TAILQ_FOREACH(s, &p->run->sessions, entry)
		if (n < nitems(ready) && !s->over && s->disturbance != NULL &&
		    (s->disturbance->at_rest || s->disturbance->pauses))
			ready[n++] = s;
	if (n + open == 0)
		return;
	/* who stands still is worth more with somebody gone meanwhile */
	any.hi = n > 0 && open > 0 ? 3 : 0;
	if (n > 0 && (choice_draw(p->choices, "go-on", any) > 0 || open == 0)) {
		any.hi = n - 1;
		rest_session(p, ready[choice_draw(p->choices, "gone", any)]);
		return;
	}
	any.hi = open - 1;
	n = choice_draw(p->choices, "continued", any);
	for (i = 0; p->w[i].state != OPEN || n-- > 0; i++)
		;
	plan(p, "rest continue %s", whos[p->w[i].who].name);
	window_close(p, &p->w[i]);
}

/* Where nothing moves one thing has to happen, and only one. */
static void
tick(int fd, short what, void *arg)
{
	static const struct timeval again = { 0, TICK };
	struct perturb *p = arg;

	(void)fd;
	(void)what;
	evtimer_add(p->tick, &again);
	p->still = p->contacts == p->seen ? p->still + 1 : 0;
	p->seen = p->contacts;
	p->quiet = p->still > 0 && !somebody_runs(p->run) ? p->quiet + 1 : 0;
	if (p->pct && p->still >= STARVED)
		pct_end(p);
	if ((p->quiet > 0 && p->quiet % QUIET == 0) ||
	    (p->still > 0 && p->still % BUSY_REST == 0))
		if (!rest_said(p))
			rest_drawn(p);
}

/* Of those who can be stopped: filters, which are held, or the daemon's own. */
static void
window_draw(struct perturb *p, struct stream *st, size_t who)
{
	const struct range most = { 0, 3 }, when = { 1, CONTACTS };
	uint64_t after, count;

	/* what a filter holds is worth more the longer it does */
	after = whos[who].title == NULL ? choice_scale(st, "after", when) :
	    choice_draw(st, "after", when);
	count = choice_draw(st, "whether", most) > 0 ? CONTACTS_MAX :
	    choice_scale(st, "for", when);
	windows_add(p, who, after, count);
}

static void
windows_draw(struct perturb *p, struct stream *st)
{
	const struct range many = { 1, MOST_WINDOWS };
	const struct range busy = { 0, BUSY - 1 }, third = { 0, 2 };
	const struct range any = { 0, OWN - 1 }, half = { 0, 1 };
	uint64_t n, i;

	n = p->mask & PERTURB_STOP ? choice_draw(st, "windows", many) : 0;
	for (i = 0; i < n; i++)
		window_draw(p, st, choice_draw(st, "who",
		    choice_draw(st, "whether", third) == 0 ? any : busy));
	if (p->mask & PERTURB_HOLD)
		window_draw(p, st, who_find("filters"));
	if (p->mask & PERTURB_HOLD && choice_draw(st, "whether", half) == 0)
		window_draw(p, st, who_find("dns"));
}

/* --- PCT: Burckhardt et al., ASPLOS 2010 -------------------------------------- */

/*
 * All of the daemon on one processor, each process with a priority of its own:
 * one runs until it has nothing to do or one above it has.  At a change point one of
 * them falls below all others.
 */
static void
pct_start(struct perturb *p, struct stream *st)
{
	const struct daemon *d = &p->run->daemon;
	const struct range when = { 1, CONTACTS };
	const struct range many = { 1, MOST_CHANGES };
	struct range prio = { MOST_CHANGES + 2, 90 }, who = { 0, 0 };
	const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
	struct buf cmd = { 0 }, out = { 0 };
	int i;

	for (i = 0; i < d->nprocs; i++)
		buf_addf(&cmd, "taskset -pc 0 %d && chrt -f -p %llu %d && ",
		    (int)d->procs[i].pid, (unsigned long long)
		    choice_draw(st, "priority", prio), (int)d->procs[i].pid);
	buf_addstr(&cmd, "true");
	p->nchange = (int)choice_draw(st, "changes", many);
	who.hi = d->nprocs > 0 ? (uint64_t)d->nprocs - 1 : 0;
	for (i = 0; i < p->nchange; i++) {
		p->change[i] = choice_scale(st, "change", when);
		p->changed[i] = d->procs[choice_draw(st, "whom", who)].pid;
	}
	argv[2] = cmd.data;
	if (procs_command(p->run, argv, &out, CHRT_TIME) != 0) {
		/* not allowed here: the rest of the run is as good */
		tell(p->run, "no real-time priorities here", "pct");
		p->nchange = 0;
	} else
		p->pct = 1;
	buf_free(&cmd);
	buf_free(&out);
}

/*
 * A process that polls for what one below it has to do would do so for ever:
 * after a while without progress all are alike again.
 */
static void
pct_end(struct perturb *p)
{
	const struct daemon *d = &p->run->daemon;
	const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
	struct sandbox_cmd cmd = { .argv = argv, .fd = { -1, -1, -1 } };
	struct buf text = { 0 };
	int i;

	for (i = 0; i < d->nprocs; i++)
		buf_addf(&text, "chrt -o -p 0 %d;", (int)d->procs[i].pid);
	argv[2] = text.data;
	sandbox_spawn(p->run->sb, &cmd);
	buf_free(&text);
	p->pct = p->nchange = 0;
	tell(p->run, "priorities ended", "pct");
}

static void
pct_change(struct perturb *p)
{
	char pid[16], prio[16];
	const char *argv[] = { "chrt", "-f", "-p", prio, pid, NULL };
	struct sandbox_cmd cmd = { .argv = argv, .fd = { -1, -1, -1 } };
	int i;

	for (i = 0; i < p->nchange; i++) {
		if (p->change[i] != p->contacts)
			continue;
		snprintf(pid, sizeof(pid), "%d", (int)p->changed[i]);
		snprintf(prio, sizeof(prio), "%d", i + 1);
		sandbox_spawn(p->run->sb, &cmd);
		note_state(p);
	}
}

/* --- a run -------------------------------------------------------------------- */

void
perturb_start(struct run *run)
{
	static const struct timeval soon = { 0, TICK };
	const struct window *w;
	struct perturb *p;
	struct stream *st;

	if (run->opts->perturb == 0 && STAILQ_EMPTY(&run->sc->windows) &&
	    STAILQ_EMPTY(&run->sc->rests))
		return;
	p = run->perturb = xcalloc(1, sizeof(*p));
	p->run = run;
	p->mask = run->opts->perturb;
	if (run->sb == NULL)
		p->mask &= PERTURB_CLIENTS;
	p->states = json_object();
	p->plan = json_array();
	p->steps = run->opts->steps ? json_array() : NULL;
	p->tick = evtimer_new(run->base, tick, p);
	evtimer_add(p->tick, &soon);
	st = p->choices = choice_stream(run->choices, "perturb");
	p->rest = STAILQ_FIRST(&run->sc->rests);
	STAILQ_FOREACH(w, &run->sc->windows, entry)
		windows_add(p, who_find(w->who), w->after, w->count);
	if (p->mask & (PERTURB_STOP | PERTURB_HOLD))
		windows_draw(p, st);
	if (p->mask & PERTURB_PCT)
		pct_start(p, st);
}

int
perturb_holds(const struct run *run, const struct actor_kind *kind)
{
	const struct perturb *p = run->perturb;
	int i;

	if (p == NULL || p->tick == NULL)
		return 0;
	for (i = 0; i < p->nw; i++)
		if (p->w[i].state == OPEN && whos[p->w[i].who].ours == kind)
			return 1;
	return 0;
}

int
perturb_busy(const struct run *run)
{
	const struct perturb *p = run->perturb;
	int i;

	if (p == NULL || p->tick == NULL)
		return 0;
	for (i = 0; i < p->nw; i++)
		if (p->w[i].state == OPEN)
			return 1;
	return p->rest != NULL;
}

void
perturb_end(struct run *run)
{
	struct perturb *p = run->perturb;
	int i;

	if (p == NULL || p->tick == NULL)
		return;
	for (i = 0; i < p->nw; i++) {
		if (p->w[i].state == OPEN)
			window_close(p, &p->w[i]);
		p->w[i].state = PAST;
	}
	if (p->pct)
		pct_end(p);
	event_free(p->tick);
	p->tick = NULL;
	json_object_set(run->stats, "states", p->states);
	json_object_set(run->stats, "plan", p->plan);
	if (p->steps != NULL)
		json_object_set(run->stats, "steps", p->steps);
	json_object_set_new(run->stats, "contacts",
	    json_integer((json_int_t)p->contacts));
}

void
perturb_free(struct run *run)
{
	if (run->perturb == NULL)
		return;
	perturb_end(run);
	json_decref(run->perturb->states);
	json_decref(run->perturb->plan);
	json_decref(run->perturb->steps);
	free(run->perturb);
	run->perturb = NULL;
}

/* --- a session ------------------------------------------------------------------ */

/* Half of them are left alone. */
static uint64_t
draw_step(struct stream *st, const char *label)
{
	const struct range half = { 0, 1 }, steps = { 1, STEPS };

	return choice_draw(st, "whether", half) == 0 ? 0 :
	    choice_scale(st, label, steps);
}

static void
draw_segments(struct session *s, struct stream *st)
{
	const struct range half = { 0, 1 }, sizes = { 1, 1500 };

	if (choice_draw(st, "whether", half) == 0)
		return;
	s->ch->segment.lo = s->ch->segment.hi =
	    choice_scale(st, "segment", sizes);
	s->ch->stream = st;
}

void
perturb_session(struct session *s)
{
	const struct range us = { 0, DELAY_MAX }, half = { 0, 1 };
	const struct range permille = { 0, 2000 };
	const struct range how = { 0, nitems(cuts) - 1 };
	const struct perturb *p = s->run->perturb;
	struct disturbance *d;
	struct stream *st;
	char name[128];
	unsigned int mask;
	int client;

	if (p == NULL || s->ch == NULL)
		return;
	client = s->actor->role->kind == &actor_client;
	mask = client ? p->mask : p->mask & PERTURB_DELAY;
	if (!client && mask == 0)
		return;
	s->disturbance = d = xcalloc(1, sizeof(*d));
	d->client = client;
	snprintf(name, sizeof(name), "perturb/%s/%u", s->actor->role->name,
	    s->n);
	st = choice_stream(s->run->choices, name);
	if (mask & PERTURB_CUT && (d->cut = draw_step(st, "cut")) != 0) {
		d->how = choice_draw(st, "how", how);
		d->at_rest = (int)choice_draw(st, "whether", half);
		d->part = choice_draw(st, "part", permille);
	}
	if (mask & PERTURB_DELAY && (d->late = draw_step(st, "late")) != 0)
		d->delay = choice_scale(st, "delay", us);
	if (mask & PERTURB_SEGMENT)
		draw_segments(s, st);
	if (mask & PERTURB_PAUSE && choice_draw(st, "whether", half) == 0)
		d->pause = draw_step(st, "pause");
	if (mask & PERTURB_TIMEOUT)
		d->silent = draw_step(st, "silent");
}

void
perturb_session_free(struct session *s)
{
	free(s->disturbance);
	s->disturbance = NULL;
}

size_t
perturb_part(struct session *s, size_t len)
{
	struct disturbance *d = s->disturbance;

	if (d == NULL || !d->at_rest || d->part >= 1000)
		return len;
	d->waits = 1;
	plan(s->run->perturb, "part %s %zu", s->label, len * d->part / 1000);
	return len * d->part / 1000;
}

static int
wait_for(struct session *s, uint64_t us)
{
	s->disturbance->waits = 1;
	session_timer(s, us);
	return 1;
}

/* It is over, or about to be once the daemon has seen that half of it is. */
static void
cut(struct session *s, uint64_t how)
{
	char who[2] = { s->actor->role->kind->says, '\0' };
	char text[32];

	snprintf(text, sizeof(text), "<%s>", cuts[how].name);
	run_trace(s->run, s, s->label, who, text, strlen(text));
	s->ended = 1;
	cuts[how].end(s->ch);
	note_state(s->run->perturb);
	s->disturbance->closed = 1;
	wait_for(s, s->ch->half ? HALF_CLOSED : 0);
}

/* Whoever is silent for ever waits for its end. */
int
perturb_waits(struct session *s)
{
	struct disturbance *d = s->disturbance;

	if (d == NULL || !d->waits)
		return 0;
	if (d->is_silent && !d->closed && s->ch->end != END_NONE) {
		d->closed = 1;
		session_timer(s, 0);
	}
	return 1;
}

int
perturb_late(struct session *s)
{
	struct disturbance *d = s->disturbance;

	d->waits = 0;
	return d->closed || d->is_silent ? -1 : 0;
}

static int
begin_late(struct session *s)
{
	run_trace(s->run, s, s->label, "--", "<late>", 6);
	return wait_for(s, s->disturbance->delay);
}

static int
begin_pause(struct session *s)
{
	struct disturbance *d = s->disturbance;

	plan(s->run->perturb, "pause %s %llu", s->label,
	    (unsigned long long)d->step);
	run_trace(s->run, s, s->label, "--", "<pauses>", 8);
	d->pauses = d->waits = 1;
	return 1;
}

static int
begin_silence(struct session *s)
{
	struct disturbance *d = s->disturbance;

	plan(s->run->perturb, "silent %s %llu", s->label,
	    (unsigned long long)d->step);
	run_trace(s->run, s, s->label, "--", "<silent>", 8);
	d->at_rest = 0;
	s->ended = d->is_silent = 1;
	return wait_for(s, PERTURB_SILENCE);
}

int
perturb_contact(struct session *s)
{
	struct perturb *p = s->run->perturb;
	struct disturbance *d = s->disturbance;

	if (p == NULL || d == NULL || p->tick == NULL)
		return 0;
	if (!d->client)
		return ++d->step == d->late ? begin_late(s) : 0;
	p->contacts++;
	if (p->steps != NULL)
		json_array_append_new(p->steps, json_integer((json_int_t)
		    s->frames[s->depth - 1].cur->pos.line));
	windows_move(p);
	pct_change(p);
	if (p->contacts % 64 == 0)
		note_state(p);
	d->step++;
	if (d->cut == d->step && !d->at_rest) {
		plan(p, "cut %s %llu %s", s->label, (unsigned long long)d->step,
		    cuts[d->how].name);
		cut(s, d->how);
		return 1;
	}
	if (d->silent == d->step)
		return begin_silence(s);
	if (d->pause == d->step)
		return begin_pause(s);
	return d->late == d->step ? begin_late(s) : 0;
}
