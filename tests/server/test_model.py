"""Clients, certificates, tokens, rotations and crashes in any order: the server does what `model.py` says.

Everything is real but HTTP: two services on one SQLite file, endpoints called with certificates as TLS gives them.
Time is the calls' own.  A crash is a copy of the files as a killed process would leave them.
"""

# ruff: noqa: PT017 - what the model refuses is what is expected of the server

import asyncio
import contextlib
import json
import shutil
import sqlite3
import tempfile
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import asserting
from certbound.app import open_registry, open_service
from certbound.core.binding import choose_certificate
from certbound.core.errors import OAuthError
from certbound.core.grants import TokenRequest, refresh_token, token_exchange
from certbound.core.jwks import make_jwks
from certbound.core.metadata import TOKEN
from certbound.core.ports import RevokedKind, SecretRecord
from certbound.core.tokens import Grant as Granted
from certbound.server.authentication import authenticated_client
from certbound.server.call import Call, Form, Reply
from certbound.server.clients import make_secret
from certbound.server.grants import Asked, opening
from certbound.server.introspection import introspect
from certbound.server.revocation import Revoker
from certbound.server.service import Service
from certbound.server.token import token
from certbound.server.token_revocation import revoke
from certbound.settings import load
from certbound.trust.authority import Authority, Issued, self_signed
from certificates import peer, read
from server.model import OWN, PKI, PUBLIC, STRENGTH, Card, Client, Grant, Model, Refused, Token

SIGNED, OPAQUE = "https://api.example", "https://opaque.example"
LIFETIME, GRACE, GRANT = 300, 10, 4000
MOST_CRASHES = 2
"""Of one walk: each takes as long as twenty steps."""
METHODS = [PUBLIC, "client_secret_basic", "client_secret_post", "private_key_jwt", PKI, OWN]
TYPES = ["client_credentials", refresh_token.GRANT_TYPE, token_exchange.GRANT_TYPE]
CARDS = [
    Card("one", "a.example", "first"), Card("renewed", "a.example", "first"), Card("other", "a.example", "second"),
    Card("stranger", "b.example", "first"), Card("own"), Card("own too"),
]  # fmt: skip
NAMES = ["a", "b", "c"]
TOML = """
[server]
issuer = "https://as.example"
certificate = "unused.pem"
key = "unused.key"
[tokens]
scopes = ["read", "write"]
resources = ["{signed}", "{opaque}"]
opaque = ["{opaque}"]
lifetime = {lifetime}
bind = "{bind}"
refresh_lifetime = {grant}
refresh_grace = {grace}
refresh_rotation = "{rotation}"
[trust]
anchors = ["anchors.pem"]
[authentication]
methods = {methods}
[store]
url = "sqlite:///{store}"
"""


@cache
def authorities() -> dict[str, Authority]:
    return {name: Authority.create(name) for name in ("first", "second")}


@cache
def issued(card: Card) -> Issued:
    if not card.authority:
        return self_signed(f"CN={card.name}")
    return authorities()[card.authority].issue(f"CN={card.name}", dns=[card.subject])


def metadata(client: Client) -> dict[str, Any]:
    """All that depends on how it authenticates; None is absence."""
    jwks = {"private_key_jwt": asserting.jwks(), OWN: client.card and make_jwks([read(issued(client.card))])}
    return {
        "token_endpoint_auth_method": client.method,
        "tls_client_auth_san_dns": client.card.subject if client.card and client.method == PKI else None,
        "jwks": jwks.get(client.method),
        "tls_client_certificate_bound_access_tokens": client.flag,
    }


