/*
 * The Sender Rewriting Scheme: senders that are rewritten when mail is
 * forwarded, and recipients that come back to us for that.
 *
 * fuzz-about: srs.c:srs_encode,srs0_encode,srs1_encode_srs0,srs1_encode_srs1
 * fuzz-about: srs.c:srs_decode,srs0_decode,srs1_decode,srs_hash
 * fuzz-about: srs.c:timestamp_check_range,minrange,maxrange
 *
 * The first line of an input is how many days have passed.  Then there are
 * pairs of lines, a sender and the domain that forwards it: the daemon has to
 * make of them what we do, and the sender of that again.  A sender is decoded
 * as well, as the recipient it might be; behind SRS the hash may be "????" and
 * the day "??", for which the right ones are put in, the former with the new
 * key, or with the old one where the prefix has a small r.
 */

#include "includes.h"

#include <sys/types.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <sys/socket.h>

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "smtpd.h"

#include "fuzz.h"
#include "known.h"
#include "text.h"

#define TTL		4		/* days */
#define ADDRMAX		(SMTPD_MAXMAILADDRSIZE - 1)

#define K_DELIM		0x01
#define K_EMPTY		0x02

static const struct known known[] = {
	{ K_DELIM, 680, 0, "SRS0=\?\?\?\?/\?\?/example.org=alice@relay.example",
	  "what stands between hash, day and domain is not looked at" },
	{ K_EMPTY, 680, 0, "SRS0=\?\?\?\?=\?\?==alice@relay.example",
	  "a sender without a domain or without a user is a recipient" },
};

static const char	 base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static char		 key[] = "the key", old_key[] = "the key before";
static unsigned		 bent;

/*
 * The first four characters, in the base 64 of file names, of the digest of the
 * key and s.
 */
