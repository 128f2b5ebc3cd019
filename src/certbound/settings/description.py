"""How the keys of certbound.toml are told to people and to machines, from the types of `tables`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from certbound.settings.section import Section
from certbound.settings.tables import ENVIRONMENT_PREFIX, SECRET_KEYS, Settings, sections


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key, as people meet it."""

    section: str
    name: str
    kind: str
    """What its value must be, for people."""
    description: str
    required: bool
    default: Any
    example: Any

    @property
    def variable(self) -> str:
        """The variable of the environment that sets it."""
        return f"{ENVIRONMENT_PREFIX}{self.section}__{self.name}".upper()

    @property
    def is_secret(self) -> bool:
        return (self.section, self.name) in SECRET_KEYS


@cache
def keys(section: str) -> Mapping[str, Key]:
    """The keys of a table by name; none if there is no such table."""
    return {each.encode_name: _key(section, each) for each in _fields(section)}


def rows(section: str) -> Mapping[str, Mapping[str, Key]]:
    """The keys that are lists of tables, and the keys of these tables."""
    return {
        each.encode_name: {inner.encode_name: _key(f"{section}.{each.encode_name}", inner) for inner in table.fields}
        for each in _fields(section)
        for kind in alternatives(each.type)
        if (table := row_type(kind)) is not None
    }


def row_type(kind: Any) -> inspect.StructType | None:
    """The table that a list of tables is made of; None if `kind` is no such list."""
    found = kind.item_type if isinstance(kind, inspect.VarTupleType) else None
    return found if isinstance(found, inspect.StructType) else None


def types(section: str) -> Mapping[str, Any]:
    """The type of each key of a table, as msgspec converts to it."""
    found = sections().get(section)
    return {each.encode_name: each.type for each in msgspec.structs.fields(found)} if found else {}


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The types a value may have, absence left out."""
    if isinstance(kind, inspect.Metadata):
        return alternatives(kind.type)
    if isinstance(kind, inspect.UnionType):
        return tuple(each for each in kind.types if not isinstance(each, inspect.NoneType))
    return (kind,)


def show_toml(value: Any) -> str:
    """A value as TOML writes it; its strings and numbers are JSON's, and what is not printable is escaped."""
    if isinstance(value, Section):
        set_here = {name: given for name, given in msgspec.structs.asdict(value).items() if given not in {None, ()}}
        return show_toml(set_here)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {show_toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(show_toml, value)) + "]"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return "".join(each if each.isprintable() else f"\\U{ord(each):08X}" for each in text)


def schema() -> dict[str, Any]:
    """The file as a JSON Schema (2020-12)."""
    found = msgspec.json.schema(Settings, schema_hook=lambda _: {"type": "string"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _fields(section: str) -> tuple[inspect.Field, ...]:
    found = sections().get(section)
    kind = inspect.type_info(found) if found else None
    return kind.fields if isinstance(kind, inspect.StructType) else ()


def _key(section: str, field: inspect.Field) -> Key:
    about = (field.type.extra_json_schema or {}) if isinstance(field.type, inspect.Metadata) else {}
    return Key(
        section=section,
        name=field.encode_name,
        kind=_kind(field.type),
        description=about.get("description", ""),
        required=field.required,
        default=None if field.required else field.default,
        example=about.get("examples", [None])[0],
    )


def _kind(kind: Any) -> str:
    """A type in words."""
    return " or ".join(_KINDS[type(each)](each) for each in alternatives(kind))


def _whole_number(kind: inspect.IntType) -> str:
    return f"a whole number from {kind.ge}" + (f" to {kind.le}" if kind.le is not None else "")


_KINDS: Mapping[type, Callable[[Any], str]] = {
    inspect.StrType: lambda kind: "text that is not empty" if kind.min_length else "text",
    inspect.IntType: _whole_number,
    inspect.CustomType: lambda _: "a path",
    inspect.LiteralType: lambda kind: " or ".join(map(show_toml, kind.values)),
    inspect.EnumType: lambda kind: " or ".join(show_toml(each.value) for each in kind.cls),
    inspect.BoolType: lambda _: "true or false",
    inspect.StructType: lambda kind: f"a table of {', '.join(each.encode_name for each in kind.fields)}",
    inspect.VarTupleType: lambda kind: f"a list, each {_kind(kind.item_type)}",
}
