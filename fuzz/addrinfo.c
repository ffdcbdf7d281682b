/*
 * The resolver library's getaddrinfo and getnameinfo, and smtpd's resolver.c,
 * which has them done by another process.
 *
 * fuzz-without: smtp_session.c
 * fuzz-wrap: socket connect fcntl send sendmsg recv read poll close
 * fuzz-wrap: fopen stat getifaddrs freeifaddrs if_nametoindex
 * fuzz-wrap: if_indextoname res_randomid __res_randomid event_asr_run
 * fuzz-wrap: m_close freeaddrinfo
 * fuzz-about: getaddrinfo_async.c:getaddrinfo_async_run,addrinfo_add
 * fuzz-about: getaddrinfo_async.c:addrinfo_from_pkt,addrinfo_from_file
 * fuzz-about: getaddrinfo_async.c:asr_freeaddrinfo,getaddrinfo_async
 * fuzz-about: getnameinfo_async.c:getnameinfo_async_run,_numerichost,_servname
 * fuzz-about: gethostnamadr_async.c:hostent_from_packet,hostent_set_cname
 * fuzz-about: res_send_async.c:res_send_async_run,validate_packet,tcp_read
 * fuzz-about: res_send_async.c:tcp_write,udp_recv,udp_send,setup_query
 * fuzz-about: asr_utils.c:_asr_unpack_rr,_asr_unpack_query,dname_expand
 * fuzz-about: asr_utils.c:_asr_sockaddr_from_str,_asr_dname_from_fqdn
 * fuzz-about: resolver.c:resolver_getaddrinfo,resolver_getnameinfo
 * fuzz-about: resolver.c:resolver_getaddrinfo_cb,resolver_getnameinfo_cb
 *
 * An input is an octet each for what is called, the configuration, flags and
 * kinds of socket; a line with a host and one with a service, or the address to
 * look up; and then answers, as dnsnet.h has them.
 *
 * All lists have to have what the answers say, in their order, and be released
 * by the library that made them, whole and once: AddressSanitizer and
 * LeakSanitizer object otherwise, and we do where the C library's freeaddrinfo
 * gets at them, which works with glibc and crashes with musl.
 *
 * ci/musl builds this with musl too.
 */

#include "smtp_session.c"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#if FUZZ_VERSION < 700
#include <asr.h>
#endif
#include <netdb.h>

#include "dnsnet.h"

#define CONF_INET4	0x01	/* prefer it */
#define CONF_ONLY	0x02	/* nothing but the preferred family */
#define CONF_TCP	0x04
#define CONF_EDNS	0x08
#define CONF_SEARCH	0x10
#define CONF_TWO	0x20	/* servers */
#define CONF_LOOKUP	6	/* and the bit above: which databases */

#define ADDRESSES	8192	/* a little more than there can be */

struct address {
	int		 family;
	uint8_t		 octets[16];
	uint32_t	 scope;
};

static const char *const lookups[] = { "bind", "file bind", "bind file",
    "file" };

static char		 conf_text[512];
static int		 families[2];		/* in the order of preference */
static int		 nfamilies;

/* What is looked up. */
static const char	*host, *serv;
static struct addrinfo	 hints;
static struct address	 subject;		/* of getnameinfo */

/* What has to come out, by the answers given so far. */
static struct address	 want[ADDRESSES];
static size_t		 nwant;
static unsigned		 looked;		/* into the file of hosts */
static struct dm_name	 want_name;
static char		 want_host[DM_MAXNAME + 256];
static int		 named;

static struct mproc	 to_lka, to_dispatcher;
static unsigned		 called;		/* callbacks */

void	 __real_m_close(struct mproc *);
void	 __wrap_m_close(struct mproc *);
void	 __real_freeaddrinfo(struct addrinfo *);
void	 __wrap_freeaddrinfo(struct addrinfo *);

void
__wrap_freeaddrinfo(struct addrinfo *ai)
{
	if (net.up)
		fuzz_fail("libasr's list is released by the C library");
	__real_freeaddrinfo(ai);
}

