"""ci/put-back, ci/bugs and the variants of ci/target, from outside."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from driver import TOP

VERSION = "7.9.0p0"

SOURCE = """\
#include <stdio.h>

/* other(1) is called {here */
static int
other(int a)
{
	if (a == 1)
		puts("a {");
	else if (a == 2) {
		puts("b");
		return (1);
	} else
		puts("c");
	for (;;)
		if (a++ > 3)
			break;
	return (0);
}

int	other_too(int);

int
other_too(int a)
{
	switch (a) {
	case 1:
		a = other(a);
		break;
	case 2:
		a = other(a);
		break;
	}
	return (a);
}
"""

HEAD = """\
id        x
what      A bug.
kind      unit
versions  7.9.0p0
later     never
"""


def run(*args, **kwargs):
    return subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, **kwargs)


def put_back(tmp_path, edits, head=HEAD, version=VERSION):
    tree = tmp_path / "usr.sbin" / "smtpd"
    tree.mkdir(parents=True, exist_ok=True)
    (tree / "x.c").write_text(SOURCE)
    bug = tmp_path / "x.bug"
    bug.write_text(head + edits)
    done = run(TOP / "ci" / "put-back", bug, tmp_path, version)
    return done, (tree / "x.c").read_text()


# what it is: (edit, text that is gone, text that is there instead)
EDITS = {
    "replace": ("edit x.c other\nreplace puts(\"b\");\nwith puts(\"B\");",
                'puts("b");', 'puts("B");'),
    "delete": ("edit x.c other\ndelete puts(\"b\");", '\tputs("b");', "\t\t\n"),
    "blanks": ("edit x.c other\ndelete puts(\"b\"); return (1);",
               'puts("b")', "== 2) {\n\t\t\n\t} else"),
    "through": ("edit x.c other\nreplace if (a == 1)\nthrough return (1);\n"
                "with if (1) {", 'puts("b");', "\tif (1) {\n\t} else"),
    "statement-if": ("edit x.c other\ndelete-statement if (a == 1)",
                     'puts("c")', "{\n\t;\n\tfor (;;)"),
    "statement-for": ("edit x.c other\ndelete-statement for (;;)",
                      "break;\n\treturn", "\t;\n\treturn (0);"),
    "statement-call": ("edit x.c other\ndelete-statement puts(\"a",
                       'puts("a {")', "(a == 1)\n\t\t;\n"),
    "past": ("edit x.c other_too\npast case 2:\nreplace other(a)\nwith 7",
             "case 2:\n\t\ta = other(a);", "case 2:\n\t\ta = 7;"),
    "before": ("edit x.c other\ninsert-before return (0);\ntext a = 5;", None,
               "\ta = 5;\nreturn (0);"),
    "after": ("edit x.c other\ninsert-after return (0);\ntext a = 5;", None,
              "return (0);\na = 5;\n"),
    "first": ("edit x.c other_too\ninsert-first\ntext a = 5;\ntext a = 6;",
              None, "{\na = 5;\na = 6;\n"),
    "file": ("edit x.c *\nreplace int other_too(int);\nwith extern int n;",
             "other_too(int);", "extern int n;"),
    "twice": ("edit x.c other\nreplace puts(\"b\")\nwith n\n"
              "edit usr.sbin/smtpd/x.c other\nreplace n;\nwith m;",
              'puts("b")', "\t\tm;"),
    "other-version": ("edit@6.8.0p2 x.c other\nreplace puts(\"b\")\nwith n\n"
                      "edit x.c other\nreplace puts(\"c\")\nwith n",
                      'puts("c")', 'puts("b")'),
}


@pytest.mark.parametrize("name", EDITS)
def test_edit(tmp_path, name):
    edit, gone, there = EDITS[name]
    done, text = put_back(tmp_path, edit)
    assert done.returncode == 0, done.stderr
    assert gone is None or gone not in text
    assert there in text


# what is wrong: (edit, words of the complaint)
WRONG = {
    "gone": ("edit x.c other\ndelete puts(\"d\");",
             ["usr.sbin/smtpd/x.c", "function other", "gone", 'puts("d");']),
    "in another function": ("edit x.c other\ndelete switch", ["gone"]),
    "part of a name": ("edit x.c other\ndelete put", ["gone"]),
    "not unique": ("edit x.c other_too\ndelete a = other(a);",
                   ["function other_too", "2 times"]),
    "no function": ("edit x.c third\ndelete a", ["third", "no such function"]),
    "no file": ("edit y.c other\ndelete a", ["y.c", "no such file"]),
    "past gone": ("edit x.c other\npast nowhere\ndelete a", ["gone: nowhere"]),
    "no statement": ("edit x.c other\ndelete-statement == 1",
                     ["no statement begins"]),
    "no operation": ("edit x.c other\n", ["no operation"]),
    "two operations": ("edit x.c other\ndelete a\ndelete b", ["second"]),
    "no text": ("edit x.c other\nreplace a", ["without 'with'"]),
    "unknown word": ("edit x.c other\nremove a", ["x.bug:7", "'remove'"]),
    "unknown version": ("edit@1.0 x.c other\ndelete a", ["'1.0'"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_edit_is_refused(tmp_path, name):
    edit, words = WRONG[name]
    done, text = put_back(tmp_path, edit)
    assert done.returncode == 1, done.stderr
    assert text == SOURCE
    for word in words:
        assert word in done.stderr


def test_wrong_fields_are_refused(tmp_path):
    edit = "edit x.c other\ndelete puts(\"b\");"
    for old, new, word in (("id        x", "id y", "id has to be x"),
                           ("kind      unit", "kind odd", "kind: one of"),
                           ("7.9.0p0", "7.9.1", "'7.9.1'"),
                           ("later     never\n", "", "no detect")):
        done, _ = put_back(tmp_path, edit, head=HEAD.replace(old, new))
        assert done.returncode == 1
        assert word in done.stderr


def test_nearest_version(tmp_path):
    """A tree newer than all releases is edited like the last one."""
    edit = "edit x.c other\ndelete puts(\"b\");"
    done, text = put_back(tmp_path, edit, version="8.0.0p0")
    assert done.returncode == 0 and 'puts("b")' not in text
    done, text = put_back(tmp_path, edit, version="6.6.0")
    assert done.returncode == 1 and "no edit for 6.6.0" in done.stderr


def test_all_files_are_in_order():
    done = run(TOP / "ci" / "put-back", "--check")
    assert done.returncode == 0, done.stderr


# --- ci/bugs --------------------------------------------------------------------

def bug_file(tmp_path, name, command, rest=""):
    """A bug that needs no build: both targets are the clean one."""
    path = tmp_path / f"{name}.bug"
    path.write_text(f"id {name}\nwhat A bug.\nkind unit\nnative {VERSION}\n"
                    f"good {VERSION}\ndetect sh {command}\noracle any\n"
                    f"symptom /bad/\n{rest}")
    return path


def bugs(tmp_path, *files, seeds=1):
    return [TOP / "ci" / "bugs", "--json", tmp_path / "bugs.json",
            "--seeds", str(seeds), "--only", ",".join(map(str, files))]


def rows(tmp_path):
    data = json.loads((tmp_path / "bugs.json").read_text())
    return data["complete"], {r["bug"]: r for r in data["rows"]}


@pytest.mark.parametrize("name,command,status,code", [
    ("a", "exit 0", "missed", 1),
    ("b", "echo fine; exit 1", "noisy", 1),
    ("c", "exit 77", "missed", 1),
    ("d", "[ -e $MARK ] || { >$MARK; echo bad; exit 1; }", "caught", 0),
    ("e", "[ -e $MARK ] || { >$MARK; echo red; exit 1; }", "missed", 1),
])
def test_verdicts(tmp_path, name, command, status, code):
    # the first run is that of the build with the bug
    done = run(*bugs(tmp_path, bug_file(tmp_path, name, command)),
               env=dict(os.environ, MARK=str(tmp_path / "mark")))
    assert rows(tmp_path)[1][name]["status"] == status, done.stdout + done.stderr
    assert done.returncode == code
    assert f"1 {status}" in done.stdout


def test_later_is_listed_and_no_failure(tmp_path):
    path = bug_file(tmp_path, "l", "exit 0", "later issue 4\n")
    done = run(*bugs(tmp_path, path))
    assert done.returncode == 0
    assert "not yet" in done.stdout and "issue 4" in done.stdout


def test_no_bug_is_an_error(tmp_path):
    done = run(*bugs(tmp_path, "no-such-bug"))
    assert done.returncode == 2 and "no-such-bug" in done.stderr
    done = run(*bugs(tmp_path, bug_file(tmp_path, "a", "exit 0")),
               "--target", "6.8.0p2")
    assert done.returncode == 2 and "no bug applies" in done.stderr


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM,
                                   signal.SIGKILL])
def test_interruption(tmp_path, signo):
    """The file stays whole, and the same command goes on from there."""
    mark = tmp_path / "mark"
    first = bug_file(tmp_path, "first", f"echo x >>{tmp_path}/runs")
    second = bug_file(tmp_path, "second",
                      f"[ -e {mark} ] || {{ >{mark}; exec sleep 300; }}")
    command = bugs(tmp_path, first, second)
    proc = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    while not mark.exists():
        assert proc.poll() is None
        time.sleep(0.05)
    proc.send_signal(signo)
    code = proc.wait(timeout=60)
    assert code == (-signo if signo == signal.SIGKILL else 128 + signo)
    complete, found = rows(tmp_path)
    assert not complete and set(found) == {"first"}
    done = run(*command)
    complete, found = rows(tmp_path)
    assert complete and set(found) == {"first", "second"}, done.stderr
    assert found["first"].get("kept")
    # once on either target, in the first command
    assert (tmp_path / "runs").read_text() == "x\n" * 2


# --- ci/target ------------------------------------------------------------------

def target(spec):
    return run(TOP / "ci" / "target", spec)


@pytest.mark.parametrize("spec,word", [
    ("distro+asan", "a binary"),
    ("distro+bug=size-limit", "a binary"),
    (f"{VERSION}+odd", "unknown target"),
    (f"{VERSION}+bug=no-such-bug", "no bug 'no-such-bug'"),
    (f"{VERSION}+bug=../size-limit", "no bug"),
])
def test_target_refuses(spec, word):
    done = target(spec)
    assert done.returncode == 2
    assert word in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_target_is_cached():
    """Named in another order it is the same, and is not built again."""
    done = target(f"{VERSION}+asan+bug=asan-queue")
    assert done.returncode == 0, done.stderr
    folder = pathlib.Path(done.stdout.strip())
    before = (folder / "target").stat().st_mtime_ns
    again = target(f"{VERSION}+bug=asan-queue+asan+asan")
    assert again.stdout == done.stdout and not again.stderr
    assert (folder / "target").stat().st_mtime_ns == before
    words = (folder / "target").read_text().splitlines()
    assert "variant=asan bug=asan-queue" in words
    assert f"version={VERSION}" in words


# --- bugs of filters ------------------------------------------------------------

FILTER_BUG = """\
id        {id}
what      A filter's bug.
kind      filter
filter    {filter}
versions  7.9.0p0
later     never

