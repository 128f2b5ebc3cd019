"""certbound.trust.verifier: which anchors decide about a client, and verdicts that are remembered (R5, R32)."""

from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certbound.core.authentication import Accepted, AuthenticatedClient, authenticate
from certbound.core.certificate import KeyThumbprint, PeerCertificate
from certbound.core.clients import Client, Method, read_client
from certbound.core.credentials import Presented
from certbound.core.errors import InvalidClient, Untrusted
from certbound.core.limits import read_limit
from certbound.core.proofs import Sources
from certbound.core.revoked import NOTHING_REVOKED, Revoked
from certbound.trust import verifier
from certbound.trust.anchors import Anchors
from certbound.trust.authority import Authority, Issued
from certbound.trust.published import PublishedNowhere
from certbound.trust.verifier import Trust
from certificates import DAY, NOW, TODAY, anchors, der, peer, read
from proving import Uses

LEAF_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = Authority.create("Stranger", now=TODAY)


def common_name(authority: Authority) -> str:
    return str(authority.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def cross_signed(authority: Authority, issuer: Authority) -> Authority:
    """The same name and key as `authority`, certified by `issuer`."""
    made = issuer.subordinate(common_name(authority), now=TODAY, key=authority.private_key)
    return Authority(made.certificate, authority.private_key)


def leaf(authority: Authority, **facts: Any) -> Issued:
    """A client certificate of `authority` for a.example."""
    return authority.issue("CN=a", **{"dns": ["a.example"], "now": TODAY, "key": LEAF_KEY, **facts})


def key_of(authority: Authority) -> KeyThumbprint:
    return read(authority).key_thumbprint


def named(
    client_id: str = "a", version: int = 1, *, trusted: Mapping[str, Any] | None = None, **subject: str
) -> Client:
    """A client of tls_client_auth, known by `subject`; `trusted` are the members about anchors."""
    known = {f"tls_client_auth_{kind}": text for kind, text in (subject or {"san_dns": "a.example"}).items()}
    return read_client(
        client_id, {"token_endpoint_auth_method": "tls_client_auth", **known, **(trusted or {})}, version=version
    )


def bringing(*authorities: Authority) -> dict[str, list[str]]:
    """Metadata of a client that brings its own anchors."""
    return {"tls_client_auth_trust_anchors": [b64encode(der(each)).decode() for each in authorities]}


def naming(*authorities: Authority) -> dict[str, list[str]]:
    """Metadata of a client that names some of the server's anchors."""
    return {"tls_client_auth_trust_anchor_keys": [key_of(each) for each in authorities]}


async def refused(trust: Trust, presented: PeerCertificate, who: Client) -> str:
    """The reason why there is no path."""
    with pytest.raises(Untrusted) as refusal:
        await trust.verify_chain(presented, who, NOTHING_REVOKED, NOW)
    return str(refusal.value)


async def authenticated(
    trust: Trust, one: Client, presented: PeerCertificate, now: float = NOW, *, revoked: Revoked = NOTHING_REVOKED
) -> AuthenticatedClient:
    """As an endpoint asks, with `trust`, and nobody who publishes."""
    return await authenticate(
        one,
        Presented(one.client_id),
        presented,
        accepted=Accepted(methods=frozenset(Method), issuer="https://as.example"),
        sources=Sources(chains=trust, published=PublishedNowhere(), uses=Uses()),
        revoked=revoked,
        now=now,
    )


def client(version: int = 1, client_id: str = "a") -> Client:
    """A registered client, at one state of it."""
    metadata = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}
    return read_client(client_id, metadata, version=version)


async def test_a_remembered_verdict_is_the_same(authority: Authority) -> None:
    """The same question again is answered from memory."""
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    assert await trust.verify_chain(presented, client(), NOTHING_REVOKED, NOW) is await trust.verify_chain(
        presented, client(), NOTHING_REVOKED, NOW + 1
    )


async def test_a_verdict_ends_with_the_certificate(authority: Authority) -> None:
    """A remembered verdict is not used a second beyond the leaf's `notAfter`."""
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    await trust.verify_chain(presented, client(), NOTHING_REVOKED, NOW)
    assert await trust.verify_chain(presented, client(), NOTHING_REVOKED, presented.leaf.not_after)
    with pytest.raises(Untrusted):
        await trust.verify_chain(presented, client(), NOTHING_REVOKED, presented.leaf.not_after + 1)


