/*
 * What every fuzz target shares: a guard that survives the daemon's fatal(),
 * time and randomness that are the same for each input, and a cursor that turns
 * octets into decisions.  fuzz.c implements it; the directives a target's head
 * comment may have are described in fuzz/build.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

int	 LLVMFuzzerInitialize(int *, char ***);
int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* FUZZ_VERSION: the daemon's version as a number, 680 for 6.8.0p2. */

/*
 * Call fn(arg).  Return 0 when it returned; 1 when the daemon gave up on the way
 * by fatal(), fatalx(), exit(3), _exit(2) or one of the err(3) family.  Whatever
 * it had allocated by then and kept nowhere is lost: the daemon would have ended.
 * Calls do not nest.  Giving up outside of a guard is a finding.
 */
int	 fuzz_guard(void (*)(void *), void *);

/*
 * Why the last fuzz_guard() returned 1: the text of fatal() or err(), or "exit".
 * Valid until the next call of fuzz_guard(); empty if it returned 0.
 */
const char *fuzz_fatal(void);

/* A finding: print the text and abort. */
void	 fuzz_fail(const char *, ...)
	    __attribute__((__format__(printf, 1, 2), __noreturn__));

/*
 * Begin anew: errno, clock and random numbers are as they were for the first
 * input.  Done before each input without being asked.
 */
void	 fuzz_reset(void);

/*
 * Run an input whose edges do not count, from LLVMFuzzerInitialize(): so that what
 * the daemon sets up when it is first needed is there for each input alike.
 */
void	 fuzz_warm_up(const char *);

/* Let the clock that the daemon sees go on by that many seconds. */
void	 fuzz_sleep(unsigned int);

/* The part of an input that was not consumed yet; the input is not copied. */
struct fuzz_in {
	const uint8_t	*p;
	size_t		 left;
};

void	 fuzz_in(struct fuzz_in *, const uint8_t *, size_t);

/* The next octets as a number, big endian; past the end there are zeros. */
uint8_t	 fuzz_u8(struct fuzz_in *);
uint16_t fuzz_u16(struct fuzz_in *);
uint32_t fuzz_u32(struct fuzz_in *);

/*
 * Copy the next line without its newline, cut to size - 1 octets, as a string
 * (a NUL in it ends what is copied).  Return 0 when nothing is left.
 */
int	 fuzz_line(struct fuzz_in *, char *, size_t);

/* All that is left, and its length; consumes it. */
const uint8_t *fuzz_rest(struct fuzz_in *, size_t *);

#endif /* FUZZ_H */
