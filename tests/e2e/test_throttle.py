"""Limits on failed authentication, over real TLS: they lock nobody out."""

import contextlib
import gc
import json
import logging
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from certbound.core.grants.device_code import GRANT_TYPE as DEVICE
from certbound.server.throttle import Buckets
from certbound.trust.authority import Issued, self_signed
from certbound.trust.verifier import Trust
from e2e.acting import CODE_GRANT, PASSWORD, App, add_account, logged_in, make_app, people_world
from e2e.forging import forged
from e2e.people import Browser, request_url
from e2e.world import World, free_port, world

LIMIT = 20
FEW = 5


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("limited")
    with world(directory, authentication__failures_per_minute=LIMIT) as made:
        yield made


def flood(built: World, client_id: str, times: int, *, source: str, identity: Issued | None = None) -> dict[int, Any]:
    """So many token requests on one connection; how often each status came, and the last answer of each."""
    parts = urlsplit(built.mtls)
    body = f"grant_type=client_credentials&client_id={client_id}".encode()
    request = (
        f"POST /token HTTP/1.1\r\nHost: localhost:{parts.port}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    ).encode() + body
    found: dict[int, Any] = {}
    raw = socket.create_connection(("127.0.0.1", parts.port or 0), source_address=(source, 0), timeout=20)
    with built.context(identity).wrap_socket(raw, server_hostname="localhost") as connection:
        left, buffer = times, b""
        while left:
            batch = min(left, 50)
            connection.sendall(request * batch)
            for _ in range(batch):
                head, body_bytes, buffer = _answer(connection, buffer)
                status = int(head.split(b" ")[1])
                count, _ = found.get(status, (0, None))
                found[status] = (count + 1, (head.decode().lower(), json.loads(body_bytes)))
            left -= batch
    return found


def _answer(connection: ssl.SSLSocket, buffer: bytes) -> tuple[bytes, bytes, bytes]:
    while b"\r\n\r\n" not in buffer:
        buffer += connection.recv(65536)
    head, _, rest = buffer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(rest) < length:
        rest += connection.recv(65536)
    return head, rest[:length], rest[length:]


def test_ten_thousand_failures_from_elsewhere_lock_nobody_out(limited: World, caplog: pytest.LogCaptureFixture) -> None:
    """Its id is public; its certificate gets its token all the same, from anywhere."""
    own, stranger = self_signed("CN=x"), self_signed("CN=stranger")
    limited.register_self_signed("x", own)
    before = len(caplog.records)
    for identity in (None, stranger):
        found = flood(limited, "x", 5_000, source="127.0.0.2", identity=identity)
        assert sum(count for count, _ in found.values()) == 5_000
        assert set(found) == {401, 429}
        # Each gets its limit, and what comes free while it goes on.
        assert found[401][0] < LIMIT * 3
    assert len(caplog.records) - before < LIMIT * 10  # nor is the log full
    assert set(flood(limited, "x", 3, source="127.0.0.3", identity=own)) == {200}
    assert set(flood(limited, "x", 3, source="127.0.0.2", identity=own)) == {200}


def test_ten_thousand_failures_lock_out_no_client_whose_certificate_is_of_a_ca(
    limited: World, caplog: pytest.LogCaptureFixture
) -> None:
    """By copies of its certificate with other keys, by others of the same CA, and by its name alone.

    Each sender has its limit, and one place in memory; nothing is remembered of paths that lead nowhere.
    """
    limited.register("ca", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="ca.example")
    own, renewed = (limited.authority.issue("CN=ca", dns=["ca.example"]) for _ in range(2))
    sibling = limited.authority.issue("CN=ca", dns=["sibling.example"])
    assert set(flood(limited, "ca", 1, source="127.0.4.1", identity=own)) == {200}
    written, places, verdicts = len(caplog.records), kept(Buckets, "_buckets"), kept(Trust, "_verdicts")
    for identity, times in ((forged(own), 200), (sibling, 4_800), (None, 5_000)):
        found = flood(limited, "ca", times, source="127.0.4.2", identity=identity)
        assert set(found) == {401, 429}
        assert LIMIT <= found[401][0] < LIMIT * 3
        assert found[429][0] == times - found[401][0]
    assert len(caplog.records) - written < LIMIT * 12
    assert kept(Buckets, "_buckets") - places <= 4  # three senders, and their network
    assert kept(Trust, "_verdicts") <= verdicts
    for identity in (own, renewed):
        for source in ("127.0.4.2", "127.0.4.3"):
            assert set(flood(limited, "ca", 3, source=source, identity=identity)) == {200}


def kept(kind: type, name: str) -> int:
    """How much all of a kind in this process, the servers of the test included, remember."""
    return sum(len(getattr(each, name)) for each in gc.get_objects() if isinstance(each, kind))


def test_a_limit_says_when_and_nothing_else(limited: World) -> None:
    """429 with Retry-After and the body of any failure; the same for a client that does not exist."""
    limited.register_self_signed("known", self_signed("CN=known"))
    answers = []
    for number, client_id in enumerate(("known", "unknown")):
        found = flood(limited, client_id, LIMIT + 5, source=f"127.0.1.{number + 1}")
        assert found[401][0] == LIMIT
        head, document = found[429][1]
        assert 1 <= int(head.partition("retry-after: ")[2].partition("\r\n")[0]) <= 60
        assert "cache-control: no-store" in head
        assert document == found[401][1][1] | {"request_id": document["request_id"]}
        answers.append(document | {"request_id": ""})
    assert answers[0] == answers[1] == {
        "error": "invalid_client", "error_description": "client authentication failed", "request_id": "",
    }  # fmt: skip


def test_neither_success_nor_other_refusals_of_a_known_client_count(limited: World) -> None:
    """More tokens than the limit, and more wrong scopes, then a first failure is 401."""
    own = self_signed("CN=busy")
    limited.register_self_signed("busy", own)
    assert set(flood(limited, "busy", LIMIT * 3, source="127.0.2.1", identity=own)) == {200}
    assert set(flood(limited, "busy&scope=no", LIMIT * 3, source="127.0.2.1", identity=own)) == {400}
    assert set(flood(limited, "nobody", 1, source="127.0.2.1", identity=own)) == {401}


def test_a_client_that_was_told_to_wait_gets_its_token_once_it_is_right(limited: World) -> None:
    """Whoever repairs a registration need not wait."""
    own = self_signed("CN=late")
    found = flood(limited, "late", LIMIT + 5, source="127.0.3.1", identity=own)
    assert found[429][0] == 5
    limited.register_self_signed("late", own)
    assert set(flood(limited, "late", 1, source="127.0.3.1", identity=own)) == {200}


@pytest.fixture(scope="module")
def peopled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    options = {
        "authentication__failures_per_minute": FEW,
        "authentication__methods": ["none", "self_signed_tls_client_auth"],
        "login__device": True,
        "admin__port": free_port(),
    }
    with people_world(tmp_path_factory.mktemp("peopled"), **options) as made:
        yield made


@pytest.fixture(scope="module")
def web(peopled: World) -> App:
    return make_app(peopled, "web")


def decided(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the audit has of it; and forgets it."""
    found = [record.__dict__["fields"] for record in caplog.records if record.name == "certbound.audit"]
    caplog.clear()
    return found


def counted(built: World, endpoint: str, error: str, outcome: str = "refused") -> float:
    """Requests there that were refused so."""
    with urlopen(f"http://127.0.0.1:{built.settings.admin.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    sample = f'certbound_requests_total{{endpoint="{endpoint}",error="{error}",outcome="{outcome}"}}'
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0


def test_a_page_or_a_redirect_that_is_a_refusal_is_told_as_one(
    peopled: World, web: App, caplog: pytest.LogCaptureFixture
) -> None:
    """With `log.audit = "refusals"` too, which is what is written from warnings on."""
    caplog.set_level(logging.WARNING, "certbound.audit")
    anna, nobody = logged_in(peopled), Browser(peopled)
    peopled.register("tv", token_endpoint_auth_method="none", grant_types=[DEVICE], scope="read")
    begun = peopled.post("device_authorization", "tv").json
    login, consent, device = web.visit(nobody), web.visit(anna, prompt="consent"), anna.visit("/device")
    shown = anna.send(device, user_code=begun["user_code"])
    caplog.clear()
    for step, endpoint, error, reason in (
        (lambda: web.visit(nobody, scope="zzz"), "authorization", "invalid_scope", "zzz"),
        (lambda: web.visit(nobody, prompt="none"), "authorization", "login_required", ""),
        (lambda: nobody.log_in(login, "anna", "wrong"), "interaction", "access_denied", "wrong name or password"),
        (lambda: anna.send(consent, "deny"), "interaction", "access_denied", "the person said no"),
        (lambda: anna.send(device, user_code="BCDF-BCDF"), "device", "access_denied", "no device shows that code"),
        (lambda: anna.send(shown, "deny"), "device", "access_denied", "the person said no"),
    ):
        before = counted(peopled, endpoint, error)
        step()
        told = [each for each in decided(caplog) if each["what"] == endpoint]
        assert [(each["outcome"], each["error"]) for each in told] == [("refused", error)], (endpoint, error, told)
        assert reason in told[0]["reason"]
        assert counted(peopled, endpoint, error) == before + 1
    while anna.send(device, user_code="BCDF-BCDF").status == 403:
        assert not counted(peopled, "device", "access_denied", "throttled")
    assert counted(peopled, "device", "access_denied", "throttled") == 1


def test_who_guesses_passwords_is_told_to_wait(tmp_path: Path) -> None:
    """429 with Retry-After, the right password too; another person, and the same one from elsewhere, go on."""
    with people_world(tmp_path, login__guesses_per_minute=2) as built:
        app = make_app(built, "app")
        add_account(built, "bert")
        browser = Browser(built)
        page = app.visit(browser)
        statuses = []
        for password in ("wrong", "wrong again", "wrong once more", PASSWORD):
            answer = browser.log_in(page, "anna", password)
            statuses.append(answer.status)
            if answer.status == 429:
                assert 0 < int(answer.answer.headers["retry-after"]) <= 60
                assert answer.answer.headers["cache-control"] == "no-store"
        assert statuses == [403, 403, 429, 429]
        assert app.code(username="bert", browser=Browser(built))


def test_what_pages_refuse_is_bounded_in_the_log_and_makes_no_client_wait(
    peopled: World, web: App, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever sends browsers there, from behind the address that a client has too."""
    caplog.set_level(logging.INFO, "certbound.audit")
    told, plain = request_url(peopled, web.request(scope="zzz")), f"{peopled.issuer}/authorize?client_id=nobody"
    with contextlib.closing(peopled.connect(peopled.issuer)) as connection:
        for url, status in ((told, 303), (plain, 400)):
            for _ in range(FEW * 6):
                assert peopled.ask(url, method="GET", connection=connection).status == status
            assert len(decided(caplog)) <= FEW + 2
        for number in range(FEW * 12):
            peopled.ask(f"{plain}{number}", method="GET", connection=connection)
    assert len(decided(caplog)) <= FEW * 10 + 2
    for client_id in ("web", "nobody", "nobody1"):
        assert peopled.ask(f"{peopled.issuer}/par", form={"client_id": client_id}).status == 401


def test_a_public_client_that_is_wrong_is_written_down_by_its_number(
    peopled: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its id is everybody's.  What is wrong is said to it each time, and nobody there waits for it."""
    caplog.set_level(logging.INFO, "certbound.audit")
    metadata = {"grant_types": CODE_GRANT, "redirect_uris": ["https://spa.example/cb"], "scope": "read"}
    peopled.register("spa", token_endpoint_auth_method="none", **metadata)
    caplog.clear()
    form = {
        "client_id": "spa", "grant_type": "authorization_code", "code": "x", "redirect_uri": "https://spa.example/cb",
        "code_verifier": "v" * 43,
    }  # fmt: skip
    with contextlib.closing(peopled.connect(peopled.issuer)) as connection:
        for _ in range(FEW * 6):
            answer = peopled.ask(f"{peopled.issuer}/token", form=form, connection=connection)
            assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert len(decided(caplog)) <= FEW + 2
    assert peopled.ask(f"{peopled.issuer}/par", form={"client_id": "spa2"}).status == 401