class Server(RuleBasedStateMachine):
    """The machine; `self.services` are processes on one database."""

    steps = 0

    @initialize(binds_all=st.booleans(), rotates_all=st.booleans())
    def start(self, binds_all: bool, rotates_all: bool) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = Path(
            tempfile.mkdtemp(prefix="certbound-model-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        )
        self.numbers = count()
        self.model = Model(binds_all=binds_all, rotates_all=rotates_all, grace=GRACE, now=float(int(time.time())))
        self.stacks: list[contextlib.AsyncExitStack] = []
        self.services: list[Service] = []
        self.ended: set[str] = set()
        self.crashes = 0
        (self.folder / "anchors.pem").write_bytes(b"".join(each.certificate_pem for each in authorities().values()))
        self.open(self.folder / "0.sqlite")
        observer = Client("observer", "client_secret_post", flag=False)
        self.model.clients["observer"] = observer
        self.register(observer, protected_resources=[SIGNED, OPAQUE])
        for name, method, card in (("a", PUBLIC, None), ("b", PKI, CARDS[0]), ("c", "client_secret_basic", None)):
            self.model.clients[name] = Client(name, method, flag=False, card=card)
            self.register(self.model.clients[name], protected_resources=[SIGNED, OPAQUE])
        # Something to lose from the first step on: walks are short.
        for n, name in enumerate(("a", "b")):
            self.open_grant(name, n, CARDS[0])
            self.renew(self.model.grants[-1], self.model.clients[name], CARDS[0])

    def open(self, file: Path) -> None:
        """Two services on it."""
        bind, rotation = ("always" if self.model.binds_all else "requested"), self.model.rotates_all
        text = TOML.format(
            signed=SIGNED, opaque=OPAQUE, lifetime=LIFETIME, grant=GRANT, grace=GRACE, store=file, bind=bind,
            rotation="always" if rotation else "unbound", methods=json.dumps(METHODS),
        )  # fmt: skip
        (self.folder / "certbound.toml").write_text(text)
        self.settings, self.file = load(self.folder / "certbound.toml", {}), file

        async def go() -> None:
            self.stacks = [contextlib.AsyncExitStack() for _ in range(2)]
            self.services = [await each.enter_async_context(open_service(self.settings)) for each in self.stacks]
            self.registry = await self.stacks[0].enter_async_context(open_registry(self.settings))

        self.run(go())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        for each in self.stacks:
            self.run(each.aclose())

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.close()
            self.run(self.loop.shutdown_default_executor())
            self.loop.close()
            shutil.rmtree(self.folder)

    def settle(self) -> None:
        """Every process has heard: what takes it a second at most."""
        for each in self.services:
            self.run(each.clients.refresh())

    def register(self, client: Client, **more: Any) -> None:
        kept: tuple[SecretRecord, ...] = ()
        if client.method in STRENGTH and client.method != PUBLIC:
            secret, record = make_secret(self.model.now)
            client.secrets, kept = {secret: float("inf")}, (record,)
        given = {"scope": "read write", "grant_types": TYPES, **metadata(client), **more}
        self.run(self.registry.register(given, client_id=client.name, secrets_kept=kept))
        self.settle()

    def shown(self, client: Client, right: bool) -> tuple[str, Any]:
        """The credential of its method, good or bad."""
        if client.method in (PUBLIC, PKI, OWN):
            return (PUBLIC, True) if right else ("client_secret_post", "cbcs_wrong")
        if client.method == "private_key_jwt":
            return client.method, right
        return client.method, next(reversed(client.secrets), "cbcs_none") if right else "cbcs_wrong"

    def call(self, name: str, shown: tuple[str, Any], card: Card | None, **form: str) -> Call:
        how, value = shown
        header: tuple[bytes, ...] = ()
        if how == "client_secret_basic":
            header = (b"Basic " + b64encode(f"{name}:{value}".encode()),)
        else:
            form["client_id"] = name
        if how == "client_secret_post":
            form["client_secret"] = value
        if how == "private_key_jwt":
            by = asserting.key("own" if value else "thief")
            form |= asserting.form(
                asserting.assertion(
                    name, by=by, now=self.model.now, audience="https://as.example", jti=f"{next(self.numbers)}"
                )
            )
        certificate = None if card is None else peer(issued(card))
        values = {key: [each] for key, each in form.items()}
        return Call(now=self.model.now, peer=certificate, form=Form(values), authorization=header)

    async def answer(self, endpoint: Callable[[Call, Service], Awaitable[Reply]], call: Call, at: int) -> Any:
        """The JSON of the answer, or the error's code."""
        try:
            return json.loads((await endpoint(call, self.services[at])).body or b"{}")
        except OAuthError as refusal:
            return refusal.error

    def introspect(self, text: str, at: int) -> Any:
        observer = self.model.clients["observer"]
        call = self.call("observer", self.shown(observer, right=True), None, token=text)
        return self.run(self.answer(introspect, call, at))

    def took(self, answer: Any, client: Client, subject: str, bound: Card | None, over: Card | None,
             path: str, ends: float | None = None, grant: Grant | None = None) -> Token:  # fmt: skip
        ends = min(self.model.now + LIFETIME, ends or float("inf"))
        made = Token(answer["access_token"], client.name, subject, bound, bound or over, path, ends, grant)
        self.model.tokens.append(made)
        return made

    def renew(self, grant: Grant, client: Client, card: Card) -> None:
        """A first refresh, which the model allows."""
        call = self.call(client.name, self.shown(client, right=True), card, grant_type="refresh_token",
                         refresh_token=grant.line[-1])  # fmt: skip
        answer = self.run(self.answer(token, call, 0))
        if grant.rotates:
            grant.replaced.append(self.model.now)
            grant.line.append(answer["refresh_token"])
        bound = self.model.bind(client, card, before=grant.bound)
        over = card if client.method in (PKI, OWN) else None
        self.took(answer, client, grant.subject, bound, over, self.path(client, card), grant=grant)

    def path(self, client: Client, card: Card | None) -> str:
        return card.authority if card and client.method == PKI else ""

    # The rules

    @rule(name=st.sampled_from(NAMES), right=st.sampled_from([True, True, True, False]), at=st.integers(0, 1),
          card=st.sampled_from([*CARDS[:1], None, *CARDS]), resource=st.sampled_from([SIGNED, OPAQUE]))  # fmt: skip
    def credentials(self, name: str, right: bool, at: int, card: Card | None, resource: str) -> None:
        client = self.model.clients[name]
        shown = self.shown(client, right)
        call = self.call(name, shown, card, grant_type="client_credentials", resource=resource)
        answer = self.run(self.answer(token, call, at))
        try:
            over = self.model.authenticate(client, shown, card)
            if client.method == PUBLIC:
                raise Refused("unauthorized_client")
            bound = self.model.bind(client, card)
        except Refused as refused:
            assert answer == refused.args[0]
        else:
            self.took(answer, client, name, bound, over, self.path(client, card))

    @rule(name=st.sampled_from(NAMES), at=st.integers(0, 1), card=st.sampled_from([None, *CARDS]))
    def open_grant(self, name: str, at: int, card: Card | None) -> None:
        """As a grant for people will."""
        client, service = self.model.clients[name], self.services[at]
        shown = self.shown(client, right=True)
        call = self.call(name, shown, card)

        async def go() -> Any:
            try:
                authenticated = await authenticated_client(call, service, TOKEN)
                asked = Asked(call, service, authenticated, TokenRequest(scope=None, resources=()))
                given = Granted(client_id=authenticated.client.client_id, subject="alice", audience=(SIGNED,),
                                scope=authenticated.client.scope)  # fmt: skip
                chosen = choose_certificate(authenticated, call.peer, service.bind, revoked=service.clients.revoked)
                return await opening(asked, given)[1](chosen)
            except OAuthError as refusal:
                return refusal

        answer = self.run(go())
        try:
            over = self.model.authenticate(client, shown, card)
            bound = self.model.bind(client, card)
        except Refused as refused:
            assert answer.error == refused.args[0]
        else:
            self.opened(client, "alice", bound, over, self.path(client, card), answer)

    def opened(self, client: Client, subject: str, bound: Card | None, over: Card | None, path: str, text: str,
               is_bound: bool = False) -> Grant:  # fmt: skip
        public = client.method == PUBLIC
        grant = Grant(
            client.name, subject, STRENGTH.get(client.method, 2), bound=is_bound or bound is not None,
            holder=bound if public else None, over=bound or over, path=path, ends=self.model.now + GRANT, line=[text],
            rotates=self.model.rotates_all or (public and bound is None),
        )  # fmt: skip
        self.model.grants.append(grant)
        return grant

    @precondition(lambda self: self.model.grants)
    @rule(data=st.data(), many=st.sampled_from([1, 1, 3]), thief=st.sampled_from([False, False, False, True]),
          at=st.integers(0, 1))  # fmt: skip
    def refresh(self, data: st.DataObject, many: int, thief: bool, at: int) -> None:
        """With tokens old and new, right cards and wrong ones, once or several times at once at both processes."""
        grant = data.draw(st.sampled_from(self.model.grants))
        client = self.model.clients[data.draw(st.sampled_from(NAMES)) if thief else grant.client]
        cards = [grant.holder or grant.over, client.card]
        card = data.draw(st.sampled_from([*cards, None, *CARDS] if thief else cards))
        text = data.draw(st.sampled_from([grant.line[-1], *grant.line[-3:]]))
        shown = self.shown(client, right=True)
        calls = [
            self.call(client.name, self.shown(client, right=True), card, grant_type="refresh_token", refresh_token=text)
            for _ in range(many)
        ]

        async def go() -> list[Any]:
            return await asyncio.gather(*(self.answer(token, call, (at + n) % 2) for n, call in enumerate(calls)))

        answers = self.run(go())
        try:
            over = self.model.authenticate(client, shown, card)
            place = self.model.refresh(client, grant, text, card)
        except Refused as refused:
            assert set(answers) == {refused.args[0]}
            self.settle()
            return
        assert all(isinstance(each, dict) for each in answers), answers
        successors = {each.get("refresh_token") for each in answers}
        assert len(successors) == 1, "a family has one line"
        if place == len(grant.line):
            grant.replaced.append(self.model.now)
            grant.line += successors
        else:
            assert successors == {None if place is None else grant.line[place]}
        bound = self.model.bind(client, card, before=grant.bound)
        for each in answers:
            self.took(each, client, grant.subject, bound, over, self.path(client, card), grant=grant)

    @precondition(lambda self: self.model.tokens)
    @rule(data=st.data(), name=st.sampled_from(NAMES), card=st.sampled_from([None, *CARDS]), lasts=st.booleans(),
          at=st.integers(0, 1))  # fmt: skip
    def exchange(self, data: st.DataObject, name: str, card: Card | None, lasts: bool, at: int) -> None:
        client, subject = self.model.clients[name], data.draw(st.sampled_from(self.model.tokens))
        card = client.card or card
        shown = self.shown(client, right=True)
        wanted = token_exchange.REFRESH_TOKEN if lasts else token_exchange.ACCESS_TOKEN
        call = self.call(
            name, shown, card, grant_type=token_exchange.GRANT_TYPE, subject_token=subject.text,
            subject_token_type=token_exchange.ACCESS_TOKEN, requested_token_type=wanted,
        )  # fmt: skip
        answer = self.run(self.answer(token, call, at))
        try:
            over = self.model.authenticate(client, shown, card)
            if client.method == PUBLIC:
                raise Refused("unauthorized_client")
            if not self.model.is_active(subject):
                raise Refused("invalid_request")
            bound = self.model.bind(client, card, before=subject.bound is not None)
        except Refused as refused:
            assert answer == refused.args[0]
            return
        path, grant = self.path(client, card), None
        if lasts:
            is_bound = subject.bound is not None
            grant = self.opened(client, subject.subject, bound, over, path, answer["refresh_token"], is_bound)
        self.took(answer, client, subject.subject, bound, over, path, subject.ends, grant)

    @precondition(lambda self: self.model.tokens)
    @rule(data=st.data(), name=st.sampled_from(NAMES), at=st.integers(0, 1))
    def revoke_token(self, data: st.DataObject, name: str, at: int) -> None:
        """RFC 7009: its own, and nobody else's."""
        found = data.draw(st.sampled_from(self.model.tokens))
        client = self.model.clients[name]
        shown = self.shown(client, right=True)
        answer = self.run(self.answer(revoke, self.call(name, shown, client.card, token=found.text), at))
        try:
            self.model.authenticate(client, shown, client.card)
        except Refused as refused:
            assert answer == refused.args[0]
        else:
            found.dead |= found.client == name
        self.settle()

    @precondition(lambda self: self.model.grants)
    @rule(data=st.data(), name=st.sampled_from(NAMES), card=st.sampled_from([None, *CARDS]), at=st.integers(0, 1))
    def revoke_grant(self, data: st.DataObject, name: str, card: Card | None, at: int) -> None:
        grant = data.draw(st.sampled_from(self.model.grants))
        client = self.model.clients[name]
        card, shown = client.card or card, self.shown(client, right=True)
        text = data.draw(st.sampled_from(grant.line))
        answer = self.run(self.answer(revoke, self.call(name, shown, card, token=text), at))
        try:
            self.model.authenticate(client, shown, card)
        except Refused as refused:
            assert answer == refused.args[0]
        else:
            if grant.client == name and grant.holder in (None, card) and self.model.now <= grant.ends:
                self.model.end_grant(grant)
        self.settle()

    @precondition(lambda self: self.model.tokens or self.model.grants)
    @rule(data=st.data(), races=st.booleans())
    def revoke_something(self, data: st.DataObject, races: bool) -> None:
        """Perhaps while tokens are given: none that came out outlives it."""
        kind = data.draw(st.sampled_from(list(RevokedKind)))
        values = {"client": NAMES, "certificate": [each.name for each in CARDS], "authority": ["first", "second"]}
        value = data.draw(st.sampled_from(values[kind]))
        client = self.model.clients["b"]
        call = self.call("b", self.shown(client, right=True), client.card, grant_type="client_credentials")

        async def go() -> Any:
            racing = [self.answer(token, call, at) for at in (0, 1) if races and client.method != "private_key_jwt"]
            revoker = Revoker(self.services[0].store, "test", lambda: self.model.now)
            return (await asyncio.gather(*racing, revoker.revoke(kind, self.thumbprint(kind, value))))[:-1]

        for each in self.run(go()):
            if isinstance(each, dict):
                over = client.card if client.method in (PKI, OWN) else None
                bound = client.card if client.flag or self.model.binds_all else None
                self.took(each, client, "b", bound, over, self.path(client, client.card))
        self.model.revoke(kind.value, value)
        self.settle()

    def thumbprint(self, kind: str, value: str) -> str:
        if kind == "authority":
            return str(read(authorities()[value]).key_thumbprint)
        return value if kind == "client" else str(read(issued(next(e for e in CARDS if e.name == value))).thumbprint)

    @precondition(lambda self: self.model.revoked)
    @rule(data=st.data())
    def lift(self, data: st.DataObject) -> None:
        kind, value = data.draw(st.sampled_from(sorted(self.model.revoked)))
        revoker = Revoker(self.services[0].store, "test", lambda: self.model.now)
        self.run(revoker.lift(RevokedKind(kind), self.thumbprint(kind, value)))
        self.model.lift(kind, value)
        self.settle()

    @rule(name=st.sampled_from(NAMES), method=st.sampled_from(METHODS), flag=st.booleans(), card=st.sampled_from(CARDS))
    def change(self, name: str, method: str, flag: bool, card: Card) -> None:
        """Method, flag and certificate."""
        client = self.model.clients[name]
        assume(method not in (PKI, OWN) or bool(card.authority) is (method == PKI))
        client.method, client.flag, client.card = method, flag, card if method in (PKI, OWN) else None
        self.run(self.registry.update(name, metadata(client)))
        if method == PUBLIC or method not in STRENGTH:
            client.secrets = {}
        self.settle()

    @rule(name=st.sampled_from(NAMES), overlap=st.sampled_from([0, 60]))
    def rotate_secret(self, name: str, overlap: int) -> None:
        client, now = self.model.clients[name], self.model.now
        assume(client.method in STRENGTH and client.method != PUBLIC)
        assume(overlap == 0 or sum(end > now for end in client.secrets.values()) < 3)
        registry = type(self.registry)(self.registry.store, self.registry.allowed, self.registry.bind, lambda: now)
        secret = self.run(registry.add_secret(name, overlap=overlap))
        kept = {each: min(end, now + overlap) for each, end in client.secrets.items() if overlap}
        client.secrets = {**kept, secret: float("inf")}
        self.settle()

    @precondition(lambda self: self.model.tokens or self.model.grants)
    @rule(seconds=st.sampled_from([1, 5, GRACE, GRACE + 1, 150, LIFETIME, GRANT - 1, GRANT + 1, 7 * 3600]))
    def pass_time(self, seconds: int) -> None:
        self.model.now += seconds

    @precondition(lambda self: self.model.tokens or self.model.grants)
    @rule()
    def purge(self) -> None:
        while self.run(self.services[0].store.tokens.purge(now=self.model.now)):
            pass

    @precondition(lambda self: (self.model.tokens or self.model.grants) and self.crashes < MOST_CRASHES)
    @rule()
    def crash(self) -> None:
        """What a killed process leaves is what another one opens."""
        self.crashes += 1
        after = self.folder / f"{next(self.numbers)}-again.sqlite"
        for suffix in ("", "-wal"):
            if (source := Path(f"{self.file}{suffix}")).exists():
                shutil.copy(source, f"{after}{suffix}")
        self.close()
        self.open(after)
        self.settle()

    # What is always so

    @invariant()
    def tokens_are_what_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        type(self).steps += 1
        for each in self.model.tokens:
            for at in (0, 1):
                answer = self.introspect(each.text, at)
                assert answer["active"] == self.model.is_active(each), (each, at)
                if not answer["active"]:
                    self.ended.add(each.text)
                    continue
                assert each.text not in self.ended, "what is dead is dead for ever"
                confirmed = None if each.bound is None else {"x5t#S256": read(issued(each.bound)).thumbprint}
                assert (answer["client_id"], answer["sub"]) == (each.client, each.subject)
                assert answer.get("cnf") == confirmed
                assert answer["exp"] == each.ends

    @invariant()
    def families_have_one_line(self) -> None:
        if not hasattr(self, "model"):
            return
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT count(*), sum(replaced_at IS NULL) FROM refresh_tokens GROUP BY grant_id ORDER BY 1"
            ).fetchall()
        assert all(counting == 1 for _, counting in rows)
        assert all(any(len(each.line) == length for each in self.model.grants) for length, _ in rows)


def _walk(examples: int, steps: int, *, again: bool) -> None:
    profile = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=again, database=None,
        suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip
    Server.steps = 0
    run_state_machine_as_test(Server, settings=profile)
    print(f"{Server.steps} steps")


def test_the_server_does_what_the_model_says() -> None:
    """The same walks each time."""
    _walk(10, 25, again=True)


@pytest.mark.wide
@pytest.mark.timeout(900)
def test_the_server_does_what_the_model_says_on_many_walks() -> None:
    """Others each time."""
    _walk(150, 50, again=False)
