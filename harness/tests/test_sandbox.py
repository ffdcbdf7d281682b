"""The sandbox as a user sees it, from in it and after it.

What the C interface promises is in test_sandbox.c.
"""

import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import subprocess
import termios
import textwrap
import time
import uuid

import pytest

import driver

HANG = 120      # seconds after which something hangs, however slow the machine
ROOT = os.geteuid() == 0
USER = "games"  # one that Debian always has, without ids of his own

CONF = """
listen on 127.0.0.1 port 25
listen on ::1 port 2525
action "keep" maildir
match from any for any action "keep"
"""

# Prints "up" once there is something to look at, then waits for ever.
WAIT = ["sh", "-c", "echo up; exec sleep 100000"]

needs_root = pytest.mark.skipif(not ROOT, reason="arranging this needs root")


@pytest.fixture(scope="session")
def target():
    return driver.TARGETS[0]


@pytest.fixture
def shell(tmp_path, target):
    """Start `smtpdtest shell`; whatever is left of it in the end is killed."""
    started = []

    def start(*cmd, conf=CONF, options=(), before=(), **kwargs):
        path = tmp_path / "smtpd.conf"
        path.write_text(conf)
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        proc = subprocess.Popen(
            [*before, driver.DRIVER, "shell", "--target", target, *options,
             str(path), "--", *cmd],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, **kwargs)
        started.append(proc)
        return proc

    yield start
    for proc in started:
        if proc.poll() is None:
            proc.kill()
        proc.communicate()


@pytest.fixture
def run(shell):
    """The same to its end: exit status, standard output and error."""
    def finish(*args, **kwargs):
        proc = shell(*args, **kwargs)
        out, err = proc.communicate(timeout=HANG)
        return proc.returncode, out, err

    return finish


def sh(script):
    return ["sh", "-c", textwrap.dedent(script)]


def python(script):
    return ["/usr/bin/python3", "-c", textwrap.dedent(script)]


# --- what is on this machine -------------------------------------------------

def processes():
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            yield int(entry)


def net_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None         # gone, or somebody else's


def cmdline(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def parent_of(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])


def children_of(pid):
    return [p for p in processes() if parent_of(p) == pid]


def until(condition):
    """Wait for something that must come; how soon is not judged."""
    end = time.monotonic() + HANG
    while not (found := condition()):
        assert time.monotonic() < end, "this never came"
        time.sleep(0.01)
    return found


def has_daemon(net):
    return net not in (None, net_of(os.getpid())) and any(
        net_of(p) == net and cmdline(p).startswith(b"smtpd: ")
        for p in processes())


class Sandbox:
    """A sandbox as the machine sees it, by its network namespace."""

    def __init__(self, proc):
        # The waiting process has a child that went inside.  There may have
        # been others, to try whether one can.
        self.runner = until(lambda: next(
            (p for p in children_of(proc.pid) if has_daemon(net_of(p))), None))
        self.net = net_of(self.runner)
        self.init = children_of(self.runner)[0]

    def processes(self):
        return [p for p in processes() if net_of(p) == self.net]

    def is_gone(self):
        return not self.processes() and self.net not in namespaces()


def namespaces():
    """Network namespaces that anything keeps, be it a process or a mount."""
    def listed():           # fails when a process goes while it looks
        done = subprocess.run(["lsns", "-n", "-t", "net", "-o", "NS"],
                              capture_output=True, text=True, check=False)
        return done.returncode == 0 and done.stdout.split()

    return {f"net:[{ns}]" for ns in until(listed)}


def traces():
    """What a sandbox could leave behind on a machine, other than processes."""
    found = {line for line in
             pathlib.Path("/proc/self/mounts").read_text().splitlines()}
    for top in ("/", "/mnt", "/media", "/srv", "/opt", "/run", "/dev"):
        if os.path.isdir(top):
            found |= {os.path.join(top, name) for name in os.listdir(top)}
    return found


@pytest.fixture
def untouched():
    before = traces()
    yield
    assert traces() == before


@pytest.fixture
def up(shell, untouched):
    """A sandbox in use: the process of ours, and what the machine sees."""
    proc = shell(*WAIT)
    assert proc.stdout.readline() == "up\n"
    return proc, Sandbox(proc)


# --- nothing is left behind --------------------------------------------------

