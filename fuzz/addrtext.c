/*
 * Addresses, relay hosts, user records and credentials, as tables and the
 * configuration give them.
 *
 * fuzz-about: to.c:text_to_mailaddr,mailaddr_to_text,text_to_relayhost
 * fuzz-about: to.c:text_to_userinfo,text_to_credentials
 *
 * The first line of an input is read as all four of them, and each has to agree
 * with a reading of our own; an address that is printed is read as the same.
 */

#include "includes.h"

#include <sys/types.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd.h"

#include "fuzz.h"
#include "known.h"
#include "text.h"

#define K_TAIL		0x01
#define K_PORT		0x02
#define K_HOST64	0x04
#define K_LITERAL	0x08
#define K_NUMBER	0x10

/* smtpd.conf(5), relay: "[proto://[label@]]host[:port]"; table(5), userinfo. */
static const struct known relayhosts[] = {
	{ K_TAIL, 680, 0, "smtp://mx.example.org/25",
	  "what follows the host's name is skipped unless it is a colon" },
	{ K_PORT, 680, 0, "mx.example.org: +025",
	  "the port is read by strtonum(3), with all it skips" },
	{ K_HOST64, 680, 0,
	  "a-host-whose-name-has-more-than-64-characters.not.taken.example.org",
	  "HOST_NAME_MAX is 64 on Linux, names may have 253 characters" },
	{ K_LITERAL, 680, 0, "[2001:db8::1]",
	  "an address need not have its tag, or have the wrong one" },
};
static const struct known userinfos[] = {
	{ K_NUMBER, 680, 0, "joe: +01000:100:/home/joe",
	  "the numbers are read by strtonum(3), with all it skips" },
};

static unsigned	bent_relay, bent_user;

/* A decimal number; strictly without leading zeros, signs and blanks. */
static int
read_number(const char *s, long long min, long long max, int bent,
    long long *n)
{
	char *end;

	if (!bent && (!isdigit((unsigned char)*s) ||
	    (s[0] == '0' && s[1] != '\0')))
		return 0;
	errno = 0;
	*n = strtoll(s, &end, 10);
	return end != s && *end == '\0' && errno == 0 && *n >= min && *n <= max;
}

/* --- mail addresses ---------------------------------------------------- */

static int
read_mailaddr(const char *s, struct mailaddr *m)
{
	const char *at = strrchr(s, '@');
	size_t user = at == NULL ? strlen(s) : (size_t)(at - s);

	memset(m, 0, sizeof *m);
	if (strlen(s) >= LINE_MAX || user >= sizeof m->user ||
	    (at != NULL && strlen(at + 1) >= sizeof m->domain))
		return 0;
	memcpy(m->user, s, user);
	if (at != NULL)
		strcpy(m->domain, at + 1);
	return 1;
}

static void
mailaddr(const char *s)
{
	struct mailaddr ours, theirs;
	const char *text;
	int ok;

	ok = text_to_mailaddr(&theirs, s);
	if (ok != read_mailaddr(s, &ours))
		fuzz_fail("address \"%s\" is %s", s, ok ? "taken" : "refused");
	if (!ok)
		return;
	if (memcmp(&ours, &theirs, sizeof ours) != 0)
		fuzz_fail("address \"%s\" is \"%s\" at \"%s\"", s, theirs.user,
		    theirs.domain);
	if ((text = mailaddr_to_text(&ours)) == NULL ||
	    !text_to_mailaddr(&theirs, text) ||
	    memcmp(&ours, &theirs, sizeof ours) != 0)
		fuzz_fail("address \"%s\" is not read as it was printed", s);
}

/* --- relay hosts ------------------------------------------------------- */

