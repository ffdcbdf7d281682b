"""The filter actor, each thing it can do tried in both directions."""

import os
import pathlib
import subprocess
import time

import pytest

from driver import (DRIVER, HELLO, QUIT, TARGETS, TOP, TRANSACTION, client,
                    play)

CONF = """
smtpd d {
    listen on 127.0.0.1 port 25 filter "f"
    action "keep" maildir
    match from any for local action "keep"
}
"""
MAIL = """
client c {
    S: 220
    C: EHLO client.example
    S: 250
    C: MAIL FROM:<bob@example.net>
    S: 250
    C: RCPT TO:<alice@mx.example.org>
    S: %s
    C: QUIT
    S: 221
}
"""
RCPT = "D: filter|*|smtp-in|rcpt-to|$sid|$token"
FINE = "F: filter-result|$sid|$token|proceed"


def lines(result):
    return [t["text"] for t in sorted(result.end["transcript"],
                                      key=lambda t: t["t"])
            if t["actor"].startswith("f")]


def good(tmp_path, text):
    result = play(tmp_path, text, "--keep")
    assert result.code == 0, result.text
    return result


def bad(tmp_path, text, got):
    result = play(tmp_path, text)
    assert result.code == 1, result.text
    assert got in result.failures(), result.text


def test_registers_what_is_named_and_no_more(tmp_path):
    result = good(tmp_path, CONF + MAIL % 250 + f"""
filter f {{
    {RCPT}|alice@*
    {FINE}
    D: report|*|smtp-in|tx-rcpt|$sid
}}
filter f on quit,tx-rcpt {{
}}
""")
    assert sorted(t for line in lines(result) for t in line.split("\\n")
                  if t.startswith("register")) == [
        "register|filter|smtp-in|quit",
        "register|filter|smtp-in|rcpt-to",
        "register|ready",
        "register|report|smtp-in|link-disconnect",
        "register|report|smtp-in|tx-rcpt",
    ]


def test_all_events_are_registered_once(tmp_path):
    result = good(tmp_path, CONF + MAIL % 250 + """
filter f on * {
    D: report|*|smtp-in|tx-rcpt|$sid|*{msg}|ok|alice@mx.example.org
}
""")
    assert sum("|tx-rcpt|" in line for line in lines(result)) == 1


def test_an_answer_reaches_the_client(tmp_path):
    block = f"""
filter f {{
    {RCPT}
    F: filter-result|$sid|$token|reject|550 5.7.1 no
}}
"""
    good(tmp_path, CONF + MAIL % '550 "5.7.1 no"' + block)
    bad(tmp_path, CONF + MAIL % 250 + block, "550 5.7.1 no")


def test_another_line_is_told(tmp_path):
    bad(tmp_path, CONF + MAIL % 250 + f"""
filter f on rcpt-to {{
    {RCPT}|carol@mx.example.org
    {FINE}
}}
""", "|alice@mx.example.org")


def test_the_end_of_the_session_is_told(tmp_path):
    bad(tmp_path, CONF + MAIL % 250 + f"""
filter f {{
    {RCPT}
    {FINE}
    D: filter|*|smtp-in|commit|$sid|$token
}}
""", "the end of the session")


def test_a_block_that_never_begins_is_told(tmp_path):
    block = """
filter f %s {
    D: filter|*|smtp-in|commit|$sid|$token
}
"""
    bad(tmp_path, CONF + MAIL % 250 + block % "", "none did")
    good(tmp_path, CONF + MAIL % 250 + block % "unused")


def test_unused_but_used_is_told(tmp_path):
    bad(tmp_path, CONF + MAIL % 250 + f"""
filter f unused {{
    {RCPT}
    {FINE}
}}
""", "one did")


def test_silence_and_a_line(tmp_path):
    block = f"""
filter f on ehlo {{
    D: <silence %s>
    D: filter|*|smtp-in|ehlo|$sid|$token
    {FINE}
}}
"""
    bad(tmp_path, CONF + MAIL % 250 + block % "3s", "|ehlo|")


def test_each_begins_anew(tmp_path):
    text = CONF + """
client c {
    S: 220
    repeat 3 {
        C: NOOP
        S: 250
    }
    C: QUIT
    S: 221
}
filter f %s {
    D: filter|*|smtp-in|noop|$sid|$token
    F: filter-result|$sid|$token|reject|550 5.7.1 no
}
"""
    bad(tmp_path, text % "", "550 5.7.1 no")
    result = play(tmp_path, (text % "each").replace(
        "NOOP\n        S: 250", "NOOP\n        S: 550"), "--keep")
    assert result.code == 0, result.text
    assert sum("|reject|" in line for line in lines(result)) == 3


