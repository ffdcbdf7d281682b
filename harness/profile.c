/* What any server is to be asked for: smtpdtest-profile(5). */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "cli.h"
#include "profile.h"

#define MAX_PROFILE	(64 * 1024)
#define TIMEOUT		"10"		/* seconds */

enum slot_id {
	RCPT, RCPT2, RCPT3, RCPT4, RCPT5, RCPT6, SENDER, REFUSED, ELSEWHERE,
	DOMAIN, HOSTNAME, CLIENT, USER, PASSWORD, LIMIT, OVERLIMIT, CA, TLSNAME,
	SMTPS, SUBMISSION, TIME, SLOTS
};

struct profile {
	char	*value[SLOTS];
	int	 line[SLOTS];	/* where it stands, 0: nowhere */
};

/* The file while it is read. */
struct reader {
	struct profile	*p;
	const char	*path;
	const char	*dir;		/* of the file, with its slash, or "" */
	int		 line, col;
	int		 any;		/* host will do */
	char		*err;
	size_t		 errlen;
};

static int set_mailbox(struct reader *, enum slot_id, char *);
static int set_rcpt(struct reader *, enum slot_id, char *);
static int set_name(struct reader *, enum slot_id, char *);
static int set_text(struct reader *, enum slot_id, char *);
static int set_limit(struct reader *, enum slot_id, char *);
static int set_file(struct reader *, enum slot_id, char *);
static int set_address(struct reader *, enum slot_id, char *);
static int set_timeout(struct reader *, enum slot_id, char *);

static const struct slot {
	const char	*key;
	const char	*var;		/* NULL: is none */
	const char	*sandbox;	/* with our own daemon; NULL: none */
	int		 common;	/* that also serves who names none */
	int		 (*set)(struct reader *, enum slot_id, char *);
} slots[SLOTS] = {
	[RCPT] = { "recipient", "rcpt", "alice@mx.example.org", 0, set_rcpt },
	[RCPT2] = { "recipient", "rcpt2", "bob@mx.example.org", 0, set_rcpt },
	[RCPT3] = { "recipient", "rcpt3", "carol@mx.example.org", 0, set_rcpt },
	[RCPT4] = { "recipient", "rcpt4", "dave@mx.example.org", 0, set_rcpt },
	[RCPT5] = { "recipient", "rcpt5", "eve@mx.example.org", 0, set_rcpt },
	[RCPT6] = { "recipient", "rcpt6", "frank@mx.example.org", 0, set_rcpt },
	[SENDER] = { "sender", "sender", "bob@example.net", 1, set_mailbox },
	[REFUSED] = { "refused", "refused", "nobody-of-that-name@mx.example.org",
	    0, set_mailbox },
	[ELSEWHERE] = { "elsewhere", "elsewhere", "alice@elsewhere.example", 0,
	    set_mailbox },
	[DOMAIN] = { "domain", "domain", "mx.example.org", 0, set_name },
	[HOSTNAME] = { "hostname", "hostname", "mx.example.org", 0, set_name },
	[CLIENT] = { "client", "client", "client.example", 1, set_name },
	[USER] = { "user", "user", "alice", 0, set_text },
	[PASSWORD] = { "password", "password", "alice-secret", 0, set_text },
	[LIMIT] = { "size-limit", "limit", "20480", 0, set_limit },
	[OVERLIMIT] = { "size-limit", "overlimit", "20481", 0, NULL },
	[CA] = { "ca", NULL, NULL, 0, set_file },
	[TLSNAME] = { "tls-name", "tlsname", "mx.example.org", 0, set_name },
	[SMTPS] = { "smtps", NULL, NULL, 0, set_address },
	[SUBMISSION] = { "submission", NULL, NULL, 0, set_address },
	[TIME] = { "timeout", NULL, TIMEOUT, 1, set_timeout },
};

/* One of the two is of no use without the other. */
static const struct {
	enum slot_id	 one, other;
} pairs[] = {
	{ USER, PASSWORD }, { PASSWORD, USER }, { CA, TLSNAME },
	{ TLSNAME, CA },
};

static int __attribute__((format(printf, 4, 5)))
fail(struct reader *r, int line, int col, const char *fmt, ...)
{
	va_list	 ap;
	char	*s;
	int	 n;

	n = snprintf(r->err, r->errlen, "%s:%d:%d: ", r->path, line, col);
	if (n > 0 && (size_t)n < r->errlen) {
		va_start(ap, fmt);
		vsnprintf(r->err + n, r->errlen - (size_t)n, fmt, ap);
		va_end(ap);
	}
	for (s = r->err; *s != '\0'; s++)
		if (iscntrl((unsigned char)*s))
			*s = '?';
	return -1;
}

static int
bad(struct reader *r, const char *value, const char *what)
{
	return fail(r, r->line, r->col, "\"%.60s\": expected %s", value, what);
}

