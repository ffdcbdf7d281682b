/*
 * A user's .forward, and a file that an alias includes.
 *
 * fuzz-without: aliases.c
 * fuzz-about: forward.c:forwards_get aliases.c:aliases_expand_include
 *
 * The input is the file.  Where there is nothing in it that only a file gives a
 * meaning to, such as a comment, it has to be what its lines are one by one,
 * which addrexpand.c is about.
 */

#include "aliases.c"

#include <sys/mman.h>

#include <unistd.h>

#include "fuzz.h"
#include "known.h"
#include "text.h"

#define K_COMMENT	0x01

/* aliases(5): "The format of the file is identical to this one." */
static const struct known known[] = {
	{ K_COMMENT, 680, 0, "alice # and only she\nbob#\ncarol\n",
	  "an included file has no comments: a number sign makes a line wrong, "
	  "and goes on with the next line where it ends one" },
};

#define MAX_SIZE	4096	/* MAX_FORWARD_SIZE of forward.c */
#define MAX_NODES	100	/* MAX_EXPAND_NODES there */

static struct expandnode parent = { .type = EXPAND_ADDRESS };
static struct rule	 rule;
static int		 file;		/* in memory */
static char		 file_name[32];

static void
start(struct expand *e)
{
	memset(e, 0, sizeof *e);
	RB_INIT(&e->tree);
	e->parent = &parent;
	e->rule = &rule;
}

static void
write_file(const uint8_t *data, size_t size)
{
	if (ftruncate(file, size) == -1 ||
	    pwrite(file, data, size, 0) != (ssize_t)size ||
	    lseek(file, 0, SEEK_SET) == -1)
		abort();
}

/* Whether no line was wrong; go_on tells whether to go beyond one that was. */
static int
by_lines(struct expand *e, struct fuzz_in *in, int go_on)
{
	char *line;
	int ok = 1;

	while (in->left > 0 && (ok || go_on)) {
		line = text_line(in);
		ok &= expand_line(e, line, 0);
		free(line);
	}
	return ok;
}

static int
same(struct expand *x, struct expand *y)
{
	struct expandnode *a, *b;

	a = RB_MIN(expandtree, &x->tree);
	b = RB_MIN(expandtree, &y->tree);
	while (a != NULL && b != NULL && expand_cmp(a, b) == 0) {
		a = RB_NEXT(expandtree, &x->tree, a);
		b = RB_NEXT(expandtree, &y->tree, b);
	}
	return a == NULL && b == NULL;
}

/* A line that is wrong ends a .forward. */
static void
forward(struct expand *lines, struct fuzz_in *in, int plain)
{
	struct expand e;
	size_t size = in->left;
	int ret, ok;

	start(&e);
	ret = forwards_get(dup(file), &e);
	if (size >= MAX_SIZE && ret != -1)
		fuzz_fail("a .forward of %zu octets: %d", size, ret);
	ok = plain && size < MAX_SIZE && by_lines(lines, in, 0);
	if (plain && size < MAX_SIZE && lines->nb_nodes <= MAX_NODES) {
		if (ret != (!ok ? -1 : lines->nb_nodes > 0))
			fuzz_fail("a .forward gives %d", ret);
		if (!same(&e, lines))
			fuzz_fail("a .forward is not what its lines are");
	}
	expand_clear(&e);
}

/* A line that is wrong is skipped in an included file: lines has those before. */
static void
include(struct expand *lines, struct fuzz_in *in, int plain)
{
	struct expand e;

	start(&e);
	(void)aliases_expand_include(&e, file_name);
	if (plain)
		(void)by_lines(lines, in, 1);
	if (plain && !same(&e, lines))
		fuzz_fail("an included file is not what its lines are");
	expand_clear(&e);
}

/* With comments a file is what a .forward is. */
static int
departs(const char *s)
{
	struct expand a, b;
	int ret;

	start(&a);
	start(&b);
	write_file((const uint8_t *)s, strlen(s));
	(void)aliases_expand_include(&a, file_name);
	(void)forwards_get(dup(file), &b);
	ret = !same(&a, &b);
	expand_clear(&a);
	expand_clear(&b);
	return ret;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if ((file = memfd_create("forward", 0)) == -1)
		abort();
	snprintf(file_name, sizeof file_name, "/proc/self/fd/%d", file);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct expand lines;
	struct fuzz_in in;
	int plain;

	if (size == 0)
		known_check(known, nitems(known), departs);
	/* Comments, continuations and NULs are the file's own matter. */
	plain = size == 0 || (memchr(data, '#', size) == NULL &&
	    memchr(data, '\\', size) == NULL && memchr(data, 0, size) == NULL);
	write_file(data, size);
	start(&lines);
	fuzz_in(&in, data, size);
	forward(&lines, &in, plain);
	include(&lines, &in, plain);
	expand_clear(&lines);
	return 0;
}
