"""certbound.trust.ocsp, .responders and .judgement: who is asked, and what is taken for an answer (RFC 6960)."""

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.errors import Untrusted
from certbound.core.revoked import RevocationMode
from certbound.trust.authority import Authority, Issued, published_at
from certbound.trust.judgement import Evidence, Standing, judge
from certbound.trust.ocsp import BadAnswer, ask, read_answer
from certbound.trust.revocation import Revocation
from certificates import NOW, TODAY, read, tlv
from revoking import Clock, answer, chain, crl, nonce_of, published, revocation
from speed import cpu
from trust.test_revocation import standing

ROOT = Authority.create("Root", now=TODAY)
OTHER = Authority.create("Other", now=TODAY)
TWIN = Authority.create("Root", now=TODAY)
RSA = Authority.create("RSA", now=TODAY, key="RSA-2048")
LEAF = ROOT.issue("CN=leaf", now=TODAY)
SECOND = ROOT.issue("CN=second", now=TODAY)
MIDDLE = ROOT.subordinate("Middle", now=TODAY)
BELOW = MIDDLE.issue("CN=below", now=TODAY)

SIGNS_OCSP = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)
NO_CHECK = (x509.OCSPNoCheck(), False)


def responder(authority: Authority = ROOT, *, signs: bool = True, days: float = 30) -> Issued:
    """A certificate that `authority` gave to somebody who answers for it."""
    extensions = [*([SIGNS_OCSP] if signs else []), NO_CHECK]
    return authority.issue("CN=responder", now=TODAY, usage="none", extensions=extensions, days=days)


@contextlib.contextmanager
def answering(respond: Callable[[bytes], bytes | None] | bytes | None, **settings: Any) -> Iterator[Revocation]:
    """A responder at a URL that is configured."""
    with published() as there:
        there.at["/"] = respond
        yield revocation("hard", ocsp=[f"{there.url}/"], **settings)


async def said(der: bytes, *path: Issued | Authority, now: float = NOW) -> str:
    """What is known of a path if every question gets this answer."""
    with answering(der, clock=Clock(now)) as asked:
        return await standing(asked, *(path or (LEAF, ROOT)), now=now)


async def test_the_authority_answers_itself() -> None:
    """Good is good, revoked is revoked; in `soft` and in `hard`."""
    assert "good" == await said(answer(ROOT, LEAF))
    assert "revoked" == await said(answer(ROOT, LEAF, revoked=True))


async def test_the_question_names_the_certificate_and_has_a_nonce() -> None:
    """Issuer and serial number, and 32 bytes that nobody used before."""
    with published() as there:
        questions: list[bytes] = []

        def respond(body: bytes) -> bytes | None:
            questions.append(body)
            return None

        there.at["/"] = respond
        for _ in range(2):
            await standing(revocation("hard", ocsp=[f"{there.url}/"]), LEAF, ROOT)
    parsed = [ocsp.load_der_ocsp_request(each) for each in questions]
    assert {each.serial_number for each in parsed} == {LEAF.certificate.serial_number}
    nonces = {nonce_of(each) for each in questions}
    assert len(nonces) == len(questions) == 2
    assert {len(each) for each in nonces} == {32}


async def test_nonces() -> None:
    """One that comes back is ours; an answer without one counts by its times."""
    assert "good" == await said(answer(ROOT, LEAF, nonce=None))
    assert "unknown" == await said(answer(ROOT, LEAF, nonce=b"n" * 32))
    with answering(lambda question: answer(ROOT, LEAF, nonce=nonce_of(question))) as asked:
        assert "good" == await standing(asked, LEAF, ROOT)


