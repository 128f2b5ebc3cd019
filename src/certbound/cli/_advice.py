"""What to change where `certbound explain` says that a step failed: one function per step.

Rule: advice names what is there and what was expected, in the same form, and commands that can be pasted.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from certbound.cli._certificates import option
from certbound.cli._output import date
from certbound.cli._path_advice import missing_links
from certbound.core.assertions import MAX_LIFETIME
from certbound.core.attributes import TYPES
from certbound.core.authentication import Step
from certbound.core.candidates import candidates
from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.clients import Client, Method
from certbound.core.credentials import JWT_BEARER
from certbound.core.errors import BadCertificate, InvalidClient, InvalidClientMetadata
from certbound.core.names import BadName, DistinguishedName, RdnOrder, parse_name
from certbound.core.subject import Subject, SubjectKind, match_subject
from certbound.settings import Settings
from certbound.trust.anchors import Anchors
from certbound.trust.sources import SourceKind, SourceStatus

if TYPE_CHECKING:
    from certbound.app import Authentication


@dataclass(frozen=True, slots=True)
class Case:
    """What was asked about."""

    authentication: "Authentication"
    settings: Settings
    client_id: str
    client: Client | None
    peer: PeerCertificate | None
    now: float

    @property
    def presented(self) -> PeerCertificate:
        """The certificate, where the question was about one."""
        if self.peer is None:
            raise LookupError("none was presented")
        return self.peer

    @property
    def update(self) -> str:
        """The beginning of the command that changes the client."""
        return f"certbound client update {shlex.quote(self.client_id)}"


async def advise(step: Step, case: Case) -> list[str]:
    """Lines for whoever runs the server."""
    if case.client is None:
        records = await case.authentication.store.clients.list()
        return list(_unknown(case.client_id, [each.client_id for each in records]))
    return list(_ADVICE[step](case, case.client))


def _unknown(client_id: str, there: list[str]) -> Iterator[str]:
    if client_id in there:
        yield f"it is stored and cannot be read; see: certbound client show {shlex.quote(client_id)}"
        return
    for near in get_close_matches(client_id, there, n=3):
        yield f"did you mean {near}?"
    yield "certbound client list shows those there are; certbound client add registers one"


def _disabled(case: Case, client: Client) -> Iterator[str]:
    del client
    yield f"switch it on: {case.update} --enable"
    yield "if it was revoked: certbound revoke --list shows what was, and when"


def _other_credential(case: Case, client: Client) -> Iterator[str]:
    method, enabled = client.method, case.settings.authentication.methods
    if method not in enabled:
        listed = ", ".join(f'"{each}"' for each in (*enabled, method))
        yield f"if clients are meant to authenticate so: authentication.methods = [{listed}]"
        return
    yield f"a certificate does not authenticate a client of {method}; its tokens are bound to the one it sends"
    yield f"to {case.settings.server.issuer}/token, or its alias, it must send:"
    yield from (f"  {line}" for line in _CREDENTIALS[method](case, client))


def _basic(case: Case, client: Client) -> Iterator[str]:
    del case
    yield f"Authorization: Basic, of {shlex.quote(quote_plus(client.client_id))}, a colon and its secret, in base64"
    yield from _secrets(client)


def _post(case: Case, client: Client) -> Iterator[str]:
    del case
    yield f"client_id={quote_plus(client.client_id)}&client_secret=…, in the body"
    yield from _secrets(client)


def _secrets(client: Client) -> Iterator[str]:
    if not client.secrets:
        yield "it has no secret yet"
    for each in client.secrets:
        until = "" if each.ends_at is None else f", until {date(each.ends_at)}"
        yield f"the secret that was made {date(each.created_at)}{until}"


def _assertion(case: Case, client: Client) -> Iterator[str]:
    settings = case.settings
    yield f"client_assertion_type={JWT_BEARER}"
    yield "client_assertion=…, a JWT that it signs:"
    yield f"  alg  {' or '.join(settings.authentication.assertion_algorithms)}"
    if client.keys is not None:
        yield f"  kid  {' or '.join(str(each.kid) for each in client.keys)}"
    else:
        yield f"  kid  that of a key at {client.jwks_uri}"
    yield f"  iss, sub  {client.client_id}"
    yield f"  aud  {settings.server.issuer}, as a string"
    yield f"  exp  at most {MAX_LIFETIME} seconds ahead"
    yield "  jti  another one each time"


_CREDENTIALS: Mapping[Method, Callable[[Case, Client], Iterator[str]]] = {
    Method.CLIENT_SECRET_BASIC: _basic,
    Method.CLIENT_SECRET_POST: _post,
    Method.PRIVATE_KEY_JWT: _assertion,
}


def _nothing_to_change(case: Case, client: Client) -> Iterator[str]:
    """Of what was not asked about: an assertion or a secret was sent to nobody here."""
    del case, client
    yield "the log of the server has the reason, under the request id of the answer"


def _no_certificate(case: Case, client: Client) -> Iterator[str]:
    del case, client
    yield "the client has to send its certificate to the mutual-TLS host; see mtls_endpoint_aliases in the metadata"


def _not_valid(case: Case, client: Client) -> Iterator[str]:
    leaf = case.presented.leaf
    yield f"it is valid from {date(leaf.not_before)} to {date(leaf.not_after)}; the question is about {date(case.now)}"
    if case.now < leaf.not_before:
        yield "use it later, or look at the clocks of the server and of whoever issued it"
    elif client.method is Method.TLS_CLIENT_AUTH:
        yield "renew it; a new certificate with the same name needs no change here"
    else:
        yield f"make a new one and register it beside the old: {case.update} --add-self-signed NEW.pem"


def _weak_key(case: Case, client: Client) -> Iterator[str]:
    del case, client
    yield "make a certificate for a new key: P-256, P-384, P-521, RSA of 2048 to 8192 bits, Ed25519, Ed448 or ML-DSA"


def _revoked_here(case: Case, client: Client) -> Iterator[str]:
    del client
    yield "certbound revoke --list shows since when; the client needs a new certificate, with a new key"
    yield f"if it was a mistake: certbound revoke --lift --thumbprint {case.presented.leaf.thumbprint}"


def _not_registered(case: Case, client: Client) -> Iterator[str]:
    leaf = case.presented.leaf
    yield f"presented   {leaf.thumbprint} until {date(leaf.not_after)}"
    if client.jwks_uri is not None:
        yield f"published   at {client.jwks_uri}"
        yield "let the client publish it there beside the others; certbound jwks OLD.pem NEW.pem writes the document"
        return
    for each in client.certificates:
        same = ", with the same key" if each.spki_der == leaf.spki_der else ""
        yield f"registered  {each.thumbprint} until {date(each.not_after)}{same}"
    yield "a certificate counts as a whole: one that was renewed for the same key is another one"
    yield f"if it is the client's: {case.update} --add-self-signed FILE"


def _other_subject(case: Case, client: Client) -> Iterator[str]:
    subject = client.subject
    if subject is None:
        return
    found = candidates(case.presented.leaf)
    yield f"registered  {option_of(subject.kind)} {subject.text}"
    same_kind = [each for each in found if each.kind is subject.kind]
    yield from (f"presented   {option_of(each.kind)} {each.text}" for each in same_kind)
    if not same_kind:
        yield f"presented   nothing of that kind ({option_of(subject.kind)})"
    if subject.kind is SubjectKind.DN:
        yield from _differences(case.presented.leaf, subject.text)
        if order := _order_that_matches(case.presented.leaf, subject):
            yield "only the order of its parts differs; if that is meant to count as the same:"
            yield f"  {case.update} --subject-dn {shlex.quote(subject.text)} --dn-order {order}"
    for each in found:
        if each.kind is not subject.kind and each.text.casefold() == subject.text.casefold():
            yield f"the text is in the certificate, but as {option_of(each.kind)}: a name counts in its own kind only"
    yield "if it is the client's certificate, register one of:"
    yield from (f"  {case.update} {option(each)}" for each in found if not each.problem)


def _differences(certificate: Certificate, registered: str) -> Iterator[str]:
    """What one has and the other has not, as it is compared: without case, without spaces that do not count."""
    try:
        here, there = parse_name(registered), certificate.subject
    except (BadName, BadCertificate):
        return
    for title, these, those in (("registered only ", here, there), ("presented only  ", there, here)):
        if only := [_rdn(each) for each in reversed(these) if each not in those]:
            yield f"{title} {','.join(only)}"


def _order_that_matches(certificate: Certificate, subject: Subject) -> RdnOrder | None:
    for order in RdnOrder:
        try:
            match_subject(certificate, Subject.registered(subject.kind, subject.text, order=order))
        except (InvalidClient, InvalidClientMetadata):
            continue
        return order
    return None


def _rdn(rdn: "frozenset[object] | DistinguishedName") -> str:
    return "+".join(sorted(_attribute(*each) for each in rdn))  # type: ignore[misc]


def _attribute(oid: str, value: object) -> str:
    name = TYPES[oid].names[0] if oid in TYPES else oid
    return f"{name}={'#' + value.hex() if isinstance(value, bytes) else value}"


def _no_path(case: Case, client: Client) -> Iterator[str]:
    trusted = case.authentication.anchors()
    if client.anchors.certificates:
        trusted = Anchors(client.anchors.certificates, trusted.intermediates)
    elif client.anchors.keys:
        trusted = trusted.only(client.anchors.keys)
    if trusted.anchors:
        yield from missing_links(case.presented, trusted, case.now)
        return
    if client.anchors.keys:
        yield f"no anchor in force has a key that the client named; all of them count: {case.update} --every-anchor"
    yield "there is nobody to trust; name who certifies this client in trust.anchors"


def _authority_revoked(case: Case, client: Client) -> Iterator[str]:
    del case, client
    yield "certbound revoke --list shows since when; the client needs a certificate of another authority"


def _revoked(case: Case, client: Client) -> Iterator[str]:
    del client
    revocation = case.settings.revocation
    yield f'revocation.mode is "{revocation.mode}"; asked were:'
    yield from (f"  {line}" for line in asked(case.authentication.revocation()))
    if not (revocation.crls or revocation.ocsp or revocation.from_certificates):
        yield "  nobody; name somebody in revocation.crls or revocation.ocsp"
    yield "if its issuer revoked it, the client needs a new certificate, with a new key"
    yield "if nobody knows, that issuer's CRL or OCSP responder is missing above, is out of date, or does not answer"


def asked(sources: Iterable[SourceStatus]) -> Iterator[str]:
    """Who was asked about revocation, and what came of it."""
    for each in sources:
        if each.problem:
            yield f"{each.kind} {each.where}: FAILED: {each.problem}"
        elif each.last_success is None:
            yield f"{each.kind} {each.where}: not asked"
        else:
            until = f", good until {date(each.ends_at)}" if each.ends_at is not None else ""
            count = "" if each.kind is SourceKind.OCSP else f", {each.entries} revoked"
            yield f"{each.kind} {each.where}: read{count}{until}"


def option_of(kind: SubjectKind) -> str:
    """How messages call a kind of name."""
    return kind.value.removeprefix("tls_client_auth_")


_ADVICE: Mapping[Step, Callable[[Case, Client], Iterator[str]]] = {
    Step.CLIENT: _disabled,
    Step.METHOD: _other_credential,
    Step.CERTIFICATE: _no_certificate,
    Step.VALIDITY: _not_valid,
    Step.KEY: _weak_key,
    Step.REVOKED_HERE: _revoked_here,
    Step.REGISTERED: _not_registered,
    Step.SUBJECT: _other_subject,
    Step.PATH: _no_path,
    Step.AUTHORITIES: _authority_revoked,
    Step.REVOCATION: _revoked,
    Step.SECRET: _nothing_to_change,
    Step.ASSERTION: _nothing_to_change,
    Step.FIRST_USE: _nothing_to_change,
}
