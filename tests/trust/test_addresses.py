"""certbound.trust.addresses: which addresses are public, whatever they look like."""

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.trust.addresses import SystemResolver, is_public, permitted, site_of

NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1",
    "fc00::1", "fd12:3456::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0",
    "192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700:4700::1111",
    "2001:4860:4860::8888", "2a00::1", "64:ff9b::8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_addresses_that_are_not_public(text: str) -> None:
    """Loopback, private, link-local, CGNAT, multicast, reserved, documentation, and what carries another address."""
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses(text: str) -> None:
    """What stands just beside the others; NAT64 by the address that it carries."""
    assert is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_is_public_that_the_standard_library_calls_otherwise(address: IPv4Address) -> None:
    """A second opinion: `ipaddress` reads the same registries."""
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_is_public_that_the_standard_library_calls_otherwise(address: IPv6Address) -> None:
    """A second opinion: `ipaddress` reads the same registries."""
    if is_public(address):
        assert address.is_global
        assert (address.sixtofour, address.teredo, address.is_multicast) == (None, None, False)


@given(st.ip_addresses(v=4))
def test_an_address_in_disguise_is_no_more_public(address: IPv4Address) -> None:
    """Mapped, compatible, 6to4 and local NAT64 never are; well-known NAT64 as much as what it carries."""
    number = int(address)
    assert not is_public(IPv6Address(0xFFFF << 32 | number))
    assert not is_public(IPv6Address(number))
    assert not is_public(IPv6Address(0x2002 << 112 | number << 80))
    assert not is_public(IPv6Address(int(IPv6Address("64:ff9b:1::")) | number))
    assert is_public(IPv6Address(int(IPv6Address("64:ff9b::")) | number)) == is_public(address)


def test_of_several_addresses_the_public_ones_are_permitted() -> None:
    """The others are left out, in whatever place they stand; with private ones allowed nothing is."""
    mixed = [*map(ip_address, ["10.0.0.1", "8.8.8.8", "127.0.0.1", "1.1.1.1", "::1", "2a00::1"])]
    assert [str(each) for each in permitted(mixed, private=False)] == ["8.8.8.8", "2a00::1", "1.1.1.1"]
    assert set(permitted(mixed, private=True)) == set(mixed)
    assert permitted(mixed[:1], private=False) == []
    assert permitted([], private=True) == []


def test_many_addresses_of_one_place_are_one_site() -> None:
    """A machine has one IPv4 address, and a network of IPv6 addresses."""
    assert site_of(ip_address("::ffff:8.8.8.8")) == site_of(ip_address("64:ff9b::8.8.8.8")) == "8.8.8.8"
    assert site_of(ip_address("2a00::1")) == site_of(ip_address("2a00::ffff:1"))
    assert site_of(ip_address("2a00::1")) != site_of(ip_address("2a00:0:0:1::1"))


async def test_a_name_is_asked_for_once_at_a_time() -> None:
    """However many wait for it; and again when they come later."""
    resolver = SystemResolver()
    try:
        asked = [asyncio.ensure_future(resolver("localhost", 443)) for _ in range(20)]
        await asyncio.sleep(0)
        assert 1 == len(resolver._asked)
        answers = await asyncio.gather(*asked)
        assert all(each == answers[0] for each in answers)
        assert not is_public(answers[0][0])
        assert not resolver._asked
        with pytest.raises((OSError, UnicodeError)):
            await resolver("a..b", 443)
    finally:
        resolver.close()


@pytest.mark.parametrize("spelling", ["0x7f.1", "2130706433", "0177.0.0.1", "127.1", "::ffff:127.0.0.1", "::1", "0"])
async def test_odd_spellings_are_judged_by_what_they_mean(spelling: str) -> None:
    """The resolver says which address it is, and that is what is looked at."""
    resolver = SystemResolver()
    try:
        assert permitted(await resolver(spelling, 443), private=False) == []
    finally:
        resolver.close()
