"""The token endpoint from outside, over real TLS (RFC 6749, RFC 8705)."""

import base64
import contextlib
import json
import logging
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certbound.core.certificate import read_certificate, thumbprint
from certbound.core.errors import InvalidClientMetadata
from certbound.core.jwks import make_jwks
from certbound.trust.authority import Authority, Issued, self_signed
from e2e.world import RESOURCE, Answer, World

PAST = datetime.now(UTC) - timedelta(days=400)
FUTURE = datetime.now(UTC) + timedelta(days=2)


def claims(token: str) -> dict[str, Any]:
    segment = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(segment + "==")))


def test_a_ca_issued_client_obtains_a_bound_token(deployment: World, pki: Issued) -> None:
    """`tls_client_auth`: the token is an at+jwt for the default resource, bound to the certificate that asked."""
    answer = deployment.token_request("pki", pki)

    assert 200 == answer.status
    assert "Bearer" == answer.json["token_type"]
    assert "read write" == answer.json["scope"]
    assert "no-store" == answer.headers["cache-control"]
    found = claims(answer.json["access_token"])
    assert {"x5t#S256": thumbprint(pki.der)} == found["cnf"]
    assert (deployment.issuer, RESOURCE, "pki", "pki") == (
        found["iss"],
        found["aud"],
        found["sub"],
        found["client_id"],
    )
    assert answer.json["expires_in"] == found["exp"] - found["iat"]


def test_a_self_signed_client_obtains_a_bound_token(deployment: World, own: Issued) -> None:
    """`self_signed_tls_client_auth`: the registered certificate is enough, no authority asked."""
    found = claims(deployment.token("own", own))

    assert {"x5t#S256": thumbprint(own.der)} == found["cnf"]


def test_the_api_accepts_the_token_with_its_certificate(deployment: World, pki: Issued, own: Issued) -> None:
    """The guard lets both clients through and tells the application who calls."""
    for client_id, identity in (("pki", pki), ("own", own)):
        answer = deployment.call_api(deployment.token(client_id, identity), identity)
        assert (200, client_id) == (answer.status, answer.json["client_id"])


def test_scope_and_resource_narrow_the_token(deployment: World, pki: Issued) -> None:
    """What is asked for is what is given, and no more."""
    found = claims(deployment.token("pki", pki, scope="read", resource="https://other.example"))

    assert ("read", "https://other.example") == (found["scope"], found["aud"])


def test_several_resources_become_an_audience_array(deployment: World, pki: Issued) -> None:
    """`resource` is the one parameter that may be repeated (RFC 8707)."""
    found = claims(deployment.token("pki", pki, resource=["https://other.example", RESOURCE]))

    assert ["https://other.example", RESOURCE] == found["aud"]


def test_a_renewed_certificate_needs_no_change(deployment: World, pki: Issued) -> None:
    """A PKI client comes with a new key and certificate of the same subject (R8); its old token wants the old one."""
    renewed = deployment.authority.issue("CN=pki", dns=["pki.example"])
    old = deployment.token("pki", pki)

    new = deployment.token("pki", renewed)

    assert {"x5t#S256": thumbprint(renewed.der)} == claims(new)["cnf"]
    assert 401 == deployment.call_api(old, renewed).status
    assert 200 == deployment.call_api(new, renewed).status


def test_a_right_leaf_followed_by_strangers_is_fine(deployment: World, pki: Issued) -> None:
    """Certificates behind the leaf are material for a path and need not be of use (RFC 8446 section 4.4.2)."""
    stranger = self_signed("CN=stranger").certificate_pem

    answer = deployment.ask(
        f"{deployment.mtls}/token",
        pki,
        chain=pki.certificate_pem + stranger,
        form={"grant_type": "client_credentials", "client_id": "pki"},
    )

    assert 200 == answer.status


