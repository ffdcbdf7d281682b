/*
 * What smtpd reads from its filters: registration, results, data lines and
 * reports, cut anywhere, from two filters, for sessions in every phase.
 *
 * An input is lines.  One that begins with '@' is what happens on the daemon's
 * side; any other is what the filter chosen last says:
 *
 *	@f @g		what follows comes from filter f, or g
 *	@s N		... in pieces of N octets (a digit; 0 is all at once)
 *	@a		f and g register each phase and tx-mail, and are ready
 *	@b S K		session S (a digit) begins, on listener K
 *	@p S P TEXT	it comes to the phase of letter P; see phases[]
 *	@d S		its message begins
 *	@l S TEXT	a line of its message
 *	@t S		its message ends, and if the filters have not been asked about
 *			all of it (phase m), it does
 *	@r S E TEXT	an event of letter E is reported; see events[]
 *	@c S		the channel of its message's lines is closed at the other end
 *	@e S		it ends
 *	@w TEXT		the filter writes that to its standard error
 *
 * with the blanks left out.  In a filter's line $s and $t stand for the session
 * and the token that the daemon asked with last, and $x for 2000 octets.  K is one of f, g (one filter
 * each), c (both and a builtin one in a chain) and b (the builtin one).
 *
 * Beyond the sanitizers it is judged that all that the daemon sends to filters
 * has the form smtpd-filters(7) gives it, that each filter of a chain is asked the
 * same, and that all that the process of the sessions is told is whole and about a
 * session there is.
 *
 * fuzz-without: lka_filter.c
 * fuzz-wrap: event_add event_del read writev m_close generate_uid
 * fuzz-about: lka_filter.c:processor_io,processor_register,processor_errfd
 * fuzz-about: lka_filter.c:lka_filter_process_response,lka_report_proc
 * fuzz-about: lka_filter.c:lka_filter_register_hook,lka_report_register_hook
 * fuzz-about: lka_filter.c:filter_protocol_internal,filter_data_internal
 * fuzz-about: lka_filter.c:report_smtp_broadcast,filter_session_io
 */
#include "lka_filter.c"

#include <sys/uio.h>

#include <ctype.h>
#include <unistd.h>

#include "fuzz.h"

/*
 * Bytes come and go by our hand, not by an event loop: system calls for each
 * line would cost more than the parser.  What goes to the sessions' process is
 * looked at where it would leave, and the ids handed out are small.
 */
int	 __wrap_event_add(struct event *, const struct timeval *);
int	 __wrap_event_del(struct event *);
ssize_t	 __real_read(int, void *, size_t);
ssize_t	 __wrap_read(int, void *, size_t);
ssize_t	 __real_writev(int, const struct iovec *, int);
ssize_t	 __wrap_writev(int, const struct iovec *, int);
void	 __wrap_m_close(struct mproc *);
uint64_t __wrap_generate_uid(void);

/* Of ioev.c, which has no header for it. */
void	 io_dispatch(int, short, void *);

#if FUZZ_VERSION >= 700
#define p_sessions	p_dispatcher
#else
#define p_sessions	p_pony
#endif

#define SESSIONS	10		/* a digit each */
#define LINE_SIZE	4096		/* octets, of the input's lines */

struct client {
	int		 there;
	int		 asked;		/* a phase's answer is owed */
	int		 message;
	int		 authenticated;
	char		 param[4096 + 3];	/* what was asked last */
};

static struct client	 clients[SESSIONS];
static const char	*speaker;
static size_t		 piece;
static uint64_t		 uid;
static int		 ready;
/*
 * Each input finds registered what "@a" registers, but does not know of it until
 * then: for most of them that saves half of the work.  One that registers itself
 * begins with nothing, and leaves it again as it was.
 */
static int		 registered;	/* and nothing else is */
static uint64_t		 registered_uid;	/* of the last entry */
static char		 last_session[17], last_token[17];

static struct io	*frame_io;	/* whose event is being handled */
static int		 reading = -1, writing = -1;	/* descriptors */
static const char	*in_data;
static size_t		 in_len;
static char		 out[1 << 20];
static char		 all_lines[1024];	/* what "@a" registers */
static char		 many[2001];
static size_t		 out_len;

