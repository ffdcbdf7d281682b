#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addr.h"
#include "channel.h"
#include "listener.h"
#include "parser.h"
#include "perturb.h"

struct listener {
	struct actor	*actor;
	int		 fd;
	struct event	*ev;
	unsigned int	 n;		/* connections so far */
	unsigned int	 idle;		/* of these, which do not count */
	void		(*accepted)(struct session *);
};

void
listener_check(struct parser *p, struct role *r)
{
	const struct opt *o = opt_find(&r->opts, "listen");
	struct sockaddr_storage ss;
	socklen_t len;

	if (o == NULL)
		parse_fail(p, &r->pos, "expected listen=ADDRESS:PORT");
	if (addr_parse(o->value, 25, &ss, &len) == -1)
		parse_fail(p, &o->pos, "\"%s\": expected a numeric address "
		    "like 127.0.0.2:25", o->value);
}

static void
listener_readable(int fd, short what, void *arg)
{
	struct listener *l = arg;
	struct session *s;
	int conn;

	(void)what;
	if ((conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) == -1)
		return;
	s = session_new(l->actor, ++l->n,
	    (struct steps *)&l->actor->role->steps);
	if (l->n > 1)
		snprintf(s->label, sizeof(s->label), "%s[%u]",
		    l->actor->role->name, l->n);
	s->ch = channel_new(s->run->base, conn, 0, session_wake, s);
	l->accepted(s);
	perturb_session(s);
	run_trace(s->run, s, s->label, "--", "<connected>", 11);
	session_run(s);
}

int
listener_prepare(struct actor *a, void (*accepted)(struct session *))
{
	struct listener *l = xcalloc(1, sizeof(*l));
	const struct opt *o = opt_find(&a->role->opts, "listen");
	struct sockaddr_storage ss;
	socklen_t len;
	int one = 1;

	a->state = l;
	l->actor = a;
	l->accepted = accepted;
	addr_parse(o->value, 25, &ss, &len);
	l->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0);
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(l->fd, (struct sockaddr *)&ss, len) == -1 ||
	    listen(l->fd, 512) == -1) {
		run_error(a->run, "%s: listen on %s: %s", a->role->name,
		    o->value, strerror(errno));
		return -1;
	}
	l->ev = event_new(a->run->base, l->fd, EV_READ | EV_PERSIST,
	    listener_readable, l);
	event_add(l->ev, NULL);
	return 0;
}

/* With connections=N the run waits until so many dialogues were held. */
int
listener_start(struct actor *a)
{
	const struct opt *o = opt_find(&a->role->opts, "connections");
	struct parser none = { 0 };

	/* += because some may be over already */
	if (o != NULL)
		a->left += (int)parse_range(&none, &o->pos, o->value,
		    "connections").hi;
	return 0;
}

void
listener_idle(struct actor *a)
{
	struct listener *l = a->state;

	l->idle++;
}

void
listener_judge(const struct actor *a)
{
	const struct listener *l = a->state;
	int unused = opt_find(&a->role->opts, "unused") != NULL;

	if (unused == (l->n == l->idle))
		return;
	run_judge(a->run, &a->role->pos, a->role->name, NULL, NULL,
	    unused ? "that nobody connects" : "that somebody connects",
	    unused ? "a connection" : "no connection");
}

void
listener_stop(struct actor *a)
{
	struct listener *l = a->state;

	if (l == NULL)
		return;
	if (l->ev != NULL)
		event_free(l->ev);
	close(l->fd);
	free(l);
}
