#include <sys/types.h>
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

const struct verdict_info	verdicts[VERDICTS] = {
	[V_PASS]  = { "pass",	"PASS",	 "passed",  "32" },
	[V_FAIL]  = { "fail",	"FAIL",	 "failed",  "1;31" },
	[V_WARN]  = { "warn",	"WARN",	 "warned",  "1;33" },
	[V_KNOWN] = { "known",	"KNOWN", "known",   "33" },
	[V_SKIP]  = { "skip",	"SKIP",	 "skipped", "36" },
	[V_ERROR] = { "error",	"ERROR", "errors",  "1;35" },
};

enum verdict
verdict_of(const json_t *end)
{
	const char	*name = jstr(end, "verdict");
	int		 v;

	for (v = 0; v < VERDICTS; v++)
		if (strcmp(verdicts[v].name, name) == 0)
			return (enum verdict)v;
	return V_ERROR;
}

const char *
jstr(const json_t *o, const char *key)
{
	const char	*s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

json_int_t
jint(const json_t *o, const char *key)
{
	return (json_int_t)json_number_value(json_object_get(o, key));
}

/* Characters that are text by Unicode but would fool who reads it. */
static const struct {
	uint32_t	 lo, hi;
} unfit[] = {
	{ 0x0000, 0x0008 }, { 0x000b, 0x001f }, { 0x007f, 0x009f },
	{ 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2066, 0x2069 },
	{ 0xd800, 0xdfff }, { 0xfeff, 0xfeff }, { 0xfffe, 0xffff },
};

/* Length of the character at p, 0 when it is not UTF-8. */
static size_t
utf8(const unsigned char *p, size_t n, uint32_t *cp)
{
	static const uint32_t	 least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t			 len, i;

	if (p[0] < 0x80) {
		*cp = p[0];
		return 1;
	}
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len > n)
		return 0;
	*cp = p[0] & (0x7f >> len);
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (p[i] & 0x3f);
	}
	return *cp < least[len] || *cp > 0x10ffff ? 0 : len;
}

static int
is_unfit(uint32_t cp)
{
	size_t	 i;

	for (i = 0; i < nitems(unfit); i++)
		if (cp >= unfit[i].lo && cp <= unfit[i].hi)
			return 1;
	return 0;
}

static void
clean(struct buf *b, const char *s, size_t n, int oneline)
{
	const unsigned char	*p = (const unsigned char *)s;
	size_t			 len, i;
	uint32_t		 cp;

	buf_add(b, NULL, 0);
	for (; n > 0; p += len, n -= len) {
		len = utf8(p, n, &cp);
		if (len > 0 && oneline && cp == '\n')
			buf_addstr(b, "\\n");
		else if (len > 0 && !is_unfit(cp))
			buf_add(b, p, len);
		else {
			len = len == 0 ? 1 : len;
			for (i = 0; i < len; i++)
				buf_addf(b, "\\x%02x", p[i]);
		}
	}
}

void
text_clean(struct buf *b, const char *s, size_t n)
{
	clean(b, s, n, 0);
}

void
text_line(struct buf *b, const char *s, size_t n)
{
	clean(b, s, n, 1);
}

void
text_value(struct buf *b, const json_t *v)
{
	char	*s;

	if (v == NULL || json_is_null(v))
		return;
	if (json_is_string(v)) {
		text_line(b, json_string_value(v), json_string_length(v));
		return;
	}
	if ((s = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY)) == NULL)
		return;
	text_line(b, s, strlen(s));
	free(s);
}

json_t *
text_json(const char *s)
{
	struct buf	 b = { 0 };
	json_t		*v;

	text_line(&b, s, strlen(s));
	v = json_stringn(b.data, b.len);
	buf_free(&b);
	return v;
}

/* "    got:      text", further lines of the text under its first. */
static void
add_field(struct buf *b, const char *label, const json_t *v)
{
	struct buf	 t = { 0 };
	char		*p, *line;

	if (v == NULL || json_is_null(v))
		return;
	if (json_is_string(v))
		text_clean(&t, json_string_value(v), json_string_length(v));
	else
		text_value(&t, v);
	buf_add(&t, NULL, 0);
	if (t.len > 0 && t.data[t.len - 1] == '\n')
		t.data[--t.len] = '\0';
	p = t.data;
	while ((line = strsep(&p, "\n")) != NULL) {
		buf_addf(b, "    %-10s%s\n", label, line);
		label = "";
	}
	buf_free(&t);
}

static void
add_where(struct buf *b, const json_t *end, const json_t *f)
{
	/* An oracle judges the run, not a line of the scenario. */
	text_value(b, *jstr(f, "where") != '\0' ?
	    json_object_get(f, "where") : json_object_get(end, "path"));
	if (*jstr(f, "actor") != '\0') {
		buf_addstr(b, ": ");
		text_value(b, json_object_get(f, "actor"));
	}
	if (*jstr(f, "oracle") != '\0') {
		buf_addstr(b, ": ");
		text_value(b, json_object_get(f, "oracle"));
	}
}

static void
add_failures(struct buf *b, const json_t *end)
{
	const json_t	*f;
	size_t		 i;

	json_array_foreach(json_object_get(end, "failures"), i, f) {
		add_where(b, end, f);
		buf_addstr(b, "\n");
		add_field(b, "expected:", json_object_get(f, "expected"));
		add_field(b, "got:", json_object_get(f, "got"));
	}
	json_array_foreach(json_object_get(end, "known"), i, f) {
		add_where(b, end, f);
		buf_addstr(b, ": known\n");
		add_field(b, "got:", json_object_get(f, "got"));
		add_field(b, "why:", json_object_get(f, "why"));
	}
}

