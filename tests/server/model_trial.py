"""What is done to the servers and said of it by the model, held against each other: one method for each thing.

Whoever calls these methods decides in which order, and with what; nothing here draws.  Whatever is done can be lost
before (`dies`): to ask for it again is all that it takes, and what comes of it is what once would.
"""

# ruff: noqa: PT017 - what the model refuses is what is expected of the server

import asyncio
import contextlib
import copy
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any, TypeVar

from certbound.core.binding import choose_certificate
from certbound.core.errors import ConfigurationError, OAuthError
from certbound.core.grants import TokenRequest, token_exchange
from certbound.core.metadata import TOKEN
from certbound.core.ports import RevokedKind, SecretRecord
from certbound.core.succession import SWITCH
from certbound.core.tokens import Grant as Granted
from certbound.server.authentication import authenticated_client
from certbound.server.call import Call, Reply
from certbound.server.clients import make_secret
from certbound.server.grants import Asked, opening
from certbound.server.introspection import introspect
from certbound.server.revocation import Revoker
from certbound.server.service import Service
from certbound.server.token import token
from certbound.server.token_revocation import revoke
from certificates import read
from server.model import Model
from server.model_servers import (
    GRACE,
    GRANT,
    LEAD,
    LIFETIME,
    OPAQUE,
    SIGNED,
    TYPES,
    Servers,
    authorities,
    make_call,
    metadata,
    thumbprint,
)  # fmt: skip
from server.model_things import (
    BASIC,
    EVER,
    JWT,
    PKI,
    POST,
    PUBLIC,
    WITH_CARD,
    WITH_SECRET,
    Card,
    Client,
    Grant,
    Refused,
    Shown,
    Token,
)

CARDS = [
    Card("one", "a.example", "first"), Card("renewed", "a.example", "second"), Card("other", "b.example", "first"),
    Card("own"), Card("own too"),
]  # fmt: skip
"""The first two are of one subject."""
NAMES = ["public", "holder", "pki", "secret", "signer"]
"""Of clients, by what they are at first: one without anything, one with a certificate for its tokens, and so on."""

AHEAD = 30 * 86400
"""Seconds by which the time of the walks is ahead of the clock, by which services purge."""

MOST = 10
"""Tokens and grants of a walk that are asked about."""

T = TypeVar("T")
Endpoint = Callable[[Call, Service], Awaitable[Reply]]


