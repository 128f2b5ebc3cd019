"""What introspection asks of the store: by counting it, whoever may not know a token learns nothing of it."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from asked import statements_seen, without_values
from certbound.app import open_registry, open_service
from certbound.core.authentication import AuthenticatedClient, digest_of
from certbound.core.grants import refresh_token
from certbound.core.jwks import make_jwks
from certbound.core.ports import GrantRecord, KeyRecord
from certbound.core.proofs import NothingProven
from certbound.core.signing import PublicKey, SigningKey, sign_jwt
from certbound.core.tokens import Grant
from certbound.server import inspection
from certbound.server.call import Call, Form
from certbound.server.introspection import introspect
from certbound.server.proven import ProvenTokens, SignedTokens
from certbound.server.service import Service
from certbound.server.token import token as issue
from certbound.server.token_revocation import revoke
from certbound.settings import load
from certbound.trust.authority import self_signed
from certificates import peer, read

CONFIGURATION = """
[server]
issuer = "https://as.example"
certificate = "as.pem"
key = "as.key"
mtls_url = "https://mtls.as.example"
[tokens]
resources = ["https://api.example", "https://other.example"]
scopes = ["read"]
opaque = ["https://api.example", "https://other.example"]
"""
CARDS = {name: self_signed(f"CN={name}") for name in ("holder", "api", "stranger")}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """`holder` has tokens for `api`'s resource; `stranger` serves another."""
    (tmp_path / "certbound.toml").write_text(CONFIGURATION)
    settings = load(tmp_path / "certbound.toml", {})
    serves = {"holder": [], "api": ["https://api.example"], "stranger": ["https://other.example"]}
    async with open_registry(settings) as registry:
        for name, resources in serves.items():
            given = {
                "token_endpoint_auth_method": "self_signed_tls_client_auth",
                "jwks": make_jwks([read(CARDS[name])]),
                "scope": "read",
                **({"protected_resources": resources} if resources else {}),
            }
            await registry.register(given, client_id=name)
    async with open_service(settings) as opened:
        await asyncio.sleep(0.2)  # what it does once, at its beginning, is done
        yield opened


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What the databases of this process are asked."""
    with statements_seen() as seen:
        yield seen


def call(name: str, **form: str) -> Call:
    """A request of this client, over its certificate."""
    values = {key: [value] for key, value in {"client_id": name, **form}.items()}
    return Call(now=time.time(), peer=peer(CARDS[name]), form=Form(values))


async def obtain(service: Service) -> str:
    """A fresh token of `holder` for `api`."""
    asked = call("holder", grant_type="client_credentials", resource="https://api.example")
    token = json.loads((await issue(asked, service)).body)["access_token"]
    assert isinstance(token, str)
    return token


async def ask(service: Service, name: str, token: str, statements: list[str]) -> tuple[bool, list[str]]:
    """Whether it is said to be active, and what the store was asked for that."""
    statements.clear()
    answer = json.loads((await introspect(call(name, token=token), service)).body)
    return answer["active"], list(about_tokens(statements))


def about_tokens(statements: list[str]) -> tuple[str, ...]:
    """Those that are no matter of the clock, as those about clients and revocations are, but of the request."""
    tables = ("access_tokens", "statuses", "grants", "refresh_tokens")
    return without_values([each for each in statements if any(f"FROM {table}" in each for table in tables)])


async def test_of_a_token_of_others_the_store_is_asked_no_more_than_of_none(
    service: Service, statements: list[str]
) -> None:
    """Also while only the store knows its status (rule 2 of the endpoint)."""
    token = await obtain(service)

    service.statuses.forget()
    foreign, asked = await ask(service, "stranger", token, statements)
    unknown, asked_of_none = await ask(service, "stranger", "cbat_" + "A" * 43, statements)

    assert (False, False) == (foreign, unknown)
    assert 1 == len(asked)
    assert asked == asked_of_none
    assert (await ask(service, "api", token, statements))[0], "whom it is for is told"


async def test_of_a_revoked_token_it_is_asked_as_of_one_that_lives(service: Service, statements: list[str]) -> None:
    """Its own API, whom it was meant for, gets the other answer from the same statements."""
    lives, dies = await obtain(service), await obtain(service)
    await revoke(call("holder", token=dies), service)
    await service.clients.refresh()
    await service.statuses.is_valid(0, now=time.time())  # by then the book has heard of it
    active, asked = await ask(service, "api", lives, statements)
    revoked, asked_then = await ask(service, "api", dies, statements)

    assert (True, False) == (active, revoked)
    assert asked == asked_then


async def test_a_signed_token_that_is_not_so_is_answered_alike(service: Service, statements: list[str]) -> None:
    """Foreign, foreign and revoked, forged, ended, or no token at all.

    The store is asked nothing of them, also while only it knows what was revoked, and the answer is the same to the
    byte; for whom it is, what lives and what was revoked are the same statements.
    """
    signed = replace(service, opaque=frozenset())
    old, revoked, dies = [await obtain(signed) for _ in range(3)]
    await revoke(call("holder", token=revoked), service)
    await service.clients.refresh()
    await service.statuses.is_valid(0, now=time.time())
    head, claims, signature = old.split(".")
    forged = f"{head}.{claims}.{signature[:-8]}AAAAAAAA"
    asked = [("stranger", each) for each in (old, revoked, forged, f"{head}.{claims}.", "a.b.c", "." * 2)]
    asked += [("api", each) for each in (forged, f"{head}.{claims}.", "a.b.c")]
    answers = {await answered(signed, name, each, statements) for name, each in asked}
    answers.add(await answered(signed, "api", old, statements, at=time.time() + 301))
    assert answers == {(b'{"active":false}', ())}

    await service.statuses.is_valid(0, now=time.time())
    lives, questions = await ask(signed, "api", old, statements)
    assert (lives, questions) == (True, []), "its place is in memory"
    await revoke(call("holder", token=dies), service)
    assert await ask(signed, "api", dies, statements) == (False, [])
    assert await ask(signed, "api", revoked, statements) == (False, [])
    for ends in (False, True):
        fresh = await obtain(signed)
        if ends:
            await revoke(call("holder", token=fresh), service)
        await service.clients.refresh()
        await service.statuses.is_valid(0, now=time.time())
        assert await ask(signed, "api", fresh, statements) == (not ends, questions)


async def test_a_refresh_token_that_is_not_so_is_answered_alike(service: Service, statements: list[str]) -> None:
    """Of others, replaced, revoked, ended, unknown or no token: one question, the same, and the same bytes."""
    now = time.time()
    for name in ("lives", "replaced", "revoked"):
        await open_grant(service, name, ends_at=now + 60)
    await open_grant(service, "ends", ends_at=now + 1)
    grants = service.store.grants
    assert await grants.rotate(digest_of("cbrt_replaced"), digest_of("cbrt_next"), now=now, grace=30)
    assert await grants.revoke("revoked", now=now)
    lives, questions = await ask(service, "holder", "cbrt_lives", statements)
    assert (lives, len(questions)) == (True, 1)
    asked = [("stranger", "lives"), ("api", "lives"), ("stranger", "revoked"), ("stranger", "replaced")]
    asked += [("holder", each) for each in ("replaced", "revoked", "never", "", "é" * 100, "x" * 50_000)]
    answers = {await answered(service, name, f"cbrt_{each}", statements) for name, each in asked}
    answers.add(await answered(service, "holder", "cbrt_ends", statements, at=now + 2))
    assert answers == {(b'{"active":false}', tuple(questions))}


async def answered(
    service: Service, name: str, token: str, statements: list[str], *, at: float | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """What this client is answered, perhaps later, and what the store was asked for that."""
    asked = call(name, token=token)
    service.statuses.forget()
    statements.clear()
    reply = await introspect(asked if at is None else structs.replace(asked, now=at), service)
    return bytes(reply.body or b""), about_tokens(statements)


async def open_grant(service: Service, name: str, *, ends_at: float) -> None:
    """One of `holder`, whose refresh token is `cbrt_` and its name."""
    client = await service.clients.find("holder")
    assert client is not None
    granted = refresh_token.first(
        Grant(client_id=client.client_id, subject="alice", audience=(), scope=client.scope),
        AuthenticatedClient(client, None, None, NothingProven()), None, always_rotates=True,
    )  # fmt: skip
    record = GrantRecord(
        grant_id=name, client_id="holder", content=refresh_token.write(granted), seed="s", created_at=time.time(),
        ends_at=ends_at,
    )  # fmt: skip
    await service.store.grants.open(record, digest_of(f"cbrt_{name}"), now=time.time())


async def test_a_token_is_looked_up_once_for_each_who_may_know_it(service: Service, statements: list[str]) -> None:
    """Then it is answered from memory, its revocation too; strangers are never, whoever asked before."""
    token = await obtain(service)
    await service.clients.refresh()
    for name, active, asked in (("api", True, 1), ("api", True, 0), ("stranger", False, 1), ("stranger", False, 1),
                                ("holder", True, 1), ("holder", True, 0), ("api", True, 0)):  # fmt: skip
        said, questions = await ask(service, name, token, statements)
        assert (said, len(questions)) == (active, asked), name
    await revoke(call("holder", token=token), service)
    assert await ask(service, "api", token, statements) == (False, [])


async def test_what_is_remembered_ends_with_its_time(service: Service, statements: list[str]) -> None:
    """And whoever serves the resource no more is told nothing, from memory or not."""
    token = await obtain(service)
    assert (await ask(service, "api", token, statements))[0]
    later = replace(service, clock=lambda: time.time() + 301)
    ended = await introspect(structs.replace(call("api", token=token), now=later.clock()), later)
    assert json.loads(ended.body) == {"active": False}
    client = await service.clients.find("api")
    assert client is not None
    record = await service.store.clients.find("api")
    assert record is not None
    await service.store.clients.replace(replace(record, metadata={**record.metadata, "protected_resources": []}))
    await service.clients.refresh()
    assert not (await ask(service, "api", token, statements))[0]


async def test_a_signed_token_is_verified_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """And again when the keys that are published are others: what a withdrawn key signed counts for nothing."""
    signed, verified = replace(service, opaque=frozenset()), seen_verified(monkeypatch)
    token = await obtain(replace(signed, signed=SignedTokens()))  # by another process
    assert token.count(".") == 2
    assert (await ask(signed, "api", token, []))[0]
    assert (await ask(signed, "api", token, []))[0]
    assert verified == [token]
    other = SigningKey.generate()
    service.keys.hold([KeyRecord(kid=other.kid, alg=other.alg, private_key=b"")], {other.kid: other})
    assert not (await ask(signed, "api", token, []))[0]


async def test_what_this_process_signed_is_not_verified(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks; but whatever differs from it is, and counts for nothing, as all does when its key is withdrawn."""
    signed, verified = replace(service, opaque=frozenset()), seen_verified(monkeypatch)
    token = await obtain(signed)
    for name, is_told in (("api", True), ("holder", True), ("stranger", False), ("api", True)):
        assert (await ask(signed, name, token, []))[0] == is_told
    assert verified == []
    header, payload, signature = token.split(".")
    claims = msgspec.json.decode(urlsafe_b64decode(payload + "=="))
    more = urlsafe_b64encode(msgspec.json.encode({**claims, "scope": "admin"})).rstrip(b"=").decode()
    forged = [f"{header}.{more}.{signature}", f"{header}.{payload}.{'A' * 86}", token + "A"]
    for each in forged:
        assert not (await ask(signed, "api", each, []))[0]
    assert verified == forged
    id_token = sign_jwt(claims, service.keys.signing, "JWT")
    assert not (await ask(signed, "api", id_token, []))[0]
    other = SigningKey.generate()
    service.keys.hold([KeyRecord(kid=other.kid, alg=other.alg, private_key=b"")], {other.kid: other})
    for name in ("api", "holder"):
        assert not (await ask(signed, name, token, []))[0]