static int
keep(struct reader *r, enum slot_id id, const char *value)
{
	free(r->p->value[id]);
	r->p->value[id] = xstrdup(value);
	r->p->line[id] = r->line;
	return 0;
}

/* It becomes part of commands, so nothing that would end or change one. */
static int
is_word(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~' || strchr("<>$\"", *s) != NULL)
			return 0;
	return 1;
}

static int
set_mailbox(struct reader *r, enum slot_id id, char *value)
{
	const char	*at = strrchr(value, '@');

	if (!is_word(value) || at == NULL || at == value || at[1] == '\0')
		return bad(r, value, "a mailbox such as alice@example.org");
	return keep(r, id, value);
}

/* One or several, in one line or in several. */
static int
set_rcpt(struct reader *r, enum slot_id id, char *value)
{
	char	*one;

	(void)id;
	while ((one = strsep(&value, " \t")) != NULL) {
		if (*one == '\0')
			continue;
		for (id = RCPT; id <= RCPT6 && r->p->value[id] != NULL; id++)
			;
		if (id > RCPT6)
			return bad(r, one, "no more than six recipients");
		if (set_mailbox(r, id, one) == -1)
			return -1;
		r->col += (int)strlen(one) + 1;
	}
	return 0;
}

static int
set_name(struct reader *r, enum slot_id id, char *value)
{
	if (!is_word(value) || strchr(value, '@') != NULL)
		return bad(r, value, "a name such as mx.example.org");
	return keep(r, id, value);
}

static int
set_text(struct reader *r, enum slot_id id, char *value)
{
	return keep(r, id, value);
}

static int
set_limit(struct reader *r, enum slot_id id, char *value)
{
	uint64_t	 n;
	char		 over[32];

	if (cli_u64(value, &n) == -1 || n < 1024 || n > (1ULL << 30))
		return bad(r, value, "octets, from 1024 to 1073741824");
	snprintf(over, sizeof(over), "%llu", (unsigned long long)n + 1);
	keep(r, OVERLIMIT, over);
	return keep(r, id, value);
}

/* NULL, or why this is no file of certificates. */
static const char *
bad_certificates(const char *path)
{
	FILE	*fp = fopen(path, "r");
	X509	*x;

	if (fp == NULL)
		return strerror(errno);
	x = PEM_read_X509(fp, NULL, NULL, NULL);
	fclose(fp);
	X509_free(x);
	ERR_clear_error();
	return x == NULL ? "expected certificates in PEM" : NULL;
}

static int
set_file(struct reader *r, enum slot_id id, char *value)
{
	const char	*why;
	char		*path;
	int		 rc;

	path = *value == '/' ? xstrdup(value) :
	    xasprintf("%s%s", r->dir, value);
	if ((why = bad_certificates(path)) != NULL)
		rc = fail(r, r->line, r->col, "%s: %s", path, why);
	else
		rc = keep(r, id, path);
	free(path);
	return rc;
}

static int
set_address(struct reader *r, enum slot_id id, char *value)
{
	char	 why[256], *address;

	address = cli_connect(value, r->any, why, sizeof(why));
	if (address == NULL)
		return fail(r, r->line, r->col, "%s", why);
	keep(r, id, address);
	free(address);
	return 0;
}

static int
set_timeout(struct reader *r, enum slot_id id, char *value)
{
	uint64_t	 n;

	if (cli_u64(value, &n) == -1 || n < 1 || n > 600)
		return bad(r, value, "seconds, from 1 to 600");
	return keep(r, id, value);
}

static int
unknown_key(struct reader *r, const char *key)
{
	struct buf	 b = { 0 };
	size_t		 i;

	for (i = 0; i < SLOTS; i++)
		if (slots[i].set != NULL &&
		    (i == 0 || slots[i].key != slots[i - 1].key))
			buf_addf(&b, " %s", slots[i].key);
	fail(r, r->line, r->col, "unknown key \"%.40s\": expected one of%s",
	    key, b.data);
	buf_free(&b);
	return -1;
}

static int
set(struct reader *r, const char *key, char *value, int col)
{
	enum slot_id	 id;

	for (id = 0; id < SLOTS; id++)
		if (strcmp(slots[id].key, key) == 0)
			break;
	if (id == SLOTS)
		return unknown_key(r, key);
	if (r->p->line[id] != 0 && slots[id].set != set_rcpt)
		return fail(r, r->line, r->col, "%s stands twice: first on "
		    "line %d", key, r->p->line[id]);
	r->col = col;
	if (*value == '\0')
		return fail(r, r->line, col, "expected a value of %s", key);
	return slots[id].set(r, id, value);
}

