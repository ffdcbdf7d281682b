"""What the end-to-end tests share: run a scenario given as text."""

import json
import os
import pathlib
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
DRIVER = os.environ.get("SMTPDTEST", str(TOP / "build" / "smtpdtest"))
TARGETS = os.environ.get("TARGET", "7.9.0p0,distro").split(",")

DAEMON = """
smtpd d {
    listen on 127.0.0.1 port 25
    action "keep" maildir
    match from any for any action "keep"
}
"""

# What most clients say and hear, for client(): a message goes in between.
HELLO = ["S: 220", "C: EHLO client.example", "S: 250"]
TRANSACTION = ["C: MAIL FROM:<bob@example.net>", "S: 250",
               "C: RCPT TO:<alice@mx.example.org>", "S: 250", "C: DATA",
               "S: 354"]
QUIT = ["C: QUIT", "S: 221"]


class Result:
    def __init__(self, done, events):
        self.code = done.returncode
        self.text = done.stdout + done.stderr
        self.events = events
        ends = [e for e in events if e["event"] == "end"]
        self.end = ends[0] if ends else None

    def failures(self, oracle=""):
        """What was got where something failed, of an oracle or the scenario."""
        return "\n".join(f["got"] for f in self.end["failures"]
                         if f["oracle"] == oracle)

    def said(self, who):
        """The transcript of an actor, without times."""
        return [f"{t['dir']}: {t['text']}" for t in self.end["transcript"]
                if t["actor"] == who]


def play(tmp_path, text, *args, target=None, name="case"):
    path = tmp_path / f"{name}.smtp"
    log = tmp_path / f"{name}.json"
    if not text.lstrip().startswith("scenario"):
        text = f'scenario "{name}"\n{text}'
    path.write_text(text)
    done = subprocess.run(
        [DRIVER, "run", "--target", target or TARGETS[0], "--json", str(log),
         "--results", str(tmp_path / "results"), *args, str(path)],
        cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace", check=False)
    events = [json.loads(line) for line in log.read_text().splitlines()] \
        if log.exists() else []
    return Result(done, events)


def client(*steps, opts=""):
    return "\n".join([f"client c {opts} {{",
                      *(f"    {step}" for step in steps), "}\n"])


def pair(server, client, server_opts="", client_opts=""):
    """Our own server and client, to try the language without a daemon."""
    def block(lines):
        return "\n    ".join(lines)
    return f"""
server s listen=127.0.0.9:2525 {server_opts} {{
    {block(server)}
}}
client c to=127.0.0.9:2525 {client_opts} {{
    {block(client)}
}}
"""
