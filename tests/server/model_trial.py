"""What is done to the servers and said of it by the model, held against each other: one method for each thing.

Whoever calls these methods decides in which order, and with what; nothing here draws.
"""

# ruff: noqa: PT017 - what the model refuses is what is expected of the server

import asyncio
import contextlib
import copy
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any, TypeVar

from certbound.core.binding import choose_certificate
from certbound.core.errors import OAuthError
from certbound.core.grants import TokenRequest, token_exchange
from certbound.core.metadata import TOKEN
from certbound.core.ports import RevokedKind, SecretRecord
from certbound.core.succession import SWITCH
from certbound.core.tokens import Grant as Granted
from certbound.server.authentication import authenticated_client
from certbound.server.call import Call
from certbound.server.clients import make_secret
from certbound.server.grants import Asked, opening
from certbound.server.introspection import introspect
from certbound.server.revocation import Revoker
from certbound.server.token import token
from certbound.server.token_revocation import revoke
from certificates import read
from server.model import (
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
    Model,
    Refused,
    Shown,
    Token,
)
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

CARDS = [
    Card("one", "a.example", "first"), Card("renewed", "a.example", "second"), Card("other", "b.example", "first"),
    Card("own"), Card("own too"),
]  # fmt: skip
"""The first two are of one subject."""
NAMES = ["public", "holder", "pki", "secret"]
"""Of clients, by what they are at first: one without anything, one with a certificate for its tokens, and so on."""

AHEAD = 30 * 86400
"""Seconds by which the time of the walks is ahead of the clock, by which services purge."""

MOST = 10
"""Tokens and grants of a walk that are asked about."""

T = TypeVar("T")


