"""certbound.core.redirects: what is a redirect URI, which one fits, and what the browser is sent to."""

import json
import random
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from certbound.core.redirects import (
    ResponseMode,
    host_of,
    is_native,
    is_redirect_uri,
    match_redirect_uri,
    response_uri,
)
from redirecting import HOSTS, NONE


@pytest.mark.parametrize("uri", HOSTS)
def test_what_is_a_redirect_uri(uri: str) -> None:
    """https at a host, http at a loopback address, or an app by a domain turned round; it leads where it says."""
    assert is_redirect_uri(uri)
    assert host_of(uri) == HOSTS[uri]
    assert is_native(uri) is (HOSTS[uri] in {"", "127.0.0.1", "[::1]", "localhost"})
    assert match_redirect_uri(uri, (uri,))


@pytest.mark.parametrize("uri", NONE)
def test_what_is_none(uri: str) -> None:
    """What a browser would run or read otherwise, and what leads to nobody or to somebody else."""
    assert not is_redirect_uri(uri)
    assert not is_native(uri)
    assert not match_redirect_uri(uri, HOSTS)


LOOPBACK = ["http://127.0.0.1/cb", "http://127.0.0.1:8000/cb", "http://[::1]/cb", "http://[::1]:9/cb?x=y"]


@pytest.mark.parametrize("registered", LOOPBACK)
@pytest.mark.parametrize("port", ["", ":1", ":80", ":49152", ":65535"])
def test_a_loopback_address_may_have_any_port(registered: str, port: str) -> None:
    """RFC 8252 section 7.3; with the path and the query as they were registered."""
    host = host_of(registered)
    rest = registered[registered.index("/cb") :]
    assert match_redirect_uri(f"http://{host}{port}{rest}", (registered,))
    other = "[::1]" if host == "127.0.0.1" else "127.0.0.1"
    for changed in (
        f"http://{host}{port}{rest}/", f"http://{host}{port}/CB", f"http://{host}{port}", f"http://{host}{port}{rest}?",
        f"http://{host}{port}//cb", f"http://{host}{port}/./cb", f"http://{host}{port}/%63b", f"http://{host}{port}{rest}&",
        f"http://{other}{port}{rest}", f"https://{host}{port}{rest}", f"http://localhost{port}{rest}",
        f"HTTP://{host}{port}{rest}", f"http://{host}.{port}{rest}", f"http://u@{host}{port}{rest}",
        f"http://{host}:{rest}", f"http://{host}:0{rest}", f"http://{host}:65536{rest}", f"http://{host}:080{rest}",
    ):  # fmt: skip
        assert not match_redirect_uri(changed, (registered,)), changed


def test_nothing_else_may_have_another_port() -> None:
    """Not a name for the same address, which others may answer to, and no https."""
    for registered in ("http://localhost:8000/cb", "https://127.0.0.1:8000/cb", "https://a.example:8000/cb"):
        assert is_redirect_uri(registered)
        for port in ("", ":8001", ":80", ":443"):
            assert not match_redirect_uri(registered.replace(":8000", port), (registered,))


ODD = st.sampled_from([*"aA.:/\\@?#%[]1x-_ \t\n\u3002\u00e9;,&=+*0", "//", "%2F", "%2e", "127.0.0.1", "[::1]",
                       "a.example", "http:", "https:", "com.a:", "localhost", "0x7f", "%25lo", "..", "xn--",
                       ":443", "u:p@"])  # fmt: skip
URIS = st.lists(ODD, max_size=12).map("".join) | st.tuples(
    st.sampled_from(["https://", "http://", "com.a:", "https://a.example", "http://127.0.0.1", "http://[::1]:8"]),
    st.lists(ODD, max_size=8).map("".join),
).map("".join)


@given(URIS, st.sampled_from([*HOSTS]))
def test_nothing_matches_but_what_is_registered(asked: str, registered: str) -> None:
    """Whatever is asked for: the same string, or the same but for the port of a loopback address."""
    if match_redirect_uri(asked, (registered,)) and asked != registered:
        ours, theirs = urlsplit(asked), urlsplit(registered)
        assert ours._replace(netloc="") == theirs._replace(netloc="")
        assert ours.hostname == theirs.hostname
        assert ours.hostname in {"127.0.0.1", "::1"}
        assert ours.username is None