@pytest.mark.parametrize("short", ["intermediate", "root"])
async def test_a_verdict_ends_with_any_certificate_on_the_path(short: str) -> None:
    """A remembered verdict ends when an intermediate or the root does, long before the leaf."""
    root = Authority.create("R", now=TODAY, days=10 if short == "root" else 3650)
    middle = root.subordinate("M", now=TODAY, days=10 if short == "intermediate" else 1000)
    trust = Trust(anchors(root))
    presented = peer(leaf(middle), middle)
    assert (await trust.verify_chain(presented, client(), NOTHING_REVOKED, NOW)).valid_until == NOW + 10 * DAY
    with pytest.raises(Untrusted):
        await trust.verify_chain(presented, client(), NOTHING_REVOKED, NOW + 10 * DAY + 1)


async def test_a_verdict_is_not_used_before_it_was_given(authority: Authority) -> None:
    """A clock that goes back finds no verdict of the future."""
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    await trust.verify_chain(presented, client(), NOTHING_REVOKED, NOW)
    with pytest.raises(Untrusted):
        await trust.verify_chain(presented, client(), NOTHING_REVOKED, NOW - 10 * DAY)


async def test_replaced_anchors_forget_everything(authority: Authority) -> None:
    """When an anchor is taken away, the next question is answered without it (R32)."""
    trust = Trust(anchors(authority, STRANGER))
    presented = peer(leaf(authority))
    await trust.verify_chain(presented, client(), NOTHING_REVOKED, NOW)
    trust.replace(anchors(STRANGER))
    assert trust.anchors == anchors(STRANGER)
    with pytest.raises(Untrusted):
        await trust.verify_chain(presented, client(), NOTHING_REVOKED, NOW)
    trust.replace(Anchors())
    with pytest.raises(Untrusted):
        await trust.verify_chain(presented, client(), NOTHING_REVOKED, NOW)


async def test_a_changed_client_is_asked_anew(authority: Authority) -> None:
    """A verdict belongs to one state of one client: another version or another client has none."""
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    first = await trust.verify_chain(presented, client(), NOTHING_REVOKED, NOW)
    assert await trust.verify_chain(presented, client(version=2), NOTHING_REVOKED, NOW) is not first
    assert await trust.verify_chain(presented, client(client_id="b"), NOTHING_REVOKED, NOW) is not first


async def test_a_failure_is_not_remembered(authority: Authority) -> None:
    """A certificate that is not yet valid or came without its issuer, is asked anew."""
    trust = Trust(anchors(authority))
    middle = authority.subordinate("M", now=TODAY)
    end = leaf(middle)
    with pytest.raises(Untrusted):
        await trust.verify_chain(peer(end), client(), NOTHING_REVOKED, NOW)
    assert await trust.verify_chain(peer(end, middle), client(), NOTHING_REVOKED, NOW)


async def test_memory_is_bounded(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """More questions than are remembered push out the oldest, and the memory does not grow."""
    monkeypatch.setattr(verifier, "REMEMBERED_VERDICTS", 3)
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    first = await trust.verify_chain(presented, client(0), NOTHING_REVOKED, NOW)
    for version in range(1, 6):
        await trust.verify_chain(presented, client(version), NOTHING_REVOKED, NOW)
        assert len(trust._verdicts) <= 3
    assert await trust.verify_chain(presented, client(0), NOTHING_REVOKED, NOW) is not first


async def test_a_remembered_chain_does_not_spare_the_other_checks(authority: Authority) -> None:
    """With the verdict remembered, a client that is disabled or known by another name is refused all the same."""
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    assert await authenticated(trust, client(), presented)
    other = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "b.example"}
    for changed in (replace(client(), enabled=False), read_client("a", other, version=1)):
        with pytest.raises(InvalidClient):
            await authenticated(trust, changed, presented)
    with pytest.raises(InvalidClient):
        await authenticated(trust, client(), presented, presented.leaf.not_after + 1)


async def test_a_renewed_certificate(authority: Authority) -> None:
    """A new certificate of the same client, trusted, needs no change here (R8)."""
    trust = Trust(anchors(authority))
    for key in ("P-256", "RSA-2048"):
        assert await authenticated(trust, client(), peer(leaf(authority, key=key)))


# Anchors of one client.

ONE = Authority.create("One", now=TODAY)
TWO = Authority.create("Two", now=TODAY)
ONE_AGAIN = Authority.create("One", now=TODAY)
"""The same name, another key."""


