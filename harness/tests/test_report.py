"""make report: what is in the page, and that a person can use it.

fixtures/results has what a few scenarios on three versions, and every other tool,
have left; the browser is headless Chromium.
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = TOP / "fixtures" / "results"
BAD = "scenarios/rfc1870/6-bad-parameter.smtp"


def report(tmp, *args, results=FIXTURES):
    return subprocess.run(
        [TOP / "ci" / "report", "--results", results, "--out", tmp / "out",
         "--nights", results / "night", "--findings", tmp / "none", "--history",
         tmp / "history", *args],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def made(tmp, *args, results=FIXTURES):
    done = report(tmp, *args, results=results)
    assert done.returncode == 0, done.stderr
    return json.loads((tmp / "out" / "report.json").read_text()), \
        (tmp / "out" / "index.html").read_text()


@pytest.fixture
def results(tmp_path):
    """A copy to be spoilt."""
    return pathlib.Path(shutil.copytree(FIXTURES, tmp_path / "results"))


def events(results):
    return (results / "run.json").read_text().splitlines(keepends=True)


def cell(data, name, target):
    return next(r for r in data["requirements"] if r["id"] == name)["cells"][target]


# --- what is in it --------------------------------------------------------------------

def test_all_parts(tmp_path):
    data, page = made(tmp_path)
    assert data["partial"] == []
    assert cell(data, "1870-004", "7.9.0p0")["verdict"] == "deviates"
    assert cell(data, "1870-004", "7.9.0p0")["deviations"][0]["where"].startswith(BAD)
    assert cell(data, "5321-019", "6.8.0p2")["verdict"] == "conforms"
    counts = data["counts"]["7.9.0p0"]
    assert counts["conforms"] + counts["deviates"] > 5
    assert counts["deviates"] == counts["must"] + counts["should"] + counts["info"]
    for part in ("bugs", "kills", "leaks", "fuzz", "latency", "servers"):
        assert data[part], part
    assert len(data["servers"]["rows"]) == 4 and "Postfix" in page
    assert "Not measured" not in page
    assert "503 5.5.4 Invalid command arguments" in page
    assert len(page) < 5 << 20


def test_hunts(tmp_path, results):
    """One that found, one that did not, and the seeds of ci/hunt-bench."""
    found = tmp_path / "findings"
    found.mkdir()
    for i, signatures in enumerate((["crash: dispatcher"], [])):
        (found / f"hunt-0000000{i}.json").write_text(json.dumps({
            "scenario": f"{i}.smtp", "target": "7.9.0p0", "seconds": 60, "runs": 9,
            "findings": [{"signature": s} for s in signatures]}))
    (results / "hunt-bench.json").write_text(json.dumps({
        "hunt X 1": {"runs": 5, "seconds": 9, "found": [{"after_seconds": 8}]},
        "hunt X 2": {"runs": 7, "seconds": 60, "found": []},
        "shrink X 2": None}))
    data, page = made(tmp_path, "--findings", found, results=results)
    assert [(h["runs"], h["found"]) for h in data["hunts"]] == [
        (9, "crash: dispatcher"), (9, ""),
        (12, "with 1 of 2 seeds, the median after 8.0 s")]
    assert "with 1 of 2 seeds" in page


def test_nothing_from_elsewhere(tmp_path):
    """Whoever opens it asks no server for anything."""
    _, page = made(tmp_path)
    assert "default-src 'none'" in page
    for word in ("src=\"http", "href=\"http", "url(", "@import", "<link"):
        assert word not in page, word


def test_what_is_said_is_never_markup(tmp_path, results):
    text = "".join(events(results)).replace("503 5.5.4 Invalid",
                                            "<script>alert(1)</script>")
    (results / "run.json").write_text(text)
    _, page = made(tmp_path, results=results)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_rest_is_not_measured(tmp_path, results):
    for path in results.iterdir():
        if path.is_file() and path.name != "run.json":
            path.unlink()
    shutil.rmtree(results / "night")
    data, page = made(tmp_path, results=results)
    assert data["bugs"] is None and data["fuzz"] is None
    assert page.count("Not measured") == 5


# --- interrupted runs ---------------------------------------------------------------

@pytest.mark.parametrize("spoil, why", [
    (lambda lines: lines[:4], "interrupted: 3 of"),
    (lambda lines: lines[:4] + [lines[4][:50]], "interrupted: 3 of"),
    (lambda lines: lines[:-1], "killed before it could sum up"),
    (lambda lines: lines[:-1] + [lines[-1].replace(
        '"interrupted":false', '"interrupted":true')], "was interrupted"),
], ids=["missing", "torn", "killed", "told"])
def test_partial(tmp_path, results, spoil, why):
    (results / "run.json").write_text("".join(spoil(events(results))))
    data, page = made(tmp_path, results=results)
    assert why in data["partial"][0]
    assert "This report is partial" in page


def test_without_the_end_scenarios_tell(tmp_path, results):
    """Verdicts are the driver's; without them, what its scenarios came to."""
    whole, _ = made(tmp_path)
    (results / "run.json").write_text("".join(events(results)[:-1]))
    parts, _ = made(tmp_path, results=results)
    for row in whole["requirements"]:
        for target, c in row["cells"].items():
            if c["verdict"] in ("conforms", "deviates", "new deviation"):
                assert cell(parts, row["id"], target)["verdict"] == c["verdict"]


