"""Which addresses may be connected to, and how names become addresses (RFC 6890, IANA special-purpose registries).

Rule 1: what counts is the address that the resolver gives, so no spelling of a name or a literal matters.
Rule 2: an address is public only if it is unicast, global, and its own: one that carries another (mapped, 6to4,
Teredo) is not, except NAT64's well-known prefix, which is judged by the address it carries.
Rule 3: one name is asked for once at a time, in threads of our own: a resolver that hangs delays names, nothing else.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""From a name or literal and a port to addresses, the preferred first.  `OSError` or `UnicodeError` without any."""

THREADS = 16
"""How many names are asked for at once."""


def is_public(address: Address) -> bool:
    """Whether the address is a public one that anybody may be sent to."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_6)


def permitted(addresses: Sequence[Address], *, private: bool) -> list[Address]:
    """Those that may be connected to: the public ones, or all if `private`.

    In their order, but the first of the other family second, for one family may lead nowhere.
    """
    found = [each for each in addresses if private or is_public(each)]
    other = next((each for each in found if each.version != found[0].version), None)
    return found if other is None else [found[0], other, *(each for each in found[1:] if each != other)]


def site_of(address: Address) -> str:
    """What counts as one place when fetches are counted: an IPv4 address, or the network of an IPv6 address."""
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address in _NAT64:
        return str(IPv4Address(int(address) & 0xFFFFFFFF))
    return str(IPv6Network((int(address), 64), strict=False))


class SystemResolver:
    """The resolver of the operating system, as a `Resolve`."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="certbound-resolve")
        self._asked: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    async def __call__(self, host: str, port: int) -> list[Address]:
        """Addresses in the order that the system prefers."""
        question = host, port
        asked = self._asked.get(question)
        if asked is None:
            asked = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
            self._asked[question] = asked
            asked.add_done_callback(lambda done: self._answered(question, done))
        return await asyncio.shield(asked)

    def close(self) -> None:
        """Names in waiting are not asked for any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answered(self, question: tuple[str, int], done: asyncio.Future[list[Address]]) -> None:
        self._asked.pop(question, None)
        if not done.cancelled():
            done.exception()  # seen, though nobody may be waiting for it any more


def _look_up(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(each[4][0])) for each in found))


def _networks(*texts: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)


_NOT_PUBLIC = _networks(
    "0.0.0.0/8",  # this network
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # private
    "100.64.0.0/10",  # carrier-grade NAT
    "127.0.0.0/8",  # loopback
    "169.254.0.0/16",  # link-local; the metadata of clouds
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",  # documentation
    "192.88.99.0/24",  # 6to4 relays
    "198.18.0.0/15",  # benchmarks
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, broadcast
)  # fmt: skip

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All there is: loopback, mapped, unique local, link-local, site-local, multicast, 64:ff9b:1::/48 are outside of it."""
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC_6 = _networks(
    "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
    "2001:db8::/32", "3fff::/20",  # documentation
    "2002::/16",  # 6to4
)  # fmt: skip
