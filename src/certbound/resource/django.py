"""The guard for Django, by `settings.CERTBOUND`.

    CERTBOUND = {"resource": "https://api.example", "issuer": "https://as.example"}
    MIDDLEWARE = ["certbound.resource.django.Guard", ...]

    @requires("accounts")
    def accounts(request): ...

Rule 1: what `CERTBOUND` says wrong stops the start and names its key; unknown keys are wrong.
Rule 2: with the middleware no view is open.  Without it `@requires` decides by itself, so that a project may guard its
API alone; no decorated view trusts that somebody else did.
Rule 3: WSGI and ASGI, ordinary and asynchronous views alike, classes included.
Rule 4: no cache of Django's that stands in front of the guard keeps what is behind it, and an answer that says nothing
about caching is `private` to all others.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from certbound.core.errors import ConfigurationError, InsufficientScope, ProtectedResourceError
from certbound.resource import asgi, wsgi
from certbound.resource._order import Sourceless
from certbound.resource._scopes import require_words
from certbound.resource.blocking import admit
from certbound.resource.caching import PRIVATE
from certbound.resource.introspection import Introspection
from certbound.resource.metadata import CACHE_CONTROL, describe, metadata_path, metadata_url
from certbound.resource.protected import Asked, ProtectedResource
from certbound.resource.refusal import refuse
from certbound.resource.verify import Principal
from certbound.tls.facts import connection_facts, environ_facts

__all__ = ["Guard", "api", "metadata", "principal_of", "requires"]

View = TypeVar("View", bound=Callable[..., Any])
Respond = Callable[[HttpRequest], Any]


class Guard:
    """Middleware: no request reaches a view without a valid token, bound to the certificate on its connection."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Respond) -> None:
        self._respond = get_response
        self._api = api()
        self._metadata_path = metadata_path(self._api)
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._answer(request)
        if self._asks_for_metadata(request):
            return metadata(request)
        try:
            principal_in(request)
        except ProtectedResourceError as refusal:
            return refused(refusal)
        return kept_private(cast("HttpResponseBase", self._respond(request)))

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        if self._asks_for_metadata(request):
            return metadata(request)
        try:
            await _principal_in(request)
        except ProtectedResourceError as refusal:
            return refused(refusal)
        return kept_private(cast("HttpResponseBase", await self._respond(request)))

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """What `principal.require` raised in a view becomes the 403."""
        del request
        return refused(exception) if isinstance(exception, InsufficientScope) else None

    def _asks_for_metadata(self, request: HttpRequest) -> bool:
        return request.method in {"GET", "HEAD"} and request.path == self._metadata_path


def requires(*scopes: str) -> Callable[[View], View]:
    """The view needs a token with every one of `scopes`, beside those that the whole API needs."""
    require_words(scopes)

    def decorate(view: View) -> View:
        @wraps(view)
        async def asynchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                (await _principal_in(request)).require(*scopes)
                return kept_private(await view(request, *args, **kwargs))
            except ProtectedResourceError as refusal:
                return refused(refusal)

        @wraps(view)
        def synchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                principal_in(request).require(*scopes)
                return kept_private(view(request, *args, **kwargs))
            except ProtectedResourceError as refusal:
                return refused(refusal)

        return cast("View", asynchronous if _is_asynchronous(view) else synchronous)

    return decorate


def metadata(request: HttpRequest) -> HttpResponse:
    """The API's metadata (RFC 9728), as a view, for projects without the middleware.

    path(".well-known/oauth-protected-resource", metadata)
    """
    if request.method not in {"GET", "HEAD"}:
        return HttpResponse(status=405, headers={"allow": "GET, HEAD"})
    return HttpResponse(describe(api()), content_type="application/json", headers={"cache-control": CACHE_CONTROL})


def principal_of(request: HttpRequest) -> Principal:
    """Who calls, as the middleware or `@requires` found.  `LookupError` where neither stands in front of the view."""
    found = _remembered(request)
    if found is not None:
        return found
    raise LookupError(
        "no guard let this request pass; put certbound.resource.django.Guard into MIDDLEWARE, or @requires on the view"
    )


