/*
 * The text protocol smtpd speaks with a table's process.  The input's first line
 * is what smtpd asks for, a letter and a digit each: l(ookup), c(heck), f(etch),
 * u(pdate) and the service; its second is the key.  The rest is what the table
 * says, where a '$' stands for the id of the request.
 *
 * Every request must be of the form of smtpd-tables(7), one line.  Answers it
 * describes must be understood as it says; any other may end the daemon or be an
 * error, but must not become a value that was not sent for this request.
 *
 * fuzz-without: table_proc.c
 * fuzz-versions: >=7.6
 * fuzz-about: table_proc.c:table_proc_nextid,table_proc_send,table_proc_recv
 * fuzz-about: table_proc.c:table_proc_open,table_proc_update
 * fuzz-about: table_proc.c:table_proc_close,table_proc_lookup
 * fuzz-about: table_proc.c:table_proc_fetch
 */
#include "includes.h"

#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

static FILE	*open_stream(const char *);

/* Its process is us: two streams without descriptors. */
#define fork_proc_backend		our_backend
#define xcalloc				our_xcalloc
#define dup(fd)				(fd)
#define fdopen(fd, mode)		open_stream(mode)
#include "table_proc.c"
#undef dup
#undef fdopen

#define ID_LEN	8

static const int services[] = { K_ALIAS, K_DOMAIN, K_CREDENTIALS, K_NETADDR,
    K_USERINFO, K_SOURCE, K_MAILADDR, K_ADDRNAME, K_MAILADDRMAP, K_RELAYHOST };

static struct fuzz_in	 answers;
static char		*sent;		/* all that was asked */
static size_t		 sentlen;
static char		 answer[4096];	/* the last line read, as it was said */
static int		 answered, closed;
static FILE		*streams[2];
static struct table_proc_priv *priv;

/* --- the table ------------------------------------------------------------------ */

/* What was asked since the stream was rewound. */
static const char *
request(void)
{
	fflush(streams[1]);
	sent[sentlen] = '\0';
	return (sent);
}

/* The first field of 8 hex digits, before any key. */
static const char *
request_id(void)
{
	const char *s = request();

	for (; (s = strchr(s, '|')) != NULL; s++)
		if (strspn(s + 1, "0123456789abcdef") == ID_LEN &&
		    (s[1 + ID_LEN] == '|' || s[1 + ID_LEN] == '\n'))
			return (s + 1);
	return ("");
}

/* One line at a time, for so the daemon reads: request and answer alternate. */
static ssize_t
say(void *cookie, char *buf, size_t size)
{
	const char *id;
	size_t n;
	uint8_t c;

	answered++;
	id = request_id();
	for (n = 0; n + ID_LEN < size && n + ID_LEN < sizeof(answer) &&
	    answers.left > 0;) {
		if ((c = fuzz_u8(&answers)) == '$' && strlen(id) >= ID_LEN) {
			memcpy(buf + n, id, ID_LEN);
			n += ID_LEN;
			continue;
		}
		buf[n++] = c;
		if (c == '\n')
			break;
	}
	/* the end of the file is read, too, and must not wipe it out */
	if (n > 0) {
		memcpy(answer, buf, n);
		answer[n] = '\0';
	}
	return (n);
}

static int
hang_up(void *cookie)
{
	closed++;
	return (0);
}

static FILE *
open_stream(const char *mode)
{
	cookie_io_functions_t table = { .read = say, .close = hang_up };
	int out = *mode == 'w';

	streams[out] = out ? open_memstream(&sent, &sentlen) :
	    fopencookie(NULL, "r", table);
	return (streams[out]);
}

int
our_backend(const char *key, const char *conf, const char *name, int do_stdout)
{
	return (3);
}

/* What open() allocates is lost when it gives up: we free it. */
void *
our_xcalloc(size_t n, size_t size)
{
	if ((priv = calloc(n, size)) == NULL)
		fatal("calloc");
	return (priv);
}

/* --- what smtpd asks --------------------------------------------------------------- */

static void
check_request(const char *op, int service, const char *key)
{
	const char *p, *id;
	char want[LINE_MAX * 3];
	size_t n;

	p = request();
	if (strncmp(p, "table|0.1|", 10) != 0)
		fuzz_fail("it asks %s", sent);
	p += 10;
	n = strspn(p, "0123456789");
	if (n == 0 || p[n] != '.' || strspn(p + n + 1, "0123456789") != 6)
		fuzz_fail("no time in %s", sent);
	p += n + 7;
	id = request_id();
	if (service == -1)
		snprintf(want, sizeof(want), "|devs|%s|%.8s\n", op, id);
	else
		snprintf(want, sizeof(want), "|devs|%s|%s|%.8s%s%s\n", op,
		    table_service_name(service), id, key == NULL ? "" : "|",
		    key == NULL ? "" : key);
	if (strcmp(p, want) != 0)
		fuzz_fail("it asks %sand not ...%s", sent, want);
}

/* --- what it makes of the answer --------------------------------------------------- */