struct line {
	json_int_t	 t;
	size_t		 i;
	const json_t	*v;
};

static int
by_time(const void *a, const void *b)
{
	const struct line	*x = a, *y = b;

	if (x->t != y->t)
		return x->t < y->t ? -1 : 1;
	return x->i < y->i ? -1 : x->i > y->i;
}

static void
add_line(struct buf *b, const struct line *l)
{
	struct buf	 who = { 0 };
	const char	*dir = jstr(l->v, "dir");

	text_line(&who, jstr(l->v, "actor"), strlen(jstr(l->v, "actor")));
	buf_addf(b, "  +%lld.%06lld %-6s ", (long long)(l->t / 1000000),
	    (long long)(l->t % 1000000), who.data);
	buf_free(&who);
	if (*dir != '\0') {
		text_line(b, dir, strlen(dir));
		buf_addstr(b, dir[strlen(dir) - 1] == ':' ? " " : ": ");
	}
	text_value(b, json_object_get(l->v, "text"));
	buf_addstr(b, "\n");
}

/* The first line to show when only the last most of n are; says what is not. */
static size_t
first_shown(struct buf *b, size_t n, size_t most)
{
	if (n <= most)
		return 0;
	buf_addf(b, "  ... %zu lines before\n", n - most);
	return n - most;
}

/* Every actor on one axis of time. */
static void
add_transcript(struct buf *b, const json_t *end, size_t most)
{
	const json_t	*a = json_object_get(end, "transcript"), *v;
	struct line	*lines;
	size_t		 i;

	if (json_array_size(a) == 0)
		return;
	lines = xcalloc(json_array_size(a), sizeof(*lines));
	json_array_foreach(a, i, v) {
		lines[i].t = jint(v, "t");
		lines[i].i = i;
		lines[i].v = v;
	}
	qsort(lines, json_array_size(a), sizeof(*lines), by_time);
	buf_addstr(b, "transcript:\n");
	for (i = first_shown(b, json_array_size(a), most);
	    i < json_array_size(a); i++)
		add_line(b, &lines[i]);
	free(lines);
}

static void
add_log(struct buf *b, const json_t *end, size_t most)
{
	const json_t	*a = json_object_get(end, "log");
	size_t		 i;

	if (json_array_size(a) == 0)
		return;
	buf_addstr(b, "the daemon's log:\n");
	for (i = first_shown(b, json_array_size(a), most);
	    i < json_array_size(a); i++) {
		buf_addstr(b, "  ");
		text_value(b, json_array_get(a, i));
		buf_addstr(b, "\n");
	}
}

/* It may hold what the daemon said, in lines of its own. */
static void
add_reason(struct buf *b, const json_t *end)
{
	const char	*s = jstr(end, "reason");

	if (*s == '\0')
		return;
	buf_addstr(b, "reason: ");
	text_clean(b, s, strlen(s));
	buf_addstr(b, "\n");
}

static void
add_pair(struct buf *b, const char *label, const json_t *end, const char *key)
{
	if (*jstr(end, key) == '\0')
		return;
	buf_addf(b, "%s: ", label);
	text_value(b, json_object_get(end, key));
	buf_addstr(b, "\n");
}

const char *
report_why(const json_t *end)
{
	const json_t	*k;

	if (*jstr(end, "reason") != '\0')
		return jstr(end, "reason");
	k = json_array_get(json_object_get(end, "known"), 0);
	return jstr(k, "why");
}

void
report_headline(struct buf *b, const json_t *end)
{
	const json_t	*f;
	const char	*why = report_why(end);

	f = json_array_get(json_object_get(end, "failures"), 0);
	if (f == NULL) {
		text_line(b, why, strlen(why));
		return;
	}
	add_where(b, end, f);
	buf_addstr(b, ": expected ");
	text_value(b, json_object_get(f, "expected"));
	buf_addstr(b, ", got ");
	text_value(b, json_object_get(f, "got"));
}

void
report_details(struct buf *b, const json_t *end, size_t most)
{
	buf_add(b, NULL, 0);
	add_reason(b, end);
	add_failures(b, end);
	add_transcript(b, end, most);
	add_log(b, end, most);
	add_pair(b, "seed", end, "seed");
	add_pair(b, "repeat with", end, "repeat");
}

static int
write_file(int fd, const char *tmp, const char *path, const void *p, size_t n)
{
	mode_t	 mask;

	mask = umask(0);
	umask(mask);
	if (fchmod(fd, 0666 & ~mask) == -1 || write_all(fd, p, n) == -1) {
		close(fd);
		return -1;
	}
	if (close(fd) == -1)
		return -1;
	return rename(tmp, path);
}

int
file_replace(const char *path, const void *p, size_t n)
{
	char	*tmp;
	int	 fd, rc = -1, save;

	tmp = xasprintf("%s.XXXXXX", path);
	if ((fd = mkostemp(tmp, O_CLOEXEC)) != -1 &&
	    (rc = write_file(fd, tmp, path, p, n)) == -1) {
		save = errno;
		unlink(tmp);
		errno = save;
	}
	free(tmp);
	return rc;
}
