#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_init.h"

static char *
procfs_read(pid_t pid, const char *name, size_t *len)
{
	char	 path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return read_file(path, len, 1024 * 1024);
}

/* The number behind a key in /proc/PID/status. */
static uint64_t
status_number(const char *text, const char *key, int base)
{
	const char	*p;

	if ((p = strstr(text, key)) == NULL)
		return 0;
	return strtoull(p + strlen(key), NULL, base);
}

int
procfs_stat(pid_t pid, struct procstat *ps)
{
	char	*text, *p;
	int	 i;

	memset(ps, 0, sizeof(*ps));
	if ((text = procfs_read(pid, "status", NULL)) == NULL)
		return -1;
	ps->tgid = (pid_t)status_number(text, "\nTgid:", 10);
	ps->ppid = (pid_t)status_number(text, "\nPPid:", 10);
	ps->ignored = status_number(text, "\nSigIgn:", 16);
	ps->caught = status_number(text, "\nSigCgt:", 16);
	if ((p = strstr(text, "\nState:\t")) != NULL)
		ps->state = p[strlen("\nState:\t")];
	free(text);
	if ((text = procfs_read(pid, "stat", NULL)) == NULL)
		return -1;
	/* The start is field 22; the name, 2, may hold blanks and brackets. */
	p = strrchr(text, ')');
	for (i = 2; p != NULL && i < 22; i++)
		p = strchr(p + 1, ' ');
	if (p != NULL)
		ps->start = strtoull(p, NULL, 10);
	free(text);
	return 0;
}

/*
 * What ps(1) would show: a daemon writes its title over its arguments.  That
 * of a process which has ended is gone, but its command name is not.
 */
int
procfs_title(pid_t pid, char *title, size_t size)
{
	char	*text;
	size_t	 len, i;

	if ((text = procfs_read(pid, "cmdline", &len)) == NULL)
		return -1;
	while (len > 0 && (text[len - 1] == '\0' || text[len - 1] == ' '))
		len--;
	if (len == 0) {
		free(text);
		if ((text = procfs_read(pid, "comm", &len)) == NULL)
			return -1;
	}
	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = ' ';
	while (len > 0 && text[len - 1] == ' ')
		len--;
	snprintf(title, size, "%.*s", (int)len, text);
	free(text);
	return 0;
}
