"""Where everything meets: settings become a store, anchors, keys, an application and the ports it is served on."""

from certbound.app.listeners import make_ports
from certbound.app.policy import accepted, api_of, offer_of
from certbound.app.run import check, serve
from certbound.app.service import Authentication, open_authentication, open_service
from certbound.app.signing import open_key_keeper, signing_keys
from certbound.app.storage import open_registry, open_revoker, opened_store
from certbound.app.trusted import ANCHOR_INTERVAL

__all__ = [
    "ANCHOR_INTERVAL",
    "Authentication",
    "accepted",
    "api_of",
    "check",
    "make_ports",
    "offer_of",
    "open_authentication",
    "open_key_keeper",
    "open_registry",
    "open_revoker",
    "open_service",
    "opened_store",
    "serve",
    "signing_keys",
]
