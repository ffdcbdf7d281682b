/*
 * An envelope, as the queue keeps it in a file.
 *
 * fuzz-about: envelope.c:envelope_load_buffer,envelope_buffer_to_dict
 * fuzz-about: envelope.c:envelope_ascii_load,ascii_load_field,ascii_load_uint8
 * fuzz-about: envelope.c:ascii_load_uint16,ascii_load_uint32,ascii_load_time
 * fuzz-about: envelope.c:ascii_load_type,ascii_load_string,ascii_load_sockaddr
 * fuzz-about: envelope.c:ascii_load_mailaddr,ascii_load_flags
 * fuzz-about: envelope.c:ascii_load_bounce_type,ascii_load_dsn_ret
 * fuzz-about: envelope.c:envelope_dump_buffer,envelope_ascii_dump
 * fuzz-about: envelope.c:ascii_dump_field,ascii_dump_string,ascii_dump_mailaddr
 * fuzz-about: envelope.c:ascii_dump_flags,ascii_dump_type,ascii_dump_uint8
 *
 * The input is the file.  It is loaded or not as a reading of our own of its
 * fields says; and what is loaded, dumped and loaded is dumped as the same.
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

/* --- our own reading: one function for each kind of value, max its limit  */

static int
text(const char *s, long long max)
{
	return (long long)strlen(s) < max;
}

static int
number(const char *s, long long max)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(s, &end, 10);
	return end != s && *end == '\0' && errno == 0 && n >= 0 && n <= max;
}

static int
address(const char *s, long long max)
{
	struct mailaddr m;

	return text_to_mailaddr(&m, s);
}

/* One of the words that are in turn in words, the last being NULL. */
static int
word(const char *s, size_t len, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strlen(*words) == len && strncasecmp(*words, s, len) == 0)
			return 1;
	return 0;
}

static int
type(const char *s, long long max)
{
	static const char *const words[] = { "mda", "mta", "bounce", NULL };

	return word(s, strlen(s), words);
}

static int
bounce_type(const char *s, long long max)
{
	static const char *const words[] = { "error", "failed", "warn",
	    "delayed", "dsn", "delivered", NULL };

	return word(s, strlen(s), words);
}

static int
dsn_ret(const char *s, long long max)
{
	static const char *const words[] = { "hdrs", "full", NULL };

	return word(s, strlen(s), words);
}

static int
flags(const char *s, long long max)
{
	static const char *const words[] = { "authenticated", "enqueued",
	    "bounce", "internal", NULL };
	size_t len;

	for (;; s += len + 1) {
		len = strcspn(s, " ,|");
		if (!word(s, len, words))
			return 0;
		if (s[len] == '\0')
			return 1;
	}
}

/* local, an IPv4 address, or an IPv6 one in brackets. */
static int
client(const char *s, long long max)
{
	struct in_addr in;
	struct in6_addr in6;
	size_t len = strlen(s);
	char buf[64];

	if (strcmp(s, "local") == 0 || inet_pton(AF_INET, s, &in) == 1)
		return 1;
	if (FUZZ_VERSION < 700 && strncasecmp(s, "IPv6:", 5) == 0)
		return inet_pton(AF_INET6, s + 5, &in6) == 1;
	if (len < 2 || s[0] != '[' || s[len - 1] != ']' || len > sizeof buf)
		return 0;
	memcpy(buf, s + 1, len - 2);
	buf[len - 2] = '\0';
	return inet_pton(AF_INET6, buf, &in6) == 1;
}

#define SIZE(field)	sizeof ((struct envelope *)0)->field

