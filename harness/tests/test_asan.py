"""A report of a sanitizer from any process of the daemon turns the run red.

Each process in turn has a mistake put into it (bugs/asan-*.bug) that only a
sanitizer sees, or sees first, in a function that any delivery runs through.
"""

import re

import pytest

from driver import HELLO, QUIT, TRANSACTION, client, play

TARGET = "7.9.0p0+asan"

SCENARIO = """
smtpd d {
    pki "mx" cert "/etc/smtpd/certs/server.crt"
    pki "mx" key "/etc/smtpd/certs/server.key"
    listen on 127.0.0.1 port 25 tls pki "mx"
    action "keep" maildir
    match from any for any action "keep"
}
""" + client(*HELLO, "C: STARTTLS", "S: 220", "C: <tls>", *HELLO[1:],
             *TRANSACTION, "message size=500", "S: 250", *QUIT,
             "<reach sent>") + """
process p {
    <await sent>
    run smtpctl show queue
}
"""

# bug: the first line of its report, where it happened
CASES = {
    "parent": ("runtime error: index 8 out of bounds", "forkmda"),
    "control": ("runtime error: shift exponent 40", "control_dispatch_ext"),
    "lookup": ("AddressSanitizer: heap-use-after-free", "lka_session"),
    "dispatcher": ("AddressSanitizer: heap-buffer-overflow", "smtp_mailaddr"),
    "queue": ("runtime error: signed integer overflow",
              "queue_message_commit"),
    "scheduler": ("AddressSanitizer: attempting double-free",
                  "scheduler_ram_insert"),
    "crypto": ("AddressSanitizer: SEGV", "ca_imsg"),
    # before it is ready, so that the daemon does not even start
    "early": ("AddressSanitizer: heap-use-after-free", "scheduler"),
}


@pytest.mark.parametrize("bug", CASES)
def test_report_fails_the_run(tmp_path, bug):
    what, function = CASES[bug]
    process = "scheduler" if bug == "early" else bug
    result = play(tmp_path, SCENARIO, target=f"{TARGET}+bug=asan-{bug}")
    assert result.code == 1, result.text
    reports = [f for f in result.end["failures"] if what in f["got"]]
    assert len(reports) == 1, result.text
    report = reports[0]
    assert report["oracle"] == "crash"
    assert report["actor"] == f"smtpd: {process}"
    first, *rest = report["got"].splitlines()
    assert what in first
    # a frame of the report, and one of gdb's backtrace
    assert re.search(rf"^ +#\d+ 0x[0-9a-f]+  in {function} \w+\.c:\d+",
                     report["got"], re.M)
    assert re.search(rf"^#\d+ .*\b{function} \(", report["got"], re.M)
    others = [f["got"] for f in result.end["failures"] if f is not report]
    assert not any("Sanitizer" in o or re.match(" *#", o) for o in others)


def test_clean_build_is_silent(tmp_path):
    result = play(tmp_path, SCENARIO, target=TARGET)
    assert result.code == 0, result.text
    assert result.end["stats"]["arrived"] == 1
