"""Models that are wrong in one rule each, to see that the walks notice: a rule that nobody would miss says nothing.

By what they say: the methods of `Model` that say so.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from server.model import Model
from server.model_things import EVER, METHODS, Grant, Held, Key, Refused, Token


def _is_touched_but(kind: str) -> Callable[..., bool]:
    """Revoking one of this kind ends nothing."""

    def is_touched(self: Model, held: Held, revoked: str, value: str) -> bool:
        return revoked != kind and Model.is_touched(self, held, revoked, value)

    return is_touched


def _forgets_binding(self: Model, client: Any, card: Any, before: bool = False) -> Any:
    try:
        return Model.bind(self, client, card, before)
    except Refused:
        return None


def _reuse_first(self: Model, client: Any, grant: Grant, text: str, card: Any) -> Any:
    if grant.rotates and self.is_reused(grant, grant.line.index(text)):
        self.punish(grant)
    return Model.refresh(self, client, grant, text, card)


def _revives(self: Model, kind: str, value: str) -> None:
    Model.lift(self, kind, value)
    for each in self.tokens:
        each.dead &= not self.is_touched(each, kind, value)


def _lasts(self: Model, client: Any, subject: Any, card: Any) -> Any:
    return Model.exchange(self, client, subject, card)[0], EVER


def _loses_binding(self: Model, client: Any, subject: Any, card: Any) -> Any:
    Model.exchange(self, client, subject, card)
    return self.bind(client, card), subject.ends


def _never_rotates(self: Model, *args: Any, **more: Any) -> Grant:
    grant = Model.open(self, *args, **more)
    grant.rotates = False
    return grant


def _always_rotates(self: Model, *args: Any, **more: Any) -> Grant:
    grant = Model.open(self, *args, **more)
    grant.rotates = True
    return grant


def _holds_all(self: Model, *args: Any, **more: Any) -> Grant:
    grant = Model.open(self, *args, **more)
    grant.holder = grant.over
    return grant


def _ends_at_once(self: Model) -> None:
    self.keys[-1].until = self.now + self.lead
    self.keys.append(Key(self.now + self.lead))


def _ends_own_alone(self: Model, grant: Grant) -> None:
    grant.dead = True


def _keeps_secrets(self: Model, client: Any, secret: str, overlap: float) -> None:
    client.secrets = {**client.secrets, secret: EVER}


def _drops_secrets(self: Model, client: Any, secret: str, overlap: float) -> None:
    client.secrets = {secret: EVER}


FALSE: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    # Authentication
    "a disabled client authenticates": {
        "authenticate": lambda self, client, shown, card: (setattr(client, "enabled", True),
                                                           Model.authenticate(self, client, shown, card))[1],
    },
    "a secret counts for ever": {"add_secret": _keeps_secrets},
    "secrets do not overlap": {"add_secret": _drops_secrets},
    "an assertion counts twice": {"is_first_use": lambda self, client, jti: True},
    "who signed an assertion is all the same": {
        "proves": lambda self, client, shown, card: Model.proves(self, client, replace(shown, good=True), card)
    },
    "a renewed certificate does not authenticate": {"has_subject": lambda self, client, card: card == client.card},
    "every certificate of an authority authenticates": {"has_subject": lambda self, client, card: bool(card.authority)},
    "every self-signed certificate authenticates": {"is_registered": lambda self, client, card: not card.authority},
    "a revoked certificate authenticates": {"is_revoked": lambda self, card: False},
    # Binding
    "what was bound before is bound no more": {"is_bound": lambda self, client, before: client.flag or self.binds_all},
    "the flag binds nothing": {"is_bound": lambda self, client, before: before or self.binds_all},
    "without a certificate the token is unbound": {"bind": _forgets_binding},
    "a revoked certificate can be bound to": {"can_be_bound_to": lambda self, card: card is not None},
    # Grants
    "a public client has credentials": {"require_confidential": lambda self, client: None},
    "a refresh token is anybody's": {"is_owner": lambda self, client, held: True},
    "the certificate is not compared at refresh": {"is_holder": lambda self, grant, card: True},
    "the certificate is compared at every refresh": {"open": _holds_all},
    "a weaker method refreshes": {"is_strong": lambda self, client, grant: True},
    "another method does not refresh": {
        "is_strong": lambda self, client, grant: METHODS[client.method] == grant.strength
    },
    "a grant does not end": {"lives": lambda self, grant: not grant.dead},
    "a grant ends a moment sooner": {"lives": lambda self, grant: not grant.dead and self.now < grant.ends},
    "nothing is replaced": {"open": _never_rotates},
    "everything is replaced": {"open": _always_rotates},
    "no reuse is noticed": {"is_reused": lambda self, grant, at: False},
    "there is no grace": {"is_reused": lambda self, grant, at: at < len(grant.line) - 1},
    "grace has no end": {"is_reused": lambda self, grant, at: at < len(grant.line) - 2},
    "grace outlives the successor": {
        "is_reused": lambda self, grant, at: at < len(grant.line) - 1 and self.now - grant.replaced[at] > self.grace
    },
    "reuse does not end the family": {"punish": lambda self, grant: None},
    "reuse is asked first": {"refresh": _reuse_first},
    "an exchanged token outlives its subject": {"exchange": _lasts},
    "an exchanged token loses its binding": {"exchange": _loses_binding},
    # Introspection
    "a public client asks": {"require_asker": lambda self, client: None},
    "strangers are told": {"is_told": lambda self, client, token: True},
    "clients are not told of their own": {"is_told": lambda self, client, token: client.protects},
    "strangers are told of refresh tokens": {
        "is_refresh_told": lambda self, client, grant, text: self.lives(grant) and text == grant.line[-1]
    },
    "a replaced refresh token is active": {
        "is_refresh_told": lambda self, client, grant, text: self.is_owner(client, grant) and self.lives(grant)
    },
    "a token lives a moment longer": {
        "is_active": lambda self, token: not token.dead and self.now <= token.ends and self.is_signed(token)
    },
    # Revocation
    "a token that was given back lives on": {"give_back": lambda self, client, token: None},
    "anybody gives back": {"give_back": lambda self, client, token: setattr(token, "dead", True)},
    "a grant that was given back lives on": {"give_back_grant": lambda self, client, grant, card: None},
    "tokens of an ended grant live on": {"end_grant": _ends_own_alone},
    "what was exchanged lives on": {
        "line_of": lambda self, held: [held, *([held.grant] if isinstance(held, Token) and held.grant else [])]
    },
    "tokens of a disabled client live on": {"is_touched": _is_touched_but("client")},
    "tokens over a revoked certificate live on": {"is_touched": _is_touched_but("certificate")},
    "tokens over a revoked authority live on": {"is_touched": _is_touched_but("authority")},
    "what is lifted revives": {"lift": _revives},
    "a change of method keeps the secrets": {
        "change": lambda self, client, method, flag, card: vars(client).update(method=method, flag=flag, card=card)
    },
    # Keys
    "a key ends with its last signature": {"rotate_key": _ends_at_once},
    "what a replaced key signed lives on": {"is_signed": lambda self, token: True},
    "opaque tokens end with the keys": {
        "is_signed": lambda self, token: self.now < (token.key or self.keys[-1]).until and not (
            token.key is None and self.keys[-1].since > token.ends - self.lifetime and len(self.keys) > 1
        )
    },
}  # fmt: skip
