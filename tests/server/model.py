"""What clients, certificates, tokens and grants are to each other, said once more and without a database.

Written from RFC 6749, 7009, 7662, 8693 and 8705 and from decisions 0012, 0016 and 0017; not from the code.
"""

from dataclasses import dataclass, field
from typing import Any

STRENGTH = {"none": 0, "client_secret_basic": 1, "client_secret_post": 1}
PUBLIC, PKI, OWN = "none", "tls_client_auth", "self_signed_tls_client_auth"


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
    flag: bool
    card: Card | None = None
    """What it registered: the card itself, or one of its subject."""
    secrets: dict[str, float] = field(default_factory=dict)
    """Until when each counts."""
    enabled: bool = True


@dataclass(eq=False)
class Token:
    """An access token: `over` is the card it is bound to, or that was the credential."""

    text: str
    client: str
    subject: str
    bound: Card | None
    over: Card | None
    path: str
    """The authority that the credential led to, if one did."""
    ends: float
    grant: "Grant | None" = None
    dead: bool = False


@dataclass(eq=False)
class Grant:
    client: str
    subject: str
    strength: int
    bound: bool
    holder: Card | None
    over: Card | None
    path: str
    rotates: bool
    ends: float
    line: list[str]
    replaced: list[float] = field(default_factory=list)
    dead: bool = False


class Refused(Exception):
    """By the error code of the answer."""


@dataclass
class Model:
    binds_all: bool
    rotates_all: bool
    grace: float
    now: float
    clients: dict[str, Client] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    revoked: set[tuple[str, str]] = field(default_factory=set)

    def authenticate(self, client: Client, shown: tuple[str, Any], card: Card | None) -> Card | None:
        """The card that was the credential, if one was."""
        how, value = shown
        if client.method in (PKI, OWN):
            good = how == PUBLIC and card is not None and client.card is not None and not self._is_revoked(card)
            if good and client.method == PKI:
                good = bool(card.authority) and card.subject == client.card.subject  # type: ignore[union-attr]
            elif good:
                good = card == client.card
        elif client.method in STRENGTH and client.method != PUBLIC:
            good = how == client.method and client.secrets.get(value, 0) > self.now
        else:
            good = how == client.method and value is True
        if not (good and client.enabled):
            raise Refused("invalid_client")
        return card if client.method in (PKI, OWN) else None

    def bind(self, client: Client, card: Card | None, *, before: bool = False) -> Card | None:
        """The card of the next token."""
        if not (before or client.flag or self.binds_all):
            return None
        if card is None or ("certificate", card.name) in self.revoked:
            raise Refused("invalid_request")
        return card

    def refresh(self, client: Client, grant: Grant, text: str, card: Card | None) -> int | None:
        """The place in the line of the successor; None if the token stays."""
        wrong = grant.client != client.name or grant.dead or self.now > grant.ends
        if wrong or grant.holder not in (None, card) or STRENGTH.get(client.method, 2) < grant.strength:
            raise Refused("invalid_grant")
        if not grant.rotates:
            self.bind(client, card, before=grant.bound)
            return None
        at = grant.line.index(text)
        last = len(grant.line) - 1
        if at < last - 1 or (at == last - 1 and self.now - grant.replaced[at] > self.grace):
            self.end_grant(grant)
            raise Refused("invalid_grant")
        self.bind(client, card, before=grant.bound)
        return at + 1

    def is_active(self, token: Token) -> bool:
        return not token.dead and self.now < token.ends

    def end_grant(self, grant: Grant) -> None:
        grant.dead = True
        for token in self.tokens:
            token.dead |= token.grant is grant

    def revoke(self, kind: str, value: str) -> None:
        """For ever, whatever is lifted later."""
        self.revoked.add((kind, value))
        if kind == "client":
            self.clients[value].enabled = False
        held: list[Token | Grant] = [*self.tokens, *self.grants]
        for each in held:
            if value == _touched(each, kind):
                each.dead = True
                if isinstance(each, Grant):
                    self.end_grant(each)

    def lift(self, kind: str, value: str) -> None:
        self.revoked.discard((kind, value))
        if kind == "client":
            self.clients[value].enabled = True

    def _is_revoked(self, card: Card) -> bool:
        return bool({("certificate", card.name), ("authority", card.authority)} & self.revoked)


def _touched(each: Token | Grant, kind: str) -> str:
    """What of it a revocation of this kind is about."""
    over = each.over.name if each.over else ""
    return {"client": each.client, "certificate": over, "authority": each.path}[kind]
