/*
 * An SMTP session, from the connection to its end: smtp_session.c with the real
 * buffers, event loop and messages between processes.  We are the client, and
 * the processes it asks; no name is resolved, and TLS is only said to be there.
 *
 * The first line of the input says what the session is like (letters, see
 * options[] below), the second what is answered to smtpd's questions, a letter
 * each.  Every further line is sent when the one before was answered; one that
 * begins with \1 is sent together with the next.
 *
 * Each line that is a command must get one reply, of the form RFC 5321 4.2 wants.
 * What ends the daemon is a finding: anybody could send it.
 *
 * fuzz-without: smtp_session.c
 * fuzz-about: smtp_session.c:smtp_session,smtp_io,smtp_command,smtp_reply
 * fuzz-about: smtp_session.c:smtp_check_helo,smtp_check_ehlo,smtp_check_auth
 * fuzz-about: smtp_session.c:smtp_check_mail_from,smtp_check_rcpt_to
 * fuzz-about: smtp_session.c:smtp_check_data,smtp_check_rset,smtp_mailaddr
 * fuzz-about: smtp_session.c:smtp_proceed_helo,smtp_proceed_ehlo
 * fuzz-about: smtp_session.c:smtp_proceed_auth,smtp_proceed_mail_from
 * fuzz-about: smtp_session.c:smtp_rfc4954_auth_plain,smtp_rfc4954_auth_login
 * fuzz-about: smtp_session.c:smtp_tx_mail_from,smtp_tx_rcpt_to
 * fuzz-about: smtp_session.c:smtp_tx_dataline,smtp_message_begin
 * fuzz-about: smtp_session.c:smtp_message_end,header_domain_append_callback
 * fuzz-about: smtp_session.c:header_append_domain_buffer
 */
#include "includes.h"

#include <sys/socket.h>

#include <netinet/in.h>

#include <err.h>
#include <errno.h>
#include <event.h>
#include <fcntl.h>
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

/* What is resolved, and the end of a session, are ours. */
#define resolver_getnameinfo	our_getnameinfo
#define resolver_getaddrinfo	our_getaddrinfo
#define smtp_collect		our_smtp_collect
#if FUZZ_VERSION >= 700
#define io_accept_tls		our_io_accept_tls
#define tls_to_text		our_tls_to_text
#define tls_conn_version(x)	"TLSv1.3"
#define tls_conn_cipher(x)	"TLS_AES_256_GCM_SHA384"
#define tls_conn_cipher_strength(x)	256
#define tls_peer_cert_provided(x)	0
#define tls_peer_cert_hash(x)	""
#else
#define SSL_get_version(x)	"TLSv1.3"
#define SSL_get_cipher_name(x)	"TLS_AES_256_GCM_SHA384"
#define SSL_get_cipher_bits(x, y)	256
#endif
#include "smtp_session.c"

#include "warm.h"

#define IDLE	3	/* rounds in which nothing may happen before all is done */

static struct smtpd	 conf;
static struct listener	 listener;
static struct mproc	*const *const ours[] = { &p_lka, &p_queue, &p_control };
static struct mproc	 theirs[3];	/* the other ends of those */
static struct smtp_session *session;
static char		 answers[64];
static size_t		 nanswers;
static int		 client = -1, filter = -1, busy, tls_wanted;
static char		 heard[64 * 1024];
static size_t		 nheard;

/* --- what the session asks of others ------------------------------------------------ */

static char
next_answer(void)
{
	if (answers[nanswers] == '\0')
		return ('y');
	return (answers[nanswers++]);
}

void
our_getnameinfo(const struct sockaddr *sa, int flags,
    void (*cb)(void *, int, const char *, const char *), void *arg)
{
	char how = next_answer();

	session = arg;
	if (how == 'y')
		cb(arg, 0, "client.example", "25");
	else
		cb(arg, how == 't' ? EAI_AGAIN : EAI_NONAME, NULL, NULL);
}

void
our_getaddrinfo(const char *host, const char *serv,
    const struct addrinfo *hints, void (*cb)(void *, int, struct addrinfo *),
    void *arg)
{
	cb(arg, EAI_NONAME, NULL);
}

void
our_smtp_collect(void)
{
	session = NULL;
}

#if FUZZ_VERSION >= 700
int
our_io_accept_tls(struct io *io, struct tls *tls)
{
	tls_wanted = 1;
	return (0);
}

const char *
our_tls_to_text(struct tls *tls)
{
	return ("TLSv1.3:TLS_AES_256_GCM_SHA384:256");
}
#endif

static void
answer_int(struct mproc *p, int type, uint64_t reqid, int value)
{
	m_create(p, type, 0, 0, -1);
	m_add_id(p, reqid);
	m_add_int(p, value);
	m_close(p);
}

