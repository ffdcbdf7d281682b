"""The catalogue of requirements, and what a run says of each of them."""

import json
import os
import re
import subprocess

import pytest

from driver import DRIVER, TARGETS, TOP, pair, play

TSV = TOP / "scenarios" / "requirements.tsv"
UNTESTABLE_MAX = 15

# MUST, SHOULD and INFO
TWO = "proves 5321-001 5321-117 5321-156\n"
HELLO = ["S: 220 hi", "C: EHLO x", "S: 250-me", "S: 250 SIZE 100", "C: NOOP",
         "S: 250 ok"]
CLIENT = ["S: 220", "C: EHLO x", "S: 250", "C: NOOP"]


def smtpdtest(*args, **env):
    return subprocess.run([DRIVER, *args], cwd=TOP, capture_output=True,
                          text=True, check=False, env={**os.environ, **env})


def verdicts(result):
    rows = result.events[-1]["requirements"]
    return {i: q["targets"][TARGETS[0]] for i, q in rows.items()
            if q["targets"][TARGETS[0]]["scenarios"]}


def judged(tmp_path, *client, head=TWO, server=HELLO, code=0, name="case"):
    result = play(tmp_path, f'scenario "{name}"\n{head}'
                  + pair(server, client), name=name)
    assert result.code == code, result.text
    return verdicts(result)


# --- the file -------------------------------------------------------------------

