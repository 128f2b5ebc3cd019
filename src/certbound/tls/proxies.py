"""Who in front of us may be believed when it says which certificate a client holds.

Rule 1: a proven hop does not prove the request: what is smuggled through it brings headers of its own.  So a secret on
each request is the norm, compared in constant time.
Rule 2: the secret can be left out only where our own listener says who the peer is, and somebody said so in words.
Rule 3: everybody is nobody: a network of all addresses stops the start.
Rule 4: what `scope["client"]` says can only narrow; servers rewrite it from a header.
"""

import hmac
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from certbound.core.certificate import Certificate, Thumbprint
from certbound.core.errors import CertboundError, ConfigurationError
from certbound.tls.facts import Hop

SECRET_HEADER = "certbound-proxy-secret"  # noqa: S105
"""The header that carries the secret, unless another is declared."""
MIN_SECRET = 32
"""Characters of a secret."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NotBelieved(CertboundError):
    """Nobody whom we believe sent this request; the message is for the log."""


@dataclass(frozen=True, slots=True)
class Believed:
    """Proof that a declared proxy sent this request."""

    by: str
    """What proved it, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """Which immediate peers may say who their clients are, and how each request proves that it is theirs.

    `ConfigurationError` for a declaration that would believe everybody, or that nobody could fulfil.
    """

    secrets: Sequence[str] = field(default=(), repr=False)
    """Any of them, ASCII, at least 32 characters; two while one is being replaced."""
    networks: Sequence[str] = ()
    """Addresses and CIDR networks of the proxies."""
    unix_socket: bool = False
    """Whether whoever reaches our listener's Unix socket is a proxy: its file permissions say who can."""
    certificates: Sequence[Certificate] = ()
    """The proxies' own client certificates, shown when they open a connection to our TLS listener."""
    secret_header: str = SECRET_HEADER
    without_secret: bool = False
    """Believe every request on a proven hop; whatever gets smuggled through the proxy is believed as well."""
    _networks: tuple[Network, ...] = field(default=(), init=False, repr=False)
    _thumbprints: frozenset[Thumbprint] = field(default=frozenset(), init=False, repr=False)
    _secrets: tuple[bytes, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_networks", tuple(map(_network, self.networks)))
        object.__setattr__(self, "_thumbprints", frozenset(each.thumbprint for each in self.certificates))
        object.__setattr__(self, "_secrets", tuple(map(_secret, self.secrets)))
        if not self.names_hops and not self.secrets:
            raise ConfigurationError(
                "nobody would be believed: give a secret that the proxy sends on each request, and its address "
                "(networks), a Unix socket or its certificate"
            )
        if self.without_secret == bool(self.secrets):
            raise ConfigurationError(
                "give a secret that the proxy sends on each request, or say without_secret, not both: without one, "
                "whoever smuggles a request through the proxy names any certificate"
                if self.secrets
                else "the proxy needs a secret to send on each request (secrets); or say without_secret, and whoever "
                "smuggles a request through the proxy names any certificate"
            )

    @property
    def names_hops(self) -> bool:
        """Whether it says by which way proxies come."""
        return bool(self._networks or self.unix_socket or self._thumbprints)

    def believe(self, hop: Hop | None, claimed_address: str | None, secrets: Sequence[bytes]) -> Believed:
        """Proof that a proxy sent the request.  `NotBelieved` otherwise.

        `hop` is what our listener says of the peer, None where another server listens, and then `claimed_address` is
        what that says; `secrets` are all values of the secret header.
        """
        # (1) Where the way of proxies is declared, the request came by it.
        way = self._way(hop, claimed_address)
        # (2) It brings the secret, once.
        if self._secrets:
            if len(secrets) != 1:
                raise NotBelieved(f"the {self.secret_header} header is there {len(secrets)} times")
            if not _is_one_of(secrets[0], self._secrets):
                raise NotBelieved(f"the {self.secret_header} header holds another secret")
        # (3) Without one, only our own listener vouches for the way.
        elif hop is None:
            raise NotBelieved(
                "without a secret only certbound's own listener can say who the peer is; another server passes on "
                "what headers say. Declare a secret"
            )
        return Believed(f"{way} and its secret" if self._secrets else way)

    def _way(self, hop: Hop | None, claimed_address: str | None) -> str:
        if not self.names_hops:
            return "any address"
        if hop is not None and hop.certificate is not None and hop.certificate.leaf.thumbprint in self._thumbprints:
            return "its certificate"
        if hop is not None and hop.is_unix and self.unix_socket:
            return "our Unix socket"
        address = hop.address if hop is not None else claimed_address
        if address is not None and _is_within(address, self._networks):
            return f"its address {address}"
        if hop is None and address is None and self.unix_socket and self._secrets:
            # Another server's Unix socket has no address, nor has a server that does not say: the secret decides.
            return "no address"
        raise NotBelieved(f"{address or 'a peer without an address'} is no declared proxy{_hint(hop)}")


def _hint(hop: Hop | None) -> str:
    return "" if hop is not None else " (if the server rewrites addresses from X-Forwarded-For, switch that off)"


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigurationError(f"networks: {text!r} is no IP address or CIDR network: {error}") from error
    if network.prefixlen == 0:
        raise ConfigurationError(f"networks: {text} is everybody; name the addresses of the proxies")
    return network


def _secret(text: str) -> bytes:
    if len(text) < MIN_SECRET or not text.isascii() or not text.isprintable() or " " in text or "," in text:
        raise ConfigurationError(
            f"secrets: one is too short or cannot stand in a header; use {MIN_SECRET} ASCII characters or more, "
            "without spaces and commas, such as `openssl rand -hex 32` prints"
        )
    return text.encode("ascii")


def _is_one_of(value: bytes, secrets: Iterable[bytes]) -> bool:
    # All are compared: how long it takes says nothing of which one it was.
    return any([hmac.compare_digest(value, each) for each in secrets])  # noqa: C419


def _is_within(address: str, networks: Iterable[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)
