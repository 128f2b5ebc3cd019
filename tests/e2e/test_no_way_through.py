# ruff: noqa: E501
"""No way through: every endpoint that clients call directly × every method × every bad thing, over both hosts.

What must come is said by the tables at the end, which know the protocol and nothing of the code.  Whatever is shown:
nothing is given, nothing is changed (asked afterwards), no answer is a fault, every refusal is well-formed, and one
class of refusal is one sequence of bytes.
"""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asserting
from e2e.walking import (
    ACCESS_TOKEN,
    ASKED,
    EXCHANGE,
    HOSTS,
    MINE,
    MUTUAL_TLS,
    REDIRECT_URI,
    RESOURCE,
    VERIFIER,
    Actor,
    Shown,
    Walk,
    basic,
    public_pem,
    walk,
)
from e2e.world import Answer
from issuing import encode, signed


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    with walk(tmp_path_factory.mktemp("walk")) as walking:
        yield walking


# What is asked


@dataclass(frozen=True)
class Kind:
    """One thing to ask of one endpoint; `what` is the parameter that names a token, `token` the kind of token."""

    path: str
    grant_type: str = ""
    what: str = ""
    token: str = ""

    def form(self, people: Walk, owner: Actor) -> dict[str, str | bytes]:
        """What `owner` would ask with success."""
        return self.about(people.subject_token if self.grant_type == EXCHANGE else owner.tokens.get(self.token, ""))

    def about(self, token: str | bytes) -> dict[str, str | bytes]:
        found: dict[str, str | bytes] = {"grant_type": self.grant_type} if self.grant_type else {}
        if self.what:
            found[self.what] = token
        return {**found, **BESIDE.get(self.grant_type or self.path, {})}

    @property
    def status(self) -> int:
        """Of success."""
        return 201 if self.path == "/par" else 200


BESIDE: dict[str, dict[str, str]] = {
    EXCHANGE: {"subject_token_type": ACCESS_TOKEN},
    "authorization_code": {"redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER},
    "/par": ASKED,
    "/device_authorization": {"scope": "read"},
}
KINDS = {
    "client credentials": Kind("/token", "client_credentials"),
    "refresh": Kind("/token", "refresh_token", "refresh_token", "refresh"),
    "exchange": Kind("/token", EXCHANGE, "subject_token"),
    "introspect jwt": Kind("/introspect", "", "token", "jwt"),
    "introspect opaque": Kind("/introspect", "", "token", "opaque"),
    "introspect refresh": Kind("/introspect", "", "token", "refresh"),
    "revoke jwt": Kind("/revoke", "", "token", "jwt"),
    "revoke opaque": Kind("/revoke", "", "token", "opaque"),
    "revoke refresh": Kind("/revoke", "", "token", "refresh"),
    "code": Kind("/token", "authorization_code", "code", "code"),
    "push": Kind("/par"),
    "device": Kind("/device_authorization"),
}


def ready(people: Walk, actor: Actor, kind: str) -> Actor:
    """With what lives too short to be had before."""
    return people.with_code(actor) if kind == "code" else actor


EVERY_KIND = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(name, marks=[pytest.mark.wide] if name in {"introspect opaque", "revoke jwt", "device"} else [])
        for name in KINDS
    ],
)


# The walk


@EVERY_KIND
def test_who_shows_what_is_right_gets_through(people: Walk, kind: str) -> None:
    """Or the walk would prove nothing."""
    asked = KINDS[kind]
    for method, actor in people.mine.items():
        for host in HOSTS:
            if host not in actor.can_authenticate_on or (method == "none" and NONE_ALONE[kind] is not None):
                continue
            if (method, kind, host) == ("none", "code", "issuer"):
                continue  # its tokens are bound, and there is nothing to bind them to
            mine = replace(actor, tokens=people.fresh_tokens(actor)) if kind.startswith("revoke") else actor
            mine = ready(people, mine, kind)
            answer = people.send(asked.path, people.right(mine), host=host, form=asked.form(people, mine).items())
            assert answer.status == asked.status, (method, host, answer)
            if kind.startswith("revoke"):
                assert not people.is_alive(mine)
            else:
                assert answer.json.get("active", True) is True


@EVERY_KIND
def test_nobody_gets_through_with_a_bad_credential(people: Walk, kind: str) -> None:
    """Every bad credential, for every method: to ask about one's own token, which a good one would do."""
    asked, wrong = KINDS[kind], Wrong()
    for each in people.mine.values():
        actor = ready(people, each, kind)
        for host in HOSTS:
            for name, shown, expected in bad_credentials(people, actor, host, kind):
                if expected is not LEGITIMATE:
                    form = asked.form(people, actor).items()
                    answer = people.send(asked.path, shown, host=host, form=form)
                    wrong.judge(answer, expected, name, actor.method, host, shown)
        assert people.is_alive(actor), actor.method
    assert not wrong.found, wrong


@EVERY_KIND
def test_nobody_gets_through_in_the_name_of_another(people: Walk, kind: str) -> None:
    """Whatever one has oneself, a certificate of the same authority included: the other's token is not had by it."""
    asked, wrong = KINDS[kind], Wrong()
    for me in people.mine.values():
        for each in people.theirs.values():
            other = ready(people, each, kind)
            for host in HOSTS:
                for name, shown, expected in in_the_name_of(people, me, other, host, kind):
                    if expected is not LEGITIMATE:
                        answer = people.send(asked.path, shown, host=host, form=asked.form(people, other).items())
                        wrong.judge(answer, expected, name, f"{me.method} as {other.method}", host, shown)
            if "code" in other.tokens:
                assert people.redeem(other).status == 200, (me.method, other.method)
    assert all(people.is_alive(each) for each in people.theirs.values())
    assert not wrong.found, wrong


