"""Qualified certificates: who a payment service provider is and what it may do (ETSI EN 319 412-1, -5, TS 119 495).

Rule: what is read is what the certificate says; whether its issuer may say so is for the chain to tell.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from certbound.core import _der
from certbound.core._prepare import transcode
from certbound.core.certificate import Certificate


@dataclass(frozen=True, slots=True)
class OrganizationIdentifier:
    """`PSDES-BDE-3DFD21` taken apart (EN 319 412-1 section 5.1.4, TS 119 495 section 5.2.1)."""

    text: str
    scheme: str
    """PSD, VAT, NTR, LEI, or one of a country's own."""
    country: str
    """ISO 3166-1, two letters; XG is the world's (LEI)."""
    identifier: str
    authority: str = ""
    """With PSD: the national competent authority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualifiedStatements:
    """The qcStatements extension, as far as it concerns us."""

    is_qualified: bool = False
    """QcCompliance: qualified in the sense of eIDAS."""
    types: tuple[str, ...] = ()
    """QcType: esign, eseal, web (a QWAC)."""
    roles: tuple[str, ...] = ()
    """PSD2 roles: PSP_AS, PSP_PI, PSP_AI, PSP_IC."""
    authority_name: str = ""
    """Who authorized it: the national competent authority."""
    authority_id: str = ""


def organization_identifiers(certificate: Certificate) -> Iterator[OrganizationIdentifier]:
    """Those in the subject that have one of the forms there are.  `ValueError` if the subject is unreadable."""
    for rdn in _der.read_all(_der.read(certificate.subject_der).content):
        for attribute in _der.read_all(rdn.content):
            oid, value = _der.read_all(attribute.content, 2)
            text = transcode(value)
            if oid.content == _ORGANIZATION_IDENTIFIER and text is not None:
                found = read_organization_identifier(text)
                if found is not None:
                    yield found


def read_organization_identifier(text: str) -> OrganizationIdentifier | None:
    """`text` taken apart; None if it has none of the forms."""
    if found := _PSD.fullmatch(text):
        return OrganizationIdentifier(text, "PSD", found["country"], found["identifier"], found["authority"])
    if found := _OTHER.fullmatch(text):
        return OrganizationIdentifier(text, found["scheme"], found["country"], found["identifier"])
    return None


def read_qc_statements(value: bytes) -> QualifiedStatements:
    """The content of the extension 1.3.6.1.5.5.7.1.3.  `ValueError` if it is unreadable."""
    statements: dict[str, _der.Value | None] = {}
    for statement in _sequence(value):
        oid, *information = _der.read_all(_der.expect(statement, _der.SEQUENCE), 2)
        statements[_oid(oid)] = information[0] if information else None
    types, psd2 = statements.get(_QC_TYPE), statements.get(_PSD2)
    roles, name, identifier = _psd2(psd2) if psd2 else ((), "", "")
    return QualifiedStatements(
        is_qualified=_QC_COMPLIANCE in statements,
        types=tuple(_TYPES.get(_oid(each), _oid(each)) for each in _sequence(types.encoded)) if types else (),
        roles=roles,
        authority_name=name,
        authority_id=identifier,
    )


def _psd2(information: _der.Value) -> tuple[tuple[str, ...], str, str]:
    """PSD2QcType ::= SEQUENCE { rolesOfPSP SEQUENCE OF SEQUENCE { OID, UTF8String }, nCAName, nCAId }."""
    roles, name, identifier = _der.read_all(_der.expect(information, _der.SEQUENCE), 3)
    found = []
    for role in _sequence(roles.encoded):
        oid, text = _der.read_all(_der.expect(role, _der.SEQUENCE), 2)
        found.append(_ROLES.get(_oid(oid)) or _utf8(text))  # the object identifier counts, not the text beside it
    return tuple(found), _utf8(name), _utf8(identifier)


def _sequence(encoded: bytes) -> list[_der.Value]:
    return list(_der.read_all(_der.expect(_der.read(encoded), _der.SEQUENCE), _MOST))


def _oid(value: _der.Value) -> str:
    return _der.read_oid(_der.expect(value, _der.OBJECT_IDENTIFIER))


def _utf8(value: _der.Value) -> str:
    return _der.expect(value, _UTF8_STRING).decode()


_MOST = 64
_UTF8_STRING = 0x0C
_ORGANIZATION_IDENTIFIER = bytes.fromhex("550461")  # 2.5.4.97
_PSD = re.compile(r"PSD(?P<country>[A-Z]{2})-(?P<authority>[A-Z]{2,8})-(?P<identifier>.+)")
_OTHER = re.compile(
    r"(?P<scheme>VAT|NTR|PAS|IDC|PNO|TIN|LEI|EXC|GOV|[A-Z]{2}:)(?P<country>[A-Z]{2})-(?P<identifier>.+)"
)

_QC_COMPLIANCE = "0.4.0.1862.1.1"
_QC_TYPE = "0.4.0.1862.1.6"
_PSD2 = "0.4.0.19495.2"
_TYPES: Mapping[str, str] = {
    "0.4.0.1862.1.6.1": "esign",
    "0.4.0.1862.1.6.2": "eseal",
    "0.4.0.1862.1.6.3": "web",
}
_ROLES: Mapping[str, str] = {
    "0.4.0.19495.1.0": "unspecified",
    "0.4.0.19495.1.1": "PSP_AS",
    "0.4.0.19495.1.2": "PSP_PI",
    "0.4.0.19495.1.3": "PSP_AI",
    "0.4.0.19495.1.4": "PSP_IC",
}
