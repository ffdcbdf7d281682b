#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "finding.h"
#include "report.h"

#define FRAMES		5	/* on top of a stack tell crashes apart */

/* Where a stack begins that is always the same: how a process dies. */
static const char *const dying[] = {
	"raise", "abort", "gsignal", "pthread_kill", "??", NULL
};

/* What libc and the sanitizers call their own is not what went wrong. */
static int
is_dying(const char *name, size_t len)
{
	size_t	 i;

	if (len > 2 && memcmp(name, "__", 2) == 0)
		return 1;
	for (i = 0; dying[i] != NULL; i++)
		if (strlen(dying[i]) == len && memcmp(dying[i], name, len) == 0)
			return 1;
	return 0;
}

/* "#6  0x55d0 in io_printf (...)" or "#6  io_printf (...)": the name. */
static const char *
frame_name(const char *line, size_t *len)
{
	const char	*p = line, *in;

	while (*p == ' ')
		p++;
	if (*p++ != '#' || !isdigit((unsigned char)*p))
		return NULL;
	p += strspn(p, "0123456789");
	p += strspn(p, " ");
	in = strstr(p, " in ");
	if (strncmp(p, "0x", 2) == 0) {
		if (in == NULL || in - p > 2 + 16 + 1)
			return NULL;	/* no name is known */
		p = in + 4;
		p += strspn(p, " ");
	}
	*len = strcspn(p, " (\n");
	return *len == 0 ? NULL : p;
}

static int
add_frames(struct buf *b, const char *got)
{
	const char	*line, *name;
	size_t		 len;
	int		 n = 0;

	for (line = got; line != NULL && n < FRAMES;
	    line = strchr(line, '\n')) {
		line += *line == '\n';
		if ((name = frame_name(line, &len)) == NULL ||
		    is_dying(name, len) || *name == '<')
			continue;
		/* who has allocated and freed it comes later */
		if (len == 4 && memcmp(name, "main", 4) == 0)
			break;
		buf_addf(b, "%s%.*s", n++ == 0 ? ": " : " < ", (int)len, name);
	}
	return n;
}

/* Is it a number, or a hexadecimal one, as session and message ids are? */
static int
is_number(const char *word, size_t len)
{
	return len > 0 && (strspn(word, "0123456789") >= len ||
	    (len >= 8 && strspn(word, "0123456789abcdef") >= len));
}

/* A line without anything that differs from run to run. */
static void
add_words(struct buf *b, const char *line)
{
	const char	*p = line;
	size_t		 n;

	buf_addstr(b, ": ");
	while (*p != '\0' && *p != '\n' && p - line < 120) {
		for (n = 0; isalnum((unsigned char)p[n]); n++)
			;
		if (is_number(p, n))
			buf_addstr(b, "#");
		else
			buf_add(b, p, n > 0 ? n : 1);
		p += n > 0 ? n : 1;
	}
}

/*
 * Of the last words of a daemon that has exited, who says why: "lookup: msg too
 * short".  That others leave as well is what follows.
 */
static const char *
reason(const char *got)
{
	static const char *const who[] = { "lookup: ", "dispatcher: ",
	    "pony express: ", "queue: ", "scheduler: ", "control: ",
	    "crypto: ", "klondike: ", NULL };
	const char	*line, *follows = NULL;
	size_t		 i;

	for (line = got; (line = strchr(line, '\n')) != NULL;) {
		line += 1 + strspn(line + 1, " ");
		for (i = 0; who[i] != NULL; i++) {
			if (strncmp(line, who[i], strlen(who[i])) != 0)
				continue;
			if (strncmp(line + strlen(who[i]), "exiting", 7) != 0)
				return line;
			follows = follows == NULL ? line : follows;
		}
	}
	return follows == NULL ? got : follows;
}

/* A stack says most; that the daemon has left is what follows from the rest. */
static int
rank(const json_t *f)
{
	struct buf	 b = { 0 };
	int		 n;

	if (*jstr(f, "oracle") == '\0')
		return 0;
	n = add_frames(&b, jstr(f, "got"));
	buf_free(&b);
	if (n > 0)
		return 3;
	return strncmp(jstr(f, "got"), "the daemon has exited", 21) == 0 ? 1 : 2;
}

/* "signal 11 (Segmentation fault)", "AddressSanitizer: heap-use-after-free" */
static void
add_what(struct buf *b, const char *got)
{
	const char	*p = strstr(got, "Sanitizer: ");
	size_t		 n = strcspn(got, ":\n");

	if (strncmp(got, "==", 2) == 0 && p != NULL) {
		while (p > got && p[-1] != ' ')
			p--;
		got = p;
		n = strcspn(p, " ") + 1;
		n += strcspn(p + n, " \n");
	}
	buf_addf(b, ": %.*s", (int)n, got);
}

