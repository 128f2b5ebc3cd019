"""certbound.core.keys: which public keys are strong enough, whoever certifies them."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certbound.core.certificate import Certificate, read_certificate
from certbound.core.errors import BadCertificate
from certbound.core.keys import public_jwk, require_strong_key
from certbound.trust.authority import Authority, self_signed
from certificates import KEY, TODAY, read, with_field

STRONG = ["P-256", "P-384", "P-521", "RSA-2048", "RSA-3072", "Ed25519", "Ed448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"]
WEAK: dict[str, Any] = {
    "RSA-1024": lambda: rsa.generate_private_key(65537, 1024),
    "RSA-2047": lambda: rsa.generate_private_key(65537, 2040),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "brainpool": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    "DSA-2048": lambda: dsa.generate_private_key(2048),
}


def certificate_of(key: Any, authority: Authority) -> Certificate:
    """A CA-issued certificate whose key is `key`, of whatever kind."""
    issued = authority.issue("CN=x", now=TODAY)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return read_certificate(with_field(issued, KEY, spki, signer=authority.private_key))


@pytest.mark.parametrize("kind", STRONG)
def test_strong_keys_are_accepted(kind: Any, authority: Authority) -> None:
    """RSA from 2048 bits, NIST curves from P-256, Edwards curves and ML-DSA are accepted, CA-issued and self-signed."""
    for certificate in (read(authority.issue("CN=x", key=kind, now=TODAY)), read(self_signed(key=kind, now=TODAY))):
        proof = require_strong_key(certificate)
        assert proof.certificate is certificate
        assert proof.kind == kind


@pytest.mark.parametrize("kind", sorted(WEAK))
def test_weak_keys_are_refused(kind: str, authority: Authority) -> None:
    """RSA below 2048 bits, other curves and DSA are refused, CA-issued and self-signed."""
    key = WEAK[kind]()
    certificates = [certificate_of(key, authority)]
    if "DSA" not in kind:
        certificates.append(read(self_signed(key=key, now=TODAY)))
    for certificate in certificates:
        with pytest.raises(BadCertificate):
            require_strong_key(certificate)


def test_an_rsa_key_too_large_to_be_worth_checking_is_refused(authority: Authority) -> None:
    """An RSA key beyond 8192 bits is refused: its only use is to cost us time."""
    numbers = rsa.RSAPublicNumbers(65537, (1 << 16383) + 1)

    class _Public:
        @staticmethod
        def public_key() -> rsa.RSAPublicKey:
            return numbers.public_key()

    with pytest.raises(BadCertificate, match="16384"):
        require_strong_key(certificate_of(_Public, authority))


def test_leading_zeros_of_coordinates_stay() -> None:
    """The coordinates of an EC key are as long as the curve's field, leading zeros included (RFC 7518 6.2.1.2)."""
    for number in range(1, 400):
        key = ec.derive_private_key(number, ec.SECP256R1())
        if key.public_key().public_numbers().x < 1 << 248:
            break
    jwk = public_jwk(read(self_signed(key=key, now=TODAY)))
    assert len(jwk["x"]) == len(jwk["y"]) == 43
    assert jwk["x"].startswith("A")


def test_rsa_numbers_have_no_leading_zero() -> None:
    """`n` and `e` of an RSA key are minimal: 65537 is AQAB (RFC 7518 section 6.3.1)."""
    jwk = public_jwk(read(self_signed(key="RSA-2048", now=TODAY)))
    assert jwk["e"] == "AQAB"
    assert len(jwk["n"]) == 342
