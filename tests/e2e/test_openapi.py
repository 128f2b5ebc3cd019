"""The OpenAPI document and the server that it is of, over real TLS: each does what the other says.

schemathesis makes requests of the document, good ones and bad ones, and compares what comes: status, media type,
headers and body; nothing is a fault of the server, what the schemas forbid is refused, and what they permit is not,
where nothing else speaks against it.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from certbound.app import api_of, open_registry, opened_store
from certbound.core.authentication import digest_of
from certbound.core.ports import InitialTokenRecord
from certbound.trust.authority import Authority, Issued
from e2e.people import Browser, request_url
from e2e.walking import EXCHANGE, METHODS, MINE, OPAQUE, basic
from e2e.world import RESOURCE, World, world

Document = dict[str, Any]

GRANTS = ["client_credentials", "refresh_token", EXCHANGE]
PEOPLES = ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]
SCOPES = ["openid", "read", "write"]
REDIRECT_URI = "https://app.example/cb"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
ASKED = {
    "response_type": "code", "redirect_uri": REDIRECT_URI, "code_challenge_method": "S256", "scope": "openid",
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
}  # fmt: skip
"""RFC 7636 appendix B."""
FORMS = {f"{each}Request" for each in ("Token", "Introspection", "Revocation", "Pushed", "Device")}
INVITATION = "cbia_of-the-registrant"
PLACEHOLDER = "cbrg_of-the-client"
ALLOWED = {
    "methods": ["client_secret_basic", "private_key_jwt", "tls_client_auth"], "scopes": SCOPES,
    "protected_resources": [MINE], "grant_types": [*GRANTS, *PEOPLES], "redirect_hosts": ["app.example"],
}  # fmt: skip


STATUSES = """
        [checks.positive_data_acceptance]
        expected-statuses = ["2xx", 400, 401]
        [checks.negative_data_rejection]
        expected-statuses = [400, 401, 404, 405, 413]
"""
"""What a schema permits may be refused all the same: a token that nobody knows, a name that is no name."""
PHASES = """
        [phases.examples]
        fill-missing = true
        [phases.coverage]
        generate-duplicate-query-parameters = true
"""
"""All four phases run, with good data and bad, and every check but that of the response time: others work beside it."""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A deployment with everything on."""
    directory = tmp_path_factory.mktemp("everything")
    (directory / "registrants.pem").write_bytes(Authority.create("Registrants").certificate_pem)
    with world(
        directory,
        tokens__resources=[RESOURCE, OPAQUE, MINE],
        tokens__opaque=[OPAQUE],
        tokens__bind="requested",
        tokens__scopes=SCOPES,
        login__url="https://login.example/",
        login__clients=["pki"],
        login__device=True,
        authentication__methods=list(METHODS),
        registration__anchors=["registrants.pem"],
        registration__ways=[
            {"name": "vouched", "needs": ["mutual_tls"], **ALLOWED},
            {"name": "invited", "needs": ["initial_token"], **ALLOWED},
        ],
    ) as running:
        asyncio.run(_invite(running))
        yield running


def operations(document: Document) -> Iterator[tuple[str, str]]:
    """Each URL, and each method there."""
    for path, item in document["paths"].items():
        for server in item.get("servers", document["servers"]):
            for method in item.keys() & {"get", "post", "put", "delete"}:
                yield server["url"] + re.sub("{.*}", "nobody", path), method.upper()


def test_every_operation_is_there(everything: World) -> None:
    """On each host that it names, and what it does not name is not: another method, the other host."""
    told = set(operations(api_of(everything.settings)))
    urls = {url for url, _ in told}
    for url in urls:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            found = everything.ask(url, method=method)
            assert (found.status, url.endswith("interactions/nobody")) != (404, False), (method, url)
            assert (found.status == 405) is ((url, method) not in told), (method, url, found)
    for base, other in ((everything.issuer, everything.mtls), (everything.mtls, everything.issuer)):
        for path in {url.removeprefix(other) for url in urls if url.startswith(other)}:
            assert (everything.ask(base + path, method="PATCH").status == 404) is (base + path not in urls), path


def test_what_is_asked_well_is_answered_as_it_says(everything: World) -> None:
    """The metadata document has the members that the document requires, and no other."""
    document = api_of(everything.settings)
    schema = document["components"]["schemas"]["Metadata"]
    found = everything.ask(everything.issuer + "/.well-known/oauth-authorization-server", method="GET").json
    assert found == schema["examples"][0]
    assert set(found) == set(schema["properties"]) == set(schema["required"])


