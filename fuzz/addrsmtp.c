/*
 * The addresses and parameters of MAIL and RCPT.
 *
 * fuzz-without: smtp_session.c
 * fuzz-about: smtp_session.c:smtp_mailaddr,smtp_tx_mail_from,smtp_tx_rcpt_to
 * fuzz-about: smtp_session.c:smtp_tx,smtp_tx_free,smtp_tx_create_message
 * fuzz-about: util.c:valid_localpart,valid_domainpart to.c:text_to_mailaddr
 *
 * The first octet of an input says what the listener and the session are; the
 * lines that follow are the commands of one transaction.  Each address has to
 * be taken or refused, and to be what it is, by a reading of our own of RFC
 * 5321, sections 4.1.2 and 4.1.3; so do the parameters, by RFC 1870, 3461, 4954
 * and 6152.  What the session sends to the other processes is caught here.
 */

/* What it sends to the other processes and to the client comes to us. */
#define m_create	catch_create
#define m_add_id	catch_id
#define m_add_string	catch_string
#define m_add_mailaddr	catch_mailaddr
#define m_add_envelope	catch_envelope
#define m_close		catch_close
#define io_xprintf	catch_reply

#include "smtp_session.c"

#include <arpa/inet.h>

#include "fuzz.h"
#include "known.h"
#include "text.h"

static struct sent {
	uint32_t	 imsg;		/* the last message's type, or 0 */
	char		 reply[8192];	/* the last reply, or empty */
} sent;

void
catch_create(struct mproc *p, uint32_t type, uint32_t peer, pid_t pid, int fd)
{
	sent.imsg = type;
}

void
catch_id(struct mproc *p, uint64_t id)
{
}

void
catch_string(struct mproc *p, const char *s)
{
}

void
catch_mailaddr(struct mproc *p, const struct mailaddr *m)
{
}

void
catch_envelope(struct mproc *p, const struct envelope *e)
{
}

void
catch_close(struct mproc *p)
{
}

int
catch_reply(struct io *io, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sent.reply, sizeof sent.reply, fmt, ap);
	va_end(ap);
	return 0;
}

/* --- what is known ----------------------------------------------------- */

#define K_COLON		0x000001
#define K_QUOTED	0x000002
#define K_NODOMAIN	0x000004
#define K_AT		0x000008
#define K_ATEXT		0x000010
#define K_TAG		0x000020
#define K_SNUM		0x000040
#define K_ONEGROUP	0x000080
#define K_UNDERSCORE	0x000100
#define K_HYPHEN	0x000200
#define K_ESCAPE	0x000400
#define K_SPACES	0x000800
#define K_AUTH		0x001000
#define K_SIZE		0x002000
#define K_RET		0x004000
#define K_ENVID		0x008000
#define K_TWICE		0x010000
#define K_NOTIFY	0x020000
#define K_ORCPT		0x040000
#define K_ORCPTADDR	0x080000
#define K_STICKY	0x100000

