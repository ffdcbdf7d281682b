/*
 * Network addresses, as tables and clients give them.
 *
 * fuzz-about: to.c:text_to_netaddr
 * fuzz-about: table.c:table_netaddr_match,table_match_mask
 * fuzz-about: table.c:table_inet4_match,table_inet6_match
 *
 * The first line of an input is an entry of a table, the second the address of
 * a client.  text_to_netaddr() has to agree with a reading of our own, made of
 * inet_pton(3) and a prefix length; table_netaddr_match() with a comparison of
 * the first bits; and an address that is printed and read again with itself.
 *
 * broken_inet_net_pton_ipv6(), which stands in for the C library where that
 * knows no IPv6, is reached in 6.8 alone: 7.x has its own inet_net_pton(3).
 */

#include "includes.h"

#include <sys/types.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd.h"

#include "fuzz.h"
#include "known.h"
#include "text.h"

#define K_SHORT		0x01
#define K_HEX		0x02
#define K_ZEROS		0x04
#define K_TAG4		0x08
#define K_TAGTWICE	0x10
#define K_PREFIX	0x20
#define K_CLASSD	0x40
#define K_WRAP		0x80

/*
 * table(5): "IPv4 and IPv6 network addresses ... exact addresses or netmasks",
 * and smtpd.conf(5): "a subnet expressed in CIDR-notation".
 */
static const struct known known[] = {
	{ K_SHORT, 680, 0, "10.1",
	  "octets left out are zero, and the mask is that of the class or of "
	  "the octets there are: inet_net_pton(3)" },
	{ K_HEX, 680, 0, "0xc0000201", "as inet_net_pton(3) has it" },
	{ K_ZEROS, 680, 0, "192.0.02.1/08",
	  "leading zeros are skipped, inet_pton(3) refuses them" },
	{ K_TAG4, 680, 0, "IPv6:192.0.2.1",
	  "the tag IPv6: does not say that it is one" },
	{ K_TAGTWICE, 680, 0, "IPv6:[IPv6:2001:db8::1]",
	  "the tag may be outside the brackets, inside, or both" },
	{ K_PREFIX, 680, 0, "2001:db8::/ +032",
	  "the length is read by strtonum(3), with all it skips" },
	{ K_CLASSD, 680, 689, "224.0.0.1",
	  "6.8 uses the C library's inet_net_pton(3), and glibc's gives all "
	  "multicast addresses a mask of 4 bits" },
	{ K_WRAP, 680, 689, "192.0.2.1/4294967304",
	  "and takes a length modulo 2 to the 32, less than 0 too: all hosts" },
};

static unsigned	bent;

struct reading {
	int	family;
	uint8_t	addr[16];
	int	bits;
};

/* A decimal number of at most max; strictly without leading zeros. */
static int
read_length(const char *s, int max, unsigned known_ones, int *n)
{
	uint32_t value = 0;

	if (!isdigit((unsigned char)*s) ||
	    (!(known_ones & K_ZEROS) && s[0] == '0' && s[1] != '\0'))
		return 0;
	for (; isdigit((unsigned char)*s); s++) {
		value = value * 10 + *s - '0';
		if (value > (uint32_t)max && !(known_ones & K_WRAP))
			return 0;
	}
	*n = (int)value;
	return *s == '\0' && *n <= max;
}

/* What strtonum(3) makes of 0 to 128. */
static int
read_strtonum(const char *s, int *n)
{
	char *end;
	long long value;

	value = strtoll(s, &end, 10);
	*n = value;
	return end != s && *end == '\0' && value >= 0 && value <= 128;
}

/* The octets, however many; 0 where this is no IPv4 address at all. */
static int
read_octets(const char *s, size_t len, unsigned known_ones, uint8_t *addr)
{
	size_t i = 0;
	int n = 0, digits, value;

	if (len > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		if (!(known_ones & K_HEX))
			return 0;
		for (i = 2; i < len; i++) {
			if (!isxdigit((unsigned char)s[i]) || (n = i / 2) > 4)
				return 0;
			value = isdigit((unsigned char)s[i]) ? s[i] - '0' :
			    tolower((unsigned char)s[i]) - 'a' + 10;
			addr[n - 1] |= i % 2 ? value : value << 4;
		}
		return n;
	}
	for (;; i++) {
		for (value = digits = 0; i < len &&
		    isdigit((unsigned char)s[i]); i++, digits++)
			if ((value = value * 10 + s[i] - '0') > 255 ||
			    (digits > 0 && s[i - digits] == '0' &&
			    !(known_ones & K_ZEROS)))
				return 0;
		if (digits == 0 || n == 4)
			return 0;
		addr[n++] = value;
		if (i == len)
			return n == 4 || known_ones & K_SHORT ? n : 0;
		if (s[i] != '.')
			return 0;
	}
}

/* The bits that inet_net_pton(3) takes for granted. */
static int
classful(const uint8_t *addr, int octets, unsigned known_ones)
{
	int bits;

	bits = addr[0] >= 240 ? 32 : addr[0] >= 224 ? 4 :
	    addr[0] >= 192 ? 24 : addr[0] >= 128 ? 16 : 8;
	if (bits == 4 && known_ones & K_CLASSD)
		return 4;
	return bits < octets * 8 ? octets * 8 : bits;
}

static int
read_inet4(const char *s, unsigned known_ones, struct reading *r)
{
	size_t len = strcspn(s, "/");
	int n;

	memset(r, 0, sizeof *r);
	r->family = AF_INET;
	if ((n = read_octets(s, len, known_ones, r->addr)) == 0)
		return 0;
	if (s[len] == '/' &&
	    !read_length(s + len + 1, 32, known_ones, &r->bits))
		return 0;
	/* Less than 0 is what it is, but for -1. */
	if (s[len] != '/' || r->bits == -1)
		r->bits = classful(r->addr, n, known_ones);
	return 1;
}

