"""What comes after a client was registered: for each thing that it may do, the step that tries it, or begins it."""

import shlex
from collections.abc import Callable, Sequence

from certbound.core.client_authorization import CODE_GRANT
from certbound.core.clients import Client
from certbound.core.grants import client_credentials, device_code
from certbound.core.metadata import AUTHORIZATION, DEVICE, DIRECT_ENDPOINTS, PAGES, PUSHED, TOKEN
from certbound.settings import Settings


def next_steps(client: Client, settings: Settings) -> Sequence[str]:
    """A line for each step; none where nobody can say what the client is for."""
    return [f"next{text}" for find in _STEPS if (text := find(client, settings))]


def _as_login_application(client: Client, settings: Settings) -> str:
    login = settings.login
    if login.url is None or client.client_id not in login.clients:
        return ""
    where = f"{_host(settings)}/interactions/ID"
    return f": people come to {login.url}?interaction=ID, and it answers at {where}"


def _for_people(client: Client, settings: Settings) -> str:
    if CODE_GRANT not in client.grant_types:
        return ""
    page = f"{settings.server.issuer}{PAGES[AUTHORIZATION]}"
    if client.must_push or settings.login.require_pushed:
        return f": it pushes its request to {_at(PUSHED, settings)}, and sends people to {page}"
    return f": it sends people to {page}"


def _on_a_device(client: Client, settings: Settings) -> str:
    if device_code.GRANT_TYPE not in client.grant_types:
        return ""
    return (
        f": it asks {_at(DEVICE, settings)} for a code, shows it to the person, who types it at "
        f"{settings.server.issuer}/device, and polls {_at(TOKEN, settings)}"
    )


def _for_itself(client: Client, settings: Settings) -> str:
    if client_credentials.GRANT_TYPE not in client.grant_types:
        return ""
    if not client.method.is_mutual_tls:
        return f": it asks {_at(TOKEN, settings)} for a token, by {client.method.value}"
    who = f"--client-id {shlex.quote(client.client_id)} --cert CERT --key KEY"
    return f", with its certificate: certbound token --issuer {settings.server.issuer} {who}"


def _at(endpoint: str, settings: Settings) -> str:
    return _host(settings) + DIRECT_ENDPOINTS[endpoint].path


def _host(settings: Settings) -> str:
    """Where clients call: the one that asks for certificates, if that is another."""
    return settings.server.mtls_url or settings.server.issuer


_STEPS: Sequence[Callable[[Client, Settings], str]] = (
    _as_login_application, _for_people, _on_a_device, _for_itself,
)  # fmt: skip
