#include <errno.h>
#include <err.h>
#include <stdlib.h>

#include "event.h"
#include "report.h"
#include "util.h"

static json_t	*scrub(const json_t *);

static json_t *
scrub_string(const json_t *v)
{
	struct buf	 b = { 0 };
	json_t		*s;

	text_clean(&b, json_string_value(v), json_string_length(v));
	s = json_stringn(b.data, b.len);
	buf_free(&b);
	return s;
}

static json_t *
scrub_object(const json_t *v)
{
	const char	*key;
	json_t		*copy = json_object(), *e;

	json_object_foreach((json_t *)(uintptr_t)v, key, e)
		json_object_set_new_nocheck(copy, key, scrub(e));
	return copy;
}

static json_t *
scrub_array(const json_t *v)
{
	json_t	*copy = json_array(), *e;
	size_t	 i;

	json_array_foreach(v, i, e)
		json_array_append_new(copy, scrub(e));
	return copy;
}

static json_t *
scrub(const json_t *v)
{
	if (json_is_string(v))
		return scrub_string(v);
	if (json_is_object(v))
		return scrub_object(v);
	if (json_is_array(v))
		return scrub_array(v);
	return json_deep_copy(v);
}

/* A string that is not UTF-8 must not cost us the whole event. */
static char *
dump(json_t *ev)
{
	json_t	*clean;
	char	*s;

	if ((s = json_dumps(ev, JSON_COMPACT)) != NULL)
		return s;
	clean = scrub(ev);
	s = json_dumps(clean, JSON_COMPACT);
	json_decref(clean);
	return s;
}

void
event_emit(int fd, json_t *ev)
{
	struct buf	 b = { 0 };
	char		*s;

	if ((s = dump(ev)) == NULL)
		errx(2, "event_emit: out of memory");
	buf_addstr(&b, s);
	buf_addstr(&b, "\n");
	free(s);
	json_decref(ev);
	if (write_all(fd, b.data, b.len) == -1 && errno != EPIPE)
		warn("event_emit");
	buf_free(&b);
}
