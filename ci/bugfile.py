"""The files of fixtures/bugs: reading them, and putting an edit into a source.

The format is described in fixtures/bugs/README.md.
"""

import hashlib
import pathlib
import re
import tarfile

TOP = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("fixtures/bugs", "fixtures/planted", "harness/tests/bugs")
VERSIONS = ("6.8.0p2", "7.6.0p1", "7.9.0p0")
KINDS = ("script", "oracle", "filter", "race", "leak", "fuzz", "unit", "build")
ORACLES = ("scenario", "start", "crash", "grammar", "replies", "accounting",
           "clean", "secret", "any")
FILTERS = "fixtures/filters/"
SMTPD = "usr.sbin/smtpd/"       # where a file without a slash is

# An operation: what it needs beside its anchor.
OPERATIONS = {
    "delete": None, "delete-statement": None, "replace": "with",
    "insert-before": "text", "insert-after": "text", "insert-first": "text",
}


class BugError(Exception):
    """A sentence that begins with the place."""


class Edit:
    def __init__(self, where, versions, file, function):
        self.where = where
        self.versions = versions
        self.file = file if "/" in file else SMTPD + file
        self.function = function
        self.past = self.anchor = self.through = self.operation = None
        self.text = []

    def place(self):
        what = "the whole file" if self.function == "*" else \
            f"function {self.function}"
        return f"{self.where}: {self.file}, {what}"

    def fail(self, why):
        raise BugError(f"{self.place()}: {why}")


