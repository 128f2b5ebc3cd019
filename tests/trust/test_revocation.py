"""certbound.trust.revocation: what the issuers of a trusted path have taken back (RFC 5280 section 6.3; R7)."""

import asyncio
import logging
import os
import resource
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core import _der
from certbound.core.certificate import Certificate
from certbound.core.errors import ConfigurationError, Untrusted
from certbound.core.proofs import TrustedChain
from certbound.trust.anchors import Anchors
from certbound.trust.authority import Authority, Issued, published_at
from certbound.trust.revocation import UNKNOWN_FOR, Revocation
from certbound.trust.verifier import Trust
from certificates import DAY, NOW, TODAY, read, tlv
from revoking import Clock, Published, chain, crl, published, resigned, revocation, v1, without_next_update

ROOT = Authority.create("Root", now=TODAY)
TWIN = Authority.create("Root", now=TODAY)
"""The same name, another key."""
MIDDLE = ROOT.subordinate("Middle", now=TODAY)
LEAF = ROOT.issue("CN=leaf", now=TODAY)
BELOW = MIDDLE.issue("CN=below", now=TODAY)
MODES = pytest.mark.parametrize("mode", ["soft", "hard"])

Outcome = str
"""good, revoked, or unknown."""


async def standing(
    asked: Revocation, *path: Issued | Authority, now: float = NOW, signers: Sequence[Certificate] = ()
) -> Outcome:
    """What is known of a path, whatever the mode makes of it."""
    outcomes = []
    for mode in ("soft", "hard"):
        asked.mode = type(asked.mode)(mode)
        try:
            await asked.require_unrevoked(chain(*path), now, signers)
            outcomes.append("good")
        except Untrusted as refusal:
            outcomes.append("revoked" if str(refusal).startswith("revoked") else "unknown")
    return {("good", "good"): "good", ("good", "unknown"): "unknown", ("revoked", "revoked"): "revoked"}[
        outcomes[0], outcomes[1]
    ]


@pytest.fixture
def listing(tmp_path: Path) -> Callable[..., Revocation]:
    """Revocation by lists in files."""

    def make(*lists: bytes, **settings: object) -> Revocation:
        files = [tmp_path / f"{position}.crl" for position in range(len(lists))]
        for file, content in zip(files, lists, strict=True):
            file.write_bytes(content)
        return revocation("hard", crls=files, **settings)  # type: ignore[arg-type]

    return make


async def test_off_asks_nobody() -> None:
    """With `off`, the chain is what it was."""
    trusted = chain(LEAF, ROOT)
    assert await revocation("off").require_unrevoked(trusted, NOW) is trusted


async def test_an_anchor_alone_has_no_issuer() -> None:
    """Who trusts a certificate itself has nobody to ask."""
    trusted = chain(ROOT)
    assert await revocation("hard").require_unrevoked(trusted, NOW) is trusted


@pytest.mark.parametrize("version", [1, 2])
async def test_a_private_ca_with_a_list_and_no_distribution_point(
    listing: Callable[..., Revocation], version: int
) -> None:
    """The commonest case: the certificate names nothing, the list counts all the same."""
    for revoked, expected in (((), "good"), ((LEAF,), "revoked"), ((7,), "good")):
        der = crl(ROOT, *revoked)
        assert expected == await standing(listing(v1(der, ROOT) if version == 1 else der), LEAF, ROOT)


async def test_without_a_list_nothing_is_known(listing: Callable[..., Revocation]) -> None:
    """Unknown passes in `soft` and is refused in `hard`."""
    assert "unknown" == await standing(listing(), LEAF, ROOT)
    assert "unknown" == await standing(listing(crl(MIDDLE)), LEAF, ROOT)


@pytest.mark.parametrize(
    ("of_root", "of_middle", "expected"),
    [
        ((), (), "good"),
        ((), (BELOW,), "revoked"),
        ((MIDDLE,), (), "revoked"),
        ((MIDDLE,), None, "revoked"),
        ((), None, "unknown"),
        (None, (), "unknown"),
        (None, (BELOW,), "revoked"),
        ((BELOW,), (), "good"),
    ],
)
async def test_every_certificate_is_asked_about_for_itself(
    listing: Callable[..., Revocation], of_root: tuple[Authority] | None, of_middle: tuple[Issued] | None, expected: str
) -> None:
    """An unknown leaf hides no revoked intermediate, nor the other way round; a serial counts under its issuer only."""
    lists = [crl(authority, *each) for authority, each in ((ROOT, of_root), (MIDDLE, of_middle)) if each is not None]
    assert expected == await standing(listing(*lists), BELOW, MIDDLE, ROOT)


