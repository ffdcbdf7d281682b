/*
 * What mta makes of a server's replies: mta_session.c with the real buffers, event
 * loop and messages between processes.  We are the server, and the processes it
 * asks; routes and tasks are ours, no name is resolved, and TLS is only said to be
 * there.
 *
 * The first line of the input says what the relay is like (letters, see
 * relay_is() below; a digit is the number of recipients of each message).  Every
 * further line is said by the server when mta has done all it can; a line that
 * begins with \1 is sent together with the next, one with \2 without its line end,
 * and \3 closes the connection.
 *
 * Each reply is read here as well, as RFC 5321 4.2 has it: what is remembered with
 * an envelope is the text of that reply or one of mta's own, of the right class, and
 * once for each envelope; what EHLO offered is taken for what it is (4.1.1.1); no
 * command comes before the one before was answered, and none that the answers, or
 * the want of TLS, forbid; the message is sent as it is (4.5.2).  What ends the
 * daemon is a finding: any MX could say it.
 *
 * fuzz-without: mta_session.c
 * fuzz-about: mta_session.c:mta_io,mta_response,mta_enter_state,mta_flush_task
 * fuzz-about: mta_session.c:mta_error,mta_send,mta_queue_data,mta_connect
 * fuzz-about: mta_session.c:mta_session_imsg,mta_session,mta_free
 * fuzz-about: util.c:parse_smtp_response
 */
#include "includes.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <netinet/in.h>

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <event.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ssl.h>
#if FUZZ_VERSION >= 700
#include <tls.h>
#endif

#include "fuzz.h"
#include "known.h"

/* Connections, timers, routes and names are ours. */
#define io_connect		our_io_connect
#define io_set_callback		our_io_set_callback
#define io_tls			our_io_tls
#define runq_schedule		our_runq_schedule
#define runq_cancel		our_runq_cancel
#define resolver_getnameinfo	our_getnameinfo
#define mta_source_error	our_mta_source_error
#define mta_route_error		our_mta_route_error
#define mta_route_ok		our_mta_route_error
#define mta_route_down		our_mta_route_error
#define mta_route_collect	our_mta_route_collect
#define mta_route_next_task	our_mta_route_next_task
#define mta_delivery_log	our_mta_delivery_log
#define mta_delivery_notify	our_mta_delivery_notify
#define stat_increment		our_stat_increment
#define stat_decrement		our_stat_increment
#define mta_hoststat_update	our_mta_hoststat_update
#define mta_hoststat_cache	our_mta_hoststat_cache
#define mta_hoststat_uncache	our_mta_hoststat_cache
#define mta_hoststat_reschedule	our_mta_hoststat_reschedule
#if FUZZ_VERSION >= 700
#define io_connect_tls		our_io_connect_tls
#define tls_to_text		our_tls_to_text
#define tls_client()		((struct tls *)&tls_wanted)
#define tls_free(t)		((void)0)
#define tls_configure(t, c)	(tls_broken > 1 ? -1 : 0)
#define tls_config_verify(c)	((void)0)
#define tls_peer_cert_provided(t)	0
#define tls_peer_cert_hash(t)	""
#else
#define io_start_tls		our_io_start_tls
#define ssl_to_text		our_ssl_to_text
#define cert_init		our_cert_init
#define cert_verify		our_cert_verify
#define ssl_mta_init		our_ssl_mta_init
#undef SSL_get_peer_certificate
#define SSL_get_peer_certificate(s)	NULL
#endif

static int	 tls_wanted, tls_broken;

#include "mta_session.c"

#include "warm.h"

#undef io_set_callback
#undef mta_delivery_log
void	 io_set_callback(struct io *, void (*)(struct io *, int, void *), void *);
void	 mta_delivery_log(struct mta_envelope *, const char *, const char *, int,
	    const char *);

#define IDLE		3	/* rounds in which nothing may happen before all is done */
#define TASKS		3	/* messages there are to send */
#define EVPS		9	/* recipients of one, at most */
#define REPLYBUF	2048	/* octets of a reply's text and its end */
#define SECRET		"AGJvYgBzZWNyZXQ="	/* bob's, whose password is secret */

/* What the server says, read by us. */
struct reply {
	char		 line[8192];	/* the one that is not yet at its end */
	size_t		 len;
	char		 text[REPLYBUF];
	int		 lines, over;
	const char	*bad;		/* no reply: mta's words for it */
	int		 ext;		/* MTA_EXT_* offered, if it answers EHLO */
	size_t		 size;
};

