"""hunt and kill: what they find, what they keep, what they leave alone."""

import json
import pathlib
import random
import re
import signal
import subprocess
import time

import pytest

from driver import DRIVER, TOP

BUG = "cve-2020-35680-filter-io"
TARGET = f"7.9.0p0+bug={BUG}"
SCRIPT = TOP / "kill-scripts" / "cve-2020-35680.smtp"
GENERIC = TOP / "scenarios" / "hunt" / "data-line.smtp"

def run(*args):
    return subprocess.run([DRIVER, *map(str, args)], cwd=TOP, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)


def wait_until(true):
    """As long as it takes: whoever waits in vain is ended from outside."""
    while not true():
        time.sleep(0.1)


def test_a_kill_script_tells_good_from_bad(tmp_path):
    """The exit codes are those of git bisect run."""
    done = run("kill", "-n", 2, SCRIPT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "died in 0 of 2 runs" in done.stdout
    done = run("kill", "-n", 4, "--json", tmp_path / "out", "--target",
               TARGET, SCRIPT)
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
               "--strategy", "none", "--target", TARGET, SCRIPT)
    assert done.returncode == 1, done.stdout + done.stderr
    found, = (p for p in tmp_path.iterdir() if p.is_dir())
    finding = json.loads((found / "finding.json").read_text())
    assert finding["count"] > 1
    assert re.match("crash: signal 11 .*io_vprintf", finding["signature"])
    assert (found / "scenario.smtp").read_text() == SCRIPT.read_text()
    assert "io_printf" in (found / "log").read_text()
    assert (found / "choices").exists()


def with_bystander():
    """Lookup stops after so many steps that without the bystander it never does."""
    text = SCRIPT.read_text()
    for old, new in (("rest stop lookup\nrest reach noise\n",
                      "stop lookup after 400\n"), ("    <await noise>\n", ""),
                     (" sessions=4 parallel=4", ""), ("repeat 150", "repeat 200")):
        assert old in text
        text = text.replace(old, new)
    return text + """
client bystander {
    S: 220
    choose { C: NOOP
             S: 250 }
    or { C: HELP
         S: 214 }
    repeat 300 {
        C: NOOP
        S: 250
    }
    C: QUIT
    S: 221
}
"""


def test_a_finding_shrinks_to_a_kill_script(tmp_path):
    """What does not matter is left out; what is left still kills."""
    finds = tmp_path / "f"
    script = tmp_path / "long.smtp"
    script.write_text(with_bystander())
    done = run("hunt", "--time", 60, "--findings", finds, "--strategy", "none",
               "--target", TARGET, script)
    assert done.returncode == 1, done.stdout + done.stderr
    found, = (p for p in finds.iterdir() if p.is_dir())
    kill = found / "kill.smtp"
    shrink = subprocess.Popen([DRIVER, "shrink", str(found)], cwd=TOP,
                              stdout=subprocess.DEVNULL)
    # the clients come first; the rest takes longer than we want to
    wait_until(lambda: kill.exists() and "bystander" not in kill.read_text() or
               shrink.poll() is not None)
    shrink.send_signal(signal.SIGINT)
    assert shrink.wait() in (0, -signal.SIGINT)
    text = kill.read_text()
    assert "choose" not in text and "bystander" not in text, text
    assert "client victim" in text and "rest rst victim" in text
    assert int(re.search("^stop lookup after (.*)", text, re.M)[1]) < 300
    assert run("kill", "-n", 3, "--target", TARGET, kill).returncode == 1


def test_a_hunt_that_finds_nothing_says_so(tmp_path):
    done = run("hunt", "--time", 3, "--findings", tmp_path, GENERIC)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 findings" in done.stdout


def test_a_hunt_goes_on_after_a_kill(tmp_path):
    hunt = subprocess.Popen(
        [DRIVER, "hunt", "--time", "600", "--findings", str(tmp_path),
         str(GENERIC)], cwd=TOP, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: any(json.loads(p.read_text())["runs"] > 2
                           for p in tmp_path.glob("hunt-*.json")))
    state, = tmp_path.glob("hunt-*.json")
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


# --- faults ------------------------------------------------------------------------

def processes(*words):
    """Whose command line has all of them."""
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = p.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if all(w in text for w in words):
            found.append(int(p.parent.name))
    return found


@pytest.fixture(name="found")
def found_fixture(tmp_path):
    """What a hunt with the kill script leaves, which takes no time."""
    finds = tmp_path / "f"
    done = run("hunt", "--time", 120, "--findings", finds, "--strategy",
               "none", "--target", TARGET, SCRIPT)
    assert done.returncode == 1, done.stdout + done.stderr
    found, = (p for p in finds.iterdir() if p.is_dir())
    return found


