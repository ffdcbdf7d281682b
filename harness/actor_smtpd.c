/* smtpd: the daemon under test; the block is its smtpd.conf(5). */
#include <sys/ioctl.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "addr.h"
#include "filter_run.h"
#include "oracle_filter.h"
#include "parser.h"
#include "plugin.h"
#include "regex.h"
#include "relay.h"
#include "run.h"
#include "sandbox.h"

#define CONF		"/etc/smtpd.conf"
#define ACTORS		"/etc/smtpd/actors.conf"
#define READY_TIMEOUT	120000000	/* us */
#define FILTER_TIME	50000
#define SLOW_LOOK	100000
#define STEADY_LOOK	20000

static void
smtpd_check(struct parser *p, struct role *r)
{
	struct role *o;

	STAILQ_FOREACH(o, &p->sc->roles, entry)
		if (o->kind == r->kind)
			parse_fail(p, &r->pos, "a second smtpd: expected one "
			    "(first on line %d)", o->pos.line);
}

static void
log_line(struct run *run, const char *line, size_t len)
{
	char *copy = xcalloc(1, len + 1);
	size_t i;

	memcpy(copy, line, len);
	run_trace(run, NULL, "smtpd", "!!", line, len);
	json_array_append_new(run->daemon.log, json_stringn_nocheck(line, len));
	for (i = 0; oracles[i] != NULL; i++)
		if (oracles[i]->log != NULL)
			oracles[i]->log(run, copy);
	free(copy);
}

