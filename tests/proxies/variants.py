"""What clients try at a proxy, with a certificate or without: each forges that of a victim.

Each is a function that is given the proxy and the client's own certificate, and says what came back; its docstring's
first line is what the table calls it.  `PAST` are those that speak to the application itself, as if they were the
proxy.
"""

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from certbound.testing.forwarded import forwarded_headers
from certbound.tls.forwarded import CONTRACTS
from certbound.tls.proxies import SECRET_HEADER
from certbound.trust.authority import Issued
from proxies.frame import HOST, ISSUER_HOST, PATIENCE, SECRET, Kinds, Proxied, Seen, read_response, request

Headers = list[tuple[str, str]]
Variant = Callable[[Proxied, Issued | None], Seen]


def forged(contract: str, kinds: Kinds, **more: str) -> Headers:
    """What the proxy would write for the victim."""
    return [(name, value) for name, value in {**forwarded_headers(contract, kinds.victim.der), **more}.items() if value]


def spelled(headers: Headers, sign: str) -> Headers:
    """The same with `sign` for `-`."""
    return [(name.replace("-", sign), value) for name, value in headers]


def _forged(proxy: Proxied) -> Headers:
    return forged(proxy.program.name, proxy.kinds)


def honest(proxy: Proxied, identity: Issued | None) -> Seen:
    """honest"""
    return proxy.ask(identity)


def own(proxy: Proxied, identity: Issued | None) -> Seen:
    """the contract's own headers"""
    return proxy.ask(identity, *_forged(proxy))


def certificate_alone(proxy: Proxied, identity: Issued | None) -> Seen:
    """the certificate header alone, in capitals"""
    return proxy.ask(identity, *((name.upper(), value) for name, value in _forged(proxy)[:1]))


def twice(proxy: Proxied, identity: Issued | None) -> Seen:
    """the contract's own headers, twice"""
    return proxy.ask(identity, *_forged(proxy), *_forged(proxy))


def others(proxy: Proxied, identity: Issued | None) -> Seen:
    """the headers of every other contract"""
    name = proxy.program.name
    taken = set(CONTRACTS[name]().headers)
    found = {k: v for each in CONTRACTS if each != name for k, v in forged(each, proxy.kinds) if k not in taken}
    return proxy.ask(identity, *found.items())


def underscores(proxy: Proxied, identity: Issued | None) -> Seen:
    """`X_SSL_Client_Cert`: underscores"""
    return proxy.ask(identity, *spelled(_forged(proxy), "_"))


def mixed(proxy: Proxied, identity: Issued | None) -> Seen:
    """one underscore, beside a plain one that is empty"""
    headers = [(name.replace("-", "_", 1), value) for name, value in _forged(proxy)]
    return proxy.ask(identity, *headers, *((name, "") for name, _ in _forged(proxy)))


def dots(proxy: Proxied, identity: Issued | None) -> Seen:
    """dots for hyphens"""
    return proxy.ask(identity, *spelled(_forged(proxy), "."))


def pluses(proxy: Proxied, identity: Issued | None) -> Seen:
    """pluses for hyphens"""
    return proxy.ask(identity, *spelled(_forged(proxy), "+"))


def longer(proxy: Proxied, identity: Issued | None) -> Seen:
    """a hyphen more at the end"""
    return proxy.ask(identity, *((name + "-", value) for name, value in _forged(proxy)))


def space_before_colon(proxy: Proxied, identity: Issued | None) -> Seen:
    """a space before the colon"""
    return proxy.ask(identity, *((name + " ", value) for name, value in _forged(proxy)))


def folded(proxy: Proxied, identity: Issued | None) -> Seen:
    """hidden in a folded line"""
    return proxy.ask(identity, *(("X-Note", f"a\r\n {name}: {value}") for name, value in _forged(proxy)))


def connection_certificate(proxy: Proxied, identity: Issued | None) -> Seen:
    """`Connection` names the certificate header, a twin stands beside it"""
    headers = _forged(proxy)
    return proxy.ask(identity, ("Connection", f"close, {headers[0][0]}"), *spelled(headers, "_"))


def connection_all(proxy: Proxied, identity: Issued | None) -> Seen:
    """`Connection` names every header of the contract"""
    headers = _forged(proxy)
    return proxy.ask(identity, ("Connection", ", ".join(["close", *(name for name, _ in headers)])), *headers)


def connection_other(proxy: Proxied, identity: Issued | None) -> Seen:
    """`Connection` names all but the certificate header"""
    headers = _forged(proxy)
    named = ["close", *(name for name, _ in headers[1:]), "x-ssl-client-verify"]
    return proxy.ask(identity, ("Connection", ", ".join(named)), *headers[:1])


