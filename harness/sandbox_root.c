#include <sys/types.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox_root.h"
#include "util.h"

/*
 * The sandbox's root directory.  It is one tmpfs, built with itself as the
 * current directory: relative paths here are the sandbox's, absolute ones the
 * host's.
 */

#define NOBODY		65534
#define ROOT_BYTES_MAX	(2UL << 30)

struct dir {
	const char	*path;
	mode_t		 mode;
};

static const struct dir dirs[] = {
	{ "etc",		0755 },
	{ "etc/pam.d",		0755 },
	{ "etc/smtpd",		0755 },
	{ "etc/ssl",		0755 },
	{ "home",		0755 },
	{ "mnt",		0755 },
	{ "proc",		0755 },
	{ "root",		0700 },
	{ "run",		0755 },
	{ "run/lock",		01777 },
	{ "tmp",		01777 },
	{ "var",		0755 },
	{ "var/empty",		0755 },
	{ "var/lib",		0755 },
	{ "var/log",		0755 },
	{ "var/mail",		0755 },
	{ "var/spool",		0755 },
	{ "var/tmp",		01777 },
	{ "dev",		0755 },
	{ "dev/pts",		0755 },
	{ "dev/shm",		01777 },
};

struct link {
	const char	*path;
	const char	*to;
};

static const struct link links[] = {
	{ "var/run",		"../run" },
	{ "var/lock",		"../run/lock" },
	{ "var/spool/mail",	"../mail" },
	{ "etc/mtab",		"../proc/self/mounts" },
	{ "dev/fd",		"/proc/self/fd" },
	{ "dev/stdin",		"/proc/self/fd/0" },
	{ "dev/stdout",		"/proc/self/fd/1" },
	{ "dev/stderr",		"/proc/self/fd/2" },
	{ "dev/ptmx",		"pts/ptmx" },
};

/* Device nodes cannot be made in a user namespace, but borrowed. */
static const char *const devices[] = {
	"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
	"/dev/tty",
};

struct text {
	const char	*path;
	const char	*text;
};

static const struct text texts[] = {
	{ "etc/hosts",
	    "127.0.0.1\tlocalhost\n"
	    "::1\t\tlocalhost ip6-localhost ip6-loopback\n" },
	{ "etc/resolv.conf",
	    "nameserver 127.0.0.1\n" },
	{ "etc/nsswitch.conf",
	    "passwd:\t\tfiles\n"
	    "group:\t\tfiles\n"
	    "shadow:\t\tfiles\n"
	    "hosts:\t\tfiles dns\n"
	    "networks:\tfiles\n"
	    "protocols:\tfiles\n"
	    "services:\tfiles\n" },
	{ "etc/shells",
	    "/bin/sh\n"
	    "/bin/bash\n" },
	{ "etc/pam.d/su",
	    "auth\tsufficient\tpam_rootok.so\n"
	    "auth\trequired\tpam_unix.so\n"
	    "account\trequired\tpam_permit.so\n"
	    "session\trequired\tpam_permit.so\n" },
	{ "etc/pam.d/other",		/* distributions build smtpd with PAM */
	    "auth\trequired\tpam_unix.so\n"
	    "account\trequired\tpam_unix.so\n"
	    "password\trequired\tpam_deny.so\n"
	    "session\trequired\tpam_permit.so\n" },
};

/* The little of the host's /etc that programs in /usr cannot do without. */
static const char *const shared[] = {
	"/etc/alternatives", "/etc/crypto-policies", "/etc/ld.so.cache",
	"/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
	"/etc/mime.types", "/etc/perl", "/etc/protocols", "/etc/services",
	"/etc/ssl/certs", "/etc/ssl/openssl.cnf",
};

/* Top-level names that may lead into /usr, or be directories themselves. */
static const char *const tops[] = {
	"bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32",
};

/* Directories of the host that can be covered while the root is built. */
static const char *const corners[] = {
	"/mnt", "/media", "/srv", "/opt", "/home", "/boot", "/tmp",
};

int
root_mkdirs(const char *path, mode_t mode, const struct why *w)
{
	char	 part[PATH_MAX];
	size_t	 len = 0;

	do {
		len += strspn(path + len, "/");
		len += strcspn(path + len, "/");
		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		if (mkdir(part, path[len] == '\0' ? mode : 0755) == -1 &&
		    errno != EEXIST)
			return sb_fail(w, "cannot make /%s: %s", part,
			    strerror(errno));
	} while (path[len] != '\0');
	return 0;
}

