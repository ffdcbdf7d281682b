"""Every oracle is seen to catch: what is broken here must turn the run red."""

import json
import os
import pathlib
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
DRIVER = os.environ.get("SMTPDTEST", str(TOP / "build" / "smtpdtest"))
TARGETS = os.environ.get("TARGET", "7.9.0p0,distro").split(",")

DAEMON = """
smtpd d {
    listen on 127.0.0.1 port 25
    action "keep" maildir
    match from any for any action "keep"
}
"""

TLS_DAEMON = """
needs tls
smtpd d {
    pki "mx" cert "/etc/smtpd/certs/server.crt"
    pki "mx" key "/etc/smtpd/certs/server.key"
    listen on 127.0.0.1 port 465 smtps pki "mx" auth
    action "keep" maildir
    match from any for any action "keep"
}
"""

# The process of the daemon with this title: its pid is printed.
PIDOF = """
file /tmp/pidof mode=0755 {
    #!/bin/sh
    for p in /proc/[0-9]*; do
        case $(tr '\\0' ' ' <$p/cmdline) in "smtpd: $1"*) echo ${p#/proc/};; esac
    done
}
"""

MAIL = """
client c {
    S: 220
    C: EHLO c
    S: 250
    C: MAIL FROM:<bob@example.net>
    S: 250
    C: RCPT TO:<alice@mx.example.org>
    S: 250
    C: DATA
    S: 354
    message size=500
    S: 250
    C: QUIT
    S: 221
    <reach sent>
}
"""

# Runs when alice has her mail, with its file as $f.
def when_delivered(command):
    return DAEMON + MAIL + f"""
file /tmp/act mode=0755 {{
    #!/bin/sh
    until f=$(ls -d /home/alice/Maildir/new/*) 2>/dev/null; do sleep 0.02; done
    {command}
}}
process p {{
    <await sent>
    run /tmp/act
}}
"""


def server(*steps):
    """We are a bad server, and our own client is its victim."""
    lines = "\n    ".join(steps)
    return f"""
server bad listen=127.0.0.9:2525 {{
    {lines}
}}
"""


def victim(*steps):
    lines = "\n    ".join(steps)
    return f"""
client c to=127.0.0.9:2525 {{
    {lines}
}}
"""


EHLO = ["S: 220 bad", "C: EHLO ...", "S: 250-bad", "S: 250 ENHANCEDSTATUSCODES"]
HELLO = ["S: 220", "C: EHLO c", "S: 250"]

