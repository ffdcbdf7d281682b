/* dns: the resolver's other end, on port 53 of the sandbox (evdns). */
#include <sys/socket.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/dns.h>
#include <event2/dns_struct.h>

#include "parser.h"
#include "perturb.h"
#include "run.h"

#define TYPE_MX		15
#define TYPE_TXT	16
#define TYPE_CNAME	5
#define TYPE_PTR	12
#define TTL		60
#define AFTER_WAIT	2000		/* us, between looks at the point */
#define HELD		-2	/* no answer yet */

enum rr_type {
	RR_A, RR_AAAA, RR_MX, RR_TXT, RR_PTR, RR_CNAME, RR_NXDOMAIN,
	RR_SERVFAIL, RR_IGNORE, RR_EMPTY
};

static const struct {
	const char	*word;
	int		 type;		/* DNS type, 0: any question */
	int		 rcode;
	int		 args;
} rr_types[] = {
	[RR_A] =	{ "A", EVDNS_TYPE_A, 0, 1 },
	[RR_AAAA] =	{ "AAAA", EVDNS_TYPE_AAAA, 0, 1 },
	[RR_MX] =	{ "MX", TYPE_MX, 0, 2 },
	[RR_TXT] =	{ "TXT", TYPE_TXT, 0, 1 },
	[RR_PTR] =	{ "PTR", TYPE_PTR, 0, 1 },
	[RR_CNAME] =	{ "CNAME", TYPE_CNAME, 0, 1 },
	[RR_NXDOMAIN] =	{ "NXDOMAIN", 0, DNS_ERR_NOTEXIST, 0 },
	[RR_SERVFAIL] =	{ "SERVFAIL", 0, DNS_ERR_SERVERFAILED, 0 },
	[RR_IGNORE] =	{ "IGNORE", 0, 0, 0 },
	[RR_EMPTY] =	{ "EMPTY", 0, 0, 0 },
};

struct rr {
	STAILQ_ENTRY(rr) entry;
	const char	*name;
	enum rr_type	 type;
	int		 pref;
	const char	*data;
	uint64_t	 delay;		/* us */
	const char	*after;		/* a point, or NULL */
};
STAILQ_HEAD(rrs, rr);

struct dns {
	struct actor	*actor;
	int		 fd;
	struct evdns_server_port *port;
	STAILQ_HEAD(, late) held;	/* answers, by a perturbation */
};

/* What every scenario can look up: its own host. */
static const char zone_default[] =
    "localhost A 127.0.0.1\n"
    "localhost AAAA ::1\n"
    "mx.example.org A 127.0.0.1\n"
    "127.0.0.1 PTR localhost\n"
    "::1 PTR localhost\n";

/* "127.0.0.1" to "1.0.0.127.in-addr.arpa"; names stay. */
static const char *
reverse_name(struct arena *a, const char *name)
{
	struct in_addr in;
	struct in6_addr in6;
	struct buf b = { 0 };
	const char *s;
	uint32_t h;
	int i;

	if (inet_pton(AF_INET, name, &in) == 1) {
		h = ntohl(in.s_addr);
		return arena_printf(a, "%u.%u.%u.%u.in-addr.arpa", h & 255,
		    h >> 8 & 255, h >> 16 & 255, h >> 24);
	}
	if (inet_pton(AF_INET6, name, &in6) != 1)
		return name;
	for (i = 15; i >= 0; i--)
		buf_addf(&b, "%x.%x.", in6.s6_addr[i] & 15,
		    in6.s6_addr[i] >> 4);
	buf_addstr(&b, "ip6.arpa");
	s = arena_strdup(a, b.data);
	buf_free(&b);
	return s;
}

static enum rr_type
rr_word(struct parser *p)
{
	struct pos pos;
	const char *word;
	size_t i;

	lex_skip(p, 0);
	pos = lex_pos(p);
	word = lex_word(p, "a record type");
	for (i = 0; i < nitems(rr_types); i++)
		if (strcmp(rr_types[i].word, word) == 0)
			return (enum rr_type)i;
	parse_fail(p, &pos, "unknown record type \"%s\": expected A AAAA MX "
	    "TXT PTR CNAME NXDOMAIN SERVFAIL IGNORE EMPTY", word);
}

/* delay=TIME or after=POINT */
static void
when_parse(struct parser *p, struct rr *rr)
{
	struct pos pos = lex_pos(p);
	const char *word = lex_word(p, "delay=TIME or after=POINT");

	if (strncmp(word, "delay=", 6) == 0)
		rr->delay = parse_time(p, &pos, word + 6);
	else if (strncmp(word, "after=", 6) == 0 && word[6] != '\0') {
		rr->after = word + 6;
		name_note(p, POINT_AWAIT, rr->after, &pos);
	} else
		parse_fail(p, &pos, "unexpected \"%s\": expected delay=TIME, "
		    "after=POINT or the end of the line", word);
}