async def test_an_answer_to_an_earlier_question() -> None:
    """Replayed with its nonce, it answers nothing: a good one cannot be brought back after a revocation."""
    seen: list[bytes] = []

    def respond(question: bytes) -> bytes:
        seen.append(answer(ROOT, LEAF, nonce=nonce_of(question)))
        return seen[0]

    clock = Clock()
    with answering(respond, clock=clock, max_age=60) as asked:
        assert "good" == await standing(asked, LEAF, ROOT)
        asked._verdicts.clear()
        asked._responders._answers.clear()
        assert "unknown" == await standing(asked, LEAF, ROOT)
        assert len(seen) == 2


@pytest.mark.parametrize(
    ("about", "expected"), [(SECOND, "unknown"), (OTHER.issue("CN=leaf", now=TODAY), "unknown"), (LEAF, "good")]
)
async def test_an_answer_about_another_certificate(about: Issued, expected: str) -> None:
    """It says nothing about the one that was asked about."""
    assert expected == await said(answer(ROOT, about))


async def test_an_answer_about_the_serial_number_of_another_issuer() -> None:
    """The same number under another authority is another certificate."""
    assert "unknown" == await said(answer(ROOT, LEAF, issuer=OTHER))


async def test_answers_that_are_old_or_from_the_future() -> None:
    """nextUpdate ends an answer; without one, `max_age` does; five minutes of skew are allowed ahead."""
    hour = timedelta(hours=1)
    assert "unknown" == await said(answer(ROOT, LEAF, at=TODAY - 2 * hour, minutes=60))
    assert "good" == await said(answer(ROOT, LEAF, at=TODAY - 2 * hour, minutes=180))
    assert "unknown" == await said(answer(ROOT, LEAF, at=TODAY - 2 * hour, minutes=None))
    assert "good" == await said(answer(ROOT, LEAF, at=TODAY - hour / 2, minutes=None))
    assert "unknown" == await said(answer(ROOT, LEAF, at=TODAY + timedelta(minutes=6)))
    assert "good" == await said(answer(ROOT, LEAF, at=TODAY + timedelta(minutes=4)))


async def test_a_delegated_responder() -> None:
    """Issued by the authority itself, for OCSP signing, valid now."""

    async def by(signer: Issued, *sent: x509.Certificate, now: float = NOW) -> str:
        at = TODAY + timedelta(seconds=now - NOW)
        return await said(answer(ROOT, LEAF, signer=signer, certificates=sent, at=at), now=now)

    good = responder()
    assert "good" == await by(good, good.certificate)
    assert "unknown" == await by(good)
    without = responder(signs=False)
    assert "unknown" == await by(without, without.certificate)
    assert "unknown" == await by(LEAF, LEAF.certificate)
    foreign = responder(OTHER)
    assert "unknown" == await by(foreign, foreign.certificate, OTHER.certificate)
    twin = responder(TWIN)
    assert "unknown" == await by(twin, twin.certificate, TWIN.certificate)
    brief = responder(days=1)
    assert "good" == await by(brief, brief.certificate)
    assert "unknown" == await by(brief, brief.certificate, now=NOW + 2 * 86400)


async def test_an_answer_of_another_authority() -> None:
    """Nor may the issuer of the issuer answer, nor a namesake."""
    assert "unknown" == await said(answer(ROOT, LEAF, signer=OTHER, certificates=[OTHER.certificate]))
    assert "unknown" == await said(answer(ROOT, LEAF, signer=TWIN, certificates=[TWIN.certificate]))
    signed = answer(MIDDLE, BELOW, signer=ROOT, certificates=[ROOT.certificate])
    with answering(signed) as asked:
        assert "unknown" == await standing(asked, BELOW, MIDDLE, ROOT)


async def test_a_responder_whose_certificate_imitates_the_issuers() -> None:
    """Name, serial number and signature bytes of the issuer's certificate, the key of somebody else.

    The library compares these and no more.
    """
    own = ROOT.certificate.public_bytes(Encoding.DER)
    forged = own.replace(
        ROOT.certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        OTHER.certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    )
    imitation = Authority(x509.load_der_x509_certificate(forged), OTHER.private_key)
    assert imitation.certificate.signature == ROOT.certificate.signature
    assert "unknown" == await said(answer(ROOT, LEAF, signer=imitation, certificates=[imitation.certificate]))
    assert "unknown" == await said(
        answer(ROOT, LEAF, signer=imitation, certificates=[imitation.certificate], revoked=True)
    )


