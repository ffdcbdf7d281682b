"""Steps that kill the daemon and start it again."""

import pytest

from driver import DAEMON, HELLO, TRANSACTION, client, play

TAKEN = [*HELLO, *TRANSACTION, "message size=1K", "S: 250", "<reach taken>",
         "S: <close>"]
SEND = client(*TAKEN) + "expect delivered all\n"
PAUSED = client(*TAKEN, opts="after=paused") + "expect delivered all\n"
PAUSE = ["run smtpctl pause mda", "<reach paused>", "<await taken>"]


def power(*steps):
    return "process p {\n" + "\n".join(steps) + "\n}\n"


@pytest.mark.parametrize("who", ["", "queue"])
def test_comes_back_with_its_mail(tmp_path, who):
    """Paused, it cannot have delivered before it was killed."""
    result = play(tmp_path, DAEMON + PAUSED + power(
        *PAUSE, f"crash {who}", "run exit=1 pgrep -x smtpd", "restart"))
    assert result.code == 0, result.text


def test_lost_mail_is_seen(tmp_path):
    result = play(tmp_path, DAEMON + PAUSED + power(
        *PAUSE, "crash", "run rm -rf /var/spool/smtpd/queue/*", "restart"))
    assert result.code == 1
    assert "1 promised, 0 arrived" in result.failures(), result.text


def test_restart_of_one_that_runs(tmp_path):
    result = play(tmp_path, DAEMON + SEND + power("<await taken>", "restart"))
    assert result.code == 2
    assert "restart comes after a crash" in result.text


def test_not_restarted(tmp_path):
    """Then it is gone, which is what the crash oracle is there for."""
    result = play(tmp_path, DAEMON + """
client c {
    S: 220
    <reach taken>
    S: <close>
}
""" + power("<await taken>", "crash"))
    assert "not started again" in result.failures("crash"), result.text


@pytest.mark.parametrize("text,says", [
    (power("crash nobody"), '"nobody" cannot be stopped: expected lookup'),
    ("client c {\nrestart\n}\n", "restart is a step of process")])
def test_mistakes(tmp_path, text, says):
    result = play(tmp_path, DAEMON + text)
    assert result.code == 2 and says in result.text