async def test_a_list_of_another_ca_of_the_same_name(listing: Callable[..., Revocation]) -> None:
    """It neither revokes nor clears, whatever else it is beside."""
    assert "unknown" == await standing(listing(crl(TWIN, LEAF)), LEAF, ROOT)
    assert "unknown" == await standing(listing(crl(TWIN)), LEAF, ROOT)
    assert "revoked" == await standing(listing(crl(TWIN), crl(ROOT, LEAF)), LEAF, ROOT)
    assert "good" == await standing(listing(crl(TWIN, LEAF), crl(ROOT)), LEAF, ROOT)


async def test_a_list_that_borrows_a_signature(listing: Callable[..., Revocation]) -> None:
    """Beside the genuine list, one with the same signature bytes and other entries: the library would believe it."""
    genuine, other = crl(ROOT, 7), crl(ROOT, LEAF)
    fields = [each.encoded for each in _der.read_all(_der.read(other).content)]
    *_, signature = _der.read_all(_der.read(genuine).content)
    borrowed = tlv(0x30, b"".join(fields[:2]) + signature.encoded)
    assert "good" == await standing(listing(genuine, borrowed), LEAF, ROOT)
    assert "good" == await standing(listing(borrowed, genuine), LEAF, ROOT)


async def test_an_expired_list(listing: Callable[..., Revocation]) -> None:
    """It clears nobody any more; whom it revoked stays revoked."""
    now = NOW + 8 * DAY
    assert "unknown" == await standing(listing(crl(ROOT), clock=Clock(now)), LEAF, ROOT, now=now)
    assert "revoked" == await standing(listing(crl(ROOT, LEAF), clock=Clock(now)), LEAF, ROOT, now=now)


async def test_a_list_from_the_future(listing: Callable[..., Revocation]) -> None:
    """Made more than five minutes from now, it clears nobody."""
    assert "unknown" == await standing(listing(crl(ROOT, at=TODAY + timedelta(minutes=6))), LEAF, ROOT)
    assert "good" == await standing(listing(crl(ROOT, at=TODAY + timedelta(minutes=4))), LEAF, ROOT)


async def test_a_revocation_dated_in_the_future(listing: Callable[..., Revocation]) -> None:
    """Who is listed is revoked, whatever the date beside it."""
    assert "revoked" == await standing(listing(crl(ROOT, LEAF, revoked_at=TODAY + timedelta(days=3))), LEAF, ROOT)


async def test_a_list_without_next_update(listing: Callable[..., Revocation]) -> None:
    """It counts for `max_age` from when it was made."""
    asked = listing(without_next_update(crl(ROOT), ROOT), max_age=60)
    assert "good" == await standing(asked, LEAF, ROOT, now=NOW + 59)
    assert "unknown" == await standing(asked, LEAF, ROOT, now=NOW + 61)


def point(**scope: object) -> x509.IssuingDistributionPoint:
    usual: dict[str, object] = {
        "full_name": None, "relative_name": None, "only_contains_user_certs": False, "only_contains_ca_certs": False,
        "only_some_reasons": None, "indirect_crl": False, "only_contains_attribute_certs": False,
    }  # fmt: skip
    return x509.IssuingDistributionPoint(**{**usual, **scope})  # type: ignore[arg-type]


COMPROMISE = frozenset({x509.ReasonFlags.key_compromise})
OTHERS = frozenset({
    x509.ReasonFlags.ca_compromise, x509.ReasonFlags.affiliation_changed, x509.ReasonFlags.superseded,
    x509.ReasonFlags.cessation_of_operation, x509.ReasonFlags.certificate_hold,
    x509.ReasonFlags.privilege_withdrawn, x509.ReasonFlags.aa_compromise,
})  # fmt: skip


@pytest.mark.parametrize(
    ("scopes", "clean", "listed"),
    [
        ([point(only_contains_user_certs=True)], "good", "revoked"),
        ([point(only_contains_ca_certs=True)], "unknown", "revoked"),
        ([point(only_contains_attribute_certs=True)], "unknown", "unknown"),
        ([point(only_some_reasons=COMPROMISE)], "unknown", "revoked"),
        ([point(only_some_reasons=COMPROMISE), point(only_some_reasons=OTHERS)], "good", "revoked"),
        ([point(full_name=[x509.UniformResourceIdentifier("http://a.example/1")])], "unknown", "revoked"),
        ([point(indirect_crl=True)], "good", "revoked"),
    ],
    ids=["users", "authorities", "attributes", "one-reason", "all-reasons-in-two", "another-point", "indirect"],
)
async def test_scopes(
    listing: Callable[..., Revocation], scopes: list[x509.IssuingDistributionPoint], clean: str, listed: str
) -> None:
    """A list clears the certificates and reasons that are its own; together, lists may cover all reasons.

    Whom it names by number is revoked: no authority gives a number twice.
    """
    assert clean == await standing(listing(*(crl(ROOT, extensions=[(each, True)]) for each in scopes)), LEAF, ROOT)
    both = [crl(ROOT, LEAF, extensions=[(each, True)]) for each in scopes]
    assert listed == await standing(listing(*both), LEAF, ROOT)