static void
submit(uint64_t reqid, int ok)
{
	struct mproc *queue = &theirs[1];

	m_create(queue, IMSG_QUEUE_ENVELOPE_SUBMIT, 0, 0, -1);
	m_add_id(queue, reqid);
	m_add_int(queue, ok);
	if (ok)
		m_add_evpid(queue, 0x1234567800000001);
	m_close(queue);
}

static void
on_rcpt(struct mproc *p, struct msg *m, uint64_t reqid)
{
	struct envelope evp;
	char how = next_answer();

	m_get_envelope(m, &evp);
	m_end(m);
	if (how == 'n' || how == 't') {
		m_create(p, IMSG_SMTP_EXPAND_RCPT, 0, 0, -1);
		m_add_id(p, reqid);
		m_add_int(p, how == 'n' ? LKA_PERMFAIL : LKA_TEMPFAIL);
		m_add_string(p, how == 'n' ? "550 Invalid recipient" :
		    "451 Temporary failure");
		m_close(p);
		return;
	}
	submit(reqid, how != 'e');
	if (how == 'm')
		submit(reqid, 1);
	answer_int(&theirs[1], IMSG_QUEUE_ENVELOPE_COMMIT, reqid, 1);
}

static void
on_auth(struct mproc *p, struct msg *m, uint64_t reqid)
{
	const char *s;
	int i;

	for (i = 0; i < 3; i++) {
		m_get_string(m, &s);
		if (s[strcspn(s, "\r\n")] != '\0' && FUZZ_VERSION >= 790)
			fuzz_fail("a line end in what is asked of lka: %s", s);
	}
	m_end(m);
	/* a refusal makes it wait for 5 s of the real clock */
	answer_int(p, IMSG_SMTP_AUTHENTICATE, reqid,
	    next_answer() == 'y' ? LKA_OK : LKA_TEMPFAIL);
}

static void
on_filter(struct mproc *p, struct msg *m, uint64_t reqid)
{
	static const struct {
		char		 how;
		int		 response;
		const char	*text;
	} all[] = {
		{ 'n', FILTER_REJECT, "550 5.7.1 no" },
		{ 't', FILTER_REJECT, "421 4.3.0 later" },
		{ 'b', FILTER_REJECT, "not a reply" },
		{ 'd', FILTER_DISCONNECT, "554 5.7.1 go away" },
		{ 'j', FILTER_JUNK, NULL },
		{ 'w', FILTER_REWRITE, "<x@y.example>" },
		{ 'W', FILTER_REWRITE, "y.example" },
		{ 'y', FILTER_PROCEED, NULL },
	};
	const char *param;
	char how = next_answer();
	size_t i;
	int phase;

	m_get_int(m, &phase);
	m_get_string(m, &param);
	m_end(m);
	for (i = 0; i < nitems(all) - 1 && all[i].how != how; i++)
		;
	m_create(p, IMSG_FILTER_SMTP_PROTOCOL, 0, 0, -1);
	m_add_id(p, reqid);
	m_add_int(p, all[i].response);
	if (all[i].text != NULL)
		m_add_string(p, all[i].text);
	m_close(p);
}

static void
on_filter_data(struct mproc *p, uint64_t reqid)
{
	int sp[2];

	if (next_answer() != 'y' || filter != -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sp) == -1) {
		answer_int(p, IMSG_FILTER_SMTP_DATA_BEGIN, reqid, 0);
		return;
	}
	filter = sp[0];
	m_create(p, IMSG_FILTER_SMTP_DATA_BEGIN, 0, 0, sp[1]);
	m_add_id(p, reqid);
	m_add_int(p, 1);
	m_close(p);
}

static void
asked_lka(struct mproc *p, struct imsg *imsg)
{
	struct msg m;
	struct mailaddr sender;
	const char *s;
	uint64_t reqid;

	busy = 1;
	if (imsg->hdr.type >= IMSG_REPORT_SMTP_LINK_CONNECT &&
	    imsg->hdr.type <= IMSG_REPORT_SMTP_TIMEOUT)
		return;
	m_msg(&m, imsg);
	m_get_id(&m, &reqid);
	switch (imsg->hdr.type) {
	case IMSG_SMTP_EXPAND_RCPT:
		on_rcpt(p, &m, reqid);
		break;
	case IMSG_SMTP_AUTHENTICATE:
		on_auth(p, &m, reqid);
		break;
	case IMSG_SMTP_CHECK_SENDER:
		m_get_string(&m, &s);
		m_get_string(&m, &s);
		m_get_mailaddr(&m, &sender);
		m_end(&m);
		answer_int(p, IMSG_SMTP_CHECK_SENDER, reqid,
		    next_answer() == 'y' ? LKA_OK : LKA_PERMFAIL);
		break;
	case IMSG_FILTER_SMTP_PROTOCOL:
		on_filter(p, &m, reqid);
		break;
	case IMSG_FILTER_SMTP_DATA_BEGIN:
		on_filter_data(p, reqid);
		break;
	case IMSG_FILTER_SMTP_BEGIN:
	case IMSG_FILTER_SMTP_END:
	case IMSG_FILTER_SMTP_DATA_END:
		break;
	default:
		fuzz_fail("lka is asked %s", imsg_to_str(imsg->hdr.type));
	}
}

