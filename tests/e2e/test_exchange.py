"""Token exchange over real TLS (RFC 8693): a service that was called calls on, under its own certificate."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certbound.core.grants.token_exchange import ACCESS_TOKEN, GRANT_TYPE, REFRESH_TOKEN
from certbound.trust.authority import Issued
from e2e.world import RESOURCE, Answer, World, self_signed, thumbprint, world

OTHER = "https://other.example"
TYPES = ["client_credentials", GRANT_TYPE]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("exchange")
    with world(directory, authentication__methods=["none", "self_signed_tls_client_auth"]) as made:
        yield made


@pytest.fixture(scope="module")
def client(built: World) -> Issued:
    issued = self_signed("CN=client")
    built.register_self_signed("client", issued)
    return issued


@pytest.fixture(scope="module")
def api(built: World) -> Issued:
    issued = self_signed("CN=api")
    built.register_self_signed("api", issued, protected_resources=[RESOURCE], grant_types=[*TYPES, "refresh_token"])
    return issued


def exchange(built: World, token: str, client_id: str, identity: Issued | None, **form: Any) -> Answer:
    given = {"subject_token_type": ACCESS_TOKEN, **form}
    return built.post("token", client_id, identity, grant_type=GRANT_TYPE, subject_token=token, **given)


def claims(answer: Answer) -> Any:
    assert answer.status == 200, answer
    part = answer.json["access_token"].split(".")[1]
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_the_new_token_is_the_callers_and_says_who_acts(built: World, client: Issued, api: Issued) -> None:
    answer = exchange(built, built.token("client", client, scope="read"), "api", api, resource=OTHER)
    assert answer.json["issued_token_type"] == ACCESS_TOKEN
    assert "refresh_token" not in answer.json
    said = claims(answer)
    assert (said["sub"], said["client_id"], said["aud"], said["scope"]) == ("client", "api", OTHER, "read")
    assert said["act"] == {"sub": "api"}
    assert said["cnf"] == {"x5t#S256": thumbprint(api)}


def test_a_chain_of_services_stands_in_act(built: World, client: Issued, api: Issued) -> None:
    next_api = self_signed("CN=next")
    built.register_self_signed("next", next_api, protected_resources=[OTHER], grant_types=TYPES)
    first = exchange(built, built.token("client", client), "api", api, resource=OTHER)
    said = claims(exchange(built, first.json["access_token"], "next", next_api))
    assert said["act"] == {"sub": "next", "act": {"sub": "api"}}
    assert said["sub"] == "client"


def test_it_lives_no_longer(built: World, client: Issued, api: Issued) -> None:
    token = built.token("client", client)
    part = token.split(".")[1]
    ends = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"]
    assert claims(exchange(built, token, "api", api))["exp"] <= ends


def test_who_it_was_not_meant_for_gets_nothing(built: World, client: Issued, api: Issued) -> None:
    stranger = self_signed("CN=stranger")
    built.register_self_signed("stranger", stranger, grant_types=TYPES, protected_resources=[OTHER])
    token = built.token("client", client)
    refused = [
        exchange(built, token, "stranger", stranger),
        exchange(built, "nonsense", "api", api),
        exchange(built, token[:-4] + "AAAA", "api", api),
    ]
    assert {each.without_request_id[2] for each in refused} == {refused[0].without_request_id[2]}
    assert (refused[0].status, refused[0].json["error"]) == (400, "invalid_request")
    assert exchange(built, token, "api", stranger).status == 401
    assert exchange(built, token, "api", None).status == 401


def test_more_than_the_subject_token_has_is_refused(built: World, client: Issued, api: Issued) -> None:
    token = built.token("client", client, scope="read")
    assert exchange(built, token, "api", api, scope="write").json["error"] == "invalid_scope"
    assert exchange(built, token, "api", api, resource="https://nowhere.example").json["error"] == "invalid_target"


def test_a_revoked_subject_token_gives_nothing(built: World, client: Issued, api: Issued) -> None:
    token = built.token("client", client)
    built.revoke(token, "client", client)
    assert exchange(built, token, "api", api).status == 400


def test_a_public_client_exchanges_nothing(built: World, client: Issued) -> None:
    built.register("app", token_endpoint_auth_method="none", grant_types=[GRANT_TYPE], protected_resources=[RESOURCE])
    answer = exchange(built, built.token("client", client), "app", self_signed("CN=app"))
    assert (answer.status, answer.json["error"]) == (400, "unauthorized_client")


def test_a_refresh_token_may_be_asked_for(built: World, client: Issued, api: Issued) -> None:
    answer = exchange(built, built.token("client", client), "api", api, requested_token_type=REFRESH_TOKEN)
    form = {"grant_type": "refresh_token", "refresh_token": answer.json["refresh_token"]}
    again = built.post("token", "api", api, **form)
    said = claims(again)
    assert (said["sub"], said["act"], said["cnf"]) == ("client", {"sub": "api"}, {"x5t#S256": thumbprint(api)})
    assert built.post("token", "client", client, **form).json["error"] in {"invalid_grant", "unauthorized_client"}


def test_each_refresh_token_is_of_a_grant_of_its_own(built: World, client: Issued, api: Issued) -> None:
    """One given back, the other goes on."""
    token = built.token("client", client)
    answers = [exchange(built, token, "api", api, requested_token_type=REFRESH_TOKEN) for _ in range(2)]
    one, two = (each.json["refresh_token"] for each in answers)
    built.revoke(one, "api", api)
    statuses = [built.post("token", "api", api, grant_type="refresh_token", refresh_token=n).status for n in (one, two)]
    assert statuses == [400, 200]
    assert [built.introspect(each.json["access_token"], "api", api).json["active"] for each in answers] == [False, True]


def test_no_refresh_token_for_whom_none_was_allowed(built: World, client: Issued) -> None:
    """It would outlive the subject token: the client must have registered that grant."""
    short = self_signed("CN=short")
    built.register_self_signed("short", short, protected_resources=[RESOURCE], grant_types=TYPES)
    token = built.token("client", client)
    refused = exchange(built, token, "short", short, requested_token_type=REFRESH_TOKEN)
    assert (refused.status, refused.json["error"]) == (400, "unauthorized_client")
    assert exchange(built, token, "short", short).status == 200


@pytest.mark.parametrize(
    "form",
    [
        {"actor_token": "x", "actor_token_type": ACCESS_TOKEN},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:saml2"},
    ],
)
def test_what_is_not_spoken_here_is_said(built: World, client: Issued, api: Issued, form: dict[str, str]) -> None:
    answer = exchange(built, built.token("client", client), "api", api, **form)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