/* NAME TYPE [PREF] [DATA] [delay=TIME | after=POINT] */
static void
rr_parse(struct parser *p, struct rrs *rrs)
{
	struct rr *rr = arena_alloc(p->arena, sizeof(*rr));
	struct pos pos;
	struct in6_addr in6;

	rr->name = lex_word(p, "a name or address");
	rr->type = rr_word(p);
	if (rr->type == RR_PTR)
		rr->name = reverse_name(p->arena, rr->name);
	if (rr_types[rr->type].args == 2)
		rr->pref = (int)lex_range(p, "the preference").lo;
	if (rr_types[rr->type].args > 0) {
		lex_skip(p, 0);
		pos = lex_pos(p);
		rr->data = lex_value(p, "the data");
		if ((rr->type == RR_A &&
		    inet_pton(AF_INET, rr->data, &in6) != 1) ||
		    (rr->type == RR_AAAA &&
		    inet_pton(AF_INET6, rr->data, &in6) != 1))
			parse_fail(p, &pos, "\"%s\" is no address for %s",
			    rr->data, rr_types[rr->type].word);
	}
	if (!lex_eol(p))
		when_parse(p, rr);
	STAILQ_INSERT_TAIL(rrs, rr, entry);
}

static void
zone_parse(struct parser *p, struct rrs *rrs, const char *text,
    const struct pos *pos)
{
	struct parser sub = *p;

	sub.p = sub.bol = text;
	sub.end = text + strlen(text);
	sub.line = pos->line;
	sub.col0 = pos->col - 1;
	memcpy(&sub.fail, &p->fail, sizeof(sub.fail));
	STAILQ_INIT(&sub.refs);
	for (;;) {
		lex_skip(&sub, 1);
		if (sub.p == sub.end)
			break;
		rr_parse(&sub, rrs);
	}
	STAILQ_CONCAT(&p->refs, &sub.refs);
}

static void
dns_check(struct parser *p, struct role *r)
{
	struct rrs *rrs = arena_alloc(p->arena, sizeof(*rrs));

	STAILQ_INIT(rrs);
	r->arg = rrs;
	zone_parse(p, rrs, r->text, &r->textpos);
	zone_parse(p, rrs, zone_default, &r->textpos);
}

static size_t
encode_name(const char *name, unsigned char *out, size_t outlen)
{
	size_t n = 0, len;

	while (*name != '\0') {
		len = strcspn(name, ".");
		/* "." is the root, its only label the empty one below */
		if (len == 0 || len > 63 || n + len + 2 > outlen)
			break;
		out[n++] = (unsigned char)len;
		memcpy(out + n, name, len);
		n += len;
		name += len + (name[len] == '.');
	}
	out[n++] = 0;
	return n;
}

static void
add_address(struct evdns_server_request *q, const char *name,
    const struct rr *rr)
{
	unsigned char addr[16];

	if (rr->type == RR_A && inet_pton(AF_INET, rr->data, addr) == 1)
		evdns_server_request_add_a_reply(q, name, 1, addr, TTL);
	else if (inet_pton(AF_INET6, rr->data, addr) == 1)
		evdns_server_request_add_aaaa_reply(q, name, 1, addr, TTL);
}

static void
add_mx(struct evdns_server_request *q, const char *name, const struct rr *rr)
{
	unsigned char data[300];

	data[0] = (unsigned char)(rr->pref >> 8);
	data[1] = (unsigned char)rr->pref;
	evdns_server_request_add_reply(q, EVDNS_ANSWER_SECTION, name, TYPE_MX,
	    EVDNS_CLASS_INET, TTL, (int)(2 + encode_name(rr->data, data + 2,
	    sizeof(data) - 2)), 0, (char *)data);
}

static void
add_txt(struct evdns_server_request *q, const char *name, const struct rr *rr)
{
	struct buf b = { 0 };
	const char *s = rr->data;
	size_t left = strlen(s), n;
	char len;

	/* strings of at most 255 octets each (RFC 1035 3.3.14) */
	do {
		n = left > 255 ? 255 : left;
		len = (char)n;
		buf_add(&b, &len, 1);
		buf_add(&b, s, n);
		s += n;
		left -= n;
	} while (left > 0);
	evdns_server_request_add_reply(q, EVDNS_ANSWER_SECTION, name, TYPE_TXT,
	    EVDNS_CLASS_INET, TTL, (int)b.len, 0, b.data);
	buf_free(&b);
}

static void
add_name(struct evdns_server_request *q, const char *name, const struct rr *rr)
{
	evdns_server_request_add_reply(q, EVDNS_ANSWER_SECTION, name,
	    rr_types[rr->type].type, EVDNS_CLASS_INET, TTL, -1, 1, rr->data);
}

static void (*const adders[])(struct evdns_server_request *, const char *,
    const struct rr *) = {
	[RR_A] = add_address,
	[RR_AAAA] = add_address,
	[RR_MX] = add_mx,
	[RR_TXT] = add_txt,
	[RR_PTR] = add_name,
	[RR_CNAME] = add_name,
	[RR_EMPTY] = NULL,
};

