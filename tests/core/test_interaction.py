"""certbound.core.interaction: what a person must still do, and that no order of steps skips any of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

import msgspec
import pytest

from certbound.core.authorization import AuthorizationError, AuthorizationRequest, Prompt, ReturnTo
from certbound.core.clients import Client, read_client
from certbound.core.interaction import (
    Cleared,
    Login,
    Step,
    Waiting,
    covers,
    is_recent,
    next_step,
    read_waiting,
    write_waiting,
)
from certbound.core.ports import ConsentRecord, SessionRecord

NOW = 1_000_000.0
NATIVE = "http://127.0.0.1:5/cb"
WEB = "https://app.example/cb"
SCOPE = ("openid", "read")
RESOURCES = ("https://api.example",)
MAX_AGE = 60
PROVEN: dict[str, Any] = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "app.example"}
PUBLIC: dict[str, Any] = {"token_endpoint_auth_method": "none"}


def client_of(known: dict[str, Any]) -> Client:
    return read_client("app", {**known, "grant_types": ["authorization_code"], "redirect_uris": [WEB, NATIVE]})


CLIENTS = {"proven": client_of(PROVEN), "public": client_of(PUBLIC)}


def request_of(
    uri: str = WEB, prompt: frozenset[Prompt] = frozenset(), max_age: int | None = None
) -> AuthorizationRequest:
    return AuthorizationRequest(
        client_id="app", to=ReturnTo(uri), scope=SCOPE, resources=RESOURCES, code_challenge="c", prompt=prompt,
        max_age=max_age,
    )  # fmt: skip


def session_of(subject: str, age: float = 0, sid: str = "s") -> SessionRecord:
    return SessionRecord(digest="d", subject=subject, sid=sid, auth_time=NOW - age)


def consent_of(subject: str, **changes: Any) -> ConsentRecord:
    return ConsentRecord(**{"subject": subject, "client_id": "app", "scope": SCOPE, "resources": RESOURCES, **changes})


PROMPTS = [
    frozenset({Prompt.NONE}),
    *(frozenset(each) for size in range(4) for each in combinations([each for each in Prompt if each != "none"], size)),
]
SESSIONS = {"nobody": None, "ada": session_of("ada"), "ada, long ago": session_of("ada", MAX_AGE + 1),
            "ada, just in time": session_of("ada", MAX_AGE), "bob": session_of("bob")}  # fmt: skip
CONSENTS = {
    "never": None,
    "all": consent_of("ada"),
    "more": consent_of("ada", scope=("openid", "read", "write"), resources=("https://other.example", *RESOURCES)),
    "less scope": consent_of("ada", scope=("read",)),
    "less resources": consent_of("ada", resources=("https://other.example",)),
    "somebody else": consent_of("bob"),
    "another client": consent_of("ada", client_id="other"),
}
WAITINGS = [
    Waiting(logged_in=sid, consented=consented) for sid in ("", "s", "another") for consented in ("", "ada", "bob")
]


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("uri", [WEB, NATIVE])
def test_every_combination(kind: str, uri: str) -> None:
    """Of prompt, age, session, hint, consent and what was done already: a step is missing for exactly these reasons."""
    told = 0
    for prompt, max_age, (who, session), hinted, (which, consent), waiting in product(
        PROMPTS, (None, 0, MAX_AGE), SESSIONS.items(), ("", "ada"), CONSENTS.items(), WAITINGS
    ):
        # What each of the three rules wants, said another way than the code says it.
        person = who.split(",")[0]
        is_meant = person != "nobody" and hinted in ("", person)
        age = {"ada, long ago": MAX_AGE + 1, "ada, just in time": MAX_AGE}.get(who, 0)
        is_recent = not prompt & {"login", "select_account"} and (max_age is None or age <= max_age)
        has_login = is_meant and (waiting.logged_in == "s" or is_recent)
        is_remembered = which in {"all", "more"} and person == "ada" and "consent" not in prompt
        is_knowable = kind == "proven" or uri == WEB
        if which == "somebody else" and person == "bob":
            is_remembered = "consent" not in prompt
        has_consent = waiting.consented == person or (is_remembered and is_knowable)
        due = None if has_login and has_consent else Step.CONSENT if has_login else Step.LOGIN
        case = (sorted(prompt), max_age, who, hinted, which, waiting)

        request = request_of(uri, prompt, max_age)
        facts: Any = {"session": session, "consent": consent, "waiting": waiting, "hinted": hinted, "now": NOW}
        if due is not None and Prompt.NONE in prompt:
            with pytest.raises(AuthorizationError) as refused:
                next_step(request, CLIENTS[kind], **facts)
            assert refused.value.error == f"{due}_required", case
            assert refused.value.to == ReturnTo(uri)
            told += 1
        else:
            found = next_step(request, CLIENTS[kind], **facts)
            assert found == (due or Cleared(request, facts["session"])), case
    assert told > 100


@dataclass(frozen=True)
class World:
    """A browser, a request that waits in it, and what is remembered; `agreed` and `proved` are what really happened."""

    session: SessionRecord | None
    waiting: Waiting
    consents: frozenset[str] = frozenset()
    agreed: frozenset[str] = frozenset()
    """Who was shown this request and agreed."""
    proved: bool = False
    """Whether whoever has the session proved who they are since the request came."""


def step_of(world: World, request: AuthorizationRequest, client: Client, hinted: str) -> Step | Cleared:
    subject = world.session.subject if world.session else ""
    consent = consent_of(subject) if subject in world.consents else None
    return next_step(
        request, client, session=world.session, consent=consent, waiting=world.waiting, hinted=hinted, now=NOW
    )  # fmt: skip


def after(world: World, step: Step | Cleared) -> Iterator[World]:
    """Everything that may happen next, in this tab and in others, in the order of nobody's choosing."""
    for person in ("ada", "bob"):
        # In another tab, or in another browser whose cookie comes here: a session of its own.
        yield replace(world, session=session_of(person, sid=f"{person}'s in another tab"), proved=True)
        sid = f"{person}'s for this"
        waiting = Waiting(logged_in=sid, consented=world.waiting.consented)
        yield replace(world, session=session_of(person, sid=sid), waiting=waiting, proved=True)
        yield replace(world, waiting=waiting)  # and somebody brings the session of before, or the process died
    yield replace(world, session=session_of("ada", MAX_AGE + 1), proved=False)  # somebody brings one of hers
    if world.session is not None:
        yield replace(world, session=None, proved=False)
        yield replace(world, session=replace(world.session, auth_time=NOW - MAX_AGE - 1))
        yield replace(world, consents=world.consents - {world.session.subject})
        if step is not Step.LOGIN:  # nobody is shown what to agree to before
            who = world.session.subject
            waiting = Waiting(logged_in=world.waiting.logged_in, consented=who)
            yield replace(world, waiting=waiting, consents=world.consents | {who}, agreed=world.agreed | {who})


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("uri", [WEB, NATIVE])
def test_no_order_of_steps_skips_one(kind: str, uri: str) -> None:
    """A walk through all that can happen: whoever's code is given was there, was meant, and agreed."""
    for prompt, max_age, hinted in product(PROMPTS[1:], (None, MAX_AGE), ("", "ada")):
        request = request_of(uri, prompt, max_age)
        old = session_of("bob", MAX_AGE + 1)
        begin = [World(session, Waiting(), known) for session in (None, session_of("ada"), old)
                 for known in (frozenset[str](), frozenset({"ada", "bob"}))]  # fmt: skip
        seen, ahead, given = set(begin), list(begin), 0
        while ahead:
            world = ahead.pop()
            step = step_of(world, request, CLIENTS[kind], hinted)
            if isinstance(step, Cleared):
                assert (step.request, step.session) == (request, world.session)
                given += 1
                assert_due(world, request, CLIENTS[kind], hinted)
            new = set(after(world, step)) - seen
            seen |= new
            ahead += new
        assert given, "somebody comes through"
        assert len(seen) < 2000


