"""A request and its answer, as endpoints see them: `Call -> Reply`, no HTTP in between."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from certbound.core.certificate import PeerCertificate
from certbound.core.errors import InvalidRequest
from certbound.server.audit import Notes

MAX_PARAMETERS = 64
REPEATABLE = frozenset({"resource", "audience"})
"""What may stand several times (RFC 8707 section 2, RFC 8693 section 2.1), and nothing else (RFC 6749 section 3.2)."""


class Form(msgspec.Struct, frozen=True):
    """The parameters of a request body; one sent without a value is absent (RFC 6749 section 3.2).

    None but those of `REPEATABLE` has two values, also of those that nobody here knows; but where an endpoint refuses
    that itself (`Route.repeats`).
    """

    values: Mapping[str, Sequence[str]]

    def __repr__(self) -> str:
        """Without what is secret in it."""
        return f"<Form of {len(self.values)}>"

    def one(self, name: str) -> str | None:
        """The value of `name`, or None."""
        values = self.values.get(name)
        return values[0] if values else None

    def require(self, name: str) -> str:
        """The value of `name`.  `InvalidRequest` (400) if it is absent."""
        value = self.one(name)
        if value is None:
            raise InvalidRequest(f"{name} is missing from the request body")
        return value

    def single(self, name: str) -> str:
        """The one value of `name`, empty if it is absent.  `InvalidRequest` (400) if it has more."""
        values = self.all(name)
        if len(values) > 1:
            raise InvalidRequest(f"{name} is repeated")
        return values[0] if values else ""

    def all(self, name: str) -> Sequence[str]:
        """Every value of a parameter that may stand several times."""
        return self.values.get(name, ())


EMPTY = Form({})


class Browser(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of the browser that sent it: claims, but for the cookies, which nobody else has."""

    cookies: Mapping[str, str] = {}
    origin: str | None = None
    """The header Origin; None if there was none."""
    site: str | None = None
    """The header Sec-Fetch-Site; None if there was none."""
    languages: str = ""
    """The header Accept-Language."""

    def __repr__(self) -> str:
        """Without what is secret in it."""
        return f"<Browser with {len(self.cookies)} cookies>"


NO_BROWSER = Browser()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request.  `now` is seconds since the epoch, the same for every step that asks."""

    now: float
    peer: PeerCertificate | None = None
    form: Form = EMPTY
    query: Form = EMPTY
    """The parameters of the URL, where the endpoint takes some."""
    browser: Browser = NO_BROWSER
    """Of endpoints that people visit."""
    body: bytes = b""
    """The bytes of the body, where the endpoint takes no form."""
    authorization: Sequence[bytes] = ()
    """The values of every Authorization header."""
    accept: bytes = b""
    """What every Accept header says, as if it were one."""
    rest: str = ""
    """What stands in the path behind that of the endpoint, as it came."""
    request_id: str = ""
    address: str = ""
    """The peer's on the connection, as the socket has it."""
    notes: Notes = msgspec.field(default_factory=Notes)
    """What the endpoint learned, for log and audit: no secret and no token."""

    def __repr__(self) -> str:
        """Without what is secret in it."""
        return f"<Call {self.request_id}>"


class Reply(msgspec.Struct, frozen=True):
    """One answer.  Headers are lower case."""

    status: int
    body: bytes = b""
    headers: Sequence[tuple[bytes, bytes]] = ()


def read_form(body: bytes, where: str = "body", *, repeats: bool = False) -> Form:
    """The parameters in `body`, `application/x-www-form-urlencoded`.  `InvalidRequest` (400) if it is not that.

    `where` they stand is what a refusal names; where `repeats`, any may stand several times, and who asks looks.
    """
    pairs = body.decode("latin-1").split("&") if body else []  # where nothing is encoded, a byte is a character
    if len(pairs) > MAX_PARAMETERS:
        raise InvalidRequest(f"the {where} has more than {MAX_PARAMETERS} parameters")
    is_ascii = body.isascii()
    values: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidRequest(f"the {where} is not application/x-www-form-urlencoded: a parameter has no '='")
        if not value:
            continue
        if "%" in pair or "+" in pair or not is_ascii:
            value = _decode(value, where)
            if "%" in name or "+" in name or not is_ascii:
                name = _decode(name, where)
        if name not in values:
            values[name] = [value]
        elif repeats or name in REPEATABLE:
            values[name].append(value)
        else:
            raise InvalidRequest(f"{name[:64]} is repeated")  # the name may be anybody's
    return Form(values)


def read_json(body: bytes) -> Mapping[str, Any]:
    """The JSON object in `body`.  `InvalidRequest` (400) if it is none."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("the body is not JSON") from error
    if not isinstance(document, dict):
        raise InvalidRequest("the body is no JSON object")
    return document


def read_cookies(values: Sequence[bytes]) -> dict[str, str]:
    """The cookies in the values of the header Cookie (RFC 6265 section 4.2); of two with one name neither counts.

    All are looked at: a sibling host can plant so many that ours is the last one, or that the second of two is.
    """
    cookies: dict[str, str] = {}
    twice = set()
    for pair in b"; ".join(values).decode("latin-1").split(";"):
        name, equals, value = pair.strip(" ").partition("=")
        if equals:
            if name in cookies:
                twice.add(name)
            cookies[name] = value
    return {name: value for name, value in cookies.items() if name not in twice}


def _decode(text: str, where: str) -> str:
    if text.isascii() and not ("%" in text or "+" in text):  # most names
        return text
    try:
        return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"the {where} is not application/x-www-form-urlencoded: a parameter is not UTF-8"
        ) from error


def json_reply(status: int, document: Any, headers: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
    """`document` as JSON."""
    return Reply(status, _JSON.encode(document), (JSON_TYPE, *headers))


def with_headers(reply: Reply, *headers: tuple[bytes, bytes]) -> Reply:
    """`reply` with more headers."""
    return msgspec.structs.replace(reply, headers=(*reply.headers, *headers))


def redirect_reply(location: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
    """303: whatever the method was, what follows is a GET (RFC 9700 section 4.12)."""
    return Reply(303, b"", ((b"location", location.encode("ascii")), *NO_STORE, *headers))


JSON_TYPE = (b"content-type", b"application/json")
NO_STORE = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
_JSON = msgspec.json.Encoder()
