"""Where settings come from: one TOML file, and the environment, which wins over it."""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import inspect

from certbound.core.errors import ConfigurationError
from certbound.settings.description import alternatives, keys, row_type, types
from certbound.settings.tables import ENVIRONMENT_PREFIX, sections


def gather(
    file: Path | None, environment: Mapping[str, str] = os.environ
) -> tuple[dict[str, Any], dict[tuple[str, str], str]]:
    """What is set, unread, by section and key; and for each (section, key) where it comes from: file or `$VARIABLE`."""
    given = _read_toml(file) if file else {}
    origin = {(section, key): str(file) for section, keys in given.items() for key in table(section, keys, str(file))}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        section, key, value = _read_variable(variable, text)
        if (before := origin.get((section, key), "")).startswith("$"):
            raise ConfigurationError(f"{before} and ${variable} both set {section}.{key}; remove one")
        given.setdefault(section, {})[key] = value
        origin[section, key] = f"${variable}"
    return given, origin


def table(section: str, given: Any, where: str) -> Mapping[str, Any]:
    """The keys of a table.  `ConfigurationError` if `given` is no table."""
    if not isinstance(given, dict):
        raise ConfigurationError(f"{where}: {section!r} stands outside a table; the tables are {', '.join(sections())}")
    return given


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file} is not TOML: {error}") from error


def _read_variable(variable: str, text: str) -> tuple[str, str, Any]:
    section, _, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
    known = keys(section)
    if key.endswith("_file") and key not in known and (name := key.removesuffix("_file")) in known:
        if not known[name].is_secret:
            raise ConfigurationError(f"${variable}: only secrets come from a file; set ${known[name].variable}")
        try:
            return section, name, Path(text).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConfigurationError(f"${variable}: {text} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigurationError(f"${variable}: {text} holds no UTF-8 text") from error
    if key not in known:
        return section, key, text  # `read` says that nobody knows it
    return section, key, _typed(inspect.type_info(types(section)[key]), text)


def _typed(kind: Any, text: str) -> Any:
    """A variable's text as the TOML value it stands for: lists by comma, of tables as JSON; numbers, true and false."""
    kinds = alternatives(kind)
    if any(row_type(each) for each in kinds):
        return _json(text)
    if any(isinstance(each, inspect.VarTupleType) for each in kinds):
        return [each.strip() for each in text.split(",") if each.strip()]
    if any(isinstance(each, inspect.IntType) for each in kinds):
        try:
            return int(text)
        except ValueError:
            return text
    if any(isinstance(each, inspect.BoolType) for each in kinds):
        return {"true": True, "false": False}.get(text, text)
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