def test_interrupted_bugs(tmp_path, results):
    path = results / "bugs.json"
    path.write_text(path.read_text().replace('"complete": true', '"complete": false'))
    assert "bugs" in made(tmp_path, results=results)[0]["partial"][0]


# --- bad input ------------------------------------------------------------------------

@pytest.mark.parametrize("name, text, says", [
    ("run.json", '{"event": "run-start"}\n{"event" 3}\n{}\n', "run.json:2:10: "),
    ("run.json", '{"events": 1}\n{}\n', "run.json:1:1: not an event"),
    ("bugs.json", '{"complete":\n nix}', "bugs.json:2:2: "),
    ("bugs.json", "[]", 'has no "complete"'),
], ids=["line", "event", "json", "other"])
def test_bad_file(tmp_path, results, name, text, says):
    (results / name).write_text(text)
    done = report(tmp_path, results=results)
    assert done.returncode == 2
    assert says in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_results(tmp_path):
    (tmp_path / "none").mkdir()
    done = report(tmp_path, results=tmp_path / "none")
    assert done.returncode == 2
    assert "there are no results" in done.stderr


# --- what changed ---------------------------------------------------------------------

def later(results):
    """The same on another day, when one deviation was new and a bug missed."""
    lines = events(results)
    start = json.loads(lines[0])
    start["time"] += 86400
    end = json.loads(lines[-1])
    end["requirements"]["5321-019"]["targets"]["7.9.0p0"].update(
        verdict="deviates", pinned=False, deviations=[{
            "scenario": "x.smtp", "where": "x.smtp:1:1", "got": "250 Why not"}])
    (results / "run.json").write_text("".join(
        [json.dumps(start) + "\n", *lines[1:-1], json.dumps(end) + "\n"]))
    path = results / "bugs.json"
    path.write_text(path.read_text().replace('"status": "caught"',
                                             '"status": "missed"', 1))


def changed(data):
    return sorted((c["kind"], c["was"], c["now"]) for c in data["changes"]["rows"])


CHANGES = [("bug", "caught", "missed"),
           ("requirement", "conforms", "new deviation")]


def test_history(tmp_path, results):
    assert made(tmp_path)[0]["changes"] is None
    assert made(tmp_path)[0]["changes"] is None         # still the same run
    later(results)
    data, page = made(tmp_path, results=results)
    assert changed(data) == CHANGES
    assert "250 Why not" in page
    assert len(list((tmp_path / "history").iterdir())) == 2