/* An example is an input: its first octet and the commands. */
static const struct known known[] = {
	{ K_COLON, 680, 0, "1RCPT TO:<not a route:alice@example.org>",
	  "all before the first colon is dropped, not a source route alone" },
	{ K_QUOTED, 680, 0, "1RCPT TO:<\"alice\"@example.org>",
	  "no quoted local part is taken" },
	{ K_NODOMAIN, 680, 0, "1RCPT TO:<alice>",
	  "not Postmaster alone may do without a domain: it is this host's" },
	{ K_AT, 680, 0, "1MAIL FROM:<@>",
	  "it is taken for the null reverse-path" },
	{ K_ATEXT, 790, 0, "1RCPT TO:<a$b@example.org>",
	  "what a shell might take for more than text, $`{|}, is refused" },
	{ K_TAG, 680, 0, "1RCPT TO:<alice@[::1]>",
	  "an address need not have its tag, or have the wrong one" },
	{ K_SNUM, 680, 0, "1RCPT TO:<alice@[192.000.02.1]>",
	  "inet_pton(3) takes no leading zeros, Snum may have them" },
	{ K_ONEGROUP, 680, 0, "1RCPT TO:<alice@[IPv6:1:2:3:4:5:6:7::]>",
	  "two colons may stand for one group, the RFC says for two or more" },
	{ K_UNDERSCORE, 680, 0, "1RCPT TO:<alice@a_b.example.org>",
	  "res_hnok(3) has underscores" },
	{ K_HYPHEN, 680, 0, "1RCPT TO:<alice@a-.-b.example.org>",
	  "glibc's res_hnok(3) minds a hyphen at the very beginning alone" },
	{ K_ESCAPE, 680, 0, "1RCPT TO:<alice@\\101xample.org>",
	  "glibc's res_hnok(3) has the escapes of master files, and the name "
	  "stays as it was written" },
	{ K_SPACES, 680, 0, "1MAIL FROM:<alice@example.org>SIZE=1  BODY=7BIT ",
	  "there may be any number of spaces, and none after the path" },
	{ K_AUTH, 680, 0, "1MAIL FROM:<alice@example.org> AUTH=<",
	  "the value is not read, and AUTH need not be offered" },
	{ K_SIZE, 680, 0, "1MAIL FROM:<alice@example.org> SIZE=big",
	  "the value is not read" },
	{ K_RET, 680, 0, "1MAIL FROM:<alice@example.org> RET=some",
	  "another value than FULL and HDRS is skipped" },
	{ K_ENVID, 680, 0, "1MAIL FROM:<alice@example.org> ENVID=+",
	  "anything of up to 100 characters is taken, xtext or not" },
	{ K_TWICE, 680, 0, "1MAIL FROM:<alice@example.org> RET=FULL RET=HDRS",
	  "a parameter may be there twice, the last one counts" },
	{ K_NOTIFY, 680, 0, "1RCPT TO:<alice@example.org> NOTIFY=often",
	  "what is no value of NOTIFY is skipped" },
	{ K_ORCPT, 760, 0, "1RCPT TO:<alice@example.org> ORCPT=;alice",
	  "the address's type is not read" },
	{ K_ORCPTADDR, 680, 689,
	  "1RCPT TO:<alice@example.org> ORCPT=x400;alice+2Bx",
	  "it is read as an address, with rfc822; or without, not as xtext" },
	{ K_STICKY, 680, 0,
	  "1RCPT TO:<alice@example.org> NOTIFY=NEVER\n"
	  "RCPT TO:<bob@example.org> NOTIFY=DELAY",
	  "NOTIFY and ORCPT of one recipient are the next one's too" },
};

static unsigned	bent;

#define HOST	"mx.example.org"

/* --- our own reading --------------------------------------------------- */

struct reading {
	char		 user[SMTP_LINE_MAX];
	char		 domain[SMTP_LINE_MAX];
	const char	*rest;			/* behind the path */
	enum dsn_ret	 ret;
	const char	*envid;
	size_t		 envid_len;
	int		 notify;
	const char	*orcpt;
	size_t		 orcpt_len;
};

/* atext of RFC 5322 section 3.2.3; not everywhere all of it is taken. */
static int
is_atext(int c, unsigned known_ones)
{
	if (c == '\0' || (known_ones & K_ATEXT && strchr("$`{|}", c)))
		return 0;
	return isalnum((unsigned char)c) || strchr("!#$%&'*+-/=?^_`{|}~", c);
}

/* Dot-string */
static int
read_dots(const char *s, unsigned known_ones)
{
	for (;;) {
		if (!is_atext(*s, known_ones))
			return 0;
		while (is_atext(*s, known_ones))
			s++;
		if (*s == '\0')
			return 1;
		if (*s++ != '.')
			return 0;
	}
}

/* Quoted-string: DQUOTE *QcontentSMTP DQUOTE */
static int
read_quoted(const char *s)
{
	if (*s++ != '"')
		return 0;
	for (; *s != '"'; s++) {
		if (*s == '\\')
			s++;
		if (*s < ' ' || *s > '~')
			return 0;
	}
	return s[1] == '\0';
}

/* Snum 3("." Snum), Snum = 1*3DIGIT of at most 255 */
static int
read_inet4(const char *s, unsigned known_ones)
{
	struct in_addr in;
	int digits, n;

	if (known_ones & K_SNUM)
		return inet_pton(AF_INET, s, &in) == 1;
	for (int i = 0; i < 4; i++) {
		if (i > 0 && *s++ != '.')
			return 0;
		for (digits = n = 0; isdigit((unsigned char)*s); s++, digits++)
			n = n * 10 + *s - '0';
		if (digits == 0 || digits > 3 || n > 255)
			return 0;
	}
	return *s == '\0';
}

