"""Certificates that a declared proxy forwards: one contract for a listener, nothing detected, no fallback."""

from certbound.tls.forwarded.asgi import ForwardedCertificates
from certbound.tls.forwarded.contract import BadForwarded, Contract
from certbound.tls.forwarded.contracts import CONTRACTS, contract_of
from certbound.tls.forwarded.reading import ForwardedReader

__all__ = ["CONTRACTS", "BadForwarded", "Contract", "ForwardedCertificates", "ForwardedReader", "contract_of"]