async def test_a_responder_that_may_be_revoked_itself(tmp_path: Path) -> None:
    """Without id-pkix-ocsp-nocheck its own status has to be known; a list of the issuer says it."""
    signer = ROOT.issue("CN=responder", now=TODAY, usage="none", extensions=[SIGNS_OCSP, named("responders")])
    leaf = ROOT.issue("CN=leaf", now=TODAY, extensions=[named("clients")])
    good, revoked = (answer(ROOT, leaf, signer=signer, certificates=[signer.certificate], revoked=r) for r in (0, 1))
    assert "unknown" == await said(good, leaf, ROOT)
    assert "revoked" == await said(revoked, leaf, ROOT)
    # This list is about responders alone.
    scope = x509.IssuingDistributionPoint(place("responders"), None, False, False, None, False, False)
    file = tmp_path / "responders.crl"
    for listed, expected in (((), "good"), ((signer,), "unknown")):
        file.write_bytes(crl(ROOT, *listed, extensions=[(scope, True)]))
        with answering(good, crls=[file]) as asked:
            assert expected == await standing(asked, leaf, ROOT)


def place(name: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(f"http://crl.example/{name}")]


def named(name: str) -> tuple[x509.CRLDistributionPoints, bool]:
    return x509.CRLDistributionPoints([x509.DistributionPoint(place(name), None, None, None)]), False


async def test_a_weak_hash_signs_no_answer() -> None:
    """SHA-1 can be made to collide."""
    leaf = RSA.issue("CN=leaf", now=TODAY)
    assert "good" == await said(answer(RSA, leaf), leaf, RSA)
    whole = answer(RSA, leaf)
    sha1, sha256 = bytes.fromhex("2a864886f70d010105"), bytes.fromhex("2a864886f70d01010b")
    basic = ocsp.load_der_ocsp_response(whole)
    signature = RSA.private_key.sign(basic.tbs_response_bytes, padding.PKCS1v15(), SHA1())
    forged = whole.replace(sha256, sha1).replace(basic.signature, signature)
    assert forged != whole
    assert "unknown" == await said(forged, leaf, RSA)


@pytest.mark.parametrize("status", [each for each in ocsp.OCSPResponseStatus if each.name != "SUCCESSFUL"])
async def test_refusals_are_no_answers(status: ocsp.OCSPResponseStatus) -> None:
    """tryLater, unauthorized and the like."""
    refusal = ocsp.OCSPResponseBuilder.build_unsuccessful(status)
    assert "unknown" == await said(refusal.public_bytes(Encoding.DER))


@pytest.mark.parametrize("body", [b"", b"garbage", b"\x30\x80", b"\x30\x03\x0a\x01\x00", None])
async def test_what_is_no_response(body: bytes | None) -> None:
    """Nothing, garbage, a success without an answer, an HTTP error."""
    with answering(body) as asked:
        assert "unknown" == await standing(asked, LEAF, ROOT)


GOOD = answer(ROOT, LEAF)
QUESTION = ask(read(LEAF), read(ROOT))


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=2))
def test_damage_never_becomes_an_answer(place: int, noise: bytes) -> None:
    """No byte can be changed so that it is believed; no exception leaves."""
    damaged = GOOD[:place] + noise + GOOD[place + len(noise) :]
    try:
        found = read_answer(damaged, QUESTION, max_age=3600, now=NOW)
    except BadAnswer:
        return
    evidence = Evidence(answers=[found])
    finding = asyncio.run(judge([read(LEAF), read(ROOT)], evidence, evidence, NOW))
    # What is not signed says nothing: the certificates beside the answer, and how its status is spelled.
    assert finding.standing is Standing.UNKNOWN or found.der == GOOD or _signed(found.der) == _signed(GOOD)


