"""certbound.server.accounts: people and their passwords (real SQLite, real argon2)."""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from argon2 import PasswordHasher

from certbound.core.people import UnfitAccount
from certbound.core.ports import ClientRecord, ConsentRecord, GrantRecord, NotFound, SessionRecord
from certbound.server.accounts import AccountBook, TooManyGuesses
from certbound.server.audit import LOGGER
from certbound.server.guesses import Guesses
from certbound.server.passwords import LONGEST_LINE, Passwords
from certbound.stores import open_store

NOW = 1_700_000_000.0
PASSWORD = "correct horse"
HERE = "192.0.2.7"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
async def book() -> AsyncIterator[AccountBook]:
    store = await open_store("sqlite://")
    guesses = Guesses(10, lambda: 0.0)
    yield AccountBook(store, lambda: NOW, "admin", Passwords(CHEAP), guesses)
    await store.close()


async def enters(book: AccountBook, username: str = "anna", password: str = PASSWORD, remote: str = HERE) -> bool:
    return await book.verify(username, password, remote=remote) is not None


async def give_everything(book: AccountBook, subject: str) -> None:
    """A session, a consent and a grant of this person."""
    session = SessionRecord(digest="d", subject=subject, sid="s", auth_time=NOW, created_at=NOW, ends_at=NOW + 99)
    await book.store.sessions.add(session)
    await book.store.consents.put(ConsentRecord(subject=subject, client_id="app", created_at=NOW))
    grant = GrantRecord(
        grant_id="g", client_id="app", content={}, seed="x", subject=subject, created_at=NOW, ends_at=NOW + 99
    )
    await book.store.grants.open(grant, "refresh", now=NOW)


async def left(book: AccountBook, subject: str) -> tuple[bool, int, bool]:
    """Whether there is a session, how many consents there are, and whether the grant counts."""
    found = await book.store.grants.find("refresh", now=NOW)
    return (
        await book.store.sessions.find("d", now=NOW) is not None,
        len(await book.store.consents.list(subject)),
        found is not None and found.grant.valid,
    )


@pytest.fixture
async def with_client(book: AccountBook) -> AccountBook:
    await book.store.clients.add(ClientRecord(client_id="app", metadata={}))
    return book


async def test_a_person_logs_in(book: AccountBook) -> None:
    """By name and password, however the two are typed; the account has a subject nobody can guess."""
    account = await book.add("Anna@Example.com", "Ž pass\xa0word", {"email": "anna@example.com"})
    assert account.username == "anna@example.com"
    assert re.fullmatch("[0-9a-f]{32}", account.subject), "128 bits, and nothing that a command takes for an option"
    assert account.claims == {"email": "anna@example.com", "updated_at": int(NOW)}
    assert account.password.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    found = await book.verify("ＡNNA@example.com", "Z\u030c pass word", remote=HERE)
    assert found == account


async def test_nobody_else_does(book: AccountBook) -> None:
    """Wrong, odd and endless ones are refused alike."""
    await book.add("anna", PASSWORD)
    wrong = [
        ("anna", "correct hors"), ("anna", "correct horse "), ("anna", ""), ("anna", "\0"), ("anna", "x" * 5000),
        ("anna", "Correct horse"), ("bert", PASSWORD), ("", PASSWORD), ("an na", PASSWORD), ("\ud800", PASSWORD),
        ("a" * 9999, PASSWORD), ("' OR 1=1 --", PASSWORD), ("anna\0", PASSWORD),
    ]  # fmt: skip
    for number, (username, password) in enumerate(wrong):
        assert not await enters(book, username, password, remote=f"198.51.100.{number}")
    assert await enters(book)


async def test_an_account_without_a_password_lets_nobody_in(book: AccountBook) -> None:
    """Nor does one whose hash a hand has spoiled."""
    account = await book.add("anna", PASSWORD)
    for kept in ("", "$argon2id$v=19$m=8,t=1,p=1$nonsense", PASSWORD, "$2b$12$abc"):
        account = await book.store.accounts.replace(replace(account, password=kept))
        for typed in (PASSWORD, "", kept):
            assert not await enters(book, password=typed, remote=f"198.51.100.{len(kept)}")


async def test_two_accounts_have_no_name_in_common(book: AccountBook) -> None:
    """However it is typed; the refusal names the field, and nothing is stored."""
    await book.add("anna", PASSWORD)
    other = await book.add("bert", PASSWORD)
    for attempt in (book.add("ANNA", PASSWORD), book.change("bert", new_name="Anna")):
        with pytest.raises(UnfitAccount, match="username 'anna' is taken"):
            await attempt
    assert await book.find("bert") == other
    assert [each.username for each in await book.list()] == ["anna", "bert"]


