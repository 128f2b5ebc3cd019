"""`certbound.client.flow` at our own authorization server, over real TLS: each flow, as a user drives it."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from asserting import jwks, key
from certbound.client import (
    AuthorizationRefused,
    Credential,
    Identity,
    RedirectUnusable,
    Refused,
    ServerMetadata,
    Token,
    TokenRefused,
    await_device,
    await_device_async,
    drive,
    drive_async,
    fetch_metadata,
    flow,
    open_async_client,
    open_client,
    request_token,
)
from certbound.client.flow import Pending, Probed
from certbound.core.certificate import read_certificate
from certbound.core.client_credentials import Method
from certbound.core.jwks import make_jwks
from certbound.trust.authority import Issued, self_signed
from e2e.acting import CODE_GRANT, logged_in, people_world
from e2e.codes import DEVICE
from e2e.people import Browser
from e2e.world import RESOURCE, World

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
BACK = "https://app.example/cb"
ME, API, STRANGER = (self_signed(f"CN={name}") for name in ("me", "api", "stranger"))
OPEN = {
    "name": "open", "needs": [], "methods": ["self_signed_tls_client_auth"], "scopes": ["read"],
    "grant_types": ["client_credentials"],
}  # fmt: skip


def identity_of(issued: Issued) -> Identity:
    return Identity(issued.chain_pem, issued.key_pem)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with people_world(
        tmp_path_factory.mktemp("flows"), login__device=True, registration__ways=[OPEN], tokens__bind="always",
        authentication__methods=[each.value for each in Method],
    ) as made:  # fmt: skip
        grants = ["client_credentials", EXCHANGE, DEVICE, *CODE_GRANT]
        made.register_self_signed(
            "me", ME, grant_types=grants, redirect_uris=[BACK], scope="openid read write"
        )  # fmt: skip
        made.register_self_signed(
            "api", API, protected_resources=[RESOURCE], grant_types=["client_credentials", EXCHANGE]
        )
        made.register("signer", token_endpoint_auth_method="private_key_jwt", jwks=jwks())
        yield made


@pytest.fixture(scope="module")
def me(built: World) -> Iterator[httpx.Client]:
    with open_client(identity_of(ME), ca=built.directory / "ca.pem") as client:
        yield client


@pytest.fixture(scope="module")
def server(built: World, me: httpx.Client) -> ServerMetadata:
    return fetch_metadata(me, built.issuer)


def calls(built: World, token: Token, issued: Issued = ME) -> int:
    return built.call_api(token.access_token, issued).status


def begin(me: httpx.Client, server: ServerMetadata, **more: Any) -> flow.Started:
    given = {"state": secrets.token_urlsafe(32), "verifier": secrets.token_urlsafe(32), "scope": "openid read", **more}
    return drive(me, flow.authorize(server, Credential("me"), redirect_uri=BACK, resources=[RESOURCE], **given))


def agree(browser: Browser, started: flow.Started, button: str = "allow") -> str:
    """Where the browser is sent to in the end."""
    page = browser.visit(started.url)
    return page.location or browser.send(page, button).location


def allow(built: World, device: flow.Device) -> None:
    """The person types the code and agrees."""
    browser = logged_in(built)
    browser.send(browser.send(browser.visit("/device"), user_code=device.user_code), "allow")


@pytest.mark.parametrize("push", [True, False, None])
def test_a_person_agrees_and_the_token_is_refreshed(
    built: World, me: httpx.Client, server: ServerMetadata, push: bool | None
) -> None:
    """Pushed or not, with PKCE: the tokens are bound, and the refresh token is used up by the next one."""
    started = begin(me, server, push=push)
    query = parse_qs(urlsplit(started.url).query)
    assert ("request_uri" in query) is (push is not False)
    assert started.url.startswith(f"{built.issuer}/authorize?")  # browsers go to no alias
    code = flow.read_redirect(server, started, agree(logged_in(built), started))
    token = drive(me, flow.redeem(server, Credential("me"), started, code))
    assert token.refresh_token
    assert token.id_token
    assert calls(built, token) == 200
    assert calls(built, token, STRANGER) == 401
    following = drive(me, flow.refresh(server, Credential("me"), token.refresh_token))
    assert calls(built, following) == 200
    with pytest.raises(TokenRefused, match="invalid_grant"):
        drive(me, flow.redeem(server, Credential("me"), started, code))


def test_a_person_says_no(built: World, me: httpx.Client, server: ServerMetadata) -> None:
    """The client learns it as the server's error."""
    started = begin(me, server, more={"prompt": "consent"})
    back = agree(logged_in(built), started, "deny")
    with pytest.raises(AuthorizationRefused, match="the person said no") as refused:
        flow.read_redirect(server, started, back)
    assert refused.value.error == "access_denied"


