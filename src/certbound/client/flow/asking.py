"""What a client asks about tokens that there are (RFC 7662, RFC 7009)."""

from collections.abc import Mapping
from typing import Any

from certbound.client.errors import AnswerUnusable
from certbound.client.flow.credential import Credential
from certbound.client.flow.discovery import ServerMetadata
from certbound.client.flow.message import Flow, ask, refusal


def introspect(
    server: ServerMetadata, client: Credential, token: str, *, hint: str | None = None
) -> Flow[Mapping[str, Any]]:
    """What the server says of a token; `active` is True or False, and nothing else in it counts if it is False."""
    request = client.post(server, "introspection_endpoint", [("token", token), *_hint(hint)])
    document = yield from ask(request)
    if not isinstance(document.get("active"), bool):
        raise AnswerUnusable(f"{request.url} does not say whether the token is active (RFC 7662 section 2.2)")
    return document


def revoke(server: ServerMetadata, client: Credential, token: str, *, hint: str | None = None) -> Flow[None]:
    """From now on the token is refused; so it is for one that the server does not know (RFC 7009 section 2.2)."""
    request = client.post(server, "revocation_endpoint", [("token", token), *_hint(hint)])
    answer = yield request
    if answer.status != 200:
        raise refusal(request, answer)


def _hint(hint: str | None) -> list[tuple[str, str]]:
    return [] if hint is None else [("token_type_hint", hint)]
