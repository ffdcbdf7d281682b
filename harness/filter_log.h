#ifndef SMTPDTEST_FILTER_LOG_H
#define SMTPDTEST_FILTER_LOG_H

#include <stddef.h>
#include <stdint.h>

/*
 * What goes between a daemon and a filter, as a text file.  The first line is
 * "# smtpdtest-tap 1", then each line is
 *	USEC D LINE	from the daemon, LF taken off
 *	USEC F LINE	from the filter
 *	USEC E LINE	from the filter's stderr
 *	USEC D~ LINE	(F~, E~) bytes that no LF follows
 *	USEC - NOTE	"eof D", "exit 0", "kill 11", "fault drop F", ...
 * USEC counts from the start; of LINE a backslash and what is not printable
 * ASCII is written \xHH.
 */
struct filter_log;

/* NULL with errno.  The file grows by whole lines. */
struct filter_log *filter_log_open(const char *path);
/* A write that failed sticks: -1 with errno. */
int	 filter_log_close(struct filter_log *);
void	 filter_log_line(struct filter_log *, uint64_t usec, char dir,
	    const char *, size_t, int terminated);
void	 filter_log_note(struct filter_log *, uint64_t usec, const char *fmt,
	    ...) __attribute__((format(printf, 3, 4)));

struct filter_entry {
	uint64_t	 usec;
	char		 dir;		/* D F E - */
	const char	*text;		/* ends with a NUL that len excludes */
	size_t		 len;
	int		 terminated;	/* a LF followed */
	int		 line;		/* in the file */
};

/*
 * Hand every entry to fn(arg, entry) until it returns other than 0, which is
 * returned.  -1 with "FILE:LINE:COLUMN: what was expected" (or why the file
 * cannot be read) in err.
 */
int	 filter_log_read(const char *path,
	    int (*fn)(void *, const struct filter_entry *), void *arg,
	    char *err, size_t errlen);

#endif
