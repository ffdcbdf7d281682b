/* How full a listener's accept queue is, asked of the kernel (sock_diag(7)). */
#include <sys/socket.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include <string.h>
#include <unistd.h>

#include "sandbox.h"

#define STATE_LISTEN	10

struct request {
	struct nlmsghdr		 nlh;
	struct inet_diag_req_v2	 req;
};

static int
diag_ask(int fd, int family)
{
	struct request r;

	memset(&r, 0, sizeof(r));
	r.nlh.nlmsg_len = sizeof(r);
	r.nlh.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	r.nlh.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	r.req.sdiag_family = (unsigned char)family;
	r.req.sdiag_protocol = IPPROTO_TCP;
	r.req.idiag_states = 1U << STATE_LISTEN;
	return send(fd, &r, sizeof(r), 0) == -1 ? -1 : 0;
}

/* The fullest queue of that port in the answer, -1 when it is not there. */
static int
diag_answer(int fd, int port)
{
	const struct inet_diag_msg *d;
	union {
		struct nlmsghdr	 nlh;
		char		 data[16384];
	} buf;
	struct nlmsghdr *h;
	ssize_t n;
	size_t left;
	int most = -1;

	while ((n = recv(fd, &buf, sizeof(buf), 0)) > 0) {
		left = (size_t)n;
		for (h = &buf.nlh; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE ||
			    h->nlmsg_type == NLMSG_ERROR)
				return most;
			d = NLMSG_DATA(h);
			if (ntohs(d->id.idiag_sport) == port &&
			    (int)d->idiag_rqueue > most)
				most = (int)d->idiag_rqueue;
		}
	}
	return most;
}

int
sandbox_backlog(int port)
{
	int fd, n4, n6;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd == -1)
		return -1;
	n4 = diag_ask(fd, AF_INET) == -1 ? -1 : diag_answer(fd, port);
	n6 = diag_ask(fd, AF_INET6) == -1 ? -1 : diag_answer(fd, port);
	close(fd);
	return n4 > n6 ? n4 : n6;
}