/* What mta says, and may say. */
enum verb {
	V_NONE, V_EHLO, V_HELO, V_LHLO, V_STARTTLS, V_PLAIN, V_LOGIN, V_USER,
	V_PASS, V_MAIL, V_RCPT, V_DATA, V_EOM, V_RSET, V_QUIT
};

struct evp {
	struct mta_envelope	 e;	/* first: the daemon has pointers to it */
	int			 logged, notified;
};

static struct smtpd	 conf;
static struct dispatcher action;
static struct mta_relay	 relay;
static struct mta_route	 route;
static struct mta_host	 host;
static struct mta_source source;
static struct mta_domain domain;
static struct mta_limits limits;
static struct sockaddr_in sin_dst, sin_src;
static struct mproc	 theirs[2];	/* the other ends of p_lka and p_queue */

static struct mta_session *session;
static struct evp	*evps[TASKS * EVPS];
static size_t		 nevps, ntasks, nrcpts;
static int		 alive, server = -1, connections, busy;
static int		 connect_wanted, hang_wanted, tls_fails, no_fd, no_helo;
static int		 messages[2] = { -1, -1 };	/* small and big */
static const char	*texts[2];
static int		 big;

static struct reply	 reply;
static unsigned		 bent;		/* known departures, K_* */
static enum verb	 verb;		/* what waits for a reply, or was answered */
static int		 answered;	/* its first digit, or 0 */
static int		 secure, authed, mailed, rcpts, bodied;
static const char	*body;		/* where in the message mta is, or NULL */
static char		 heard[8192];
static size_t		 nheard;

/* --- EHLO --------------------------------------------------------------------------- */

#define K_CASE		0x01
#define K_GREETING	0x02
#define K_NUMBER	0x04
#define K_MECHANISM	0x08

static const struct known known[] = {
	{ K_CASE, 680, 0, "250-mx\r\n250 Size 77\r\n",
	    "a keyword counts in capitals only (RFC 5321 4.1.1.1)" },
	{ K_GREETING, 680, 0, "250 SIZE 77\r\n",
	    "the name in the first line is taken for a keyword" },
	{ K_NUMBER, 680, 0, "250-mx\r\n250 SIZE 4294967296\r\n",
	    "a size that needs more than 32 bits (RFC 1870 4: 20 digits), is none" },
	{ K_MECHANISM, 680, 0, "250-mx\r\n250 AUTH PLAINER PLAIN\r\n",
	    "a mechanism behind one that begins like it is not seen" },
};

static int
same_word(const char *s, size_t len, const char *word)
{
	if (len != strlen(word))
		return (0);
	return (bent & K_CASE ? memcmp(s, word, len) == 0 :
	    strncasecmp(s, word, len) == 0);
}

/* RFC 1870 4: up to 20 digits.  The daemon's way takes blanks and a sign as well. */
static size_t
size_of(const char *s)
{
	const char *p = s;
	char *end;
	unsigned long long n;

	if (!(bent & K_NUMBER)) {
		while (isdigit((unsigned char)*p))
			p++;
		if (p == s || *p != '\0' || p - s > 20)
			return (0);
		return (strtoull(s, NULL, 10));
	}
	while (isspace((unsigned char)*p))
		p++;
	if (*p == '-')
		return (0);
	errno = 0;
	n = strtoull(p, &end, 10);
	return (end == p || *end != '\0' || errno != 0 || n > UINT32_MAX ? 0 : n);
}

static int
mechanism(const char *s, const char *name)
{
	size_t len;

	for (; *s != '\0'; s += len) {
		s += strspn(s, " ");
		len = strcspn(s, " ");
		if (same_word(s, len, name))
			return (1);
		if (bent & K_MECHANISM && strncmp(s, name, strlen(name)) == 0)
			return (0);
	}
	return (0);
}

