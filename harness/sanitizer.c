#include <sys/queue.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"
#include "sandbox.h"
#include "sanitizer.h"

#define REPORT_MAX	65536
#define FRAMES_MAX	256
#define SYMBOLIZER	"/usr/bin/llvm-symbolizer"
#define SYMBOLIZER_TIME	20000000	/* us */

struct report {
	STAILQ_ENTRY(report) entry;
	pid_t		 pid;		/* 0: it does not say */
	struct buf	 text;
	int		 whole;
};

STAILQ_HEAD(reports, report);

/* "==7==ERROR: AddressSanitizer: ..." or "x.c:1:2: runtime error: ..." */
static int
is_first(const char *line, pid_t *pid)
{
	int n = 0, len = 0;

	if (sscanf(line, "==%d==%n", &n, &len) == 1 && len > 0 &&
	    strstr(line, "Sanitizer") != NULL &&
	    (strncmp(line + len, "ERROR: ", 7) == 0 ||
	    strstr(line, "CHECK failed") != NULL)) {
		*pid = n;
		return 1;
	}
	*pid = 0;
	return strstr(line, ": runtime error: ") != NULL;
}

static int
is_last(const char *line)
{
	return strncmp(line, "SUMMARY: UndefinedBehaviorSanitizer", 35) == 0 ||
	    (strncmp(line, "==", 2) == 0 &&
	    strstr(line, "==ABORTING") != NULL);
}

static struct report *
report_new(struct run *run, pid_t pid)
{
	struct report *r = xcalloc(1, sizeof(*r));

	if (run->reports == NULL) {
		run->reports = xcalloc(1, sizeof(*run->reports));
		STAILQ_INIT(run->reports);
	}
	r->pid = pid;
	STAILQ_INSERT_TAIL(run->reports, r, entry);
	return r;
}

/* The one that is being written, the last if there are several. */
static struct report *
report_open(struct run *run)
{
	struct report *r, *found = NULL;

	if (run->reports != NULL)
		STAILQ_FOREACH(r, run->reports, entry)
			if (!r->whole)
				found = r;
	return found;
}

static void
report_free(struct run *run, struct report *r)
{
	STAILQ_REMOVE(run->reports, r, report, entry);
	buf_free(&r->text);
	free(r);
}

int
sanitizer_line(struct run *run, const char *line)
{
	struct report *r;
	pid_t pid;

	if (is_first(line, &pid))
		r = report_new(run, pid);
	else if ((r = report_open(run)) == NULL)
		return 0;
	if (r->text.len < REPORT_MAX)
		buf_addf(&r->text, "%s\n", line);
	r->whole = is_last(line);
	return 1;
}

int
sanitizer_waits(const struct run *run)
{
	return run->reports != NULL && !STAILQ_EMPTY(run->reports);
}

/* A frame, "    #0 0x55d0c0ffee  (/usr/sbin/smtpd+0xd2f3a1)": "FILE OFFSET". */
static char *
frame_place(const char *line, size_t len, size_t *at)
{
	const char *open, *plus, *close, *p = line + strspn(line, " ");

	if (*p != '#' || (open = memchr(line, '(', len)) == NULL ||
	    open[1] != '/' ||
	    (close = memchr(open, ')', len - (size_t)(open - line))) == NULL ||
	    (plus = memrchr(open, '+', (size_t)(close - open))) == NULL)
		return NULL;
	*at = (size_t)(open - line);
	return xasprintf("\"%.*s\" %.*s", (int)(plus - open) - 1, open + 1,
	    (int)(close - plus) - 1, plus + 1);
}

