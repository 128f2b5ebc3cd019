"""The log of a server: one line per event on standard error, for people or for machines.

Rule 1: nothing is written as it came: control characters are shown, tokens, secrets and keys are not.
Rule 2: an event of `certbound.audit` is a sentence for people, and for machines an object with its fields.
Rule 3: what is audited depends on `audit` alone, not on the level of the rest.
"""

import datetime as dt
import logging
import sys
from typing import Any, Literal

import msgspec
import structlog
from structlog.typing import EventDict

from certbound.core.display import redacted, shown

Form = Literal["console", "json"]
Audited = Literal["all", "refusals"]


def configure_log(*, level: str, form: Form, audit: Audited = "all") -> None:
    """Ours of `level` and above are written, uvicorn's warnings, and Python's, which odd certificates cause."""
    logging.captureWarnings(capture=True)
    # No line of ours names them, and to find them out for each record takes longer than to write it.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    shared: list[Any] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    lines = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[remove_meta, structlog.processors.format_exc_info, _make_safe, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(lines)
    audited = logging.StreamHandler(sys.stderr)
    audited.setFormatter(_FieldsAsJson() if form == "json" else lines)
    for name, least, its in (
        ("certbound", level.upper(), handler),
        ("certbound.audit", _AUDITED[audit], audited),
        ("uvicorn", "WARNING", handler),
        ("py.warnings", "WARNING", handler),
    ):
        logger = logging.getLogger(name)
        logger.handlers[:] = [its]
        logger.setLevel(least)
        logger.propagate = False


class _FieldsAsJson(logging.Formatter):
    """The line that structlog would write, in a fifth of its time: there is one for each request."""

    def format(self, record: logging.LogRecord) -> str:
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="microseconds")
        fields: dict[str, Any] | None = getattr(record, "fields", None)
        line = {
            "event": "decision",
            "logger": record.name,
            "level": record.levelname.lower(),
            "timestamp": moment.replace("+00:00", "Z"),
            **({"message": redacted(record.getMessage())} if fields is None else fields),
        }
        return _JSON.encode(line).decode("utf-8")


def _make_safe(_: object, __: str, event: EventDict) -> EventDict:
    """A name in a certificate must not move a terminal's cursor or forge a second line; a traceback has several."""
    for name, value in event.items():
        if isinstance(value, str):
            text = redacted(value)
            event[name] = "\n".join(map(shown, text.split("\n"))) if name == "exception" else shown(text)
    event["event"] = shown(redacted(str(event["event"])))
    return event


_AUDITED = {"all": logging.INFO, "refusals": logging.WARNING}
_JSON = msgspec.json.Encoder()
