"""What a flow asks of whoever drives it, and what it is told."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from certbound.client.errors import AnswerUnusable, Refused, TokenRefused, quoted

MAX_ANSWER = 256 * 1024
"""Bytes of an answer; nothing we ask for is longer."""

Form = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request.  No redirect of it is followed, and it is never sent twice."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Form | None = field(default=None, repr=False)
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    mutual_tls: bool = True
    """The client's own certificate is presented where the server asks for one."""
    stranger: bool = False
    """Another certificate is presented, made up for this request alone."""
    most: int = MAX_ANSWER
    """Bytes of the answer beyond which it is none."""

    def fields(self) -> dict[str, str]:
        """All headers, with those of the body."""
        kind = {} if self.form is None else {"content-type": "application/x-www-form-urlencoded"}
        if self.json is not None:
            kind = {"content-type": "application/json"}
        return {"accept": "application/json", "accept-encoding": "identity", **kind, **self.headers}

    def body(self) -> bytes | None:
        """What is sent behind the headers."""
        if self.json is not None:
            return msgspec.json.encode(self.json)
        return None if self.form is None else urlencode(self.form).encode("ascii")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def document(self) -> dict[str, Any] | None:
        """The JSON object in the body; None if there is none."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except (ValueError, RecursionError):  # all of msgspec's, and what is no UTF-8
            return None


_T = TypeVar("_T")
Flow = Generator[Request, Answer, _T]
"""What yields requests, is sent their answers, and returns a `_T`."""


def ask(request: Request, *, status: int = 200) -> Flow[dict[str, Any]]:
    """The JSON object that is answered with `status`.  `Refused` or `AnswerUnusable` otherwise."""
    answer = yield request
    document = answer.document()
    if answer.status != status:
        raise refusal(request, answer)
    if document is None:
        raise AnswerUnusable(f"{request.url} answered {answer.status} without a JSON object")
    return document


def refusal(asked: Request | str, answer: Answer, kind: type[Refused] = Refused) -> Refused | AnswerUnusable:
    """What an answer that is none of the wanted says (RFC 6749 section 5.2), without the secrets of what was asked.

    `asked` is the request, or where it went to if nobody knows it any more.
    """
    endpoint = asked if isinstance(asked, str) else asked.url
    secrets = [] if isinstance(asked, str) else _secrets_of(asked)
    document = answer.document() or {}
    error = document.get("error")
    if 300 <= answer.status < 400:
        return AnswerUnusable(f"{endpoint} answered {answer.status}, a redirect; none is followed from there")
    if not isinstance(error, str):
        what = "; is it a token endpoint?" if issubclass(kind, TokenRefused) else ""
        return AnswerUnusable(f"{endpoint} answered {answer.status} without an OAuth error{what}")
    return kind(
        endpoint=endpoint,
        status=answer.status,
        error=_without(secrets, error),
        description=_without(secrets, document.get("error_description") or ""),
        request_id=_without(secrets, document.get("request_id") or ""),
    )


def _secrets_of(request: Request) -> list[str]:
    _, _, credential = request.headers.get("authorization", "").partition(" ")
    values = [credential, *(value for name, value in request.form or () if name in _SECRET_FIELDS)]
    return [each for each in values if len(each) >= _SHORTEST_SECRET]


def _without(secrets: Sequence[str], said: Any) -> str:
    """What a server said, which may have quoted what it was sent."""
    text = str(said)
    for secret in secrets:
        text = text.replace(secret, "…")
    return quoted(text)


_SHORTEST_SECRET = 8
"""Characters; what is shorter is no secret, and may be part of any word."""
_SECRET_FIELDS = frozenset({
    "actor_token", "client_assertion", "client_secret", "code", "code_verifier", "device_code", "refresh_token",
    "subject_token", "token",
})  # fmt: skip


def is_https(url: str) -> bool:
    """Whether something may be sent to `url` at all."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme == "https"
            and bool(parts.hostname)
            and not parts.fragment
            and "@" not in parts.netloc
            and parts.port != 0
        )
    except ValueError:
        return False


def text(document: Mapping[str, Any], name: str) -> str | None:
    """A member that is text and not empty; None for anything else."""
    value = document.get(name)
    return value if isinstance(value, str) and value else None


def seconds(document: Mapping[str, Any], name: str) -> float | None:
    """A member that is a number, of what a clock can count; None for anything else."""
    value = document.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return max(min(value, _AGES), -_AGES)


_AGES = 1_000_000_000
"""Thirty years.  What is longer is not measured in seconds, and some of it is no `float`."""
