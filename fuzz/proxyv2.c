/*
 * PROXY protocol version 2, which a listener with proxy-v2 reads before SMTP: every
 * header a proxy, or whoever reaches that port, can send, in any portions.  First
 * octet of the input: how many portions come before the last (three bits), then
 * an octet with the length of each, then what is sent.
 *
 * We read the header as well, by "The PROXY protocol" 2.2 of HAProxy: whether it is
 * taken, whose address the client then has, and that the first octet of SMTP is the
 * one behind the header.  A connection is handed on or dropped, once.
 *
 * fuzz-without: proxy.c
 * fuzz-about: proxy.c:proxy_session,proxy_io,proxy_error,proxy_header_validate
 * fuzz-about: proxy.c:proxy_translate_ss
 */
#include "includes.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <netinet/in.h>

#include <err.h>
#include <errno.h>
#include <event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "known.h"

#include "proxy.c"

#define HEADER	16
#define CUTS	7

enum fate { WAITS, DROPPED, NOT_TAKEN, TAKEN };	/* NOT_TAKEN: waits or dropped */

struct outcome {
	enum fate		 fate;
	struct sockaddr_storage	 ss;	/* if TAKEN: the client's address */
	size_t			 smtp;	/* and what of the input is no header */
};

static struct sockaddr_storage	 peer;	/* the proxy itself */
static struct listener		 listener;
static struct outcome		 got;
static struct io		*taken;
static unsigned			 bent;	/* K_* */

/* --- our reading ----------------------------------------------------------------- */

#define K_LOCAL	0x01
#define K_LONG	0x02

static const struct known known[] = {
	{ K_LOCAL, 680, 0, "0d0a0d0a000d0a515549540a 20 12 0000",
	    "of a LOCAL connection the family is not ignored" },
	{ K_LONG, 680, 0, "0d0a0d0a000d0a515549540a 21 11 fff0",
	    "a block of more than 65519 octets is refused" },
};

/* Octets of an address block, or -1 for what is no connection of a stream. */
static int
block_size(uint8_t family)
{
	return (family == 0x11 ? 12 : family == 0x21 ? 36 :
	    family == 0x31 ? 216 : -1);
}

static void
address(uint8_t family, const uint8_t *p, struct sockaddr_storage *ss)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_un *sun = (struct sockaddr_un *)ss;

	memset(ss, 0, sizeof(*ss));
	if (family == 0x11) {
		sin->sin_family = AF_INET;
		memcpy(&sin->sin_addr, p, 4);
		memcpy(&sin->sin_port, p + 8, 2);
	} else if (family == 0x21) {
		sin6->sin6_family = AF_INET6;
		memcpy(&sin6->sin6_addr, p, 16);
		memcpy(&sin6->sin6_port, p + 32, 2);
	} else {
		sun->sun_family = AF_UNIX;
		memcpy(sun->sun_path, p, strnlen((const char *)p, 108));
	}
}

/* What becomes of a connection, the len octets sent so far being p. */
static void
read_header(const uint8_t *p, size_t len, struct outcome *o)
{
	static const uint8_t signature[] = "\r\n\r\n\0\r\nQUIT\n";
	size_t size, whole;
	int local, block;

	memset(o, 0, sizeof(*o));
	if (len < HEADER)
		return;
	if (memcmp(p, signature, 12) != 0 || p[12] >> 4 != 2) {
		o->fate = DROPPED;
		return;
	}
	size = p[14] << 8 | p[15];
	whole = HEADER + size;
	local = (p[12] & 15) == 0;
	block = block_size(p[13]);
	if ((bent & K_LONG && size > UINT16_MAX - HEADER) || (bent & K_LOCAL &&
	    ((block == -1 && p[13] != 0) || (int)size < block))) {
		o->fate = DROPPED;
		return;
	}
	if (len < whole) {
		/* An unknown command or family may be refused at once. */
		o->fate = local ? WAITS : NOT_TAKEN;
		if (!local && p[12] == 0x21 && block != -1 && (int)size >= block)
			o->fate = WAITS;
		return;
	}
	/* Whom to take UNSPEC for is up to the receiver: here it is refused. */
	if (!local && (p[12] != 0x21 || block == -1 || (int)size < block)) {
		o->fate = DROPPED;
		return;
	}
	o->fate = TAKEN;
	o->smtp = len - whole;
	if (local)
		o->ss = peer;
	else
		address(p[13], p + HEADER, &o->ss);
}

