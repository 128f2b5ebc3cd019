"""The command line `certbound`: one file per command, and none of them is read before it is called.

Rule 1: what can be expected to go wrong is one sentence on standard error that says what to do; never a traceback.
Rule 2: exit status 0 is done, 1 refused or failed, 2 wrongly called, 130 interrupted.
Rule 3: text of others (certificates, files, stores) is shown, never run.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence

from certbound.core.display import shown
from certbound.core.errors import CertboundError, StoreUnavailable
from certbound.core.ports import NotFound


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command (`arguments`, else those of the process) and returns its exit status."""
    with _warnings_shown():
        try:
            return _run(arguments)
        except KeyboardInterrupt:
            return 130
        except ModuleNotFoundError as error:
            return _missing(error)
        except CertboundError as error:
            return _failed(f"{error}{_next_step(error)}")
        except NotFound:
            return _failed("somebody else changed it meanwhile; look at it and try again")
        except OSError as error:
            return _failed(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))


def _run(arguments: Sequence[str] | None) -> int:
    from certbound.cli._commands import command  # typer comes with an extra; `main` says which

    try:
        command()(args=arguments, prog_name="certbound")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _failed(sentence: str) -> int:
    sys.stderr.write(f"certbound: {shown(sentence)}\n")
    return 1


def _next_step(error: CertboundError) -> str:
    if isinstance(error, StoreUnavailable):
        return _ADVICE
    if (client := sys.modules.get("certbound.client")) is None or not isinstance(error, client.ServerUnreachable):
        return ""
    from certbound.cli._unreachable import next_step

    return next_step(str(error))


def _missing(error: ModuleNotFoundError) -> int:
    """A package that an extra brings; a module of our own that is missing is a fault and stays one."""
    package = (error.name or "").partition(".")[0]
    if package in {"", "certbound"}:
        raise error
    by = _BY_ITSELF.get(package, "'certbound[server]'")
    return _failed(f"this needs the package {package!r}; pip install {by}")


@contextlib.contextmanager
def _warnings_shown() -> Iterator[None]:
    """Warnings of the rooms below reach standard error as lines like ours; `serve` replaces this by its own log."""
    log = logging.getLogger("certbound")
    handler = _Lines(logging.WARNING)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"certbound: {shown(record.getMessage())}\n")


_BY_ITSELF = {"typer": "'certbound[tls]'", "websockets": "websockets"}
"""What brings a package, where that is not the extra of the server."""
_ADVICE = "; store.url says where it is: does it run, and can it be reached from here?"
