"""Clients that authenticate by nothing (R21): each installation has a certificate of its own, or none and rotates.

A native app redeems its code over mutual TLS without authenticating; what it gets is worth nothing to anybody else.  A
single-page app redeems at the conventional host, and never sees the mutual-TLS one.
"""

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from certbound.trust.authority import Issued
from e2e.codes import BACK, CODE, PEOPLE, VERIFIER, agreed, is_refused, redeem, refresh
from e2e.world import Answer, World, self_signed, thumbprint, world

NATIVE = "http://127.0.0.1/back"
APP = "https://spa.example"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("public")
    options = {**PEOPLE, "authentication__methods": ["none", "self_signed_tls_client_auth"]}
    with world(directory, **options, tokens__bind="requested", tokens__refresh_grace=0) as made:
        common = {"token_endpoint_auth_method": "none", "grant_types": [CODE, "refresh_token"]}
        for name in ("app", "rival"):
            made.register(
                name, **common, redirect_uris=[NATIVE], tls_client_certificate_bound_access_tokens=True
            )  # fmt: skip
        made.register("spa", **common, redirect_uris=[f"{APP}/back"])
        made.register_self_signed("web", WEB, grant_types=[CODE, "refresh_token"], redirect_uris=[BACK])
        yield made


PHONE, THIEF, TABLET, WEB = (self_signed(f"CN={name}") for name in ("phone", "phone", "tablet", "web"))


def claims(answer: Answer) -> Any:
    assert answer.status == 200, answer
    part = answer.json["access_token"].split(".")[1]
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def installed(built: World, identity: Issued, client_id: str = "app") -> Answer:
    """What an installation of the app gets."""
    code = agreed(built, client_id, redirect_uri="http://127.0.0.1:54321/back")
    return redeem(built, code, client_id, identity, redirect_uri="http://127.0.0.1:54321/back")


