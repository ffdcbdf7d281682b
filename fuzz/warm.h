/*
 * What the daemon makes once, or lets grow and keeps, is made before the first
 * input, so that the same input always takes the same edges: see also
 * fuzz_warm_up().  smtpd.h comes first.
 */
#ifndef FUZZ_WARM_H
#define FUZZ_WARM_H

/* The buffer for messages to another process, as large as one can be. */
static inline void
warm_mproc(struct mproc *p)
{
	static const char most[MAX_IMSGSIZE - IMSG_HEADER_SIZE - sizeof(size_t)];

	m_create(p, 0, 0, 0, -1);
	m_add_data(p, most, sizeof(most));
}

#endif /* FUZZ_WARM_H */
