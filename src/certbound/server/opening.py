"""How a grant comes to be that lasts: with its first refresh token, and instead of the code that it is given for.

Rule 1: the grant, its refresh token, the places of its access tokens and the end of its code are one transaction: a
crash leaves a code that counts, or a grant, and never both.
Rule 2: a person who withdrew, or was locked out, while a code was under way has the last word: that is asked in the
same transaction, so that the grant ends with what they did, or is seen here to have none that stands behind it.
Rule 3: a grant of a client that may not refresh lasts as long as its access token; it is there so that it can be ended.
"""

from dataclasses import dataclass

from certbound.core.authentication import digest_of
from certbound.core.certificate import Certificate
from certbound.core.errors import InvalidClient, InvalidGrant
from certbound.core.grants import refresh_token
from certbound.core.interaction import covers
from certbound.core.ports import (
    AccountRecord,
    AlreadyTaken,
    GrantRecord,
    Opened,
    Origin,
    RevokedMeanwhile,
    TicketRecord,
)
from certbound.core.tokens import Grant
from certbound.server.asked import Asked
from certbound.server.openid import require_person
from certbound.server.service import Service
from certbound.server.statuses import StatusOwner
from certbound.server.uses import name_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A grant that will be there when nothing refuses; `grant` has its id already."""

    asked: Asked
    grant: Grant
    origin: Origin | None = None
    """What it is obtained from, if from a token."""
    ticket: TicketRecord | None = None
    """The code that it is given for, if for one."""
    person: str = ""
    """Who agreed to it, whatever tokens call them."""
    refreshes: bool = True

    async def __call__(self, certificate: Certificate | None) -> str | None:
        """The grant is there; its first refresh token, if it has one.  `InvalidGrant` (400) or `InvalidClient` (401).

        `certificate` is the one that the access token will be bound to.
        """
        service, now = self.asked.service, self.asked.call.now
        owner = StatusOwner.of(self.asked.authenticated, certificate, self.grant.grant_id, self.origin)
        token = refresh_token.PREFIX + service.new_secret() if self.refreshes else None
        try:
            opened = await service.store.grants.open(
                self._record(certificate),
                digest_of(token) if token else None,
                now=now,
                origin=self.origin.index if self.origin else None,
                ticket=(self.ticket.kind, self.ticket.digest) if self.ticket else None,
                used_by=name_in(certificate) if self.person else None,
                block=service.statuses.wish(owner, now=now, lifetime=service.lifetime),
            )
        except RevokedMeanwhile as error:
            raise InvalidClient(str(error)) from error
        except AlreadyTaken as error:
            await end_grant(self.asked, self.grant.grant_id)
            raise InvalidGrant("the code was redeemed a moment ago; its grant is revoked now") from error
        if self.person:
            if reason := _why_not(self.person, self.grant, opened, service):
                await end_grant(self.asked, self.grant.grant_id)
                raise InvalidGrant(reason)
            service.uses.noted(self.person, self.grant.client_id, now)
        if opened.block is not None:
            service.statuses.adopt(owner, opened.block, now=now)
        self.asked.call.notes.grant_id = self.grant.grant_id
        return token

    def _record(self, certificate: Certificate | None) -> GrantRecord:
        service, now, authenticated = self.asked.service, self.asked.call.now, self.asked.authenticated
        presented = certificate or authenticated.certificate
        granted = refresh_token.first(
            self.grant, authenticated, certificate, always_rotates=service.refresh.always_rotates
        )
        return GrantRecord(
            grant_id=self.grant.grant_id,
            client_id=self.grant.client_id,
            content=refresh_token.write(granted),
            seed=service.new_secret(),
            thumbprint=presented.thumbprint if presented else "",
            authorities=authenticated.authorities,
            twins=tuple(sorted(presented.thumbprints - {presented.thumbprint})) if presented else (),
            sources=self.origin.sources if self.origin else (),
            subject=self.person,
            created_at=now,
            ends_at=now + (service.refresh.lifetime if self.refreshes else service.lifetime),
        )


async def end_grant(asked: Asked, grant_id: str) -> None:
    """It is revoked, if it was there, and every token of it, here at once."""
    asked.call.notes.grant_id = grant_id
    await asked.service.store.grants.revoke(grant_id, now=asked.call.now)
    asked.service.statuses.forget()


async def require_open(person: str, account: AccountRecord | None, service: Service) -> None:
    """Nobody locked the person out, or removed them, or gave a client their name, and people have a say here at all.

    `account` is theirs; `InvalidGrant` (400) otherwise.
    """
    await require_person(service, person)
    if reason := _why_closed(person, account, service):
        raise InvalidGrant(reason)


def _why_not(person: str, grant: Grant, opened: Opened, service: Service) -> str:
    consent = opened.consent
    if consent is None or not covers(consent, grant.scope, grant.audience):
        return "the person withdrew what they had agreed to"
    return _why_closed(person, opened.account, service)


def _why_closed(person: str, account: AccountRecord | None, service: Service) -> str:
    """Where nobody can log in, nobody can see what acts for them, or end it: so nothing does, while that is so."""
    if service.people is None:
        return "nobody can log in here any more, so nothing acts for anybody"
    is_open = service.people.accounts is None or (account is not None and account.enabled)
    return "" if is_open else f"there is no enabled account of {person!r:.300}"