@pytest.mark.wide
@pytest.mark.timeout(300)
def test_strangers_are_answered_as_it_says(everything: World) -> None:
    """At the issuer, without any credential: registration and management are refused, whatever is sent."""
    document = at(everything.issuer, api_of(everything.settings))
    settings = f"""
        {STATUSES}
        {PHASES}
        [phases.stateful]
        max-steps = 5
        generation.max-examples = 5
    """
    tested = run(everything, document, settings, "--max-examples", "20")
    assert tested.requests >= 300
    assert tested.accepted == {f"GET {path}" for path, item in document["paths"].items() if is_public(item)}


@pytest.mark.wide
@pytest.mark.timeout(300)
def test_a_client_with_a_certificate_is_answered_as_it_says(everything: World) -> None:
    """At the mutual-TLS host: its tokens, registration by an initial access token, and the clients that come of it."""
    identity = everything.authority.issue("CN=pki", dns=["pki.example"])
    pki = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "pki.example"}
    everything.register(
        "pki", scope=" ".join(SCOPES), grant_types=[*GRANTS, *PEOPLES], redirect_uris=[REDIRECT_URI],
        protected_resources=[MINE], **pki,
    )  # fmt: skip
    document = at(everything.mtls, api_of(everything.settings))
    speak_as(document, everything, "pki", identity)
    owned = everything.ask(
        f"{everything.mtls}/register",
        identity,
        body=json.dumps({"client_name": "owned"}).encode(),
        headers={"authorization": f"Bearer {INVITATION}", "content-type": "application/json"},
    ).json
    replace(document, owned["client_id"])
    (waits,) = document["paths"]["/interactions/{interaction}"]["parameters"]
    waits["schema"] = {"const": interaction_of(Browser(everything))}
    settings = f"""
        hooks = "{Path(__file__).with_name("openapi_hooks.py")}"
        request-cert = "{_file_of(identity, everything.directory)}"
        [auth.openapi.initialAccessToken]
        bearer = "{INVITATION}"
        [auth.openapi.registrationAccessToken]
        bearer = "{PLACEHOLDER}"
        [auth.openapi.accessToken]
        bearer = "{token_of_a_person(everything, identity)}"
        [phases.stateful]
        max-steps = 5
        generation.max-examples = 5
        {PHASES}
        {STATUSES}
    """
    tokens = {owned["client_id"]: owned["registration_access_token"]}
    tested = run(everything, document, settings, "--max-examples", "10", tokens=tokens)
    assert (tested.requests >= 2000, len(tested.accepted)) == (True, 14)


@pytest.mark.wide
@pytest.mark.timeout(300)
def test_a_client_with_a_secret_is_answered_as_it_says(tmp_path: Path) -> None:
    """At an issuer that takes nothing else, where whoever leaves the secret out is refused (`ignored_auth`)."""
    with world(tmp_path, tokens__bind="requested", authentication__methods=["client_secret_basic"]) as built:
        secret = asyncio.run(_with_secret(built, "shop"))
        document = at(built.issuer, api_of(built.settings))
        assert document["paths"]["/token"]["post"]["security"] == [{"clientSecretBasic": []}]
        speak_as(document, built, "shop", headers=dict([basic("shop", secret)]))
        settings = f"""
        [checks.positive_data_acceptance]
        expected-statuses = ["2xx", 400]
        [checks.negative_data_rejection]
        expected-statuses = [400, 401, 404, 405, 413]
        {PHASES}
        [auth.openapi.clientSecretBasic]
        username = "shop"
        password = "{secret}"
        """
        tested = run(built, document, settings, "--max-examples", "20")
    assert (tested.requests >= 150, len(tested.accepted)) == (True, 8)


def is_public(item: Document) -> bool:
    """Anybody may ask: nothing has to be shown."""
    return item.get("get", {}).get("security") == []


class Judged(NamedTuple):
    """How many requests were judged, and which operations did what they are for."""

    requests: int
    accepted: set[str]


def at(base: str, document: Document) -> Document:
    """What the host of `base` has."""
    servers = {path: item.pop("servers", document["servers"]) for path, item in document["paths"].items()}
    paths = {path: item for path, item in document["paths"].items() if base in [each["url"] for each in servers[path]]}
    return {**document, "servers": [{"url": base}], "paths": paths}


