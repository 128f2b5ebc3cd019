"""Which certbound.toml a command is about."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from certbound import settings
from certbound.core.errors import ConfigurationError

DEFAULT = Path("certbound.toml")

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="CERTBOUND_CONFIG", show_default=str(DEFAULT), help="The settings: a TOML file.",
    ),
]  # fmt: skip


def settings_file(given: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file to read; None where the environment alone holds settings.  `ConfigurationError` where nothing does."""
    if given is not None or DEFAULT.exists():
        return given or DEFAULT
    if any(name.startswith("CERTBOUND_") and "__" in name for name in environment):
        return None
    raise ConfigurationError(
        f"there is no {DEFAULT} here; give --config FILE, or write one with: certbound config init"
    )


def load_settings(given: Path | None) -> settings.Settings:
    """The settings of the deployment.  `ConfigurationError` says what is wrong with them, and where."""
    return settings.load(settings_file(given))
