"""The guard for Django REST framework, by the same `settings.CERTBOUND` as `certbound.resource.django`.

    REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": ["certbound.resource.rest_framework.BoundToken"]}

    class Accounts(APIView):
        permission_classes = [HasScopes("accounts")]

Rule 1: a request without a token is refused here and not left to permissions: those of the framework allow everybody
unless told otherwise.  For views that are open to others as well, inherit and set `required = False`.
Rule 2: `request.auth` is the `Principal`, `request.user` a `Caller`; no account of Django's is looked up.
Rule 3: a refusal is an `APIException`, so the project's own handler sees it; status and challenge are ours.  For what
`request.auth.require` refuses inside a view, set `EXCEPTION_HANDLER` to `answer_refusals` here, or call `Refused` in
your own.
Rule 4: what a view answers to a caller is for no cache that others ask, unless it says for which; a refusal for none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission

from certbound.core.errors import InsufficientScope, ProtectedResourceError, TokenMissing
from certbound.resource._scopes import require_words
from certbound.resource.django import api, kept_private, principal_in
from certbound.resource.metadata import metadata_url
from certbound.resource.refusal import refuse
from certbound.resource.verify import Principal

__all__ = ["BoundToken", "Caller", "HasScopes", "Refused", "answer_refusals"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, where the framework expects a user: whom the token names, authenticated, without an account."""

    principal: Principal

    is_authenticated = True
    is_anonymous = False
    is_active = True

    @property
    def pk(self) -> str:
        """What throttles count by."""
        return f"{self.principal.issuer} {self.principal.subject} {self.principal.client_id}"

    def __str__(self) -> str:
        return self.principal.subject


class Refused(APIException):  # type: ignore[misc]
    """A refusal of RFC 6750, as the framework answers it."""

    def __init__(self, refusal: ProtectedResourceError) -> None:
        answer = refuse(refusal, metadata_url=metadata_url(api()))
        super().__init__(msgspec.json.decode(answer.body))
        self.status_code = answer.status
        self.auth_header = dict(answer.headers).get("www-authenticate")


class BoundToken(BaseAuthentication):  # type: ignore[misc]
    """Authentication class: a valid token, bound to the certificate on the connection of its request."""

    required = True
    """Whether a request without a token is refused; otherwise it is anonymous, and permissions decide."""

    def authenticate(self, request: Any) -> tuple[Caller, Principal] | None:
        """The caller and its proof.  `Refused` otherwise."""
        view = (request.parser_context or {}).get("view")
        try:
            principal = principal_in(request._request)  # noqa: SLF001  documented as the HttpRequest
        except TokenMissing as refusal:
            if not self.required:
                return None
            _finish(view, _unkept)
            raise Refused(refusal) from refusal
        except ProtectedResourceError as refusal:
            _finish(view, _unkept)
            raise Refused(refusal) from refusal
        _finish(view, _private)
        return Caller(principal), principal

    def authenticate_header(self, request: Any) -> str:
        """The challenge for whoever showed nothing."""
        del request
        url = metadata_url(api())
        return "Bearer" if url is None else f'Bearer resource_metadata="{url}"'


def _finish(view: Any, change: Callable[[Any], Any]) -> None:
    """`change` is the last to see what this view answers to this request; the framework makes a view for each."""
    if view is not None:
        finalize = view.finalize_response
        view.finalize_response = lambda *args, **kwargs: change(finalize(*args, **kwargs))


def _unkept(response: Any) -> Any:
    response.setdefault("Cache-Control", "no-store")
    return response


def _private(response: Any) -> Any:
    return _unkept(response) if getattr(response, "exception", False) else kept_private(response)


def answer_refusals(exc: Exception, context: Any) -> Any:
    """The framework's own exception handler, which also answers what `request.auth.require` raises."""
    from rest_framework.views import exception_handler  # noqa: PLC0415  it imports authentication classes, so this file

    return exception_handler(Refused(exc) if isinstance(exc, ProtectedResourceError) else exc, context)


def HasScopes(*scopes: str) -> type[BasePermission]:  # noqa: N802  a class, as the framework names them
    """A permission class: the token has every one of `scopes`.  `ConfigurationError` if one is none."""
    require_words(scopes)

    class Having(BasePermission):  # type: ignore[misc]
        def has_permission(self, request: Any, view: Any) -> bool:
            del view
            if not isinstance(request.auth, Principal):
                return False
            try:
                request.auth.require(*scopes)
            except InsufficientScope as refusal:
                raise Refused(refusal) from refusal
            return True

    Having.__name__ = Having.__qualname__ = f"HasScopes({', '.join(map(repr, scopes))})"
    return Having
