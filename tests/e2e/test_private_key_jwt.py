"""Clients that sign assertions, over real TLS (RFC 7523, FAPI 2.0): keys that turn over, one use each, refusals."""

import contextlib
import json
import time
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from asserting import ALGORITHMS, assertion, form, jwks, key, metadata, unsigned
from certbound.core.certificate import read_certificate
from certbound.core.errors import InvalidClientMetadata
from certbound.core.jwks import make_jwks
from certbound.core.keys import public_jwk
from certbound.core.signing import SigningKey
from certbound.trust import published
from certbound.trust.authority import self_signed
from client.served import Served, served
from e2e.world import Answer, World, thumbprint, world
from issuing import encode

METHODS = ["none", "private_key_jwt", "client_secret_basic", "tls_client_auth", "self_signed_tls_client_auth"]
OWN = self_signed("CN=any")
REFUSED = (401, "invalid_client")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """It may fetch from loopback."""
    folder: Path = tmp_path_factory.mktemp("private-key-jwt")
    options = {"fetch__private_addresses": True, "fetch__ca": "ca.pem", "fetch__timeout": 2}
    with world(folder, authentication__methods=METHODS, **options) as running:
        running.register("a", **metadata())
        running.register("b", **metadata(key("b")))
        running.register("every", **metadata(*(key("own", alg) for alg in ALGORITHMS)))
        yield running


