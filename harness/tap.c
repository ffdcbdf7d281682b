/* Between smtpd and a filter: passes on, writes down, judges, and does harm. */
#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filter_judge.h"
#include "filter_log.h"
#include "filter_start.h"
#include "tap.h"
#include "util.h"

#define CHUNK		65536
#define MAX_PARTIAL	((size_t)1 << 20)	/* a line that does not end */
#define MAX_PENDING	((size_t)1 << 20)	/* then we do not read on */
#define OTHER_TIME	1000000	/* us to wait for another session's line */
#define TICK		250000	/* us, for what is owed */

/* A line that a fault holds back, or one behind it. */
struct held {
	TAILQ_ENTRY(held) entry;
	uint64_t	 due;		/* 0: when those before it are gone */
	int		 other;		/* or when another session's passes */
	uint64_t	 session;
	struct buf	 text;
};

/* One direction. */
struct flow {
	struct tap	*tap;
	char		 dir;
	int		 in, out;	/* -1: closed */
	struct event	*rev, *wev;
	struct buf	 partial;	/* read, no LF yet */
	struct buf	 pending;	/* to be written */
	size_t		 written;	/* of it */
	TAILQ_HEAD(, held) held;
	int		 ended;		/* its input has */
	int		 closed;	/* and its output was told */
};

enum { FLOW_D, FLOW_F, FLOW_E, FLOWS };

struct tap {
	struct tap_spec	 spec;
	struct flow	 flow[FLOWS];
	struct tap_ends	 ends;
	struct event	*tick;
	int		 over;
};

static uint64_t
tap_now(const struct tap *t)
{
	return now_us() - t->spec.t0;
}

static void
note(struct tap *t, const char *what, char dir)
{
	if (t->spec.log != NULL)
		filter_log_note(t->spec.log, tap_now(t), "%s %c", what, dir);
}

/* --- writing -------------------------------------------------------------- */

/* All that there was is passed on. */
static int
flow_drained(const struct flow *f)
{
	return f->ended && f->written == f->pending.len &&
	    TAILQ_EMPTY(&f->held);
}

static void
flow_close(struct flow *f)
{
	struct tap *t = f->tap;
	int i;

	if (f->closed || !flow_drained(f))
		return;
	f->closed = 1;
	if (f->out != -1)
		shutdown(f->out, SHUT_WR);
	for (i = 0; i < FLOWS; i++)
		if (!t->flow[i].closed)
			return;
	if (!t->over) {
		t->over = 1;
		if (t->spec.over != NULL)
			t->spec.over(t->spec.arg);
	}
}

/* Who reads no more loses what there is, as without us. */
static void
flow_write(struct flow *f)
{
	ssize_t n;

	while (f->written < f->pending.len) {
		n = f->out == -1 ? -1 : write(f->out,
		    f->pending.data + f->written,
		    f->pending.len - f->written);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && f->out != -1 && errno == EAGAIN) {
			event_add(f->wev, NULL);
			break;
		}
		f->written += n == -1 ? f->pending.len - f->written :
		    (size_t)n;
	}
	if (f->written == f->pending.len) {
		buf_reset(&f->pending);
		f->written = 0;
	}
	if (!f->ended && f->pending.len - f->written < MAX_PENDING)
		event_add(f->rev, NULL);
	flow_close(f);
}

static void
writable(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flow_write(arg);
}

/* --- faults --------------------------------------------------------------- */

/* The session of a line, 0: none; in all lines it is the first of 16 digits. */
static uint64_t
line_session(const char *line)
{
	const char *p;

	for (p = strchr(line, '|'); p != NULL; p = strchr(p, '|')) {
		p++;
		if (strspn(p, "0123456789abcdef") == 16 &&
		    (p[16] == '|' || p[16] == '\0'))
			return strtoull(p, NULL, 16);
	}
	return 0;
}

static int
held_before(const struct flow *f, const struct held *h, uint64_t session)
{
	const struct held *o;

	TAILQ_FOREACH(o, &f->held, entry) {
		if (o == h)
			return 0;
		if (o->session == session)
			return 1;
	}
	return 0;
}

static void
hold(struct flow *f, uint64_t session, uint64_t delay, int other,
    const char *line, size_t len)
{
	struct held *h = xcalloc(1, sizeof(*h));

	h->due = delay == 0 ? 0 : tap_now(f->tap) + delay;
	h->other = other;
	h->session = session;
	buf_add(&h->text, line, len);
	TAILQ_INSERT_TAIL(&f->held, h, entry);
}

