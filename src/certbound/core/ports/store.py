"""All of them together."""

from typing import NamedTuple, Protocol

from certbound.core.ports.clients import Clients, InitialTokens
from certbound.core.ports.grants import Grants
from certbound.core.ports.keys import Keys
from certbound.core.ports.people import Accounts, Consents, Sessions, Subjects
from certbound.core.ports.revocations import Revocations
from certbound.core.ports.tickets import Tickets
from certbound.core.ports.tokens import Tokens


class Revision(NamedTuple):
    """Two numbers that never go back."""

    records: int
    """Another one after every committed change of clients, keys or revocations."""
    statuses: int
    """Another one after each that made a status invalid."""


class Store(Protocol):
    """All that survives a restart."""

    @property
    def clients(self) -> Clients: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def revocations(self) -> Revocations: ...

    @property
    def grants(self) -> Grants: ...

    @property
    def tokens(self) -> Tokens: ...

    @property
    def initial_tokens(self) -> InitialTokens: ...

    @property
    def tickets(self) -> Tickets: ...

    @property
    def accounts(self) -> Accounts: ...

    @property
    def sessions(self) -> Sessions: ...

    @property
    def consents(self) -> Consents: ...

    @property
    def subjects(self) -> Subjects: ...

    async def revision(self) -> Revision:
        """Two numbers, one of which is another after every committed change by any process that others must hear of.

        It is cheap: one indexed row, or less.
        """

    async def changed(self, *, timeout: float) -> None:  # noqa: ASYNC109 - it is none: the time is what is asked for
        """Returns soon after another process changed something, where the database tells, or after `timeout` seconds.

        One who waits is enough; the number of `revision` is what counts.
        """

    async def close(self) -> None:
        """What was begun has ended and connections are closed; any other call after it is `StoreUnavailable`."""
