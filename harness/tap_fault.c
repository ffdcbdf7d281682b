/* Faults a tap injects on request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"
#include "cli.h"
#include "regex.h"
#include "tap.h"
#include "util.h"

#define DEFAULT_DELAY	1000000	/* us */

struct tap_faults {
	struct stream	*stream;
	struct tap_fault *first, **last;
};

static const char *const kinds[] = {
	[FAULT_DELAY] = "delay", [FAULT_DROP] = "drop",
	[FAULT_DUPLICATE] = "duplicate", [FAULT_REORDER] = "reorder",
	[FAULT_TRUNCATE] = "truncate", [FAULT_KILL] = "kill"
};

/* Keys that take a number. */
static const struct {
	const char	*name;
	size_t		 off;
} numbers[] = {
	{ "nth",	offsetof(struct tap_fault, nth) },
	{ "every",	offsetof(struct tap_fault, every) },
	{ "percent",	offsetof(struct tap_fault, percent) },
	{ "times",	offsetof(struct tap_fault, times) },
	{ "bytes",	offsetof(struct tap_fault, bytes) },
	{ "signal",	offsetof(struct tap_fault, signal) },
};

static const struct {
	const char	*suffix;
	uint64_t	 us;
} units[] = { { "us", 1 }, { "ms", 1000 }, { "s", 1000000 } };

struct tap_faults *
tap_faults_new(struct stream *stream)
{
	struct tap_faults *f = xcalloc(1, sizeof(*f));

	f->stream = stream;
	f->last = &f->first;
	return f;
}

static void
fault_free(struct tap_fault *f)
{
	free(f->match);
	free(f);
}

void
tap_faults_free(struct tap_faults *list)
{
	struct tap_fault *f;

	if (list == NULL)
		return;
	while ((f = list->first) != NULL) {
		list->first = f->next;
		fault_free(f);
	}
	free(list);
}

const char *
tap_fault_name(const struct tap_fault *f)
{
	return kinds[f->kind];
}

static int
set_time(struct tap_fault *f, const char *value)
{
	char *end;
	size_t i;

	f->delay = strtoull(value, &end, 10);
	if (*value < '0' || *value > '9')
		return -1;
	for (i = 0; i < nitems(units); i++)
		if (strcmp(end, units[i].suffix) == 0) {
			f->delay *= units[i].us;
			return 0;
		}
	return -1;
}

static int
set_key(struct tap_fault *f, const char *key, const char *value, char *err,
    size_t errlen)
{
	size_t i;

	if (strcmp(key, "from") == 0) {
		if (strcmp(value, "daemon") == 0 ||
		    strcmp(value, "filter") == 0) {
			f->dir = *value == 'd' ? 'D' : 'F';
			return 0;
		}
		snprintf(err, errlen, "from=%s: expected daemon or filter",
		    value);
		return -1;
	}
	if (strcmp(key, "delay") == 0) {
		if (set_time(f, value) == 0)
			return 0;
		snprintf(err, errlen, "delay=%s: expected a time such as "
		    "100ms or 2s", value);
		return -1;
	}
	for (i = 0; i < nitems(numbers); i++)
		if (strcmp(key, numbers[i].name) == 0) {
			if (cli_u64(value, (uint64_t *)(void *)((char *)f +
			    numbers[i].off)) == 0)
				return 0;
			snprintf(err, errlen, "%s=%s: expected a number", key,
			    value);
			return -1;
		}
	snprintf(err, errlen, "unknown \"%s\": expected from, nth, every, "
	    "percent, times, delay, bytes, signal or match", key);
	return -1;
}

/* A match takes all that follows, commas too. */
static int
set_match(struct tap_fault *f, const char *re, char *err, size_t errlen)
{
	char why[128];

	if (regex_check(re, why, sizeof(why)) == -1) {
		snprintf(err, errlen, "match=%s: %s", re, why);
		return -1;
	}
	f->match = xstrdup(re);
	return 0;
}

static int
parse_keys(struct tap_fault *f, char *rest, char *err, size_t errlen)
{
	char *key, *value;

	while (rest != NULL && *rest != '\0') {
		if (strncmp(rest, "match=", 6) == 0)
			return set_match(f, rest + 6, err, errlen);
		key = strsep(&rest, ",");
		if ((value = strchr(key, '=')) == NULL) {
			snprintf(err, errlen, "\"%s\": expected KEY=VALUE",
			    key);
			return -1;
		}
		*value++ = '\0';
		if (set_key(f, key, value, err, errlen) == -1)
			return -1;
	}
	return 0;
}

static int
parse(struct tap_fault *f, char *spec, char *err, size_t errlen)
{
	char *kind = strsep(&spec, ",");
	size_t i;

	for (i = 0; i < nitems(kinds); i++)
		if (strcmp(kind, kinds[i]) == 0)
			break;
	if (i == nitems(kinds)) {
		snprintf(err, errlen, "unknown fault \"%s\": expected delay, "
		    "drop, duplicate, reorder, truncate or kill", kind);
		return -1;
	}
	f->kind = (enum fault_kind)i;
	f->delay = DEFAULT_DELAY;
	f->signal = 9;
	return parse_keys(f, spec, err, errlen);
}

int
tap_faults_add(struct tap_faults *list, const char *spec, char *err,
    size_t errlen)
{
	struct tap_fault *f = xcalloc(1, sizeof(*f));
	char *copy = xstrdup(spec);
	int rv = parse(f, copy, err, errlen);

	free(copy);
	if (rv == -1) {
		fault_free(f);
		return -1;
	}
	*list->last = f;
	list->last = &f->next;
	return 0;
}

/* Without nth, every and percent it is every line that matches. */
static int
is_due(struct tap_faults *list, struct tap_fault *f)
{
	struct range r = { 1, 100 };

	f->seen++;
	if (f->times != 0 && f->done >= f->times)
		return 0;
	if (f->nth != 0 && f->seen != f->nth)
		return 0;
	if (f->every != 0 && f->seen % f->every != 0)
		return 0;
	return f->percent == 0 ||
	    choice_draw(list->stream, "fault", r) <= f->percent;
}

const struct tap_fault *
tap_fault_for(struct tap_faults *list, char dir, const char *line, size_t len)
{
	struct tap_fault *f;

	for (f = list->first; f != NULL; f = f->next) {
		if ((f->dir != 0 && f->dir != dir) || (f->match != NULL &&
		    !regex_match(f->match, line, len, NULL, NULL)))
			continue;
		if (is_due(list, f)) {
			f->done++;
			return f;
		}
	}
	return NULL;
}
