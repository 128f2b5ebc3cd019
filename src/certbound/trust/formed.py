"""What RFC 5280 demands of the certificates on a path, and no library asks: a numbered table, and its only reader.

Rule 1: asked of a path that is trusted already, whichever judge found it; so its refusals are not for strangers, but
for whoever runs the CA: each names the certificate, the rule, its section, and what to change.
Rule 2: only form: whether one certificate keeps to the profile.  What one says about another is the judges'.
"""

import re
from collections.abc import Callable, Sequence
from enum import Flag, auto
from typing import NamedTuple

from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate, Untrusted
from certbound.core.names import BadName, format_name
from certbound.trust.material import BASIC_CONSTRAINTS


class Place(Flag):
    """Where on the path a certificate stands."""

    LEAF = auto()
    BETWEEN = auto()
    ANCHOR = auto()


class Rule(NamedTuple):
    """`is_broken` by a certificate in one of these places."""

    section: str
    """Of RFC 5280."""
    places: Place
    is_broken: Callable[[Certificate], bool]
    says: str
    """What is wrong, with the certificate as its subject."""
    change: str
    """What to do about it."""


def require_well_formed(path: Sequence[Certificate]) -> None:
    """Every certificate from the leaf to the anchor keeps to the profile.  `Untrusted` otherwise."""
    last = len(path) - 1
    for index, certificate in enumerate(path):
        place = Place.LEAF if not index else Place.ANCHOR if index == last else Place.BETWEEN
        try:
            broken = next(((number, rule) for number, rule in _RULES[place] if rule.is_broken(certificate)), None)
        except BadCertificate as error:
            raise Untrusted(f"{called(certificate)} is not fit: {error}") from error
        if broken is not None:
            number, rule = broken
            where = f"RFC 5280 section {rule.section}, rule F{number}"
            raise Untrusted(f"{called(certificate)} {rule.says} ({where}): {rule.change}")


def called(certificate: Certificate) -> str:
    """What people can find a certificate by: its subject, and its thumbprint."""
    return f"the certificate {name_of(certificate.subject_der)} ({certificate.thumbprint})"


def name_of(der: bytes) -> str:
    """A Name for people, in quotes and not too long; empty if it cannot be read."""
    try:
        return repr(format_name(der)[:_LONGEST_NAME])
    except BadName:
        return repr("")


_LONGEST_NAME = 200


def _lacks(oid: bytes) -> Callable[[Certificate], bool]:
    return lambda certificate: oid not in certificate.extensions


def _has_uncritical(oid: bytes) -> Callable[[Certificate], bool]:
    def is_broken(certificate: Certificate) -> bool:
        extension = certificate.extensions.get(oid)
        return extension is not None and not extension.critical

    return is_broken


def _lacks_critical(oid: bytes) -> Callable[[Certificate], bool]:
    def is_broken(certificate: Certificate) -> bool:
        extension = certificate.extensions.get(oid)
        return extension is None or not extension.critical

    return is_broken


def _constrains_policies_by_the_way(certificate: Certificate) -> bool:
    return _POLICIES not in certificate.extensions and _has_uncritical(_POLICY_CONSTRAINTS)(certificate)


def _is_nameless(certificate: Certificate) -> bool:
    return certificate.subject_der == _EMPTY and _lacks_critical(_SUBJECT_ALT_NAME)(certificate)


def _carries(tag: int, form: re.Pattern[bytes]) -> Callable[[Certificate], bool]:
    """A name of this kind and another form."""
    return lambda certificate: any(
        each.tag == tag and form.fullmatch(each.value) is None for each in certificate.alternative_names
    )


_SUBJECT_KEY_IDENTIFIER, _SUBJECT_ALT_NAME, _NAME_CONSTRAINTS, _POLICIES, _AUTHORITY_KEY_IDENTIFIER, \
    _POLICY_CONSTRAINTS, _INHIBIT_ANY_POLICY = (
        bytes((0x55, 0x1D, arc)) for arc in (14, 17, 30, 32, 35, 36, 54)
    )  # fmt: skip
_EMPTY = b"\x30\x00"
_MAILBOX, _DNS = 0x81, 0x82
_LABEL = rb"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rb"(?:\*\.)?" + _LABEL + rb"(?:\." + _LABEL + rb")*")
_ADDRESS = re.compile(rb"[^@\s]+@" + _LABEL + rb"(?:\." + _LABEL + rb")*")

_AUTHORITIES = Place.BETWEEN | Place.ANCHOR
_ALL = Place.LEAF | _AUTHORITIES

RULES: dict[int, Rule] = {
    1: Rule("4.2.1.1", Place.LEAF | Place.BETWEEN, _lacks(_AUTHORITY_KEY_IDENTIFIER),
            "has no authorityKeyIdentifier", "its issuer must put one in"),
    2: Rule("4.2.1.2", _AUTHORITIES, _lacks(_SUBJECT_KEY_IDENTIFIER),
            "has no subjectKeyIdentifier", "a CA certificate needs one"),
    3: Rule("4.2.1.9", _AUTHORITIES, _lacks_critical(BASIC_CONSTRAINTS),
            "has no basicConstraints that are critical", "a CA certificate needs them so"),
    4: Rule("4.2.1.10", _ALL, _has_uncritical(_NAME_CONSTRAINTS),
            "has nameConstraints that are not critical", "its issuer must mark them critical"),
    5: Rule("4.2.1.11", _ALL, _constrains_policies_by_the_way,
            "has policyConstraints that are not critical, and names no policies",
            "its issuer must mark them critical"),
    6: Rule("4.2.1.14", _ALL, _has_uncritical(_INHIBIT_ANY_POLICY),
            "has an inhibitAnyPolicy that is not critical", "its issuer must mark it critical"),
    7: Rule("4.2.1.6", Place.LEAF, _is_nameless,
            "has an empty subject and no subjectAltName that is critical",
            "its issuer must mark the subjectAltName critical, or name a subject"),
    8: Rule("4.2.1.6", Place.LEAF, _carries(_DNS, _HOST),
            "has a dNSName that is no host name",
            "letters, digits and hyphens only, no underscore; a name of another kind belongs elsewhere"),
    9: Rule("4.2.1.6", Place.LEAF, _carries(_MAILBOX, _ADDRESS),
            "has an rfc822Name that is no mailbox", "local-part@domain, nothing around it"),
}  # fmt: skip
_RULES = {place: [(number, rule) for number, rule in RULES.items() if place in rule.places] for place in Place}