class Bug:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.id = self.path.stem
        self.fields = {}            # name: [(versions or None, value, line)]
        self.edits = []

    def where(self, line=None):
        try:
            shown = self.path.resolve().relative_to(TOP)
        except ValueError:
            shown = self.path
        return f"{shown}:{line}" if line else str(shown)

    def all(self, name, version=None):
        """The values of a field; those for this version before the others."""
        rows = self.fields.get(name, [])
        own = [v for vs, v, _ in rows if vs is not None and version in vs]
        return own or [v for vs, v, _ in rows if vs is None]

    def one(self, name, version=None, default=None):
        values = self.all(name, version)
        return values[-1] if values else default

    def words(self, name, version=None):
        return " ".join(self.all(name, version)).split()

    @property
    def what(self):
        return " ".join(self.all("what"))

    @property
    def versions(self):
        """All it is measured on, the newest first."""
        both = set(self.words("versions")) | set(self.words("native"))
        return [v for v in reversed(VERSIONS) if v in both]

    def is_native(self, version):
        return version in self.words("native")

    def good(self, version):
        """The later release that no longer has what this one has by nature."""
        native = self.words("native")
        later = [v for v in VERSIONS[VERSIONS.index(version):]
                 if v not in native]
        return self.one("good", version, later[0] if later else None)

    @property
    def filter(self):
        """The filter of fixtures/filters it is put into, or None."""
        return self.one("filter")

    def symptom(self, version):
        return re.compile(self.one("symptom", version)[1:-1], re.M)

    def edits_for(self, version):
        return [e for e in self.edits
                if e.versions is None or version in e.versions]

    def nearest(self, version):
        """A tree of another version is edited like the last one before it."""
        known = sorted(self.words("versions"), key=numbers)
        fit = [v for v in known if numbers(v) <= numbers(version)]
        if not fit:
            raise BugError(f"{self.where()}: there is no edit for {version}, "
                           f"only for {' '.join(known) or 'none'}")
        return fit[-1]

    def key(self, version):
        """What a build with this bug depends on."""
        text = repr([(e.file, e.function, e.past, e.operation, e.anchor,
                      e.through, e.text) for e in self.edits_for(version)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def numbers(version):
    return [int(n) for n in re.findall(r"\d+", version)]


# --- reading ------------------------------------------------------------------

FIELDS = {"id", "what", "kind", "versions", "native", "good", "check", "detect",
          "target", "filter", "oracle", "symptom", "rate", "fuzz", "later",
          "unseen"}


def load(path):
    bug = Bug(path)
    edit = None
    try:
        lines = bug.path.read_text().splitlines()
    except OSError as e:
        raise BugError(f"{path}: {e.strerror}") from None
    for n, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        word, _, value = line.partition(" ")
        value = value.strip()
        word, at, vs = word.partition("@")
        versions = vs.split(",") if at else None
        where = bug.where(n)
        for v in versions or []:
            if v not in VERSIONS:
                raise BugError(f"{where}: '{v}' is none of {' '.join(VERSIONS)}")
        if word == "edit":
            if len(value.split()) != 2:
                raise BugError(f"{where}: expected: edit FILE FUNCTION")
            edit = Edit(where, versions, *value.split())
            bug.edits.append(edit)
        elif word in FIELDS:
            bug.fields.setdefault(word, []).append((versions, value, n))
        elif edit is None or at or not edit_line(edit, word, value):
            raise BugError(f"{where}: '{word}' is neither a field nor a part "
                           "of an edit")
    check_fields(bug)
    return bug


def edit_line(edit, word, value):
    if word in OPERATIONS:
        if edit.operation:
            edit.fail("a second operation: begin another edit")
        edit.operation, edit.anchor = word, value
        if bool(value) == (word == "insert-first"):
            edit.fail(f"{word} takes {'no' if value else 'an'} anchor")
    elif word in ("with", "text") and OPERATIONS.get(edit.operation) == word:
        edit.text.append(value)
    elif word == "past" and value and not edit.operation and not edit.past:
        edit.past = value
    elif word == "through" and value and \
            edit.operation in ("delete", "replace") and not edit.through:
        edit.through = value
    else:
        return False
    return True


def check_fields(bug):
    def need(ok, why):
        if not ok:
            raise BugError(f"{bug.where()}: {why}")

    need(bug.one("id") == bug.id, f"the id has to be {bug.id}, as the file's name")
    need(bug.what, "what: missing")
    need(bug.one("kind") in KINDS, f"kind: one of {' '.join(KINDS)}")
    for name in ("versions", "native", "good"):
        for v in bug.words(name):
            need(v in VERSIONS, f"{name}: '{v}' is none of {' '.join(VERSIONS)}")
    need(bug.versions, "versions or native: missing")
    need(not set(bug.words("versions")) & set(bug.words("native")),
         "a version stands in versions and in native")
    for edit in bug.edits:
        if not edit.operation:
            edit.fail("no operation")
        wants = OPERATIONS[edit.operation]
        if wants and not edit.text:
            edit.fail(f"{edit.operation} without '{wants}'")
    for v in bug.words("versions"):
        need(bug.edits_for(v), f"no edit applies to {v}")
    if bug.filter:
        source = f"{FILTERS}{bug.filter}.c"
        need((TOP / source).is_file(), f"filter: there is no {source}")
        need(not bug.words("native"), "filter: no version has it by nature")
        for edit in bug.edits:
            need(edit.file == source, f"an edit of a filter is one of {source}")
    need(bug.one("check", default="no") in ("yes", "no"), "check: yes or no")
    for name in {w for v in VERSIONS for w in bug.words("fuzz", v)}:
        need((TOP / "fuzz" / f"{name}.c").exists(),
             f"fuzz: there is no fuzz target {name}")
    if bug.one("later") or bug.one("unseen"):
        return
    for v in bug.versions:
        check_detector(bug, v, need)


def check_detector(bug, v, need):
    for d in bug.all("detect", v):
        need(re.match(r"(run|sh) \S|fuzz \S+( \d+)?$|"
                      r"leak (growth|valgrind) [1-9]\d* \S+$", d), "detect: expected "
             "run PATH..., sh COMMAND, fuzz TARGET [SECONDS] or leak ENGINE "
             f"SESSIONS SCENARIO: {d}")
        need(not d.startswith("fuzz ") or
             (TOP / "fuzz" / f"{d.split()[1]}.c").exists(),
             f"detect: there is no fuzz target: {d}")
        for path in d.split()[1:] if d.startswith("run ") else \
                d.split()[3:] if d.startswith("leak ") else []:
            need((TOP / path).exists(), f"detect: there is no {path}")
    need(bug.all("detect", v), f"no detect for {v}, nor later nor unseen")
    need(bug.words("oracle", v), f"no oracle for {v}")
    for o in bug.words("oracle", v):
        need(o in ORACLES, f"oracle: '{o}' is none of {' '.join(ORACLES)}")
    symptom = bug.one("symptom", v, "")
    need(len(symptom) > 2 and symptom[0] == symptom[-1] == "/",
         f"no symptom /regex/ for {v}")
    try:
        bug.symptom(v)
    except re.error as e:
        need(False, f"symptom {symptom}: {e}")
    need(bug.one("target", v, "") in ("", "+asan"), "target: only +asan")
    need(re.fullmatch(r"[1-9]\d*/[1-9]\d*", bug.one("rate", v, "5/5")),
         "rate: expected as in 3/5")
    need(not bug.is_native(v) or bug.good(v),
         f"no later release is without it: good@{v} missing")


def find(name):
    """The file of a bug by its id; a path is itself."""
    if name.endswith(".bug"):
        return name
    for folder in FOLDERS:
        path = TOP / folder / f"{name}.bug"
        if re.fullmatch(r"[a-z0-9-]+", name) and path.exists():
            return path
    raise BugError(f"there is no bug '{name}' in {' or '.join(FOLDERS)}")


def load_all(folder=FOLDERS[0]):
    return [load(p) for p in sorted((TOP / folder).glob("*.bug"))]


# --- editing ------------------------------------------------------------------

def masked(text):
    """The text with comments and literals blanked, as long as before."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group())
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'
                  r"'(?:\\.|[^'\\\n])+'", blank, text, flags=re.S)


def closing(code, at):
    """Behind the bracket that closes the one at this place."""
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] in "([{") - (code[i] in ")]}")
        if depth == 0:
            return i + 1
    return None


def body(edit, text):
    """Where the function's body is, without its braces."""
    if edit.function == "*":
        return 0, len(text)
    code = masked(text)
    found = []
    for m in re.finditer(r"^(?:[A-Za-z_][\w \t*]*[ \t*])?" +
                         re.escape(edit.function) + r"\s*\(", code, re.M):
        end = closing(code, m.end() - 1)
        brace = re.compile(r"[^;{}()=,#]*\{").match(code, end) if end else None
        close = code.find("\n}", brace.end()) if brace else -1
        if close != -1:
            found.append((brace.end(), close + 1))
    if len(found) != 1:
        edit.fail("there is no such function" if not found else
                  f"is defined {len(found)} times")
    return found[0]


def pattern(anchor):
    """Blanks match any blanks, names whole names only."""
    p = r"\s+".join(re.escape(w) for w in anchor.split())
    if re.match(r"\w", anchor):
        p = r"(?<!\w)" + p
    if re.search(r"\w$", anchor):
        p += r"(?!\w)"
    return re.compile(p)


def locate(edit, text, start, end, anchor, first=False):
    found = list(pattern(anchor).finditer(text, start, end))
    if not found:
        edit.fail(f"the anchor is gone: {anchor}")
    if len(found) > 1 and not first:
        edit.fail(f"the anchor is there {len(found)} times: {anchor}")
    return found[0].start(), found[0].end()


def statement_end(code, i):
    """Behind the C statement that begins here."""
    i += len(code[i:]) - len(code[i:].lstrip())
    if code[i] == "{":
        return closing(code, i)
    word = re.compile(r"(if|while|for|switch|do|else)\b\s*").match(code, i)
    if not word:
        while code[i] != ";":
            i = closing(code, i) if code[i] in "([{" else i + 1
        return i + 1
    if word[1] in ("do", "else"):
        i = statement_end(code, word.end())
        return code.index(";", i) + 1 if word[1] == "do" else i
    i = statement_end(code, closing(code, word.end()))
    other = re.compile(r"\s*else\b").match(code, i)
    return statement_end(code, other.end()) if word[1] == "if" and other else i


def whole_statement(edit, text, start):
    code = masked(text)
    before = code[:start].rstrip()
    if not re.search(r"([;{}):]|\b(else|do))\Z", before):
        edit.fail(f"no statement begins with the anchor: {edit.anchor}")
    try:
        return statement_end(code, start)
    except (IndexError, TypeError, ValueError):
        edit.fail(f"cannot see where the statement ends: {edit.anchor}")


def apply(edit, text):
    start, end = body(edit, text)
    added = "\n".join(edit.text)
    if edit.past:
        start = locate(edit, text, start, end, edit.past)[1]
    if edit.operation == "insert-first":
        return f"{text[:start]}\n{added}\n{text[start:]}"
    a, b = locate(edit, text, start, end, edit.anchor, bool(edit.past))
    if edit.through:
        b = locate(edit, text, b, end, edit.through, True)[1]
    if edit.operation == "insert-before":
        return f"{text[:a]}{added}\n{text[a:]}"
    if edit.operation == "insert-after":
        return f"{text[:b]}\n{added}\n{text[b:]}"
    if edit.operation == "delete-statement":
        # an empty one stays: it may be all there is after an if
        return f"{text[:a]};{text[whole_statement(edit, text, a):]}"
    return text[:a] + added + text[b:]


def apply_all(bug, version, read):
    """The edited files, {path: text}; read(path) gives the original."""
    files = {}
    for edit in bug.edits_for(version):
        try:
            text = files.get(edit.file) or read(edit.file)
        except (OSError, KeyError):
            edit.fail("there is no such file")
        files[edit.file] = apply(edit, text)
    return files


class Tarball:
    """The source of a release, as ci/target has fetched it."""

    def __init__(self, version):
        self.tar = tarfile.open(TOP / "build" / "dl" /
                                f"opensmtpd_{version}.orig.tar.gz")
        self.members = {m.name.partition("/")[2]: m for m in self.tar}

    def read(self, path):
        return self.tar.extractfile(self.members[path]).read().decode("latin-1")
