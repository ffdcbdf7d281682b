/*
 * What tables answer, for each service that a table can have.
 *
 * fuzz-without: table.c
 * fuzz-about: table.c:table_parse_lookup,parse_sockaddr,table_regex_match
 * fuzz-about: table.c:table_mailaddr_match,table_domain_match
 *
 * The first line of an input is a key, the second the value found; they are
 * read for every service.  Addresses have to be what inet_pton(3) makes of
 * them, with brackets, tag and scope as table(5) and the daemon have them;
 * credentials what is on either side of the colon; the rest is what its parser
 * makes of it.
 */

#include "table.c"

#include <ctype.h>
#include <limits.h>

#include "fuzz.h"
#include "known.h"
#include "text.h"

#define K_BRACKETS	0x01
#define K_ODDBRACKETS	0x02
#define K_INET4		0x04
#define K_SCOPE		0x08

/* table(5), sources: "IPv6 address must be enclosed in square brackets." */
static const struct known known[] = {
	{ K_BRACKETS, 680, 689, "[2001:db8::1]",
	  "brackets, which the manual wants, are refused" },
	{ K_ODDBRACKETS, 790, 0, "2001:db8::1]:25",
	  "what follows a closing bracket is skipped, and one may be missing" },
	{ K_ODDBRACKETS, 760, 789, "192.0.2.1]:25", "the same" },
	{ K_INET4, 760, 789, "2001:db8::1",
	  "src-inet6: no IPv6 address is taken, but an IPv4 one in brackets" },
	{ K_SCOPE, 680, 689, "2001:db8::1% +01",
	  "any address may have a scope, which is read by strtonum(3)" },
	{ K_SCOPE, 760, 789, "192.0.2.1% +01", "the same" },
	{ K_SCOPE, 790, 0, "2001:db8::1% +01", "the same" },
};

static unsigned	bent;

/* --- our own reading of an address ------------------------------------- */

/* A scope: an interface's name or a number. */
static int
read_scope(const char *s, const uint8_t *a, unsigned known_ones, uint32_t *id)
{
	int local = (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) ||
	    (a[0] == 0xff && ((a[1] & 0x0f) == 1 || (a[1] & 0x0f) == 2));
	char *end;
	long long n;

	if (local && (*id = if_nametoindex(s)) != 0)
		return 1;
	if (!(known_ones & K_SCOPE) && (!local ||
	    !isdigit((unsigned char)*s) || (s[0] == '0' && s[1] != '\0')))
		return 0;
	errno = 0;
	n = strtoll(s, &end, 10);
	*id = n;
	return end != s && *end == '\0' && errno == 0 && n >= 0 &&
	    n <= UINT32_MAX;
}

/* [address], the brackets being both there or neither. */
static int
read_brackets(const char *s, unsigned known_ones, char *dst, size_t size)
{
	const char *end = strchr(s, ']');
	int open = *s == '[';

	if (open && known_ones & K_BRACKETS)
		return 0;
	s += open;
	if (strncasecmp(s, "IPv6:", 5) == 0)
		s += 5;
	if (known_ones & K_BRACKETS)
		end = NULL;
	else if (!(known_ones & K_ODDBRACKETS) &&
	    (open ? end == NULL || end[1] != '\0' : end != NULL))
		return 0;
	if (end == NULL)
		end = s + strlen(s);
	if (strlen(s) >= NI_MAXHOST)
		return 0;
	return snprintf(dst, size, "%.*s", (int)(end - s), s) < (int)size;
}

static int
read_sockaddr(const char *s, unsigned known_ones, struct sockaddr_storage *ss)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;
	char buf[NI_MAXHOST], *scope;

	memset(ss, 0, sizeof *ss);
	sin->sin_family = AF_INET;
	if (inet_pton(AF_INET, s, &sin->sin_addr) == 1)
		return 1;
	memset(ss, 0, sizeof *ss);
	sin6->sin6_family = AF_INET6;
	if (!read_brackets(s, known_ones, buf, sizeof buf))
		return 0;
	if ((scope = strchr(buf, '%')) != NULL)
		*scope++ = '\0';
	if (inet_pton(known_ones & K_INET4 ? AF_INET : AF_INET6, buf,
	    &sin6->sin6_addr) != 1)
		return 0;
	return scope == NULL || read_scope(scope, sin6->sin6_addr.s6_addr,
	    known_ones, &sin6->sin6_scope_id);
}

