"""Tickets and people in SQLite: how many statements a call is, which index it goes by, and what a hand wrote."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from asked import without_values
from certbound.core.ports import ConsentRecord, NotFound, Store, TicketKind
from certbound.testing.store_accounts import account, persons_grant
from certbound.testing.store_consents import consent
from certbound.testing.store_grants import grant
from certbound.testing.store_place import valid_grants
from certbound.testing.store_sessions import session
from certbound.testing.store_tickets import CODE, find, take, ticket
from certbound.testing.stores import NOW, allot, client, status

Hand = Callable[..., None]
LONG_AFTER = NOW + 1_000_000


@pytest.fixture
async def people(store: Store) -> Store:
    """A store in which there is one of everything, and one more code that was taken."""
    await store.clients.add(client())
    await store.accounts.add(account())
    await store.sessions.add(session())
    await store.consents.put(consent(subject="subject of ann"))
    await store.subjects.pairwise("subject of ann", "a.example", proposed="pairwise")
    for each in ("code", "taken"):
        await store.tickets.add(ticket(each))
    await take(store, "taken")
    await persons_grant(store, "subject of ann", "client", "grant")
    await allot(store, status(grant_id="grant"))
    return store


async def test_a_look_is_the_same_statement_whatever_it_finds(people: Store, statements: list[str]) -> None:
    """Who measures it learns nothing: of a ticket, a name, a cookie, a consent that is there, ended, or never was."""
    looks: dict[str, list[Awaitable[object]]] = {
        "tickets": [find(people, each, after) for each in ("code", "taken", "never there") for after in (0, 1_000_000)],
        "names": [people.accounts.find(each) for each in ("ann", "never there")],
        "subjects": [people.accounts.find_subject(each) for each in ("subject of ann", "never there")],
        "sessions": [people.sessions.find(each, now=now) for each in ("cookie", "no") for now in (NOW, LONG_AFTER)],
        "consents": [people.consents.find("subject of ann", each) for each in ("client", "never there")],
        "pairwise": [people.subjects.reveal(each) for each in ("pairwise", "never there")],
    }
    for what, calls in looks.items():
        seen = set()
        for call in calls:
            statements.clear()
            await call
            seen.add(without_values(statements))
        assert [len(each) for each in seen] == [1], what


async def test_a_change_is_few_statements(people: Store, statements: list[str]) -> None:
    """One in its transaction, but where everything of a person ends; a pairwise subject that is there is a question."""

    async def count(call: Awaitable[object]) -> int:
        statements.clear()
        await call
        return len(statements)

    found = await find(people)
    assert found is not None
    assert await count(people.tickets.add(ticket("new"))) == 1
    assert await count(people.tickets.change(found, now=NOW)) == 1
    assert await count(take(people)) == 1
    assert await count(people.tickets.remove(*CODE)) == 1
    assert await count(people.subjects.pairwise("subject of ann", "a.example", proposed="x")) == 1
    assert await count(people.subjects.pairwise("subject of ann", "b.example", proposed="x")) == 3
    assert await count(people.consents.put(consent("other"))) == 1
    assert await count(people.consents.use("ann", "other", certificate="", now=NOW)) == 1
    assert await count(people.sessions.add(session("new"))) == 1
    assert await count(people.sessions.end("new")) == 1
    # The lock, the ticket, two looks at what may not be revoked, the grant and its refresh token.
    new = (TicketKind.CODE, "new")
    assert await count(people.grants.open(grant("new"), "new", now=NOW, ticket=new)) == 6


async def test_everything_of_people_goes_by_an_index(
    people: Store, statements: list[str], scans: Callable[..., list[str]]
) -> None:
    """No statement of a request reads a whole table: at most all that was obtained by exchange."""
    statements.clear()
    found = await find(people)
    assert found is not None
    await people.tickets.change(found, now=NOW)
    await people.grants.open(grant("new"), "new", now=NOW, ticket=CODE)
    await people.accounts.find("ann")
    await people.sessions.find("cookie", now=NOW)
    await people.sessions.end_all("nobody")
    await people.consents.list("subject of ann")
    await people.consents.use("subject of ann", "client", certificate="", now=NOW)
    await people.subjects.pairwise("subject of ann", "a.example", proposed="x")
    await people.consents.withdraw("subject of ann", "client")
    stored = await people.accounts.find_subject("subject of ann")
    assert stored is not None
    await people.accounts.replace(stored)
    await people.accounts.remove("subject of ann")
    await people.tickets.remove(*CODE)
    await people.tokens.purge(now=LONG_AFTER)
    questions = [each for each in statements if not each.startswith("INSERT")]
    assert sum(each.startswith("UPDATE") for each in questions) >= 6
    few = ("SCAN revision", "SCAN revocations")  # one row; all that was revoked here
    assert [step for step in scans(questions) if not step.startswith(few) and not step.endswith("_obtained")] == []


@pytest.mark.parametrize(
    "change",
    [
        "content = '[]'", "content = x'ff'", "content = '{'", "created_at = 'once'", "ends_at = 'never'",
        "taken_at = 'once'", "version = 'first'",
    ],
)  # fmt: skip
async def test_a_ticket_that_a_hand_broke_counts_for_nothing(
    people: Store, by_hand: Hand, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not found, and a line of the log names it by its hash; the others are as before."""
    other = await find(people, "taken")
    by_hand(f"UPDATE tickets SET {change} WHERE ticket = 'code code'")
    assert await find(people) is None
    assert "the ticket 'code code' cannot be read" in caplog.text
    assert await find(people, "taken") == other


