"""The fuzz targets: corpora replayed, engines started, builds as OSS-Fuzz wants
them, and what "make fuzz" and "make coverage" do about what they find.
"""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "ci"))
sys.dont_write_bytecode = True
import fuzzlib                                              # noqa: E402

VERSIONS = ("7.9.0p0", "7.6.0p1", "6.8.0p2")
TARGETS = fuzzlib.load_build().all_targets()
NUMBER = fuzzlib.load_build().version_number
# By nature too small for the checks below, and never published.
REAL = [n for n in TARGETS if n != "empty"]
SLOW = "SMTPDTEST_SLOW" in os.environ
# Sockets, and what the daemon keeps for good, are what makes a target unstable.
KEEPS = REAL if SLOW else ["filter", "mtareply", "proxyv2", "reports", "smtpin"]
# Disassembling takes as long as building: one of the daemon's, one of ours.
TYPICAL = REAL if SLOW else ["filter", "scenario"]


def build(engine, name, spec="7.9.0p0"):
    return fuzzlib.build(engine, spec, [name])[name]


def run(command, timeout=300, **kwargs):
    p = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=timeout, text=True, errors="replace", **kwargs)
    return p.returncode, p.stdout


def replays():
    for version in VERSIONS:
        for name, target in TARGETS.items():
            if target.fits(NUMBER(version)) and \
                    (version == VERSIONS[0] or not target.harness):
                yield pytest.param(version, name, id=f"{version}-{name}")


def test_no_seed_was_left_by_an_engine():
    """Seeds are made by us and named by what they show."""
    assert not [p for p in (fuzzlib.FUZZ / "corpora").rglob("*")
                if re.fullmatch(r"[0-9a-f]{40}|id[:_].*", p.name)]


# Each twice: what the first run leaves behind must not disturb the second.
@pytest.mark.parametrize("version,name", replays())
def test_corpus_is_replayed_without_a_crash_or_a_leak(version, name):
    corpus = fuzzlib.seeds(name)
    files = [p for p in corpus.rglob("*") if p.is_file()]
    assert files, f"{corpus} is empty"
    status, out = run([build("standalone", name, version), "-n", 2, corpus])
    assert status == 0, out[-4000:]
    assert f"{len(files)} file" in out


@pytest.mark.parametrize("name", REAL)
def test_dictionary_and_options_are_beside_it(name):
    assert (fuzzlib.FUZZ / f"{name}.dict").exists()
    assert {"max_len", "timeout"} <= set(fuzzlib.options(name))


@pytest.mark.parametrize("name", REAL)
def test_libfuzzer_runs_for_some_seconds(name, tmp_path):
    grown = tmp_path / "grown"
    grown.mkdir()
    job = fuzzlib.libfuzzer(build("libfuzzer", name), name, tmp_path, 2,
                            [grown, fuzzlib.seeds(name)],
                            ["-runs=20000", "-seed=1"])
    try:
        job.proc.wait(timeout=240)
    finally:
        job.end()
    assert job.proc.returncode == 0, job.log.read_text(errors="replace")[-4000:]
    assert not fuzzlib.libfuzzer_crashes(tmp_path)
    assert fuzzlib.libfuzzer_status(job.log)["execs"] > 10


@pytest.mark.parametrize("name", REAL)
def test_build_is_not_what_oss_fuzz_calls_bad(name, tmp_path):
    binary = build("libfuzzer", name)
    status, out = run([binary, "-runs=4", "-seed=1337"], cwd=tmp_path)
    assert status == 0, out[-4000:]
    edges = re.search(r"\((\d+) inline 8-bit counters\)", out)
    assert edges and int(edges[1]) >= 100, out[:2000]


@pytest.mark.parametrize("name", TYPICAL)
def test_build_has_the_sanitizers_that_oss_fuzz_looks_for(name):
    status, code = run(["objdump", "-d", "--no-show-raw-insn",
                        build("libfuzzer", name)])
    assert status == 0
    assert len(re.findall(r"call.*<__asan_", code)) >= 1000
    assert "<__ubsan_" in code


@pytest.mark.parametrize("name", KEEPS)
def test_afl_starts_and_is_stable(name, tmp_path):
    # A second for each seed at most, and at least one more to mutate.
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for path in sorted(fuzzlib.seeds(name).iterdir())[:8]:
        (seeds / path.name).write_bytes(path.read_bytes())
    env = {**os.environ, **fuzzlib.AFL_ENV}
    status, out = run(["afl-fuzz", "-i", seeds, "-o", tmp_path / "out",
                       "-M", "main", "-m", "none", "-t", "10000", "-V", 2, "--",
                       build("afl", name)], env=env)
    assert status == 0, out[-4000:]
    stats = fuzzlib.afl_status(tmp_path)
    assert stats and stats["execs"] > 10, out[-4000:]
    assert stats["stability"] >= 98, "the same input does not take the same edges"


def fuzz(*args, **kwargs):
    return run([TOP / "ci" / "fuzz", *args], **kwargs)


def test_target_that_does_not_exist_is_named():
    status, out = fuzz("fliter")
    assert status == 2
    assert "there is no target 'fliter'; known: " in out


