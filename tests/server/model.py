"""What clients, certificates, tokens and grants are to each other, said once more and without a database.

Written from RFC 6749, 7523, 8693 and 8705 and from decisions 0016 and 0017; not from the code.  Here is who gets what;
`model_ends.py` says what ends it, `model_things.py` what there is.  Each rule is a method, so that `model_falsified.py`
can say otherwise and see that somebody notices.
"""

from server.model_ends import Ends
from server.model_things import (
    EVER,
    JWT,
    METHODS,
    PKI,
    PUBLIC,
    WITH_CARD,
    WITH_SECRET,
    Card,
    Client,
    Grant,
    Refused,
    Shown,
    Token,
)  # fmt: skip


class Model(Ends):
    """All rules."""

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

    def is_strong(self, client: Client, grant: Grant) -> bool:
        return METHODS[client.method] >= grant.strength

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
