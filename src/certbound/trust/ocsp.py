"""Questions to OCSP responders and what is taken for an answer (RFC 6960, RFC 9654).

Rule 1: an answer is about the certificate that was asked about, made no earlier than one that is known already, and
not out of date; a nonce that comes back is the one that was sent.  Who may sign it is `trust.judgement`'s to say.
Rule 2: the name of a certificate in a question is a SHA-1 pair, which every responder knows; it identifies, and proves
nothing.
"""

import secrets
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from certbound.core.certificate import Certificate

MOST_BYTES = 64 * 1024
"""Of an answer."""
CLOCK_SKEW = 300.0
"""Seconds by which the clock of whoever signs may be ahead of ours."""


class BadAnswer(ValueError):
    """What came is no answer to what was asked."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is sent by POST as `application/ocsp-request`."""

    certificate: Certificate
    der: bytes = field(repr=False)
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An OCSP response, DER.  Times are seconds since the epoch."""

    der: bytes = field(repr=False)
    this_update: float
    next_update: float | None

    def ends_at(self, max_age: float) -> float:
        """When it counts no more; `max_age` seconds after it was made, if it does not say."""
        return self.this_update + max_age if self.next_update is None else self.next_update


def ask(certificate: Certificate, issuer: Certificate) -> Question:
    """A question nobody asked before."""
    nonce = secrets.token_bytes(32)
    request = (
        ocsp.OCSPRequestBuilder()
        .add_certificate(certificate.parsed, issuer.parsed, SHA1())  # noqa: S303
        .add_extension(x509.OCSPNonce(nonce), critical=False)
        .build()
    )
    return Question(certificate, request.public_bytes(Encoding.DER), nonce)


def read_answer(der: bytes, question: Question, *, max_age: float, now: float) -> Answer:
    """`der` as the answer to `question`.  `BadAnswer` if it is none, or too old, or from the future."""
    try:
        response = ocsp.load_der_ocsp_response(der)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise BadAnswer(f"the responder says {response.response_status.name}")
        nonces = [each.value.nonce for each in response.extensions if isinstance(each.value, x509.OCSPNonce)]
        serial = question.certificate.parsed.serial_number
        found = [each for each in response.responses if each.serial_number == serial]
        if len(found) != 1:
            raise BadAnswer("it is about another certificate")
        this_update = found[0].this_update_utc.timestamp()
        next_update = None if found[0].next_update_utc is None else found[0].next_update_utc.timestamp()
    except BadAnswer:
        raise
    except Exception as error:  # `cryptography` raises what it likes on extensions
        raise BadAnswer(f"not an OCSP response: {error}") from error
    if nonces and nonces != [question.nonce]:
        raise BadAnswer("it answers another question: the nonce is not ours")
    answer = Answer(der, this_update, next_update)
    if this_update > now + CLOCK_SKEW:
        raise BadAnswer("it was made in the future")
    if answer.ends_at(max_age) <= now:
        raise BadAnswer("it is out of date")
    return answer
