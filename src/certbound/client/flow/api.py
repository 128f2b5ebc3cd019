"""What an API says of itself (RFC 9728), and whether it looks at certificates at all.

Rule 1: a document counts only if it is of exactly the resource that was asked about (section 3.3), and comes from the
        host that a token would go to.
Rule 2: an API that says it takes no bound tokens, by the member or by leaving it out (section 2), gets none by default:
        a token that it takes from anybody is worth stealing.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import urlsplit

from certbound.client.errors import ApiUnsafe, ClientError, MetadataUnusable, ServerUnreachable, quoted
from certbound.client.flow.asking import revoke
from certbound.client.flow.bound import require_bound
from certbound.client.flow.credential import Credential
from certbound.client.flow.discovery import ServerMetadata
from certbound.client.flow.grants import Token, client_credentials
from certbound.client.flow.message import Answer, Flow, Request, is_https

WELL_KNOWN = "/.well-known/oauth-protected-resource"

Binding = Literal["stated", "not denied", "any"]
"""What an API has to say before it gets a bound token: that it enforces binding; nothing against it; whatever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What an API says of itself; `document` is all of it."""

    resource: str
    enforces_binding: bool
    document: Mapping[str, Any] = field(repr=False)


class Probed(StrEnum):
    """What an API did with a token that came over a certificate it is not bound to."""

    ENFORCES = "enforces"
    """It took the token from us and not from a stranger."""
    ACCEPTS_STOLEN = "accepts stolen"
    """It took the token from a stranger."""
    UNKNOWN = "unknown"
    """It did not take the token from us either, or answered a stranger neither yes nor 401, or not at all: one that
    believes certain CAs only refuses the connection, and says nothing about tokens by that.
    """


def describe_api(url: str, resource: str | None = None) -> Flow[Api | None]:
    """What the API at `url` says of itself as `resource`, by default its origin; None if it says nothing.

    `MetadataUnusable` if what it says is of another resource, or no JSON object.
    """
    if not is_https(url):
        raise MetadataUnusable(f"the API {quoted(url)!r} is not an https URL; nothing is sent there")
    origin = f"https://{urlsplit(url).netloc}"
    named = urlsplit(resource or origin)
    path = named.path if named.scheme == "https" and named.path != "/" else ""
    where = origin + WELL_KNOWN + path + (f"?{named.query}" if named.query else "")
    answer = yield Request(method="GET", url=where, mutual_tls=False)
    if answer.status != 200:
        return None
    document = answer.document()
    if document is None:
        raise MetadataUnusable(f"{where} answered no JSON object")
    said = document.get("resource")
    if said not in ({resource} if resource else {origin, origin + "/"}):
        raise MetadataUnusable(
            f"{where} describes the resource {quoted(said)!r}, and {resource or origin} was asked about; if that is "
            "the API, give its resource exactly as it is written there"
        )
    return Api(
        resource=str(said),
        enforces_binding=document.get("tls_client_certificate_bound_access_tokens") is True,
        document=document,
    )


def require_binding(url: str, api: Api | None, wanted: Binding) -> None:
    """`ApiUnsafe` if that is not enough for a bound token to go there."""
    if wanted == "any" or (api is None and wanted == "not denied") or (api is not None and api.enforces_binding):
        return
    says = "does not say whether it enforces" if api is None else "says that it does not enforce"
    raise ApiUnsafe(
        f"{url} {says} that tokens are bound to certificates (RFC 9728), so a stolen one might be used there; nothing "
        "was sent; say binding='any' if it shall get one all the same"
    )


def says_invalid_token(challenges: Iterable[str]) -> bool:
    """Whether a 401 with these `WWW-Authenticate` says that another token would help (RFC 6750 section 3.1)."""
    # In two steps: one expression for both would take the square of the time that a long header is long.
    found = ((_BEARER.search(each), each) for each in challenges)
    return any(bearer is not None and _INVALID_TOKEN.search(each, bearer.end()) for bearer, each in found)


def probe(
    server: ServerMetadata,
    client: Credential,
    url: str,
    *,
    scope: str | None = None,
    resource: str | None = None,
    bound_to: str | None = None,
) -> Flow[Probed]:
    """Whether the API at `url` enforces binding, found out with a token of our own, which is revoked thereafter.

    `url` is fetched twice by GET: by ourselves, and by a stranger with our token.  `AnswerUnusable`, and nothing is
    fetched, if the token says that it is not bound to the certificate `bound_to`: then any API would take it.
    """
    if not is_https(url):
        raise MetadataUnusable(f"the API {quoted(url)!r} is not an https URL; nothing is sent there")
    token = yield from client_credentials(server, client, scope=scope, resources=[resource] if resource else [])
    headers = {"authorization": f"Bearer {token.access_token}"}
    try:
        if bound_to is not None:
            require_bound(server.endpoint("token_endpoint", mutual_tls=True), token.access_token, bound_to)
        ours = yield Request(method="GET", url=url, headers=headers)
        theirs = yield from _as_stranger(url, headers)
    except ClientError:
        yield from _forget(server, client, token)
        raise
    yield from _forget(server, client, token)
    if 200 <= theirs.status < 300:
        return Probed.ACCEPTS_STOLEN
    return Probed.ENFORCES if ours.status != 401 and theirs.status == 401 else Probed.UNKNOWN


def _as_stranger(url: str, headers: Mapping[str, str]) -> Flow[Answer]:
    try:
        return (yield Request(method="GET", url=url, headers=headers, stranger=True))
    except ServerUnreachable:  # that certificate does not even get a connection: what becomes of tokens nobody knows
        return Answer(0)


def _forget(server: ServerMetadata, client: Credential, token: Token) -> Flow[None]:
    if server.offers("revocation_endpoint"):
        yield from revoke(server, client, token.access_token)


_BEARER = re.compile(r"(?i)\bbearer\b")
_INVALID_TOKEN = re.compile(r'\berror\s*=\s*"?invalid_token\b')
