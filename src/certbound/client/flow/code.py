"""A person lets a client act for them (RFC 6749 section 4.1, RFC 7636, RFC 9126, RFC 9207).

Rule 1: always PKCE with S256, always a state; both are the caller's randomness, 43 characters and more.
Rule 2: what comes back counts only at the redirect URI that was named, with the state, and from the issuer.
Rule 3: a code is redeemed once; no driver sends that request again.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from certbound.client.errors import AnswerUnusable, AuthorizationRefused, ClientError, RedirectUnusable, quoted
from certbound.client.flow.credential import Credential
from certbound.client.flow.discovery import ServerMetadata
from certbound.client.flow.grants import Token, request_token, wished
from certbound.client.flow.message import Flow, ask, text

PUSHED = "pushed_authorization_request_endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What has to be kept until the person comes back."""

    url: str = field(repr=False)
    """Where the person's browser goes."""
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)


def authorize(
    server: ServerMetadata,
    client: Credential,
    *,
    redirect_uri: str,
    state: str,
    verifier: str,
    scope: str | None = None,
    resources: Sequence[str] = (),
    push: bool | None = None,
    more: Mapping[str, str] | None = None,
) -> Flow[Started]:
    """Where to send the person.  The request is pushed before (RFC 9126) if `push`, or where None, if the server can.

    `more` are parameters beside ours, `nonce` or `login_hint` for two.
    """
    if min(len(state), len(verifier)) < _SHORTEST:
        raise ClientError(f"state and verifier are secrets.token_urlsafe(32), {_SHORTEST} characters or more")
    challenge = urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")
    form = [
        ("response_type", "code"),
        ("redirect_uri", redirect_uri),
        ("state", state),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
        *wished(scope, resources),
        *(more or {}).items(),
    ]
    if (wanted := {name for name, _ in form[:5]} | {"client_id"}) & (more or {}).keys():
        raise ClientError(f"{', '.join(sorted(wanted & (more or {}).keys()))} cannot be given beside what is made here")
    page = server.endpoint("authorization_endpoint", mutual_tls=False)
    if push or (push is None and server.offers(PUSHED)):
        request = client.post(server, PUSHED, form)
        document = yield from ask(request, status=201)
        reference = text(document, "request_uri")
        if reference is None:
            raise AnswerUnusable(f"{request.url} answered 201 without a request_uri (RFC 9126 section 2.2)")
        form = [("request_uri", reference)]
    url = _with_query(page, [("client_id", client.client_id), *form])
    return Started(url=url, redirect_uri=redirect_uri, state=state, verifier=verifier)


def read_redirect(server: ServerMetadata, started: Started, url: str) -> str:
    """The code in the URL that the browser came back to.

    `AuthorizationRefused` with the server's error; `RedirectUnusable` if this is no answer to what was started.
    """
    parts, ours = urlsplit(url), urlsplit(started.redirect_uri)
    # (1) It came to where we said, and says nothing twice.
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    said = dict(pairs)
    if (parts.scheme, parts.netloc, parts.path) != (ours.scheme, ours.netloc, ours.path) or len(said) != len(pairs):
        raise RedirectUnusable(f"this is no answer to {started.redirect_uri}; nothing in it is used")
    # (2) It answers what was started here (RFC 6749 section 10.12).
    if not hmac.compare_digest(said.get("state", "").encode(), started.state.encode()):
        raise RedirectUnusable("the state is not the one that was sent; somebody else may have started this")
    # (3) It is from the issuer that was asked (RFC 9207 section 2.4).
    promised = server.document.get("authorization_response_iss_parameter_supported") is True
    if ("iss" in said or promised) and said.get("iss") != server.issuer:
        raise RedirectUnusable(f"the answer is from {quoted(said.get('iss'))!r}, and {server.issuer} was asked")
    # (4) It is a code.
    if "error" in said:
        raise AuthorizationRefused(
            endpoint=server.issuer,
            error=quoted(said["error"]),
            description=quoted(said.get("error_description", "")),
        )
    if not said.get("code"):
        raise RedirectUnusable("the answer holds neither a code nor an error")
    return said["code"]


def redeem(server: ServerMetadata, client: Credential, started: Started, code: str) -> Flow[Token]:
    """The token for a code, which is used up by this, whatever is answered."""
    form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", started.redirect_uri),
        ("code_verifier", started.verifier),
    ]
    return request_token(server, client, form)


def _with_query(page: str, fields: Sequence[tuple[str, str]]) -> str:
    parts = urlsplit(page)
    query = "&".join(filter(None, (parts.query, urlencode(fields))))
    return urlunsplit(parts._replace(query=query))


_SHORTEST = 43
