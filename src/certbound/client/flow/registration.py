"""A client registers itself, and changes what is registered of it (RFC 7591, RFC 7592, RFC 8705 section 2.2.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from certbound.client.errors import AnswerUnusable, quoted
from certbound.client.flow.discovery import ServerMetadata
from certbound.client.flow.message import Flow, Request, ask, is_https, refusal, text
from certbound.core.certificate import Certificate
from certbound.core.jwks import make_jwks


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A client as the server registered it; `document` is all that it said, without the secrets."""

    client_id: str
    client_uri: str | None
    """Where it is managed (RFC 7592 section 3); None: not by itself."""
    document: Mapping[str, Any] = field(repr=False)
    access_token: str | None = field(repr=False)
    """What it is managed with."""
    client_secret: str | None = field(default=None, repr=False)


def register(
    server: ServerMetadata, metadata: Mapping[str, Any], *, initial_access_token: str | None = None
) -> Flow[Registered]:
    """A new client, over its own certificate where it will authenticate by one (RFC 7591 section 3)."""
    url = server.endpoint("registration_endpoint", mutual_tls=True)
    headers = {} if initial_access_token is None else _bearer(initial_access_token)
    document = yield from ask(Request(method="POST", url=url, headers=headers, json=metadata), status=201)
    return _read(url, document, None)


def read_registration(client: Registered) -> Flow[Registered]:
    """What is registered now (RFC 7592 section 2.1)."""
    request = _manage("GET", client)
    return _read(request.url, (yield from ask(request)), client)


def replace_registration(client: Registered, metadata: Mapping[str, Any]) -> Flow[Registered]:
    """`metadata` is all that is registered from now on (section 2.2)."""
    body = {name: value for name, value in metadata.items() if name not in _NOT_SENT}
    secret = {} if client.client_secret is None else {"client_secret": client.client_secret}
    request = _manage("PUT", client, json={**body, **secret, "client_id": client.client_id})
    return _read(request.url, (yield from ask(request)), client)


def renew(client: Registered, certificate: Certificate, *, keep: bool = True) -> Flow[Registered]:
    """Another self-signed certificate is registered, beside those of before if `keep`.  The old one asks for it."""
    current = yield from read_registration(client)
    jwks = make_jwks([certificate])
    before = current.document.get("jwks")
    if keep and isinstance(before, Mapping) and isinstance(keys := before.get("keys"), list):
        jwks = {"keys": [*(each for each in keys if each not in jwks["keys"]), *jwks["keys"]]}
    return (yield from replace_registration(current, {**current.document, "jwks": jwks}))


def delete_registration(client: Registered) -> Flow[None]:
    """The client is no more (section 2.3)."""
    request = _manage("DELETE", client)
    answer = yield request
    if answer.status != 204:
        raise refusal(request, answer)


def _manage(method: str, client: Registered, json: Mapping[str, Any] | None = None) -> Request:
    if client.client_uri is None or client.access_token is None:
        raise AnswerUnusable(f"the server gave {client.client_id} nothing to manage itself with (RFC 7592 section 3)")
    return Request(method=method, url=client.client_uri, headers=_bearer(client.access_token), json=json)


def _read(url: str, document: Mapping[str, Any], before: Registered | None) -> Registered:
    client_id, uri = text(document, "client_id"), text(document, "registration_client_uri")
    if client_id is None or (before is not None and client_id != before.client_id):
        raise AnswerUnusable(f"{url} answered without the client's client_id")
    if uri is not None and not is_https(uri):
        raise AnswerUnusable(f"{url} says the client is managed at {quoted(uri)!r}, which is not https")
    return Registered(
        client_id=client_id,
        client_uri=uri or (before.client_uri if before else None),
        access_token=text(document, "registration_access_token") or (before.access_token if before else None),
        client_secret=text(document, "client_secret") or (before.client_secret if before else None),
        document={name: value for name, value in document.items() if name not in _SECRETS},
    )


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


_SECRETS = frozenset({"registration_access_token", "client_secret"})
# RFC 7592 section 2.2: what the server says and the client must not repeat.
_NOT_SENT = _SECRETS | {"registration_client_uri", "client_secret_expires_at", "client_id_issued_at"}
