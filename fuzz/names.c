/*
 * Words that name things: numeric addresses against inet_pton(3) and a second
 * reading of where the port stands, the order of versions, patterns of targets,
 * and a target file.  The input's lines are an address, two versions, a pattern;
 * what follows is the target file.
 *
 * fuzz-harness: addr.c
 * fuzz-about: addr.c:parse_port,parse_v6,addr_parse,addr_port
 * fuzz-about: target.c:parse,set_key,trim,target_has,next_number,version_cmp,target_matches
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static void said(const char *, ...) __attribute__((format(printf, 1, 2)));

/* Its complaints are for us to judge. */
#include <err.h>
#define warnx	said
#include "target.c"

#include "addr.h"

static char	complaint[512];

static void
said(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(complaint, sizeof(complaint), fmt, ap);
	va_end(ap);
}

/* 1..65535, in digits, leading zeros allowed; or -1. */
static int
second_port(const char *s)
{
	int n = 0;

	if (*s == '\0' || s[strspn(s, "0123456789")] != '\0')
		return -1;
	for (; *s != '\0'; s++)
		if ((n = n * 10 + *s - '0') > 65535)
			return -1;
	return n == 0 ? -1 : n;
}

static void
check_addr(const char *s)
{
	struct sockaddr_storage ss;
	struct in6_addr a, got;
	char host[256], *port = NULL;
	socklen_t len;
	int v6 = *s == '[', n = 25, ok;

	snprintf(host, sizeof(host), "%s", s + v6);
	if (v6 && (port = strchr(host, ']')) != NULL) {
		*port++ = '\0';
		ok = *port == '\0' || *port == ':';
		port = *port == ':' ? port + 1 : NULL;
	} else
		ok = !v6;
	if (!v6 && (port = strchr(host, ':')) != NULL)
		*port++ = '\0';
	if (port != NULL)
		n = second_port(port);
	ok = ok && n != -1 && inet_pton(v6 ? AF_INET6 : AF_INET, host, &a) == 1;
	if ((addr_parse(s, 25, &ss, &len) == 0) != ok)
		fuzz_fail("\"%s\" is %staken", s, ok ? "not " : "");
	if (!ok)
		return;
	if (v6)
		got = ((struct sockaddr_in6 *)&ss)->sin6_addr;
	else
		memcpy(&got, &((struct sockaddr_in *)&ss)->sin_addr, 4);
	if (memcmp(&a, &got, v6 ? 16 : 4) != 0 || addr_port(&ss) != n ||
	    ss.ss_family != (v6 ? AF_INET6 : AF_INET))
		fuzz_fail("\"%s\" is read as another address", s);
}

static void
check_versions(const char *a, const char *b, const char *pattern)
{
	struct target t = { .name = a, .version = a, .features = b };
	char op[300];
	int c = version_cmp(a, b);

	if (version_cmp(b, a) != -c || version_cmp(a, a) != 0)
		fuzz_fail("\"%s\" to \"%s\" is %d, back %d", a, b, c,
		    version_cmp(b, a));
	target_matches(&t, pattern);
	target_has(&t, pattern);
	if (!target_matches(&t, "*") || !target_matches(&t, a))
		fuzz_fail("target \"%s\" does not match itself", a);
	/* operators and order agree; blanks are skipped */
	snprintf(op, sizeof(op), ">=%s", b + strspn(b, " \t"));
	if (b[0] != ' ' && b[0] != '\t' && target_matches(&t, op) != (c >= 0) &&
	    strcmp(a, op) != 0)
		fuzz_fail("\"%s\" matches %s?", a, op);
}

static void
check_file(const uint8_t *data, size_t len)
{
	struct target *t = xcalloc(1, sizeof(*t));
	char *text = xcalloc(1, len + 1);
	size_t i;

	memcpy(text, data, len);
	complaint[0] = '\0';
	if (parse(t, "target", text) == -1 && (complaint[0] == '\0' ||
	    strchr(complaint, '\n') != NULL))
		fuzz_fail("refused with: \"%s\"", complaint);
	else if (complaint[0] == '\0')
		target_has(t, "tls");
	for (i = 0; i < nitems(keys); i++)
		free((char *)(uintptr_t)*field(t, &keys[i]));
	free(text);
	free(t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char addr[128], a[128], b[128], pattern[128];
	struct fuzz_in in;
	const uint8_t *rest;
	size_t len;

	fuzz_in(&in, data, size);
	if (!fuzz_line(&in, addr, sizeof(addr)) ||
	    !fuzz_line(&in, a, sizeof(a)) || !fuzz_line(&in, b, sizeof(b)) ||
	    !fuzz_line(&in, pattern, sizeof(pattern)))
		return 0;
	check_addr(addr);
	check_versions(a, b, pattern);
	rest = fuzz_rest(&in, &len);
	check_file(rest, len);
	return 0;
}