static const enum filter_phase phases[] = {
	FILTER_CONNECT, FILTER_HELO, FILTER_EHLO, FILTER_STARTTLS, FILTER_AUTH,
	FILTER_MAIL_FROM, FILTER_RCPT_TO, FILTER_DATA, FILTER_RSET, FILTER_QUIT,
	FILTER_NOOP, FILTER_HELP, FILTER_COMMIT,
};

uint64_t
__wrap_generate_uid(void)
{
	return (++uid);
}

int
__wrap_event_add(struct event *ev, const struct timeval *tv)
{
	(void)ev;
	(void)tv;
	return (0);
}

int
__wrap_event_del(struct event *ev)
{
	(void)ev;
	return (0);
}

/* --- what the daemon tells the process of the sessions ------------------------- */

void
__wrap_m_close(struct mproc *p)
{
	struct imsg imsg;
	struct msg m;
	const char *param;
	uint64_t id;
	int what;

	memset(&imsg, 0, sizeof(imsg));
	imsg.hdr.type = p->m_type;
	imsg.hdr.len = p->m_pos + sizeof(imsg.hdr);
	imsg.data = p->m_buf;
	if (p->m_fd != -1)
		close(p->m_fd);
	m_msg(&m, &imsg);
	m_get_id(&m, &id);
	m_get_int(&m, &what);
	if (id == 0 || id >= SESSIONS || !clients[id].there)
		fuzz_fail("message %u is about session %" PRIx64
		    ", which is not there", p->m_type, id);
	if (p->m_type == IMSG_FILTER_SMTP_PROTOCOL) {
		if (what < FILTER_PROCEED || what > FILTER_JUNK)
			fuzz_fail("unknown result %d", what);
		if (what != FILTER_PROCEED && what != FILTER_JUNK) {
			m_get_string(&m, &param);
			if (param == NULL)
				fuzz_fail("result %d has no parameter", what);
			(void)valid_smtp_response(param);
		}
		/*
		 * One that was not asked for ends the daemon there: the session
		 * is not among those that wait.
		 */
		if (!clients[id].asked)
			fatalx("the session did not ask");
		clients[id].asked = 0;
	} else if (p->m_type != IMSG_FILTER_SMTP_DATA_BEGIN)
		fuzz_fail("unexpected message %u", p->m_type);
	m_end(&m);
}

/* --- what the daemon tells the filters -------------------------------------------- */

static void
check_number(const char *line, const char *s, size_t digits, int base)
{
	size_t i;

	for (i = 0; i < digits; i++)
		if (base == 16 ? !isxdigit((unsigned char)s[i]) :
		    !isdigit((unsigned char)s[i]))
			fuzz_fail("not a number at \"%s\" of: %s", s, line);
	if (s[digits] != '|' && s[digits] != '\0')
		fuzz_fail("a field too long at \"%s\" of: %s", s, line);
}

/* The field after the nth separator. */
static const char *
field(const char *line, int n)
{
	const char *s;

	for (s = line; n > 0; n--, s++)
		if ((s = strchr(s, '|')) == NULL)
			fuzz_fail("a field is missing of: %s", line);
	return (s);
}

/* Fields with a fixed set of values, in the order of this version's protocol. */
static const struct {
	const char	*event;
	int		 field;
	const char	*values;	/* each between separators */
} fixed[] = {
	{ "link-connect|",	7, "|pass|fail|error|" },
#if FUZZ_VERSION >= 760
	{ "link-auth|",		6, "|pass|fail|error|" },
#endif
	{ "tx-mail|",		7, "|ok|permfail|tempfail|" },
	{ "tx-rcpt|",		7, "|ok|permfail|tempfail|" },
	{ "tx-data|",		7, "|ok|permfail|tempfail|" },
};

