#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "channel.h"

/* More than this unread, and we let the other side wait. */
#define MAX_UNREAD	(4 * 1024 * 1024)

static void
channel_lost(struct channel *ch, enum channel_end end)
{
	if (ch->end == END_NONE)
		ch->end = end;
	if (end == END_RST) {
		ch->dead = 1;
		buf_reset(&ch->out);
	}
	event_del(ch->rev);
}

static void
tls_reason(struct channel *ch, const char *fallback)
{
	unsigned long e = ERR_get_error();

	snprintf(ch->why, sizeof(ch->why), "%s", e == 0 ? fallback :
	    ERR_reason_error_string(e) != NULL ? ERR_reason_error_string(e) :
	    fallback);
	ERR_clear_error();
}

/* 1 when done, 0 when it has to wait, -1 when it failed. */
static int
channel_handshake(struct channel *ch)
{
	int n, e;

	ERR_clear_error();
	errno = 0;
	if ((n = SSL_do_handshake(ch->ssl)) == 1) {
		ch->handshake = 2;
		return 1;
	}
	e = SSL_get_error(ch->ssl, n);
	if (e == SSL_ERROR_WANT_READ)
		return 0;
	if (e == SSL_ERROR_WANT_WRITE) {
		event_add(ch->wev, NULL);
		return 0;
	}
	ch->handshake = -1;
	if (e == SSL_ERROR_SYSCALL && errno == ECONNRESET)
		channel_lost(ch, END_RST);
	else if (e == SSL_ERROR_SYSCALL || e == SSL_ERROR_ZERO_RETURN)
		channel_lost(ch, END_FIN);
	tls_reason(ch, ch->end == END_RST ? "connection reset" :
	    "connection closed");
	return -1;
}

static void
read_tls(struct channel *ch)
{
	char data[16384];
	int n, e;

	while (ch->in.len < MAX_UNREAD) {
		ERR_clear_error();
		errno = 0;
		if ((n = SSL_read(ch->ssl, data, sizeof(data))) > 0) {
			buf_add(&ch->in, data, (size_t)n);
			continue;
		}
		e = SSL_get_error(ch->ssl, n);
		if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
			return;
		channel_lost(ch, errno == ECONNRESET ? END_RST : END_FIN);
		return;
	}
}

static void
read_plain(struct channel *ch)
{
	char data[65536];
	ssize_t n;

	while (ch->in.len < MAX_UNREAD) {
		if ((n = read(ch->fd, data, sizeof(data))) > 0) {
			buf_add(&ch->in, data, (size_t)n);
			/* less than asked for was all there is; an end calls again */
			if ((size_t)n < sizeof(data))
				return;
			continue;
		}
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		channel_lost(ch, n == 0 ? END_FIN : END_RST);
		return;
	}
}

/* One write; what it wrote, 0 when it has to wait, -1 when all is lost. */
static ssize_t
write_some(struct channel *ch, size_t len)
{
	ssize_t n;
	int e;

	if (ch->ssl != NULL && ch->handshake == 2) {
		ERR_clear_error();
		if ((n = SSL_write(ch->ssl, ch->out.data, (int)len)) > 0)
			return n;
		e = SSL_get_error(ch->ssl, (int)n);
		return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ?
		    0 : -1;
	}
	n = send(ch->fd, ch->out.data, len, MSG_NOSIGNAL);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n;
}

static int
channel_connected(struct channel *ch)
{
	int e = 0;
	socklen_t len = sizeof(e);

	ch->connecting = 0;
	if (getsockopt(ch->fd, SOL_SOCKET, SO_ERROR, &e, &len) == -1)
		e = errno;
	if (e == 0) {
		event_add(ch->rev, NULL);
		return 1;
	}
	snprintf(ch->why, sizeof(ch->why), "%s", strerror(e));
	/* reset already, but perhaps not before something was said */
	read_plain(ch);
	ch->end = END_NONE;
	channel_lost(ch, END_RST);
	return 0;
}

static size_t
segment_len(struct channel *ch)
{
	uint64_t n;

	if (ch->segment.lo == 0)
		return ch->out.len;
	n = choice_draw(ch->stream, "segment", ch->segment);
	return n < ch->out.len ? (size_t)n : ch->out.len;
}

static void
channel_flush(struct channel *ch)
{
	struct timeval tv;
	ssize_t n;

	if (ch->connecting || ch->handshake == 1 || ch->dead)
		return;
	while (ch->out.len > 0) {
		if (evtimer_pending(ch->pause, NULL))
			return;
		n = write_some(ch, segment_len(ch));
		if (n == -1) {
			/* what the other side still had to say can be read */
			ch->dead = 1;
			buf_reset(&ch->out);
			return;
		}
		if (n == 0) {
			event_add(ch->wev, NULL);
			return;
		}
		buf_drain(&ch->out, (size_t)n);
		if (ch->gap > 0 && ch->out.len > 0) {
			tv.tv_sec = (time_t)(ch->gap / 1000000);
			tv.tv_usec = (suseconds_t)(ch->gap % 1000000);
			evtimer_add(ch->pause, &tv);
		}
	}
}

