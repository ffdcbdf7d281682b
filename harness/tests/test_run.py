"""`smtpdtest run` and `list` from outside: exit codes, reports, interruption.

The other side is a server of ours, reached with --connect, so that every
outcome can be had at will and no daemon is needed.
"""

import json
import os
import re
import shlex
import signal
import socketserver
import subprocess
import threading
import time
import xml.etree.ElementTree as ElementTree

import pytest

import driver

SMTPDTEST = os.path.abspath(driver.DRIVER)
HANG = 900      # seconds after which something hangs; a target may be built first

# What the server answers; anything else is 250, and HANG is never answered.
REPLIES = {
    b'QUIT': b'221 bye\r\n',
    b'COLOUR': b'250 \x1b[31m]]> <red> & \x01\x7f\xff\xfe\xc2\x85 "quoted"\r\n',
    b'HANG': b'',
}

PASSES = '''
client c {
    S: 220
    C: NOOP
    S: 250
    C: QUIT
    S: 221
}
'''
FAILS = PASSES.replace('C: NOOP\n    S: 250', 'C: COLOUR\n    S: 550')
HANGS = 'timeout 1000s\n' + PASSES.replace('NOOP', 'HANG')


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            self.wfile.write(b'220 test.example ready\r\n')
            for line in self.rfile:
                self.wfile.write(REPLIES.get(line.strip(), b'250 ok\r\n'))
                if line.strip() == b'QUIT':
                    return
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


