/* Mail where the daemon leaves it: maildirs, mailboxes, its queue. */
#include <sys/stat.h>

#include <dirent.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account.h"

#define MAX_MAIL	(64 * 1024 * 1024)

/* The value of the first field of that name in the header, to be freed. */
static char *
field(const char *text, const char *name)
{
	size_t n = strlen(name);
	const char *s;

	for (s = text; *s != '\0' && *s != '\n'; s += strcspn(s, "\n"),
	    s += *s == '\n')
		if (strncasecmp(s, name, n) == 0) {
			s += n + strspn(s + n, " ");
			return xasprintf("%.*s", (int)strcspn(s, "\r\n"), s);
		}
	return xstrdup("");
}

/* "maildir alice": whose home the path is in. */
static char *
place_name(const char *how, const char *path)
{
	if (strncmp(path, "/home/", 6) == 0)
		path += 6;
	return xasprintf("%s %.*s", how, (int)strcspn(path, "/"), path);
}

static void
collect_maildir_file(struct run *run, const char *path)
{
	char *text, *place, *rcpt;
	size_t len;

	if ((text = read_file(path, &len, MAX_MAIL)) == NULL)
		return;
	place = place_name("maildir", path);
	rcpt = field(text, "Delivered-To:");
	account_arrive(run->account, place, rcpt, text, len);
	/* once accounted for it only takes room */
	if (len > 64 * 1024)
		unlink(path);
	free(rcpt);
	free(place);
	free(text);
}

static int
in_maildir(const FTSENT *e)
{
	const char *dir = e->fts_parent == NULL ? "" : e->fts_parent->fts_name;

	return strcmp(dir, "new") == 0 || strcmp(dir, "cur") == 0;
}

/* One message of an mbox: from its From_ line, ">From " back to "From ". */
static void
mbox_message(struct run *run, const char *place, const char *s, size_t len)
{
	struct buf b = { 0 };
	const char *e = s + len, *nl;
	char *rcpt;

	if ((nl = memchr(s, '\n', len)) == NULL)
		return;
	for (s = nl + 1; s < e; s = nl + 1) {
		if ((nl = memchr(s, '\n', (size_t)(e - s))) == NULL)
			nl = e - 1;
		if (strncmp(s, ">From ", 6) == 0)
			s++;
		buf_add(&b, s, (size_t)(nl - s) + 1);
	}
	/* the empty line that separates messages */
	if (b.len > 1 && b.data[b.len - 1] == '\n' && b.data[b.len - 2] == '\n')
		b.len--;
	if (b.len > 0) {
		b.data[b.len] = '\0';
		rcpt = field(b.data, "Delivered-To:");
		account_arrive(run->account, place, rcpt, b.data, b.len);
		free(rcpt);
	}
	buf_free(&b);
}

static void
collect_mbox(struct run *run, const char *user)
{
	char *path = xasprintf("/var/mail/%s", user), *text, *s, *next, *place;
	size_t len;

	if ((text = read_file(path, &len, MAX_MAIL)) != NULL) {
		place = xasprintf("mbox %s", user);
		for (s = text; s != NULL && *s != '\0'; s = next) {
			next = strstr(s, "\n\nFrom ");
			if (next != NULL)
				next += 2;
			mbox_message(run, place, s, next == NULL ?
			    len - (size_t)(s - text) : (size_t)(next - s));
		}
		free(place);
		free(text);
	}
	free(path);
}

void
collect_mail(struct run *run)
{
	char *const roots[] = { (char *)"/home", NULL };
	struct dirent *d;
	FTSENT *e;
	FTS *fts;
	DIR *dir;

	if ((fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL)) != NULL) {
		while ((e = fts_read(fts)) != NULL)
			if (e->fts_info == FTS_F && in_maildir(e))
				collect_maildir_file(run, e->fts_path);
		fts_close(fts);
	}
	if ((dir = opendir("/var/mail")) != NULL) {
		while ((d = readdir(dir)) != NULL)
			if (d->d_name[0] != '.')
				collect_mbox(run, d->d_name);
		closedir(dir);
	}
}

/* An envelope file is named by 16 hex digits and says "rcpt: user@domain". */
static void
queue_envelope(const char *path, void (*fn)(void *, const char *), void *arg)
{
	char *text, *s, *rcpt;
	size_t len;

	if (fn == NULL || (text = read_file(path, &len, 65536)) == NULL)
		return;
	if ((s = strstr(text, "\nrcpt: ")) != NULL) {
		rcpt = xasprintf("%.*s", (int)strcspn(s + 7, "\n"), s + 7);
		fn(arg, rcpt);
		free(rcpt);
	} else
		fn(arg, "");
	free(text);
}

int
collect_queue(struct run *run, void (*fn)(void *, const char *), void *arg)
{
	char *const roots[] = { xasprintf("%s/queue", run->target->spool),
	    NULL };
	FTSENT *e;
	FTS *fts;
	int n = 0;

	if ((fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL)) != NULL) {
		while ((e = fts_read(fts)) != NULL)
			if (e->fts_info == FTS_F && e->fts_namelen == 16 &&
			    strspn(e->fts_name, "0123456789abcdef") == 16) {
				queue_envelope(e->fts_path, fn, arg);
				n++;
			}
		fts_close(fts);
	}
	free(roots[0]);
	return n;
}