def test_an_answer_to_somebody_elses_request(built: World, me: httpx.Client, server: ServerMetadata) -> None:
    """Another's state is not ours, though everything else is."""
    started, theirs = begin(me, server), begin(me, server)
    with pytest.raises(RedirectUnusable, match="state"):
        flow.read_redirect(server, started, agree(logged_in(built), theirs))


def test_a_device(built: World, me: httpx.Client, server: ServerMetadata) -> None:
    """It waits for the person, and gets a token bound to its certificate."""
    credential = Credential("me")
    device = drive(me, flow.start_device(server, credential, scope="read", resources=[RESOURCE]))
    assert (device.verification_uri, device.interval) == (f"{built.issuer}/device", 5)
    assert drive(me, flow.poll_device(server, credential, device)) == Pending(5)
    allow(built, device)
    token = drive(me, flow.poll_device(server, credential, device))
    assert isinstance(token, Token)
    assert (calls(built, token), calls(built, token, STRANGER)) == (200, 401)


def test_a_device_that_asks_too_often(me: httpx.Client, server: ServerMetadata) -> None:
    """It is told to wait five seconds more, each time (RFC 8628 section 3.5)."""
    device = drive(me, flow.start_device(server, Credential("me"), scope="read"))
    waited = [5.0]
    for _ in range(3):
        came = drive(me, flow.poll_device(server, Credential("me"), device, interval=waited[-1]))
        assert isinstance(came, Pending)
        waited.append(came.interval)
    assert waited == [5, 5, 10, 15]


async def test_a_device_waits_until_the_person_decided(built: World, server: ServerMetadata) -> None:
    """Blocking or not, as often as it is told to ask; and not beyond the end of its code."""
    ca, credential = built.directory / "ca.pem", Credential("me")
    with open_client(identity_of(ME), ca=ca) as one:
        async with open_async_client(identity_of(ME), ca=ca) as other:
            for waiting in (
                lambda device: asyncio.to_thread(await_device, one, server, credential, device),
                lambda device: await_device_async(other, server, credential, device),
            ):
                device = await drive_async(other, flow.start_device(server, credential, scope="read"))
                task = asyncio.create_task(waiting(replace(device, interval=0.2)))
                await asyncio.to_thread(allow, built, device)
                assert isinstance(await task, Token)
                with pytest.raises(TokenRefused, match="nobody decided in time"):
                    await waiting(replace(device, expires_in=1))


def test_a_service_exchanges_what_it_was_called_with(built: World, me: httpx.Client, server: ServerMetadata) -> None:
    """The new token is bound to the service's certificate."""
    token = request_token(me, server, "me", resources=[RESOURCE])
    with open_client(identity_of(API), ca=built.directory / "ca.pem") as api:
        theirs = drive(api, flow.exchange(server, Credential("api"), token.access_token, resources=[RESOURCE]))
    assert calls(built, theirs, API) == 200
    assert calls(built, theirs, ME) == 401


