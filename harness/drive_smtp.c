/*
 * Sessions with clients, as smtp_session.c and lka_filter.c of smtpd(8) tell of
 * them: what is reported, what is asked, in which order, and what an answer
 * leads to.
 */
#include <sys/time.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drive_priv.h"

#define HOST		"mx.example.org"
#define COMMANDS	40		/* of a session, at most */
#define MAILS		4
#define CHUNK		64		/* lines of mail at a time */

enum last { L_NONE, L_MAIL, L_RCPT, L_DATA, L_OTHER };

static uint64_t
pick(struct dsession *s, const char *label, uint64_t n)
{
	return choice_draw(s->stream, label, (struct range){ 0, n - 1 });
}

/* One in n. */
static int
seldom(struct dsession *s, const char *label, uint64_t n)
{
	return pick(s, label, n) == n - 1;
}

/* --- lines ---------------------------------------------------------------- */

static const char *
version(const struct drive *d)
{
	static char text[16];

	if (d->hostile & HOSTILE_VERSION_8)
		return "0.8";
	if (d->hostile & HOSTILE_VERSION_10)
		return "0.10";
	snprintf(text, sizeof(text), "0.%d", d->conf->version);
	return text;
}

static struct buf *
head(struct dsession *s, const char *kind, const char *point)
{
	struct buf *b = &s->d->line;
	struct timeval tv;

	gettimeofday(&tv, NULL);
	buf_reset(b);
	buf_addf(b, "%s|%s|%lld.%06ld|%s|%s|%016llx", kind,
	    version(s->d), (long long)tv.tv_sec, (long)tv.tv_usec,
	    s->out ? "smtp-out" : "smtp-in", point,
	    (unsigned long long)s->id);
	return b;
}

/* An event; what stands behind the session's id is formatted, NULL: nothing. */
static void __attribute__((format(printf, 3, 4)))
report(struct dsession *s, enum filter_event ev, const char *fmt, ...)
{
	struct drive *d = s->d;
	struct buf *b;
	va_list ap;
	char *text;
	int n;

	if (!d->res->events[s->out][ev])
		return;
	if ((ev == EV_TX_BEGIN && (d->hostile & HOSTILE_NO_BEGIN)) ||
	    (ev == EV_LINK_CONNECT && s->out && (d->hostile & HOSTILE_MIDDLE)))
		return;
	b = head(s, "report", filter_events[ev].name);
	if (fmt != NULL) {
		va_start(ap, fmt);
		if ((n = vasprintf(&text, fmt, ap)) == -1)
			abort();
		va_end(ap);
		buf_addstr(b, "|");
		buf_add(b, text, (size_t)n);
		free(text);
	}
	if (d->hostile & HOSTILE_FIELDS)
		buf_addstr(b, "|extra||field");
	buf_addstr(b, "\n");
	d->res->reports++;
	drive_send(d, b->data, b->len);
}

static void
request(struct dsession *s, enum filter_phase ph, const char *param, size_t len)
{
	struct buf *b = head(s, "filter", filter_phases[ph].name);

	buf_addf(b, "|%016llx|", (unsigned long long)s->d->token[ph]);
	buf_add(b, param, len);
	buf_addstr(b, "\n");
	drive_send(s->d, b->data, b->len);
}

/* Ask and go on with after() when answered; at once if nobody is to be asked. */
static void
ask(struct dsession *s, enum filter_phase ph, const char *param,
    void (*after)(struct dsession *))
{
	s->phase = ph;
	s->answer.decision = DRIVE_PROCEED;
	s->answer.param = NULL;
	if (!s->d->res->phases[ph]) {
		s->next = after;
		return;
	}
	s->next = NULL;
	s->after = after;
	s->since = drive_now(s->d);
	s->d->res->asked[ph]++;
	request(s, ph, param, strlen(param));
}

/* --- what the protocol versions write differently ------------------------- */

static const char *
result_of(const char *reply)
{
	return *reply == '2' || *reply == '3' ? "ok" :
	    *reply == '4' ? "tempfail" : "permfail";
}

