#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"

#define HEAD_MAX	(64 * 1024)

void
http_request_free(struct http_request *r)
{
	free(r->method);
	free(r->path);
	free(r->head);
	buf_free(&r->body);
	memset(r, 0, sizeof(*r));
}

static char *
copy(const char *s, size_t len)
{
	char *p = xcalloc(1, len + 1);

	memcpy(p, s, len);
	return p;
}

/* METHOD PATH HTTP/1.x */
static int
take_line(struct http_request *r, const char *s, size_t len)
{
	const char *a, *b;

	if ((a = memchr(s, ' ', len)) == NULL || a == s ||
	    (b = memchr(a + 1, ' ', len - (size_t)(a + 1 - s))) == NULL ||
	    (size_t)(s + len - b) != strlen(" HTTP/1.1") ||
	    strncmp(b, " HTTP/1.", 8) != 0)
		return -1;
	r->method = copy(s, (size_t)(a - s));
	r->path = copy(a + 1, (size_t)(b - a - 1));
	return 0;
}

/* Fields as lines with LF. */
static void
take_fields(struct http_request *r, const char *s, size_t len)
{
	size_t i, n = 0;

	r->head = xcalloc(1, len + 1);
	for (i = 0; i < len; i++)
		if (s[i] != '\r')
			r->head[n++] = s[i];
}

/* Chunks (RFC 9112 7.1): octets taken, 0 for more, -1. */
static long
take_chunks(struct http_request *r, const char *s, size_t len)
{
	const char *nl;
	size_t at = 0;
	unsigned long n;
	char *e;

	for (;;) {
		if ((nl = memchr(s + at, '\n', len - at)) == NULL)
			return len - at > 1024 ? -1 : 0;
		n = strtoul(s + at, &e, 16);
		if (e == s + at || e > nl || n > (256UL << 20))
			return -1;
		at = (size_t)(nl + 1 - s);
		/* the last has no octets; trailers are not in use */
		if (len - at < n + 2)
			return 0;
		if (memcmp(s + at + n, "\r\n", 2) != 0)
			return -1;
		if (n == 0)
			return (long)at + 2;
		buf_add(&r->body, s + at, n);
		at += n + 2;
	}
}

static long
take_body(struct http_request *r, const char *s, size_t len)
{
	char *coding = http_field(r, "Transfer-Encoding");
	char *length = http_field(r, "Content-Length");
	unsigned long n;
	long taken = 0;

	if (coding != NULL)
		taken = strcasecmp(coding, "chunked") != 0 ? -1 :
		    take_chunks(r, s, len);
	else if (length != NULL) {
		n = strtoul(length, NULL, 10);
		taken = len < n ? -2 : (long)n;
		if (taken >= 0)
			buf_add(&r->body, s, n);
	}
	/* only chunks have an end of their own, so 0 is nothing to come */
	if (coding != NULL && taken == 0)
		taken = -2;
	free(coding);
	free(length);
	return taken;
}

int
http_request_take(struct buf *in, struct http_request *r, const char **why)
{
	const char *end, *nl;
	size_t head;
	long body;

	http_request_free(r);
	if (in->len == 0)
		return 0;
	if ((end = memmem(in->data, in->len, "\r\n\r\n", 4)) == NULL) {
		*why = "a head without an end";
		return in->len > HEAD_MAX ? -1 : 0;
	}
	nl = memchr(in->data, '\r', in->len);
	if (take_line(r, in->data, (size_t)(nl - in->data)) == -1) {
		*why = "no request line";
		return -1;
	}
	if (nl < end)
		take_fields(r, nl + 2, (size_t)(end - nl - 2));
	else
		r->head = xstrdup("");
	head = (size_t)(end - in->data) + 4;
	body = take_body(r, in->data + head, in->len - head);
	if (body == -1) {
		*why = "a body in no coding known here";
		return -1;
	}
	if (body == -2)
		return 0;
	buf_drain(in, head + (size_t)body);
	return 1;
}

char *
http_field(const struct http_request *r, const char *name)
{
	const char *s = r->head, *v;
	struct buf b = { 0 };
	size_t n, len = strlen(name);
	int found = 0;

	for (; *s != '\0'; s += n + (s[n] == '\n')) {
		n = strcspn(s, "\n");
		if (n <= len || strncasecmp(s, name, len) != 0 || s[len] != ':')
			continue;
		v = s + len + 1;
		v += strspn(v, " \t");
		if (found++)
			buf_addstr(&b, "\n");
		buf_add(&b, v, (size_t)(s + n - v));
	}
	if (!found)
		return NULL;
	buf_add(&b, "", 0);
	return b.data;
}

static const struct {
	int		 status;
	const char	*reason;
} reasons[] = {
	{ 200, "OK" },
	{ 204, "No Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 400, "Bad Request" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 429, "Too Many Requests" },
	{ 500, "Internal Server Error" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
};

const char *
http_reason(int status)
{
	size_t i;

	for (i = 0; i < nitems(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}
