"""certbound.tls.proxies: who is believed, and what proves it."""

import hmac
from typing import Any

import pytest

from certbound.core.errors import ConfigurationError
from certbound.tls.facts import Hop
from certbound.tls.proxies import MIN_SECRET, NotBelieved, Proxies
from certbound.trust.authority import Authority
from certificates import peer, read

SECRET, NEXT = "a" * MIN_SECRET, "b" * MIN_SECRET
SENT = [SECRET.encode()]
ROOT = Authority.create("Root")
PROXY, STRANGER = ROOT.issue("CN=proxy"), ROOT.issue("CN=proxy")


def believed(proxies: Proxies, hop: Hop | None, claimed: str | None = None, secrets: Any = SENT) -> bool:
    try:
        proxies.believe(hop, claimed, secrets)
    except NotBelieved:
        return False
    return True


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("192.0.2.7", True), ("2001:db8::1", True),
        ("2001:db8::1%eth0", True), ("11.0.0.1", False), ("192.0.2.8", False), ("::ffff:11.0.0.1", False),
        ("2001:db9::1", False), ("", False), ("localhost", False), ("10.1.2.3:80", False), ("010.1.2.3", False),
        ("10.1.2.3, 8.8.8.8", False), (None, False),
    ],
)  # fmt: skip
def test_networks_are_of_the_immediate_peer(address: str | None, expected: bool) -> None:
    """CIDR networks and single addresses, IPv4 in IPv6 included; whoever says it."""
    proxies = Proxies(secrets=[SECRET], networks=["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])
    assert believed(proxies, None, address) is expected
    if address is not None:
        assert believed(proxies, Hop(address)) is expected
        assert believed(proxies, Hop("11.0.0.1"), address) is False  # what is claimed never widens


def test_a_unix_socket_is_one_only_where_our_listener_says_so() -> None:
    """A server that does not say who the peer is has not said that it came by a socket."""
    proxies = Proxies(unix_socket=True, without_secret=True)
    assert believed(proxies, Hop(None), secrets=[])
    assert not believed(proxies, None, secrets=[])
    assert not believed(proxies, Hop("127.0.0.1"), secrets=[])
    elsewhere = Proxies(unix_socket=True, secrets=[SECRET])
    assert believed(elsewhere, None)  # then the secret decides
    assert not believed(elsewhere, None, secrets=[])
    assert not believed(elsewhere, None, "203.0.113.9")
    assert not believed(Proxies(networks=["127.0.0.1"], secrets=[SECRET]), None)
    assert not believed(Proxies(networks=["127.0.0.1"], secrets=[SECRET]), Hop(None))


def test_a_proxy_with_a_certificate_of_its_own() -> None:
    """Exactly that one, whatever its name says, from wherever it comes."""
    proxies = Proxies(certificates=[read(PROXY)], without_secret=True)
    assert believed(proxies, Hop("203.0.113.9", peer(PROXY)), secrets=[])
    assert not believed(proxies, Hop("203.0.113.9", peer(STRANGER)), secrets=[])
    assert not believed(proxies, Hop("203.0.113.9", peer(STRANGER, PROXY)), secrets=[])
    assert not believed(proxies, Hop("203.0.113.9"), secrets=[])


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([SECRET.encode()], True), ([NEXT.encode()], True), ([], False), ([b""], False), ([SECRET.encode()] * 2, False),
        ([SECRET.encode(), NEXT.encode()], False), ([SECRET.encode()[:-1]], False), ([SECRET.encode() + b"a"], False),
        ([b"A" * MIN_SECRET], False), ([b"c" * MIN_SECRET], False), ([b"\xff" * MIN_SECRET], False),
        ([f"{SECRET}, {NEXT}".encode()], False), ([b" " + SECRET.encode()], False),
    ],
)  # fmt: skip
def test_the_secret_comes_once_and_whole(sent: list[bytes], expected: bool) -> None:
    """Two count while one is being replaced; and the way alone is not enough."""
    for proxies in (Proxies(secrets=[SECRET, NEXT]), Proxies(secrets=[SECRET, NEXT], networks=["127.0.0.1"])):
        assert believed(proxies, Hop("127.0.0.1"), secrets=sent) is expected
    assert not believed(Proxies(secrets=[SECRET, NEXT], networks=["127.0.0.1"]), Hop("127.0.0.2"), secrets=sent)


