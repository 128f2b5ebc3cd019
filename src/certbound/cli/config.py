"""`certbound config`: what is set, where it comes from, and whether it can work."""

import asyncio
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from certbound import settings
from certbound.cli._commands import group
from certbound.cli._deployment import DEFAULT, ConfigFile, load_settings, settings_file
from certbound.cli._output import say, say_json, say_table
from certbound.core.errors import ConfigurationError
from certbound.settings import USUAL_KEYS, Key, Settings, keys, sections, show_toml

app = group("Write, check and show settings.")


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")] = DEFAULT,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a certbound.toml in which every key is explained.

    Example: certbound config init
    """
    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(template())
    except FileExistsError as error:
        raise ConfigurationError(f"{file} is there already; --force replaces it") from error
    say(f"wrote {file}", "next: change what stands above the comments, then: certbound config check")


@app.command()
def check(config: ConfigFile = None) -> None:
    """Try everything the settings name: certificates, anchors, store, keys.  The store is made if it is not there.

    Example: certbound config check --config certbound.toml
    """
    found = load_settings(config)
    from certbound import app as house

    asyncio.run(house.check(found))
    say_table([
        ("issuer", found.server.issuer),
        ("mutual TLS", found.server.mtls_url or "the issuer's own host"),
        ("TLS", tls(found)),
        ("anchors", anchors(found)),
        ("people", people(found)),
        ("store", hidden_password(found.store.url)),
        ("signing key", f"{found.keys.algorithm}, {found.keys.file or 'in the store'}"),
        *[("published", str(each)) for each in found.keys.published],
        ("resources", ", ".join(found.tokens.resources)),
        ("scopes", ", ".join(found.tokens.scopes) or "none"),
    ])  # fmt: skip
    say("ok")


@app.command()
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show the settings in effect as TOML, secrets masked.

    Example: certbound config show --origin
    """
    file = settings_file(config)
    found = settings.load(file)
    _, origins = settings.gather(file)
    for section in sections():
        say(f"[{section}]")
        for key in keys(section).values():
            comment = f"  # {origins.get((section, key.name), 'default')}" if origin else ""
            say(f"{_shown(key, found)}{comment}")
        say("")


@app.command()
def schema() -> None:
    """Print the JSON Schema of certbound.toml, for editors.

    Example: certbound config schema > certbound.schema.json
    """
    say_json(settings.schema())


def template() -> str:
    """A certbound.toml with every key: what must be set by example, the rest as comments."""
    lines = ["# certbound.toml; each key can come from the environment too: CERTBOUND_SECTION__KEY", ""]
    for section, kind in sections().items():
        lines += [f"# {kind.__doc__}", f"[{section}]"]
        for key in keys(section).values():
            is_shown = key.required or (key.section, key.name) in USUAL_KEYS
            value = key.example if is_shown or key.default in {None, ()} else key.default
            lines.append(f"# {key.description}")
            lines.append(f"{'' if is_shown else '# '}{key.name} = {show_toml('' if value is None else value)}")
        lines.append("")
    return "\n".join(lines)


def anchors(found: Settings) -> str:
    """Where trust anchors come from."""
    trust = found.trust
    places = [*map(str, trust.anchors), *([f"{trust.folder}/"] if trust.folder else [])]
    if trust.client_anchors:
        places.append("clients' own")
    return ", ".join(places) or "none: only self-signed clients"


def tls(found: Settings) -> str:
    """Where TLS ends."""
    proxy, certificate = found.proxy, found.server.certificate
    if proxy.contract is None:
        return str(certificate)
    here = f", and again here with {certificate}" if certificate else ""
    way = f"on {proxy.socket}" if proxy.socket else f"at {', '.join(proxy.networks) or 'its own certificate'}"
    secret = "no secret" if proxy.without_secret else "a secret"
    return f"in front, at what speaks {proxy.contract}{here}; believed {way} with {secret}"


def people(found: Settings) -> str:
    """Who says who people are."""
    if found.login.url is not None:
        return f"log in at {found.login.url}"
    return "have accounts here (certbound user)" if found.login.accounts else "none: clients act for themselves"


def hidden_password(url: str) -> str:
    """An address, the password in it masked."""
    return re.sub(r"(?<=:)[^:@/]*(?=@)", "***", url)


def _shown(key: Key, found: Settings) -> str:
    value: Any = getattr(getattr(found, key.section), key.name)
    if value is None:
        return f"# {key.name} is not set"
    if key.is_secret:
        return f'{key.name} = "***"'
    return f"{key.name} = {show_toml(hidden_password(value) if key.name == 'url' else value)}"
