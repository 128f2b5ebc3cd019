"""Clients, certificates, tokens, rotations and crashes in any order: the servers do what `model.py` says.

The machine only draws what is done next (`model_trial.py` does it, at `model_servers.py`).  Everything is real but
HTTP.  Walks are short, so each begins with grants and tokens that can be lost, time goes to the moments at which
something ends, and after each step everybody asks about everything.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

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

from server.model import EVER, METHODS, PKI, PUBLIC, WITH_CARD, WITH_SECRET, Card, Client, Grant, Model, Refused, Token
from server.model_falsified import FALSE
from server.model_servers import OPAQUE, SIGNED
from server.model_trial import CARDS, NAMES, Trial

MOST_CRASHES = 2
"""Of one walk: each takes as long as twenty steps."""
POLICIES = [(False, False), (False, False), (False, True), (True, False)]
"""Whether all tokens are bound, and whether all refresh tokens are replaced."""
SOME, MANY = (10, 30), (60, 40)
"""Walks, and the most steps of each."""
SIDES = st.integers(0, 1)
"""Which process is asked."""

T = TypeVar("T")


class Machine(RuleBasedStateMachine):
    """A walk."""

    kind: type[Model] = Model
    steps = 0

    @initialize(policy=st.sampled_from(POLICIES))
    def start(self, policy: tuple[bool, bool]) -> None:
        self.trial = Trial(self.kind, binds_all=policy[0], rotates_all=policy[1])
        self.crashes = self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "trial"):
            self.trial.servers.end()

    @property
    def model(self) -> Model:
        return self.trial.model

    # What is drawn

    def client(self, data: st.DataObject, names: Sequence[str] = NAMES) -> Client:
        return self.model.clients[data.draw(st.sampled_from(names))]

    def card(self, data: st.DataObject, client: Client, others: int = 1) -> Card | None:
        """Mostly one that fits the client: of those it registered, the certificate or what has its subject."""
        fits: list[Card | None] = [each for each in CARDS if client.method == PKI and each.subject == "a.example"]
        fits = [client.card] if client.method in WITH_CARD and client.card not in fits else fits or [CARDS[0]]
        return data.draw(st.sampled_from([*fits * (5 if others == 1 else 1), *[*CARDS, None] * others]))

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
        client = self.client(data)
        card = self.card(data, client)
        self.trial.credentials(client, self.trial.shown(client, back, good), card, resource, at)

    @rule(data=st.data(), at=SIDES)
    def open_grant(self, data: st.DataObject, at: int) -> None:
        client = self.client(data)
        self.trial.open_grant(client, self.card(data, client), at)

    @precondition(lambda self: self.model.grants)
    @rule(data=st.data(), wrong=st.sampled_from([None, "client", "card"]), many=st.sampled_from([1, 1, 3]), at=SIDES)
    def refresh(self, data: st.DataObject, wrong: str | None, many: int, at: int) -> None:
        """First by somebody who should not, then by who should; with the newest token, or one of before."""
        grant = self.grant(data)
        client = self.model.clients[grant.client]
        text = data.draw(st.sampled_from([grant.line[-1], *grant.line[-3:]]))
        card = grant.holder or self.card(data, client)
        if wrong == "client":
            thief = self.client(data)
            self.trial.refresh(thief, grant, text, data.draw(st.sampled_from([thief.card, card])), at)
        if wrong == "card":
            self.trial.refresh(client, grant, text, data.draw(st.sampled_from([None, *CARDS])), at)
        self.trial.refresh(client, grant, text, card, at, many)

    @precondition(lambda self: self.model.grants and self.crashes < MOST_CRASHES)
    @rule(data=st.data(), turns=st.sampled_from([0, 5, 20, 50, 100, 200]), at=SIDES)
    def crash(self, data: st.DataObject, turns: int, at: int) -> None:
        """In the middle of a refresh; who had no answer asks the next process for the same."""
        self.crashes += 1
        grant = self.grant(data)
        client = self.model.clients[grant.client]
        text = data.draw(st.sampled_from(grant.line[-2:]))
        self.trial.refresh(client, grant, text, grant.holder or self.card(data, client), at, dies=turns)

    @precondition(lambda self: self.model.tokens)
    @rule(data=st.data(), lasts=st.booleans(), at=SIDES)
    def exchange(self, data: st.DataObject, lasts: bool, at: int) -> None:
        client = self.client(data, ["pki", "pki", "pki", *NAMES])
        self.trial.exchange(client, self.token(data), self.card(data, client), lasts, at)

    @precondition(lambda self: self.model.tokens)
    @rule(data=st.data(), at=SIDES)
    def give_back(self, data: st.DataObject, at: int) -> None:
        found = self.token(data)
        self.trial.give_back(self.client(data, [found.client, *NAMES]), found, at)

    @precondition(lambda self: self.model.grants)
    @rule(data=st.data(), at=SIDES)
    def give_back_grant(self, data: st.DataObject, at: int) -> None:
        grant = self.grant(data)
        client = self.client(data, [grant.client, grant.client, *NAMES])
        card = data.draw(st.sampled_from([client.card or grant.holder, *CARDS[:1], None]))
        self.trial.give_back_grant(client, grant, data.draw(st.sampled_from(grant.line)), card, at)

    # What people do

    @rule(data=st.data(), races=st.booleans(), switches=st.booleans())
    def revoke(self, data: st.DataObject, races: bool, switches: bool) -> None:
        values = {"client": NAMES, "certificate": [each.name for each in CARDS], "authority": ["first", "second"]}
        kind = data.draw(st.sampled_from(sorted(values)))
        value = data.draw(st.sampled_from([*self._held(kind), *values[kind]]))
        racing = self.model.clients["pki"] if races and self.model.clients["pki"].method != PUBLIC else None
        self.trial.revoke(kind, value, switches=switches, racing=racing)

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

    @rule(data=st.data(), method=st.sampled_from([*METHODS]), flag=st.booleans())
    def change(self, data: st.DataObject, method: str, flag: bool) -> None:
        fits = [each for each in CARDS if bool(each.authority) is (method == PKI)]
        self.trial.change(self.client(data), method, flag, data.draw(st.sampled_from(fits)))

    @precondition(lambda self: any(each.method in WITH_SECRET for each in self.model.clients.values()))
    @rule(data=st.data(), overlap=st.sampled_from([0, 60, 60]))
    def add_secret(self, data: st.DataObject, overlap: int) -> None:
        names = [each for each in NAMES if self.model.clients[each].method in WITH_SECRET]
        client = self.client(data, names or ["observer"])
        is_full = sum(end > self.model.now for end in client.secrets.values()) >= 3
        self.trial.add_secret(client, 0 if is_full else overlap)

    @rule(at_once=st.sampled_from([False, False, True]))
    def rotate_key(self, at_once: bool) -> None:
        self.trial.rotate_key(at_once=at_once)

    @rule(data=st.data(), off=st.sampled_from([0, 0, 1, -1]))
    def pass_time(self, data: st.DataObject, off: int) -> None:
        """To a moment at which something ends or begins, or to the second before or after."""
        model = self.model
        moments = {
            *(each.ends for each in (*model.tokens, *model.grants)),
            *(at + model.grace for each in model.grants for at in each.replaced),
            *(end for client in model.clients.values() for end in client.secrets.values()),
            *(at for key in model.keys for at in (key.since, key.until)),
        }
        to = data.draw(st.sampled_from(sorted(each for each in moments if model.now < each < EVER)[:5] or [model.now]))
        self.trial.pass_time(max(to + off - model.now, 0))

    @rule(hours=st.sampled_from([0, 0, 0, 7]))
    def purge(self, hours: int) -> None:
        """Perhaps after what processes have leased for hours has ended."""
        self.trial.pass_time(hours * 3600)
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


def _walk(examples: int, steps: int, *, kind: type[Model] = Model, again: bool = True) -> None:
    """Of a model that is right, what it does not say is made as small as can be."""
    profile = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=again, database=None,
        suppress_health_check=list(HealthCheck), print_blob=True, report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink] if kind is Model else [Phase.generate],
    )  # fmt: skip
    machine: Any = type("Machine", (Machine,), {"kind": kind, "steps": 0})
    run_state_machine_as_test(machine, settings=profile)
    print(f"{machine.steps} steps")


def test_the_servers_do_what_the_model_says() -> None:
    """The same walks each time."""
    _walk(*SOME)


@pytest.mark.wide
@pytest.mark.timeout(900)
def test_the_servers_do_what_the_model_says_on_many_walks() -> None:
    """Others each time."""
    _walk(*MANY, again=False)


@pytest.mark.wide
@pytest.mark.timeout(300)
@pytest.mark.parametrize("says", FALSE, ids=lambda each: each.replace(" ", "-"))
def test_each_rule_of_the_model_is_needed(says: str) -> None:
    """A model that says otherwise is found out."""
    falsified = type("Falsified", (Model,), dict(FALSE[says]))
    with pytest.raises((AssertionError, Refused)):
        _walk(*MANY, kind=falsified)
