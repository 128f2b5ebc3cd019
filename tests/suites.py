"""Two suites of others as one shape, what our whole trust path says of each case, and what the reference says of it."""

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core.certificate import Certificate, PeerCertificate, read_certificate
from certbound.core.errors import BadCertificate, Untrusted
from certbound.trust.anchors import Anchors
from certbound.trust.chains import MAX_DEPTH, verify_chain
from certbound.trust.crl_frames import BadList
from certbound.trust.crls import read_lists
from certbound.trust.revocation import Revocation

ROOT = Path(__file__).parents[1]
WHEN = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
"""Where a case says nothing: every certificate that is meant to be valid is."""


@dataclass(frozen=True, eq=False)
class Case:
    name: str
    is_valid: bool
    leaf: bytes
    sent: Sequence[bytes]
    anchors: Sequence[bytes]
    now: float = WHEN
    max_depth: int = MAX_DEPTH
    lists: Sequence[bytes] = ()
    """Revocation lists; without any, nobody is asked."""
    signers: Sequence[bytes] = ()
    """Who may have signed them and is sent by nobody."""
    applies: bool = True
    """Neither of the Web PKI alone, nor marked pedantic by its authors."""


def limbo() -> Iterator[Case]:
    """x509-limbo and BetterTLS, made again for clients."""
    text = gzip.decompress((ROOT / "tests/vectors/limbo-client.json.gz").read_bytes())
    for each in json.loads(text)["testcases"]:
        now, depth = each["validation_time"], each["max_chain_depth"]
        yield Case(
            name=each["id"],
            is_valid=each["expected_result"] == "SUCCESS",
            leaf=_der(each["peer_certificate"]),
            sent=[_der(pem) for pem in each["untrusted_intermediates"]],
            anchors=[_der(pem) for pem in each["trusted_certs"]],
            now=datetime.fromisoformat(now).timestamp() if now else WHEN,
            max_depth=MAX_DEPTH if depth is None else depth,
            lists=[x509.load_pem_x509_crl(pem.encode()).public_bytes(Encoding.DER) for pem in each["crls"]],
            applies=not each["id"].startswith("webpki::") and "pedantic" not in "".join(each["features"] or ()),
        )


def pkits() -> Iterator[Case]:
    """NIST PKITS: for each end entity all that a chase of names can reach, and all lists that can be read."""
    data = files("cryptography_vectors") / "x509" / "PKITS_data"
    named = {each.name: each.read_bytes() for each in (data / "crls").iterdir() if each.name.endswith(".crl")}
    lists = [der for _, der in sorted(named.items()) if _is_readable(der)]
    found = {each.name.removesuffix(".crt"): each.read_bytes() for each in (data / "certs").iterdir()}
    root = found.pop("TrustAnchorRootCertificate")
    parsed = {name: asn1_x509.Certificate.load(der) for name, der in sorted(found.items())}
    authorities: dict[str, list[str]] = {}
    for name, certificate in parsed.items():
        if not _END_ENTITY.match(name):
            authorities.setdefault(certificate.subject.hashable, []).append(name)
    for name, certificate in parsed.items():
        if _END_ENTITY.match(name):
            reached: dict[str, None] = {}
            waiting = [certificate.issuer.hashable]
            while waiting:
                for each in authorities.get(waiting.pop(), ()):
                    if each not in reached:
                        reached[each] = None
                        waiting.append(parsed[each].issuer.hashable)
            signers = [each for issuer in _list_issuers(certificate) for each in authorities.get(issuer, ())]
            yield Case(
                name=name,
                is_valid=name.startswith("Valid"),
                leaf=found[name],
                sent=[found[each] for each in reached],
                anchors=[root],
                lists=lists,
                signers=[found[each] for each in signers],
            )


async def refusal(case: Case, revocation: Revocation | None) -> str | None:
    """Why the whole of our trust path refuses; None if it accepts."""
    try:
        peer = PeerCertificate(read_certificate(case.leaf), tuple(case.sent))
        anchors = Anchors(tuple(map(read_certificate, case.anchors)))
        chain = verify_chain(peer, anchors, case.now, max_depth=case.max_depth)
        if revocation is not None:
            await revocation.require_unrevoked(chain, case.now, list(_read(*case.sent, *case.signers)))
    except (BadCertificate, Untrusted) as error:
        return str(error) or "refused"
    return None


Verdicts = Mapping[Case, str | None]
"""Why we refuse, by case."""


@dataclass(frozen=True)
class Reference:
    """What `docs/reference/x509.md` says of one suite."""

    figures: dict[str, tuple[int, int, int]]
    """By row: right, falsely accepted, falsely refused."""
    differences: dict[str, str]
    """By case: `accepts` or `refuses`."""
    without_reason: list[str]


def reference(suite: str) -> Reference:
    """The section of that suite."""
    text = (ROOT / "docs/reference/x509.md").read_text()
    section = text.partition(f"\n## {suite}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    numbers = {row[0]: row[1:4] for row in rows if len(row) == 4 and row[1].replace(",", "").isdigit()}
    listed = [row for row in rows if row[0].startswith("`")]
    return Reference(
        {name: tuple(int(cell.replace(",", "")) for cell in cells) for name, cells in numbers.items()},
        {row[0].strip("`"): row[1] for row in listed},
        [row[0] for row in listed if len(row) != 3 or len(row[2]) < 10],
    )


def counted(verdicts: Verdicts) -> tuple[int, int, int]:
    """Right, falsely accepted, falsely refused."""
    wrong = [case for case, refused in verdicts.items() if case.is_valid == (refused is not None)]
    refused = sum(case.is_valid for case in wrong)
    return len(verdicts) - len(wrong), len(wrong) - refused, refused


def differences(verdicts: Verdicts) -> dict[str, str]:
    """By case: what we do against what is expected."""
    return {
        case.name: "refuses" if case.is_valid else "accepts"
        for case, refused in verdicts.items()
        if case.is_valid == (refused is not None)
    }


def _der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)


def _read(*ders: bytes) -> Iterator[Certificate]:
    for der in ders:
        try:
            yield read_certificate(der)
        except BadCertificate:
            continue


def _list_issuers(certificate: Any) -> Iterator[str]:
    for point in certificate.crl_distribution_points_value or ():
        for each in point["crl_issuer"] or ():
            yield each.chosen.hashable


def _is_readable(der: bytes) -> bool:
    try:
        read_lists(der)
    except BadList:
        return False
    return True


_END_ENTITY = re.compile(r"(Valid|Invalid).*EE$")
