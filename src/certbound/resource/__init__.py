"""What protects an API: a token is accepted only with the certificate it is bound to (RFC 8705 section 3).

from certbound.resource import Guard, ProtectedResource
app = Guard(app, ProtectedResource("https://api.example", issuer="https://as.example"))
"""

from certbound.resource.asgi import PRINCIPAL, Guard, principal_of
from certbound.resource.introspection import Introspection
from certbound.resource.issuer import FixedKeys, IssuerKeys, KeySource
from certbound.resource.protected import Asked, ProtectedResource
from certbound.resource.status import IssuerStatuses, StatusSource
from certbound.resource.trusted import TrustedIssuer
from certbound.resource.verify import Policy, Principal, verify

__all__ = [
    "PRINCIPAL", "Asked", "FixedKeys", "Guard", "Introspection", "IssuerKeys", "IssuerStatuses", "KeySource", "Policy",
    "Principal", "ProtectedResource", "StatusSource", "TrustedIssuer", "principal_of", "verify",
]  # fmt: skip
