"""Devices without a browser over real TLS (RFC 8628): they ask and poll, a person decides on a page of their own."""

import contextlib
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certbound.core.authentication import digest_of
from certbound.core.grants import device_code
from certbound.core.ports import SessionRecord, Store, TicketKind, TicketRecord
from certbound.server.sessions import SESSION, VISIT, Visit
from certbound.trust.authority import Issued
from e2e.acting import PASSWORD, add_account, people_world
from e2e.codes import DEVICE, in_store, is_refused, refresh
from e2e.people import Browser, Page
from e2e.world import RESOURCE, Answer, World, self_signed, thumbprint

TV, THIEF, API, KIOSK = (self_signed(f"CN={name}") for name in ("tv", "thief", "api", "kiosk"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("device")
    methods = ["none", "self_signed_tls_client_auth"]
    with people_world(
        directory, login__device=True, login__guesses_per_minute=10, authentication__methods=methods
    ) as made:
        add_account(made, "ben")
        both = [DEVICE, "refresh_token"]
        made.register(
            "tv",
            token_endpoint_auth_method="none",
            grant_types=both,
            client_name="Television",
            scope="openid read write",
        )
        made.register_self_signed("kiosk", KIOSK, grant_types=[DEVICE], scope="openid read")
        made.register_self_signed("api", API, protected_resources=[RESOURCE])
        yield made


@pytest.fixture(scope="module")
def sessions(built: World) -> Mapping[str, Browser]:
    """Where each person has logged in."""
    return {username: logged_in(built, username) for username in ("anna", "ben")}


@pytest.fixture
def browser(built: World, sessions: Mapping[str, Browser]) -> Browser:
    """One in which anna has logged in."""
    return Browser(built, dict(sessions["anna"].cookies))


@pytest.fixture
def bens(built: World, sessions: Mapping[str, Browser]) -> Browser:
    """One in which ben has."""
    return Browser(built, dict(sessions["ben"].cookies))


def begin(built: World, client_id: str = "tv", identity: Issued | None = None, **form: Any) -> Any:
    """What the device is told."""
    answer = built.post("device_authorization", client_id, identity, **form)
    assert answer.status == 200, answer
    return answer.json


def poll(built: World, begun: Any, client_id: str = "tv", identity: Issued | None = TV, **form: Any) -> Answer:
    return built.post("token", client_id, identity, grant_type=DEVICE, device_code=begun["device_code"], **form)


def logged_in(built: World, username: str) -> Browser:
    """The login comes before the page that asks for the code."""
    browser = Browser(built)
    page = browser.visit("/device")
    assert "password" in page.html
    page = browser.log_in(page, username, PASSWORD)
    assert "user_code" in page.form.fields, page.html
    return browser


def decide(browser: Browser, begun: Any, button: str = "allow") -> Page:
    """What the person sees when they have decided."""
    page = browser.send(browser.visit("/device"), user_code=begun["user_code"])
    assert begun["user_code"] in page.html
    return browser.send(page, button)


class TestAsking:
    def test_what_the_device_is_told(self, built: World) -> None:
        """Two codes, where the person goes, and how often to ask."""
        said = begin(built)
        assert re.fullmatch(r"cbdc_[A-Za-z0-9_-]{43}", said["device_code"])
        assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", said["user_code"])
        assert said["verification_uri"] == f"{built.issuer}/device"
        assert said["verification_uri_complete"] == f"{built.issuer}/device?user_code={said['user_code']}"
        assert (said["expires_in"], said["interval"]) == (900, 5)

    def test_who_may_not(self, built: World) -> None:
        """A client of another grant, one that does not authenticate, and nobody."""
        assert is_refused(built.post("device_authorization", "api", API), "unauthorized_client")
        for identity in (None, THIEF):
            assert built.post("device_authorization", "kiosk", identity).status == 401
        assert built.post("device_authorization", "nobody", None).status == 401

    def test_no_more_than_there_is(self, built: World) -> None:
        """Scope and resource are refused before anything is there."""
        count = waiting(built)
        assert is_refused(built.post("device_authorization", "tv", None, scope="admin"), "invalid_scope")
        bad = built.post("device_authorization", "tv", None, resource="https://nowhere.example")
        assert is_refused(bad, "invalid_target")
        assert waiting(built) == count

    def test_it_is_on_both_hosts(self, built: World) -> None:
        """As every endpoint that clients call, and in the metadata."""
        document = built.ask(f"{built.issuer}/.well-known/oauth-authorization-server", method="GET").json
        assert document["device_authorization_endpoint"] == f"{built.issuer}/device_authorization"
        assert (
            document["mtls_endpoint_aliases"]["device_authorization_endpoint"] == f"{built.mtls}/device_authorization"
        )
        assert DEVICE in document["grant_types_supported"]
        answer = built.ask(f"{built.issuer}/device_authorization", form={"client_id": "tv"})
        assert answer.status == 200


class TestPolling:
    def test_from_the_code_to_the_tokens(self, built: World, browser: Browser) -> None:
        """Bound to the certificate of the poll that gets them, for the person who agreed."""
        begun = begin(built, scope="read openid")
        assert is_refused(poll(built, begun), "authorization_pending")
        page = decide(browser, begun)
        assert page.status == 200
        assert not page.forms
        answer = poll(built, begun)
        assert answer.status == 200, answer
        assert answer.json["scope"] == "openid read"
        assert answer.json["id_token"]
        assert built.call_api(answer.json["access_token"], TV).status == 200
        assert built.call_api(answer.json["access_token"], THIEF).status == 401
        assert is_refused(refresh(built, answer.json["refresh_token"], "tv", THIEF))
        assert refresh(built, answer.json["refresh_token"], "tv", TV).status == 200
        said = built.introspect(answer.json["access_token"], "api", API).json
        assert said["cnf"] == {"x5t#S256": thumbprint(TV)}
        [consent] = in_store(built, lambda store: store.consents.list(said["sub"]))
        assert (consent.client_id, consent.certificate, consent.scope) == ("tv", "CN=tv", ("openid", "read"))

    def test_who_polls_too_often(self, built: World) -> None:
        """Is told so, and has to wait longer each time."""
        begun = begin(built)
        errors = [poll(built, begun).json["error"] for _ in range(3)]
        assert errors == ["authorization_pending", "slow_down", "slow_down"]
        _, request = in_store(built, lambda store: kept(store, begun))
        assert request.interval == 15

    def test_many_at_once(self, built: World) -> None:
        """One is told to wait, and the others to do it slower."""
        begun = begin(built)
        with ThreadPoolExecutor(8) as pool:
            errors = [each.json["error"] for each in pool.map(lambda _: poll(built, begun), range(16))]
        assert sorted(errors) == ["authorization_pending"] + ["slow_down"] * 15

    def test_what_was_denied(self, built: World, browser: Browser) -> None:
        """Stays denied."""
        begun = begin(built)
        assert decide(browser, begun, "deny").status == 200
        for _ in range(2):
            assert is_refused(poll(built, begun), "access_denied")

    def test_what_has_ended(self, built: World) -> None:
        """The device is told that it was too late; a while later nobody knows the code."""
        begun = begin(built)
        ticket, request = in_store(built, lambda store: kept(store, begun))
        assert ticket.ends_at == request.ends_at + device_code.REMEMBERED
        in_store(built, lambda store: end(store, begun, 1))
        assert is_refused(poll(built, begun), "expired_token")
        begun = begin(built)
        in_store(built, lambda store: end(store, begun, device_code.REMEMBERED + 1))
        assert is_refused(poll(built, begun))

    def test_whose_code_it_is(self, built: World, browser: Browser) -> None:
        """Another client, and who does not know it, get nothing and end nothing."""
        begun = begin(built)
        decide(browser, begun)
        assert is_refused(poll(built, begun, "kiosk", KIOSK))
        assert is_refused(poll(built, {"device_code": "cbdc_" + "x" * 43}))
        assert is_refused(poll(built, {"device_code": begun["user_code"]}))
        assert is_refused(poll(built, begun, "tv", None), "invalid_request")
        answer = poll(built, begun)
        assert answer.status == 200
        assert built.introspect(answer.json["access_token"], "api", API).json["active"]

    def test_twice(self, built: World, browser: Browser) -> None:
        """What the first one got ends, whatever else is wrong the second time: the code is in two hands."""
        begun = begin(built, "kiosk", KIOSK)
        decide(browser, begun)
        answer = poll(built, begun, "kiosk", KIOSK)
        assert "refresh_token" not in answer.json, "it did not register that"
        assert built.introspect(answer.json["access_token"], "api", API).json["active"]
        assert is_refused(poll(built, begun, "kiosk", KIOSK, resource="https://nowhere.example"))
        assert not built.introspect(answer.json["access_token"], "api", API).json["active"]

    def test_at_once(self, built: World, browser: Browser) -> None:
        """One answer, and nothing of it lives afterwards."""
        begun = begin(built)
        decide(browser, begun)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: poll(built, begun), range(16)))
        good = [each for each in answers if each.status == 200]
        assert len(good) == 1
        assert all(is_refused(each) for each in answers if each.status != 200), answers
        for each in good:
            assert not built.introspect(each.json["access_token"], "api", API).json["active"]
            assert is_refused(refresh(built, each.json["refresh_token"], "tv", TV))

    def test_what_was_withdrawn_before_the_poll(self, built: World, bens: Browser) -> None:
        """The person thought better of it."""
        begun = begin(built)
        decide(bens, begun)

        async def withdraw(store: Store) -> bool:
            ben = await store.accounts.find("ben")
            return ben is not None and await store.consents.withdraw(ben.subject, "tv")

        assert in_store(built, withdraw)
        assert is_refused(poll(built, begun))


