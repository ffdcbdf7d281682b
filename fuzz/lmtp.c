/*
 * mail.lmtp(8) and what a server answers it.  The input's first line is the
 * message, a '/' for each line end; the rest is the server's side.  It may say
 * that a mail is delivered only if the server took it; what it says has to be
 * LMTP, RFC 2033, the message with its dots stuffed.
 *
 * fuzz-about: mail.lmtp.c:lmtp_engine,stream_file
 */
#include "includes.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "reclaim.h"

static FILE	*open_stream(const char *);
static FILE	*message;

#undef main
#define main		lmtp_main
#define dup(fd)		(fd)
#define fdopen(fd, m)	open_stream(m)
#undef stdin
#define stdin		message
#include "mail.lmtp.c"
#undef fdopen
#undef dup

static struct fuzz_in	 server;
static FILE		*streams[2];
static char		*said;
static size_t		 saidlen;
static char		 body[512];

static ssize_t
answer(void *cookie, char *buf, size_t size)
{
	const uint8_t *nl;
	size_t n;

	/* a line at a time: what it said before is flushed */
	nl = memchr(server.p, '\n', server.left);
	n = nl == NULL ? server.left : (size_t)(nl + 1 - server.p);
	if (n > size)
		n = size;
	memcpy(buf, server.p, n);
	server.p += n;
	server.left -= n;
	return (n);
}

static FILE *
open_stream(const char *mode)
{
	cookie_io_functions_t io = { .read = answer };
	int out = *mode == 'w';

	streams[out] = out ? open_memstream(&said, &saidlen) :
	    fopencookie(NULL, "r", io);
	return (streams[out]);
}

/* --- a second reading ----------------------------------------------------------- */

/* How many replies let it go on, until the first that does not. */
static int
good_replies(const char *s, size_t len)
{
	const char *end = s + len, *nl;
	int n;

	for (n = 0; n < 7 && s < end; s = nl + 1) {
		if ((nl = memchr(s, '\n', end - s)) == NULL)
			nl = end;
		if (nl - s < 4 || s[0] < '0' || s[0] > '9' || s[1] < '0' ||
		    s[1] > '9' || s[2] < '0' || s[2] > '9' ||
		    (s[3] != ' ' && s[3] != '-') ||
		    s[0] != (n == 4 ? '3' : '2'))
			break;
		n += s[3] == ' ';
	}
	return (n);
}

static void
add(char *to, size_t size, const char *s)
{
	if (strlcat(to, s, size) >= size)
		fuzz_fail("no room");
}

/* What has to be said when so many replies were good. */
static void
conversation(char *to, size_t size, int n)
{
	static const char *const lines[] = {
		"LHLO localhost\r\n", "MAIL FROM:<bob@example.net>\r\n",
		"RCPT TO:<alice@example.org>\r\n", "DATA\r\n", NULL, "QUIT\r\n"
	};
	const char *p, *nl;
	char line[sizeof(body)];
	int i;

	to[0] = '\0';
	for (i = 0; i < n && i < 6; i++) {
		if (lines[i] != NULL) {
			add(to, size, lines[i]);
			continue;
		}
		for (p = body; *p != '\0'; p = *nl == '\0' ? nl : nl + 1) {
			nl = p + strcspn(p, "\n");
			snprintf(line, sizeof(line), "%s%.*s", *p == '.' ?
			    "." : "", (int)(nl - p), p);
			add(to, size, line);
			add(to, size, "\r\n");
		}
		add(to, size, ".\r\n");
	}
}

static void
do_engine(void *arg)
{
	lmtp_engine(3, arg);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *rcpts[] = { (char *)(uintptr_t)"alice@example.org" };
	struct session s = { .lhlo = "localhost",
	    .mailfrom = "bob@example.net", .rcpts = rcpts, .n_rcpts = 1 };
	char want[sizeof(body) * 4];
	const char *text;
	size_t len;
	int n, delivered;
	char *p;

	fuzz_in(&server, data, size);
	if (!fuzz_line(&server, body, sizeof(body) - 1))
		return (0);
	for (p = body; (p = strchr(p, '/')) != NULL; p++)
		*p = '\n';
	text = (const char *)server.p;
	len = server.left;
	n = good_replies(text, len);
	conversation(want, sizeof(want), n);

	reclaim_begin();
	message = body[0] == '\0' ? fopen("/dev/null", "r") :
	    fmemopen(body, strlen(body), "r");
	if (!fuzz_guard(do_engine, &s))
		fuzz_fail("it comes back");
	delivered = strcmp(fuzz_fatal(), "exit") == 0;
	fflush(streams[1]);
	if (delivered != (n == 7))
		fuzz_fail("%s after %d good replies: %s", delivered ?
		    "delivered" : "not delivered", n, fuzz_fatal());
	if (strncmp(said, want, saidlen) != 0 || saidlen != strlen(want))
		fuzz_fail("it said\n%.*sand not\n%s", (int)saidlen, said, want);
	fclose(streams[0]);
	fclose(streams[1]);
	fclose(message);
	reclaim_end();
	said = NULL;
	return (0);
}