@EVERY_KIND
def test_nothing_is_repeated(people: Walk, kind: str) -> None:
    """RFC 6749 section 3.2: with the same value or another, of who is authenticated or not."""
    asked, wrong = KINDS[kind], Wrong()
    for each in people.mine.values():
        actor = ready(people, each, kind)
        for host in HOSTS:
            for name in (*ALWAYS_KNOWN, *KNOWN[asked.path], "unheard_of", *([asked.what] if asked.what else ())):
                for again in (None, "another"):
                    shown = people.right(actor)
                    form = {**asked.form(people, actor), **dict(shown.form)}
                    first = form.get(name, "x")
                    values = (first, again or first)
                    rest = tuple(pair for pair in form.items() if pair[0] != name)
                    twice = replace(shown, form=(*rest, *((name, value) for value in values)))
                    answer = people.send(asked.path, twice, host=host)
                    wrong.judge(answer, REPEATED[name], f"{name} twice", actor.method, host, twice)
        assert people.is_alive(actor), actor.method
    assert not wrong.found, wrong


@pytest.mark.parametrize("kind", ["refresh", "exchange", "introspect jwt", "revoke refresh", "code"])
def test_no_token_that_is_not_ones_own_tells_or_ends_anything(people: Walk, kind: str) -> None:
    """Others' tokens, torn, forged and foreign ones, and what is a token for other purposes, of who is authenticated."""
    asked, wrong = KINDS[kind], Wrong()
    for actor in people.mine.values():
        for host in HOSTS:
            for name, token in bad_tokens(people, actor):
                if kind == "refresh" and name == "jwt of theirs":
                    continue
                answer = people.send(asked.path, people.right(actor), host=host, form=asked.about(token).items())
                expected = UNREADABLE.get(name) or BAD_TOKEN[kind]
                if name not in UNREADABLE and cannot(actor, host, kind):
                    expected = UNAUTHENTICATED
                elif actor.method == "none" and kind == "exchange" and name not in UNREADABLE:
                    expected = NOT_ALLOWED
                wrong.judge(answer, expected, name, actor.method, host, Shown())
        assert people.is_alive(actor), actor.method
        assert people.is_alive(people.theirs[actor.method]), actor.method
    assert not wrong.found, wrong


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_nobody_manages_a_client_that_is_not_ones_own(people: Walk, method: str) -> None:
    """RFC 7592: the token and, where the client has one, the certificate; all else is one refusal."""
    wrong = Wrong()
    for actor in people.mine.values():
        body = b"" if method != "PUT" else json.dumps({**actor.metadata, "client_id": actor.client_id}).encode()
        for host in HOSTS:
            for name, path, shown, expected in bad_management(people, actor, host):
                answer = people.send(path, shown, host=host, method=method, body=body)
                wrong.judge(answer, expected, name, actor.method, host, shown)
        assert people.is_as_before(actor), actor.method
        assert people.is_as_before(people.theirs[actor.method]), actor.method
        assert people.is_alive(actor), actor.method
    assert not wrong.found, wrong


def test_nobody_registers_who_was_not_invited(people: Walk) -> None:
    """Without a good initial access token, or a certificate of those who certify registrants."""
    wrong = Wrong()
    for actor in people.mine.values():
        body = json.dumps({**actor.metadata, "client_name": "uninvited"}).encode()
        for host in HOSTS:
            for name, headers, expected in bad_bearers(people, actor, people.invitation):
                answer = people.send("/register", Shown(headers=headers), host=host, body=body)
                wrong.judge(answer, expected, name, actor.method, host, Shown(headers=headers))
            for identity in (*STRANGERS, "like a registrant", actor.identity):
                answer = people.send("/register", Shown(identity=identity), host=host, body=body)
                wrong.judge(answer, DENIED, f"certificate: {identity}", actor.method, host, Shown(identity=identity))
    assert not wrong.found, wrong


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_learns_who_a_person_is_by_what_is_no_token_of_theirs(people: Walk, method: str) -> None:
    """Nor by a bound token without its certificate; what a token is for is not told by how it is refused."""
    for actor in people.mine.values():
        good = people.token_of_a_person(actor)
        for host in HOSTS:
            own = actor.identity if host == "mtls" else None
            for name, shown in bad_presentations(people, actor, good, own):
                form = [("access_token", good)] if name == "in the form" else []
                answer = people.send("/userinfo", shown, host=host, method=method, form=form)
                said, challenge = answer.json, answer.headers["www-authenticate"]
                # RFC 6750 section 3.1: whoever showed nothing is told nothing; a scheme with nothing behind it is either.
                told = (
                    TWO_TOKENS if name in {"twice in one", "two headers"} else NO_TOKEN if shown.headers else NO_HEADER
                )
                if (
                    told is NO_TOKEN
                    and not any(_has_token(value) for _, value in shown.headers)
                    and "error" not in said
                ):
                    told = NO_HEADER
                assert (answer.status, challenge.split()[0]) == (told.status, "Bearer"), (name, answer)
                assert ("error=" in challenge) is bool(told.error), (name, answer)
                assert said.keys() - {"error", "error_description"} == {"request_id"}, (name, answer)
                assert (said.get("error", ""), said.get("error_description", "")) == (told.error, told.description)
        right = Shown(headers=(("authorization", f"Bearer {good}"),), identity=actor.identity)
        assert people.send("/userinfo", right, method=method).status == 200, actor.method


@pytest.mark.parametrize("path", [
    "/token", "/introspect", "/revoke", "/par", pytest.param("/device_authorization", marks=pytest.mark.wide), "/register",
])  # fmt: skip
def test_a_megabyte_is_not_read(people: Walk, path: str) -> None:
    """413 and no fault, whoever sends it, in whichever parameter."""
    for host in HOSTS:
        for actor in people.mine.values():
            shown = people.right(actor)
            for name in ("token", "refresh_token", "subject_token", "client_assertion", "client_secret"):
                answer = people.send(path, shown, host=host, form=[(name, "x" * 1_000_000)])
                wanted = 400 if path == "/register" else 413  # which takes no form
                assert answer.status == wanted, (answer, actor.method, name)
        answer = people.send(path, host=host, body=b'{"client_name": "' + b"x" * 1_000_000 + b'"}')
        assert answer.status == (413 if path == "/register" else 400), answer


