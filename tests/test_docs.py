"""What the documentation shows works: every block is run or read by the real thing, every link leads somewhere."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from certbound.settings import read

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)


@dataclass(frozen=True)
class Block:
    language: str
    title: str
    """The file that the block is the content of: ```python title="api.py"."""
    text: str


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(document: Path) -> list[Block]:
    found = re.findall(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', document.read_text(), re.MULTILINE | re.DOTALL)
    return [Block(*each) for each in found]


def is_make(block: Block) -> bool:
    return all(line.startswith(("make ", "git ", "cd ")) for line in block.text.splitlines() if line.strip())


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_block_says_what_it_is(document: Path) -> None:
    """A fence without a language would be run by nobody."""
    fences = re.findall(r"^```(.*)$", document.read_text(), re.MULTILINE)

    assert all(fences[::2]), f"{name(document)} has a fence without a language"


def test_no_two_documents_serve_on_one_port() -> None:
    """They are run side by side."""
    owners: dict[str, set[str]] = {}
    for document in DOCUMENTS:
        for port in re.findall(r"(?:localhost:|127\.0\.0\.1:|--port |port = )(\d{5})\b", document.read_text()):
            owners.setdefault(port, set()).add(name(document))
    assert not {port: found for port, found in owners.items() if len(found) > 1}
    assert owners


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    """Also when files move."""
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{name(document)}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_make_line_names_a_target(document: Path) -> None:
    """`make x` in a block is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in blocks(document):
        for target in re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE):
            assert target in targets, f"{name(document)}: make {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_settings_in_the_documentation_are_read(document: Path, tmp_path: Path) -> None:
    """A `toml` block is a `certbound.toml`."""
    for block in blocks(document):
        if block.language == "toml":
            read(tomllib.loads(block.text), where=name(document), base=tmp_path)


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if blocks(each)], ids=name)
def test_python_in_the_documentation_runs(document: Path, tmp_path: Path) -> None:
    """A `python` block is a program; one with a title is a file that other blocks use."""
    for block in blocks(document):
        if block.language == "python" and not block.title:
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", block.text],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert 0 == done.returncode, done.stderr


def scripts() -> list[Path]:
    return [
        each for each in DOCUMENTS if any(block.language == "bash" and not is_make(block) for block in blocks(each))
    ]


@pytest.mark.peers
@pytest.mark.parametrize("document", scripts(), ids=name)
def test_shell_blocks_run_one_after_the_other(document: Path, tmp_path: Path) -> None:
    """As a reader would paste them, in an empty folder; what they leave running is stopped."""
    if shutil.which("curl") is None:
        pytest.fail("curl is needed; apt-get install curl")
    lines = ["set -euo pipefail"]
    for block in blocks(document):
        if block.title:
            (tmp_path / block.title).write_text(block.text)
        elif block.language == "bash" and not is_make(block):
            lines.append(block.text)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    printed = tmp_path / ".printed"
    with printed.open("w") as out:
        process = subprocess.Popen(
            ["bash", "-c", "\n".join(lines)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        status = process.wait(timeout=100)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    assert 0 == status, printed.read_text()
