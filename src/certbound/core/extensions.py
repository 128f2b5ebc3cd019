"""What else a certificate says of itself (RFC 5280 section 4.2): read strictly, to be shown; no verdict rests on it.

Rule: one extension that cannot be read is a problem to tell, and hides nothing of the others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from certbound.core import _der
from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate
from certbound.core.qualified import QualifiedStatements, read_qc_statements

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class BasicConstraints:
    """Whether it may issue certificates, and how many authorities may stand between (section 4.2.1.9)."""

    is_authority: bool = False
    path_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """What a certificate says; None or empty where it says nothing."""

    constraints: BasicConstraints = BasicConstraints()
    purposes: tuple[str, ...] | None = None
    """Extended key usage, by name where it has one, else dotted (section 4.2.1.12)."""
    crls: tuple[str, ...] = ()
    """URLs of CRLs (section 4.2.1.13)."""
    ocsp: tuple[str, ...] = ()
    """URLs of OCSP responders (section 4.2.2.1)."""
    qualified: QualifiedStatements | None = None
    """ETSI EN 319 412-5 and TS 119 495."""
    problems: tuple[str, ...] = ()
    """What could not be read."""


def read_extensions(certificate: Certificate) -> Extensions:
    """What `certificate` says; never an exception for one that was read."""
    problems: list[str] = []
    found = _attempt("the certificate", lambda: certificate.extensions, problems) or {}

    def read(oid: str, what: str, reading: Callable[[bytes], _T]) -> _T | None:
        extension = found.get(bytes.fromhex(oid))
        return None if extension is None else _attempt(what, lambda: reading(extension.value), problems)

    return Extensions(
        constraints=read("551d13", "the basic constraints", _basic_constraints) or BasicConstraints(),
        purposes=read("551d25", "the extended key usage", _purposes),
        crls=read("551d1f", "the CRL distribution points", _distribution_points) or (),
        ocsp=read("2b06010505070101", "the authority information access", _responders) or (),
        qualified=read("2b06010505070103", "the qualified statements", read_qc_statements),
        problems=tuple(problems),
    )


def _attempt(what: str, reading: Callable[[], _T], problems: list[str]) -> _T | None:
    try:
        return reading()
    except (ValueError, BadCertificate) as error:
        problems.append(f"{what} cannot be read: {error}")
        return None


def _basic_constraints(value: bytes) -> BasicConstraints:
    parts = {part.tag: part.content for part in _in_sequence(value)}
    length = parts.get(_INTEGER)
    if length is not None and len(length) > 4:
        raise _der.DERError("a path length of more than 4 octets")
    return BasicConstraints(parts.get(_der.BOOLEAN) == b"\xff", None if length is None else int.from_bytes(length))


def _purposes(value: bytes) -> tuple[str, ...]:
    oids = (_der.read_oid(_der.expect(each, _der.OBJECT_IDENTIFIER)) for each in _in_sequence(value))
    return tuple(_PURPOSES.get(oid, oid) for oid in oids)


def _distribution_points(value: bytes) -> tuple[str, ...]:
    return tuple(
        _text(name)
        for point in _in_sequence(value)
        for where in _der.read_all(point.content)
        if where.tag == _FIRST
        for full_name in _der.read_all(where.content)
        if full_name.tag == _FIRST
        for name in _der.read_all(full_name.content)
        if name.tag == _URI
    )


def _responders(value: bytes) -> tuple[str, ...]:
    urls = []
    for description in _in_sequence(value):
        method, location = _der.read_all(_der.expect(description, _der.SEQUENCE), 2)
        if _der.read_oid(method.content) == _OCSP and location.tag == _URI:
            urls.append(_text(location))
    return tuple(urls)


def _in_sequence(value: bytes) -> list[_der.Value]:
    return list(_der.read_all(_der.expect(_der.read(value), _der.SEQUENCE), _MOST))


def _text(value: _der.Value) -> str:
    return value.content.decode("ascii", "backslashreplace")


_MOST = 64
_INTEGER, _FIRST, _URI = 0x02, 0xA0, 0x86
_OCSP = "1.3.6.1.5.5.7.48.1"
_PURPOSES: Mapping[str, str] = {
    "2.5.29.37.0": "anyExtendedKeyUsage",
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "0.4.0.2231.3.0": "tslSigning",
}
