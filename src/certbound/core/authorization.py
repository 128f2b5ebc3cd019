"""What an authorization request asks for (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2.1).

Rule 1: until the client is known and the redirect URI is one of its own, nobody is sent anywhere: what is wrong is
shown to the person.  What is wrong afterwards is told to the client.
Rule 2: `code` and nothing else; PKCE with S256, always (RFC 9700 section 2.1.1).
Rule 3: a request that was pushed is the one that was pushed: nothing beside it counts (RFC 9126 section 4).
Rule 4: what we do not speak and a client could rely on is refused by name; what means nothing is ignored.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from certbound.core.client_authorization import CODE_GRANT
from certbound.core.clients import Client
from certbound.core.errors import (
    CertboundError,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    OAuthError,
    UnauthorizedClient,
    describable,
)
from certbound.core.grants._request import Policy, grant_audience
from certbound.core.jws import MAX_TOKEN
from certbound.core.pkce import S256, is_challenge
from certbound.core.redirects import ResponseMode, match_redirect_uri
from certbound.core.scope import Scope, grant_scope

OPENID = "openid"
MAX_STATE = 2048
MAX_NONCE = 512
MAX_HINT = 255
"""Characters."""
MOST_WORDS = 10
"""Of a list in one parameter, so many are looked at."""


class Prompt(StrEnum):
    """`prompt`: what the person shall be asked, whatever is known already."""

    NONE = "none"
    LOGIN = "login"
    CONSENT = "consent"
    SELECT_ACCOUNT = "select_account"


class ReturnTo(msgspec.Struct, frozen=True):
    """Where the answer goes."""

    redirect_uri: str
    mode: ResponseMode = ResponseMode.QUERY
    state: str | None = None


class AuthorizationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One that a client may make.  It is kept as JSON while a person decides."""

    client_id: str
    to: ReturnTo
    scope: tuple[str, ...]
    """No more than the client and the deployment have, sorted."""
    resources: tuple[str, ...]
    """The audience of the access token."""
    code_challenge: str
    nonce: str | None = None
    prompt: frozenset[Prompt] = frozenset()
    max_age: int | None = None
    """Seconds since the person last proved who they are, at most."""
    login_hint: str = ""
    acr_values: tuple[str, ...] = ()
    ui_locales: tuple[str, ...] = ()
    id_token_hint: str = ""
    """As it came; whom it names, the server reads."""


