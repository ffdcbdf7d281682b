#ifndef SMTPDTEST_HEAP_H
#define SMTPDTEST_HEAP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Live heap of the daemon's processes, exactly and at full speed: a shared
 * object (harness/preload/heap.c) that LD_PRELOAD puts before glibc's malloc in
 * a process that is otherwise what it always is.  The binary is not touched, the
 * allocator is glibc's own; what is added is a count of bytes and blocks in a
 * page that it shares with us.  It is mapped before the process goes into its
 * chroot, and the environment brings it to whatever smtpd executes.
 *
 * Why not from outside: mallinfo2(3), called by way of ptrace, counts what
 * glibc keeps in its thread cache as used, which may be some 200 kB and comes
 * and goes; RSS knows pages only; valgrind is 50 times slower.
 */
#define HEAP_ENV	"SMTPDTEST_HEAP"
#define HEAP_SLOTS	8192

/* One executed program; the last one of a pid counts. */
struct heap_slot {
	int32_t		 pid;		/* 0: not ready */
	int64_t		 bytes;		/* live, as malloc_usable_size(3) has it */
	int64_t		 blocks;	/* live */
	uint64_t	 calls;		/* of malloc, free, ... so far */
};

struct heap_page {
	uint32_t	 used;
	struct heap_slot slots[HEAP_SLOTS];
};

struct heap;

#define HEAP_DIR	"/run/smtpdtest"

/*
 * Inside the sandbox, before what is to be counted: writes object and page to
 * that directory, which is made if need be.  NULL with errno.
 */
struct heap	*heap_open(const char *dir);
void		 heap_close(struct heap *);
/*
 * NAME=VALUE strings that have a process counted in HEAP_DIR, NULL-terminated;
 * static.  Or the same in another directory, put into our own environment.
 */
const char	*const *heap_env(void);
void		 heap_setenv(const char *dir);
/* Where the counts of a process are, or NULL: it is not counted. */
const struct heap_slot *heap_find(const struct heap *, int pid);
/* Calls of all processes together: while that stands still nobody works. */
uint64_t	 heap_calls(const struct heap *);

#endif
