/* Names, addresses and mail of the clients that "drive" plays. */
#include <stdio.h>
#include <string.h>

#include "drive_priv.h"

#define HUGE_LINE	16000		/* smtpd has 16384 for a command */
#define HUGE_LINE_OLD	1800		/* before 7.4 an answer has 2047 */
#define LINE_TEXT	998		/* RFC 5321 4.5.3.1.6, without CR LF */

static uint64_t
pick(struct dsession *s, const char *label, uint64_t n)
{
	return choice_draw(s->stream, label, (struct range){ 0, n - 1 });
}

static size_t
huge(const struct dsession *s)
{
	return s->d->conf->version < 7 ? HUGE_LINE_OLD : HUGE_LINE;
}

/* Text without blanks at its ends; with eight also what is no ASCII. */
static void
add_text(struct dsession *s, struct buf *b, size_t len, int eight)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ.,:;-_=+<>|()[]%$!?  \t";
	size_t i;
	char c;

	for (i = 0; i < len; i++) {
		if (eight && choice_mix(&s->mix) % 3 == 0)
			c = (char)(0x80 | (choice_mix(&s->mix) & 0x7f));
		else
			c = plain[choice_mix(&s->mix) % (i == 0 ||
			    i + 1 == len ? 36 : sizeof(plain) - 1)];
		buf_add(b, &c, 1);
	}
}

void
drive_name(struct dsession *s, struct buf *b)
{
	unsigned flags = s->d->hostile;

	buf_reset(b);
	if (flags & HOSTILE_HUGE) {
		while (b->len < huge(s))
			buf_addstr(b, "a-very-long-label.");
		buf_addstr(b, "example");
	} else if (flags & HOSTILE_EIGHT_BIT)
		buf_addstr(b, "h\xf6st-\xff\xfe.example");
	else if (pick(s, "literal", 8) == 0)
		buf_addstr(b, pick(s, "family", 2) == 0 ? "[192.0.2.7]" :
		    "[IPv6:2001:db8::7]");
	else
		buf_addf(b, "client%llu.example",
		    (unsigned long long)pick(s, "name", 1000));
}

void
drive_address(struct dsession *s, struct buf *b, int sender)
{
	static const char *const locals[] = {
		"user", "first.last", "a+tag", "x=y", "\"quo ted\"", "o'neill",
		"%host", "#1", "u-_-u", "a/b"
	};
	unsigned flags = s->d->hostile;
	size_t i;

	buf_reset(b);
	if (sender && pick(s, "null", 6) == 0)
		return;			/* MAIL FROM:<> */
	if (flags & HOSTILE_HUGE)
		for (i = 0; i < huge(s) / 10; i++)
			buf_addstr(b, "0123456789");
	if (flags & HOSTILE_EIGHT_BIT)
		buf_addstr(b, "\xc3\xa4\xff\x80");
	/* not before the address became the last field, and not since 7.9 */
	if (s->d->conf->version >= 6 && ((flags & HOSTILE_BARS) ||
	    (s->d->conf->version == 6 && pick(s, "bar", 20) == 0)))
		buf_addstr(b, "a|b||");
	buf_addf(b, "%s%llu@", locals[pick(s, "local", nitems(locals))],
	    (unsigned long long)pick(s, "number", 100));
	buf_addf(b, "%s.example", sender ? "sender" : "mx");
}

/* A line of a client, its dot stuffed. */
static void
add_line(struct dsession *s, const char *line, size_t len)
{
	if (len > 0 && *line == '.')
		buf_add(&s->mail, ".", 1);
	buf_add(&s->mail, line, len);
	buf_add(&s->mail, "\n", 1);
}

static void
add_header(struct dsession *s, const char *line)
{
	add_line(s, line, strlen(line));
}

static void
header_long(struct dsession *s)
{
	struct buf b = { 0 };

	buf_addstr(&b, "X-Long: ");
	add_text(s, &b, LINE_TEXT - 8, 0);
	add_line(s, b.data, b.len);
	buf_free(&b);
}

static void
header_folded(struct dsession *s)
{
	struct buf b = { 0 };
	uint64_t i, n = 1 + pick(s, "folds", 40);

	add_header(s, "References: <0@sender.example>");
	for (i = 0; i < n; i++) {
		buf_reset(&b);
		buf_addf(&b, "%s<%llu@sender.example>", i & 1 ? "\t" : " ",
		    (unsigned long long)i);
		add_line(s, b.data, b.len);
	}
	buf_free(&b);
}

static void
header_eight_bit(struct dsession *s)
{
	add_header(s, "Subject: gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac, and "
	    "\xe4\xf6\xfc of Latin 1");
}

static void
header_odd(struct dsession *s)
{
	add_header(s, "X-Empty:");
	add_header(s, "X-Bars: a|b||c|");
	add_header(s, "x-case: odd");
	add_header(s, "X-Colon : blank before it");
}

static void
header_many(struct dsession *s)
{
	struct buf b = { 0 };
	int i;

	for (i = 0; i < 100; i++) {
		buf_reset(&b);
		buf_addf(&b, "X-Number-%d: %d", i, i);
		add_line(s, b.data, b.len);
	}
	buf_free(&b);
}

