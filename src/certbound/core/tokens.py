"""Access tokens as signed JWTs (RFC 9068), bound to a certificate (RFC 8705 section 3.1).

Rule 1: a header names the key and the type and brings no key of its own.
Rule 2: what is signed is what `claims_of` made; nothing of the request is copied into a token unread.
"""

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NewType

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from certbound.core.certificate import Certificate
from certbound.core.clients import ClientId
from certbound.core.confirmation import confirm
from certbound.core.errors import ConfigurationError
from certbound.core.scope import Scope, format_scope
from certbound.core.status import TYPE as LIST_TYPE
from certbound.core.status import StatusReference

Issuer = NewType("Issuer", str)
AccessToken = NewType("AccessToken", str)

TYPE = "at+jwt"
ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a grant gives: to whom, for whom, for which resources, how far.

    `certificate` is the one the token is bound to; None is an unbound token.
    """

    client_id: ClientId
    subject: str
    audience: Sequence[str]
    scope: Scope
    certificate: Certificate | None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs tokens; `kid` is its RFC 7638 thumbprint."""

    kid: str
    private: ec.EllipticCurvePrivateKey = field(repr=False)
    jwk: ECKey = field(repr=False)
    header: bytes = field(repr=False)
    """The protected header of every access token it signs, encoded, and the dot behind it."""

    @classmethod
    def load(cls, pem: bytes, *, password: str | None = None) -> "SigningKey":
        """A P-256 private key in PEM (PKCS #8 or SEC 1).  `ConfigurationError` for anything else."""
        try:
            key = ECKey.import_key(pem, password=password)
        except (ValueError, TypeError, JoseError) as error:
            raise ConfigurationError(f"the signing key cannot be read: {error}") from error
        if not isinstance(key.private_key, ec.EllipticCurvePrivateKey) or key.curve_name != "P-256":
            raise ConfigurationError(f"the signing key must be a P-256 private key for {ALGORITHM}")
        return cls(key.thumbprint(), key.private_key, key, _header(TYPE, key.thumbprint()))

    @classmethod
    def generate(cls) -> "SigningKey":
        """A new P-256 key."""
        return cls.load(ECKey.generate_key("P-256").as_pem(private=True))

    def as_pem(self, *, password: str | None = None) -> bytes:
        """The private key, PEM (PKCS #8), encrypted if there is a password."""
        return self.jwk.as_pem(private=True, password=password)

    def public_jwk(self) -> dict[str, Any]:
        """The public key as the JWK that `jwks_uri` serves."""
        return {
            **self.jwk.as_dict(private=False),
            "kid": self.kid,
            "use": "sig",
            "alg": ALGORITHM,
        }


def claims_of(
    grant: Grant, *, issuer: Issuer, now: float, lifetime: int, jti: str, status: StatusReference | None = None
) -> dict[str, Any]:
    """The claims of RFC 9068 section 2.2, `cnf` if the grant is bound, and where the status stands.

    `lifetime` is in seconds.
    """
    issued_at = int(now)
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": grant.subject,
        "aud": grant.audience[0] if len(grant.audience) == 1 else list(grant.audience),
        "client_id": grant.client_id,
        "iat": issued_at,
        "exp": issued_at + lifetime,
        "jti": jti,
    }
    if grant.scope:
        claims["scope"] = format_scope(grant.scope)
    if grant.certificate is not None:
        claims["cnf"] = confirm(grant.certificate)
    if status is not None:
        claims["status"] = status.claim()
    return claims


def sign(claims: Mapping[str, Any], key: SigningKey) -> AccessToken:
    """The claims as a compact JWS of type `at+jwt` (RFC 7515 section 5.1, RFC 7518 section 3.4).

    The header never changes and is encoded once: that and no more is why no JOSE library stands here.
    """
    return AccessToken(_sign(key.header, claims, key))


def sign_list(claims: Mapping[str, Any], key: SigningKey) -> str:
    """The claims of a status list as a compact JWS of type `statuslist+jwt`: no access token, by its header."""
    return _sign(_header(LIST_TYPE, key.kid), claims, key)


def _sign(header: bytes, claims: Mapping[str, Any], key: SigningKey) -> str:
    signing_input = header + _base64url(_JSON.encode(claims))
    signature = _concatenated(key.private.sign(signing_input, _ECDSA))
    return (signing_input + b"." + _base64url(signature)).decode("ascii")


def _concatenated(signature: bytes) -> bytes:
    """An ECDSA signature of P-256 in DER, our own, as JWS has it: r and s, 32 bytes each (RFC 7518 section 3.4)."""
    # SEQUENCE { INTEGER r, INTEGER s }, each with its length in one byte, and with a zero before or none too few.
    r_ends = 4 + signature[3]
    return signature[4:r_ends][-32:].rjust(32, b"\0") + signature[r_ends + 2 :][-32:].rjust(32, b"\0")


def _header(type_: str, kid: str) -> bytes:
    return _base64url(_JSON.encode({"alg": ALGORITHM, "typ": type_, "kid": kid})) + b"."


def _base64url(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_URL_SAFE)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ECDSA = ec.ECDSA(hashes.SHA256())
_JSON = msgspec.json.Encoder()
