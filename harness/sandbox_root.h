#ifndef SMTPDTEST_SANDBOX_ROOT_H
#define SMTPDTEST_SANDBOX_ROOT_H

#include "sandbox_priv.h"

/*
 * What building the root is made of.  Paths inside are relative to the current
 * directory, which is the new root; those of the host are absolute.
 */

int	 root_mkdirs(const char *path, mode_t, const struct why *);
int	 root_above(const char *path, const struct why *);
int	 root_bind(const char *host, const char *path, uint64_t attr,
	    const struct why *);
/* Mode 0: 0600 for what holds a private key, 0644 for the rest. */
int	 root_copy(const char *from, const char *to, mode_t,
	    const struct why *);

/* sandbox_usr.c */
int	 root_usr(const struct sandbox_spec *, const struct why *);

#endif
