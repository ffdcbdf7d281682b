/*
 * For targets whose part of the daemon keeps what it allocates: a configuration
 * is never freed, and fatal() leaves all behind.  Between reclaim_begin() and
 * reclaim_end() every allocation is noted, and reclaim_end() frees those that are
 * left.  A leak is thus not seen by such a target, but no input burdens the next.
 *
 * It takes the hooks of AddressSanitizer.  Without it (AFL++'s cmplog, coverage)
 * what is left stays.  Streams must be closed before reclaim_end(), and static
 * pointers into what is freed be forgotten.
 */
#ifndef FUZZ_RECLAIM_H
#define FUZZ_RECLAIM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int	 __sanitizer_install_malloc_and_free_hooks(
    void (*)(const volatile void *, size_t), void (*)(const volatile void *));
#pragma weak __sanitizer_install_malloc_and_free_hooks

#define RECLAIM_MAX	(1 << 17)	/* a power of two */
#define RECLAIM_GONE	((const volatile void *)1)

/* Open addressing; reclaim_used are the slots that are not empty. */
static const volatile void *reclaim_slots[RECLAIM_MAX];
static uint32_t		 reclaim_used[RECLAIM_MAX], reclaim_n;
static _Thread_local int	 reclaim_on;	/* libFuzzer has threads of its own */

static uint32_t
reclaim_hash(const volatile void *p)
{
	return (((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15 >> 40) &
	    (RECLAIM_MAX - 1);
}

static void
reclaim_malloc(const volatile void *p, size_t size)
{
	uint32_t h;

	/* more than that leaks */
	if (!reclaim_on || p == NULL || reclaim_n >= RECLAIM_MAX / 2)
		return;
	for (h = reclaim_hash(p); reclaim_slots[h] != NULL;
	    h = (h + 1) & (RECLAIM_MAX - 1))
		;
	reclaim_slots[h] = p;
	reclaim_used[reclaim_n++] = h;
}

static void
reclaim_free(const volatile void *p)
{
	uint32_t h;

	if (!reclaim_on || p == NULL)
		return;
	for (h = reclaim_hash(p); reclaim_slots[h] != NULL;
	    h = (h + 1) & (RECLAIM_MAX - 1))
		if (reclaim_slots[h] == p) {
			reclaim_slots[h] = RECLAIM_GONE;
			return;
		}
}

static void __attribute__((__constructor__))
reclaim_install(void)
{
	if (__sanitizer_install_malloc_and_free_hooks != NULL)
		__sanitizer_install_malloc_and_free_hooks(reclaim_malloc,
		    reclaim_free);
}

static void
reclaim_begin(void)
{
	reclaim_on = 1;
}

static void
reclaim_end(void)
{
	const volatile void *p;
	uint32_t i;

	reclaim_on = 0;
	for (i = 0; i < reclaim_n; i++) {
		p = reclaim_slots[reclaim_used[i]];
		reclaim_slots[reclaim_used[i]] = NULL;
		if (p != RECLAIM_GONE)
			free((void *)(uintptr_t)p);
	}
	reclaim_n = 0;
}

#endif /* FUZZ_RECLAIM_H */
