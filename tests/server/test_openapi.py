"""The OpenAPI document: valid, of the routes and nothing else, and of what is on."""

import contextlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from certbound.core import authorization, client_information, clients
from certbound.core.authorization import ERRORS, AuthorizationError, ReturnTo, read_request
from certbound.core.client_unspoken import UNSPOKEN
from certbound.core.clients import Allowed, Method, read_client
from certbound.core.errors import OAuthError, Refusal
from certbound.core.grants import GRANT_TYPES, Policy, client_credentials
from certbound.core.metadata import DIRECT_ENDPOINTS, INTROSPECTION, REVOCATION, TOKEN, Offer
from certbound.core.registration import Need, Way
from certbound.core.scope import Scope
from certbound.core.well_known import Issuer
from certbound.server import _schemas
from certbound.server.call import REPEATABLE
from certbound.server.openapi import Facts, describe_api
from certbound.server.routes import route_tables
from certbound.server.watch import ENDPOINTS

SCOPE = Scope(frozenset({"read", "a.b*"}))
OFFER = Offer(
    issuer=Issuer("https://as.example"),
    mtls_base="https://mtls.as.example",
    scope=SCOPE,
    grant_types=GRANT_TYPES,
    methods=frozenset(Method),
    can_bind=True,
    endpoints=frozenset(DIRECT_ENDPOINTS),
    authorizes=True,
    openid=True,
    login_application=True,
    locales=("cs", "en"),
    assertion_algorithms=("ES256",),
    signing_algorithms=("ES256",),
)
ALLOWED = Allowed(
    scope=SCOPE,
    grant_types=GRANT_TYPES,
    methods=frozenset(Method),
    has_anchors=True,
    own_anchors=True,
    resources=frozenset({"https://api.example"}),
)
FACTS = Facts(
    offer=OFFER,
    resources=["https://api.example"],
    ways=[Way(name="one", needs=frozenset({Need.INITIAL_TOKEN, Need.SOFTWARE_STATEMENT}), allowed=ALLOWED)],
)
VALUES = {"string": "no such word", "integer": 7, "boolean": True, "array": [7], "object": {"a": 1}}
LEAST_OF: dict[str, dict[str, str]] = {
    "client_secret_basic": {},
    "self_signed_tls_client_auth": {"jwks_uri": "https://a.example/jwks"},
    "tls_client_auth": {"tls_client_auth_subject_dn": "CN=a"},
}
LEAST = Facts(
    offer=replace(
        OFFER,
        mtls_base=None,
        scope=Scope(frozenset()),
        grant_types=frozenset({client_credentials.GRANT_TYPE}),
        methods=frozenset({Method.TLS_CLIENT_AUTH}),
        endpoints=frozenset({TOKEN, REVOCATION, INTROSPECTION}),
        authorizes=False,
        openid=False,
        login_application=False,
    ),
    resources=["https://api.example"],
)


@pytest.mark.parametrize("facts", [FACTS, LEAST], ids=["everything", "least"])
def test_it_is_valid(facts: Facts) -> None:
    """OpenAPI 3.1, also of its references, its parameters and its examples."""
    OpenAPIV31SpecValidator(describe_api(facts)).validate()


@pytest.mark.parametrize("path", ["", "/tenant"])
@pytest.mark.parametrize("base", [None, "https://mtls.as.example", "https://as.example:9443/mtls"])
def test_it_has_every_route_and_nothing_else(path: str, base: str | None) -> None:
    """On each host, by path and method, also where issuer and host have paths of their own; but for people's pages."""
    offer = replace(OFFER, issuer=Issuer(f"https://as.example{path}"), mtls_base=base)
    document = describe_api(replace(FACTS, offer=offer))
    tables = [table for table in route_tables(offer) if table]
    origins = [each["url"] for each in document["servers"]]
    assert origins == ["https://as.example", *([re.match("https://[^/]+", base)[0]] if base else [])]  # type: ignore[index]
    served = {
        (origin, raw + ("{}" if route.takes_rest else ""), method.lower())
        for origin, table in zip(origins, tables, strict=True)
        for raw, route in table.items()
        for method in route.methods
        if not route.is_page
    }
    told = {
        (server["url"], re.sub("{.*}", "{}", path), method)
        for path, item in document["paths"].items()
        for server in item.get("servers", document["servers"])
        for method in item.keys() - {"servers", "parameters"}
    }
    assert told == served
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names))


def test_what_is_off_is_not_in_it() -> None:
    """No endpoint, no method, no grant, and no component that only they need."""
    document = describe_api(LEAST)
    text = str(document)
    for absent in (
        "register", "refresh_token", "token-exchange", "client_secret", "client_assertion", "Bearer realm", "par",
        "device_authorization", "userinfo", "interactions", "openid-configuration", "code_verifier", "device_code",
    ):  # fmt: skip
        assert absent not in {name for path in document["paths"] for name in path.split("/")}
        assert absent not in str(document["components"]["schemas"]["TokenRequest"]), absent
    assert "register" not in text.replace("registered", "")
    for absent in ("authorization_pending", "'id_token'", "accessToken", "/authorize", "redirect_uri"):
        assert absent not in text, absent
    assert set(document["components"]["securitySchemes"]) == {"mutualTLS"}
    assert document["paths"]["/token"]["post"]["security"] == [{"mutualTLS": []}]
    form = document["components"]["schemas"]["RevocationRequest"]
    assert form["required"] == ["token", "client_id"]


