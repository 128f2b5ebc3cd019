"""Each product can be used with its own extra and nothing else (`certbound[resource]` has no TLS listener)."""

import subprocess
import sys
from pathlib import Path

import pytest

# Packages, by import name, that an extra brings beyond the core's own.
BRINGS = {
    "": set(),
    "resource": {"httpx", "httpcore", "h11", "anyio"},
    "tls": {"OpenSSL", "uvicorn", "uvloop", "httptools", "typer", "click", "h11"},
    "client": {"httpx", "httpcore", "h11", "anyio", "OpenSSL", "service_identity", "typer", "click"},
}
ALL = {
    "OpenSSL", "uvicorn", "uvloop", "httptools", "typer", "click", "h11", "httpx", "httpcore", "anyio",
    "service_identity", "sqlalchemy", "aiosqlite", "alembic", "structlog", "starlette", "hypothesis", "pytest",
    "websockets", "schemathesis", "openapi_spec_validator", "jsonschema", "requests", "yaml",
}  # fmt: skip

PROGRAM = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name + " is not in this extra", name=name)
sys.meta_path.insert(0, Absent())
{program}
"""


@pytest.mark.parametrize(
    ("extra", "program"),
    [
        ("", "import certbound.core.authentication, certbound.core.grants, certbound.trust.files"),
        (
            "resource",
            "from certbound.resource import ProtectedResource; ProtectedResource('x', issuer='https://a.example')",
        ),
        ("tls", "from certbound.tls import Port, VirtualHost, serve, start; import certbound.cli.run"),
        ("client", "import certbound.client, certbound.cli.token"),
    ],
)
def test_an_extra_is_enough(extra: str, program: str) -> None:
    """What the extra is for can be imported with what it brings."""
    source = PROGRAM.format(absent=ALL - BRINGS[extra], program=program)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False)

    assert 0 == done.returncode, done.stderr


def test_the_fixtures_of_pytest_need_no_more_than_the_server(tmp_path: Path) -> None:
    """An API is served where what the extra `server` does not bring is missing: `websockets` and others."""
    program = """
from pathlib import Path
from certbound.testing.deployment import running_server

async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

with running_server(Path(sys.argv[1])) as server, server.serving() as serve:
    api, own = serve(hello), server.certificate("CN=client")
    assert api.get("/", token=server.register(own).token(api), certificate=own).text == "hello"
"""
    absent = ["starlette", "hypothesis", "pytest", "websockets", "schemathesis", "requests", "yaml", "aiohttp"]
    source = f"import sys\nsys.modules |= dict.fromkeys({absent!r})\n{program}"
    command = [sys.executable, "-c", source, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert 0 == done.returncode, done.stderr
