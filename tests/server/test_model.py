"""Clients, certificates, tokens, rotations and crashes in any order: the servers do what `model.py` says.

The machine only draws what is done next (`model_trial.py` does it, at `model_servers.py`).  Everything is real but
HTTP.  Walks are short, so each begins with grants and tokens that can be lost, time goes to the moments at which
something ends, and after each step it is asked what all tokens are now.  Beside the right model go those of
`model_falsified.py`, to see that somebody would notice.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from server.model import Model
from server.model_falsified import FALSE
from server.model_servers import GRACE, OPAQUE, SIGNED
from server.model_story import Story
from server.model_things import EVER, METHODS, PKI, PUBLIC, WITH_SECRET, Card, Grant, Token
from server.model_trial import CARDS, NAMES, Trial

MOST_CRASHES = 2
"""Of one walk: each takes as long as twenty steps."""
POLICIES = [(False, False), (False, False), (False, True), (True, False)]
"""Whether all tokens are bound, and whether all refresh tokens are replaced."""
SIDES = st.integers(0, 1)
"""Which process is asked."""


def _lose_secret(trial: Trial, grant: Grant, _: Token, at: int) -> None:
    """What was lost counts for a while, and of those that count there are few."""
    if trial.model.clients[grant.client].method in WITH_SECRET:
        trial.add_secret(grant.client, 0)


def _lose_lift(trial: Trial, *_: Any) -> None:
    for kind, value in sorted(trial.model.revoked)[:1]:
        trial.lift(kind, value, switches=kind == "client")


def _card(trial: Trial, grant: Grant) -> Card | None:
    return grant.holder or trial.model.clients[grant.client].card or CARDS[0]


LOST: Mapping[str, Callable[[Trial, Grant, Token, int], None]] = {
    "add a secret": _lose_secret,
    "change": lambda trial, grant, _, at: trial.change(grant.client, PKI, bool(at), CARDS[0]),
    "credentials": lambda trial, grant, _, at: trial.credentials(
        grant.client, trial.shown(grant.client), _card(trial, grant), (SIGNED, OPAQUE)[at], at
    ),
    "exchange": lambda trial, _, found, at: trial.exchange("pki", found, CARDS[0], bool(at), at),
    "give back": lambda trial, _, found, at: trial.give_back(found.client, found, at),
    "give back a grant": lambda trial, grant, _, at: trial.give_back_grant(
        grant.client, grant, grant.line[-1], _card(trial, grant), at
    ),
    "lift": _lose_lift,
    "open a grant": lambda trial, grant, _, at: trial.open_grant(grant.client, _card(trial, grant), at),
    "purge": lambda trial, *_: trial.purge(),
    "refresh": lambda trial, grant, _, at: trial.refresh(
        grant.client, grant, grant.line[-1 - at] if at < len(grant.line) else grant.line[-1], _card(trial, grant), at
    ),
    "revoke a certificate": lambda trial, *_: trial.revoke("certificate", "one", switches=False, racing=None),
    "revoke a client": lambda trial, grant, _, at: trial.revoke("client", grant.client, switches=bool(at), racing=None),
    "revoke an authority": lambda trial, *_: trial.revoke("authority", "first", switches=False, racing=None),
    "rotate keys": lambda trial, _, __, at: trial.rotate_key(at_once=bool(at)),
}
"""What may be lost, with this grant and this token if it needs one, in one way or, if that is another, the other."""


ENDING = ("change", "give back", "revoke")
"""What leaves less for the others of these to do."""


class Machine(RuleBasedStateMachine):
    """A walk."""

    steps = 0
    unnoticed: Mapping[str, type[Model]] = {}
    """Falsified models that no walk spoke against so far."""

    @initialize(policy=st.sampled_from(POLICIES))
    def start(self, policy: tuple[bool, bool]) -> None:
        self.trial = Trial(binds_all=policy[0], rotates_all=policy[1], falsified=self.unnoticed)
        self.crashes = self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "trial"):
            self.trial.servers.end()
            type(self).unnoticed = {each: self.unnoticed[each] for each in self.trial.falsified}

    @property
    def model(self) -> Model:
        return self.trial.model

    # What is drawn

    def client(self, data: st.DataObject, names: Sequence[str] = NAMES) -> str:
        return data.draw(st.sampled_from(names))

    def card(self, data: st.DataObject, name: str) -> Card | None:
        """Mostly one that fits the client: what it registered, or another certificate of that subject."""
        client = self.model.clients[name]
        fits = [each for each in CARDS if client.card in (None, each) or self.model.has_subject(client, each)]
        return data.draw(st.sampled_from([*fits[:2] * 4, *CARDS, None]))

    def grant(self, data: st.DataObject) -> Grant:
        live = [each for each in self.model.grants if self.model.lives(each)]
        return data.draw(st.sampled_from([*live, *live, *self.model.grants]))

    def token(self, data: st.DataObject) -> Token:
        live = [each for each in self.model.tokens if self.model.is_active(each)]
        return data.draw(st.sampled_from([*live, *live, *self.model.tokens]))

    # What clients do

    @rule(data=st.data(), good=st.sampled_from([True, True, True, False]), back=st.sampled_from([0, 0, 1, 2]),
          resource=st.sampled_from([SIGNED, OPAQUE]), at=SIDES)  # fmt: skip
    def credentials(self, data: st.DataObject, good: bool, back: int, resource: str, at: int) -> None:
        name = self.client(data)
        self.trial.credentials(name, self.trial.shown(name, back, good), self.card(data, name), resource, at)

    @rule(data=st.data(), at=SIDES)
    def open_grant(self, data: st.DataObject, at: int) -> None:
        """Perhaps; and the newest one is used."""
        name = self.client(data)
        card = self.card(data, name)
        self.trial.open_grant(name, card, at)
        for grant in self.model.grants[-1:]:
            self.trial.refresh(name, grant, grant.line[-1], card, at + 1)

    @precondition(lambda self: self.model.grants)
    @rule(data=st.data(), wrong=st.sampled_from(["client", "card"]), many=st.sampled_from([1, 1, 3]), at=SIDES)
    def refresh(self, data: st.DataObject, wrong: str, many: int, at: int) -> None:
        """First by somebody who should not, then by who should; with the newest token, or one of before."""
        grant = self.grant(data)
        text = data.draw(st.sampled_from([grant.line[-1], *grant.line[-3:]]))
        card = grant.holder or self.card(data, grant.client)
        if wrong == "client":
            thief = self.client(data)
            self.trial.refresh(thief, grant, text, data.draw(st.sampled_from([card, self.card(data, thief)])), at)
        if wrong == "card":
            self.trial.refresh(grant.client, grant, text, data.draw(st.sampled_from([None, *CARDS])), at)
        self.trial.refresh(grant.client, grant, text, card, at, many)

    @precondition(lambda self: any(each.replaced and self.model.lives(each) for each in self.model.grants))
    @rule(data=st.data(), seconds=st.sampled_from([0, GRACE, GRACE + 1]), steals=st.booleans(), at=SIDES)
    def refresh_again(self, data: st.DataObject, seconds: int, steals: bool, at: int) -> None:
        """With a token that was replaced: by a thief, by who lost an answer, or by who has it twice."""
        self.trial.pass_time(seconds)
        grant = data.draw(st.sampled_from([each for each in self.model.grants if each.replaced]))
        name = self.client(data) if steals else grant.client
        card = self.card(data, name) if steals else grant.holder or self.card(data, name)
        self.trial.refresh(name, grant, data.draw(st.sampled_from(grant.line[-3:-1])), card, at)

    @precondition(lambda self: self.model.grants and self.model.tokens and self.crashes < MOST_CRASHES)
    @rule(data=st.data(), what=st.sampled_from(sorted(LOST)), turns=st.sampled_from([0, 5, 20, 50, 100, 200]), at=SIDES)
    def crash(self, data: st.DataObject, what: str, turns: int, at: int) -> None:
        """In the middle of anything; who had no answer asks the next process for the same."""
        self.crashes += 1
        grant, found = self.grant(data), self.token(data)
        self.trial.dies = turns
        LOST[what](self.trial, grant, found, at)
        self.trial.dies = None  # of what there was nothing to do

    @precondition(lambda self: self.model.tokens)
    @rule(data=st.data(), lasts=st.booleans(), seconds=st.sampled_from([0, 100]), at=SIDES)
    def exchange(self, data: st.DataObject, lasts: bool, seconds: int, at: int) -> None:
        self.trial.pass_time(seconds)
        if not self.model.tokens:
            return
        name = self.client(data, ["pki", "pki", "pki", *NAMES])
        self.trial.exchange(name, self.token(data), self.card(data, name), lasts, at)

    @precondition(lambda self: self.model.tokens and self.model.grants)
    @rule(data=st.data(), at=SIDES)
    def give_back(self, data: st.DataObject, at: int) -> None:
        """One token, and perhaps a grant, by anybody and by whose it is."""
        found, grant = self.token(data), self.grant(data)
        for name in (self.client(data), data.draw(st.sampled_from([found.client, "secret"]))):
            self.trial.give_back(name, found, at)
        card = data.draw(st.sampled_from([grant.holder or self.model.clients[grant.client].card, CARDS[1], None]))
        for name in data.draw(st.sampled_from([[], [self.client(data), grant.client]])):
            self.trial.give_back_grant(name, grant, data.draw(st.sampled_from(grant.line)), card, at)

    # What people do

    @rule(data=st.data(), races=st.booleans(), switches=st.booleans(), lifts=st.booleans())
    def revoke(self, data: st.DataObject, races: bool, switches: bool, lifts: bool) -> None:
        values = {"client": NAMES, "certificate": [each.name for each in CARDS], "authority": ["first", "second"]}
        kind = data.draw(st.sampled_from(sorted(values)))
        value = data.draw(st.sampled_from([*self._held(kind), *values[kind]]))
        racing = "pki" if races and self.model.clients["pki"].method != PUBLIC else None
        self.trial.revoke(kind, value, switches=switches, racing=racing)
        if kind == "certificate":
            card = next(each for each in CARDS if each.name == value)
            self.trial.open_grant(data.draw(st.sampled_from(["holder", "secret"])), card, 0)
        if lifts:
            self.trial.lift(kind, value, switches=switches)

    def _held(self, kind: str) -> list[str]:
        """What a revocation would touch."""
        held = [each for each in (*self.model.tokens, *self.model.grants) if not each.dead]
        named = {
            "client": [each.client for each in held],
            "certificate": [each.over.name for each in held if each.over],
            "authority": [each.path for each in held if each.path],
        }
        return sorted(set(named[kind])) * 2

    @precondition(lambda self: self.model.revoked)
    @rule(data=st.data(), switches=st.booleans())
    def lift(self, data: st.DataObject, switches: bool) -> None:
        kind, value = data.draw(st.sampled_from(sorted(self.model.revoked)))
        self.trial.lift(kind, value, switches=switches)

    @rule(data=st.data(), method=st.sampled_from([*METHODS]), flag=st.booleans(), returns=st.booleans())
    def change(self, data: st.DataObject, method: str, flag: bool, returns: bool) -> None:
        """Method, flag and certificate; the client goes on with what it has, and perhaps it is changed back."""
        fits = [each for each in CARDS if bool(each.authority) is (method == PKI)]
        name = self.client(data)
        before = replace(self.model.clients[name])
        self.trial.change(name, method, flag, data.draw(st.sampled_from(fits)))
        for grant in [each for each in self.model.grants if each.client == name and self.model.lives(each)][-2:]:
            self.trial.refresh(name, grant, grant.line[-1], grant.holder or self.card(data, name))
        if returns:
            self.trial.change(name, before.method, before.flag, before.card)

    @rule(data=st.data(), overlap=st.sampled_from([0, 60, 60]))
    def add_secret(self, data: st.DataObject, overlap: int) -> None:
        """And the client shows the one before."""
        names = [each for each in NAMES if self.model.clients[each].method in WITH_SECRET]
        if names:
            name = self.client(data, names)
            is_full = sum(end > self.model.now for end in self.model.clients[name].secrets.values()) >= 3
            self.trial.add_secret(name, 0 if is_full else overlap)
            self.trial.credentials(name, self.trial.shown(name, 1), self.card(data, name), OPAQUE)

    @rule(at_once=st.booleans(), waits=st.booleans())
    def rotate_key(self, at_once: bool, waits: bool) -> None:
        self.trial.rotate_key(at_once=at_once)
        self.trial.pass_time((self.model.switch if at_once else self.model.lead) * waits)

    @rule(
        data=st.data(), off=st.sampled_from([0, 0, 1, -1]), hours=st.sampled_from([0] * 9 + [7]), purges=st.booleans()
    )
    def pass_time(self, data: st.DataObject, off: int, hours: int, purges: bool) -> None:
        """To a moment at which something ends or begins, or to the second before or after; or until leases end."""
        model = self.model
        moments = {
            *(each.ends for each in (*model.tokens, *model.grants)),
            *(at + model.grace for each in model.grants for at in each.replaced),
            *(end for client in model.clients.values() for end in client.secrets.values()),
            *(at for key in model.keys for at in (key.since, key.until)),
        }
        grants = [each.ends for each in self.model.grants]
        soon = sorted(each for each in moments if model.now < each < EVER)[:5]
        to = data.draw(st.sampled_from([*soon, *grants[:1], model.now]))
        self.trial.pass_time(max(to + off - model.now, 0) + hours * 3600)
        if purges:
            self.trial.purge()

    @invariant()
    def everybody_is_told_what_the_model_says(self) -> None:
        if hasattr(self, "trial"):
            self.count += 1
            type(self).steps += 1
            self.trial.check(self.count)
            self.trial.check_lines()


@pytest.fixture(autouse=True)
def _no_authorities_of_the_web(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched here, and reading them takes most of the time that a service needs to open."""
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    monkeypatch.setenv("SSL_CERT_DIR", "/dev/null")