def speak_as(
    document: Document,
    built: World,
    client_id: str,
    identity: Issued | None = None,
    headers: dict[str, str] | None = None,
) -> None:
    """Whoever sends a form is this client, with nothing in the form but its name; and there are tokens of its own."""
    (base,) = document["servers"]
    form = {"grant_type": "client_credentials", "client_id": client_id}
    tokens = [
        built.ask(base["url"] + "/token", identity, form={**form, "resource": each}, headers=headers).json[
            "access_token"
        ]
        for each in built.settings.tokens.resources
    ]
    examples = {
        "token": [*tokens, built.open_grant(client_id), "of nobody"],
        "subject_token": tokens,
        "refresh_token": [built.open_grant(client_id)],
    }
    schemas = document["components"]["schemas"]
    if "PushedRequest" in schemas:
        schemas["PushedRequest"]["properties"]["redirect_uri"] = {"const": REDIRECT_URI}
    for name in FORMS & schemas.keys():
        schema = schemas[name]
        for form in schema.get("oneOf", [schema]):
            form.pop("dependentRequired", None)
            form.pop("not", None)
            for each in ("client_secret", "client_assertion", "client_assertion_type"):
                form["properties"].pop(each, None)
            form["properties"]["client_id"] = {"const": client_id}
            if headers is None:  # they name it too
                form["required"] = [*form["required"], "client_id"]
            for each in form["properties"].keys() & examples.keys():
                form["properties"][each]["examples"] = examples[each]


def interaction_of(browser: Browser) -> str:
    """A request that waits for the login application."""
    page = browser.visit(request_url(browser.world, {"client_id": "pki", **ASKED}))
    assert page.location.startswith("https://login.example/?interaction="), page
    return page.location.partition("=")[2]


def token_of_a_person(built: World, identity: Issued) -> str:
    """Bound to the certificate of `identity`."""
    browser = Browser(built)
    told = built.ask(
        f"{built.mtls}/interactions/{interaction_of(browser)}",
        identity,
        body=b'{"accept": {"subject": "ada"}}',
        headers={"content-type": "application/json"},
    ).json
    code = browser.send(browser.visit(told["redirect_to"]), "allow").members["code"]
    form = {"grant_type": PEOPLES[0], "code": code, "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    return str(built.post("token", "pki", identity, **form).json["access_token"])


def replace(document: Document, client_id: str) -> None:
    """What is replaced is this client; what is read and removed are those that register."""
    item = document["paths"]["/register/{client_id}"]
    (parameter,) = item.pop("parameters")
    for method in item:
        item[method]["parameters"] = [parameter]
    item["put"]["parameters"] = [{**parameter, "schema": {"const": client_id}}]
    own, _ = document["components"]["schemas"]["ReplacementRequest"]["allOf"]
    own["properties"] = {"client_id": {"const": client_id}}


def run(built: World, document: Document, settings: str, *options: str, tokens: dict[str, str] | None = None) -> Judged:
    """Runs schemathesis, which has nothing to say against any answer."""
    folder = built.directory
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text(settings.replace("\n        ", "\n"))
    command = [
        sys.executable, "-W", "ignore", "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run",
        "openapi.json", "--url", document["servers"][0]["url"], "--tls-verify", "ca.pem", "--continue-on-failure",
        "--generation-deterministic", "--suppress-health-check", "all", "--no-color",
        "--report-json-path", "report.json", *options,
    ]  # fmt: skip
    told = {"REGISTRATION_PLACEHOLDER": PLACEHOLDER, "REGISTRATION_TOKENS": json.dumps(tokens or {})}
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **told}, capture_output=True, text=True, timeout=280, check=False
    )
    said = "\n".join(line[:500] for line in done.stdout.splitlines())
    assert done.returncode == 0, said.partition("= FAILURES =")[2][:20_000] or said[-8000:] + done.stderr[-4000:]
    report = json.loads((folder / "report.json").read_text())
    assert report["operations"]["tested"] == sum(1 for _ in operations(document))
    accepted = {name: sum(each["accepted"] for each in rates.values()) for name, rates in report["valid_rates"].items()}
    return Judged(report["test_cases"]["generated"], {name for name, number in accepted.items() if number})


async def _with_secret(built: World, client_id: str) -> str:
    async with open_registry(built.settings) as registry:
        metadata = {"token_endpoint_auth_method": "client_secret_basic", "scope": "read write", "grant_types": GRANTS}
        await registry.register(metadata, client_id=client_id)
        secret = await registry.add_secret(client_id, overlap=0)
    assert secret is not None
    return secret


async def _invite(built: World) -> None:
    now = time.time()
    record = InitialTokenRecord(digest=digest_of(INVITATION), uses=1_000_000, created_at=now, ends_at=now + 3600)
    async with opened_store(built.settings) as store:
        await store.initial_tokens.add(record)


def _file_of(identity: Issued, folder: Path) -> Path:
    file = folder / "client.pem"
    file.write_bytes(identity.key_pem + identity.certificate_pem)
    return file
