"""Token exchange over real TLS (RFC 8693): a service that was called calls on, under its own certificate."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from certbound.app import open_registry, open_revoker, opened_store
from certbound.core.certificate import read_certificate
from certbound.core.grants.token_exchange import ACCESS_TOKEN, GRANT_TYPE, REFRESH_TOKEN
from certbound.core.jwks import make_jwks
from certbound.core.ports import RevokedKind
from certbound.core.signing import SigningKey
from certbound.server.directory import NEWS
from certbound.trust.authority import Issued
from e2e.world import RESOURCE, Answer, World, self_signed, thumbprint, world
from issuing import signed

OTHER = "https://other.example"
TYPES = ["client_credentials", GRANT_TYPE]
METHODS = ["none", "self_signed_tls_client_auth", "tls_client_auth"]
KEY = SigningKey.generate()
"""The server's, so that a test can say what the server never does: `may_act`."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("exchange")
    (directory / "signing.key").write_bytes(KEY.as_pem())
    with world(directory, authentication__methods=METHODS, keys__file="signing.key") as made:
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
    return said_by(answer.json["access_token"])


def said_by(token: str) -> Any:
    part = token.split(".")[1]
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
    """Than the subject token, however little that has left."""
    said = said_by(built.token("client", client))
    brief = signed(json.dumps({**said, "exp": said["exp"] - 200}).encode(), key=KEY)
    answer = exchange(built, brief, "api", api)
    assert claims(answer)["exp"] == said["exp"] - 200
    assert answer.json["expires_in"] <= 100


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


@pytest.fixture(scope="module")
def actor(built: World) -> Issued:
    """The certificate of a client that serves nothing: it may exchange what names it in `may_act`, and no more."""
    metadata = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "actor.example"}
    built.register("actor", grant_types=TYPES, **metadata)
    return built.authority.issue("CN=actor", dns=["actor.example"])


def naming(token: str, may_act: Any) -> str:
    """The token, with a claim more, as if the server had signed that."""
    return signed(json.dumps({**said_by(token), "may_act": may_act}).encode(), key=KEY)


def test_the_actor_that_a_token_names_may_exchange_it(built: World, client: Issued, api: Issued, actor: Issued) -> None:
    """RFC 8693 section 4.4; the new token is bound to its certificate, from a CA, and lets it in at the API."""
    answer = exchange(built, naming(built.token("client", client), {"sub": "actor"}), "actor", actor)
    said = claims(answer)
    assert (said["sub"], said["client_id"], said["act"]) == ("client", "actor", {"sub": "actor"})
    assert said["cnf"] == {"x5t#S256": thumbprint(actor)}
    assert "may_act" not in said
    reached = [built.call_api(answer.json["access_token"], each).status for each in (actor, client, api, None)]
    assert reached == [200, 401, 401, 401]


@pytest.mark.parametrize(
    "may_act",
    [{"sub": "api"}, {"sub": "actor", "iss": "https://as.example"}, {"sub": "ACTOR"}, {"sub": ["actor"]}, "actor",
     ["actor"], {}, {"client_id": "actor"}, None],
    ids=json.dumps,
)  # fmt: skip
def test_nobody_else_may_exchange_it(built: World, client: Issued, actor: Issued, may_act: Any) -> None:
    """Nor the actor itself where it is not named: the answer is that for nonsense."""
    token = built.token("client", client)
    nonsense = exchange(built, "nonsense", "actor", actor)
    for each in (token, naming(token, may_act)):
        refused = exchange(built, each, "actor", actor)
        assert (refused.status, refused.json["error"]) == (400, "invalid_request")
        assert refused.without_request_id[2] == nonsense.without_request_id[2]


def test_a_token_that_names_an_actor_by_a_signature_of_others_names_nobody(
    built: World, client: Issued, actor: Issued
) -> None:
    said = json.dumps({**said_by(built.token("client", client)), "may_act": {"sub": "actor"}}).encode()
    for key, status in ((SigningKey.generate(), 400), (KEY, 200)):
        assert exchange(built, signed(said, {"kid": KEY.kid}, key=key), "actor", actor).status == status


def test_who_is_named_must_show_its_own_certificate(built: World, client: Issued, actor: Issued) -> None:
    """Another of the same CA, none, or somebody's own: the name alone proves nothing."""
    token = naming(built.token("client", client), {"sub": "actor"})
    for identity in (built.authority.issue("CN=actor", dns=["sibling.example"]), client, None):
        refused = exchange(built, token, "actor", identity)
        assert (refused.status, refused.json["error"]) == (401, "invalid_client")
    assert exchange(built, token, "actor", actor).status == 200


def test_the_token_of_a_caller_from_a_ca_is_bound_to_the_certificate_it_called_with(
    built: World, client: Issued
) -> None:
    """After a renewal, to the new one; the tokens of the old one are not let in with it."""
    metadata = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=serves"}
    built.register("serves", protected_resources=[RESOURCE], grant_types=TYPES, **metadata)
    token = built.token("client", client)
    one, two = (built.authority.issue("CN=serves") for _ in range(2))
    given = {each: exchange(built, token, "serves", each) for each in (one, two)}
    for each, other in ((one, two), (two, one)):
        assert claims(given[each])["cnf"] == {"x5t#S256": thumbprint(each)}
        assert built.call_api(given[each].json["access_token"], each).status == 200
        assert built.call_api(given[each].json["access_token"], other).status == 401


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


# What ends it


