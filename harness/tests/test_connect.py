"""--connect: servers that are not ours, and those that are none at all."""

import collections
import importlib.machinery
import importlib.util
import itertools
import json
import os
import pathlib
import re
import socket
import socketserver
import subprocess
import sys
import threading

import pytest

import driver

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
HANG = 900      # seconds after which something hangs; a target may be built first

CLIENT = '''
client c {
    S: 220
    C: EHLO $client
    S: 250
    C: QUIT
    S: 221
}
'''


# --- servers ----------------------------------------------------------------

def drain(sock):
    """Until the other side is gone."""
    while sock.recv(65536):
        pass


def http(sock):
    sock.recv(65536)
    sock.sendall(b'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')
    drain(sock)


def says(what):
    def talk(sock):
        sock.sendall(what)
        drain(sock)
    return talk


def closes(sock):
    pass


def resets(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
    sock.close()


def endless(first, then):
    def talk(sock):
        sock.sendall(first)
        while True:
            sock.sendall(then)
    return talk


def slow(sock):
    """An octet whenever the other side has waited for a tenth of a second."""
    sock.settimeout(0.1)
    for octet in itertools.cycle(b'220-still alive\r\n'):
        sock.sendall(bytes([octet]))
        try:
            if not sock.recv(4096):
                return
        except TimeoutError:
            pass


def closes_at_ehlo(sock):
    sock.sendall(b'220 here\r\n')
    sock.recv(4096)


def silent_at_ehlo(sock):
    sock.sendall(b'220 here\r\n')
    drain(sock)


def smtp(replies=None, after=None):
    """Answers 250 but for the replies told; after so many clients nothing."""
    replies = {b'QUIT': b'221 bye', **(replies or {})}
    left = iter([True] * (after or 0))

    def talk(sock):
        if after is not None and not next(left, False):
            drain(sock)
            return
        sock.sendall(b'220 test.example\r\n')
        for line in sock.makefile('rb'):
            line = line.strip()
            verb = line.split(b' ')[0].upper()
            reply = replies.get(line, replies.get(verb, b'250 ok'))
            sock.sendall(reply + b'\r\n')
            if verb == b'QUIT' or reply.startswith(b'421'):
                return
    return talk


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


@pytest.fixture
def serve():
    """serve(TALK) is the address of a server that holds this talk."""
    servers = []

    def start(talk):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    talk(self.request)
                except OSError:
                    pass

        server = Server(('127.0.0.1', 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return '127.0.0.1:%d' % server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


Done = collections.namedtuple('Done', 'code out err ends last')


@pytest.fixture
def run(tmp_path):
    def start(address, *args, files=(CLIENT,), profile=None):
        paths = [arg for arg in files if isinstance(arg, pathlib.Path)]
        for n, text in enumerate(t for t in files if isinstance(t, str)):
            paths.append(tmp_path / f's{n}.smtp')
            paths[-1].write_text(f'scenario "number {n}"\n' + text)
        if profile is not None:
            (tmp_path / 'profile').write_text(profile)
            args += ('--profile', tmp_path / 'profile')
        done = subprocess.run(
            [driver.DRIVER, 'run', '-j', '1', '--connect', address,
             '--json', tmp_path / 'json', '--results', tmp_path / 'results',
             *args, *paths], stdin=subprocess.DEVNULL, capture_output=True,
            encoding='utf-8', errors='replace', timeout=HANG)
        events = []
        if (tmp_path / 'json').exists():
            events = list(map(json.loads, (tmp_path / 'json').open()))
        return Done(done.returncode, done.stdout, done.stderr,
                    [e for e in events if e['event'] == 'end'],
                    events[-1] if events else None)
    return start


QUICK = 'recipient = a@test.example\ntimeout = 1\n'


# --- what is no server ------------------------------------------------------

BAD = {
    'http': (http, 'no greeting within 1 s'),
    'http that speaks first': (
        says(b'HTTP/1.1 408 Request Timeout\r\n\r\n'),
        'does not speak SMTP: instead of a greeting it said '
        '"HTTP/1.1 408 Request Timeout"'),
    'ssh': (says(b'SSH-2.0-OpenSSH_9.2\r\n'), '"SSH-2.0-OpenSSH_9.2"'),
    'pop3': (says(b'+OK ready\r\n'), 'does not speak SMTP'),
    'binary': (says(bytes(range(256)) * 16), 'does not speak SMTP'),
    'nul': (says(b'\0' * 5000), 'does not speak SMTP'),
    'digits': (says(b'2' * 100), 'does not speak SMTP'),
    'TLS at once': (says(b'\x15\x03\x03\0\2\2\x28'), 'does not speak SMTP'),
    'no line end': (says(b'220 here'),
                    'no complete greeting within 1 s, only 8 octets of it'),
    'closes at once': (closes, 'closed the connection without a greeting'),
    'resets at once': (resets, 'closed the connection without a greeting'),
    'never answers': (drain, 'no greeting within 1 s'),
    'answers slowly': (slow, 'no complete greeting within 1 s'),
    'endless line': (endless(b'220 ', b'x' * 4096), 'has no end'),
    'endless lines': (endless(b'', b'220-x\r\n' * 500), 'has no end'),
    'endless garbage': (endless(b'', b'x' * 4096), 'does not speak SMTP'),
    'closes at EHLO': (closes_at_ehlo,
                       'closed the connection without a reply to EHLO'),
    'silent at EHLO': (silent_at_ehlo, 'no reply to EHLO within 1 s'),
    'nonsense at EHLO': (smtp({b'EHLO': b'what?'}),
                         'to EHLO it said "what?"'),
    'refuses': (says(b'554 go away\r\n'),
                'does not serve us: its greeting is 554'),
    'is closing': (says(b'421 later\r\n'), 'its greeting is 421'),
}


@pytest.mark.parametrize('name', BAD)
def test_no_server(serve, run, name):
    """One sentence, exit 2, and no scenario is begun."""
    talk, sentence = BAD[name]
    address = serve(talk)
    done = run(address, profile=QUICK)
    assert done.code == 2 and done.ends == []
    assert re.fullmatch(r'smtpdtest: --connect %s: [ -~]+\n' %
                        re.escape(address), done.err)
    assert sentence in done.err


def test_nobody_there(run):
    with socket.create_server(('127.0.0.1', 0)) as s:
        address = '127.0.0.1:%d' % s.getsockname()[1]
    done = run(address)
    assert done.code == 2
    assert 'nobody accepts connections there: Connection refused' in done.err


@pytest.mark.parametrize('talk', [smtp(after=2)], ids=['falls silent'])
def test_given_up(serve, run, talk):
    """It is not asked again and again once it does not answer any more."""
    body = 'timeout 1s\n' + CLIENT
    done = run(serve(talk), files=[body] * 9, profile=QUICK)
    assert done.code == 2
    # one was answered, after the probe
    assert [e['verdict'] for e in done.ends] == ['pass'] + ['fail'] * 3
    assert 'has not answered the last 3 scenarios: given up, 5 of 9 were ' \
        'not begun' in done.err
    assert done.last['interrupted']


@pytest.mark.parametrize('talk', [
    endless(b'220 x\r\n250 x\r\n', b'250-y\r\n' * 500),
    endless(b'220 x\r\n250 x\r\n', b'x' * 4096),
], ids=['lines', 'line'])
def test_bad_later(serve, run, talk):
    """What begins well and then talks for ever is a deviation."""
    body = 'timeout 1s\n' + CLIENT.replace('S: 221', 'S: 221\n    S: <fin>')
    done = run(serve(talk), files=[body], profile=QUICK)
    assert done.code == 1
    assert [e['verdict'] for e in done.ends] == ['fail']


# --- profiles ---------------------------------------------------------------

@pytest.mark.parametrize('text,message', [
    ('', '1:1: expected a line: recipient = '),
    ('# nothing\nclient = x\n', '3:1: expected a line: recipient = '),
    ('recipient\n', '1:1: expected KEY = VALUE, not "recipient"'),
    ('  recipients = a@b\n', '1:3: unknown key "recipients": expected one of '
     'recipient sender refused'),
    ('= a@b\n', '1:1: unknown key ""'),
    ('recipient =\n', '1:12: expected a value of recipient'),
    ('recipient = alice\n', '1:13: "alice": expected a mailbox'),
    ('recipient = a@b c@d nobody\n', '1:21: "nobody": expected a mailbox'),
    ('recipient = <a@b>\n', '1:13: "<a@b>": expected a mailbox'),
    ('recipient = a@b$x\n', '1:13: "a@b$x": expected a mailbox'),
    ('recipient = a@b a@c a@d a@e a@f a@g a@h\n',
     '1:37: "a@h": expected no more than six'),
    ('recipient = a@b\nrefused = x@y\nrefused = y@z\n',
     '3:1: refused stands twice: first on line 2'),
    ('recipient = a@b\ndomain = @b\n', '2:10: "@b": expected a name'),
    ('recipient = a@b\nuser = u\n', '2:1: user without password'),
    ('recipient = a@b\npassword = p\n', '2:1: password without user'),
    ('recipient = a@b\ntls-name = b\n', '2:1: tls-name without ca'),
    ('recipient = a@b\nca = /none\ntls-name = b\n',
     '2:6: /none: No such file'),
    ('recipient = a@b\nca = profile\ntls-name = b\n',
     'profile: expected certificates in PEM'),
    ('recipient = a@b\nsize-limit = 10M\n', '2:14: "10M": expected octets'),
    ('recipient = a@b\nsize-limit = 0\n', '2:14: "0": expected octets'),
    ('recipient = a@b\nsmtps = 465\n', '2:9: 465: not HOST:PORT'),
    ('recipient = a@b\nsubmission = 192.0.2.1:587\n',
     "2:14: 192.0.2.1 is not this host's loopback"),
    ('recipient = a@b\ntimeout = 0\n', '2:11: "0": expected seconds'),
    ('recipient = a\x01@b\n', '1:14: octet 0x01: expected text'),
    ('recipient = a@b\x00\n', '1:16: octet 0x00: expected text'),
])
def test_bad_profile(run, tmp_path, text, message):
    """Nobody is connected to."""
    done = run('127.0.0.1:1', profile=text)
    assert done.code == 2
    assert done.err.startswith(f'smtpdtest: {tmp_path}/profile:')
    assert message in done.err and done.err.count('\n') == 1


def test_no_profile_file(run, tmp_path):
    done = run('127.0.0.1:1', '--profile', tmp_path / 'none')
    assert done.code == 2 and 'none: No such file' in done.err
    done = run('127.0.0.1:1', '--profile', tmp_path)
    assert done.code == 2 and 'Is a directory' in done.err


def test_profile_without_connect():
    done = subprocess.run([driver.DRIVER, 'run', '--profile', 'x', 'y'],
                          capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 2 and 'expected --connect' in done.stderr


def test_values(serve, run):
    """Each value of a profile is a variable, and has its default."""
    body = '''
client c {
    S: 220
    C: X $rcpt $rcpt2 $refused $elsewhere $sender $client $domain $hostname
    S: 250 "one"
    C: Y $user $password ${b64:\\0$user\\0$password} $limit $overlimit
    S: 250 "two"
    C: QUIT
    S: 221
}
'''
    x = b'X a@c b@c no@c a@d %s %s c h'
    y = b'Y u p w AHUAcCB3 2048 2049'
    profile = '''# all of it
recipient  = a@c	b@c
refused    = no@c
elsewhere=a@d
domain     = c
hostname   =  h
user       = u
password   = p w
size-limit = 2048
'''
    replies = {y: b'250 two',
               x % (b'bob@example.net', b'client.example'): b'250 one',
               x % (b's@e', b'me'): b'250 one'}
    address = serve(smtp(replies))
    for more in '', 'sender = s@e\r\nclient = me':
        done = run(address, files=[body], profile=profile + more)
        assert done.code == 0, done.out
    # without one it is a server like ours
    x = b'X alice@mx.example.org bob@mx.example.org nobody-of-that-name@' \
        b'mx.example.org alice@elsewhere.example bob@example.net ' \
        b'client.example mx.example.org mx.example.org'
    y = b'Y alice alice-secret AGFsaWNlAGFsaWNlLXNlY3JldA== 20480 20481'
    address = serve(smtp({x: b'250 one', y: b'250 two'}))
    assert run(address, files=[body]).code == 0


@pytest.mark.parametrize('said,key', [
    ('C: X $refused', 'refused'), ('C: X ${rcpt2}', 'recipient'),
    ('auth plain $user $password', 'user'), ('C~ "$limit\\r\\n"', 'size-limit'),
    ('C: <tls verify $tlsname>', 'tls-name'),
])
def test_value_missing(serve, run, said, key):
    body = CLIENT.replace('C: QUIT', said + '\n    S: 250\n    C: QUIT')
    done = run(serve(smtp()), files=[body, CLIENT],
               profile='recipient = a@b\n')
    assert done.code == 0
    assert [e['verdict'] for e in done.ends] == ['skip', 'pass']
    assert f'the profile has no {key} ' in done.ends[0]['reason']


# --- verdicts ---------------------------------------------------------------

SMTPD = '''
smtpd d {
    listen on 127.0.0.1 port 25
    action "keep" maildir
    match from any for any action "keep"
}
'''


def test_which_are_run(serve, run):
    done = run(serve(smtp()), files=[
        CLIENT, SMTPD + CLIENT, 'anywhere' + SMTPD + CLIENT,
        CLIENT + 'process p {\n    run true\n}\n',
        'anywhere' + SMTPD + CLIENT.replace('client c', 'client c smtps'),
        'anywhere' + SMTPD + CLIENT.replace(
            'client c', 'client c to=127.0.0.1:587'),
    ], profile='recipient = a@b\n')
    assert done.code == 0
    assert [(e['verdict'], e['reason']) for e in done.ends] == [
        ('pass', ''),
        ('skip', 'needs a daemon of our own, with the configuration that '
         'stands here'),
        ('pass', ''),
        ('skip', 'needs a daemon of our own (process p)'),
        ('skip', 'the profile has no smtps'),
        ('skip', 'the profile has no submission'),
    ]


def test_services(serve, run):
    other = serve(smtp({b'EHLO': b'250 other'}))
    body = 'anywhere' + SMTPD + CLIENT.replace(
        'client c', 'client c to=127.0.0.1:587').replace(
        'S: 250', 'S: 250 "other"') + CLIENT.replace('client c', 'client e')
    done = run(serve(smtp()), files=[body],
               profile=f'recipient = a@b\nsubmission = {other}\n')
    assert done.code == 0


PROVES = 'proves 5321-024 5321-009 5321-118\nanywhere' + SMTPD + '''
client c {
    S: 220
    C: EHLO $client
    S: 250%s
    C: ONE
    S: 500
    C: TWO
    S: 501 5.5.4
    C: THREE
    S: 550
    known * "not even this" "of another server" breaks 5321-024
    C: FOUR
    S: 250
    C: QUIT
    S: 221
}
expect delivered 17
'''
RIGHT = {b'ONE': b'500 no', b'TWO': b'501 no', b'THREE': b'550 no'}


def verdicts(done):
    rows = done.last['requirements']
    return {i: next(iter(rows[i]['targets'].values()))['verdict']
            for i in ('5321-009', '5321-024', '5321-118')}


def test_conforms(serve, run):
    """Which enhanced code it is, and what became of mail, is not judged."""
    done = run(serve(smtp(RIGHT)), files=[PROVES % ''])
    assert done.code == 0 and done.ends[0]['verdict'] == 'pass'
    # 5321-118 would have to be seen in a mailbox
    assert verdicts(done) == {'5321-009': 'conforms', '5321-024': 'conforms',
                              '5321-118': 'not-judged'}


def test_deviates(serve, run):
    """Another refusal does not hide the next, an acceptance ends it."""
    replies = {**RIGHT, b'ONE': b'502 no', b'TWO': b'555 5.5.4 no',
               b'THREE': b'250 not even this', b'FOUR': b'500 no'}
    done = run(serve(smtp(replies)), files=[PROVES % ''])
    assert done.code == 1
    assert [f['got'] for f in done.ends[0]['failures']] == [
        '502 no', '555 5.5.4 no', '250 not even this']
    assert set(verdicts(done).values()) == {'deviates'}


def test_not_offered(serve, run):
    done = run(serve(smtp(RIGHT)), files=[PROVES % ' has DSN'])
    assert [e['verdict'] for e in done.ends] == ['skip']
    assert done.ends[0]['not-offered'] == 'DSN'
    assert set(verdicts(done).values()) == {'not-offered'}
    offers = {**RIGHT, b'EHLO': b'250-hello\r\n250-AUTH\r\n250 DSN'}
    done = run(serve(smtp(offers)), files=[PROVES % ' has DSN'])
    assert [e['verdict'] for e in done.ends] == ['pass']
    # what must not be there is there: that is another matter
    done = run(serve(smtp(offers)), files=[PROVES % ' has DSN2 lacks AUTH'])
    assert [e['verdict'] for e in done.ends] == ['fail']
    done = run(serve(smtp(offers)),
               files=[PROVES % ' has DSN2 or 250 has DSN'])
    assert [e['verdict'] for e in done.ends] == ['pass']


def test_given_up_by_it(serve, run):
    """421 is always allowed, and the end of what can be judged."""
    done = run(serve(smtp({**RIGHT, b'THREE': b'421 too many errors'})),
               files=[PROVES % ''])
    assert [e['verdict'] for e in done.ends] == ['skip']
    assert done.ends[0]['reason'] == \
        'the server gave c up: 421 too many errors'


# --- one that is real ------------------------------------------------------

@pytest.fixture
def aiosmtpd():
    pytest.importorskip('aiosmtpd', reason='python3-aiosmtpd is not installed')
    serve = TOP / 'fixtures/servers/aiosmtpd/serve.py'
    with subprocess.Popen([sys.executable, serve, '--port', '0'],
                          stdout=subprocess.PIPE, text=True) as server:
        try:
            yield '127.0.0.1:' + server.stdout.readline().split()[1]
        finally:
            server.terminate()


def test_aiosmtpd(aiosmtpd, run):
    """What is known of it is found, and most of it is all right."""
    scenarios = TOP / 'scenarios'
    done = run(aiosmtpd, '--profile',
               TOP / 'fixtures/servers/aiosmtpd/profile', files=[
                   scenarios / 'rfc5321/4.1.4-order.smtp',
                   scenarios / 'rfc5321/4.1.1.9-noop.smtp',
                   scenarios / 'rfc5321/4.1.1.10-quit.smtp',
                   scenarios / 'rfc1870/4-keyword.smtp',
                   scenarios / 'rfc1870/6-bad-parameter.smtp',
                   scenarios / 'rfc3461/4.1-notify.smtp'])
    assert [e['verdict'] for e in done.ends] == \
        ['pass', 'pass', 'pass', 'pass', 'fail', 'skip']
    assert done.ends[4]['failures'][0]['got'] == '250 OK'
    assert done.ends[5]['not-offered'] == 'DSN'


@pytest.mark.skipif(not os.environ.get('SMTPDTEST_SLOW'),
                    reason='SLOW=1 fetches and runs Postfix and Exim')
@pytest.mark.skipif(os.geteuid() != 0, reason='servers change users')
def test_servers(tmp_path):
    order = TOP / 'scenarios/rfc5321/4.1.4-order.smtp'
    done = subprocess.run([TOP / 'ci/servers', '--scenarios', order,
                           '--results', tmp_path], capture_output=True,
                          text=True, timeout=900)
    if done.returncode == 3 or 'CANNOT BE HAD' in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / 'servers.json').read_text())[
        'scenarios']['scenarios/rfc5321/4.1.4-order.smtp']['results']
    assert [row[name]['verdict'] for name in (
        'Postfix', 'Exim', 'aiosmtpd')] == ['pass'] * 3


@pytest.mark.parametrize('path,says', [
    ('/tmp', 'expected some of'), ('scenarios/../ci', 'expected some of'),
    ('scenarios/nowhere.smtp', 'there is no such file')])
def test_servers_of_other_scenarios(tmp_path, path, says):
    done = subprocess.run([TOP / 'ci/servers', '--scenarios', path,
                           '--results', tmp_path / 'out'], cwd=TOP,
                          capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f'--scenarios {path}: {says}' in done.stderr
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('lines,says', [
    ([], 'there is no result in'), (['{'], 'Expecting property name'),
    ([''], 'Expecting value'), (['{"event": "end"}'], 'run --json has written'),
    (['{"event": "run-start", "targets": [{"name": "a", "version": "1"}]}',
      '{"event": "end", "target": "a", "path": "/tmp/x.smtp", "name": "x"}'],
     '/tmp/x.smtp is no scenario of'),
    (['{"event": "run-start", "targets": [{"name": "a", "version": "1"}]}',
      '{"event": "end", "target": "a", "path": "scenarios/none.smtp"}'],
     'scenarios/none.smtp is no scenario of')])
def test_table_of_nothing(tmp_path, lines, says):
    if lines:
        (tmp_path / 'servers').mkdir()
        (tmp_path / 'servers/opensmtpd.json').write_text('\n'.join(lines) + '\n')
    done = subprocess.run([TOP / 'ci/server-table', '--results', tmp_path],
                          capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith('ci/server-table: ')
    assert says in done.stderr and len(done.stderr.splitlines()) == 1


# --- what is told of them ---------------------------------------------------

@pytest.fixture
def table():
    path = str(TOP / 'ci/server-table')
    loader = importlib.machinery.SourceFileLoader('server_table', path)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader('server_table', loader))
    loader.exec_module(module)
    return module


def test_readme(table, tmp_path, monkeypatch, capsys):
    """The table in the README is of the scenarios there are."""
    assert table.check() == 0
    text = table.README.read_text()
    row = re.search(r'^\| \d.*?<br>\[(.*?)\]', text, re.M)
    monkeypatch.setattr(table, 'README', tmp_path / 'README.md')
    table.README.write_text(text.replace(row[1], 'Something else', 1))
    assert table.check() == 1
    assert 'is another scenario' in capsys.readouterr().err


def test_table_is_steady(table):
    """Whoever was faster, and whatever the message was called."""
    path = 'scenarios/rfc5321/4.1.1.8-help.smtp'
    lines = (TOP / path).read_text().splitlines()
    heard = [n for n, text in enumerate(lines, 1) if text.startswith('    S: ')]

    def cell(*got):
        return table.cell(table.result({
            'verdict': 'fail', 'known': [], 'failures': [
                {'where': f'/x/{path}:{line}:5', 'expected': '214', 'got': text}
                for line, text in got]}))

    first, second = (heard[1], '250 OK id=1xUh9q-0000Ez-2O'), (heard[2], '<fin>')
    assert cell(first, second) == cell(second, first) == \
        '`HELP` `250 OK id=…` and 1 more'
    assert cell((heard[1], '<rst>')) == cell((heard[1], '<fin>')) == \
        '`HELP` `<close>`'
    assert cell((heard[1], '250 2.0.0 deadbe12 Message accepted')) == \
        '`HELP` `250 2.0.0 … Message accepted`'
    assert cell((heard[1], '250 2.0.0 Ok: queued as 4C048149')) == \
        '`HELP` `250 2.0.0 Ok: queued as …`'


def test_table(table):
    """Who deviates is told with the command and the reply, others are not."""
    path = 'scenarios/rfc5321/4.1.1.8-help.smtp'
    line = 1 + next(n for n, text in enumerate(
        (TOP / path).read_text().splitlines(), 1) if text.strip() == 'C: HELP')

    def end(verdict, failures=(), **more):
        return {'path': f'/elsewhere/{path}', 'name': 'HELP', 'known': [],
                'proves': ['5321-146'], 'verdict': verdict, 'reason': '',
                'failures': list(failures), **more}

    help_ = {'where': f'/elsewhere/{path}:{line}:5', 'expected': '214',
             'got': '500 what | why?'}
    expect = {'where': f'/elsewhere/{path}:1:1', 'got': '', 'oracle': 'clean'}
    t = table.Table()
    for name, ev in (
            ('A', end('pass')), ('B', end('fail', [help_, help_])),
            ('C', end('skip', **{'not-offered': 'HELP'})),
            ('D', end('fail', [expect]))):
        t.servers.append({'name': name, 'version': '1'})
        t.add_end(name, ev)
    assert table.markdown(t).splitlines()[-3] == \
        f'| 5321-146<br>[HELP]({path}) | ✓ | `HELP` `500 what \\| why?` | ' \
        'not offered | ✓ |'
    assert t.json()['scenarios'][path]['results']['B']['deviations'] == [{
        'got': '500 what | why?', 'where': f'{path}:{line}:5', 'said': 'HELP',
        'expected': '214'}]