def _signed(der: bytes) -> tuple[bytes, bytes]:
    parsed = ocsp.load_der_ocsp_response(der)
    return parsed.tbs_response_bytes, parsed.signature


async def test_every_certificate_is_asked_about() -> None:
    """The leaf's issuer and the intermediate's answer for themselves, each to its own question."""
    revoked: set[int] = set()

    def respond(question: bytes) -> bytes:
        serial = ocsp.load_der_ocsp_request(question).serial_number
        asked_of, about = (MIDDLE, BELOW) if serial == BELOW.certificate.serial_number else (ROOT, MIDDLE)
        return answer(asked_of, about, revoked=serial in revoked, nonce=nonce_of(question))

    for gone, expected in ((None, "good"), (BELOW, "revoked"), (MIDDLE, "revoked")):
        revoked = set() if gone is None else {gone.certificate.serial_number}
        with answering(respond) as asked:
            assert expected == await standing(asked, BELOW, MIDDLE, ROOT)


async def test_responders_that_certificates_name() -> None:
    """Asked only if the deployment says so."""
    with published() as there:
        leaf = ROOT.issue("CN=leaf", now=TODAY, extensions=published_at(ocsp=[f"{there.url}/"]))
        there.at["/"] = answer(ROOT, leaf, revoked=True)
        assert "unknown" == await standing(revocation("hard"), leaf, ROOT)
        assert there.asked == []
        assert "revoked" == await standing(revocation("hard", from_certificates=True), leaf, ROOT)
        assert there.asked == ["/"]


async def test_the_next_responder_is_asked_if_one_has_no_answer() -> None:
    """In the order in which they are configured."""
    with published() as there:
        there.at.update({"/dead": None, "/foreign": answer(OTHER, LEAF), "/good": answer(ROOT, LEAF)})
        urls = [f"{there.url}/{each}" for each in ("dead", "foreign", "good", "never")]
        assert "good" == await standing(revocation("hard", ocsp=urls), LEAF, ROOT)
        assert there.asked == ["/dead", "/foreign", "/good"]


async def test_a_list_at_hand_comes_first(tmp_path: Path) -> None:
    """Nobody is asked what a current list says."""
    file = tmp_path / "ca.crl"
    with published() as there:
        for revoked, expected in (((), "good"), ((LEAF,), "revoked")):
            file.write_bytes(crl(ROOT, *revoked))
            assert expected == await standing(revocation("hard", crls=[file], ocsp=[there.url]), LEAF, ROOT)
        assert there.asked == []


async def test_an_answer_is_asked_for_again_and_an_old_one_does_for_a_while() -> None:
    """After `max_age`; if nobody answers then, until its nextUpdate; afterwards all is unknown."""
    clock = Clock()
    with published() as there:
        there.at["/"] = answer(ROOT, LEAF, minutes=60)
        asked = revocation("hard", ocsp=[f"{there.url}/"], max_age=600, clock=clock)
        trusted = await asked.require_unrevoked(chain(LEAF, ROOT), NOW)
        assert trusted.valid_until == NOW + 600
        assert len(there.asked) == 1
        there.at["/"] = None
        clock.now += 700
        assert "good" == await standing(asked, LEAF, ROOT, now=clock.now)
        assert len(there.asked) == 2
        clock.now += 3000
        assert "unknown" == await standing(asked, LEAF, ROOT, now=clock.now)
        there.at["/"] = answer(ROOT, LEAF, revoked=True, at=TODAY + timedelta(seconds=4000))
        clock.now += 400
        assert "revoked" == await standing(asked, LEAF, ROOT, now=clock.now)


