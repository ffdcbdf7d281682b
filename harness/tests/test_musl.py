"""The resolver's regression test, fuzz/addrinfo.c on its corpus: built with musl,
and with glibc under the sanitizers.  Each of the bugs it is for is put back once.
"""

import pathlib
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
CORPUS = TOP / "fuzz" / "corpora" / "addrinfo"
VERSIONS = ("7.9.0p0", "7.6.0p1", "6.8.0p2")
TRAPS = VERSIONS[0], VERSIONS[2]


def run(*command):
    p = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, errors="replace", check=False, timeout=600)
    return p.returncode, p.stdout


def musl(spec):
    status, out = run(TOP / "ci" / "musl", "--target", spec, "addrinfo")
    if status == 77:
        pytest.skip(out.strip())
    return status, out


def glibc(spec):
    p = subprocess.run([TOP / "fuzz" / "build", "--engine", "standalone",
                        "--target", spec, "addrinfo"], check=True, text=True,
                       stdout=subprocess.PIPE)
    return run(p.stdout.split()[-1], CORPUS)


@pytest.mark.parametrize("version", VERSIONS)
def test_resolver_with_musl(version):
    status, out = musl(version)
    assert status == 0, out[-4000:]
    assert f"{len(list(CORPUS.iterdir()))} files, 1 run each" in out


# What musl's freeaddrinfo() finds behind a list that is not its own is chance:
# without the fence there is no crash, or another one.
@pytest.mark.parametrize("version", TRAPS)
def test_list_of_libasr_crashes_musl(version):
    status, out = musl(f"{version}+bug=musl-freeaddrinfo")
    assert status == 1, out[-4000:]
    assert out.endswith("with musl: SIGSEGV\n")


def test_list_of_libasr_in_the_hands_of_glibc():
    status, out = glibc("7.9.0p0+bug=musl-freeaddrinfo")
    assert status not in (0, 2)
    assert "FINDING: libasr's list is released by the C library" in out


def test_lost_addresses_are_a_leak():
    status, out = glibc("7.9.0p0+bug=resolver-addrinfo-leak")
    assert status not in (0, 2)
    assert "LeakSanitizer: detected memory leaks" in out
    assert "in _alloc_addrinfo " in out


# glibc's inet_net_pton(3) knows no IPv6: what replaces it gets the brackets.
def test_brackets_where_the_c_library_knows_no_inet6():
    status, out = glibc("6.8.0p2+bug=inet6-net-pton")
    assert status not in (0, 2)
    assert "FINDING: text_to_netaddr refuses [::1]" in out