def test_introspection_and_revocation(built: World, me: httpx.Client, server: ServerMetadata) -> None:
    """The API asks, the client revokes, the API asks again; an unknown token is revoked as well."""
    token = request_token(me, server, "me", resources=[RESOURCE]).access_token
    with open_client(identity_of(API), ca=built.directory / "ca.pem") as api:
        said = drive(api, flow.introspect(server, Credential("api"), token))
        assert (said["active"], said["cnf"]) == (True, {"x5t#S256": identity_of(ME).thumbprint})
        drive(me, flow.revoke(server, Credential("me"), token, hint="access_token"))
        assert drive(api, flow.introspect(server, Credential("api"), token)) == {"active": False}
    drive(me, flow.revoke(server, Credential("me"), "unknown"))


def test_private_key_jwt_with_bound_tokens(built: World, me: httpx.Client, server: ServerMetadata) -> None:
    """The assertion is for the issuer, is made once per request, and the request goes to the alias."""
    signer = Credential("signer", Method.PRIVATE_KEY_JWT, key=key())
    for _ in range(2):
        token = drive(me, flow.client_credentials(server, signer, resources=[RESOURCE]))
        assert calls(built, token) == 200
    wrong = Credential("signer", Method.PRIVATE_KEY_JWT, key=key("another"))
    with pytest.raises(TokenRefused, match="invalid_client"):
        drive(me, flow.client_credentials(server, wrong))


def test_a_client_registers_renews_and_removes_itself(built: World, server: ServerMetadata) -> None:
    """A new certificate is registered beside the old one: both work, and the new one alone manages on."""
    old, new = self_signed("CN=robot"), self_signed("CN=robot")
    ca = built.directory / "ca.pem"
    metadata = {
        "token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": make_jwks([read_certificate(old.der)]),
        "grant_types": ["client_credentials"],
    }  # fmt: skip
    with open_client(identity_of(old), ca=ca) as before, open_client(identity_of(new), ca=ca) as after:
        made = drive(before, flow.register(server, metadata))
        request_token(before, server, made.client_id)
        with pytest.raises(TokenRefused, match="invalid_client"):
            request_token(after, server, made.client_id)
        renewed = drive(before, flow.renew(made, read_certificate(new.der)))
        assert renewed.client_id == made.client_id
        request_token(before, server, made.client_id)
        request_token(after, server, made.client_id)
        alone = drive(after, flow.renew(renewed, read_certificate(new.der), keep=False))
        with pytest.raises(TokenRefused, match="invalid_client"):
            request_token(before, server, made.client_id)
        assert len(drive(after, flow.read_registration(alone)).document["jwks"]["keys"]) == 1
        drive(after, flow.delete_registration(alone))
        with pytest.raises(Refused):
            drive(after, flow.read_registration(alone))
        with pytest.raises(TokenRefused, match="invalid_client"):
            request_token(after, server, made.client_id)
    for each in (made, renewed, alone):
        assert str(each.access_token) not in repr(each)


def test_an_api_says_that_it_enforces_binding(built: World, me: httpx.Client) -> None:
    """RFC 9728, from the guard itself."""
    said = drive(me, flow.describe_api(built.api, RESOURCE))
    assert said is not None
    assert said.enforces_binding
    assert said.document["authorization_servers"] == [built.issuer]


def test_an_api_is_probed(built: World, me: httpx.Client, server: ServerMetadata) -> None:
    """Ours takes the token from us and not from a stranger; the token is of no use afterwards."""
    with open_client(identity_of(STRANGER), ca=built.directory / "ca.pem") as strangers:
        probing = flow.probe(server, Credential("me"), built.api, resource=RESOURCE)
        assert drive(me, probing, strangers=strangers) is Probed.ENFORCES


def test_what_is_asked_of_the_server_is_json(server: ServerMetadata) -> None:
    """The whole document is there for whoever needs more of it."""
    assert json.loads(json.dumps(dict(server.document)))["issuer"] == server.issuer
