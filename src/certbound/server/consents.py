"""What a person agreed to, remembered: more than before, never less, until they withdraw it."""

from dataclasses import replace

from certbound.core.authorization import AuthorizationRequest
from certbound.core.grants.device_code import DeviceRequest
from certbound.core.ports import ConsentRecord, SessionRecord, Store


async def remember(store: Store, agreed: ConsentRecord) -> None:
    """It stands, together with what the person let the client do before."""
    before = await store.consents.find(agreed.subject, agreed.client_id)
    if before is not None:
        scope = tuple(sorted({*before.scope, *agreed.scope}))
        agreed = replace(agreed, scope=scope, resources=tuple(dict.fromkeys((*before.resources, *agreed.resources))))
    await store.consents.put(agreed)


def consent_to(request: AuthorizationRequest | DeviceRequest, session: SessionRecord, now: float) -> ConsentRecord:
    """What the person who is logged in agrees to: all that is asked for."""
    return ConsentRecord(
        subject=session.subject,
        client_id=request.client_id,
        scope=request.scope,
        resources=request.resources,
        created_at=now,
    )