async def test_a_ticket_that_a_hand_gave_back_was_taken(people: Store, by_hand: Hand) -> None:
    """Whatever was written there instead of a time: only one that nobody took is free."""
    by_hand("UPDATE tickets SET taken_at = 'never'")
    assert not await take(people)


@pytest.mark.parametrize(
    "change",
    ["claims = '[]'", "claims = x'ff'", "password = x'00ff'", "version = 'one'", "password_at = 'today'"],
)
async def test_an_account_that_a_hand_broke_is_disabled(
    people: Store, by_hand: Hand, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is there, without a password, and can be removed; the log says so, and others stay."""
    ben = await people.accounts.add(account("ben"))
    by_hand(f"UPDATE accounts SET {change} WHERE username = 'ann'")
    found = await people.accounts.find("ann")
    assert found is not None
    assert (found.enabled, found.password, found.subject) == (False, "", "subject of ann")
    assert "the account 'ann' cannot be read; it counts as disabled" in caplog.text
    assert list(await people.accounts.list()) == [found, ben]
    await people.accounts.remove("subject of ann")
    assert await valid_grants(people, "grant") == []


@pytest.mark.parametrize("enabled", ["'yes'", "2", "x'01'"])
async def test_an_account_is_enabled_by_nothing_but_true(people: Store, by_hand: Hand, enabled: str) -> None:
    """As a client is."""
    by_hand(f"UPDATE accounts SET enabled = {enabled}")
    found = await people.accounts.find("ann")
    assert found is not None
    assert not found.enabled


@pytest.mark.parametrize("column", ["username", "subject"])
async def test_an_account_that_nobody_can_name_is_left_out(
    people: Store, by_hand: Hand, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes instead of a name are in no list, which has all others; nor are they found."""
    ben = await people.accounts.add(account("ben"))
    for stored in ("x'00ff'", "CAST(x'ff' AS TEXT)"):
        by_hand(f"UPDATE accounts SET {column} = {stored} WHERE rowid = 1")
        assert list(await people.accounts.list()) == [ben]
        assert await people.accounts.find("ann") is None
        assert "cannot be read; it is left out" in caplog.text


@pytest.mark.parametrize(
    "change",
    ["amr = '{}'", "amr = 'pwd'", "auth_time = 'now'", "created_at = x'ff'", "ends_at = 'never'", "sid = x'ff'"],
)
async def test_a_session_that_a_hand_broke_is_none(
    people: Store, by_hand: Hand, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its person logs in anew."""
    by_hand(f"UPDATE sessions SET {change}")
    assert await people.sessions.find("cookie", now=NOW) is None
    assert "a session of 'subject of ann' cannot be read" in caplog.text
    assert await people.sessions.end_all("subject of ann") == 1


@pytest.mark.parametrize(
    "change", ["scope = 'openid'", "resources = '{}'", "scope = '[1]'", "used_at = 'once'", "certificate = x'ff'"]
)
async def test_a_consent_that_a_hand_broke_counts_for_nothing(
    people: Store, by_hand: Hand, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The person is asked again; what was given by it can be withdrawn all the same."""
    await people.consents.put(other := consent("other", "subject of ann"))
    by_hand(f"UPDATE consents SET {change} WHERE client_id = 'client'")
    assert await people.consents.find("subject of ann", "client") is None
    assert list(await people.consents.list("subject of ann")) == [other]
    assert "the consent of 'subject of ann' for client 'client' cannot be read" in caplog.text
    assert await people.consents.withdraw("subject of ann", "client")
    assert await valid_grants(people, "grant") == []


async def test_a_broken_consent_is_given_anew(people: Store, by_hand: Hand) -> None:
    """What a hand wrote is gone with it, but for what it says of its use."""
    by_hand("UPDATE consents SET scope = '', resources = '', created_at = 'once'")
    again = ConsentRecord(subject="subject of ann", client_id="client", scope=("read",), created_at=NOW)
    await people.consents.put(again)
    assert await people.consents.find("subject of ann", "client") == again


async def test_a_pairwise_subject_that_a_hand_broke_stands_for_nobody(people: Store, by_hand: Hand) -> None:
    """And a person whose own was broken is not called by bytes."""
    by_hand("UPDATE pairwise_subjects SET subject = x'ff'")
    assert await people.subjects.reveal("pairwise") is None


async def test_people_whose_tables_are_gone_are_unavailable(people: Store, by_hand: Hand) -> None:
    """Nothing of a removal stands where a part of it cannot be done."""
    by_hand("DROP TABLE pairwise_subjects")
    with pytest.raises(Exception, match="no such table") as refused:
        await people.accounts.remove("subject of ann")
    assert not isinstance(refused.value, NotFound)
    stored = await people.accounts.find("ann")
    assert stored is not None
    assert stored == replace(account(), version=stored.version)
    assert await people.sessions.find("cookie", now=NOW) == session()
    assert await valid_grants(people, "grant") == ["grant"]
