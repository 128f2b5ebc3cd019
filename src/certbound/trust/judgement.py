"""What the issuer of one certificate says of it: `pyhanko-certvalidator`'s verdict, on exactly the path that was found.

Rule 1: issuer, scope, reasons, indirect and delta lists, the authority of a signer of lists or answers: the library's.
Rule 2: what reaches the library is authentic already.  It remembers who signed a list by the bytes of the signature,
skips the signature where a signer is asked about itself, and takes an answer's certificate for the issuer's own if
name, serial number and signature bytes are like: so a list is held against the keys that may have signed it before,
and of the certificates in an answer only those that the issuer signed are left.
Rule 3: it fetches nothing, builds no path, waits for nothing, and its log is silent.
Rule 4: "good" needs what is fresh; "revoked" is believed of what is stale, too, for few who are revoked come back.
Rule 5: what a certificate says of itself never keeps a revocation from being seen: neither what the library cannot
decode, which never clears it either, nor where it claims to be listed.  An entry of its number by its issuer counts.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Any

from asn1crypto import algos, keys, ocsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from pyhanko_certvalidator.authority import CertTrustAnchor
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import RevokedError
from pyhanko_certvalidator.ltv.types import ValidationTimingInfo, ValidationTimingParams
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import (
    CertRevTrustPolicy,
    FreshnessReqType,
    RevocationCheckingPolicy,
    RevocationCheckingRule,
)
from pyhanko_certvalidator.registry import SimpleTrustManager
from pyhanko_certvalidator.revinfo.validate_crl import verify_crl
from pyhanko_certvalidator.revinfo.validate_ocsp import verify_ocsp_response
from pyhanko_certvalidator.sig_validate import (
    DEFAULT_VALIDATION_CONTEXT,
    DefaultSignatureValidator,
    SignatureValidationContext,
    SignatureValidator,
)

from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate
from certbound.trust.crl_frames import BadList
from certbound.trust.crls import Cut, RevocationList, is_weak, issuer_name
from certbound.trust.ocsp import Answer

# Every refusal comes with a traceback there, and bytes of strangers in it.
logging.getLogger("pyhanko_certvalidator").setLevel(logging.CRITICAL + 1)

MOST_RESPONDER_CERTIFICATES = 4
"""Certificates of one answer that are looked at."""


class Standing(Enum):
    """What is known of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What may speak for or against one certificate."""

    lists: Sequence[RevocationList] = ()
    """Signed by somebody who has the issuer's name, or that of a signer the certificate names."""
    answers: Sequence[Answer] = ()
    signers: Sequence[Certificate] = ()
    """Certificates that may stand behind a list and are not on the path."""

    def __bool__(self) -> bool:
        return bool(self.lists or self.answers)


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict, and why, for the log."""

    standing: Standing
    why: str = ""


async def judge(path: Sequence[Certificate], fresh: Evidence, known: Evidence, now: float) -> Finding:
    """What is known of `path[0]`, whose issuers stand behind it, the anchor last.

    `fresh` may say "good"; `known`, which is all there is, may say "revoked".
    """
    found, standing, asked = Finding(Standing.UNKNOWN, "nothing current is known of it"), Standing.UNKNOWN, fresh
    if fresh:
        found = await _ask(path, fresh, _STRICT, now, parse=_parse)
        standing = found.standing
    if standing is Standing.UNKNOWN and known:
        second = await _ask(path, known, _LENIENT, now, parse=_parse_decodable)
        if second.standing is Standing.REVOKED:
            return second
        standing, asked = second.standing, known
    if standing is not Standing.REVOKED and _is_listed(path, known, asked if standing is Standing.GOOD else None):
        return Finding(Standing.REVOKED, "its issuer lists its serial number")
    return found


def _is_listed(path: Sequence[Certificate], known: Evidence, good: Evidence | None) -> bool:
    """Whether the newest word of its issuer about its number takes it back, whatever the certificate says of itself.

    Against `good`, for which the library calls it good, only a newer delta list counts: the library overlooks those
    that no complete list speaks of.
    """
    serial, issuer, said, since = path[0].parsed.serial_number, path[1], known.lists, float("-inf")
    if good is not None:
        said = [each for each in said if each.is_delta]
        since = max((*(each.this_update for each in good.lists if not each.is_delta),
                     *(each.this_update for each in good.answers)), default=since)  # fmt: skip
    try:
        words = sorted(
            (each.this_update, word)
            for each in said
            if each.this_update > since
            and (word := each.revokes(serial)) is not None
            and each.issuer == issuer_name(issuer.subject_der)
            and each.is_signed_by(issuer.spki_der)
        )
    except (BadList, BadCertificate):
        return False
    return bool(words) and words[-1][1]


async def _ask(
    path: Sequence[Certificate],
    evidence: Evidence,
    policy: CertRevTrustPolicy,
    now: float,
    *,
    parse: Callable[[bytes], Any],
) -> Finding:
    """What the library says; whatever it raises on foreign bytes is no answer."""
    try:
        leaf, *authorities = [parse(each.der) for each in path]
        signers = [parse(each.der) for each in evidence.signers]
        answers = [readable for each in evidence.answers if (readable := _readable(each, path[1])) is not None]
        # Also whoever signed a list or an answer may be revoked by one of the lists.
        concerned = [leaf, *authorities, *signers, *(each for answer in answers for each in _certificates(answer))]
        cuts = [each.about(certificate.serial_number for certificate in concerned) for each in evidence.lists]
        whole = ValidationPath(CertTrustAnchor(authorities[-1]), authorities[-2::-1], leaf)
        context = _context(whole, authorities, signers, cuts, answers, policy, datetime.fromtimestamp(now, UTC))
        answered = listed = Finding(Standing.UNKNOWN)
        if answers:
            answered = await _finding(lambda: verify_ocsp_response(leaf, whole, context))
        if cuts:
            listed = await _look_up(leaf, whole, context, has_delta=any(each.is_delta for each in evidence.lists))
    except Exception as error:  # noqa: BLE001 - asn1crypto and the validator raise what they like
        return Finding(Standing.UNKNOWN, f"{type(error).__name__}: {error}")
    for standing in (Standing.REVOKED, Standing.GOOD):
        for found in (listed, answered):
            if found.standing is standing:
                return found
    return Finding(Standing.UNKNOWN, "; ".join(each.why for each in (listed, answered) if each.why))


def _context(
    path: ValidationPath,
    authorities: Sequence[Any],
    signers: Sequence[Any],
    cuts: Sequence[Cut],
    answers: Sequence[Any],
    policy: CertRevTrustPolicy,
    moment: datetime,
) -> Any:
    context: Any = ValidationContext(
        trust_manager=SimpleTrustManager.build(trust_roots=[authorities[-1]]),
        other_certs=[*authorities, *signers],
        crls=[cut.parsed for cut in cuts],
        ocsps=answers,
        revinfo_policy=policy,
        time_tolerance=timedelta(0),
        signature_validator=_WholeLists(cuts),
    )
    # Given as `moment`, it would make a revocation dated later than now count for nothing.
    timing = ValidationTimingInfo(moment, moment, point_in_time_validation=False)
    context.timing_params = ValidationTimingParams(timing, timedelta(0))
    # The path is trusted, and each of its certificates is asked about for itself.
    anchor, below = path.trust_anchor, authorities[-2::-1]
    context.record_validation(authorities[-1], ValidationPath(anchor, [], None))
    for index, authority in enumerate(below):
        context.record_validation(authority, ValidationPath(anchor, below[:index], authority))
    return context


async def _look_up(leaf: Any, path: ValidationPath, context: ValidationContext, *, has_delta: bool) -> Finding:
    listed = await _finding(lambda: verify_crl(leaf, path, context, use_deltas=has_delta))
    if has_delta and listed.standing is Standing.UNKNOWN:
        # A complete list is whole without its delta (RFC 5280 section 5.2.6).
        return await _finding(lambda: verify_crl(leaf, path, context, use_deltas=False))
    return listed


async def _finding(question: Callable[[], Awaitable[None]]) -> Finding:
    try:
        await question()
    except RevokedError as error:
        return Finding(Standing.REVOKED, str(error))
    except Exception as error:  # noqa: BLE001 - as above
        details = "; ".join(str(failure[0]) for failure in getattr(error, "failures", ()))
        return Finding(Standing.UNKNOWN, details or f"{error}" or type(error).__name__)
    return Finding(Standing.GOOD)


def _readable(answer: Answer, issuer: Certificate) -> Any:
    """The answer as the library takes it, without certificates that the issuer did not sign; None if it cannot be."""
    try:
        response = ocsp.OCSPResponse.load(answer.der)
        offered = list(_certificates(response))[:MOST_RESPONDER_CERTIFICATES]
        response["response_bytes"]["response"].parsed["certs"] = [
            each for each in offered if _is_signed_by(each.dump(), issuer)
        ]
    except Exception:  # noqa: BLE001 - as above
        return None
    return response


def _certificates(response: Any) -> Iterable[Any]:
    return response["response_bytes"]["response"].parsed["certs"] or ()


def _is_signed_by(der: bytes, issuer: Certificate) -> bool:
    if der == issuer.der:
        return True
    try:
        x509.load_der_x509_certificate(der).verify_directly_issued_by(issuer.parsed)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion):
        return False
    return True


class _WholeLists(SignatureValidator):
    """The signature of a list that was cut is that of the whole list; any other is the library's to verify."""

    def __init__(self, cuts: Iterable[Cut]) -> None:
        self._lists = {cut.signed: cut.whole for cut in cuts}
        self._library = DefaultSignatureValidator()

    def validate_signature(
        self,
        signature: bytes,
        signed_data: bytes,
        public_key_info: keys.PublicKeyInfo,
        signature_algorithm: algos.SignedDigestAlgorithm,
        context: SignatureValidationContext = DEFAULT_VALIDATION_CONTEXT,
    ) -> None:
        whole = self._lists.get(signed_data)
        if whole is None:
            if is_weak(signature_algorithm):
                raise InvalidSignature
            self._library.validate_signature(signature, signed_data, public_key_info, signature_algorithm, context)
        elif not whole.is_signed_by(public_key_info.dump()):
            raise InvalidSignature


