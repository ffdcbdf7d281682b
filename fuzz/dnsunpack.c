/*
 * DNS messages as smtpd itself reads them: for MX records, and for SPF.
 *
 * fuzz-about: unpack_dns.c:unpack_init,unpack_header,unpack_query,unpack_rr
 * fuzz-about: unpack_dns.c:dname_expand,print_dname,unpack_data,unpack_dname
 * fuzz-about: unpack_dns.c:unpack_u16,unpack_u32,unpack_inaddr,unpack_in6addr
 *
 * fuzz-about: dns.c:dns_dispatch_mx,dns_dispatch_mx_preference
 * fuzz-about: dns.c:dns_dispatch_host,dns_lookup_host
 * fuzz-without: dns.c
 * fuzz-wrap: getaddrinfo_async event_asr_run m_close
 *
 * The first octet is the size of the buffer a name is printed to and how many
 * addresses each exchanger has, the rest a message.  Each question and each record
 * has to come out as our own reading of RFC 1035 has it, or fail where that does.
 * What is right is then given to dns.c as the answer about a domain's exchangers,
 * and what it says to the rest of smtpd compared with what RFC 5321 5.1 and
 * RFC 7505 have it do.
 */

#include "dns.c"

#include "dnsmsg.h"
#include "fuzz.h"

#define LOOSE	(DM_LONG | DM_RESERVED | DM_BEYOND)
#define RECORDS	64			/* so many of a message are looked at */
#define DOMAIN	"example.com"		/* whose exchangers are looked for */
#if FUZZ_VERSION < 760
#define DNS_NULLMX	-1		/* it knows nothing of it */
#endif
#define REQUEST	0x123456789abcdefULL

/*
 * What does not fit is cut, and the last character is a dot nevertheless: for
 * the daemon, which takes it off, that makes no difference.
 */
static void
check_print(const struct dm_name *n, const char *dname, size_t max)
{
	char got[1200], want[DM_MAXNAME + 256];
	size_t len;

	if (max < 2)
		max = 2;
	len = dm_text(n, want);
	if (len > max - 1) {
		len = max - 1;
		want[len - 1] = '.';
		want[len] = '\0';
	}
	memset(got, 0x55, sizeof(got));
	if (print_dname(dname, got, max) != got ||
	    memcmp(got, want, len + 1) != 0 || got[len + 1] != 0x55)
		fuzz_fail("print_dname: \"%s\", not \"%s\"", got, want);
}

static void
check_name(const char *what, const struct dm_name *n, const char *dname,
    size_t max)
{
	if (memcmp(n->wire, dname, n->len) != 0)
		fuzz_fail("%s: another name", what);
	check_print(n, dname, max);
}

static void
check_rr(struct dm *m, const struct dm_rr *want, const struct dns_rr *got,
    size_t max)
{
	check_name("owner", &want->owner, got->rr_dname, max);
	if (got->rr_type != want->type || got->rr_class != want->class ||
	    got->rr_ttl != want->ttl)
		fuzz_fail("type, class or time to live");

	switch (want->type) {
	case T_CNAME:
		check_name("CNAME", &want->name[0], got->rr.cname.cname, max);
		break;
	case T_NS:
		check_name("NS", &want->name[0], got->rr.ns.nsname, max);
		break;
	case T_PTR:
		check_name("PTR", &want->name[0], got->rr.ptr.ptrname, max);
		break;
	case T_MX:
		check_name("MX", &want->name[0], got->rr.mx.exchange, max);
		if (got->rr.mx.preference != want->preference)
			fuzz_fail("MX: preference");
		break;
	case T_SOA:
		check_name("SOA", &want->name[0], got->rr.soa.mname, max);
		check_name("SOA", &want->name[1], got->rr.soa.rname, max);
		if (got->rr.soa.serial != want->soa[0] ||
		    got->rr.soa.refresh != want->soa[1] ||
		    got->rr.soa.retry != want->soa[2] ||
		    got->rr.soa.expire != want->soa[3] ||
		    got->rr.soa.minimum != want->soa[4])
			fuzz_fail("SOA: a number");
		break;
	case T_A:
	case T_AAAA:
		if (want->class == C_IN) {
			/* Both begin the union. */
			if (memcmp(&got->rr, m->p + want->rdata,
			    want->rdlen) != 0)
				fuzz_fail("another address");
			break;
		}
		/* FALLTHROUGH */
	default:
		if (got->rr.other.rdlen != want->rdlen ||
		    got->rr.other.rdata != (const char *)m->p + want->rdata)
			fuzz_fail("other data");
	}
}

static int
agree(const char *what, struct unpack *u, struct dm *m, int got, int want)
{
	if (got != want)
		fuzz_fail("%s at octet %zu: %s, which is %s", what, m->at,
		    got == 0 ? "accepted" : u->err, want == 0 ? "right" : "wrong");
	if (got == 0 && u->offset != m->at)
		fuzz_fail("%s ends at octet %zu, not %zu", what, u->offset,
		    m->at);
	return (got);
}

/* --- the exchangers of a domain ------------------------------------------------ */

struct exchanger {
	char		 name[512];
	uint16_t	 preference;
};

