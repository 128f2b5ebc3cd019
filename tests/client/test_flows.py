"""`certbound.client.flow`: what devices, registrations, and what is asked of APIs make of answers good and bad."""

from typing import Any

import pytest

from certbound.client import (
    AnswerUnusable,
    ApiUnsafe,
    Credential,
    MetadataUnusable,
    Refused,
    ServerUnreachable,
    TokenRefused,
    flow,
)
from certbound.client.flow import Answer, Device, Pending, Probed
from certbound.client.flow.api import Binding, require_binding
from client.stepping import ALIAS, ISSUER, answer, form, metadata, step

ME = Credential("me")
TOKEN = {"access_token": "t", "token_type": "Bearer"}
API = "https://api.example"
WELL_KNOWN = "/.well-known/oauth-protected-resource"
DEVICE = {"device_code": "d", "user_code": "U", "verification_uri": f"{ISSUER}/device", "expires_in": 60}
MADE = {
    "client_id": "c", "registration_client_uri": f"{ISSUER}/register/c", "registration_access_token": "rat",
    "client_secret": "s3cr3t", "client_secret_expires_at": 0, "client_id_issued_at": 1, "scope": "read",
}  # fmt: skip


class TestDiscovery:
    def test_openids_place_is_the_second(self) -> None:
        """Only where RFC 8414's answers 404; the issuer has to be the same."""
        found, asked = step(flow.discover(f"{ISSUER}/t"), answer(status=404), answer({"issuer": f"{ISSUER}/t"}))
        assert [each.url for each in asked] == [
            f"{ISSUER}/.well-known/oauth-authorization-server/t", f"{ISSUER}/t/.well-known/openid-configuration",
        ]  # fmt: skip
        assert found.issuer == f"{ISSUER}/t"
        with pytest.raises(MetadataUnusable, match="names the issuer"):
            step(flow.discover(f"{ISSUER}/t"), answer(status=404), answer({"issuer": ISSUER}))

    @pytest.mark.parametrize("status", [301, 401, 500])
    def test_another_answer_is_no_reason_to_look_elsewhere(self, status: int) -> None:
        """An error is not the absence of a document."""
        with pytest.raises(MetadataUnusable, match=str(status)):
            step(flow.discover(ISSUER), answer({"issuer": ISSUER}, status))

    def test_two_absences_are_named(self) -> None:
        """Both places."""
        with pytest.raises(MetadataUnusable, match=r"openid-configuration answered 404, as did .*oauth-authorization"):
            step(flow.discover(ISSUER), answer(status=404), answer(status=404))


class TestDevice:
    @pytest.mark.parametrize(
        "change",
        [{"device_code": None}, {"user_code": ""}, {"verification_uri": "http://as.example/"}, {"user_code": 7}],
    )
    def test_what_nobody_could_use(self, change: dict[str, Any]) -> None:
        """Codes that are missing, and a page in the clear, where a person would log in."""
        with pytest.raises(AnswerUnusable):
            step(flow.start_device(metadata(), ME), answer({**DEVICE, **change}))

    @pytest.mark.parametrize(
        ("told", "waits"), [({}, 5), ({"interval": 7}, 7), ({"interval": 0.01}, 1), ({"interval": -1}, 1)]
    )
    def test_how_often_it_asks(self, told: dict[str, float], waits: float) -> None:
        """As told, five seconds if not, and never in a tight loop."""
        device, _ = step(flow.start_device(metadata(), ME), answer({**DEVICE, **told}))
        assert device.interval == waits

    def test_polling(self) -> None:
        """Pending waits as before, slow_down five seconds more; other errors end it."""
        device: Device
        device, _ = step(flow.start_device(metadata(), ME, scope="read"), answer(DEVICE))
        for error, interval in (("authorization_pending", 9), ("slow_down", 14)):
            came, [asked] = step(
                flow.poll_device(metadata(), ME, device, interval=9), answer({"error": error}, 400)
            )  # fmt: skip
            assert came == Pending(interval)
            assert (asked.url, form(asked)["device_code"]) == (f"{ALIAS}/token", "d")
        with pytest.raises(TokenRefused, match="nobody decided in time"):
            step(flow.poll_device(metadata(), ME, device), answer({"error": "expired_token"}, 400))


class TestAsking:
    @pytest.mark.parametrize("document", [{}, {"active": "true"}, {"active": 1}, []])
    def test_an_answer_that_does_not_say(self, document: Any) -> None:
        """`active` is true or false and nothing like it."""
        with pytest.raises(AnswerUnusable):
            step(flow.introspect(metadata(), ME, "t"), answer(document))

    def test_a_refused_revocation(self) -> None:
        """It is an error: the token may still work."""
        with pytest.raises(Refused, match="invalid_client"):
            step(flow.revoke(metadata(), ME, "t"), answer({"error": "invalid_client"}, 401))

    def test_a_redirect_is_no_answer(self) -> None:
        """From no endpoint."""
        with pytest.raises(AnswerUnusable, match="redirect"):
            step(flow.revoke(metadata(), ME, "t"), answer({"error": "x"}, 302))


