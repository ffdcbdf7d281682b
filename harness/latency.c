#include <stdlib.h>

#include "latency.h"
#include "smtp.h"
#include "util.h"

#define KINDS	(CMD_OTHER + 1)

struct samples {
	uint32_t	*us;
	size_t		 n, room;
};

struct latency {
	struct samples	 of[KINDS];
};

/* What is not here is answered too, but nothing a client asks the same of twice. */
static const char *const names[KINDS] = {
	[CMD_GREETING] = "connect",
	[CMD_EHLO] = "EHLO",
	[CMD_HELO] = "HELO",
	[CMD_MAIL] = "MAIL",
	[CMD_RCPT] = "RCPT",
	[CMD_DATA] = "DATA",
	[CMD_EOD] = "message",
	[CMD_BDAT] = "BDAT",
	[CMD_RSET] = "RSET",
	[CMD_QUIT] = "QUIT",
	[CMD_STARTTLS] = "STARTTLS",
	[CMD_AUTH] = "AUTH",
};

static const struct {
	const char	*name;
	unsigned int	 percent;
} ranks[] = {
	{ "p50", 50 }, { "p90", 90 }, { "p99", 99 }, { "max", 100 },
};

struct latency *
latency_new(void)
{
	return xcalloc(1, sizeof(struct latency));
}

void
latency_free(struct latency *l)
{
	size_t	 i;

	for (i = 0; i < nitems(l->of); i++)
		free(l->of[i].us);
	free(l);
}

void
latency_add(struct latency *l, int kind, uint64_t us)
{
	struct samples	*s = &l->of[kind];

	if (s->n == s->room) {
		s->room = s->room == 0 ? 16 : 2 * s->room;
		s->us = xreallocarray(s->us, s->room, sizeof(*s->us));
	}
	s->us[s->n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int
by_value(const void *a, const void *b)
{
	const uint32_t	*x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static json_t *
row(struct samples *s)
{
	json_t	*j = json_pack("{s:I}", "n", (json_int_t)s->n);
	size_t	 i, rank;

	qsort(s->us, s->n, sizeof(*s->us), by_value);
	for (i = 0; i < nitems(ranks); i++) {
		rank = (s->n * ranks[i].percent + 99) / 100;
		json_object_set_new(j, ranks[i].name,
		    json_integer((json_int_t)s->us[rank - 1]));
	}
	return j;
}

json_t *
latency_json(struct latency *l)
{
	json_t	*j = json_object();
	size_t	 i;

	for (i = 0; i < nitems(l->of); i++)
		if (names[i] != NULL && l->of[i].n > 0)
			json_object_set_new(j, names[i], row(&l->of[i]));
	return j;
}