async def test_a_known_revocation_outlives_its_answer() -> None:
    """When nobody answers any more, who was revoked stays it, in `soft` too; an older "good" brings nobody back."""
    clock = Clock()
    with published() as there:
        there.at["/"] = answer(ROOT, LEAF, revoked=True, minutes=10)
        asked = revocation("soft", ocsp=[f"{there.url}/"], max_age=60, clock=clock)
        assert "revoked" == await standing(asked, LEAF, ROOT)
        there.at["/"] = None
        clock.now += 3600
        assert "revoked" == await standing(asked, LEAF, ROOT, now=clock.now)
        there.at["/"] = answer(ROOT, LEAF, at=TODAY - timedelta(hours=1), minutes=600)
        clock.now += 3600
        assert "revoked" == await standing(asked, LEAF, ROOT, now=clock.now)


async def test_a_dead_responder_is_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """One request pays, the others do not; the log says it once, and when it is back."""
    clock = Clock()
    with published() as there:
        asked = revocation("soft", ocsp=[f"{there.url}/"], clock=clock)
        for leaf in (LEAF, SECOND):
            assert (await asked.require_unrevoked(chain(leaf, ROOT), NOW)).path
        assert len(there.asked) == 1
        there.at["/"] = answer(ROOT, LEAF)
        clock.now += 20
        assert "good" == await standing(asked, LEAF, ROOT, now=clock.now)
        [status] = asked.statuses()
        assert (status.failures, status.age(clock.now)) == (0, 0)
    assert [each.levelname for each in caplog.records] == ["ERROR", "WARNING"]


async def test_many_ask_once() -> None:
    """At once, about one certificate, one question goes out."""
    with published() as there:

        def slowly(_: bytes) -> bytes:
            time.sleep(0.2)
            return answer(ROOT, LEAF)

        there.at["/"] = slowly
        asked = revocation("hard", ocsp=[f"{there.url}/"])
        await asyncio.gather(*(asked.require_unrevoked(chain(LEAF, ROOT), NOW) for _ in range(20)))
        assert there.asked == ["/"]


async def test_nobody_waits_long_in_soft(monkeypatch: pytest.MonkeyPatch) -> None:
    """A responder that does not answer holds a request for the stated time; what it says later is known then."""
    monkeypatch.setattr("certbound.trust.revocation.PATIENCE", 0.1)
    with published() as there:

        def slowly(_: bytes) -> bytes:
            time.sleep(0.5)
            return answer(ROOT, LEAF, revoked=True)

        there.at["/"] = slowly
        asked = revocation("soft", ocsp=[f"{there.url}/"])
        began = time.monotonic()
        assert (await asked.require_unrevoked(chain(LEAF, ROOT), NOW)).valid_until == NOW + 10
        assert time.monotonic() - began < 0.4
        await asyncio.sleep(0.7)
        with pytest.raises(Untrusted, match="revoked"):
            await asked.require_unrevoked(chain(LEAF, ROOT), NOW + 11)
        assert there.asked == ["/"]


