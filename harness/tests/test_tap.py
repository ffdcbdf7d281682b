"""tap stands between drive and a filter: nothing changes but what is asked."""

import json
import subprocess

import pytest

from driver import DRIVER, HELLO, QUIT, TRANSACTION, client, play

# Lets everything pass, or does what is asked of it wrongly.
FILTER = """\
#!/usr/bin/python3
import sys
wrong = sys.argv[1] if len(sys.argv) > 1 else ""
for line in sys.stdin:
    f = line.rstrip("\\n").split("|", 7)
    if line == "config|ready\\n":
        print("register|report|smtp-in|*\\nregister|filter|smtp-in|ehlo\\n"
              "register|filter|smtp-in|data-line")
        if wrong == "twice":
            print("register|filter|smtp-in|ehlo")
        print("register|ready", flush=True)
    elif f[0] == "filter" and f[4] == "data-line":
        print(f"filter-dataline|{f[5]}|{f[6]}|{f[7]}", flush=True)
    elif f[0] == "filter":
        print(f"filter-result|{f[5]}|{f[6]}|proceed", flush=True)
"""
DRIVE = ["drive", "--hostile", "none", "--sessions", "6", "--parallel", "3",
         "--timeout", "30", "--seed", "1"]


@pytest.fixture
def filter_(tmp_path):
    path = tmp_path / "filter-same"
    path.write_text(FILTER)
    path.chmod(0o755)
    return str(path)


def run(*args):
    return subprocess.run([DRIVER, *args], capture_output=True, text=True,
                          timeout=120)


def entries(log):
    """(direction, line) of each."""
    lines = log.read_text().splitlines()
    assert lines[0] == "# smtpdtest-tap 1"
    return [tuple(line.split(" ", 2)[1:]) for line in lines[1:]]


def test_nothing_changes(filter_, tmp_path):
    log = tmp_path / "log"
    done = run(*DRIVE, "--", DRIVER, "tap", "--log", str(log), "--", filter_)
    assert done.returncode == 0, done.stdout + done.stderr
    said = entries(log)
    assert ("F", "register|ready") in said and ("-", "eof D") in said
    assert ("-", "exit 0") in said
    assert sum(d == "F" and "filter-dataline" in s for d, s in said) > 10
    again = run("drive", "--script", str(log), "--", filter_)
    assert again.returncode == 0, again.stdout + again.stderr


@pytest.mark.parametrize("fault, wanted", [
    ("drop,from=filter,nth=1,match=filter-result", "F27"),
    ("duplicate,from=filter,nth=1,match=filter-result", "F11"),
    ("truncate,from=filter,bytes=20,nth=1,match=filter-result", "F10"),
    ("kill,from=filter,nth=1,match=filter-result", "F29"),
    ("delay,from=filter,delay=200ms,nth=2,match=filter-result", None),
    ("reorder,from=filter,nth=1,match=filter-result", None),
])
def test_a_fault_is_seen(filter_, tmp_path, fault, wanted):
    log = tmp_path / "log"
    # only where an answer is not going to come is it not waited for
    owed = "4" if "drop" in fault or "truncate" in fault else "30"
    done = run(*DRIVE, "--timeout", owed, "--", DRIVER, "tap", "--log",
               str(log), "--fault", fault, "--", filter_)
    notes = [s for d, s in entries(log) if d == "-"]
    assert sum(s.startswith("fault " + fault.split(",")[0])
               for s in notes) == 1, notes
    if wanted is None:
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        assert done.returncode == 1 and wanted in done.stdout, done.stdout
    # what was done on purpose is nobody's fault
    assert not any(s[0] in "SF" and s[1].isdigit() for s in notes), notes


def test_objections(filter_, tmp_path):
    out = tmp_path / "json"
    done = run("drive", "--hostile", "none", "--sessions", "2", "--", DRIVER,
               "tap", "--json", str(out), "--", filter_, "twice")
    assert done.returncode == 1
    said = [json.loads(line) for line in out.read_text().splitlines()]
    assert [o["id"] for o in said] == ["F3"]
    assert said[0]["got"] == "registered twice: register|filter|smtp-in|ehlo"


def test_the_daemon_is_judged_too(filter_, tmp_path):
    out = tmp_path / "json"
    done = subprocess.run(
        [DRIVER, "tap", "--json", str(out), "--", filter_], text=True,
        input="config|protocol|0.7\nconfig|smtpd-version|7.9.0\n"
        "config|subsystem|smtp-in\nconfig|ready\n",
        capture_output=True, timeout=120)
    ids = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    assert "S1" in ids and "tap: S1 (" in done.stderr
    assert not any(i.startswith("F") for i in ids), done.stderr