static int
same(const struct sockaddr_storage *a, const struct sockaddr_storage *b,
    unsigned known_ones)
{
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)a;
	const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)b;

	if (a->ss_family != b->ss_family)
		return 0;
	if (a->ss_family == AF_INET)
		return memcmp(a, b, sizeof(struct sockaddr_in)) == 0;
	/* 12 octets of an address read as another family's are chance. */
	return memcmp(&a6->sin6_addr, &b6->sin6_addr,
	    known_ones & K_INET4 ? 4 : 16) == 0 &&
	    (known_ones & K_INET4 || a6->sin6_scope_id == b6->sin6_scope_id);
}

static int
sockaddr_agrees(const char *s, unsigned known_ones)
{
	struct sockaddr_storage ours, theirs;
	int ok;

	ok = parse_sockaddr((struct sockaddr *)&theirs, PF_UNSPEC, s) == 0;
	if (ok != read_sockaddr(s, known_ones, &ours))
		return 0;
	return !ok || same(&theirs, &ours, known_ones);
}

static int
departs(const char *s)
{
	return !sockaddr_agrees(s, 0);
}

/* --- each service ------------------------------------------------------ */

/* user:password with something in both, or a password of the key's user. */
static int
credentials(const char *key, const char *value, const union lookup *lk, int ret)
{
	const char *colon = strchr(value, ':');
	size_t len = strlen(value);

	if (len < 3 || len >= LINE_MAX ||
	    (colon != NULL && (colon == value || colon[1] == '\0')) ||
	    (colon == NULL && strlen(key) >= LINE_MAX))
		return ret == -1;
	if (ret != 1)
		return 0;
	if (colon == NULL)
		return strcmp(lk->creds.username, key) == 0 &&
		    strcmp(lk->creds.password, value) == 0;
	return strlen(lk->creds.username) == (size_t)(colon - value) &&
	    strncmp(lk->creds.username, value, colon - value) == 0 &&
	    strcmp(lk->creds.password, colon + 1) == 0;
}

static int
domain(const char *key, const char *value, const union lookup *lk, int ret)
{
	(void)key;
	if (strlen(value) >= sizeof lk->domain.name)
		return ret == -1;
	return ret == 1 && strcmp(lk->domain.name, value) == 0;
}

static int
relayhost(const char *key, const char *value, const union lookup *lk, int ret)
{
	(void)key;
	if (strlen(value) >= LINE_MAX)
		return ret == -1;
	return ret == 1 && strcmp(lk->relayhost, value) == 0;
}

static int
source(const char *key, const char *value, const union lookup *lk, int ret)
{
	struct sockaddr_storage ss;

	(void)key;
	if (!read_sockaddr(value, bent, &ss))
		return ret == -1;
	return ret == 1 && same(&lk->source.addr, &ss, bent);
}

static int
addrname(const char *key, const char *value, const union lookup *lk, int ret)
{
	struct sockaddr_storage ss;

	if (!read_sockaddr(key, bent, &ss) ||
	    strlen(value) >= sizeof lk->addrname.name)
		return ret == -1;
	return ret == 1 && same(&lk->addrname.addr, &ss, bent) &&
	    strcmp(lk->addrname.name, value) == 0;
}

static int
userinfo(const char *key, const char *value, const union lookup *lk, int ret)
{
	struct userinfo u;
	char buf[LINE_MAX];

	if (snprintf(buf, sizeof buf, "%s:%s", key, value) >=
	    (int)sizeof buf || !text_to_userinfo(&u, buf))
		return ret == -1;
	return ret == 1 && u.uid == lk->userinfo.uid &&
	    u.gid == lk->userinfo.gid &&
	    strcmp(u.username, lk->userinfo.username) == 0 &&
	    strcmp(u.directory, lk->userinfo.directory) == 0;
}

