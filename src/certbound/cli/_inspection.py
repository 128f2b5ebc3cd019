"""What a certificate says, as facts for machines and as lines for people.

Rule: a certificate is a stranger's text: it is said here and escaped where it is printed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from certbound.cli._certificates import key_kind
from certbound.cli._output import date
from certbound.core import alternative_names as san
from certbound.core.candidates import candidates, is_self_signed, remarks
from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate
from certbound.core.extensions import read_extensions
from certbound.core.names import BadName, NameStyle, format_name
from certbound.core.qualified import organization_identifiers
from certbound.core.subject import SubjectKind
from certbound.trust.ledger import write_serial


def facts(certificate: Certificate, now: float) -> dict[str, Any]:
    """Everything that is shown of `certificate`, ready for JSON; times are seconds since the epoch."""
    says = read_extensions(certificate)
    problems = [*says.problems, *_unreadable_names(certificate)]
    subject = {style.value: _name(certificate.subject_der, style, problems) for style in NameStyle}
    found = candidates(certificate)
    return {
        "subject": subject,
        "issuer": _name(certificate.issuer_der, NameStyle.RFC4514, problems),
        "self_signed": is_self_signed(certificate),
        "serial": _serial(certificate.parsed.serial_number),
        "names": {
            **{word: [each.text for each in found if each.kind is kind] for word, kind in _KINDS.items()},
            "other": _other_names(certificate),
        },
        "x5t#S256": certificate.thumbprint,
        "spki_sha256": _key_thumbprint(certificate),
        "key": key_kind(certificate),
        "purposes": None if says.purposes is None else list(says.purposes),
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "days_left": int((certificate.not_after - now) // 86400),
        "is_authority": says.constraints.is_authority,
        "path_length": says.constraints.path_length,
        "crls": list(says.crls),
        "ocsp": list(says.ocsp),
        "organization_identifiers": _organizations(certificate),
        "qualified": None if says.qualified is None else asdict(says.qualified),
        "unreadable": problems,
        "problems": list(remarks(certificate, now)),
        "candidates": [{"kind": each.kind.value, "text": each.text, "problem": each.problem} for each in found],
    }


def rows(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """`facts` for people: a word and what it says."""
    subject = found["subject"]
    yield "subject", subject["rfc4514"] or "(empty)"
    if subject["openssl"]:
        yield "  as OpenSSL", subject["openssl"]
    if subject["brazil"] != subject["rfc4514"]:
        yield "  as Brazil", subject["brazil"]
    yield "issuer", "itself (self-signed)" if found["self_signed"] else found["issuer"] or "(empty)"
    yield "serial", found["serial"]
    for word, names in found["names"].items():
        yield from ((f"name ({word})", each) for each in names)
    yield "x5t#S256", found["x5t#S256"]
    yield "key", found["key"]
    yield "  SHA-256", found["spki_sha256"] or "(unreadable)"
    yield "valid", f"{date(found['not_before'])} to {date(found['not_after'])}, {_left(found['days_left'])}"
    purposes = found["purposes"]
    yield "for", "anything (no extended key usage)" if purposes is None else ", ".join(purposes) or "nothing"
    yield "authority", _authority(found)
    yield from (("CRL", each) for each in found["crls"])
    yield from (("OCSP", each) for each in found["ocsp"])
    yield from (("organization", _organization(each)) for each in found["organization_identifiers"])
    if found["qualified"]:
        yield from _qualified(found["qualified"])
    yield from (("UNREADABLE", each) for each in found["unreadable"])
    yield from (("PROBLEM", each) for each in found["problems"])


def matches(listed: Iterable[Mapping[str, Any]]) -> Sequence[str]:
    """Clients for people."""
    return [f"{each['client_id']} ({each['by']}){'' if each['enabled'] else ', disabled'}" for each in listed]


def _name(der: bytes, style: NameStyle, problems: list[str]) -> str:
    try:
        return format_name(der, style)
    except BadName as error:
        if str(error) not in problems:
            problems.append(str(error))
        return ""


def _serial(number: int) -> str:
    """RFC 5280 section 4.1.2.2 wants it positive; some are not."""
    return write_serial(number) if number >= 0 else f"-{write_serial(-number)}"


def _unreadable_names(certificate: Certificate) -> Iterator[str]:
    try:
        _ = certificate.alternative_names
    except BadCertificate as error:
        yield str(error)


def _other_names(certificate: Certificate) -> list[str]:
    """Those of kinds that no client is known by, as tag and bytes (RFC 5280 section 4.2.1.6)."""
    try:
        names = certificate.alternative_names
    except BadCertificate:
        return []
    return [f"[{each.tag & 0x1F}] {each.value[:64].hex()}" for each in names if each.tag not in _KNOWN_TAGS]


def _key_thumbprint(certificate: Certificate) -> str:
    try:
        return certificate.key_thumbprint
    except BadCertificate:
        return ""


def _organizations(certificate: Certificate) -> list[dict[str, str]]:
    try:
        return [asdict(each) for each in organization_identifiers(certificate)]
    except ValueError:
        return []  # the subject as a whole is told to be unreadable


def _organization(found: Mapping[str, str]) -> str:
    authority = f", authority {found['authority']}" if found["authority"] else ""
    return f"{found['text']}: {found['scheme']}, country {found['country']}{authority}, id {found['identifier']}"


def _qualified(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kinds = ", ".join(_QUALIFIED.get(each, each) for each in found["types"]) or "no type"
    yield "qualified", f"{'yes' if found['is_qualified'] else 'does not say that it is'}; {kinds}"
    if found["roles"]:
        yield "PSD2 roles", ", ".join(f"{each} ({_ROLES.get(each, 'no role of PSD2')})" for each in found["roles"])
    if found["authority_name"] or found["authority_id"]:
        yield "  by", f"{found['authority_name']} ({found['authority_id']})"


def _authority(found: Mapping[str, Any]) -> str:
    if not found["is_authority"]:
        return "no"
    length = found["path_length"]
    return "yes" if length is None else f"yes, with at most {length} authorities below it"


def _left(days: int) -> str:
    if days < 0:
        return f"ended {-days} day{'' if days == -1 else 's'} ago"
    return f"{days} day{'' if days == 1 else 's'} left"


_KINDS: Mapping[str, SubjectKind] = {
    "dns": SubjectKind.DNS,
    "uri": SubjectKind.URI,
    "ip": SubjectKind.IP,
    "email": SubjectKind.EMAIL,
}
_KNOWN_TAGS = frozenset({san.DNS_NAME, san.URI, san.IP_ADDRESS, san.RFC822_NAME})
_QUALIFIED = {"web": "for web sites (QWAC)", "eseal": "for seals (QSealC)", "esign": "for signatures"}
_ROLES = {
    "PSP_AS": "account servicing",
    "PSP_PI": "payment initiation",
    "PSP_AI": "account information",
    "PSP_IC": "card-based instruments",
}