async def test_what_was_signed_here_is_answered_as_if_it_were_verified(service: Service) -> None:
    """By a process that knows it and by one that does not: in its time, before and after, once it was revoked, for
    another issuer, with its key among others, and without it."""
    signed = replace(service, opaque=frozenset())
    lives, revoked = await obtain(signed), await obtain(signed)
    await revoke(call("holder", token=revoked), signed)
    own, other = service.keys.signing, SigningKey.generate()
    seen = []
    for keys in ([own], [other, own], [other]):
        records = [KeyRecord(kid=each.kid, alg=each.alg, private_key=b"") for each in keys]
        service.keys.hold(records, {each.kid: each for each in keys})
        for issuer in (service.offer.issuer, "https://another.example"):
            for token, after in ((lives, 0), (lives, 301), (lives, -60), (revoked, 0)):
                asked = structs.replace(call("api", token=token), now=time.time() + after)
                here = replace(signed, offer=replace(service.offer, issuer=issuer), proven=ProvenTokens())
                answers = [
                    (await introspect(asked, each)).body for each in (here, replace(here, signed=SignedTokens()))
                ]
                assert answers[0] == answers[1]
                seen.append(json.loads(answers[0] or b"")["active"])
    assert seen == [True, *[False] * 7] * 2 + [False] * 8