static int
read_inet6(const char *s, unsigned known_ones)
{
	struct in6_addr in6;
	const char *gap = strstr(s, "::");
	int groups = 0;

	if (inet_pton(AF_INET6, s, &in6) != 1)
		return 0;
	if (gap == NULL || known_ones & K_ONEGROUP)
		return 1;
	for (int in = 0; *s; in = *s++ != ':')
		groups += (!in && *s != ':') + (*s == '.') / 3;
	return groups <= 6;
}

/* address-literal; no tag but IPv6 was ever registered. */
static int
read_literal(const char *s, unsigned known_ones)
{
	char buf[64];
	size_t len = strlen(s);
	int tag = strncasecmp(s, "[IPv6:", 6) == 0;

	if (s[len - 1] != ']' || len >= sizeof buf)
		return 0;
	strcpy(buf, s + (tag ? 6 : 1));
	buf[strlen(buf) - 1] = '\0';
	return ((tag || known_ones & K_TAG) && read_inet6(buf, known_ones)) ||
	    ((!tag || known_ones & K_TAG) && read_inet4(buf, known_ones));
}

/* Put a name that has \DDD and \C in it as it is meant into dst. */
static int
read_escapes(const char *s, char *dst)
{
	int n;

	while ((n = (unsigned char)*s++) != '\0') {
		if (n == '\\') {
			if ((n = (unsigned char)*s++) == '\0')
				return 0;
			if (isdigit(n)) {
				if (!isdigit((unsigned char)s[0]) ||
				    !isdigit((unsigned char)s[1]))
					return 0;
				n = (n - '0') * 100 + (s[0] - '0') * 10 +
				    s[1] - '0';
				s += 2;
			}
			/* What is escaped divides no labels. */
			if (n > 255 || n == '\0' || n == '.')
				return 0;
		}
		*dst++ = n;
	}
	*dst = '\0';
	return 1;
}

/*
 * sub-domain *("." sub-domain), of Let-dig [Ldh-str]; labels and names as long
 * as the DNS has them.
 */
static int
read_name(const char *s, unsigned known_ones)
{
	char plain[256];
	size_t label = 0, len = strlen(s);

	if (len == 0 || len > 255 || s[len - 1] == '.')
		return 0;
	if (strchr(s, '\\') != NULL) {
		if (!(known_ones & K_ESCAPE) || !read_escapes(s, plain))
			return 0;
		s = plain;
	}
	if (strlen(s) > 253 || *s == '-')
		return 0;
	for (; *s != '\0'; s++) {
		if (*s == '.') {
			if (label == 0)
				return 0;
			label = 0;
			continue;
		}
		if (label++ == 63 || !(isalnum((unsigned char)*s) ||
		    *s == '-' || (*s == '_' && known_ones & K_UNDERSCORE)))
			return 0;
		if (*s == '-' && !(known_ones & K_HYPHEN) &&
		    (label == 1 || s[1] == '.' || s[1] == '\0'))
			return 0;
	}
	return label > 0;
}

static int
read_domain(const char *s, unsigned known_ones)
{
	return *s == '[' ? read_literal(s, known_ones) :
	    read_name(s, known_ones);
}

/* A-d-l: "@" Domain *( "," "@" Domain ) */
static int
read_route(const char *s, size_t len)
{
	char buf[SMTP_LINE_MAX], *p = buf, *hop;

	memcpy(buf, s, len);
	buf[len] = '\0';
	while ((hop = strsep(&p, ",")) != NULL)
		if (*hop != '@' || !read_name(hop + 1, 0))
			return 0;
	return 1;
}

/* Where the path that begins behind s ends; quotes hide an end. */
static const char *
path_end(const char *s, unsigned known_ones)
{
	int quoted = 0;

	for (; *s != '\0' && (*s != '>' || quoted); s++) {
		if (known_ones & K_QUOTED)
			continue;
		if (*s == '"')
			quoted = !quoted;
		if (*s == '\\' && quoted && s[1] != '\0')
			s++;
	}
	return *s == '>' ? s : NULL;
}

/* Mailbox, its parts being in r already. */
static int
read_mailbox(struct reading *r, int at, int mail, unsigned known_ones)
{
	int ok = read_dots(r->user, known_ones) ||
	    (!(known_ones & K_QUOTED) && read_quoted(r->user));

	if (*r->domain != '\0')
		return ok && read_domain(r->domain, known_ones);
	strcpy(r->domain, HOST);
	return ok && (known_ones & K_NODOMAIN ||
	    (!mail && !at && strcasecmp(r->user, "postmaster") == 0));
}