@dataclass(frozen=True)
class Line:
    """A client, what it has, and those who called on one for another; `answers` are of the exchanges, in this order."""

    built: World
    client: str
    issued: Issued
    grant: str
    """A refresh token that the first access token is from."""
    subject: str
    answers: list[Answer]

    def is_active(self) -> list[bool]:
        """The token of the client, and those of the exchanges."""
        tokens = [self.subject, *(each.json["access_token"] for each in self.answers)]
        return [self.built.introspect(each, *self.caller(0)).json["active"] for each in tokens]

    def caller(self, at: int) -> tuple[str, Issued]:
        """Who exchanged; everybody serves both resources."""
        return CALLERS[at % 2], _callers()[at % 2]

    def refresh(self, at: int) -> Answer:
        """With the refresh token of the exchange."""
        token = self.answers[at].json["refresh_token"]
        return self.built.post("token", *self.caller(at), grant_type="refresh_token", refresh_token=token)

    def change(self, kind: RevokedKind, value: str, *, lift: bool = False) -> None:
        """As `certbound revoke` does, in another process."""

        async def go() -> None:
            async with open_revoker(self.built.settings, "test") as revoker:
                await (revoker.lift(kind, value) if lift else revoker.revoke(kind, value))

        asyncio.run(go())

    def ends(self) -> bool:
        """No token is active any more, which is so within a second or two."""
        until = time.monotonic() + 3
        while any(self.is_active()) and time.monotonic() < until:
            time.sleep(0.05)
        return not any(self.is_active())


CALLERS = ("even", "odd")


@cache
def _callers() -> list[Issued]:
    return [self_signed(f"CN={each}") for each in CALLERS]


@pytest.fixture(scope="module")
def users(built: World) -> Iterator[tuple[str, Issued]]:
    """Clients that end, one for each test."""
    some = [(f"user {n}", self_signed("CN=user")) for n in range(8)]

    async def go() -> None:
        async with open_registry(built.settings) as registry:
            for name, issued in [*some, *zip(CALLERS, _callers(), strict=True)]:
                facts = {
                    "scope": "read write",
                    "token_endpoint_auth_method": "self_signed_tls_client_auth",
                    "jwks": make_jwks([read_certificate(issued.der)]),
                    "grant_types": [*TYPES, "refresh_token"],
                    "protected_resources": [RESOURCE, OTHER] if name in CALLERS else [],
                }
                await registry.register(facts, client_id=name)

    asyncio.run(go())
    time.sleep(2 * NEWS)
    return iter(some)


@pytest.fixture
def line(built: World, users: Iterator[tuple[str, Issued]]) -> Line:
    """A token of a client that was exchanged, and that again, and that again."""
    name, issued = next(users)
    grant = built.open_grant(name, issued)
    subject = built.post("token", name, issued, grant_type="refresh_token", refresh_token=grant).json["access_token"]
    made = Line(built, name, issued, grant, subject, [])
    token = subject
    for at in range(3):
        made.answers.append(exchange(built, token, *made.caller(at), requested_token_type=REFRESH_TOKEN))
        token = made.answers[-1].json["access_token"]
    # Without a grant: what has no row but its status.
    made.answers.append(exchange(built, token, *made.caller(3)))
    assert made.is_active() == [True] * 5
    assert [made.refresh(at).status for at in range(3)] == [200] * 3
    return made


@pytest.mark.parametrize("how", ["client", "removed", "certificate", "grant"])
def test_all_that_came_of_a_token_ends_with_what_it_was_from(line: Line, how: str) -> None:
    """Whoever exchanged it last, and for ever: what is lifted later brings none of it back."""
    if how == "client":
        line.change(RevokedKind.CLIENT, line.client)
        line.change(RevokedKind.CLIENT, line.client, lift=True)
    elif how == "removed":
        remove(line.built, line.client)
    elif how == "certificate":
        line.change(RevokedKind.CERTIFICATE, thumbprint(line.issued))
        line.change(RevokedKind.CERTIFICATE, thumbprint(line.issued), lift=True)
    else:
        assert line.built.revoke(line.grant, line.client, line.issued).status == 200
    assert line.ends()
    assert [line.refresh(at).json["error"] for at in range(3)] == ["invalid_grant"] * 3
    assert exchange(line.built, line.subject, *line.caller(0)).status == 400
    assert exchange(line.built, line.answers[0].json["access_token"], *line.caller(1)).status == 400


def test_a_refreshed_token_ends_so_too(line: Line) -> None:
    """And what comes of that one."""
    refreshed = line.refresh(2)
    more = exchange(line.built, refreshed.json["access_token"], *line.caller(1))
    line.answers[:] = [refreshed, more]
    assert line.is_active() == [True] * 3
    line.change(RevokedKind.CLIENT, line.client)
    assert line.ends()


def test_a_grant_of_an_exchange_ends_what_came_of_it_alone(line: Line) -> None:
    line.built.revoke(line.answers[1].json["refresh_token"], *line.caller(1))
    assert line.is_active() == [True, True, False, False, False]
    assert [line.refresh(at).status for at in range(3)] == [200, 400, 400]


def test_one_token_is_given_back_alone(line: Line) -> None:
    """What was obtained from it goes on: it is as good as the token was then, and its grant and client were not."""
    line.built.revoke(line.subject, line.client, line.issued)
    assert line.is_active() == [False, True, True, True, True]
    assert line.refresh(0).status == 200
    assert exchange(line.built, line.subject, *line.caller(0)).status == 400


def remove(built: World, client_id: str) -> None:
    async def go() -> None:
        async with opened_store(built.settings) as store:
            await store.clients.remove(client_id)

    asyncio.run(go())


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
