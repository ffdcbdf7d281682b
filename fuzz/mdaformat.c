/*
 * The command of a delivery, in which specifiers are expanded.
 *
 * fuzz-about: mda_variables.c:mda_expand_format,mda_expand_token
 * fuzz-about: mda_variables.c:mod_lowercase,mod_uppercase,mod_strip
 *
 * The lines of an input: the command; then sender, recipient, recipient after
 * expansion, user, home directory and wrapped command.  What comes out has to
 * be what smtpd.conf(5), FORMAT SPECIFIERS, makes of it.
 */

#include "includes.h"

#include <sys/types.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <sys/socket.h>

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd.h"

#include "fuzz.h"
#include "known.h"
#include "text.h"

ssize_t	 mda_expand_format(char *, size_t, const struct deliver *,
	    const struct userinfo *, const char *);

#define K_OPEN		0x01
#define K_NUMBER	0x02
#define K_RANGEMOD	0x04
#define K_JUNK		0x08
#define K_RAW		0x10

static const struct known known[] = {
	{ K_OPEN, 680, 0, "mda %{rcpt} %{",
	  "nothing at all is expanded, and it is run as it is, where one brace "
	  "is not closed, a name is too long, or the home directory is" },
	{ K_NUMBER, 680, 0, "mda %{rcpt[ +01]}",
	  "numbers are read by strtonum(3), with all it skips" },
	{ K_RANGEMOD, 680, 789, "mda %{rcpt[0:3]:lowercase}",
	  "modifiers after a range are not found, as in the manual's example" },
	{ K_JUNK, 680, 0, "mda %{rcpt[0:3]junk}",
	  "what follows a range is skipped up to the modifiers" },
	{ K_RAW, 790, 0, "mda %{rcpt:raw}",
	  "raw spares the percent sign alone, the manual's example a question "
	  "mark" },
};

static unsigned	bent;

/* Where the values come from. */
struct values {
	struct deliver	 dlv;
	const char	*mda;
};

enum outcome { DONE, FAILED, UNTOUCHED };

/* --- our own reading --------------------------------------------------- */

static int
read_value(const char *name, const struct values *v, char *dst)
{
	const struct deliver *d = &v->dlv;
	const struct {
		const char	*name;
		const char	*user;
		const char	*domain;	/* NULL: no address */
		const char	*empty;
	} names[] = {
		{ "sender",		d->sender.user, d->sender.domain, "" },
		{ "sender.user",	d->sender.user, NULL, NULL },
		{ "sender.domain",	d->sender.domain, NULL, NULL },
		{ "rcpt",		d->rcpt.user, d->rcpt.domain, "" },
		{ "rcpt.user",		d->rcpt.user, NULL, NULL },
		{ "rcpt.domain",	d->rcpt.domain, NULL, NULL },
		{ "dest",		d->dest.user, d->dest.domain, "" },
		{ "dest.user",		d->dest.user, NULL, NULL },
		{ "dest.domain",	d->dest.domain, NULL, NULL },
		{ "user.username",	d->userinfo.username, NULL, NULL },
		{ "user.directory",	d->userinfo.directory, NULL, NULL },
		{ "mbox.from",		d->sender.user, d->sender.domain,
		  "MAILER-DAEMON" },
		{ "mda",		v->mda, NULL, NULL },
	};

	for (size_t i = 0; i < nitems(names); i++) {
		if (strcasecmp(names[i].name, name) != 0)
			continue;
		if (names[i].user == NULL ||
		    strlen(names[i].user) >= EXPAND_BUFFER)
			return 0;
		sprintf(dst, "%s%s%s", names[i].user,
		    names[i].domain ? "@" : "",
		    names[i].domain ? names[i].domain : "");
		if (names[i].domain && strcmp(dst, "@") == 0)
			strcpy(dst, names[i].empty);
		return 1;
	}
	return 0;
}

