"""Certificates and chains that are mutated before they are signed: from bytes to the verdict on the path.

Rule 1: whoever is authenticated is index 0, and its signature is one that an authority of ours made over these bytes.
Rule 2: a name in another string type is the same name, and what is written of it is read back as the same name.
Rule 3: a registered name matches only where its letters stand in the certificate.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from certbound.core.authentication import Accepted, AuthenticatedClient, authenticate
from certbound.core.candidates import candidates, remarks
from certbound.core.certificate import Certificate, PeerCertificate, read_certificate
from certbound.core.clients import Client, Method, read_client
from certbound.core.credentials import Presented
from certbound.core.errors import BadCertificate, InvalidClient, Untrusted
from certbound.core.extensions import read_extensions
from certbound.core.keys import public_jwk, require_strong_key
from certbound.core.names import DistinguishedName, NameStyle, format_name, parse_name, read_name
from certbound.core.proofs import Sources, TrustedChain
from certbound.core.qualified import organization_identifiers
from certbound.core.revoked import NOTHING_REVOKED
from certbound.core.subject import Subject, SubjectKind, match_subject
from certbound.core.svid import require_svid
from certbound.trust.chains import verify_chain
from certbound.trust.verifier import Trust
from certificates import NOW
from fuzz import corpus
from fuzz.mutations import MOST_BYTES, STRING_ENCODINGS, mutate, twin
from fuzz.trees import Node, at, changed, parent, parse, paths, raw
from proving import Uses

REGISTERED: Mapping[SubjectKind, Subject] = {
    kind: Subject.registered(kind, text)
    for kind, text in {
        SubjectKind.DN: corpus.SUBJECT, SubjectKind.DNS: corpus.DNS, SubjectKind.URI: corpus.URI,
        SubjectKind.IP: corpus.IP, SubjectKind.EMAIL: corpus.EMAIL,
    }.items()
}  # fmt: skip
WORKLOAD = Subject.registered(SubjectKind.URI, corpus.SPIFFE)
SUBJECTS = (*REGISTERED.values(), WORKLOAD)
CLIENTS: tuple[Client, ...] = tuple(
    read_client(f"client-{position}", {"token_endpoint_auth_method": "tls_client_auth", each.kind.value: each.text})
    for position, each in enumerate(SUBJECTS)
)
TRUSTED = tuple(each.der for each in (corpus.ROOT, corpus.TWIN, corpus.EDWARDS))


@dataclass(frozen=True, slots=True)
class Sent:
    """What a peer sends; `is_signed`: an authority that leads to an anchor signed the leaf as it is."""

    leaf: bytes
    behind: tuple[bytes, ...]
    is_signed: bool
    names_issuer: bool
    """Whether the issuer in the leaf is who signed it, and everything is there for a path."""


@dataclass(slots=True)
class Fed:
    """What was made of it; None where it was refused."""

    leaf: Certificate | None = None
    matched: list[Subject] = field(default_factory=list)
    chain: TrustedChain | None = None
    authenticated: AuthenticatedClient | None = None


class Certificates:
    """A handshake's certificates, through everything that looks at them."""

    name = "certificates"
    at_least: Mapping[str, float] = {"names": 0.5, "path": 0.5, "trusted": 0.15, "matched": 0.15}
    most_cpu = 0.020

    def make(self, rng: Random) -> Sent:
        for _ in range(4):
            made = rng.choices(_PLANS, _PLAN_WEIGHTS)[0](rng)
            if len(made.leaf) + sum(map(len, made.behind)) <= MOST_BYTES:
                break
        return made

    def show(self, made: Sent) -> tuple[bytes, ...]:
        return made.leaf, *made.behind

    def feed(self, made: Sent) -> Fed:
        fed = Fed()
        try:
            leaf = fed.leaf = read_certificate(made.leaf)
        except BadCertificate:
            return fed
        for question in _QUESTIONS:
            try:
                question(leaf)
            except BadCertificate:
                continue
        for subject in SUBJECTS:
            try:
                match_subject(leaf, subject)
                fed.matched.append(subject)
            except InvalidClient:
                continue
        peer = PeerCertificate(leaf, made.behind)
        with contextlib.suppress(Untrusted):
            fed.chain = verify_chain(peer, corpus.ANCHORS, NOW)
        return fed

    def check(self, made: Sent, fed: Fed, rng: Random) -> set[str]:
        leaf = fed.leaf
        if leaf is None:
            assert fed.chain is None
            return {"refused at once"}
        reached = {"names"} | ({"path"} if made.names_issuer else set())
        if fed.chain is not None:
            reached.add("trusted")
            _check_chain(made, leaf, fed.chain)
        if fed.matched:
            reached.add("matched")
            _check_matches(leaf, fed.matched)
            if rng.random() < 0.1:
                _check_authentication(made, leaf, fed)
        if _is_readable(leaf):
            reached.add("readable subject")
            check_writing(rng, leaf.subject_der, leaf.subject)
            if rng.random() < 0.25:
                reached.add("twins")
                check_twins(rng, leaf.subject_der, leaf.subject)
        if rng.random() < 0.1:
            _ask_everything_else(leaf)
        return reached