def test_compare(tmp_path, results):
    made(tmp_path, "--no-history")
    old = shutil.copy(tmp_path / "out" / "report.json", tmp_path / "old.json")
    later(results)
    assert changed(made(tmp_path, "--compare", old, results=results)[0]) == CHANGES
    assert report(tmp_path, "--compare", tmp_path / "no").returncode == 2


# --- in a browser -----------------------------------------------------------------------

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars")
SHOTS = os.environ.get("REPORT_SHOTS")      # a directory to leave pictures in


def chromium(profile):
    webdriver = pytest.importorskip("selenium.webdriver", reason="no python3-selenium")
    from selenium.webdriver.chrome.service import Service
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("Chromium cannot be had: nobody has looked at the page")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(driver))


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    tmp = tmp_path_factory.mktemp("browser")
    browser = chromium(tmp / "profile")
    made(tmp)
    browser.page = (tmp / "out" / "index.html").as_uri()
    yield browser
    browser.quit()


@pytest.fixture
def browser(started):
    """The page, opened anew on a screen of usual size."""
    started.get("about:blank")
    screen(started, 1280, 900)
    started.get_log("browser")
    started.get(started.page)
    yield started
    assert [e["message"] for e in started.get_log("browser")] == []


def screen(browser, width, height, scheme="light"):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": height, "deviceScaleFactor": 1,
        "mobile": width < 600})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
        "features": [{"name": "prefers-color-scheme", "value": scheme}]})


def find(browser, css):
    return browser.find_element("css selector", css)


def rows(browser):
    return browser.execute_script("return Array.from(document.querySelectorAll("
                                  "'#matrix tbody tr:not([hidden]'), (r) => r.id)")


def choose(browser, name, text):
    from selenium.webdriver.support.ui import Select
    Select(find(browser, f"select[name={name}]")).select_by_visible_text(text)


def press(browser, *keys):
    from selenium.webdriver import ActionChains
    ActionChains(browser).send_keys(*keys).perform()


def wait(browser, what):
    from selenium.webdriver.support.ui import WebDriverWait
    return WebDriverWait(browser, 60).until(lambda b: b.execute_script(what))


def picture(browser, name):
    data = base64.b64decode(browser.get_screenshot_as_base64())
    assert data.startswith(b"\x89PNG") and len(data) > 10000
    if SHOTS:
        pathlib.Path(SHOTS, name + ".png").write_bytes(data)


def test_filters(browser):
    everything = rows(browser)
    assert len(everything) > 300
    choose(browser, "verdict", "deviates")
    deviating = rows(browser)
    assert "r1870-004" in deviating and "r5321-019" not in deviating
    choose(browser, "rfc", "1870")
    assert set(rows(browser)) < set(deviating)
    assert all(r.startswith("r1870-") for r in rows(browser))
    choose(browser, "level", "SHOULD")
    choose(browser, "needs", "TLS")
    assert rows(browser) == []
    assert find(browser, "#none").is_displayed()
    find(browser, "#filter button").click()
    wait(browser, f"return document.getElementById('shown').textContent === "
                  f"'{len(everything)} requirements'")
    find(browser, "input[name=words]").send_keys("wrong order")
    assert 0 < len(rows(browser)) < 10
    assert browser.current_url.endswith("#?words=wrong+order")
    browser.refresh()                   # what is shown can be linked to
    assert 0 < len(rows(browser)) < 10


def test_each_filter(browser):
    """Alone, against the catalogue itself."""
    lines = (TOP / "scenarios" / "requirements.tsv").read_text().splitlines()
    table = [line.split("\t") for line in lines if line and line[0] != "#"]
    for name, text, shown in (
            ("level", "SHOULD", lambda q: q[1] == "SHOULD"),
            ("level", "MUST NOT", lambda q: q[1] == "MUST NOT"),
            ("rfc", "3461", lambda q: q[0].startswith("3461-")),
            ("needs", "TLS", lambda q: "L" in q[3].split()),
            ("verdict", "not testable", lambda q: len(q) > 6)):
        choose(browser, name, text)
        assert rows(browser) == ["r" + q[0] for q in table if shown(q)]
        find(browser, "#filter button").click()