static void
keyword(const char *s)
{
	size_t len = strcspn(s, " ");
	const char *args = s + len;
	static const struct {
		const char	*word;
		int		 ext;
	} plain[] = {
		{ "STARTTLS", MTA_EXT_STARTTLS },
		{ "PIPELINING", MTA_EXT_PIPELINING },
		{ "DSN", MTA_EXT_DSN },
	};
	size_t i;

	for (i = 0; i < nitems(plain); i++)
		if (*args == '\0' && same_word(s, len, plain[i].word))
			reply.ext |= plain[i].ext;
	if (*args == '\0')
		return;
	if (same_word(s, len, "SIZE"))
		reply.size = size_of(args + 1);
	if (same_word(s, len, "AUTH")) {
		reply.ext |= MTA_EXT_AUTH;
		if (mechanism(args, "PLAIN"))
			reply.ext |= MTA_EXT_AUTH_PLAIN;
		if (mechanism(args, "LOGIN"))
			reply.ext |= MTA_EXT_AUTH_LOGIN;
	}
}

/* Has mta understood what was offered?  What it never uses does not count. */
static int
ext_differs(void)
{
	const int used = MTA_EXT_STARTTLS | MTA_EXT_AUTH | MTA_EXT_AUTH_PLAIN |
	    MTA_EXT_AUTH_LOGIN | MTA_EXT_DSN;
	size_t size = session->ext & MTA_EXT_SIZE ? session->ext_size : 0;

	return (((session->ext ^ reply.ext) & used) != 0 || size != reply.size);
}

/* --- replies --------------------------------------------------------------------------- */

/*
 * The text of a reply is its first line and, of each further one, what stands behind
 * code and enhanced code.  A reply with more than there is room for is its last line.
 */
static void
add_text(const char *line, size_t len, int last)
{
	const char *p = line;
	size_t room = sizeof(reply.text) - strlen(reply.text);

	if (reply.lines > 0) {
		if (len <= 4)
			return;
		p += 4;
		if (isdigit((unsigned char)p[0]) && p[1] == '.' &&
		    isdigit((unsigned char)p[2]) && p[3] == '.' &&
		    isdigit((unsigned char)p[4]) && isspace((unsigned char)p[5]))
			p += 5;
		if (last && strlen(p) >= room) {
			snprintf(reply.text, sizeof(reply.text), "%s", line);
			return;
		}
	}
	snprintf(reply.text + strlen(reply.text), room, "%s", p);
}

/* The line is whole.  Is the reply? */
static int
read_line(char *line, size_t len)
{
	int last;

	if (len > 0 && line[len - 1] == '\r')
		len--;
	line[len] = '\0';
	if (len >= REPLYBUF)
		reply.bad = "line too long";
	else if (len < 3)
		reply.bad = "line too short";
	else if (line[0] < '2' || line[0] > '5' ||
	    !isdigit((unsigned char)line[1]) || !isdigit((unsigned char)line[2]))
		reply.bad = "reply code out of range";
	if (reply.bad != NULL)
		return (1);
	last = len == 3 || line[3] != '-';
	add_text(line, len, last);
	if ((reply.lines++ > 0 || bent & K_GREETING) && len > 4)
		keyword(line + 4);
	return (last);
}

static void
disconnect(void)
{
	if (server != -1)
		close(server);
	server = -1;
}

/* What is behind the reply in the same portion is not asked for, and not read. */
static void
server_says(const char *s, size_t len)
{
	size_t i;

	if (server == -1)
		return;
	/* It may be gone, or read no more. */
	if (write(server, s, len) != (ssize_t)len) {
		disconnect();
		return;
	}
	if (reply.over)
		memset(&reply, 0, sizeof(reply));
	for (i = 0; i < len && !reply.over; i++) {
		if (s[i] == '\n') {
			reply.over = read_line(reply.line, reply.len);
			reply.len = 0;
		} else if (reply.len < sizeof(reply.line) - 1)
			reply.line[reply.len++] = s[i];
	}
	if (reply.over && reply.bad == NULL)
		answered = reply.text[0];
}

/* --- what is remembered -------------------------------------------------------------------- */

