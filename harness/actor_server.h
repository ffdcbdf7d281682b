#ifndef SMTPDTEST_ACTOR_SERVER_H
#define SMTPDTEST_ACTOR_SERVER_H

#include "run.h"

/* Did somebody come to this server, or nobody if it is "unused"? */
void	server_judge(const struct actor *);

#endif
