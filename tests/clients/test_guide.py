"""What docs/how-to/foreign-clients.md shows is what runs: each program in it, and the Apache that the tests start."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clients.programs import HERE, INSTALLED, needs

GUIDE = HERE.parent.parent / "docs" / "how-to" / "foreign-clients.md"
BLOCKS = re.findall(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', GUIDE.read_text(), re.MULTILINE | re.DOTALL)
FILES = {title: text for language, title, text in BLOCKS if title and language != "apache"}
APACHE = [text for language, _, text in BLOCKS if language == "apache"]
COMMANDS = {
    ".mjs": "node {}",
    ".py": f"{INSTALLED}/venv/bin/python -W error {{}}",
    ".go": "go build -o program && ./program",
}


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(
    "text", [text for language, _, text in BLOCKS if language == "apache"], ids=["api", "keys", "asked"]
)
def test_the_apache_of_the_guide_is_the_one_that_is_tested(text: str) -> None:
    """Line by line, in this order; comments between them may be only there."""
    tested = lines_of((HERE / "apache" / "httpd.conf").read_text())
    start = tested.index(lines_of(text)[0])
    directives = [line for line in tested[start:] if not line.startswith("#")]
    shown = [line for line in lines_of(text) if not line.startswith("#")]
    assert shown == directives[: len(shown)]


@pytest.mark.clients
def test_every_program_of_the_guide_runs(tmp_path: Path) -> None:
    """In one folder, on the server that the guide starts; each prints what the API answers to its client."""
    needs(INSTALLED / "venv", INSTALLED / "node" / "node_modules", "node", "go", "curl")
    for title, text in FILES.items():
        (tmp_path / title).write_text(text)
    for name in ("go.mod", "go.sum"):
        shutil.copy(HERE / "go" / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(INSTALLED / "node" / "node_modules")
    [first, *rest] = [text for language, title, text in BLOCKS if language == "bash"]
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT", first]
    for title in FILES:
        lines += [f"echo; echo {title}:", COMMANDS[Path(title).suffix].format(title)]
    script = "\n".join([*lines, "echo; echo curl:", *rest])
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_CA_BUNDLE")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**inherited, "PATH": path, "GOFLAGS": "-mod=readonly", "GOPROXY": "off"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    printed = dict(re.findall(r"^(\S+):\n(.*)$", done.stdout, re.MULTILINE))
    assert [*FILES, "curl"] == list(printed)
    assert all("billing" in answer for answer in printed.values()), printed
