"""One request to an API and its answer, printed as curl prints them.

Rule 1: a token is never printed, and goes to the host of the URL and nowhere else: no redirect is followed.
Rule 2: on a terminal, what came is shown and never run; into a file or a pipe it goes as it came.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urldefrag

import httpx

from certbound import __version__
from certbound.cli._caller import Caller
from certbound.cli._commands import WrongUse
from certbound.client import ServerUnreachable
from certbound.client.flow.api import says_invalid_token
from certbound.client.flow.message import is_https
from certbound.client.tls.pump import TLS_CONNECTION
from certbound.core.display import shown
from certbound.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be sent."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is printed of the answer, and where."""

    headers: bool
    verbose: bool
    output: Path | None
    fail: bool


def read_request(
    url: str,
    *,
    method: str | None,
    headers: Sequence[str],
    data: Sequence[str] = (),
    binary: Sequence[str] = (),
    json: str | None,
    head: bool,
) -> Wanted:
    """What the options of `certbound curl` mean.  `WrongUse` for what cannot be sent."""
    url = urldefrag(url).url
    if not is_https(url):
        raise WrongUse(f"{url!r:.200} is not an https URL; write https://HOST/PATH")
    given = [_header(each) for each in headers]
    form = [*map(_form, data), *map(_content, binary)]
    body = b"&".join(form) if form else None if json is None else _content(json)
    kinds = {} if not form else {"content-type": "application/x-www-form-urlencoded"}
    if json is not None:
        kinds = {"content-type": "application/json", "accept": "application/json"}
    usual = {"user-agent": f"certbound/{__version__}", "accept": "*/*", "accept-encoding": "identity", **kinds}
    said = {name.lower() for name, _ in given}
    method = method or ("HEAD" if head else "GET" if body is None else "POST")
    if not _TOKEN.fullmatch(method):
        raise WrongUse(f"{method!r:.80} is no method; write GET, POST, PUT, PATCH or DELETE")
    return Wanted(
        method=method, url=url, body=body,
        headers=(*((name, value) for name, value in usual.items() if name not in said), *given),
    )  # fmt: skip


def send(
    http: httpx.Client, caller: Caller, wanted: Wanted, how: Shown, *, scope: str | None, resources: tuple[str, ...]
) -> int:
    """The status of the answer, which is printed; a kept token that the API refuses is replaced once."""
    token = caller.token(http, scope=scope, resources=resources)
    with _asked(http, wanted, token.access_token) as answer:
        if not (caller.keeps and _is_refused(answer)):
            return _print(wanted, answer, caller, how)
    token = caller.token(http, scope=scope, resources=resources, fresh=True)
    with _asked(http, wanted, token.access_token) as answer:
        return _print(wanted, answer, caller, how)


@contextmanager
def _asked(http: httpx.Client, wanted: Wanted, access_token: str) -> Iterator[httpx.Response]:
    headers = [*wanted.headers, ("authorization", f"Bearer {access_token}")]
    try:
        with http.stream(wanted.method, wanted.url, headers=headers, content=wanted.body) as answer:
            yield answer
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise ServerUnreachable(f"{wanted.url} cannot be reached: {error}") from error


def _print(wanted: Wanted, answer: httpx.Response, caller: Caller, how: Shown) -> int:
    status = f"{answer.http_version} {answer.status_code} {answer.reason_phrase}".rstrip()
    came = [status, *(f"{name}: {value}" for name, value in _lines(answer.headers))]
    if how.verbose:
        _say(f"* {_connection(answer)}, as {caller.client_id}, with certificate {caller.identity.thumbprint}")
        request = answer.request
        sent = (f"{name}: {_concealed(name, value)}" for name, value in _lines(request.headers))
        for line in (f"{wanted.method} {request.url.raw_path.decode('ascii')} HTTP/1.1", *sent, ""):
            _say(f"> {line}".rstrip())
        for line in (*came, ""):
            _say(f"< {line}".rstrip())
    fails = how.fail and answer.status_code >= 400
    if how.headers or not fails:
        with _sink(how.output) as write:
            if how.headers:
                write("".join(f"{line}\r\n" for line in (*came, "")).encode("latin-1", errors="replace"))
            for chunk in () if fails else answer.iter_raw():
                write(chunk)
    return answer.status_code


@contextmanager
def _sink(output: Path | None) -> Iterator[Callable[[bytes], object]]:
    if output is not None:
        with output.open("wb") as file:
            yield file.write
    elif sys.stdout.isatty():
        yield _show
    else:
        yield _binary(sys.stdout.buffer)
        sys.stdout.flush()


def _binary(stream: BinaryIO) -> Callable[[bytes], object]:
    sys.stdout.flush()
    return stream.write


def _show(chunk: bytes) -> None:
    """Line by line, what is not printable escaped."""
    text = chunk.decode("utf-8", errors="backslashreplace").replace("\r\n", "\n")
    sys.stdout.write("\n".join("\t".join(map(shown, line.split("\t"))) for line in text.split("\n")))


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not _TOKEN.fullmatch(name) or not value.isascii() or any(each in value for each in "\r\n\0"):
        raise WrongUse(f"{line!r:.80} is no header; write 'Name: value'")
    if (known := name.lower()) in _NOT_GIVEN:
        raise WrongUse(f"{name}: {_NOT_GIVEN[known]}")
    return name, value.strip()


def _form(text: str) -> bytes:
    """A form has no line breaks; those of a file are no part of it."""
    content = _content(text)
    return content.translate(None, b"\r\n\0") if text.startswith("@") else content


def _content(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode()
    if text == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{text[1:]} cannot be read: {error.strerror}") from error


def _is_refused(answer: httpx.Response) -> bool:
    """RFC 6750 section 3.1."""
    return answer.status_code == 401 and says_invalid_token(answer.headers.get_list("www-authenticate"))


def _connection(answer: httpx.Response) -> str:
    stream = answer.extensions.get("network_stream")
    connection = stream.get_extra_info(TLS_CONNECTION) if stream is not None else None
    return "TLS" if connection is None else f"{connection.get_protocol_version_name()} {connection.get_cipher_name()}"


def _lines(headers: httpx.Headers) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.raw]


def _concealed(name: str, value: str) -> str:
    return f"{value.partition(' ')[0]} ..." if name.lower() == "authorization" else value


def _say(line: str) -> None:
    sys.stderr.write(f"{shown(line)}\n")


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_GIVEN = {
    "authorization": "this is where the token goes",
    "host": "the token is for the host in the URL",
    "content-length": "it is what --data makes it",
    "transfer-encoding": "it is what --data makes it",
}
