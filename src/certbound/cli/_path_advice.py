"""Why no path was found: who is missing between a certificate and a trust anchor, for `certbound explain`.

Rule: the verdict is another's, with its reason; this only follows the names and says where they end.
"""

from collections.abc import Iterator, Sequence

from certbound.cli._output import date
from certbound.core.certificate import Certificate, PeerCertificate, read_certificate
from certbound.core.errors import BadCertificate
from certbound.core.extensions import read_extensions
from certbound.core.names import BadName, DistinguishedName, format_name, read_name
from certbound.trust.anchors import Anchors


def missing_links(peer: PeerCertificate, anchors: Anchors, now: float) -> Iterator[str]:
    """Where the names lead from the peer's certificate, in lines; `now` is in seconds since the epoch."""
    between = [*anchors.intermediates, *_readable(peer.chain)]
    reached = peer.leaf
    for _ in range(_LONGEST):
        issuer, name = _issuer(reached), _written(reached.issuer_der)
        of_that_name = [each for each in anchors.anchors if _is_named(each, issuer)]
        if any(_may_have_signed(each, reached) for each in of_that_name):
            yield from _otherwise(peer.leaf, (*between, *of_that_name), now)
            return
        if of_that_name:
            keys = ", ".join(each.key_thumbprint for each in of_that_name)
            yield f"a trust anchor is named {name}, but its key ({keys}) did not sign {_written(reached.subject_der)}"
            yield "it may be an older or newer one of that authority, or one that only calls itself so"
            return
        is_root = _is_named(reached, issuer)
        above = [each for each in between if _is_named(each, issuer) and _may_have_signed(each, reached)]
        if is_root or not above:
            yield from _missing(reached, name, is_root=is_root)
            break
        reached = above[0]
    yield "trusted are: " + "; ".join(_written(each.subject_der) for each in anchors.anchors[:_MOST_SHOWN])


def _missing(reached: Certificate, name: str, *, is_root: bool) -> Iterator[str]:
    if is_root:
        yield f"the chain ends at {name}, which is no trust anchor here"
        yield "if it may certify this client, put its certificate into a file of trust.anchors"
    else:
        yield f"missing: the certificate of {name}, which issued {_written(reached.subject_der)}"
        yield "let the client send it behind its own (in FILE likewise), or name it in trust.intermediates"


def _otherwise(leaf: Certificate, authorities: Sequence[Certificate], now: float) -> Iterator[str]:
    """The names lead to an anchor; then it is purposes, dates, or what the reason says."""
    purposes = read_extensions(leaf).purposes
    if purposes is not None and "clientAuth" not in purposes:
        yield f"its extended key usage is {', '.join(purposes) or 'empty'}; a client needs clientAuth, or none at all"
    for each in authorities:
        if not each.is_valid_at(now):
            yield f"{_written(each.subject_der)} is valid from {date(each.not_before)} to {date(each.not_after)} only"
    yield "the names lead to a trust anchor, so nobody is missing; the reason above says what is wrong"


def _readable(chain: Sequence[bytes]) -> Iterator[Certificate]:
    for der in chain:
        try:
            yield read_certificate(der)
        except BadCertificate:
            continue


def _issuer(certificate: Certificate) -> DistinguishedName | None:
    try:
        return read_name(certificate.issuer_der)
    except BadName:
        return None


def _is_named(certificate: Certificate, name: DistinguishedName | None) -> bool:
    try:
        return name is not None and certificate.subject == name
    except BadCertificate:
        return False


def _may_have_signed(issuer: Certificate, certificate: Certificate) -> bool:
    """Whether the signature verifies; of names that are equal in other string types nobody here can tell."""
    if issuer.subject_der != certificate.issuer_der:
        return True
    try:
        certificate.parsed.verify_directly_issued_by(issuer.parsed)
    except Exception:  # noqa: BLE001 - odd algorithms and keys raise many things; each means that it has not
        return False
    return True


def _written(der: bytes) -> str:
    try:
        return format_name(der) or "(no name)"
    except BadName:
        return "(an unreadable name)"


_LONGEST = 8
_MOST_SHOWN = 10
