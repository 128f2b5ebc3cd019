"""A certificate that is renewed while requests run, at our own server and guard over real TLS."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

import certbound.client
from certbound.client import AsyncTransport
from certbound.trust.authority import Issued
from e2e.world import RESOURCE, World, thumbprint, world

RATE = 200


def write(place: Path, issued: Issued, *, torn: bool = False) -> None:
    """As careless programs do: the certificate first, the key a while later."""
    (place / "me.pem").write_bytes(issued.chain_pem)
    if torn:
        time.sleep(0.05)
    (place / "me.key").write_bytes(issued.key_pem)


@pytest.mark.wide
async def test_renewed_under_two_hundred_requests_a_second(tmp_path: Path) -> None:
    """No request fails, neither client nor API ever mix up the two, and the old connections are gone at the end."""
    with world(tmp_path) as built:
        await asyncio.to_thread(
            built.register, "me", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="me.example"
        )
        one, two, three = (issued(built) for _ in range(3))
        write(tmp_path, one)
        async with certbound.client.open_async(
            built.issuer, "me", certificate=tmp_path / "me.pem", key=tmp_path / "me.key", resource=RESOURCE,
            api=built.api, ca=tmp_path / "ca.pem", timeout=30,
        ) as api:  # fmt: skip
            tasks = []
            begun = time.monotonic()
            for number in range(RATE * 5):
                if number in {RATE * 3 // 2, RATE * 3}:
                    renewed = two if number < RATE * 2 else three
                    tasks.append(asyncio.create_task(asyncio.to_thread(write, tmp_path, renewed, torn=True)))
                tasks.append(asyncio.create_task(status(api)))
                await asyncio.sleep(max(0, begun + (number + 1) / RATE - time.monotonic()))
            answers = Counter(await asyncio.gather(*tasks))
            transport = api._transport
            assert isinstance(transport, AsyncTransport)
            assert transport.pools._older == []
            current = transport.pools.current()
            assert current is not None
            assert current.thumbprint == thumbprint(three)
        assert answers == {200: RATE * 5, None: 2}


async def status(api: httpx.AsyncClient) -> int:
    return (await api.get("/")).status_code


def issued(built: World) -> Issued:
    return built.authority.issue("CN=me", dns=["me.example"])


def test_a_certificate_that_has_ended(tmp_path: Path) -> None:
    """The error says so, and a renewed one is picked up without a restart."""
    with world(tmp_path) as built:
        built.register("me", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="me.example")
        ended = built.authority.issue("CN=me", dns=["me.example"], now=datetime.now(UTC) - timedelta(days=2), days=1)
        write(tmp_path, ended)
        with certbound.client.open(
            built.issuer, "me", certificate=tmp_path / "me.pem", key=tmp_path / "me.key", resource=RESOURCE,
            api=built.api, ca=tmp_path / "ca.pem",
        ) as api:  # fmt: skip
            with pytest.raises(certbound.client.IdentityUnusable, match="expired at"):
                api.get("/")
            write(tmp_path, issued(built))
            time.sleep(1.05)
            assert api.get("/").status_code == 200
