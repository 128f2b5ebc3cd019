"""What of a deployment ends some day: what is registered, and the files that the settings name."""

from collections.abc import Iterator

from certbound import app
from certbound.cli._certificates import read_chain
from certbound.core.certificate import Certificate
from certbound.core.clients import Client
from certbound.core.errors import ConfigurationError
from certbound.core.names import BadName, format_name
from certbound.server.directory import readable
from certbound.server.expiry import Ending, ending_of, registered
from certbound.settings import Settings
from certbound.trust.crl_frames import BadList
from certbound.trust.crls import read_lists
from certbound.trust.files import AnchorFiles


async def endings(settings: Settings) -> tuple[list[Ending], list[str]]:
    """Everything that ends, and what was not looked at, in words.  `ConfigurationError` if a file is missing."""
    async with app.opened_store(settings) as store:
        records = await store.clients.list()
    clients = [client for client in map(readable, records) if client is not None]
    found = [*registered(clients), *_authorities(settings), *_own(settings), *_lists(settings)]
    return found, list(_unread(settings, clients, len(records)))


def _authorities(settings: Settings) -> Iterator[Ending]:
    trust = settings.trust
    anchors = AnchorFiles(trust.anchors, trust.intermediates, folder=trust.folder).trust.anchors
    yield from (ending_of(f"trust anchor {_name(each)}", each) for each in anchors.anchors)
    yield from (ending_of(f"intermediate {_name(each)}", each) for each in anchors.intermediates)


def _own(settings: Settings) -> Iterator[Ending]:
    """The certificates that the server shows, with their chains."""
    server = settings.server
    for file in dict.fromkeys(filter(None, (server.certificate, server.mtls_certificate))):
        yield from (ending_of(f"server certificate {_name(each)} in {file}", each) for each in read_chain(file))


def _lists(settings: Settings) -> Iterator[Ending]:
    """Revocation lists in files; soon is the last quarter of their time, however long that is."""
    for file in settings.revocation.crl_files:
        try:
            lists = read_lists(file.read_bytes())
        except (OSError, BadList) as error:
            raise ConfigurationError(f"revocation.crls: {file} cannot be read: {error}") from error
        for each in lists:
            ends = each.ends_at(settings.revocation.max_age)
            yield Ending(title=f"CRL {file}", ends=ends, told_from=ends - (ends - each.this_update) / 4)


def _unread(settings: Settings, clients: list[Client], records: int) -> Iterator[str]:
    publishing = sum(each.jwks_uri is not None for each in clients)
    if publishing:
        yield f"{publishing} jwks_uri of clients"
    if broken := records - len(clients):
        yield f"{broken} clients that cannot be read"
    if urls := len(settings.revocation.crl_urls):
        yield f"{urls} CRLs behind URLs, which the server fetches"


def _name(certificate: Certificate) -> str:
    try:
        return format_name(certificate.subject_der) or certificate.thumbprint
    except BadName:
        return certificate.thumbprint