def test_ways_are_told_by_what_they_need() -> None:
    """What needs nothing is open; what stands in the body is no scheme."""
    every = [frozenset({Need.MUTUAL_TLS, Need.INITIAL_TOKEN}), frozenset({Need.SOFTWARE_STATEMENT}), frozenset()]
    ways = [Way(name=str(n), needs=needs, allowed=ALLOWED) for n, needs in enumerate(every)]
    document = describe_api(replace(FACTS, ways=ways))
    security = document["paths"]["/register"]["post"]["security"]
    assert security == [{"initialAccessToken": [], "mutualTLS": []}, {}, {}]


def test_every_refusal_of_an_operation_is_one_that_there_is() -> None:
    """Codes and statuses are those of the tree of errors; an answer that must not be kept says so."""
    codes = {getattr(each, "error", "") for each in subclasses(Refusal)} | ERRORS
    for name, operation in operations(describe_api(FACTS)):
        assert operation["tags"][0] in ENDPOINTS
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                schema = response["content"]["application/json"]["schema"]
                _, said = schema.get("anyOf", [schema])[0]["allOf"]
                assert set(said["properties"]["error"]["enum"]) <= codes, name
                assert response["headers"]["Cache-Control"]["schema"]["const"] == "no-store"
                is_resource = "WWW-Authenticate" in response["headers"] and operation["tags"] == ["userinfo"]
                assert ("WWW-Authenticate" in response["headers"]) is (status == "401" or is_resource)
                assert is_resource is (operation["tags"] == ["userinfo"] and int(status) < 500)


def test_every_parameter_that_is_read_is_told() -> None:
    """What the endpoints take out of a form is what the schemas of forms have."""
    server = Path(_schemas.__file__).parent
    read = {
        name
        for file in server.glob("*.py")
        if file.name not in _PAGES
        for name in re.findall(r"form\.(?:one|require|all)\(\"(\w+)\"\)", file.read_text())
    }
    components = describe_api(FACTS)["components"]["schemas"]
    forms = [
        *components["TokenRequest"]["oneOf"],
        *(components[f"{name}Request"] for name in ("Introspection", "Revocation", "Device")),
    ]
    properties = {name: schema for form in forms for name, schema in form["properties"].items()}
    told = properties.keys()
    assert {name for name, schema in properties.items() if schema.get("type") == "array"} == REPEATABLE
    assert told - read == {"token_type_hint"}, "nobody needs it"
    assert read - told == {"actor_token"}, "it is refused whatever it is"


def test_every_member_of_client_metadata_is_told() -> None:
    """Each that means something, for each method that may register it."""
    request = describe_api(FACTS)["components"]["schemas"]["RegistrationRequest"]
    told = {name for variant in request["oneOf"] for name in variant["properties"]}
    assert told == {*clients.MEMBERS, *client_information.MEMBERS} - UNSPOKEN.keys()


def test_every_parameter_of_a_pushed_request_is_told() -> None:
    """Those that are read, and no others; what is refused by name is not offered."""
    told = describe_api(FACTS)["components"]["schemas"]["PushedRequest"]["properties"].keys()
    source = Path(authorization.__file__).read_text()
    read = set(re.findall(r"\(parameters, \"(\w+)\"", source)) | {"resource"}
    assert told - {"client_id", "client_secret", "client_assertion", "client_assertion_type"} == read


@pytest.mark.parametrize(
    ("prompt", "is_one"),
    [("", True), ("none", True), ("login consent", True), ("none login", False), ("login none", False), ("x", False),
     ("select_account login", True), ("login  consent", False), ("consent\n", False)],
)  # fmt: skip
def test_what_prompt_may_be_is_what_is_read(prompt: str, is_one: bool) -> None:
    """The pattern and the reader agree."""
    schema = describe_api(FACTS)["components"]["schemas"]["PushedRequest"]["properties"]["prompt"]
    assert (re.search(schema["pattern"].replace("$", r"\Z"), prompt) is not None) is is_one
    asked = {"prompt": [prompt], "response_type": ["code"], "code_challenge": ["a" * 43],
             "code_challenge_method": ["S256"]}  # fmt: skip
    app = read_client("a", {"token_endpoint_auth_method": "client_secret_basic", "scope": "read"})
    policy, to = Policy(scope=SCOPE, resources=["https://api.example"]), ReturnTo("https://a.example/")
    with contextlib.nullcontext() if is_one else pytest.raises(AuthorizationError):
        read_request(asked, app, policy, to)


@pytest.mark.parametrize("method", ["client_secret_basic", "self_signed_tls_client_auth", "tls_client_auth"])
def test_a_member_of_another_type_is_refused(method: str) -> None:
    """Of the types of JSON, those that its schema does not have, by name; and a word that is none of its words."""
    variants = describe_api(FACTS)["components"]["schemas"]["RegistrationRequest"]["oneOf"]
    properties = next(each["properties"] for each in variants if each["title"] == method)
    for name in properties.keys() - {"token_endpoint_auth_method", "software_statement"}:
        permitted = properties[name].get("type", [])
        for kind, value in VALUES.items():
            if kind not in permitted:
                least = {} if name.startswith("tls_client_auth_s") and not name.endswith("_order") else LEAST_OF[method]
                with pytest.raises(OAuthError) as refused:
                    read_client("a", {"token_endpoint_auth_method": method, **least, name: value})
                assert name in refused.value.reason, value


_PAGES = {"authorization.py", "interactions.py", "device.py", "sessions.py", "account.py", "logout.py"}
"""What people are shown; the one form of these that a client sends is read as the token endpoint's are."""


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method not in ("servers", "parameters")
    ]


def subclasses(kind: type[Any]) -> list[Any]:
    return [found for each in kind.__subclasses__() for found in (each, *subclasses(each))]
