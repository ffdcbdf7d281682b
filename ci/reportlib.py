"""What "make report" knows: stored results, read and put together.

Every function takes a directory of results and returns plain lists and dicts, in
the form in which build/report/report.json has them; None is "not measured".
"""

import csv
import json
import pathlib
import re
import statistics

TOP = pathlib.Path(__file__).resolve().parent.parent

# How bad it is to deviate, by the level of the requirement.
SEVERITY = {"MUST": "must", "MUST NOT": "must", "DEF": "must",
            "SHOULD": "should", "SHOULD NOT": "should",
            "MAY": "info", "INFO": "info"}

# Verdicts on a requirement, the one that counts most first.  Those of a "run-end"
# event, but what nobody expected stands out, and so does what was not come to.
NEW, DEVIATES, CONFORMS = "new deviation", "deviates", "conforms"
VERDICTS = {
    NEW: "does something else, and nobody knew: the run failed",
    DEVIATES: "does something else; what it does is known, word for word",
    CONFORMS: "does what is stated",
    "not offered": "the extension it is about is not advertised",
    "not judged": "no scenario of the run could tell",
    "not testable": "cannot be shown here; the catalogue says why",
    "not run": "the run ended before",
}

NEEDS = {"C": "client", "D": "delivered mail", "X": "scripted MX", "N": "DNS",
         "T": "clock", "F": "fault", "L": "TLS", "A": "AUTH"}


class ReportError(Exception):
    """One clear sentence for the user."""


# --- files -------------------------------------------------------------------------

