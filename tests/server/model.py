"""What clients, certificates, tokens and grants are to each other, said once more and without a database.

Written from RFC 6749, 7009, 7523, 7662, 8693 and 8705 and from decisions 0012, 0013, 0016 and 0017; not from the code.
Each rule is a method, so that `model_falsified.py` can say otherwise and see that somebody notices.
"""

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
class Model:
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

    # Who asks (RFC 6749 section 2.3, RFC 7523 section 3, RFC 8705 section 2; 0016)

    def authenticate(self, client: Client, shown: Shown, card: Card | None) -> Card | None:
        """The card that was the credential, if one was."""
        shows = PUBLIC if client.method in WITH_CARD else client.method
        if not (client.enabled and shown.method == shows and self.proves(client, shown, card)):
            raise Refused("invalid_client")
        return card if client.method in WITH_CARD else None

    def proves(self, client: Client, shown: Shown, card: Card | None) -> bool:
        if client.method in WITH_SECRET:
            return self.secret_counts(client, shown.value)
        if client.method == JWT:
            return shown.good and self.is_first_use(client, shown.value)
        if client.method == PUBLIC:
            return True
        fits = self.has_subject if client.method == PKI else self.is_registered
        return card is not None and fits(client, card) and not self.is_revoked(card)

    def secret_counts(self, client: Client, secret: str) -> bool:
        return self.now < client.secrets.get(secret, 0)

    def is_first_use(self, client: Client, jti: str) -> bool:
        is_new = (client.name, jti) not in self.used
        self.used.add((client.name, jti))
        return is_new

    def has_subject(self, client: Client, card: Card) -> bool:
        return bool(card.authority and client.card and card.subject == client.card.subject)

    def is_registered(self, client: Client, card: Card) -> bool:
        return card == client.card

    def is_revoked(self, card: Card) -> bool:
        return bool({("certificate", card.name), ("authority", card.authority)} & self.revoked)

    # What it is bound to (RFC 8705 sections 3 and 4)

    def is_bound(self, client: Client, before: bool) -> bool:
        """Never less than what it comes from."""
        return before or client.flag or self.binds_all

    def bind(self, client: Client, card: Card | None, before: bool = False) -> Card | None:
        """The card of the next token."""
        if not self.is_bound(client, before):
            return None
        if not self.can_be_bound_to(card):
            raise Refused("invalid_request")
        return card

    def can_be_bound_to(self, card: Card | None) -> bool:
        return card is not None and ("certificate", card.name) not in self.revoked

    def path(self, client: Client, card: Card | None) -> str:
        return card.authority if card and client.method == PKI else ""

    # What it gets (RFC 6749 sections 4.4 and 6, RFC 8693 section 2)

    def ask(self, client: Client, card: Card | None) -> Card | None:
        """The card of a token by client credentials."""
        self.require_confidential(client)
        return self.bind(client, card)

    def require_confidential(self, client: Client) -> None:
        if client.method == PUBLIC:
            raise Refused("unauthorized_client")

    def token(self, text: str, client: Client, subject: str, bound: Card | None, over: Card | None,
              ends: float = EVER, grant: Grant | None = None, opaque: bool = False) -> Token:  # fmt: skip
        key = None if opaque else max((each for each in self.keys if each.since <= self.now), key=lambda k: k.since)
        ends = min(self.now + self.lifetime, ends)
        made = Token(client.name, subject, bound or over, self.path(client, over), ends, text, bound, grant, key)
        self.tokens.append(made)
        return made

    def open(self, text: str, client: Client, subject: str, bound: Card | None, over: Card | None,
             before: bool = False) -> Grant:  # fmt: skip
        """RFC 8705: bound by the client's authentication (7.1), or else by the card (4), or else replaced (0017)."""
        public = client.method == PUBLIC
        grant = Grant(
            client.name, subject, bound or over, self.path(client, over), self.now + self.grant_lifetime,
            strength=METHODS[client.method], bound=before or bound is not None, holder=bound if public else None,
            rotates=self.rotates_all or (public and bound is None), line=[text],
        )  # fmt: skip
        self.grants.append(grant)
        return grant

    def refresh(self, client: Client, grant: Grant, text: str, card: Card | None) -> tuple[Card | None, int | None]:
        """The card of the token, and the place in the line of the successor; None if the refresh token stays."""
        if not (self.is_owner(client, grant) and self.is_holder(grant, card) and self.is_strong(client, grant)):
            raise Refused("invalid_grant")
        if not self.lives(grant):
            raise Refused("invalid_grant")
        if not grant.rotates:
            return self.bind(client, card, grant.bound), None
        if self.is_reused(grant, at := grant.line.index(text)):
            self.punish(grant)
            raise Refused("invalid_grant")
        return self.bind(client, card, grant.bound), at + 1

    def is_owner(self, client: Client, held: Held) -> bool:
        return client.name == held.client

    def is_holder(self, grant: Grant, card: Card | None) -> bool:
        return grant.holder in (None, card)

    def is_strong(self, client: Client, grant: Grant) -> bool:
        return METHODS[client.method] >= grant.strength

    def lives(self, grant: Grant) -> bool:
        return not grant.dead and self.now <= grant.ends

    def is_reused(self, grant: Grant, at: int) -> bool:
        """Replaced, and not a moment ago, or its successor was too."""
        later = len(grant.line) - 1 - at
        return later > 1 or (later == 1 and self.now - grant.replaced[at] > self.grace)

    def punish(self, grant: Grant) -> None:
        self.end_grant(grant)

    def exchange(self, client: Client, subject: Token, card: Card | None) -> tuple[Card | None, float]:
        """The card of the token, and when it ends at the latest."""
        self.require_confidential(client)
        if not (self.is_active(subject) and client.protects):
            raise Refused("invalid_request")
        return self.bind(client, card, subject.bound is not None), subject.ends

    # What is true of it (RFC 7662; 0013)

    def require_asker(self, client: Client) -> None:
        if client.method == PUBLIC:
            raise Refused("invalid_client")

    def is_active(self, token: Token) -> bool:
        return not token.dead and self.now < token.ends and self.is_signed(token)

    def is_signed(self, token: Token) -> bool:
        return token.key is None or self.now < token.key.until

    def is_told(self, client: Client, token: Token) -> bool:
        """To whom it is meant for, and whose it is."""
        return client.protects or self.is_owner(client, token)

    def is_refresh_told(self, client: Client, grant: Grant, text: str) -> bool:
        return self.is_owner(client, grant) and self.lives(grant) and text == grant.line[-1]

    # What ends it (RFC 7009; 0012, 0013, 0017)

    def give_back(self, client: Client, token: Token) -> None:
        token.dead |= self.is_owner(client, token)

    def give_back_grant(self, client: Client, grant: Grant, card: Card | None) -> None:
        if self.is_owner(client, grant) and self.now <= grant.ends:
            if not self.is_holder(grant, card):
                raise Refused("invalid_grant")
            self.end_grant(grant)

    def end_grant(self, grant: Grant) -> None:
        for each in (*self.grants, *self.tokens):
            each.dead |= grant in self.line_of(each)

    def line_of(self, held: Held) -> list[Held]:
        """It, and all that it came of."""
        before = (held.grant if isinstance(held, Token) else None, held.source)
        return [held, *(each for one in before if one for each in self.line_of(one))]

    def revoke(self, kind: str, value: str) -> None:
        """For ever, whatever is lifted later."""
        self.revoked.add((kind, value))
        if kind == "client":
            self.clients[value].enabled = False
        for held in (*self.grants, *self.tokens):
            held.dead |= any(self.is_touched(each, kind, value) for each in self.line_of(held))

    def is_touched(self, held: Held, kind: str, value: str) -> bool:
        over = held.over.name if held.over else ""
        return value == {"client": held.client, "certificate": over, "authority": held.path}[kind]

    def lift(self, kind: str, value: str) -> None:
        self.revoked.discard((kind, value))
        if kind == "client":
            self.clients[value].enabled = True

    def change(self, client: Client, method: str, flag: bool, card: Card | None) -> None:
        """Nothing of what it holds is touched; secrets go with the method they were for."""
        client.method, client.flag, client.card = method, flag, card
        client.secrets = client.secrets if method in WITH_SECRET else {}

    def add_secret(self, client: Client, secret: str, overlap: float) -> None:
        before = {each: min(end, self.now + overlap) for each, end in client.secrets.items() if overlap}
        client.secrets = {**before, secret: EVER}

    def rotate_key(self) -> None:
        """The key before it is published for as long as a token can live."""
        if self.keys[-1].since <= self.now:
            self.keys[-1].until = self.now + self.lead + self.lifetime
            self.keys.append(Key(self.now + self.lead))

    def replace_key(self) -> None:
        """What was signed before is worth nothing."""
        at = self.now + self.switch
        for each in self.keys:
            each.until = min(each.until, at)
        self.keys = [*(each for each in self.keys if each.since < at), Key(at)]
