"""In front of an ASGI application behind a proxy: the client's certificate, as if TLS had ended here.

    app = ForwardedCertificates(app, contract="nginx", networks=["127.0.0.1"], secrets=[os.environ["PROXY_SECRET"]])

Rule 1: the only facts of a connection behind it are those that it made: of a proxy's own certificate nothing is left.
Rule 2: the header list that goes on is a copy: what a server appends to its own later (trailers) is seen by nobody.
Rule 3: http and websocket alike; lifespan passes.
Rule 4: a request that asks for an upgrade and has a body is the last on its connection: some servers take the body for
the next request, and what a proxy sends behind it, certificate and secret included, for its rest.
"""

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from certbound.core.certificate import Certificate
from certbound.core.display import shown
from certbound.core.errors import ConfigurationError
from certbound.tls.events import Events
from certbound.tls.facts import (
    DECIDED,
    EXTENSION,
    CertificateSource,
    ConnectionFacts,
    Hop,
    connection_facts,
    hop,
)
from certbound.tls.forwarded.contract import BadForwarded, Contract, TwoRequests
from certbound.tls.forwarded.contracts import contract_of
from certbound.tls.forwarded.reading import MEMORY, ForwardedReader, Reading
from certbound.tls.hosts import canonical_name, covers, host_name
from certbound.tls.ports import ASGIApplication, Receive, Scope, Send
from certbound.tls.prompt import Response, at_once
from certbound.tls.proxies import SECRET_HEADER, Proxies

_log = logging.getLogger("certbound.security")


