#ifndef SMTPDTEST_MEMCHECK_H
#define SMTPDTEST_MEMCHECK_H

#include <jansson.h>
#include <stdint.h>

struct leak_result;

/* What valgrind's memcheck says, read and judged. */

/*
 * Append an object for each loss record of "leak_check full increased" to the
 * list: {process, batch, kind, bytes, blocks, stack}, of bytes and blocks what
 * came since the check before.
 */
void	 memcheck_leaks(const char *text, const char *process,
	    unsigned int batch, json_t *list);

/* The same for each error of a log: {process, what, stack}. */
void	 memcheck_errors(const char *log, const char *process, json_t *list);

/*
 * Rows for what grew by N sessions in batch 1 and, in proportion, by 2N in batch
 * 2, wherever it is, and for the errors.
 */
void	 memcheck_judge(const json_t *leaks, const json_t *errors, uint64_t n,
	    struct leak_result *);

/*
 * Where a stack's blame goes, for the caller to free: its first function that
 * neither belongs to a library nor allocates for others.
 */
char	*memcheck_function(const char *stack);
/* The stack from what that function called, for the caller to free. */
char	*memcheck_stack(const char *stack);

#endif