/* session: a line of it has just passed, 0: none has. */
static void
release(struct flow *f, uint64_t session)
{
	struct held *h, *next;
	uint64_t now = tap_now(f->tap);

	TAILQ_FOREACH_SAFE(h, &f->held, entry, next) {
		if (h->due > now && !(h->other && session != 0 &&
		    session != h->session))
			continue;
		if (held_before(f, h, h->session))
			continue;
		buf_add(&f->pending, h->text.data, h->text.len);
		TAILQ_REMOVE(&f->held, h, entry);
		buf_free(&h->text);
		free(h);
	}
}

static void
spare(struct tap *t, const struct tap_fault *fault, uint64_t session)
{
	char text[64];
	int n;

	if (t->spec.judge != NULL)
		filter_judge_spare(t->spec.judge,
		    fault->kind == FAULT_KILL ? 0 : session);
	n = snprintf(text, sizeof(text), "fault %s %016llx",
	    tap_fault_name(fault), (unsigned long long)session);
	if (t->spec.log != NULL)
		filter_log_note(t->spec.log, tap_now(t), "%s", text);
	if (t->spec.line != NULL)
		t->spec.line(t->spec.arg, '-', text, (size_t)n);
}

/* line ends with its LF. */
static void
flow_harm(struct flow *f, const struct tap_fault *fault, uint64_t session,
    const char *line, size_t len)
{
	size_t most;

	spare(f->tap, fault, session);
	switch (fault->kind) {
	case FAULT_DROP:
		break;
	case FAULT_DELAY:
		hold(f, session, fault->delay, 0, line, len);
		break;
	case FAULT_REORDER:
		hold(f, session, OTHER_TIME, 1, line, len);
		break;
	case FAULT_DUPLICATE:
		buf_add(&f->pending, line, len);
		buf_add(&f->pending, line, len);
		break;
	case FAULT_TRUNCATE:
		most = fault->bytes < len - 1 ? fault->bytes : len - 1;
		buf_add(&f->pending, line, most);
		buf_add(&f->pending, "\n", 1);
		break;
	case FAULT_KILL:
		buf_add(&f->pending, line, len);
		if (f->tap->spec.kill != NULL)
			f->tap->spec.kill(f->tap->spec.arg,
			    (int)fault->signal);
		break;
	}
}

/* --- lines ---------------------------------------------------------------- */

static void
flow_pass(struct flow *f, const char *line, size_t len)
{
	struct tap *t = f->tap;
	const struct tap_fault *fault = NULL;
	uint64_t session;

	if (t->spec.faults == NULL || f->dir == 'E') {
		buf_add(&f->pending, line, len);
		return;
	}
	session = line_session(line);
	if (held_before(f, NULL, session)) {
		hold(f, session, 0, 0, line, len);
		return;
	}
	if (len > 0 && line[len - 1] == '\n')
		fault = tap_fault_for(t->spec.faults, f->dir, line, len - 1);
	if (fault != NULL) {
		flow_harm(f, fault, session, line, len);
		return;
	}
	buf_add(&f->pending, line, len);
	release(f, session);
}

/* text ends with its LF, if it has one, and is followed by more or a NUL. */
static void
flow_line(struct flow *f, char *text, size_t len)
{
	struct tap *t = f->tap;
	int terminated = text[len - 1] == '\n';
	size_t n = len - (size_t)terminated;

	if (t->spec.log != NULL)
		filter_log_line(t->spec.log, tap_now(t), f->dir, text, n,
		    terminated);
	if (t->spec.judge != NULL)
		filter_judge_line(t->spec.judge, f->dir, tap_now(t), text, n,
		    terminated);
	if (t->spec.line != NULL)
		t->spec.line(t->spec.arg, f->dir, text, n);
	flow_pass(f, text, len);
}

static void
flow_lines(struct flow *f)
{
	struct buf *b = &f->partial;
	size_t done = 0, len;
	char *nl;

	while (done < b->len && (nl = memchr(b->data + done, '\n',
	    b->len - done)) != NULL) {
		len = (size_t)(nl - b->data) + 1 - done;
		flow_line(f, b->data + done, len);
		done += len;
	}
	if (done > 0)
		buf_drain(b, done);
	if (b->len > MAX_PARTIAL) {
		flow_line(f, b->data, b->len);
		buf_reset(b);
	}
}

static void
flow_end(struct flow *f)
{
	struct tap *t = f->tap;

	if (f->ended)
		return;
	if (f->partial.len > 0)
		flow_line(f, f->partial.data, f->partial.len);
	buf_reset(&f->partial);
	f->ended = 1;
	event_del(f->rev);
	note(t, "eof", f->dir);
	if (t->spec.judge != NULL && f->dir != 'E')
		filter_judge_eof(t->spec.judge, f->dir, tap_now(t));
	if (f->dir == 'D' && t->spec.eof != NULL)
		t->spec.eof(t->spec.arg);
}

