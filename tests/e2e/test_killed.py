"""`kill -9` of the served authorization server at every step of a request, and what clients find when it is back.

A step is a statement, a commit, the moment after one, the begin of the answer and its end.  Whatever the step, a client
that got no answer asks again and has what one request gives; what was answered stands; nothing is there twice.
"""

import base64
import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import create_engine

from asserting import assertion, form, metadata
from certbound.core.authentication import digest_of
from certbound.core.grants import token_exchange
from certbound.core.status import read_list
from certbound.stores import migrations
from certbound.trust.authority import Issued, self_signed
from e2e.acting import PASSWORD, add_account
from e2e.codes import BACK, CHALLENGE, CODE, DEVICE, VERIFIER, agreed, approve, in_store
from e2e.mortal import NEVER, Death, Mortal, Step, mortal, steps
from e2e.people import Browser, Page
from e2e.world import RESOURCE, Answer, World

T = TypeVar("T")

OTHER = "https://other.example"
METHODS = ["none", "client_secret_basic", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"]
SECRET = {"token_endpoint_auth_method": "client_secret_basic"}
GRANTS = ["client_credentials", "refresh_token", token_exchange.GRANT_TYPE]

pytestmark = pytest.mark.timeout(300)

EVERY = pytest.mark.parametrize(
    "wide", [pytest.param(False, id="some steps"), pytest.param(True, id="every step", marks=pytest.mark.wide)]
)
WIDE = pytest.mark.parametrize("wide", [pytest.param(True, id="every step", marks=pytest.mark.wide)])


class Place(Mortal):
    """A deployment with clients, and what they ask."""

    secret: str
    caller: Issued
    phone: Issued
    anna: str
    """The subject of a person."""

    def prepare(self) -> None:
        """Clients of each kind; `api` is asked about tokens."""
        world = self.world
        world.register(
            "spa", token_endpoint_auth_method="none", grant_types=["refresh_token"],
            tls_client_certificate_bound_access_tokens=False,
        )  # fmt: skip
        world.register("app", token_endpoint_auth_method="none", grant_types=["refresh_token"])
        world.register("web", **SECRET, grant_types=GRANTS)
        world.register("signer", **metadata())
        self.secret = self.said("client", "secret", "add", "web")["client_secret"]
        self.anna = add_account(world, "anna").subject
        self.caller, self.phone = self_signed("CN=api"), self_signed("CN=phone")
        for name, changes in (("api", {}), ("opaque", {"access_token_format": "opaque"})):
            world.register_self_signed(name, self.caller, grant_types=GRANTS, protected_resources=[RESOURCE], **changes)

    def web(self, endpoint: str, **fields: Any) -> Answer:
        """By the client `web`, with its secret."""
        return by_secret(self.world, {"client_id": "web", "client_secret": self.secret}, endpoint, **fields)

    def redeem(self, code: str, client_id: str, identity: Issued | None = None) -> Answer:
        """An authorization code."""
        form = {"grant_type": CODE, "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
        return self.world.post("token", client_id, identity, **form)

    def refresh(self, token: str, client_id: str = "spa", identity: Issued | None = None) -> Answer:
        """By a public client."""
        return self.world.post("token", client_id, identity, grant_type="refresh_token", refresh_token=token)

    def token(self) -> str:
        """One of the client `web`."""
        return access(self.web("token", grant_type="client_credentials"))

    def is_active(self, token: str) -> bool:
        """As the API is told, and as the status list says to those who ask nobody."""
        active = self.is_told_active(token)
        if token.count(".") == 2:
            assert self.is_listed_valid(token) == active
        return active

    def is_told_active(self, token: str) -> bool:
        """As the API is told."""
        return bool(self.world.introspect(token, "api", self.caller).json["active"])

    def is_listed_valid(self, token: str) -> bool:
        """Whether its status is valid in the published list."""
        place = claims_of(token)["status"]["status_list"]
        answer = self.world.ask(place["uri"], method="GET")
        assert answer.status == 200
        said = read_list(claims_of(answer.body.decode()), uri=place["uri"], now=time.time())
        return said.content.is_valid(place["idx"])

    def live_tokens(self, token: str) -> list[str]:
        """The digests of the refresh tokens of its grant that count."""
        same = "SELECT grant_id FROM refresh_tokens WHERE digest = ?"
        rows = self.rows(
            f"SELECT digest FROM refresh_tokens WHERE replaced_at IS NULL AND grant_id = ({same})",
            digest_of(token),
        )
        return [row[0] for row in rows]

    def count(self, table: str, condition: str = "1 = 1") -> int:
        """How many rows there are."""
        return int(self.rows(f"SELECT count(*) FROM {table} WHERE {condition}")[0][0])

    def deaths(
        self, wide: bool, begin: Callable[[], T], ask: Callable[[T], Answer], *, fresh: bool = False
    ) -> Iterator[tuple[T, Death]]:
        """What `begin` made, and what became of `ask` about it: killed at each step, and undisturbed.

        By a server that was just started, if `fresh`: it has no places of the status list for anybody.
        """
        at = [Step("commit"), Step("committed")]
        if wide:
            thing, undisturbed = self._one(NEVER, begin, ask, fresh=fresh)
            yield thing, undisturbed
            at = [*steps(undisturbed.told)]
        deadly = set()
        for each in at:
            thing, death = self._one(each, begin, ask, fresh=fresh)
            yield thing, death
            deadly.add(death.step)
        assert deadly >= ({"received", "commit", "committed", "reply", "answered"} if wide else {"commit", "committed"})

    def _one(self, at: Step, begin: Callable[[], T], ask: Callable[[T], Answer], *, fresh: bool) -> tuple[T, Death]:
        if self.server is None:
            self.start()
        thing = begin()
        if fresh:
            self.restart()
        return thing, self.ask(at, partial(ask, thing))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One deployment, which goes through all of it with one database."""
    way = {"name": "invited", "needs": ["initial_token"], "methods": METHODS[1:], "scopes": ["read", "write"]}
    options = {"authentication__methods": METHODS, "tokens__bind": "requested", "tokens__refresh_grace": 60}
    people = {"login__accounts": True, "login__device": True}
    with mortal(Place, tmp_path_factory.mktemp("mortal"), registration__ways=[way], **options, **people) as made:
        made.prepare()
        yield made


def by_secret(world: World, registered: Mapping[str, Any], endpoint: str = "token", **fields: Any) -> Answer:
    """A request of a client with a secret."""
    pair = f"{registered['client_id']}:{registered['client_secret']}".encode()
    headers = {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
    fields = fields or {"grant_type": "client_credentials"}
    return world.ask(f"{world.issuer}/{endpoint}", form=fields, headers=headers)


def access(answer: Answer | None) -> str:
    """The access token of a good answer."""
    assert answer is not None
    assert answer.status == 200, answer
    return str(answer.json["access_token"])


def claims_of(token: str) -> Any:
    """What a JWT says."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def is_refused(answer: Answer, error: str = "invalid_grant", status: int = 400) -> bool:
    return (answer.status, answer.json.get("error")) == (status, error)


class TestRefresh:
    """A refresh token whose answer was lost is presented again."""

    @EVERY
    def test_a_replaced_token_has_one_successor(self, place: Place, wide: bool) -> None:
        """The old one gives it, the family has one line, and lives; reuse after that ends it as ever."""
        for old, death in place.deaths(wide, lambda: place.world.open_grant("spa"), place.refresh):
            again = place.refresh(old)
            assert place.is_active(access(again)), death
            successor = again.json["refresh_token"]
            assert place.live_tokens(old) == [digest_of(successor)], death
            if death.answer is not None:
                assert death.answer.json["refresh_token"] == successor, death
                assert place.is_active(access(death.answer)), death
            newest = place.refresh(successor)
            assert is_refused(place.refresh(old)), death
            assert is_refused(place.refresh(newest.json["refresh_token"])), death
            assert not any(map(place.is_active, (access(again), access(newest)))), death

    @WIDE
    def test_who_repeats_for_ever_has_one_line(self, place: Place, wide: bool) -> None:
        """The same refresh dies at each of its steps, one after the other: all answers are the same successor."""
        place.restart()
        undisturbed = place.ask(NEVER, partial(place.refresh, place.world.open_grant("spa")))
        old, successors = place.world.open_grant("spa"), set()
        for each in steps(undisturbed.told):
            death = place.ask(each, partial(place.refresh, old))
            if death.answer is not None:
                successors.add(death.answer.json["refresh_token"])
            assert len(place.live_tokens(old)) == 1, death
        assert {digest_of(each) for each in successors} == set(place.live_tokens(old))
        assert place.refresh(successors.pop()).status == 200

    @pytest.mark.wide
    def test_a_worker_that_dies_is_not_missed(self, tmp_path: Path) -> None:
        """The one beside it gives the successor at once, and nobody starts anything again."""
        options = {"authentication__methods": METHODS, "tokens__bind": "requested", "server__workers": 2}
        with mortal(Place, tmp_path, **options) as place:
            place.prepare()
            place.start()
            server = place.server
            for at in (Step("UPDATE refresh_tokens SET"), Step("commit"), Step("committed"), Step("reply")):
                old = place.world.open_grant("spa")
                death = place.ask_worker(at, partial(place.refresh, old))
                assert death.died
                successors = {place.refresh(old).json["refresh_token"] for _ in range(3)}
                assert place.live_tokens(old) == [digest_of(each) for each in successors], death
            assert place.server == server
            assert place.log.read_text().count("died and is replaced") == 4

    @WIDE
    def test_a_reused_token_ends_its_family(self, place: Place, wide: bool) -> None:
        """Then, or when it comes again: it never gives anything, and what it ended stays ended."""

        def begin() -> tuple[str, Answer]:
            old = place.world.open_grant("spa")
            return old, place.refresh(place.refresh(old).json["refresh_token"])

        for (old, newest), death in place.deaths(wide, begin, lambda made: place.refresh(made[0])):
            ended = not place.is_active(access(newest))
            assert ended or not death.answer, death
            assert ended or "committed" not in death.told, death
            if ended:
                assert is_refused(place.refresh(newest.json["refresh_token"])), death
            assert is_refused(place.refresh(old)), death
            assert is_refused(place.refresh(newest.json["refresh_token"])), death
            assert not place.is_active(access(newest)), death

    @WIDE
    @pytest.mark.parametrize("kind", ["secret", "certificate"])
    def test_a_bound_token_stays(self, place: Place, kind: str, wide: bool) -> None:
        """It is not replaced, so nothing can be lost; each answer has a token that works."""
        phone = place.phone if kind == "certificate" else None
        name = "app" if phone else "web"

        def ask(token: str) -> Answer:
            if phone:
                return place.refresh(token, name, phone)
            return place.web("token", grant_type="refresh_token", refresh_token=token)

        for token, death in place.deaths(wide, lambda: place.world.open_grant(name, phone), ask):
            again = ask(token)
            assert "refresh_token" not in again.json, death
            assert all(place.is_active(access(each)) for each in (again, death.answer) if each), death
            assert place.live_tokens(token) == [digest_of(token)], death


PEOPLE: Mapping[str, Mapping[str, Any]] = {
    "jwt": {"grant_types": [CODE, DEVICE, "refresh_token"]},
    "opaque jwt": {"grant_types": [CODE, DEVICE, "refresh_token"], "access_token_format": "opaque"},
    "brief": {"grant_types": [CODE, DEVICE]},
    "opaque brief": {"grant_types": [CODE, DEVICE], "access_token_format": "opaque"},
}
"""Clients that act for people: tokens of either format, with a refresh token and without."""


class TestCodes:
    """A client that got no answer redeems its code again: it goes on, or is refused and begins anew."""

    @pytest.fixture(autouse=True)
    def _clients(self, place: Place) -> None:
        if place.server is None:
            place.start()
        for name, registered in PEOPLE.items():
            if not place.count("clients", f"client_id = '{name}'"):
                place.world.register_self_signed(name, place.phone, redirect_uris=[BACK], **registered)

    @pytest.mark.parametrize(
        ("name", "wide"),
        [("jwt", False), *(pytest.param(name, True, marks=pytest.mark.wide) for name in PEOPLE)],
        ids=["some steps", *(f"{name}, every step" for name in PEOPLE)],
    )
    def test_a_code_gives_one_live_token(self, place: Place, name: str, wide: bool) -> None:
        """It counts while there is no grant, and no more when there is one: then whoever comes with it ends that."""
        for code, death in place.deaths(wide, partial(self.begin, place, name), partial(self.redeem, place, name)):
            is_taken = death.commits > 0
            assert self.live_grants(place, name) == int(is_taken), death
            again = self.redeem(place, name, code)
            assert is_refused(again) if is_taken else again.status == 200, death
            assert self.live_grants(place, name) == int(not is_taken), death
            for answer in (death.answer, again):
                if answer is not None and answer.status == 200:
                    assert place.is_told_active(access(answer)) == (answer is again), death
            assert is_refused(self.redeem(place, name, code)), death
            assert self.live_grants(place, name) == 0, death
            assert not any(
                place.is_told_active(access(each)) for each in (death.answer, again) if each and each.status == 200
            ), death
            fresh = self.redeem(place, name, self.begin(place, name))
            assert place.is_told_active(access(fresh)), "the client begins anew"
            place.world.revoke(access(fresh), name, place.phone)
            self.clear(place, name)

    @WIDE
    @pytest.mark.parametrize("name", ["jwt", "opaque brief"])
    def test_a_code_that_comes_twice(self, place: Place, name: str, wide: bool) -> None:
        """Ends what the first one got, then, or when it comes again."""

        def begin() -> tuple[str, Answer]:
            code = self.begin(place, name)
            return code, self.redeem(place, name, code)

        for (code, first), death in place.deaths(wide, begin, lambda made: self.redeem(place, name, made[0])):
            ended = not place.is_told_active(access(first))
            assert ended == (death.commits > 0), death
            assert is_refused(self.redeem(place, name, code)), death
            assert not place.is_told_active(access(first)), death
            assert self.live_grants(place, name) == 0, death

    @WIDE
    @pytest.mark.parametrize("name", ["jwt", "opaque brief"])
    def test_a_device_code_gives_one_live_token(self, place: Place, name: str, wide: bool) -> None:
        """As an authorization code does; a poll that died was one."""
        for secret, death in place.deaths(wide, partial(self.decided, place, name), partial(self.poll, place, name)):
            is_taken = death.commits > 0
            again = self.poll(place, name, secret)
            assert is_refused(again) if is_taken else again.status == 200, death
            assert self.live_grants(place, name) == int(not is_taken), death
            assert is_refused(self.poll(place, name, secret)), death
            assert self.live_grants(place, name) == 0, death
            for answer in (death.answer, again):
                assert answer is None or answer.status != 200 or not place.is_told_active(access(answer)), death

    @WIDE
    def test_a_poll(self, place: Place, wide: bool) -> None:
        """Of whose answer nobody heard: the device waits on, and the person decides as ever."""
        for secret, death in place.deaths(wide, partial(self.asked, place, "jwt"), partial(self.poll, place, "jwt")):
            assert death.answer is None or is_refused(death.answer, "authorization_pending"), death
            again = self.poll(place, "jwt", secret)
            assert is_refused(again, "slow_down" if death.commits else "authorization_pending"), death
            self.approve(place, secret)
            assert place.is_told_active(access(self.poll(place, "jwt", secret))), death
            self.clear(place, "jwt")

    @WIDE
    @pytest.mark.parametrize("button", ["allow", "deny"])
    def test_what_is_decided_on_a_device(self, place: Place, button: str, wide: bool) -> None:
        """Stands, or nobody decided: then the person does it again with the code that the device shows."""
        browser = self.browser(place)

        def begin() -> tuple[Mapping[str, str], Page]:
            begun = place.world.post("device_authorization", "jwt", place.phone, scope="read").json
            return begun, browser.send(browser.visit("/device"), user_code=begun["user_code"])

        for (begun, _), death in place.deaths(wide, begin, lambda made: browser.send(made[1], button).answer):
            answer = self.poll(place, "jwt", begun["device_code"])
            if is_refused(answer, "authorization_pending"):
                assert death.answer is None, death
                page = browser.send(browser.visit("/device"), user_code=begun["user_code"])
                assert browser.send(page, button).status == 200, death
                answer = self.poll(place, "jwt", begun["device_code"])
            assert answer.status == 200 if button == "allow" else is_refused(answer, "access_denied"), death
            assert browser.send(browser.visit("/device"), user_code=begun["user_code"]).status == 403, death
            self.clear(place, "jwt")

    @WIDE
    @pytest.mark.parametrize("pushed", [False, True], ids=["asked", "pushed"])
    def test_what_is_decided_for_a_client(self, place: Place, pushed: bool, wide: bool) -> None:
        """The page is there still, or the request was answered; one request never has two codes."""
        browser = self.browser(place)
        asked = {
            "response_type": "code", "client_id": "jwt", "redirect_uri": BACK, "scope": "read", "prompt": "consent",
            "code_challenge": CHALLENGE, "code_challenge_method": "S256",
        }  # fmt: skip

        def begin() -> tuple[Page, int]:
            query = asked
            if pushed:
                form = {name: value for name, value in asked.items() if name != "client_id"}
                kept = place.world.post("par", "jwt", place.phone, **form).json
                query = {"client_id": "jwt", "request_uri": kept["request_uri"]}
            page = browser.visit(f"/authorize?{urlencode(query)}")
            return page, place.count("tickets", "ticket LIKE 'code %'")

        for (page, before), death in place.deaths(wide, begin, lambda made: browser.send(made[0], "allow").answer):
            given = place.count("tickets", "ticket LIKE 'code %'") - before
            assert given == 1 if death.answer else given in (0, 1), death
            shown = browser.visit(page.url)
            if not given and shown.status == 200:
                shown = browser.send(shown, "allow")
                assert "code" in shown.members, death
                assert place.redeem(shown.members["code"], "jwt", place.phone).status == 200, death
            else:
                assert shown.status == 400, "answered already"
            assert place.count("tickets", "ticket LIKE 'code %'") - before <= 1, death
            self.clear(place, "jwt")

    @WIDE
    @pytest.mark.parametrize("name", ["jwt", "opaque brief"])
    def test_what_a_person_withdraws(self, place: Place, name: str, wide: bool) -> None:
        """Is gone with all that it gave, or is there with all of it, and withdrawn the next time."""
        browser = self.browser(place)

        def begin() -> tuple[Answer, Page]:
            return self.redeem(place, name, self.begin(place, name)), browser.visit("/account")

        def withdraw(page: Page) -> Answer:
            [form] = [each for each in page.forms if each.fields.get("client_id") == name]
            return browser.post(page.url, {**form.fields, **dict(form.buttons)}).answer

        for (first, _), death in place.deaths(wide, begin, lambda made: withdraw(made[1])):
            is_gone = death.commits > 0
            assert place.is_told_active(access(first)) != is_gone, death
            assert self.live_grants(place, name) == int(not is_gone), death
            assert place.count("consents", f"client_id = '{name}'") == int(not is_gone), death
            if not is_gone:
                withdraw(browser.visit("/account"))
            assert not place.is_told_active(access(first)), death
            assert self.live_grants(place, name) == 0, death

    @staticmethod
    def begin(place: Place, name: str) -> str:
        """A code."""
        return agreed(place.world, name, person=place.anna)

    @staticmethod
    def redeem(place: Place, name: str, code: str) -> Answer:
        return place.redeem(code, name, place.phone)

    @staticmethod
    def poll(place: Place, name: str, secret: str) -> Answer:
        return place.world.post("token", name, place.phone, grant_type=DEVICE, device_code=secret)

    @staticmethod
    def asked(place: Place, name: str) -> str:
        """A device code that nobody decided."""
        answer = place.world.post("device_authorization", name, place.phone, scope="read")
        return str(answer.json["device_code"])

    def decided(self, place: Place, name: str) -> str:
        """One that a person said yes to."""
        secret = self.asked(place, name)
        self.approve(place, secret)
        return secret

    @staticmethod
    def approve(place: Place, secret: str) -> None:
        """As the page does it."""
        in_store(place.world, lambda store: approve(store, secret, place.anna))

    @staticmethod
    def browser(place: Place) -> Browser:
        """One in which anna has logged in; her session outlives the server."""
        browser = Browser(place.world)
        page = browser.log_in(browser.visit("/account"), "anna", PASSWORD)
        assert page.status == 200, page
        return browser

    @staticmethod
    def live_grants(place: Place, name: str) -> int:
        return place.count("grants", f"client_id = '{name}' AND valid")

    @staticmethod
    def clear(place: Place, name: str) -> None:
        """What the person let this client do."""
        in_store(place.world, lambda store: store.consents.withdraw(place.anna, name))


class TestExchange:
    """A service that got no answer exchanges again."""

    @WIDE
    @pytest.mark.parametrize("name", ["api", "opaque"])
    def test_a_token_for_a_token(self, place: Place, name: str, wide: bool) -> None:
        """The subject token lives on, and gives another; of an opaque one that was lost a row is left, no more."""
        for (subject, before), death in place.deaths(
            wide,
            lambda: (place.token(), place.count("access_tokens")),
            lambda made: self.exchange(place, name, made[0]),
            fresh=name == "api",  # nothing else would be written for it
        ):
            kept = place.count("access_tokens") - before
            assert kept in {0, int(name == "opaque")}, death
            assert not (death.answer and name == "opaque") or kept == 1, death
            again = self.exchange(place, name, subject)
            assert (access(again).startswith("cbat_"), again.json["token_type"]) == (name == "opaque", "Bearer")
            for each in (again, death.answer):
                if each is not None:
                    said = place.world.introspect(access(each), "api", place.caller).json
                    assert (said["active"], said["sub"], said["act"]) == (True, "web", {"sub": name}), death
            assert place.is_active(subject), death

    @WIDE
    def test_a_refresh_token_for_a_token(self, place: Place, wide: bool) -> None:
        """A grant is there with its refresh token or not at all; nobody has the token of one that was lost."""

        def ask(subject: str) -> Answer:
            return self.exchange(place, "api", subject, requested_token_type=token_exchange.REFRESH_TOKEN)

        for (subject, before), death in place.deaths(
            wide, lambda: (place.token(), place.count("grants")), lambda made: ask(made[0])
        ):
            opened = place.count("grants") - before
            assert opened in ({1} if death.answer else {0, 1}), death
            assert 0 == place.count("refresh_tokens", "grant_id NOT IN (SELECT grant_id FROM grants)")
            lone = "client_id = 'api' AND grant_id NOT IN (SELECT grant_id FROM refresh_tokens)"
            assert 0 == place.count("grants", lone)
            for each in (ask(subject), death.answer):
                if each is not None:
                    token = each.json["refresh_token"]
                    assert place.is_active(access(each)), death
                    assert place.is_active(access(place.refresh(token, "api", place.caller))), death

    @staticmethod
    def exchange(place: Place, name: str, subject: str, **fields: Any) -> Answer:
        given = {"subject_token": subject, "subject_token_type": token_exchange.ACCESS_TOKEN, **fields}
        return place.world.post("token", name, place.caller, grant_type=token_exchange.GRANT_TYPE, **given)


class TestRevocation:
    """What was answered with 200 is revoked, whatever happened; what was not is so or not, and can be asked again."""

    @EVERY
    def test_a_signed_token(self, place: Place, wide: bool) -> None:
        """It alone: the one beside it lives."""
        self.revoke(place, lambda: (place.token(), place.token()), wide=wide)

    @WIDE
    def test_an_opaque_token(self, place: Place, wide: bool) -> None:
        """As a signed one."""

        def begin() -> tuple[str, str]:
            first, second = (
                place.world.token("opaque", place.caller, grant_type="client_credentials") for _ in range(2)
            )
            return first, second

        self.revoke(place, begin, name="opaque", wide=wide)

    @staticmethod
    def revoke(place: Place, begin: Callable[[], tuple[str, str]], *, wide: bool, name: str = "web") -> None:
        def ask(token: str) -> Answer:
            if name == "web":
                return place.web("revoke", token=token)
            return place.world.revoke(token, name, place.caller)

        for (token, other), death in place.deaths(wide, begin, lambda made: ask(made[0])):
            is_active = place.is_active(token)
            if death.was_granted or death.commits:
                assert not is_active, death
            if "commit" not in death.told:
                assert is_active, death
            assert ask(token).status == 200, death
            assert not place.is_active(token), death
            assert place.is_active(other), death

    @WIDE
    def test_a_grant(self, place: Place, wide: bool) -> None:
        """The refresh token and the access tokens that came of it end together."""

        def begin() -> tuple[str, str]:
            token = place.world.open_grant("web")
            return token, access(place.web("token", grant_type="refresh_token", refresh_token=token))

        def is_active(token: str) -> bool:
            return bool(place.web("introspect", token=token).json["active"])

        for (token, came), death in place.deaths(wide, begin, lambda made: place.web("revoke", token=made[0])):
            assert is_active(token) == place.is_active(came), death
            if death.was_granted or death.commits:
                assert not is_active(token), death
            assert place.web("revoke", token=token).status == 200, death
            assert not is_active(token), death
            assert not place.is_active(came), death
            again = place.web("token", grant_type="refresh_token", refresh_token=token)
            assert is_refused(again), death


@WIDE
def test_an_assertion_counts_once(place: Place, wide: bool) -> None:
    """One that gave a token, or was written down as used, gives none again; a new one does."""

    def ask(value: str) -> Answer:
        return place.world.post("token", None, None, grant_type="client_credentials", **form(value))

    for used, death in place.deaths(wide, lambda: assertion("signer", audience=place.world.issuer), ask):
        answers = [ask(used) for _ in range(2)]
        good = [each for each in answers if each.status == 200]
        assert len(good) <= (0 if death.was_granted or death.commits else 1), death
        assert all(is_refused(each, "invalid_client", 401) for each in answers if each not in good), death
        new = ask(assertion("signer", audience=place.world.issuer))
        tokens = [each for each in (new, *good, death.answer) if each is not None]
        assert all(place.is_active(access(each)) for each in tokens), death


class TestRegistration:
    """A client is there whole or not at all."""

    @EVERY
    def test_a_new_client(self, place: Place, wide: bool) -> None:
        """An initial token of one use admits one; a client whose secrets were lost on the way is nobody's."""

        def begin() -> tuple[str, set[str]]:
            made = place.said("registration", "token")
            return made["initial_access_token"], set(self.clients(place))

        for (token, before), death in place.deaths(wide, begin, lambda made: self.send(place, "POST", SECRET, made[0])):
            new = set(self.clients(place)) - before
            uses = place.rows("SELECT uses FROM initial_tokens WHERE digest = ?", digest_of(token))[0][0]
            assert len(new) <= 1 - uses, death
            if death.answer is not None:
                made = death.answer.json
                assert new == {made["client_id"]}, death
                assert by_secret(place.world, made).status == 200, death
                assert self.manage(place, "GET", made).status == 200, death
            for client_id in new:
                stored, secrets, registration = self.clients(place)[client_id]
                assert json.loads(stored)["token_endpoint_auth_method"] == "client_secret_basic", death
                assert (len(json.loads(secrets)), registration is not None) == (1, True), death
                self.is_nobodys(place, client_id, token)
            again = self.send(place, "POST", SECRET, token)
            assert again.status == (201 if uses else 401), death
            assert len(set(self.clients(place)) - before) <= 1, death

    @WIDE
    def test_a_replaced_client(self, place: Place, wide: bool) -> None:
        """It is what it was, or what it shall be; it authenticates as before, and its owner goes on."""
        old, new = {"scope": "read write", "client_name": "Old"}, {"scope": "read", "client_name": "New"}

        def ask(made: Mapping[str, Any]) -> Answer:
            return self.manage(place, "PUT", made, {**SECRET, **new, "client_id": made["client_id"]})

        for made, death in place.deaths(wide, lambda: self.register(place, {**SECRET, **old}), ask):
            read = self.manage(place, "GET", made)
            found = {name: read.json[name] for name in old}
            assert found in ([new] if death.was_granted or death.commits else [old, new]), death
            assert by_secret(place.world, made).json["scope"] == found["scope"], death
            assert ask(made).status == 200, death
            assert {name: self.manage(place, "GET", made).json[name] for name in new} == new, death

    @WIDE
    def test_a_secret_that_was_lost_can_be_had_anew(self, place: Place, wide: bool) -> None:
        """Where a new method makes a secret and the answer is lost, the way back and forth gives another."""
        keys = metadata()

        def ask(made: Mapping[str, Any], to: Mapping[str, Any] = SECRET) -> Answer:
            return self.manage(place, "PUT", made, {**to, "client_id": made["client_id"]})

        for made, death in place.deaths(wide, lambda: self.register(place, keys), ask):
            if death.answer is not None:
                assert by_secret(place.world, death.answer.json).status == 200, death
            again = ask(made)
            if "client_secret" not in again.json:
                assert ask(made, keys).status == 200, death
                again = ask(made)
            assert by_secret(place.world, again.json).status == 200, death

    @EVERY
    def test_a_removed_client(self, place: Place, wide: bool) -> None:
        """It authenticates and its token lives, or it is gone with all it had; its owner can remove what is there."""

        def begin() -> tuple[Mapping[str, Any], str]:
            made = self.register(place, SECRET)
            return made, access(by_secret(place.world, made, grant_type="client_credentials", resource=RESOURCE))

        for (made, token), death in place.deaths(wide, begin, lambda each: self.manage(place, "DELETE", each[0])):
            is_there = made["client_id"] in self.clients(place)
            assert not (is_there and (death.was_granted or death.commits)), death
            assert (by_secret(place.world, made).status == 200) == is_there, death
            assert place.is_active(token) == is_there, death
            assert self.manage(place, "DELETE", made).status == (204 if is_there else 401), death
            assert made["client_id"] not in self.clients(place), death
            assert not place.is_active(token), death
            assert 0 == place.count("revocations"), death

    @staticmethod
    def register(place: Place, body: Mapping[str, Any]) -> Mapping[str, Any]:
        token = place.said("registration", "token")["initial_access_token"]
        answer = TestRegistration.send(place, "POST", body, token)
        assert answer.status == 201, answer
        made: Mapping[str, Any] = answer.json
        return made

    @staticmethod
    def is_nobodys(place: Place, client_id: str, initial_token: str) -> None:
        """What a stranger knows, the id and a token that was used up, opens nothing."""
        world, send = place.world, TestRegistration.send
        uri = f"{world.issuer}/register/{client_id}"
        for token in (None, initial_token):
            assert send(place, "DELETE", None, token, uri=uri).status == 401
        assert world.post("token", client_id, None, grant_type="client_credentials").status == 401
        guessed = {"client_id": client_id, "client_secret": hashlib.sha256(b"").hexdigest()}
        assert by_secret(world, guessed).status == 401

    @staticmethod
    def manage(place: Place, method: str, made: Mapping[str, Any], body: Any = None) -> Answer:
        uri = f"{place.world.issuer}/register/{made['client_id']}"
        return TestRegistration.send(place, method, body, made["registration_access_token"], uri=uri)

    @staticmethod
    def send(place: Place, method: str, body: Any, token: str | None, *, uri: str | None = None) -> Answer:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        if body is not None:
            headers["content-type"] = "application/json"
        content = None if body is None else json.dumps(body).encode()
        return place.world.ask(uri or f"{place.world.issuer}/register", method=method, body=content, headers=headers)

    @staticmethod
    def clients(place: Place) -> dict[str, tuple[str, str, str | None]]:
        rows = place.rows("SELECT client_id, metadata, secrets, registration FROM clients")
        return {row[0]: row[1:] for row in rows}


class TestKeys:
    """One key signs, whatever happened; what was signed before verifies until it is said to be stolen."""

    @WIDE
    @pytest.mark.parametrize("now", [False, True], ids=["rotate", "now"])
    def test_a_rotation_by_hand(self, place: Place, wide: bool, now: bool) -> None:
        """By a command beside a server that lives, and for one that comes after it; it can be asked for again."""
        command = ("key", "rotate", *(["--now"] if now else []))
        kept, at = place.keep(), [NEVER]
        for each in at:
            place.put_back(kept)
            place.start()
            token, before = place.token(), self.kids(place)
            death = place.command(each, *command)
            at += steps(death.told[death.told.index("BEGIN IMMEDIATE") :]) if each is NEVER else ()
            new = [kid for kid in self.kids(place) if kid not in before]
            assert len(new) == (1 if each is NEVER or death.commits else 0), death
            if new and now:
                self.await_key(place, new[0])
            for again in (False, True) if new else (False,):
                if again:
                    place.restart()
                self.is_right(place, *(() if new and now else (token,)))
                assert place.is_told_active(token) == (not (new and now)), death
            if not new:
                assert place.run(*command) == 0, death
                assert len(self.kids(place)) == len(before) + 1, death
        place.put_back(kept)

    @WIDE
    @pytest.mark.parametrize("when", ["starts", "runs"])
    def test_a_rotation_by_schedule(self, place: Place, when: str, wide: bool) -> None:
        """By a server that starts and finds that it is time, or that lives on until it is."""

        def age() -> None:
            place.write("UPDATE signing_keys SET created_at = created_at - 95 * 86400, signs_from = 0")

        kept, at = place.keep(), [NEVER]
        for each in at:
            place.put_back(kept)
            place.start()
            token, before = place.token(), self.kids(place)
            if when == "runs":
                death = place.die_writing(each, age)
            else:
                place.kill()
                age()
                death = place.die_starting(each)
            if each is NEVER:
                assert "committed" in death.told
                at += steps(death.told[: death.told.index("committed") + 1])
            if place.server is None:
                place.start()
            assert len(self.kids(place)) == len(before) + 1, death
            assert self.states(place).count("next") == 1, death
            self.is_right(place, token)
        place.put_back(kept)

    @staticmethod
    def kids(place: Place) -> Sequence[str]:
        return [row[0] for row in place.rows("SELECT kid FROM signing_keys")]

    @staticmethod
    def states(place: Place) -> Sequence[str]:
        return [each["state"] for each in place.said("key", "list")]

    @staticmethod
    def await_key(place: Place, kid: str) -> None:
        [(moment,)] = place.rows("SELECT signs_from FROM signing_keys WHERE kid = ?", kid)
        time.sleep(max(0, moment - time.time() + 1))

    @staticmethod
    def is_right(place: Place, *tokens: str) -> None:
        """One key signs; everybody can verify what it signs, and these."""
        assert TestKeys.states(place).count("signs") == 1
        published = KeySet.import_key_set(place.world.ask(f"{place.world.issuer}/jwks", method="GET").json)
        new = place.token()
        for token in (new, *tokens):
            assert jwt.decode(token, published).claims["sub"] == "web"
            assert place.is_active(token)


@WIDE
def test_a_migration(place: Place, wide: bool) -> None:
    """A server that dies while it migrates leaves what the next one finishes; nobody's token becomes valid."""
    place.restart()
    tokens = [place.world.token("api", place.caller, resource=RESOURCE) for _ in range(3)]
    kept = place.keep()
    old, before = old_database(place, tokens), {}
    at = [NEVER]
    for each in at:
        place.put_back(old)
        before = before or {name: place.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in OLD}
        death = place.die_starting(each)
        if each is NEVER:
            assert "committed" in death.told
            at += steps(death.told[: death.told.index("committed") + 1])
        if place.server is None:
            place.start()
        for name, (columns, *_) in OLD.items():
            assert place.rows(f"SELECT {columns} FROM {name} ORDER BY 1, 2") == before[name], death
        assert [place.is_active(token) for token in tokens] == [True, False, False], death
        answers = [place.world.token_request(name, place.caller) for name in ("api", "closed")]
        assert [answer.status for answer in answers] == [200, 401], death
        assert place.is_active(access(answers[0])), death
    place.put_back(kept)


OLD = {
    "clients": ("client_id, metadata, enabled, version, created_at",),
    "signing_keys": ("kid, alg, private_key, created_at",),
    "revocations": ("kind, value, revoked_at",),
    "statuses": ("idx, client_id, thumbprint, authorities, twins, valid, created_at, ends_at",),
}
"""Tables of schema 0002, and their columns."""


def old_database(place: Place, tokens: Sequence[str]) -> Path:
    """One of schema 0002, where the first token is valid, the second is not, and the third is of a revoked client."""
    path, now = place.folder / "old.kept", time.time()
    scripts = ScriptDirectory(Path(migrations.__file__).parent)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrations.VERSION_TABLE})
        for step in ("0001", "0002"):
            scripts.get_revision(step).module.upgrade(Operations(context))
        context.stamp(scripts, "0002")
    engine.dispose()
    metadata_of_api = place.rows("SELECT metadata FROM clients WHERE client_id = 'api'")[0][0]
    keys = place.rows("SELECT kid, alg, private_key, created_at FROM signing_keys")
    places = [claims_of(token)["status"]["status_list"]["idx"] for token in tokens]
    owners = ["api", "api", "closed"]
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO clients VALUES (?, ?, ?, ?, ?)",
            [("api", metadata_of_api, 1, 3, now - 60), ("closed", metadata_of_api, 0, 7, now - 50)],
        )
        database.executemany("INSERT INTO signing_keys VALUES (?, ?, ?, ?)", keys)
        database.execute("INSERT INTO revocations VALUES ('client', 'closed', ?)", (now - 40,))
        database.execute("INSERT INTO revocations VALUES ('certificate', 'stolen', ?)", (now - 30,))
        database.executemany(
            "INSERT INTO statuses VALUES (?, ?, 'any', ' ', ' ', ?, ?, ?)",
            [(*each, at == 0, now - 20, now + 3600) for at, each in enumerate(zip(places, owners, strict=True))],
        )
        database.execute("UPDATE revision SET number = 7")
    return path


