"""certbound.core.binding: which certificate a token is bound to, and never silently none (R14, R20, R21)."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certbound.core.authentication import AuthenticatedClient
from certbound.core.binding import Bind, choose_certificate, is_bound
from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.clients import Client, Method
from certbound.core.errors import InvalidRequest
from certbound.core.revoked import NOTHING_REVOKED, Revoked
from certbound.trust.authority import self_signed
from certificates import TODAY, peer
from proving import THIEF, certificate_of, client, proven

OTHERS = [each for each in Method if not each.is_mutual_tls]
"""Methods whose credential is no certificate: one on the connection binds, and authenticates nobody."""


def registered(method: Method, *, wants: bool) -> Client:
    """A client that asked for bound tokens, or did not."""
    return client(method, tls_client_certificate_bound_access_tokens=wants)


def choose(
    found: AuthenticatedClient,
    presented: PeerCertificate | None,
    policy: Bind = Bind.REQUESTED,
    *,
    revoked: Revoked = NOTHING_REVOKED,
    before: bool = False,
) -> Certificate | None:
    return choose_certificate(found, presented, policy, revoked=revoked, is_bound_before=before)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize(
    ("wants", "policy", "bound"),
    [
        (True, Bind.REQUESTED, True),
        (True, Bind.ALWAYS, True),
        (False, Bind.ALWAYS, True),
        (False, Bind.REQUESTED, False),
    ],
)
def test_who_is_bound(method: Method, wants: bool, policy: Bind, bound: bool) -> None:
    """A client that asks is bound under any policy, one that does not under `always` (RFC 8705 section 3.4); it is
    bound to the certificate that it authenticated with, or to whatever is on the connection (R14)."""
    one = registered(method, wants=wants)
    presented = certificate_of(method) or THIEF
    assert is_bound(one, policy) is bound
    assert choose(proven(one, presented), presented, policy) == (presented.leaf if bound else None)


@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.parametrize("policy", Bind)
def test_no_silent_downgrade(method: Method, policy: Bind) -> None:
    """A client whose tokens are to be bound gets `invalid_request`, 400, without a certificate, never a token (R20)."""
    with pytest.raises(InvalidRequest) as refusal:
        choose(proven(registered(method, wants=True)), None, policy)
    assert (refusal.value.error, refusal.value.status) == ("invalid_request", 400)


@pytest.mark.parametrize("method", OTHERS)
def test_what_was_bound_stays_bound(method: Method) -> None:
    """What comes from something bound is bound, though the client does not ask any more, or there is nothing."""
    found = proven(registered(method, wants=False))
    assert choose(found, THIEF) is None
    assert choose(found, THIEF, before=True) == THIEF.leaf
    with pytest.raises(InvalidRequest, match="over mutual TLS"):
        choose(found, None, before=True)


def test_an_unbound_client_needs_no_certificate() -> None:
    """A client that is not bound gets its unbound token with or without a certificate, fit to be bound to or not."""
    found = proven(registered(Method.PRIVATE_KEY_JWT, wants=False))
    weak = peer(self_signed("CN=weak", key=ec.generate_private_key(ec.SECP256K1()), now=TODAY))
    for presented in (None, THIEF, weak):
        assert choose(found, presented) is None


@pytest.mark.parametrize("method", OTHERS)
def test_a_certificate_that_is_not_fit(method: Method) -> None:
    """One with a weak key, or revoked here, cannot be bound to; the client is told which of both."""
    found = proven(registered(method, wants=True))
    weak = peer(self_signed("CN=weak", key=ec.generate_private_key(ec.SECP256K1()), now=TODAY))
    with pytest.raises(InvalidRequest, match="cannot be bound to: curve"):
        choose(found, weak)
    for thumbprint in THIEF.leaf.thumbprints:  # its other form included
        with pytest.raises(InvalidRequest, match="cannot be bound to: it was revoked here"):
            choose(found, THIEF, revoked=Revoked(certificates=frozenset({thumbprint})))


@pytest.mark.parametrize("method", OTHERS)
def test_the_dates_of_what_only_binds_do_not_count(method: Method) -> None:
    """Nothing is concluded from it but that whoever comes later has the same key (rule 2)."""
    found = proven(registered(method, wants=True))
    ended = peer(self_signed("CN=ended", now=TODAY - timedelta(days=3650), days=1))
    assert choose(found, ended) == ended.leaf
