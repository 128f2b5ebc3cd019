"""What is told to whoever may not pass (RFC 6750 section 3, RFC 9728 section 5.1), for every face.

Rule: the peer learns the public description and a request id; the reason goes to the log under that id.
"""

import logging
import secrets
from dataclasses import dataclass

import msgspec

from certbound.core.bearer import challenge
from certbound.core.errors import ProtectedResourceError

_log = logging.getLogger("certbound.resource")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP response, for the framework to send."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def refuse(refusal: ProtectedResourceError, *, metadata_url: str | None = None) -> Answer:
    """What to answer; the reason is in the log.  `metadata_url` is where the API's metadata is."""
    request_id = secrets.token_hex(8)
    kind = refusal.error or ("forbidden" if refusal.status == 403 else "no token")
    _log.warning("request %s refused: %s: %s", request_id, kind, refusal.reason)
    document = {"request_id": request_id}
    if refusal.error:
        document = {"error": refusal.error, "error_description": refusal.description, **document}
    body = msgspec.json.encode(document)
    headers = [
        ("content-type", "application/json"), ("content-length", str(len(body))), ("cache-control", "no-store"),
    ]  # fmt: skip
    if refusal.status in {400, 401, 403}:
        headers.append(("www-authenticate", challenge(refusal, metadata_url)))
    return Answer(status=refusal.status, headers=tuple(headers), body=body)
