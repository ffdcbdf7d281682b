"""The packaged filters and ours under drive, with what they break pinned.

What is pinned is a finding: it is what the filter of that version does, not what
is right.  A rule that is broken no more is one too.
"""

import json
import os
import subprocess

import pytest

from driver import DRIVER, TOP

FILTERS = TOP / "build" / "filters"
KEY = TOP / "scenarios" / "filters" / "dkimsign.smtp"

# filter, arguments, kinds of input: the rules it breaks
CASES = [
    # not 500 sessions at once, for each line of which it starts processes
    ("filter-tag", [], "plain,unknown-config,version-0.8,version-0.10,"
     "extra-fields,late-events,no-tx-begin,no-link-connect,huge-lines,eight-bit,"
     "bars,local-clients,gone-clients,pieces,no-reading,eof,early-eof", set()),
    ("filter-quota", ["100"], "all", set()),
    ("filter-threads", [], "all", set()),
    ("filter-dkimsign", ["-d", "example.net", "-s", "sel", "-k", "KEY"],
     "plain,unknown-config,version-0.8,version-0.10,huge-lines,eight-bit,bars,"
     "gone-clients,many-sessions,pieces,no-reading,eof,early-eof", set()),
    # libopensmtpd ends at a field that it does not know
    ("filter-dkimsign", ["-d", "example.net", "-s", "sel", "-k", "KEY"],
     "extra-fields", {"F30"}),
    ("filter-senderscore", [], "unknown-config,version-0.8,late-events,"
     "no-tx-begin,huge-lines,eight-bit,bars,gone-clients,pieces,eof", set()),
    # it compares versions as texts, and 0.10 comes before 0.5
    ("filter-senderscore", [], "version-0.10", {"F9", "F27"}),
]


def program(name):
    path = FILTERS / name / "root/usr/libexec/opensmtpd" / name
    if not path.exists():
        pytest.skip(f"{name}: ci/filters has not got it")
    return path


def key(tmp_path):
    """The key of the scenario."""
    lines = KEY.read_text().splitlines()
    begin = next(i for i, l in enumerate(lines) if "BEGIN RSA" in l)
    end = next(i for i, l in enumerate(lines) if "END RSA" in l)
    path = tmp_path / "key"
    path.write_text("".join(l.strip() + "\n" for l in lines[begin:end + 1]))
    return str(path)


@pytest.mark.parametrize("name,args,kinds,broken", CASES,
                         ids=[f"{c[0]}-{c[2].split(',')[0]}" for c in CASES])
def test_drive(tmp_path, name, args, kinds, broken):
    path = program(name)
    args = [key(tmp_path) if a == "KEY" else a for a in args]
    libs = ":".join(str(p) for p in (FILTERS / name / "root/usr/lib").glob("*")
                    if p.is_dir())
    log = tmp_path / "drive.json"
    # only where an answer is not going to come is it not waited for
    timeout = "2" if "F27" in broken else "60"
    done = subprocess.run(
        [DRIVER, "drive", "-q", "--seed", "1", "--sessions", "60",
         "--timeout", timeout, "--hostile", kinds,
         "--json", log, "--", path, *args],
        env=dict(os.environ, LD_LIBRARY_PATH=libs), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors="replace", check=False)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    got = {f["oracle"] for e in events if e["event"] == "end"
           for f in e["failures"]}
    assert got == broken, done.stdout + done.stderr
    assert done.returncode == (1 if broken else 0)