# name: (scenario, oracle, texts of its objection)
CASES = {
    "crash-signal": (
        DAEMON + PIDOF + "process p { run kill -SEGV $$(/tmp/pidof lookup)\n }",
        "crash", ["signal 11", "#0 "]),
    "crash-exit": (
        DAEMON + PIDOF + "process p { run kill -TERM $$(/tmp/pidof '[priv]') "
        "|| kill -TERM $$(/tmp/pidof parent) || kill -TERM "
        "$$(cat /run/smtpd.pid)\n pause 300ms }",
        "crash", ["exited"]),
    "crash-killed-child": (
        DAEMON + PIDOF + "process p { run kill -KILL $$(/tmp/pidof queue)\n"
        " pause 300ms }",
        "crash", []),
    "crash-hang": (
        DAEMON + PIDOF + "process p { run kill -STOP $$(/tmp/pidof "
        "dispatcher) $$(/tmp/pidof pony)\n }",
        "crash", ["no greeting", "#0 "]),
    "grammar-two-codes": (
        server("S: 220-bad", "S: 250 worse") + victim("S: 220"),
        "grammar", ["two codes in one reply"]),
    "grammar-no-reply": (
        server("S: hello") + victim("S: any"), "grammar", ["not a reply"]),
    "grammar-class": (
        server("S: 620 hello") + victim("S: any"), "grammar",
        ["not a reply"]),
    "grammar-bare-lf": (
        server('S~ "220 hello\\n"') + victim("S: 220"), "grammar",
        ["does not end in CRLF"]),
    "grammar-long": (
        server("S: 220 ${x*600}") + victim("S: 220"), "grammar",
        ["of 606 octets"]),
    "grammar-8bit": (
        server('S~ "220 h\\xe9llo\\r\\n"') + victim("S: 220"), "grammar",
        ["octet 0xe9"]),
    "grammar-no-enhanced-code": (
        server(*EHLO, "C: NOOP", "S: 250 fine") +
        victim(*HELLO, "C: NOOP", "S: 250"),
        "grammar", ["no enhanced code: 250 fine"]),
    "grammar-enhanced-class": (
        server(*EHLO, "C: NOOP", "S: 250 5.1.1 fine") +
        victim(*HELLO, "C: NOOP", "S: 250"),
        "grammar", ["another class"]),
    "grammar-enhanced-differs": (
        server(*EHLO, "C: NOOP", "S: 250-2.1.1 fine", "S: 250 2.1.2 fine") +
        victim(*HELLO, "C: NOOP", "S: 250"),
        "grammar", ["different enhanced codes"]),
    "grammar-enhanced-354": (
        server(*EHLO, "C: DATA", "S: 354 3.0.0 go on") +
        victim(*HELLO, "C: DATA", "S: 354"),
        "grammar", ["where none belongs"]),
    "replies-two": (
        server("S: 220 bad", "C: NOOP", "S: 250 one", "S: 250 two",
               "C: QUIT", "S: 221 bye") +
        victim("S: 220", "C: NOOP", "S: 250", "C: QUIT", "S: 250", "S: 221"),
        "replies", ["no command asked for: 221 bye"]),
    "replies-unread": (
        server("S: 220 bad", "C: QUIT", "S: 221 bye", "S: 250 more") +
        victim("S: 220", "C: QUIT", "S: 221", "S: <fin>"),
        "replies", ["no command asked for"]),
    "replies-none": (
        server("S: 220 bad", "C: NOOP", "S: <fin>") +
        victim("S: 220", "C: NOOP", "S: <fin>"),
        "replies", ["1 without a reply", "NOOP"]),
    "accounting-lost": (
        when_delivered("rm $f"), "accounting", ["arrived 0 times, due: 1"]),
    "accounting-twice": (
        when_delivered("cp $f $f.2"), "accounting",
        ["arrived 2 times, due: 1"]),
    "accounting-body": (
        when_delivered("sed -i '$s/./~/' $f"), "accounting",
        ["that nobody sent like this", "arrived 0 times, due: 1"]),
    "accounting-header": (
        when_delivered("sed -i 's/^Subject:.*/Subject: changed/' $f"),
        "accounting", ["header", "Subject: changed"]),
    "accounting-header-lost": (
        when_delivered("sed -i '/^Subject:/d' $f"),
        "accounting", ["header", "Subject"]),
    "accounting-foreign": (
        when_delivered("printf 'Subject: x\\n\\nspam\\n' >$f.foreign"),
        "accounting", ["that nobody sent"]),
    "accounting-refused": (
        DAEMON + """
client c {
    S: 220
    C: HELO c
    S: 250
    C: MAIL FROM:<bob@example.net>
    S: 250
    C: DATA
    S: 503
    C: QUIT
    S: 221
    <reach sent>
}
process p {
    <await sent>
    run mkdir -p /home/alice/Maildir/new && printf 'Delivered-To: alice\\n\\nx\\n' >/home/alice/Maildir/new/1
}
""", "accounting", ["that nobody sent"]),
    "clean-descriptors": (
        DAEMON + """
process p {
    run python3 -c 'import socket,time,os; s=socket.create_connection(("127.0.0.1",25)); s.recv(9); os.fork() and os._exit(0); os.close(1); os.close(2); time.sleep(100)'
}
""", "clean", ["descriptors, at the start it had", "smtp.session=1"]),
    "clean-queue": (
        """
smtpd d {
    listen on 127.0.0.1 port 25
    action "out" relay host smtp://127.0.0.7:2525
    match from any for any action "out"
}
timeout 1s
""" + MAIL, "clean", ["<alice@mx.example.org> is left in the queue"]),
    "clean-incoming": (
        DAEMON + "process p { run mkdir /var/spool/smtpd/incoming/deadbeef }",
        "clean", ["1 messages are left in incoming"]),
    "clean-warning": (
        """
file /etc/smtpd/filter mode=0755 {
    #!/bin/sh
    while read l; do [ "$l" = "config|ready" ] && break; done
    echo "register|report|smtp-in|link-connect"
    echo "register|ready"
    echo "something is odd" >&2
    while read l; do :; done
}
smtpd d {
    filter "odd" proc-exec "/etc/smtpd/filter"
    listen on 127.0.0.1 port 25 filter "odd"
    action "keep" maildir
    match from any for any action "keep"
}
""" + MAIL, "clean", ["something is odd"]),
    "secret-log": (
        TLS_DAEMON + """
known oracle grammar * "no enhanced code: 535 Authentication failed" "not what this is about"
client c smtps to=127.0.0.1:465 {
    S: 220
    C: EHLO c
    S: 250
    auth plain hunter2-secret hunter2-secret
    S: 535
    C: QUIT
    S: 221
}
""", "secret", ["stands in the log"]),
    "secret-report": (
        DAEMON + "secret hunter2\nprocess p { run echo 'x|AUTH PLAIN "
        "aHVudGVyMg==' >/tmp/report }", "secret",
        ["stands in the report stream"]),
}


def run(tmp_path, text, target):
    path = tmp_path / "case.smtp"
    events = tmp_path / "events.json"
    path.write_text('scenario "an oracle is tried"\n' + text)
    done = subprocess.run(
        [DRIVER, "run", "--target", target, "--json", str(events),
         "--results", str(tmp_path / "results"), str(path)],
        cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace", check=False)
    ends = [e for e in map(json.loads, events.read_text().splitlines())
            if e["event"] == "end"] if events.exists() else []
    return done, ends


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", CASES)
def test_oracle_catches(tmp_path, name, target):
    text, oracle, wanted = CASES[name]
    done, ends = run(tmp_path, text, target)
    if done.returncode == 77:
        pytest.skip("the target lacks what the case needs")
    assert done.returncode == 1, done.stdout + done.stderr
    said = "\n".join(f["got"] for f in ends[0]["failures"]
                     if f["oracle"] == oracle)
    assert said, f"{oracle} kept silent:\n{done.stdout}"
    for word in wanted:
        assert word in said


@pytest.mark.parametrize("target", TARGETS)
def test_oracles_are_silent(tmp_path, target):
    """The same daemon, unharmed: nobody objects."""
    done, ends = run(tmp_path, DAEMON + PIDOF + MAIL, target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ends[0]["verdict"] == "pass"
    assert ends[0]["stats"]["arrived"] == 1
