"""The way from a client's request to its code: pages, logins and consents, without a listener, by a clock of ours."""

import asyncio
import json
import logging
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from html import unescape
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
import pytest
from argon2 import PasswordHasher

from certbound.core.authentication import digest_of
from certbound.core.authorization import MAX_STATE, Prompt
from certbound.core.errors import InvalidRequest, OAuthError, TooManyRequests
from certbound.core.grants import Policy, authorization_code
from certbound.core.interaction import Login, read_waiting, write_waiting
from certbound.core.metadata import Offer
from certbound.core.pkce import S256
from certbound.core.ports import AccountRecord, ClientRecord, Store, TicketKind
from certbound.core.scope import Scope
from certbound.core.well_known import Issuer
from certbound.server import interactions
from certbound.server.accounts import AccountBook
from certbound.server.authorization import authorize, authorize_by_post
from certbound.server.call import Browser, Call, Reply, read_cookies, read_form
from certbound.server.guesses import Guesses
from certbound.server.pages import Pages
from certbound.server.passwords import Passwords
from certbound.server.pushed import find_pushed, keep_request
from certbound.server.service import People, Service
from certbound.server.sessions import SESSION, VISIT
from certbound.stores import open_store
from server.test_asgi import service as make_service

ISSUER = "https://as.example"
PASSWORD = "correct horse battery"
BACK = "https://app.example/cb"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
PAGES = Pages()
REQUEST = {
    "response_type": "code",
    "client_id": "app",
    "redirect_uri": BACK,
    "scope": "read",
    "state": "xyz",
    "code_challenge": CHALLENGE,
    "code_challenge_method": S256,
}


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Person:
    """At one browser."""

    service: Service
    cookies: dict[str, str] = field(default_factory=dict)
    page: Reply = field(default_factory=lambda: Reply(0))
    at: str = ""
    address: str = "192.0.2.7"

    async def asks(self, **parameters: str | None) -> "Person":
        """Follows a client's link."""
        given = {name: value for name, value in {**REQUEST, **parameters}.items() if value is not None}
        return await self.goes(f"{ISSUER}/authorize?{urlencode(given)}")

    async def goes(self, url: str) -> "Person":
        """With the redirects that stay here."""
        parts = urlsplit(url)
        self.at = parts.path.rpartition("/")[2]
        self.page = await self._send(parts.path, query=read_form(parts.query.encode(), repeats=True))
        return await self._follow()

    async def sends(self, action: str, **changes: Any) -> "Person":
        """The form on the page, `fields` and what the browser says of it changed."""
        browser = {"origin": ISSUER, "site": "same-origin", **changes.pop("browser", {})}
        token = re.search(r'name="form_token" value="([^"]+)"', self.page.body.decode())
        fields = {"form_token": token[1] if token else "", "action": action, **changes}
        body = urlencode({name: value for name, value in fields.items() if value is not None}).encode()
        self.page = await self._send(f"/interaction/{self.at}", posts=True, form=read_form(body), **browser)
        return await self._follow()

    async def logs_in(self, username: str = "anna", password: str = PASSWORD) -> "Person":
        return await self.sends("login", username=username, password=password)

    async def agrees(self) -> "Person":
        return await self.sends("allow")

    async def has_agreed(self, **parameters: str | None) -> str:
        """The code, however much is asked."""
        await self.asks(**parameters)
        if self.sees("login"):
            await self.logs_in()
        if self.sees("allow"):
            await self.agrees()
        return self.told["code"]

    def sees(self, button: str) -> bool:
        return f'value="{button}"'.encode() in self.page.body

    @property
    def told(self) -> dict[str, str]:
        """What the client is told."""
        parts = urlsplit(self.location)
        return dict(parse_qsl(parts.fragment or parts.query))

    @property
    def location(self) -> str:
        return dict(self.page.headers).get(b"location", b"").decode()

    async def _follow(self) -> "Person":
        while self.location.startswith(ISSUER + "/"):
            await self.goes(self.location)
        return self

    async def _send(self, path: str, *, posts: bool = False, **what: Any) -> Reply:
        browser = Browser(cookies=dict(self.cookies), origin=what.pop("origin", None), site=what.pop("site", None))
        call = Call(
            now=self.service.clock(), browser=browser, rest=path.rpartition("/")[2], address=self.address, **what
        )
        endpoint = interactions.show if path.startswith("/interaction/") else authorize
        reply = await (interactions.submit if posts else endpoint)(call, self.service)
        for name, value in reply.headers:
            if name == b"set-cookie":
                self.cookies |= {each: morsel.value for each, morsel in SimpleCookie(value.decode()).items()}
        return reply


@dataclass(frozen=True)
class Place:
    """A server and its clock."""

    service: Service
    clock: Clock
    store: Store
    anna: AccountRecord

    def person(self, **changes: Any) -> Person:
        return Person(self.with_people(**changes) if changes else self.service)

    def with_people(self, **changes: Any) -> Service:
        assert self.service.people is not None
        return replace(self.service, people=replace(self.service.people, **changes))

    async def code(self, secret: str) -> authorization_code.Code:
        ticket = await self.store.tickets.find(TicketKind.CODE, digest_of(secret), now=self.clock.now)
        assert ticket is not None
        code = authorization_code.read(ticket.content)
        assert code is not None
        return code

    async def register(self, client_id: str, **metadata: Any) -> None:
        given = {
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "redirect_uris": [BACK],
            "scope": "read write",
            **metadata,
        }
        await self.store.clients.add(ClientRecord(client_id=client_id, metadata=given))
        await self.service.clients.refresh()