static void
channel_readable(int fd, short what, void *arg)
{
	struct channel *ch = arg;

	(void)fd;
	(void)what;
	if (ch->handshake == 1 && channel_handshake(ch) != 1) {
		if (ch->handshake == -1)
			ch->wake(ch->arg);
		return;
	}
	if (ch->ssl != NULL && ch->handshake == 2) {
		read_tls(ch);
		/* what was said before the handshake was over */
		channel_flush(ch);
	} else if (ch->handshake != -1)
		read_plain(ch);
	ch->wake(ch->arg);
}

static void
channel_writable(int fd, short what, void *arg)
{
	struct channel *ch = arg;

	(void)fd;
	(void)what;
	if (ch->connecting && !channel_connected(ch)) {
		ch->wake(ch->arg);
		return;
	}
	if (ch->handshake == 1)
		channel_handshake(ch);
	channel_flush(ch);
	if (ch->out.len == 0)
		ch->wake(ch->arg);
}

static void
channel_paused(int fd, short what, void *arg)
{
	channel_writable(fd, what, arg);
}

void
channel_look(struct channel *ch)
{
	if (ch->fd == -1 || ch->connecting || ch->end != END_NONE)
		return;
	if (ch->ssl == NULL)
		read_plain(ch);
	else if (ch->handshake == 2)
		read_tls(ch);
}

struct channel *
channel_new(struct event_base *base, int fd, int connecting,
    void (*wake)(void *), void *arg)
{
	struct channel *ch = xcalloc(1, sizeof(*ch));
	int one = 1;

	ch->fd = fd;
	ch->base = base;
	ch->connecting = connecting;
	ch->wake = wake;
	ch->arg = arg;
	set_nonblock(fd);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ch->rev = event_new(base, fd, EV_READ | EV_PERSIST, channel_readable,
	    ch);
	ch->wev = event_new(base, fd, EV_WRITE, channel_writable, ch);
	ch->pause = evtimer_new(base, channel_paused, ch);
	if (connecting)
		event_add(ch->wev, NULL);
	else
		event_add(ch->rev, NULL);
	return ch;
}

static void
channel_close(struct channel *ch)
{
	if (ch->fd == -1)
		return;
	event_del(ch->rev);
	event_del(ch->wev);
	evtimer_del(ch->pause);
	close(ch->fd);
	ch->fd = -1;
	ch->dead = 1;
}

void
channel_free(struct channel *ch)
{
	channel_close(ch);
	SSL_free(ch->ssl);
	event_free(ch->rev);
	event_free(ch->wev);
	event_free(ch->pause);
	buf_free(&ch->in);
	buf_free(&ch->out);
	free(ch);
}

void
channel_write(struct channel *ch, const void *data, size_t len)
{
	if (ch->dead || ch->half || ch->fd == -1)
		return;
	buf_add(&ch->out, data, len);
	channel_flush(ch);
}

int
channel_flushed(const struct channel *ch)
{
	return ch->out.len == 0;
}

void
channel_tls(struct channel *ch, SSL_CTX *ctx, int server, const char *name)
{
	ch->ssl = SSL_new(ctx);
	SSL_set_fd(ch->ssl, ch->fd);
	SSL_set_mode(ch->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (server)
		SSL_set_accept_state(ch->ssl);
	else {
		SSL_set_connect_state(ch->ssl);
		if (name != NULL) {
			SSL_set_tlsext_host_name(ch->ssl, name);
			SSL_set1_host(ch->ssl, name);
		}
	}
	ch->handshake = 1;
	if (!ch->connecting)
		channel_handshake(ch);
}

void
channel_half_close(struct channel *ch)
{
	if (ch->fd == -1 || ch->half)
		return;
	if (ch->ssl != NULL && ch->handshake == 2)
		SSL_shutdown(ch->ssl);
	shutdown(ch->fd, SHUT_WR);
	ch->half = 1;
}

void
channel_fin(struct channel *ch)
{
	channel_half_close(ch);
	channel_close(ch);
}

void
channel_rst(struct channel *ch)
{
	struct linger l = { 1, 0 };

	if (ch->fd == -1)
		return;
	setsockopt(ch->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	channel_close(ch);
}

static SSL_CTX *
tls_ctx(const SSL_METHOD *method, char *err, size_t errlen)
{
	SSL_CTX *ctx;

	if ((ctx = SSL_CTX_new(method)) == NULL)
		snprintf(err, errlen, "OpenSSL: no context");
	else
		SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	return ctx;
}

SSL_CTX *
tls_client_ctx(const char *certs, char *err, size_t errlen)
{
	SSL_CTX *ctx = tls_ctx(TLS_client_method(), err, errlen);
	char *path;

	if (ctx != NULL && certs != NULL) {
		path = xasprintf("%s/ca.crt", certs);
		/* only "tls verify" asks for more than encryption */
		SSL_CTX_load_verify_locations(ctx, path, NULL);
		ERR_clear_error();
		free(path);
	}
	return ctx;
}

SSL_CTX *
tls_server_ctx(const char *certs, char *err, size_t errlen)
{
	SSL_CTX *ctx = tls_ctx(TLS_server_method(), err, errlen);
	char *crt, *key;

	if (ctx == NULL || certs == NULL)
		return ctx;
	crt = xasprintf("%s/server.crt", certs);
	key = xasprintf("%s/server.key", certs);
	if (SSL_CTX_use_certificate_chain_file(ctx, crt) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		snprintf(err, errlen, "%s: no usable certificate and key",
		    certs);
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	ERR_clear_error();
	free(crt);
	free(key);
	return ctx;
}
