/*
 * What a line of aliases(5), of forward(5) or of a map of senders lists: users,
 * addresses, files, commands, includes and errors.
 *
 * fuzz-about: to.c:text_to_expandnode,expandnode_to_text,alias_is_filter
 * fuzz-about: to.c:alias_is_username,alias_is_address,alias_is_filename
 * fuzz-about: to.c:alias_is_include,alias_is_error
 * fuzz-about: expand.c:expand_line,expand_line_split,expand_insert,expand_cmp
 * fuzz-about: expand.c:expand_clear,expand_lookup,expand_to_text
 * fuzz-about: mailaddr.c:mailaddr_line,mailaddr_line_split,maddrmap_insert
 * fuzz-about: mailaddr.c:maddrmap_init,maddrmap_free
 *
 * The items of the first line of an input have to be those that a reading of
 * our own finds, and each is the same after it was printed and read again.
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

#include "smtpd.h"

#include "fuzz.h"
#include "known.h"
#include "text.h"

#define K_HALF		0x01
#define K_LONG		0x02
#define K_DOTS		0x04
#define K_HYPHEN	0x08

#define MAX_ITEMS	64	/* of a line */

/* aliases(5): "key: value1, value2, ..."; an example is one value. */
static const struct known known[] = {
	{ K_HALF, 680, 0, "alice@ex_ample.org",
	  "an address that is refused for its domain is taken for a local user "
	  "with the name before the first at" },
	{ K_LONG, 680, 0,
	  "alice@xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	  "xxxxx"
	  ".xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	  ".xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	  ".xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	  ".xxxxxxxxx",
	  "what does not fit into 255 characters is cut off: another address" },
	{ K_DOTS, 680, 0, ".alice..b@.example..org.",
	  "dots may be anywhere" },
	{ K_HYPHEN, 680, 0, "alice@-example-.org",
	  "so may hyphens in the domain" },
};

static unsigned		 bent;
static struct expandnode parent = { .type = EXPAND_ADDRESS };
static struct rule	 rule;

struct item {
	enum expand_type type;
	char		 text[EXPAND_BUFFER];	/* of an address the user */
	char		 domain[SMTPD_MAXDOMAINPARTSIZE];
};

/* --- our own reading --------------------------------------------------- */

/* len characters, of which each is a letter, a digit or one of others. */
static int
only(const char *s, size_t len, const char *others)
{
	for (; len > 0; s++, len--)
		if (!isalnum((unsigned char)*s) &&
		    (*s == '\0' || strchr(others, *s) == NULL))
			return 0;
	return 1;
}

/* Atoms, that are not empty, and dots between them. */
static int
dots(const char *s, size_t len)
{
	if (len == 0 || s[0] == '.' || s[len - 1] == '.')
		return 0;
	for (size_t i = 1; i < len; i++)
		if (s[i] == '.' && s[i - 1] == '.')
			return 0;
	return 1;
}

static int
hyphens(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] == '-' && (i == 0 || i == len - 1 ||
		    s[i - 1] == '.' || s[i + 1] == '.'))
			return 0;
	return 1;
}

/* An RFC 5322 address, addr-spec, without quotes and literals. */
static int
read_address(const char *s, unsigned known_ones, struct item *it)
{
	const char *at = strchr(s, '@'), *domain;
	size_t user, len, max = SMTPD_MAXLOCALPARTSIZE - 1;

	if (at == NULL || at == s || at[1] == '\0')
		return 0;
	domain = at + 1;
	user = at - s;
	len = strlen(domain);
	if (!only(s, user, "!#$%*/?|^{}`~&'+-=_.") || !only(domain, len, "-."))
		return 0;
	if (!(known_ones & K_DOTS) && (!dots(s, user) || !dots(domain, len)))
		return 0;
	if (!(known_ones & K_HYPHEN) && !hyphens(domain, len))
		return 0;
	if (user > max || len > max) {
		if (!(known_ones & K_LONG))
			return 0;
		user = user > max ? max : user;
		len = len > max ? max : len;
	}
	it->type = EXPAND_ADDRESS;
	memcpy(it->text, s, user);
	memcpy(it->domain, domain, len);
	return 1;
}

static int
read_user(const char *s, size_t len, struct item *it)
{
	if (len >= SMTPD_MAXLOCALPARTSIZE || !only(s, len, "_.-+"))
		return 0;
	it->type = EXPAND_USERNAME;
	memcpy(it->text, s, len);
	return 1;
}

static int
read_text(const char *s, size_t len, enum expand_type type, struct item *it)
{
	if (len >= sizeof it->text)
		return 0;
	it->type = type;
	memcpy(it->text, s, len);
	return 1;
}

/* ":word:" or "word:" at the start of s; what follows it. */
static const char *
after(const char *s, const char *word)
{
	size_t len = strlen(word);

	if (strncasecmp(s, word, len) == 0)
		return s + len;
	return strncasecmp(s, word + 1, len - 1) == 0 ? s + len - 1 : NULL;
}

