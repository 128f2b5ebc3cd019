"""From a certificate to a trust anchor (RFC 5280 section 6, RFC 8705 sections 2.1, 7.4 and 7.5).

Rule 1: the path is `cryptography`'s verdict, none of our own; no system roots, and no anchor by default.
Rule 2: the leaf is index 0 of what was sent; the rest is material for a path, in any order, of any use or none.
Rule 3: what was sent is offered to the path builder only if it is a CA that an anchor stands behind: certificates with
like names and costly keys, made to keep it busy, cost a signature check each at most.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    VerificationError,
)

from certbound.core.authentication import TrustedChain
from certbound.core.certificate import PeerCertificate, read_certificate
from certbound.core.errors import BadCertificate, Untrusted
from certbound.core.keys import require_strong_key
from certbound.trust.anchors import Anchors

MAX_INTERMEDIATES = 8
"""How many of the certificates sent behind the leaf are looked at."""
MAX_DEPTH = 6
"""How many intermediates a path may have."""


def verify_chain(peer: PeerCertificate, anchors: Anchors, now: float) -> TrustedChain:
    """The peer's certificate leads to one of `anchors` at `now`, in seconds since the epoch.

    `Untrusted` if it does not; also if there is no anchor at all.
    """
    if anchors.store is None:
        raise Untrusted("no trust anchor is configured")
    verifier = (
        PolicyBuilder()
        .store(anchors.store)
        .time(datetime.fromtimestamp(now, UTC).replace(tzinfo=None))
        .max_chain_depth(MAX_DEPTH)
        .extension_policies(ca_policy=_CA_POLICY, ee_policy=_LEAF_POLICY)
        .build_client_verifier()
    )
    intermediates = _anchored(_intermediates(peer.chain[:MAX_INTERMEDIATES]), anchors)
    try:
        path = verifier.verify(peer.leaf.parsed, intermediates).chain
        certificates = [read_certificate(each.public_bytes(Encoding.DER)) for each in path]
        for certificate in certificates:
            require_strong_key(certificate)
    except (VerificationError, x509.UnsupportedGeneralNameType, x509.DuplicateExtension, ValueError) as error:
        raise Untrusted(f"no path from {peer.leaf.thumbprint} to a trust anchor: {error}") from error
    except BadCertificate as error:
        raise Untrusted(f"a certificate on the path from {peer.leaf.thumbprint} is not fit: {error}") from error
    return TrustedChain((peer.leaf, *certificates[1:]), min(each.not_after for each in certificates))


def _intermediates(chain: Iterable[bytes]) -> list[x509.Certificate]:
    """What stands behind the leaf and could be on a path; the rest does no harm (RFC 8446 section 4.4.2)."""
    found = []
    for der in chain:
        try:
            certificate = x509.load_der_x509_certificate(der)
        except (ValueError, x509.InvalidVersion):
            continue
        if _could_be_an_intermediate(certificate):
            found.append(certificate)
    return found


def _anchored(sent: list[x509.Certificate], anchors: Anchors) -> list[x509.Certificate]:
    """The configured intermediates, and those of `sent` that an anchor issued, or one of these did."""
    configured = [each.parsed for each in anchors.intermediates]
    issuers, found, waiting = [*(each.parsed for each in anchors.anchors), *configured], configured, sent
    while issuers and waiting:
        issued = [each for each in waiting if any(_is_issued_by(each, issuer) for issuer in issuers)]
        waiting = [each for each in waiting if each not in issued]
        issuers, found = issued, found + issued
    return found


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Names fit and the signature verifies.  Only a sieve: the verdict on the path asks again, and more."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _could_be_an_intermediate(certificate: x509.Certificate) -> bool:
    """It says that it is a CA, and its key is one that we would accept: before any signature costs anything."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        require_strong_key(read_certificate(certificate.public_bytes(Encoding.DER)))
    except (
        ValueError,
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        BadCertificate,
    ):
        return False
    return constraints.ca


def _require_client_auth(_: Policy, __: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    """EKU is absent or contains clientAuth (RFC 5280 section 4.2.1.12); anyExtendedKeyUsage does not count."""
    if usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("the extended key usage does not contain clientAuth")


def _require_known_constraints(_: Policy, __: x509.Certificate, constraints: x509.NameConstraints | None) -> None:
    """No constraint that would not be applied (RFC 5280 section 4.2.1.10): `cryptography` applies dNSName and
    iPAddress, skips directoryName where it is not critical, and mailboxes that stand in the subject."""
    if constraints is None:
        return
    subtrees = (*(constraints.permitted_subtrees or ()), *(constraints.excluded_subtrees or ()))
    if unapplied := {type(each).__name__ for each in subtrees} - {"DNSName", "IPAddress"}:
        raise ValueError(f"name constraints on {', '.join(sorted(unapplied))} cannot be applied")


# Defaults of `cryptography`, but: a client known by its DN needs no SAN, and EKU is ours to judge.
_LEAF_POLICY = (
    ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _require_client_auth)
)
_CA_POLICY = ExtensionPolicy.webpki_defaults_ca().may_be_present(
    x509.NameConstraints, Criticality.AGNOSTIC, _require_known_constraints
)
