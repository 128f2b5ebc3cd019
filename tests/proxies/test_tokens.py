"""The authorization server and an API behind the same proxy: tokens are bound through it, and a stolen one fails."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from certbound.app import make_ports
from certbound.cli.proxies import IDENTITY_HEADERS, KINDS
from certbound.cli.proxies import METHOD_HEADERS as OVERRIDES
from certbound.resource import Guard, ProtectedResource
from certbound.resource.forward_auth import METHOD_HEADER, METHOD_HEADERS, PATH_HEADER, PATH_HEADERS, ForwardAuth
from certbound.trust.authority import Issued
from e2e.world import RESOURCE, World, _settings, free_port, sample_api, thumbprint
from proxies.frame import (
    HOST,
    ISSUER_HOST,
    SECRET,
    Kinds,
    Observer,
    Program,
    Proxied,
    Seen,
    behind,
    served,
    serving,
    wrapped,
)
from proxies.programs import PROGRAMS
from proxies.variants import forged, spelled

pytestmark = pytest.mark.proxies


@dataclass(frozen=True)
class Behind:
    """Server and API, each behind the proxy; and an API in any language about which the proxy asks, if it can."""

    server: Proxied
    api: Proxied
    owner: Issued
    asking: Proxied | None
    observer: Observer

    def token_request(self, identity: Issued | None, *headers: tuple[str, str], host: str = HOST) -> Seen:
        body = urlencode({"grant_type": "client_credentials", "client_id": "owner"}).encode()
        form = ("Content-Type", "application/x-www-form-urlencoded")
        return self.server.ask(identity, form, *headers, method="POST", path="/token", body=body, name=host, host=host)

    def token(self) -> str:
        answer = self.token_request(self.owner)
        assert 200 == answer.status, (answer, self.server.log)
        return str(answer.json["access_token"])

    def call(self, token: str, identity: Issued | None, *headers: tuple[str, str]) -> Seen:
        return self.api.ask(identity, ("Authorization", f"Bearer {token}"), *headers)


ASKING = [each for each in PROGRAMS if "guard" in KINDS[each.name].purposes]
"""Those that ask a service about a request."""


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda each: each.name)
def both(request: pytest.FixtureRequest, kinds: Kinds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    program: Program = request.param
    folder = tmp_path_factory.mktemp(f"{program.name}-tokens")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_server(program, folder, kinds))
        api = stack.enter_context(_api(program, folder, kinds, f"https://{ISSUER_HOST}:{server.port}"))
        owner = kinds["CA-signed"]
        assert owner is not None
        observer, asking = Observer(program.name), None
        if "guard" in KINDS[program.name].purposes:
            issuer = f"https://{ISSUER_HOST}:{server.port}"
            asking = stack.enter_context(_asking(program, folder, kinds, issuer, observer))
        yield Behind(server, api, owner, asking, observer)


@contextlib.contextmanager
def _server(program: Program, above: Path, kinds: Kinds) -> Iterator[Proxied]:
    """The authorization server as its settings describe it."""
    folder, data = above / "server", above / "data"
    folder.mkdir()
    data.mkdir()
    (data / "proxy.secret").write_text(SECRET)
    public, inside = free_port(), free_port()
    given: dict[str, Any] = {
        "server__issuer": f"https://{ISSUER_HOST}:{public}", "server__mtls_url": f"https://{HOST}:{public}",
        "server__port": inside, "server__mtls_port": None, "server__certificate": None, "server__key": None,
        "proxy__contract": program.name, "proxy__networks": ["127.0.0.1"], "proxy__secret_files": ["proxy.secret"],
        "proxy__client_address_header": "x-forwarded-for",
    }  # fmt: skip
    settings = _settings(data, kinds.authority, given)
    deployment = World(data, kinds.authority, settings)
    deployment.loop.close()  # it runs nothing itself
    deployment.register("owner", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="client.example")
    with (
        serving(make_ports(settings)),
        behind(program, f"127.0.0.1:{inside}", folder, kinds, purpose="server", port=public) as proxied,
    ):
        yield proxied


@contextlib.contextmanager
def _api(program: Program, above: Path, kinds: Kinds, issuer: str) -> Iterator[Proxied]:
    folder, ca = above / "api", above / "ca.pem"
    folder.mkdir()
    ca.write_bytes(kinds.authority.certificate_pem)
    guarded = Guard(sample_api, ProtectedResource(RESOURCE, issuer=issuer, scopes={"read"}, issuer_ca=str(ca)))
    with (
        served(wrapped(guarded, program.name), websockets=True) as inside,
        behind(program, f"127.0.0.1:{inside}", folder, kinds) as proxied,
    ):
        yield proxied


@contextlib.contextmanager
def _asking(program: Program, above: Path, kinds: Kinds, issuer: str, observer: Observer) -> Iterator[Proxied]:
    folder = above / "asking"
    folder.mkdir()
    resource = ProtectedResource(RESOURCE, issuer=issuer, scopes={"read"}, issuer_ca=str(above / "ca.pem"))
    asked = ForwardAuth(
        resource,
        routes={"/accounts": set(), "/payments": {"pay"}, "GET /rates": set(), "PUT /rates": {"pay"}},
        path_header=PATH_HEADERS.get(program.name, PATH_HEADER),
        method_header=METHOD_HEADERS.get(program.name, METHOD_HEADER),
    )
    with (
        served(observer) as inside,
        served(wrapped(asked, program.name)) as guard,
        behind(
            program, f"127.0.0.1:{inside}", folder, kinds, purpose="guard", options=["--guard", f"127.0.0.1:{guard}"]
        ) as proxied,
    ):
        yield proxied


def test_the_owner_obtains_and_uses_a_token(both: Behind) -> None:
    """Twice: the second time nothing is looked up."""
    token = both.token()
    for _ in range(2):
        answer = both.call(token, both.owner)
        assert (200, "owner") == (answer.status, answer.json and answer.json["client_id"]), (answer, both.api.log)


@pytest.mark.parametrize("kind", ["none", "self-signed", "unknown CA", "expired"])
def test_a_stolen_token_fails(both: Behind, kinds: Kinds, kind: str) -> None:
    """With any other certificate, though it has the owner's names, and with the owner's own in every header."""
    token = both.token()
    thief = kinds[kind]
    name = both.api.program.name
    owners = forged(name, Kinds(kinds.authority, kinds.all, both.owner))
    tries: list[list[tuple[str, str]]] = [
        [], owners, owners[:1], spelled(owners, "_"), spelled(owners, "."), [*owners, *owners],
        [("Connection", ", ".join(["close", *(each for each, _ in owners)])), *owners],
    ]  # fmt: skip
    for headers in tries:
        answer = both.call(token, thief, *headers)
        assert answer.status in {0, 400, 401}, (headers, answer)
        assert answer.status == 401 or headers or kind == "expired"
    assert 200 == both.call(token, both.owner).status


@pytest.mark.parametrize("kind", ["none", "self-signed", "unknown CA"])
def test_nobody_else_obtains_one(both: Behind, kinds: Kinds, kind: str) -> None:
    """Neither with another certificate, nor with the owner's in headers."""
    owners = forged(both.server.program.name, Kinds(kinds.authority, kinds.all, both.owner))
    assert 401 == both.token_request(kinds[kind]).status
    assert both.token_request(kinds[kind], *owners).status in {400, 401}
    assert both.token_request(kinds[kind], *spelled(owners, "_")).status in {400, 401}


