"""When a client last got a token by what a person agreed to, for that person to see.

Rule 1: what is new is written with its grant; a refresh when the answer is certain, which never fails for it.
Rule 2: a client that refreshes all the time is written down once a minute.
Rule 3: the name in the certificate is a stranger's: printable, and bounded.
"""

import logging
from collections import OrderedDict
from functools import lru_cache

from certbound.core.alternative_names import DNS_NAME, RFC822_NAME, URI
from certbound.core.certificate import Certificate
from certbound.core.display import bounded
from certbound.core.errors import BadCertificate, StoreUnavailable
from certbound.core.names import BadName, format_name
from certbound.core.ports import Store

EVERY = 60
"""Seconds between two notes of what one client does for one person."""
CAPACITY = 20_000
MAX_NAME = 200
"""Characters."""

_log = logging.getLogger("certbound.server")


class LastUses:
    """What this process wrote down lately.  For one event loop."""

    def __init__(self) -> None:
        self._noted: OrderedDict[tuple[str, str], float] = OrderedDict()

    def noted(self, person: str, client_id: str, now: float) -> None:
        """It is written down."""
        self._noted[person, client_id] = now
        self._noted.move_to_end((person, client_id))
        if len(self._noted) > CAPACITY:
            self._noted.popitem(last=False)

    async def note(
        self, store: Store, person: str, client_id: str, certificate: Certificate | None, *, now: float
    ) -> None:
        """The client refreshed, and has a token bound to `certificate`."""
        before = self._noted.get((person, client_id))
        if before is not None and abs(now - before) < EVERY:
            return
        self.noted(person, client_id, now)
        try:
            await store.consents.use(person, client_id, certificate=name_in(certificate), now=now)
        except StoreUnavailable as error:
            _log.warning("when %r was used last cannot be written down: %s", client_id, error)


def name_in(certificate: Certificate | None) -> str:
    """What a person knows it by: its subject, else its first other name; empty if it has none that can be read."""
    if certificate is None:
        return ""
    try:
        name = _formatted(certificate.subject_der) or _other_name(certificate)
    except (BadName, BadCertificate):
        return ""
    return bounded(name, MAX_NAME)


@lru_cache(maxsize=1000)
def _formatted(subject_der: bytes) -> str:
    return format_name(subject_der)


def _other_name(certificate: Certificate) -> str:
    texts = (each.value.decode("ascii") for each in certificate.alternative_names if each.tag in _TEXTS)
    try:
        return next(texts, "")
    except UnicodeDecodeError:
        return ""


_TEXTS = frozenset({RFC822_NAME, DNS_NAME, URI})