/* Make the directories above a path. */
int
root_above(const char *path, const struct why *w)
{
	char	 up[PATH_MAX], *slash;

	snprintf(up, sizeof(up), "%s", path);
	if ((slash = strrchr(up, '/')) == NULL || slash == up)
		return 0;
	*slash = '\0';
	return root_mkdirs(up, 0755, w);
}

static int
put(const char *path, mode_t mode, gid_t gid, const char *text, size_t len,
    const struct why *w)
{
	int	 fd, rv;

	if ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    mode)) == -1)
		return sb_fail(w, "cannot make /%s: %s", path, strerror(errno));
	rv = write_all(fd, text, len);
	if (rv == 0 && gid != 0)
		rv = fchown(fd, 0, gid);
	close(fd);
	if (rv == -1)
		return sb_fail(w, "cannot write /%s: %s", path,
		    strerror(errno));
	return 0;
}

int
root_copy(const char *from, const char *to, mode_t mode, const struct why *w)
{
	char	*text;
	size_t	 len;
	int	 rv;

	if ((text = read_file(from, &len, 256 << 20)) == NULL)
		return sb_fail(w, "cannot read %s: %s", from, strerror(errno));
	if (mode == 0)
		mode = memmem(text, len, "PRIVATE KEY-----", 16) ? 0600 : 0644;
	rv = put(to, mode, 0, text, len, w);
	free(text);
	return rv;
}

/* What a mount covers must be there, and of the same kind. */
static int
bind_target(const char *host, const char *path, const struct why *w)
{
	struct stat	 st;
	int		 fd;

	if (stat(host, &st) == -1)
		return sb_fail(w, "%s: %s", host, strerror(errno));
	if (access(path, F_OK) == 0)
		return 0;
	if (S_ISDIR(st.st_mode))
		return root_mkdirs(path, 0755, w);
	if (root_above(path, w) == -1)
		return -1;
	if ((fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC,
	    0644)) == -1)
		return sb_fail(w, "cannot make /%s: %s", path, strerror(errno));
	close(fd);
	return 0;
}

/* Recursive, since a user namespace may not look below what is mounted. */
int
root_bind(const char *host, const char *path, uint64_t attr,
    const struct why *w)
{
	struct mount_attr	 ma = { .attr_set = attr };

	if (bind_target(host, path, w) == -1)
		return -1;
	if (mount(host, path, NULL, MS_BIND | MS_REC, NULL) == -1)
		return sb_fail(w, "cannot show %s in the sandbox: %s", host,
		    strerror(errno));
	if (attr != 0 && mount_setattr(AT_FDCWD, path, AT_RECURSIVE, &ma,
	    sizeof(ma)) == -1)
		return sb_fail(w, "cannot protect %s in the sandbox: %s", host,
		    strerror(errno));
	return 0;
}

static int
link_make(const char *to, const char *path, const struct why *w)
{
	if (symlink(to, path) == -1)
		return sb_fail(w, "cannot make /%s: %s", path, strerror(errno));
	return 0;
}

/* A link stays one, a file becomes a copy, a directory is shown. */
static int
share(const char *host, const struct why *w)
{
	const char	*path = host + 1;
	char		 to[PATH_MAX];
	struct stat	 st;
	ssize_t		 n;

	if (lstat(host, &st) == -1)
		return 0;
	if (S_ISREG(st.st_mode))
		return root_copy(host, path, 0644, w);
	if (S_ISLNK(st.st_mode)) {
		if ((n = readlink(host, to, sizeof(to) - 1)) == -1)
			return sb_fail(w, "%s: %s", host, strerror(errno));
		to[n] = '\0';
		return link_make(to, path, w);
	}
	return root_bind(host, path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
	    MOUNT_ATTR_NODEV, w);
}

static int
is_below(const char *path, const char *dir)
{
	size_t	 len = strlen(dir);

	return path != NULL && strncmp(path, dir, len) == 0 &&
	    (path[len] == '/' || path[len] == '\0');
}

/* Would covering this directory hide something the sandbox needs? */
static int
is_needed(const char *dir, const struct sandbox_spec *spec)
{
	size_t	 i;

	for (i = 0; spec->lower != NULL && spec->lower[i] != NULL; i++)
		if (is_below(spec->lower[i], dir))
			return 1;
	for (i = 0; i < spec->nbinds; i++)
		if (is_below(spec->binds[i].host, dir))
			return 1;
	return is_below(spec->certs, dir) || is_below(spec->spool, dir);
}

/*
 * An empty root over some directory of the host: nobody but us sees it there,
 * and no directory has to be made for it, hence none can be left behind.
 */
