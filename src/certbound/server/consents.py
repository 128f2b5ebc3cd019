"""What a person agreed to, remembered: more than before, never less, until they withdraw it."""

from dataclasses import replace

from certbound.core.ports import ConsentRecord, Store


async def remember(store: Store, agreed: ConsentRecord) -> None:
    """It stands, together with what the person let the client do before."""
    before = await store.consents.find(agreed.subject, agreed.client_id)
    if before is not None:
        scope = tuple(sorted({*before.scope, *agreed.scope}))
        agreed = replace(agreed, scope=scope, resources=tuple(dict.fromkeys((*before.resources, *agreed.resources))))
    await store.consents.put(agreed)
