"""The authorization code over real TLS: what it is bound to, that it counts once, and what ends when it comes twice."""

import json
import secrets
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certbound.core.authentication import digest_of
from certbound.core.certificate import read_certificate
from certbound.core.jwks import make_jwks
from certbound.core.ports import ConsentRecord, Store, TicketKind
from certbound.server.accounts import AccountBook
from certbound.trust.authority import Issued
from e2e.acting import make_app, people_world
from e2e.codes import ALICE, BACK, CODE, PEOPLE, VERIFIER, agreed, in_store, is_refused, redeem, refresh
from e2e.world import RESOURCE, Answer, World, self_signed, thumbprint, world

OTHER = "https://other.example"
METHODS = ["none", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("code")
    with world(directory, **PEOPLE, authentication__methods=METHODS) as made:
        made.register_self_signed("api", API, protected_resources=[RESOURCE, OTHER])
        made.register_self_signed("web", WEB, grant_types=[CODE, "refresh_token"], redirect_uris=[BACK])
        made.register_self_signed("brief", WEB, grant_types=[CODE], redirect_uris=[BACK])
        made.register_self_signed("other", OTHERS, grant_types=[CODE], redirect_uris=[BACK])
        made.register_self_signed(
            "opaque", WEB, grant_types=[CODE, "refresh_token"], redirect_uris=[BACK], access_token_format="opaque"
        )
        yield made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with people_world(tmp_path_factory.mktemp("accounts"), authentication__methods=METHODS) as made:
        yield made


API, WEB, OTHERS = self_signed("CN=api"), self_signed("CN=web"), self_signed("CN=other")


def claims(answer: Answer) -> Any:
    assert answer.status == 200, answer
    part = answer.json["access_token"].split(".")[1]
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def is_active(built: World, answer: Answer) -> bool:
    """As an API is told."""
    return bool(built.introspect(answer.json["access_token"], "api", API).json["active"])


def consent(built: World, client_id: str) -> ConsentRecord:
    found = in_store(built, lambda store: store.consents.find(ALICE, client_id))
    assert found is not None
    return found


class TestRedeemed:
    def test_tokens_are_the_persons_and_bound(self, built: World) -> None:
        """To the certificate on the connection; the refresh token gives more of them."""
        answer = redeem(built, agreed(built, "web"), "web", WEB)
        said = claims(answer)
        assert (said["sub"], said["client_id"], said["aud"], said["scope"]) == (ALICE, "web", RESOURCE, "read write")
        assert said["cnf"] == {"x5t#S256": thumbprint(WEB)}
        assert answer.headers["cache-control"] == "no-store"
        assert set(answer.json) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
        again = claims(refresh(built, answer.json["refresh_token"], "web", WEB))
        assert (again["sub"], again["cnf"]) == (ALICE, said["cnf"])
        assert built.call_api(answer.json["access_token"], WEB).status == 200
        assert built.call_api(answer.json["access_token"], OTHERS).status == 401

    def test_the_person_sees_who_has_it(self, built: World) -> None:
        """The name in the certificate, and when it was used last; refreshing at once is the same use."""
        answer = redeem(built, agreed(built, "web"), "web", WEB)
        used = consent(built, "web")
        assert used.used_at is not None
        assert used.certificate == "CN=web"
        assert refresh(built, answer.json["refresh_token"], "web", WEB).status == 200
        assert consent(built, "web").used_at == used.used_at

    def test_a_refresh_may_be_for_less_and_the_next_one_is_for_all_again(self, built: World) -> None:
        """Of scope and of resources: the token says what was asked for, the grant stays what it was."""
        answer = redeem(built, agreed(built, "web", resources=(RESOURCE, OTHER)), "web", WEB)
        token = answer.json["refresh_token"]
        less = claims(refresh(built, token, "web", WEB, scope="read", resource=OTHER))
        assert (less["scope"], less["aud"]) == ("read", OTHER)
        whole = claims(refresh(built, token, "web", WEB))
        assert (whole["scope"], whole["aud"]) == ("read write", [RESOURCE, OTHER])

    def test_who_may_not_refresh_gets_no_refresh_token(self, built: World) -> None:
        """And its access token ends with its grant all the same."""
        code = agreed(built, "brief")
        answer = redeem(built, code, "brief", WEB)
        assert "refresh_token" not in answer.json
        assert is_active(built, answer)
        assert is_refused(redeem(built, code, "brief", WEB))
        assert not is_active(built, answer)

    def test_what_a_person_withdraws_ends(self, built: World) -> None:
        """Access tokens too, of either format."""
        answers = [redeem(built, agreed(built, name), name, WEB) for name in ("brief", "opaque")]
        assert all(is_active(built, each) for each in answers)
        for name in ("brief", "opaque"):
            assert in_store(built, lambda store, name=name: store.consents.withdraw(ALICE, name))
        time.sleep(1)
        assert not any(is_active(built, each) for each in answers)
        assert is_refused(refresh(built, answers[1].json["refresh_token"], "opaque", WEB))

    def test_of_a_person_who_is_put_out_nothing_lives(self, built: World) -> None:
        """Tokens of every client, their sessions, and a code that is out; of others, all goes on."""
        answers = {name: redeem(built, agreed(built, name, person="carol"), name, WEB) for name in ("web", "opaque")}
        code, other = agreed(built, "web", person="carol"), redeem(built, agreed(built, "web"), "web", WEB)
        ended = in_store(built, lambda store: AccountBook(store, time.time, "test").put_out("carol"))
        assert set(ended.clients) == {"web", "opaque"}
        time.sleep(1)
        assert is_refused(redeem(built, code, "web", WEB))
        assert not any(is_active(built, each) for each in answers.values())
        assert all(is_refused(refresh(built, each.json["refresh_token"], n, WEB)) for n, each in answers.items())
        assert is_active(built, other)

    def test_fewer_resources_may_be_asked_for(self, built: World) -> None:
        """The refresh token stays one for all; what was not agreed to is refused, and the code counts still."""
        code = agreed(built, "web", resources=(RESOURCE, OTHER))
        assert is_refused(redeem(built, code, "web", WEB, resource="https://nowhere.example"), "invalid_target")
        answer = redeem(built, code, "web", WEB, resource=OTHER)
        assert claims(answer)["aud"] == OTHER
        assert claims(refresh(built, answer.json["refresh_token"], "web", WEB))["aud"] == [RESOURCE, OTHER]
        only_one = agreed(built, "web")
        assert is_refused(redeem(built, only_one, "web", WEB, resource=OTHER), "invalid_target")

    def test_scope_is_none_of_its_parameters(self, built: World) -> None:
        """It was asked of the person: what stands there now widens and narrows nothing, and the answer says so."""
        for scope in ("read", "read write admin", "nonsense"):
            answer = redeem(built, agreed(built, "web"), "web", WEB, scope=scope)
            assert claims(answer)["scope"] == answer.json["scope"] == "read write"


class TestRefused:
    @pytest.mark.parametrize(
        ("who", "wrong"),
        [
            ("other", {}),
            ("web", {"redirect_uri": BACK + "/"}),
            ("web", {"redirect_uri": "https://evil.example/back"}),
            ("web", {"code_verifier": "x" * 43}),
            ("web", {"code_verifier": "short"}),
            ("web", {"code": "cbac_" + "x" * 43}),
            ("web", {"code": "x" * 60_000}),
            ("web", {"code": "é\x00"}),
        ],
        ids=["client", "slash", "redirect URI", "verifier", "short verifier", "code", "long code", "odd code"],
    )
    def test_who_lacks_one_thing_ends_nothing(self, built: World, who: str, wrong: dict[str, str]) -> None:
        """All read the same, before the code was redeemed and after; the first one keeps what it has."""
        code, identity = agreed(built, "web"), OTHERS if who == "other" else WEB
        refused = [redeem(built, code, who, identity, **wrong)]
        answer = redeem(built, code, "web", WEB)
        assert answer.status == 200, "the code counts still"
        refused.append(redeem(built, code, who, identity, **wrong))
        assert all(is_refused(each) for each in refused), refused
        assert refused[0].without_request_id == refused[1].without_request_id
        assert is_active(built, answer)
        assert refresh(built, answer.json["refresh_token"], "web", WEB).status == 200

    def test_without_its_credential(self, built: World) -> None:
        """A stolen code is worth nothing without the client's certificate, and nothing ends."""
        code = agreed(built, "web")
        for identity in (None, OTHERS):
            assert redeem(built, code, "web", identity).status == 401
        assert redeem(built, code, "web", WEB).status == 200

    def test_what_has_ended(self, built: World) -> None:
        """A second is enough."""
        assert is_refused(redeem(built, agreed(built, "web", lifetime=-1), "web", WEB))

    def test_what_comes_again_when_it_has_ended(self, built: World) -> None:
        """It gives nothing, and still ends what it gave."""
        code = agreed(built, "web", lifetime=2)
        answer = redeem(built, code, "web", WEB)
        assert answer.status == 200
        time.sleep(2.1)
        assert is_refused(redeem(built, code, "web", WEB))
        assert not is_active(built, answer)

    @pytest.mark.parametrize("missing", ["code", "redirect_uri", "code_verifier"])
    def test_what_is_missing_is_named(self, built: World, missing: str) -> None:
        """It is the request's form, and no secret; the code counts still."""
        code = agreed(built, "web")
        answer = redeem(built, code, "web", WEB, **{missing: None})
        assert is_refused(answer, "invalid_request")
        assert missing in answer.json["error_description"]
        assert redeem(built, code, "web", WEB).status == 200

    def test_a_client_of_another_grant(self, built: World) -> None:
        """`api` never asked for codes."""
        assert is_refused(redeem(built, agreed(built, "api"), "api", API), "unauthorized_client")

    def test_what_was_withdrawn_before(self, built: World) -> None:
        """A code that is out is worth nothing when the person has withdrawn, and leaves nothing that lives."""
        code = agreed(built, "web", person="bob", grant_id="of-bob", is_remembered=False)
        assert is_refused(redeem(built, code, "web", WEB))
        assert not in_store(built, lambda store: store.grants.revoke("of-bob", now=time.time())), "it is revoked"

    def test_what_is_there_no_more(self, built: World) -> None:
        """A resource that the deployment dropped meanwhile."""
        assert is_refused(redeem(built, agreed(built, "web", resources=("https://gone.example",)), "web", WEB))


class TestRenewed:
    """What a code gave, when its client has another certificate (RFC 8705 section 7.1)."""

    def test_a_client_that_is_known_by_name_goes_on(self, built: World) -> None:
        """The new certificate proves the same client: it refreshes, and what it gets is bound to the new one."""
        old, new = (built.authority.issue("CN=bank", dns=["bank.example"]) for _ in range(2))
        known = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "bank.example"}
        built.register("bank", **known, grant_types=[CODE, "refresh_token"], redirect_uris=[BACK])
        first = redeem(built, agreed(built, "bank"), "bank", old)
        self.goes_on(built, "bank", first, old, new)

    def test_a_client_that_publishes_its_new_certificate_goes_on(self, built: World) -> None:
        """And not before it did."""
        old, new = self_signed("CN=keys"), self_signed("CN=keys")
        built.register_self_signed("keys", old, grant_types=[CODE, "refresh_token"], redirect_uris=[BACK])
        first = redeem(built, agreed(built, "keys"), "keys", old)
        assert refresh(built, first.json["refresh_token"], "keys", new).status == 401
        built.update("keys", jwks=make_jwks([read_certificate(new.der)]))
        time.sleep(1)
        assert refresh(built, first.json["refresh_token"], "keys", old).status == 401
        self.goes_on(built, "keys", first, old, new)

    def test_an_app_that_is_known_by_nothing_else_begins_anew(self, built: World) -> None:
        """Its refresh token is its certificate's, not its key's nor its name's; nothing ends by trying."""
        old = self_signed("CN=phone")
        renewed = [self_signed("CN=phone", key=old.private_key), built.authority.issue("CN=phone", key=old.private_key)]
        none = {"token_endpoint_auth_method": "none", "tls_client_certificate_bound_access_tokens": True}
        built.register("app", **none, grant_types=[CODE, "refresh_token"], redirect_uris=[BACK])
        first = redeem(built, agreed(built, "app"), "app", old)
        for new in renewed:
            assert is_refused(refresh(built, first.json["refresh_token"], "app", new))
            assert built.call_api(first.json["access_token"], new).status == 401
        again = claims(refresh(built, first.json["refresh_token"], "app", old))
        assert again["cnf"] == {"x5t#S256": thumbprint(old)}
        anew = claims(redeem(built, agreed(built, "app"), "app", renewed[0]))
        assert anew["cnf"] == {"x5t#S256": thumbprint(renewed[0])}

    @staticmethod
    def goes_on(built: World, name: str, first: Answer, old: Issued, new: Issued) -> None:
        again = refresh(built, first.json["refresh_token"], name, new)
        said = claims(again)
        assert (said["sub"], said["cnf"]) == (ALICE, {"x5t#S256": thumbprint(new)})
        called = [
            built.call_api(answer.json["access_token"], identity).status
            for answer in (first, again)
            for identity in (old, new)
        ]
        assert called == [200, 401, 401, 200], "each token with its own certificate, and no other"