/* Reverse-path or Forward-path */
static int
read_path(const char *s, int mail, unsigned known_ones, struct reading *r)
{
	const char *end, *at, *colon;
	size_t len;

	if (*s++ != '<' || (end = path_end(s, known_ones)) == NULL)
		return 0;
	r->rest = end + 1;
	if (end == s)
		return mail;
	if ((at = memrchr(s, '@', end - s)) == NULL)
		at = end;
	len = at - s;
	if (len > 255 || end - at > 256 || end - s >= LINE_MAX)
		return 0;
	if (at != end)
		memcpy(r->domain, at + 1, end - at - 1);
	if ((known_ones & K_COLON || *s == '@') &&
	    (colon = memchr(s, ':', len)) != NULL) {
		if (!(known_ones & K_COLON) && !read_route(s, colon - s))
			return 0;
		s = colon + 1;
		len = at - s;
	}
	memcpy(r->user, s, len);
	if (len == 0 && *r->domain == '\0')
		return mail && known_ones & K_AT;
	return read_mailbox(r, at != end, mail, known_ones);
}

/* xtext of RFC 3461 section 4: len characters of it. */
static int
is_xtext(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '!' || s[i] > '~' || s[i] == '=')
			return 0;
		if (s[i] != '+')
			continue;
		for (int n = 0; n < 2; n++)
			if (++i >= len || s[i] == '\0' ||
			    strchr("0123456789ABCDEF", s[i]) == NULL)
				return 0;
	}
	return 1;
}

