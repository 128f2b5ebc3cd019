"""Statements that are written once, and whoever executes them.

SQLAlchemy says how a statement reads in each kind of database.  To ask it anew for each execution, and to carry what
was found back through its layers, costs several times what a small statement costs the database.

Rules kept here:
- a prepared statement is made once, with its module or with its store: what differs from one execution to the next is
  a `bindparam`;
- what it finds is what the driver found: columns whose type would change it are refused, before the first row;
- what it is given is what the driver is given: text, numbers, truths and None.  A name that has no value is a
  `KeyError`, or what SQLAlchemy says of it, with that name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import CompoundSelect, Dialect, Select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase

MOST_LENGTHS = 1000
"""How many texts are kept of a statement with lists."""

Values = Mapping[str, Any]
Question = Select[Any] | CompoundSelect[Any]


class Found(NamedTuple):
    """What a statement found, or how many rows it changed."""

    rows: Sequence[Sequence[Any]]
    changed: int


class Prepared:
    """A question or a change, and the columns that an `INSERT` has values for."""

    __slots__ = ("_columns", "_texts", "clause")

    def __init__(self, clause: Question | UpdateBase, columns: Sequence[str] | None = None) -> None:
        self.clause = clause
        self._columns = columns
        self._texts: dict[str, _Text] = {}

    def on(self, dialect: Dialect) -> "_Text":
        """How it reads in that kind of database."""
        text = self._texts.get(dialect.name)
        if text is None:
            text = self._texts[dialect.name] = _text(self.clause, self._columns, dialect)
        return text


class Hands(Protocol):
    """A connection, as far as prepared statements need one."""

    async def run(self, statement: Prepared, values: Values | None = None) -> Found:
        """What it found or changed."""

    async def run_all(self, statement: Prepared, rows: Sequence[Values]) -> None:
        """It is executed for each of these."""


class InSteps:
    """By way of SQLAlchemy, a statement after the other."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def run(self, statement: Prepared, values: Values | None = None) -> Found:
        """As `Hands.run`."""
        result = await self._connection.execute(statement.clause, values or {})
        return Found(result.all() if result.returns_rows else (), result.rowcount)

    async def run_all(self, statement: Prepared, rows: Sequence[Values]) -> None:
        """As `Hands.run_all`."""
        await self._connection.execute(statement.clause, rows)


class _Expanded(NamedTuple):
    """A statement with as many question marks as its lists are long."""

    text: str
    names: Sequence[str]
    ones: Mapping[str, Sequence[str]]
    """What each value of a list is called."""


class _Text:
    """A statement with a question mark for each value."""

    __slots__ = ("_compiled", "_fixed", "_lists", "_names", "_of_lengths", "_text")

    def __init__(self, compiled: SQLCompiler) -> None:
        self._compiled = compiled
        self._lists = [compiled.bind_names[each] for each in compiled.post_compile_params]
        self._of_lengths: dict[Sequence[int], _Expanded] = {}
        self._text = str(compiled)
        self._names = tuple(compiled.positiontup or ())
        self._fixed = {name: bind.effective_value for bind, name in compiled.bind_names.items() if not bind.required}

    def with_values(self, values: Values) -> tuple[str, Sequence[Any]]:
        """The text, and what stands where its question marks are."""
        if not self._lists:
            return self._text, self.row(values)
        lengths = tuple(len(values[name]) for name in self._lists)
        made = self._of_lengths.get(lengths)
        if made is None:
            if len(self._of_lengths) > MOST_LENGTHS:
                self._of_lengths.clear()
            made = self._of_lengths[lengths] = self._expand(values)
        said = dict(values)
        for name, ones in made.ones.items():
            said.update(zip(ones, values[name], strict=True))
        return made.text, [said[name] if name in said else self._fixed[name] for name in made.names]

    def _expand(self, values: Values) -> "_Expanded":
        """The text for lists of these lengths: SQLAlchemy takes longer to find it than a database to execute it."""
        state = self._compiled.construct_expanded_state(dict(values))
        ones = {name: state.parameter_expansion[name] for name in self._lists}
        return _Expanded(state.statement, tuple(state.positiontup or ()), ones)

    def row(self, values: Values) -> Sequence[Any]:
        """What stands where its question marks are."""
        return [values[name] if name in values else self._fixed[name] for name in self._names]

    def __str__(self) -> str:
        return self._text


def _text(clause: Question | UpdateBase, columns: Sequence[str] | None, dialect: Dialect) -> _Text:
    if isinstance(clause, Select | CompoundSelect):
        for column in clause.selected_columns:
            if column.type.dialect_impl(dialect).result_processor(dialect, None) is not None:
                raise TypeError(f"{column} is read as it is stored: write type_coerce")
    compiled = clause.compile(dialect=dialect, column_keys=None if columns is None else list(columns))
    assert isinstance(compiled, SQLCompiler)
    return _Text(compiled)
