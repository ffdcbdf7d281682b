/*
 * What sanitizers would see, for a C library they do not know: each block of the
 * daemon's ends where a page that cannot be touched begins, and itself cannot be
 * touched once it is released.  ci/musl links it, with --wrap for the functions
 * below; blocks of the C library's own (strdup(3)) stay what they are.
 *
 * So musl's freeaddrinfo(3), which looks for its own data behind an entry of a
 * list, crashes with a list it has not made, always; without this it depends on
 * what happens to be there.
 */
#include <sys/mman.h>

#include <err.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE	4096UL
#define ARENA	(1UL << 36)		/* of addresses; they are not used again */
#define ALIGN	16UL

/* In a page of its own before the block's first. */
struct head {
	size_t	 size;			/* that was asked for */
	size_t	 pages;			/* with this one and the guard */
};

static char	*arena, *next;

void	*__real_realloc(void *, size_t);
void	 __real_free(void *);
void	*__wrap_malloc(size_t);
void	*__wrap_calloc(size_t, size_t);
void	*__wrap_realloc(void *, size_t);
void	 __wrap_free(void *);

static int
is_ours(const void *p)
{
	return (arena != NULL && (const char *)p >= arena &&
	    (const char *)p < next);
}

static struct head *
head_of(const void *p)
{
	return ((struct head *)(((uintptr_t)p & ~(PAGE - 1)) - PAGE));
}

void *
__wrap_malloc(size_t size)
{
	struct head *h;
	size_t room, pages;

	if (arena == NULL) {
		arena = mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
		    MAP_NORESERVE, -1, 0);
		if (arena == MAP_FAILED)
			err(2, "mmap");
		next = arena;
	}
	room = (size + ALIGN - 1) & ~(ALIGN - 1);
	if (room == 0)
		room = ALIGN;
	pages = (room + PAGE - 1) / PAGE + 2;
	if (next + pages * PAGE > arena + ARENA)
		errx(2, "no addresses left");
	h = (struct head *)next;
	next += pages * PAGE;
	if (mprotect(h, (pages - 1) * PAGE, PROT_READ | PROT_WRITE) == -1)
		err(2, "mprotect");
	h->size = size;
	h->pages = pages;
	return ((char *)h + (pages - 1) * PAGE - room);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / size)
		return (NULL);
	return (__wrap_malloc(n * size));	/* fresh pages are zero */
}

void
__wrap_free(void *p)
{
	struct head *h;
	size_t pages;

	if (!is_ours(p)) {
		__real_free(p);
		return;
	}
	h = head_of(p);
	pages = h->pages;			/* of a released one: a crash */
	if (madvise(h, pages * PAGE, MADV_DONTNEED) == -1 ||
	    mprotect(h, pages * PAGE, PROT_NONE) == -1)
		err(2, "free");
}

void *
__wrap_realloc(void *p, size_t size)
{
	void *q;
	size_t old;

	if (p != NULL && !is_ours(p))
		return (__real_realloc(p, size));
	q = __wrap_malloc(size);
	if (p != NULL) {
		old = head_of(p)->size;
		memcpy(q, p, old < size ? old : size);
		__wrap_free(p);
	}
	return (q);
}
