/*
 * scenarios/requirements.tsv: a catalogue that is taken finds each of its ids,
 * one that is not says where and why.
 *
 * fuzz-harness: catalogue.c
 * fuzz-about: catalogue.c:add,catalogue_parse,catalogue_find
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "catalogue.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct catalogue *c;
	size_t i;
	char err[256];
	int line, col, n = 0;

	c = catalogue_parse("r.tsv", (const char *)data, len, err, sizeof(err));
	if (c == NULL) {
		if (sscanf(err, "r.tsv:%d:%d: %n", &line, &col, &n) != 2 ||
		    n == 0 || err[n] == '\0' || line < 1 || col < 1 ||
		    (size_t)line > len + 1 || (size_t)col > len + 1)
			fuzz_fail("not a place: %s", err);
		return 0;
	}
	for (i = 0; i < c->n; i++) {
		if (catalogue_find(c, c->req[i].id) != &c->req[i])
			fuzz_fail("%s finds another", c->req[i].id);
		if (strpbrk(c->req[i].id, "\t\n") != NULL)
			fuzz_fail("id with a separator");
	}
	catalogue_free(c);
	return 0;
}
