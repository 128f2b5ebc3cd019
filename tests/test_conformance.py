"""`docs/conformance.md` and `docs/attacks.md` name code and tests that exist."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REQUIREMENTS = [*(f"R{number}" for number in range(1, 38)), *(f"S{number}" for number in range(1, 6))]
OPEN = "open"


def rows(document: str) -> list[list[str]]:
    """The cells of every table row but headings and rules."""
    lines = (ROOT / "docs" / document).read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("|")]
    return [each for each in cells if not set(each[0]) <= set("-: |") and each[0] not in {"id", "attack"}]


@cache
def names_in(file: Path) -> frozenset[str]:
    """Functions, classes and top-level names, methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            members = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            found.update(f"{node.name}.{each.name}" for each in members)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(target.id for target in targets if isinstance(target, ast.Name))
    return frozenset(found)


def missing(cell: str, base: str, separator: str) -> list[str]:
    """The references in a cell, `file:name` or `file::test`, that lead nowhere."""
    lost = []
    for reference in re.findall(r"`([^`]+)`", cell):
        file, _, name = reference.partition(separator)
        path = ROOT / base / file
        if not path.is_file() or (name and name.replace("::", ".") not in names_in(path)):
            lost.append(reference)
    return lost


def test_every_requirement_has_its_row() -> None:
    """R1 to R37 and S1 to S5, each once, in order; then what other documents ask, each table numbered from one."""
    found = [row[0] for row in rows("conformance.md")]
    assert REQUIREMENTS == found[: len(REQUIREMENTS)]
    others = found[len(REQUIREMENTS) :]
    counted = Counter(each[0] for each in others)
    assert others == [f"{letter}{number}" for letter in counted for number in range(1, counted[letter] + 1)]


@pytest.mark.parametrize("row", rows("conformance.md"), ids=lambda row: row[0])
def test_code_and_test_of_a_requirement_exist(row: list[str]) -> None:
    """Or the row says `open`, and then names no test."""
    _, _, code, test = row
    assert [] == missing(code, "src/certbound", ":")
    assert [] == missing(test, ".", "::")
    assert test == OPEN or test.startswith(f"{OPEN}:") or re.search(r"`tests/.+::", test)


@pytest.mark.parametrize("row", rows("attacks.md"), ids=lambda row: row[0][:40])
def test_the_test_against_an_attack_exists(row: list[str]) -> None:
    """An attack without a test is not kept out."""
    _, _, test = row
    assert re.search(r"`tests/.+::", test)
    assert [] == missing(test, ".", "::")