/* A message to another process, which we are too. */
void
__wrap_m_close(struct mproc *p)
{
	struct imsg imsg;

	memset(&imsg, 0, sizeof(imsg));
	imsg.hdr.type = p->m_type;
	imsg.hdr.peerid = p->m_peerid;
	imsg.hdr.len = IMSG_HEADER_SIZE + p->m_pos;
	if ((imsg.data = malloc(p->m_pos)) == NULL)
		fuzz_fail("malloc");
	memcpy(imsg.data, p->m_buf, p->m_pos);
	if (p == &to_dispatcher)
		resolver_dispatch_result(p, &imsg);
	else if (p->m_type != IMSG_SMTP_LOOKUP_HELO)
		resolver_dispatch_request(&to_dispatcher, &imsg);
	free(imsg.data);
}

/* --- what has to come out ------------------------------------------------------ */

static void
want_address(int family, const void *octets, uint32_t scope)
{
	struct address *a;

	if (nwant == ADDRESSES)
		fuzz_fail("more addresses than there can be");
	a = &want[nwant++];
	memset(a, 0, sizeof(*a));
	a->family = family;
	memcpy(a->octets, octets, family == AF_INET ? 4 : 16);
	a->scope = scope;
}

/*
 * All records of the type asked for count, whoever they belong to: the name
 * server is trusted to have sent what is at the end of the chain of CNAMEs.
 */
static void
answer_addresses(const struct net_query *q, struct dm *m)
{
	static struct dm_rr rr;
	struct dm_name name;
	uint16_t type, class;
	unsigned n;

	(void)dm_question(m, &name, &type, &class);
	for (n = 0; n < m->count[1]; n++) {
		(void)dm_rr(m, &rr);
		if (rr.type == q->type && rr.class == DM_IN)
			want_address(rr.type == DM_A ? AF_INET : AF_INET6,
			    m->p + rr.rdata, 0);
	}
	if (q->type != (DM_A) && q->type != (DM_AAAA))
		fuzz_fail("asks for type %u", q->type);
	if (hints.ai_flags & AI_ADDRCONFIG &&
	    !(q->type == DM_A ? net.inet : net.inet6))
		fuzz_fail("asks for addresses nobody can use");
}

/*
 * Letters, digits, hyphens and underscores, RFC 952 and 1123 but for the last.
 * Where the C library has a function for that it is taken: glibc's minds a hyphen
 * only at the very beginning, and the sizes, RFC 1035 2.3.4, and reads escapes,
 * RFC 1035 5.1.
 */
#ifdef __GLIBC__
#define LAST_ESCAPE	256	/* a backslash at the end */

/* The next octet of "x", "\x" or "\120"; -1 if it is wrong. */
static int
next_octet(const char **p)
{
	int c = (unsigned char)*(*p)++, i;

	if (c != '\\')
		return (c);
	if (**p == '\0')
		return (LAST_ESCAPE);
	c = (unsigned char)*(*p)++;
	if (!isdigit(c))
		return (c);
	for (c -= '0', i = 0; i < 2; i++) {
		if (!isdigit((unsigned char)**p))
			return (-1);
		c = c * 10 + *(*p)++ - '0';
	}
	return (c > 255 ? -1 : c);
}

static int
is_host_name(const char *s)
{
	size_t label = 0, all = 0;
	int c;

	while (*s != '\0') {
		if (*s == '.') {
			if (label == 0)
				return (0);
			label = 0;
			all++;
			s++;
			continue;
		}
		if ((c = next_octet(&s)) == LAST_ESCAPE)
			break;
		if (c == -1 || label == 63 || all > 253 ||
		    (c == '-' && all == 0) ||
		    (!isalnum(c) && c != '-' && c != '_'))
			return (0);
		label++;
		all++;
	}
	return (1);
}
#else
/* libasr's own: hyphens and underscores not at the ends of a label. */
static int
is_host_name(const char *s)
{
	size_t i, label = 0;

	for (i = 0; s[i] != '\0'; i++) {
		if (s[i] == '.') {
			label = 0;
			continue;
		}
		label++;
		if (!isalnum((unsigned char)s[i]) && ((s[i] != '-' &&
		    s[i] != '_') || label == 1 || s[i + 1] == '.' ||
		    s[i + 1] == '\0'))
			return (0);
	}
	return (1);
}
#endif