/* Times of reports are not looked at: a filter may make them up. */
static void
check_report(const char *line)
{
	const char *event, *value;
	char want[16];
	size_t i;

	check_number(line, field(line, 5), 16, 16);
	if (strncmp(field(line, 3), "smtp-", 5) != 0)
		fuzz_fail("bad direction of: %s", line);
	event = field(line, 4);
	for (i = 0; i < nitems(fixed); i++) {
		if (strncmp(event, fixed[i].event, strlen(fixed[i].event)) != 0)
			continue;
		value = field(line, fixed[i].field);
		(void)snprintf(want, sizeof(want), "|%.*s|",
		    (int)strcspn(value, "|"), value);
		if (strstr(fixed[i].values, want) == NULL)
			fuzz_fail("field %d is none of %s: %s", fixed[i].field,
			    fixed[i].values, line);
	}
}

/* Each filter is asked what the session asked, but for lines of the message. */
static void
check_question(const char *line, const char *reqid)
{
	const char *param = field(line, 7);
	int id = reqid[15] - '0';

	if (strncmp(field(line, 4), "data-line|", 10) == 0)
		return;
	if (strncmp(field(line, 4), "connect|", 8) == 0)
		param = field(line, 8);
	/* Nothing was asked yet: a result came first, of which nobody says what is next. */
	if (clients[id].param[0] == '\0')
		return;
	if (strcmp(param, clients[id].param) != 0)
		fuzz_fail("asked \"%s\" instead of \"%s\": %s", param,
		    clients[id].param, line);
}

static void
check_line(const char *line)
{
	const char *reqid, *token;

	if (strncmp(line, "config|", 7) == 0)
		return;
	if (strncmp(line, "report|0.", 9) == 0) {
		check_report(line);
		return;
	}
	if (strncmp(line, "filter|0.", 9) != 0)
		fuzz_fail("unknown kind of line to a filter: %s", line);
	check_number(line, strchr(field(line, 2), '.') + 1, 6, 10);
	reqid = field(line, 5);
	token = field(line, 6);
	check_number(line, reqid, 16, 16);
	check_number(line, token, 16, 16);
	check_question(line, reqid);
	memcpy(last_session, reqid, 16);
	memcpy(last_token, token, 16);
}

/* As a filter gets it. */
ssize_t
__wrap_writev(int fd, const struct iovec *iov, int n)
{
	size_t before = out_len;

	if (writing == -1 || fd != writing)
		return (__real_writev(fd, iov, n));
	for (; n > 0; iov++, n--) {
		if (out_len + iov->iov_len > sizeof(out))
			fuzz_fail("more than %zu octets for a filter",
			    sizeof(out));
		memcpy(out + out_len, iov->iov_base, iov->iov_len);
		out_len += iov->iov_len;
	}
	return (out_len - before);
}

/* Take what waits to be written to a filter, and look at it line by line. */
static void
drain(struct io *io)
{
	char *end, *line;

	if (io_queued(io) == 0)
		return;
	out_len = 0;
	writing = io_fileno(io);
	frame_io = io;
	while (io_queued(io) > 0)
		io_dispatch(writing, EV_WRITE, io);
	frame_io = NULL;
	writing = -1;
	for (line = out; line < out + out_len; line = end + 1) {
		end = memchr(line, '\n', out + out_len - line);
		if (end == NULL)
			fuzz_fail("a line to a filter has no end: %.*s",
			    (int)(out + out_len - line), line);
		*end = '\0';
		check_line(line);
	}
}

/* --- bytes for the daemon ------------------------------------------------------------- */

ssize_t
__wrap_read(int fd, void *buf, size_t size)
{
	if (reading == -1 || fd != reading)
		return (__real_read(fd, buf, size));
	if (size > in_len)
		size = in_len;
	memcpy(buf, in_data, size);
	in_data += size;
	in_len -= size;
	return (size);
}

/* As the event loop does when there is something to read. */
static void
arrive(struct io *io, const char *data, size_t size)
{
	in_data = data;
	in_len = size;
	reading = io_fileno(io);
	frame_io = io;
	io_dispatch(reading, EV_READ, io);
	frame_io = NULL;
	reading = -1;
}

static void
say(struct io *io, const char *data, size_t size)
{
	size_t n;

	while (size > 0) {
		n = piece == 0 || piece > size ? size : piece;
		arrive(io, data, n);
		data += n;
		size -= n;
	}
}

static struct processor_instance *
processor(const char *name)
{
	return (dict_xget(&processors, name));
}