static const struct proto {
	const char	*name;
	int		 tls;
	int		 flags;
	int		 port;		/* 0: has to be given */
} protos[] = {
	{ "smtp",	RELAY_TLS_OPPORTUNISTIC,	0,		25 },
	{ "smtp+tls",	RELAY_TLS_STARTTLS,		0,		25 },
	{ "smtp+notls",	RELAY_TLS_NO,			0,		25 },
	{ "lmtp",	RELAY_TLS_NO,			RELAY_LMTP,	0 },
	{ "smtps",	RELAY_TLS_SMTPS,		0,		465 },
};

static const struct proto *
read_proto(const char *s, size_t len)
{
	for (size_t i = 0; i < nitems(protos); i++)
		if (strlen(protos[i].name) == len &&
		    strncasecmp(protos[i].name, s, len) == 0)
			return &protos[i];
	return NULL;
}

/* A host's name with the underscores that are seen everywhere. */
static int
read_hostname(const char *s)
{
	size_t label = 0, len = strlen(s);

	if (len == 0 || len > 253 || *s == '-' || s[len - 1] == '.')
		return 0;
	for (; *s != '\0'; s++) {
		if (*s == '.' ? label == 0 : label == 63)
			return 0;
		label = *s == '.' ? 0 : label + 1;
	}
	return 1;
}

/* An address in brackets: RFC 5321 section 4.1.3. */
static int
read_literal(const char *s, size_t len, unsigned known_ones)
{
	char buf[64];
	struct in6_addr in6;
	struct in_addr in;
	int tag = len > 5 && strncasecmp(s, "IPv6:", 5) == 0;

	s += tag ? 5 : 0;
	len -= tag ? 5 : 0;
	if (len >= sizeof buf)
		return 0;
	memcpy(buf, s, len);
	buf[len] = '\0';
	if (inet_pton(AF_INET6, buf, &in6) == 1)
		return tag || known_ones & K_LITERAL;
	return inet_pton(AF_INET, buf, &in) == 1 &&
	    (!tag || known_ones & K_LITERAL);
}

/* The host at s, of which len characters are taken. */
static int
read_host(const char *s, size_t *len, unsigned known_ones, char *host)
{
	const char *end;

	if (*s == '[') {
		if ((end = strchr(s, ']')) == NULL)
			return 0;
		*len = end - s + 1;
	} else
		for (*len = 0; isalnum((unsigned char)s[*len]) ||
		    (s[*len] != '\0' && strchr("_.-", s[*len])); ++*len)
			;
	if (*len >= (known_ones & K_HOST64 ? HOST_NAME_MAX + 1 : 256))
		return 0;
	memcpy(host, s, *len);
	host[*len] = '\0';
	return *s == '[' ? read_literal(s + 1, *len - 2, known_ones) :
	    read_hostname(host);
}

struct relay_reading {
	const struct proto	*proto;
	char			 label[1024];
	char			 host[256];
	long long		 port;
};

static int
read_relayhost(const char *s, unsigned known_ones, struct relay_reading *r)
{
	const char *p;
	size_t len;

	memset(r, 0, sizeof *r);
	if (strlen(s) >= 1024)
		return 0;
	r->proto = &protos[0];
	if ((p = strstr(s, "://")) != NULL) {
		if ((r->proto = read_proto(s, p - s)) == NULL)
			return 0;
		s = p + 3;
	}
	r->port = r->proto->port;
	if ((p = strchr(s, '@')) != NULL) {
		memcpy(r->label, s, p - s);
		s = p + 1;
		/* A password goes nowhere but through TLS. */
		if (r->label[0] != '\0' &&
		    r->proto->tls != RELAY_TLS_STARTTLS &&
		    r->proto->tls != RELAY_TLS_SMTPS)
			return 0;
	}
	if (!read_host(s, &len, known_ones, r->host))
		return 0;
	s += len;
	if (*s == ':')
		return read_number(s + 1, 1, 65535, known_ones & K_PORT,
		    &r->port);
	return r->port != 0 && (*s == '\0' || known_ones & K_TAIL);
}

