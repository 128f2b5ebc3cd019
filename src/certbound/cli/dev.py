"""`certbound dev`: everything at once on this machine, for development."""

import asyncio
import contextlib
import json
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from certbound.cli._output import note, say
from certbound.core.errors import ConfigurationError

if TYPE_CHECKING:
    import socket

    from certbound.cli._development import Development, Member
    from certbound.cli._development_people import Person

# `typer` reads the defaults; the folder is next to the project that it is for.
_FOLDER = Path(".certbound-dev")


def dev(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where certificates, keys, settings and the store are.")
    ] = _FOLDER,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Authorization server; 0 takes a free port.")] = 8443,
    mtls_port: Annotated[int, typer.Option(min=0, max=65535, help="The same over mutual TLS.")] = 8444,
    api_port: Annotated[int, typer.Option(min=0, max=65535, help="The sample API.")] = 8445,
    resource: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="An API of your own that tokens can be for; repeat it.")
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen also where other machines can connect.")
    ] = False,
) -> None:
    """Run an authorization server, an API behind the guard, two clients and a person who can log in, until Ctrl-C.

    It makes what it needs in --dir, uses what is there already, and prints lines for curl and for certbound login that
    work when pasted.  While the servers answer, dev.json in that folder says where everything is.

    Example: certbound dev --port 0 --mtls-port 0 --api-port 0
    """
    from certbound.cli._development import make_folder, now_utc
    from certbound.cli._servers import open_ports, place_of
    from certbound.log import configure_log
    from certbound.tls.hosts import is_loopback

    if not is_loopback(host) and not allow_remote:
        raise ConfigurationError(
            f"{host} can be reached from other machines, and this server is not made for that; keep to 127.0.0.1, or "
            "say --allow-remote"
        )
    with contextlib.ExitStack() as stack:
        sockets = open_ports(host, (port, mtls_port, api_port))
        for each in sockets:
            stack.callback(each.close)
        place = place_of(host, sockets)
        development = make_folder(folder, place, now=now_utc(), more_resources=resource or (), people=True)
        (development.folder / "dev.json").unlink(missing_ok=True)
        configure_log(level=development.settings.log.level, form=development.settings.log.format)
        if not is_loopback(host):
            note(f"WARNING: development keys and clients, and other machines can reach {host}")
        asyncio.run(_serve(development, sockets))


async def _serve(development: "Development", sockets: "list[socket.socket]") -> None:
    from certbound.cli._development import write_whole
    from certbound.cli._development_people import add_person, add_tool
    from certbound.cli._servers import serving

    person = await add_person(development)
    await add_tool(development)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with serving(development, sockets):
        await asyncio.to_thread(_require_answers, development)
        summary = development.folder / "dev.json"
        write_whole(summary, json.dumps(_summary(development, person), indent=2) + "\n")
        try:
            say(*_banner(development), "", *curl_lines(development), "")
            say(*_for_people(development, person), "", "Ctrl-C stops it.")
            await stopping.wait()
        finally:
            summary.unlink(missing_ok=True)


def _require_answers(development: "Development") -> None:
    """Ready means that a client has been served once, from metadata to the API."""
    from certbound.client import fetch_metadata, open_client, request_token

    member = development.members[0]
    with open_client(member.identity, ca=development.ca) as client:
        token = request_token(client, fetch_metadata(client, development.place.issuer), member.client_id)
        answer = client.get(development.place.resource_url, headers={"authorization": f"Bearer {token.access_token}"})
    if answer.status_code != 200:
        raise ConfigurationError(
            f"the API answered {answer.status_code} to {member.client_id}; delete {development.folder} and start again"
        )


def _summary(development: "Development", person: "Person") -> dict[str, object]:
    from certbound.cli._development_people import TOOL

    return {
        "issuer": development.place.issuer,
        "resource_url": development.place.resource_url,
        "ca": str(development.ca),
        "clients": [
            {
                "client_id": member.client_id,
                "method": member.method.value,
                "cert": str(member.certificate),
                "key": str(member.key),
            }
            for member in development.members
        ],
        "people": [{"username": person.username, "password_file": str(person.file)}],
        "apps": [{"client_id": TOOL}],
    }


def _banner(development: "Development") -> list[str]:
    place, folder = development.place, shlex.quote(str(development.folder))
    title = "  FOR DEVELOPMENT ONLY: its keys lie unprotected in a folder.  Never use it to protect anything.  "
    return [
        "#" * (len(title) + 2),
        f"#{title}#",
        "#" * (len(title) + 2),
        "",
        f"authorization server  {place.issuer}",
        f"  over mutual TLS     {place.mtls_url}",
        f"sample API            {place.resource_url}",
        f"folder                {folder}  (dev.json says where everything is)",
        f"more clients          certbound client add --config {folder}/certbound.toml ...",
    ]


def _for_people(development: "Development", person: "Person") -> list[str]:
    """Who can log in, and lines that let this machine act for them, and that register an app of one's own."""
    from certbound.cli._development_people import TOOL

    place, config = development.place, ["--config", str(development.folder / "certbound.toml")]
    # The line has to have some certificate of a client; that of warehouse is there.
    known = ["--self-signed", str(development.members[1].certificate)]
    asked = ["--redirect-uri", "http://127.0.0.1/", "--scope", "openid profile read"]
    login = [place.issuer, "--client-id", TOOL, "--ca", str(development.ca), "--scope", "openid profile read"]
    return [
        f"# {person.username} logs in with the password {person.password}; the browser warns of a CA it does not know",
        shlex.join(["certbound", "login", *login]),
        "",
        "# after that this machine calls the API for her, and ends it",
        shlex.join(["certbound", "curl", f"{place.resource_url}/"]),
        shlex.join(["certbound", "logout", place.issuer]),
        "",
        "# an app of your own that acts for people, with a certificate, and another person",
        shlex.join(["certbound", "client", "add", *config, "--id", "app", *known, *asked]),
        shlex.join(["certbound", "user", "add", *config, "bert"]),
    ]


def curl_lines(development: "Development") -> list[str]:
    """Shell lines that show what works and what does not; each stands on its own but for $TOKEN."""
    billing, warehouse = development.members
    place = development.place
    api = f'-H "Authorization: Bearer $TOKEN" {place.resource_url}/'
    return [
        "# billing, whose certificate is of a CA, obtains a token",
        f'TOKEN=$({_token_request(development, billing)} | sed \'s/.*"access_token":"\\([^"]*\\)".*/\\1/\')',
        "",
        "# the API accepts it together with the certificate that it is bound to",
        f"{_curl(development, billing)} {api}",
        "",
        "# and refuses it with any other certificate, and without one",
        f"{_curl(development, warehouse)} {api}",
        f"{_curl(development, None)} {api}",
        "",
        "# warehouse, whose certificate is self-signed, obtains a token of its own",
        _token_request(development, warehouse),
    ]


def _token_request(development: "Development", member: "Member") -> str:
    form = f"-d grant_type=client_credentials -d client_id={member.client_id}"
    return f"{_curl(development, member)} {form} {development.place.mtls_url}/token"


def _curl(development: "Development", member: "Member | None") -> str:
    words = ["curl", "-sS", "--cacert", str(development.ca)]
    if member is not None:
        words += ["--cert", str(member.certificate), "--key", str(member.key)]
    return shlex.join(words)
