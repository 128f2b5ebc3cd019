"""certbound.resource._order: a guard that stands in the wrong place says so, and lets nobody through."""

import asyncio
import logging
from typing import Any

import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from certbound.core.certificate import PeerCertificate
from certbound.core.errors import ConfigurationError
from certbound.resource import FixedKeys, Guard, ProtectedResource
from certbound.resource import flask as face_of_flask
from certbound.resource import wsgi as face_of_wsgi
from certbound.resource.sources import GunicornCertificates, TLSExtensionCertificates
from certbound.testing.forwarded import forwarded_headers
from certbound.tls.facts import EXTENSION, ConnectionFacts
from certbound.tls.forwarded import ForwardedCertificates, wsgi
from certificates import NOW
from issuing import AUDIENCE, ISSUER, KEYS, PEER, THIEF, token

SECRET = "s" * 40
DECLARED: dict[str, Any] = {"contract": "nginx", "networks": ["127.0.0.1"], "secrets": [SECRET]}


def api(**facts: Any) -> ProtectedResource:
    return ProtectedResource(AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS), clock=lambda: NOW, **facts)


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"secret"})


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"secret"]


class Opaque:
    """Middleware of others into which nobody can look."""

    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, *arguments: Any) -> Any:
        return self.inner(*arguments)


def facts(peer: PeerCertificate | None) -> ConnectionFacts:
    return ConnectionFacts(peer_certificate=peer, tls_version="", cipher="", group=None, asks_for_certificate=True)


def honest(held: str) -> dict[str, str]:
    """What the proxy sends for the owner of the token."""
    return {
        **forwarded_headers("nginx", PEER.leaf), "certbound-proxy-secret": SECRET, "authorization": f"Bearer {held}",
    }  # fmt: skip


def asked(application: Any, headers: dict[str, str], connection: ConnectionFacts | None = None) -> int:
    """The status, in ASGI."""
    sent: list[Any] = []
    scope = {
        "type": "http", "method": "GET", "path": "/", "query_string": b"", "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "extensions": {} if connection is None else {EXTENSION: connection},
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    return int(sent[0]["status"])


def asked_wsgi(application: Any, headers: dict[str, str], **environ: Any) -> int:
    """The status, in WSGI."""
    said: list[str] = []
    given = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    full = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1"}
    list(application({**full, **given, **environ}, lambda status, headers, exc_info=None: said.append(status)))
    return int(said[0].split()[0])


@pytest.mark.parametrize(
    "inner",
    [
        ForwardedCertificates(app, **DECLARED),
        TLSExtensionCertificates(app),
        GZipMiddleware(CORSMiddleware(ForwardedCertificates(app, **DECLARED))),
        Starlette(middleware=[Middleware(GZipMiddleware), Middleware(ForwardedCertificates, **DECLARED)]),
    ],
    ids=["forwarded", "extension", "below others", "Starlette's"],
)
def test_what_knows_the_certificate_does_not_stand_behind_the_guard(inner: Any) -> None:
    """It stops the start, and the message has the right order."""
    with pytest.raises(ConfigurationError, match=r"Turn the two round: \w+Certificates\(Guard\(app, api\)"):
        Guard(inner, api())


def test_the_order_of_add_middleware_is_noticed() -> None:
    """Starlette puts what is added last outermost, so the guard is added first."""
    wrong, right = Starlette(), Starlette()
    wrong.add_middleware(ForwardedCertificates, **DECLARED)
    wrong.add_middleware(Guard, api=api())
    with pytest.raises(ConfigurationError, match="comes first and ForwardedCertificates last"):
        asked(wrong, honest(token()))
    right.add_middleware(Guard, api=api())
    right.add_middleware(ForwardedCertificates, **DECLARED)
    assert 404 == asked(right, honest(token()))


def test_in_wsgi_too() -> None:
    """And in Flask, where an assignment is the wrapping."""
    inner: Any
    for inner in (wsgi.ForwardedCertificates(wsgi_app, **DECLARED), GunicornCertificates(wsgi_app)):
        with pytest.raises(ConfigurationError, match="Turn the two round"):
            face_of_wsgi.Guard(inner, api())
    application = Flask("x")
    application.wsgi_app = wsgi.ForwardedCertificates(application.wsgi_app, **DECLARED)  # type: ignore[method-assign]
    with pytest.raises(ConfigurationError, match="Turn the two round"):
        face_of_flask.protect(application, api())
    with pytest.raises(ConfigurationError, match="Turn the two round"):
        face_of_wsgi.Guard(application, api())


def test_the_right_order_is_let_be() -> None:
    """An application that makes up whatever attribute it is asked for is not asked."""

    class Anything:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)

    itself = Anything()
    itself.app = itself  # type: ignore[attr-defined]
    assert 200 == asked(ForwardedCertificates(Guard(itself, api()), **DECLARED), honest(token()))
    right = wsgi.ForwardedCertificates(face_of_wsgi.Guard(wsgi_app, api()), **DECLARED)
    assert 200 == asked_wsgi(right, honest(token()))


def test_no_request_is_judged_by_the_proxys_own_certificate() -> None:
    """Not even where the wrong order cannot be seen, and a token is bound to just that certificate."""
    hidden = Opaque(ForwardedCertificates(app, **DECLARED))
    for require_bound, connection in ((True, facts(PEER)), (False, None)):
        held = token() if require_bound else token(cnf=...)
        with pytest.raises(ConfigurationError, match="Turn the two round"):
            asked(Guard(hidden, api(require_bound=require_bound)), honest(held), connection)
    with pytest.raises(ConfigurationError, match="Turn the two round"):
        asked_wsgi(
            face_of_wsgi.Guard(Opaque(wsgi.ForwardedCertificates(wsgi_app, **DECLARED)), api()), honest(token()),
            **{EXTENSION: facts(PEER)},
        )  # fmt: skip
    assert 401 == asked(Guard(hidden, api()), honest(token()), facts(THIEF))


def test_a_guard_that_nobody_tells_of_certificates_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """An error in the log with what to write, at the first token that comes; then it is counted."""
    for ask, guard in ((asked, Guard(app, api())), (asked_wsgi, face_of_wsgi.Guard(wsgi_app, api()))):
        assert 401 == ask(guard, {})  # a stranger without a token says nothing of the deployment
        assert not [each for each in caplog.records if each.levelno == logging.ERROR]
        for _ in range(100):
            assert 401 == ask(guard, {"authorization": f"Bearer {token()}"})
        told = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
        assert 2 == len(told)
        assert "ForwardedCertificates(Guard(app, api), contract=" in told[0]
        caplog.clear()


def test_where_somebody_says_there_is_no_certificate_nothing_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    """The client has none: that is no fault of the deployment."""
    proxied = ForwardedCertificates(Guard(app, api()), **DECLARED)
    none = {**honest(token()), **forwarded_headers("nginx", None)}
    none.pop("x-ssl-client-cert", None)
    assert 401 == asked(proxied, none)
    assert 401 == asked(Guard(app, api()), {"authorization": f"Bearer {token()}"}, facts(None))
    assert not [each for each in caplog.records if each.levelno == logging.ERROR]
