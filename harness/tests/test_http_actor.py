"""The http actor, tried by Python's own client inside the sandbox."""

import pytest

from driver import play

HEAD = "http h listen=127.0.0.9:8080 {\n"

# ask(NAME=VALUE...) prints status, fields and body, or the exception's name
CLIENT = r"""
file /tmp/ask {
    import http.client, sys
    c = http.client.HTTPConnection("127.0.0.9", 8080, timeout=2)
    for words in sys.argv[1:]:
        fields = dict(w.split("=", 1) for w in words.split("&") if w)
        body = fields.pop("body", "")
        try:
            c.request(fields.pop("method", "POST"), fields.pop("path", "/x"),
                      [b[:1].encode() and b.encode() for b in body.split("+")]
                      if "+" in body else body, fields)
            r = c.getresponse()
            print(r.status, r.reason, sorted(r.getheaders()), r.read())
        except Exception as e:
            print(type(e).__name__)
            c.close()
}
"""


def ask(*requests):
    words = " ".join(f"'{r}'" for r in requests)
    return f"process p {{\n    run python3 /tmp/ask {words}\n    " \
        "<reach asked>\n"


def run(tmp_path, dialogue, requests, *outputs):
    text = HEAD + dialogue + "\n}\n" + CLIENT + ask(*requests)
    for o in outputs:
        text += f"    output /{o}/\n"
    return play(tmp_path, text + "}\n")


GOOD = {
    "answer": ("C: POST /x\nanswer 200 {\n    {\"a\": 1}\n}", [""],
               r"\A200 OK \[\('Content-Length', '8'\), "
               r"\('Content-Type', 'application\/json'\)\] b'\{\"a\": 1\}'\n\z"),
    "status": ("C: POST /x\nanswer 503", [""],
               r"\A503 Service Unavailable .*'0'.* b''\n\z"),
    "fields": ('C: POST /x\nanswer 200 "X-A: 1" "Content-Type: text\\x2fplain"'
               ' { b }', [""], r"\('X-A', '1'\).* b'b'"),
    "variables": ("C: POST /x\nC: From: /^(?<who>\\w+)@/\nanswer 200 { hi $who }",
                  ["From=bob@b"], "hi bob"),
    "chunked": ("C: POST /x\nanswer 200 chunked { 0123456789abcdefghij }", [""],
                r"chunked.*b'0123456789abcdefghij'"),
    "pieces": ("C: POST /x\nsegments 1..3 every 1ms\n"
               "answer 200 { 0123456789 }", [""], "b'0123456789'"),
    "several on one connection": (
        "C: POST ...\nanswer 200 { one }",
        ["path=/a", "path=/b"],
        r"b'one'\n200 OK .* b'one'\n\z"),
    "when": ("C: POST /x\nwhen From: a@b { answer 200 { first } }\n"
             "when From: /@c$/ { answer 200 { second } }\n"
             "answer 200 { other }", ["From=a@b", "From=x@c", "From=a@bb", ""],
             r"first.*\n.*second.*\n.*other.*\n.*other"),
    "body": ("C: POST /x\nC: body ell\nC: body /^hel/\nC: lacks X-No\n"
             "C: X-Yes: 1\nanswer 200", ["body=hello&X-Yes=1"], "^200"),
    "chunked request": ("C: POST /x\nC: body /^hello$/\nanswer 200",
                        ["body=he+llo"], "^200"),
    "garbage": ('C: POST /x\nS~ "\\x00nonsense\\r\\n"\nS: <fin>', [""],
                "^BadStatusLine"),
    "closed": ("C: POST /x\nS: <fin>", [""], "^RemoteDisconnected"),
    "reset": ("C: POST /x\nS: <rst>", [""], "^ConnectionResetError"),
    "half": ('C: POST /x\nanswer 200 "Content-Length: 100" { short }\nS: <fin>',
             [""], "^IncompleteRead"),
    "hang": ("C: POST /x\nC: <close>", [""], "^TimeoutError"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good(tmp_path, name):
    dialogue, requests, output = GOOD[name]
    done = run(tmp_path, dialogue, requests, output)
    assert done.code == 0, done.text


# what is expected, what is asked: what was got
BAD = {
    "method": ("C: GET /x\nanswer 200", "", "POST /x"),
    "path": ("C: POST /y\nanswer 200", "", "POST /x"),
    "prefix": ("C: POST /xx...\nanswer 200", "", "POST /x"),
    "no field": ("C: POST /x\nC: From: a@b\nanswer 200", "", "no such field"),
    "field": ("C: POST /x\nC: From: a@b\nanswer 200", "From=a@c", "a@c"),
    "regex": ("C: POST /x\nC: From: /^b/\nanswer 200", "From=a@c", "a@c"),
    "lacks": ("C: POST /x\nC: lacks From\nanswer 200", "From=a@c", "a@c"),
    "body": ("C: POST /x\nC: body hullo\nanswer 200", "body=hello", "hello"),
    "end": ("C: POST /x\nC: <rst>", "", "<fin>"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad(tmp_path, name):
    dialogue, request, got = BAD[name]
    done = run(tmp_path, dialogue, [request])
    assert done.code == 1, done.text
    assert got in done.failures().splitlines()


def test_nobody_asks(tmp_path):
    text = HEAD + "C: POST /x\nanswer 200\n}\n"
    # a connection without a request is none
    touch = "process p {\n    run python3 -c 'import socket; " \
        "socket.create_connection((\"127.0.0.9\", 8080)).close()'\n" \
        "    run sleep 0.1\n}\n"
    for client in ("process p {\n    run true\n}\n", touch):
        done = play(tmp_path, text + client)
        assert done.code == 1 and "no connection" in done.failures()
        done = play(tmp_path, text.replace("8080 ", "8080 unused ") + client)
        assert done.code == 0, done.text


def test_known(tmp_path):
    done = run(tmp_path, 'C: POST /x\nC: From: a@b\n'
               'known * "no such field" "why"\nanswer 200', [""], "^200")
    assert done.code == 0 and done.end["verdict"] == "known", done.text


# mistakes: (dialogue, line:column, words of the complaint)
WRONG = {
    "empty": ("", "2:6", "begin with what is heard"),
    "says first": ("answer 200", "3:1", "begin with what is heard"),
    "no method": ("C: post /x", "3:4", "METHOD PATH"),
    "no path": ("C: POST", "3:8", "expected what POST is"),
    "status": ("C: POST /x\nanswer 20", "4:8", "a status such as 200"),
    "what is that": ("C: POST /x\nanswer 200 ok", "4:12", '"Field: value"'),
    "when": ("C: POST /x\nwhen From a@b { answer 200 }", "4:6", "NAME: VALUE"),
    "variable": ("C: POST /x\nanswer 200 { $who }", "4:14", '"who"'),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(tmp_path, name):
    dialogue, where, words = WRONG[name]
    done = play(tmp_path, 'scenario "x"\n' + HEAD + dialogue + "\n}\n")
    assert done.code == 2
    assert f":{where}: " in done.text and words in done.text, done.text


def test_answer_is_for_http(tmp_path):
    for step in ("answer 200", "when From: a@b { S: 250 }"):
        done = play(tmp_path, "server s listen=127.0.0.2:25 {\n"
                    f"    {step}\n}}\n")
        assert done.code == 2 and "is a step of http" in done.text
