"""The code exchange and the refresh of one server, and what one of either costs us in database statements."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

import machine
from asking import Asking
from codes import REDIRECT_URI, SCOPE, VERIFIER
from measure import Load, Plan, Running, started
from pki import RESOURCE, Identity, Pki
from place import CACHE, BenchError
from targets import Target

import client

COUNTED = 30
"""Requests of either kind, one after the other; the median of what each cost counts."""
BETWEEN = 0.05
"""Seconds without a statement, after which what a request costs is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanges:
    """What one life of one server showed."""

    exchange: Load
    """A code for an access token, a refresh token and an ID token; each code once."""
    refresh: Load
    """A refresh token for an access token; each refresh token once."""


def exchange_all(target: Target, pki: Pki, plan: Plan, cores: tuple[int, int]) -> Exchanges:
    """`BenchError` if a code gives nothing, gives anything twice, or gives anything to anybody else."""
    machine.wait_until_quiet(cores, patience=plan.patience)
    few = plan.exchanged // 5
    with started(target, pki, cores) as server:
        asking = _Exchanges(server, pki, plan, cores)
        first, *codes = _make_codes(server, pki, asking.folder, 1 + few + plan.exchanged)
        asking.verify(first)
        asking.redeem(codes[:few])
        exchange, tokens = asking.redeem(codes[few:])
        asking.refresh(tokens[:few])
        refresh = asking.refresh(tokens)
    return Exchanges(exchange=exchange, refresh=refresh)


def count_statements(target: Target, pki: Pki, cores: tuple[int, int]) -> dict[str, dict[str, float]]:
    """The statements of one exchange and of one refresh by their first words, while nobody else asks anything."""
    with started(target, pki, cores) as server:
        folder = CACHE / "run" / target.key
        context, file = client.make_context(pki, pki.client), folder / "statements"
        codes = list(_make_codes(server, pki, folder, COUNTED))
        exchanges, refreshes = [], []
        for code in codes:
            before = _written(file)
            told = _tokens(client.ask(context, server.port, target.path, redeeming(code)))
            exchanges.append(_written(file) - before)
            before = _written(file)
            _tokens(client.ask(context, server.port, target.path, refreshing(told["refresh_token"])))
            refreshes.append(_written(file) - before)
    return {"code exchange": _usual(exchanges), "refresh": _usual(refreshes)}


def redeeming(code: str, verifier: str = VERIFIER) -> str:
    """The form that redeems a code."""
    return urlencode({
        "grant_type": "authorization_code",
        "client_id": "app",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": verifier,
        "resource": RESOURCE,
    })  # fmt: skip


def refreshing(token: str) -> str:
    """The form that uses a refresh token: for the API alone, since only one of the two would give an ID token too."""
    scope = next(each for each in SCOPE if each != "openid")
    return urlencode({
        "grant_type": "refresh_token",
        "client_id": "app",
        "refresh_token": token,
        "scope": scope,
        "resource": RESOURCE,
    })  # fmt: skip


class _Exchanges(Asking):
    def redeem(self, codes: Sequence[str]) -> tuple[Load, Sequence[str]]:
        """Each once; what that cost, and the refresh tokens."""
        kept = self.folder / "tokens"
        found = self._load(map(redeeming, codes), len(codes), e='"id_token"', o=kept, k="refresh_token")
        return found, kept.read_text().split()

    def refresh(self, tokens: Sequence[str]) -> Load:
        """Each once."""
        return self._load(map(refreshing, tokens), len(tokens), e='"access_token"')

    def verify(self, code: str) -> None:
        """What the client gets is bound to its certificate, and neither another certificate nor another verifier nor
        the same code again gets anything.
        """
        own, body = self.pki.client, redeeming(code)
        self._refuse(self.pki.other_name, body, "another certificate")
        self._refuse(None, body, "no certificate")
        self._refuse(own, redeeming(code, VERIFIER[::-1]), "another verifier")
        told = _tokens(self._ask(own, body))
        client.verify_token(told["access_token"], self.pki, own)
        refresh = refreshing(told["refresh_token"])
        self._refuse(self.pki.other_name, refresh, "another certificate")
        client.verify_token(_tokens(self._ask(own, refresh))["access_token"], self.pki, own)
        self._refuse(own, body, "the code again")
        self._refuse(own, refresh, "the refresh token of a code that came twice")

    def _refuse(self, identity: Identity | None, body: str, who: str) -> None:
        self.require_refused(identity, self.server.target.path, body, never=b"_token", who=who)

    def _ask(self, identity: Identity | None, body: str) -> client.Answer:
        return self.ask(identity, self.server.target.path, body)

    def _load(self, bodies: Iterable[str], count: int, **more: object) -> Load:
        return self.load(self.pki.client, count, u=self.server.target.path, f=self.write(bodies), **more)


def _make_codes(server: Running, pki: Pki, folder: Path, count: int) -> Sequence[str]:
    if server.target.codes is None:
        raise BenchError(f"nobody knows how codes come into {server.target.name}")
    return server.target.codes(pki, server.port, folder, count)


def _tokens(answer: client.Answer) -> dict[str, Any]:
    if answer.status != 200:
        raise BenchError(f"no tokens: {answer.status} {answer.body[:300]!r}")
    told: dict[str, Any] = json.loads(answer.body)
    return told


def _written(file: Path) -> Counter[str]:
    """What was executed so far, when nothing more comes."""
    size = -1
    while size != (size := file.stat().st_size):
        time.sleep(BETWEEN)
    return Counter(file.read_text().split())


def _usual(counts: Sequence[Counter[str]]) -> dict[str, float]:
    """The median of each word: what the server does now and then beside is not the request's."""
    words = sorted({word for each in counts for word in each})
    found = {word: median(each[word] for each in counts) for word in words}
    return {word: count for word, count in found.items() if count}
