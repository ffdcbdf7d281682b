"""smtpdtest leak with valgrind: what it finds, and what it leaves alone."""

import json
import shutil
import subprocess

import pytest

from driver import DRIVER, TOP

CLEAN = "7.9.0p0"
SCENARIO = TOP / "scenarios" / "leak" / "filters.smtp"

pytestmark = pytest.mark.skipif(shutil.which("valgrind") is None,
                                reason="there is no valgrind here")


def leak(*args, target=None, engine="valgrind"):
    done = subprocess.run(
        [DRIVER, "leak", "-q", "--engine", engine, "--json", "-",
         *(["--target", target] if target else []), *map(str, args)], cwd=TOP,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done, json.loads(done.stdout)["rows"] if done.stdout else None


def test_put_back_leak_is_found_where_it_is():
    done, rows = leak("--sessions", 8, SCENARIO,
                      target=f"{CLEAN}+bug=filter-name-leak")
    assert done.returncode == 1, done.stdout + done.stderr
    assert [(r["process"], r["function"], r["what"]) for r in rows] == \
        [("lookup", "lka_filter_begin", "definitely lost")]
    # the name "f" and its NUL, in each of the two clients' sessions
    assert (rows[0]["bytes"], rows[0]["blocks"]) == (4, 2)
    assert "xstrdup (util.c:" in rows[0]["stack"]


def test_clean_daemon_has_no_leak():
    done, rows = leak("--sessions", 8, SCENARIO, target=CLEAN)
    assert (done.returncode, rows) == (0, []), done.stdout + done.stderr


@pytest.fixture(name="filter_path", scope="module")
def filter_fixture(tmp_path_factory):
    path = tmp_path_factory.mktemp("leak") / "leaky"
    subprocess.run(["cc", "-g", "-O1", "-o", path,
                    TOP / "harness" / "tests" / "leaky.c"], check=True)
    return path


@pytest.mark.parametrize("how, want", [
    ("", []),
    ("leak", [("leaky", "remember", "definitely lost", 17, 1)]),
    ("read", [("leaky", "look", "Conditional jump or move depends on "
               "uninitialised value(s)", 0, 0)]),
])
def test_filter(filter_path, how, want):
    done, rows = leak("--sessions", 5, "--drive", f"{filter_path} {how}")
    assert done.returncode == (1 if want else 0), done.stdout + done.stderr
    assert [(r["process"], r["function"], r["what"], r["bytes"], r["blocks"])
            for r in rows] == want


def test_filter_that_is_not_there():
    done, rows = leak("--drive", "/no/such/filter")
    assert (done.returncode, rows) == (2, None)
    assert "/no/such/filter" in done.stderr


def test_scenario_that_falls_short_is_not_measured(tmp_path):
    path = tmp_path / "short.smtp"
    path.write_text('scenario "short"\n'
                    "smtpd d {\n"
                    "    listen on 127.0.0.1 port 25\n"
                    '    action "keep" maildir\n'
                    '    match from any for any action "keep"\n'
                    "}\n"
                    "client c {\n"
                    "    S: 421\n"
                    "}\n")
    done, rows = leak("--sessions", 1, path, target=CLEAN, engine="growth")
    assert (done.returncode, rows) == (1, None)
    assert "short.smtp:8:5" in done.stderr and "falls short" in done.stderr


def test_sanitizer_is_refused():
    done, rows = leak(SCENARIO, target=f"{CLEAN}+asan")
    assert (done.returncode, rows) == (2, None)
    assert "sanitizer" in done.stderr


@pytest.mark.parametrize("args", [
    [], ["a", "b"], ["--sessions", "0", SCENARIO], ["--drive", "f", SCENARIO],
    ["--engine", "none", SCENARIO], ["no/such.smtp"],
])
def test_usage(args):
    done, rows = leak(*args)
    assert (done.returncode, rows) == (2, None), done.stdout
