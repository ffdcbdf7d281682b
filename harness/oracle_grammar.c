/* Every reply is one of RFC 5321 4.2, with the codes of RFC 2034. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "smtp.h"

#define MAX_REPLY_LINE	512	/* RFC 5321 4.5.3.1.5, with CRLF */

struct reply_case {
	struct run	*run;
	struct session	*s;
	const struct reply *r;
	enum cmd_kind	 cmd;
};

#define OBJECT(c, ...) \
	oracle_object((c)->run, &oracle_grammar, (c)->s->label, __VA_ARGS__)

static void
check_line(const struct reply_case *c, const char *line, size_t len)
{
	size_t i;

	if (len < 2 || line[len - 2] != '\r')
		OBJECT(c, "a reply line that does not end in CRLF: %.*s",
		    (int)len - 1, line);
	if (len > MAX_REPLY_LINE)
		OBJECT(c, "a reply line of %zu octets", len);
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	if (len < 3 || line[0] < '2' || line[0] > '5' || line[1] < '0' ||
	    line[1] > '5' || !isdigit((unsigned char)line[2]) ||
	    (len > 3 && line[3] != ' ' && line[3] != '-'))
		OBJECT(c, "not a reply: %.*s", (int)len, line);
	for (i = 0; i < len; i++)
		if ((line[i] < 32 || line[i] > 126) && line[i] != '\t') {
			OBJECT(c, "octet 0x%02x in a reply: %.*s",
			    (unsigned int)(unsigned char)line[i], (int)len,
			    line);
			break;
		}
	if (len >= 3 && c->r->code != 0 && memcmp(line, c->r->text, 3) != 0)
		OBJECT(c, "two codes in one reply: %s", c->r->text);
}

/* RFC 2034 4: where an enhanced code belongs, where not, and which. */
static void
check_ecode(const struct reply_case *c)
{
	int hello = c->cmd == CMD_GREETING || c->cmd == CMD_EHLO ||
	    c->cmd == CMD_HELO, n;
	char code[16], first[16];

	reply_ecode(c->r, 0, first, sizeof(first));
	if (c->r->code / 100 == 3 || (hello && c->r->code / 100 == 2)) {
		if (first[0] != '\0')
			OBJECT(c, "an enhanced code where none belongs: %s",
			    c->r->text);
		return;
	}
	if (hello)
		return;
	if (first[0] == '\0')
		OBJECT(c, "no enhanced code: %s", c->r->text);
	else if (first[0] != c->r->text[0])
		OBJECT(c, "the enhanced code is of another class: %s",
		    c->r->text);
	for (n = 1; n < c->r->nlines; n++) {
		reply_ecode(c->r, n, code, sizeof(code));
		if (strcmp(code, first) != 0) {
			OBJECT(c, "lines with different enhanced codes: %s",
			    c->r->text);
			break;
		}
	}
}

void
grammar_reply(struct run *run, struct session *s, const struct reply *r,
    enum cmd_kind cmd, int enhanced)
{
	struct reply_case c = { run, s, r, cmd };
	const char *line = r->raw, *e = r->raw + r->rawlen, *nl;

	while (line < e && (nl = memchr(line, '\n', (size_t)(e - line))) !=
	    NULL) {
		check_line(&c, line, (size_t)(nl - line) + 1);
		line = nl + 1;
	}
	if (enhanced && r->code != 0)
		check_ecode(&c);
}

const struct oracle oracle_grammar = {
	.name = "grammar",
	.text = "replies follow RFC 5321 4.2 and RFC 2034",
};
