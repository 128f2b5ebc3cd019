"""Certificates that say what others say, and have another key: what `GenerateFakeMTLSCertificate` of O15 makes."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from certbound.trust.authority import Issued


def forged(like: Issued, *, key: ec.EllipticCurvePrivateKey | None = None, by: Issued | None = None) -> Issued:
    """Every field and extension of `like`, its key and signature excepted: those are of whoever forges.

    `key` may be another's, which no forger can prove to hold; signed by the new key, or by that of `by`.
    """
    own = key or ec.generate_private_key(ec.SECP256R1())
    model = like.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(model.subject)
        .issuer_name(model.issuer)
        .serial_number(model.serial_number)
        .not_valid_before(model.not_valid_before_utc)
        .not_valid_after(model.not_valid_after_utc)
        .public_key(own.public_key())
    )
    for extension in model.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    made = builder.sign(by.private_key if by else own, hashes.SHA256())
    for name in ("subject", "issuer", "serial_number", "not_valid_before_utc", "not_valid_after_utc"):
        assert getattr(made, name) == getattr(model, name), name
    assert list(made.extensions) == list(model.extensions)
    assert made.signature != model.signature
    return Issued(made, own, like.issuers)
