"""The first judge of a path: `cryptography`'s verifier, asked about every certificate (RFC 5280 section 6).

Rule 1: it finds the path, tries others where one fails, and comes back from whatever is sent; no system roots.
Rule 2: what it cannot judge is never taken for judged: name constraints of kinds that it does not apply are refused,
and a path that constrains policies is not its to accept; `beyond` says so.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder

from certbound.core import _der
from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate, Untrusted
from certbound.trust.anchors import Anchors

MOST_CONSTRAINTS = 256
"""Name constraints of one authority; each is held against each name below it."""

NAME_CONSTRAINTS = bytes.fromhex("551d1e")


def find_path(
    leaf: Certificate, authorities: Sequence[Certificate], anchors: Anchors, now: float, max_depth: int
) -> list[bytes]:
    """A path from the leaf to an anchor, both included, as DER.  `Untrusted` if it finds none that it can judge."""
    try:
        verifier = (
            PolicyBuilder()
            .store(anchors.store)
            .time(datetime.fromtimestamp(now, UTC).replace(tzinfo=None))
            .max_chain_depth(max_depth)
            .extension_policies(ca_policy=_CA_POLICY, ee_policy=_LEAF_POLICY)
            .build_client_verifier()
        )
        path = verifier.verify(leaf.parsed, [each.parsed for each in authorities]).chain
        return [each.public_bytes(Encoding.DER) for each in path]
    except Exception as error:  # a library raises what it likes on foreign bytes
        raise Untrusted(str(error)) from error


def beyond(leaf: Certificate, authorities: Sequence[Certificate], anchors: Iterable[Certificate]) -> str:
    """What stands in these that the first judge cannot judge, in words; nothing if it can."""
    trusted = tuple(anchors)
    issuers = (*authorities, *trusted)
    subjects = {each.subject_der for each in issuers}
    if any(each.issuer_der not in subjects for each in (leaf, *authorities)):
        return "no authority has the issuer's name byte for byte"
    for each in issuers:
        try:
            if isinstance(each.public_key, _EDWARDS):
                return "an authority with an Edwards key"
        except BadCertificate:
            continue
    if any(each.issuer_der == each.subject_der for each in authorities):
        return "a self-issued intermediate"
    return constrained((leaf, *issuers))


def constrained(path: Iterable[Certificate]) -> str:
    """As `beyond`, but only what the first judge would pass over on a path that it found."""
    for each in path:
        try:
            if any(oid in each.extensions for oid in _POLICY_RULES):
                return "policy constraints"
            if not _KINDS.issuperset(tag for tag, _ in constraints_in(each)):
                return "name constraints other than on dNSName and iPAddress"
        except BadCertificate:
            continue
    return ""


def constraints_in(authority: Certificate) -> list[tuple[int, bytes]]:
    """Tag and content of each name constraint, a GeneralName.  `BadCertificate` if unreadable or too many."""
    extension = authority.extensions.get(NAME_CONSTRAINTS)
    try:
        return [] if extension is None else list(_subtrees(extension.value))
    except _der.DERError as error:
        raise BadCertificate(f"unreadable name constraints: {error}") from error


def _subtrees(constraints: bytes) -> Iterator[tuple[int, bytes]]:
    room = MOST_CONSTRAINTS
    for permitted_or_excluded in _der.read_all(_der.expect(_der.read(constraints), _der.SEQUENCE), 2):
        for subtree in _der.read_all(permitted_or_excluded.content, room):
            room -= 1
            base = next(_der.read_all(_der.expect(subtree, _der.SEQUENCE)), None)
            if base is None:
                raise _der.DERError("a subtree without a base")
            yield base.tag, base.content


def _require_client_auth(_: Policy, __: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    """EKU is absent or contains clientAuth (section 4.2.1.12); anyExtendedKeyUsage does not count."""
    if usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("the extended key usage does not contain clientAuth (RFC 5280 section 4.2.1.12)")


def _require_authority(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    """It is a CA (section 4.2.1.9)."""
    if not constraints.ca:
        raise ValueError("an issuer that is no CA (RFC 5280 section 4.2.1.9)")


def _require_certificate_signing(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    """Key usage is absent or contains keyCertSign (section 4.2.1.3)."""
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the key usage of a CA does not contain keyCertSign (RFC 5280 section 4.2.1.3)")


def _require_known_constraints(_: Policy, __: x509.Certificate, constraints: x509.NameConstraints | None) -> None:
    """No constraint that would not be applied (section 4.2.1.10): `cryptography` applies dNSName and iPAddress, skips
    directoryName where it is not critical, and mailboxes that stand in the subject."""
    if constraints is None:
        return
    subtrees = (*(constraints.permitted_subtrees or ()), *(constraints.excluded_subtrees or ()))
    if unapplied := {type(each).__name__ for each in subtrees} - {"DNSName", "IPAddress"}:
        raise ValueError(f"name constraints on {', '.join(sorted(unapplied))} are not applied by this judge")
    if len(subtrees) > MOST_CONSTRAINTS:
        raise ValueError(f"{len(subtrees)} name constraints; {MOST_CONSTRAINTS} are looked at")


# Defaults of `cryptography`, but: a client known by its DN needs no SAN, EKU is ours to judge, a private CA often has
# no key usage, and whoever has no key identifiers or basic constraints that are not critical is told so by
# `trust.formed`, in words that help.
_LEAF_POLICY = (
    ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _require_client_auth)
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.NON_CRITICAL, None)
)
_CA_POLICY = (
    ExtensionPolicy.webpki_defaults_ca()
    .may_be_present(x509.NameConstraints, Criticality.AGNOSTIC, _require_known_constraints)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_certificate_signing)
    .may_be_present(x509.SubjectKeyIdentifier, Criticality.NON_CRITICAL, None)
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _require_authority)
)
_EDWARDS = (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)
_POLICY_RULES = tuple(bytes((0x55, 0x1D, arc)) for arc in (33, 36, 54))
"""policyMappings, policyConstraints, inhibitAnyPolicy."""
_DNS, _IP = 0x82, 0x87
_KINDS = frozenset((_DNS, _IP))
