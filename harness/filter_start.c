/* A filter that does not start: why, in one line. */
#include <sys/wait.h>

#include <stdlib.h>
#include <string.h>

#include "filter_start.h"

#define MAX_SAID	4096
#define MAX_ODD		16
#define EXIT_TIME	300000	/* us, from closing its output to its end */

/* Nothing that is registered has a byte that cannot be printed. */
static void
look_for_binary(struct filter_start *fs, const char *text, size_t len)
{
	struct buf b = { 0 };
	size_t i;

	for (i = 0; i < len && fs->odd == NULL; i++) {
		if ((text[i] >= ' ' && text[i] <= '~') || text[i] == '\r')
			continue;
		buf_addvis(&b, text, len < MAX_ODD ? len : MAX_ODD);
		if (len > MAX_ODD)
			buf_addstr(&b, "...");
		fs->odd = b.data;
	}
}

static int
line_is(const char *text, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(text, what, len) == 0;
}

void
filter_start_said(struct filter_start *fs, const char *text, size_t len)
{
	if (fs->said.len > MAX_SAID)
		buf_drain(&fs->said, fs->said.len - MAX_SAID);
	buf_add(&fs->said, text, len);
}

void
filter_start_line(struct filter_start *fs, char dir, const char *text,
    size_t len)
{
	if (dir == 'E') {
		filter_start_said(fs, text, len);
		filter_start_said(fs, "\n", 1);
	} else if (fs->ready)
		return;
	else if (dir == 'D' && line_is(text, len, "config|ready"))
		fs->asked = now_us();
	else if (dir == 'F' && line_is(text, len, "register|ready"))
		fs->ready = 1;
	else if (dir == 'F')
		look_for_binary(fs, text, len);
}

void
filter_start_partial(struct filter_start *fs, const char *text, size_t len)
{
	if (!fs->ready)
		look_for_binary(fs, text, len);
}

void
filter_start_closed(struct filter_start *fs)
{
	if (fs->closed == 0 && !fs->over)
		fs->closed = now_us();
}

void
filter_start_over(struct filter_start *fs)
{
	fs->over = 1;
}

void
filter_start_ended(struct filter_start *fs, int status)
{
	fs->gone = !fs->over;
	fs->status = status;
}

static char *
ended_how(const struct filter_start *fs)
{
	const char *when = fs->ready ? "as soon as it was ready" :
	    "before it was ready";
	int signo = WTERMSIG(fs->status);

	return WIFSIGNALED(fs->status) ?
	    xasprintf("was ended by signal %d (%s) %s", signo,
	    strsignal(signo), when) :
	    xasprintf("exited with status %d %s", WEXITSTATUS(fs->status),
	    when);
}

static char *
what_happened(const struct filter_start *fs)
{
	uint64_t now = now_us();

	if (fs->odd != NULL)
		return xasprintf("is no filter, it said \"%s\"", fs->odd);
	if (fs->gone)
		return ended_how(fs);
	/* its exit status would say more */
	if (fs->closed != 0 && now - fs->closed > EXIT_TIME)
		return xasprintf("closed its output %s", fs->ready ?
		    "as soon as it was ready" : "before it was ready");
	if (!fs->ready && !fs->over && fs->asked != 0 && now - fs->asked > fs->limit)
		return xasprintf("was not ready within %llu s",
		    (unsigned long long)fs->limit / 1000000);
	return NULL;
}

char *
filter_start_broken(const struct filter_start *fs)
{
	char *what, *last, *text;

	if ((what = what_happened(fs)) == NULL ||
	    (last = buf_lastline(&fs->said)) == NULL)
		return what;
	text = xasprintf("%s: %s", what, last);
	free(what);
	free(last);
	return text;
}

void
filter_start_free(struct filter_start *fs)
{
	buf_free(&fs->said);
	free(fs->odd);
	memset(fs, 0, sizeof(*fs));
}