def refusals(world: World, pki: Issued, own: Issued) -> dict[str, Answer]:
    """Every way to fail client authentication, by name."""
    ask = world.token_request
    other = Authority.create("Test CA")  # same name, another key
    victim_behind = world.authority.issue("CN=mallory", dns=["mallory.example"])
    world.register("disabled", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
    world.update("disabled", enabled=False)
    time.sleep(0.5)  # a change is seen within a second
    world.register("named", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_uri="urn:x:pki.example")
    return {
        "unknown client": ask("nobody", pki),
        "unknown client without certificate": ask("nobody", None),
        "disabled client": ask("disabled", pki),
        "client of another method": ask("own", pki),
        "method the other way round": ask("pki", own),
        "no certificate": ask("pki", None),
        "no certificate, self-signed client": ask("own", None),
        "other client's name": ask("pki", world.authority.issue("CN=other", dns=["other.example"])),
        "untrusted": ask("pki", other.issue("CN=pki", dns=["pki.example"])),
        "self-signed with the right name": ask("pki", self_signed("CN=pki", dns=["pki.example"])),
        "expired": ask("pki", world.authority.issue("CN=pki", dns=["pki.example"], now=PAST, days=1)),
        "not yet valid": ask("pki", world.authority.issue("CN=pki", dns=["pki.example"], now=FUTURE)),
        "weak RSA key": ask(
            "pki", world.authority.issue(dns=["pki.example"], key=rsa.generate_private_key(65537, 1024))
        ),
        "weak key, self-signed": ask("weak", weak_self_signed(world)),
        "name of the wrong kind": ask("named", pki),
        "wildcard": ask("pki", world.authority.issue(dns=["*.example"])),
        "name only in CN": ask("pki", world.authority.issue("CN=pki.example")),
        "for servers only": ask("pki", world.authority.issue(dns=["pki.example"], usage="server")),
        "victim's leaf behind one's own": world.ask(
            f"{world.mtls}/token",
            victim_behind,
            chain=victim_behind.certificate_pem + pki.certificate_pem,
            form={"grant_type": "client_credentials", "client_id": "pki"},
        ),
        "certificate at the conventional port": world.ask(
            f"{world.issuer}/token", pki, form={"grant_type": "client_credentials", "client_id": "pki"}
        ),
        "same key, another certificate": ask("own", self_signed("CN=own", key=own.private_key)),
    }


def weak_self_signed(world: World) -> Issued:
    weak = self_signed("CN=weak", key=rsa.generate_private_key(65537, 1024))
    store_self_signed(world, "weak", weak)
    return weak


def store_self_signed(world: World, client_id: str, identity: Issued) -> None:
    """A registration that would be refused today."""
    world.store(
        client_id,
        token_endpoint_auth_method="self_signed_tls_client_auth",
        jwks=make_jwks([read_certificate(identity.der)]),
    )


def test_every_failed_authentication_looks_the_same(
    deployment: World, pki: Issued, own: Issued, caplog: pytest.LogCaptureFixture
) -> None:
    """401 invalid_client with the same bytes but for the request id, whatever was wrong; the log knows (R4)."""
    with caplog.at_level(logging.WARNING, "certbound.server"):
        found = refusals(deployment, pki, own)

    first = found["unknown client"]
    assert (401, "invalid_client") == (first.status, first.json["error"])
    assert "no-store" == first.headers["cache-control"]
    plain = found["certificate at the conventional port"]
    assert "*" == plain.headers.pop("access-control-allow-origin")  # the one thing that port adds, to every answer
    for why, answer in found.items():
        assert first.without_request_id == answer.without_request_id, why
        assert answer.json["request_id"] in caplog.text, why
    assert len({answer.json["request_id"] for answer in found.values()}) == len(found)


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("unknown client", "no such client"),
        ("disabled client", "disabled"),
        ("no certificate", "none was presented"),
        ("other client's name", "does not carry the registered tls_client_auth_san_dns"),
        ("untrusted", "no path from"),
        ("expired", "expired or not yet valid"),
        ("weak RSA key", "RSA key of 1024 bits"),
        ("client of another method", "none of those the client registered"),
    ],
)
def test_the_log_says_why(
    deployment: World, pki: Issued, own: Issued, caplog: pytest.LogCaptureFixture, why: str, reason: str
) -> None:
    """Under the request id of the answer stands the private reason."""
    attempts = {
        "unknown client": lambda: deployment.token_request("nobody", pki),
        "disabled client": lambda: deployment.token_request("off", pki),
        "no certificate": lambda: deployment.token_request("pki", None),
        "other client's name": lambda: deployment.token_request("pki", deployment.authority.issue(dns=["x.example"])),
        "untrusted": lambda: deployment.token_request("pki", self_signed(dns=["pki.example"])),
        "expired": lambda: deployment.token_request(
            "pki", deployment.authority.issue(dns=["pki.example"], now=PAST, days=1)
        ),
        "weak RSA key": lambda: deployment.token_request(
            "pki", deployment.authority.issue(dns=["pki.example"], key=rsa.generate_private_key(65537, 1024))
        ),
        "client of another method": lambda: deployment.token_request("own", pki),
    }
    if why == "disabled client":
        deployment.register("off", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
        deployment.update("off", enabled=False)
        time.sleep(0.5)  # a change is seen within a second
    with caplog.at_level(logging.WARNING, "certbound.server"):
        answer = attempts[why]()

    [line] = [each.getMessage() for each in caplog.records if answer.json["request_id"] in each.getMessage()]
    assert reason in line


GOOD = {"grant_type": "client_credentials", "client_id": "pki"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({"form": {"grant_type": "client_credentials"}}, (400, "invalid_request"), id="no client_id"),
        pytest.param(
            {"form": {"grant_type": "client_credentials"}, "query": "?client_id=pki"},
            (400, "invalid_request"),
            id="client_id in the query only",
        ),
        pytest.param({"form": {"client_id": "pki"}}, (400, "invalid_request"), id="no grant_type"),
        pytest.param({"form": {**GOOD, "grant_type": ""}}, (400, "invalid_request"), id="grant_type without value"),
        pytest.param({"form": [*GOOD.items(), ("client_id", "pki")]}, (400, "invalid_request"), id="client_id twice"),
        pytest.param({"form": [*GOOD.items(), ("grant_type", "x")]}, (400, "invalid_request"), id="grant_type twice"),
        pytest.param(
            {"form": [*GOOD.items(), ("scope", "read"), ("scope", "write")]}, (400, "invalid_request"), id="scope twice"
        ),
        pytest.param({"form": {**GOOD, "x": "y" * 70_000}}, (413, "invalid_request"), id="body too large"),
        pytest.param(
            {"body": b'{"grant_type":"client_credentials"}', "headers": {"content-type": "application/json"}},
            (400, "invalid_request"),
            id="JSON",
        ),
        pytest.param({"body": b"client_id=pki"}, (400, "invalid_request"), id="no content type"),
        pytest.param({"form": GOOD, "method": "GET"}, (405, "invalid_request"), id="GET"),
        pytest.param({"form": GOOD, "method": "PUT"}, (405, "invalid_request"), id="PUT"),
        pytest.param(
            {"body": b"%ff%fe=1", "headers": {"content-type": "application/x-www-form-urlencoded"}},
            (400, "invalid_request"),
            id="no UTF-8",
        ),
        pytest.param({"form": {**GOOD, "grant_type": "password"}}, (400, "unsupported_grant_type"), id="unknown grant"),
        pytest.param({"form": {**GOOD, "scope": "admin"}}, (400, "invalid_scope"), id="unknown scope"),
        pytest.param({"form": {**GOOD, "scope": 'a"b'}}, (400, "invalid_scope"), id="no scope at all"),
        pytest.param({"form": {**GOOD, "resource": "https://x.example"}}, (400, "invalid_target"), id="resource"),
        pytest.param({"form": {f"p{i}": "1" for i in range(100)}}, (400, "invalid_request"), id="many parameters"),
    ],
)
def test_malformed_requests_get_the_error_of_rfc_6749(
    deployment: World, pki: Issued, arguments: dict[str, Any], expected: tuple[int, str]
) -> None:
    """RFC 6749 section 5.2: JSON, not cached, and characters that the RFC allows."""
    query = arguments.pop("query", "") if "query" in arguments else ""
    arguments = {key: value for key, value in arguments.items() if key != "query"}

    answer = deployment.ask(f"{deployment.mtls}/token{query}", pki, **arguments)

    assert expected == (answer.status, answer.json["error"])
    assert "application/json" == answer.headers["content-type"]
    assert "no-store" == answer.headers["cache-control"]
    assert all(
        character in "\x20\x21" or "\x23" <= character <= "\x5b" or "\x5d" <= character <= "\x7e"
        for character in answer.json["error_description"]
    )


