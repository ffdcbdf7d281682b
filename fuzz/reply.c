/*
 * A server's reply as our clients read it, against a second reading of RFC
 * 5321 4.2: the same end, the same lines; a reply is taken when its last line
 * is there, not earlier, and what follows does not matter.  The first line of
 * the input is what a scenario wants to hear.
 *
 * fuzz-harness: smtp_reply.c
 * fuzz-about: smtp_reply.c:reply_parse,reply_ecode,want_parse,want_reply,has_keyword
 */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "smtp.h"

static int
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Octets of the first reply, or 0; its code (0 if it has none) and lines. */
static size_t
second_reading(const char *s, size_t len, int *code, int *lines)
{
	size_t bol = 0, i, n;
	int reply;

	*code = *lines = 0;
	for (i = 0; i < len; i++) {
		if (s[i] != '\n')
			continue;
		n = i - bol;
		reply = n >= 3 && is_digit(s[bol]) && is_digit(s[bol + 1]) &&
		    is_digit(s[bol + 2]);
		if (++*lines == 1 && reply)
			*code = (s[bol] - '0') * 100 + (s[bol + 1] - '0') * 10 +
			    s[bol + 2] - '0';
		/* "000-" is no reply, hence no reply's first line */
		if (!reply || n < 4 || s[bol + 3] != '-' ||
		    memcmp(s + bol, "000", 3) == 0)
			return i + 1;
		bol = i + 1;
	}
	return 0;
}

static void
check_ecodes(const struct reply *r)
{
	char ecode[16];
	size_t i;
	int n, dots;

	for (n = 0; n <= r->nlines && n < 8; n++) {
		memset(ecode, 'x', sizeof(ecode));
		reply_ecode(r, n, ecode, sizeof(ecode));
		if (memchr(ecode, '\0', sizeof(ecode)) == NULL)
			fuzz_fail("an enhanced code without end");
		for (i = 0, dots = 0; ecode[i] != '\0'; i++) {
			dots += ecode[i] == '.';
			if (ecode[i] != '.' && !is_digit(ecode[i]))
				fuzz_fail("enhanced code \"%s\"", ecode);
		}
		if (i > 0 && dots != 2)
			fuzz_fail("enhanced code \"%s\"", ecode);
	}
}

static void
check_want(char *text, size_t len, const struct reply *r)
{
	static const char head[] = "scenario \"x\"\nclient c {\nS: ";
	struct scenario *sc;
	struct step *st;
	struct buf b = { 0 };
	char err[256];

	buf_addstr(&b, head);
	buf_add(&b, text, len);
	buf_addstr(&b, "\n}\n");
	sc = script_parse("a.smtp", b.data, b.len, err, sizeof(err));
	buf_free(&b);
	if (sc == NULL)
		return;
	st = STAILQ_FIRST(&STAILQ_FIRST(&sc->roles)->steps);
	if (st != NULL) {
		/* alternatives only add to what matches */
		want_reply(st->arg, r, NULL);
		want_end(st->arg, "<fin>");
		want_silence(st->arg);
	}
	script_free(sc);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *nl = memchr(data, '\n', len);
	size_t wlen = nl == NULL ? 0 : (size_t)(nl - data), n, end;
	struct reply r, shorter;
	int code, lines;
	char *in;

	if (nl == NULL)
		return 0;
	len -= wlen + 1;
	if ((in = malloc(len == 0 ? 1 : len)) == NULL)
		return 0;
	memcpy(in, nl + 1, len);
	end = second_reading(in, len, &code, &lines);
	n = reply_parse(in, len, &r);
	if (n != end || (n != 0 && (r.code != code || r.nlines != lines)))
		fuzz_fail("%zu octets, code %d, %d lines: expected %zu, %d, %d",
		    n, r.code, r.nlines, end, code, lines);
	if (n != 0) {
		if (reply_parse(in, n - 1, &shorter) != 0)
			fuzz_fail("taken before its end");
		check_ecodes(&r);
		if (memchr(data, '\0', wlen) == NULL)
			check_want((char *)(uintptr_t)data, wlen, &r);
		reply_free(&r);
	}
	free(in);
	return 0;
}
