"""Whom this deployment trusts, as its settings say: anchors, revocation, and the way to what others publish."""

import time
from typing import TYPE_CHECKING

from certbound.core.certificate import KeyThumbprint
from certbound.core.errors import ConfigurationError
from certbound.core.limits import read_limit
from certbound.core.revoked import RevocationMode
from certbound.settings import Settings
from certbound.trust.fetch import Fetcher
from certbound.trust.files import AnchorFiles
from certbound.trust.verifier import Issuers

if TYPE_CHECKING:
    from certbound.trust.revocation import Revocation

ANCHOR_INTERVAL = 0.5
"""Seconds between two looks at the files of trust anchors."""


def fetcher_of(settings: Settings) -> Fetcher:
    """How this deployment reads what others publish.  `ConfigurationError` if it cannot."""
    fetch = settings.fetch
    return Fetcher(private_addresses=fetch.private_addresses, timeout=fetch.timeout, ca=fetch.ca)


def revocation_of(settings: Settings, fetcher: Fetcher) -> "Revocation | None":
    """Who is asked whether certificates were revoked; nobody if that is off.  `ConfigurationError` if a CRL is bad."""
    asked = settings.revocation
    if asked.mode is RevocationMode.OFF:
        return None
    from certbound.trust.revocation import Places, make_revocation  # noqa: PLC0415 - 40 ms and 5 MB others do not need

    places = Places(asked.crl_files, asked.crl_urls, asked.ocsp, from_certificates=asked.from_certificates)
    return make_revocation(
        asked.mode, places, fetcher, max_age=asked.max_age, max_crl_bytes=asked.max_crl_bytes, clock=time.time
    )


def anchor_files(settings: Settings, issuers: Issuers | None = None) -> AnchorFiles:
    """The anchors of the settings; `issuers` tell which are revoked.  `ConfigurationError` if one cannot be read."""
    trust = settings.trust
    limits = {
        KeyThumbprint(each.anchor): read_limit(subject_dn=each.subject_dn, dns=each.dns, trust_domain=each.trust_domain)
        for each in trust.limits
    }
    try:
        return AnchorFiles(trust.anchors, trust.intermediates, folder=trust.folder, limits=limits, issuers=issuers)
    except ConfigurationError as error:
        raise ConfigurationError(f"[trust]: {error}") from error


def may_have_anchors(settings: Settings, anchors: AnchorFiles) -> bool:
    """There are anchors, or a watched folder that may be filled while the server runs."""
    return bool(anchors.trust.anchors) or settings.trust.folder is not None
