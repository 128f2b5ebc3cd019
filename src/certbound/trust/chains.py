"""From a certificate to a trust anchor (RFC 5280 section 6, RFC 8705 sections 2.1, 7.4 and 7.5).

Rule 1: the path is the verdict of libraries, none of our own; no system roots, and no anchor by default.
Rule 2: the leaf is index 0 of what was sent; the rest is material for a path, in any order, of any use or none.
Rule 3: one judge, `cryptography`, is asked about everybody; a second one, which is two libraries that must agree, only
where something stands on the way that the first cannot judge.  Where the second is missing, so is the path.
Rule 4: whichever found the path, it is held against our table of keys and our table of forms.
Rule 5: whatever was sent, the cost has a bound and the only exception is `Untrusted`.
"""

from collections.abc import Sequence
from types import ModuleType

from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.errors import BadCertificate, Untrusted
from certbound.core.keys import require_strong_key
from certbound.core.proofs import TrustedChain
from certbound.trust import first_judge
from certbound.trust.anchors import Anchors
from certbound.trust.formed import called, name_of, require_well_formed
from certbound.trust.material import MAX_BYTES, anchored, authorities_in

MAX_DEPTH = 6
"""How many intermediates a path may have."""
MAX_NAME = 4096
"""Bytes of the leaf's subject and of its issuer: a library reads them again for each issuer that it tries."""


def verify_chain(peer: PeerCertificate, anchors: Anchors, now: float, *, max_depth: int = MAX_DEPTH) -> TrustedChain:
    """The peer's certificate leads to one of `anchors` at `now`, in seconds since the epoch.

    `Untrusted` if it does not; also if there is no anchor at all.
    """
    # (1) No anchor trusts nobody.
    if not anchors:
        raise Untrusted("no trust anchor is configured")
    # (2) The leaf is small enough to be looked at, and its key is strong.
    _require_bounded(peer.leaf)
    # (3) A path leads to an anchor, and every rule of RFC 5280 that a library judges holds on it.
    path = _find_path(peer, anchors, now, min(max_depth, MAX_DEPTH))
    # (4) Every key on it is strong.
    for authority in path[1:]:
        _require_strong(authority)
    # (5) Every certificate on it has the form that RFC 5280 demands.
    require_well_formed(path)
    return TrustedChain(tuple(path), min(each.not_after for each in path))


def _require_bounded(leaf: Certificate) -> None:
    """What a judge may spend on it has a bound: its bytes, names and extensions are counted, and its key."""
    if len(leaf.der) > MAX_BYTES:
        raise Untrusted(f"the certificate {leaf.thumbprint} has {len(leaf.der)} bytes; {MAX_BYTES} are looked at")
    if max(len(leaf.subject_der), len(leaf.issuer_der)) > MAX_NAME:
        raise Untrusted(f"the certificate {leaf.thumbprint} has a name of more than {MAX_NAME} bytes")
    try:
        _ = leaf.extensions, leaf.alternative_names
    except BadCertificate as error:
        raise Untrusted(f"{called(leaf)} is not fit: {error}") from error
    _require_strong(leaf)


def _require_strong(certificate: Certificate) -> None:
    try:
        require_strong_key(certificate)
    except BadCertificate as error:
        raise Untrusted(f"{called(certificate)} is not fit: {error}") from error


def _find_path(peer: PeerCertificate, anchors: Anchors, now: float, max_depth: int) -> Sequence[Certificate]:
    leaf, sent = peer.leaf, authorities_in(peer)
    try:
        path = _ask_first(leaf, sent, anchors, now, max_depth)
        refusal, unjudged = "", first_judge.constrained(path)
        if not unjudged:
            return path
    except Untrusted as error:
        refusal, unjudged = f"{error}; ", first_judge.beyond(leaf, (*sent, *anchors.intermediates), anchors.anchors)
        if not unjudged:
            raise Untrusted(f"{_no_path(leaf)}: {error}") from error
    try:
        found: Sequence[Certificate] = _second_judge().find_path(leaf, sent, anchors, now, max_depth)
    except Untrusted as error:
        raise Untrusted(f"{_no_path(leaf)}: {refusal}a second judge was asked ({unjudged}): {error}") from error
    return found


def _no_path(leaf: Certificate) -> str:
    return f"no path from {called(leaf)}, issued by {name_of(leaf.issuer_der)}, to a trust anchor"


def _ask_first(
    leaf: Certificate, sent: Sequence[Certificate], anchors: Anchors, now: float, max_depth: int
) -> Sequence[Certificate]:
    authorities = anchored(sent, anchors)
    known = {each.der: each for each in authorities}
    path = first_judge.find_path(leaf, authorities, anchors, now, max_depth)
    return [leaf, *(known.get(der) or anchors.by_der[der] for der in path[1:])]


def _second_judge() -> ModuleType:
    """Read when it is needed first; `Untrusted` where the extra `server` did not bring what it needs."""
    try:
        from certbound.trust import second_judge  # noqa: PLC0415 - 50 ms that others need not spend
    except ModuleNotFoundError as error:
        raise Untrusted(f"{error.name} is missing; install certbound[server]") from error
    return second_judge