def test_after_normal_exit(shell, untouched):
    proc = shell(*sh("echo up; read x"), stdin=subprocess.PIPE)
    assert proc.stdout.readline() == "up\n"
    box = Sandbox(proc)
    assert len(box.processes()) > 5
    proc.communicate("\n", timeout=HANG)
    assert box.is_gone()


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM,
                                   signal.SIGHUP])
def test_after_signal(up, signo):
    proc, box = up
    proc.send_signal(signo)
    proc.communicate(timeout=HANG)
    assert proc.returncode == 128 + signo
    assert box.is_gone()


def test_after_interrupt_from_terminal(up):
    """Which goes to all of the foreground, not only to the one we started."""
    proc, box = up
    os.killpg(proc.pid, signal.SIGINT)
    proc.communicate(timeout=HANG)
    assert proc.returncode == 128 + signal.SIGINT
    assert box.is_gone()


def test_after_kill(up):
    proc, box = up
    proc.kill()
    proc.communicate(timeout=HANG)
    until(box.is_gone)


def test_after_kill_of_runner(up):
    proc, box = up
    os.kill(box.runner, signal.SIGKILL)
    _, err = proc.communicate(timeout=HANG)
    assert proc.returncode == 128 + signal.SIGKILL
    assert "SIGKILL" in err
    until(box.is_gone)


def test_after_kill_of_init(up):
    proc, box = up
    os.kill(box.init, signal.SIGKILL)
    _, err = proc.communicate(timeout=HANG)
    assert proc.returncode == 2
    assert "the sandbox died" in err
    until(box.is_gone)


def test_after_kill_while_stopped(up):
    """Stopped processes must die, too."""
    proc, box = up
    for pid in box.processes():
        if cmdline(pid).startswith(b"smtpd"):
            os.kill(pid, signal.SIGSTOP)
    proc.kill()
    proc.communicate(timeout=HANG)
    until(box.is_gone)


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM,
                                   signal.SIGKILL])