def seen_verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose signatures are verified from now on."""
    verified: list[str] = []
    real = inspection.verified_claims
    monkeypatch.setattr(inspection, "verified_claims", lambda *given: (verified.append(given[0]), real(*given))[1])
    return verified


def test_few_signed_tokens_are_known() -> None:
    """The oldest are forgotten first, and known are those of the keys that are asked for."""
    signed = SignedTokens(most=2)
    old, new = SigningKey.generate(), SigningKey.generate()
    for token, key in (("a", old), ("b", old), ("c", new)):
        signed.keep(token, key)
    assert [each for each in "abc" if signed.has(each, [old, new])] == ["b", "c"]
    assert [each for each in "abc" if signed.has(each, [new])] == ["c"]
    assert not signed.has("half \ud83d pair", [new])
    assert not signed.has("c", [])
    assert not signed.has("c", [PublicKey(new.kid, "EdDSA", new.jwk)])


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked about least lately goes first; one that was proven by keys of before is not kept."""
    monkeypatch.setattr("certbound.server.proven.MOST", 100)
    proven = ProvenTokens()
    claims = {"jti": "x" * 20}  # 30 bytes
    for token in ("a", "b", "c"):
        assert proven.find(token, "api", ["kid"]) is None
        proven.keep(token, "api", claims, ["kid"])
    assert proven.find("a", "api", ["kid"]) == claims
    proven.keep("a", "api", claims, ["kid"])
    proven.keep("d", "api", claims, ["kid"])
    assert [each for each in "abcd" if proven.find(each, "api", ["kid"])] == ["a", "c", "d"]
    proven.keep("huge", "api", {"jti": "x" * 200}, ["kid"])
    assert [each for each in ("a", "c", "d", "huge") if proven.find(each, "api", ["kid"])] == []
    proven.keep("a", "api", claims, ["kid"])
    assert proven.find("a", "api", ["new"]) is None
    proven.keep("a", "api", claims, ["kid"])
    assert proven.find("a", "api", ["new"]) is None
    proven.keep("a", "api", claims, ["new"])
    assert proven.find("a", "other", ["new"]) is None
    assert proven.find("a", "api", ["new"]) == claims