async def test_a_client_narrows_the_servers_anchors() -> None:
    """A client that names an anchor is certified by that key alone; others are not affected."""
    trust = Trust(anchors(ONE, TWO))
    narrow = named(trusted=naming(ONE))
    assert await trust.verify_chain(peer(leaf(ONE)), narrow, NOTHING_REVOKED, NOW)
    assert "no path" in await refused(trust, peer(leaf(TWO)), narrow)
    for each in (ONE, TWO):
        assert await trust.verify_chain(peer(leaf(each)), named("b"), NOTHING_REVOKED, NOW)
        assert await trust.verify_chain(peer(leaf(each)), named("c", trusted=naming(ONE, TWO)), NOTHING_REVOKED, NOW)


async def test_a_named_anchor_is_a_key_and_not_a_name() -> None:
    """An anchor of the server's with the same name and another key does not count for the client."""
    trust = Trust(anchors(ONE_AGAIN, ONE))
    narrow = named(trusted=naming(ONE))
    assert (await trust.verify_chain(peer(leaf(ONE)), narrow, NOTHING_REVOKED, NOW)).anchor.der == der(ONE)
    await refused(trust, peer(leaf(ONE_AGAIN), ONE), narrow)
    renewed = Authority.create("One", now=TODAY, key=ONE.private_key)
    trust.replace(anchors(ONE_AGAIN, renewed))
    assert (await trust.verify_chain(peer(leaf(ONE)), narrow, NOTHING_REVOKED, NOW)).anchor.der == der(renewed)


async def test_a_named_anchor_that_went_away_is_nobody() -> None:
    """When the server has none of the named keys any more, nobody certifies the client, until one is back."""
    trust = Trust(anchors(ONE, TWO))
    narrow = named(trusted=naming(ONE))
    presented = peer(leaf(ONE))
    assert await trust.verify_chain(presented, narrow, NOTHING_REVOKED, NOW)
    trust.replace(anchors(TWO))
    assert key_of(ONE) in await refused(trust, presented, narrow)
    trust.replace(Anchors())
    assert key_of(ONE) in await refused(trust, presented, narrow)
    trust.replace(anchors(ONE))
    assert await trust.verify_chain(presented, narrow, NOTHING_REVOKED, NOW)


async def test_a_client_that_brings_its_anchors_has_no_others() -> None:
    """The client's own anchor certifies it, and the server's do not."""
    trust = Trust(anchors(ONE))
    own = named(trusted=bringing(TWO))
    assert (await trust.verify_chain(peer(leaf(TWO)), own, NOTHING_REVOKED, NOW)).anchor.der == der(TWO)
    assert "no path" in await refused(trust, peer(leaf(ONE)), own)
    assert "no path" in await refused(trust, peer(leaf(ONE), ONE, TWO), own)
    assert await Trust(Anchors()).verify_chain(peer(leaf(TWO)), own, NOTHING_REVOKED, NOW)


async def test_a_clients_own_anchor_certifies_nobody_else() -> None:
    """Whoever is asked about first, and whoever again: an anchor of one client is not one of another."""
    trust = Trust(anchors(ONE))
    everybody = {
        "all": named("all"),
        "narrow": named("narrow", trusted=naming(ONE)),
        "two": named("two", trusted=bringing(TWO)),
        "stranger": named("stranger", trusted=bringing(STRANGER)),
        "one again": named("one again", trusted=bringing(ONE_AGAIN)),
    }
    certified_by = {"all": ONE, "narrow": ONE, "two": TWO, "stranger": STRANGER, "one again": ONE_AGAIN}
    authorities = (ONE, TWO, STRANGER, ONE_AGAIN)
    certificates = {id(each): peer(leaf(each), *authorities) for each in authorities}
    for order in permutations(everybody):
        for who in order:
            for authority in authorities:
                presented = certificates[id(authority)]
                if certified_by[who] is authority:
                    assert await trust.verify_chain(presented, everybody[who], NOTHING_REVOKED, NOW)
                else:
                    await refused(trust, presented, everybody[who])
        assert trust.anchors == anchors(ONE)


