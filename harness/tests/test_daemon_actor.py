"""The daemon actor: what it says arrives, and what is wrong is told."""

import pytest

from driver import play

FILTER = """
file /tmp/filter mode=755 {{
    #!/bin/sh
    while read -r line; do
        case $line in
        "config|ready")
            echo "register|filter|smtp-in|connect"
            echo "register|ready" ;;
        "filter|"*) {answer} ;;
        esac
    done
}}

daemon d exec="/tmp/filter" {opts} {{
    D: filter|$stamp|smtp-in|connect|$sid|$token|a.example|192.0.2.1
    {expect}
}}
"""
IDS = 'echo "$line" | cut -d"|" -f6,7'
PROCEED = f'echo "filter-result|$({IDS})|proceed"'


def run(tmp_path, answer=PROCEED, expect="F: filter-result|$sid|$token|proceed",
        opts=""):
    return play(tmp_path, FILTER.format(answer=answer, expect=expect,
                                        opts=opts))


def test_passes(tmp_path):
    assert run(tmp_path).code == 0
    assert run(tmp_path, opts="protocol=0.6").code == 0


@pytest.mark.parametrize("answer, got", [
    (PROCEED.replace("proceed", "junk"), "|junk"),
    ("exit 3", "<fin>"),
])
def test_another_answer(tmp_path, answer, got):
    done = run(tmp_path, answer)
    assert done.code == 1 and got in done.failures()


def test_silence(tmp_path):
    done = run(tmp_path, ":", "F: <silence 50ms>")
    assert done.code == 0, done.text


def test_the_oracle_watches(tmp_path):
    done = run(tmp_path, PROCEED.replace("proceed", "proceed|now"),
               "F: filter-result|*")
    assert done.code == 1 and "F15" in done.failures("filter"), done.text


def test_crash(tmp_path):
    done = run(tmp_path, "kill -SEGV $$", "F: <fin>")
    assert done.code == 1 and "SIGSEGV" in done.failures("crash"), done.text


def test_stays(tmp_path):
    done = run(tmp_path, PROCEED + "; sleep 20")
    assert done.code == 1 and "(F29)" in done.text


@pytest.mark.parametrize("text, says", [
    ("daemon d {\n}\n", ':2:8: expected exec="COMMAND"'),
    ('daemon d exec="x" protocol=0.9 {\n}\n', ":2:19: protocol 0.9"),
    ('daemon d exec="x" {\n    C: EHLO a\n}\n', 'expected "D:"'),
])
def test_mistakes(tmp_path, text, says):
    done = play(tmp_path, 'scenario "x"\n' + text)
    assert done.code == 2 and says in done.text
