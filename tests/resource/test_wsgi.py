"""certbound.resource.wsgi: what WSGI applications may do, and what the guard makes of it."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from certbound.core.errors import ConfigurationError, InsufficientScope
from certbound.resource import FixedKeys, ProtectedResource
from certbound.resource.wsgi import Guard, principal_of
from certbound.tls.facts import EXTENSION, ConnectionFacts
from certificates import NOW
from issuing import AUDIENCE, ISSUER, KEYS, PEER, token

FACTS = ConnectionFacts(peer_certificate=PEER, tls_version="TLSv1.3", cipher="", group=None, asks_for_certificate=True)


class Server:
    """A server that is as strict as the specification."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}
        self.sent = b""

    def ask(self, app: Any, *, scope: str = "read", method: str = "GET", **environ: Any) -> None:
        given: dict[str, Any] = {"REQUEST_METHOD": method, "HTTP_AUTHORIZATION": f"Bearer {token(scope=scope)}"}
        given |= {EXTENSION: FACTS, "QUERY_STRING": "", **environ}
        setup_testing_defaults(given)
        body = app(given, self._start)
        try:
            for part in body:
                assert self.status, "bytes before the head"
                self.sent += part
        finally:
            if hasattr(body, "close"):
                body.close()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        assert not self.status, "the response began twice"
        self.status, self.headers = status, dict(headers)
        return self._write

    def _write(self, data: bytes) -> None:
        self.sent += data


def guard(app: Any, **changes: Any) -> Guard:
    return Guard(app, ProtectedResource(AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS), clock=lambda: NOW), **changes)


def test_the_guard_keeps_the_rules_of_wsgi() -> None:
    """On both sides, as wsgiref.validate reads them."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-type", "text/plain"), ("content-length", "1")])
        return [principal_of(environ).client_id.encode()]

    for method, sent in (("GET", b"a"), ("HEAD", b"a")):
        server = Server()
        server.ask(validator(guard(validator(app))), method=method)
        assert ("200 OK", sent) == (server.status, server.sent)
    server = Server()
    server.ask(validator(guard(app, scopes={"write"})))
    assert "403 Forbidden" == server.status


@pytest.mark.parametrize("scopes", ["read", {"read write"}, {""}, {None}])
def test_what_is_no_scope_stops_the_start(scopes: Any) -> None:
    """It is one that no token has, or would be asked for letter by letter."""
    with pytest.raises(ConfigurationError):
        guard(None, scopes=scopes)


def test_a_token_has_one_place() -> None:
    """A second one in the query, or behind a comma, is one too many."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    text = token()
    for environ, status in (
        ({"QUERY_STRING": "a=b"}, "200 OK"),
        ({"QUERY_STRING": f"a=b&access_token={text}"}, "400 Bad Request"),
        ({"HTTP_AUTHORIZATION": f"Bearer {text},Bearer {text}"}, "400 Bad Request"),
        ({"HTTP_AUTHORIZATION": "Bearer \u20ac"}, "401 Unauthorized"),
    ):
        server = Server()
        server.ask(guard(app), **environ)
        assert status == server.status


class Watched:
    """A body that says whether it was closed."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self.parts = iter(parts)
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self.parts

    def close(self) -> None:
        self.is_closed = True


def late(environ: dict[str, Any], *before: bytes) -> Iterator[bytes]:
    yield from before
    principal_of(environ).require("write")
    yield b"never"


@pytest.mark.parametrize("before", [(), (b"",), (b"", b"")], ids=len)
def test_a_refusal_that_comes_late_is_still_one(before: tuple[bytes, ...]) -> None:
    """As long as nothing was sent, empty parts included; and the application's body is closed."""
    bodies = []

    def app(environ: dict[str, Any], start_response: Any) -> Watched:
        start_response("200 OK", [("x-secret", "1")])
        bodies.append(Watched(late(environ, *before)))
        return bodies[0]

    server = Server()
    server.ask(guard(app))
    assert "403 Forbidden" == server.status
    assert 'scope="write"' in server.headers["www-authenticate"]
    assert "x-secret" not in server.headers
    assert b"insufficient_scope" in server.sent
    assert b"never" not in server.sent
    assert bodies[0].is_closed


def test_a_refusal_that_comes_too_late_ends_the_response() -> None:
    """What was sent was sent; the server hears of it and cuts the response off."""

    def parts(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        return late(environ, b"begun")

    def written(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])(b"begun")
        return late(environ)

    for app in (parts, written):
        server = Server()
        with pytest.raises(InsufficientScope):
            server.ask(guard(app))
        assert ("200 OK", b"begun") == (server.status, server.sent)


def test_a_refusal_before_the_body_is_one() -> None:
    """Whether the response was begun or not."""

    def begun(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        principal_of(environ).require("write")
        return []

    for app in (begun, lambda environ, _: principal_of(environ).require("write")):
        server = Server()
        server.ask(guard(app), method="HEAD")
        assert ("403 Forbidden", b"") == (server.status, server.sent)


def test_an_application_may_say_that_it_failed() -> None:
    """`start_response` with `exc_info` replaces what was not sent, and raises what was too late."""
    import sys

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        if environ["PATH_INFO"] == "/sent":
            write(b"1")
        try:
            raise KeyError("own")
        except KeyError:
            start_response("500 Oh", [], sys.exc_info())
        return [b"oh"]

    server = Server()
    server.ask(guard(app), PATH_INFO="/")
    assert ("500 Oh", b"oh") == (server.status, server.sent)
    with pytest.raises(KeyError, match="own"):
        Server().ask(guard(app), PATH_INFO="/sent")


def test_files_and_lists_reach_the_server_as_they_are() -> None:
    """So that it can send a file by itself."""
    found = []
    for body in ([b"1"], (b"1",), FileWrapper(io.BytesIO(b"1"))):

        def app(environ: dict[str, Any], start_response: Any, body: Any = body) -> Any:
            start_response("200 OK", [])
            return body

        environ: dict[str, Any] = {
            "HTTP_AUTHORIZATION": f"Bearer {token()}", EXTENSION: FACTS, "wsgi.file_wrapper": FileWrapper,
        }  # fmt: skip
        setup_testing_defaults(environ)
        found.append(guard(app)(environ, lambda *_: None) is body)
    assert [True] * 3 == found


def test_nothing_of_the_environment_stands_for_a_principal() -> None:
    """Without a guard, whatever a request brings."""
    for found in (None, "a", {"client_id": "a"}):
        with pytest.raises(LookupError, match="Guard in front"):
            principal_of({"certbound.principal": found, "HTTP_CERTBOUND_PRINCIPAL": "a"})


def test_facts_are_no_text() -> None:
    """A value of another kind is no certificate."""
    for facts in (None, "a", {"peer_certificate": PEER}):
        server = Server()
        server.ask(guard(lambda *_: [b"never"]), **{EXTENSION: facts, "HTTP_CERTBOUND_TLS": "a"})
        assert "401 Unauthorized" == server.status
