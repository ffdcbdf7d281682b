/*
 * What the daemon makes once, or lets grow and keeps, is made before the first
 * input, so that the same input always takes the same edges: see also
 * fuzz_warm_up().  smtpd.h comes first.
 */
#ifndef FUZZ_WARM_H
#define FUZZ_WARM_H

#include <sys/socket.h>

#include <err.h>

/* The buffer for messages to another process, as large as one can be. */
static inline void
warm_mproc(struct mproc *p)
{
	static const char most[MAX_IMSGSIZE - IMSG_HEADER_SIZE - sizeof(size_t)];

	m_create(p, 0, 0, 0, -1);
	m_add_data(p, most, sizeof(most));
}

/*
 * The daemon's end and ours of the way between two of its processes; both have
 * their handlers already.
 */
static inline void
warm_pair(struct mproc *mine, struct mproc *theirs, char *name)
{
	struct mproc *ends[] = { mine, theirs };
	int i, sp[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sp) == -1)
		err(1, "socketpair");
	for (i = 0; i < 2; i++) {
		ends[i]->name = name;
		mproc_init(ends[i], sp[i]);
		mproc_enable(ends[i]);
		warm_mproc(ends[i]);
	}
}

#endif /* FUZZ_WARM_H */
