#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "heap.h"
#include "util.h"

#define OBJECT		"/heap.so"
#define PAGE		"/heap"
/* Its own allocator would hide from us what it does. */
#define PYTHON		"PYTHONMALLOC"

struct heap {
	struct heap_page *page;
};

/* heap.so, which is linked into this program: ld -r -b binary. */
extern const char _binary_heap_so_start[], _binary_heap_so_end[];

static int
write_object(const char *dir)
{
	char *path = xasprintf("%s" OBJECT, dir);
	size_t len = (uintptr_t)_binary_heap_so_end -
	    (uintptr_t)_binary_heap_so_start;
	int fd, rv;

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	free(path);
	if (fd == -1)
		return -1;
	rv = write_all(fd, _binary_heap_so_start, len);
	if (fchmod(fd, 0755) == -1)
		rv = -1;
	close(fd);
	return rv;
}

/* For anybody to write: filters and tables are started as users of their own. */
static struct heap_page *
make_page(const char *dir)
{
	char *path = xasprintf("%s" PAGE, dir);
	struct heap_page *page = NULL;
	int fd;

	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	free(path);
	if (fd == -1)
		return NULL;
	if (fchmod(fd, 0666) == 0 && ftruncate(fd, sizeof(*page)) == 0)
		page = mmap(NULL, sizeof(*page), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	return page == MAP_FAILED ? NULL : page;
}

struct heap *
heap_open(const char *dir)
{
	struct heap_page *page;
	struct heap *h;

	if ((mkdir(dir, 0755) == -1 && errno != EEXIST) ||
	    write_object(dir) == -1 || (page = make_page(dir)) == NULL)
		return NULL;
	h = xcalloc(1, sizeof(*h));
	h->page = page;
	return h;
}

void
heap_close(struct heap *h)
{
	if (h == NULL)
		return;
	munmap(h->page, sizeof(*h->page));
	free(h);
}

const char *const *
heap_env(void)
{
	static const char *const env[] = {
		"LD_PRELOAD=" HEAP_DIR OBJECT,
		HEAP_ENV "=" HEAP_DIR PAGE,
		PYTHON "=malloc",
		NULL
	};

	return env;
}

void
heap_setenv(const char *dir)
{
	char *object = xasprintf("%s" OBJECT, dir);
	char *page = xasprintf("%s" PAGE, dir);

	setenv("LD_PRELOAD", object, 1);
	setenv(HEAP_ENV, page, 1);
	setenv(PYTHON, "malloc", 1);
	free(object);
	free(page);
}

static uint32_t
used(const struct heap *h)
{
	uint32_t n = __atomic_load_n(&h->page->used, __ATOMIC_RELAXED);

	return n < HEAP_SLOTS ? n : HEAP_SLOTS;
}

const struct heap_slot *
heap_find(const struct heap *h, int pid)
{
	uint32_t i;

	for (i = used(h); i > 0; i--)
		if (__atomic_load_n(&h->page->slots[i - 1].pid,
		    __ATOMIC_ACQUIRE) == pid)
			return &h->page->slots[i - 1];
	return NULL;
}

uint64_t
heap_calls(const struct heap *h)
{
	uint64_t sum = 0;
	uint32_t i, n = used(h);

	for (i = 0; i < n; i++)
		sum += __atomic_load_n(&h->page->slots[i].calls,
		    __ATOMIC_RELAXED);
	return sum;
}
