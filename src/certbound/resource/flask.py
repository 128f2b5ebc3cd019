"""The guard for Flask.

    protect(app, ProtectedResource("https://api.example", issuer="https://as.example"))

    @app.get("/accounts")
    @requires("accounts")
    def accounts():
        return {"client": principal.client_id}

Rule 1: the guard is in front of the whole application, static files and error pages included.
Rule 2: what a route needs is asked in whichever order the decorators stand: a `@requires` above `@app.get` guards too.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, request
from werkzeug.local import LocalProxy

from certbound.core.errors import InsufficientScope
from certbound.resource._scopes import require_words
from certbound.resource.metadata import metadata_url
from certbound.resource.protected import ProtectedResource
from certbound.resource.refusal import refuse
from certbound.resource.verify import Principal
from certbound.resource.wsgi import Guard, principal_of

__all__ = ["principal", "protect", "requires"]

View = TypeVar("View", bound=Callable[..., Any])


def protect(app: Flask, api: ProtectedResource) -> None:
    """Every request to `app` needs a token for `api`, bound to the certificate on its connection."""

    def refused(refusal: InsufficientScope) -> Response:
        answer = refuse(refusal, metadata_url=metadata_url(api))
        return Response(answer.body, answer.status, list(answer.headers))

    app.wsgi_app = Guard(app.wsgi_app, api)  # type: ignore[method-assign]
    app.register_error_handler(InsufficientScope, refused)
    app.before_request(_require_route)


def requires(*scopes: str) -> Callable[[View], View]:
    """The route needs every one of `scopes`, beside those that the whole API needs.

    What a function needs it needs wherever it is a view: also where it was registered before it was decorated.
    `ConfigurationError` for what is no scope.
    """
    require_words(scopes)

    def decorate(view: View) -> View:
        needed = frozenset(scopes) | getattr(view, _NEEDS, frozenset())

        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            principal.require(*needed)
            return current_app.ensure_sync(view)(*args, **kwargs)

        for each in (view, guarded):
            setattr(each, _NEEDS, needed)
        return cast("View", guarded)

    return decorate


def _principal() -> Principal:
    try:
        return principal_of(request.environ)
    except LookupError as error:
        raise LookupError("no guard let this request pass; call certbound.resource.flask.protect(app, api)") from error


principal = cast("Principal", LocalProxy(_principal))
"""Who calls.  `LookupError` where the application is not protected."""


def _require_route() -> None:
    view = current_app.view_functions.get(request.endpoint or "")
    principal.require(*getattr(view, _NEEDS, ()))


_NEEDS = "_certbound_needs"