/* 0: there is nothing more for now, or at all. */
static int
flow_read(struct flow *f)
{
	char data[CHUNK];
	ssize_t n;

	n = read(f->in, data, sizeof(data));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0) {
		buf_add(&f->partial, data, (size_t)n);
		flow_lines(f);
	} else
		flow_end(f);
	if (f->pending.len - f->written >= MAX_PENDING)
		event_del(f->rev);
	flow_write(f);
	return n > 0;
}

static void
readable(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flow_read(arg);
}

static void
tick(int fd, short what, void *arg)
{
	struct tap *t = arg;
	int i;

	(void)fd;
	(void)what;
	if (t->spec.judge != NULL)
		filter_judge_time(t->spec.judge, tap_now(t));
	for (i = 0; i < FLOWS; i++)
		if (!TAILQ_EMPTY(&t->flow[i].held)) {
			release(&t->flow[i], 0);
			flow_write(&t->flow[i]);
		}
}

/* --- set-up --------------------------------------------------------------- */

static void
flow_init(struct tap *t, int which, char dir, int in, int out)
{
	struct flow *f = &t->flow[which];

	f->tap = t;
	f->dir = dir;
	f->in = in;
	f->out = out;
	TAILQ_INIT(&f->held);
	if (in == -1) {
		f->ended = f->closed = 1;
		return;
	}
	set_nonblock(in);
	if (out != -1)
		set_nonblock(out);
	f->rev = event_new(t->spec.base, in, EV_READ | EV_PERSIST, readable,
	    f);
	if (out != -1)
		f->wev = event_new(t->spec.base, out, EV_WRITE, writable, f);
	event_add(f->rev, NULL);
}

struct tap *
tap_new(const struct tap_spec *spec, const struct tap_ends *e)
{
	struct timeval every = { 0, TICK };
	struct tap *t = xcalloc(1, sizeof(*t));

	t->spec = *spec;
	t->ends = *e;
	flow_init(t, FLOW_D, 'D', e->daemon_io, e->filter_io);
	flow_init(t, FLOW_F, 'F', e->filter_io, e->daemon_out != -1 ?
	    e->daemon_out : e->daemon_io);
	flow_init(t, FLOW_E, 'E', e->filter_err, e->daemon_err);
	/* held lines are due more finely than answers are owed */
	if (spec->faults != NULL)
		every.tv_usec = 5000;
	t->tick = event_new(spec->base, -1, EV_PERSIST, tick, t);
	event_add(t->tick, &every);
	return t;
}

void
tap_ended(struct tap *t, int status)
{
	int i;

	/* its last words first */
	for (i = FLOW_F; i < FLOWS; i++)
		while (!t->flow[i].ended && flow_read(&t->flow[i]))
			;
	if (t->spec.log != NULL)
		filter_log_note(t->spec.log, tap_now(t), "%s %d",
		    (status & 0x7f) ? "kill" : "exit",
		    (status & 0x7f) ? status & 0x7f : status >> 8 & 0xff);
	if (t->spec.judge != NULL)
		filter_judge_exit(t->spec.judge, tap_now(t), status);
}

int
tap_closed(const struct tap *t)
{
	return t->flow[FLOW_F].ended;
}

void
tap_look(const struct tap *t, struct filter_start *fs)
{
	const struct flow *f = &t->flow[FLOW_F];

	if (f->ended)
		filter_start_closed(fs);
	if (f->partial.len > 0)
		filter_start_partial(fs, f->partial.data, f->partial.len);
}

static void
end_close(int fd)
{
	if (fd != -1)
		close(fd);
}

void
tap_free(struct tap *t)
{
	struct held *h;
	int i;

	if (t == NULL)
		return;
	for (i = 0; i < FLOWS; i++) {
		if (t->flow[i].rev != NULL)
			event_free(t->flow[i].rev);
		if (t->flow[i].wev != NULL)
			event_free(t->flow[i].wev);
		while ((h = TAILQ_FIRST(&t->flow[i].held)) != NULL) {
			TAILQ_REMOVE(&t->flow[i].held, h, entry);
			buf_free(&h->text);
			free(h);
		}
		buf_free(&t->flow[i].partial);
		buf_free(&t->flow[i].pending);
	}
	event_free(t->tick);
	end_close(t->ends.daemon_io);
	end_close(t->ends.daemon_out);
	end_close(t->ends.daemon_err);
	end_close(t->ends.filter_io);
	end_close(t->ends.filter_err);
	free(t);
}
