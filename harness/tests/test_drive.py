"""smtpdtest drive: good filters pass, and every rule that is broken is seen."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from driver import DRIVER, TOP

FILTERS = TOP / "fixtures" / "filters"
BUILT = TOP / "build" / "filters"
PROTOCOLS = ["0.4", "0.5", "0.6", "0.7"]
IDENTITY = [str(FILTERS / "identity.py")]


def drive(*args, timeout=240, **kwargs):
    return subprocess.run([DRIVER, "drive", *args], cwd=TOP,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", timeout=timeout,
                          check=False, **kwargs)


def broken(tmp_path, *args):
    """Exit status, and the invariants broken in each pass."""
    log = tmp_path / "drive.json"
    done = drive("--json", str(log), *args)
    ends = [e for e in map(json.loads, log.read_text().splitlines())
            if e["event"] == "end"]
    return done, {e["name"].removeprefix("hostile "):
                  {f["oracle"] for f in e["failures"]} for e in ends}


# --- filters that are as they should be ------------------------------------------

# The versions between the oldest and the newest differ from them in plain sessions.
SOME = {"0.5": "plain,eof", "0.6": "plain,eof"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_identity(protocol):
    done = drive("--protocol", protocol, "--identity", "--hostile",
                 SOME.get(protocol, "all"), "--", *IDENTITY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("identity.py: conformant\n")
    assert "smtp-in     all" in done.stdout
    assert re.search(r"rcpt-to +\d+ asked: \d+ proceed", done.stdout)


def built(name):
    """A filter that ci/filters makes, as far as this machine has what it takes."""
    subprocess.run([TOP / "ci/filters", name], check=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = BUILT / name / "root/usr/libexec/opensmtpd" / name
    if not path.exists():
        pytest.skip(f"{name} cannot be built here")
    return str(path)


# These put the session before the token, as 0.5 and later have it; for 0.7 and
# all kinds of input see test_drive_real.py.
@pytest.mark.parametrize("protocol", PROTOCOLS[1:3])
@pytest.mark.parametrize("name, args", [
    ("filter-tag", []), ("filter-quota", ["10"]), ("filter-threads", []),
])
def test_ours(name, args, protocol):
    done = drive("-q", "--sessions", "60", "--protocol", protocol,
                 "--hostile", SOME[protocol], "--", built(name), *args)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_libopensmtpd(tmp_path, protocol):
    kinds = [line.split()[0] for line in drive("--hostile").stdout.splitlines()
             if "only on request" not in line]
    kinds.remove("local-clients")
    if protocol in SOME:
        kinds = ["extra-fields", "eof"]
    done, got = broken(tmp_path, "--protocol", protocol, "--identity",
                       "--hostile", ",".join(["plain", *kinds]), "--",
                       built("filter-everything"), "/dev/null")
    # libopensmtpd 0.7 ends when a line has more fields than it knows
    assert got.pop("extra-fields") == {"F30"}, done.stdout
    assert not any(got.values()), done.stdout
    assert done.returncode == 1


# --- every rule, broken ------------------------------------------------------------

FAST = ["--sessions", "60", "--identity", "--seed", "5", "--timeout", "60"]
PLAIN = FAST + ["--hostile", "none"]
# Only what is not going to come is not waited for: an answer, or the end.
SOON = ["--timeout", "4"]
RULES = {
    "F2_never": FAST + SOON + ["--hostile", "eof"],
    **dict.fromkeys(["F9", "F10_case", "F21", "F27", "F27_deaf", "F29",
                     "F29_spin"], PLAIN + SOON),
    "F6": PLAIN + ["--protocol", "0.6"],
    "F28": PLAIN[:2] + SOON + ["--hostile", "none"],
    "F30": FAST + ["--hostile", "unknown-config"],
    "F30_version": FAST + ["--hostile", "version-0.10"],
    "F30_fields": FAST + ["--hostile", "extra-fields"],
    "F33": FAST + ["--hostile", "late-events"],
    "F34": FAST + ["--hostile", "no-tx-begin"],
}
GROWS = {
    "F31": r"descriptors from \d+ to \d+",
    "F31_memory": r"memory from \d+ kB to \d+ kB",
    "F31_threads": r"threads from \d+ to \d+",
    "F31_processes": r"processes from \d+ to \d+",
}
VARIANTS = re.findall(r"^class (F\d\w*)", (FILTERS / "broken.py").read_text(),
                      re.M)


def test_every_rule_has_a_filter_that_breaks_it():
    assert {v.split("_")[0] for v in VARIANTS} == \
        {f"F{n}" for n in range(1, 35)}


@pytest.mark.parametrize("variant", VARIANTS)
def test_broken(tmp_path, variant):
    done, got = broken(tmp_path, *RULES.get(variant, PLAIN), "--",
                       str(FILTERS / "broken.py"), variant)
    rule = variant.split("_")[0]
    rules = set().union(*got.values())
    assert rule in rules, done.stdout + done.stderr
    # what it does not bear is why it ends
    assert rule not in ("F30", "F33", "F34") or "F29" not in rules, done.stdout
    assert done.returncode == 1
    assert re.search(rf"^  broken {rule}: ", done.stdout, re.M)
    assert re.search(rf"not conformant:.* {rule} ", done.stdout)
    assert re.search(GROWS.get(variant, ""), done.stdout)


@pytest.mark.parametrize("variant", ["F30", "F30_version", "F30_fields",
                                     "F33", "F34"])
def test_what_only_hostile_input_shows(variant):
    """The same filters pass where nobody is nasty: it is the input that tells."""
    done = drive(*PLAIN, "--", str(FILTERS / "broken.py"), variant)
    assert done.returncode == 0, done.stdout


def test_crash_has_a_backtrace():
    done = drive(*PLAIN, "--", str(FILTERS / "broken.py"), "F29_crash")
    assert "it crashed: SIGSEGV" in done.stdout
    assert re.search(r"#\d+ .* in .*kill", done.stdout), done.stdout


def test_hang_has_a_backtrace():
    done = drive(*PLAIN, *SOON, "--", str(FILTERS / "broken.py"), "F27_deaf")
    assert "where it was when it did not answer" in done.stdout
    assert re.search(r"#\d+ .*sleep", done.stdout), done.stdout


# --- mistakes; test_filter_start.py has filters that do not start -------------------

@pytest.mark.parametrize("args, says", [
    (["--protocol", "0.3", "--", "cat"], "0.3"),
    (["--hostile", "rude", "--", "cat"], "rude"),
    (["--sessions", "0", "--", "cat"], "--sessions"),
    (["--choices", "/nonexistent", "--", "cat"], "/nonexistent"),
    (["--script", "README.md", "--", "cat"], "README.md:1:1: "),
    (["--log", "/nonexistent/log", "--", "cat"], "/nonexistent/log"),
    ([], "usage: smtpdtest drive"),
])
def test_usage(args, says):
    done = drive(*args)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[0]


def test_hostile_kinds_are_listed():
    both = drive("--hostile"), drive("--hostile", "list")
    assert both[0].returncode == 0 and both[0].stdout == both[1].stdout
    kinds = [line.split()[0] for line in both[0].stdout.splitlines()]
    assert len(kinds) == len(set(kinds)) >= 10


# --- nothing stays, everything can be repeated ---------------------------------------

def running(mark):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            pass
    return found


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_left_behind(tmp_path, how):
    script = tmp_path / "filter-with-a-child.sh"
    script.write_text("#!/bin/sh\n(sleep 1001; echo) &\nsleep 1001\n")
    script.chmod(0o755)
    p = subprocess.Popen([DRIVER, "drive", "--timeout", "600", "--",
                          str(script)], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True)
    while len(running(str(script))) < 3:
        assert p.poll() is None
        time.sleep(0.02)
    p.send_signal(how)
    p.wait(60)
    for _ in range(500):
        if not running(str(script)):
            return
        time.sleep(0.02)
    assert not running(str(script))


def test_without_a_sandbox():
    done = drive("-q", "--no-sandbox", "--identity", "--hostile",
                 "plain,gone-clients,eof,early-eof", "--", *IDENTITY)
    assert done.returncode == 0, done.stdout
    done = drive(*PLAIN, "--no-sandbox", "--", str(FILTERS / "broken.py"),
                 "F29_crash")
    assert done.returncode == 1 and "it crashed: signal 11" in done.stdout


def said(path):
    """What a session of smtpd's was, without times, by session."""
    sessions = {}
    for line in path.read_text().splitlines():
        fields = line.split(" ", 2)
        if fields[1] == "D" and fields[2].startswith(("report", "filter")):
            parts = fields[2].split("|")
            sessions.setdefault(parts[5], []).append(parts[:2] + parts[3:])
    return sessions