def test_the_conventional_host_hears_of_no_certificate(both: Behind) -> None:
    """Though the client has one, and would show it."""
    assert 401 == both.token_request(both.owner, host=ISSUER_HOST).status


def test_a_token_request_in_early_data_is_not_answered(both: Behind) -> None:
    """RFC 8470: it could have been sent again by anybody."""
    assert 425 == both.token_request(both.owner, ("Early-Data", "1")).status


def test_a_websocket_to_a_guarded_path_is_refused(both: Behind) -> None:
    """Without a token nobody is let through, whatever the protocol."""
    upgrade = [
        ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]  # fmt: skip
    assert both.api.ask(both.owner, *upgrade).status in {400, 401, 403}


@pytest.mark.parametrize("both", ASKING, ids=lambda each: each.name, indirect=True)
def test_an_api_in_any_language_hears_who_calls(both: Behind, kinds: Kinds) -> None:
    """The proxy asks the guard: the owner passes, a stolen token and a path that nobody serves do not."""
    assert both.asking is not None
    token = both.token()
    forged_names = [(name, "forged") for name in IDENTITY_HEADERS]
    bearer = ("Authorization", f"Bearer {token}")
    both.observer.seen.clear()
    answer = both.asking.ask(both.owner, bearer, *forged_names, path="/accounts/1?a=b")
    assert 200 == answer.status, (answer, both.asking.log)
    [seen] = both.observer.seen
    told = {name: value for name, value in seen["headers"] if name in IDENTITY_HEADERS}
    assert ("owner", "read write", "owner") == tuple(
        told.get(f"certbound-{each}") for each in ("client-id", "scope", "subject")
    )
    assert thumbprint(both.owner) == told["certbound-thumbprint"]
    both.observer.seen.clear()
    names = forged(both.asking.program.name, Kinds(kinds.authority, kinds.all, both.owner))
    for kind in ("none", "self-signed", "unknown CA"):
        stolen = both.asking.ask(kinds[kind], bearer, path="/accounts/1")
        assert 401 == stolen.status, (kind, stolen)
        assert "oauth-protected-resource" in stolen.headers["www-authenticate"]
        assert both.asking.ask(kinds[kind], bearer, *names, path="/accounts/1").status in {400, 401}
    for path in ("/", "/other", "/accounts/../other", "/accounts/%2e%2e/other", "//accounts", "/accounts;a=b/../x"):
        # Refused; or made plain by the proxy before anybody reads it, and then below the route for both.
        both.observer.seen.clear()
        answer = both.asking.ask(both.owner, bearer, path=path)
        served_paths = [each["path"] for each in both.observer.seen]
        assert answer.status in {400, 403, 404} or served_paths == ["/accounts"], (path, served_paths)
    both.observer.seen.clear()
    lacking = both.asking.ask(both.owner, bearer, path="/payments")
    assert 403 == lacking.status
    assert 'error="insufficient_scope"' in lacking.headers["www-authenticate"]
    assert [] == both.observer.seen