/* What is to be answered: an rcode, -1 for no answer at all. */
static int
dns_answer(const struct rrs *rrs, struct evdns_server_request *q,
    uint64_t *delay, const char **after)
{
	const struct evdns_server_question *qu;
	const struct rr *rr;
	int i, exists = 0, rcode = -2;

	for (i = 0; i < q->nquestions; i++) {
		qu = q->questions[i];
		STAILQ_FOREACH(rr, rrs, entry) {
			if (strcasecmp(rr->name, qu->name) != 0)
				continue;
			exists = 1;
			if (rr->delay > *delay)
				*delay = rr->delay;
			if (rr->after != NULL)
				*after = rr->after;
			if (rr->type == RR_IGNORE)
				return -1;
			if (rr_types[rr->type].rcode != 0)
				rcode = rr_types[rr->type].rcode;
			else if (adders[rr->type] != NULL &&
			    (rr_types[rr->type].type == qu->type ||
			    rr->type == RR_CNAME))
				adders[rr->type](q, qu->name, rr);
		}
	}
	return rcode != -2 ? rcode : exists ? 0 : DNS_ERR_NOTEXIST;
}

struct late {
	STAILQ_ENTRY(late) entry;
	struct evdns_server_request *q;
	struct event	*timer;
	int		 rcode;
	struct run	*run;
	const char	*after;		/* look whether it is reached, or NULL */
};

static void
late_wait(struct late *l, uint64_t us)
{
	struct timeval tv;

	tv.tv_sec = (time_t)(us / 1000000);
	tv.tv_usec = (suseconds_t)(us % 1000000);
	evtimer_add(l->timer, &tv);
}

static void
dns_late(int fd, short what, void *arg)
{
	struct late *l = arg;

	(void)fd;
	(void)what;
	if (l->after != NULL && !run_reached(l->run, l->after)) {
		late_wait(l, AFTER_WAIT);
		return;
	}
	evdns_server_request_respond(l->q, l->rcode);
	event_free(l->timer);
	free(l);
}

static void
dns_trace(struct dns *d, const struct evdns_server_request *q, int rcode)
{
	char text[320];

	if (q->nquestions == 0)
		return;
	snprintf(text, sizeof(text), "%s type %d -> %s", q->questions[0]->name,
	    q->questions[0]->type, rcode == -1 ? "no answer" :
	    rcode == HELD ? "held back" : rcode == 0 ? "answered" : evdns_err_to_string(rcode));
	run_trace(d->actor->run, NULL, d->actor->role->name, "--", text,
	    strlen(text));
}

static void
dns_query(struct evdns_server_request *q, void *arg)
{
	struct dns *d = arg;
	struct late *l;
	const char *after = NULL;
	uint64_t delay = 0;
	int rcode, holds;

	rcode = dns_answer(d->actor->role->arg, q, &delay, &after);
	/* what was said before the point is to be on its way, too */
	if (after != NULL && delay == 0)
		delay = AFTER_WAIT;
	holds = rcode != -1 && delay == 0 &&
	    perturb_holds(d->actor->run, &actor_dns);
	dns_trace(d, q, holds ? HELD : rcode);
	if (rcode == -1) {
		evdns_server_request_drop(q);
		return;
	}
	evdns_server_request_set_flags(q, EVDNS_FLAGS_AA | EVDNS_FLAGS_RD);
	if (delay == 0 && !holds) {
		evdns_server_request_respond(q, rcode);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->q = q;
	l->rcode = rcode;
	if (holds) {
		STAILQ_INSERT_TAIL(&d->held, l, entry);
		return;
	}
	l->run = d->actor->run;
	l->after = after;
	l->timer = evtimer_new(l->run->base, dns_late, l);
	late_wait(l, delay);
}

static int
dns_prepare(struct actor *a)
{
	struct dns *d = xcalloc(1, sizeof(*d));
	struct sockaddr_in sin = { .sin_family = AF_INET };

	a->state = d;
	d->actor = a;
	STAILQ_INIT(&d->held);
	sin.sin_port = htons(53);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(d->fd, (struct sockaddr *)&sin, sizeof(sin)) == -1) {
		run_error(a->run, "%s: port 53: %s", a->role->name,
		    strerror(errno));
		return -1;
	}
	d->port = evdns_add_server_port_with_base(a->run->base, d->fd, 0,
	    dns_query, d);
	return 0;
}

static void
dns_go_on(struct actor *a)
{
	struct dns *d = a->state;
	struct late *l;

	while ((l = STAILQ_FIRST(&d->held)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->held, entry);
		dns_trace(d, l->q, l->rcode);
		evdns_server_request_respond(l->q, l->rcode);
		free(l);
	}
}

static void
dns_stop(struct actor *a)
{
	struct dns *d = a->state;

	if (d == NULL)
		return;
	dns_go_on(a);
	if (d->port != NULL)
		evdns_close_server_port(d->port);
	close(d->fd);
	free(d);
}

static const struct opt_kind dns_opts[] = { { NULL, OPT_WORD } };

const struct actor_kind actor_dns = {
	.word = "dns",
	.opts = dns_opts,
	.raw = 1,
	.check = dns_check,
	.prepare = dns_prepare,
	.stop = dns_stop,
	.go_on = dns_go_on,
};
