/* What valgrind's memcheck says, read and judged. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leak.h"
#include "memcheck.h"
#include "regex.h"
#include "report.h"
#include "util.h"

#define GROWN_BYTES	16	/* a session, of blocks that grow */
#define LEAST_BLOCKS	8	/* in all, to be more than chance */

/* A line without "==PID== ", of which the text is not NUL-terminated. */
struct line {
	const char	*s;
	size_t		 len;
};

/* The next line of valgrind's; what others wrote is passed over.  0: no more. */
static int
next_line(const char **text, struct line *l)
{
	const char	*s = *text, *p, *nl;

	for (; *s != '\0'; s = nl + (*nl == '\n')) {
		nl = s + strcspn(s, "\n");
		p = s + strspn(s, "=");
		if (p != s + 2 || !isdigit((unsigned char)*p))
			continue;
		p += strspn(p, "0123456789");
		if (strncmp(p, "==", 2) != 0)
			continue;
		p += 2;
		p += *p == ' ';
		l->s = p;
		l->len = p < nl ? (size_t)(nl - p) : 0;
		*text = nl + (*nl == '\n');
		return 1;
	}
	return 0;
}

/* "   by 0x48: f (a.c:1)" without the address; 0: that is no frame. */
static int
frame(const struct line *l, struct line *f)
{
	const char	*end = l->s + l->len, *p;

	p = l->s + strspn(l->s, " ");
	if (p == l->s || p + 6 > end ||
	    (strncmp(p, "at 0x", 5) != 0 && strncmp(p, "by 0x", 5) != 0) ||
	    (p = memchr(p, ':', (size_t)(end - p))) == NULL || p + 2 > end)
		return 0;
	f->s = p + 2;
	f->len = (size_t)(end - f->s);
	return 1;
}

/* A number with commas; where it ends. */
static const char *
number(const char *s, json_int_t *v)
{
	*v = 0;
	for (; isdigit((unsigned char)*s) || *s == ','; s++)
		if (*s != ',')
			*v = *v * 10 + (*s - '0');
	return s;
}

/* The "(+N)" behind what is counted; without one there is nothing new. */
static json_int_t
increase(const char *s)
{
	json_int_t	 v = 0;

	s += strspn(s, "0123456789, ");
	if (strncmp(s, "(+", 2) == 0)
		number(s + 2, &v);
	return v;
}

/*
 * "4,104 (+8) bytes in 1 (+1) blocks are definitely lost in loss record 1 of 2",
 * where the bytes may be "64 (+64) (16 (+16) direct, 48 (+48) indirect)".
 */
static json_t *
loss_record(const char *line)
{
	const char	*bytes = line, *blocks, *kind, *end, *p;

	if ((blocks = strstr(line, " bytes in ")) == NULL ||
	    (kind = strstr(blocks, " blocks are ")) == NULL ||
	    (end = strstr(kind, " in loss record")) == NULL)
		return NULL;
	if ((p = strstr(line, " direct, ")) != NULL && p < blocks) {
		/* what it leads to has records of its own */
		p = memchr(line, '(', (size_t)(p - line));
		bytes = strstr(p + 1, " (") != NULL && p[1] == '+' ?
		    strstr(p + 1, " (") + 2 : p + 1;
	}
	kind += strlen(" blocks are ");
	return json_pack("{s:I, s:I, s:s%}", "bytes", increase(bytes),
	    "blocks", increase(blocks + strlen(" bytes in ")), "kind", kind,
	    (size_t)(end - kind));
}

static char *
text_of(const struct line *l)
{
	char	*s = xcalloc(1, l->len + 1);

	memcpy(s, l->s, l->len);
	return s;
}

/* The frames that follow. */
static char *
stack_of(const char **text)
{
	struct buf	 b = { 0 };
	struct line	 l, f;
	const char	*next = *text;

	for (; next_line(&next, &l) && frame(&l, &f); *text = next) {
		buf_add(&b, f.s, f.len);
		buf_addstr(&b, "\n");
	}
	return b.data == NULL ? xstrdup("") : b.data;
}

/*
 * Frames of a library: without its source, or with one whose path is relative, as
 * in Debian's debugging symbols; and functions that allocate for others.
 */
