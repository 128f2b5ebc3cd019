"""Clients of others act for a person, unmodified: through the real pages, with certificates of their own.

The browser is that of `e2e.people`; it has no certificate, and nobody asks it for one.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import ECKey

from certbound.core.clients import Method
from certbound.trust.authority import Issued, self_signed
from clients.programs import HERE, PROGRAMS, Program, Runner, is_bound_to
from clients.test_endpoints import new_key
from e2e.acting import CODE_GRANT, PASSWORD, SCOPES, make_app, people_world
from e2e.people import Browser, Page
from e2e.world import World, thumbprint

pytestmark = pytest.mark.clients

BACK = "https://app.example/back"
LOOPBACK = "http://127.0.0.1/back"

ACTING = pytest.mark.parametrize(
    "program", [program for program in PROGRAMS if program.acts], ids=lambda program: program.name
)
PUSHING = pytest.mark.parametrize(
    "program", [program for program in PROGRAMS if program.pushes], ids=lambda program: program.name
)
OF_BROWSERS = {"authorization", "interaction", "logout"}
DEVICE: tuple[str | Path, ...] = ("node", "openid_client_device.mjs")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Where people log in, and every method of authentication is on."""
    directory = tmp_path_factory.mktemp("acting")
    with people_world(directory, authentication__methods=list(Method), login__device=True) as running:
        yield running


class Anna:
    """A person at a browser of her own, who logs in, agrees, and says where she is then."""

    def __init__(self, deployment: World, button: str = "allow") -> None:
        self.browser = Browser(deployment)
        self.button = button
        self.visited = ""
        self.page: Page | None = None

    def __call__(self, told: Any) -> str:
        self.visited = told["browser"]
        self.page = self.browser.decide(self.browser.visit(self.visited), "anna", PASSWORD, self.button)
        assert self.page.location, self.page.html
        return self.page.location


def register(deployment: World, client_id: str, identity: Issued, **metadata: Any) -> None:
    given = {"grant_types": CODE_GRANT, "redirect_uris": [BACK], "scope": " ".join(SCOPES), **metadata}
    if "token_endpoint_auth_method" in given:
        deployment.register(client_id, **given)
    else:
        deployment.register_self_signed(client_id, identity, **given)


@ACTING
def test_a_library_gets_a_persons_consent_and_tokens_bound_to_its_certificate(
    run: Runner, deployment: World, stranger: Issued, program: Program
) -> None:
    """Code, PKCE, userinfo and refresh; with the certificate of another the API says no."""
    identity, name = self_signed("CN=web"), f"web-{program.name}"
    register(deployment, name, identity)
    anna = Anna(deployment)
    told = run.act(program.acts, name, identity, anna, redirect_uri=BACK, scope="openid email read", thief=stranger)
    assert is_bound_to(identity, told["token"])
    assert "anna@example.com" == told["userinfo"]["email"]
    assert (200, 401) == (told["api"]["status"], told["stolen"]["status"])
    assert is_bound_to(identity, told["refreshed"])


