"""The second judge of a path, where the first cannot judge: OpenSSL finds it, `pyhanko-certvalidator` agrees.

Rule 1: OpenSSL folds names (RFC 5280 section 7.1) and verifies signatures from the anchor down, so that a stranger
costs one; pyhanko judges exactly the path that was found, and nothing else reaches it.
Rule 2: both must agree.  What neither asks is asked here: purpose, depth, kinds of certificates, wildcards.
Rule 3: pyhanko fetches nothing, builds no path, waits for nothing, and its log is silent.
"""

import logging
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from asn1crypto import x509 as asn1_x509
from OpenSSL import crypto
from pyhanko_certvalidator.authority import CertTrustAnchor
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import CertRevTrustPolicy, RevocationCheckingPolicy, RevocationCheckingRule
from pyhanko_certvalidator.registry import SimpleTrustManager
from pyhanko_certvalidator.validate import async_validate_path

from certbound.core import _der
from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate, Untrusted
from certbound.trust.anchors import Anchors
from certbound.trust.first_judge import NAME_CONSTRAINTS, constraints_in
from certbound.trust.material import is_authority

# Every refusal comes with a traceback there, and bytes of strangers in it.
logging.getLogger("pyhanko_certvalidator").setLevel(logging.CRITICAL + 1)

MOST_COMPARISONS = 2**11
"""Name constraints on the path times names in one certificate."""


def find_path(
    leaf: Certificate, authorities: Sequence[Certificate], anchors: Anchors, now: float, max_depth: int
) -> list[Certificate]:
    """The path from the leaf to an anchor on which both agree.  `Untrusted` if there is none."""
    known = {leaf.der: leaf, **{each.der: each for each in authorities}, **anchors.by_der}
    try:
        path = [known[der] for der in _prepared(anchors).find(leaf, (*authorities, *anchors.intermediates), now)]
        if path[-1] not in anchors.anchors:
            raise Untrusted("the path that was found does not end at an anchor")
        for each in path[:-1]:
            _require_brief(each)
        _require_fit(path, max_depth)
        _ask_pyhanko(path, now)
    except (BadCertificate, Untrusted) as error:
        raise Untrusted(str(error)) from error
    except Exception as error:  # asn1crypto, the validator and OpenSSL raise what they like on foreign bytes
        raise Untrusted(f"{type(error).__name__}: {error}") from error
    return path


class _Store:
    """OpenSSL's store of the anchors.  The time stands in the store, so it answers one question at a time."""

    def __init__(self, anchors: Anchors) -> None:
        self._lock = Lock()
        self._store = crypto.X509Store()
        for each in anchors.anchors:
            self._store.add_cert(_openssl(each))
        self._store.set_flags(crypto.X509StoreFlags.X509_STRICT | crypto.X509StoreFlags.PARTIAL_CHAIN)

    def find(self, leaf: Certificate, authorities: Sequence[Certificate], now: float) -> list[bytes]:
        untrusted = [_openssl(each) for each in authorities]
        context = crypto.X509StoreContext(self._store, _openssl(leaf), untrusted)
        with self._lock:
            self._store.set_time(datetime.fromtimestamp(now, UTC).replace(tzinfo=None))
            try:
                chain = context.get_verified_chain()
            except crypto.X509StoreContextError as error:
                raise Untrusted(f"OpenSSL: {error}") from error
        return [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in chain]


def _prepared(anchors: Anchors) -> _Store:
    store: _Store | None = anchors.prepared.get(__name__)
    if store is None:
        store = anchors.prepared[__name__] = _Store(anchors)
    return store


def _openssl(certificate: Certificate) -> crypto.X509:
    return crypto.load_certificate(crypto.FILETYPE_ASN1, certificate.der)


