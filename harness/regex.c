#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <err.h>
#include <stdint.h>
#include <string.h>

#include "regex.h"
#include "util.h"

static pcre2_code *
regex_compile(const char *re, char *err, size_t errlen)
{
	PCRE2_UCHAR text[120];
	PCRE2_SIZE off;
	pcre2_code *code;
	int n;

	code = pcre2_compile((PCRE2_SPTR)re, PCRE2_ZERO_TERMINATED,
	    PCRE2_MULTILINE, &n, &off, NULL);
	if (code == NULL && err != NULL) {
		pcre2_get_error_message(n, text, sizeof(text));
		snprintf(err, errlen, "%s (at its character %zu)",
		    (char *)text, off + 1);
	}
	return code;
}

int
regex_check(const char *re, char *err, size_t errlen)
{
	pcre2_code *code;

	if ((code = regex_compile(re, err, errlen)) == NULL)
		return -1;
	pcre2_code_free(code);
	return 0;
}

/* Entry i of the name table: its name, and in *n the number of its group. */
static const char *
group_name(const pcre2_code *code, uint32_t i, uint32_t *n)
{
	PCRE2_SPTR table;
	uint32_t size;

	pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &table);
	pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &size);
	table += i * size;
	*n = (uint32_t)table[0] << 8 | table[1];
	return (const char *)table + 2;
}

static uint32_t
group_count(const pcre2_code *code)
{
	uint32_t n;

	pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &n);
	return n;
}

int
regex_match(const char *re, const char *text, size_t len,
    void (*group)(void *, const char *, const char *, size_t), void *arg)
{
	pcre2_code *code;
	pcre2_match_data *md;
	PCRE2_SIZE *ov;
	const char *name;
	uint32_t i, n;
	int rc;

	if ((code = regex_compile(re, NULL, 0)) == NULL)
		errx(1, "regular expression /%s/ no longer compiles", re);
	md = pcre2_match_data_create_from_pattern(code, NULL);
	rc = pcre2_match(code, (PCRE2_SPTR)text, len, 0, 0, md, NULL);
	if (rc > 0 && group != NULL) {
		ov = pcre2_get_ovector_pointer(md);
		for (i = 0; i < group_count(code); i++) {
			name = group_name(code, i, &n);
			if (ov[2 * n] != PCRE2_UNSET)
				group(arg, name, text + ov[2 * n],
				    ov[2 * n + 1] - ov[2 * n]);
		}
	}
	pcre2_match_data_free(md);
	pcre2_code_free(code);
	return rc > 0;
}

void
regex_groups(const char *re, void (*fn)(void *, const char *), void *arg)
{
	pcre2_code *code;
	uint32_t i, n;

	if ((code = regex_compile(re, NULL, 0)) == NULL)
		return;
	for (i = 0; i < group_count(code); i++)
		fn(arg, group_name(code, i, &n));
	pcre2_code_free(code);
}
