/*
 * Our own reading of DNS messages, RFC 1035 4.1, for the targets that compare
 * the daemon's with it.
 *
 * It is strict but for what is known to be taken more loosely; the caller says
 * which of that:
 */
#ifndef DNSMSG_H
#define DNSMSG_H

#include <stdint.h>
#include <string.h>

/*
 * A name may have more than 255 octets (2.3.4); what fits MAXDNAME (1025), the
 * buffers' size, is taken.  It is not handed on to anything smaller unchecked.
 */
#define DM_LONG		0x1
/* The types of label 01 and 10 are reserved (4.1.4); smtpd's own reader takes
 * them for labels of 64 to 191 octets. */
#define DM_RESERVED	0x2
/* A name ends behind its first pointer (4.1.4).  Where the labels that one leads
 * to reach beyond it, what comes next is looked for behind them. */
#define DM_BEYOND	0x4

#define DM_HEADER	12
#define DM_MAXNAME	1025

#define DM_A		1
#define DM_NS		2
#define DM_CNAME	5
#define DM_SOA		6
#define DM_PTR		12
#define DM_MX		15
#define DM_TXT		16
#define DM_AAAA		28
#define DM_IN		1

struct dm_name {
	uint8_t	 wire[DM_MAXNAME + 256];	/* uncompressed */
	size_t	 len;				/* with the root's octet */
};

struct dm_rr {
	struct dm_name	 owner;
	uint16_t	 type;
	uint16_t	 class;
	uint32_t	 ttl;
	uint16_t	 rdlen;
	size_t		 rdata;		/* where it begins */
	uint16_t	 preference;	/* MX */
	struct dm_name	 name[2];	/* CNAME NS PTR MX SOA */
	uint32_t	 soa[5];
};

struct dm {
	const uint8_t	*p;
	size_t		 len;
	size_t		 at;
	unsigned	 loose;		/* DM_ */
	uint16_t	 id, flags, count[4];
};

static inline int
dm_u16(struct dm *m, uint16_t *v)
{
	if (m->len - m->at < 2)
		return (-1);
	*v = m->p[m->at] << 8 | m->p[m->at + 1];
	m->at += 2;
	return (0);
}

static inline int
dm_u32(struct dm *m, uint32_t *v)
{
	uint16_t high, low;

	if (dm_u16(m, &high) == -1 || dm_u16(m, &low) == -1)
		return (-1);
	*v = (uint32_t)high << 16 | low;
	return (0);
}

/* Begin to read a message; -1 if it has no whole header. */
static inline int
dm_open(struct dm *m, const uint8_t *p, size_t len, unsigned loose)
{
	int i;

	memset(m, 0, sizeof(*m));
	m->p = p;
	m->len = len;
	m->loose = loose;
	if (dm_u16(m, &m->id) == -1 || dm_u16(m, &m->flags) == -1)
		return (-1);
	for (i = 0; i < 4; i++)
		if (dm_u16(m, &m->count[i]) == -1)
			return (-1);
	return (0);
}

/*
 * The name at m->at, which moves behind it.  A pointer has to lead to what
 * stands before the labels it ends, so that there is an end.
 */
static inline int
dm_name(struct dm *m, struct dm_name *n)
{
	size_t at = m->at, run = m->at, end = 0, size;

	n->len = 0;
	for (;;) {
		if (at >= m->len)
			return (-1);
		size = m->p[at];
		if (size >= 0xc0) {
			if (m->len - at < 2)
				return (-1);
			size = (size & 0x3f) << 8 | m->p[at + 1];
			if (end == 0 || (m->loose & DM_BEYOND && end < at + 2))
				end = at + 2;
			if (size >= run)
				return (-1);
			at = run = size;
			continue;
		}
		if (size >= 0x40 && !(m->loose & DM_RESERVED))
			return (-1);
		if (m->len - at < size + 1)
			return (-1);
		if (n->len + size + 1 >
		    (m->loose & DM_LONG ? DM_MAXNAME : 255))
			return (-1);
		memcpy(n->wire + n->len, m->p + at, size + 1);
		n->len += size + 1;
		at += size + 1;
		if (end != 0 && m->loose & DM_BEYOND && end < at)
			end = at;
		if (size == 0)
			break;
	}
	m->at = end != 0 ? end : at;
	return (0);
}

/* One of a message's questions. */
static inline int
dm_question(struct dm *m, struct dm_name *n, uint16_t *type, uint16_t *class)
{
	return (dm_name(m, n) == -1 || dm_u16(m, type) == -1 ||
	    dm_u16(m, class) == -1 ? -1 : 0);
}

static inline int
dm_rdata(struct dm *m, struct dm_rr *rr)
{
	int i;

	switch (rr->type) {
	case DM_MX:
		if (dm_u16(m, &rr->preference) == -1)
			return (-1);
		/* FALLTHROUGH */
	case DM_CNAME:
	case DM_NS:
	case DM_PTR:
		return (dm_name(m, &rr->name[0]));
	case DM_SOA:
		if (dm_name(m, &rr->name[0]) == -1 ||
		    dm_name(m, &rr->name[1]) == -1)
			return (-1);
		for (i = 0; i < 5; i++)
			if (dm_u32(m, &rr->soa[i]) == -1)
				return (-1);
		return (0);
	case DM_A:
	case DM_AAAA:
		if (rr->class == DM_IN) {
			m->at += rr->type == DM_A ? 4 : 16;
			return (m->at > m->len ? -1 : 0);
		}
		/* FALLTHROUGH */
	default:
		m->at += rr->rdlen;
		return (0);
	}
}

/* One of a message's resource records; its data has to be of its length. */
static inline int
dm_rr(struct dm *m, struct dm_rr *rr)
{
	if (dm_question(m, &rr->owner, &rr->type, &rr->class) == -1 ||
	    dm_u32(m, &rr->ttl) == -1 || dm_u16(m, &rr->rdlen) == -1 ||
	    m->len - m->at < rr->rdlen)
		return (-1);
	rr->rdata = m->at;
	if (dm_rdata(m, rr) == -1 || m->at - rr->rdata != rr->rdlen)
		return (-1);
	return (0);
}

/* The name as text, each label with a dot behind it; returns its length. */
static inline size_t
dm_text(const struct dm_name *n, char *text)
{
	size_t at, len = 0, size;

	for (at = 0; (size = n->wire[at]) != 0; at += size + 1) {
		memcpy(text + len, n->wire + at + 1, size);
		len += size;
		text[len++] = '.';
	}
	if (len == 0)
		text[len++] = '.';
	text[len] = '\0';
	return (len);
}

/* Can all of its labels be a part of a C string? */
static inline int
dm_is_text(const struct dm_name *n)
{
	size_t at, i;

	for (at = 0; n->wire[at] != 0; at += n->wire[at] + 1)
		for (i = 1; i <= n->wire[at]; i++)
			if (n->wire[at + i] == '\0')
				return (0);
	return (1);
}

#endif /* DNSMSG_H */