class TestTwice:
    """RFC 6749 section 4.1.2: a code that comes twice is in two hands."""

    @pytest.mark.parametrize("name", ["web", "opaque", "brief"])
    def test_the_second_ends_what_the_first_got(self, built: World, name: str) -> None:
        """For good: also what was refreshed since."""
        code = agreed(built, name)
        answers = [redeem(built, code, name, WEB)]
        if name != "brief":
            answers.append(refresh(built, answers[0].json["refresh_token"], name, WEB))
        assert all(is_active(built, each) for each in answers)
        assert is_refused(redeem(built, code, name, WEB))
        assert not any(is_active(built, each) for each in answers)
        if name != "brief":
            assert is_refused(refresh(built, answers[0].json["refresh_token"], name, WEB))
        assert is_refused(redeem(built, code, name, WEB))

    @pytest.mark.parametrize("name", ["web", "brief"])
    def test_a_guard_refuses_what_the_first_got(self, built: World, name: str) -> None:
        """That verifies by itself, and reads in the status list of what ended; another code's token goes on."""
        code = agreed(built, name)
        first, other = redeem(built, code, name, WEB), redeem(built, agreed(built, name), name, WEB)
        token = first.json["access_token"]
        assert built.call_api(token, WEB).status == 200
        assert is_refused(redeem(built, code, name, WEB))
        end = time.monotonic() + 7
        while (refused := built.call_api(token, WEB)).status == 200:
            assert time.monotonic() < end, "still accepted"
            time.sleep(0.2)
        assert (refused.status, refused.json["error"]) == (401, "invalid_token")
        assert built.call_api(other.json["access_token"], WEB).status == 200

    def test_whatever_else_is_wrong_the_second_time(self, built: World) -> None:
        """Who has all that the code is bound to, and asks for what there is not, ends it all the same."""
        code = agreed(built, "web")
        answer = redeem(built, code, "web", WEB)
        assert is_refused(redeem(built, code, "web", WEB, resource="https://nowhere.example"))
        assert not is_active(built, answer)

    @pytest.mark.parametrize("name", ["web", "opaque"])
    @pytest.mark.parametrize("count", [2, 50])
    def test_fifty_at_once(self, built: World, name: str, count: int) -> None:
        """One wins, whichever; afterwards nothing of what it got lives."""
        assert at_once(built, name, count) == 1

    def test_a_code_is_taken_with_its_grant_or_not_at_all(self, built: World) -> None:
        """What cannot be bound takes nothing."""
        code = agreed(built, "web")
        taken = lambda: in_store(built, lambda store: is_taken(store, code))  # noqa: E731
        assert is_refused(redeem(built, code, "web", WEB, resource="https://nowhere.example"), "invalid_target")
        assert not taken()
        assert redeem(built, code, "web", WEB).status == 200
        assert taken()


