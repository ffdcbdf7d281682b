/*
 * The network of a target on the resolver library, libasr: one name server,
 * which answers what the input says.  To be included once, behind <asr.h> (which
 * does not look after itself), by a target that has
 *
 *	fuzz-wrap: socket connect fcntl send sendmsg recv read poll close
 *	fuzz-wrap: fopen stat getifaddrs freeifaddrs if_nametoindex
 *	fuzz-wrap: if_indextoname res_randomid __res_randomid event_asr_run
 *
 * There is no real socket, file or interface.  What the library sends is read
 * with our own reader, and so is each answer: whether the library has to take it
 * or to ask again is decided here, and held against what it does.
 *
 * An answer in the input is an octet that says how it comes (NET_), the flags,
 * the number of records in each of three sections (an octet each), a length,
 * and that many octets: behind a header and the question asked, or, if NET_RAW,
 * the message as it is.
 */
#ifndef DNSNET_H
#define DNSNET_H

#include <sys/socket.h>
#include <sys/stat.h>

#include <netinet/in.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "dnsmsg.h"
#include "fuzz.h"

/* How an answer comes. */
#define NET_FAIL	0x01	/* not at all: sending fails */
#define NET_SILENT	0x02	/* not at all */
#define NET_RAW		0x04
#define NET_ID		0x08	/* with another id */
#define NET_PIECES	0x10	/* over TCP in small pieces, and so is the query */
#define NET_CUT		0x20	/* over TCP it ends in the middle */

#define NET_FD		100000	/* our sockets begin here */
#define NET_SOCKETS	4
#define NET_RETRIES	4	/* of libasr, for each server */
#define NET_QUERIES	40	/* that wait for their turn */

#define NET_LOOSE	(DM_LONG | DM_BEYOND)

#define NET_HOSTS							\
	"192.0.2.99 filehost.example.com filehost # comment\n"		\
	"2001:db8::99\tfilehost\n"					\
	"\n"								\
	"192.0.2.98 other FILEHOST\n"

enum net_state { NET_NEW, NET_TAKEN, NET_REFUSED, NET_TRUNCATED };

struct net_query {
	struct dm_name	 name;
	uint16_t	 type;
	uint16_t	 id;
	enum net_state	 state;
	unsigned	 tries;
};

struct net_waiting {
	struct asr_query *query;
	void		(*cb)(struct asr_result *, void *);
	void		*arg;
};

static struct {
	int		 up;			/* a library call is running */
	struct fuzz_in	*in;
	const char	*conf;			/* resolv.conf */
	unsigned	 servers;		/* that it has */
	int		 usevc;			/* TCP at once */
	int		 inet, inet6;		/* what interfaces have */
	/* With each answer that has to be taken. */
	void		(*answer)(const struct net_query *, struct dm *);
	/* When the file of hosts is looked into. */
	void		(*hosts)(void);

	struct {
		int	 open, tcp;
	}		 sock[NET_SOCKETS];
	uint8_t		 sent[1024];
	size_t		 sentlen;
	uint8_t		 got[2 + 65536];	/* the answer, for TCP with its length */
	size_t		 gotlen, gotat;
	unsigned	 how;
	unsigned	 ids;
	struct net_query q;

	struct net_waiting waiting[NET_QUERIES];
	unsigned	 nwaiting;
} net;

