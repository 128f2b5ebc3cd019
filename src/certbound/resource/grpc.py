"""The guard in front of a gRPC server: no call passes without a token bound to the certificate on its connection.

    server = grpc.server(pool, interceptors=[Guard(api)])          # of grpc.aio: AsyncGuard(api)

    def Read(self, request, context):
        principal().require("accounts")

Rule 1: the certificate is the one that gRPC's own TLS verified, which is one of a CA: Python's gRPC cannot ask for a
certificate without verifying it.  Behind a proxy it is the one that `Forwarded` reads, and no other.
Rule 2: the token stands in the metadata `authorization`, once.
Rule 3: all four kinds of calls, before the method sees a message; whatever it refuses later ends the call.
Rule 4: only methods that are named in `open_methods`, letter by letter, are for everybody.
"""

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence, Set
from contextvars import Context, ContextVar, copy_context
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote

import grpc
import grpc.aio
import msgspec

from certbound.core.certificate import PeerCertificate, read_pem_certificates
from certbound.core.errors import BadCertificate, ConfigurationError, ProtectedResourceError
from certbound.resource import blocking
from certbound.resource._scopes import require_words
from certbound.resource.metadata import metadata_url
from certbound.resource.protected import Asked, ProtectedResource
from certbound.resource.refusal import refuse
from certbound.resource.verify import Principal
from certbound.tls.forwarded.asgi import Strangers, log_refused
from certbound.tls.forwarded.contract import BadForwarded, Contract
from certbound.tls.forwarded.contracts import contract_of
from certbound.tls.forwarded.reading import ForwardedReader, Headers
from certbound.tls.proxies import SECRET_HEADER, Proxies

__all__ = ["AsyncGuard", "Forwarded", "Guard", "principal"]

Scopes = Mapping[str, Set[str]]
"""What methods need: by their full name, `/bank.Accounts/Read`, or `/bank.Accounts/*` for all of a service."""

_principal: ContextVar[Principal] = ContextVar("certbound.principal")


def principal() -> Principal:
    """Who makes the call that is being answered.  `LookupError` where there is no guard."""
    try:
        return _principal.get()
    except LookupError:
        raise LookupError("no guard let this call pass; give the server interceptors=[Guard(api)]") from None


class Forwarded:
    """A proxy in front of the server says in the metadata which certificate its client holds."""

    def __init__(
        self,
        contract: str | Contract = "envoy",
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        secrets: Sequence[str],
        networks: Sequence[str] = (),
        unix_socket: bool = False,
        secret_header: str = SECRET_HEADER,
    ) -> None:
        """As `ForwardedCertificates`.  The secret is mandatory: what is smuggled through a proxy comes from its
        address.  `ConfigurationError` for what would believe everybody or nobody."""
        proxies = Proxies(
            secrets=secrets, networks=networks, unix_socket=unix_socket, secret_header=secret_header.lower()
        )
        self._reader = ForwardedReader(contract_of(contract, **headers), proxies)
        self._strangers = Strangers()

    def read(self, headers: Headers, peer: str, method: str) -> PeerCertificate | None:
        """The certificate; `peer` is as gRPC writes it.  `BadForwarded` if a believed proxy does not say one thing."""
        address = _address(peer)
        reading = self._reader.read(headers, None, address)
        if reading.stripped:
            self._strangers.tell(reading, None, address, method)
        return reading.peer

    def owns(self, name: str) -> bool:
        """Whether metadata of this name is the proxy's, so that no method sees it."""
        return self._reader.owns(name.encode("latin-1", "replace"))


