"""What endpoints share of OpenID Connect: ID tokens, and what each client knows a person by.

Rule 1: nobody is known by the id of a registered client: who sees such a `sub` could take the person for that client
(RFC 9700 section 4.15).
Rule 2: a client of a sector knows people by names that no other sector has, and that say nothing of who they are.
"""

from certbound.core import openid
from certbound.core.clients import Client
from certbound.core.errors import InvalidGrant
from certbound.core.grants.authorization_code import Agreed
from certbound.core.openid import Hint
from certbound.core.signing import sign_jwt
from certbound.server.service import Service


def id_token(service: Service, client: Client, agreed: Agreed, *, subject: str, access_token: str, now: float) -> str:
    """Who agreed, signed for the client, which knows them by `subject`."""
    key = service.keys.signing_with(client.id_token_alg)
    claims = openid.id_token_claims(
        agreed,
        issuer=service.offer.issuer,
        subject=subject,
        sid=openid.sid_for(client, agreed.sid),
        access_token=access_token,
        alg=key.alg,
        now=now,
    )
    return sign_jwt(claims, key, openid.ID_TOKEN_TYPE)


async def subject_for(service: Service, client: Client, subject: str) -> str:
    """What the client knows the person by: `sub`.  `InvalidGrant` (400) if `subject` is a registered client's id."""
    await require_person(service, subject)
    if not client.sector:
        return subject
    return await service.store.subjects.pairwise(subject, client.sector, proposed=service.new_id())


async def require_person(service: Service, subject: str) -> None:
    """`subject` is not a registered client's id, now; it may have been nobody's before.  `InvalidGrant` (400)."""
    if await service.clients.find(subject) is not None:
        raise InvalidGrant(f"the person's subject {subject!r:.300} is the id of a registered client")


async def person_of(service: Service, client: Client, sub: str) -> str:
    """The person whom the client knows by `sub`: the way back of `subject_for`."""
    return (client.sector and await service.store.subjects.reveal(sub)) or sub


async def hinted_subject(service: Service, client: Client, hint: str) -> str | None:
    """The person whom an `id_token_hint` of this client names; None if it is none of ours, or another client's."""
    found = read_hint(service, hint)
    if found is None or found.client_id != client.client_id:
        return None
    return await person_of(service, client, found.subject)


def read_hint(service: Service, hint: str) -> Hint | None:
    """What an ID token of ours says, whichever client's it is; None if it is none."""
    keys = service.keys
    return openid.read_hint(hint, keys=keys.key_set, algorithms=keys.algorithms, issuer=service.offer.issuer)