class TestNativeApps:
    def test_what_it_gets_is_bound_to_its_own_certificate(self, built: World) -> None:
        """No authentication, and no silent downgrade: token and refresh token are this installation's."""
        answer = installed(built, PHONE)
        said = claims(answer)
        assert said["cnf"] == {"x5t#S256": thumbprint(PHONE)}
        assert built.call_api(answer.json["access_token"], PHONE).status == 200
        for identity in (THIEF, None):
            assert built.call_api(answer.json["access_token"], identity).status == 401
        for _ in range(2):
            again = refresh(built, answer.json["refresh_token"], "app", PHONE)
            assert claims(again)["cnf"] == said["cnf"]
            assert "refresh_token" not in again.json, "what a certificate binds is not replaced"

    def test_nobody_else_refreshes_nor_ends_it(self, built: World) -> None:
        """Another certificate, though it has the same name; none; the right one of another client; another client."""
        answer = installed(built, PHONE)
        token = answer.json["refresh_token"]
        tried = [("app", THIEF), ("app", TABLET), ("app", None), ("rival", PHONE), ("rival", THIEF), ("spa", None)]
        refused = [refresh(built, token, name, identity) for name, identity in tried]
        refused.append(refresh(built, token, "web", WEB))
        assert all(is_refused(each) for each in refused), refused
        assert len({each.without_request_id[2] for each in refused}) == 1, "and all read the same"
        assert refresh(built, token, "app", PHONE).status == 200
        assert built.call_api(answer.json["access_token"], PHONE).status == 200

    def test_nobody_ends_it_by_giving_it_back(self, built: World) -> None:
        """A refresh token is revoked by whoever could use it."""
        token = installed(built, PHONE).json["refresh_token"]
        for name, identity in (("app", THIEF), ("app", None), ("rival", PHONE)):
            built.revoke(token, name, identity)
        assert refresh(built, token, "app", PHONE).status == 200
        assert built.revoke(token, "app", PHONE).status == 200
        assert is_refused(refresh(built, token, "app", PHONE))

    def test_each_installation_is_its_own(self, built: World) -> None:
        """One client, two certificates: what one has is nothing to the other, and goes on when the other's ends."""
        one, two = installed(built, PHONE), installed(built, TABLET)
        assert is_refused(refresh(built, one.json["refresh_token"], "app", TABLET))
        assert built.revoke(one.json["refresh_token"], "app", PHONE).status == 200
        assert refresh(built, two.json["refresh_token"], "app", TABLET).status == 200

    def test_a_stolen_code(self, built: World) -> None:
        """Of an app that was listened to: without the verifier it gives nothing, over whatever certificate."""
        code = agreed(built, "app", redirect_uri=NATIVE)
        for identity, verifier in ((THIEF, "x" * 43), (None, "x" * 43), (PHONE, VERIFIER[:-1] + "x")):
            assert is_refused(redeem(built, code, "app", identity, redirect_uri=NATIVE, code_verifier=verifier))
        assert redeem(built, code, "app", PHONE, redirect_uri=NATIVE).status == 200

    def test_without_a_certificate_there_is_no_token(self, built: World) -> None:
        """At either host; and the code counts still, so the app can do it right."""
        code = agreed(built, "app", redirect_uri=NATIVE)
        form = {"grant_type": CODE, "client_id": "app", "code": code, "redirect_uri": NATIVE, "code_verifier": VERIFIER}
        for answer in (
            built.ask(f"{built.issuer}/token", form=form),
            redeem(built, code, "app", None, redirect_uri=NATIVE),
        ):
            assert is_refused(answer, "invalid_request")
            assert "RFC 8705" in answer.json["error_description"]
        assert redeem(built, code, "app", PHONE, redirect_uri=NATIVE).status == 200

    def test_a_weak_key_binds_nothing(self, built: World) -> None:
        weak = self_signed("CN=weak", key=rsa.generate_private_key(65537, 1024))
        code = agreed(built, "app", redirect_uri=NATIVE)
        assert is_refused(redeem(built, code, "app", weak, redirect_uri=NATIVE), "invalid_request")
        assert redeem(built, code, "app", PHONE, redirect_uri=NATIVE).status == 200

    def test_an_expired_certificate_binds_all_the_same(self, built: World) -> None:
        """It only says that whoever comes later has the same key: its dates are nobody's promise."""
        old = self_signed("CN=old", days=1, now=datetime.now(UTC) - timedelta(5))
        answer = installed(built, old)
        assert claims(answer)["cnf"] == {"x5t#S256": thumbprint(old)}
        assert refresh(built, answer.json["refresh_token"], "app", old).status == 200

    def test_the_port_may_change_and_nothing_else(self, built: World) -> None:
        """The redirect URI of the token request is that of the authorization request, to the letter."""
        code = agreed(built, "app", redirect_uri="http://127.0.0.1:1111/back")
        for wrong in ("http://127.0.0.1:2222/back", NATIVE, "http://localhost:1111/back"):
            assert is_refused(redeem(built, code, "app", PHONE, redirect_uri=wrong))
        assert redeem(built, code, "app", PHONE, redirect_uri="http://127.0.0.1:1111/back").status == 200


class TestBrowserClients:
    """S1: `fetch` from another origin, at the host that asks for no certificate."""

    def redeem(self, built: World, code: str, **form: str) -> Answer:
        said = {"grant_type": CODE, "client_id": "spa", "code": code, "redirect_uri": f"{APP}/back", **form}
        said.setdefault("code_verifier", VERIFIER)
        return built.ask(f"{built.issuer}/token", form=said, headers={"origin": APP})

    def test_it_may_read_the_answer(self, built: World) -> None:
        """The token is not bound, and the refresh token is replaced with each use."""
        answer = self.redeem(built, agreed(built, "spa", redirect_uri=f"{APP}/back"))
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        assert "cnf" not in claims(answer)
        first = answer.json["refresh_token"]
        second = refresh(built, first, "spa", None).json["refresh_token"]
        time.sleep(0.01)
        assert is_refused(refresh(built, first, "spa", None)), "it was used before"
        assert is_refused(refresh(built, second, "spa", None)), "so the family has ended"

    def test_it_may_read_a_refusal_too(self, built: World) -> None:
        """With the same headers, so that its author learns what is wrong."""
        answer = self.redeem(built, agreed(built, "spa", redirect_uri=f"{APP}/back"), code_verifier="x" * 43)
        assert is_refused(answer)
        assert answer.headers["access-control-allow-origin"] == "*"

    def test_the_mutual_tls_host_has_no_cors(self, built: World) -> None:
        """Nothing of a browser belongs there."""
        answer = built.ask(f"{built.mtls}/token", method="OPTIONS", headers={"origin": APP})
        assert "access-control-allow-origin" not in answer.headers