/* KEY = VALUE, blanks around both of no meaning. */
static int
read_line(struct reader *r, char *line)
{
	char	*s = line + strspn(line, " \t"), *eq, *e, *value;

	if (*s == '\0' || *s == '#')
		return 0;
	r->col = (int)(s - line) + 1;
	for (e = s; *e != '\0'; e++)
		if (iscntrl((unsigned char)*e) && *e != '\t')
			return fail(r, r->line, (int)(e - line) + 1, "octet "
			    "0x%02x: expected text",
			    (unsigned int)(unsigned char)*e);
	if ((eq = strchr(s, '=')) == NULL)
		return fail(r, r->line, r->col, "expected KEY = VALUE, not "
		    "\"%.40s\"", s);
	value = eq + 1 + strspn(eq + 1, " \t");
	for (e = eq; e > s && (e[-1] == ' ' || e[-1] == '\t'); e--)
		;
	*e = '\0';
	for (e = value + strlen(value); e > value &&
	    (e[-1] == ' ' || e[-1] == '\t'); e--)
		;
	*e = '\0';
	return set(r, s, value, (int)(value - line) + 1);
}

static int
read_all(struct reader *r, char *text, size_t len)
{
	char	*p = text, *line;
	size_t	 n, i;

	for (r->line = 1; (line = strsep(&p, "\n")) != NULL; r->line++) {
		n = strlen(line);
		if (p == NULL && (size_t)(line - text) + n != len)
			return fail(r, r->line, (int)n + 1, "octet 0x00: "
			    "expected text");
		if (n > 0 && line[n - 1] == '\r')
			line[n - 1] = '\0';
		if (p == NULL && n == 0)
			break;
		if (read_line(r, line) == -1)
			return -1;
	}
	if (r->p->value[RCPT] == NULL)
		return fail(r, r->line, 1, "expected a line: recipient = a "
		    "mailbox that is accepted");
	for (i = 0; i < nitems(pairs); i++)
		if (r->p->line[pairs[i].one] != 0 &&
		    r->p->line[pairs[i].other] == 0)
			return fail(r, r->p->line[pairs[i].one], 1,
			    "%s without %s: expected both",
			    slots[pairs[i].one].key, slots[pairs[i].other].key);
	return 0;
}

static void
add_common(struct profile *p)
{
	size_t	 i;

	for (i = 0; i < SLOTS; i++)
		if (p->value[i] == NULL && slots[i].common)
			p->value[i] = xstrdup(slots[i].sandbox);
}

struct profile *
profile_load(const char *path, int any, char *err, size_t errlen)
{
	struct reader	 r = { .path = path, .any = any, .err = err,
	    .errlen = errlen };
	char		*text, *dir;
	const char	*slash;
	size_t		 len;
	int		 rc;

	if ((text = read_file(path, &len, MAX_PROFILE)) == NULL) {
		snprintf(err, errlen, "%s: %s", path, strerror(errno));
		return NULL;
	}
	slash = strrchr(path, '/');
	dir = xasprintf("%.*s", slash == NULL ? 0 : (int)(slash - path) + 1,
	    path);
	r.dir = dir;
	r.p = xcalloc(1, sizeof(*r.p));
	if ((rc = read_all(&r, text, len)) == 0)
		add_common(r.p);
	free(text);
	free(dir);
	if (rc == 0)
		return r.p;
	profile_free(r.p);
	return NULL;
}

void
profile_free(struct profile *p)
{
	size_t	 i;

	if (p == NULL)
		return;
	for (i = 0; i < SLOTS; i++)
		free(p->value[i]);
	free(p);
}

const struct profile *
profile_sandbox(void)
{
	static struct profile	 ours;
	size_t			 i;

	for (i = 0; i < SLOTS; i++)
		ours.value[i] = (char *)(uintptr_t)slots[i].sandbox;
	return &ours;
}

static enum slot_id
slot_of(const char *var, size_t len)
{
	enum slot_id	 id;

	for (id = 0; id < SLOTS; id++)
		if (slots[id].var != NULL && strlen(slots[id].var) == len &&
		    memcmp(slots[id].var, var, len) == 0)
			break;
	return id;
}

int
profile_has_var(const char *var, size_t len)
{
	return slot_of(var, len) < SLOTS;
}

const char *
profile_var(const struct profile *p, const char *var, size_t len)
{
	enum slot_id	 id = slot_of(var, len);

	return id < SLOTS ? p->value[id] : NULL;
}

const char *
profile_key(const struct profile *p, const char *key)
{
	size_t	 i;

	for (i = 0; i < SLOTS; i++)
		if (strcmp(slots[i].key, key) == 0)
			return p->value[i];
	return NULL;
}

const char *
profile_key_of(const char *var)
{
	enum slot_id	 id = slot_of(var, strlen(var));

	return id < SLOTS ? slots[id].key : NULL;
}

uint64_t
profile_timeout(const struct profile *p)
{
	return strtoull(p->value[TIME], NULL, 10) * 1000000;
}