@lru_cache(maxsize=256)
def _parse(der: bytes) -> Any:
    return asn1_x509.Certificate.load(der)


@lru_cache(maxsize=256)
def _parse_decodable(der: bytes) -> Any:
    """The certificate without extensions that the library would stumble over; what is left is not believed to clear."""
    parsed = asn1_x509.Certificate.load(der)
    signed = parsed["tbs_certificate"]
    kept = [each for each in signed["extensions"] if _is_decodable(each)]
    if len(kept) == len(signed["extensions"]):
        return _parse(der)
    signed["extensions"] = kept
    return parsed


def _is_decodable(extension: Any) -> bool:
    try:
        _ = extension["extn_value"].parsed.native
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


_ANY_AGE: dict[str, Any] = {
    "freshness": timedelta(days=36500),
    "freshness_req_type": FreshnessReqType.MAX_DIFF_REVOCATION_VALIDATION,
}
"""What is fresh was decided before; the library is not asked again."""
_STRICT = CertRevTrustPolicy(RevocationCheckingPolicy.from_legacy("require"), **_ANY_AGE)
"""A signer that stands beside the path must be known to be good itself."""
_LENIENT = CertRevTrustPolicy(
    RevocationCheckingPolicy(RevocationCheckingRule.NO_CHECK, RevocationCheckingRule.NO_CHECK), **_ANY_AGE
)