@pytest.mark.parametrize(
    ("username", "password", "claims", "field"),
    [
        ("an na", PASSWORD, {}, "username"),
        ("anna", "short", {}, "password"),
        ("anna", "anna", {}, "password"),
        ("anna", PASSWORD, {"email": "anna"}, "email"),
        ("anna", PASSWORD, {"role": "admin"}, "role"),
    ],
)
async def test_what_cannot_stand_is_not_stored(
    book: AccountBook, username: str, password: str, claims: dict[str, Any], field: str
) -> None:
    """The refusal names the field."""
    with pytest.raises(UnfitAccount) as refused:
        await book.add(username, password, claims)
    assert refused.value.field == field
    assert list(await book.list()) == []


async def test_claims_are_merged(book: AccountBook) -> None:
    """None takes one away; a new name keeps the subject and the password."""
    account = await book.add("anna", PASSWORD, {"email": "a@example.com", "name": "Anna"})
    changed = await book.change("anna", {"email": None, "locale": "cs"}, new_name="Anička")
    assert changed is not None
    assert changed.claims == {"name": "Anna", "locale": "cs", "updated_at": int(NOW)}
    assert changed.subject == account.subject
    assert await enters(book, "anička")
    assert await book.find("anna") is None


async def test_a_new_password(with_client: AccountBook) -> None:
    """The old one is worth nothing, sessions end, and what clients have lives on."""
    account = await with_client.add("anna", PASSWORD)
    await give_everything(with_client, account.subject)
    changed = await with_client.set_password("ANNA", "another horse")
    assert changed is not None
    assert changed.password_at == NOW
    assert not await enters(with_client)
    assert await enters(with_client, password="another horse")
    assert await left(with_client, account.subject) == (False, 1, True)


async def is_open(book: AccountBook, subject: str) -> bool:
    """Whether there is an account with that subject, and it is enabled."""
    account = await book.store.accounts.find_subject(subject)
    return account is not None and account.enabled


async def test_locked_out(with_client: AccountBook) -> None:
    """Sessions and grants end; let in again, the person begins anew, and is not asked what they agreed to."""
    account = await with_client.add("anna", PASSWORD)
    await give_everything(with_client, account.subject)
    await with_client.switch("anna", enabled=False)
    assert not await enters(with_client)
    assert not await is_open(with_client, account.subject)
    assert await left(with_client, account.subject) == (False, 1, False)
    await with_client.switch("anna", enabled=True)
    assert await enters(with_client)
    assert await is_open(with_client, account.subject)
    assert await left(with_client, account.subject) == (False, 1, False)


async def test_removed(with_client: AccountBook) -> None:
    """Nothing is left; whoever gets the name next is another person."""
    account = await with_client.add("anna", PASSWORD)
    await give_everything(with_client, account.subject)
    assert await with_client.remove("Anna")
    assert await left(with_client, account.subject) == (False, 0, False)
    assert not await is_open(with_client, account.subject)
    assert (await with_client.add("anna", PASSWORD)).subject != account.subject


async def test_who_is_not_there_cannot_be_changed(book: AccountBook) -> None:
    """None or False, and no error."""
    assert await book.set_password("anna", PASSWORD) is None
    assert await book.change("anna", {"name": "A"}) is None
    assert await book.switch("an na", enabled=False) is None
    assert await book.remove("anna") is False
    assert await book.find("\0") is None
    assert not await is_open(book, "anna")