def test_a_seed_repeats(tmp_path):
    logs = [tmp_path / name for name in ("a", "b", "c")]
    record = tmp_path / "choices"
    for log, how in zip(logs, (["--seed", "77", "--record", str(record)],
                               ["--seed", "77"], ["--choices", str(record)])):
        done = drive("-q", *how, "--hostile", "none", "--log", str(log), "--",
                     *IDENTITY)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(said(logs[0])) == 200
    assert said(logs[0]) == said(logs[1]) == said(logs[2])


def test_a_log_is_said_again(tmp_path):
    log, again = tmp_path / "log", tmp_path / "again"
    drive("-q", "--hostile", "none", "--sessions", "40", "--log", str(log),
          "--", *IDENTITY)
    done = drive("--identity", "--script", str(log), "--log", str(again), "--",
                 *IDENTITY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said(log) == said(again)
    done = drive("--script", str(log), "--identity", "--",
                 str(FILTERS / "broken.py"), "F24")
    assert done.returncode == 1 and "F24" in done.stdout


SCRIPT = """scenario "a recipient by itself"
daemon d exec="filter-of-the-file" {
    D: filter|$stamp|smtp-in|rcpt-to|$sid|$token|alice@mx.example.org
    F: filter-result|$sid|$token|proceed
}
"""


@pytest.mark.parametrize("filter_, code, says", [
    (IDENTITY, 0, "PASS"),
    ([str(FILTERS / "broken.py"), "F15"], 1, "F15"),
    (["./no-such-filter"], 2, "before it was ready: "),
])
def test_a_scenario_is_a_script(tmp_path, filter_, code, says):
    path = tmp_path / "alone.smtp"
    path.write_text(SCRIPT)
    done = drive("--script", str(path), "--", *filter_)
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stdout


@pytest.mark.parametrize("text, args, says", [
    (SCRIPT, ["--protocol", "0.6"], "a scenario goes with"),
    ("scenario \"x\"\nclient c {\n    S: 220\n}\n", [],
     ":2:8: a client has no part"),
    (SCRIPT + "file /x {\n}\n", [], ":6:6: a file would be the machine's"),
])
def test_what_is_no_script(tmp_path, text, args, says):
    path = tmp_path / "alone.smtp"
    path.write_text(text)
    done = drive(*args, "--script", str(path), "--", *IDENTITY)
    assert done.returncode == 2 and says in done.stdout + done.stderr


# --- reports -------------------------------------------------------------------------

def test_reports(tmp_path):
    junit, tap = tmp_path / "j.xml", tmp_path / "t.tap"
    done = drive(*FAST, "--hostile", "plain,eof", "--junit", str(junit),
                 "--tap", str(tap), "--", str(FILTERS / "broken.py"), "F11")
    assert done.returncode == 1
    xml = junit.read_text()
    assert '<testsuite name="0.7" tests="2"' in xml
    assert "one answer to a request" in xml
    assert tap.read_text().startswith("TAP version 14\n")
    assert re.search(r"^not ok 1 ", tap.read_text(), re.M)
    done = drive(*FAST, "--hostile", "none", "--json", "-", "--", *IDENTITY)
    end = [json.loads(line) for line in done.stdout.splitlines()][1]
    assert end["stats"]["answers"]["mail-from"]["proceed"] > 0
    assert "commit" in end["stats"]["filter"]
    assert len(end["stats"]["usage"]) == 10


def test_as_a_user(tmp_path):
    """Without root the sandbox is of another kind, and does the same."""
    if os.geteuid() != 0:
        pytest.skip("not root")
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         DRIVER, "drive", "-q", "--identity",
         "--hostile", "plain,eof", "--", sys.executable,
         *IDENTITY], cwd="/", capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