async def test_clients_that_bring_the_same_anchor() -> None:
    """They share it; when one changes to another anchor, its old one is none of its own any more."""
    trust = Trust(Anchors())
    presented = peer(leaf(TWO))
    assert await trust.verify_chain(presented, named("a", trusted=bringing(TWO)), NOTHING_REVOKED, NOW)
    assert await trust.verify_chain(presented, named("b", trusted=bringing(TWO)), NOTHING_REVOKED, NOW)
    await refused(trust, presented, named("a", 2, trusted=bringing(STRANGER)))
    await refused(trust, presented, named("a", 3))
    assert await trust.verify_chain(presented, named("b", trusted=bringing(TWO)), NOTHING_REVOKED, NOW)


async def test_a_client_may_bring_an_intermediate() -> None:
    """An anchor need not be self-signed: what its authority certified by other keys does not count."""
    middle, other = ONE.subordinate("M", now=TODAY), ONE.subordinate("N", now=TODAY)
    trust = Trust(anchors(ONE))
    own = named(trusted=bringing(middle))
    assert (await trust.verify_chain(peer(leaf(middle), ONE), own, NOTHING_REVOKED, NOW)).anchor.der == der(middle)
    await refused(trust, peer(leaf(other), other, ONE), own)
    await refused(trust, peer(leaf(ONE), ONE), own)


async def test_configured_intermediates_lead_to_own_anchors_too() -> None:
    """The server's intermediates complete a path to a client's anchor, and are none themselves."""
    middle = TWO.subordinate("M", now=TODAY)
    trust = Trust(anchors(ONE, intermediates=[middle]))
    assert await trust.verify_chain(peer(leaf(middle)), named(trusted=bringing(TWO)), NOTHING_REVOKED, NOW)
    await refused(trust, peer(leaf(middle)), named("b", trusted=bringing(STRANGER)))
    await refused(trust, peer(leaf(middle)), named("c"))


async def test_ready_sets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the sets of single clients only some are kept ready, and a replaced set of the server's drops them all."""
    monkeypatch.setattr(verifier, "REMEMBERED_ANCHORS", 2)
    trust = Trust(anchors(ONE, TWO))
    for trusted in (naming(ONE), naming(TWO), naming(ONE, TWO), bringing(STRANGER)):
        for authority in (ONE, TWO, STRANGER):
            with suppress(Untrusted):
                await trust.verify_chain(peer(leaf(authority)), named(trusted=trusted), NOTHING_REVOKED, NOW)
        assert len(trust._narrowed) <= 2
    assert await trust.verify_chain(peer(leaf(ONE)), named("b", trusted=naming(ONE)), NOTHING_REVOKED, NOW)
    trust.replace(anchors(TWO))
    assert not trust._narrowed


# What an authority may speak for.


async def test_a_limited_anchor_speaks_for_what_is_listed() -> None:
    """Another name of the same certificate, or a client of another kind, is nothing that it may speak for."""
    trust = Trust(anchors(ONE), {key_of(ONE): read_limit(dns=["a.example"])})
    issued = leaf(ONE, dns=["a.example", "b.example"], uris=["https://a.example/"], ips=["192.0.2.1"])
    presented = peer(issued)
    assert await trust.verify_chain(presented, named(), NOTHING_REVOKED, NOW)
    reason = await refused(trust, presented, named("b", san_dns="b.example"))
    assert key_of(ONE) in reason
    assert "limited to dns 'a.example'" in reason
    assert "tls_client_auth_san_dns 'b.example'" in reason
    for subject in ({"san_uri": "https://a.example/"}, {"san_ip": "192.0.2.1"}, {"subject_dn": "CN=a"}):
        await refused(trust, presented, named("c", **subject))


@pytest.mark.parametrize("limited", ["root", "intermediate", "configured intermediate", "both"])
async def test_a_limit_holds_wherever_the_authority_stands(limited: str) -> None:
    """A limit of a root binds what is below it, one of an intermediate the intermediate."""
    middle = ONE.subordinate("M", now=TODAY)
    keys = {"root": [ONE], "both": [ONE, middle]}.get(limited, [middle])
    trust = Trust(
        anchors(ONE, intermediates=[middle] if limited.startswith("configured") else []),
        {key_of(each): read_limit(dns=["a.example"]) for each in keys},
    )
    behind = [] if limited.startswith("configured") else [middle]
    presented = peer(leaf(middle, dns=["a.example", "b.example"]), *behind)
    assert await trust.verify_chain(presented, named(), NOTHING_REVOKED, NOW)
    assert key_of(keys[-1]) in await refused(trust, presented, named("b", san_dns="b.example"))


