#ifndef SMTPDTEST_FILTER_RUN_H
#define SMTPDTEST_FILTER_RUN_H

#include <stddef.h>

struct filter_judge;
struct filters;
struct run;
struct session;

/*
 * The filters of a run: each is judged, and each that is a command is run
 * under a tap for that.
 */

/*
 * Look at smtpd.conf(5) before the daemon starts; actors is what is included
 * for filters that we are.  Returns the text to use instead, for the caller to
 * free, or NULL after run_error().
 */
char	*filters_conf(struct run *, const char *text, const char *actors);
int	 filters_tapped(const struct run *);	/* are there any? */
/* Have all under a tap registered, and live? */
int	 filters_ready(const struct run *);
/*
 * Why one of them is not going to be ready, a sentence with its own last words,
 * to be freed; or NULL while it may be.
 */
char	*filters_broken(struct run *);
/*
 * Nobody sees whether one without a tap is ready.  What can be said of one that
 * has ended, or else of the last of them: a sentence with its own last words, to
 * be freed; NULL if there is none.
 */
char	*filters_bare(const struct run *, int ended);
/*
 * As long as a filter is not ready smtpd greets nobody, and it ends with it: where
 * nobody was greeted yet, and filters_bare() has something to say, that is why, and
 * an error of the set-up.  Was it?
 */
int	 filters_blame(struct run *, int ended);
/*
 * A judge for a filter that we are: of smtpd alone.  NULL when there is none to
 * be (waived).  It stays the run's.
 */
struct filter_judge *filters_judge(struct run *, const char *name);
/* All is over: what is owed, and what the clients saw. */
void	 filters_finish(struct run *);
void	 filters_free(struct run *);

/* filter_wire.c: what clients of ours say and hear, against the reports. */
struct wires;
struct filter_line;
struct wires	*wires_new(void);
void	 wires_free(struct wires *);
/* A report or request of that filter. */
void	 wires_line(struct wires *, const char *filter,
	    const struct filter_line *);
void	 wires_judge(struct wires *, void (*)(void *, const char *filter,
	    const char *id, const char *demand, const char *got), void *arg);
/* Of a client session: a command, a reply, a message that was accepted. */
void	 wire_said(struct session *, const char *, size_t);
void	 wire_heard(struct session *, const char *);
void	 wire_accepted(struct session *, const char *, size_t);

#endif