static int
is(const char *s, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

/* --- the parameters: each reads a value of len characters -------------- */

static int
read_auth(const char *s, size_t len, unsigned known_ones, struct reading *r)
{
	(void)s;
	(void)len;
	(void)r;
	return (known_ones & K_AUTH) != 0;	/* this session offers none */
}

static int
read_size(const char *s, size_t len, unsigned known_ones, struct reading *r)
{
	(void)r;
	return known_ones & K_SIZE || (len > 0 && len <= 20 &&
	    strspn(s, "0123456789") >= len);
}

static int
read_body(const char *s, size_t len, unsigned known_ones, struct reading *r)
{
	(void)known_ones;
	(void)r;
	return is(s, len, "7BIT") || is(s, len, "8BITMIME");
}

static int
read_ret(const char *s, size_t len, unsigned known_ones, struct reading *r)
{
	if (is(s, len, "FULL"))
		r->ret = DSN_RETFULL;
	else if (is(s, len, "HDRS"))
		r->ret = DSN_RETHDRS;
	else
		return (known_ones & K_RET) != 0;
	return 1;
}

static int
read_envid(const char *s, size_t len, unsigned known_ones, struct reading *r)
{
	r->envid = s;
	r->envid_len = len;
	return len <= 100 && (known_ones & K_ENVID ||
	    (len > 0 && is_xtext(s, len)));
}

static int
read_notify(const char *s, size_t len, unsigned known_ones, struct reading *r)
{
	static const struct {
		const char	*word;
		int		 flag;
	} words[] = {
		{ "SUCCESS", DSN_SUCCESS }, { "FAILURE", DSN_FAILURE },
		{ "DELAY", DSN_DELAY }, { "NEVER", DSN_NEVER },
	};
	const char *end = s + len;
	size_t n, i;

	for (;; s += n + 1) {
		n = strcspn(s, ", ");
		for (i = 0; i < nitems(words); i++)
			if (is(s, n, words[i].word)) {
				r->notify |= words[i].flag;
				break;
			}
		if (i == nitems(words) && !(known_ones & K_NOTIFY))
			return 0;
		if (s + n >= end)
			break;
	}
	return !(r->notify & DSN_NEVER) || r->notify == DSN_NEVER;
}

/* As 6.8 has it: an address, whatever it is said to be. */
static int
read_orcpt_address(const char *s, size_t len, unsigned known_ones)
{
	char user[SMTP_LINE_MAX], *domain;

	if (len >= 7 && strncasecmp(s, "rfc822;", 7) == 0) {
		s += 7;
		len -= 7;
	}
	memcpy(user, s, len);
	user[len] = '\0';
	if ((domain = strrchr(user, '@')) == NULL)
		domain = user + len;
	else
		*domain++ = '\0';
	return len < LINE_MAX && strlen(user) <= 255 && strlen(domain) <= 255 &&
	    read_dots(user, known_ones) &&
	    (*domain == '\0' || read_domain(domain, known_ones));
}

static int
read_orcpt(const char *s, size_t len, unsigned known_ones, struct reading *r)
{
	const char *semicolon = memchr(s, ';', len);

	r->orcpt = s;
	r->orcpt_len = len;
	if (known_ones & K_ORCPTADDR)
		return read_orcpt_address(s, len, known_ones);
	if (semicolon == NULL || len > 500 ||
	    !is_xtext(semicolon + 1, s + len - semicolon - 1))
		return 0;
	if (known_ones & K_ORCPT)
		return 1;
	for (const char *p = s; p < semicolon; p++)
		if (!is_atext(*p, 0))
			return 0;
	return semicolon > s && semicolon + 1 < s + len;
}

static const struct param {
	const char	*name;
	int		 mail;		/* of MAIL, or of RCPT */
	int		 dsn;		/* only where that is offered */
	int		(*read)(const char *, size_t, unsigned,
			    struct reading *);
} params[] = {
	{ "AUTH=",	1, 0, read_auth },
	{ "SIZE=",	1, 0, read_size },
	{ "BODY=",	1, 0, read_body },
	{ "RET=",	1, 1, read_ret },
	{ "ENVID=",	1, 1, read_envid },
	{ "NOTIFY=",	0, 1, read_notify },
	{ "ORCPT=",	0, 1, read_orcpt },
};

static int
read_param(const char *s, size_t len, int mail, int dsn, unsigned known_ones,
    unsigned *seen, struct reading *r)
{
	for (size_t i = 0; i < nitems(params); i++) {
		const struct param *p = &params[i];
		size_t n = strlen(p->name);

		if (p->mail != mail || (p->dsn && !dsn) || len < n ||
		    strncasecmp(s, p->name, n) != 0)
			continue;
		if (*seen & 1 << i && !(known_ones & K_TWICE))
			return 0;
		*seen |= 1 << i;
		return p->read(s + n, len - n, known_ones, r);
	}
	return 0;
}

/* Mail-parameters or Rcpt-parameters, with the space in front. */
static int
read_params(const char *s, int mail, int dsn, unsigned known_ones,
    struct reading *r)
{
	unsigned seen = 0;
	size_t len, spaces;

	while (*s != '\0') {
		spaces = strspn(s, " ");
		s += spaces;
		len = strcspn(s, " ");
		if ((spaces != 1 || len == 0) && !(known_ones & K_SPACES))
			return 0;
		if (len > 0 &&
		    !read_param(s, len, mail, dsn, known_ones, &seen, r))
			return 0;
		s += len;
	}
	return 1;
}

/* --- the session ------------------------------------------------------- */

#define OPT_DSN		0x01
#define OPT_SENDERS	0x02	/* a user who may use some addresses only */

static struct listener		 listener;
static struct smtp_session	 session;

static void
begin(int options)
{
	memset(&session, 0, sizeof session);
	listener.flags = options & OPT_DSN ? F_EXT_DSN : 0;
	strcpy(listener.sendertable, options & OPT_SENDERS ? "senders" : "");
	session.id = 1;
	session.listener = &listener;
	session.flags = SF_EHLO | SF_8BITMIME |
	    (options & OPT_SENDERS ? SF_AUTHENTICATED : 0);
	session.state = STATE_HELO;
	strcpy(session.smtpname, HOST);
}

static void
end(void)
{
	if (session.tx != NULL)
		smtp_tx_free(session.tx);
}

/* What smtp_command() makes of a line: its argument, or NULL. */
static const char *
argument(const char *line, int *mail)
{
	*mail = strncasecmp(line, "MAIL FROM:", 10) == 0;
	if (!*mail && strncasecmp(line, "RCPT TO:", 8) != 0)
		return NULL;
	for (line = strchr(line, ':') + 1; isspace((unsigned char)*line);)
		line++;
	return line;
}

/* Does the daemon read the command as we do?  Then its answer is in sent. */
static int
mail_from(const char *args, int dsn, unsigned known_ones, struct reading *r)
{
	uint32_t imsg = listener.sendertable[0] ? IMSG_SMTP_CHECK_SENDER :
	    IMSG_SMTP_MESSAGE_CREATE;
	struct envelope *e;

	smtp_tx_mail_from(session.tx, args);
	tree_pop(&wait_lka_mail, session.id);
	tree_pop(&wait_queue_msg, session.id);
	if (!read_path(args, 1, known_ones, r) ||
	    !read_params(r->rest, 1, dsn, known_ones, r))
		return session.tx == NULL && sent.reply[0] == '5';
	if (session.tx == NULL || sent.imsg != imsg)
		return 0;
	e = &session.tx->evp;
	return strcmp(e->sender.user, r->user) == 0 &&
	    strcmp(e->sender.domain, r->domain) == 0 && e->dsn_ret == r->ret &&
	    strlen(e->dsn_envid) == r->envid_len &&
	    memcmp(e->dsn_envid, r->envid ? r->envid : "", r->envid_len) == 0;
}

static int
rcpt_to(const char *args, int dsn, unsigned known_ones, struct reading *r)
{
	struct envelope *e = &session.tx->evp;

	/* What a recipient before this one left, and it should not have. */
	if (known_ones & K_STICKY)
		r->notify = e->dsn_notify;
	smtp_tx_rcpt_to(session.tx, args);
	tree_pop(&wait_lka_rcpt, session.id);
	if (!read_path(args, 0, known_ones, r) ||
	    !read_params(r->rest, 0, dsn, known_ones, r))
		return sent.imsg == 0 && sent.reply[0] == '5';
	if (sent.imsg != IMSG_SMTP_EXPAND_RCPT)
		return 0;
#if FUZZ_VERSION >= 700
	if (r->orcpt != NULL && (strlen(e->dsn_orcpt) != r->orcpt_len ||
	    memcmp(e->dsn_orcpt, r->orcpt, r->orcpt_len) != 0))
		return 0;
#endif
	return strcmp(e->rcpt.user, r->user) == 0 &&
	    strcmp(e->rcpt.domain, r->domain) == 0 &&
	    e->dsn_notify == r->notify;
}

/* An address that was taken is taken again as printed, and is the same. */
static void
there_and_back(const struct mailaddr *m, int mail)
{
	struct mailaddr again;
	char buf[1024], *args;

	if (m->user[0] == '\0')
		return;
	snprintf(buf, sizeof buf, "<%s>", mailaddr_to_text(m));
	if (!smtp_mailaddr(&again, buf, mail, &args, HOST) ||
	    strcmp(again.user, m->user) != 0 ||
	    strcmp(again.domain, m->domain) != 0)
		fuzz_fail("<%s> is not read as it was printed",
		    mailaddr_to_text(m));
}

static int
command(const char *line, int dsn, unsigned known_ones)
{
	static struct reading r;
	const char *args;
	int mail, ok;

	if ((args = argument(line, &mail)) == NULL)
		return 1;
	if (mail && session.tx != NULL)
		smtp_tx_free(session.tx);
	if (session.tx == NULL && !smtp_tx(&session))
		abort();
	memset(&sent, 0, sizeof sent);
	memset(&r, 0, sizeof r);
	ok = mail ? mail_from(args, dsn, known_ones, &r) :
	    rcpt_to(args, dsn, known_ones, &r);
	if (ok && sent.imsg != 0)
		there_and_back(mail ? &session.tx->evp.sender :
		    &session.tx->evp.rcpt, mail);
	return ok;
}

static int
departs(const char *example)
{
	char buf[256], *p = buf, *line;
	int ok = 1;

	begin(*example);
	strcpy(buf, example + 1);
	while ((line = strsep(&p, "\n")) != NULL)
		ok = command(line, *example & OPT_DSN, 0) && ok;
	end();
	return !ok;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct smtpd conf;

	(void)argc;
	(void)argv;
	env = &conf;
	conf.sc_session_max_rcpt = 1000;
	bent = known_bits(known, nitems(known));
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;
	char *line;
	int options;

	if (size == 0)
		known_check(known, nitems(known), departs);
	fuzz_in(&in, data, size);
	options = fuzz_u8(&in);
	begin(options);
	while (in.left > 0) {
		line = text_line(&in);
		if (!command(line, options & OPT_DSN, bent))
			fuzz_fail("\"%s\" is %s: %s", line,
			    sent.imsg ? "taken" : "refused", sent.reply);
		free(line);
	}
	end();
	return 0;
}