static const char	library[] = "\\((?:in )?/usr/|\\([^/)]+/|^\\?\\?\\?";
static const char	allocates[] = "^x?(?:malloc|calloc|realloc|reallocarray|"
			    "recallocarray|strdup|strndup|memdup|asprintf|"
			    "vasprintf|operator new)\\b";

/*
 * The frame to blame: the first that neither belongs to a library nor allocates
 * for others; where all belong to one, the first of the others.
 */
static const char *
blamed(const char *stack)
{
	const char	*first = NULL, *nl, *s;
	size_t		 len;

	for (s = stack; *s != '\0'; s = nl + (*nl == '\n')) {
		nl = s + strcspn(s, "\n");
		len = (size_t)(nl - s);
		if (regex_match(allocates, s, len, NULL, NULL))
			continue;
		if (!regex_match(library, s, len, NULL, NULL))
			return s;
		if (first == NULL)
			first = s;
	}
	return first == NULL ? stack : first;
}

static void
add(json_t *list, json_t *j, const char *process, const char *stack)
{
	struct buf	 b = { 0 };

	text_clean(&b, stack, strlen(stack));
	json_object_set_new(j, "process", text_json(process));
	json_object_set_new(j, "stack", json_string(b.len == 0 ? "" : b.data));
	json_object_set_new(j, "blamed", json_integer(b.len == 0 ? 0 :
	    blamed(b.data) - b.data));
	buf_free(&b);
	json_array_append_new(list, j);
}

void
memcheck_leaks(const char *text, const char *process, unsigned int batch,
    json_t *list)
{
	struct line	 l;
	char		*head, *stack;
	json_t		*j;

	while (next_line(&text, &l)) {
		head = text_of(&l);
		if ((j = loss_record(head)) != NULL) {
			stack = stack_of(&text);
			json_object_set_new(j, "batch",
			    json_integer((json_int_t)batch));
			add(list, j, process, stack);
			free(stack);
		}
		free(head);
	}
}

/*
 * " Address ..." tells more of the error before; "Warning: ..." and the like are
 * valgrind's own affairs.
 */
static int
is_error(const char *head)
{
	return *head != '\0' && *head != ' ' &&
	    strncasecmp(head, "warning", 7) != 0;
}

void
memcheck_errors(const char *log, const char *process, json_t *list)
{
	const char	*before;
	struct line	 l, f;
	char		*head = xstrdup(""), *stack;

	for (before = log; next_line(&log, &l); before = log) {
		if (!frame(&l, &f)) {
			free(head);
			head = text_of(&l);
			continue;
		}
		log = before;
		stack = stack_of(&log);
		if (is_error(head))
			add(list, json_pack("{s:o}", "what", text_json(head)),
			    process, stack);
		free(stack);
		free(head);
		head = xstrdup("");	/* what is said after the stack */
	}
	free(head);
}

char *
memcheck_function(const char *stack)
{
	const char	*s = blamed(stack);

	/* no ".constprop.0" of the compiler's, nor "@@GLIBC_2.34" */
	return xasprintf("%.*s", (int)strcspn(s, " (.@\n"), s);
}

/*
 * For people: from the library's function that was called on, and file names
 * without their directories.
 */
char *
memcheck_stack(const char *stack)
{
	const char	*s = blamed(stack), *nl, *dir;
	struct buf	 b = { 0 };

	if (s > stack)
		for (s--; s > stack && s[-1] != '\n'; s--)
			;
	for (; *s != '\0'; s = nl + (*nl == '\n')) {
		nl = s + strcspn(s, "\n");
		if (strncmp(s, "(below main)", 12) == 0)
			break;
		dir = memrchr(s, '/', (size_t)(nl - s));
		buf_add(&b, s, strcspn(s, "(\n"));
		if (dir != NULL)
			buf_addstr(&b, "(");
		else
			dir = s + strcspn(s, "(\n") - 1;
		buf_add(&b, dir + 1, (size_t)(nl - dir - 1));
		buf_addstr(&b, "\n");
	}
	return b.data == NULL ? xstrdup("") : b.data;
}

/* --- the verdict --------------------------------------------------------------------- */

/* What a process has lost by one function on one way to it. */
struct loss {
	const json_t	*most;		/* the record with the most bytes */
	const char	*kind;
	json_int_t	 bytes[3], blocks[3];	/* by batch */
};

