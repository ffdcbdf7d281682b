#ifndef SMTPDTEST_PARSER_H
#define SMTPDTEST_PARSER_H

#include <setjmp.h>

#include "script.h"

/*
 * The state of one parse, shared by script.c (the file), lex.c (the words) and
 * the tables of actors, steps and expectations, which parse their own words.
 */
struct name_ref;

struct parser {
	struct scenario	*sc;
	struct arena	*arena;
	const char	*path;
	const char	*p;		/* where we are */
	const char	*bol;		/* start of this line */
	const char	*end;
	int		 line;
	int		 col0;		/* added to columns: a text within a line */
	const struct actor_kind *kind;	/* whose dialogue this is, or NULL */
	const char	*role;		/* its name */
	int		 batch;		/* inside batch: nothing may be heard */
	STAILQ_HEAD(, name_ref) refs;	/* checked when all is parsed */
	jmp_buf		 fail;
	char		*err;
	size_t		 errlen;
};

enum name_use { POINT_REACH, POINT_AWAIT, VAR_SET, VAR_USE };

/* Parsing errors do not return. */
void	 parse_fail(struct parser *, const struct pos *, const char *, ...)
	    __attribute__((noreturn, format(printf, 3, 4)));

struct pos lex_pos(const struct parser *);
/* Skip blanks and comments; with nl also line ends. */
void	 lex_skip(struct parser *, int nl);
/* At the end of the line, or before a closing brace? */
int	 lex_eol(struct parser *);
/* Does this very text come next?  Then step over it. */
int	 lex_accept(struct parser *, const char *);
void	 lex_expect(struct parser *, const char *, const char *where);
/* A word: anything up to a blank or brace.  what names it in the error. */
const char *lex_word(struct parser *, const char *what);
/* "text" with \r \n \t \0 \xHH \\ \" */
const char *lex_string(struct parser *, const char *what, size_t *);
/* /regex/ with \/ for a slash; compiled once to see that it is one. */
const char *lex_regex(struct parser *);
/* A word or a "string". */
const char *lex_value(struct parser *, const char *what);
/* The rest of the line, without a closing " }". */
const char *lex_rest(struct parser *);
/* The text of a raw { block } as it stands, common indentation removed. */
const char *lex_block(struct parser *, struct pos *);
/* "2000", "1..50", with K M (sizes) or us ms s m (times; default s). */
struct range lex_range(struct parser *, const char *what);
struct range parse_range(struct parser *, const struct pos *, const char *,
		    const char *what);
uint64_t parse_time(struct parser *, const struct pos *, const char *);

/* "a b" and "c" to "a b c": what was expected instead of something. */
const char *list_add(struct parser *, const char *, const char *);

/* Note the use of a point or variable, judged when the file is read. */
void	 name_note(struct parser *, enum name_use, const char *,
	    const struct pos *);
/* Note every ${variable} of a text; also checks the syntax of each. */
void	 vars_note(struct parser *, const char *, const struct pos *);
/* The named groups of a regex become variables. */
void	 groups_note(struct parser *, const char *, const struct pos *);

/* The judgement: every use has its definition, or it is a mistake. */
void	 names_check(struct parser *);

/* A dialogue up to its closing brace. */
void	 parse_steps(struct parser *, struct steps *);
/* Append the steps of a text of ours, as if it stood here. */
void	 parse_text(struct parser *, struct steps *, const struct pos *,
	    const char *);
struct step *step_new(struct parser *, struct steps *, const struct step_kind *,
	    const struct pos *);
void	 parse_known(struct parser *, struct knowns *, int toplevel);
void	 parse_opts(struct parser *, struct opts *);
const struct opt *opt_find(const struct opts *, const char *);

#endif