static int
root_mount(const struct sandbox_spec *spec, const struct why *w)
{
	unsigned long	 size;
	struct stat	 st;
	char		 data[64];
	const char	*dir;
	size_t		 i;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
		return sb_fail(w, "may not mount, though in namespaces of its "
		    "own (%s): start the container with --privileged, or "
		    "with --security-opt apparmor=unconfined",
		    strerror(errno));
	size = (unsigned long)sysconf(_SC_PHYS_PAGES) / 2 *
	    (unsigned long)sysconf(_SC_PAGESIZE);
	snprintf(data, sizeof(data), "mode=0755,nr_inodes=1m,size=%lu",
	    size < ROOT_BYTES_MAX ? size : ROOT_BYTES_MAX);
	for (i = 0; i < nitems(corners); i++) {
		dir = corners[i];
		if (stat(dir, &st) == -1 || !S_ISDIR(st.st_mode) ||
		    is_needed(dir, spec))
			continue;
		if (mount("sandbox", dir, "tmpfs", MS_NOSUID | MS_NODEV,
		    data) == -1)
			return sb_fail(w, "cannot mount a tmpfs: %s",
			    strerror(errno));
		if (chdir(dir) == -1)
			return sb_fail(w, "%s: %s", dir, strerror(errno));
		return 0;
	}
	return sb_fail(w, "there is no directory to build the sandbox on, such "
	    "as /mnt");
}

static int
root_frame(const struct why *w)
{
	size_t	 i;

	for (i = 0; i < nitems(dirs); i++)
		if (root_mkdirs(dirs[i].path, dirs[i].mode, w) == -1)
			return -1;
	for (i = 0; i < nitems(links); i++)
		if (link_make(links[i].to, links[i].path, w) == -1)
			return -1;
	for (i = 0; i < nitems(devices); i++)
		if (root_bind(devices[i], devices[i] + 1, 0, w) == -1)
			return -1;
	if (mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
	    "newinstance,ptmxmode=0666,mode=0620,gid=5") == -1)
		return sb_fail(w, "cannot mount /dev/pts: %s", strerror(errno));
	for (i = 0; i < nitems(texts); i++)
		if (put(texts[i].path, 0644, 0, texts[i].text,
		    strlen(texts[i].text), w) == -1)
			return -1;
	return 0;
}

static int
root_shared(const struct why *w)
{
	char	 host[32];
	size_t	 i;

	for (i = 0; i < nitems(tops); i++) {
		snprintf(host, sizeof(host), "/%s", tops[i]);
		if (share(host, w) == -1)
			return -1;
	}
	for (i = 0; i < nitems(shared); i++)
		if (share(shared[i], w) == -1)
			return -1;
	return 0;
}

static const char *
user_home(const struct sandbox_user *u, char *home, size_t len)
{
	if (u->home != NULL)
		return u->home;
	snprintf(home, len, "/home/%s", u->name);
	return home;
}

/* passwd, shadow and group. */
static int
root_accounts(const struct sandbox_spec *spec, const struct why *w)
{
	struct buf			 pw = { 0 }, sh = { 0 }, gr = { 0 };
	const struct sandbox_user	*u;
	char				 home[PATH_MAX];
	int				 rv;

	buf_addstr(&pw, "root:x:0:0:root:/root:/bin/sh\n"
	    "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
	    "nobody:x:65534:65534:nobody:/var/empty:/usr/sbin/nologin\n");
	buf_addstr(&sh, "root:*:19000:0:99999:7:::\n"
	    "daemon:*:19000:0:99999:7:::\n"
	    "nobody:*:19000:0:99999:7:::\n");
	buf_addstr(&gr, "root:x:0:\ndaemon:x:1:\ntty:x:5:\nmail:x:8:\n"
	    "shadow:x:42:\nusers:x:100:\nnogroup:x:65534:\n");
	for (u = spec->users; u < spec->users + spec->nusers; u++) {
		buf_addf(&pw, "%s:x:%u:%u:%s:%s:/bin/sh\n", u->name, u->uid,
		    u->uid, u->name, user_home(u, home, sizeof(home)));
		buf_addf(&sh, "%s:%s:19000:0:99999:7:::\n", u->name,
		    u->password != NULL ? u->password : "*");
		buf_addf(&gr, "%s:x:%u:\n", u->name, u->uid);
	}
	rv = put("etc/passwd", 0644, 0, pw.data, pw.len, w);
	if (rv == 0)
		rv = put("etc/shadow", 0640, 42, sh.data, sh.len, w);
	if (rv == 0)
		rv = put("etc/group", 0644, 0, gr.data, gr.len, w);
	buf_free(&pw);
	buf_free(&sh);
	buf_free(&gr);
	return rv;
}

