/* What goes between smtpd and its filters and tables keeps to the protocols. */
#include <stdlib.h>
#include <string.h>

#include "filter_run.h"
#include "oracle_filter.h"
#include "run.h"
#include "table_judge.h"

struct filter_watch {
	TAILQ_ENTRY(filter_watch) entry;
	struct run	*run;
	char		*name;
	struct filter_judge *own;	/* or NULL: it is of filter_run.c */
	struct filter_judge *judge;	/* or */
	struct table_judge *table;
	struct buf	 line;		/* said by the filter, not ended yet */
};

static void
object(void *arg, const struct filter_objection *o)
{
	struct filter_watch *w = arg;

	filter_object(w->run, w->name, o->id, o->text, o->got);
}

/* Objections of before the daemon had started. */
static json_t *
early(struct run *run)
{
	if (run->early == NULL)
		run->early = json_array();
	return run->early;
}

void
filter_object(struct run *run, const char *name, const char *id,
    const char *demand, const char *got)
{
	char *text;

	/* a daemon that ends by itself leaves things undone */
	if (exit_expected(run))
		return;
	text = xasprintf("%s: %s", id, got);
	if (run->shaking > 0 ||
	    (!run->daemon.ready && run->daemon.actor != NULL))
		json_array_append_new(early(run), json_pack("[s, s, s]", name,
		    demand, text));
	else
		oracle_object_to(run, &oracle_filter, name, demand, text);
	free(text);
}

void
filter_objections_due(struct run *run)
{
	const char *name, *demand, *text;
	json_t *o;
	size_t i;

	json_array_foreach(run->early, i, o)
		if (json_unpack(o, "[s, s, s]", &name, &demand, &text) == 0)
			oracle_object_to(run, &oracle_filter, name, demand,
			    text);
	json_array_clear(run->early);
}

static struct filter_watch *
watch_new(struct run *run, const char *name)
{
	struct filter_watch *w = xcalloc(1, sizeof(*w));

	w->run = run;
	w->name = xstrdup(name);
	TAILQ_INSERT_TAIL(&run->watches, w, entry);
	return w;
}

struct filter_watch *
filter_watch_new(struct run *run, const char *name,
    const struct filter_facts *facts)
{
	struct filter_watch *w = watch_new(run, name);

	if (facts != NULL)
		w->judge = w->own = filter_judge_new(name, facts, object, w);
	return w;
}

struct filter_watch *
table_watch_new(struct run *run, const char *name, unsigned sides)
{
	struct filter_watch *w = watch_new(run, name);

	w->table = table_judge_new(sides, 0, object, w);
	return w;
}

static void
line(struct filter_watch *w, char dir, const char *text, size_t len)
{
	uint64_t usec = now_us() - w->run->t0;

	if (w->table != NULL) {
		table_judge_line(w->table, dir, usec, text, len);
		return;
	}
	/* smtpd.conf says what it needs to know, and is written by now */
	if (w->judge == NULL)
		w->judge = filters_judge(w->run, w->name);
	if (w->judge != NULL)
		filter_judge_line(w->judge, dir, usec, text, len, 1);
}

void
filter_watch_heard(struct filter_watch *w, const char *text, size_t len)
{
	line(w, 'D', text, len);
}

void
filter_watch_said(struct filter_watch *w, const char *text, size_t len)
{
	size_t done = 0;
	char *nl;

	buf_add(&w->line, text, len);
	while (done < w->line.len && (nl = memchr(w->line.data + done, '\n',
	    w->line.len - done)) != NULL) {
		len = (size_t)(nl - w->line.data) - done;
		line(w, 'F', w->line.data + done, len);
		done += len + 1;
	}
	buf_drain(&w->line, done);
}

static void
filter_finish(struct run *run)
{
	struct filter_watch *w;
	uint64_t usec = now_us() - run->t0;

	if (run->daemon.exited)
		return;
	filters_finish(run);
	TAILQ_FOREACH(w, &run->watches, entry)
		if (w->table != NULL)
			table_judge_end(w->table, usec);
		else if (w->own != NULL)
			filter_judge_end(w->own, usec);
}

void
filter_watch_free(struct run *run)
{
	struct filter_watch *w;

	json_decref(run->early);
	run->early = NULL;
	while ((w = TAILQ_FIRST(&run->watches)) != NULL) {
		TAILQ_REMOVE(&run->watches, w, entry);
		if (w->table != NULL)
			table_judge_free(w->table);
		filter_judge_free(w->own);
		buf_free(&w->line);
		free(w->name);
		free(w);
	}
}

const struct oracle oracle_filter = {
	.name = "filter",
	.text = "smtpd and its filters keep to smtpd-filters(7), and with "
	    "tables to smtpd-tables(7)",
	.finish = filter_finish,
	.daemon = 1,
};