static void	(*const headers[])(struct dsession *) = {
	header_long, header_folded, header_eight_bit, header_odd, header_many
};

static void
body_text(struct dsession *s)
{
	struct buf b = { 0 };
	size_t n;

	for (n = (size_t)choice_scale(s->stream, "lines",
	    (struct range){ 1, 200 }); n > 0; n--) {
		buf_reset(&b);
		add_text(s, &b, choice_mix(&s->mix) % 78,
		    (s->d->hostile & HOSTILE_EIGHT_BIT) != 0);
		add_line(s, b.data == NULL ? "" : b.data, b.len);
	}
	buf_free(&b);
}

static void
body_dots(struct dsession *s)
{
	static const char *const lines[] = {
		".", "..", "...", ".x", ". ", "..x", "", "x.", " ."
	};
	size_t i;

	for (i = 0; i < nitems(lines); i++)
		add_line(s, lines[i], strlen(lines[i]));
}

static void
body_long(struct dsession *s)
{
	static const size_t lens[] = { 997, 998, 999, 1997, 2047, 2048 };
	struct buf b = { 0 };
	size_t i;

	for (i = 0; i < nitems(lens); i++) {
		/* 6.8 cuts what comes back at 2047 octets: not the filter's */
		if (s->d->conf->version < 7 && lens[i] > 1900)
			break;
		buf_reset(&b);
		add_text(s, &b, lens[i], 0);
		add_line(s, b.data, b.len);
	}
	buf_free(&b);
}

static void
body_eight_bit(struct dsession *s)
{
	char line[256];
	size_t n = 0;
	int c;

	for (c = 0x80; c < 0x100; c++)
		line[n++] = (char)c;
	add_line(s, line, n);
	/* controls, but for NUL, LF and the CR that smtpd takes off */
	for (n = 0, c = 1; c < 0x20; c++)
		if (c != '\n' && c != '\r')
			line[n++] = (char)c;
	add_line(s, line, n);
}

/* What looks like the protocol is still mail. */
static void
body_protocol(struct dsession *s)
{
	add_header(s, "filter-result|0123456789abcdef|0123456789abcdef|"
	    "reject|550 no");
	add_header(s, "|||");
	add_header(s, "-- ");
	add_header(s, "From the beginning of a line");
	add_header(s, "");
}

static void
body_empty(struct dsession *s)
{
	add_header(s, "");
	add_header(s, "");
}

static void	(*const bodies[])(struct dsession *) = {
	body_text, body_text, body_dots, body_long, body_eight_bit,
	body_protocol, body_empty
};

static void
add_hostile(struct dsession *s)
{
	struct buf b = { 0 };

	if (s->d->hostile & HOSTILE_HUGE) {
		buf_addstr(&b, "X-Huge: ");
		add_text(s, &b, huge(s), 0);
		add_line(s, b.data, b.len);
	}
	if (s->d->hostile & HOSTILE_NUL)
		add_line(s, "X-Nul: a\0b", 10);
	buf_free(&b);
}

/* smtpd's own, before all the client's lines. */
static void
add_received(struct dsession *s)
{
	struct buf *b = &s->mail;

	if (s->junk || s->txjunk)
		buf_addstr(b, "X-Spam: Yes\n");
	buf_addstr(b, "Received: from ");
	buf_add(b, s->helo.data, s->helo.len);
	buf_addf(b, " (client.example [192.0.2.7])\n\tby mx.example.org "
	    "(OpenSMTPD) with ESMTP%s%s id %08x\n", s->tls ? "S" : "",
	    s->authed ? "A" : "", s->tx);
	if (s->nrcpt == 1) {
		buf_addstr(b, "\tfor <");
		buf_add(b, s->rcpt.data, s->rcpt.len);
		buf_addstr(b, ">;\n");
	}
	buf_addstr(b, "\tSat, 21 Nov 2026 04:00:00 +0000 (UTC)\n");
}

void
drive_message(struct dsession *s)
{
	struct buf b = { 0 };
	size_t i, n;

	buf_reset(&s->mail);
	s->mailpos = s->stored = 0;
	add_received(s);
	add_hostile(s);
	/* some have no header at all */
	if (pick(s, "headers", 20) != 0) {
		buf_addf(&b, "Message-ID: <%016llx.%08x@sender.example>",
		    (unsigned long long)s->id, s->tx);
		add_line(s, b.data, b.len);
		add_header(s, "From: bob@sender.example");
		add_header(s, "To: alice@mx.example");
		add_header(s, "Date: Sat, 21 Nov 2026 03:59:59 +0000");
		for (n = (size_t)pick(s, "more", 3); n > 0; n--)
			headers[pick(s, "header", nitems(headers))](s);
	}
	if (pick(s, "body", 20) != 0) {
		add_header(s, "");
		for (i = 0, n = 1 + (size_t)pick(s, "parts", 2); i < n; i++)
			bodies[pick(s, "part", nitems(bodies))](s);
	}
	buf_addstr(&s->mail, ".\n");
	buf_free(&b);
}
