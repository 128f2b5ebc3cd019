"""Refresh over real TLS (RFC 6749 section 6, RFC 8705 sections 4 and 7.1): bound, checked each time, replaced once."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from asserting import assertion, form, metadata
from certbound.app import open_revoker
from certbound.core.certificate import read_certificate
from certbound.core.jwks import make_jwks
from certbound.core.ports import RevokedKind
from certbound.trust.authority import Issued
from e2e.codes import is_refused, refresh
from e2e.world import RESOURCE, Answer, World, self_signed, thumbprint, world

GRANTS = ["client_credentials", "refresh_token"]
METHODS = ["none", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("refresh")
    with world(directory, authentication__methods=METHODS, tokens__bind="requested", tokens__refresh_grace=2) as made:
        yield made


def public(built: World, client_id: str, *, bound: bool = True) -> None:
    built.register(
        client_id,
        token_endpoint_auth_method="none",
        grant_types=["refresh_token"],
        tls_client_certificate_bound_access_tokens=bound,
    )


def claims(answer: Answer) -> Any:
    assert answer.status == 200, answer
    part = answer.json["access_token"].split(".")[1]
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class TestPublicClients:
    """R21: whoever refreshes has the certificate that the token was given over."""

    def test_the_same_certificate_refreshes_again_and_again(self, built: World) -> None:
        phone = self_signed("CN=phone")
        public(built, "app")
        token = built.open_grant("app", phone)
        for _ in range(3):
            answer = refresh(built, token, "app", phone)
            said = claims(answer)
            assert (said["sub"], said["client_id"], said["cnf"]) == ("alice", "app", {"x5t#S256": thumbprint(phone)})
            assert "refresh_token" not in answer.json, "what a certificate binds is not replaced"

    def test_another_certificate_none_or_another_client_is_refused(self, built: World) -> None:
        phone, thief = self_signed("CN=phone 2"), self_signed("CN=phone 2")
        public(built, "app-2")
        public(built, "app-3")
        token = built.open_grant("app-2", phone)
        for client_id, identity in (("app-2", thief), ("app-2", None), ("app-3", phone), ("app-3", thief)):
            assert is_refused(refresh(built, token, client_id, identity)), (client_id, identity)
        assert refresh(built, token, "app-2", phone).status == 200, "and nobody ended it by trying"

    def test_trying_with_an_old_token_does_not_end_the_family(self, built: World) -> None:
        """The binding is looked at before reuse is."""
        phone, thief = self_signed("CN=phone 4"), self_signed("CN=thief")
        public(built, "app-4")
        token = built.open_grant("app-4", phone, rotates=True)
        second = refresh(built, token, "app-4", phone).json["refresh_token"]
        third = refresh(built, second, "app-4", phone).json["refresh_token"]
        assert is_refused(refresh(built, token, "app-4", thief))
        assert refresh(built, third, "app-4", phone).status == 200

    def test_a_weak_key_binds_nothing(self, built: World) -> None:
        weak = self_signed("CN=weak", key=rsa.generate_private_key(65537, 1024))
        public(built, "app-5")
        assert is_refused(refresh(built, built.open_grant("app-5", weak), "app-5", weak), "invalid_request")

    def test_a_public_client_has_no_credentials_of_its_own(self, built: World) -> None:
        public(built, "app-6")
        built.update("app-6", grant_types=GRANTS)
        time.sleep(1)
        answer = built.token_request("app-6", self_signed("CN=phone 6"))
        assert is_refused(answer, "unauthorized_client")


class TestRotation:
    """Where nothing binds a refresh token, it counts once, and a lost answer costs nothing."""

    def test_a_token_gives_its_successor(self, built: World) -> None:
        public(built, "spa", bound=False)
        first = built.open_grant("spa")
        second = refresh(built, first, "spa", None).json["refresh_token"]
        assert second != first
        assert refresh(built, second, "spa", None).status == 200

    def test_a_lost_answer_is_given_again(self, built: World) -> None:
        public(built, "spa-2", bound=False)
        first = built.open_grant("spa-2")
        answers = [refresh(built, first, "spa-2", None) for _ in range(3)]
        assert len({each.json["refresh_token"] for each in answers}) == 1

    def test_fifty_at_once_make_one_line(self, built: World) -> None:
        """Fifty requests have come but for their last byte, and nobody can be answered; then come all of these."""
        public(built, "spa-3", bound=False)
        first = built.open_grant("spa-3")
        answers = built.post_at_once(50, "token", "spa-3", grant_type="refresh_token", refresh_token=first)
        assert {each.status for each in answers} == {200}
        [successor] = {each.json["refresh_token"] for each in answers}
        assert successor != first
        assert refresh(built, successor, "spa-3", None).status == 200

    def test_reuse_ends_the_family_and_its_access_tokens(self, built: World) -> None:
        public(built, "spa-4", bound=False)
        first = built.open_grant("spa-4")
        answer = refresh(built, first, "spa-4", None)
        second = answer.json["refresh_token"]
        third = refresh(built, second, "spa-4", None).json["refresh_token"]
        assert is_refused(refresh(built, first, "spa-4", None))
        for token in (first, second, third):
            assert is_refused(refresh(built, token, "spa-4", None))
        api = self_signed("CN=api")
        built.register_self_signed("api-4", api, protected_resources=[RESOURCE])
        assert built.introspect(answer.json["access_token"], "api-4", api).json == {"active": False}

    def test_after_the_grace_a_replaced_token_is_reuse(self, built: World) -> None:
        public(built, "spa-5", bound=False)
        first = built.open_grant("spa-5")
        second = refresh(built, first, "spa-5", None).json["refresh_token"]
        time.sleep(2.1)
        assert is_refused(refresh(built, first, "spa-5", None))
        assert is_refused(refresh(built, second, "spa-5", None))


class TestConfidentialClients:
    """R30: bound through authentication, so a renewed certificate keeps them."""

    def test_a_renewed_certificate_refreshes(self, built: World) -> None:
        built.register(
            "bank", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="bank.example",
            grant_types=GRANTS, tls_client_certificate_bound_access_tokens=True,
        )  # fmt: skip
        old, new = (built.authority.issue(f"CN={n}", dns=["bank.example"]) for n in (1, 2))
        token = built.open_grant("bank", old, method="tls_client_auth", holder="", rotates=False)
        for certificate in (old, new):
            assert claims(refresh(built, token, "bank", certificate))["cnf"] == {"x5t#S256": thumbprint(certificate)}
        stranger = built.authority.issue("CN=3", dns=["other.example"])
        for identity in (stranger, None):
            answer = refresh(built, token, "bank", identity)
            assert (answer.status, answer.json["error"]) == (401, "invalid_client")

    def test_what_was_given_under_a_stronger_method_is_worth_nothing_under_a_weaker(self, built: World) -> None:
        issued = self_signed("CN=changed")
        built.register_self_signed("changed", issued, grant_types=GRANTS)
        token = built.open_grant("changed", issued, method="self_signed_tls_client_auth", holder="", rotates=False)
        assert refresh(built, token, "changed", issued).status == 200
        built.update("changed", token_endpoint_auth_method="none", jwks=None)
        time.sleep(1)
        assert is_refused(refresh(built, token, "changed", issued))

    def test_what_was_bound_stays_bound(self, built: World) -> None:
        """The flag was taken away meanwhile: no silent downgrade."""
        issued = self_signed("CN=flag")
        public(built, "flag", bound=True)
        token = built.open_grant("flag", issued)
        built.update("flag", tls_client_certificate_bound_access_tokens=False)
        time.sleep(1)
        assert claims(refresh(built, token, "flag", issued))["cnf"] == {"x5t#S256": thumbprint(issued)}

    def test_less_may_be_asked_for_and_never_more(self, built: World) -> None:
        issued = self_signed("CN=narrow")
        built.register_self_signed("narrow", issued, grant_types=GRANTS, scope="read")
        token = built.open_grant("narrow", issued, method="self_signed_tls_client_auth", holder="", rotates=False)
        assert claims(refresh(built, token, "narrow", issued, scope="read"))["scope"] == "read"
        assert is_refused(refresh(built, token, "narrow", issued, scope="read write"), "invalid_scope")
        assert is_refused(refresh(built, token, "narrow", issued, resource="https://other.example"), "invalid_target")

    def test_a_new_key_in_the_jwks_keeps_them(self, built: World) -> None:
        old, new = self_signed("CN=rolled"), self_signed("CN=rolled")
        built.register_self_signed("rolled", old, grant_types=GRANTS)
        token = built.open_grant("rolled", old, method="self_signed_tls_client_auth", holder="", rotates=False)
        built.update("rolled", jwks=make_jwks([read_certificate(new.der)]))
        time.sleep(1)
        assert refresh(built, token, "rolled", new).status == 200
        assert refresh(built, token, "rolled", old).status == 401


class TestChanges:
    """What becomes of what a client holds when it changes, as docs/decisions/0017 has it in a table."""

    def test_access_tokens_live_on_and_the_next_ones_are_as_the_client_is_now(self, built: World) -> None:
        """A stronger method, a weaker one and back, a flag on and off, another certificate, less scope, no grant."""
        api = self_signed("CN=fate")
        built.register_self_signed("fate-api", api, protected_resources=[RESOURCE])
        old, new = self_signed("CN=fate"), self_signed("CN=fate")
        own, other = ({"jwks": make_jwks([read_certificate(each.der)])} for each in (old, new))
        by_key = {"token_endpoint_auth_method": "self_signed_tls_client_auth"}
        none = {"token_endpoint_auth_method": "none", "grant_types": ["refresh_token"]}
        flag = "tls_client_certificate_bound_access_tokens"
        strong = {"method": by_key["token_endpoint_auth_method"], "holder": "", "rotates": False}
        for name in ("stronger", "on", "narrower", "without"):
            built.register(f"to-{name}", **none, **{flag: False})
        for name in ("weaker", "keys"):
            built.register(f"to-{name}", **by_key, **own, grant_types=GRANTS)
        built.register("to-off", **none, **{flag: True})
        held = {name: built.open_grant(f"to-{name}") for name in ("stronger", "on", "narrower", "without")}
        held |= {name: built.open_grant(f"to-{name}", old, **strong) for name in ("weaker", "keys")}
        held["off"] = built.open_grant("to-off", old)
        certificates = {"weaker": old, "keys": old, "off": old}
        first = {name: refresh(built, each, f"to-{name}", certificates.get(name)) for name, each in held.items()}
        bound = {name for name, each in first.items() if "cnf" in claims(each)}
        assert bound == {"weaker", "keys", "off"}
        held |= {name: each.json["refresh_token"] for name, each in first.items() if "refresh_token" in each.json}
        changes: dict[str, dict[str, Any]] = {
            "stronger": {**by_key, **own}, "weaker": {"token_endpoint_auth_method": "none", "jwks": None},
            "on": {flag: True}, "off": {flag: False}, "keys": other, "narrower": {"scope": "read"},
            "without": {"token_endpoint_auth_method": "self_signed_tls_client_auth", **own, "grant_types": GRANTS[:1]},
        }  # fmt: skip
        for name, change in changes.items():
            built.update(f"to-{name}", **change)
        time.sleep(1)
        for name, answer in first.items():
            assert built.introspect(answer.json["access_token"], "fate-api", api).json["active"], name
        certificates |= {"stronger": old, "on": old, "keys": new, "without": old}
        after = {name: refresh(built, each, f"to-{name}", certificates.get(name)) for name, each in held.items()}
        assert is_refused(after.pop("weaker"))
        assert is_refused(after.pop("without"), "unauthorized_client")
        said = {name: claims(each) for name, each in after.items()}
        assert {name: said[name]["cnf"]["x5t#S256"] for name in ("on", "off", "keys")} == {
            "on": thumbprint(old), "off": thumbprint(old), "keys": thumbprint(new),
        }  # fmt: skip
        assert said["narrower"]["scope"] == "read"
        assert refresh(built, held["keys"], "to-keys", old).status == 401
        built.update("to-weaker", **by_key, **own)
        time.sleep(1)
        assert refresh(built, held["weaker"], "to-weaker", old).status == 200, "for as long as it was so"


class TestBoundByRequest:
    """A client that signs assertions, whose access tokens are bound to what is on the connection."""

    @staticmethod
    def refresh(built: World, token: str, client_id: str, identity: Issued | None) -> Answer:
        shown = form(assertion(client_id, audience=built.issuer))
        return refresh(built, token, None, identity, **shown)

    @staticmethod
    def opened(built: World, client_id: str) -> str:
        built.register(client_id, **metadata(grant_types=GRANTS, tls_client_certificate_bound_access_tokens=True))
        return built.open_grant(client_id, method="private_key_jwt", holder="", rotates=True)

    def test_reuse_ends_the_family_whatever_else_is_wrong(self, built: World) -> None:
        """A replaced token without the certificate that is needed too: the family is in two hands all the same."""
        own = self_signed("CN=own")
        first = self.opened(built, "signs")
        second = self.refresh(built, first, "signs", own).json["refresh_token"]
        third = self.refresh(built, second, "signs", own).json["refresh_token"]
        assert is_refused(self.refresh(built, third, "signs", None), "invalid_request")
        assert is_refused(self.refresh(built, first, "signs", None))
        assert is_refused(self.refresh(built, third, "signs", own))

    def test_a_revoked_certificate_replaces_nothing(self, built: World) -> None:
        """Nothing is bound to it, and the token that came with it still counts."""
        lost, own = self_signed("CN=lost"), self_signed("CN=own")
        first = self.opened(built, "signs-2")

        async def revoke() -> None:
            async with open_revoker(built.settings, "test") as revoker:
                await revoker.revoke(RevokedKind.CERTIFICATE, thumbprint(lost))

        asyncio.run(revoke())
        time.sleep(1)
        assert is_refused(self.refresh(built, first, "signs-2", lost), "invalid_request")
        shown = form(assertion("signs-2", audience=built.issuer))
        assert built.introspect(first, None, own, **shown).json["active"] is True, "it was not replaced"
        assert self.refresh(built, first, "signs-2", own).status == 200


def test_a_refresh_token_is_no_access_token(built: World) -> None:
    issued = self_signed("CN=confused")
    built.register_self_signed("confused", issued, grant_types=GRANTS)
    token = built.open_grant("confused", issued, method="self_signed_tls_client_auth", holder="", rotates=False)
    assert built.call_api(token, issued).status == 401
    access = refresh(built, token, "confused", issued).json["access_token"]
    assert is_refused(refresh(built, access, "confused", issued))


@pytest.mark.parametrize("bad", ["x", "cbrt_x", "cbrt_" + "A" * 43, "é", "x" * 60_000, "a.b.c"])
def test_what_is_no_refresh_token(built: World, bad: str) -> None:
    public(built, f"bad-{abs(hash(bad)) % 10**9}")
    assert is_refused(refresh(built, bad, f"bad-{abs(hash(bad)) % 10**9}", self_signed("CN=bad")))
