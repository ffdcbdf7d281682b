/* Points and variables: each that is used must come from somewhere. */
#include <ctype.h>
#include <string.h>

#include "parser.h"
#include "profile.h"
#include "regex.h"

struct name_ref {
	STAILQ_ENTRY(name_ref) entry;
	enum name_use	 use;
	const char	*name;
	const char	*role;
	struct pos	 pos;
};

/* Variables that are always there. */
static const char *const builtins[] = {
	"session", "i", "target", "version", "seed", NULL
};

void
name_note(struct parser *p, enum name_use use, const char *name,
    const struct pos *pos)
{
	struct name_ref *r = arena_alloc(p->arena, sizeof(*r));

	r->use = use;
	r->name = name;
	r->role = p->role;
	r->pos = *pos;
	STAILQ_INSERT_TAIL(&p->refs, r, entry);
}

struct group_arg {
	struct parser	*p;
	const struct pos *pos;
};

static void
group_note(void *arg, const char *name)
{
	struct group_arg *g = arg;

	name_note(g->p, VAR_SET, arena_strdup(g->p->arena, name), g->pos);
}

void
groups_note(struct parser *p, const char *re, const struct pos *pos)
{
	struct group_arg g = { p, pos };

	regex_groups(re, group_note, &g);
}

/* One ${...}: a variable, b64:text, or text*count. */
static const char *
var_note(struct parser *p, const char *s, const struct pos *pos)
{
	const char *e = s;
	int depth = 1;

	for (; *e != '\0'; e++) {
		if (e[0] == '$' && e[1] == '{')
			depth++;
		if (*e == '}' && --depth == 0)
			break;
	}
	if (*e == '\0')
		parse_fail(p, pos, "expected a \"}\" after \"${\"");
	if (strncmp(s, "b64:", 4) == 0)
		vars_note(p, arena_strndup(p->arena, s + 4,
		    (size_t)(e - s - 4)), pos);
	else if (memmem(s, (size_t)(e - s), "${", 2) != NULL)
		parse_fail(p, pos, "\"${\" inside \"${\": expected that only "
		    "in ${b64:...}");
	else if (memchr(s, '*', (size_t)(e - s)) == NULL)
		name_note(p, VAR_USE, arena_strndup(p->arena, s,
		    (size_t)(e - s)), pos);
	return e + 1;
}

void
vars_note(struct parser *p, const char *s, const struct pos *pos)
{
	const char *e;

	while ((s = strchr(s, '$')) != NULL) {
		s++;
		if (*s == '$')
			s++;
		else if (*s == '{')
			s = var_note(p, s + 1, pos);
		else if (isalpha((unsigned char)*s)) {
			for (e = s; isalnum((unsigned char)*e) || *e == '_'; )
				e++;
			name_note(p, VAR_USE, arena_strndup(p->arena, s,
			    (size_t)(e - s)), pos);
			s = e;
		}
	}
}

static int
is_builtin(const char *name)
{
	size_t i;

	for (i = 0; builtins[i] != NULL; i++)
		if (strcmp(builtins[i], name) == 0)
			return 1;
	return 0;
}

/* Set before in the same dialogue, or anywhere in another one. */
static int
name_defined(struct parser *p, const struct name_ref *use, enum name_use def)
{
	struct name_ref *r;
	int before = 1;

	STAILQ_FOREACH(r, &p->refs, entry) {
		if (r == use)
			before = 0;
		if (r->use == def && strcmp(r->name, use->name) == 0 &&
		    (before || def == POINT_REACH ||
		    strcmp(r->role, use->role) != 0))
			return 1;
	}
	return 0;
}

/* A value that the server's profile has to give. */
static void
value_add(struct parser *p, const struct name_ref *r)
{
	struct word *w;

	STAILQ_FOREACH(w, &p->sc->values, entry)
		if (strcmp(w->text, r->name) == 0)
			return;
	w = arena_alloc(p->arena, sizeof(*w));
	w->text = r->name;
	w->pos = r->pos;
	STAILQ_INSERT_TAIL(&p->sc->values, w, entry);
}

void
names_check(struct parser *p)
{
	struct name_ref *r;

	STAILQ_FOREACH(r, &p->refs, entry) {
		if (r->use == VAR_USE && !is_builtin(r->name) &&
		    !name_defined(p, r, VAR_SET) &&
		    profile_has_var(r->name, strlen(r->name)))
			value_add(p, r);
		else if (r->use == VAR_USE && !is_builtin(r->name) &&
		    !name_defined(p, r, VAR_SET))
			parse_fail(p, &r->pos, "undefined variable \"%s\": "
			    "expected one that is set, captured by a named "
			    "group, given by a profile, or session, i, target, "
			    "version, seed",
			    r->name);
		if (r->use == POINT_AWAIT && !name_defined(p, r, POINT_REACH))
			parse_fail(p, &r->pos, "nobody reaches \"%s\": "
			    "expected a <reach %s> in some dialogue", r->name,
			    r->name);
	}
}