def test_bug_put_back_is_found_kept_and_repeated():
    status, out = fuzz("--target", "7.9.0p0+bug=chain-null-param", "--time", "20",
                       "filter")
    assert status == 1, out
    line = re.search(r"repeat with: (.*)", out)
    if not line:
        # Found by an earlier run: the finding is still there.
        assert "crashes known before" in out
        found = list((TOP / "build/findings/fuzz/7.9.0p0+bug=chain-null-param"
                      / "filter").glob("*/finding.json"))
        assert found
        line = re.search(r'"reproduce": "(.*)"', found[0].read_text())
    status, out = run(["sh", "-c", line[1]], cwd=TOP)
    assert status not in (0, 2)
    assert 'FINDING: asked "(null)" instead of' in out


def bugs(*args):
    return run([TOP / "ci" / "fuzz-bugs", *args])


def test_bug_is_found_from_seeds_that_do_not_have_it():
    status, out = bugs("--only", "unpack-dns-oob", "--target", "7.9.0p0",
                       "--runs", "1", "--time", "60")
    assert status == 0, out
    assert re.search(r"^unpack-dns-oob +7\.9\.0p0 +dnsunpack +1 of 1 +[\d.]+ s +"
                     r"(\d+) of \1$", out, re.M), out


def test_bug_that_no_fuzz_target_is_for_is_an_error():
    status, out = bugs("--only", "setproctitle")
    assert (status, out.count("\n")) == (2, 1)
    assert "names a fuzz target" in out


def test_corpora_reach_what_the_targets_are_about():
    status, out = run([TOP / "ci" / "coverage"], timeout=800)
    assert status == 0, out[-6000:]


def test_build_script_follows_oss_fuzz(tmp_path):
    env = {**os.environ, "CC": "clang", "CXX": "clang++", "OUT": str(tmp_path),
           "CFLAGS": "-g -O1 -fsanitize=address -fsanitize=fuzzer-no-link",
           "CXXFLAGS": "-fsanitize=address",
           "LIB_FUZZING_ENGINE": "-fsanitize=fuzzer"}
    status, out = run([TOP / "fuzz" / "build", "filter"], env=env, timeout=600)
    assert status == 0, out
    assert {p.name for p in tmp_path.iterdir()} == {
        "filter", "filter.dict", "filter.options", "filter_seed_corpus.zip"}
    status, out = run([tmp_path / "filter", "-runs=4", "-seed=1337"],
                      cwd=tmp_path)
    assert status == 0, out


def test_empty_file_that_a_full_disk_leaves_is_no_finding(tmp_path):
    (tmp_path / "crash-0").write_bytes(b"")
    findings = fuzzlib.Findings("7.9.0p0", tmp_path / "findings")
    assert findings.take("proxyv2", tmp_path / "crash-0",
                         build("standalone", "proxyv2"),
                         build("libfuzzer", "proxyv2")) is None
    assert not findings.new and not findings.root.exists()


def test_what_a_night_reached_is_adopted_under_a_name(tmp_path, monkeypatch):
    loader = importlib.machinery.SourceFileLoader("night",
                                                  str(TOP / "ci" / "night"))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("night", loader))
    loader.exec_module(module)
    corpus = tmp_path / "7.9.0p0" / "corpus" / "proxyv2"
    corpus.mkdir(parents=True)
    for path in fuzzlib.seeds("proxyv2").iterdir():
        shutil.copy(path, corpus)
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    (seeds / "short").write_bytes(b"x")
    monkeypatch.setattr(fuzzlib, "seeds", lambda name: seeds)
    monkeypatch.setattr(sys, "argv", ["night", "--adopt", "--dir",
                                      str(tmp_path), "proxyv2"])
    assert module.main() == 0
    names = {p.name for p in seeds.iterdir()}
    assert "short" in names and len(names) > 2
    assert all(re.fullmatch("night-[0-9a-f]{10}", n) for n in names - {"short"})


def night(tmp_path, *args):
    return [str(TOP / "ci" / "night"), "--jobs", "1", "--dir",
            str(tmp_path), *args]


def test_night_goes_on_after_kill_9_and_fails_for_a_new_crash(tmp_path):
    spec = "7.9.0p0+bug=chain-null-param"
    for engine in ("standalone", "libfuzzer", "afl", "cmplog"):
        build(engine, "filter", spec)
    shutil.rmtree(fuzzlib.Findings(spec).dir, ignore_errors=True)
    state = tmp_path / spec / "state.json"
    p = subprocess.Popen(night(tmp_path, "--hours", "0.5", "--target", spec,
                               "filter"), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (
                state.exists() and json.loads(state.read_text())["findings"]):
            time.sleep(0.2)
    finally:
        p.kill()
        p.wait()
    # Of what it had begun nothing is left; shorten what it still has to do.
    data = json.loads(state.read_text())
    assert data["findings"] and not data["over"]
    assert data["left"] > 60
    data["left"] = 3
    # libFuzzer dies of a seed here before it counts edges: give it a curve.
    data["edges"]["filter"] = [[1, 300], [2, 400]]
    state.write_text(json.dumps(data))
    for _ in range(50):
        if str(tmp_path) not in run(["ps", "axww", "-o", "args"])[1]:
            break
        time.sleep(0.1)
    else:
        pytest.fail("something still runs")
    status, out = run(night(tmp_path, "--target", spec, "filter"), timeout=400)
    assert "going on after" in out, out
    assert status == 1, out
    assert "repeat with: $(fuzz/build" in out
    report = (TOP / "build" / "report" / "night.html").read_text()
    assert "asked instead of" in report
    assert re.search(r'<svg .*300 to 400 edges.*<polyline points="[\d., ]+"/>',
                     report)