@pytest.mark.parametrize("both", ASKING, ids=lambda each: each.name, indirect=True)
def test_the_guard_hears_the_method_that_the_api_gets(both: Behind) -> None:
    """What no route names is closed; whatever a client writes into headers, the method is that of its request."""
    assert both.asking is not None
    bearer = ("Authorization", f"Bearer {both.token()}")
    said = [(name, "GET") for name in ("X-Original-Method", "X-Forwarded-Method", *OVERRIDES)]
    for method, status in (("GET", 200), ("HEAD", 200), ("POST", 403), ("PUT", 403), ("DELETE", 403), ("OPTIONS", 403)):
        both.observer.seen.clear()
        answer = both.asking.ask(both.owner, bearer, *said, path="/rates/eur", method=method)
        assert status == answer.status, (method, answer)
        assert [method] * (status == 200) == [each["method"] for each in both.observer.seen]
    said = [(name, "DELETE") for name in ("X-Original-Method", "X-Forwarded-Method", *OVERRIDES)]
    assert 200 == both.asking.ask(both.owner, bearer, *said, path="/rates/eur").status
    [seen] = both.observer.seen[-1:]
    assert not {name for name, _ in seen["headers"]} & {*OVERRIDES}
    for method in ("get", "Get", "delete"):
        answer = both.asking.ask(both.owner, bearer, path="/rates/eur", method=method)
        assert answer.status in {0, 400, 403, 405, 501} or both.observer.seen[-1]["method"] == "GET", (method, answer)


@pytest.mark.parametrize("both", ASKING, ids=lambda each: each.name, indirect=True)
def test_the_metadata_of_that_api_is_the_guards(both: Behind) -> None:
    """So whoever calls without a token learns where to get one (RFC 9728)."""
    assert both.asking is not None
    answer = both.asking.ask(None, path="/.well-known/oauth-protected-resource")
    assert (200, RESOURCE) == (answer.status, answer.json and answer.json["resource"]), answer