@WIDE
@pytest.mark.parametrize("overlap", [0, 3600])
def test_a_new_secret(place: Place, overlap: int, wide: bool) -> None:
    """The old one counts as it was asked, until one is shown that counts; one that was lost is listed, and can go."""
    add = ("client", "secret", "add", "web", "--overlap", f"{overlap}")
    if place.server is None:
        place.start()
    at = [NEVER]
    for each in at:
        place.secret = place.said("client", "secret", "add", "web", "--overlap", "0")["client_secret"]
        eventually(place, place.secret, counts=True)
        death = place.command(each, *add)
        at += steps(death.told[death.told.index("BEGIN IMMEDIATE") :]) if each is NEVER else ()
        made = each is NEVER or death.commits > 0
        assert len(place.said("client", "secret", "list", "web")) == 1 + int(made and overlap > 0), death
        eventually(place, place.secret, counts=bool(overlap) or not made)
        new = place.said(*add)["client_secret"]
        eventually(place, new, counts=True)
        eventually(place, place.secret, counts=overlap > 0)
    place.secret = new


def eventually(place: Place, secret: str, *, counts: bool) -> None:
    """The server that lives hears of what a command did, within a second."""
    time.sleep(1)
    answer = by_secret(place.world, {"client_id": "web", "client_secret": secret})
    assert (answer.status == 200) == counts, answer
