/* One reply for each command: RFC 5321 4.2.  Judged by smtp_track.c. */
#include "run.h"

const struct oracle oracle_replies = {
	.name = "replies",
	.text = "exactly one reply for each command",
};
