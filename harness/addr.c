#include <arpa/inet.h>
#include <netinet/in.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"

static int
parse_port(const char *s)
{
	char *e;
	long n = strtol(s, &e, 10);

	/* it would take blanks and a sign */
	return !isdigit((unsigned char)*s) || *e != '\0' || n < 1 ||
	    n > 65535 ? -1 : (int)n;
}

static int
parse_v6(const char *s, int port, struct sockaddr_storage *ss, socklen_t *len)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;
	char host[64];
	const char *e;

	if ((e = strchr(s, ']')) == NULL || (size_t)(e - s) >= sizeof(host))
		return -1;
	memcpy(host, s + 1, (size_t)(e - s - 1));
	host[e - s - 1] = '\0';
	if (e[1] == ':' ? (port = parse_port(e + 2)) == -1 : e[1] != '\0')
		return -1;
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons((uint16_t)port);
	*len = sizeof(*sin6);
	return inet_pton(AF_INET6, host, &sin6->sin6_addr) == 1 ? 0 : -1;
}

int
addr_parse(const char *s, int port, struct sockaddr_storage *ss,
    socklen_t *len)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;
	char host[64];
	const char *colon;

	memset(ss, 0, sizeof(*ss));
	if (*s == '[')
		return parse_v6(s, port, ss, len);
	if (strlen(s) >= sizeof(host))
		return -1;
	strcpy(host, s);
	if ((colon = strchr(s, ':')) != NULL) {
		host[colon - s] = '\0';
		if ((port = parse_port(colon + 1)) == -1)
			return -1;
	}
	sin->sin_family = AF_INET;
	sin->sin_port = htons((uint16_t)port);
	*len = sizeof(*sin);
	return inet_pton(AF_INET, host, &sin->sin_addr) == 1 ? 0 : -1;
}

int
addr_port(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)ss)->sin6_port);
	return ntohs(((const struct sockaddr_in *)ss)->sin_port);
}
