"""Client authentication, by every method there is: the only way to become an `AuthenticatedClient` (RFC 6749 section
2.3, RFC 7523, RFC 8705 section 2).

Rule 1: `AuthenticatedClient` is made in `authenticate` and nowhere else; endpoints take it as an argument.
Rule 2: every failure is the same `InvalidClient`; only the reason and the step, which stay here, tell them apart.
Rule 3: cheap and pure before costly: a certificate whose name does not match causes no path to be built, and one
without a path causes nothing to be fetched.
Rule 4: a refusal costs what every refusal of what was presented costs, so its time does not tell whether there is such
a client; only who carries the registered name finds out, by the path that is looked for then.
Rule 5: the method is the one that the client registered, never the one that the request would like best.
"""

import contextlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Collection, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

import msgspec

from certbound.core.assertions import read_assertion_header, try_decoys, verify_assertion
from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.clients import Client, Method
from certbound.core.credentials import Credential, Presented
from certbound.core.errors import BadCertificate, InvalidClient, Untrusted
from certbound.core.jwks import match_registered
from certbound.core.jws import BadJwt, NoKey
from certbound.core.keys import StrongKey, require_strong_key
from certbound.core.proofs import KnownSecret, NothingProven, Proof, Sources, TrustedChain
from certbound.core.revoked import Revoked
from certbound.core.subject import match_subject, read_carried


class Step(StrEnum):
    """The questions of `authenticate`, in the order they are asked."""

    CLIENT = "the client is known and enabled"
    METHOD = "it shows the credential of the method that it registered, and that method is enabled"
    CERTIFICATE = "a certificate was presented, its key proven in the handshake"
    VALIDITY = "the certificate is valid now"
    KEY = "its key is strong enough"
    REVOKED_HERE = "it was not revoked here"
    REGISTERED = "it is one of the certificates that the client registered"
    SUBJECT = "it carries the subject that the client registered"
    PATH = "a path leads to a trust anchor that may speak for the client"
    AUTHORITIES = "no authority on the path was revoked here"
    REVOCATION = "no certificate on the path is revoked by its issuer"
    SECRET = "it is a secret of the client that counts now"  # noqa: S105
    ASSERTION = "the client signed the assertion, for this server and for now"
    FIRST_USE = "the assertion was not used before"


USED_LONGER = 900
"""Seconds that a `jti` is remembered after its assertion ended: by so much may the clocks of two servers differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What this deployment accepts, at the endpoint that asks."""

    methods: Set[Method]
    issuer: str
    """The one audience of assertions."""
    algorithms: Collection[str] = ()
    """Those of assertions."""


class AuthenticatedClient(msgspec.Struct, frozen=True):
    """Proof that the peer of this request is `client`, by `proof`.

    Where that is a certificate, it is `certificate`, with a `key` that is strong enough; else both are None, whatever
    certificate is on the connection.
    """

    client: Client
    certificate: Certificate | None
    key: StrongKey | None
    proof: Proof

    @property
    def authorities(self) -> tuple[str, ...]:
        """The thumbprints of the keys above the certificate, if a path to an anchor proved it."""
        path = self.proof.path[1:] if isinstance(self.proof, TrustedChain) else ()
        return tuple(each.key_thumbprint for each in path)


async def authenticate(
    client: Client | None,
    presented: Presented,
    peer: PeerCertificate | None,
    *,
    accepted: Accepted,
    sources: Sources,
    revoked: Revoked,
    now: float,
) -> AuthenticatedClient:
    """The client that was named is the one that sent the request.  `InvalidClient` (401) otherwise.

    `client` is what the store has under the `client_id` that was `presented`, `peer` what the TLS layer says,
    `revoked` what was revoked here, `now` seconds since the epoch.
    """
    asking = _Asking(presented, peer, accepted, sources, revoked, now)
    try:
        # (1) The client is known and enabled.
        if client is None:
            raise InvalidClient("no such client")
        if not client.enabled:
            raise InvalidClient("the client is disabled")
        # (2) What it shows is the credential of its one method, and that method is accepted here.
        asking.step = Step.METHOD
        method = _METHODS[client.method]
        if client.method not in accepted.methods:
            raise InvalidClient(f"{client.method} is not accepted here")
        if presented.credential is not method.credential:
            raise InvalidClient(f"{client.method} shows {method.credential}; presented was {presented.credential}")
        # (3) It proves the client.
        proof, key = await method.prove(client, asking)
    except (BadCertificate, Untrusted, BadJwt) as error:
        refusal = InvalidClient(str(error))
        _complete(refusal, asking)
        raise refusal from error
    except InvalidClient as refusal:
        _complete(refusal, asking)
        raise
    return AuthenticatedClient(client, key.certificate if key else None, key, proof)