int	 __real_socket(int, int, int);
int	 __wrap_socket(int, int, int);
int	 __real_connect(int, const struct sockaddr *, socklen_t);
int	 __wrap_connect(int, const struct sockaddr *, socklen_t);
int	 __real_fcntl(int, int, ...);
int	 __wrap_fcntl(int, int, ...);
ssize_t	 __real_send(int, const void *, size_t, int);
ssize_t	 __wrap_send(int, const void *, size_t, int);
ssize_t	 __real_sendmsg(int, const struct msghdr *, int);
ssize_t	 __wrap_sendmsg(int, const struct msghdr *, int);
ssize_t	 __real_recv(int, void *, size_t, int);
ssize_t	 __wrap_recv(int, void *, size_t, int);
ssize_t	 __real_read(int, void *, size_t);
ssize_t	 __wrap_read(int, void *, size_t);
int	 __real_poll(struct pollfd *, nfds_t, int);
int	 __wrap_poll(struct pollfd *, nfds_t, int);
int	 __real_close(int);
int	 __wrap_close(int);
FILE	*__real_fopen(const char *, const char *);
FILE	*__wrap_fopen(const char *, const char *);
int	 __real_stat(const char *, struct stat *);
int	 __wrap_stat(const char *, struct stat *);
int	 __real_getifaddrs(struct ifaddrs **);
int	 __wrap_getifaddrs(struct ifaddrs **);
void	 __real_freeifaddrs(struct ifaddrs *);
void	 __wrap_freeifaddrs(struct ifaddrs *);
unsigned __real_if_nametoindex(const char *);
unsigned __wrap_if_nametoindex(const char *);
char	*__real_if_indextoname(unsigned, char *);
char	*__wrap_if_indextoname(unsigned, char *);
unsigned __wrap_res_randomid(void);
unsigned __wrap___res_randomid(void);
struct event_asr *__wrap_event_asr_run(struct asr_query *,
	    void (*)(struct asr_result *, void *), void *);
void	 _asr_resolver_done(void *);

/* --- judging ------------------------------------------------------------------ */

static int
net_same_name(const struct dm_name *a, const struct dm_name *b)
{
	size_t i;

	if (a->len != b->len)
		return (0);
	for (i = 0; i < a->len; i++)
		if (tolower(a->wire[i]) != tolower(b->wire[i]))
			return (0);
	return (1);
}

/*
 * What the library has to do with an answer.  *plain says whether its names are
 * text; others are not for the resolver to have, and never sent.
 */
static enum net_state
net_judge(const uint8_t *p, size_t len, int *plain)
{
	static struct dm_rr rr;
	struct dm_name name;
	struct dm m;
	uint16_t type, class;
	unsigned n;

	*plain = 1;
	if (dm_open(&m, p, len, NET_LOOSE) == -1 || m.id != net.q.id ||
	    m.count[0] != 1 ||
	    (m.flags & 0xf840) != 0x8000)	/* a response, QUERY, Z 0 */
		return (NET_REFUSED);
	if (dm_question(&m, &name, &type, &class) == -1)
		return (NET_REFUSED);
	*plain = dm_is_text(&name);
	if (!net_same_name(&name, &net.q.name) || type != net.q.type ||
	    class != DM_IN)
		return (NET_REFUSED);
	if (m.flags & 0x0200)
		return (NET_TRUNCATED);
	for (n = m.count[1] + m.count[2] + m.count[3]; n > 0; n--) {
		rr.name[0].len = rr.name[1].len = 0;
		rr.name[0].wire[0] = rr.name[1].wire[0] = 0;
		if (dm_rr(&m, &rr) == -1)
			return (NET_REFUSED);
		if (!dm_is_text(&rr.owner) || !dm_is_text(&rr.name[0]) ||
		    !dm_is_text(&rr.name[1]))
			*plain = 0;
	}
	return (m.at == len ? NET_TAKEN : NET_REFUSED);
}

/* A query is over: there was an answer, or it was tried as often as it may be. */
static void
net_over(void)
{
	if (net.q.state == NET_REFUSED &&
	    net.q.tries < net.servers * NET_RETRIES)
		fuzz_fail("gives up after %u tries", net.q.tries);
	if (net.q.state == NET_TRUNCATED)
		fuzz_fail("a truncated answer is used");
	net.q.state = NET_NEW;
}

/* --- answering ---------------------------------------------------------------- */

static void
net_put16(size_t at, unsigned v)
{
	net.got[at] = v >> 8;
	net.got[at + 1] = v;
}

