"""One story, told the same each time: what is obtained, changed and used, left to no walk and no chance."""

from itertools import count

from server.model_servers import OPAQUE, SIGNED
from server.model_things import BASIC, JWT, OWN, PUBLIC, Card, Grant
from server.model_trial import CARDS, NAMES, Trial

ONE, RENEWED, _, SELF_SIGNED, SELF_SIGNED_TOO = CARDS


class Story:
    """What happens to one trial, chapter by chapter."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.model, self._turn = trial, trial.model, count()

    def tell(self) -> None:
        self.ask()
        self.change()
        self.authenticate()
        self.exchange()
        self.rotate_keys()
        self.give_back()
        self.use_again()
        self.revoke()
        self.end()

    def tell_of_refreshing(self) -> None:
        """Where every refresh token is replaced."""
        for name in NAMES:
            self.use(name, ONE)
        for _ in range(3):  # that is every client
            self.ask()
        self.change()
        self.use_again()

    def change(self) -> None:
        """Another certificate, a weaker method, a stronger one, no flag: and back."""
        for name, method in (("pki", BASIC), ("secret", JWT), ("signer", OWN), ("holder", PUBLIC)):
            client = self.model.clients[name]
            method_before, flag_before, card_before = client.method, client.flag, client.card
            self.use(name, RENEWED)
            self.trial.change(name, method, False, SELF_SIGNED)
            for card in (SELF_SIGNED, SELF_SIGNED_TOO, ONE):
                self.use(name, card)
            self.trial.change(name, method_before, flag_before, card_before)
            self.use(name, ONE)
        self.ask()

    def authenticate(self) -> None:
        """With credentials that are good, bad, old, or of others."""
        for name in NAMES:
            for card in (None, *CARDS) if name == "pki" else (None, ONE):
                self.trial.credentials(name, self.trial.shown(name), card, OPAQUE)
            self.trial.credentials(name, self.trial.shown(name, good=False), ONE, OPAQUE)
        for _ in range(2):
            self.trial.add_secret("secret", 60)
            for seconds in (0, 60):
                self.trial.pass_time(seconds)
                self.trial.credentials("secret", self.trial.shown("secret", 1), ONE, OPAQUE)
        self.ask()

    def exchange(self) -> None:
        for subject in self.model.tokens[:3]:
            self.trial.exchange("pki", subject, ONE, False, next(self._turn))
        self.trial.exchange("secret", self.model.tokens[0], ONE, False, next(self._turn))
        self.ask()

    def rotate_keys(self) -> None:
        self.trial.rotate_key(at_once=False)
        self.trial.pass_time(self.model.lead)
        self.ask()

    def give_back(self) -> None:
        """By a stranger, and by whose it is."""
        self.obtain()
        for name in ("pki", "signer"):
            found = next(each for each in self.model.tokens[::-1] if each.client == name)
            grant = self.grant_of("holder" if name == "signer" else name)
            for by in ("secret", found.client):
                self.trial.give_back(by, found, next(self._turn))
                self.ask()
            for by, card in (("secret", ONE), (grant.client, RENEWED), (grant.client, ONE)):
                self.trial.give_back_grant(by, grant, grant.line[-1], card, next(self._turn))
                self.ask()

    def use_again(self) -> None:
        """What was replaced: by a thief, by who lost the answer, by who has it twice, and too late."""
        for seconds, at in ((0, 0), (self.model.grace + 1, -2)):
            self.trial.open_grant("public", None, 0)
            for _ in range(2):
                self.use("public", None)
            grant = self.grant_of("public")
            self.trial.refresh("secret", grant, grant.line[0], ONE, next(self._turn))
            self.ask()
            for later in (0, self.model.grace):
                self.trial.pass_time(later)
                self.trial.refresh("public", grant, grant.line[-2], None, next(self._turn), many=3)
            self.trial.pass_time(seconds)
            self.trial.refresh("public", grant, grant.line[at], None, next(self._turn))
            self.ask()

    def revoke(self) -> None:
        """And lift it."""
        for kind, value in (("certificate", ONE.name), ("authority", ONE.authority), ("client", "secret")):
            self.obtain()
            of_another = next(each for each in self.model.tokens[::-1] if each.client == "secret")
            self.trial.exchange("pki", of_another, ONE, True, next(self._turn))
            self.trial.revoke(kind, value, switches=True, racing=None)
            self.obtain()
            self.ask()
            self.trial.lift(kind, value, switches=True)
            self.ask()

    def end(self) -> None:
        """To the second, of tokens, keys and grants."""
        for resource in (SIGNED, OPAQUE):
            self.trial.credentials("pki", self.trial.shown("pki"), ONE, resource)
        self.trial.rotate_key(at_once=True)
        self.trial.pass_time(self.model.switch)
        self.trial.credentials("pki", self.trial.shown("pki"), ONE, SIGNED)
        self.ask()
        self.trial.pass_time(self.model.lifetime - self.model.switch)
        self.trial.check(0)
        self.trial.open_grant("pki", ONE, 0)
        self.trial.pass_time(self.model.grant_lifetime)
        self.use("pki", ONE)
        grant = self.grant_of("pki")
        self.trial.pass_time(1)
        self.trial.refresh("pki", grant, grant.line[-1], ONE)
        self.ask()

    # What chapters are made of

    def ask(self) -> None:
        """At both processes; of the clients two, and others the next time."""
        for _ in range(2):
            self.trial.check(next(self._turn))

    def obtain(self) -> None:
        """A grant and a token for each, as far as they may."""
        for name in NAMES:
            self.trial.open_grant(name, ONE, next(self._turn))
            self.use(name, ONE)

    def use(self, name: str, card: Card | None) -> None:
        for grant in [each for each in self.model.grants if each.client == name and self.model.lives(each)][-1:]:
            self.trial.refresh(name, grant, grant.line[-1], card, next(self._turn))

    def grant_of(self, name: str) -> Grant:
        """The newest."""
        return next(each for each in reversed(self.model.grants) if each.client == name)