static int
relayhost_agrees(const char *s, unsigned known_ones)
{
	struct relay_reading r;
	struct relayhost h;
	int ours, theirs;

	memset(&h, 0, sizeof h);
	ours = read_relayhost(s, known_ones, &r);
	theirs = text_to_relayhost(&h, s);
	if (!ours || !theirs)
		return ours == theirs;
	return h.tls == r.proto->tls && h.port == r.port &&
	    h.flags == (r.proto->flags | (r.label[0] ? RELAY_AUTH : 0)) &&
	    strcmp(h.hostname, r.host) == 0 &&
	    strcmp(h.authlabel, r.label) == 0;
}

static int
relayhost_departs(const char *s)
{
	return !relayhost_agrees(s, 0);
}

/* --- users ------------------------------------------------------------- */

/* name:uid:gid:directory, the last with colons if it likes. */
static int
read_userinfo(const char *s, unsigned known_ones, struct userinfo *u)
{
	char buf[LINE_MAX], *field[3], *p = buf;
	long long uid, gid;

	memset(u, 0, sizeof *u);
	strcpy(buf, s);
	for (int i = 0; i < 3; i++) {
		field[i] = p;
		if ((p = strchr(p, ':')) == NULL)
			return 0;
		*p++ = '\0';
	}
	if (strlen(field[0]) >= sizeof u->username ||
	    strlen(p) >= sizeof u->directory ||
	    !read_number(field[1], 0, UID_MAX, known_ones & K_NUMBER, &uid) ||
	    !read_number(field[2], 0, GID_MAX, known_ones & K_NUMBER, &gid))
		return 0;
	strcpy(u->username, field[0]);
	strcpy(u->directory, p);
	u->uid = uid;
	u->gid = gid;
	return 1;
}

static int
userinfo_agrees(const char *s, unsigned known_ones)
{
	struct userinfo ours, theirs;
	int ok;

	memset(&theirs, 0, sizeof theirs);
	ok = text_to_userinfo(&theirs, s);
	if (ok != read_userinfo(s, known_ones, &ours))
		return 0;
	return !ok || (ours.uid == theirs.uid && ours.gid == theirs.gid &&
	    strcmp(ours.username, theirs.username) == 0 &&
	    strcmp(ours.directory, theirs.directory) == 0);
}

static int
userinfo_departs(const char *s)
{
	return !userinfo_agrees(s, 0);
}

/* --- credentials ------------------------------------------------------- */

/* user:password, or a password alone; nothing in the daemon calls it. */
static void
credentials(const char *s)
{
	struct credentials c;
	const char *colon = strchr(s, ':');
	size_t user = colon == NULL ? 0 : colon - s;
	const char *password = colon == NULL ? s : colon + 1;

	if (text_to_credentials(&c, s) != (strlen(s) < LINE_MAX))
		fuzz_fail("credentials of %zu characters", strlen(s));
	if (strlen(s) < LINE_MAX && (strlen(c.username) != user ||
	    memcmp(c.username, s, user) != 0 ||
	    strcmp(c.password, password) != 0))
		fuzz_fail("credentials \"%s\" are \"%s\" and \"%s\"", s,
		    c.username, c.password);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	bent_relay = known_bits(relayhosts, nitems(relayhosts));
	bent_user = known_bits(userinfos, nitems(userinfos));
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;
	char *s;

	if (size == 0) {
		known_check(relayhosts, nitems(relayhosts), relayhost_departs);
		known_check(userinfos, nitems(userinfos), userinfo_departs);
	}
	fuzz_in(&in, data, size);
	s = text_line(&in);
	mailaddr(s);
	credentials(s);
	if (!relayhost_agrees(s, bent_relay))
		fuzz_fail("relay host \"%s\"", s);
	/* Its caller has no longer ones, and it looks at no length. */
	if (strlen(s) < LINE_MAX && !userinfo_agrees(s, bent_user))
		fuzz_fail("user \"%s\"", s);
	free(s);
	return 0;
}
