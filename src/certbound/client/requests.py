"""`requests` that calls an API with bound tokens.

    session = certbound.client.requests.open("https://as.example", "billing", certificate="billing.pem",
                                             key="billing.key", resource="https://api.example")
    session.get("https://api.example/invoices")

Rule 1: requests go over `Transport` with `CertificateBoundAuth`, as those of `httpx` do: one pool for each identity,
        keys in memory, one mechanism for tokens.  urllib3 makes no connection here, so none that it pooled for one
        certificate can be used for another.
Rule 2: the token is added below the session: it does not see it, and a redirect elsewhere does not carry it.
Rule 3: what an argument of requests would change about TLS (`cert`, `verify`, `proxies`) is refused, never ignored.
"""

import io
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import requests
import requests.adapters
from requests.utils import select_proxy
from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from certbound.client.auth import CertificateBoundAuth
from certbound.client.errors import ClientError
from certbound.client.flow import Credential
from certbound.client.flow.api import Binding
from certbound.client.keeping import Shelf
from certbound.client.opening import identity_of, require_api
from certbound.client.transport import TIMEOUT, MinimumTLS, Transport, client_over


class BoundAdapter(requests.adapters.HTTPAdapter):
    """Sends what a session has for one API: `session.mount("https://api.example", BoundAdapter(…))`."""

    def __init__(
        self,
        transport: Transport,
        issuer: str,
        client: str | Credential,
        *,
        resource: str | None = None,
        scope: str | None = None,
        api: str | None = None,
        binding: Binding = "not denied",
        shelf: Shelf | None = None,
    ) -> None:
        """Arguments as `CertificateBoundAuth` has them; whom we believe to be a server is the transport's affair."""
        super().__init__()
        auth = CertificateBoundAuth(
            transport, issuer, client, resource=resource, scope=scope, api=api, binding=binding, shelf=shelf
        )  # fmt: skip
        self._http = client_over(transport, auth=auth)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - as the library calls it
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Without a timeout, connecting and each wait for bytes may take ten seconds."""
        _require_ours(request, verify, cert, proxies)
        # Made without the client, whose own headers and cookies are none of the session's.
        sent = httpx.Request(
            request.method or "GET", request.url or "", headers=_headers_of(request), content=cast("Any", request.body),
            extensions={"timeout": _timeout_of(timeout).as_dict()},
        )  # fmt: skip
        try:
            came = self._http.send(sent, stream=True)
        except httpx.RequestError as error:
            raise _as_requests(error, request) from error
        response = self.build_response(request, _raw(came, request))
        if not stream:
            response.content  # noqa: B018 - reads the body, and frees the connection
        return response

    def close(self) -> None:
        super().close()
        self._http.close()


def open(  # noqa: A001
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
) -> requests.Session:
    """As `certbound.client.open`, a `requests.Session`; it calls that API, nothing else, and reads no environment."""
    require_api(api, resource)
    transport = Transport(identity_of(certificate, key, password), ca=ca, minimum_tls=minimum_tls)
    adapter = BoundAdapter(transport, issuer, client, resource=resource, scope=scope, api=api, binding=binding)
    session = requests.Session()
    session.trust_env = False
    for prefix in list(session.adapters):
        session.adapters.pop(prefix).close()
    session.mount("https://", adapter)
    return session


class _Body(io.RawIOBase):
    """The bytes of an answer as they come, for urllib3 to decode."""

    def __init__(self, came: httpx.Response) -> None:
        self._came = came
        self._chunks: Iterator[bytes] = came.iter_raw()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            try:
                self._left = next(self._chunks)
            except StopIteration:
                return 0
            except httpx.TimeoutException as error:
                self._came.close()
                raise ReadTimeoutError(None, str(self._came.url), str(error)) from error  # type: ignore[arg-type]
            except httpx.RequestError as error:
                self._came.close()
                raise ProtocolError(str(error), error) from error
        taken, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        if not self.closed:
            self._came.close()
        super().close()


def _raw(came: httpx.Response, request: requests.PreparedRequest) -> HTTPResponse:
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in came.headers.raw]
    original = Message()  # where requests looks for cookies
    for name, value in fields:
        original.add_header(name, value)
    return HTTPResponse(
        body=io.BufferedReader(_Body(came)), headers=HTTPHeaderDict(fields), status=came.status_code,
        reason=came.reason_phrase, preload_content=False, decode_content=False, request_method=request.method,
        original_response=SimpleNamespace(msg=original, isclosed=lambda: True, close=lambda: None),  # type: ignore[arg-type]
    )  # fmt: skip


def _require_ours(request: requests.PreparedRequest, verify: Any, cert: Any, proxies: Mapping[str, str] | None) -> None:
    if cert is not None:
        raise ClientError("cert= is not used here: the certificate is the one that this session was opened with")
    if verify is not True:
        raise ClientError(
            "verify= is not used here, nor REQUESTS_CA_BUNDLE: say whom to believe by ca= when the session is opened"
        )
    if proxies and select_proxy(request.url or "", dict(proxies)) is not None:
        raise ClientError("no proxy is used here; if the environment names one, say session.trust_env = False")


def _headers_of(request: requests.PreparedRequest) -> list[tuple[bytes, bytes]]:
    return [(_bytes(name), _bytes(value)) for name, value in request.headers.items()]


def _timeout_of(timeout: Any) -> httpx.Timeout:
    """As requests has them: one for both, or one for connecting and one for reading."""
    if timeout is None:
        return httpx.Timeout(TIMEOUT)
    connecting, reading = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    return httpx.Timeout(reading, connect=connecting, pool=connecting)


def _as_requests(error: httpx.RequestError, request: requests.PreparedRequest) -> requests.RequestException:
    kind = next(_EXCEPTIONS[each] for each in type(error).__mro__ if each in _EXCEPTIONS)
    return kind(str(error), request=request)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8")


_EXCEPTIONS: Mapping[type, type[requests.RequestException]] = {
    httpx.ConnectTimeout: requests.exceptions.ConnectTimeout,
    httpx.TimeoutException: requests.exceptions.ReadTimeout,
    httpx.UnsupportedProtocol: requests.exceptions.InvalidSchema,
    httpx.RequestError: requests.exceptions.ConnectionError,
}
