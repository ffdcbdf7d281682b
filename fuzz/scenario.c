/*
 * The scenario language of smtpdtest(5): whatever stands in a file, it is
 * taken, or refused with one line that says where and why.
 *
 * fuzz-harness: script.c lex.c script_names.c script_steps.c
 * fuzz-about: script.c:words_add,parse_words,parse_known,opt_find
 * fuzz-about: script.c:parse_opts,opts_check,parse_role,parse_scenario
 * fuzz-about: script.c:parse_proves,parse_needs,parse_secret,parse_timeout
 * fuzz-about: script.c:oracle_check,parse_waive,parse_toplevel_known
 * fuzz-about: script.c:parse_file,expect_find,parse_expect,parse_item
 * fuzz-about: script.c:check_text,default_dns,parse_all,script_parse
 * fuzz-about: script.c:script_free
 * fuzz-about: lex.c:parse_fail,lex_pos,lex_newline,lex_skip,lex_eol
 * fuzz-about: lex.c:lex_accept,list_add,lex_here,lex_expect,lex_word
 * fuzz-about: lex.c:lex_hex,lex_escape,line_room,lex_string,lex_regex
 * fuzz-about: lex.c:lex_value,lex_rest,dedent,lex_block,parse_number
 * fuzz-about: lex.c:parse_range,lex_range,parse_time
 * fuzz-about: script_names.c:name_note,group_note,groups_note,var_note
 * fuzz-about: script_names.c:vars_note,is_builtin,name_defined,names_check
 * fuzz-about: script_steps.c:step_new,step_find,step_words,parse_angle
 * fuzz-about: script_steps.c:parse_say,parse_hear,parse_step,parse_steps
 * fuzz-about: script_steps.c:parse_text
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "script.h"

#define PATH	"a.smtp"

/* Does "PATH:LINE:COL: text" point into the file? */
static void
check_error(const char *err, const char *text, size_t len)
{
	int line, col, n = 0, lines = 1;
	size_t i;

	for (i = 0; i < len; i++)
		lines += text[i] == '\n';
	if (sscanf(err, PATH ":%d:%d: %n", &line, &col, &n) != 2 || n == 0 ||
	    err[n] == '\0')
		fuzz_fail("no place or no text: %s", err);
	if (line < 1 || line > lines || col < 1 || (size_t)col > len + 1)
		fuzz_fail("not a place of %d lines: %s", lines, err);
	for (i = (size_t)n; err[i] != '\0'; i++)
		if (iscntrl((unsigned char)err[i]))
			fuzz_fail("control character in: %s", err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct scenario *sc;
	char err[256], again[256], *text;

	/* its end is the end of the memory: one byte further is seen */
	text = malloc(len == 0 ? 1 : len);
	if (text == NULL)
		return 0;
	memcpy(text, data, len);
	memset(err, 'x', sizeof(err));
	if ((sc = script_parse(PATH, text, len, err, sizeof(err))) == NULL) {
		if (memchr(err, '\0', sizeof(err)) == NULL)
			fuzz_fail("the error has no end");
		check_error(err, text, len);
		if (script_parse(PATH, text, len, again, sizeof(again)) !=
		    NULL || strcmp(err, again) != 0)
			fuzz_fail("another error the second time: %s", again);
	}
	script_free(sc);
	free(text);
	return 0;
}