static int
is_error(const char *s)
{
	return (s[0] == '4' || s[0] == '5') && isdigit((unsigned char)s[1]) &&
	    isdigit((unsigned char)s[2]) && s[3] == ' ' &&
	    isalnum((unsigned char)s[4]);
}

static int
read_item(const char *s, unsigned known_ones, struct item *it)
{
	const char *p, *at;
	size_t len = strlen(s);

	memset(it, 0, sizeof *it);
	if ((p = after(s, ":error:")) != NULL && is_error(p) &&
	    read_text(p, strlen(p), EXPAND_ERROR, it))
		return 1;
	if ((p = after(s, ":include:")) != NULL && *p == '/' &&
	    read_text(p, strlen(p), EXPAND_INCLUDE, it))
		return 1;
	/* In quotes, that it still has, or without. */
	if (s[0] == '|' && read_text(s + 1, len - 1, EXPAND_FILTER, it))
		return 1;
	if (strncmp(s, "\"|", 2) == 0 && len > 2 && s[len - 1] == '"' &&
	    len - 2 < sizeof it->text)
		return read_text(s + 2, len - 3, EXPAND_FILTER, it);
	memset(it, 0, sizeof *it);
	if (s[0] == '/' && read_text(s, len, EXPAND_FILENAME, it))
		return 1;
	if (read_address(s, known_ones, it) || read_user(s, len, it))
		return 1;
	at = strchr(s, '@');
	return known_ones & K_HALF && at != NULL && at != s && at[1] != '\0' &&
	    read_user(s, at - s, it);
}

/*
 * Take the next item off *line: up to a comma outside of quotes, without the
 * backslash before a character that it protects and the blanks around.  1 with
 * one, 0 at the end, -1 if a quote or backslash is left open or it is too long.
 */
