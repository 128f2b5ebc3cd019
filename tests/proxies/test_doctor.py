"""`certbound doctor` at real proxies: all is well with what `proxy-config` prints; at an nginx that somebody changed
each fault is found, the line that is printed mends it, and then all is well again.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from certbound.cli import main
from certbound.resource import Guard, ProtectedResource
from certbound.tls import PlainPort
from certbound.trust.authority import Issued
from e2e.world import RESOURCE, free_port, sample_api
from proxies.frame import (
    HOST,
    ISSUER_HOST,
    SECRET,
    Kinds,
    Program,
    Proxied,
    behind,
    running,
    serving,
    wrapped,
)
from proxies.programs import NGINX, PROGRAMS
from proxies.test_tokens import _server

pytestmark = pytest.mark.proxies


def examine(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    status = main(["doctor", *arguments, "--json"])
    said = capsys.readouterr()
    assert said.out, said.err
    return status, {each["check"]: each for each in json.loads(said.out)["checks"]}


def of(found: dict[str, Any], verdict: str) -> set[str]:
    return {name for name, each in found.items() if each["verdict"] == verdict}


def options(folder: Path, kinds: Kinds) -> list[str]:
    """The owner's certificate, and who vouches for the server."""
    owner = kinds["CA-signed"]
    assert isinstance(owner, Issued)
    for name, content in (
        ("owner.pem", owner.chain_pem), ("owner.key", owner.key_pem), ("ca.pem", kinds.authority.certificate_pem),
    ):  # fmt: skip
        (folder / name).write_bytes(content)
    names = {"cert": "owner.pem", "key": "owner.key", "ca": "ca.pem"}
    return [
        *(word for name, file in names.items() for word in (f"--{name}", str(folder / file))),
        "--connect",
        "127.0.0.1",
    ]


