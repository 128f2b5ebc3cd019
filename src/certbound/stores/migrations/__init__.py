"""How a database gets the schema: numbered steps, forward only.

Rules kept here:
- the caller's transaction is the lock: all steps and their record commit together or not at all;
- a step takes `op` as an argument.  Alembic's own `op` is one global for the whole process, and two stores that are
  opened by two tasks at once would run their steps on each other's connection;
- the table that records the steps bears our name: another application's Alembic may live in the same database.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from certbound.core.errors import ConfigurationError

VERSION_TABLE = "certbound_schema"


def pending(connection: Connection) -> Sequence[str]:
    """The steps that the database lacks, first one first.  `ConfigurationError` if it is of a newer schema."""
    return [step.revision for step in _lacking(_scripts(), _current(connection))]


def every() -> Sequence[str]:
    """The steps that an empty database lacks."""
    return [step.revision for step in _lacking(_scripts(), ())]


def upgrade(connection: Connection) -> Sequence[str]:
    """The database has the schema of this code; what was lacking.  `ConfigurationError` if it has a newer one."""
    scripts = _scripts()
    done: list[str] = []

    def steps(heads: Any, _: MigrationContext) -> Iterable[Any]:
        lacking = _lacking(scripts, heads)
        done.extend(script.revision for script in lacking)
        return scripts._upgrade_revs("head", heads) if lacking else ()  # noqa: SLF001 - as Alembic's manual has it

    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "fn": steps})
    context.run_migrations(op=Operations(context))
    return done


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(Path(__file__).parent)


def _current(connection: Connection) -> tuple[str, ...]:
    options = {"version_table": VERSION_TABLE}
    return MigrationContext.configure(connection, opts=options).get_current_heads()


def _lacking(scripts: ScriptDirectory, heads: Sequence[str]) -> list[Any]:
    known = list(scripts.walk_revisions())  # newest first, and one line: no branches
    numbers = [script.revision for script in known]
    for head in heads:
        if head not in numbers:
            raise ConfigurationError(
                f"the database has schema {head}, this version of certbound knows schemas up to {numbers[0]}: "
                "use the version of certbound that made it, or a newer one"
            )
    return known[: numbers.index(heads[0])][::-1] if heads else known[::-1]