def test_a_verdict_opens(browser):
    from selenium.webdriver.common.keys import Keys
    button = find(browser, "#r1870-004 button[data-target='7.9.0p0']")
    assert button.text == "deviates"
    button.click()
    wait(browser, "return document.querySelector('#cell-body .said')")
    body = find(browser, "#cell-body").text
    assert "1870-004 on 7.9.0p0" in find(browser, "#cell-title").text
    assert f"--target 7.9.0p0 --seed 0x0000000000000001 {BAD}" in body
    assert "syntax S: 503 5.5.4 Invalid command arguments" in body      # what was said
    assert "proves 1870-003 1870-004" in body                      # the scenario
    assert "known" in find(browser, "#cell-body pre mark").text or \
        "S:" in find(browser, "#cell-body pre mark").text
    picture(browser, "dialog")
    press(browser, Keys.ESCAPE)
    assert not find(browser, "#cell").is_displayed()
    assert browser.switch_to.active_element == button


def test_a_link_finds_its_row(browser):
    choose(browser, "rfc", "5321")
    assert "r1870-004" not in rows(browser)
    find(browser, "#deviations a[href='#r1870-004']").click()
    wait(browser, "return !document.getElementById('r1870-004').hidden")
    assert browser.current_url.endswith("#r1870-004")


def test_keyboard(browser):
    """Tab reaches the first verdict, arrows the others, Enter opens, Escape closes."""
    from selenium.webdriver.common.keys import Keys

    def focus():
        return browser.execute_script(
            "const a = document.activeElement, r = a.closest('tr');"
            "return [r && r.id, a.dataset.target || a.name || a.textContent]")

    choose(browser, "rfc", "1870")
    first = rows(browser)[0]
    for _ in range(12):
        press(browser, Keys.TAB)
        if focus() == [first, "7.9.0p0"]:
            break
    assert focus() == [first, "7.9.0p0"]
    press(browser, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert focus() == [rows(browser)[1], "7.6.0p1"]
    press(browser, Keys.ENTER)
    wait(browser, "return document.querySelector('#cell[open] #cell-body > *')")
    press(browser, Keys.ESCAPE)
    assert focus() == [rows(browser)[1], "7.6.0p1"]


@pytest.mark.parametrize("width, height, scheme", [
    (1280, 900, "light"), (1280, 900, "dark"), (360, 740, "light"), (360, 740, "dark")])
def test_it_fits(browser, width, height, scheme):
    """Nothing sticks out, and the text stands out, on each screen."""
    screen(browser, width, height, scheme)
    for details in browser.find_elements("css selector", "details"):
        browser.execute_script("arguments[0].open = true", details)
    wide, least = browser.execute_script(
        "const d = document.documentElement;"
        "return [d.scrollWidth - d.clientWidth, Math.min(...Array.from("
        "document.querySelectorAll('#matrix button'), (b) => b.offsetHeight))]")
    assert wide <= 0
    assert least >= (32 if width < 600 else 20)         # a finger's, a mouse's
    light = browser.execute_script(
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g)"
        ".reduce((a, b) => a + Number(b), 0)")
    assert (light < 200) == (scheme == "dark")
    picture(browser, f"{width}-{scheme}")


def test_paper(browser):
    data = base64.b64decode(browser.execute_cdp_cmd(
        "Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert data.startswith(b"%PDF") and len(data) > 50000
    pages = data.count(b"/Type /Page\n")
    assert 5 < pages < 30, "a table that is one on paper, too"
    if SHOTS:
        pathlib.Path(SHOTS, "paper.pdf").write_bytes(data)