@pytest.fixture(scope='module')
def address():
    with Server(('127.0.0.1', 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield '127.0.0.1:%d' % server.server_address[1]
        server.shutdown()


@pytest.fixture
def scenario(tmp_path):
    """Writes scenarios: scenario(NAME, BODY, ...) is its path."""
    def write(name, body, file=None, head=''):
        path = tmp_path / (file or name.replace(' ', '-') + '.smtp')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('scenario "%s"\n%s%s' % (
            name.replace('\\', r'\\'), head, body))
        return str(path)
    return write


def command(*args):
    return [SMTPDTEST] + [str(a) for a in args]


def smtpdtest(*args, cwd=None):
    return subprocess.run(command(*args), cwd=cwd, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding='utf-8', timeout=HANG)


@pytest.fixture
def run(address, tmp_path):
    def start(*args, **kwargs):
        return smtpdtest('run', '--connect', address, '--results',
                         tmp_path / 'results', *args, **kwargs)
    return start


# --- what is wrong before anything starts -----------------------------------

def test_unknown_command():
    p = smtpdtest('frobnicate')
    assert p.returncode == 2
    assert '"frobnicate"' in p.stderr.splitlines()[0]
    assert 'usage:' in p.stderr


def test_help_and_version():
    for args in ('--help',), ('help',):
        p = smtpdtest(*args)
        assert p.returncode == 0 and p.stderr == ''
        assert 'run' in p.stdout and 'list' in p.stdout
    for name in 'run', 'load', 'drive', 'shell', 'list':
        p = smtpdtest(name, '--help')
        assert p.returncode == 0
        assert p.stdout.startswith('usage: smtpdtest %s ' % name)
        assert p.stdout == smtpdtest('help', name).stdout
    assert re.match(r'smtpdtest \d', smtpdtest('--version').stdout)


@pytest.mark.parametrize('args', [
    ['--frobnicate', 'x.smtp'],
    ['-j', '0', 'x.smtp'],
    ['-j', 'many', 'x.smtp'],
    ['--seed', '-1', 'x.smtp'],
    ['--seed', '0x', 'x.smtp'],
    ['--tap', '-', '--json', '-', 'x.smtp'],
    ['--connect', '192.0.2.1:25', 'x.smtp'],
    ['--connect', '127.0.0.1', 'x.smtp'],
    ['--connect', '127.0.0.1:25', '--target', 'distro', 'x.smtp'],
    ['--choices', 'nowhere', 'x.smtp'],
    [],
])
def test_wrong_options(args, scenario, tmp_path):
    scenario('fine', PASSES, file='x.smtp')
    p = smtpdtest('run', *args, cwd=tmp_path)
    assert p.returncode == 2
    assert p.stdout == ''
    assert p.stderr != ''


def test_check_counts(scenario, tmp_path):
    scenario('one', PASSES)
    scenario('two', FAILS, file='sub/two.smtp')
    scenario('three', 'nonsense', file='sub/.hidden.smtp')
    scenario('four', 'nonsense', file='.hidden/four.smtp')
    (tmp_path / 'README').write_text('not a scenario')
    p = smtpdtest('run', '--check', tmp_path)
    assert (p.returncode, p.stdout, p.stderr) == (0, '2 scenarios parse\n', '')
    # the same file by two ways is one scenario
    p = smtpdtest('run', '--check', tmp_path / 'one.smtp', tmp_path)
    assert p.stdout == '2 scenarios parse\n'


def test_check_tells_every_error(scenario, tmp_path):
    good = scenario('good', PASSES)
    bad = [scenario('bad %d' % i, 'client c {\n    S: 220\n    X: what\n}\n')
           for i in range(2)]
    p = smtpdtest('run', '--check', good, *bad)
    assert p.returncode == 2
    lines = p.stderr.splitlines()
    assert len(lines) == 2
    for path, line in zip(bad, lines):
        assert re.match(re.escape(path) + r':4:\d+: .*expected', line)


def test_errors_keep_anything_from_starting(run, scenario, tmp_path):
    scenario('good', PASSES)
    scenario('bad', 'nonsense\n')
    p = run('--json', tmp_path / 'json', tmp_path)
    assert p.returncode == 2
    assert re.search(r'bad\.smtp:2:1: ', p.stderr)
    assert not (tmp_path / 'json').exists()


def test_names_are_unique(scenario, tmp_path):
    scenario('twice', PASSES, file='a.smtp')
    scenario('twice', PASSES, file='b.smtp')
    p = smtpdtest('run', '--check', tmp_path)
    assert p.returncode == 2
    assert re.search(r'b\.smtp:1:10: .*a\.smtp', p.stderr)


def test_unknown_requirement(scenario):
    path = scenario('proof', PASSES, head='proves 5321-001, 5321-9999\n')
    p = smtpdtest('run', '--check', path)
    assert p.returncode == 2
    assert re.match(re.escape(path) + r':2:\d+: "5321-9999"', p.stderr)


def test_nothing_matches(tmp_path):
    p = smtpdtest('run', tmp_path)
    assert p.returncode == 2
    assert 'no scenario' in p.stderr
    p = smtpdtest('run', tmp_path / 'absent')
    assert p.returncode == 2
    assert 'No such file' in p.stderr
    (tmp_path / 'notes.txt').write_text('text')
    p = smtpdtest('run', '--check', tmp_path / 'notes.txt')
    assert p.returncode == 2
    assert 'not a scenario' in p.stderr


def test_report_that_cannot_be_written(run, scenario):
    path = scenario('fine', PASSES)
    for option in '--tap', '--junit', '--json':
        p = run(option, '/nonexistent/report', path)
        assert p.returncode == 2
        assert option in p.stderr


# --- outcomes ------------------------------------------------------------------

def test_pass(run, scenario):
    p = run(scenario('fine', PASSES, head='proves 5321-001\n'))
    assert p.returncode == 0, p.stdout + p.stderr
    assert re.search(r'^PASS .*fine\.smtp: fine', p.stdout, re.M)
    assert re.search(r'\b1 of \d+$', p.stdout, re.M)


def test_quiet(run, scenario):
    p = run('-q', scenario('fine', PASSES), scenario('wrong', FAILS))
    assert p.returncode == 1
    assert 'fine' not in p.stdout and 'wrong' in p.stdout


def test_fail_tells_all(run, scenario, tmp_path):
    path = scenario('wrong', FAILS)
    p = run('--seed', '0x2a', path)
    assert p.returncode == 1
    where = re.search('^' + re.escape(path) + r':(\d+):(\d+): c\b', p.stdout,
                      re.M)
    assert where and where.group(1) == '6'
    assert re.search(r'^    expected: .*550', p.stdout, re.M)
    assert re.search(r'^    got: .*250', p.stdout, re.M)
    assert re.search(r'^  \+0\.\d{6} c +C: COLOUR', p.stdout, re.M)
    assert re.search(r'^seed: 0x0*2a$', p.stdout, re.M)
    log = (tmp_path / 'results').glob('*/wrong.log')
    assert 'C: COLOUR' in next(log).read_text()


def test_nothing_controls_the_terminal(run, scenario):
    p = run(scenario('wrong', FAILS))
    assert not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f]', p.stdout)


def test_log_goes_when_it_passes(run, scenario, tmp_path):
    path = scenario('changing', FAILS)
    run(path)
    log = next((tmp_path / 'results').glob('*/changing.log'))
    scenario('changing', PASSES)
    assert run(path).returncode == 0
    assert not log.exists()
    assert run('--keep', path).returncode == 0
    assert 'C: NOOP' in log.read_text()


def test_repeat_line(run, scenario, tmp_path):
    scenario('wrong', FAILS, file="it's here/wrong.smtp")
    p = run("it's here", cwd=tmp_path)
    assert p.returncode == 1
    line = re.search('^repeat with: (.*)$', p.stdout, re.M).group(1)
    seed = re.search('^seed: (.*)$', p.stdout, re.M).group(1)
    args = shlex.split(line)
    assert args[1] == 'run' and seed in args
    assert args[-1] == "it's here/wrong.smtp"
    p = subprocess.run(line, shell=True, cwd=tmp_path, stdout=subprocess.PIPE,
                       encoding='utf-8', timeout=HANG)
    assert p.returncode == 1
    assert 'repeat with: ' + line in p.stdout


def test_skip(scenario, tmp_path):
    path = scenario('future', PASSES, head='needs version >= 99.0\n')
    p = smtpdtest('run', '--target', driver.TARGETS[0], '--tap',
                  tmp_path / 'out.tap', '--junit', tmp_path / 'out.xml', path)
    assert p.returncode == 77, p.stdout + p.stderr
    assert re.search(r'^SKIP .*: \S', p.stdout, re.M)
    (ok, _, directive, _), = check_tap((tmp_path / 'out.tap').read_text())
    assert ok and directive == 'SKIP'
    root = ElementTree.parse(tmp_path / 'out.xml').getroot()
    assert root.get('skipped') == '1'
    assert root.find('.//skipped').get('message')


def test_known(scenario, tmp_path):
    body = driver.pair(['S: 220 hello', 'C: NOOP', 'S: 500 no', 'C: QUIT',
                        'S: 221 bye', 'S: <fin>'],
                       ['S: 220', 'C: NOOP', 'S: 250',
                        'known * "500 no" "what # \\\\ it is"', 'C: QUIT',
                        'S: 221'])
    p = smtpdtest('run', '--target', driver.TARGETS[0], '--tap',
                  tmp_path / 'out.tap', '--junit', tmp_path / 'out.xml',
                  scenario('deviant', body, head='proves 5321-001\n'))
    assert p.returncode == 0, p.stdout + p.stderr
    assert re.search(r'^KNOWN .*: what # \\ it is$', p.stdout, re.M)
    assert re.search(r'\b1 of \d+$', p.stdout, re.M)
    (ok, _, directive, _), = check_tap((tmp_path / 'out.tap').read_text())
    assert not ok and directive == 'TODO'
    root = ElementTree.parse(tmp_path / 'out.xml').getroot()
    assert root.find('.//skipped').get('type') == 'known'


def test_seed_is_printed_and_differs(run, scenario):
    path = scenario('fine', PASSES)
    seeds = {re.search(r'seed (0x[0-9a-f]{16})', run(path).stdout).group(1)
             for _ in range(3)}
    assert len(seeds) == 3


def test_watchdog(run, scenario):
    p = run('--watchdog', '1', scenario('stuck', HANGS))
    assert p.returncode == 2
    assert 'no sign of life for 1 seconds' in p.stdout


# --- reports --------------------------------------------------------------------

@pytest.fixture
def reports(run, scenario, tmp_path):
    """Two that pass and one that fails, in every format there is."""
    scenario('fine 1', PASSES, head='proves 5321-001\n')
    scenario('fine 2 # \\ not a directive', PASSES, file='fine-2.smtp')
    scenario('wrong', FAILS, head='proves 5321-002\n')
    for name in 'tap', 'xml', 'json':
        (tmp_path / ('out.' + name)).write_text('of an earlier run')
    p = run('-j', 2, '--tap', tmp_path / 'out.tap', '--junit',
            tmp_path / 'out.xml', '--json', tmp_path / 'out.json', tmp_path)
    assert p.returncode == 1, p.stdout + p.stderr
    return tmp_path


def events_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_tap(text):
    """Is it TAP 14?  Returns [(ok, description, directive, yaml lines)]."""
    lines = iter(text.splitlines())
    assert next(lines) == 'TAP version 14'
    plan = re.fullmatch(r'1\.\.(\d+)', next(lines))
    tests, bailed = [], False
    for line in lines:
        test = re.fullmatch(r'(not )?ok (\d+) - ((?:[^#\\]|\\[#\\])*?)'
                            r'(?: # (TODO|SKIP)\b ?(.*))?', line)
        if test:
            assert int(test.group(2)) == len(tests) + 1
            tests.append((not test.group(1), test.group(3), test.group(4), []))
        elif line == '  ---':
            for line in lines:
                assert line.startswith('  ')
                if line == '  ...':
                    break
                tests[-1][3].append(line)
            assert line == '  ...'
        else:
            assert line.startswith('Bail out!')
            bailed = True
    assert bailed or len(tests) == int(plan.group(1))
    return tests


def test_tap(reports):
    tests = check_tap((reports / 'out.tap').read_text())
    assert sorted(ok for ok, *_ in tests) == [False, True, True]
    for ok, description, directive, lines in tests:
        assert directive is None
        assert ok == ('wrong' not in description)
        assert ok == (lines == [])
    yaml = next(lines for ok, *_, lines in tests if not ok)
    for line in yaml[:yaml.index('  details: |')]:
        key, value = re.fullmatch(r'  (\w+): (".*")', line).groups()
        assert json.loads(value) != ''
    assert any('C: COLOUR' in line for line in yaml)


def test_tap_is_yaml(reports):
    yaml = pytest.importorskip('yaml')
    tests = check_tap((reports / 'out.tap').read_text())
    block = next(lines for ok, *_, lines in tests if not ok)
    doc = yaml.safe_load('\n'.join(block) + '\n')
    assert doc['verdict'] == 'fail'
    assert '<red>' in doc['message'] and 'C: COLOUR' in doc['details']


def test_junit(reports):
    root = ElementTree.parse(reports / 'out.xml').getroot()
    suite, = root
    for element in root, suite:
        assert element.get('tests') == '3'
        assert element.get('failures') == '1'
        assert element.get('errors') == '0'
    failure, = root.findall('.//failure')
    assert 'C: COLOUR' in failure.text and '<red> & ' in failure.text
    assert ']]>' in failure.text
    assert '<red>' in failure.get('message')
    names = {case.get('name') for case in root.findall('.//testcase')}
    assert names == {'fine 1', 'fine 2 # \\ not a directive', 'wrong'}


def test_json(reports):
    events = events_of(reports / 'out.json')
    assert events[0]['event'] == 'run-start'
    assert events[-1]['event'] == 'run-end'
    assert events[-1]['interrupted'] is False
    for kind in 'start', 'end':
        ids = [e['id'] for e in events if e['event'] == kind]
        assert sorted(ids) == [0, 1, 2]
    row, = events[-1]['summary']
    assert (row['passed'], row['failed'], row['errors']) == (2, 1, 0)
    assert row['requirements'] == 1
    for end in (e for e in events if e['event'] == 'end'):
        failed = end['verdict'] == 'fail'
        assert failed == bool(end.get('transcript'))
        assert shlex.split(end['repeat'])[-1] == end['path']


def test_table_of_differences(scenario, tmp_path):
    """Versions that answer differently are a row each, those alike are not."""
    ehlo = """
    smtpd d {
        listen on 127.0.0.1 port 25
        action "keep" maildir
        match from any for any action "keep"
    }
    client c {
        S: 220
        C: EHLO one.example
        S: 250
        C: %s
        S: 250
        %s
    }
    """
    pin = 'known <7.9 "503 5.5.1 Invalid command: Already identified" "old"'
    a = scenario('differs', ehlo % ('EHLO two.example', pin))
    b = scenario('alike', ehlo % ('NOOP', ''))
    out = smtpdtest('run', '--target', '7.9.0p0', '--target', '7.6.0p1',
                    '--results', tmp_path / 'results', '--json',
                    tmp_path / 'out.json', a, b)
    assert out.returncode == 0, out.stdout
    end = events_of(tmp_path / 'out.json')[-1]
    row, = end['differ']
    assert row['path'] == str(a)
    assert [o['verdict'] for o in row['outcomes']] == ['pass', 'known']
    assert 'where the targets differ' in out.stdout
    assert '    7.6.0p1: 503 5.5.1 Invalid command' in out.stdout
    assert '1 of 2 differ' in out.stdout


def test_reports_on_stdout(run, scenario):
    path = scenario('fine', PASSES)
    check_tap(run('--tap', '-', path).stdout)
    ElementTree.fromstring(run('--junit', '-', path).stdout)
    for line in run('--json', '-', path).stdout.splitlines():
        json.loads(line)


# --- interruption ---------------------------------------------------------------

def children(pid):
    found = []
    try:
        tasks = os.listdir('/proc/%d/task' % pid)
        for task in tasks:
            with open('/proc/%d/task/%s/children' % (pid, task)) as f:
                for child in map(int, f.read().split()):
                    found += [child] + children(child)
    except OSError:
        pass
    return found


def alive(pid):
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


def wait_for(what):
    """Until it is true; the limit only ends a hang."""
    end = time.monotonic() + HANG
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def interrupted(address, scenario, tmp_path):
    """Starts a run, interrupts it with one scenario done and others at work."""
    def start(signo):
        scenario('a fine one', PASSES)
        for i in range(3):
            scenario('stuck %d' % i, HANGS)
        out = tmp_path / 'out.json'
        p = subprocess.Popen(command(
            'run', '-j', 2, '--connect', address, '--json', out, '--tap',
            tmp_path / 'out.tap', '--junit', tmp_path / 'out.xml',
            '--results', tmp_path / 'results', tmp_path),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding='utf-8')
        try:
            wait_for(lambda: p.poll() is not None or out.exists() and
                     out.read_text().count('"event":"start"') == 3)
            assert p.poll() is None, p.stdout.read()
            kin = children(p.pid)
            assert len(kin) >= 2
            p.send_signal(signo)
            text, _ = p.communicate(timeout=HANG)
        finally:
            p.kill()
        wait_for(lambda: not any(map(alive, kin)))
        return p.returncode, text
    return start


@pytest.mark.parametrize('signo', [signal.SIGINT, signal.SIGTERM])
def test_interrupted(interrupted, tmp_path, signo):
    code, text = interrupted(signo)
    assert code == -signo
    assert 'interrupted: 1 of 4 done' in text
    events = events_of(tmp_path / 'out.json')
    assert [e['name'] for e in events if e['event'] == 'end'] == ['a fine one']
    assert events[-1]['event'] == 'run-end' and events[-1]['interrupted']
    tests = check_tap((tmp_path / 'out.tap').read_text())
    assert len(tests) == 1
    assert (tmp_path / 'out.tap').read_text().endswith(
        'Bail out! interrupted\n')
    root = ElementTree.parse(tmp_path / 'out.xml').getroot()
    assert root.get('tests') == '1'
    assert root.find('.//property[@name="interrupted"]') is not None
    assert not [f for f in tmp_path.iterdir() if '.xml.' in f.name]


def test_killed(interrupted, tmp_path):
    code, _ = interrupted(signal.SIGKILL)
    assert code == -signal.SIGKILL
    kinds = [e['event'] for e in events_of(tmp_path / 'out.json')]
    assert kinds.count('end') == 1 and 'run-end' not in kinds
    lines = (tmp_path / 'out.tap').read_text().splitlines()
    assert lines[1] == '1..4' and len(lines) == 3
    ElementTree.parse(tmp_path / 'out.xml')


@pytest.mark.parametrize('signo', [signal.SIGINT, signal.SIGKILL])
def test_interrupted_daemon(scenario, tmp_path, signo):
    """A daemon in its sandbox goes with us, however we go."""
    scenario('stuck', driver.DAEMON + """
client c {
    S: 220
    S: 250
}
""", head='timeout 1000s\n')
    out = tmp_path / 'out.json'
    p = subprocess.Popen(command(
        'run', '--target', driver.TARGETS[0], '--json', out, '--results',
        tmp_path / 'results', tmp_path), stdout=subprocess.DEVNULL)
    try:
        # the first progress is told when the daemon answers
        wait_for(lambda: p.poll() is not None or out.exists() and
                 '"event":"progress"' in out.read_text())
        assert p.poll() is None
        kin = children(p.pid)
        assert len(kin) > 4
        p.send_signal(signo)
        assert p.wait(timeout=HANG) == -signo
    finally:
        p.kill()
    wait_for(lambda: not any(map(alive, kin)))


# --- list -----------------------------------------------------------------------

def test_list(scenario, tmp_path):
    path = scenario('proof', PASSES, head='proves 5321-001 5321-004\n')
    other = scenario('other', PASSES)
    p = smtpdtest('list', tmp_path)
    assert p.returncode == 0
    lines = p.stdout.splitlines()
    excused = [line for line in lines if '\tnot testable here: ' in line]
    assert [line for line in lines if line not in excused] == [
        '5321-001\tMUST\t%s\tproof' % path,
        '5321-004\tDEF\t%s\tproof' % path,
        '-\t-\t%s\tother' % other,
    ]
    ids = {line.split('\t')[0] for line in
           smtpdtest('list', '--missing', tmp_path).stdout.splitlines()}
    assert '5321-002' in ids and '5321-001' not in ids
    doc = json.loads(smtpdtest('list', '--json', tmp_path).stdout)
    assert doc['missing'] == len(ids) == \
        len(doc['requirements']) - 2 - len(excused)
    assert {s['name'] for s in doc['scenarios']} == {'proof', 'other'}
    assert doc['requirements'][0]['scenarios'] == [path]


def test_list_of_nonsense(scenario):
    p = smtpdtest('list', scenario('bad', 'nonsense\n'))
    assert p.returncode == 2
    assert re.search(r':2:1: ', p.stderr)
