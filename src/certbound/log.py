"""The log of a server: one line per event on standard error, for people or for machines."""

import logging
import sys
from typing import Any, Literal

import structlog
from structlog.typing import EventDict

from certbound.core.display import shown


def configure_log(*, level: str, form: Literal["console", "json"]) -> None:
    """Ours of `level` and above are written, uvicorn's warnings, and Python's, which odd certificates cause.

    Control characters are shown, not run.
    """
    logging.captureWarnings(capture=True)
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[remove_meta, structlog.processors.format_exc_info, _show_controls, renderer],
        )
    )
    for name, least in (("certbound", level.upper()), ("uvicorn", "WARNING"), ("py.warnings", "WARNING")):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(least)
        logger.propagate = False


def _show_controls(_: object, __: str, event: EventDict) -> EventDict:
    """A name in a certificate must not move a terminal's cursor or forge a second line."""
    event["event"] = shown(str(event["event"]))
    return event
