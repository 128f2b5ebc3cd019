"""Introspection and revocation of one server: issued tokens first, then questions about many of them in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import machine
from asking import Asking
from measure import Load, Plan, started
from pki import Pki
from place import BenchError
from targets import Target

LIVE = b'"active":true'
DEAD = b'{"active":false}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one life of one server showed."""

    first: Load
    """Introspection of tokens that nobody asked about before."""
    introspection: Load
    """And of the same again, as a resource server asks while a token is used."""
    revocation: Load


def question(target: Target, pki: Pki, plan: Plan, cores: tuple[int, int]) -> Answers:
    """`BenchError` if a live token is called dead or a revoked one live, or anybody else is told anything."""
    machine.wait_until_quiet(cores, patience=plan.patience)
    with started(target, pki, cores) as server:
        asking = _Questions(server, pki, plan, cores)
        tokens = asking.obtain(plan.asked)
        first = asking.introspect(tokens, plan.asked)
        introspection = asking.introspect(tokens, plan.asked)
        asking.require(tokens[0], LIVE)
        asking.refuse_strangers(tokens[0])
        few = plan.revoked // 5
        asking.revoke(tokens[:few])
        revocation = asking.revoke(tokens[few : few + plan.revoked])
        for at in (0, few, few + plan.revoked - 1):
            asking.require(tokens[at], DEAD)
        asking.require(tokens[-1], LIVE)
    return Answers(first=first, introspection=introspection, revocation=revocation)


class _Questions(Asking):
    def obtain(self, count: int) -> list[str]:
        """Tokens of client `pki`, from the token endpoint."""
        file = self.folder / "tokens"
        self.load(self.pki.client, count, u=self.server.target.path, b=self.server.target.body, o=file)
        return file.read_text().split()

    def introspect(self, tokens: Sequence[str], count: int) -> Load:
        """Client `api` asks about each in turn; every answer is `active`."""
        file = self.write(f"client_id=api&token={token}" for token in tokens)
        return self.load(self.pki.other_name, count, u=self.server.target.introspection, f=file, e=LIVE.decode())

    def revoke(self, tokens: Sequence[str]) -> Load:
        """Client `pki` gives each of its tokens back, once."""
        file = self.write(f"client_id=pki&token={token}" for token in tokens)
        return self.load(self.pki.client, len(tokens), u=self.server.target.revocation, f=file, e="")

    def require(self, token: str, expected: bytes) -> None:
        """Introspection says so of this token."""
        answer = self.ask(self.pki.other_name, self.server.target.introspection, f"client_id=api&token={token}")
        if answer.status != 200 or expected not in answer.body:
            raise BenchError(f"introspection answered {answer.status} {answer.body[:300]!r}, not {expected!r}")

    def refuse_strangers(self, token: str) -> None:
        """Nobody speaks for client `api` but the one with its certificate."""
        path, body = self.server.target.introspection, f"client_id=api&token={token}"
        for identity in (self.pki.client, self.pki.impostor, None):
            self.require_refused(identity, path, body, never=b"active", who="a stranger")
