#ifndef SMTPDTEST_LISTENER_H
#define SMTPDTEST_LISTENER_H

#include "run.h"

/*
 * What the actors that are connected to share: options listen=, connections=
 * and unused; each connection holds the dialogue anew.  These are the hooks of
 * the same names of struct actor_kind; accepted is called with a new session
 * on its channel, before its first step.
 */
#define LISTENER_OPTS \
	{ "listen",	OPT_ADDR }, \
	{ "connections", OPT_RANGE }, \
	{ "unused",	OPT_WORD }

void	 listener_check(struct parser *, struct role *);
int	 listener_prepare(struct actor *, void (*accepted)(struct session *));
int	 listener_start(struct actor *);
/* One of the connections was not used, and is as if it had not been. */
void	 listener_idle(struct actor *);
/* Did somebody come, or nobody if it is "unused"? */
void	 listener_judge(const struct actor *);
void	 listener_stop(struct actor *);

#endif
