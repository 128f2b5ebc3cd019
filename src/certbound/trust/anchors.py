"""Sets of trust anchors (RFC 5280 section 6.1.1, RFC 8705 section 7.4), known by their keys."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from cryptography.x509.verification import Store

from certbound.core.certificate import Certificate, KeyThumbprint


@dataclass(frozen=True, slots=True)
class Anchors:
    """A set of trust anchors, and intermediates that are no anchors but help to find a path (R5)."""

    anchors: tuple[Certificate, ...] = ()
    intermediates: tuple[Certificate, ...] = ()
    store: Store | None = field(init=False, repr=False, compare=False)
    """What `cryptography` makes of the anchors; None if there is no anchor."""

    def __post_init__(self) -> None:
        store = Store([each.parsed for each in self.anchors]) if self.anchors else None
        object.__setattr__(self, "store", store)

    def __bool__(self) -> bool:
        return bool(self.anchors)

    @property
    def keys(self) -> frozenset[KeyThumbprint]:
        """The keys of the anchors, not of the intermediates."""
        return frozenset(each.key_thumbprint for each in self.anchors)

    def only(self, keys: Collection[KeyThumbprint]) -> "Anchors":
        """Those anchors whose key is among `keys`; the intermediates stay, for alone they vouch for nobody."""
        return Anchors(_those(self.anchors, lambda key: key in keys), self.intermediates)

    def without(self, keys: Collection[KeyThumbprint]) -> "Anchors":
        """What is left when no certificate of these keys counts."""

        def is_other(key: KeyThumbprint) -> bool:
            return key not in keys

        return Anchors(_those(self.anchors, is_other), _those(self.intermediates, is_other))


def _those(certificates: tuple[Certificate, ...], wanted: Callable[[KeyThumbprint], bool]) -> tuple[Certificate, ...]:
    return tuple(each for each in certificates if wanted(each.key_thumbprint))