async def test_the_log_learns_why_a_token_is_not_active(service: Service) -> None:
    """Whoever asks does not: the answer is the same."""
    token = await obtain(service)
    reasons = []
    for name, asked in (("stranger", token), ("api", "cbat_nothing"), ("api", "cbrt_nothing")):
        why = call(name, token=asked)
        assert json.loads((await introspect(why, service)).body) == {"active": False}
        reasons.append(why.notes.reason)
    given_back = call("stranger", token=token)
    await revoke(given_back, service)
    reasons.append(given_back.notes.reason)

    assert "is for 'https://api.example', not for who asks" in reasons[0]
    assert ["the token is none of this server"] == reasons[1:2]
    assert "revoked or replaced" in reasons[2]
    assert reasons[3].startswith("nothing ended: the token ")
    assert not any(token in each for each in reasons)


@pytest.mark.parametrize(
    ("accept", "signed"),
    [
        (b"application/token-introspection+jwt", True),
        (b"application/json, Application/Token-Introspection+JWT ; q=0.5", True),
        (b"application/token-introspection+jwt;q=0", False),
        (b"application/token-introspection+jwt; q=0.000, */*", False),
        (b"application/json", False),
        (b"*/*", False),
        (b"", False),
    ],
)
async def test_a_signed_answer_is_for_whoever_names_its_type(service: Service, accept: bytes, signed: bool) -> None:
    """And does not refuse it (RFC 9701 section 4, RFC 9110 section 12.5.1)."""
    asked = msgspec.structs.replace(call("api", token="nonsense"), accept=accept)
    assert ((await introspect(asked, service)).body[:3] == b"eyJ") is signed
