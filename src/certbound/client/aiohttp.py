"""`aiohttp` that calls an API with bound tokens.

    async with certbound.client.aiohttp.open("https://as.example", "billing", certificate="billing.pem",
                                             key="billing.key", resource="https://api.example") as session:
        async with session.get("/invoices") as response: ...

Rule 1: tokens are those of `CertificateBoundAuth`, asked for over `AsyncTransport`, as for `httpx`: a middleware of the
        session takes its steps, and makes none of its own.
Rule 2: aiohttp wants an `ssl.SSLContext`, so calls of the API have what the system's OpenSSL has: no post-quantum
        certificates.  There is one context for each identity, and aiohttp pools connections by their context.
Rule 3: the `ssl` module takes keys from files only.  A key is written to a folder of ours for the moment of reading,
        encrypted under a password that is nowhere but in memory.  One in a token stays there; its signature, one for
        each new connection, is waited for in the loop.
Rule 4: what an argument of aiohttp would change about TLS (`ssl`, `proxy`, `server_hostname`) is refused.
"""

import contextlib
import secrets
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from ssl import SSLContext
from typing import Any, cast
from weakref import WeakKeyDictionary

import aiohttp
import httpx
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.payload import BytesPayload
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from certbound.client.auth import CertificateBoundAuth
from certbound.client.errors import ClientError, IdentityUnusable
from certbound.client.flow import Credential
from certbound.client.flow.api import Binding
from certbound.client.hardware.presenting import present
from certbound.client.hardware.signer import Remembering, Signer
from certbound.client.identity import Identity
from certbound.client.opening import base_of, identity_of, require_api
from certbound.client.transport import IDENTITY, AsyncTransport, MinimumTLS

KEPT = 2
"""How many identities of a session have a context at once: the one of now, and the one of before."""


class BoundRequest(aiohttp.ClientRequest):
    """A request over a connection of the identity that its token is bound to: `ClientSession(request_class=…)`."""

    bound: SSLContext | None = None

    @property
    def ssl(self) -> Any:
        return self._ours()

    @property
    def connection_key(self) -> ConnectionKey:
        """By this aiohttp pools connections."""
        return super().connection_key._replace(ssl=self._ours())

    def _ours(self) -> SSLContext:
        if self.bound is None:
            raise ClientError("this request has no identity: keep the middleware among those of the session")
        return self.bound


class BoundMiddleware:
    """Adds a token to each request, and the connection that it belongs to: `ClientSession(middlewares=[…])`."""

    def __init__(
        self, auth: CertificateBoundAuth, *, ca: Path | str | None = None, minimum_tls: MinimumTLS = "1.2"
    ) -> None:
        """`ca` is a PEM file of whom we believe to be the API; None: the system's roots."""
        self._auth = auth
        self._ca = ca
        self._minimum = minimum_tls
        self._contexts: list[tuple[Identity, SSLContext]] = []
        self._signers: WeakKeyDictionary[SSLContext, Remembering] = WeakKeyDictionary()

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """The answer to `request` with a token; to its repetition, if there is a better one to be had."""
        if not isinstance(request, BoundRequest):
            raise ClientError("open the session with request_class=BoundRequest")
        _require_ours(request)
        steps = self._auth.async_auth_flow(_as_httpx(request))
        try:
            sent = await anext(steps)
            while True:
                request.bound = self._context_of(sent.extensions[IDENTITY])
                request.headers["Authorization"] = sent.headers["authorization"]
                with _heard(self._signers.get(request.bound)):
                    response = await handler(request)
                try:
                    sent = await steps.asend(_answer(response, sent))
                except StopAsyncIteration:
                    return response
                except BaseException:
                    response.close()
                    raise
                response.release()
        finally:
            await steps.aclose()

    def _context_of(self, identity: Identity) -> SSLContext:
        for known, context in self._contexts:
            if known is identity:
                return context
        signer = None if identity.signer is None else Remembering(identity.signer)
        made = context_of(identity, ca=self._ca, minimum_tls=self._minimum, signer=signer)
        if signer is not None:
            self._signers[made] = signer
        self._contexts = [(identity, made), *self._contexts][:KEPT]
        return made


