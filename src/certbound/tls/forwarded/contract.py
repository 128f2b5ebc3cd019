"""What a proxy and we have agreed on: which headers say what certificate a client holds, and how they are read.

Rule 1: a contract owns its headers: nobody but the proxy may send one, and each stands at most once.
Rule 2: what it reads is a certificate, no certificate, or a refusal; there is nothing between.
Rule 3: reading is a function of the values: no clock, no trust, no memory.
"""

from collections.abc import Mapping
from typing import Protocol

from certbound.core.certificate import PeerCertificate
from certbound.core.errors import CertboundError

MAX_BYTES = 32 * 1024
"""Bytes of all headers of a contract together, in one request."""
MAX_CHAIN = 10
"""How many certificates behind the leaf are read."""

Values = Mapping[str, bytes]
"""By header name in lower case; what was not sent is not in it, and nothing is in it twice."""


class BadForwarded(CertboundError):
    """Headers of a believed proxy that do not say one thing; 400.  The message is for the log."""


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
