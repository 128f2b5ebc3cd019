"""Pushed authorization requests (RFC 9126), over real TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from certbound.server.pushed import PREFIX
from e2e.acting import PASSWORD, App, logged_in, make_app, people_world
from e2e.codes import CODE, DEVICE
from e2e.people import Browser, Page, request_url
from e2e.world import Answer, World

METHODS = ["none", "self_signed_tls_client_auth"]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with people_world(
        tmp_path_factory.mktemp("pushed"), login__pushed_lifetime=77, authentication__methods=METHODS
    ) as running:
        yield running


@pytest.fixture(scope="module")
def app(deployment: World) -> App:
    return make_app(deployment, "app")


@pytest.fixture(scope="module")
def strict(deployment: World) -> App:
    return make_app(deployment, "strict", require_pushed_authorization_requests=True)


@pytest.fixture(scope="module")
def anna(app: App) -> Browser:
    """Somebody who is logged in, and lets `app` do what it asks for here."""
    browser = logged_in(app.world)
    app.code(browser=browser)
    return browser


def push(app: App, **changes: Any) -> Answer:
    """At the mutual-TLS alias, with the client's certificate."""
    return app.world.ask(f"{app.world.mtls}/par", app.identity, form=app.request(**changes))


def pushed(app: App, **changes: Any) -> str:
    answer = push(app, **changes)
    assert answer.status == 201, answer
    reference = answer.json["request_uri"]
    assert isinstance(reference, str)
    return reference


def visit(app: App, browser: Browser, reference: str, **beside: Any) -> Page:
    return browser.visit(request_url(app.world, {"client_id": app.client_id, "request_uri": reference, **beside}))


def test_a_client_pushes_its_request_and_sends_the_person_with_a_reference(app: App, anna: Browser) -> None:
    answer = push(app, state="pushed")
    assert answer.status == 201
    assert answer.json == {"request_uri": answer.json["request_uri"], "expires_in": 77}
    assert answer.json["request_uri"].startswith(PREFIX)
    assert len(answer.json["request_uri"]) >= len(PREFIX) + 43
    assert answer.headers["cache-control"] == "no-store"
    page = visit(app, anna, answer.json["request_uri"])
    assert page.members["state"] == "pushed"
    assert app.redeem(page.members["code"]).status == 200


def test_a_reference_is_used_up_by_its_answer(app: App, anna: Browser) -> None:
    reference = pushed(app)
    assert "code" in visit(app, anna, reference).members
    again = visit(app, anna, reference)
    assert (again.status, again.location) == (400, "")
    assert "code" not in again.answer.headers


def test_a_reference_may_be_loaded_again_until_it_is_answered(app: App) -> None:
    reference = pushed(app)
    browser = Browser(app.world)
    assert visit(app, browser, reference).status == 200
    page = browser.log_in(visit(app, browser, reference), "anna", PASSWORD)
    assert "code" in browser.decide(page, "anna", PASSWORD).members


def test_a_reference_of_another_client_one_made_up_and_one_without_a_client_lead_nowhere(
    app: App, strict: App, anna: Browser
) -> None:
    reference = pushed(app)
    for client_id, named in (
        ("strict", reference),
        ("app", PREFIX + "A" * 43),
        ("app", PREFIX),
        ("app", reference[:-1]),
        ("app", reference.upper()),
    ):
        page = visit(App(app.world, client_id, None), anna, named)
        assert (page.status, page.location) == (400, ""), (client_id, named)
    assert anna.visit(f"/authorize?{urlencode({'request_uri': reference})}").status == 400
    assert "code" in visit(app, anna, reference).members  # and none of them used it up
    del strict


