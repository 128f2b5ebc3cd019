"""What fuzzing found, and what is known to be bad input, each by name: a refusal, at a bounded cost."""

import time
from base64 import b64encode
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from certbound.core.anchors import read_anchors
from certbound.core.certificate import read_certificate
from certbound.core.errors import BadCertificate, InvalidClientMetadata, Untrusted
from certbound.core.subject import Subject, SubjectKind, match_subject
from certbound.core.svid import require_svid
from certbound.trust.authority import Authority
from certbound.trust.chains import verify_chain
from certificates import NOW, SUBJECT, TODAY, anchors, der, name, peer, read, tlv, with_field
from fuzz.mutations import MOST_BYTES

KEY = ec.generate_private_key(ec.SECP256R1())
SPIFFE = "spiffe://trust.example/workload"
STRANGE_NAME = name([("2.5.4.3", 0x15, b"a VideotexString")])
UNDECODABLE: dict[str, x509.UnrecognizedExtension] = {
    "a name of a string type that nobody knows (KeyError)": x509.UnrecognizedExtension(
        x509.ObjectIdentifier("2.5.29.31"), tlv(0x30, tlv(0x30, tlv(0xA2, tlv(0xA4, STRANGE_NAME))))
    ),
    "a TLS feature that nobody knows (TypeError)": x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.5.5.7.1.24"), tlv(0x30, b"\x02\x01\x63")
    ),
}


@pytest.mark.parametrize("extension", UNDECODABLE.values(), ids=UNDECODABLE)
def test_extensions_that_the_library_cannot_decode(authority: Authority, extension: x509.UnrecognizedExtension) -> None:
    """`cryptography` raises what it likes on them; whoever asks for them gets a refusal."""
    issued = authority.issue("CN=a", uris=[SPIFFE], now=TODAY, key=KEY, extensions=[(extension, False)])
    leaf = read(issued)
    with pytest.raises(BadCertificate):
        _ = leaf.decoded_extensions
    with pytest.raises(BadCertificate):
        require_svid(leaf)
    with pytest.raises(InvalidClientMetadata):
        read_anchors({"tls_client_auth_trust_anchors": [b64encode(leaf.der).decode()]})
    assert match_subject(leaf, Subject.registered(SubjectKind.URI, SPIFFE))


def test_a_subject_that_the_library_cannot_show(authority: Authority) -> None:
    """A common name that is a BIT STRING: where a refusal of the library names its certificate, it raises TypeError."""
    subject = name([("2.5.4.3", 0x03, b"\x00a")])
    server = authority.issue("CN=a", usage="server", now=TODAY, key=KEY)
    leaf = read_certificate(with_field(server, SUBJECT, subject, authority.private_key))
    with pytest.raises(Untrusted):
        verify_chain(peer(leaf), anchors(authority), NOW)


@pytest.mark.parametrize("behind", ["strangers", "our own", "loops"])
def test_a_hundred_certificates_behind_the_leaf(authority: Authority, behind: str) -> None:
    """As many as a handshake may carry, in the names of each other: a verdict within 20 ms of CPU."""
    between = authority.subordinate("between", now=TODAY)
    makers: dict[str, Callable[[], Authority]] = {
        "strangers": lambda: Authority.create("between", now=TODAY),
        "our own": lambda: authority.subordinate("between", now=TODAY),
        "loops": lambda: between.subordinate("between", now=TODAY),
    }
    crowd = [der(makers[behind]()) for _ in range(100)]
    stranger = Authority.create("between", now=TODAY)
    leaf = stranger.issue("CN=a", now=TODAY, key=KEY)
    for sent in (crowd, crowd[: MOST_BYTES // len(crowd[0])], [der(between), *crowd]):
        presented, trusted = peer(leaf, *sent), anchors(authority)
        costs = []
        for _ in range(3):
            start = time.thread_time()
            with pytest.raises(Untrusted):
                verify_chain(presented, trusted, NOW)
            costs.append(time.thread_time() - start)
        assert min(costs) < 0.020