/* The next answer of the input, behind two octets for its length. */
static void
net_answer(void)
{
	struct dm m;
	struct dm_name name;
	uint16_t type, class;
	size_t at = 2, len, i;
	unsigned flags;
	uint8_t count[3];

	flags = fuzz_u16(net.in);
	for (i = 0; i < 3; i++)
		count[i] = fuzz_u8(net.in);
	len = fuzz_u16(net.in);
	if (len > net.in->left)
		len = net.in->left;
	if (!(net.how & NET_RAW)) {
		(void)dm_open(&m, net.sent, net.sentlen, DM_LONG);
		(void)dm_question(&m, &name, &type, &class);
		memcpy(net.got + 2, net.sent, m.at);
		if (net.how & NET_ID)
			net_put16(2, net.q.id ^ 1);
		net_put16(4, flags | 0x8000);
		for (i = 0; i < 3; i++)
			net_put16(8 + 2 * i, count[i]);
		at = 2 + m.at;
	}
	if (len > sizeof(net.got) - at)
		len = sizeof(net.got) - at;
	memcpy(net.got + at, net.in->p, len);
	net.in->p += len;
	net.in->left -= len;
	net.gotlen = at + len;
	if (net.gotlen > 2 + 65535)
		net.gotlen = 2 + 65535;
	net_put16(0, net.gotlen - 2);
	net.gotat = 0;
}

/*
 * A whole query was sent.  Read it, choose an answer, and decide what is to
 * become of it; -1 if sending is to fail.
 */
static int
net_take(int tcp)
{
	struct dm m;
	struct dm_name name;
	uint16_t type, class;
	size_t len;
	int plain;

	if (dm_open(&m, net.sent, net.sentlen, DM_LONG) == -1 || m.count[0] != 1 ||
	    dm_question(&m, &name, &type, &class) == -1 || class != DM_IN ||
	    (m.flags & 0xfe00) != 0)
		fuzz_fail("the query is not one");
	if (net.q.state != NET_NEW && m.id == net.q.id) {
		if (net.q.state == NET_TAKEN)
			fuzz_fail("asks again although it had an answer");
	} else {
		net_over();
		net.q.tries = 0;
		net.q.name = name;
		net.q.type = type;
		net.q.id = m.id;
	}
	if (!tcp || net.usevc)
		net.q.tries++;
	net.q.state = NET_REFUSED;
	net.gotlen = net.gotat = 0;
	net.how = fuzz_u8(net.in);
	if (net.how & NET_FAIL)
		return (-1);
	if (net.how & NET_SILENT)
		return (0);
	net_answer();
	len = net.gotlen - 2;
	if (!tcp && len > 4096)		/* what libasr says it can take */
		net.gotlen = 2 + (len = 4096);
	/*
	 * Pinned: for a length of 0 libasr adds 0 to a null pointer.  No harm
	 * comes of it, but UBSan objects; the connection ends instead.
	 */
	if (tcp && len == 0)
		net.gotlen = 0;
	net.q.state = net_judge(net.got + 2, len, &plain);
	if (tcp && net.q.state == NET_TRUNCATED)
		net.q.state = NET_REFUSED;
	if (!plain || (tcp && net.how & NET_CUT && len > 0)) {
		net.q.state = NET_REFUSED;
		net.gotlen = plain ? 2 + len / 2 : 0;
	}
	if (net.q.state == NET_TAKEN) {
		(void)dm_open(&m, net.got + 2, len, NET_LOOSE);
		net.answer(&net.q, &m);
	}
	return (0);
}

/* --- sockets ------------------------------------------------------------------- */

static int
net_sock(int fd)
{
	if (!net.up || fd < NET_FD || fd >= NET_FD + NET_SOCKETS)
		return (-1);
	if (!net.sock[fd - NET_FD].open)
		fuzz_fail("a socket is used after it was closed");
	return (fd - NET_FD);
}

int
__wrap_socket(int family, int type, int protocol)
{
	int i;

	if (!net.up)
		return (__real_socket(family, type, protocol));
	for (i = 0; i < NET_SOCKETS; i++)
		if (!net.sock[i].open) {
			net.sock[i].open = 1;
			net.sock[i].tcp = (type & 0xf) == SOCK_STREAM;
			net.sentlen = 0;
			return (NET_FD + i);
		}
	fuzz_fail("too many sockets");
}