def test_an_unregistered_grant_is_refused(deployment: World) -> None:
    """A client may use only the grants it registered."""
    identity = self_signed("CN=idle")
    with pytest.raises(Exception, match="grant_types"):
        deployment.register_self_signed("idle", identity, grant_types=["password"])


def test_the_curve_of_bitcoin_is_refused(deployment: World) -> None:
    """A registered self-signed certificate on secp256k1 does not authenticate: the table of keys is for everyone."""
    weak = self_signed("CN=k1", key=ec.generate_private_key(ec.SECP256K1()))
    with pytest.raises(InvalidClientMetadata, match="jwks"):
        deployment.register_self_signed("k1", weak)
    store_self_signed(deployment, "k1", weak)

    try:
        answer = deployment.token_request("k1", weak)
    except OSError:
        return  # TLS has no signature scheme for it: refused even earlier
    assert (401, "invalid_client") == (answer.status, answer.json["error"])


def test_a_v1_certificate_can_authenticate_a_self_signed_client(deployment: World) -> None:
    """Self-signed certificates are compared, not validated: an old format is no reason to refuse (R11)."""
    plain = self_signed("CN=plain", usage="none")
    assert read_certificate(plain.der).parsed.version is x509.Version.v3
    deployment.register_self_signed("plain", plain)

    assert 200 == deployment.token_request("plain", plain).status


