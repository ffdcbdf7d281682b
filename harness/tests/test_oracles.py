"""Every oracle is seen to catch: what is broken here must turn the run red."""

import pytest

from driver import DAEMON, QUIT, TARGETS, TRANSACTION, client, pair, play

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

HELLO = ["S: 220", "C: EHLO c", "S: 250"]
SENT = client(*HELLO, *TRANSACTION, "message size=500", "S: 250", *QUIT,
              "<reach sent>")

# Runs when alice has her mail, with its file as $f.
def when_delivered(command):
    return DAEMON + SENT + f"""
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


EHLO = ["S: 220 bad", "C: EHLO ...", "S: 250-bad", "S: 250 ENHANCEDSTATUSCODES"]

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
        pair(["S: 220-bad", "S: 250 worse"], ["S: 220"]),
        "grammar", ["two codes in one reply"]),
    "grammar-no-reply": (
        pair(["S: hello"], ["S: any"]), "grammar", ["not a reply"]),
    "grammar-class": (
        pair(["S: 620 hello"], ["S: any"]), "grammar", ["not a reply"]),
    "grammar-bare-lf": (
        pair(['S~ "220 hello\\n"'], ["S: 220"]),
        "grammar", ["does not end in CRLF"]),
    "grammar-long": (
        pair(["S: 220 ${x*600}"], ["S: 220"]), "grammar", ["of 606 octets"]),
    "grammar-8bit": (
        pair(['S~ "220 h\\xe9llo\\r\\n"'], ["S: 220"]),
        "grammar", ["octet 0xe9"]),
    "grammar-no-enhanced-code": (
        pair([*EHLO, "C: NOOP", "S: 250 fine"],
             [*HELLO, "C: NOOP", "S: 250"]),
        "grammar", ["no enhanced code: 250 fine"]),
    "grammar-enhanced-class": (
        pair([*EHLO, "C: NOOP", "S: 250 5.1.1 fine"],
             [*HELLO, "C: NOOP", "S: 250"]),
        "grammar", ["another class"]),
    "grammar-enhanced-differs": (
        pair([*EHLO, "C: NOOP", "S: 250-2.1.1 fine", "S: 250 2.1.2 fine"],
             [*HELLO, "C: NOOP", "S: 250"]),
        "grammar", ["different enhanced codes"]),
    "grammar-enhanced-354": (
        pair([*EHLO, "C: DATA", "S: 354 3.0.0 go on"],
             [*HELLO, "C: DATA", "S: 354"]),
        "grammar", ["where none belongs"]),
    "replies-two": (
        pair(["S: 220 bad", "C: NOOP", "S: 250 one", "S: 250 two",
              "C: QUIT", "S: 221 bye"],
             ["S: 220", "C: NOOP", "S: 250", "C: QUIT", "S: 250", "S: 221"]),
        "replies", ["no command asked for: 221 bye"]),
    "replies-unread": (
        pair(["S: 220 bad", "C: QUIT", "S: 221 bye", "S: 250 more"],
             ["S: 220", "C: QUIT", "S: 221", "S: <fin>"]),
        "replies", ["no command asked for"]),
    "replies-none": (
        pair(["S: 220 bad", "C: NOOP", "S: <fin>"],
             ["S: 220", "C: NOOP", "S: <fin>"]),
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
""" + SENT, "clean", ["<alice@mx.example.org> is left in the queue"]),
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
""" + SENT, "clean", ["something is odd"]),
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


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", CASES)
def test_oracle_catches(tmp_path, name, target):
    text, oracle, wanted = CASES[name]
    result = play(tmp_path, text, target=target)
    if result.code == 77:
        pytest.skip("the target lacks what the case needs")
    assert result.code == 1, result.text
    said = result.failures(oracle)
    assert said, f"{oracle} kept silent:\n{result.text}"
    for word in wanted:
        assert word in said


@pytest.mark.parametrize("target", TARGETS)
def test_oracles_are_silent(tmp_path, target):
    """The same daemon, unharmed: nobody objects."""
    result = play(tmp_path, DAEMON + PIDOF + SENT, target=target)
    assert result.code == 0, result.text
    assert result.end["verdict"] == "pass"
    assert result.end["stats"]["arrived"] == 1
