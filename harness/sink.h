#ifndef SMTPDTEST_SINK_H
#define SMTPDTEST_SINK_H

#include "run.h"

/*
 * The receiving side of SMTP or LMTP as a server session sees it: who was
 * accepted, and the message when it has been answered 250.
 */
struct sink;

struct sink	*sink_new(struct session *);
void		 sink_free(struct sink *);
/* A command was heard, a reply said: by the script or by "sink" itself. */
void		 sink_heard(struct sink *, const char *, size_t);
void		 sink_said(struct sink *, const char *, size_t);

#endif
