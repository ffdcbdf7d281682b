"""Perturbations: what stands still, what is held back, who falls silent."""

import pytest

from driver import DAEMON, TOP, play

GENERIC = (TOP / "scenarios" / "hunt" / "data-line.smtp").read_text()


def times(result, *wanted):
    """When each "actor dir: text" is first said."""
    lines = [(t["t"], f"{t['actor']} {t['dir']}: {t['text']}")
             for t in result.end["transcript"]]
    return [next(when for when, line in sorted(lines) if line.startswith(w))
            for w in wanted]


def ends(lines, text):
    return sum(line.endswith(text) for line in lines)


def test_dns_answers_are_held_and_come_together(tmp_path):
    r = play(tmp_path, f"""
stop dns after 1
rest continue dns
{DAEMON}
client c sessions=3 parallel=3 {{
    S: 220
    C: QUIT
    S: 221
}}""", "--keep")
    assert r.code == 0, r.text
    said = r.said("dns")
    held, rest = said[:said.index("--: <continued>")], \
        said[said.index("--: <continued>"):]
    assert ends(held, "held back") == 3 and ends(held, "answered") == 0
    # the fourth is that of the crash oracle's own session
    assert ends(rest, "answered") == 4 and ends(rest, "held back") == 0


def test_answers_of_filters_are_held(tmp_path):
    """One that the scenario plays as well: its process is the relay."""
    r = play(tmp_path, """
needs filters
stop filters after 3
rest continue filters

smtpd d {
    listen on 127.0.0.1 port 25 filter "f"
    action "keep" maildir
    match from any for any action "keep"
}
filter f on mail-from {
    D: filter|*|smtp-in|mail-from|$sid|$token|*
    F: filter-result|$sid|$token|proceed
}
client c {
    S: 220
    C: EHLO client.example
    S: 250
    C: MAIL FROM:<bob@example.net>
    S: 250
    C: QUIT
    S: 221
}""", "--keep")
    assert r.code == 0, r.text
    when = times(r, "filters --: <stopped>", "c C: MAIL",
                 "filters --: <continued>", "f D: filter|", "f F: filter-")
    assert when == sorted(when), r.end["transcript"]


@pytest.mark.parametrize("seed", ["2", "4"])
def test_a_client_pauses_and_goes_on(tmp_path, seed):
    r = play(tmp_path, GENERIC, "--keep", "--perturb", "pause", "--seed", seed)
    assert r.code == 0, r.text
    plan = r.end["stats"]["plan"]
    paused = {p.split()[1] for p in plan if p.startswith("pause ")}
    went_on = {p.split()[2] for p in plan if p.startswith("rest go-on ")}
    assert paused and paused == went_on
    assert len(plan) == len(paused) + len(went_on)


def test_a_client_is_silent_until_the_daemon_has_enough(tmp_path):
    r = play(tmp_path, GENERIC, "--keep", "--perturb", "timeout", "--seed",
             "1", target="7.9.0p0+bug=short-patience")
    assert r.code == 0, r.text
    plan = r.end["stats"]["plan"]
    silent = [p for p in plan if p.startswith("silent ")]
    assert silent == plan and silent
    assert sum(line.endswith("disconnected reason=timeout")
               for line in r.end["log"]) == len(silent)


@pytest.mark.parametrize("one", ["delay", "segment", "cut", "stop", "hold",
                                 "pct", "pause", "none"])
def test_each_is_by_itself(tmp_path, one):
    """What is not asked for does not happen."""
    marks = {"cut": ("cut ", "part ", "rest fin", "rest rst", "rest half"),
             "stop": ("stop ", "rest continue "),
             "hold": ("stop filters", "stop dns", "rest continue "),
             "pause": ("pause ", "rest go-on ")}
    r = play(tmp_path, GENERIC, "--keep", "--perturb", one, "--seed", "3")
    assert r.code == 0, r.text
    plan = r.end["stats"].get("plan", [])
    assert bool(plan) == (one in marks)
    assert all(p.startswith(marks[one]) for p in plan), plan
    if one == "stop":
        assert not any("filters" in p or "dns" in p for p in plan)


@pytest.mark.parametrize("seed,who", [("5", ["c", "mx"]), ("13", ["f"])])
def test_a_step_of_any_actor_comes_late(tmp_path, seed, who):
    r = play(tmp_path, """needs filters

smtpd d {
    listen on 127.0.0.1 port 25 filter "f"
    action "relay" relay host smtp://127.0.0.2
    match from any for any action "relay"
}
filter f on mail-from {
    D: filter|*|smtp-in|mail-from|$sid|$token|*
    F: filter-result|$sid|$token|proceed
}
server mx listen=127.0.0.2:25 {
    S: 220 mx.example
    C: EHLO mx.example.org
    S: 250 mx.example
    C: MAIL FROM:...
    S: 250 ok
    C: RCPT TO:...
    S: 250 ok
    C: DATA
    S: 354 go
    receive
    S: 250 ok
    C: QUIT
    S: 221 bye
}
client c {
    S: 220
    C: EHLO client.example
    S: 250
    C: MAIL FROM:<bob@example.net>
    S: 250
    C: RCPT TO:<alice@mx.example>
    S: 250
    C: DATA
    S: 354
    message size=100
    S: 250
    C: QUIT
    S: 221
}""", "--keep", "--perturb", "delay", "--seed", seed)
    assert r.code == 0, r.text
    late = [t["actor"] for t in r.end["transcript"] if t["text"] == "<late>"]
    assert set(who) <= set(late)
