#ifndef SMTPDTEST_CMD_H
#define SMTPDTEST_CMD_H

/* Exit codes of every subcommand. */
#define EX_PASS		0	/* as expected */
#define EX_FAIL		1	/* something fell short */
#define EX_SETUP	2	/* usage or set-up */
#define EX_SKIP		77	/* skipped, with the reason */

/* A subcommand: one cmd_NAME.c each, listed in main.c. */
struct cmd {
	const char	*name;
	const char	*args;		/* for the usage line */
	const char	*summary;
	int		(*main)(int, char **);	/* argv[0] is the name */
	const char	*help;		/* options, a line each */
};

extern const struct cmd	cmd_run, cmd_load, cmd_drive, cmd_tap, cmd_hunt,
    cmd_kill, cmd_shrink, cmd_leak, cmd_shell, cmd_list;

/* Usage on stderr; returns EX_SETUP. */
int	cmd_usage(const struct cmd *);
/* --help on stdout; returns EX_PASS. */
int	cmd_help(const struct cmd *);

#endif