@contextlib.asynccontextmanager
async def open(  # noqa: A001
    issuer: str,
    client: str | Credential,
    *,
    certificate: Path | str | bytes,
    key: Path | str | bytes | None = None,
    password: str | None = None,
    resource: str | None = None,
    scope: str | None = None,
    api: str | None = None,
    ca: Path | str | None = None,
    binding: Binding = "not denied",
    minimum_tls: MinimumTLS = "1.2",
    **more: Any,
) -> AsyncIterator[aiohttp.ClientSession]:
    """As `certbound.client.open`, an `aiohttp.ClientSession` until the end; `more` goes to it."""
    require_api(api, resource)
    transport = AsyncTransport(identity_of(certificate, key, password), ca=ca, minimum_tls=minimum_tls)
    auth = CertificateBoundAuth(
        transport, issuer, client, resource=resource, scope=scope, api=api, binding=binding
    )  # fmt: skip
    middleware = BoundMiddleware(auth, ca=ca, minimum_tls=minimum_tls)
    base = base_of(api, resource)
    others = more.pop("middlewares", ())
    try:
        async with aiohttp.ClientSession(
            base.rstrip("/") + "/" if base else None,
            request_class=BoundRequest,
            middlewares=[*others, middleware],
            **more,
        ) as session:
            yield session
    finally:
        await transport.aclose()


def context_of(
    identity: Identity, *, ca: Path | str | None = None, minimum_tls: MinimumTLS = "1.2", signer: Signer | None = None
) -> SSLContext:
    """A context of the `ssl` module that presents `identity`.  `IdentityUnusable` if that OpenSSL cannot.

    `signer` signs in place of the identity's own, with the same key.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ClientError(f"the CA file {ca} cannot be used: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if minimum_tls == "1.3" else ssl.TLSVersion.TLSv1_2
    if (signing := signer or identity.signer) is not None:
        present(context, identity.certificates(), signing)
        return context
    password = secrets.token_urlsafe(32)
    key = identity.private_key().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode())
    )
    # The folder is its owner's alone; the file is gone when this returns.
    with tempfile.TemporaryDirectory(prefix="certbound-") as folder:
        file = Path(folder) / "identity.pem"
        file.touch(mode=0o600)
        file.write_bytes(identity.certificate_chain_pem + b"\n" + key)
        try:
            context.load_cert_chain(file, password=password)
        except (ssl.SSLError, OSError):
            raise IdentityUnusable(
                f"{ssl.OPENSSL_VERSION}, which aiohttp uses, cannot use the client's certificate and key; "
                "certbound.client.open_async uses another one"
            ) from None
    return context


@contextlib.contextmanager
def _heard(signer: Remembering | None) -> Iterator[None]:
    """A connection that failed because the key could not sign says why: `IdentityUnusable`, as in other faces."""
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        if signer is None or signer.failure is None:
            raise
        raise signer.failure from error


def _as_httpx(request: BoundRequest) -> httpx.Request:
    """As much of the request as decides about its token."""
    body = cast("Any", request.body)
    once = not (body is None or isinstance(body, bytes | BytesPayload) or body == b"")
    url = request.url.with_scheme("https") if request.url.scheme == "wss" else request.url
    return httpx.Request(request.method, str(url), content=_used_up() if once else b"")


async def _used_up() -> AsyncIterator[bytes]:
    """The body of a request that cannot be sent again; nobody reads it here."""
    yield b""


def _answer(response: aiohttp.ClientResponse, sent: httpx.Request) -> httpx.Response:
    """As much of the answer as decides whether there is a second request."""
    challenges = [("www-authenticate", each) for each in response.headers.getall("WWW-Authenticate", [])]
    return httpx.Response(response.status, headers=challenges, request=sent)


def _require_ours(request: BoundRequest) -> None:
    if super(BoundRequest, request).ssl is not True:
        raise ClientError("ssl= is not used here: say whom to believe by ca= when the session is opened")
    if request.proxy is not None:
        raise ClientError("no proxy is used here")
    if request.server_hostname is not None:
        raise ClientError("server_hostname= is not used here: the certificate has to name the host of the URL")
