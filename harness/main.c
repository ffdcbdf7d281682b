#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "util.h"

#ifndef VERSION
#define VERSION	"0.1"
#endif

static const struct cmd	*const cmds[] = {
	&cmd_run, &cmd_load, &cmd_drive, &cmd_tap, &cmd_hunt, &cmd_kill,
	&cmd_shrink, &cmd_leak, &cmd_shell, &cmd_list
};

static void
usage(FILE *f)
{
	size_t	 i;

	fputs("usage: smtpdtest COMMAND [ARG...]\n"
	    "       smtpdtest help COMMAND | --help | --version\n\n", f);
	for (i = 0; i < nitems(cmds); i++)
		fprintf(f, "  %-8s %s\n", cmds[i]->name, cmds[i]->summary);
}

static const struct cmd *
find(const char *name)
{
	size_t	 i;

	for (i = 0; i < nitems(cmds); i++)
		if (strcmp(cmds[i]->name, name) == 0)
			return cmds[i];
	return NULL;
}

static int
unknown(const char *name)
{
	fprintf(stderr, "smtpdtest: there is no command \"%s\"\n", name);
	usage(stderr);
	return EX_SETUP;
}

static int
help(int argc, char **argv)
{
	const struct cmd	*cmd;

	if (argc < 2) {
		usage(stdout);
		return EX_PASS;
	}
	if ((cmd = find(argv[1])) == NULL)
		return unknown(argv[1]);
	return cmd_help(cmd);
}

static int
version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("smtpdtest %s\n", VERSION);
	return EX_PASS;
}

/* What is not a command of its own. */
static const struct {
	const char	*name;
	int		(*main)(int, char **);
} others[] = {
	{ "help",	help },
	{ "--help",	help },
	{ "-h",		help },
	{ "--version",	version },
	{ "-V",		version },
};

int
main(int argc, char **argv)
{
	const struct cmd	*cmd;
	size_t			 i;

	if (argc < 2) {
		usage(stderr);
		return EX_SETUP;
	}
	argc--;
	argv++;
	for (i = 0; i < nitems(others); i++)
		if (strcmp(others[i].name, argv[0]) == 0)
			return others[i].main(argc, argv);
	if ((cmd = find(argv[0])) == NULL)
		return unknown(argv[0]);
	if (argc > 1 && strcmp(argv[1], "--help") == 0)
		return cmd_help(cmd);
	return cmd->main(argc, argv);
}