def load(path, needed=()):
    """A JSON file's object, or None when there is no such file."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        raise ReportError(f"{path}: {e}") from None
    try:
        data = json.loads(text)
    except ValueError as e:
        raise ReportError(f"{path}:{e.lineno}:{e.colno}: {e.msg}") from None
    for key in needed:
        if not isinstance(data, dict) or key not in data:
            raise ReportError(f"{path}: has no \"{key}\"; it is not what "
                              "it should be")
    return data


def load_events(path):
    """The events of a run, and whether the last line was cut off by a kill."""
    try:
        lines = path.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return None, False
    except (OSError, ValueError) as e:
        raise ReportError(f"{path}: {e}") from None
    events = []
    for i, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
        except ValueError as e:
            if i == len(lines):
                return events, True
            raise ReportError(f"{path}:{i}:{e.colno}: {e.msg}") from None
        if not isinstance(event, dict) or "event" not in event:
            raise ReportError(f"{path}:{i}:1: not an event of a run")
        events.append(event)
    return events, False


def catalogue(path):
    """The requirements, in the order of the file."""
    rows = []
    try:
        with open(path, newline="") as f:
            for row in csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
                if not row or row[0].startswith("#"):
                    continue
                if len(row) < 6:
                    raise ReportError(f"{path}: \"{row[0]}\" has "
                                      f"{len(row)} columns instead of 6")
                rows.append({"id": row[0], "rfc": row[0].split("-")[0],
                             "level": row[1], "section": row[2],
                             "needs": row[3].split(), "text": row[5],
                             "untestable": "".join(row[6:7]),
                             "severity": SEVERITY.get(row[1], "info")})
    except OSError as e:
        raise ReportError(f"{path}: {e.strerror}") from None
    return rows


# --- runs --------------------------------------------------------------------------

class Run:
    """One "smtpdtest run --json"."""

    def __init__(self, path):
        self.path = path
        events, torn = load_events(path)
        events = events or []
        self.start = next((e for e in events if e["event"] == "run-start"), {})
        self.last = next((e for e in events if e["event"] == "run-end"), None)
        self.ends = [e for e in events if e["event"] == "end"]
        self.total = self.start.get("total", len(self.ends))
        self.names = {e["path"]: e["name"] for e in events
                      if e["event"] in ("start", "end")}
        self.torn = torn

    def missing(self):
        """Why it is not whole, in words; "" when it is."""
        if len(self.ends) < self.total or self.torn:
            return (f"the run was interrupted: {len(self.ends)} of "
                    f"{self.total} results")
        if self.last is None:
            return "the run was killed before it could sum up"
        return "the run was interrupted" if self.last["interrupted"] else ""

    def targets(self):
        return self.start.get("targets", [])

    def describe(self):
        return {"file": self.path.name, "seed": self.start.get("seed", ""),
                "time": self.start.get("time"), "host": self.start.get("host"),
                "jobs": self.start.get("jobs"),
                "scenarios": self.start.get("scenarios", 0),
                "seconds": self.last["seconds"] if self.last else None,
                "missing": self.missing()}


def outcome(end):
    """What the report keeps of one scenario on one target."""
    return {"verdict": end["verdict"], "seconds": round(end["seconds"], 3),
            "reason": end.get("reason", ""), "repeat": end.get("repeat", ""),
            "failures": [{k: f.get(k) or "" for k in
                          ("where", "actor", "oracle", "expected", "got")}
                         for f in end["failures"]],
            "known": [{k: f.get(k) or "" for k in
                       ("where", "got", "why", "breaks")} for f in end["known"]]}


def scenarios(runs):
    """{path: {path, name, proves, outcomes: {target: ...}}}, sorted."""
    rows = {}
    for run in runs:
        for path, name in run.names.items():
            rows.setdefault(path, {"path": path, "name": name, "proves": [],
                                   "outcomes": {}})
        for end in run.ends:
            row = rows[end["path"]]
            row["proves"] = end["proves"]
            row["outcomes"][end["target"]] = outcome(end)
    return dict(sorted(rows.items()))


# --- requirements by target ----------------------------------------------------------

def stored(runs):
    """{id: {target: what the run's end says}}"""
    found = {}
    for run in runs:
        for name, row in ((run.last or {}).get("requirements") or {}).items():
            for target, cell in row["targets"].items():
                found.setdefault(name, {})[target] = cell
    return found


def cell_of_stored(cell):
    verdict = cell["verdict"].replace("-", " ")
    if verdict == DEVIATES and not cell.get("pinned", True):
        verdict = NEW
    keep = ("scenario", "where", "got", "why", "issues")
    return {"verdict": verdict, "scenarios": cell["scenarios"],
            "reason": cell.get("reason", ""),
            "deviations": [{k: d.get(k) or "" for k in keep}
                           for d in cell["deviations"]]}


def judge(name, outcome):
    """What one scenario says of a requirement, when its run did not get to the end."""
    if outcome is None:
        return "not run", []
    broken = [k for k in outcome["known"] if name in k["breaks"]]
    if outcome["verdict"] in ("fail", "warn"):
        return NEW, outcome["failures"]
    if outcome["verdict"] in ("skip", "error"):
        return "not judged", []
    return (DEVIATES, broken) if broken else (CONFORMS, [])


def cell_of_parts(row, proving, target):
    """The same from the scenarios alone."""
    if row["untestable"]:
        return {"verdict": "not testable", "scenarios": [], "deviations": [],
                "reason": row["untestable"]}
    if not proving:
        return {"verdict": "not judged", "scenarios": [], "deviations": [],
                "reason": "no scenario of the run is about it"}
    said = [(s, *judge(row["id"], s["outcomes"].get(target))) for s in proving]
    order = list(VERDICTS)
    return {"verdict": min((v for _, v, _ in said), key=order.index),
            "scenarios": [s["path"] for s in proving], "reason": "",
            "deviations": [{"scenario": s["path"], "where": d["where"],
                            "got": d["got"], "why": d.get("why", ""),
                            "issues": ""} for s, _, ds in said for d in ds]}


def requirements(rows, table, targets, runs):
    """Add "cells" to each requirement."""
    proving, whole = {}, stored(runs)
    for s in table.values():
        for name in s["proves"]:
            proving.setdefault(name, []).append(s)
    for row in rows:
        mine, got = proving.get(row["id"], []), whole.get(row["id"], {})
        row["cells"] = {t: cell_of_stored(got[t]) if t in got
                        else cell_of_parts(row, mine, t) for t in targets}
        seen = {(c["verdict"], *sorted({same(d["got"]) for d in c["deviations"]}))
                for c in row["cells"].values()}
        row["differs"] = len(seen) > 1
    return rows


def same(got):
    """A reply without what is another each time, such as a message's id."""
    return re.sub(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{8}\b", "(id)", got)


def deviations(rows):
    """Requirement by requirement what is done instead, and who does it."""
    found = []
    for row in rows:
        groups = {}
        for target, cell in row["cells"].items():
            for d in cell["deviations"]:
                key = (cell["verdict"], same(d["got"]), d["why"])
                groups.setdefault(key, {})[target] = True
        if groups:
            found.append({
                "id": row["id"], "level": row["level"], "text": row["text"],
                "severity": row["severity"],
                "instead": [{"verdict": verdict, "got": got, "why": why,
                             "targets": list(who)}
                            for (verdict, got, why), who in groups.items()]})
    order = ("must", "should", "info")
    return sorted(found, key=lambda d: (order.index(d["severity"]), d["id"]))


def count(rows, targets):
    """{target: {verdict: how many, severity: how many deviate}}"""
    counts = {}
    for t in targets:
        n = counts[t] = dict.fromkeys([*VERDICTS, "must", "should", "info"], 0)
        for row in rows:
            v = row["cells"][t]["verdict"]
            n[v] += 1
            if v in (DEVIATES, NEW):
                n[row["severity"]] += 1
    return counts


# --- everything else -------------------------------------------------------------------

def bugs(results):
    """Bug by detector."""
    data = load(results / "bugs.json", ("complete", "rows"))
    if data is None:
        return None
    rows = {}
    for r in data["rows"]:
        row = rows.setdefault((r["bug"], r["detector"]), {
            "bug": r["bug"], "what": r.get("what", ""), "kind": r["kind"],
            "detector": r["detector"], "oracle": r["oracle"], "versions": {}})
        row["versions"][r["version"]] = {
            "status": r["status"], "native": r["native"],
            "caught": r.get("caught"), "of": r.get("of"),
            "seconds": r.get("seconds"), "got": r.get("got") or "",
            "noise": len(r.get("noise", [])), "reason": r.get("reason", "")}
    ids = {r["bug"] for r in data["rows"]}
    caught = {r["bug"] for r in data["rows"] if r["status"] == "caught"}
    return {"complete": data["complete"], "seeds": data.get("seeds"),
            "caught": len(caught), "of": len(ids),
            "silent": all(not v["noise"] for r in rows.values()
                          for v in r["versions"].values()),
            "rows": list(rows.values())}


def kills(results):
    data = load(results / "kill.json")
    return None if data is None else \
        [r for r in data if r.get("runs") and not r.get("skipped")]


def hunts(results, findings):
    """What "hunt" has kept of itself, and how long ci/hunt-bench's took to find."""
    found = [load(p, ("scenario", "runs", "findings"))
             for p in sorted(findings.glob("hunt-*.json"))]
    rows = [{k: h.get(k) for k in ("scenario", "target", "seconds", "runs")} |
            {"found": "; ".join(f.get("signature", "") for f in h["findings"])}
            for h in found]
    seeds = {}
    for key, row in (load(results / "hunt-bench.json") or {}).items():
        if key.startswith("hunt ") and row:
            seeds.setdefault(key.split(" ")[1], []).append(row)
    for target, tries in seeds.items():
        after = [r["found"][0]["after_seconds"] for r in tries if r["found"]]
        text = f"with {len(after)} of {len(tries)} seeds"
        if after:
            text += f", the median after {statistics.median(after):.1f} s"
        rows.append({"scenario": "ci/hunt-bench", "target": target, "found": text,
                     "seconds": sum(r["seconds"] for r in tries),
                     "runs": sum(r["runs"] for r in tries)})
    return rows or None


def leaks(results):
    """Each with what was sampled: {process: {unit: [[sessions, value], ...]}}."""
    found = []
    for path in sorted(results.glob("leak*.json")):
        data = load(path)
        for one in data if isinstance(data, list) else [data]:
            if not isinstance(one, dict) or "rows" not in one:
                continue
            found.append({k: one.get(k) for k in (
                "engine", "scenario", "filter", "target", "sessions", "seconds",
                "rows", "repeat", "bug")} |
                {"curves": curves(one.get("samples") or [])})
    return found or None


def curves(samples):
    found = {}
    for s in samples:
        for p in s.get("procs", []):
            unit = "bytes" if "bytes" in p else "rss"
            value = p.get(unit)
            if value is not None:
                found.setdefault(p["process"], {}).setdefault(unit, []).append(
                    [s["sessions"], value * (1024 if unit == "rss" else 1)])
    return found


def fuzzing(results, nights):
    """Fuzz targets: what the nights found, what is reached, how fast they are."""
    rows, spent, findings = {}, {}, []
    for path in sorted(nights.glob("*/state.json")):
        state, spec = load(path, ("pairs", "edges")), path.parent.name
        spent[spec] = state.get("spent", 0)
        findings += [dict(f, target=spec) for f in state.get("findings", [])]
        for pair, p in state["pairs"].items():
            name, engine = pair.split(" ")
            row = rows.setdefault((spec, name), {"target": spec, "name": name,
                                                 "engines": {}})
            row["engines"][engine] = p
            row["edges"] = state["edges"].get(name, [])
    coverage = load(results / "coverage.json", ("targets", "files"))
    reached = {n: [t["reached"], t["lines"]]
               for n, t in (coverage or {}).get("targets", {}).items()}
    bench = load(results / "fuzz-bench.json", ("median",)) or {}
    if not rows and not reached and not bench:
        return None
    return {"rows": list(rows.values()), "spent": spent, "findings": findings,
            "reached": reached, "files": (coverage or {}).get("files", {}),
            "rates": bench.get("median", {}), "bench_target": bench.get("target")}


def latency(results):
    return load(results / "latency.json", ("rows",))


def servers(results):
    """Scenario by scenario what others do, where any of them deviates."""
    data = load(results / "servers.json", ("servers", "scenarios"))
    if data is None:
        return None
    names = [s["name"] for s in data["servers"]]
    rows, counts = [], {n: {} for n in names}
    for path, s in data["scenarios"].items():
        for n in names:
            v = s["results"].get(n, {}).get("verdict", "skip")
            counts[n][v] = counts[n].get(v, 0) + 1
        if any(r["verdict"] == "deviates" for r in s["results"].values()):
            rows.append({"path": path, "title": s["title"], "proves": s["proves"],
                         "results": s["results"]})
    return {"servers": data["servers"], "counts": counts,
            "scenarios": len(data["scenarios"]), "rows": rows}


def speed(results):
    data = load(results / "bench.json", ("rows",))
    return data and {"peer": data.get("peer"), "postfix": data.get("postfix"),
                     "machine": data.get("machine"),
                     "rows": [{k: v for k, v in r.items() if k != "samples"}
                              for r in data["rows"]]}


# --- the gists: what is opened from a cell -----------------------------------------

def gist(end):
    """[[microseconds, actor, direction, text]], in the order of time."""
    lines = end.get("gist") or [[l["t"], l["actor"], l["dir"], l["text"]]
                                for l in end.get("transcript", [])]
    return sorted(lines[:300], key=lambda l: l[0])


def gists(runs):
    """{"text": {path: scenario}, "said": {path: {target: lines}}}"""
    text, said = {}, {}
    for run in runs:
        for end in run.ends:
            said.setdefault(end["path"], {})[end["target"]] = gist(end)
            if end.get("source"):
                text[end["path"]] = end["source"]
    return {"text": text, "said": said}


# --- what changed ----------------------------------------------------------------------

def cells_of(report):
    for row in report.get("requirements", []):
        for target, cell in row["cells"].items():
            yield ("requirement", row["id"], target), \
                (cell["verdict"], "; ".join(sorted({same(d["got"]) for d in
                                                    cell["deviations"]})))
    for s in report.get("scenarios", []):
        for target, o in s["outcomes"].items():
            yield ("scenario", s["path"], target), (o["verdict"], "")
    for row in (report.get("bugs") or {}).get("rows", []):
        for version, v in row["versions"].items():
            yield ("bug", row["bug"], version), (v["status"], "")
    for r in report.get("kills") or []:
        yield ("kill script", r["script"], r["target"]), \
            (f"died in {r['died']} of {r['runs']}", "")


def changes(old, new):
    """What both have and is not the same, and how much only one of them has."""
    was, now = dict(cells_of(old)), dict(cells_of(new))
    rows = [{"kind": k[0], "what": k[1], "target": k[2],
             "was": was[k][0], "was_reply": was[k][1],
             "now": now[k][0], "now_reply": now[k][1]}
            for k in now if k in was and was[k] != now[k]]
    return {"with": {k: old.get(k) for k in ("made", "commit", "runs")},
            "rows": rows, "added": len(now.keys() - was.keys()),
            "gone": len(was.keys() - now.keys()),
            "same": len(now.keys() & was.keys()) - len(rows)}
