#ifndef SMTPDTEST_CLI_H
#define SMTPDTEST_CLI_H

#include <stddef.h>
#include <stdint.h>

#include "util.h"

/* What the subcommands share: numbers, quoting, and where things lie. */

/*
 * Something that came with us ("ci/target", "scenarios/requirements.tsv"), in
 * the source tree around the executable or where it was installed.  Never
 * freed; NULL when it is nowhere.
 */
char	*cli_share(const char *);
/* The same, but the environment variable wins when it is set. */
char	*cli_share_env(const char *var, const char *);

/* The certificates fixtures/certs/make-certs made; NULL when it did not. */
char	*cli_certs(void);
/* The real filters that ci/filters has made ready; NULL when it has not. */
char	*cli_filters(void);
/* Where results land unless the user says so.  Never freed. */
char	*cli_results(void);

/* The program as the user called it, for the line that repeats a run. */
const char *cli_program(void);

/* Processors that we may use. */
uint64_t cli_cpus(void);
/* So many at once for each of them, 64 at most. */
uint64_t cli_parallel(uint64_t each);

/* Decimal, 0x or 0; 0, or -1 when that is not what it is. */
int	 cli_u64(const char *, uint64_t *);
/* A number between the two; exits 2 with what it should have been. */
uint64_t cli_number(const char *what, const char *, uint64_t lo, uint64_t hi);

/*
 * An option whose argument is kept at an offset of the caller's struct: as it
 * is, a const char *, when hi is 0, or else as a uint64_t from lo to hi.
 */
struct cli_option {
	int		 ch;		/* of getopt_long(3); 0 ends the table */
	size_t		 off;
	const char	*what;		/* of a number: its name in messages */
	uint64_t	 lo, hi;
};
#define CLI_TEXT(ch, type, field) \
	{ (ch), offsetof(type, field), NULL, 0, 0 }
#define CLI_NUMBER(ch, type, field, what, lo, hi) \
	{ (ch), offsetof(type, field), (what), (lo), (hi) }
#define CLI_END	{ 0, 0, NULL, 0, 0 }
/* 1 when it is in the table; exits 2 when the number is none, or too large. */
int	 cli_option_set(const struct cli_option *, void *, int ch, const char *);

/* "stop,cut" as bits of perturb.h; exits 2 with what it should have been. */
unsigned int cli_perturb(const char *);

uint64_t cli_random_seed(void);

/* End as the signal would have ended us, which pool_run() has kept blocked. */
void	 cli_reraise(int);

/* Append a word as a shell takes it, quoted only when it has to be. */
void	 cli_quote(struct buf *, const char *);

/*
 * HOST:PORT or [HOST]:PORT with the name resolved, for the caller to free.
 * Unless any host will do, all its addresses must be of this host's loopback.
 * NULL with one sentence in err.
 */
char	*cli_connect(const char *, int any, char *err, size_t errlen);

#endif
