"""hunt and kill: what they find, what they keep, what they leave alone."""

import json
import pathlib
import signal
import subprocess
import time

import pytest

from driver import DRIVER, TOP

BUG = "cve-2020-35680-filter-io"
SCRIPT = TOP / "kill-scripts" / "cve-2020-35680.smtp"
GENERIC = TOP / "scenarios" / "hunt" / "data-line.smtp"

# Dies of any client, whatever is disturbed.
DIES = """scenario "its filter leaves, and so does smtpd"
needs filters

file /etc/smtpd/leaves mode=0755 {
    #!/bin/sh
    printf 'register|report|smtp-in|link-identify\\nregister|ready\\n'
    exec grep -q link-identify
}

smtpd d {
    filter "leaves" proc-exec "/etc/smtpd/leaves"
    listen on 127.0.0.1 port 25 filter "leaves"
    action "keep" maildir
    match from any for any action "keep"
}

client c {
    S: 220
    C: EHLO client.example
    S: 250 or <close>
    C: NOOP
    S: 250 or <close>
}
"""


def run(*args):
    return subprocess.run([DRIVER, *map(str, args)], cwd=TOP, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)


def test_a_kill_script_tells_good_from_bad(tmp_path):
    """The exit codes are those of git bisect run."""
    done = run("kill", "-n", 2, SCRIPT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "died in 0 of 2 runs" in done.stdout
    done = run("kill", "-n", 4, "--json", tmp_path / "out", "--target",
               f"7.9.0p0+bug={BUG}", SCRIPT)
    assert done.returncode == 1, done.stdout + done.stderr
    out = json.loads((tmp_path / "out").read_text())
    assert out["died"] >= 3 and out["runs"] == 4
    assert "io_vprintf" in out["symptom"]
    assert 0 < out["low"] < out["high"] <= 1


def test_a_target_that_cannot_be_built_is_125():
    done = run("kill", "--target", "src:/nonexistent", SCRIPT)
    assert done.returncode == 125
    assert "/nonexistent" in done.stderr


@pytest.mark.parametrize("args, said", [
    (["hunt"], "usage"),
    (["hunt", "--strategy", "stop,hlod", GENERIC], '"hlod" is none of delay'),
    (["hunt", "--resume", "--findings", "/tmp", "nonesuch.smtp"], "nonesuch"),
    (["kill", "-n", "0", SCRIPT], "is not a number from 1"),
    (["kill", "--connect", "127.0.0.1:1", SCRIPT], "nobody accepts there"),
    (["kill", "--connect", "192.0.2.1:25", SCRIPT], "192.0.2.1"),
])
def test_what_is_wrong_is_said(args, said):
    done = run(*args)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_hunt_keeps_what_it_finds_once(tmp_path):
    path = tmp_path / "dies.smtp"
    path.write_text(DIES)
    done = run("hunt", "--all", "--time", 4, "--findings", tmp_path / "f",
               "--strategy", "none", path)
    assert done.returncode == 1, done.stdout + done.stderr
    found, = (p for p in (tmp_path / "f").iterdir() if p.is_dir())
    finding = json.loads((found / "finding.json").read_text())
    assert finding["count"] > 1
    assert finding["signature"].startswith("crash")
    assert (found / "scenario.smtp").read_text() == DIES
    assert "lost processor" in (found / "log").read_text()
    again = subprocess.run(finding["repeat"], shell=True, cwd=TOP,
                           capture_output=True, check=False)
    assert again.returncode == 1


def test_a_hunt_that_finds_nothing_says_so(tmp_path):
    done = run("hunt", "--time", 3, "--findings", tmp_path, GENERIC)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 findings" in done.stdout


def test_a_hunt_goes_on_after_a_kill(tmp_path):
    hunt = subprocess.Popen(
        [DRIVER, "hunt", "--time", "600", "--findings", str(tmp_path),
         str(GENERIC)], cwd=TOP, stdout=subprocess.PIPE, text=True)
    state = None
    for _ in range(600):
        state = next(tmp_path.glob("hunt-*.json"), None)
        if state and json.loads(state.read_text())["runs"] > 2:
            break
        time.sleep(0.1)
    hunt.send_signal(signal.SIGKILL)
    first = hunt.communicate()[0].splitlines()[0]
    before = json.loads(state.read_text())
    spent = str(int(before["seconds"]) + 3)
    done = run("hunt", "--resume", "--time", spent, "--findings", tmp_path,
               GENERIC)
    assert done.returncode == 0, done.stdout + done.stderr
    after = json.loads(state.read_text())
    assert after["runs"] > before["runs"]
    assert after["seed"] == before["seed"] and before["seed"] in first
    assert len(after["portfolio"]["states"]) >= \
        len(before["portfolio"]["states"])


@pytest.mark.parametrize("line, said", [
    ("stop looukp after 3", '"looukp" cannot be stopped: expected lookup'),
    ("stop lookup before 3", "stop WHO after N [for M]"),
    ("rest halt lookup", '"halt": expected stop'),
    ("rest continue nobody", '"nobody" cannot be stopped'),
])
def test_mistakes_have_a_place(tmp_path, line, said):
    path = pathlib.Path(tmp_path / "wrong.smtp")
    path.write_text(DIES.replace("needs filters", f"needs filters\n{line}"))
    done = run("run", "--check", path)
    assert done.returncode == 2
    assert f"{path}:3:" in done.stderr and said in done.stderr
