"""What a proxy asks about each request, for an API in any language: may it pass, and who calls?

    app = ForwardedCertificates(ForwardAuth(api, routes={"/accounts": {"accounts"}}), contract="nginx", secrets=[…])

nginx `auth_request`, Envoy `ext_authz` over HTTP, Traefik `forwardAuth`, Caddy `forward_auth`, HAProxy by a script.

Rule 1: only a declared proxy is answered; what it forwards of the request is the request.
Rule 2: where routes are declared, whatever none of them names is refused, and so is what servers read in two ways
(`certbound.resource.routes`); without routes every path and method needs the same.
Rule 3: each identity header stands on every 200, empty or not, so that the proxy replaces what a client wrote; a value
that cannot stand in a header is a refusal.
Rule 4: answers are 200, 401, 403 and 503: of others some proxies make a 500.  The body is never read.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import replace

import msgspec

from certbound.core.display import shown
from certbound.core.errors import InvalidToken, ProtectedResourceError
from certbound.resource.asgi import described
from certbound.resource.metadata import metadata_path, metadata_url
from certbound.resource.protected import Asked, ProtectedResource
from certbound.resource.refusal import Answer, refuse
from certbound.resource.routes import PathRefused, Routes
from certbound.resource.verify import Principal
from certbound.tls.facts import connection_facts
from certbound.tls.ports import Receive, Scope, Send
from certbound.tls.prompt import Response, compose

SUBJECT, CLIENT_ID, SCOPE, THUMBPRINT, ISSUER = IDENTITY_HEADERS = (
    b"certbound-subject", b"certbound-client-id", b"certbound-scope", b"certbound-thumbprint", b"certbound-issuer",
)  # fmt: skip
"""Who calls, as the API hears it from the proxy."""

PATH_HEADER = "x-original-uri"
"""Where the proxy says the path and query as the client wrote them, unless another header is declared."""

PATH_HEADERS: Mapping[str, str] = {"traefik": "x-forwarded-uri"}
"""By contract, where the proxy has a header of its own for it."""

METHOD_HEADER = "x-original-method"
"""Where it says the method, unless another header is declared; it is read if a route names one."""

METHOD_HEADERS: Mapping[str, str] = {"traefik": "x-forwarded-method"}
"""By contract, as above."""

MEMORY = 4096
"""How many identities are kept as headers."""


class Told(msgspec.Struct, frozen=True):
    """What the API is told of who calls."""

    of: Principal
    headers: list[tuple[bytes, bytes]]
    response: Response


class NotAProxy(PathRefused):
    """Whoever asks is no declared proxy."""


class ForwardAuth:
    """ASGI application that answers a proxy's questions; `ForwardedCertificates` stands in front of it."""

    def __init__(
        self,
        api: ProtectedResource,
        *,
        routes: Mapping[str, Set[str]] | None = None,
        path_header: str = PATH_HEADER,
        method_header: str = METHOD_HEADER,
    ) -> None:
        """`routes` are the scopes that requests need beside those of the whole API, by path or by `METHOD /path`, as
        `Routes` has them: what none of them names is refused.  None asks the same everywhere.  `ConfigurationError`
        for a path or a method that no request can have.
        """
        self._api = api
        self._path_header = path_header.lower().encode("ascii")
        self._routes = None if routes is None else Routes(routes)
        reads_methods = self._routes is not None and self._routes.name_methods
        self._method_header = method_header.lower().encode("ascii") if reads_methods else None
        self._told: dict[int, Told] = {}
        self._metadata_path = metadata_path(api)
        self._metadata_url = metadata_url(api)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _respond(await self._answer(scope), scope, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    def answer_at_once(self, scope: Scope) -> Response | None:
        """The same where nothing has to be fetched for it, as `tls.prompt` has it; None where something has."""
        said = self._said(scope)
        if self._is_for_metadata(scope, said):
            return None
        try:
            principal = self._api.admit_at_once(self._asked(scope, said))
            return None if principal is None else self._identity(principal).response
        except ProtectedResourceError as refusal:
            answer = self._refused(refusal)
            return compose(answer.status, _encoded(answer), answer.body)

    async def _answer(self, scope: Scope) -> "Answer | Told":
        said = self._said(scope)
        if self._is_for_metadata(scope, said):
            return described(self._api)
        try:
            # (4) The token is good, for this certificate and this path.
            principal = await self._api.admit(self._asked(scope, said))
            # (5) Who calls can be told to the API.
            return self._identity(principal)
        except ProtectedResourceError as refusal:
            return self._refused(refusal)

    def _said(self, scope: Scope) -> "Said":
        """What the headers that are read say."""
        targets: list[bytes] = []
        methods: list[bytes] = []
        authorization: list[bytes] = []
        for name, value in scope["headers"]:
            if name == self._path_header:
                targets.append(value)
            elif name == b"authorization":
                authorization.append(value)
            elif name == self._method_header:
                methods.append(value)
        return targets, methods, authorization

    def _is_for_metadata(self, scope: Scope, said: "Said") -> bool:
        return not said[0] and scope["path"] == self._metadata_path and scope["method"] in {"GET", "HEAD"}

    def _refused(self, refusal: ProtectedResourceError) -> Answer:
        answer = refuse(refusal, metadata_url=self._metadata_url)
        return replace(answer, status=401) if answer.status == 400 else answer

    def _asked(self, scope: Scope, said: "Said") -> Asked:
        targets, methods, authorization = said
        # (1) A declared proxy asks.
        facts = connection_facts(scope)
        if facts is None:
            raise NotAProxy("no proxy is declared in front: ForwardedCertificates(ForwardAuth(api), contract=…)")
        if facts.forwarded_by is None:
            raise NotAProxy("it was not sent by a declared proxy")
        # (2) It says for which path, once, and for which method, where that decides.
        if len(targets) != 1:
            raise PathRefused(f"the proxy sent {len(targets)} values of {self._path_header.decode()}, not one")
        if self._method_header is not None and len(methods) != 1:
            raise PathRefused(f"the proxy sent {len(methods)} values of {self._method_header.decode()}, not one")
        path, _, query = targets[0].partition(b"?")
        # (3) A route is for both.
        scopes = frozenset[str]() if self._routes is None else self._routes.scopes_of(path, *methods or _NO_METHOD)
        return Asked(authorization=authorization, peer=facts.peer_certificate, query=query, scopes=scopes)

    def _identity(self, principal: Principal) -> "Told":
        """What is told of who calls; remembered for as long as it is the very same value.  `InvalidToken` if it cannot
        be told."""
        told = self._told.get(id(principal))
        if told is not None:  # it keeps the principal, so its id is nobody else's
            return told
        headers = [*((name, _header(name, value)) for name, value in _said(principal)), *_OF_YES]
        if len(self._told) >= MEMORY:
            self._told.clear()
        told = self._told[id(principal)] = Told(principal, headers, compose(200, headers, b""))
        return told


def _header(name: bytes, value: str) -> bytes:
    if not _VALUE.fullmatch(value):
        raise InvalidToken(f"the value of {name.decode()} cannot stand in a header: {shown(value)!r:.200}")
    return value.encode("ascii")


def _said(principal: Principal) -> tuple[tuple[bytes, str], ...]:
    return (
        (SUBJECT, principal.subject or ""),
        (CLIENT_ID, principal.client_id or ""),
        (SCOPE, " ".join(sorted(principal.scope))),
        (THUMBPRINT, principal.thumbprint or ""),
        (ISSUER, principal.issuer),
    )


async def _respond(answer: "Answer | Told", scope: Scope, send: Send) -> None:
    status, headers, body = (
        (answer.status, _encoded(answer), answer.body) if isinstance(answer, Answer) else (200, answer.headers, b"")
    )
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _encoded(answer: Answer) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in answer.headers]


async def _lifespan(receive: Receive, send: Send) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


async def health(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application: 200 at /healthz, for those who run the guard."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        status, body = (200, b"ok\n") if scope["path"] == "/healthz" else (404, b"")
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


Said = tuple[list[bytes], list[bytes], list[bytes]]
"""The values of the headers with the path and with the method, and of Authorization."""
_NO_METHOD = (b"",)
_OF_YES = ((b"content-length", b"0"), (b"cache-control", b"no-store"))
_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")