def test_what_stands_beside_a_reference_counts_for_nothing(app: App, anna: Browser) -> None:
    page = visit(
        app, anna, pushed(app, state="pushed"),
        redirect_uri="https://evil.example/cb", state="other", scope="openid write", prompt="login",
        code_challenge="A" * 43, response_type="token", response_mode="fragment",
    )  # fmt: skip
    assert page.location.startswith(f"{app.redirect_uri}?code=")
    assert page.members["state"] == "pushed"
    answer = app.redeem(page.members["code"])
    assert (answer.status, answer.json["scope"]) == (200, "openid read")


def test_a_request_uri_that_others_host_is_refused_and_never_fetched(app: App, anna: Browser) -> None:
    page = visit(app, anna, "https://app.example/request.jwt", **app.request())
    assert page.members["error"] == "request_uri_not_supported"


def test_a_client_that_pushes_says_who_it_is_as_at_the_token_endpoint(deployment: World, app: App) -> None:
    without = deployment.ask(f"{deployment.mtls}/par", form=app.request())
    assert (without.status, without.json["error"]) == (401, "invalid_client")
    other = make_app(deployment, "pushing")
    foreign = deployment.ask(f"{deployment.mtls}/par", other.identity, form=app.request())
    assert (foreign.status, foreign.json["error"]) == (401, "invalid_client")


def test_what_is_wrong_with_a_request_is_said_when_it_is_pushed(app: App) -> None:
    for changes, error in (
        ({"request_uri": PREFIX + "A" * 43}, "request_uri_not_supported"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"redirect_uri": "https://evil.example/cb"}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"prompt": "dance"}, "invalid_request"),
        ({"state": "s" * 10_000}, "invalid_request"),
        ({"scope": "delete"}, "invalid_scope"),
        ({"resource": "https://unknown.example"}, "invalid_target"),
    ):
        answer = push(app, **changes)
        assert (answer.status, answer.json["error"]) == (400, error), changes
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["request_id"] == answer.headers["x-request-id"]


def test_a_client_that_must_push_gets_no_code_otherwise(deployment: World, strict: App) -> None:
    browser = logged_in(deployment)
    page = browser.visit(request_url(deployment, strict.request()))
    assert page.members["error"] == "invalid_request"
    page = visit(strict, browser, pushed(strict))
    assert "code" in browser.decide(page, "anna", PASSWORD).members


def test_public_clients_push_too_and_browsers_reach_the_endpoint(deployment: World) -> None:
    deployment.register(
        "spa",
        token_endpoint_auth_method="none",
        grant_types=["authorization_code"],
        redirect_uris=["https://spa.example/cb"],
        scope="read",
    )
    spa = App(deployment, "spa", None, redirect_uri="https://spa.example/cb")
    origin = {"origin": "https://spa.example"}
    answer = deployment.ask(f"{deployment.issuer}/par", form=spa.request(scope="read"), headers=origin)
    assert answer.status == 201
    assert answer.headers["access-control-allow-origin"] == "*"
    browser = logged_in(deployment)
    page = browser.decide(visit(spa, browser, answer.json["request_uri"]), "anna", PASSWORD)
    assert "code" in page.members


def test_strangers_have_only_so_much_kept(tmp_path: Path) -> None:
    """Public clients prove nothing, so of one network so many requests and device codes are kept; others go on."""
    with people_world(
        tmp_path, login__begun_per_minute=2, login__device=True, authentication__methods=METHODS
    ) as world:
        uri = "https://spa.example/cb"
        world.register(
            "public",
            token_endpoint_auth_method="none",
            grant_types=[CODE, DEVICE],
            redirect_uris=[uri],
            scope="openid read",
        )
        public = App(world, "public", None, redirect_uri=uri)
        own = make_app(world, "own")
        kept = [
            push(public, scope="read").status,
            world.post("device_authorization", "public", None, scope="openid").status,
        ]
        assert kept == [201, 200]
        for answer in (push(public, scope="read"), world.post("device_authorization", "public", None, scope="openid")):
            assert (answer.status, answer.json["error"]) == (429, "temporarily_unavailable")
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert push(own).status == 201