static const struct field {
	const char	*name;
	int		(*good)(const char *, long long);
	long long	 max;
} fields[] = {
	{ "bounce-delay",	number,		LLONG_MAX },
	{ "bounce-ttl",		number,		LLONG_MAX },
	{ "bounce-type",	bounce_type,	0 },
	{ "ctime",		number,		LLONG_MAX },
	{ "dest",		address,	0 },
	{ "dispatcher",		text,		SIZE(dispatcher) },
	{ "dsn-envid",		text,		SIZE(dsn_envid) },
	{ "dsn-notify",		number,		UINT8_MAX },
#if FUZZ_VERSION < 700
	{ "dsn-orcpt",		address,	0 },
#else
	{ "dsn-orcpt",		text,		SIZE(dsn_orcpt) },
#endif
	{ "dsn-ret",		dsn_ret,	0 },
	{ "errorline",		text,		SIZE(errorline) },
	{ "esc-class",		number,		UINT8_MAX },
	{ "esc-code",		number,		UINT8_MAX },
	{ "flags",		flags,		0 },
	{ "helo",		text,		SIZE(helo) },
	{ "hostname",		text,		SIZE(hostname) },
	{ "last-bounce",	number,		LLONG_MAX },
	{ "last-try",		number,		LLONG_MAX },
	{ "mda-exec",		text,		SIZE(mda_exec) },
	{ "mda-subaddress",	text,		SIZE(mda_subaddress) },
	{ "mda-user",		text,		SIZE(mda_user) },
	{ "rcpt",		address,	0 },
	{ "retry",		number,		UINT16_MAX },
	{ "sender",		address,	0 },
	{ "smtpname",		text,		SIZE(smtpname) },
	{ "sockaddr",		client,		0 },
	{ "tag",		text,		SIZE(tag) },
	{ "ttl",		number,		LLONG_MAX },
	{ "type",		type,		0 },
	{ "username",		text,		SIZE(username) },
	{ "version",		number,		UINT32_MAX },
};

static const struct field *
find(const char *name)
{
	for (size_t i = 0; i < nitems(fields); i++)
		if (strcasecmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

struct line {
	char		*name;
	char		*value;
};

/* "name: value"; blanks are skipped, but for those behind the value. */
static int
read_line(char *s, struct line *l)
{
	l->name = s;
	while (isalnum((unsigned char)*s) || *s == '-')
		s++;
	l->value = s;
	while (isspace((unsigned char)*l->value))
		l->value++;
	if (*l->value++ != ':')
		return 0;
	*s = '\0';
	while (isspace((unsigned char)*l->value))
		l->value++;
	return 1;
}

/*
 * Is it an envelope?  Of a field that is there twice the last counts; each line
 * has to end, if only the file's last one in a NUL.  -1: the C library knows.
 */
static int
read_envelope(const char *file, size_t size)
{
	static struct line lines[8192];
	char *buf, *s, *end;
	const struct field *f;
	int n = 0, ok = 0, version = 0;

	if ((buf = malloc(size + 1)) == NULL)
		abort();
	memcpy(buf, file, size + 1);
	if (size == 0 || size >= sizeof(struct envelope) ||
	    (buf[size - 1] != '\n' && buf[size - 1] != '\0') ||
	    strlen(buf) < size - 1)
		goto out;
	for (s = buf; s < buf + size; s = end + 1, n++) {
		end = s + strcspn(s, "\n");
		*end = '\0';
		if (!read_line(s, &lines[n]))
			goto out;
	}
	for (int i = 0; i < n; i++) {
		for (int j = i + 1; j < n; j++)
			if (strcmp(lines[i].name, lines[j].name) == 0)
				lines[i].name = NULL, j = n;
		if (lines[i].name == NULL)
			continue;
		if ((f = find(lines[i].name)) == NULL)
			goto out;
		if (f->good == client && strchr(lines[i].value, '%') != NULL) {
			ok = -1;
			goto out;
		}
		if (!f->good(lines[i].value, f->max))
			goto out;
		if (strcmp(lines[i].name, "version") == 0)
			version = strtoll(lines[i].value, NULL, 10) ==
			    SMTPD_ENVELOPE_VERSION;
	}
	ok = version;
out:
	free(buf);
	return ok;
}

/* --- the target -------------------------------------------------------- */

static void
there_and_back(const struct envelope *e)
{
	static char first[2 * sizeof(struct envelope)];
	static char second[2 * sizeof(struct envelope)];
	static struct envelope again;
	int len;

	if ((len = envelope_dump_buffer(e, first, sizeof first)) == 0)
		fuzz_fail("an envelope cannot be dumped");
	if (!envelope_load_buffer(&again, first, len))
		fuzz_fail("an envelope is dumped and cannot be loaded:\n%s",
		    first);
	if (envelope_dump_buffer(&again, second, sizeof second) != len ||
	    strcmp(first, second) != 0)
		fuzz_fail("an envelope is loaded as another:\n%s----\n%s",
		    first, second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct envelope e;
	char *file;
	int ours, theirs;

	if ((file = malloc(size + 1)) == NULL)
		abort();
	if (size > 0)
		memcpy(file, data, size);
	file[size] = '\0';
	ours = read_envelope(file, size);
	theirs = envelope_load_buffer(&e, file, size);
	if (ours != -1 && ours != theirs)
		fuzz_fail("an envelope is %s:\n%s", theirs ? "loaded" :
		    "refused", file);
	if (theirs)
		there_and_back(&e);
	free(file);
	return 0;
}
