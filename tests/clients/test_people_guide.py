"""What docs/how-to/act-for-people.md shows is what runs: its server, and the web app and the tool with a person."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from clients.programs import HERE, INSTALLED, needs
from e2e.people import Browser, Page
from e2e.world import Answer, World

GUIDE = HERE.parent.parent / "docs" / "how-to" / "act-for-people.md"
BLOCKS = re.findall(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', GUIDE.read_text(), re.MULTILINE | re.DOTALL)
ISSUER, SITE = "https://localhost:19143", "https://localhost:19145"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
PATIENCE = 60

pytestmark = pytest.mark.clients


@dataclass(frozen=True)
class Served:
    """As much of a `World` as a browser needs."""

    issuer: str
    folder: Path

    def ask(self, url: str, *, method: str = "GET", form: Any = None, headers: Any = None) -> Answer:
        context = ssl.create_default_context(cafile=self.folder / "ca" / "ca.pem")
        parts = urlsplit(url)
        fields = {"content-type": "application/x-www-form-urlencoded"} if form is not None else {}
        body = urlencode(form) if form is not None else None
        with closing(HTTPSConnection(str(parts.hostname), parts.port, context=context, timeout=20)) as connection:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, {**fields, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def test_every_program_of_the_guide_runs(tmp_path: Path) -> None:
    """In one folder, on the server that the guide starts."""
    needs(INSTALLED / "node" / "node_modules", "node", "curl", "openssl")
    (tmp_path / "node_modules").symlink_to(INSTALLED / "node" / "node_modules")
    for _, title, text in BLOCKS:
        if title:
            (tmp_path / title).write_text(text)
    commands = "\n".join(["set -euo pipefail", *(text for language, _, text in BLOCKS if language == "bash")])
    with started(["bash", "-c", f"{commands}\ntouch done; wait"], tmp_path, tmp_path / "printed"):
        until((tmp_path / "done").exists, tmp_path / "printed")
        with started(["node", "web.mjs"], tmp_path, tmp_path / "web.printed"):
            until(lambda: SITE in (tmp_path / "web.printed").read_text(), tmp_path / "web.printed")
            try_web_app(tmp_path)
        try_tool(tmp_path)
        assert f"{ISSUER}/device" == json.loads((tmp_path / "asked.json").read_text())["verification_uri"]


def try_web_app(folder: Path) -> None:
    """Anna says no, and then yes; a browser without the cookie of hers gets nothing, and hers gets it once."""
    served = Served(ISSUER, folder)
    for button, status, said in (("deny", 400, b"access_denied"), ("allow", 200, "Anna Nová".encode())):
        begun = served.ask(f"{SITE}/")
        cookie, url = begun.headers["set-cookie"].partition(";")[0], begun.headers["location"]
        assert {"client_id", "request_uri"} == set(parse_qs(urlsplit(url).query))
        back = decide(folder, url, button).location
        assert back.startswith(f"{SITE}/back?")
        assert (400, b"start again") == plain(served.ask(back))
        told = served.ask(back, headers={"cookie": cookie})
        assert status == told.status, told
        assert said in told.body
        assert (400, b"start again") == plain(served.ask(back, headers={"cookie": cookie}))
    assert told.json["bound"] is True
    assert told.json["leave"].startswith(f"{ISSUER}/logout?")


def try_tool(folder: Path) -> None:
    """Its browser is a program that writes down where it was sent."""
    browser, opened = folder / "browser", folder / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{opened}.new" && mv "{opened}.new" "{opened}"\n')
    browser.chmod(0o755)
    printed = folder / "tool.printed"
    with started([sys.executable, "-W", "error", "tool.py"], folder, printed, BROWSER=f"{browser} %s") as process:
        until(opened.exists, printed)
        back = decide(folder, opened.read_text()).location
        assert back.startswith("http://127.0.0.1:")
        subprocess.run(["curl", "-sS", "--fail", "--noproxy", "*", back], check=True, capture_output=True, timeout=20)
        assert 0 == process.wait(PATIENCE), printed.read_text()
    assert "Anna Nová" == printed.read_text().splitlines()[-1]


def plain(answer: Answer) -> tuple[int, bytes]:
    return answer.status, answer.body


def decide(folder: Path, url: str, button: str = "allow") -> Page:
    """Where Anna's browser is in the end."""
    browser = Browser(cast("World", Served(ISSUER, folder)))
    page = browser.decide(browser.visit(url), "anna", "correct horse battery", button)
    assert page.location, page.html
    return page


@contextmanager
def started(command: list[str], folder: Path, printed: Path, **more: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Ended with all that it started."""
    with printed.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": PATH, "HOME": str(folder), "LANG": "C.UTF-8", **more},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def until(happened: Callable[[], bool], printed: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, printed.read_text()
        time.sleep(0.05)