def test_an_assertion_from_fifty_connections_at_once_counts_once(people: Walk) -> None:
    """One token, and 49 refusals that say nothing; at all endpoints and on both hosts together."""
    actor, barrier = people.mine["private_key_jwt"], Barrier(50)
    form = {"grant_type": "client_credentials", "token": "x", **ASKED}
    form |= asserting.form(people.assertion(actor.client_id, actor.key))

    def go(n: int) -> Answer:
        built, path = people.built, ("/token", "/introspect", "/revoke", "/par", "/device_authorization")[n % 5]
        base = getattr(built, HOSTS[n % 2])
        connection = built.connect(base)
        connection.connect()
        barrier.wait(30)
        answer = built.ask(base + path, form=form, connection=connection)
        connection.close()
        return answer

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(go, range(50)))
    assert sorted(each.status for each in answers) in ([200] + [401] * 49, [201] + [401] * 49)
    assert len({each.without_request_id[2] for each in answers if each.status == 401}) == 1
    # Later, too.
    assert people.send("/token", form=form.items()).status == 401


def test_fifty_connections_and_one_token(people: Walk) -> None:
    """The same, at the token endpoint alone: who comes first has the one token."""
    actor, barrier = people.mine["private_key_jwt"], Barrier(50)
    form = {"grant_type": "client_credentials", **asserting.form(people.assertion(actor.client_id, actor.key))}

    def go(_: int) -> Answer:
        connection = people.built.connect(people.built.mtls)
        connection.connect()
        barrier.wait(30)
        answer = people.built.ask(people.built.mtls + "/token", form=form, connection=connection)
        connection.close()
        return answer

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(go, range(50)))
    assert sum("access_token" in each.json for each in answers) == 1
    assert sorted(each.status for each in answers) == [200] + [401] * 49


def test_the_database_holds_nothing_that_lets_anybody_in(people: Walk) -> None:
    """Whoever has a copy of it has hashes: no token, no secret, no invitation."""
    actors = [*people.mine.values(), *people.theirs.values()]
    given = [people.invitation]
    for actor in actors:
        given += [actor.registration_token, *people.fresh_tokens(actor).values(), *actor.tokens.values()]
        given += [actor.secret] if actor.method.startswith("client_secret") else []
    assert all(len(each) > 15 for each in given), given
    content = b"".join(file.read_bytes() for file in people.built.directory.glob("certbound.sqlite*"))
    assert actors[0].client_id.encode() in content
    for each in given:
        assert not [part for part in each.split(".") if part.encode() in content], each[:5]


# The free part

_TEXT = st.text(st.characters(codec="utf-8"), max_size=60)
_BYTES = st.binary(max_size=80)
_FIELD = st.binary(max_size=60).map(lambda value: bytes(each for each in value if each >= 0x20 and each != 0x7F))
"""What HTTP lets a field be; the listener refuses the rest before anybody reads it."""


def _free(people: Walk, data: st.DataObject) -> None:
    """Anything that a stranger can make of what is public, of old tokens and of noise."""
    victims = list(people.theirs.values())
    victim = data.draw(st.sampled_from(victims), "victim")
    ends = ["/token", "/introspect", "/revoke", "/par", "/device_authorization", "/userinfo", "/register", victim.path]
    path = data.draw(st.sampled_from(ends))
    host = data.draw(st.sampled_from(HOSTS))
    known = st.sampled_from([
        victim.client_id, "api", "stranger", "client_credentials", "refresh_token", EXCHANGE, ACCESS_TOKEN, RESOURCE,
        asserting.JWT_BEARER, people.assertion(victim.client_id, people.stranger_key), "cbat_x", "cbrt_x", "cbcs_x",
        people.built.issuer, "read", "..", "a.b.c", *ASKED.values(), "authorization_code", VERIFIER, "cbac_x",
    ])  # fmt: skip
    names = st.sampled_from([*ALWAYS_KNOWN, "grant_type", "token", "refresh_token", "subject_token", "scope",
                             "subject_token_type", "resource", "token_type_hint", "audience", "code", *ASKED])  # fmt: skip
    form = data.draw(st.lists(st.tuples(names | _TEXT, known | _TEXT | _BYTES), max_size=7), "form")
    schemes = st.sampled_from([b"Basic ", b"basic ", b"Bearer ", b"DPoP ", b""])
    pair = st.tuples(known | _TEXT, _TEXT).map(lambda each: base64.b64encode(":".join(each).encode()))
    header = st.tuples(schemes, pair | _FIELD).map(b"".join)
    headers = data.draw(st.lists(header, max_size=2), "authorization")
    identity = data.draw(st.sampled_from([None, "stranger", "forged", "ended", "like a registrant"]))
    shown = Shown(headers=tuple(("authorization", each) for each in headers), identity=identity)
    is_registration = "register" in path
    method = data.draw(st.sampled_from(["POST", "GET", "PUT", "DELETE"]) if is_registration else st.just("POST"))
    body = data.draw(st.none() | _BYTES) if is_registration else None
    answer = people.send(path, shown, host=host, method=method, form=form, body=body)
    assert answer.status < 500, answer
    if answer.status < 300:
        # A public client may hand in what is no token of anybody, and begin what a person decides.
        assert path in {"/revoke", "/par", "/device_authorization"}, answer
        assert victim.method == "none", answer
        assert path != "/revoke" or not answer.body, answer
    else:
        assert 400 <= answer.status, answer
        assert not malformations(answer) or (path == "/userinfo" and "www-authenticate" in answer.headers), answer


@given(data=st.data())
@settings(max_examples=120)
def test_nothing_that_strangers_make_gets_through(people: Walk, data: st.DataObject) -> None:
    """Form, headers, certificate and path are anything."""
    _free(people, data)


@pytest.mark.wide
@pytest.mark.timeout(300)
@given(data=st.data())
@settings(max_examples=2000)
def test_nothing_that_many_strangers_make_gets_through(people: Walk, data: st.DataObject) -> None:
    """The same, for longer."""
    _free(people, data)


