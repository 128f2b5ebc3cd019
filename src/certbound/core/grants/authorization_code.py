"""The authorization code grant (RFC 6749 section 4.1.3, RFC 7636 section 4.6).

Rule 1: a code is bound to the client, the redirect URI and the verifier; whoever lacks one of them ends nothing.
Rule 2: a code counts once.  Whoever comes later, and has all it is bound to, ends what the first one got, also when its
time is over.
Rule 3: what is given is no more than the person agreed to, and than the client and the deployment have now.
Rule 4: `scope` is no parameter of this request: it was asked of the person, and the answer says what it is.  `resource`
may name some of those agreed to; the refresh token stays one for all of them (RFC 8707 section 2.2).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from certbound.core.authentication import AuthenticatedClient
from certbound.core.client_authorization import CODE_GRANT
from certbound.core.clients import Client
from certbound.core.errors import InvalidGrant
from certbound.core.grants._request import Policy
from certbound.core.login import Login
from certbound.core.pkce import verify_challenge
from certbound.core.ports import TicketRecord
from certbound.core.scope import Scope
from certbound.core.tokens import Grant

GRANT_TYPE = CODE_GRANT
REMEMBERED = 3600
"""Seconds for which whoever comes with a code that has ended can still end what it gave."""


class Agreed(Login, frozen=True, kw_only=True):
    """What a person agreed to, after that login."""

    client_id: str
    scope: tuple[str, ...]
    resources: tuple[str, ...]
    grant_id: str
    """Of the grant that will be opened with it."""
    ends_at: float
    """Seconds since the epoch; the ticket is there longer, so that whoever is late is known."""
    nonce: str | None = None


class Code(Agreed, frozen=True, kw_only=True):
    """What a code stands for, and what it is bound to: the content of a ticket of `TicketKind.CODE`."""

    redirect_uri: str
    code_challenge: str


def redeem(
    found: TicketRecord | None, authenticated: AuthenticatedClient, *, redirect_uri: str, code_verifier: str
) -> Code:
    """What was agreed to, for whoever has all that the code is bound to.  `InvalidGrant` (400) otherwise.

    Whether the code was taken is not looked at here: that is asked afterwards, and again in the transaction that takes.
    """
    # (a) There is such a code.
    code = read(found.content) if found is not None else None
    if code is None:
        raise InvalidGrant("no such code, or it has ended")
    # (b) It is the client's.
    if code.client_id != authenticated.client.client_id:
        raise InvalidGrant(f"the code belongs to {code.client_id!r}")
    # (c) It came to where the client says that it came to.
    if code.redirect_uri != redirect_uri:
        raise InvalidGrant(f"the code was sent to {code.redirect_uri!r}, not to {redirect_uri!r:.200}")
    # (d) Whoever redeems it began the request.
    verify_challenge(code_verifier, code.code_challenge)
    return code


def grant(agreed: Agreed, client: Client, policy: Policy, *, subject: str) -> Grant:
    """All that was agreed to, and is there now; `subject` is what the client knows the person by.

    `InvalidGrant` (400) if there is no resource any more.
    """
    resources = [each for each in agreed.resources if each in policy.resources]
    if not resources:
        raise InvalidGrant(f"none of the resources {agreed.resources} is known here any more")
    return Grant(
        client_id=client.client_id,
        subject=subject,
        audience=tuple(resources),
        scope=Scope(frozenset(agreed.scope) & client.scope & policy.scope),
        grant_id=agreed.grant_id,
    )


def write(code: Code) -> dict[str, Any]:
    """As the content of a `TicketRecord`."""
    made: dict[str, Any] = msgspec.to_builtins(code)
    return made


def read(content: Mapping[str, Any]) -> Code | None:
    """What `write` wrote; None for anything else."""
    try:
        return msgspec.convert(content, Code)
    except msgspec.ValidationError:
        return None
