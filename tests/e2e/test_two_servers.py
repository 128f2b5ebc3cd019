"""Two servers on one database: what counts once counts once, whichever is asked, and however many ask both at once.

Fifty connections are open, half of them at each server, before any of them asks; so what one process keeps in memory
helps nobody here.  Turns are per process: of two who come with one code at the same moment, to different servers, the
second may end what the first one got before that one has its answer.  Then nobody has anything, and never have two.
"""

import contextlib
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from certbound.core.ports import ConsentRecord, TicketKind
from certbound.trust.authority import Authority, Issued
from e2e.acting import subject_logged_in
from e2e.codes import (
    ALICE,
    BACK,
    CHALLENGE,
    CODE,
    DEVICE,
    PEOPLE,
    VERIFIER,
    agreed,
    approve,
    in_store,
    is_refused,
    kept,
)
from e2e.people import Page, request_url
from e2e.world import RESOURCE, Answer, World, _settings, free_port, self_signed
from postgres_server import PostgresServer

AT_ONCE = 50
WEB, API, PHONE, THIEF = (self_signed(f"CN={name}") for name in ("web", "api", "phone", "phone"))
NATIVE = "http://127.0.0.1:1234/back"
OPTIONS = {
    **PEOPLE,
    "login__device": True,
    "authentication__methods": ["none", "self_signed_tls_client_auth"],
    "tokens__bind": "requested",
    "tokens__refresh_grace": 0,
}


@dataclass(frozen=True)
class Two:
    """Both servers; each is a `World` with its own ports."""

    first: World
    second: World

    def at_once(self, identity: Issued | None, make: Callable[[World], dict[str, Any]]) -> list[Answer]:
        """What fifty get who ask for what `make` says of their server, by turns of either."""
        start, context = threading.Barrier(AT_ONCE), self.first.context(identity)

        def ask(number: int) -> Answer:
            server = (self.first, self.second)[number % 2]
            asked = make(server)
            connection = HTTPSConnection("localhost", urlsplit(asked["url"]).port, context=context, timeout=60)
            with contextlib.closing(connection):
                connection.connect()
                start.wait(60)
                return server.ask(**asked, connection=connection)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(ask, range(AT_ONCE)))

    def token_requests(self, client_id: str, identity: Issued | None, **form: str) -> list[Answer]:
        """The same at the token endpoints."""
        said = {"client_id": client_id, **form}
        return self.at_once(identity, lambda server: {"url": f"{server.mtls}/token", "form": said})

    def is_active(self, token: str) -> bool:
        """As either says, and within a second they say the same."""
        end = time.monotonic() + 3
        while True:
            said = {each.introspect(token, "api", API).json["active"] for each in (self.first, self.second)}
            if len(said) == 1:
                return bool(said.pop())
            assert time.monotonic() < end


@pytest.fixture(scope="module", params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.postgres)])
def two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    directory: Path = tmp_path_factory.mktemp("two")
    with contextlib.ExitStack() as stack:
        store = {}
        if request.param == "PostgreSQL":
            postgres = stack.enter_context(PostgresServer.running())
            store = {"store__url": postgres.url(postgres.database(), pool=4)}
        authority = Authority.create("Test CA")
        settings = _settings(directory, authority, {**OPTIONS, **store})
        world = World(directory, authority, settings, settings.server.issuer, str(settings.server.mtls_url))
        world.loop.close()  # the servers run in processes of their own
        stack.enter_context(serving(directory, settings.server.port, settings.server.mtls_port))
        plain, mtls = free_port(), free_port()
        stack.enter_context(serving(directory, plain, mtls))
        people = {"grant_types": [CODE, DEVICE, "refresh_token"]}
        world.register_self_signed("web", WEB, redirect_uris=[BACK], **people)
        world.register_self_signed("api", API, protected_resources=[RESOURCE])
        none = {"token_endpoint_auth_method": "none", "redirect_uris": [NATIVE]}
        world.register("spa", **none, **people, tls_client_certificate_bound_access_tokens=False)
        world.register("app", **none, **people, tls_client_certificate_bound_access_tokens=True)
        second = replace(world, issuer=f"https://localhost:{plain}", mtls=f"https://localhost:{mtls}")
        second.loop.close()
        yield Two(world, second)


@contextlib.contextmanager
def serving(directory: Path, plain: int, mtls: int | None) -> Iterator[None]:
    """`certbound serve`, in a process of its own."""
    variables = {"CERTBOUND_SERVER__PORT": f"{plain}", "CERTBOUND_SERVER__MTLS_PORT": f"{mtls}"}
    log = directory / f"{plain}.log"
    with log.open("wb") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "certbound.cli", "serve"],
            cwd=directory, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            assert server.stdout.readline(), log.read_text()
            yield
        finally:
            server.terminate()
            server.communicate()
    assert b"Traceback" not in log.read_bytes()