@pytest.fixture
async def place(tmp_path: Path, migrated: Path) -> AsyncIterator[Place]:
    shutil.copy(migrated, tmp_path / "test.sqlite")
    store = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    clock, scope = Clock(), Scope(frozenset({"read", "write"}))
    book = AccountBook(store, clock, passwords=CHEAP, guesses=Guesses(5, clock))
    offer = Offer(
        issuer=Issuer(ISSUER), mtls_base=None, scope=scope, grant_types=frozenset({authorization_code.GRANT_TYPE}),
        methods=frozenset(), can_bind=True, authorizes=True,
    )  # fmt: skip
    people = People(pages=PAGES, accounts=book)
    policy = Policy(scope=scope, resources=["https://api.example", "https://other.example"])
    async with make_service(store, offer=offer, policy=policy, people=people, clock=clock) as service:
        built = Place(service, clock, store, await book.add("anna", PASSWORD))
        await built.register("app", client_name="App")
        yield built
    await store.close()


# What the client gets


async def test_a_person_who_logs_in_and_agrees_sends_the_client_a_code_with_state_and_issuer(place: Place) -> None:
    person = await place.person().asks(resource="https://other.example", nonce="n")
    assert person.sees("login")
    await person.logs_in()
    assert person.sees("allow")
    await person.agrees()
    assert person.location.startswith(BACK + "?")
    assert person.told == {"code": person.told["code"], "state": "xyz", "iss": ISSUER}
    code = await place.code(person.told["code"])
    assert (code.client_id, code.redirect_uri, code.code_challenge) == ("app", BACK, CHALLENGE)
    assert (code.subject, code.scope, code.resources) == (place.anna.subject, ("read",), ("https://other.example",))
    assert (code.nonce, code.auth_time, code.amr) == ("n", place.clock.now, ("pwd",))


async def test_a_code_lives_no_longer_than_the_deployment_says(place: Place) -> None:
    secret = await place.person(code_lifetime=30).has_agreed()
    assert (await place.code(secret)).ends_at == place.clock.now + 30
    place.clock.now += authorization_code.REMEMBERED  # so that whoever comes twice is known
    await place.code(secret)
    place.clock.now += 31
    assert await place.store.tickets.find(TicketKind.CODE, digest_of(secret), now=place.clock.now) is None


async def test_the_answer_travels_in_the_fragment_or_in_a_form_where_the_client_asks(place: Place) -> None:
    person = place.person()
    await person.has_agreed(response_mode="fragment")
    assert person.location.startswith(BACK + "#code=cbac_")
    await person.asks(response_mode="form_post")
    page = person.page.body.decode()
    assert person.page.status == 200
    assert f'action="{BACK}"' in page
    sent = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    assert {**sent, "code": ""} == {"code": "", "state": "xyz", "iss": ISSUER}


async def test_what_is_wrong_with_a_request_is_told_the_client_with_state_and_issuer(place: Place) -> None:
    for wrong, error in (
        ({"prompt": "dance"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": "read delete"}, "invalid_scope"),
        ({"resource": "https://unknown.example"}, "invalid_target"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"nonce": "n" * 10_000}, "invalid_request"),
        ({"id_token_hint": "e" * 10_000}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "https://app.example/request.jwt"}, "request_uri_not_supported"),
        ({"id_token_hint": "eyJhbGciOiJub25lIn0.e30."}, "invalid_request"),
    ):
        person = await place.person().asks(**wrong)
        assert (person.told["error"], person.told["state"], person.told["iss"]) == (error, "xyz", ISSUER), wrong


STRANGE = (
    None,
    "https://evil.example/cb",
    "https://app.example/cb/",
    "https://app.example/cb?x=1",
    "https://app.example/cb#x",
    "https://app.example/cb/../evil",
    "https://app.example/cb%2f..",
    "https://app.example:444/cb",
    "https://app.example.evil.example/cb",
    "https://app.example@evil.example/cb",
    "https://evil.example\\@app.example/cb",
    "http://app.example/cb",
    "HTTPS://APP.EXAMPLE/cb",
    "//app.example/cb",
    "javascript:alert(1)//https://app.example/cb",
    f"{BACK}\r\nset-cookie: x=1",
)


async def test_nobody_is_sent_to_an_address_that_the_client_did_not_register(place: Place) -> None:
    for uri in STRANGE:
        with pytest.raises(InvalidRequest):
            await place.person().asks(redirect_uri=uri)


async def test_who_is_no_client_sends_nobody_anywhere(place: Place) -> None:
    for client_id in (None, "nobody", "app\0", "APP"):
        with pytest.raises(InvalidRequest):
            await place.person().asks(client_id=client_id)


async def test_a_client_that_is_disabled_sends_nobody_anywhere_not_even_with_an_error(place: Place) -> None:
    record = await place.store.clients.find("app")
    assert record is not None
    await place.store.clients.replace(replace(record, enabled=False))
    await place.service.clients.refresh()
    for wish in ({}, {"prompt": "none"}, {"response_type": "token"}):
        with pytest.raises(InvalidRequest):
            await place.person().asks(**wish)


async def test_a_client_that_may_not_use_codes_sends_nobody_anywhere(place: Place) -> None:
    await place.register("machine", grant_types=["client_credentials"], redirect_uris=[])
    with pytest.raises(OAuthError, match="may not use"):
        await place.person().asks(client_id="machine")


async def test_a_state_of_ten_kilobytes_is_refused_and_the_longest_comes_back_whole(place: Place) -> None:
    with pytest.raises(InvalidRequest, match="state"):
        await place.person().asks(state="s" * 10_000)
    person = place.person()
    await person.has_agreed(state="ž" * MAX_STATE)
    assert person.told["state"] == "ž" * MAX_STATE