def test_held_lines_are_released_in_order(tmp_path):
    result = good(tmp_path, CONF + client(
        *HELLO, *TRANSACTION, "C: Subject: x", "C:",
        "repeat 9 {\n        C: line $i\n    }", "C: .", "S: 250", *QUIT) + """
filter f on data-line {
    hold
    D: filter|*|smtp-in|data-line|$sid|$token|line 5
    release 2
    release
    F: filter-dataline|$sid|$token|line 5
}
expect delivered 1
""")
    sizes = [line.count("filter-dataline|") for line in lines(result)
             if line.startswith("filter-dataline")]
    assert sizes[0] == 2 and sizes[1] > 4 and set(sizes[2:]) == {1}


@pytest.mark.parametrize("end", ["exit 0", "exit 3", "kill KILL", "kill TERM"])
def test_the_end_of_a_filter_is_the_end_of_the_daemon(tmp_path, end):
    text = CONF + f"""
client c {{
    S: 220
    C: NOOP
    S: <close>
}}
filter f {{
    D: filter|*|smtp-in|noop|$sid|$token
    F: <{end}>
}}
"""
    result = good(tmp_path, text + """expect exit
expect log has "lost processor: f exited abnormally"
""")
    assert result.end["verdict"] == "pass"
    result = play(tmp_path, text)
    assert result.code == 1
    assert "lost processor" in result.failures("crash"), result.text


def test_manual_speaks_itself(tmp_path):
    good(tmp_path, CONF + MAIL % 250 + """
filter f manual {
    D: config|smtpd-version|*
    D: config|subsystem|smtp-in
    D: config|ready
    F: register|filter|smtp-in|rcpt-to
    F: register|ready
    D: filter|*|smtp-in|rcpt-to|*{s}|*{t}|alice@mx.example.org
    F: filter-result|$s|$t|proceed
}
""")


def test_a_filter_that_never_registers_is_named(tmp_path):
    result = play(tmp_path, "timeout 1s\n" + CONF + MAIL % 250 + """
filter f manual {
    D: config|never
}
""")
    assert result.code == 1, result.text
    assert "config|ready" in result.failures(), result.text


def test_a_wrong_name_in_the_configuration_is_told(tmp_path):
    result = play(tmp_path, """
smtpd d {
    filter "g" proc-exec "/run/smtpdtest/relay g"
    listen on 127.0.0.1 port 25 filter "g"
    action "keep" maildir
    match from any for local action "keep"
}
""" + MAIL % 250)
    assert result.code == 2, result.text
    assert 'nobody plays "g"' in result.end["reason"]
    result = play(tmp_path, """
smtpd d {
    filter "g" proc-exec "/run/smtpdtest/relay g"
    listen on 127.0.0.1 port 25 filter "g"
    action "keep" maildir
    match from any for local action "keep"
}
""" + MAIL % 250 + "filter f on quit {\n}\n")
    assert result.code == 2, result.text
    assert 'nobody plays "g"' in result.end["reason"]


def test_the_oracle_objects_to_what_was_not_registered(tmp_path):
    # a phase of SMTP-IN is one to smtpd, and none to the oracle
    result = play(tmp_path, CONF + MAIL % 250 + """
filter f manual {
    D: config|ready
    F: register|filter|SMTP-IN|rcpt-to
    F: register|ready
}
""")
    assert result.code == 1, result.text
    assert result.failures("filter").startswith("S8: "), result.text


def running(word):
    return [p.name for p in pathlib.Path("/proc").iterdir()
            if p.name.isdigit() and word in cmdline(p)]


def cmdline(path):
    try:
        return (path / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_nothing_is_left_when_the_driver_is_killed(tmp_path):
    name = f"left{os.getpid()}"
    path = tmp_path / "left.smtp"
    path.write_text(f"""scenario "left"
smtpd d {{
    listen on 127.0.0.1 port 25 filter "{name}"
    action "keep" maildir
    match from any for local action "keep"
}}
filter {name} on connect {{
    D: <silence 60s>
}}
client c {{
    S: <silence 60s>
}}
""")
    driver = subprocess.Popen(
        [DRIVER, "run", "--target", TARGETS[0], "--results",
         str(tmp_path / "results"), str(path)], cwd=TOP,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: running(f"relay\0{name}\0"))
    finally:
        driver.kill()
        driver.wait()
    assert wait_for(lambda: not running(name))


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()
