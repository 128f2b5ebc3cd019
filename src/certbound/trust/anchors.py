"""Sets of trust anchors (RFC 5280 section 6.1.1, RFC 8705 section 7.4), known by their keys."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.x509.verification import Store

from certbound.core.certificate import Certificate, KeyThumbprint


@dataclass(frozen=True)
class Anchors:
    """A set of trust anchors, and intermediates that are no anchors but help to find a path (R5)."""

    anchors: tuple[Certificate, ...] = ()
    intermediates: tuple[Certificate, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.anchors)

    @cached_property
    def store(self) -> Store:
        """What `cryptography` makes of the anchors, of which there must be one."""
        return Store([each.parsed for each in self.anchors])

    @cached_property
    def by_subject(self) -> Mapping[bytes, Collection[Certificate]]:
        """Anchors and intermediates by their subject Name, DER."""
        return by_subject((*self.anchors, *self.intermediates))

    @cached_property
    def by_der(self) -> Mapping[bytes, Certificate]:
        """Anchors and intermediates, so that none is read again."""
        return {each.der: each for each in (*self.anchors, *self.intermediates)}

    @cached_property
    def prepared(self) -> dict[str, Any]:
        """What others made of this set and keep with it, each under a name of its own."""
        return {}

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


def by_subject(certificates: Iterable[Certificate]) -> Mapping[bytes, Collection[Certificate]]:
    """The certificates by their subject Name, DER."""
    found: dict[bytes, list[Certificate]] = {}
    for each in certificates:
        found.setdefault(each.subject_der, []).append(each)
    return found
