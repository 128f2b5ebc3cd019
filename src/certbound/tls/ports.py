"""What is served where: a port, the virtual hosts on it, and the bounds that hold for every connection.

Rule 1: a virtual host's certificate, names and policy (whether it asks for a certificate) are chosen together.
Rule 2: without TLS only what declares it is served, and it has no certificates.
Rule 3: everything a peer can make us wait for or keep has a bound, and its unit stands beside it.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on one connection.  Times are seconds, sizes bytes; what crosses one is ended, nothing else is."""

    handshake_seconds: float = 10
    """From accept to the end of the TLS handshake; then the connection is dropped."""
    handshake_bytes: int = 24 * 1024
    """What the peer may send before its handshake is complete: room for ML-DSA-87 with one authority behind it.

    It bounds the time that a chain costs as well: OpenSSL decodes every key in it, and the dearest (P-521, compressed,
    in certificates without names) take 0.4 ms per KiB."""
    chain_certificates: int = 10
    """How many certificates behind the leaf are read; the rest is ignored."""
    header_count: int = 100
    """Header fields in a request; beyond: 431."""
    header_bytes: int = 32 * 1024
    """Request line and header fields together; beyond: 431."""
    header_seconds: float = 10
    """From a request's first byte to the end of its header; then 408."""
    body_idle_seconds: float = 15
    """Between two parts of a request body that the application waits for; then 408."""
    body_seconds: float = 300
    """From the end of the header to the end of the body; then 408."""
    body_bytes: int | None = None
    """Request body; beyond: 413.  None leaves it to the application."""
    idle_seconds: float = 75
    """Between two requests on one connection; then it is closed."""
    write_seconds: float = 30
    """How long a peer may read nothing while its response waits; then the connection is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualHost:
    """One name, or several, with a server certificate, an application and a policy of its own."""

    certificate: Path
    """PEM: the server certificate, then its issuers."""
    key: Path
    """PEM: its private key, not encrypted."""
    set_by: tuple[str, str] = ("", "")
    """What settings call `certificate` and `key`: the word in front of what is wrong with the file."""
    app: ASGIApplication = field(repr=False)
    asks_for_certificate: bool = False
    """Whether clients are asked for a certificate; any or none is accepted, the application judges it."""
    names: frozenset[str] | None = None
    """Host names and IP addresses served here; None: the certificate's subject alternative names."""
    certified_names_too: bool = False
    """Whether those of the certificate are served beside `names`: a proxy asks TLS for one, and HTTP for another."""
    websockets: bool = False
    """Whether `websocket` scopes reach the application; otherwise an upgrade is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One TCP port that speaks TLS."""

    host: str
    """The address to listen on, as a name or number."""
    port: int
    """0 takes a free one."""
    virtual_hosts: tuple[VirtualHost, ...]
    """The first is the one for clients that send no server name."""
    minimum_tls: Literal["1.2", "1.3"] = "1.2"
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainPort:
    """One TCP port, or one Unix socket, that speaks HTTP without TLS."""

    host: str = ""
    """The address to listen on, as a name or number."""
    port: int = 0
    """0 takes a free one."""
    path: Path | None = None
    """A Unix socket in their place; whoever may write to it (0660) may connect."""
    app: ASGIApplication = field(repr=False)
    names: frozenset[str] | None = None
    """Host names and IP addresses served here; None: any."""
    limits: Limits = Limits()
    websockets: bool = False
    """As a virtual host has it."""


AnyPort = Port | PlainPort