@pytest.fixture
def source(built: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A client's own https server."""
    monkeypatch.setattr(published, "LEAST_LIFETIME", 0.5)
    monkeypatch.setattr(published, "INTERVAL", 0.2)
    certificate = built.authority.issue("CN=source", dns=["localhost"], usage="server")
    with served(tmp_path, certificate=certificate) as running:
        yield running


def ask(built: World, value: str, *, endpoint: str = "token", client_id: str | None = None, **more: Any) -> Answer:
    """At the alias, with a certificate that is anybody's; the token is bound to it."""
    return built.post(endpoint, client_id, OWN, **form(value), **{"grant_type": "client_credentials", **more})


def fresh(built: World, client_id: str = "a", **changes: Any) -> str:
    return assertion(client_id, **{"audience": built.issuer, **changes})


def result(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json.get("error", "")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_by_an_assertion(built: World, alg: str) -> None:
    """By each algorithm; the token is bound to the certificate on the connection, which authenticates nobody (R14)."""
    answer = ask(built, fresh(built, "every", by=key("own", alg)))
    assert answer.status == 200, answer
    part = answer.json["access_token"].split(".")[1]
    claims = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert (claims["client_id"], claims["cnf"]) == ("every", {"x5t#S256": thumbprint(OWN)})
    assert built.call_api(answer.json["access_token"], OWN).status == 200
    assert built.call_api(answer.json["access_token"], self_signed("CN=thief")).status == 401


def test_without_a_certificate_there_is_no_token(built: World) -> None:
    """It authenticates, and is told what is missing (R20); no matter on which host."""
    for url in (f"{built.issuer}/token", f"{built.mtls}/token"):
        answer = built.ask(url, form={**form(fresh(built)), "grant_type": "client_credentials"})
        assert result(answer) == (400, "invalid_request"), answer


def test_it_authenticates_at_every_endpoint(built: World) -> None:
    """By the same audience."""
    for endpoint in ("introspect", "revoke"):
        assert ask(built, fresh(built), endpoint=endpoint, token="x").status == 200
        assert result(ask(built, fresh(built, by=key("thief")), endpoint=endpoint, token="x")) == REFUSED


class TestRefusals:
    """All are the same answer, to the byte but its id; the client learns nothing else."""

    CLAIMS: tuple[dict[str, Any], ...] = (
        {"iss": "b"}, {"sub": "b"}, {"iss": ...}, {"sub": ...}, {"exp": ...}, {"exp": 1}, {"jti": ...}, {"jti": 1},
        {"exp": time.time() + 86400}, {"iat": time.time() + 3600}, {"nbf": time.time() + 3600}, {"audience": ...},
        {"exp": 10**18}, {"exp": 1e400}, {"audience": "https://evil.example"}, {"jti": ""}, {"jti": "x" * 300},
    )  # fmt: skip

    @pytest.mark.parametrize("number", range(len(CLAIMS)))
    def test_claims(self, built: World, number: int) -> None:
        assert self.is_refused(built, fresh(built, **self.CLAIMS[number]))

    def test_audiences(self, built: World) -> None:
        """The issuer as a string is the one there is: no array, no endpoint, no alias (audience injection)."""
        audiences = [[built.issuer], [built.issuer, "https://evil.example"], f"{built.issuer}/token",
                     f"{built.mtls}/token", built.mtls, f"{built.issuer}/", built.issuer.upper(),
                     {"a": built.issuer}]  # fmt: skip
        for audience in audiences:
            assert self.is_refused(built, fresh(built, audience=audience)), audience

    def test_another_key(self, built: World) -> None:
        """A stranger's, another client's, under the kid of the right one or none."""
        for kid in (key().kid, key("b").kid, "x", "", ..., 7, None):
            for by in (key("thief"), key("b"), key("thief", "PS256")):
                assert self.is_refused(built, fresh(built, by=by, header={"kid": kid}))

    def test_a_key_that_comes_along(self, built: World, source: Served) -> None:
        """In the header, by value or by reference: it counts for nothing and nobody fetches it."""
        thief = SigningKey.generate()
        certificate = b64encode(OWN.der).decode()
        source.answer("/jwks", jwks(thief))
        headers: list[dict[str, Any]] = [
            {"jwk": thief.public_jwk()}, {"jku": f"{source.url}/jwks"}, {"x5u": f"{source.url}/jwks"},
            {"x5c": [certificate]}, {"jwk": thief.public_jwk(), "kid": thief.kid},
            {"jku": f"{source.url}/jwks", "kid": ...},
        ]  # fmt: skip
        for header in headers:
            assert self.is_refused(built, fresh(built, by=thief, header=header))
        assert not source.asked

    def test_no_signature_and_other_algorithms(self, built: World) -> None:
        """`none` in any letters, and a MAC whose secret is the public key, in every form that it has."""
        public = public_jwk(read_certificate(self_signed("CN=k", key=key().private).der))
        secrets = [json.dumps(public).encode(), public["x"].encode(), urlsafe_b64decode(public["x"] + "==")]
        for alg in ("none", "None", "nOnE", "", "HS256", "RS256", "ES384"):
            assert self.is_refused(built, unsigned("a", {"alg": alg, "typ": "JWT"}, audience=built.issuer))
        for secret in secrets:
            signing_input = fresh(built).rpartition(".")[0].partition(".")[2]
            signing_input = f"{encode(json.dumps({'alg': 'HS256', 'kid': key().kid}))}.{signing_input}"
            mac = HMAC(secret, SHA256())
            mac.update(signing_input.encode())
            assert self.is_refused(built, f"{signing_input}.{encode(mac.finalize())}")

    def test_a_jwt_for_something_else(self, built: World) -> None:
        """The client's own JWT of another type; and our own access token, which names the client as its subject."""
        for header in ({"typ": "at+jwt"}, {"typ": "logout+jwt"}, {"crit": ["exp"]}, {"b64": False}):
            assert self.is_refused(built, fresh(built, header=header))
        assert self.is_refused(built, ask(built, fresh(built)).json["access_token"])

    def test_nonsense(self, built: World) -> None:
        """Bytes, fragments, half a megabyte: 401 or 413, and never 500."""
        good = fresh(built)
        for value in (
            "x",
            "..",
            "a.b.c",
            good[:-10],
            good + "A",
            good.replace(".", ". "),
            good.upper(),
            "\x00",
            "é" * 9,
        ):
            assert self.is_refused(built, value), value
        assert result(ask(built, "x" * 20_000)) == REFUSED
        assert ask(built, "x" * 500_000).status == 413

    def test_another_method_shows_it(self, built: World) -> None:
        """A client of another method, none, or nobody gets nowhere with a good assertion; nor does this one without."""
        built.register("mtls", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="mtls.example")
        built.register("public", token_endpoint_auth_method="none", grant_types=["refresh_token"])
        for client_id in ("mtls", "public", "nobody"):
            assert self.is_refused(built, fresh(built, client_id))
        assert result(built.post("token", "a", OWN, grant_type="client_credentials")) == REFUSED
        assert result(built.introspect("x", "a", OWN)) == REFUSED
        assert result(built.revoke("x", "a", OWN)) == REFUSED

    def test_two_credentials_and_two_names(self, built: World) -> None:
        """A header or a secret beside it is malformed; another client_id is a failed authentication."""
        basic = {"authorization": "Basic " + b64encode(b"a:x").decode()}
        assert result(ask(built, fresh(built), client_secret="x")) == (400, "invalid_request")
        assert result(ask(built, fresh(built), headers=basic)) == (400, "invalid_request")
        assert result(ask(built, fresh(built), client_id="b")) == REFUSED
        assert ask(built, fresh(built), client_id="a").status == 200

    def test_repeated_parameters(self, built: World) -> None:
        """Of the credential: 400."""
        for name in ("client_assertion", "client_assertion_type"):
            pairs = [*form(fresh(built)).items(), ("grant_type", "client_credentials"), (name, "x")]
            assert result(built.ask(f"{built.mtls}/token", OWN, form=pairs)) == (400, "invalid_request")

    @staticmethod
    def is_refused(built: World, value: str) -> bool:
        answer = ask(built, value)
        expected = ask(built, "x").without_request_id
        return answer.without_request_id == expected and result(answer) == REFUSED


MALFORMED: dict[str, bytes] = {
    "empty": b"", "scheme alone": b"Basic", "no base64": b"Basic !!!", "cut": b"Basic YTpiY",
    "bytes": b"Basic \xff\xfe",
    "no colon": b"Basic " + b64encode(b"a"), "no name": b"Basic " + b64encode(b":x"),
    "no UTF-8": b"Basic " + b64encode(b"\xff:x"), "NUL inside": b"Basic " + b64encode(b"a\x00:x"),
    "bad percent": b"Basic " + b64encode(b"%FF:x"), "bearer": b"Bearer x",
    "long": b"Basic " + b64encode(b"a:" + b"x" * 6000),
    "a secret of nobody": b"Basic " + b64encode(b"nobody:x"), "wrong secret": b"Basic " + b64encode(b"a:x"),
    "surrogates": b"Basic " + b64encode("\ud800:x".encode("utf-8", "surrogatepass")),
}  # fmt: skip


@pytest.mark.parametrize("endpoint", ["token", "introspect", "revoke"])
def test_a_malformed_authorization_header(built: World, endpoint: str) -> None:
    """Is 401 with the scheme that is taken, at every endpoint, and never 500; two headers are 400."""
    body = urlencode({"grant_type": "client_credentials", "token": "x"}).encode()
    with contextlib.closing(built.connect(built.mtls, OWN)) as connection:

        def status(*headers: bytes) -> tuple[int, str | None, str]:
            connection.putrequest("POST", f"/{endpoint}")
            connection.putheader("content-type", "application/x-www-form-urlencoded")
            connection.putheader("content-length", str(len(body)))
            for each in headers:
                connection.putheader("authorization", each)
            connection.endheaders(body)
            response = connection.getresponse()
            document = json.loads(response.read())
            return response.status, response.getheader("www-authenticate"), document["error"]

        for case, header in MALFORMED.items():
            assert status(header) == (401, 'Basic realm="certbound"', "invalid_client"), case
        assert status(b"Basic YTpi", b"Basic YTpi")[::2] == (400, "invalid_request")


@pytest.mark.parametrize("connections", [50])
def test_one_use_whoever_else_comes(built: World, connections: int) -> None:
    """The same assertion from fifty connections at once gives exactly one token; and none later, at any endpoint."""
    value = fresh(built)
    together = Barrier(connections)
    content = urlencode({**form(value), "grant_type": "client_credentials"})
    fields = {"content-type": "application/x-www-form-urlencoded"}

    def once(_: int) -> int:
        with contextlib.closing(built.connect(built.mtls, OWN)) as connection:
            connection.connect()
            together.wait(30)
            connection.request("POST", "/token", body=content, headers=fields)
            return connection.getresponse().status

    with ThreadPoolExecutor(connections) as pool:
        statuses = sorted(pool.map(once, range(connections)))
    assert statuses == [200] + [401] * (connections - 1)
    for endpoint in ("token", "introspect", "revoke"):
        assert result(ask(built, value, endpoint=endpoint, token="x")) == REFUSED


def test_a_jti_is_the_clients_own(built: World) -> None:
    """Another client's with the same jti counts; and whoever cannot sign uses up nothing."""
    assert result(ask(built, fresh(built, "a", jti="shared", by=key("thief")))) == REFUSED
    assert ask(built, fresh(built, "b", jti="shared", by=key("b"))).status == 200
    assert ask(built, fresh(built, "a", jti="shared")).status == 200
    assert result(ask(built, fresh(built, "a", jti="shared"))) == REFUSED


class TestRotation:
    """Keys behind a jwks_uri, by the rules for certificates there (R13)."""

    def test_a_new_key_counts_at_once_and_an_old_one_until_it_is_gone(self, built: World, source: Served) -> None:
        old, new = SigningKey.generate(), SigningKey.generate("EdDSA")
        built.register("rotating", **published_at(source, "/rotating", old))
        assert ask(built, fresh(built, "rotating", by=old)).status == 200
        assert result(ask(built, fresh(built, "rotating", by=new))) == REFUSED
        published_at(source, "/rotating", old, new)
        time.sleep(0.25)  # the interval since somebody looked for it in vain
        assert ask(built, fresh(built, "rotating", by=new)).status == 200
        assert ask(built, fresh(built, "rotating", by=old)).status == 200
        published_at(source, "/rotating", new)
        deadline = time.monotonic() + 5
        while ask(built, fresh(built, "rotating", by=old)).status == 200:
            assert time.monotonic() < deadline
        assert ask(built, fresh(built, "rotating", by=new)).status == 200

    def test_invented_kids_do_not_flood_the_source(self, built: World, source: Served) -> None:
        """A hundred strangers cause a fetch per interval, and the client's own key goes on."""
        own = SigningKey.generate()
        built.register("flooded", **published_at(source, "/flooded", own, max_age=60))
        assert ask(built, fresh(built, "flooded", by=own)).status == 200
        begun = time.monotonic()

        def strange(number: int) -> int:
            return ask(built, fresh(built, "flooded", by=key("thief"), header={"kid": f"x{number}"})).status

        with ThreadPoolExecutor(8) as pool:
            found = pool.map(strange, range(100))
            assert ask(built, fresh(built, "flooded", by=own)).status == 200
            assert set(found) == {401}
        assert len(source.asked) <= 3 + (time.monotonic() - begun) / 0.2

    def test_a_source_that_cannot_be_had(self, built: World, source: Served) -> None:
        """Whatever went wrong, the answer is the one that everybody gets."""
        own = SigningKey.generate()
        source.answer("/broken", ["no", "jwks"])
        for name in ("missing", "broken"):
            built.register(name, token_endpoint_auth_method="private_key_jwt", jwks_uri=f"{source.url}/{name}")
            assert TestRefusals.is_refused(built, fresh(built, name, by=own))

    def test_certificates_of_others_are_keys(self, built: World, source: Served) -> None:
        """A set may hold both; a key that stands beside a certificate verifies, one for encryption does not."""
        issued, encrypting = self_signed("CN=c"), SigningKey.generate()
        document = make_jwks([read_certificate(issued.der)])
        document["keys"].append({**encrypting.public_jwk(), "use": "enc"})
        source.answer("/both", document)
        built.register("both", token_endpoint_auth_method="private_key_jwt", jwks_uri=f"{source.url}/both")
        signing = SigningKey.load(issued.key_pem)
        assert ask(built, fresh(built, "both", by=signing)).status == 200
        assert TestRefusals.is_refused(built, fresh(built, "both", by=encrypting))


def published_at(source: Served, path: str, *keys: SigningKey, max_age: int = 0) -> dict[str, Any]:
    """The metadata of a client that publishes these keys there."""
    source.answer(path, jwks(*keys), **{"cache-control": f"max-age={max_age}"})
    return {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": source.url + path}


def test_keys_that_are_not_registered(built: World) -> None:
    """A weak one, a private one, a shared secret, one for encryption or for what nobody takes, and none: refused, with
    the field."""
    weak = public_jwk(read_certificate(self_signed("CN=w", key=rsa.generate_private_key(65537, 1024)).der))
    private = {**key().public_jwk(), "d": "AA"}
    others = [{"kty": "oct", "k": "AAAA"}, {**key().public_jwk(), "use": "enc"}, {**key().public_jwk(), "alg": "ES512"}]
    for keys in (
        [weak],
        [private],
        [key().public_jwk(), private],
        [key().public_jwk(), weak],
        *([each] for each in others),
        [],
    ):
        with pytest.raises(InvalidClientMetadata) as refusal:
            built.register("weak", token_endpoint_auth_method="private_key_jwt", jwks={"keys": keys})
        assert refusal.value.field.startswith("jwks")


def test_a_method_that_is_off(tmp_path: Path) -> None:
    """Where the deployment takes no assertions, none counts, and the metadata names neither method nor algorithms."""
    with world(tmp_path, authentication__methods=["tls_client_auth"]) as closed:
        closed.store("a", **metadata())
        assert result(ask(closed, fresh(closed))) == REFUSED
        found = closed.ask(f"{closed.issuer}/.well-known/oauth-authorization-server", method="GET").json
        assert found["token_endpoint_auth_methods_supported"] == ["tls_client_auth"]
        assert not [name for name in found if "signing_alg_values" in name and "auth" in name]
