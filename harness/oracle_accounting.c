/* What was answered 250 arrives once for each recipient, and nothing else. */
#include "account.h"
#include "run.h"

static void
object(void *arg, const char *text)
{
	oracle_object(arg, &oracle_accounting, NULL, "%s", text);
}

static void
accounting_finish(struct run *run)
{
	/* RFC 5321 6.1: rather twice than not at all */
	if (run->daemon.crashed)
		account_may_repeat(run->account);
	account_judge(run->account, object, run);
}

const struct oracle oracle_accounting = {
	.name = "accounting",
	.once = 1,
	.text = "each accepted message arrives once per recipient, unchanged",
	.finish = accounting_finish,
	.daemon = 1,
};
