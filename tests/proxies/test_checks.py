"""Each check on forwarded certificates is needed: switched off, at least one cell of the table says something else.

No proxy is needed here: those who speak as if they were one are enough.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from certbound.tls import proxies
from certbound.tls.forwarded import _values as values
from certbound.tls.forwarded import apache, asgi, envoy, haproxy, nginx, reading
from certbound.tls.forwarded.reading import ForwardedReader, Reading
from certbound.tls.header_names import folded
from certbound.tls.proxies import Believed, Proxies
from proxies import table
from proxies.frame import Kinds
from proxies.variants import as_the_proxy, title

Switch = Callable[[pytest.MonkeyPatch], None]


def _way(patch: pytest.MonkeyPatch) -> None:
    """Where it comes from is not asked."""
    patch.setattr(Proxies, "_way", lambda *_: "anywhere")


def _secret(patch: pytest.MonkeyPatch) -> None:
    """Any secret will do."""
    patch.setattr(proxies, "_is_one_of", lambda *_: True)


def _any_secret(patch: pytest.MonkeyPatch) -> None:
    """Whoever comes is believed."""
    patch.setattr(Proxies, "believe", lambda *_: Believed("nothing"))


def _stripped(patch: pytest.MonkeyPatch) -> None:
    """What strangers brought stays."""
    read = ForwardedReader.read

    def keeping(self: ForwardedReader, headers: Any, *rest: Any) -> Reading:
        found = read(self, headers, *rest)
        return Reading(list(headers), found.peer, is_believed=found.is_believed)

    patch.setattr(ForwardedReader, "read", keeping)


def _twins(patch: pytest.MonkeyPatch) -> None:
    """Only the very spelling is the contract's."""
    patch.setattr(reading, "folded", bytes.lower)


def _other_spellings(patch: pytest.MonkeyPatch) -> None:
    """Another spelling says the same."""

    def single(self: ForwardedReader, brought: Any) -> dict[str, bytes]:
        names = {folded(name): said for name, said in self._names.items()}
        return {names[folded(spelled)]: value for spelled, value in brought}

    patch.setattr(ForwardedReader, "_single", single)


def _duplicates(patch: pytest.MonkeyPatch) -> None:
    """Of two values the first counts."""

    def single(self: ForwardedReader, brought: Any) -> dict[str, bytes]:
        return {self._names[spelled.lower()]: value for spelled, value in reversed(brought)}

    patch.setattr(ForwardedReader, "_single", single)


def _verify(patch: pytest.MonkeyPatch) -> None:
    """A verify header that is missing is one that says all is well."""
    for module in (nginx, haproxy, apache):
        patch.setattr(module, "is_there", lambda values, status, known, *certificates: bool(certificates[0]))


def _size(patch: pytest.MonkeyPatch) -> None:
    """Any size will do, and so will the bytes behind: base64 that has an end is read until there."""
    patch.setattr(reading, "MAX_BYTES", 1 << 30)
    patch.setattr(ForwardedReader, "_certificate", lambda self, said: self.contract.read(_short(self._single(said))))


def _short(found: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: value[:-65536] if len(value) > 65536 else value for name, value in found.items()}


def _one_leaf(patch: pytest.MonkeyPatch) -> None:
    """Of several certificates the first is the one."""
    for module in (nginx, apache, envoy):
        patch.setattr(module, "only", lambda ders: ders[0])


def _whole_der(patch: pytest.MonkeyPatch) -> None:
    """What follows a certificate is cut off."""
    peer_of = values.peer_of
    patch.setattr(nginx, "peer_of", lambda leaf, chain=(): peer_of(leaf.removesuffix(b"\0\0"), chain))


def _hosts(patch: pytest.MonkeyPatch) -> None:
    """A certificate counts at any host."""
    patch.setattr(asgi, "asks_at", lambda *_: True)


CHECKS: tuple[Switch, ...] = (
    _way, _secret, _any_secret, _stripped, _twins, _other_spellings, _duplicates, _verify, _size, _one_leaf, _whole_der,
    _hosts,
)  # fmt: skip
HONEST = title(as_the_proxy)
SAFE = {"none", "certbound 400", "–"}
"""What a cell says but for the proxy itself."""


def cells(kinds: Kinds) -> dict[tuple[str, str], str]:
    """Of the contracts that between them have everything."""
    found = {name: table.found_past(name, kinds) for name in ("nginx", "envoy", "rfc9440")}
    return {(name, row): cell for name, rows in found.items() for row, cell in rows.items()}


def red(found: Mapping[tuple[str, str], str]) -> list[tuple[str, str]]:
    """Cells that must not be."""
    return [place for place, cell in found.items() if cell not in (SAFE if place[1] != HONEST else {"believed"})]


def test_with_every_check_no_cell_is_red(kinds: Kinds) -> None:
    """And the proxy itself is believed."""
    assert [] == red(cells(kinds))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.strip("_"))
def test_without_a_check_some_cell_is_red(check: Switch, kinds: Kinds, monkeypatch: pytest.MonkeyPatch) -> None:
    """So each is seen by the table."""
    check(monkeypatch)
    assert [] != red(cells(kinds))