def test_ids_keep_their_meaning():
    done = subprocess.run([TOP / "ci" / "catalogue", "check"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_id_is_proven_or_not_testable():
    rows = json.loads(smtpdtest("list", "--json").stdout)["requirements"]
    untestable = {q["id"] for q in rows if q["untestable"]}
    assert len(untestable) <= UNTESTABLE_MAX
    assert not [q["id"] for q in rows if q["id"] in untestable
                and q["scenarios"]]
    assert smtpdtest("list", "--missing").stdout == ""


GOOD = ["5321-001", "MUST", "2.2.1", "C", "V", "EHLO is implemented"]


@pytest.mark.parametrize("column,text", [
    (0, "5321-1"), (0, ""), (1, "MUSTN'T"), (1, ""), (2, "2.2.1,"), (2, "ch2"),
    (3, "C Q"), (3, ""), (4, "X"), (5, ""), (5, " blank"), (6, " "), (7, "x")])
def test_bad_catalogue(tmp_path, column, text):
    fields = GOOD + ["why not", ""][:max(0, column - len(GOOD) + 1)]
    fields[column] = text
    path = tmp_path / "bad.tsv"
    path.write_text("# a comment\n" + "\t".join(fields) + "\n")
    done = smtpdtest("list", SMTPDTEST_CATALOGUE=str(path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"smtpdtest: {path}:2:"), done.stderr
    col = 1 if column == 7 else 1 + len("\t".join(fields[:column])) + (column > 0)
    assert done.stderr.split(":")[3] == str(col), done.stderr


def test_an_id_stands_once(tmp_path):
    path = tmp_path / "bad.tsv"
    path.write_text(("\t".join(GOOD) + "\n") * 2)
    done = smtpdtest("list", SMTPDTEST_CATALOGUE=str(path))
    assert done.returncode == 2
    assert f"{path}:2:1: this id is there twice" in done.stderr


# --- verdicts -------------------------------------------------------------------

def test_conforms(tmp_path):
    rows = judged(tmp_path, *CLIENT, "S: 250")
    assert {r["verdict"] for r in rows.values()} == {"conforms"}
    assert len(rows) == 3


@pytest.mark.parametrize("ident,severity", [
    ("5321-001", "failure"), ("5321-117", "warning"), ("5321-156", "note")])
def test_pinned_deviation(tmp_path, ident, severity):
    rows = judged(tmp_path, *CLIENT, "S: 500",
                  f'known * "250 ok" "as in #12 and #7" breaks {ident}')
    row = rows.pop(ident)
    assert (row["verdict"], row["severity"], row["pinned"]) == (
        "deviates", severity, True)
    deviation, = row["deviations"]
    assert deviation["got"] == "250 ok" and deviation["issues"] == [12, 7]
    where, line, _ = deviation["where"].rsplit(":", 2)
    assert where == deviation["scenario"] == str(tmp_path / "case.smtp")
    assert "S: 500" in (tmp_path / "case.smtp").read_text().splitlines()[
        int(line) - 1]
    assert {r["verdict"] for r in rows.values()} == {"conforms"}


def test_deviation_from_nothing_of_this(tmp_path):
    rows = judged(tmp_path, *CLIENT, "S: 500",
                  'known * "250 ok" "aside" breaks none')
    assert {r["verdict"] for r in rows.values()} == {"conforms"}


def test_failure_counts_for_all(tmp_path):
    rows = judged(tmp_path, *CLIENT, "S: 500", code=1)
    assert {r["verdict"] for r in rows.values()} == {"deviates"}
    assert not any(r["pinned"] for r in rows.values())


def test_failure_of_a_step_that_says_its_id(tmp_path):
    rows = judged(tmp_path, *CLIENT, "S: 500",
                  'known * "other text" "x" breaks 5321-117')
    assert rows["5321-117"]["verdict"] == "deviates"
    assert not rows["5321-117"]["pinned"]
    assert rows["5321-001"]["verdict"] == "not-judged"
    assert "case.smtp: something else has failed" in rows["5321-001"]["reason"]


def test_unexpected_pass_is_no_deviation(tmp_path):
    rows = judged(tmp_path, *CLIENT, "S: 250",
                  'known * "500 no" "x" breaks 5321-117', code=1)
    assert {r["verdict"] for r in rows.values()} == {"not-judged"}


# --- what fails, and what is a warning ----------------------------------------

SHOULD, INFO = "proves 5321-117\n", "proves 5321-156\n"
ASIDE = ["S: 500", 'known 1.2.3 "x" "elsewhere" breaks 5321-117']


@pytest.mark.parametrize("head,steps,reason", [
    (SHOULD, ["S: 500"], "5321-117 (SHOULD)"), (INFO, ["S: 500"], "5321-156 (INFO)"),
    ("proves 5321-156 5321-117\n", ["S: 500"],
     "5321-156 (INFO), 5321-117 (SHOULD)"),
    (TWO, ASIDE, "5321-117 (SHOULD)")],
    ids=["should", "info", "both", "step"])
def test_warning(tmp_path, head, steps, reason):
    text = f'scenario "case"\n{head}' + pair(HELLO, CLIENT + steps)
    xml, tap = tmp_path / "junit.xml", tmp_path / "run.tap"
    result = play(tmp_path, text, "-q", "--junit", str(xml), "--tap", str(tap))
    assert result.code == 0 and result.end["verdict"] == "warn", result.text
    assert result.end["reason"] == f"deviates from no more than {reason}"
    assert "WARN" in result.text and "got:      250 ok" in result.text
    assert result.events[-1]["summary"][0]["warned"] == 1
    assert result.end["transcript"] and result.end["logfile"]
    assert 'type="warning"' in xml.read_text() and "<failure" not in xml.read_text()
    assert "not ok 1 - " in tap.read_text() and "# TODO " in tap.read_text()
    one, = {r["severity"] for r in verdicts(result).values()
            if r["verdict"] == "deviates"} - {"note"} or {"note"}
    assert one == ("warning" if "117" in reason else "note")
    strict = play(tmp_path, text, "--strict")
    assert strict.code == 1 and strict.end["verdict"] == "fail"
    assert " --strict " in strict.end["repeat"]


@pytest.mark.parametrize("head,server,steps", [
    ("", HELLO, ["S: 500"]), ("proves 5321-001\n", HELLO, ["S: 500"]),
    (TWO, HELLO, ["S: 500"]),
    (TWO, HELLO, ["S: 500", 'known 1.2.3 "x" "elsewhere" breaks 5321-001 5321-117']),
    (SHOULD, HELLO, ["S: 250", 'known * "500 no" "x"']),
    (SHOULD, HELLO[:-1] + ["S: <fin>"], ["S: 250"]),
    (SHOULD, HELLO, ["S: 250", "<await here>", "<reach there>"]),
    (SHOULD, HELLO[:-1] + ["S: 25 ok"], ["S: 250"])],
    ids=["nothing", "must", "all", "step", "pass", "end", "point", "grammar"])
def test_more_than_a_warning(tmp_path, head, server, steps):
    """What a MUST demands, and whatever may have any reason."""
    text = f'scenario "case"\ntimeout 1s\n{head}' + pair(server, CLIENT + steps)
    if "await" in text:
        text += "client d to=127.0.0.9:2525 {\n<await there>\n<reach here>\n}\n"
    result = play(tmp_path, text)
    assert result.code == 1 and result.end["verdict"] == "fail", result.text


# --- pins that come to nothing ---------------------------------------------------

@pytest.mark.parametrize("where", ["step", "block", "expect"])
def test_pin_never_reached(tmp_path, where):
    pin = f'known {TARGETS[0]} "4" "never"'
    server, client, rest = HELLO[:4], CLIENT[:3], ""
    if where == "step":
        server = server + ["connection 2..3 { C: RSET", pin, "S: 250 ok }"]
    elif where == "block":
        client = client + ["repeat 2 { C: NOOP", "S: 250 }"]
        server = server + ["repeat 2 { C: NOOP", "S: 250 ok }",
                           "connection 2 { repeat 1..2 { C: RSET", pin, "} }"]
    else:
        rest = 'expect copies alice@mx.example.org 1\n    ' + pin + "\n"
    text = f'scenario "case"\n' + pair(server, client) + rest
    result = play(tmp_path, text)
    assert result.code == 1, result.text
    line = 1 + next(i for i, l in enumerate(text.splitlines()) if pin in l)
    assert f"case.smtp:{line}:" in result.text
    assert "never reached" in result.text
    other = play(tmp_path, text.replace(pin, 'known 1.2.3 "4" "never"'))
    assert other.code == 0, other.text


def test_pin_of_another_choice(tmp_path):
    """Of alternatives one is taken, the pins of the other are no news."""
    either = ["choose { C: NOOP", "S: 250", "}", "or { C: NOOP", "S: 250", "}"]
    for at in 2, 5:
        pinned = [*either[:at], f'known {TARGETS[0]} "500 no" "x"', *either[at:]]
        text = 'scenario "case"\n' + pair(HELLO, CLIENT[:3] + pinned)
        codes = {play(tmp_path, text, "--seed", str(n)).code for n in range(8)}
        assert codes == {0, 1}


def test_pin_of_who_is_skipped(tmp_path):
    pin = f'known {TARGETS[0]} "4" "never"'
    text = 'scenario "case"\nneeds version < 1.0\n' + pair(
        HELLO, CLIENT + ["S: 500", pin])
    result = play(tmp_path, text)
    assert result.code == 77
    assert re.search(r"case.smtp:\d+:\d+ is never reached", result.end["reason"])
    result = play(tmp_path, text.replace(TARGETS[0], "*"))
    assert result.code == 77 and "reached" not in result.end["reason"]


def test_not_offered(tmp_path):
    client = ["S: 220", "C: EHLO x", "S: 250 offers CHUNKING", "C: NOOP",
              "S: 500"]
    rows = judged(tmp_path, *client, code=77)
    assert {(r["verdict"], r["reason"]) for r in rows.values()} == {
        ("not-offered", "CHUNKING")}
    client[2] = "S: 250 offers SIZE"
    rows = judged(tmp_path, *client, code=1)
    assert {r["verdict"] for r in rows.values()} == {"deviates"}


def test_one_deviation_is_enough(tmp_path):
    """Several scenarios about one requirement, in one run."""
    head = "proves 5321-117\n"
    judged(tmp_path, *CLIENT, "S: 250", head=head, name="one")
    judged(tmp_path, *CLIENT, "S: 500", 'known * "250 ok" "x"', head=head,
           name="two")
    log = tmp_path / "both.json"
    done = smtpdtest("run", "--target", TARGETS[0], "--json", str(log),
                     "--results", str(tmp_path / "results"), str(tmp_path))
    assert done.returncode == 0, done.stdout
    end = json.loads(log.read_text().splitlines()[-1])
    row = end["requirements"]["5321-117"]["targets"][TARGETS[0]]
    assert row["verdict"] == "deviates" and len(row["scenarios"]) == 2


@pytest.mark.parametrize("known,col,says", [
    ('known * "250 ok" "x"', 10, "several requirements are proven here"),
    ('known * "250 ok" "x" breaks 5321-002', 33,
     '"5321-002" is not what this scenario proves')])
def test_breaks_what_is_proven(tmp_path, known, col, says):
    text = f'scenario "x"\n{TWO}' + pair(HELLO, CLIENT + ["S: 500", known])
    result = play(tmp_path, text)
    assert result.code == 2
    line = text.splitlines().index("    " + known) + 1
    assert f"case.smtp:{line}:{col}: {says}" in result.text


# --- list --verdicts ------------------------------------------------------------

def stored(path, target, verdict, got):
    deviates = verdict == "deviates"
    row = {"verdict": verdict, "scenarios": ["a.smtp"], "reason": "",
           "deviations": [{"scenario": "a.smtp", "where": "a.smtp:3:1",
                           "got": got, "why": "so"}] if deviates else []}
    if deviates:
        row |= {"severity": "failure", "pinned": True}
    end = {"event": "run-end", "requirements": {"5321-001": {
        "level": "MUST", "section": "1", "text": "a text",
        "targets": {target: row}}}}
    path.write_text('{"event": "end"}\n' + json.dumps(end) + "\n")
    return str(path)


def test_list_verdicts(tmp_path):
    """Of two runs of two targets, and then of a newer run of one of them."""
    one = stored(tmp_path / "1.json", "left", "conforms", "")
    two = stored(tmp_path / "2.json", "right", "deviates", "500 \x1b[31m")
    lines = smtpdtest("list", "--verdicts", one, two).stdout.splitlines()
    assert lines[0].split() == ["id", "level", "left", "right", "requirement"]
    assert lines[1].split() == ["5321-001", "MUST", "conforms", "failure",
                                "a", "text"]
    assert lines[2] == r"    a.smtp:3:1 right: 500 \x1b[31m (so)"
    assert lines[-1].split() == ["right", "0", "1"] + ["0"] * 5
    newer = stored(tmp_path / "3.json", "right", "conforms", "")
    lines = smtpdtest("list", "--verdicts", one, two, newer).stdout
    assert "failure   " not in lines.splitlines()[1]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"event": "end"}\n',
                                  '{"event": "run-end"}', "\x00", "7 {}"])