class TestRegistration:
    def test_what_is_put_is_all_but_what_the_server_says(self) -> None:
        """RFC 7592 section 2.2: the secret is repeated, four members are not."""
        made, _ = step(flow.register(metadata(), {"scope": "read"}, initial_access_token="iat"), answer(MADE, 201))
        replaced, [asked] = step(
            flow.replace_registration(made, {**MADE, "scope": "write"}),
            answer({**MADE, "registration_access_token": "next"}),
        )
        assert (asked.method, asked.url) == ("PUT", MADE["registration_client_uri"])
        assert asked.headers["authorization"] == "Bearer rat"
        assert asked.json == {"client_id": "c", "client_secret": "s3cr3t", "scope": "write"}
        assert replaced.access_token == "next"
        assert "s3cr3t" not in str(replaced.document)

    @pytest.mark.parametrize(
        "change",
        [{"client_id": None}, {"client_id": "other"}, {"registration_client_uri": "http://as.example/register/c"}],
    )
    def test_an_answer_about_somebody_else(self, change: dict[str, Any]) -> None:
        """Or one that would send the token in the clear."""
        made, _ = step(flow.register(metadata(), {}), answer(MADE, 201))
        with pytest.raises(AnswerUnusable):
            step(flow.read_registration(made), answer({**MADE, **change}))

    def test_a_client_that_cannot_manage_itself(self) -> None:
        """It is told so, and nothing is asked."""
        made, _ = step(flow.register(metadata(), {}), answer({"client_id": "c"}, 201))
        with pytest.raises(AnswerUnusable, match="nothing to manage itself with"):
            next(flow.read_registration(made))


class TestApi:
    @pytest.mark.parametrize(
        ("resource", "place"),
        [
            (None, WELL_KNOWN),
            (API, WELL_KNOWN),
            (f"{API}/", WELL_KNOWN),
            (f"{API}/v1", f"{WELL_KNOWN}/v1"),
            (f"{API}/v1?t=2", f"{WELL_KNOWN}/v1?t=2"),
            ("urn:example:api", WELL_KNOWN),
            ("https://elsewhere.example/v1", f"{WELL_KNOWN}/v1"),
        ],
    )
    def test_where_it_is_asked(self, resource: str | None, place: str) -> None:
        """At the host that a token would go to, before the path of the resource (section 3.1)."""
        said, [asked] = step(flow.describe_api(f"{API}/some/page", resource), answer({"resource": resource or API}))
        assert asked.url == API + place
        assert said is not None
        assert not said.enforces_binding

    @pytest.mark.parametrize("resource", [None, API, f"{API}/v1"])
    @pytest.mark.parametrize("said", ["https://evil.example", f"{API}/v2", None, 7])
    def test_what_is_said_of_another_resource(self, resource: str | None, said: Any) -> None:
        """Section 3.3: it must not be used."""
        with pytest.raises(MetadataUnusable, match="was asked about"):
            step(flow.describe_api(API, resource), answer({"resource": said}))

    @pytest.mark.parametrize(
        ("document", "allowed"),
        [
            ({"tls_client_certificate_bound_access_tokens": True}, {"stated", "not denied", "any"}),
            ({"tls_client_certificate_bound_access_tokens": False}, {"any"}),
            ({"tls_client_certificate_bound_access_tokens": "true"}, {"any"}),
            ({}, {"any"}),
            (None, {"not denied", "any"}),
        ],
    )
    def test_who_gets_a_bound_token(self, document: dict[str, Any] | None, allowed: set[str]) -> None:
        """S2: to leave the member out is to say no (RFC 9728 section 2); to say nothing is the caller's choice."""
        came = answer(status=404) if document is None else answer({"resource": API, **document})
        said, _ = step(flow.describe_api(API), came)
        every: tuple[Binding, ...] = ("stated", "not denied", "any")
        for wanted in every:
            if wanted in allowed:
                require_binding(API, said, wanted)
            else:
                with pytest.raises(ApiUnsafe, match="binding='any'"):
                    require_binding(API, said, wanted)

    @pytest.mark.parametrize(
        ("ours", "theirs", "found"),
        [
            (200, 401, Probed.ENFORCES),
            (404, 401, Probed.ENFORCES),
            (200, 200, Probed.ACCEPTS_STOLEN),
            (401, 200, Probed.ACCEPTS_STOLEN),
            (401, 401, Probed.UNKNOWN),
            (200, 403, Probed.UNKNOWN),
            (200, 503, Probed.UNKNOWN),
        ],
    )
    def test_what_a_probe_finds(self, ours: int, theirs: int, found: Probed) -> None:
        """A refusal of everybody proves nothing; the token is revoked in the end."""
        came, asked = step(
            flow.probe(metadata(), ME, API), answer(TOKEN), Answer(ours), Answer(theirs), Answer(200)
        )  # fmt: skip
        assert came is found
        assert [(each.url, each.stranger) for each in asked] == [
            (f"{ALIAS}/token", False), (API, False), (API, True), (f"{ALIAS}/revoke", False),
        ]  # fmt: skip

    def test_a_probe_that_fails_leaves_no_token(self) -> None:
        """It is revoked, and the failure is told."""
        probing = flow.probe(metadata(), ME, API)
        next(probing)
        probing.send(answer(TOKEN))
        assert probing.throw(ServerUnreachable("gone")).url == f"{ALIAS}/revoke"
        with pytest.raises(ServerUnreachable, match="gone"):
            probing.send(Answer(200))
