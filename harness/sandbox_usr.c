#include <sys/types.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox.h"
#include "sandbox_root.h"
#include "util.h"

/*
 * /usr is the target's usr laid over the host's, read-only.  Above both lies a
 * layer of ours for programs that must be set-id there: inside, their owner
 * may be a user whom the host does not know.
 */

#define LAYERS_MAX	16
#define OWN		".usr/own"	/* our layer's root, in the sandbox */

struct layers {
	char	*dir[LAYERS_MAX];	/* /some/root/usr, the first wins */
	size_t	 n;
};

static void
layer_add(struct layers *l, char *dir)
{
	if (l->n < LAYERS_MAX)
		l->dir[l->n++] = dir;
	else
		free(dir);
}

static void
layers_free(struct layers *l)
{
	while (l->n > 0)
		free(l->dir[--l->n]);
}

/* In which layer is a path below /usr? */
static char *
layer_find(const struct layers *l, const char *path)
{
	char	*file;
	size_t	 i;

	for (i = 0; i < l->n; i++) {
		file = xasprintf("%s%s", l->dir[i], path + strlen("/usr"));
		if (access(file, F_OK) == 0)
			return file;
		free(file);
	}
	return NULL;
}

static int
user_id(const struct sandbox_spec *spec, const char *name)
{
	const struct sandbox_user	*u;

	for (u = spec->users; u < spec->users + spec->nusers; u++)
		if (strcmp(u->name, name) == 0)
			return (int)u->uid;
	return strcmp(name, "root") == 0 ? 0 : -1;
}

/* One word, PATH:OWNER:GROUP:MODE.  A program that is not there is none. */
static int
setid_one(const struct sandbox_spec *spec, const struct layers *l, char *word,
    const struct why *w)
{
	const char	*path = strsep(&word, ":");
	const char	*owner = strsep(&word, ":");
	const char	*group = strsep(&word, ":");
	char		 to[PATH_MAX], *from;
	int		 uid, gid, rv;

	if (word == NULL || strncmp(path, "/usr/", 5) != 0 ||
	    (uid = user_id(spec, owner)) == -1 ||
	    (gid = user_id(spec, group)) == -1)
		return sb_fail(w, "setid of %s: not "
		    "/usr/...:OWNER:GROUP:MODE, or no such user in the "
		    "sandbox", path);
	if ((from = layer_find(l, path)) == NULL)
		return 0;
	snprintf(to, sizeof(to), OWN "%s", path);
	rv = root_above(to, w);
	if (rv == 0)
		rv = root_copy(from, to, 0755, w);
	free(from);
	if (rv == 0 && (chown(to, (uid_t)uid, (gid_t)gid) == -1 ||
	    chmod(to, (mode_t)strtoul(word, NULL, 8)) == -1))
		rv = sb_fail(w, "%s: %s", path, strerror(errno));
	return rv;
}

static int
setid_layer(const struct sandbox_spec *spec, const struct layers *l,
    const struct why *w)
{
	char	*words, *p, *word;
	int	 rv;

	words = p = xstrdup(spec->setid);
	rv = root_mkdirs(OWN "/usr", 0755, w);
	while (rv == 0 && (word = strsep(&p, " ")) != NULL)
		if (*word != '\0')
			rv = setid_one(spec, l, word, w);
	free(words);
	return rv;
}

/* ":" and "," separate in mount options. */
static void
add_escaped(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		if (strchr(":,\\", *s) != NULL)
			buf_addstr(b, "\\");
		buf_add(b, s, 1);
	}
}

static int
usr_overlay(const struct layers *l)
{
	struct buf	 b = { 0 };
	size_t		 i;
	int		 rv;

	buf_addstr(&b, "lowerdir=");
	for (i = 0; i < l->n; i++) {
		if (i > 0)
			buf_addstr(&b, ":");
		add_escaped(&b, l->dir[i]);
	}
	rv = mount("usr", "usr", "overlay", MS_RDONLY | MS_NODEV, b.data);
	buf_free(&b);
	return rv;
}

static int	usr_merge(const struct layers *, const char *,
		    const struct why *);

