"""Stolen and forged tokens at the API, over real TLS (RFC 8705 section 3, RFC 6750)."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from certbound.core.certificate import thumbprint
from certbound.trust.authority import Issued, self_signed
from e2e.world import RESOURCE, Answer, World, world


def segment(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def header_of(token: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "==")))


def claims_of(token: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==")))


def signed(header: dict[str, Any], claims: dict[str, Any], key: ECKey) -> str:
    return jws.serialize_compact(header, json.dumps(claims).encode(), key, algorithms=["ES256"])


def unsigned(token: str) -> str:
    return f"{segment({**header_of(token), 'alg': 'none'})}.{token.split('.')[1]}."


def hmac_with_public_key(world: World, token: str) -> str:
    [jwk] = world.ask(f"{world.issuer}/jwks", method="GET").json["keys"]
    pem = ECKey.import_key(jwk).as_pem(private=False)
    signing_input = f"{segment({**header_of(token), 'alg': 'HS256'})}.{token.split('.')[1]}"
    return f"{signing_input}.{segment(hmac.digest(pem, signing_input.encode(), hashlib.sha256))}"


def own_key(token: str, **extra: Any) -> str:
    key = ECKey.generate_key("P-256")
    header = {**header_of(token), **{k: v(key) if callable(v) else v for k, v in extra.items()}}
    return signed(header, claims_of(token), key)


FORGERIES: dict[str, Callable[[World, str, Issued], str]] = {
    "alg none": lambda _, token, __: unsigned(token),
    "HS256 with the public key": lambda world, token, _: hmac_with_public_key(world, token),
    "its own jwk": lambda _, token, __: own_key(token, jwk=lambda key: key.as_dict(private=False)),
    "its own kid": lambda _, token, __: own_key(token, kid="mine"),
    "a key without kid": lambda _, token, __: own_key(token),
    "changed claims": lambda _, token, __: ".".join(
        (token.split(".")[0], segment({**claims_of(token), "scope": "admin"}), token.split(".")[2])
    ),
    "cut signature": lambda _, token, __: token[:-8],
    "no JWT": lambda _, __, ___: "abc",
    "another issuer": lambda _, token, __: ".".join(
        (token.split(".")[0], segment({**claims_of(token), "iss": "https://evil.example"}), token.split(".")[2])
    ),
    "8 KiB of it": lambda _, token, __: token + "A" * 9000,
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_tokens_are_refused(deployment: World, pki: Issued, forgery: str) -> None:
    """401 invalid_token, whatever the forger's idea was."""
    token = deployment.token("pki", pki)

    refused(deployment.call_api(FORGERIES[forgery](deployment, token, pki), pki))


def refused(answer: Answer) -> None:
    assert (401, "invalid_token") == (answer.status, answer.json["error"]), answer
    assert 'Bearer error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_stolen_token_is_worthless(deployment: World, pki: Issued, own: Issued) -> None:
    """With another certificate, with one that copies every name, and with none: 401 invalid_token (R15)."""
    token = deployment.token("pki", pki)

    for thief in (own, self_signed("CN=pki", dns=["pki.example"]), None):
        refused(deployment.call_api(token, thief))
    assert 200 == deployment.call_api(token, pki).status


def test_no_header_stands_for_a_certificate(deployment: World, pki: Issued) -> None:
    """Whoever sends a certificate or a thumbprint in a header has shown nothing (R27)."""
    token = deployment.token("pki", pki)
    pem = base64.b64encode(pki.der).decode()
    for header in ("client-cert", "x-ssl-client-cert", "x-forwarded-client-cert", "x-client-cert-thumbprint"):
        value = {"client-cert": f":{pem}:", "x-client-cert-thumbprint": thumbprint(pki.der)}.get(header, pem)
        answer = deployment.ask(
            f"{deployment.api}/", method="GET", headers={"authorization": f"Bearer {token}", header: value}
        )
        refused(answer)


def test_without_a_token_the_answer_names_no_error(deployment: World, pki: Issued) -> None:
    """RFC 6750 section 3.1: no authentication information, no error code."""
    answer = deployment.call_api(None, pki)

    metadata = f'Bearer resource_metadata="{RESOURCE}/.well-known/oauth-protected-resource"'
    assert (401, metadata) == (answer.status, answer.headers["www-authenticate"])


def test_two_tokens_are_a_bad_request(deployment: World, pki: Issued) -> None:
    """Two headers, two tokens in one, one in the query: 400 invalid_request."""
    token = deployment.token("pki", pki)
    connection = deployment.connect(deployment.api, pki)
    connection.putrequest("GET", "/")
    connection.putheader("authorization", f"Bearer {token}")
    connection.putheader("authorization", f"Bearer {token}")
    connection.endheaders()
    response = connection.getresponse()
    answers = [(response.status, json.loads(response.read())["error"])]
    connection.close()
    one = {"authorization": f"Bearer {token}, Bearer {token}"}
    for arguments in ({"url": f"{deployment.api}/", "headers": one},):
        answer = deployment.ask(arguments["url"], pki, method="GET", headers=arguments["headers"])
        answers.append((answer.status, answer.json["error"]))
    answer = deployment.ask(
        f"{deployment.api}/?access_token={token}", pki, method="GET", headers={"authorization": f"Bearer {token}"}
    )
    answers.append((answer.status, answer.json["error"]))

    assert [(400, "invalid_request")] * 3 == answers


def test_the_scheme_is_case_insensitive(deployment: World, pki: Issued) -> None:
    """RFC 9110 section 11.1."""
    token = deployment.token("pki", pki)
    answer = deployment.ask(f"{deployment.api}/", pki, method="GET", headers={"authorization": f"bEARER {token}"})

    assert 200 == answer.status


def test_too_small_a_scope_is_forbidden(deployment: World, pki: Issued) -> None:
    """403 insufficient_scope says which scope is needed."""
    answer = deployment.call_api(deployment.token("pki", pki, scope="write"), pki)

    assert (403, "insufficient_scope") == (answer.status, answer.json["error"])
    assert 'scope="read"' in answer.headers["www-authenticate"]


def test_a_token_for_another_api_is_refused(deployment: World, pki: Issued) -> None:
    """The audience is checked (RFC 9068 section 4)."""
    refused(deployment.call_api(deployment.token("pki", pki, resource="https://other.example"), pki))


def test_an_expired_token_is_refused(tmp_path: Any) -> None:
    """`exp` ends it, to the second."""
    with world(tmp_path, tokens__lifetime=1) as short:
        identity = self_signed("CN=brief")
        short.register_self_signed("brief", identity)
        token = short.token("brief", identity)
        time.sleep(2.1)
        refused(short.call_api(token, identity))


def test_the_api_asks_for_no_chain(deployment: World, own: Issued) -> None:
    """A self-signed certificate is as good as any where only possession counts (R26)."""
    assert 200 == deployment.call_api(deployment.token("own", own), own).status