static void
clear_reports(struct dict *d)
{
	struct reporters *tailq;
	struct reporter_proc *rp;
	void *iter = NULL;

	while (dict_iter(d, &iter, NULL, (void **)&tailq))
		while ((rp = TAILQ_FIRST(tailq)) != NULL) {
			TAILQ_REMOVE(tailq, rp, entries);
			free((void *)rp->name);
			free(rp);
		}
}

static void
clear_chains(void)
{
	struct filter_chain *chain;
	struct filter_entry *entry;
	struct filter *filter;
	void *iter = NULL;
	size_t i;

	while (dict_poproot(&filter_chains, (void **)&chain)) {
		for (i = 0; i < nitems(chain->chain); i++)
			while ((entry = TAILQ_FIRST(&chain->chain[i])) != NULL) {
				TAILQ_REMOVE(&chain->chain[i], entry, entries);
				free(entry);
			}
		free(chain);
	}
	while (dict_iter(&filters, &iter, NULL, (void **)&filter))
		if (filter->proc != NULL)
			filter->phases = 0;
}

/* Back to where no filter has registered anything. */
static void
unregister(void)
{
	processor("f")->ready = processor("g")->ready = 0;
	clear_chains();
	clear_reports(&report_smtp_in);
	clear_reports(&report_smtp_out);
	registered = 0;
}

/* A filter's line, with what stands for the last query filled in. */
static void
filter_says(const char *line, size_t len)
{
	char buf[LINE_SIZE * 2];
	const char *s;
	size_t n = 0;

	if (registered && !ready)
		unregister();
	if (strncmp(line, "register|", 9) == 0)
		registered = 0;
	if (memchr(line, '$', len) == NULL) {
		say(processor(speaker)->io, line, len);
		say(processor(speaker)->io, "\n", 1);
		return;
	}
	for (; len > 0; line++, len--) {
		s = NULL;
		if (len > 1 && line[0] == '$' && line[1] == 's')
			s = last_session;
		else if (len > 1 && line[0] == '$' && line[1] == 't')
			s = last_token;
		else if (len > 1 && line[0] == '$' && line[1] == 'x')
			s = many;
		if (s == NULL) {
			if (n + 1 < sizeof(buf))
				buf[n++] = *line;
		} else {
			if (n + strlen(s) + 1 < sizeof(buf)) {
				memcpy(buf + n, s, strlen(s));
				n += strlen(s);
			}
			line++;
			len--;
		}
	}
	buf[n++] = '\n';
	say(processor(speaker)->io, buf, n);
}

/* As lka.c does it when the last filter is ready, and not before. */
static void
when_ready(void)
{
	if (!ready && !registered && lka_proc_ready()) {
		lka_filter_ready();
		ready = 1;
	}
}

/* --- what happens on the daemon's side ---------------------------------------------------- */

static void
register_all(void)
{
	size_t saved = piece;

	if (ready)
		return;
	if (registered) {
		ready = 1;
		uid = registered_uid;
		return;
	}
	piece = 0;
	say(processor("f")->io, all_lines, strlen(all_lines));
	say(processor("g")->io, all_lines, strlen(all_lines));
	piece = saved;
	when_ready();
}

/* As an input is to find it. */
static void
start_registered(void)
{
	unregister();
	uid = 0;
	ready = 0;
	register_all();
	registered = 1;
	registered_uid = uid;
}

static void
begin(uint64_t id, const char *text)
{
	struct sockaddr_storage from, to;
	struct sockaddr_in *sin;
	struct timeval tv;
	const char *filter;

	switch (*text) {
	case 'g':	filter = "g"; break;
	case 'c':	filter = "c"; break;
	case 'b':	filter = "b"; break;
	default:	filter = "f"; break;
	}
	memset(&from, 0, sizeof(from));
	sin = (struct sockaddr_in *)&from;
	sin->sin_family = AF_INET;
	sin->sin_port = htons(1025);
	sin->sin_addr.s_addr = htonl(0xc0000201);
	to = from;
	memset(&clients[id], 0, offsetof(struct client, param) + 1);
	clients[id].there = 1;
	lka_filter_begin(id, filter);
	gettimeofday(&tv, NULL);
	lka_report_smtp_link_connect("smtp-in", &tv, id, "client.example",
	    id & 1, &from, &to);
}

