"""What an API asks of those who call it, and the one way to decide (RFC 6750, RFC 8705 section 3, RFC 9068, RFC 7662).

    api = ProtectedResource("https://api.example", issuer="https://as.example")

Rule 1: deciding does no I/O: what has to be fetched is yielded, and whoever drives it fetches.  `admit` awaits it;
`certbound.resource.blocking` is for threads.
Rule 2: the certificate is a fact of the connection; no header of the request is believed here.
Rule 3: a token that says where its status stands is accepted only while it stands there that it was not revoked.
Rule 4: what would be refused anyway causes no fetch.
"""

import ssl
import time
from collections.abc import Awaitable, Callable, Generator, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from certbound.core.bearer import read_bearer
from certbound.core.certificate import PeerCertificate
from certbound.core.errors import ConfigurationError, InvalidToken
from certbound.core.status import BadStatus, StatusList, StatusReference
from certbound.resource.introspection import Introspection
from certbound.resource.issuer import KeySource
from certbound.resource.memory import Digest, TokenMemory, Verified, digest
from certbound.resource.status import StatusSource
from certbound.resource.trusted import TrustedIssuer
from certbound.resource.verify import (
    ALGORITHMS,
    Policy,
    Principal,
    judge,
    read_header,
    read_issuer,
    read_token,
    require_same,
    verify_read,
)

Fetch = Callable[[], Awaitable[Any]]
"""Makes an awaitable of what has to be fetched."""
Steps = Generator[Fetch, Any, Principal]
"""Yields what has to be fetched, takes what came of it, and ends with who calls; or raises a refusal."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What of a request decides whether it may pass."""

    authorization: Sequence[bytes]
    """The values of all its Authorization headers."""
    peer: PeerCertificate | None
    """The certificate whose key its sender proved to hold, as the TLS layer or a declared proxy says."""
    query: bytes = b""
    """The query of its URL, where no token may be."""
    scopes: Set[str] = frozenset()
    """What this route needs, beside what the whole API needs."""


