"""The packaged filters and ours under drive, with what they break pinned.

What is pinned is a finding: it is what the filter of that version does, not what
is right.  A rule that is broken no more is one too.
"""

import http.server
import itertools
import json
import os
import subprocess
import threading

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
    ("filter-senderscore", [], "plain,unknown-config,version-0.8,late-events,"
     "no-tx-begin,no-link-connect,huge-lines,eight-bit,bars,local-clients,"
     "gone-clients,many-sessions,pieces,no-reading,eof,early-eof", set()),
    # it counts the fields of link-connect
    ("filter-senderscore", [], "extra-fields", {"F30"}),
    # it compares versions as texts, and 0.10 comes before 0.5
    ("filter-senderscore", [], "version-0.10", {"F9", "F27"}),
    ("filter-spfgrey", ["10"], "plain,late-events,no-tx-begin,eight-bit,bars,"
     "gone-clients,eof", set()),
    ("filter-rspamd", ["-url", "RSPAMD"], "plain,unknown-config,version-0.8,"
     "no-tx-begin,huge-lines,eight-bit,gone-clients,many-sessions,pieces,"
     "no-reading,eof,early-eof", set()),
    # it counts the fields of link-connect, and wants sessions that it knows
    ("filter-rspamd", ["-url", "RSPAMD"], "extra-fields", {"F30"}),
    ("filter-rspamd", ["-url", "RSPAMD"], "late-events", {"F33"}),
    # those that the user has
    ("filter-greylist", [], "plain,gone-clients,many-sessions,eof", set()),
    ("filter-eventlog", ["/dev/null"], "plain,gone-clients,many-sessions,eof",
     set()),
    ("filter-jsonlog", ["/dev/null"], "plain,gone-clients,many-sessions,eof",
     set()),
]


# What it answers, in turn.
VERDICTS = [{"action": "no action"}, {"action": "reject"},
            {"action": "soft reject"}, {"action": "greylist"},
            {"action": "rewrite subject", "subject": "***"},
            {"action": "add header", "dkim-signature": "v=1; a=none",
             "symbols": {"SYMBOL": {"score": 1}}}]
# with the server there, and as Debian's own smtpd speaks
PROTOCOL = {"filter-rspamd": ["--protocol", "0.6", "--host-net"]}


class Rspamd(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    verdicts = itertools.cycle(VERDICTS)

    def body(self):
        """In chunks, or in one piece."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()

    def do_POST(self):
        self.body()
        said = json.dumps({"score": 3, "required_score": 15,
                           **next(self.verdicts)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A filter that has ended hears no answer."""


@pytest.fixture
def rspamd():
    with Quiet(("127.0.0.1", 0), Rspamd) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def program(name):
    own = os.environ.get(name.upper().replace("-", "_"))
    if own:
        return own
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
def test_drive(tmp_path, rspamd, name, args, kinds, broken):
    path = program(name)
    known = {"KEY": key(tmp_path), "RSPAMD": rspamd}
    args = [known.get(a, a) for a in args]
    libs = ":".join(str(p) for p in (FILTERS / name / "root/usr/lib").glob("*")
                    if p.is_dir())
    log = tmp_path / "drive.json"
    # only where an answer is not going to come is it not waited for
    timeout = "2" if "F27" in broken else "60"
    done = subprocess.run(
        [DRIVER, "drive", "-q", "--seed", "1", "--sessions", "60",
         "--timeout", timeout, "--hostile", kinds, *PROTOCOL.get(name, []),
         "--json", log, "--", path, *args],
        env=dict(os.environ, LD_LIBRARY_PATH=libs), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors="replace", check=False)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    got = {f["oracle"] for e in events if e["event"] == "end"
           for f in e["failures"]}
    assert got == broken, done.stdout + done.stderr
    assert done.returncode == (1 if broken else 0)