/* The worst first. */
static const char *const kinds[] = {
	"definitely lost", "indirectly lost", "possibly lost", "still reachable"
};

static size_t
kind_of(const char *name)
{
	size_t	 i;

	for (i = 0; i < nitems(kinds) - 1; i++)
		if (strcmp(kinds[i], name) == 0)
			break;
	return i;
}

/*
 * Does it grow with the sessions?  What is as much after N as after 2N does not,
 * nor do fewer blocks than one in four sessions, or very few: libraries keep some for as much
 * as there ever was at once.  A block that itself grows has to by some bytes.
 */
static int
grows(const struct loss *l, uint64_t n)
{
	uint64_t	 bytes = (uint64_t)(l->bytes[1] + l->bytes[2]);
	uint64_t	 blocks = (uint64_t)(l->blocks[1] + l->blocks[2]);

	if (l->bytes[1] <= 0 || 2 * l->bytes[2] < 3 * l->bytes[1])
		return 0;
	return blocks == 0 ? bytes >= GROWN_BYTES * 3 * n :
	    blocks >= LEAST_BLOCKS && 4 * blocks >= 3 * n;
}

static void
add_loss(struct loss *l, const json_t *j)
{
	json_int_t	 batch = jint(j, "batch"), bytes = jint(j, "bytes");

	l->bytes[batch] += bytes;
	l->blocks[batch] += jint(j, "blocks");
	if (l->most == NULL || bytes > jint(l->most, "bytes"))
		l->most = j;
	if (l->kind == NULL || kind_of(jstr(j, "kind")) < kind_of(l->kind))
		l->kind = kinds[kind_of(jstr(j, "kind"))];
}

/* The same function, called from the same lines? */
static int
same_place(const json_t *a, const json_t *b)
{
	const char	*s = jstr(a, "stack") + jint(a, "blamed");
	const char	*t = jstr(b, "stack") + jint(b, "blamed");
	size_t		 n = strcspn(s, " (\n");

	return strcmp(jstr(a, "process"), jstr(b, "process")) == 0 &&
	    n == strcspn(t, " (\n") && strncmp(s, t, n) == 0 &&
	    strcmp(s + strcspn(s, "\n"), t + strcspn(t, "\n")) == 0;
}

static struct leak_row *
row(struct leak_result *res, const json_t *j, const char *what)
{
	struct leak_row	*r = leak_add(res, jstr(j, "process"), what);

	r->stack = memcheck_stack(jstr(j, "stack"));
	r->function = memcheck_function(jstr(j, "stack"));
	r->verdict = LEAK_FOUND;
	return r;
}

static int
by_bytes(const void *a, const void *b)
{
	const struct loss	*x = a, *y = b;

	return (x->bytes[2] < y->bytes[2]) - (x->bytes[2] > y->bytes[2]);
}

static void
judge_leaks(const json_t *leaks, uint64_t n, struct leak_result *res)
{
	struct loss	*loss = xcalloc(json_array_size(leaks) + 1,
			    sizeof(*loss));
	size_t		 nlosses = 0, i, k;
	const json_t	*j;
	struct leak_row	*r;

	json_array_foreach(leaks, i, j) {
		for (k = 0; k < nlosses; k++)
			if (same_place(loss[k].most, j))
				break;
		nlosses += k == nlosses;
		add_loss(&loss[k], j);
	}
	qsort(loss, nlosses, sizeof(*loss), by_bytes);
	for (k = 0; k < nlosses; k++) {
		if (!grows(&loss[k], n))
			continue;
		r = row(res, loss[k].most, loss[k].kind);
		r->bytes = (double)(loss[k].bytes[1] + loss[k].bytes[2]) /
		    (double)(3 * n);
		r->blocks = (double)(loss[k].blocks[1] + loss[k].blocks[2]) /
		    (double)(3 * n);
	}
	free(loss);
}

void
memcheck_judge(const json_t *leaks, const json_t *errors, uint64_t n,
    struct leak_result *res)
{
	const json_t	*j;
	size_t		 i;

	judge_leaks(leaks, n, res);
	json_array_foreach(errors, i, j)
		row(res, j, jstr(j, "what"));
}