def _check_chain(made: Sent, leaf: Certificate, trusted: TrustedChain) -> None:
    assert made.is_signed, "trusted, but no authority of ours signed it"
    assert trusted.certificate.der == leaf.der == made.leaf, "somebody else is trusted"
    assert trusted.certificate.thumbprint == leaf.thumbprint
    assert trusted.anchor.der in TRUSTED or trusted.anchor.der == leaf.der in TRUSTED, "no anchor at the end"
    assert all(each.der in made.behind for each in trusted.path[1:-1]), "a path through what was not sent"
    assert leaf.not_before <= NOW <= leaf.not_after, "trusted out of its time"
    assert NOW <= trusted.valid_until <= leaf.not_after, "trusted beyond its time"
    require_strong_key(leaf)


def _check_matches(leaf: Certificate, matched: list[Subject]) -> None:
    letters = leaf.der.lower()
    for subject in matched:
        for needle in _NEEDLES[subject]:
            assert needle in letters, f"{subject.text} matches, and {needle!r} is nowhere in the certificate"
        if subject.kind is SubjectKind.DN:
            attributes = [each for rdn in leaf.subject for each in rdn]
            assert len(leaf.subject) == len(attributes) == 3, "another number of attributes matches"


def _check_authentication(made: Sent, leaf: Certificate, fed: Fed) -> None:
    """The verdict of the whole is that of its parts."""
    client = next(each for each in CLIENTS if each.subject in fed.matched)
    sources = Sources(chains=Trust(corpus.ANCHORS), published=_NOBODY, uses=Uses())
    accepted = Accepted(methods=frozenset(Method), issuer="https://as.example")
    presented = PeerCertificate(leaf, made.behind)
    proof: AuthenticatedClient | None = None
    try:
        proof = run(
            authenticate(
                client,
                Presented(client.client_id),
                presented,
                accepted=accepted,
                sources=sources,
                revoked=NOTHING_REVOKED,
                now=NOW,
            )
        )
    except InvalidClient:
        # An X.509-SVID must be more than trusted.
        assert fed.chain is None or client.subject == WORKLOAD, "trusted, matching, and refused"
    if proof is not None:
        assert fed.chain is not None, "authenticated without a path"
        assert proof.certificate is not None
        assert proof.certificate.der == made.leaf, "somebody else is authenticated"


def check_writing(rng: Random, der: bytes, name: DistinguishedName) -> None:
    """What is written of a name that was read, is printable and read back as the same."""
    text = format_name(der)
    for written in (text, *([format_name(der, style) for style in NameStyle] if rng.random() < 0.1 else [])):
        assert written.isprintable(), f"{written!r} does things to a terminal"
    assert parse_name(text) == name, f"{text!r} is another name"


def check_twins(rng: Random, der: bytes, name: DistinguishedName) -> None:
    """A name with its text in other string types equals itself, where it is text."""
    tree = parse(der)
    for path in [path for path in paths(tree) if len(path) == 3 and path[2] == 1]:
        node = at(tree, path)
        if node.tag in STRING_ENCODINGS and _is_text(node):
            tree = changed(tree, path, lambda node: [twin(rng, node)])
    assert read_name(tree.encoded) == name, f"its twin {tree.encoded.hex()} is another name"


def _is_text(node: Node) -> bool:
    """Whether the value alone, as a common name, is compared as text and not as tag and bytes."""
    [[[_, value]]] = read_name(_common_name(node))
    return not isinstance(value, bytes)


def _common_name(node: Node) -> bytes:
    kind = raw(bytes.fromhex("0603550403"))
    return parent(0x30, [parent(0x31, [parent(0x30, [kind, node])])]).encoded


def _ask_everything_else(leaf: Certificate) -> None:
    """What people are shown of it."""
    for each in candidates(leaf):
        assert each.problem or each.text
    read_extensions(leaf)
    list(remarks(leaf, NOW))
    try:
        list(organization_identifiers(leaf))
    except (ValueError, BadCertificate):
        assert not _is_readable(leaf), "readable, but not for PSD2"


def _is_readable(leaf: Certificate) -> bool:
    try:
        return leaf.subject is not None
    except BadCertificate:
        return False


