"""certbound.resource.grpc over real mutual TLS: no call passes without a token bound to its certificate (R15)."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from certbound.core.confirmation import confirm
from certbound.core.errors import ConfigurationError
from certbound.core.signing import SigningKey
from certbound.resource import FixedKeys, ProtectedResource
from certbound.resource.grpc import AsyncGuard, Forwarded, Guard, principal
from certbound.testing.forwarded import forwarded_headers
from certbound.trust.authority import Authority, Issued, self_signed
from certificates import NOW, read
from issuing import AUDIENCE, ISSUER, KEYS, token

AUTHORITY = Authority.create("gRPC")
SERVER = AUTHORITY.issue("CN=localhost", dns=["localhost"], usage="server")
OWNER = AUTHORITY.issue("CN=owner", dns=["owner.example"])
OTHER = AUTHORITY.issue("CN=other", dns=["other.example"])
SECRET = "0123456789abcdef0123456789abcdef"
SERVICE = "/bank.Accounts/"
KINDS = {"Read": (False, False), "List": (False, True), "Add": (True, False), "Chat": (True, True)}
CODES = grpc.StatusCode
CHALLENGE = (
    'Bearer error="invalid_token", error_description="the access token is not valid for this request", '
    'resource_metadata="https://api.example/.well-known/oauth-protected-resource"'
)


def api(**facts: Any) -> ProtectedResource:
    return ProtectedResource(AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS), clock=lambda: NOW, **facts)


def bound(identity: Issued = OWNER, **claims: Any) -> str:
    return token(**{"cnf": confirm(read(identity)), **claims})


@dataclass
class Outcome:
    """What the client got."""

    code: grpc.StatusCode
    messages: list[bytes] = field(default_factory=list)
    details: str = ""
    trailing: dict[str, str] = field(default_factory=dict)


@dataclass
class Bank:
    """A service: says who calls, and remembers who got through to it."""

    called: list[str] = field(default_factory=list)
    metadata: list[tuple[str, Any]] = field(default_factory=list)

    def say(self, method: str, context: Any) -> bytes:
        self.called.append(method)
        self.metadata = list(context.invocation_metadata())
        return principal().client_id.encode()

    def handlers(self) -> dict[str, Any]:
        def read_one(_: bytes, context: Any) -> bytes:
            return self.say("Read", context)

        def several(_: bytes, context: Any) -> Iterator[bytes]:
            yield self.say("List", context)
            yield self.say("List", context)

        def add(requests: Iterator[bytes], context: Any) -> bytes:
            return self.say("Add", context) + b"".join(requests)

        def chat(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
            for each in requests:
                yield self.say("Chat", context) + each

        def close(_: bytes, context: Any) -> bytes:
            principal().require("admin")
            return b"closed"

        def closing(_: bytes, context: Any) -> Iterator[bytes]:
            yield b"first"
            principal().require("admin")

        return {
            "Read": read_one, "List": several, "Add": add, "Chat": chat, "Close": close, "Closing": closing,
            "Admin": read_one, "Health": lambda _, __: b"well", "Healthy": read_one, "health": read_one,
        }  # fmt: skip

    def async_handlers(self) -> dict[str, Any]:
        async def read_one(_: bytes, context: Any) -> bytes:
            await asyncio.sleep(0)
            return self.say("Read", context)

        async def several(_: bytes, context: Any) -> Any:
            yield self.say("List", context)
            yield self.say("List", context)

        async def add(requests: Any, context: Any) -> bytes:
            return self.say("Add", context) + b"".join([each async for each in requests])

        async def chat(requests: Any, context: Any) -> None:
            async for each in requests:
                await context.write(self.say("Chat", context) + each)

        async def close(_: bytes, context: Any) -> bytes:
            principal().require("admin")
            return b"closed"

        async def closing(_: bytes, context: Any) -> Any:
            yield b"first"
            principal().require("admin")

        async def health(_: bytes, context: Any) -> bytes:
            return b"well"

        return {
            "Read": read_one, "List": several, "Add": add, "Chat": chat, "Close": close, "Closing": closing,
            "Admin": read_one, "Health": health, "Healthy": read_one, "health": read_one,
        }  # fmt: skip


def kind_of(method: str) -> tuple[bool, bool]:
    return KINDS.get(method, (False, method == "Closing"))


def generic(behaviours: dict[str, Any]) -> Any:
    made = {}
    for name, behaviour in behaviours.items():
        asks, answers = (("unary", "stream")[each] for each in kind_of(name))
        made[name] = getattr(grpc, f"{asks}_{answers}_rpc_method_handler")(behaviour)
    return grpc.method_handlers_generic_handler("bank.Accounts", made)


@dataclass
class Served:
    """A running server: its port, and what its methods saw."""

    port: int
    bank: Bank
    is_tls: bool

    def call(self, method: str = "Read", identity: Issued | None = OWNER, *metadata: tuple[str, Any]) -> Outcome:
        with self.channel(identity) as channel:
            asks, answers = (("unary", "stream")[each] for each in kind_of(method))
            ask = getattr(channel, f"{asks}_{answers}")(SERVICE + method)
            sent: Any = iter([b"1", b"2"]) if asks == "stream" else b"1"
            messages: list[bytes] = []
            try:
                if answers == "stream":
                    call = ask(sent, metadata=metadata, timeout=10)
                    messages.extend(call)
                else:
                    response, call = ask.with_call(sent, metadata=metadata, timeout=10)
                    messages.append(response)
            except grpc.RpcError as error:
                call = error
            return Outcome(call.code(), messages, call.details(), dict(call.trailing_metadata() or ()))

    def bearer(self, method: str = "Read", identity: Issued | None = OWNER, held: str | None = None) -> Outcome:
        return self.call(method, identity, ("authorization", f"Bearer {held or bound()}"))

    def channel(self, identity: Issued | None) -> Any:
        address = f"127.0.0.1:{self.port}"
        if not self.is_tls:
            return grpc.insecure_channel(address)
        key, chain = (identity.key_pem, identity.chain_pem) if identity else (None, None)
        credentials = grpc.ssl_channel_credentials(AUTHORITY.certificate_pem, key, chain)
        return grpc.secure_channel(address, credentials, [("grpc.ssl_target_name_override", "localhost")])


def open_port(server: Any, *, is_tls: bool) -> int:
    if not is_tls:
        return int(server.add_insecure_port("127.0.0.1:0"))
    pair = [(SERVER.key_pem, SERVER.chain_pem)]
    credentials = grpc.ssl_server_credentials(pair, AUTHORITY.certificate_pem, require_client_auth=True)
    return int(server.add_secure_port("127.0.0.1:0", credentials))


@contextlib.contextmanager
def threads(*, is_tls: bool = True, **facts: Any) -> Iterator[Served]:
    bank = Bank()
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, interceptors=[Guard(facts.pop("api", None) or api(), **facts)])
        server.add_generic_rpc_handlers((generic(bank.handlers()),))
        port = open_port(server, is_tls=is_tls)
        server.start()
        yield Served(port, bank, is_tls)
        server.stop(None).wait()


@contextlib.contextmanager
def on_a_loop(behaviours: Callable[[Bank], dict[str, Any]], *, is_tls: bool = True, **facts: Any) -> Iterator[Served]:
    bank = Bank()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> tuple[Any, int]:
        guard = AsyncGuard(facts.pop("api", None) or api(), **facts)
        server = grpc.aio.server(ThreadPoolExecutor(2), interceptors=[guard])
        server.add_generic_rpc_handlers((generic(behaviours(bank)),))
        port = open_port(server, is_tls=is_tls)
        await server.start()
        return server, port

    server, port = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        yield Served(port, bank, is_tls)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


SERVERS: dict[str, Callable[..., Any]] = {
    "threads": threads,
    "aio": lambda **facts: on_a_loop(Bank.async_handlers, **facts),
    "threads of aio": lambda **facts: on_a_loop(Bank.handlers, **facts),
}
FACTS: dict[str, Any] = {
    "scopes": {f"{SERVICE}Admin": {"admin"}, f"{SERVICE}*": {"read"}},
    "open_methods": {f"{SERVICE}Health"},
}


@pytest.fixture(scope="module", params=SERVERS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with SERVERS[request.param](**FACTS) as running:
        yield running


@pytest.fixture(scope="module", params=SERVERS)
def proxied(request: pytest.FixtureRequest) -> Iterator[Served]:
    declared = Forwarded("envoy", secrets=[SECRET], networks=["127.0.0.1"])
    with SERVERS[request.param](is_tls=False, forwarded=declared, **FACTS) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "messages"),
    [("Read", [b"a"]), ("List", [b"a", b"a"]), ("Add", [b"a12"]), ("Chat", [b"a1", b"a2"])],
)
def test_the_owner_is_known_in_all_kinds_of_calls(served: Served, method: str, messages: list[bytes]) -> None:
    """In the context of the call, wherever the method runs."""
    assert (CODES.OK, messages) == ((found := served.bearer(method)).code, found.messages), found


@pytest.mark.parametrize("method", KINDS)
def test_a_stolen_token_is_worthless_in_all_kinds_of_calls(served: Served, method: str) -> None:
    """UNAUTHENTICATED, the challenge in the trailing metadata, and the method is never reached (R15)."""
    served.bank.called.clear()

    found = served.bearer(method, OTHER)

    assert (CODES.UNAUTHENTICATED, [], CHALLENGE) == (found.code, found.messages, found.trailing["www-authenticate"])
    assert 16 == len(found.trailing["certbound-request-id"])
    assert [] == served.bank.called


REFUSED: dict[str, tuple[Sequence[tuple[str, str]], grpc.StatusCode]] = {
    "no token": ((), CODES.UNAUTHENTICATED),
    "another scheme": ((("authorization", "Basic YTpi"),), CODES.UNAUTHENTICATED),
    "two tokens": ((("authorization", "Bearer {}"), ("authorization", "Bearer {}")), CODES.INVALID_ARGUMENT),
    "two in one": ((("authorization", "Bearer {}, Bearer {}"),), CODES.INVALID_ARGUMENT),
    "binary metadata": ((("authorization-bin", b"Bearer x"),), CODES.UNAUTHENTICATED),
    "no JWT": ((("authorization", "Bearer abc"),), CODES.UNAUTHENTICATED),
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_token_in_its_place_or_none(served: Served, case: str) -> None:
    """As over HTTP."""
    metadata, code = REFUSED[case]
    held = bound()
    given = [(name, value.replace("{}", held) if isinstance(value, str) else value) for name, value in metadata]
    served.bank.called.clear()

    assert (code, []) == (served.call("Read", OWNER, *given).code, served.bank.called)


@pytest.mark.parametrize(
    "claims",
    [{"exp": int(NOW) - 120}, {"cnf": ...}, {"aud": "https://other.example"}, {"iss": "https://evil.example"}],
    ids=["expired", "unbound", "for another", "of a stranger"],
)
def test_what_the_token_says_is_judged(served: Served, claims: dict[str, Any]) -> None:
    """UNAUTHENTICATED for what is 401 over HTTP."""
    assert CODES.UNAUTHENTICATED is served.bearer(held=bound(**claims)).code
    assert CODES.UNAUTHENTICATED is served.bearer(held=token(key=SigningKey.generate(), cnf=confirm(read(OWNER)))).code


def test_methods_need_what_the_table_says(served: Served) -> None:
    """Its own scopes and those of its service; PERMISSION_DENIED says which."""
    few, none = served.bearer("Admin"), served.bearer(held=bound(scope="write"))

    assert [CODES.PERMISSION_DENIED] * 2 == [few.code, none.code]
    assert 'scope="admin read"' in few.trailing["www-authenticate"]
    assert CODES.OK is served.bearer("Admin", held=bound(scope="read admin")).code


@pytest.mark.parametrize(("method", "messages"), [("Close", []), ("Closing", [b"first"])])
def test_a_method_can_ask_for_more(served: Served, method: str, messages: list[bytes]) -> None:
    """Also after the first message: the call ends with PERMISSION_DENIED and the scope."""
    found = served.bearer(method)

    assert (CODES.PERMISSION_DENIED, messages) == (found.code, found.messages)
    assert 'scope="admin"' in found.trailing["www-authenticate"]


def test_only_what_is_named_is_open(served: Served) -> None:
    """The health check needs no token; a name beside it is not it."""
    assert (CODES.OK, [b"well"]) == ((found := served.call("Health")).code, found.messages)
    assert CODES.OK is not served.call("Health/").code
    for near in ("Healthy", "health"):
        assert CODES.UNAUTHENTICATED == served.call(near).code, near


@pytest.mark.parametrize("identity", [None, self_signed("CN=own")], ids=["none", "self-signed"])
def test_what_no_authority_issued_does_not_get_in(served: Served, identity: Issued | None) -> None:
    """gRPC for Python verifies or does not ask: the handshake fails, however the token is bound."""
    served.bank.called.clear()
    held = bound(identity) if identity else bound()

    assert (CODES.UNAVAILABLE, []) == (served.bearer(identity=identity, held=held).code, served.bank.called)


def test_no_metadata_stands_for_a_certificate(served: Served) -> None:
    """Where no proxy is declared, nothing that a client writes is read (R27)."""
    forged = forwarded_headers("envoy", OWNER.certificate)
    given = [("authorization", f"Bearer {bound()}"), *forged.items(), ("certbound-proxy-secret", SECRET)]

    assert CODES.UNAUTHENTICATED is served.call("Read", OTHER, *given).code


def forwarded(identity: Issued | None, secret: str | None = SECRET, **more: str) -> list[tuple[str, str]]:
    said = forwarded_headers("envoy", identity.certificate if identity else None)
    given = [("authorization", f"Bearer {bound()}"), *said.items()]
    return [*given, *([("certbound-proxy-secret", secret)] if secret else []), *more.items()]


@pytest.mark.parametrize("method", KINDS)
def test_behind_a_declared_proxy_the_owner_passes_and_the_thief_does_not(proxied: Served, method: str) -> None:
    """By what Envoy writes into the metadata; methods see neither that nor the secret."""
    found = proxied.call(method, None, *forwarded(OWNER))

    assert CODES.OK is found.code, found
    assert {"authorization", "user-agent"} == {name for name, _ in proxied.bank.metadata}
    assert CODES.UNAUTHENTICATED is proxied.call(method, None, *forwarded(OTHER)).code
    assert CODES.UNAUTHENTICATED is proxied.call(method, None, *forwarded(None)).code


def test_whoever_lacks_the_secret_is_no_proxy(proxied: Served, caplog: pytest.LogCaptureFixture) -> None:
    """What it says of certificates is removed and logged."""
    with caplog.at_level(logging.WARNING, "certbound.security"):
        codes = [proxied.call("Read", None, *forwarded(OWNER, secret)).code for secret in (None, "f" * 32)]

    assert [CODES.UNAUTHENTICATED] * 2 == codes
    assert "x-forwarded-client-cert" in caplog.text
    assert SECRET not in caplog.text


def test_a_twin_from_a_believed_proxy_is_refused(proxied: Served) -> None:
    """INVALID_ARGUMENT, as 400 over HTTP: it cannot be an accident."""
    other = forwarded_headers("envoy", OTHER.certificate)["x-forwarded-client-cert"]
    twice = [*forwarded(OWNER), ("x-forwarded-client-cert", other)]

    assert CODES.INVALID_ARGUMENT is proxied.call("Read", None, *forwarded(OWNER, x_forwarded_client_cert=other)).code
    assert CODES.INVALID_ARGUMENT is proxied.call("Read", None, *twice).code


@pytest.mark.parametrize("server", SERVERS)
def test_a_proxys_own_certificate_is_nobodys(server: str) -> None:
    """Where a proxy is declared, what it says counts alone: its token must not be its client's."""
    declared = Forwarded("envoy", secrets=[SECRET], networks=["127.0.0.1"])
    with SERVERS[server](forwarded=declared) as running:
        found = [running.bearer(), running.call("Read", OWNER, *forwarded(None)), running.call("Read", OWNER)]
        owner = running.call("Read", OTHER, *forwarded(OWNER))

    assert [CODES.UNAUTHENTICATED] * 3 == [each.code for each in found]
    assert CODES.OK is owner.code