/* mta's own words, of what is no reply. */
static int
is_own(int delivery, const char *s)
{
	static const struct {
		int		 delivery;
		const char	*text;
	} own[] = {
		{ IMSG_MTA_DELIVERY_TEMPFAIL, "Bad response: line too long" },
		{ IMSG_MTA_DELIVERY_TEMPFAIL, "Bad response: line too short" },
		{ IMSG_MTA_DELIVERY_TEMPFAIL,
		    "Bad response: reply code out of range" },
		{ IMSG_MTA_DELIVERY_TEMPFAIL, "Input too long" },
		{ IMSG_MTA_DELIVERY_TEMPFAIL, "Remote host sent too much data" },
		{ IMSG_MTA_DELIVERY_TEMPFAIL, "Connection closed unexpectedly" },
		{ IMSG_MTA_DELIVERY_TEMPFAIL, "Connection timeout" },
		{ IMSG_MTA_DELIVERY_TEMPFAIL,
		    "Too many consecutive errors, closing connection" },
		{ IMSG_MTA_DELIVERY_TEMPFAIL, "Could not get message fd" },
		{ IMSG_MTA_DELIVERY_PERMFAIL, "message too large for peer" },
	};
	size_t i;

	for (i = 0; i < nitems(own); i++)
		if (strcmp(s, own[i].text) == 0) {
			if (own[i].delivery != delivery)
				fuzz_fail("the wrong class for \"%s\"", s);
			return (1);
		}
	return (strncmp(s, "IO Error: ", 10) == 0);
}

void
our_mta_delivery_log(struct mta_envelope *e, const char *src, const char *to,
    int delivery, const char *status)
{
	struct evp *evp = (struct evp *)e;
	int want;

	busy = 1;
	if (evp->logged++)
		fuzz_fail("one envelope, two results");
	mta_delivery_log(e, src, to, delivery, status);
	if (strcmp(status, e->status) != 0)
		fuzz_fail("\"%s\" is remembered as \"%s\"", status, e->status);
	if (is_own(delivery, status))
		return;
	if (!reply.over || reply.bad != NULL ||
	    strcmp(status, reply.text) != 0)
		fuzz_fail("the reply \"%s\" is remembered as \"%s\"", reply.text,
		    status);
	want = answered == '2' && verb == V_EOM ? IMSG_MTA_DELIVERY_OK :
	    answered == '5' ? IMSG_MTA_DELIVERY_PERMFAIL :
	    IMSG_MTA_DELIVERY_TEMPFAIL;
	if (delivery != want)
		fuzz_fail("the wrong class for \"%s\"", status);
}

void
our_mta_delivery_notify(struct mta_envelope *e)
{
	struct evp *evp = (struct evp *)e;

	if (!evp->logged || evp->notified++)
		fuzz_fail("an envelope with %d results is told of %d times",
		    evp->logged, evp->notified);
}

/* As the daemon, which does it in the next round of its loop. */
static void
free_notified(int all)
{
	struct evp *evp;
	size_t i;

	for (i = 0; i < nevps; i++) {
		if ((evp = evps[i]) == NULL || !(evp->notified || all))
			continue;
		free(evp->e.dest);
		free(evp->e.rcpt);
		free(evp->e.dsn_orcpt);
		free(evp);
		evps[i] = NULL;
	}
}

/* --- what mta asks of others ----------------------------------------------------------------- */

static struct evp *
new_evp(struct mta_task *task, int dsn)
{
	struct evp *evp = xcalloc(1, sizeof(*evp));

	evp->e.id = nevps + 1;
	evp->e.dest = xstrdup("alice@example.com");
	evp->e.rcpt = xstrdup("alice@example.com");
	evp->e.task = task;
	if (dsn) {
		evp->e.dsn_notify = DSN_SUCCESS | DSN_FAILURE;
		evp->e.dsn_ret = DSN_RETHDRS;
		evp->e.dsn_orcpt = xstrdup("rfc822;alice@example.com");
		strlcpy(evp->e.dsn_envid, "x1", sizeof(evp->e.dsn_envid));
	}
	return (evps[nevps++] = evp);
}

struct mta_task *
our_mta_route_next_task(struct mta_relay *r, struct mta_route *rt)
{
	struct mta_envelope *e;
	struct mta_task *task;
	size_t i;

	busy = 1;
	if (ntasks == TASKS)
		return (NULL);
	task = xcalloc(1, sizeof(*task));
	task->msgid = ++ntasks;
	task->sender = xstrdup("bob@example.org");
	TAILQ_INIT(&task->envelopes);
	for (i = 0; i < nrcpts; i++) {
		e = &new_evp(task, ntasks == 1)->e;
		TAILQ_INSERT_TAIL(&task->envelopes, e, entry);
	}
	return (task);
}

void
our_mta_source_error(struct mta_relay *r, struct mta_route *rt, const char *why)
{
}

void
our_mta_route_error(struct mta_relay *r, struct mta_route *rt)
{
}

