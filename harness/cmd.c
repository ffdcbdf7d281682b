#include <stdio.h>

#include "cmd.h"

int
cmd_usage(const struct cmd *cmd)
{
	fprintf(stderr, "usage: smtpdtest %s %s\n", cmd->name, cmd->args);
	return EX_SETUP;
}

int
cmd_help(const struct cmd *cmd)
{
	printf("usage: smtpdtest %s %s\n\n%s\n", cmd->name, cmd->args,
	    cmd->summary);
	if (cmd->help != NULL)
		printf("\n%s", cmd->help);
	return EX_PASS;
}
