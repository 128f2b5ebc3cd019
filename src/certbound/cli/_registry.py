"""The use cases around clients, for commands: what is refused is said of the option that gave it."""

import contextlib
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from certbound.cli._actor import actor
from certbound.cli._client_options import MEMBERS
from certbound.core.errors import ConfigurationError, InvalidClientMetadata
from certbound.core.ports import AlreadyExists, ClientRecord
from certbound.settings import Settings

if TYPE_CHECKING:
    from certbound.server.clients import ClientRegistry


@contextlib.asynccontextmanager
async def registry_of(settings: Settings) -> "AsyncIterator[ClientRegistry]":
    """Open until the command ends."""
    from certbound.app import open_registry  # half a second that `client --help` need not spend

    async with open_registry(settings, actor()) as registry:
        try:
            yield registry
        except InvalidClientMetadata as error:
            raise _as_option(error) from error


def _as_option(error: InvalidClientMetadata) -> ConfigurationError:
    """The refusal, naming the option that gave the field beside the field itself."""
    option = MEMBERS.get(re.split(r"[.\[]", error.field, maxsplit=1)[0])
    advice = "; certbound client update changes that client" if isinstance(error.__cause__, AlreadyExists) else ""
    return ConfigurationError(f"{option}: {error.reason}{advice}" if option else f"{error.reason}{advice}")


async def find(registry: "ClientRegistry", client_id: str) -> ClientRecord:
    """The client as it is kept.  `ConfigurationError` if there is none."""
    record = await registry.find(client_id)
    if record is None:
        raise no_client(client_id)
    return record


def no_client(client_id: str) -> ConfigurationError:
    """What is said of an id that nobody has."""
    return ConfigurationError(f"there is no client {client_id!r}; certbound client list shows those there are")