/* What comes before the name's first plus, and what after the at behind it. */
static void
strip_tag(char *s)
{
	char *plus = strchr(s, '+'), *at;

	if (plus == NULL)
		return;
	at = strchr(plus, '@');
	memmove(plus, at ? at : "", strlen(at ? at : "") + 1);
}

/* name|name, applied in turn. */
static int
modify(char *mods, char *s, int *raw)
{
	char *mod;

	while ((mod = strsep(&mods, "|")) != NULL) {
		if (strcasecmp(mod, "strip") == 0)
			strip_tag(s);
		else if (strcasecmp(mod, "raw") == 0)
			*raw = 1;
		else if (strcasecmp(mod, "lowercase") == 0)
			for (char *p = s; *p; p++)
				*p = tolower((unsigned char)*p);
		else if (strcasecmp(mod, "uppercase") == 0)
			for (char *p = s; *p; p++)
				*p = toupper((unsigned char)*p);
		else
			return 0;
	}
	return 1;
}

/* What a shell might take for more than text. */
static void
sanitize(char *s, int raw, unsigned known_ones)
{
	for (; *s; s++) {
		if (strchr("!#$%&'*?`{|}~", *s) == NULL)
			continue;
		if (!raw || (known_ones & K_RAW && *s != '%'))
			*s = ':';
	}
}

static int
read_offset(const char *s, unsigned known_ones, int *n)
{
	const char *digits = s + (*s == '-');
	char *end;
	long long value;

	if (!(known_ones & K_NUMBER) && (!isdigit((unsigned char)*digits) ||
	    (digits[0] == '0' && s[1] != '\0')))
		return 0;
	value = strtoll(s, &end, 10);
	*n = value;
	return end != s && *end == '\0' && value >= -EXPAND_BUFFER &&
	    value <= EXPAND_BUFFER;
}

/* "[n]" or "[from:to]", either of which may be left out; to is inclusive. */
static int
read_range(char *range, unsigned known_ones, int *from, int *to)
{
	char *colon = strchr(range, ':');

	if (colon == NULL)
		return read_offset(range, known_ones, from) &&
		    (*to = *from, 1);
	*colon++ = '\0';
	return (*range == '\0' || read_offset(range, known_ones, from)) &&
	    (*colon == '\0' || read_offset(colon, known_ones, to));
}

/* Cut s down to the range; negative offsets count from the end. */
static int
cut(char *s, int from, int to)
{
	int len = strlen(s);

	if (len == 0)
		return 1;
	if (from >= len)
		return 0;
	if (to >= len)
		to = len - 1;
	from += from < 0 ? len : 0;
	to += to < 0 ? len - 1 : 0;
	if (from < 0 || to < from)
		return 0;
	memmove(s, s + from, to - from + 1);
	s[to - from + 1] = '\0';
	return strlen(s) < EXPAND_BUFFER - 1;
}

/* name[range]:modifiers */
static int
read_token(char *token, const struct values *v, unsigned known_ones, char *dst)
{
	char *open = strchr(token, '['), *end = strchr(token, ']'), *mods;
	int from = 0, to = EXPAND_BUFFER, raw = 0;

	if (open != NULL && end != NULL) {
		if (end <= open + 1)
			return 0;
		*open++ = *end++ = '\0';
		if (!read_range(open, known_ones, &from, &to))
			return 0;
		if (*end != '\0' && *end != ':' && !(known_ones & K_JUNK))
			return 0;
	} else
		end = token;
	if ((mods = strchr(end, ':')) != NULL) {
		if (end != token && known_ones & K_RANGEMOD)
			return 0;
		*mods++ = '\0';
	}
	if (!read_value(token, v, dst) ||
	    (mods != NULL && !modify(mods, dst, &raw)))
		return 0;
	if (strcasecmp(token, "user.directory") != 0 &&
	    strcasecmp(token, "mda") != 0)
		sanitize(dst, raw, known_ones);
	return cut(dst, from, to);
}

