"""What applications see behind real proxies is what `docs/reference/proxies.md` says, and none of it is forged.

Attacks 4, 5, 7, 8, 9, 11, 12, 13, 14, 17 and 28 of `docs/attacks.md`, and own findings on headers: each is a row.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from certbound.tls.forwarded import CONTRACTS
from proxies import table
from proxies.frame import Kinds, Program
from proxies.programs import PROGRAMS
from proxies.variants import VARIANTS, honest, title

Found = Mapping[str, Mapping[tuple[str, str], str]]
"""By purpose."""


@pytest.fixture(scope="module", params=PROGRAMS, ids=[each.name for each in PROGRAMS])
def program(request: pytest.FixtureRequest) -> Program:
    return request.param


@pytest.fixture(scope="module")
def found(program: Program, kinds: Kinds, tmp_path_factory: pytest.TempPathFactory) -> Found:
    each = {}
    for purpose in table.PURPOSES:
        folder = tmp_path_factory.mktemp(f"{program.name}-{purpose}")
        each[purpose] = table.found_behind(program, folder, kinds, purpose)
    return each


@pytest.mark.proxies
def test_no_client_is_taken_for_another(found: Found) -> None:
    """Whatever it sends, the application sees its own certificate, or none, or nothing."""
    for cells in found.values():
        for place, cell in cells.items():
            assert cell in {"its own", "none", "certbound 400", "closed"} or cell.startswith("proxy 4"), (place, cell)
            assert "its own" != cell or place[1] != "none", place


@pytest.mark.proxies
def test_honest_clients_are_seen_with_their_certificates(program: Program, found: Found) -> None:
    """Of every kind; two proxies refuse expired ones themselves."""
    for cells in found.values():
        seen = {kind: cells[title(honest), kind] for _, kind in cells}
        expired = seen.pop("expired")
        assert (expired != "its own") == program.refuses_expired
        assert {"none": "none", "CA-signed": "its own", "self-signed": "its own", "unknown CA": "its own"} == seen


@pytest.mark.proxies
def test_the_page_says_what_was_found(program: Program, found: Found) -> None:
    """If it differs and is right: python tests/proxies/table.py."""
    page = table.PAGE.read_text()
    assert table.section(page, program.name) == "\n".join(table.table(table.merged([*found.values()])))


@pytest.mark.proxies
@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_page_says_what_is_seen_past_the_proxy(contract: str, kinds: Kinds) -> None:
    """The same, for those who speak to the application as if they were the proxy."""
    lines = table.section(table.PAGE.read_text(), "Past the proxy").splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    said = {row[0]: row[head.index(contract)] for row in rows}
    found = table.found_past(contract, kinds)
    assert said == found


def test_variants_have_titles_of_their_own() -> None:
    """So no cell hides another."""
    assert len({title(each) for each in VARIANTS}) == len(VARIANTS)
    assert Path(table.PAGE).exists()