/* What a program inside prints; run_until() would be re-entered. */
static void
read_command(struct run *run, const char *const *argv, struct buf *out)
{
	struct sandbox_cmd cmd = { .argv = argv, .fd = { -1, -1, -1 } };
	uint64_t end = now_us() + SYMBOLIZER_TIME;
	struct pollfd pfd = { .events = POLLIN };
	char data[8192];
	ssize_t n = 0;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return;
	cmd.fd[1] = fds[1];
	pid = sandbox_spawn(run->sb, &cmd);
	close(fds[1]);
	pfd.fd = fds[0];
	while (pid != -1 && now_us() < end && poll(&pfd, 1, 100) != -1) {
		if (pfd.revents == 0)
			continue;
		if ((n = read(fds[0], data, sizeof(data))) <= 0)
			break;
		buf_add(out, data, (size_t)n);
	}
	if (pid != -1 && n > 0)
		sandbox_kill(run->sb, pid, 9);
	close(fds[0]);
}

/* Take the next "FUNCTION\nFILE:LINE:COLUMN\n\n". */
static char *
next_symbol(char **words)
{
	char *func = strsep(words, "\n"), *place;

	if (func == NULL || (place = strsep(words, "\n")) == NULL)
		return NULL;
	strsep(words, "\n");
	if (strcmp(func, "??") == 0)
		return xstrdup("");
	return xasprintf("in %s %s ", func,
	    strncmp(place, "??", 2) == 0 ? "" : place);
}

/* A line of a report, with the words of the symbolizer if it is a frame. */
static void
add_named(struct buf *b, const char *line, size_t len, char **words)
{
	char *place, *symbol;
	size_t at;

	if ((place = frame_place(line, len, &at)) == NULL) {
		buf_add(b, line, len);
		return;
	}
	buf_add(b, line, at);
	if ((symbol = next_symbol(words)) != NULL)
		buf_addstr(b, symbol);
	/* behind the place comes a build id, of no use to anybody */
	buf_add(b, line + at, strcspn(line + at, ")") + 1);
	buf_addstr(b, "\n");
	free(symbol);
	free(place);
}

/*
 * The process itself cannot do this: it is chrooted, and not root any more.
 * Where there is no symbolizer, gdb's backtrace has to do.
 */
static void
symbolize(struct run *run, struct buf *text)
{
	const char *argv[FRAMES_MAX + 5] = { SYMBOLIZER, "--no-inlines",
	    "--functions=short", "--basenames" };
	const size_t first = 4;
	struct buf out = { 0 }, named = { 0 };
	char *p, *nl, *words;
	size_t at, n = first;

	for (p = text->data; (nl = strchr(p, '\n')) != NULL; p = nl + 1)
		if (n < FRAMES_MAX + first && (argv[n] = frame_place(p,
		    (size_t)(nl - p), &at)) != NULL)
			n++;
	if (n > first && access(SYMBOLIZER, X_OK) == 0)
		read_command(run, argv, &out);
	words = out.data;
	for (p = text->data; (nl = strchr(p, '\n')) != NULL; p = nl + 1)
		add_named(&named, p, (size_t)(nl + 1 - p), &words);
	while (n > first)
		free((char *)(uintptr_t)argv[--n]);
	buf_free(&out);
	buf_free(text);
	*text = named;
}

static struct report *
report_of(struct run *run, pid_t pid)
{
	struct report *r;

	if (run->reports == NULL)
		return NULL;
	STAILQ_FOREACH(r, run->reports, entry)
		if (pid == 0 || r->pid == pid)
			return r;
	/* UBSan does not say who it was: the one who said so first. */
	STAILQ_FOREACH(r, run->reports, entry)
		if (r->pid == 0)
			return r;
	return NULL;
}

char *
sanitizer_take(struct run *run, pid_t pid)
{
	struct report *r = report_of(run, pid);
	char *text;

	if (r == NULL)
		return NULL;
	symbolize(run, &r->text);
	text = r->text.data;
	memset(&r->text, 0, sizeof(r->text));
	report_free(run, r);
	return text;
}

void
sanitizer_free(struct run *run)
{
	struct report *r;

	if (run->reports == NULL)
		return;
	while ((r = STAILQ_FIRST(run->reports)) != NULL)
		report_free(run, r);
	free(run->reports);
	run->reports = NULL;
}