/* The list is ours to free; that of one refused is not. */
static int
alias(const char *key, const char *value, const union lookup *lk, int ret)
{
	(void)key;
	(void)value;
	if (ret == 1)
		expand_free(lk->expand);
	return ret == 1 || ret == -1;
}

static int
mailaddrmap(const char *key, const char *value, const union lookup *lk, int ret)
{
	(void)key;
	(void)value;
	if (ret == 1)
		maddrmap_free(lk->maddrmap);
	return ret == 1 || ret == -1;
}

static int
mailaddr(const char *key, const char *value, const union lookup *lk, int ret)
{
	struct mailaddr m;

	(void)key;
	if (!text_to_mailaddr(&m, value))
		return ret == -1;
	return ret == 1 && memcmp(&m, &lk->mailaddr, sizeof m) == 0;
}

static int
netaddr(const char *key, const char *value, const union lookup *lk, int ret)
{
	struct netaddr n;

	(void)key;
	if (!text_to_netaddr(&n, value))
		return ret == -1;
	return ret == 1 && n.bits == lk->netaddr.bits &&
	    n.ss.ss_family == lk->netaddr.ss.ss_family;
}

static const struct service {
	enum table_service	 service;
	int			(*check)(const char *, const char *,
				    const union lookup *, int);
} services[] = {
	{ K_ALIAS,		alias },
	{ K_DOMAIN,		domain },
	{ K_CREDENTIALS,	credentials },
	{ K_NETADDR,		netaddr },
	{ K_USERINFO,		userinfo },
	{ K_SOURCE,		source },
	{ K_MAILADDR,		mailaddr },
	{ K_MAILADDRMAP,	mailaddrmap },
	{ K_ADDRNAME,		addrname },
	{ K_RELAYHOST,		relayhost },
};

static void
lookup(const char *key, const char *value)
{
	static union lookup lk;
	int ret;

	for (size_t i = 0; i < nitems(services); i++) {
		ret = table_parse_lookup(services[i].service, key, value, &lk);
		if (!services[i].check(key, value, &lk, ret))
			fuzz_fail("service %d: key \"%s\", value \"%s\": %d",
			    services[i].service, key, value, ret);
	}
}

/* Up to 7.6.0p1: see addrnet.c, before_buffer(). */
static int
before_buffer(const char *s)
{
	static const char *texts[] = {
		"[", "IPv6:[", "[IPv6:", "IPv6:[IPv6:"
	};

	for (size_t i = 0; i < nitems(texts); i++)
		if (FUZZ_VERSION < 790 && strcasecmp(s, texts[i]) == 0)
			return 1;
	return 0;
}

/* --- matching ---------------------------------------------------------- */

/*
 * glibc takes time and memory without bounds for counts and references back,
 * and doubles them with each plus; who writes the table pays.
 */
static int
cheap(const char *regex)
{
	int plus = 0;

	for (const char *p = regex; *p != '\0'; p++)
		plus += *p == '+';
	return plus <= 4 && strlen(regex) <= 64 && !strpbrk(regex, "{\\");
}

static void
match(const char *key, const char *value)
{
	(void)table_mailaddr_match(key, value);
	(void)table_domain_match(key, value);
	if (cheap(value))
		(void)table_regex_match(key, value);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct smtpd conf;
	static char plus[] = "+";

	(void)argc;
	(void)argv;
	env = &conf;
	conf.sc_subaddressing_delim = plus;
	bent = known_bits(known, nitems(known));
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;
	char *key, *value;

	if (size == 0)
		known_check(known, nitems(known), departs);
	fuzz_in(&in, data, size);
	key = text_line(&in);
	value = text_line(&in);
	if (!sockaddr_agrees(value, bent))
		fuzz_fail("the address \"%s\"", value);
	if (!before_buffer(value))
		lookup(key, value);
	match(key, value);
	free(key);
	free(value);
	return 0;
}
