"""Files become TLS contexts.  RFC 8446, RFC 5246 with RFC 9325 (cipher suites), RFC 6066 section 3 (server names).

Rule 1: a virtual host that asks accepts any certificate or none; OpenSSL checks the proof of possession, we read the
        certificate, and nobody judges it here.
Rule 2: no session is ever resumed: a resumed one would bring a certificate that was not proven on this connection.
Rule 3: the server name chooses context and policy in one step.
Rule 4: OpenSSL builds chains even where everything is accepted; a verify depth of 0 keeps a hostile one cheap.
Rule 5: protocol versions do not follow a change of context, so they are one policy per port.
"""

from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL

from certbound.core.errors import ConfigurationError
from certbound.tls.hosts import canonical_name, covers
from certbound.tls.ports import Port, VirtualHost


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A virtual host with its files read: one generation of it, replaced whole when the files change."""

    host: VirtualHost
    index: int
    """Its place in the port's `virtual_hosts`."""
    names: frozenset[str]
    context: SSL.Context = field(repr=False)
    server_certificate: str = field(repr=False)
    """PEM of the leaf, as the ASGI TLS extension has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """Everything one port needs for a handshake."""

    all: tuple[Site, ...]
    greeting: SSL.Context = field(repr=False)
    """Where every connection starts; it asks if any virtual host does, until the server name has chosen."""

    def choose(self, name: str | None) -> Site | None:
        """The site of a server name (the first one if the client sent none); None for a name that is not ours."""
        if name is None:
            return self.all[0]
        return next((site for site in self.all if covers(site.names, name)), None)


def load_sites(port: Port) -> Sites:
    """The port's files, read.  `ConfigurationError` names the first that cannot be used."""
    if not port.virtual_hosts:
        raise ConfigurationError(f"the port {port.host}:{port.port} has no virtual host; name at least one")
    sites = tuple(_load_site(port, index, host) for index, host in enumerate(port.virtual_hosts))
    _refuse_shared_names(sites)
    asks = any(host.asks_for_certificate for host in port.virtual_hosts)
    greeting = _context(port, port.virtual_hosts[0], asks_for_certificate=asks)
    greeting.set_tlsext_servername_callback(_choose_site)
    return Sites(all=sites, greeting=greeting)


def uncertified_names(site: Site) -> list[str]:
    """Names that are served here and that the certificate does not have: whoever checks it goes away again."""
    leaf = x509.load_pem_x509_certificate(site.server_certificate.encode("ascii"))
    certified = _names_of(leaf)
    return sorted(name for name in site.names if not covers(certified, name))


def _choose_site(connection: SSL.Connection) -> None:
    """OpenSSL calls this for every ClientHello, with or without a server name in it, the one after a retry too."""
    waiting = connection.get_app_data()
    sent = connection.get_servername()
    name = canonical_name(sent.decode("latin-1")) if sent is not None else None
    # A name that is none (RFC 6066 wants ASCII) is not the absence of one.
    site = waiting.sites.choose(name if sent is None or name else "")
    waiting.site, waiting.server_name = site, name
    used = site or waiting.sites.all[0]
    if used.index or connection.get_context() is not waiting.sites.greeting:  # the greeting has the first one's files
        connection.set_context(used.context)
    if not used.host.asks_for_certificate:
        connection.set_verify(SSL.VERIFY_NONE)


def _load_site(port: Port, index: int, host: VirtualHost) -> Site:
    leaf = _read_chain(host)[0]
    configured = host.names
    names = _names_of(leaf) if configured is None else frozenset(_configured_name(host, n) for n in configured)
    if host.certified_names_too:
        names |= _names_of(leaf)
    if not names:
        raise _unusable(
            host.set_by[0],
            f"{host.certificate} names no host; issue it with subject alternative names, or give the names",
        )
    context = _context(port, host, asks_for_certificate=host.asks_for_certificate)
    pem = leaf.public_bytes(Encoding.PEM).decode("ascii")
    return Site(host=host, index=index, names=names, context=context, server_certificate=pem)


def _context(port: Port, host: VirtualHost, *, asks_for_certificate: bool) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION if port.minimum_tls == "1.3" else SSL.TLS1_2_VERSION)
    context.set_cipher_list(_TLS12_CIPHERS)
    context.set_options(
        SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"certbound")
    # An idle connection gives back its two record buffers, 16 KiB each.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_alpn_select_callback(_select_http11)
    context.set_verify_depth(0)
    if asks_for_certificate:
        context.set_verify(SSL.VERIFY_PEER, _accept_any)
    _use_files(context, host)
    return context


def _accept_any(_connection: SSL.Connection, _certificate: object, _error: int, _depth: int, _ok: int) -> bool:
    return True


def _select_http11(connection: SSL.Connection, offered: list[bytes]) -> Any:
    if b"http/1.1" in offered:
        return b"http/1.1"
    # Only an exception would end the handshake here, and pyOpenSSL keeps that in the context, which is everybody's.
    connection.get_app_data().speaks_http = False
    return SSL.NO_OVERLAPPING_PROTOCOLS


def _use_files(context: SSL.Context, host: VirtualHost) -> None:
    of_certificate, of_key = host.set_by
    leaf, *issuers = _read_chain(host)
    try:
        key = load_pem_private_key(host.key.read_bytes(), None)
    except OSError as error:
        raise _unusable(of_key, f"cannot read the key {host.key}: {error.strerror or error}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(of_key, f"{host.key} is not an unencrypted private key in PEM") from error
    if key.public_key() != leaf.public_key():
        raise _unusable(of_key, f"the key {host.key} does not belong to the certificate {host.certificate}")
    try:
        context.use_certificate(leaf)
        for issuer in issuers:
            context.add_extra_chain_cert(issuer)
        # By its file, not the key object: pyOpenSSL knows fewer kinds of key than OpenSSL (ML-DSA for one).
        context.use_privatekey_file(str(host.key))
    except (SSL.Error, TypeError, ValueError) as error:
        text = f"OpenSSL cannot serve with {host.certificate} and {host.key}: {error}"
        raise _unusable(of_certificate, text) from error


def _read_chain(host: VirtualHost) -> list[x509.Certificate]:
    path, name = host.certificate, host.set_by[0]
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise _unusable(name, f"cannot read the certificate {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise _unusable(name, f"{path} holds no certificate in PEM") from error


def _unusable(name: str, problem: str) -> ConfigurationError:
    return ConfigurationError(f"{name}: {problem}" if name else problem)


def _names_of(leaf: x509.Certificate) -> frozenset[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    found = [
        *(canonical_name(name) for name in names.get_values_for_type(x509.DNSName)),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    ]
    return frozenset(name for name in found if name)


def _configured_name(host: VirtualHost, name: str) -> str:
    canonical = canonical_name(name)
    if canonical is None:
        raise ConfigurationError(
            f"{name!r} is no host name (beside {host.certificate}); write it in ASCII, as a URL would"
        )
    return canonical


def _refuse_shared_names(sites: tuple[Site, ...]) -> None:
    seen: set[str] = set()
    for site in sites:
        if shared := seen & site.names:
            raise ConfigurationError(
                f"two virtual hosts on one port serve {min(shared)}; give each name to one of them"
            )
        seen |= site.names


_TLS12_CIPHERS = b"ECDHE+AESGCM"
"""TLS 1.2: those that RFC 9325 section 4.2 recommends, and FAPI 2.0 allows no others; TLS 1.3 has nothing weaker."""
