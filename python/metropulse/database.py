"""The databases, for queries from notebooks, tests and the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from metropulse.exceptions import ConfigError

if TYPE_CHECKING:
    from metropulse._core import ArrowTable, Pipeline

__all__ = ["Database", "WarehouseDatabase"]


class Database:
    """One of the two databases, for queries."""

    __slots__ = ("_query",)

    def __init__(self, query: Callable[[str], ArrowTable]) -> None:
        """Keep the native call.

        Args:
            query: Runs one statement and returns its rows.
        """
        self._query = query

    def query(self, sql: str) -> ArrowTable:
        """Run one statement and return its rows.

        Args:
            sql: The statement.

        Returns:
            An Arrow table (``pyarrow.table(t)``, ``polars.from_arrow(t)``, ``t.to_pylist()``).

        Raises:
            DatabaseError: The server refused the statement or went away.
        """
        return self._query(sql)


class WarehouseDatabase(Database):
    """The warehouse, whose tables can also be read as a whole."""

    __slots__ = ("_core",)

    def __init__(self, core: Pipeline) -> None:
        """Keep the native pipeline.

        Args:
            core: Knows the warehouse.
        """
        super().__init__(core.warehouse_query)
        self._core = core

    def read_table(
        self, name: str, columns: Sequence[str] | None = None, *, connections: int | None = None
    ) -> ArrowTable:
        """Read a table into memory, in parts by several connections that share one snapshot.

        Faster than `query` from some hundred thousand rows on. Rows come in the order of the table's blocks.

        Args:
            name: The table as SQL names it (``dwh.fact_trip``); a view works too, by one connection.
            columns: The columns to read; all when None.
            connections: How many connections may share the work; the pipeline's own setting when None.

        Returns:
            An Arrow table.

        Raises:
            ConfigError: The columns are no list of names, or `connections` is no positive number.
            NotFoundError: The table is not there.
            SchemaError: A column is not there, or has a type without Arrow counterpart.
            DatabaseError: The server refused or went away.
        """
        if isinstance(columns, str) or (columns is not None and not columns):
            raise ConfigError(f'columns is {columns!r}, expected a list such as ["trip_id"], or None for all')
        if connections is not None and connections < 1:
            raise ConfigError(f"connections is {connections}, expected 1 or more")
        return self._core.warehouse_table(name, None if columns is None else list(columns), connections)