def test_what_we_read_is_what_the_standard_library_reads() -> None:
    """Another parser finds the same host and nobody in it."""
    for uri in filter(is_redirect_uri, _odd(5000)):
        parts = urlsplit(uri)
        assert parts.username is parts.password is None, uri
        assert not parts.fragment, uri
        assert (parts.hostname or "") == host_of(uri).strip("[]") or not host_of(uri), uri


@pytest.mark.peers
def test_what_we_read_is_what_browsers_read() -> None:
    """The URL parser of Node is that of browsers (WHATWG): what we take it reads alike, or goes nowhere."""
    taken = [uri for uri in _odd(20_000) if is_redirect_uri(uri)]
    assert len(taken) > 500
    script = (
        "const out = JSON.parse(require('fs').readFileSync(0)).map(each => { try { const u = new URL(each);"
        "return [u.protocol, u.hostname, u.username, u.port, u.hash]; } catch { return null; } });"
        "process.stdout.write(JSON.stringify(out));"
    )
    run = subprocess.run(["node", "-e", script], input=json.dumps(taken), capture_output=True, text=True, check=True)
    for uri, read in zip(taken, json.loads(run.stdout), strict=True):
        if read is None:
            assert "xn--" in uri, "a name in Punycode that is none"
            continue
        protocol, hostname, username, port, fragment = read
        assert uri.startswith(protocol), uri
        assert (username, fragment) == ("", ""), uri
        if host_of(uri):
            assert _spelled(hostname) == _spelled(host_of(uri)), uri
            assert not port or f":{port}" in uri, uri


def _spelled(host: str) -> str:
    """IPv6 is written in many ways."""
    return str(ip_address(host.strip("[]"))) if host.startswith("[") else host


def _odd(count: int) -> Iterator[str]:
    """The same odd URIs each time."""
    chosen = random.Random(8252)
    pieces = [*"abcA.:/\\@?#%[]1x-_ \t;,&=+*0", "%2F", "%2e", "127.0.0.1", "[::1]", "a.example", "0x7f", "%25lo",
              "xn--", ":443", "..", "u:p@", "[2001:DB8:0::1]", "1.2", "\u3002"]  # fmt: skip
    for _ in range(count):
        start = chosen.choice(
            ["https://", "https://a", "https://a.example", "http://127.0.0.1", "http://[::1]:8", "com.a:"]
        )
        yield start + "".join(chosen.choice(pieces) for _ in range(chosen.randrange(6)))


MEMBERS = {"code": "cbac_a+b/c=", "state": 'x&y=z#"\u00e4 \n', "iss": "https://as.example"}


@pytest.mark.parametrize("uri", HOSTS)
def test_an_answer_stands_beside_what_the_uri_has(uri: str) -> None:
    """In the query, behind what stands there, or in the fragment; each member once, as it was."""
    before = parse_qsl(urlsplit(uri).query, keep_blank_values=True)
    sent = response_uri(uri, MEMBERS, ResponseMode.QUERY)
    assert sent.startswith(uri)
    assert parse_qsl(urlsplit(sent).query, keep_blank_values=True) == [*before, *MEMBERS.items()]
    assert urlsplit(sent)._replace(query="") == urlsplit(uri)._replace(query="")
    sent = response_uri(uri, MEMBERS, ResponseMode.FRAGMENT)
    assert sent.startswith(uri + "#")
    assert parse_qsl(sent.partition("#")[2]) == [*MEMBERS.items()]
    assert sent.isascii()


@given(st.dictionaries(st.sampled_from(["code", "state", "iss", "error"]), st.text(max_size=40), min_size=1))
def test_no_value_breaks_out_of_the_answer(members: dict[str, str]) -> None:
    """Whatever state is: no line, no other parameter, no fragment, no other host."""
    assume(all(_is_text(value) for value in members.values()))
    for uri in ("https://a.example", "https://a.example/cb?", "https://a.example/cb?x", "https://a.example/cb?x=y&"):
        sent = response_uri(uri, members, ResponseMode.QUERY)
        assert sent.isprintable()
        assert " " not in sent
        assert urlsplit(sent).netloc == "a.example"
        assert not urlsplit(sent).fragment
        found = [pair for pair in parse_qsl(urlsplit(sent).query, keep_blank_values=True) if pair[0] != "x"]
        assert found == [*members.items()]


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
