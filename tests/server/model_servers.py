"""Two processes of one server, as near as a test comes: two services on one SQLite file, asked without HTTP.

Certificates are as TLS gives them, time is that of the calls and goes on when the test says so, for keys too.
"""

import asyncio
import contextlib
import json
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import asserting
from certbound.app import open_registry, open_service
from certbound.core.certificate import PeerCertificate
from certbound.core.errors import OAuthError
from certbound.core.grants import refresh_token, token_exchange
from certbound.core.jwks import make_jwks
from certbound.core.succession import Schedule
from certbound.server.call import Call, Form, Reply
from certbound.server.clients import ClientRegistry
from certbound.server.key_keeper import KeyKeeper
from certbound.server.service import Service
from certbound.settings import load
from certbound.trust.authority import Authority, Issued, self_signed
from certificates import peer, read
from server.model_things import BASIC, JWT, METHODS, OWN, PKI, POST, Card, Client, Shown

SIGNED, OPAQUE = "https://api.example", "https://opaque.example"
LIFETIME, GRACE, GRANT, LEAD = 300, 10, 1000, 60
TYPES = ["client_credentials", refresh_token.GRANT_TYPE, token_exchange.GRANT_TYPE]
TOML = """
[server]
issuer = "https://as.example"
certificate = "unused.pem"
key = "unused.key"
[keys]
rotate_days = 0
[tokens]
scopes = ["read", "write"]
resources = ["{signed}", "{opaque}"]
opaque = ["{opaque}"]
lifetime = {lifetime}
bind = "{bind}"
refresh_lifetime = {grant}
refresh_grace = {grace}
refresh_rotation = "{rotation}"
[trust]
anchors = ["anchors.pem"]
[authentication]
methods = {methods}
[store]
url = "sqlite:///{store}"
"""


@cache
def authorities() -> dict[str, Authority]:
    return {name: Authority.create(name) for name in ("first", "second")}


@cache
def issued(card: Card) -> Issued:
    if not card.authority:
        return self_signed(f"CN={card.name}")
    return authorities()[card.authority].issue(f"CN={card.name}", dns=[card.subject])


@cache
def thumbprint(card: Card) -> str:
    return str(read(issued(card)).thumbprint)


@cache
def _peer(card: Card) -> PeerCertificate:
    return peer(issued(card))


def metadata(client: Client) -> dict[str, Any]:
    """All that depends on how it authenticates; None is absence."""
    jwks = {JWT: asserting.jwks(asserting.key("own")), OWN: client.card and make_jwks([read(issued(client.card))])}
    return {
        "token_endpoint_auth_method": client.method,
        "tls_client_auth_san_dns": client.card.subject if client.card and client.method == PKI else None,
        "jwks": jwks.get(client.method),
        "tls_client_certificate_bound_access_tokens": client.flag,
    }


def make_call(now: float, name: str, shown: Shown, card: Card | None, **form: str) -> Call:
    header: tuple[bytes, ...] = ()
    if shown.method == BASIC:
        header = (b"Basic " + b64encode(f"{name}:{shown.value}".encode()),)
    else:
        form["client_id"] = name
    if shown.method == POST:
        form["client_secret"] = shown.value
    if shown.method == JWT:
        by = asserting.key("own" if shown.good else "thief")
        form |= asserting.form(
            asserting.assertion(name, by=by, now=now, audience="https://as.example", jti=shown.value)
        )
    certificate = None if card is None else _peer(card)
    return Call(now=now, peer=certificate, form=Form({key: [each] for key, each in form.items()}), authorization=header)


class Servers:
    """`services` are the processes; `registry` is what a command would use."""

    services: list[Service]
    registry: ClientRegistry

    def __init__(self, *, binds_all: bool, rotates_all: bool, clock: Callable[[], float]) -> None:
        shm = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="certbound-model-", dir=shm if shm.is_dir() else None))
        (self.folder / "anchors.pem").write_bytes(b"".join(each.certificate_pem for each in authorities().values()))
        self.clock = clock
        self.reason = ""
        """Of the last refusal."""
        self._loop = asyncio.new_event_loop()
        self._stack = contextlib.AsyncExitStack()
        self._options = {
            "bind": "always" if binds_all else "requested", "rotation": "always" if rotates_all else "unbound",
        }  # fmt: skip

    def open(self, file: Path) -> None:
        text = TOML.format(
            signed=SIGNED, opaque=OPAQUE, lifetime=LIFETIME, grant=GRANT, grace=GRACE, store=file,
            methods=json.dumps([*METHODS]), **self._options,
        )  # fmt: skip
        (self.folder / "certbound.toml").write_text(text)
        self.file = file
        self.run(self._open())

    async def _open(self) -> None:
        settings = load(self.folder / "certbound.toml", {})
        self._stack = contextlib.AsyncExitStack()
        services = [await self._stack.enter_async_context(open_service(settings)) for _ in range(2)]
        schedule = Schedule(period=None, lead=LEAD, kept=LIFETIME)
        self.keepers = [KeyKeeper(each.store, alg="ES256", schedule=schedule, clock=self.clock) for each in services]
        rings = [await each.open() for each in self.keepers]
        self.services = [replace(each, keys=ring) for each, ring in zip(services, rings, strict=True)]
        registry = await self._stack.enter_async_context(open_registry(settings))
        self.registry = replace(registry, now=self.clock)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def settle(self) -> None:
        """Every process has heard: what takes it a second at most."""

        async def go() -> None:
            for service, keeper in zip(self.services, self.keepers, strict=True):
                await service.clients.refresh()
                await keeper.step()

        self.run(go())

    async def answer(self, endpoint: Callable[[Call, Service], Awaitable[Reply]], call: Call, at: int) -> Any:
        """The JSON of the answer, or the error's code."""
        try:
            return json.loads((await endpoint(call, self.services[at % 2])).body or b"{}")
        except OAuthError as refusal:
            self.reason = refusal.reason
            return refusal.error

    def crash(self, work: Coroutine[Any, Any, Any], turns: int) -> None:
        """What processes leave that are killed so many turns after they began with `work` is what others open."""
        after = self.file.with_name(f"{self.file.stem}-again.sqlite")

        async def go() -> None:
            working = asyncio.ensure_future(work)
            for _ in range(turns):
                await asyncio.sleep(0)
            for suffix in ("", "-wal"):
                if (source := Path(f"{self.file}{suffix}")).exists():
                    shutil.copy(source, f"{after}{suffix}")  # and its mode
            await working

        self.run(go())
        self.close()
        self.open(after)
        self.settle()

    def close(self) -> None:
        self.run(self._stack.aclose())

    def end(self) -> None:
        self.close()
        self.run(self._loop.shutdown_default_executor())
        self._loop.close()
        shutil.rmtree(self.folder)
