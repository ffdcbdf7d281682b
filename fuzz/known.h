/*
 * Known ways in which the daemon departs from the grammar it should follow.
 *
 * A target that has a reading of its own reads each input with the rules that
 * are known to be bent in this version, and the daemon has to agree with that
 * to the letter: a departure which nobody has seen yet is a finding, however
 * close to a known one.  Without any of them the reading is the strict one.
 * The empty input tries each example: where the daemon no longer departs there,
 * the entry has to go.
 */

#ifndef FUZZ_KNOWN_H
#define FUZZ_KNOWN_H

#include <stddef.h>

#include "fuzz.h"

struct known {
	unsigned	 bit;
	int		 first;		/* FUZZ_VERSION that has it first ... */
	int		 last;		/* ... and last; 0: it still does */
	const char	*example;
	const char	*why;
};

static inline int
known_here(const struct known *k)
{
	return k->first <= FUZZ_VERSION &&
	    (k->last == 0 || FUZZ_VERSION <= k->last);
}

/* What there is of the n entries in the version under test, as bits. */
static inline unsigned
known_bits(const struct known *k, size_t n)
{
	unsigned bits = 0;

	for (size_t i = 0; i < n; i++)
		if (known_here(&k[i]))
			bits |= k[i].bit;
	return bits;
}

/*
 * Give each example to departs(), which says whether the daemon and the strict
 * reading differ on it; if they do not, that is a finding too.
 */
static inline void
known_check(const struct known *k, size_t n, int (*departs)(const char *))
{
	for (size_t i = 0; i < n; i++)
		if (known_here(&k[i]) && !departs(k[i].example))
			fuzz_fail("\"%s\" is read strictly now: %s",
			    k[i].example, k[i].why);
}

#endif