edit      {file} answer
delete    pthread_mutex_lock(&output);
"""


@pytest.mark.parametrize("filter_name,file,word", [
    ("filter-threads", "fixtures/filters/filter-threads.c", None),
    ("filter-nosuch", "fixtures/filters/filter-nosuch.c", "there is no"),
    ("filter-threads", "smtp_session.c", "an edit of a filter"),
])
def test_filter_bug_is_checked(tmp_path, filter_name, file, word):
    bug = tmp_path / "f.bug"
    bug.write_text(FILTER_BUG.format(id="f", filter=filter_name, file=file))
    done = run(TOP / "ci" / "put-back", "--check", bug)
    assert (done.returncode == 0) == (word is None), done.stderr
    assert word is None or word in done.stderr


def test_filter_with_a_bug_is_built_and_differs():
    done = run(TOP / "ci" / "filters", "--bug", "rspamd-concurrency")
    if done.returncode == 3:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    program = pathlib.Path(done.stdout.strip())
    clean = TOP / "build/filters/filter-threads/root/usr/libexec/opensmtpd/filter-threads"
    assert os.access(program, os.X_OK)
    assert program.read_bytes() != clean.read_bytes()
    for name, word in (("nosuch", "no bug 'nosuch'"),
                       ("size-limit", "no bug 'size-limit' of a filter")):
        done = run(TOP / "ci" / "filters", "--bug", name)
        assert done.returncode == 2 and word in done.stderr
