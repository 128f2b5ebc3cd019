"""What a store must do.  `server` knows these protocols and no store; `stores` knows SQL and no OAuth.

A record carries client metadata as the JSON object of RFC 7591, unread: a store that cannot read what it keeps
cannot fail on it either.  Every method may raise `StoreUnavailable`; beside those named at a method, no other
exception leaves a store.  A caller that is cancelled leaves the old state or the new one.  All of this is tested
by `certbound.testing.stores`.
"""

from certbound.core.ports.clients import (
    ClientRecord,
    Clients,
    InitialTokenRecord,
    InitialTokens,
    RegistrationRecord,
    SecretRecord,
)
from certbound.core.ports.exceptions import AlreadyExists, AlreadyTaken, NotFound, RevokedMeanwhile
from certbound.core.ports.grants import GrantRecord, Grants, Opened, RefreshTokenRecord, Rotation
from certbound.core.ports.keys import KeyRecord, Keys
from certbound.core.ports.people import (
    AccountRecord,
    Accounts,
    ConsentRecord,
    Consents,
    PutOut,
    SessionRecord,
    Sessions,
    Subjects,
)
from certbound.core.ports.revocations import Origin, RevocationRecord, Revocations, RevokedKind, Statuses, StatusRecord
from certbound.core.ports.store import Revision, Store
from certbound.core.ports.tickets import TicketKind, TicketRecord, Tickets
from certbound.core.ports.tokens import AccessTokenRecord, Tokens

__all__ = [
    "AccessTokenRecord",
    "AccountRecord",
    "Accounts",
    "AlreadyExists",
    "AlreadyTaken",
    "ClientRecord",
    "Clients",
    "ConsentRecord",
    "Consents",
    "GrantRecord",
    "Grants",
    "InitialTokenRecord",
    "InitialTokens",
    "KeyRecord",
    "Keys",
    "NotFound",
    "Opened",
    "Origin",
    "PutOut",
    "RefreshTokenRecord",
    "RegistrationRecord",
    "Revision",
    "RevocationRecord",
    "Revocations",
    "RevokedKind",
    "RevokedMeanwhile",
    "Rotation",
    "SecretRecord",
    "SessionRecord",
    "Sessions",
    "StatusRecord",
    "Statuses",
    "Store",
    "Subjects",
    "TicketKind",
    "TicketRecord",
    "Tickets",
    "Tokens",
]