void
our_mta_route_collect(struct mta_relay *r, struct mta_route *rt)
{
	size_t i;

	alive = 0;
	busy = 1;
	session = NULL;
	connect_wanted = tls_wanted = 0;
	if (hang_wanted)
		fuzz_fail("a timer outlives the session");
	for (i = 0; i < nevps; i++)
		if (evps[i] != NULL && !evps[i]->notified)
			fuzz_fail("the session is over, and an envelope forgotten");
}

void
our_mta_hoststat_update(const char *name, const char *error)
{
}

void
our_mta_hoststat_cache(const char *name, uint64_t evpid)
{
}

void
our_mta_hoststat_reschedule(const char *name)
{
}

void
our_stat_increment(const char *name, size_t n)
{
}

int
our_runq_schedule(struct runq *runq, time_t delay, void *arg)
{
	if (hang_wanted++)
		fuzz_fail("two timers for a session");
	return (1);
}

int
our_runq_cancel(struct runq *runq, void *arg)
{
	hang_wanted = 0;
	return (1);
}

void
our_getnameinfo(const struct sockaddr *sa, int flags,
    void (*cb)(void *, int, const char *, const char *), void *arg)
{
	cb(arg, 0, "mx.example.com", "25");
}

void
our_io_set_callback(struct io *io, void (*cb)(struct io *, int, void *), void *arg)
{
	session = arg;
	io_set_callback(io, cb, arg);
}

/* A new connection: whatever was said on the one before is past. */
int
our_io_connect(struct io *io, const struct sockaddr *sa,
    const struct sockaddr *bsa)
{
	int sp[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sp) == -1)
		fuzz_fail("socketpair: %s", strerror(errno));
	disconnect();
	server = sp[0];
	io_set_fd(io, sp[1]);
	connect_wanted = 1;
	tls_wanted = 0;
	connections++;
	memset(&reply, 0, sizeof(reply));
	verb = V_NONE;
	answered = secure = authed = mailed = rcpts = 0;
	body = NULL;
	nheard = 0;
	return (sp[1]);
}

#if FUZZ_VERSION >= 700
struct tls *
our_io_tls(struct io *io)
{
	return (NULL);
}

int
our_io_connect_tls(struct io *io, struct tls *tls, const char *name)
{
	if (tls_broken)
		return (-1);
	tls_wanted = 1;
	return (0);
}

const char *
our_tls_to_text(struct tls *tls)
{
	return ("TLSv1.3:TLS_AES_256_GCM_SHA384:256");
}
#else
void *
our_io_tls(struct io *io)
{
	return (NULL);
}

int
our_io_start_tls(struct io *io, void *tls)
{
	tls_wanted = 1;
	return (0);
}

const char *
our_ssl_to_text(const SSL *ssl)
{
	return ("TLSv1.3:TLS_AES_256_GCM_SHA384:256");
}

void *
our_ssl_mta_init(void *cert, char *key, off_t len, const char *ciphers)
{
	return (&tls_wanted);
}

int
our_cert_init(const char *name, int fallback,
    void (*cb)(void *, int, const char *, const void *, size_t), void *arg)
{
	cb(arg, CA_FAIL, NULL, NULL, 0);
	return (0);
}

int
our_cert_verify(const void *ssl, const char *name, int fallback,
    void (*cb)(void *, int), void *arg)
{
	cb(arg, CERT_NOCERT);
	return (0);
}
#endif

static void
asked_lka(struct mproc *p, struct imsg *imsg)
{
	struct msg m;
	uint64_t reqid;

	busy = 1;
	if (imsg->hdr.type != IMSG_MTA_LOOKUP_HELO)
		return;
	m_msg(&m, imsg);
	m_get_id(&m, &reqid);
	m_create(p, IMSG_MTA_LOOKUP_HELO, 0, 0, -1);
	m_add_id(p, reqid);
	m_add_int(p, no_helo ? LKA_TEMPFAIL : LKA_OK);
	if (!no_helo)
		m_add_string(p, "helo.example.org");
	m_close(p);
}

static void
asked_queue(struct mproc *p, struct imsg *imsg)
{
	struct msg m;
	uint64_t reqid;

	busy = 1;
	if (imsg->hdr.type != IMSG_MTA_OPEN_MESSAGE)
		fuzz_fail("queue is asked %s", imsg_to_str(imsg->hdr.type));
	m_msg(&m, imsg);
	m_get_id(&m, &reqid);
	m_create(p, IMSG_MTA_OPEN_MESSAGE, 0, 0,
	    no_fd ? -1 : dup(messages[big]));
	m_add_id(p, reqid);
	m_close(p);
}

