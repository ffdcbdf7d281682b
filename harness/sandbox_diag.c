/* The state of TCP sockets of this network namespace, by sock_diag(7). */
#include <sys/socket.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include <string.h>
#include <unistd.h>

#include "sandbox.h"

#define STATE_CLOSE_WAIT	8
#define STATE_LISTEN		10

struct request {
	struct nlmsghdr		 nlh;
	struct inet_diag_req_v2	 req;
};

/* What is asked for and found: the most, the number or the sum of something. */
struct find {
	int	 port;
	int	 found;
	void	(*look)(struct find *, const struct inet_diag_msg *);
	int	*ports;
	int	 max;
};

static void
request(struct request *r, int family, int flags)
{
	memset(r, 0, sizeof(*r));
	r->nlh.nlmsg_len = sizeof(*r);
	r->nlh.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	r->nlh.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	r->req.sdiag_family = (unsigned char)family;
	r->req.sdiag_protocol = IPPROTO_TCP;
}

static int
diag_open(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

static int
diag_ask(int fd, int family, int state)
{
	struct request r;

	request(&r, family, NLM_F_DUMP);
	r.req.idiag_states = 1U << state;
	return send(fd, &r, sizeof(r), 0) == -1 ? -1 : 0;
}

static void
diag_answer(int fd, struct find *f)
{
	union {
		struct nlmsghdr	 nlh;
		char		 data[16384];
	} buf;
	struct nlmsghdr *h;
	ssize_t n;
	size_t left;

	while ((n = recv(fd, &buf, sizeof(buf), 0)) > 0) {
		left = (size_t)n;
		for (h = &buf.nlh; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE ||
			    h->nlmsg_type == NLMSG_ERROR)
				return;
			f->look(f, NLMSG_DATA(h));
			if ((h->nlmsg_flags & NLM_F_MULTI) == 0)
				return;
		}
	}
}

static int
diag(int state, struct find *f)
{
	static const int families[] = { AF_INET, AF_INET6 };
	size_t i;
	int fd;

	if ((fd = diag_open()) == -1)
		return -1;
	for (i = 0; i < 2; i++)
		if (diag_ask(fd, families[i], state) == 0)
			diag_answer(fd, f);
	close(fd);
	return f->found;
}

static void
look_port(struct find *f, const struct inet_diag_msg *d)
{
	int i, port = ntohs(d->id.idiag_sport);

	for (i = 0; i < f->found && f->ports[i] != port; i++)
		;
	if (i == f->found && i < f->max)
		f->ports[f->found++] = port;
}

int
sandbox_ports(int *ports, int max)
{
	struct find f = { .look = look_port, .ports = ports, .max = max };

	return diag(STATE_LISTEN, &f);
}

/*
 * The one socket that a connection from nowhere to there would come to: to ask
 * for it costs nothing, while a list of all walks through tables as large as the
 * machine's memory lets them be.
 */
static void
look_for(struct request *r, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *sin = (const void *)ss;
	const struct sockaddr_in6 *sin6 = (const void *)ss;

	request(r, ss->ss_family, 0);
	r->req.id.idiag_cookie[0] = r->req.id.idiag_cookie[1] =
	    INET_DIAG_NOCOOKIE;
	r->req.id.idiag_sport = ss->ss_family == AF_INET ? sin->sin_port :
	    sin6->sin6_port;
	if (ss->ss_family == AF_INET)
		r->req.id.idiag_src[0] = sin->sin_addr.s_addr;
	else
		memcpy(r->req.id.idiag_src, &sin6->sin6_addr,
		    sizeof(sin6->sin6_addr));
}

static void
look_listens(struct find *f, const struct inet_diag_msg *d)
{
	f->found = d->idiag_state == STATE_LISTEN;
}

int
sandbox_listens(const struct sockaddr_storage *ss)
{
	struct find f = { .look = look_listens };
	struct request r;
	int fd;

	if ((fd = diag_open()) == -1)
		return 0;
	look_for(&r, ss);
	if (send(fd, &r, sizeof(r), 0) != -1)
		diag_answer(fd, &f);
	close(fd);
	return f.found;
}

static void
look_backlog(struct find *f, const struct inet_diag_msg *d)
{
	if (ntohs(d->id.idiag_sport) == f->port &&
	    (int)d->idiag_rqueue > f->found)
		f->found = (int)d->idiag_rqueue;
}

int
sandbox_backlog(int port)
{
	struct find f = { .port = port, .found = -1, .look = look_backlog };

	return diag(STATE_LISTEN, &f);
}

static void
look_backlog_max(struct find *f, const struct inet_diag_msg *d)
{
	if (ntohs(d->id.idiag_sport) == f->port &&
	    (f->found == -1 || (int)d->idiag_wqueue < f->found))
		f->found = (int)d->idiag_wqueue;
}

int
sandbox_backlog_max(int port)
{
	struct find f = { .port = port, .found = -1,
	    .look = look_backlog_max };

	return diag(STATE_LISTEN, &f);
}

static void
look_close_wait(struct find *f, const struct inet_diag_msg *d)
{
	f->found += ntohs(d->id.idiag_dport) == f->port;
}

int
sandbox_close_wait(int port)
{
	struct find f = { .port = port, .look = look_close_wait };

	return diag(STATE_CLOSE_WAIT, &f);
}
