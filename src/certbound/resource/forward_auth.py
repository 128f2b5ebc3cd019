"""What a proxy asks about each request, for an API in any language: may it pass, and who calls?

    app = ForwardedCertificates(ForwardAuth(api, routes={"/accounts": {"accounts"}}), contract="nginx", secrets=[…])

nginx `auth_request`, Envoy `ext_authz` over HTTP, Traefik `forwardAuth`, Caddy `forward_auth`, HAProxy by a script.

Rule 1: only a declared proxy is answered; what it forwards of the request is the request.
Rule 2: where routes are declared, a path below none of them is refused, and so is one that servers read in two ways:
`//`, `.` and `..`, `;`, a backslash, whatever is percent-encoded without need, and a spelling in other letters (`A` for
`a`, `%c3` for `%C3`) that would be below another route.
Rule 3: each identity header stands on every 200, empty or not, so that the proxy replaces what a client wrote; a value
that cannot stand in a header is a refusal.
Rule 4: answers are 200, 401, 403 and 503: of others some proxies make a 500.  The body is never read.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import replace
from urllib.parse import unquote_to_bytes

import msgspec

from certbound.core.display import shown
from certbound.core.errors import ConfigurationError, InvalidToken, ProtectedResourceError
from certbound.resource._scopes import require_words
from certbound.resource.asgi import described
from certbound.resource.metadata import metadata_path, metadata_url
from certbound.resource.protected import Asked, ProtectedResource
from certbound.resource.refusal import Answer, refuse
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


MEMORY = 4096
"""How many identities are kept as headers."""


class Told(msgspec.Struct, frozen=True):
    """What the API is told of who calls."""

    of: Principal
    headers: list[tuple[bytes, bytes]]
    response: Response


class PathRefused(ProtectedResourceError):
    """Nobody may ask for this path, or nobody can be sure which one it is."""

    error = ""
    status = 403
    description = ""


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
    ) -> None:
        """`routes` are the scopes that paths need beside those of the whole API: each for its path and all below it,
        the longest first; None asks the same everywhere.  `ConfigurationError` for a path that no request can have.
        """
        self._api = api
        self._path_header = path_header.lower().encode("ascii")
        self._routes = (
            None if routes is None else {_route(path): require_words(scopes) for path, scopes in routes.items()}
        )
        self._lower = {path.lower(): path for path in self._routes or ()}
        if len(self._lower) < len(routes or ()):
            raise ConfigurationError("routes: two of them are the same path, or are to a server that ignores case")
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
        targets, authorization = self._values(scope)
        if self._is_for_metadata(scope, targets):
            return None
        try:
            principal = self._api.admit_at_once(self._asked(scope, targets, authorization))
            return None if principal is None else self._identity(principal).response
        except ProtectedResourceError as refusal:
            answer = self._refused(refusal)
            return compose(answer.status, _encoded(answer), answer.body)

    async def _answer(self, scope: Scope) -> "Answer | Told":
        targets, authorization = self._values(scope)
        if self._is_for_metadata(scope, targets):
            return described(self._api)
        try:
            # (4) The token is good, for this certificate and this path.
            principal = await self._api.admit(self._asked(scope, targets, authorization))
            # (5) Who calls can be told to the API.
            return self._identity(principal)
        except ProtectedResourceError as refusal:
            return self._refused(refusal)

    def _values(self, scope: Scope) -> tuple[list[bytes], list[bytes]]:
        """Of the header with the path, and of Authorization."""
        targets, authorization = [], []
        for name, value in scope["headers"]:
            if name == self._path_header:
                targets.append(value)
            elif name == b"authorization":
                authorization.append(value)
        return targets, authorization

    def _is_for_metadata(self, scope: Scope, targets: list[bytes]) -> bool:
        return not targets and scope["path"] == self._metadata_path and scope["method"] in {"GET", "HEAD"}

    def _refused(self, refusal: ProtectedResourceError) -> Answer:
        answer = refuse(refusal, metadata_url=self._metadata_url)
        return replace(answer, status=401) if answer.status == 400 else answer

    def _asked(self, scope: Scope, targets: list[bytes], authorization: list[bytes]) -> Asked:
        # (1) A declared proxy asks.
        facts = connection_facts(scope)
        if facts is None or facts.forwarded_by is None:
            raise NotAProxy("it was not sent by a declared proxy")
        # (2) It says for which path, once.
        if len(targets) != 1:
            raise PathRefused(f"the proxy sent {len(targets)} values of {self._path_header.decode()}, not one")
        path, _, query = targets[0].partition(b"?")
        # (3) The path is one that is served.
        scopes = self._scopes_of(path)
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

    def _scopes_of(self, raw: bytes) -> Set[str]:
        if self._routes is None:
            return frozenset()
        path = raw.decode("latin-1")
        if not _is_plain(path):
            raise PathRefused(f"the path can be read in two ways: {shown(path)!r:.200}")
        below = _longest(path, self._routes)
        if below is None:
            raise PathRefused(f"the path is below no route: {shown(path)!r:.200}")
        if self._lower[_longest(path.lower(), self._lower) or ""] != below:
            raise PathRefused(f"a server that ignores case reads another route in it: {shown(path)!r:.200}")
        return self._routes[below]


def _route(path: str) -> str:
    if not _is_plain(path):
        raise ConfigurationError(
            f"routes: {path!r:.80} is no path as requests have it; begin it with / and write it without //, dots, ; "
            "and needless percent-encoding"
        )
    return path.rstrip("/")


def _longest(path: str, routes: Mapping[str, object]) -> str | None:
    """The longest of the routes that the path is, or is below."""
    below = path.rstrip("/")
    while below not in routes:
        if not below:
            return None
        below = below.rpartition("/")[0]
    return below


def _is_plain(path: str) -> bool:
    """Whether every server reads the same in it."""
    if _SIMPLE.fullmatch(path) is not None and "/." not in path:
        return True
    if _PLAIN.fullmatch(path) is None or ("/." in path and _DOTS.search(path)):
        return False
    return "%" not in path or all(unquote_to_bytes(each)[0] in _NEED_ESCAPE for each in _ESCAPED.findall(path))


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


_OF_YES = ((b"content-length", b"0"), (b"cache-control", b"no-store"))
_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")
_PLAIN = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})+)*/?")
_SIMPLE = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,=:@-]+)+/?")
"""Most of `_PLAIN`, matched in a fraction of the time."""
_DOTS = re.compile(r"/\.\.?(/|$)")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_NEED_ESCAPE = frozenset(b' "<>[]^`{|}#?') | frozenset(range(0x80, 0x100))
"""What cannot stand in a path itself, and is no separator to anybody."""
