"""A device without a browser asks a person elsewhere (RFC 8628)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from certbound.client.errors import AnswerUnusable, TokenRefused
from certbound.client.flow.credential import Credential
from certbound.client.flow.discovery import ServerMetadata
from certbound.client.flow.grants import Token, request_token, wished
from certbound.client.flow.message import Flow, ask, is_https, seconds, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What the person is told, and what the device polls with."""

    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_in: float
    """Seconds from the answer."""
    interval: float
    """Seconds between two polls."""
    device_code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """The person has not decided; ask again after `interval` seconds."""

    interval: float


def start_device(
    server: ServerMetadata, client: Credential, *, scope: str | None = None, resources: Sequence[str] = ()
) -> Flow[Device]:
    """Ask for a code that a person types (section 3.1)."""
    request = client.post(server, "device_authorization_endpoint", wished(scope, resources))
    document = yield from ask(request)
    device_code, user_code = text(document, "device_code"), text(document, "user_code")
    where = text(document, "verification_uri")
    if device_code is None or user_code is None or where is None or not is_https(where):
        raise AnswerUnusable(f"{request.url} gave no codes, or no https page to type them at (RFC 8628 section 3.2)")
    complete = text(document, "verification_uri_complete")
    return Device(
        user_code=user_code,
        verification_uri=where,
        verification_uri_complete=complete if complete and is_https(complete) else None,
        expires_in=seconds(document, "expires_in") or _LIFETIME,
        interval=max(seconds(document, "interval") or _INTERVAL, 1),
        device_code=device_code,
    )


def poll_device(
    server: ServerMetadata, client: Credential, device: Device, *, interval: float | None = None
) -> Flow[Token | Pending]:
    """Ask once whether the person has decided; `interval` is the last one that was told (section 3.5)."""
    current = device.interval if interval is None else interval
    form = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", device.device_code)]
    try:
        return (yield from request_token(server, client, form))
    except TokenRefused as refused:
        if refused.error in _SLOWER:
            return Pending(current + _SLOWER[refused.error])
        raise


_INTERVAL = 5
_LIFETIME = 600
_SLOWER = {"authorization_pending": 0, "slow_down": 5}