class TestPage:
    def test_the_code_as_people_type_it(self, built: World, browser: Browser) -> None:
        """Small letters, without the hyphen; the page shows it as the device does, and who asks for what."""
        begun = begin(built, scope="read")
        page = browser.send(browser.visit("/device"), user_code=f" {begun['user_code'].lower().replace('-', '')} ")
        assert begun["user_code"] in page.html
        assert "Television" in page.html
        assert browser.send(page, "allow").status == 200
        assert poll(built, begun).status == 200

    def test_a_link_with_the_code_decides_nothing(self, built: World, browser: Browser) -> None:
        """It fills the field; the person looks at both and goes on (section 3.3.1)."""
        begun = begin(built)
        page = browser.visit(begun["verification_uri_complete"])
        assert page.form.fields["user_code"] == begun["user_code"]
        assert "Television" not in page.html
        assert is_refused(poll(built, begun), "authorization_pending")
        page = browser.visit(begun["verification_uri"] + "?user_code=%3Cscript%3E")
        assert page.form.fields["user_code"] == ""

    def test_it_is_decided_once(self, built: World, browser: Browser) -> None:
        """The second tab is told so, and changes nothing."""
        begun = begin(built)
        page = browser.send(browser.visit("/device"), user_code=begun["user_code"])
        assert browser.send(page, "deny").status == 200
        assert browser.send(page, "allow").status == 400
        again = browser.send(browser.visit("/device"), user_code=begun["user_code"])
        assert again.status == 403
        assert is_refused(poll(built, begun), "access_denied")

    def test_what_is_over_is_not_decided(self, built: World, browser: Browser) -> None:
        """Decided elsewhere a moment ago, too late, or of a client that was disabled: the page is there still, and does
        nothing."""
        built.register("radio", token_endpoint_auth_method="none", grant_types=[DEVICE])
        changes: list[tuple[str, Callable[[Any], None]]] = [
            ("access_denied", lambda begun: in_store(built, lambda store: deny(store, begun))),
            ("expired_token", lambda begun: in_store(built, lambda store: end(store, begun, 1))),
            ("invalid_client", lambda _: built.update("radio", enabled=False)),
        ]
        for error, change in changes:
            begun = begin(built, "radio")
            page = browser.send(browser.visit("/device"), user_code=begun["user_code"])
            assert "allow" in page.html
            change(begun)
            time.sleep(1 if error == "invalid_client" else 0)
            assert browser.send(page, "allow").status == 400, error
            assert browser.send(browser.visit("/device"), user_code=begun["user_code"]).status == 403, error
            assert poll(built, begun, "radio").json["error"] == error

    def test_a_client_that_wants_a_recent_login(self, built: World) -> None:
        """`default_max_age`: one that is older, and not since the device asked, is asked for anew, on either page."""
        built.register("safe", token_endpoint_auth_method="none", grant_types=[DEVICE], default_max_age=0)
        browser = logged_in(built, "anna")
        begun = begin(built, "safe")
        url, code = f"{built.issuer}/device", begun["user_code"]
        login = browser.send(browser.visit("/device"), user_code=code)
        assert "password" in login.html
        assert "password" in browser.visit(login.url).html
        # Who knows their own cookie and session can make the next form: that leads there too.
        session = in_store(built, lambda store: session_of(store, browser))
        token = Visit(value=browser.cookies[VISIT]).form_token(f"device {session.sid} {code}")
        for action in ("allow", "deny"):
            form = {"form_token": token, "action": action, "user_code": code}
            assert "password" in browser.post(url, form).html
        assert is_refused(poll(built, begun, "safe"), "authorization_pending")
        page = browser.log_in(login, "anna", PASSWORD)
        assert page.form.fields["user_code"] == code
        assert browser.send(browser.send(page), "allow").status == 200
        _, request = in_store(built, lambda store: kept(store, begun))
        assert request.approved
        assert request.approved.auth_time > session.auth_time

    def test_a_form_of_another_site(self, built: World, browser: Browser, bens: Browser) -> None:
        """Neither looks anything up nor decides; nor one that was shown for another code, or to another person."""
        begun, other = begin(built), begin(built)
        first = browser.visit("/device")
        page = browser.send(first, user_code=begun["user_code"])
        form = {**page.form.fields, "action": "allow"}
        url = f"{built.issuer}/device"
        for headers in ({"origin": "https://evil.example"}, {"sec_fetch_site": "cross-site"}):
            assert browser.post(url, form, **headers).status == 403
            lookup = {**first.form.fields, "user_code": begun["user_code"]}
            assert "Television" not in browser.post(url, lookup, **headers).html
        assert "Television" not in browser.post(url, {"user_code": begun["user_code"], "form_token": ""}).html
        for changed in (
            {"form_token": ""},
            {"form_token": first.form.fields["form_token"]},
            {"user_code": other["user_code"]},
        ):
            assert browser.post(url, {**form, **changed}).status == 403, changed
        assert bens.post(url, form).status == 403
        for each in (begun, other):
            assert is_refused(poll(built, each), "authorization_pending")

    def test_nobody_looks_codes_up_without_a_login(self, built: World) -> None:
        """The form of whoever is not logged in leads to the login."""
        page = Browser(built).post(f"{built.issuer}/device", {"user_code": begin(built)["user_code"]})
        assert "password" in page.html

    def test_wrong_codes_are_few(self, built: World, browser: Browser) -> None:
        """Beyond the limit right ones are not looked at either, until a minute is over; nobody is logged out."""
        begun, page = begin(built), browser.visit("/device")
        statuses = [browser.send(page, user_code=wrong).status for wrong in ["BCDF-GHJK", "x", "BCDFGHJKLM"] * 4]
        assert statuses[0] == 403
        assert statuses[-1] == 429
        slow = browser.send(page, user_code=begun["user_code"])
        assert slow.status == 429
        assert int(slow.answer.headers["retry-after"]) >= 1
        assert begun["user_code"] not in slow.html
        # Who knows their own cookie and session can make the next form for any code: that is guessing too.
        session = in_store(built, lambda store: session_of(store, browser))
        token = Visit(value=browser.cookies[VISIT]).form_token(f"device {session.sid} {begun['user_code']}")
        form = {"form_token": token, "action": "deny", "user_code": begun["user_code"]}
        assert browser.post(f"{built.issuer}/device", form).status == 429
        assert is_refused(poll(built, begun), "authorization_pending")