static void
report_tx_addr(struct dsession *s, enum filter_event ev, const char *reply,
    const struct buf *addr)
{
	const char *a = addr->data == NULL ? "" : addr->data;

	if (s->d->conf->version >= 6)
		report(s, ev, "%08x|%s|%s", s->tx, result_of(reply), a);
	else
		report(s, ev, "%08x|%s|%s", s->tx, a, result_of(reply));
}

static void
report_auth(struct dsession *s, const char *result)
{
	if (s->d->conf->version >= 7)
		report(s, EV_LINK_AUTH, "%s|%s", result, s->user.data);
	else
		report(s, EV_LINK_AUTH, "%s|%s", s->user.data, result);
}

/* --- ends ----------------------------------------------------------------- */

static void
tx_end(struct dsession *s)
{
	report(s, EV_TX_RESET, "%08x", s->tx);
	s->tx = 0;
	s->nrcpt = 0;
	s->toobig = s->txjunk = 0;
}

static void
rollback(struct dsession *s)
{
	if (s->tx == 0)
		return;
	report(s, EV_TX_ROLLBACK, "%08x", s->tx);
	tx_end(s);
}

static void
late(struct dsession *s)
{
	report(s, EV_TIMED_OUT, NULL);
	s->tx = 0xfeedbeef;
	report(s, EV_TX_ROLLBACK, "%08x", s->tx);
	report(s, EV_TX_RESET, "%08x", s->tx);
	report(s, EV_PROTOCOL_SERVER, "421 too late");
	report(s, EV_LINK_DISCONNECT, NULL);
}

static void
hang_up(struct dsession *s)
{
	rollback(s);
	report(s, EV_LINK_DISCONNECT, NULL);
	if (s->d->hostile & HOSTILE_LATE)
		late(s);
	s->next = s->after = NULL;
	s->phase = -1;
	s->over = 1;
}

void
dsession_timeout(struct dsession *s)
{
	report(s, EV_TIMED_OUT, NULL);
	hang_up(s);
}

/* --- replies -------------------------------------------------------------- */

/* As smtp_reply() does: what is said, and what it means to the transaction. */
static void
reply(struct dsession *s, const char *text)
{
	report(s, EV_PROTOCOL_SERVER, "%s", text);
	if (s->tx == 0)
		return;
	if (s->last == L_MAIL && *text == '2') {
		report(s, EV_TX_BEGIN, "%08x", s->tx);
		report_tx_addr(s, EV_TX_MAIL, text, &s->from);
	} else if (s->last == L_RCPT)
		report_tx_addr(s, EV_TX_RCPT, text, &s->rcpt);
	else if (s->last == L_DATA && *text != '2')
		report(s, EV_TX_DATA, "%08x|%s", s->tx, result_of(text));
}

static void
client(struct dsession *s, enum last last, const char *text)
{
	s->last = last;
	report(s, EV_PROTOCOL_CLIENT, "%s", text);
}

static void
tell_response(struct dsession *s, const char *decision, const char *param)
{
	static const struct {
		int		 phase;
		const char	*name;
	} other[] = { { PH_CONNECT, "connected" }, { PH_STARTTLS, "tls" } };
	const char *name = filter_phases[s->phase].name;
	size_t i;

	for (i = 0; i < nitems(other); i++)
		if (other[i].phase == s->phase)
			name = other[i].name;
	report(s, EV_FILTER_RESPONSE, "%s|%s%s%s", name, decision,
	    param == NULL ? "" : "|", param == NULL ? "" : param);
}

static int
valid_refusal(const char *s)
{
	return s != NULL && (s[0] == '4' || s[0] == '5') && s[1] >= '0' &&
	    s[1] <= '9' && s[2] >= '0' && s[2] <= '9' && s[3] == ' ';
}

/* What follows a refusal; 1 when it was one. */
static int
refused(struct dsession *s)
{
	const char *text = s->answer.param;
	int away = s->answer.decision == DRIVE_DISCONNECT;

	if (!away && s->answer.decision != DRIVE_REJECT)
		return 0;
	if (!valid_refusal(text))
		text = "421 Internal server error";
	away |= strncmp(text, "421", 3) == 0;
	tell_response(s, away ? "disconnect" : "reject", text);
	reply(s, text);
	if (away)
		hang_up(s);
	return 1;
}