class _Rules:
    """What both guards know."""

    def __init__(
        self,
        api: ProtectedResource,
        *,
        scopes: Scopes = MappingProxyType({}),
        open_methods: Set[str] = frozenset(),
        forwarded: Forwarded | None = None,
    ) -> None:
        """`scopes` are needed beside those of the whole API; `open_methods` are for everybody, such as
        `/grpc.health.v1.Health/Check`; `forwarded` declares a proxy.  `ConfigurationError` for a name that is none.
        """
        _require_names(scopes, open_methods)
        self._api = api
        self._scopes = {name: require_words(needed) for name, needed in scopes.items()}
        self._open = frozenset(open_methods)
        self._forwarded = forwarded
        self._metadata_url = metadata_url(api)

    def _asked(self, method: str, context: Any) -> Asked:
        headers = [(name.encode("latin-1", "replace"), _bytes(value)) for name, value in context.invocation_metadata()]
        if self._forwarded is None:
            peer = _verified_peer(context.auth_context())
        else:
            peer = self._forwarded.read(headers, context.peer(), method)
        service = method.rpartition("/")[0]
        return Asked(
            authorization=[value for name, value in headers if name == b"authorization"],
            peer=peer,
            scopes=self._scopes.get(method, _NONE) | self._scopes.get(f"{service}/*", _NONE),
        )

    def _context(self, context: Any) -> Any:
        """What the method gets: without what belongs to the proxy."""
        return context if self._forwarded is None else _WithoutProxy(context, self._forwarded)

    def _refusal(self, error: ProtectedResourceError | BadForwarded) -> "_Refusal":
        if isinstance(error, BadForwarded):
            return _Refusal(
                grpc.StatusCode.INVALID_ARGUMENT, "the metadata of the proxy is malformed",
                (("certbound-request-id", log_refused(error)),),
            )  # fmt: skip
        answer = refuse(error, metadata_url=self._metadata_url)
        request_id = msgspec.json.decode(answer.body)["request_id"]
        challenge = [(name, value) for name, value in answer.headers if name == "www-authenticate"]
        return _Refusal(
            _CODES[error.status], error.description or "an access token is needed",
            (*challenge, ("certbound-request-id", request_id)),
        )  # fmt: skip

    def _blocking(self, method: str, handler: Any, admit: Callable[[Asked], Principal]) -> Any:
        """The handler, guarded, of a method that runs in a thread."""
        behaviour = getattr(handler, _KINDS[handler.request_streaming, handler.response_streaming])

        def enter(context: Any) -> Context:
            try:
                found = admit(self._asked(method, context))
            except (ProtectedResourceError, BadForwarded) as error:
                _abort(context, self._refusal(error))
            entered = copy_context()
            entered.run(_principal.set, found)
            return entered

        def unary(request: Any, context: Any) -> Any:
            entered = enter(context)
            try:
                return entered.run(behaviour, request, self._context(context))
            except ProtectedResourceError as error:
                _abort(context, self._refusal(error))

        def stream(request: Any, context: Any) -> Iterator[Any]:
            # Nothing before the first `next`: an aio server calls this on its loop, and only that in a thread.
            entered = enter(context)
            responses = iter(entered.run(behaviour, request, self._context(context)))
            try:
                while (response := entered.run(next, responses, _END)) is not _END:
                    yield response
            except ProtectedResourceError as error:
                _end(context, self._refusal(error))  # an aio server may still be sending what was yielded before
            finally:
                if hasattr(responses, "close"):
                    entered.run(responses.close)

        return _like(handler, stream if handler.response_streaming else unary)


class Guard(_Rules, grpc.ServerInterceptor):  # type: ignore[misc]  # grpcio has no types
    """For `grpc.server`."""

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        handler, method = continuation(handler_call_details), handler_call_details.method
        if handler is None or method in self._open:
            return handler
        return self._blocking(method, handler, partial(blocking.admit, self._api))