def test_every_secret_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that how long it takes says neither which one it was nor how much of it was right."""
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda *both: compared.append(both) or real(*both))
    for sent in (SECRET, NEXT, "c" * MIN_SECRET):
        believed(Proxies(secrets=[SECRET, NEXT]), None, secrets=[sent.encode()])
        assert [b for _, b in compared] == [SECRET.encode(), NEXT.encode()]
        compared.clear()


def test_without_a_secret_only_our_own_listener_vouches() -> None:
    """What another server says of the peer, some rewrite from X-Forwarded-For."""
    proxies = Proxies(networks=["127.0.0.1"], without_secret=True)
    assert believed(proxies, Hop("127.0.0.1"), secrets=[])
    assert not believed(proxies, None, "127.0.0.1", secrets=[])
    with pytest.raises(NotBelieved, match="Declare a secret"):
        proxies.believe(None, "127.0.0.1", [])


def test_whoever_is_rewritten_is_told_where_that_is_switched_off() -> None:
    """The address of a client in the place of the proxy's is the sign of it."""
    with pytest.raises(NotBelieved, match="X-Forwarded-For"):
        Proxies(networks=["127.0.0.1"], secrets=[SECRET]).believe(None, "203.0.113.9", SENT)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({}, "nobody would be believed"),
        ({"networks": ["127.0.0.1"]}, "needs a secret"),
        ({"unix_socket": True}, "needs a secret"),
        ({"without_secret": True}, "nobody would be believed"),
        ({"networks": ["127.0.0.1"], "secrets": [SECRET], "without_secret": True}, "not both"),
        ({"networks": ["0.0.0.0/0"], "secrets": [SECRET]}, "everybody"),
        ({"networks": ["::/0"], "secrets": [SECRET]}, "everybody"),
        ({"networks": ["0.0.0.0/1", "128.0.0.0/1"], "secrets": [SECRET]}, "everybody"),
        ({"networks": ["10.0.0.1", "8000::/1", "::/1"], "secrets": [SECRET]}, "everybody"),
        ({"networks": ["::ffff:0:0/96"], "secrets": [SECRET]}, "IPv4"),
        ({"networks": ["::ffff:10.0.0.1"], "secrets": [SECRET]}, "IPv4"),
        ({"networks": ["10.0.0.1/8"], "secrets": [SECRET]}, "host bits"),
        ({"networks": ["proxy.example"], "secrets": [SECRET]}, "no IP address"),
        ({"secrets": [SECRET[:-1]]}, "too short"),
        ({"secrets": [SECRET, "b"]}, "too short"),
        ({"secrets": [SECRET + " b"]}, "cannot stand in a header"),
        ({"secrets": [SECRET + "\n"]}, "cannot stand in a header"),
        ({"secrets": [SECRET + ",b"]}, "cannot stand in a header"),
        ({"secrets": [SECRET + "é"]}, "cannot stand in a header"),
        ({"secrets": [SECRET], "secret_header": "X_Secret"}, "secret_header"),
        ({"secrets": [SECRET], "secret_header": "cookie"}, "secret_header"),
    ],
    ids=range(21),
)
def test_what_would_believe_everybody_or_nobody_stops_the_start(declared: dict[str, Any], said: str) -> None:
    """With the next step in the message, and without the secret."""
    with pytest.raises(ConfigurationError, match=said) as stopped:
        Proxies(**declared)
    assert SECRET not in str(stopped.value)


def test_no_secret_is_shown() -> None:
    """Neither in a representation nor in a reason."""
    proxies = Proxies(secrets=[SECRET], networks=["127.0.0.1"])
    assert SECRET not in repr(proxies)
    with pytest.raises(NotBelieved) as refused:
        proxies.believe(Hop("127.0.0.1"), None, [b"d" * 40])
    assert "dddd" not in str(refused.value)
    assert SECRET not in str(refused.value)
    assert SECRET not in proxies.believe(Hop("127.0.0.1"), None, SENT).by
