"""Whether the issuers of a trusted path have revoked something on it (RFC 5280 section 6.3, RFC 6960; R7).

Rule 1: asked only of a path that is trusted, so no stranger causes a fetch.
Rule 2: every certificate but the anchor is asked about, each for itself; an unknown one never hides a revoked one.
Rule 3: a certificate's own words (distribution points, responders) add places to look at, where the deployment says
so; they never decide whether it is asked about.
Rule 4: what is at hand comes first: lists, then an answer that is remembered.  Only if these leave it unknown is
anybody asked, responders before lists that have to be fetched.
Rule 5: a verdict ends with what it rests on, and with every list that comes or goes.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from certbound.core.certificate import Certificate, Thumbprint
from certbound.core.errors import BadCertificate, Untrusted
from certbound.core.proofs import TrustedChain
from certbound.core.revoked import RevocationMode
from certbound.trust.crl_frames import BadList
from certbound.trust.crl_sources import CRLSources
from certbound.trust.crls import IssuerName, RevocationList, issuer_name
from certbound.trust.fetch import Fetcher
from certbound.trust.judgement import Evidence, Finding, Standing, judge
from certbound.trust.ocsp import CLOCK_SKEW, Answer
from certbound.trust.responders import Responders
from certbound.trust.sources import SourceStatus

PATIENCE = 2.0
"""Seconds that one request waits for others in `soft`; in `hard` it waits as long as fetches may take."""
UNKNOWN_FOR = 10.0
"""Seconds after which it is tried again to learn more of a certificate of which nothing is known."""
LOOK_INTERVAL = 0.5
"""Seconds between two looks at files, and at what is due."""
REMEMBERED_VERDICTS = 8192
MOST_PLACES = 4
"""Distribution points and responders that one certificate may name."""
_LARGE = 64 * 1024
"""Bytes of a list whose signature is not verified on the event loop."""

_log = logging.getLogger("certbound.trust.revocation")


@dataclass(frozen=True, slots=True)
class Places:
    """Who is asked."""

    files: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
    """Of lists."""
    responders: tuple[str, ...] = ()
    from_certificates: bool = False
    """Whether also whom the certificates of a trusted path name."""


def make_revocation(
    mode: RevocationMode,
    places: Places,
    fetcher: Fetcher,
    *,
    max_age: float,
    max_crl_bytes: int,
    clock: Callable[[], float],
) -> "Revocation":
    """Nothing is fetched before `Revocation.run` runs.  `ConfigurationError` if a file cannot be read."""
    crls = CRLSources(
        files=places.files,
        urls=places.urls,
        fetcher=fetcher,
        max_bytes=max_crl_bytes,
        max_age=max_age,
        clock=clock,
    )
    responders = Responders(urls=places.responders, fetcher=fetcher, max_age=max_age, clock=clock)
    return Revocation(
        mode, crls=crls, responders=responders, from_certificates=places.from_certificates, max_age=max_age
    )


_Question = tuple[int | Thumbprint, ...]
"""Which signers were configured, and the certificates of a path."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """On one certificate and all above it."""

    finding: Finding
    given_at: float
    until: float
    version: int


class Revocation:
    """What is known of revocations, and the verdicts that rest on it."""

    def __init__(
        self,
        mode: RevocationMode,
        *,
        crls: CRLSources,
        responders: Responders,
        from_certificates: bool,
        max_age: float,
    ) -> None:
        self.mode = mode
        self._crls = crls
        self._responders = responders
        self._from_certificates = from_certificates
        self._max_age = max_age
        self._signers: Sequence[Certificate] = ()
        self._generation = 0
        self._verdicts: OrderedDict[_Question, _Verdict] = OrderedDict()

    async def require_unrevoked(
        self, chain: TrustedChain, now: float, signers: Sequence[Certificate] = ()
    ) -> TrustedChain:
        """`chain`, as long as it is known that nothing on it is revoked.  `Untrusted` otherwise.

        `signers` are certificates that may have signed lists and are not on the path.
        """
        if self.mode is RevocationMode.OFF or len(chain.path) < 2:
            return chain
        if signers is not self._signers:
            self._generation += [*signers] != [*self._signers]
            self._signers = signers
        verdict = self._remembered(chain.path, now) or await self._verdict(chain.path, signers, now)
        finding = verdict.finding
        if finding.standing is Standing.REVOKED:
            raise Untrusted(f"revoked: {finding.why}")
        if finding.standing is Standing.UNKNOWN and self.mode is RevocationMode.HARD:
            raise Untrusted(f"nobody says that it is not revoked: {finding.why}")
        return chain.until(verdict.until)

    async def run(self) -> None:
        """Runs until cancelled: files are watched, and lists fetched again before they end."""
        try:
            while True:
                try:
                    await self._crls.look()
                except Exception:  # noqa: BLE001 - a watch that ended because of one bad look would end unnoticed
                    _log.exception("revocation lists cannot be looked at")
                await asyncio.sleep(LOOK_INTERVAL)
        finally:
            await self._crls.close()
            await self._responders.close()

    def statuses(self) -> tuple[SourceStatus, ...]:
        """Every source at this moment."""
        return (*self._crls.statuses(), *self._responders.statuses())

    def _question(self, path: Sequence[Certificate]) -> _Question:
        return self._generation, *[each.thumbprint for each in path]

    def _remembered(self, path: Sequence[Certificate], now: float) -> _Verdict | None:
        """The verdict on `path[0]` and all above it but the anchor, where it still holds."""
        verdict = self._verdicts.get(self._question(path))
        if verdict is None or verdict.version != self._crls.version or not verdict.given_at <= now < verdict.until:
            return None
        return verdict

    async def _verdict(self, path: Sequence[Certificate], signers: Sequence[Certificate], now: float) -> _Verdict:
        """On `path[0]` and all above it but the anchor."""
        question = self._question(path)
        above = None
        if len(path) > 2:
            above = self._remembered(path[1:], now) or await self._verdict(path[1:], signers, now)
        if above is not None and above.finding.standing is Standing.REVOKED:
            return above
        verdict = await self._find(path, signers, now)
        if above is not None:
            finding = above.finding if verdict.finding.standing is Standing.GOOD else verdict.finding
            version = min(verdict.version, above.version)
            verdict = replace(verdict, finding=finding, until=min(verdict.until, above.until), version=version)
        self._verdicts[question] = verdict
        while len(self._verdicts) > REMEMBERED_VERDICTS:
            self._verdicts.popitem(last=False)
        return verdict

    async def _find(self, path: Sequence[Certificate], signers: Sequence[Certificate], now: float) -> _Verdict:
        """On `path[0]` alone."""
        case = _make_case(path, signers, now, asks_named=self._from_certificates)
        verdict = await self._judge(case, answered_before=False)
        if verdict.finding.standing is not Standing.UNKNOWN:
            return verdict
        try:
            async with asyncio.timeout(PATIENCE if self.mode is RevocationMode.SOFT else None):
                return await self._learn(case)
        except TimeoutError:
            self._crls.start(case.places.lists)
            return await self._judge(case, answered_before=True)

    async def _learn(self, case: "_Case") -> _Verdict:
        """Asks whoever may know: lists on their way, responders, and where the certificate says that a list is."""
        certificate, issuer = case.path[:2]
        version = self._crls.version
        await self._crls.arrive()
        if version != self._crls.version:
            verdict = await self._judge(case, answered_before=False)
            if verdict.finding.standing is not Standing.UNKNOWN:
                return verdict

        async def believes(answer: Answer) -> bool:
            """Whether somebody with authority stands behind it: it says something alone, or changes what lists say."""
            lists, current = await self._lists(case)
            alone, without, with_it = [
                (await judge(case.path, Evidence(fresh, answers, case.signers), Evidence(known, answers, case.signers),
                             case.now)).standing
                for fresh, known, answers in (([], [], [answer]), (current, lists, []), (current, lists, [answer]))
            ]  # fmt: skip
            return alone is not Standing.UNKNOWN or without is not with_it

        await self._responders.ask(certificate, issuer, case.places.responders, believes)
        verdict = await self._judge(case, answered_before=True)
        if verdict.finding.standing is Standing.UNKNOWN and case.places.lists:
            await self._crls.require(case.places.lists)
            verdict = await self._judge(case, answered_before=True)
        return verdict

    async def _judge(self, case: "_Case", *, answered_before: bool) -> _Verdict:
        """By what is at hand; an answer that is to be asked for again counts only if `answered_before`."""
        version, now, max_age = self._crls.version, case.now, self._max_age
        lists, current = await self._lists(case)
        remembered = self._responders.remembered(*case.path[:2])
        if remembered is not None and not answered_before and remembered.due <= now:
            if await self._revokes(case, remembered.answer):
                # Whatever the lists say: to be asked again is not to be forgotten.
                return _Verdict(Finding(Standing.UNKNOWN, "it was revoked"), now, now, version)
            remembered = None
        answers = [] if remembered is None else [remembered.answer]
        believed = [each for each in answers if _is_current(each, now, max_age)]
        fresh, known = Evidence(current, believed, case.signers), Evidence(lists, answers, case.signers)
        finding = await judge(case.path, fresh, known, now)
        ends = [*(each.ends_at(max_age) for each in current), *(each.ends_at(max_age) for each in believed)]
        soonest = now + min(UNKNOWN_FOR, max_age)
        if remembered is not None:
            ends.append(remembered.due if remembered.due > now else soonest)
        until = {
            Standing.GOOD: min(ends, default=now),
            Standing.REVOKED: max(min(ends, default=now), soonest),
            Standing.UNKNOWN: soonest,
        }[finding.standing]
        return _Verdict(finding, now, until, version)

    @staticmethod
    async def _revokes(case: "_Case", answer: Answer) -> bool:
        found = await judge(case.path, Evidence(), Evidence((), [answer], case.signers), case.now)
        return found.standing is Standing.REVOKED

    async def _lists(self, case: "_Case") -> tuple[list[RevocationList], list[RevocationList]]:
        """The authentic lists that may be about the certificate; and of these, those that may say "good"."""
        signers = (*case.path[1:], *case.signers)
        await _authentic(self._crls.lists(case.issuers, case.places.lists), signers)
        # Now that it is known who signed them, those that were followed by authentic ones are gone.
        lists = await _authentic(self._crls.lists(case.issuers, case.places.lists), signers)
        return lists, [each for each in lists if each.says_good and _is_current(each, case.now, self._max_age)]


@dataclass(frozen=True, slots=True)
class _Named:
    """Where a certificate says that one may ask."""

    lists: tuple[str, ...] = ()
    responders: tuple[str, ...] = ()
    signers: frozenset[IssuerName] = frozenset()
    """Who signs the lists, where it is not the issuer."""


@dataclass(frozen=True, slots=True)
class _Case:
    """What is asked about `path[0]`."""

    path: Sequence[Certificate]
    signers: Sequence[Certificate]
    """Beside the path, of a name whose lists may be about the certificate."""
    issuers: frozenset[IssuerName]
    """Whose lists may be about the certificate, or about one of `signers`."""
    places: _Named
    now: float


def _make_case(path: Sequence[Certificate], signers: Sequence[Certificate], now: float, *, asks_named: bool) -> _Case:
    places = _places(path[0])
    issuers = places.signers | {_name(path[1].subject_der)}
    beside = [each for each in signers if _name(each.subject_der) in issuers and each not in path]
    if beside:
        issuers |= {_name(each.issuer_der) for each in (*beside, *path)}
    return _Case(path, beside, issuers - {""}, places if asks_named else _Named(), now)


async def _authentic(lists: Sequence[RevocationList], signers: Sequence[Certificate]) -> list[RevocationList]:
    """Those that one of `signers` signed, who bears the name in the list."""
    found = []
    for each in lists:
        for signer in signers:
            if _name(signer.subject_der) == each.issuer and await _is_signed_by(each, signer):
                found.append(each)
                break
    return found


async def _is_signed_by(found: RevocationList, signer: Certificate) -> bool:
    try:
        key = signer.spki_der
    except BadCertificate:
        return False
    if found.size > _LARGE and not found.knows_key(key):
        return await asyncio.to_thread(found.is_signed_by, key)
    if not found.knows_key(key):
        await asyncio.sleep(0)  # there may be hundreds in one place
    return found.is_signed_by(key)


def _is_current(known: RevocationList | Answer, now: float, max_age: float) -> bool:
    return known.this_update <= now + CLOCK_SKEW and now < known.ends_at(max_age)


def _places(certificate: Certificate) -> _Named:
    """What can be read of it; the rest does no harm."""
    lists: list[str] = []
    responders: list[str] = []
    signers: set[IssuerName] = set()
    try:
        for extension in certificate.decoded_extensions:
            if isinstance(extension.value, x509.CRLDistributionPoints):
                for point in extension.value:
                    lists += _urls(point.full_name or ())
                    signers |= {_name(each.value.public_bytes()) for each in _directory_names(point.crl_issuer or ())}
            elif isinstance(extension.value, x509.AuthorityInformationAccess):
                responders += _urls(
                    each.access_location
                    for each in extension.value
                    if each.access_method == AuthorityInformationAccessOID.OCSP
                )
    except Exception:  # noqa: BLE001 - `cryptography` raises what it likes on foreign bytes
        return _Named()
    return _Named(tuple(lists[:MOST_PLACES]), tuple(responders[:MOST_PLACES]), frozenset(signers - {""}))


def _urls(names: Iterable[x509.GeneralName]) -> list[str]:
    return [
        each.value
        for each in names
        if isinstance(each, x509.UniformResourceIdentifier) and each.value.lower().startswith(("http://", "https://"))
    ]


def _directory_names(names: Iterable[x509.GeneralName]) -> list[x509.DirectoryName]:
    return [each for each in names if isinstance(each, x509.DirectoryName)]


@lru_cache(maxsize=1024)
def _name(der: bytes) -> IssuerName:
    """Empty, which no list bears, if it cannot be read."""
    try:
        return issuer_name(der)
    except BadList:
        return ""