def _walk(examples: int, steps: int, *, again: bool) -> Collection[str]:
    """What falsified models say, and no walk spoke against it."""
    profile = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=again, database=None,
        suppress_health_check=list(HealthCheck), print_blob=True, report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    machine: Any = type("Machine", (Machine,), {"unnoticed": _falsified(), "steps": 0})
    run_state_machine_as_test(machine, settings=profile)
    print(f"{machine.steps} steps; not noticed: {[*machine.unnoticed]}")
    return list(machine.unnoticed)


def _falsified() -> dict[str, type[Model]]:
    return {says: type("Falsified", (Model,), dict(otherwise)) for says, otherwise in FALSE.items()}


def test_each_rule_of_the_model_is_needed() -> None:
    """Whatever a falsified model says, the story tells that it is not so."""
    unnoticed = _falsified()
    for rotates_all, tell in ((False, Story.tell), (True, Story.tell_of_refreshing)):
        trial = Trial(binds_all=False, rotates_all=rotates_all, falsified=unnoticed)
        try:
            tell(Story(trial))
        finally:
            trial.servers.end()
        unnoticed = {each: unnoticed[each] for each in trial.falsified}
    assert not list(unnoticed)


@pytest.mark.parametrize("turns", [20, *(pytest.param(each, marks=pytest.mark.wide) for each in (0, 5, 50, 100, 200))])
@pytest.mark.parametrize("at", [0, pytest.param(1, marks=pytest.mark.wide)])
def test_whatever_is_lost_is_done_when_it_is_asked_for_again(at: int, turns: int) -> None:
    """Every process dies in the middle of each thing in turn, and afterwards all is as the model says."""
    trial = Trial(binds_all=False, rotates_all=False, falsified={})
    try:
        for what, lose in sorted(LOST.items(), key=lambda each: (each[0] == "lift", each[0].startswith(ENDING))):
            for name in ("public", "secret"):
                grant = next(each for each in trial.model.grants if each.client == name)
                trial.dies = turns
                lose(trial, grant, trial.model.tokens[-1], at)
                trial.dies = None
                trial.check(at)
                trial.check_lines()
                assert trial.model.tokens, what
    finally:
        trial.servers.end()


def test_the_servers_do_what_the_model_says() -> None:
    """The same walks each time."""
    _walk(8, 25, again=True)


@pytest.mark.wide
@pytest.mark.timeout(900)
def test_the_servers_do_what_the_model_says_on_many_walks() -> None:
    """Others each time; by then chance has told of nearly all falsified models that they are wrong."""
    assert len(_walk(60, 40, again=False)) < len(FALSE) / 4