static void
told(struct mproc *p, struct imsg *imsg)
{
	busy = 1;
	mta_session_imsg(p, imsg);
}

/* --- what mta says ------------------------------------------------------------------------ */

static int
may_always(void)
{
	return (1);
}

static int
may_tls(void)
{
	return (!secure && reply.ext & MTA_EXT_STARTTLS);
}

static int
may_auth(void)
{
	return (secure && relay.secret != NULL);
}

static int
may_challenged(void)
{
	return (may_auth() && answered == '3');
}

/* Nothing of a message goes out in the clear, or by nobody, where that is asked for. */
static int
may_mail(void)
{
	return (secure || (relay.tls != RELAY_TLS_STARTTLS &&
	    relay.tls != RELAY_TLS_SMTPS)) &&
	    (authed || relay.secret == NULL);
}

static int
may_rcpt(void)
{
	return (mailed);
}

static int
may_data(void)
{
	return (mailed && rcpts > 0);
}

static const struct command {
	const char	*text;		/* a blank at the end: more follows */
	enum verb	 verb;
	int		 (*may)(void);
} commands[] = {
	{ "EHLO ", V_EHLO, may_always },
	{ "HELO ", V_HELO, may_always },
	{ "LHLO ", V_LHLO, may_always },
	{ "STARTTLS", V_STARTTLS, may_tls },
	{ "AUTH PLAIN " SECRET, V_PLAIN, may_auth },
	{ "AUTH LOGIN", V_LOGIN, may_auth },
	{ "Ym9i", V_USER, may_challenged },
	{ "c2VjcmV0", V_PASS, may_challenged },
	{ "MAIL FROM:<bob@example.org>", V_MAIL, may_mail },
	{ "MAIL FROM:<bob@example.org> RET=HDRS ENVID=x1", V_MAIL, may_mail },
	{ "RCPT TO:<alice@example.com>", V_RCPT, may_rcpt },
	{ "RCPT TO:<alice@example.com> NOTIFY=SUCCESS,FAILURE "
	    "ORCPT=rfc822;alice@example.com", V_RCPT, may_rcpt },
	{ "RCPT TO:<alice@example.com> NOTIFY=SUCCESS,FAILURE "
	    "ORCPT=rfc822;rfc822;alice@example.com", V_RCPT, may_rcpt },
	{ "DATA", V_DATA, may_data },
	{ "RSET", V_RSET, may_always },
	{ "QUIT", V_QUIT, may_always },
};

/* The reply to the command before is there: what has it changed? */
static void
settle(void)
{
	int ok = answered == '2';

	if (verb == V_MAIL)
		mailed = ok;
	else if (verb == V_RCPT)
		rcpts += ok;
	else if (verb == V_PLAIN || verb == V_PASS)
		authed = ok;
	else if (verb == V_EOM || verb == V_RSET)
		mailed = rcpts = 0;
}

static void
hear_command(const char *line, size_t len)
{
	const struct command *c;
	size_t i, n;

	for (i = 0; i < nitems(commands); i++) {
		c = &commands[i];
		n = strlen(c->text);
		if (len >= n && memcmp(line, c->text, n) == 0 &&
		    (len == n || c->text[n - 1] == ' '))
			break;
	}
	if (i == nitems(commands))
		fuzz_fail("mta says %.*s", (int)len, line);
	/* The first reply is the greeting, and TLS ready the second EHLO's. */
	if (answered == 0)
		fuzz_fail("%s is said before what came before was answered", c->text);
	settle();
	if (!c->may())
		fuzz_fail("%s is said behind \"%s\"", c->text, reply.text);
	verb = c->verb;
	answered = 0;
}

/* RFC 5321 4.5.2: line by line, with a dot more where it begins with one. */
static void
hear_body(const char *line, size_t len)
{
	size_t n = strcspn(body, "\n"), dot = *body == '.';

	if (*body == '\0') {
		if (len != 1 || *line != '.')
			fuzz_fail("%.*s behind the message", (int)len, line);
		body = NULL;
		verb = V_EOM;
		answered = 0;
		bodied++;
		return;
	}
	if (len != n + dot || (dot && *line != '.') ||
	    memcmp(line + dot, body, n) != 0)
		fuzz_fail("%.*s instead of %.*s", (int)len, line, (int)n, body);
	body += n + (body[n] == '\n');
}

