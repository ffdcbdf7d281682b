/*
 * The choice stream.  What is drawn is written so that it reads back as it
 * was: replayed under another seed, the same draws give the same values, and
 * are recorded in the same words.  The input is a recording, and, by its
 * streams, labels and ranges, what is asked for.
 *
 * fuzz-harness: choice.c
 * fuzz-about: choice.c:stream_cmp,choice_mix,choices_new,choices_free
 * fuzz-about: choice.c:choice_stream,draw_add,draw_recorded,draw
 * fuzz-about: choice.c:choice_draw,choice_scale,bad_word,parse_number
 * fuzz-about: choice.c:replay_line,choices_replay,choices_save
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"
#include "fuzz.h"

static int
replay(struct choices *c, const char *text, size_t len)
{
	char err[256];
	int line, col, n = 0, rc;
	FILE *fp;

	/* fmemopen(3) takes no empty buffer */
	if (len == 0 || (fp = fmemopen((char *)(uintptr_t)text, len, "r")) ==
	    NULL)
		return 0;
	rc = choices_replay(c, fp, "c", err, sizeof(err));
	fclose(fp);
	if (rc == -1 && (sscanf(err, "c:%d:%d: %n", &line, &col, &n) != 2 ||
	    n == 0 || err[n] == '\0' || line < 1 || col < 1))
		fuzz_fail("not a place: %s", err);
	return rc;
}

/* Ask for what each line of the recording says. */
static char *
draw_all(struct choices *c, const char *text, size_t len, size_t *outlen)
{
	char *copy = strndup(text, len), *p = copy, *line, *name, *label;
	struct stream *s;
	struct range r;
	char *out = NULL;
	uint64_t v;
	FILE *fp;

	while ((line = strsep(&p, "\n")) != NULL) {
		if ((name = strsep(&line, " ")) == NULL ||
		    (label = strsep(&line, " ")) == NULL || line == NULL ||
		    sscanf(line, "%" SCNu64 " %" SCNu64, &r.lo, &r.hi) != 2 ||
		    r.lo > r.hi)
			continue;
		s = choice_stream(c, name);
		v = r.hi % 3 == 0 ? choice_scale(s, label, r) :
		    choice_draw(s, label, r);
		if (v < r.lo || v > r.hi)
			fuzz_fail("%" PRIu64 " is not in %" PRIu64 "..%" PRIu64,
			    v, r.lo, r.hi);
	}
	if ((fp = open_memstream(&out, outlen)) == NULL)
		abort();
	choices_save(c, fp);
	fclose(fp);
	free(copy);
	return out;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	struct choices *a = choices_new(1, "a"), *b = choices_new(2, "b");
	char *one, *two;
	size_t onelen, twolen;

	if (replay(a, text, len) == 0) {
		one = draw_all(a, text, len, &onelen);
		if (replay(b, one, onelen) == -1)
			fuzz_fail("what was written does not read:\n%s", one);
		two = draw_all(b, text, len, &twolen);
		if (onelen != twolen || memcmp(one, two, onelen) != 0)
			fuzz_fail("drew\n%sand replayed\n%s", one, two);
		free(one);
		free(two);
	}
	choices_free(a);
	choices_free(b);
	return 0;
}
