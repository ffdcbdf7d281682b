#include <sys/types.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

/* Arenas: chunks in a list, the newest first; big requests get their own. */

#define ARENA_CHUNK	(64 * 1024)
#define ARENA_ALIGN	_Alignof(max_align_t)

struct chunk {
	struct chunk	*next;
	size_t		 used;
	size_t		 size;
	_Alignas(max_align_t) unsigned char data[];
};

struct arena {
	struct chunk	*chunks;
};

struct arena *
arena_new(void)
{
	return xcalloc(1, sizeof(struct arena));
}

void
arena_free(struct arena *a)
{
	struct chunk	*c, *next;

	if (a == NULL)
		return;
	for (c = a->chunks; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
}

static struct chunk *
chunk_new(size_t size)
{
	struct chunk	*c;

	if (size > SIZE_MAX - sizeof(*c))
		errx(2, "out of memory");
	c = xcalloc(1, sizeof(*c) + size);
	c->size = size;
	return c;
}

/*
 * A chunk for n bytes.  A big one goes behind the current chunk, which keeps
 * its free space.
 */
static struct chunk *
arena_grow(struct arena *a, size_t n)
{
	struct chunk	*c;

	c = chunk_new(n > ARENA_CHUNK / 4 ? n : ARENA_CHUNK);
	if (c->size == n && a->chunks != NULL) {
		c->next = a->chunks->next;
		a->chunks->next = c;
	} else {
		c->next = a->chunks;
		a->chunks = c;
	}
	return c;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	struct chunk	*c = a->chunks;
	void		*p;

	if (n > SIZE_MAX - ARENA_ALIGN)
		errx(2, "out of memory");
	n = (n + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
	if (c == NULL || c->size - c->used < n)
		c = arena_grow(a, n);
	p = c->data + c->used;
	c->used += n;
	return p;
}

char *
arena_strndup(struct arena *a, const char *s, size_t n)
{
	char	*p;

	n = strnlen(s, n);
	p = arena_alloc(a, n + 1);
	memcpy(p, s, n);
	return p;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, SIZE_MAX);
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list	 ap;
	char	*p;
	int	 n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		err(2, "vsnprintf");
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

/* Room for n more bytes and the NUL. */
static void
buf_reserve(struct buf *b, size_t n)
{
	size_t	 cap = b->cap ? b->cap : 64;

	if (n >= SIZE_MAX / 2 - b->len)
		errx(2, "out of memory");
	if (b->len + n < b->cap)
		return;
	while (cap <= b->len + n)
		cap *= 2;
	b->data = xreallocarray(b->data, cap, 1);
	b->cap = cap;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	buf_reserve(b, n);
	if (n > 0)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void
buf_addstr(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list	 ap;
	int	 n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		err(2, "vsnprintf");
	buf_reserve(b, (size_t)n);
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

/* Bytes a person can read and tell apart: escapes as in C, \xNN otherwise. */
void
buf_addvis(struct buf *b, const void *data, size_t n)
{
	static const char	 from[] = "\r\n\t\\", to[] = "rnt\\";
	const unsigned char	*p = data;
	const char		*e;
	size_t			 i;

	buf_reserve(b, n);
	b->data[b->len] = '\0';
	for (i = 0; i < n; i++) {
		if (p[i] != '\0' && (e = strchr(from, p[i])) != NULL)
			buf_addf(b, "\\%c", to[e - from]);
		else if (p[i] < ' ' || p[i] > '~')
			buf_addf(b, "\\x%02x", p[i]);
		else
			buf_add(b, &p[i], 1);
	}
}

char *
buf_lastline(const struct buf *b)
{
	struct buf	 out = { 0 };
	size_t		 from, end = b->len;

	while (end > 0 && strchr("\n\r\t ", b->data[end - 1]) != NULL)
		end--;
	for (from = end; from > 0 && b->data[from - 1] != '\n'; from--)
		;
	if (from < end)
		buf_addvis(&out, b->data + from, end - from);
	return out.data;
}

void
buf_drain(struct buf *b, size_t n)
{
	if (n >= b->len) {
		buf_reset(b);
		return;
	}
	b->len -= n;
	memmove(b->data, b->data + n, b->len + 1);
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

void
buf_free(struct buf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

void *
xcalloc(size_t n, size_t size)
{
	void	*p;

	if ((p = calloc(n, size)) == NULL && n > 0 && size > 0)
		err(2, "calloc");
	return p;
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	if ((p = reallocarray(p, n, size)) == NULL && n > 0 && size > 0)
		err(2, "reallocarray");
	return p;
}

char *
xstrdup(const char *s)
{
	char	*p;

	if ((p = strdup(s)) == NULL)
		err(2, "strdup");
	return p;
}

char *
xasprintf(const char *fmt, ...)
{
	va_list	 ap;
	char	*p;

	va_start(ap, fmt);
	if (vasprintf(&p, fmt, ap) == -1)
		err(2, "vasprintf");
	va_end(ap);
	return p;
}

uint64_t
now_us(void)
{
	struct timespec	 ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1)
		err(2, "clock_gettime");
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t
fnv64(const void *data, size_t n)
{
	const unsigned char	*p = data;
	uint64_t		 h = 0xcbf29ce484222325ULL;

	while (n-- > 0) {
		h ^= *p++;
		h *= 0x100000001b3ULL;
	}
	return h;
}

int
write_all(int fd, const void *data, size_t n)
{
	const char	*p = data;
	ssize_t		 w;

	while (n > 0) {
		if ((w = write(fd, p, n)) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

/* Up to the end; more than max bytes is an error (EFBIG), never cut. */
char *
read_fd(int fd, size_t *len, size_t max)
{
	struct buf	 b = { 0 };
	char		 tmp[16384];
	ssize_t		 n;
	int		 save;

	buf_add(&b, NULL, 0);
	while ((n = read(fd, tmp, sizeof(tmp))) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n != -1 && (size_t)n > max - b.len) {
			n = -1;
			errno = EFBIG;
		}
		if (n == -1) {
			save = errno;
			buf_free(&b);
			errno = save;
			return NULL;
		}
		buf_add(&b, tmp, (size_t)n);
	}
	if (len != NULL)
		*len = b.len;
	return b.data;
}

char *
read_file(const char *path, size_t *len, size_t max)
{
	char	*text;
	int	 fd, save;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return NULL;
	text = read_fd(fd, len, max);
	save = errno;
	close(fd);
	errno = save;
	return text;
}

/* Appends; returns the number of characters added. */
int
base64_encode(struct buf *b, const void *data, size_t n)
{
	static const char	 abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char	*p = data;
	size_t			 start = b->len, i;
	uint32_t		 v;
	char			 q[4];

	buf_add(b, NULL, 0);
	for (i = 0; i < n; i += 3) {
		v = (uint32_t)p[i] << 16;
		v |= i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0;
		v |= i + 2 < n ? p[i + 2] : 0;
		q[0] = abc[v >> 18];
		q[1] = abc[v >> 12 & 63];
		q[2] = i + 1 < n ? abc[v >> 6 & 63] : '=';
		q[3] = i + 2 < n ? abc[v & 63] : '=';
		buf_add(b, q, sizeof(q));
	}
	return (int)(b->len - start);
}

void
set_cloexec(int fd)
{
	int	 flags;

	if ((flags = fcntl(fd, F_GETFD)) == -1 ||
	    fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == -1)
		err(2, "fcntl");
}

void
set_nonblock(int fd)
{
	int	 flags;

	if ((flags = fcntl(fd, F_GETFL)) == -1 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
		err(2, "fcntl");
}
