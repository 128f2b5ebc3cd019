"""certbound.server.codes and opening: what happens between the steps of a redemption decides in the end.

The store is real; at one of its steps another process is faster.
"""

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from certbound.core.authentication import digest_of
from certbound.core.binding import Bind
from certbound.core.certificate import read_certificate
from certbound.core.errors import StoreUnavailable
from certbound.core.grants import authorization_code
from certbound.core.grants.authorization_code import Code
from certbound.core.metadata import Offer
from certbound.core.ports import ClientRecord, ConsentRecord, GrantRecord, Store, TicketKind, TicketRecord
from certbound.core.scope import Scope
from certbound.core.well_known import Issuer
from certbound.server.asgi import Application
from certbound.server.pages import Pages
from certbound.server.service import People
from certbound.server.uses import MAX_NAME, LastUses, name_in
from certbound.stores import open_store
from certbound.trust.authority import self_signed
from server.test_asgi import Between, ask, running
from server.test_asgi import service as make_service

BACK, VERIFIER, API = "https://app.example/cb", "v" * 43, "https://api.example"
CODE = Code(
    client_id="app",
    redirect_uri=BACK,
    code_challenge=urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode(),
    subject="alice",
    scope=("read",),
    resources=(API,),
    grant_id="g",
    ends_at=4e9,
    auth_time=0.0,
)
OFFER = Offer(
    issuer=Issuer("https://as.example/tenant"),
    mtls_base="https://mtls.as.example/tenant",
    scope=Scope(frozenset({"read"})),
    grant_types=frozenset({"authorization_code", "refresh_token"}),
    methods=frozenset(),
    can_bind=True,
)
BODY = f"grant_type=authorization_code&client_id=app&code=cbac_x&redirect_uri={BACK}&code_verifier={VERIFIER}".encode()

PEOPLE = People(pages=Pages(), login_url="https://login.example/")