static enum outcome
read_format(const char *s, const struct values *v, unsigned known_ones,
    char *dst)
{
	char token[128], value[EXPAND_BUFFER + PATH_MAX];
	const char *end;
	size_t len = 0, max = sizeof token - (FUZZ_VERSION < 700 ? 1 : 0);
	enum outcome open = known_ones & K_OPEN ? UNTOUCHED : FAILED;

	if (strncmp(s, "~/", 2) == 0) {
		len = strlen(v->dlv.userinfo.directory) + 1;
		if (len >= EXPAND_BUFFER)
			return open;
		memcpy(dst, v->dlv.userinfo.directory, len - 1);
		dst[len - 1] = '/';
		s += 2;
	}
	while (*s && len < EXPAND_BUFFER) {
		if (s[0] != '%' || s[1] != '{') {
			s += s[0] == '%' && s[1] == '%';
			dst[len++] = *s++;
			continue;
		}
		s += 2;
		if ((end = strchr(s, '}')) == NULL || end - s >= (long)max)
			return open;
		memcpy(token, s, end - s);
		token[end - s] = '\0';
		if (!read_token(token, v, known_ones, value) ||
		    len + strlen(value) >= EXPAND_BUFFER)
			return FAILED;
		memcpy(dst + len, value, strlen(value));
		len += strlen(value);
		s = end + 1;
	}
	dst[len] = '\0';
	return len < EXPAND_BUFFER ? DONE : FAILED;
}

/* --- the target -------------------------------------------------------- */

static int
agrees(const char *command, const struct values *v, unsigned known_ones)
{
	char ours[EXPAND_BUFFER + 1], theirs[LINE_MAX];
	enum outcome o;
	ssize_t ret;

	strcpy(theirs, command);
	o = read_format(command, v, known_ones, ours);
	ret = mda_expand_format(theirs, sizeof theirs, &v->dlv,
	    &v->dlv.userinfo, v->mda);
	if (o == UNTOUCHED)
		return ret == 0 && strcmp(theirs, command) == 0;
	if (o == FAILED)
		return ret == -1;
	return ret == (ssize_t)strlen(ours) && strcmp(theirs, ours) == 0;
}

static int
departs(const char *command)
{
	struct values v;

	memset(&v, 0, sizeof v);
	strcpy(v.dlv.rcpt.user, "user+t?g");
	strcpy(v.dlv.rcpt.domain, "example.org");
	v.mda = "";
	return !agrees(command, &v, 0);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct smtpd conf;
	static char plus[] = "+";

	(void)argc;
	(void)argv;
	env = &conf;
	conf.sc_subaddressing_delim = plus;
	bent = known_bits(known, nitems(known));
	return 0;
}

static void
address(struct fuzz_in *in, struct mailaddr *m)
{
	char *s = text_line(in);

	if (!text_to_mailaddr(m, s))
		memset(m, 0, sizeof *m);
	free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;
	struct values v;
	char *command, *mda, *s;

	if (size == 0)
		known_check(known, nitems(known), departs);
	fuzz_in(&in, data, size);
	memset(&v, 0, sizeof v);
	command = text_line(&in);
	address(&in, &v.dlv.sender);
	address(&in, &v.dlv.rcpt);
	address(&in, &v.dlv.dest);
	s = text_line(&in);
	(void)strlcpy(v.dlv.userinfo.username, s,
	    sizeof v.dlv.userinfo.username);
	free(s);
	s = text_line(&in);
	(void)strlcpy(v.dlv.userinfo.directory, s,
	    sizeof v.dlv.userinfo.directory);
	free(s);
	mda = text_line(&in);
	/* 6.8 expects one to be there even where there is none: mda-null. */
	v.mda = *mda == '\0' && FUZZ_VERSION >= 700 ? NULL : mda;
	/* Its caller has no longer one. */
	if (strlen(command) < LINE_MAX && !agrees(command, &v, bent))
		fuzz_fail("\"%s\" is not expanded as it should be", command);
	free(command);
	free(mda);
	return 0;
}
