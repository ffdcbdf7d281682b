#ifndef SMTPDTEST_ACCOUNT_H
#define SMTPDTEST_ACCOUNT_H

#include "run.h"

/*
 * Who was promised what, and what arrived where.  A message is known by a
 * digest of its body with LF line ends and dots unstuffed; its header is kept.
 */
struct account;

enum promise {
	PROMISE_MADE,		/* 250 to the end of data */
	PROMISE_REFUSED,	/* 4yz or 5yz: nothing may arrive */
	PROMISE_OPEN		/* the client left without the reply: 0 or 1 */
};

/* A message as it came out somewhere. */
struct arrival {
	TAILQ_ENTRY(arrival) entry;
	const char	*place;		/* "maildir alice", "mbox bob", "smtp mx" */
	char		*rcpt;		/* Delivered-To, or RCPT TO */
	const char	*text;		/* LF line ends */
	size_t		 len;
	size_t		 size;		/* when all of it was there */
	struct text	*shared;
	uint64_t	 digest;	/* of the body */
	int		 claimed;	/* a promise or an expectation explains it */
};
TAILQ_HEAD(arrivals, arrival);

struct account	*account_new(void);
void		 account_free(struct account *);

/* text as sent, with CRLF and stuffed dots; rcpts are paths. */
void	 account_promise(struct account *, enum promise, const char *who,
	    const char *sender, char *const *rcpts, size_t nrcpts,
	    const char *text, size_t len);
/* text with CRLF or LF line ends, unstuffed. */
void	 account_arrive(struct account *, const char *place, const char *rcpt,
	    const char *text, size_t len);
/* The same message for several at once. */
void	 account_arrive_all(struct account *, const char *place,
	    char *const *rcpts, size_t nrcpts, const char *text, size_t len);
/*
 * Nobody is going to look at the texts: of those whose body is what was
 * promised only the header is kept from here on.
 */
void	 account_headers_only(struct account *);
const struct arrivals *account_arrivals(const struct account *);
/* Promises made and arrivals due for them: what "settled" waits for. */
unsigned long account_due(const struct account *);
unsigned long account_arrived(const struct account *);
unsigned long account_promised(const struct account *);
/* Is this recipient (of a promise) said to go elsewhere? */
void	 account_fate(struct account *, const char *rcpt, int copies);
/* What is promised to this recipient may arrive for that one. */
void	 account_forward(struct account *, const char *rcpt, const char *to);
/* Fields of this name (kept, not copied) are a filter's to add, change or drop. */
void	 account_field(struct account *, const char *);
/* In so many arrivals was it not as it had been sent. */
unsigned long account_field_used(struct account *, const char *);
/*
 * Who lost its memory in between may deliver again what it has delivered, or a
 * part of it before.
 */
void	 account_may_repeat(struct account *);
/* Every (message, recipient) whose arrivals differ from what is due. */
void	 account_judge(struct account *, void (*)(void *, const char *),
	    void *);
/* Same mailbox?  The domain ignores case, and so do we for the local part. */
int	 same_rcpt(const char *, const char *);

/* What lies in the sandbox's mail directories and queue, into the account. */
void	 collect_mail(struct run *);
/* Envelopes in the queue; the recipient of each to fn. */
int	 collect_queue(struct run *, void (*)(void *, const char *), void *);

#endif