/* --- the daemon's -------------------------------------------------------------------- */

static void
once(enum fate fate, const struct sockaddr_storage *ss)
{
	if (got.fate != WAITS)
		fuzz_fail("a connection is handed on or dropped twice");
	got.fate = fate;
	got.ss = *ss;
}

static void
accepted(struct listener *l, int fd, const struct sockaddr_storage *ss,
    struct io *io)
{
	once(TAKEN, ss);
	got.smtp = io_datalen(io);
	io_pause(io, IO_IN);
	taken = io;
}

static void
dropped(struct listener *l, int fd, const struct sockaddr_storage *ss)
{
	once(DROPPED, ss);
}

static void
compare(const uint8_t *p, size_t sent)
{
	static const char *const names[] = {
		"waits", "is dropped", "waits or is dropped", "is taken"
	};
	struct outcome want;

	read_header(p, sent, &want);
	if (want.fate != got.fate && (want.fate != NOT_TAKEN || got.fate == TAKEN))
		fuzz_fail("behind %zu octets the connection %s, not %s", sent,
		    names[got.fate], names[want.fate]);
	if (got.fate != TAKEN)
		return;
	if (memcmp(&got.ss, &want.ss, sizeof(want.ss)) != 0)
		fuzz_fail("another address: %s", ss_to_text(&got.ss));
	if (got.smtp != want.smtp || (want.smtp > 0 &&
	    memcmp(io_data(taken), p + sent - want.smtp, want.smtp) != 0))
		fuzz_fail("%zu octets are left for SMTP, not %zu", got.smtp,
		    want.smtp);
}

/* Send p in those portions; each is read before the next, and its outcome compared. */
static int
connection(const uint8_t *p, size_t len, const size_t *cuts, size_t ncuts,
    int differs(const uint8_t *, size_t))
{
	size_t i, n, sent = 0;
	int sp[2], r = 0;

	memset(&got, 0, sizeof(got));
	taken = NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sp) == -1)
		fuzz_fail("socketpair: %s", strerror(errno));
	if (proxy_session(&listener, sp[1], &peer, accepted, dropped) == -1)
		fuzz_fail("no session");
	for (i = 0; i <= ncuts && sent < len && got.fate == WAITS; i++) {
		n = i < ncuts && cuts[i] < len - sent ? cuts[i] : len - sent;
		if (n == 0)
			continue;
		if (write(sp[0], p + sent, n) != (ssize_t)n)
			fuzz_fail("write: %s", strerror(errno));
		sent += n;
		event_loop(EVLOOP_NONBLOCK);
		r |= differs(p, sent);
	}
	close(sp[0]);
	if (got.fate == WAITS) {
		event_loop(EVLOOP_NONBLOCK);
		if (got.fate != DROPPED)
			fuzz_fail("a connection that was closed is not dropped");
	}
	if (taken != NULL)
		io_free(taken);
	return (r);
}

/* --- the target ----------------------------------------------------------------------- */

static int
check(const uint8_t *p, size_t sent)
{
	compare(p, sent);
	return (0);
}

static int
differ(const uint8_t *p, size_t sent)
{
	struct outcome want;

	read_header(p, sent, &want);
	return (want.fate != got.fate);
}

/* The example in hexadecimal, with blanks between. */
static int
departs(const char *hex)
{
	uint8_t data[256];
	size_t len = 0;
	unsigned int octet;

	for (; *hex != '\0'; hex++)
		if (*hex != ' ' && sscanf(hex++, "%2x", &octet) == 1)
			data[len++] = octet;
	bent = 0;
	return (connection(data, len, NULL, 0, differ));
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)&peer;

	sin->sin_family = AF_INET;
	sin->sin_addr.s_addr = htonl(0xc0000263);
	sin->sin_port = htons(4711);
	event_init();
	fuzz_warm_up("\n");
	return (0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;
	const uint8_t *p;
	size_t cuts[CUTS], i, n, len;

	if (size == 0)
		known_check(known, nitems(known), departs);
	bent = known_bits(known, nitems(known));
	fuzz_in(&in, data, size);
	n = fuzz_u8(&in) & CUTS;
	for (i = 0; i < n; i++)
		cuts[i] = fuzz_u8(&in);
	p = fuzz_rest(&in, &len);
	(void)connection(p, len, cuts, n, check);
	return (0);
}
