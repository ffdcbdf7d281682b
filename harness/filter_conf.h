#ifndef SMTPDTEST_FILTER_CONF_H
#define SMTPDTEST_FILTER_CONF_H

#include <stddef.h>

/* What an smtpd.conf(5) says about the processes of its filters. */
struct conf_proc {
	char		*name;
	char		*command;	/* without quotes */
	/* where it stands, quotes and all; len 0: within a macro, with more */
	size_t		 off, len;
	char		*chroot;	/* or NULL */
	unsigned	 subsystems;	/* 1 smtp-in, 2 smtp-out */
	unsigned	 entries;	/* filters and chains it is in */
	unsigned	 others;	/* OTHERS_BEFORE, OTHERS_AFTER */
	char		*before;	/* the process right before it, NULL: none,
					   or not always the same */
	/* its listeners, as link-connect has them: "127.0.0.1:25", "[::1]:25",
	   "*:25" for all addresses of a port, "unix:" */
	char		**listener;
	size_t		 nlisteners;
};

struct filter_conf;

/* Never fails: what it does not understand it skips. */
struct filter_conf *filter_conf_parse(const char *);
/* Does it include files, which are not looked at? */
int	 filter_conf_includes(const struct filter_conf *);
/* The nth process, or NULL after the last; by its name. */
const struct conf_proc *filter_conf_proc(const struct filter_conf *, size_t n);
const struct conf_proc *filter_conf_find(const struct filter_conf *,
		    const char *name);
void	 filter_conf_free(struct filter_conf *);

#endif