class Trial:
    """`model` is right until the servers say otherwise: every method asserts that they agree."""

    def __init__(self, kind: type[Model], *, binds_all: bool, rotates_all: bool) -> None:
        file, model = prepared(binds_all, rotates_all)
        self.model = kind(**vars(copy.deepcopy(model)))
        self._begin(file)

    def _begin(self, file: bytes | None = None) -> None:
        model = self.model
        self.servers = Servers(binds_all=model.binds_all, rotates_all=model.rotates_all, clock=lambda: self.model.now)
        store = self.servers.folder / "0.sqlite"
        store.touch(0o600)
        if file is not None:
            store.write_bytes(file)
        self.servers.open(store)
        self.numbers = count()
        self.ended: set[str] = set()
        self.secrets = {name: list(each.secrets) for name, each in model.clients.items()}
        """All that a client ever had."""

    @classmethod
    def from_nothing(cls, binds_all: bool, rotates_all: bool) -> "Trial":
        """Four clients, and each has something to lose."""
        trial = cls.__new__(cls)
        trial.model = Model(
            binds_all=binds_all, rotates_all=rotates_all, now=float(int(time.time())) + AHEAD, lifetime=LIFETIME,
            grant_lifetime=GRANT, grace=GRACE, lead=LEAD, switch=SWITCH,
        )  # fmt: skip
        trial._begin()
        for client in (
            Client("observer", POST, protects=True), Client("public", PUBLIC), Client("holder", PUBLIC, flag=True),
            Client("pki", PKI, card=CARDS[0], protects=True), Client("secret", BASIC),
        ):  # fmt: skip
            trial.register(client)
        for at, name in enumerate(NAMES):
            trial.open_grant(trial.model.clients[name], CARDS[0], at)
            trial.refresh(trial.model.clients[name], trial.model.grants[-1], trial.model.grants[-1].line[0], CARDS[0])
        trial.credentials(trial.model.clients["secret"], trial.shown(trial.model.clients["secret"]), CARDS[0], OPAQUE)
        return trial

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
        self.settle()

    @property
    def observer(self) -> Client:
        """Who protects all resources, and changes in nothing."""
        return self.model.clients["observer"]

    def run(self, work: Any) -> Any:
        return self.servers.run(work)

    def settle(self) -> None:
        self.servers.settle()

    def shown(self, client: Client, back: int = 0, good: bool = True) -> Shown:
        """The credential of its method: the newest secret, or one of before."""
        if client.method in WITH_SECRET:
            known = [*self.secrets[client.name]] or ["cbcs_none"]
            return Shown(client.method, known[-1 - back % len(known)] if good else "cbcs_wrong")
        if client.method == JWT:
            return Shown(JWT, f"jti-{next(self.numbers)}", good)
        return Shown() if good else Shown(POST, "cbcs_wrong")

    def expect(self, of: Callable[[], T], answer: Any) -> T | None:
        """What the model expects; None if that is a refusal, which is the answer then."""
        try:
            expected = of()
        except Refused as refused:
            assert answer == refused.args[0], answer
            return None
        assert not isinstance(answer, str), f"{answer}: {self.servers.reason}"
        return expected

    # What clients do

    def ask(self, client: Client, shown: Shown, card: Card | None, at: int, **form: str) -> Any:
        call = make_call(self.model.now, client.name, shown, card, **form)
        return self.run(self.servers.answer(token, call, at))

    def credentials(self, client: Client, shown: Shown, card: Card | None, resource: str, at: int = 0) -> None:
        """RFC 6749 section 4.4.  The same request comes a second time, at the other process."""
        for each in (at, at + 1):
            answer = self.ask(client, shown, card, each, grant_type="client_credentials", resource=resource)
            expected = self.expect(
                lambda: (self.model.authenticate(client, shown, card), self.model.ask(client, card)), answer
            )
            if expected is not None:
                over, bound = expected
                self.model.token(answer["access_token"], client, client.name, bound, over, opaque=resource == OPAQUE)

    def open_grant(self, client: Client, card: Card | None, at: int) -> None:
        """As a grant for people will."""
        service, shown = self.servers.services[at % 2], self.shown(client)
        call = make_call(self.model.now, client.name, shown, card)

        async def go() -> Any:
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

        answer = self.run(go())
        expected = self.expect(
            lambda: (self.model.authenticate(client, shown, card), self.model.bind(client, card)), answer
        )
        if expected is not None:
            self.model.open(answer["refresh_token"], client, "alice", expected[1], expected[0])

    def refresh(self, client: Client, grant: Grant, text: str, card: Card | None, at: int = 0, many: int = 1,
                dies: int | None = None) -> None:  # fmt: skip
        """RFC 6749 section 6: at both processes at once, or once more after both died with the answer."""
        shown = [self.shown(client) for _ in range(many)]
        calls = [
            make_call(self.model.now, client.name, each, card, grant_type="refresh_token", refresh_token=text)
            for each in shown
        ]
        if dies is not None:
            lost = replace_jti(self, calls[0], client, card, text)
            self.servers.crash(self.servers.answer(token, lost, at), dies)

        async def go() -> list[Any]:
            asking = (self.servers.answer(token, call, at + n) for n, call in enumerate(calls))
            return list(await asyncio.gather(*asking))

        answers = self.run(go())
        wanted = [
            self.expect(
                lambda each=each: (  # type: ignore[misc]
                    self.model.authenticate(client, each, card), self.model.refresh(client, grant, text, card)
                ),
                answer,
            )
            for each, answer in zip(shown, answers, strict=True)
        ]  # fmt: skip
        successors = {answer.get("refresh_token") for answer in answers if isinstance(answer, dict)}
        for expected, answer in zip(wanted, answers, strict=True):
            if expected is None:
                continue
            over, (bound, place) = expected
            assert len(successors) == 1, "a family has one line"
            if place == len(grant.line):
                assert answer.get("refresh_token"), "no successor"
                grant.line.append(answer["refresh_token"])
                grant.replaced.append(self.model.now)
            assert answer.get("refresh_token") == (None if place is None else grant.line[place])
            self.model.token(answer["access_token"], client, grant.subject, bound, over, grant=grant)
        self.settle()

    def exchange(self, client: Client, subject: Token, card: Card | None, lasts: bool, at: int) -> None:
        """RFC 8693."""
        shown = self.shown(client)
        wanted = token_exchange.REFRESH_TOKEN if lasts else token_exchange.ACCESS_TOKEN
        answer = self.ask(
            client, shown, card, at, grant_type=token_exchange.GRANT_TYPE, subject_token=subject.text,
            subject_token_type=token_exchange.ACCESS_TOKEN, requested_token_type=wanted,
        )  # fmt: skip
        expected = self.expect(
            lambda: (self.model.authenticate(client, shown, card), self.model.exchange(client, subject, card)), answer
        )
        if expected is None:
            return
        over, (bound, ends) = expected
        grant = None
        if lasts:
            before = subject.bound is not None
            grant = self.model.open(answer["refresh_token"], client, subject.subject, bound, over, before)
        self.model.token(answer["access_token"], client, subject.subject, bound, over, ends, grant)

    def give_back(self, client: Client, found: Token, at: int) -> None:
        """RFC 7009."""
        if self._revoke(client, client.card, found.text, at):
            self.model.give_back(client, found)
        self.settle()

    def give_back_grant(self, client: Client, grant: Grant, text: str, card: Card | None, at: int) -> None:
        if self._revoke(client, card, text, at):
            self.model.give_back_grant(client, grant, card)
        self.settle()

    def _revoke(self, client: Client, card: Card | None, text: str, at: int) -> bool:
        shown = self.shown(client)
        call = make_call(self.model.now, client.name, shown, card, token=text)
        answer = self.run(self.servers.answer(revoke, call, at))
        return self.expect(lambda: (self.model.authenticate(client, shown, card),), answer) is not None

    # What people do

    def revoke(self, kind: str, value: str, *, switches: bool, racing: Client | None) -> None:
        """Perhaps while tokens are given: none that came out outlives it."""
        shown = [self.shown(racing) for _ in (0, 1)] if racing else []
        card = racing.card if racing else None

        async def go() -> Any:
            asking = [
                self.servers.answer(
                    token, make_call(self.model.now, racing.name, each, card, grant_type="client_credentials"), at
                )
                for at, each in enumerate(shown) if racing
            ]  # fmt: skip
            if switches and kind == "client":
                revoking: Any = self.servers.registry.update(value, {}, enabled=False)
            else:
                revoking = self._revoker().revoke(RevokedKind(kind), name_of(kind, value))
            return (await asyncio.gather(*asking, revoking))[:-1]

        answers = self.run(go())
        raced = []
        for each, answer in zip(shown, answers, strict=True):
            if isinstance(answer, dict) and racing:
                over, bound = self.model.authenticate(racing, each, card), self.model.ask(racing, card)
                raced.append(self.model.token(answer["access_token"], racing, racing.name, bound, over))
        self.model.revoke(kind, value)
        self.settle()
        # Who wins is chance, and nothing that is drawn later may depend on it.
        for found in raced:
            for process in (0, 1):
                self._check_token(self.observer, self.shown(self.observer), None, found, process)
            self.model.tokens.remove(found)

    def lift(self, kind: str, value: str, *, switches: bool) -> None:
        if switches and kind == "client":
            self.run(self.servers.registry.update(value, {}, enabled=True))
        else:
            self.run(self._revoker().lift(RevokedKind(kind), name_of(kind, value)))
        self.model.lift(kind, value)
        self.settle()

    def _revoker(self) -> Revoker:
        return Revoker(self.servers.services[0].store, "test", lambda: self.model.now)

    def change(self, client: Client, method: str, flag: bool, card: Card | None) -> None:
        """Method, flag and certificate; a first secret comes with the method."""
        changed = replace(client, method=method, flag=flag, card=card if method in WITH_CARD else None)
        self.run(self.servers.registry.update(client.name, metadata(changed)))
        self.model.change(client, changed.method, changed.flag, changed.card)
        if method in WITH_SECRET and not client.secrets:
            self.add_secret(client, 0)
        self.settle()

    def add_secret(self, client: Client, overlap: float) -> None:
        secret = self.run(self.servers.registry.add_secret(client.name, overlap=overlap))
        self.secrets[client.name].append(secret)
        self.model.add_secret(client, secret, overlap)
        self.settle()

    def rotate_key(self, *, at_once: bool) -> None:
        keeper = self.servers.keepers[0]
        self.run(keeper.replace() if at_once else keeper.rotate())
        if at_once:
            self.model.replace_key()
        else:
            self.model.rotate_key()
        self.settle()

    def pass_time(self, seconds: float) -> None:
        self.model.now += seconds
        self.settle()

    def purge(self) -> None:
        while self.run(self.servers.services[0].store.tokens.purge(now=self.model.now)):
            pass

    # What is always so

    def check(self, at: int) -> None:
        """Who protects all resources is told of each token what the model says, and one client after the other too.

        What ended by itself is forgotten then, and what is too old to be of interest.
        """
        model = self.model
        for each in model.tokens:
            for process in (0, 1) if model.is_active(each) else (at,):
                self._check_token(self.observer, self.shown(self.observer), None, each, process)
        client = model.clients[NAMES[at % len(NAMES)]]
        process = at // len(NAMES)
        newest = {(each.client, each.key is None): each for each in model.tokens}.values()
        for back, each in enumerate(newest):
            self._check_token(client, self.shown(client, back), client.card, each, process)
        for grant in model.grants:
            for text in grant.line[-2:]:
                self._check_refresh_token(client, grant, text, process)
        model.tokens = [each for each in model.tokens if model.now < each.ends][-MOST:]
        model.grants = [each for each in model.grants if model.now <= each.ends + LIFETIME][-MOST:]

    def _introspect(self, client: Client, shown: Shown, card: Card | None, text: str, at: int) -> Any:
        call = make_call(self.model.now, client.name, shown, card, token=text)
        answer = self.run(self.servers.answer(introspect, call, at))

        def asks() -> bool:
            self.model.require_asker(client)
            self.model.authenticate(client, shown, card)
            return True

        return answer if self.expect(asks, answer) else None

    def _check_token(self, client: Client, shown: Shown, card: Card | None, each: Token, at: int) -> None:
        answer = self._introspect(client, shown, card, each.text, at)
        if answer is None:
            return
        is_active = self.model.is_active(each)
        assert answer["active"] == (is_active and self.model.is_told(client, each)), (client, each, at)
        if not is_active:
            self.ended.add(each.text)
        if not answer["active"]:
            return
        assert each.text not in self.ended, "what is dead is dead for ever"
        confirmed = None if each.bound is None else {"x5t#S256": thumbprint(each.bound)}
        assert (answer["client_id"], answer["sub"]) == (each.client, each.subject)
        assert answer.get("cnf") == confirmed, (each, answer)
        assert answer["exp"] == each.ends, (each, answer)

    def _check_refresh_token(self, client: Client, grant: Grant, text: str, at: int) -> None:
        answer = self._introspect(client, self.shown(client), client.card, text, at)
        if answer is None:
            return
        assert answer["active"] == self.model.is_refresh_told(client, grant, text), (client, grant, text, at)
        if answer["active"]:
            assert answer.get("cnf") == ({"x5t#S256": thumbprint(grant.holder)} if grant.holder else None)

    def check_lines(self) -> None:
        """A family has one line, as long as the model has it."""
        with contextlib.closing(sqlite3.connect(f"file:{self.servers.file}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT count(*), sum(replaced_at IS NULL) FROM refresh_tokens GROUP BY grant_id"
            ).fetchall()
        assert all(counting == 1 for _, counting in rows)


def replace_jti(trial: Trial, call: Call, client: Client, card: Card | None, text: str) -> Call:
    """The same request with an assertion of its own, where it has one."""
    if client.method != JWT:
        return call
    return make_call(call.now, client.name, trial.shown(client), card, grant_type="refresh_token", refresh_token=text)


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
