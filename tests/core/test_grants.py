"""certbound.core.grants: what a grant gives, never more than client and deployment have."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.binding import Bind, choose_certificate
from certbound.core.certificate import PeerCertificate
from certbound.core.clients import Client, ClientId, Method
from certbound.core.errors import (
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    OAuthError,
    UnacceptableToken,
    UnauthorizedClient,
)
from certbound.core.grants import GRANT_TYPES, Policy, TokenRequest, client_credentials, refresh_token, token_exchange
from certbound.core.grants.refresh_token import Granted
from certbound.core.ports import GrantRecord, RefreshTokenRecord
from certbound.core.revoked import NOTHING_REVOKED
from certbound.core.scope import Scope
from certbound.core.tokens import Grant
from certbound.trust.authority import self_signed
from certificates import NOW, TODAY, peer
from proving import OWN, PKI, THIEF, certificate_of, client, proven

API, OTHER, THIRD = "https://api.example", "https://other.example", "https://third.example"
POLICY = Policy(scope=Scope(frozenset({"read", "write"})), resources=[API, OTHER])
PHONE = peer(self_signed("CN=phone", now=TODAY))
NOTHING = TokenRequest(scope=None, resources=())


def registered(method: Method = Method.SELF_SIGNED_TLS_CLIENT_AUTH, **metadata: Any) -> Client:
    """A client that may read, and may do what nobody has here."""
    return client(method, **{"scope": "read admin", **metadata})


def asking(scope: str | None = None, *resources: str) -> TokenRequest:
    return TokenRequest(scope=scope, resources=resources)


def test_the_grants_there_are() -> None:
    """Those of machines and of people; neither the implicit grant nor passwords exist here (R29)."""
    assert {
        "client_credentials", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange",
        "authorization_code", "urn:ietf:params:oauth:grant-type:device_code",
    } == GRANT_TYPES  # fmt: skip


class TestClientCredentials:
    def granted(self, scope: str | None = None, *resources: str) -> Grant:
        return client_credentials.grant(proven(registered()), asking(scope, *resources), POLICY)

    def test_the_client_asks_for_itself(self) -> None:
        """It is the subject, at the default resource, with all scope it and we have."""
        grant = self.granted()
        assert (grant.client_id, grant.subject) == ("a", "a")
        assert list(grant.audience) == [API]
        assert grant.scope == {"read"}
        assert (grant.is_bound, grant.actor, grant.grant_id, grant.ends_at) == (False, None, "", None)

    def test_the_scope_is_the_smaller_of_the_clients_and_ours(self) -> None:
        """A scope that only the client has, or only the deployment, is not granted."""
        for scope in ("admin", "write", "read write"):
            with pytest.raises(InvalidScope):
                self.granted(scope)

    def test_resources(self) -> None:
        """A token is for the resources that were named, and one that is unknown is `invalid_target` (RFC 8707)."""
        assert list(self.granted(None, OTHER).audience) == [OTHER]
        assert tuple(self.granted(None, OTHER, API, OTHER).audience) == (OTHER, API)
        for unknown in ("https://evil.example", API + "/", "", "https://API.example"):
            with pytest.raises(InvalidTarget):
                self.granted(None, API, unknown)

    @pytest.mark.parametrize("method", Method)
    def test_a_public_client_has_no_credentials(self, method: Method) -> None:
        """Every other has."""
        found = proven(registered(method, grant_types=["client_credentials"]), PHONE)
        if method is Method.NONE:
            with pytest.raises(UnauthorizedClient):
                client_credentials.grant(found, NOTHING, POLICY)
        else:
            assert client_credentials.grant(found, NOTHING, POLICY).subject == "a"


def given_to(
    one: Client, presented: PeerCertificate | None = None, *, policy: Bind = Bind.ALWAYS, always: bool = False
) -> Granted:
    """What is kept when the client gets its first refresh token, as the endpoint does it."""
    found = proven(one, presented)
    grant = Grant(
        client_id=ClientId("a"), subject="x", audience=[API, THIRD], scope=Scope(frozenset({"read", "admin"}))
    )
    on_connection = certificate_of(one.method) or presented
    certificate = choose_certificate(found, on_connection, policy, revoked=NOTHING_REVOKED)
    return refresh_token.first(grant, found, certificate, always_rotates=always)


def record(granted: Granted, *, client_id: str = "a", **changes: Any) -> RefreshTokenRecord:
    """As the store has it."""
    content = json.loads(json.dumps(refresh_token.write(granted)))
    facts: dict[str, Any] = {"grant_id": "g", "client_id": client_id, "content": content, "seed": "s"}
    return RefreshTokenRecord(digest="d", grant=GrantRecord(**{**facts, **changes}))


def refreshed(
    found: RefreshTokenRecord | None,
    one: Client,
    presented: PeerCertificate | None = None,
    request: TokenRequest = NOTHING,
    policy: Policy = POLICY,
) -> Grant:
    on_connection = certificate_of(one.method) or presented
    return refresh_token.refresh(found, proven(one, presented), on_connection, request, policy)[0]


class TestRefresh:
    """R21 and R30: who may refresh what."""

    @pytest.mark.parametrize(("before", "now"), list(itertools.product(Method, Method)))
    def test_every_change_of_the_method(self, before: Method, now: Method) -> None:
        """What was given under one method is refused under a weaker one, and goes on under one as strong or stronger; a
        public client's, bound to a certificate, goes on over that one alone, whatever the client became."""
        found = record(given_to(registered(before), PHONE))
        changed = registered(now)
        certificates: Sequence[PeerCertificate | None] = [None, PHONE, THIEF, OWN, PKI]
        for presented in [certificate_of(now)] if now.is_mutual_tls else certificates:
            is_holder = before is not Method.NONE or presented is PHONE
            if now.strength >= before.strength and is_holder:
                assert refreshed(found, changed, presented).subject == "x"
            else:
                with pytest.raises(InvalidGrant):
                    refreshed(found, changed, presented)

    def test_methods_by_strength(self) -> None:
        """Nobody, a shared secret, a key."""
        assert [each.strength for each in Method] == [0, 1, 1, 2, 2, 2]

    @pytest.mark.parametrize("method", Method)
    def test_what_binds_a_refresh_token(self, method: Method) -> None:
        """Authentication, if the client does; else the certificate; else rotation, and only there unless all rotate."""
        is_public = method is Method.NONE
        bound = given_to(registered(method), PHONE)
        assert (bound.holder, bound.rotates) == (PHONE.leaf.thumbprint if is_public else "", False)
        assert bound.grant.is_bound
        if not method.is_mutual_tls:
            unbound = given_to(registered(method), policy=Bind.REQUESTED)
            assert (unbound.holder, unbound.rotates, unbound.grant.is_bound) == ("", is_public, False)
            if is_public:
                assert refreshed(record(unbound), registered(method)).subject == "x"
        assert given_to(registered(method), PHONE, always=True).rotates

    def test_who_asks_before_what_was_replaced(self) -> None:
        """Of a token that was replaced, another client and another certificate learn what everybody learns: so nobody
        without the certificate gets as far as the question of reuse."""
        granted = given_to(registered(Method.NONE), PHONE)
        for replaced_at in (None, NOW - 999):
            kept = record(granted)
            found = RefreshTokenRecord(digest="d", grant=kept.grant, replaced_at=replaced_at, is_successor_used=True)
            for one, presented in ((registered(Method.NONE), THIEF), (registered(Method.NONE), None)):
                with pytest.raises(InvalidGrant, match="is bound to certificate"):
                    refreshed(found, one, presented)

    def test_another_clients_token(self) -> None:
        """Is refused with its certificate and without, and so is none."""
        found = record(given_to(registered(Method.NONE), PHONE), client_id="b")
        for presented in (PHONE, None):
            with pytest.raises(InvalidGrant, match="belongs to 'b'"):
                refreshed(found, registered(Method.NONE), presented)
        with pytest.raises(InvalidGrant, match="no such refresh token"):
            refreshed(None, registered())

    def test_a_grant_that_was_revoked(self) -> None:
        """Gives nothing."""
        with pytest.raises(InvalidGrant, match="was revoked"):
            refreshed(record(given_to(registered()), valid=False), registered())

    def test_no_more_than_was_granted_and_than_there_is_now(self) -> None:
        """Neither scope nor resource; what client or deployment lost is not given any more, nor what they gained."""
        found = record(given_to(registered()))
        grant = refreshed(found, registered())
        assert (grant.scope, list(grant.audience), grant.grant_id) == ({"read"}, [API], "g")
        assert refreshed(found, registered(scope="")).scope == set()
        assert refreshed(found, registered(scope="read write")).scope == {"read"}
        for scope in ("write", "admin", "read write", ""):
            with pytest.raises(InvalidScope):
                refreshed(found, registered(scope="read write admin"), request=asking(scope))
        for resource in (OTHER, THIRD, API + "/"):
            with pytest.raises(InvalidTarget):
                refreshed(found, registered(), request=asking(None, resource))
        elsewhere = Policy(scope=POLICY.scope, resources=[OTHER])
        with pytest.raises(InvalidGrant, match="none of the resources"):
            refreshed(found, registered(), policy=elsewhere)

    def test_bound_for_ever(self) -> None:
        """What was bound stays bound, though the client does not ask any more and the deployment does not insist."""
        grant = refreshed(
            record(given_to(registered(Method.PRIVATE_KEY_JWT), PHONE)), registered(Method.PRIVATE_KEY_JWT)
        )
        found = proven(registered(Method.PRIVATE_KEY_JWT))
        with pytest.raises(InvalidRequest):
            choose_certificate(found, None, Bind.REQUESTED, revoked=NOTHING_REVOKED, is_bound_before=grant.is_bound)

    def test_what_is_kept_is_read_back(self) -> None:
        """Through JSON, an actor included."""
        actor = {"sub": "b", "act": {"sub": "c"}}
        grant = Grant(
            client_id=ClientId("a"), subject="x", audience=(API,), scope=Scope(frozenset({"read"})),
            is_bound=True, actor=actor, grant_id="g",
        )  # fmt: skip
        granted = Granted(grant=grant, method=Method.NONE, holder="h", rotates=True)
        kept = json.loads(json.dumps(refresh_token.write(granted)))
        assert refresh_token.read(kept, client_id="a", grant_id="g") == granted

    @given(st.dictionaries(
        st.sampled_from(["subject", "audience", "scope", "is_bound", "actor", "method", "holder", "rotates"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
        | st.just({}),
    ))  # fmt: skip
    def test_what_a_hand_wrote_is_read_or_refused(self, changes: dict[str, Any]) -> None:
        """No other exception leaves; and what does not say clearly that it is not bound, is."""
        kept = {**refresh_token.write(given_to(registered(Method.NONE), PHONE)), **changes}
        try:
            granted = refresh_token.read(kept, client_id="a", grant_id="g")
        except InvalidGrant:
            return
        assert granted.grant.is_bound is (kept["is_bound"] is not False)
        assert granted.rotates is (kept["rotates"] is not False)


def subject_token(**changes: Any) -> dict[str, Any]:
    """What the token says that a service was called with; `...` takes a claim away."""
    good = {
        "iss": "https://as.example", "sub": "user", "aud": API, "client_id": "first", "iat": int(NOW),
        "exp": int(NOW) + 60, "scope": "read write", "cnf": {"x5t#S256": "first's"},
    }  # fmt: skip
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def service(method: Method = Method.SELF_SIGNED_TLS_CLIENT_AUTH, **metadata: Any) -> Client:
    """A client that serves API."""
    return registered(method, **{"protected_resources": [API], **metadata})


def exchanged(claims: dict[str, Any], one: Client | None = None, request: TokenRequest = NOTHING) -> Grant:
    return token_exchange.exchange(claims, proven(one or service()), request, POLICY)


class TestExchange:
    """RFC 8693: a service calls on."""

    def test_what_it_gives(self) -> None:
        """The subject stays, the caller acts; no more scope than all have, no longer than the subject token, and bound
        as that was."""
        grant = exchanged(subject_token())
        assert (grant.client_id, grant.subject, grant.actor) == ("a", "user", {"sub": "a"})
        assert (grant.scope, list(grant.audience)) == ({"read"}, [API])
        assert (grant.ends_at, grant.is_bound) == (int(NOW) + 60, True)
        assert not exchanged(subject_token(cnf=...)).is_bound

    MEANT: tuple[dict[str, Any], ...] = (
        {"aud": API}, {"aud": [OTHER, API]}, {"aud": "a"}, {"aud": [THIRD, "a"]},
        {"aud": OTHER, "may_act": {"sub": "a"}},
    )  # fmt: skip
    NOT_MEANT: tuple[dict[str, Any], ...] = (
        {"aud": OTHER}, {"aud": [OTHER, THIRD]}, {"aud": ...}, {"aud": []}, {"aud": API + "/"}, {"aud": {API: 1}},
        {"aud": OTHER, "client_id": "a"}, {"aud": OTHER, "sub": "a"}, {"aud": OTHER, "may_act": {"sub": "b"}},
        {"aud": OTHER, "may_act": "a"}, {"aud": OTHER, "may_act": ["a"]}, {"aud": OTHER, "may_act": {}},
        {"aud": OTHER, "may_act": {"sub": ["a"]}}, {"aud": OTHER, "may_act": {"sub": "a", "iss": "https://other"}},
        {"aud": OTHER, "act": {"sub": "a"}},
    )  # fmt: skip

    def test_for_whom_it_was_meant(self) -> None:
        """For who serves its audience, is its audience, or is named in `may_act` and by nothing more."""
        for changes in self.MEANT:
            assert exchanged(subject_token(**changes)).subject == "user"
        for changes in self.NOT_MEANT:
            with pytest.raises(UnacceptableToken):
                exchanged(subject_token(**changes))
        with pytest.raises(UnacceptableToken):
            exchanged(subject_token(), registered())  # serves nothing

    def test_who_acted_before(self) -> None:
        """Stands within, the latest outside, and there is an end to it."""
        before = {"sub": "b", "act": {"sub": "c"}}
        assert exchanged(subject_token(act=before)).actor == {"sub": "a", "act": before}
        acts: Any = {"sub": "1"}
        for number in range(2, token_exchange.MOST_ACTORS):
            acts = {"sub": str(number), "act": acts}
        longest = exchanged(subject_token(act=acts)).actor
        with pytest.raises(UnacceptableToken, match="act one for another"):
            exchanged(subject_token(act=longest))

    def test_no_more_than_all_have(self) -> None:
        """The subject token, the client, and the deployment; a token without scope gives none."""
        assert exchanged(subject_token(), service(scope="read write admin")).scope == {"read", "write"}
        assert exchanged(subject_token(scope="write"), service(scope="read write")).scope == {"write"}
        assert exchanged(subject_token(scope=...)).scope == set()
        for scope, token in (("write", "read write"), ("read", "write"), ("admin", "admin read"), ("read", 7)):
            with pytest.raises(InvalidScope):
                exchanged(subject_token(scope=token), request=asking(scope))
        assert list(exchanged(subject_token(), request=asking(None, OTHER)).audience) == [OTHER]
        with pytest.raises(InvalidTarget):
            exchanged(subject_token(), request=asking(None, THIRD))

    @pytest.mark.parametrize("method", Method)
    def test_who_may_exchange(self, method: Method) -> None:
        """Whoever proved who it is."""
        found = proven(service(method), PHONE)
        if method is Method.NONE:
            with pytest.raises(UnauthorizedClient):
                token_exchange.require_authenticated(found)
        else:
            token_exchange.require_authenticated(found)

    @given(st.dictionaries(
        st.sampled_from(["aud", "may_act", "act", "scope", "cnf"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.sampled_from(["a", API, OTHER, "read"]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sub", "act"]), inner),
            max_leaves=6,
        ),
    ))  # fmt: skip
    def test_no_claims_get_more_than_there_is(self, changes: dict[str, Any]) -> None:
        """Whatever the token says, it is refused, or what is given is within what client and deployment have."""
        try:
            grant = exchanged(subject_token(**changes))
        except OAuthError:
            return
        assert grant.scope <= {"read"}
        assert (grant.client_id, grant.ends_at) == ("a", int(NOW) + 60)
        assert grant.actor is not None
        assert grant.actor["sub"] == "a"
