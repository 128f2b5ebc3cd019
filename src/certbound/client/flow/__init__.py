"""What a client does, without I/O: generators that yield a `Request`, take an `Answer`, and return what came of it.

    flow = client_credentials(server, Credential("billing"))
    request = next(flow)              # send it, however you like, over the client's certificate
    flow.send(Answer(200, {}, body))  # StopIteration.value is the Token

Rule 1: nothing here knows a clock, a socket or TLS; randomness is an argument.
Rule 2: a driver sends each request once, follows no redirect, and reads no more than `Request.most` bytes.
Rule 3: a request that says `stranger` goes over a certificate that nobody knows, one that says `mutual_tls` over the
        client's own.
"""

from certbound.client.flow.api import Api, Probed, describe_api, probe, require_binding
from certbound.client.flow.asking import introspect, revoke
from certbound.client.flow.bound import require_bound
from certbound.client.flow.code import Started, authorize, read_redirect, redeem
from certbound.client.flow.credential import Credential
from certbound.client.flow.device import Device, Pending, poll_device, start_device
from certbound.client.flow.discovery import DIRECT_ENDPOINTS, ServerMetadata, discover, read_metadata
from certbound.client.flow.grants import (
    ACCESS_TOKEN,
    REFRESH_TOKEN,
    Token,
    client_credentials,
    exchange,
    read_answer,
    refresh,
)
from certbound.client.flow.message import MAX_ANSWER, Answer, Flow, Request
from certbound.client.flow.registration import (
    Registered,
    delete_registration,
    read_registration,
    register,
    renew,
    replace_registration,
)

__all__ = [
    "ACCESS_TOKEN",
    "DIRECT_ENDPOINTS",
    "MAX_ANSWER",
    "REFRESH_TOKEN",
    "Answer",
    "Api",
    "Credential",
    "Device",
    "Flow",
    "Pending",
    "Probed",
    "Registered",
    "Request",
    "ServerMetadata",
    "Started",
    "Token",
    "authorize",
    "client_credentials",
    "delete_registration",
    "describe_api",
    "discover",
    "exchange",
    "introspect",
    "poll_device",
    "probe",
    "read_answer",
    "read_metadata",
    "read_redirect",
    "read_registration",
    "redeem",
    "refresh",
    "register",
    "renew",
    "replace_registration",
    "require_binding",
    "require_bound",
    "revoke",
    "start_device",
]
