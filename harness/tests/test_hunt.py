"""hunt and kill: what they find, what they keep, what they leave alone."""

import json
import pathlib
import re
import signal
import subprocess
import time

import pytest

from driver import DRIVER, TOP

BUG = "cve-2020-35680-filter-io"
SCRIPT = TOP / "kill-scripts" / "cve-2020-35680.smtp"
GENERIC = TOP / "scenarios" / "hunt" / "data-line.smtp"

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
    done = run("hunt", "--all", "--time", 8, "--findings", tmp_path,
               "--strategy", "none", "--target", f"7.9.0p0+bug={BUG}", SCRIPT)
    assert done.returncode == 1, done.stdout + done.stderr
    found, = (p for p in tmp_path.iterdir() if p.is_dir())
    finding = json.loads((found / "finding.json").read_text())
    assert finding["count"] > 1
    assert re.match("crash: signal 11 .*io_vprintf", finding["signature"])
    assert (found / "scenario.smtp").read_text() == SCRIPT.read_text()
    assert "io_printf" in (found / "log").read_text()
    assert (found / "choices").exists()


def test_a_finding_shrinks_to_a_kill_script(tmp_path):
    """What does not matter is left out; what is left still kills."""
    finds = tmp_path / "f"
    script = tmp_path / "long.smtp"
    script.write_text(SCRIPT.read_text() + """
client bystander sessions=3 parallel=3 {
    S: 220
    choose { C: NOOP
             S: 250 }
    or { C: HELP
         S: 214 }
    C: QUIT
    S: 221
}
""")
    target = f"7.9.0p0+bug={BUG}"
    done = run("hunt", "--time", 60, "--findings", finds, "--strategy", "none",
               "--target", target, script)
    assert done.returncode == 1, done.stdout + done.stderr
    found, = (p for p in finds.iterdir() if p.is_dir())
    done = run("shrink", "--time", 20, found)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (found / "kill.smtp").read_text()
    assert "choose" not in text and "bystander" not in text, text
    assert "client victim" in text and "rest rst victim" in text
    assert run("kill", "-n", 3, "--target", target,
               found / "kill.smtp").returncode == 1


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
    path.write_text(f'scenario "a mistake"\nneeds filters\n{line}\n')
    done = run("run", "--check", path)
    assert done.returncode == 2
    assert f"{path}:3:" in done.stderr and said in done.stderr