int
__wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	if (net_sock(fd) == -1)
		return (__real_connect(fd, sa, len));
	if (net.sock[fd - NET_FD].tcp) {
		errno = EINPROGRESS;
		return (-1);
	}
	return (0);
}

int
__wrap_fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return (net_sock(fd) == -1 ? __real_fcntl(fd, cmd, arg) : 0);
}

ssize_t
__wrap_send(int fd, const void *buf, size_t len, int flags)
{
	if (net_sock(fd) == -1)
		return (__real_send(fd, buf, len, flags));
	if (len > sizeof(net.sent))
		fuzz_fail("a query of %zu octets", len);
	memcpy(net.sent, buf, len);
	net.sentlen = len;
	if (net_take(0) == -1) {
		errno = ECONNREFUSED;
		return (-1);
	}
	return (len);
}

ssize_t
__wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	static uint8_t stream[2 + sizeof(net.sent)];
	size_t i, len, size, total = 0;

	if (net_sock(fd) == -1)
		return (__real_sendmsg(fd, msg, flags));
	len = net.sentlen;
	for (i = 0; i < (size_t)msg->msg_iovlen; i++) {
		size = msg->msg_iov[i].iov_len;
		/* net.how is still that of the answer before. */
		if (net.how & NET_PIECES && size > 7)
			size = 7;
		if (len + size > sizeof(stream))
			fuzz_fail("a query that is too long");
		memcpy(stream + len, msg->msg_iov[i].iov_base, size);
		len += size;
		total += size;
		if (size < msg->msg_iov[i].iov_len)
			break;
	}
	net.sentlen = len;
	if (len >= 2 && len == 2 + (size_t)(stream[0] << 8 | stream[1])) {
		net.sentlen = len - 2;
		memcpy(net.sent, stream + 2, net.sentlen);
		if (net_take(1) == -1) {
			errno = ECONNRESET;
			return (-1);
		}
	}
	return (total);
}

ssize_t
__wrap_recv(int fd, void *buf, size_t len, int flags)
{
	if (net_sock(fd) == -1)
		return (__real_recv(fd, buf, len, flags));
	if (net.gotlen == 0) {
		errno = EAGAIN;		/* a timeout looks like this */
		return (-1);
	}
	if (len > net.gotlen - 2)
		len = net.gotlen - 2;
	memcpy(buf, net.got + 2, len);
	return (len);
}

ssize_t
__wrap_read(int fd, void *buf, size_t len)
{
	if (net_sock(fd) == -1)
		return (__real_read(fd, buf, len));
	if (len > net.gotlen - net.gotat)
		len = net.gotlen - net.gotat;
	if (net.how & NET_PIECES && len > 1)
		len = len > 600 ? 600 : 1 + len / 3;
	memcpy(buf, net.got + net.gotat, len);
	net.gotat += len;
	return (len);
}

int
__wrap_poll(struct pollfd *p, nfds_t n, int timeout)
{
	if (!net.up || n != 1 || net_sock(p->fd) == -1)
		return (__real_poll(p, n, timeout));
	p->revents = POLLIN;
	return (!(net.how & NET_PIECES));
}

int
__wrap_close(int fd)
{
	if (net_sock(fd) == -1)
		return (__real_close(fd));
	net.sock[fd - NET_FD].open = 0;
	return (0);
}

/* --- files and interfaces ------------------------------------------------------- */

FILE *
__wrap_fopen(const char *path, const char *mode)
{
	static char hosts[] = NET_HOSTS;

	if (net.up && strcmp(path, "/etc/resolv.conf") == 0)
		return (fmemopen((void *)net.conf, strlen(net.conf), "r"));
	/* An engine that tells of a crash opens files too. */
	if (!net.up || strcmp(path, "/etc/hosts") != 0)
		return (__real_fopen(path, mode));
	net.hosts();
	return (fmemopen(hosts, strlen(hosts), "r"));
}