/* The first PTR record that leads to a host name, through CNAMEs in order. */
static void
answer_names(const struct net_query *q, struct dm *m)
{
	static struct dm_rr rr;
	struct dm_name name;
	uint16_t type, class;
	unsigned n;
	size_t len;

	if (q->type != DM_PTR || !net_same_name(&q->name, &want_name))
		fuzz_fail("asks for another name");
	(void)dm_question(m, &name, &type, &class);
	for (n = 0; n < m->count[1] && !named; n++) {
		(void)dm_rr(m, &rr);
		if (rr.class != DM_IN || !net_same_name(&rr.owner, &name))
			continue;
		if (rr.type == DM_CNAME)
			name = rr.name[0];
		if (rr.type != DM_PTR)
			continue;
		/* What is too long is cut before it is looked at. */
		len = dm_text(&rr.name[0], want_host);
		if (len > 1024)
			len = 1023;
		want_host[len - 1] = '\0';
		named = is_host_name(want_host) && len < 1024;
	}
}

static void
hosts_addresses(void)
{
	static const struct {
		int		 family;
		const char	*address, *names[2];
	} lines[] = {
		{ AF_INET, "192.0.2.99", { "filehost.example.com", "filehost" } },
		{ AF_INET6, "2001:db8::99", { "filehost", "filehost" } },
		{ AF_INET, "192.0.2.98", { "other", "filehost" } },
	};
	uint8_t octets[16];
	size_t i;
	int family;

	family = hints.ai_family != 0 ? hints.ai_family :
	    families[looked++ % nfamilies];
	for (i = 0; i < nitems(lines); i++)
		if (lines[i].family == family &&
		    (strcasecmp(host, lines[i].names[0]) == 0 ||
		    strcasecmp(host, lines[i].names[1]) == 0)) {
			(void)inet_pton(family, lines[i].address, octets);
			want_address(family, octets, 0);
		}
}

static void
hosts_names(void)
{
	static const uint8_t first[] = { 192, 0, 2, 99 }, other[] = { 192, 0, 2,
	    98 }, v6[] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	    0x99 };
	const char *name = NULL;

	if (subject.family == AF_INET6)
		name = memcmp(subject.octets, v6, 16) == 0 ? "filehost" : NULL;
	else if (memcmp(subject.octets, first, 4) == 0)
		name = "filehost.example.com";
	else if (memcmp(subject.octets, other, 4) == 0)
		name = "other";
	if (name != NULL) {
		named = 1;
		(void)strlcpy(want_host, name, sizeof(want_host));
	}
}

/* --- getaddrinfo: arguments ------------------------------------------------------ */

/* As strtonum(3) reads it: blanks and a sign may be in front. */
static int
number(const char *s, long long max, long long *n)
{
	char *end;

	errno = 0;
	*n = strtoll(s, &end, 10);
	return (end != s && *end == '\0' && errno == 0 && *n >= 0 && *n <= max);
}

static int
has_local_scope(const uint8_t *a)
{
	return ((a[0] == 0xfe && (a[1] & 0xc0) == 0x80) ||
	    (a[0] == 0xff && ((a[1] & 0xf) == 1 || (a[1] & 0xf) == 2)));
}

/* RFC 4007 11: an address, or an address, %, and an interface or its number. */
static int
is_address(int family, const char *s)
{
	char text[1200], *zone;
	uint8_t octets[16];
	long long n = 0;

	(void)strlcpy(text, s, sizeof(text));
	zone = family == AF_INET6 ? strchr(text, '%') : NULL;
	if (zone != NULL)
		*zone++ = '\0';
	if (inet_pton(family, text, octets) != 1)
		return (0);
	if (zone != NULL && has_local_scope(octets))
		n = strcmp(zone, "lo") == 0 ? 1 : strcmp(zone, "eth0") == 0 ? 2 :
		    0;
	if (zone != NULL && n == 0 && !number(zone, UINT32_MAX, &n))
		return (0);
	want_address(family, octets, n);
	return (1);
}

