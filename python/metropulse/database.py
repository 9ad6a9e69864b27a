"""The databases, open to questions from notebooks, tests and the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metropulse._core import ArrowTable

__all__ = ["Database"]


class Database:
    """One of the two databases, open to questions."""

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
