/*
 * usage: TARGET [-n RUNS] FILE|DIRECTORY...
 *
 * Runs a fuzz target on files, each RUNS times (1), with no engine: what builds
 * it may be any compiler.  A file is named before it runs, so that the last name
 * printed is the one to blame.  Exit status: 0 all returned; 2 usage, or nothing
 * to run; a crash ends as the sanitizers or abort(3) end it.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#pragma weak LLVMFuzzerInitialize

/* There if LeakSanitizer is; says 1 if something was lost. */
int	 __lsan_do_recoverable_leak_check(void);
#pragma weak __lsan_do_recoverable_leak_check

static unsigned long	 runs = 1, files;

static void	 run_path(const char *);

static void
run_file(const char *path, size_t size)
{
	FILE *fp;
	uint8_t *data;
	unsigned long i;

	if ((fp = fopen(path, "rb")) == NULL)
		err(2, "%s", path);
	/* Not one octet too many, so that reading past the end is seen. */
	if ((data = malloc(size)) == NULL && size > 0)
		err(2, NULL);
	if (fread(data, 1, size, fp) != size)
		errx(2, "%s: cannot read it", path);
	fclose(fp);
	printf("%s\n", path);
	fflush(stdout);
	for (i = 0; i < runs; i++)
		(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
	if (__lsan_do_recoverable_leak_check != NULL &&
	    __lsan_do_recoverable_leak_check() != 0)
		errx(1, "%s: it leaks", path);
	files++;
}

static int
visible(const struct dirent *d)
{
	return (d->d_name[0] != '.');
}

static void
run_directory(const char *path)
{
	struct dirent **names;
	char name[PATH_MAX];
	int i, n;

	if ((n = scandir(path, &names, visible, alphasort)) == -1)
		err(2, "%s", path);
	for (i = 0; i < n; i++) {
		if (snprintf(name, sizeof(name), "%s/%s", path,
		    names[i]->d_name) >= (int)sizeof(name))
			errx(2, "%s: name too long", path);
		run_path(name);
		free(names[i]);
	}
	free(names);
}

static void
run_path(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		err(2, "%s", path);
	if (S_ISDIR(st.st_mode))
		run_directory(path);
	else
		run_file(path, st.st_size);
}

static void
usage(void)
{
	fprintf(stderr, "usage: TARGET [-n RUNS] FILE|DIRECTORY...\n");
	exit(2);
}

int
main(int argc, char *argv[])
{
	char *end;
	int ch;

	while ((ch = getopt(argc, argv, "n:")) != -1) {
		switch (ch) {
		case 'n':
			errno = 0;
			runs = strtoul(optarg, &end, 10);
			if (errno != 0 || *end != '\0' || runs == 0 ||
			    strchr(optarg, '-') != NULL)
				errx(2, "-n %s: not a number of runs", optarg);
			break;
		default:
			usage();
		}
	}
	if (optind == argc)
		usage();
	if (LLVMFuzzerInitialize != NULL)
		(void)LLVMFuzzerInitialize(&argc, &argv);
	for (; optind < argc; optind++)
		run_path(argv[optind]);
	if (files == 0)
		errx(2, "there is nothing to run");
	printf("%lu file%s, %lu run%s each\n", files, files == 1 ? "" : "s",
	    runs, runs == 1 ? "" : "s");
	return (0);
}