def test_the_time_of_a_refusal_says_nothing_of_the_client(deployment: World, pki: Issued, own: Issued) -> None:
    """Unknown and known clients are refused equally fast: the middle halves of their times overlap."""
    times: dict[str, list[float]] = {"nobody": [], "pki": [], "own": []}
    with contextlib.closing(deployment.connect(deployment.mtls)) as connection:
        for _ in range(150):
            for client_id, found in times.items():
                form = {"grant_type": "client_credentials", "client_id": client_id}
                begun = time.perf_counter()
                deployment.ask(f"{deployment.mtls}/token", form=form, connection=connection)
                found.append(time.perf_counter() - begun)
    quartiles = {client_id: statistics.quantiles(found, n=4) for client_id, found in times.items()}
    latest_start = max(low for low, _, _ in quartiles.values())
    earliest_end = min(high for _, _, high in quartiles.values())
    assert latest_start < earliest_end, quartiles


def test_a_refusal_is_a_short_line(deployment: World, caplog: pytest.LogCaptureFixture) -> None:
    """What a stranger sends does not fill the log."""
    with caplog.at_level(logging.WARNING, "certbound.server"):
        deployment.token_request("\x01" * 20_000, None)
        deployment.token_request("pki", None, scope="\x01" * 20_000)

    assert max(len(record.getMessage()) for record in caplog.records) < 1000


def test_two_content_types_are_refused(deployment: World) -> None:
    """Which of them would be meant?"""
    connection = deployment.connect(deployment.mtls)
    connection.putrequest("POST", "/token")
    connection.putheader("content-type", "application/x-www-form-urlencoded")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", "0")
    connection.endheaders()
    response = connection.getresponse()
    connection.close()

    assert 400 == response.status


def test_a_repeated_resource_is_one_audience(deployment: World, pki: Issued) -> None:
    """Said twice is said once."""
    assert RESOURCE == claims(deployment.token("pki", pki, resource=[RESOURCE, RESOURCE]))["aud"]