static void
hash(const char *with, const char *s, char *dst)
{
	unsigned char md[SHA_DIGEST_LENGTH], text[4 * SHA_DIGEST_LENGTH];
	char buf[8192];

	snprintf(buf, sizeof buf, "%s%s", with, s);
	SHA1((unsigned char *)buf, strlen(buf), md);
	EVP_EncodeBlock(text, md, sizeof md);
	for (int i = 0; i < 4; i++)
		dst[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
}

static int
today(void)
{
	return time(NULL) / (60 * 60 * 24) % 1024;
}

/* --- encoding ---------------------------------------------------------- */

/* Put "SRSn=HHHH=" before text into dst; 0 if it gets too long. */
static int
seal(int n, const char *text, char *dst)
{
	char h[4];

	hash(key, text, h);
	return snprintf(dst, ADDRMAX + 1, "SRS%d=%.4s=%s", n, h, text) <=
	    ADDRMAX;
}

/*
 * What becomes of sender; 0 if it stays what it is, which for one that has been
 * rewritten already is without its prefix.
 */
static int
encode(const char *sender, const char *domain, char *dst)
{
	char text[4096];
	const char *at, *user = sender;
	int n = 0, day = today();

	if (strncasecmp(sender, "SRS0=", 5) == 0 ||
	    strncasecmp(sender, "SRS1=", 5) == 0) {
		n = sender[3] == '0' ? 1 : 2;
		user += 5;
	}
	if ((at = strrchr(user, '@')) == NULL)
		at = user + strlen(user);
	if (at - user > ADDRMAX || strlen(at) > ADDRMAX + 1)
		return 0;
	if (n == 0)
		sprintf(text, "%c%c=%s=%.*s@%s", base32[day >> 5],
		    base32[day & 31], *at ? at + 1 : "", (int)(at - user),
		    user, domain);
	else if (n == 1)
		sprintf(text, "%s==%.*s@%s", *at ? at + 1 : "",
		    (int)(at - user), user, domain);
	else {
		sprintf(text, "%.*s@%s", (int)(at - user), user, domain);
		if (strlen(text) > ADDRMAX || strlen(text) < 5 ||
		    strchr("=+-", text[4]) == NULL)
			return 0;
		memmove(text, text + 5, strlen(text + 5) + 1);
	}
	return strlen(text) <= ADDRMAX && seal(n == 0 ? 0 : 1, text, dst);
}

/* --- decoding ---------------------------------------------------------- */

static int
delimiter(int c, unsigned known_ones)
{
	return known_ones & K_DELIM ? c != '\0' :
	    c == '=' || c == '+' || c == '-';
}

/* Two characters that say a day which is neither to come nor long past. */
static int
good_day(const char *s)
{
	const char *a = strchr(base32, s[0]), *b = strchr(base32, s[1]);
	int age;

	if (a == NULL || b == NULL)
		return 0;
	age = (today() - ((a - base32) << 5 | (b - base32)) + 1024) % 1024;
	return age <= TTL || age == 1023;
}

/* The address behind "=" or "SRS0", whose parts stand the other way round. */
static int
turn_round(const char *s, const char *prefix, unsigned known_ones, char *dst)
{
	const char *at = strrchr(s, '@'), *eq = strchr(s, '=');

	if (at == NULL)
		at = s + strlen(s);
	if (at - s > ADDRMAX || strlen(at) > ADDRMAX + 1 ||
	    eq == NULL || eq >= at)
		return 0;
	if (!(known_ones & K_EMPTY) && (eq == s || eq + 1 == at))
		return 0;
	return snprintf(dst, ADDRMAX + 1, "%s%.*s@%.*s", prefix,
	    (int)(at - eq - 1), eq + 1, (int)(eq - s), s) <= ADDRMAX;
}

static int
decode(const char *s, unsigned known_ones, char *dst)
{
	char now[4], before[4];
	const char *p;
	int n;

	if (strncasecmp(s, "SRS0=", 5) != 0 && strncasecmp(s, "SRS1=", 5) != 0)
		return 0;
	n = s[3] - '0';
	s += 5;
	if (strlen(s) < 5 || !delimiter(s[4], known_ones))
		return 0;
	hash(key, s + 5, now);
	hash(old_key, s + 5, before);
	if (memcmp(s, now, 4) != 0 && memcmp(s, before, 4) != 0)
		return 0;
	s += 5;
	if (n == 0)
		return strlen(s) >= 3 && good_day(s) &&
		    delimiter(s[2], known_ones) &&
		    turn_round(s + 3, "", known_ones, dst);
	if (!turn_round(s, "SRS0", known_ones, dst))
		return 0;
	/* =HHHH=DD=, of which only the last two can be checked here. */
	p = dst + 4;
	n = strrchr(dst, '@') - p;
	return n >= 9 && delimiter(p[0], known_ones) &&
	    delimiter(p[5], known_ones) && good_day(p + 6) &&
	    strchr("=+-", p[8]) != NULL;
}

/* Put in the hash and the day where they are asked for. */
static void
fill_in(char *s)
{
	char *p = s + 10;
	int day = today();

	if (strlen(s) < 10)
		return;
	if (s[3] == '1' && (p = strchr(p, '=')) != NULL)
		p = strlen(p) < 8 ? NULL : p + 7;
	if (p != NULL && strncmp(p, "??", 2) == 0) {
		p[0] = base32[day >> 5];
		p[1] = base32[day & 31];
	}
	if (strncmp(s + 5, "????", 4) == 0)
		hash(s[1] == 'R' ? key : old_key, s + 10, s + 5);
}

static int
decode_agrees(const char *s, unsigned known_ones)
{
	char ours[SMTPD_MAXMAILADDRSIZE];
	const char *theirs;

	theirs = srs_decode(s);
	if (!decode(s, known_ones, ours))
		return theirs == NULL;
	return theirs != NULL && strcmp(theirs, ours) == 0;
}

static int
departs(const char *s)
{
	char buf[256];

	strcpy(buf, s);
	fill_in(buf);
	return !decode_agrees(buf, 0);
}

/* --- the target -------------------------------------------------------- */

static void
there_and_back(const char *sender, const char *domain)
{
	char ours[4096], theirs[SMTPD_MAXMAILADDRSIZE];
	const char *p, *at;

	p = srs_encode(sender, domain);
	if (!encode(sender, domain, ours)) {
		/* Rewritten before and too long now: its "SRS0=" gets lost. */
		if (p != sender && p != sender + 5)
			fuzz_fail("\"%s\" is rewritten to \"%s\"", sender, p);
		return;
	}
	if (strcmp(p, ours) != 0)
		fuzz_fail("\"%s\" is rewritten to \"%s\", not \"%s\"", sender,
		    p, ours);
	/* A domain that is none is not told from the user behind it. */
	at = strrchr(sender, '@');
	if (at == NULL || strchr(at, '=') != NULL ||
	    strncasecmp(sender, "SRS", 3) == 0)
		return;
	strlcpy(theirs, p, sizeof theirs);
	if ((p = srs_decode(theirs)) == NULL || strcmp(p, sender) != 0)
		fuzz_fail("\"%s\" is rewritten to \"%s\" and back to \"%s\"",
		    sender, theirs, p == NULL ? "nothing" : p);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct smtpd conf;

	(void)argc;
	(void)argv;
	env = &conf;
	conf.sc_srs_key = key;
	conf.sc_srs_key_backup = old_key;
	conf.sc_srs_ttl = TTL;
	bent = known_bits(known, nitems(known));
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;
	char *sender, *domain, *days;

	if (size == 0)
		known_check(known, nitems(known), departs);
	fuzz_in(&in, data, size);
	days = text_line(&in);
	fuzz_sleep(strtoul(days, NULL, 10) % 1024 * (60 * 60 * 24));
	free(days);
	do {
		sender = text_line(&in);
		domain = text_line(&in);
		/* Names were checked on their way here. */
		domain[strspn(domain, "abcdefghijklmnopqrstuvwxyz"
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")] = '\0';
		if (strlen(sender) < 1024 && strlen(domain) < 256) {
			there_and_back(sender, domain);
			if (strncasecmp(sender, "SRS", 3) == 0)
				fill_in(sender);
			if (!decode_agrees(sender, bent))
				fuzz_fail("\"%s\" is decoded to \"%s\"",
				    sender, srs_decode(sender));
		}
		free(sender);
		free(domain);
	} while (in.left > 0);
	return 0;
}
