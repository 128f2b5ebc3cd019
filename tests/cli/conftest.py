"""A deployment in a directory of its own, and the command line as people call it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from certbound.cli import main
from certbound.trust.authority import Authority

CONFIGURATION = """
[server]
issuer = "https://as.example"
certificate = "as.pem"
key = "as.key"
port = 0

[tokens]
resources = ["https://api.example"]
scopes = ["read", "write"]

[trust]
anchors = ["ca.pem"]
"""


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit status and all it printed."""

    status: int
    out: str
    err: str


Certbound = Callable[..., Outcome]


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.create("Test CA")


@pytest.fixture
def deployment(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with certbound.toml and what it names; the working directory too."""
    server = authority.issue("CN=as.example", dns=["as.example"], usage="server")
    (tmp_path / "as.pem").write_bytes(server.certificate_pem)
    (tmp_path / "as.key").write_bytes(server.key_pem)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "certbound.toml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def certbound(capfd: pytest.CaptureFixture[str]) -> Certbound:
    """Runs the command line in this process."""

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        status = main(arguments)
        return Outcome(status, *capfd.readouterr())

    return run
