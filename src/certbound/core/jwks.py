"""What a client registers or publishes as a JWK Set (RFC 7517): certificates, if it is known by them (RFC 8705 section
2.2.2), or keys, if it signs assertions (RFC 7523).

Rule 1: the certificate is `x5c[0]`, whole; a key that equals another certificate's is not that certificate.
Rule 2: `x5c[0]` fits the other members of its JWK, or the registration is refused (RFC 7517 section 4.7).
Rule 3: a JWK that is for something else may stand beside the others and means nothing here; one that is private is
refused wherever it stands.
Rule 4: of a set that is published, a JWK that is not sound is left out (RFC 7517 section 5): whoever takes a
certificate away must not fail because of the one that he puts in its place.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from certbound.core.certificate import Certificate, read_certificate
from certbound.core.errors import BadCertificate, InvalidClient, InvalidClientMetadata
from certbound.core.keys import public_jwk, require_strong_public_key


@dataclass(frozen=True, slots=True)
class RegisteredCertificate:
    """Proof that the certificate is, byte for byte, one of those the client registered."""

    certificate: Certificate


def read_jwks(jwks: Any, field: str = "jwks", *, need_certificate: bool = True) -> tuple[Certificate, ...]:
    """Every certificate in a JWK Set.  `InvalidClientMetadata` if one is needed and none is there, or a JWK is
    not sound.
    """
    certificates = tuple(
        certificate
        for position, jwk in enumerate(_keys(jwks, field))
        if (certificate := _read_jwk(jwk, f"{field}.keys[{position}]")) is not None
    )
    if need_certificate and not certificates:
        raise InvalidClientMetadata(field, 'no JWK carries its certificate in "x5c" (RFC 8705 section 2.2.2)')
    return certificates


def read_published_jwks(jwks: Any, field: str = "jwks_uri") -> tuple[tuple[Certificate, ...], tuple[str, ...]]:
    """Every certificate in a JWK Set, and what is wrong with JWKs that were left out.

    `InvalidClientMetadata` if it is no JWK Set.  One without any certificate is: its client has none.
    """
    certificates, complaints = [], []
    for position, jwk in enumerate(_keys(jwks, field)):
        try:
            certificate = _read_jwk(jwk, f"{field}.keys[{position}]")
        except InvalidClientMetadata as error:
            complaints.append(error.reason)
        else:
            certificates.extend([certificate] if certificate is not None else [])
    return tuple(certificates), tuple(complaints)


def read_keys(jwks: Any, field: str = "jwks") -> KeySet:
    """The public keys in a JWK Set that can verify what the client signs (RFC 7523).

    Those for other uses and other algorithms are left out.  `InvalidClientMetadata` if none remains, one is private, or
    one is weak.
    """
    usable: list[Key] = []
    for position, jwk in enumerate(_keys(jwks, field)):
        usable.extend(_read_key(jwk, f"{field}.keys[{position}]"))
    if not usable:
        raise InvalidClientMetadata(
            field, "no JWK can verify an assertion; register a public key: P-256, RSA or Ed25519, for its algorithm"
        )
    return KeySet(usable)


def read_published_keys(jwks: Any, field: str = "jwks_uri") -> tuple[KeySet, tuple[str, ...]]:
    """As `read_keys`, of a set that is published: a JWK that is not sound is left out, and told."""
    usable: list[Key] = []
    complaints: list[str] = []
    for position, jwk in enumerate(_keys(jwks, field)):
        try:
            usable.extend(_read_key(jwk, f"{field}.keys[{position}]"))
        except InvalidClientMetadata as error:
            complaints.append(error.reason)
    return KeySet(usable), tuple(complaints)


def make_jwks(certificates: Iterable[Certificate]) -> dict[str, Any]:
    """A JWK Set that registers `certificates`.  `BadCertificate` for a key without a JWK form."""
    return {"keys": [{**public_jwk(each), "x5c": [b64encode(each.der).decode("ascii")]} for each in certificates]}


def match_registered(certificate: Certificate, registered: Iterable[Certificate]) -> RegisteredCertificate:
    """`InvalidClient` (401) if the certificate is none of `registered`."""
    for each in registered:
        if each.der == certificate.der:
            return RegisteredCertificate(each)
    raise InvalidClient(f"certificate {certificate.thumbprint} is none of those the client registered")


def _keys(jwks: Any, field: str) -> list[Any]:
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise InvalidClientMetadata(field, f'must be an object with "keys", an array of up to {MAX_KEYS} JWKs')
    return keys


def _read_jwk(jwk: Any, where: str) -> Certificate | None:
    _require_public(jwk, where)
    if "x5c" not in jwk:
        return None
    certificate = _read_x5c(jwk["x5c"], f"{where}.x5c")
    try:
        expected = public_jwk(certificate)
    except BadCertificate as error:
        raise InvalidClientMetadata(f"{where}.x5c", str(error)) from error
    for member, value in expected.items():
        if jwk.get(member) != value:
            raise InvalidClientMetadata(
                where, f"{member!r} does not fit the certificate in x5c[0] (RFC 7517 section 4.7)"
            )
    return certificate


def _require_public(jwk: Any, where: str) -> None:
    if not isinstance(jwk, Mapping):
        raise InvalidClientMetadata(where, "must be an object")
    if private := sorted(_PRIVATE_MEMBERS & jwk.keys()):
        raise InvalidClientMetadata(where, f"carries the private member {private[0]!r}; register the public key only")


def _can_verify(jwk: Mapping[str, Any]) -> bool:
    """It says of itself that it is for signatures, by an algorithm that some deployment takes."""
    kind, curve, alg, operations = (jwk.get(member) for member in ("kty", "crv", "alg", "key_ops"))
    algorithms = _VERIFYING.get(f"{kind} {curve}" if kind in ("EC", "OKP") else str(kind), ())
    return bool(
        algorithms
        and jwk.get("use", "sig") == "sig"
        and (alg is None or alg in algorithms)
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _read_key(jwk: Any, where: str) -> Iterator[Key]:
    """The key, if it is one for signatures.  `InvalidClientMetadata` if it is not sound."""
    _read_jwk(jwk, where)
    if not _can_verify(jwk):
        return
    try:
        key = JWKRegistry.import_key(dict(jwk))
        require_strong_public_key(key.public_key)
    except BadCertificate as error:
        raise InvalidClientMetadata(where, str(error)) from error
    except (JoseError, ValueError, TypeError, UnsupportedAlgorithm, Warning) as error:  # weak ones cause a warning
        raise InvalidClientMetadata(where, f"is no JWK that can be read: {error}") from error
    yield key


def _read_x5c(x5c: Any, where: str) -> Certificate:
    if not isinstance(x5c, list) or not 1 <= len(x5c) <= MAX_KEYS or not all(isinstance(each, str) for each in x5c):
        raise InvalidClientMetadata(where, "must be an array of base64 DER certificates, the client's own first")
    try:
        return read_certificate(b64decode(x5c[0], validate=True))
    except (ValueError, BadCertificate) as error:
        raise InvalidClientMetadata(f"{where}[0]", f"must be the base64 of a DER certificate: {error}") from error


MAX_KEYS = 32

_VERIFYING: Mapping[str, Sequence[str]] = {
    "EC P-256": ("ES256",),
    "RSA": ("PS256", "RS256"),
    "OKP Ed25519": ("EdDSA",),
}
"""By kind and curve: what the assertions of clients may be signed with."""

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
