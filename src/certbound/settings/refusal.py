"""What is wrong with a value, in words: the kind that is wanted, and in a list of tables, which key of which table."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from certbound.settings.description import Key, show_toml


def in_rows(key: Key, inner: Mapping[str, Key], value: Any, error: msgspec.ValidationError) -> str:
    """Why `value` is not the list of tables that `key` is, `inner` being their keys; continues a sentence about it."""
    if not isinstance(value, list):
        return f"must be {key.kind}; write [[{key.section}.{key.name}]] over each, or JSON in a variable"
    found = _ERROR.fullmatch(str(error))
    if found is None:
        return f"must be {key.kind} ({error})"
    position, rest = found["position"], found["rest"] or ""
    if missing := _MISSING.fullmatch(found["said"]):
        return f"[{position}]: {missing[1]} is missing; write for example: {_example(inner[missing[1]])}"
    if strange := _STRANGE.fullmatch(found["said"]):
        return f"[{position}]: there is no key {strange[1]!r}; known are {', '.join(inner)}"
    name = _NAME.match(rest)
    if name is None or name[1] not in inner:
        return f"[{position}] must be a table of {', '.join(inner)}"
    detail = f" ({found['said']})" if " of length " in found["said"] else ""
    return f"[{position}]: {name[1]} must be {inner[name[1]].kind}, not {value[int(position)][name[1]]!r:.80}{detail}"


def _example(key: Key) -> str:
    return f"{key.name} = {show_toml(key.example)}"


_ERROR = re.compile(r"(?P<said>.*) - at `\$\[(?P<position>\d+)\](?P<rest>.*)`", re.DOTALL)
"""As msgspec says what and where."""
_MISSING = re.compile(r"Object missing required field `(.*)`")
_STRANGE = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_NAME = re.compile(r"\.(\w+)")