class Trial:
    """Servers, what is right of them, and what others say: `falsified` are those that nothing spoke against so far.

    Every method asserts that the servers do what `model` says.
    """

    def __init__(self, *, binds_all: bool, rotates_all: bool, falsified: Mapping[str, type[Model]]) -> None:
        file, model = prepared(binds_all, rotates_all)
        self._begin(copy.deepcopy(model), file)
        self.falsified = {says: kind(**vars(copy.deepcopy(model))) for says, kind in falsified.items()}

    @classmethod
    def from_nothing(cls, binds_all: bool, rotates_all: bool) -> "Trial":
        """Five clients, and each has something to lose."""
        trial = cls.__new__(cls)
        trial._begin(Model(
            binds_all=binds_all, rotates_all=rotates_all, now=float(int(time.time())) + AHEAD, lifetime=LIFETIME,
            grant_lifetime=GRANT, grace=GRACE, lead=LEAD, switch=SWITCH,
        ))  # fmt: skip
        for client in (
            Client("observer", POST, protects=True), Client("public", PUBLIC), Client("holder", PUBLIC, flag=True),
            Client("pki", PKI, card=CARDS[0], protects=True), Client("secret", BASIC, flag=True),
            Client("signer", JWT),
        ):  # fmt: skip
            trial.register(client)
        for at, name in enumerate(NAMES):
            trial.open_grant(name, CARDS[0], at)
            grant = trial.model.grants[-1]
            for _ in range(2 if name == "public" else 1):
                trial.refresh(name, grant, grant.line[-1], CARDS[0])
        trial.credentials("secret", trial.shown("secret"), CARDS[0], OPAQUE)
        return trial

    def _begin(self, model: Model, file: bytes | None = None) -> None:
        self.model, self.falsified = model, {}
        self.servers = Servers(binds_all=model.binds_all, rotates_all=model.rotates_all, clock=lambda: model.now)
        store = self.servers.folder / "0.sqlite"
        store.touch(0o600)
        if file is not None:
            store.write_bytes(file)
        self.servers.open(store)
        self.numbers = count(len(model.used))
        self.dies: int | None = None
        """After how many turns every process dies that does what comes next; then it is asked for again."""
        self.ended: set[str] = set()
        self.secrets = {name: list(each.secrets) for name, each in model.clients.items()}
        """All that a client ever had."""

    def register(self, client: Client) -> None:
        kept: tuple[SecretRecord, ...] = ()
        if client.method in WITH_SECRET:
            secret, record = make_secret(self.model.now)
            client.secrets, kept = {secret: EVER}, (record,)
        self.secrets[client.name] = list(client.secrets)
        self.model.clients[client.name] = client
        resources = [SIGNED, OPAQUE] if client.protects else []
        given = {"scope": "read write", "grant_types": TYPES, "protected_resources": resources, **metadata(client)}
        self.run(self.servers.registry.register(given, client_id=client.name, secrets_kept=kept))
        self.servers.settle()

    def run(self, work: Any) -> Any:
        return self.servers.run(work)

    def lose(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """If that is what comes next: it is done by processes that die on the way, and nobody hears how far it came."""
        if self.dies is not None:
            dies, self.dies = self.dies, None
            self.servers.crash(work(), dies)

    def lose_answer(self, endpoint: Endpoint, name: str, good: bool, card: Card | None, at: int, **form: str) -> None:
        """The same of a request; who asks again shows another assertion."""
        if self.dies is not None:
            call = make_call(self.model.now, name, self.shown(name, good=good), card, **form)
            self.lose(lambda: self.servers.answer(endpoint, call, at))

    def hold(self, say: Callable[[Model], None]) -> None:
        """What the servers did, against what each model says; `AssertionError` or `Refused` speaks against one."""
        say(self.model)
        for says, model in [*self.falsified.items()]:
            try:
                say(model)
            except (AssertionError, Refused):
                del self.falsified[says]

    def expect(self, answer: Any, of: Callable[[], T]) -> T | None:
        """What a model expects; None if that is a refusal, and that is the answer."""
        try:
            expected = of()
        except Refused as refused:
            assert answer == refused.args[0], answer
            return None
        assert not isinstance(answer, str), f"{answer}: {self.servers.reason}"
        return expected

    def shown(self, name: str, back: int = 0, good: bool = True) -> Shown:
        """The credential of the client's method: the newest secret, or one of before."""
        client = self.model.clients[name]
        if client.method in WITH_SECRET:
            known = self.secrets[name]
            return Shown(client.method, known[-1 - back % len(known)] if good else "cbcs_wrong")
        if client.method == JWT:
            return Shown(JWT, f"jti-{next(self.numbers)}", good)
        return Shown() if good else Shown(POST, "cbcs_wrong")

    # What clients do

    def ask(self, name: str, shown: Shown, card: Card | None, at: int, **form: str) -> Any:
        call = make_call(self.model.now, name, shown, card, **form)
        return self.run(self.servers.answer(token, call, at))

    def credentials(self, name: str, shown: Shown, card: Card | None, resource: str, at: int = 0) -> None:
        """RFC 6749 section 4.4.  The same request comes a second time, at the other process."""
        self.lose_answer(token, name, shown.good, card, at, grant_type="client_credentials", resource=resource)
        for process in (at, at + 1):
            answer = self.ask(name, shown, card, process, grant_type="client_credentials", resource=resource)

            def say(model: Model, answer: Any = answer) -> None:
                client = model.clients[name]
                expected = self.expect(
                    answer, lambda: (model.authenticate(client, shown, card), model.ask(client, card))
                )
                if expected is not None:
                    over, bound = expected
                    model.token(answer["access_token"], client, name, bound, over, opaque=resource == OPAQUE)

            self.hold(say)

    def open_grant(self, name: str, card: Card | None, at: int) -> None:
        """As a grant for people will."""

        async def go(call: Call) -> Any:
            service = self.servers.services[at % 2]
            try:
                authenticated = await authenticated_client(call, service, TOKEN)
                asked = Asked(call, service, authenticated, TokenRequest(scope=None, resources=()))
                given = Granted(
                    client_id=authenticated.client.client_id, subject="alice", audience=(SIGNED,),
                    scope=authenticated.client.scope,
                )  # fmt: skip
                chosen = choose_certificate(authenticated, call.peer, service.bind, revoked=service.clients.revoked)
                return {"refresh_token": await opening(asked, given)[1](chosen)}
            except OAuthError as refusal:
                return refusal.error

        self.lose(lambda: go(make_call(self.model.now, name, self.shown(name), card)))
        shown = self.shown(name)
        answer = self.run(go(make_call(self.model.now, name, shown, card)))

        def say(model: Model) -> None:
            client = model.clients[name]
            expected = self.expect(answer, lambda: (model.authenticate(client, shown, card), model.bind(client, card)))
            if expected is not None:
                model.open(answer["refresh_token"], client, "alice", expected[1], expected[0])

        self.hold(say)

    def refresh(self, name: str, grant: Grant, text: str, card: Card | None, at: int = 0, many: int = 1,
                ) -> None:  # fmt: skip
        """RFC 6749 section 6: at both processes at once, or once more after both died with the answer."""
        shown = [self.shown(name) for _ in range(many)]
        form = {"grant_type": "refresh_token", "refresh_token": text}
        self.lose_answer(token, name, True, card, at, **form)
        calls = [make_call(self.model.now, name, each, card, **form) for each in shown]

        async def go() -> list[Any]:
            asking = (self.servers.answer(token, call, at + n) for n, call in enumerate(calls))
            return list(await asyncio.gather(*asking))

        answers, first = self.run(go()), grant.line[0]
        successors = {answer.get("refresh_token") for answer in answers if isinstance(answer, dict)}
        assert len(successors) < 2, "a family has one line"

        def say(model: Model) -> None:
            client, found = model.clients[name], same_grant(model, first)
            for each, answer in zip(shown, answers, strict=True):
                expected = self.expect(
                    answer,
                    lambda by=each: (model.authenticate(client, by, card), model.refresh(client, found, text, card)),
                )
                if expected is None:
                    continue
                over, (bound, place) = expected
                if place == len(found.line):
                    assert "refresh_token" in answer, "no successor"
                    found.line.append(answer["refresh_token"])
                    found.replaced.append(model.now)
                assert answer.get("refresh_token") == (None if place is None else found.line[place])
                model.token(answer["access_token"], client, found.subject, bound, over, grant=found)

        self.hold(say)
        self.servers.settle()

    def exchange(self, name: str, subject: Token, card: Card | None, lasts: bool, at: int) -> None:
        """RFC 8693."""
        shown, text = self.shown(name), subject.text
        wanted = token_exchange.REFRESH_TOKEN if lasts else token_exchange.ACCESS_TOKEN
        form = {
            "grant_type": token_exchange.GRANT_TYPE, "subject_token": text,
            "subject_token_type": token_exchange.ACCESS_TOKEN, "requested_token_type": wanted,
        }  # fmt: skip
        self.lose_answer(token, name, True, card, at, **form)
        answer = self.ask(name, shown, card, at, **form)

        def say(model: Model) -> None:
            client, found = model.clients[name], same_token(model, text)
            expected = self.expect(
                answer, lambda: (model.authenticate(client, shown, card), model.exchange(client, found, card))
            )
            if expected is None:
                return
            over, (bound, ends) = expected
            grant = None
            if lasts:
                before = found.bound is not None
                grant = model.open(answer["refresh_token"], client, found.subject, bound, over, before)
                grant.source = found
            model.token(answer["access_token"], client, found.subject, bound, over, ends, grant).source = found

        self.hold(say)

    def give_back(self, name: str, found: Token, at: int) -> None:
        """RFC 7009."""
        text, card = found.text, self.model.clients[name].card
        self._revoke(name, card, text, at, lambda model: model.give_back(model.clients[name], same_token(model, text)))

    def give_back_grant(self, name: str, grant: Grant, text: str, card: Card | None, at: int) -> None:
        first = grant.line[0]
        self._revoke(
            name, card, text, at,
            lambda model: model.give_back_grant(model.clients[name], same_grant(model, first), card),
        )  # fmt: skip

    def _revoke(self, name: str, card: Card | None, text: str, at: int, then: Callable[[Model], None]) -> None:
        self.lose_answer(revoke, name, True, card, at, token=text)
        shown = self.shown(name)
        call = make_call(self.model.now, name, shown, card, token=text)
        answer = self.run(self.servers.answer(revoke, call, at))

        def say(model: Model) -> None:
            self.expect(answer, lambda: (model.authenticate(model.clients[name], shown, card), then(model)))

        self.hold(say)
        self.servers.settle()

    # What people do

    def revoke(self, kind: str, value: str, *, switches: bool, racing: str | None) -> None:
        """Perhaps while tokens are given: none that came out outlives it."""
        shown = [self.shown(racing) for _ in (0, 1)] if racing else []
        card = self.model.clients[racing].card if racing else None

        def revoking() -> Coroutine[Any, Any, Any]:
            if switches and kind == "client":
                return self.servers.registry.update(value, {}, enabled=False)
            return self._revoker().revoke(RevokedKind(kind), name_of(kind, value))

        async def go() -> Any:
            form = {"grant_type": "client_credentials"}
            asking = [
                self.servers.answer(token, make_call(self.model.now, racing, each, card, **form), at)
                for at, each in enumerate(shown) if racing
            ]  # fmt: skip
            return (await asyncio.gather(*asking, revoking()))[:-1]

        self.lose(revoking)
        answers = self.run(go())
        raced = [(each, answer["access_token"]) for each, answer in zip(shown, answers, strict=True)
                 if isinstance(answer, dict)]  # fmt: skip

        def say(model: Model) -> None:
            for each, text in raced:
                client = model.clients[racing or ""]
                over, bound = model.authenticate(client, each, card), model.ask(client, card)
                model.token(text, client, client.name, bound, over)
            model.revoke(kind, value)

        self.hold(say)
        self.servers.settle()
        # Who wins is chance, and nothing that is drawn later may depend on it.
        for _, text in raced:
            for process in (0, 1):
                self._check_token("observer", self.shown("observer"), None, text, process)
        self._forget({text for _, text in raced})

    def lift(self, kind: str, value: str, *, switches: bool) -> None:
        async def go() -> None:
            if switches and kind == "client":
                await self.servers.registry.update(value, {}, enabled=True)
            else:
                await self._revoker().lift(RevokedKind(kind), name_of(kind, value))

        was_lost = self.dies is not None
        self.lose(go)
        with contextlib.suppress(ConfigurationError) if was_lost else contextlib.nullcontext():
            self.run(go())  # or it is lifted already, as people are told
        self.hold(lambda model: model.lift(kind, value))
        self.servers.settle()

    def _revoker(self) -> Revoker:
        return Revoker(self.servers.services[0].store, "test", lambda: self.model.now)

    def change(self, name: str, method: str, flag: bool, card: Card | None) -> None:
        """Method, flag and certificate; a first secret comes with the method."""
        client = self.model.clients[name]
        changed = replace(client, method=method, flag=flag, card=card if method in WITH_CARD else None)
        self.lose(lambda: self.servers.registry.update(name, metadata(changed)))
        self.run(self.servers.registry.update(name, metadata(changed)))
        self.hold(lambda model: model.change(model.clients[name], changed.method, changed.flag, changed.card))
        if method in WITH_SECRET and not client.secrets:
            self.add_secret(name, 60)
        self.servers.settle()

    def add_secret(self, name: str, overlap: float) -> None:
        self.lose(lambda: self.servers.registry.add_secret(name, overlap=overlap))
        secret = self.run(self.servers.registry.add_secret(name, overlap=overlap))
        self.secrets[name].append(secret)
        self.hold(lambda model: model.add_secret(model.clients[name], secret, overlap))
        self.servers.settle()

    def rotate_key(self, *, at_once: bool) -> None:
        async def go() -> None:
            keeper = self.servers.keepers[0]
            await (keeper.replace() if at_once else keeper.rotate())

        self.lose(go)
        self.run(go())
        self.hold(lambda model: model.replace_key() if at_once else model.rotate_key())
        self.servers.settle()

    def pass_time(self, seconds: float) -> None:
        self.hold(lambda model: setattr(model, "now", model.now + seconds))
        self.servers.settle()

    def purge(self) -> None:
        async def go() -> None:
            while await self.servers.services[0].store.tokens.purge(now=self.model.now):
                pass

        self.lose(go)
        self.run(go())

    # What is always so

    def check(self, at: int) -> None:
        """Who protects all resources is told of each token what the model says, and one client after the other too.

        What ended by itself is forgotten then, and what is too old to be of interest.
        """
        model = self.model
        for n, each in enumerate(model.tokens):
            self._check_token("observer", self.shown("observer"), None, each.text, at + n)
        name, process = NAMES[at % len(NAMES)], at // len(NAMES)
        card = model.clients[name].card
        newest = {(each.client, each.key is None): each.text for each in model.tokens}.values()
        for back, text in enumerate(newest):
            shown = self.shown(name, back, good=back != 2)
            for each in (process, process + 1)[: 1 if back else 2]:  # an assertion counts once
                self._check_token(name, shown, card, text, each)
        for grant in [*(each for each in model.grants if each.client == name), *model.grants[-1:]]:
            for text in grant.line[-2:]:
                self._check_refresh_token(name, grant, text, process)
        self._forget({each.text for each in model.tokens[:-MOST]})
        self._forget({each.text for each in model.tokens if each.ends <= model.now})
        gone = {each.line[0] for each in model.grants if each.ends + LIFETIME < model.now or each.dead}
        gone = {each.line[0] for each in model.grants[:-MOST] if each.line[0] in gone}
        for each in (model, *self.falsified.values()):
            each.grants = [grant for grant in each.grants if grant.line[0] not in gone]

    def _forget(self, gone: Collection[str]) -> None:
        for each in (self.model, *self.falsified.values()):
            each.tokens = [found for found in each.tokens if found.text not in gone]

    def _introspect(self, name: str, shown: Shown, card: Card | None, text: str, at: int,
                    say: Callable[[Model, Any], None]) -> Any:  # fmt: skip
        call = make_call(self.model.now, name, shown, card, token=text)
        answer = self.run(self.servers.answer(introspect, call, at))

        def asks(model: Model) -> bool:
            model.require_asker(model.clients[name])
            model.authenticate(model.clients[name], shown, card)
            return True

        def hear(model: Model) -> None:
            if self.expect(answer, lambda: asks(model)):
                say(model, answer)

        self.hold(hear)
        return answer

    def _check_token(self, name: str, shown: Shown, card: Card | None, text: str, at: int) -> None:
        def say(model: Model, answer: Any) -> None:
            each = same_token(model, text)
            is_told = model.is_active(each) and model.is_told(model.clients[name], each)
            assert answer["active"] == is_told, (name, each, at)
            if is_told:
                confirmed = None if each.bound is None else {"x5t#S256": thumbprint(each.bound)}
                assert (answer["client_id"], answer["sub"]) == (each.client, each.subject)
                assert answer.get("cnf") == confirmed, (each, answer)
                assert answer["exp"] == each.ends, (each, answer)

        answer = self._introspect(name, shown, card, text, at, say)
        if isinstance(answer, dict):
            assert not (answer["active"] and text in self.ended), "what is dead is dead for ever"
            self.ended |= {text} if name == "observer" and not answer["active"] else set()

    def _check_refresh_token(self, name: str, grant: Grant, text: str, at: int) -> None:
        first = grant.line[0]

        def say(model: Model, answer: Any) -> None:
            found = same_grant(model, first)
            assert answer["active"] == model.is_refresh_told(model.clients[name], found, text), (name, found, at)
            if answer["active"]:
                assert answer.get("cnf") == ({"x5t#S256": thumbprint(found.holder)} if found.holder else None)

        self._introspect(name, self.shown(name), self.model.clients[name].card, text, at, say)

    def check_lines(self) -> None:
        """A family has one line, whose end counts."""
        with contextlib.closing(sqlite3.connect(f"file:{self.servers.file}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT sum(replaced_at IS NULL) FROM refresh_tokens GROUP BY grant_id").fetchall()
        assert all(counting == 1 for (counting,) in rows)


def same_token(model: Model, text: str) -> Token:
    """In each model."""
    return next(each for each in model.tokens if each.text == text)


def same_grant(model: Model, first: str) -> Grant:
    """By its first refresh token."""
    return next(each for each in model.grants if each.line[0] == first)


def name_of(kind: str, value: str) -> str:
    """As a revocation names it."""
    if kind == "authority":
        return str(read(authorities()[value]).key_thumbprint)
    return value if kind == "client" else thumbprint(next(each for each in CARDS if each.name == value))


@cache
def prepared(binds_all: bool, rotates_all: bool) -> tuple[bytes, Model]:
    """A database with clients that have something to lose, and what the model says of it; made once."""
    trial = Trial.from_nothing(binds_all, rotates_all)
    trial.servers.close()
    made = trial.servers.file.read_bytes()
    trial.servers.end()
    return made, trial.model