/* The filter has nothing against it: 1; said so in any case. */
static int
let(struct dsession *s)
{
	if (refused(s))
		return 0;
	if (s->answer.decision == DRIVE_JUNK) {
		if (s->tx != 0)
			s->txjunk = 1;
		else
			s->junk = 1;
	}
	tell_response(s, drive_decisions[s->answer.decision],
	    s->answer.decision == DRIVE_REWRITE ||
	    s->answer.decision == DRIVE_REPORT ? s->answer.param : NULL);
	return 1;
}

/* --- commands ------------------------------------------------------------- */

static void	choose(struct dsession *);

static void
connected(struct dsession *s)
{
	s->next = choose;
	if (refused(s)) {
		if (!s->over)
			hang_up(s);
		return;
	}
	let(s);
	if (s->tls)
		report(s, EV_LINK_TLS, "TLSv1.3:TLS_AES_256_GCM_SHA384:256");
	reply(s, "220 " HOST " ESMTP OpenSMTPD");
	report(s, EV_LINK_GREETING, HOST);
}

static void
cmd_connect(struct dsession *s)
{
	static const struct {
		const char	*rdns, *fcrdns, *addr, *port;
	} peers[] = {
		{ "client.example", "pass", "192.0.2.7", ":41234" },
		{ "client.example", "fail", "192.0.2.7", ":41234" },
		{ "<unknown>", "error", "198.51.100.25", ":1" },
		{ "v6.example", "pass", "[2001:db8::7]", ":65535" },
		{ "localhost", "pass", "local", "" },
	};
	int local = (s->d->hostile & HOSTILE_LOCAL) != 0;
	size_t i = local ? nitems(peers) - 1 :
	    pick(s, "peer", nitems(peers) - 1);
	struct buf b = { 0 };

	s->tls = !local && seldom(s, "smtps", 6);
	report(s, EV_LINK_CONNECT, "%s|%s|%s%s|%s", peers[i].rdns,
	    peers[i].fcrdns, local ? "unix:/var/run/smtpd.sock" :
	    peers[i].addr, peers[i].port, local ? "unix:/var/run/smtpd.sock" :
	    "192.0.2.1:25");
	buf_addf(&b, "%s|%s", peers[i].rdns, peers[i].addr);
	ask(s, PH_CONNECT, b.data, connected);
	buf_free(&b);
}

static void
identify(struct dsession *s, const char *method)
{
	/* since 7.9 a second EHLO ends the transaction */
	rollback(s);
	if (s->answer.decision == DRIVE_REWRITE) {
		buf_reset(&s->helo);
		buf_addstr(&s->helo, s->answer.param);
	}
	report(s, EV_LINK_IDENTIFY, "%s|%s", method, s->helo.data);
	s->identified = 1;
}

static void
after_helo(struct dsession *s)
{
	s->next = choose;
	if (!let(s))
		return;
	identify(s, "HELO");
	reply(s, "250 " HOST " Hello client.example [192.0.2.7], pleased to "
	    "meet you");
}

static void
after_ehlo(struct dsession *s)
{
	static const char *const lines[] = {
		"250-" HOST " Hello client.example [192.0.2.7], pleased to "
		"meet you", "250-8BITMIME", "250-ENHANCEDSTATUSCODES",
		"250-SIZE 36700160", "250-DSN", "250 HELP"
	};
	size_t i;

	s->next = choose;
	if (!let(s))
		return;
	identify(s, "EHLO");
	for (i = 0; i < nitems(lines); i++)
		reply(s, lines[i]);
}

static void
cmd_helo(struct dsession *s)
{
	int ehlo = !seldom(s, "helo", 8);
	char *line;

	drive_name(s, &s->helo);
	line = xasprintf("%s %s", ehlo ? "EHLO" : "HELO", s->helo.data);
	client(s, L_OTHER, line);
	free(line);
	ask(s, ehlo ? PH_EHLO : PH_HELO, s->helo.data, ehlo ? after_ehlo :
	    after_helo);
}

static void
after_starttls(struct dsession *s)
{
	s->next = choose;
	if (!let(s))
		return;
	reply(s, "220 2.0.0 Ready to start TLS");
	if (seldom(s, "handshake", 10)) {
		hang_up(s);
		return;
	}
	report(s, EV_LINK_TLS, "TLSv1.3:TLS_AES_256_GCM_SHA384:256");
	s->tls = 1;
	s->identified = 0;
}

