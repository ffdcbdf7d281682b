/*
 * Inputs that are lines of text, each in memory of its own size, so that a
 * sanitizer sees who reads beyond one.
 */

#ifndef FUZZ_TEXT_H
#define FUZZ_TEXT_H

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/*
 * The next line without its newline, up to a NUL if it has one; empty where
 * there are no more.  The caller frees it.
 */
static inline char *
text_line(struct fuzz_in *in)
{
	const uint8_t *nl = NULL;
	size_t len;
	char *s;

	if (in->left > 0)
		nl = memchr(in->p, '\n', in->left);
	len = nl == NULL ? in->left : (size_t)(nl - in->p);
	if ((s = malloc(len + 1)) == NULL)
		abort();
	if (len > 0)
		memcpy(s, in->p, len);
	s[len] = '\0';
	len += nl != NULL;
	in->p += len;
	in->left -= len;
	return s;
}

#endif