/* RFC 6761 6.3; 6.8 asks the name server. */
static int
is_localhost(const char *s)
{
	char text[1200];
	size_t len;

	(void)strlcpy(text, s, sizeof(text));
	len = strlen(text);
	if (len > 0 && text[len - 1] == '.')
		text[--len] = '\0';
	return (FUZZ_VERSION >= 760 && (strcasecmp(text, "localhost") == 0 ||
	    (len >= 10 && strcasecmp(text + len - 10, ".localhost") == 0)));
}

static int
matches(int family, int type, int protocol)
{
	return ((hints.ai_family == 0 || hints.ai_family == family) &&
	    (hints.ai_socktype == type ||
	    (hints.ai_socktype == 0 && type != SOCK_RAW)) &&
	    (hints.ai_protocol == 0 || protocol == 0 ||
	    hints.ai_protocol == protocol));
}

/*
 * What is wrong with the arguments; the codes are libasr's.  The portable
 * version has no AI_FQDN and takes AI_CANONNAME for it, and as not both may be
 * given, AI_CANONNAME is always refused.
 */
static int
arguments_error(void)
{
	long long port;

	if (host == NULL && serv == NULL)
		return (EAI_NONAME);
	if (host != NULL && *host == '\0')
		return (EAI_NODATA);
	if (hints.ai_flags & ~(AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV |
	    AI_ADDRCONFIG))
		return (EAI_BADFLAGS);
	if (hints.ai_family != 0 && hints.ai_family != AF_INET &&
	    hints.ai_family != AF_INET6)
		return (EAI_FAMILY);
	if (hints.ai_socktype < 0 || hints.ai_socktype > SOCK_RAW)
		return (EAI_SOCKTYPE);
	if (hints.ai_socktype == SOCK_RAW && serv != NULL &&
	    (!number(serv, 65535, &port) || port != 0))
		return (EAI_SERVICE);
	if (!matches(hints.ai_family ? hints.ai_family : AF_INET, SOCK_DGRAM,
	    IPPROTO_UDP) && !matches(hints.ai_family ? hints.ai_family : AF_INET,
	    SOCK_STREAM, IPPROTO_TCP) && hints.ai_socktype != SOCK_RAW)
		return (EAI_FAIL);
	/* Services have numbers: there is no getservbyname_r(3) like OpenBSD's. */
	if (serv != NULL && !number(serv, 65535, &port) &&
	    (hints.ai_protocol == 0 || hints.ai_protocol == IPPROTO_TCP ||
	    hints.ai_protocol == IPPROTO_UDP))
		return (EAI_SERVICE);
	return (0);
}

/* Is it known without anybody being asked? */
static void
want_local(void)
{
	static const uint8_t any[16], one[16] = { [15] = 1 },
	    loopback[4] = { 127, 0, 0, 1 };
	int i, family, passive, local;

	local = host == NULL || (!(hints.ai_flags & AI_NUMERICHOST) &&
	    is_localhost(host));
	passive = host == NULL && hints.ai_flags & AI_PASSIVE;
	for (i = 0; i < (hints.ai_family != 0 ? 1 : nfamilies); i++) {
		family = hints.ai_family != 0 ? hints.ai_family : families[i];
		if (local)
			want_address(family, passive ? any : family == AF_INET ?
			    loopback : one, 0);
		else if (is_address(family, host))
			return;
	}
}

/* --- getaddrinfo: results --------------------------------------------------------- */

