"""certbound.core.grants.device_code: codes that people can type, and what a device is told while they decide."""

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.clients import Client, Method
from certbound.core.errors import AccessDenied, ExpiredToken, InvalidGrant
from certbound.core.grants import device_code
from certbound.core.grants.device_code import LETTERS, DeviceRequest
from certbound.core.login import Login
from certbound.core.ports import TicketKind, TicketRecord
from certificates import NOW
from proving import client, proven

APPROVED = Login(subject="alice", auth_time=NOW - 9, acr="high", amr=("pwd",), sid="s")
REQUEST = DeviceRequest(
    client_id="a", scope=("openid", "read"), resources=("https://api.example",), grant_id="g", ends_at=NOW + 900
)


def registered() -> Client:
    return client(Method.NONE, grant_types=[device_code.GRANT_TYPE])


def found(request: DeviceRequest = REQUEST, **changes: Any) -> TicketRecord:
    """As the store has it."""
    content = {**json.loads(json.dumps(device_code.write(request))), **changes}
    return TicketRecord(kind=TicketKind.DEVICE_CODE, digest="d", content=content, ends_at=NOW + 1500)


class TestUserCodes:
    @given(st.text())
    def test_what_they_look_like(self, secret: str) -> None:
        """Two times four letters that nobody confuses, and that make no word; read back as typed."""
        made = device_code.make_user_code(secret)
        assert re.fullmatch(f"[{LETTERS}]{{4}}-[{LETTERS}]{{4}}", made)
        assert device_code.typed(made) == made.replace("-", "")

    def test_each_secret_makes_its_own(self) -> None:
        """All letters stand at all places."""
        codes = [device_code.make_user_code(f"{each}").replace("-", "") for each in range(400)]
        assert len(set(codes)) == 400
        assert all({code[place] for code in codes} == set(LETTERS) for place in range(8))

    @pytest.mark.parametrize("text", ["WDJB-MJHT", "wdjbmjht", " wdjb mjht ", "W.D.J.B.M.J.H.T", "wdjb\u2014mjht\n"])
    def test_as_people_type_them(self, text: str) -> None:
        """Neither case nor what stands between the letters matters (RFC 8628 section 6.1)."""
        assert device_code.typed(text) == "WDJBMJHT"

    @pytest.mark.parametrize(
        "text", ["", "WDJB", "WDJB-MJHTX", "ﬀ" * 8, "Ｗ" * 8, "ß" * 4, "1234-5678", " " * 70 + "WDJBMJHT", "\x00"]
    )
    def test_what_is_none(self, text: str) -> None:
        """Too few letters, too many, or letters of other alphabets that would become some."""
        assert device_code.typed(text) == ""


class TestRedeem:
    def test_whose_it_is(self) -> None:
        """The client's that asked, as it asked."""
        assert device_code.redeem(found(), proven(registered())) == REQUEST

    @pytest.mark.parametrize(
        ("ticket", "why"),
        [
            (None, "no such device code"),
            (found(msgspec.structs.replace(REQUEST, client_id="b")), "belongs to 'b'"),
            (found(grant_id=None), "no such device code"),
            (found(approved="alice"), "no such device code"),
            (found(is_denied="no"), "no such device code"),
        ],
    )
    def test_whose_it_is_not(self, ticket: TicketRecord | None, why: str) -> None:
        """And what a hand broke."""
        with pytest.raises(InvalidGrant, match=why):
            device_code.redeem(ticket, proven(registered()))


class TestDecision:
    def test_while_nobody_decided(self) -> None:
        assert device_code.decision(REQUEST, now=NOW) is None

    def test_what_was_agreed_to(self) -> None:
        """As if it had been a code: what was asked for, and who agreed, by what login."""
        agreed = device_code.decision(device_code.decide(REQUEST, APPROVED), now=NOW)
        assert agreed is not None
        assert (agreed.client_id, agreed.subject, agreed.scope) == ("a", "alice", ("openid", "read"))
        assert (agreed.resources, agreed.grant_id) == (("https://api.example",), "g")
        assert (agreed.auth_time, agreed.acr, agreed.amr, agreed.sid) == (NOW - 9, "high", ("pwd",), "s")

    def test_what_was_denied(self) -> None:
        denied = device_code.decide(REQUEST, None)
        assert denied.is_decided
        with pytest.raises(AccessDenied):
            device_code.decision(denied, now=NOW)

    @pytest.mark.parametrize("approved", [APPROVED, None])
    def test_what_came_too_late(self, approved: Login | None) -> None:
        """Whatever the person said, the device that asks after the end is told that it is over."""
        for request in (REQUEST, device_code.decide(REQUEST, approved)):
            with pytest.raises(ExpiredToken):
                device_code.decision(request, now=NOW + 900.1)


class TestPolling:
    def poll(self, *waits: float) -> Sequence[bool]:
        """Whether each poll came too soon, after so many seconds each."""
        request, now, soon = REQUEST, NOW, []
        for wait in waits:
            now += wait
            request, is_soon = device_code.polled(request, now=now)
            soon.append(is_soon)
        return soon

    def test_in_time(self) -> None:
        """The first at once, then every five seconds, or later; a network may take a little of it."""
        assert self.poll(0, 5, 5, 60, 4.2) == [False] * 5

    def test_too_soon(self) -> None:
        """Each time five seconds more, which stay."""
        assert self.poll(0, 1, 5, 10, 14, 19.5) == [False, True, True, True, True, True]
        assert self.poll(0, 1, 9.5, 10, 5, 15) == [False, True, False, False, True, False]

    def test_it_is_kept(self) -> None:
        """As the store keeps it."""
        request, _ = device_code.polled(REQUEST, now=NOW)
        assert device_code.read(json.loads(json.dumps(device_code.write(request)))) == request