class ProtectedResource:
    """An API: what it is called, whose tokens it accepts, how bound and how far."""

    def __init__(
        self,
        resource: str,
        *,
        issuer: str | TrustedIssuer | Sequence[TrustedIssuer],
        audience: str | None = None,
        scopes: Set[str] = frozenset(),
        require_bound: bool = True,
        require_status: bool = False,
        algorithms: Sequence[str] = ALGORITHMS,
        introspection: Introspection | None = None,
        keys: KeySource | None = None,
        statuses: StatusSource | None = None,
        issuer_ca: str | ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`resource` is the identifier of the API (RFC 8707, RFC 9728), and what tokens have in `aud` unless `audience`
        says otherwise.  Every one of `scopes` is needed, on every route.

        `issuer` is the URL of an authorization server, spelled as in its tokens; then `require_status`, `algorithms`,
        `introspection`, `keys`, `statuses` and `issuer_ca` are as `TrustedIssuer` has them.  For several, give each as
        a `TrustedIssuer`.  `require_bound=False` also lets unbound tokens pass; a bound one needs its certificate all
        the same.  `clock` is in seconds since the epoch.  `ConfigurationError` for what no API can ask, such as an
        issuer that is no https URL.
        """
        if isinstance(issuer, str):
            issuer = TrustedIssuer(
                issuer, ca=issuer_ca, require_status=require_status, algorithms=algorithms, introspection=introspection,
                keys=keys, statuses=statuses, clock=clock,
            )  # fmt: skip
        else:
            _require_of_issuers(
                require_status=require_status, algorithms=algorithms != ALGORITHMS, introspection=introspection,
                keys=keys, statuses=statuses, issuer_ca=issuer_ca,
            )  # fmt: skip
        issuers = (issuer,) if isinstance(issuer, TrustedIssuer) else tuple(issuer)
        for each in issuers:
            if not isinstance(each, TrustedIssuer):
                raise ConfigurationError(f"issuer: of several, write each as TrustedIssuer({each!r:.200}, …)")
        asked = [each for each in issuers if each.introspector is not None]
        if not issuers or len({each.url for each in issuers}) < len(issuers) or len(asked) > 1:
            raise ConfigurationError(
                "name each issuer once, at least one, and at most one that is asked about tokens (introspection): a "
                "token that is no JWT does not say whom to ask"
            )
        self.resource = resource
        self.issuers = issuers
        self.scopes = scopes
        self.require_bound = require_bound
        self._clock = clock
        self._asked = asked[0] if asked else None
        self._issuers = {each.url: each for each in issuers}
        self._policies = {
            each.url: Policy(
                issuer=each.url, audience=resource if audience is None else audience, scopes=scopes,
                require_bound=require_bound, require_status=each.require_status, algorithms=each.algorithms,
            )
            for each in issuers
        }  # fmt: skip
        self._policies_asked = {url: replace(each, require_status=False) for url, each in self._policies.items()}
        self._seen = TokenMemory()

    async def admit(self, asked: Asked) -> Principal:
        """Who calls.  `ProtectedResourceError` says why not: 400, 401, 403, or 503 where an issuer does not answer."""
        steps = self.decide(asked)
        try:
            fetch = next(steps)
            while True:
                try:
                    found = await fetch()
                except Exception as error:  # noqa: BLE001 - it is the decision's
                    fetch = steps.throw(error)
                else:
                    fetch = steps.send(found)
        except StopIteration as end:
            principal: Principal = end.value
            return principal

    def admit_at_once(self, asked: Asked) -> Principal | None:
        """Who calls, raising what `admit` raises; None if something has to be fetched for it, and then ask `admit`."""
        steps = self.decide(asked)
        try:
            next(steps)
        except StopIteration as end:
            principal: Principal = end.value
            return principal
        steps.close()
        return None

    def decide(self, asked: Asked) -> Steps:
        """The steps of `admit`, without the I/O."""
        # (1) One token, in its place.
        token = read_bearer(asked.authorization, asked.query)
        # (2) Its issuer says what it says, for this API, now, and for the certificate on this connection.
        known_by = digest(token)
        seen = self._seen.find(known_by)
        if seen is not None:
            issuer, principal = seen.issuer, seen.principal
            self._require_still(principal, asked.peer)
        else:
            issuer, principal = yield from self._verified(token, known_by, asked.peer)
        # (3) It goes far enough for this route.
        principal.require(*asked.scopes)
        # (4) It was not revoked; only a token that would pass may cause a look at where that stands.
        reference = principal.status
        if reference is not None:
            listed = issuer.statuses.known(reference)
            if listed is None:
                listed = yield partial(issuer.statuses.list_of, reference)
            _require_valid(listed, reference)
        return principal

    def _verified(
        self, token: str, known_by: Digest, peer: PeerCertificate | None
    ) -> Generator[Fetch, Any, tuple[TrustedIssuer, Principal]]:
        """A token that was not seen before."""
        # (a) A token that is no JWT is one of the issuer that is asked about them.
        if self._asked is not None and not _is_jwt(token):
            return self._asked, (yield from self._introspected(token, self._asked, peer))
        # (b) Its issuer is one of ours, before anything is fetched for it.
        read = read_token(token)
        url = read_issuer(read)
        issuer = self._issuers.get(url)
        if issuer is None:
            raise InvalidToken(f"issued by {url!r:.200}, and trusted here is {' or '.join(map(repr, self._issuers))}")
        if issuer.introspector is not None and issuer.introspector.also_jwt:
            return issuer, (yield from self._introspected(token, issuer, peer))
        # (c) Its header is that of an access token, before anything is fetched for its key.
        policy = self._policies[url]
        header = read_header(read, policy)
        keys = issuer.keys.known(header.kid)
        if keys is None:
            keys = yield partial(issuer.keys.keys, header.kid)
        # (d) Everything else that it says.
        principal = verify_read(read, header, peer, keys=keys, policy=policy, now=self._clock())
        self._seen.keep(known_by, Verified(issuer, keys, principal))
        return issuer, principal

    def _introspected(
        self, token: str, issuer: TrustedIssuer, peer: PeerCertificate | None
    ) -> Generator[Fetch, Any, Principal]:
        introspector = issuer.introspector
        assert introspector is not None
        claims = introspector.known(token)
        if claims is None:
            claims = yield partial(introspector.ask, token)
        # The answer is the status, so none need be named; the rest is asked as of any token.
        policy = self._policies_asked[issuer.url]
        return judge(introspector.completed(claims, policy.audience), peer, policy=policy, now=self._clock())

    def _require_still(self, principal: Principal, peer: PeerCertificate | None) -> None:
        """What was true of a token that was verified before, and may not be now."""
        if self._clock() >= principal.expires_at:
            raise InvalidToken("it expired since it was verified")
        # The claims were in the hands of the application since, and are a dict; the proof is as it was.
        if principal.confirmed is not None:
            require_same(principal.confirmed, peer)


def _require_of_issuers(**given: object) -> None:
    """Nothing is said here that each `TrustedIssuer` says for itself.  `ConfigurationError`: it would count nowhere."""
    for name, value in given.items():
        if value:
            own = "ca" if name == "issuer_ca" else name
            raise ConfigurationError(f"{name}: give it to each TrustedIssuer, as {own}; here it would count for none")


def _is_jwt(token: str) -> bool:
    return token.count(".") == 2


def _require_valid(listed: StatusList, reference: StatusReference) -> None:
    try:
        valid = listed.is_valid(reference.index)
    except BadStatus as error:
        raise InvalidToken(str(error)) from error
    if not valid:
        raise InvalidToken(f"it was revoked: index {reference.index} of {reference.uri}")
