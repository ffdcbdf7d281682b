"""smtpdtest leak --engine growth, and ci/leak around it."""

import json
import os
import subprocess
import xml.etree.ElementTree

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


def test_beside_another_build(tmp_path):
    done, result = leak(tmp_path, "--target", BUG, "--base", CLEAN)
    assert done.returncode == 1, done.stdout + done.stderr
    assert set(leaks(result)) == {("lookup", "heap")}
    done, result = leak(tmp_path, "--target", BUG, "--base", BUG)
    assert done.returncode == 0, "what both have is no regression"
    done, result = leak(tmp_path, "--target", CLEAN, "--base", "6.8.0p2")
    assert done.returncode == 2, "their processes differ"
    assert "cannot be compared" in done.stderr


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