static int
read_inet6(const char *s, size_t len, unsigned known_ones, struct reading *r)
{
	char buf[64], *slash;

	/* The longest address has 45 characters. */
	memset(r, 0, sizeof *r);
	r->family = AF_INET6;
	r->bits = 128;
	if (len >= (FUZZ_VERSION < 700 ? 50 : 51))
		return 0;
	memcpy(buf, s, len);
	buf[len] = '\0';
	if ((slash = strchr(buf, '/')) != NULL) {
		*slash++ = '\0';
		if (known_ones & K_PREFIX ? !read_strtonum(slash, &r->bits) :
		    !read_length(slash, 128, 0, &r->bits))
			return 0;
	}
	return inet_pton(AF_INET6, buf, r->addr) == 1;
}

static int
tag(const char **s)
{
	if (strncasecmp(*s, "IPv6:", 5) != 0)
		return 0;
	*s += 5;
	return 1;
}

static int
read_netaddr(const char *s, unsigned known_ones, struct reading *r)
{
	size_t len;
	int tagged = tag(&s);

	if ((!tagged || known_ones & K_TAG4) && read_inet4(s, known_ones, r))
		return 1;
	if (*s != '[')
		return read_inet6(s, strlen(s), known_ones, r);
	s++;
	if (tag(&s) && tagged && !(known_ones & K_TAGTWICE))
		return 0;
	len = strlen(s);
	return len > 0 && s[len - 1] == ']' &&
	    read_inet6(s, len - 1, known_ones, r);
}

static const uint8_t *
address(const struct netaddr *n)
{
	if (n->ss.ss_family == AF_INET)
		return (const uint8_t *)
		    &((const struct sockaddr_in *)&n->ss)->sin_addr;
	return (const uint8_t *)
	    &((const struct sockaddr_in6 *)&n->ss)->sin6_addr;
}

/* Are the first bits the same? */
static int
same(const uint8_t *a, const uint8_t *b, int bits)
{
	for (int i = 0; i < bits; i++)
		if ((a[i / 8] ^ b[i / 8]) & 0x80 >> i % 8)
			return 0;
	return 1;
}

/*
 * Up to 7.6.0p1 the character before an empty buffer is looked at, to see
 * whether it is the closing bracket: 7.9.0 knows better.  Found by this target,
 * and nothing else is found where it is.
 */
static int
before_buffer(const char *s)
{
	if (FUZZ_VERSION >= 790)
		return 0;
	(void)tag(&s);
	if (*s++ != '[')
		return 0;
	(void)tag(&s);
	return *s == '\0';
}

static int
agrees(const char *s, unsigned known_ones, struct netaddr *n)
{
	struct reading r;
	int ours, theirs;

	ours = read_netaddr(s, known_ones, &r);
	theirs = text_to_netaddr(n, s);
	if (!ours || !theirs)
		return ours == theirs;
	return n->ss.ss_family == r.family && n->bits == r.bits &&
	    same(address(n), r.addr, r.bits);
}

static int
departs(const char *s)
{
	struct netaddr n;

	return !agrees(s, 0, &n);
}

/* Printed as the daemon prints it and read again it is the same host. */
static void
there_and_back(const struct netaddr *n)
{
	struct netaddr again;
	const uint8_t *a = address(n);
	const char *text;
	int host = n->ss.ss_family == AF_INET ? 32 : 128;
	int bits = host == 32 ? classful(a, 4, bent) : host;

	/* 6.8 takes two octets of a link-local address for its scope. */
	if (FUZZ_VERSION < 700 && host == 128 && (a[2] || a[3]) &&
	    ((a[0] == 0xfe && (a[1] & 0xc0) == 0x80) ||
	    (a[0] == 0xff && (a[1] & 0x0f) == 2)))
		return;
	text = ss_to_text(&n->ss);
	if (!text_to_netaddr(&again, text) || again.bits != bits ||
	    again.ss.ss_family != n->ss.ss_family ||
	    !same(address(&again), a, host))
		fuzz_fail("\"%s\" is not read as it was printed", text);
}

static void
match(const char *client, const char *entry)
{
	struct reading c, e;
	int ours;

	ours = strcasecmp(client, entry) == 0 ||
	    (read_netaddr(client, bent, &c) && read_netaddr(entry, bent, &e) &&
	    c.family == e.family && same(c.addr, e.addr, e.bits));
	if (table_netaddr_match(client, entry) != ours)
		fuzz_fail("client \"%s\" %s \"%s\"", client,
		    ours ? "is not found in" : "is found in", entry);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	bent = known_bits(known, nitems(known));
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;
	struct netaddr n;
	char *entry, *client;

	if (size == 0)
		known_check(known, nitems(known), departs);
	fuzz_in(&in, data, size);
	entry = text_line(&in);
	client = text_line(&in);
	if (!before_buffer(entry)) {
		if (!agrees(entry, bent, &n))
			fuzz_fail("\"%s\" is %s", entry,
			    text_to_netaddr(&n, entry) ? ss_to_text(&n.ss) :
			    "refused");
		if (text_to_netaddr(&n, entry))
			there_and_back(&n);
		/* Of a client there is an address, never a network. */
		if (strchr(client, '/') == NULL && !before_buffer(client))
			match(client, entry);
	}
	free(entry);
	free(client);
	return 0;
}
