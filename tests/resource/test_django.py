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
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page

from certbound.core.errors import ConfigurationError
from certbound.resource import FixedKeys, ProtectedResource, flask
from certbound.resource.django import Guard, api, metadata, principal_of, requires
from certbound.resource.rest_framework import HasScopes
from certbound.tls.facts import EXTENSION, ConnectionFacts
from certificates import NOW
from issuing import AUDIENCE, ISSUER, KEYS, PEER, token

GOOD: dict[str, Any] = {"resource": AUDIENCE, "issuer": ISSUER, "keys": FixedKeys(KEYS), "clock": lambda: NOW}
FACTS = ConnectionFacts(peer_certificate=PEER, tls_version="TLSv1.3", cipher="", group=None, asks_for_certificate=True)


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    with override_settings(CERTBOUND=GOOD):
        yield


def asked(scope: Any = "read", path: Any = "/", **facts: Any) -> HttpRequest:
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


@pytest.mark.parametrize("require", [requires, HasScopes, flask.requires], ids=["django", "rest", "flask"])
@pytest.mark.parametrize("scope", ["read write", "", '"'])
def test_what_is_no_scope_is_told_when_the_module_is_imported(require: Any, scope: str) -> None:
    """And not when the first request comes, which would be refused for ever."""
    with pytest.raises(ConfigurationError, match="scope"):
        require(scope)


class Accounts(View):  # type: ignore[misc]  # Django has no types
    """Asynchronous, so that `as_view` and `dispatch` make awaitables and are no asynchronous functions."""

    async def get(self, request: HttpRequest) -> HttpResponse:
        principal_of(request).require(request.GET.get("more", "read"))
        return HttpResponse("in")


@pytest.mark.parametrize(
    "view",
    [
        requires("read")(Accounts.as_view()),
        method_decorator(requires("read"), name="dispatch")(type("Dispatching", (Accounts,), {})).as_view(),
        method_decorator(requires("read"), name="get")(type("Getting", (Accounts,), {"get": Accounts.get})).as_view(),
    ],
    ids=["as_view", "dispatch", "get"],
)
def test_classes_of_asynchronous_views_are_guarded_as_any(view: Any) -> None:
    """Wherever the decorator stands, a refusal is an answer, also what the view itself asks for."""

    def status(request: HttpRequest) -> Any:
        return asyncio.run(view(request)).status_code

    assert [200, 403, 401] == [status(asked()), status(asked("write")), status(asked(None))]
    assert 403 == status(asked(path="/?more=write"))


def test_no_cache_before_the_guard_keeps_what_is_behind_it() -> None:
    """A `cache_page` above the decorator or the middleware would answer a thief; one below them is theirs to use."""
    stolen, seen = f"Bearer {token()}", []

    def accounts(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse("in")

    def statuses(view: Any, path: str) -> list[int]:
        headers = {"authorization": stolen}
        requests = (RequestFactory().get(path, headers=headers, **{EXTENSION: each}) for each in (FACTS, None, FACTS))
        return [view(each).status_code for each in requests]

    assert [200, 401, 200] == statuses(cache_page(60)(requires("read")(accounts)), "/above")
    assert 2 == len(seen)
    assert [200, 401, 200] == statuses(requires("read")(cache_page(60)(accounts)), "/below")
    assert 3 == len(seen)
    assert [200, 401, 200] == statuses(cache_page(60)(Guard(accounts)), "/around")


def test_the_middleware_tells_the_metadata_and_nothing_else() -> None:
    """At its own path; as a view it answers GET and HEAD alone."""
    guard = Guard(lambda _: HttpResponse("in"))
    path = "/.well-known/oauth-protected-resource"
    assert (200, 401) == tuple(guard(asked(None, each)).status_code for each in (path, path + "/"))  # type: ignore[union-attr]
    assert 405 == metadata(RequestFactory().post(path)).status_code


def test_where_nobody_says_which_certificate_a_client_holds_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """For the middleware and a view that decides by itself; whoever has no token says nothing of the deployment."""
    view = requires()(lambda request: HttpResponse())
    for ask in (Guard(lambda request: HttpResponse()), view):
        caplog.clear()
        assert 401 == ask(asked(None, **{EXTENSION: None})).status_code  # type: ignore[union-attr]
        assert "nothing says which certificate" not in caplog.text
        with override_settings(CERTBOUND=GOOD):  # what was told is forgotten
            assert 401 == ask(asked(**{EXTENSION: None})).status_code  # type: ignore[union-attr]
        assert "nothing says which certificate clients hold" in caplog.text