static void
cmd_starttls(struct dsession *s)
{
	client(s, L_OTHER, "STARTTLS");
	ask(s, PH_STARTTLS, "", after_starttls);
}

static void
auth_result(struct dsession *s)
{
	if (seldom(s, "password", 4)) {
		report_auth(s, "fail");
		reply(s, "535 Authentication failed");
		return;
	}
	report_auth(s, "pass");
	reply(s, "235 2.0.0 Authentication succeeded");
	s->authed = 1;
}

static void
after_plain(struct dsession *s)
{
	s->next = choose;
	if (let(s))
		auth_result(s);
}

static void
after_login(struct dsession *s)
{
	s->next = choose;
	if (!let(s))
		return;
	reply(s, "334 VXNlcm5hbWU6");
	report(s, EV_PROTOCOL_CLIENT, "********");
	reply(s, "334 UGFzc3dvcmQ6");
	report(s, EV_PROTOCOL_CLIENT, "********");
	auth_result(s);
}

static void
cmd_auth(struct dsession *s)
{
	struct buf plain = { 0 }, arg = { 0 };

	buf_reset(&s->user);
	buf_addstr(&s->user, s->d->conf->version >= 7 && seldom(s, "user", 4) ?
	    "us|er@mx.example" : "alice");
	if (seldom(s, "login", 3)) {
		client(s, L_OTHER, "AUTH LOGIN");
		ask(s, PH_AUTH, "LOGIN", after_login);
		return;
	}
	buf_add(&plain, "", 1);
	buf_add(&plain, s->user.data, s->user.len);
	buf_add(&plain, "\0not-the-password", 17);
	buf_addstr(&arg, "PLAIN ");
	base64_encode(&arg, plain.data, plain.len);
	client(s, L_OTHER, "AUTH PLAIN ********");
	ask(s, PH_AUTH, arg.data, after_plain);
	buf_free(&plain);
	buf_free(&arg);
}

static void
after_mail(struct dsession *s)
{
	s->next = choose;
	if (!let(s))
		return;
	do
		s->tx = (uint32_t)choice_mix(&s->mix);
	while (s->tx == 0);
	s->maxrcpt = (unsigned)choice_scale(s->stream, "rcpts",
	    (struct range){ 1, 50 });
	s->mails--;
	s->d->res->transactions++;
	reply(s, "250 2.0.0 Ok");
}

static void
cmd_mail(struct dsession *s)
{
	char *line;

	drive_address(s, &s->from, 1);
	line = xasprintf("MAIL FROM:<%s>%s", s->from.data == NULL ? "" :
	    s->from.data, seldom(s, "options", 3) ? " SIZE=1000 BODY=8BITMIME"
	    : "");
	client(s, L_MAIL, line);
	free(line);
	ask(s, PH_MAIL_FROM, s->from.data == NULL ? "" : s->from.data,
	    after_mail);
}

static void
after_rcpt(struct dsession *s)
{
	s->next = choose;
	if (!let(s))
		return;
	if (seldom(s, "unknown", 10)) {
		reply(s, "550 5.1.1 Invalid recipient");
		return;
	}
	s->nrcpt++;
	report(s, EV_TX_ENVELOPE, "%08x|%08x%08x", s->tx, s->tx, s->nrcpt);
	reply(s, "250 2.1.5 Destination address valid: Recipient ok");
}

static void
cmd_rcpt(struct dsession *s)
{
	char *line;

	drive_address(s, &s->rcpt, 0);
	line = xasprintf("RCPT TO:<%s>", s->rcpt.data);
	client(s, L_RCPT, line);
	free(line);
	ask(s, PH_RCPT_TO, s->rcpt.data, after_rcpt);
}

/* --- mail ----------------------------------------------------------------- */

static void
after_commit(struct dsession *s)
{
	char *line;

	s->next = choose;
	if (s->answer.decision == DRIVE_REJECT ||
	    s->answer.decision == DRIVE_DISCONNECT) {
		refused(s);
		if (!s->over)
			rollback(s);
		return;
	}
	let(s);
	if (s->toobig) {
		reply(s, "554 5.3.4 Message too big for system: Transaction "
		    "failed, message too big");
		rollback(s);
		return;
	}
	line = xasprintf("250 2.0.0 %08x Message accepted for delivery", s->tx);
	reply(s, line);
	free(line);
	report(s, EV_TX_COMMIT, "%08x|%zu", s->tx, s->stored);
	s->d->res->committed++;
	tx_end(s);
}

