"""certbound.core.grants.authorization_code: whoever lacks one thing that a code is bound to gets nothing, and no more
is given than was agreed to and than there is now.
"""

import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.clients import Client, Method
from certbound.core.errors import InvalidGrant, InvalidTarget
from certbound.core.grants import Policy, authorization_code, narrowed
from certbound.core.grants.authorization_code import Code
from certbound.core.ports import TicketKind, TicketRecord
from certbound.core.scope import Scope
from certbound.core.tokens import Grant
from certificates import NOW
from proving import client, proven

API, OTHER, THIRD = "https://api.example", "https://other.example", "https://third.example"
POLICY = Policy(scope=Scope(frozenset({"read", "write", "openid"})), resources=[API, OTHER])
VERIFIER = "v" * 43
BACK = "https://app.example/back"
CODE = Code(
    client_id="a",
    redirect_uri=BACK,
    code_challenge=urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode(),
    subject="alice",
    scope=("openid", "read"),
    resources=(API, OTHER),
    grant_id="g",
    ends_at=NOW + 60,
    auth_time=NOW - 5,
    acr="high",
    amr=("pwd", "otp"),
    sid="s",
    nonce="n",
)


def registered(method: Method = Method.NONE, **metadata: Any) -> Client:
    """A client that people let act for them."""
    given = {"grant_types": ["authorization_code"], "redirect_uris": [BACK], "scope": "openid read", **metadata}
    return client(method, **given)


def found(code: Code = CODE, **changes: Any) -> TicketRecord:
    """As the store has it."""
    content = {**json.loads(json.dumps(authorization_code.write(code))), **changes}
    return TicketRecord(kind=TicketKind.CODE, digest="d", content=content, ends_at=NOW + 60)


def redeemed(ticket: TicketRecord | None, one: Client | None = None, **shown: str) -> Code:
    given = {"redirect_uri": BACK, "code_verifier": VERIFIER, **shown}
    return authorization_code.redeem(ticket, proven(one or registered()), **given)


def granted(code: Code = CODE, one: Client | None = None, policy: Policy = POLICY) -> Grant:
    return authorization_code.grant(code, one or registered(), policy, subject="pairwise")


class TestRedeem:
    @pytest.mark.parametrize("method", Method)
    def test_who_has_everything(self, method: Method) -> None:
        """Gets what was agreed to, to the letter, however the client authenticates."""
        assert redeemed(found(), registered(method)) == CODE

    @pytest.mark.parametrize(
        ("ticket", "shown", "why"),
        [
            (None, {}, "no such code"),
            (found(msgspec.structs.replace(CODE, client_id="b")), {}, "belongs to 'b'"),
            (found(), {"redirect_uri": BACK + "/"}, "was sent to"),
            (found(), {"redirect_uri": BACK.upper()}, "was sent to"),
            (found(), {"redirect_uri": ""}, "was sent to"),
            (found(), {"code_verifier": "w" * 43}, "does not fit"),
            (found(), {"code_verifier": "v" * 44}, "does not fit"),
            (found(), {"code_verifier": CODE.code_challenge}, "does not fit"),
            (found(), {"code_verifier": "é" * 43}, "does not fit"),
            (found(), {"code_verifier": ""}, "does not fit"),
        ],
    )
    def test_who_lacks_one_thing(self, ticket: TicketRecord | None, shown: dict[str, str], why: str) -> None:
        """Gets nothing, and reads the same as everybody; the log knows which it was."""
        with pytest.raises(InvalidGrant, match=why) as caught:
            redeemed(ticket, **shown)
        assert caught.value.description == InvalidGrant.description

    def test_the_order(self) -> None:
        """The client is asked about first, then the redirect URI, then the verifier: the reason names the first."""
        everything_wrong = found(msgspec.structs.replace(CODE, client_id="b"))
        with pytest.raises(InvalidGrant, match="belongs to"):
            redeemed(everything_wrong, redirect_uri="x", code_verifier="y")
        with pytest.raises(InvalidGrant, match="was sent to"):
            redeemed(found(), redirect_uri="x", code_verifier="y")

    @pytest.mark.parametrize("name", ["client_id", "redirect_uri", "code_challenge", "subject", "scope", "grant_id"])
    def test_what_a_hand_broke(self, name: str) -> None:
        """Is no code."""
        for value in (None, 7, {"a": 1}):
            with pytest.raises(InvalidGrant, match="no such code"):
                redeemed(found(**{name: value}))

    @given(st.text(max_size=200))
    def test_only_the_verifier_fits(self, text: str) -> None:
        """Whatever else is shown is refused, and nothing but that refusal happens."""
        if text != VERIFIER:
            with pytest.raises(InvalidGrant):
                redeemed(found(), code_verifier=text)


class TestGrant:
    def test_it_is_the_persons(self) -> None:
        """By the name that the client knows, for all that was agreed to, under the id that stands in the code."""
        grant = granted()
        assert (grant.client_id, grant.subject, grant.grant_id) == ("a", "pairwise", "g")
        assert (tuple(grant.audience), grant.scope) == ((API, OTHER), {"openid", "read"})
        assert (grant.is_bound, grant.actor, grant.ends_at) == (False, None, None)

    def test_no_more_than_there_is_now(self) -> None:
        """What client or deployment lost since is not given, nor what they gained."""
        assert granted(one=registered(scope="read write")).scope == {"read"}
        assert granted(policy=Policy(scope=Scope(frozenset({"openid"})), resources=[OTHER, THIRD])).scope == {"openid"}
        assert tuple(granted(policy=Policy(scope=POLICY.scope, resources=[OTHER, THIRD])).audience) == (OTHER,)
        with pytest.raises(InvalidGrant, match="none of the resources"):
            granted(policy=Policy(scope=POLICY.scope, resources=[THIRD]))

    def test_a_token_may_be_for_fewer_resources(self) -> None:
        """Of those agreed to; another one, though it is known here, is `invalid_target` (RFC 8707 section 2.2)."""
        assert tuple(narrowed(granted(), []).audience) == (API, OTHER)
        assert tuple(narrowed(granted(), [OTHER, OTHER]).audience) == (OTHER,)
        only_one = msgspec.structs.replace(CODE, resources=(API,))
        for resource in (OTHER, THIRD, "", API + "/"):
            with pytest.raises(InvalidTarget):
                narrowed(granted(only_one), [resource])
