#ifndef SMTPDTEST_HTTP_H
#define SMTPDTEST_HTTP_H

#include "util.h"

/* A request of HTTP/1.x (RFC 9112), as a server sees it. */
struct http_request {
	char		*method;
	char		*path;
	char		*head;		/* the lines of the fields, LF between */
	struct buf	 body;		/* without its transfer coding */
};

/*
 * Take a whole request off the input.  1 when one was there; 0 when more has to
 * come; -1 when it is none, with a word in why.  What was in the request before
 * is freed.
 */
int	 http_request_take(struct buf *, struct http_request *,
	    const char **why);
void	 http_request_free(struct http_request *);

/*
 * The values of all fields of a name, LF between them, to be freed; NULL when
 * there is none.
 */
char	*http_field(const struct http_request *, const char *name);

/* What a status is called (RFC 9110 15), or "Status". */
const char *http_reason(int status);

#endif
