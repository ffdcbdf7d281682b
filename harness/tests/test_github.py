"""The workflows and the action: would GitHub take them, and do they fit this tree?

actionlint is asked where there is one; what is here without it, is here.
"""

import pathlib
import re
import shutil
import subprocess

import pytest

yaml = pytest.importorskip("yaml", reason="no python3-yaml")
jsonschema = pytest.importorskip("jsonschema", reason="no python3-jsonschema")

TOP = pathlib.Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((TOP / ".github" / "workflows").glob("*.yml"))
ACTION = TOP / "action.yml"
EVERY = [*WORKFLOWS, ACTION]

TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": {"type": ["string", "number",
                                                             "boolean"]}}
STEP = {
    "type": "object", "additionalProperties": False,
    "properties": {"name": TEXT, "id": TEXT, "if": TEXT, "uses": TEXT, "run": TEXT,
                   "shell": TEXT, "with": TEXTS, "env": TEXTS,
                   "continue-on-error": {"type": "boolean"},
                   "timeout-minutes": {"type": "integer"}},
    "oneOf": [{"required": ["uses"]}, {"required": ["run"]}]}
INPUTS = {"type": "object", "additionalProperties": {
    "type": "object", "additionalProperties": False, "required": ["description"],
    "properties": {"description": TEXT, "default": TEXT,
                   "required": {"type": "boolean"}}}}
JOB = {
    "type": "object", "additionalProperties": False,
    "required": ["runs-on", "steps"],
    "properties": {
        "runs-on": {"const": "ubuntu-latest"}, "name": TEXT, "if": TEXT,
        "container": {"anyOf": [TEXT, {
            "type": "object", "additionalProperties": False,
            "required": ["image"],
            "properties": {"image": TEXT, "options": TEXT, "env": TEXTS}}]},
        "needs": {"type": "array", "items": TEXT}, "env": TEXTS,
        "timeout-minutes": {"type": "integer", "maximum": 360},
        "steps": {"type": "array", "minItems": 1, "items": STEP}}}
WORKFLOW = {
    "type": "object", "additionalProperties": False,
    "required": ["name", "on", "permissions", "jobs"],
    "properties": {
        "name": TEXT,
        "on": {"type": "object", "additionalProperties": False, "minProperties": 1,
               "properties": {
                   "push": {}, "pull_request": {},
                   "workflow_dispatch": {"anyOf": [{"type": "null"}, {
                       "type": "object", "properties": {"inputs": INPUTS}}]},
                   "schedule": {"type": "array", "items": {
                       "type": "object", "required": ["cron"], "properties": {
                           "cron": {"pattern": r"^([\d*/,-]+ ){4}[\d*/,-]+$"}}}}}},
        "permissions": {"const": {"contents": "read"}},
        "concurrency": TEXTS, "env": TEXTS,
        "jobs": {"type": "object", "minProperties": 1,
                 "additionalProperties": JOB}}}
COMPOSITE = {
    "type": "object", "additionalProperties": False,
    "required": ["name", "description", "runs"],
    "properties": {
        "name": TEXT, "description": TEXT, "author": TEXT, "inputs": INPUTS,
        "branding": TEXTS,
        "outputs": {"type": "object", "additionalProperties": {
            "type": "object", "required": ["description", "value"]}},
        "runs": {"type": "object", "additionalProperties": False, "properties": {
            "using": {"const": "composite"},
            "steps": {"type": "array", "items": {"allOf": [
                STEP, {"if": {"required": ["run"]},
                       "then": {"required": ["shell"]}}]}}}}}}

CONTEXTS = {"github", "inputs", "steps", "env", "needs", "job", "runner"}


def read(path):
    data = yaml.safe_load(path.read_text())
    if True in data:                    # YAML 1.1 reads "on" as a truth
        data["on"] = data.pop(True)
    return data


def steps(data):
    if "runs" in data:
        return data["runs"]["steps"]
    return [s for job in data["jobs"].values() for s in job["steps"]]


def name(path):
    return path.name


@pytest.mark.parametrize("path", EVERY, ids=name)
def test_schema(path):
    jsonschema.Draft7Validator(COMPOSITE if path == ACTION else WORKFLOW).validate(
        read(path))


@pytest.mark.parametrize("path, was, now", [
    (WORKFLOWS[0], "steps:", "step:"), (WORKFLOWS[0], "runs-on:", "run-on:"),
    (WORKFLOWS[0], "      - name: make check\n        run:",
     "      - name: make check\n        ruin:"),
    (ACTION, "      shell: sh\n", ""), (ACTION, "composite", "docker")],
    ids=["steps", "runs-on", "run", "shell", "using"])
def test_the_schema_objects(tmp_path, path, was, now):
    text = path.read_text()
    assert was in text
    bad = tmp_path / "bad.yml"
    bad.write_text(text.replace(was, now, 1))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(
            COMPOSITE if path == ACTION else WORKFLOW).validate(read(bad))


@pytest.mark.parametrize("path", EVERY, ids=name)
def test_expressions(path):
    """They name contexts there are, inputs and steps that are declared."""
    data, text = read(path), path.read_text()
    inputs = data.get("inputs") or ((data.get("on") or {}).get(
        "workflow_dispatch") or {}).get("inputs") or {}
    ids = {s["id"] for s in steps(data) if "id" in s}
    for e in re.findall(r"\$\{\{(.*?)\}\}", text):
        for context, member in re.findall(r"(?<![\w.])([a-z]+)\.([\w-]+)",
                                          re.sub(r"'[^']*'", "", e)):
            assert context in CONTEXTS, e
            assert context != "inputs" or member in inputs, e
            assert context != "steps" or member in ids, e
    # what comes from outside goes through the environment, not into the shell
    for step in steps(data):
        assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("path", EVERY, ids=name)
def test_commands(path):
    """Each script is a shell's, and what it makes can be made."""
    makefile = (TOP / "Makefile").read_text()
    for step in steps(read(path)):
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
            continue
        subprocess.run(["sh", "-n"], input=step["run"], text=True, check=True)
        for target in re.findall(r"\bmake ([a-z-]+)", step["run"]):
            if target != "install":
                assert re.search(rf"^{target}:", makefile, re.M), target
        for script in re.findall(r"(?<![\w/])\.?ci/\w+", step["run"]):
            assert (TOP / script).exists(), script


def test_needs():
    for path in WORKFLOWS:
        jobs = read(path)["jobs"]
        for job in jobs.values():
            assert set(job.get("needs", [])) <= set(jobs)


def test_readme_has_the_ten_lines():
    """Who copies them has a workflow, and gives no input that is not there."""
    text = (TOP / "README.md").read_text()
    block = next(b for b in re.findall(r"```yaml\n(.*?)```", text, re.S)
                 if "smtpdtest@" in b)
    assert block.count("\n") == 10
    data = yaml.safe_load(block)
    use = next(s for s in data["jobs"]["smtpdtest"]["steps"]
               if "smtpdtest@" in s["uses"])
    assert set(use.get("with", {})) <= set(read(ACTION)["inputs"])
    assert "--privileged" in data["jobs"]["smtpdtest"]["container"]["options"]


def test_actionlint():
    lint = shutil.which("actionlint")
    if not lint:
        pytest.skip("there is no actionlint here; the schema has been checked")
    done = subprocess.run([lint, *WORKFLOWS], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout
