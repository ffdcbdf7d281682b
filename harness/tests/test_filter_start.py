"""Filters that do not start are told in one line, wherever they are run."""

import os
import pathlib
import subprocess

import pytest

from driver import DRIVER, play

# what it is, its mode, what is said of it
FILTERS = {
    "missing": (None, 0, "exited with status 127 before it was ready: "
                "sh: 1: exec: FILTER: not found"),
    "not-executable": ("", 0o644, "exited with status 126 before it was "
                       "ready: sh: 1: exec: FILTER: Permission denied"),
    "silent": ("echo waiting >&2; exec sleep 1000", 0o755,
               "was not ready within 1 s: waiting"),
    "binary": (r"echo oops >&2; sleep .1; printf '\001\377\n'; exec sleep 1000",
               0o755, 'is no filter, it said "\\x01\\xff": oops'),
    "no-line": ("echo oops >&2; sleep .1; head -c 99 /dev/zero; "
                "exec sleep 1000", 0o755,
                'is no filter, it said "' + "\\x00" * 16 + '...": oops'),
    "closes": ("echo closing >&2; exec <&- >&-; exec sleep 1000", 0o755,
               "closed its output before it was ready: closing"),
    "leaves": ("echo leaving >&2; exit 3", 0o755,
               "exited with status 3 before it was ready: leaving"),
    "killed": ("echo dying >&2; kill -9 $$", 0o755,
               "was ended by signal 9 (Killed) before it was ready: dying"),
}
# Only "silent" waits for that; under tap, whoever stays.
def limit(case, most="30"):
    return "1" if case == "silent" else most


RUN = """
timeout %ss
%s
smtpd d {
    filter "f" proc-exec "/etc/smtpd/f"
    listen on 127.0.0.1 port 25 filter "f"
    action "keep" maildir
    match from any for local action "keep"
}
client c {
    S: 220
}
"""
DAEMON = """
timeout %ss
%s
daemon f exec="/etc/smtpd/f" {
    D: report|$stamp|smtp-in|link-disconnect|$sid
}
"""
NOT_EXECUTED = {"missing": (127, "No such file or directory"),
                "not-executable": (126, "Permission denied")}
each = pytest.mark.parametrize("case", FILTERS)


def written(tmp_path, case):
    text, mode, _ = FILTERS[case]
    path = tmp_path / "f"
    if text is not None:
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(mode)
    return str(path)


def left(word):
    return [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline")
            if word in read(p)]


def read(path):
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


@each
@pytest.mark.parametrize("scenario, before", [
    (RUN, "the daemon did not start: f "),
    (DAEMON, "the filter of f "),
])
def test_in_a_scenario(tmp_path, case, scenario, before):
    text, mode, says = FILTERS[case]
    file = "" if text is None else \
        f"file /etc/smtpd/f mode={mode:o} {{\n    #!/bin/sh\n    {text}\n}}"
    done = play(tmp_path, scenario % (limit(case), file))
    assert done.code == 2, done.text
    reason = done.end["reason"].replace("/bin/sh", "sh")
    assert "\n" not in reason
    assert reason.endswith(before + says.replace("FILTER", "/etc/smtpd/f"))


ENDED = ": f, which has no tap, has ended: leaving"


@pytest.mark.parametrize("case, after, says", [
    ("silent", "", "the daemon greets nobody: f, which has no tap, may not be "
     "ready: waiting"),
    # sooner or later than there is a client
    ("leaves", "", ENDED),
    ("leaves", "sleep .1; ", ENDED),
    ("leaves", "sleep .5; ", ENDED),
])
def test_without_a_tap(tmp_path, case, after, says):
    text, mode, _ = FILTERS[case]
    scenario = RUN.replace("smtpd d {", "smtpd d untapped {")
    done = play(tmp_path, scenario % (
        limit(case), f"file /etc/smtpd/f mode={mode:o} {{\n    #!/bin/sh\n"
        f"    {after}{text}\n}}"))
    assert done.code == 2, done.text
    assert done.end["reason"].endswith(says)
    assert "\n" not in done.end["reason"]


@each
def test_under_drive(tmp_path, case):
    path = written(tmp_path, case)
    done = subprocess.run([DRIVER, "drive", "--timeout", limit(case), "--",
                           path], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    assert not left(path)
    if case == "killed":        # a crash is one: all is told
        assert done.returncode == 1 and "F29" in done.stdout
        return
    says = FILTERS[case][2].replace("FILTER", path)
    assert done.stderr.replace("/bin/sh", "sh") == \
        f"smtpdtest: {path}: it {says}\n"
    assert done.returncode == 2 and done.stdout == ""


@each
def test_under_tap(tmp_path, case):
    path = written(tmp_path, case)
    tap = subprocess.Popen([DRIVER, "tap", "--timeout", limit(case, "4"), "--",
                            path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True, errors="replace")
    try:
        os.write(tap.stdin.fileno(), b"config|ready\n")
    except BrokenPipeError:
        pass
    ours = ("tap: ", "smtpdtest: ")
    told = next(line for line in tap.stderr if line.startswith(ours))
    # the end of its input is not the end of these: they are ended
    _, rest = tap.communicate()
    assert not left(path)
    assert not any(line.startswith(ours) for line in rest.splitlines())
    if case in NOT_EXECUTED:
        code, why = NOT_EXECUTED[case]
        assert told == f"smtpdtest: {path}: {why}\n"
    else:
        code = 3 if case == "leaves" else -9
        assert told == f"tap: {path} {FILTERS[case][2]}\n"
    assert tap.returncode == code