async def test_an_unknown_critical_extension(listing: Callable[..., Revocation]) -> None:
    """RFC 5280 section 5.2: such a list determines nothing."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert "unknown" == await standing(listing(crl(ROOT, LEAF, extensions=[(unknown, True)])), LEAF, ROOT)
    assert "revoked" == await standing(listing(crl(ROOT, LEAF, extensions=[(unknown, False)])), LEAF, ROOT)


async def test_an_unknown_critical_extension_of_an_entry(listing: Callable[..., Revocation]) -> None:
    """An entry that cannot be understood clears nobody it is about."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    asked = listing(crl(ROOT, LEAF, entry_extensions=[(unknown, True)]))
    assert "unknown" == await standing(asked, LEAF, ROOT)


async def test_delta_lists(listing: Callable[..., Revocation]) -> None:
    """A delta adds to the complete list, or takes back a hold; alone it says nothing; missing, it is not missed."""
    freshest = (x509.FreshestCRL([x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://a.example/delta")], None, None, None)]), False)  # fmt: skip
    is_delta = (x509.DeltaCRLIndicator(1), True)
    removed = (x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)
    held = (x509.CRLReason(x509.ReasonFlags.certificate_hold), False)
    base, base_held = crl(ROOT, extensions=[freshest]), crl(ROOT, LEAF, extensions=[freshest], entry_extensions=[held])
    adds = crl(ROOT, LEAF, number=2, extensions=[is_delta])
    removes = crl(ROOT, LEAF, number=2, extensions=[is_delta], entry_extensions=[removed])
    assert "revoked" == await standing(listing(base, adds), LEAF, ROOT)
    assert "good" == await standing(listing(base_held, removes), LEAF, ROOT)
    assert "revoked" == await standing(listing(base_held), LEAF, ROOT)
    assert "good" == await standing(listing(base), LEAF, ROOT)
    assert "unknown" == await standing(listing(crl(ROOT, number=2, extensions=[is_delta])), LEAF, ROOT)


async def test_indirect_lists(listing: Callable[..., Revocation]) -> None:
    """Another authority's list counts if the certificate names that authority, and the entry this issuer."""
    keeper = ROOT.subordinate("Keeper of lists", now=TODAY)
    names = x509.CRLDistributionPoints([
        x509.DistributionPoint(None, None, None, [x509.DirectoryName(keeper.certificate.subject)])
    ])  # fmt: skip
    leaf = ROOT.issue("CN=indirect", now=TODAY, extensions=[(names, False)])
    indirect = (point(indirect_crl=True), True)
    whose = (x509.CertificateIssuer([x509.DirectoryName(ROOT.certificate.subject)]), True)
    signers = [read(keeper)]
    listed = crl(keeper, leaf, extensions=[indirect], entry_extensions=[whose])
    others = crl(keeper, leaf, extensions=[indirect])
    assert "revoked" == await standing(listing(listed, crl(ROOT)), leaf, ROOT, signers=signers)
    assert "good" == await standing(listing(others, crl(ROOT)), leaf, ROOT, signers=signers)
    assert "unknown" == await standing(listing(listed, crl(ROOT)), leaf, ROOT)
    assert "unknown" == await standing(listing(others, crl(ROOT, keeper)), leaf, ROOT, signers=signers)
    assert "unknown" == await standing(listing(crl(keeper, leaf), crl(ROOT)), leaf, ROOT, signers=signers)


async def test_a_verdict_ends_with_its_list(listing: Callable[..., Revocation]) -> None:
    """`valid_until` is the end of the list, where that comes before the end of the certificates."""
    trusted = await listing(crl(ROOT)).require_unrevoked(chain(LEAF, ROOT), NOW)
    assert trusted.valid_until == NOW + 7 * DAY
    assert trusted.path == chain(LEAF, ROOT).path
    trusted = await listing(crl(ROOT, days=7000)).require_unrevoked(chain(LEAF, ROOT), NOW)
    assert trusted.valid_until == chain(LEAF, ROOT).valid_until
    asked = listing(crl(ROOT, days=30), crl(MIDDLE, days=3))
    assert (await asked.require_unrevoked(chain(BELOW, MIDDLE, ROOT), NOW)).valid_until == NOW + 3 * DAY


async def test_unknown_is_asked_again_soon(listing: Callable[..., Revocation]) -> None:
    """In `soft` it passes for seconds only."""
    asked = listing()
    asked.mode = type(asked.mode)("soft")
    assert (await asked.require_unrevoked(chain(LEAF, ROOT), NOW)).valid_until == NOW + UNKNOWN_FOR


async def test_verdicts_are_remembered_and_end_with_a_new_list(tmp_path: Path) -> None:
    """Asked twice, judged once; a list that comes is in force for the next question, and so is one that goes."""
    file = tmp_path / "ca.crl"
    file.write_bytes(crl(ROOT))
    asked = revocation("hard", crls=[file])
    first = await asked.require_unrevoked(chain(LEAF, ROOT), NOW)
    [remembered] = asked._verdicts.values()
    await asked.require_unrevoked(chain(LEAF, ROOT), NOW + 1)
    assert [remembered] == list(asked._verdicts.values())
    assert first.valid_until == NOW + 7 * DAY
    file.write_bytes(crl(ROOT, LEAF, number=2))
    await asked._crls.look()
    with pytest.raises(Untrusted, match="revoked"):
        await asked.require_unrevoked(chain(LEAF, ROOT), NOW + 1)


async def test_a_file_that_becomes_unreadable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The last good list stays, the log says so once, and again when the file can be read."""
    file = tmp_path / "ca.crl"
    file.write_bytes(crl(ROOT, LEAF))
    asked = revocation("soft", crls=[file])
    for content in (b"garbage", b"", None):
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        await asked._crls.look()
        await asked._crls.look()
        assert "revoked" == await standing(asked, LEAF, ROOT)
    [status] = asked.statuses()
    assert (status.failures, status.entries, status.age(NOW + 5)) == (3, 1, 5)
    assert status.problem
    file.write_bytes(crl(ROOT, LEAF, 5, number=2))
    await asked._crls.look()
    [status] = asked.statuses()
    assert (status.failures, status.entries, status.problem) == (0, 2, "")
    said = [record.levelname for record in caplog.records if str(file) in record.message]
    assert said == ["ERROR", "WARNING"]


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"x" * 70_000])
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty, no list, or too long: `ConfigurationError` names it."""
    file = tmp_path / "ca.crl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"ca\.crl"):
        revocation("soft", crls=[file], max_crl_bytes=65536)


def test_a_file_of_100_mb_is_not_read(tmp_path: Path) -> None:
    """Nor held in memory for a moment."""
    file = tmp_path / "ca.crl"
    with file.open("wb") as opened:
        opened.truncate(100_000_000)
    tracemalloc.start()
    with pytest.raises(ConfigurationError, match="more than 65536 bytes"):
        revocation("soft", crls=[file], max_crl_bytes=65536)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


async def test_who_signs_lists_may_stand_among_the_intermediates(tmp_path: Path) -> None:
    """Configured, not on the path: the CA's other key, certified under its own name."""
    key = ec.generate_private_key(ec.SECP256R1())
    other_key = (
        x509.CertificateBuilder()
        .subject_name(ROOT.certificate.subject)
        .issuer_name(ROOT.certificate.subject)
        .public_key(key.public_key())
        .serial_number(77)
        .not_valid_before(TODAY - timedelta(hours=1))
        .not_valid_after(TODAY + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ROOT.private_key.public_key()), critical=False
        )
        .sign(ROOT.private_key, hashes.SHA256())
    )
    for revoked, root_says, expected in (
        ((LEAF,), (), "revoked"),
        ((), (), "good"),
        ((), (77,), "unknown"),
        ((LEAF,), None, "revoked"),
    ):
        files = [tmp_path / "signer.crl"]
        files[0].write_bytes(crl(ROOT, *revoked, key=key))
        if root_says is not None:
            files.append(tmp_path / "root.crl")
            files[1].write_bytes(crl(ROOT, *root_says, extensions=[(point(only_contains_ca_certs=True), True)]))
        asked = revocation("hard", crls=files)
        assert expected == await standing(asked, LEAF, ROOT, signers=[read(other_key)]), (revoked, root_says)
    trust = Trust(Anchors((read(ROOT),), (read(other_key),)), issuers=revocation("soft", crls=files[:1]))
    with pytest.raises(Untrusted, match="revoked"):
        await trust.require_unrevoked(chain(LEAF, ROOT), NOW)


async def test_an_older_list_never_follows_an_authentic_newer_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A backup, or a replay, takes no revocation back."""
    file = tmp_path / "ca.crl"
    file.write_bytes(crl(ROOT, LEAF, number=2))
    asked = revocation("soft", crls=[file])
    assert "revoked" == await standing(asked, LEAF, ROOT)
    file.write_bytes(crl(ROOT, at=TODAY - timedelta(days=1)))
    await asked._crls.look()
    assert "revoked" == await standing(asked, LEAF, ROOT)
    assert "older list" in caplog.text
    file.write_bytes(crl(ROOT, number=3, at=TODAY + timedelta(seconds=1)))
    await asked._crls.look()
    assert "good" == await standing(asked, LEAF, ROOT)


async def test_a_forged_list_takes_nobodys_place(tmp_path: Path) -> None:
    """Whoever is on the way can put garbage there; the authentic list counts until it ends."""
    file = tmp_path / "ca.crl"
    for revoked, expected in (((LEAF,), "revoked"), ((), "good")):
        file.write_bytes(crl(ROOT, *revoked))
        asked = revocation("soft", crls=[file])
        assert expected == await standing(asked, LEAF, ROOT)
        for forged in (crl(TWIN, at=TODAY + timedelta(days=1)), crl(TWIN, LEAF), crl(MIDDLE)):
            file.write_bytes(forged)
            await asked._crls.look()
            assert expected == await standing(asked, LEAF, ROOT)


async def settled(asked: Revocation, *, now: float | None = None) -> None:
    """What is due was fetched."""
    await asked._crls.look()
    await asyncio.gather(*(each._running for each in asked._crls._urls if each._running is not None))


async def test_lists_behind_urls() -> None:
    """Fetched at the first question, again when due, and in force at once."""
    clock = Clock()
    with published() as there:
        there.at["/ca.crl"] = crl(ROOT)
        asked = revocation("hard", urls=[f"{there.url}/ca.crl"], clock=clock, max_age=60)
        assert "good" == await standing(asked, LEAF, ROOT)
        there.at["/ca.crl"] = crl(ROOT, LEAF, number=2)
        await settled(asked)
        assert there.asked == ["/ca.crl"]
        clock.now += 60
        await settled(asked)
        assert "revoked" == await standing(asked, LEAF, ROOT, now=clock.now)
        assert there.asked == ["/ca.crl"] * 2
        await asked._crls.close()


async def test_a_server_of_lists_that_is_down(caplog: pytest.LogCaptureFixture) -> None:
    """Until nextUpdate the last list counts, afterwards all is unknown; the log says each once."""
    clock = Clock()
    with published() as there:
        url = f"{there.url}/ca.crl"
        there.at["/ca.crl"] = crl(ROOT, 7)
        asked = revocation("hard", urls=[url], clock=clock, max_age=600)
        assert "good" == await standing(asked, LEAF, ROOT)
        there.at["/ca.crl"] = None
        for _ in range(3):
            clock.now += 2 * DAY
            await settled(asked)
            assert "good" == await standing(asked, LEAF, ROOT, now=clock.now)
        [status] = asked.statuses()
        assert (status.failures, status.entries, status.age(clock.now)) == (3, 1, 6 * DAY)
        clock.now += 2 * DAY
        await settled(asked)
        await settled(asked)
        assert "unknown" == await standing(asked, LEAF, ROOT, now=clock.now)
        there.at["/ca.crl"] = crl(ROOT, number=3, at=TODAY + timedelta(days=8))
        clock.now += 600
        await settled(asked)
        assert "good" == await standing(asked, LEAF, ROOT, now=clock.now)
        said = [r.message.removeprefix(f"CRL {url} ") for r in caplog.records if r.levelno >= logging.WARNING]
        assert [each.split(" ")[1] for each in said] == ["unavailable,", "out", "available"]


async def test_a_list_longer_than_allowed_is_not_read() -> None:
    """However its length is announced; 100 MB are never taken in."""
    with published() as there:
        there.at["/ca.crl"] = crl(ROOT, *range(1, 200))
        asked = revocation("hard", urls=[f"{there.url}/ca.crl"], max_crl_bytes=4096)
        assert "unknown" == await standing(asked, LEAF, ROOT)
        [status] = asked.statuses()
        assert "4096 bytes" in status.problem


def naming(there: Published, *, lists: Sequence[str] = (), ocsp: Sequence[str] = ()) -> Issued:
    """A leaf that says where one may ask."""
    extensions = published_at(crls=[there.url + each for each in lists], ocsp=[there.url + each for each in ocsp])
    return ROOT.issue("CN=naming", now=TODAY, extensions=extensions)


async def test_lists_that_certificates_name() -> None:
    """Asked only if the deployment says so, once, and of all that a trusted path names."""
    with published() as there:
        leaf = naming(there, lists=["/a.crl", "/b.crl"])
        there.at.update({"/a.crl": crl(TWIN), "/b.crl": crl(ROOT, leaf)})
        assert "unknown" == await standing(revocation("hard"), leaf, ROOT)
        assert there.asked == []
        asked = revocation("hard", from_certificates=True)
        assert "revoked" == await standing(asked, leaf, ROOT)
        assert sorted(there.asked) == ["/a.crl", "/b.crl"]
        assert "revoked" == await standing(asked, leaf, ROOT)
        assert len(there.asked) == 2
        await asked._crls.close()


async def test_other_schemes_and_too_many_places_are_left_alone() -> None:
    """LDAP and files are no places to look; of many, four are looked at."""
    with published() as there:
        names = ["ldap://a.example/x", "file:///etc/passwd", *(f"{there.url}/{n}" for n in range(9))]
        leaf = ROOT.issue("CN=naming", now=TODAY, extensions=published_at(crls=names))
        asked = revocation("hard", from_certificates=True)
        assert "unknown" == await standing(asked, leaf, ROOT)
        assert sorted(there.asked) == ["/0", "/1", "/2", "/3"]
        await asked._crls.close()


async def test_a_large_list_is_verified_beside_the_event_loop(listing: Callable[..., Revocation]) -> None:
    """From 64 KiB on; the verdict is the same."""
    genuine = crl(ROOT, LEAF, *range(1, 4000))
    assert len(genuine) > 64 * 1024
    assert "revoked" == await standing(listing(genuine), LEAF, ROOT)
    assert "unknown" == await standing(listing(crl(TWIN, LEAF, *range(1, 4000))), LEAF, ROOT)


async def test_verdicts_and_urls_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many certificates with places of their own fill no memory."""
    monkeypatch.setattr("certbound.trust.revocation.REMEMBERED_VERDICTS", 3)
    monkeypatch.setattr("certbound.trust.crl_sources.MOST_URLS", 3)
    with published() as there:
        asked = revocation("soft", from_certificates=True)
        for n in range(6):
            leaf = naming(there, lists=[f"/{n}"])
            await asked.require_unrevoked(chain(leaf, ROOT), NOW)
        assert len(asked._verdicts) == 3
        assert len(asked.statuses()) == 3
        await asked._crls.close()


@MODES
async def test_the_run_watches_and_closes(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it runs, a changed file is in force after the next look, and it ends when cancelled."""
    monkeypatch.setattr("certbound.trust.revocation.LOOK_INTERVAL", 0.02)
    file = tmp_path / "ca.crl"
    file.write_bytes(crl(ROOT))
    asked = revocation(mode, crls=[file])
    running = asyncio.create_task(asked.run())
    await asked.require_unrevoked(chain(LEAF, ROOT), NOW)
    file.write_bytes(crl(ROOT, LEAF, number=2))
    async with asyncio.timeout(5):
        while True:
            try:
                await asked.require_unrevoked(chain(LEAF, ROOT), NOW)
            except Untrusted:
                break
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_extensions_that_nobody_can_decode(listing: Callable[..., Revocation]) -> None:
    """In a certificate they name no place, and leave it unknown; in a list they make it none."""
    strange = tlv(0x30, tlv(0x31, tlv(0x30, bytes.fromhex("0603550403") + b"\x15\x01a")))
    points = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("2.5.29.31"), tlv(0x30, tlv(0x30, tlv(0xA2, tlv(0xA4, strange))))
    )
    with published() as there:
        named = published_at(ocsp=[f"{there.url}/"])
        leaf = ROOT.issue("CN=strange", now=TODAY, extensions=[(points, False), *named])
        assert "unknown" == await standing(revocation("hard", from_certificates=True), leaf, ROOT)
        assert "unknown" == await standing(listing(crl(ROOT), from_certificates=True), leaf, ROOT)
        assert there.asked == []
    issuing = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("2.5.29.28"), tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0xA4, strange))))
    )
    with pytest.raises(ConfigurationError):
        listing(crl(ROOT, extensions=[(issuing, True)]))


@pytest.mark.parametrize(
    "oid",
    ["2.5.29.9", "2.5.29.16", "2.5.29.18", "2.5.29.31", "2.5.29.46", "1.3.6.1.5.5.7.1.11", "1.3.6.1.5.5.7.48.1.5"],
)
async def test_no_extension_keeps_a_revocation_from_being_seen(listing: Callable[..., Revocation], oid: str) -> None:
    """What the library cannot decode never clears a certificate, and hides no entry about it."""
    broken = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x30\x03\x02\x01")
    leaf = ROOT.issue("CN=broken", now=TODAY, extensions=[(broken, False)])
    assert "revoked" == await standing(listing(crl(ROOT, leaf)), leaf, ROOT)
    assert "unknown" == await standing(listing(crl(ROOT)), leaf, ROOT)


async def test_two_lists_of_one_name_in_one_file(listing: Callable[..., Revocation]) -> None:
    """An authority that changed its key publishes one list for each: neither takes the other's place."""
    pem = [x509.load_der_x509_crl(each).public_bytes(Encoding.PEM) for each in (crl(ROOT, LEAF), crl(TWIN))]
    for both in (pem, pem[::-1]):
        assert "revoked" == await standing(listing(b"".join(both)), LEAF, ROOT)


async def test_a_new_key_does_not_take_the_old_keys_list(tmp_path: Path) -> None:
    """The list of another key of the same name is in force for its own certificates, and for no others."""
    file = tmp_path / "ca.crl"
    file.write_bytes(crl(ROOT, LEAF))
    asked = revocation("soft", crls=[file])
    assert "revoked" == await standing(asked, LEAF, ROOT)
    others = TWIN.issue("CN=other", now=TODAY)
    for number in (2, 3):
        file.write_bytes(crl(TWIN, others, number=number, at=TODAY + timedelta(minutes=number)))
        await asked._crls.look()
        assert "revoked" == await standing(asked, others, TWIN)
        assert "revoked" == await standing(asked, LEAF, ROOT)


async def test_a_file_that_could_not_be_opened_is_opened_as_soon_as_it_can(tmp_path: Path) -> None:
    """Though it is the same file of the same time: permissions leave no trace there."""
    file = tmp_path / "ca.crl"
    file.write_bytes(crl(ROOT))
    asked = revocation("soft", crls=[file])
    assert "good" == await standing(asked, LEAF, ROOT)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(crl(ROOT, LEAF, number=2))
    [source] = asked._crls._files
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(file, os.O_RDONLY)
    os.close(lowest)
    await asyncio.to_thread(int)  # its thread is there before nothing can be opened any more
    elsewhere.replace(file)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limit[1]))
    try:
        await asked._crls.look()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert source.source.failures == 1
    await asked._crls.look()
    assert "revoked" == await standing(asked, LEAF, ROOT)


async def test_a_list_that_arrives_while_a_path_is_judged(tmp_path: Path) -> None:
    """The intermediate was asked about before, the leaf waits: the new list is in force for the next question."""
    with published() as there:
        arrived, go_on = threading.Event(), threading.Event()

        def respond(_: bytes) -> bytes:
            arrived.set()
            assert go_on.wait(5)
            return crl(MIDDLE)

        there.at["/middle.crl"] = respond
        file = tmp_path / "root.crl"
        file.write_bytes(crl(ROOT))
        asked = revocation("hard", crls=[file], urls=[f"{there.url}/middle.crl"])
        first = asyncio.create_task(asked.require_unrevoked(chain(BELOW, MIDDLE, ROOT), NOW))
        assert await asyncio.to_thread(arrived.wait, 5)
        file.write_bytes(crl(ROOT, MIDDLE, number=2))
        for source in asked._crls._files:
            assert await source.reload_if_changed(NOW)
        asked._crls._changed()
        go_on.set()
        await first
        with pytest.raises(Untrusted, match="revoked"):
            await asked.require_unrevoked(chain(BELOW, MIDDLE, ROOT), NOW)
        await asked._crls.close()


async def test_a_signer_that_is_configured_later_counts_at_once(listing: Callable[..., Revocation]) -> None:
    """A verdict without it is not remembered for one with it, and the other way round."""
    keeper = ROOT.subordinate("Keeper of lists", now=TODAY)
    names = x509.CRLDistributionPoints([
        x509.DistributionPoint(None, None, None, [x509.DirectoryName(keeper.certificate.subject)])
    ])  # fmt: skip
    leaf = ROOT.issue("CN=indirect", now=TODAY, extensions=[(names, False)])
    whose = (x509.CertificateIssuer([x509.DirectoryName(ROOT.certificate.subject)]), True)
    asked = listing(
        crl(keeper, leaf, extensions=[(point(indirect_crl=True), True)], entry_extensions=[whose]), crl(ROOT)
    )
    assert "unknown" == await standing(asked, leaf, ROOT)
    assert "revoked" == await standing(asked, leaf, ROOT, signers=[read(keeper)])
    assert "unknown" == await standing(asked, leaf, ROOT)


async def test_more_urls_than_are_remembered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a list that is forgotten meanwhile gets a verdict all the same."""
    monkeypatch.setattr("certbound.trust.crl_sources.MOST_URLS", 2)

    def slow(_: bytes) -> bytes:
        time.sleep(0.05)
        return crl(ROOT)

    with published() as there:
        for n in range(6):
            there.at[f"/{n}"] = slow
        asked = revocation("hard", from_certificates=True)
        leaves = [naming(there, lists=[f"/{n}"]) for n in range(6)]
        outcomes = await asyncio.gather(
            *(asked.require_unrevoked(chain(leaf, ROOT), NOW) for leaf in leaves), return_exceptions=True
        )
        assert {type(each) for each in outcomes} <= {Untrusted, TrustedChain}
        await asked._crls.close()


async def test_an_entry_says_whose_the_next_ones_are(listing: Callable[..., Revocation]) -> None:
    """Also if that is not marked as critical, as it has to be: such a list is not cut down."""
    keeper = ROOT.subordinate("Keeper of lists", now=TODAY)
    names = x509.CRLDistributionPoints([
        x509.DistributionPoint(None, None, None, [x509.DirectoryName(keeper.certificate.subject)])
    ])  # fmt: skip
    leaf = ROOT.issue("CN=indirect", now=TODAY, extensions=[(names, False)])
    date = tlv(0x17, b"300601120000Z")
    whose = x509.CertificateIssuer([x509.DirectoryName(ROOT.certificate.subject)]).public_bytes()
    extension = tlv(0x30, tlv(0x30, bytes.fromhex("0603551d1d") + tlv(0x04, whose)))
    entries = tlv(0x30, tlv(0x02, b"\x07") + date + extension)
    serial = leaf.certificate.serial_number
    entries += tlv(0x30, tlv(0x02, serial.to_bytes(serial.bit_length() // 8 + 1, "big")) + date)
    plain = crl(keeper, 1, extensions=[(point(indirect_crl=True), True)])
    listed = resigned(plain, keeper, lambda fields: [*fields[:5], tlv(0x30, entries), *fields[6:]])
    asked = listing(listed, crl(ROOT))
    assert "revoked" == await standing(asked, leaf, ROOT, signers=[read(keeper)])


async def test_many_authorities_of_one_name(listing: Callable[..., Revocation]) -> None:
    """A list is found by the key of its issuer, however many others of that name were asked about before."""
    twins = [Authority.create("Root", now=TODAY) for _ in range(18)]
    asked = listing(crl(ROOT, LEAF))
    for each in twins:
        assert "unknown" == await standing(asked, each.issue("CN=twin", now=TODAY), each)
    assert "revoked" == await standing(asked, LEAF, ROOT)


async def test_a_clock_that_goes_back(listing: Callable[..., Revocation]) -> None:
    """A server that started in a wrong year asks again once it knows the right one."""
    clock = Clock(NOW + 365 * DAY)
    with published() as there:
        there.at["/ca.crl"] = crl(ROOT, at=TODAY + timedelta(days=365))
        asked = revocation("hard", urls=[f"{there.url}/ca.crl"], clock=clock)
        await settled(asked)
        clock.now = NOW
        there.at["/ca.crl"] = crl(ROOT, LEAF)
        await settled(asked)
        assert there.asked == ["/ca.crl"] * 2
        assert "revoked" == await standing(asked, LEAF, ROOT)
        await asked._crls.close()


@pytest.mark.parametrize("names_issuer", [False, True])
async def test_what_a_certificate_declares_hides_no_entry_about_it(
    listing: Callable[..., Revocation], names_issuer: bool
) -> None:
    """Neither a place where it is not listed, nor somebody else who keeps the lists."""
    elsewhere = [x509.UniformResourceIdentifier("http://elsewhere.example/")]
    keeper = [x509.DirectoryName(MIDDLE.certificate.subject)] if names_issuer else None
    points = x509.CRLDistributionPoints([x509.DistributionPoint(elsewhere, None, None, keeper)])
    leaf = ROOT.issue("CN=elsewhere", now=TODAY, extensions=[(points, False)])
    for scope in ([], [(point(full_name=[x509.UniformResourceIdentifier("http://here.example/")]), True)]):
        assert "revoked" == await standing(listing(crl(ROOT, leaf, extensions=scope)), leaf, ROOT)


async def test_a_delta_list_that_only_certificates_speak_of(listing: Callable[..., Revocation]) -> None:
    """The complete list need not say that there is one (RFC 5280 section 4.2.1.15)."""
    is_delta = (x509.DeltaCRLIndicator(1), True)
    removed = (x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)
    later = TODAY + timedelta(minutes=1)
    adds = crl(ROOT, LEAF, number=2, at=later, extensions=[is_delta])
    removes = crl(ROOT, LEAF, number=2, at=later, extensions=[is_delta], entry_extensions=[removed])
    assert "revoked" == await standing(listing(crl(ROOT), adds), LEAF, ROOT)
    assert "revoked" == await standing(listing(adds), LEAF, ROOT)
    assert "good" == await standing(listing(crl(ROOT), removes), LEAF, ROOT)
    assert "good" == await standing(listing(crl(ROOT, at=later + timedelta(minutes=1)), adds), LEAF, ROOT)
    assert "unknown" == await standing(listing(crl(TWIN, LEAF, number=2, extensions=[is_delta])), LEAF, ROOT)


async def test_lists_that_certificates_name_share_a_room() -> None:
    """Though all of them arrive at once: four times what one may have is kept."""
    with published() as there:
        for n in range(8):
            there.at[f"/{n}"] = crl(ROOT, *range(1000 + n, 1100))
        most = len(crl(ROOT, *range(1000, 1100))) + 50
        asked = revocation("soft", from_certificates=True, max_crl_bytes=most)
        leaves = [naming(there, lists=[f"/{n}"]) for n in range(8)]
        await asyncio.gather(*(asked.require_unrevoked(chain(leaf, ROOT), NOW) for leaf in leaves))
        await asked._crls.look()
        assert 0 < sum(each.shelf.size for each in asked._crls._named.values()) <= 4 * most
        await asked._crls.close()


async def test_a_request_that_is_cancelled_takes_nobody_along() -> None:
    """Others who wait for the same list get their verdict, and nothing stays behind."""
    with published() as there:
        arrived, go_on = threading.Event(), threading.Event()

        def respond(_: bytes) -> bytes:
            arrived.set()
            assert go_on.wait(5)
            return crl(ROOT)

        there.at["/ca.crl"] = respond
        asked = revocation("hard", urls=[f"{there.url}/ca.crl"])
        waiting = [asyncio.create_task(asked.require_unrevoked(chain(LEAF, ROOT), NOW)) for _ in range(3)]
        assert await asyncio.to_thread(arrived.wait, 5)
        waiting[0].cancel()
        await asyncio.sleep(0)
        go_on.set()
        first, *others = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(first, asyncio.CancelledError)
        assert all(isinstance(each, TrustedChain) for each in others)
        assert there.asked == ["/ca.crl"]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asked._crls.close()
