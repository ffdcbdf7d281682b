#include <sys/types.h>
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "real_filter.h"
#include "sandbox.h"
#include "util.h"

#define PREFIX		"filter-"

/* Others that ci/filters knows. */
static const char *const others[] = { "rspamd" };

int
real_filter_name(const char *word)
{
	size_t	 i;

	if (word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
		return 0;
	if (strncmp(word, PREFIX, strlen(PREFIX)) == 0)
		return word[strlen(PREFIX)] != '\0';
	for (i = 0; i < nitems(others); i++)
		if (strcmp(word, others[i]) == 0)
			return 1;
	return 0;
}

/* FILTER_GREYLIST for filter-greylist. */
static void
variable(const char *name, char *var, size_t len)
{
	size_t	 i;

	snprintf(var, len, "%s", name);
	for (i = 0; var[i] != '\0'; i++)
		var[i] = var[i] == '-' ? '_' :
		    (char)toupper((unsigned char)var[i]);
}

static int
is_program(const char *path)
{
	struct stat	 st;

	return path[0] == '/' && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    access(path, R_OK | X_OK) == 0;
}

int
real_filter_find(const char *dir, const char *name, struct real_filter *rf,
    char *err, size_t errlen)
{
	char		 var[NAME_MAX], ready[PATH_MAX];
	const char	*path;

	memset(rf, 0, sizeof(*rf));
	variable(name, var, sizeof(var));
	if ((path = getenv(var)) != NULL && *path != '\0') {
		if (!is_program(path)) {
			snprintf(err, errlen, "%s=%s in the environment: "
			    "expected the absolute path of a program", var,
			    path);
			return -1;
		}
		rf->program = xstrdup(path);
		return 1;
	}
	if (dir != NULL) {
		snprintf(ready, sizeof(ready), "%s/%s/filter", dir, name);
		if (access(ready, R_OK) == 0) {
			rf->root = xasprintf("%s/%s/root", dir, name);
			return 1;
		}
	}
	snprintf(err, errlen, "needs %s: ci/filters has not got it, and %s "
	    "names none", name, var);
	return 0;
}

void
real_filter_free(struct real_filter *rf)
{
	free(rf->root);
	free(rf->program);
	memset(rf, 0, sizeof(*rf));
}

int
real_filter_install(const char *name, const char *data, size_t len)
{
	char	*path, *to, *slash;
	int	 fd, rv;

	path = xasprintf(FILTER_LIBEXEC "/%s", name);
	to = sandbox_usr_file(path);
	free(path);
	for (slash = strchr(to + 1, '/'); slash != NULL;
	    slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(to, 0755);
		*slash = '/';
	}
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	free(to);
	if (fd == -1)
		return -1;
	rv = write_all(fd, data, len);
	/* whatever the umask is */
	if (rv == 0)
		rv = fchmod(fd, 0755);
	close(fd);
	return rv;
}