/* A home that is something else's already, like /var/empty, stays that. */
static int
root_homes(const struct sandbox_spec *spec, const struct why *w)
{
	const struct sandbox_user	*u;
	char				 home[PATH_MAX];
	const char			*path;

	for (u = spec->users; u < spec->users + spec->nusers; u++) {
		path = user_home(u, home, sizeof(home)) + 1;
		if (access(path, F_OK) == 0)
			continue;
		if (root_mkdirs(path, 0755, w) == -1)
			return -1;
		if (chown(path, u->uid, u->uid) == -1)
			return sb_fail(w, "cannot give /%s to %s: %s", path,
			    u->name, strerror(errno));
	}
	return 0;
}

/*
 * Copies, as the daemon insists on the owner and mode of a key.  One that we
 * may not read, such as the authority's made by root, is for others.
 */
static int
root_certs(const char *dir, const struct why *w)
{
	char		 from[PATH_MAX], to[PATH_MAX];
	struct dirent	*de;
	struct stat	 st;
	DIR		*d;
	int		 rv = 0;

	if (root_mkdirs("etc/smtpd/certs", 0755, w) == -1)
		return -1;
	if ((d = opendir(dir)) == NULL)
		return sb_fail(w, "%s: %s", dir, strerror(errno));
	while (rv == 0 && (de = readdir(d)) != NULL) {
		snprintf(from, sizeof(from), "%s/%s", dir, de->d_name);
		snprintf(to, sizeof(to), "etc/smtpd/certs/%s", de->d_name);
		if (stat(from, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(from, R_OK) == 0)
			rv = root_copy(from, to, 0, w);
	}
	closedir(d);
	return rv;
}

static int
root_extras(const struct sandbox_spec *spec, const struct why *w)
{
	size_t	 i;

	if (spec->hostname != NULL && put("etc/hostname", 0644, 0,
	    spec->hostname, strlen(spec->hostname), w) == -1)
		return -1;
	if (spec->chroot != NULL &&
	    root_mkdirs(spec->chroot + 1, 0755, w) == -1)
		return -1;
	if (spec->certs != NULL && root_certs(spec->certs, w) == -1)
		return -1;
	if (spec->spool != NULL && root_bind(spec->spool, "var/spool/smtpd",
	    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, w) == -1)
		return -1;
	for (i = 0; i < spec->nbinds; i++)
		if (root_bind(spec->binds[i].host, spec->binds[i].inside + 1,
		    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
		    (spec->binds[i].rw ? 0 : MOUNT_ATTR_RDONLY), w) == -1)
			return -1;
	return 0;
}

int
root_build(const struct sandbox_spec *spec, const struct why *w)
{
	mode_t	 mask = umask(0);
	int	 rv = -1;

	if (root_mount(spec, w) == 0 && root_frame(w) == 0 &&
	    root_usr(spec, w) == 0 && root_shared(w) == 0 &&
	    root_accounts(spec, w) == 0 && root_extras(spec, w) == 0 &&
	    root_homes(spec, w) == 0)
		rv = 0;
	umask(mask);
	return rv;
}

/*
 * /proc of the pid namespace.  Root inside may be root of the machine, whose
 * switches are then kept out of reach.
 */
int
root_proc(const struct why *w)
{
	static const char *const switches[] = {
		"proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus"
	};
	size_t	 i;

	if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
	    NULL) == -1)
		return sb_fail(w, "cannot mount /proc: %s%s", strerror(errno),
		    errno == EPERM ? ": start the container with "
		    "--security-opt systempaths=unconfined" : "");
	for (i = 0; i < nitems(switches); i++) {
		if (access(switches[i], F_OK) == 0 && root_bind(switches[i],
		    switches[i], MOUNT_ATTR_RDONLY, w) == -1)
			return -1;
	}
	return 0;
}

/*
 * Stacks the old root on the new one, from where it is then taken off.  The
 * kernel moves every process of this mount namespace along, so init does it
 * for the runner as well.
 */
int
root_pivot(const struct why *w)
{
	if (syscall(SYS_pivot_root, ".", ".") == -1)
		return sb_fail(w, "cannot pivot into the sandbox (not on a "
		    "ramdisk, nor in a chroot): %s", strerror(errno));
	if (umount2(".", MNT_DETACH) == -1 || chdir("/") == -1)
		return sb_fail(w, "cannot leave the host's root: %s",
		    strerror(errno));
	return 0;
}

int
root_bare(const struct why *w)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
		return sb_fail(w, "cannot have mounts of our own: %s",
		    strerror(errno));
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
	    NULL) == -1)
		return sb_fail(w, "cannot mount /proc: %s", strerror(errno));
	return 0;
}
