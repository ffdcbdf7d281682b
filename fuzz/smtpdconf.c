/*
 * smtpd.conf(5): any text is taken, or refused with a word why.  The input is
 * the file; after a line "--- NAME" stands what include finds under that name.
 * No other file is opened, no name resolved, and the machine's interfaces are
 * always the same.
 *
 * fuzz-without: parse.c
 * fuzz-about: parse.c:yylex,lgetc,igetc,lungetc,findeol,lookup,yyerror
 * fuzz-about: parse.c:pushfile,popfile,parse_config,symset,symget
 * fuzz-about: parse.c:create_sock_listener,create_if_listener,config_listener
 * fuzz-about: parse.c:host_v4,host_v6,host_dns,interface,delaytonum
 */
#include "includes.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <netinet/in.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fuzz.h"
#include "reclaim.h"

static FILE	*our_fopen(const char *, const char *);
static int	 our_fclose(FILE *);
static struct servent *our_getservbyname(const char *, const char *);
static int	 our_getifaddrs(struct ifaddrs **);
static int	 our_getaddrinfo(const char *, const char *,
    const struct addrinfo *, struct addrinfo **);

#define fopen			our_fopen
#define fclose			our_fclose
#define setservent(x)		do { } while (0)
#define endservent()		do { } while (0)
#define getservbyname		our_getservbyname
#define getifaddrs		our_getifaddrs
#define freeifaddrs(x)		do { } while (0)
#define getaddrinfo		our_getaddrinfo
#define freeaddrinfo(x)		do { } while (0)
#define logit			our_logit
#define log_warn		our_warn
#define log_warnx		our_warn
#if FUZZ_VERSION < 700
#define scan_scaled		our_scan_scaled
#endif
#include "parse.c"
#undef scan_scaled
#undef fopen
#undef fclose

/* Cycles of includes end in "too many open files", doubling ones earlier. */
#define MAX_OPEN	16
#define MAX_OPENS	32

static const uint8_t	*input;
static size_t		 inputlen;
static FILE		*streams[MAX_OPEN];
static int		 opens;
static int		 complaints;

/* --- what the machine has ------------------------------------------------------- */

/* The part of the input called name: it ends where the next part begins. */
static const char *
part(const char *name, size_t *len)
{
	const char *p = (const char *)input, *end = p + inputlen, *e, *found;
	size_t n = strlen(name);

	found = strcmp(name, "smtpd.conf") == 0 ? p : NULL;
	for (; p < end; p = e + 1) {
		if ((e = memchr(p, '\n', end - p)) == NULL)
			e = end;
		if (e - p >= 4 && memcmp(p, "--- ", 4) == 0) {
			if (found != NULL) {
				*len = p - found;
				return (found);
			}
			if ((size_t)(e - p) == n + 4 &&
			    memcmp(p + 4, name, n) == 0)
				found = e == end ? end : e + 1;
		}
	}
	if (found != NULL)
		*len = end - found;
	return (found);
}

static FILE *
our_fopen(const char *path, const char *mode)
{
	const char *text;
	size_t len;
	int i;

	if ((text = part(path, &len)) == NULL) {
		errno = ENOENT;
		return (NULL);
	}
	for (i = 0; i < MAX_OPEN && streams[i] != NULL; i++)
		;
	if (i == MAX_OPEN || opens++ >= MAX_OPENS) {
		errno = EMFILE;
		return (NULL);
	}
	/* it knows no empty file */
	streams[i] = len == 0 ? fopen("/dev/null", "r") :
	    fmemopen((void *)(uintptr_t)text, len, "r");
	return (streams[i]);
}

static int
our_fclose(FILE *fp)
{
	int i;

	for (i = 0; i < MAX_OPEN; i++)
		if (streams[i] == fp)
			streams[i] = NULL;
	return (fclose(fp));
}

static struct servent *
our_getservbyname(const char *name, const char *proto)
{
	static char *none[] = { NULL };
	static struct servent all[] = {
		{ .s_name = (char *)"smtp", .s_aliases = none, .s_port = 25 },
		{ .s_name = (char *)"smtps", .s_aliases = none, .s_port = 465 },
		{ .s_name = (char *)"submission", .s_aliases = none,
		    .s_port = 587 },
	};
	static struct servent s;
	size_t i;

	for (i = 0; i < nitems(all); i++)
		if (strcmp(all[i].s_name, name) == 0) {
			s = all[i];
			s.s_port = htons(all[i].s_port);
			return (&s);
		}
	return (NULL);
}

static struct sockaddr_in loopback4 = { .sin_family = AF_INET },
    address4 = { .sin_family = AF_INET };
static struct sockaddr_in6 loopback6 = { .sin6_family = AF_INET6 };

static int
our_getifaddrs(struct ifaddrs **list)
{
	static struct ifaddrs all[] = {
		{ .ifa_next = &all[1], .ifa_name = (char *)"lo",
		    .ifa_addr = (struct sockaddr *)&loopback4 },
		{ .ifa_next = &all[2], .ifa_name = (char *)"lo",
		    .ifa_addr = (struct sockaddr *)&loopback6 },
		{ .ifa_next = &all[3], .ifa_name = (char *)"eth0",
		    .ifa_addr = (struct sockaddr *)&address4 },
		{ .ifa_name = (char *)"tun0" },
	};

	loopback4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	loopback6.sin6_addr = in6addr_loopback;
	address4.sin_addr.s_addr = htonl(0xc0000201);
	*list = all;
	return (0);
}

