/*
 * Our reading of the filter protocol and of a tap's log.  The input's first octet
 * says who speaks and in which version; the rest is a line, and as a whole also a
 * log.  A line that is taken ends with its last field, and its fields stand where
 * the bars are; a log that is taken, written and read again, is the same.
 *
 * fuzz-harness: filter_line.c filter_log.c
 * fuzz-about: filter_line.c:filter_event,filter_phase,filter_decision
 * fuzz-about: filter_line.c:filter_version,wrong,word,fields,hex16,request_id
 * fuzz-about: filter_line.c:stamp,subsystem,head,point,enough,old_order
 * fuzz-about: filter_line.c:parse_config,parse_report,parse_request
 * fuzz-about: filter_line.c:parse_register,parse_result,parse_dataline
 * fuzz-about: filter_line.c:filter_line_parse
 * fuzz-about: filter_log.c:filter_log_read,entry_parse,unescape,filter_log_line
 */
#include <sys/mman.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filter_line.h"
#include "filter_log.h"
#include "fuzz.h"

/* The line again, from what was understood: only the order of 0.7 is kept. */
static void
check_fields(const struct filter_line *fl, const char *line, size_t len)
{
	struct buf tail = { 0 };
	int i;

	for (i = 0; i < fl->nfields; i++) {
		buf_add(&tail, "|", 1);
		buf_add(&tail, fl->field[i], i + 1 == fl->nfields ?
		    fl->lastlen : strlen(fl->field[i]));
	}
	if (tail.len > len || (tail.len > 0 &&
	    memcmp(line + len - tail.len, tail.data, tail.len) != 0))
		fuzz_fail("other fields of %.*s", (int)len, line);
	buf_free(&tail);
}

static void
check_line(const char *line, size_t len, char dir, int version)
{
	struct filter_line fl = { 0 };
	const char *s;
	int rc;

	rc = filter_line_parse(&fl, dir, line, len, version);
	if ((rc == 0) != (fl.error[0] == '\0') ||
	    (rc == 0) != (fl.bad == BAD_NOTHING))
		fuzz_fail("%d: \"%s\"", rc, fl.error);
	for (s = fl.error; *s != '\0'; s++)
		if (iscntrl((unsigned char)*s))
			fuzz_fail("control character in: %s", fl.error);
	if (rc == 0 && fl.kind == FILTER_UNKNOWN)
		fuzz_fail("a line of no kind");
	/* a name with a NUL is cut there, and so could not be put together */
	if (rc == 0 && memchr(line, '\0', len) == NULL &&
	    (fl.kind != FILTER_REPORT || fl.version >= 7))
		check_fields(&fl, line, len);
	filter_line_free(&fl);
}

/* --- the log ------------------------------------------------------------------------- */

static int
memory_file(char *path, size_t size)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	if (fd == -1)
		fuzz_fail("memfd_create");
	snprintf(path, size, "/proc/self/fd/%d", fd);
	return fd;
}

struct again {
	struct filter_log *log;
	struct buf	 all;
};

static int
note_entry(void *arg, const struct filter_entry *e)
{
	struct again *a = arg;

	buf_addf(&a->all, "%llu %c %d %zu ", (unsigned long long)e->usec,
	    e->dir, e->terminated, e->len);
	buf_add(&a->all, e->text, e->len);
	if (e->text[e->len] != '\0')
		fuzz_fail("an entry without end");
	if (a->log != NULL)
		filter_log_line(a->log, e->usec, e->dir, e->text, e->len,
		    e->terminated);
	return 0;
}

static void
check_log(const char *text, size_t len)
{
	struct again one = { 0 }, two = { 0 };
	char path[64], path2[64], err[256];
	int fd = memory_file(path, sizeof(path));
	int fd2 = memory_file(path2, sizeof(path2));
	int line, col, n = 0;

	if (write_all(fd, text, len) == -1 ||
	    (one.log = filter_log_open(path2)) == NULL)
		fuzz_fail("cannot write to memory");
	if (filter_log_read(path, note_entry, &one, err, sizeof(err)) == -1) {
		if (strncmp(err, path, strlen(path)) != 0 ||
		    sscanf(err + strlen(path), ":%d:%d: %n", &line, &col, &n) !=
		    2 || n == 0 || line < 1 || col < 1)
			fuzz_fail("not a place: %s", err);
		filter_log_close(one.log);
	} else {
		if (memchr(text, '\0', len) != NULL)
			fuzz_fail("nothing is said of a NUL");
		if (filter_log_close(one.log) == -1 || filter_log_read(path2,
		    note_entry, &two, err, sizeof(err)) == -1)
			fuzz_fail("what was written is not read: %s", err);
		if (one.all.len != two.all.len || (one.all.len > 0 &&
		    memcmp(one.all.data, two.all.data, one.all.len) != 0))
			fuzz_fail("written and read it is another log");
	}
	buf_free(&one.all);
	buf_free(&two.all);
	close(fd);
	close(fd2);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int versions[] = { 0, 4, 5, 6, 7 };
	const char *text = (const char *)data;

	if (size == 0)
		return 0;
	if (*text == '#')
		check_log(text, size);
	else
		check_line(text + 1, size - 1, *data & 1 ? 'D' : 'F',
		    versions[(*data >> 1) % nitems(versions)]);
	return 0;
}