def _mixed(people: Walk, data: st.DataObject) -> None:
    """One's name, another's certificate, a third one's token, at any endpoint: all of them right, but not together."""
    registered = [each for group in (people.mine, people.theirs, people.disabled) for each in group.values()]
    by_certificate = [each for each in registered if each.method in MUTUAL_TLS]
    named = data.draw(st.sampled_from([*registered, *by_certificate * 2]), "client_id")
    owner = data.draw(st.sampled_from([*people.mine.values(), *people.theirs.values()]), "token")
    like = [each for each in sorted(people.identities) if each == "sibling" or "tls-client-auth" in each]
    identity = data.draw(st.none() | st.sampled_from(sorted(people.identities)) | st.sampled_from(like), "certificate")
    host = data.draw(st.sampled_from(["mtls", *HOSTS]), "host")
    what = data.draw(st.sampled_from([*sorted(KINDS.keys() - {"code"}), "GET", "PUT", "DELETE", "userinfo"]), "what")
    shows_it = host == "mtls" and identity == named.identity
    if what in KINDS:
        kind = KINDS[what]
        is_there = named not in people.disabled.values()
        is_proven = is_there and shows_it and named.method in MUTUAL_TLS
        is_public = is_there and named.method == "none"
        if named is owner and (is_proven or is_public):
            return  # its own business
        shown = Shown((("client_id", named.client_id),), identity=identity)
        answer = people.send(kind.path, shown, host=host, form=kind.about(owner.tokens[kind.token or "jwt"]).items())
        if is_proven or is_public:
            is_given = answer.status in {200, 201} and answer.body not in (INACTIVE.body, NOTHING.body)
            assert is_given is (what in {"push", "device", *(["client credentials"] if is_proven else [])}), answer
        else:
            assert (answer.status, answer.json["error"]) == (UNAUTHENTICATED.status, UNAUTHENTICATED.error), answer
            assert answer.json["error_description"] == UNAUTHENTICATED.description
    elif what == "userinfo":
        shown = Shown(headers=(("authorization", f"Bearer {people.token_of_a_person(owner)}"),), identity=identity)
        answer = people.send("/userinfo", shown, host=host, method="GET", body=b"")
        may_know = owner.method != "none" or (host == "mtls" and identity == owner.identity)
        assert answer.status == (200 if may_know else NO_TOKEN.status), answer
    else:
        body = json.dumps({**owner.metadata, "client_id": named.client_id}).encode() if what == "PUT" else b""
        shown = Shown(headers=(("authorization", f"Bearer {owner.registration_token}"),), identity=identity)
        if named is owner and (named.method not in MUTUAL_TLS or shows_it):
            return  # its own business
        answer = people.send(named.path, shown, host=host, method=what, body=body)
        assert (answer.status, answer.json["error_description"]) == (DENIED.status, DENIED.description), answer


@given(data=st.data())
@settings(max_examples=200)
def test_nothing_is_had_by_a_certificate_and_the_name_of_another(people: Walk, data: st.DataObject) -> None:
    """Whichever certificate, name, token, host and endpoint come together."""
    _mixed(people, data)


@pytest.mark.wide
@pytest.mark.timeout(300)
@given(data=st.data())
@settings(max_examples=4000)
def test_nothing_is_had_by_any_certificate_and_any_name_of_another(people: Walk, data: st.DataObject) -> None:
    """The same, for longer."""
    _mixed(people, data)


def test_after_certificates_and_names_were_mixed_everything_is_as_before(people: Walk) -> None:
    """Nobody's token ended, and no client changed."""
    for actors in (people.mine, people.theirs):
        for actor in actors.values():
            assert people.is_alive(actor), actor
            assert people.is_as_before(actor), actor


@pytest.mark.wide
def test_after_all_of_it_everything_is_as_before(people: Walk) -> None:
    """What the walk before this did to nobody in particular."""
    for actors in (people.mine, people.theirs):
        for actor in actors.values():
            assert people.is_alive(actor), actor
            assert people.is_as_before(actor), actor


# Bad things

Row = tuple[str, Shown, "Expected"]


