"""certbound.core.authentication: the only way to become an `AuthenticatedClient` (R2 to R5, R8, R11)."""

import ast
import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import certbound
from certbound.core.authentication import AuthenticatedClient, Sources, Step, TrustedChain, steps_of
from certbound.core.authentication import authenticate as authenticate_async
from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.clients import Client, read_client
from certbound.core.errors import InvalidClient, Untrusted
from certbound.core.jwks import RegisteredCertificate, make_jwks
from certbound.core.revoked import NOTHING_REVOKED, Revoked
from certbound.trust.authority import Authority, self_signed
from certificates import DAY, NOW, TODAY, general_names, peer, read

SOURCES = Path(certbound.__file__).parent


@dataclass
class Verifier:
    """A `ChainVerifier` that trusts everybody, or nobody, and counts who asked."""

    trusts: bool = True
    revokes: bool = False
    publishes: Sequence[Certificate] = ()
    asked: list[PeerCertificate] = field(default_factory=list)
    asked_about_revocation: list[TrustedChain] = field(default_factory=list)

    async def verify_chain(self, peer: PeerCertificate, client: Client, revoked: Revoked, now: float) -> TrustedChain:
        self.asked.append(peer)
        if not self.trusts:
            raise Untrusted("nobody is trusted here")
        return TrustedChain((peer.leaf, read(CA)), peer.leaf.not_after)

    async def require_unrevoked(self, chain: TrustedChain, now: float) -> TrustedChain:
        self.asked_about_revocation.append(chain)
        if self.revokes:
            raise Untrusted("revoked by its issuer")
        return chain

    async def published(self, client: Client, presented: Certificate, now: float) -> Sequence[Certificate]:
        return self.publishes


def authenticate(
    client: Client | None,
    presented: PeerCertificate | None,
    *,
    chains: Verifier,
    now: float,
    revoked: Revoked = NOTHING_REVOKED,
) -> AuthenticatedClient:
    """As endpoints ask it, with one source for everything."""
    sources = Sources(chains=chains, published=chains)
    return asyncio.run(authenticate_async(client, presented, sources=sources, revoked=revoked, now=now))


def pki_client(**metadata: Any) -> Client:
    """A client known by the name a.example."""
    given = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example", **metadata}
    return read_client("a", given)


