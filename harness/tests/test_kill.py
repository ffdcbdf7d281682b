"""kill: a daemon that hangs, one that somebody else runs, and git bisect."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from driver import DRIVER, TOP

SCRIPTS = TOP / "kill-scripts"
BUG = "from-socket"
SCRIPT = SCRIPTS / "from-socket.smtp"


def run(*args, **kwargs):
    return subprocess.run([str(a) for a in args], text=True, check=False,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          **kwargs)


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.smtp")),
                         ids=lambda p: p.stem)
def test_each_script_says_what_it_is(script):
    head = script.read_text()
    for word in ("bug", "versions", "mechanism", "strategy", "symptom", "rate"):
        assert re.search(rf"^# {word} +\S", head, re.M), word
    bug = re.search(r"^# bug +(\S+)$", head, re.M).group(1)
    assert (TOP / "fixtures" / "bugs" / f"{bug}.bug").exists()
    assert re.search(r"^# rate +\d+ of \d+\b", head, re.M)


def test_a_daemon_that_hangs_has_not_survived():
    script = SCRIPTS / "cve-2013-2125.smtp"
    done = run(DRIVER, "kill", "-n", 1, "--target",
               "7.9.0p0+bug=cve-2013-2125-blocking", script, cwd=TOP)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "hang: other waits for 250" in done.stdout


@pytest.mark.parametrize("target, script, said", [
    ("6.8.0p2", SCRIPTS / "cve-2013-2125.smtp", "needs tls"),
    (None, "wont-start.smtp", "the daemon did not start"),
])
def test_what_cannot_be_tested_is_125(tmp_path, target, script, said):
    """git bisect would take anything else for a verdict."""
    (tmp_path / "wont-start.smtp").write_text(
        'scenario "x"\nsmtpd d {\n    no smtpd.conf\n}\nclient c {\n'
        '    S: 220\n}\n')
    done = run(DRIVER, "kill", "-n", 1, "--target", target or "7.9.0p0",
               tmp_path / script, cwd=TOP)
    assert done.returncode == 125, done.stdout + done.stderr
    assert said in done.stderr


# --- somebody else's daemon -----------------------------------------------------

def against(tmp_path, target, *args):
    """kill --connect, beside a daemon that was started by hand."""
    conf = tmp_path / "smtpd.conf"
    text = SCRIPT.read_text()
    conf.write_text(re.search(r"^smtpd d {\n(.*?)^}", text,
                              re.M | re.S).group(1))
    return run(DRIVER, "shell", "--target", target, "--log", tmp_path / "log",
               "--bind", TOP, conf, "--",
               pathlib.Path("/mnt") / pathlib.Path(DRIVER).relative_to(TOP),
               "kill", "--connect", "127.0.0.1:25", *args,
               "/mnt/kill-scripts/from-socket.smtp")


def test_a_running_daemon_is_seen_to_die(tmp_path):
    done = against(tmp_path, f"7.9.0p0+bug={BUG}", "-n", 5)
    assert done.returncode == 1, done.stdout + done.stderr
    # it is not started again for the other four
    assert "died in 1 of 1 runs" in done.stdout
    assert re.search(r": connection refused, process \d+ gone$", done.stdout,
                     re.M)


def test_a_running_daemon_is_seen_to_survive(tmp_path):
    done = against(tmp_path, "7.9.0p0", "-n", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on 127.0.0.1:25: died in 0 of 2 runs" in done.stdout


# --- git bisect ------------------------------------------------------------------

def git(tree, *args):
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null",
               GIT_CONFIG_NOSYSTEM="1")
    for who in ("AUTHOR", "COMMITTER"):
        env[f"GIT_{who}_NAME"] = "nobody"
        env[f"GIT_{who}_EMAIL"] = "nobody@example.org"
    done = run("git", *args, cwd=tree, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def append(path, text):
    path.write_text(path.read_text(encoding="latin-1") + text,
                    encoding="latin-1")


def history(tree):
    """Six commits on a release's source: the third does not build, the fifth
    is the culprit."""
    def commit(text):
        git(tree, "add", "-A")
        git(tree, "commit", "-q", "-m", text)
        return git(tree, "rev-parse", "HEAD").strip()

    tarball = TOP / "build" / "dl" / "opensmtpd_7.9.0p0.orig.tar.gz"
    rules = tree / "usr.sbin" / "smtpd" / "ruleset.c"
    tree.mkdir()
    run("tar", "-C", tree, "--strip-components=1", "-xzf", tarball)
    git(tree, "init", "-q", "-b", "main")
    first = commit("release")
    append(tree / "README.md", "\nmore\n")
    commit("tell more")
    append(rules, "\n/* a comment */\n")
    commit("comment")
    append(rules, "\n#error half done\n")
    commit("begin")
    git(tree, "revert", "--no-edit", "HEAD")
    done = run(TOP / "ci" / "put-back", BUG, tree, "7.9.0p0")
    assert done.returncode == 0, done.stderr
    culprit = commit("simplify matching")
    append(rules, "\n/* another comment */\n")
    commit("comment again")
    return first, culprit


# Instead of minutes of building: a tree is one of the targets that are there.
LOOKS = """#!/bin/sh
f=${1#src:}/usr.sbin/smtpd/ruleset.c
grep -q '#error' "$f" && { echo "ci/target: half done" >&2; exit 2; }
case $(sed -n '/from_socket/,/}/p' "$f" | grep -c else) in
0)	exec %s 7.9.0p0+bug=from-socket ;;
*)	exec %s 7.9.0p0 ;;
esac
"""


def bisect(first, tree):
    git(tree, "bisect", "start", "HEAD", first)
    return git(tree, "bisect", "run", str(pathlib.Path(DRIVER).resolve()),
               "kill", "-n", "2", "--target", "src:.", str(SCRIPT))


def judge(out, culprit):
    assert re.search(rf"^{culprit} is the first bad commit", out, re.M), out
    assert "half done" in out, "the commit that does not build was not met"


def test_git_bisect_finds_the_culprit(tmp_path, monkeypatch):
    """What 0, 1 and 125 do to it; that trees are built is for the next."""
    looks = tmp_path / "target"
    looks.write_text(LOOKS % ((TOP / "ci" / "target",) * 2))
    looks.chmod(0o755)
    monkeypatch.setenv("SMTPDTEST_CI_TARGET", str(looks))
    tree = tmp_path / "tree"
    first, culprit = history(tree)
    judge(bisect(first, tree), culprit)


@pytest.mark.skipif("SMTPDTEST_SLOW" not in os.environ,
                    reason="builds the daemon: SLOW=1 does it")
def test_git_bisect_builds_what_it_tests(tmp_path):
    tree = tmp_path / "tree"
    first, culprit = history(tree)
    try:
        judge(bisect(first, tree), culprit)
    finally:
        number = subprocess.run(["cksum"], input=str(tree), text=True,
                                capture_output=True, check=True).stdout.split()[0]
        shutil.rmtree(TOP / "build" / "targets" / f"src-tree-{number}")