static void
asked_queue(struct mproc *p, struct imsg *imsg)
{
	struct msg m;
	uint64_t reqid;
	int ok;

	busy = 1;
	if (imsg->hdr.type == IMSG_SMTP_MESSAGE_ROLLBACK)
		return;
	m_msg(&m, imsg);
	m_get_id(&m, &reqid);
	ok = next_answer() == 'y';
	switch (imsg->hdr.type) {
	case IMSG_SMTP_MESSAGE_CREATE:
		m_create(p, IMSG_SMTP_MESSAGE_CREATE, 0, 0, -1);
		m_add_id(p, reqid);
		m_add_int(p, ok);
		if (ok)
			m_add_msgid(p, 0x12345678);
		m_close(p);
		break;
	case IMSG_SMTP_MESSAGE_OPEN:
		m_create(p, IMSG_SMTP_MESSAGE_OPEN, 0, 0,
		    ok ? open("/dev/null", O_WRONLY) : -1);
		m_add_id(p, reqid);
		m_add_int(p, ok);
		m_close(p);
		break;
	case IMSG_SMTP_MESSAGE_COMMIT:
		answer_int(p, IMSG_SMTP_MESSAGE_COMMIT, reqid, ok);
		break;
	default:
		fuzz_fail("queue is asked %s", imsg_to_str(imsg->hdr.type));
	}
}

static void
asked_control(struct mproc *p, struct imsg *imsg)
{
}

static void
answered(struct mproc *p, struct imsg *imsg)
{
	busy = 1;
	smtp_session_imsg(p, imsg);
}

/* --- the client ----------------------------------------------------------------------- */

static void
echo_filter(void)
{
	char buf[8192];
	ssize_t n;

	if (filter == -1)
		return;
	if ((n = read(filter, buf, sizeof(buf))) > 0) {
		busy = 1;
		/* it takes less than the socket holds */
		if (write(filter, buf, n) != n)
			fuzz_fail("the filter cannot write");
	} else if (n == 0 || errno != EAGAIN) {
		close(filter);
		filter = -1;
	}
}

static void
hear(void)
{
	ssize_t n;

	while (client != -1 && (n = read(client, heard + nheard,
	    sizeof(heard) - nheard)) > 0) {
		nheard += n;
		busy = 1;
	}
}

/* Until nobody has anything to do any more. */
static void
run(void)
{
	int idle;

	for (idle = 0; idle < IDLE; idle++) {
		busy = 0;
		event_loop(EVLOOP_NONBLOCK);
		if (tls_wanted && session != NULL) {
			tls_wanted = 0;
			busy = 1;
			smtp_io(session->io, IO_TLSREADY, session);
		}
		echo_filter();
		hear();
		if (busy)
			idle = -1;
	}
}

/* How many whole replies of RFC 5321 4.2 were heard; forgets them. */
static int
replies(void)
{
	const char *s = heard, *end = heard + nheard, *nl, *code = NULL;
	int n = 0;

	for (; s < end; s = nl + 1) {
		if ((nl = memchr(s, '\n', end - s)) == NULL || nl == s ||
		    nl[-1] != '\r')
			fuzz_fail("no CRLF in %.*s", (int)(end - s), s);
		if (nl - s < 5 || s[0] < '2' || s[0] > '5' || s[1] < '0' ||
		    s[1] > '5' || s[2] < '0' || s[2] > '9' ||
		    (s[3] != ' ' && s[3] != '-') ||
		    memchr(s, '\0', nl - s) != NULL)
			fuzz_fail("no reply: %.*s", (int)(nl - s), s);
		if (code != NULL && memcmp(code, s, 3) != 0)
			fuzz_fail("another code: %.*s", (int)(nl - s), s);
		code = s[3] == '-' ? s : NULL;
		n += code == NULL;
	}
	if (code != NULL)
		fuzz_fail("a reply without its last line");
	nheard = 0;
	return (n);
}

static int
say(const void *line, size_t len)
{
	return (client != -1 && session != NULL &&
	    write(client, line, len) == (ssize_t)len ? 0 : -1);
}