static void
end(uint64_t id)
{
	struct timeval tv;

	gettimeofday(&tv, NULL);
	lka_report_smtp_link_disconnect("smtp-in", &tv, id);
	if (clients[id].message)
		lka_filter_data_end(id);
	lka_filter_end(id);
	clients[id].there = 0;
}

/*
 * A session has one question at a time, and while a message's lines flow only
 * the one about all of it.  Addresses come between angle brackets.
 */
static void
phase(uint64_t id, const char *text)
{
	char param[LINE_SIZE + 3];
	enum filter_phase wanted;
	size_t len;

	wanted = phases[((unsigned char)*text - 'a') % nitems(phases)];
	if (*text != '\0')
		text++;
	if (clients[id].asked ||
	    (clients[id].message && wanted != FILTER_COMMIT))
		return;
	clients[id].asked = 1;
	if (wanted == FILTER_MAIL_FROM || wanted == FILTER_RCPT_TO) {
		len = strcspn(text, "<>");
		(void)snprintf(param, sizeof(param), "<%.*s>", (int)len, text);
		(void)snprintf(clients[id].param, sizeof(clients[id].param),
		    "%.*s", (int)len, text);
		text = param;
	} else
		(void)strlcpy(clients[id].param, text,
		    sizeof(clients[id].param));
	lka_filter_protocol(id, wanted, text);
}

static void
message_begins(uint64_t id, const char *text)
{
	(void)text;
	if (clients[id].message || clients[id].asked)
		return;
	lka_filter_data_begin(id);
	clients[id].message = 1;
}

static void
message_line(uint64_t id, const char *text)
{
	struct filter_session *fs;
	char line[LINE_SIZE + 1];

	message_begins(id, text);
	if (!clients[id].message || clients[id].asked)
		return;
	fs = tree_xget(&sessions, id);
	if (fs->io == NULL)
		return;
	(void)snprintf(line, sizeof(line), "%s\n", text);
	say(fs->io, line, strlen(line));
}

/* After the last line there is the question about all of it, or the client went. */
static void
message_ends(uint64_t id, const char *text)
{
	struct filter_session *fs;

	(void)text;
	if (!clients[id].message)
		return;
	fs = tree_xget(&sessions, id);
	if (fs->phase != FILTER_COMMIT || clients[id].asked) {
		end(id);
		return;
	}
	lka_filter_data_end(id);
	clients[id].message = 0;
}

/* As when the client has gone: that is seen before the message that says so. */
static void
channel_closes(uint64_t id, const char *text)
{
	struct filter_session *fs;

	(void)text;
	if (!clients[id].message)
		return;
	fs = tree_xget(&sessions, id);
	if (fs->io != NULL)
		arrive(fs->io, "", 0);
}

static void
ends(uint64_t id, const char *text)
{
	(void)text;
	end(id);
}

#define EVENT(letter, call)						\
	static void							\
	event_##letter(const char *dir, struct timeval *tv, uint64_t id,\
	    const char *text)						\
	{								\
		(void)text;						\
		call;							\
	}

EVENT(a, lka_report_smtp_link_greeting(dir, id, tv, text))
EVENT(b, lka_report_smtp_link_identify(dir, tv, id, "EHLO", text))
EVENT(c, lka_report_smtp_link_tls(dir, tv, id, text))
EVENT(e, lka_report_smtp_tx_reset(dir, tv, id, 1))
EVENT(f, lka_report_smtp_tx_begin(dir, tv, id, 1))
EVENT(g, lka_report_smtp_tx_mail(dir, tv, id, 1, text, *text % 3 - 1))
EVENT(h, lka_report_smtp_tx_rcpt(dir, tv, id, 1, text, *text % 3 - 1))
EVENT(i, lka_report_smtp_tx_envelope(dir, tv, id, 1, 0x100000002))
EVENT(j, lka_report_smtp_tx_data(dir, tv, id, 1, *text % 3 - 1))
EVENT(k, lka_report_smtp_tx_commit(dir, tv, id, 1, 4711))
EVENT(l, lka_report_smtp_tx_rollback(dir, tv, id, 1))
EVENT(m, lka_report_smtp_protocol_client(dir, tv, id, text))
EVENT(n, lka_report_smtp_protocol_server(dir, tv, id, text))
EVENT(o, lka_report_smtp_filter_response(dir, tv, id, *text % 16,
    *text % 7, text))
