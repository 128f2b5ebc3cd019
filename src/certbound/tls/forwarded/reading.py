"""From the headers of a request to the certificate that a declared proxy says its client holds.

Rule 1: whatever belongs to the contract leaves the request, whoever sent it: the application sees none of it.
Rule 2: spellings that some server or framework takes for one of its headers (`_`, `.`, `+` for `-`, a sign more at the
end) belong to it as well.
Rule 3: from a believed proxy a second spelling or a second value is a refusal; from others it is an event.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from certbound.core.certificate import PeerCertificate
from certbound.core.errors import ConfigurationError
from certbound.tls.facts import Hop
from certbound.tls.forwarded.contract import MAX_BYTES, BadForwarded, Contract
from certbound.tls.forwarded.others import Others
from certbound.tls.header_names import folded
from certbound.tls.proxies import NotBelieved, Proxies

Headers = Sequence[tuple[bytes, bytes]]
"""Names in any case, and values; as ASGI has them."""

MEMORY = 1024
"""How many readings are kept."""


class Reading(msgspec.Struct, frozen=True):
    """What became of the headers of one request."""

    headers: list[tuple[bytes, bytes]]
    """What the application may see; the list is nobody else's."""
    peer: PeerCertificate | None
    """What a believed proxy says that its client holds."""
    is_believed: bool
    stripped: tuple[str, ...] = ()
    """The names, as they were spelled, of what a stranger brought and what was taken away."""
    why: str = ""
    """Why the sender is a stranger, for the log."""


class ForwardedReader:
    """One contract, and those who may speak it.  `ConfigurationError` if their headers have one name.

    `joins` says that several headers of one name come as one, with commas between (WSGI).
    """

    __slots__ = ("_is_owned", "_joins", "_memory", "_names", "_others", "_owned", "_secret", "contract", "proxies")

    def __init__(self, contract: Contract, proxies: Proxies, *, joins: bool = False) -> None:
        self.contract: Final = contract
        self.proxies: Final = proxies
        self._names = {name.encode("ascii"): name for name in (proxies.secret_header, *contract.headers)}
        self._joins = joins
        self._secret = proxies.secret_header.encode("ascii")
        self._owned = frozenset(map(folded, self._names))
        self._is_owned = _Owned(self._owned)
        self._others = Others(contract)
        self._memory: OrderedDict[tuple[tuple[bytes, bytes], ...], PeerCertificate | None] = OrderedDict()
        if folded(self._secret) in {folded(each.encode("ascii")) for each in contract.headers}:
            raise ConfigurationError(f"the secret and the contract {contract.name} share {proxies.secret_header}")

    def read(self, headers: Headers, hop: Hop | None, claimed_address: str | None) -> Reading:
        """`hop` and `claimed_address` are as in `Proxies.believe`.  `BadForwarded` (400) if a believed proxy does not
        say one thing."""
        is_owned, secret = self._is_owned, self._secret
        kept: list[tuple[bytes, bytes]] = []
        said: list[tuple[bytes, bytes]] = []
        secrets: list[bytes] = []
        for pair in headers:
            name = pair[0]
            if not is_owned[name]:
                kept.append(pair)
            elif name == secret or name.lower() == secret:
                secrets.append(pair[1])
            else:
                said.append((name, pair[1]))  # some servers have lists for pairs
        try:
            # (1) A declared proxy sent it.
            self.proxies.believe(hop, claimed_address, secrets)
        except NotBelieved as error:
            brought = {name.lower().decode("latin-1") for name, _ in said}
            stripped = tuple(sorted(brought | ({self.proxies.secret_header} if secrets else set())))
            return Reading(kept, None, is_believed=False, stripped=stripped, why=str(error))
        if len(secrets) > 1:
            raise BadForwarded(f"{self.proxies.secret_header} is there twice")
        if not said:
            self._others.tell(kept)
        return Reading(kept, self._certificate(said), is_believed=True)

    def owns(self, name: bytes) -> bool:
        """Whether a header of this name, or what some server takes for it, belongs to the contract or is the secret."""
        return folded(name) in self._owned

    def _single(self, brought: Headers) -> dict[str, bytes]:
        values: dict[str, bytes] = {}
        for spelled, value in brought:
            name = self._names.get(spelled) or self._names.get(spelled.lower())
            if name is None:
                raise BadForwarded(f"{spelled!r:.80} is another spelling of a header of the contract")
            if name in values:
                raise BadForwarded(f"{name} is there twice")
            values[name] = value
        return values

    def _certificate(self, said: Headers) -> PeerCertificate | None:
        """Who says the very same again, in the same spelling and order, is understood as before."""
        key = tuple(said)
        found: PeerCertificate | None = self._memory.get(key, _UNREAD)
        if found is _UNREAD:
            found = self._memory[key] = self._understood(said)
            if len(self._memory) > MEMORY:
                self._memory.popitem(last=False)
        return found

    def _understood(self, said: Headers) -> PeerCertificate | None:
        # (2) Each header has one spelling and one value.
        values = self._single(said)
        # (3) Together they are of a size that a certificate has.
        if sum(map(len, values.values())) > MAX_BYTES:
            raise BadForwarded(f"more than {MAX_BYTES} bytes")
        # (4) They say one thing.
        if self._joins:
            self._require_unjoined(values)
        return self.contract.read(values)

    def _require_unjoined(self, values: dict[str, bytes]) -> None:
        for name, value in values.items():
            if self.contract.may_be_joined(name, value):
                raise BadForwarded(f"{name} may be several, which the server joined")


class _Owned(dict[bytes, bool]):
    """Whether a name is one of those that leave the request; what was asked of the last ones is kept."""

    __slots__ = ("_folded",)

    def __init__(self, names: frozenset[bytes]) -> None:
        super().__init__()
        self._folded = names

    def __missing__(self, name: bytes) -> bool:
        found = folded(name) in self._folded
        if len(name) <= _LONG:  # a stranger chooses it
            if len(self) >= MEMORY:
                self.clear()
            self[name] = found
        return found


_UNREAD: Any = object()
_LONG = 64
"""Bytes of a name that is not kept."""
