#ifndef SMTPDTEST_SCRIPT_H
#define SMTPDTEST_SCRIPT_H

#include <sys/queue.h>

#include <stddef.h>
#include <stdint.h>

#include "perturb.h"
#include "util.h"

/* The parsed form of a scenario file: smtpdtest(5). */

struct pos {
	const char	*file;
	int		 line;
	int		 col;
};

/* Both ends included; sizes in bytes, times in microseconds. */
struct range {
	uint64_t	 lo;
	uint64_t	 hi;
};

struct word {
	STAILQ_ENTRY(word) entry;
	const char	*text;
	struct pos	 pos;
};
STAILQ_HEAD(words, word);

/* A pinned deviation: on these targets this is what is got instead. */
struct known {
	STAILQ_ENTRY(known) entry;
	struct pos	 pos;
	struct words	 targets;
	const char	*oracle;	/* NULL: belongs to a step or an expect */
	const char	*got;		/* the exact text, or a /regex/ */
	const char	*why;
	struct words	 breaks;	/* ids of the catalogue, if told */
	int		 told;
	int		 used;
	int		 seen;		/* what it belongs to was judged */
};
STAILQ_HEAD(knowns, known);

struct step;
STAILQ_HEAD(steps, step);

struct step_kind;

struct step {
	STAILQ_ENTRY(step) entry;
	const struct step_kind *kind;
	struct pos	 pos;
	const char	*text;		/* the argument as written, ${} and all */
	void		*arg;		/* parsed by the kind */
	struct range	 range;
	struct steps	 body;
	struct step	*next_alt;	/* choose: the "or" that follows */
	struct knowns	 knowns;
};

struct actor_kind;

struct opt {
	STAILQ_ENTRY(opt) entry;
	const char	*name;
	const char	*value;		/* NULL for a bare word */
	struct pos	 pos;
};
STAILQ_HEAD(opts, opt);

/* An actor as declared; what it becomes in a run is struct actor. */
struct role {
	STAILQ_ENTRY(role) entry;
	const struct actor_kind *kind;
	const char	*name;
	struct pos	 pos;
	struct words	 on;		/* what begins it, for some kinds */
	struct opts	 opts;
	const char	*text;		/* raw block, for kinds that have one */
	struct pos	 textpos;
	struct steps	 steps;		/* dialogue, for kinds that have one */
	void		*arg;		/* parsed by the kind */
};
STAILQ_HEAD(roles, role);

struct expect_kind;

struct expect {
	STAILQ_ENTRY(expect) entry;
	const struct expect_kind *kind;
	struct pos	 pos;
	struct words	 args;
	struct knowns	 knowns;
};
STAILQ_HEAD(expects, expect);

struct file {
	STAILQ_ENTRY(file) entry;
	const char	*path;
	struct pos	 pos;
	unsigned int	 mode;
	const char	*owner;
	const char	*makemap;	/* what its .db is: aliases, set, map; or NULL */
	const char	*text;
	size_t		 len;
};
STAILQ_HEAD(files, file);

struct waive {
	STAILQ_ENTRY(waive) entry;
	const char	*oracle;
	const char	*why;
	struct pos	 pos;
};
STAILQ_HEAD(waives, waive);

/* Harm to the lines of a real filter, as "tap --fault" has it. */
struct fault {
	STAILQ_ENTRY(fault) entry;
	const char	*filter;
	const char	*spec;
	struct pos	 pos;
};
STAILQ_HEAD(faults, fault);

struct scenario {
	struct arena	*arena;
	const char	*path;
	const char	*name;
	struct words	 proves;
	struct words	 needs;
	struct words	 secrets;
	struct words	 values;	/* variables of a profile it uses */
	int		 anywhere;	/* any server will do */
	struct roles	 roles;
	struct files	 files;
	struct expects	 expects;
	struct knowns	 knowns;	/* of oracles */
	struct waives	 waives;
	struct faults	 faults;
	struct windows	 windows;	/* processes that stand still */
	struct rests	 rests;		/* what happens when nothing moves */
	uint64_t	 timeout;	/* of a step, microseconds */
};

/*
 * Parse one file.  NULL after "file:line:col: what, what was expected" was
 * written to err (at most errlen bytes, always NUL-terminated).
 */
struct scenario	*script_load(const char *path, char *err, size_t errlen);
/* The same from memory; path is for messages. */
struct scenario	*script_parse(const char *path, const char *text, size_t len,
		    char *err, size_t errlen);
void		 script_free(struct scenario *);

#endif
