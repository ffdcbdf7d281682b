"""Each scenario file is a pytest item for each target.

TARGET names the targets, comma separated; SMTPDTEST the driver.  The driver
does all the judging, this only hands its words and exit status on.  Of these
daemons all deviations are pinned, so that a warning is a failure here.
"""

import os
import pathlib
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent
DRIVER = os.environ.get("SMTPDTEST", str(TOP / "build" / "smtpdtest"))
TARGETS = os.environ.get("TARGET", "7.9.0p0,distro").split(",")
SKIP = 77


class ScenarioFailed(Exception):
    """The driver's own report is the message."""


class ScenarioItem(pytest.Item):
    def __init__(self, *, target, **kwargs):
        super().__init__(**kwargs)
        self.target = target

    def runtest(self):
        done = subprocess.run(
            [DRIVER, "run", "-j", "1", "--strict", "--target", self.target,
             str(self.path.relative_to(TOP))],
            cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", check=False)
        if done.returncode == SKIP:
            pytest.skip(skip_reason(done.stdout))
        if done.returncode != 0:
            raise ScenarioFailed(f"exit {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, ScenarioFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, 0, f"{self.path.name} on {self.target}"


def skip_reason(output):
    for line in output.splitlines():
        if line.startswith("SKIP"):
            return line
    return "skipped"


class ScenarioFile(pytest.File):
    def collect(self):
        for target in TARGETS:
            yield ScenarioItem.from_parent(self, name=target, target=target)


def pytest_collect_file(parent, file_path):
    if file_path.suffix == ".smtp":
        return ScenarioFile.from_parent(parent, path=file_path)
    return None
