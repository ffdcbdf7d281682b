"""Bugs put back: those marked "check yes" are caught, each on 7.9.0p0.

"make bugs" measures all of them, on all versions.
"""

import json
import os
import subprocess

import pytest

from driver import DRIVER, TOP

VERSION = "7.9.0p0"
SEEDS = 5


def checked():
    """By their first words alone: a wrong file is put-back's to tell."""
    for path in sorted((TOP / "fixtures" / "bugs").glob("*.bug")):
        words = [line.split() for line in path.read_text().splitlines()]
        if ["check", "yes"] in words:
            yield path.stem


def bugs(tmp_path, *args):
    out = tmp_path / "bugs.json"
    done = subprocess.run(
        [TOP / "ci" / "bugs", "--json", out, "--target", VERSION, *args],
        env=dict(os.environ, SMTPDTEST=os.path.abspath(DRIVER)),
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace", check=False)
    rows = json.loads(out.read_text())["rows"] if out.exists() else []
    return done, rows


@pytest.mark.parametrize("name", checked())
def test_bug_is_caught(tmp_path, name):
    done, rows = bugs(tmp_path, "--only", name, "--seeds", str(SEEDS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [r["status"] for r in rows] == ["caught"]


def test_enough_bugs():
    assert len(list(checked())) >= 8
