"""What "make fuzz", "make night", "make coverage" and the tests share: building
targets, running an engine for a while, and what becomes of a crash.
"""

import configparser
import contextlib
import ctypes
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
FUZZ = TOP / "fuzz"
BUILD = FUZZ / "build"
DEFAULT = "7.9.0p0"


def load_build():
    """fuzz/build as a module."""
    loader = importlib.machinery.SourceFileLoader("fuzz_build", str(BUILD))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("fuzz_build", loader))
    loader.exec_module(module)
    return module


class FuzzError(Exception):
    def __init__(self, text, status=2):
        super().__init__(text)
        self.status = status


def build(engine, spec, names):
    """Build targets; a dictionary of their binaries."""
    p = subprocess.run([BUILD, "--engine", engine, "--target", spec, *names],
                       stdout=subprocess.PIPE, text=True)
    if p.returncode != 0:
        raise FuzzError("", p.returncode)
    return {pathlib.Path(line).name: pathlib.Path(line)
            for line in p.stdout.splitlines()}


def list_targets(spec=DEFAULT):
    p = subprocess.run([BUILD, "--list", "--target", spec],
                       stdout=subprocess.PIPE, text=True)
    if p.returncode != 0:
        raise FuzzError("", p.returncode)
    return p.stdout.split()


def seeds(name):
    return FUZZ / "corpora" / name


def dictionary(name):
    path = FUZZ / f"{name}.dict"
    return path if path.exists() else None


def options(name):
    """The [libfuzzer] part of NAME.options, a dictionary of strings."""
    ini = configparser.ConfigParser()
    ini.read(FUZZ / f"{name}.options")
    return dict(ini["libfuzzer"]) if "libfuzzer" in ini else {}


# --- processes -----------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def die_with_parent():
    os.setsid()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def namespace():
    """
    Words before a command that put it, and whatever it starts, into a process
    namespace of its own, which ends whole when the command or we are killed.
    """
    if not hasattr(namespace, "words"):
        # LeakSanitizer looks for its threads in /proc, which has to be theirs.
        words = ["unshare", "--pid", "--fork", "--kill-child=KILL",
                 "--mount-proc"]
        if os.geteuid() != 0:
            words[1:1] = ["--user", "--map-current-user"]
        try:
            ok = subprocess.run([*words, "true"],
                                capture_output=True).returncode == 0
        except OSError:
            ok = False
        namespace.words = words if ok else []
    return namespace.words


class Job:
    """An engine at work on a target, for a limited time; nothing outlives it."""

    def __init__(self, name, engine, command, log, env=(), cwd=None):
        self.name = name
        self.engine = engine
        self.log = pathlib.Path(log)
        self.began = time.monotonic()
        with open(self.log, "wb") as f:
            self.proc = subprocess.Popen(
                [*namespace(), *map(str, command)], cwd=cwd,
                stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT,
                env={**os.environ, **dict(env)}, preexec_fn=die_with_parent)

    def done(self):
        return self.proc.poll() is not None

    def seconds(self):
        return time.monotonic() - self.began

    def end(self):
        # unshare(1) waits out a SIGTERM; its namespace does not survive this.
        if not self.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.proc.pid, signal.SIGKILL)
        self.proc.wait()