static void
converse(struct fuzz_in *in)
{
	char line[4096];
	const uint8_t *nl;
	size_t len;
	int joined = 0, body, n;

	while (in->left > 0 && session != NULL) {
		nl = memchr(in->p, '\n', in->left);
		len = nl == NULL ? in->left : (size_t)(nl + 1 - in->p);
		if (len > sizeof(line))
			len = sizeof(line);
		memcpy(line, in->p, len);
		in->p += len;
		in->left -= len;
		body = session->state == STATE_BODY;
		if (line[0] == '\1') {
			joined = 1;
			if (say(line + 1, len - 1) == -1)
				return;
			continue;
		}
		if (say(line, len) == -1)
			return;
		run();
		n = replies();
		/* an unfinished line, or one with others, may get any number */
		if (joined || line[len - 1] != '\n') {
			joined = 1;
			continue;
		}
		if (n != 1 && !body)
			fuzz_fail("%d replies to %.*s", n, (int)len, line);
		if (body && n > 1)
			fuzz_fail("%d replies to a line of a message", n);
	}
}

static const struct {
	char		 letter;
	int		 listener;	/* flags */
	int		 session;
} options[] = {
	{ 'f', F_FILTERED, 0 },
	{ 'd', F_EXT_DSN, 0 },
#if FUZZ_VERSION >= 700
	{ 't', F_STARTTLS, 0 },
#endif
	{ 's', F_AUTH | F_RECEIVEDAUTH, SF_SECURE },
	{ 'a', F_AUTH_REQUIRE, 0 },
	{ 'r', F_STARTTLS_REQUIRE, 0 },
	{ 'm', F_MASK_SOURCE, 0 },
	{ 'A', F_MASQUERADE, SF_AUTHENTICATED },
};

static void
start(const char *letters)
{
	struct sockaddr_storage ss;
	struct sockaddr_in *sin = (struct sockaddr_in *)&ss;
	size_t i;
	int sp[2], flags = 0;

	memset(&listener, 0, sizeof(listener));
	strlcpy(listener.hostname, "mx.example.org", sizeof(listener.hostname));
	strlcpy(listener.filter_name, "f", sizeof(listener.filter_name));
	listener.ss.ss_family = AF_INET;
	listener.local = strchr(letters, 'l') != NULL;
	listener.port = htons(25);
	if (strchr(letters, 'S') != NULL)
		strlcpy(listener.sendertable, "senders",
		    sizeof(listener.sendertable));
	for (i = 0; i < nitems(options); i++)
		if (strchr(letters, options[i].letter) != NULL) {
			listener.flags |= options[i].listener;
			flags |= options[i].session;
		}
	memset(&ss, 0, sizeof(ss));
	sin->sin_family = AF_INET;
	sin->sin_addr.s_addr = htonl(0xc0000207);
	sin->sin_port = htons(2525);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sp) == -1)
		fuzz_fail("socketpair: %s", strerror(errno));
	client = sp[0];
	if (smtp_session(&listener, sp[1], &ss, NULL, NULL) == -1)
		fuzz_fail("no session");
	if (session != NULL)
		session->flags |= flags;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct mproc mine[3];
	static void (*const asked[])(struct mproc *, struct imsg *) = {
		asked_lka, asked_queue, asked_control
	};
	static char name[] = "peer";
	size_t i;

	env = &conf;
	conf.sc_maxsize = 2048;
	conf.sc_session_max_rcpt = 5;
	conf.sc_session_max_mails = 3;
	strlcpy(conf.sc_hostname, "mx.example.org", sizeof(conf.sc_hostname));
	event_init();
	p_lka = &mine[0];
	p_queue = &mine[1];
	p_control = &mine[2];
	for (i = 0; i < 3; i++) {
		mine[i].handler = answered;
		theirs[i].handler = asked[i];
		warm_pair(&mine[i], &theirs[i], name);
	}
	fuzz_warm_up("\n\n");
	return (0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char letters[32];
	struct fuzz_in in;

	fuzz_in(&in, data, size);
	if (!fuzz_line(&in, letters, sizeof(letters)))
		return (0);
	answers[0] = '\0';
	nanswers = nheard = 0;
	tls_wanted = 0;
	session = NULL;
	if (!fuzz_line(&in, answers, sizeof(answers)))
		return (0);
	start(letters);
	run();
	if (replies() > 1)
		fuzz_fail("more than one greeting");
	converse(&in);
	/* it must see that we are gone, and be gone itself */
	close(client);
	client = -1;
	run();
	if (session != NULL)
		fuzz_fail("the session outlives its client in %s",
		    smtp_strstate(session->state));
	if (filter != -1)
		close(filter);
	filter = -1;
	return (0);
}