def assert_due(world: World, request: AuthorizationRequest, client: Client, hinted: str) -> None:
    """A code for this person is right, by what really happened."""
    assert world.session is not None
    who = world.session.subject
    assert hinted in ("", who)
    if request.prompt & {Prompt.LOGIN, Prompt.SELECT_ACCOUNT}:
        assert world.proved
    if request.max_age is not None:
        assert world.proved or NOW - world.session.auth_time <= request.max_age
    if who not in world.agreed:
        assert who in world.consents
        assert Prompt.CONSENT not in request.prompt
        assert client is CLIENTS["proven"] or request.to.redirect_uri == WEB


@pytest.mark.parametrize("prompt", [frozenset[Prompt](), frozenset({Prompt.NONE})])
def test_a_login_of_none_of_the_ways_that_are_asked_for(prompt: frozenset[Prompt]) -> None:
    """Is asked for once for this request, where logins have ways; nothing asked is nothing missing."""
    for asked, acr, logged_in, has_acr in product(
        ((), ("gold",), ("gold", "sca")), ("", "sca"), ("", "s", "another"), (True, False)
    ):
        request = msgspec.structs.replace(request_of(prompt=prompt), acr_values=asked)
        is_due = has_acr and asked and acr not in asked and logged_in != "s"
        facts: Any = {
            "session": replace(session_of("ada"), acr=acr), "consent": consent_of("ada"), "hinted": "", "now": NOW,
            "waiting": Waiting(logged_in=logged_in), "has_acr": has_acr,
        }  # fmt: skip
        if is_due and prompt:
            with pytest.raises(AuthorizationError) as refused:
                next_step(request, CLIENTS["proven"], **facts)
            assert refused.value.error == "login_required"
        else:
            found = next_step(request, CLIENTS["proven"], **facts)
            assert found == (Step.LOGIN if is_due else Cleared(request, facts["session"]))


def test_a_login_for_a_device_is_recent_enough_or_since_it_asked() -> None:
    """And any is where the client registered no `default_max_age`."""
    for age, max_age, asked in product((0, 9, 10, 11, 99), (None, 0, 10), (5, 50)):
        expected = max_age is None or age <= max(max_age, asked)
        assert is_recent(session_of("ada", age), max_age, since=NOW - asked, now=NOW) is expected, (age, max_age, asked)


def test_consent_to_more_covers_less() -> None:
    """And never the other way; nothing asked is covered by anything."""
    asked = request_of()
    for which, consent in CONSENTS.items():
        if consent is not None:
            assert covers(consent, asked.scope, asked.resources) is (which not in {"less scope", "less resources"})


def test_what_waits_is_kept_as_json() -> None:
    """Whatever it has; anything else in its place is nothing."""
    whole = Waiting(
        visit="v", request=request_of(NATIVE, PROMPTS[-1], 5), pushed="p", logged_in="s", consented="ada",
        login=Login(subject="ada", auth_time=NOW, acr="gold", amr=("pwd", "otp")),
    )  # fmt: skip
    for waiting in (Waiting(), Waiting(then="/account"), whole):
        assert read_waiting(json.loads(json.dumps(write_waiting(waiting)))) == waiting
    others: list[dict[str, Any]] = [
        {"request": {}}, {"login": {"subject": 1}}, {"logged_in": True}, {"request": [1]}, {"visit": None},
    ]  # fmt: skip
    for other in others:
        assert read_waiting(other) is None
