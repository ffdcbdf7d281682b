"""Latency of replies: what is measured is what a client waits."""

import json
import socketserver
import subprocess
import threading
import time

from driver import DRIVER, TOP

WAIT = 0.25

SCENARIO = """
scenario "latency"
client c {
    S: 220
    C: EHLO c.example
    S: 250
    C: MAIL FROM:<a@example.org>
    S: 250
    C: QUIT
    S: 221
}
"""


class Slow(socketserver.StreamRequestHandler):
    """Answers at once, but MAIL late."""

    def handle(self):
        self.wfile.write(b"220 slow.example\r\n")
        for line in self.rfile:
            if line.startswith(b"MAIL"):
                time.sleep(WAIT)
            last = line.startswith(b"QUIT")
            self.wfile.write(b"221 bye\r\n" if last else
                             b"250 slow.example\r\n")
            if last:
                return


def test_the_wait_for_a_reply_is_seen(tmp_path):
    path, log = tmp_path / "case.smtp", tmp_path / "run.json"
    path.write_text(SCENARIO)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever).start()
        done = subprocess.run(
            [DRIVER, "run", "--connect", f"127.0.0.1:{server.server_address[1]}",
             "--json", log, "--results", tmp_path / "results", path], cwd=TOP,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in log.read_text().splitlines()]
    end = next(e for e in events if e["event"] == "end")
    latency = end["stats"]["latency"]
    assert list(latency) == ["connect", "EHLO", "MAIL", "QUIT"]
    assert latency["MAIL"]["p50"] >= WAIT * 1e6
    assert all(v["n"] == 1 for v in latency.values())
    # what is said is kept for a report, although it passed
    assert ["c", "C", "MAIL FROM:<a@example.org>"] in [g[1:] for g in end["gist"]]
    assert "transcript" not in end
