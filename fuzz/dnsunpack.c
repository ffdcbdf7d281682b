/*
 * DNS messages as smtpd itself reads them: for MX records, and for SPF.
 *
 * fuzz-about: unpack_dns.c:unpack_init,unpack_header,unpack_query,unpack_rr
 * fuzz-about: unpack_dns.c:dname_expand,print_dname,unpack_data,unpack_dname
 * fuzz-about: unpack_dns.c:unpack_u16,unpack_u32,unpack_inaddr,unpack_in6addr
 *
 * The first octet is the size of the buffer a name is printed to, the rest a
 * message.  Each question and each record has to come out as our own reading of
 * RFC 1035 has it, or fail where that does.
 */

#include "includes.h"

#include <sys/types.h>

#include <arpa/nameser.h>
#include <string.h>

#include "unpack_dns.h"

#include "dnsmsg.h"
#include "fuzz.h"

#define LOOSE	(DM_LONG | DM_RESERVED | DM_BEYOND)
#define RECORDS	64			/* so many of a message are looked at */

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

	fuzz_in(&in, data, size);
	max = 2 + fuzz_u8(&in) * 4;
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
	}
	return (0);
}
