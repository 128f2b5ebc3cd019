"""Clients that call one API with bound tokens, in one line."""

from pathlib import Path
from typing import Any

import httpx

from certbound.client.auth import CertificateBoundAuth, origin_of
from certbound.client.errors import ClientError, IdentityUnusable
from certbound.client.flow import Credential
from certbound.client.flow.api import Binding
from certbound.client.hardware.uri import is_token_uri
from certbound.client.identity import Identity, IdentitySource
from certbound.client.transport import AsyncTransport, MinimumTLS, Transport, async_client_over, client_over
from certbound.client.watching import WatchedIdentity


def open(  # noqa: A001
    issuer: str,
    client: str | Credential,
    *,
    certificate: Path | str | bytes,
    key: Path | str | bytes | None = None,
    password: str | None = None,
    resource: str | None = None,
    scope: str | None = None,
    api: str | None = None,
    ca: Path | str | None = None,
    binding: Binding = "not denied",
    minimum_tls: MinimumTLS = "1.2",
    **more: Any,
) -> httpx.Client:
    """An `httpx.Client` that calls one API with bound tokens; relative URLs begin at `api`, or at `resource`.

    Certificate and key are paths, which are watched, or PEM as bytes; without `key`, the first is both, or PKCS #12.
    `more` goes to `httpx.Client`.
    """
    require_api(api, resource)
    transport = Transport(identity_of(certificate, key, password), ca=ca, minimum_tls=minimum_tls)
    auth = CertificateBoundAuth(
        transport, issuer, client, resource=resource, scope=scope, api=api, binding=binding
    )  # fmt: skip
    return client_over(transport, auth=auth, base_url=base_of(api, resource), **more)


def open_async(
    issuer: str,
    client: str | Credential,
    *,
    certificate: Path | str | bytes,
    key: Path | str | bytes | None = None,
    password: str | None = None,
    resource: str | None = None,
    scope: str | None = None,
    api: str | None = None,
    ca: Path | str | None = None,
    binding: Binding = "not denied",
    minimum_tls: MinimumTLS = "1.2",
    **more: Any,
) -> httpx.AsyncClient:
    """As `open`, an `httpx.AsyncClient`."""
    require_api(api, resource)
    transport = AsyncTransport(identity_of(certificate, key, password), ca=ca, minimum_tls=minimum_tls)
    auth = CertificateBoundAuth(
        transport, issuer, client, resource=resource, scope=scope, api=api, binding=binding
    )  # fmt: skip
    return async_client_over(transport, auth=auth, base_url=base_of(api, resource), **more)


def identity_of(
    certificate: Path | str | bytes, key: Path | str | bytes | None = None, password: str | None = None
) -> IdentitySource:
    """Who a client is: paths are watched, bytes stay what they are.  `IdentityUnusable` if they are no identity.

    A `pkcs11:` URI is a key in a token, `password` its PIN; as `certificate`, the token has both.
    """
    if isinstance(certificate, str) and is_token_uri(certificate):
        return Identity.from_pkcs11(certificate, pin=password)
    if isinstance(key, str) and is_token_uri(key) and isinstance(certificate, bytes):
        return Identity.from_pkcs11(key, pin=password, certificate=certificate)
    if isinstance(certificate, bytes):
        if key is None and b"-----BEGIN " not in certificate:
            return Identity.read_pkcs12(certificate, password)
        found = certificate if key is None else key if isinstance(key, bytes) else _read(key, "key")
        return Identity.read(certificate, found, password)
    if isinstance(key, bytes):
        return Identity.read(_read(certificate, "certificate"), key, password)
    return WatchedIdentity(Path(certificate), key, password)


def require_api(api: str | None, resource: str | None) -> None:
    """`ClientError` unless one of them says where tokens may go."""
    given = api or resource
    if origin_of(given) is None:
        raise ClientError(
            "say which API this client is for: resource, or api where the resource is no https URL"
            + (f"; {given!r:.200} is none" if given else "")
        )


def base_of(api: str | None, resource: str | None) -> str:
    """Where relative URLs begin; empty if neither is an https URL."""
    return api or (resource if resource and origin_of(resource) else "")


def _read(file: Path | str, what: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise IdentityUnusable(f"the client {what} {file} cannot be read: {error.strerror}") from error