def at_once(built: World, name: str, count: int) -> int:
    """How many of `count` who redeem one code get tokens; what they got is worth nothing."""
    grant_id = secrets.token_urlsafe(16)
    code = agreed(built, name, grant_id=grant_id)
    said = {"grant_type": CODE, "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
    answers = built.post_at_once(count, "token", name, WEB, **said)
    good = [each for each in answers if each.status == 200]
    assert all(is_refused(each) for each in answers if each.status != 200)
    assert not any(is_active(built, each) for each in good)
    assert all(is_refused(refresh(built, each.json["refresh_token"], name, WEB)) for each in good)
    assert not in_store(built, lambda store: store.grants.revoke(grant_id, now=time.time())), "it is revoked"
    return len(good)


async def is_taken(store: Store, code: str) -> bool:
    found = await store.tickets.find(TicketKind.CODE, digest_of(code), now=time.time())
    return found is not None and found.taken_at is not None


def test_where_nobody_logs_in_there_is_no_such_grant(tmp_path: Path) -> None:
    """Neither in the metadata nor at the endpoint, whatever a client registered when there was."""
    with world(tmp_path, authentication__methods=["self_signed_tls_client_auth"]) as made:
        made.register_self_signed("web", WEB)
        assert is_refused(redeem(made, "cbac_x", "web", WEB), "unsupported_grant_type")
        document = made.ask(f"{made.issuer}/.well-known/oauth-authorization-server", method="GET").json
        assert CODE not in document["grant_types_supported"]


class TestAccounts:
    """People with accounts here, who log in and agree on our pages."""

    def test_from_the_page_to_the_refresh(self, place: World) -> None:
        """A code that was agreed to on our pages, and what it gives."""
        app = make_app(place, "bank")
        tokens = app.tokens(scope="openid read", resource=RESOURCE)
        assert tokens["scope"] == "openid read"
        assert tokens["id_token"]
        assert app.identity is not None
        assert refresh(place, tokens["refresh_token"], "bank", app.identity).status == 200

    def test_who_was_locked_out(self, place: World) -> None:
        """Neither a code that is out, nor a refresh token."""
        app = make_app(place, "shop")
        tokens, code = app.tokens(), app.code()
        lock(place, "anna")
        time.sleep(1)
        assert is_refused(app.redeem(code))
        identity: Issued | None = app.identity
        assert is_refused(refresh(place, tokens["refresh_token"], "shop", identity))


def lock(place: World, username: str) -> None:
    """As another process changes an account, without ending anything else."""

    async def go(store: Store) -> None:
        found = await store.accounts.find(username)
        assert found is not None
        await store.accounts.replace(replace(found, enabled=False))

    in_store(place, go)
