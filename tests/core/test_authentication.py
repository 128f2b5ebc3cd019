"""certbound.core.authentication: the only way to become an `AuthenticatedClient` (R2 to R5, R8, R11)."""

import ast
import asyncio
import contextlib
import itertools
import statistics
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hmac import compare_digest
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import KeySet

import certbound
from asserting import ALGORITHMS, assertion, form, key, metadata, unsigned
from certbound.core.assertions import VerifiedAssertion
from certbound.core.authentication import Accepted, AuthenticatedClient, Step, digest_of, steps_of
from certbound.core.authentication import authenticate as authenticate_async
from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.clients import Client, Method, read_client
from certbound.core.credentials import Credential, Presented, read_credentials
from certbound.core.errors import InvalidClient, Untrusted
from certbound.core.jwks import RegisteredCertificate, make_jwks
from certbound.core.ports import SecretRecord
from certbound.core.proofs import KnownSecret, NothingProven, Sources, TrustedChain
from certbound.core.revoked import NOTHING_REVOKED, Revoked
from certbound.core.signatures import verifies
from certbound.trust.authority import Authority, self_signed
from certificates import DAY, NOW, TODAY, general_names, peer, read
from issuing import ISSUER

SOURCES = Path(certbound.__file__).parent
EVERYTHING = Accepted(methods=frozenset(Method), issuer=ISSUER, algorithms=ALGORITHMS)


@dataclass
class Verifier:
    """A `ChainVerifier` that trusts everybody, or nobody, and counts who asked; it publishes, and remembers uses."""

    trusts: bool = True
    revokes: bool = False
    publishes: Sequence[Certificate] = ()
    keys: KeySet | None = None
    asked: list[PeerCertificate] = field(default_factory=list)
    asked_about_revocation: list[TrustedChain] = field(default_factory=list)
    asked_for_kids: list[str | None] = field(default_factory=list)
    used: dict[tuple[str, str], float] = field(default_factory=dict)

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

    async def published_keys(self, client: Client, kid: str | None, now: float) -> KeySet:
        self.asked_for_kids.append(kid)
        if self.keys is None:
            raise Untrusted("it cannot be had")
        return self.keys

    async def use(self, purpose: str, value: str, *, until: float, now: float) -> bool:
        if self.used.get((purpose, value), now) > now:
            return False
        self.used[purpose, value] = until
        return True


def authenticate(
    client: Client | None,
    peer: PeerCertificate | None,
    *,
    chains: Verifier,
    now: float,
    revoked: Revoked = NOTHING_REVOKED,
    presented: Presented | None = None,
    accepted: Accepted = EVERYTHING,
) -> AuthenticatedClient:
    """As endpoints ask it, with one source for everything; `client_id` alone is presented if nothing is said."""
    sources = Sources(chains=chains, published=chains, uses=chains)
    shown = presented or Presented(client.client_id if client else "nobody")
    return asyncio.run(
        authenticate_async(client, shown, peer, accepted=accepted, sources=sources, revoked=revoked, now=now)
    )


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


NOBODY = Sources(chains=Verifier(trusts=False), published=Verifier(), uses=Verifier())

SECRET, OLD_SECRET = "cbcs_secret-of-a", "cbcs_old-secret-of-a"


def secret_client(method: Method, client_id: str = "secret", *secrets: SecretRecord) -> Client:
    """A client with a secret, and one that was replaced and ends in a minute."""
    kept = secrets or (
        SecretRecord(digest=digest_of(SECRET)),
        SecretRecord(digest=digest_of(OLD_SECRET), ends_at=NOW + 60),
    )
    return read_client(client_id, {"token_endpoint_auth_method": method.value}, secrets=kept)


