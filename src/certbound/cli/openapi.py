"""`certbound openapi`: the server as an OpenAPI document, for those who write clients, and for gateways and tests."""

import json
from pathlib import Path
from typing import Annotated

import typer

from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import note, say_json


def openapi(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there instead of printing it.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Print the OpenAPI 3.1 document of the server that certbound.toml describes.

    It has every endpoint that is on, on which host, how clients authenticate there, what may be sent and what comes
    back; nothing in it is secret.  The server need not run.

    Example: certbound openapi --output openapi.json
    """
    settings = load_settings(config)
    from certbound import app  # half a second that `openapi --help` need not spend

    document = app.api_of(settings)
    if output is None:
        say_json(document)
        return
    output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    note(f"wrote {output}: {len(document['paths'])} paths")