/* Which layer has a name first?  Sets shared when it is a directory of more. */
static size_t
merge_layer(const struct layers *l, const char *path, int *shared)
{
	struct stat	 st;
	size_t		 i, first = l->n;
	char		*file;
	int		 found;

	*shared = 0;
	for (i = 0; i < l->n; i++) {
		file = xasprintf(".usr/%zu/%s", i, path);
		found = lstat(file, &st) == 0;
		free(file);
		if (!found)
			continue;
		if (first == l->n)
			first = i;
		else if (S_ISDIR(st.st_mode))
			*shared = 1;
		if (!S_ISDIR(st.st_mode))
			break;
	}
	return first;
}

static int
merge_name(const struct layers *l, const char *path, const struct why *w)
{
	struct stat	 st;
	size_t		 first;
	char		*file;
	int		 shared, rv = 0;

	if (lstat(path, &st) == 0)
		return 0;			/* an earlier layer had it */
	first = merge_layer(l, path + strlen("usr/"), &shared);
	if (shared)
		return usr_merge(l, path, w);
	file = xasprintf("/.usr/%zu/%s", first, path + strlen("usr/"));
	if (symlink(file, path) == -1)
		rv = sb_fail(w, "cannot make /%s: %s", path, strerror(errno));
	free(file);
	return rv;
}

/*
 * Where there is no overlay to be had, symlinks do: a directory is made when
 * several layers have it, all else is a link to the first layer that has it.
 */
static int
usr_merge(const struct layers *l, const char *path, const struct why *w)
{
	struct dirent	*de;
	size_t		 i;
	char		*name;
	DIR		*d;
	int		 rv;

	rv = root_mkdirs(path, 0755, w);
	for (i = 0; rv == 0 && i < l->n; i++) {
		name = xasprintf(".usr/%zu%s", i, path + strlen("usr"));
		d = opendir(name);
		free(name);
		if (d == NULL)
			continue;
		while (rv == 0 && (de = readdir(d)) != NULL) {
			if (strcmp(de->d_name, ".") == 0 ||
			    strcmp(de->d_name, "..") == 0)
				continue;
			name = xasprintf("%s/%s", path, de->d_name);
			rv = merge_name(l, name, w);
			free(name);
		}
		closedir(d);
	}
	return rv;
}

static int
usr_links(const struct layers *l, const struct why *w)
{
	char	 path[32];
	size_t	 i;

	for (i = 0; i < l->n; i++) {
		snprintf(path, sizeof(path), ".usr/%zu", i);
		if (root_bind(l->dir[i], path, MOUNT_ATTR_RDONLY |
		    MOUNT_ATTR_NODEV, w) == -1)
			return -1;
	}
	return usr_merge(l, "usr", w);
}

static int
usr_mount(const struct layers *l, const struct why *w)
{
	if (root_mkdirs("usr", 0755, w) == -1)
		return -1;
	if (l->n == 1)
		return root_bind(l->dir[0], "usr", MOUNT_ATTR_RDONLY |
		    MOUNT_ATTR_NODEV, w);
	if (usr_overlay(l) == 0)
		return 0;
	return usr_links(l, w);
}

int
root_usr(const struct sandbox_spec *spec, const struct why *w)
{
	struct layers	 found = { .n = 0 }, all = { .n = 0 };
	char		 here[PATH_MAX];
	size_t		 i;
	int		 rv = 0;

	for (i = 0; spec->lower != NULL && spec->lower[i] != NULL; i++)
		layer_add(&found, xasprintf("%s/usr", spec->lower[i]));
	layer_add(&found, xstrdup("/usr"));
	if (spec->setid != NULL) {
		rv = setid_layer(spec, &found, w);
		if (getcwd(here, sizeof(here)) != NULL)
			layer_add(&all, xasprintf("%s/" OWN "/usr", here));
	}
	for (i = 0; i < found.n; i++)
		layer_add(&all, xstrdup(found.dir[i]));
	if (rv == 0)
		rv = usr_mount(&all, w);
	layers_free(&found);
	layers_free(&all);
	return rv;
}

/*
 * An overlay shows what is new in our own layer; of symlinks the directories
 * that the target has as well are writable.
 */
char *
sandbox_usr_file(const char *path)
{
	if (access("/" OWN "/usr", F_OK) == -1 || access("/.usr/0", F_OK) == 0)
		return xstrdup(path);
	return xasprintf("/" OWN "%s", path);
}
