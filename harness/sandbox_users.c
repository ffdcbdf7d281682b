#include "sandbox.h"
#include "util.h"

/*
 * The hashes are of NAME-secret.  They are written down, as crypt(3) is slow on
 * purpose, with few rounds, as the daemon has to check them often.
 */
#define HASH(s)	"$5$rounds=1000$smtpdtest$" s

static const struct sandbox_user users[] = {
	{ "alice",	1000,	NULL,
	    HASH("ONe31poS2GsrCz4PvjdjCa2Lcgiu7PumzYDuXBh7hS/") },
	{ "bob",	1001,	NULL,
	    HASH("xOiNIO7TArYXVM/hctywTGdoOQXrPzcFbwv7/nyN5/3") },
	{ "carol",	1002,	NULL,
	    HASH("BVk07ydxTMHtLbjf.6MH607DXUjiSRM7MwMYq3OqsW8") },
	{ "dave",	1003,	NULL,
	    HASH("RsFzQjaqXfBwAnd3MUbFygULxElryaOOa374k.xeXKB") },
	{ "eve",	1004,	NULL,
	    HASH("McUnMU2ZNiMGh2ipfIcPXfEsHxVE4VggFdApb49fOIA") },
	{ "frank",	1005,	NULL,
	    HASH("NbTWrx1O2owK59Wmb79IjA7Ym8sHIlv5PZtVTQMMdrA") },
	{ "vmail",	1006,	NULL,
	    HASH("E5je/1vrq3Li5RuPZZ8QQ9EYGMEavJyqfUTZdDR9cN/") },
	{ "opensmtpd",	901,	"/var/empty",	NULL },
	{ "opensmtpq",	902,	"/var/empty",	NULL },
};

const struct sandbox_user *
sandbox_users(size_t *n)
{
	*n = nitems(users);
	return users;
}