struct waiting {
	char		 name[512];
	void		(*cb)(struct asr_result *, void *);
	void		*arg;
};

static struct exchanger	 want[RECORDS + 1];
static unsigned		 nwant;
static struct waiting	 looked[RECORDS + 1];
static unsigned		 nlooked;
static int		 code;		/* of the message that ends it, or -1 */
static unsigned		 told;		/* addresses */
static unsigned		 each;		/* so many has each exchanger */
static struct mproc	 peer;

struct asr_query *__wrap_getaddrinfo_async(const char *, const char *,
	    const struct addrinfo *, void *);
struct event_asr *__wrap_event_asr_run(struct asr_query *,
	    void (*)(struct asr_result *, void *), void *);
void	 __wrap_m_close(struct mproc *);

struct asr_query *
__wrap_getaddrinfo_async(const char *host, const char *serv,
    const struct addrinfo *hints, void *asr)
{
	(void)asr;
	if (serv != NULL || hints->ai_family != PF_UNSPEC ||
	    hints->ai_socktype != SOCK_STREAM)
		fuzz_fail("looks for other addresses");
	if (nlooked == nitems(looked))
		fuzz_fail("looks for more exchangers than there are");
	(void)strlcpy(looked[nlooked].name, host, sizeof(looked[0].name));
	return ((struct asr_query *)&looked[nlooked++]);
}

struct event_asr *
__wrap_event_asr_run(struct asr_query *q, void (*cb)(struct asr_result *, void *),
    void *arg)
{
	struct waiting *w = (struct waiting *)q;

	w->cb = cb;
	w->arg = arg;
	return ((struct event_asr *)w);
}

/* What dns.c has to say. */
void
__wrap_m_close(struct mproc *p)
{
	struct sockaddr_storage ss;
	struct imsg imsg;
	struct msg m;
	const char *host;
	uint64_t id;
	int n, preference = -2;

	memset(&imsg, 0, sizeof(imsg));
	imsg.hdr.type = p->m_type;
	imsg.hdr.len = IMSG_HEADER_SIZE + p->m_pos;
	imsg.data = p->m_buf;
	m_msg(&m, &imsg);
	m_get_id(&m, &id);
	if (id != REQUEST)
		fuzz_fail("answers another request");
	if (p->m_type == IMSG_MTA_DNS_HOST) {
		m_get_string(&m, &host);
		m_get_sockaddr(&m, (struct sockaddr *)&ss);
		m_get_int(&m, &preference);
		m_end(&m);
		n = told++ / each;
		if (code != -1 || strcmp(host, want[n].name) != 0 ||
		    preference != want[n].preference)
			fuzz_fail("\"%s\" %d, not \"%s\" %d", host, preference,
			    want[n].name, want[n].preference);
		return;
	}
	if (code != -1)
		fuzz_fail("ends twice");
	m_get_int(&m, &code);
	if (p->m_type == IMSG_MTA_DNS_MX_PREFERENCE && code == DNS_OK) {
		m_get_int(&m, &preference);
		if (nwant == 0 || preference != want[0].preference)
			fuzz_fail("another preference");
	}
	m_end(&m);
}

/* As dns_lookup_host() is to ask for it: an address goes without its brackets. */
static const char *
bare(const char *name)
{
	static char text[HOST_NAME_MAX + 1];

	if (*name != '[')
		return (name);
	name += strncasecmp(name, "[IPv6:", 6) == 0 ? 6 : 1;
	(void)strlcpy(text, name, sizeof(text));
	text[strcspn(text, "]")] = '\0';
	return (text);
}

static void
answer_lookups(void)
{
	struct asr_result ar;
	struct addrinfo *ai;
	unsigned i, n;

	if (nlooked != nwant)
		fuzz_fail("looks for %u exchangers, not %u", nlooked, nwant);
	for (i = 0; i < nlooked; i++) {
		if (strcmp(looked[i].name, bare(want[i].name)) != 0)
			fuzz_fail("looks for \"%s\", not \"%s\"",
			    looked[i].name, want[i].name);
		memset(&ar, 0, sizeof(ar));
		ar.ar_gai_errno = each == 0 ? EAI_NODATA : 0;
		for (n = 0; n < each; n++) {
			if ((ai = calloc(1, sizeof(*ai) +
			    sizeof(struct sockaddr_in))) == NULL)
				fuzz_fail("calloc");
			ai->ai_addr = (struct sockaddr *)(ai + 1);
			ai->ai_addr->sa_family = AF_INET;
			ai->ai_next = ar.ar_addrinfo;
			ar.ar_addrinfo = ai;
		}
		looked[i].cb(&ar, looked[i].arg);
	}
	if (told != nwant * each ||
	    code != (each > 0 ? DNS_OK : DNS_ENOTFOUND))
		fuzz_fail("%u addresses told, code %d", told, code);
}

/*
 * All MX records count, whoever they belong to.  Since 7.6 one of preference 0 and
 * without a name means that there is no mail (RFC 7505), and localhost is nobody's.
 */
