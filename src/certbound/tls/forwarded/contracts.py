"""Every contract by its name."""

from collections.abc import Mapping
from typing import Any

from certbound.core.errors import ConfigurationError
from certbound.tls.forwarded.apache import Apache
from certbound.tls.forwarded.aws_alb import AWSALB, AWSALBVerify
from certbound.tls.forwarded.azure_app_service import AzureAppService
from certbound.tls.forwarded.caddy import Caddy
from certbound.tls.forwarded.cloudflare import Cloudflare, CloudflareDER
from certbound.tls.forwarded.contract import Contract, OwnHeaders
from certbound.tls.forwarded.envoy import Envoy
from certbound.tls.forwarded.gcp import GCP
from certbound.tls.forwarded.haproxy import HAProxy
from certbound.tls.forwarded.kong import Kong
from certbound.tls.forwarded.nginx import Nginx
from certbound.tls.forwarded.rfc9440 import RFC9440
from certbound.tls.forwarded.traefik import Traefik

CONTRACTS: Mapping[str, type[Any]] = {
    each.name: each
    for each in (
        RFC9440, Nginx, HAProxy, Envoy, Apache, Traefik, Caddy, AWSALB, AWSALBVerify, AzureAppService, GCP, Cloudflare,
        CloudflareDER, Kong,
    )
}  # fmt: skip
"""What `contract_of` makes, by name."""


def contract_of(named: str | Contract, /, **headers: str) -> Contract:
    """The contract of that name; `headers` rename its own by what they say: `certificate="ssl-client-cert"`.

    `ConfigurationError` if there is none, or if it has no such header.
    """
    if not isinstance(named, str):
        if headers:
            raise ConfigurationError("headers can be renamed where the contract is given by its name")
        return named
    if named not in CONTRACTS:
        raise ConfigurationError(f"there is no contract {named!r:.80}; choose one of {', '.join(CONTRACTS)}")
    kind: type[OwnHeaders] = CONTRACTS[named]
    if unknown := [each for each in headers if each not in kind.roles()]:
        raise ConfigurationError(
            f"the contract {named} has no header {unknown[0]!r:.80}; it has {', '.join(kind.roles())}"
        )
    made: Contract = CONTRACTS[named](**{f"{role}_header": header.lower() for role, header in headers.items()})
    return made
