"""In front of a WSGI application behind a proxy: the client's certificate, as `environ_facts` has it.

    app = ForwardedCertificates(app, contract="nginx", networks=["127.0.0.1"], secrets=[os.environ["PROXY_SECRET"]])

Rule 1: a WSGI server says of the peer what it likes, so the secret is mandatory.
Rule 2: it joins several headers of one name by commas: where one could say who the client is, it is a refusal.
Rule 3: it makes one key of `A-B` and `A_B`, and nobody behind it can tell them apart: the proxy or the server must drop
names with underscores.  gunicorn and waitress do; for the others `certbound proxy-config` has the line.
Rule 4: a contract that writes chains with commas (Traefik) works for clients that send the leaf alone, and the log says
so at the start.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from certbound.core.certificate import Certificate
from certbound.core.errors import ConfigurationError
from certbound.tls.facts import DECIDED, EXTENSION, CertificateSource, environ_facts
from certbound.tls.forwarded.asgi import (
    Strangers,
    asks_at,
    declared_hosts,
    forwarded_facts,
    log_refused,
    refusal,
    require_first,
)
from certbound.tls.forwarded.contract import BadForwarded, Contract
from certbound.tls.forwarded.contracts import contract_of
from certbound.tls.forwarded.reading import ForwardedReader
from certbound.tls.proxies import SECRET_HEADER, Proxies

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGIApplication = Callable[[Environ, StartResponse], Iterable[bytes]]


class ForwardedCertificates(CertificateSource):
    """WSGI middleware: the certificate that a declared proxy forwards stands in `environ["certbound.tls"]`."""

    def __init__(
        self,
        app: WSGIApplication,
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
        """As for ASGI; but `secrets` must be given, and `certificates` cannot be.  `ConfigurationError` otherwise."""
        if without_secret or not secrets:
            raise ConfigurationError(
                "behind a WSGI server the proxy needs a secret to send on each request (secrets): the server alone "
                "says who the peer is, some repeat what headers say, and without_secret is for certbound's own listener"
            )
        if certificates:
            raise ConfigurationError(
                "certificates: a WSGI server does not say with which certificate the proxy came; give its address"
            )
        self._app = app
        proxies = Proxies(
            secrets=secrets, networks=networks, unix_socket=unix_socket, secret_header=secret_header.lower()
        )
        self._reader = ForwardedReader(contract_of(contract, **headers), proxies, joins=True)
        if getattr(self._reader.contract, "lists_by_commas", False):
            _log.warning(_LEAF_ALONE, self._reader.contract.name)
        self._hosts = declared_hosts(hosts)
        self._strangers = Strangers()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        require_first(environ_facts(environ), is_decided=DECIDED in environ)
        address = environ.get("REMOTE_ADDR") or None  # empty where it is a Unix socket
        keys = {key: _header_name(key) for key in environ if key.startswith(_PREFIX)}
        owned = {key: name for key, name in keys.items() if self._reader.owns(name)}
        brought = [(name, str(environ[key]).encode("latin-1", "replace")) for key, name in owned.items()]
        try:
            reading = self._reader.read(brought, None, address)
        except BadForwarded as error:
            return _refuse(start_response, error)
        if reading.stripped:
            self._strangers.tell(reading, None, address, environ.get("PATH_INFO", ""))
        asks = reading.is_believed and self._asks(environ)
        facts = forwarded_facts(reading, self._reader.contract, asks=asks)
        kept = {key: value for key, value in environ.items() if key not in owned}
        return self._app({**kept, EXTENSION: facts}, start_response)

    def _asks(self, environ: Environ) -> bool:
        return self._hosts is None or asks_at(
            self._hosts, [environ["HTTP_HOST"].encode("latin-1", "replace")] if "HTTP_HOST" in environ else []
        )


def _header_name(key: str) -> bytes:
    return key[len(_PREFIX) :].lower().replace("_", "-").encode("latin-1", "replace")


def _refuse(start_response: StartResponse, error: BadForwarded) -> Iterable[bytes]:
    body = refusal(error, log_refused(error))
    start_response(
        "400 Bad Request",
        [("content-type", "application/json"), ("content-length", str(len(body))), ("cache-control", "no-store")],
    )
    return [body]


_log = logging.getLogger("certbound.security")
_LEAF_ALONE = (
    "behind a WSGI server the contract %s is for clients that send their own certificate alone: with issuers behind it "
    "the request is a 400, since commas may come of two headers. Let clients leave the issuers out, or serve by ASGI"
)
_PREFIX = "HTTP_"