def test_list_verdicts_of_no_run(tmp_path, text):
    path = tmp_path / "no.json"
    path.write_text(text)
    done = smtpdtest("list", "--verdicts", str(path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"smtpdtest: {path}: ")
    assert len(done.stderr.splitlines()) == 1


# --- README.md ------------------------------------------------------------------

def readme_of(tmp_path, text):
    """A copy of ci/catalogue with a README of its own."""
    (tmp_path / "ci").mkdir(exist_ok=True)
    script = tmp_path / "ci" / "catalogue"
    script.write_text((TOP / "ci" / "catalogue").read_text())
    (tmp_path / "README.md").write_text(text)
    return lambda *args: subprocess.run(
        ["/usr/bin/python3", "-B", script, *args], capture_output=True,
        text=True, check=False)


def test_readme(tmp_path):
    one = stored(tmp_path / "1.json", "left", "conforms", "")
    two = stored(tmp_path / "2.json", "right", "deviates", "500")
    marks = [line for line in (TOP / "README.md").read_text().splitlines()
             if line.startswith("<!-- ") and "catalogue" in line]
    catalogue = readme_of(tmp_path, f"a\n{marks[0]}\nold\n{marks[1]}\nb\n")
    done = catalogue("readme", one, two)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("a\n") and text.endswith("\nb\n")
    assert "old" not in text
    assert "| left | 1 | 0 |" in text and "| right | 0 | 1 |" in text
    assert catalogue("readme", one, two).returncode == 0
    assert (tmp_path / "README.md").read_text() == text


@pytest.mark.parametrize("args", [(), ("what",), ("readme",), ("check", "x"),
                                  ("readme", "/dev/null"),
                                  ("readme", "/nowhere")])
def test_catalogue_usage(tmp_path, args):
    done = readme_of(tmp_path, "no marks\n")(*args)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert (tmp_path / "README.md").read_text() == "no marks\n"
