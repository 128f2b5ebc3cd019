"""certbound.trust.ledger: what a small authority took back, as CRLs and OCSP answers."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from certbound.core.errors import ConfigurationError
from certbound.trust.authority import Authority, Issued
from certbound.trust.ledger import Ledger, answer_ocsp, read_serial, sign_crl, write_serial
from certificates import TODAY


def request(issued: Issued, issuer: Authority, *, nonce: bytes = b"", digest: Any = None) -> bytes:
    """An OCSP request about `issued`."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(issued.certificate, issuer.certificate, digest or hashes.SHA1())
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def asked(authority: Authority, ledger: Ledger, question: bytes) -> ocsp.OCSPResponse:
    return ocsp.load_der_ocsp_response(answer_ocsp(authority, ledger, question, TODAY))


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048", "Ed25519", "ML-DSA-44"])
def test_a_crl_says_what_was_revoked(kind: Any) -> None:
    """A CRL is signed by its authority, has a number of its own, and each serial number with its time and reason."""
    authority = Authority.create("R", key=kind, now=TODAY)
    first, second = (authority.issue(f"CN={name}", now=TODAY).certificate.serial_number for name in "ab")
    ledger = Ledger().revoke(first, "keyCompromise", TODAY).revoke(second, "unspecified", TODAY)
    crl, after = sign_crl(authority, ledger, TODAY, 7)
    again, _ = sign_crl(authority, after, TODAY, 7)

    assert crl.is_signature_valid(authority.certificate.public_key())
    assert (crl.last_update_utc, crl.next_update_utc) == (TODAY, TODAY + timedelta(days=7))
    assert [each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for each in (crl, again)] == [1, 2]
    reasons = {each.serial_number: [extension.value.reason for extension in each.extensions] for each in crl}
    assert reasons == {first: [x509.ReasonFlags.key_compromise], second: []}


def test_what_is_revoked_stays_as_it_was() -> None:
    """To revoke twice changes neither the time nor the reason of the first time."""
    once = Ledger().revoke(7, "keyCompromise", TODAY)
    assert once.revoke(7, "superseded", TODAY + timedelta(days=1)) == once


def test_a_ledger_survives_writing() -> None:
    """What was written is read again, large serial numbers too."""
    ledger = Ledger(crl_number=3).revoke(2**159 - 1, "superseded", TODAY).revoke(1, "unspecified", TODAY)
    assert Ledger.read(ledger.write()) == ledger


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b'{"revoked": {"xyz": {"at": 1}}}', b'{"revoked": {"01": {"at": 1, "reason": "x"}}}',
             b'{"revokd": {}}', b'{"revoked": {"01": {}}}'],
)  # fmt: skip
def test_what_is_no_ledger_is_not_an_empty_one(text: bytes) -> None:
    """A record that cannot be read is refused: taken for an empty one it would take every revocation back."""
    with pytest.raises(ConfigurationError, match="no record of revocations"):
        Ledger.read(text)


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256()], ids=["sha1", "sha256"])
def test_ocsp_says_good_revoked_or_unknown(authority: Authority, digest: Any) -> None:
    """Good, revoked with its time and reason, or unknown for another authority's, whatever digest names the issuer."""
    good, bad = (authority.issue(f"CN={name}", now=TODAY) for name in "ab")
    other = Authority.create("Unit Test Root", now=TODAY)  # the same name, another key
    ledger = Ledger().revoke(bad.certificate.serial_number, "keyCompromise", TODAY)
    answers = [
        asked(authority, ledger, request(*question, digest=digest))
        for question in ((good, authority), (bad, authority), (other.issue("CN=a", now=TODAY), other))
    ]

    assert [each.certificate_status.name for each in answers] == ["GOOD", "REVOKED", "UNKNOWN"]
    assert (answers[1].revocation_time_utc, answers[1].revocation_reason) == (TODAY, x509.ReasonFlags.key_compromise)
    assert {each.next_update_utc for each in answers} == {TODAY + timedelta(minutes=10)}
    for each in answers:
        authority.private_key.public_key().verify(each.signature, each.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))


def test_a_nonce_is_sent_back(authority: Authority) -> None:
    """The answer carries the nonce of the question, and none where none was sent."""
    issued = authority.issue("CN=a", now=TODAY)
    with_one = asked(authority, Ledger(), request(issued, authority, nonce=b"0123456789abcdef"))
    without = asked(authority, Ledger(), request(issued, authority))

    assert with_one.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"0123456789abcdef"
    assert list(without.extensions) == []


@pytest.mark.parametrize("question", [b"", b"\x30\x00", b"GET / HTTP/1.1", b"\x30\x84\xff\xff\xff\xff"])
def test_what_is_no_request_is_malformed(authority: Authority, question: bytes) -> None:
    """Bytes that are no request are answered, not raised."""
    assert asked(authority, Ledger(), question).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_serial_numbers_are_written_as_openssl_does() -> None:
    """Hexadecimal, whole bytes; read with colons and in either case."""
    assert [write_serial(each) for each in (1, 0xABC)] == ["01", "0ABC"]
    assert read_serial("0a:bc") == read_serial("0ABC") == 0xABC
    for text in ("", "0x1", "-1", "g", "1:", "1" * 41):
        with pytest.raises(ValueError, match="no serial number"):
            read_serial(text)
