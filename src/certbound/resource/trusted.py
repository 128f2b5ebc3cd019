"""Whose tokens an API accepts, and how what that issuer says is fetched.

Rule 1: what is fetched comes from the URLs of settings and of exactly that issuer's metadata.
Rule 2: whom we believe to be the issuer is said once, for all that is fetched of it.
"""

import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial

import httpx

from certbound.core.errors import ConfigurationError
from certbound.core.well_known import Issuer
from certbound.resource._identity import ClientIdentity
from certbound.resource.introspection import Introspection, Introspector
from certbound.resource.issuer import IssuerKeys, KeySource
from certbound.resource.status import IssuerStatuses, StatusSource
from certbound.resource.verify import ALGORITHMS


class TrustedIssuer:
    """An authorization server whose tokens are accepted."""

    def __init__(
        self,
        url: str,
        *,
        ca: str | ssl.SSLContext | None = None,
        require_status: bool = False,
        algorithms: Sequence[str] = ALGORITHMS,
        introspection: Introspection | None = None,
        keys: KeySource | None = None,
        statuses: StatusSource | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`url` is spelled as in tokens: https, without query and fragment.

        `ca` is a PEM file, or an SSL context, for an issuer whose server certificate the system's roots do not vouch
        for.  `require_status=True` refuses tokens that do not say where their status stands; of those that do, a
        revoked one is refused either way.  `introspection` says that the issuer is asked about tokens, and how.  `keys`
        and `statuses` are fetched from the issuer where they are not given.
        """
        self.url = url
        self.require_status = require_status
        self.algorithms = tuple(algorithms)
        context = ca if isinstance(ca, ssl.SSLContext) else _believing(ca)
        new_client = partial(httpx.AsyncClient, verify=context, timeout=5, trust_env=False)
        self.keys = keys or IssuerKeys(Issuer(url), new_client, time.monotonic)
        self.statuses = statuses or IssuerStatuses(
            Issuer(url), self.keys, new_client, time.monotonic, clock, algorithms=self.algorithms
        )
        self.introspector = None
        if introspection is not None:
            identity = ClientIdentity(introspection.certificate, introspection.key, ca)
            self.introspector = Introspector(Issuer(url), introspection, identity, new_client, clock)


def _believing(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        why = getattr(error, "strerror", None) if error.errno else getattr(error, "reason", None)
        raise ConfigurationError(
            f"issuer_ca: {ca} cannot be used: {why or error}; give a PEM file of the CAs that vouch for the issuer's "
            "server, or leave it out if the system knows them"
        ) from error
