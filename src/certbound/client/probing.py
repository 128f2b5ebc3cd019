"""Whether an API looks at certificates at all, found out in one call (RFC 8705 section 3).

    certbound.client.probe("https://as.example", "billing", "https://api.example/invoices", certificate="billing.pem",
                           key="billing.key", resource="https://api.example")

Rule 1: the stranger's certificate is made here for this call, and its key is written nowhere.
Rule 2: the token is fetched for this call alone, never one that is in use, and revoked at the end, where the server
        can do that.
"""

import time
from collections.abc import Callable
from pathlib import Path

from certbound.client.driving import drive
from certbound.client.expiry import require_in_force
from certbound.client.flow import Credential, Probed, discover
from certbound.client.flow import probe as probe_flow
from certbound.client.identity import Identity
from certbound.client.opening import identity_of
from certbound.client.transport import MinimumTLS, open_client
from certbound.trust.authority import self_signed


def probe(
    issuer: str,
    client: str | Credential,
    url: str,
    *,
    certificate: Path | str | bytes,
    key: Path | str | bytes | None = None,
    password: str | None = None,
    resource: str | None = None,
    scope: str | None = None,
    ca: Path | str | None = None,
    minimum_tls: MinimumTLS = "1.2",
    wall: Callable[[], float] = time.time,
) -> Probed:
    """What the API does with a token of ours over a certificate that is not ours; arguments as `open` has them.

    `url` is fetched by GET, once as ourselves and once as a stranger, so name one that changes nothing, and the
    smallest `scope` that it needs: an API that does not enforce binding has had the token from both.  No client can ask
    for a token that lives short (RFC 6749 has no word for it), so it is revoked; where the server has no revocation
    endpoint, it lives as long as the server lets it.
    """
    identity = identity_of(certificate, key, password).current()
    require_in_force(identity, wall())
    credential = Credential(client) if isinstance(client, str) else client
    with (
        open_client(identity, ca=ca, minimum_tls=minimum_tls) as us,
        open_client(_stranger(), ca=ca, minimum_tls=minimum_tls) as them,
    ):
        server = drive(us, discover(issuer))
        probing = probe_flow(server, credential, url, scope=scope, resource=resource, bound_to=identity.thumbprint)
        return drive(us, probing, strangers=them, wall=wall)


def _stranger() -> Identity:
    made = self_signed("CN=nobody", days=1)
    return Identity(made.chain_pem, made.key_pem)
