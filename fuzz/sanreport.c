/*
 * Reports of the sanitizers, as they come line by line in the daemon's log, and
 * the symbolizer's words put into them.  Up to an empty line the input is the
 * log; what follows it is what the symbolizer says.  Nothing is run.
 *
 * fuzz-harness: util.c
 * fuzz-about: sanitizer.c:is_first,is_last,report_new,report_open
 * fuzz-about: sanitizer.c:report_free,sanitizer_line,sanitizer_waits
 * fuzz-about: sanitizer.c:frame_place,read_command,next_symbol,add_named
 * fuzz-about: sanitizer.c:symbolize,report_of,sanitizer_take
 * fuzz-about: sanitizer.c:sanitizer_free
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

/* There is always a symbolizer. */
#define access(path, mode)	0
#include "sanitizer.c"

static const uint8_t	*words;
static size_t		 nwords;

pid_t
sandbox_spawn(struct sandbox *sb, const struct sandbox_cmd *cmd)
{
	(void)sb;
	if (strcmp(cmd->argv[0], SYMBOLIZER) != 0)
		fuzz_fail("it runs %s", cmd->argv[0]);
	/* less than a pipe holds */
	(void)write_all(cmd->fd[1], words, nwords);
	return 1;
}

int
sandbox_kill(struct sandbox *sb, pid_t pid, int sig)
{
	(void)sb;
	(void)pid;
	(void)sig;
	return 0;
}

/* What it is told it keeps: line for line, but for what a frame gains. */
static void
take_all(struct run *run, size_t kept)
{
	size_t lines = 0;
	char *text, *p;
	pid_t pid;

	for (pid = 7; sanitizer_waits(run); pid = 0) {
		if ((text = sanitizer_take(run, pid)) == NULL) {
			if (pid == 0)
				fuzz_fail("it waits for what nobody can take");
			continue;
		}
		for (p = text; (p = strchr(p, '\n')) != NULL; p++)
			lines++;
		free(text);
	}
	if (lines != kept)
		fuzz_fail("%zu lines of %zu", lines, kept);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[1024];
	struct run run = { 0 };
	struct fuzz_in in;
	size_t kept = 0;

	fuzz_in(&in, data, size);
	while (fuzz_line(&in, line, sizeof(line)) && line[0] != '\0')
		kept += sanitizer_line(&run, line) == 1;
	words = fuzz_rest(&in, &nwords);
	if (nwords > 4096)
		nwords = 4096;
	if (size % 8 != 0)
		take_all(&run, kept);
	sanitizer_free(&run);
	return 0;
}
