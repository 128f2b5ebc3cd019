"""The guard in FastAPI: a dependency that says who calls, in the OpenAPI document as well.

    bound = protect(app, ProtectedResource("https://api.example", issuer="https://as.example"))

    @app.get("/accounts")
    async def accounts(principal: Annotated[Principal, Security(bound, scopes=["read"])]): ...

Rule 1: a route without the dependency is open to everybody; to guard every route, `app.add_middleware(Guard, api=api)`.
Rule 2: refusals are ours, headers and body; where nobody said `protect`, the dependency admits nobody.
Rule 3: the metadata is in front of all routes, whatever those catch.
Rule 4: what a route with the dependency answers is for no cache that others ask, unless it says for which.
Rule 5: the document says that a token and the certificate are needed together, as the guard asks it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, overload

from fastapi import FastAPI
from fastapi.openapi.models import HTTPBearer, OAuth2, OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from certbound.core.errors import ConfigurationError, ProtectedResourceError
from certbound.resource._order import Sourceless
from certbound.resource.asgi import METADATA, PRINCIPAL, Guard, asked_of
from certbound.resource.caching import kept_private
from certbound.resource.metadata import metadata_path, metadata_url
from certbound.resource.protected import ProtectedResource
from certbound.resource.starlette import answer_refusals, metadata_route
from certbound.resource.verify import Principal
from certbound.tls import ASGIApplication, connection_facts
from certbound.tls.ports import Message, Receive, Scope, Send

__all__ = ["BoundToken", "Guard", "Principal", "protect"]

MUTUAL_TLS = "mutualTLS"
"""What the certificate is called in the OpenAPI document."""


class BoundToken(SecurityBase):
    """A dependency for routes and websockets: the `Principal` of a token that is bound to the caller's certificate."""

    def __init__(
        self,
        api: ProtectedResource,
        *,
        token_url: str | None = None,
        scopes: Mapping[str, str] = MappingProxyType({}),
        scheme_name: str = "boundToken",
    ) -> None:
        """`token_url` is the issuer's token endpoint, for the OpenAPI document: with it the scheme is OAuth 2.0 with
        `scopes` and what each of them means; without it, a bearer token.
        """
        self.api = api
        self.scheme_name = scheme_name
        self._metadata_url = metadata_url(api)
        self._sourceless = Sourceless()
        said = f"An access token of {' or '.join(each.url for each in api.issuers)}" + (
            ", bound to the client's certificate (RFC 8705)." if api.require_bound else "."
        )
        if scopes and token_url is None:
            raise ConfigurationError("scopes describe OAuth 2.0 in the OpenAPI document; give token_url as well")
        self.model = (
            HTTPBearer(description=said)
            if token_url is None
            else OAuth2(
                description=said,
                flows=OAuthFlows(clientCredentials=OAuthFlowClientCredentials(tokenUrl=token_url, scopes=dict(scopes))),
            )
        )

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> Principal:
        """Who calls.  Becomes 400, 401, 403 or 503."""
        if ProtectedResourceError not in connection.app.exception_handlers:
            raise ConfigurationError("say protect(app, bound) of the application whose routes use this dependency")
        scope = connection.scope
        scope[METADATA] = self._metadata_url
        try:
            principal = await self.api.admit(asked_of(scope, frozenset(security_scopes.scopes)))
        except ProtectedResourceError as refusal:
            self._sourceless.tell(connection_facts(scope), refusal)
            raise
        scope.get(_ADMITTED, []).append(principal)
        scope["state"] = {**scope.get("state", {}), PRINCIPAL: principal}  # some servers have one for all requests
        return principal


@overload
def protect(app: FastAPI, bound: BoundToken, /) -> BoundToken: ...
@overload
def protect(app: FastAPI, api: ProtectedResource, /) -> BoundToken: ...
def protect(app: FastAPI, api: ProtectedResource | BoundToken, /) -> BoundToken:
    """The dependency for the routes of `app`, which from now on answers refusals as RFC 6750 has it, publishes the
    metadata of the API, and says in its OpenAPI document that the certificate is needed."""
    bound = api if isinstance(api, BoundToken) else BoundToken(api)
    answer_refusals(app)
    if metadata_path(bound.api) is not None:
        app.router.routes.insert(0, metadata_route(bound.api))
    app.add_middleware(_Private)
    if bound.api.require_bound:
        _say_mutual_tls(app, bound.scheme_name)
    return bound


class _Private:
    """Around the routes: what the dependency admitted somebody to says `private`, unless it says something."""

    def __init__(self, app: ASGIApplication) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admitted: list[Principal] = []

        async def sending(message: Message) -> None:
            await send(kept_private(message) if admitted else message)

        await self._app({**scope, _ADMITTED: admitted}, receive, sending)


def _say_mutual_tls(app: FastAPI, scheme_name: str) -> None:
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        schemes = document.get("components", {}).get("securitySchemes", {})
        if scheme_name in schemes:
            schemes[MUTUAL_TLS] = {"type": "mutualTLS", "description": _CERTIFICATE}
            for item in document["paths"].values():
                for operation in item.values():
                    for needed in operation.get("security", ()) if isinstance(operation, dict) else ():
                        if scheme_name in needed:
                            needed[MUTUAL_TLS] = []
        return document

    app.openapi = openapi  # type: ignore[method-assign]


_ADMITTED = "certbound.admitted"
_CERTIFICATE = "The certificate that the token is bound to, on the connection of each request."
