"""What went over the network: as Chromium logs it of its own (--log-net-log), and as the server counts it.

And a browser with a client certificate at hand: in the NSS database of its person's home, where Chromium looks.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from playwright.async_api import BrowserContext, async_playwright

from browser.watched import CHROMIUM, SWITCHES, key_hash, needs, watched
from certbound.trust.authority import Issued
from e2e.world import World

CERTIFICATE_REQUEST = 13
"""The type of that handshake message (RFC 8446 section 4.3.2, RFC 5246 section 7.4.4)."""


@dataclass
class Log:
    """What Chromium wrote down of its network.  There once the browser has ended."""

    text: str = ""

    @cached_property
    def _read(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.text)
        return found

    def of(self, name: str) -> list[Mapping[str, Any]]:
        """The events of a type."""
        number = self._read["constants"]["logEventTypes"][name]
        return [each for each in self._read["events"] if each["type"] == number]

    @property
    def requests_for_certificates(self) -> int:
        """In handshakes, whoever was asked."""
        received = self.of("SSL_HANDSHAKE_MESSAGE_RECEIVED")
        assert received, "the log has no handshake at all"
        asked = [each for each in received if each.get("params", {}).get("type") == CERTIFICATE_REQUEST]
        return max(len(asked), len(self.of("SSL_CLIENT_CERT_REQUESTED")))

    @property
    def certificates_sent(self) -> int:
        """How often an answer to such a request had a certificate."""
        answers = self.of("SSL_CLIENT_CERT_PROVIDED")
        return sum(each["params"]["cert_count"] > 0 for each in answers)

    def knows(self, url: str) -> bool:
        """Whether its host and port stand anywhere there."""
        return urlsplit(url).netloc in self.text


@asynccontextmanager
async def visitor(
    people: World, folder: Path, *, certificate: Issued | None = None, asks: bool = False, **options: Any
) -> AsyncIterator[tuple[BrowserContext, Log]]:
    """A new browser of a person, and its log, which can be read afterwards.

    Of a `certificate` that they have it sends what a server asks for, without a word; or `asks` them which.
    """
    needs(CHROMIUM)
    log, file, home = Log(), folder / "net.json", folder / "home"
    _make_home(home, certificate)
    if not asks:
        _choose_silently(home / "profile")
    trust = f"--ignore-certificate-errors-spki-list={key_hash(people.directory / 'server.pem')}"
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            home / "profile",
            executable_path=CHROMIUM,
            env={**os.environ, "HOME": str(home)},
            args=[*SWITCHES, trust, f"--log-net-log={file}"],
            locale="en-GB",
            **options,
        )
        context.set_default_timeout(20_000)
        async with watched(context):
            try:
                yield context, log
            finally:
                await context.close()
    log.text = await asyncio.to_thread(file.read_text)


def _make_home(home: Path, certificate: Issued | None) -> None:
    """With a database of certificates, as those of people on Linux are."""
    needs("certutil")
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    (home / "profile" / "Default").mkdir(parents=True)
    _run("certutil", "-N", "-d", f"sql:{database}", "--empty-password")
    if certificate is None:
        return
    file, password = home / "certificate.p12", "of the file"
    file.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"mine",
            certificate.private_key,
            certificate.certificate,
            None,
            BestAvailableEncryption(password.encode()),
        )
    )
    _run("pk12util", "-i", str(file), "-d", f"sql:{database}", "-W", password)
    assert "mine" in _run("certutil", "-K", "-d", f"sql:{database}")


def _choose_silently(profile: Path) -> None:
    """What the policy AutoSelectCertificateForUrls of an organization becomes in a profile."""
    everywhere = json.dumps({"pattern": "*", "filter": {}})
    chosen = {"profile": {"managed_auto_select_certificate_for_urls": [everywhere]}}
    (profile / "Default" / "Preferences").write_text(json.dumps(chosen))


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


class _Counted(set[Any]):
    """Connections of a port, and how many there were."""

    were = 0

    def add(self, connection: Any) -> None:
        self.were += 1
        super().add(connection)


@dataclass
class Doors:
    """How many connections each port of a deployment took, since this was made."""

    people: World
    _counted: dict[int, _Counted] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for listener in self.people.running._listeners:
            listener.connections = self._counted[listener.port.port] = _Counted(listener.connections)

    def taken(self, url: str) -> int:
        return self._counted[urlsplit(url).port or 443].were
