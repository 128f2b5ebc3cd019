"""certbound.core.anchors: which trust anchors a registration names (R32)."""

from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certbound.core.anchors import (
    EVERY_ANCHOR,
    MAX_ANCHORS,
    MAX_TEXT,
    ClientAnchors,
    describe_anchors,
    read_anchors,
    read_key,
    require_known,
)
from certbound.core.clients import describe_client, read_client
from certbound.core.errors import InvalidClientMetadata
from certbound.trust.authority import Authority, Issued, self_signed
from certificates import TODAY, der, read

ROOT = Authority.create("Root", now=TODAY)
OTHER = Authority.create("Other", now=TODAY)
KEYS = "tls_client_auth_trust_anchor_keys"
CERTIFICATES = "tls_client_auth_trust_anchors"
KEY = read(ROOT).key_thumbprint


def text(issued: Authority | Issued | bytes) -> str:
    """A certificate as a registration has it."""
    return b64encode(issued if isinstance(issued, bytes) else der(issued)).decode()


def test_nothing_said_is_every_anchor() -> None:
    """A client that says nothing of anchors has those of the server, and its metadata says nothing either."""
    assert read_anchors({}) == EVERY_ANCHOR
    assert describe_anchors(EVERY_ANCHOR) == {}


def test_keys() -> None:
    """Keys are a set; described, they are read again."""
    other = read(OTHER).key_thumbprint
    anchors = read_anchors({KEYS: [KEY, other, KEY]})
    assert anchors == ClientAnchors(frozenset({KEY, other}))
    assert read_anchors(describe_anchors(anchors)) == anchors


def test_certificates() -> None:
    """A client's own anchors are certificates of CAs, each once; described, they are read again."""
    anchors = read_anchors({CERTIFICATES: [text(ROOT), text(OTHER), text(ROOT)]})
    assert [each.der for each in anchors.certificates] == [der(ROOT), der(OTHER)]
    assert anchors.keys == frozenset()
    assert read_anchors(describe_anchors(anchors)) == anchors


@pytest.mark.parametrize(
    "given", [[], "x", {}, [1], [None], [["x"]], ["x" * (MAX_TEXT + 1)], ["x"] * (MAX_ANCHORS + 1)]
)
@pytest.mark.parametrize("member", [KEYS, CERTIFICATES])
def test_what_is_no_list_of_texts(member: str, given: Any) -> None:
    """Anything but an array of some texts names the member."""
    with pytest.raises(InvalidClientMetadata, match="must be an array of") as refusal:
        read_anchors({member: given})
    assert refusal.value.field == member


@pytest.mark.parametrize(
    "given",
    ["", KEY[:-1], KEY + "A", KEY + "=", KEY[:-1] + "é", " " + KEY[1:], KEY[:-1] + "!", "+" * 43, "/" * 43,
     "A" * 42 + "B"],
    ids=["empty", "short", "long", "padded", "é", "space", "!", "+", "/", "bits that count nothing"],
)  # fmt: skip
def test_what_is_no_key(given: str) -> None:
    """A text that could not equal any key's name is refused, with its place."""
    with pytest.raises(ValueError, match="43 characters of base64url"):
        read_key(given)
    with pytest.raises(InvalidClientMetadata) as refusal:
        read_anchors({KEYS: [KEY, given]})
    assert refusal.value.field == f"{KEYS}[1]"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(lambda: "", "must be the base64 of a CA certificate", id="empty"),
        pytest.param(lambda: "é", "must be the base64 of a CA certificate", id="no base64"),
        pytest.param(ROOT.certificate_pem.decode, "must be the base64 of a CA certificate", id="PEM"),
        pytest.param(lambda: text(ROOT)[:-8], "not a DER certificate", id="cut"),
        pytest.param(lambda: text(der(ROOT) + b"\0"), "not a DER certificate", id="a byte behind"),
        pytest.param(lambda: text(self_signed("CN=x", now=TODAY)), "is not the certificate of a CA", id="no CA"),
        pytest.param(
            lambda: text(Authority.create("W", now=TODAY, key=rsa.generate_private_key(65537, 1024))),
            "RSA key of 1024 bits",
            id="RSA-1024",
        ),
        pytest.param(
            lambda: text(Authority.create("W", now=TODAY, key=ec.generate_private_key(ec.SECP256K1()))),
            "curve secp256k1",
            id="secp256k1",
        ),
    ],
)
def test_what_could_vouch_for_nobody(given: Any, said: str) -> None:
    """What is no CA's certificate with a strong key is refused when it is registered, with its place."""
    with pytest.raises(InvalidClientMetadata) as refusal:
        read_anchors({CERTIFICATES: [text(ROOT), given()]})
    assert refusal.value.field == f"{CERTIFICATES}[1]"
    assert said in refusal.value.reason


def test_keys_or_certificates() -> None:
    """Both at once would leave open which of them count."""
    with pytest.raises(InvalidClientMetadata, match="register one"):
        read_anchors({KEYS: [KEY], CERTIFICATES: [text(ROOT)]})


def test_a_key_that_no_anchor_has() -> None:
    """A key is one of the server's when it is registered; the refusal lists those there are, not without end."""
    other = read(OTHER).key_thumbprint
    one = read_anchors({KEYS: [KEY]})
    assert require_known(one, frozenset({KEY, other})) is one
    assert require_known(EVERY_ANCHOR, frozenset()) is EVERY_ANCHOR
    with pytest.raises(InvalidClientMetadata) as refusal:
        require_known(read_anchors({KEYS: [KEY, other]}), frozenset({other}))
    assert refusal.value.reason.endswith(f"no trust anchor of this server has the key {KEY}; it has {other}")
    many = frozenset(read_key(f"{'A' * 41}{letter}A") for letter in "ABCDEFGHIJ")
    with pytest.raises(InvalidClientMetadata, match=r"AHA and 2 more$"):
        require_known(one, many)
    with pytest.raises(InvalidClientMetadata, match=r"it has none$"):
        require_known(one, frozenset())


@pytest.mark.parametrize("member", [KEYS, CERTIFICATES])
def test_anchors_belong_to_tls_client_auth(member: str) -> None:
    """They are part of a registration by name, are described with it, and have no place in a self-signed one."""
    given = {member: [KEY if member == KEYS else text(ROOT)]}
    pki = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example", **given}
    client = read_client("a", pki)
    assert client.anchors != EVERY_ANCHOR
    described = describe_client(client, bound=False)
    assert described[member] == given[member]
    assert read_client("a", described) == client
    with pytest.raises(InvalidClientMetadata, match=member):
        read_client("a", {"token_endpoint_auth_method": "self_signed_tls_client_auth", **given})
