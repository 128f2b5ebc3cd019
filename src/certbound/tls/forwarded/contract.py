"""What a proxy and we have agreed on: which headers say what certificate a client holds, and how they are read.

Rule 1: a contract owns its headers: nobody but the proxy may send one, and each stands at most once.
Rule 2: what it reads is a certificate, no certificate, or a refusal; there is nothing between.
Rule 3: reading is a function of the values: no clock, no trust, no memory.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import ClassVar, Protocol

from certbound.core.certificate import PeerCertificate
from certbound.core.errors import CertboundError, ConfigurationError
from certbound.tls.header_names import folded, require_header_name

MAX_BYTES = 32 * 1024
"""Bytes of all headers of a contract together, in one request."""
MAX_CHAIN = 10
"""How many certificates behind the leaf are kept, as on our own listener; the rest is ignored."""

Values = Mapping[str, bytes]
"""By header name in lower case; what was not sent is not in it, and nothing is in it twice."""


class BadForwarded(CertboundError):
    """Headers of a believed proxy that do not say one thing; 400.  The message is for the log."""

    description = "the headers in which the proxy says which certificate the client holds are malformed"


class TwoRequests(BadForwarded):
    """A request that some servers read as one and others as two; 400, and the last on its connection."""

    description = "a request that asks for an upgrade has no body"


class Contract(Protocol):
    """How one kind of proxy says which certificate its client holds.  One file for each, in this package."""

    @property
    def name(self) -> str:
        """As settings, commands and the log call it."""

    @property
    def headers(self) -> tuple[str, ...]:
        """Every header that it owns, in lower case: those it reads, and those beside them that could mislead others."""

    def read(self, values: Values) -> PeerCertificate | None:
        """The certificate whose key the proxy says its client holds; None if it says that there is none.

        `BadForwarded` (400) for everything that is neither.
        """

    def may_be_joined(self, header: str, value: bytes) -> bool:
        """Whether `value` may be several headers that a server joined by commas (WSGI), in a way that would matter."""


class OwnHeaders:
    """A contract whose dataclass fields `<role>_header` name the headers it reads; an empty one is not in use.

    `ConfigurationError` for names that are none, or that a server could take for each other.
    """

    __slots__ = ()

    name: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()
    """What it owns and does not read: others could be misled by it."""
    optional: ClassVar[frozenset[str]] = frozenset({"chain", "fingerprint", "error"})
    """Roles without which it can be read."""
    lists_by_commas: ClassVar[bool] = False
    """Whether it writes several certificates with commas between, which nobody can tell from headers that a server
    joined (WSGI)."""

    def __post_init__(self) -> None:
        seen: dict[bytes, str] = {}
        for role, header in self._all().items():
            if not header and role in self.optional:
                continue
            require_header_name(role, header)
            other = seen.setdefault(folded(header.encode("ascii")), role)
            if other != role:
                raise ConfigurationError(f"{role} and {other} of the contract {self.name} are both {header}")

    @classmethod
    def roles(cls) -> tuple[str, ...]:
        """What its headers say, as they are renamed by: `certificate`, `verify`."""
        return tuple(each.name.removesuffix(_FIELD) for each in fields(cls))  # type: ignore[arg-type]

    @property
    def headers(self) -> tuple[str, ...]:
        return (*filter(None, self._all().values()), *self.beside)

    def may_be_joined(self, header: str, value: bytes) -> bool:
        del header
        return b"," in value

    def _all(self) -> dict[str, str]:
        return {role: getattr(self, role + _FIELD) for role in self.roles()}


_FIELD = "_header"
