"""certbound.tls.forwarded.asgi: behind it an application sees what our own listener would have shown."""

import asyncio
import json
import logging
from typing import Any

import pytest
import uvicorn

from certbound.core.certificate import PeerCertificate
from certbound.core.errors import ConfigurationError
from certbound.testing.forwarded import forwarded_headers
from certbound.tls.facts import EXTENSION, HOP, ConnectionFacts, Hop, connection_facts, peer_certificate
from certbound.tls.forwarded import ForwardedCertificates, wsgi
from certbound.trust.authority import self_signed
from certificates import peer

SECRET = "s" * 40
CLIENT, VICTIM, PROXY = self_signed("CN=client"), self_signed("CN=victim"), self_signed("CN=proxy")
HONEST = forwarded_headers("nginx", CLIENT.der) | {"certbound-proxy-secret": SECRET}


class Seen:
    """An application that remembers what it was asked."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)


def scope_of(headers: dict[str, str] | list[tuple[str, str]], hop: Hop | None = None, **more: Any) -> dict[str, Any]:
    pairs = headers.items() if isinstance(headers, dict) else headers
    listed = [(b"host", b"mtls.example"), *((n.encode(), v.encode()) for n, v in pairs)]
    extensions = {} if hop is None else {HOP: hop}
    return {
        "type": "http",
        "path": "/a",
        "headers": listed,
        "client": ("127.0.0.1", 1),
        "extensions": extensions,
    } | more


def through(scope: dict[str, Any], **declared: Any) -> tuple[Any, list[Any]]:
    """The scope behind it, None if the request was refused; and what was sent."""
    seen, sent = Seen(), list[Any]()
    options = {"contract": "nginx", "secrets": [SECRET], "networks": ["127.0.0.1"], **declared}

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    asyncio.run(ForwardedCertificates(seen, **options)(scope, receive, send))
    return (seen.scopes[0] if seen.scopes else None), sent


def certificate_behind(scope: dict[str, Any], **declared: Any) -> PeerCertificate | None:
    found, _ = through(scope, **declared)
    assert found is not None
    return peer_certificate(found)


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_certificate_stands_where_our_listener_puts_it(kind: str) -> None:
    """For both kinds of request; and nothing of the contract is left."""
    scope = scope_of(HONEST, type=kind)
    found, _ = through(scope)
    facts = connection_facts(found)
    assert facts is not None
    assert (facts.peer_certificate, facts.asks_for_certificate, facts.forwarded_by) == (peer(CLIENT), True, "nginx")
    assert found["headers"] == [(b"host", b"mtls.example")]
    assert len(scope["headers"]) > 1  # the server's own list is as it was


def test_lifespan_passes() -> None:
    """As it came."""
    scope = {"type": "lifespan"}
    assert through(scope)[0] is scope


def test_nothing_is_left_of_the_proxys_own_certificate() -> None:
    """Neither our facts nor the extension of others: a proxy is not its client."""
    own = ConnectionFacts(
        peer_certificate=peer(PROXY), tls_version="TLSv1.3", cipher="", group=None, asks_for_certificate=True
    )
    for headers in ({}, HONEST, forwarded_headers("nginx", None) | {"certbound-proxy-secret": SECRET}):
        scope = scope_of(headers, extensions={EXTENSION: own, "tls": {"client_cert_chain": ["x"]}, "other": {}})
        found, _ = through(scope)
        assert peer_certificate(found) == (peer(CLIENT) if headers is HONEST else None)
        assert set(found["extensions"]) == {EXTENSION, "other"}


def test_the_hop_is_what_our_listener_says(caplog: pytest.LogCaptureFixture) -> None:
    """`scope["client"]` does not count beside it, whatever rewrote that."""
    assert certificate_behind(scope_of(HONEST, Hop("127.0.0.1"), client=("203.0.113.9", 1))) == peer(CLIENT)
    assert certificate_behind(scope_of(HONEST, Hop("203.0.113.9"))) is None
    assert certificate_behind(scope_of(HONEST, client=("203.0.113.9", 0))) is None  # X-Forwarded-For was believed
    assert certificate_behind(scope_of(HONEST, client=None)) is None
    forged = {"address": "127.0.0.1"}
    without = {"secrets": (), "without_secret": True}
    assert certificate_behind(scope_of(HONEST, extensions={HOP: forged}), **without) is None
    assert certificate_behind(scope_of(HONEST, Hop("127.0.0.1")), **without) == peer(CLIENT)


def test_hosts_that_do_not_ask_have_no_certificate() -> None:
    """The conventional host, another one, none, and two."""
    hosts = {"hosts": ["mtls.example"]}
    assert certificate_behind(scope_of(HONEST), **hosts) == peer(CLIENT)
    for named in (["as.example"], [], ["mtls.example"] * 2, ["mtls.example, as.example"], ["a@mtls.example"]):
        scope = scope_of(HONEST)
        scope["headers"] = [*scope["headers"][1:], *((b"host", each.encode()) for each in named)]
        found, _ = through(scope, **hosts)
        facts = connection_facts(found)
        assert facts is not None
        assert (facts.peer_certificate, facts.asks_for_certificate) == (None, False)
    scope = scope_of(HONEST)
    scope["headers"][0] = (b"Host", b"MTLS.example:443")
    assert certificate_behind(scope, **hosts) == peer(CLIENT)
    assert certificate_behind(scope, hosts={"MTLS.example"}) == peer(CLIENT)


@pytest.mark.parametrize("wrapped", [ForwardedCertificates, wsgi.ForwardedCertificates], ids=["asgi", "wsgi"])
@pytest.mark.parametrize("hosts", ["mtls.example", [], ["https://mtls.example"], ["mtls.example:443"], ["a", ""]])
def test_hosts_that_no_request_can_name_stop_the_start(wrapped: Any, hosts: Any) -> None:
    """Nobody would ever have a certificate, and nothing would say why."""
    with pytest.raises(ConfigurationError, match="hosts: "):
        wrapped(None, contract="nginx", networks=["127.0.0.1"], secrets=[SECRET], hosts=hosts)


def test_strangers_lose_the_headers_and_an_event_says_which(caplog: pytest.LogCaptureFixture) -> None:
    """Names, the address and the path; no value, and nothing that does things to a terminal."""
    brought = [*forwarded_headers("nginx", VICTIM.der).items(), ("x_ssl_client_cert", "value-of-it"),
               ("certbound-proxy-secret", "wrong-secret-of-somebody")]  # fmt: skip
    with caplog.at_level(logging.WARNING, "certbound.security"):
        found, _ = through(scope_of(brought, client=("203.0.113.9", 5), path="/a\x1b[31m\nb"))
    assert (found["headers"], peer_certificate(found)) == ([(b"host", b"mtls.example")], None)
    [record] = caplog.records
    text = record.getMessage()
    for expected in (
        "certbound-proxy-secret, x-ssl-client-cert, x-ssl-client-verify, x_ssl_client_cert",
        "203.0.113.9",
    ):
        assert expected in text
    assert "/a" in text
    assert text.isprintable()
    for value in ("BEGIN", "SUCCESS", "value-of-it", "wrong-secret", SECRET):
        assert value not in text
    caplog.clear()
    through(scope_of({}, client=("203.0.113.9", 5)))
    assert caplog.records == []


@pytest.mark.parametrize(
    "more", [("x_ssl_client_cert", "a"), ("x-ssl-client-cert", "a"), ("x-ssl-client-verify", "NONE")]
)
def test_what_a_believed_proxy_says_twice_is_a_400(more: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """The application is not asked; the reason goes to the log under the identifier in the answer."""
    found, [start, body] = through(scope_of([*HONEST.items(), more]))
    assert (found, start["status"]) == (None, 400)
    said = json.loads(body["body"])
    assert said["error"] == "invalid_request"
    assert said["request_id"] in caplog.text
    assert "x" not in said["error_description"].replace("proxy", "")
    found, sent = through(scope_of([*HONEST.items(), more], type="websocket"))
    assert (found, sent) == (None, [{"type": "websocket.close", "code": 1008}])
    extended = scope_of([*HONEST.items(), more], type="websocket", extensions={"websocket.http.response": {}})
    found, [start, _] = through(extended)
    assert (found, start["type"], start["status"]) == (None, "websocket.http.response.start", 400)


def test_headers_can_be_renamed() -> None:
    """As an ingress controller names them."""
    renamed = {"certificate": "ssl-client-cert", "verify": "ssl-client-verify"}
    headers = forwarded_headers("nginx", CLIENT.der, (), **renamed) | {"x-secret": SECRET}
    assert certificate_behind(scope_of(headers), headers=renamed, secret_header="X-Secret") == peer(CLIENT)
    with pytest.raises(ConfigurationError):
        through(scope_of({}), headers={"chain": "x"})


async def test_a_trailer_is_no_header() -> None:
    """uvicorn appends delayed chunked trailers to the list it handed out: the application never sees that list."""
    seen: list[Any] = []
    gone_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        gone_on.set()
        while (await receive()).get("more_body"):
            pass
        seen.append((scope["headers"], peer_certificate(scope)))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guarded = ForwardedCertificates(app, contract="nginx", secrets=[SECRET], networks=["127.0.0.1"])
    server = uvicorn.Server(uvicorn.Config(guarded, port=0, log_level="error", lifespan="off", http="httptools"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    none = forwarded_headers("nginx", None) | {"certbound-proxy-secret": SECRET}
    head = "".join(f"{name}: {value}\r\n" for name, value in none.items())
    writer.write(f"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n{head}\r\n1\r\na\r\n".encode())
    await gone_on.wait()
    forged = forwarded_headers("nginx", VICTIM.der)
    trailers = "".join(f"{name}: {value}\r\n" for name, value in forged.items())
    writer.write(f"0\r\n{trailers}\r\n".encode())
    assert (await reader.readline()).split()[1] == b"204"
    writer.close()
    server.should_exit = True
    await serving
    [(headers, certificate)] = seen
    assert certificate is None
    assert {name for name, _ in headers} == {b"host", b"transfer-encoding"}


@pytest.mark.parametrize("contract", ["nginx", "envoy"])
def test_a_proxy_that_is_declared_twice_is_told(contract: str) -> None:
    """And is no proxy whose clients have no certificates, for which everybody would be refused without a word."""
    declared: dict[str, Any] = {"networks": ["127.0.0.1"], "secrets": [SECRET]}
    below = ForwardedCertificates(Seen(), contract=contract, **declared)
    twice = ForwardedCertificates(below, contract="nginx", **declared)
    with pytest.raises(ConfigurationError, match=r"declared twice: .* as 'nginx'"):
        asyncio.run(twice(scope_of(HONEST), None, None))  # type: ignore[arg-type]
    stranger = scope_of({})
    asyncio.run(twice(stranger, None, None))  # type: ignore[arg-type]

    in_wsgi = wsgi.ForwardedCertificates(lambda *_: [], contract=contract, **declared)
    twice_in_wsgi = wsgi.ForwardedCertificates(in_wsgi, contract="nginx", **declared)
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HONEST.items()}
    with pytest.raises(ConfigurationError, match="declared twice"):
        twice_in_wsgi({**environ, "REMOTE_ADDR": "127.0.0.1"}, lambda *_: None)