async def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In number and in bytes."""
    monkeypatch.setattr("certbound.trust.responders.MOST_ANSWERS", 2)
    leaves = [ROOT.issue("CN=leaf", now=TODAY) for _ in range(4)]
    by_serial = {each.certificate.serial_number: each for each in leaves}

    def respond(question: bytes) -> bytes:
        return answer(ROOT, by_serial[ocsp.load_der_ocsp_request(question).serial_number])

    with answering(respond) as asked:
        for each in leaves:
            assert "good" == await standing(asked, each, ROOT)
        assert len(asked._responders._answers) == 2
    assert "unknown" == await said(answer(ROOT, LEAF, certificates=[ROOT.certificate] * 200))


async def test_an_answer_full_of_certificates_costs_little() -> None:
    """A hundred of them: the first four are looked at."""
    good = responder()
    der = answer(ROOT, LEAF, signer=good, certificates=[*[OTHER.certificate] * 99, good.certificate])
    began = time.process_time()
    assert "unknown" == await said(der)
    assert time.process_time() - began < cpu(1)


@contextlib.contextmanager
def openssl_ocsp(directory: Path, authority: Authority, signer: Issued | Authority, index: str) -> Iterator[str]:
    """`openssl ocsp` on loopback, for an index of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (directory / "ca.pem").write_bytes(authority.certificate_pem)
    (directory / "signer.pem").write_bytes(signer.certificate_pem)
    (directory / "signer.key").write_bytes(signer.key_pem)
    (directory / "index.txt").write_text(index)
    arguments = ["-index", "index.txt", "-CA", "ca.pem", "-rsigner", "signer.pem", "-rkey", "signer.key"]
    process = subprocess.Popen(
        ["openssl", "ocsp", "-port", str(port), *arguments, "-nmin", "5"],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        # A connection without a question would keep it busy; it says when it listens.
        assert b"ACCEPT" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def index_of(**certificates: Issued) -> str:
    """The text database of `openssl ca`: `good=` and `revoked=`."""
    now = datetime.now(UTC)
    ends = (now + timedelta(days=90)).strftime("%y%m%d%H%M%SZ")
    lines = []
    for name, issued in certificates.items():
        serial = f"{issued.certificate.serial_number:X}"
        serial = serial.zfill(len(serial) + len(serial) % 2)
        revoked = "" if name == "good" else (now - timedelta(hours=1)).strftime("%y%m%d%H%M%SZ")
        lines.append(f"{'R' if revoked else 'V'}\t{ends}\t{revoked}\t{serial}\tunknown\t/CN={name}\n")
    return "".join(lines)


@pytest.mark.peers
@pytest.mark.parametrize("delegated", [False, True], ids=["itself", "delegated"])
async def test_openssl_answers(tmp_path: Path, delegated: bool) -> None:
    """A real responder: good, revoked and never heard of; and when it is gone, soft passes and hard refuses."""
    authority = Authority.create("Root")
    good, revoked, unheard = (authority.issue(f"CN={each}") for each in ("good", "revoked", "unheard"))
    named = authority.issue("CN=responder", usage="none", extensions=[SIGNS_OCSP, NO_CHECK])
    signer = named if delegated else authority
    now = time.time()
    with openssl_ocsp(tmp_path, authority, signer, index_of(good=good, revoked=revoked)) as url:
        asked = revocation("hard", ocsp=[url], clock=time.time)
        for each, expected in ((good, "good"), (revoked, "revoked"), (unheard, "unknown")):
            assert expected == await standing(asked, each, authority, now=now)
    for mode in ("soft", "hard"):
        asked = revocation(mode, ocsp=[url], clock=time.time)
        with contextlib.nullcontext() if mode == "soft" else pytest.raises(Untrusted, match="nobody says"):
            await asked.require_unrevoked(chain(good, authority), now)
    assert RevocationMode("hard") is asked.mode


async def test_a_responder_without_an_answer_is_not_asked_on_every_request() -> None:
    """About that certificate, for a minute; about others it is."""
    clock = Clock()
    with published() as there:
        there.at["/"] = answer(ROOT, SECOND)
        asked = revocation("hard", ocsp=[f"{there.url}/"], clock=clock)
        assert "unknown" == await standing(asked, LEAF, ROOT)
        clock.now += 30
        assert "unknown" == await standing(asked, LEAF, ROOT, now=clock.now)
        assert len(there.asked) == 1
        assert "good" == await standing(asked, SECOND, ROOT, now=clock.now)
        there.at["/"] = answer(ROOT, LEAF)
        clock.now += 31
        assert "good" == await standing(asked, LEAF, ROOT, now=clock.now)


@pytest.mark.parametrize("revoked", [False, True])
async def test_an_answer_about_what_cannot_be_decoded(revoked: bool) -> None:
    """A certificate that the library cannot decode stays revoked, and is not cleared."""
    broken = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.16"), b"\x30\x03\x02\x01")
    leaf = ROOT.issue("CN=broken", now=TODAY, extensions=[(broken, False)])
    assert ("revoked" if revoked else "unknown") == await said(answer(ROOT, leaf, revoked=revoked), leaf, ROOT)


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://a b/", "http://a:99999/", "http://\u00fc\x00/", "http://", "http://" + "a" * 5000]
)
async def test_odd_urls_in_certificates_are_no_places(url: str) -> None:
    """They leave the certificate unknown; nothing is raised but that."""
    try:
        leaf = ROOT.issue("CN=odd", now=TODAY, extensions=published_at(crls=[url], ocsp=[url]))
    except ValueError:  # `cryptography` writes no such name: as the certificate's own bytes
        content = url.encode()
        access = tlv(0x30, tlv(0x30, bytes.fromhex("06082b06010505073001") + tlv(0x86, content)))
        odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.1"), access)
        leaf = ROOT.issue("CN=odd", now=TODAY, extensions=[(odd, False)])
    asked = revocation("hard", from_certificates=True)
    assert "unknown" == await standing(asked, leaf, ROOT)
    await asked._crls.close()