def waiting(built: World) -> int:
    """How many codes there are."""
    with contextlib.closing(sqlite3.connect(built.directory / "certbound.sqlite")) as database:
        return int(database.execute("SELECT count(*) FROM tickets").fetchone()[0])


async def kept(store: Store, begun: Any) -> tuple[TicketRecord, device_code.DeviceRequest]:
    """What the store has of it."""
    found = await store.tickets.find(TicketKind.DEVICE_CODE, digest_of(begun["device_code"]), now=time.time())
    assert found is not None
    request = device_code.read(found.content)
    assert request is not None
    return found, request


async def session_of(store: Store, browser: Browser) -> SessionRecord:
    """Of whoever is logged in there."""
    found = await store.sessions.find(digest_of(browser.cookies[SESSION]), now=time.time())
    assert found is not None
    return found


async def deny(store: Store, begun: Any) -> None:
    """As another tab does it, a moment before the code that the person typed is gone."""
    found, request = await kept(store, begun)
    denied = device_code.decide(request, None)
    assert await store.tickets.change(replace(found, content=device_code.write(denied)), now=time.time())


async def end(store: Store, begun: Any, ago: float) -> None:
    """As if so many seconds ago the time to decide had been over."""
    now = time.time()
    found = await store.tickets.find(TicketKind.DEVICE_CODE, digest_of(begun["device_code"]), now=now)
    assert found is not None
    content = {**found.content, "ends_at": now - ago}
    changed = replace(found, content=content, ends_at=now - ago + device_code.REMEMBERED)
    assert await store.tickets.change(changed, now=now)
