"""Codes at the token endpoint: what a person agreed to, at once or on a page of their own (RFC 6749, RFC 8628).

Rule: a code, of whichever kind, counts once.  Whoever comes with one that was taken, and has all that it is bound to,
ends what was given for it, and so does whoever comes at the same moment and is too late.
"""

from dataclasses import replace

from certbound.core.authentication import digest_of
from certbound.core.errors import AuthorizationPending, InvalidGrant, SlowDown
from certbound.core.grants import authorization_code, device_code, narrowed, refresh_token
from certbound.core.grants.authorization_code import Agreed
from certbound.core.ports import TicketKind, TicketRecord
from certbound.server.asked import Asked, Given
from certbound.server.openid import subject_for
from certbound.server.opening import Opening, end_grant

TRIES = 3
"""How often a poll is counted anew because something else changed the device's request."""


async def redeem_code(asked: Asked) -> Given:
    """RFC 6749 section 4.1.3."""
    form, store = asked.call.form, asked.service.store
    digest = digest_of(form.require("code"))
    redirect_uri, verifier = form.require("redirect_uri"), form.require("code_verifier")
    # (1) One question, whatever the code is.
    found = await store.tickets.find(TicketKind.CODE, digest, now=asked.call.now)
    # (2) Whoever comes with it has all that it is bound to.
    code = authorization_code.redeem(found, asked.authenticated, redirect_uri=redirect_uri, code_verifier=verifier)
    assert found is not None  # else `redeem` had refused
    # (3) It was not taken, or it is in two hands: what the first one got ends.
    await _require_untaken(found, code.grant_id, asked)
    # (4) Its time is not over.
    if asked.call.now > code.ends_at:
        raise InvalidGrant("the code has expired")
    return await _agreed(code, found, asked)


async def redeem_device_code(asked: Asked) -> Given:
    """RFC 8628 section 3.4."""
    tickets, now = asked.service.store.tickets, asked.call.now
    digest = digest_of(asked.call.form.require("device_code"))
    for _ in range(TRIES):
        # (1) One question, whatever the code is.
        found = await tickets.find(TicketKind.DEVICE_CODE, digest, now=now)
        # (2) It is the client's.
        request = device_code.redeem(found, asked.authenticated)
        assert found is not None  # else `redeem` had refused
        # (3) It was not taken, or it is in two hands.
        await _require_untaken(found, request.grant_id, asked)
        # (4) The person decided; until then each poll is counted.
        agreed = device_code.decision(request, now=now)
        if agreed is not None:
            return await _agreed(agreed, found, asked)
        waiting, is_soon = device_code.polled(request, now=now)
        if await tickets.change(replace(found, content=device_code.write(waiting)), now=now):
            break
    else:
        is_soon = True
    raise SlowDown("the device polls too often") if is_soon else AuthorizationPending("nobody decided yet")


async def _require_untaken(found: TicketRecord, grant_id: str, asked: Asked) -> None:
    if found.taken_at is not None:
        await end_grant(asked, grant_id)
        raise InvalidGrant("the code was redeemed before; its grant is revoked now")


async def _agreed(agreed: Agreed, found: TicketRecord, asked: Asked) -> Given:
    """What a person agreed to; the grant is opened when nothing refused."""
    service, client = asked.service, asked.authenticated.client
    subject = await subject_for(service, client, agreed.subject)
    grant = authorization_code.grant(agreed, client, service.policy, subject=subject)
    asked.call.notes.subject = agreed.subject
    return Given(
        grant=narrowed(grant, asked.request.resources),
        refresh_token=Opening(
            asked=asked,
            grant=grant,
            ticket=found,
            person=agreed.subject,
            refreshes=refresh_token.GRANT_TYPE in client.grant_types,
        ),
        code=agreed,
        person=agreed.subject,
    )