async def test_a_revocation_is_not_forgotten_when_it_is_time_to_ask_again(tmp_path: Path) -> None:
    """Though a list that came later, made before it, says good: the responder is asked, and what it said counts."""
    clock = Clock()
    file = tmp_path / "ca.crl"
    file.write_bytes(crl(OTHER))
    with published() as there:
        there.at["/"] = answer(ROOT, LEAF, revoked=True)
        asked = revocation("hard", ocsp=[f"{there.url}/"], crls=[file], clock=clock, max_age=60)
        assert "revoked" == await standing(asked, LEAF, ROOT)
        file.write_bytes(crl(ROOT, at=TODAY - timedelta(hours=1)))
        await asked._crls.look()
        for _ in range(3):
            assert "revoked" == await standing(asked, LEAF, ROOT, now=clock.now)
            clock.now += 61
        there.at["/"] = answer(ROOT, LEAF, at=TODAY + timedelta(minutes=4))
        assert "good" == await standing(asked, LEAF, ROOT, now=clock.now)


async def test_a_forged_answer_beside_a_list_that_arrives_is_not_remembered(tmp_path: Path) -> None:
    """It made no difference, so nobody stood behind it; the genuine one is not taken for an older one."""
    file = tmp_path / "ca.crl"
    file.write_bytes(crl(OTHER))
    clock = Clock()
    with published() as there:
        asked = revocation("hard", ocsp=[f"{there.url}/"], crls=[file], clock=clock, max_age=60)

        def respond(_: bytes) -> bytes:
            file.write_bytes(crl(ROOT, days=0.001))
            asyncio.run_coroutine_threadsafe(asked._crls.look(), loop).result(5)
            return answer(TWIN, LEAF, at=TODAY + timedelta(minutes=4))

        loop = asyncio.get_running_loop()
        there.at["/"] = respond
        assert "good" == await standing(asked, LEAF, ROOT)
        assert asked._responders.remembered(read(LEAF), read(ROOT)) is None
        clock.now += 120
        there.at["/"] = answer(ROOT, LEAF, revoked=True)
        assert "revoked" == await standing(asked, LEAF, ROOT, now=clock.now)


async def test_a_responder_without_answers_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """One line for each kind of trouble, not one for each certificate."""
    with answering(answer(TWIN, LEAF)) as asked:
        for path in ((LEAF, ROOT), (SECOND, ROOT), (BELOW, MIDDLE, ROOT)):
            assert "unknown" == await standing(asked, *path)
    said = [each.message for each in caplog.records if "no answer" in each.message]
    assert len(said) == len({each.partition(" (")[0] for each in said}) <= 2
    assert any(read(LEAF).thumbprint in each for each in said)
