"""The guard in Starlette: middleware, what single endpoints need, and refusals from inside a mounted application.

    app.add_middleware(Guard, api=api)

    @requires("accounts")
    async def accounts(request): ...

Rule 1: `requires` asks what the guard found and never lets pass what no guard saw.
Rule 2: an application that is mounted below another turns exceptions into responses itself, so `answer_refusals` tells
it how to answer ours; the outermost one needs nothing, there the guard does.
Rule 3: the metadata has its place at the root of the host, so a guard inside a `Mount` needs `metadata_route` outside,
the first of the routes there: one that catches all would hide it.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.websockets import WebSocket, WebSocketState

from certbound.core.errors import ConfigurationError, ProtectedResourceError
from certbound.resource._scopes import require_words
from certbound.resource.asgi import CLOSE, METADATA, Guard, connected, described, principal_of, respond
from certbound.resource.metadata import metadata_path
from certbound.resource.protected import ProtectedResource
from certbound.resource.refusal import Answer, refuse
from certbound.resource.verify import Principal
from certbound.tls.ports import Receive, Scope, Send

__all__ = ["Guard", "answer_refusals", "metadata_route", "principal", "requires"]

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def principal(connection: HTTPConnection) -> Principal:
    """Who calls, of a request or a websocket.  `LookupError` where there is no guard in front."""
    return principal_of(connection.scope)


def requires(*scopes: str) -> Callable[[Endpoint], Endpoint]:
    """The endpoint (a function, a method, or a class) is for tokens with every one of `scopes`; 403 otherwise."""
    if not scopes:
        raise ConfigurationError("requires() names no scope; without it every token that the guard admits passes")
    require_words(scopes)

    def decorate(endpoint: Endpoint) -> Endpoint:
        if inspect.isclass(endpoint):
            return _requiring_class(endpoint, scopes)  # type: ignore[return-value]
        return _requiring(endpoint, scopes)

    return decorate


def metadata_route(api: ProtectedResource) -> Route:
    """The API's metadata (RFC 9728) for the outermost application.  `ConfigurationError` for an API that has none."""
    path = metadata_path(api)
    if path is None:
        raise ConfigurationError(f"{api.resource!r} is no https URL, so its metadata has no place")
    return Route(path, _Metadata(api), methods=["GET"], include_in_schema=False)


def answer_refusals(app: Starlette) -> None:
    """What `principal.require` and `requires` refuse in `app` becomes our 403."""
    app.add_exception_handler(ProtectedResourceError, _answer)  # type: ignore[arg-type]  # called as it stands there


async def _answer(connection: HTTPConnection, error: Exception) -> "_Refusal":
    assert isinstance(error, ProtectedResourceError)
    answer = refuse(error, metadata_url=connection.scope.get(METADATA))
    return _Refusal(answer, connection)


class _Refusal:
    """What Starlette calls like a response; of a websocket that was accepted, the end."""

    def __init__(self, answer: Answer, connection: HTTPConnection) -> None:
        self._answer = answer
        self._connection = connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        on = self._connection
        if isinstance(on, WebSocket) and on.application_state is not WebSocketState.CONNECTING:
            if on.application_state is WebSocketState.CONNECTED:
                await send(CLOSE)
            return
        await respond(self._answer, scope, connected, send)


class _Metadata:
    def __init__(self, api: ProtectedResource) -> None:
        self._answer = described(api)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(self._answer, scope, receive, send)


def _requiring(endpoint: Endpoint, scopes: tuple[str, ...]) -> Endpoint:
    def require(arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        found = [each for each in (*arguments, *named.values()) if isinstance(each, HTTPConnection)]
        if not found:
            raise LookupError("requires() found no request among the arguments of the endpoint; let it take one")
        principal_of(found[0].scope).require(*scopes)

    if inspect.iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def asynchronous(*arguments: Any, **named: Any) -> Any:
            require(arguments, named)
            return await endpoint(*arguments, **named)

        return asynchronous  # type: ignore[return-value]

    @wraps(endpoint)
    def synchronous(*arguments: Any, **named: Any) -> Any:
        require(arguments, named)
        return endpoint(*arguments, **named)

    return synchronous  # type: ignore[return-value]


def _requiring_class(endpoint: type, scopes: tuple[str, ...]) -> type:
    if not issubclass(endpoint, HTTPEndpoint | WebSocketEndpoint):
        raise ConfigurationError(f"requires(): {endpoint.__name__} is neither an HTTPEndpoint nor a WebSocketEndpoint")

    class Requiring(endpoint):  # type: ignore[misc]
        async def dispatch(self) -> None:
            principal_of(self.scope).require(*scopes)
            await super().dispatch()

    Requiring.__name__, Requiring.__qualname__ = endpoint.__name__, endpoint.__qualname__
    Requiring.__module__, Requiring.__doc__ = endpoint.__module__, endpoint.__doc__
    return Requiring