static void
mail_done(struct dsession *s)
{
	report(s, EV_PROTOCOL_CLIENT, ".");
	ask(s, PH_COMMIT, "", after_commit);
}

/* Some lines at a time, so that sessions are interleaved in here, too. */
static void
mail_lines(struct dsession *s)
{
	const char *line, *nl;
	unsigned n;
	size_t len;

	/* there is always the final dot */
	for (n = 1 + (unsigned)pick(s, "chunk", CHUNK); n > 0; n--) {
		line = s->mail.data + s->mailpos;
		nl = memchr(line, '\n', s->mail.len - s->mailpos);
		len = (size_t)(nl - line);
		s->mailpos += len + 1;
		if (s->d->res->phases[PH_DATA_LINE]) {
			request(s, PH_DATA_LINE, line, len);
			s->d->res->lines_in++;
		} else
			s->stored += len + 1;
		if (s->mailpos == s->mail.len)
			break;
	}
	if (s->mailpos < s->mail.len) {
		if (seldom(s, "gone", 200))
			hang_up(s);
		else if (seldom(s, "stalled", 400))
			dsession_timeout(s);
		return;
	}
	s->since = drive_now(s->d);
	s->after = mail_done;
	if (!s->d->res->phases[PH_DATA_LINE] || s->dot == DOT_BACK)
		s->next = mail_done;
	else {
		s->dot = DOT_SENT;
		s->next = NULL;
	}
}

static void
after_data(struct dsession *s)
{
	s->next = choose;
	if (!let(s))
		return;
	reply(s, "354 Enter mail, end with \".\" on a line by itself");
	drive_message(s);
	s->dot = DOT_NONE;
	s->phase = PH_DATA_LINE;
	if (seldom(s, "toobig", 25)) {
		/* lines cease, but the dot comes */
		s->toobig = 1;
		s->mail.len = 0;
		buf_addstr(&s->mail, "Received: from x (x [192.0.2.7])\n.\n");
	}
	s->next = mail_lines;
}

static void
cmd_data(struct dsession *s)
{
	client(s, L_DATA, "DATA");
	ask(s, PH_DATA, "", after_data);
}

/* --- the rest ------------------------------------------------------------- */

static void
after_rset(struct dsession *s)
{
	s->next = choose;
	if (!let(s))
		return;
	reply(s, "250 2.0.0 Reset state");
	rollback(s);
}

static void
cmd_rset(struct dsession *s)
{
	client(s, L_OTHER, "RSET");
	ask(s, PH_RSET, "", after_rset);
}

static void
after_noop(struct dsession *s)
{
	s->next = choose;
	if (let(s))
		reply(s, "250 2.0.0 Ok");
}

static void
cmd_noop(struct dsession *s)
{
	client(s, L_OTHER, "NOOP");
	ask(s, PH_NOOP, "", after_noop);
}

static void
cmd_help(struct dsession *s)
{
	client(s, L_OTHER, "HELP");
	reply(s, "214-2.0.0 This is OpenSMTPD");
	reply(s, "214 2.0.0 End of HELP info");
	s->next = choose;
}

static void
cmd_bad(struct dsession *s)
{
	static const char *const lines[] = { "XYZZY", "MAIL", "", "GET / HTTP/1.1",
	    "VRFY alice" };

	client(s, L_OTHER, lines[pick(s, "bad", nitems(lines))]);
	reply(s, "500 5.5.1 Invalid command: Command unrecognized");
	s->next = choose;
}

static void
after_quit(struct dsession *s)
{
	s->next = choose;
	if (!let(s))
		return;
	reply(s, "221 2.0.0 Bye");
	hang_up(s);
}

static void
cmd_quit(struct dsession *s)
{
	client(s, L_OTHER, "QUIT");
	ask(s, PH_QUIT, "", after_quit);
}

static void
cmd_gone(struct dsession *s)
{
	hang_up(s);
}

