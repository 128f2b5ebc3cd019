"""Sets of trust anchors (RFC 5280 section 6.1.1, RFC 8705 section 7.4)."""

from dataclasses import dataclass, field

from cryptography.x509.verification import Store

from certbound.core.certificate import Certificate


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
