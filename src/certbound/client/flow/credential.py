"""Who a client says it is to an issuer, and how it proves it (RFC 6749 section 2.3, RFC 7523, RFC 8705 section 2).

Rule 1: exactly one method is used.
Rule 2: where the certificate is the credential, `client_id` is in the body and nothing else is.
Rule 3: an assertion is made for the issuer, once, and for a minute.
"""

import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from certbound.client.errors import ClientError
from certbound.client.flow.discovery import ServerMetadata
from certbound.client.flow.message import Form, Request
from certbound.core.client_credentials import Method
from certbound.core.credentials import JWT_BEARER
from certbound.core.signing import SigningKey, sign_jwt


@dataclass(frozen=True, slots=True)
class Credential:
    """A client at one issuer.  By default its certificate is the credential."""

    client_id: str
    method: Method = Method.TLS_CLIENT_AUTH
    secret: str | None = field(default=None, repr=False, kw_only=True)
    """For `client_secret_basic` and `client_secret_post`."""
    key: SigningKey | None = field(default=None, repr=False, kw_only=True)
    """For `private_key_jwt`."""
    mutual_tls: bool = field(default=True, kw_only=True)
    """Tokens are bound to the client's certificate, so requests go to the aliases, whatever the method is."""
    now: Callable[[], float] = field(default=time.time, repr=False, compare=False, kw_only=True)
    nonce: Callable[[], str] = field(default=secrets.token_urlsafe, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.method in _NEED_SECRET and not self.secret:
            raise ClientError(f"{self.method.value} needs the client's secret")
        if self.method is Method.PRIVATE_KEY_JWT and self.key is None:
            raise ClientError("private_key_jwt needs the client's signing key")
        if self.method.is_mutual_tls and not self.mutual_tls:
            raise ClientError(f"{self.method.value} works over mutual TLS only")

    def post(self, server: ServerMetadata, name: str, form: Form) -> Request:
        """The form at the endpoint `name` of that server, with what proves who sends it."""
        url = server.endpoint(name, mutual_tls=self.mutual_tls)
        headers, fields = _METHODS[self.method](self, server)
        return Request(
            method="POST", url=url, headers=headers, form=(*form, *fields), mutual_tls=self.mutual_tls
        )  # fmt: skip


Proof = tuple[Mapping[str, str], Form]
"""Headers, and fields of the form."""


def _named(client: Credential, _: ServerMetadata) -> Proof:
    # RFC 8705 section 2: client_id is in the body, so that the server knows whom to look for.
    return {}, [("client_id", client.client_id)]


def _basic(client: Credential, _: ServerMetadata) -> Proof:
    # RFC 6749 section 2.3.1: both are encoded as forms are, before they are joined.
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret or '')}"
    return {"authorization": "Basic " + b64encode(pair.encode("ascii")).decode("ascii")}, []


def _post(client: Credential, _: ServerMetadata) -> Proof:
    return {}, [("client_id", client.client_id), ("client_secret", client.secret or "")]


def _assertion(client: Credential, server: ServerMetadata) -> Proof:
    assert client.key is not None
    issued_at = int(client.now())
    claims = {
        "iss": client.client_id, "sub": client.client_id, "aud": server.issuer, "jti": client.nonce(),
        "iat": issued_at, "exp": issued_at + _ASSERTION_LIFETIME,
    }  # fmt: skip
    assertion = sign_jwt(claims, client.key, "JWT")
    return {}, [
        ("client_id", client.client_id), ("client_assertion_type", JWT_BEARER), ("client_assertion", assertion),
    ]  # fmt: skip


_ASSERTION_LIFETIME = 60
_NEED_SECRET = frozenset({Method.CLIENT_SECRET_BASIC, Method.CLIENT_SECRET_POST})
_METHODS: Mapping[Method, Callable[[Credential, ServerMetadata], Proof]] = {
    Method.NONE: _named,
    Method.TLS_CLIENT_AUTH: _named,
    Method.SELF_SIGNED_TLS_CLIENT_AUTH: _named,
    Method.CLIENT_SECRET_BASIC: _basic,
    Method.CLIENT_SECRET_POST: _post,
    Method.PRIVATE_KEY_JWT: _assertion,
}
