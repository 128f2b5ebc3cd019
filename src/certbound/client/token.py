"""How a client gets a token for itself (RFC 6749 section 4.4, RFC 8705 section 2, RFC 8707)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from certbound.client._answers import load_object
from certbound.client.errors import AnswerUnusable, TokenRefused, quoted
from certbound.client.metadata import ServerMetadata
from certbound.core.tokens import AccessToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token as the server gave it."""

    access_token: AccessToken = field(repr=False)
    expires_in: float | None
    """Seconds from its issue; None if the server did not say."""
    scope: str | None
    """None: what was asked for (RFC 6749 section 5.1)."""


def request_token(
    client: httpx.Client,
    server: ServerMetadata,
    client_id: str,
    *,
    scope: str | None = None,
    resources: Sequence[str] = (),
) -> Token:
    """A token by client_credentials; the identity of `client` is the credential.

    `TokenRefused` with the server's error; `AnswerUnusable` or `ServerUnreachable` if there is no such answer.
    """
    endpoint = server.endpoint("token_endpoint", mutual_tls=True)
    # RFC 8705 section 2: client_id is in the body, so that the server knows whom to look for.
    form: dict[str, Any] = {"grant_type": "client_credentials", "client_id": client_id}
    if scope is not None:
        form["scope"] = scope
    if resources:
        form["resource"] = list(resources)
    status, answer = load_object(client, "POST", endpoint, form)
    return read_answer(endpoint, status, answer)


def read_answer(endpoint: str, status: int, answer: Mapping[str, Any] | None) -> Token:
    """The token in an answer of the token endpoint (RFC 6749 sections 5.1 and 5.2)."""
    if status != 200:
        raise _refusal(endpoint, status, answer or {})
    token = (answer or {}).get("access_token")
    if answer is None or not isinstance(token, str) or not token:
        raise AnswerUnusable(f"{endpoint} answered 200 without an access token; is it a token endpoint?")
    kind = answer.get("token_type")
    # A token of a kind that we cannot present must not be used (RFC 6749 section 7.1).
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise AnswerUnusable(f"{endpoint} gave a token of type {quoted(kind)!r}; only Bearer is understood")
    expires_in, scope = answer.get("expires_in"), answer.get("scope")
    return Token(
        access_token=AccessToken(token),
        expires_in=expires_in if isinstance(expires_in, int | float) and not isinstance(expires_in, bool) else None,
        scope=scope if isinstance(scope, str) else None,
    )


def _refusal(endpoint: str, status: int, answer: Mapping[str, Any]) -> TokenRefused | AnswerUnusable:
    error = answer.get("error")
    if not isinstance(error, str):
        return AnswerUnusable(f"{endpoint} answered {status} without an OAuth error; is it a token endpoint?")
    return TokenRefused(
        endpoint=endpoint,
        status=status,
        error=quoted(error),
        description=quoted(answer.get("error_description") or ""),
        request_id=quoted(answer.get("request_id") or ""),
    )
