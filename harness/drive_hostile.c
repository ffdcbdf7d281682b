/* The ways "drive" is nasty; what each does is where its flag is asked for. */
#include "drive_priv.h"

const struct drive_hostile drive_hostiles[] = {
	{ "unknown-config", "config keys that no version has (F30)",
	    HOSTILE_CONFIG, 10, 4, 0, 30, 0 },
	{ "version-0.8", "lines of protocol 0.8 (F30)",
	    HOSTILE_VERSION_8, 10, 4, 0, 30, 7 },
	{ "version-0.10", "lines of protocol 0.10, which is not less than "
	    "0.7 (F30)", HOSTILE_VERSION_10, 10, 4, 0, 30, 7 },
	{ "extra-fields", "reports with fields behind the last one (F30)",
	    HOSTILE_FIELDS, 20, 4, 0, 30, 0 },
	{ "late-events", "events of a session after its link-disconnect (F33)",
	    HOSTILE_LATE, 30, 4, 0, 33, 0 },
	{ "no-tx-begin", "transactions without their tx-begin (F34)",
	    HOSTILE_NO_BEGIN, 20, 4, 0, 34, 0 },
	{ "no-link-connect", "sessions of smtp-out without their link-connect "
	    "(F33)", HOSTILE_MIDDLE, 40, 4, 0, 33, 0 },
	{ "huge-lines", "names and mail in lines of up to 16 kB, smtpd's limit "
	    "(F5)", HOSTILE_HUGE, 20, 4, 0, 0, 0 },
	{ "eight-bit", "bytes above 127, no UTF-8, in names, addresses and "
	    "mail (F24)", HOSTILE_EIGHT_BIT, 20, 4, 0, 0, 0 },
	{ "bars", "\"|\" in the last field, where it may be (F10, F17)",
	    HOSTILE_BARS, 20, 4, 0, 0, 0 },
	{ "local-clients", "users of the machine, over smtpd's own socket: no "
	    "address, but \"local\"", HOSTILE_LOCAL, 20, 4, 0, 0, 0 },
	{ "gone-clients", "clients that go while an answer is owed (F26, F33)",
	    HOSTILE_DEAD, 60, 10, 0, 33, 0 },
	{ "many-sessions", "500 sessions at once (F26, F28)", 0, 500, 500, 0, 0, 0 },
	{ "pieces", "lines that come in pieces of a few bytes (F27)",
	    HOSTILE_PIECES, 4, 4, 0, 0, 0 },
	{ "no-reading", "its answers are not read for two seconds (F27, F29)",
	    HOSTILE_DEAF, 60, 60, 0, 0, 0 },
	{ "eof", "stdin ends in the midst of sessions (F29)",
	    HOSTILE_EOF, 20, 10, 0, 0, 0 },
	{ "early-eof", "stdin ends before config|ready (F29)",
	    HOSTILE_EOF_EARLY, 0, 1, 0, 0, 0 },
	{ "nul", "NUL in mail, which smtpd itself never sends (F23)",
	    HOSTILE_NUL, 20, 4, 1, 0, 0 },
	{ 0 }
};
