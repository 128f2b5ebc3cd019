"""Which key in which token: the `pkcs11:` URI (RFC 7512).

Rule 1: an attribute that we do not know, or that comes twice, is refused: it might narrow what is meant.
Rule 2: a PIN is in no repr and no message; `str` shows what names the token and the object, and no more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from certbound.client.errors import IdentityUnusable

SCHEME = "pkcs11:"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUri:
    """What such a URI says; None for what it does not."""

    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    slot_id: int | None = None
    object: str | None = None
    id: bytes | None = None
    module_path: Path | None = None
    pin_value: str | None = field(default=None, repr=False)
    pin_source: Path | None = None

    def __str__(self) -> str:
        shown = {
            "token": self.token, "serial": self.serial, "manufacturer": self.manufacturer, "model": self.model,
            "slot-id": None if self.slot_id is None else str(self.slot_id), "object": self.object, "id": self.id,
        }  # fmt: skip
        return SCHEME + ";".join(
            f"{name}={_quoted(value, every=name == 'id')}" for name, value in shown.items() if value is not None
        )

    @classmethod
    def read(cls, text: str) -> "TokenUri":
        """`IdentityUnusable` if it is none, or none that we follow."""
        if not is_token_uri(text):
            raise IdentityUnusable("the URI of a key in a token begins with pkcs11:")
        path, _, query = text[len(SCHEME) :].partition("?")
        found: dict[str, Any] = {}
        for part, separator, rows in ((path, ";", _PATH), (query, "&", _QUERY)):
            for each in part.split(separator) if part else ():
                name, equals, value = each.partition("=")
                # The value is not quoted: it may be a PIN.
                if not equals or name not in rows:
                    raise IdentityUnusable(f"the pkcs11: URI has an attribute that is not known here: {name!r}")
                field_name = name.replace("-", "_")
                if field_name in found:
                    raise IdentityUnusable(f"the pkcs11: URI has {name} twice")
                try:
                    found[field_name] = rows[name](unquote_to_bytes(value))
                except ValueError:
                    raise IdentityUnusable(f"the pkcs11: URI has no good value for {name}") from None
        found.pop("type", None)
        return cls(**found)


def is_token_uri(value: object) -> bool:
    """Whether this names a key in a token, and no file."""
    return isinstance(value, str) and value[: len(SCHEME)].lower() == SCHEME


def _quoted(value: str | bytes, *, every: bool) -> str:
    data = value.encode() if isinstance(value, str) else value
    return "".join(f"%{each:02X}" for each in data) if every else quote_from_bytes(data, safe=" ")


def _text(value: bytes) -> str:
    return value.decode("utf-8")


def _type(value: bytes) -> str:
    if value not in {b"private", b"public", b"cert"}:
        raise ValueError
    return value.decode()


def _file(value: bytes) -> Path:
    """A path, or a file: URI (RFC 7512 section 2.4); nothing is run."""
    text = value.decode("utf-8").removeprefix("file:").removeprefix("//")
    if not text.startswith("/"):
        raise ValueError
    return Path(text)


_PATH: Mapping[str, Callable[[bytes], Any]] = {
    "token": _text,
    "serial": _text,
    "manufacturer": _text,
    "model": _text,
    "slot-id": int,
    "object": _text,
    "id": bytes,
    # Tools print one URI for each of key, public key and certificate; key and certificate are both looked for.
    "type": _type,
}
_QUERY: Mapping[str, Callable[[bytes], Any]] = {
    "module-path": _file,
    "pin-value": _text,
    "pin-source": _file,
}
