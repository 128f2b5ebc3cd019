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
from functools import lru_cache

import msgspec

from certbound.core.certificate import Certificate, Thumbprint
from certbound.core.errors import CertboundError, ConfigurationError
from certbound.tls.facts import Hop
from certbound.tls.header_names import require_header_name

SECRET_HEADER = "certbound-proxy-secret"  # noqa: S105
"""The header that carries the secret, unless another is declared."""
MIN_SECRET = 32
"""Characters of a secret."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NotBelieved(CertboundError):
    """Nobody whom we believe sent this request; the message is for the log."""


class Believed(msgspec.Struct, frozen=True):
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
    _networks: "_Networks" = field(init=False, repr=False, compare=False)
    _thumbprints: frozenset[Thumbprint] = field(default=frozenset(), init=False, repr=False)
    _secrets: tuple[bytes, ...] = field(default=(), init=False, repr=False)
    names_hops: bool = field(default=False, init=False, repr=False)
    """Whether it says by which way proxies come."""

    def __post_init__(self) -> None:
        require_header_name("secret_header", self.secret_header)
        object.__setattr__(self, "_networks", _Networks(tuple(map(_network, self.networks))))
        _require_somebody_else(self._networks.all)
        object.__setattr__(self, "_thumbprints", frozenset(each.thumbprint for each in self.certificates))
        object.__setattr__(self, "_secrets", tuple(map(_secret, self.secrets)))
        object.__setattr__(self, "names_hops", bool(self._networks.all or self.unix_socket or self._thumbprints))
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
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ConfigurationError(f"networks: write {text} as the IPv4 network that it is")
    return network


def _require_somebody_else(networks: Iterable[Network]) -> None:
    fours = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv4Network))
    sixes = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv6Network))
    together: list[Network] = [*fours, *sixes]
    if everybody := [each for each in together if each.prefixlen == 0]:
        raise ConfigurationError(f"networks: {everybody[0]} is everybody; name the addresses of the proxies")


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


@lru_cache(maxsize=1024)
def _is_within(address: str, networks: "_Networks") -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks.all)


class _Networks:
    """Compared by what it is and not by what it holds, so that an address is looked up in no time."""

    __slots__ = ("all",)

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self.all = networks