async def test_every_limit_on_the_path_must_permit() -> None:
    """What the intermediate may speak for, its root may not, or the other way round."""
    middle = ONE.subordinate("M", now=TODAY)
    limits = {key_of(ONE): read_limit(dns=["x.example"]), key_of(middle): read_limit(dns=["a.example", "a.x.example"])}
    trust = Trust(anchors(ONE), limits)
    names = ["a.example", "a.x.example", "b.x.example"]
    presented = peer(leaf(middle, dns=names), middle)
    assert await trust.verify_chain(presented, named(san_dns="a.x.example"), NOTHING_REVOKED, NOW)
    await refused(trust, presented, named("b", san_dns="a.example"))
    await refused(trust, presented, named("c", san_dns="b.x.example"))


async def test_a_limit_holds_for_a_key_whoever_certifies_it() -> None:
    """A cross-signed authority does not get rid of its limit, nor does one that a client brings along or names."""
    limits = {key_of(TWO): read_limit(dns=["other.example"])}
    crossed = cross_signed(TWO, ONE)
    for trust in (Trust(anchors(ONE), limits), Trust(anchors(ONE, TWO), limits)):
        await refused(trust, peer(leaf(TWO), crossed), named())
    await refused(Trust(Anchors(), limits), peer(leaf(TWO)), named(trusted=bringing(TWO)))
    await refused(Trust(anchors(TWO), limits), peer(leaf(TWO)), named(trusted=naming(TWO)))
    assert await Trust(anchors(ONE)).verify_chain(peer(leaf(TWO), crossed), named(), NOTHING_REVOKED, NOW)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
@pytest.mark.parametrize("sent", [(0, 1), (1, 0)], ids=str)
async def test_another_path_leads_round(order: tuple[int, ...], sent: tuple[int, ...]) -> None:
    """Where one anchor may speak for the client and another may not, the order in which they come decides nothing."""
    middle = Authority.create("M", now=TODAY)
    crossed = [cross_signed(middle, ONE), cross_signed(middle, TWO)]
    roots = [ONE, TWO]
    trust = Trust(anchors(*(roots[each] for each in order)), {key_of(ONE): read_limit(dns=["other.example"])})
    presented = peer(leaf(middle), *(crossed[each] for each in sent))
    assert (await trust.verify_chain(presented, named(), NOTHING_REVOKED, NOW)).anchor.der == der(TWO)
    await refused(trust, peer(leaf(middle), crossed[0]), named())


@pytest.mark.parametrize("sent", [(0, 1), (1, 0)], ids=str)
async def test_a_path_leads_round_an_authority_that_was_revoked_here(sent: tuple[int, ...]) -> None:
    """A client whose issuer has another authority behind it goes on, also where the verdict was remembered.

    Without another one the path is there, and authentication refuses it for the revoked key.
    """
    middle = Authority.create("M", now=TODAY)
    crossed = [cross_signed(middle, ONE), cross_signed(middle, TWO)]
    trust = Trust(anchors(ONE, TWO))
    presented = peer(leaf(middle), *(crossed[each] for each in sent))
    assert await trust.verify_chain(presented, named(), NOTHING_REVOKED, NOW)
    for gone, other in ((ONE, TWO), (TWO, ONE)):
        revoked = Revoked(authorities=frozenset({key_of(gone)}))
        for _ in range(2):
            assert (await trust.verify_chain(presented, named(), revoked, NOW)).anchor.der == der(other)
        with pytest.raises(InvalidClient, match="was revoked here"):
            await authenticated(trust, named(), peer(leaf(gone)), revoked=revoked)


async def test_memory_does_not_widen_a_limit() -> None:
    """A verdict for a client whose name is permitted is none for another one with the same certificate."""
    trust = Trust(anchors(ONE), {key_of(ONE): read_limit(dns=["a.example"])})
    presented = peer(leaf(ONE, dns=["a.example", "b.example"]))
    for _ in range(2):
        assert await trust.verify_chain(presented, named(), NOTHING_REVOKED, NOW)
        await refused(trust, presented, named("b", san_dns="b.example"))
        await refused(trust, presented, named("a", 2, san_dns="b.example"))


async def test_names_in_the_order_they_are_encoded() -> None:
    """A DN is within a subtree by its most general RDNs."""
    trust = Trust(anchors(ONE), {key_of(ONE): read_limit(subject_dn=["O=Bank,C=CZ"])})
    for subject, permitted in (("CN=a,O=Bank,C=CZ", True), ("O=Bank,C=CZ", True), ("C=CZ,O=Bank,CN=a", False)):
        presented = peer(ONE.issue(subject, now=TODAY, key=LEAF_KEY))
        who = named(subject, subject_dn=subject)
        if permitted:
            assert await trust.verify_chain(presented, who, NOTHING_REVOKED, NOW)
        else:
            await refused(trust, presented, who)


