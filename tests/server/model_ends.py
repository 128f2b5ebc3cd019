"""The reference model, second half: what is true of tokens and grants, and what ends them.

From RFC 7009 and 7662, and from decisions 0012, 0013 and 0017; not from the code.
"""

from server.model_things import EVER, PUBLIC, WITH_SECRET, Card, Client, Grant, Held, Key, Refused, State, Token


class Ends(State):
    """Rules about what was given."""

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

    # Whose it is

    def is_owner(self, client: Client, held: Held) -> bool:
        return client.name == held.client

    def is_holder(self, grant: Grant, card: Card | None) -> bool:
        return grant.holder in (None, card)

    def lives(self, grant: Grant) -> bool:
        return not grant.dead and self.now <= grant.ends

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