@PUSHING
def test_it_pushes_the_request_and_checks_the_id_token(
    run: Runner, deployment: World, stranger: Issued, program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    """By tls_client_auth, as FAPI 2.0 wants it: the browser carries a reference and nothing else.

    At the aliases: by the audit, each request of the library's own came over a connection with its certificate, which
    the host of the pages never asks for.
    """
    caplog.set_level(logging.INFO, "certbound.audit")
    name = f"bank-{program.name}"
    identity = deployment.authority.issue(f"CN={name}", dns=[f"{name}.example"])
    register(
        deployment, name, identity, require_pushed_authorization_requests=True,
        token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns=f"{name}.example",
    )  # fmt: skip
    anna = Anna(deployment)
    told = run.act(
        program.acts, name, identity, anna, redirect_uri=BACK, scope="openid read", pushed=True, thief=stranger
    )
    assert {"client_id", "request_uri"} == set(parse_qs(urlsplit(anna.visited).query))
    assert (deployment.issuer, name) == (told["claims"]["iss"], told["claims"]["aud"])
    assert told["claims"]["sub"] == told["userinfo"]["sub"]
    assert is_bound_to(identity, told["token"])
    assert is_bound_to(identity, told["refreshed"])
    assert (401, "invalid_token") == (told["stolen_userinfo"]["status"], told["stolen_userinfo"]["error"])
    assert "invalid_client" == told["stolen_refresh"]["error"]
    assert "invalid_grant" == told["refreshed_after"]["error"]
    assert {"pushed_authorization_request", "token", "userinfo"} <= used_with(caplog, name, identity)
    before = set(anna.browser.cookies)
    anna.browser.visit(told["logout"])
    assert before - set(anna.browser.cookies), "the link of the library logs out"


@PUSHING
def test_a_request_that_must_be_pushed_is_refused_in_the_browser(
    run: Runner, deployment: World, program: Program
) -> None:
    """The library is told by the answer that comes back."""
    identity, name = self_signed("CN=pushing"), f"pushing-{program.name}"
    register(deployment, name, identity, require_pushed_authorization_requests=True)
    told = run.act(program.acts, name, identity, Anna(deployment), redirect_uri=BACK, scope="openid read")
    assert "invalid_request" == told["token"]["error"]


@PUSHING
def test_with_an_assertion_the_certificate_binds(run: Runner, deployment: World, program: Program) -> None:
    """private_key_jwt, for the push too."""
    identity, name = self_signed("CN=beside"), f"asserting-{program.name}"
    facts, key = new_key(run)
    register(
        deployment, name, identity,
        token_endpoint_auth_method="private_key_jwt", jwks={"keys": [public(key)]},
    )  # fmt: skip
    told = run.act(
        program.acts, name, identity, Anna(deployment),
        redirect_uri=BACK, scope="openid read", pushed=True, method="private_key_jwt", **facts,
    )  # fmt: skip
    assert is_bound_to(identity, told["token"])
    assert is_bound_to(identity, told["refreshed"])


@PUSHING
@pytest.mark.parametrize("pushed", [False, True], ids=["plain", "pushed"])
def test_a_native_app_with_a_certificate_of_its_own(
    run: Runner, deployment: World, stranger: Issued, program: Program, pushed: bool
) -> None:
    """A public client on a port of its own choosing: bound all the same, and nobody else's certificate refreshes."""
    identity, name = self_signed("CN=this phone"), f"native-{program.name}-{pushed}"
    register(
        deployment, name, identity, token_endpoint_auth_method="none", redirect_uris=[LOOPBACK],
        tls_client_certificate_bound_access_tokens=True,
    )  # fmt: skip
    told = run.act(
        program.acts, name, identity, Anna(deployment),
        redirect_uri="http://127.0.0.1:49152/back", scope="openid read", pushed=pushed, method="none", thief=stranger,
    )  # fmt: skip
    assert is_bound_to(identity, told["token"])
    assert is_bound_to(identity, told["refreshed"])
    assert (200, 401) == (told["api"]["status"], told["stolen"]["status"])
    assert "invalid_grant" == told["stolen_refresh"]["error"]


@PUSHING
def test_a_person_who_denies_is_told_to_the_library(run: Runner, deployment: World, program: Program) -> None:
    identity, name = self_signed("CN=denied"), f"denied-{program.name}"
    register(deployment, name, identity)
    told = run.act(program.acts, name, identity, Anna(deployment, "deny"), redirect_uri=BACK, scope="openid read")
    assert "access_denied" == told["token"]["error"]


@PUSHING
def test_the_code_of_another_client_is_refused(run: Runner, deployment: World, program: Program) -> None:
    """O14: it has a certificate and a client id of its own, and the code of somebody else."""
    identity, name = self_signed("CN=second"), f"second-{program.name}"
    register(deployment, name, identity)
    first = make_app(deployment, f"first-{program.name}", redirect_uris=[BACK])
    code, anna = first.code(), Anna(deployment)

    def swap(told: Any) -> str:
        back = anna(told)
        [own] = parse_qs(urlsplit(back).query)["code"]
        return back.replace(own, code)

    told = run.act(program.acts, name, identity, swap, redirect_uri=BACK, scope="openid read")
    assert (400, "invalid_grant") == (told["token"]["status"], told["token"]["error"])
    assert 200 == first.redeem(code).status


@PUSHING
def test_the_refresh_token_of_another_client_is_refused(run: Runner, deployment: World, program: Program) -> None:
    """O13: it has a certificate and a client id of its own, and ends nothing."""
    identity, name = self_signed("CN=borrower"), f"borrower-{program.name}"
    deployment.register_self_signed(name, identity, grant_types=["client_credentials", "refresh_token"])
    owner = make_app(deployment, f"owner-{program.name}", redirect_uris=[BACK])
    refresh_token = owner.tokens()["refresh_token"]
    told = run(program, name, identity, refresh_token=refresh_token)
    assert (400, "invalid_grant") == (told["refreshed"]["status"], told["refreshed"]["error"])
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    assert 200 == deployment.post("token", owner.client_id, owner.identity, **form).status


@PUSHING
def test_an_answer_of_another_issuer_is_refused_by_the_library(
    run: Runner, deployment: World, program: Program
) -> None:
    """Mix-up: our metadata says that there is always an `iss`, so both libraries want it (RFC 9207)."""
    identity, name = self_signed("CN=mixed"), f"mixed-{program.name}"
    register(deployment, name, identity)
    anna = Anna(deployment)
    with pytest.raises(AssertionError, match='"iss"'):
        run.act(
            program.acts, name, identity, lambda told: anna(told).replace("iss=https", "iss=http"),
            redirect_uri=BACK, scope="openid read",
        )  # fmt: skip


@pytest.mark.parametrize("method", ["tls", "none"])
def test_a_device_is_approved_in_a_browser(run: Runner, deployment: World, method: str) -> None:
    """openid-client polls over mutual TLS, and the token is bound to the certificate that polled."""
    identity, name = self_signed("CN=television"), f"device-{method}"
    public_client = {"token_endpoint_auth_method": "none", "tls_client_certificate_bound_access_tokens": True}
    device = {"grant_types": ["urn:ietf:params:oauth:grant-type:device_code"], "redirect_uris": None}
    register(deployment, name, identity, **device, **(public_client if method == "none" else {}))

    def approve(told: Any) -> None:
        browser = Browser(deployment)
        page = browser.log_in(browser.visit(told["verification_uri_complete"]), "anna", PASSWORD)
        page = browser.send(page)
        assert told["user_code"] in page.html
        assert 200 == browser.send(page, "allow").status

    told = run.act(DEVICE, name, identity, approve, scope="read", method=method)
    assert is_bound_to(identity, told["token"])
    assert 200 == told["api"]["status"]


def used_with(caplog: pytest.LogCaptureFixture, client_id: str, identity: Issued) -> set[str]:
    """Where the client was answered well over connections with its certificate; there were none without one."""
    events = [record.__dict__["fields"] for record in caplog.records if record.name == "certbound.audit"]
    own = [each for each in events if each.get("client_id") == client_id and each["what"] not in OF_BROWSERS]
    assert all(each.get("x5t#S256") for each in own), [each for each in own if "x5t#S256" not in each]
    return {each["what"] for each in own if each["outcome"] == "done" and each["x5t#S256"] == thumbprint(identity)}


def public(key: ECKey) -> Any:
    return key.as_dict(private=False, kid="1")


assert all((HERE / "node" / str(program.acts[1])).exists() for program in PROGRAMS if program.pushes)