class ForwardedCertificates(CertificateSource):
    """ASGI middleware: the certificate that a declared proxy forwards stands where our listener would put it."""

    def __init__(
        self,
        app: ASGIApplication,
        *,
        contract: str | Contract,
        headers: Mapping[str, str] = MappingProxyType({}),
        secrets: Sequence[str] = (),
        networks: Sequence[str] = (),
        unix_socket: bool = False,
        certificates: Sequence[Certificate] = (),
        secret_header: str = SECRET_HEADER,
        without_secret: bool = False,
        hosts: Iterable[str] | None = None,
    ) -> None:
        """`contract` is a name of `CONTRACTS`; `headers` renames its own by what they say (`certificate`, `verify`).
        Those who may be believed are declared as in `Proxies`.
        `hosts` are those where the proxy asks for a certificate, as the Host header names them; None: all.
        `ConfigurationError` for what would believe everybody or nobody.
        """
        self._app = app
        self._answer_at_once = at_once(app)
        proxies = Proxies(
            secrets=secrets, networks=networks, unix_socket=unix_socket, certificates=certificates,
            secret_header=secret_header.lower(), without_secret=without_secret,
        )  # fmt: skip
        self._reader = ForwardedReader(contract_of(contract, **headers), proxies)
        self._hosts = declared_hosts(hosts)
        self._facts: dict[int, ConnectionFacts] = {}
        self._strangers = Strangers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        try:
            reading = self._reader.read(scope["headers"], hop(scope), str(client[0]) if client else None)
        except BadForwarded as error:
            await _refuse(scope, receive, send, error)
            return
        if reading.stripped:
            self._strangers.tell(reading, hop(scope), client[0] if client else None, scope.get("path", ""))
        if scope["type"] == "http" and _upgrades_with_a_body(reading.headers):
            await _refuse(scope, receive, send, TwoRequests("it asks for an upgrade and has a body"))
            return
        await self._app(self._behind(scope, reading), receive, send)

    def answer_at_once(self, scope: Scope) -> Response | None:
        """What the application behind it says without I/O of a request of a believed proxy; see `tls.prompt`."""
        answer = self._answer_at_once
        if answer is None or scope["type"] != "http":
            return None
        client = scope.get("client")
        reading = self._reader.read(scope["headers"], hop(scope), str(client[0]) if client else None)
        return answer(self._behind(scope, reading)) if reading.is_believed else None

    def _behind(self, scope: Scope, reading: Reading) -> Scope:
        """The scope that the application gets."""
        require_first(connection_facts(scope), is_decided=DECIDED in scope)
        if reading.is_believed and self._asks(reading.headers):
            facts = self._facts_of(reading)
        else:
            facts = forwarded_facts(reading, self._reader.contract, asks=False)
        extensions = {**scope.get("extensions", _NONE), EXTENSION: facts}
        extensions.pop("tls", None)  # what it says is of the proxy
        return {**scope, "headers": reading.headers, "extensions": extensions}

    def _facts_of(self, reading: Reading) -> ConnectionFacts:
        """The facts where the proxy asks; remembered for as long as the certificate is the very same value."""
        peer = reading.peer
        facts = self._facts.get(id(peer))
        if facts is None or facts.peer_certificate is not peer:
            facts = forwarded_facts(reading, self._reader.contract, asks=True)
            if len(self._facts) >= MEMORY:
                self._facts.clear()
            self._facts[id(peer)] = facts
        return facts

    def _asks(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        return self._hosts is None or asks_at(self._hosts, [v for name, v in headers if name.lower() == b"host"])


def forwarded_facts(reading: Reading, contract: Contract, *, asks: bool) -> ConnectionFacts:
    """What a connection proved of which only the proxy's word is known."""
    return ConnectionFacts(
        peer_certificate=reading.peer if asks else None, tls_version="", cipher="", group=None,
        asks_for_certificate=asks, forwarded_by=contract.name if reading.is_believed else None,
    )  # fmt: skip


def require_first(facts: ConnectionFacts | None, *, is_decided: bool) -> None:
    """Nobody in front has read the proxy's headers already, nor decided without them.  `ConfigurationError` otherwise:
    nothing is left of them for a second reader, who would take every client for one without a certificate; and a guard
    that did not wait for the first judged by the proxy's own certificate, or by none."""
    if is_decided:
        raise ConfigurationError(
            "a guard in front let this request pass before anybody said which certificate the client holds. Turn the "
            "two round: ForwardedCertificates(Guard(app, api), …)"
        )
    if facts is not None and facts.forwarded_by is not None:
        raise ConfigurationError(
            f"the proxy is declared twice: what stands in front read its headers as {facts.forwarded_by!r}. Leave this "
            "ForwardedCertificates out, or --behind of certbound run"
        )


def declared_hosts(hosts: Iterable[str] | None) -> frozenset[str] | None:
    """The hosts as requests name them; None for all.  `ConfigurationError` for what no request can name."""
    if hosts is None:
        return None
    found = {each: canonical_name(each) for each in ([] if isinstance(hosts, str) else hosts)}
    if not found or None in found.values():
        wrong = next((each for each, name in found.items() if name is None), hosts)
        raise ConfigurationError(
            f"hosts: {wrong!r:.80} is no list of host names as Host headers have them, without scheme and port; leave "
            "hosts out where the proxy asks at all of them"
        )
    return frozenset(filter(None, found.values()))


def asks_at(hosts: frozenset[str], named: Sequence[bytes]) -> bool:
    """Whether the proxy asks for a certificate at the one host that the Host headers name."""
    host = host_name(named[0]) if len(named) == 1 else None
    return host is not None and covers(hosts, host)


class Strangers:
    """The security events of those who bring what a proxy would say; no more lines than `Events` has."""

    def __init__(self) -> None:
        self._events = Events(_log, logging.WARNING)

    def tell(self, reading: Reading, hop: Hop | None, claimed_address: str | None, path: str) -> None:
        """Names and no values, from where, and to which path."""
        address = str((hop.address or "a Unix socket") if hop is not None else claimed_address or "an unknown address")
        brought = shown(", ".join(reading.stripped))
        self._events.tell(
            address,
            "headers of a proxy were removed from a request of a stranger: %.200s, from %.60s, to %.200s: %.200s",
            brought, shown(address), shown(path), shown(reading.why),
        )  # fmt: skip


def log_refused(error: BadForwarded) -> str:
    """The identifier under which the reason stands in the log."""
    request_id = secrets.token_hex(8)
    _log.error("request %s of a believed proxy refused: %.300s", request_id, shown(str(error)))
    return request_id


def refusal(error: BadForwarded, request_id: str) -> bytes:
    """The body of the answer, JSON."""
    said = {"error": "invalid_request", "error_description": error.description, "request_id": request_id}
    return msgspec.json.encode(said)


def _upgrades_with_a_body(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    names = {name.lower() for name, _ in headers}
    return b"upgrade" in names and not names.isdisjoint(_OF_BODIES)


async def _refuse(scope: Scope, receive: Receive, send: Send, error: BadForwarded) -> None:
    request_id = log_refused(error)
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
        kind = "websocket.http.response"
    body = refusal(error, request_id)
    headers: list[Any] = [
        (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store"),
        (b"connection", b"close"),  # what follows on it is in doubt as well
    ]  # fmt: skip
    await send({"type": f"{kind}.start", "status": 400, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


_NONE: Mapping[str, Any] = MappingProxyType({})
_OF_BODIES = frozenset({b"content-length", b"transfer-encoding"})