static void
check_entry(const struct addrinfo *ai, const struct address *a, int type,
    int protocol, int remote)
{
	const struct sockaddr_in *sin = (const void *)ai->ai_addr;
	const struct sockaddr_in6 *sin6 = (const void *)ai->ai_addr;
	long long port = 0;
	size_t len;

	if (hints.ai_protocol != 0)
		protocol = hints.ai_protocol;
	if (serv != NULL && (protocol == IPPROTO_TCP ||
	    protocol == IPPROTO_UDP))
		(void)number(serv, 65535, &port);
	len = a->family == AF_INET ? sizeof(*sin) : sizeof(*sin6);
	/* resolver.c does not send the length. */
	if (ai->ai_flags != hints.ai_flags || ai->ai_family != a->family ||
	    ai->ai_socktype != type || ai->ai_protocol != protocol ||
	    ai->ai_addrlen != (remote ? 0 : len) || ai->ai_canonname != NULL)
		fuzz_fail("an entry of another kind");
	if (a->family == AF_INET ? sin->sin_family != AF_INET ||
	    memcmp(&sin->sin_addr, a->octets, 4) != 0 :
	    sin6->sin6_family != AF_INET6 ||
	    memcmp(&sin6->sin6_addr, a->octets, 16) != 0)
		fuzz_fail("another address");
	if (ntohs(a->family == AF_INET ? sin->sin_port : sin6->sin6_port) != port)
		fuzz_fail("another port");
	if (a->family == AF_INET6 && sin6->sin6_scope_id != a->scope)
		fuzz_fail("scope %u, not %u", sin6->sin6_scope_id, a->scope);
}

static void
check_list(const struct addrinfo *ai, int remote)
{
	static const struct {
		int	 type, protocol;
	} kinds[] = { { SOCK_DGRAM, IPPROTO_UDP }, { SOCK_STREAM, IPPROTO_TCP },
	    { SOCK_RAW, 0 } };
	static const struct addrinfo *all[3 * ADDRESSES];
	size_t n, i, k, at;

	for (n = 0; ai != NULL; ai = ai->ai_next) {
		if (n == nitems(all))
			fuzz_fail("a list without an end");
		all[n++] = ai;
	}
	/* resolver.c puts each address it is told before the others. */
	for (at = i = 0; i < nwant; i++)
		for (k = 0; k < nitems(kinds); k++) {
			if (!matches(want[i].family, kinds[k].type,
			    kinds[k].protocol))
				continue;
			if (at == n)
				fuzz_fail("an address is missing");
			check_entry(all[remote ? n - 1 - at : at], &want[i],
			    kinds[k].type, kinds[k].protocol, remote);
			at++;
		}
	if (at != n)
		fuzz_fail("%zu addresses too many", n - at);
}

static void
check_addresses(int error, const struct addrinfo *ai, int remote)
{
	int wrong;

	if ((wrong = arguments_error()) != 0) {
		if (error != wrong || ai != NULL)
			fuzz_fail("wrong arguments: %d, not %d", error, wrong);
	} else if (nwant == 0) {
		if (error == 0 || ai != NULL)
			fuzz_fail("%d where there is nothing", error);
	} else if (error != 0)
		fuzz_fail("error %d in spite of %zu addresses", error, nwant);
	else
		check_list(ai, remote);
}

static void
got_addresses(void *arg, int error, struct addrinfo *ai)
{
	(void)arg;
	called++;
	check_addresses(error, ai, 1);
	if (ai != NULL)
		asr_freeaddrinfo(ai);
}

static void
direct_addresses(int no_hints)
{
	struct asr_query *q;
	struct asr_result ar;

	if ((q = getaddrinfo_async(host, serv, no_hints ? NULL : &hints,
	    NULL)) == NULL)
		fuzz_fail("getaddrinfo_async");
	net_run_one(q, &ar);
	check_addresses(ar.ar_gai_errno, ar.ar_addrinfo, 0);
	if (ar.ar_addrinfo != NULL)
		asr_freeaddrinfo(ar.ar_addrinfo);
}

/* A client's name is looked up: is its address among those it has? */
static void
session_addresses(void)
{
	static struct listener l;
	struct smtp_session s;
	struct sockaddr_in *sin = (struct sockaddr_in *)&s.ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&s.ss;
	size_t i;
	int found = 0;

	memset(&s, 0, sizeof(s));
	(void)strlcpy(l.hostnametable, "names", sizeof(l.hostnametable));
	s.listener = &l;
	s.id = 1;
	s.ss.ss_family = hints.ai_family;
	if (s.ss.ss_family == AF_INET)
		memcpy(&sin->sin_addr, subject.octets, 4);
	else
		memcpy(&sin6->sin6_addr, subject.octets, 16);
	resolver_getaddrinfo(host, serv, &hints, smtp_getaddrinfo_cb, &s);
	net_run();
	if (tree_xpop(&wait_lka_helo, s.id) != &s)
		fuzz_fail("the session does not go on");
	for (i = 0; i < nwant; i++)
		found |= memcmp(want[i].octets, subject.octets,
		    hints.ai_family == AF_INET ? 4 : 16) == 0 &&
		    want[i].scope == 0;
	if ((s.fcrdns == 1) != found)
		fuzz_fail("fcrdns %d", s.fcrdns);
}

