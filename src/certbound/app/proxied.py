"""The server behind a proxy: who is believed, and what it hears of clients."""

from certbound.settings import Settings
from certbound.tls import ASGIApplication
from certbound.tls.forwarded.asgi import ForwardedCertificates
from certbound.tls.forwarded.behind import BehindProxy
from certbound.tls.secret_files import read_certificates, read_secrets


def behind_proxy(settings: Settings, app: ASGIApplication, asks_at: str) -> ASGIApplication:
    """`app` as the proxy of the settings reaches it: certificates are heard of at the host `asks_at` and nowhere else.

    `ConfigurationError` for a file that cannot be used.
    """
    proxy = settings.proxy
    secrets = read_secrets(proxy.secret_files, "proxy.secret_files")
    if proxy.secret is not None:
        secrets.append(proxy.secret)
    return ForwardedCertificates(
        BehindProxy(app, client_address_header=proxy.client_address_header),
        contract=str(proxy.contract),
        headers=proxy.renamed,
        secrets=secrets,
        networks=proxy.networks,
        unix_socket=proxy.socket is not None,
        certificates=read_certificates(proxy.certificates, "proxy.certificates"),
        secret_header=proxy.secret_header,
        without_secret=proxy.without_secret,
        hosts={asks_at},
    )
