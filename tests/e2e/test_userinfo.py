"""`/userinfo` is a protected resource: it asks for the certificate as any API does (OpenID Connect Core 5.3)."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from certbound.app import opened_store
from certbound.core.errors import InvalidToken
from certbound.server.accounts import AccountBook
from certbound.trust.authority import self_signed
from e2e.acting import App, add_account, logged_in, make_app, people_world
from e2e.world import Answer, World


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with people_world(tmp_path_factory.mktemp("userinfo"), tokens__bind="requested") as made:
        yield made


@pytest.fixture(scope="module")
def app(built: World) -> App:
    return make_app(built, "app", tls_client_certificate_bound_access_tokens=True)


@pytest.fixture(scope="module")
def token(app: App) -> str:
    """A bound access token with every scope there is."""
    return str(app.tokens(scope="openid profile email read")["access_token"])


def asked(built: World, **headers: str) -> Answer:
    return built.ask(f"{built.mtls}/userinfo", method="GET", headers=headers)


def require_invalid(answer: Answer) -> None:
    """RFC 6750 section 3.1, and nothing of why."""
    assert (answer.status, answer.json["error"]) == (401, "invalid_token")
    assert answer.json["error_description"] == InvalidToken.description
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


def test_the_scope_says_what_is_told(app: App, token: str) -> None:
    """GET and POST; never kept by anybody on the way."""
    for method in ("GET", "POST"):
        answer = app.userinfo(token, method=method)
        assert answer.status == 200, answer
        assert {name: value for name, value in answer.json.items() if name not in {"sub", "updated_at"}} == {
            "name": "Anna Nová",
            "preferred_username": "anna",
            "email": "anna@example.com",
            "email_verified": True,
        }
        assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("application/json", "no-store")


def test_with_the_scope_openid_alone_there_is_the_subject_alone(app: App) -> None:
    assert app.userinfo(app.tokens()["access_token"]).json.keys() == {"sub"}


def test_a_bound_token_needs_its_certificate(built: World, app: App, token: str) -> None:
    """Not with another, not without, and not at the host that asks for none."""
    thief = self_signed("CN=thief")
    header = {"authorization": f"Bearer {token}"}
    require_invalid(built.ask(f"{built.mtls}/userinfo", thief, method="GET", headers=header))
    require_invalid(built.ask(f"{built.mtls}/userinfo", method="GET", headers=header))
    require_invalid(app.userinfo(token, plain=True))


def test_an_unbound_token_counts_where_its_client_asked_for_none(built: World) -> None:
    """At the conventional host, for browsers; once the client asks for bound tokens the old ones are worthless."""
    free = make_app(built, "free")
    token = free.tokens()["access_token"]
    answer = free.userinfo(token, plain=True)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "*")
    built.update("free", tls_client_certificate_bound_access_tokens=True)
    time.sleep(1)
    require_invalid(free.userinfo(token))


def test_a_token_without_the_scope_is_told_which(app: App) -> None:
    """403 and the scope that is needed (RFC 6750 section 3.1)."""
    answer = app.userinfo(app.tokens(scope="read email")["access_token"])
    assert (answer.status, answer.json["error"]) == (403, "insufficient_scope")
    assert 'scope="openid"' in answer.headers["www-authenticate"]


def test_a_token_that_a_client_got_for_itself_is_nobodys(built: World) -> None:
    machine = make_app(built, "machine", grant_types=["client_credentials"], redirect_uris=[])
    token = built.token("machine", machine.identity, scope="openid")
    require_invalid(machine.userinfo(token))


def test_an_exchanged_token_calls_nobody_by_name(built: World, app: App, token: str) -> None:
    """The person agreed that one client learns who they are, and its name for them is no other client's."""
    service = make_app(
        built, "service", grant_types=["urn:ietf:params:oauth:grant-type:token-exchange"],
        protected_resources=["https://api.example"], redirect_uris=[],
    )  # fmt: skip
    exchanged = built.post(
        "token", "service", service.identity, grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token=token, subject_token_type="urn:ietf:params:oauth:token-type:access_token", scope="openid email",
    )  # fmt: skip
    assert exchanged.status == 200, exchanged
    require_invalid(service.userinfo(exchanged.json["access_token"]))


def test_a_revoked_token_tells_nothing(built: World, app: App) -> None:
    token = app.tokens()["access_token"]
    assert app.userinfo(token).status == 200
    assert built.revoke(token, "app", app.identity).status == 200
    require_invalid(app.userinfo(token))


def test_an_opaque_token_tells_the_same(built: World) -> None:
    opaque = make_app(built, "opaque", access_token_format="opaque")
    token = opaque.tokens(scope="openid email")["access_token"]
    assert token.startswith("cbat_")
    assert opaque.userinfo(token).json["email"] == "anna@example.com"


@pytest.mark.parametrize("away", ["disabled", "removed"])
def test_of_a_person_who_is_gone_nothing_is_told(built: World, app: App, away: str) -> None:
    username = f"leaver-{away}"
    add_account(built, username)
    token = app.tokens(browser=logged_in(built, username))["access_token"]
    assert app.userinfo(token).status == 200

    async def go() -> None:
        async with opened_store(built.settings) as store:
            book = AccountBook(store, time.time, actor="test")
            await (book.switch(username, enabled=False) if away == "disabled" else book.remove(username))

    asyncio.run(go())
    require_invalid(app.userinfo(token))


def test_an_account_that_a_hand_disabled_tells_nothing(built: World, app: App) -> None:
    """Past the use case that ends its grants; the token itself is live."""
    add_account(built, "handled")
    token = app.tokens(browser=logged_in(built, "handled"))["access_token"]

    async def go() -> None:
        async with opened_store(built.settings) as store:
            account = await store.accounts.find("handled")
            assert account is not None
            await store.accounts.replace(replace(account, enabled=False))

    asyncio.run(go())
    assert built.introspect(token, "app", app.identity).json["active"] is True
    require_invalid(app.userinfo(token))


def test_who_brings_no_token_is_told_the_scheme_and_no_error(built: World) -> None:
    """RFC 6750 section 3.1."""
    for headers in ({}, {"authorization": "Basic eDp5"}):
        answer = asked(built, **headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "error" not in answer.json


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Bearer a b", "Bearer \x80", "Bearer x.y.z", "Bearer cbat_x"])
def test_a_token_that_is_none_is_refused(built: World, value: str) -> None:
    require_invalid(asked(built, authorization=value))


def test_two_tokens_are_refused(built: World, token: str) -> None:
    answer = asked(built, authorization=f"Bearer {token}, Bearer {token}")
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


def test_a_token_in_the_body_or_the_address_is_none(built: World, app: App, token: str) -> None:
    """FAPI 2.0 asks for the header alone."""
    for url, form in (("/userinfo", {"access_token": token}), (f"/userinfo?access_token={token}", {})):
        answer = built.ask(built.mtls + url, app.identity, form=form)
        assert (answer.status, "error" in answer.json) == (401, False)
