"""Who asks one server that runs: one request to see what is answered, or many to see what that costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from measure import Load, Plan, Running, generator, load
from pki import Identity, Pki
from place import CACHE, BenchError

import client


@dataclass(frozen=True, slots=True)
class Asking:
    """The server, and whoever may ask it."""

    server: Running
    pki: Pki
    plan: Plan
    cores: tuple[int, int]

    @property
    def folder(self) -> Path:
        return CACHE / "run" / self.server.target.key

    def ask(self, identity: Identity | None, path: str, body: str) -> client.Answer:
        """One request on a connection of its own."""
        return client.ask(client.make_context(self.pki, identity), self.server.port, path, body)

    def require_refused(self, identity: Identity | None, path: str, body: str, *, never: bytes, who: str) -> None:
        """`BenchError` unless that is refused; `never` stands in no refusal."""
        answer = self.ask(identity, path, body)
        if answer.status not in {0, 400, 401, 403} or never in answer.body:
            raise BenchError(f"{who} was answered with {answer.status} {answer.body[:300]!r}")

    def load(self, identity: Identity, count: int, **more: object) -> Load:
        """So many requests, kept alive; `more` are options of the generator by their letters."""
        return load(
            self.server, self.cores, generator(self.server, identity, "keep", count, self.plan.connections, **more)
        )

    def write(self, bodies: Iterable[str]) -> Path:
        """A file of them, for the generator."""
        file = self.folder / "bodies"
        file.write_text("".join(f"{body}\n" for body in bodies))
        return file
