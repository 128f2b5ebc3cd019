"""Revocation lists and answers of OCSP responders, mutated before they are signed: what is believed of them.

Rule 1: who is in the list that was signed is never good, unless the list was changed before it was signed.
Rule 2: what nobody with authority signed says nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from certbound.core.certificate import Certificate, read_certificate
from certbound.trust.crl_frames import BadList
from certbound.trust.crls import RevocationList, issuer_name, read_lists
from certbound.trust.judgement import Evidence, Finding, Standing, judge
from certbound.trust.ocsp import BadAnswer, Question, read_answer
from certificates import NOW, TODAY
from fuzz import corpus
from fuzz.mutations import mutate
from fuzz.of_certificates import run
from fuzz.trees import Node, changed, leaf, parent, parse, paths, raw

MAX_AGE = 86_400.0


@dataclass(frozen=True, slots=True)
class Made:
    """`is_authentic`: signed by an authority that may."""

    der: bytes
    is_authentic: bool


class Lists:
    """Revocation lists."""

    name = "crls"
    at_least: Mapping[str, float] = {"read": 0.4, "judged": 0.3, "revoked": 0.05}
    most_cpu = 0.040

    def make(self, rng: Random) -> Made:
        return _made(rng, rng.choice(_LISTS), _mutated_list)

    def show(self, made: Made) -> tuple[bytes, ...]:
        return (made.der,)

    def feed(self, made: Made) -> tuple[Sequence[RevocationList], Finding | None]:
        try:
            lists = read_lists(made.der)
        except BadList:
            return (), None
        # As trust.revocation does: only what somebody of that name signed is judged.
        believed = [each for each in lists if each.issuer == _ISSUER and each.is_signed_by(_ROOT.spki_der)]
        if not believed:
            return lists, None
        fresh = [each for each in believed if each.says_good and each.this_update <= NOW < each.ends_at(MAX_AGE)]
        return lists, run(judge(_PATH, Evidence(fresh), Evidence(believed), NOW))

    def check(self, made: Made, fed: tuple[Sequence[RevocationList], Finding | None], rng: Random) -> set[str]:
        lists, finding = fed
        for each in lists:
            assert each.entries >= 0
            assert each.size <= len(made.der)
        if finding is None:
            return {"read"} if lists else set()
        assert made.is_authentic, "believed, and nobody signed it"
        serial = leaf(0x02, _LEAF.parsed.serial_number.to_bytes(16)).encoded
        assert finding.standing is not Standing.REVOKED or serial in made.der, "revoked, and not in the list"
        return {"read", "judged", finding.standing.value}


class Answers:
    """Answers of OCSP responders."""

    name = "answers"
    at_least: Mapping[str, float] = {"read": 0.25, "good": 0.05, "revoked": 0.05}
    most_cpu = 0.040

    def make(self, rng: Random) -> Made:
        return _made(rng, rng.choice(_ANSWERS), _mutated_answer)

    def show(self, made: Made) -> tuple[bytes, ...]:
        return (made.der,)

    def feed(self, made: Made) -> Finding | None:
        try:
            answer = read_answer(made.der, _QUESTION, max_age=MAX_AGE, now=NOW)
        except BadAnswer:
            return None
        evidence = Evidence(answers=[answer])
        return run(judge(_PATH, evidence, evidence, NOW))  # type: ignore[no-any-return]

    def check(self, made: Made, fed: Finding | None, rng: Random) -> set[str]:
        if fed is None:
            return set()
        assert made.is_authentic or fed.standing is Standing.UNKNOWN, "believed, and nobody signed it"
        return {"read", fed.standing.value}


def _made(rng: Random, good: bytes, change: Any) -> Made:
    """Mutated and signed again by the authority, by another of its name, or mutated afterwards."""
    match rng.randrange(10):
        case 0:
            der = change(rng, good, corpus.STRANGER)
            return Made(der, is_authentic=all(part in der for part in _signed(good)))
        case 1:
            changed_later = bytearray(good)
            changed_later[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
            der = bytes(changed_later)
            # Certificates in an answer are no part of what is signed.
            return Made(der, is_authentic=all(part in der for part in _signed(good)))
        case _:
            return Made(change(rng, good, corpus.ROOT), is_authentic=True)


def _mutated_list(rng: Random, good: bytes, issuer: corpus.Issuer) -> bytes:
    children = parse(good).children or ()
    tree = _mutated(rng, children[0])
    return corpus.assemble(tree.encoded, issuer.algorithm.encoded, issuer.sign(tree.encoded))


def _mutated_answer(rng: Random, good: bytes, issuer: corpus.Issuer) -> bytes:
    """RFC 6960 section 4.2.1: what is signed, or now and then what stands around it."""
    outer = parse(good)
    if rng.random() < 0.1:
        return _mutated(rng, outer).encoded
    return _signed_again(outer, _mutated(rng, _node(outer, (*_BASIC, 0))), issuer)


def _signed_again(outer: Node, tree: Node, issuer: corpus.Issuer) -> bytes:
    signature = leaf(0x03, b"\0" + issuer.sign(tree.encoded))

    def again(basic: Node) -> list[Node]:
        return [parent(0x30, [raw(tree.encoded), issuer.algorithm, signature, *(basic.children or ())[3:]])]

    return changed(outer, _BASIC, again).encoded


def _signed(good: bytes) -> tuple[bytes, bytes]:
    """What is signed, and the signature."""
    outer = parse(good)
    parts = (outer if outer.children and len(outer.children) == 3 else _node(outer, _BASIC)).children or ()
    return parts[0].encoded, parts[2].content[1:]


def _mutated(rng: Random, tree: Node) -> Node:
    where = [path for path in paths(tree) if path]
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
        tree = changed(tree, rng.choice(where), lambda node: mutate(rng, node, corpus.splices()))
    return tree


def _node(node: Node, path: Sequence[int]) -> Node:
    for index in path:
        assert node.children
        node = node.children[index]
    return node


def _certificate() -> Certificate:
    tree = corpus.seeds_of(corpus.ROOT)[0].tree
    return read_certificate(
        corpus.assemble(tree.encoded, corpus.ROOT.algorithm.encoded, corpus.ROOT.sign(tree.encoded))
    )


def _list(*extensions: tuple[x509.ExtensionType, bool], entries: Sequence[x509.RevokedCertificate]) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(corpus.ROOT.certificate.subject)
        .last_update(TODAY - timedelta(hours=1))
        .next_update(TODAY + timedelta(days=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(corpus.ROOT.private_key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def _entry(serial: int, *extensions: tuple[x509.ExtensionType, bool]) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(TODAY - timedelta(hours=2))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.build()


def _answer(status: ocsp.OCSPCertStatus, *, nonce: bool) -> bytes:
    is_revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            _LEAF.parsed, corpus.ROOT.certificate, hashes.SHA1(), status, TODAY - timedelta(hours=1),
            TODAY + timedelta(hours=1), TODAY - timedelta(hours=2) if is_revoked else None,
            x509.ReasonFlags.key_compromise if is_revoked else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, corpus.ROOT.certificate)
        .certificates([corpus.ROOT.certificate, corpus.INTERMEDIATE.certificate])
    )  # fmt: skip
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(_QUESTION.nonce), critical=False)
    outer = parse(builder.sign(corpus.ROOT.private_key, hashes.SHA256()).public_bytes(Encoding.DER))
    # The library writes the time of day, and its signatures are never alike.
    produced = leaf(0x18, f"{TODAY:%Y%m%d%H%M%S}Z".encode())
    tree = _node(outer, (*_BASIC, 0))
    [at] = [path for path in paths(tree) if len(path) == 1 and _node(tree, path).tag == 0x18]
    return _signed_again(outer, changed(tree, at, lambda _: [produced]), corpus.ROOT)


_BASIC = (1, 0, 1, 0)
"""Where BasicOCSPResponse stands in an OCSPResponse."""
_ROOT, _LEAF = corpus.read_issuer(corpus.ROOT), _certificate()
_PATH = (_LEAF, _ROOT)
_ISSUER = issuer_name(_ROOT.subject_der)
_QUESTION = Question(_LEAF, b"", corpus.secret("nonce"))
_NUMBER: tuple[x509.ExtensionType, bool] = (x509.CRLNumber(7), False)
_AUTHORITY_KEY: tuple[x509.ExtensionType, bool] = (
    x509.AuthorityKeyIdentifier.from_issuer_public_key(corpus.ROOT.certificate.public_key()), False
)  # fmt: skip
_POINT = x509.IssuingDistributionPoint(corpus._FULL_NAME, None, False, False, None, False, False)
_OWN, _OTHERS = _entry(_LEAF.parsed.serial_number), [_entry(number) for number in range(1, 40)]
_LISTS = (
    _list(_NUMBER, _AUTHORITY_KEY, entries=[]),
    _list(_NUMBER, _AUTHORITY_KEY, entries=[*_OTHERS, _OWN]),
    _list(_NUMBER, _AUTHORITY_KEY, entries=_OTHERS),
    _list(_NUMBER, (_POINT, True), entries=[_OWN]),
    _list(_NUMBER, (x509.DeltaCRLIndicator(6), True), entries=[_OWN]),
    _list(
        _NUMBER,
        entries=[
            _entry(5, (x509.CertificateIssuer([x509.DirectoryName(corpus.TWIN.certificate.subject)]), True)),
            _entry(_LEAF.parsed.serial_number, (x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)),
        ],
    ),
)
_ANSWERS = tuple(
    _answer(status, nonce=nonce)
    for status in (ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN)
    for nonce in (False, True)
)
