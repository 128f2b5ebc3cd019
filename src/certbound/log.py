"""The log of a server: one line per event on standard error, for people or for machines.

Rule 1: nothing is written as it came: control characters are shown, tokens, secrets and keys are not.
Rule 2: an event of `certbound.audit` is a sentence for people, and for machines an object with its fields.
Rule 3: what is audited depends on `audit` alone, not on the level of the rest.
"""

import datetime as dt
import logging
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict

from certbound.core.display import redacted, shown
from certbound.server.audit import LOGGER, Decision, DecisionHandler

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
    audited = _JsonLines(sys.stderr) if form == "json" else logging.StreamHandler(sys.stderr)
    audited.setFormatter(lines)
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


class _JsonLines(DecisionHandler):
    """The line that structlog would write, in a tenth of its time: there is one for each request."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._bytes: BinaryIO | None = getattr(stream, "buffer", None)
        self._second, self._moment = -1, ""  # the last one written, and how

    def take(self, decision: Decision, level: int) -> None:
        """One system call, since nothing is held back: an event is written before its answer is sent."""
        self._write(LOGGER, _LEVELS[level], decision.time, decision.fields())

    def emit(self, record: logging.LogRecord) -> None:
        """What reaches this logger by another way."""
        said = getattr(record, "fields", None) or {"message": redacted(record.getMessage())}
        self._write(record.name, record.levelname.lower(), record.created, said)

    def _write(self, logger: str, level: str, time: float, said: Mapping[str, Any]) -> None:
        second, fraction = divmod(round(time * 1_000_000), 1_000_000)
        if second != self._second:
            moment = dt.datetime.fromtimestamp(second, dt.UTC).replace(tzinfo=None)
            self._second, self._moment = second, moment.isoformat(timespec="seconds")
        timestamp = f"{self._moment}.{fraction:06}Z"
        line = _JSON.encode({"event": "decision", "logger": logger, "level": level, "timestamp": timestamp, **said})
        try:
            if self._bytes is None:
                self._stream.write(line.decode("utf-8") + "\n")
                self._stream.flush()
            else:
                self._bytes.write(line + b"\n")
                self._bytes.flush()
        except (OSError, ValueError):  # the disk is full, or the reader gone: no reason to answer nobody
            pass


def _make_safe(_: object, __: str, event: EventDict) -> EventDict:
    """A name in a certificate must not move a terminal's cursor or forge a second line; a traceback has several."""
    for name, value in event.items():
        if isinstance(value, str):
            text = redacted(value)
            event[name] = "\n".join(map(shown, text.split("\n"))) if name == "exception" else shown(text)
    event["event"] = shown(redacted(str(event["event"])))
    return event


_AUDITED = {"all": logging.INFO, "refusals": logging.WARNING}
_LEVELS = {level: logging.getLevelName(level).lower() for level in (logging.INFO, logging.WARNING, logging.ERROR)}
_JSON = msgspec.json.Encoder()