static void
hear_line(const char *line, size_t len)
{
	/* Some servers say 250 to DATA, and the daemon is content with that. */
	if (body == NULL && verb == V_DATA &&
	    (answered == '3' || answered == '2'))
		body = texts[big];
	if (body != NULL)
		hear_body(line, len);
	else
		hear_command(line, len);
}

static void
hear(void)
{
	char *nl, *p;
	ssize_t n;

	while (server != -1 && (n = read(server, heard + nheard,
	    sizeof(heard) - nheard)) > 0) {
		busy = 1;
		nheard += n;
		for (p = heard; (nl = memchr(p, '\n', heard + nheard - p)) !=
		    NULL; p = nl + 1) {
			if (nl == p || nl[-1] != '\r')
				fuzz_fail("no CRLF in %.*s", (int)(nl - p), p);
			hear_line(p, nl - p - 1);
		}
		nheard -= p - heard;
		memmove(heard, p, nheard);
		if (nheard == sizeof(heard))
			fuzz_fail("a line without end");
	}
}

/* --- a session ------------------------------------------------------------------------- */

/* Until nobody has anything to do any more. */
static void
run(void)
{
	int idle;

	for (idle = 0; idle < IDLE; idle++) {
		busy = 0;
		event_loop(EVLOOP_NONBLOCK);
		free_notified(0);
		if (connect_wanted && session != NULL) {
			connect_wanted = 0;
			busy = 1;
			mta_io(session->io, IO_CONNECTED, session);
		}
		if (tls_wanted && session != NULL) {
			tls_wanted = 0;
			busy = 1;
			secure = !tls_fails;
			answered = '2';
			mta_io(session->io, tls_fails ? IO_ERROR : IO_TLSREADY,
			    session);
			if (session != NULL && session->state == MTA_BANNER)
				answered = 0;
		}
		if (hang_wanted && session != NULL) {
			hang_wanted = 0;
			busy = 1;
			mta_on_timeout(NULL, session);
		}
		hear();
		if (busy)
			idle = -1;
	}
}

static void
relay_is(const char *letters)
{
	static const char *const names[] = { NULL, "table" };
	int has[256] = { 0 };

	for (nrcpts = 2; *letters != '\0'; letters++) {
		has[(unsigned char)*letters] = 1;
		if (*letters >= '1' && *letters <= '0' + EVPS)
			nrcpts = *letters - '0';
	}
	memset(&relay, 0, sizeof(relay));
	relay.tls = has['n'] || has['l'] ? RELAY_TLS_NO :
	    has['s'] ? RELAY_TLS_STARTTLS : has['S'] ? RELAY_TLS_SMTPS :
	    RELAY_TLS_OPPORTUNISTIC;
	if (has['l'])
		relay.flags |= RELAY_LMTP;
	/* smtpd.conf has it only where TLS is asked for */
	if (has['a'] && (has['s'] || has['S']) && relay.tls != RELAY_TLS_NO) {
		relay.flags |= RELAY_AUTH;
		relay.authtable = relay.authlabel = "label";
		relay.secret = SECRET;
	}
	relay.helotable = (char *)names[has['h'] || has['H']];
	memset(&action, 0, sizeof(action));
	relay.dispatcher = &action;
	action.u.remote.filtername = has['f'] ? "f" : NULL;
	relay.domain = &domain;
	relay.limits = &limits;
	relay.nconn = 1;
	limits.max_mail_per_session = has['o'] ? 1 : 100;
	limits.sessdelay_transaction = has['w'];
	limits.sessdelay_keepalive = has['k'] ? 2 : 0;
	limits.max_failures_per_session = has['m'] ? 2 : 25;
	host.ptrname = has['p'] ? NULL : xstrdup("mx.example.com");
	host.lastptrquery = 0;
	no_helo = has['H'];
	no_fd = has['F'];
	tls_fails = has['x'];
	tls_broken = has['C'] ? 2 : has['c'];
	big = has['b'];
}

static void
begin(const char *letters)
{
	relay_is(letters);
	nevps = ntasks = 0;
	connections = busy = connect_wanted = tls_wanted = hang_wanted = 0;
	session = NULL;
	alive = 1;
	mta_session(&relay, &route, "mx.example.com");
	run();
}