def steps_of(method: Method) -> tuple[Step, ...]:
    """The questions that are asked of a client of this method, in order."""
    return (*_FIRST, *_METHODS[method].steps)


def digest_of(secret: str) -> str:
    """What is kept of a secret that a server made: its SHA-256, base64url.

    256 random bits cannot be guessed, so nothing slower is needed; a password would be another matter.
    """
    return urlsafe_b64encode(sha256(secret.encode("utf-8", "surrogatepass")).digest()).rstrip(b"=").decode("ascii")


class _Asking(msgspec.Struct):
    """What is asked about, and which question; what is raised meanwhile is its answer."""

    presented: Presented
    peer: PeerCertificate | None
    accepted: Accepted
    sources: Sources
    revoked: Revoked
    now: float
    step: Step = Step.CLIENT
    is_tried: bool = False
    """What can be done with a secret or a signature was done."""


def _complete(refusal: InvalidClient, asking: _Asking) -> None:
    """It knows its step; and whatever could have been done with what was presented has been done."""
    refusal.step = asking.step
    if asking.peer is not None:
        asking.revoked.includes(asking.peer.leaf)
        read_carried(asking.peer.leaf)
        with contextlib.suppress(BadCertificate):
            require_strong_key(asking.peer.leaf)
    if asking.is_tried or not asking.presented.value:
        return
    if asking.presented.credential is Credential.ASSERTION:
        try_decoys(asking.presented.value, algorithms=asking.accepted.algorithms)
    else:
        digest_of(asking.presented.value)


_Proven = tuple[Proof, StrongKey | None]
"""And the key of the certificate, where that is the proof."""


async def _prove_nothing(client: Client, asking: _Asking) -> _Proven:
    """RFC 6749 section 2.1: a public client has no credential; what it gets is bound to its certificate instead."""
    del client, asking
    return NothingProven(), None


async def _prove_by_secret(client: Client, asking: _Asking) -> _Proven:
    """RFC 6749 section 2.3.1: a secret that we made, and keep as a hash."""
    # (3a) Compared with each, whichever fits: the time tells nothing of their number or age.
    asking.step, asking.is_tried = Step.SECRET, True
    digest = digest_of(asking.presented.value).encode()
    fitting = [each for each in client.secrets if hmac.compare_digest(each.digest.encode(), digest)]
    if not fitting:
        raise InvalidClient("the secret is none of the client's")
    # (3b) It counts still.
    if fitting[0].ends_at is not None and asking.now >= fitting[0].ends_at:
        raise InvalidClient("the secret was replaced, and the time for both is over")
    return KnownSecret(fitting[0]), None


async def _prove_by_assertion(client: Client, asking: _Asking) -> _Proven:
    """RFC 7523 section 2.2: signed with a key that the client registered or publishes."""
    asking.step = Step.ASSERTION
    assertion, algorithms = asking.presented.value, asking.accepted.algorithms
    keys = client.keys
    if keys is None:
        kid = read_assertion_header(assertion, algorithms=algorithms).kid
        keys = await asking.sources.published.published_keys(client, kid, asking.now)
    # (3c) Signed by the client, for this server alone, and for now.
    try:
        verified = verify_assertion(
            assertion,
            client_id=client.client_id,
            issuer=asking.accepted.issuer,
            keys=keys,
            algorithms=algorithms,
            now=asking.now,
        )
    except BadJwt as error:
        asking.is_tried = not isinstance(error, NoKey)
        raise
    # With the one algorithm that it registered, if it did; only now, or a refusal would be quicker than others.
    alg = read_assertion_header(assertion, algorithms=algorithms).alg
    if client.assertion_alg not in (None, alg):
        asking.is_tried = True
        raise InvalidClient(f"the assertion is signed with {alg}; the client registered {client.assertion_alg}")
    # (3d) For the first time; asked last, of the store, so that nobody else can use it up.
    asking.step, asking.is_tried = Step.FIRST_USE, True
    # Of what may stand in a `jti`, a line end is nothing that a client_id has: no client uses up another's.
    used, until = f"{client.client_id}\n{verified.jti}", verified.expires_at + USED_LONGER
    if not await asking.sources.uses.use("client_assertion", used, until=until, now=asking.now):
        raise InvalidClient(f"the assertion {verified.jti!r:.80} was used before")
    return verified, None


