"""How a client gets tokens (RFC 6749 sections 4.4 and 6, RFC 8693, RFC 8705 section 2, RFC 8707)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from certbound.client.errors import AnswerUnusable, TokenRefused, quoted
from certbound.client.flow.credential import Credential
from certbound.client.flow.discovery import ServerMetadata
from certbound.client.flow.message import Answer, Flow, Form, Request, refusal, seconds, text
from certbound.core.well_known import AccessToken

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
REFRESH_TOKEN = "urn:ietf:params:oauth:token-type:refresh_token"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token as the server gave it, and what came with it."""

    access_token: AccessToken = field(repr=False)
    expires_in: float | None
    """Seconds from its issue; None if the server did not say."""
    scope: str | None
    """None: what was asked for (RFC 6749 section 5.1)."""
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    """As it came; nothing of it is verified here."""


def client_credentials(
    server: ServerMetadata, client: Credential, *, scope: str | None = None, resources: Sequence[str] = ()
) -> Flow[Token]:
    """A token for the client itself."""
    return _ask(server, client, [("grant_type", "client_credentials"), *wished(scope, resources)])


def refresh(
    server: ServerMetadata,
    client: Credential,
    refresh_token: str,
    *,
    scope: str | None = None,
    resources: Sequence[str] = (),
) -> Flow[Token]:
    """The next token of a grant.  If it comes with a `refresh_token`, the one given here is used up."""
    form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token), *wished(scope, resources)]
    return _ask(server, client, form)


def exchange(
    server: ServerMetadata,
    client: Credential,
    subject_token: str,
    *,
    subject_token_type: str = ACCESS_TOKEN,
    requested_token_type: str | None = None,
    actor_token: str | None = None,
    actor_token_type: str = ACCESS_TOKEN,
    scope: str | None = None,
    resources: Sequence[str] = (),
) -> Flow[Token]:
    """A token of our own for one that somebody else called us with (RFC 8693 section 2)."""
    form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", subject_token),
        ("subject_token_type", subject_token_type),
    ]
    if requested_token_type is not None:
        form.append(("requested_token_type", requested_token_type))
    if actor_token is not None:
        form += [("actor_token", actor_token), ("actor_token_type", actor_token_type)]
    return _ask(server, client, [*form, *wished(scope, resources)])


def read_answer(asked: Request | str, answer: Answer) -> Token:
    """The token in an answer of the token endpoint (RFC 6749 sections 5.1 and 5.2); `asked`: the request, or where."""
    if answer.status != 200:
        raise refusal(asked, answer, TokenRefused)
    endpoint = asked if isinstance(asked, str) else asked.url
    document = answer.document() or {}
    token = text(document, "access_token")
    if token is None or not _is_sendable(token):
        raise AnswerUnusable(f"{endpoint} answered 200 without an access token; is it a token endpoint?")
    kind = document.get("token_type")
    # A token of a kind that we cannot present must not be used (RFC 6749 section 7.1).
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise AnswerUnusable(f"{endpoint} gave a token of type {quoted(kind)!r}; only Bearer is understood")
    return Token(
        access_token=AccessToken(token),
        expires_in=seconds(document, "expires_in"),
        scope=text(document, "scope"),
        refresh_token=text(document, "refresh_token"),
        id_token=text(document, "id_token"),
    )


def request_token(server: ServerMetadata, client: Credential, form: Form) -> Flow[Token]:
    """The token that the token endpoint gives for `form`, of whichever grant."""
    request = client.post(server, "token_endpoint", form)
    return read_answer(request, (yield request))


_ask = request_token


def wished(scope: str | None, resources: Sequence[str]) -> Form:
    """What is asked for, as fields; nothing that was not said."""
    return [*([] if scope is None else [("scope", scope)]), *(("resource", each) for each in resources)]


def _is_sendable(token: str) -> bool:
    """Whether a header can carry it: RFC 6750 section 2.1 knows visible ASCII only."""
    return token.isascii() and token.isprintable() and " " not in token