/* The part after OP-result|ID|, or NULL if this is no answer to the request. */
static const char *
payload(const char *op)
{
	static char line[sizeof(answer)];
	size_t n;

	snprintf(line, sizeof(line), "%s", answer);
	line[strcspn(line, "\n")] = '\0';
	n = strlen(op);
	if (strncmp(line, op, n) != 0 || strncmp(line + n, "-result|", 8) != 0)
		return (NULL);
	n += 8;
	if (strncmp(line + n, request_id(), ID_LEN) != 0 ||
	    line[n + ID_LEN] != '|')
		return (NULL);
	return (line + n + ID_LEN + 1);
}

/* result: what smtpd understood; -2 if it gave up. */
static void
check_result(const char *op, int result, const char *value, int has_value)
{
	const char *r;

	if ((r = answer[0] == '\0' ? NULL : payload(op)) == NULL) {
		if (result != -2)
			fuzz_fail("%s: %d for no answer: %s", op, result,
			    answer);
		return;
	}
	if (result == 1 && has_value) {
		if (strncmp(r, "found|", 6) != 0 || strcmp(r + 6, value) != 0)
			fuzz_fail("%s: value %s of %s", op, value, answer);
		return;
	}
	if (strcmp(op, "update") == 0) {
		if (result != (strcmp(r, "ok") == 0 ? 1 :
		    strncmp(r, "error", 5) == 0 ? 0 : -2))
			fuzz_fail("update: %d for %s", result, answer);
	} else if (strcmp(r, "not-found") == 0 ? result != 0 :
	    strcmp(r, "error") == 0 || strncmp(r, "error|", 6) == 0 ?
	    result != -1 : result == 0)
		fuzz_fail("%s: %d for %s", op, result, answer);
	else if (strcmp(op, "check") == 0 && strcmp(r, "found") == 0 &&
	    result != 1)
		fuzz_fail("check: %d for %s", result, answer);
}

struct call {
	struct table	*t;
	char		 op;
	int		 service;
	const char	*key;
	int		 result;
	char		*value;
};

static void
do_call(void *arg)
{
	struct call *c = arg;

	c->result = -2;
	switch (c->op) {
	case 'u':
		c->result = table_backend_proc.update(c->t);
		break;
	case 'f':
		c->result = table_backend_proc.fetch(c->t, c->service,
		    &c->value);
		break;
	case 'c':
		c->result = table_backend_proc.lookup(c->t, c->service, c->key,
		    NULL);
		break;
	default:
		c->result = table_backend_proc.lookup(c->t, c->service, c->key,
		    &c->value);
	}
}

static int
run_call(struct table *t, char op, int service, const char *key)
{
	struct call c = { .t = t, .op = op, .service = service, .key = key };
	const char *name = op == 'u' ? "update" : op == 'f' ? "fetch" :
	    op == 'c' ? "check" : "lookup";
	int gave_up;

	/* each request is looked at alone */
	rewind(streams[1]);
	clearerr(streams[0]);
	answer[0] = '\0';
	answered = 0;
	gave_up = fuzz_guard(do_call, &c);
	if (answered == 0 && !gave_up && c.result == -1)
		return (0);		/* a key it does not ask for */
	if (op == 'u')
		check_request(name, -1, NULL);
	else
		check_request(name, service, op == 'f' ? NULL : key);
	check_result(name, gave_up ? -2 : c.result, c.value, c.value != NULL);
	free(c.value);
	return (gave_up);
}

static void
do_open(void *arg)
{
	if (table_backend_proc.open(arg) != 1)
		fuzz_fail("open neither works nor gives up");
}

static void
do_close(void *arg)
{
	table_backend_proc.close(arg);
}

static void
check_handshake(struct table *t)
{
	static const char want[] = "config|smtpd-version|" SMTPD_VERSION "\n"
	    "config|protocol|0.1\nconfig|tablename|devs\nconfig|ready\n";

	if (strcmp(request(), want) != 0)
		fuzz_fail("it says %s", sent);
	if (t->t_services == 0 || (t->t_services & ~K_ANY) != 0)
		fuzz_fail("services %x", t->t_services);
}

static void
run_calls(struct table *t, const char *ops, const char *key)
{
	int service;

	check_handshake(t);
	for (; ops[0] != '\0' && ops[1] != '\0'; ops += 2) {
		service = services[(unsigned char)ops[1] % nitems(services)];
		if (run_call(t, ops[0], service, key))
			break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char ops[64], key[256];
	struct table *t;

	fuzz_in(&answers, data, size);
	if (!fuzz_line(&answers, ops, sizeof(ops)) ||
	    !fuzz_line(&answers, key, sizeof(key)))
		return (0);
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return (0);
	strlcpy(t->t_name, "devs", sizeof(t->t_name));
	strlcpy(t->t_config, "devs", sizeof(t->t_config));
	streams[0] = streams[1] = NULL;
	priv = NULL;
	closed = 0;
	answer[0] = '\0';
	if (fuzz_guard(do_open, t) == 0)
		run_calls(t, ops, key);
	if (t->t_handle != NULL)
		(void)fuzz_guard(do_close, t);
	else {
		if (streams[0] != NULL)
			fclose(streams[0]);
		if (streams[1] != NULL)
			fclose(streams[1]);
		if (priv != NULL)
			free(priv->line);
		free(priv);
	}
	if (closed != 1)
		fuzz_fail("its stream is closed %d times", closed);
	free(sent);
	sent = NULL;
	free(t);
	return (0);
}