Faster = Callable[[Store], Awaitable[Any]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """With a public client, a consent, and a code that was just given."""
    opened, now = await open_store(f"sqlite:///{tmp_path}/test.sqlite"), time.time()
    metadata = {
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "redirect_uris": [BACK],
        "scope": "read",
    }
    await opened.clients.add(ClientRecord(client_id="app", metadata=metadata))
    await opened.consents.put(ConsentRecord(subject="alice", client_id="app", scope=("read",), resources=(API,)))
    content = authorization_code.write(CODE)
    ticket = TicketRecord(
        kind=TicketKind.CODE, digest=digest_of("cbac_x"), content=content, created_at=now, ends_at=now + 60
    )
    await opened.tickets.add(ticket)
    yield opened
    await opened.close()


async def redeemed(store: Any, body: bytes | None = None, *, served: list[Any] | None = None) -> tuple[int, Any]:
    """What a server on this store answers; it is put into `served`."""

    def opened() -> Any:
        return make_service(store, offer=OFFER, bind=Bind.REQUESTED, people=PEOPLE)

    application = Application(opened)
    async with running(application):
        if served is not None:
            assert application.service is not None
            # What is invalid was read a moment ago.
            await application.service.statuses.is_valid(0, now=application.service.clock())
            served.append(application.service)
        status, _, answer = await ask(application, "/tenant/token", body=body or BODY)
    return status, json.loads(answer)


def before_opening(store: Store, faster: Faster) -> Any:
    """The store, where somebody is faster than a grant is opened."""

    async def opening(*arguments: Any, **options: Any) -> Any:
        await faster(store)
        return await store.grants.open(*arguments, **options)

    return Between(store, grants=Between(store.grants, open=opening))


def after_opening(store: Store, faster: Faster) -> Any:
    """The store, where somebody comes when a grant was just opened."""

    async def opening(*arguments: Any, **options: Any) -> Any:
        opened = await store.grants.open(*arguments, **options)
        await faster(store)
        return opened

    return Between(store, grants=Between(store.grants, open=opening))


async def withdraws(store: Store) -> None:
    await store.consents.withdraw("alice", "app")


async def is_locked_out(store: Store) -> None:
    """By the login application's command."""
    assert (await store.accounts.put_out("alice")).clients == ("app",)


async def redeems_too(store: Store) -> None:
    """Another process, whose answer is on its way."""
    now = time.time()
    grant = GrantRecord(
        grant_id="g", client_id="app", content={}, seed="s", subject="alice", created_at=now, ends_at=now + 60
    )
    await store.grants.open(grant, digest_of("cbrt_other"), now=now, ticket=(TicketKind.CODE, digest_of("cbac_x")))


async def revokes(store: Store) -> None:
    assert await store.grants.revoke("g", now=time.time())


@pytest.mark.parametrize("faster", [withdraws, is_locked_out, redeems_too])
async def test_who_was_faster_has_the_last_word(store: Store, faster: Faster) -> None:
    """No token is given, the client is told that its code is worth nothing, and nothing that lives is left."""
    status, answer = await redeemed(before_opening(store, faster))
    assert (400, "invalid_grant") == (status, answer["error"])
    assert not await store.grants.revoke("g", now=time.time()), "it is revoked, if it was ever there"
    other = await store.grants.find(digest_of("cbrt_other"), now=time.time())
    assert other is None or not other.grant.valid


@pytest.mark.parametrize("faster", [withdraws, is_locked_out, revokes])
async def test_who_comes_when_the_grant_is_there_ends_it(store: Store, faster: Faster) -> None:
    """With the tokens that are on their way: where another process did it, whoever gets them has nothing."""
    status, answer = await redeemed(after_opening(store, faster), served=[])
    assert status == 200
    assert not await store.grants.revoke("g", now=time.time()), "it is revoked"
    found = await store.grants.find(digest_of(answer["refresh_token"]), now=time.time())
    assert found is not None
    assert not found.grant.valid
    said = msgspec.json.decode(urlsafe_b64decode(answer["access_token"].split(".")[1] + "=="))
    assert not await store.revocations.is_valid(said["status"]["status_list"]["idx"])


async def test_who_revokes_here_when_the_grant_is_there_is_heard_at_once(store: Store) -> None:
    """Then no token is given any more."""
    served: list[Any] = []

    async def revoked(_: Store) -> None:
        await store.grants.revoke("g", now=time.time())
        served[0].statuses.forget()

    status, answer = await redeemed(after_opening(store, revoked), served=served)
    assert (400, "invalid_grant") == (status, answer["error"])


async def test_nobody_was_faster(store: Store) -> None:
    """The same, undisturbed, and what is kept of it: whose grant it is, and when it was used."""
    status, answer = await redeemed(store)
    assert status == 200
    found = await store.grants.find(digest_of(answer["refresh_token"]), now=time.time())
    assert found is not None
    assert (found.grant.grant_id, found.grant.subject, found.grant.client_id) == ("g", "alice", "app")
    consent = await store.consents.find("alice", "app")
    assert consent is not None
    assert consent.used_at is not None


async def test_a_refresh_is_a_use_that_the_person_sees(store: Store) -> None:
    """By a server that did not write one down a moment ago."""
    _, answer = await redeemed(store)
    first = await store.consents.find("alice", "app")
    form = {"grant_type": "refresh_token", "client_id": "app", "refresh_token": answer["refresh_token"]}
    status, _ = await redeemed(store, urlencode(form).encode())
    again = await store.consents.find("alice", "app")
    assert first is not None
    assert again is not None
    assert first.used_at is not None
    assert again.used_at is not None
    assert (status, again.used_at > first.used_at) == (200, True)


async def test_an_answer_does_not_fail_for_a_note(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """When it cannot be written down that a consent was used, the log says so, and nothing else happens."""

    async def use(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("the disk is full")

    full: Any = Between(store, consents=Between(store.consents, use=use))
    await LastUses().note(full, "alice", "app", None, now=0)
    assert "the disk is full" in caplog.text


async def test_a_consent_to_less(store: Store) -> None:
    """That took the place of the one which was withdrawn: what was agreed to before is not given."""
    await withdraws(store)
    await store.consents.put(ConsentRecord(subject="alice", client_id="app", scope=(), resources=(API,)))
    status, answer = await redeemed(store)
    assert (400, "invalid_grant") == (status, answer["error"])
    assert not await store.grants.revoke("g", now=time.time())


class TestUses:
    async def test_a_refresh_is_noted_once_a_minute(self, store: Store) -> None:
        """After it was last written, by whatever."""
        uses, phone = LastUses(), read_certificate(self_signed("CN=phone").der)
        noted = []
        for now in (1000, 1059, 1061, 1120, 1122):
            await uses.note(store, "alice", "app", phone, now=now)
            found = await store.consents.find("alice", "app")
            assert found is not None
            assert found.certificate == "CN=phone"
            noted.append(found.used_at)
        assert noted == [1000, 1000, 1061, 1061, 1122]
        uses.noted("alice", "app", 1180)
        await uses.note(store, "alice", "app", phone, now=1185)
        found = await store.consents.find("alice", "app")
        assert found is not None
        assert found.used_at == 1122

    @pytest.mark.parametrize(
        ("made", "name"),
        [
            ({"subject": "CN=phone,O=Bank"}, "CN=phone,O=Bank"),
            ({"dns": ["phone.example"]}, "phone.example"),
            ({"uris": ["spiffe://example/phone"]}, "spiffe://example/phone"),
            ({"emails": ["phone@example"]}, "phone@example"),
            ({}, ""),
        ],
    )
    def test_the_name_in_a_certificate(self, made: Any, name: str) -> None:
        """Its subject, or the first of its other names."""
        assert name_in(read_certificate(self_signed(**made).der)) == name
        assert name_in(None) == ""

    def test_a_name_of_a_stranger(self) -> None:
        """Is one printable line, and not a long one."""
        long = name_in(read_certificate(self_signed("CN=" + "x" * 64 + ",O=" + "y" * 64 + ",OU=" + "z" * 64).der))
        assert len(long) <= MAX_NAME
        odd = name_in(read_certificate(self_signed("CN=a\u202eb\u0007c").der))
        assert odd.isprintable()