def test_after_run_ends_early(tmp_path, target, signo, untouched):
    """The same for scenarios: this one waits for words that never come."""
    path = tmp_path / f"{uuid.uuid4().hex}.smtp"
    path.write_text('scenario "waits"\ntimeout 100000s\n' + driver.DAEMON +
                    "client c {\n    S: 220\n    S: 250\n}\n")
    proc = subprocess.Popen(
        [driver.DRIVER, "run", "--target", target,
         "--results", str(tmp_path / "results"), str(path)],
        cwd=driver.TOP, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        box = Sandbox(proc)
        proc.send_signal(signo)
        proc.wait(timeout=HANG)
    finally:
        proc.kill()
        proc.wait()
    until(box.is_gone)


# --- what there is to see inside ---------------------------------------------

def test_command(run):
    code, out, err = run(*sh("cat; echo warm >&2; exit 7"),
                         stdin=open("/etc/services", encoding="ascii"))
    assert code == 7
    assert out == pathlib.Path("/etc/services").read_text(encoding="ascii")
    assert "warm\n" in err


def test_command_killed_by_signal(run):
    assert run(*sh("kill -TERM $$"))[0] == 128 + signal.SIGTERM


def test_says_where(run, tmp_path):
    log = tmp_path / "log"
    code, out, err = run("true", options=["--log", str(log)])
    assert (code, out) == (0, "")
    assert err.count("\n") == 1
    for part in ("/etc/smtpd.conf", str(log), "/var/spool/smtpd", "25 2525"):
        assert part in err
    assert "starting" in log.read_text()


def test_log_on_stderr(run):
    assert re.search(r"^smtpd\| .*starting$", run("true")[2], re.M)


def test_host_is_invisible(run, tmp_path):
    (tmp_path / "secret").write_text("secret")
    code, out, _ = run(*sh(f"""
        ls -A / | grep -v '^lib' | tr '\\n' ' '; echo
        ls -A /home /root /tmp /srv /opt /boot /sys 2>/dev/null | tr '\\n' ' '
        echo
        test ! -e {tmp_path} && test ! -e {driver.TOP} &&
        test ! -e /etc/machine-id && test ! -e /etc/fstab && echo none
        cut -d: -f1 /etc/passwd | tr '\\n' ' '
        """))
    tops, homes, none, users = out.splitlines()
    assert code == 0
    assert set(tops.split()) <= {".usr", "bin", "dev", "etc", "home", "mnt",
                                 "proc", "root", "run", "sbin", "tmp", "usr",
                                 "var"}
    everybody = ["alice", "bob", "carol", "dave", "eve", "frank", "vmail"]
    assert homes.split() == ["/home:", *everybody, "/root:", "/tmp:"]
    assert none == "none"
    assert users.split() == ["root", "daemon", "nobody", *everybody,
                             "opensmtpd", "opensmtpq"]


def test_host_is_unreachable(run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        code, out, _ = run(*python(f"""
            import socket
            try:
                socket.create_connection(("127.0.0.1",
                                          {server.getsockname()[1]}))
            except ConnectionRefusedError:
                print("refused")
            """))
    assert (code, out) == (0, "refused\n")


def test_host_is_not_writable(run):
    code, out, _ = run(*sh("""
        for f in /usr/x /usr/bin/x /etc/ssl/certs/x \\
            /proc/sys/kernel/core_pattern
        do (: >$f) 2>/dev/null && echo $f
        done
        mount -t tmpfs none /mnt 2>/dev/null && echo mount
        exit 0"""))
    assert (code, out) == (0, "")


def test_bind(run, tmp_path):
    (tmp_path / "given").write_text("gift")
    code, out, _ = run(*sh("cat /mnt/given; : >/mnt/x && echo written"),
                       options=["--bind", str(tmp_path)])
    assert (code, out) == (2, "gift")
    assert not (tmp_path / "x").exists()


def test_mail_arrives(run):
    code, out, err = run(*python("""
        import glob, os, pwd, smtplib, time
        MESSAGE = "Subject: test\\n\\nhello"
        with smtplib.SMTP("127.0.0.1", 25) as s:
            s.sendmail("bob@example.net", ["alice@mx.example.org"], MESSAGE)
        while not (got := glob.glob("/home/alice/Maildir/new/*")):
            time.sleep(0.01)
        print(pwd.getpwuid(os.stat(got[0]).st_uid).pw_name)
        print(open(got[0]).read().endswith("hello\\n"))
        """))
    assert (code, out) == (0, "alice\nTrue\n"), err


def test_passwords(run):
    """Of each user there is: the name and -secret."""
    code, out, _ = run(*python("""
        import warnings
        warnings.simplefilter("ignore")
        import crypt, spwd
        for name in "alice bob carol dave eve frank vmail".split():
            hash = spwd.getspnam(name).sp_pwdp
            assert crypt.crypt(name + "-secret", hash) == hash, name
        """))
    assert (code, out) == (0, "")


def test_keys_are_private(run, tmp_path):
    if not (driver.TOP / "build" / "certs" / "server.key").exists():
        pytest.skip("no certificates: make certs")
    code, out, _ = run(*sh("cd /etc/smtpd/certs && stat -c '%a %U' *.key | "
                           "sort -u && stat -c '%a %U' server.crt"))
    assert (code, out) == (0, "600 root\n644 root\n")


def test_set_id_programs(run):
    code, out, _ = run(*sh("stat -c '%a %U %G' $(command -v smtpctl)"))
    assert (code, out) == (0, "2555 root opensmtpq\n")


def test_interactive(shell, tmp_path, target):
    """On a terminal there is a shell with a terminal of its own."""
    conf = tmp_path / "smtpd.conf"
    conf.write_text(CONF)
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    proc = subprocess.Popen([driver.DRIVER, "shell", "--target", target,
                             str(conf)], stdin=slave, stdout=slave,
                            stderr=slave, start_new_session=True)
    os.write(master, b"tty; sleep 100000\n")
    seen = b""
    try:
        while b"/dev/pts/0\r\n" not in seen:
            seen += os.read(master, 1000)
        # ^C is for what runs in there.
        until(lambda: any(cmdline(p).startswith(b"sleep\x00100000")
                          for p in Sandbox(proc).processes()))
        os.write(master, b"\x03")
        os.write(master, b"echo $((6 * 7)) in; exit 5\n")
        while b"42 in\r\n" not in seen:
            seen += os.read(master, 1000)
        assert proc.wait(timeout=HANG) == 5
    finally:
        proc.kill()
        proc.wait()
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


# --- what goes wrong ---------------------------------------------------------

def test_bad_conf(run):
    code, out, err = run("echo", "ran", conf="listen onn\n")
    assert (code, out) == (2, "")
    assert "/etc/smtpd.conf:1: syntax error" in err


def test_bad_conf_with_log(run, tmp_path):
    log = tmp_path / "log"
    log.write_text("of yesterday\n")
    code, _, err = run("true", conf="listen onn\n",
                       options=["--log", str(log)])
    assert code == 2
    assert "/etc/smtpd.conf:1: syntax error" in err
    assert "yesterday" not in err
    assert log.read_text().startswith("of yesterday\n")


@pytest.mark.parametrize("args, words", [
    ([], "usage"),
    (["--no-such-option"], "usage"),
    (["/no/such/conf"], "/no/such/conf"),
    (["--bind", "/no/such/dir", "/dev/null"], "/no/such/dir"),
    (["--log", "/no/such/dir/log", "/dev/null"], "/no/such/dir/log"),
])
def test_usage(target, args, words):
    done = subprocess.run([driver.DRIVER, "shell", "--target", target, *args],
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=HANG, check=False)
    assert done.returncode == 2
    assert words in done.stderr


def test_conf_on_stdin(target):
    done = subprocess.run([driver.DRIVER, "shell", "--target", target, "-",
                           "--", "cat", "/etc/smtpd.conf"], input=CONF,
                          capture_output=True, text=True, timeout=HANG,
                          check=False)
    assert (done.returncode, done.stdout) == (0, CONF)


def test_no_such_command(run):
    code, _, err = run("no-such-command")
    assert code == 2
    assert "no-such-command: No such file or directory" in err


def test_crash_is_seen(run):
    code, _, err = run(*sh("""
        kill -SEGV $(pgrep -f '^smtpd: lookup')
        while pgrep -f '^smtpd' >/dev/null; do sleep 0.1; done"""))
    assert code == 0
    assert re.search(r"smtpd: lookup \(process \d+\) crashed: SIGSEGV", err)
    assert re.search(r"#\d+ +0x.* in event_base_loop", err)
    assert re.search(r"smtpd: lookup \(process \d+\) was killed by SIGSEGV",
                     err)


def test_crash_of_filter_is_seen(run, tmp_path):
    """Processes of the daemon's processes are watched as well."""
    where = tmp_path / "filters"
    where.mkdir(mode=0o755)
    path = where / "filter"
    path.write_text("#!/usr/bin/python3\nimport os, sys\n"
                    "for line in sys.stdin:\n"
                    "    if line == 'config|ready\\n':\n"
                    "        print('register|ready', flush=True)\n"
                    "        os.abort()\n")
    path.chmod(0o755)
    conf = CONF.replace("port 25\n", 'port 25 filter "f"\n', 1)
    conf = 'filter "f" proc-exec "/mnt/filter"\n' + conf
    _, _, err = run(*sh(
        "while pgrep -f '^smtpd' >/dev/null; do sleep 0.1; done"), conf=conf,
        options=["--bind", str(where)])
    assert re.search(r"/mnt/filter \(process \d+\) crashed: SIGABRT", err)


def test_stop_and_continue(run):
    """A traced daemon can be stopped like any other."""
    code, out, err = run(*python("""
        import os, signal, socket, subprocess, time
        pid = int(subprocess.check_output(
            ["pgrep", "-f", "^smtpd: (dispatcher|pony)"]))

        def state():
            stat = open(f"/proc/{pid}/stat").read()
            return stat.rpartition(")")[2].split()[0]

        def wait(letters):
            while state() not in letters: time.sleep(0.01)

        for i in range(3):
            os.kill(pid, signal.SIGSTOP)
            wait("Tt")
            s = socket.create_connection(("127.0.0.1", 25))
            s.settimeout(0.2)
            try:
                print(s.recv(100))
            except TimeoutError:
                print("silent", state() in "Tt")
            s.settimeout(None)
            os.kill(pid, signal.SIGCONT)
            print(s.recv(4))
            s.close()
        """))
    assert (code, out) == (0, "silent True\nb'220 '\n" * 3), err


# --- without root ------------------------------------------------------------

def as_user(tmp_path, subids, path=None):
    """A prefix to run as USER, with these in /etc/subuid and /etc/subgid."""
    subids_file = tmp_path / "subids"
    subids_file.write_text(subids)
    prepare = (f"mount --bind {subids_file} /etc/subuid && "
               f"mount --bind {subids_file} /etc/subgid && exec ")
    become = ["setpriv", f"--reuid={USER}", f"--regid={USER}",
              "--clear-groups"]
    if path is not None:
        become += ["env", f"PATH={path}"]
    return ["unshare", "-m", "--propagation", "private", "sh", "-c",
            prepare + '"$@"', "sh", *become]


def run_as_user(before, target, *cmd):
    done = subprocess.run(
        [*before, driver.DRIVER, "shell", "--target", target, "-", "--", *cmd],
        cwd="/", input=CONF, capture_output=True, text=True, timeout=HANG,
        check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="session")
def for_all(tmp_path_factory, target):
    """A target that everybody can read, by its directory."""
    done = subprocess.run([str(driver.TOP / "ci" / "target"), target],
                          capture_output=True, text=True, check=False)
    where = done.stdout.strip().splitlines()[-1:] or [""]
    reached = subprocess.run(
        ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
         "test", "-r", os.path.join(where[0], "target"),
         "-a", "-x", driver.DRIVER], check=False)
    if not where[0] or reached.returncode != 0:
        pytest.skip(f"the user {USER} may not look into {driver.TOP}")
    return where[0]


@needs_root
def test_without_root(tmp_path, for_all):
    if shutil.which("newuidmap") is None:
        pytest.skip("newuidmap is missing: apt-get install uidmap")
    before = as_user(tmp_path, f"{USER}:200000:65536\n")
    code, out, err = run_as_user(before, for_all, *sh("""
        id -u; stat -c %U /home/alice; cat /etc/shadow >/dev/null && echo root
        awk '{ print $1, $2 != 0, $3 }' /proc/self/uid_map
        python3 -c 'import smtplib
        s = smtplib.SMTP("127.0.0.1", 25)
        s.sendmail("b@example.net", ["alice@mx.example.org"], "A: b\\n\\nc")'
        while ! stat -c %U /home/alice/Maildir/new/* 2>/dev/null
        do sleep 0.1; done""".replace("\n        s", "\ns")))
    assert (code, out) == (0, "0\nalice\nroot\n0 1 1\n1 1 65535\nalice\n"), err


@needs_root
def test_crash_without_root(tmp_path, for_all):
    if shutil.which("newuidmap") is None:
        pytest.skip("newuidmap is missing: apt-get install uidmap")
    before = as_user(tmp_path, f"{USER}:200000:65536\n")
    code, _, err = run_as_user(before, for_all, *sh("""
        kill -ABRT $(pgrep -f '^smtpd: queue')
        while pgrep -f '^smtpd' >/dev/null; do sleep 0.1; done"""))
    assert code == 0
    assert re.search(r"smtpd: queue \(process \d+\) crashed: SIGABRT", err)
    assert "event_base_loop" in err


@needs_root
@pytest.mark.parametrize("subids", ["", "somebody:100000:65536\n",
                                    f"{USER}:100000:1000\n"])
def test_without_subids(tmp_path, for_all, subids):
    code, out, err = run_as_user(as_user(tmp_path, subids), for_all, "true")
    assert (code, out) == (2, "")
    assert f"/etc/subuid gives {USER} no range" in err
    assert "usermod --add-subuids" in err
    assert err.count("\n") == 1


@needs_root
def test_without_newuidmap(tmp_path, for_all):
    before = as_user(tmp_path, f"{USER}:200000:65536\n", path="/nowhere")
    before[before.index("env")] = "/usr/bin/env"
    code, _, err = run_as_user(before, for_all, "true")
    assert code == 2
    assert "newuidmap is missing" in err
    assert "apt-get install uidmap" in err


@needs_root
def test_without_user_namespaces(for_all):
    """In a namespace where there may not be another."""
    code, _, err = run_as_user(
        ["unshare", "--user", "--map-root-user", "sh", "-c",
         "echo 0 >/proc/sys/user/max_user_namespaces; shift; "
         'exec "$0" shell --user "$@"'], for_all, "true")
    assert code == 2
    assert "sysctl user.max_user_namespaces" in err


@needs_root
def test_root_without_privileges(for_all):
    """As in a container."""
    code, _, err = run_as_user(["setpriv", "--bounding-set=-sys_admin"],
                               for_all, "true")
    assert code == 2
    assert "--privileged" in err


def test_user_namespace_of_root(run):
    if not ROOT:
        pytest.skip("that is what all the others do")
    code, out, _ = run(*sh("cat /proc/self/uid_map | tr -s ' '"),
                       options=["--user"])
    assert (code, out) == (0, " 0 0 65536\n")
