"""certbound.resource.django: what `settings.CERTBOUND` may say, and what views find without a guard."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="of no use")

from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from certbound.core.errors import ConfigurationError
from certbound.resource import FixedKeys, ProtectedResource
from certbound.resource.django import Guard, api, metadata, principal_of, requires
from certbound.tls.facts import EXTENSION, ConnectionFacts
from certificates import NOW
from issuing import AUDIENCE, ISSUER, KEYS, PEER, token

GOOD: dict[str, Any] = {"resource": AUDIENCE, "issuer": ISSUER, "keys": FixedKeys(KEYS), "clock": lambda: NOW}
FACTS = ConnectionFacts(peer_certificate=PEER, tls_version="TLSv1.3", cipher="", group=None, asks_for_certificate=True)


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    with override_settings(CERTBOUND=GOOD):
        yield


def asked(scope: str | None = "read", path: str = "/", **facts: Any) -> HttpRequest:
    headers = {} if scope is None else {"authorization": f"Bearer {token(scope=scope)}"}
    return RequestFactory().get(path, headers=headers, **{EXTENSION: FACTS, **facts})


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (None, "settings.CERTBOUND is missing; write CERTBOUND = "),
        ("https://as.example", "settings.CERTBOUND is no dict"),
        ({"issuer": ISSUER}, r"settings.CERTBOUND\['resource'\] is missing"),
        ({"resource": AUDIENCE, "issuer": ""}, r"settings.CERTBOUND\['issuer'\] is missing"),
        ({**GOOD, "audiences": []}, r"settings.CERTBOUND\['audiences'\] is unknown; there are algorithms, audience"),
        ({**GOOD, 1: 2}, r"settings.CERTBOUND\['1'\] is unknown"),
        ({**GOOD, "issuer": "http://as.example"}, "settings.CERTBOUND: the issuer must be an https URL"),
        ({**GOOD, "scopes": "read"}, "settings.CERTBOUND: the scopes must be a set"),
        ({**GOOD, "issuer_ca": "/nowhere.pem"}, "settings.CERTBOUND: .*No such file"),
        ({**GOOD, "introspection": {"client": "a"}}, r"settings.CERTBOUND\['introspection'\]: .*client"),
    ],
    ids=range(10),
)
def test_what_is_wrong_stops_the_start_and_names_its_key(described: Any, said: str) -> None:
    """The middleware is made when the process starts."""
    with override_settings(CERTBOUND=described), pytest.raises(ImproperlyConfigured, match=said):
        Guard(lambda _: HttpResponse())


def test_what_is_right_is_one_protected_resource() -> None:
    """Of a dict, with lists where sets are meant, or as it is."""
    with override_settings(CERTBOUND={**GOOD, "scopes": ["read"]}):
        assert frozenset({"read"}) == api().scopes
        assert api() is api()
    own = ProtectedResource(**GOOD)
    with override_settings(CERTBOUND=own):
        assert own is api()
    asking = {"client_id": "a", "certificate": "/nowhere.pem", "key": "/nowhere.key"}
    with (
        override_settings(CERTBOUND={**GOOD, "introspection": asking}),
        pytest.raises(ImproperlyConfigured, match=r"introspection: the certificate /nowhere\.pem"),
    ):
        api()


def test_a_decorated_view_needs_nobody_in_front() -> None:
    """It decides by itself, once; ordinary and asynchronous views."""

    @requires("read")
    def ordinary(request: HttpRequest) -> HttpResponse:
        return HttpResponse(principal_of(request).client_id)

    @requires("read")
    async def asynchronous(request: HttpRequest) -> HttpResponse:
        return HttpResponse(principal_of(request).client_id)

    def both(make: Any) -> set[tuple[int, bool]]:
        answers = ordinary(make()), asyncio.run(asynchronous(make()))
        return {(each.status_code, b"a" == each.content) for each in answers}

    assert {(200, True)} == both(asked)
    assert {(403, False)} == both(lambda: asked("write"))
    assert {(401, False)} == both(lambda: asked(None))
    assert {(401, False)} == both(lambda: asked(**{EXTENSION: None}))


def test_a_view_without_a_guard_has_no_principal() -> None:
    """And an attribute of another kind is none."""
    request = asked()
    for found in (None, "a"):
        request.certbound_principal = found
        with pytest.raises(LookupError, match="MIDDLEWARE"):
            principal_of(request)


def test_a_decorator_without_its_brackets_is_an_error() -> None:
    """`@requires` above a view would make a decorator of it, which answers nobody."""
    with pytest.raises(ConfigurationError, match="@requires"):
        requires(lambda request: request)  # type: ignore[arg-type]


def test_the_middleware_tells_the_metadata_and_nothing_else() -> None:
    """At its own path; as a view it answers GET and HEAD alone."""
    guard = Guard(lambda _: HttpResponse("in"))
    path = "/.well-known/oauth-protected-resource"
    assert (200, 401) == tuple(guard(asked(None, each)).status_code for each in (path, path + "/"))  # type: ignore[union-attr]
    assert 405 == metadata(RequestFactory().post(path)).status_code
