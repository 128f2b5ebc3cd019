"""Cookies and forms: what ties a page to a browser, and a browser to a person."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from certbound.core.authentication import digest_of
from certbound.core.errors import InvalidRequest
from certbound.core.interaction import Login
from certbound.core.metadata import Offer
from certbound.core.ports import AccountRecord, ClientRecord, SessionRecord, Store
from certbound.core.scope import NO_SCOPE
from certbound.core.well_known import Issuer
from certbound.server.accounts import AccountBook
from certbound.server.call import Browser, Call, Reply, read_form
from certbound.server.pages import Pages
from certbound.server.passwords import Passwords
from certbound.server.service import People, Service
from certbound.server.sessions import (
    SESSION,
    VISIT,
    Visit,
    end_session,
    find_session,
    require_own_form,
    start_session,
    visit_of,
)
from certbound.stores import open_store
from server.test_asgi import service as make_service

NOW = 1_000_000.0
PAGES = Pages()
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
VALUE = "v" * 43


@dataclass(frozen=True)
class Place:
    service: Service
    store: Store
    anna: AccountRecord

    @property
    def book(self) -> AccountBook:
        assert self.service.people is not None
        assert self.service.people.accounts is not None
        return self.service.people.accounts

    async def log_in(self, *, before: str = "", subject: str = "") -> tuple[SessionRecord, str]:
        """The session, and the value of its cookie."""
        login = Login(subject=subject or self.anna.subject, auth_time=NOW)
        session, (name, header) = await start_session(
            call(**{SESSION: before} if before else {}), self.service, login, self.service.new_id()
        )
        assert name == b"set-cookie"
        return session, SimpleCookie(header.decode())[SESSION].value


@pytest.fixture
async def place(tmp_path: Path, migrated: Path) -> AsyncIterator[Place]:
    shutil.copy(migrated, tmp_path / "test.sqlite")
    store = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    offer = Offer(
        issuer=Issuer("https://as.example:443/tenant"), mtls_base=None, scope=NO_SCOPE, grant_types=frozenset(),
        methods=frozenset(), can_bind=True, authorizes=True,
    )  # fmt: skip
    book = AccountBook(store, lambda: NOW, passwords=CHEAP)
    people = People(pages=PAGES, accounts=book, session_lifetime=100)
    async with make_service(store, offer=offer, people=people) as service:
        yield Place(service, store, await book.add("anna", "correct horse battery"))
    await store.close()


def call(now: float = NOW, form: str = "", origin: str | None = None, site: str | None = None, **cookies: str) -> Call:
    browser = Browser(cookies=cookies, origin=origin, site=site)
    return Call(now=now, form=read_form(form.encode()), browser=browser)


# Visits and forms


async def test_the_first_page_makes_a_visit_and_later_ones_keep_it(place: Place) -> None:
    first = visit_of(call(), place.service)
    assert first.is_new
    kept = first.keep(Reply(200))
    assert kept.headers == ((b"set-cookie", f"{VISIT}={first.value}; Path=/; Secure; HttpOnly; SameSite=Lax".encode()),)
    again = visit_of(call(**{VISIT: first.value}), place.service)
    assert (again.value, again.is_new) == (first.value, False)
    assert again.keep(Reply(200)) == Reply(200)


@pytest.mark.parametrize("value", ["", "short", "v" * 129, "v" * 42 + ";", "v" * 42 + "é"])
async def test_a_cookie_that_we_did_not_make_is_none(place: Place, value: str) -> None:
    assert visit_of(call(**{VISIT: value}), place.service).is_new
    assert await find_session(call(**{SESSION: value}), place.service) is None


async def test_a_form_counts_for_its_browser_and_purpose(place: Place) -> None:
    token = Visit(value=VALUE).form_token("account 1")
    for cookie, purpose, counts in (
        (VALUE, "account 1", True),
        (VALUE, "account 2", False),
        ("w" * 43, "account 1", False),
        ("", "account 1", False),
    ):
        posted = call(form=f"form_token={token}", **{VISIT: cookie})
        if counts:
            require_own_form(posted, place.service, purpose)
        else:
            with pytest.raises(InvalidRequest) as refused:
                require_own_form(posted, place.service, purpose)
            assert refused.value.status == 403


@pytest.mark.parametrize(
    ("origin", "site", "counts"),
    [
        (None, None, True),
        ("https://as.example", "same-origin", True),
        ("https://as.example", "none", True),
        ("https://as.example", "same-site", False),
        ("https://as.example", "cross-site", False),
        ("https://as.example", "", False),
        (None, "cross-site", False),
        ("null", None, False),
        ("", None, False),
        ("https://as.example.evil.example", None, False),
        ("https://evil.example", "same-origin", False),
        ("http://as.example", None, False),
        ("https://as.example:8443", None, False),
    ],
)
async def test_a_form_comes_from_our_own_origin_if_the_browser_says_so(
    place: Place, origin: str | None, site: str | None, counts: bool
) -> None:
    posted = call(form=f"form_token={Visit(value=VALUE).form_token('p')}", origin=origin, site=site, **{VISIT: VALUE})
    if counts:
        require_own_form(posted, place.service, "p")
    else:
        with pytest.raises(InvalidRequest, match="another"):
            require_own_form(posted, place.service, "p")


async def test_neither_a_visit_nor_its_cookie_is_seen_in_logs() -> None:
    assert VALUE not in repr(Visit(value=VALUE))
    assert VALUE not in repr(call(**{VISIT: VALUE}))
    assert VALUE not in repr(call(**{VISIT: VALUE}).browser)


# Sessions


async def test_a_person_who_logs_in_is_found_by_the_cookie_that_they_got_and_by_nothing_else(place: Place) -> None:
    session, value = await place.log_in()
    found = await find_session(call(**{SESSION: value}), place.service)
    assert found == session
    assert found.digest == digest_of(value) != value
    for other in (session.sid, session.digest, session.subject, value[:-1], value + "A"):
        assert await find_session(call(**{SESSION: other}), place.service) is None
    assert await find_session(call(**{VISIT: value}), place.service) is None


async def test_what_the_browser_brought_is_not_its_session_afterwards(place: Place) -> None:
    """Session fixation: a value that somebody planted is worth nothing once the person logged in."""
    planted = "p" * 43
    _, value = await place.log_in(before=planted)
    assert value != planted
    assert await find_session(call(**{SESSION: planted}), place.service) is None


async def test_each_login_is_a_session_of_its_own_and_ends_the_one_before_in_that_browser(place: Place) -> None:
    before, old = await place.log_in()
    elsewhere, other = await place.log_in()
    after, new = await place.log_in(before=old)
    assert len({before.sid, elsewhere.sid, after.sid}) == len({old, other, new}) == 3
    assert await find_session(call(**{SESSION: old}), place.service) is None
    assert await find_session(call(**{SESSION: other}), place.service) == elsewhere
    assert await find_session(call(**{SESSION: new}), place.service) == after


async def test_a_session_ends_with_its_time(place: Place) -> None:
    _, value = await place.log_in()
    assert await find_session(call(NOW + 99, **{SESSION: value}), place.service) is not None
    assert await find_session(call(NOW + 101, **{SESSION: value}), place.service) is None


async def test_who_logs_out_is_out_and_the_cookie_goes(place: Place) -> None:
    _, value = await place.log_in()
    name, header = await end_session(call(**{SESSION: value}), place.service)
    assert (name, header) == (
        b"set-cookie",
        f"{SESSION}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0".encode(),
    )
    assert await find_session(call(**{SESSION: value}), place.service) is None
    await end_session(call(), place.service)  # whoever is not logged in may say so


async def test_who_was_locked_out_or_is_gone_is_not_logged_in(place: Place) -> None:
    _, value = await place.log_in()
    await place.store.accounts.replace(replace(place.anna, enabled=False))  # as another process left it
    assert await find_session(call(**{SESSION: value}), place.service) is None
    _, value = await place.log_in(subject="nobody-here")
    assert await find_session(call(**{SESSION: value}), place.service) is None


async def test_a_password_that_was_changed_since_ends_a_session_and_one_from_before_does_not(place: Place) -> None:
    _, value = await place.log_in()
    assert await find_session(call(**{SESSION: value}), place.service) is not None
    await place.store.accounts.replace(replace(place.anna, password_at=NOW + 1))
    assert await find_session(call(**{SESSION: value}), place.service) is None
    assert await place.store.sessions.find(digest_of(value), now=NOW) is None


async def test_people_of_a_login_application_need_no_account(place: Place) -> None:
    assert place.service.people is not None
    elsewhere = replace(place.service.people, accounts=None, login_url="https://login.example/")
    changed = Place(replace(place.service, people=elsewhere), place.store, place.anna)
    session, value = await changed.log_in(subject="karel")
    assert await find_session(call(**{SESSION: value}), changed.service) == session


async def test_nobody_is_logged_in_under_the_id_of_a_client(place: Place) -> None:
    metadata: dict[str, Any] = {"token_endpoint_auth_method": "none", "grant_types": ["client_credentials"]}
    await place.store.clients.add(ClientRecord(client_id="bank", metadata=metadata))
    await place.service.clients.refresh()
    with pytest.raises(InvalidRequest, match="cannot log in") as refused:
        await place.log_in(subject="bank")
    assert refused.value.status == 403