/* --- getnameinfo ------------------------------------------------------------------- */

static struct sockaddr_storage subject_ss;
static unsigned		 subject_port;

static void
set_subject(struct fuzz_in *in)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)&subject_ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&subject_ss;
	char text[128] = "";
	int i, len;

	memset(&subject, 0, sizeof(subject));
	memset(&subject_ss, 0, sizeof(subject_ss));
	subject.family = hints.ai_family == AF_INET6 ? AF_INET6 : AF_INET;
	for (i = 0; i < (subject.family == AF_INET ? 4 : 16); i++)
		subject.octets[i] = fuzz_u8(in);
	subject_port = fuzz_u16(in);
	subject_ss.ss_family = subject.family;
	if (subject.family == AF_INET) {
		memcpy(&sin->sin_addr, subject.octets, 4);
		sin->sin_port = htons(subject_port);
	} else {
		memcpy(&sin6->sin6_addr, subject.octets, 16);
		sin6->sin6_port = htons(subject_port);
		sin6->sin6_scope_id = subject.scope = fuzz_u8(in);
	}
	/* The name to ask for: RFC 1035 3.5, RFC 3596 2.5. */
	want_name.len = 0;
	for (i = subject.family == AF_INET ? 4 : 32; i-- > 0; ) {
		len = subject.family == AF_INET ?
		    sprintf(text, "%d", subject.octets[i]) :
		    sprintf(text, "%x", subject.octets[i / 2] >>
		    (i % 2 ? 0 : 4) & 0xf);
		want_name.wire[want_name.len++] = len;
		memcpy(want_name.wire + want_name.len, text, len);
		want_name.len += len;
	}
	if (subject.family == AF_INET) {
		memcpy(want_name.wire + want_name.len, "\7in-addr\4arpa", 14);
		want_name.len += 14;
	} else {
		memcpy(want_name.wire + want_name.len, "\3ip6\4arpa", 10);
		want_name.len += 10;
	}
}

/* RFC 4007 11.2. */
static void
numeric_host(char *text, size_t size)
{
	char zone[40] = "";

	(void)inet_ntop(subject.family, subject.octets, text, size);
	if (subject.scope != 0 && has_local_scope(subject.octets) &&
	    subject.scope < 3)
		(void)snprintf(zone, sizeof(zone), "%%%s",
		    subject.scope == 1 ? "lo" : "eth0");
	else if (subject.scope != 0)
		(void)snprintf(zone, sizeof(zone), "%%%u", subject.scope);
	(void)strlcat(text, zone, size);
}

/*
 * A zone that does not fit is cut off without a word; nobody gives so little
 * room.
 */
static void
check_names(int error, int flags, const char *h, size_t hsize, const char *s,
    size_t ssize)
{
	char text[DM_MAXNAME + 256], port[8];
	int wrong = 0;
	size_t fits;

	(void)snprintf(port, sizeof(port), "%u", subject_port);
	if (!named || flags & NI_NUMERICHOST)
		numeric_host(text, sizeof(text));
	else
		(void)strlcpy(text, want_host, sizeof(text));
	fits = !named || flags & NI_NUMERICHOST ? strcspn(text, "%") :
	    strlen(text);
	if (ssize != 0 && strlen(port) >= ssize)
		wrong = EAI_OVERFLOW;
	else if (hsize != 0 && !named && !(flags & NI_NUMERICHOST) &&
	    flags & NI_NAMEREQD)
		wrong = EAI_NONAME;
	else if (hsize != 0 && fits >= hsize)
		wrong = EAI_OVERFLOW;
	if (error != wrong)
		fuzz_fail("getnameinfo: error %d, not %d", error, wrong);
	if (error != 0)
		return;
	if (ssize != 0 && strcmp(s, port) != 0)
		fuzz_fail("port \"%s\", not \"%s\"", s, port);
	if (hsize != 0 && (strncmp(h, text, hsize - 1) != 0 ||
	    strlen(h) > strlen(text)))
		fuzz_fail("host \"%s\", not \"%s\"", h, text);
}

