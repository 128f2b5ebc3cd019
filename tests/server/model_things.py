"""What the reference model speaks of: clients, certificates, keys, tokens and grants, and what it remembers of them."""

from dataclasses import dataclass, field

PUBLIC, BASIC, POST, JWT = "none", "client_secret_basic", "client_secret_post", "private_key_jwt"
PKI, OWN = "tls_client_auth", "self_signed_tls_client_auth"
METHODS = {PUBLIC: 0, BASIC: 1, POST: 1, JWT: 2, PKI: 2, OWN: 2}
"""How strong each is."""
WITH_SECRET, WITH_CARD = (BASIC, POST), (PKI, OWN)
EVER = float("inf")


@dataclass(frozen=True)
class Card:
    """A certificate: its name, the subject somebody vouches for, and who; nobody for a self-signed one."""

    name: str
    subject: str = ""
    authority: str = ""


@dataclass
class Client:
    name: str
    method: str
    flag: bool = False
    card: Card | None = None
    """What it registered: the card itself, or one of its subject."""
    protects: bool = False
    """It has resources, all there are."""
    secrets: dict[str, float] = field(default_factory=dict)
    """Until when each counts."""
    enabled: bool = True


@dataclass(frozen=True)
class Shown:
    """A credential: `value` is a secret or the `jti` of an assertion, `good` whether the client's key signed that."""

    method: str = PUBLIC
    value: str = ""
    good: bool = True


@dataclass(eq=False)
class Key:
    since: float
    until: float = EVER
    """When it is published no more."""


@dataclass(eq=False)
class Held:
    """What a client has: `over` is the card that it is bound to, or that was the credential."""

    client: str
    subject: str
    over: Card | None
    path: str
    """The authority that the credential led to, if one did."""
    ends: float
    dead: bool = field(default=False, init=False)
    source: "Token | None" = field(default=None, init=False, repr=False)
    """What it was exchanged for."""


@dataclass(eq=False)
class Grant(Held):
    strength: int
    bound: bool
    """So is all that comes of it."""
    holder: Card | None
    """Who alone can use it."""
    rotates: bool
    line: list[str] = field(repr=False)
    """Its refresh tokens; all but the last were replaced."""
    replaced: list[float] = field(default_factory=list)


@dataclass(eq=False)
class Token(Held):
    text: str = field(repr=False)
    bound: Card | None
    grant: Grant | None = None
    key: Key | None = None
    """None of an opaque one."""


class Refused(Exception):
    """By the error code of the answer."""


@dataclass
class State:
    """All that there is at one moment."""

    binds_all: bool
    rotates_all: bool
    now: float
    lifetime: float
    grant_lifetime: float
    grace: float
    lead: float
    """Between the announcement of a key and its first signature; `switch` where it replaces another at once."""
    switch: float
    clients: dict[str, Client] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    revoked: set[tuple[str, str]] = field(default_factory=set)
    keys: list[Key] = field(default_factory=lambda: [Key(0)])
    used: set[tuple[str, str]] = field(default_factory=set)
