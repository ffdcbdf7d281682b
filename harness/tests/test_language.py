"""The scenario language, each thing it can say tried in both directions."""

import pytest

from driver import DAEMON, TARGETS, pair, play


def good(tmp_path, text, *args, **kwargs):
    result = play(tmp_path, text, "--keep", *args, **kwargs)
    assert result.code == 0, result.text
    return result


def bad(tmp_path, text, got):
    result = play(tmp_path, text)
    assert result.code == 1, result.text
    assert got in result.failures(), result.text


# server lines, client lines, what is got when it must fail (None: it passes)
PAIRS = {
    "said-and-heard": (
        ["S: 220 hi", "C: NOOP x", "S: 250 ok"],
        ["S: 220", "C: NOOP x", "S: 250"], None),
    "other-code": (["S: 220 hi"], ["S: 554"], "220 hi"),
    "other-text": (["S: 220 hi"], ['S: 220 "ho"'], "220 hi"),
    "other-line": (
        ["S: 220 hi", "C: NOOP y"], ["S: 220", "C: NOOP x"], "NOOP x"),
    "prefix": (
        ["S: 220 hi", "C: NOOP ...", "S: 250 ok"],
        ["S: 220", "C: NOOP x y z", "S: 250"], None),
    "regex-captures": (
        ["S: 220 id=abc7", r"C: /^NOOP (?<back>\w+)$/", "S: 250 $back"],
        [r"S: 220 /id=(?<id>\w+)/", "C: NOOP $id", 'S: 250 "abc7"'], None),
    "variables": (
        ["S: 220 hi", "C: NOOP a b 1 $$$$", "S: 250 ok"],
        ["set v b", "S: 220", "C: NOOP a ${v} $session $$$$", "S: 250"],
        None),
    "base64-and-fill": (
        ["S: 220 hi", "C: NOOP AGEAYg== xxxxx", "S: 250 ok"],
        ["S: 220", r"C: NOOP ${b64:\0a\0b} ${x*5}", "S: 250"], None),
    "raw": (
        ["S: 220 hi", r"C: /^NOOP \x01$/", 'S~ "250 o"', 'S~ "k\\r\\n"'],
        ["S: 220", r'C~ "NOOP \x01\r\n"', 'S: 250 "ok"'], None),
    "alternatives": (["S: 451 no"], ["S: 220 or 4xx or <fin>"], None),
    "fin-heard": (["S: 220 hi", "S: <fin>"], ["S: 220", "S: <fin>"], None),
    "fin-not-rst": (["S: 220 hi", "S: <fin>"], ["S: 220", "S: <rst>"],
                    "<fin>"),
    "rst-heard": (["S: 220 hi", "S: <rst>"], ["S: 220", "S: <rst>"], None),
    "rst-not-fin": (["S: 220 hi", "S: <rst>"], ["S: 220", "S: <fin>"],
                    "<rst>"),
    "close-is-either": (["S: 220 hi", "S: <rst>"],
                        ["S: 220", "S: <close>"], None),
    "client-fin": (["S: 220 hi", "C: <fin>"], ["S: 220", "C: <fin>"], None),
    "client-rst": (["S: 220 hi", "C: <rst>"], ["S: 220", "C: <rst>"], None),
    "client-rst-no-fin": (["S: 220 hi", "C: <fin>"], ["S: 220", "C: <rst>"],
                          "<rst>"),
    # the other direction stays open
    "half-close": (
        ["S: 220 hi", "C: NOOP", "C: <fin>", "S: 250 still here"],
        ["S: 220", "C: NOOP", "C: <half-close>", "S: 250"], None),
    "silence": (["S: 220 hi", "pause 3s"], ["S: 220", "S: <silence 50ms>"],
                None),
    "no-silence": (["S: 220 hi", "S: 250 you"],
                   ["S: 220", "S: <silence 2s>"], "250 you"),
    "segments": (
        ["S: 220 hi", "C: NOOP one octet at a time", "S: 250 ok"],
        ["S: 220", "segments 1", "C: NOOP one octet at a time", "S: 250"],
        None),
    "slow-segments": (
        ["S: 220 hi", "C: NOOP slow", "S: 250 ok", "C: NOOP fast",
         "S: 250 ok"],
        ["S: 220", "segments 1..3 every 2ms", "C: NOOP slow", "S: 250",
         "segments off", "C: NOOP fast", "S: 250"], None),
    "batch": (
        ["S: 220 hi", "C: NOOP 1", "C: NOOP 2", "S: 250 a", "S: 250 b"],
        ["S: 220", "batch { C: NOOP 1", "C: NOOP 2 }", "S: 250", "S: 250"],
        None),
    "repeat": (
        ["S: 220 hi", "repeat 3 {", "C: NOOP $i", "S: 250 ok", "}"],
        ["S: 220", "repeat 3 as turn {", "C: NOOP $turn", "S: 250", "}"],
        None),
    "nested-repeat": (
        ["S: 220 hi", "repeat 2 as a {", "repeat 2 as b {",
         "C: NOOP ${a}${b}", "S: 250 ok", "}", "}"],
        ["S: 220", "repeat 2 as a {", "repeat 2 {", "C: NOOP ${a}${i}",
         "S: 250", "}", "}"], None),
    "choose": (
        ["S: 220 hi", "C: /^NOOP [ab]$/", "S: 250 ok"],
        ["S: 220", "choose { C: NOOP a }", "or { C: NOOP b }", "S: 250"], None),
    "barriers": (
        ["S: 220 hi", "<await said>", "C: NOOP", "S: 250 ok", "<reach ok>"],
        ["S: 220", "C: NOOP", "<reach said>", "<await ok>", "S: 250"], None),
    "tls": (
        ["S: 220 hi", "C: STARTTLS", "S: 220 go", "S: <tls>", "C: NOOP",
         "S: 250 secret"],
        ["S: 220", "C: STARTTLS", "S: 220", "C: <tls verify mx.example.org>",
         "C: NOOP", "S: 250"], None),
    "tls-wrong-name": (
        ["S: 220 hi", "C: STARTTLS", "S: 220 go", "S: <tls fail>"],
        ["S: 220", "C: STARTTLS", "S: 220", "C: <tls verify evil.example>"],
        "<tls fail"),
    "tls-fails-as-expected": (
        ["S: 220 hi", "C: STARTTLS", "S: 220 go", "S: <fin>"],
        ["S: 220", "C: STARTTLS", "S: 220", "C: <tls fail>"], None),
    "tls-does-not-fail": (
        ["S: 220 hi", "C: STARTTLS", "S: 220 go", "S: <tls>"],
        ["S: 220", "C: STARTTLS", "S: 220", "C: <tls fail>"], "<tls TLSv1"),
    "auth-plain": (
        ["S: 220 hi", "C: AUTH PLAIN AGFsaWNlAHB3", "S: 235 ok"],
        ["S: 220", "auth plain alice pw", "S: 235"], None),
    "auth-login": (
        ["S: 220 hi", "C: AUTH LOGIN", "S: 334 eA==", "C: YWxpY2U=",
         "S: 334 eQ==", "C: cHc=", "S: 235 ok"],
        ["S: 220", "auth login alice pw", "S: 235"], None),
    "dots": (
        ["S: 220 hi", "C: DATA", "S: 354 go", "receive", "S: 250 ok"],
        ["S: 220", "C: DATA", "S: 354", "message { Subject: x", "", ".",
         "..two", "}", "S: 250"], None),
    "choice-of-wrong": (
        ["S: 220 hi"], ["S: 220", "choose { S: 250 }", "or { S: 251 }"],
        "<fin>"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pair(tmp_path, name):
    server, client, got = PAIRS[name]
    text = pair(server, client)
    if got is None:
        good(tmp_path, text)
    else:
        bad(tmp_path, text, got)


def test_smtps_pair(tmp_path):
    good(tmp_path, pair(["S: 220 hi", "C: NOOP", "S: 250 ok"],
                        ["S: 220", "C: NOOP", "S: 250"], "smtps", "smtps"))


def test_nobody_connects(tmp_path):
    result = play(tmp_path, DAEMON + "server s listen=127.0.0.9:25 {\n"
                  "S: 220 hi\n}\n")
    assert result.code == 1
    assert "no connection" in result.failures()
    good(tmp_path, DAEMON + "server s listen=127.0.0.9:25 unused {\n"
         "S: 220 hi\n}\n")


def test_refused(tmp_path):
    bad(tmp_path, "client c to=127.0.0.9:2525 { S: 220 }",
        "<rst>: Connection refused")


@pytest.mark.parametrize("addr", ["127.0.0.1", "127.7.8.9", "[::1]"])
def test_source_address(tmp_path, addr):
    listener = "::1" if addr == "[::1]" else "127.0.0.1"
    to = "[::1]:25" if addr == "[::1]" else "127.0.0.1:25"
    result = good(tmp_path, f"""
smtpd d {{
    listen on {listener} port 25
    action "keep" maildir
    match from any for any action "keep"
}}
client c to={to} from={addr} {{
    S: 220
    C: EHLO c
    S: 250
    C: QUIT
    S: 221
}}
""")
    assert any(f"address={addr} " in line
               for line in result.end["log"])


# --- known ---------------------------------------------------------------

KNOWN = """
server s listen=127.0.0.9:2525 {{
    S: 250-odd
    S: 250 reply
}}
client c to=127.0.0.9:2525 {{
    S: {want}
    known {target} "{got}" "because"
}}
"""


def test_known(tmp_path):
    result = play(tmp_path, KNOWN.format(
        want=220, target="*", got=r"250-odd\n250 reply"))
    assert result.code == 0
    assert result.end["verdict"] == "known"
    assert result.end["known"][0]["why"] == "because"


@pytest.mark.parametrize("want, target, got, says", [
    (220, "*", "250 other", "250-odd"),                 # another text
    (220, "0.0.0p0", r"250-odd\n250 reply", "250-odd"), # another target
    (250, "*", r"250-odd\n250 reply", "unexpected pass"),
])
def test_known_is_exact(tmp_path, want, target, got, says):
    bad(tmp_path, KNOWN.format(want=want, target=target, got=got), says)


def test_known_of_other_targets_may_pass(tmp_path):
    good(tmp_path, KNOWN.format(want=250, target="<0.1", got="x"))


def test_known_oracle_must_happen(tmp_path):
    text = pair(["S: 220 hi"], ["S: 220"])
    bad(tmp_path, 'scenario "x"\nknown oracle grammar * "not this" "why"\n'
        + text, "unexpected pass")


def test_known_expect(tmp_path):
    text = pair(["S: 220 hi"], ["S: 220"])
    good(tmp_path, 'scenario "x"\nexpect delivered 3\n'
         'known * "0" "nobody sends any"\n' + text)
    bad(tmp_path, 'scenario "x"\nexpect delivered 0\n'
        'known * "0" "nobody sends any"\n' + text, "unexpected pass")
    bad(tmp_path, 'scenario "x"\nexpect delivered 3\n' + text, "0")


def test_waive(tmp_path):
    text = pair(["S: 220-bad", "S: 250 worse"], ["S: 220"])
    good(tmp_path, 'scenario "x"\nwaive grammar "on purpose"\n' + text)


# --- seeds ---------------------------------------------------------------

FLEET = """
server s listen=127.0.0.9:2525 {
    sink smtp
}
client c to=127.0.0.9:2525 sessions=20 parallel=1..4 {
    S: 220
    C: EHLO c
    S: 250
    C: MAIL FROM:<a@example.net>
    S: 250
    repeat 1..9 { C: RCPT TO:<u${i}@example.org>
        S: 250
    }
    C: DATA
    S: 354
    message size=1..20K
    S: 250
    choose { C: QUIT
        S: 221 }
    or { C: <fin> }
    or { C: <rst> }
}
"""


def draws(result):
    return sorted(result.end["choices"].splitlines())


def test_seed_repeats(tmp_path):
    one = good(tmp_path, FLEET, "--seed", "42")
    two = good(tmp_path, FLEET, "--seed", "42")
    three = good(tmp_path, FLEET, "--seed", "43")
    assert draws(one) == draws(two)
    assert draws(one) != draws(three)
    for n in (1, 2, 3):
        assert one.said(f"c[{n}]") == two.said(f"c[{n}]")


def test_choices_are_replayed(tmp_path):
    one = good(tmp_path, FLEET, "--seed", "42")
    recorded = tmp_path / "choices"
    recorded.write_text(one.end["choices"])
    two = good(tmp_path, FLEET, "--seed", "7", "--choices", str(recorded))
    assert draws(one) == draws(two)
    kept = list((tmp_path / "results").rglob("*.choices"))
    assert kept and kept[0].read_text() == two.end["choices"]


def test_rate_and_fleet_count(tmp_path):
    text = FLEET.replace("sessions=20", "sessions=20 rate=200")
    result = good(tmp_path, text)
    assert result.end["stats"]["sessions"] == 40       # both sides


# --- the name server and processes ---------------------------------------

ASK = r"""
import socket, struct, sys
TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
def ask(name, kind):
    q = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(float(sys.argv[1]))
    s.sendto(struct.pack(">HHHHHH", 7, 256, 1, 0, 0, 0) + q
             + struct.pack(">HH", TYPES[kind], 1), ("127.0.0.1", 53))
    try:
        r = s.recv(2048)
    except socket.timeout:
        return "no answer"
    n = struct.unpack(">H", r[6:8])[0]
    return f"rcode={r[3] & 15} answers={n} data={r[12 + len(q) + 4:].hex()}"
for pair in sys.argv[2:]:
    print(pair, ask(*pair.split("/")))
"""


def test_dns(tmp_path):
    text = DAEMON + "dns z {" + """
    a.example A 127.0.0.2
    a.example AAAA 2001:db8::7
    a.example MX 10 m.example
    a.example TXT "some text"
    127.0.0.2 PTR a.example
    c.example CNAME a.example
    n.example NXDOMAIN
    s.example SERVFAIL
    i.example IGNORE
    e.example EMPTY
    d.example A 127.0.0.3 delay=400ms
    w.example A 127.0.0.4 after=asked
}
file /tmp/ask {
""" + "\n".join("    " + line for line in ASK.splitlines()) + """
}
process p {
    run python3 /tmp/ask 5 a.example/A a.example/AAAA a.example/MX a.example/TXT 2.0.0.127.in-addr.arpa/PTR c.example/CNAME n.example/A s.example/A e.example/A unlisted.example/A d.example/A
    output /^a.example\\/A rcode=0 answers=1 .*7f000002$/
    output /^a.example\\/AAAA rcode=0 answers=1 .*20010db8000000000000000000000007$/
    output /^a.example\\/MX rcode=0 answers=1 .*000a016d076578616d706c6500$/
    output /^a.example\\/TXT rcode=0 answers=1 .*09736f6d652074657874$/
    output /^2.0.0.127.in-addr.arpa\\/PTR rcode=0 answers=1 /
    output /^c.example\\/CNAME rcode=0 answers=1 /
    output /^n.example\\/A rcode=3 answers=0 /
    output /^s.example\\/A rcode=2 answers=0 /
    output /^e.example\\/A rcode=0 answers=0 /
    output /^unlisted.example\\/A rcode=3 /
    output /^d.example\\/A rcode=0 answers=1 .*7f000003$/
    run python3 /tmp/ask 0.1 i.example/A d.example/A
    output /^i.example\\/A no answer$/
    output /^d.example\\/A no answer$/
    run python3 /tmp/ask 0.1 w.example/A
    output /^w.example\\/A no answer$/
    <reach asked>
    run python3 /tmp/ask 5 w.example/A
    output /^w.example\\/A rcode=0 answers=1 .*7f000004$/
}
"""
    good(tmp_path, text)


@pytest.mark.parametrize("steps, got", [
    ("run true", None),
    ("run exit=3 exit 3", None),
    ("run exit=any false", None),
    ("run false", "<exit 1>"),
    ("run kill -9 $$$$", "<signal 9>"),
    ("run echo hello\n output /hel+o/", None),
    ("run echo hello\n output lacks /bye/", None),
    ("run echo hello\n output lacks /hel+o/", "hello"),
    ("run echo hello\n output /bye/", "hello"),
    (r"run echo id=77" "\n" r" output /id=(?<id>\d+)/" "\n"
     " run test ${id} = 77", None),
])
def test_process(tmp_path, steps, got):
    text = DAEMON + "process p {\n " + steps + "\n}\n"
    if got is None:
        good(tmp_path, text)
    else:
        bad(tmp_path, text, got)


def test_daemon_that_does_not_start(tmp_path):
    result = play(tmp_path, "smtpd d {\n    listen on 127.0.0.1 port 25\n"
                  "    wrong\n}\nclient c { S: 220 }\n")
    assert result.code == 2
    assert result.end["verdict"] == "error"
    assert "its own words" in result.end["reason"]
    # smtpd counts lines as the scenario does
    assert "/etc/smtpd.conf:4" in result.end["reason"]


DB = """
needs db
file /etc/smtpd/here makemap=TYPE {
LINES
}
smtpd d {
    table here db:/etc/smtpd/here.db
    listen on 127.0.0.1 port 25
    action "keep" maildir ACTION
    match from any for DOMAIN action "keep"
}
client c {
    S: 220
    C: EHLO client.example
    S: 250
    C: MAIL FROM:<bob@example.net>
    S: 250
    C: RCPT TO:<alice@one.example>
    S: 250
    C: RCPT TO:<alice@two.example>
    S: 5xx
}
waive grammar "550 has no enhanced code"
"""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("how", [
    ("set", "    one.example", "", "domain <here>"),
    ("map", "    @one.example alice", "virtual <here>", "any"),
    ("aliases", "    @one.example: alice", "virtual <here>", "any"),
], ids=lambda how: how[0])
def test_makemap(tmp_path, target, how):
    text = DB
    for name, value in zip(("TYPE", "LINES", "ACTION", "DOMAIN"), how):
        text = text.replace(name, value)
    good(tmp_path, text, target=target)


def test_makemap_fails(tmp_path):
    result = play(tmp_path, "file /etc/x makemap=set {\n    a\n    a\n}\n"
                  + DAEMON + "client c { S: 220 }\n")
    assert result.code == 2
    assert ":2:6: makemap of /etc/x failed: " in result.end["reason"]
    assert "/etc/x:2: duplicate" in result.end["reason"]


def test_barrier_nobody_gets_to(tmp_path):
    result = play(tmp_path, DAEMON + """
timeout 300ms
client a {
    S: 220
    <await b>
    <reach a>
}
client b {
    S: 220
    <await a>
    <reach b>
}
""")
    assert result.code == 1
    assert "nobody reached it; " in result.failures()
    assert " waits at line " in result.failures()


def test_pinned_silence_waits(tmp_path):
    """What is pinned instead of silence may come late."""
    text = pair(["S: 220 hi", "C: NOOP", "pause 900ms", "S: 250 ok"],
                ["S: 220", "C: NOOP", "S: <silence 50ms>"])
    pinned = text.replace("<silence 50ms>", "<silence 50ms>\n"
                          f'    known {TARGETS[0]} "250 ok" "late"')
    result = play(tmp_path, pinned)
    assert result.code == 0 and result.end["verdict"] == "known", result.text
    assert "unexpected pass" not in result.text


def test_barrier_that_takes_long(tmp_path):
    """The time of a step counts from when somebody has last made one."""
    good(tmp_path, DAEMON + """
timeout 2s
client a {
    S: 220
    repeat 6 {
        pause 500ms
        C: NOOP
        S: 503 or 250
    }
    <reach done>
}
client b {
    S: 220
    <await done>
}
""")


@pytest.mark.parametrize("target", TARGETS)
def test_skipped_with_the_reason(tmp_path, target):
    result = play(tmp_path, "needs version >= 99\n" + DAEMON
                  + "client c { S: 220 }\n", target=target)
    assert result.code == 77
    assert "needs version >=99" in result.end["reason"]
