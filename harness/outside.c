#include <sys/socket.h>
#include <netinet/in.h>

#include <ctype.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addr.h"
#include "outside.h"

#define ANSWER_MS	10000
#define GOING_MS	500	/* whoever dies has others to end as well */
#define PROC_MAX	(1 << 20)

static int
dial(const char *address)
{
	struct sockaddr_storage	 ss;
	socklen_t		 len;
	int			 fd;

	if (addr_parse(address, 25, &ss, &len) == -1 || (fd = socket(
	    ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&ss, len) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* --- whose it is: proc(5) ------------------------------------------------------ */

/* The socket that listens on this port, by its inode; 0: none. */
static unsigned long
inode_of(const char *path, int port)
{
	char		*text, *line, *rest;
	unsigned int	 n, state;
	unsigned long	 inode, found = 0;

	if ((text = read_file(path, NULL, PROC_MAX)) == NULL)
		return 0;
	for (rest = text; (line = strsep(&rest, "\n")) != NULL && found == 0;)
		if (sscanf(line, " %*u: %*32[0-9A-F]:%x %*32[0-9A-F]:%*x %x "
		    "%*8[0-9A-F]:%*8[0-9A-F] %*x:%*x %*x %*u %*u %lu", &n,
		    &state, &inode) == 3 && state == 0x0a && (int)n == port)
			found = inode;
	free(text);
	return found;
}

static int
has_socket(const char *pid, unsigned long inode)
{
	char		 path[300], want[64], link[64];
	const struct dirent *e;
	DIR		*dir;
	ssize_t		 n;
	int		 has = 0;

	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	if ((dir = opendir(path)) == NULL)
		return 0;
	while (!has && (e = readdir(dir)) != NULL)
		if ((n = readlinkat(dirfd(dir), e->d_name, link,
		    sizeof(link) - 1)) > 0) {
			link[n] = '\0';
			has = strcmp(link, want) == 0;
		}
	closedir(dir);
	return has;
}

/* When it was started, in ticks since the machine was; 0: it is not there. */
static uint64_t
start_of(pid_t pid)
{
	char		 path[64], *text, *p, state = 'Z';
	unsigned long long t = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if ((text = read_file(path, NULL, 4096)) == NULL)
		return 0;
	/* field 3 and, 19 further on, field 22; a name may hold anything */
	if ((p = strrchr(text, ')')) == NULL || sscanf(p + 1, " %c %*d %*d %*d "
	    "%*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
	    &state, &t) != 2 || state == 'Z' || state == 'X')
		t = 0;
	free(text);
	return t;
}

/* Of those who hold the socket the one that was first. */
static void
find_process(struct outside *o, unsigned long inode)
{
	const struct dirent *e;
	uint64_t	 t;
	DIR		*dir;

	if ((dir = opendir("/proc")) == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    !has_socket(e->d_name, inode) ||
		    (t = start_of((pid_t)atoi(e->d_name))) == 0)
			continue;
		if (o->pid == 0 || t < o->started) {
			o->pid = (pid_t)atoi(e->d_name);
			o->started = t;
		}
	}
	closedir(dir);
}

int
outside_find(struct outside *o, const char *address)
{
	struct sockaddr_storage	 ss;
	socklen_t		 len;
	unsigned long		 inode;
	int			 fd, port;

	memset(o, 0, sizeof(*o));
	o->address = address;
	if ((fd = dial(address)) == -1)
		return -1;
	close(fd);
	if (addr_parse(address, 25, &ss, &len) == -1)
		return -1;
	port = addr_port(&ss);
	if ((inode = inode_of("/proc/net/tcp", port)) != 0 ||
	    (inode = inode_of("/proc/net/tcp6", port)) != 0)
		find_process(o, inode);
	return 0;
}

/* --- how it is ----------------------------------------------------------------- */

/* NULL, or what it did instead of an answer. */
static const char *
converse(const char *address)
{
	struct pollfd	 pfd = { .events = POLLIN };
	uint64_t	 end = now_us() + ANSWER_MS * 1000;
	int		 lines = 0;
	char		 c;

	if ((pfd.fd = dial(address)) == -1)
		return "connection refused";
	while (lines < 2 && now_us() < end) {
		if (poll(&pfd, 1, ANSWER_MS) <= 0)
			continue;
		if (recv(pfd.fd, &c, 1, 0) <= 0)
			break;
		if (c == '\n' && ++lines == 1 &&
		    send(pfd.fd, "QUIT\r\n", 6, MSG_NOSIGNAL) == -1)
			break;
	}
	close(pfd.fd);
	return lines == 2 ? NULL : lines == 0 ? "connection accepted, no "
	    "greeting" : "no reply to QUIT";
}

int
outside_lives(const struct outside *o, struct buf *b)
{
	const char	*how = converse(o->address);
	int		 gone;

	if (how != NULL) {
		poll(NULL, 0, GOING_MS);
		how = converse(o->address);
	}
	gone = o->pid != 0 && start_of(o->pid) != o->started;
	if (how == NULL && !gone)
		return 1;
	buf_addstr(b, how == NULL ? "it was started again" : how);
	if (gone)
		buf_addf(b, ", process %d gone", (int)o->pid);
	return 0;
}
