/* The log of a tap. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filter_log.h"
#include "util.h"

#define MAGIC		"# smtpdtest-tap 1"
#define LOG_MAX		((size_t)1 << 30)

struct filter_log {
	int		 fd;
	int		 error;		/* errno of the first write that failed */
	struct buf	 line;
};

static void
log_write(struct filter_log *l)
{
	buf_add(&l->line, "\n", 1);
	if (l->error == 0 && write_all(l->fd, l->line.data, l->line.len) == -1)
		l->error = errno;
	buf_reset(&l->line);
}

struct filter_log *
filter_log_open(const char *path)
{
	struct filter_log *l;
	int fd;

	if ((fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC |
	    O_APPEND, 0644)) == -1)
		return NULL;
	l = xcalloc(1, sizeof(*l));
	l->fd = fd;
	buf_addstr(&l->line, MAGIC);
	log_write(l);
	return l;
}

int
filter_log_close(struct filter_log *l)
{
	int error = l->error;

	if (close(l->fd) == -1 && error == 0)
		error = errno;
	buf_free(&l->line);
	free(l);
	errno = error;
	return error == 0 ? 0 : -1;
}

void
filter_log_line(struct filter_log *l, uint64_t usec, char dir, const char *text,
    size_t len, int terminated)
{
	size_t i, from;

	buf_addf(&l->line, "%llu %c%s ", (unsigned long long)usec, dir,
	    terminated ? "" : "~");
	for (i = from = 0; i < len; i++) {
		if (text[i] >= ' ' && text[i] <= '~' && text[i] != '\\')
			continue;
		buf_add(&l->line, text + from, i - from);
		buf_addf(&l->line, "\\x%02x", (unsigned char)text[i]);
		from = i + 1;
	}
	buf_add(&l->line, text + from, len - from);
	log_write(l);
}

void
filter_log_note(struct filter_log *l, uint64_t usec, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) == -1)
		text = NULL;
	va_end(ap);
	if (text != NULL)
		filter_log_line(l, usec, '-', text, strlen(text), 1);
	free(text);
}

/* --- reading -------------------------------------------------------------- */

static int
hexdigit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* \xHH back into bytes, in place; NULL, or where it is wrong. */
static const char *
unescape(char *s, size_t *len)
{
	char *to = s;
	size_t i;

	for (i = 0; i < *len; i++) {
		if (s[i] != '\\') {
			*to++ = s[i];
			continue;
		}
		if (i + 3 >= *len || s[i + 1] != 'x' ||
		    hexdigit(s[i + 2]) == -1 || hexdigit(s[i + 3]) == -1)
			return s + i;
		*to++ = (char)(hexdigit(s[i + 2]) << 4 | hexdigit(s[i + 3]));
		i += 3;
	}
	*to = '\0';
	*len = (size_t)(to - s);
	return NULL;
}

/* NULL, or what was expected, and where in *at. */
static const char *
entry_parse(struct filter_entry *e, char *s, const char **at)
{
	char *p;

	*at = p = s;
	e->usec = strtoull(s, &p, 10);
	if (*s < '0' || *s > '9' || *p != ' ')
		return "expected microseconds";
	*at = ++p;
	if (*p == '\0' || strchr("DFE-", *p) == NULL)
		return "expected D, F, E or -";
	e->dir = *p++;
	e->terminated = *p != '~';
	p += !e->terminated;
	*at = p;
	if (*p != ' ')
		return "expected a blank";
	e->text = ++p;
	e->len = strlen(p);
	*at = unescape(p, &e->len);
	return *at != NULL ? "expected \\xHH" : NULL;
}

int
filter_log_read(const char *path,
    int (*fn)(void *, const struct filter_entry *), void *arg, char *err,
    size_t errlen)
{
	struct filter_entry e = { .line = 0 };
	const char *why = NULL, *at = NULL;
	char *text, *s, *rest;
	size_t len;
	int rv = 0;

	if ((text = rest = read_file(path, &len, LOG_MAX)) == NULL) {
		snprintf(err, errlen, "%s: %s", path, strerror(errno));
		return -1;
	}
	while (rv == 0 && (s = strsep(&rest, "\n")) != NULL) {
		e.line++;
		/* strsep(3) takes a NUL for the end of the file */
		if (rest == NULL && s + strlen(s) != text + len) {
			at = s + strlen(s);
			why = "expected text, not a NUL";
		} else if (e.line == 1) {
			at = s;
			why = strcmp(s, MAGIC) != 0 ?
			    "expected \"" MAGIC "\"" : NULL;
		} else if (*s == '\0' || *s == '#')
			continue;
		else if ((why = entry_parse(&e, s, &at)) == NULL)
			rv = fn(arg, &e);
		if (why != NULL) {
			snprintf(err, errlen, "%s:%d:%d: %s", path, e.line,
			    (int)(at - s) + 1, why);
			rv = -1;
		}
	}
	free(text);
	return rv;
}
