"""Writes docs/reference/faces.md from the classes that the tests of faces run: `python tests/faces/table.py`.

What a face cannot do is declared beside a test of what happens instead, so the table holds nothing that no test shows.
"""

import importlib.util
import inspect
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "faces.md"
sys.path.insert(0, str(ROOT / "tests"))

from faces.suite import GuardedAPI  # noqa: E402  it is beside, and this may be run by hand


def faces() -> list[type[GuardedAPI]]:
    """Every class of tests/resource/faces that runs a server, in alphabetical order of what they are."""
    found: list[type[GuardedAPI]] = []
    for file in sorted((ROOT / "tests" / "resource" / "faces").glob("test_*.py")):
        if file.stem == "test_table":
            continue
        spec = importlib.util.spec_from_file_location(f"_face_{file.stem}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += [
            each
            for each in vars(module).values()
            if inspect.isclass(each) and issubclass(each, GuardedAPI) and each.__module__ == module.__name__
        ]
    return sorted((each for each in found if "title" in vars(each)), key=lambda each: (each.title, each.source))


def sentences() -> list[str]:
    """What is true of every face, as the suite has it."""
    return [name.removeprefix("test_") for name in vars(GuardedAPI) if name.startswith("test_")]


def page() -> str:
    """The document."""
    classes, reasons = faces(), list[str]()
    lines = [
        "<!-- Made by `python tests/faces/table.py`; do not edit. -->",
        "# Faces of the guard",
        "",
        "One suite asks the same of every face, each a real server that the tests start. A number says why something",
        "is otherwise there; a test shows what happens instead.",
        "",
        "| | face and server | where the certificate comes from |",
        "|---|---|---|",
        *(f"| {letter(at)} | {each.title} | {each.source} |" for at, each in enumerate(classes)),
        "",
        f"| | {' | '.join(letter(at) for at in range(len(classes)))} |",
        f"|---|{'---|' * len(classes)}",
    ]
    for sentence in sentences():
        cells = [_cell(each, sentence, reasons) for each in classes]
        lines.append(f"| {_written(sentence)} | {' | '.join(cells)} |")
    lines += ["", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1)), ""]
    return "\n".join(lines)


def letter(at: int) -> str:
    """A, B, …"""
    return chr(ord("A") + at)


def _cell(face: type[GuardedAPI], sentence: str, reasons: list[str]) -> str:
    reason = face.cannot.get(sentence)
    if reason is None:
        return "yes"
    if reason not in reasons:
        reasons.append(reason)
    return f"no ({reasons.index(reason) + 1})"


def _written(sentence: str) -> str:
    text = sentence.replace("_", " ").replace("proxys", "proxy's").replace(" api ", " API ").replace(" head ", " HEAD ")
    return re.sub(r"^.", lambda first: first[0].upper(), text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
