"""The guard in front of a WSGI application.

    app = Guard(app, ProtectedResource("https://api.example", issuer="https://as.example"))

Rule 1: the certificate is what something in front of the guard put there: `ForwardedCertificates` for a declared proxy,
`GunicornCertificates` where gunicorn ends TLS.  Of the request's own headers none is believed.
Rule 2: a server joins several Authorization headers by commas, and no token has one: that is two tokens.
Rule 3: nothing of a response is sent before its first bytes are there, so an application that finds only then that a
scope is lacking still answers 403.
Rule 4: an answer that says nothing about caching is `private`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from certbound.core.errors import InsufficientScope, ProtectedResourceError
from certbound.resource._order import Sourceless, require_source_outside
from certbound.resource._scopes import require_words
from certbound.resource.blocking import admit
from certbound.resource.caching import privately
from certbound.resource.metadata import CACHE_CONTROL, describe, metadata_path, metadata_url
from certbound.resource.protected import Asked, ProtectedResource
from certbound.resource.refusal import Answer, refuse
from certbound.resource.verify import Principal
from certbound.tls.facts import DECIDED, environ_facts

PRINCIPAL = "certbound.principal"
"""Where the guarded application finds the `Principal`: `environ[PRINCIPAL]`."""

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGIApplication = Callable[[Environ, StartResponse], Iterable[bytes]]


class Guard:
    """WSGI middleware that lets a request pass only with a valid token, bound to the certificate on its connection."""

    def __init__(self, app: WSGIApplication, api: ProtectedResource, *, scopes: Set[str] = frozenset()) -> None:
        """Every one of `scopes` is needed, beside those of the whole API.  `ConfigurationError` if one is none, or if
        `app` is what says which certificate a client holds: that belongs in front of the guard."""
        require_source_outside(app)
        self._app = app
        self._api = api
        self._scopes = require_words(scopes)
        self._metadata_url = metadata_url(api)
        self._sourceless = Sourceless()
        path = metadata_path(api)
        # As WSGI has paths: decoded once, a byte a character.
        self._metadata_path = None if path is None else unquote_to_bytes(path).decode("latin-1")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self._asks_for_metadata(environ):
            return self._respond(described(self._api), environ, start_response)
        try:
            principal = admit(self._api, asked_of(environ, self._scopes))
        except ProtectedResourceError as refusal:
            self._sourceless.tell(environ_facts(environ), refusal)
            return self._respond(self._refused(refusal), environ, start_response)
        response = _Response(start_response)
        inside = {**environ, PRINCIPAL: principal, DECIDED: True}
        try:
            body = self._app(inside, response.start)
        except InsufficientScope as refusal:  # raised by `principal.require` in the application
            response.give_way(refusal)
            return self._respond(self._refused(refusal), environ, start_response)
        if isinstance(body, (list, tuple)) or _is_file(body, environ):
            response.send_head()
            return body
        return _Late(body, response, lambda refusal: self._respond(self._refused(refusal), environ, start_response))

    def _asks_for_metadata(self, environ: Environ) -> bool:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return False
        path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        return path == self._metadata_path

    def _refused(self, refusal: ProtectedResourceError) -> Answer:
        return refuse(refusal, metadata_url=self._metadata_url)

    @staticmethod
    def _respond(answer: Answer, environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(answer.headers))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]


def principal_of(environ: Mapping[str, Any]) -> Principal:
    """Who calls, as the guard in front of the application found.  `LookupError` where there is no guard."""
    found = environ.get(PRINCIPAL)
    if isinstance(found, Principal):
        return found
    raise LookupError("no guard let this request pass; put certbound.resource.wsgi.Guard in front of the application")


def asked_of(environ: Mapping[str, Any], scopes: Set[str] = frozenset()) -> Asked:
    """What of a WSGI request decides."""
    authorization = environ.get("HTTP_AUTHORIZATION")
    facts = environ_facts(environ)
    return Asked(
        authorization=[] if authorization is None else [_bytes(authorization)],
        peer=facts.peer_certificate if facts is not None else None,
        query=_bytes(environ.get("QUERY_STRING", "")),
        scopes=scopes,
    )


def described(api: ProtectedResource) -> Answer:
    """The metadata, as an answer."""
    body = describe(api)
    headers = (
        ("content-type", "application/json"), ("content-length", str(len(body))), ("cache-control", CACHE_CONTROL),
    )  # fmt: skip
    return Answer(status=200, headers=headers, body=body)


class _Response:
    """What the application began to say, held back until there is something to send behind it."""

    __slots__ = ("_held", "_is_sent", "_start_response", "_write")

    def __init__(self, start_response: StartResponse) -> None:
        self._start_response = start_response
        self._held: tuple[Any, ...] | None = None
        self._is_sent = False
        self._write: Callable[[bytes], Any] | None = None

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        """`start_response`, as the application sees it."""
        if exc_info is not None and self._is_sent:
            try:
                raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        if exc_info is None and self._held is not None:
            raise AssertionError("the application said twice how its response begins")
        self._held = (status, privately(headers))
        return self._write_now

    def send_head(self) -> None:
        """The server knows how the response begins."""
        if not self._is_sent and self._held is not None:
            self._is_sent = True
            self._write = self._start_response(*self._held)

    def give_way(self, refusal: InsufficientScope) -> None:
        """Nothing was sent, nor will be; else `refusal` is raised, and the server ends the response."""
        if self._is_sent:
            raise refusal
        self._is_sent = True

    def _write_now(self, data: bytes) -> None:
        self.send_head()
        assert self._write is not None
        self._write(data)


class _Late:
    """A body that is made while it is sent: its first bytes may still be a refusal."""

    __slots__ = ("_body", "_close", "_refuse", "_response")

    def __init__(
        self, body: Iterable[bytes], response: _Response, refuse: Callable[[InsufficientScope], list[bytes]]
    ) -> None:
        self._body = iter(body)
        self._close = getattr(body, "close", None)
        self._response = response
        self._refuse = refuse

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            # Empty parts are for servers that know how the response begins, and none does yet.
            part = next(each for each in self._body if each)
        except StopIteration:
            self._response.send_head()
            raise
        except InsufficientScope as refusal:
            self._response.give_way(refusal)
            self._body = iter(())
            return b"".join(self._refuse(refusal))
        self._response.send_head()
        return part

    def close(self) -> None:
        """Whatever the application wants done at the end."""
        if self._close is not None:
            self._close()


def _is_file(body: Any, environ: Environ) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "replace")