def redemption(code: str, **changes: str) -> dict[str, str]:
    return {"grant_type": CODE, "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER, **changes}


def good(answers: list[Answer]) -> list[Answer]:
    return [each for each in answers if each.status == 200]


def test_of_fifty_who_redeem_one_code_at_two_servers_one_wins_at_most(two: Two) -> None:
    """And nothing of it lives when all have been heard: a code that comes twice is in two hands."""
    grant_id = secrets.token_urlsafe(16)
    code = agreed(two.first, "web", grant_id=grant_id)
    answers = two.token_requests("web", WEB, **redemption(code))
    won = good(answers)
    assert len(won) <= 1
    assert all(is_refused(each) for each in answers if each not in won)
    assert not any(two.is_active(each.json["access_token"]) for each in won)
    form = {"grant_type": "refresh_token", "client_id": "web"}
    for each in won:
        for server in (two.first, two.second):
            answer = server.ask(f"{server.mtls}/token", WEB, form={**form, "refresh_token": each.json["refresh_token"]})
            assert is_refused(answer)
    assert not in_store(two.first, lambda store: store.grants.revoke(grant_id, now=time.time())), "it is revoked"
    assert in_store(two.first, lambda store: kept(store, TicketKind.CODE, code)).taken_at is not None


def test_who_redeems_a_code_at_one_server_ends_it_at_the_other_by_coming_again(two: Two) -> None:
    """RFC 6749 section 4.1.2; both tell the API so at once or soon."""
    code = agreed(two.first, "web")
    first = two.first.post("token", "web", WEB, **redemption(code))
    assert two.is_active(first.json["access_token"])
    assert is_refused(two.second.post("token", "web", WEB, **redemption(code)))
    assert not two.is_active(first.json["access_token"])


def test_the_code_of_an_app_replayed_with_its_verifier_over_another_certificate_ends_the_family(two: Two) -> None:
    """RFC 6749 section 4.1.2: code and verifier are in two hands, so what the right installation got ends too."""
    code = agreed(two.first, "app", redirect_uri=NATIVE)
    first = two.first.post("token", "app", PHONE, **redemption(code, redirect_uri=NATIVE))
    assert two.is_active(first.json["access_token"])
    assert is_refused(two.second.post("token", "app", THIEF, **redemption(code, redirect_uri=NATIVE)))
    assert not two.is_active(first.json["access_token"])
    form = {"grant_type": "refresh_token", "refresh_token": first.json["refresh_token"]}
    assert is_refused(two.first.post("token", "app", PHONE, **form))


def test_of_fifty_refreshes_of_one_token_there_is_one_line_at_most(two: Two) -> None:
    """Who came before it was replaced is told the same successor; there is no grace here, so whoever comes later reuses
    it, and ends what all of them got."""
    token = two.first.open_grant("spa")
    answers = two.token_requests("spa", None, grant_type="refresh_token", refresh_token=token)
    won = good(answers)
    assert all(is_refused(each) for each in answers if each not in won)
    assert len({each.json["refresh_token"] for each in won}) <= 1
    if len(won) < AT_ONCE:
        assert not any(two.is_active(each.json["access_token"]) for each in won)
        for successor in {each.json["refresh_token"] for each in won}:
            assert is_refused(
                two.second.post("token", "spa", None, grant_type="refresh_token", refresh_token=successor)
            )
    assert len({each.without_request_id[2] for each in answers if each not in won}) <= 1


def test_of_fifty_polls_of_one_approved_device_one_wins_at_most(two: Two) -> None:
    """As of a code."""
    secret = two.first.post("device_authorization", "web", WEB, scope="read").json["device_code"]
    in_store(two.first, lambda store: approve(store, secret, ALICE))
    answers = two.token_requests("web", WEB, grant_type=DEVICE, device_code=secret)
    won = good(answers)
    assert len(won) <= 1
    assert all(is_refused(each) for each in answers if each not in won)
    assert not any(two.is_active(each.json["access_token"]) for each in won)
    assert in_store(two.first, lambda store: kept(store, TicketKind.DEVICE_CODE, secret)).taken_at is not None


def test_of_fifty_polls_before_anybody_decides_one_is_in_time(two: Two) -> None:
    """The others are told to slow down; the device goes on when the person has decided."""
    begun = two.first.post("device_authorization", "web", WEB, scope="read").json
    secret, since = begun["device_code"], time.monotonic()
    answers = two.token_requests("web", WEB, grant_type=DEVICE, device_code=secret)
    told = [each.json["error"] for each in answers]
    assert sorted(set(told)) == ["authorization_pending", "slow_down"]
    assert told.count("authorization_pending") <= 1 + (time.monotonic() - since) // begun["interval"]
    in_store(two.first, lambda store: approve(store, secret, ALICE))
    assert two.second.post("token", "web", WEB, grant_type=DEVICE, device_code=secret).status == 200


def test_of_fifty_who_come_with_one_request_uri_one_gets_a_code(two: Two) -> None:
    """It is used up by its answer; all the others are shown a page that says so."""
    consent = ConsentRecord(
        subject=ALICE, client_id="web", scope=("read",), resources=(RESOURCE,), created_at=time.time()
    )
    in_store(two.first, lambda store: store.consents.put(consent))
    browser = subject_logged_in(two.first, ALICE)
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    pushed = two.first.post("par", "web", WEB, **request()).json
    query = {"client_id": "web", "request_uri": pushed["request_uri"]}
    asked = {"method": "GET", "headers": {"cookie": cookies}}
    answers = two.at_once(None, lambda server: {"url": request_url(server, query), **asked})
    codes = [Page("", each).members["code"] for each in answers if each.status == 303]
    assert len(codes) == 1, [each.status for each in answers]
    refused = [each for each in answers if each.status != 303]
    assert {each.status for each in refused} == {400}
    assert all(b"answered already" in each.body for each in refused)
    assert two.second.post("token", "web", WEB, **redemption(codes[0])).status == 200


def request() -> dict[str, str]:
    """Of an authorization, for what is agreed to already."""
    return {
        "response_type": "code", "redirect_uri": BACK, "scope": "read", "prompt": "none", "resource": RESOURCE,
        "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    }  # fmt: skip