EVENT(p, lka_report_smtp_timeout(dir, tv, id))

/* A session is authenticated once: smtp_session.c offers AUTH no more then. */
static void
event_d(const char *dir, struct timeval *tv, uint64_t id, const char *text)
{
	int pass;

	pass = *text != '!' && !clients[id].authenticated;
	if (pass)
		clients[id].authenticated = 1;
	lka_report_smtp_link_auth(dir, tv, id, text, pass ? "pass" : "fail");
}

static void	(*const events[])(const char *, struct timeval *, uint64_t,
    const char *) = {
	event_a, event_b, event_c, event_d, event_e, event_f, event_g, event_h,
	event_i, event_j, event_k, event_l, event_m, event_n, event_o, event_p,
};

static void
report(uint64_t id, const char *text)
{
	struct timeval tv;
	unsigned int n;

	n = (unsigned char)*text;
	if (n != '\0')
		text++;
	gettimeofday(&tv, NULL);
	events[(n - 'a') % nitems(events)](n & 0x80 ? "smtp-out" : "smtp-in",
	    &tv, id, text);
}

/* Of a session there has to be; "@b" is apart. */
static const struct {
	char	 letter;
	void	(*fn)(uint64_t, const char *);
} actions[] = {
	{ 'p', phase },
	{ 'd', message_begins },
	{ 'l', message_line },
	{ 't', message_ends },
	{ 'c', channel_closes },
	{ 'r', report },
	{ 'e', ends },
};

static void
session_action(const char *line)
{
	uint64_t id;
	size_t i;

	if (line[0] == '\0' || !isdigit((unsigned char)line[1]) ||
	    line[1] == '0')
		return;
	id = line[1] - '0';
	/* There are no sessions before all filters are ready. */
	register_all();
	if (line[0] == 'b') {
		if (!clients[id].there)
			begin(id, line + 2);
		return;
	}
	for (i = 0; i < nitems(actions); i++)
		if (actions[i].letter == line[0]) {
			if (!clients[id].there)
				begin(id, "f");
			actions[i].fn(id, line + 2);
			return;
		}
}

static void
action(const char *line)
{
	struct processor_instance *p;

	switch (line[0]) {
	case 'f':
		speaker = "f";
		break;
	case 'g':
		speaker = "g";
		break;
	case 's':
		piece = isdigit((unsigned char)line[1]) ? line[1] - '0' : 0;
		break;
	case 'a':
		register_all();
		break;
	case 'w':
		p = processor(speaker);
		say(p->errfd, line + 1, strlen(line + 1));
		say(p->errfd, "\n", 1);
		break;
	default:
		session_action(line);
	}
}

/* --- one input ----------------------------------------------------------------------------- */

static struct smtpd	 conf;
static struct mproc	 peer;
static struct dict	 configs;
static struct filter_config f, g, b, c;

static void
add_config(struct filter_config *fc, const char *name, enum filter_type type)
{
	fc->name = xstrdup(name);
	fc->filter_type = type;
	fc->filter_subsystem = FILTER_SUBSYSTEM_SMTP_IN;
	if (type == FILTER_TYPE_PROC)
		fc->proc = fc->name;
	dict_xset(&configs, fc->name, fc);
}