static int
want_exchangers(struct dm *m)
{
	static struct dm_rr rr;
	struct dm_name name;
	uint16_t type, class;
	unsigned n;
	int null = 0;
	char text[DM_MAXNAME + 256];
	size_t len;

	(void)dm_question(m, &name, &type, &class);
	for (n = 0; n < m->count[1]; n++) {
		(void)dm_rr(m, &rr);
		if (rr.type != T_MX)
			continue;
		len = dm_text(&rr.name[0], text);
		if (len > sizeof(want[0].name) - 1)
			len = sizeof(want[0].name) - 1;
		text[len - 1] = '\0';
		if (FUZZ_VERSION >= 760 && ((*text == '\0' &&
		    rr.preference == 0) || strcmp(text, "localhost") == 0)) {
			null = 1;
			continue;
		}
		(void)strlcpy(want[nwant].name, text, sizeof(want[0].name));
		want[nwant++].preference = rr.preference;
	}
	return (null);
}

static void
result(struct asr_result *ar, const uint8_t *data, size_t size, unsigned rcode,
    unsigned answers)
{
	memset(ar, 0, sizeof(*ar));
	ar->ar_rcode = rcode;
	ar->ar_h_errno = answers > 0 ? NETDB_SUCCESS :
	    rcode == NXDOMAIN ? HOST_NOT_FOUND : rcode == SERVFAIL ? TRY_AGAIN :
	    rcode == NOERROR ? NO_DATA : NO_RECOVERY;
	if ((ar->ar_data = malloc(size)) == NULL)
		fuzz_fail("malloc");
	memcpy(ar->ar_data, data, size);
	ar->ar_datalen = size;
}

static struct dns_session *
session(const char *name)
{
	struct dns_session *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		fuzz_fail("calloc");
	s->p = &peer;
	s->reqid = REQUEST;
	(void)strlcpy(s->name, name, sizeof(s->name));
	nlooked = told = 0;
	code = -1;
	return (s);
}

static void
exchangers(const uint8_t *data, size_t size)
{
	struct asr_result ar;
	struct dm m;
	unsigned rcode;
	int null, error;

	(void)dm_open(&m, data, size, LOOSE);
	rcode = m.flags & 0xf;
	error = m.count[1] > 0 ? 0 : rcode == NXDOMAIN ? DNS_ENONAME :
	    rcode == SERVFAIL ? DNS_RETRY : rcode == NOERROR ? 0 : DNS_EINVAL;
	nwant = 0;
	null = want_exchangers(&m);

	/* How much does the first of them count? */
	result(&ar, data, size, rcode, m.count[1]);
	dns_dispatch_mx_preference(&ar, session(nwant > 0 ? want[0].name : "none"));
	if ((code == DNS_OK) != (nwant > 0 &&
	    strlen(want[0].name) <= HOST_NAME_MAX))
		fuzz_fail("preference: code %d", code);

	result(&ar, data, size, rcode, m.count[1]);
	dns_dispatch_mx(&ar, session(DOMAIN));
	if (error == 0 && null && nwant == 0)
		error = DNS_NULLMX;
	if (error != 0) {
		if (code != error || nlooked != 0)
			fuzz_fail("code %d, not %d", code, error);
		return;
	}
	if (nwant == 0) {
		(void)strlcpy(want[0].name, DOMAIN, sizeof(want[0].name));
		want[nwant++].preference = 0;
	}
	answer_lookups();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns_rr rr;
	static struct dm_rr own;
	struct dns_query q;
	struct dns_header h;
	struct dm_name name;
	struct fuzz_in in;
	struct unpack u;
	struct dm m;
	uint16_t type, class;
	size_t max;
	unsigned n, all;
	int text = 1;

	fuzz_in(&in, data, size);
	each = fuzz_u8(&in);
	max = 2 + each * 4;
	each %= 4;
	data = fuzz_rest(&in, &size);

	unpack_init(&u, (const char *)data, size);
	if (agree("header", &u, &m, unpack_header(&u, &h),
	    dm_open(&m, data, size, LOOSE)) == -1)
		return (0);
	if (h.flags != m.flags || h.qdcount != m.count[0] ||
	    h.ancount != m.count[1] || h.nscount != m.count[2] ||
	    h.arcount != m.count[3])
		fuzz_fail("another header");

	for (n = 0; n < h.qdcount && n < RECORDS; n++) {
		if (agree("question", &u, &m, unpack_query(&u, &q),
		    dm_question(&m, &name, &type, &class)) == -1)
			return (0);
		check_name("question", &name, q.q_dname, max);
		if (q.q_type != type || q.q_class != class)
			fuzz_fail("question: type or class");
	}
	all = h.ancount + h.nscount + h.arcount;
	for (n = 0; n < all && n < RECORDS; n++) {
		if (agree("record", &u, &m, unpack_rr(&u, &rr),
		    dm_rr(&m, &own)) == -1)
			return (0);
		check_rr(&m, &own, &rr, max);
		if (rr.rr_type == T_MX && !dm_is_text(&own.name[0]))
			text = 0;
	}
	/* dns.c has names as C strings, and of a message what libasr lets pass. */
	if (text && n == all && h.qdcount == 1)
		exchangers(data, size);
	return (0);
}
