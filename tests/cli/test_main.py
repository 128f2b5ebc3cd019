"""The command line as a whole: exit statuses, sentences, help, and what is read to give it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from certbound.cli import _reference
from certbound.cli._commands import COMMANDS, existing, find
from certbound.core.display import shown

from .conftest import Certbound

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, "-W", "error"]
HEAVY = {
    "cryptography",
    "OpenSSL",
    "sqlalchemy",
    "alembic",
    "msgspec",
    "httpx",
    "uvicorn",
    "structlog",
    "asyncio",
    "rich",
}


def subprocess_of(*arguments: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*PYTHON, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=directory)


def test_help_reads_no_command() -> None:
    """`certbound --help` lists every command without reading one, or any library but typer."""
    program = (
        "import sys; from certbound.cli import main; main(['--help']); "
        f"print(sorted({HEAVY} & set(sys.modules)), [m for m in sys.modules if m in "
        f"{ {f'certbound.cli.{name}' for name in COMMANDS} }])"
    )
    done = subprocess_of("-c", program)
    assert done.stdout.splitlines()[-1] == "[] []"
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


def test_every_command_is_there() -> None:
    """Each command of the table has its file."""
    assert existing() == tuple(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches(certbound: Certbound, name: str) -> None:
    """Every command's help has a purpose and, where it does something itself, an example."""
    told = certbound(name, "--help")
    assert told.status == 0
    for each in find(name).registered_commands:
        assert each.callback is not None
        arguments = [name] if len(find(name).registered_commands) == 1 else [name, each.name or each.callback.__name__]
        assert "Usage: certbound" in certbound(*arguments, "--help").out
        assert "Example" in (each.callback.__doc__ or ""), arguments


def test_the_reference_is_what_the_code_says() -> None:
    """docs/reference is made from the code."""
    done = subprocess_of("-m", "certbound.cli._reference", "--check", directory=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_reference_notices_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --check a page that differs is named, nothing is written, and the exit status is 1."""
    monkeypatch.chdir(tmp_path)
    assert _reference.main(["--check"]) == 1
    assert not (tmp_path / "docs").exists()
    assert "docs/reference/cli.md is not what the code says" in capsys.readouterr().err
    assert (_reference.main([]), _reference.main(["--check"])) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serv"], "No such command 'serv'. Did you mean 'serve'"),
        (["serve", "--colour"], "No such option"),
        (["client", "lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["ca", "init", "--days", "0"], "--days"),
    ],
)
def test_wrong_use_exits_with_2(certbound: Certbound, arguments: list[str], said: str) -> None:
    """What is not understood exits with 2, says why, and names the help."""
    wrong = certbound(*arguments)
    assert wrong.status == 2
    assert said in " ".join(wrong.err.split())
    assert "-h' for help" in wrong.err


def test_an_expected_failure_is_one_sentence(tmp_path: Path) -> None:
    """A process that fails as expected exits with 1 after one line without traceback."""
    done = subprocess_of("-m", "certbound.cli", "serve", directory=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("certbound: there is no certbound.toml here; ")


def test_what_is_wrong_is_shown_not_run(certbound: Certbound, tmp_path: Path) -> None:
    """Escape codes in a file's name reach the terminal escaped."""
    told = certbound("config", "show", "--config", str(tmp_path / "a\x1b[2J\u202e"))
    assert told.status == 1
    assert r"a\x1b[2J\u202e cannot be read" in told.err


def without(module: str, arguments: list[str]) -> str:
    """A program that runs certbound where `module` cannot be imported."""
    return f"import sys; sys.modules[{module!r}] = None; from certbound.cli import main; sys.exit(main({arguments}))"


def test_a_missing_package_names_the_extra(tmp_path: Path) -> None:
    """Where an extra is not installed, the command says which one to install."""
    for package, arguments, extra in [("typer", [], "tls"), ("sqlalchemy", ["client", "list"], "server")]:
        (tmp_path / "certbound.toml").write_text(
            "[server]\nissuer='https://a.b'\ncertificate='c'\nkey='k'\n[tokens]\nresources=['https://c.d']\n"
        )
        program = (
            f"import sys; sys.modules[{package!r}] = None; from certbound.cli import main; sys.exit(main({arguments}))"
        )
        done = subprocess_of("-c", program, directory=tmp_path)
        assert done.returncode == 1
        assert done.stderr == f"certbound: this needs the package {package!r}; pip install 'certbound[{extra}]'\n"


def opened_for_writing(fifo: Path) -> int:
    """The end of a pipe to write to, once somebody reads the other."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    pytest.fail("nobody reads")


def test_an_interrupted_command_is_silent(tmp_path: Path) -> None:
    """SIGINT ends a command with status 130 and without a word."""
    fifo = tmp_path / "certbound.toml"
    os.mkfifo(fifo)
    running = subprocess.Popen(
        [*PYTHON, "-m", "certbound.cli", "config", "show", "--config", str(fifo)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    writer = opened_for_writing(fifo)  # now the command waits for its settings
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    os.close(writer)
    assert (running.returncode, out, err) == (130, "", "")


def test_a_fault_of_ours_keeps_its_traceback(tmp_path: Path) -> None:
    """What nobody expected, a module of ours that is missing, is not dressed up as a sentence."""
    done = subprocess_of("-c", without("certbound.settings", ["config", "show"]), directory=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_shown() -> None:
    """Printable text stays; controls, line ends, bidi marks and half characters are escaped."""
    assert shown("Příliš žluťoučký 漢字 \\x") == "Příliš žluťoučký 漢字 \\x"
    assert shown("a\x1b[31m\r\n\x9b\u202e\u200b\udc80\x00") == r"a\x1b[31m\r\n\x9b\u202e\u200b\udc80\x00"
