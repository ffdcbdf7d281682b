#ifndef SMTPDTEST_UTIL_H
#define SMTPDTEST_UTIL_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define nitems(a)	(sizeof(a) / sizeof((a)[0]))

/*
 * Memory that lives as long as its owner (a scenario, a run) and is freed in
 * one go.  Every function exits on exhaustion, so none returns NULL.
 */
struct arena;

struct arena	*arena_new(void);
void		 arena_free(struct arena *);
void		*arena_alloc(struct arena *, size_t);	/* zeroed */
char		*arena_strndup(struct arena *, const char *, size_t);
char		*arena_strdup(struct arena *, const char *);
char		*arena_printf(struct arena *, const char *, ...)
		    __attribute__((format(printf, 2, 3)));

/* A growing byte buffer; data is always followed by a NUL that len excludes. */
struct buf {
	char	*data;
	size_t	 len;
	size_t	 cap;
};

void	 buf_add(struct buf *, const void *, size_t);
void	 buf_addstr(struct buf *, const char *);
void	 buf_addf(struct buf *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));
void	 buf_addvis(struct buf *, const void *, size_t);
/* The last line that is not empty, as buf_addvis(), to be freed; or NULL. */
char	*buf_lastline(const struct buf *);
void	 buf_drain(struct buf *, size_t);	/* drop the first n bytes */
void	 buf_reset(struct buf *);		/* empty, keep the memory */
void	 buf_free(struct buf *);

void	*xcalloc(size_t, size_t);
void	*xreallocarray(void *, size_t, size_t);
char	*xstrdup(const char *);
char	*xasprintf(const char *, ...) __attribute__((format(printf, 1, 2)));

uint64_t now_us(void);			/* monotonic, microseconds */
uint64_t fnv64(const void *, size_t);	/* FNV-1a, for names and seeds */
int	 write_all(int, const void *, size_t);	/* 0, or -1 with errno */
char	*read_file(const char *, size_t *, size_t);	/* max bytes; NULL with errno */
char	*read_fd(int, size_t *, size_t);
int	 base64_encode(struct buf *, const void *, size_t);
void	 set_cloexec(int);
void	 set_nonblock(int);

#endif
