/*
 * A first look at a server that is not ours: whatever is wrong with it as a
 * whole is said once, and not by each scenario after its own timeouts.
 */
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "addr.h"
#include "probe.h"
#include "smtp.h"
#include "util.h"

#define MAX_REPLY	(64 * 1024)

struct probe {
	const char	*address;
	uint64_t	 us;
	int		 fd;
	struct buf	 in;
	char		*err;
	size_t		 errlen;
};

static int __attribute__((format(printf, 2, 3)))
fail(struct probe *p, const char *fmt, ...)
{
	char	 text[512];
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(p->err, p->errlen, "%s: %s", p->address, text);
	return -1;
}

/* Readable or writable before the end: 1; 0: the time is up. */
static int
ready(const struct probe *p, short events, uint64_t end)
{
	struct pollfd	 pfd = { .fd = p->fd, .events = events };
	uint64_t	 now;

	while ((now = now_us()) < end)
		if (poll(&pfd, 1, (int)((end - now) / 1000) + 1) > 0)
			return 1;
	return 0;
}

static int
connect_to(struct probe *p)
{
	struct sockaddr_storage	 ss;
	socklen_t		 len, size = sizeof(int);
	int			 error = 0;

	if (addr_parse(p->address, 25, &ss, &len) == -1)
		return fail(p, "not a numeric address");
	p->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0);
	if (p->fd == -1)
		return fail(p, "socket: %s", strerror(errno));
	if (connect(p->fd, (struct sockaddr *)&ss, len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		error = errno;
	else if (!ready(p, POLLOUT, now_us() + p->us))
		error = ETIMEDOUT;
	else
		getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	/* reset so soon, it was accepted: read() tells the same */
	return error == 0 || error == ECONNRESET ? 0 : fail(p, "nobody accepts "
	    "connections there: %s", strerror(error));
}

/* What was heard of something that is no reply, short enough for a line. */
static int
not_smtp(struct probe *p, const char *when)
{
	struct buf	 vis = { 0 };
	size_t		 n = strcspn(p->in.data, "\r\n");

	buf_addvis(&vis, p->in.data, n > 80 ? 80 : n);
	fail(p, "what listens there does not speak SMTP: %s it said \"%s%s\"",
	    when, vis.data == NULL ? "" : vis.data, n > 80 ? "..." : "");
	buf_free(&vis);
	return -1;
}

static int
silent(struct probe *p, const char *what)
{
	uint64_t	 s = p->us / 1000000;

	if (p->in.len == 0)
		return fail(p, "no %s within %llu s", what,
		    (unsigned long long)s);
	return fail(p, "no complete %s within %llu s, only %zu octets of it",
	    what, (unsigned long long)s, p->in.len);
}

/* Could it still become a reply?  Three digits, and what follows them. */
static int
begins_well(const struct buf *b)
{
	static const char *const sets[] = { "2345", "0123456789", "0123456789",
	    " -\r\n" };
	size_t	 i;

	for (i = 0; i < nitems(sets) && i < b->len; i++)
		if (b->data[i] == '\0' || strchr(sets[i], b->data[i]) == NULL)
			return 0;
	return 1;
}

/* One reply; its code, or -1.  what it is and when it is heard, for the message. */
static int
hear(struct probe *p, const char *what, const char *when)
{
	uint64_t	 end = now_us() + p->us;
	struct reply	 r;
	char		 in[4096];
	size_t		 n;
	ssize_t		 got;
	int		 code;

	for (;;) {
		if (!begins_well(&p->in))
			return not_smtp(p, when);
		n = p->in.len == 0 ? 0 : reply_parse(p->in.data, p->in.len, &r);
		if (n > 0) {
			code = r.code;
			buf_drain(&p->in, n);
			reply_free(&r);
			return code;
		}
		if (p->in.len > MAX_REPLY)
			return fail(p, "the %s has no end: more than %d octets",
			    what, MAX_REPLY);
		if (!ready(p, POLLIN, end))
			return silent(p, what);
		got = read(p->fd, in, sizeof(in));
		if (got == 0 || (got == -1 && (errno == ECONNRESET ||
		    errno == EPIPE || errno == ENOTCONN)))
			return fail(p, "it closed the connection without a %s",
			    what);
		if (got == -1 && errno != EAGAIN && errno != EINTR)
			return fail(p, "%s", strerror(errno));
		if (got > 0)
			buf_add(&p->in, in, (size_t)got);
	}
}

static int
greet(struct probe *p)
{
	static const char	 ehlo[] = "EHLO client.example\r\n",
	    quit[] = "QUIT\r\n";
	int			 code;

	if (connect_to(p) == -1 ||
	    (code = hear(p, "greeting", "instead of a greeting")) == -1)
		return -1;
	if (code != 220)
		return fail(p, "it does not serve us: its greeting is %d",
		    code);
	/* that it is gone is told by what is heard */
	(void)send(p->fd, ehlo, strlen(ehlo), MSG_NOSIGNAL);
	if (hear(p, "reply to EHLO", "to EHLO") == -1)
		return -1;
	(void)send(p->fd, quit, strlen(quit), MSG_NOSIGNAL);
	return 0;
}

int
probe_server(const char *address, uint64_t us, char *err, size_t errlen)
{
	struct probe	 p = { .address = address, .us = us, .fd = -1,
	    .err = err, .errlen = errlen };
	int		 rc = greet(&p);

	if (p.fd != -1)
		close(p.fd);
	buf_free(&p.in);
	return rc;
}
