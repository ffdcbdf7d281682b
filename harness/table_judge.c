#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table_judge.h"
#include "util.h"

enum rule { T1, T2, T3, T4, T5, T6, T7, T8, T9, T10, T11 };

static const struct {
	const char	*id, *text;
	unsigned	 side;
} rules[] = {
	[T1] = { "T1", "smtpd-version, protocol, tablename and ready come "
	    "first, once and in this order", JUDGE_DAEMON },
	[T2] = { "T2", "a request has version, time, table, operation, "
	    "service, id and key as smtpd-tables(7) says", JUDGE_DAEMON },
	[T3] = { "T3", "a request comes when the one before is answered",
	    JUDGE_DAEMON },
	[T4] = { "T4", "an answer has the id of the request", JUDGE_FILTER },
	[T5] = { "T5", "an answer is one to the operation asked for",
	    JUDGE_FILTER },
	[T6] = { "T6", "what is found is not empty", JUDGE_FILTER },
	[T7] = { "T7", "every request is answered, an update too",
	    JUDGE_FILTER },
	[T8] = { "T8", "only services that were registered are asked for",
	    JUDGE_DAEMON },
	[T9] = { "T9", "a key has no CR and no NUL", JUDGE_DAEMON },
	[T10] = { "T10", "an answer comes in time", JUDGE_FILTER },
	[T11] = { "T11", "a table lives as long as the daemon",
	    JUDGE_FILTER },
};

static const char *const services[] = {
	"alias", "auth", "domain", "credentials", "netaddr", "userinfo",
	"source", "mailaddr", "addrname", "mailaddrmap", "relayhost",
	"string", "regex"
};

static const char *const config[] = {
	"config|smtpd-version|", "config|protocol|", "config|tablename|",
	"config|ready"
};

struct table_judge {
	unsigned	 sides;
	uint64_t	 owed;
	filter_object_fn object;
	void		*arg;
	size_t		 nconfig;	/* lines of it so far */
	char		*name;
	int		 ready;		/* it has registered */
	unsigned	 services;	/* by bit */
	/* the request that is not answered yet */
	int		 asked;
	char		 op[16], id[16];
	uint64_t	 usec;
	int		 late;		/* told already */
};

struct table_judge *
table_judge_new(unsigned sides, uint64_t owed, filter_object_fn object,
    void *arg)
{
	struct table_judge *j = xcalloc(1, sizeof(*j));

	j->sides = sides;
	j->owed = owed;
	j->object = object;
	j->arg = arg;
	return j;
}

void
table_judge_free(struct table_judge *j)
{
	free(j->name);
	free(j);
}

static void
object(struct table_judge *j, enum rule r, uint64_t usec, const char *got)
{
	const struct filter_objection o = { .id = rules[r].id,
	    .text = rules[r].text, .got = got, .usec = usec };

	if (j->sides & rules[r].side)
		j->object(j->arg, &o);
}

static int
service_find(const char *name)
{
	size_t i;

	for (i = 0; i < nitems(services); i++)
		if (strcmp(services[i], name) == 0)
			return (int)i;
	return -1;
}

static void
heard_config(struct table_judge *j, uint64_t usec, const char *line)
{
	const char *want;
	size_t n;

	if (j->nconfig == nitems(config)) {
		object(j, T1, usec, line);
		return;
	}
	want = config[j->nconfig++];
	n = strlen(want);
	if (strncmp(line, want, n) != 0 ||
	    (want[n - 1] == '|') != (line[n] != '\0'))
		object(j, T1, usec, line);
	else if (strncmp(line, "config|tablename|", 17) == 0)
		j->name = xstrdup(line + 17);
}

static int
is_hex8(const char *s)
{
	return s != NULL && strlen(s) == 8 &&
	    strspn(s, "0123456789abcdef") == 8;
}

static int
is_time(const char *s)
{
	size_t n = s == NULL ? 0 : strspn(s, "0123456789");

	return n > 0 && s[n] == '.' && strlen(s + n + 1) == 6 &&
	    strspn(s + n + 1, "0123456789") == 6;
}

/* A request taken apart; what is left of it is the key. */
struct request {
	const char	*version, *time, *name, *op, *service, *id, *key;
};

static void
request_split(struct request *q, char *p)
{
	memset(q, 0, sizeof(*q));
	strsep(&p, "|");
	q->version = strsep(&p, "|");
	q->time = strsep(&p, "|");
	q->name = strsep(&p, "|");
	q->op = strsep(&p, "|");
	if (q->op != NULL && strcmp(q->op, "update") != 0)
		q->service = strsep(&p, "|");
	q->id = strsep(&p, "|");
	q->key = p;
}

