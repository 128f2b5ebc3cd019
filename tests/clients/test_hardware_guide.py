"""docs/how-to/hardware-keys.md works as it stands, with SoftHSM from where the tests have it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clients.programs import HERE, needs
from clients.softhsm import FOLDER, module

GUIDE = (HERE.parent.parent / "docs" / "how-to" / "hardware-keys.md").read_text()


@pytest.mark.clients
def test_every_block_of_the_guide_runs(tmp_path: Path) -> None:
    """In order, in an empty folder; the API sees billing, from Python and from the command line."""
    needs(FOLDER)
    [program] = re.findall(r'^```python title="calling.py"\n(.*?)^```$', GUIDE, re.MULTILINE | re.DOTALL)
    (tmp_path / "calling.py").write_text(program)
    installed = f'softhsm2-util() {{ {FOLDER}/usr/bin/softhsm2-util --module {module()} "$@"; }}'
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    stop = "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"
    script = "\n".join(["set -euo pipefail", stop, installed, *blocks])
    shown = "/usr/lib/softhsm/libsofthsm2.so"
    assert shown in script
    done = subprocess.run(
        ["bash", "-c", script.replace(shown, str(module()))],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert 0 == done.returncode, done.stderr + done.stdout
    assert 2 == len(re.findall(r"""["']client_id["']: ["']billing["']""", done.stdout)), done.stdout
