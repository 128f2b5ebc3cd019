"""What an access token of ours says, whatever its format: the same claims, and the same questions asked of them.

Rule: signed or kept, a token is live for the same reasons: it is ours, it is now, and its status is valid.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from certbound.core.authentication import digest_of
from certbound.core.jws import MAX_TOKEN, BadJwt, read_header, require_time, unverified_claims, verified_claims
from certbound.core.status import BadStatus, read_reference
from certbound.server.service import Service


class NotLive(Exception):
    """Why a token is not live, or not the business of whoever asks: for the log, and nobody else."""


@dataclass(frozen=True, slots=True)
class LiveToken:
    """Proof that an access token is ours, valid now, and not revoked; `index` is that of its status."""

    claims: Mapping[str, Any] = field(repr=False)
    index: int


async def read_access_token(
    token: str, service: Service, now: float, concerns: Callable[[Mapping[str, Any]], bool], *, asker: str = ""
) -> LiveToken:
    """The token, live at `now`; it `concerns` whoever asks, as its claims tell.  `NotLive` if it is anything else.

    `asker` is who may ask for the same again: for that client it is remembered.  `StoreUnavailable` if only the store
    could say.
    """
    # (1) We signed it, or we keep it.
    kids = [each.kid for each in service.keys.published] if asker else ()
    remembered = service.proven.find(token, asker, kids) if asker else None
    claims = remembered or await _said(token, service, now)
    if claims is None:
        raise NotLive("the token is none of this server")
    try:
        # (2) Its time is now.
        require_time(claims, now)
        reference = read_reference(claims.get("status"))
    except (BadJwt, BadStatus) as error:
        raise NotLive(f"the token {claims.get('jti')!r:.80}: {error}") from error
    # (3) It is the business of whoever asks; before the status, which may be one question more to the store: of the
    # tokens of others nobody learns, by the time it takes, whether they are there.
    if not concerns(claims):
        raise NotLive(f"the token {claims.get('jti')!r:.80} is for {claims.get('aud')!r:.200}, not for who asks")
    # (4) Nobody revoked it, its grant, its client, its certificate, or an authority above that.
    if reference.uri != service.statuses.uri or not await service.statuses.is_valid(reference.index, now=now):
        raise NotLive(f"the token {claims.get('jti')!r:.80} was revoked")
    if asker and remembered is None:
        service.proven.keep(token, asker, claims, kids)
    return LiveToken(claims, reference.index)


async def _said(token: str, service: Service, now: float) -> Mapping[str, Any] | None:
    return _signed(token, service) if token.count(".") == 2 else await _kept(token, service, now)


def _signed(token: str, service: Service) -> Mapping[str, Any] | None:
    try:
        if service.signed.has(token, service.keys.published):
            claims = unverified_claims(token)  # as it was signed here, and as what: no other text has that hash
        else:
            header = read_header(token, types=_TYPES, algorithms=service.keys.algorithms)
            claims = verified_claims(token, header, service.keys.key_set)
    except BadJwt:
        return None
    return claims if claims.get("iss") == service.offer.issuer else None


async def _kept(token: str, service: Service, now: float) -> Mapping[str, Any] | None:
    record = await service.store.tokens.find(digest_of(token[:MAX_TOKEN]), now=now)
    return None if record is None else record.claims


_TYPES = frozenset({"at+jwt"})