/* Is it in form?  An update and a fetch have no key. */
static int
request_good(const struct table_judge *j, const struct request *q)
{
	static const struct {
		const char	*op;
		int		 service, key;
	} ops[] = {
		{ "update", 0, 0 }, { "fetch", 1, 0 }, { "check", 1, 1 },
		{ "lookup", 1, 1 }
	};
	size_t i;

	if (q->id == NULL || strcmp(q->version, "0.1") != 0 ||
	    !is_time(q->time) || !is_hex8(q->id) ||
	    (j->name != NULL && strcmp(q->name, j->name) != 0))
		return 0;
	for (i = 0; i < nitems(ops); i++)
		if (strcmp(ops[i].op, q->op) == 0)
			return ops[i].key == (q->key != NULL) &&
			    (!ops[i].service || service_find(q->service) != -1);
	return 0;
}

static void
heard_request(struct table_judge *j, uint64_t usec, const char *line,
    size_t len)
{
	char *copy = xstrdup(line);
	struct request q;

	request_split(&q, copy);
	if (strlen(line) != len || strchr(line, '\r') != NULL)
		object(j, T9, usec, line);
	if (j->asked)
		object(j, T3, usec, line);
	if (!request_good(j, &q))
		object(j, T2, usec, line);
	else if (q.service != NULL &&
	    (j->services & 1u << service_find(q.service)) == 0)
		object(j, T8, usec, line);
	if (q.id != NULL) {
		j->asked = 1;
		j->late = 0;
		j->usec = usec;
		snprintf(j->op, sizeof(j->op), "%s", q.op);
		snprintf(j->id, sizeof(j->id), "%s", q.id);
	}
	free(copy);
}

static void
heard(struct table_judge *j, uint64_t usec, const char *line, size_t len)
{
	if (strncmp(line, "config|", 7) == 0)
		heard_config(j, usec, line);
	else {
		if (j->nconfig < nitems(config))
			object(j, T1, usec, line);
		if (strncmp(line, "table|", 6) == 0)
			heard_request(j, usec, line, len);
		else
			object(j, T2, usec, line);
	}
}

static void
said_register(struct table_judge *j, const char *what)
{
	int n = service_find(what);

	if (strcmp(what, "ready") == 0)
		j->ready = 1;
	else if (n != -1 && !j->ready)
		j->services |= 1u << n;
}

static void
said(struct table_judge *j, uint64_t usec, const char *line)
{
	size_t n = strlen(j->op);
	const char *id, *result;

	if (strncmp(line, "register|", 9) == 0) {
		said_register(j, line + 9);
		return;
	}
	id = strchr(line, '|');
	if (!j->asked || id == NULL ||
	    strncmp(id + 1, j->id, strlen(j->id)) != 0 ||
	    id[1 + strlen(j->id)] != '|') {
		object(j, T4, usec, line);
		return;
	}
	result = id + strlen(j->id) + 2;
	if (strncmp(line, j->op, n) != 0 ||
	    strncmp(line + n, "-result|", 8) != 0)
		object(j, T5, usec, line);
	else if (strcmp(result, "found|") == 0 || (strcmp(result, "found") ==
	    0 && strcmp(j->op, "check") != 0))
		object(j, T6, usec, line);
	if (j->owed != 0 && !j->late && usec - j->usec > j->owed)
		object(j, T10, usec, line);
	j->asked = 0;
}

void
table_judge_line(struct table_judge *j, char dir, uint64_t usec,
    const char *line, size_t len)
{
	/* the line may not end with a NUL */
	char *copy = xcalloc(1, len + 1);

	memcpy(copy, line, len);
	if (dir == 'D')
		heard(j, usec, copy, len);
	else
		said(j, usec, copy);
	free(copy);
}

void
table_judge_time(struct table_judge *j, uint64_t usec)
{
	if (!j->asked || j->late || j->owed == 0 || usec - j->usec <= j->owed)
		return;
	j->late = 1;
	object(j, T10, usec, "nothing yet");
}

void
table_judge_exit(struct table_judge *j, uint64_t usec)
{
	object(j, T11, usec, "it has ended");
}

void
table_judge_end(struct table_judge *j, uint64_t usec)
{
	if (j->asked)
		object(j, T7, usec, j->op);
}
