/*
 * Counts what a process has on its heap, for whoever shares the page that the
 * environment names; see heap.h.  Built as a shared object for LD_PRELOAD.
 * glibc calls these for its own strdup(3) and the like as well ("Replacing
 * malloc" in its manual), and offers its own under other names, so that nothing
 * has to be looked up while nothing can be allocated yet.
 */
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "heap.h"

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void *__libc_valloc(size_t);
extern void *__libc_pvalloc(size_t);
extern void __libc_free(void *);

/* Until the page is there, and of a child that has not executed anything yet. */
static struct heap_slot	 own;
static struct heap_slot	*slot = &own;

static void
count(int64_t bytes, int64_t blocks)
{
	__atomic_fetch_add(&slot->bytes, bytes, __ATOMIC_RELAXED);
	__atomic_fetch_add(&slot->blocks, blocks, __ATOMIC_RELAXED);
	__atomic_fetch_add(&slot->calls, 1, __ATOMIC_RELAXED);
}

static void *
took(void *p)
{
	if (p != NULL)
		count((int64_t)malloc_usable_size(p), 1);
	return p;
}

void *
malloc(size_t size)
{
	return took(__libc_malloc(size));
}

void *
calloc(size_t n, size_t size)
{
	return took(__libc_calloc(n, size));
}

void *
realloc(void *p, size_t size)
{
	int64_t before = (int64_t)malloc_usable_size(p);
	void *q;

	if (p == NULL)
		return malloc(size);
	if ((q = __libc_realloc(p, size)) != NULL)
		count((int64_t)malloc_usable_size(q) - before, 0);
	else if (size == 0)
		count(-before, -1);
	return q;
}

void *
memalign(size_t align, size_t size)
{
	return took(__libc_memalign(align, size));
}

void *
aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int
posix_memalign(void **p, size_t align, size_t size)
{
	void *q;

	if (align < sizeof(void *) || (align & (align - 1)) != 0)
		return EINVAL;
	if ((q = memalign(align, size)) == NULL)
		return ENOMEM;
	*p = q;
	return 0;
}

void *
valloc(size_t size)
{
	return took(__libc_valloc(size));
}

void *
pvalloc(size_t size)
{
	return took(__libc_pvalloc(size));
}

void
free(void *p)
{
	int error = errno;

	if (p == NULL)
		return;
	count(-(int64_t)malloc_usable_size(p), -1);
	__libc_free(p);
	errno = error;
}

/* A copy of the heap that is not the parent's any more. */
static void
forked(void)
{
	slot = &own;
}

static void __attribute__((constructor))
start(void)
{
	const char *path = getenv(HEAP_ENV);
	struct heap_page *page;
	uint32_t i;
	int fd;

	if (path == NULL || (fd = open(path, O_RDWR | O_CLOEXEC)) == -1)
		return;
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	close(fd);
	if (page == MAP_FAILED)
		return;
	i = __atomic_fetch_add(&page->used, 1, __ATOMIC_RELAXED);
	if (i >= HEAP_SLOTS)
		return;
	pthread_atfork(NULL, NULL, forked);
	page->slots[i] = own;
	slot = &page->slots[i];
	__atomic_store_n(&slot->pid, getpid(), __ATOMIC_RELEASE);
}
