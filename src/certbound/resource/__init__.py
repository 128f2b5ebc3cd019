"""What protects an API: a token is accepted only with the certificate it is bound to (RFC 8705 section 3).

from certbound.resource import Guard
app = Guard(app, issuer="https://as.example", audience="https://api.example")
"""

from certbound.resource.guard import PRINCIPAL, Guard
from certbound.resource.issuer import FixedKeys, IssuerKeys, KeySource
from certbound.resource.status import IssuerStatuses, StatusSource
from certbound.resource.verify import Policy, Principal, verify

__all__ = [
    "PRINCIPAL", "FixedKeys", "Guard", "IssuerKeys", "IssuerStatuses", "KeySource", "Policy", "Principal",
    "StatusSource", "verify",
]  # fmt: skip