/* What may be said now, and how often it is. */
static int may_always(const struct dsession *s) { (void)s; return 1; }
static int may_helo(const struct dsession *s) { return !s->identified; }
static int
may_ehlo_again(const struct dsession *s)
{
	return s->identified && (s->tx == 0 || s->d->conf->version >= 7) &&
	    s->d->conf->version >= 7;
}
static int
may_tls(const struct dsession *s)
{
	return s->identified && !s->tls && s->tx == 0;
}
static int
may_auth(const struct dsession *s)
{
	return s->identified && s->tls && !s->authed && s->tx == 0;
}
static int
may_mail(const struct dsession *s)
{
	return s->identified && s->tx == 0 && s->mails > 0;
}
static int
may_rcpt(const struct dsession *s)
{
	return s->tx != 0 && s->nrcpt < s->maxrcpt;
}
static int may_data(const struct dsession *s) { return s->nrcpt > 0; }
static int may_help(const struct dsession *s) { return s->identified; }

static const struct {
	const char	*name;
	void		(*run)(struct dsession *);
	int		(*may)(const struct dsession *);
	unsigned	 weight;
} commands[] = {
	{ "helo",	cmd_helo,	may_helo,	300 },
	{ "ehlo-again",	cmd_helo,	may_ehlo_again,	2 },
	{ "starttls",	cmd_starttls,	may_tls,	30 },
	{ "auth",	cmd_auth,	may_auth,	40 },
	{ "mail",	cmd_mail,	may_mail,	150 },
	{ "rcpt",	cmd_rcpt,	may_rcpt,	200 },
	{ "data",	cmd_data,	may_data,	150 },
	{ "rset",	cmd_rset,	may_help,	8 },
	{ "noop",	cmd_noop,	may_always,	8 },
	{ "help",	cmd_help,	may_help,	3 },
	{ "bad",	cmd_bad,	may_always,	5 },
	{ "quit",	cmd_quit,	may_always,	12 },
	{ "gone",	cmd_gone,	may_always,	3 },
	{ "timeout",	dsession_timeout, may_always,	2 },
};

static void
choose(struct dsession *s)
{
	unsigned sum = 0, x;
	size_t i;

	if (s->left-- == 0 || (s->mails == 0 && s->tx == 0)) {
		s->left = 0;
		(seldom(s, "rude", 12) ? cmd_gone : cmd_quit)(s);
		return;
	}
	for (i = 0; i < nitems(commands); i++)
		sum += commands[i].may(s) ? commands[i].weight : 0;
	x = (unsigned)choice_draw(s->stream, "command",
	    (struct range){ 0, sum - 1 });
	for (i = 0; i < nitems(commands); i++) {
		if (!commands[i].may(s))
			continue;
		if (x < commands[i].weight) {
			commands[i].run(s);
			return;
		}
		x -= commands[i].weight;
	}
}

/* --- smtp-out, where nobody is asked -------------------------------------- */

static void
out_rcpts(struct dsession *s)
{
	char *line;

	do {
		drive_address(s, &s->rcpt, 0);
		s->nrcpt++;
		report(s, EV_TX_ENVELOPE, "%08x|%08x%08x", s->tx, s->tx,
		    s->nrcpt);
		line = xasprintf("RCPT TO:<%s>", s->rcpt.data);
		client(s, L_RCPT, line);
		free(line);
		reply(s, "250 2.1.5 fine");
	} while (s->nrcpt < 10 && seldom(s, "another", 2));
}

static void
out_mail(struct dsession *s)
{
	char *line;

	drive_address(s, &s->from, 1);
	line = xasprintf("MAIL FROM:<%s>", s->from.data == NULL ? "" :
	    s->from.data);
	client(s, L_MAIL, line);
	free(line);
	s->tx = (uint32_t)choice_mix(&s->mix) | 1;
	s->d->res->transactions++;
	reply(s, "250 2.0.0 fine");
	out_rcpts(s);
	client(s, L_DATA, "DATA");
	reply(s, "354 go on");
	report(s, EV_PROTOCOL_CLIENT, ".");
	if (seldom(s, "refused", 4)) {
		report(s, EV_PROTOCOL_SERVER, "550 5.7.1 no");
		rollback(s);
	} else {
		report(s, EV_PROTOCOL_SERVER, "250 2.0.0 taken");
		report(s, EV_TX_COMMIT, "%08x|%d", s->tx, 1000);
		tx_end(s);
	}
	if (--s->mails > 0)
		return;
	client(s, L_OTHER, "QUIT");
	hang_up(s);
}

