#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd.h"
#include "event.h"
#include "util.h"

struct json_report {
	int	 fd;
};

static void *
json_open(const char *path)
{
	struct json_report	*r;

	r = xcalloc(1, sizeof(*r));
	r->fd = STDOUT_FILENO;
	if (path != NULL && (r->fd = open(path,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) == -1)
		err(EX_SETUP, "--json %s", path);
	return r;
}

/* Each line is written at once: a kill costs the events to come, no more. */
static void
json_event(void *arg, const json_t *ev)
{
	struct json_report	*r = arg;

	event_emit(r->fd, json_incref((json_t *)(uintptr_t)ev));
}

static void
json_close(void *arg)
{
	struct json_report	*r = arg;

	if (r->fd != STDOUT_FILENO && close(r->fd) == -1)
		warn("--json");
	free(r);
}

const struct reporter	report_json = {
	"json", json_open, json_event, json_close
};