static int
next_item(const char **line, char *dst)
{
	const char *s = *line;
	char quote = 0, *end = dst, *start;

	if (*s == '\0')
		return 0;
	for (; *s != '\0' && (*s != ',' || quote); s++) {
		if (end - dst == LINE_MAX)
			return -1;
		if (*s == '\\') {
			if (*++s == '\0')
				return -1;
		} else if ((*s == '"' || *s == '\'') && (!quote || quote == *s))
			quote = quote ? 0 : *s;
		*end++ = *s;
	}
	if (end - dst == LINE_MAX || (*s == '\0' && quote))
		return -1;
	*line = *s == ',' ? s + 1 : s;
	while (end > dst && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	for (start = dst; isspace((unsigned char)*start); start++)
		;
	memmove(dst, start, strlen(start) + 1);
	return 1;
}

/* --- comparing --------------------------------------------------------- */

static int
same(const struct expandnode *xn, const struct item *it)
{
	if (xn->type != it->type)
		return 0;
	if (xn->type == EXPAND_ADDRESS)
		return strcmp(xn->u.mailaddr.user, it->text) == 0 &&
		    strcmp(xn->u.mailaddr.domain, it->domain) == 0;
	return strcmp(xn->u.buffer, it->text) == 0;
}

static int
has(struct expand *e, const struct item *it)
{
	struct expandnode *xn;

	RB_FOREACH(xn, expandtree, &e->tree)
		if (same(xn, it))
			return 1;
	return 0;
}

static void
start(struct expand *e)
{
	memset(e, 0, sizeof *e);
	RB_INIT(&e->tree);
	e->parent = &parent;
	e->rule = &rule;
}

/* What an item was is what it is after it was printed. */
static void
there_and_back(struct expandnode *xn)
{
	static const char *prefixes[] = {
		[EXPAND_FILTER] = "|",
		[EXPAND_INCLUDE] = ":include:",
		[EXPAND_ERROR] = "error:",
	};
	struct expandnode again;
	const char *prefix = NULL;
	char buf[2 * EXPAND_BUFFER];

	/* Of a command or a name of more than 1,023 characters: K_LONG. */
	if (xn->type == EXPAND_ADDRESS &&
	    (xn->u.mailaddr.user[0] == '|' || xn->u.mailaddr.user[0] == '/'))
		return;
	if ((size_t)xn->type < nitems(prefixes))
		prefix = prefixes[xn->type];
	snprintf(buf, sizeof buf, "%s%s", prefix ? prefix : "",
	    expandnode_to_text(xn));
	if (!text_to_expandnode(&again, buf) || again.type != xn->type ||
	    memcmp(&again.u, &xn->u, sizeof again.u) != 0)
		fuzz_fail("\"%s\" is not read as it was printed",
		    expandnode_to_text(xn));
}

static int
departs(const char *s)
{
	struct expandnode xn;
	struct item it;
	char buf[LINE_MAX];
	int ok;

	strcpy(buf, s);
	ok = text_to_expandnode(&xn, buf);
	return ok != read_item(s, 0, &it) || (ok && !same(&xn, &it));
}

/* --- lines ------------------------------------------------------------- */

static void
aliases(const char *line)
{
	struct expand e;
	struct expandnode *xn;
	struct item it;
	char buf[LINE_MAX + 1], text[64];
	const char *p = line;
	size_t found = 0;
	int ok, ret = 1;

	start(&e);
	ok = expand_line(&e, line, 1);
	if (strlen(line) >= LINE_MAX) {
		if (ok || e.nb_nodes > 0)
			fuzz_fail("a line of %zu characters", strlen(line));
		return;
	}
	while (ret > 0 && (ret = next_item(&p, buf)) > 0) {
		if (*buf == '\0')
			continue;
		if (!read_item(buf, bent, &it))
			ret = -1;
		else if (!has(&e, &it))
			fuzz_fail("\"%s\" lacks \"%s\"", line, buf);
	}
	if (ok != (ret == 0))
		fuzz_fail("\"%s\" is %s", line, ok ? "taken" : "refused");
	RB_FOREACH(xn, expandtree, &e.tree) {
		there_and_back(xn);
		found++;
	}
	if (found != e.nb_nodes)
		fuzz_fail("\"%s\" has %zu items of %zu", line, found,
		    e.nb_nodes);
	(void)expand_to_text(&e, text, sizeof text);
	/* There must be no more than ours, however often these are. */
	for (p = line; ret == 0 && next_item(&p, buf) > 0;)
		if (*buf != '\0' && read_item(buf, bent, &it))
			RB_FOREACH(xn, expandtree, &e.tree)
				if (!xn->forwarded && same(xn, &it)) {
					xn->forwarded = 1;
					found--;
				}
	if (ret == 0 && found > 0)
		fuzz_fail("\"%s\" has %zu items too many", line, found);
	expand_clear(&e);
}

/*
 * What the same line is when four parents have it: nothing, and as in the list
 * lka keeps, two users that come of one address and one of another.  An item is
 * there once for each address; a file or a command, which is written or run as
 * some user, once for each user; and a user once more as his own.
 */
static void
families(const char *line)
{
	static struct expandnode other = { .type = EXPAND_ADDRESS };
	static struct expandnode users[] = {
		{ .type = EXPAND_USERNAME, .parent = &parent,
		  .u.user = "alice" },
		{ .type = EXPAND_USERNAME, .parent = &parent,
		  .u.user = "bob" },
		{ .type = EXPAND_USERNAME, .parent = &other,
		  .u.user = "alice" },
	};
	struct expand e, alone;
	struct expandnode *xn;
	size_t expected = 0;

	start(&e);
	start(&alone);
	(void)expand_line(&alone, line, 1);
	RB_FOREACH(xn, expandtree, &alone.tree) {
		expected += 3;
		if (xn->type == EXPAND_FILENAME || xn->type == EXPAND_FILTER ||
		    (xn->type == EXPAND_USERNAME &&
		    (strcmp(xn->u.user, "alice") == 0 ||
		    strcmp(xn->u.user, "bob") == 0)))
			expected++;
	}
	expand_clear(&alone);
	for (size_t i = 0; i <= nitems(users); i++) {
		e.parent = i == 0 ? NULL : &users[i - 1];
		(void)expand_line(&e, line, 1);
	}
	if (e.nb_nodes != expected)
		fuzz_fail("\"%s\" is %zu items of four parents, not %zu", line,
		    e.nb_nodes, expected);
	expand_clear(&e);
}

/* The same items, in turn, are addresses. */
static void
senders(const char *line)
{
	struct maddrmap *map;
	struct maddrnode *mn;
	struct mailaddr m;
	char buf[LINE_MAX + 1];
	const char *p = line;
	int ok, ret = 1;

	if ((map = malloc(sizeof *map)) == NULL)
		abort();
	maddrmap_init(map);
	ok = mailaddr_line(map, line);
	mn = TAILQ_FIRST(&map->queue);
	while (ret > 0 && (ret = next_item(&p, buf)) > 0) {
		if (*buf == '\0')
			continue;
		if (!text_to_mailaddr(&m, buf))
			ret = -1;
		else if (mn == NULL ||
		    memcmp(&mn->mailaddr, &m, sizeof m) != 0)
			fuzz_fail("senders \"%s\" lack \"%s\"", line, buf);
		else
			mn = TAILQ_NEXT(mn, entries);
	}
	if (ok != (ret == 0) || mn != NULL)
		fuzz_fail("senders \"%s\" are %s", line,
		    ok ? "taken" : "refused");
	maddrmap_free(map);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	bent = known_bits(known, nitems(known));
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;
	char *line, *p;
	int items;

	if (size == 0)
		known_check(known, nitems(known), departs);
	fuzz_in(&in, data, size);
	line = text_line(&in);
	/* For speed: more of the same would show nothing more. */
	for (p = line, items = 0; *p != '\0'; p++)
		items += *p == ',';
	if (items > MAX_ITEMS) {
		free(line);
		return 0;
	}
	aliases(line);
	if (strlen(line) < 128)
		families(line);
	senders(line);
	free(line);
	return 0;
}