static int name_flags;

static void
got_names(void *arg, int error, const char *h, const char *s)
{
	(void)arg;
	called++;
	check_names(error, name_flags, h, NI_MAXHOST, s, NI_MAXSERV);
}

static void
direct_names(size_t hsize, size_t ssize)
{
	struct asr_query *q;
	struct asr_result ar;
	char *h, *s;

	/* Of their very size, so that one octet too many is seen. */
	if ((h = malloc(hsize)) == NULL || (s = malloc(ssize)) == NULL)
		fuzz_fail("malloc");
	if ((q = getnameinfo_async((struct sockaddr *)&subject_ss,
	    SA_LEN((struct sockaddr *)&subject_ss), h, hsize, s, ssize,
	    name_flags, NULL)) == NULL)
		fuzz_fail("getnameinfo_async");
	net_run_one(q, &ar);
	check_names(ar.ar_gai_errno, name_flags, h, hsize, s, ssize);
	free(h);
	free(s);
}

/* --- an input ---------------------------------------------------------------------- */

static void
configure(unsigned bits, struct fuzz_in *in)
{
	int inet4 = bits & CONF_INET4;

	(void)snprintf(conf_text, sizeof(conf_text),
	    "# a comment\ndomain example.org\nnameserver 192.0.2.53\n%s"
	    "family %s%s\nlookup %s\n%s%s%s",
	    bits & CONF_TWO ? "nameserver 2001:db8::53\n" : "",
	    inet4 ? "inet4" : "inet6",
	    bits & CONF_ONLY ? "" : inet4 ? " inet6" : " inet4",
	    lookups[bits >> CONF_LOOKUP & 3],
	    bits & CONF_TCP ? "options tcp\n" : "",
	    bits & CONF_EDNS ? "options edns0\n" : "",
	    bits & CONF_SEARCH ?
	    "search example.com sub.example.com\noptions ndots:2\n" : "");
	families[0] = inet4 ? AF_INET : AF_INET6;
	families[1] = inet4 ? AF_INET6 : AF_INET;
	nfamilies = bits & CONF_ONLY ? 1 : 2;
	net_begin(in, conf_text, bits & CONF_TWO ? 2 : 1);
	net.usevc = bits & CONF_TCP;
	net.inet = !(bits & CONF_EDNS);
	net.inet6 = !(bits & CONF_SEARCH);
}

static void
set_hints(unsigned flags, unsigned kinds)
{
	static const int f[] = { 0, AF_INET, AF_INET6, AF_UNIX };
	static const int t[] = { 0, SOCK_STREAM, SOCK_DGRAM, SOCK_RAW };
	static const int p[] = { 0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP };

	memset(&hints, 0, sizeof(hints));
	hints.ai_flags = (flags & 1 ? AI_PASSIVE : 0) |
	    (flags & 2 ? AI_CANONNAME : 0) | (flags & 4 ? AI_NUMERICHOST : 0) |
	    (flags & 8 ? AI_NUMERICSERV : 0) | (flags & 16 ? AI_ADDRCONFIG : 0) |
	    (flags & 32 ? 0x8000 : 0);
	hints.ai_family = f[kinds & 3];
	hints.ai_socktype = t[kinds >> 2 & 3];
	hints.ai_protocol = p[kinds >> 4 & 3];
}