class AuthorizationError(CertboundError):
    """A request that is refused with an answer to the client (RFC 6749 section 4.1.2.1).

    `description` is what the client is told beside `error`: the reason itself, where that is about the request's form.
    """

    def __init__(self, reason: str, to: ReturnTo, *, error: str = "invalid_request", description: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.to = to
        self.error = error
        self.description = describable(description or reason)


def find_return(parameters: Mapping[str, Sequence[str]], client: Client) -> ReturnTo:
    """Where answers go, errors too.  `InvalidRequest` (400) or `UnauthorizedClient` (400), to be shown to the person.

    `parameters` are those of the request, each with at least one value.
    """
    # (1) The client may send people here at all.
    if CODE_GRANT not in client.grant_types:
        raise UnauthorizedClient(f"{client.client_id} may not use {CODE_GRANT}")
    # (2) It names one redirect URI, and that is one of its own.
    asked = _one(parameters, "redirect_uri")
    if asked is None:
        raise InvalidRequest("redirect_uri is missing")
    if not match_redirect_uri(asked, client.redirect_uris):
        text = "redirect_uri is none that the client registered"
        raise InvalidRequest(f"{text}: {asked!r:.200}", description=text)
    # (3) The answer can travel as it asks, and say to which request it belongs.
    state = _one(parameters, "state")
    if state is not None and len(state) > MAX_STATE:
        raise InvalidRequest(f"state has more than {MAX_STATE} characters")
    mode = _one(parameters, "response_mode") or ResponseMode.QUERY
    if mode not in set(ResponseMode):
        raise InvalidRequest("response_mode must be query, fragment or form_post")
    return ReturnTo(asked, ResponseMode(mode), state)


def read_request(
    parameters: Mapping[str, Sequence[str]], client: Client, policy: Policy, to: ReturnTo
) -> AuthorizationRequest:
    """What is asked for.  `AuthorizationError`, which goes `to` the client, otherwise."""
    # (4) It is one that we speak.
    _require_spoken(parameters, to)
    # (5) Whoever redeems the code can prove that it began here.
    challenge = _one(parameters, "code_challenge")
    if challenge is None:
        raise AuthorizationError("code_challenge is missing; PKCE is required (RFC 7636)", to)
    if _one(parameters, "code_challenge_method") != S256 or not is_challenge(challenge):
        raise AuthorizationError("code_challenge_method must be S256, and code_challenge a SHA-256 in base64url", to)
    # (6) No more than the client and the deployment have.
    try:
        scope = grant_scope(_one(parameters, "scope"), Scope(client.scope & policy.scope))
        resources = grant_audience(parameters.get("resource", ()), policy.resources, policy.resources[:1])
    except (InvalidScope, InvalidTarget) as error:
        raise _told(error, to) from error
    # (7) What it wants of the person makes sense.
    nonce = _short(parameters, "nonce", MAX_NONCE, to)
    hint = _short(parameters, "id_token_hint", MAX_TOKEN, to) or ""
    return AuthorizationRequest(
        client_id=client.client_id,
        to=to,
        scope=tuple(sorted(scope)),
        resources=tuple(resources),
        code_challenge=challenge,
        nonce=nonce,
        prompt=_prompt(_one(parameters, "prompt"), to),
        max_age=_max_age(_one(parameters, "max_age"), to, client.default_max_age),
        login_hint=(_one(parameters, "login_hint") or "")[:MAX_HINT],
        acr_values=_words(parameters, "acr_values") or client.default_acr_values,
        ui_locales=_words(parameters, "ui_locales"),
        id_token_hint=hint,
    )


def require_current(request: AuthorizationRequest, client: Client, policy: Policy) -> AuthorizationRequest:
    """`request`, if the client may still make it: what was pushed, or waited for a person, may be late.

    `InvalidRequest` or `UnauthorizedClient` (400), to be shown to the person; `AuthorizationError` otherwise.
    """
    # (8) People are sent nowhere where they would not be sent now.
    if request.client_id != client.client_id:
        raise InvalidRequest("the request is another client's")
    if not client.enabled:
        raise InvalidRequest("this app was disabled here, and cannot ask for anything any more")
    if CODE_GRANT not in client.grant_types:
        raise UnauthorizedClient(f"{client.client_id} may not use {CODE_GRANT} any more")
    if not match_redirect_uri(request.to.redirect_uri, client.redirect_uris):
        raise InvalidRequest("redirect_uri is none that the client registered, any more")
    # (9) It asks for nothing that the client or the deployment does not have any more.
    if lost := set(request.scope) - (client.scope & policy.scope):
        raise AuthorizationError(f"the client may not have {min(lost)} any more", request.to, error="invalid_scope")
    if lost := set(request.resources) - set(policy.resources):
        raise AuthorizationError(f"there is no resource {min(lost)} any more", request.to, error="invalid_target")
    return request


def _require_spoken(parameters: Mapping[str, Sequence[str]], to: ReturnTo) -> None:
    for name, error in _UNSPOKEN.items():
        if name in parameters:
            raise AuthorizationError(f"{name} is not taken here", to, error=error)
    if repeated := [name for name, values in parameters.items() if len(values) > 1 and name != "resource"]:
        raise AuthorizationError(f"{repeated[0]:.64} is repeated", to)
    response_type = _one(parameters, "response_type")
    if response_type is None:
        raise AuthorizationError("response_type is missing", to)
    if response_type != "code":
        raise AuthorizationError("response_type must be code", to, error="unsupported_response_type")


def _short(parameters: Mapping[str, Sequence[str]], name: str, most: int, to: ReturnTo) -> str | None:
    """What is no longer than `most` characters."""
    value = _one(parameters, name)
    if value is not None and len(value) > most:
        raise AuthorizationError(f"{name} has more than {most} characters", to)
    return value


def _told(error: OAuthError, to: ReturnTo) -> AuthorizationError:
    return AuthorizationError(error.reason, to, error=error.error, description=error.description)


def _prompt(text: str | None, to: ReturnTo) -> frozenset[Prompt]:
    words = text.split(" ") if text else []
    try:
        prompt = frozenset(map(Prompt, words))
    except ValueError:
        raise AuthorizationError(f"prompt must be of {', '.join(Prompt)}", to) from None
    if Prompt.NONE in prompt and len(prompt) > 1:
        raise AuthorizationError("prompt=none stands alone", to)
    return prompt


def _max_age(text: str | None, to: ReturnTo, default: int | None) -> int | None:
    if text is None:
        return default
    if not _SECONDS.fullmatch(text):
        raise AuthorizationError("max_age must be a number of seconds", to)
    return int(text)


def _words(parameters: Mapping[str, Sequence[str]], name: str) -> tuple[str, ...]:
    """The first few, of those that can mean something: what is kept while a person decides has a bound."""
    given = (_one(parameters, name) or "").split()
    return tuple(each for each in given[:MOST_WORDS] if len(each) <= MAX_HINT)


def _one(parameters: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = parameters.get(name)
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest(f"{name} is repeated")
    return values[0]


_SECONDS = re.compile(r"[0-9]{1,9}")

_UNSPOKEN: Mapping[str, str] = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
    "authorization_details": "invalid_authorization_details",
}
"""Parameters that another server would obey, and the error that says that we do not."""

ERRORS = frozenset({
    "invalid_request", "unsupported_response_type", InvalidScope.error, InvalidTarget.error, *_UNSPOKEN.values(),
})  # fmt: skip
"""What `read_request` tells."""
