"""The store fails at the authorization endpoint (RFC 6749 section 4.1.2.1): told to the client, once that is known.

The server is real and so is what fails: somebody takes a table away, or a trigger refuses a row.
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.acting import App, logged_in, make_app, people_world
from e2e.people import Browser, Page
from e2e.world import World


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with people_world(tmp_path_factory.mktemp("away")) as running:
        yield running


@pytest.fixture(scope="module")
def app(deployment: World) -> App:
    return make_app(deployment, "app")


@pytest.fixture(scope="module")
def anna(app: App) -> Browser:
    """Somebody who is logged in and has agreed."""
    browser = logged_in(app.world)
    app.code(browser=browser)
    return browser


def write(deployment: World, statement: str) -> None:
    """By hand, past the server."""
    path: Path = deployment.directory / "certbound.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


@contextlib.contextmanager
def without(deployment: World, table: str) -> Iterator[None]:
    """The table is not there."""
    write(deployment, f"ALTER TABLE {table} RENAME TO away")
    try:
        yield
    finally:
        write(deployment, f"ALTER TABLE away RENAME TO {table}")


def is_told(page: Page) -> bool:
    """The client is, with all that an answer says, and nothing of the store."""
    assert page.members["iss"], page
    assert "table" not in str(page.members)
    return (page.members["error"], page.members["state"]) == ("temporarily_unavailable", "s")


@pytest.mark.parametrize("table", ["sessions", "consents", "tickets"])
def test_a_client_whose_request_is_known_is_told_that_the_store_is_away(app: App, anna: Browser, table: str) -> None:
    """By the redirect, as it asked; and the same request is answered when the store is back."""
    for mode in ("query", "fragment", "form_post"):
        with without(app.world, table):
            assert is_told(app.visit(anna, response_mode=mode))
    assert "code" in app.visit(anna).members


def test_the_audit_says_that_it_is_ours_and_why(app: App, anna: Browser, caplog: pytest.LogCaptureFixture) -> None:
    """As of a page: an error and no refusal, with the reason that nobody else is told."""
    caplog.set_level(logging.INFO, "certbound.audit")
    with without(app.world, "consents"):
        app.visit(anna)
    [record] = [each for each in caplog.records if each.name == "certbound.audit"]
    told = record.__dict__["fields"]
    assert (record.levelno, told["outcome"], told["error"]) == (logging.ERROR, "failed", "temporarily_unavailable")
    assert "no such table: consents" in told["reason"]


def test_so_is_one_whose_person_would_have_to_log_in(app: App) -> None:
    with without(app.world, "tickets"):
        assert is_told(app.visit())
    assert app.visit().status == 200


def test_so_is_one_that_posts_its_request(app: App) -> None:
    with without(app.world, "tickets"):
        url = f"{app.world.issuer}/authorize"
        assert is_told(Page(url, app.world.ask(url, form=app.request())))


def test_before_the_redirect_uri_is_known_the_person_is_told_by_a_page(app: App, anna: Browser) -> None:
    """What was pushed cannot be read, so nobody knows where the answer would go; it is not used up by that."""
    reference = app.push().json["request_uri"]
    with without(app.world, "tickets"):
        page = app.visit_pushed(reference, anna)
        assert (page.status, page.location) == (503, "")
        assert page.answer.headers["content-type"].startswith("text/html")
        assert page.answer.headers["x-request-id"] in page.html
        assert app.visit(anna, redirect_uri="https://evil.example").status == 400
    with without(app.world, "sessions"):
        assert is_told(app.visit_pushed(reference, anna))
    assert "code" in app.visit_pushed(reference, anna).members


def test_nobody_is_sent_where_the_client_sends_people_no_more(app: App, anna: Browser) -> None:
    """What was pushed before names a redirect URI that is none of the client's any more."""
    moved = make_app(app.world, "moved")
    references = [moved.push().json["request_uri"] for _ in range(2)]
    with without(app.world, "sessions"):
        assert is_told(moved.visit_pushed(references[0], anna))
    app.world.update("moved", redirect_uris=["https://elsewhere.example/cb"])
    time.sleep(1)
    with without(app.world, "sessions"):
        page = moved.visit_pushed(references[1], anna)
        assert (page.status, page.location) == (400, "")


def test_where_a_button_can_be_pressed_again_the_person_is_told(app: App) -> None:
    """Nothing of the request is lost."""
    anna = logged_in(app.world)
    page = app.visit(anna, prompt="consent")
    with without(app.world, "consents"):
        told = anna.send(page, "allow")
        assert (told.status, told.location) == (503, "")
    assert "code" in anna.send(page, "allow").members


def test_where_the_request_was_answered_and_the_code_cannot_be_kept_the_client_is_told(app: App) -> None:
    """Nobody could press that button again."""
    anna = logged_in(app.world)
    page = app.visit(anna, prompt="consent")
    is_code = "WHEN NEW.ticket LIKE 'code %'"
    write(app.world, f"CREATE TRIGGER full BEFORE INSERT ON tickets {is_code} BEGIN SELECT RAISE(ABORT, 'x'); END")
    try:
        assert is_told(anna.send(page, "allow"))
    finally:
        write(app.world, "DROP TRIGGER full")
    again = anna.send(page, "allow")
    assert (again.status, again.location) == (400, "")
    assert "code" in app.visit(anna).members