static void
addresses(struct fuzz_in *in, unsigned mode, unsigned flags, unsigned kinds)
{
	char hostbuf[1100], servbuf[100];
	int none;

	(void)fuzz_line(in, hostbuf, sizeof(hostbuf));
	host = kinds & 0x40 ? NULL : hostbuf;
	servbuf[0] = '\0';
	if (kinds & 0x80)
		(void)fuzz_line(in, servbuf, sizeof(servbuf));
	serv = kinds & 0x80 ? servbuf : NULL;
	if (mode == 2) {		/* as smtp_getnameinfo_cb() has it */
		if (host == NULL)
			host = "";
		serv = NULL;
		hints.ai_flags = 0;
		hints.ai_family = hints.ai_family == AF_INET6 ? AF_INET6 :
		    AF_INET;
		hints.ai_socktype = SOCK_STREAM;
		hints.ai_protocol = 0;
		set_subject(in);
	}
	none = mode == 0 && flags & 0x80;
	if (none) {
		set_hints(16, 0);
		net.in = in;
	}
	net.answer = answer_addresses;
	net.hosts = hosts_addresses;
	if (hints.ai_flags & AI_NUMERICHOST) {
		/* Nothing is to be asked, and the configuration not read. */
		families[0] = AF_INET6;
		families[1] = AF_INET;
		nfamilies = 2;
	}
	if (arguments_error() == 0)
		want_local();
	if (mode == 0)
		direct_addresses(none);
	else if (mode == 1) {
		resolver_getaddrinfo(host, serv, &hints, got_addresses, NULL);
		net_run();
		if (called != 1)
			fuzz_fail("called %u times", called);
	} else
		session_addresses();
}

static void
names(struct fuzz_in *in, unsigned mode, unsigned flags)
{
	set_subject(in);
	name_flags = (flags & 1 ? NI_NUMERICHOST : 0) |
	    (flags & 2 ? NI_NUMERICSERV : 0) | (flags & 4 ? NI_NAMEREQD : 0) |
	    (flags & 8 ? NI_DGRAM : 0);
	net.answer = answer_names;
	net.hosts = hosts_names;
	if (mode == 3) {
		direct_names(flags & 0x10 ? fuzz_u8(in) % 64 : NI_MAXHOST,
		    flags & 0x20 ? fuzz_u8(in) % 8 : NI_MAXSERV);
		return;
	}
	resolver_getnameinfo((struct sockaddr *)&subject_ss, name_flags,
	    got_names, NULL);
	net_run();
	if (called != 1)
		fuzz_fail("called %u times", called);
}

/* --- once ---------------------------------------------------------------------------- */

/*
 * IPv6 in brackets.  glibc's inet_net_pton(3) knows no IPv6 and musl has none:
 * in each case another function of the daemon has to do.
 */
static void
check_brackets(void)
{
	static const struct {
		const char	*text, *address;
		int		 bits;
	} good[] = {
		{ "[::1]", "::1", 128 },
		{ "[IPv6:::1]", "::1", 128 },
		{ "IPv6:2001:db8::1", "2001:db8::1", 128 },
		{ "[2001:db8::/32]", "2001:db8::", 32 },
		{ "[IPv6:2001:db8::/33]", "2001:db8::", 33 },
		{ "fe80::/10", "fe80::", 10 },
	};
	struct netaddr n;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&n.ss;
	uint8_t octets[16];
	size_t i;

	for (i = 0; i < nitems(good); i++) {
		if (!text_to_netaddr(&n, good[i].text))
			fuzz_fail("text_to_netaddr refuses %s", good[i].text);
		(void)inet_pton(AF_INET6, good[i].address, octets);
		if (n.ss.ss_family != AF_INET6 || n.bits != good[i].bits ||
		    memcmp(&sin6->sin6_addr, octets, 16) != 0)
			fuzz_fail("text_to_netaddr misreads %s", good[i].text);
	}
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	(void)unsetenv("RES_OPTIONS");
	(void)unsetenv("LOCALDOMAIN");
	p_lka = &to_lka;
	smtp_session_init();
	return (0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;
	unsigned mode, conf, flags, kinds;
	static int checked;

	if (!checked++)
		check_brackets();
	fuzz_in(&in, data, size);
	mode = fuzz_u8(&in) % 5;
	conf = fuzz_u8(&in);
	flags = fuzz_u8(&in);
	kinds = fuzz_u8(&in);
	configure(conf, &in);
	set_hints(flags, kinds);
	nwant = 0;
	looked = called = 0;
	named = 0;
	if (mode < 3)
		addresses(&in, mode, flags, kinds);
	else
		names(&in, mode, flags);
	net_end();
	return (0);
}