/* The server says no more; if that does not end it, time does. */
static void
finish(void)
{
	int tries;

	for (tries = 0; alive && tries < 4; tries++) {
		disconnect();
		run();
		if (alive && session != NULL && server == -1) {
			mta_io(session->io, IO_TIMEOUT, session);
			run();
		}
	}
	disconnect();
	if (alive)
		fuzz_fail("the session outlives its server in %s",
		    session == NULL ? "nothing" : mta_strstate(session->state));
	free_notified(1);
	free(host.ptrname);
	host.ptrname = NULL;
}

static void
turn(const char *s, size_t len)
{
	int was = connections, ehlo = verb == V_EHLO;

	server_says(s, len);
	run();
	if (ehlo && reply.over && reply.bad == NULL && reply.text[0] == '2' &&
	    session != NULL && connections == was && verb != V_EHLO &&
	    ext_differs())
		fuzz_fail("of \"%s\" mta takes %#x, size %zu, instead of %#x, %zu",
		    reply.text, session->ext, session->ext_size, reply.ext,
		    reply.size);
}

static void
converse(struct fuzz_in *in)
{
	char buf[8192];
	const uint8_t *nl;
	size_t len, n = 0;
	int cut, more;

	while (in->left > 0 && alive) {
		nl = memchr(in->p, '\n', in->left);
		len = nl == NULL ? in->left : (size_t)(nl + 1 - in->p);
		for (more = cut = 0; len > 0 && *in->p >= 1 && *in->p <= 3;
		    in->p++, in->left--, len--) {
			more |= *in->p == 1;
			cut |= *in->p == 2;
			if (*in->p == 3)
				disconnect();
		}
		if (len > sizeof(buf) - n)
			len = sizeof(buf) - n;
		memcpy(buf + n, in->p, len);
		n += len;
		in->p += len;
		in->left -= len;
		if (cut && n > 0 && buf[n - 1] == '\n')
			n--;
		if (more && in->left > 0 && n < sizeof(buf))
			continue;
		turn(buf, n);
		n = 0;
	}
}

/* --- the target -------------------------------------------------------------------------- */

static int
departs(const char *text)
{
	static const char hello[] = "220 mx\r\n";
	int differs;

	begin("n");
	server_says(hello, sizeof(hello) - 1);
	run();
	bent = 0;
	server_says(text, strlen(text));
	run();
	differs = session == NULL || ext_differs();
	finish();
	return (differs);
}

static int
message(const char *text)
{
	int fd;

	if ((fd = memfd_create("message", 0)) == -1 ||
	    write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "message");
	return (fd);
}

static char *
big_text(void)
{
	static char text[120 * 1000];
	size_t n;

	for (n = 0; n < sizeof(text) - 100;)
		n += snprintf(text + n, sizeof(text) - n, "%*zu\n",
		    (int)(n % 70), n);
	return (text);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct mproc mine[2];
	static void (*const asked[])(struct mproc *, struct imsg *) = {
		asked_lka, asked_queue
	};
	static char name[] = "peer";
	size_t i;

	env = &conf;
	strlcpy(conf.sc_hostname, "mx.example.org", sizeof(conf.sc_hostname));
	texts[0] = "Subject: x\n\n.\n..two\nlast";
	texts[1] = big_text();
	messages[0] = message(texts[0]);
	messages[1] = message(texts[1]);
	domain.name = "example.com";
	route.src = &source;
	route.dst = &host;
	source.sa = (struct sockaddr *)&sin_src;
	host.sa = (struct sockaddr *)&sin_dst;
	sin_src.sin_family = sin_dst.sin_family = AF_INET;
	sin_src.sin_addr.s_addr = sin_dst.sin_addr.s_addr = htonl(0xc0000219);
	event_init();
	p_lka = &mine[0];
	p_queue = &mine[1];
	for (i = 0; i < nitems(mine); i++) {
		mine[i].handler = told;
		theirs[i].handler = asked[i];
		warm_pair(&mine[i], &theirs[i], name);
	}
	fuzz_warm_up("n\n");
	return (0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char letters[32];
	struct fuzz_in in;

	if (size == 0)
		known_check(known, nitems(known), departs);
	bent = known_bits(known, nitems(known));
	fuzz_in(&in, data, size);
	if (!fuzz_line(&in, letters, sizeof(letters)))
		return (0);
	begin(letters);
	converse(&in);
	finish();
	return (0);
}
