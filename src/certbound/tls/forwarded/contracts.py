"""Every contract by its name."""

from collections.abc import Callable, Mapping

from certbound.core.errors import ConfigurationError
from certbound.tls.forwarded.contract import Contract
from certbound.tls.forwarded.nginx import Nginx
from certbound.tls.forwarded.rfc9440 import RFC9440

CONTRACTS: Mapping[str, Callable[[], Contract]] = {
    "rfc9440": RFC9440,
    "nginx": Nginx,
}


def contract_of(named: str | Contract) -> Contract:
    """The contract of that name with its default headers.  `ConfigurationError` if there is none."""
    if not isinstance(named, str):
        return named
    if named not in CONTRACTS:
        raise ConfigurationError(f"there is no contract {named!r}; choose one of {', '.join(CONTRACTS)}")
    return CONTRACTS[named]()
