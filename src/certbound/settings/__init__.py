"""Settings: one TOML file and the environment, read once into one frozen value.

Rule 1: a key nobody reads stops the start and names the nearest one that somebody does.
Rule 2: every key can come from the environment as `CERTBOUND_SECTION__KEY`, which wins over the file; for a secret,
with `_FILE` behind it, the value is what that file holds.  A variable without `__` is somebody else's.
Rule 3: relative paths, that of the store too, start at the directory of the settings file; those that the environment
names, at the working directory.
Rule 4: a refusal names the file and the key, or the variable, and the value; but never a secret.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from certbound.core.errors import ConfigurationError
from certbound.settings.consistency import problems
from certbound.settings.description import Key, keys, rows, schema, show_toml, types
from certbound.settings.refusal import in_rows
from certbound.settings.sources import gather, table
from certbound.settings.tables import SECRET_KEYS, USUAL_KEYS, Keys, Log, Server, Settings, Store, Tokens, sections
from certbound.settings.trust import Trust

__all__ = [
    "SECRET_KEYS", "USUAL_KEYS", "Key", "Keys", "Log", "Server", "Settings", "Store", "Tokens", "Trust",
    "gather", "keys", "load", "read", "rows", "schema", "sections", "show_toml",
]  # fmt: skip


def load(file: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of `file` and the environment.  `ConfigurationError` names the file, the key and the value."""
    given, origin = gather(file, environment)
    where, base = (str(file), file.parent) if file else ("the environment", Path())
    return read(given, where=where, base=base, origin=origin)


def read(
    given: Mapping[str, Any], *, where: str, base: Path, origin: Mapping[tuple[str, str], str] | None = None
) -> Settings:
    """`given` as settings that do not contradict themselves; relative paths start at `base`."""
    source = _Source(where=where, base=base, origin=origin or {})
    for section in given:
        table(section, given[section], where)
        if section not in sections():
            raise source.unknown(section)
    settings = Settings(**{section: _read_table(section, given.get(section, {}), source) for section in sections()})
    store = Store(url=_anchored(settings.store.url, source.base_of("store", "url")))
    crls = tuple(_placed(each, source.base_of("revocation", "crls")) for each in settings.revocation.crls)
    revocation = msgspec.structs.replace(settings.revocation, crls=crls)
    settings = msgspec.structs.replace(settings, store=store, revocation=revocation)
    for problem in problems(settings):
        raise source.refuse(*problem)
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where values come from: for what is said about them, and where their relative paths start."""

    where: str
    base: Path
    origin: Mapping[tuple[str, str], str]

    def base_of(self, section: str, key: str) -> Path:
        return Path() if self.origin.get((section, key), "").startswith("$") else self.base

    def refuse(self, section: str, key: str, problem: str) -> ConfigurationError:
        origin = self.origin.get((section, key), "")
        place = origin if origin.startswith("$") else f"{self.where}: {section}.{key}"
        return ConfigurationError(f"{place} {problem}")

    def unknown(self, section: str, key: str = "") -> ConfigurationError:
        variable = next((v for (s, k), v in self.origin.items() if s == section and k == (key or k)), "")
        place = variable if variable.startswith("$") else self.where
        if section not in sections():
            return ConfigurationError(f"{place}: there is no table [{section}]{_nearest(section, sections())}")
        if (secret := keys(section).get(key.removesuffix("_file"))) is not None and secret.is_secret:
            hint = f"; ${secret.variable}_FILE names the file of {secret.name}"
            return ConfigurationError(f"{place}: [{section}] has no key {key!r}{hint}")
        return ConfigurationError(f"{place}: [{section}] has no key {key!r}{_nearest(key, keys(section), section)}")


def _read_table(section: str, given: Mapping[str, Any], source: _Source) -> Any:
    known = keys(section)
    if strange := [name for name in given if name not in known]:
        raise source.unknown(section, strange[0])
    for name, key in known.items():
        if key.required and name not in given:
            example = f"{name} = {show_toml(key.example)}"
            raise source.refuse(section, name, f"is missing; write under [{section}], for example: {example}")
    return sections()[section](**{name: _read_value(known[name], value, source) for name, value in given.items()})


def _read_value(key: Key, value: Any, source: _Source) -> Any:
    base = source.base_of(key.section, key.name)
    try:
        return msgspec.convert(value, types(key.section)[key.name], dec_hook=lambda _, text: _path(text, base))
    except msgspec.ValidationError as error:
        if (inner := rows(key.section).get(key.name)) is not None:
            raise source.refuse(key.section, key.name, in_rows(key, inner, value, error)) from error
        shown = "" if key.is_secret else f", not {value!r:.80}"
        raise source.refuse(key.section, key.name, f"must be {key.kind}{shown}") from error


def _nearest(word: str, known: Iterable[str], section: str = "") -> str:
    """The nearest known word; for a key, also where another table has it."""
    if elsewhere := [name for name in sections() if section and word in keys(name)]:
        return f"; [{elsewhere[0]}] has one"
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {_list(known)}"


def _path(text: Any, base: Path) -> Path:
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError("no path")
    try:
        return base / Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError("nobody of this name has a home") from error


def _anchored(url: str, base: Path) -> str:
    """A SQLite address, its relative path starting at `base`; any other address as it is."""
    found = _RELATIVE_SQLITE.fullmatch(url)
    return f"{found[1]}{base / found[2]}{found[3]}" if found else url


def _placed(text: str, base: Path) -> str:
    """A path, starting at `base`; a URL, or what is neither and will be refused, as it is."""
    try:
        return text if "://" in text else str(_path(text, base))
    except ValueError:
        return text


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)


_RELATIVE_SQLITE = re.compile(r"(sqlite(?:\+aiosqlite)?:///)(?!:memory:)([^/?][^?]*)((?:\?.*)?)", re.DOTALL)
