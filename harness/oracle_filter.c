/* What goes between smtpd and its filters keeps to smtpd-filters(7). */
#include <stdlib.h>
#include <string.h>

#include "oracle_filter.h"
#include "run.h"

struct filter_watch {
	TAILQ_ENTRY(filter_watch) entry;
	struct run	*run;
	char		*name;
	struct filter_judge *judge;
	struct buf	 line;		/* said by the filter, not ended yet */
};

static void
object(void *arg, const struct filter_objection *o)
{
	struct filter_watch *w = arg;

	/* a daemon that ends by itself leaves things undone */
	if (!exit_expected(w->run))
		oracle_object(w->run, &oracle_filter, w->name, "%s: %s; got: %s",
		    o->id, o->text, o->got);
}

struct filter_watch *
filter_watch_new(struct run *run, const char *name,
    const struct filter_facts *facts)
{
	struct filter_watch *w = xcalloc(1, sizeof(*w));

	w->run = run;
	w->name = xstrdup(name);
	w->judge = filter_judge_new(name, facts, object, w);
	TAILQ_INSERT_TAIL(&run->watches, w, entry);
	return w;
}

void
filter_watch_heard(struct filter_watch *w, const char *line, size_t len)
{
	filter_judge_line(w->judge, 'D', now_us() - w->run->t0, line, len, 1);
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
		filter_judge_line(w->judge, 'F', now_us() - w->run->t0,
		    w->line.data + done, len, 1);
		done += len + 1;
	}
	buf_drain(&w->line, done);
}

static void
filter_finish(struct run *run)
{
	struct filter_watch *w;

	if (!run->daemon.exited)
		TAILQ_FOREACH(w, &run->watches, entry)
			filter_judge_end(w->judge, now_us() - run->t0);
}

void
filter_watch_free(struct run *run)
{
	struct filter_watch *w;

	while ((w = TAILQ_FIRST(&run->watches)) != NULL) {
		TAILQ_REMOVE(&run->watches, w, entry);
		filter_judge_free(w->judge);
		buf_free(&w->line);
		free(w->name);
		free(w);
	}
}

const struct oracle oracle_filter = {
	.name = "filter",
	.text = "smtpd and its filters keep to smtpd-filters(7)",
	.finish = filter_finish,
	.daemon = 1,
};
