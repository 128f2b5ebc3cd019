"""Limits of so many a minute, and those on failed authentication, which lock nobody out.

Rule 1: a success is never refused and never counted.  What proves a client (a key, 256 random bits) cannot be guessed,
so refusing it would protect nobody; and as a client's id is public, it would let anybody lock the client out.
Rule 2: whose failures count together: those of one certificate; without one, those of one network for one client id.
All of one network count together as well, `NEIGHBOURS` times as many.  What is no failed authentication counts apart: a
person who mistypes on a page, or a public client, makes nobody behind the same address wait.
Rule 3: beyond the limit a failure is answered 429 with Retry-After, and no longer written down one by one.  Whether the
client exists changes nothing.
Rule 4: memory is bounded; what is forgotten is forgiven.
"""

from collections.abc import Callable

from certbound.core.rates import CAPACITY, NEIGHBOURS, Bucket, Buckets, Limit, Verdict, network_of

__all__ = ["CAPACITY", "NEIGHBOURS", "Bucket", "Buckets", "Limit", "Throttle", "Verdict", "network_of"]


class Throttle:
    """Counts failures of this process."""

    def __init__(self, per_minute: int, clock: Callable[[], float], *, capacity: int = CAPACITY) -> None:
        """As `Limit`."""
        self._limit = Limit(per_minute, clock, capacity=capacity)

    @property
    def remembered(self) -> int:
        """How many senders."""
        return self._limit.remembered

    def failed(self, *, thumbprint: str, remote: str, client_id: str, is_authentication: bool = True) -> Verdict:
        """One more authentication failed; or what else is refused to whoever proved nothing."""
        network = is_authentication, network_of(remote)
        whose: object = (is_authentication, "of", thumbprint) if thumbprint else (*network, client_id[:256])
        return self._limit.one_more(whose, network)