def test_a_proxy_without_a_secret_cannot_be_declared() -> None:
    """Its address proves no call."""
    with pytest.raises(ConfigurationError, match="secret"):
        Forwarded("envoy", secrets=[], networks=["127.0.0.1"])


@pytest.mark.parametrize("server", SERVERS)
def test_an_issuer_that_is_silent_makes_the_call_unavailable(server: str, unused_issuer: str) -> None:
    """UNAVAILABLE, which clients repeat."""
    silent = ProtectedResource(AUDIENCE, issuer=unused_issuer, clock=lambda: NOW)
    with SERVERS[server](api=silent) as running:
        assert CODES.UNAVAILABLE is running.bearer(held=bound(iss=unused_issuer)).code
        assert [] == running.bank.called


@pytest.fixture
def unused_issuer() -> str:
    return "https://127.0.0.1:1"


def test_without_a_guard_nobody_is_known() -> None:
    """The error names the next step."""
    with pytest.raises(LookupError, match=r"interceptors=\[Guard\(api\)\]"):
        principal()


@pytest.mark.parametrize(
    "facts",
    [{"scopes": {"Read": {"read"}}}, {"scopes": {"/a.B/C": {'"'}}}, {"open_methods": {"/a.B/*"}}],
    ids=["no method", "no scope", "open service"],
)
def test_names_that_are_none_stop_the_start(facts: dict[str, Any]) -> None:
    """A typing error must not open a method."""
    with pytest.raises(ConfigurationError):
        Guard(api(), **facts)
