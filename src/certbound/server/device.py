"""Devices without a browser (RFC 8628): `POST /device_authorization`, and the page where a person types their code.

Rule 1: who looks codes up is logged in, and guesses only so often from one network: there are 20^8 of them, and each
counts for minutes.  A code that cannot be one costs what any other costs.
Rule 2: the person sees the code once more beside what is asked for, to compare it with the device that they hold: a
link that was sent to them must not be enough (section 5.4).
Rule 3: a code is decided once, by a form that was shown to this person for this code.
Rule 4: a client that registered how old a login may be gets no older one, but of one since the device asked.
"""

from dataclasses import replace

import msgspec

from certbound.core.authentication import digest_of
from certbound.core.clients import Client
from certbound.core.errors import InvalidRequest, TemporarilyUnavailable, UnauthorizedClient
from certbound.core.grants import device_code, grant_audience, refresh_token
from certbound.core.grants.device_code import DeviceRequest
from certbound.core.interaction import Waiting, is_recent
from certbound.core.login import login_of
from certbound.core.metadata import DEVICE
from certbound.core.ports import AlreadyExists, SessionRecord, TicketKind, TicketRecord
from certbound.core.scope import Scope, format_scope, grant_scope
from certbound.server.authentication import authenticated_client
from certbound.server.authorization import asking, begin
from certbound.server.call import NO_STORE, Call, Reply, json_reply, with_headers
from certbound.server.consents import consent_to
from certbound.server.guesses import Guess, TooManyGuesses
from certbound.server.interactions import require_login, shown_name_of
from certbound.server.pages.views import ConsentView, DeviceView, DoneView
from certbound.server.service import Service, people_of
from certbound.server.sessions import require_own_form, visit_of
from certbound.server.strangers import admit

PAGE = "/device"
"""Below the issuer."""
TRIES = 5
"""How often something is done anew because something else came between."""


async def device_authorization(call: Call, service: Service) -> Reply:
    """Two codes, one for the device and one for the person (section 3.2)."""
    form, lifetime = call.form, people_of(service).request_lifetime
    # (1) The client is who it says, or one that has nothing to prove.
    authenticated = await authenticated_client(call, service, DEVICE)
    client = authenticated.client
    # (2) It may ask so.
    if device_code.GRANT_TYPE not in client.grant_types:
        raise UnauthorizedClient(f"{client.client_id} may not use {device_code.GRANT_TYPE}")
    # (3) No more than the client and the deployment have.
    scope = grant_scope(form.one("scope"), Scope(client.scope & service.policy.scope))
    resources = grant_audience(form.all("resource"), service.policy.resources, service.policy.resources[:1])
    call.notes.scope, call.notes.audience = format_scope(scope), " ".join(resources)
    # (4) Not too much is kept for those who prove nothing.
    admit(authenticated, call, service)
    # (5) Only now is there anything, under names that nobody can guess, and one that only a few guess at.
    request = DeviceRequest(
        client_id=client.client_id,
        scope=tuple(sorted(scope)),
        resources=tuple(resources),
        grant_id=service.new_id(),
        ends_at=call.now + lifetime,
    )
    secret, user_code = await _codes(request, service, call.now)
    call.notes.grant_id = request.grant_id
    page = service.offer.issuer + PAGE
    answer = {
        "device_code": secret,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?user_code={user_code}",
        "expires_in": lifetime,
        "interval": request.interval,
    }
    return json_reply(200, answer, NO_STORE)


async def device_page(call: Call, service: Service) -> Reply:
    """The page where a person types what a device shows, and decides."""
    asked = call.query.one("user_code") or ""
    shown = _shown(asked)
    # (1) Somebody is logged in.
    session = await require_login(call, service, PAGE + (f"?user_code={shown}" if shown else ""))
    if isinstance(session, Reply):
        return session
    call.notes.subject = session.subject
    page = _Page(call, service, session)
    if not call.form.values:
        return page.ask(shown)
    return await (page.decide if call.form.one("action") else page.look_up)()


class _Request(msgspec.Struct, frozen=True):
    """What a device waits for."""

    ticket: TicketRecord
    request: DeviceRequest
    client: Client