PUBLIC_CLIENT = read_client("public", {"token_endpoint_auth_method": "none"})
BASIC_CLIENT = secret_client(Method.CLIENT_SECRET_BASIC)
POST_CLIENT = secret_client(Method.CLIENT_SECRET_POST)
JWT_CLIENT = read_client("jwt", metadata())
PUBLISHING_JWT_CLIENT = read_client(
    "pjwt", {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://p.example/jwks"}
)


def asserted(client_id: str, **changes: Any) -> Presented:
    """An assertion that is good at NOW, but for `changes`."""
    return read_credentials(**form(assertion(client_id, **{"now": NOW, **changes})))


def with_secret(client: Client, secret: str) -> Presented:
    """In the place that the client registered."""
    where = Credential.BASIC if client.method is Method.CLIENT_SECRET_BASIC else Credential.POST
    return Presented(client.client_id, where, secret)


def test_by_subject_and_chain() -> None:
    """A client whose name is in a certificate with a trusted chain is authenticated by that chain (R5)."""
    chains = Verifier()
    client = pki_client()
    authenticated = authenticate(client, peer(GOOD), chains=chains, now=NOW)
    assert authenticated.client is client
    assert authenticated.certificate == read(GOOD)
    assert authenticated.key is not None
    assert authenticated.key.kind == "P-256"
    assert authenticated.authorities == (read(CA).key_thumbprint,)
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
    nobody: dict[str, Any] = {"accepted": EVERYTHING, "sources": NOBODY, "revoked": NOTHING_REVOKED, "now": NOW}
    costs: dict[str, list[int]] = {name: [] for name in named}
    for _ in range(300):
        for name, client in named.items():
            presented = peer(foreign)
            began = time.thread_time_ns()
            with contextlib.suppress(InvalidClient):
                decided(authenticate_async(client, Presented("a"), presented, **nobody))
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


class TestSecrets:
    """RFC 6749 section 2.3.1: made by us, kept as hashes, replaced with an overlap."""

    @pytest.mark.parametrize("client", [BASIC_CLIENT, POST_CLIENT], ids=["basic", "post"])
    def test_a_secret(self, client: Client) -> None:
        """It proves the client wherever it comes from; the certificate beside it proves nothing (R14)."""
        for presented in (None, peer(GOOD)):
            found = authenticate(client, presented, chains=Verifier(), now=NOW, presented=with_secret(client, SECRET))
            assert found.proof == KnownSecret(client.secrets[0])
            assert (found.certificate, found.key, found.authorities) == (None, None, ())

    def test_each_secret_is_compared_in_constant_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Right or wrong, whichever fits: both hashes, by the one function whose time tells nothing."""
        compared = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append({one, other})
            return compare_digest(one, other)

        monkeypatch.setattr("hmac.compare_digest", compare)
        for secret in (SECRET, OLD_SECRET, "wrong"):
            compared.clear()
            with contextlib.suppress(InvalidClient):
                authenticate(POST_CLIENT, None, chains=Verifier(), now=NOW, presented=with_secret(POST_CLIENT, secret))
            shown = digest_of(secret).encode()
            assert compared == [{each.digest.encode(), shown} for each in POST_CLIENT.secrets]

    def test_a_secret_that_was_replaced(self) -> None:
        """Counts until its end, to the second."""
        shown = with_secret(POST_CLIENT, OLD_SECRET)
        assert authenticate(POST_CLIENT, None, chains=Verifier(), now=NOW + 59.9, presented=shown)
        with pytest.raises(InvalidClient, match="was replaced") as refusal:
            authenticate(POST_CLIENT, None, chains=Verifier(), now=NOW + 60, presented=shown)
        assert refusal.value.step is Step.SECRET

    @pytest.mark.parametrize(
        "secret", ["", "x", SECRET[:-1], SECRET + "a", SECRET.upper(), digest_of(SECRET), "\ud800"]
    )
    def test_another_secret(self, secret: str) -> None:
        """Its hash included, which is what a thief of the database has."""
        with pytest.raises(InvalidClient, match="none of the client's"):
            authenticate(POST_CLIENT, None, chains=Verifier(), now=NOW, presented=with_secret(POST_CLIENT, secret))

    def test_a_client_without_secrets(self) -> None:
        """Has none that fits, the empty one neither."""
        bare = read_client("a", {"token_endpoint_auth_method": "client_secret_post"})
        for secret in ("", SECRET):
            with pytest.raises(InvalidClient):
                authenticate(bare, None, chains=Verifier(), now=NOW, presented=with_secret(bare, secret))


class TestAssertions:
    """RFC 7523: what they must say is in `test_assertions`."""

    def test_an_assertion(self) -> None:
        """It proves the client once; the second time it is refused, at the last step, until it has ended."""
        chains, shown = Verifier(), asserted("jwt", jti="1")
        found = authenticate(JWT_CLIENT, peer(GOOD), chains=chains, now=NOW, presented=shown)
        assert found.proof == VerifiedAssertion("1", NOW + 60)
        assert (found.certificate, found.key, found.authorities) == (None, None, ())
        # Where the clock of another server is behind it lives on, and would count again once it is forgotten.
        assert list(chains.used.values()) == [NOW + 60 + 900]
        with pytest.raises(InvalidClient, match="used before") as refusal:
            authenticate(JWT_CLIENT, peer(GOOD), chains=chains, now=NOW + 59, presented=shown)
        assert refusal.value.step is Step.FIRST_USE
        with pytest.raises(InvalidClient, match="exp is"):
            authenticate(JWT_CLIENT, peer(GOOD), chains=chains, now=NOW + 60, presented=shown)

    def test_nobody_uses_up_what_is_not_theirs(self) -> None:
        """An assertion that is refused for anything uses nothing up; nor does another client's with the same jti."""
        chains = Verifier()
        bad: list[dict[str, Any]] = [
            {"by": key("thief")},
            {"by": key("thief"), "header": {"kid": ...}},
            {"audience": "https://other.example"},
            {"exp": NOW},
        ]
        for changes in bad:
            with pytest.raises(InvalidClient):
                authenticate(JWT_CLIENT, None, chains=chains, now=NOW, presented=asserted("jwt", jti="1", **changes))
        assert chains.used == {}
        names = ["jwt", "jwt 1", "jwt  1"]
        for client_id, jti in itertools.product(names, ["1", " 1", "1 1"]):
            client = read_client(client_id, metadata())
            assert authenticate(client, None, chains=chains, now=NOW, presented=asserted(client_id, jti=jti))
        assert len(chains.used) == 9

    def test_the_one_algorithm_that_was_registered(self) -> None:
        """Another that the client's keys could sign with is refused, though the deployment takes it."""
        both = metadata(key(), key("own", "EdDSA"), token_endpoint_auth_signing_alg="EdDSA")
        client = read_client("jwt", both)
        good = asserted("jwt", by=key("own", "EdDSA"))
        assert authenticate(client, None, chains=Verifier(), now=NOW, presented=good)
        with pytest.raises(InvalidClient, match="the client registered EdDSA"):
            authenticate(client, None, chains=Verifier(), now=NOW, presented=asserted("jwt"))

    def test_published_keys(self) -> None:
        """The source is asked for the kid of the header; what cannot be had refuses."""
        chains = Verifier(keys=JWT_CLIENT.keys)
        for header, kid in (({}, key().kid), ({"kid": ...}, None)):
            shown = asserted("pjwt", header=header)
            assert authenticate(PUBLISHING_JWT_CLIENT, None, chains=chains, now=NOW, presented=shown)
            assert chains.asked_for_kids.pop() == kid
        with pytest.raises(InvalidClient, match="cannot be had") as refusal:
            authenticate(PUBLISHING_JWT_CLIENT, None, chains=Verifier(), now=NOW, presented=asserted("pjwt"))
        assert refusal.value.step is Step.ASSERTION

    @pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256", "typ": "at+jwt"}])
    def test_what_is_no_assertion_makes_nobody_look(self, header: dict[str, Any]) -> None:
        """An algorithm or a type that is not listed causes no fetch."""
        chains = Verifier(keys=JWT_CLIENT.keys)
        shown = read_credentials(**form(unsigned("pjwt", {**header, "kid": "new"}, now=NOW)))
        with pytest.raises(InvalidClient):
            authenticate(PUBLISHING_JWT_CLIENT, None, chains=chains, now=NOW, presented=shown)
        assert chains.asked_for_kids == []


def test_a_public_client() -> None:
    """Proves nothing and is taken at its word, certificate or not; what it gets is another question."""
    for presented in (None, peer(GOOD)):
        found = authenticate(PUBLIC_CLIENT, presented, chains=Verifier(), now=NOW)
        assert (found.proof, found.certificate, found.key) == (NothingProven(), None, None)


SELF = self_signed("CN=s", now=TODAY)
CLIENTS: dict[Method, Client] = {
    Method.NONE: PUBLIC_CLIENT,
    Method.CLIENT_SECRET_BASIC: secret_client(
        Method.CLIENT_SECRET_BASIC, "basic", SecretRecord(digest=digest_of("cbcs_b"))
    ),
    Method.CLIENT_SECRET_POST: secret_client(
        Method.CLIENT_SECRET_POST, "post", SecretRecord(digest=digest_of("cbcs_p"))
    ),
    Method.PRIVATE_KEY_JWT: JWT_CLIENT,
    Method.TLS_CLIENT_AUTH: read_client(
        "tls", {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}
    ),
    Method.SELF_SIGNED_TLS_CLIENT_AUTH: replace(OWN_CLIENT, certificates=(read(SELF),)),
}
PEERS = {"none": None, "tls": peer(GOOD), "self": peer(SELF), "other": peer(self_signed("CN=o", now=TODAY))}
VALUES: dict[str, Callable[[str], dict[str, Any]]] = {
    "name alone": lambda client_id: {"client_id": client_id},
    **{
        f"{where} {secret}": (
            lambda client_id, where=where, secret=secret: (
                {  # type: ignore[misc]
                    "authorization": [b"Basic " + b64encode(f"{client_id}:{secret}".encode())]
                }
                if where == "basic"
                else {"client_id": client_id, "client_secret": secret}
            )
        )
        for where in ("basic", "post")
        for secret in ("cbcs_b", "cbcs_p", "", "x")
    },
    "assertion": lambda client_id: form(assertion(client_id, now=NOW)),
    "assertion of another": lambda client_id: form(assertion(client_id, now=NOW, by=key("thief"))),
    "assertion of two": lambda client_id: form(assertion(client_id, now=NOW, iss="jwt")),
    "unsigned assertion": lambda client_id: form(unsigned(client_id, {"alg": "none"}, now=NOW)),
}
THROUGH = {
    (Method.NONE, "name alone"): frozenset(PEERS),
    (Method.CLIENT_SECRET_BASIC, "basic cbcs_b"): frozenset(PEERS),
    (Method.CLIENT_SECRET_POST, "post cbcs_p"): frozenset(PEERS),
    (Method.PRIVATE_KEY_JWT, "assertion"): frozenset(PEERS),
    (Method.TLS_CLIENT_AUTH, "name alone"): frozenset({"tls"}),
    (Method.SELF_SIGNED_TLS_CLIENT_AUTH, "name alone"): frozenset({"self"}),
}


@given(
    method=st.sampled_from(Method),
    value=st.sampled_from(sorted(VALUES)),
    presented=st.sampled_from(sorted(PEERS)),
    off=st.one_of(st.none(), st.sampled_from(Method)),
    enabled=st.booleans(),
)
def test_only_the_registered_credential_gets_through(
    method: Method, value: str, presented: str, off: Method | None, enabled: bool
) -> None:
    """Every method with every credential over every certificate: its own one, where it is accepted, and no other."""
    client = replace(CLIENTS[method], enabled=enabled)
    accepted = replace(EVERYTHING, methods=frozenset(Method) - {off})
    shown = read_credentials(**VALUES[value](client.client_id))
    expected = presented in THROUGH.get((method, value), ()) and off is not method and enabled
    try:
        found = authenticate(client, PEERS[presented], chains=Verifier(), now=NOW, presented=shown, accepted=accepted)
    except InvalidClient:
        assert not expected
    else:
        assert expected
        assert (found.client, found.certificate is not None) == (client, method.is_mutual_tls)


def test_each_way_through_exists() -> None:
    """The table above has one for each method, so the property is not empty."""
    assert {method for method, _ in THROUGH} == set(Method)
    for (method, value), peers in THROUGH.items():
        for name in peers:
            client = CLIENTS[method]
            shown = read_credentials(**VALUES[value](client.client_id))
            assert authenticate(client, PEERS[name], chains=Verifier(), now=NOW, presented=shown).client is client


SHOWN: dict[str, Callable[[], Presented]] = {
    "basic": lambda: Presented("a", Credential.BASIC, "cbcs_x"),
    "post": lambda: Presented("a", Credential.POST, "cbcs_x"),
    "nothing": lambda: Presented("a"),
    **{
        f"{alg}, {kid}": lambda alg=alg, kid=kid: asserted(  # type: ignore[misc]
            "a", by=key("thief", alg), header={"kid": {"no kid": ..., "its kid": key().kid}.get(kid, kid)}
        )
        for alg in ALGORITHMS
        for kid in ("no kid", "its kid", "a kid of nobody")
    },
    "HS256": lambda: read_credentials(**form(unsigned("a", {"alg": "HS256", "kid": key().kid}, now=NOW))),
    "no signature": lambda: read_credentials(**form(unsigned("a", {"alg": "ES256", "kid": key().kid}, now=NOW))),
}


@pytest.mark.parametrize("shown", SHOWN)
def test_a_refusal_costs_as_much_whoever_was_named(shown: str) -> None:
    """A secret is hashed and a signature verified, once and by the same algorithm, whether the client exists, is
    enabled, authenticates so or otherwise, and whether it has a key that could have signed."""
    disabled = replace(JWT_CLIENT, enabled=False)
    costs = {}
    for name, client in {"nobody": None, "disabled": disabled, **CLIENTS}.items():
        for presented in (None, peer(self_signed("CN=x", now=TODAY))):
            value = SHOWN[shown]()
            if name == Method.NONE and value.credential is Credential.NONE:
                continue  # it gets through
            counted: Counter[str] = Counter()
            with pytest.raises(InvalidClient), counting(counted):
                authenticate(client, presented, chains=Verifier(trusts=False), now=NOW, presented=value)
            costs[name, presented is None] = tuple(sorted(counted.items()))
    assert len({cost for (_, bare), cost in costs.items() if bare}) == 1, costs
    assert len({cost for (_, bare), cost in costs.items() if not bare}) == 1, costs


def test_what_costs_is_counted() -> None:
    """The count above sees a signature, its algorithm, and a hash."""
    counted: Counter[str] = Counter()
    with counting(counted):
        authenticate(JWT_CLIENT, None, chains=Verifier(), now=NOW, presented=asserted("jwt"))
        authenticate(POST_CLIENT, None, chains=Verifier(), now=NOW, presented=with_secret(POST_CLIENT, SECRET))
    assert counted == {"ES256": 1, "digest_of": 1}


@contextlib.contextmanager
def counting(counted: Counter[str]) -> Any:
    """Calls of what takes its time."""

    def note(frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code is verifies.__code__:
            counted[frame.f_locals["alg"]] += 1
        elif event == "call" and code.co_name in {"digest_of", "require_strong_key", "read_carried"}:
            counted[code.co_name] = 1  # a second time is answered from memory

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


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
    "KnownSecret": ("core/authentication.py", "_prove_by_secret"),
    "NothingProven": ("core/authentication.py", "_prove_nothing"),
    "VerifiedAssertion": ("core/assertions.py", "verify_assertion"),
    "TrustedChain": ("trust/chains.py", "verify_chain"),
    "RegisteredCertificate": ("core/jwks.py", "match_registered"),
    "SubjectMatch": ("core/subject.py", "match_subject"),
    "StrongKey": ("core/keys.py", "require_strong_key"),
    "Confirmed": ("core/confirmation.py", "match_confirmation"),
    "Principal": ("resource/verify.py", "judge"),
}


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_proofs_are_made_in_one_place(evidence: str) -> None:
    """Each proof is constructed in exactly one function of the whole source: no endpoint can make one (R3)."""
    assert _makers(evidence) == {EVIDENCE[evidence]}


def _makers(evidence: str) -> set[tuple[str, str]]:
    return {maker for called, maker in _calls() if called == evidence}


@cache
def _calls() -> frozenset[tuple[str, tuple[str, str]]]:
    """What is called in the whole source, and in which function of which file."""
    calls = set()
    for file in SOURCES.rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                body = function.body if isinstance(function.body, list) else [function.body]
                maker = file.relative_to(SOURCES).as_posix(), getattr(function, "name", "lambda")
                inner = itertools.chain.from_iterable(map(ast.walk, body))
                calls |= {(_called(call.func), maker) for call in inner if isinstance(call, ast.Call)}
    return frozenset(calls)


def _called(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def test_the_search_for_makers_finds_one() -> None:
    """The search above sees what it looks for: `Client` is made by `read_client`."""
    assert ("core/clients.py", "read_client") in _makers("Client")
    assert AuthenticatedClient.__name__ in EVIDENCE
