"""ci/filters, and how the driver finds the filters it has made ready."""

import os
import shutil
import subprocess

import pytest

from driver import TOP, play

SCENARIO = """
scenario "a filter of the user"
needs filters filter-mine
smtpd d {
    filter "mine" proc-exec "filter-mine"
    listen on 127.0.0.1 port 25 filter "mine"
    action "keep" maildir
    match from any for any action "keep"
}
client c {
    S: 220
    C: EHLO client.example
    S: 550 5.7.1 "5.7.1 mine"
    S: <fin>
}
"""

MINE = """\
#!/bin/sh
while IFS='|' read -r what version time subsystem phase session token rest; do
    case "$what|$version" in
    "config|ready")
        echo "register|filter|smtp-in|ehlo"
        echo "register|ready" ;;
    "filter|"*)
        echo "filter-result|$session|$token|disconnect|550 5.7.1 mine" ;;
    esac
done
"""


def filters(top, *args, path=None):
    env = dict(os.environ)
    if path:
        env["PATH"] = str(path)
    return subprocess.run(["/bin/sh", top / "ci" / "filters", *args], env=env,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)


@pytest.fixture
def alone(tmp_path):
    """A copy of the scripts in a tree with one filter of ours, in sh."""
    shutil.copytree(TOP / "ci", tmp_path / "ci")
    folder = tmp_path / "fixtures" / "filters"
    folder.mkdir(parents=True)
    (folder / "filter-mine.sh").write_text(MINE)
    return tmp_path


@pytest.fixture
def no_apt(tmp_path):
    """A PATH with the usual commands, but apt-get."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("awk", "basename", "cat", "chmod", "cksum", "cp", "dirname",
                 "env", "flock", "gcc", "grep", "find", "head", "mkdir", "mv",
                 "rm", "sed", "sort"):
        (folder / name).symlink_to(shutil.which(name))
    return folder


def test_unknown_name_is_refused(alone):
    done = filters(alone, "filter-nosuch")
    assert done.returncode == 2
    assert "there is no filter 'filter-nosuch'" in done.stderr
    assert "filter-rspamd" in done.stderr and "filter-mine" in done.stderr


def test_without_apt_it_is_said_and_ours_are_made(alone, no_apt):
    done = filters(alone, path=no_apt)
    assert done.returncode == 0, done.stderr
    for name in ("filter-rspamd", "filter-senderscore", "filter-dkimsign"):
        assert f"{name}: CANNOT BE HAD without apt-get" in done.stderr
        assert not (alone / "build" / "filters" / name).exists()
    mine = alone / "build/filters/filter-mine/root/usr/libexec/opensmtpd/filter-mine"
    assert mine.read_text() == MINE and os.access(mine, os.X_OK)
    assert filters(alone, "filter-rspamd", path=no_apt).returncode == 3
    assert filters(alone, "filter-mine", path=no_apt).returncode == 0


def test_ours_are_made_again_when_they_change(alone, no_apt):
    for text in (MINE, MINE + "# changed\n"):
        (alone / "fixtures/filters/filter-mine.sh").write_text(text)
        assert filters(alone, "filter-mine", path=no_apt).returncode == 0
        mine = alone / "build/filters/filter-mine/root/usr/libexec/opensmtpd/filter-mine"
        assert mine.read_text() == text


def test_driver_takes_what_is_made_ready(alone, no_apt, tmp_path, monkeypatch):
    assert filters(alone, "filter-mine", path=no_apt).returncode == 0
    monkeypatch.setenv("SMTPDTEST_FILTERS", str(alone / "build" / "filters"))
    done = play(tmp_path, SCENARIO)
    assert done.code == 0, done.text


def test_driver_takes_the_users_own(tmp_path, monkeypatch):
    mine = tmp_path / "some-filter"
    mine.write_text(MINE)
    mine.chmod(0o755)
    monkeypatch.setenv("FILTER_MINE", str(mine))
    done = play(tmp_path, SCENARIO)
    assert done.code == 0, done.text


def test_without_it_the_scenario_is_skipped_with_the_reason(tmp_path):
    done = play(tmp_path, SCENARIO)
    assert done.code == 77
    assert "needs filter-mine: ci/filters has not got it, and FILTER_MINE " \
        "names none" in done.text


def test_what_is_no_program_is_an_error(tmp_path, monkeypatch):
    for name in ("/nonexistent/filter", "filter-mine", str(tmp_path)):
        monkeypatch.setenv("FILTER_MINE", name)
        done = play(tmp_path, SCENARIO)
        assert done.code == 2
        assert f"FILTER_MINE={name} in the environment" in done.text


def test_slow_is_for_those_who_ask(tmp_path, monkeypatch):
    monkeypatch.delenv("SMTPDTEST_SLOW", raising=False)
    done = play(tmp_path, SCENARIO.replace("filter-mine", "slow", 1))
    assert done.code == 77
    assert "slow: SMTPDTEST_SLOW=1" in done.text