async def test_a_client_without_a_subject_is_nobody() -> None:
    """There is no name that an authority could speak for."""
    await refused(Trust(anchors(ONE)), peer(leaf(ONE)), replace(named(), subject=None))


# X.509-SVIDs.

SPIFFE = "spiffe://prod.example/billing"


def usage(**bits: bool) -> x509.KeyUsage:
    """A key usage with these bits."""
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{bit: bits.get(bit, False) for bit in every})


def svid(
    authority: Authority, *uris: str, constraints: x509.BasicConstraints | None = None,
    key_usage: x509.KeyUsage | None = None, critical: bool = True, subject: x509.Name | None = None,
) -> Issued:  # fmt: skip
    """A certificate with these URIs and no name else; without `key_usage`, none is in it."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(each) for each in uris or (SPIFFE,)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or x509.Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(LEAF_KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(TODAY - timedelta(hours=1))
        .not_valid_after(TODAY + timedelta(hours=1))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.private_key.public_key()), False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(names, critical)
    )
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    if key_usage is not None:
        builder = builder.add_extension(key_usage, critical=True)
    return Issued(builder.sign(authority.private_key, hashes.SHA256()), LEAF_KEY)


LEAF = x509.BasicConstraints(ca=False, path_length=None)
SIGNS = usage(digital_signature=True, key_encipherment=True)


async def test_an_svid() -> None:
    """A workload's certificate, its subject empty and its one URI critical, is known by its SPIFFE ID, which may be the
    client_id; its bundle is an anchor limited to the trust domain."""
    trust = Trust(anchors(ONE), {key_of(ONE): read_limit(trust_domain=["prod.example"])})
    who = named(SPIFFE, san_uri=SPIFFE)
    for constraints in (LEAF, None):
        presented = peer(svid(ONE, constraints=constraints, key_usage=SIGNS))
        proven = await authenticated(trust, who, presented)
        assert proven.client.client_id == SPIFFE
    foreign = "spiffe://other.example/billing"
    reason = await refused(trust, peer(svid(ONE, foreign, constraints=LEAF, key_usage=SIGNS)), named(san_uri=foreign))
    assert "limited to trust_domain 'prod.example'" in reason


@pytest.mark.parametrize(
    ("uris", "facts", "said"),
    [
        ((SPIFFE, "https://a.example/"), {"key_usage": SIGNS}, "exactly one URI"),
        ((SPIFFE, SPIFFE), {"key_usage": SIGNS}, "exactly one URI"),
        ((SPIFFE, "spiffe://prod.example/other"), {"key_usage": SIGNS}, "exactly one URI"),
        ((SPIFFE,), {}, "must have digitalSignature"),
        ((SPIFFE,), {"key_usage": usage(key_encipherment=True)}, "must have digitalSignature"),
        ((SPIFFE,), {"key_usage": usage(digital_signature=True, key_cert_sign=True)}, "neither keyCertSign nor"),
        ((SPIFFE,), {"key_usage": usage(digital_signature=True, crl_sign=True)}, "neither keyCertSign nor"),
        ((SPIFFE,), {"constraints": x509.BasicConstraints(True, None), "key_usage": SIGNS}, "is a CA"),
    ],
    ids=["a URL too", "twice", "two workloads", "no usage", "no signatures", "signs certificates", "signs CRLs", "CA"],
)  # fmt: skip
async def test_what_is_no_svid(uris: tuple[str, ...], facts: dict[str, Any], said: str) -> None:
    """A client known by a SPIFFE ID is refused with a certificate that carries it but is not the SVID of a workload."""
    presented = peer(svid(ONE, *uris, **{"constraints": LEAF, **facts}))
    assert said in await refused(Trust(anchors(ONE)), presented, named(san_uri=SPIFFE))


async def test_other_uris_are_not_svids() -> None:
    """A client known by another URI may have more than one in its certificate."""
    urls = ("https://a.example/", SPIFFE)
    presented = peer(svid(ONE, *urls, constraints=LEAF, key_usage=SIGNS))
    assert await Trust(anchors(ONE)).verify_chain(presented, named(san_uri="https://a.example/"), NOTHING_REVOKED, NOW)
