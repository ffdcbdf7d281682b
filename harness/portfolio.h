#ifndef SMTPDTEST_PORTFOLIO_H
#define SMTPDTEST_PORTFOLIO_H

#include <jansson.h>
#include <stddef.h>

/*
 * Which perturbations to try next: sets of them that compete for the time.  One
 * that still comes upon states not seen before gets more of it (UCB1: Auer,
 * Cesa-Bianchi, Fischer, Machine Learning 47, 2002).
 */
struct portfolio;

/* Only sets within these bits of perturb.h. */
struct portfolio *portfolio_new(unsigned int allowed);
void	 portfolio_free(struct portfolio *);

/* The set to try now. */
unsigned int portfolio_next(struct portfolio *);
/*
 * It was tried for so many seconds, and these states were seen (an object, its
 * keys).  Returns how many of them are new.
 */
size_t	 portfolio_tried(struct portfolio *, unsigned int set,
	    const json_t *states, double seconds);

size_t	 portfolio_states(const struct portfolio *);

/* All it has learnt, to go on later; the caller owns it. */
json_t	*portfolio_save(const struct portfolio *);
void	 portfolio_restore(struct portfolio *, const json_t *);

#endif
