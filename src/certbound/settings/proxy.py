"""The table [proxy]: what ends TLS in front of the server, and who may be believed to be it."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from certbound.settings.section import Secret, Section
from certbound.tls.proxies import SECRET_HEADER

ContractName = Literal[
    "rfc9440", "nginx", "haproxy", "envoy", "apache", "traefik", "caddy", "aws-alb", "aws-alb-verify",
    "azure-app-service", "gcp", "cloudflare", "cloudflare-der", "kong",
]  # fmt: skip


class Proxy(Section, frozen=True, kw_only=True):
    """What ends TLS in front of the server, and tells its two hosts by the Host header; nothing unless stated."""

    contract: Annotated[
        ContractName | None,
        Meta(
            description="How it says which certificate a client holds. Exactly this is read; nothing is detected.",
            examples=["nginx"],
        ),
    ] = None
    headers: Annotated[
        tuple[str, ...],
        Meta(
            description="Other names for headers of the contract, each as what=name.",
            examples=[["certificate=ssl-client-cert", "verify=ssl-client-verify"]],
        ),
    ] = ()
    networks: Annotated[
        tuple[str, ...], Meta(description="Its addresses, or CIDR networks.", examples=[["127.0.0.1"]])
    ] = ()
    socket: Annotated[
        Path | None,
        Meta(
            description="Unix socket to listen on instead of server.host and server.port; who may write to it may "
            "connect (0660).",
            examples=["/run/certbound/certbound.sock"],
        ),
    ] = None
    certificates: Annotated[
        tuple[Path, ...],
        Meta(
            description="Its own client certificates, PEM, with which it opens connections to the server.",
            examples=[["proxy.pem"]],
        ),
    ] = ()
    secret: Annotated[
        Secret | None,
        Meta(description="What it sends on each request, 32 characters at least; best given as a _FILE."),
    ] = None
    secret_files: Annotated[
        tuple[Path, ...],
        Meta(
            description="Files with one such secret each; two while one is being replaced.", examples=[["proxy.secret"]]
        ),
    ] = ()
    secret_header: Annotated[str, Meta(description="The header that it sends the secret in.")] = SECRET_HEADER
    without_secret: Annotated[
        bool,
        Meta(
            description="Believe every request on a connection of the proxy; what is smuggled through it is believed "
            "as well."
        ),
    ] = False
    client_address_header: Annotated[
        str | None,
        Meta(
            description="Where it says the client's address, last in the list; for the limit on failures and the "
            "audit. Without it they see the proxy's.",
            examples=["x-forwarded-for"],
        ),
    ] = None
    plaintext: Annotated[
        bool, Meta(description="Whether the server may speak plain HTTP on an address that others reach.")
    ] = False

    @property
    def renamed(self) -> dict[str, str]:
        """The name of each header that has another, by what it says."""
        return dict(each.split("=", 1) for each in self.headers)