static void
add_processor(const char *name)
{
	int sp[2];

	/* Nothing is ever written there; the descriptors are only set up. */
	if (socketpair(AF_UNIX, SOCK_STREAM, PF_UNSPEC, sp) == -1)
		abort();
	lka_proc_forked(name, FILTER_SUBSYSTEM_SMTP_IN |
	    FILTER_SUBSYSTEM_SMTP_OUT, sp[0]);
	lka_proc_errfd(name, sp[1]);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *chain[] = { "f", "b", "g" };
	size_t i;

	(void)argc;
	(void)argv;
	log_init(0, LOG_MAIL);
	env = &conf;
	env->sc_filters_dict = &configs;
	(void)strlcpy(env->sc_hostname, "mx.example.org",
	    sizeof(env->sc_hostname));
	dict_init(&configs);
	add_config(&f, "f", FILTER_TYPE_PROC);
	add_config(&g, "g", FILTER_TYPE_PROC);
	add_config(&b, "b", FILTER_TYPE_BUILTIN);
	b.phase = FILTER_EHLO;
	b.fcrdns = 1;
	b.reject = xstrdup("550 no");
	add_config(&c, "c", FILTER_TYPE_CHAIN);
	c.chain = chain;
	c.chain_size = nitems(chain);
	p_sessions = &peer;
	peer.name = xstrdup("sessions");
	add_processor("f");
	add_processor("g");
	lka_report_init();
	lka_filter_init();
	for (i = 0; i < nitems(filter_execs); i++)
		(void)snprintf(all_lines + strlen(all_lines),
		    sizeof(all_lines) - strlen(all_lines),
		    "register|filter|smtp-in|%s\n", filter_execs[i].phase_name);
	(void)strlcat(all_lines, "register|report|smtp-in|tx-mail\n"
	    "register|ready\n", sizeof(all_lines));
	memset(many, 'x', sizeof(many) - 1);
	/* The tree of sessions comes with the first. */
	start_registered();
	lka_filter_begin(1, "f");
	lka_filter_end(1);
	return (0);
}

/*
 * An io whose event was being handled when the daemon gave up is not usable any
 * more, and only freeing it lets ioev.c forget about it.
 */
static struct io *
clear_io(struct io *io, void (*cb)(struct io *, int, void *), char *name)
{
	struct io *fresh;

	if (io != frame_io && io_queued(io) == 0) {
		io_drop(io, io_datalen(io));
		return (io);
	}
	fresh = io_new();
	io_set_fd(fresh, io_fileno(io));
	io_set_callback(fresh, cb, name);
	io_set_fd(io, -1);
	io_free(io);
	return (fresh);
}

/* Back to where no filter has said anything. */
static void
clear(void)
{
	struct processor_instance *p;
	void *iter = NULL;
	uint64_t id;

	reading = writing = -1;
	while (dict_iter(&processors, &iter, NULL, (void **)&p)) {
		p->io = clear_io(p->io, processor_io, p->name);
		p->errfd = clear_io(p->errfd, processor_errfd, p->name);
	}
	for (id = 1; id < SESSIONS; id++)
		if (clients[id].there) {
			if (clients[id].message)
				lka_filter_data_end(id);
			lka_filter_end(id);
		}
	free(peer.m_buf);
	peer.m_buf = NULL;
	peer.m_alloc = 0;
	frame_io = NULL;
	for (id = 1; id < SESSIONS; id++)
		clients[id].there = 0;
	if (!registered)
		start_registered();
}

static void
run_line(void *arg)
{
	struct fuzz_in *in = arg;
	const uint8_t *nl;
	char line[LINE_SIZE];
	size_t len;

	nl = memchr(in->p, '\n', in->left);
	len = nl == NULL ? in->left : (size_t)(nl - in->p);
	if (len >= sizeof(line))
		len = sizeof(line) - 1;
	memcpy(line, in->p, len);
	line[len] = '\0';
	in->left -= nl == NULL ? in->left : (size_t)(nl + 1 - in->p);
	in->p = nl == NULL ? in->p : nl + 1;
	if (line[0] == '@')
		action(line + 1);
	else
		filter_says(line, len);
	when_ready();
	drain(processor("f")->io);
	drain(processor("g")->io);
}

static void
run(void *arg)
{
	struct fuzz_in *in = arg;

	lka_proc_config(processor("f"));
	lka_proc_config(processor("g"));
	while (in->left > 0)
		run_line(in);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;

	fuzz_in(&in, data, size);
	uid = 0;
	ready = 0;
	piece = 0;
	speaker = "f";
	memset(last_session, 0, sizeof(last_session));
	memset(last_token, 0, sizeof(last_token));
	(void)fuzz_guard(run, &in);
	clear();
	return (0);
}
