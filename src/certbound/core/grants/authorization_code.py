"""The authorization code grant (RFC 6749 section 4.1.3, RFC 7636 section 4.6).

Rule 1: a code is bound to the client, the redirect URI and the verifier; whoever lacks one of them ends nothing.
Rule 2: a code counts once.  Whoever comes later, and has all it is bound to, ends what the first one got.
Rule 3: what is given is no more than the person agreed to, and than the client and the deployment have now.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

GRANT_TYPE = "authorization_code"


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed to: the content of a ticket of `TicketKind.CODE`."""

    client_id: str
    redirect_uri: str
    code_challenge: str
    subject: str
    """The person, as accounts and sessions call them."""
    scope: tuple[str, ...]
    resources: tuple[str, ...]
    grant_id: str
    """Of the grant that will be opened with it."""
    auth_time: float
    acr: str = ""
    amr: tuple[str, ...] = ()
    sid: str = ""
    nonce: str | None = None


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