def connection_secret(proxy: Proxied, identity: Issued | None) -> Seen:
    """`Connection` names the secret header"""
    return proxy.ask(identity, ("Connection", f"close, {SECRET_HEADER}"), *_forged(proxy))


def secret(proxy: Proxied, identity: Issued | None) -> Seen:
    """a guess at the secret"""
    return proxy.ask(identity, (SECRET_HEADER, "6f" * 32), *_forged(proxy))


def secret_twin(proxy: Proxied, identity: Issued | None) -> Seen:
    """a guess at the secret, with underscores"""
    return proxy.ask(identity, (SECRET_HEADER.replace("-", "_"), "6f" * 32), *_forged(proxy))


def trailer(proxy: Proxied, identity: Issued | None) -> Seen:
    """in a trailer"""
    return proxy.ask(identity, raw=_chunked(proxy) + _trailer(proxy))


def delayed_trailer(proxy: Proxied, identity: Issued | None) -> Seen:
    """in a trailer that comes late"""
    try:
        with proxy.connect(identity) as stream:
            stream.sendall(_chunked(proxy))
            time.sleep(0.1)
            stream.sendall(_trailer(proxy))
            return Seen(read_response(stream))
    except OSError as error:
        return Seen(b"", str(error))


def large(proxy: Proxied, identity: Issued | None) -> Seen:
    """64 kB of it"""
    seen = proxy.ask(identity, *((name, value * (1 + 65536 // len(value))) for name, value in _forged(proxy)[:1]))
    # Whether the answer is read before the connection is reset is chance.
    return Seen(b"") if 400 <= seen.status < 500 else seen


def nul(proxy: Proxied, identity: Issued | None) -> Seen:
    """a NUL in its value"""
    return proxy.ask(identity, *((name, value + "\0") for name, value in _forged(proxy)))


def forwarded_for(proxy: Proxied, identity: Issued | None) -> Seen:
    """claims to come from the proxy: `X-Forwarded-*`, `Forwarded`"""
    claims = [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Host", ISSUER_HOST), ("Forwarded", "for=127.0.0.1")]
    return proxy.ask(identity, *claims, *_forged(proxy))


def host_is_not_sni(proxy: Proxied, identity: Issued | None) -> Seen:
    """a handshake for the other host, the request for this one"""
    return proxy.ask(identity, *_forged(proxy), name=ISSUER_HOST)


def sni_is_not_host(proxy: Proxied, identity: Issued | None) -> Seen:
    """a handshake for this host, the request for the other one"""
    return proxy.ask(identity, *_forged(proxy), host=ISSUER_HOST)


def absolute(proxy: Proxied, identity: Issued | None) -> Seen:
    """the request line names the other host"""
    return proxy.ask(identity, *_forged(proxy), path=f"http://{ISSUER_HOST}/")


def no_host(proxy: Proxied, identity: Issued | None) -> Seen:
    """no host in the request"""
    return proxy.ask(identity, *_forged(proxy), host=None)


def two_hosts(proxy: Proxied, identity: Issued | None) -> Seen:
    """two hosts in the request"""
    return proxy.ask(identity, ("Host", ISSUER_HOST), *_forged(proxy))


def mixed_case(proxy: Proxied, identity: Issued | None) -> Seen:
    """`API.LocalHost` in handshake and request"""
    return proxy.ask(identity, *_forged(proxy), name="API.LocalHost", host="API.LocalHost")


def no_name(proxy: Proxied, identity: Issued | None) -> Seen:
    """no server name in the handshake"""
    return proxy.ask(identity, *_forged(proxy), name=None)


def small_records(proxy: Proxied, identity: Issued | None) -> Seen:
    """a handshake in records of one byte"""
    return _by_hand(proxy, identity, b"", _in_small_records, request(*_forged(proxy)))


def resumed(proxy: Proxied, identity: Issued | None) -> Seen:
    """a session that began with the certificate, resumed"""
    return _resume(proxy, identity, HOST)


def resumed_elsewhere(proxy: Proxied, identity: Issued | None) -> Seen:
    """a session of the other host, resumed here"""
    return _resume(proxy, identity, ISSUER_HOST)


def before_handshake(proxy: Proxied, identity: Issued | None) -> Seen:
    """HTTP before the handshake"""
    return _by_hand(proxy, identity, request(*_forged(proxy)), bytes, request())


def early_data(proxy: Proxied, identity: Issued | None) -> Seen:
    """`Early-Data: 1`"""
    return proxy.ask(identity, ("Early-Data", "1"), *_forged(proxy))


def websocket(proxy: Proxied, identity: Issued | None) -> Seen:
    """an upgrade to websocket"""
    upgrade = [
        ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]  # fmt: skip
    return proxy.ask(identity, *upgrade, *_forged(proxy))


def conventional(proxy: Proxied, identity: Issued | None) -> Seen:
    """at the conventional host"""
    return proxy.ask(identity, *_forged(proxy), name=ISSUER_HOST, host=ISSUER_HOST)


VARIANTS: tuple[Variant, ...] = (
    honest, own, certificate_alone, twice, others, underscores, mixed, dots, pluses, longer, space_before_colon, folded,
    connection_certificate, connection_all, connection_other, connection_secret, secret, secret_twin, trailer,
    delayed_trailer, large, nul, forwarded_for, host_is_not_sni, sni_is_not_host, absolute, no_host, two_hosts,
    mixed_case, no_name, small_records, resumed, resumed_elsewhere, before_handshake, early_data, websocket,
    conventional,
)  # fmt: skip


def title(variant: Callable[..., object]) -> str:
    """What the table calls it."""
    return (variant.__doc__ or "").splitlines()[0].strip()


def _chunked(proxy: Proxied) -> bytes:
    names = ", ".join(name for name, _ in _forged(proxy))
    fields = f"Host: {HOST}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: {names}\r\n"
    return f"POST / HTTP/1.1\r\n{fields}\r\n3\r\na=b\r\n".encode()


def _trailer(proxy: Proxied) -> bytes:
    return ("0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in _forged(proxy)) + "\r\n").encode()


def _in_small_records(hello: bytes) -> bytes:
    """The one record in `hello` as many."""
    kind, content = hello[:3], hello[5:]
    return b"".join(kind + b"\x00\x01" + bytes([each]) for each in content)


def _by_hand(
    proxy: Proxied, identity: Issued | None, before: bytes, as_sent: Callable[[bytes], bytes], asked: bytes
) -> Seen:
    """`before` in clear, then a handshake whose first flight is sent as `as_sent` makes it, then `asked`."""
    context = proxy.context(identity)
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as stream:
            stream.sendall(before)
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    stream.sendall(as_sent(outgoing.read()))
                    as_sent = bytes
                    incoming.write(received) if (received := stream.recv(65536)) else incoming.write_eof()
            client.write(asked)
            stream.sendall(outgoing.read())
            return Seen(_read_all(client, incoming, stream))
    except OSError as error:
        return Seen(b"", str(error))


def _read_all(client: ssl.SSLObject, incoming: ssl.MemoryBIO, stream: socket.socket) -> bytes:
    received = b""
    while True:
        try:
            more = client.read(65536)
        except ssl.SSLWantReadError:
            if not (arrived := stream.recv(65536)):
                return received
            incoming.write(arrived)
            continue
        except ssl.SSLError:
            return received
        if not more:
            return received
        received += more


def _resume(proxy: Proxied, identity: Issued | None, first: str) -> Seen:
    """With TLS 1.2, then 1.3; that a session was resumed stands in `ended`."""
    seen = Seen(b"")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        seen = _resume_with(proxy, proxy.context(identity, maximum=version), first)
        if seen.ended == "resumed":
            break
    return seen


def _resume_with(proxy: Proxied, context: ssl.SSLContext, first: str) -> Seen:
    context.check_hostname = False
    try:
        with (
            socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname=first) as stream,
        ):
            stream.sendall(request(host=first))
            read_response(stream)
            session = stream.session
        with (
            socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname=HOST, session=session) as stream,
        ):
            stream.sendall(request())
            return Seen(read_response(stream), "resumed" if stream.session_reused else "")
    except OSError as error:
        return Seen(b"", str(error))


# As if they were the proxy.


@dataclass(frozen=True)
class Direct:
    """The application, without the proxy between."""

    contract: str
    port: int
    kinds: Kinds

    def ask(self, *headers: tuple[str, str], source: str = "127.0.0.1", host: str = HOST) -> Seen:
        try:
            with socket.create_connection(
                ("127.0.0.1", self.port), timeout=PATIENCE, source_address=(source, 0)
            ) as stream:
                stream.sendall(request(*headers, host=host))
                return Seen(read_response(stream))
        except OSError as error:
            return Seen(b"", str(error))

    @property
    def headers(self) -> Headers:
        return forged(self.contract, self.kinds)


_SECRET = (SECRET_HEADER, SECRET)
DirectVariant = Callable[[Direct], Seen | None]
"""None where a contract has nothing of the kind."""


def as_the_proxy(app: Direct) -> Seen:
    """the proxy itself"""
    return app.ask(_SECRET, *app.headers)


def without_secret(app: Direct) -> Seen:
    """no secret"""
    return app.ask(*app.headers)


def wrong_secret(app: Direct) -> Seen:
    """another secret"""
    return app.ask((SECRET_HEADER, "6f" * 32), *app.headers)


def two_secrets(app: Direct) -> Seen:
    """the secret and another"""
    return app.ask(_SECRET, (SECRET_HEADER, "6f" * 32), *app.headers)


def another_address(app: Direct) -> Seen:
    """the secret, from an address that is no proxy's"""
    return app.ask(_SECRET, *app.headers, source="127.0.0.9")


def stranger_twins(app: Direct) -> Seen:
    """no secret, underscores"""
    return app.ask(*spelled(app.headers, "_"))


def passed_twins(app: Direct) -> Seen:
    """a proxy that passes underscores on"""
    return app.ask(_SECRET, *_nothing(app), *spelled(app.headers, "_"))


def passed_dots(app: Direct) -> Seen:
    """a proxy that passes dots on"""
    return app.ask(_SECRET, *_nothing(app), *spelled(app.headers, "."))


def passed_longer(app: Direct) -> Seen:
    """a proxy that passes a hyphen more on"""
    return app.ask(_SECRET, *_nothing(app), *((name + "-", value) for name, value in app.headers))


def passed_duplicates(app: Direct) -> Seen:
    """a proxy that adds its header to the client's"""
    mine = forwarded_headers(app.contract, app.kinds.all["CA-signed"].der)  # type: ignore[union-attr]
    return app.ask(_SECRET, *app.headers, *((name, value) for name, value in mine.items() if value))


def passed_certificate(app: Direct) -> Seen | None:
    """a proxy whose verify header was dropped"""
    if not app.headers[1:]:
        return None
    return app.ask(_SECRET, *app.headers[:1])


def passed_verify_none(app: Direct) -> Seen | None:
    """a proxy that says NONE, and passes the client's certificate header on"""
    if not _nothing(app):
        return None
    return app.ask(_SECRET, *_nothing(app), *app.headers[:1])


def passed_large(app: Direct) -> Seen:
    """a proxy that passes 64 kB on"""
    name, value = app.headers[0]
    return app.ask(_SECRET, (name, value + value[-1] * 65536), *app.headers[1:])


def two_leaves(app: Direct) -> Seen | None:
    """two certificates in one value"""
    if app.contract == "aws-alb":  # that is a chain
        return None
    name, value = app.headers[0]
    return app.ask(_SECRET, (name, value + value), *app.headers[1:])


def trailing(app: Direct) -> Seen:
    """bytes behind the certificate"""
    found = forwarded_headers(app.contract, app.kinds.victim.der + b"\0\0")
    return app.ask(_SECRET, *((name, value) for name, value in found.items() if value))


def thumbprint_alone(app: Direct) -> Seen:
    """the thumbprint, and no certificate"""
    digest = sha256(app.kinds.victim.der).hexdigest()
    value = f"Hash={digest}" if app.contract == "envoy" else digest
    return app.ask(_SECRET, (app.headers[0][0], value), *app.headers[1:])


def other_contract(app: Direct) -> Seen:
    """another contract's headers, with the secret"""
    taken = set(CONTRACTS[app.contract]().headers)
    found = [(k, v) for each in CONTRACTS if each != app.contract for k, v in forged(each, app.kinds) if k not in taken]
    return app.ask(
        _SECRET, *_nothing(app), *{k: v for k, v in found if k not in CONTRACTS[app.contract]().headers}.items()
    )


def at_conventional(app: Direct) -> Seen:
    """the proxy itself, at the conventional host"""
    return app.ask(_SECRET, *app.headers, host=ISSUER_HOST)


PAST: tuple[DirectVariant, ...] = (
    as_the_proxy, without_secret, wrong_secret, two_secrets, another_address, stranger_twins, passed_twins, passed_dots,
    passed_longer, passed_duplicates, passed_certificate, passed_verify_none, passed_large, two_leaves, trailing,
    thumbprint_alone, other_contract, at_conventional,
)  # fmt: skip


def _nothing(app: Direct) -> Headers:
    """What the proxy writes for a client without a certificate."""
    return [(name, value) for name, value in forwarded_headers(app.contract, None).items() if value]


def cell(seen: Seen, entries: list[Mapping[str, object]], own: str | None) -> str:
    """What the table says of a request that the application saw as `entries`; `own` is the client's thumbprint."""
    if any(each["thumbprint"] not in {own, None} for each in entries):
        return "FORGED"
    if leaked := sorted({str(name) for each in entries for name in each["leaked"]}):  # type: ignore[attr-defined]
        return f"LEAKED {', '.join(leaked)}"
    if len(entries) > 1:
        return "SMUGGLED"
    if seen.ended == "resumed":
        return "RESUMED"
    if not entries:
        if seen.status == 400 and b"the headers in which the proxy says" in seen.raw:
            return "certbound 400"
        return f"proxy {seen.status}" if seen.status else "closed"
    return "its own" if own is not None and entries[0]["thumbprint"] == own else "none"
