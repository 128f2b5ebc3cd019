"""The status list of our tokens, and where it is (draft-ietf-oauth-status-list-21 sections 8 and 9)."""

from certbound.core.metadata import STATUS_LIST
from certbound.core.status import MEDIA_TYPE, TTL
from certbound.server.call import Call, Reply, json_reply
from certbound.server.service import Service


async def status_list(_: Call, service: Service) -> Reply:
    """The list, as a signed JWT (section 8.2)."""
    # No ETag: the list is some 500 bytes, and signed anew before anybody asks twice for the same one.
    return Reply(200, await service.statuses.published(service.keys, service.clock), HEADERS)


async def status_lists(_: Call, service: Service) -> Reply:
    """The URIs of the lists: this one (section 9.3)."""
    return json_reply(200, {"status_lists": [service.offer.issuer + STATUS_LIST]}, RARELY_CHANGED)


HEADERS = (
    (b"content-type", MEDIA_TYPE.encode("ascii")),
    (b"cache-control", b"public, max-age=%d" % TTL),
)
RARELY_CHANGED = ((b"cache-control", b"public, max-age=300"),)