static void
log_readable(int fd, short what, void *arg)
{
	struct run *run = arg;
	struct buf *b = &run->daemon.logbuf;
	char data[16384], *nl;
	ssize_t n;

	(void)what;
	n = read(fd, data, sizeof(data));
	if (n > 0)
		buf_add(b, data, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		event_del(run->daemon.logev);
	while (b->len > 0 && (nl = memchr(b->data, '\n', b->len)) != NULL) {
		log_line(run, b->data, (size_t)(nl - b->data));
		buf_drain(b, (size_t)(nl - b->data) + 1);
	}
}

void
daemon_read_log(struct run *run)
{
	if (run->daemon.logev != NULL)
		log_readable(run->daemon.logfd, EV_READ, run);
}

static int
smtpd_prepare(struct actor *a)
{
	struct daemon *d = &a->run->daemon;

	d->actor = a;
	d->logfd = -1;
	d->log = json_array();
	return relay_open(a->run);
}

/* The port a client of the scenario wants to find open and nobody of ours has. */
static int
port_missing(struct run *run)
{
	const struct actor *a;
	const struct opt *o, *to;
	struct sockaddr_storage ss;
	socklen_t len;
	int port;

	TAILQ_FOREACH(a, &run->actors, entry) {
		if (a->role->kind != &actor_client)
			continue;
		to = opt_find(&a->role->opts, "to");
		o = opt_find(&a->role->opts, "closed");
		port = opt_find(&a->role->opts, "smtps") != NULL ? 465 : 25;
		/* by address: servers of ours may have the same port */
		if (o == NULL && addr_parse(to == NULL ? "127.0.0.1" :
		    to->value, port, &ss, &len) == 0 && !sandbox_listens(&ss))
			return addr_port(&ss);
	}
	return 0;
}

/* Somewhere to ask, in the end, whether it still answers. */
static void
plain_listener(struct run *run)
{
	struct daemon *d = &run->daemon;
	const struct actor *a;
	const struct opt *to;

	TAILQ_FOREACH(a, &run->actors, entry) {
		to = opt_find(&a->role->opts, "to");
		if (a->role->kind == &actor_client &&
		    opt_find(&a->role->opts, "smtps") == NULL &&
		    addr_parse(to == NULL ? "127.0.0.1" : to->value, 25,
		    &d->addr, &d->addrlen) == 0)
			return;
	}
	d->addrlen = 0;
	if (daemon_listening(25))
		addr_parse("127.0.0.1:25", 25, &d->addr, &d->addrlen);
}

/* A filter is told in a line of its own; the log is in the report anyway. */
static void
smtpd_words(struct run *run)
{
	struct buf b = { 0 };
	const json_t *line;
	char *broken = filters_broken(run), *unready;
	size_t i;

	if (broken == NULL)
		broken = filters_bare(run, 1);
	if (broken != NULL) {
		run_error(run, "the daemon did not start: %s", broken);
		free(broken);
		return;
	}
	unready = plugin_unready(run);
	json_array_foreach(run->daemon.log, i, line)
		buf_addf(&b, "\n  %s", json_string_value(line));
	run_error(run, "the daemon did not start%s%s%s", unready,
	    b.len == 0 ? " and said nothing" : ", its own words:",
	    b.len == 0 ? "" : b.data);
	free(unready);
	buf_free(&b);
}

static int
count_fds(pid_t pid)
{
	struct dirent *e;
	char path[64];
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	if ((dir = opendir(path)) == NULL)
		return -1;
	while ((e = readdir(dir)) != NULL)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* What a process is started as, where that is not its title. */
static const struct {
	const char	*arg, *title;
} starts[] = {
	{ "ca",		"crypto" },
	{ "lka",	"lookup" },
	{ "pony",	"pony express" },
};

static const char *
start_title(const char *arg)
{
	size_t i;

	for (i = 0; i < nitems(starts); i++)
		if (strcmp(starts[i].arg, arg) == 0)
			return starts[i].title;
	return arg;
}

/*
 * What one of the daemon's processes is for, or NULL: its title, or for want of
 * one what smtpd was started with.  Under valgrind it never gets a title, and
 * what runs it comes first.
 */
static const char *
proc_title(const char *cmdline, size_t len)
{
	const char *p, *base, *end = cmdline + len;
	int smtpd = 0;

	if (strncmp(cmdline, "smtpd: ", 7) == 0)
		return cmdline + 7;
	for (p = cmdline; p < end; p += strlen(p) + 1) {
		base = strrchr(p, '/');
		smtpd |= strcmp(base == NULL ? p : base + 1, "smtpd") == 0;
		if (smtpd && strcmp(p, "-x") == 0 && p + 3 < end)
			return start_title(p + 3);
	}
	return NULL;
}

int
daemon_procs(struct proc *procs, int max)
{
	struct dirent *e;
	char path[300];
	const char *title;
	size_t len;
	char *text;
	DIR *dir;
	int n = 0;

	if ((dir = opendir("/proc")) == NULL)
		return 0;
	while (n < max && (e = readdir(dir)) != NULL) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
		if ((text = read_file(path, &len, 4096)) == NULL)
			continue;
		if (len > 0 && (title = proc_title(text, len)) != NULL) {
			procs[n].pid = (pid_t)atoi(e->d_name);
			snprintf(procs[n].title, sizeof(procs[n].title), "%s",
			    title);
			procs[n].nfds = count_fds(procs[n].pid);
			n++;
		}
		free(text);
	}
	closedir(dir);
	return n;
}

static int
has_eventpoll(pid_t pid)
{
	struct dirent *e;
	char path[300], link[64];
	ssize_t n;
	DIR *dir;
	int hit = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	if ((dir = opendir(path)) == NULL)
		return 0;
	while (!hit && (e = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid,
		    e->d_name);
		if ((n = readlink(path, link, sizeof(link) - 1)) > 0) {
			link[n] = '\0';
			hit = strstr(link, "eventpoll") != NULL;
		}
	}
	closedir(dir);
	return hit;
}

/*
 * All processes are in their event loops, and have as many descriptors as the
 * last time we looked: what they have now is what they start with.
 */
static int
procs_steady(struct daemon *d)
{
	struct proc now[MAX_PROCS];
	int i, n, steady;

	/* two looks at once would see the same, whatever it is about to do */
	if (now_us() < d->looked + STEADY_LOOK)
		return 0;
	d->looked = now_us();
	n = daemon_procs(now, MAX_PROCS);
	steady = n > 0 && n == d->nprocs;
	for (i = 0; i < n; i++) {
		if (steady && (now[i].pid != d->procs[i].pid ||
		    now[i].nfds != d->procs[i].nfds ||
		    !has_eventpoll(now[i].pid)))
			steady = 0;
		d->procs[i] = now[i];
	}
	d->nprocs = n;
	return steady;
}

/* May it be left unready, or end? */
static int
may_fail(const struct run *run)
{
	return opt_find(&run->daemon.actor->role->opts, "unready") != NULL ||
	    exit_expected(run);
}

static int
all_ready(const struct run *run)
{
	char *unready;
	int ready;

	if (opt_find(&run->daemon.actor->role->opts, "unready") != NULL)
		return 1;
	unready = plugin_unready(run);
	ready = unready[0] == '\0' && filters_ready(run);
	free(unready);
	return ready;
}

/* Is there a filter that keeps it from ever starting? */
static int
smtpd_hopeless(struct run *run)
{
	char *broken;

	if (may_fail(run) || (broken = filters_broken(run)) == NULL)
		return 0;
	free(broken);
	return 1;
}

int
daemon_ready(struct run *run)
{
	/* it listens before its filters are ready, but hears nobody */
	return all_ready(run) && daemon_listening(0) &&
	    access(run->target->socket, F_OK) == 0 &&
	    port_missing(run) == 0 && procs_steady(&run->daemon);
}

static int
smtpd_ready(struct run *run)
{
	/* to look often would take its time, of which it needs a lot */
	if (run_slow(run) > 1 && !run->daemon.exited && !run->stop) {
		if (now_us() < run->look_again)
			return 0;
		run->look_again = now_us() + SLOW_LOOK;
	}
	return run->daemon.exited || run->stop || smtpd_hopeless(run) ||
	    daemon_ready(run);
}

/* Does the scenario's own text declare this filter or table? */
static int
declared(const struct role *conf, const struct role *r)
{
	char *re = xasprintf("^\\s*%s\\s+\"?\\Q%s\\E\"?(\\s|$)",
	    r->kind->word, r->name);
	int hit;

	hit = regex_match(re, conf->text, strlen(conf->text), NULL, NULL);
	free(re);
	return hit;
}

/* The filters and tables that we are; "" if there are none. */
static char *
conf_of_actors(const struct actor *smtpd)
{
	const struct actor *a, *o;
	struct buf b = { 0 };

	TAILQ_FOREACH(a, &smtpd->run->actors, entry) {
		if (a->role->kind->plugin == NULL ||
		    declared(smtpd->role, a->role))
			continue;
		/* once for all blocks of that name */
		TAILQ_FOREACH(o, &smtpd->run->actors, entry)
			if (strcmp(o->role->name, a->role->name) == 0)
				break;
		if (o == a)
			a->role->kind->plugin->declare(a, &b);
	}
	return b.data == NULL ? xstrdup("") : b.data;
}

static int
write_actors(const char *text)
{
	FILE *fp;

	if (*text == '\0')
		return 0;
	if ((fp = fopen(ACTORS, "w")) == NULL)
		return -1;
	fputs(text, fp);
	return fclose(fp) == EOF ? -1 : 1;
}

/* So that smtpd's line numbers are those of the scenario. */
static int
write_text(const struct role *r, const char *text, int more)
{
	FILE *fp;
	int i;

	if ((fp = fopen(CONF, "w")) == NULL)
		return -1;
	if (more)
		fprintf(fp, "include \"%s\"", ACTORS);
	for (i = 1; i < r->textpos.line; i++)
		putc('\n', fp);
	fputs(text, fp);
	return fclose(fp) == EOF ? -1 : 0;
}

static int
write_conf(const struct actor *a)
{
	char *actors = conf_of_actors(a), *text;
	int rv = -1, more;

	if ((text = filters_conf(a->run, a->role->text, actors)) != NULL &&
	    (more = write_actors(actors)) != -1)
		rv = write_text(a->role, text, more);
	free(actors);
	free(text);
	return rv;
}

/* A filter may register and leave at once, which takes it a moment. */
static int
wait_ready(struct run *run)
{
	if (!run_until(run, smtpd_ready, READY_TIMEOUT * run_slow(run)))
		return 0;
	if (filters_tapped(run))
		run_until(run, NULL, FILTER_TIME);
	return run_until(run, smtpd_ready, READY_TIMEOUT * run_slow(run));
}

static void
log_close(struct daemon *d)
{
	if (d->logev != NULL)
		event_free(d->logev);
	if (d->logfd != -1)
		close(d->logfd);
	d->logev = NULL;
	d->logfd = -1;
}

int
daemon_launch(struct run *run)
{
	struct daemon *d = &run->daemon;
	char err[512];
	int fds[2], n;

	/* of one that is gone */
	while (d->logfd != -1 && ioctl(d->logfd, FIONREAD, &n) == 0 && n > 0)
		daemon_read_log(run);
	log_close(d);
	if (pipe2(fds, O_CLOEXEC) == -1) {
		run_error(run, "pipe: %s", strerror(errno));
		return -1;
	}
	set_nonblock(fds[0]);
	d->logfd = fds[0];
	d->logev = event_new(run->base, fds[0], EV_READ | EV_PERSIST,
	    log_readable, run);
	event_add(d->logev, NULL);
	d->exited = d->ready = d->nprocs = 0;
	d->pid = daemon_start(run->sb, run->target, NULL, run->opts->wrap,
	    fds[1], err, sizeof(err));
	close(fds[1]);
	if (d->pid == -1)
		run_error(run, "%s", err);
	return d->pid == -1 ? -1 : 0;
}

static int
smtpd_start(struct actor *a)
{
	struct run *run = a->run;
	struct daemon *d = &run->daemon;

	if (write_conf(a) == -1) {
		if (run->verdict == NULL)
			run_error(run, "%s: %s", CONF, strerror(errno));
		return -1;
	}
	if (daemon_launch(run) == -1)
		return -1;
	if (!wait_ready(run) || d->exited || run->stop || smtpd_hopeless(run)) {
		/* its last words may still be in the pipe */
		run_until(run, NULL, 20000);
		if (d->exited && exit_expected(run))
			return 0;
		if (run->failed)
			return -1;
		/* a filter may fail before there is a port to miss */
		if (!d->exited && !smtpd_hopeless(run) &&
		    port_missing(run) != 0)
			run_error(run, "the daemon does not listen on port %d",
			    port_missing(run));
		else
			smtpd_words(run);
		return -1;
	}
	d->ready = 1;
	filter_objections_due(run);
	plain_listener(run);
	return 0;
}

static void
smtpd_stop(struct actor *a)
{
	struct daemon *d = &a->run->daemon;

	log_close(d);
	buf_free(&d->logbuf);
	json_decref(d->log);
}

static const struct opt_kind smtpd_opts[] = {
	{ "unready",	OPT_WORD },
	{ "untapped",	OPT_WORD },
	{ NULL,		OPT_WORD }
};

const struct actor_kind actor_smtpd = {
	.word = "smtpd",
	.opts = smtpd_opts,
	.raw = 1,
	.check = smtpd_check,
	.prepare = smtpd_prepare,
	.start = smtpd_start,
	.stop = smtpd_stop,
};