int
__wrap_stat(const char *path, struct stat *st)
{
	if (!net.up)
		return (__real_stat(path, st));
	memset(st, 0, sizeof(*st));
	st->st_mtime = 1;
	return (0);
}

int
__wrap_getifaddrs(struct ifaddrs **ifa)
{
	static struct sockaddr_in sin = { .sin_family = AF_INET };
	static struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	static struct ifaddrs list[3];

	if (!net.up)
		return (__real_getifaddrs(ifa));
	sin.sin_addr.s_addr = htonl(net.inet ? 0xc0000201 : INADDR_LOOPBACK);
	memset(&sin6.sin6_addr, 0, sizeof(sin6.sin6_addr));
	sin6.sin6_addr.s6_addr[0] = net.inet6 ? 0x20 : 0xfe;
	sin6.sin6_addr.s6_addr[1] = net.inet6 ? 0x01 : 0x80;
	list[0].ifa_next = &list[1];
	list[1].ifa_next = &list[2];
	list[1].ifa_addr = (struct sockaddr *)&sin;
	list[2].ifa_addr = (struct sockaddr *)&sin6;
	*ifa = list;
	return (0);
}

void
__wrap_freeifaddrs(struct ifaddrs *ifa)
{
	if (!net.up)
		__real_freeifaddrs(ifa);
}

unsigned
__wrap_if_nametoindex(const char *name)
{
	if (!net.up)
		return (__real_if_nametoindex(name));
	return (strcmp(name, "lo") == 0 ? 1 : strcmp(name, "eth0") == 0 ? 2 : 0);
}

char *
__wrap_if_indextoname(unsigned i, char *name)
{
	if (!net.up)
		return (__real_if_indextoname(i, name));
	return (i == 1 ? strcpy(name, "lo") : i == 2 ? strcpy(name, "eth0") :
	    NULL);
}

unsigned
__wrap_res_randomid(void)
{
	return (0xffff & (net.ids += 7919));
}

/* As glibc's <resolv.h> has it. */
unsigned
__wrap___res_randomid(void)
{
	return (__wrap_res_randomid());
}

/* --- running ---------------------------------------------------------------------- */

/* As libevent would, but one after the other and at once. */
struct event_asr *
__wrap_event_asr_run(struct asr_query *q, void (*cb)(struct asr_result *, void *),
    void *arg)
{
	struct net_waiting *w;

	if (q == NULL)
		fuzz_fail("event_asr_run without a query");
	if (net.nwaiting == NET_QUERIES)
		fuzz_fail("too many queries at once");
	w = &net.waiting[net.nwaiting++];
	w->query = q;
	w->cb = cb;
	w->arg = arg;
	return ((struct event_asr *)w);
}

static void
net_run_one(struct asr_query *q, struct asr_result *ar)
{
	while (asr_run(q, ar) == 0) {
		if ((ar->ar_cond != ASR_WANT_READ &&
		    ar->ar_cond != ASR_WANT_WRITE) || ar->ar_timeout <= 0)
			fuzz_fail("waits for nothing");
		(void)net_sock(ar->ar_fd);
	}
	net_over();
}

/* Until nothing is left to be done. */
static void
net_run(void)
{
	struct net_waiting w;
	struct asr_result ar;

	while (net.nwaiting > 0) {
		w = net.waiting[0];
		memmove(net.waiting, net.waiting + 1,
		    --net.nwaiting * sizeof(w));
		net_run_one(w.query, &ar);
		w.cb(&ar, w.arg);
	}
}

/* Before and after each input. */
static void
net_begin(struct fuzz_in *in, const char *conf, unsigned servers)
{
	memset(&net, 0, sizeof(net));
	net.in = in;
	net.conf = conf;
	net.servers = servers;
	net.up = 1;
}

static void
net_end(void)
{
	int i;

	for (i = 0; i < NET_SOCKETS; i++)
		if (net.sock[i].open)
			fuzz_fail("a socket is left open");
	_asr_resolver_done(NULL);
	net.up = 0;
}

#endif /* DNSNET_H */