async def test_a_change_that_is_overtaken(book: AccountBook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is no change: whoever asks looks again."""
    account = await book.add("anna", PASSWORD)
    await book.change("anna", {"name": "Anna"})
    monkeypatch.setattr(AccountBook, "find", lambda *_: _later(account))
    with pytest.raises(NotFound):
        await book.change("anna", {"name": "Hana"})


async def _later(value: Any) -> Any:
    return value


async def test_a_hash_follows_the_parameters(book: AccountBook) -> None:
    """Made anew when the password is known, once; sessions go on."""
    account = await book.add("anna", PASSWORD)
    dearer = replace(book, passwords=Passwords(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)))
    found = await dearer.verify("anna", PASSWORD, remote=HERE)
    assert found is not None
    assert found.password.startswith("$argon2id$v=19$m=16,t=2,p=1$")
    assert found.password_at == account.password_at
    assert await dearer.verify("anna", PASSWORD, remote=HERE) == found
    assert not await enters(dearer, password="wrong horse")


async def test_whoever_guesses_waits(book: AccountBook) -> None:
    """Then not even the right password is looked at; from elsewhere, and for others, it is."""
    await book.add("anna", PASSWORD)
    await book.add("bert", PASSWORD)
    for number in range(10):
        assert not await enters(book, password=f"guess {number}")
    for password in ("guess 11", PASSWORD):
        with pytest.raises(TooManyGuesses) as refused:
            await enters(book, "ANNA", password)
        assert refused.value.retry_after == 6
    assert await enters(book, "bert")
    assert await enters(book, remote="198.51.100.1")


async def test_who_is_right_never_waits(book: AccountBook) -> None:
    """However often they log in."""
    await book.add("anna", PASSWORD)
    assert all([await enters(book) for _ in range(30)])


async def test_a_guess_that_must_wait_costs_no_hash(book: AccountBook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a question to the store."""
    for number in range(10):
        await enters(book, password=f"guess {number}")
    asked: list[str] = []
    monkeypatch.setattr(Passwords, "is_right", lambda *_: asked.append("hash"))
    monkeypatch.setattr(type(book.store.accounts), "find", lambda *_: asked.append("store"))
    for _ in range(100):
        with pytest.raises(TooManyGuesses):
            await enters(book)
    assert asked == []


async def test_at_once_no_more_are_tried_than_one_after_the_other(book: AccountBook) -> None:
    """Of a thousand guesses ten are looked at."""
    await book.add("anna", PASSWORD)
    answers = await asyncio.gather(*(enters(book, password=f"{n} horses") for n in range(1000)), return_exceptions=True)
    assert answers.count(False) == 10
    assert sum(isinstance(each, TooManyGuesses) for each in answers) == 990


async def test_the_line_has_an_end() -> None:
    """Beyond it later is said at once, and whoever leaves makes room."""
    passwords = Passwords(CHEAP, at_once=1)
    kept = await passwords.hash(PASSWORD)
    answers = await asyncio.gather(
        *(passwords.is_right(PASSWORD, kept) for _ in range(LONGEST_LINE + 50)), return_exceptions=True
    )
    assert answers.count(True) == LONGEST_LINE
    assert sum(isinstance(each, TooManyGuesses) for each in answers) == 50
    gone = [asyncio.create_task(passwords.is_right(PASSWORD, kept)) for _ in range(LONGEST_LINE)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyGuesses):
        await passwords.is_right(PASSWORD, kept)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    assert await passwords.is_right(PASSWORD, kept)


async def test_the_audit_says_who_logged_in(book: AccountBook, caplog: pytest.LogCaptureFixture) -> None:
    """As every other event, by their subject; a change says the name too, which may be gone afterwards.  Of a name that
    nobody has, nothing that was typed: it may be a password."""
    account = await book.add("anna", PASSWORD)
    with caplog.at_level(logging.INFO, LOGGER):
        await book.verify("anna", PASSWORD, remote=HERE, request_id="r1")
        await book.verify("anna", "wrong horse", remote=HERE)
        await book.verify("secret horse", "anna", remote=HERE)
        await book.switch("anna", enabled=False)
        await book.verify("anna", PASSWORD, remote=HERE)
    said = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    about = f"about {account.subject}"
    assert said == [
        f"add account done: asked by admin, {about}: the account 'anna'",
        f"log in done: request r1, from {HERE}, {about}",
        f"log in refused: from {HERE}, {about}: the password is wrong",
        f"log in refused: from {HERE}: no account has that name",
        f"disable account done: asked by admin, {about}: the account 'anna'",
        f"log in refused: from {HERE}, {about}: the account is disabled",
    ]
    assert not any("horse" in record.getMessage() or "argon2" in record.getMessage() for record in caplog.records)


async def test_the_audit_is_not_flooded(book: AccountBook, caplog: pytest.LogCaptureFixture) -> None:
    """Each guess up to the limit, and the first one beyond."""
    with caplog.at_level(logging.INFO, LOGGER):
        for _ in range(100):
            with contextlib.suppress(TooManyGuesses):
                await enters(book)
    said = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert len(said) == 11
    assert said[-1] == f"log in throttled: from {HERE}: too many guesses; wait 6 s"


async def test_whether_there_is_such_a_name_costs_the_same() -> None:
    """A wrong password, no such name, a name that cannot be, a disabled account, and one without a password."""
    store = await open_store("sqlite://")
    hasher = PasswordHasher(time_cost=2, memory_cost=8192, parallelism=1)  # a few milliseconds
    book = AccountBook(store, lambda: NOW, passwords=Passwords(hasher, at_once=1))
    await book.add("anna", PASSWORD)
    await book.add("shut", PASSWORD)
    await book.switch("shut", enabled=False)
    await store.accounts.replace(replace(await book.add("bare", PASSWORD), password=""))
    cases = {
        "wrong": ("anna", "wrong horse"), "nobody": ("bert", PASSWORD), "odd": ("be rt", PASSWORD),
        "disabled": ("shut", PASSWORD), "without": ("bare", PASSWORD), "untypable": ("anna", "\0" * 9),
    }  # fmt: skip
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(9):
        for name, (username, password) in cases.items():
            started = time.process_time()  # of all threads, whatever else runs on the machine
            assert not await enters(book, username, password)
            taken[name].append(time.process_time() - started)
    await store.close()
    cheapest = {name: min(each) for name, each in taken.items()}
    assert max(cheapest.values()) < 2 * min(cheapest.values()), cheapest