def _require_fit(path: Sequence[Certificate], max_depth: int) -> None:
    """What both judges leave to us (RFC 5280 sections 4.2.1.9, 4.2.1.10 and 4.2.1.12)."""
    leaf = path[0]
    if len(path) - 2 > max_depth:
        raise Untrusted(f"{len(path) - 2} intermediates; {max_depth} at most are accepted")
    if is_authority(leaf):
        raise Untrusted("a CA certificate is no client certificate")
    if NAME_CONSTRAINTS in leaf.extensions:
        raise Untrusted("name constraints in a certificate that is no CA (RFC 5280 section 4.2.1.10)")
    _require_purpose(leaf, {_CLIENT_AUTH})
    for each in path[1:-1]:
        _require_purpose(each, {_CLIENT_AUTH, _ANY_PURPOSE})
    constraints = [each for authority in path[1:] for each in constraints_in(authority)]
    if not constraints:
        return
    # An attribute of a subject has nine bytes at least.
    names = max(len(each.alternative_names) + len(each.subject_der) // 9 for each in path[:-1])
    if len(constraints) * names > MOST_COMPARISONS:
        raise Untrusted(f"{len(constraints)} name constraints for {names} names; that is too much to compare")
    for tag, content in constraints:
        # Neither of the two answers these as RFC 5280 section 4.2.1.10 does.
        if tag == _DNS and content.startswith(b"."):
            raise Untrusted("a constraint on dNSName with a leading period (RFC 5280 section 4.2.1.10)")
        if tag == _DNS and any(each.tag == _DNS and b"*" in each.value for each in leaf.alternative_names):
            raise Untrusted("a wildcard in a dNSName that is constrained")


def _require_brief(certificate: Certificate) -> None:
    """Nothing that pyhanko reads is so long that it would cost: it folds names, makes sets of bits, and text of object
    identifiers in quadratic time."""
    if len(certificate.subject_der) > _LONGEST_NAME:
        raise Untrusted(f"a subject of {len(certificate.subject_der)} bytes; {_LONGEST_NAME} are looked at")
    for oid, most in _MOST_BYTES.items():
        extension = certificate.extensions.get(oid)
        if extension is not None and len(extension.value) > most:
            raise Untrusted(f"an extension {_der.read_oid(oid)} of {len(extension.value)} bytes; {most} are looked at")


def _require_purpose(certificate: Certificate, purposes: set[bytes]) -> None:
    extension = certificate.extensions.get(_EXTENDED_KEY_USAGE)
    if extension is not None:
        listed = _der.read_all(_der.expect(_der.read(extension.value), _der.SEQUENCE))
        if purposes.isdisjoint(each.content for each in listed):
            raise Untrusted("the extended key usage does not contain clientAuth (RFC 5280 section 4.2.1.12)")


def _ask_pyhanko(path: Sequence[Certificate], now: float) -> None:
    leaf, *between, root = [asn1_x509.Certificate.load(each.der) for each in path]
    moment = datetime.fromtimestamp(now, UTC)
    context = ValidationContext(
        trust_manager=SimpleTrustManager.build(trust_roots=[root]),
        moment=moment,
        allow_fetching=False,
        revinfo_policy=_WITHOUT_REVOCATION,
        time_tolerance=timedelta(0),
    )
    _completed(async_validate_path(context, ValidationPath(CertTrustAnchor(root), between[::-1], leaf)))


def _completed(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Without anybody who fetches there is nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("the validator wants to wait for something")


_WITHOUT_REVOCATION = CertRevTrustPolicy(
    RevocationCheckingPolicy(RevocationCheckingRule.NO_CHECK, RevocationCheckingRule.NO_CHECK)
)
_EXTENDED_KEY_USAGE = bytes.fromhex("551d25")
_LONGEST_NAME = 8192
_MOST_BYTES = {
    bytes.fromhex("551d0f"): 5,  # keyUsage: nine bits are defined
    bytes.fromhex("551d1f"): 4096,  # cRLDistributionPoints
    bytes.fromhex("551d20"): 2048,  # certificatePolicies
    bytes.fromhex("551d21"): 2048,  # policyMappings
    bytes.fromhex("551d24"): 64,  # policyConstraints
    _EXTENDED_KEY_USAGE: 2048,
    bytes.fromhex("2b06010505070101"): 2048,  # authorityInfoAccess
}
_CLIENT_AUTH = bytes.fromhex("2b06010505070302")
_ANY_PURPOSE = bytes.fromhex("551d2500")
_DNS = 0x82