static int
our_getaddrinfo(const char *host, const char *serv, const struct addrinfo *hints,
    struct addrinfo **list)
{
	static struct addrinfo all[] = {
		{ .ai_family = AF_INET, .ai_addrlen = sizeof(address4),
		    .ai_addr = (struct sockaddr *)&address4,
		    .ai_next = &all[1] },
		{ .ai_family = AF_INET6, .ai_addrlen = sizeof(loopback6),
		    .ai_addr = (struct sockaddr *)&loopback6 },
	};

	if (strcmp(host, "mx.example.org") != 0)
		return (EAI_NONAME);
	*list = hints->ai_family == AF_INET6 ? &all[1] : &all[0];
	return (0);
}

void
our_logit(int priority, const char *fmt, ...)
{
	char text[LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	complaints++;
}

void
our_warn(const char *fmt, ...)
{
	char text[LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	complaints++;
}

#if FUZZ_VERSION < 700
/* 6.8 overflows where a size does: found by this target, fixed since. */
int
our_scan_scaled(char *text, long long *n)
{
	if (strspn(text, "0123456789.") > 9) {
		errno = ERANGE;
		return (-1);
	}
	return (scan_scaled(text, n));
}
#endif

/* The backends that read files when a table is declared. */
static int
our_table_config(struct table *t)
{
	size_t len;

	return (t->t_config[0] == '\0' || part(t->t_config, &len) != NULL);
}

/* --- one configuration ------------------------------------------------------------ */

static int	 result;

static struct dict *
new_dict(void)
{
	struct dict *d = xcalloc(1, sizeof(*d));

	dict_init(d);
	return (d);
}

static void
new_table(struct smtpd *c, const char *name, const char *key)
{
	table_add(table_create(c, "static", name, NULL), key, NULL);
}

/* What config_default() makes, but for what it asks the machine. */
static struct smtpd *
new_config(void)
{
	struct smtpd *c = xcalloc(1, sizeof(*c));
	struct mta_limits *l = xcalloc(1, sizeof(*l));

	strlcpy(c->sc_hostname, "mx.example.org", sizeof(c->sc_hostname));
	c->sc_maxsize = DEFAULT_MAX_BODY_SIZE;
	c->sc_subaddressing_delim = SUBADDRESSING_DELIMITER;
	c->sc_ttl = SMTPD_QUEUE_EXPIRY;
	c->sc_srs_ttl = SMTPD_QUEUE_EXPIRY / 86400;
	c->sc_bounce_warn[0] = 3600 * 4;
	c->sc_tables_dict = new_dict();
	c->sc_dispatchers = new_dict();
	c->sc_ca_dict = new_dict();
	c->sc_pki_dict = new_dict();
	c->sc_ssl_dict = new_dict();
	c->sc_limits_dict = new_dict();
	c->sc_mda_wrappers = new_dict();
	c->sc_filter_processes_dict = new_dict();
	c->sc_filters_dict = new_dict();
	c->sc_rules = xcalloc(1, sizeof(*c->sc_rules));
	TAILQ_INIT(c->sc_rules);
	c->sc_listeners = xcalloc(1, sizeof(*c->sc_listeners));
	TAILQ_INIT(c->sc_listeners);
	c->sc_dispatcher_bounce = xcalloc(1, sizeof(*c->sc_dispatcher_bounce));
	c->sc_dispatcher_bounce->type = DISPATCHER_BOUNCE;
	limit_mta_set_defaults(l);
	dict_xset(c->sc_limits_dict, "default", l);
	new_table(c, "<localnames>", "localhost");
	new_table(c, "<anyhost>", "local");
	new_table(c, "<localhost>", "local");
	new_table(c, "<anydestination>", "*");
	table_create(c, "getpwnam", "<getpwnam>", NULL);
	return (c);
}

static void
do_parse(void *arg)
{
	env = new_config();
	result = parse_config(env, "smtpd.conf", 0);
}

/* What a rule names must be there. */
static void
check_rules(void)
{
	struct rule *r;

	TAILQ_FOREACH(r, env->sc_rules, r_entry) {
		if (r->reject)
			continue;
		if (dict_get(env->sc_dispatchers, r->dispatcher) == NULL)
			fuzz_fail("a rule for the action %s, which is none",
			    r->dispatcher);
	}
}

static void
forget(void)
{
	int i;

	for (i = 0; i < MAX_OPEN; i++)
		if (streams[i] != NULL)
			our_fclose(streams[i]);
	TAILQ_INIT(&files);
	TAILQ_INIT(&symhead);
	file = topfile = NULL;
	errors = expanding = 0;
	conf = env = NULL;
	table = NULL;
	limits = NULL;
	pki = NULL;
	sca = NULL;
#if FUZZ_VERSION < 700
	dispatcher = NULL;
#else
	dsp = NULL;
#endif
	rule = NULL;
	processor = NULL;
	filter_config = NULL;
	last_dynchain_id = 1;
	memset(&listen_opts, 0, sizeof(listen_opts));
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	extern struct table_backend table_backend_static, table_backend_db;

	table_backend_static.config = our_table_config;
	table_backend_db.config = our_table_config;
	return (0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input = data;
	inputlen = size;
	complaints = opens = 0;
	result = -1;
	reclaim_begin();
	if (fuzz_guard(do_parse, NULL) == 0) {
		if (result == -1 && complaints == 0)
			fuzz_fail("refused without a word");
		if (result == 0)
			check_rules();
	}
	forget();
	reclaim_end();
	return (0);
}