@pytest.mark.parametrize("program", PROGRAMS, ids=[each.name for each in PROGRAMS])
def test_all_is_well_behind_what_is_printed(
    program: Program, kinds: Kinds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In front of the authorization server, and of an API with a token from there."""
    with _server(program, tmp_path, kinds) as server:
        issuer = f"https://{ISSUER_HOST}:{server.port}"
        given = [*options(tmp_path, kinds), "--proxy", program.name]
        status, found = examine(capsys, issuer, "--client-id", "owner", *given)
        assert (0, set()) == (status, of(found, "wrong")), (found, server.log)
        assert of(found, "cannot tell") == {"plain"}


@dataclass(frozen=True)
class Fault:
    """What somebody changed in what was printed for nginx, and the check that finds it."""

    check: str
    change: Callable[[str], str]
    on: str = "api"
    """In front of what."""
    block: str = "# Clients are asked"
    """The part of the file that is changed, and mended."""
    app: str = "certbound"
    """`folding`: an application to which `A_B` is `A-B`, and the last of two counts; `rfc9440`: another contract."""
    and_others: tuple[str, ...] = ()
    """Checks that find the same."""


def _line(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


def _without(*names: str) -> Callable[[str], str]:
    return lambda text: "\n".join(line for line in text.splitlines() if not any(name in line for name in names)) + "\n"


def _without_default(text: str) -> str:
    """The block that refuses whoever names no host."""
    start = text.index("# Whoever names")
    return text[:start] + text[text.index("\n\n", start) :]


_OFF = "ssl_session_tickets off;\n    ssl_session_cache off;"
_VERIFY = "ssl_verify_client optional_no_ca;"
FAULTS = (
    Fault("asked", _line(_VERIFY, "ssl_verify_client off;"), and_others=("mixed-case", "small-records", "owner")),
    Fault("self-signed", _line(_VERIFY, "ssl_verify_client optional; ssl_trusted_certificate @CA@;")),
    Fault("authorities", _line(_VERIFY, f"{_VERIFY}\n    ssl_client_certificate @CA@;")),
    Fault("not-asked", _line("ssl_verify_client off;", _VERIFY), on="server", block="# The conventional host"),
    Fault("versions", _line("TLSv1.2 TLSv1.3;", "TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0;")),
    Fault("resumption", _line(_OFF, "ssl_session_tickets on;\n    ssl_session_cache shared:x:1m;")),
    Fault("host", _without_default, block="# Whoever names"),
    Fault("owner", _without("proxy-secret")),
    Fault("owner", _without("$ssl_client_verify")),
    Fault("forged", _without("$ssl_client"), and_others=("owner", "forged-beside")),
    Fault("forged-underscores", _line("underscores_in_headers off;", "underscores_in_headers on;"), app="folding"),
    Fault("forged", _without("client-cert "), app="rfc9440", and_others=("owner",)),
)


@dataclass(frozen=True)
class Deployments:
    """The authorization server behind nginx, a token of its, and what was printed for an API."""

    server: Proxied
    token: str
    api: str
    api_port: int
    apps: dict[str, int]
    """Applications behind the API's nginx: their ports."""


@pytest.fixture(scope="module")
def deployments(kinds: Kinds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployments]:
    folder = tmp_path_factory.mktemp("doctor")
    ca = folder / "ca.pem"
    ca.write_bytes(kinds.authority.certificate_pem)
    public = free_port()
    with _server(NGINX, folder, kinds) as server:
        issuer = f"https://{ISSUER_HOST}:{server.port}"
        resource = ProtectedResource(f"https://{HOST}:{public}", issuer=issuer, audience=RESOURCE, issuer_ca=str(ca))
        guarded = Guard(sample_api, resource)
        apps = {
            "certbound": wrapped(guarded, "nginx"),
            "folding": _Folding(wrapped(guarded, "nginx")),
            "rfc9440": wrapped(guarded, "rfc9440"),
        }
        with serving([PlainPort(host="127.0.0.1", port=0, app=app) for app in apps.values()]) as places:
            ports = dict(zip(apps, (port for _, port in places), strict=True))
            (folder / "printed").mkdir()
            upstream = f"127.0.0.1:{ports['certbound']}"
            with behind(NGINX, upstream, folder / "printed", kinds, port=public) as api:
                text = api.printed
            yield Deployments(server, _token(server, kinds), text, public, ports)


class _Folding:
    """To the application behind it `A_B` is `A-B`, and of two the last counts: as CGI and WSGI have it."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [*{k.replace(b"_", b"-"): v for k, v in scope["headers"]}.items()]}
        await self._app(scope, receive, send)


def _token(server: Proxied, kinds: Kinds) -> str:
    body = f"grant_type=client_credentials&client_id=owner&resource={RESOURCE}".encode()
    form = ("Content-Type", "application/x-www-form-urlencoded")
    answer = server.ask(kinds["CA-signed"], form, method="POST", path="/token", body=body)
    assert 200 == answer.status, answer
    return str(answer.json["access_token"])


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{at}-{each.check}-{each.app}" for at, each in enumerate(FAULTS)])
def test_each_fault_is_found_and_what_is_printed_mends_it(
    fault: Fault, deployments: Deployments, kinds: Kinds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And then nothing is wrong any more."""
    given = [*options(tmp_path, kinds), "--proxy", "nginx"]
    if fault.on == "server":
        text, port = deployments.server.printed, deployments.server.port
        arguments = [f"https://{ISSUER_HOST}:{port}", "--client-id", "owner", *given]
    else:
        text, port = deployments.api, deployments.api_port
        text = text.replace(f":{deployments.apps['certbound']};", f":{deployments.apps[fault.app]};")
        arguments = [f"https://{HOST}:{port}/", "--token", deployments.token, *given]
    here = free_port()
    arguments[arguments.index("--connect") + 1] += f":{here}"
    text = text.replace(f":{port} ssl", f":{here} ssl")
    start = text.index(fault.block)
    broken = text[:start] + fault.change(text[start:]).replace("@CA@", str(tmp_path / "ca.pem"))
    with running(NGINX, broken, here, _folder(tmp_path, "broken"), kinds):
        status, found = examine(capsys, *arguments)
    assert 1 == status
    assert {fault.check, *fault.and_others} <= of(found, "wrong"), found
    lines = [line for name in of(found, "wrong") for line in found[name]["mend"]]
    if fault.app == "rfc9440":  # what is declared there is another contract, which no line for nginx can mend
        assert 'proxy_set_header client-cert "";' in lines
        return
    assert found[fault.check]["mend"]
    mended = broken
    for line in found[fault.check]["mend"]:
        mended = _mended(mended, fault.block, line.replace("…", f"127.0.0.1:{here}" if "listen" in line else SECRET))
    with running(NGINX, mended, here, _folder(tmp_path, "mended"), kinds):
        status, found = examine(capsys, *arguments)
    assert (0, set()) == (status, of(found, "wrong")), mended


def _mended(text: str, block: str, line: str) -> str:
    """`text` with `line` in that block, where the directive stood or else behind the name of the server."""
    if line.startswith("server {"):
        return line + "\n" + text
    start = text.index(block)
    before, lines = text[:start], text[start:].splitlines()
    if line.startswith("remove "):
        return before + "\n".join(each for each in lines if line.split()[1] not in each)
    words = 2 if line.startswith("proxy_set_header") else 1
    name = line.lower().split()[:words]
    at = [index for index, each in enumerate(lines) if each.lower().split()[:words] == name]
    if at:
        lines[at[0]] = f"    {line}"
    else:
        lines.insert(next(i for i, each in enumerate(lines) if re.match(r" *server_name ", each)) + 1, f"    {line}")
    return before + "\n".join(lines)


def _folder(above: Path, name: str) -> Path:
    folder = above / name
    folder.mkdir()
    return folder