CA = Authority.create("CA", now=TODAY)
OWN = self_signed("CN=own", dns=["a.example"], now=TODAY)
OWN_CLIENT = read_client(
    "own", {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": make_jwks([read(OWN)])}
)
DISABLED = replace(OWN_CLIENT, enabled=False)
PUBLISHING_CLIENT = read_client(
    "p", {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks_uri": "https://p.example/jwks"}
)
GOOD = self_signed("CN=a", dns=["a.example"], now=TODAY)


NOBODY = Sources(chains=Verifier(trusts=False), published=Verifier())


def test_by_subject_and_chain() -> None:
    """A client whose name is in a certificate with a trusted chain is authenticated by that chain (R5)."""
    chains = Verifier()
    client = pki_client()
    authenticated = authenticate(client, peer(GOOD), chains=chains, now=NOW)
    assert authenticated.client is client
    assert authenticated.certificate == read(GOOD)
    assert authenticated.key.kind == "P-256"
    assert isinstance(authenticated.proof, TrustedChain)
    assert len(chains.asked) == 1


def test_by_registration() -> None:
    """A self-signed client is authenticated by its registered certificate; no chain is looked at (R11)."""
    chains = Verifier(trusts=False)
    authenticated = authenticate(OWN_CLIENT, peer(OWN), chains=chains, now=NOW)
    assert isinstance(authenticated.proof, RegisteredCertificate)
    assert chains.asked == []


def test_a_renewed_certificate_with_the_same_name() -> None:
    """A PKI client's new certificate, another key and the same name, authenticates it with no change here (R8)."""
    renewed = self_signed("CN=renewed", dns=["a.example"], now=TODAY)
    for each in (GOOD, renewed):
        assert authenticate(pki_client(), peer(each), chains=Verifier(), now=NOW).certificate == read(each)


Case = Callable[[Authority], tuple[Client | None, PeerCertificate | None, Verifier, float]]
REFUSALS: dict[str, Case] = {
    "unknown client": lambda _: (None, peer(GOOD), Verifier(), NOW),
    "disabled client": lambda _: (replace(pki_client(), enabled=False), peer(GOOD), Verifier(), NOW),
    "disabled self-signed client": lambda _: (replace(OWN_CLIENT, enabled=False), peer(OWN), Verifier(), NOW),
    "no certificate": lambda _: (pki_client(), None, Verifier(), NOW),
    "no certificate, self-signed": lambda _: (OWN_CLIENT, None, Verifier(), NOW),
    "wrong certificate": lambda _: (pki_client(), peer(self_signed("CN=b", now=TODAY)), Verifier(), NOW),
    "wrong certificate, self-signed": lambda _: (OWN_CLIENT, peer(GOOD), Verifier(), NOW),
    "PKI certificate of a self-signed client": lambda ca: (
        OWN_CLIENT, peer(ca.issue("CN=own", dns=["a.example"], now=TODAY)), Verifier(), NOW,
    ),
    "untrusted": lambda _: (pki_client(), peer(GOOD), Verifier(trusts=False), NOW),
    "expired": lambda _: (pki_client(), peer(GOOD), Verifier(), NOW + 400 * DAY),
    "expired, self-signed": lambda _: (OWN_CLIENT, peer(OWN), Verifier(), NOW + 400 * DAY),
    "not yet valid": lambda _: (pki_client(), peer(GOOD), Verifier(), NOW - DAY),
    "not yet valid, self-signed": lambda _: (OWN_CLIENT, peer(OWN), Verifier(), NOW - DAY),
    "weak key": lambda ca: (
        pki_client(),
        peer(ca.issue(dns=["a.example"], key=rsa.generate_private_key(65537, 1024), now=TODAY)), Verifier(), NOW,
    ),
    "name of another kind": lambda _: (
        pki_client(), peer(self_signed(uris=["a.example"], emails=["a.example"], now=TODAY)), Verifier(), NOW,
    ),
    "wildcard": lambda _: (pki_client(), peer(self_signed(dns=["*.example"], now=TODAY)), Verifier(), NOW),
    "name only in CN": lambda _: (pki_client(), peer(self_signed("CN=a.example", now=TODAY)), Verifier(), NOW),
    "own leaf and a victim's behind it": lambda ca: (
        pki_client(), peer(ca.issue("CN=b", dns=["b.example"], now=TODAY), GOOD), Verifier(), NOW,
    ),
    "registered certificate behind one's own": lambda _: (
        OWN_CLIENT, peer(self_signed("CN=thief", now=TODAY), OWN), Verifier(), NOW,
    ),
    "revoked by its issuer": lambda _: (pki_client(), peer(GOOD), Verifier(revokes=True), NOW),
    "not published": lambda _: (PUBLISHING_CLIENT, peer(OWN), Verifier(publishes=[read(GOOD)]), NOW),
    "unreadable name": lambda _: (
        pki_client(),
        peer(self_signed(extensions=[(general_names((0x82, b"a.example")), False)] * 1, now=TODAY)),
        Verifier(trusts=False), NOW,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_every_refusal_looks_the_same(case: str, authority: Authority) -> None:
    """Whatever is wrong, the peer learns `invalid_client`, 401 and one sentence; the reason is for the log (R4)."""
    client, presented, chains, now = REFUSALS[case](authority)
    with pytest.raises(InvalidClient) as refusal:
        authenticate(client, presented, chains=chains, now=now)
    assert (refusal.value.error, refusal.value.status) == ("invalid_client", 401)
    assert refusal.value.description == "client authentication failed"
    assert refusal.value.reason != refusal.value.description


def test_refusals_are_told_apart_in_the_log(authority: Authority) -> None:
    """The reasons of an unknown client, no certificate, an expired, an untrusted and a wrong one are all different."""
    reasons = set()
    for case in ("unknown client", "no certificate", "expired", "untrusted", "wrong certificate", "weak key"):
        client, presented, chains, now = REFUSALS[case](authority)
        with pytest.raises(InvalidClient) as refusal:
            authenticate(client, presented, chains=chains, now=now)
        reasons.add(refusal.value.reason)
    assert len(reasons) == 6


@pytest.mark.parametrize(
    "case",
    [
        "wrong certificate", "expired", "not yet valid", "weak key", "name of another kind", "wildcard",
        "disabled client", "own leaf and a victim's behind it", "registered certificate behind one's own",
    ],
)  # fmt: skip
def test_a_name_that_does_not_match_causes_no_path(case: str, authority: Authority) -> None:
    """A certificate that is expired, weak, or carries another name causes no path to be built."""
    client, presented, chains, now = REFUSALS[case](authority)
    with pytest.raises(InvalidClient):
        authenticate(client, presented, chains=chains, now=now)
    assert chains.asked == []


def test_self_signed_keys_are_as_strong_as_others() -> None:
    """A registered self-signed certificate with a weak key authenticates nobody."""
    weak = self_signed("CN=weak", key=ec.generate_private_key(ec.SECP256K1()), now=TODAY)
    client = replace(OWN_CLIENT, certificates=(read(weak),))
    with pytest.raises(InvalidClient, match="curve"):
        authenticate(client, peer(weak), chains=Verifier(), now=NOW)


def test_a_pki_client_without_a_subject_is_nobody() -> None:
    """A client value without its subject, which no registration makes, is refused and never trusted by chain alone."""
    chains = Verifier()
    with pytest.raises(InvalidClient):
        authenticate(replace(pki_client(), subject=None), peer(GOOD), chains=chains, now=NOW)
    assert chains.asked == []


def test_by_publication() -> None:
    """A client with a `jwks_uri` is authenticated by a certificate that it publishes (R13)."""
    authenticated = authenticate(PUBLISHING_CLIENT, peer(OWN), chains=Verifier(publishes=[read(OWN)]), now=NOW)
    assert authenticated.proof == RegisteredCertificate(read(OWN))


@pytest.mark.parametrize("now", [NOW - 10 * DAY, NOW + 4000 * DAY], ids=["before", "after"])
def test_validity_may_be_waived_by_the_registration(now: float) -> None:
    """Outside its dates a self-signed certificate counts only where the registration says that they do not matter."""
    lenient = replace(OWN_CLIENT, ignores_validity=True)
    assert authenticate(lenient, peer(OWN), chains=Verifier(), now=now)
    with pytest.raises(InvalidClient):
        authenticate(OWN_CLIENT, peer(OWN), chains=Verifier(), now=now)


@pytest.mark.parametrize("client", [pki_client(), OWN_CLIENT], ids=["PKI", "self-signed"])
def test_revoked_here(client: Client) -> None:
    """A certificate that was revoked here authenticates nobody, by whatever method; nothing else is asked then."""
    presented = peer(GOOD if client.subject else OWN)
    chains = Verifier()
    revoked = Revoked(certificates=frozenset({presented.leaf.thumbprint}))
    with pytest.raises(InvalidClient, match="revoked here"):
        authenticate(client, presented, chains=chains, now=NOW, revoked=revoked)
    assert chains.asked == []


def test_an_authority_revoked_here() -> None:
    """A path with a key that was revoked here proves nothing, and its issuer is not asked any more."""
    chains = Verifier()
    revoked = Revoked(authorities=frozenset({read(CA).key_thumbprint}))
    with pytest.raises(InvalidClient, match="was revoked here"):
        authenticate(pki_client(), peer(GOOD), chains=chains, now=NOW, revoked=revoked)
    assert chains.asked_about_revocation == []
    assert authenticate(OWN_CLIENT, peer(OWN), chains=chains, now=NOW, revoked=revoked)


def test_nobody_is_asked_about_a_chain_that_is_not_trusted() -> None:
    """Without a trusted path no question about revocation is asked, so no stranger's certificate causes a fetch."""
    chains = Verifier(trusts=False)
    with pytest.raises(InvalidClient):
        authenticate(pki_client(), peer(GOOD), chains=chains, now=NOW)
    assert chains.asked_about_revocation == []


def test_a_refusal_does_not_tell_by_its_time_whether_there_is_such_a_client() -> None:
    """A new certificate of a stranger costs the same, whether the client it names exists, and however it is known."""
    foreign = self_signed("CN=foreign,O=Example", dns=["foreign.example"], now=TODAY)
    named = {"none": None, "PKI": pki_client(), "self-signed": OWN_CLIENT, "disabled": DISABLED}
    costs: dict[str, list[int]] = {name: [] for name in named}
    for _ in range(300):
        for name, client in named.items():
            presented = peer(foreign)
            began = time.thread_time_ns()
            with contextlib.suppress(InvalidClient):
                decided(authenticate_async(client, presented, sources=NOBODY, revoked=NOTHING_REVOKED, now=NOW))
            costs[name].append(time.thread_time_ns() - began)
    medians = {name: statistics.median(found) for name, found in costs.items()}
    assert max(medians.values()) < 1.4 * min(medians.values()), medians


@pytest.mark.parametrize("key", [ec.SECP256R1(), ec.SECP256K1()], ids=["strong", "weak"])
def test_as_much_is_read_of_a_refused_certificate_whoever_was_named(key: ec.EllipticCurve) -> None:
    """Where something was revoked here, too, no more is read of a stranger's certificate if its client exists."""
    foreign = self_signed("CN=foreign", dns=["foreign.example"], key=ec.generate_private_key(key), now=TODAY)
    revoked = Revoked(certificates=frozenset({read(GOOD).thumbprint}))
    read_of = {}
    for name, client in {"none": None, "PKI": pki_client(), "self-signed": OWN_CLIENT, "disabled": DISABLED}.items():
        presented = peer(foreign)
        with pytest.raises(InvalidClient):
            authenticate(client, presented, chains=Verifier(), now=NOW, revoked=revoked)
        read_of[name] = frozenset(member for member, value in vars(presented.leaf).items() if value)
    assert len(set(read_of.values())) == 1, read_of


def decided(coroutine: Coroutine[Any, Any, AuthenticatedClient]) -> None:
    """To its end, without an event loop: nothing is waited for."""
    with contextlib.suppress(StopIteration):
        coroutine.send(None)
        raise AssertionError("it waits for something")


STEPS = {
    "unknown client": Step.CLIENT, "disabled client": Step.CLIENT, "no certificate": Step.CERTIFICATE,
    "expired": Step.VALIDITY, "not yet valid, self-signed": Step.VALIDITY, "weak key": Step.KEY,
    "wrong certificate, self-signed": Step.REGISTERED, "not published": Step.REGISTERED,
    "wrong certificate": Step.SUBJECT, "wildcard": Step.SUBJECT, "untrusted": Step.PATH,
    "revoked by its issuer": Step.REVOCATION,
}  # fmt: skip


@pytest.mark.parametrize("case", STEPS)
def test_a_refusal_knows_its_step(case: str, authority: Authority) -> None:
    """The question that had the wrong answer is in the refusal, for the log and for `certbound explain`."""
    client, presented, chains, now = REFUSALS[case](authority)
    with pytest.raises(InvalidClient) as refusal:
        authenticate(client, presented, chains=chains, now=now)
    assert refusal.value.step is STEPS[case]
    if client is not None:
        assert STEPS[case] in steps_of(client.method)


EVIDENCE = {
    "AuthenticatedClient": ("core/authentication.py", "authenticate"),
    "TrustedChain": ("trust/chains.py", "verify_chain"),
    "RegisteredCertificate": ("core/jwks.py", "match_registered"),
    "SubjectMatch": ("core/subject.py", "match_subject"),
    "StrongKey": ("core/keys.py", "require_strong_key"),
    "Confirmed": ("core/confirmation.py", "match_confirmation"),
    "Principal": ("resource/verify.py", "verify"),
}


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_proofs_are_made_in_one_place(evidence: str) -> None:
    """Each proof is constructed in exactly one function of the whole source: no endpoint can make one (R3)."""
    assert _makers(evidence) == {EVIDENCE[evidence]}


def _makers(evidence: str) -> set[tuple[str, str]]:
    makers = set()
    for file in SOURCES.rglob("*.py"):
        tree = ast.parse(file.read_text())
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                body = function.body if isinstance(function.body, list) else [function.body]
                calls = itertools.chain.from_iterable(map(ast.walk, body))
                name = getattr(function, "name", "lambda")
                makers |= {
                    (file.relative_to(SOURCES).as_posix(), name)
                    for call in calls
                    if isinstance(call, ast.Call) and _called(call.func) == evidence
                }
    return makers


def _called(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def test_the_search_for_makers_finds_one() -> None:
    """The search above sees what it looks for: `Client` is made by `read_client`."""
    assert ("core/clients.py", "read_client") in _makers("Client")
    assert AuthenticatedClient.__name__ in EVIDENCE
