"""The examples of the manuals and the README are scenarios that run."""

import os
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
DRIVER = os.environ.get("SMTPDTEST", str(TOP / "build" / "smtpdtest"))
TARGETS = os.environ.get("TARGET", "7.9.0p0,distro").split(",")


def literals(path):
    """The literal displays of an mdoc page, as plain text."""
    text = path.read_text()
    found = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.M | re.S)
    return [re.sub(r"\\e", r"\\", block.replace(r"\&", "").replace(r"\(dq", '"'))
            for block in found]


def fences(path):
    return re.findall(r"^```\n(.*?)^```", path.read_text(), re.M | re.S)


def scenarios():
    for path in [TOP / "harness/smtpdtest.5", TOP / "harness/smtpdtest.1"]:
        for n, text in enumerate(literals(path)):
            if text.lstrip().startswith(("scenario", "#")):
                yield pytest.param(text, id=f"{path.name}-{n}")
    for n, text in enumerate(fences(TOP / "README.md")):
        if text.startswith("scenario"):
            yield pytest.param(text, id=f"README-{n}")


def zones():
    for n, text in enumerate(literals(TOP / "harness/smtpdtest.5")):
        if " MX " in text and "scenario" not in text:
            yield pytest.param(text, id=f"zone-{n}")


def run(tmp_path, text, target):
    path = tmp_path / "example.smtp"
    path.write_text(text)
    return subprocess.run(
        [DRIVER, "run", "--target", target, "--results",
         str(tmp_path / "results"), str(path)], cwd=TOP,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("text", scenarios())
def test_example_runs(tmp_path, text, target):
    done = run(tmp_path, text, target)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", zones())
def test_zone_is_understood(tmp_path, text):
    done = run(tmp_path, f'scenario "zone"\ndns d {{\n{text}}}\n'
               "smtpd s {\n    listen on 127.0.0.1 port 25\n"
               '    action "keep" maildir\n'
               '    match from any for any action "keep"\n}\n'
               "client c {\n    <reach point>\n}\n", TARGETS[0])
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_examples():
    assert len(list(scenarios())) >= 2
    assert len(list(zones())) == 1