class AsyncGuard(_Rules, grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """For `grpc.aio.server`; methods that are not async run in its threads, and are guarded there."""

    async def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        handler, method = await continuation(handler_call_details), handler_call_details.method
        if handler is None or method in self._open:
            return handler
        behaviour = getattr(handler, _KINDS[handler.request_streaming, handler.response_streaming])
        if inspect.isasyncgenfunction(behaviour):
            return _like(handler, self._generating(method, behaviour))
        if inspect.iscoroutinefunction(behaviour):
            return _like(handler, self._awaiting(method, behaviour))
        # What is fetched belongs to the loop of this server.
        loop = asyncio.get_running_loop()
        return self._blocking(
            method, handler, lambda asked: asyncio.run_coroutine_threadsafe(self._api.admit(asked), loop).result()
        )

    def _awaiting(self, method: str, behaviour: Any) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            try:
                _principal.set(await self._api.admit(self._asked(method, context)))
                return await behaviour(request, self._context(context))
            except (ProtectedResourceError, BadForwarded) as error:
                await _abort_async(context, self._refusal(error))

        return answer

    def _generating(self, method: str, behaviour: Any) -> Any:
        async def answers(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                _principal.set(await self._api.admit(self._asked(method, context)))
                async for each in behaviour(request, self._context(context)):
                    yield each
            except (ProtectedResourceError, BadForwarded) as error:
                await _abort_async(context, self._refusal(error))

        return answers


class _Refusal(NamedTuple):
    code: Any
    details: str
    metadata: tuple[tuple[str, str], ...]


class _WithoutProxy:
    """A context whose metadata lacks what belongs to the proxy."""

    def __init__(self, context: Any, forwarded: Forwarded) -> None:
        self._context = context
        self._forwarded = forwarded

    def invocation_metadata(self) -> Any:
        return tuple(pair for pair in self._context.invocation_metadata() if not self._forwarded.owns(pair[0]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def _abort(context: Any, refusal: _Refusal) -> Any:
    _say(context, refusal)
    context.abort(refusal.code, refusal.details)


def _end(context: Any, refusal: _Refusal) -> None:
    """What was answered is the last; the call ends with this status."""
    _say(context, refusal)
    context.set_code(refusal.code)
    context.set_details(refusal.details)


def _say(context: Any, refusal: _Refusal) -> None:
    before = context.trailing_metadata() if hasattr(context, "trailing_metadata") else ()  # not in threads of aio
    context.set_trailing_metadata((*(before or ()), *refusal.metadata))


async def _abort_async(context: Any, refusal: _Refusal) -> None:
    trailing = (*(context.trailing_metadata() or ()), *refusal.metadata)
    await context.abort(refusal.code, refusal.details, trailing)


def _like(handler: Any, behaviour: Any) -> Any:
    kind = _KINDS[handler.request_streaming, handler.response_streaming]
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        behaviour, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
    )


def _verified_peer(auth_context: Mapping[str, Sequence[bytes]]) -> PeerCertificate | None:
    found = auth_context.get("x509_pem_cert", ())
    return _read_pem(found[0]) if len(found) == 1 else None


@lru_cache(maxsize=1024)
def _read_pem(pem: bytes) -> PeerCertificate | None:
    try:
        [leaf] = read_pem_certificates(pem)
    except (BadCertificate, ValueError):
        return None
    return PeerCertificate(leaf)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1", "replace")


def _address(peer: str) -> str | None:
    """`ipv4:127.0.0.1:50051`, `ipv6:%5B::1%5D:50051`; None for `unix:`."""
    kind, _, rest = peer.partition(":")
    return unquote(rest).rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else None


def _require_names(scopes: Scopes, open_methods: Set[str]) -> None:
    for name in (*scopes, *open_methods):
        if not _METHOD.fullmatch(name) or (name in open_methods and name.endswith("*")):
            raise ConfigurationError(f"{name!r:.200} is no method; write /package.Service/Method, as gRPC calls it")


_END = object()
_NONE: frozenset[str] = frozenset()
_METHOD = re.compile(r"/[\w.]+/(?:\w+|\*)", re.ASCII)
_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}
"""By whether requests and responses are streams."""
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    503: grpc.StatusCode.UNAVAILABLE,
}