async def _prove_by_certificate(client: Client, asking: _Asking) -> _Proven:
    """RFC 8705 section 2: the certificate on the connection, by the client's one of its two methods."""
    # (4) A certificate was presented, its key proven in the handshake.
    asking.step = Step.CERTIFICATE
    peer = asking.peer
    if peer is None:
        raise InvalidClient(
            f"{client.method} needs a certificate on the connection; none was presented "
            "(where the metadata has mtls_endpoint_aliases, only those ask for one)"
        )
    certificate = peer.leaf
    # (5) The certificate is valid now: on every request, not once per connection.
    asking.step = Step.VALIDITY
    if not certificate.is_valid_at(asking.now) and not client.ignores_validity:
        raise InvalidClient(f"certificate {certificate.thumbprint} is expired or not yet valid")
    # (6) Its key is strong enough, whoever signed it.
    asking.step = Step.KEY
    key = require_strong_key(certificate)
    # (7) Nobody revoked it here.
    asking.step = Step.REVOKED_HERE
    if asking.revoked.includes(certificate):
        raise InvalidClient(f"certificate {certificate.thumbprint} was revoked here")
    # (8) It is the client's.
    return await _CERTIFICATES[client.method](client, peer, asking), key


async def _prove_by_chain(client: Client, peer: PeerCertificate, asking: _Asking) -> Proof:
    """RFC 8705 section 2.1: the one registered subject, and a validated chain."""
    # (8a) The subject first: a pure comparison, before anything that costs.
    asking.step = Step.SUBJECT
    if client.subject is None:
        raise InvalidClient("the client has no registered subject")
    match_subject(peer.leaf, client.subject)
    # (8b) Then the path to a trust anchor that may speak for that subject.
    asking.step = Step.PATH
    chain = await asking.sources.chains.verify_chain(peer, client, asking.revoked, asking.now)
    # (8c) No key on the path was revoked here.
    asking.step = Step.AUTHORITIES
    if asking.revoked.authorities:
        for authority in chain.path[1:]:
            if authority.key_thumbprint in asking.revoked.authorities:
                raise InvalidClient(f"the authority with the key {authority.key_thumbprint} was revoked here")
    # (8d) Only now, of a chain that is trusted, may anybody be asked about revocation.
    asking.step = Step.REVOCATION
    return await asking.sources.chains.require_unrevoked(chain, asking.now)


async def _prove_by_registration(client: Client, peer: PeerCertificate, asking: _Asking) -> Proof:
    """RFC 8705 section 2.2: one of the registered certificates; its chain means nothing."""
    asking.step = Step.REGISTERED
    registered = client.certificates
    if client.jwks_uri is not None:
        registered = tuple(await asking.sources.published.published(client, peer.leaf, asking.now))
    return match_registered(peer.leaf, registered)


@dataclass(frozen=True, slots=True)
class _Method:
    credential: Credential
    prove: Callable[[Client, _Asking], Awaitable[_Proven]]
    steps: tuple[Step, ...]


_FIRST = (Step.CLIENT, Step.METHOD)
_CERTIFICATE = (Step.CERTIFICATE, Step.VALIDITY, Step.KEY, Step.REVOKED_HERE)

_CERTIFICATES: Mapping[Method, Callable[[Client, PeerCertificate, _Asking], Awaitable[Proof]]] = {
    Method.TLS_CLIENT_AUTH: _prove_by_chain,
    Method.SELF_SIGNED_TLS_CLIENT_AUTH: _prove_by_registration,
}

_METHODS: Mapping[Method, _Method] = {
    Method.NONE: _Method(Credential.NONE, _prove_nothing, ()),
    Method.CLIENT_SECRET_BASIC: _Method(Credential.BASIC, _prove_by_secret, (Step.SECRET,)),
    Method.CLIENT_SECRET_POST: _Method(Credential.POST, _prove_by_secret, (Step.SECRET,)),
    Method.PRIVATE_KEY_JWT: _Method(Credential.ASSERTION, _prove_by_assertion, (Step.ASSERTION, Step.FIRST_USE)),
    Method.TLS_CLIENT_AUTH: _Method(
        Credential.NONE,
        _prove_by_certificate,
        (*_CERTIFICATE, Step.SUBJECT, Step.PATH, Step.AUTHORITIES, Step.REVOCATION),
    ),
    Method.SELF_SIGNED_TLS_CLIENT_AUTH: _Method(
        Credential.NONE, _prove_by_certificate, (*_CERTIFICATE, Step.REGISTERED)
    ),
}
