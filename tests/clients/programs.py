"""The programs of others, and how one is run: given a file of facts, it prints what happened.

One that acts for a person first prints where a browser must go, and reads where it came back to.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from certbound.app import open_registry
from certbound.trust.authority import Issued
from e2e.world import RESOURCE, World, thumbprint

HERE = Path(__file__).parent
INSTALLED = HERE.parent.parent / ".work" / "clients"
"""Where `setup` put them."""

UNSAID = frozenset({
    "client_secret", "signing_key", "thief", "introspect", "introspection_alg", "revoke", "refresh_token",
    "registration", "initial_access_token", "redirect_uri", "pushed", "asked",
})  # fmt: skip
"""Facts that most scenarios have no value for."""
SECRETS = frozenset({"client_secret_basic", "client_secret_post"})


@dataclass(frozen=True, kw_only=True)
class Program:
    """One client."""

    name: str
    command: tuple[str | Path, ...]
    methods: frozenset[str] = SECRETS
    """How it can authenticate beside mutual TLS."""
    introspects: bool = True
    """And revokes: with functions of its own, or by hand because it does everything by hand."""
    registers: bool = False
    refreshes: bool = True
    acts: tuple[str | Path, ...] = ()
    """The command that acts for a person, if the library has anything for that."""
    pushes: bool = False
    """And pushes its requests, and reads ID tokens."""


def _python(file: str) -> tuple[Path, ...]:
    return INSTALLED / "venv" / "bin" / "python", HERE / "python" / file


def _node(file: str) -> tuple[str, ...]:
    return "node", file


PROGRAMS = (
    Program(
        name="openid-client",
        command=_node("openid_client.mjs"),
        methods=SECRETS | {"private_key_jwt"},
        registers=True,
        acts=_node("openid_client_code.mjs"),
        pushes=True,
    ),
    Program(
        name="oauth4webapi",
        command=_node("oauth4webapi.mjs"),
        methods=SECRETS | {"private_key_jwt"},
        registers=True,
        acts=_node("oauth4webapi_code.mjs"),
        pushes=True,
    ),
    Program(
        name="Authlib",
        command=_python("authlib_client.py"),
        methods=SECRETS | {"private_key_jwt"},
        acts=_python("authlib_code.py"),
    ),
    Program(
        name="requests-oauthlib",
        command=_python("requests_oauthlib_client.py"),
        introspects=False,
        acts=_python("requests_oauthlib_code.py"),
    ),
    Program(name="httpx", command=_python("httpx_client.py")),
    Program(name="aiohttp", command=_python("aiohttp_client.py")),
    Program(name="Go", command=(INSTALLED / "go-client",), introspects=False, acts=(INSTALLED / "go-client",)),
    Program(name="curl", command=(HERE / "curl.sh",)),
)


@dataclass
class Runner:
    """Runs programs against one deployment, in a folder of their own."""

    deployment: World
    folder: Path

    def __post_init__(self) -> None:
        for file in (HERE / "node").glob("*.mjs"):
            shutil.copy(file, self.folder)
        (self.folder / "node_modules").symlink_to(INSTALLED / "node" / "node_modules")

    def save(self, issued: Issued) -> dict[str, str]:
        """Certificate and key as files."""
        name = self.folder / issued.certificate.serial_number.to_bytes(20).hex()
        certificate, key = name.with_suffix(".pem"), name.with_suffix(".key")
        certificate.write_bytes(issued.certificate_pem)
        key.write_bytes(issued.key_pem)
        return {"cert": str(certificate), "key": str(key)}

    def __call__(self, program: Program, client_id: str, identity: Issued, **more: Any) -> Any:
        """What it told; `thief=` is another certificate to call the API with."""
        [told] = self._run(program.command, client_id, identity, more, lambda _: None)
        return told

    def act(
        self,
        command: tuple[str | Path, ...],
        client_id: str,
        identity: Issued | None,
        person: Callable[[Any], str | None],
        **more: Any,
    ) -> Any:
        """The same of one that acts for a person, who hears what it said first, and says where the browser is."""
        [_, told] = self._run(command, client_id, identity, more, person)
        return told

    def _run(
        self,
        command: tuple[str | Path, ...],
        client_id: str,
        identity: Issued | None,
        more: dict[str, Any],
        person: Callable[[Any], str | None],
    ) -> list[Any]:
        """The lines that it printed; the first of two is what `person` acts on."""
        facts = self._facts(client_id, identity, more)
        told = self.folder / "facts.json"
        told.write_text(json.dumps(facts))
        errors = self.folder / "errors.txt"
        with (
            errors.open("w") as stderr,
            subprocess.Popen(
                [*command, told],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **_flat(facts)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            ) as process,
        ):
            try:
                assert process.stdout is not None
                first = process.stdout.readline()
                came_back = person(json.loads(first)) if first else None
                rest, _ = process.communicate(came_back and f"{came_back}\n", timeout=60)
            finally:
                process.kill()
        assert 0 == process.returncode, errors.read_text() + first + rest
        return [json.loads(line) for line in (first + rest).splitlines()]

    def _facts(self, client_id: str, identity: Issued | None, more: dict[str, Any]) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "issuer": self.deployment.issuer,
            "ca": str(self.deployment.directory / "ca.pem"),
            "api": f"{self.deployment.api}/",
            "client_id": client_id,
            "scope": "read",
            "resource": RESOURCE,
            "method": "tls",
            **dict.fromkeys(UNSAID),
            **({"cert": None, "key": None} if identity is None else self.save(identity)),
            **more,
        }
        if facts["thief"] is not None:
            facts["thief"] = self.save(facts["thief"])
        return facts


def _flat(facts: dict[str, Any]) -> dict[str, str]:
    """For a shell: `{"thief": {"cert": "x"}}` is `THIEF_CERT=x`, and what is not said is empty."""
    thief = facts["thief"] or {"cert": "", "key": ""}
    flat = {**facts, "thief_cert": thief["cert"], "thief_key": thief["key"]}
    return {name.upper(): "" if value is None else str(value) for name, value in flat.items()}


def is_bound_to(identity: Issued, token: Any) -> bool:
    """The access token in an answer names this certificate."""
    claims = json.loads(base64.urlsafe_b64decode(token["access_token"].split(".")[1] + "=="))
    return bool(claims["cnf"] == {"x5t#S256": thumbprint(identity)})


def register_with_secret(deployment: World, client_id: str, method: str, **metadata: Any) -> str:
    """The secret of a new client, which the running server knows by now."""
    deployment.register(client_id, token_endpoint_auth_method=method, **metadata)

    async def add() -> str:
        async with open_registry(deployment.settings) as registry:
            secret = await registry.add_secret(client_id, overlap=0)
            assert secret is not None
            return secret

    secret = asyncio.run(add())
    form, headers = {"token": "none", "client_id": client_id, "client_secret": secret}, {}
    if method == "client_secret_basic":
        form, headers = {"token": "none"}, basic(client_id, secret)
    deadline = time.monotonic() + 20
    while deployment.ask(f"{deployment.mtls}/revoke", form=form, headers=headers).status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return secret


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def needs(*paths: str | Path) -> None:
    """Fails, and says what to do, where something is not installed."""
    for path in paths:
        if shutil.which(path) is None and not Path(path).exists():
            pytest.fail(f"{path} is needed; run tests/clients/setup")


__all__ = ["HERE", "INSTALLED", "PROGRAMS", "Program", "Runner", "is_bound_to", "needs", "register_with_secret"]