def write_atomically(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(new, 0o644)
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


# --- libFuzzer --------------------------------------------------------------------

STATUS = re.compile(rb"^#(\d+)\t(\S+) +cov: (\d+) ft: (\d+) corp: (\d+)/\S+"
                    rb".* exec/s: (\d+)", re.M)


def limits(name):
    """libFuzzer's, for that target: words of its command line."""
    opts = {"max_len": "4096", "timeout": "25", "rss_limit_mb": "2048",
            **options(name)}
    return [f"-{k}={v}" for k, v in opts.items()]


def libfuzzer(binary, name, work, seconds, corpora, extra=()):
    """Start libFuzzer in work/, which gets crashes; the first corpus grows."""
    work.mkdir(parents=True, exist_ok=True)
    command = [binary, f"-max_total_time={max(1, int(seconds))}",
               f"-artifact_prefix={work}/", "-print_final_stats=1",
               "-reload=1", *limits(name), *extra]
    if dictionary(name):
        command.append(f"-dict={dictionary(name)}")
    return Job(name, "libfuzzer", [*command, *corpora],
               work / "libfuzzer.log", cwd=work)


def tail(path, size=65536):
    try:
        with open(path, "rb") as f:
            f.seek(0, os.SEEK_END)
            f.seek(max(0, f.tell() - size))
            return f.read()
    except OSError:
        return b""


def libfuzzer_status(log):
    """Executions, edges and inputs that its log tells of last, and edges at first."""
    text = tail(log)
    found = STATUS.findall(text)
    if not found:
        return None
    n, _, cov, _, corp, rate = found[-1]
    with open(log, "rb") as f:
        first = STATUS.findall(f.read(65536))
    stat = re.search(rb"stat::number_of_executed_units: (\d+)", text)
    started = next((int(s[2]) for s in first if s[1] == b"INITED"),
                   int(found[0][2]))
    return {"execs": int(stat[1]) if stat else int(n), "edges": int(cov),
            "inputs": int(corp), "rate": int(rate), "first": started}


def libfuzzer_crashes(work):
    return sorted(p for p in work.glob("*-*") if p.name.split("-")[0] in
                  ("crash", "leak", "timeout", "oom", "slow"))


# --- AFL++ ---------------------------------------------------------------------------

AFL_ENV = {
    "AFL_NO_UI": "1", "AFL_SKIP_CPUFREQ": "1", "AFL_NO_AFFINITY": "1",
    "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1", "AFL_CMPLOG_ONLY_NEW": "1",
    "AFL_FAST_CAL": "1", "AFL_NO_COLOR": "1", "AFL_IGNORE_PROBLEMS": "1",
    "AFL_FORKSRV_INIT_TMOUT": "35000",
}


def afl(binary, cmplog, name, work, seconds, corpora):
    """Start afl-fuzz, which goes on where work/out is; it imports the corpora."""
    work.mkdir(parents=True, exist_ok=True)
    out = work / "out"
    again = (out / "main" / "fuzzer_setup").exists() and \
        any((out / "main" / "queue").glob("id*"))
    if not again:
        shutil.rmtree(out, ignore_errors=True)
    command = ["afl-fuzz", "-i", "-" if again else seeds(name), "-o", out,
               "-V", str(max(1, int(seconds))), "-t", "5000", "-m", "none",
               "-M", "main"]
    for corpus in corpora:
        command += ["-F", corpus]
    if dictionary(name):
        command += ["-x", dictionary(name)]
    if cmplog:
        command += ["-c", cmplog]
    command += ["-G", options(name).get("max_len", "4096")]
    return Job(name, "afl", [*command, "--", binary], work / "afl.log",
               AFL_ENV, cwd=work)


def afl_status(work):
    try:
        text = (work / "out" / "main" / "fuzzer_stats").read_text()
    except OSError:
        return None
    stats = dict(re.findall(r"^(\w+) *: (.*)$", text, re.M))
    try:
        return {"execs": int(stats["execs_done"]),
                "edges": int(stats["edges_found"]),
                "inputs": int(stats["corpus_count"]),
                "rate": int(float(stats["execs_per_sec"].replace("inf", "0"))),
                "stability": float(stats["stability"].rstrip("%"))}
    except (KeyError, ValueError):
        return None


def afl_crashes(work):
    out = work / "out" / "main"
    return sorted([*out.glob("crashes/id*"), *out.glob("hangs/id*")])


def afl_queue(work):
    return sorted((work / "out" / "main" / "queue").glob("id*"))


# --- what becomes of a crash ------------------------------------------------------------

# Frames of which a stack says nothing.
NOISE = re.compile(r"^(__(asan|ubsan|lsan|interceptor|sanitizer|GI|wrap)_|_*abort$"
                   r"|raise$|_*pthread_kill|malloc$|calloc$|realloc$|free$|fuzz_"
                   r"|str(dup|ndup)$|LLVMFuzzer|fuzzer::|main$|_start$|__libc_"
                   r"|reallocarray$|recallocarray$|x(malloc|calloc|strdup|memdup)$)")
FRAME = re.compile(r"^\s*#\d+ 0x[0-9a-f]+ in (\S+)", re.M)


def stack_key(output):
    """What kind of error it is, and where: a line that is the same for one bug."""
    kind = "crash"
    for pattern in (r"fuzz: FINDING: (.*)",
                    r"AddressSanitizer: ([\w-]+)", r"runtime error: (.*)",
                    r"LeakSanitizer: (detected memory leaks)",
                    r"libFuzzer: (timeout|out-of-memory)", r"(it leaks)$",
                    r"(timed out)$"):
        m = re.search(pattern, output, re.M)
        if m:
            # Neither numbers nor what was in the input tell bugs apart.
            kind = re.sub(r'"[^"]*"|:\s.*|0x[0-9a-f]+|\d+', "", m[1])
            kind = " ".join(kind.split())
            break
    frames = [f for f in FRAME.findall(output) if not NOISE.match(f)]
    return " < ".join([kind, *frames[:3]])


def verify(binary, path, seconds=60):
    """Run a file on a standalone build: did it crash, and what was said."""
    try:
        p = subprocess.run([binary, path], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=seconds, preexec_fn=die_with_parent)
    except subprocess.TimeoutExpired as e:
        return True, (e.stdout or b"").decode(errors="replace") + "\ntimed out"
    return p.returncode not in (0, 2), p.stdout.decode(errors="replace")


def minimise(binary, name, path, key, check, seconds):
    """A smaller input with the same stack, or the same input."""
    best = path.read_bytes()
    with tempfile.TemporaryDirectory(prefix="smtpdtest-min-") as tmp:
        out = pathlib.Path(tmp) / "out"
        job = Job(name, "minimise", [
            binary, "-minimize_crash=1", f"-max_total_time={seconds}",
            f"-exact_artifact_path={out}",
            f"-timeout={options(name).get('timeout', 25)}", path],
            pathlib.Path(tmp) / "log", cwd=tmp)
        while not job.done() and job.seconds() < seconds + 10:
            time.sleep(0.1)
        job.end()
        if out.exists() and out.stat().st_size < len(best):
            crashed, said = verify(check, out)
            if crashed and stack_key(said) == key:
                best = out.read_bytes()
    return best


class Findings:
    """
    build/findings/fuzz/TARGET/NAME/ID/ with input, report.txt and finding.json,
    each whole as soon as it is there.
    """

    def __init__(self, spec, root=None):
        self.spec = spec
        self.root = pathlib.Path(root or TOP / "build" / "findings" / "fuzz")
        self.dir = self.root / spec.replace("/", "_")
        self.new = []               # of this run
        self.seen = set()           # digests of inputs already looked at

    def known(self, name, key):
        return (self.dir / name / self.id(name, key) / "finding.json").exists()

    @staticmethod
    def id(name, key):
        return hashlib.sha256(f"{name} {key}".encode()).hexdigest()[:12]

    def reproduce(self, name, path):
        with contextlib.suppress(ValueError):
            path = path.relative_to(TOP)
        return (f"$(fuzz/build --engine standalone --target '{self.spec}' "
                f"{name}) {path}")

    def take(self, name, path, standalone, fuzzer, seconds=20):
        """
        Look at a crashing input; its finding if it is a new one, else None.  One
        that does not crash the standalone build is kept too, and says so.
        """
        try:
            data = path.read_bytes()
        except OSError:
            return None
        digest = hashlib.sha256(data).hexdigest()
        if digest in self.seen:
            return None
        self.seen.add(digest)
        crashed, said = verify(standalone, path)
        # Where the disk was full, the engine kept the file but not the input.
        if not data and not crashed:
            return None
        key = stack_key(said) if crashed else "not on the standalone build"
        if self.known(name, key):
            return None
        if crashed:
            data = minimise(fuzzer, name, path, key, standalone, seconds)
        return self.store(name, key, data, said, crashed)

    def store(self, name, key, data, said, crashed):
        final = self.dir / name / self.id(name, key)
        final.parent.mkdir(parents=True, exist_ok=True)
        tmp = pathlib.Path(tempfile.mkdtemp(dir=final.parent, prefix=".new-"))
        os.chmod(tmp, 0o755)
        finding = {"target": self.spec, "name": name, "key": key,
                   "verified": crashed, "size": len(data),
                   "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                   "reproduce": self.reproduce(name, final / "input")}
        (tmp / "input").write_bytes(data)
        (tmp / "report.txt").write_text(said)
        (tmp / "finding.json").write_text(json.dumps(finding, indent=1) + "\n")
        shutil.rmtree(final, ignore_errors=True)
        os.replace(tmp, final)
        self.new.append(finding)
        return finding


def show_finding(finding, out=sys.stdout):
    print(f"{finding['name']}: {finding['key']} ({finding['size']} octets)"
          + ("" if finding["verified"] else "; does not crash the standalone build"),
          file=out)
    print(f"  repeat with: {finding['reproduce']}", file=out, flush=True)
