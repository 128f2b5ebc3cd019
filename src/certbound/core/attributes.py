"""The attribute types of distinguished names: what they are called, and how two values of one are compared.

Rule 1: a type is known by its object identifier; every name is a spelling of it, in any case.
Rule 2: no name stands for two types; where people disagree (`SN`, `S`, `T`), the name means what RFC 4519 or X.520 say.
Rule 3: a type that is not listed can be registered by its object identifier and is compared as most are, ignoring case.

Names are those of RFC 4519, X.520, PKCS #9, ETSI EN 319 412 and TS 119 495, the CA/Browser Forum's EV guidelines, and
the spellings of OpenSSL, Java and Windows.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import NamedTuple


class BadName(ValueError):
    """The text or the bytes are no distinguished name."""


class Rule(StrEnum):
    """Equality matching rules of RFC 4517 section 4.2, as far as they concern strings."""

    CASE_IGNORE = "caseIgnoreMatch"
    CASE_IGNORE_IA5 = "caseIgnoreIA5Match"
    CASE_EXACT = "caseExactMatch"
    NUMERIC = "numericStringMatch"
    TELEPHONE = "telephoneNumberMatch"


class AttributeType(NamedTuple):
    """One type.  The first of `names` is the one we write, `openssl` the one OpenSSL writes, where it differs."""

    oid: str
    names: tuple[str, ...]
    rule: Rule = Rule.CASE_IGNORE
    openssl: str = ""


def find_oid(name: str) -> str:
    """The object identifier that `name` or a dotted `name` stands for.  `BadName` suggests another if there is none."""
    folded = name.lower().removeprefix("oid.")
    if _DOTTED.fullmatch(folded):
        return folded
    try:
        return OIDS[folded]
    except KeyError:
        raise BadName(f"{name[:40]!r} is no attribute name known here; {_advice(folded)}") from None


def _advice(name: str) -> str:
    if name[:1].isdigit():
        return "an object identifier is numbers and dots, and begins with 0., 1. or 2."
    if name in {"subject", "issuer", "owner"}:
        return "leave out the words a tool prints before the name"
    dotted = "write its object identifier in dotted decimal"
    near = get_close_matches(name[:40], OIDS, n=1, cutoff=0.7)
    return f"did you mean {_SPELLINGS[near[0]]}? If not, {dotted}" if near else dotted


_DOTTED = re.compile(r"(?:[01]\.(?:[0-9]|[1-3][0-9])|2\.(?:0|[1-9][0-9]*))(?:\.(?:0|[1-9][0-9]*))*", re.ASCII)

DOMAIN_COMPONENT = "0.9.2342.19200300.100.1.25"

_IA5, _EXACT, _NUMERIC, _TELEPHONE = Rule.CASE_IGNORE_IA5, Rule.CASE_EXACT, Rule.NUMERIC, Rule.TELEPHONE

ATTRIBUTE_TYPES: tuple[AttributeType, ...] = (
    AttributeType("2.5.4.3", ("CN", "commonName")),
    AttributeType("2.5.4.7", ("L", "localityName")),
    AttributeType("2.5.4.8", ("ST", "S", "stateOrProvinceName")),
    AttributeType("2.5.4.10", ("O", "organizationName")),
    AttributeType("2.5.4.11", ("OU", "organizationalUnitName")),
    AttributeType("2.5.4.6", ("C", "countryName")),
    AttributeType("2.5.4.9", ("STREET", "streetAddress"), openssl="street"),
    AttributeType(DOMAIN_COMPONENT, ("DC", "domainComponent"), _IA5),
    AttributeType("0.9.2342.19200300.100.1.1", ("UID", "userId")),
    AttributeType("2.5.4.5", ("serialNumber",)),
    AttributeType("2.5.4.97", ("organizationIdentifier",)),
    AttributeType("2.5.4.15", ("businessCategory",)),
    AttributeType(
        "1.3.6.1.4.1.311.60.2.1.1",
        ("jurisdictionLocalityName", "jurisdictionOfIncorporationLocalityName", "jurisdictionL"),
        openssl="jurisdictionL",
    ),
    AttributeType(
        "1.3.6.1.4.1.311.60.2.1.2",
        ("jurisdictionStateOrProvinceName", "jurisdictionOfIncorporationStateOrProvinceName", "jurisdictionST"),
        openssl="jurisdictionST",
    ),
    AttributeType(
        "1.3.6.1.4.1.311.60.2.1.3",
        ("jurisdictionCountryName", "jurisdictionOfIncorporationCountryName", "jurisdictionC"),
        openssl="jurisdictionC",
    ),
    AttributeType("1.2.840.113549.1.9.1", ("emailAddress", "E", "email", "pkcs9Email"), _IA5),
    AttributeType("2.5.4.4", ("SN", "surname")),
    AttributeType("2.5.4.42", ("givenName", "GN", "G"), openssl="GN"),
    AttributeType("2.5.4.43", ("initials", "I")),
    AttributeType("2.5.4.44", ("generationQualifier", "generation")),
    AttributeType("2.5.4.12", ("title", "T")),
    AttributeType("2.5.4.65", ("pseudonym",)),
    AttributeType("2.5.4.41", ("name",)),
    AttributeType("2.5.4.46", ("dnQualifier", "DNQ")),
    AttributeType("2.5.4.13", ("description",)),
    AttributeType("2.5.4.16", ("postalAddress",)),
    AttributeType("2.5.4.17", ("postalCode",)),
    AttributeType("2.5.4.18", ("postOfficeBox", "POBox")),
    AttributeType("2.5.4.19", ("physicalDeliveryOfficeName",)),
    AttributeType("2.5.4.20", ("telephoneNumber", "phone"), _TELEPHONE),
    AttributeType("2.5.4.24", ("x121Address", "x21Address"), _NUMERIC),
    AttributeType("2.5.4.25", ("internationalISDNNumber",), _NUMERIC),
    AttributeType("2.5.4.26", ("registeredAddress",)),
    AttributeType("2.5.4.27", ("destinationIndicator",)),
    AttributeType("2.5.4.45", ("x500UniqueIdentifier",)),
    AttributeType("2.5.4.51", ("houseIdentifier",)),
    AttributeType("2.5.4.54", ("dmdName",)),
    AttributeType("2.5.4.72", ("role",)),
    AttributeType("2.5.4.83", ("uri",), _EXACT),
    AttributeType("2.5.4.98", ("countryCode3c", "c3"), openssl="c3"),
    AttributeType("2.5.4.99", ("countryCode3n", "n3"), openssl="n3"),
    AttributeType("2.5.4.100", ("dnsName",)),
    AttributeType("1.2.840.113549.1.9.2", ("unstructuredName",)),
    AttributeType("1.2.840.113549.1.9.8", ("unstructuredAddress",)),
    AttributeType("0.9.2342.19200300.100.1.3", ("mail", "rfc822Mailbox"), _IA5),
    AttributeType("0.9.2342.19200300.100.1.20", ("homePhone", "homeTelephoneNumber"), _TELEPHONE),
    AttributeType("0.9.2342.19200300.100.1.41", ("mobile", "mobileTelephoneNumber"), _TELEPHONE),
    AttributeType("0.9.2342.19200300.100.1.42", ("pager", "pagerTelephoneNumber"), _TELEPHONE),
    AttributeType("0.9.2342.19200300.100.1.43", ("CO", "friendlyCountryName")),
    AttributeType("0.9.2342.19200300.100.1.44", ("uniqueIdentifier",), openssl="uid"),
    AttributeType("2.16.840.1.113730.3.1.3", ("employeeNumber",)),
    AttributeType("2.16.840.1.113730.3.1.241", ("displayName",)),
    AttributeType("1.3.6.1.4.1.250.1.57", ("labeledURI",), _EXACT),
    AttributeType("1.3.6.1.5.5.7.9.2", ("placeOfBirth",)),
    AttributeType("1.3.6.1.5.5.7.9.3", ("gender",)),
    AttributeType("1.3.6.1.5.5.7.9.4", ("countryOfCitizenship",)),
    AttributeType("1.3.6.1.5.5.7.9.5", ("countryOfResidence",)),
    AttributeType("1.3.36.8.3.14", ("nameAtBirth",)),
)

TYPES: Mapping[str, AttributeType] = {each.oid: each for each in ATTRIBUTE_TYPES}
"""By object identifier."""

_SPELLINGS: Mapping[str, str] = {name.lower(): name for each in ATTRIBUTE_TYPES for name in each.names}

OIDS: Mapping[str, str] = {name.lower(): each.oid for each in ATTRIBUTE_TYPES for name in each.names}
"""By name, in small letters."""