async def test_what_is_kept_while_a_person_decides_has_a_bound(place: Place) -> None:
    long = " ".join(["x" * 200, "y" * 300, *"z" * 20])
    person = await place.person().asks(login_hint=long, acr_values=long, ui_locales=long, unknown=long * 50)
    ticket = await place.store.tickets.find(TicketKind.INTERACTION, digest_of(person.at), now=place.clock.now)
    assert ticket is not None
    assert len(json.dumps(dict(ticket.content))) < 2000


def repeating(name: str, value: str) -> str:
    """The link, with this parameter twice."""
    once = {each: said for each, said in REQUEST.items() if each != name}
    return f"{ISSUER}/authorize?{urlencode([*once.items(), (name, value), (name, value)])}"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state", "request_uri"])
async def test_what_says_who_asks_and_where_the_answer_goes_is_not_repeated(place: Place, name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{name} is repeated"):
        await place.person().goes(
            f"{ISSUER}/authorize?{urlencode([*REQUEST.items(), *[(name, REQUEST.get(name, 'x'))] * 2])}"
        )


@pytest.mark.parametrize("name", ["scope", "nonce", "nobody_knows"])
async def test_the_client_is_told_what_else_it_repeats(place: Place, name: str) -> None:
    person = await place.person().goes(
        f"{ISSUER}/authorize?{urlencode([*REQUEST.items(), (name, 'read'), (name, 'read')])}"
    )
    assert (person.told["error"], person.told["error_description"]) == ("invalid_request", f"{name} is repeated")


async def test_of_one_network_only_so_much_is_kept_before_anybody_logs_in(place: Place) -> None:
    service = place.with_people(strangers=Guesses(3, place.clock))
    for _ in range(3):
        assert (await Person(service).asks()).sees("login")
    with pytest.raises(TooManyRequests) as refused:
        await Person(service).asks()
    assert (refused.value.status, refused.value.retry_after) == (429, 20)
    with pytest.raises(TooManyRequests):
        await interactions.require_login(Call(now=place.clock.now, address="192.0.2.7"), service, then="/account")
    await Person(service, address="198.51.100.1").asks()
    place.clock.now += 20
    assert (await Person(service).asks()).sees("login")


async def test_whoever_is_logged_in_is_no_stranger(place: Place) -> None:
    person = place.person(strangers=Guesses(1, place.clock))
    await person.has_agreed()
    for _ in range(3):
        assert (await person.asks(prompt="consent")).sees("allow")


# What is asked of the person


async def test_whoever_agreed_is_not_asked_again_for_as_much_or_less_but_for_more(place: Place) -> None:
    person = place.person()
    await person.has_agreed(scope="read write")
    assert "code" in (await person.asks(scope="write")).told
    await place.register("other")
    assert (await person.asks(client_id="other")).sees("allow")  # another client is another question


async def test_what_was_agreed_to_before_stays_remembered_beside_what_is_new(place: Place) -> None:
    person = place.person()
    await person.has_agreed(scope="read")
    assert (await person.asks(scope="write")).sees("allow")
    await person.agrees()
    assert "code" in (await person.asks(scope="read write")).told
    consent = await place.store.consents.find(place.anna.subject, "app")
    assert consent is not None
    assert consent.scope == ("read", "write")


async def test_a_client_that_anybody_on_the_machine_could_be_is_asked_about_each_time(place: Place) -> None:
    await place.register("native", redirect_uris=["http://127.0.0.1/cb"])
    person = place.person()
    await person.has_agreed(client_id="native", redirect_uri="http://127.0.0.1:49152/cb")
    assert person.location.startswith("http://127.0.0.1:49152/cb?code=")
    assert (await person.asks(client_id="native", redirect_uri="http://127.0.0.1:49153/cb")).sees("allow")


async def test_prompt_none_asks_nobody_and_says_what_would_have_been_asked(place: Place) -> None:
    person = await place.person().asks(prompt="none")
    assert person.told["error"] == "login_required"
    await (await person.asks()).logs_in()
    assert (await person.asks(prompt="none")).told["error"] == "consent_required"
    await person.has_agreed()
    assert "code" in (await person.asks(prompt="none")).told
    assert (await person.asks(prompt="none", scope="read write")).told["error"] == "consent_required"
    place.clock.now += 100
    assert (await person.asks(prompt="none", max_age="99")).told["error"] == "login_required"
    assert VISIT in person.cookies


async def test_prompt_login_and_max_age_ask_for_a_new_login_and_its_time_is_told(place: Place) -> None:
    person = place.person()
    await person.has_agreed()
    for wish in ({"prompt": "login"}, {"max_age": "50"}, {"prompt": "select_account"}, {"max_age": "0"}):
        place.clock.now += 100
        assert (await person.asks(**wish)).sees("login"), wish
        await person.logs_in()
        assert (await place.code(person.told["code"])).auth_time == place.clock.now


async def test_prompt_consent_asks_again(place: Place) -> None:
    person = place.person()
    await person.has_agreed()
    assert (await person.asks(prompt="consent")).sees("allow")
    await person.agrees()
    assert "code" in person.told


async def test_a_person_who_says_no_is_sent_back_with_that_and_the_request_is_over(place: Place) -> None:
    person = await (await place.person().asks()).logs_in()
    await person.sends("deny")
    assert (person.told["error"], person.told["state"], person.told["iss"]) == ("access_denied", "xyz", ISSUER)
    with pytest.raises(InvalidRequest, match="answered already"):
        await person.goes(f"{ISSUER}/interaction/{person.at}")
    assert await place.store.consents.find(place.anna.subject, "app") is None


async def test_a_wrong_password_shows_the_page_again_with_the_name_that_was_typed(place: Place) -> None:
    person = await place.person().asks()
    await person.logs_in(username='<b>"anna', password="wrong password")
    page = person.page.body.decode()
    assert (person.page.status, SESSION in person.cookies) == (403, False)
    assert "<b>" not in page
    assert '<b>"anna' in unescape(page)
    await person.logs_in()
    assert person.sees("allow")


async def test_who_guesses_too_often_is_told_how_long_to_wait(place: Place) -> None:
    person = await place.person().asks()
    for _ in range(5):
        assert (await person.logs_in(password="wrong password")).page.status == 403
    await person.logs_in()  # the right one is not looked at either
    assert person.page.status == 429
    assert int(dict(person.page.headers)[b"retry-after"]) >= 1
    place.clock.now += 60
    assert (await person.logs_in()).sees("allow")


async def test_the_name_that_a_client_hints_at_stands_in_the_form(place: Place) -> None:
    person = await place.person().asks(login_hint='anna"><script>')
    page = person.page.body.decode()
    assert "<script>" not in page
    assert 'value="anna&#34;&gt;&lt;script&gt;"' in page


# One request, one answer


async def test_a_page_that_is_loaded_again_is_the_same_page(place: Place) -> None:
    person = await place.person().asks()
    await person.goes(f"{ISSUER}/interaction/{person.at}")
    assert person.sees("login")
    await person.logs_in()
    await person.goes(f"{ISSUER}/interaction/{person.at}")
    assert person.sees("allow")
    assert "code" in (await person.agrees()).told


async def test_the_second_click_of_two_is_told_that_the_request_was_answered(place: Place) -> None:
    person = await (await place.person().asks()).logs_in()
    page = person.page
    await person.agrees()
    person.page = page
    with pytest.raises(InvalidRequest, match="answered already"):
        await person.agrees()


async def test_of_many_clicks_at_once_one_gets_a_code(place: Place) -> None:
    person = await (await place.person().asks()).logs_in()
    link = await pushed_link(place)
    clicks = [replace(person) for _ in range(10)]
    loads = [Person(place.service, dict(person.cookies)) for _ in range(10)]
    done = await asyncio.gather(*(each.agrees() for each in clicks), return_exceptions=True)
    loaded = await asyncio.gather(*(each.goes(link) for each in loads), return_exceptions=True)
    for answers in (done, loaded):
        assert [type(each) for each in answers].count(InvalidRequest) == 9
        assert len([each for each in answers if isinstance(each, Person) and "code" in each.told]) == 1


async def test_two_tabs_have_a_code_each_but_one_pushed_request_has_one(place: Place) -> None:
    first = await place.person().asks()
    second = await Person(place.service, first.cookies).asks(state="abc")
    await first.logs_in()
    await second.goes(f"{ISSUER}/interaction/{second.at}")  # logged in there too
    await first.agrees()
    await second.agrees()
    assert {first.told["state"], second.told["state"]} == {"xyz", "abc"}
    assert first.told["code"] != second.told["code"]


async def pushed_link(place: Place, **changes: Any) -> str:
    """The link to a request that `app` pushed."""
    probe = await place.person().asks(prompt="consent")
    ticket = await place.store.tickets.find(TicketKind.INTERACTION, digest_of(probe.at), now=place.clock.now)
    waiting = read_waiting(ticket.content if ticket else {})
    assert waiting is not None
    assert waiting.request is not None
    request = msgspec.structs.replace(waiting.request, **{"prompt": frozenset(), **changes})
    reference = await keep_request(request, place.service, place.clock.now)
    return f"{ISSUER}/authorize?{urlencode({'client_id': 'app', 'request_uri': reference})}"


async def test_a_pushed_request_may_be_loaded_twice_and_is_answered_once(place: Place) -> None:
    link = await pushed_link(place)
    first = await place.person().goes(link)
    second = await Person(place.service, first.cookies).goes(link)
    await first.logs_in()
    await second.goes(f"{ISSUER}/interaction/{second.at}")
    await first.agrees()
    assert "code" in first.told
    with pytest.raises(InvalidRequest, match="answered already"):
        await second.agrees()
    for browser in (first, place.person()):  # before anybody types a password for it
        with pytest.raises(InvalidRequest, match="answered already"):
            await browser.goes(link)


async def test_a_pushed_request_leads_to_the_page_for_a_short_time_and_waits_for_the_person_longer(
    place: Place,
) -> None:
    link = await pushed_link(place)
    late = await place.person().goes(link)
    place.clock.now += 91
    with pytest.raises(InvalidRequest, match="time is over"):
        await place.person().goes(link)
    place.clock.now += 700
    await late.logs_in()
    assert "code" in (await late.agrees()).told


async def test_a_pushed_request_is_used_up_by_a_no_too(place: Place) -> None:
    """By what the person says, and by what the client is told because nobody may be asked."""
    person, link = place.person(), await pushed_link(place)
    await person.goes(link)
    await person.logs_in()
    assert (await person.sends("deny")).told["error"] == "access_denied"
    with pytest.raises(InvalidRequest, match="answered already"):
        await person.goes(link)
    silent = await pushed_link(place, prompt=frozenset({Prompt.NONE}))
    assert (await place.person().goes(silent)).told["error"] == "login_required"
    with pytest.raises(InvalidRequest, match="answered already"):
        await place.person().goes(silent)


async def test_errors_travel_in_the_fragment_where_the_client_asks(place: Place) -> None:
    person = await place.person().asks(response_mode="fragment", prompt="none")
    assert urlsplit(person.location).query == ""
    told = dict(parse_qsl(urlsplit(person.location).fragment))
    assert (told["error"], told["state"], told["iss"]) == ("login_required", "xyz", ISSUER)


async def test_beside_a_pushed_request_nothing_else_counts(place: Place) -> None:
    link = await pushed_link(place)
    person = await place.person().goes(
        link + "&" + urlencode({**REQUEST, "client_id": "", "redirect_uri": "x", "scope": "write"})
    )
    await person.logs_in()
    await person.agrees()
    assert (await place.code(person.told["code"])).scope == ("read",)


async def test_a_pushed_request_is_its_clients(place: Place) -> None:
    await place.register("other")
    with pytest.raises(InvalidRequest, match="none of this app"):
        await place.person().goes((await pushed_link(place)).replace("client_id=app", "client_id=other"))


async def test_where_requests_must_be_pushed_another_is_refused_and_the_client_told(place: Place) -> None:
    await place.register("strict", require_pushed_authorization_requests=True)
    person = await place.person().asks(client_id="strict")
    assert person.told["error"] == "invalid_request"
    assert "pushed" in person.told["error_description"]
    everywhere = replace(place.service, offer=replace(place.service.offer, must_push=True))
    assert (await Person(everywhere).asks()).told["error"] == "invalid_request"


async def test_a_form_of_another_site_comes_back_as_a_link_with_our_cookies(place: Place) -> None:
    person = place.person()
    await person.has_agreed()
    form = read_form(urlencode(REQUEST).encode())
    reply = await authorize_by_post(
        Call(now=place.clock.now, form=form, browser=Browser(site="cross-site")), place.service
    )
    assert reply.status == 303
    assert "code" in (await person.goes(dict(reply.headers)[b"location"].decode())).told
    await place.register("strict", require_pushed_authorization_requests=True)
    form = read_form(urlencode({**REQUEST, "client_id": "strict"}).encode())
    reply = await authorize_by_post(Call(now=place.clock.now, form=form), place.service)
    assert "error=invalid_request" in dict(reply.headers)[b"location"].decode()


# What changes meanwhile


async def test_a_client_that_lost_what_it_asks_for_gets_nothing_though_the_person_waits(place: Place) -> None:
    person = await (await place.person().asks()).logs_in()
    record = await place.store.clients.find("app")
    assert record is not None
    await place.store.clients.replace(replace(record, metadata={**record.metadata, "scope": "write"}))
    await place.service.clients.refresh()
    await person.agrees()
    assert person.told["error"] == "invalid_scope"
    person = await (await place.person().asks(scope="write")).logs_in()
    record = await place.store.clients.find("app")
    assert record is not None
    await place.store.clients.replace(replace(record, enabled=False))
    await place.service.clients.refresh()
    with pytest.raises(OAuthError):
        await person.agrees()


async def test_nobody_logs_in_for_a_client_that_is_gone(place: Place) -> None:
    person = await place.person().asks()
    await place.store.clients.remove("app")
    await place.service.clients.refresh()
    with pytest.raises(InvalidRequest):
        await person.logs_in()
    assert SESSION not in person.cookies


async def test_a_client_that_lost_what_it_pushed_is_told_whether_or_not_anybody_is_asked(place: Place) -> None:
    person = place.person()
    await person.has_agreed()
    links = [await pushed_link(place), await pushed_link(place)]
    record = await place.store.clients.find("app")
    assert record is not None
    await place.store.clients.replace(replace(record, metadata={**record.metadata, "scope": "write"}))
    await place.service.clients.refresh()
    for browser, link in zip((person, place.person()), links, strict=True):
        assert (await browser.goes(link)).told["error"] == "invalid_scope"
        with pytest.raises(InvalidRequest, match="answered already"):  # an error is an answer too
            await browser.goes(link)


async def test_what_waits_and_cannot_be_read_any_more_is_nothing(place: Place) -> None:
    person = await place.person().asks()
    ticket = await place.store.tickets.find(TicketKind.INTERACTION, digest_of(person.at), now=place.clock.now)
    assert ticket is not None
    await place.store.tickets.change(replace(ticket, content={"visit": 1}), now=place.clock.now)
    with pytest.raises(InvalidRequest, match="nothing waits here"):
        await person.logs_in()


async def test_a_request_waits_only_so_long(place: Place) -> None:
    person = await place.person().asks()
    place.clock.now += 901
    with pytest.raises(InvalidRequest, match="time for it is over"):
        await person.logs_in()


async def test_who_logs_in_as_somebody_else_meanwhile_decides_anew(place: Place) -> None:
    assert place.service.people is not None
    assert place.service.people.accounts is not None
    await place.service.people.accounts.add("bara", PASSWORD)
    person = await (await place.person().asks()).logs_in()
    shown = person.page
    other = await Person(place.service, person.cookies).asks(prompt="login")
    await other.logs_in(username="bara")
    person.page = shown  # the page of anna still stands there
    with pytest.raises(InvalidRequest, match="no longer"):
        await person.agrees()
    await person.goes(f"{ISSUER}/interaction/{person.at}")
    assert person.sees("allow")
    assert b"bara" in person.page.body


async def test_a_person_whose_id_is_a_clients_gets_nothing(place: Place) -> None:
    person = await (await place.person().asks()).logs_in()
    await place.register(place.anna.subject)
    await person.agrees()
    assert person.told["error"] == "access_denied"
    with pytest.raises(InvalidRequest, match="cannot log in"):
        await (await place.person().asks()).logs_in()


async def test_a_new_login_is_of_whoever_is_there(place: Place) -> None:
    """Whoever sits at anna's browser, or has her cookie, logs in as himself and goes on as her: she must prove it."""
    assert place.service.people is not None
    assert place.service.people.accounts is not None
    await place.service.people.accounts.add("mallory", PASSWORD)
    anna = place.person()
    await anna.has_agreed()
    stolen = anna.cookies[SESSION]
    place.clock.now += 100
    for wish in ({"prompt": "login"}, {"max_age": "50"}, {"prompt": "select_account"}):
        thief = await Person(place.service, {SESSION: stolen}).asks(**wish)
        assert thief.sees("login"), wish
        del thief.cookies[SESSION]  # else the login would end it
        await thief.logs_in(username="mallory")
        assert thief.sees("allow"), wish
        thief.cookies[SESSION] = stolen
        await thief.goes(f"{ISSUER}/interaction/{thief.at}")
        assert thief.sees("login"), wish


async def test_a_login_that_never_began_a_session_counts_for_none(place: Place) -> None:
    """What is kept of a login comes before its session; where that is refused, or the process dies, there is none."""
    assert place.service.people is not None
    assert place.service.people.accounts is not None
    bara = await place.service.people.accounts.add("bara", PASSWORD)
    await place.register(bara.subject)
    person = place.person()
    await person.has_agreed()
    shown = (await person.asks(prompt="login")).page
    with pytest.raises(InvalidRequest, match="cannot log in"):
        await person.logs_in(username="bara")
    await person.goes(f"{ISSUER}/interaction/{person.at}")
    assert person.sees("login")
    person.page = shown
    assert "code" in (await person.logs_in()).told


# Whose browser, whose form


async def test_what_waits_goes_on_in_the_browser_that_brought_it_alone(place: Place) -> None:
    person = await place.person().asks()
    link = f"{ISSUER}/interaction/{person.at}"
    for cookies in ({}, {VISIT: "A" * 43}, {VISIT: ""}, {"other": person.cookies[VISIT]}):
        with pytest.raises(InvalidRequest, match="another browser") as refused:
            await Person(place.service, dict(cookies)).goes(link)
        assert refused.value.status == 403


async def test_of_two_tabs_that_open_at_once_in_a_new_browser_the_other_is_told_to_start_again(place: Place) -> None:
    """Each got a cookie, and the browser keeps one; whoever starts again after the login is not asked for it."""
    first, second = await place.person().asks(), await place.person().asks()
    first.cookies = second.cookies
    with pytest.raises(InvalidRequest, match=r"another tab.*go back to the app and start again"):
        await first.logs_in()
    await second.logs_in()
    await second.agrees()
    assert "code" in (await first.asks()).told


async def test_the_address_of_something_that_waits_cannot_be_guessed_or_made_up(place: Place) -> None:
    for name in ("", "x", "A" * 22, "%00", "é"):
        with pytest.raises(InvalidRequest, match="nothing waits here"):
            await place.person().goes(f"{ISSUER}/interaction/{name}")


FOREIGN: Mapping[str, Mapping[str, Any]] = {
    "without a token": {"form_token": None},
    "with another token": {"form_token": "A" * 43},
    "from another origin": {"browser": {"origin": "https://evil.example"}},
    "from nowhere": {"browser": {"origin": "null"}},
    "from another port": {"browser": {"origin": ISSUER + ":8443"}},
    "from plain HTTP": {"browser": {"origin": "http://as.example"}},
    "from another site": {"browser": {"site": "cross-site"}},
    "from another host of the site": {"browser": {"site": "same-site"}},
}


@pytest.mark.parametrize("action", ["login", "allow", "deny"])
async def test_a_form_that_is_not_our_own_does_nothing(place: Place, action: str) -> None:
    person = await place.person().asks()
    if action != "login":
        await person.logs_in()
    session, shown = person.cookies.get(SESSION), person.page
    for how, foreign in FOREIGN.items():
        with pytest.raises(InvalidRequest) as refused:
            await person.sends(action, username="anna", password=PASSWORD, **foreign)
        person.page = shown
        assert (refused.value.status, person.cookies.get(SESSION)) == (403, session), how
        assert await place.store.consents.find(place.anna.subject, "app") is None, how
    await (person.logs_in() if action == "login" else person.agrees())  # and what waits still waits
    assert person.sees("allow") if action == "login" else "code" in person.told


async def test_the_form_of_one_request_is_nothing_to_another_nor_that_of_one_page_to_the_next(place: Place) -> None:
    person = await place.person().asks()
    other = await Person(place.service, person.cookies).asks()
    own = person.page
    person.page = other.page
    with pytest.raises(InvalidRequest, match="no longer"):
        await person.logs_in()
    person.page = own
    login_page = person.page
    await person.logs_in()
    consent_page, person.page = person.page, login_page
    with pytest.raises(InvalidRequest, match="no longer"):
        await person.agrees()
    person.page = consent_page
    with pytest.raises(InvalidRequest, match="nothing that can be done"):
        await person.sends("dance")


async def test_a_consent_cannot_be_given_before_anybody_is_logged_in(place: Place) -> None:
    person = await place.person().asks()
    await person.agrees()
    assert person.sees("login")


async def test_who_agrees_when_the_login_is_too_old_by_then_logs_in_first_and_nothing_is_remembered(
    place: Place,
) -> None:
    person = place.person()
    await person.has_agreed()
    for action in ("allow", "deny"):
        place.clock.now += 1
        await person.asks(prompt="login")
        await person.logs_in()
        assert (await person.asks(scope="write", max_age="50")).sees("allow")
        place.clock.now += 100
        assert (await person.sends(action)).sees("login")
        consent = await place.store.consents.find(place.anna.subject, "app")
        assert consent is not None
        assert consent.scope == ("read",)


# The login application


async def waiting_for(place: Place, person: Person, **changes: Any) -> None:
    """What the login application says of the request that waits, as `POST /interactions/ID` keeps it."""
    ticket = await place.store.tickets.find(TicketKind.INTERACTION, digest_of(person.at), now=place.clock.now)
    assert ticket is not None
    waiting = read_waiting(ticket.content)
    assert waiting is not None
    said = msgspec.structs.replace(waiting, proof=digest_of("the proof"), **changes)
    assert await place.store.tickets.change(replace(ticket, content=write_waiting(said)), now=place.clock.now)


ELSEWHERE = {"accounts": None, "login_url": "https://login.example/?from=as"}


async def test_a_login_application_is_where_people_log_in_and_what_it_says_counts_once(place: Place) -> None:
    person = await place.person(**ELSEWHERE).asks()
    assert person.location == f"https://login.example/?from=as&interaction={person.at}"
    said = Login(subject="karel", auth_time=place.clock.now - 5, acr="high", amr=("hwk",))
    await waiting_for(place, person, login=said)
    link = f"{ISSUER}/interaction/{person.at}"
    await person.goes(f"{link}?proof=the+proof")
    assert person.sees("allow")
    again = await Person(person.service, {VISIT: person.cookies[VISIT]}).goes(f"{link}?proof=the+proof")
    assert again.location.startswith("https://login.example/")
    assert SESSION not in again.cookies
    await person.agrees()
    code = await place.code(person.told["code"])
    assert (code.subject, code.auth_time, code.acr, code.amr) == ("karel", said.auth_time, "high", ("hwk",))


async def test_a_way_of_login_that_the_client_asks_for_asks_for_a_login_once(place: Place) -> None:
    """A bank that wants a second factor for a payment; whatever was reached then is told (RFC 9470 section 5)."""
    person = place.person(**ELSEWHERE)

    async def logs_in(acr: str) -> authorization_code.Code:
        assert person.location.startswith("https://login.example/"), acr
        await waiting_for(place, person, login=Login(subject="karel", auth_time=place.clock.now, acr=acr))
        await person.goes(f"{ISSUER}/interaction/{person.at}?proof=the+proof")
        if person.sees("allow"):
            await person.agrees()
        return await place.code(person.told["code"])

    await person.asks()
    assert (await logs_in("low")).acr == "low"
    assert "code" in (await person.asks(acr_values="gold low")).told
    assert (await person.asks(acr_values="gold sca", prompt="none")).told["error"] == "login_required"
    await person.asks(acr_values="gold sca")
    assert (await logs_in("sca")).acr == "sca"
    assert "code" in (await person.asks(acr_values="sca", prompt="none")).told
    await person.asks(acr_values="gold")
    assert (await logs_in("low")).acr == "low"  # no more could be had; it is the client's to decide


async def test_where_accounts_are_kept_here_a_way_of_login_asks_for_nothing(place: Place) -> None:
    """There is one way, and it has no name."""
    person = place.person()
    await person.has_agreed()
    assert "code" in (await person.asks(acr_values="gold")).told


async def test_without_the_proof_nobody_is_logged_in_and_in_another_browser_it_is_worth_nothing(place: Place) -> None:
    attacker = await place.person(**ELSEWHERE).asks()
    await waiting_for(place, attacker, login=Login(subject="victim", auth_time=place.clock.now))
    link = f"{ISSUER}/interaction/{attacker.at}"
    for proof in ("", "?proof=", "?proof=x"):
        assert (await attacker.goes(link + proof)).location.startswith("https://login.example/")
        assert SESSION not in attacker.cookies
    with pytest.raises(InvalidRequest, match="another browser"):
        await place.person(**ELSEWHERE).goes(f"{link}?proof=the+proof")


async def test_where_a_login_application_rejects_the_client_is_told(place: Place) -> None:
    person = await place.person(**ELSEWHERE).asks()
    await waiting_for(place, person, rejected="access_denied", because="not today")
    await person.goes(f"{ISSUER}/interaction/{person.at}?proof=the+proof")
    assert person.told == {"error": "access_denied", "error_description": "not today", "state": "xyz", "iss": ISSUER}


async def test_a_subject_of_a_login_application_that_is_a_clients_id_is_nobody(place: Place) -> None:
    person = await place.person(**ELSEWHERE).asks()
    await waiting_for(place, person, login=Login(subject="app", auth_time=place.clock.now))
    with pytest.raises(InvalidRequest, match="cannot log in"):
        await person.goes(f"{ISSUER}/interaction/{person.at}?proof=the+proof")


async def test_no_form_logs_anybody_in_where_a_login_application_does(place: Place) -> None:
    own = await place.person().asks()
    own.service = place.with_people(**ELSEWHERE)
    with pytest.raises(InvalidRequest, match="by a form"):
        await own.logs_in()


# Pages of the person's own


async def test_who_comes_for_a_page_of_their_own_logs_in_and_is_led_there(place: Place) -> None:
    person = place.person()
    call = Call(now=place.clock.now)
    reply = await interactions.require_login(call, place.service, "/account?x=1")
    assert isinstance(reply, Reply)
    person.cookies |= {name: m.value for name, m in SimpleCookie(dict(reply.headers)[b"set-cookie"].decode()).items()}
    await person.goes(dict(reply.headers)[b"location"].decode())
    assert person.sees("login")
    person.page = await person._send(
        f"/interaction/{person.at}", posts=True, origin=ISSUER,
        form=read_form(urlencode({
            "action": "login", "username": "anna", "password": PASSWORD,
            "form_token": re.findall(r'name="form_token" value="([^"]+)"', person.page.body.decode())[0],
        }).encode()),
    )  # fmt: skip
    reply = await person._send(f"/interaction/{person.at}")
    assert dict(reply.headers)[b"location"].decode() == f"{ISSUER}/account?x=1"
    found = await interactions.require_login(
        Call(now=place.clock.now, browser=Browser(cookies=person.cookies)), place.service, "/account"
    )
    assert not isinstance(found, Reply)
    assert found.subject == place.anna.subject


async def test_what_was_pushed_and_cannot_be_read_any_more_is_none(place: Place) -> None:
    link = await pushed_link(place)
    reference = dict(parse_qsl(urlsplit(link).query))["request_uri"]
    ticket = await place.store.tickets.find(TicketKind.PUSHED_REQUEST, digest_of(reference), now=place.clock.now)
    assert ticket is not None
    await place.store.tickets.change(replace(ticket, content={"client_id": "app"}), now=place.clock.now)
    client = await place.service.clients.find("app")
    assert client is not None
    with pytest.raises(InvalidRequest, match="none of this app"):
        await find_pushed(reference, client, place.service, place.clock.now)


# A defect of ours: a deployment without a policy, which none can be, or in which codes live for no time at all.


@pytest.mark.parametrize("way", ["asked", "pushed", "posted"])
async def test_a_client_whose_request_is_known_is_told_of_a_defect_of_ours(
    place: Place, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By a redirect, which cannot be a 500 (RFC 6749 section 4.1.2.1); what is wrong is in the log alone."""
    link = await pushed_link(place) if way == "pushed" else f"{ISSUER}/authorize?{urlencode(REQUEST)}"
    person = Person(replace(place.service, policy=None))  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR):
        if way == "posted":
            form = read_form(urlencode(REQUEST).encode())
            person.page = await authorize_by_post(Call(now=place.clock.now, form=form), person.service)
        else:
            await person.goes(link)
    assert person.location.startswith(f"{BACK}?")
    assert (person.told["error"], person.told["iss"]) == ("server_error", ISSUER)
    assert person.told["state"] == "xyz"
    assert "NoneType" not in str(person.told)
    assert "NoneType" in caplog.text


async def test_who_is_no_client_is_shown_nothing_of_it_and_sent_nowhere(place: Place) -> None:
    """Until client and redirect URI are known, there is nobody to tell."""
    person = Person(replace(place.service, policy=None))  # type: ignore[arg-type]
    for wrong in ({"client_id": "nobody"}, {"redirect_uri": "https://evil.example"}):
        with pytest.raises(InvalidRequest):
            await person.asks(**wrong)


async def test_a_defect_of_a_page_is_told_the_client_that_the_person_came_for(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of the request is lost by it; a client that may send people nowhere any more is told nothing."""
    person = await place.person().asks()
    person.service = place.with_people(accounts=5)
    with caplog.at_level(logging.ERROR):
        await person.logs_in()
    assert person.location.startswith(f"{BACK}?")
    assert (person.told["error"], person.told["state"], person.told["iss"]) == ("server_error", "xyz", ISSUER)
    assert "AttributeError" in caplog.text
    waits = replace(person, page=Reply(0), cookies=dict(person.cookies), service=place.service)
    await waits.goes(f"{ISSUER}/interaction/{person.at}")
    assert waits.sees("login")
    record = await place.store.clients.find("app")
    assert record is not None
    await place.store.clients.replace(replace(record, metadata={**record.metadata, "redirect_uris": [f"{BACK}/new"]}))
    await place.service.clients.refresh()
    waits.service = place.with_people(pages=None)
    with pytest.raises(InvalidRequest, match="none that the client registered, any more"):
        await waits.goes(f"{ISSUER}/interaction/{person.at}")


async def test_a_defect_of_a_page_of_ones_own_is_told_nobody_else(place: Place) -> None:
    """There is no client that waits for the answer: the person is told, as of every defect."""
    person = place.person()
    began = await interactions.require_login(Call(now=place.clock.now), place.service, "/account")
    assert isinstance(began, Reply)
    for name, value in began.headers:
        if name == b"set-cookie":
            person.cookies |= {each: morsel.value for each, morsel in SimpleCookie(value.decode()).items()}
    await person.goes(dict(began.headers)[b"location"].decode())
    assert person.sees("login")
    person.service = place.with_people(accounts=5)
    with pytest.raises(AttributeError):
        await person.logs_in()


async def test_a_defect_after_the_button_counted_is_told_to_the_client(place: Place) -> None:
    """Nobody can press it again; the deployment that works says so."""
    person = await (await place.person().asks()).logs_in()
    person.service = place.with_people(code_lifetime=None)
    assert (await person.agrees()).told["error"] == "server_error"
    person.service = place.service
    with pytest.raises(InvalidRequest, match="answered already"):
        await person.goes(f"{ISSUER}/interaction/{person.at}")
    assert (await person.asks()).told["code"]


def test_of_two_cookies_with_one_name_neither_counts() -> None:
    twice = f"{SESSION}=one; {VISIT}=v; {SESSION}=two".encode()
    assert read_cookies([twice]) == {VISIT: "v"}
