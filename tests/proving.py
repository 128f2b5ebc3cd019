"""Authenticated clients for tests, of every method: each has shown what it registered."""

import asyncio
from dataclasses import replace
from typing import Any

from asserting import ALGORITHMS, assertion, form, jwks
from certbound.core.authentication import Accepted, AuthenticatedClient, authenticate, digest_of
from certbound.core.certificate import PeerCertificate
from certbound.core.clients import Client, Method, read_client
from certbound.core.credentials import Credential, Presented, read_credentials
from certbound.core.jwks import make_jwks
from certbound.core.ports import SecretRecord
from certbound.core.proofs import Sources
from certbound.core.revoked import NOTHING_REVOKED
from certbound.trust.authority import Authority, self_signed
from certbound.trust.published import PublishedNowhere
from certbound.trust.verifier import Trust
from certificates import NOW, TODAY, anchors, peer, read
from issuing import ISSUER

AUTHORITY = Authority.create("Clients", now=TODAY)
PKI = peer(AUTHORITY.issue("CN=a", dns=["a.example"], now=TODAY))
OWN = peer(self_signed("CN=own", now=TODAY))
THIEF = peer(self_signed("CN=thief", now=TODAY))
SECRET = "cbcs_secret"


class Uses:
    """Everything is used for the first time."""

    async def use(self, purpose: str, value: str, *, until: float, now: float) -> bool:
        return True


def client(method: Method, client_id: str = "a", **metadata: Any) -> Client:
    """A client of this method."""
    credentials: dict[Method, dict[str, Any]] = {
        Method.PRIVATE_KEY_JWT: {"jwks": jwks()},
        Method.TLS_CLIENT_AUTH: {"tls_client_auth_san_dns": "a.example"},
        Method.SELF_SIGNED_TLS_CLIENT_AUTH: {"jwks": make_jwks([OWN.leaf])},
    }
    given = {"token_endpoint_auth_method": method.value, **credentials.get(method, {}), **metadata}
    return read_client(client_id, given, secrets=(SecretRecord(digest=digest_of(SECRET)),))


def certificate_of(method: Method) -> PeerCertificate | None:
    """The one that the client authenticates with, if it does with one."""
    return {Method.TLS_CLIENT_AUTH: PKI, Method.SELF_SIGNED_TLS_CLIENT_AUTH: OWN}.get(method)


def proven(registered: Client, presented: PeerCertificate | None = None) -> AuthenticatedClient:
    """It has shown its credential; `presented` is the certificate of those that authenticate otherwise."""
    method, client_id = registered.method, registered.client_id
    shown = {
        Method.CLIENT_SECRET_BASIC: Presented(client_id, Credential.BASIC, SECRET),
        Method.CLIENT_SECRET_POST: Presented(client_id, Credential.POST, SECRET),
        Method.PRIVATE_KEY_JWT: read_credentials(**form(assertion(client_id, now=NOW))),
    }.get(method, Presented(client_id))
    return asyncio.run(
        authenticate(
            registered,
            shown,
            certificate_of(method) or presented,
            accepted=Accepted(methods=frozenset(Method), issuer=ISSUER, algorithms=ALGORITHMS),
            sources=Sources(chains=Trust(anchors(AUTHORITY)), published=PublishedNowhere(), uses=Uses()),
            revoked=NOTHING_REVOKED,
            now=NOW,
        )
    )


__all__ = ["AUTHORITY", "OWN", "PKI", "SECRET", "THIEF", "certificate_of", "client", "proven", "read", "replace"]
