"""From the headers of a request to the certificate that a declared proxy says its client holds.

Rule 1: whatever belongs to the contract leaves the request, whoever sent it: the application sees none of it.
Rule 2: spellings that some server or framework takes for one of its headers (`_`, `.`, `+` for `-`, a sign more at the
end) belong to it as well.
Rule 3: from a believed proxy a second spelling or a second value is a refusal; from others it is an event.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from certbound.core.certificate import PeerCertificate
from certbound.tls.facts import Hop
from certbound.tls.forwarded.contract import MAX_BYTES, BadForwarded, Contract
from certbound.tls.proxies import NotBelieved, Proxies

Headers = Sequence[tuple[bytes, bytes]]
"""Names in any case, and values; as ASGI has them."""

MEMORY = 1024
"""How many readings are kept."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of the headers of one request."""

    headers: list[tuple[bytes, bytes]]
    """What the application may see; the list is nobody else's."""
    peer: PeerCertificate | None
    """What a believed proxy says that its client holds."""
    is_believed: bool
    stripped: str | None = None
    """Why what a stranger brought was taken away, for the log; None where there was nothing."""


@dataclass(frozen=True, slots=True)
class ForwardedReader:
    """One contract, and those who may speak it."""

    contract: Contract
    proxies: Proxies
    _owned: frozenset[bytes] = field(init=False, repr=False)
    _memory: "OrderedDict[tuple[tuple[str, bytes], ...], PeerCertificate | None]" = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        names = (*self.contract.headers, self.proxies.secret_header)
        object.__setattr__(self, "_owned", frozenset(folded(name.encode("ascii")) for name in names))

    def read(self, headers: Headers, hop: Hop | None, claimed_address: str | None) -> Reading:
        """`hop` and `claimed_address` are as in `Proxies.believe`.  `BadForwarded` (400) if a believed proxy does not
        say one thing."""
        kept, owned = self._parted(headers)
        secret = self.proxies.secret_header
        try:
            # (1) A declared proxy sent it.
            self.proxies.believe(hop, claimed_address, [value for name, value in owned if name == secret])
        except NotBelieved as error:
            brought = sorted({name for name, _ in owned})
            why = f"{', '.join(brought)}: {error}" if brought else None
            return Reading(kept, None, is_believed=False, stripped=why)
        # (2) Each header has one spelling and one value.
        values = self._single(owned)
        # (3) Together they are of a size that a certificate has.
        if sum(map(len, values.values())) > MAX_BYTES:
            raise BadForwarded(f"more than {MAX_BYTES} bytes")
        # (4) They say one thing.
        return Reading(kept, self._said(values), is_believed=True)

    def _parted(self, headers: Headers) -> tuple[list[tuple[bytes, bytes]], list[tuple[str, bytes]]]:
        """What the application may see, and what belongs to the contract."""
        kept, owned = [], []
        for pair in headers:
            if folded(pair[0]) in self._owned:
                owned.append((pair[0].decode("latin-1").lower(), pair[1]))
            else:
                kept.append(pair)
        return kept, owned

    def _single(self, owned: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
        values: dict[str, bytes] = {}
        for name, value in owned:
            if name == self.proxies.secret_header:
                continue
            if name not in self.contract.headers:
                raise BadForwarded(f"{name!r:.80} is another spelling of a header of the contract {self.contract.name}")
            if name in values:
                raise BadForwarded(f"{name} is there twice")
            values[name] = value
        return values

    def _said(self, values: dict[str, bytes]) -> PeerCertificate | None:
        key = tuple(values.items())
        if key in self._memory:
            return self._memory[key]
        said = self._memory[key] = self.contract.read(values)
        if len(self._memory) > MEMORY:
            self._memory.popitem(last=False)
        return said


@lru_cache(maxsize=512)
def folded(name: bytes) -> bytes:
    """`name` with all that some server takes for the same: any case, any sign for `-`, none at its end."""
    return _SIGNS.sub(b"-", name.lower()).strip(b"-")


_SIGNS = re.compile(rb"[^a-z0-9]+")
