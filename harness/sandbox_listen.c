#include <sys/types.h>
#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox.h"
#include "util.h"

/*
 * Who listens, by /proc/PID/net/tcp.  It names the listening sockets first, so
 * the thousands of connections behind them need not be read.
 */

#define TCP_LISTEN_STATE	0x0a

static int
parse(const char *line, int *port)
{
	unsigned int	 n, state;

	if (sscanf(line, " %*u: %*32[0-9A-F]:%x %*32[0-9A-F]:%*x %x", &n,
	    &state) != 2 || state != TCP_LISTEN_STATE)
		return -1;
	*port = (int)n;
	return 0;
}

/* Parse whole lines; -1 after the last listening one. */
static int
lines(struct buf *b, int *ports, int *n, int max)
{
	char	*nl;
	int	 rv = 0;

	while (rv == 0 && b->len > 0 &&
	    (nl = memchr(b->data, '\n', b->len)) != NULL) {
		*nl = '\0';
		if (strstr(b->data, "local_address") == NULL) {
			if (*n == max || parse(b->data, &ports[*n]) == -1)
				rv = -1;
			else
				(*n)++;
		}
		buf_drain(b, (size_t)(nl - b->data) + 1);
	}
	return rv;
}

static int
listeners_of(const char *path, int *ports, int max)
{
	struct buf	 b = { 0 };
	char		 tmp[4096];
	ssize_t		 len;
	int		 fd, n = 0;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return 0;
	do {
		if ((len = read(fd, tmp, sizeof(tmp))) > 0)
			buf_add(&b, tmp, (size_t)len);
	} while ((len > 0 && lines(&b, ports, &n, max) == 0) ||
	    (len == -1 && errno == EINTR));
	close(fd);
	buf_free(&b);
	return n;
}

/*
 * The runner is no process of the sandbox, whose /proc/self would be nobody;
 * init is one of the same network.
 */
static int
listeners(int *ports, int max)
{
	const char	*pid = access("/proc/self/net", F_OK) == 0 ?
			    "self" : "1";
	char		 path[32];
	int		 n;

	snprintf(path, sizeof(path), "/proc/%s/net/tcp", pid);
	n = listeners_of(path, ports, max);
	snprintf(path, sizeof(path), "/proc/%s/net/tcp6", pid);
	return n + listeners_of(path, ports + n, max - n);
}

int
sandbox_ports(int *ports, int max)
{
	int	 all[256];
	int	 n, i, j, found = 0;

	n = listeners(all, (int)nitems(all));
	for (i = 0; i < n && found < max; i++) {
		for (j = 0; j < found && ports[j] != all[i]; j++)
			;
		if (j == found)
			ports[found++] = all[i];
	}
	return found;
}

/* As in local_address: 32 bits at a time, in the order of this machine. */
static void
hex_address(const struct sockaddr_storage *ss, int any, char *out, size_t len)
{
	const struct sockaddr_in *sin = (const void *)ss;
	const struct sockaddr_in6 *sin6 = (const void *)ss;
	uint32_t	 a[4] = { 0 };

	if (ss->ss_family == AF_INET) {
		snprintf(out, len, ": %08X:%04X 00000000:0000 0A ",
		    any ? 0 : sin->sin_addr.s_addr, ntohs(sin->sin_port));
		return;
	}
	if (!any)
		memcpy(a, &sin6->sin6_addr, sizeof(a));
	snprintf(out, len, ": %08X%08X%08X%08X:%04X %032d:0000 0A ", a[0],
	    a[1], a[2], a[3], ntohs(sin6->sin6_port), 0);
}

int
sandbox_listens(const struct sockaddr_storage *ss)
{
	char		 path[32], want[96], any[96], *text;
	size_t		 len;
	int		 hit;

	snprintf(path, sizeof(path), "/proc/%s/net/%s",
	    access("/proc/self/net", F_OK) == 0 ? "self" : "1",
	    ss->ss_family == AF_INET ? "tcp" : "tcp6");
	if ((text = read_file(path, &len, 64 << 20)) == NULL)
		return 0;
	hex_address(ss, 0, want, sizeof(want));
	hex_address(ss, 1, any, sizeof(any));
	hit = strstr(text, want) != NULL || strstr(text, any) != NULL;
	free(text);
	return hit;
}
