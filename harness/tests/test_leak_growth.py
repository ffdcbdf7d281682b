"""smtpdtest leak --engine growth, and ci/leak around it."""

import json
import os
import shutil
import subprocess
import xml.etree.ElementTree

import pytest

from driver import DRIVER, TOP

CLEAN = "7.9.0p0"
BUG = CLEAN + "+bug=cve-2020-35679-regfree"
SCENARIO = "scenarios/leak/regex-table.smtp"


def leak(tmp_path, *args, what=(SCENARIO,)):
    out = tmp_path / "leak.json"
    out.unlink(missing_ok=True)
    done = subprocess.run(
        [DRIVER, "leak", "-q", "--engine", "growth", "--sessions", "10",
         "--json", str(out), *args, *what], cwd=TOP,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done, json.loads(out.read_text()) if out.exists() else None


def leaks(result):
    return {(r["process"], r["what"]): r for r in result["rows"]
            if r["verdict"] == "leak"}


def test_compiled_expressions_are_lost(tmp_path):
    """CVE-2020-35679, in the process that has it and no other."""
    done, result = leak(tmp_path, "--target", BUG)
    assert done.returncode == 1, done.stdout + done.stderr
    assert set(leaks(result)) == {("lookup", "heap")}
    row = leaks(result)["lookup", "heap"]
    assert row["interval"][0] > 4800 * 2            # two recipients a session
    assert row["interval"][0] <= row["bytes"] <= row["interval"][1]
    assert "repeat with: " in done.stdout


def test_clean_daemon(tmp_path):
    """Nothing grows, and a leak of a block in each session would be seen."""
    done, result = leak(tmp_path, "--target", CLEAN)
    assert done.returncode == 0, done.stdout + done.stderr
    heaps = [r for r in result["rows"] if r["what"] == "heap"]
    assert {"lookup", "queue", "control", "scheduler", "dispatcher", "crypto",
            "parent"} == {r["process"] for r in heaps}
    assert all(0 < r["smallest"] < 24 for r in heaps)
    assert len(result["samples"]) > 20
    sessions = [s["sessions"] for s in result["samples"]]
    assert sessions == sorted(set(sessions))


def beside(tmp_path, target, base):
    # what is lost by each session is seen in few; others get the processors
    return leak(tmp_path, "--sessions", "2", "--target", target, "--base", base)


def test_beside_another_build(tmp_path):
    done, result = beside(tmp_path, BUG, CLEAN)
    assert done.returncode == 1, done.stdout + done.stderr
    assert set(leaks(result)) == {("lookup", "heap")}
    done, result = beside(tmp_path, BUG, BUG)
    assert done.returncode == 0, "what both have is no regression"
    # not 6.8.0p2, which might have to be built for this
    done, result = beside(tmp_path, CLEAN, "distro")
    assert done.returncode == 2, "their processes differ"
    assert "cannot be compared" in done.stderr


def test_descriptors_are_lost(tmp_path):
    """They are measured like the rest, and do not end it."""
    done, result = leak(tmp_path, "--sessions", "2", "--target",
                        CLEAN + "+bug=leak-db", what=("scenarios/leak/db.smtp",))
    assert done.returncode == 1, done.stdout + done.stderr
    assert set(leaks(result)) == {("lookup", "heap"), ("lookup", "descriptors")}
    assert leaks(result)["lookup", "descriptors"]["bytes"] == 1


def test_filter(tmp_path):
    """Driven by sessions of "drive"; what it loses is a block each."""
    program = tmp_path / "leaky"
    subprocess.run(["cc", "-g", "-o", program,
                    TOP / "harness" / "tests" / "leaky.c"], check=True)
    done, result = leak(tmp_path, what=["--drive", f"{program} leak"])
    assert done.returncode == 1, done.stdout + done.stderr
    assert leaks(result)["filter", "heap"]["blocks"] == 1
    done, result = leak(tmp_path, what=["--drive", str(program)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert [r["what"] for r in result["rows"]] == ["heap"]


def test_sanitizer_is_refused(tmp_path):
    done, result = leak(tmp_path, "--target", CLEAN + "+asan")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "sanitizer" in done.stderr
    assert result is None


def test_all_results_and_pictures(tmp_path):
    out = tmp_path / "leak.json"
    done = subprocess.run(
        [str(TOP / "ci" / "leak"), "--target", f"{CLEAN},{BUG}", "--json",
         str(out), SCENARIO], cwd=TOP, env=dict(os.environ, SMTPDTEST=DRIVER),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    clean, bug = done.stdout.splitlines()[:2]
    assert clean.startswith("ok") and "nothing grows" in clean
    assert bug.startswith("LEAK") and "lookup heap" in bug
    assert [r["target"] for r in json.loads(out.read_text())] == [CLEAN, BUG]
    svg = (TOP / "build" / "results" / "leak" /
           f"regex-table-{BUG}.svg").read_text()
    assert len(list(xml.etree.ElementTree.fromstring(svg).iter())) > 7 * 25


def test_no_such_scenario(tmp_path):
    done = subprocess.run([str(TOP / "ci" / "leak"), str(tmp_path / "x.smtp")],
                          cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


@pytest.fixture(name="elsewhere")
def elsewhere_fixture(tmp_path):
    """The driver and what comes with it, of which the fixtures can be changed."""
    for path in TOP.iterdir():
        if path.name not in ("build", "fixtures"):
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "fixtures" / "baselines").mkdir(parents=True)
    shutil.copy(TOP / "fixtures" / "valgrind.supp", tmp_path / "fixtures")
    (tmp_path / "build").mkdir()
    shutil.copy(DRIVER, tmp_path / "build" / "smtpdtest")
    return tmp_path


PIN = "regex-table\tlookup\theap\t"
BASELINES = {
    PIN + "9": "2:26: expected a reason",
    PIN + "9\t": "2:27: expected a reason",
    PIN + "some\twhy": "2:25: expected a number",
    PIN + "9x\twhy": "2:25: expected a number",
    PIN + "0\twhy": "2:25: expected a number",
    PIN + "-9\twhy": "2:25: expected a number",
    PIN + "inf\twhy": "2:25: expected a number",
    PIN + "nan\twhy": "2:25: expected a number",
    "regex-table lookup heap 9 why": "2:30: expected a scenario",
    "regex-table\tlookup": "2:19: expected a scenario",
}


def refused(elsewhere, engine, where):
    done = subprocess.run(
        [elsewhere / "build" / "smtpdtest", "leak", "-q", "--engine", engine,
         "--sessions", "1", elsewhere / SCENARIO], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
        env=dict(os.environ, SMTPDTEST_CI_TARGET=str(TOP / "ci" / "target")))
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert f"{elsewhere}/fixtures/{where}" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("line", BASELINES)
def test_baseline_that_is_none(elsewhere, line):
    """Before anything is measured, and whichever line it is."""
    (elsewhere / "fixtures" / "baselines" / CLEAN).write_text(
        f"# a comment\n{line}\n{PIN}9\twhy\n")
    refused(elsewhere, "growth", f"baselines/{CLEAN}:{BASELINES[line]}")


def test_baseline_of_the_version_before(elsewhere):
    """A tree that is newer than all releases has what the last one has."""
    for name in ("7.6.0p1", "7.8.0p0", "7.10.0p0"):
        (elsewhere / "fixtures" / "baselines" / name).write_text(name)
    refused(elsewhere, "growth", "baselines/7.8.0p0:1:8: expected a scenario")


@pytest.mark.parametrize("line", ["*", "*\tlookup\tf", "*\tlookup\tf\t"])
def test_known_leak_that_is_none(elsewhere, line):
    (elsewhere / "fixtures" / "known-leaks").write_text(
        f"# a comment\n*\tlookup\tf\twhy\n{line}\n")
    refused(elsewhere, "valgrind", "known-leaks:3:1: ")