def test_shrink_goes_on_after_a_kill_at_any_moment(found):
    kill = found / "kill.smtp"
    lines = 10 ** 9
    for moment in (0.0, *(random.uniform(0, 2) for _ in range(3)), None):
        shrink = subprocess.Popen(
            [DRIVER, "shrink", "--resume", str(found)], cwd=TOP,
            stdout=subprocess.PIPE, text=True)
        if moment is None:      # and where is it now?
            first = shrink.stdout.readline()
            assert int(re.search(r", (\d+) lines", first).group(1)) <= lines
        else:
            time.sleep(moment)
        shrink.kill()
        shrink.communicate()
        wait_until(lambda: not processes("shrink", str(found)))
        if kill.exists():
            # whole at any time
            assert run("run", "--check", kill).returncode == 0
            assert kill.read_text().count("\n") <= lines
            lines = kill.read_text().count("\n")
    assert run("kill", "-n", 5, "--target", TARGET, kill).returncode == 1


def in_full_disk(where, kilobytes, finding, *args):
    """
    Run the driver where no room is left beside a finding, and only there; the
    last lines it says are what is there then.
    """
    command = (f"mount -t tmpfs -o size={kilobytes}k none {where} && "
               f"{{ [ -z '{finding}' ] || cp -r '{finding}' {where}/f; }} && "
               f"dd if=/dev/zero of={where}/eats bs=1k 2>/dev/null; "
               f'"$@"; code=$?; cd {where} && find . -type f; exit $code')
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command, "sh", DRIVER, *map(str, args)],
        cwd=TOP, text=True, stdin=subprocess.DEVNULL, capture_output=True,
        check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    return done, {line[2:] for line in done.stdout.splitlines()
                  if line.startswith("./")} - {"eats"}


def test_hunt_says_that_the_disk_is_full(tmp_path):
    done, left = in_full_disk(
        tmp_path, 64, "", "hunt", "--time", 120, "--findings", tmp_path,
        "--strategy", "none", "--target", TARGET, SCRIPT)
    assert "the finding could not be kept: No space left" in done.stderr
    assert "FOUND" not in done.stdout
    assert not [name for name in left if "bug" in name]


def test_shrink_says_that_the_disk_is_full(tmp_path, found):
    whole = {f"f/{p.name}" for p in found.iterdir()}
    where = tmp_path / "small"
    where.mkdir()
    done, left = in_full_disk(where, 4096, found, "shrink", where / "f")
    assert "kill.smtp: No space left" in done.stderr
    assert left == whole


def test_a_hunt_in_which_nothing_starts_has_found_nothing(tmp_path):
    script = tmp_path / "x.smtp"
    script.write_text('scenario "x"\nsmtpd d {\n    no smtpd.conf\n}\n'
                      'client c {\n    S: 220\n}\n')
    done = run("hunt", "--time", 60, "--findings", tmp_path / "f", script)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "could not be made, the last: the daemon did not start" in \
        done.stderr
    assert not [p for p in (tmp_path / "f").iterdir() if p.is_dir()]


STANDS = """scenario "lookup stands still as long as the client talks"
stop lookup after 3
smtpd d {
    listen on 127.0.0.1 port 25
    action "keep" maildir
    match from any for any action "keep"
}
client c {
    S: 220
    C: EHLO client.example
    S: 250
    repeat 1000000 {
        C: NOOP
        S: 250
    }
}
"""


def stopped_under(driver):
    """The daemon's process that stands still, of a driver's."""
    parents = {}
    for p in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = p.read_text().rsplit(")", 1)
        except OSError:
            continue
        state, parent = fields.split()[:2]
        parents[int(p.parent.name)] = (int(parent), state, name)
    for pid, (parent, state, name) in parents.items():
        if state not in "Tt" or "smtpd" not in name:
            continue
        while parent in parents and parent != driver:
            parent = parents[parent][0]
        if parent == driver:
            return pid
    return None


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
                                 signal.SIGKILL])
def test_who_stands_still_is_gone_with_us(tmp_path, how):
    """A process that is stopped for ever hears of no other signal."""
    script = tmp_path / "x.smtp"
    script.write_text(STANDS)
    driver = subprocess.Popen(
        [DRIVER, "kill", "-n", "1", str(script)], cwd=TOP,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: stopped_under(driver.pid))
    pid = stopped_under(driver.pid)
    driver.send_signal(how)
    assert driver.wait() == -how
    wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists())