@pytest.mark.parametrize("args, text", [
    (["--fault", "explode", "true"], "unknown fault \"explode\""),
    (["--fault", "drop,when=now", "true"], "unknown \"when\""),
    (["--fault", "drop,nth=x", "true"], "nth=x: expected a number"),
    (["--fault", "delay,delay=5", "true"], "expected a time"),
    (["--fault", "drop,match=(", "true"], "match=("),
    (["--log", "/nowhere/log", "true"], "/nowhere/log"),
    ([], "usage:"),
])
def test_bad_usage(args, text):
    done = run("tap", *args)
    assert done.returncode == 2 and text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_such_filter():
    done = subprocess.run([DRIVER, "tap", "/no/such/filter"],
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 127
    assert "/no/such/filter: No such file" in done.stderr


SCENARIO = """
smtpd d %s {
    filter "f" proc-exec "/etc/smtpd/filter-same twice"
    listen on 127.0.0.5 port 25 filter "f"
    action "keep" maildir
    match from any for local action "keep"
}
file /etc/smtpd/filter-same mode=0755 {
%s}
""" + client(*HELLO, *TRANSACTION, "message size=1K", "S: 250", *QUIT,
             opts="to=127.0.0.5:25") + """
expect delivered 1
known oracle filter * "/^S39: /" "not what this is about"
"""


@pytest.mark.parametrize("option, code", [("", 1), ("untapped", 1)])
def test_a_run_taps_its_filters(tmp_path, option, code):
    result = play(tmp_path, SCENARIO % (option, FILTER))
    assert result.code == code, result.text
    said = result.failures("filter")
    if option:
        # nobody was there to see it, nor what is pinned
        assert said == "" and "unexpected pass" in result.text
    else:
        assert said == "F3: registered twice: register|filter|smtp-in|ehlo"


def test_a_macro_may_name_the_command(tmp_path):
    named = (SCENARIO % ("", FILTER)).replace(
        'filter "f" proc-exec "/etc/smtpd/filter-same twice"',
        'run = "\\"/etc/smtpd/filter-same twice\\""\n'
        '    filter "f" proc-exec $run')
    result = play(tmp_path, named)
    assert "F3: " in result.failures("filter"), result.text


SHELL_FILTER = """\
#!/bin/sh
while IFS= read -r line; do
    case $line in
    "config|ready")
        echo "register|filter|smtp-in|ehlo"
        echo "register|filter|smtp-in|ehlo"
        echo "register|ready" ;;
    filter*)
        IFS="|"; set -- $line; echo "filter-result|$6|$7|proceed" ;;
    esac
done
"""


# below /usr there is all that a shell needs, by the names of a root
@pytest.mark.parametrize("where, path", [("/", "/etc/smtpd/f"),
                                         ("/usr", "/etc/f")])
def test_a_chroot_is_no_obstacle(tmp_path, where, path):
    text = (SCENARIO % ("", SHELL_FILTER)).replace(
        '"/etc/smtpd/filter-same twice"', f'"{path}" chroot "{where}"')
    result = play(tmp_path, text.replace("file /etc/smtpd/filter-same",
                                         f"file {where.rstrip('/')}{path}"))
    assert "F3: registered twice" in result.failures("filter"), result.text
    assert "not watched" not in result.text


def test_what_is_not_tapped_is_said(tmp_path):
    plain = (SCENARIO % ("", FILTER)).split("expect")[0]
    result = play(tmp_path, plain.replace(
        '    filter "f" proc-exec "/etc/smtpd/filter-same twice"',
        '    include "/etc/smtpd/more"').replace(
        "file /etc", "file /etc/smtpd/more mode=0644 {\n    filter \"f\" "
        'proc-exec "/etc/smtpd/filter-same"\n}\nfile /etc'))
    assert result.code == 0, result.text
    assert "a filter in an included file is not watched: " in result.end["reason"]


S39 = SCENARIO.splitlines()[-1] + "\n"
PLAIN = SCENARIO.split("expect")[0].replace(" twice", "") % ("", FILTER)


def test_a_scenario_may_do_harm(tmp_path):
    result = play(tmp_path, PLAIN + "fault f delay,from=filter,delay=300ms,"
                  "nth=1,match=filter-result\n" + S39, "--keep")
    assert result.code == 0, result.text
    said = result.said("f")
    assert sum("fault delay" in line for line in said) == 1, said
    result = play(tmp_path, PLAIN.split("    C: MAIL")[0].replace(
        "S: 250", "S: <close>") + "}\nexpect exit\n"
        'expect log has "lost processor: f exited abnormally"\n'
        "fault f kill,from=daemon,match=ehlo\n")
    assert result.code == 0, result.text


@pytest.mark.parametrize("fault, text", [
    ("fault f explode", ':2:9: unknown fault "explode"'),
    ("fault g drop", "smtpd.conf runs no command as filter g"),
])
def test_faults_that_are_none(tmp_path, fault, text):
    result = play(tmp_path, f'scenario "x"\n{fault}\n{PLAIN}')
    assert result.code == 2 and text in result.text