int
finding_signature(const json_t *end, struct buf *b)
{
	const json_t	*f, *best = NULL;
	size_t		 i;

	json_array_foreach(json_object_get(end, "failures"), i, f)
		if (rank(f) > (best == NULL ? 0 : rank(best)))
			best = f;
	if (best == NULL)
		return 0;
	buf_addstr(b, jstr(best, "oracle"));
	if (rank(best) < 3) {
		add_words(b, reason(jstr(best, "got")));
		return 1;
	}
	add_what(b, jstr(best, "got"));
	add_frames(b, jstr(best, "got"));
	return 1;
}

const char *
findings_dir(void)
{
	const char	*env = getenv("SMTPDTEST_FINDINGS");
	static char	*dir;
	char		*results;

	if (env != NULL && *env != '\0')
		return env;
	if (dir == NULL) {
		results = cli_results();	/* build/results */
		results[strlen(results) - strlen("results")] = '\0';
		dir = xasprintf("%sfindings", results);
		free(results);
	}
	return dir;
}

static int
put(const char *dir, const char *name, const void *data, size_t len)
{
	char	*path = xasprintf("%s/%s", dir, name);
	int	 rc = file_replace(path, data, len);

	free(path);
	return rc;
}

static int
put_json(const char *dir, const json_t *j)
{
	char	*text = json_dumps(j, JSON_INDENT(1));
	int	 rc = put(dir, "finding.json", text, strlen(text));

	free(text);
	return rc;
}

static int
put_all(const char *dir, const json_t *end, const json_t *j)
{
	const json_t	*choices = json_object_get(end, "choices");
	struct buf	 b = { 0 };
	char		*text;
	size_t		 len;
	int		 rc = 0;

	report_details(&b, end, SIZE_MAX);
	rc |= put(dir, "log", b.data, b.len);
	rc |= put(dir, "choices", json_string_length(choices) == 0 ? "" :
	    json_string_value(choices), json_string_length(choices));
	if ((text = read_file(jstr(end, "path"), &len, 1 << 24)) != NULL)
		rc |= put(dir, "scenario.smtp", text, len);
	free(text);
	buf_free(&b);
	return rc | put_json(dir, j);
}

/* What could not be written whole goes again. */
static void
take_back(const char *dir)
{
	static const char *const names[] = { "log", "choices", "scenario.smtp",
	    "finding.json" };
	char	*path;
	size_t	 i;

	for (i = 0; i < nitems(names); i++) {
		path = xasprintf("%s/%s", dir, names[i]);
		unlink(path);
		free(path);
	}
	rmdir(dir);
}

/* All of it under another name first: a finding is there whole or not at all. */
static int
put_new(const char *path, const json_t *end, const json_t *j)
{
	char	*tmp = xasprintf("%s.XXXXXX", path);
	int	 rc = -1, save;

	if (mkdtemp(tmp) == NULL) {
		free(tmp);
		return -1;
	}
	if (chmod(tmp, 0755) == 0 && put_all(tmp, end, j) == 0)
		rc = rename(tmp, path);
	save = errno;
	if (rc == -1)
		take_back(tmp);
	errno = save;
	free(tmp);
	return rc;
}

static int
make_dir(const char *path)
{
	return mkdir(path, 0777) == -1 && errno != EEXIST ? -1 : 0;
}

char *
finding_keep(const char *dir, const char *slug, const json_t *end,
    json_t *repeat, json_int_t *count)
{
	struct buf	 sig = { 0 };
	char		 err[256], *path;
	json_t		*j;
	int		 rc;

	finding_signature(end, &sig);
	path = xasprintf("%s/%s-%08llx", dir, slug, (unsigned long long)
	    fnv64(sig.data, sig.len) & 0xffffffff);
	if ((j = finding_load(path, err, sizeof(err))) != NULL) {
		*count = jint(j, "count") + 1;
		json_object_set_new(j, "count", json_integer(*count));
		rc = put_json(path, j);
	} else {
		j = json_deep_copy(repeat);
		*count = 1;
		json_object_set_new(j, "signature", text_json(sig.data));
		json_object_set_new(j, "count", json_integer(1));
		json_object_set(j, "failures", json_object_get(end, "failures"));
		json_object_set(j, "seconds", json_object_get(end, "seconds"));
		json_object_set(j, "plan", json_object_get(
		    json_object_get(end, "stats"), "plan"));
		rc = make_dir(dir) == -1 ? -1 : put_new(path, end, j);
	}
	json_decref(j);
	buf_free(&sig);
	if (rc == -1) {
		free(path);
		return NULL;
	}
	return path;
}

json_t *
finding_load(const char *path, char *err, size_t errlen)
{
	char		*file = xasprintf("%s/finding.json", path);
	json_error_t	 e;
	json_t		*j;

	if ((j = json_load_file(file, 0, &e)) == NULL)
		snprintf(err, errlen, "%s: %s", file, e.text);
	free(file);
	return j;
}