class _Page(msgspec.Struct, frozen=True):
    """The page, for one person."""

    call: Call
    service: Service
    session: SessionRecord

    def ask(self, user_code: str = "", *, failed: str = "", wait: int = 0) -> Reply:
        """The page that asks for the code."""
        if failed:
            self.call.notes.refuse("access_denied", wait=wait)
        visit = visit_of(self.call, self.service)
        view = DeviceView(form_token=visit.form_token(self._purpose), user_code=user_code, failed=failed)
        reply = self._show(view, status=429 if wait else 403 if failed else 200)
        return visit.keep(with_headers(reply, (b"retry-after", b"%d" % wait)) if wait else reply)

    async def look_up(self) -> Reply:
        """The page that asks whether the device may."""
        call = self.call
        # (2) The form is our own.
        require_own_form(call, self.service, self._purpose)
        # (3) Not too many guesses come from there; right ones are none.
        guess = self._guess()
        if isinstance(guess, Reply):
            return guess
        # (4) A device shows that code, and waits.
        typed = call.form.one("user_code") or ""
        found = await self._find(typed)
        if found is None:
            call.notes.reason = "no device shows that code"
            return self.ask(_shown(typed), failed="wrong")
        guess.was_right()
        user_code = _shown(typed)
        if not self._is_recent(found):
            return await self._log_in_anew(user_code)
        visit = visit_of(call, self.service)
        view = ConsentView(
            form_token=visit.form_token(self._purpose_of(user_code)),
            asking=asking(found.client),
            username=await shown_name_of(self.service, self.session),
            scope=found.request.scope,
            resources=found.request.resources,
            keeps_access=refresh_token.GRANT_TYPE in found.client.grant_types,
            user_code=user_code,
        )
        return visit.keep(self._show(view))

    async def decide(self) -> Reply:
        """The page after which there is nothing to do."""
        call, session = self.call, self.session
        allows = call.form.one("action") == "allow"
        # (5) The form is our own, and was shown to this person for this code.
        user_code = _shown(call.form.one("user_code") or "")
        require_own_form(call, self.service, self._purpose_of(user_code))
        # (6) Nor are guesses more here: whoever knows their own cookie can make that form for any code.
        guess = self._guess()
        if isinstance(guess, Reply):
            return guess
        for _ in range(TRIES):
            # (7) The device waits still, and nobody decided.
            found = await self._find(user_code)
            if found is None:
                raise InvalidRequest("the code has expired, or was used already; start again on the device")
            guess.was_right()
            if not self._is_recent(found):
                return await self._log_in_anew(user_code)
            request = found.request
            # (8) What they agree to is remembered before it counts: it is looked for when the token is given.
            if allows:
                await self.service.store.consents.join(consent_to(request, session, call.now))
            decided = device_code.decide(request, login_of(session) if allows else None)
            if await self._change(found, decided):
                break
        else:
            raise TemporarilyUnavailable("the device asks all the time")
        await self.service.store.tickets.remove(TicketKind.USER_CODE, request.user_code)
        call.notes.grant_id, call.notes.scope = request.grant_id, " ".join(request.scope)
        if not allows:
            call.notes.reason = "the person said no"
            call.notes.refuse("access_denied")
        return self._show(DoneView(what="device_approved" if allows else "denied"))

    def _guess(self) -> Guess | Reply:
        """One more look at a code; the page that says to wait where there were too many."""
        try:
            return people_of(self.service).user_codes.begin(self.call.address, "user code")
        except TooManyGuesses as why:
            self.call.notes.reason = str(why)
            return self.ask(failed="slow", wait=why.retry_after)

    async def _find(self, typed: str) -> _Request | None:
        tickets, now = self.service.store.tickets, self.call.now
        shown = await tickets.find(TicketKind.USER_CODE, _digest(typed), now=now)
        digest = shown.content.get("device_code") if shown is not None else None
        ticket = await tickets.find(TicketKind.DEVICE_CODE, digest if isinstance(digest, str) else "", now=now)
        request = device_code.read(ticket.content) if ticket is not None else None
        client = await self.service.clients.find(request.client_id) if request is not None else None
        if ticket is None or request is None or client is None or not client.enabled:
            return None
        self.call.notes.client_id = client.client_id
        waits = not request.is_decided and ticket.taken_at is None and request.ends_at >= now
        return _Request(ticket, request, client) if waits else None

    def _is_recent(self, found: _Request) -> bool:
        since = found.ticket.created_at
        return is_recent(self.session, found.client.default_max_age, since=since, now=self.call.now)

    async def _log_in_anew(self, user_code: str) -> Reply:
        """The way to a login, whoever is logged in, which leads back to the page with the code."""
        return await begin(self.call, self.service, Waiting(then=f"{PAGE}?user_code={user_code}", anew=True))

    async def _change(self, found: _Request, decided: DeviceRequest) -> bool:
        changed = replace(found.ticket, content=device_code.write(decided))
        return await self.service.store.tickets.change(changed, now=self.call.now)

    def _show(self, view: ConsentView | DeviceView | DoneView, *, status: int = 200) -> Reply:
        return people_of(self.service).pages.show(self.call, view, status=status)

    @property
    def _purpose(self) -> str:
        return f"device {self.session.sid}"

    def _purpose_of(self, user_code: str) -> str:
        return f"{self._purpose} {user_code}"


async def _codes(request: DeviceRequest, service: Service, now: float) -> tuple[str, str]:
    """The device's and the person's, kept with what is asked for."""
    secret = "cbdc_" + service.new_secret()
    user_code = await _user_code(service, digest_of(secret), now, request.ends_at)
    await service.store.tickets.add(
        TicketRecord(
            kind=TicketKind.DEVICE_CODE,
            digest=digest_of(secret),
            content=device_code.write(msgspec.structs.replace(request, user_code=_digest(user_code))),
            created_at=now,
            ends_at=request.ends_at + device_code.REMEMBERED,
        )
    )
    return secret, user_code


async def _user_code(service: Service, device_digest: str, now: float, ends_at: float) -> str:
    """A code that leads to the device's, and to nobody else's."""
    for _ in range(TRIES):
        user_code = device_code.make_user_code(service.new_secret())
        try:
            await service.store.tickets.add(
                TicketRecord(
                    kind=TicketKind.USER_CODE,
                    digest=_digest(user_code),
                    content={"device_code": device_digest},
                    created_at=now,
                    ends_at=ends_at,
                )
            )
        except AlreadyExists:
            continue
        return user_code
    raise TemporarilyUnavailable("every user code that was tried is in use")


def _digest(user_code: str) -> str:
    return digest_of(device_code.typed(user_code))


def _shown(user_code: str) -> str:
    """As devices show it; empty if it can be none."""
    letters = device_code.typed(user_code)
    return f"{letters[:4]}-{letters[4:]}" if letters else ""
