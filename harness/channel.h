#ifndef SMTPDTEST_CHANNEL_H
#define SMTPDTEST_CHANNEL_H

#include <event2/event.h>
#include <openssl/ssl.h>

#include "choice.h"
#include "util.h"

/*
 * Bytes either way over one descriptor, in the clear or under TLS.  A dialogue
 * does not know which.  wake(arg) is called whenever something has changed:
 * input, all output written, an end, a handshake finished.
 */
enum channel_end {
	END_NONE,
	END_FIN,		/* the other side closed in good order */
	END_RST			/* reset, or the connection could not be had */
};

struct channel {
	int		 fd;
	struct event	*rev, *wev, *pause;
	struct event_base *base;
	SSL		*ssl;
	int		 connecting;
	int		 handshake;	/* 1 going on, 0 not, -1 failed, 2 done */
	char		 why[160];	/* of a failed handshake or connect */
	struct buf	 in, out;
	enum channel_end end;
	int		 half;		/* we have closed our side */
	int		 dead;		/* nothing can be written any more */
	/* segmented writing: sizes drawn from stream, us between them */
	struct stream	*stream;
	struct range	 segment;	/* lo 0: off */
	uint64_t	 gap;
	void		(*wake)(void *);
	void		*arg;
};

/* Takes over a connected or (connecting set) connecting descriptor. */
struct channel *channel_new(struct event_base *, int fd, int connecting,
		    void (*wake)(void *), void *arg);
void	 channel_free(struct channel *);	/* closes with FIN if still open */
void	 channel_write(struct channel *, const void *, size_t);
int	 channel_flushed(const struct channel *);
/* Read what is there already, without waking anybody. */
void	 channel_look(struct channel *);
/* Begin TLS over what we have; input not read yet belongs to TLS. */
void	 channel_tls(struct channel *, SSL_CTX *, int server, const char *name);
void	 channel_half_close(struct channel *);
void	 channel_fin(struct channel *);		/* close both sides */
void	 channel_rst(struct channel *);

/* One context each for a run; NULL after a message in err. */
SSL_CTX	*tls_client_ctx(const char *certs, char *err, size_t errlen);
SSL_CTX	*tls_server_ctx(const char *certs, char *err, size_t errlen);

#endif