def principal_in(request: HttpRequest) -> Principal:
    """Who calls, decided now if nobody did.  `ProtectedResourceError` if it may not."""
    try:
        return _remembered(request) or _remember(request, admit(api(), asked_of(request)))
    except ProtectedResourceError as refusal:
        _tell_if_sourceless(request, refusal)
        raise


async def _principal_in(request: HttpRequest) -> Principal:
    try:
        return _remembered(request) or _remember(request, await api().admit(asked_of(request)))
    except ProtectedResourceError as refusal:
        _tell_if_sourceless(request, refusal)
        raise


def _tell_if_sourceless(request: HttpRequest, refusal: ProtectedResourceError) -> None:
    scope = getattr(request, "scope", None)
    _sourceless.tell(environ_facts(request.environ) if scope is None else connection_facts(scope), refusal)


def kept_private(response: HttpResponseBase) -> HttpResponseBase:
    """The same response, for no cache that others ask, unless it says for which."""
    if isinstance(response, HttpResponseBase):
        response.setdefault("Cache-Control", PRIVATE)
    return response


def asked_of(request: HttpRequest) -> Asked:
    """What of a request decides, from WSGI or ASGI."""
    scope = getattr(request, "scope", None)
    return wsgi.asked_of(request.environ) if scope is None else asgi.asked_of(scope)


def refused(refusal: ProtectedResourceError) -> HttpResponse:
    """The refusal as a response."""
    answer = refuse(refusal, metadata_url=metadata_url(api()))
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


@lru_cache(maxsize=1)
def api() -> ProtectedResource:
    """What `settings.CERTBOUND` describes.  `ImproperlyConfigured` names the key that is wrong."""
    described = getattr(settings, "CERTBOUND", None)
    if isinstance(described, ProtectedResource):
        return described
    if not isinstance(described, Mapping):
        raise ImproperlyConfigured(f"settings.CERTBOUND is {'missing' if described is None else 'no dict'}; {_EXAMPLE}")
    for key in ("resource", "issuer"):
        if not described.get(key):
            raise ImproperlyConfigured(f"settings.CERTBOUND[{key!r}] is missing; {_EXAMPLE}")
    if unknown := sorted(str(each) for each in described if each not in _KEYS):
        raise ImproperlyConfigured(
            f"settings.CERTBOUND[{unknown[0]!r}] is unknown; there are {', '.join(sorted(_KEYS))}"
        )
    try:
        return ProtectedResource(**{key: _value(key, value) for key, value in described.items()})
    except (ConfigurationError, OSError) as error:
        raise ImproperlyConfigured(f"settings.CERTBOUND: {error}") from error


def _value(key: str, value: Any) -> Any:
    if key == "scopes" and isinstance(value, (list, tuple)):
        return frozenset(value)
    if key == "introspection" and isinstance(value, Mapping):
        try:
            return Introspection(**value)
        except TypeError as error:
            raise ImproperlyConfigured(f"settings.CERTBOUND['introspection']: {error}") from error
    return value


def _remember(request: HttpRequest, principal: Principal) -> Principal:
    request.certbound_principal = principal
    # Whoever asks a `cache_page` above the decorator, or a cache before the middleware, is not asked for a token.
    request._cache_update_cache = False  # noqa: SLF001  Django has no other word for it
    return principal


def _remembered(request: HttpRequest) -> Principal | None:
    found = getattr(request, "certbound_principal", None)
    return found if isinstance(found, Principal) else None


def _is_asynchronous(view: Any) -> bool:
    """A function, what `as_view` makes, or the `dispatch` of a class as `method_decorator` hands it over."""
    of_class = getattr(getattr(view, "func", None), "__self__", None)
    return iscoroutinefunction(view) or getattr(of_class, "view_is_async", False) is True


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "CERTBOUND":
        api.cache_clear()
        _sourceless.forget()


setting_changed.connect(_forget)
_sourceless = Sourceless()
_KEYS = frozenset(inspect.signature(ProtectedResource).parameters)
_EXAMPLE = 'write CERTBOUND = {"resource": "https://api.example", "issuer": "https://as.example"}'
