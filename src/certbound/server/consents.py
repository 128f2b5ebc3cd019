"""What a person agrees to."""

from certbound.core.authorization import AuthorizationRequest
from certbound.core.grants.device_code import DeviceRequest
from certbound.core.ports import ConsentRecord, SessionRecord


def consent_to(request: AuthorizationRequest | DeviceRequest, session: SessionRecord, now: float) -> ConsentRecord:
    """What the person who is logged in agrees to: all that is asked for."""
    return ConsentRecord(
        subject=session.subject,
        client_id=request.client_id,
        scope=request.scope,
        resources=request.resources,
        created_at=now,
    )
