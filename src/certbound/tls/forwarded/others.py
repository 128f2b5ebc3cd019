"""A believed proxy that seems to speak another contract than the declared one: it is not read, and the log says so.

Rule 1: a line for a person and no verdict: the request has no certificate, whatever stands there.
Rule 2: one line for each header, however often it comes: a client may have sent it through the proxy.
"""

import logging
from collections.abc import Iterable, Mapping

from certbound.tls.forwarded.contract import Contract
from certbound.tls.forwarded.contracts import CONTRACTS, contract_of

_log = logging.getLogger("certbound.security")


class Others:
    """What the other contracts call the header that has the certificate."""

    __slots__ = ("_declared", "_unseen")

    def __init__(self, declared: Contract) -> None:
        own = frozenset(declared.headers)
        self._declared = declared
        self._unseen = {header: names for header, names in _by_header().items() if header.decode() not in own}

    def tell(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """`headers` are those of a believed request with none of the declared contract."""
        for name, _ in headers:
            if (names := self._unseen.pop(name.lower(), None)) is not None:
                _log.warning(
                    "a believed proxy sent %s and no header of the declared contract %s, so nobody has a certificate; "
                    "if the proxy speaks %s, declare that, and if a client sent it, nothing is wrong",
                    name.decode("latin-1").lower(), self._declared.name, " or ".join(names),
                )  # fmt: skip


def _by_header() -> Mapping[bytes, list[str]]:
    found: dict[bytes, list[str]] = {}
    for name in CONTRACTS:
        found.setdefault(contract_of(name).headers[0].encode("ascii"), []).append(name)
    return found
