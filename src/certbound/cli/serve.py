"""`certbound serve`: the authorization server."""

from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import say_table
from certbound.core.well_known import Issuer, well_known
from certbound.settings import Settings


def serve(config: ConfigFile = None) -> None:
    """Run the authorization server that certbound.toml describes.

    It checks everything first, says where it serves, and stops at SIGINT or SIGTERM when the requests in flight are
    answered.  A log line per event goes to standard error.

    Example: certbound serve --config /etc/certbound/certbound.toml
    """
    settings = load_settings(config)
    from certbound import app  # half a second that `serve --help` need not spend

    app.serve(settings, on_ready=lambda addresses: _say_where(settings, addresses))


def _say_where(settings: Settings, addresses: list[tuple[str, int]]) -> None:
    server = settings.server
    issuer = Issuer(server.issuer)
    at = [f"on {_address(*address)}" for address in addresses]
    admin = [("admin", _admin_url(settings, addresses[-1]), at.pop())] if settings.admin.port is not None else []
    say_table([
        ("issuer", server.issuer, at[0]),
        ("mutual TLS", server.mtls_url or server.issuer, at[-1]),
        ("metadata", _origin(server.issuer) + well_known(issuer), ""),
        *admin,
    ])  # fmt: skip


def _admin_url(settings: Settings, address: tuple[str, int]) -> str:
    return f"{'https' if settings.admin.tls else 'http'}://{_address(*address)}/metrics"


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _address(host: str, port: int) -> str:
    if host.startswith("/"):
        return f"unix:{host}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
