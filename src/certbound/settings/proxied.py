"""What makes no sense in the table [proxy], or beside it: the table, the key, and what is wrong with it."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from certbound.core.errors import ConfigurationError
from certbound.settings.proxy import Proxy
from certbound.settings.tables import Settings
from certbound.tls.forwarded.contracts import contract_of
from certbound.tls.forwarded.reading import ForwardedReader
from certbound.tls.hosts import is_loopback
from certbound.tls.proxies import MIN_SECRET, Proxies

Found = tuple[str, str, str]
"""A table, one of its keys, and how a sentence about it ends."""


def contradictions(settings: Settings) -> Iterator[Found]:
    """Each problem."""
    if settings.proxy.contract is None:
        yield from _without(settings)
    else:
        yield from _of_server(settings)
        yield from _of_place(settings)
        yield from _of_words(settings.proxy)


def _without(settings: Settings) -> Iterator[Found]:
    unset = Proxy()
    for key in Proxy.__struct_fields__:
        if getattr(settings.proxy, key) != getattr(unset, key):
            yield "proxy", key, "is set but proxy.contract is not; name what the proxy speaks, or remove this"
    for key, end in _ENDS.items():
        if getattr(settings.server, key) is None:
            text = (
                f'is missing; write under [server], for example: {key} = "as.example.{end}"; '
                "or say under [proxy] what ends TLS in front"
            )
            yield "server", key, text


def _of_server(settings: Settings) -> Iterator[Found]:
    server = settings.server
    for key in ("mtls_port", "mtls_certificate", "mtls_key"):
        if getattr(server, key) is not None:
            yield "server", key, "is set and proxy.contract is too, but then the proxy tells the hosts apart; remove it"
    for key, other in (("certificate", "key"), ("key", "certificate")):
        if getattr(server, key) is not None and getattr(server, other) is None:
            yield "server", key, f"is set but server.{other} is not; set both, or neither behind a proxy"
    if server.mtls_url is not None and _host(server.mtls_url) == _host(server.issuer):
        text = (
            f"has the issuer's host {_host(server.issuer)!r}; behind a proxy the Host header tells the two apart, so "
            "mutual TLS needs a name of its own"
        )
        yield "server", "mtls_url", text
    if settings.admin.port is not None and settings.admin.tls and server.certificate is None:
        yield "admin", "tls", "is set but server.certificate is not; set it, or remove this"


def _of_place(settings: Settings) -> Iterator[Found]:
    proxy, server = settings.proxy, settings.server
    speaks_tls = server.certificate is not None
    if proxy.socket is not None and speaks_tls:
        yield "proxy", "socket", "is set and server.certificate is too; a Unix socket needs no TLS: remove one"
    if proxy.certificates and not speaks_tls:
        yield "proxy", "certificates", "is set but server.certificate is not; without TLS the proxy cannot show one"
    is_open = proxy.socket is None and not speaks_tls and not is_loopback(server.host)
    if is_open and not proxy.plaintext:
        text = (
            f"{server.host!r} is reached by others, and without server.certificate tokens and secrets cross the "
            "network in the clear; set server.certificate and server.key, or proxy.socket, or proxy.plaintext if that "
            "network is yours alone"
        )
        yield "server", "host", text
    if proxy.plaintext and not is_open:
        yield "proxy", "plaintext", "is set, but nothing is spoken in the clear where others reach it; remove it"


def _of_words(proxy: Proxy) -> Iterator[Found]:
    if odd := [each for each in proxy.headers if "=" not in each]:
        yield "proxy", "headers", f"has {odd[0]!r:.80}; write each as what=name, such as certificate=ssl-client-cert"
        return
    try:
        contract = contract_of(str(proxy.contract), **proxy.renamed)
    except ConfigurationError as error:
        yield "proxy", "headers", f"cannot be: {error}"
        return
    try:
        Proxies(secrets=[proxy.secret] if proxy.secret else ["-" * MIN_SECRET])
    except ConfigurationError:
        yield "proxy", "secret", f"must be {MIN_SECRET} ASCII characters or more, without spaces and commas"
        return
    try:
        Proxies(networks=proxy.networks, unix_socket=True, without_secret=True)
    except ConfigurationError as error:
        yield "proxy", "networks", f"cannot be: {str(error).removeprefix('networks: ')}"
        return
    yield from _of_proof(proxy)
    try:
        ForwardedReader(contract, _stand_in(proxy))
    except ConfigurationError as error:
        yield "proxy", "secret_header", f"cannot be: {str(error).removeprefix('secret_header: ')}"
        return
    address = proxy.client_address_header
    if address is not None and (not _NAME.fullmatch(address) or address in {*contract.headers, proxy.secret_header}):
        yield "proxy", "client_address_header", f"must be a header of its own, in lower case, not {address!r:.80}"


def _of_proof(proxy: Proxy) -> Iterator[Found]:
    has_secret = bool(proxy.secret or proxy.secret_files)
    if proxy.without_secret and has_secret:
        key = "secret" if proxy.secret else "secret_files"
        yield "proxy", "without_secret", f"is set and proxy.{key} is too; remove one"
    if not proxy.without_secret and not has_secret:
        text = (
            "is missing, and without it whoever smuggles a request through the proxy names any certificate; give it, "
            "or secret_files, for example: openssl rand -hex 32 > proxy.secret"
        )
        yield "proxy", "secret", text
    if not (proxy.networks or proxy.socket or proxy.certificates):
        text = (
            'is missing; name the addresses of the proxy, for example: networks = ["127.0.0.1"], or its socket or '
            "certificates"
        )
        yield "proxy", "networks", text


def _stand_in(proxy: Proxy) -> Proxies:
    """Who may be believed, as far as it does not stand in files."""
    return Proxies(secrets=["-" * MIN_SECRET], networks=proxy.networks, secret_header=proxy.secret_header)


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").removesuffix(".")


_ENDS = {"certificate": "pem", "key": "key"}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