static void
out_connect(struct dsession *s)
{
	report(s, EV_LINK_CONNECT, "mx1.example|pass|192.0.2.1:40000|"
	    "198.51.100.1:25");
	reply(s, "220 mx1.example ESMTP");
	report(s, EV_LINK_GREETING, "mx1.example");
	client(s, L_OTHER, "EHLO " HOST);
	report(s, EV_LINK_IDENTIFY, "EHLO|" HOST);
	reply(s, "250 mx1.example");
	s->next = out_mail;
}

/* --- from outside --------------------------------------------------------- */

/* Has it asked for anything of outgoing sessions? */
static int
wants_out(const struct drive *d)
{
	int i;

	for (i = 0; i < EV_COUNT; i++)
		if (d->res->events[1][i])
			return 1;
	return 0;
}

struct dsession *
dsession_new(struct drive *d, unsigned long n)
{
	struct dsession *s = xcalloc(1, sizeof(*s));
	char *name = xasprintf("%s/%lu", d->conf->name, n);

	s->d = d;
	s->stream = choice_stream(d->conf->choices, name);
	free(name);
	s->mix = choice_draw(s->stream, "mix", (struct range){ 1, UINT32_MAX });
	s->mix = s->mix << 32 | n;
	s->id = choice_mix(&s->mix);
	s->phase = -1;
	s->mails = (unsigned)pick(s, "mails", MAILS + 1);
	s->left = COMMANDS + s->mails * 20;
	s->out = wants_out(d) && seldom(s, "out", 4);
	if (s->out)
		s->mails += s->mails == 0;
	s->next = s->out ? out_connect : cmd_connect;
	TAILQ_INSERT_TAIL(&d->sessions, s, entry);
	return s;
}

void
dsession_free(struct dsession *s)
{
	TAILQ_REMOVE(&s->d->sessions, s, entry);
	buf_free(&s->helo);
	buf_free(&s->user);
	buf_free(&s->rcpt);
	buf_free(&s->from);
	buf_free(&s->mail);
	free(s->param);
	free(s);
}

struct dsession *
dsession_find(struct drive *d, uint64_t id)
{
	struct dsession *s;

	TAILQ_FOREACH(s, &d->sessions, entry)
		if (s->id == id)
			return s;
	return NULL;
}

void
dsession_step(struct dsession *s)
{
	void (*next)(struct dsession *) = s->next;

	next(s);
	/* the client is gone while smtpd waits for the filter */
	if (!s->over && s->next == NULL && (s->d->hostile & HOSTILE_DEAD) &&
	    seldom(s, "dead", 6))
		hang_up(s);
}

/* A line of mail came back; the dot ends it. */
static void
returned(struct dsession *s, const struct filter_line *fl)
{
	s->d->res->lines_out++;
	s->since = drive_now(s->d);
	if (fl->nfields == 0 || s->phase != PH_DATA_LINE)
		return;
	if (strcmp(fl->field[0], ".") != 0) {
		s->stored += fl->lastlen + 1;
		return;
	}
	if (s->dot == DOT_SENT)
		s->next = mail_done;
	s->dot = DOT_BACK;
}

void
dsession_answer(struct dsession *s, const struct filter_line *fl)
{
	int i;

	if (fl->kind == FILTER_DATALINE) {
		returned(s, fl);
		return;
	}
	/* nothing was asked, or it does not answer that: the judge says so */
	if (s->phase == -1 || s->phase == PH_DATA_LINE || s->next != NULL ||
	    fl->name == NULL)
		return;
	for (i = 0; i < DRIVE_NONE; i++)
		if (strcmp(fl->name, drive_decisions[i]) == 0)
			break;
	s->d->res->answered[s->phase][i]++;
	s->answer.decision = i == DRIVE_NONE ? DRIVE_PROCEED :
	    (enum drive_decision)i;
	free(s->param);
	s->param = fl->nfields > 0 ? xstrdup(fl->field[0]) : NULL;
	s->answer.param = s->param == NULL ? "" : s->param;
	s->next = s->after;
}
