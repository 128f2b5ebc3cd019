"""What a peer sent behind its leaf, as far as it may be of use (RFC 8446 section 4.4.2), at a bounded cost.

Rule 1: so many certificates and bytes are looked at and no more; what is unreadable or of no use does no harm.
Rule 2: a certificate is of use only if it says that it is a CA, and its key is one that we would accept.
Rule 3: the path builder sees only what an anchor stands behind: certificates with like names and costly keys, made to
keep it busy, cost a signature each, and after some that do not verify no more are tried.
"""

from collections.abc import Collection, Iterator, Sequence

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from certbound.core import _der
from certbound.core.certificate import Certificate, Extension, PeerCertificate, read_certificate
from certbound.core.errors import BadCertificate
from certbound.core.keys import require_strong_key
from certbound.trust.anchors import Anchors, by_subject

MAX_SENT = 40
"""How many of the certificates sent behind the leaf are looked at."""
MAX_BYTES = 48 * 1024
"""How many bytes of the leaf and of them."""
MAX_FAILURES = 12
"""How many signatures may turn out to be another's; good ones need no bound, for an anchor stands behind them."""

BASIC_CONSTRAINTS = bytes.fromhex("551d13")


def authorities_in(peer: PeerCertificate) -> list[Certificate]:
    """The certificates behind the leaf that could be on a path."""
    return list(_readable(peer.chain, MAX_BYTES - len(peer.leaf.der)))


def anchored(sent: Sequence[Certificate], anchors: Anchors) -> list[Certificate]:
    """The configured intermediates, and those of `sent` that an anchor issued, or one of these did."""
    found, waiting, issuers, patience = list(anchors.intermediates), sent, anchors.by_subject, _Patience()
    while waiting:
        issued = [each for each in waiting if _is_issued_by_any(each, issuers.get(each.issuer_der, ()), patience)]
        if not issued:
            break
        waiting = [each for each in waiting if each not in issued]
        issuers, found = by_subject(issued), found + issued
    return found


def is_authority(certificate: Certificate) -> bool:
    """Whether it says that it is a CA.  `BadCertificate` if its extensions cannot be read."""
    constraints = certificate.extensions.get(BASIC_CONSTRAINTS)
    return constraints is not None and constraints.value[2:5] == _TRUE


class _Patience:
    """How many failures are left."""

    def __init__(self) -> None:
        self.left = MAX_FAILURES


def _readable(chain: Sequence[bytes], room: int) -> Iterator[Certificate]:
    for der in chain[:MAX_SENT]:
        room -= len(der)
        if room < 0:
            return
        try:
            certificate = read_certificate(der)
            if is_authority(certificate):
                require_strong_key(certificate)
                yield certificate
        except BadCertificate:
            continue


def _is_issued_by_any(certificate: Certificate, issuers: Collection[Certificate], patience: _Patience) -> bool:
    """Those whose key identifier it names come first (section 4.2.1.1 of RFC 5280)."""
    hint = certificate.extensions.get(_AUTHORITY_KEY_IDENTIFIER, _NOTHING).value
    hinted = sorted(issuers, key=lambda issuer: _key_identifier(issuer) not in hint) if len(issuers) > 1 else issuers
    return any(_is_issued_by(certificate, issuer, patience) for issuer in hinted)


def _key_identifier(certificate: Certificate) -> bytes:
    """As it stands in an authorityKeyIdentifier, without its tag."""
    try:
        return certificate.extensions.get(_SUBJECT_KEY_IDENTIFIER, _NOTHING).value[1:]
    except BadCertificate:
        return b""


def _is_issued_by(certificate: Certificate, issuer: Certificate, patience: _Patience) -> bool:
    """The signature verifies, and names fit.  Only a sieve: the verdict on the path asks again, and more."""
    if not patience.left:
        return False
    try:
        certificate.parsed.verify_directly_issued_by(issuer.parsed)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        patience.left -= 1
        return False
    return True


_SUBJECT_KEY_IDENTIFIER = bytes.fromhex("551d0e")
_AUTHORITY_KEY_IDENTIFIER = bytes.fromhex("551d23")
_NOTHING = Extension(critical=False, value=b"")
_TRUE = bytes((_der.BOOLEAN, 1, 0xFF))
