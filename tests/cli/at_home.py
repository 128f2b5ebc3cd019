"""A person at their own machine, and the servers of `certbound dev`: what tests of logins share."""

import asyncio
import contextlib
import http.client
import io
import re
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from certbound import settings
from certbound.app import open_registry
from certbound.cli import main
from certbound.cli._development import Development, make_folder, now_utc
from certbound.cli._servers import in_background, open_ports, place_of, register, serving
from certbound.trust.authority import Authority
from e2e.acting import CODE_GRANT, PASSWORD, add_account, logged_in
from e2e.codes import DEVICE
from e2e.people import Browser, Page
from e2e.world import Answer, World

from .conftest import Certbound, Outcome

SECRET = re.compile(r"cb[a-z]{2}_[A-Za-z0-9_-]{20}|eyJ[A-Za-z0-9_-]{20}|PRIVATE KEY")
"""What no command prints unasked."""


@dataclass
class Home:
    """Anna's browser, where she is logged in already, and a client of any certificate that may act for her: `app`."""

    development: Development
    world: World
    browser: Browser

    @property
    def issuer(self) -> str:
        return self.development.place.issuer

    @property
    def api(self) -> str:
        return self.development.place.resource_url + "/"

    @property
    def ca(self) -> str:
        return str(self.development.ca)

    def visit(self, link: str, button: str = "allow") -> Page:
        """Where her browser is sent to."""
        return self.browser.decide(self.browser.visit(link), "anna", PASSWORD, button)


@contextmanager
def at_home(directory: Path) -> Iterator[Home]:
    """All of it, running."""
    sockets = open_ports("127.0.0.1", (0, 0, 0))
    made = make_folder(directory, place_of("127.0.0.1", sockets), now=now_utc(), people=True)
    configuration = made.folder / "certbound.toml"
    # Without grace, a refresh token that is used twice ends its grant.
    written = configuration.read_text().replace("[tokens]\n", "[tokens]\nrefresh_grace = 0\n")
    configuration.write_text(written)
    made = replace(made, settings=settings.load(configuration, {}))
    place = made.place
    authority = Authority.load((made.folder / "ca.pem").read_bytes(), (made.folder / "ca.key").read_bytes())
    none: Any = None
    world = World(made.folder, authority, made.settings, place.issuer, place.mtls_url, place.resource_url, loop=none)
    asyncio.run(_prepare(made))
    add_account(world, "anna", name="Anna Nová", email="anna@example.com")
    with in_background(lambda: serving(made, sockets)):
        yield Home(made, world, logged_in(world))


async def _prepare(made: Development) -> None:
    await register(made)
    async with open_registry(made.settings) as registry:
        await registry.register(
            {
                "client_name": "App",
                "token_endpoint_auth_method": "none",
                "grant_types": [*CODE_GRANT, DEVICE],
                "redirect_uris": ["http://127.0.0.1/"],
                "scope": "openid profile read write",
            },
            client_id="app",
        )


class Terminal:
    """A command that runs while the person does something else."""

    def __init__(self, *arguments: str) -> None:
        if arguments[0] == "login":
            arguments += ("--wait", "20")
        self._status = -1
        self._out, self._err = io.StringIO(), io.StringIO()
        self._thread = threading.Thread(target=self._run, args=(arguments,))
        self._thread.start()

    def _run(self, arguments: tuple[str, ...]) -> None:
        with contextlib.redirect_stdout(self._out), contextlib.redirect_stderr(self._err):
            self._status = main(arguments)

    def read(self, pattern: str) -> str:
        """What matches on standard output, as soon as it is there."""
        ends = time.monotonic() + 15
        while not (found := re.search(pattern, self._out.getvalue())):
            assert self._thread.is_alive(), self._err.getvalue()
            assert time.monotonic() < ends, self._out.getvalue()
            time.sleep(0.01)
        return found[0]

    def is_running(self) -> bool:
        """Whether it has not ended, after a moment that is long enough for it."""
        self._thread.join(1)
        return self._thread.is_alive()

    def end(self) -> Outcome:
        """What it did in all."""
        self._thread.join(60)
        return Outcome(self._status, self._out.getvalue(), self._err.getvalue())


LINK = r"https://\S+/authorize\?\S+"


def come_back(url: str, **headers: str) -> Answer:
    """The browser fetches the address it was sent to."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def log_in(home: Home, *more: str, client_id: str = "app") -> Outcome:
    """Anna logs in, and agrees."""
    arguments = ("login", home.issuer, "--client-id", client_id, "--ca", home.ca, "--no-browser", *more)
    terminal = Terminal(*arguments)
    page = home.visit(terminal.read(LINK))
    assert come_back(page.location).status == 200, page
    return terminal.end()


def register_machine(home: Home, certbound: Certbound, client_id: str) -> None:
    """The certificate of this machine is that of a client, by the line that --prepare prints; the server knows it."""
    told = certbound("login", home.issuer, "--client-id", client_id, "--prepare")
    line = next(each for each in told.out.splitlines() if each.startswith("certbound client add"))
    more = ("--config", str(home.development.folder / "certbound.toml"), "--scope", "openid read")
    assert certbound(*shlex.split(line)[1:], *more).status == 0
    deadline = time.monotonic() + 10  # it hears of it within a second
    while b"no such app" in home.world.ask(f"{home.issuer}/authorize?client_id={client_id}", method="GET").body:
        assert time.monotonic() < deadline


__all__ = ["LINK", "SECRET", "Home", "Terminal", "at_home", "come_back", "log_in", "register_machine"]