def bad_credentials(people: Walk, actor: Actor, host: str, kind: str) -> Iterator[Row]:  # noqa: C901
    """Everything but the right credential, for asking in one's own name."""
    me, other = actor.client_id, people.theirs[actor.method]
    own = actor.identity if host == "mtls" else None
    alone, name = alone_as(actor, kind), (("client_id", me),)
    # Nobody's name, and a name that is only claimed.
    yield "nothing", Shown(), NO_NAME
    yield "a certificate and no name", Shown(identity=own), NO_NAME
    yield "an empty name", Shown((("client_id", ""),), identity=own), NO_NAME
    yield "client_id alone", Shown(name), alone
    yield "credentials in the query", Shown(query=f"?client_id={me}&client_secret={actor.secret}"), NO_NAME
    for unknown in ("nobody", me[:-1], me + "x", me.swapcase(), f" {me}", "\x00", "é", "*", "' OR 1=1 --"):
        yield f"unknown: {unknown!r}", Shown((("client_id", unknown),), identity=own), UNAUTHENTICATED
        yield f"unknown, secret: {unknown!r}", Shown((("client_id", unknown), ("client_secret", actor.secret))), UNAUTHENTICATED  # fmt: skip
    # Certificates that are not the one.
    for identity in (*STRANGERS, other.identity) if host == "mtls" else ():
        yield f"certificate: {identity}", Shown(name, identity=identity), alone
    pem = people.identities[actor.identity].certificate_pem.decode()
    der = base64.b64encode(people.identities[actor.identity].der).decode()
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(people.identities[actor.identity].der).digest()).decode()
    for field, value in (
        ("x-ssl-client-cert", "".join(pem.splitlines())), ("client-cert", f":{der}:"), ("x-client-cert-sha256", thumbprint),
        ("x-forwarded-client-cert", f"Hash={hashlib.sha256(people.identities[actor.identity].der).hexdigest()}"),
    ):  # fmt: skip
        yield f"certificate in {field}", Shown(name, ((field, value),)), alone
    # Secrets that are not the one, and right ones in the wrong place.
    secrets = {"wrong": "cbcs_" + "A" * 43, "theirs": other.secret, "cut": actor.secret[:-1], "longer": actor.secret + "A",
               "other case": actor.secret.swapcase(), "thumbprint": thumbprint.rstrip("="), "long": "x" * 9000,
               "not ascii": "é", "access token": actor.tokens["jwt"]}  # fmt: skip
    for what, secret in secrets.items():
        yield f"basic: {what}", Shown(headers=(basic(me, secret),), identity=own), UNAUTHENTICATED
        yield f"post: {what}", Shown((*name, ("client_secret", secret)), identity=own), UNAUTHENTICATED
    yield "basic: empty", Shown(headers=(basic(me, ""),), identity=own), UNAUTHENTICATED
    if actor.method != "client_secret_basic":
        yield "basic, not registered", Shown(headers=(basic(me, actor.secret),), identity=own), UNAUTHENTICATED
    else:
        yield (
            "other name in body",
            Shown((("client_id", other.client_id),), (basic(me, actor.secret),)),
            UNAUTHENTICATED,
        )
    if actor.method != "client_secret_post":
        yield "post, not registered", Shown((*name, ("client_secret", actor.secret)), identity=own), UNAUTHENTICATED
    # Headers that cannot be read.
    for what, value in BAD_AUTHORIZATION.items():
        header = value(basic(me, actor.secret)[1])
        yield f"authorization: {what}", Shown(name, (("authorization", header),), identity=own), UNAUTHENTICATED
        with_secret = Shown((*name, ("client_secret", actor.secret)), (("authorization", header),), identity=own)
        yield f"authorization and secret: {what}", with_secret, TWO_CREDENTIALS
    # Assertions that are not the client's, or not for us, or not for now.
    for what, assertion in bad_assertions(people, actor):
        yield f"assertion: {what}", Shown(tuple(asserting.form(assertion).items()), identity=own), UNAUTHENTICATED
        if what in {"by a stranger", "alg none", "HS256, our key as PEM"}:
            named = tuple(asserting.form(assertion, client_id=me).items())
            yield f"assertion and name: {what}", Shown(named, identity=own), UNAUTHENTICATED
    good = people.assertion(me, actor.key)
    half = Shown((*name, ("client_assertion", good)), identity=own)
    yield "assertion without its type", half, HALF_AN_ASSERTION
    yield "type without assertion", Shown((*name, ("client_assertion_type", asserting.JWT_BEARER))), HALF_AN_ASSERTION
    odd = (*name, ("client_assertion", good), ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"))  # fmt: skip
    yield "assertion of another type", Shown(odd, identity=own), UNAUTHENTICATED
    # Two credentials, each of them as good as it can be.
    credentials = {
        "basic": Shown(headers=(basic(me, actor.secret),)),
        "post": Shown((("client_secret", actor.secret),)),
        "assertion": Shown(tuple(asserting.form(people.assertion(me, actor.key)).items())),
        "type of assertion": Shown((("client_assertion_type", asserting.JWT_BEARER),)),
        "another's basic": Shown(headers=(basic(other.client_id, other.secret),)),
    }
    for (one, first), (two, second) in combinations(credentials.items(), 2):
        if {one, two} != {"assertion", "type of assertion"}:
            both = Shown((*name, *first.form, *second.form), (*first.headers, *second.headers), own)
            yield f"two: {one} and {two}", both, TWO_CREDENTIALS
    yield "two: basic twice", Shown(headers=(basic(me, actor.secret),) * 2, identity=own), TWO_CREDENTIALS
    # Those who are no clients any more, whatever they show.
    for gone in (people.disabled[actor.method], people.removed[actor.method]):
        shown = people.right(gone)
        yield f"gone: {gone.name}", shown if host == "mtls" else replace(shown, identity=None), UNAUTHENTICATED


def in_the_name_of(people: Walk, me: Actor, other: Actor, host: str, kind: str) -> Iterator[Row]:
    """What is good for me, with the other's name."""
    own = me.identity if host == "mtls" else None
    as_other = alone_as(other, kind)
    yield "my certificate, its name", Shown((("client_id", other.client_id),), identity=own), as_other
    by_secret = (basic(other.client_id, me.secret),)
    yield "my secret, its name", Shown(headers=by_secret, identity=own), UNAUTHENTICATED
    posted = (("client_id", other.client_id), ("client_secret", me.secret))
    yield "my secret posted, its name", Shown(posted, identity=own), UNAUTHENTICATED
    mixed = Shown((("client_id", other.client_id),), (basic(me.client_id, me.secret),), own)
    yield "my header, its name in the body", mixed, UNAUTHENTICATED
    for what, claims in {"": {}, ", my iss": {"iss": me.client_id}}.items():
        signed_by_me = asserting.form(people.assertion(other.client_id, me.key, **claims))
        yield f"my signature{what}", Shown(tuple(signed_by_me.items()), identity=own), UNAUTHENTICATED
    mine = asserting.form(people.assertion(me.client_id, me.key), client_id=other.client_id)
    yield "my assertion, its name", Shown(tuple(mine.items()), identity=own), UNAUTHENTICATED
    # With its own credential, but mine is what the connection and the rest say.
    if me.method in MUTUAL_TLS and other.method in MUTUAL_TLS:
        swapped = Shown((("client_id", me.client_id),), identity=other.identity if host == "mtls" else None)
        yield "its certificate, my name", swapped, UNAUTHENTICATED


def bad_assertions(people: Walk, actor: Actor) -> Iterator[tuple[str, str]]:
    """About `actor`; signed by its own key where that is not what is wrong."""
    me, key, stranger, built = actor.client_id, actor.key, people.stranger_key, people.built
    now = int(time.time())

    def made(by: Any = key, header: dict[str, Any] | None = None, **claims: Any) -> str:
        return asserting.assertion(me, by=by, header=header, **{"audience": built.issuer, **claims})

    yield "by a stranger", made(stranger)
    yield "by a stranger, no kid", made(stranger, {"kid": ...})
    yield "by a stranger, the client's kid", made(stranger, {"kid": key.kid})
    yield "brings jwk", made(stranger, {"jwk": stranger.public_jwk(), "kid": ...})
    yield "brings jku", made(stranger, {"jku": "https://stranger.example/jwks"})
    yield "brings x5u", made(stranger, {"x5u": "https://stranger.example/x5u"})
    yield "brings x5c", made(stranger, {"x5c": [base64.b64encode(people.identities["stranger"].der).decode()]})
    for alg in ("none", "None", "nOnE", ""):
        yield f"alg {alg or 'empty'}", asserting.unsigned(me, {"alg": alg, "typ": "JWT"}, audience=built.issuer)
    for what, secret in {"our key as PEM": public_pem(key), "our key as JWK": json.dumps(key.public_jwk()).encode(),
                         "its secret": actor.secret.encode(), "an empty key": b""}.items():  # fmt: skip
        yield f"HS256, {what}", _hs256(made(), secret, key.kid)
    alias = built.mtls
    for what, audience in {"token endpoint": f"{built.issuer}/token", "alias": f"{alias}/token", "alias host": alias,
                           "list": [built.issuer], "list of both": [built.issuer, f"{built.issuer}/token"], "slash": built.issuer + "/",
                           "somebody else": "https://as.example", "nobody": ..., "null": None}.items():  # fmt: skip
        yield f"for {what}", made(audience=audience)
    yield "expired", made(iat=now - 600, exp=now - 1)
    yield "of the future", made(iat=now + 600, exp=now + 700)
    yield "not before", made(nbf=now + 600, exp=now + 700)
    yield "without end", made(exp=...)
    yield "for a year", made(exp=now + 365 * 86400)
    yield "end as text", made(exp=str(now + 60))
    yield "without jti", made(jti=...)
    yield "empty jti", made(jti="")
    yield "iss of another", made(iss="api")
    yield "an access token of its own", actor.tokens["jwt"]
    yield "of the type of an access token", made(header={"typ": "at+jwt"})
    yield "critical", made(header={"crit": ["b64"], "b64": False})
    good = made()
    yield "cut", good[:-3]
    yield "signature of zeros", good.rpartition(".")[0] + "." + encode(bytes(64))
    yield "without signature", good.rpartition(".")[0] + "."
    yield "dots", "..."
    yield "noise", "x"
    yield "long", "x" * 9000
    used = made()
    shown = Shown(tuple(asserting.form(used).items()))
    people.send("/introspect", shown, form=[("token", "x")])
    yield "replayed", used


def bad_tokens(people: Walk, actor: Actor) -> Iterator[tuple[str, str | bytes]]:
    """None of them is a live token of `actor`, or of anybody who meant it for `actor`."""
    other, mine = people.theirs[actor.method], actor.tokens
    for kind, token in other.tokens.items():
        yield f"{kind} of theirs", token
    for kind, token in mine.items():
        yield f"{kind}, cut", token[:-2]
        yield f"{kind}, longer", token + "AA"
        yield f"{kind}, with a space", f" {token}"
        yield f"{kind}, other case", token.swapcase()
    head, claims, signature = mine["jwt"].split(".")
    payload = base64.urlsafe_b64decode(claims + "==")
    yield "jwt, without signature", f"{head}.{claims}."
    yield "jwt, signature of another", f"{head}.{claims}.{other.tokens['jwt'].rpartition('.')[2]}"
    yield "jwt, more segments", f"{mine['jwt']}.{signature}"
    for key, what in ((people.stranger_key, "a stranger"), (actor.key, "the client")):
        yield f"signed by {what}", signed(payload, key=key)
        yield f"signed by {what}, with its jwk", signed(payload, {"jwk": key.public_jwk(), "kid": ...}, key=key)
    stranger = people.stranger_key
    yield "jku", signed(payload, {"jku": "https://stranger.example/jwks"}, key=stranger)
    yield "x5u", signed(payload, {"x5u": "https://stranger.example/x5u"}, key=stranger)
    certificate = base64.b64encode(people.identities["stranger"].der).decode()
    yield "x5c", signed(payload, {"x5c": [certificate]}, key=stranger)
    yield "alg none", f"{encode(json.dumps({'alg': 'none', 'typ': 'at+jwt'}))}.{claims}."
    yield "foreign", signed(json.dumps({**json.loads(payload), "iss": "https://as.example"}).encode(), key=stranger)
    jwk = people.send("/jwks", host="issuer", method="GET", body=b"").json["keys"][0]
    yield "HS256, our key as JWK", _hs256(mine["jwt"], json.dumps(jwk).encode(), jwk["kid"], "at+jwt")
    yield "status list", people.send("/status", host="issuer", method="GET", body=b"").body.decode()
    yield "registration token", actor.registration_token
    yield "invitation", people.invitation
    yield "secret", actor.secret
    yield "assertion", people.assertion(actor.client_id, actor.key)
    for noise in ("x", "cbat_", "cbrt_", "a.b.c", "..", "\x00", "é", "%", "'", "x" * 9000, "cbrt_" + "x" * 50_000):
        yield f"noise {noise[:8]!r}", noise
    yield "not utf-8", b"\xff\xfe"


def bad_bearers(
    people: Walk, actor: Actor, good: str
) -> Iterator[tuple[str, tuple[tuple[str, str | bytes], ...], "Expected"]]:
    """Anything but the header with `good`."""
    yield "no header", (), DENIED
    values: dict[str, str] = {
        "wrong": "Bearer " + good[:5] + "A" * 43, "cut": f"Bearer {good[:-1]}", "longer": f"Bearer {good}A",
        "other case": f"Bearer {good.swapcase()}", "of another scheme": f"Basic {good}", "no scheme": good,
        "DPoP": f"DPoP {good}", "empty": "", "only a scheme": "Bearer", "nothing behind it": "Bearer ",
        "used up": f"Bearer {people.used_up}", "its secret": f"Bearer {actor.secret}",
        "its credentials": basic(actor.client_id, actor.secret)[1], "access token": f"Bearer {actor.tokens['jwt']}",
        "opaque token": f"Bearer {actor.tokens['opaque']}", "refresh token": f"Bearer {actor.tokens['refresh']}",
        "twice in one": f"Bearer {good}, Bearer {good}", "20 kB": "Bearer " + good[:5] + "x" * 20_000, "latin-1": f"Bearer {good}\xe9",
    }  # fmt: skip
    for name, value in values.items():
        yield name, (("authorization", value),), DENIED
    yield "two headers", (("authorization", f"Bearer {good}"),) * 2, DENIED


def bad_presentations(people: Walk, actor: Actor, good: str, own: str | None) -> Iterator[tuple[str, Shown]]:
    """Ways to show `good`, or what is none, at a protected resource, which are not the one."""
    for name, headers, _ in bad_bearers(people, actor, good):
        if name not in {"access token", "opaque token"}:  # which are its own, for somebody who has no account
            yield name, Shown(headers=headers, identity=own)
    yield "in the query", Shown(query=f"?access_token={good}", identity=own)
    yield "in the form", Shown(identity=own)
    if actor.method == "none":  # its tokens are bound
        for identity in (None, *STRANGERS, people.theirs[actor.method].identity):
            shown = Shown(headers=(("authorization", f"Bearer {good}"),), identity=identity)
            yield f"certificate: {identity}", shown


def bad_management(people: Walk, actor: Actor, host: str) -> Iterator[tuple[str, str, Shown, "Expected"]]:
    own, other = actor.registration_token, people.theirs[actor.method]
    bound = actor.method in MUTUAL_TLS
    mine = actor.identity if host == "mtls" else None
    for name, headers, expected in bad_bearers(people, actor, own):
        yield name, actor.path, Shown(headers=headers, identity=mine), expected
    bearer = (("authorization", f"Bearer {own}"),)
    theirs = (("authorization", f"Bearer {other.registration_token}"),)
    invited = (("authorization", f"Bearer {people.invitation}"),)
    yield "invitation", actor.path, Shown(headers=invited, identity=mine), DENIED
    yield "token of theirs", actor.path, Shown(headers=theirs, identity=mine), DENIED
    yield "path of theirs", other.path, Shown(headers=bearer, identity=mine), DENIED
    for unknown in ("nobody", "%2e%2e", actor.client_id + "%00", actor.client_id[:-1], "%2A"):
        yield f"path {unknown}", f"/register/{unknown}", Shown(headers=bearer, identity=mine), DENIED
    for gone in (people.disabled[actor.method], people.removed[actor.method]):
        shown = Shown(headers=(("authorization", f"Bearer {gone.registration_token}"),), identity=gone.identity)
        yield f"gone: {gone.name}", gone.path, shown, DENIED
    yield "token in the query", actor.path, Shown(query=f"?access_token={own}", identity=mine), DENIED
    if bound:
        for identity in (None, *STRANGERS, other.identity):
            yield f"right token, certificate: {identity}", actor.path, Shown(headers=bearer, identity=identity), DENIED
        if host == "issuer":
            yield "right token, no certificate asked for", actor.path, Shown(headers=bearer, identity=mine), DENIED
        yield "all of theirs, my certificate", other.path, Shown(headers=theirs, identity=mine), DENIED


def _hs256(token: str, secret: bytes, kid: str, typ: str = "JWT") -> str:
    """The claims of `token` under a shared secret that everybody knows."""
    signing_input = f"{encode(json.dumps({'alg': 'HS256', 'typ': typ, 'kid': kid}))}.{token.split('.')[1]}"
    return f"{signing_input}.{encode(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"


BAD_AUTHORIZATION: dict[str, Callable[[str], str | bytes]] = {
    "empty": lambda _: "",
    "a space": lambda _: " ",
    "only a scheme": lambda _: "Basic",
    "nothing behind it": lambda _: "Basic ",
    "Bearer": lambda good: good.replace("Basic", "Bearer"),
    "Negotiate": lambda good: good.replace("Basic", "Negotiate"),
    "no base64": lambda _: "Basic ***",
    "torn base64": lambda good: good.rstrip("=")[:-1] + "!",
    "no colon": lambda _: "Basic " + base64.b64encode(b"nobody").decode(),
    "only a colon": lambda _: "Basic " + base64.b64encode(b":").decode(),
    "no name": lambda _: "Basic " + base64.b64encode(b":secret").decode(),
    "not UTF-8": lambda _: "Basic " + base64.b64encode(b"\xff:\xfe").decode(),
    "bad percent": lambda _: "Basic " + base64.b64encode(b"%ff%fe:%").decode(),
    "a null": lambda _: "Basic " + base64.b64encode(b"\0:\0").decode(),
    "20 kB": lambda _: "Basic " + "QUFB" * 5000,
    "latin-1": lambda _: b"Basic \xe9\xe9\xe9\xe9",
    "two in one": lambda good: f"{good}, {good}",
    "a tab": lambda good: good.replace(" ", "\t"),
    "two spaces": lambda good: good.replace(" ", "  ") + " x",
    "an equals sign": lambda good: good.replace(" ", "="),
    "base64url": lambda _: "Basic " + base64.urlsafe_b64encode("\u07ff:\u07ff?>".encode()).decode(),
    "only padding": lambda _: "Basic ====",
    "padding in front": lambda good: good.replace(" ", " ="),
    "in quotes": lambda good: good.replace(" ", ' "') + '"',
    "in hexadecimal": lambda _: "Basic " + b"client:secret".hex(),
    "not encoded": lambda _: "Basic client:secret",
    "UTF-16": lambda _: "Basic " + base64.b64encode("client:secret".encode("utf-16")).decode(),
    "many colons": lambda _: "Basic " + base64.b64encode(b":" * 300).decode(),
    "Digest": lambda _: 'Digest username="client", realm="certbound", nonce="x", uri="/token", response="x"',
    "two schemes": lambda good: f"Bearer x, {good}",
    "a scheme that is none": lambda good: good.replace("Basic", "B@sic"),
    "credentials before the scheme": lambda good: " ".join(reversed(good.split())),
    "a URL": lambda _: "https://client:secret@as.example/",
}


# What must come


@dataclass(frozen=True)
class Expected:
    """A class of answers; what is empty is the same for all of the class, whatever it is."""

    status: int
    error: str = ""
    description: str = ""
    body: bytes | None = None


UNAUTHENTICATED = Expected(401, "invalid_client", "client authentication failed")
TWO_CREDENTIALS = Expected(
    400, "invalid_request", "the request carries more than one credential; send one (RFC 6749 section 2.3)"
)
NO_NAME = Expected(400, "invalid_request", "client_id is missing from the request body")
HALF_AN_ASSERTION = Expected(
    400, "invalid_request", "client_assertion and client_assertion_type belong together; one is missing"
)
NOT_ALLOWED = Expected(400, "unauthorized_client", "the client is not allowed to use this grant type")
BAD_GRANT = Expected(400, "invalid_grant", "the grant is invalid, expired, revoked, or was issued to another client")
BAD_SUBJECT = Expected(400, "invalid_request", "the subject token is invalid, or not for this client")
INACTIVE = Expected(200, body=b'{"active":false}')
NOTHING = Expected(200, body=b"")
NO_TOKEN = Expected(401, "invalid_token", "the access token is not valid for this request")
NO_HEADER = Expected(401)
TWO_TOKENS = Expected(400, "invalid_request", "the request carries more than one access token")
DENIED = Expected(401, "invalid_token", "the request is not authorized to register or manage this client")
LEGITIMATE = Expected(200)
"""What a public client may do by naming itself: hand in its access token, which whoever holds it could use; redeem a
code with its verifier, which nobody else has; and begin what a person decides."""

NONE_ALONE: dict[str, Expected | None] = {
    "client credentials": NOT_ALLOWED,
    "refresh": BAD_GRANT,
    "exchange": NOT_ALLOWED,
    "introspect jwt": UNAUTHENTICATED,
    "introspect opaque": UNAUTHENTICATED,
    "introspect refresh": UNAUTHENTICATED,
    "revoke jwt": None,
    "revoke opaque": None,
    "revoke refresh": BAD_GRANT,
    "code": None,
    "push": None,
    "device": None,
}
"""What a public client gets that only names itself, without the certificate that its refresh token is bound to."""
BAD_TOKEN = {
    "refresh": BAD_GRANT,
    "exchange": BAD_SUBJECT,
    "introspect jwt": INACTIVE,
    "revoke refresh": NOTHING,
    "code": BAD_GRANT,
}
_NOT_UTF8 = Expected(
    400, "invalid_request", "the body is not application/x-www-form-urlencoded: a parameter is not UTF-8"
)
STRANGERS = ("stranger", "sibling", "forged", "ended", "api", *(f"copied {method}" for method in MUTUAL_TLS))
"""Whose certificates are not those of any client of the walk."""
UNREADABLE = {"not utf-8": _NOT_UTF8}
ALWAYS_KNOWN = ("client_id", "client_secret", "client_assertion", "client_assertion_type")
KNOWN = {
    "/token": ("grant_type", "scope"),
    "/introspect": ("token_type_hint",),
    "/revoke": ("token_type_hint",),
    "/par": ("response_type", "redirect_uri", "scope", "state", "nonce", "code_challenge", "request_uri"),
    "/device_authorization": ("scope",),
}
REPEATED = {
    name: Expected(400, "invalid_request", f"{name} is repeated")
    for name in (
        *ALWAYS_KNOWN, "unheard_of", "grant_type", "scope", "token_type_hint", "token", "refresh_token", "subject_token",
        "code", *KNOWN["/par"],
    )
}  # fmt: skip


def alone_as(actor: Actor, kind: str) -> Expected:
    """What comes to whoever names `actor` and shows nothing that is its."""
    return (NONE_ALONE[kind] or LEGITIMATE) if actor.method == "none" else UNAUTHENTICATED


def cannot(actor: Actor, host: str, kind: str) -> bool:
    """The client cannot prove there who it is."""
    return host not in actor.can_authenticate_on or (actor.method == "none" and kind.startswith("introspect"))


class Wrong:
    """What came and should not have; classes of answers are compared as bytes."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.classes: dict[Any, tuple[Any, str]] = {}
        self.judged = 0

    def judge(self, answer: Answer, expected: Expected, name: str, who: str, host: str, shown: Shown) -> None:
        self.judged += 1
        problems = list(self._problems(answer, expected, host, shown))
        if problems:
            self.found.append(f"{name} | {who} | {host}: {'; '.join(problems)}; wanted {expected}; {answer}")

    def _problems(self, answer: Answer, expected: Expected, host: str, shown: Shown) -> Iterator[str]:
        if answer.status != expected.status:
            yield f"status {answer.status}"
            return
        if expected.body is not None:
            if answer.body != expected.body:
                yield "another body"
        else:
            yield from malformations(answer)
            said = answer.json
            if (said.get("error"), said.get("error_description")) != (expected.error, expected.description):
                yield "another error"
        # Whoever tried the header learns its scheme, and that a token is refused if there was one in it (RFC 6750
        # section 3.1); browsers are told that they may read what comes.
        tried = {_has_token(value) for each, value in shown.headers if each == "authorization"}
        headers = {each: value for each, value in answer.headers.items() if each not in ("x-request-id", "date")}
        same = (answer.status, headers, answer.without_request_id[2])
        first, _ = self.classes.setdefault((expected, host, frozenset(tried)), (same, ""))
        if first != same:
            yield f"not the bytes of its class, which are {first}"

    def __repr__(self) -> str:
        return f"{len(self.found)} of {self.judged}:\n" + "\n".join(self.found[:12])


def _has_token(value: str | bytes) -> bool:
    scheme, _, token = (value if isinstance(value, str) else value.decode("latin-1")).partition(" ")
    return scheme.lower() == "bearer" and bool(token.strip())


def malformations(answer: Answer) -> list[str]:
    """What is wrong with the form of an error (RFC 6749 section 5.2)."""
    found = []
    if answer.headers.get("content-type") != "application/json":
        found.append("content type")
    if answer.headers.get("cache-control") != "no-store":
        found.append("cache-control")
    said = answer.json
    if set(said) != {"error", "error_description", "request_id"}:
        found.append(f"members {sorted(said)}")
    elif said["request_id"] != answer.headers.get("x-request-id"):
        found.append("request id")
    found += [
        name
        for name in ("error", "error_description")
        if not re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", str(said.get(name, "")))
    ]
    if (
        answer.status == 401
        and "www-authenticate" in answer.headers
        and "realm=" not in answer.headers["www-authenticate"]
    ):
        found.append("challenge")
    return found


__all__ = ["MINE"]
