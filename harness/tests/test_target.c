#include <sys/types.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "target.h"
#include "util.h"

static const struct {
	const char	*a;
	const char	*b;
	int		 sign;
} versions[] = {
	{ "6.8.0p2",	"7.6.0p1",	-1 },
	{ "6.8.0p2",	"6.8.0p2",	0 },
	{ "6.8.0p1",	"6.8.0p2",	-1 },
	{ "6.8.0p10",	"6.8.0p9",	1 },
	{ "7.10.0p0",	"7.9.0p0",	1 },
	{ "7.6",	"7.6.0",	0 },
	{ "7.6",	"7.6.0p0",	0 },
	{ "7.6",	"7.6.0p1",	-1 },
	{ "7.6.1",	"7.6.0p9",	1 },
	{ "7.9.0-portable", "7.9.0p0",	0 },
	{ "7",		"6.9.9p9",	1 },
	{ "",		"0.0",		0 },
	{ "",		"1",		-1 },
	{ "99999999999999999999", "1",	1 },
};

static void
test_version_cmp(void **state)
{
	size_t	 i;
	int	 c;

	(void)state;
	for (i = 0; i < nitems(versions); i++) {
		c = version_cmp(versions[i].a, versions[i].b);
		assert_int_equal((c > 0) - (c < 0), versions[i].sign);
		c = version_cmp(versions[i].b, versions[i].a);
		assert_int_equal((c > 0) - (c < 0), -versions[i].sign);
	}
}

static const struct {
	const char	*name;
	const char	*version;
	const char	*pattern;
	int		 matches;
} patterns[] = {
	{ "distro",		"6.8.0p2",	"*",		1 },
	{ "distro",		"6.8.0p2",	"distro",	1 },
	{ "distro",		"6.8.0p2",	"6.8.0p2",	1 },
	{ "distro",		"6.8.0p2",	"6.8",		0 },
	{ "distro",		"6.8.0p2",	"<7.0",		1 },
	{ "distro",		"6.8.0p2",	">=7.0",	0 },
	{ "7.6.0p1",		"7.6.0p1",	"distro",	0 },
	{ "7.6.0p1",		"7.6.0p1",	">=7.6",	1 },
	{ "7.6.0p1",		"7.6.0p1",	"<=7.6.0p1",	1 },
	{ "7.6.0p1",		"7.6.0p1",	">7.6.0p1",	0 },
	{ "7.6.0p1",		"7.6.0p1",	"<7.6.0p1",	0 },
	{ "7.6.0p1",		"7.6.0p1",	">= 7.6",	1 },
	{ "7.9.0p0+asan",	"7.9.0p0",	"7.9.0p0",	1 },
	{ "7.9.0p0+asan",	"7.9.0p0",	"7.9.0p0+asan",	1 },
	{ "7.9.0p0",		"7.9.0p0",	"7.9.0p0+asan",	0 },
	{ "7.9.0p0",		"7.9.0p0",	"",		0 },
	{ "src:x",		"7.9.0p0",	"src:y",	0 },
};

static void
test_target_matches(void **state)
{
	struct target	 t = { 0 };
	size_t		 i;

	(void)state;
	for (i = 0; i < nitems(patterns); i++) {
		t.name = patterns[i].name;
		t.version = patterns[i].version;
		assert_int_equal(target_matches(&t, patterns[i].pattern),
		    patterns[i].matches);
	}
}

static void
test_target_has(void **state)
{
	const struct target	 t = { .features = " tls filters\ttables " };
	const struct target	 none = { .features = "" };

	(void)state;
	assert_true(target_has(&t, "tls"));
	assert_true(target_has(&t, "tables"));
	assert_false(target_has(&t, "table"));
	assert_false(target_has(&t, "filters tables"));
	assert_false(target_has(&none, "tls"));
	assert_false(target_has(&none, ""));
}

/* Each of these has a directory of its own to put targets in. */

static int
setup(void **state)
{
	char	*dir;

	dir = xstrdup("/tmp/test_target.XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	*state = dir;
	return 0;
}

static int
teardown(void **state)
{
	char	*cmd;
	int	 rc;

	cmd = xasprintf("rm -rf '%s'", (char *)*state);
	rc = system(cmd);
	free(cmd);
	free(*state);
	return rc;
}

static void
write_to(const char *dir, const char *name, const char *text, mode_t mode)
{
	char	*path;
	FILE	*f;

	path = xasprintf("%s/%s", dir, name);
	assert_non_null(f = fopen(path, "w"));
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
	free(path);
}

static const char	complete[] =
    "# made by a test\n"
    "name=7.9.0p0\nversion=7.9.0p0\nroot=.\nsmtpd=/usr/sbin/smtpd\n"
    "smtpctl = /usr/sbin/smtpctl \nuser=u\nqueueuser=q\nchroot=/c\n"
    "socket=/s\nspool=/sp\nfeatures=tls filters\nsource=somewhere=else\n\n";

static void
test_find_dir(void **state)
{
	const char	*dir = *state;
	struct target	*t;

	write_to(dir, "target", complete, 0644);
	assert_non_null(t = target_find(dir));
	assert_string_equal(t->spec, dir);
	assert_string_equal(t->name, "7.9.0p0");
	assert_string_equal(t->smtpctl, "/usr/sbin/smtpctl");
	assert_string_equal(t->features, "tls filters");
	assert_int_equal(t->root[0], '/');
	assert_string_equal(strrchr(t->root, '/'), strrchr(dir, '/'));
}

static void
test_find_broken(void **state)
{
	const char	*dir = *state;

	write_to(dir, "target", "name=x\nversion=1\n", 0644);
	assert_null(target_find(dir));
	write_to(dir, "target", "name\n", 0644);
	assert_null(target_find(dir));
	write_to(dir, "target", "", 0644);
	assert_null(target_find(dir));
}

/* The specification goes to ci/target; the last line it prints is the place. */
static void
test_find_spec(void **state)
{
	const char	*dir = *state;
	struct target	*t;
	char		*script, *prog;

	write_to(dir, "target", complete, 0644);
	script = xasprintf("#!/bin/sh\n[ \"$1\" = 'a b+asan' ] || exit 3\n"
	    "echo building >&2\necho words; echo %s\n", dir);
	write_to(dir, "ci", script, 0755);
	prog = xasprintf("%s/ci", dir);
	assert_int_equal(setenv("SMTPDTEST_CI_TARGET", prog, 1), 0);
	assert_non_null(t = target_find("a b+asan"));
	assert_string_equal(t->spec, "a b+asan");
	assert_string_equal(t->version, "7.9.0p0");
	assert_null(target_find("other"));

	write_to(dir, "ci", "#!/bin/sh\nkill -9 $$\n", 0755);
	assert_null(target_find("a b+asan"));
	write_to(dir, "ci", "#!/bin/sh\necho /nonexistent\n", 0755);
	assert_null(target_find("a b+asan"));
	write_to(dir, "ci", "#!/bin/sh\n", 0755);
	assert_null(target_find("a b+asan"));
	assert_int_equal(unlink(prog), 0);
	assert_null(target_find("a b+asan"));
	assert_int_equal(unsetenv("SMTPDTEST_CI_TARGET"), 0);
	free(prog);
	free(script);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(test_version_cmp),
		cmocka_unit_test(test_target_matches),
		cmocka_unit_test(test_target_has),
		cmocka_unit_test_setup_teardown(test_find_dir, setup, teardown),
		cmocka_unit_test_setup_teardown(test_find_broken, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_find_spec, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
