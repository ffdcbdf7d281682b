/*
 * The parser of a message's header.
 *
 * fuzz-about: rfc5322.c:rfc5322_parser_new,rfc5322_free,rfc5322_clear
 * fuzz-about: rfc5322.c:rfc5322_push,rfc5322_unfold_header,rfc5322_next
 * fuzz-about: rfc5322.c:_rfc5322_next,buf_alloc,buf_grow,buf_cat
 *
 * The input is a message, which is pushed line by line with its end behind
 * them.  Each answer has to be what a reading of our own of RFC 5322, section
 * 2, says comes next; the fields whose names end in "o" are asked for unfolded,
 * as the daemon does with To.
 */

#include "includes.h"

#include <sys/types.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "rfc5322.h"

#include "fuzz.h"
#include "known.h"
#include "text.h"

#define K_NAME		0x01
#define K_BLANK		0x02
#define K_LONG		0x04

#define NAME_MAX_LEN	1024	/* with its NUL; bufmax of the parser */
#define NAME300	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct known known[] = {
	{ K_NAME, 680, 0, "no name: value",
	  "all before the first colon is a name, even nothing" },
	{ K_BLANK, 680, 689, " Name: value",
	  "a blank in front makes no difference where no field was begun" },
	{ K_LONG, 680, 0,
	  NAME300 NAME300 ": a\n" NAME300 NAME300 ": b",
	  "a name is refused where it and the one before it have 1,024 "
	  "characters together" },
};

static unsigned	bent;

/* What has been read so far, and what the parser has to say to a line. */
struct reading {
	unsigned	 known;
	int		 in_body;
	int		 failed;
	char		*name;		/* of the field that is open, or NULL */
	char		*unfolded;	/* its value, or NULL */
	size_t		 room, used;	/* of the parser's buffer for names */
	struct event {
		int	 type;
		char	*name;
		char	*value;
	}		 events[4];
	int		 n;
};

/* An event of that type; the texts are copied. */
static void
expect(struct reading *r, int type, const char *name, const char *value)
{
	struct event *e = &r->events[r->n++];

	e->type = type;
	e->name = name ? strdup(name) : NULL;
	e->value = value ? strdup(value) : NULL;
}

static void
forget(struct reading *r)
{
	while (r->n > 0) {
		r->n--;
		free(r->events[r->n].name);
		free(r->events[r->n].value);
	}
}

static int
unfolds(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && (name[len - 1] | 0x20) == 'o';
}

static void
close_field(struct reading *r)
{
	if (r->name == NULL)
		return;
	expect(r, RFC5322_HEADER_END, r->name, r->unfolded);
	free(r->name);
	free(r->unfolded);
	r->name = r->unfolded = NULL;
}

static void
fold(struct reading *r, const char *line)
{
	char *s;

	expect(r, RFC5322_HEADER_CONT, r->name, line);
	if (r->unfolded == NULL)
		return;
	if (asprintf(&s, "%s\n%s", r->unfolded, line) == -1)
		abort();
	free(r->unfolded);
	r->unfolded = s;
}

/* The length of the name, 1*ftext, of the field that a line begins, or -1. */
static int
name_length(const char *line, unsigned known_ones)
{
	int len = strcspn(line, ":");

	if (line[len] == '\0' || ((*line == ' ' || *line == '\t') &&
	    !(known_ones & K_BLANK)))
		return -1;
	if (known_ones & K_NAME)
		return len;
	for (int i = 0; i < len; i++)
		if (line[i] < '!' || line[i] > '~')
			return -1;
	return len == 0 ? -1 : len;
}

/* Has the parser room for the name?  Nobody needs more than 998 characters. */
static int
has_room(struct reading *r, size_t len)
{
	size_t need = len + 1 + (r->known & K_LONG ? r->used : 0);

	if (need > r->room) {
		if (need >= NAME_MAX_LEN)
			return 0;
		r->room = (need + 255) / 256 * 256;
	}
	r->used = len + 1;
	return 1;
}

static void
read_header(struct reading *r, const char *line)
{
	int len;

	if (r->name != NULL && (*line == ' ' || *line == '\t')) {
		fold(r, line);
		return;
	}
	close_field(r);
	if ((len = name_length(line, r->known)) != -1) {
		if (!has_room(r, len)) {
			r->failed = 1;
			return;
		}
		r->name = strndup(line, len);
		expect(r, RFC5322_HEADER_START, r->name, line + len + 1);
		if (unfolds(r->name))
			r->unfolded = strdup(line + len + 1);
		return;
	}
	expect(r, RFC5322_END_OF_HEADERS, NULL, NULL);
	r->in_body = 1;
	if (*line == '\0')
		expect(r, RFC5322_BODY_START, NULL, line);
	else
		r->failed = 1;
}

/* What comes of a line, or of the end of the message where it is NULL. */
static void
read_line(struct reading *r, const char *line)
{
	if (line != NULL && !r->in_body)
		read_header(r, line);
	else if (line != NULL)
		expect(r, RFC5322_BODY, NULL, line);
	else {
		if (!r->in_body) {
			close_field(r);
			expect(r, RFC5322_END_OF_HEADERS, NULL, NULL);
		}
		expect(r, RFC5322_END_OF_MESSAGE, NULL, NULL);
	}
}

static int
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Push the line; does the parser answer as we do? */
static int
line_agrees(struct rfc5322_parser *p, struct reading *r, const char *line)
{
	struct rfc5322_result res;
	int ret;

	read_line(r, line);
	if (rfc5322_push(p, line) == -1)
		return 0;
	for (int i = 0; i < r->n; i++) {
		ret = rfc5322_next(p, &res);
		if (ret != r->events[i].type ||
		    !same_text(res.hdr, r->events[i].name) ||
		    !same_text(res.value, r->events[i].value))
			return 0;
		if (ret == RFC5322_HEADER_START && unfolds(res.hdr) &&
		    rfc5322_unfold_header(p) == -1)
			return 0;
		if (ret == RFC5322_END_OF_MESSAGE)
			return 1;
	}
	return rfc5322_next(p, &res) == (r->failed ? -1 : RFC5322_NONE);
}

static int
agrees(const uint8_t *data, size_t size, unsigned known_ones)
{
	struct rfc5322_parser *p;
	struct reading r = { .known = known_ones };
	struct fuzz_in in;
	char *line;
	int ok = 1;

	if ((p = rfc5322_parser_new()) == NULL)
		abort();
	fuzz_in(&in, data, size);
	while (ok && !r.failed && in.left > 0) {
		line = text_line(&in);
		ok = line_agrees(p, &r, line);
		forget(&r);
		free(line);
	}
	if (ok && !r.failed)
		ok = line_agrees(p, &r, NULL);
	forget(&r);
	free(r.name);
	free(r.unfolded);
	rfc5322_free(p);
	return ok;
}

static int
departs(const char *s)
{
	return !agrees((const uint8_t *)s, strlen(s), 0);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	bent = known_bits(known, sizeof known / sizeof known[0]);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		known_check(known, sizeof known / sizeof known[0], departs);
	if (!agrees(data, size, bent))
		fuzz_fail("a header is not read as it should be");
	return 0;
}