def run(coroutine: Any) -> Any:
    """The result of what waits for nobody."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits for somebody")


class _Nobody:
    async def published(self, *_: object) -> Any:
        raise AssertionError("nobody asked for what is published")


def _leaf(rng: Random) -> Sent:
    """A leaf below an anchor."""
    issuer = rng.choices((corpus.ROOT, corpus.TWIN, corpus.EDWARDS), (8, 1, 1))[0]
    return _issued(rng, issuer, ())


def _below(rng: Random) -> Sent:
    """A leaf below an intermediate."""
    issuer = rng.choice((corpus.INTERMEDIATE, corpus.CONFINED, corpus.POLICED))
    return _issued(rng, issuer, (issuer.der,))


def _below_mutated(rng: Random) -> Sent:
    """A good leaf, an intermediate that is not."""
    issuer = rng.choice((corpus.INTERMEDIATE, corpus.CONFINED, corpus.POLICED))
    tree = _mutated(rng, corpus.seed(_reissue(issuer)))
    authority = corpus.assemble(tree.encoded, corpus.ROOT.algorithm.encoded, corpus.ROOT.sign(tree.encoded))
    seed = rng.choice(corpus.seeds_of(issuer)).tree
    leaf = corpus.assemble(seed.encoded, issuer.algorithm.encoded, issuer.sign(seed.encoded))
    behind = [authority, *([issuer.der] if rng.random() < 0.1 else [])]
    rng.shuffle(behind)
    return Sent(leaf, tuple(behind), is_signed=True, names_issuer=True)


def _from_a_stranger(rng: Random) -> Sent:
    """Signed by nobody whom we trust, in the name of one."""
    made = _issued(rng, corpus.STRANGER, tuple(rng.sample([each.der for each in corpus.ISSUERS], 2)))
    return Sent(made.leaf, made.behind, is_signed=False, names_issuer=False)


def _after_signing(rng: Random) -> Sent:
    """Bytes that changed on the way."""
    made = _leaf(rng)
    der = bytearray(made.leaf)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(der))
        match rng.randrange(4):
            case 0:
                der[place] ^= 1 << rng.randrange(8)
            case 1:
                der[place] = rng.choice(b"\0\x01\x7f\x80\xff")
            case 2:
                del der[place : place + rng.choice((1, 1, 4, 60))]
            case _:
                der[place:place] = rng.randbytes(rng.choice((1, 1, 4, 60)))
    same = bytes(der) == made.leaf
    return Sent(bytes(der), made.behind, is_signed=same, names_issuer=same and made.names_issuer)


def _crowded(rng: Random) -> Sent:
    """As many certificates behind the leaf as a handshake may carry."""
    made = _issued(rng, corpus.INTERMEDIATE, ())
    # Authorities of one name that an anchor certified are few; strangers are as many as they like.
    crowd = [*(each.der for each in corpus.ISSUERS), *rng.sample(corpus.crowd(), rng.choice((0, 3, 16)))]
    crowd += rng.sample(corpus.strangers(), rng.choice((0, 20, 36)))
    rng.shuffle(crowd)
    if rng.random() < 0.5:
        crowd.insert(0, corpus.INTERMEDIATE.der)
    behind, size = [], len(made.leaf)
    for each in crowd:
        size += len(each)
        if size > MOST_BYTES:
            break
        behind.append(each)
    there = corpus.INTERMEDIATE.der in behind
    return Sent(made.leaf, tuple(behind), is_signed=True, names_issuer=there and made.names_issuer)


def _issued(rng: Random, issuer: corpus.Issuer, behind: tuple[bytes, ...]) -> Sent:
    seed = rng.choice(corpus.seeds_of(issuer))
    tree = _mutated(rng, seed)
    signed = tree.encoded
    algorithm = issuer.algorithm.encoded
    if algorithm not in signed and tree.children and len(tree.children) > 2 and rng.random() < 0.5:
        algorithm = tree.children[2].encoded
    der = corpus.assemble(signed, algorithm, issuer.sign(signed))
    return Sent(der, behind, is_signed=True, names_issuer=issuer.name.encoded in signed)


def _reissue(issuer: corpus.Issuer) -> Node:
    return corpus.to_be_signed(issuer.der)


def _mutated(rng: Random, seed: corpus.Seed) -> Node:
    tree = seed.tree
    where = rng.choices((seed.subject, seed.names, seed.extensions, seed.every), (35, 30, 22, 13))[0]
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3, 6))):
        tree = changed(tree, rng.choice(where), lambda node: mutate(rng, node, corpus.splices()))
    return tree


_NOBODY = _Nobody()
_QUESTIONS: tuple[Callable[[Certificate], object], ...] = (
    lambda leaf: leaf.subject,
    lambda leaf: leaf.alternative_names,
    lambda leaf: leaf.key_thumbprint,
    require_strong_key,
    public_jwk,
    require_svid,
)
_NEEDLES: Mapping[Subject, tuple[bytes, ...]] = {
    REGISTERED[SubjectKind.DN]: (),
    REGISTERED[SubjectKind.DNS]: (b"\x0eclient.example",),
    REGISTERED[SubjectKind.URI]: (b"\x18https://client.example/a",),
    REGISTERED[SubjectKind.IP]: (b"\x87\x04\xc0\x00\x02\x01",),
    REGISTERED[SubjectKind.EMAIL]: (b"\x12who@client.example",),
    WORKLOAD: (b"spiffe://trust.example/workload",),
}
_TABLE: Mapping[Callable[[Random], Sent], float] = {
    _leaf: 58, _below: 12, _below_mutated: 14, _from_a_stranger: 4, _after_signing: 9, _crowded: 3,
}  # fmt: skip
_PLANS, _PLAN_WEIGHTS = tuple(_TABLE), tuple(_TABLE.values())
