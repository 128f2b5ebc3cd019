"""certbound.core.binding: which certificate a token is bound to, and never silently none (R14, R20, R21)."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certbound.core.binding import Bind, choose_certificate, is_bound
from certbound.core.clients import Client, read_client
from certbound.core.errors import InvalidRequest
from certbound.trust.authority import self_signed
from certificates import TODAY, peer, read

CERTIFICATE = self_signed("CN=any", now=TODAY)


def client(*, wants: bool) -> Client:
    """A client that asked for bound tokens, or did not."""
    return read_client(
        "a",
        {
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_san_dns": "a.example",
            "tls_client_certificate_bound_access_tokens": wants,
        },
    )


@pytest.mark.parametrize(
    ("wants", "policy", "bound"),
    [
        (True, Bind.REQUESTED, True),
        (True, Bind.ALWAYS, True),
        (False, Bind.ALWAYS, True),
        (False, Bind.REQUESTED, False),
    ],
)
def test_who_is_bound(wants: bool, policy: Bind, bound: bool) -> None:
    """A client that asks is bound under any policy, one that does not under `always` (RFC 8705 section 3.4)."""
    assert is_bound(client(wants=wants), policy) is bound
    assert (choose_certificate(client(wants=wants), peer(CERTIFICATE), policy) == read(CERTIFICATE)) is bound


def test_any_certificate_binds() -> None:
    """The certificate that binds need not authenticate: a self-signed one of a stranger does (R14, R21)."""
    assert choose_certificate(client(wants=True), peer(CERTIFICATE), Bind.REQUESTED) == read(CERTIFICATE)


@pytest.mark.parametrize("policy", Bind)
def test_no_silent_downgrade(policy: Bind) -> None:
    """A client whose tokens are to be bound gets `invalid_request`, 400, without a certificate, never a token (R20)."""
    with pytest.raises(InvalidRequest) as refusal:
        choose_certificate(client(wants=True), None, policy)
    assert (refusal.value.error, refusal.value.status) == ("invalid_request", 400)


def test_an_unbound_client_needs_no_certificate() -> None:
    """A client that is not bound gets its unbound token with or without a certificate."""
    assert choose_certificate(client(wants=False), None, Bind.REQUESTED) is None


def test_a_weak_key_binds_nothing() -> None:
    """A certificate with a weak key cannot be bound to."""
    weak = self_signed("CN=weak", key=ec.generate_private_key(ec.SECP256K1()), now=TODAY)
    with pytest.raises(InvalidRequest, match="cannot be bound to"):
        choose_certificate(client(wants=True), peer(weak), Bind.ALWAYS)
